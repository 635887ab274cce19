/* The youngest keys are remembered, as many as asked for, each until it is taken; strangers
 * are not. */
#include "cache/ghost.h"

#include "base/random.h"
#include "tests/lib/test.h"

static struct warp_memory memory;
static struct warp_ghost ghost;

static void ghost_setup(uint64_t entries_max)
{
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_ghost_init(&ghost, &memory, entries_max), ==, 0);
}

static void ghost_teardown(void)
{
    warp_ghost_fini(&ghost);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(ghost, a_small_one_forgets_exactly_the_oldest)
{
    uint64_t capacity, key;

    for (capacity = 1; capacity <= 512; capacity = capacity * 2 + 1) {
        ghost_setup(capacity);
        for (key = 0; key < 5 * capacity; key++) {
            warp_ghost_put(&ghost, key, capacity);
        }
        check_u64(ghost.entries, ==, capacity);
        for (key = 0; key < 5 * capacity; key++) {
            check(warp_ghost_take(&ghost, key) == (key >= 4 * capacity));
        }
        check_u64(ghost.entries, ==, 0);
        ghost_teardown();
    }
}

WARP_TEST(ghost, what_is_taken_makes_room)
{
    uint64_t key;

    ghost_setup(100);
    for (key = 0; key < 100; key++) {
        warp_ghost_put(&ghost, key, 100);
    }
    for (key = 0; key < 100; key += 2) {
        check(warp_ghost_take(&ghost, key));
        check(!warp_ghost_take(&ghost, key));
    }
    for (key = 100; key < 150; key++) {
        warp_ghost_put(&ghost, key, 100);
    }
    for (key = 1; key < 100; key += 2) {
        check(warp_ghost_take(&ghost, key));
    }
    ghost_teardown();
}

WARP_TEST(ghost, a_big_one_is_exact_to_a_step)
{
    const uint64_t capacity = 100000, puts = 10 * capacity;
    uint64_t key, known = 0, step = capacity / 512 + 1;

    ghost_setup(capacity);
    for (key = 0; key < puts; key++) {
        warp_ghost_put(&ghost, key, capacity);
    }
    check_u64(ghost.entries, <=, capacity);
    check_u64(ghost.entries, >=, capacity - 2 * step);
    for (key = 0; key < puts - capacity - 2 * step; key++) {
        known += warp_ghost_take(&ghost, key);
    }
    check_u64(known, <, 40); /* 900,000 strangers, one in 150,000 is expected */
    known = 0;
    for (key = puts - capacity + 2 * step; key < puts; key++) {
        known += warp_ghost_take(&ghost, key);
    }
    /* Some were pushed out of two full buckets. */
    check_u64(known, >=, capacity - 2 * step - capacity / 500);
    ghost_teardown();
}

/* Steps come round every 1024: nothing old may seem young then, at any capacity that the
 * table could be used with. */
WARP_TEST(ghost, nothing_old_comes_back_when_steps_come_round)
{
    static const uint64_t capacities[] = {1, 3, 50, 900, 20000, 100000};
    struct warp_random random;
    uint32_t i;

    warp_random_init(&random, test_seed());
    for (i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        uint64_t capacity = capacities[i], key, puts = 40 * capacity + 20000, strange = 0;

        ghost_setup(100000);
        for (key = 0; key < puts; key++) {
            warp_ghost_put(&ghost, key, capacity);
            check_u64(ghost.entries, <=, capacity + capacity / 16 + 8);
            if (key > 4 * capacity + 5000 && test_failures() == 0) {
                strange += warp_ghost_take(
                    &ghost, warp_random_below(&random, key - 2 * capacity - 2500));
            }
        }
        check_u64(strange, <=, 20 + puts / 20000);
        ghost_teardown();
    }
}

WARP_TEST(ghost, capacity_may_change_at_any_time)
{
    struct warp_random random;
    uint64_t key, capacity = 10;

    warp_random_init(&random, test_seed());
    ghost_setup(5000);
    for (key = 0; key < 200000; key++) {
        if (warp_random_chance(&random, 1000)) {
            capacity = 1 + warp_random_below(&random, 6000);
        }
        warp_ghost_put(&ghost, key, capacity);
        check_u64(ghost.entries, <=, capacity < 5000 ? capacity : 5000);
        if (key > 0 && warp_random_chance(&random, 3)) {
            warp_ghost_take(&ghost, key - warp_random_below(&random, key < 50 ? key : 50));
        }
    }
    ghost_teardown();
}

WARP_TEST(ghost, none_is_allowed_and_takes_no_memory)
{
    ghost_setup(0);
    warp_ghost_put(&ghost, 1, 100);
    check(!warp_ghost_take(&ghost, 1));
    check_u64(warp_memory_calls(&memory), ==, 0);
    ghost_teardown();
}

WARP_TEST(ghost, it_costs_five_bytes_an_entry)
{
    ghost_setup(1000000);
    check_u64(warp_ghost_memory_bytes(&ghost), <, 4950000);
    check_u64(warp_ghost_memory_bytes(&ghost), ==, warp_memory_bytes(&memory));
    ghost_teardown();
}

WARP_TEST(ghost, without_memory_there_is_none)
{
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_memory_fail_after(&memory, 0);
    check_int(warp_ghost_init(&ghost, &memory, 100), ==, WARP_ENOMEM);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}
