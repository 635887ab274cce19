/*
 * bench/statistics.h - what can be said from a few repeats, and from a rate over time.
 *
 * An interval for a mean is Student's ("The probable error of a mean", Biometrika 6, 1908); two
 * sides are compared by Welch's test (Biometrika 34, 1947) on logarithms, so that what comes out
 * is a ratio. Where a series has come to rest is White's marginal standard error rule ("An effective
 * truncation heuristic for bias reduction in simulation output", Simulation 69(6), 1997): of
 * all places to cut the beginning off, the one after which the mean of the rest is known best.
 *
 * Threads:   any.
 * Lifetime:  nothing outlives a call.
 * Units:     those of the figures.
 * Ordering:  none.
 * Errors:    none; what cannot be known has known = false.
 * Cost:      microseconds.
 */
#ifndef BENCH_STATISTICS_H
#define BENCH_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_CONFIDENCE 0.95

struct bench_interval {
    bool known; /* false: fewer than two figures */
    double low;
    double high;
};

/* The value that Student's distribution with `freedom` (> 0) degrees stays below with probability
 * `probability`, 0.5 - 0.9999. */
double bench_student_quantile(double probability, double freedom);

/* Where the mean of what the figures are a sample of lies, with BENCH_CONFIDENCE. */
struct bench_interval bench_interval_of_mean(const double *figures, uint32_t count);

struct bench_ratio {
    double ratio; /* of geometric means, second / first */
    struct bench_interval interval;
};

/* All figures are above 0, and there is one at least on each side. */
struct bench_ratio bench_ratio_of(const double *first, uint32_t first_count,
                                  const double *second, uint32_t second_count);

struct bench_steady {
    bool known;     /* false: too short a series to say */
    bool reached;   /* the beginning that must be cut off is less than half of it */
    uint32_t first; /* the first of the series that belongs to the steady part */
    double mean;    /* of the steady part ... */
    double spread;  /* ... and its standard deviation over the mean */
};

#define BENCH_STEADY_SERIES_MIN 10u

struct bench_steady bench_steady_find(const double *series, uint32_t count);

#endif
