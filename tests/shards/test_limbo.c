/* Memory out of use comes back when no reader and no borrower can see it, and not before.
 */
#include "shards/limbo.h"

#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"

struct limbo_fixture {
    struct warp_memory memory;
    struct warp_epoch *epoch;
    struct warp_limbo limbo;
    struct warp_epoch_record *reader;
};

static void fixture_init(struct limbo_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    check_int(warp_memory_init(&fixture->memory, NULL), ==, 0);
    check_int(warp_epoch_create(&fixture->memory, &fixture->epoch), ==, 0);
    check_int(warp_limbo_init(&fixture->limbo, &fixture->memory, fixture->epoch, false), ==,
              0);
    check_int(warp_epoch_register(fixture->epoch, &fixture->reader), ==, 0);
}

static void fixture_fini(struct limbo_fixture *fixture)
{
    warp_epoch_unregister(&fixture->reader);
    warp_limbo_fini(&fixture->limbo);
    warp_epoch_destroy(&fixture->epoch);
    check_u64(warp_memory_bytes(&fixture->memory), ==, 0);
    warp_memory_fini(&fixture->memory);
}

static struct warp_record *make(struct limbo_fixture *fixture, uint32_t value_bytes)
{
    static const uint8_t text[4096];
    struct warp_slice key = {"key", 3}, value = {text, value_bytes};
    struct warp_record *record =
        warp_slab_reserve(&fixture->limbo.pool, warp_record_bytes(3, value_bytes, false));

    warp_record_fill(record, 1, key, value, 0, false);
    return record;
}

/* Collect until nothing more comes; true if something is left. */
static bool collect_all(struct limbo_fixture *fixture)
{
    bool left = true;
    uint32_t i;

    for (i = 0; i < 10 && left; i++) {
        left = warp_limbo_collect(&fixture->limbo, true);
    }
    return left;
}

static uint64_t used(struct limbo_fixture *fixture)
{
    return warp_slab_bytes_used(&fixture->limbo.pool);
}

WARP_TEST(limbo, records_and_memory_come_back_after_their_grace)
{
    struct limbo_fixture fixture;
    uint32_t i;

    fixture_init(&fixture);
    for (i = 0; i < 1000; i++) {
        void *memory = warp_slab_reserve(&fixture.limbo.pool, 64 * (1 + i % 20));

        check_int(warp_limbo_reserve(&fixture.limbo, 2), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, make(&fixture, i % 300));
        warp_limbo_retire_memory(&fixture.limbo, memory, 64 * (1 + i % 20));
    }
    /* Most of it has come back on the way: limbo does not grow with the number of deletes.
     */
    check_u64(fixture.limbo.bag_count, <, 16);
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    check_u64(fixture.limbo.pending_items, ==, 2000);
    check_u64(fixture.limbo.released_items, ==, 2000);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, a_reader_section_holds_memory_back)
{
    struct limbo_fixture fixture;
    struct warp_record *record;
    uint32_t i;

    fixture_init(&fixture);
    record = make(&fixture, 100);
    warp_epoch_enter(fixture.reader);
    check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
    warp_limbo_retire_record(&fixture.limbo, record);
    for (i = 0; i < 500; i++) {
        check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, make(&fixture, 10));
    }
    check(collect_all(&fixture));
    check_u64(used(&fixture), >, 0);
    check(warp_record_has_key(record, "key", 3)); /* asan says no if it is gone */
    check_u64(record->word, ==, 1);
    warp_epoch_leave(fixture.reader);
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, nobody_pays_at_once_for_a_reader_that_stayed_long)
{
    struct limbo_fixture fixture;
    uint64_t before, most = 0;
    uint32_t i, bags;

    fixture_init(&fixture);
    warp_epoch_enter(fixture.reader);
    for (i = 0; i < 40 * WARP_LIMBO_BAG_ITEMS; i++) {
        check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, make(&fixture, 10));
    }
    bags = fixture.limbo.bag_count;
    check_u64(bags, >=, 40);
    check_u64(fixture.limbo.released_items, ==, 0);
    warp_epoch_leave(fixture.reader);
    for (i = 0; i < 60 * WARP_LIMBO_BAG_ITEMS; i++) {
        before = fixture.limbo.released_items;
        check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, make(&fixture, 10));
        if (fixture.limbo.released_items - before > most) {
            most = fixture.limbo.released_items - before;
        }
    }
    check_u64(most, >, 0);
    check_u64(most, <=, 2 * WARP_LIMBO_BAG_ITEMS);
    /* It is made good all the same, and without more bags. */
    check_u64(fixture.limbo.bag_count, <=, bags + 1);
    check_u64(fixture.limbo.pending_items - fixture.limbo.released_items, <,
              8 * WARP_LIMBO_BAG_ITEMS);
    /* Who asks for a little gets a little; who asks for all gets all. */
    warp_epoch_enter(fixture.reader);
    for (i = 0; i < 20 * WARP_LIMBO_BAG_ITEMS; i++) {
        check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, make(&fixture, 10));
    }
    warp_epoch_leave(fixture.reader);
    for (i = 0; i < 4; i++) {
        before = fixture.limbo.released_items;
        check(warp_limbo_collect_some(&fixture.limbo));
        check_u64(fixture.limbo.released_items - before, <=, 2 * WARP_LIMBO_BAG_ITEMS);
    }
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, many_pinned_records_become_ripe_at_once)
{
    enum { MANY = 20 * WARP_LIMBO_BAG_ITEMS };
    static struct warp_record *records[2 * MANY];
    struct limbo_fixture fixture;
    uint32_t i, round;

    fixture_init(&fixture);
    for (round = 0; round < 2; round++) {
        warp_epoch_enter(fixture.reader);
        for (i = round * MANY; i < (round + 1) * MANY; i++) {
            records[i] = make(&fixture, 10);
            warp_record_pin(records[i]);
        }
        check_int(warp_limbo_reserve(&fixture.limbo, MANY), ==, 0);
        for (i = round * MANY; i < (round + 1) * MANY; i++) {
            warp_limbo_retire_record(&fixture.limbo, records[i]);
        }
        warp_epoch_leave(fixture.reader);
        (void)warp_limbo_collect_some(&fixture.limbo);
        (void)warp_limbo_collect_some(&fixture.limbo);
    }
    /* All of them stay, and there is room to keep them. */
    (void)collect_all(&fixture);
    check_u64(fixture.limbo.pinned_count, ==, 2 * MANY);
    for (i = 0; i < 2 * MANY; i++) {
        warp_record_unpin(records[i]);
    }
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, a_pinned_record_outlives_its_grace)
{
    struct limbo_fixture fixture;
    struct warp_record *records[300];
    uint32_t i;

    fixture_init(&fixture);
    for (i = 0; i < 300; i++) {
        records[i] = make(&fixture, i);
        if (i % 2 == 0) {
            check(warp_record_pin(records[i]));
        }
    }
    for (i = 0; i < 300; i++) {
        check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, records[i]);
    }
    check(collect_all(&fixture));
    check_u64(fixture.limbo.pinned_items, ==, 150);
    for (i = 0; i < 300; i += 2) {
        check_u64(warp_record_value_bytes(records[i]), ==, i);
        warp_record_unpin(records[i]);
        (void)warp_limbo_collect(&fixture.limbo, true);
        check_u64(fixture.limbo.pinned_items, ==, 150 - i / 2 - 1);
    }
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, alone_it_gives_back_at_once)
{
    struct limbo_fixture fixture;
    struct warp_record *record;
    void *memory;

    fixture_init(&fixture);
    check_int(warp_limbo_reserve(&fixture.limbo, 2), ==, 0);
    warp_limbo_alone(&fixture.limbo, true);
    record = make(&fixture, 20);
    memory = warp_slab_reserve(&fixture.limbo.pool, 640);
    warp_limbo_retire_record(&fixture.limbo, record);
    warp_limbo_retire_memory(&fixture.limbo, memory, 640);
    check_u64(used(&fixture), ==, 0);
    check_u64(fixture.limbo.pending_bytes, ==, 0);
    check_u64(atomic_load(&fixture.limbo.pending_items), ==, 2);
    check_u64(atomic_load(&fixture.limbo.released_items), ==, 2);
    check(!warp_limbo_collect(&fixture.limbo, true));

    warp_limbo_alone(&fixture.limbo, false);
    warp_limbo_retire_record(&fixture.limbo, make(&fixture, 20));
    check_u64(used(&fixture), >, 0); /* its grace has only begun */
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, fini_takes_what_is_still_pinned)
{
    struct limbo_fixture fixture;
    struct warp_record *record;

    fixture_init(&fixture);
    record = make(&fixture, 10);
    check(warp_record_pin(record));
    check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
    warp_limbo_retire_record(&fixture.limbo, record);
    (void)collect_all(&fixture);
    fixture_fini(&fixture);
}

WARP_TEST(limbo, what_is_reserved_can_be_retired_without_memory)
{
    static const uint32_t sizes[] = {1, 61, 62, 63, 500, 10000};
    struct limbo_fixture fixture;
    static struct warp_record *records[10000];
    uint32_t i, n, before;

    for (before = 0; before < 130; before += 31) {
        fixture_init(&fixture);
        for (i = 0; i < before; i++) {
            check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
            warp_limbo_retire_record(&fixture.limbo, make(&fixture, 1));
        }
        for (n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
            for (i = 0; i < sizes[n]; i++) {
                records[i] = make(&fixture, 1);
                check(warp_record_pin(records[i])); /* the worst: all have to be kept */
            }
            check_int(warp_limbo_reserve(&fixture.limbo, sizes[n]), ==, 0);
            warp_memory_fail_after(&fixture.memory, 0);
            for (i = 0; i < sizes[n]; i++) {
                warp_limbo_retire_record(&fixture.limbo, records[i]);
            }
            (void)collect_all(&fixture);
            warp_memory_fail_after(&fixture.memory, UINT64_MAX);
            for (i = 0; i < sizes[n]; i++) {
                warp_record_unpin(records[i]);
            }
            check(!collect_all(&fixture));
            check_u64(used(&fixture), ==, 0);
        }
        fixture_fini(&fixture);
    }
}

WARP_TEST(limbo, a_reserve_that_fails_takes_nothing_and_may_be_repeated)
{
    struct limbo_fixture fixture;
    uint64_t after;

    for (after = 0; after < 10; after++) {
        fixture_init(&fixture);
        warp_memory_fail_after(&fixture.memory, after);
        if (warp_limbo_reserve(&fixture.limbo, 200) == 0) {
            check_u64(after, >, 3);
        }
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        check_int(warp_limbo_reserve(&fixture.limbo, 200), ==, 0);
        fixture_fini(&fixture);
    }
}

WARP_TEST(limbo, random_pins_and_readers_lose_nothing)
{
    struct limbo_fixture fixture;
    struct warp_random random;
    struct warp_record *borrowed[64] = {NULL};
    bool reading = false;
    uint32_t i, at;

    fixture_init(&fixture);
    warp_random_init(&random, test_seed());
    for (i = 0; i < 30000; i++) {
        struct warp_record *record =
            make(&fixture, (uint32_t)warp_random_below(&random, 64));

        if (warp_random_chance(&random, 8)) {
            at = (uint32_t)warp_random_below(&random, 64);
            if (borrowed[at] != NULL) {
                check(warp_record_has_key(borrowed[at], "key", 3));
                warp_record_unpin(borrowed[at]);
            }
            check(warp_record_pin(record));
            borrowed[at] = record;
        }
        check_int(warp_limbo_reserve(&fixture.limbo, 1), ==, 0);
        warp_limbo_retire_record(&fixture.limbo, record);
        if (warp_random_chance(&random, 100)) {
            if (reading) {
                warp_epoch_leave(fixture.reader);
            } else {
                warp_epoch_enter(fixture.reader);
            }
            reading = !reading;
        }
        if (warp_random_chance(&random, 500)) {
            (void)warp_limbo_collect(&fixture.limbo, warp_random_chance(&random, 2));
        }
    }
    if (reading) {
        warp_epoch_leave(fixture.reader);
    }
    for (at = 0; at < 64; at++) {
        if (borrowed[at] != NULL) {
            warp_record_unpin(borrowed[at]);
        }
    }
    check(!collect_all(&fixture));
    check_u64(used(&fixture), ==, 0);
    fixture_fini(&fixture);
}
