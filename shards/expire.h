/*
 * shards/expire.h - takes out records whose time has passed.
 *
 * Reading is strict by itself (an expired record is never returned); the sweep gives the memory
 * back, and tells the ledger that what the records have on disk is dead. To find one record that has
 * expired in a slot, all of the slot are looked at; so a slot is swept when that pays: when about
 * one per cent of its bytes have expired (or the first of a few), and a minute after the first at the
 * latest. When that will be, each sweep foretells from the expiries it sees, and puts of records
 * that expire sooner bring it forward.
 *
 *     expired in a slot
 *     1 % |     /|     /|     /|      what all slots hold is half of that, about: each is
 *         |    / |    / |    / |      somewhere on its way
 *         |   /  |   /  |   /  |
 *       0 +------+------+------+--> time
 *
 * Whether it is so is measured: with every pass some slots are swept whose turn it is not, and what
 * they had in them that had expired is the estimate for all. When that is too much, slots are swept
 * earlier.
 *
 * Nothing is logged: the expiry is in the put's own frame, so recovery drops it too, and a
 * checkpoint passes over what has expired.
 *
 * Threads:   by the holder of the shard's lease.
 * Lifetime:  none of its own; its place is kept in the shard.
 * Units:     Unix time in ms, as the engine's clock has it; thousandths of bytes in memory.
 * Ordering:  the lease.
 * Errors:    none: a slot that cannot be swept for lack of memory is swept later.
 * Cost:      about 1,024 records looked at per call, or one slot: a slot that one tag made huge
 *            is walked whole. In the long run 60 to 130 looks for each record that expires in
 *            slots of more than that many, at 70 ns each when they are not in a CPU's cache; in small
 *            slots as many as there are in it. Of the shard's thread it takes half at most; when
 *            that is not enough, more than one per cent stays, and then sweeps find more.
 */
#ifndef SHARDS_EXPIRE_H
#define SHARDS_EXPIRE_H

#include "shards/store.h"

void warp_expire_init(struct warp_shard *shard);

/* A record was put that expires before its slot's sweep is due. */
void warp_expire_note(struct warp_shard *shard, uint32_t slot,
                      const struct warp_record *record, uint64_t expires_at_ms);

/* How many times as long as a call has taken the next one is to wait, this one's time included: so
 * that sweeping takes a quarter of the thread's time, or half when too much is expired. */
uint32_t warp_expire_pause(const struct warp_shard *shard);

/* True if there is more to do right away. */
bool warp_expire_sweep(struct warp_shard *shard, uint64_t now_ms);

#endif
