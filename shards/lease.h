/*
 * shards/lease.h - the right to run a shard.
 *
 * One word: free or held. Whoever changes a shard's data holds its lease: the shard's own thread
 * in its turn, or any caller that found it free and runs its request itself. It is never held
 * across a wait, but for a frame too big for the log ring. Who cannot have it puts a message
 * into the mailbox; the holder looks there after it has let go (shards/mailbox says why nothing
 * is lost). Running the critical section where the lock is free and delegating where it is not
 * is from Oyama et al., 1999, and "flat combining", Hendler et al., SPAA 2010.
 *
 * Threads:   any.
 * Lifetime:  embedded in the shard.
 * Units:     none.
 * Ordering:  taking is acquire and pairs with the release of giving back; giving back is seq_cst,
 *            so that the look at the mailbox after it cannot move before it.
 * Errors:    none.
 * Cost:      two atomic exchanges, uncontended about 5 ns each.
 */
#ifndef SHARDS_LEASE_H
#define SHARDS_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

struct warp_lease {
    _Atomic uint32_t held;
};

static inline bool warp_lease_try(struct warp_lease *lease)
{
    /* The load first, so that waiting does not move the line about; seq_cst as all that the
     * mailbox's argument rests on. */
    return atomic_load_explicit(&lease->held, memory_order_seq_cst) == 0 &&
           atomic_exchange_explicit(&lease->held, 1, memory_order_seq_cst) == 0;
}

static inline void warp_lease_give_back(struct warp_lease *lease)
{
    warp_assert(atomic_load_explicit(&lease->held, memory_order_relaxed) == 1);
    atomic_store_explicit(&lease->held, 0, memory_order_seq_cst);
}

/* Was somebody holding it just now? For who has sent a message, after that: the holder will look at the
 * mailbox when it has let go. seq_cst as all that the mailbox's argument rests on. */
static inline bool warp_lease_was_held(const struct warp_lease *lease)
{
    return atomic_load_explicit(&lease->held, memory_order_seq_cst) != 0;
}

/* For assertions: somebody holds it, and on a path where that can only be the caller. */
static inline bool warp_lease_is_held(const struct warp_lease *lease)
{
    return atomic_load_explicit(&lease->held, memory_order_relaxed) != 0;
}

#endif
