/*
 * bench/engines/ticker.h - calls a function every so many milliseconds on a thread of its
 * own.
 *
 * The peers have no "durable about every 100 ms"; this gives it to them.
 *
 * Threads:   start and stop by one thread; the function runs on the ticker's.
 * Lifetime:  embedded; stop ends the thread, after one last call of the function.
 * Units:     milliseconds.
 * Ordering:  stop joins, so all calls happen before it returns.
 * Errors:    start returns -1 if no thread could be made. stop returns the first non-zero
 *            answer of the function, 0 if there was none.
 * Cost:      one wake-up per period.
 */
#ifndef BENCH_ENGINES_TICKER_H
#define BENCH_ENGINES_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct bench_ticker {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stopping and failure */
    pthread_cond_t wake;
    bool running;
    bool stopping;
    int failure;
    uint32_t period_ms;
    int (*tick)(void *context);
    void *context;
};

int bench_ticker_start(struct bench_ticker *ticker, uint32_t period_ms,
                       int (*tick)(void *context), void *context);
int bench_ticker_stop(struct bench_ticker *ticker);

#endif
