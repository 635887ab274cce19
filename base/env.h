/*
 * base/env.h - everything an engine may reach outside its own memory, in one struct.
 *
 * The disk, the clock, the dice, and what it means to wait are arguments: the product fills
 * them with the real ones and threads, a test or the simulator with its own, and the same
 * object code runs on both. Deterministic simulation as a way to test a database is due to
 * FoundationDB (Zhou et al., SIGMOD 2021).
 *
 * Threads:   filled before the engine is opened, constant afterwards; the functions are called
 *            by any of the engine's threads or its callers.
 * Lifetime:  the caller's; must outlive the engine.
 * Units:     limits are bytes or counts; 0 means that the options decide.
 * Ordering:  none of its own.
 * Errors:    none.
 * Cost:      wait and chance are never called on a path that does not wait anyway, but for
 *            chance in a build of the simulator.
 */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/io.h"

/* Choices that are unlikely but legal; the simulator forces them (FoundationDB's BUGGIFY). */
enum warp_chance {
    WARP_CHANCE_LEASE_REFUSED, /* the lease looks taken: the request goes to the mailbox */
    WARP_CHANCE_FLUSH_EARLY,   /* the log flushes although nobody asked */
    WARP_CHANCE_FLUSH_LATE,    /* the log does not flush although it could */
    WARP_CHANCE_FLUSH_SPLIT,   /* a flush takes only part of what it could */
    WARP_CHANCE_FLUSH_PADDED,  /* a flush is padded to the end of its block */
    WARP_CHANCE_DRAIN_SHORT,   /* a turn takes only one message */
    WARP_CHANCE_GROW_EARLY,    /* a slot's table grows before it is full */
    WARP_CHANCE_SPURIOUS_WAKE, /* a waiter wakes for nothing */
    WARP_CHANCE_PREFETCH,      /* a value is read that nobody believes will be asked for */
    WARP_CHANCE_FLUSH_INLINE,  /* without threads, too, the log's turn writes a flush by itself */
    WARP_CHANCE_COUNT
};

struct warp_env {
    const struct warp_disk *disk; /* NULL: the directory given to open, on the real disk */
    const struct warp_clock *clock; /* NULL: the system's */
    uint64_t random_seed;           /* 0: from the system */
    bool threads; /* false: the engine starts none; its turns are called from outside */

    /* Called where a thread would sleep, when threads is false. It must run some turn
     * (warp_engine_turn) or complete some I/O, else the wait would never end. */
    void (*wait)(void *context);
    /* NULL: never. */
    bool (*chance)(void *context, enum warp_chance point);
    void *context;

    /* Limits below what the options allow, so that a test can draw tiny ones. */
    uint32_t segment_bytes;         /* power of two, >= 4096 */
    uint32_t log_buffer_bytes;      /* power of two, >= 16 KiB */
    uint32_t mailbox_capacity;      /* power of two, >= 2 */
    uint32_t drain_max;             /* messages a turn takes */
    uint32_t flushes_in_flight_max; /* 1 - 8 */
    uint32_t flush_bytes_max;       /* multiple of 4096 */
    uint64_t values_bytes_max;      /* of records with their values in memory, per shard */
    uint32_t reader_handles;        /* files open to read values back, >= 8 */
    uint64_t checkpoint_log_bytes;  /* of log behind the last checkpoint make one due */
    uint32_t checkpoint_buffer_bytes; /* multiple of 4096 */
    uint32_t compact_read_bytes;      /* multiple of 4096 */
    bool prewrites;                   /* zeroes go ahead of the log without threads, too */
    uint32_t warm_read_bytes;         /* multiple of 4096, >= 16 KiB */
    uint32_t warm_places_max;         /* sorted at a time */
    bool metrics_file;                /* METRICS is written although the disk is given */
};

static inline bool warp_env_chance(const struct warp_env *env, enum warp_chance point)
{
    return env->chance != NULL && env->chance(env->context, point);
}

#endif
