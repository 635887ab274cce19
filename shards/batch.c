#include "shards/batch.h"

#include "base/counter.h"
#include "base/crc32c.h"
#include "shards/evict.h"
#include "shards/put.h"

#define BATCH_ROOM_NS UINT64_C(10000000000)

static struct warp_entry batch_entry(const struct warp_batch_operation *operation,
                                     const uint8_t *body, uint32_t body_bytes)
{
    struct warp_entry entry;
    size_t bytes;
    int rc;

    rc = warp_entry_decode(body + operation->entry_offset,
                           body_bytes - operation->entry_offset, &entry, &bytes);
    warp_assert(rc == 0); /* the engine encoded it */
    return entry;
}

static void batch_undo(struct warp_store *store, struct warp_batch_operation *operations,
                       uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        struct warp_batch_operation *one = &operations[i];
        struct warp_shard *shard = warp_store_owner(store, one->slot);

        warp_table_unreserve(&store->words[one->slot], &store->slots[one->slot].count,
                             one->hash);
        if (one->record != NULL) {
            warp_slab_release(&shard->limbo.pool, one->record,
                              warp_record_bytes_of(one->record));
            one->record = NULL;
        }
    }
}

/* Room for what comes in, and where slots have moved also for what goes out. */
static int batch_reserve_ledger(struct warp_store *store,
                                const struct warp_batch_operation *operations,
                                uint32_t count, const uint8_t *body, uint32_t body_bytes,
                                uint32_t id)
{
    struct warp_ledger *ledger = &store->shards[id]->ledger;

    for (;;) {
        uint32_t missing = 0, i;
        int rc;

        for (i = 0; ledger->mixed && i < count; i++) {
            const struct warp_batch_operation *one = &operations[i];
            struct warp_entry entry = batch_entry(one, body, body_bytes);
            const struct warp_record *old;

            if (warp_slotmap_owner(&store->slotmap, one->slot) == id) {
                old = warp_table_find(&store->words[one->slot], one->hash, entry.key,
                                      entry.key_bytes);
                missing += old == NULL ? 0 : warp_ledger_missing(ledger, old);
            }
        }
        if (warp_ledger_has_room(ledger, body_bytes, missing)) {
            return 0;
        }
        rc = warp_ledger_make_room(
            ledger, (uint32_t)((body_bytes + 64) >> ledger->segment_shift) + 2 + missing);
        if (rc < 0) {
            return rc;
        }
    }
}

/* Do the shards whose leases are held own all slots? One may have moved before. */
static bool batch_owns(const struct warp_store *store,
                       const struct warp_batch_operation *operations, uint32_t count,
                       uint64_t shards)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if ((shards >> warp_slotmap_owner(&store->slotmap, operations[i].slot) & 1) == 0) {
            return false;
        }
    }
    return true;
}

static uint64_t batch_shards(const struct warp_store *store,
                             const struct warp_batch_operation *operations, uint32_t count)
{
    uint64_t shards = 0;
    uint32_t i;

    for (i = 0; i < count; i++) {
        shards |= UINT64_C(1) << warp_slotmap_owner(&store->slotmap, operations[i].slot);
    }
    return shards;
}

/* Make sure of everything that may fail, all leases held. */
static int batch_prepare(struct warp_store *store, struct warp_batch_operation *operations,
                         uint32_t count, const uint8_t *body, uint32_t body_bytes,
                         uint64_t shards)
{
    bool again = true;
    uint32_t i;
    int rc = 0;

    while (again) {
        again = false;
        for (i = 0; i < count && !again; i++) {
            struct warp_batch_operation *one = &operations[i];
            struct warp_shard *shard = warp_store_owner(store, one->slot);
            struct warp_entry entry = batch_entry(one, body, body_bytes);
            struct warp_slice key = {entry.key, entry.key_bytes};
            struct warp_slice value = {entry.value, entry.value_bytes};

            if (entry.kind == WARP_ENTRY_DELETE) {
                continue;
            }
            rc = warp_put_prepare(shard, one->slot, one->hash,
                                  warp_table_find(&store->words[one->slot], one->hash,
                                                  key.data, key.bytes) != NULL,
                                  true, body_bytes);
            if (rc == WARP_AGAIN) {
                again = true;
                break;
            }
            if (rc == 0 && one->record == NULL) {
                warp_evict_make_room(
                    shard, warp_entry_bytes(0, entry.key_bytes, entry.value_bytes) + 32);
                one->record = warp_put_make(shard, key, value, entry.expires_at_ms, true);
                rc = one->record == NULL ? WARP_ENOMEM : 0;
            }
            if (rc < 0) {
                return rc;
            }
        }
        if (again) {
            for (i = 0; i < count; i++) {
                warp_table_unreserve(&store->words[operations[i].slot],
                                     &store->slots[operations[i].slot].count,
                                     operations[i].hash);
            }
        }
    }
    /* Growing may have used up what was reserved for retiring, so this comes last. */
    for (i = 0; i < store->shard_count; i++) {
        if ((shards >> i & 1) != 0) {
            rc = batch_reserve_ledger(store, operations, count, body, body_bytes, i);
            if (rc == 0) {
                rc = warp_limbo_reserve(&store->shards[i]->limbo, count + 1);
            }
            if (rc == 0) {
                rc = warp_horizon_reserve(&store->shards[i]->horizon, count);
            }
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* Of a batch each operation took as long as any other: the leases are held for all. */
static void batch_weigh(struct warp_store *store,
                        const struct warp_batch_operation *operations, uint32_t count,
                        uint32_t body_bytes, uint64_t ticks)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        struct warp_slot *slot = &store->slots[operations[i].slot];
        struct warp_mass_sampler *sampler =
            &warp_store_owner(store, operations[i].slot)->sampler;

        if (warp_mass_due(&store->mass, sampler)) {
            warp_mass_add(sampler, &slot->mass, (int64_t)(ticks / count),
                          body_bytes / count, slot->bytes);
        }
    }
}

int warp_batch_run(struct warp_store *store, struct warp_batch_operation *operations,
                   uint32_t count, const uint8_t *body, uint32_t body_bytes, uint32_t level,
                   uint64_t *sequence, uint64_t *end)
{
    struct warp_writer *writer = &store->wal->writer;
    uint32_t body_crc = warp_crc32c(0, body, body_bytes);
    struct warp_slice part = {body, body_bytes};
    uint64_t shards, position = 0, frame_end = 0;
    uint32_t reliefs = 0;
    uint64_t begun = 0;
    bool weighed;
    uint32_t i, cell;
    int rc;

    for (i = 0; i < count; i++) {
        operations[i].record = NULL;
    }
    for (;;) {
        shards = batch_shards(store, operations, count);
        cell = (uint32_t)__builtin_ctzll(shards);
        for (i = 0; i < store->shard_count; i++) {
            if ((shards >> i & 1) != 0) {
                warp_shard_enter_surely(store->shards[i]);
            }
        }
        weighed = warp_mass_is_on(&store->mass);
        if (WARP_UNLIKELY(weighed)) {
            begun = warp_clock_ticks(store->env->clock);
        }
        rc = 0;
        if (WARP_UNLIKELY(!batch_owns(store, operations, count, shards))) {
            rc = WARP_MESSAGE_MOVED;
        } else if (warp_writer_failed(writer)) {
            rc = WARP_EFAILED;
        } else if (!warp_wal_has_room(store->wal, body_bytes, false)) {
            rc = WARP_MESSAGE_NEEDS_ROOM;
        } else {
            rc = batch_prepare(store, operations, count, body, body_bytes, shards);
            if (rc == 0) {
                rc = warp_wal_append(store->wal, cell, WARP_FRAME_BATCH, &part, 1,
                                     body_bytes, body_crc, false, &position, &frame_end);
            }
            if (rc != 0) {
                batch_undo(store, operations, count);
                rc = rc == WARP_AGAIN ? WARP_MESSAGE_NEEDS_ROOM : rc;
            }
        }
        if (rc == 0) {
            for (i = 0; i < count; i++) {
                struct warp_batch_operation *one = &operations[i];
                struct warp_entry entry = batch_entry(one, body, body_bytes);
                struct warp_shard *shard = warp_store_owner(store, one->slot);
                struct warp_slice key = {entry.key, entry.key_bytes};
                _Atomic uint64_t *puts = entry.kind == WARP_ENTRY_PUT
                                             ? &shard->counters.puts
                                             : &shard->counters.deletes;

                *sequence = position + WARP_FRAME_HEADER_BYTES + one->entry_offset;
                warp_put_apply(shard, one->slot, one->hash, key, one->record, *sequence);
                one->record = NULL;
                warp_counter_add(puts, 1);
            }
            for (i = 0; i < count; i++) {
                warp_table_unreserve(&store->words[operations[i].slot],
                                     &store->slots[operations[i].slot].count,
                                     operations[i].hash);
            }
            if (WARP_UNLIKELY(weighed)) {
                batch_weigh(store, operations, count, body_bytes,
                            warp_clock_ticks(store->env->clock) - begun);
            }
        }
        for (i = 0; i < store->shard_count; i++) {
            if ((shards >> i & 1) != 0) {
                warp_shard_leave(store->shards[i]);
            }
        }
        if (WARP_UNLIKELY(rc == WARP_MESSAGE_MOVED)) {
            atomic_fetch_add_explicit(&store->moving.bounced, 1, memory_order_relaxed);
            continue;
        }
        if (rc == WARP_ENOMEM && reliefs < WARP_EVICT_RELIEFS_MAX &&
            warp_evict_relieve(store, store->shards[cell], body_bytes, reliefs)) {
            reliefs++;
            continue;
        }
        if (rc != WARP_MESSAGE_NEEDS_ROOM) {
            break;
        }
        rc = warp_writer_make_room(writer, warp_frame_bytes(body_bytes), false,
                                   BATCH_ROOM_NS);
        if (rc != 0) {
            return rc;
        }
    }
    if (rc == 0) {
        *end = frame_end;
        warp_writer_note(writer, frame_end, level == WARP_INTERVAL);
    }
    return rc;
}
