/*
 * bench/entangle/replay.h - asks an engine for a stream of keys, with or without entanglement.
 *
 * The database is loaded once. Each replay opens it with nothing in memory, asks for the keys one after
 * the other, checks every value, and says what the engine's metrics say of it. Nothing is written
 * and nothing compacted meanwhile.
 *
 * Threads:   one at a time; the engine has its own.
 * Lifetime:  results are the caller's.
 * Units:     nanoseconds, bytes, counts.
 * Ordering:  none.
 * Errors:    an enum warp_error, or 1: a value was not what it should be.
 * Cost:      a device read for each miss.
 */
#ifndef BENCH_ENTANGLE_REPLAY_H
#define BENCH_ENTANGLE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/entangle/stream.h"

struct entangle_setup {
    const char *path;
    uint64_t memory_bytes;
    size_t value_bytes;
    uint32_t shards;
    uint64_t think_ns; /* between an answer and the next request, spent awake */
};

struct entangle_result {
    bool on;
    uint64_t requests, misses;
    uint64_t device_reads, issued, useful, late, wasted;
    uint64_t observations, starts, stops;
    uint64_t table_bytes;  /* at the end */
    uint64_t values_bytes; /* in memory at the end */
    uint64_t memory_bytes; /* held at most, as seen now and then */
    uint64_t elapsed_ns, p50_ns, p99_ns;
};

/* Make the database anew and put all objects into it. */
int entangle_load(const struct entangle_setup *setup, uint32_t objects);
int entangle_replay(const struct entangle_setup *setup,
                    const struct entangle_stream *stream, bool on,
                    struct entangle_result *result);
/* Take the database away. */
void entangle_clear(const struct entangle_setup *setup);

#endif
