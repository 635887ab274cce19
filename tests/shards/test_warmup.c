/* What was resident comes back after a restart: in few reads, in order, hottest first, and never
 * in the place of anything newer. */
#include "shards/warmup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "shards/evict.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

enum { KEYS = 2000, READS_MAX = 4096 };

/* ---- a disk that notes what is read from it ---------------------------------------------- */

struct noted_read {
    char name[40];
    uint64_t offset, bytes;
};

static struct {
    const struct warp_disk *real;
    struct warp_disk_ops ops;
    char names[256][40];
    struct noted_read reads[READS_MAX];
    uint32_t count;
} noted;

static int32_t noted_open(void *context, const char *name, uint32_t flags)
{
    int32_t file = noted.real->ops->open(context, name, flags);

    if (file >= 0 && file < 256) {
        snprintf(noted.names[file], sizeof(noted.names[0]), "%s", name);
    }
    return file;
}

static int64_t noted_do(void *context, int32_t file, void *buffer, size_t bytes,
                        uint64_t offset)
{
    if (noted.count < READS_MAX) {
        struct noted_read *read = &noted.reads[noted.count++];

        memcpy(read->name, noted.names[file & 255], sizeof(read->name));
        read->offset = offset;
        read->bytes = bytes;
    }
    return noted.real->ops->read(context, file, buffer, bytes, offset);
}

static struct warp_disk noted_disk(struct store_fixture *fixture)
{
    struct warp_disk disk = fixture->disk.disk;

    memset(&noted, 0, sizeof(noted));
    noted.real = &fixture->disk.disk;
    noted.ops = *disk.ops;
    noted.ops.open = noted_open;
    noted.ops.read = noted_do;
    disk.ops = &noted.ops;
    return disk;
}

/* ---- a restart, as far as the slots can tell --------------------------------------------- */

struct wish_walk {
    struct warp_shard *shard;
    uint8_t (*standing)(const struct warp_record *record);
};

static int wish(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct wish_walk *walk = context;
    struct warp_record_content content = warp_record_content(record);
    uint8_t standing = walk->standing(record);

    (void)place;
    if (!warp_record_is_cold(record)) {
        return 0;
    }
    content.cold = false;
    warp_record_wish(record, standing);
    walk->shard->warm_records++;
    walk->shard->warm_bytes[standing] += warp_slab_round(warp_record_bytes_with(
        warp_record_key_bytes(record), warp_record_value_bytes(record),
        warp_record_flags(&content)));
    return 0;
}

static uint8_t of_key(const struct warp_record *record)
{
    return (uint8_t)(warp_record_key(record)[warp_record_key_bytes(record) - 1] & 3);
}

static void restart(struct store_fixture *fixture)
{
    uint32_t i, slot;

    store_make_cold(fixture);
    for (i = 0; i < fixture->config.shard_count; i++) {
        struct wish_walk walk = {fixture->store->shards[i], of_key};

        warp_shard_enter_surely(walk.shard);
        for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
            if (warp_slotmap_owner(&fixture->store->slotmap, slot) == i) {
                (void)warp_table_walk(&fixture->store->words[slot], wish, &walk);
            }
        }
        warp_shard_leave(walk.shard);
    }
}

static const char *key_of(uint32_t i, char text[32])
{
    snprintf(text, 32, "key-%u", i);
    return text;
}

static const char *value_of(uint32_t i, char text[200])
{
    int n = snprintf(text, 200, "value-%u-", i);

    memset(text + n, 'a' + (int)(i % 26), 100);
    text[n + 100] = '\0';
    return text;
}

static void fill(struct store_fixture *fixture, uint32_t count)
{
    char key[32], value[200];
    uint32_t i;

    for (i = 0; i < count; i++) {
        check_int(store_put(fixture, key_of(i, key), value_of(i, value), 0), ==, 0);
    }
}

static struct warp_warmup *begin(struct store_fixture *fixture,
                                 const struct warp_disk *disk, uint32_t places_max)
{
    struct warp_warmup_config config = {.store = fixture->store,
                                        .disk = disk,
                                        .manifest = &fixture->manifest,
                                        .read_bytes = 16384,
                                        .places_max = places_max,
                                        .direct = true};
    struct warp_warmup *warmup = NULL;

    check_int(warp_warmup_create(&warmup, &config), ==, 0);
    return warmup;
}

static uint32_t run(struct warp_warmup *warmup)
{
    uint32_t steps = 0;

    while (warp_warmup_step(warmup) && steps < 1000000) {
        steps++;
    }
    check_u64(warp_counter_read(&warp_warmup_counters(warmup)->remaining), ==, 0);
    return steps;
}

static uint32_t resident(struct store_fixture *fixture, uint32_t count)
{
    char key[32];
    uint32_t i, found = 0;

    for (i = 0; i < count; i++) {
        struct warp_record *record = store_find(fixture, key_of(i, key));

        check(record == NULL || warp_record_wished(record) < 0 ||
              !warp_record_is_cold(record));
        found += record != NULL && !warp_record_is_cold(record);
    }
    return found;
}

static void check_values(struct store_fixture *fixture, uint32_t count)
{
    char key[32], value[200];
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (!check_str(store_get(fixture, key_of(i, key)), value_of(i, value))) {
            return;
        }
    }
}

/* Every read begins where the one before it ended, or further on; returns how often they began
 * anew. */
static uint32_t returns(void)
{
    uint32_t i, back = 0;

    for (i = 1; i < noted.count; i++) {
        const struct noted_read *before = &noted.reads[i - 1], *read = &noted.reads[i];
        int order = strcmp(before->name, read->name);

        /* The page that two neighbours share is read twice. */
        back += order > 0 ||
                (order == 0 && before->offset + before->bytes > read->offset + 4096);
    }
    return back;
}

WARP_TEST(warmup, comes_back_by_few_reads_in_the_order_of_the_files)
{
    struct store_fixture fixture;
    const struct warp_warmup_counters *counters;
    struct warp_warmup *warmup;
    struct warp_disk disk;
    uint64_t log_bytes;

    store_fixture_init(&fixture, NULL);
    fill(&fixture, KEYS);
    restart(&fixture);
    disk = noted_disk(&fixture);
    warmup = begin(&fixture, &disk, 0);
    counters = warp_warmup_counters(warmup);
    check_u64(warp_counter_read(&counters->wished), ==, KEYS);
    check_u64(warp_counter_read(&counters->remaining), ==, KEYS);
    run(warmup);
    check_u64(resident(&fixture, KEYS), ==, KEYS);
    check_u64(warp_counter_read(&counters->values), ==, KEYS);
    check_u64(warp_counter_read(&counters->left), ==, 0);
    check_u64(warp_counter_read(&counters->bytes), >, KEYS * 100);
    log_bytes = warp_sequence_tail(&fixture.wal->writer.sequence);
    check_u64(noted.count, ==, warp_counter_read(&counters->reads));
    check_u64(noted.count, <, log_bytes / 8192 + 2 * (log_bytes >> 16) + 4);
    check_u64(warp_counter_read(&counters->read_bytes), >=, KEYS * 100);
    check_u64(warp_counter_read(&counters->read_bytes), <, log_bytes * 2);
    /* One a segment at most reaches into the next, and is read by itself. */
    check_u64(warp_counter_read(&counters->lone_reads), <=, (log_bytes >> 16) + 1);
    check_u64(returns(), ==, 0);
    noted.count = 0;
    check_values(&fixture, KEYS);
    warp_warmup_destroy(&warmup);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(warmup, goes_round_again_when_there_are_more_places_than_it_holds)
{
    struct store_fixture fixture;
    struct warp_warmup *warmup;
    struct warp_disk disk;

    store_fixture_init(&fixture, NULL);
    fill(&fixture, KEYS);
    restart(&fixture);
    disk = noted_disk(&fixture);
    warmup = begin(&fixture, &disk, 300);
    run(warmup);
    check_u64(resident(&fixture, KEYS), ==, KEYS);
    check_u64(returns(), ==, 0); /* the lowest first, in every round */
    check_values(&fixture, KEYS);
    warp_warmup_destroy(&warmup);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(warmup, what_had_earned_most_comes_when_not_all_fits)
{
    struct store_fixture_config config = {.values_bytes_max = 300 * 144, .shard_count = 2};
    struct store_fixture fixture;
    struct warp_warmup *warmup;
    uint32_t i, by[4] = {0}, of[4] = {0};
    char key[32];

    store_fixture_init(&fixture, &config);
    fill(&fixture, KEYS);
    restart(&fixture);
    warmup = begin(&fixture, &fixture.disk.disk, 0);
    run(warmup);
    for (i = 0; i < KEYS; i++) {
        struct warp_record *record = store_find(&fixture, key_of(i, key));

        of[of_key(record)]++;
        by[of_key(record)] += !warp_record_is_cold(record);
        if (!warp_record_is_cold(record)) {
            /* It is where it was, and has what it had. */
            check_int(warp_horizon_standing(
                          &warp_store_owner(fixture.store, warp_hash_slot(key, strlen(key)))
                               ->horizon,
                          warp_record_queue(record), warp_record_hits(record)),
                      ==, of_key(record));
        }
    }
    check_u64(by[3], ==, of[3]);
    check_u64(by[2], >, of[2] / 2);
    check_u64(by[2], <, of[2]); /* here ends what fits */
    check_u64(by[1] + by[0], ==, 0);
    check_u64(resident(&fixture, KEYS), ==, by[3] + by[2]);
    check_u64(warp_counter_read(&warp_warmup_counters(warmup)->left), ==,
              KEYS - by[3] - by[2]);
    for (i = 0; i < 2; i++) {
        check_u64(warp_horizon_bytes(&fixture.store->shards[i]->horizon), <=,
                  config.values_bytes_max);
    }
    check_values(&fixture, KEYS);
    warp_warmup_destroy(&warmup);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(warmup, new_values_in_the_small_queue_make_room_for_old_ones_in_main)
{
    struct store_fixture_config config = {.values_bytes_max = 100 * 160, .shard_count = 1};
    struct store_fixture fixture;
    struct warp_warmup *warmup;
    char key[32];
    uint32_t i, back = 0, fresh = 0;

    store_fixture_init(&fixture, &config);
    fill(&fixture, 90);
    restart(&fixture);
    for (i = 1000; i < 1200; i++) { /* written before the warm-up comes to anything */
        char value[200];

        check_int(store_put(&fixture, key_of(i, key), value_of(i, value), 0), ==, 0);
        store_make_durable(&fixture);
    }
    /* It was reckoned when there was room for all. */
    fixture.store->shards[0]->warm_bytes[1] = 0;
    fixture.store->shards[0]->warm_bytes[2] = 0;
    fixture.store->shards[0]->warm_bytes[3] = 0;
    warmup = begin(&fixture, &fixture.disk.disk, 0);
    run(warmup);
    for (i = 0; i < 90; i++) {
        struct warp_record *record = store_find(&fixture, key_of(i, key));

        if (!warp_record_is_cold(record)) {
            back++;
            fresh += of_key(record) == 0;
        }
    }
    check_u64(back, >, 20);
    check_u64(fresh, <, 4); /* only into what the last eviction made too much room */
    check_u64(warp_horizon_bytes(&fixture.store->shards[0]->horizon), <=,
              config.values_bytes_max);
    warp_warmup_destroy(&warmup);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Change everything in every way behind its back, after `steps` of it. */
static uint32_t change_after(uint32_t steps)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_warmup *warmup;
    uint32_t i, done = 0;
    char key[32], value[200];

    store_fixture_init(&fixture, &config);
    fill(&fixture, 200);
    for (i = 200; i < 220; i++) {
        check_int(store_put(&fixture, key_of(i, key), value_of(i, value),
                            warp_store_wall_ms(fixture.store) + 50),
                  ==, 0);
    }
    restart(&fixture);
    warmup = begin(&fixture, &fixture.disk.disk, 64);
    while (done < steps && warp_warmup_step(warmup)) {
        done++;
    }
    for (i = 0; i < 200; i++) {
        switch (i % 5) {
        case 0:
            check_int(store_put(&fixture, key_of(i, key), "new", 0), ==, 0);
            break;
        case 1:
            check_int(store_delete(&fixture, key_of(i, key)), ==, 0);
            break;
        case 2: /* gone, and back with the same key */
            check_int(store_delete(&fixture, key_of(i, key)), ==, 0);
            check_int(store_put(&fixture, key_of(i, key), "again", 0), ==, 0);
            break;
        case 3: /* read by somebody */
            check_str(store_get(&fixture, key_of(i, key)), value_of(i, value));
            break;
        default:
            break;
        }
    }
    warp_clock_fake_advance(&fixture.clock, 100000000);
    run(warmup);
    for (i = 0; i < 220; i++) {
        const char *right = i >= 200     ? NULL
                            : i % 5 == 0 ? "new"
                            : i % 5 == 1 ? NULL
                            : i % 5 == 2 ? "again"
                                         : value_of(i, value);
        const char *got = store_get(&fixture, key_of(i, key));

        check((got == NULL) == (right == NULL) && (got == NULL || strcmp(got, right) == 0));
        if (i < 200 && i % 5 == 4) {
            check(!store_is_cold(&fixture, key_of(i, key)));
        }
    }
    warp_warmup_destroy(&warmup);
    check_int(store_fixture_fini(&fixture), ==, 0);
    return done;
}

WARP_TEST(warmup, nothing_newer_is_taken_back_whenever_it_is_written)
{
    uint32_t steps = 0;

    while (change_after(steps) == steps && test_failures() == 0) {
        steps++;
    }
    check_u64(steps, >, 20);
}

WARP_TEST(warmup, can_end_after_any_step)
{
    uint32_t steps;

    for (steps = 0; steps < 60; steps++) {
        struct store_fixture fixture;
        struct warp_warmup *warmup;
        uint32_t i;

        store_fixture_init(&fixture, NULL);
        fill(&fixture, 200);
        restart(&fixture);
        warmup = begin(&fixture, &fixture.disk.disk, 64);
        for (i = 0; i < steps && warp_warmup_step(warmup); i++) {
        }
        warp_warmup_destroy(&warmup);
        check_values(&fixture, 200);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(warmup, damage_costs_its_value_alone)
{
    struct store_fixture fixture;
    struct warp_warmup *warmup;
    char key[32], value[200];
    uint64_t bytes, place;
    uint8_t *file;

    store_fixture_init(&fixture, NULL);
    fill(&fixture, 200);
    restart(&fixture);
    place = warp_record_place(store_find(&fixture, key_of(77, key)));
    file = memory_disk_bytes(fixture.disk.now, "log-0000000000000000.warp", &bytes);
    if (check(file != NULL)) {
        file[4096 + place + 60] ^= 1;
        warmup = begin(&fixture, &fixture.disk.disk, 0);
        run(warmup);
        check_u64(resident(&fixture, 200), ==, 199);
        check(store_is_cold(&fixture, key_of(77, key)));
        check_u64(warp_counter_read(&warp_warmup_counters(warmup)->left), ==, 1);
        check_str(store_get(&fixture, key_of(78, key)), value_of(78, value));
        warp_warmup_destroy(&warmup);
        file[4096 + place + 60] ^= 1;
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(warmup, a_disk_that_does_not_read_leaves_all_as_it_was)
{
    struct store_fixture fixture;
    struct warp_warmup *warmup;

    store_fixture_init(&fixture, NULL);
    fill(&fixture, 200);
    restart(&fixture);
    fixture.disk.now->bad_name = "log-0000000000000000.warp";
    fixture.disk.now->bad_offset = 8192;
    warmup = begin(&fixture, &fixture.disk.disk, 0);
    run(warmup);
    check_u64(resident(&fixture, 200), <, 200);
    check_u64(warp_counter_read(&warp_warmup_counters(warmup)->left), >, 0);
    warp_warmup_destroy(&warmup);
    fixture.disk.now->bad_name = NULL;
    check_values(&fixture, 200);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(warmup, no_memory_at_any_call_loses_nothing)
{
    uint64_t after;
    bool failed = true;

    for (after = 0; failed && after < 400; after++) {
        struct store_fixture fixture;
        struct warp_warmup *warmup = NULL;
        struct warp_warmup_config config;
        uint64_t calls;

        store_fixture_init(&fixture, NULL);
        fill(&fixture, 200);
        restart(&fixture);
        config = (struct warp_warmup_config){.store = fixture.store,
                                             .disk = &fixture.disk.disk,
                                             .manifest = &fixture.manifest,
                                             .read_bytes = 16384};
        warp_memory_fail_after(&fixture.memory, after);
        calls = warp_memory_calls(&fixture.memory);
        if (warp_warmup_create(&warmup, &config) == 0) {
            run(warmup);
        }
        failed = warp_memory_calls(&fixture.memory) - calls > after;
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        warp_warmup_destroy(&warmup);
        check_values(&fixture, 200);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
    check_u64(after, >, 2);
    check_u64(after, <, 400);
}

WARP_TEST(warmup, long_values_and_batches_come_too)
{
    struct store_fixture_config config = {.buffer_bytes = 1u << 20,
                                          .segment_bytes = 1u << 18};
    struct store_fixture fixture;
    const struct warp_warmup_counters *counters;
    struct warp_warmup *warmup;
    char key[32], *big = malloc(60001);
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 20; i++) { /* more than a read; some of them in two files */
        memset(big, 'a' + (int)i, 60000);
        big[60000] = '\0';
        check_int(store_put(&fixture, key_of(i, key), big, 0), ==, 0);
    }
    restart(&fixture);
    warmup = begin(&fixture, &fixture.disk.disk, 0);
    run(warmup);
    counters = warp_warmup_counters(warmup);
    check_u64(warp_counter_read(&counters->lone_reads), ==, 20);
    check_u64(warp_counter_read(&counters->read_bytes), >, 20 * 60000);
    check_u64(warp_counter_read(&counters->reads), ==, 0);
    check_u64(resident(&fixture, 20), ==, 20);
    for (i = 0; i < 20; i++) {
        memset(big, 'a' + (int)i, 60000);
        check(store_has(&fixture, key_of(i, key), big, 60000));
    }
    warp_warmup_destroy(&warmup);
    free(big);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
