#include "engine/batch.h"

#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "engine/call.h"
#include "engine/options.h"
#include "shards/batch.h"
#include "wal/frame.h"

#define BATCH_TTL_MS_MAX (UINT64_C(36525) * 86400 * 1000) /* 100 years */

struct warp_batch {
    struct warp *db;
    uint8_t *body;
    size_t body_bytes, body_capacity;
    struct warp_batch_operation *operations;
    size_t operations_bytes; /* of the array, used or not */
    uint32_t count;
    uint64_t payload_bytes; /* of keys and values */
};

static int batch_grow(struct warp_memory *memory, void **array, size_t used,
                      size_t *capacity, size_t wanted)
{
    size_t grown = *capacity == 0 ? 4096 : *capacity;
    void *fresh;

    if (wanted <= *capacity) {
        return 0;
    }
    while (grown < wanted) {
        grown *= 2;
    }
    fresh = warp_memory_reserve(memory, grown, 0);
    if (fresh == NULL) {
        return WARP_ENOMEM;
    }
    if (used > 0) {
        memcpy(fresh, *array, used);
    }
    warp_memory_release(memory, *array, *capacity);
    *array = fresh;
    *capacity = grown;
    return 0;
}

int warp_batch_make(struct warp *db, struct warp_batch **batch)
{
    struct warp_batch *made = warp_memory_reserve(&db->memory, sizeof(*made), 0);

    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->db = db;
    *batch = made;
    return 0;
}

void warp_batch_unmake(struct warp_batch **batch)
{
    struct warp_batch *one = *batch;
    struct warp_memory *memory = &one->db->memory;

    warp_memory_release(memory, one->body, one->body_capacity);
    warp_memory_release(memory, one->operations, one->operations_bytes);
    warp_memory_release(memory, one, sizeof(*one));
    *batch = NULL;
}

int warp_batch_append(struct warp_batch *batch, bool is_delete, struct warp_slice key,
                      struct warp_slice value, uint64_t ttl_ms)
{
    struct warp *db = batch->db;
    struct warp_batch_operation *operation;
    struct warp_entry entry;
    size_t bytes, header_bytes, begin;
    int rc;

    if (key.bytes == 0 || key.bytes > WARP_KEY_BYTES_MAX || key.data == NULL) {
        return WARP_EKEY;
    }
    if (value.bytes > WARP_VALUE_BYTES_MAX || (value.data == NULL && value.bytes > 0)) {
        return WARP_EVALUE;
    }
    if (ttl_ms > BATCH_TTL_MS_MAX) {
        return WARP_EINVAL;
    }
    if (batch->count == WARP_BATCH_OPERATIONS_MAX ||
        batch->payload_bytes + key.bytes + value.bytes > WARP_BATCH_BYTES_MAX) {
        return WARP_EBATCH;
    }
    entry.kind = is_delete ? WARP_ENTRY_DELETE : WARP_ENTRY_PUT;
    entry.flags = WARP_ENTRY_HAS_CHECKSUM | (ttl_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0);
    entry.key = key.data;
    entry.key_bytes = (uint32_t)key.bytes;
    entry.value = value.data;
    entry.value_bytes = (uint32_t)value.bytes;
    entry.expires_at_ms = ttl_ms == 0 ? 0 : warp_store_wall_ms(db->store) + ttl_ms;
    bytes = warp_entry_bytes(entry.flags, entry.key_bytes, entry.value_bytes);
    begin = batch->body_bytes == 0 ? WARP_FRAME_BATCH_HEADER_BYTES : batch->body_bytes;
    rc = batch_grow(&db->memory, (void **)&batch->body, batch->body_bytes,
                    &batch->body_capacity, begin + bytes);
    if (rc < 0) {
        return rc;
    }
    rc = batch_grow(&db->memory, (void **)&batch->operations,
                    batch->count * sizeof(*operation), &batch->operations_bytes,
                    ((size_t)batch->count + 1) * sizeof(*operation));
    if (rc < 0) {
        return rc;
    }
    header_bytes = warp_entry_encode_header(batch->body + begin, &entry);
    memcpy(batch->body + begin + header_bytes, key.data, key.bytes);
    if (value.bytes > 0) {
        memcpy(batch->body + begin + header_bytes + key.bytes, value.data, value.bytes);
    }
    batch->body_bytes = begin + bytes;
    operation = &batch->operations[batch->count++];
    operation->hash = warp_hash_key(key.data, key.bytes, db->store->hash_seed);
    operation->slot = warp_hash_slot(key.data, key.bytes);
    operation->entry_offset = (uint32_t)begin;
    operation->record = NULL;
    batch->payload_bytes += key.bytes + value.bytes;
    return 0;
}

int warp_batch_write(struct warp_batch *batch, const struct warp_write *how,
                     uint64_t *sequence)
{
    struct warp_write write = WARP_WRITE_INIT;
    struct warp *db = batch->db;
    struct warp_caller *caller = warp_caller_get(&db->callers);
    uint64_t last = 0, end = 0, log_bytes;
    uint32_t level;
    int rc;

    if (caller == NULL) {
        return WARP_ENOMEM;
    }
    if ((how != NULL && warp_options_copy(&write, sizeof(write), how,
                                          offsetof(struct warp_write, ttl_ms)) < 0) ||
        write.durability > WARP_COMMIT || write.condition != WARP_IF_ANY ||
        write.ttl_ms != 0) {
        return WARP_EINVAL;
    }
    if (db->read_only) {
        return WARP_EREADONLY;
    }
    if (batch->count == 0) {
        return 0;
    }
    level = write.durability == WARP_DURABILITY_DEFAULT ? db->durability : write.durability;
    warp_store_u32le(batch->body, batch->count);
    warp_store_u32le(batch->body + 4, 0);
    log_bytes = warp_frame_bytes((uint32_t)batch->body_bytes);
    rc = warp_batch_run(db->store, batch->operations, batch->count, batch->body,
                        (uint32_t)batch->body_bytes, level, &last, &end);
    if (rc != 0) {
        return rc;
    }
    warp_counter_add(&caller->batches, 1);
    batch->count = 0;
    batch->body_bytes = 0;
    batch->payload_bytes = 0;
    rc = level == WARP_COMMIT ? warp_call_wait(db, caller, end) : 0;
    (void)warp_call_pace(db, log_bytes, WARP_PACE_WAIT_NS_MAX);
    if (rc == 0 && sequence != NULL) {
        *sequence = last;
    }
    return rc;
}
