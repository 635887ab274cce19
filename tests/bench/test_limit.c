#include "bench/limit.h"

#include "tests/lib/test.h"

/* An engine that does `capacity` operations per second, and whose p99 grows as a queue's does. */
static void play(struct bench_limit *limit, double capacity, double bound_ns)
{
    double rate;

    bench_limit_init(limit);
    while (bench_limit_next(limit, &rate)) {
        struct bench_limit_trial trial = {.rate = rate, .measured = rate};
        double share = rate / capacity;
        double p99_ns = share < 1.0 ? 1000.0 * 4.6 / (1.0 - share) : 1e12;

        if (rate == 0.0) {
            trial.measured = capacity;
        }
        trial.p99_ns = (uint64_t)p99_ns;
        trial.met = rate > 0.0 && p99_ns <= bound_ns;
        bench_limit_note(limit, &trial);
    }
}

WARP_TEST(limit, the_knee_of_a_queue_is_found)
{
    struct bench_limit limit;

    /* 4,600 / (1 - share) <= 46,000 means share <= 0.9; <= 9,200: 0.5; <= 4,646: 0.01. */
    play(&limit, 80000.0, 46000.0);
    check(limit.met <= 72000.0 && limit.met > 72000.0 / BENCH_LIMIT_CLOSE);
    play(&limit, 80000.0, 9200.0);
    check(limit.met <= 40000.0 && limit.met > 40000.0 / BENCH_LIMIT_CLOSE);
    play(&limit, 3e6, 4646.5);
    check(limit.met <= 30100.0 && limit.met > 30000.0 / BENCH_LIMIT_CLOSE);
    check(limit.trial_count < BENCH_LIMIT_TRIALS_MAX);
}

WARP_TEST(limit, a_bound_that_cannot_be_met_ends_the_search)
{
    struct bench_limit limit;

    play(&limit, 80000.0, 4000.0);
    check(limit.met == 0.0);
    check(limit.trial_count < BENCH_LIMIT_TRIALS_MAX);
    play(&limit, 0.0, 4000.0);
    check_int(limit.trial_count, ==, 1);
}

/* Trials are noisy: whatever they answer, it ends, and says no rate that failed. */
WARP_TEST(limit, answers_that_contradict_each_other_end_it)
{
    uint64_t state = 9;

    for (int round = 0; round < 200; round++) {
        struct bench_limit limit;
        double rate;
        uint32_t trials = 0;

        bench_limit_init(&limit);
        while (bench_limit_next(&limit, &rate)) {
            struct bench_limit_trial trial = {.rate = rate, .measured = 5000.0};

            state = state * 6364136223846793005u + 1442695040888963407u;
            trial.met = rate > 0.0 && (state >> 63) != 0;
            bench_limit_note(&limit, &trial);
            trials++;
        }
        check(trials <= BENCH_LIMIT_TRIALS_MAX);
        check(limit.met < limit.missed);
    }
}
