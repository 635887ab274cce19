/*
 * bench/plot.h - draws one workload's results: latency by percentile, rate over time.
 *
 * SVG files by themselves, without scripts or anything from elsewhere. One line per engine. In the
 * latency plot each nine of the percentile has as much room as the one before, as HdrHistogram's
 * plotter does it (Gil Tene), and the latency is logarithmic. Each has a light and a dark
 * dress and takes the one that the reader's surroundings ask for.
 *
 * Threads:   any.
 * Lifetime:  rows are the caller's.
 * Units:     microseconds; seconds and thousand operations per second.
 * Ordering:  none.
 * Errors:    -1 when the stream does.
 * Cost:      some 10 KiB per engine.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <stdio.h>

#include "bench/row.h"

/* The rows of one cell, one per engine; those without a run are left out. */
int bench_plot_latency(const struct bench_config *config, const struct bench_row *rows,
                       uint32_t count, FILE *file);
/* Of each engine's last run. */
int bench_plot_throughput(const struct bench_config *config, const struct bench_row *rows,
                          uint32_t count, FILE *file);

#endif
