#include "base/histogram.h"

#include "base/assert.h"
#include "base/counter.h"

/*
 * Values below 64 have a bucket each. Above, the highest bit that is set chooses a row of
 * 64 buckets and the six bits below it choose the bucket: [64, 128) has steps of 1, [128,
 * 256) of 2, and so on.
 */
static inline uint32_t histogram_bucket(uint64_t ns)
{
    uint32_t power;

    if (ns < WARP_HISTOGRAM_STEPS) {
        return (uint32_t)ns;
    }
    power = 63 - (uint32_t)__builtin_clzll(ns);
    return (power - WARP_HISTOGRAM_STEP_BITS + 1) * WARP_HISTOGRAM_STEPS +
           (uint32_t)((ns >> (power - WARP_HISTOGRAM_STEP_BITS)) &
                      (WARP_HISTOGRAM_STEPS - 1));
}

uint64_t warp_histogram_bucket_ns(uint32_t index)
{
    uint32_t row = index / WARP_HISTOGRAM_STEPS;
    uint64_t step = index % WARP_HISTOGRAM_STEPS;

    warp_assert(index < WARP_HISTOGRAM_BUCKETS);
    if (row == 0) {
        return step;
    }
    /* One below the start of the next bucket. */
    return ((WARP_HISTOGRAM_STEPS + step + 1) << (row - 1)) - 1;
}

void warp_histogram_init(struct warp_histogram *histogram)
{
    /* Relaxed stores rather than memset: a reader may be looking when one is emptied. */
    warp_counter_set(&histogram->count, 0);
    warp_counter_set(&histogram->sum, 0);
    warp_counter_set(&histogram->min, UINT64_MAX);
    warp_counter_set(&histogram->max, 0);
    for (uint32_t index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        warp_counter_set(&histogram->buckets[index], 0);
    }
}

void warp_histogram_add(struct warp_histogram *histogram, uint64_t ns)
{
    warp_histogram_add_many(histogram, ns, 1);
}

void warp_histogram_add_many(struct warp_histogram *histogram, uint64_t ns, uint64_t times)
{
    if (ns > WARP_HISTOGRAM_NS_MAX) {
        ns = WARP_HISTOGRAM_NS_MAX;
    }
    warp_counter_add(&histogram->buckets[histogram_bucket(ns)], times);
    warp_counter_add(&histogram->count, times);
    warp_counter_add(&histogram->sum, ns * times);
    if (ns > warp_counter_read(&histogram->max)) {
        warp_counter_set(&histogram->max, ns);
    }
    if (ns < warp_counter_read(&histogram->min)) {
        warp_counter_set(&histogram->min, ns);
    }
}

void warp_histogram_merge(struct warp_histogram *into, const struct warp_histogram *from)
{
    uint64_t min = warp_counter_read(&from->min);
    uint64_t max = warp_counter_read(&from->max);

    for (uint32_t index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        uint64_t count = warp_counter_read(&from->buckets[index]);

        if (count > 0) {
            warp_counter_add(&into->buckets[index], count);
        }
    }
    warp_counter_add(&into->count, warp_counter_read(&from->count));
    warp_counter_add(&into->sum, warp_counter_read(&from->sum));
    if (max > warp_counter_read(&into->max)) {
        warp_counter_set(&into->max, max);
    }
    if (min < warp_counter_read(&into->min)) {
        warp_counter_set(&into->min, min);
    }
}

uint64_t warp_histogram_percentile(const struct warp_histogram *histogram, double p)
{
    uint64_t max = warp_counter_read(&histogram->max);
    uint64_t count = 0;
    uint64_t rank, seen;

    warp_assert(p >= 0.0 && p <= 100.0);
    /* The buckets are summed, not the count believed: the writer may be between the two. */
    for (uint32_t index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        count += warp_counter_read(&histogram->buckets[index]);
    }
    if (count == 0) {
        return 0;
    }
    /* The smallest value such that at least p percent are not above it: rank ceil(p% of
     * n). */
    rank = (uint64_t)((double)count * p / 100.0);
    if ((double)rank * 100.0 < (double)count * p) {
        rank++;
    }
    if (rank == 0) {
        rank = 1;
    }
    if (rank > count) {
        rank = count;
    }
    seen = 0;
    for (uint32_t index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        seen += warp_counter_read(&histogram->buckets[index]);
        if (seen >= rank) {
            uint64_t ns = warp_histogram_bucket_ns(index);

            return ns < max ? ns : max;
        }
    }
    return max;
}

uint64_t warp_histogram_count(const struct warp_histogram *histogram)
{
    return warp_counter_read(&histogram->count);
}

uint64_t warp_histogram_sum(const struct warp_histogram *histogram)
{
    return warp_counter_read(&histogram->sum);
}

uint64_t warp_histogram_min(const struct warp_histogram *histogram)
{
    uint64_t min = warp_counter_read(&histogram->min);

    return min == UINT64_MAX ? 0 : min;
}

uint64_t warp_histogram_max(const struct warp_histogram *histogram)
{
    return warp_counter_read(&histogram->max);
}

double warp_histogram_mean(const struct warp_histogram *histogram)
{
    uint64_t count = warp_histogram_count(histogram);

    return count == 0 ? 0.0 : (double)warp_histogram_sum(histogram) / (double)count;
}

uint64_t warp_histogram_bucket_count(const struct warp_histogram *histogram, uint32_t index)
{
    warp_assert(index < WARP_HISTOGRAM_BUCKETS);
    return warp_counter_read(&histogram->buckets[index]);
}
