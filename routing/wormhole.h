/*
 * routing/wormhole.h - decides how a write gets past a shard that is busy: wait for the lease, or send.
 *
 * A write takes its shard's lease if that is free. If it is not, there are two ways: wait until it is,
 * backing off meanwhile, or leave a message to whoever holds it. Which one is sooner depends on how
 * long leases are held here, on how many processors there are and on whether the holder gets to run; so
 * it is not reckoned but measured, by each caller for each shard on its own: while the lease is seldom
 * busy the write waits, which is over soon; when it is busy often, the time of each way is kept, the
 * shorter one is taken, counting what a message costs who carries it out and wakes its sender, and now and
 * then the other, lest an old verdict stay for ever; the more seldom,
 * the oftener it has turned out to be the longer one. Choosing by
 * measured cost between spinning and other ways of waiting is from Lim and Agarwal, "Reactive
 * synchronization algorithms for multiprocessors", ASPLOS 1994; the decision per caller is ours.
 *
 *   busy'  = busy + (65,536 * (1: it was busy, 0: free) - busy) / 64
 *   ticks' = ticks + (took - ticks) / 8, of the way that was gone; took counts 16 times ticks at most
 *
 * Threads:   the caller's own.
 * Lifetime:  embedded; zero is the start.
 * Units:     busy in 65,536ths of all writes; ticks of base/clock, of whatever length.
 * Ordering:  none: nobody else reads it.
 * Errors:    none.
 * Cost:      a load and a branch while the lease has long been free; two looks at the processor's
 *            counter, some 40 ns, for one in eight of the writes that find a busy lease often.
 */
#ifndef ROUTING_WORMHOLE_H
#define ROUTING_WORMHOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

#define WARP_WORMHOLE_OFTEN       4096u /* busy in one of 16 */
#define WARP_WORMHOLE_EXPLORE     32u   /* one in so many takes the other way at first, */
#define WARP_WORMHOLE_EXPLORE_MAX 4096u /* and in so many at last */
#define WARP_WORMHOLE_TIMED       8u    /* one in so many is timed, and all that explore */
#define WARP_WORMHOLE_FAVOUR                                                               \
    4u /* sending must be so many times shorter: it costs others, too */
#define WARP_WORMHOLE_PAUSE_MAX 4u

enum warp_wormhole_way {
    WARP_WORMHOLE_WAIT, /* for the lease */
    WARP_WORMHOLE_SEND, /* a message */
    WARP_WORMHOLE_WAYS
};

/* What one caller knows of one shard. */
struct warp_wormhole {
    uint32_t busy;
    uint32_t left;                      /* choices until the other way is taken */
    uint32_t gap;                       /* from one such to the next; 0: none yet */
    uint32_t ticks[WARP_WORMHOLE_WAYS]; /* 0: never gone */
};

/* The lease was free. */
static inline void warp_wormhole_was_free(struct warp_wormhole *wormhole)
{
    if (WARP_UNLIKELY(wormhole->busy != 0)) {
        wormhole->busy -= wormhole->busy / 64 + 1;
    }
}

/* The lease is busy: is that so often enough that the ways are worth timing? */
bool warp_wormhole_was_busy(struct warp_wormhole *wormhole);

/* Which way to go; *timed: afterwards it is to be said how long it took. */
enum warp_wormhole_way warp_wormhole_choose(struct warp_wormhole *wormhole, bool *timed);
void warp_wormhole_took(struct warp_wormhole *wormhole, enum warp_wormhole_way way,
                        uint64_t ticks);

/* How many short pauses before looking at the lease again; *pause is 0 at the begin of a wait. */
static inline uint32_t warp_wormhole_back_off(uint32_t *pause)
{
    *pause = *pause == 0 ? 1 : *pause < WARP_WORMHOLE_PAUSE_MAX ? *pause * 2 : *pause;
    return *pause;
}

#endif
