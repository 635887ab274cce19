/*
 * routing/entropy.h - says in three numbers how even the work of the shards is.
 *
 *   lambda    max / mean. 1: even; n: one does all. It is what counts, for n shards of which the
 *             highest is the limit do n / lambda times what one does.
 *   evenness  H / log2 n with H = -sum p log2 p, Shannon's entropy of the shares p. 1: even; 0: one
 *             does all. It hardly moves: of 64 shards, one may have 4.8 times its part at 0.97. So
 *             it is shown, and nothing is decided by it.
 *   cov       standard deviation / mean (of all n, not n - 1). 0: even; sqrt(n - 1): one does all.
 *
 * Threads:   any; a pure function.
 * Lifetime:  nothing is kept.
 * Units:     work in any unit, the same for all.
 * Ordering:  none.
 * Errors:    none. Nothing done at all says nothing: all three are 0, which no work gives, for
 *            lambda is never below 1 otherwise.
 * Cost:      a logarithm per shard.
 */
#ifndef ROUTING_ENTROPY_H
#define ROUTING_ENTROPY_H

#include <stdint.h>

struct warp_entropy {
    double lambda;
    double evenness;
    double cov;
};

/* work: of each of `count` shards, count >= 1. One shard alone is even. */
struct warp_entropy warp_entropy_of(const double *work, uint32_t count);

#endif
