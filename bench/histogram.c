#include "bench/histogram.h"

#include <math.h>

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->min_ns < into->min_ns) {
        into->min_ns = from->min_ns;
    }
    if (from->max_ns > into->max_ns) {
        into->max_ns = from->max_ns;
    }
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    for (uint32_t index = 0; index < BENCH_HISTOGRAM_BUCKETS; index++) {
        into->buckets[index] += from->buckets[index];
    }
}

uint64_t bench_histogram_bucket_top(uint32_t index)
{
    uint32_t shift;

    if (index < (2u << BENCH_HISTOGRAM_LINEAR_BITS)) {
        return index;
    }
    shift = (index >> BENCH_HISTOGRAM_LINEAR_BITS) - 1u;
    /* The bucket's own digits, with the leading one that every value of its power has. */
    return (((uint64_t)index - ((uint64_t)shift << BENCH_HISTOGRAM_LINEAR_BITS) + 1u)
            << shift) -
           1u;
}

uint64_t bench_histogram_percentile(const struct bench_histogram *histogram,
                                    double percentile)
{
    uint64_t wanted;
    uint64_t seen = 0;

    if (histogram->count == 0) {
        return 0;
    }
    wanted = (uint64_t)ceil((double)histogram->count * percentile / 100.0);
    if (wanted < 1) {
        wanted = 1;
    }
    if (wanted >= histogram->count) {
        return histogram->max_ns;
    }
    for (uint32_t index = 0; index < BENCH_HISTOGRAM_BUCKETS; index++) {
        seen += histogram->buckets[index];
        if (seen >= wanted) {
            uint64_t top = bench_histogram_bucket_top(index);

            return top < histogram->max_ns ? top : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

double bench_histogram_mean(const struct bench_histogram *histogram)
{
    return histogram->count == 0 ? 0.0
                                 : (double)histogram->sum_ns / (double)histogram->count;
}
