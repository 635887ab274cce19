/*
 * cache/ghost.h - remembers which keys left memory lately.
 *
 * A table of fingerprints, 4 bytes each: 22 bits of the key's hash, 10 bits of age. A key
 * has two buckets of one cache line, 16 fingerprints each, and goes where there is more
 * room, so 13 of 16 places can be in use (Azar et al., "Balanced Allocations", SIAM J.
 * Comput. 29(1), 1999). Ages are counted in steps: about 1/512 of the keys remembered have
 * the same age and are forgotten together, the oldest first, when there are more than the
 * capacity.
 *
 *     31           10 9        0
 *     +--------------+----------+
 *     | fingerprint  | step     |     0: free
 *     +--------------+----------+
 *
 * Threads:   by the owner.
 * Lifetime:  embedded; one region of memory from init to fini.
 * Units:     entries; keys are 64-bit numbers of which all bits may matter.
 * Ordering:  first in, first out, to the step: exact up to a capacity of 512, else to
 *            1/512; coarser while most keys are taken before they are forgotten.
 * Errors:    WARP_ENOMEM from init. It takes a stranger for a key it knows once in 150,000
 *            times when full, and forgets one early when both buckets of a new one are
 *            full.
 * Cost:      4.9 bytes an entry_max and 8 KiB; a question is two cache lines, a put three.
 */
#ifndef CACHE_GHOST_H
#define CACHE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

/* Visible because it is embedded; all fields belong to the ghost. */
struct warp_ghost {
    struct warp_memory *memory;
    uint32_t *words;      /* bucket_count buckets of 16 */
    uint32_t *step_count; /* how many entries there are of each step */
    uint64_t bucket_count;
    uint64_t entries_max;
    uint64_t entries; /* those not forgotten */
    uint64_t step;    /* now */
    uint64_t
        step_oldest; /* entries of older steps are forgotten, though still in the table */
    uint64_t step_cleaned; /* entries of steps below are in the table no more */
    uint64_t step_puts;    /* in this step so far */
    uint64_t sweep_bucket; /* the next one to be cleaned */
    uint64_t sweep_floor;  /* step_oldest when this round began */
};

/* entries_max 0: remembers nothing and takes no memory. */
int warp_ghost_init(struct warp_ghost *ghost, struct warp_memory *memory,
                    uint64_t entries_max);
void warp_ghost_fini(struct warp_ghost *ghost);

/* Remember a key, and of all keys the `capacity` youngest, or entries_max if that is less.
 * */
void warp_ghost_put(struct warp_ghost *ghost, uint64_t key, uint64_t capacity);

/* Whether it is remembered; if so, it is not any more. */
bool warp_ghost_take(struct warp_ghost *ghost, uint64_t key);

uint64_t warp_ghost_memory_bytes(const struct warp_ghost *ghost);

#endif
