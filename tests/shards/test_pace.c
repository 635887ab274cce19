/* What writing costs while the work behind it lags, and for how long a writer is held up. */
#include "shards/pace.h"

#include "tests/lib/test.h"

#define MIB UINT64_C(1048576)

WARP_TEST(pace, is_free_without_debt)
{
    struct warp_pace pace = {0};

    check_u64(warp_pace_price(&pace), ==, 0);
    check_u64(warp_pace_bill(&pace, 1000 * MIB, 5), ==, 0);
    warp_pace_set(&pace, 500);
    check_u64(warp_pace_price(&pace), >, 0);
    warp_pace_set(&pace, 0);
    check_u64(warp_pace_bill(&pace, 1000 * MIB, 5), ==, 0);
}

/* 10 ns a byte at one half, as drawn in the header; ever more up to a bound. */
WARP_TEST(pace, grows_with_the_debt)
{
    struct warp_pace pace = {0};
    uint64_t before = 0, permille;

    for (permille = 10; permille <= WARP_PACE_PERMILLE_MAX; permille += 10) {
        warp_pace_set(&pace, permille);
        check_u64(warp_pace_price(&pace), >, before);
        before = warp_pace_price(&pace);
    }
    warp_pace_set(&pace, 500);
    check_u64(warp_pace_price(&pace), ==, 10 * MIB);
    warp_pace_set(&pace, 5000);
    check_u64(warp_pace_price(&pace), ==, before);
}

/* Whoever keeps to the price never waits; whoever is twice as fast waits half of the time (and a
 * little more: what passes between a wait and the next write is no credit). */
WARP_TEST(pace, holds_writers_to_the_price)
{
    struct warp_pace pace = {0};
    uint64_t now_ns = 1000000, waited_ns = 0, wait_ns, i;

    warp_pace_set(&pace, 500);
    for (i = 0; i < 10000; i++) {
        now_ns += 10240;
        check_u64(warp_pace_bill(&pace, 1024, now_ns), ==, 0);
    }
    for (i = 0; i < 10000; i++) {
        now_ns += 5120;
        wait_ns = warp_pace_bill(&pace, 1024, now_ns);
        now_ns += wait_ns;
        waited_ns += wait_ns;
        check_u64(wait_ns, <=, WARP_PACE_BURST_NS + 10240);
    }
    check_u64(waited_ns, >, 10000 * UINT64_C(5120) * 98 / 100);
    check_u64(waited_ns, <, 10000 * UINT64_C(5120) * 104 / 100);
}

/* What one writer has put on the bill, the next one finds there; an old bill is no credit. */
WARP_TEST(pace, is_one_bill_for_all)
{
    struct warp_pace pace = {0};

    warp_pace_set(&pace, 500);
    check_u64(warp_pace_bill(&pace, MIB, 1000), ==, 10 * MIB);
    check_u64(warp_pace_bill(&pace, MIB, 1000), ==, 20 * MIB);
    check_u64(warp_pace_bill(&pace, 0, 1000), ==, 20 * MIB);
    check_u64(warp_pace_bill(&pace, 0, 1000 + 19 * MIB), ==, MIB);
    check_u64(warp_pace_bill(&pace, 0, 1000 + 20 * MIB), ==, 0);
    check_u64(warp_pace_bill(&pace, MIB, UINT64_C(1) << 50), ==, 10 * MIB);
}

/* However much is written, the debt to the clock is bounded; and nothing wraps. */
WARP_TEST(pace, runs_ahead_so_far_and_no_further)
{
    struct warp_pace pace = {0};

    warp_pace_set(&pace, WARP_PACE_PERMILLE_MAX);
    check_u64(warp_pace_bill(&pace, UINT64_C(1) << 32, 7), ==, WARP_PACE_AHEAD_NS_MAX);
    check_u64(warp_pace_bill(&pace, UINT64_C(1) << 32, 8), ==, WARP_PACE_AHEAD_NS_MAX);
    check_u64(warp_pace_bill(&pace, 0, 8 + WARP_PACE_AHEAD_NS_MAX), ==, 0);
}

WARP_TEST(pace, counts_what_was_waited)
{
    struct warp_pace pace = {0};

    warp_pace_waited(&pace, 30);
    warp_pace_waited(&pace, 12);
    check_u64(atomic_load(&pace.waits), ==, 2);
    check_u64(atomic_load(&pace.wait_ns), ==, 42);
}
