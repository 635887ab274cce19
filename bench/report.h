/*
 * bench/report.h - tells the result to people.
 *
 * Threads:   one.
 * Lifetime:  a report borrows all that it points to.
 * Units:     the table says its own.
 * Ordering:  none.
 * Errors:    none; the caller looks at the stream.
 * Cost:      none.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "bench/environment.h"
#include "bench/row.h"

struct bench_report {
    const struct bench_config *config;
    const struct bench_environment *environment;
    const struct bench_row *rows; /* cell by cell, engine by engine */
    uint32_t engine_count;
    uint32_t repeats;
};

void bench_report_text(const struct bench_report *report, FILE *file);

#endif
