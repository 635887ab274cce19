#include "bench/statistics.h"

#include <math.h>

#include "tests/lib/test.h"

static bool near(double figure, double wanted, double tolerance)
{
    return fabs(figure - wanted) <= tolerance;
}

/* From the tables in the back of any textbook. */
WARP_TEST(statistics, students_quantiles_are_those_of_the_tables)
{
    check(near(bench_student_quantile(0.975, 1), 12.706, 0.001));
    check(near(bench_student_quantile(0.975, 2), 4.303, 0.001));
    check(near(bench_student_quantile(0.975, 4), 2.776, 0.001));
    check(near(bench_student_quantile(0.975, 10), 2.228, 0.001));
    check(near(bench_student_quantile(0.975, 30), 2.042, 0.001));
    check(near(bench_student_quantile(0.995, 5), 4.032, 0.001));
    check(near(bench_student_quantile(0.95, 1000), 1.646, 0.001));
    check(near(bench_student_quantile(0.5, 3), 0.0, 1e-9));
}

WARP_TEST(statistics, an_interval_of_a_mean_is_the_one_worked_by_hand)
{
    /* Mean 10, deviation 2: 10 -+ 4.303 * 2 / sqrt(3). */
    const double figures[] = {8.0, 10.0, 12.0};
    struct bench_interval interval = bench_interval_of_mean(figures, 3);

    check(interval.known);
    check(near(interval.low, 10.0 - 4.9687, 0.001));
    check(near(interval.high, 10.0 + 4.9687, 0.001));
    check(!bench_interval_of_mean(figures, 1).known);
}

/* Draws that everybody can repeat; nothing of the benchmark's own random numbers. */
static double draw(uint64_t *state)
{
    double sum = 0.0;

    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*state >> 33) / 2147483648.0;
    }
    return sum - 6.0; /* nearly normal: mean 0, deviation 1 */
}

WARP_TEST(statistics, nineteen_intervals_of_twenty_hold_the_truth)
{
    uint64_t state = 42;
    uint32_t held = 0;

    for (int trial = 0; trial < 4000; trial++) {
        double figures[5];
        struct bench_interval interval;

        for (int i = 0; i < 5; i++) {
            figures[i] = 100.0 + 7.0 * draw(&state);
        }
        interval = bench_interval_of_mean(figures, 5);
        held += interval.low <= 100.0 && 100.0 <= interval.high;
    }
    check(held > 3740 && held < 3860); /* 3,800, and four deviations of 13.8 each way */
}

WARP_TEST(statistics, a_ratio_is_found_and_a_difference_that_is_none_is_not)
{
    const double slow[] = {100.0, 102.0, 98.0, 101.0, 99.0};
    const double fast[] = {150.0, 153.0, 147.0, 151.5, 148.5};
    const double same[] = {101.0, 99.5, 100.5, 98.0, 101.5};
    struct bench_ratio ratio = bench_ratio_of(slow, 5, fast, 5);

    check(near(ratio.ratio, 1.5, 1e-6));
    check(ratio.interval.low > 1.4 && ratio.interval.high < 1.6);
    check(ratio.interval.low < 1.5 && ratio.interval.high > 1.5);
    ratio = bench_ratio_of(slow, 5, same, 5);
    check(ratio.interval.low < 1.0 && ratio.interval.high > 1.0);
    /* One figure on a side says nothing of its own spread. */
    check(!bench_ratio_of(slow, 1, fast, 5).interval.known);
    /* Without any spread the interval is the ratio. */
    ratio = bench_ratio_of(slow, 1, slow, 1);
    check(near(ratio.ratio, 1.0, 1e-12));
}

WARP_TEST(statistics, both_ways_round_are_one_ratio)
{
    const double a[] = {10.0, 11.0, 12.5};
    const double b[] = {20.0, 18.0, 21.0, 22.0};
    struct bench_ratio there = bench_ratio_of(a, 3, b, 4);
    struct bench_ratio back = bench_ratio_of(b, 4, a, 3);

    check(near(there.ratio * back.ratio, 1.0, 1e-9));
    check(near(there.interval.low * back.interval.high, 1.0, 1e-9));
}

WARP_TEST(statistics, a_ramp_is_cut_off_and_the_rest_is_steady)
{
    uint64_t state = 7;
    double series[100];
    struct bench_steady steady;

    for (uint32_t i = 0; i < 100; i++) {
        double ramp = i < 20 ? (double)i / 20.0 : 1.0;

        series[i] = 1000.0 * ramp + 10.0 * draw(&state);
    }
    steady = bench_steady_find(series, 100);
    check(steady.known && steady.reached);
    check(steady.first >= 17 && steady.first <= 24);
    check(near(steady.mean, 1000.0, 10.0));
    check(steady.spread < 0.05);
}

WARP_TEST(statistics, what_is_level_from_the_beginning_is_not_cut)
{
    uint64_t state = 3;
    double series[60];
    struct bench_steady steady;

    for (uint32_t i = 0; i < 60; i++) {
        series[i] = 500.0 + draw(&state);
    }
    steady = bench_steady_find(series, 60);
    check(steady.reached && steady.first < 15);
    for (uint32_t i = 0; i < 60; i++) {
        series[i] = 500.0;
    }
    steady = bench_steady_find(series, 60);
    check(steady.reached && steady.first == 0);
}

WARP_TEST(statistics, what_goes_down_to_the_end_is_not_steady)
{
    double series[50];

    for (uint32_t i = 0; i < 50; i++) {
        series[i] = 1000.0 / (1.0 + i);
    }
    check(!bench_steady_find(series, 50).reached ||
          bench_steady_find(series, 50).spread > 0.2);
    /* It stands, and falls in the last quarter. */
    for (uint32_t i = 0; i < 50; i++) {
        series[i] = i < 38 ? 1000.0 : 100.0;
    }
    check(!bench_steady_find(series, 50).reached);
    check(!bench_steady_find(series, 9).known);
}
