#include "shards/expire.h"

#include "base/counter.h"
#include "base/hash.h"
#include "shards/put.h"

#define EXPIRE_RECORDS_PER_CALL 2048u
#define EXPIRE_SLOTS_PER_CALL   4096u

struct expire_walk {
    struct warp_shard *shard;
    uint64_t now_ms;
    uint64_t earliest_ms;
    uint32_t slot;
};

static int expire_visit(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct expire_walk *walk = context;
    uint64_t expires_at_ms = warp_record_expires_at_ms(record);

    if (expires_at_ms == 0) {
        return 0;
    }
    if (expires_at_ms > walk->now_ms) {
        if (expires_at_ms < walk->earliest_ms) {
            walk->earliest_ms = expires_at_ms;
        }
        return 0;
    }
    if (warp_limbo_reserve(&walk->shard->limbo, 1) < 0) {
        walk->earliest_ms = walk->now_ms; /* once more, later */
        return 0;
    }
    warp_put_drop(walk->shard, walk->slot,
                  warp_hash_key(warp_record_key(record), warp_record_key_bytes(record),
                                walk->shard->store->hash_seed),
                  record, place);
    warp_counter_add(&walk->shard->counters.expired, 1);
    return 0;
}

bool warp_expire_sweep(struct warp_shard *shard, uint64_t now_ms)
{
    struct warp_store *store = shard->store;
    uint32_t looked = 0, slots = 0;

    warp_shard_assert_owner(shard);
    if (shard->sweep_slot >= WARP_SLOT_COUNT) {
        if (shard->earliest_expiry_ms > now_ms) {
            return false;
        }
        shard->sweep_slot = 0;
        shard->sweep_earliest_ms = UINT64_MAX;
        /* Puts during the sweep lower it again. */
        shard->earliest_expiry_ms = UINT64_MAX;
    }
    while (shard->sweep_slot < WARP_SLOT_COUNT) {
        uint32_t slot = shard->sweep_slot;
        struct warp_slot *state = &store->slots[slot];

        if (looked >= EXPIRE_RECORDS_PER_CALL || slots >= EXPIRE_SLOTS_PER_CALL) {
            return true;
        }
        slots++;
        shard->sweep_slot++;
        if (warp_slotmap_owner(&store->slotmap, slot) != shard->id) {
            continue;
        }
        if (state->earliest_expiry_ms <= now_ms) {
            struct expire_walk walk = {shard, now_ms, UINT64_MAX, slot};

            looked += state->records;
            (void)warp_table_walk(&store->words[slot], expire_visit, &walk);
            state->earliest_expiry_ms = walk.earliest_ms;
        }
        if (state->earliest_expiry_ms < shard->sweep_earliest_ms) {
            shard->sweep_earliest_ms = state->earliest_expiry_ms;
        }
    }
    if (shard->sweep_earliest_ms < shard->earliest_expiry_ms) {
        shard->earliest_expiry_ms = shard->sweep_earliest_ms;
    }
    return false;
}
