/*
 * base/clock.h - time as an argument.
 *
 * Threads:   the system clock by any; a fake clock is moved by any thread, read by any.
 * Lifetime:  the table and its context are the caller's and outlive their users; the
 *            system's is constant.
 * Units:     monotonic_ns in nanoseconds from an arbitrary start, never backward; wall_ms
 *            in milliseconds of Unix time, which may jump. Ticks have no length of their own:
 *            they are the processor's counter where the clock says so, else nanoseconds, so
 *            they are good for ratios within one clock only.
 * Ordering:  none: a time orders nothing between threads. A fake clock is relaxed.
 * Errors:    none; a system without CLOCK_MONOTONIC asserts.
 * Cost:      about 20 ns (vDSO) and an indirect call; ticks about 10 ns where there is a counter.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#define WARP_CLOCK_HAS_COUNTER 1
#else
#define WARP_CLOCK_HAS_COUNTER 0
#endif

struct warp_clock {
    uint64_t (*monotonic_ns)(void *context);
    uint64_t (*wall_ms)(void *context);
    void *context;
    bool counts; /* real time: the processor's counter may stand in for monotonic_ns */
};

/* The machine's clocks. */
const struct warp_clock *warp_clock_system(void);

static inline uint64_t warp_clock_ns(const struct warp_clock *clock)
{
    return clock->monotonic_ns(clock->context);
}

/*
 * For measuring many short stretches. Not ordered with what stands around it, so a stretch is
 * wrong by some instructions; between two processors it may even be negative.
 */
static inline uint64_t warp_clock_ticks(const struct warp_clock *clock)
{
#if WARP_CLOCK_HAS_COUNTER
    if (clock->counts) {
        return __builtin_ia32_rdtsc();
    }
#endif
    return warp_clock_ns(clock);
}

static inline uint64_t warp_clock_wall_ms(const struct warp_clock *clock)
{
    return clock->wall_ms(clock->context);
}

/*
 * What to add to a monotonic time in ms to get Unix time in ms, as of now. The two clocks cannot be
 * read at once, so the monotonic one is read before and after, until both are in the same
 * millisecond; a thread that is kept from running in between each of 16 times gets the last.
 */
uint64_t warp_clock_wall_offset_ms(const struct warp_clock *clock);

/* A clock that stands still until it is told otherwise: for tests and the simulator. */
struct warp_clock_fake {
    struct warp_clock clock; /* give &fake.clock to who wants a clock */
    _Atomic uint64_t now_ns;
    _Atomic uint64_t wall_ns;
};

void warp_clock_fake_init(struct warp_clock_fake *fake, uint64_t now_ns, uint64_t wall_ms);

/* Let time pass, for both clocks. */
void warp_clock_fake_advance(struct warp_clock_fake *fake, uint64_t ns);

/* Let the wall clock jump, as an administrator or NTP would. */
void warp_clock_fake_set_wall(struct warp_clock_fake *fake, uint64_t wall_ms);

#endif
