/*
 * engine/hot.h - which keys are asked for most, at the moment.
 *
 * The calls that are timed (base/latency) are counted by key, with the weight that they have, in 64 places: a
 * key that has none takes that of the key with the least, and its count, which is how much it may be too
 * high by. That is Space-Saving, of Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k
 * elements in data streams", ICDT 2005: a key with more than one in 64 of the samples has one for certain. All
 * counts are halved now and then, so that what was hot an hour ago is not.
 *
 * Only when options.hot_keys asks: keys are then in the file METRICS.
 *
 * Threads:   add and copy by any.
 * Lifetime:  embedded in struct warp; init to fini. The places are reserved when they are wanted.
 * Units:     calls, as estimated from the sample.
 * Ordering:  under a mutex, held for as long as 64 places are looked through.
 * Errors:    WARP_ENOMEM, WARP_ESYSTEM from init.
 * Cost:      of one call in some hundred (of all, where all are timed): a mutex that is tried, and about
 *            50 ns. 5 KiB.
 */
#ifndef ENGINE_HOT_H
#define ENGINE_HOT_H

#include <pthread.h>
#include <stdint.h>

#include "base/memory.h"
#include "observe/snapshot.h"
#include "warp/warp.h"

#define WARP_HOT_PLACES 64u
#define WARP_HOT_HALVED 16384u /* after so many samples */

struct warp_hot_place {
    uint64_t count, over; /* over: at most so much of count is another key's */
    uint32_t key_bytes;
    uint8_t key[WARP_SNAPSHOT_KEY_BYTES];
};

struct warp_hot {
    struct warp_memory *memory;
    struct warp_hot_place *places; /* NULL: not wanted */
    pthread_mutex_t mutex;
    /* Under it. */
    uint64_t hashes[WARP_HOT_PLACES];
    uint64_t total; /* of all calls since, halved with them */
    uint32_t used, samples;
};

int warp_hot_init(struct warp_hot *hot, struct warp_memory *memory, int wanted);
void warp_hot_fini(struct warp_hot *hot);

/* A sample that stands for `weight` calls on a key with this hash. */
void warp_hot_add(struct warp_hot *hot, uint64_t hash, struct warp_slice key,
                  uint64_t weight);

/* The hottest, the first most; how many, and how many calls there were in *total. */
uint32_t warp_hot_copy(struct warp_hot *hot,
                       struct warp_snapshot_hot out[WARP_SNAPSHOT_HOT], uint64_t *total);

#endif
