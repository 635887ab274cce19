/*
 * bench/options.h - what the flags of `warp bench` ask for.
 *
 * Threads:   the main one; parse uses getopt's state.
 * Lifetime:  strings are argv's.
 * Units:     as the flags say them: see usage.
 * Ordering:  none.
 * Errors:    parse says on standard error what is wrong and returns BENCH_EXIT_USAGE.
 * Cost:      none.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/driver.h"

enum {
    BENCH_EXIT_DONE = 0,
    BENCH_EXIT_WRONG = 1,
    BENCH_EXIT_USAGE = 2,
    BENCH_EXIT_ERROR = 3
};

#define BENCH_LIST_MAX 16u

struct bench_options {
    struct bench_config config;
    const struct bench_workload *workloads[BENCH_LIST_MAX];
    uint64_t durations_ns[BENCH_LIST_MAX]; /* of each; 0: all the same */
    uint32_t workload_count;
    uint32_t threads[BENCH_LIST_MAX];
    uint32_t thread_count;
    uint32_t depth;
    uint32_t batch;   /* 0: 64 for multiget, else 1 */
    int distribution; /* enum bench_distribution, or -1: the workload's own */
    int key_form;     /* enum bench_key_form, or -1: the workload's own */
    const struct bench_engine *engines[BENCH_ENGINES_MAX];
    uint32_t engine_count;
    char address[160]; /* of the server that is one of them */
    uint32_t repeats;
    const char *path;
    const char *json;
    const char *hgrm;
    const char *lines;
    const char *csv;
    const char *plot;
    const char *compare;
    double tolerance;     /* of a comparison, a share */
    const char *database; /* NULL, or where the one engine's database is and stays */
    bool keep;
    bool fresh;
    bool probe;
};

void bench_options_usage(FILE *file);
/* 0, BENCH_EXIT_USAGE, or -1 when help is asked for. optind is behind the flags afterwards. */
int bench_options_parse(struct bench_options *options, int argc, char **argv);

#endif
