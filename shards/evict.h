/*
 * shards/evict.h - keeps a shard's memory within its share: values leave, keys stay.
 *
 * Values beyond the event horizon are on disk only. cache/horizon decides which leave; this room
 * carries it out: a resident record is replaced by a cold one, which costs no write, for the log
 * already has the value. Only what the log has made durable may leave.
 *
 * A slot that is changing its shard (shards/move) has its values in no queue, so they stay in
 * memory as long as that takes; meanwhile their hits say what standing they had.
 *
 * A shard's share is memory_bytes_max, less what everything but the shards' pools takes, divided
 * by the number of shards. Records are made through here, so that room is made before memory is
 * taken, and none is when the database is at its limit.
 *
 * Threads:   by the holder of the shard's lease.
 * Lifetime:  what make returns is the caller's until it is published or released to the pool.
 * Units:     bytes of memory, as the size classes of the pool are.
 * Ordering:  none of its own.
 * Errors:    NULL from make: no memory although all was evicted that could be.
 * Cost:      nothing while there is room; then an eviction or two per record made, each one
 *            lookup and a small record written.
 */
#ifndef SHARDS_EVICT_H
#define SHARDS_EVICT_H

#include "cache/horizon.h"
#include "shards/prefetch.h"
#include "shards/store.h"

extern const struct warp_horizon_ops warp_evict_ops;

/* What the shard owns and is not on its way back, in whatever pool. */
static inline uint64_t warp_evict_live_bytes(const struct warp_shard *shard)
{
    return warp_limbo_owned_bytes(&shard->limbo) - shard->limbo.pending_bytes;
}

/* See that `bytes` more fit the share, by a bounded number of evictions. Records may be replaced:
 * pointers to records found before are stale afterwards, places in tables are not. */
void warp_evict_make_room_slowly(struct warp_shard *shard, uint64_t bytes);

static inline void warp_evict_make_room(struct warp_shard *shard, uint64_t bytes)
{
    if (WARP_UNLIKELY(warp_evict_live_bytes(shard) + bytes > shard->memory_soft ||
                      warp_horizon_bytes(&shard->horizon) + bytes > shard->values_max)) {
        warp_evict_make_room_slowly(shard, bytes);
    }
}

/* Is there more than should be, and something that could leave? */
static inline bool warp_evict_is_over(const struct warp_shard *shard)
{
    return warp_horizon_bytes(&shard->horizon) > 0 &&
           (warp_evict_live_bytes(shard) > shard->memory_soft ||
            warp_horizon_bytes(&shard->horizon) > shard->values_max);
}

/* Would the pool have to grow beyond the share for a record of so many bytes? */
static inline bool warp_evict_overgrows(const struct warp_shard *shard, uint64_t bytes)
{
    size_t growth = warp_slab_growth(&shard->limbo.pool, bytes);

    return growth > 0 && warp_limbo_held_bytes(&shard->limbo) + growth > shard->memory_hard;
}

/* A record of this content, not published yet; makes no room by itself. NULL: no memory. */
struct warp_record *warp_evict_make(struct warp_shard *shard,
                                    const struct warp_record_content *content);

/*
 * make has returned NULL, for the time `tries` (0, 1, ...): each time more values have to leave.
 * The first is for the holder of the lease. The second is for whoever holds no lease and is
 * inside no section; if what the shard itself has is not enough it looks at all shards and gives
 * the readers, and the log when values wait for it, some time, at most 20 ms, to let memory go.
 * False: there was nothing to come.
 */
bool warp_evict_relieve_here(struct warp_shard *shard, uint64_t bytes, uint32_t tries);
bool warp_evict_relieve(struct warp_store *store, const struct warp_shard *wanting,
                        uint64_t bytes, uint32_t tries);

#define WARP_EVICT_RELIEFS_MAX 64u /* tries, then the answer is WARP_ENOMEM */

/* Would the policy keep a value that was read from disk? */
bool warp_evict_admits(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                       const struct warp_record_content *content);

/* A resident record is about to take the place of nothing or of a cold one (old_resident NULL), or
 * of a resident one: into the policy's queues. warp_horizon_reserve() came before. */
void warp_evict_note(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                     struct warp_record *fresh, const struct warp_record *old_resident);

/* The same for one that takes the place of a cold one whose value was wished back. */
void warp_evict_note_again(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                           struct warp_record *fresh, uint8_t standing);

/* Is there room for a value of this standing to come back, at the cost of nothing that has earned more?
 * Makes it. */
bool warp_evict_readmits(struct warp_shard *shard,
                         const struct warp_record_content *content, uint8_t standing);

/* A resident record whose slot has changed its shard comes into this one's queues, with what it had
 * earned there. warp_horizon_reserve() came before. */
void warp_evict_settle(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                       struct warp_record *record);

/* Make room for a value of so many bytes that nobody has asked for yet. False: there is none to spare. */
bool warp_evict_has_room(struct warp_shard *shard, uint64_t bytes);

/* A resident record goes away, or another takes its place: if it had been fetched for nobody, it was in
 * vain. */
static inline void warp_evict_unasked(struct warp_shard *shard, struct warp_record *record)
{
    if (WARP_UNLIKELY(warp_record_unmark(record))) {
        warp_prefetch_wasted(shard->store, warp_slab_round(warp_record_bytes_of(record)));
    }
}

/* A resident record goes away by itself. */
static inline void warp_evict_forget(struct warp_shard *shard, struct warp_record *record)
{
    warp_evict_unasked(shard, record);
    warp_horizon_forget(&shard->horizon, warp_record_queue(record),
                        warp_slab_round(warp_record_bytes_of(record)));
}

/* Look anew at how much memory there is for the shard: from its tick, and now and then in between. */
void warp_evict_share(struct warp_shard *shard);

#endif
