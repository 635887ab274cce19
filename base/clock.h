/*
 * base/clock.h - time as an argument.
 *
 * Threads:   the system clock by any; a fake clock is moved by any thread, read by any.
 * Lifetime:  the table and its context are the caller's and outlive their users; the
 *            system's is constant.
 * Units:     monotonic_ns in nanoseconds from an arbitrary start, never backward; wall_ms
 *            in milliseconds of Unix time, which may jump.
 * Ordering:  none: a time orders nothing between threads. A fake clock is relaxed.
 * Errors:    none; a system without CLOCK_MONOTONIC asserts.
 * Cost:      about 20 ns (vDSO) and an indirect call.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

struct warp_clock {
    uint64_t (*monotonic_ns)(void *context);
    uint64_t (*wall_ms)(void *context);
    void *context;
};

/* The machine's clocks. */
const struct warp_clock *warp_clock_system(void);

static inline uint64_t warp_clock_ns(const struct warp_clock *clock)
{
    return clock->monotonic_ns(clock->context);
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
