#include "tests/lib/test.h"
#include "wal/outlook.h"

#define MIB UINT64_C(1048576)

WARP_TEST(outlook, adds_up_the_checkpoint_and_the_log)
{
    struct warp_outlook outlook;

    warp_outlook_init(&outlook);
    check_u64(warp_outlook_ns(&outlook, 0, 0), ==, 0);
    check_u64(warp_outlook_ns(&outlook, 8000, 0), ==, 8000 * WARP_OUTLOOK_RECORD_NS);
    check_u64(warp_outlook_ns(&outlook, 8000, 3 * MIB), ==,
              8000 * WARP_OUTLOOK_RECORD_NS + 3 * WARP_OUTLOOK_MIB_NS);
    check_u64(warp_outlook_ns(&outlook, UINT64_C(1) << 40, UINT64_C(1) << 48), >,
              warp_outlook_ns(&outlook, UINT64_C(1) << 39, UINT64_C(1) << 47));
}

WARP_TEST(outlook, learns_from_an_opening_that_had_enough_to_do)
{
    struct warp_outlook outlook, guess;

    warp_outlook_init(&guess);
    outlook = guess;
    warp_outlook_measured(&outlook, WARP_OUTLOOK_RECORDS_LEAST - 1, 1000000000,
                          WARP_OUTLOOK_LOG_LEAST - 1, 1000000000);
    check_u64(outlook.thousand_records_ns, ==, guess.thousand_records_ns);
    check_u64(outlook.mib_ns, ==, guess.mib_ns);
    warp_outlook_measured(&outlook, 1000000, 200000000, 100 * MIB, 500000000);
    check_u64(outlook.thousand_records_ns, ==, 200000);
    check_u64(outlook.mib_ns, ==, 5000000);
    check_u64(warp_outlook_ns(&outlook, 1000000, 100 * MIB), ==, 700000000);
}

WARP_TEST(outlook, believes_no_miracles)
{
    struct warp_outlook outlook, guess;

    warp_outlook_init(&guess);
    outlook = guess;
    warp_outlook_measured(&outlook, 1000000, 1, 100 * MIB, 1);
    check_u64(outlook.thousand_records_ns, ==, guess.thousand_records_ns / 4);
    check_u64(outlook.mib_ns, ==, guess.mib_ns / 4);
    warp_outlook_measured(&outlook, 1000000, UINT64_C(1) << 60, 100 * MIB,
                          UINT64_C(1) << 60);
    check_u64(outlook.thousand_records_ns, ==, guess.thousand_records_ns * 4);
    check_u64(outlook.mib_ns, ==, guess.mib_ns * 4);
}

WARP_TEST(outlook, allows_as_much_log_as_can_be_replayed_in_the_time_that_is_left)
{
    struct warp_outlook outlook;
    uint64_t bytes;

    warp_outlook_init(&outlook);
    bytes = warp_outlook_log_bytes(&outlook, 0, 0, 2000000000);
    check_u64(bytes, ==, 640 * MIB);
    bytes = warp_outlook_log_bytes(&outlook, 12500000, 0, 2000000000);
    check_u64(bytes, ==, 320 * MIB);
    check_u64(warp_outlook_ns(&outlook, 12500000, bytes), ==, 2000000000);
    /* A slower machine: less log. */
    warp_outlook_measured(&outlook, 8000000, 1500000000, 100 * MIB, 500000000);
    check_u64(warp_outlook_log_bytes(&outlook, 8000000, 0, 2000000000), ==, 100 * MIB);
}

WARP_TEST(outlook, does_not_ask_for_checkpoints_longer_than_the_log_they_save)
{
    struct warp_outlook outlook;

    warp_outlook_init(&outlook);
    check_u64(warp_outlook_log_bytes(&outlook, 20000000, 100 * MIB, 2000000000), ==,
              200 * MIB);
    check_u64(warp_outlook_log_bytes(&outlook, 100000000, 0, 2000000000), ==, 0);
    check_u64(warp_outlook_log_bytes(&outlook, 100000000, 2000 * MIB, 2000000000), ==,
              640 * MIB);
}
