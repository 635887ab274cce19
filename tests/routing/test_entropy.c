/* Each of the three numbers moves when the work does, and in the right direction. */
#include "routing/entropy.h"

#include <math.h>

#include "base/random.h"
#include "tests/lib/test.h"

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

WARP_TEST(entropy, even_work_of_any_number_of_shards_is_even)
{
    double work[64];
    uint32_t n, i;

    for (n = 1; n <= 64; n++) {
        struct warp_entropy entropy;

        for (i = 0; i < n; i++) {
            work[i] = 12345;
        }
        entropy = warp_entropy_of(work, n);
        check(near(entropy.lambda, 1));
        check(near(entropy.evenness, 1));
        check(near(entropy.cov, 0));
    }
}

WARP_TEST(entropy, one_that_does_all_is_the_worst)
{
    double work[64] = {0};
    uint32_t n;

    for (n = 2; n <= 64; n++) {
        struct warp_entropy entropy;

        work[n / 2] = 3;
        entropy = warp_entropy_of(work, n);
        check(near(entropy.lambda, n));
        check(near(entropy.evenness, 0));
        check(near(entropy.cov, sqrt(n - 1.0)));
        work[n / 2] = 0;
    }
}

WARP_TEST(entropy, known_work_gives_known_numbers)
{
    static const double work[] = {1, 1, 2, 4};
    struct warp_entropy entropy = warp_entropy_of(work, 4);

    check(near(entropy.lambda, 2));
    check(near(entropy.evenness,
               0.875)); /* 1/8 * 3 twice, 1/4 * 2, 1/2 * 1: 1.75 of 2 bits */
    check(near(entropy.cov, sqrt(1.5) / 2));
}

WARP_TEST(entropy, nothing_done_says_nothing)
{
    static const double work[3] = {0, 0, 0};
    struct warp_entropy entropy = warp_entropy_of(work, 3);

    check(near(entropy.lambda, 0));
    check(near(entropy.evenness, 0));
    check(near(entropy.cov, 0));
}

WARP_TEST(entropy, work_that_goes_from_the_lowest_to_the_highest_makes_it_worse)
{
    struct warp_random random;
    uint32_t trial, i;

    warp_random_init(&random, test_seed());
    for (trial = 0; trial < 2000; trial++) {
        uint32_t n = 2 + (uint32_t)warp_random_below(&random, 63);
        struct warp_entropy before, after, scaled;
        double work[64], part;
        uint32_t high = 0, low = 0;

        for (i = 0; i < n; i++) {
            work[i] = 1 + (double)warp_random_below(&random, 1000);
            high = work[i] > work[high] ? i : high;
            low = work[i] < work[low] ? i : low;
        }
        if (high == low) {
            continue;
        }
        before = warp_entropy_of(work, n);
        check(before.lambda >= 1 && before.lambda <= n);
        check(before.evenness >= 0 && before.evenness <= 1 + 1e-12);
        check(before.cov >= 0);
        part = work[low] / 2;
        work[low] -= part;
        work[high] += part;
        after = warp_entropy_of(work, n);
        check(after.lambda > before.lambda);
        check(after.evenness < before.evenness);
        check(after.cov > before.cov);
        /* What unit the work is in does not matter. */
        for (i = 0; i < n; i++) {
            work[i] *= 1024;
        }
        scaled = warp_entropy_of(work, n);
        check(near(scaled.lambda, after.lambda));
        check(near(scaled.evenness, after.evenness));
        check(near(scaled.cov, after.cov));
    }
}

WARP_TEST(entropy, of_64_shards_hardly_moves_when_one_has_nearly_five_times_its_part)
{
    double work[64];
    struct warp_entropy entropy;
    uint32_t i;

    for (i = 0; i < 64; i++) {
        work[i] = i == 0 ? 4.77 * 63 / (64 - 4.77) : 1;
    }
    entropy = warp_entropy_of(work, 64);
    check(entropy.lambda > 4.76 && entropy.lambda < 4.78);
    check(entropy.evenness > 0.95); /* why nothing is decided by it */
}
