/*
 * base/latency.h - how long the operations of one thread take, from a sample of them.
 *
 * Two looks at the clock cost more than a read from memory may be allowed to lose, so not every
 * operation is timed: as many of them as take one part in WARP_LATENCY_SHARE of the thread's time. What takes
 * long is then timed every time, and what is short one time in WARP_LATENCY_GAP_MAX at the least. A
 * sample stands for all operations since the one before, and is added so many times; the gaps are drawn
 * before it is known how long the operation at their end takes, which is why the weighted sample is
 * as fair as one of even gaps (Horvitz and Thompson, "A generalization of sampling without
 * replacement from a finite universe", J. Am. Stat. Assoc. 47, 1952). They are drawn from an interval,
 * so that no period in the work hides behind them.
 *
 * Threads:   due and add by one thread; merge and the counters by any.
 * Lifetime:  embedded; init before use.
 * Units:     nanoseconds, 0 to 2^36 - 1 (69 s); what is longer counts as the longest.
 * Ordering:  relaxed: a reader sees some recent state.
 * Errors:    none.
 * Cost:      due is a decrement and a branch. A sample is two looks at the clock and about 10 ns. 4.2 KiB.
 *
 * A time is known to 1/16 (6.3 %), upwards: base/histogram has four times as many buckets, and these
 * end where those do.
 */
#ifndef BASE_LATENCY_H
#define BASE_LATENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/histogram.h"

#define WARP_LATENCY_STEP_BITS 4u
#define WARP_LATENCY_STEPS     16u
#define WARP_LATENCY_BITS      36u
#define WARP_LATENCY_NS_MAX    ((UINT64_C(1) << WARP_LATENCY_BITS) - 1)
#define WARP_LATENCY_BUCKETS                                                               \
    ((WARP_LATENCY_BITS - WARP_LATENCY_STEP_BITS + 1u) * WARP_LATENCY_STEPS)

#define WARP_LATENCY_SAMPLE_NS 150u /* what a sample is taken to cost */
#define WARP_LATENCY_SHARE     300u
#define WARP_LATENCY_GAP_MAX   1024u /* on average */

enum warp_latency_mode {
    WARP_LATENCY_SAMPLED,
    WARP_LATENCY_OFF,
    WARP_LATENCY_ALL,
};

struct warp_latency {
    /* Of the thread that measures. */
    uint32_t countdown; /* the operation that makes it 0 is timed */
    uint32_t gap;       /* how many it stands for */
    uint32_t weight;    /* of the one that is under way */
    uint32_t mean;      /* of the gaps that are drawn */
    uint32_t dice;
    enum warp_latency_mode mode;
    /* Written by it, read by observers. */
    _Atomic uint64_t samples;
    _Atomic uint64_t sum; /* of all that they stand for */
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[WARP_LATENCY_BUCKETS];
};

/* Of zeroed memory. seed: another one for each. */
void warp_latency_init(struct warp_latency *latency, enum warp_latency_mode mode,
                       uint32_t seed);

/* The countdown is over; false: nothing is timed. */
bool warp_latency_draw(struct warp_latency *latency);

/* Is this operation to be timed? Then it should be added once it is over; one that is not costs
 * the count of those that it would have stood for. */
static inline bool warp_latency_due(struct warp_latency *latency)
{
    return WARP_UNLIKELY(--latency->countdown == 0) && warp_latency_draw(latency);
}

/* The one that was due took so long. */
void warp_latency_add(struct warp_latency *latency, uint64_t ns);

/* Add all of from to into, whose writer the caller is. */
void warp_latency_merge(struct warp_histogram *into, const struct warp_latency *from);

#endif
