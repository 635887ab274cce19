/*
 * The index written down: what was put comes back, whole or not at all, and nothing else
 * ever.
 */
#include "wal/checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"
#include "tests/sim/sim_disk.h"
#include "warp/warp.h"

#define ARCHIVED (UINT64_C(1) << 63)
#define BEGIN    4096u
#define END      (UINT64_C(1) << 40)

static uint32_t below(struct warp_random *random, uint32_t n)
{
    return (uint32_t)warp_random_below(random, n);
}

/* What is put, in order; a key is made from its seed. */
struct item {
    uint32_t slot, slot_records;
    uint32_t key_seed;
    struct warp_checkpoint_entry entry; /* without the key */
};

struct fixture {
    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_manifest manifest;
    struct warp_checkpoint_config config;

    struct item *items;
    uint32_t item_count, item_capacity;
    struct warp_checkpoint_segment segments[40];
    struct warp_checkpoint_archive archives[40];
    uint32_t segment_count, archive_count;
    struct warp_checkpoint_summary summary; /* of the last write */
    int open_rc;                            /* of the last fixture_is_sound */
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->disk = memory_disk_create();
    check_int(warp_memory_init(&f->memory, NULL), ==, 0);
    memset(f->manifest.id, 0x5a, sizeof(f->manifest.id));
    f->manifest.segment_bytes = 65536;
    f->manifest.epoch = 1;
    f->config.disk = &f->disk->disk;
    f->config.memory = &f->memory;
    f->config.manifest = &f->manifest;
    f->config.number = 1;
    f->config.begin = BEGIN;
    f->config.buffer_bytes = 4096;
    f->config.direct = true;
}

static void fixture_fini(struct fixture *f)
{
    check_u64(warp_memory_bytes(&f->memory), ==, 0);
    check_u64(f->disk->handles, ==, 0);
    memory_disk_destroy(&f->disk);
    free(f->items);
}

static void key_make(uint8_t *key, uint32_t bytes, uint32_t seed)
{
    uint32_t i;

    for (i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        key[i] = (uint8_t)(seed >> 24);
    }
}

static struct item *fixture_add(struct fixture *f, uint32_t slot, uint64_t place,
                                uint32_t key_bytes)
{
    struct item *item;
    uint32_t i;

    if (f->item_count == f->item_capacity) {
        f->item_capacity = f->item_capacity * 2 + 64;
        f->items = realloc(f->items, f->item_capacity * sizeof(*f->items));
        if (f->items == NULL) {
            abort();
        }
    }
    item = &f->items[f->item_count++];
    memset(item, 0, sizeof(*item));
    item->slot = slot;
    item->key_seed = f->item_count;
    item->entry.place = place;
    item->entry.key_bytes = key_bytes;
    item->slot_records = 1;
    for (i = f->item_count - 1; i > 0 && f->items[i - 1].slot == slot; i--) {
        item->slot_records = ++f->items[i - 1].slot_records;
    }
    return item;
}

/* Any entry at all. */
static void fixture_add_random(struct fixture *f, struct warp_random *random, uint32_t slot,
                               uint32_t key_bytes_max)
{
    uint64_t place = warp_random_next(random) >> below(random, 64);
    struct item *item;

    if ((place & ARCHIVED) == 0) {
        place %= END;
    }
    item = fixture_add(f, slot, place, 1 + below(random, key_bytes_max));
    item->entry.value_bytes =
        (uint32_t)below(random, WARP_VALUE_BYTES_MAX + 1u) >> below(random, 26);
    item->entry.in_batch = warp_random_chance(random, 2);
    item->entry.resident = warp_random_chance(random, 2);
    item->entry.heat = (uint8_t)below(random, 4);
    if (warp_random_chance(random, 3)) {
        item->entry.expires_at_ms = 1 + (warp_random_next(random) >> below(random, 64)) / 2;
    }
}

static void fixture_add_tables(struct fixture *f, uint32_t segments, uint32_t archives)
{
    uint32_t i;

    f->segment_count = segments;
    f->archive_count = archives;
    for (i = 0; i < segments; i++) {
        f->segments[i].index = i * 3;
        f->segments[i].straddle_from = i * 3 * 65536 - (i > 0 ? 64 : 0);
        f->segments[i].bytes = 1000000u * i;
    }
    for (i = 0; i < archives; i++) {
        f->archives[i].number = i * 7 + 1;
        f->archives[i].raw_bytes = UINT64_C(1) << (20 + i);
        f->archives[i].stored_bytes = UINT64_C(1) << (19 + i);
    }
}

static int fixture_put_all(struct fixture *f, struct warp_checkpoint_writer *writer)
{
    uint8_t *key = malloc(WARP_KEY_BYTES_MAX);
    uint32_t i;
    int rc = 0;

    for (i = 0; i < f->item_count && rc == 0; i++) {
        struct item *item = &f->items[i];
        struct warp_checkpoint_entry entry = item->entry;

        if (i == 0 || item[-1].slot != item->slot) {
            rc = warp_checkpoint_writer_begin_slot(writer, item->slot,
                                                   item->slot_records + i % 3);
        }
        if (rc == 0) {
            key_make(key, entry.key_bytes, item->key_seed);
            entry.key = key;
            rc = warp_checkpoint_writer_put(writer, &entry);
            memset(key, 0xee, entry.key_bytes); /* it was copied */
        }
    }
    free(key);
    return rc;
}

static int fixture_write(struct fixture *f)
{
    struct warp_checkpoint_writer *writer = NULL;
    int rc, again;

    rc = warp_checkpoint_writer_create(&writer, &f->config);
    if (rc < 0) {
        check(writer == NULL);
        return rc;
    }
    rc = fixture_put_all(f, writer);
    again = warp_checkpoint_writer_seal(writer, END, 1700000000123u, 77, f->segments,
                                        f->segment_count, f->archives, f->archive_count,
                                        &f->summary);
    if (rc < 0) {
        check_int(again, ==, rc); /* it remembers */
    }
    warp_checkpoint_writer_destroy(&writer);
    check(writer == NULL);
    return again;
}

/* What a read saw; every entry is compared with the next item. */
struct seen {
    const struct fixture *f;
    uint32_t at, end, wrong;
    uint32_t stop_at;
    uint8_t *key;
};

static bool seen_equal(const struct seen *seen, const struct item *item, uint32_t slot,
                       uint32_t slot_records, const struct warp_checkpoint_entry *entry)
{
    const struct warp_checkpoint_entry *want = &item->entry;

    if (slot != item->slot || slot_records != item->slot_records ||
        entry->place != want->place || entry->value_bytes != want->value_bytes ||
        entry->key_bytes != want->key_bytes ||
        entry->expires_at_ms != want->expires_at_ms || entry->in_batch != want->in_batch ||
        entry->resident != want->resident || entry->heat != want->heat) {
        return false;
    }
    key_make(seen->key, want->key_bytes, item->key_seed);
    return memcmp(seen->key, entry->key, want->key_bytes) == 0;
}

static int seen_visit(void *context, uint32_t slot, uint32_t slot_records,
                      const struct warp_checkpoint_entry *entry)
{
    struct seen *seen = context;

    if (seen->at >= seen->f->item_count ||
        !seen_equal(seen, &seen->f->items[seen->at], slot, slot_records, entry)) {
        seen->wrong++;
    }
    seen->at++;
    return seen->at == seen->stop_at ? 5 : 0;
}

/* All sections in order. Each is right or damaged; the sum of both is complete. */
static uint32_t fixture_read_sections(struct fixture *f, struct warp_checkpoint *checkpoint,
                                      uint32_t *damaged)
{
    struct seen seen = {.f = f};
    uint32_t i, first, last, records;
    uint64_t offset;
    int rc;

    seen.key = malloc(WARP_KEY_BYTES_MAX);
    *damaged = 0;
    for (i = 0; i < warp_checkpoint_section_count(checkpoint); i++) {
        uint32_t before = seen.at;

        warp_checkpoint_section_slots(checkpoint, i, &first, &last, &records);
        offset = 0;
        rc = warp_checkpoint_read_section(checkpoint, i, seen_visit, &seen, &offset);
        if (rc == 0) {
            check_u64(seen.at - before, ==, records);
        } else {
            check_int(rc, ==, WARP_EDAMAGED);
            check_u64(seen.at, ==, before);
            check_u64(offset, >=, 4096);
            seen.at = before + records;
            (*damaged)++;
        }
    }
    check_u64(seen.wrong, ==, 0);
    check_u64(seen.at, ==, f->item_count);
    free(seen.key);
    return seen.wrong;
}

/* A walk through the slots that leave `rest`, among `parts` of them. */
struct share {
    struct seen seen;
    uint32_t parts, rest, visits;
};

static bool share_wanted(void *context, uint32_t slot)
{
    const struct share *share = context;

    return slot % share->parts == share->rest;
}

static int share_visit(void *context, uint32_t slot, uint32_t slot_records,
                       const struct warp_checkpoint_entry *entry)
{
    struct share *share = context;
    struct seen *seen = &share->seen;

    /* What was passed over is somebody else's. */
    while (seen->at < seen->end && !share_wanted(share, seen->f->items[seen->at].slot)) {
        seen->at++;
    }
    seen->wrong += seen->at >= seen->end || slot % share->parts != share->rest ||
                   !seen_equal(seen, &seen->f->items[seen->at], slot, slot_records, entry);
    seen->at++;
    share->visits++;
    return 0;
}

/* Each section is loaded once and walked by three, who take a third of the slots each. */
static void fixture_read_shares(struct fixture *f, struct warp_checkpoint *checkpoint)
{
    struct warp_checkpoint_section loaded = {.bytes = NULL};
    struct share share = {.seen = {.f = f}, .parts = 3};
    uint64_t memory_bytes = warp_memory_bytes(&f->memory);
    uint32_t i, first, last, records, from = 0;

    share.seen.key = malloc(WARP_KEY_BYTES_MAX);
    for (i = 0; i < warp_checkpoint_section_count(checkpoint); i++) {
        uint64_t reserved = loaded.reserved;

        warp_checkpoint_section_slots(checkpoint, i, &first, &last, &records);
        check_int(warp_checkpoint_section_load(checkpoint, i, &loaded, NULL), ==, 0);
        /* The memory of the last one is used again when it is enough. */
        if (reserved < warp_checkpoint_section_bytes(checkpoint, i)) {
            reserved = warp_checkpoint_section_bytes(checkpoint, i);
        }
        check_u64(loaded.reserved, ==, reserved);
        check_u64(warp_memory_bytes(&f->memory), ==, memory_bytes + reserved);
        share.visits = 0;
        for (share.rest = 0; share.rest < share.parts; share.rest++) {
            share.seen.at = from;
            share.seen.end = from + records;
            check_int(warp_checkpoint_section_walk(checkpoint, &loaded, share_wanted,
                                                   share_visit, &share, NULL),
                      ==, 0);
        }
        check_u64(share.visits, ==, records);
        from += records;
    }
    warp_checkpoint_section_drop(checkpoint, &loaded);
    warp_checkpoint_section_drop(checkpoint, &loaded);
    check_u64(warp_memory_bytes(&f->memory), ==, memory_bytes);
    check_u64(share.seen.wrong, ==, 0);
    check_u64(from, ==, f->item_count);
    free(share.seen.key);
}

/* Open number 1 and see that all is there. */
static void fixture_check(struct fixture *f)
{
    struct warp_checkpoint *checkpoint = NULL;
    const struct warp_checkpoint_summary *summary;
    struct warp_checkpoint_summary found[2];
    char message[200] = "";
    uint32_t damaged = 0, count = 0;

    if (!check_int(warp_checkpoint_open(&checkpoint, f->config.disk, &f->memory,
                                        &f->manifest, f->config.number, message,
                                        sizeof(message)),
                   ==, 0)) {
        fprintf(stderr, "%s\n", message);
        return;
    }
    summary = warp_checkpoint_summary(checkpoint);
    check_u64(summary->records, ==, f->item_count);
    check_u64(summary->begin, ==, f->config.begin);
    check_u64(summary->end, ==, END);
    check_u64(summary->made_ms, ==, 1700000000123u);
    check_u64(summary->archive_next, ==, 77);
    check_u64(summary->epoch, ==, f->manifest.epoch);
    check_u64(summary->segment_count, ==, f->segment_count);
    check_u64(summary->archive_count, ==, f->archive_count);
    check_bytes(warp_checkpoint_segments(checkpoint),
                f->segment_count * sizeof(*f->segments), f->segments,
                f->segment_count * sizeof(*f->segments));
    check_bytes(warp_checkpoint_archives(checkpoint),
                f->archive_count * sizeof(*f->archives), f->archives,
                f->archive_count * sizeof(*f->archives));
    fixture_read_sections(f, checkpoint, &damaged);
    check_u64(damaged, ==, 0);
    fixture_read_shares(f, checkpoint);
    check_int(warp_checkpoint_find(f->config.disk, &f->memory, &f->manifest, true, found, 2,
                                   &count),
              ==, 0);
    check_u64(count, ==, 1);
    check_bytes(&found[0], sizeof(found[0]), summary, sizeof(*summary));
    warp_checkpoint_close(&checkpoint);
    check(checkpoint == NULL);
}

/* Sections, whole slots, a cut slot, flags and tables, in a few pages. */
static void fixture_small(struct fixture *f)
{
    struct warp_random random;
    uint32_t i;

    fixture_init(f);
    warp_random_init(&random, 11);
    for (i = 0; i < 40; i++) {
        fixture_add_random(f, &random, 3 + i / 8, 60);
    }
    for (i = 0; i < 130; i++) {
        fixture_add_random(f, &random, 100, 100);
    }
    for (i = 0; i < 10; i++) {
        fixture_add_random(f, &random, 200 + i, 60);
    }
    fixture_add_tables(f, 2, 3);
}

/*
 * ---- round trips ----------------------------------------------------------------------
 */

WARP_TEST(checkpoint, empty_comes_back)
{
    struct fixture f;

    fixture_init(&f);
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.summary.records, ==, 0);
    check_u64(f.summary.bytes, ==, 8192);
    fixture_check(&f);
    fixture_add_tables(&f, 1, 0);
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.summary.bytes, ==, 12288);
    fixture_check(&f);
    fixture_fini(&f);
}

/* More rows than the writer's buffers hold. */
WARP_TEST(checkpoint, long_tables_come_back)
{
    const uint32_t count = 5000;
    struct warp_checkpoint_segment *segments = calloc(count, sizeof(*segments));
    struct warp_checkpoint_archive *archives = calloc(count, sizeof(*archives));
    struct warp_checkpoint_writer *writer = NULL;
    struct warp_checkpoint *checkpoint = NULL;
    struct fixture f;
    uint32_t i;

    fixture_init(&f);
    for (i = 0; i < count; i++) {
        segments[i].index = i * UINT64_C(0x123456789);
        segments[i].straddle_from = i * UINT64_C(0x987654321);
        segments[i].bytes = i;
        archives[i].number = i;
        archives[i].raw_bytes = UINT64_MAX - i;
        archives[i].stored_bytes = i * UINT64_C(0xabcdef);
    }
    check_int(warp_checkpoint_writer_create(&writer, &f.config), ==, 0);
    check_int(warp_checkpoint_writer_seal(writer, END, 1, 2, segments, count, archives,
                                          count, NULL),
              ==, 0);
    warp_checkpoint_writer_destroy(&writer);
    check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest, 1,
                                   NULL, 0),
              ==, 0);
    check_bytes(warp_checkpoint_segments(checkpoint), count * sizeof(*segments), segments,
                count * sizeof(*segments));
    check_bytes(warp_checkpoint_archives(checkpoint), count * sizeof(*archives), archives,
                count * sizeof(*archives));
    warp_checkpoint_close(&checkpoint);
    free(segments);
    free(archives);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, any_entries_come_back)
{
    struct warp_random random;
    struct fixture f;
    uint32_t round, i;

    warp_random_init(&random, test_seed());
    for (round = 0; round < 60; round++) {
        uint32_t slot = below(&random, 3);
        uint32_t count = below(&random, 2000);
        uint32_t stay = 1 + below(&random, 300);
        uint32_t key_bytes_max = warp_random_chance(&random, 8) ? WARP_KEY_BYTES_MAX : 40;

        fixture_init(&f);
        f.config.buffer_bytes = 1u << (12 + below(&random, 7));
        f.config.direct = warp_random_chance(&random, 2);
        count = key_bytes_max > 40 ? count / 20 : count;
        for (i = 0; i < count; i++) {
            fixture_add_random(&f, &random, slot, key_bytes_max);
            slot += warp_random_chance(&random, stay) ? 1 + below(&random, 1000) : 0;
        }
        fixture_add_tables(&f, below(&random, 41), below(&random, 41));
        check_int(fixture_write(&f), ==, 0);
        fixture_check(&f);
        fixture_fini(&f);
    }
}

WARP_TEST(checkpoint, extreme_numbers_come_back)
{
    static const uint64_t places[] = {0,
                                      1,
                                      BEGIN,
                                      BEGIN - 1,
                                      END - 1,
                                      ARCHIVED,
                                      ARCHIVED | (ARCHIVED - 1),
                                      ARCHIVED | 1,
                                      ARCHIVED | ARCHIVED >> 1,
                                      ARCHIVED | ((ARCHIVED >> 1) - 1)};
    static const uint64_t expiries[] = {0, 1, 127, 128, 1700000000000u, UINT64_MAX};
    struct fixture f;
    uint32_t i, j;

    fixture_init(&f);
    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (j = 0; j < sizeof(expiries) / sizeof(expiries[0]); j++) {
            struct item *item = fixture_add(&f, UINT32_MAX - 100 + i, places[i], 1);

            item->entry.expires_at_ms = expiries[j];
            item->entry.value_bytes = j % 2 == 0 ? 0 : WARP_VALUE_BYTES_MAX;
            item->entry.key_bytes = j % 3 == 0 ? 1 : WARP_KEY_BYTES_MAX;
            item->entry.heat = 3;
        }
    }
    check_int(fixture_write(&f), ==, 0);
    fixture_check(&f);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, a_slot_is_cut_only_when_it_is_larger_than_a_section)
{
    struct warp_checkpoint *checkpoint = NULL;
    struct warp_random random;
    struct fixture f;
    uint32_t i, cut = 0, before = 0;

    fixture_init(&f);
    warp_random_init(&random, 5);
    f.config.buffer_bytes = 65536;
    for (i = 0; i < 30000; i++) {
        /* About 1,000 entries of 32 bytes a slot; slot 20 has 10,000. */
        uint32_t slot = i < 20000 ? i / 1000 : i < 30000 - 300 ? 20 : i;

        fixture_add(&f, slot, BEGIN + below(&random, 1u << 30), 24);
    }
    check_int(fixture_write(&f), ==, 0);
    fixture_check(&f);
    check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest, 1,
                                   NULL, 0),
              ==, 0);
    for (i = 0; i < warp_checkpoint_section_count(checkpoint); i++) {
        uint32_t first, last, records;

        warp_checkpoint_section_slots(checkpoint, i, &first, &last, &records);
        if (i > 0 && first == before) {
            check_u64(first, ==, 20);
            cut++;
        }
        before = last;
    }
    check_u64(cut, >=, 3);
    warp_checkpoint_close(&checkpoint);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, slots_without_entries_leave_nothing)
{
    struct warp_checkpoint_entry entry = {.place = BEGIN, .key_bytes = 1, .key = "k"};
    struct warp_checkpoint_writer *writer = NULL;
    struct warp_checkpoint *checkpoint = NULL;
    struct warp_checkpoint_summary summary;
    uint32_t slot, first, last, records;
    struct fixture f;

    fixture_init(&f);
    check_int(warp_checkpoint_writer_create(&writer, &f.config), ==, 0);
    for (slot = 0; slot < 1000; slot++) {
        check_int(warp_checkpoint_writer_begin_slot(writer, slot, slot % 10), ==, 0);
        if (slot % 100 == 7) {
            check_int(warp_checkpoint_writer_put(writer, &entry), ==, 0);
        }
    }
    check_int(warp_checkpoint_writer_seal(writer, END, 1, 2, NULL, 0, NULL, 0, &summary),
              ==, 0);
    warp_checkpoint_writer_destroy(&writer);
    check_u64(summary.records, ==, 10);
    check_u64(summary.bytes, ==, 4 * 4096);
    check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest, 1,
                                   NULL, 0),
              ==, 0);
    check_u64(warp_checkpoint_section_count(checkpoint), ==, 1);
    warp_checkpoint_section_slots(checkpoint, 0, &first, &last, &records);
    check_u64(first, ==, 7);
    check_u64(last, ==, 907);
    check_u64(records, ==, 10);
    warp_checkpoint_close(&checkpoint);
    fixture_fini(&f);
}

/* The file is read at every open: its size is part of the contract. */
WARP_TEST(checkpoint, an_entry_takes_at_most_twelve_bytes_beside_its_key)
{
    struct warp_random random;
    struct fixture f;
    uint32_t i;

    fixture_init(&f);
    warp_random_init(&random, 9);
    f.config.buffer_bytes = 0;
    f.config.begin = UINT64_C(1) << 38;
    for (i = 0; i < 200000; i++) {
        struct item *item =
            fixture_add(&f, i / 100, warp_random_below(&random, f.config.begin), 16);

        item->entry.value_bytes = 1000;
    }
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.summary.bytes, <=, (16 + 10) * UINT64_C(200000));
    fixture_check(&f);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, what_visit_says_ends_the_walk)
{
    struct warp_checkpoint *checkpoint = NULL;
    struct seen seen = {.stop_at = 3};
    struct fixture f;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest, 1,
                                   NULL, 0),
              ==, 0);
    seen.f = &f;
    seen.key = malloc(WARP_KEY_BYTES_MAX);
    check_int(warp_checkpoint_read_section(checkpoint, 0, seen_visit, &seen, NULL), ==, 5);
    check_u64(seen.at, ==, 3);
    free(seen.key);
    warp_checkpoint_close(&checkpoint);
    fixture_fini(&f);
}

/*
 * ---- threads --------------------------------------------------------------------------
 */

struct reader {
    struct warp_checkpoint *checkpoint;
    _Atomic uint32_t *next;
    uint64_t records, places;
    int rc;
};

static int reader_visit(void *context, uint32_t slot, uint32_t slot_records,
                        const struct warp_checkpoint_entry *entry)
{
    struct reader *reader = context;

    (void)slot;
    (void)slot_records;
    reader->records++;
    reader->places += entry->place;
    return 0;
}

static void *reader_run(void *context)
{
    struct reader *reader = context;
    uint32_t section;

    for (;;) {
        section = atomic_fetch_add_explicit(reader->next, 1, memory_order_relaxed);
        if (section >= warp_checkpoint_section_count(reader->checkpoint) ||
            reader->rc != 0) {
            return NULL;
        }
        reader->rc = warp_checkpoint_read_section(reader->checkpoint, section, reader_visit,
                                                  reader, NULL);
    }
}

WARP_TEST(checkpoint, sections_are_read_by_threads_at_once)
{
    struct warp_checkpoint *checkpoint = NULL;
    struct reader readers[4];
    struct warp_disk disk;
    struct warp_random random;
    pthread_t threads[4];
    _Atomic uint32_t next = 0;
    uint64_t records = 0, places = 0, expected = 0;
    struct fixture f;
    uint32_t i;

    fixture_init(&f);
    check_int(warp_disk_open_directory(test_directory(), &f.memory, WARP_IO_BACKEND_PLAIN,
                                       false, &disk, NULL, 0),
              ==, 0);
    f.config.disk = &disk;
    warp_random_init(&random, 3);
    for (i = 0; i < 20000; i++) {
        fixture_add(&f, i < 15000 ? i / 50 : 15000, warp_random_below(&random, END), 10);
        expected += f.items[i].entry.place;
    }
    check_int(fixture_write(&f), ==, 0);
    fixture_check(&f);
    check_int(warp_checkpoint_open(&checkpoint, &disk, &f.memory, &f.manifest, 1, NULL, 0),
              ==, 0);
    for (i = 0; i < 4; i++) {
        memset(&readers[i], 0, sizeof(readers[i]));
        readers[i].checkpoint = checkpoint;
        readers[i].next = &next;
        check_int(pthread_create(&threads[i], NULL, reader_run, &readers[i]), ==, 0);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        check_int(readers[i].rc, ==, 0);
        records += readers[i].records;
        places += readers[i].places;
    }
    check_u64(records, ==, 20000);
    check_u64(places, ==, expected);
    warp_checkpoint_close(&checkpoint);
    warp_disk_close(&disk);
    fixture_fini(&f);
}

/*
 * ---- damage ---------------------------------------------------------------------------
 */

static int fixture_open(struct fixture *f, uint64_t number, char *message, size_t bytes)
{
    struct warp_checkpoint *checkpoint = NULL;
    int rc;

    rc = warp_checkpoint_open(&checkpoint, f->config.disk, &f->memory, &f->manifest, number,
                              message, bytes);
    check((rc == 0) == (checkpoint != NULL));
    warp_checkpoint_close(&checkpoint);
    return rc;
}

/* Whether all of it can be read; whatever can, is right. */
static bool fixture_is_sound(struct fixture *f)
{
    struct warp_checkpoint *checkpoint = NULL;
    char message[200] = "";
    uint32_t damaged = 0;
    int rc;

    rc = warp_checkpoint_open(&checkpoint, f->config.disk, &f->memory, &f->manifest,
                              f->config.number, message, sizeof(message));
    f->open_rc = rc;
    if (rc < 0) {
        check(strstr(message, ".warp, offset ") != NULL);
        return false;
    }
    fixture_read_sections(f, checkpoint, &damaged);
    warp_checkpoint_close(&checkpoint);
    return damaged == 0;
}

/* The most important test of this file. */
WARP_TEST(checkpoint, every_flipped_byte_is_damage_and_never_a_wrong_entry)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint64_t bytes, i;
    uint8_t *data;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    fixture_check(&f);
    warp_checkpoint_name(1, name);
    data = memory_disk_bytes(f.disk, name, &bytes);
    check_u64(bytes, >=, 7 * 4096);
    check_u64(bytes, ==, f.summary.bytes);
    for (i = 0; i < bytes; i++) {
        uint8_t change = (uint8_t)(i % 3 == 0 ? 0xffu : 1u << i % 8);

        data[i] ^= change;
        check(!fixture_is_sound(&f));
        check_int(f.open_rc, ==, f.open_rc == 0 ? 0 : WARP_EDAMAGED);
        data[i] ^= change;
        if (test_failures() > 0) {
            fprintf(stderr, "at byte %llu\n", (unsigned long long)i);
            break;
        }
    }
    check(fixture_is_sound(&f));
    fixture_fini(&f);
}

WARP_TEST(checkpoint, every_truncation_is_damage)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint64_t bytes, left;
    uint8_t *copy;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    warp_checkpoint_name(1, name);
    copy = malloc(f.summary.bytes);
    memcpy(copy, memory_disk_bytes(f.disk, name, &bytes), f.summary.bytes);
    for (left = 0; left < bytes; left += left % 4096 < 3 || left % 4096 > 4093 ? 1 : 409) {
        memory_disk_put(f.disk, name, copy, left);
        check(!fixture_is_sound(&f));
        check_int(f.open_rc, ==, WARP_EDAMAGED);
    }
    free(copy);
    fixture_fini(&f);
}

/* Right bytes in a wrong place: sections swapped, or from another checkpoint. */
WARP_TEST(checkpoint, pages_of_another_place_or_checkpoint_do_not_pass)
{
    char name[WARP_CHECKPOINT_NAME_BYTES], other[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint64_t bytes, at, from;
    uint8_t page[4096], *data, *stale;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    f.config.number = 2;
    check_int(fixture_write(&f), ==, 0);
    warp_checkpoint_name(1, other);
    warp_checkpoint_name(2, name);
    data = memory_disk_bytes(f.disk, name, &bytes);
    stale = memory_disk_bytes(f.disk, other, NULL);
    for (at = 0; at < bytes; at += 4096) {
        memcpy(page, data + at, 4096);
        for (from = 0; from < bytes; from += 4096) {
            if (from != at) {
                memcpy(data + at, data + from, 4096);
                check(!fixture_is_sound(&f));
            }
        }
        memcpy(data + at, page, 4096);
    }
    check(fixture_is_sound(&f));
    /* Pages of 1 are bound to 1; only what is equal in both files is as good. */
    for (at = 0; at < bytes; at += 4096) {
        memcpy(page, data + at, 4096);
        memcpy(data + at, stale + at, 4096);
        if (memcmp(page, data + at, 4096) != 0) {
            check(!fixture_is_sound(&f));
        }
        memcpy(data + at, page, 4096);
    }
    fixture_fini(&f);
}

static void fixture_poke_header(struct fixture *f, uint64_t number, uint32_t offset,
                                uint32_t value)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    uint8_t *bytes;

    warp_checkpoint_name(number, name);
    bytes = memory_disk_bytes(f->disk, name, NULL);
    warp_store_u32le(bytes + offset, value);
    warp_store_u32le(bytes + 20, 0);
    warp_store_u32le(bytes + 20, warp_crc32c(0, bytes, 4096));
}

WARP_TEST(checkpoint, strangers_are_told_apart)
{
    char name[WARP_CHECKPOINT_NAME_BYTES], other[WARP_CHECKPOINT_NAME_BYTES];
    char message[200] = "";
    struct fixture f;
    const uint8_t *bytes;
    uint64_t count;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    check_int(fixture_open(&f, 2, message, sizeof(message)), ==, WARP_ENOENT);
    check(strstr(message, "checkpoint-0000000000000002.warp") != NULL);

    /* Under another number's name. */
    warp_checkpoint_name(1, name);
    warp_checkpoint_name(2, other);
    bytes = memory_disk_bytes(f.disk, name, &count);
    memory_disk_put(f.disk, other, bytes, count);
    check_int(fixture_open(&f, 2, message, sizeof(message)), ==, WARP_EDAMAGED);
    check(strstr(message, "offset 48") != NULL);

    /* Of another database; not a checkpoint at all. */
    f.manifest.id[3] ^= 1;
    check_int(fixture_open(&f, 1, message, sizeof(message)), ==, WARP_EFORMAT);
    check(strstr(message, "another database") != NULL);
    f.manifest.id[3] ^= 1;
    memory_disk_put(f.disk, other,
                    "{\"name\": \"a web page\", \"pages\": [1, 2, 3, 4, 5, 6]}", 50);
    check_int(fixture_open(&f, 2, message, sizeof(message)), ==, WARP_EFORMAT);

    /* Newer formats: one that we may read, and one that we may not. */
    fixture_poke_header(&f, 1, 8, 2);
    check_int(fixture_open(&f, 1, message, sizeof(message)), ==, 0);
    fixture_poke_header(&f, 1, 12, 2);
    check_int(fixture_open(&f, 1, message, sizeof(message)), ==, WARP_EVERSION);
    check(strstr(message, "newer") != NULL);
    fixture_fini(&f);
}

static uint32_t part_seed(const struct fixture *f, uint32_t part)
{
    uint8_t bytes[12];

    warp_store_u64le(bytes, f->config.number);
    warp_store_u32le(bytes + 8, part);
    return warp_crc32c(warp_crc32c(0, f->manifest.id, 16), bytes, sizeof(bytes));
}

/* Make all checksums of a file right again: of its first section, its tail, its trailer. */
static void fixture_reseal(struct fixture *f, uint8_t *data, uint64_t bytes)
{
    uint8_t *trailer = data + bytes - 4096;
    uint8_t *rows =
        data + f->summary.bytes - 8192; /* a tail of one page, no other tables */

    warp_store_u32le(rows + 4, warp_crc32c(part_seed(f, 0), data + 4096, 4096));
    warp_store_u32le(trailer + 80, warp_crc32c(part_seed(f, UINT32_MAX), rows, 4096));
    warp_store_u32le(trailer + 12, 0);
    warp_store_u32le(trailer + 12,
                     warp_crc32c(part_seed(f, UINT32_MAX - 1), trailer, 4096));
}

/* A checksum is no proof against a writer with a bug. */
WARP_TEST(checkpoint, contradictions_under_right_checksums_are_damage)
{
    /* Where, from the begin of the section, of the tail and of the trailer. */
    static const struct {
        char part;
        uint32_t offset, value;
    } pokes[] = {
        {'s', 0, 4}, /* slot: not the directory's */
        {'s', 4, 0}, /* count: none, too many, too few */
        {'s', 4, 9},
        {'s', 4, 7},
        {'s', 4, UINT32_MAX},
        {'s', 8, 0}, /* bytes: fewer, more, past the end */
        {'s', 8, 100},
        {'s', 8, 4000},
        {'s', 8, UINT32_MAX},
        {'t', 0, 0}, /* row 0: bytes */
        {'t', 0, 12},
        {'t', 0, 4097},
        {'t', 0, UINT32_MAX},
        {'t', 8, 0}, /* records */
        {'t', 8, 41},
        {'t', 12, 8}, /* first slot, last slot */
        {'t', 16, 2},
        {'t', 16, 100},
        {'t', 20, 0}, /* records of the first slot */
        {'t', 20, 7},
        {'t', 20, 9},
        {'t', 24 + 12, 6},   /* row 1: first slot not behind row 0's last */
        {'t', 24 + 16, 101}, /* a cut slot that is not alone */
        {'t', 24 + 20, 129}, /* its pieces do not agree, or are too many */
        {'t', 48 + 20, 3},
        {'r', 16, 2}, /* trailer: number, begin, end */
        {'r', 24, 8},
        {'r', 36, 0},
        {'r', 36, 0x80000000u},
        {'r', 40, 3}, /* records */
        {'r', 44, 3},
        {'r', 64, 4096}, /* bytes of the file */
        {'r', 72, 0},    /* the tail's place */
        {'r', 72, 4096},
        {'r', 73, 0xff},
        {'r', 76, 1},
        {'r', 84, UINT32_MAX}, /* how many segments, archives, sections */
        {'r', 88, 1000},
        {'r', 92, 3},
        {'r', 92, UINT32_MAX},
    };
    char name[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint64_t bytes;
    uint8_t *data, *copy, *at;
    uint32_t i;

    fixture_small(&f);
    fixture_add_tables(&f, 0, 0);
    check_int(fixture_write(&f), ==, 0);
    warp_checkpoint_name(1, name);
    data = memory_disk_bytes(f.disk, name, &bytes);
    copy = malloc(bytes);
    memcpy(copy, data, bytes);
    check_u64(bytes, ==, 7 * 4096);
    fixture_reseal(&f, data, bytes);
    check_bytes(data, bytes, copy, bytes); /* it knows how */
    for (i = 0; i < sizeof(pokes) / sizeof(pokes[0]); i++) {
        at = data + (pokes[i].part == 's'   ? 4096
                     : pokes[i].part == 't' ? bytes - 8192
                                            : bytes - 4096);
        warp_store_u32le(at + pokes[i].offset, pokes[i].value);
        fixture_reseal(&f, data, bytes);
        f.open_rc = fixture_open(&f, 1, NULL, 0);
        if (f.open_rc == 0) {
            struct warp_checkpoint *checkpoint = NULL;
            struct reader reader = {0};
            uint64_t offset = 0;
            uint32_t section;
            int rc = 0;

            check_int(warp_checkpoint_open(&checkpoint, f.config.disk, &f.memory,
                                           &f.manifest, 1, NULL, 0),
                      ==, 0);
            for (section = 0;
                 rc == 0 && section < warp_checkpoint_section_count(checkpoint);
                 section++) {
                rc = warp_checkpoint_read_section(checkpoint, section, reader_visit,
                                                  &reader, &offset);
            }
            if (!check_int(rc, ==, WARP_EDAMAGED)) {
                fprintf(stderr, "poke %u\n", i);
            }
            warp_checkpoint_close(&checkpoint);
        } else {
            check_int(f.open_rc, ==, WARP_EDAMAGED);
        }
        memcpy(data, copy, bytes);
    }
    free(copy);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, tables_of_nothing_have_a_checksum_too)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint8_t *data;

    fixture_init(&f);
    check_int(fixture_write(&f), ==, 0);
    warp_checkpoint_name(1, name);
    data = memory_disk_bytes(f.disk, name, NULL);
    data[4096 + 80] ^= 1;
    warp_store_u32le(data + 4096 + 12, 0);
    warp_store_u32le(data + 4096 + 12,
                     warp_crc32c(part_seed(&f, UINT32_MAX - 1), data + 4096, 4096));
    check_int(fixture_open(&f, 1, NULL, 0), ==, WARP_EDAMAGED);
    fixture_fini(&f);
}

/* One section with one slot of so many records, of these bytes; all checksums are right. */
static int fixture_try_entries(struct fixture *f, uint32_t records, const void *entries,
                               uint32_t bytes)
{
    struct warp_checkpoint *checkpoint = NULL;
    struct reader reader = {0};
    char name[WARP_CHECKPOINT_NAME_BYTES];
    uint64_t file_bytes, offset = 0;
    uint8_t *data, *row;
    int rc;

    warp_checkpoint_name(1, name);
    data = memory_disk_bytes(f->disk, name, &file_bytes);
    row = data + file_bytes - 8192;
    memset(data + 4096, 0, 4096);
    warp_store_u32le(data + 4096, 3);
    warp_store_u32le(data + 4096 + 4, records);
    warp_store_u32le(data + 4096 + 8, bytes);
    memcpy(data + 4096 + 12, entries, bytes);
    warp_store_u32le(row, 12 + bytes);
    warp_store_u32le(row + 8, records);
    warp_store_u32le(row + 20, records);
    warp_store_u64le(data + file_bytes - 4096 + 40, records);
    fixture_reseal(f, data, file_bytes);
    rc = warp_checkpoint_open(&checkpoint, &f->disk->disk, &f->memory, &f->manifest, 1,
                              NULL, 0);
    check_int(rc, ==, 0);
    rc = warp_checkpoint_read_section(checkpoint, 0, reader_visit, &reader, &offset);
    check_u64(reader.records, <=, records);
    check(rc == 0 || offset >= 4096 + 12);
    warp_checkpoint_close(&checkpoint);
    return rc;
}

WARP_TEST(checkpoint, entries_that_no_writer_writes_are_damage)
{
    static const struct {
        uint32_t bytes;
        int rc;
        uint8_t entry[24];
    } tries[] = {
        {5, 0, {0, 0, 0, 0, 'k'}},
        {6, 0, {0x20, 0, 1, 0, 0, 'k'}},
        {15, 0, {1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 'k'}},
        {6, 0, {0, 0, 1, 0, 'k', 'l'}},
        {6, WARP_EDAMAGED, {0x20, 5, 0, 0, 0, 'k'}}, /* a place with a zero on top */
        {6, WARP_EDAMAGED, {0, 0, 0x80, 0, 0, 'k'}}, /* a longer way to say 0 */
        {6, WARP_EDAMAGED, {0, 0, 0, 0x80, 0, 'k'}},
        {8, WARP_EDAMAGED, {0, 0, 0x80, 0x80, 4, 0, 'k'}}, /* a key of 65,537 */
        {8,
         WARP_EDAMAGED,
         {0, 0, 0, 0x81, 0x80, 0x80, 16, 'k'}},   /* a value of 32 MiB + 1 */
        {6, WARP_EDAMAGED, {1, 0, 0, 0, 0, 'k'}}, /* it expires, but never */
        {15,
         WARP_EDAMAGED,
         {1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 1}},
        {15,
         WARP_EDAMAGED,
         {0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 1}},
        {5, WARP_EDAMAGED, {0, 0, 5, 0, 'k'}}, /* a key past the end */
        {4, WARP_EDAMAGED, {0, 0, 0, 0}},
        {1, WARP_EDAMAGED, {0xe0}},                 /* an entry past the end */
        {6, WARP_EDAMAGED, {0, 0, 0, 0, 'k', 'x'}}, /* one byte more */
        {9, WARP_EDAMAGED, {0xa0, 0, 0, 0, 0, 0, 0x80, 0, 'k'}},
    };
    struct fixture f;
    uint8_t many[24] = {0};
    uint32_t i;

    fixture_init(&f);
    fixture_add(&f, 3, BEGIN, 1);
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.summary.bytes, ==, 4 * 4096);
    for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        if (!check_int(fixture_try_entries(&f, 1, tries[i].entry, tries[i].bytes), ==,
                       tries[i].rc)) {
            fprintf(stderr, "try %u\n", i);
        }
    }
    check_int(fixture_try_entries(&f, 4, many, 20), ==, 0);
    check_int(fixture_try_entries(&f, 3, many, 20), ==, WARP_EDAMAGED);
    check_int(fixture_try_entries(&f, 5, many, 20), ==, WARP_EDAMAGED);

    /* The log ended where the place says; then a second slot that is cut off in its header. */
    {
        char name[WARP_CHECKPOINT_NAME_BYTES];
        struct warp_checkpoint *checkpoint = NULL;
        struct reader reader = {0};
        uint64_t bytes, offset = 0;
        uint8_t *data;

        warp_checkpoint_name(1, name);
        data = memory_disk_bytes(f.disk, name, &bytes);
        warp_store_u64le(data + bytes - 4096 + 32, BEGIN);
        check_int(fixture_try_entries(&f, 4, many, 20), ==, WARP_EDAMAGED);
        warp_store_u64le(data + bytes - 4096 + 32, END);
        check_int(fixture_try_entries(&f, 4, many, 20), ==, 0);
        warp_store_u32le(data + bytes - 8192, 12 + 20 + 11);
        fixture_reseal(&f, data, bytes);
        check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest,
                                       1, NULL, 0),
                  ==, 0);
        check_int(
            warp_checkpoint_read_section(checkpoint, 0, reader_visit, &reader, &offset), ==,
            WARP_EDAMAGED);
        check_u64(offset, ==, 4096 + 12 + 20);
        warp_checkpoint_close(&checkpoint);
    }
    fixture_fini(&f);
}

/*
 * ---- finding --------------------------------------------------------------------------
 */

WARP_TEST(checkpoint, find_sorts_and_tells_damaged_ones_apart)
{
    struct warp_checkpoint_summary found[8];
    char name[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint32_t count = 99;
    uint64_t number, bytes;

    fixture_small(&f);
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 8,
                                   &count),
              ==, 0);
    check_u64(count, ==, 0);
    for (number = 1; number < 1 << 13; number *= 8) {
        f.config.number = number;
        check_int(fixture_write(&f), ==, 0);
    }
    /* The newest is damaged, another is cut off. */
    warp_checkpoint_name(4096, name);
    memory_disk_bytes(f.disk, name, &bytes)[bytes - 4000] ^= 1;
    warp_checkpoint_name(8, name);
    memory_disk_put(f.disk, name, NULL, 4096);
    memory_disk_put(f.disk, "checkpoint-000000000000000g.warp", "x", 1);
    memory_disk_put(f.disk, "checkpoint-0000000000000007.warp2", "x", 1);
    memory_disk_put(f.disk, "checkpoint-7.warp", "x", 1);
    memory_disk_put(f.disk, "MANIFEST", "x", 1);
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 8,
                                   &count),
              ==, 0);
    if (check_u64(count, ==, 5)) {
        check_u64(found[0].number, ==, 4096);
        check_u64(found[0].records, ==, UINT64_MAX);
        check_u64(found[0].bytes, ==, 0);
        check_u64(found[1].number, ==, 512);
        check_u64(found[1].records, ==, f.item_count);
        check_u64(found[1].bytes, ==, f.summary.bytes);
        check_u64(found[2].number, ==, 64);
        check_u64(found[3].number, ==, 8);
        check_u64(found[3].records, ==, UINT64_MAX);
        check_u64(found[4].number, ==, 1);
        check_u64(found[4].records, ==, f.item_count);
    }
    /* Only the newest are told. */
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 2,
                                   &count),
              ==, 0);
    check_u64(count, ==, 2);
    check_u64(found[0].number, ==, 4096);
    check_u64(found[1].number, ==, 512);

    /* One that cannot be read is of no use either, and no reason to give up. */
    warp_checkpoint_name(512, name);
    f.disk->bad_name = name;
    f.disk->bad_offset = 100;
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 3,
                                   &count),
              ==, 0);
    check_u64(count, ==, 3);
    check_u64(found[1].records, ==, UINT64_MAX);
    check_u64(found[2].records, ==, f.item_count);
    f.disk->bad_name = NULL;

    check_int(warp_checkpoint_remove(&f.disk->disk, 512), ==, 0);
    check(memory_disk_bytes(f.disk, name, NULL) == NULL);
    check_int(warp_checkpoint_remove(&f.disk->disk, 512), ==, 0);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, half_made_ones_are_removed_unless_read_only)
{
    struct warp_checkpoint_summary found[2];
    char name[WARP_CHECKPOINT_NAME_BYTES];
    struct fixture f;
    uint32_t count, i;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "checkpoint-%016x.new", i);
        memory_disk_put(f.disk, name, NULL, i);
    }
    check_int(
        warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, true, found, 2, &count),
        ==, 0);
    check_u64(count, ==, 1);
    check(memory_disk_bytes(f.disk, name, NULL) != NULL);
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 2,
                                   &count),
              ==, 0);
    check_u64(count, ==, 1);
    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "checkpoint-%016x.new", i);
        check(memory_disk_bytes(f.disk, name, NULL) == NULL);
    }
    fixture_fini(&f);
}

/*
 * ---- what fails -----------------------------------------------------------------------
 */

static bool fixture_has(struct fixture *f, const char *suffix)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];

    snprintf(name, sizeof(name), "checkpoint-%016llx.%s",
             (unsigned long long)f->config.number, suffix);
    return memory_disk_bytes(f->disk, name, NULL) != NULL;
}

WARP_TEST(checkpoint, a_write_that_fails_anywhere_leaves_the_old_one_and_no_other)
{
    static const int errors[] = {EIO, ENOSPC, EACCES};
    static const int expected[] = {WARP_EIO, WARP_ENOSPC, WARP_EPERM};
    struct fixture f;
    uint64_t n = 0;
    uint32_t e;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    for (e = 0; e < 3; e++) {
        bool failed = true;

        for (n = 0; failed; n++) {
            int rc;

            f.config.number = 2;
            f.disk->fail_at = f.disk->operations + n;
            f.disk->fail_errno = errors[e];
            rc = fixture_write(&f);
            failed = f.disk->operations > f.disk->fail_at;
            f.disk->fail_at = UINT64_MAX;
            /* The unlink after success is not one of them: there is none. */
            check_int(rc, ==, failed ? expected[e] : 0);
            check(!fixture_has(&f, "new"));
            check(fixture_has(&f, "warp") == !failed);
            if (!failed) {
                check_int(warp_checkpoint_remove(&f.disk->disk, 2), ==, 0);
            }
            f.config.number = 1;
            fixture_check(&f);
        }
        check_u64(n, >=, 13);
    }
    fixture_fini(&f);
}

WARP_TEST(checkpoint, a_full_disk_is_told_and_left_as_it_was)
{
    struct fixture f;
    uint64_t space;
    int rc;

    fixture_small(&f);
    for (space = 0;; space += 4096) {
        f.disk->space_bytes = space;
        rc = fixture_write(&f);
        if (rc == 0) {
            break;
        }
        check_int(rc, ==, WARP_ENOSPC);
        check(!fixture_has(&f, "new") && !fixture_has(&f, "warp"));
    }
    check_u64(space, ==, f.summary.bytes);
    fixture_check(&f);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, a_writer_that_has_failed_repeats_its_error)
{
    struct warp_checkpoint_entry entry = {.place = BEGIN, .key_bytes = 1, .key = "k"};
    struct warp_checkpoint_writer *writer = NULL;
    struct fixture f;
    uint64_t operations;

    fixture_small(&f);
    check_int(warp_checkpoint_writer_create(&writer, &f.config), ==, 0);
    f.disk->fail_at = f.disk->operations;
    f.disk->fail_errno = EIO;
    check_int(fixture_put_all(&f, writer), ==, WARP_EIO);
    operations = f.disk->operations;
    check_int(warp_checkpoint_writer_put(writer, &entry), ==, WARP_EIO);
    check_int(warp_checkpoint_writer_begin_slot(writer, 999, 1), ==, WARP_EIO);
    check_int(warp_checkpoint_writer_put(writer, &entry), ==, WARP_EIO);
    check_int(warp_checkpoint_writer_seal(writer, END, 1, 2, NULL, 0, NULL, 0, NULL), ==,
              WARP_EIO);
    check_u64(f.disk->operations, ==, operations);
    warp_checkpoint_writer_destroy(&writer);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, a_writer_that_was_not_sealed_leaves_nothing)
{
    struct warp_checkpoint_writer *writer = NULL;
    struct fixture f;

    fixture_small(&f);
    check_int(warp_checkpoint_writer_create(&writer, &f.config), ==, 0);
    check_int(fixture_put_all(&f, writer), ==, 0);
    check(fixture_has(&f, "new"));
    warp_checkpoint_writer_destroy(&writer);
    check(!fixture_has(&f, "new") && !fixture_has(&f, "warp"));
    warp_checkpoint_writer_destroy(&writer);
    /* Over what a crash left, longer than what comes. */
    memory_disk_put(f.disk, "checkpoint-0000000000000001.new", NULL, 1000000);
    check_int(fixture_write(&f), ==, 0);
    fixture_check(&f);
    fixture_fini(&f);
}

WARP_TEST(checkpoint, memory_that_is_refused_anywhere_is_told)
{
    struct warp_checkpoint_summary found[2];
    struct fixture f;
    uint32_t i, count, damaged;
    uint64_t n;
    int rc;

    fixture_small(&f);
    for (i = 0; i < 3000; i++) {
        fixture_add(&f, 300, i, 200); /* more sections than rows at first */
    }
    for (n = 0;; n++) {
        warp_memory_fail_after(&f.memory, n);
        rc = fixture_write(&f);
        warp_memory_fail_after(&f.memory, UINT64_MAX);
        if (rc == 0) {
            break;
        }
        check_int(rc, ==, WARP_ENOMEM);
        check(!fixture_has(&f, "new") && !fixture_has(&f, "warp"));
        check_u64(warp_memory_bytes(&f.memory), ==, 0);
    }
    check_u64(n, >=, 5);
    fixture_check(&f);
    for (n = 0;; n++) {
        char message[200] = "";

        warp_memory_fail_after(&f.memory, n);
        rc = fixture_open(&f, 1, message, sizeof(message));
        warp_memory_fail_after(&f.memory, UINT64_MAX);
        if (rc == 0) {
            break;
        }
        check_int(rc, ==, WARP_ENOMEM);
        check(strstr(message, "no memory") != NULL);
    }
    check_u64(n, ==, 6);
    warp_memory_fail_after(&f.memory, 0);
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 2,
                                   &count),
              ==, WARP_ENOMEM);
    warp_memory_fail_after(&f.memory, UINT64_MAX);
    {
        struct warp_checkpoint *checkpoint = NULL;

        check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest,
                                       1, NULL, 0),
                  ==, 0);
        warp_memory_fail_after(&f.memory, 0);
        check_int(warp_checkpoint_read_section(checkpoint, 0, seen_visit, NULL, NULL), ==,
                  WARP_ENOMEM);
        warp_memory_fail_after(&f.memory, UINT64_MAX);
        fixture_read_sections(&f, checkpoint, &damaged);
        check_u64(damaged, ==, 0);
        warp_checkpoint_close(&checkpoint);
    }
    fixture_fini(&f);
}

WARP_TEST(checkpoint, a_read_that_fails_anywhere_says_so)
{
    struct warp_checkpoint *checkpoint = NULL;
    struct warp_checkpoint_summary found[2];
    struct fixture f;
    uint32_t count, damaged;
    bool failed = true;
    uint64_t n;
    int rc;

    fixture_small(&f);
    check_int(fixture_write(&f), ==, 0);
    f.disk->fail_errno = EIO;
    for (n = 0; failed; n++) {
        char message[200] = "";

        f.disk->fail_at = f.disk->operations + n;
        rc = fixture_open(&f, 1, message, sizeof(message));
        failed = f.disk->operations > f.disk->fail_at;
        check_int(rc, ==, failed ? WARP_EIO : 0);
        check((message[0] != 0) == failed);
    }
    check_u64(n, ==, 6);
    /* Listing, and out of handles: find cannot answer. A bad file: it can. */
    for (n = 0, failed = true; failed; n++) {
        count = 77;
        f.disk->fail_at = f.disk->operations + n;
        rc = warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 2,
                                  &count);
        failed = f.disk->operations > f.disk->fail_at;
        check_int(rc, ==, n == 0 ? WARP_EIO : 0);
        check_u64(count, ==, n == 0 ? 77 : 1);
        if (n > 0) {
            check((found[0].records == UINT64_MAX) == failed);
        }
    }
    f.disk->fail_at = UINT64_MAX;
    f.disk->handles_max = 0;
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 2,
                                   &count),
              ==, WARP_ESYSTEM);
    f.disk->handles_max = 10;
    memory_disk_put(f.disk, "checkpoint-0000000000000009.new", NULL, 1);
    f.disk->fail_at = f.disk->operations + 1;
    check_int(warp_checkpoint_find(&f.disk->disk, &f.memory, &f.manifest, false, found, 2,
                                   &count),
              ==, WARP_EIO);
    f.disk->fail_at = UINT64_MAX;

    check_int(warp_checkpoint_open(&checkpoint, &f.disk->disk, &f.memory, &f.manifest, 1,
                                   NULL, 0),
              ==, 0);
    f.disk->fail_at = f.disk->operations;
    check_int(warp_checkpoint_read_section(checkpoint, 1, seen_visit, NULL, NULL), ==,
              WARP_EIO);
    f.disk->fail_at = UINT64_MAX;
    fixture_read_sections(&f, checkpoint, &damaged);
    check_u64(damaged, ==, 0);
    warp_checkpoint_close(&checkpoint);
    f.disk->fail_at = f.disk->operations;
    check_int(warp_checkpoint_remove(&f.disk->disk, 1), ==, WARP_EIO);
    f.disk->fail_at = f.disk->operations + 1;
    check_int(warp_checkpoint_remove(&f.disk->disk, 1), ==, WARP_EIO);
    f.disk->fail_at = UINT64_MAX;
    fixture_fini(&f);
}

/*
 * ---- crashes --------------------------------------------------------------------------
 */

/* What is under its name after the crash is whole; what was sealed is there. */
static void crash_once(struct fixture *f, struct sim_disk *sim, uint64_t seed,
                       uint64_t after, enum sim_where where, enum sim_end how, bool *ended)
{
    static const struct sim_disk_options options = {
        .direct = true,
        .block_bytes = 512,
        .latency_ns_max = 1000,
        .stale_percent = 30,
        .keep_percent = 50,
        .tear_percent = 30,
        .capacity_bytes = 1 << 22,
        .wall_ms = 1000,
    };
    struct warp_checkpoint_summary found[3];
    uint32_t count = 0, i;
    bool sealed;

    sim_disk_reset(sim, seed, &options);
    f->config.disk = sim_disk_face(sim);
    f->config.number = 1;
    check_int(fixture_write(f), ==, 0);
    f->config.number = 2;
    sim_disk_end_at(sim, after, where, how);
    sealed = fixture_write(f) == 0;
    *ended = sim_disk_ended(sim);
    if (!*ended) {
        sim_disk_end_now(sim, SIM_POWER_CUT);
    }
    sim_disk_restart(sim);
    check_int(warp_checkpoint_find(f->config.disk, &f->memory, &f->manifest, false, found,
                                   3, &count),
              ==, 0);
    check_u64(count, >=, sealed ? 2 : 1);
    for (i = 0; i < count; i++) {
        check_u64(found[i].records, ==, f->item_count);
        f->config.number = found[i].number;
        check(fixture_is_sound(f));
    }
    check_u64(found[count - 1].number, ==, 1);
    check(sim_disk_misuse(sim) == NULL);
    check_u64(sim_disk_open_files(sim), ==, 0);
}

WARP_TEST(checkpoint, a_crash_anywhere_leaves_it_whole_or_not_at_all)
{
    struct sim_disk *sim = NULL;
    struct fixture f;
    uint64_t after, seed;
    bool ended = true;
    uint32_t where;

    fixture_small(&f);
    check_int(sim_disk_create(&sim), ==, 0);
    for (after = 0; ended; after++) {
        for (where = 0; where < 3; where++) {
            for (seed = 1; seed <= 6; seed++) {
                crash_once(&f, sim, seed + after * 100 + where * 10, after,
                           (enum sim_where)where, seed % 6 == 0 ? SIM_KILL : SIM_POWER_CUT,
                           &ended);
            }
        }
    }
    check_u64(after, >, 12);
    sim_disk_destroy(&sim);
    fixture_fini(&f);
}
