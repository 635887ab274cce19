/*
 * bench/slow.h - remembers the slowest operations of a run, and when they were.
 *
 * A maximum alone does not say whose fault it was. With the moments of the slow operations, and
 * those of an independent probe of the same device (bench/probe.h), each can be held against the
 * other: what was slow while the device itself was slow is the device's.
 *
 * Threads:   a list has one writer; read it when that has ended.
 * Lifetime:  plain data; zero bytes are an empty list. It travels through pipes.
 * Units:     nanoseconds, CLOCK_MONOTONIC, which all processes share.
 * Ordering:  none.
 * Errors:    none: when the list is full, the least slow makes room.
 * Cost:      one comparison for what is not slow; a walk over the list for what is.
 */
#ifndef BENCH_SLOW_H
#define BENCH_SLOW_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_SLOW_MAX 128u
/* From here on an operation is remembered. */
#define BENCH_SLOW_NS ((uint64_t)10000000)
/* The longest that an operation may take unless the device was as slow. */
#define BENCH_SLOW_LIMIT_NS ((uint64_t)50000000)

struct bench_slow {
    uint64_t begin_ns;
    uint64_t ns;
    uint64_t kind; /* enum bench_kind; of a probe: enum bench_probe_kind */
};

struct bench_slow_list {
    uint64_t count; /* in the list */
    uint64_t over;  /* operations above BENCH_SLOW_LIMIT_NS, all of them */
    struct bench_slow slow[BENCH_SLOW_MAX];
};

void bench_slow_note(struct bench_slow_list *list, uint64_t begin_ns, uint64_t ns,
                     uint64_t kind);
void bench_slow_merge(struct bench_slow_list *into, const struct bench_slow_list *from);

/* Whether the probe explains `slow`: what it found of one kind covers at least half
 * of its time. */
bool bench_slow_explained(const struct bench_slow *slow,
                          const struct bench_slow_list *device);
/* Operations above the limit that the device does not explain. */
uint64_t bench_slow_unexplained(const struct bench_slow_list *list,
                                const struct bench_slow_list *device);

#endif
