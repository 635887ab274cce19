#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

#define CLOCK_NS_PER_S  UINT64_C(1000000000)
#define CLOCK_NS_PER_MS UINT64_C(1000000)

#define CLOCK_OFFSET_TRIES 16u

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);

    warp_assert(rc == 0);
    return (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t clock_monotonic_ns(void *context)
{
    (void)context;
    return clock_read_ns(CLOCK_MONOTONIC);
}

static uint64_t clock_wall_ms(void *context)
{
    (void)context;
    return clock_read_ns(CLOCK_REALTIME) / CLOCK_NS_PER_MS;
}

const struct warp_clock *warp_clock_system(void)
{
    static const struct warp_clock system_clock = {clock_monotonic_ns, clock_wall_ms, NULL,
                                                   WARP_CLOCK_HAS_COUNTER != 0};

    return &system_clock;
}

uint64_t warp_clock_wall_offset_ms(const struct warp_clock *clock)
{
    uint64_t before_ms, wall_ms, after_ms;
    uint32_t tries = 0;

    do {
        before_ms = warp_clock_ns(clock) / CLOCK_NS_PER_MS;
        wall_ms = warp_clock_wall_ms(clock);
        after_ms = warp_clock_ns(clock) / CLOCK_NS_PER_MS;
    } while (before_ms != after_ms && ++tries < CLOCK_OFFSET_TRIES);
    return wall_ms - before_ms;
}

/* Relaxed everywhere below: who needs an order between a time and a deed makes it
 * elsewhere. */

static uint64_t clock_fake_monotonic_ns(void *context)
{
    struct warp_clock_fake *fake = context;

    return atomic_load_explicit(&fake->now_ns, memory_order_relaxed);
}

static uint64_t clock_fake_wall_ms(void *context)
{
    struct warp_clock_fake *fake = context;

    return atomic_load_explicit(&fake->wall_ns, memory_order_relaxed) / CLOCK_NS_PER_MS;
}

void warp_clock_fake_init(struct warp_clock_fake *fake, uint64_t now_ns, uint64_t wall_ms)
{
    fake->clock.monotonic_ns = clock_fake_monotonic_ns;
    fake->clock.wall_ms = clock_fake_wall_ms;
    fake->clock.context = fake;
    fake->clock.counts = false;
    atomic_init(&fake->now_ns, now_ns);
    atomic_init(&fake->wall_ns, wall_ms * CLOCK_NS_PER_MS);
}

void warp_clock_fake_advance(struct warp_clock_fake *fake, uint64_t ns)
{
    atomic_fetch_add_explicit(&fake->now_ns, ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&fake->wall_ns, ns, memory_order_relaxed);
}

void warp_clock_fake_set_wall(struct warp_clock_fake *fake, uint64_t wall_ms)
{
    atomic_store_explicit(&fake->wall_ns, wall_ms * CLOCK_NS_PER_MS, memory_order_relaxed);
}
