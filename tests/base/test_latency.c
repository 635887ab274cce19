#include "base/latency.h"

#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/random.h"
#include "tests/lib/test.h"

static struct warp_latency *latency_new(enum warp_latency_mode mode)
{
    struct warp_latency *latency = calloc(1, sizeof(*latency));

    if (latency == NULL) {
        abort();
    }
    warp_latency_init(latency, mode, (uint32_t)test_seed());
    return latency;
}

static struct warp_histogram *merged(const struct warp_latency *latency)
{
    struct warp_histogram *histogram = malloc(sizeof(*histogram));

    if (histogram == NULL) {
        abort();
    }
    warp_histogram_init(histogram);
    warp_latency_merge(histogram, latency);
    return histogram;
}

/* One operation in a hundred takes a hundred times as long, and has its share all the same. */
WARP_TEST(latency, is_as_fair_as_if_all_were_timed)
{
    enum { OPERATIONS = 20000000 };
    struct warp_latency *latency = latency_new(WARP_LATENCY_SAMPLED);
    struct warp_histogram *histogram;
    struct warp_random random;
    uint64_t slow = 0, timed = 0, sum = 0, count, below;
    uint32_t index, i;

    warp_random_init(&random, test_seed());
    for (i = 0; i < OPERATIONS; i++) {
        uint64_t ns = warp_random_below(&random, 100) == 0 ? 20000 : 200;

        slow += ns == 20000;
        sum += ns;
        if (warp_latency_due(latency)) {
            timed++;
            warp_latency_add(latency, ns);
        }
    }
    histogram = merged(latency);
    count = warp_histogram_count(histogram);
    below = 0;
    for (index = 0; warp_histogram_bucket_ns(index) < 1000; index++) {
        below += warp_histogram_bucket_count(histogram, index);
    }
    /* All that were, but for those since the last sample. */
    check_u64(count, <=, OPERATIONS);
    check_u64(count, >, OPERATIONS - 2 * WARP_LATENCY_GAP_MAX);
    /* The slow ones are 1 %; half a million samples miss that by more than a tenth never. */
    check_u64((count - below) * 10, >, slow * 9);
    check_u64((count - below) * 10, <, slow * 11);
    check_u64(warp_histogram_sum(histogram) * 10, >, sum * 9);
    check_u64(warp_histogram_sum(histogram) * 10, <, sum * 11);
    check_u64(warp_histogram_max(histogram), ==, 20000);
    /* And timing takes its share of the time, and not more. */
    check_u64(timed * WARP_LATENCY_SAMPLE_NS, <, sum / WARP_LATENCY_SHARE * 2);
    check_u64(timed, ==, warp_counter_read(&latency->samples));
    free(histogram);
    free(latency);
}

/* Every second operation is slow: whoever takes every second one sees half of the truth. */
WARP_TEST(latency, is_not_fooled_by_a_period)
{
    static const uint32_t periods[] = {2, 3, 64, 125, 128, 250};
    uint32_t which, i;

    for (which = 0; which < sizeof(periods) / sizeof(periods[0]); which++) {
        struct warp_latency *latency = latency_new(WARP_LATENCY_SAMPLED);
        struct warp_histogram *histogram;
        uint64_t slow = 0, count;
        uint32_t index;

        for (i = 0; i < 10000000; i++) {
            if (warp_latency_due(latency)) {
                warp_latency_add(latency, i % periods[which] == 0 ? 210 : 100);
            }
        }
        histogram = merged(latency);
        count = warp_histogram_count(histogram);
        for (index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
            slow += warp_histogram_bucket_ns(index) > 150
                        ? warp_histogram_bucket_count(histogram, index)
                        : 0;
        }
        check_u64(slow * periods[which] * 10, >, count * 5);
        check_u64(slow * periods[which] * 10, <, count * 16);
        free(histogram);
        free(latency);
    }
}

WARP_TEST(latency, times_all_that_is_slow)
{
    struct warp_latency *latency = latency_new(WARP_LATENCY_SAMPLED);
    uint32_t i, timed = 0;

    for (i = 0; i < 1000; i++) {
        if (warp_latency_due(latency)) {
            timed++;
            warp_latency_add(latency, 1000000);
        }
    }
    check_u64(timed, ==, 1000);
    free(latency);
}

WARP_TEST(latency, times_all_or_none_when_told_to)
{
    struct warp_latency *all = latency_new(WARP_LATENCY_ALL);
    struct warp_latency *none = latency_new(WARP_LATENCY_OFF);
    struct warp_histogram *histogram;
    uint32_t i, timed = 0;

    for (i = 0; i < 100000; i++) {
        if (warp_latency_due(all)) {
            timed++;
            warp_latency_add(all, 100);
        }
        check(!warp_latency_due(none));
    }
    check_u64(timed, ==, 100000);
    histogram = merged(all);
    check_u64(warp_histogram_count(histogram), ==, 100000);
    check_u64(warp_histogram_sum(histogram), ==, 100 * 100000);
    free(histogram);
    histogram = merged(none);
    check_u64(warp_histogram_count(histogram), ==, 0);
    check_u64(warp_histogram_max(histogram), ==, 0);
    free(histogram);
    free(all);
    free(none);
}

/* One that is due and never added, because the call was refused, stops nothing. */
WARP_TEST(latency, goes_on_when_one_is_not_added)
{
    struct warp_latency *latency = latency_new(WARP_LATENCY_SAMPLED);
    uint32_t i, due = 0;

    for (i = 0; i < 100000; i++) {
        due += warp_latency_due(latency);
    }
    check_u64(due, >, 100);
    free(latency);
}

/* At most a sixteenth too high, never too low, whatever the size. */
WARP_TEST(latency, knows_times_to_a_sixteenth)
{
    struct warp_random random;
    uint32_t i;

    warp_random_init(&random, test_seed());
    for (i = 0; i < 20000; i++) {
        uint64_t ns =
            warp_random_below(&random, UINT64_C(1) << (1 + warp_random_below(&random, 36)));
        struct warp_latency *latency = latency_new(WARP_LATENCY_ALL);
        struct warp_histogram *histogram;
        uint32_t index = 0;

        check(warp_latency_due(latency));
        warp_latency_add(latency, ns);
        histogram = merged(latency);
        while (warp_histogram_bucket_count(histogram, index) == 0) {
            index++;
        }
        check_u64(warp_histogram_bucket_ns(index), >=, ns);
        check_u64(warp_histogram_bucket_ns(index), <=, ns + ns / 16 + ns / 64);
        check_u64(warp_histogram_sum(histogram), ==, ns);
        check_u64(warp_histogram_max(histogram), ==, ns);
        check_u64(warp_histogram_percentile(histogram, 50), <=, ns);
        free(histogram);
        free(latency);
        if (i == 0) { /* and what is longer than all */
            latency = latency_new(WARP_LATENCY_ALL);
            check(warp_latency_due(latency));
            warp_latency_add(latency, UINT64_MAX / 2);
            check_u64(warp_counter_read(&latency->max), ==, WARP_LATENCY_NS_MAX);
            free(latency);
        }
    }
}
