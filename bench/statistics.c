#include "bench/statistics.h"

#include <math.h>
#include <string.h>

#define STUDENT_STEPS     200
#define FRACTION_STEPS    300
#define FRACTION_TINY     1e-300
#define FRACTION_ACCURACY 1e-14

/* The continued fraction of the incomplete beta function, evaluated from the front (Lentz). */
static double beta_fraction(double x, double a, double b)
{
    double c = 1.0;
    double d = 1.0 - (a + b) * x / (a + 1.0);
    double product;

    d = fabs(d) < FRACTION_TINY ? FRACTION_TINY : d;
    d = 1.0 / d;
    product = d;
    for (int i = 1; i <= FRACTION_STEPS; i++) {
        for (int odd = 0; odd < 2; odd++) {
            double term =
                odd == 0 ? i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i))
                         : -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1));

            d = 1.0 + term * d;
            d = fabs(d) < FRACTION_TINY ? FRACTION_TINY : d;
            c = 1.0 + term / c;
            c = fabs(c) < FRACTION_TINY ? FRACTION_TINY : c;
            d = 1.0 / d;
            product *= d * c;
        }
        if (fabs(d * c - 1.0) < FRACTION_ACCURACY) {
            break;
        }
    }
    return product;
}

static double beta_share(double x, double a, double b)
{
    double front =
        exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1.0 - x));

    return x < (a + 1.0) / (a + b + 2.0) ? front * beta_fraction(x, a, b) / a
                                         : 1.0 - front * beta_fraction(1.0 - x, b, a) / b;
}

/* The probability of at most t, t > 0. */
static double student_below(double t, double freedom)
{
    return 1.0 - 0.5 * beta_share(freedom / (freedom + t * t), freedom / 2.0, 0.5);
}

double bench_student_quantile(double probability, double freedom)
{
    double low = 0.0;
    double high = 1.0;

    if (probability <= 0.5) {
        return 0.0;
    }
    while (student_below(high, freedom) < probability && high < 1e9) {
        high *= 2.0;
    }
    for (int i = 0; i < STUDENT_STEPS && high - low > 1e-12 * high; i++) {
        double middle = (low + high) / 2.0;

        if (student_below(middle, freedom) < probability) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (low + high) / 2.0;
}

static double mean_of(const double *figures, uint32_t count)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < count; i++) {
        sum += figures[i];
    }
    return sum / count;
}

/* Of the population, from a sample of at least two. */
static double variance_of(const double *figures, uint32_t count)
{
    double mean = mean_of(figures, count);
    double sum = 0.0;

    for (uint32_t i = 0; i < count; i++) {
        sum += (figures[i] - mean) * (figures[i] - mean);
    }
    return sum / (count - 1);
}

struct bench_interval bench_interval_of_mean(const double *figures, uint32_t count)
{
    struct bench_interval interval = {false, 0.0, 0.0};
    double mean;
    double half;

    if (count < 2) {
        return interval;
    }
    mean = mean_of(figures, count);
    half = bench_student_quantile(0.5 + BENCH_CONFIDENCE / 2.0, count - 1) *
           sqrt(variance_of(figures, count) / count);
    interval.known = true;
    interval.low = mean - half;
    interval.high = mean + half;
    return interval;
}

#define RATIO_FIGURES_MAX 64u

static uint32_t logarithms(const double *figures, uint32_t count, double *out)
{
    uint32_t used = count < RATIO_FIGURES_MAX ? count : RATIO_FIGURES_MAX;

    for (uint32_t i = 0; i < used; i++) {
        out[i] = log(figures[i]);
    }
    return used;
}

struct bench_ratio bench_ratio_of(const double *first, uint32_t first_count,
                                  const double *second, uint32_t second_count)
{
    struct bench_ratio out;
    double a[RATIO_FIGURES_MAX];
    double b[RATIO_FIGURES_MAX];
    double difference;
    double error_a;
    double error_b;
    double freedom;
    double half;

    first_count = logarithms(first, first_count, a);
    second_count = logarithms(second, second_count, b);
    difference = mean_of(b, second_count) - mean_of(a, first_count);
    memset(&out, 0, sizeof(out));
    out.ratio = exp(difference);
    if (first_count < 2 || second_count < 2) {
        return out;
    }
    error_a = variance_of(a, first_count) / first_count;
    error_b = variance_of(b, second_count) / second_count;
    out.interval.known = true;
    half = 0.0;
    if (error_a + error_b > 0.0) {
        freedom = (error_a + error_b) * (error_a + error_b) /
                  (error_a * error_a / (first_count - 1) +
                   error_b * error_b / (second_count - 1));
        half = bench_student_quantile(0.5 + BENCH_CONFIDENCE / 2.0, freedom) *
               sqrt(error_a + error_b);
    }
    out.interval.low = exp(difference - half);
    out.interval.high = exp(difference + half);
    return out;
}

struct bench_steady bench_steady_find(const double *series, uint32_t count)
{
    struct bench_steady steady;
    double sum = 0.0;
    double squares = 0.0;
    double best = INFINITY;

    memset(&steady, 0, sizeof(steady));
    if (count < BENCH_STEADY_SERIES_MIN) {
        return steady;
    }
    steady.known = true;
    /* From the end backwards; the last few alone would look steady by chance. */
    for (uint32_t i = count; i > 0; i--) {
        uint32_t rest = count - i + 1;
        double mean;
        double around;

        sum += series[i - 1];
        squares += series[i - 1] * series[i - 1];
        if (rest < BENCH_STEADY_SERIES_MIN / 2) {
            continue;
        }
        mean = sum / rest;
        around = squares - sum * mean;
        around = around > 0.0 ? around : 0.0; /* rounding */
        if (around / ((double)rest * rest) <= best) {
            best = around / ((double)rest * rest);
            steady.first = i - 1;
            steady.mean = mean;
            steady.spread = mean > 0.0 ? sqrt(around / rest) / mean : 0.0;
        }
    }
    steady.reached = steady.first < count / 2;
    return steady;
}
