/* Which files hold values, and what a checkpoint is told of them. */
#include "shards/holdings.h"

#include <string.h>

#include "base/counter.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"

static void holdings_begin(struct warp_memory *memory, struct warp_holdings *holdings)
{
    check_int(warp_memory_init(memory, NULL), ==, 0);
    warp_holdings_init(holdings, memory, 65536);
}

static void holdings_end(struct warp_memory *memory, struct warp_holdings *holdings)
{
    warp_holdings_fini(holdings);
    check_u64(warp_memory_bytes(memory), ==, 0);
    warp_memory_fini(memory);
}

static void holdings_archive(struct warp_holdings *holdings, uint32_t number)
{
    check_int(warp_holdings_reserve_archive(holdings), ==, 0);
    warp_holdings_add_archive(holdings, number, number * UINT64_C(1000),
                              number * UINT64_C(4096));
}

WARP_TEST(holdings, grow_with_the_head_and_shrink_in_the_middle)
{
    struct warp_holdings holdings;
    struct warp_memory memory;
    uint64_t i;

    holdings_begin(&memory, &holdings);
    check_int(warp_holdings_add_segments(&holdings, 0, 0), ==, 0);
    check_u64(holdings.segment_count, ==, 0);
    check_int(warp_holdings_add_segments(&holdings, 3, 40), ==, 0);
    check_int(warp_holdings_add_segments(&holdings, 3, 40), ==, 0);
    check_u64(holdings.segment_count, ==, 37);
    check_int(warp_holdings_add_segments(&holdings, 30, 50), ==, 0);
    check_u64(holdings.segment_count, ==, 47);
    for (i = 4; i < 50; i += 2) {
        warp_holdings_remove(&holdings, false, i);
    }
    for (i = 0; i < 60; i++) {
        struct warp_holding *holding = warp_holdings_find(&holdings, false, i);

        check((holding != NULL) == (i >= 3 && i < 50 && i % 2 == 1));
        holding = warp_holdings_from(&holdings, false, i);
        check((holding != NULL) == (i < 50));
        if (holding != NULL) {
            check_u64(holding->index, ==, i < 3 ? 3 : i | 1);
            check_u64(holding->stored_bytes, ==, 65536 + 4096);
        }
    }
    holdings_archive(&holdings, 1);
    holdings_archive(&holdings, 5);
    check_u64(holdings.archive_next, ==, 6);
    check(warp_holdings_find(&holdings, true, 5) != NULL);
    check(warp_holdings_find(&holdings, true, 3) == NULL);
    check_u64(warp_counter_read(&holdings.counters.archives), ==, 2);
    check_u64(warp_counter_read(&holdings.counters.archive_bytes), ==, 6 * 4096);
    check_u64(warp_counter_read(&holdings.counters.segments), ==, 24);
    warp_holdings_remove(&holdings, true, 1);
    check_u64(warp_counter_read(&holdings.counters.archive_raw_bytes), ==, 5000);
    check_u64(holdings.archive_next, ==, 6);
    holdings_end(&memory, &holdings);
}

WARP_TEST(holdings, without_memory_nothing_changes)
{
    struct warp_holdings holdings;
    struct warp_holdings_tables tables;
    struct warp_memory memory;
    uint64_t n;
    int rc = WARP_ENOMEM;

    holdings_begin(&memory, &holdings);
    check_int(warp_holdings_add_segments(&holdings, 0, 10), ==, 0);
    warp_memory_fail_after(&memory, 0);
    check_int(warp_holdings_add_segments(&holdings, 10, 1000), ==, WARP_ENOMEM);
    check_int(warp_holdings_reserve_archive(&holdings), ==, WARP_ENOMEM);
    check_u64(holdings.segment_count, ==, 10);
    warp_memory_fail_after(&memory, UINT64_MAX);
    holdings_archive(&holdings, 1);
    for (n = 0; rc != 0; n++) {
        warp_memory_fail_after(&memory, n);
        rc = warp_holdings_tables(&holdings, 1, &tables);
        warp_memory_fail_after(&memory, UINT64_MAX);
    }
    check_u64(n, ==, 3);
    warp_holdings_tables_release(&holdings, &tables);
    holdings_end(&memory, &holdings);
}

static void seal(struct warp_holdings *holdings, const struct warp_disk *disk,
                 struct warp_memory *memory, const struct warp_manifest *manifest,
                 uint64_t number)
{
    struct warp_checkpoint_config config = {
        .disk = disk, .memory = memory, .manifest = manifest, .number = number};
    struct warp_checkpoint_writer *writer = NULL;
    struct warp_holdings_tables tables;

    check_int(warp_holdings_tables(holdings, number, &tables), ==, 0);
    check_int(warp_checkpoint_writer_create(&writer, &config), ==, 0);
    check_int(warp_checkpoint_writer_seal(writer, 0, 1, holdings->archive_next,
                                          tables.segments, tables.segment_count,
                                          tables.archives, tables.archive_count, NULL),
              ==, 0);
    warp_checkpoint_writer_destroy(&writer);
    warp_holdings_tables_release(holdings, &tables);
}

WARP_TEST(holdings, come_back_from_checkpoints_that_list_what_was_not_empty)
{
    struct warp_manifest manifest = {.segment_bytes = 65536, .epoch = 1};
    struct memory_disk *disk = memory_disk_create();
    struct warp_checkpoint *newer = NULL, *older = NULL;
    struct warp_holdings holdings, loaded;
    struct warp_memory memory;
    char message[200];
    uint64_t i;

    holdings_begin(&memory, &holdings);
    check_int(warp_holdings_add_segments(&holdings, 0, 20), ==, 0);
    holdings_archive(&holdings, 1);
    holdings_archive(&holdings, 2);
    holdings_archive(&holdings, 3);
    /* Empty before checkpoint 7 was begun: 6 may refer to them, 7 does not. */
    warp_holdings_find(&holdings, false, 0)->empty_since = 7;
    warp_holdings_find(&holdings, false, 5)->empty_since = 7;
    warp_holdings_find(&holdings, true, 2)->empty_since = 7;
    warp_holdings_find(&holdings, false, 9)->empty_since = 8;
    seal(&holdings, &disk->disk, &memory, &manifest, 6);
    seal(&holdings, &disk->disk, &memory, &manifest, 7);
    check_int(warp_checkpoint_open(&newer, &disk->disk, &memory, &manifest, 7, message,
                                   sizeof(message)),
              ==, 0);
    check_int(warp_checkpoint_open(&older, &disk->disk, &memory, &manifest, 6, message,
                                   sizeof(message)),
              ==, 0);
    warp_holdings_init(&loaded, &memory, 65536);
    check_int(warp_holdings_load(&loaded, newer), ==, 0);
    check_u64(loaded.segment_count, ==, 18);
    check_u64(loaded.archive_count, ==, 2);
    check_u64(loaded.archive_next, ==, 4);
    check(warp_holdings_find(&loaded, false, 5) == NULL);
    check(warp_holdings_find(&loaded, false, 9) != NULL);
    check_int(warp_holdings_load_older(&loaded, older, 7), ==, 0);
    check_u64(loaded.segment_count, ==, 20);
    check_u64(loaded.archive_count, ==, 3);
    for (i = 0; i < 20; i++) {
        check_u64(loaded.segments[i].index, ==, i);
        check_u64(loaded.segments[i].empty_since, ==, i == 0 || i == 5 ? 7 : 0);
    }
    for (i = 0; i < 3; i++) {
        check_u64(loaded.archives[i].index, ==, i + 1);
        check_u64(loaded.archives[i].empty_since, ==, i == 1 ? 7 : 0);
        check_u64(loaded.archives[i].bytes, ==, (i + 1) * 1000);
        check_u64(loaded.archives[i].stored_bytes, ==, (i + 1) * 4096);
    }
    check_u64(warp_counter_read(&loaded.counters.segments), ==, 20);
    warp_checkpoint_close(&newer);
    warp_checkpoint_close(&older);
    warp_holdings_fini(&loaded);
    holdings_end(&memory, &holdings);
    memory_disk_destroy(&disk);
}

WARP_TEST(holdings, amplification_is_what_is_stored_by_what_is_alive)
{
    struct warp_holdings_totals totals = {0, 0, 0};

    check_u64(warp_holdings_amplification(&totals), ==, 1000);
    totals.stored_bytes = 1500;
    check_u64(warp_holdings_amplification(&totals), ==, UINT64_MAX);
    totals.live_bytes = 1000;
    check_u64(warp_holdings_amplification(&totals), ==, 1500);
}
