/*
 * bench/side.h - keeps one engine in a process of its own and gives it orders.
 *
 * Each engine lives in a forked child, so that memory, CPU time and crashes are its own and
 * engines can take turns (A B A B) without being loaded again. Orders go down one pipe,
 * results come up another. A child dies with its parent.
 *
 * Threads:   one, which must be the process's only one when start forks.
 * Lifetime:  start / stop are a pair; stop ends the child, by force if need be.
 * Units:     none of its own.
 * Ordering:  the answer to an order is all there when the call returns.
 * Errors:    a result with `failed` set, also when the child dies.
 * Cost:      one fork per start, 200 KiB through a pipe per order.
 */
#ifndef BENCH_SIDE_H
#define BENCH_SIDE_H

#include <sys/types.h>

#include "bench/driver.h"

struct bench_side {
    const struct bench_engine *engine;
    const struct bench_config *config;
    const struct bench_cell *cells; /* those it may be asked to run */
    uint32_t cell_count;
    char path[512];
    pid_t child;
    int orders;  /* write end */
    int results; /* read end */
    /* Called about once a second while an answer is waited for; may be NULL. */
    void (*waiting)(void *context);
    void *waiting_context;
};

/* Makes directory `path` and forks. */
int bench_side_start(struct bench_side *side, const struct bench_engine *engine,
                     const struct bench_config *config, const struct bench_cell *cells,
                     uint32_t cell_count, const char *path, struct bench_result *result);
/* Each fills *result and returns -1 if it failed. */
int bench_side_load(struct bench_side *side, struct bench_result *result);
int bench_side_run(struct bench_side *side, uint32_t cell_index, uint32_t repeat,
                   struct bench_result *result);
/* The same at a rate, in open loop with random arrivals; 0: closed loop. */
int bench_side_run_at(struct bench_side *side, uint32_t cell_index, uint32_t repeat,
                      double rate, struct bench_result *result);
int bench_side_finish(struct bench_side *side, struct bench_result *result);
/* Ends the child and, unless `keep`, removes its directory. */
void bench_side_stop(struct bench_side *side, bool keep);

#endif
