/*
 * bench/compare.h - sets two JSON results of the benchmark beside each other.
 *
 * Rows match by engine, workload, threads, depth and batch. A difference counts as one only
 * when the repeats of the two sides do not overlap.
 *
 * Threads:   one.
 * Lifetime:  nothing outlives the call.
 * Units:     as in the files; ratios are second / first.
 * Ordering:  none.
 * Errors:    0; 1 no row matches; 3 a file cannot be read or is not such a result (said on
 *            standard error).
 * Cost:      both files in memory.
 */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include <stdio.h>

int bench_compare(const char *first, const char *second, FILE *out);

#endif
