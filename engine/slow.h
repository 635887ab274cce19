/*
 * engine/slow.h - keeps the blocking calls that took too long, with where their time went.
 *
 * A ring of the last ones, for warp_slow_visit() and, in the snapshots of metrics, for other processes.
 * Only when options.slow_ns is set: then all calls are timed, and look at the clock again wherever they
 * begin to wait. A log of slow calls as a tool of the operator is Redis's SLOWLOG; the stages are ours.
 *
 * Threads:   keep and copy by any.
 * Lifetime:  embedded in struct warp; init to fini. The ring is reserved when it is wanted.
 * Units:     nanoseconds, Unix milliseconds.
 * Ordering:  under a mutex, which nobody holds for longer than a copy: who keeps one has just lost more.
 * Errors:    WARP_ENOMEM, WARP_ESYSTEM from init.
 * Cost:      a call that is timed: two looks at the clock and one for each stage, about 25 ns each; one
 *            that is kept: a mutex and 150 bytes. 9 KiB.
 */
#ifndef ENGINE_SLOW_H
#define ENGINE_SLOW_H

#include <pthread.h>
#include <stdint.h>

#include "base/memory.h"
#include "observe/snapshot.h"

struct warp_slow_ring {
    uint64_t
        slow_ns; /* what is shorter is not kept; 0: there is no ring. Constant after init. */
    struct warp_memory *memory;
    struct warp_snapshot_slow
        *calls; /* WARP_SNAPSHOT_SLOW of them, by number; under the mutex */
    pthread_mutex_t mutex;
    _Atomic uint64_t count; /* ever kept; written under the mutex, read by observers */
};

int warp_slow_init(struct warp_slow_ring *ring, struct warp_memory *memory,
                   uint64_t slow_ns);
void warp_slow_fini(struct warp_slow_ring *ring);

/* Keep a call; its number is made here. */
void warp_slow_keep(struct warp_slow_ring *ring, struct warp_snapshot_slow call);

/* Up to WARP_SNAPSHOT_SLOW of them, the newest first; how many. */
uint32_t warp_slow_copy(struct warp_slow_ring *ring,
                        struct warp_snapshot_slow out[WARP_SNAPSHOT_SLOW]);

#endif
