/*
 * shards/move.h - gives a slot to another shard while everybody goes on.
 *
 * A move changes who may write to the slot, and nothing about where its records lie: they stay in
 * the memory they are in, readers find them as before and never hear of it. The shape is that of a
 * process's migration with its memory left behind, to follow on reference: Zayas, "Attacking the
 * Process Migration Bottleneck", SOSP 1987.
 *
 * Life of a move:
 *
 *   SETTLED    one shard owns the slot                               the lease of
 *   LEAVING    its values leave the old owner's eviction queues,     the old owner, in steps
 *              part by part; none comes in
 *   FLIPPED    counters and charge go over, the map gets the new     both, for a microsecond
 *              owner and a new version
 *   ARRIVING   its values come into the new owner's queues           the new owner, in steps
 *   SETTLED
 *
 * What hangs on a slot, and what a move does to it:
 *
 *   words[], slots[]          the store's, one of each per slot: nothing; who holds the new owner's
 *                             lease owns them (table, count, records, bytes, due_ms, early_bytes)
 *   removed_sequence          the same: readers go on waiting for the last delete
 *   records, record_bytes,    of the shards' counters: the slot's part goes over at the flip; what
 *   cold_records              only ever grows (puts, deletes, ...) stays where it was counted
 *   limbo.pool                the memory stays; what the new owner retires goes home by itself when
 *                             it is ripe (base/slab, shards/limbo)
 *   limbo.charge_bytes        goes over at the flip, so that each shard's part of the memory is what
 *                             it owns, wherever that lies
 *   limbo bags, pinned        what was retired before stays with who has retired it
 *   ledger                    stays; the new owner counts out what the old one has counted in, and
 *                             the sum over shards is what is asked for (shards/ledger)
 *   horizon queues            LEAVING and ARRIVING; in between a value keeps what it has earned as
 *                             its hits, and cannot be evicted. The ghost stays, it is a hint
 *   shard.due_ms, restless    the new owner's is lowered to the slot's, so the sweep comes by; the
 *                             old one's may be too early, once. A sweep under way (sweep_slot) that
 *                             has passed the slot learns of it in the same way
 *   sweep_permille, probe_*   measured over many slots: nothing
 *   mailbox, backlog          a message that meets the old owner is answered WARP_MESSAGE_MOVED, and
 *                             its asker sends it on; with a cold read begun, which stays good
 *   walks of checkpoint,      they look for the owner slot by slot and ask again under its lease
 *   compaction, warm-up,
 *   sweep, cold reads
 *   warm_records, warm_bytes  a plan made at the open: nothing
 *   log cells, frames         every shard may append for any slot: nothing
 *
 * Threads:   any, without a lease and outside an epoch section; one move at a time in a store, and
 *            who comes meanwhile gets WARP_AGAIN.
 * Lifetime:  nothing is kept between calls.
 * Units:     slots, shards.
 * Ordering:  what the old owner has written comes before what the new one does: the mover holds
 *            both leases at the flip. Leases are taken in ascending order, as batches do.
 * Errors:    WARP_EINVAL: no such slot or shard. WARP_AGAIN: a lease was not to be had at once, or
 *            the slot grew too fast; everything is as it was. WARP_ENOMEM: moved, but not all its
 *            values could be queued; the next move settles them.
 * Cost:      no record is copied, and none looked at while both leases are held: a slot without
 *            records takes 0.1 us all in. Else each record is looked at twice, once under each
 *            lease, in steps of 8 buckets (at most 64 records, 1 - 10 us); the lease is given back
 *            after each. All in 2 us with 60 records, 30 us with 600, 0.4 ms with 5,000
 *            (build/tests/move_costs).
 */
#ifndef SHARDS_MOVE_H
#define SHARDS_MOVE_H

#include "shards/store.h"

/* 0 also if the slot is that shard's already. */
int warp_move_slot(struct warp_store *store, uint32_t slot, uint32_t to);

#endif
