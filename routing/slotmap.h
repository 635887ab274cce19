/*
 * routing/slotmap.h - which shard owns which slot.
 *
 * An array of 16,384 owners and a version that rises with each change. It is filled when the
 * database is opened with its number of shards, evenly or as it was when it was last open; after
 * that a mover (shards/move) changes one owner at a time while it holds both leases. Hash slots
 * as the unit of placement are those of the Redis Cluster specification.
 *
 * A version is a moment of the map: who remembers one can tell later whether a slot has moved
 * since, by the version that the slot's last move has left beside it.
 *
 * Threads:   owner, version and settled by any thread; init and load by the opener; begin_move and
 *            end_move by who holds the leases of the old owner and of the new one, one move at a time.
 * Lifetime:  embedded; nothing is allocated.
 * Units:     slots 0 - 16,383, shards 0 - 63; versions count moves since the open.
 * Ordering:  owner is an acquire that pairs with the release of end_move: who sees the new owner sees
 *            the move's version, in the map and beside the slot. settled is an acquire that pairs with
 *            the other release of end_move: who sees a version there sees its owners. version is an
 *            acquire, too, and pairs with the add of begin_move. That is all they say: who acts on
 *            an owner takes the lease and asks again under it, which is where a move is ordered.
 * Errors:    load refuses a map with an owner that is no shard, and then nothing has changed.
 * Cost:      owner one load; a move one atomic add and three stores.
 */
#ifndef ROUTING_SLOTMAP_H
#define ROUTING_SLOTMAP_H

#include <stdatomic.h>
#include <stdint.h>

#include "warp/warp.h"

struct warp_slotmap {
    _Atomic uint64_t version; /* moves begun */
    _Atomic uint64_t settled; /* and ended; there is one at a time */
    _Atomic uint8_t owners[WARP_SLOT_COUNT];
};

/* Slots in turn to shard_count shards, so that neighbours lie apart. */
void warp_slotmap_init(struct warp_slotmap *map, uint32_t shard_count);

static inline uint32_t warp_slotmap_owner(const struct warp_slotmap *map, uint32_t slot)
{
    return atomic_load_explicit(&map->owners[slot], memory_order_acquire);
}

/* How often an owner has changed. Asked after owner(): an owner that is newer than a version that
 * was seen before shows here. */
static inline uint64_t warp_slotmap_version(const struct warp_slotmap *map)
{
    return atomic_load_explicit(&map->version, memory_order_acquire);
}

/* The version whose owners are all there to be seen: one behind while a move is being made. Who wants to
 * know later what has moved since now keeps this, asked before any owner; kept versions of moves that are
 * only begun would hide them. */
static inline uint64_t warp_slotmap_settled(const struct warp_slotmap *map)
{
    return atomic_load_explicit(&map->settled, memory_order_acquire);
}

/* Owners as they were kept, one byte a slot. WARP_EDAMAGED: one of them is not below shard_count. */
int warp_slotmap_load(struct warp_slotmap *map, const uint8_t owners[WARP_SLOT_COUNT],
                      uint32_t shard_count);

/* Copy the owners out, each as it is at some moment of the call. */
void warp_slotmap_save(const struct warp_slotmap *map, uint8_t owners[WARP_SLOT_COUNT]);

/* ---- the holder of both leases ---------------------------------------------------------- */

/* Give a slot to another shard: one begin, then its end, one slot at a time. *moved, which belongs to
 * the slot, gets the version of the map that this makes, before anybody sees the new owner. */
void warp_slotmap_begin_move(struct warp_slotmap *map, uint32_t slot,
                             _Atomic uint64_t *moved);
void warp_slotmap_end_move(struct warp_slotmap *map, uint32_t slot, uint32_t owner);

#endif
