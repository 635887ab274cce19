/*
 * bench/timeline.h - how many operations had been done when.
 *
 * A thread looks at a counter every 100 ms and notes it. When the room is full every second note
 * goes and the next are twice as far apart, so a run of any length has room. What is noted is also
 * shown to whoever waits for the run (struct bench_status), and can end what goes before a run
 * once its rate has come to rest.
 *
 * Threads:   start and stop by one; its own thread in between.
 * Lifetime:  start / stop are a pair. A timeline is plain data: it travels through a pipe.
 * Units:     nanoseconds since start, operations.
 * Ordering:  the notes are read after stop, which joins.
 * Errors:    start returns -1 when there is no thread.
 * Cost:      one wake-up per 100 ms, some microseconds each.
 */
#ifndef BENCH_TIMELINE_H
#define BENCH_TIMELINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/statistics.h"

#define BENCH_TIMELINE_POINTS_MAX 240u
#define BENCH_TIMELINE_STEP_MS    100u

struct bench_timeline {
    uint32_t count;
    uint32_t step_ms; /* about so far apart */
    uint64_t elapsed_ns[BENCH_TIMELINE_POINTS_MAX];
    uint64_t operations[BENCH_TIMELINE_POINTS_MAX]; /* since the beginning */
};

/* In memory that the process which waits has, too. Relaxed: numbers to show. */
struct bench_status {
    _Atomic uint64_t elapsed_ns;
    _Atomic uint64_t operations;
};

struct bench_timeline_taker {
    struct bench_timeline timeline;
    struct bench_status *status; /* may be NULL */
    _Atomic uint32_t *steady;    /* may be NULL; set to 1 once the rate has come to rest */
    uint64_t (*operations)(void *context);
    void *context;
    uint64_t begin_ns;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stop */
    pthread_cond_t wake;
    bool stop;
};

/* What is noted next. */
void bench_timeline_note(struct bench_timeline *timeline, uint64_t elapsed_ns,
                         uint64_t operations);
/* Operations per second between note i and the one before it (the beginning, for i = 0). */
double bench_timeline_rate(const struct bench_timeline *timeline, uint32_t i);
struct bench_steady bench_timeline_steady(const struct bench_timeline *timeline);

/* The caller fills in operations, context, status and steady before. */
int bench_timeline_start(struct bench_timeline_taker *taker);
/* There is one note at least afterwards. */
void bench_timeline_stop(struct bench_timeline_taker *taker);

#endif
