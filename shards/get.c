#include "shards/get.h"

#include "base/hash.h"
#include "shards/put.h"

struct warp_record *warp_get_find(const struct warp_store *store, uint32_t slot,
                                  uint64_t hash, struct warp_slice key, uint64_t *wait_for)
{
    struct warp_record *record =
        warp_table_find(&store->words[slot], hash, key.data, key.bytes);

    if (record == NULL) {
        /* The entries that did not match were read relaxed; the fence makes the removal they show
         * come after its release store of removed_sequence. */
        atomic_thread_fence(memory_order_acquire);
        *wait_for = 1 + atomic_load_explicit(&store->slots[slot].removed_sequence,
                                             memory_order_acquire);
        return NULL;
    }
    *wait_for = warp_record_wait_for(record);
    return warp_record_is_expired(store, record) ? NULL : record;
}

/*
 * opaque[0]: the record that is pinned, or NULL; opaque[1]: the memory of a copy, or NULL;
 * opaque[2]: the store.
 */
int warp_get_lend(struct warp_store *store, struct warp_record *record,
                  struct warp_value *value)
{
    uint32_t bytes = warp_record_value_bytes(record);

    (void)warp_get_warm(store, record);
    if (WARP_LIKELY(warp_record_pin(record))) {
        value->data = warp_record_value(record);
        value->opaque[0] = record;
        value->opaque[1] = NULL;
    } else {
        uint8_t *copy = warp_memory_reserve(store->memory, bytes == 0 ? 1 : bytes, 0);

        if (copy == NULL) {
            return WARP_ENOMEM;
        }
        memcpy(copy, warp_record_value(record), bytes);
        value->data = copy;
        value->opaque[0] = NULL;
        value->opaque[1] = copy;
    }
    value->bytes = bytes;
    value->sequence = warp_record_sequence(record);
    value->expires_at_ms = warp_record_expires_at_ms(record);
    value->opaque[2] = store;
    return 0;
}

void warp_get_return(struct warp_value *value)
{
    struct warp_value none = WARP_VALUE_INIT;

    if (value->opaque[0] != NULL) {
        warp_record_unpin(value->opaque[0]);
    } else if (value->opaque[1] != NULL) {
        struct warp_store *store = value->opaque[2];

        warp_memory_release(store->memory, value->opaque[1],
                            value->bytes == 0 ? 1 : value->bytes);
    }
    *value = none;
}

bool warp_get_message(struct warp_store *store, struct warp_message *message)
{
    struct warp_record *record = warp_get_find(store, message->slot, message->hash,
                                               message->key, &message->wait_for);
    bool met;

    if (record == NULL) {
        message->result = WARP_ABSENT;
        return false;
    }
    if (warp_record_is_cold(record)) {
        warp_coldread_begin(store, &message->cold, message->slot, message->hash,
                            message->key, record);
        message->result = WARP_MESSAGE_COLD;
        return false;
    }
    met = warp_record_is_fetched(record);
    message->sequence = warp_record_sequence(record);
    message->result = warp_get_lend(store, record, &message->borrowed);
    return met;
}

void warp_get_find_group(const struct warp_store *store, const struct warp_slice *keys,
                         uint32_t count, struct warp_record **records, uint64_t *wait_for)
{
    uint64_t hashes[WARP_GET_GROUP], words[WARP_GET_GROUP];
    uint32_t slots[WARP_GET_GROUP];
    uint32_t i;

    warp_assert(count <= WARP_GET_GROUP);
    for (i = 0; i < count; i++) {
        hashes[i] = warp_hash_key(keys[i].data, keys[i].bytes, store->hash_seed);
        slots[i] = warp_hash_slot(keys[i].data, keys[i].bytes);
        __builtin_prefetch(&store->words[slots[i]]);
    }
    for (i = 0; i < count; i++) {
        words[i] = warp_table_prefetch(&store->words[slots[i]], hashes[i]);
    }
    for (i = 0; i < count; i++) {
        warp_table_prefetch_record(words[i], hashes[i]);
    }
    for (i = 0; i < count; i++) {
        records[i] = warp_get_find(store, slots[i], hashes[i], keys[i], &wait_for[i]);
    }
}
