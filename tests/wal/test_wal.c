/* Opening, appending and closing a log, and frames that are bigger than its ring. */
#include "wal/wal.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

static struct store_fixture_config log_only = {.log_only = true};

WARP_TEST(wal, begins_with_an_open_frame_and_ends_with_a_close_frame)
{
    struct store_fixture fixture;
    struct store_scan scan;

    store_fixture_init(&fixture, &log_only);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_OPEN], ==, 1);
    check_u64(scan.end, ==, warp_sequence_tail(&fixture.wal->writer.sequence));
    check_u64(warp_writer_durable(&fixture.wal->writer), ==, scan.end);
    (void)store_fixture_append(&fixture, 0, 100);
    check_int(warp_wal_destroy(&fixture.wal, 1), ==, 0);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 1);
    check_u64(scan.kinds[WARP_FRAME_CLOSE], ==, 1);
    check(scan.clean);
    {
        struct warp_writer_config config = {.env = &fixture.env,
                                            .memory = &fixture.memory,
                                            .segments = &fixture.segments,
                                            .manifest = &fixture.manifest,
                                            .position = scan.end,
                                            .buffer_bytes = 65536,
                                            .cell_count = 2,
                                            .flushes_max = 4,
                                            .flush_bytes_max = 1u << 20,
                                            .sync_interval_ns = 100000000};

        fixture.manifest.epoch++;
        check_int(warp_wal_create(&fixture.wal, &config, 2), ==, 0);
        (void)store_fixture_append(&fixture, 1, 10);
        check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
        store_fixture_scan(&fixture, true, &scan);
        check_int(scan.rc, ==, 0);
        check_u64(scan.kinds[WARP_FRAME_OPEN], ==, 2);
        check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 2);
        check(!scan.clean);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Where the log goes on in the middle of a block, that block is written again. */
WARP_TEST(wal, what_is_written_again_is_what_was_checked)
{
    static struct warp_writer_tail tail;
    struct store_fixture fixture;
    struct store_scan scan;
    char name[WARP_SEGMENT_NAME_BYTES];
    uint64_t bytes = 0, begin, end;
    uint8_t *file;

    store_fixture_init(&fixture, &log_only);
    (void)store_fixture_append(&fixture, 0, 100);
    check_int(warp_wal_destroy(&fixture.wal, 1), ==, 0);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    end = scan.end;
    begin = warp_align_down(end, WARP_WRITER_BLOCK_BYTES_MAX);
    check_u64(begin, <, end);
    warp_segment_name(end / fixture.manifest.segment_bytes, name);
    file = memory_disk_bytes(fixture.disk.now, name, &bytes);
    check(file != NULL);
    file += WARP_SEGMENT_HEADER_BYTES + begin % fixture.manifest.segment_bytes;
    tail.from = begin;
    tail.end = end;
    memcpy(tail.bytes, file, end - begin);
    file[end - begin - WARP_FRAME_HEADER_BYTES] ^= 4; /* as if a read had shown it */
    {
        struct warp_writer_config config = {.env = &fixture.env,
                                            .memory = &fixture.memory,
                                            .segments = &fixture.segments,
                                            .manifest = &fixture.manifest,
                                            .position = end,
                                            .tail = &tail,
                                            .buffer_bytes = 65536,
                                            .cell_count = 2,
                                            .flushes_max = 4,
                                            .flush_bytes_max = 1u << 20,
                                            .sync_interval_ns = 100000000};

        fixture.manifest.epoch++;
        check_int(warp_wal_create(&fixture.wal, &config, 2), ==, 0);
    }
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 1);
    check_u64(scan.kinds[WARP_FRAME_OPEN], ==, 2);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(wal, no_memory_at_any_call_is_said_and_leaves_none_behind)
{
    uint64_t after;
    int rc = WARP_ENOMEM;

    for (after = 0; rc == WARP_ENOMEM && after < 100; after++) {
        struct store_fixture fixture;
        struct warp_writer_config config;
        uint64_t bytes;

        store_fixture_init(&fixture, &log_only);
        check_int(warp_wal_destroy(&fixture.wal, 1), ==, 0);
        memset(&config, 0, sizeof(config));
        config.env = &fixture.env;
        config.memory = &fixture.memory;
        config.segments = &fixture.segments;
        config.manifest = &fixture.manifest;
        config.position = 4096;
        config.buffer_bytes = 65536;
        config.cell_count = 2;
        config.flushes_max = 4;
        config.flush_bytes_max = 1u << 20;
        config.sync_interval_ns = 100000000;
        bytes = warp_memory_bytes(&fixture.memory);
        warp_memory_fail_after(&fixture.memory, after);
        rc = warp_wal_create(&fixture.wal, &config, 1);
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        if (rc != 0) {
            check_int(rc, ==, WARP_ENOMEM);
            check(fixture.wal == NULL);
            check_u64(warp_memory_bytes(&fixture.memory), ==, bytes);
            check_int(warp_wal_create(&fixture.wal, &config, 1), ==, 0);
        }
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
    check_int(rc, ==, 0);
    check_u64(after, >, 3);
}

WARP_TEST(wal, frames_of_all_sizes_come_back)
{
    struct store_fixture fixture;
    struct store_scan scan;
    uint32_t i, count = 0;

    store_fixture_init(&fixture, &log_only);
    for (i = 0; i < 40000; i += 1 + i / 3) {
        check_int(warp_writer_make_room(&fixture.wal->writer, warp_frame_bytes(i + 9),
                                        false, UINT64_MAX),
                  ==, 0);
        check(store_fixture_append(&fixture, i % 2, i) % 8 == 0);
        count++;
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, count);
    check_u64(scan.end, ==, warp_sequence_tail(&fixture.wal->writer.sequence));
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(wal, a_frame_much_bigger_than_the_ring_goes_through_it)
{
    struct store_fixture fixture;
    struct store_scan scan;
    uint64_t end;
    uint32_t round;

    store_fixture_init(&fixture, &log_only);
    for (round = 0; round < 3; round++) {
        (void)store_fixture_append(&fixture, 0, 50);
        check_int(warp_writer_make_room(&fixture.wal->writer, 1100000, false, UINT64_MAX),
                  ==, 0);
        end = store_fixture_append(&fixture, 1, 1000000 + round);
        check_u64(end, ==, warp_sequence_tail(&fixture.wal->writer.sequence));
        check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, 0);
    }
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 6);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* A small writer looked for room; before it took its place a big frame took much. */
struct small_one {
    struct store_fixture *fixture;
    uint64_t end;
    _Atomic bool done;
};

static void *small_main(void *context)
{
    struct small_one *small = context;

    small->end = store_fixture_append(small->fixture, 0, 100);
    atomic_store(&small->done, true);
    return NULL;
}

WARP_TEST(wal, a_small_frame_that_met_a_big_one_waits_for_the_ring)
{
    struct store_fixture_config config = {
        .log_only = true, .threads = true, .segment_bytes = 1u << 20};
    const uint64_t big = 200000;
    uint32_t round;

    for (round = 0; round < 5; round++) {
        struct store_fixture fixture;
        struct small_one small = {&fixture, 0, false};
        uint8_t header[WARP_FRAME_HEADER_BYTES], filling[4096];
        struct warp_writer *writer;
        struct warp_frame frame;
        struct store_scan scan;
        uint64_t position, at;
        pthread_t thread;

        store_fixture_init(&fixture, &config);
        writer = &fixture.wal->writer;
        (void)store_fixture_append(&fixture, 0, 100);
        check_int(warp_writer_make_room(writer, 300000, false, UINT64_MAX), ==, 0);
        check(warp_wal_has_room(fixture.wal, 100, false));
        /* The big one, by hand: a PAD, whose body nobody looks at. */
        check(warp_writer_take_big(writer, 1, big, false, &position));
        warp_buffer_progress(&writer->buffer, 1, position, position);
        pthread_create(&thread, NULL, small_main, &small);
        usleep(2000);
        check(!atomic_load(&small.done)); /* its place is not in the ring yet */
        memset(&frame, 0, sizeof(frame));
        frame.kind = WARP_FRAME_PAD;
        frame.position = position;
        frame.body_bytes = (uint32_t)big - WARP_FRAME_HEADER_BYTES;
        frame.epoch = writer->epoch;
        warp_frame_encode_header(header, &frame, writer->seed);
        memset(filling, 0xee, sizeof(filling));
        warp_buffer_copy_in(&writer->buffer, position, header, sizeof(header));
        for (at = position + sizeof(header); at < position + big;) {
            uint64_t piece = position + big - at < 4096 ? position + big - at : 4096;

            check_int(warp_writer_wait_ring(writer, at + piece), ==, 0);
            warp_buffer_copy_in(&writer->buffer, at, filling, piece);
            at += piece;
            warp_buffer_progress(&writer->buffer, 1, position, at);
        }
        warp_buffer_finish(&writer->buffer, 1);
        pthread_join(thread, NULL);
        check_u64(small.end, ==, position + big + warp_frame_bytes(8 + 1 + 100));
        check_int(warp_writer_wait(writer, small.end, UINT64_MAX), ==, 0);
        store_fixture_scan(&fixture, true, &scan);
        check_int(scan.rc, ==, 0);
        check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 2);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

struct appender {
    struct store_fixture *fixture;
    uint32_t cell, value_bytes, count;
    pthread_t thread;
};

static void *append_main(void *context)
{
    struct appender *appender = context;
    struct warp_writer *writer = &appender->fixture->wal->writer;
    uint64_t end = 0;
    uint32_t i;

    for (i = 0; i < appender->count; i++) {
        uint32_t bytes = appender->value_bytes + i % 17;

        do {
            /* As put_write does: room first, the place later, and once more if it is gone.
             */
            check_int(warp_writer_make_room(writer, warp_frame_bytes(bytes + 9), false,
                                            UINT64_MAX),
                      ==, 0);
            if (i % 5 == 0) {
                sched_yield();
            }
            end = store_fixture_append(appender->fixture, appender->cell, bytes);
        } while (end == 0);
    }
    check_int(warp_writer_wait(writer, end, UINT64_MAX), ==, 0);
    return NULL;
}

WARP_TEST(wal, big_frames_that_begin_together_all_finish)
{
    struct store_fixture_config config = {
        .log_only = true, .threads = true, .shard_count = 4, .segment_bytes = 1u << 20};
    struct store_fixture fixture;
    struct appender appenders[4];
    struct store_scan scan;
    uint64_t durable;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 4; i++) {
        appenders[i].fixture = &fixture;
        appenders[i].cell = i;
        appenders[i].value_bytes = i < 2 ? 200000 : 30;
        appenders[i].count = i < 2 ? 60 : 3000;
        pthread_create(&appenders[i].thread, NULL, append_main, &appenders[i]);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(appenders[i].thread, NULL);
    }
    durable = warp_writer_durable(&fixture.wal->writer);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.end, >=, durable);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 2 * 60 + 2 * 3000);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(wal, a_failure_during_a_big_frame_is_said)
{
    struct store_fixture fixture;
    struct warp_slice part;
    uint64_t position, end;
    uint8_t *body = calloc(1, 1000000);

    store_fixture_init(&fixture, &log_only);
    check_int(warp_writer_make_room(&fixture.wal->writer, 1100000, false, UINT64_MAX), ==,
              0);
    fixture.disk.fail_write_at = fixture.disk.writes + 2;
    part.data = body;
    part.bytes = 1000000;
    check_int(warp_wal_append(fixture.wal, 0, WARP_FRAME_RECORD, &part, 1, 1000000,
                              warp_crc32c(0, body, 1000000), false, &position, &end),
              ==, WARP_EFAILED);
    check(warp_writer_failed(&fixture.wal->writer));
    free(body);
    check_int(store_fixture_fini(&fixture), ==, WARP_EFAILED);
}

WARP_TEST(wal, a_log_thread_stops_whenever_it_is_told)
{
    struct store_fixture_config config = {.log_only = true, .threads = true};
    uint32_t round, spin;

    for (round = 0; round < 150; round++) {
        struct store_fixture fixture;
        struct store_scan scan;
        uint64_t end;

        store_fixture_init(&fixture, &config);
        for (spin = 0; spin < round * 5; spin++) {
            warp_cpu_relax();
        }
        end = store_fixture_append(&fixture, 0, 100);
        warp_writer_note(&fixture.wal->writer, end, round % 2 == 0);
        if (round % 3 == 0) {
            warp_writer_want(&fixture.wal->writer, end);
        }
        check_int(warp_wal_destroy(&fixture.wal, 1), ==, 0);
        store_fixture_scan(&fixture, true, &scan);
        check_int(scan.rc, ==, 0);
        check(scan.clean);
        check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 1);
        {
            struct warp_writer_config again = {.env = &fixture.env,
                                               .memory = &fixture.memory,
                                               .segments = &fixture.segments,
                                               .manifest = &fixture.manifest,
                                               .position = scan.end,
                                               .buffer_bytes = 65536,
                                               .cell_count = 2,
                                               .flushes_max = 4,
                                               .flush_bytes_max = 1u << 20,
                                               .sync_interval_ns = 100000000};

            check_int(warp_wal_create(&fixture.wal, &again, 2), ==, 0);
        }
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}
