/* What is alive in a file is known to the byte, whatever is done to the records in it. */
#include "shards/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

static uint64_t ledger_of_segment(struct store_fixture *fixture, uint64_t index)
{
    struct warp_epoch_record *record = NULL;
    uint64_t bytes;

    check_int(warp_epoch_register(fixture->epoch, &record), ==, 0);
    warp_epoch_enter(record);
    bytes = warp_ledger_segment(fixture->store, index);
    warp_epoch_leave(record);
    warp_epoch_unregister(&record);
    return bytes;
}

WARP_TEST(ledger, counts_a_record_with_its_frame_in_the_segments_it_lies_in)
{
    struct store_fixture_config config = {.segment_bytes = 4096};
    struct store_fixture fixture;
    static char value[6001];
    uint64_t total = 0;
    uint64_t i;

    store_fixture_init(&fixture, &config);
    check_int(store_put(&fixture, "a", "1", 0), ==, 0);
    /* Behind the OPEN frame; 32 + 8 + 1 + 1, rounded. */
    check_u64(ledger_of_segment(&fixture, 0), ==, 48);
    memset(value, 'v', sizeof(value) - 1);
    check_int(store_put(&fixture, "b", value, 0), ==, 0);
    for (i = 0; i < 4; i++) {
        total += ledger_of_segment(&fixture, i);
    }
    check_u64(total, ==, 48 + warp_frame_bytes(8 + 1 + 6000));
    check_u64(ledger_of_segment(&fixture, 0) + 40 + 0, ==, 4096);
    check_u64(ledger_of_segment(&fixture, 4), ==, 0);
    check_int(store_delete(&fixture, "b"), ==, 0);
    check_u64(ledger_of_segment(&fixture, 0), ==, 48);
    check_u64(ledger_of_segment(&fixture, 1), ==, 0);
    check_int(store_put(&fixture, "a", "2", 0), ==, 0);
    check_u64(ledger_of_segment(&fixture, 0), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(ledger, follows_random_writes)
{
    struct store_fixture_config config = {.segment_bytes = 4096};
    struct store_fixture fixture;
    struct warp_random random;
    static char value[9000];
    char key[32];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    warp_random_init(&random, test_seed());
    for (i = 0; i < 6000; i++) {
        uint64_t bytes = warp_random_below(
            &random, warp_random_chance(&random, 30) ? sizeof(value) : 300);

        snprintf(key, sizeof(key), "key-%u", (uint32_t)warp_random_below(&random, 500));
        memset(value, 'x', sizeof(value));
        value[bytes] = '\0';
        if (warp_random_chance(&random, 4)) {
            (void)store_delete(&fixture, key);
        } else {
            check_int(store_put(&fixture, key, value,
                                warp_random_chance(&random, 5)
                                    ? warp_store_wall_ms(fixture.store) + 100000
                                    : 0),
                      ==, 0);
        }
        if (i % 200 == 0) {
            warp_store_check(fixture.store);
        }
    }
    warp_store_check(fixture.store);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(ledger, memory_that_runs_out_refuses_the_write_and_nothing_else)
{
    struct store_fixture_config config = {.segment_bytes = 4096, .shard_count = 1};
    struct store_fixture fixture;
    char key[32];
    static char value[3000];
    uint32_t i, refused = 0;

    memset(value, 'x', sizeof(value) - 1);
    store_fixture_init(&fixture, &config);
    for (i = 0; i < 600; i++) {
        int rc;

        snprintf(key, sizeof(key), "key-%u", i);
        warp_memory_fail_after(&fixture.memory, i % 3);
        rc = store_put(&fixture, key, value, 0);
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        refused += rc != 0;
        check(rc == 0 || rc == WARP_ENOMEM);
        check((store_get(&fixture, "nobody") == NULL));
        if (rc != 0) {
            check_int(store_put(&fixture, key, value, 0), ==, 0);
        }
    }
    check(refused > 0);
    warp_store_check(fixture.store);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* A ledger alone, with records that refer to archives. */
WARP_TEST(ledger, holds_many_files_and_lets_the_empty_ones_go)
{
    struct store_fixture fixture;
    struct warp_shard *shard;
    struct warp_ledger *ledger;
    struct warp_record *records[500];
    uint8_t bytes[500][64];
    uint64_t first_bytes;
    uint32_t i, round;

    store_fixture_init(&fixture, NULL);
    shard = fixture.store->shards[0];
    ledger = &shard->ledger;
    warp_shard_enter_surely(shard);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 500; i++) {
            struct warp_place place = {.file = round * 500 + i, .unit = 8, .units = 2};
            struct warp_record_content content = {.place = warp_place_encode(&place),
                                                  .key = {"k", 1},
                                                  .value = {NULL, i},
                                                  .cold = true,
                                                  .in_batch = i % 2 != 0};

            records[i] = (struct warp_record *)(void *)bytes[i];
            warp_record_write(records[i], &content);
            check_int(warp_ledger_reserve(ledger, 0), ==, 0);
            warp_ledger_in(ledger, records[i]);
        }
        check_u64(warp_ledger_archive(fixture.store, round * 500 + 7), ==, 8 + 1 + 7);
        check_u64(warp_ledger_segment(fixture.store, round * 500 + 7), ==, 0);
        for (i = 0; i < 500; i++) {
            warp_ledger_out(ledger, records[i]);
        }
        check_u64(warp_ledger_archive(fixture.store, round * 500 + 7), ==, 0);
        (void)warp_limbo_collect(&shard->limbo, true);
    }
    /* 10,000 files went through a table for 500. */
    first_bytes = warp_slab_bytes_used(&shard->limbo.pool);
    check_u64(first_bytes, <, 65536);
    warp_shard_leave(shard);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
