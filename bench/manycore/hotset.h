/*
 * bench/manycore/hotset.h - the records of some slots that one shard is dealt, for each shard.
 *
 * For a hot spot that a placement can do something about: popular records in different slots that
 * happen to lie on one shard. Which slot a key has is the engine's own hash's affair.
 *
 * Threads:   create and destroy by one; at by any.
 * Lifetime:  create and destroy are a pair.
 * Units:     records by id.
 * Ordering:  none: it is read-only once made.
 * Errors:    create returns -1 without memory, or when some shard has no record at all.
 * Cost:      create hashes every record's key twice; 8 bytes per record in a hot slot.
 */
#ifndef BENCH_MANYCORE_HOTSET_H
#define BENCH_MANYCORE_HOTSET_H

#include <stddef.h>
#include <stdint.h>

#include "bench/keys.h"
#include "warp/warp.h"

struct manycore_hotset {
    uint32_t shard_count;
    uint32_t slots; /* hot ones, of each shard */
    uint64_t *ids;
    uint64_t first[WARP_SHARD_COUNT_MAX + 1]; /* where each shard's begin */
};

/* slots: wanted; more are taken where they have too few records. */
int manycore_hotset_create(struct manycore_hotset **set, enum bench_key_form form,
                           size_t key_bytes, uint64_t records, uint32_t shard_count,
                           uint32_t slots);
void manycore_hotset_destroy(struct manycore_hotset **set);

/* A hot record of this shard, each as likely. */
static inline uint64_t manycore_hotset_at(const struct manycore_hotset *set, uint32_t shard,
                                          struct bench_random *random)
{
    return set->ids[set->first[shard] +
                    bench_random_below(random, set->first[shard + 1] - set->first[shard])];
}

#endif
