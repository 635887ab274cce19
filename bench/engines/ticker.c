#include "bench/engines/ticker.h"

#include <errno.h>
#include <time.h>

static void *ticker_main(void *argument)
{
    struct bench_ticker *ticker = argument;
    bool stopping = false;

    while (!stopping) {
        struct timespec until;
        int rc;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)ticker->period_ms * 1000000l;
        until.tv_sec += until.tv_nsec / 1000000000l;
        until.tv_nsec %= 1000000000l;
        pthread_mutex_lock(&ticker->mutex);
        while (!ticker->stopping &&
               pthread_cond_timedwait(&ticker->wake, &ticker->mutex, &until) != ETIMEDOUT) {
        }
        stopping = ticker->stopping;
        pthread_mutex_unlock(&ticker->mutex);
        rc = ticker->tick(ticker->context);
        if (rc != 0) {
            pthread_mutex_lock(&ticker->mutex);
            if (ticker->failure == 0) {
                ticker->failure = rc;
            }
            pthread_mutex_unlock(&ticker->mutex);
        }
    }
    return NULL;
}

int bench_ticker_start(struct bench_ticker *ticker, uint32_t period_ms,
                       int (*tick)(void *context), void *context)
{
    pthread_condattr_t attributes;

    ticker->stopping = false;
    ticker->failure = 0;
    ticker->period_ms = period_ms;
    ticker->tick = tick;
    ticker->context = context;
    pthread_mutex_init(&ticker->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&ticker->thread, NULL, ticker_main, ticker) != 0) {
        pthread_cond_destroy(&ticker->wake);
        pthread_mutex_destroy(&ticker->mutex);
        return -1;
    }
    ticker->running = true;
    return 0;
}

int bench_ticker_stop(struct bench_ticker *ticker)
{
    if (!ticker->running) {
        return 0;
    }
    pthread_mutex_lock(&ticker->mutex);
    ticker->stopping = true;
    pthread_cond_signal(&ticker->wake);
    pthread_mutex_unlock(&ticker->mutex);
    pthread_join(ticker->thread, NULL);
    ticker->running = false;
    pthread_cond_destroy(&ticker->wake);
    pthread_mutex_destroy(&ticker->mutex);
    return ticker->failure;
}
