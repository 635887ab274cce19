/*
 * bench/export.h - writes the result for machines: JSON, lines, CSV, percentile text.
 *
 * The JSON has the same data as the table for people; percentile text is HdrHistogram's (Gil
 * Tene), which common plotters read, in microseconds.
 *
 * Threads:   one.
 * Lifetime:  nothing outlives a call.
 * Units:     in the JSON nanoseconds, bytes, operations per second, CPU seconds per million
 *            operations.
 * Ordering:  none.
 * Errors:    -1 with errno where a file cannot be written.
 * Cost:      none.
 */
#ifndef BENCH_EXPORT_H
#define BENCH_EXPORT_H

#include <stdio.h>

#include "bench/report.h"

/* Grows when a field changes its meaning or goes; new fields do not change it. */
#define BENCH_JSON_VERSION 1

int bench_export_json(const struct bench_report *report, FILE *file);
/* One line per row, tab-separated, for scripts: see docs/BENCHMARKS.md. */
int bench_export_lines(const struct bench_report *report, FILE *file);
/* One line per row, comma-separated, below one with the names of the columns. */
int bench_export_csv(const struct bench_report *report, FILE *file);
int bench_export_hgrm(const struct bench_row *row, FILE *file);

#endif
