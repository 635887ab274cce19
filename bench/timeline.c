#include "bench/timeline.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "bench/clock.h"

/* What goes before a run is steady when twenty notes say so, and differ by so little. */
#define TIMELINE_STEADY_NOTES  20u
#define TIMELINE_STEADY_SPREAD 0.1

void bench_timeline_note(struct bench_timeline *timeline, uint64_t elapsed_ns,
                         uint64_t operations)
{
    if (timeline->step_ms == 0) {
        timeline->step_ms = BENCH_TIMELINE_STEP_MS;
    }
    if (timeline->count == BENCH_TIMELINE_POINTS_MAX) {
        timeline->count /= 2;
        for (uint32_t i = 0; i < timeline->count; i++) {
            timeline->elapsed_ns[i] = timeline->elapsed_ns[2 * i + 1];
            timeline->operations[i] = timeline->operations[2 * i + 1];
        }
        timeline->step_ms *= 2;
    }
    timeline->elapsed_ns[timeline->count] = elapsed_ns;
    timeline->operations[timeline->count] = operations;
    timeline->count++;
}

double bench_timeline_rate(const struct bench_timeline *timeline, uint32_t i)
{
    uint64_t elapsed_ns = timeline->elapsed_ns[i];
    uint64_t operations = timeline->operations[i];

    if (i > 0) {
        elapsed_ns -= timeline->elapsed_ns[i - 1];
        operations -= timeline->operations[i - 1];
    }
    return elapsed_ns > 0 ? (double)operations * 1e9 / (double)elapsed_ns : 0.0;
}

struct bench_steady bench_timeline_steady(const struct bench_timeline *timeline)
{
    double rates[BENCH_TIMELINE_POINTS_MAX];

    for (uint32_t i = 0; i < timeline->count; i++) {
        rates[i] = bench_timeline_rate(timeline, i);
    }
    return bench_steady_find(rates, timeline->count);
}

static void timeline_look(struct bench_timeline_taker *taker)
{
    uint64_t operations = taker->operations(taker->context);
    uint64_t elapsed_ns = bench_clock_monotonic_ns() - taker->begin_ns;

    bench_timeline_note(&taker->timeline, elapsed_ns, operations);
    if (taker->status != NULL) {
        atomic_store_explicit(&taker->status->elapsed_ns, elapsed_ns, memory_order_relaxed);
        atomic_store_explicit(&taker->status->operations, operations, memory_order_relaxed);
    }
    if (taker->steady != NULL && taker->timeline.count >= TIMELINE_STEADY_NOTES) {
        struct bench_steady steady = bench_timeline_steady(&taker->timeline);

        if (steady.reached && steady.spread < TIMELINE_STEADY_SPREAD) {
            /* Relaxed: workers only end sooner. */
            atomic_store_explicit(taker->steady, 1, memory_order_relaxed);
        }
    }
}

static void *timeline_main(void *argument)
{
    struct bench_timeline_taker *taker = argument;
    struct timespec due;

    clock_gettime(CLOCK_MONOTONIC, &due);
    pthread_mutex_lock(&taker->mutex);
    for (;;) {
        due.tv_nsec += (long)(taker->timeline.step_ms % 1000u) * 1000000;
        due.tv_sec += (time_t)(taker->timeline.step_ms / 1000u) + due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        while (!taker->stop &&
               pthread_cond_timedwait(&taker->wake, &taker->mutex, &due) != ETIMEDOUT) {
        }
        if (taker->stop) {
            break;
        }
        pthread_mutex_unlock(&taker->mutex);
        timeline_look(taker);
        pthread_mutex_lock(&taker->mutex);
    }
    pthread_mutex_unlock(&taker->mutex);
    return NULL;
}

int bench_timeline_start(struct bench_timeline_taker *taker)
{
    pthread_condattr_t attributes;

    memset(&taker->timeline, 0, sizeof(taker->timeline));
    taker->timeline.step_ms = BENCH_TIMELINE_STEP_MS;
    taker->stop = false;
    taker->begin_ns = bench_clock_monotonic_ns();
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&taker->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&taker->mutex, NULL);
    if (pthread_create(&taker->thread, NULL, timeline_main, taker) != 0) {
        pthread_cond_destroy(&taker->wake);
        pthread_mutex_destroy(&taker->mutex);
        return -1;
    }
    return 0;
}

void bench_timeline_stop(struct bench_timeline_taker *taker)
{
    pthread_mutex_lock(&taker->mutex);
    taker->stop = true;
    pthread_cond_signal(&taker->wake);
    pthread_mutex_unlock(&taker->mutex);
    pthread_join(taker->thread, NULL);
    if (taker->timeline.count == 0) {
        timeline_look(taker); /* a run that was shorter has one note, too */
    }
    pthread_cond_destroy(&taker->wake);
    pthread_mutex_destroy(&taker->mutex);
}
