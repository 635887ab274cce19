/*
 * bench/manycore/experiment.h - what gravity and direct reads are worth, for one stream and so many
 * shards.
 *
 * Capacity is what all shards together serve, in units of what one serves alone: 1 / (share of the
 * busiest), of all requests, read past their owner or not. lambda is max / mean of what owners do.
 *
 * Threads:   one at a time.
 * Lifetime:  nothing is kept.
 * Units:     capacity in shards, lambda of the mean, epochs of 100 ms.
 * Ordering:  none.
 * Errors:    -1 without memory.
 * Cost:      some tens of epochs, see bench/manycore/world.h.
 */
#ifndef BENCH_MANYCORE_EXPERIMENT_H
#define BENCH_MANYCORE_EXPERIMENT_H

#include "bench/manycore/world.h"

#define MANYCORE_SETTLE_EPOCHS 60u
#define MANYCORE_SHIFT_EPOCHS  20u

struct manycore_outcome {
    struct manycore_truth truth;
    uint32_t moves;  /* until it came to rest */
    uint32_t epochs; /* likewise */
    /* After other keys became popular: epochs until lambda < 1.15, or until it is within 5 % of what
     * the heaviest slot allows, if that is more; MANYCORE_SHIFT_EPOCHS + 1: not. */
    uint32_t shift_epochs;
};

struct manycore_row {
    struct manycore_outcome stays;   /* no gravity, no bypass */
    struct manycore_outcome gravity; /* gravity alone */
    struct manycore_outcome bypass;  /* reads of the top keys past the owner */
    struct manycore_outcome both;
    struct manycore_outcome direct;         /* all reads past the owner */
    struct manycore_outcome direct_gravity; /* and gravity: this engine */
};

/* One world until it comes to rest, and after a shift if it is to shift. */
int manycore_outcome_find(const struct manycore_config *config,
                          struct manycore_stream *stream, bool shift,
                          struct manycore_outcome *outcome);

/* All six. config's bypass and gravity do not matter. */
int manycore_row_find(const struct manycore_config *config, struct manycore_stream *stream,
                      bool shift, struct manycore_row *row);

#endif
