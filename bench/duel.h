/*
 * bench/duel.h - measures two or more ways of doing the same thing in turns, and says which one won.
 *
 * One process, one build, one data set: the ways differ by a run-time option only, and every round runs
 * each of them once, in an order that goes round, so that what the machine does meanwhile meets all. What
 * is told are medians. An aim is a ratio that the change behind it was made for.
 *
 * Threads:   the process's main thread; a way may have threads of its own that end with it.
 * Lifetime:  plain data, the caller's.
 * Units:     whatever a way measures in; ratios.
 * Ordering:  rounds one after the other.
 * Errors:    a way answers < 0 and has said why; then the duel ends with -1.
 * Cost:      rounds + 1 runs of each way; the first, to warm up, is not counted.
 */
#ifndef BENCH_DUEL_H
#define BENCH_DUEL_H

#include <stdbool.h>
#include <stdint.h>

#define DUEL_ROUNDS_MAX 101u

struct duel_way {
    const char *name;
    double (*run)(void *context);
    void *context;
    double results[DUEL_ROUNDS_MAX];
    double median;
};

/* 0, or -1. */
int duel_run(struct duel_way *const *ways, uint32_t count, uint32_t rounds);

double duel_median(double *values, uint32_t count);

/* The aims of one program: how many there were, how many were reached. */
struct duel_score {
    uint32_t aims, reached;
};

/* Print "what: ratio (aim at least X): reached" and count it. */
void duel_at_least(struct duel_score *score, const char *what, double ratio, double aim);
void duel_at_most(struct duel_score *score, const char *what, double ratio, double aim);

#endif
