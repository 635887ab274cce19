/*
 * bench/clock.h - reads time so cheaply that every operation can be timed.
 *
 * One read of the processor's cycle counter per operation: the end of one operation is the
 * begin of the next. The counter is calibrated against CLOCK_MONOTONIC once; where it is
 * not invariant, CLOCK_MONOTONIC itself is read.
 *
 * Threads:   init by one thread; everything else by any.
 * Lifetime:  plain data, the caller's, may be copied (a forked child inherits it).
 * Units:     ticks are the counter's own; _ns nanoseconds.
 * Ordering:  none; the read is not a barrier, so very short stretches overlap a little.
 * Errors:    none.
 * Cost:      8 - 25 ns per read; init sleeps 20 ms.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct bench_clock {
    uint64_t multiplier; /* nanoseconds per tick, times 2^32 */
    bool counter;        /* the cycle counter is good enough */
};

void bench_clock_init(struct bench_clock *clock);

static inline uint64_t bench_clock_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t bench_clock_ticks(const struct bench_clock *clock)
{
#if defined(__x86_64__)
    if (clock->counter) {
        return __rdtsc();
    }
#else
    (void)clock;
#endif
    return bench_clock_monotonic_ns();
}

static inline uint64_t bench_clock_ns(const struct bench_clock *clock, uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * clock->multiplier) >> 32);
}

static inline uint64_t bench_clock_from_ns(const struct bench_clock *clock, uint64_t ns)
{
    return (uint64_t)(((unsigned __int128)ns << 32) / clock->multiplier);
}

#endif
