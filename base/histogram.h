/*
 * base/histogram.h - how long things took, in fixed memory.
 *
 * Buckets of equal width inside each power of two: 64 of them from 64 ns on, one per
 * nanosecond below. Log-linear histograms as a tool are Gil Tene's HdrHistogram.
 *
 * Threads:   add and reset by one writer at a time; all others by any thread meanwhile.
 * Lifetime:  embedded; init before use.
 * Units:     nanoseconds, 0 to 2^42 - 1 (73 minutes); what is longer counts as the longest.
 * Ordering:  relaxed everywhere: a reader sees some recent state, exact when the writer
 *            rests.
 * Errors:    none. A percentile of nothing is 0.
 * Cost:      about 2 ns an add; 19 KiB.
 *
 * A percentile is the upper end of its bucket (never above the largest value added), hence
 * at least the true one and at most 1/64 (1.6 %) above it.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define WARP_HISTOGRAM_STEP_BITS 6u
#define WARP_HISTOGRAM_STEPS     64u /* 1 << STEP_BITS buckets per power of two */
#define WARP_HISTOGRAM_BITS      42u
#define WARP_HISTOGRAM_NS_MAX    ((UINT64_C(1) << WARP_HISTOGRAM_BITS) - 1)
#define WARP_HISTOGRAM_BUCKETS                                                             \
    ((WARP_HISTOGRAM_BITS - WARP_HISTOGRAM_STEP_BITS + 1u) * WARP_HISTOGRAM_STEPS)

/* Visible because it is embedded by the dozen. */
struct warp_histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t min; /* UINT64_MAX when empty */
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[WARP_HISTOGRAM_BUCKETS];
};

void warp_histogram_init(struct warp_histogram *histogram);
void warp_histogram_add(struct warp_histogram *histogram, uint64_t ns);
/* The same so many times at once. */
void warp_histogram_add_many(struct warp_histogram *histogram, uint64_t ns, uint64_t times);

/* Add all of from to into, whose writer the caller is. */
void warp_histogram_merge(struct warp_histogram *into, const struct warp_histogram *from);

/* p from 0 to 100. */
uint64_t warp_histogram_percentile(const struct warp_histogram *histogram, double p);
uint64_t warp_histogram_count(const struct warp_histogram *histogram);
uint64_t warp_histogram_sum(const struct warp_histogram *histogram);
uint64_t warp_histogram_min(const struct warp_histogram *histogram); /* 0 when empty */
uint64_t warp_histogram_max(const struct warp_histogram *histogram);
double warp_histogram_mean(const struct warp_histogram *histogram);

/* For exporters: the upper end of bucket index, and how many fell into it. */
uint64_t warp_histogram_bucket_ns(uint32_t index);
uint64_t warp_histogram_bucket_count(const struct warp_histogram *histogram,
                                     uint32_t index);

#endif
