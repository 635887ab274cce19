#include "base/random.h"

#include <string.h>

#include "tests/lib/test.h"

WARP_TEST(random, the_same_seed_gives_the_same_numbers)
{
    struct warp_random a, b, c;

    warp_random_init(&a, 7);
    warp_random_init(&b, 7);
    warp_random_init(&c, 8);
    for (int index = 0; index < 100; index++) {
        uint64_t number = warp_random_next(&a);

        check_u64(number, ==, warp_random_next(&b));
        check_u64(number, !=, warp_random_next(&c));
    }
}

WARP_TEST(random, first_numbers_are_those_of_the_published_generator)
{
    /* xoshiro256** from the state 1, 2, 3, 4, by its definition. */
    struct warp_random random = {{1, 2, 3, 4}};

    check_u64(warp_random_next(&random), ==, 11520);
    check_u64(warp_random_next(&random), ==, 0);
    check_u64(warp_random_next(&random), ==, 1509978240);
    check_u64(warp_random_next(&random), ==, UINT64_C(1215971899390074240));
}

WARP_TEST(random, below_is_below_and_even)
{
    unsigned counts[10] = {0};
    struct warp_random random;
    unsigned hits = 0;

    warp_random_init(&random, test_seed());
    for (int index = 0; index < 100000; index++) {
        uint64_t number = warp_random_below(&random, 10);

        if (!check_u64(number, <, 10)) {
            return;
        }
        counts[number]++;
        hits += warp_random_chance(&random, 100) ? 1 : 0;
    }
    for (int index = 0; index < 10; index++) {
        check_u64(counts[index], >, 9500);
        check_u64(counts[index], <, 10500);
    }
    check_u64(hits, >, 850);
    check_u64(hits, <, 1150);
    check_u64(warp_random_below(&random, 1), ==, 0);
}

WARP_TEST(random, the_systems_dice_differ_each_time)
{
    unsigned char a[64] = {0};
    unsigned char b[64] = {0};

    check_int(warp_random_seed(a, sizeof(a)), ==, 0);
    check_int(warp_random_seed(b, sizeof(b)), ==, 0);
    check(memcmp(a, b, sizeof(a)) != 0);
}
