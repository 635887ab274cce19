#include "base/histogram.h"

#include <stdlib.h>

#include "base/random.h"
#include "tests/lib/test.h"

static struct warp_histogram *histogram_new(void)
{
    struct warp_histogram *histogram = malloc(sizeof(*histogram));

    if (histogram == NULL) {
        abort();
    }
    warp_histogram_init(histogram);
    return histogram;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right ? 1 : 0;
}

WARP_TEST(histogram, percentiles_are_at_most_a_64th_too_high)
{
    enum { COUNT = 20001 };
    static uint64_t values[COUNT];
    static const double points[] = {0, 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
    struct warp_histogram *histogram = histogram_new();
    struct warp_random random;
    uint64_t sum = 0;

    warp_random_init(&random, test_seed());
    for (int index = 0; index < COUNT; index++) {
        /* every order of magnitude up to an hour */
        values[index] =
            warp_random_below(&random, UINT64_C(1) << (1 + warp_random_below(&random, 42)));
        warp_histogram_add(histogram, values[index]);
        sum += values[index];
    }
    qsort(values, COUNT, sizeof(values[0]), compare);
    for (unsigned index = 0; index < sizeof(points) / sizeof(points[0]); index++) {
        double exact_rank = COUNT * points[index] / 100.0;
        uint64_t rank = (uint64_t)exact_rank;
        uint64_t truth, said;

        rank += (double)rank < exact_rank ? 1 : 0;
        truth = values[rank == 0 ? 0 : rank - 1];
        said = warp_histogram_percentile(histogram, points[index]);
        check_u64(said, >=, truth);
        check_u64(said, <=, truth + truth / 64);
    }
    check_u64(warp_histogram_count(histogram), ==, COUNT);
    check_u64(warp_histogram_sum(histogram), ==, sum);
    check_u64(warp_histogram_min(histogram), ==, values[0]);
    check_u64(warp_histogram_max(histogram), ==, values[COUNT - 1]);
    check(warp_histogram_mean(histogram) == (double)sum / COUNT);
    free(histogram);
}

WARP_TEST(histogram, buckets_touch_and_cover_the_range)
{
    struct warp_histogram *histogram = histogram_new();
    uint64_t before = 0;

    for (uint32_t index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        uint64_t end = warp_histogram_bucket_ns(index);

        check(index == 0 || end > before);
        warp_histogram_add(histogram, end);
        check_u64(warp_histogram_bucket_count(histogram, index), >=, 1);
        if (index > 0) {
            warp_histogram_add(histogram, before + 1); /* the first value of the bucket */
            check_u64(warp_histogram_bucket_count(histogram, index), ==, 2);
        }
        before = end;
    }
    check_u64(before, ==, WARP_HISTOGRAM_NS_MAX);
    warp_histogram_add(histogram, UINT64_MAX); /* counts as the longest */
    check_u64(warp_histogram_max(histogram), ==, WARP_HISTOGRAM_NS_MAX);
    check_u64(sizeof(*histogram), <, 20480);
    free(histogram);
}

WARP_TEST(histogram, an_empty_one_is_zero_and_merging_adds)
{
    struct warp_histogram *a = histogram_new();
    struct warp_histogram *b = histogram_new();

    check_u64(warp_histogram_percentile(a, 50), ==, 0);
    check_u64(warp_histogram_min(a), ==, 0);
    check(warp_histogram_mean(a) == 0.0);
    warp_histogram_merge(a, b);
    check_u64(warp_histogram_min(a), ==, 0);
    warp_histogram_add(a, 10);
    warp_histogram_add(b, 1000);
    warp_histogram_add(b, 5);
    warp_histogram_merge(a, b);
    check_u64(warp_histogram_count(a), ==, 3);
    check_u64(warp_histogram_min(a), ==, 5);
    check_u64(warp_histogram_max(a), ==, 1000);
    check_u64(warp_histogram_percentile(a, 50), ==, 10);
    check_u64(warp_histogram_percentile(a, 100), ==, 1000);
    free(a);
    free(b);
}
