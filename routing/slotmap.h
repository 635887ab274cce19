/*
 * routing/slotmap.h - which shard owns which slot.
 *
 * An array of 16,384 owners. Today it is filled once, evenly, when the database is opened with its
 * number of shards; a later mover changes it while it holds both leases. Hash slots as the unit
 * of placement are those of the Redis Cluster specification.
 *
 * Threads:   owner by any thread; init by the opener.
 * Lifetime:  embedded; nothing is allocated.
 * Units:     slots 0 - 16,383, shards 0 - 63.
 * Ordering:  owner is relaxed: who acts on it takes the lease and asks again under it, which is
 *            where a move is ordered.
 * Errors:    none.
 * Cost:      one load.
 */
#ifndef ROUTING_SLOTMAP_H
#define ROUTING_SLOTMAP_H

#include <stdatomic.h>
#include <stdint.h>

#include "warp/warp.h"

struct warp_slotmap {
    _Atomic uint8_t owners[WARP_SLOT_COUNT];
};

/* Slots in turn to shard_count shards, so that neighbours lie apart. */
void warp_slotmap_init(struct warp_slotmap *map, uint32_t shard_count);

static inline uint32_t warp_slotmap_owner(const struct warp_slotmap *map, uint32_t slot)
{
    return atomic_load_explicit(&map->owners[slot], memory_order_relaxed);
}

#endif
