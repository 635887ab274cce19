/* The keys that are asked for most are known, from a sample of the calls. */
#include "engine/hot.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/random.h"
#include "engine/engine.h"
#include "tests/engine/fixture.h"

static void add(struct warp_hot *hot, const char *key, uint64_t weight)
{
    warp_hot_add(hot, warp_hash_key(key, strlen(key), 1), support_text(key), weight);
}

/* One call in ten is for one key, one in twenty for another, the rest for any of ten thousand. */
WARP_TEST(hot, keys_are_found_among_many)
{
    struct warp_snapshot_hot out[WARP_SNAPSHOT_HOT];
    struct warp_random random;
    struct warp_memory memory;
    struct warp_hot hot;
    uint64_t total;
    uint32_t i, n;
    char key[32];

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_hot_init(&hot, &memory, 1), ==, 0);
    warp_random_init(&random, test_seed());
    for (i = 0; i < 200000; i++) {
        uint64_t dice = warp_random_below(&random, 20);

        snprintf(key, sizeof(key), "cold-%u", (unsigned)warp_random_below(&random, 10000));
        add(&hot, dice < 2 ? "hottest" : dice == 2 ? "hot" : key, 100);
    }
    n = warp_hot_copy(&hot, out, &total);
    check_u64(n, ==, WARP_SNAPSHOT_HOT);
    check(memcmp(out[0].key, "hottest", 7) == 0 && out[0].key_bytes == 7);
    check(memcmp(out[1].key, "hot", 3) == 0 && out[1].key_bytes == 3);
    /* What is certain is at most what was, and what is counted at least that. */
    check_u64((out[0].count - out[0].over) * 100, <, total * 12);
    check_u64(out[0].count * 100, >, total * 8);
    check_u64(out[1].count * 100, >, total * 4);
    for (i = 0; i < n; i++) {
        check_u64(out[i].over, <=, out[i].count);
    }
    /* Nothing is for ever. */
    for (i = 0; i < 10 * WARP_HOT_HALVED; i++) {
        snprintf(key, sizeof(key), "new-%u", i % 3);
        add(&hot, key, 100);
    }
    n = warp_hot_copy(&hot, out, &total);
    for (i = 0; i < 3; i++) {
        check(memcmp(out[i].key, "new-", 4) == 0);
        check_u64((out[i].count - out[i].over) * 100, >, total * 30);
    }
    warp_hot_fini(&hot);
    check_int(warp_hot_init(&hot, &memory, 0), ==, 0);
    check_u64(warp_hot_copy(&hot, out, &total), ==, 0);
    warp_hot_fini(&hot);
    warp_memory_fini(&memory);
}

WARP_TEST(hot, keys_are_told_only_when_asked_for)
{
    static struct warp_reading_row rows[WARP_SNAPSHOT_ROWS_MAX];
    struct warp_options options = fixture_options();
    uint32_t wanted;

    for (wanted = 0; wanted <= 2; wanted++) {
        struct warp_reading reading;
        struct warp *db;
        size_t bytes = 0;
        char key[32], text[256];
        void *image;
        uint32_t i;

        options.hot_keys = wanted;
        db = fixture_open(test_directory(), &options);
        if (db == NULL) {
            return;
        }
        for (i = 0; i < 100000; i++) {
            snprintf(key, sizeof(key), "key-%u", i % 1000);
            fixture_put(db, i % 4 == 0 ? "favourite" : key, "v");
            fixture_get(db, i % 4 == 0 ? "favourite" : key, text);
        }
        check_int(warp_metrics_snapshot(db, NULL, 0, &bytes), ==, WARP_TRUNCATED);
        image = malloc(bytes);
        check_int(warp_metrics_snapshot(db, image, bytes, &bytes), ==, 0);
        if (check_int(warp_snapshot_read(image, bytes, rows, &reading), ==, 0)) {
            check_u64(reading.hot_count > 0, ==, wanted == 1);
            if (wanted == 1) {
                check_u64(reading.hot_total, >, 0);
                check(memcmp(reading.hot[0].key, "favourite", 9) == 0);
                check_u64(reading.hot[0].count * 100, >, reading.hot_total * 15);
            }
        }
        free(image);
        check_int(warp_close(&db), ==, 0);
    }
    {
        struct warp *db = NULL;

        options.hot_keys = 3;
        check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
        options.hot_keys = 1;
        options.timing = 2; /* there would be no sample */
        check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
    }
}
