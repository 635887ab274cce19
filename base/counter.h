/*
 * base/counter.h - a number one thread counts and others read.
 *
 * A plain load, add and store, each atomic for the sake of readers, costs no locked
 * instruction; two writers would lose counts, so there is one. A room lists its counters
 * once, in its metrics.h:
 *
 *     #define WARP_CACHE_METRICS(X)                                                     \
 *         X(hits_total, COUNTER, "operations", "Reads answered from memory.")           \
 *         X(value_bytes, GAUGE, "bytes", "Values in memory now.")
 *     struct warp_cache_metrics { WARP_CACHE_METRICS(WARP_METRIC_FIELD) };
 *
 * Threads:   add and set by the one writer (at a time); read by any.
 * Lifetime:  embedded; zero is the start.
 * Units:     whatever the table says.
 * Ordering:  relaxed: a counter carries no data.
 * Errors:    none; it wraps at 2^64.
 * Cost:      as a plain variable.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

enum warp_metric_kind {
    WARP_METRIC_COUNTER, /* only grows */
    WARP_METRIC_GAUGE,   /* goes up and down */
};

/* What an exporter gets for each line of a table. */
struct warp_metric {
    const char *name;
    const char *unit;
    const char *help;
    enum warp_metric_kind kind;
};

#define WARP_METRIC_FIELD(name, kind, unit, help) _Atomic uint64_t name;
#define WARP_METRIC_ENTRY(name, kind, unit, help) {#name, unit, help, WARP_METRIC_##kind},

static inline void warp_counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* Relaxed both: there is one writer, and readers want only some recent value. */
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

static inline void warp_counter_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline uint64_t warp_counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
