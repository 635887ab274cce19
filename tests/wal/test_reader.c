/*
 * Records are read back from wherever they lie, or the answer says why not; never a wrong value.
 */
#include "wal/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/counter.h"
#include "base/random.h"
#include "base/thread.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"
#include "wal/archive.h"
#include "wal/frame.h"
#include "wal/place.h"

#define S     4096u
#define ITEMS 256u

/* A record that was written, and what a read of it must give. */
struct item {
    uint64_t place;
    uint64_t sequence; /* of one in an archive; 0: it is the place */
    uint8_t *key, *value;
    uint32_t key_bytes, value_bytes;
    uint64_t expires_at_ms;
    bool in_batch;
};

struct reader_fixture {
    struct log_fixture log;
    struct warp_clock_fake clock;
    struct warp_env env;
    struct warp_memory memory; /* the reader's alone */
    struct warp_reader_config config;
    struct warp_reader *reader;
    struct item items[ITEMS];
    uint32_t item_count;
    void (*at_wait)(struct reader_fixture *f);
    uint32_t waits;
    struct warp_read *extra; /* for at_wait */
};

static void fixture_wait(void *context)
{
    struct reader_fixture *f = context;

    if (++f->waits > 100000) {
        fprintf(stderr, "a wait that does not end\n");
        abort();
    }
    if (f->at_wait != NULL) {
        f->at_wait(f);
    }
}

static void fixture_init(struct reader_fixture *f, uint32_t segment_bytes)
{
    memset(f, 0, sizeof(*f));
    log_init(&f->log, segment_bytes);
    f->log.disk->strict = true;
    check_int(warp_memory_init(&f->memory, NULL), ==, 0);
    warp_clock_fake_init(&f->clock, 1000, 1700000000000u);
    f->env.disk = &f->log.disk->disk;
    f->env.clock = &f->clock.clock;
    f->env.wait = fixture_wait;
    f->env.context = f;
    f->config.env = &f->env;
    f->config.memory = &f->memory;
    f->config.manifest = &f->log.manifest;
    f->config.handles_max = 16;
    f->config.queue_count = 2;
    f->config.queue_depth = 64;
    f->config.direct = true;
}

static void fixture_open(struct reader_fixture *f)
{
    check_int(warp_reader_create(&f->reader, &f->config), ==, 0);
}

static void fixture_close(struct reader_fixture *f)
{
    warp_reader_destroy(&f->reader);
    check(f->reader == NULL);
    check_u64(f->log.disk->handles, ==, 0);
    check_u64(warp_memory_bytes(&f->memory), ==, 0);
}

static void fixture_fini(struct reader_fixture *f)
{
    uint32_t i;

    for (i = 0; i < f->item_count; i++) {
        free(f->items[i].key);
        free(f->items[i].value);
    }
    warp_memory_fini(&f->memory);
    log_fini(&f->log);
}

static struct item *item_make(struct reader_fixture *f, uint32_t key_bytes,
                              uint32_t value_bytes, uint64_t expires_at_ms)
{
    struct item *item = &f->items[f->item_count];
    uint32_t number = f->item_count++;
    uint32_t i;

    if (f->item_count > ITEMS) {
        abort();
    }
    item->key = malloc(key_bytes);
    item->value = malloc(value_bytes + 1);
    item->key_bytes = key_bytes;
    item->value_bytes = value_bytes;
    item->expires_at_ms = expires_at_ms;
    for (i = 0; i < key_bytes; i++) {
        item->key[i] = (uint8_t)(number * 13 + i * 5 + 3);
    }
    for (i = 0; i < value_bytes; i++) {
        item->value[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8) + 1);
    }
    return item;
}

static uint32_t item_encode(const struct item *item, uint8_t *to)
{
    struct warp_entry entry = {0};
    uint32_t at;

    entry.kind = WARP_ENTRY_PUT;
    entry.flags = (uint8_t)((item->expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0u) |
                            (item->in_batch ? WARP_ENTRY_HAS_CHECKSUM : 0u));
    entry.key = item->key;
    entry.key_bytes = item->key_bytes;
    entry.value = item->value;
    entry.value_bytes = item->value_bytes;
    entry.expires_at_ms = item->expires_at_ms;
    at = (uint32_t)warp_entry_encode_header(to, &entry);
    memcpy(to + at, item->key, item->key_bytes);
    memcpy(to + at + item->key_bytes, item->value, item->value_bytes);
    return at + item->key_bytes + item->value_bytes;
}

/* A record alone in its frame, at log.position. */
static struct item *item_record(struct reader_fixture *f, uint32_t key_bytes,
                                uint32_t value_bytes, uint64_t expires_at_ms)
{
    struct item *item = item_make(f, key_bytes, value_bytes, expires_at_ms);
    uint8_t *body = malloc(WARP_ENTRY_HEADER_BYTES_MAX + (size_t)key_bytes + value_bytes);
    uint32_t bytes = item_encode(item, body);

    item->place =
        log_frame(&f->log, WARP_FRAME_RECORD, body, bytes) + WARP_FRAME_HEADER_BYTES;
    free(body);
    return item;
}

/* So many records in one frame. */
static void item_batch(struct reader_fixture *f, uint32_t count, uint32_t value_bytes_step)
{
    uint8_t *body = malloc(64 + (size_t)count * (64 + (size_t)count * value_bytes_step));
    uint32_t at = WARP_FRAME_BATCH_HEADER_BYTES;
    uint32_t first = f->item_count;
    uint64_t position;
    uint32_t i;

    warp_store_u32le(body, count);
    warp_store_u32le(body + 4, 0);
    for (i = 0; i < count; i++) {
        struct item *item =
            item_make(f, 1 + i % 20, i * value_bytes_step, i % 3 == 0 ? 77777 + i : 0);

        item->in_batch = true;
        item->place = at;
        at += item_encode(item, body + at);
    }
    position = log_frame(&f->log, WARP_FRAME_BATCH, body, at);
    for (i = 0; i < count; i++) {
        f->items[first + i].place += position + WARP_FRAME_HEADER_BYTES;
    }
    free(body);
}

static void read_fill(struct warp_read *read, const struct item *item)
{
    memset(read, 0xa5, sizeof(*read)); /* no field but the caller's needs preparation */
    read->place = item->place;
    read->key.data = item->key;
    read->key.bytes = item->key_bytes;
    read->value_bytes = item->value_bytes;
    read->in_batch = item->in_batch;
    read->has_expiry = item->expires_at_ms != 0;
    read->done = NULL;
}

static bool read_is_right(const struct warp_read *read, const struct item *item)
{
    return check_int(read->rc, ==, 0) && check(read->value != NULL) &&
           check_bytes(read->value, read->value_bytes, item->value, item->value_bytes) &&
           check_u64(read->sequence, ==,
                     item->sequence != 0 ? item->sequence : item->place) &&
           check_u64(read->expires_at_ms, ==, item->expires_at_ms);
}

static int read_one(struct reader_fixture *f, const struct item *item)
{
    struct warp_read read;

    read_fill(&read, item);
    warp_reader_run(f->reader, &read, 1);
    if (read.rc == 0) {
        read_is_right(&read, item);
    } else {
        check(read.value == NULL);
    }
    warp_read_release(f->reader, &read);
    warp_read_release(f->reader, &read); /* once more is nothing to do */
    return read.rc;
}

/* All items, one by one and side by side. */
static void read_all(struct reader_fixture *f)
{
    struct warp_read *reads = malloc(f->item_count * sizeof(*reads));
    uint32_t i;

    for (i = 0; i < f->item_count; i++) {
        check_int(read_one(f, &f->items[i]), ==, 0);
        read_fill(&reads[i], &f->items[i]);
    }
    warp_reader_run(f->reader, reads, f->item_count);
    for (i = 0; i < f->item_count; i++) {
        read_is_right(&reads[i], &f->items[i]);
        warp_read_release(f->reader, &reads[i]);
    }
    check_u64(warp_counter_read(&warp_reader_counters(f->reader)->in_flight), ==, 0);
    free(reads);
}

/* Once past the page cache with blocks of 512 and of 4096, once through it. */
static void read_all_ways(struct reader_fixture *f)
{
    uint32_t way, queues;

    for (way = 0; way < 3; way++) {
        for (queues = 0; queues < 2; queues++) {
            f->log.disk->block_bytes = way == 0 ? 512 : 4096;
            f->log.disk->buffered = way == 2;
            f->config.direct = way < 2;
            f->config.queue_count = queues * 2;
            fixture_open(f);
            read_all(f);
            fixture_close(f);
        }
    }
    f->config.direct = true;
    f->log.disk->buffered = false;
    f->config.queue_count = 2;
    /* A file system that has no direct I/O, although it was asked for. */
    f->log.disk->buffered = true;
    fixture_open(f);
    read_all(f);
    fixture_close(f);
    f->log.disk->buffered = false;
}

/* ---- what can be read ------------------------------------------------------------------ */

WARP_TEST(reader, a_record_is_read_wherever_it_lies_in_its_segment)
{
    struct reader_fixture f;
    uint32_t offset;

    fixture_init(&f, S);
    /* Begin, header, key and value each straddle the boundary at some of these. */
    for (offset = 0; offset < 240; offset += 8) {
        f.log.position = (2 * (uint64_t)offset / 8 + 1) * S - 200 + offset;
        item_record(&f, 7, 100 + offset % 5, offset % 16 == 0 ? 99 + offset : 0);
    }
    f.log.position = warp_align_up(f.log.position, S); /* first in a segment */
    item_record(&f, 3, 5, 0);
    f.log.position =
        warp_align_up(f.log.position, S) - 80; /* last in one, to its last byte */
    item_record(&f, 8, 32, 0);
    check_u64(f.log.position % S, ==, 0);
    log_grow(&f.log, f.log.position + S);
    read_all_ways(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, empty_values_long_keys_and_records_over_many_segments_are_read)
{
    struct reader_fixture f;

    fixture_init(&f, S);
    f.log.position = 64;
    item_record(&f, 1, 0, 0);
    item_record(&f, 1, 0, 5);
    item_record(&f, 65536, 0, 0);
    item_record(&f, 65536, 1, 123456789);
    item_record(&f, 65536, 100000, 0);
    item_record(&f, 20, 4096, 0);
    item_record(&f, 20, 12288, UINT64_MAX);
    item_record(&f, 20, 300000, 0);
    log_grow(&f.log, f.log.position + S);
    read_all_ways(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, entries_of_a_batch_are_read_without_it)
{
    struct reader_fixture f;

    fixture_init(&f, S);
    f.log.position = 24;
    item_batch(&f, 60, 5);
    item_batch(&f, 1, 0);
    item_record(&f, 5, 5, 0);
    item_batch(&f, 40, 300);
    log_grow(&f.log, f.log.position + S);
    read_all_ways(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, the_greatest_record_is_read_and_its_memory_given_back)
{
    struct reader_fixture f;
    uint64_t bytes;

    fixture_init(&f, 1u << 20);
    f.log.position = (1u << 20) - 16;
    item_record(&f, WARP_KEY_BYTES_MAX, WARP_VALUE_BYTES_MAX, 9);
    log_grow(&f.log, f.log.position + (1u << 20));
    fixture_open(&f);
    bytes = warp_memory_bytes(&f.memory);
    check_int(read_one(&f, &f.items[0]), ==, 0);
    check_u64(warp_memory_bytes(&f.memory), ==, bytes);
    check_u64(warp_counter_read(&warp_reader_counters(f.reader)->long_reads), ==, 1);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, an_ordinary_read_is_one_device_read_and_no_allocation)
{
    struct reader_fixture f;
    const struct warp_reader_counters *counters;
    uint64_t operations, calls;
    uint32_t i;

    fixture_init(&f, 65536);
    f.log.position = 4000;
    item_record(&f, 16, 1024, 0); /* two blocks, one read */
    fixture_open(&f);
    counters = warp_reader_counters(f.reader);
    check_int(read_one(&f, &f.items[0]), ==, 0);
    operations = f.log.disk->operations;
    calls = warp_memory_calls(&f.memory);
    for (i = 0; i < 10; i++) {
        check_int(read_one(&f, &f.items[0]), ==, 0);
    }
    check_u64(f.log.disk->operations - operations, ==, 10);
    check_u64(warp_memory_calls(&f.memory), ==, calls);
    check_u64(warp_counter_read(&counters->reads), ==, 11);
    check_u64(warp_counter_read(&counters->bytes), ==, 11 * 1024);
    check_u64(warp_counter_read(&counters->device_bytes), ==, 11 * 8192);
    check_u64(warp_counter_read(&counters->long_reads), ==, 0);
    check_u64(warp_counter_read(&counters->opens), ==, 1);
    check_u64(warp_counter_read(&counters->open_files), ==, 1);
    check_u64(warp_histogram_count(warp_reader_latency(f.reader)), ==, 11);
    check_int(warp_reader_damage(f.reader, NULL, 0), ==, 0);
    fixture_close(&f);
    fixture_fini(&f);
}

/* ---- what must not be a value ---------------------------------------------------------- */

WARP_TEST(reader, every_flipped_bit_of_a_record_is_damage)
{
    struct reader_fixture f;
    uint32_t round, queues;

    fixture_init(&f, S);
    f.log.position = S - 40;
    item_record(&f, 9, 30, 1234);
    item_batch(&f, 3, 11);
    log_grow(&f.log, f.log.position + S);
    for (queues = 0; queues < 2; queues++) {
        f.config.queue_count = queues;
        fixture_open(&f);
        for (round = 0; round < 4; round++) {
            const struct item *item = &f.items[round];
            uint64_t from = item->place - (item->in_batch ? 0 : WARP_FRAME_HEADER_BYTES);
            uint64_t to = item->place + 8 + (item->in_batch ? 4 : 0) +
                          (item->expires_at_ms != 0 ? 8 : 0) + item->key_bytes +
                          item->value_bytes;
            char text[256];
            uint64_t bit;

            for (bit = from * 8; bit < to * 8; bit++) {
                uint8_t byte;

                log_peek(&f.log, bit / 8, &byte, 1);
                byte ^= (uint8_t)(1u << bit % 8);
                log_poke(&f.log, bit / 8, &byte, 1);
                check_int(read_one(&f, item), ==, WARP_EDAMAGED);
                byte ^= (uint8_t)(1u << bit % 8);
                log_poke(&f.log, bit / 8, &byte, 1);
            }
            check_int(read_one(&f, item), ==, 0);
            check_int(warp_reader_damage(f.reader, text, sizeof(text)), ==, WARP_EDAMAGED);
            check(strncmp(text, "log-000000000000000", 19) == 0);
            check(strstr(text, ", offset ") != NULL);
        }
        check_u64(warp_counter_read(&warp_reader_counters(f.reader)->damaged), >, 1000);
        fixture_close(&f);
    }
    fixture_fini(&f);
}

WARP_TEST(reader, what_is_not_the_record_is_damage)
{
    struct reader_fixture f;
    struct item wrong;
    uint8_t key[16];

    fixture_init(&f, 65536);
    f.log.position = 320;
    item_record(&f, 10, 40, 0);
    item_record(&f, 10, 40, 7);
    item_batch(&f, 4, 10);
    log_close_frame(&f.log);
    fixture_open(&f);

    memcpy(key, f.items[0].key, 10);
    wrong = f.items[0];
    wrong.key = key;
    key[9] ^= 1;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[0];
    wrong.key_bytes--;
    wrong.value_bytes++; /* as long, cut elsewhere */
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[0];
    wrong.value_bytes++;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[0];
    wrong.value_bytes--;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[0];
    wrong.in_batch = true;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[0];
    wrong.expires_at_ms = 1;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[1];
    wrong.expires_at_ms = 0;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[3];
    wrong.in_batch = false;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[0];
    wrong.place += 8;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong.place = f.log.position - 8; /* a CLOSE frame is no record */
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    read_all(&f);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_delete_is_no_value)
{
    struct reader_fixture f;
    struct warp_entry entry = {0};
    struct item *item;
    uint8_t body[64];
    uint32_t bytes;

    fixture_init(&f, 65536);
    f.log.position = 64;
    item = item_make(&f, 4, 0, 0);
    entry.kind = WARP_ENTRY_DELETE;
    entry.key = item->key;
    entry.key_bytes = 4;
    bytes = (uint32_t)warp_entry_encode_header(body, &entry);
    memcpy(body + bytes, item->key, 4);
    item->place = log_frame(&f.log, WARP_FRAME_RECORD, body, bytes + 4) + 32;
    fixture_open(&f);
    check_int(read_one(&f, item), ==, WARP_EDAMAGED);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_frame_of_another_place_or_database_is_damage)
{
    struct reader_fixture f;
    struct item moved;
    uint8_t bytes[128];

    fixture_init(&f, 65536);
    f.log.position = 64;
    item_record(&f, 10, 40, 0);
    log_peek(&f.log, 64, bytes, 96);
    log_poke(&f.log, 1024, bytes, 96); /* where the disk should not have put it */
    moved = f.items[0];
    moved.place = 1024 + 32;
    fixture_open(&f);
    check_int(read_one(&f, &moved), ==, WARP_EDAMAGED);
    check_int(read_one(&f, &f.items[0]), ==, 0);
    fixture_close(&f);
    f.log.manifest.id[3] ^= 1;
    fixture_open(&f);
    check_int(read_one(&f, &f.items[0]), ==, WARP_EDAMAGED);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_file_that_ends_too_early_is_damage_and_one_that_is_missing_is_not)
{
    struct reader_fixture f;
    char name[WARP_SEGMENT_NAME_BYTES], text[256];
    uint8_t *whole;
    uint64_t bytes;

    fixture_init(&f, S);
    f.log.position = S - 48;
    item_record(&f, 10, 100, 0); /* in segments 0 and 1 */
    warp_segment_name(1, name);
    whole = malloc(4096 + S);
    memcpy(whole, memory_disk_bytes(f.log.disk, name, &bytes), 4096 + S);
    memory_disk_put(f.log.disk, name, whole, 4096 + 20);
    fixture_open(&f);
    check_int(read_one(&f, &f.items[0]), ==, WARP_EDAMAGED);
    check_int(warp_reader_damage(f.reader, text, sizeof(text)), ==, WARP_EDAMAGED);
    check(strstr(text, "log-0000000000000001.warp, offset 4116: the file ends") != NULL);
    fixture_close(&f);

    check(memory_disk_remove(f.log.disk, name));
    fixture_open(&f);
    check_int(read_one(&f, &f.items[0]), ==, WARP_AGAIN);
    check_u64(warp_counter_read(&warp_reader_counters(f.reader)->stale), ==, 1);
    memory_disk_put(f.log.disk, name, whole, 4096 + S);
    check_int(read_one(&f, &f.items[0]), ==, 0);
    fixture_close(&f);
    free(whole);
    fixture_fini(&f);
}

/* ---- files ----------------------------------------------------------------------------- */

static uint32_t done_count;

static void count_done(struct warp_read *read)
{
    (void)read;
    done_count++;
}

WARP_TEST(reader, few_open_files_serve_many)
{
    struct warp_read reads[64];
    struct reader_fixture f;
    uint32_t i, queues;

    fixture_init(&f, S);
    for (i = 0; i < 64; i++) {
        f.log.position = (uint64_t)i * S + (i % 3 == 0 ? S - 40 : 80);
        item_record(&f, 8, 50, 0);
    }
    log_grow(&f.log, 66 * S);
    for (queues = 0; queues < 2; queues++) {
        f.config.handles_max = 8;
        f.config.queue_count = queues;
        fixture_open(&f);
        read_all(&f); /* 64 of 64 files in flight at once, were there room */
        check_u64(warp_counter_read(&warp_reader_counters(f.reader)->open_files), ==, 8);
        check_u64(f.log.disk->handles, ==, 8);

        /* The same for what is posted: it waits for a place among the open files. */
        done_count = 0;
        for (i = 0; i < 64; i++) {
            read_fill(&reads[i], &f.items[i]);
            reads[i].done = count_done;
            warp_reader_post(f.reader, &reads[i]);
        }
        while (done_count < 64) {
            check(warp_reader_turn(f.reader));
        }
        for (i = 0; i < 64; i++) {
            read_is_right(&reads[i], &f.items[i]);
            warp_read_release(f.reader, &reads[i]);
        }
        check_u64(f.log.disk->handles, ==, 8);
        fixture_close(&f);
    }
    fixture_fini(&f);
}

WARP_TEST(reader, without_handles_files_that_nobody_reads_are_closed)
{
    struct reader_fixture f;
    char text[256];
    uint32_t i;

    fixture_init(&f, S);
    for (i = 0; i < 24; i++) {
        f.log.position = (uint64_t)i * S + 64;
        item_record(&f, 8, 50, 0);
    }
    fixture_open(&f);
    f.log.disk->handles_max = 3;
    for (i = 0; i < 24; i++) {
        check_int(read_one(&f, &f.items[i]), ==, 0);
        check_u64(f.log.disk->handles, <=, 3);
    }
    f.log.disk->handles_max = 0;
    check_int(read_one(&f, &f.items[0]), ==, WARP_EIO);
    check_int(warp_reader_damage(f.reader, text, sizeof(text)), ==, WARP_EIO);
    check(strstr(text, "log-0000000000000000.warp, offset 0: the file cannot be opened") !=
          NULL);
    f.log.disk->handles_max = MEMORY_DISK_HANDLES;
    read_all(&f);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_forgotten_file_is_closed_and_not_opened_again)
{
    struct reader_fixture f;
    uint32_t i;

    fixture_init(&f, S);
    for (i = 0; i < 3; i++) {
        f.log.position = (uint64_t)i * S + 64;
        item_record(&f, 8, 50, 0);
    }
    fixture_open(&f);
    read_all(&f);
    check_u64(f.log.disk->handles, ==, 3);
    check(warp_reader_forget_segment(f.reader, 1));
    check_u64(f.log.disk->handles, ==, 2);
    check(warp_reader_forget_segment(f.reader, 1));
    check(warp_reader_forget_segment(f.reader, 7)); /* one it never had */
    check_int(read_one(&f, &f.items[0]), ==, 0);
    check_int(read_one(&f, &f.items[1]), ==, WARP_AGAIN); /* although it is still there */
    check_int(read_one(&f, &f.items[2]), ==, 0);
    check_u64(f.log.disk->handles, ==, 2);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, forget_waits_for_the_read_in_flight)
{
    struct reader_fixture f;
    struct warp_read first, second;
    uint8_t byte = 0;

    fixture_init(&f, S);
    f.log.position = 64;
    item_record(&f, 8, 50, 0);
    fixture_open(&f);
    read_fill(&first, &f.items[0]);
    first.done = count_done;
    read_fill(&second, &f.items[0]);
    second.done = count_done;
    done_count = 0;

    f.log.disk->hold = true;
    warp_reader_post(f.reader, &first);
    check(warp_reader_turn(f.reader));
    check(!warp_reader_turn(f.reader));
    check_u64(warp_counter_read(&warp_reader_counters(f.reader)->in_flight), ==, 1);
    check(!warp_reader_forget_segment(f.reader, 0));
    check(!warp_reader_forget_segment(f.reader, 0));
    warp_reader_post(f.reader, &second);
    check(warp_reader_turn(f.reader));
    check_u64(done_count, ==, 1); /* the one that began too late */
    check_int(second.rc, ==, WARP_AGAIN);
    f.log.disk->hold = false;
    check(warp_reader_turn(f.reader));
    check_u64(done_count, ==, 2);
    read_is_right(&first, &f.items[0]);
    check_u64(f.log.disk->handles, ==, 0);
    check(warp_reader_forget_segment(f.reader, 0));
    warp_read_release(f.reader, &first);
    fixture_close(&f);

    /* What does not fit in a file that was forgotten meanwhile is no damage. */
    fixture_open(&f);
    f.log.disk->hold = true;
    warp_reader_post(f.reader, &first);
    check(warp_reader_turn(f.reader));
    check(!warp_reader_forget_segment(f.reader, 0));
    log_poke(&f.log, 100, &byte, 1);
    f.log.disk->hold = false;
    check(warp_reader_turn(f.reader));
    check_int(first.rc, ==, WARP_AGAIN);
    check(warp_reader_forget_segment(f.reader, 0));
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_file_that_shrinks_or_is_used_again_once_forgotten_is_no_damage)
{
    char name[WARP_SEGMENT_NAME_BYTES];
    uint32_t way;

    for (way = 0; way < 2; way++) {
        struct reader_fixture f;
        struct warp_read read;
        uint8_t byte = 0;

        fixture_init(&f, S);
        f.log.position = S - 48;
        item_record(&f, 10, 100, 0); /* in segments 0 and 1 */
        fixture_open(&f);
        read_fill(&read, &f.items[0]);
        read.done = count_done;
        done_count = 0;
        f.log.disk->hold = true;
        warp_reader_post(f.reader, &read);
        check(warp_reader_turn(f.reader));
        check(!warp_reader_forget_segment(f.reader, 0));
        if (way == 0) {
            warp_segment_name(0, name);
            memory_disk_put(f.log.disk, name, NULL, 4096 + 100);
        } else {
            /* The first piece is wrong, and only the second, of a file that stays, tells. */
            log_poke(&f.log, S - 16, &byte, 1);
        }
        f.log.disk->hold = false;
        while (done_count == 0) {
            check(warp_reader_turn(f.reader));
        }
        check_int(read.rc, ==, WARP_AGAIN);
        check_u64(warp_counter_read(&warp_reader_counters(f.reader)->damaged), ==, 0);
        fixture_close(&f);
        fixture_fini(&f);
    }
}

/* A disk on which somebody forgets a file while it is being opened. */
static struct warp_disk_ops forgetful_ops;
static const struct warp_disk *forgetful_below;
static struct warp_reader *forgetful_reader;

static int32_t forgetful_open(void *context, const char *name, uint32_t flags)
{
    int32_t file = forgetful_below->ops->open(context, name, flags);

    if (forgetful_reader != NULL) {
        check(warp_reader_forget_segment(forgetful_reader, 0));
        forgetful_reader = NULL;
    }
    return file;
}

WARP_TEST(reader, a_file_forgotten_while_it_is_opened_is_not_read)
{
    struct reader_fixture f;
    struct warp_disk disk;
    uint64_t operations;

    fixture_init(&f, S);
    f.log.position = 64;
    item_record(&f, 10, 100, 0);
    forgetful_below = &f.log.disk->disk;
    forgetful_ops = *forgetful_below->ops;
    forgetful_ops.open = forgetful_open;
    disk.ops = &forgetful_ops;
    disk.context = forgetful_below->context;
    f.env.disk = &disk;
    fixture_open(&f);
    forgetful_reader = f.reader;
    operations = f.log.disk->operations;
    check_int(read_one(&f, &f.items[0]), ==, WARP_AGAIN);
    check_u64(f.log.disk->operations - operations, ==, 1); /* the open alone */
    check_u64(f.log.disk->handles, ==, 0);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_file_that_is_read_often_stays_open)
{
    struct reader_fixture f;
    uint64_t opens = 0;
    uint32_t i;

    fixture_init(&f, S);
    for (i = 0; i < 64; i++) {
        f.log.position = (uint64_t)i * S + 64;
        item_record(&f, 8, 50, 0);
    }
    f.config.handles_max = 8;
    fixture_open(&f);
    check_int(read_one(&f, &f.items[0]), ==, 0);
    for (i = 1; i < 64; i++) {
        opens = warp_counter_read(&warp_reader_counters(f.reader)->opens);
        check_int(read_one(&f, &f.items[i]), ==, 0);
        check_u64(warp_counter_read(&warp_reader_counters(f.reader)->opens), ==, opens + 1);
        check_int(read_one(&f, &f.items[0]), ==, 0);
    }
    /* 63 others came and went: first in, first out would have closed it nine times. */
    check_u64(warp_counter_read(&warp_reader_counters(f.reader)->opens), <=, 66);
    fixture_close(&f);
    fixture_fini(&f);
}

/* A record over two segments holds one of them at a time, and the first may go meanwhile. */
WARP_TEST(reader, a_piece_that_was_read_outlives_its_file)
{
    struct reader_fixture f;
    struct warp_read read;

    fixture_init(&f, S);
    f.log.position = S - 48;
    item_record(&f, 10, 100, 0);
    fixture_open(&f);
    read_fill(&read, &f.items[0]);
    read.done = count_done;
    done_count = 0;
    warp_reader_post(f.reader, &read);
    check(warp_reader_turn(f.reader)); /* the first piece */
    check_u64(done_count, ==, 0);
    check(warp_reader_forget_segment(f.reader, 0));
    check(memory_disk_remove(f.log.disk, "log-0000000000000000.warp"));
    while (done_count == 0) {
        check(warp_reader_turn(f.reader));
    }
    read_is_right(&read, &f.items[0]);
    warp_read_release(f.reader, &read);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, what_is_forgotten_is_remembered_until_it_is_gone)
{
    struct reader_fixture f;
    char name[WARP_SEGMENT_NAME_BYTES];
    uint32_t i;

    fixture_init(&f, S);
    log_grow(&f.log, (WARP_READER_FORGOTTEN_MAX + 8) * (uint64_t)S);
    f.log.position = (WARP_READER_FORGOTTEN_MAX + 1) * (uint64_t)S + 64;
    item_record(&f, 8, 50, 0);
    fixture_open(&f);
    for (i = 0; i < WARP_READER_FORGOTTEN_MAX; i++) {
        check(warp_reader_forget_segment(f.reader, i));
    }
    /* The caller has removed none of them: no more. */
    check(!warp_reader_forget_segment(f.reader, WARP_READER_FORGOTTEN_MAX + 1));
    check_int(read_one(&f, &f.items[0]), ==, 0);
    check(warp_reader_forget_segment(f.reader, 5));
    warp_segment_name(5, name);
    check(memory_disk_remove(f.log.disk, name));
    check(warp_reader_forget_segment(f.reader, WARP_READER_FORGOTTEN_MAX + 1));
    check_int(read_one(&f, &f.items[0]), ==, WARP_AGAIN);
    check(!warp_reader_forget_segment(f.reader, WARP_READER_FORGOTTEN_MAX + 2));
    fixture_close(&f);
    fixture_fini(&f);
}

/* ---- failing underneath ---------------------------------------------------------------- */

static void fixture_some(struct reader_fixture *f)
{
    fixture_init(f, S);
    f->log.position = 64;
    item_record(f, 8, 50, 0);
    item_record(f, 8, 9000, 3); /* over three segments */
    item_record(f, 8, 100, 0);
    item_batch(f, 3, 100);
    log_grow(&f->log, f->log.position + S);
}

WARP_TEST(reader, a_disk_that_fails_once_gives_eio_and_nothing_else)
{
    uint32_t ways, count;

    for (ways = 0; ways < 4; ways++) {
        uint32_t errors = 0;
        uint64_t n;

        for (n = 0;; n++) {
            struct warp_read reads[ITEMS];
            struct reader_fixture f;
            bool failed;
            uint32_t i;
            int rc;

            fixture_some(&f);
            f.config.queue_count = ways / 2;
            count = ways % 2 == 0 ? 1 : f.item_count;
            f.log.disk->fail_at = f.log.disk->operations + n;
            f.log.disk->fail_errno = EIO;
            rc = warp_reader_create(&f.reader, &f.config);
            if (rc < 0) {
                check_int(rc, ==, WARP_EIO);
                check(f.reader == NULL);
                check_u64(warp_memory_bytes(&f.memory), ==, 0);
                fixture_fini(&f);
                continue;
            }
            for (i = 0; i < f.item_count; i++) {
                read_fill(&reads[i], &f.items[i]);
            }
            for (i = 0; i < f.item_count; i += count) {
                warp_reader_run(f.reader, &reads[i], count);
            }
            failed = f.log.disk->operations > f.log.disk->fail_at;
            f.log.disk->fail_at = UINT64_MAX;
            for (i = 0; i < f.item_count; i++) {
                if (reads[i].rc != 0) {
                    check_int(reads[i].rc, ==, WARP_EIO);
                    check_int(warp_reader_damage(f.reader, NULL, 0), ==, WARP_EIO);
                    errors++;
                } else {
                    read_is_right(&reads[i], &f.items[i]);
                }
                warp_read_release(f.reader, &reads[i]);
            }
            read_all(&f);
            fixture_close(&f);
            fixture_fini(&f);
            if (!failed) {
                break;
            }
        }
        check_u64(n, >, 8);
        check_u64(errors, >, 8);
    }
}

WARP_TEST(reader, without_memory_a_read_says_so_and_can_be_made_again)
{
    uint32_t ways, count;

    for (ways = 0; ways < 4; ways++) {
        uint32_t refused = 0;
        uint64_t n;

        for (n = 0; n < 40; n++) {
            struct warp_read reads[ITEMS];
            struct reader_fixture f;
            uint32_t i;
            int rc;

            fixture_some(&f);
            f.config.queue_count = ways / 2;
            count = ways % 2 == 0 ? 1 : f.item_count;
            warp_memory_fail_after(&f.memory, n);
            rc = warp_reader_create(&f.reader, &f.config);
            if (rc < 0) {
                check_int(rc, ==, WARP_ENOMEM);
                check_u64(warp_memory_bytes(&f.memory), ==, 0);
                fixture_fini(&f);
                refused++;
                continue;
            }
            for (i = 0; i < f.item_count; i++) {
                read_fill(&reads[i], &f.items[i]);
            }
            for (i = 0; i < f.item_count; i += count) {
                warp_reader_run(f.reader, &reads[i], count);
            }
            warp_memory_fail_after(&f.memory, UINT64_MAX);
            for (i = 0; i < f.item_count; i++) {
                if (reads[i].rc != 0) {
                    check_int(reads[i].rc, ==, WARP_ENOMEM);
                    refused++;
                } else {
                    read_is_right(&reads[i], &f.items[i]);
                }
                warp_read_release(f.reader, &reads[i]);
            }
            read_all(&f);
            fixture_close(&f);
            fixture_fini(&f);
        }
        check_u64(refused, >, 3);
    }
}

/* ---- archives -------------------------------------------------------------------------- */

static void item_placed(void *context, void *cookie, uint64_t place)
{
    struct item *item = cookie;

    (void)context;
    item->place = place;
}

/* Archive number `number` of the items from `first` on. */
static void item_archive(struct reader_fixture *f, uint32_t number, uint32_t first,
                         int level, uint32_t dictionary_bytes)
{
    struct warp_archive_config config = {0};
    struct warp_archive_writer *writer = NULL;
    struct warp_archive_totals totals;
    uint32_t i;

    config.disk = &f->log.disk->disk;
    config.memory = &f->log.memory;
    config.manifest = &f->log.manifest;
    config.number = number;
    config.block_bytes = 4096;
    config.level = level;
    config.dictionary_bytes = dictionary_bytes;
    config.buffer_bytes = 65536;
    config.direct = true;
    check_int(warp_archive_writer_create(&writer, &config, item_placed, NULL), ==, 0);
    for (i = first; i < f->item_count; i++) {
        struct item *item = &f->items[i];
        struct warp_archive_item to = {0};

        item->sequence = 1000 + 8 * i;
        to.slot = i;
        to.hash = i;
        to.sequence = item->sequence;
        to.entry.kind = WARP_ENTRY_PUT;
        to.entry.flags = item->expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0;
        to.entry.key = item->key;
        to.entry.key_bytes = item->key_bytes;
        to.entry.value = item->value;
        to.entry.value_bytes = item->value_bytes;
        to.entry.expires_at_ms = item->expires_at_ms;
        to.cookie = item;
        check_int(warp_archive_writer_add(writer, &to), ==, 0);
    }
    check_int(warp_archive_writer_seal(writer, &totals), ==, 0);
    check_u64(totals.entries, ==, f->item_count - first);
    warp_archive_writer_destroy(&writer);
}

static void item_scramble(struct item *item)
{
    struct warp_random random;
    uint32_t i;

    warp_random_init(&random, item->value_bytes);
    for (i = 0; i < item->value_bytes; i++) {
        item->value[i] = (uint8_t)warp_random_next(&random);
    }
}

/* Compressed with and without a dictionary, raw, alone in a block, and longer than a place can
 * say; and records of the log beside them. */
static void fixture_archives(struct reader_fixture *f)
{
    uint32_t first, i;

    fixture_init(f, S);
    for (i = 0; i < 30; i++) {
        item_make(f, 1 + i, i * 37, i % 3 == 0 ? 900 + i : 0);
    }
    item_archive(f, 0, 0, 3, 0);
    first = f->item_count;
    for (i = 0; i < 30; i++) {
        item_make(f, 1 + i, i * 37, i % 3 == 0 ? 900 + i : 0);
    }
    item_make(f, 65536, 10000, 0);
    item_archive(f, 5, first, 0, 0);
    first = f->item_count;
    for (i = 0; i < 100; i++) {
        item_make(f, 12, 200, 0);
    }
    item_archive(f, 77, first, 3, 4096);
    first = f->item_count;
    item_scramble(item_make(f, 10, 100, 0));
    item_scramble(item_make(f, 10, 3000000, 5)); /* over 1,023 units */
    item_make(f, 10, 3000000, 5);
    item_scramble(item_make(f, 10, 50000, 0));
    item_archive(f, (1u << 22) - 1, first, 3, 0);
    check_u64(warp_place_decode(f->items[first + 1].place).units, ==, 0);
    f->log.position = S - 40;
    item_record(f, 20, 100, 0);
    log_grow(&f->log, f->log.position + S);
}

WARP_TEST(reader, records_are_read_from_archives_of_every_kind)
{
    struct reader_fixture f;

    fixture_archives(&f);
    read_all_ways(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, a_block_of_an_archive_is_one_device_read_and_no_allocation)
{
    struct reader_fixture f;
    uint64_t operations, calls;
    uint32_t i;

    fixture_archives(&f);
    fixture_open(&f);
    check_int(read_one(&f, &f.items[80]), ==, 0);
    operations = f.log.disk->operations;
    calls = warp_memory_calls(&f.memory);
    for (i = 0; i < 10; i++) {
        check_int(read_one(&f, &f.items[81 + i]), ==, 0);
    }
    check_u64(f.log.disk->operations - operations, ==, 10);
    check_u64(warp_memory_calls(&f.memory), ==, calls);
    check_u64(warp_counter_read(&warp_reader_counters(f.reader)->long_reads), ==, 0);
    check_u64(warp_counter_read(&warp_reader_counters(f.reader)->opens), ==, 1);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, no_flipped_bit_of_an_archive_gives_a_wrong_value)
{
    uint32_t level;

    for (level = 0; level < 2; level++) {
        struct reader_fixture f;
        char name[WARP_ARCHIVE_NAME_BYTES], text[256];
        uint32_t damaged = 0, i;
        uint64_t bytes, bit;
        uint8_t *data;

        fixture_init(&f, S);
        for (i = 0; i < 4; i++) {
            item_make(&f, 10, 60, 0);
        }
        item_archive(&f, 3, 0, (int)level * 3, 0);
        warp_archive_name(3, name);
        data = memory_disk_bytes(f.log.disk, name, &bytes);
        for (bit = 0; bit < bytes * 8;
             bit += bit < 512 || (bit >= 32768 && bit < 36864) ? 1 : 97) {
            int rc;

            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            fixture_open(&f);
            rc = read_one(&f, &f.items[2]); /* right if it is 0 */
            check(rc == 0 || rc == WARP_EDAMAGED);
            if (rc == WARP_EDAMAGED) {
                damaged++;
                check_int(warp_reader_damage(f.reader, text, sizeof(text)), ==, rc);
                check(strncmp(text, name, strlen(name)) == 0);
            }
            fixture_close(&f);
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        check_u64(damaged, >, 1000);
        fixture_fini(&f);
    }
}

WARP_TEST(reader, what_is_not_the_record_in_an_archive_is_damage)
{
    struct reader_fixture f;
    struct item wrong;

    fixture_archives(&f);
    fixture_open(&f);
    wrong = f.items[20];
    wrong.key = f.items[21].key;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[20];
    wrong.value_bytes--;
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[20];
    wrong.place++; /* another entry of the block */
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[20];
    wrong.place += 1u << 20; /* where no block begins */
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    wrong = f.items[20];
    wrong.place |= 1000u << 20; /* behind the end of the file */
    check_int(read_one(&f, &wrong), ==, WARP_EDAMAGED);
    read_all(&f);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, archives_are_missing_or_forgotten_as_segments_are)
{
    char name[WARP_ARCHIVE_NAME_BYTES];
    struct reader_fixture f;
    struct warp_read read;

    fixture_archives(&f);
    fixture_open(&f);
    f.log.disk->hold = true;
    read_fill(&read, &f.items[0]);
    read.done = count_done;
    done_count = 0;
    warp_reader_post(f.reader, &read);
    check(warp_reader_turn(f.reader));
    check(!warp_reader_forget_archive(f.reader, 0));
    f.log.disk->hold = false;
    check(warp_reader_turn(f.reader));
    check_u64(done_count, ==, 1);
    read_is_right(&read, &f.items[0]);
    warp_read_release(f.reader, &read);
    check(warp_reader_forget_archive(f.reader, 0));
    check_u64(f.log.disk->handles, ==, 0);
    check_int(read_one(&f, &f.items[0]), ==, WARP_AGAIN);
    warp_archive_name(5, name);
    check(memory_disk_remove(f.log.disk, name));
    check_int(read_one(&f, &f.items[30]), ==, WARP_AGAIN);
    check_int(read_one(&f, &f.items[f.item_count - 1]), ==, 0);
    fixture_close(&f);
    fixture_fini(&f);
}

WARP_TEST(reader, archives_on_a_disk_that_fails_or_without_memory_are_honest)
{
    uint32_t memory, queues;

    for (memory = 0; memory < 2; memory++) {
        for (queues = 0; queues < 2; queues++) {
            uint32_t errors = 0, clean = 0;
            struct reader_fixture f;
            uint64_t n;

            fixture_archives(&f);
            f.config.queue_count = queues;
            for (n = 0; clean < 2 && n < 100; n++) {
                static const uint32_t some[6] = {3, 40, 80, 162, 164, 165};
                struct warp_read reads[6];
                uint32_t i, failed = 0;

                fixture_open(&f);
                for (i = 0; i < 6; i++) {
                    read_fill(&reads[i], &f.items[some[i]]);
                }
                if (memory == 1) {
                    warp_memory_fail_after(&f.memory, n);
                } else {
                    f.log.disk->fail_at = f.log.disk->operations + n;
                    f.log.disk->fail_errno = EIO;
                }
                warp_reader_run(f.reader, reads, 6);
                warp_memory_fail_after(&f.memory, UINT64_MAX);
                f.log.disk->fail_at = UINT64_MAX;
                for (i = 0; i < 6; i++) {
                    if (reads[i].rc != 0) {
                        check_int(reads[i].rc, ==, memory == 1 ? WARP_ENOMEM : WARP_EIO);
                        failed++;
                    } else {
                        read_is_right(&reads[i], &f.items[some[i]]);
                    }
                    warp_read_release(f.reader, &reads[i]);
                }
                errors += failed;
                clean += failed == 0;
                check_int(read_one(&f, &f.items[some[n % 6]]), ==, 0);
                fixture_close(&f);
            }
            check_u64(clean, ==, 2);
            check_u64(errors, >, 5);
            fixture_fini(&f);
        }
    }
}

/* ---- waiting, without threads ---------------------------------------------------------- */

static void run_extra(struct reader_fixture *f)
{
    struct warp_read *reads = f->extra;

    /* Others run while the first are in flight: one more queue, then none. */
    f->extra = NULL;
    if (reads != NULL) {
        warp_reader_run(f->reader, reads, 4);
    }
    f->log.disk->hold = false;
}

WARP_TEST(reader, runs_within_runs_share_the_queues_there_are)
{
    uint32_t queues;

    for (queues = 0; queues < 3; queues++) {
        struct warp_read reads[8];
        struct reader_fixture f;
        uint32_t i;

        fixture_some(&f);
        f.config.queue_count = queues;
        f.at_wait = run_extra;
        fixture_open(&f);
        for (i = 0; i < 8; i++) {
            read_fill(&reads[i], &f.items[i % 4]);
        }
        f.extra = reads + 4;
        f.log.disk->hold = queues > 0;
        warp_reader_run(f.reader, reads, 4);
        if (f.extra != NULL) {
            warp_reader_run(f.reader, f.extra, 4);
        }
        for (i = 0; i < 8; i++) {
            read_is_right(&reads[i], &f.items[i % 4]);
            warp_read_release(f.reader, &reads[i]);
        }
        check_u64(f.waits, >=, queues > 0);
        fixture_close(&f);
        fixture_fini(&f);
    }
}

static void unhold(struct reader_fixture *f)
{
    f->log.disk->hold = false;
}

WARP_TEST(reader, even_one_read_lets_others_run_meanwhile)
{
    struct reader_fixture f;

    fixture_some(&f);
    f.at_wait = unhold;
    fixture_open(&f);
    f.log.disk->hold = true;
    check_int(read_one(&f, &f.items[0]), ==, 0);
    check_u64(f.waits, ==, 1);
    fixture_close(&f);
    fixture_fini(&f);
}

struct reposted {
    struct reader_fixture *f;
    uint32_t times;
};

static void done_again(struct warp_read *read)
{
    struct reposted *reposted = read->context;

    read_is_right(read, &reposted->f->items[0]);
    warp_read_release(reposted->f->reader, read);
    if (reposted->times > 0) {
        reposted->times--;
        warp_reader_post(reposted->f->reader, read);
    }
}

WARP_TEST(reader, what_is_posted_is_done_in_turns_and_done_may_post)
{
    uint32_t way;

    for (way = 0; way < 2; way++) {
        struct warp_read reads[200], again;
        struct reader_fixture f;
        struct reposted reposted = {&f, 20};
        uint32_t i, turns = 0;

        fixture_some(&f);
        f.config.queue_depth = 8;
        f.config.queue_count = 0;
        fixture_open(&f);
        check(!warp_reader_turn(f.reader));
        done_count = 0;
        for (i = 0; i < 200; i++) {
            read_fill(&reads[i], &f.items[i % f.item_count]);
            reads[i].done = count_done;
            warp_reader_post(f.reader, &reads[i]);
        }
        read_fill(&again, &f.items[0]);
        again.done = done_again;
        again.context = &reposted;
        warp_reader_post(f.reader, &again);
        if (way == 1) { /* no queue can be made: one by one */
            f.log.disk->fail_at = f.log.disk->operations;
            f.log.disk->fail_errno = ENOSYS;
        }
        while (done_count < 200 || reposted.times > 0) {
            check(warp_reader_turn(f.reader));
            turns++;
        }
        check_u64(turns, >, 10); /* a turn is bounded */
        while (warp_reader_turn(f.reader)) {
        }
        for (i = 0; i < 200; i++) {
            read_is_right(&reads[i], &f.items[i % f.item_count]);
            warp_read_release(f.reader, &reads[i]);
        }
        fixture_close(&f);
        fixture_fini(&f);
    }
}

WARP_TEST(reader, stop_finishes_what_was_posted)
{
    struct warp_read reads[50];
    struct reader_fixture f;
    uint32_t i;

    fixture_some(&f);
    f.at_wait = unhold;
    fixture_open(&f);
    done_count = 0;
    f.log.disk->hold = true;
    for (i = 0; i < 50; i++) {
        read_fill(&reads[i], &f.items[i % f.item_count]);
        reads[i].done = count_done;
        warp_reader_post(f.reader, &reads[i]);
    }
    warp_reader_stop(f.reader);
    check_u64(done_count, ==, 50);
    for (i = 0; i < 50; i++) {
        read_is_right(&reads[i], &f.items[i % f.item_count]);
        warp_read_release(f.reader, &reads[i]);
    }
    fixture_close(&f);
    fixture_fini(&f);
}

struct scheduled {
    struct warp_read read;
    const struct item *item;
    bool busy, done;
};

static void scheduled_done(struct warp_read *read)
{
    ((struct scheduled *)read)->done = true;
}

/* Right, or one of its files was forgotten. */
static void read_may_be_stale(struct reader_fixture *f, struct warp_read *read,
                              const struct item *item, const bool *forgotten)
{
    uint64_t index = (item->place - (item->in_batch ? 0 : WARP_FRAME_HEADER_BYTES)) / S;
    uint64_t last = (item->place + 20 + item->key_bytes + item->value_bytes) / S;
    bool stale = false;

    if (read->rc == 0) {
        read_is_right(read, item);
    } else if (check_int(read->rc, ==, WARP_AGAIN)) {
        for (; index <= last; index++) {
            stale = stale || forgotten[index];
        }
        check(stale);
    }
    warp_read_release(f->reader, read);
}

/*
 * Any order of posting, running, forgetting and using a file again, which is overwritten as soon
 * as forget says yes: a read that still looked at it would show.
 */
WARP_TEST(reader, in_any_order_a_read_is_right_or_its_file_was_forgotten)
{
    uint32_t round, stale = 0;

    for (round = 0; round < 40; round++) {
        struct scheduled posted[32];
        bool forgotten[66] = {false};
        struct warp_random random;
        struct reader_fixture f;
        uint32_t step, segments, i;

        warp_random_init(&random, test_seed() + round);
        memset(posted, 0, sizeof(posted));
        fixture_init(&f, S);
        f.log.position = 64;
        for (i = 0; i < 50; i++) {
            item_record(&f, 9, (uint32_t)(warp_random_next(&random) % 6000), i % 2);
        }
        item_batch(&f, 20, 100);
        log_grow(&f.log, f.log.position + S);
        segments = (uint32_t)(log_end(&f.log) / S);
        if (!check_u64(segments, <=, 64)) {
            abort();
        }
        f.config.handles_max = 8;
        f.config.queue_depth = 1 + round % 20;
        f.config.queue_count = round % 3;
        f.at_wait = unhold;
        fixture_open(&f);
        for (step = 0; step < 800; step++) {
            uint32_t which = (uint32_t)(warp_random_next(&random) % 64);
            struct scheduled *next = &posted[which % 32];
            struct warp_read reads[4];
            const struct item *items[4];

            switch (warp_random_next(&random) % 8) {
            case 0:
            case 1:
            case 2:
                if (!next->busy) {
                    next->item = &f.items[warp_random_next(&random) % f.item_count];
                    read_fill(&next->read, next->item);
                    next->read.done = scheduled_done;
                    next->busy = true;
                    next->done = false;
                    warp_reader_post(f.reader, &next->read);
                }
                break;
            case 3:
            case 4:
                (void)warp_reader_turn(f.reader);
                break;
            case 5:
                f.log.disk->hold = !f.log.disk->hold;
                break;
            case 6:
                /* At the limit of open files this waits for what was posted, as a thread
                 * would. */
                while (warp_counter_read(&warp_reader_counters(f.reader)->in_flight) > 0) {
                    f.log.disk->hold = false;
                    (void)warp_reader_turn(f.reader);
                }
                for (i = 0; i < 4; i++) {
                    items[i] = &f.items[warp_random_next(&random) % f.item_count];
                    read_fill(&reads[i], items[i]);
                }
                warp_reader_run(f.reader, reads, 1 + which % 4);
                for (i = 0; i < 1 + which % 4; i++) {
                    stale += reads[i].rc == WARP_AGAIN;
                    read_may_be_stale(&f, &reads[i], items[i], forgotten);
                }
                break;
            case 7:
                if (step > 200 && step % 4 == 0 && which < segments) {
                    forgotten[which] = true;
                    if (warp_reader_forget_segment(f.reader, which)) {
                        char name[WARP_SEGMENT_NAME_BYTES];

                        warp_segment_name(which, name);
                        memset(memory_disk_bytes(f.log.disk, name, NULL), 0x77, 4096 + S);
                    }
                }
                break;
            }
            for (i = 0; i < 32; i++) {
                if (posted[i].busy && posted[i].done) {
                    posted[i].busy = false;
                    stale += posted[i].read.rc == WARP_AGAIN;
                    read_may_be_stale(&f, &posted[i].read, posted[i].item, forgotten);
                }
            }
        }
        warp_reader_stop(f.reader);
        for (i = 0; i < 32; i++) {
            if (posted[i].busy) {
                check(posted[i].done);
                read_may_be_stale(&f, &posted[i].read, posted[i].item, forgotten);
            }
        }
        check_u64(warp_counter_read(&warp_reader_counters(f.reader)->damaged), ==, 0);
        fixture_close(&f);
        fixture_fini(&f);
    }
    check_u64(stale, >, 100);
}

/* ---- the real disk --------------------------------------------------------------------- */

/* The same files in a real directory. */
static bool fixture_go_real(struct reader_fixture *f, uint32_t backend,
                            struct warp_disk *disk)
{
    const char *path = test_directory();
    char message[256] = "";
    uint64_t index;
    int rc;

    for (index = 0;; index++) {
        char name[WARP_SEGMENT_NAME_BYTES], full[512];
        const uint8_t *bytes;
        uint64_t count;
        int file;

        warp_segment_name(index, name);
        bytes = memory_disk_bytes(f->log.disk, name, &count);
        if (bytes == NULL) {
            break;
        }
        snprintf(full, sizeof(full), "%s/%s", path, name);
        file = open(full, O_CREAT | O_WRONLY, 0644);
        check_int(write(file, bytes, count), ==, (long long)count);
        close(file);
    }
    rc = warp_disk_open_directory(path, &f->log.memory, backend, false, disk, message,
                                  sizeof(message));
    if (rc < 0 && backend == WARP_IO_BACKEND_URING && (rc == -EPERM || rc == -ENOSYS)) {
        test_skip("%s", message);
        return false;
    }
    check_int(rc, ==, 0);
    f->env.disk = disk;
    f->env.clock = warp_clock_system();
    f->env.threads = true;
    return rc == 0;
}

static void check_many_in_flight(uint32_t backend)
{
    uint32_t direct;

    for (direct = 0; direct < 2; direct++) {
        struct reader_fixture f;
        struct warp_disk disk;
        uint32_t i;

        fixture_init(&f, 16384);
        f.log.position = 64;
        for (i = 0; i < 200; i++) {
            item_record(&f, 1 + i % 40, i * 23 % 3000, i % 4 == 0 ? 5000 + i : 0);
        }
        item_record(&f, 100, 100000, 0);
        f.config.direct = direct != 0;
        if (fixture_go_real(&f, backend, &disk)) {
            fixture_open(&f);
            read_all(&f);
            fixture_close(&f);
            warp_disk_close(&disk);
        }
        fixture_fini(&f);
    }
}

WARP_TEST(reader, many_reads_are_in_flight_at_once_on_the_plain_disk)
{
    check_many_in_flight(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(reader, many_reads_are_in_flight_at_once_on_io_uring)
{
    check_many_in_flight(WARP_IO_BACKEND_URING);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_ms(uint32_t ms)
{
    struct timespec time = {0, (long)ms * 1000000};

    nanosleep(&time, NULL);
}

static _Atomic uint32_t threads_done;

static void count_done_by_thread(struct warp_read *read)
{
    (void)read;
    /* Release: pairs with the acquire in wait_done. */
    atomic_fetch_add_explicit(&threads_done, 1, memory_order_release);
}

static void wait_done(uint32_t count)
{
    uint32_t ms;

    for (ms = 0; ms < 20000; ms++) {
        if (atomic_load_explicit(&threads_done, memory_order_acquire) >= count) {
            return;
        }
        sleep_ms(1);
    }
    check_u64(atomic_load(&threads_done), ==, count);
}

WARP_TEST(reader, its_thread_serves_what_is_posted_and_sleeps_otherwise)
{
    uint32_t backend;

    for (backend = WARP_IO_BACKEND_AUTO; backend <= WARP_IO_BACKEND_PLAIN; backend++) {
        struct warp_read reads[ITEMS];
        struct reader_fixture f;
        struct warp_disk disk;
        uint32_t i, round;
        uint64_t before;

        fixture_init(&f, 16384);
        f.log.position = 64;
        for (i = 0; i < 100; i++) {
            item_record(&f, 8, i * 23 % 3000, 0);
        }
        if (!fixture_go_real(&f, backend, &disk)) {
            fixture_fini(&f);
            return;
        }
        fixture_open(&f);
        check_int(warp_reader_start(f.reader), ==, 0);
        atomic_store(&threads_done, 0);
        for (round = 0; round < 3; round++) {
            for (i = 0; i < 100; i++) {
                read_fill(&reads[i], &f.items[i]);
                reads[i].done = count_done_by_thread;
                warp_reader_post(f.reader, &reads[i]);
                if (round == 1) {
                    wait_done(100 * round + i + 1); /* each finds it asleep */
                }
            }
            if (round < 2) {
                wait_done(100 * (round + 1));
            } else {
                warp_reader_stop(f.reader);
                check_u64(atomic_load(&threads_done), ==, 300);
            }
            for (i = 0; i < 100; i++) {
                read_is_right(&reads[i], &f.items[i]);
                warp_read_release(f.reader, &reads[i]);
            }
            if (round == 0) {
                sleep_ms(20);
                before = cpu_ns();
                sleep_ms(200);
                check_u64(cpu_ns() - before, <, 20000000u);
            }
        }
        check_int(warp_reader_start(f.reader), ==, 0); /* and destroy stops it */
        fixture_close(&f);
        warp_disk_close(&disk);
        fixture_fini(&f);
    }
}

/* ---- threads that read while files come and go ----------------------------------------- */

#define CROWD_KEYS    64u
#define CROWD_SEGMENT 8192u
#define CROWD_ROUNDS  60u

struct crowd {
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_env env;
    struct warp_manifest manifest;
    struct warp_reader *reader;
    _Atomic uint64_t places[CROWD_KEYS];
    _Atomic uint32_t stop;
    _Atomic uint64_t right, stale, wrong;
};

struct crowd_read {
    struct warp_read read;
    struct crowd *crowd;
    uint32_t key;
    char text[8];
    _Atomic uint32_t busy;
};

static uint32_t crowd_value_bytes(uint32_t key)
{
    return key * 40 % 700;
}

static void crowd_fill(struct crowd_read *read, uint32_t key)
{
    read->key = key;
    snprintf(read->text, sizeof(read->text), "k%06u", key);
    read->read.key.data = read->text;
    read->read.key.bytes = 7;
    read->read.value_bytes = crowd_value_bytes(key);
    read->read.in_batch = false;
    read->read.has_expiry = false;
    /* Acquire: pairs with the release in crowd_compact, the record lies there by then. */
    read->read.place =
        atomic_load_explicit(&read->crowd->places[key], memory_order_acquire);
}

/* Look at what came; true if it must be looked up again. */
static bool crowd_judge(struct crowd_read *read)
{
    struct crowd *crowd = read->crowd;
    const uint8_t *value = read->read.value;
    uint32_t i, bad = 0;

    if (read->read.rc == WARP_AGAIN) {
        atomic_fetch_add_explicit(&crowd->stale, 1, memory_order_relaxed);
        return true;
    }
    for (i = 0; read->read.rc == 0 && i < read->read.value_bytes; i++) {
        bad += value[i] != (uint8_t)(read->key * 3 + i);
    }
    warp_read_release(crowd->reader, &read->read);
    if (read->read.rc != 0 || bad > 0) {
        atomic_fetch_add_explicit(&crowd->wrong, 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&crowd->right, 1, memory_order_relaxed);
    }
    return false;
}

static void crowd_runner(void *context)
{
    struct crowd *crowd = context;
    struct crowd_read reads[16];
    struct warp_read batch[16];
    uint32_t next = 1, i;

    while (atomic_load_explicit(&crowd->stop, memory_order_relaxed) == 0) {
        uint32_t count = 1 + next % 16;

        for (i = 0; i < count; i++) {
            next = next * 1103515245u + 12345u;
            reads[i].crowd = crowd;
            crowd_fill(&reads[i], (next >> 16) % CROWD_KEYS);
            batch[i] = reads[i].read;
            batch[i].done = NULL;
        }
        warp_reader_run(crowd->reader, batch, count);
        for (i = 0; i < count; i++) {
            reads[i].read = batch[i];
            while (crowd_judge(&reads[i])) {
                crowd_fill(&reads[i], reads[i].key);
                reads[i].read.done = NULL;
                warp_reader_run(crowd->reader, &reads[i].read, 1);
            }
        }
    }
}

static void crowd_done(struct warp_read *read)
{
    struct crowd_read *mine = (struct crowd_read *)read;

    if (crowd_judge(mine)) {
        crowd_fill(mine, mine->key);
        warp_reader_post(mine->crowd->reader, read);
        return;
    }
    /* Release: pairs with the acquire in crowd_poster. */
    atomic_store_explicit(&mine->busy, 0, memory_order_release);
}

static void crowd_poster(void *context)
{
    struct crowd *crowd = context;
    struct crowd_read reads[32];
    uint32_t next = 7, i;
    bool stop = false;

    memset(reads, 0, sizeof(reads));
    while (!stop) {
        stop = atomic_load_explicit(&crowd->stop, memory_order_relaxed) != 0;
        for (i = 0; i < 32; i++) {
            while (atomic_load_explicit(&reads[i].busy, memory_order_acquire) != 0) {
                warp_thread_yield();
            }
            if (stop) {
                continue;
            }
            next = next * 1103515245u + 12345u;
            reads[i].crowd = crowd;
            crowd_fill(&reads[i], (next >> 16) % CROWD_KEYS);
            reads[i].read.done = crowd_done;
            atomic_store_explicit(&reads[i].busy, 1, memory_order_relaxed);
            warp_reader_post(crowd->reader, &reads[i].read);
        }
    }
}

/* Write every key into new segments, tell where, and take the old ones away. */
static void crowd_compact(struct crowd *crowd, const char *path, uint64_t *segment,
                          uint64_t *oldest)
{
    const struct warp_disk_ops *ops = crowd->disk.ops;
    uint64_t position = *segment * CROWD_SEGMENT + 64;
    uint64_t places[CROWD_KEYS];
    uint8_t *log = calloc(1, 16 * (size_t)CROWD_SEGMENT);
    uint64_t from = *segment, until, index;
    uint32_t key, i;

    for (key = 0; key < CROWD_KEYS; key++) {
        uint8_t *at = log + (position - from * CROWD_SEGMENT);
        struct warp_frame frame = {0};
        struct warp_entry entry = {0};
        char text[8];
        uint32_t bytes;

        snprintf(text, sizeof(text), "k%06u", key);
        entry.kind = WARP_ENTRY_PUT;
        entry.key_bytes = 7;
        entry.value_bytes = crowd_value_bytes(key);
        bytes = (uint32_t)warp_entry_encode_header(at + 32, &entry);
        memcpy(at + 32 + bytes, text, 7);
        bytes += 7;
        for (i = 0; i < entry.value_bytes; i++) {
            at[32 + bytes + i] = (uint8_t)(key * 3 + i);
        }
        bytes += entry.value_bytes;
        frame.kind = WARP_FRAME_RECORD;
        frame.position = position;
        frame.body_bytes = bytes;
        frame.body_crc = warp_crc32c(0, at + 32, bytes);
        frame.epoch = 1;
        warp_frame_encode_header(at, &frame, warp_manifest_seed(&crowd->manifest));
        places[key] = position + 32;
        position += warp_frame_bytes(bytes);
    }
    until = position / CROWD_SEGMENT + 1;
    for (index = from; index < until; index++) {
        char name[WARP_SEGMENT_NAME_BYTES], again[WARP_SEGMENT_NAME_BYTES + 8];
        int32_t file;

        warp_segment_name(index, name);
        snprintf(again, sizeof(again), "spare");
        file = ops->open(crowd->disk.context, again, 0);
        if (file < 0) {
            file = ops->open(crowd->disk.context, again, WARP_FILE_CREATE);
        }
        check_int(ops->write(crowd->disk.context, file,
                             log + (index - from) * CROWD_SEGMENT, CROWD_SEGMENT, 4096,
                             false),
                  ==, CROWD_SEGMENT);
        ops->close(crowd->disk.context, file);
        check_int(ops->rename(crowd->disk.context, again, name), ==, 0);
    }
    for (key = 0; key < CROWD_KEYS; key++) {
        /* Release: pairs with the acquire in crowd_fill. */
        atomic_store_explicit(&crowd->places[key], places[key], memory_order_release);
    }
    for (index = *oldest; index < from; index++) {
        char name[WARP_SEGMENT_NAME_BYTES];
        uint32_t tries = 0;

        while (!warp_reader_forget_segment(crowd->reader, index)) {
            check(++tries < 1000000);
            warp_thread_yield();
        }
        /* Nobody reads it: used again at once, for another place of the log. */
        warp_segment_name(index, name);
        check_int(ops->rename(crowd->disk.context, name, "spare"), ==, 0);
    }
    (void)path;
    *oldest = from;
    *segment = until;
    free(log);
}

static void check_crowd(uint32_t backend)
{
    const char *path = test_directory();
    struct warp_thread *threads[4] = {NULL, NULL, NULL, NULL};
    struct warp_reader_config config = {0};
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    uint64_t segment = 0, oldest = 0;
    char message[256] = "";
    uint32_t i;
    int rc;

    check_int(warp_memory_init(&crowd->memory, NULL), ==, 0);
    rc = warp_disk_open_directory(path, &crowd->memory, backend, false, &crowd->disk,
                                  message, sizeof(message));
    if (rc < 0) {
        test_skip("%s", message);
        warp_memory_fini(&crowd->memory);
        free(crowd);
        return;
    }
    memset(crowd->manifest.id, 0x31, sizeof(crowd->manifest.id));
    crowd->manifest.segment_bytes = CROWD_SEGMENT;
    crowd->env.disk = &crowd->disk;
    crowd->env.clock = warp_clock_system();
    crowd->env.threads = true;
    config.env = &crowd->env;
    config.memory = &crowd->memory;
    config.manifest = &crowd->manifest;
    config.handles_max = 8;
    config.queue_count = 1; /* two runners: one of them finds none */
    config.queue_depth = 16;
    check_int(warp_reader_create(&crowd->reader, &config), ==, 0);
    crowd_compact(crowd, path, &segment, &oldest);
    check_int(warp_reader_start(crowd->reader), ==, 0);
    for (i = 0; i < 4; i++) {
        check_int(warp_thread_start(&threads[i], &crowd->memory, "crowd", -1,
                                    i < 2 ? crowd_runner : crowd_poster, crowd),
                  ==, 0);
    }
    for (i = 0; i < CROWD_ROUNDS; i++) {
        sleep_ms(2);
        crowd_compact(crowd, path, &segment, &oldest);
    }
    atomic_store_explicit(&crowd->stop, 1, memory_order_relaxed);
    for (i = 0; i < 4; i++) {
        warp_thread_join(&threads[i]);
    }
    warp_reader_destroy(&crowd->reader);
    check_u64(atomic_load(&crowd->wrong), ==, 0);
    check_u64(atomic_load(&crowd->right), >, 100);
    warp_disk_close(&crowd->disk);
    check_u64(warp_memory_bytes(&crowd->memory), ==, 0);
    warp_memory_fini(&crowd->memory);
    free(crowd);
}

WARP_TEST(reader, threads_read_while_files_are_forgotten_and_used_again)
{
    check_crowd(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(reader, threads_read_in_rings_while_files_are_forgotten_and_used_again)
{
    check_crowd(WARP_IO_BACKEND_URING);
}
