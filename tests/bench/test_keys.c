#include "bench/keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

WARP_TEST(keys, a_walk_visits_every_record_once)
{
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 100, 1000, 4096, 4097, 65537};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (uint64_t seed = 0; seed < 5; seed++) {
            uint8_t *seen = calloc(counts[i], 1);

            for (uint64_t position = 0; position < counts[i]; position++) {
                uint64_t id = bench_walk(position, counts[i], seed);

                if (check(id < counts[i])) {
                    seen[id]++;
                }
            }
            for (uint64_t id = 0; id < counts[i]; id++) {
                if (!check_int(seen[id], ==, 1)) {
                    break;
                }
            }
            free(seen);
        }
    }
}

static int compare_keys(const void *left, const void *right)
{
    return memcmp(left, right, 3);
}

WARP_TEST(keys, short_scattered_keys_differ)
{
    enum { COUNT = 65536 };
    uint8_t *keys = malloc(COUNT * 3);

    for (uint64_t id = 0; id < COUNT; id++) {
        bench_key_encode(BENCH_KEY_SCATTERED, id, keys + id * 3, 3);
    }
    qsort(keys, COUNT, 3, compare_keys);
    for (uint64_t id = 1; id < COUNT; id++) {
        if (!check(compare_keys(keys + (id - 1) * 3, keys + id * 3) != 0)) {
            break;
        }
    }
    free(keys);
}

WARP_TEST(keys, a_key_is_the_same_every_time_and_stays_in_its_bytes)
{
    for (size_t bytes = 1; bytes < 40; bytes++) {
        uint8_t first[48];
        uint8_t again[48];

        memset(first, 0xee, sizeof(first));
        memset(again, 0xee, sizeof(again));
        bench_key_encode(BENCH_KEY_SCATTERED, 77, first, bytes);
        bench_key_encode(BENCH_KEY_SCATTERED, 77, again, bytes);
        check(memcmp(first, again, sizeof(first)) == 0);
        check_int(first[bytes], ==, 0xee);
    }
}

WARP_TEST(keys, decimal_keys_sort_as_their_numbers)
{
    uint8_t key[9] = {0};

    bench_key_encode(BENCH_KEY_DECIMAL, 90210, key, 8);
    check_bytes(key, 8, "00090210", 8);
}

WARP_TEST(keys, too_few_bytes_are_known)
{
    check(bench_keys_fit(BENCH_KEY_SCATTERED, 1, 256));
    check(!bench_keys_fit(BENCH_KEY_SCATTERED, 1, 257));
    check(bench_keys_fit(BENCH_KEY_SCATTERED, 8, UINT64_MAX));
    check(bench_keys_fit(BENCH_KEY_DECIMAL, 3, 1000));
    check(!bench_keys_fit(BENCH_KEY_DECIMAL, 3, 1001));
    check(bench_keys_fit(BENCH_KEY_DECIMAL, 30, UINT64_MAX));
}

WARP_TEST(keys, equal_seeds_draw_equally_and_streams_differ)
{
    struct bench_random a;
    struct bench_random b;
    struct bench_random c;
    uint32_t same = 0;

    bench_random_init(&a, 5, 0);
    bench_random_init(&b, 5, 0);
    bench_random_init(&c, 5, 1);
    for (int i = 0; i < 1000; i++) {
        uint64_t draw = bench_random_next(&a);

        check(draw == bench_random_next(&b));
        same += draw == bench_random_next(&c);
    }
    check_int(same, ==, 0);
}

/* Shares of the first ranks against 1 / (i^theta zeta), by brute force. */
WARP_TEST(keys, zipfian_ranks_come_as_often_as_they_should)
{
    enum { COUNT = 100000, DRAWS = 2000000 };
    const double theta = 0.99;
    struct bench_zipf zipf;
    struct bench_random random;
    uint64_t top[2] = {0, 0};
    uint64_t first_thousand = 0;
    double zeta = 0.0;
    double share = 0.0;

    for (int i = 1; i <= COUNT; i++) {
        zeta += pow(i, -theta);
        if (i == 1000) {
            share = zeta;
        }
    }
    share /= zeta;
    bench_zipf_init(&zipf, COUNT, theta);
    check(fabs(zipf.zeta / zeta - 1.0) < 1e-9); /* the tail is approximated */
    bench_random_init(&random, 1, 2);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = bench_zipf_next(&zipf, &random);

        if (!check(rank < COUNT)) {
            break;
        }
        if (rank < 2) {
            top[rank]++;
        }
        first_thousand += rank < 1000;
    }
    check(fabs((double)top[0] / DRAWS * zeta - 1.0) < 0.02);
    check(fabs((double)top[1] / DRAWS * zeta * pow(2, theta) - 1.0) < 0.03);
    /* Gray's method is exact for the first two and close for the rest. */
    check(fabs((double)first_thousand / DRAWS / share - 1.0) < 0.05);
}

WARP_TEST(keys, every_distribution_stays_below_its_limit)
{
    static const uint64_t limits[] = {1, 2, 3, 4, 5, 10, 1000};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (int distribution = BENCH_UNIFORM; distribution <= BENCH_HOTSPOT;
             distribution++) {
            struct bench_zipf zipf;
            struct bench_chooser chooser = {
                .distribution = (enum bench_distribution)distribution, .zipf = &zipf};

            bench_zipf_init(&zipf, limits[i], 0.99);
            bench_random_init(&chooser.random, 3, 3);
            for (int draw = 0; draw < 2000; draw++) {
                if (!check(bench_chooser_next(&chooser, limits[i]) < limits[i])) {
                    break;
                }
            }
        }
    }
}

WARP_TEST(keys, the_hotspot_gets_its_share)
{
    struct bench_chooser chooser = {.distribution = BENCH_HOTSPOT};
    uint32_t hot = 0;

    bench_random_init(&chooser.random, 9, 9);
    for (int i = 0; i < 100000; i++) {
        hot += bench_chooser_next(&chooser, 1000) < 200;
    }
    check(hot > 79000 && hot < 81000);
}

WARP_TEST(keys, latest_prefers_the_newest)
{
    struct bench_zipf zipf;
    struct bench_chooser chooser = {.distribution = BENCH_LATEST, .zipf = &zipf};
    uint32_t newest = 0;

    bench_zipf_init(&zipf, 1000, 0.99);
    bench_random_init(&chooser.random, 9, 9);
    for (int i = 0; i < 100000; i++) {
        newest += bench_chooser_next(&chooser, 5000) == 4999;
    }
    check(newest > 10000);
}
