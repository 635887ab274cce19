/*
 * bench/manycore/world.h - an engine with many shards, of which only the routing is real.
 *
 * What cannot be measured on a machine with few processors is played: requests come as fast as the
 * owners serve those that reach them, each of which takes its owner a known time, and everything that decides where a slot lies is the engine's own
 * object code: the slot of a key (base/hash), the slot map, the sampling and rolling of masses, the
 * plan and its epochs (routing/). The mover flips the owner, as the engine's does, and takes a stated time.
 *
 * Reads of the most popular keys can go past the owner, as direct reads do: they take none of its
 * time. Which keys those are follows "Small cache, big effect" (Fan et al., SoCC 2011): 8 n log2 n of
 * them, independent of how many keys there are; or all reads, which is what this engine does.
 *
 * Threads:   one at a time.
 * Lifetime:  create and destroy are a pair; the stream outlives the world.
 * Units:     virtual nanoseconds; loads as shares of an epoch of one processor.
 * Ordering:  none.
 * Errors:    create returns -1 without memory.
 * Cost:      about 30 ns per request that is played; 0.7 MiB.
 */
#ifndef BENCH_MANYCORE_WORLD_H
#define BENCH_MANYCORE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "bench/manycore/stream.h"
#include "routing/rebalance.h"

#define MANYCORE_EPOCH_NS UINT64_C(100000000)

enum manycore_bypass {
    MANYCORE_BYPASS_NONE,
    MANYCORE_BYPASS_TOP, /* reads of the 8 n log2 n most popular keys */
    MANYCORE_BYPASS_READS,
};

struct manycore_config {
    uint32_t shard_count;
    uint32_t epoch_operations; /* that owners serve, per shard in the mean */
    uint32_t busy_permille; /* of an epoch that takes an owner, in the mean; at most 300 */
    uint32_t read_permille; /* of requests */
    uint32_t move_ns;       /* of one move */
    uint32_t period;        /* one operation in so many is measured; 0: the engine's */
    enum manycore_bypass bypass;
    bool gravity;
    uint64_t seed;
};

struct manycore_world {
    struct manycore_config config;
    struct manycore_stream *stream;
    uint32_t service_ns; /* of one operation at its owner: follows from the two above */
    uint32_t top;        /* ranks below this go past their owner */
    struct warp_clock_fake clock;
    struct warp_slotmap owners;
    struct warp_mass mass;
    struct warp_mass_cell cells[WARP_SLOT_COUNT];
    struct warp_mass_sampler samplers[WARP_SHARD_COUNT_MAX];
    struct warp_rebalance rebalance;
    struct bench_random random;
    double slot_weights[WARP_SLOT_COUNT]; /* of an operation at the owner, the true ones */

    /* Of the last epoch. */
    double loads[WARP_SHARD_COUNT_MAX]; /* what the owners really served */
    uint32_t moves;
};

/* How even it is in truth, by the weights of the slots and their owners. */
struct manycore_truth {
    double lambda;
    double capacity; /* what all do together, in units of what one owner does alone */
    double possible; /* lambda, if the heaviest slot had a shard for itself */
};

int manycore_world_create(struct manycore_world **world,
                          const struct manycore_config *config,
                          struct manycore_stream *stream);
void manycore_world_destroy(struct manycore_world **world);

/* Play one epoch, and at its end what the engine does then. */
void manycore_world_epoch(struct manycore_world *world);

/* The stream has shifted: the weights are others. */
void manycore_world_reweigh(struct manycore_world *world);

struct manycore_truth manycore_world_truth(const struct manycore_world *world);

#endif
