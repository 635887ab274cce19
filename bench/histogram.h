/*
 * bench/histogram.h - counts latencies in buckets whose width grows with the value.
 *
 * 128 linear buckets per power of two: exact below 256 ns, within 1/128 (0.8 %) above. The
 * idea is HdrHistogram's (Gil Tene); the text form it made common is written by report.c.
 *
 * Threads:   one thread at a time; merge what several threads filled afterwards.
 * Lifetime:  plain data, the caller's; zero bytes are an empty histogram.
 * Units:     nanoseconds, 0 to 2^41 - 1 (36 minutes); what is longer counts as that.
 * Ordering:  none.
 * Errors:    none.
 * Cost:      2 ns and one cache line per add; 36 KiB each.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define BENCH_HISTOGRAM_LINEAR_BITS 7u
#define BENCH_HISTOGRAM_VALUE_BITS  41u
#define BENCH_HISTOGRAM_BUCKETS                                                            \
    ((BENCH_HISTOGRAM_VALUE_BITS - BENCH_HISTOGRAM_LINEAR_BITS + 1u)                       \
     << BENCH_HISTOGRAM_LINEAR_BITS)

struct bench_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t min_ns; /* meaningless while count is 0 */
    uint64_t max_ns;
    uint64_t buckets[BENCH_HISTOGRAM_BUCKETS];
};

static inline uint32_t bench_histogram_index(uint64_t ns)
{
    uint32_t shift;

    if (ns < (2u << BENCH_HISTOGRAM_LINEAR_BITS)) {
        return (uint32_t)ns;
    }
    if (ns >> BENCH_HISTOGRAM_VALUE_BITS != 0) {
        return BENCH_HISTOGRAM_BUCKETS - 1u;
    }
    shift = 63u - (uint32_t)__builtin_clzll(ns) - BENCH_HISTOGRAM_LINEAR_BITS;
    return (shift << BENCH_HISTOGRAM_LINEAR_BITS) + (uint32_t)(ns >> shift);
}

static inline void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns)
{
    if (histogram->count == 0 || ns < histogram->min_ns) {
        histogram->min_ns = ns;
    }
    if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
    histogram->count++;
    histogram->sum_ns += ns;
    histogram->buckets[bench_histogram_index(ns)]++;
}

void bench_histogram_merge(struct bench_histogram *into,
                           const struct bench_histogram *from);
/* The highest value of bucket `index`. */
uint64_t bench_histogram_bucket_top(uint32_t index);
/* The value that `percentile` (0 - 100) of the counted ones do not exceed; 0 when empty. */
uint64_t bench_histogram_percentile(const struct bench_histogram *histogram,
                                    double percentile);
double bench_histogram_mean(const struct bench_histogram *histogram);

#endif
