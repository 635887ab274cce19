/*
 * routing/mass.h - how much of its owner's time each slot takes.
 *
 * Whoever holds a shard's lease times about one operation in 32 and adds what it took to the
 * cell of its slot: time, not counts, for a value of 64 KiB is not one of 64 B (size-blind
 * sharding is what Didona and Zwaenepoel, "Size-aware sharding for improving tail latencies in
 * in-memory key-value stores", NSDI 2019, argue against). The gaps between two samples are drawn,
 * so that no period in the work hides behind them. A thread that is preempted while it measures
 * would make its slot a thousand times heavier than it is; so a sample counts at most eight times
 * what operations of its size class took lately.
 *
 * Once per epoch somebody rolls over: what came since the last time, weighted by the period and
 * divided by the time that has passed, is averaged with what was there before, half and half
 * (an exponentially weighted moving average). So a mass is a share of one processor's time.
 * With it goes the variance of each shard's load: the sum of the squares of its samples, as for
 * any sum of a random number of terms; for samples of one size it is their number.
 *
 *   mass' = (period * ticks of its samples / ticks of the epoch + mass) / 2
 *
 * Threads:   due and add by the holder of the lease of the slot's owner; period and is_on by any; roll_*, and
 *            what they fill in, by one thread, whoever does the epochs.
 * Lifetime:  embedded; zero, and then init, is the start. The cells are the caller's, with each slot.
 * Units:     masses and loads in billionths of one processor's time (1e9: all of it), variances in
 *            squares of that; ticks of base/clock, of whatever length; bytes in WARP_MASS_BYTES.
 * Ordering:  relaxed: a cell has one writer at a time, for a slot changes hands under both leases,
 *            and its reader wants only some recent value.
 * Errors:    none. A cell wraps at 2^32 ticks of samples: an epoch of more than some twenty seconds
 *            in which one slot takes all the time reads too little.
 * Cost:      due is a decrement and a branch. A sample costs about 120 ns, nearly all of it two looks at
 *            the counter, which stop what the processor had begun beside them: of a put at `memory`
 *            (520 ns) 1.1 % at one in 32, 2.2 % at one in 16. A step of the roll about 2 ns per slot.
 *            130 KiB, and 8 bytes per slot where the slots are.
 */
#ifndef ROUTING_MASS_H
#define ROUTING_MASS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "warp/warp.h"

#define WARP_MASS_PERIOD     32u
#define WARP_MASS_PERIOD_MAX 65536u
#define WARP_MASS_BYTES      256u /* the unit of bytes */
#define WARP_MASS_CLASSES    22u  /* of sizes: below 64 B, and each twice the one before */
#define WARP_MASS_UNIT       1000000000u

/* One per shard: of its lease's holder. */
struct warp_mass_sampler {
    uint32_t countdown; /* operations until the next sample, 0: now */
    uint32_t dice;
    uint64_t usual
        [WARP_MASS_CLASSES]; /* eight times what an operation took lately; 0: unknown */
    /* For whoever rolls; they only grow, and wrap. */
    _Atomic uint64_t samples;
    _Atomic uint64_t ticks;
    _Atomic uint64_t squares;
    _Atomic uint64_t clipped; /* samples that counted for less than they took */
};

/* Written by the holder of the lease of the slot's owner. It lies where the rest of a slot lies, for
 * that is in the cache when its operation ends: elsewhere, a sample costs a miss. */
struct warp_mass_cell {
    _Atomic uint32_t ticks; /* of samples; wraps */
    _Atomic uint32_t bytes; /* of records, as of the last sample */
};

/* Of one shard, as of the last roll. */
struct warp_mass_shard {
    uint64_t samples, ticks, squares; /* of the sampler, as they were then */
    uint64_t epoch_samples;           /* that came in the epoch */
    double variance;                  /* of the load, by which it is off by chance */
};

struct warp_mass {
    _Atomic uint32_t period; /* one operation in so many is timed; 0: none */
    /* Set by init, constant afterwards. */
    struct warp_mass_cell *cells; /* of slot 0 ... */
    size_t stride;                /* ... and so many bytes further each of the others */

    /* Owned by whoever rolls. */
    uint32_t seen[WARP_SLOT_COUNT]; /* ticks of the cells, as of the last roll */
    uint32_t masses[WARP_SLOT_COUNT];
    struct warp_mass_shard shards[WARP_SHARD_COUNT_MAX];
    uint64_t rolled_ticks; /* when the last roll began */
    double scale;          /* from ticks of samples to mass, in the roll under way */
    uint32_t at;           /* the next slot of it; WARP_SLOT_COUNT: there is none */
};

/* cells: of slot 0; all others follow, stride bytes apart. They are zero. now_ticks: the time from which
 * the first epoch counts. */
void warp_mass_init(struct warp_mass *mass, struct warp_mass_cell *cells, size_t stride,
                    uint32_t period, uint64_t now_ticks);
void warp_mass_sampler_init(struct warp_mass_sampler *sampler, uint32_t seed);

/* One operation in `period` from now on; 0: measure nothing. Shards notice within twice the
 * period, or 64 operations when they measured nothing. */
void warp_mass_set_period(struct warp_mass *mass, uint32_t period);

/* Is anything measured at present? For who would have to look at the counter beforehand. */
static inline bool warp_mass_is_on(const struct warp_mass *mass)
{
    return atomic_load_explicit(&mass->period, memory_order_relaxed) != 0;
}

static inline struct warp_mass_cell *warp_mass_cell(const struct warp_mass *mass,
                                                    uint32_t slot)
{
    return (struct warp_mass_cell *)(void *)((char *)mass->cells + slot * mass->stride);
}

/* ---- the holder of the lease ----------------------------------------------------------- */

/* The countdown is over: draw the next one. False: nothing is measured at present. */
bool warp_mass_draw(const struct warp_mass *mass, struct warp_mass_sampler *sampler);

/* Is this operation to be timed? */
static inline bool warp_mass_due(const struct warp_mass *mass,
                                 struct warp_mass_sampler *sampler)
{
    if (WARP_LIKELY(sampler->countdown != 0)) {
        sampler->countdown--;
        return false;
    }
    return warp_mass_draw(mass, sampler);
}

/*
 * An operation on so many bytes of key and value took so many ticks (not positive: one). slot_bytes:
 * what the records of its slot, whose cell it is, take now.
 */
void warp_mass_add(struct warp_mass_sampler *sampler, struct warp_mass_cell *cell,
                   int64_t ticks, uint64_t operation_bytes, uint64_t slot_bytes);

/* ---- whoever rolls ----------------------------------------------------------------------- */

/* The first epoch begins now: what came before is no part of it. Costs as much as a whole roll. */
void warp_mass_restart(struct warp_mass *mass, uint64_t now_ticks);

/*
 * Begin a roll: the epoch that began with the last one ends now. samplers: of the shards, in their
 * order. False: no time has passed, nothing was begun.
 */
bool warp_mass_roll_begin(struct warp_mass *mass, struct warp_mass_sampler *const *samplers,
                          uint32_t shard_count, uint64_t now_ticks);
/* Roll up to `most` slots more; true when it was the last. */
bool warp_mass_roll_step(struct warp_mass *mass, uint32_t most);

#endif
