#include "base/clock.h"

#include <time.h>

#include "tests/lib/test.h"

WARP_TEST(clock, the_systems_clock_moves_forward_and_knows_the_date)
{
    const struct warp_clock *clock = warp_clock_system();
    uint64_t before = warp_clock_ns(clock);
    uint64_t wall_s = warp_clock_wall_ms(clock) / 1000;
    uint64_t after = warp_clock_ns(clock);

    check_u64(after, >=, before);
    check_u64(wall_s, >=, (uint64_t)time(NULL) - 2);
    check_u64(wall_s, <=, (uint64_t)time(NULL) + 2);
}

WARP_TEST(clock, a_fake_clock_stands_still_until_told)
{
    struct warp_clock_fake fake;

    warp_clock_fake_init(&fake, 1000, 50);
    check_u64(warp_clock_ns(&fake.clock), ==, 1000);
    check_u64(warp_clock_wall_ms(&fake.clock), ==, 50);
    warp_clock_fake_advance(&fake, 3000000);
    check_u64(warp_clock_ns(&fake.clock), ==, 3001000);
    check_u64(warp_clock_wall_ms(&fake.clock), ==, 53);
    warp_clock_fake_set_wall(&fake, 7);
    check_u64(warp_clock_ns(&fake.clock), ==, 3001000);
    check_u64(warp_clock_wall_ms(&fake.clock), ==, 7);
}

WARP_TEST(clock, ticks_pass_with_time_and_are_a_fake_clocks_nanoseconds)
{
    const struct warp_clock *clock = warp_clock_system();
    struct warp_clock_fake fake;
    uint64_t ticks[2], from_ns;
    int stretch;

    /* A thread that moves between processors may see one oddity, but not a hundred. */
    for (stretch = 0; stretch < 100; stretch++) {
        ticks[0] = warp_clock_ticks(clock);
        from_ns = warp_clock_ns(clock);
        while (warp_clock_ns(clock) - from_ns < 10000) {
        }
        ticks[1] = warp_clock_ticks(clock);
        if (ticks[1] > ticks[0]) {
            break;
        }
    }
    check_int(stretch, <, 100);
    warp_clock_fake_init(&fake, 1000, 50);
    check_u64(warp_clock_ticks(&fake.clock), ==, 1000);
    warp_clock_fake_advance(&fake, 5);
    check_u64(warp_clock_ticks(&fake.clock), ==, 1005);
}

/* Time that passes with every look at it. */
struct ticking {
    uint64_t now_ns, tick_ns;
};

static uint64_t ticking_ns(void *context)
{
    struct ticking *ticking = context;

    ticking->now_ns += ticking->tick_ns;
    return ticking->now_ns;
}

static uint64_t ticking_wall_ms(void *context)
{
    return 1700000000000u + ticking_ns(context) / 1000000;
}

WARP_TEST(clock, the_offset_between_the_clocks_does_not_depend_on_when_they_are_read)
{
    struct ticking ticking = {0, 0};
    const struct warp_clock clock = {ticking_ns, ticking_wall_ms, &ticking, false};
    uint64_t begin_ns;

    /* Whatever the place in the millisecond, also just before its end. */
    ticking.tick_ns = 20000;
    for (begin_ns = 0; begin_ns < 2000000; begin_ns += 9973) {
        ticking.now_ns = begin_ns;
        check_u64(warp_clock_wall_offset_ms(&clock), ==, 1700000000000u);
    }
    /* A clock that is a millisecond on at every look: some answer, and an end. */
    ticking.tick_ns = 1000000;
    check_u64(warp_clock_wall_offset_ms(&clock), >=, 1700000000000u);
    check_u64(warp_clock_wall_offset_ms(&clock), <=, 1700000000001u);
}
