#include "shards/coldread.h"

#include <string.h>

#include "base/counter.h"
#include "base/probe.h"
#include "shards/evict.h"
#include "shards/put.h"
#include "shards/store.h"

void warp_coldread_begin(struct warp_store *store, struct warp_coldread *cold,
                         uint32_t slot, uint64_t hash, struct warp_slice key,
                         const struct warp_record *record)
{
    warp_assert(warp_record_is_cold(record));
    memset(&cold->read, 0, sizeof(cold->read));
    cold->read.rc = WARP_AGAIN; /* not read yet */
    cold->read.place = warp_record_place(record);
    cold->read.key = key;
    cold->read.value_bytes = warp_record_value_bytes(record);
    cold->read.in_batch = warp_record_in_batch(record);
    cold->read.has_expiry = warp_record_has_expiry(record);
    cold->slot = slot;
    cold->hash = hash;
    cold->generation = warp_coldread_enter(&store->gate);
    cold->open = true;
}

void warp_coldread_run(struct warp_store *store, struct warp_coldread *const *colds,
                       uint32_t count)
{
    struct warp_read *reads[WARP_COLDREAD_GROUP] = {NULL};
    uint32_t i;

    warp_assert(count <= WARP_COLDREAD_GROUP);
    for (i = 0; i < count; i++) {
        warp_assert(colds[i]->open);
        reads[i] = &colds[i]->read;
    }
    WARP_PROBE2(cold_read_begin, reads[0], count);
    warp_reader_run_each(store->reader, reads, count);
    WARP_PROBE2(cold_read_end, reads[0], count);
    for (i = 0; i < count; i++) {
        warp_coldread_judge(colds[i]);
    }
}

void warp_coldread_admit(struct warp_store *store, struct warp_coldread *cold)
{
    struct warp_shard *shard = warp_store_owner(store, cold->slot);
    struct warp_read *read = &cold->read;
    struct warp_record *record, *fresh;
    _Atomic uint64_t *place = NULL;
    struct warp_record_content content;

    warp_assert(cold->open);
    if (read->rc != 0 ||
        (read->expires_at_ms != 0 && read->expires_at_ms <= warp_store_wall_ms(store)) ||
        !warp_shard_enter(shard)) {
        return;
    }
    if (warp_slotmap_owner(&store->slotmap, cold->slot) != shard->id) {
        warp_shard_leave(shard);
        return;
    }
    content = (struct warp_record_content){.sequence = read->sequence,
                                           .place = read->place,
                                           .key = read->key,
                                           .value = {read->value, read->value_bytes},
                                           .expires_at_ms = read->expires_at_ms,
                                           .in_batch = read->in_batch};
    if (warp_evict_admits(shard, cold->slot, cold->hash, &content)) {
        /* Making room may replace records, so it comes before the look. */
        fresh = warp_evict_make(shard, &content);
        if (fresh != NULL) {
            record = warp_table_find_in(
                warp_table_resolve(&store->words[cold->slot], cold->hash), cold->hash,
                read->key.data, read->key.bytes, &place);
            if (record != NULL && warp_record_is_cold(record) &&
                warp_record_place(record) == read->place &&
                warp_put_reserve_exchange(shard) == 0) {
                warp_put_exchange(shard, cold->slot, cold->hash, fresh, record, place);
                warp_counter_add(&shard->counters.admissions, 1);
            } else {
                warp_slab_release(&shard->limbo.pool, fresh, warp_record_bytes_of(fresh));
            }
        }
    }
    warp_shard_leave(shard);
}

/* opaque as in shards/get.c: a copy. */
int warp_coldread_lend(struct warp_store *store, const struct warp_coldread *cold,
                       struct warp_value *value)
{
    const struct warp_read *read = &cold->read;
    uint8_t *copy = warp_memory_reserve(store->memory,
                                        read->value_bytes == 0 ? 1 : read->value_bytes, 0);

    if (copy == NULL) {
        return WARP_ENOMEM;
    }
    if (read->value_bytes > 0) {
        memcpy(copy, read->value, read->value_bytes);
    }
    value->data = copy;
    value->bytes = read->value_bytes;
    value->sequence = read->sequence;
    value->expires_at_ms = read->expires_at_ms;
    value->opaque[0] = NULL;
    value->opaque[1] = copy;
    value->opaque[2] = store;
    return 0;
}

void warp_coldread_end(struct warp_store *store, struct warp_coldread *cold)
{
    if (cold->open) {
        cold->open = false;
        warp_read_release(store->reader, &cold->read);
        warp_coldread_leave(&store->gate, cold->generation);
    }
}

uint32_t warp_coldread_flip(struct warp_coldread_gate *gate)
{
    /* Release: pairs with the acquire in warp_coldread_enter. */
    return atomic_fetch_add_explicit(&gate->generation, 1, memory_order_acq_rel) & 1;
}

bool warp_coldread_is_quiet(const struct warp_coldread_gate *gate, uint32_t generation)
{
    /* Acquire: pairs with the release in warp_coldread_leave. */
    return atomic_load_explicit(&gate->inside[generation], memory_order_acquire) == 0;
}
