/*
 * bench/compare.h - sets two JSON results of the benchmark beside each other.
 *
 * Rows match by engine, workload, threads, depth and batch. One is faster than the other when the
 * interval that holds the ratio of their rates with 95 % confidence (Welch's test, from the
 * repeats) does not have 1 in it, and the ratio is further from 1 than the tolerance.
 *
 * Threads:   one.
 * Lifetime:  nothing outlives the call.
 * Units:     as in the files; ratios are second / first; the tolerance is a share (0.02: 2 %).
 * Ordering:  none.
 * Errors:    0; 1 no row matches, or the second is slower in one; 3 a file cannot be read or is
 *            not such a result (said on standard error).
 * Cost:      both files in memory.
 */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include <stdio.h>

int bench_compare(const char *first, const char *second, double tolerance, FILE *out);

#endif
