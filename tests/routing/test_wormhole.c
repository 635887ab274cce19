/* The way past a busy shard is the one that took less time, and verdicts do not stay for ever. */
#include "tests/lib/test.h"

#include "routing/wormhole.h"

/* Of `count` choices, how many were to send, when the ways take so long? */
static uint32_t sends(struct warp_wormhole *wormhole, uint32_t count, uint64_t wait_ticks,
                      uint64_t send_ticks)
{
    uint32_t sent = 0, i;

    for (i = 0; i < count; i++) {
        bool timed = false;
        enum warp_wormhole_way way = warp_wormhole_choose(wormhole, &timed);

        sent += way == WARP_WORMHOLE_SEND;
        if (timed) {
            warp_wormhole_took(wormhole, way,
                               way == WARP_WORMHOLE_SEND ? send_ticks : wait_ticks);
        }
    }
    return sent;
}

WARP_TEST(wormhole, a_lease_that_is_seldom_busy_is_waited_for)
{
    struct warp_wormhole wormhole = {0};
    uint32_t i, often = 0;

    for (i = 0; i < 3200; i++) {
        if (i % 32 == 0) {
            often += warp_wormhole_was_busy(&wormhole);
        } else {
            warp_wormhole_was_free(&wormhole);
        }
    }
    check_u64(often, ==, 0);
    for (i = 0; i < 3200; i++) {
        if (i % 4 == 0) {
            often += warp_wormhole_was_busy(&wormhole);
        } else {
            warp_wormhole_was_free(&wormhole);
        }
    }
    check_u64(often, >, 700); /* of 800 */
    /* And when it is free for long, all that is forgotten. */
    for (i = 0; i < 1000; i++) {
        warp_wormhole_was_free(&wormhole);
    }
    check_u64(wormhole.busy, ==, 0);
    check(!warp_wormhole_was_busy(&wormhole));
    for (i = 0; i < 100000; i++) {
        check_u64(wormhole.busy, <=, 65536);
        (void)warp_wormhole_was_busy(&wormhole);
    }
}

WARP_TEST(wormhole, the_shorter_way_is_gone)
{
    struct warp_wormhole wormhole = {0};
    uint32_t sent;

    sent = sends(&wormhole, 3200, 500, 2000);
    check_u64(
        sent, >,
        4); /* the other way is looked at again, the more seldom the longer it takes */
    check_u64(sent, <, 20);
    check_u64(sends(&wormhole, 100000, 500, 2000), <, 50);
    /* The wait becomes long: that is noticed at once, for waiting is what is done. */
    sent = sends(&wormhole, 3200, 20000, 2000);
    check_u64(sent, >, 2800);
    /* It becomes short again, and that is found out by the few that wait. */
    (void)sends(&wormhole, 100000, 500, 2000);
    sent = sends(&wormhole, 3200, 500, 2000);
    check_u64(sent, <, 20);
}

WARP_TEST(wormhole, one_stop_of_the_caller_decides_nothing)
{
    struct warp_wormhole wormhole = {0};

    (void)sends(&wormhole, 320, 500, 4000);
    warp_wormhole_took(&wormhole, WARP_WORMHOLE_WAIT, UINT64_C(4) << 40);
    check_u64(wormhole.ticks[WARP_WORMHOLE_WAIT], <, 4000);
    check_u64(sends(&wormhole, 320, 500, 4000), <, 32);
}

WARP_TEST(wormhole, times_of_any_length_are_borne)
{
    struct warp_wormhole wormhole = {0};
    uint32_t i;

    for (i = 0; i < 1000; i++) {
        warp_wormhole_took(&wormhole, WARP_WORMHOLE_SEND, UINT64_MAX);
        warp_wormhole_took(&wormhole, WARP_WORMHOLE_WAIT, 0);
        check_u64(wormhole.ticks[WARP_WORMHOLE_SEND], >, 1000000);
        check_u64(wormhole.ticks[WARP_WORMHOLE_WAIT], ==, 1);
    }
    {
        bool timed;

        check_int(warp_wormhole_choose(&wormhole, &timed), ==, WARP_WORMHOLE_WAIT);
    }
}

WARP_TEST(wormhole, pauses_grow_to_a_bound)
{
    uint32_t pause = 0, i, sum = 0;

    check_u64(warp_wormhole_back_off(&pause), ==, 1);
    check_u64(warp_wormhole_back_off(&pause), ==, 2);
    for (i = 0; i < 100; i++) {
        sum += warp_wormhole_back_off(&pause) == WARP_WORMHOLE_PAUSE_MAX;
    }
    check_u64(sum, >, 90);
}
