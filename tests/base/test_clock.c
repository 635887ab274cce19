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
