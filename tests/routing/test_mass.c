/* Masses follow time, not counts; a sample out of the ordinary counts little; an epoch is a share of
 * time whatever its length; and the variance is what repeated epochs really show. */
#include "routing/mass.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/counter.h"
#include "base/random.h"
#include "tests/lib/test.h"

#define EPOCH UINT64_C(100000000)

struct scales {
    struct warp_mass mass;
    struct warp_mass_cell cells[WARP_SLOT_COUNT];
    struct warp_mass_sampler samplers[WARP_SHARD_COUNT_MAX];
    struct warp_mass_sampler *pointers[WARP_SHARD_COUNT_MAX];
    uint32_t shard_count;
    uint64_t now;
};

static struct scales *scales_make(uint32_t shard_count, uint32_t period)
{
    struct scales *scales = calloc(1, sizeof(*scales));
    uint32_t i;

    if (!check(scales != NULL)) {
        abort();
    }
    scales->shard_count = shard_count;
    warp_mass_init(&scales->mass, scales->cells, sizeof(scales->cells[0]), period, 0);
    for (i = 0; i < shard_count; i++) {
        warp_mass_sampler_init(&scales->samplers[i], i);
        scales->pointers[i] = &scales->samplers[i];
    }
    return scales;
}

/* An operation as the holder of the lease carries it out; true if it was timed. */
static bool scales_serve(struct scales *scales, uint32_t shard, uint32_t slot,
                         int64_t ticks, uint64_t bytes)
{
    if (!warp_mass_due(&scales->mass, &scales->samplers[shard])) {
        return false;
    }
    warp_mass_add(&scales->samplers[shard], &scales->cells[slot], ticks, bytes,
                  bytes * 100);
    return true;
}

static void scales_roll(struct scales *scales, uint64_t epoch)
{
    scales->now += epoch;
    check(warp_mass_roll_begin(&scales->mass, scales->pointers, scales->shard_count,
                               scales->now));
    while (!warp_mass_roll_step(&scales->mass, 1000)) {
    }
}

WARP_TEST(mass, is_the_share_of_time_an_operation_takes_and_not_its_count)
{
    struct scales *scales = scales_make(1, 1);
    uint32_t epoch, i;

    for (i = 0; i < 2; i++) { /* the first of a class only says what is usual */
        scales_serve(scales, 0, 7, 100, 10);
        scales_serve(scales, 0, 8, 10000, 65536);
    }
    scales_roll(scales, EPOCH);
    for (epoch = 0; epoch < 40; epoch++) {
        for (i = 0; i < 1000; i++) {
            scales_serve(scales, 0, 7, 100, 10);
        }
        for (i = 0; i < 100; i++) {
            scales_serve(scales, 0, 8, 10000, 65536);
        }
        scales_roll(scales, EPOCH);
    }
    /* 100,000 ticks of 100 millions are a thousandth; the large ones are fewer and take ten times
     * as long. */
    check_u64(scales->mass.masses[7], >, 999000);
    check_u64(scales->mass.masses[7], <=, 1000000);
    check_u64(scales->mass.masses[8], >, 9990000);
    check_u64(scales->mass.masses[8], <=, 10000000);
    check_u64(scales->cells[7].bytes, ==, 1000 / WARP_MASS_BYTES);
    check_u64(scales->cells[8].bytes, ==, 6553600 / WARP_MASS_BYTES);
    check_u64(scales->mass.shards[0].epoch_samples, ==, 1100);
    check_u64(scales->mass.masses[9], ==, 0);
    free(scales);
}

WARP_TEST(mass, halves_with_every_epoch_in_which_nothing_comes)
{
    struct scales *scales = scales_make(1, 1);
    uint32_t before, i;

    for (i = 0; i < 1001; i++) {
        scales_serve(scales, 0, 3, 1000, 10);
    }
    scales_roll(scales, EPOCH);
    before = scales->mass.masses[3];
    check_u64(before, ==, 5000000); /* half of a hundredth */
    for (i = 0; i < 40; i++) {
        scales_roll(scales, EPOCH);
        check_u64(scales->mass.masses[3], ==, before / 2);
        before = scales->mass.masses[3];
    }
    check_u64(before, ==, 0);
    check(scales->mass.shards[0].variance < 1);
    free(scales);
}

WARP_TEST(mass, of_the_same_work_is_the_same_at_any_length_of_epoch_and_any_period)
{
    static const uint32_t periods[] = {1, 2, 16, 100};
    uint32_t p;

    for (p = 0; p < 4; p++) {
        struct scales *scales = scales_make(1, periods[p]);
        struct warp_random random;
        uint32_t epoch;

        warp_random_init(&random, test_seed());
        for (epoch = 0; epoch < 30; epoch++) {
            uint64_t length = EPOCH + warp_random_below(&random, 9 * EPOCH);
            uint64_t i;

            /* A tenth of the time. */
            for (i = 0; i < length / 10 / 100; i++) {
                scales_serve(scales, 0, 5, 100, 10);
            }
            scales_roll(scales, length);
        }
        check_u64(scales->mass.masses[5], >, 97000000);
        check_u64(scales->mass.masses[5], <, 103000000);
        free(scales);
    }
}

#define RHYTHM 16u

WARP_TEST(mass, samples_one_in_a_period_and_no_rhythm_of_the_work_hides_from_it)
{
    struct scales *scales = scales_make(1, RHYTHM);
    uint64_t counts[RHYTHM] = {0}, all = 0;
    uint32_t i, rhythm;

    /* Sixteen slots in turn, as a batch of sixteen keys would come. */
    for (i = 0; i < 1600000; i++) {
        bool timed = scales_serve(scales, 0, i % RHYTHM, 100, 10);

        counts[i % RHYTHM] += timed;
        all += timed;
    }
    check_u64(all, >, 98000);
    check_u64(all, <, 102000);
    for (rhythm = 0; rhythm < RHYTHM; rhythm++) {
        check_u64(counts[rhythm], >, 5600);
        check_u64(counts[rhythm], <, 6900);
    }
    free(scales);
}

WARP_TEST(mass, is_switched_off_and_on_while_it_runs)
{
    struct scales *scales = scales_make(1, 1);
    uint32_t i, timed = 0;

    warp_mass_set_period(&scales->mass, 0);
    scales_serve(scales, 0, 1, 100, 10); /* the countdown of before */
    for (i = 0; i < 10000; i++) {
        timed += scales_serve(scales, 0, 1, 100, 10);
    }
    check_u64(timed, ==, 0);
    warp_mass_set_period(&scales->mass, 1);
    for (i = 0; i < 128; i++) {
        timed += scales_serve(scales, 0, 1, 100, 10);
    }
    check_u64(timed, >=, 64);
    free(scales);
}

WARP_TEST(mass, does_not_believe_that_a_preempted_operation_took_so_long)
{
    struct scales *scales = scales_make(1, 1);
    uint32_t i;

    for (i = 0; i < 1000; i++) {
        scales_serve(scales, 0, 1, 500, 100);
    }
    scales_roll(scales, EPOCH);
    /* One in a hundred is interrupted for four milliseconds, always of the same slot. */
    for (i = 0; i < 10000; i++) {
        scales_serve(scales, 0, i % 100 == 0 ? 2 : 1, i % 100 == 0 ? 12000000 : 500, 100);
    }
    scales_roll(scales, EPOCH);
    check_u64(scales->mass.masses[2], <, scales->mass.masses[1]);
    check_u64(warp_counter_read(&scales->samplers[0].clipped), ==, 100);
    free(scales);
}

WARP_TEST(mass, believes_what_takes_long_again_and_again)
{
    struct scales *scales = scales_make(1, 1);
    uint32_t i;

    for (i = 0; i < 100; i++) {
        scales_serve(scales, 0, 1, 500, 100);
    }
    scales_roll(scales, EPOCH);
    for (i = 0; i < 100; i++) { /* a thousand times slower from now on */
        scales_serve(scales, 0, 1, 500000, 100);
    }
    scales_roll(scales, 2 * EPOCH);
    check_u64(scales->mass.masses[1], >, WARP_MASS_UNIT / 10);
    free(scales);
}

WARP_TEST(mass, takes_time_that_ran_backward_for_the_least_there_is)
{
    struct scales *scales = scales_make(1, 1);

    scales_serve(scales, 0, 1, 500, 100);
    scales_serve(scales, 0, 1, -123456789, 100);
    scales_serve(scales, 0, 1, 0, 100);
    check_u64(warp_counter_read(&scales->samplers[0].ticks), ==, 2);
    check(
        !warp_mass_roll_begin(&scales->mass, scales->pointers, 1, 0)); /* no time passed */
    scales_roll(scales, EPOCH);
    free(scales);
}

WARP_TEST(mass, any_numbers_stay_in_their_bounds)
{
    struct scales *scales = scales_make(WARP_SHARD_COUNT_MAX, 1);
    struct warp_random random;
    uint32_t epoch, i;

    warp_random_init(&random, test_seed());
    for (epoch = 0; epoch < 20; epoch++) {
        for (i = 0; i < 20000; i++) {
            uint64_t bits = warp_random_below(&random, 64);

            scales_serve(scales, (uint32_t)warp_random_below(&random, WARP_SHARD_COUNT_MAX),
                         (uint32_t)warp_random_below(&random, WARP_SLOT_COUNT),
                         (int64_t)(warp_random_next(&random) >> bits),
                         warp_random_next(&random) >> bits);
        }
        scales_roll(scales, 1 + (warp_random_next(&random) >> (30 + epoch)));
        for (i = 0; i < WARP_SHARD_COUNT_MAX; i++) {
            check(isfinite(scales->mass.shards[i].variance));
            check(scales->mass.shards[i].variance >= 0);
        }
    }
    free(scales);
}

/* Loads that are equal in truth scatter by as much as the variance says, whether their samples are
 * all alike or of very different sizes. */
static void check_variance(bool mixed)
{
    struct scales *scales = scales_make(1, 16);
    struct warp_random random;
    double sum = 0, squares = 0, said = 0, mean, seen;
    uint32_t epoch, i;

    warp_random_init(&random, test_seed());
    for (epoch = 0; epoch < 420; epoch++) {
        double load = 0;
        /* As many as come by chance, nearly a Poisson number, whose variance is its mean: 48 *
         * 331.5 = 15,912, and 48 * 64^2 / 12 = 16,384. */
        uint32_t arrivals = 0;

        for (i = 0; i < 48; i++) { /* the sum of many uniform ones is a normal one */
            arrivals += 300 + (uint32_t)warp_random_below(&random, 64);
        }
        for (i = 0; i < arrivals; i++) {
            bool large = mixed && warp_random_chance(&random, 50);

            scales_serve(scales, 0, i % 64, large ? 20000 : 300, large ? 32768 : 64);
        }
        scales_roll(scales, EPOCH);
        for (i = 0; i < 64; i++) {
            load += scales->mass.masses[i];
        }
        if (epoch >= 20) { /* the average has settled */
            sum += load;
            squares += load * load;
            said += scales->mass.shards[0].variance;
        }
    }
    mean = sum / 400;
    seen = squares / 400 - mean * mean;
    said /= 400;
    check(mean > 0);
    /* Never more; less where all are alike, for gaps between samples vary less than those of a
     * Poisson process, for which it is exact. Successive epochs share half: it is not sharp. */
    check(seen < said * 1.4);
    check(seen > said * (mixed ? 0.6 : 0.2));
    free(scales);
}

WARP_TEST(mass, scatters_as_its_variance_says)
{
    check_variance(false);
    check_variance(true);
}

WARP_TEST(mass, grows_with_the_number_of_samples_slower_than_the_load)
{
    double noise[2];
    uint32_t many, i;

    for (many = 0; many < 2; many++) {
        struct scales *scales = scales_make(1, 1);

        for (i = 0; i < (many == 0 ? 1001u : 100001u); i++) {
            scales_serve(scales, 0, i % 100, 100, 10);
        }
        scales_roll(scales, EPOCH);
        noise[many] =
            sqrt(scales->mass.shards[0].variance) / ((double)scales->mass.masses[0] * 100);
        free(scales);
    }
    /* Of a hundred times as many samples a tenth. */
    check(noise[0] / noise[1] > 9.5 && noise[0] / noise[1] < 10.5);
}

/* A reader that rolls beside a writer sees no more than was written. For the thread sanitizer. */
struct beside {
    struct scales *scales;
    _Atomic int stop;
};

static void *beside_main(void *context)
{
    struct beside *beside = context;
    uint32_t i = 0;

    while (atomic_load_explicit(&beside->stop, memory_order_relaxed) == 0) {
        scales_serve(beside->scales, 0, i++ % 256, 100, 10);
    }
    return NULL;
}

WARP_TEST(mass, is_rolled_while_it_is_written)
{
    struct scales *scales = scales_make(1, 1);
    struct beside beside = {scales, 0};
    pthread_t thread;
    uint64_t sum = 0, ticks;
    uint32_t epoch, i;

    if (!check_int(pthread_create(&thread, NULL, beside_main, &beside), ==, 0)) {
        return;
    }
    for (epoch = 0; epoch < 200; epoch++) {
        scales_roll(scales, EPOCH);
    }
    atomic_store_explicit(&beside.stop, 1, memory_order_relaxed);
    pthread_join(thread, NULL);
    scales_roll(scales, EPOCH);
    ticks = warp_counter_read(&scales->samplers[0].ticks);
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        sum += scales->mass.seen[i];
    }
    check_u64(sum, ==, ticks);
    free(scales);
}
