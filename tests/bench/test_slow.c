#include "bench/slow.h"

#include "tests/lib/test.h"

#define MS ((uint64_t)1000000)

WARP_TEST(slow, what_is_quick_is_not_remembered)
{
    struct bench_slow_list list = {0};

    bench_slow_note(&list, 1, BENCH_SLOW_NS - 1, 0);
    check_u64(list.count, ==, 0);
    bench_slow_note(&list, 1, BENCH_SLOW_NS, 1);
    check_u64(list.count, ==, 1);
    check_u64(list.over, ==, 0);
    check_u64(list.slow[0].kind, ==, 1);
}

WARP_TEST(slow, a_full_list_keeps_the_slowest_and_counts_all)
{
    struct bench_slow_list list = {0};
    struct bench_slow_list other = {0};
    const struct bench_slow_list device = {0};
    uint64_t least = UINT64_MAX;

    for (uint64_t i = 1; i <= BENCH_SLOW_MAX + 50; i++) {
        bench_slow_note(i % 2 == 0 ? &list : &other, i, 60 * MS + i, 0);
    }
    bench_slow_merge(&list, &other);
    check_u64(list.count, ==, BENCH_SLOW_MAX);
    check_u64(list.over, ==, BENCH_SLOW_MAX + 50);
    for (uint64_t i = 0; i < list.count; i++) {
        least = list.slow[i].ns < least ? list.slow[i].ns : least;
    }
    check_u64(least, ==, 60 * MS + 51);
    /* None of them is explained, nor are those that the list has dropped. */
    check_u64(bench_slow_unexplained(&list, &device), ==, BENCH_SLOW_MAX + 50);
}

WARP_TEST(slow, the_device_explains_what_it_was_slow_for)
{
    struct bench_slow_list list = {0};
    struct bench_slow_list device = {0};

    bench_slow_note(&list, 1000 * MS, 80 * MS, 0);
    check_u64(bench_slow_unexplained(&list, &device), ==, 1);
    /* Before it, behind it, or for less than half of it: no excuse. */
    bench_slow_note(&device, 900 * MS, 100 * MS, 0);
    bench_slow_note(&device, 1080 * MS, 100 * MS, 0);
    bench_slow_note(&device, 1000 * MS, 39 * MS, 0);
    check_u64(bench_slow_unexplained(&list, &device), ==, 1);
    /* A slow write is not added to a slow read at the same time ... */
    bench_slow_note(&device, 1000 * MS, 39 * MS, 1);
    check_u64(bench_slow_unexplained(&list, &device), ==, 1);
    /* ... but to the next write. */
    bench_slow_note(&device, 1050 * MS, 200 * MS, 1);
    check_u64(bench_slow_unexplained(&list, &device), ==, 0);
}

WARP_TEST(slow, every_kind_counts_by_itself)
{
    for (uint64_t kind = 0; kind < 3; kind++) {
        struct bench_slow_list list = {0};
        struct bench_slow_list device = {0};

        bench_slow_note(&list, 1000 * MS, 80 * MS, 0);
        bench_slow_note(&device, 1000 * MS, 39 * MS, kind);
        check_u64(bench_slow_unexplained(&list, &device), ==, 1);
        bench_slow_note(&device, 1060 * MS, 19 * MS, kind);
        check_u64(bench_slow_unexplained(&list, &device), ==, 0);
    }
}

WARP_TEST(slow, below_the_limit_there_is_nothing_to_explain)
{
    struct bench_slow_list list = {0};
    struct bench_slow_list device = {0};

    bench_slow_note(&list, 0, BENCH_SLOW_LIMIT_NS, 0);
    check_u64(bench_slow_unexplained(&list, &device), ==, 0);
    bench_slow_note(&list, 0, BENCH_SLOW_LIMIT_NS + 1, 0);
    check_u64(bench_slow_unexplained(&list, &device), ==, 1);
}
