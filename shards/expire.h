/*
 * shards/expire.h - takes out records whose time has passed.
 *
 * Reading is strict by itself (an expired record is never returned); the sweep gives the memory
 * back. It goes over the slots whose earliest expiry has come, a bounded number of records per
 * turn. Nothing is logged: the expiry is in the put's own frame, so recovery drops it too.
 *
 * Threads:   by the holder of the shard's lease.
 * Lifetime:  none of its own; its place is kept in the shard.
 * Units:     Unix time in ms, as the engine's clock has it.
 * Ordering:  the lease.
 * Errors:    none: a slot that cannot be swept for lack of memory is swept later.
 * Cost:      about 2,000 records looked at per call, or one slot: a slot that one tag made huge
 *            is walked whole.
 */
#ifndef SHARDS_EXPIRE_H
#define SHARDS_EXPIRE_H

#include "shards/store.h"

/* True if there is more to do right away. */
bool warp_expire_sweep(struct warp_shard *shard, uint64_t now_ms);

#endif
