#include "bench/histogram.h"

#include <stdlib.h>

#include "tests/lib/test.h"

WARP_TEST(histogram, buckets_follow_each_other_without_a_gap)
{
    uint64_t below = 0;

    for (uint32_t index = 1; index < BENCH_HISTOGRAM_BUCKETS; index++) {
        uint64_t top = bench_histogram_bucket_top(index);

        check(top > below);
        check_int(bench_histogram_index(below + 1), ==, index);
        check_int(bench_histogram_index(top), ==, index);
        below = top;
    }
    check(below == ((uint64_t)1 << BENCH_HISTOGRAM_VALUE_BITS) - 1);
    check_int(bench_histogram_index(UINT64_MAX), ==, BENCH_HISTOGRAM_BUCKETS - 1);
}

WARP_TEST(histogram, a_bucket_is_never_wider_than_a_128th_of_its_values)
{
    for (uint32_t index = 257; index < BENCH_HISTOGRAM_BUCKETS; index++) {
        uint64_t low = bench_histogram_bucket_top(index - 1) + 1;
        uint64_t width = bench_histogram_bucket_top(index) - low;

        check(width * 128 <= low);
    }
}

WARP_TEST(histogram, percentiles_of_known_values_are_right)
{
    struct bench_histogram *histogram = calloc(1, sizeof(*histogram));

    check_u64(bench_histogram_percentile(histogram, 50.0), ==, 0);
    for (uint64_t value = 1; value <= 100; value++) {
        bench_histogram_add(histogram, value);
    }
    check_u64(bench_histogram_percentile(histogram, 0.0), ==, 1);
    check_u64(bench_histogram_percentile(histogram, 50.0), ==, 50);
    check_u64(bench_histogram_percentile(histogram, 99.0), ==, 99);
    check_u64(bench_histogram_percentile(histogram, 100.0), ==, 100);
    bench_histogram_add(histogram, 1000000);
    check_u64(bench_histogram_percentile(histogram, 100.0), ==, 1000000);
    check_u64(histogram->min_ns, ==, 1);
    check(bench_histogram_mean(histogram) > 9950 && bench_histogram_mean(histogram) < 9951);
    free(histogram);
}

WARP_TEST(histogram, merging_is_adding_both)
{
    struct bench_histogram *a = calloc(1, sizeof(*a));
    struct bench_histogram *b = calloc(1, sizeof(*b));
    struct bench_histogram *empty = calloc(1, sizeof(*empty));

    bench_histogram_add(a, 500);
    bench_histogram_add(b, 20);
    bench_histogram_add(b, 70000);
    bench_histogram_merge(a, b);
    bench_histogram_merge(a, empty);
    bench_histogram_merge(empty, a);
    check_u64(empty->count, ==, 3);
    check_u64(empty->min_ns, ==, 20);
    check_u64(empty->max_ns, ==, 70000);
    check_u64(empty->sum_ns, ==, 70520);
    free(a);
    free(b);
    free(empty);
}
