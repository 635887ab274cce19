/*
 * bench/limit.h - looks for the highest rate that meets a bound.
 *
 * The first trial is without a rate: what the engine can do at all is the end of the search. Then
 * rates are tried between the highest that has met the bound and the lowest that has not, by their
 * geometric mean, until they lie within 5 % of each other. Whoever plays the trials says of
 * each whether it met the bound.
 *
 * Threads:   one.
 * Lifetime:  plain data; init is enough.
 * Units:     operations per second.
 * Ordering:  none.
 * Errors:    none.
 * Cost:      at most BENCH_LIMIT_TRIALS_MAX trials.
 */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_LIMIT_TRIALS_MAX 24u
#define BENCH_LIMIT_CLOSE      1.05

struct bench_limit_trial {
    double rate; /* asked for; 0: as fast as it goes */
    double measured;
    uint64_t p99_ns;
    bool met;
};

struct bench_limit {
    double capacity; /* of the trial without a rate */
    double met;      /* the highest rate that met the bound; 0: none has */
    double missed;   /* the lowest that did not */
    uint32_t trial_count;
    struct bench_limit_trial trials[BENCH_LIMIT_TRIALS_MAX];
};

void bench_limit_init(struct bench_limit *limit);
/* False: the search has ended. *rate: what to try; 0: without a rate. */
bool bench_limit_next(const struct bench_limit *limit, double *rate);
/* How the trial went that next asked for. True: no trial before has met the bound at a rate as
 * high. */
bool bench_limit_note(struct bench_limit *limit, const struct bench_limit_trial *trial);

#endif
