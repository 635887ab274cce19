/* The mark is honest whatever the disk does, and everybody who waits is told. */
#include "wal/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

static struct store_fixture_config log_only = {.log_only = true};

static uint64_t mark(struct store_fixture *fixture)
{
    return warp_writer_durable(&fixture->wal->writer);
}

static uint64_t tail(struct store_fixture *fixture)
{
    return warp_sequence_tail(&fixture->wal->writer.sequence);
}

/* Let the log come to rest. */
static void quiesce(struct store_fixture *fixture)
{
    store_fixture_run(fixture, 200, 5 * MS);
    check_u64(mark(fixture), ==, tail(fixture));
}

/* After a power cut now, a reader finds all below the mark. */
static void check_honest(struct store_fixture *fixture)
{
    uint64_t durable = mark(fixture);
    struct store_scan scan;

    store_fixture_scan(fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.end, >=, durable);
}

static void permute(uint32_t number, uint32_t count, uint32_t *order)
{
    uint32_t left[8], i, j;

    for (i = 0; i < count; i++) {
        left[i] = i;
    }
    for (i = 0; i < count; i++) {
        uint32_t at = number % (count - i);

        number /= count - i;
        order[i] = left[at];
        for (j = at; j + 1 < count - i; j++) {
            left[j] = left[j + 1];
        }
    }
}

WARP_TEST(writer, the_mark_moves_over_the_contiguous_prefix_only)
{
    uint32_t number;

    for (number = 0; number < 24; number++) {
        struct store_fixture_config config = {.log_only = true, .flush_bytes_max = 4096};
        struct store_fixture fixture;
        struct warp_writer *writer;
        struct warp_io_request *requests[4];
        uint64_t boundaries[4], ends[4];
        bool done[4] = {false};
        uint32_t order[4], i, j, first;

        store_fixture_init(&fixture, &config);
        writer = &fixture.wal->writer;
        fixture.disk.order = STEERED_HELD;
        for (i = 0; i < 20; i++) {
            (void)store_fixture_append(&fixture, i % 2, 900);
        }
        warp_writer_want(writer, tail(&fixture));
        (void)warp_wal_turn(fixture.wal);
        if (!check_u64(fixture.disk.queued_count, ==, 4)) {
            (void)store_fixture_fini(&fixture);
            return;
        }
        for (i = 0; i < 4; i++) {
            struct warp_flush *flush = &writer->flushes[(writer->flush_head + i) % 8];

            requests[i] = &flush->request;
            boundaries[i] = flush->boundary;
            ends[i] = flush->end;
            check_int(flush->durable, ==, true);
        }
        permute(number, 4, order);
        first = 0;
        for (i = 0; i < 4; i++) {
            for (j = 0; fixture.disk.queued[j] != requests[order[i]]; j++) {
            }
            steered_complete(&fixture.disk, j);
            /* No more flushes may begin meanwhile: they would be a fifth. */
            done[order[i]] = true;
            (void)warp_wal_turn(fixture.wal);
            while (first < 4 && done[first]) {
                first++;
            }
            if (first > 0) {
                check_u64(writer->durable_raw, >=, ends[first - 1]);
                check_u64(mark(&fixture), >=, boundaries[first - 1]);
                check(first == 4 || mark(&fixture) == boundaries[first - 1]);
            } else {
                check_u64(mark(&fixture), <=, boundaries[0]);
            }
            check_honest(&fixture);
        }
        fixture.disk.order = STEERED_IN_ORDER;
        check_int(warp_writer_flush(writer), ==, 0);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

static bool throw_dice(void *context, enum warp_chance point)
{
    struct store_fixture *fixture = context;

    (void)point;
    return warp_random_chance(&fixture->disk.random, 6);
}

/* Anything in any order: appends, half-done appends, time, turns, waits, completions. */
static void random_schedule(uint64_t seed, bool chances)
{
    struct store_fixture_config config = {.log_only = true, .shard_count = 3};
    struct store_fixture fixture;
    struct warp_random random;
    struct warp_writer *writer;
    struct store_scan scan;
    uint64_t begun[3] = {0}, begun_bytes[3] = {0}, last_mark = 0;
    uint32_t step, cell, records = 0, pads = 0;

    warp_random_init(&random, seed);
    config.flush_bytes_max = 4096u << warp_random_below(&random, 6);
    config.flushes_max = 1 + (uint32_t)warp_random_below(&random, 8);
    config.segment_bytes = 4096u << warp_random_below(&random, 6);
    store_fixture_init(&fixture, &config);
    writer = &fixture.wal->writer;
    warp_random_init(&fixture.disk.random, seed + 1);
    fixture.disk.order = (enum steered_order)warp_random_below(&random, 3);
    fixture.env.chance = chances ? throw_dice : NULL;
    for (step = 0; step < 600; step++) {
        cell = (uint32_t)warp_random_below(&random, 3);
        switch (warp_random_below(&random, 8)) {
        case 0:
        case 1:
        case 2:
            if (begun_bytes[cell] == 0) {
                bool stalled = begun_bytes[0] + begun_bytes[1] + begun_bytes[2] > 0;
                /* A big one waits for the ring, so nobody else may be in the middle. */
                uint32_t bytes = (uint32_t)warp_random_below(
                    &random, !stalled && warp_random_chance(&random, 8) ? 150000 : 1500);
                uint64_t end = 0;

                if (warp_wal_has_room(fixture.wal, bytes + 9, false)) {
                    end = store_fixture_append(&fixture, cell, bytes);
                }
                if (end != 0) {
                    records++;
                    warp_writer_note(writer, end, warp_random_chance(&random, 2));
                    if (warp_random_chance(&random, 3)) {
                        warp_writer_want(writer, end);
                    }
                }
            }
            break;
        case 3:
            if (begun_bytes[cell] == 0 && warp_writer_has_room(writer, 256, false)) {
                begun_bytes[cell] = 256;
                begun[cell] =
                    warp_buffer_begin(&writer->buffer, cell, &writer->sequence, 256);
            }
            break;
        case 4:
            if (begun_bytes[cell] != 0) {
                uint8_t header[WARP_FRAME_HEADER_BYTES];
                struct warp_frame frame;

                memset(&frame, 0, sizeof(frame));
                frame.kind = WARP_FRAME_PAD;
                frame.position = begun[cell];
                frame.body_bytes = 256 - WARP_FRAME_HEADER_BYTES;
                frame.epoch = writer->epoch;
                warp_frame_encode_header(header, &frame, writer->seed);
                warp_buffer_copy_in(&writer->buffer, begun[cell], header, sizeof(header));
                warp_buffer_finish(&writer->buffer, cell);
                begun_bytes[cell] = 0;
                pads++;
            }
            break;
        case 5:
            warp_clock_fake_advance(&fixture.clock, warp_random_below(&random, 3 * MS));
            (void)warp_wal_turn(fixture.wal);
            break;
        case 6:
            (void)warp_wal_turn(fixture.wal);
            break;
        case 7:
            (void)warp_writer_wait(writer, tail(&fixture), warp_random_below(&random, MS));
            break;
        }
        check_u64(mark(&fixture), >=, last_mark);
        last_mark = mark(&fixture);
        for (cell = 0; cell < 3; cell++) {
            check(begun_bytes[cell] == 0 || last_mark <= begun[cell]);
        }
        if (step % 20 == 0) {
            check_honest(&fixture);
        }
    }
    for (cell = 0; cell < 3; cell++) {
        if (begun_bytes[cell] != 0) {
            uint8_t header[WARP_FRAME_HEADER_BYTES];
            struct warp_frame frame;

            memset(&frame, 0, sizeof(frame));
            frame.kind = WARP_FRAME_PAD;
            frame.position = begun[cell];
            frame.body_bytes = 256 - WARP_FRAME_HEADER_BYTES;
            frame.epoch = writer->epoch;
            warp_frame_encode_header(header, &frame, writer->seed);
            warp_buffer_copy_in(&writer->buffer, begun[cell], header, sizeof(header));
            warp_buffer_finish(&writer->buffer, cell);
            pads++;
        }
    }
    fixture.env.chance = NULL;
    check_int(warp_writer_flush(writer), ==, 0);
    check_honest(&fixture);
    store_fixture_scan(&fixture, true, &scan);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, records);
    check_u64(scan.kinds[WARP_FRAME_PAD], >=, pads);
    if (!check_int(store_fixture_fini(&fixture), ==, 0) || test_failures() != 0) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    }
}

WARP_TEST(writer, random_schedules_keep_the_mark_honest)
{
    uint64_t i;

    for (i = 0; i < 60 && test_failures() == 0; i++) {
        random_schedule(test_seed() + i, i % 2 == 1);
    }
}

static bool always_pad(void *context, enum warp_chance point)
{
    (void)context;
    return point == WARP_CHANCE_FLUSH_PADDED;
}

WARP_TEST(writer, a_padded_flush_ends_with_its_block)
{
    struct store_fixture_config config = {.log_only = true, .segment_bytes = 1u << 20};
    struct store_fixture fixture;
    struct store_scan scan;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    fixture.env.chance = always_pad;
    for (i = 0; i < 30; i++) {
        uint64_t end = store_fixture_append(&fixture, 0, i * 131);

        check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, 0);
        check_u64(tail(&fixture) % 4096, ==, 0);
        check_u64(mark(&fixture), ==, tail(&fixture));
    }
    fixture.env.chance = NULL;
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 30);
    check_u64(scan.kinds[WARP_FRAME_PAD], >=, 25);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

struct counted_watch {
    struct warp_writer_watch watch;
    uint32_t fired;
};

static void count_fire(struct warp_writer_watch *watch)
{
    ((struct counted_watch *)watch)->fired++;
}

static void arm(struct store_fixture *fixture, struct counted_watch *watch, uint64_t target)
{
    memset(watch, 0, sizeof(*watch));
    watch->watch.target = target;
    watch->watch.fire = count_fire;
    warp_writer_watch(&fixture->wal->writer, &watch->watch);
}

WARP_TEST(writer, a_watch_fires_once_when_the_mark_is_there)
{
    struct store_fixture fixture;
    struct counted_watch watches[4];
    uint64_t ends[3];
    uint32_t i;

    store_fixture_init(&fixture, &log_only);
    arm(&fixture, &watches[3], mark(&fixture));
    check_u64(watches[3].fired, ==, 1);
    for (i = 0; i < 3; i++) {
        ends[i] = store_fixture_append(&fixture, 0, 100);
        arm(&fixture, &watches[i], ends[i]);
        check_u64(watches[i].fired, ==, 0);
    }
    warp_writer_unwatch(&fixture.wal->writer, &watches[1].watch);
    check_int(warp_writer_wait(&fixture.wal->writer, ends[2], UINT64_MAX), ==, 0);
    check_u64(watches[0].fired, ==, 1);
    check_u64(watches[1].fired, ==, 0);
    check_u64(watches[2].fired, ==, 1);
    warp_writer_unwatch(&fixture.wal->writer, &watches[0].watch); /* fired: nothing to do */
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_wish_makes_the_log_flush_in_its_next_turns)
{
    struct store_fixture fixture;
    struct counted_watch watch;
    uint64_t end;

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    end = store_fixture_append(&fixture, 0, 100);
    arm(&fixture, &watch, end);
    warp_writer_want(&fixture.wal->writer, end);
    store_fixture_run(&fixture, 3, 1000);
    check_u64(watch.fired, ==, 1);
    check_u64(mark(&fixture), >=, end);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_failed_write_stops_the_log_for_good)
{
    uint32_t asynchronous;

    for (asynchronous = 0; asynchronous < 2; asynchronous++) {
        struct store_fixture fixture;
        struct counted_watch watch, late;
        uint64_t before, end;
        char text[256];

        store_fixture_init(&fixture, &log_only);
        quiesce(&fixture);
        before = mark(&fixture);
        check_int(warp_writer_failure(&fixture.wal->writer, text, sizeof(text)), ==, 0);
        check_str(text, "");
        fixture.disk.fail_write_at = fixture.disk.writes;
        end = store_fixture_append(&fixture, 0, 100);
        arm(&fixture, &watch, end);
        if (asynchronous) {
            warp_writer_want(&fixture.wal->writer, end);
            store_fixture_run(&fixture, 10, MS);
        }
        check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==,
                  WARP_EFAILED);
        check_u64(mark(&fixture), ==, before);
        check_u64(watch.fired, ==, 1);
        arm(&fixture, &late, end);
        check_u64(late.fired, ==, 1);
        /* What was durable before is still said to be. */
        check_int(warp_writer_wait(&fixture.wal->writer, before, UINT64_MAX), ==, 0);
        check(!warp_wal_has_room(fixture.wal, 1, false));
        check(!warp_wal_has_room(fixture.wal, 1, true));
        check(!warp_wal_has_room(fixture.wal, 1000000, true));
        check_int(warp_writer_make_room(&fixture.wal->writer, 64, true, UINT64_MAX), ==,
                  WARP_EFAILED);
        check_int(warp_writer_failure(&fixture.wal->writer, text, sizeof(text)), ==,
                  WARP_EFAILED);
        check(strstr(text, "write") != NULL && strstr(text, "read-only") != NULL);
        /* The disk is well again, and it makes no difference. */
        fixture.disk.fail_write_at = UINT64_MAX;
        before = fixture.disk.writes;
        store_fixture_run(&fixture, 50, 10 * MS);
        check_int(warp_writer_flush(&fixture.wal->writer), ==, WARP_EFAILED);
        check_u64(fixture.disk.writes, ==, before);
        check_int(store_fixture_fini(&fixture), ==, WARP_EFAILED);
    }
}

WARP_TEST(writer, a_failed_sync_stops_the_log_for_good)
{
    struct store_fixture fixture;
    struct counted_watch watch;
    uint64_t before, end;
    char text[256];

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    before = mark(&fixture);
    fixture.disk.fail_sync_at = fixture.disk.syncs;
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(&fixture.wal->writer, end, true);
    arm(&fixture, &watch, end);
    store_fixture_run(&fixture, 150, MS);
    check(warp_writer_failed(&fixture.wal->writer));
    check_u64(watch.fired, ==, 1);
    check_u64(mark(&fixture), ==, before);
    check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, WARP_EFAILED);
    check_int(warp_writer_failure(&fixture.wal->writer, text, sizeof(text)), ==,
              WARP_EFAILED);
    check(strstr(text, "sync") != NULL);
    check_int(store_fixture_fini(&fixture), ==, WARP_EFAILED);
}

WARP_TEST(writer, every_write_and_sync_may_fail_and_nothing_is_acknowledged_falsely)
{
    uint64_t nth;
    bool failed = true;

    for (nth = 0; failed && nth < 200; nth++) {
        struct store_fixture fixture;
        uint64_t end = 0, acknowledged = 0;
        struct store_scan scan;
        uint32_t i;

        store_fixture_init(&fixture, &log_only);
        fixture.disk.fail_write_at =
            nth % 2 == 0 ? fixture.disk.writes + nth / 2 : UINT64_MAX;
        fixture.disk.fail_sync_at =
            nth % 2 == 1 ? fixture.disk.syncs + nth / 2 : UINT64_MAX;
        for (i = 0; i < 20; i++) {
            if (!warp_wal_has_room(fixture.wal, 509, false)) {
                break;
            }
            end = store_fixture_append(&fixture, 0, 500);
            warp_writer_note(&fixture.wal->writer, end, true);
            if (i % 4 == 0 &&
                warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX) == 0) {
                acknowledged = end;
            }
            store_fixture_run(&fixture, 5, 30 * MS);
        }
        failed = warp_writer_failed(&fixture.wal->writer);
        check_u64(mark(&fixture), >=, acknowledged);
        store_fixture_scan(&fixture, true, &scan);
        check_int(scan.rc, ==, 0);
        check_u64(scan.end, >=, mark(&fixture));
        (void)store_fixture_fini(&fixture);
    }
    check(!failed);
    check_u64(nth, >, 5);
}

WARP_TEST(writer, a_full_disk_is_said_before_a_place_is_taken)
{
    struct store_fixture fixture;
    struct warp_writer *writer;
    uint64_t at, deletes = 0;
    uint32_t puts = 0;
    int rc = 0;

    store_fixture_init(&fixture, &log_only);
    writer = &fixture.wal->writer;
    fixture.disk.now->space_bytes = 0;
    while (rc == 0 && puts < 100000) {
        rc = warp_writer_make_room(writer, warp_frame_bytes(509), false, UINT64_MAX);
        if (rc == 0) {
            (void)store_fixture_append(&fixture, 0, 500);
            puts++;
        }
    }
    check_int(rc, ==, WARP_ENOSPC);
    check_u64(puts, >, 0);
    check(!warp_writer_failed(writer));
    at = tail(&fixture);
    check_int(warp_writer_make_room(writer, warp_frame_bytes(509), false, UINT64_MAX), ==,
              WARP_ENOSPC);
    check_int(warp_writer_make_room(writer, 1000000, false, UINT64_MAX), ==, WARP_ENOSPC);
    check_u64(tail(&fixture), ==, at);
    check(warp_writer_is_full(writer, warp_frame_bytes(509), false));
    /* What was taken can be made durable, and deletes go on in their reserve. */
    check_int(warp_writer_flush(writer), ==, 0);
    check(!warp_writer_is_full(writer, 64, true));
    while ((rc = warp_writer_make_room(writer, 64, true, UINT64_MAX)) == 0 &&
           deletes < 1000000) {
        (void)store_fixture_append(&fixture, 0, 20);
        deletes++;
    }
    check_int(rc, ==, WARP_ENOSPC);
    check_u64(deletes, >, 500);
    check_int(warp_writer_flush(writer), ==, 0);
    check_honest(&fixture);
    /* Space comes back: the log's own turns notice. */
    fixture.disk.now->space_bytes = UINT64_MAX;
    check(!warp_wal_has_room(fixture.wal, 509, false));
    store_fixture_run(&fixture, 50, 20 * MS);
    check(warp_wal_has_room(fixture.wal, 509, false));
    check(!warp_writer_is_full(writer, warp_frame_bytes(509), false));
    check_int(warp_writer_make_room(writer, warp_frame_bytes(509), false, UINT64_MAX), ==,
              0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, an_idle_log_writes_one_mark_and_then_nothing)
{
    struct store_fixture fixture;
    struct store_scan scan;
    uint64_t writes, syncs, due_ns = 0, end;
    uint32_t i;

    store_fixture_init(&fixture, &log_only);
    (void)store_fixture_append(&fixture, 0, 100);
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    quiesce(&fixture);
    store_fixture_scan(&fixture, true, &scan);
    check_u64(scan.kinds[WARP_FRAME_MARK], ==, 1);
    writes = fixture.disk.writes;
    syncs = fixture.disk.syncs;
    for (i = 0; i < 100; i++) {
        warp_clock_fake_advance(&fixture.clock, 1000 * MS);
        check(!warp_writer_turn(&fixture.wal->writer, 0, &due_ns));
        check_u64(due_ns, ==, UINT64_MAX);
    }
    check_u64(fixture.disk.writes, ==, writes);
    check_u64(fixture.disk.syncs, ==, syncs);
    check_u64(atomic_load(&fixture.wal->writer.idle), ==, 1);
    /* And it wakes again. */
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(&fixture.wal->writer, end, true);
    quiesce(&fixture);
    store_fixture_scan(&fixture, true, &scan);
    check_u64(scan.kinds[WARP_FRAME_MARK], ==, 2);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 2);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, interval_writes_are_written_in_a_millisecond_and_synced_in_time)
{
    struct store_fixture fixture;
    uint64_t end, writes, due_ns;
    struct store_scan scan;
    uint32_t i;

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    for (i = 0; i < 5; i++) {
        writes = fixture.disk.writes;
        end = store_fixture_append(&fixture, 0, 100);
        warp_writer_note(&fixture.wal->writer, end, true);
        (void)warp_writer_turn(&fixture.wal->writer, 0, &due_ns);
        warp_clock_fake_advance(&fixture.clock, MS);
        store_fixture_run(&fixture, 2, 0);
        check_u64(fixture.disk.writes, ==, writes + 1);
        store_fixture_scan(&fixture, false,
                           &scan); /* a killed process loses nothing more */
        check_u64(scan.end, >=, end);
        store_fixture_run(&fixture, 101, MS);
        check_u64(mark(&fixture), >=, end);
        check_honest(&fixture);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

static bool always_inline(void *context, enum warp_chance point)
{
    (void)context;
    return point == WARP_CHANCE_FLUSH_INLINE;
}

WARP_TEST(writer, what_nobody_waits_for_is_written_by_the_turn_itself)
{
    struct store_fixture fixture;
    struct warp_writer *writer;
    uint64_t end, due_ns, writes, led;

    store_fixture_init(&fixture, &log_only);
    writer = &fixture.wal->writer;
    quiesce(&fixture);
    fixture.env.chance = always_inline;
    writes = fixture.disk.writes;
    led = warp_counter_read(&writer->counters.flushes_led);
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(writer, end, true);
    warp_clock_fake_advance(&fixture.clock, MS);
    check(warp_writer_turn(writer, 0, &due_ns));
    check_u64(fixture.disk.writes, ==, writes + 1);
    check_u64(writer->written_raw, >=, end);
    check_u64(writer->flush_count, ==, 0);
    check_u64(mark(&fixture), <, end); /* written is not durable */
    check_u64(warp_counter_read(&writer->counters.flushes_led), ==, led);
    /* Beside a sync that is under way it goes through the queue: who waits for that is not held up. */
    check(writer->sync_busy);
    fixture.disk.order = STEERED_HELD;
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(writer, end, true);
    warp_clock_fake_advance(&fixture.clock, MS);
    check(warp_writer_turn(writer, 0, &due_ns));
    check(writer->sync_busy);
    check_u64(writer->flush_count, ==, 1);
    fixture.disk.order = STEERED_IN_ORDER;
    fixture.env.chance = NULL;
    check_int(warp_writer_wait(writer, end, UINT64_MAX), ==, 0);
    check_honest(&fixture);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_write_of_the_turn_itself_that_fails_is_told)
{
    struct store_fixture fixture;
    struct counted_watch watch;
    uint64_t before, end, due_ns;
    char text[256];

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    before = mark(&fixture);
    fixture.env.chance = always_inline;
    fixture.disk.fail_write_at = fixture.disk.writes;
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(&fixture.wal->writer, end, true);
    arm(&fixture, &watch, end);
    warp_clock_fake_advance(&fixture.clock, MS);
    (void)warp_writer_turn(&fixture.wal->writer, 0, &due_ns);
    check(warp_writer_failed(&fixture.wal->writer));
    check_u64(watch.fired, ==, 1);
    check_u64(mark(&fixture), ==, before);
    check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, WARP_EFAILED);
    check_int(warp_writer_failure(&fixture.wal->writer, text, sizeof(text)), ==,
              WARP_EFAILED);
    check(strstr(text, "write") != NULL);
    fixture.env.chance = NULL;
    check_int(store_fixture_fini(&fixture), ==, WARP_EFAILED);
}

WARP_TEST(writer, memory_writes_wait_for_their_time)
{
    struct store_fixture fixture;
    uint64_t writes, end, due_ns, begun_ns;

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    /* A flush, so that the next one is due an interval later. */
    check_int(warp_writer_wait(&fixture.wal->writer, store_fixture_append(&fixture, 0, 10),
                               UINT64_MAX),
              ==, 0);
    begun_ns = warp_clock_ns(fixture.env.clock);
    writes = fixture.disk.writes;
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(&fixture.wal->writer, end, false);
    while (warp_clock_ns(fixture.env.clock) < begun_ns + 98 * MS) {
        (void)warp_writer_turn(&fixture.wal->writer, 0, &due_ns);
        check_u64(due_ns, <=, begun_ns + 100 * MS);
        warp_clock_fake_advance(&fixture.clock, MS);
    }
    check_u64(fixture.disk.writes, ==, writes);
    store_fixture_run(&fixture, 5, MS);
    check_u64(fixture.disk.writes, ==, writes + 1);
    store_fixture_run(&fixture, 120, MS);
    check_u64(mark(&fixture), >=, end);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_wish_for_the_interval_outlives_a_turn_that_could_not_flush)
{
    struct store_fixture fixture;
    struct warp_writer *writer;
    uint64_t end, position, writes;
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame;

    store_fixture_init(&fixture, &log_only);
    writer = &fixture.wal->writer;
    quiesce(&fixture);
    fixture.disk.order = STEERED_HELD;
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(writer, end, true);
    store_fixture_run(&fixture, 2, MS);
    check_u64(fixture.disk.queued_count, ==, 1);
    /* Somebody stalls, and somebody behind writes at the interval. */
    position = warp_buffer_begin(&writer->buffer, 1, &writer->sequence, 64);
    end = store_fixture_append(&fixture, 0, 100);
    warp_writer_note(writer, end, true);
    warp_clock_fake_advance(&fixture.clock, 2 * MS);
    steered_complete(&fixture.disk, 0);
    (void)warp_wal_turn(fixture.wal); /* reaps, and can flush nothing */
    fixture.disk.order = STEERED_IN_ORDER;
    memset(&frame, 0, sizeof(frame));
    frame.kind = WARP_FRAME_PAD;
    frame.position = position;
    frame.body_bytes = 32;
    frame.epoch = writer->epoch;
    warp_frame_encode_header(header, &frame, writer->seed);
    warp_buffer_copy_in(&writer->buffer, position, header, sizeof(header));
    warp_buffer_finish(&writer->buffer, 1);
    writes = fixture.disk.writes;
    store_fixture_run(&fixture, 4, MS);
    check_u64(fixture.disk.writes, >, writes);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_wait_gives_up_in_time)
{
    struct store_fixture fixture;
    struct warp_writer *writer;
    uint64_t position, begun_ns, end;

    store_fixture_init(&fixture, &log_only);
    writer = &fixture.wal->writer;
    position = warp_buffer_begin(&writer->buffer, 1, &writer->sequence, 64);
    end = store_fixture_append(&fixture, 0, 100);
    begun_ns = warp_clock_ns(fixture.env.clock);
    check_int(warp_writer_wait(writer, end, 0), ==, WARP_AGAIN);
    check_int(warp_writer_wait(writer, end, 7 * MS), ==, WARP_AGAIN);
    check_u64(warp_clock_ns(fixture.env.clock) - begun_ns, >=, 7 * MS);
    check_u64(warp_clock_ns(fixture.env.clock) - begun_ns, <, 8 * MS);
    check_u64(mark(&fixture), <=, position);
    {
        uint8_t header[WARP_FRAME_HEADER_BYTES];
        struct warp_frame frame = {.kind = WARP_FRAME_PAD,
                                   .position = position,
                                   .body_bytes = 32,
                                   .epoch = writer->epoch};

        warp_frame_encode_header(header, &frame, writer->seed);
        warp_buffer_copy_in(&writer->buffer, position, header, sizeof(header));
    }
    warp_buffer_finish(&writer->buffer, 1);
    check_int(warp_writer_wait(writer, end, 7 * MS), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* ---- a big frame that is captured before it says that it is finished ----------------- */

static uint64_t begin_big(struct store_fixture *fixture, uint64_t bytes)
{
    struct warp_writer *writer = &fixture->wal->writer;
    uint64_t position = warp_buffer_begin(&writer->buffer, 1, &writer->sequence, bytes);
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame = {.kind = WARP_FRAME_PAD,
                               .position = position,
                               .body_bytes = (uint32_t)bytes - WARP_FRAME_HEADER_BYTES,
                               .epoch = writer->epoch};

    warp_frame_encode_header(header, &frame, writer->seed);
    warp_buffer_copy_in(&writer->buffer, position, header, sizeof(header));
    warp_buffer_progress(&writer->buffer, 1, position, position + bytes);
    return position + bytes;
}

WARP_TEST(writer, a_big_frame_finished_after_its_last_flush_is_marked_at_once)
{
    struct store_fixture fixture;
    uint64_t end, position, begun_ns;

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    position = tail(&fixture);
    end = begin_big(&fixture, 8192);
    store_fixture_run(&fixture, 3, 100 * MS); /* written and synced to its last byte */
    check_u64(fixture.wal->writer.durable_raw, ==, end);
    check_u64(mark(&fixture), ==, position);
    warp_buffer_finish(&fixture.wal->writer.buffer, 1);
    begun_ns = warp_clock_ns(fixture.env.clock);
    check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, 0);
    check_u64(warp_clock_ns(fixture.env.clock) - begun_ns, <, 2 * MS);
    check_u64(tail(&fixture), ==, end); /* and without the help of a MARK frame */
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_watch_learns_of_a_big_frame_finished_after_its_last_flush)
{
    struct store_fixture fixture;
    struct counted_watch watch;
    uint64_t end;

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    end = begin_big(&fixture, 8192);
    store_fixture_run(&fixture, 3, 100 * MS);
    warp_buffer_finish(&fixture.wal->writer.buffer, 1);
    arm(&fixture, &watch, end);
    warp_writer_want(&fixture.wal->writer, end);
    store_fixture_run(&fixture, 3, 1000);
    check_u64(watch.fired, ==, 1);
    if (watch.fired == 0) {
        warp_writer_unwatch(&fixture.wal->writer, &watch.watch);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

static void complete_one(struct store_fixture *fixture)
{
    if (fixture->disk.queued_count > 0) {
        steered_complete(&fixture->disk, 0);
    }
}

WARP_TEST(writer, a_big_frame_finished_during_a_sync_is_marked_by_it)
{
    struct store_fixture fixture;
    uint64_t end, begun_ns;
    uint32_t i;

    store_fixture_init(&fixture, &log_only);
    quiesce(&fixture);
    end = begin_big(&fixture, 8192);
    fixture.disk.order = STEERED_HELD;
    /* Written ... */
    for (i = 0; i < 300 && fixture.wal->writer.written_raw < end; i++) {
        store_fixture_run(&fixture, 1, MS);
        while (fixture.disk.queued_count > 0 &&
               fixture.disk.queued[0]->op != WARP_IO_SYNC) {
            steered_complete(&fixture.disk, 0);
        }
    }
    check_u64(fixture.wal->writer.written_raw, ==, end);
    /* ... and in the middle of a sync. */
    for (i = 0; i < 300 && fixture.disk.queued_count == 0; i++) {
        store_fixture_run(&fixture, 1, MS);
    }
    check_u64(fixture.disk.queued_count, ==, 1);
    warp_buffer_finish(&fixture.wal->writer.buffer, 1);
    check_int(warp_writer_wait(&fixture.wal->writer, end, 300000), ==, WARP_AGAIN);
    fixture.at_wait = complete_one;
    begun_ns = warp_clock_ns(fixture.env.clock);
    check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, 0);
    check_u64(warp_clock_ns(fixture.env.clock) - begun_ns, <, 5 * MS);
    check_u64(tail(&fixture), ==, end);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* ---- stalls and crowds --------------------------------------------------------------- */

static void finish_at_tenth(struct store_fixture *fixture)
{
    if (fixture->wait_count == 10) {
        warp_buffer_finish(&fixture->wal->writer.buffer, 1);
    }
}

WARP_TEST(writer, a_stalled_writer_holds_the_mark_and_loses_nothing)
{
    struct store_fixture fixture;
    struct store_scan scan;
    struct warp_writer *writer;
    uint64_t position, end;
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame = {.kind = WARP_FRAME_PAD, .body_bytes = 32};

    store_fixture_init(&fixture, &log_only);
    writer = &fixture.wal->writer;
    position = warp_buffer_begin(&writer->buffer, 1, &writer->sequence, 64);
    frame.position = position;
    frame.epoch = writer->epoch;
    warp_frame_encode_header(header, &frame, writer->seed);
    warp_buffer_copy_in(&writer->buffer, position, header, sizeof(header));
    end = store_fixture_append(&fixture, 0, 300);
    store_fixture_run(&fixture, 50, 10 * MS);
    check_u64(mark(&fixture), ==, position);
    fixture.wait_count = 0;
    fixture.at_wait = finish_at_tenth;
    check_int(warp_writer_wait(writer, end, UINT64_MAX), ==, 0);
    check_u64(fixture.wait_count, >=, 10);
    store_fixture_scan(&fixture, true, &scan);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_full_ring_is_drained_by_who_needs_it)
{
    struct store_fixture_config config = {.log_only = true, .buffer_bytes = 16384};
    struct store_fixture fixture;
    struct store_scan scan;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    fixture.frozen = true; /* the log thread does nothing at all */
    for (i = 0; i < 500; i++) {
        check_int(warp_writer_make_room(&fixture.wal->writer, warp_frame_bytes(509), false,
                                        UINT64_MAX),
                  ==, 0);
        (void)store_fixture_append(&fixture, i % 2, 500);
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 500);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

struct committer {
    struct store_fixture *fixture;
    uint32_t cell, count;
    uint64_t stall_us, timeout_ns, delay_us;
    pthread_t thread;
    int rc;
    uint32_t wrong;
};

static void *commit_main(void *context)
{
    struct committer *committer = context;
    struct store_fixture *fixture = committer->fixture;
    struct warp_writer *writer = &fixture->wal->writer;
    uint32_t i;

    if (committer->delay_us > 0) {
        usleep((useconds_t)committer->delay_us);
    }
    for (i = 0; i < committer->count; i++) {
        uint64_t end;

        check_int(warp_writer_make_room(writer, warp_frame_bytes(300), false, UINT64_MAX),
                  ==, 0);
        if (committer->stall_us > 0) {
            uint8_t header[WARP_FRAME_HEADER_BYTES];
            uint64_t position =
                warp_buffer_begin(&writer->buffer, committer->cell, &writer->sequence, 64);
            struct warp_frame frame = {.kind = WARP_FRAME_PAD,
                                       .position = position,
                                       .body_bytes = 32,
                                       .epoch = writer->epoch};

            usleep((useconds_t)committer->stall_us);
            committer->wrong += warp_writer_durable(writer) > position;
            warp_frame_encode_header(header, &frame, writer->seed);
            warp_buffer_copy_in(&writer->buffer, position, header, sizeof(header));
            warp_buffer_finish(&writer->buffer, committer->cell);
            end = position + 64;
        } else {
            end = store_fixture_append(fixture, committer->cell, 50 + i % 200);
        }
        committer->rc = warp_writer_wait(writer, end, committer->timeout_ns);
        if (committer->timeout_ns == UINT64_MAX) {
            committer->wrong += committer->rc != 0 || warp_writer_durable(writer) < end;
        }
    }
    return NULL;
}

static void crowd(uint32_t threads, uint32_t count, uint32_t latency_us, uint64_t stall_us,
                  uint32_t segment_bytes)
{
    struct store_fixture_config config = {.log_only = true,
                                          .threads = true,
                                          .shard_count = threads,
                                          .segment_bytes = segment_bytes,
                                          .buffer_bytes = 1u << 20,
                                          .order = STEERED_RANDOM,
                                          .latency_us = latency_us};
    struct store_fixture fixture;
    struct committer committers[16];
    struct store_scan scan;
    uint64_t durable;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    memset(committers, 0, sizeof(committers));
    for (i = 0; i < threads; i++) {
        committers[i].fixture = &fixture;
        committers[i].cell = i;
        committers[i].count = stall_us > 0 && i == 0 ? 5 : count;
        committers[i].stall_us = i == 0 ? stall_us : 0;
        committers[i].timeout_ns = UINT64_MAX;
        pthread_create(&committers[i].thread, NULL, commit_main, &committers[i]);
    }
    for (i = 0; i < threads; i++) {
        pthread_join(committers[i].thread, NULL);
        check_u64(committers[i].wrong, ==, 0);
    }
    durable = warp_writer_durable(&fixture.wal->writer);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.end, >=, durable);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==,
              stall_us > 0 ? (threads - 1) * count : threads * count);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(writer, a_crowd_of_committers_comes_through)
{
    crowd(12, 150, 0, 0, 1u << 20);
    crowd(12, 100, 100, 0, 1u << 20);
    crowd(16, 100, 50, 0, 16384);
}

WARP_TEST(writer, a_crowd_behind_stalled_writers_comes_through)
{
    crowd(6, 100, 50, 5000, 1u << 20);
}

WARP_TEST(writer, a_waiter_that_gives_up_leaves_the_others_their_wake)
{
    uint32_t round;

    for (round = 0; round < 4; round++) {
        struct store_fixture_config config = {.log_only = true,
                                              .threads = true,
                                              .shard_count = 3,
                                              .segment_bytes = 4u << 20,
                                              .slow_writes = true};
        struct store_fixture fixture;
        struct committer committers[3];
        struct timespec until;
        uint32_t i;

        store_fixture_init(&fixture, &config);
        memset(committers, 0, sizeof(committers));
        for (i = 0; i < 3; i++) {
            /* 0 leads; 1 waits for the next flush for ever; 2 does for 5 ms. */
            committers[i].fixture = &fixture;
            committers[i].cell = i;
            committers[i].count = 1;
            committers[i].delay_us = i * 2000;
            committers[i].timeout_ns = i == 2 ? (5 + round) * MS : UINT64_MAX;
            pthread_create(&committers[i].thread, NULL, commit_main, &committers[i]);
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 3;
        for (i = 0; i < 3; i++) {
            if (!check_int(pthread_timedjoin_np(committers[i].thread, NULL, &until), ==,
                           0)) {
                /* Wake it, so that the others can be run: the end of a sync wakes all. */
                uint64_t end = store_fixture_append(&fixture, 0, 10);

                warp_writer_note(&fixture.wal->writer, end, true);
                pthread_join(committers[i].thread, NULL);
            }
        }
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(writer, the_log_grows_over_many_segments)
{
    struct store_fixture_config config = {
        .log_only = true, .segment_bytes = 4096, .buffer_bytes = 16384};
    struct store_fixture fixture;
    struct store_scan scan;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 1000; i++) {
        check_int(warp_writer_make_room(&fixture.wal->writer, warp_frame_bytes(409), false,
                                        UINT64_MAX),
                  ==, 0);
        (void)store_fixture_append(&fixture, i % 2, 400);
        if (i % 7 == 0) {
            check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
        }
        if (i % 5 == 0) {
            store_fixture_run(&fixture, 1, MS);
        }
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.kinds[WARP_FRAME_RECORD], ==, 1000);
    check_u64(warp_segments_end(&fixture.segments), >, 400000);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
