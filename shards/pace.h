/*
 * shards/pace.h - writers wait a little, so that the work behind them keeps up.
 *
 * Checkpoints and compaction pay back what writing takes: log to replay, space on disk. Where
 * writing is the faster of the two, somebody has to give way, and it is better done early and
 * evenly than late and all at once. How deep the debt is between where waiting begins, x = 0, and
 * where it ought to end, x = 1, decides what a byte of log costs:
 *
 *     cost = K x / (1 - x),   K = 10 ns, x <= 0.98
 *
 *     x          0    0.1    0.5   0.8   0.9   0.98
 *     MB/s       -    900    100    25    11      2     of all writers together
 *
 * Costs go on one bill, which says when all that was written would have been paid for at that
 * price; a writer that finds it ahead of the clock waits, after its write and outside of all
 * leases. So the price is one of the average, and bursts of BURST_NS pass. At whatever rate
 * the work behind gets done there is an x at which writers are just as fast: it is found by itself,
 * and neither is anybody stopped. (The bill is the virtual scheduling form of the leaky bucket, ITU-T
 * I.371; delaying writes by debt instead of stopping them is known from RocksDB, whose delays come
 * from a rate that it guesses at.)
 *
 * Threads:   set by one; bill by any.
 * Lifetime:  embedded in the store; zeroed is ready.
 * Units:     ns of the engine's clock; bytes of log; permille of x.
 * Ordering:  all relaxed: nothing is published, and a price that is late by one write is as good.
 * Errors:    none.
 * Cost:      one load of a line that seldom changes while there is no debt; else one clock and one
 *            atomic exchange that all writers share.
 */
#ifndef SHARDS_PACE_H
#define SHARDS_PACE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/thread.h"

#define WARP_PACE_WAIT_NS_MAX  UINT64_C(20000000)  /* that one write is held up, at most */
#define WARP_PACE_AHEAD_NS_MAX UINT64_C(200000000) /* the bill runs no further ahead */
#define WARP_PACE_BURST_NS     UINT64_C(200000)    /* not worth going to sleep for */
#define WARP_PACE_PERMILLE_MAX 980u

struct warp_pace {
    alignas(WARP_CACHELINE) _Atomic uint64_t ns_per_mib; /* 0: nobody waits */
    alignas(WARP_CACHELINE) _Atomic uint64_t paid_ns;    /* the bill is paid then */
    _Atomic uint64_t waits, wait_ns;                     /* for observers */
};

/* x in thousandths; more than WARP_PACE_PERMILLE_MAX counts as that. */
void warp_pace_set(struct warp_pace *pace, uint64_t permille);

/* Put bytes, maybe none, on the bill at now_ns. How far it is ahead then, at most
 * WARP_PACE_AHEAD_NS_MAX; 0 if that is not worth waiting. */
uint64_t warp_pace_bill(struct warp_pace *pace, uint64_t log_bytes, uint64_t now_ns);

static inline uint64_t warp_pace_price(const struct warp_pace *pace)
{
    return atomic_load_explicit(&pace->ns_per_mib, memory_order_relaxed);
}

/* That long was waited. */
void warp_pace_waited(struct warp_pace *pace, uint64_t ns);

#endif
