/*
 * Reading the log back: what was written comes out in order; an unfinished tail is cut;
 * what was durable and is gone is reported with its place. The last tests play a writer
 * with flushes in flight, crash it at 512-byte sectors, and recover it again and again.
 */
#include "wal/scan.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/test.h"
#include "warp/warp.h"

#define S 4096u

/* An OPEN and so many records, each with the mark of the frame before it. */
static void log_with_records(struct log_fixture *log, uint32_t count, uint32_t value_bytes)
{
    uint32_t i;

    log_open_frame(log, log->epoch);
    for (i = 0; i < count; i++) {
        uint64_t at = log_record(log, i, value_bytes);

        log->mark = at;
        log->has_mark = true;
    }
}

static void check_clean_end(struct log_fixture *log, uint64_t end, uint32_t frames)
{
    check_int(log_scan(log), ==, 0);
    check_u64(log->result.end, ==, end);
    check_u64(log->result.frames, ==, frames);
    check_u64(log->seen_count, ==, frames);
    check_u64(log->result.bytes, ==, end - log->manifest.head_position);
    check_str(log->result.file, "");
}

WARP_TEST(scan, empty_log_has_no_frames)
{
    struct log_fixture log;

    log_init(&log, S);
    check_clean_end(&log, 0, 0); /* no file at all */
    check_u64(log.result.bytes_cut, ==, 0);
    log_grow(&log, 3 * S);
    check_clean_end(&log, 0, 0); /* files without frames */
    check_u64(log.result.bytes_cut, ==, 0);
    check(!log.result.clean);
    log_fini(&log);
}

WARP_TEST(scan, one_frame_comes_back)
{
    struct log_fixture log;

    log_init(&log, S);
    log_open_frame(&log, 1);
    check_clean_end(&log, 40, 1);
    check_int(log.seen[0].frame.kind, ==, WARP_FRAME_OPEN);
    check_u64(log.result.epoch_last, ==, 1);
    check(!log.result.clean);
    log_close_frame(&log);
    check_clean_end(&log, 80, 2);
    check(log.result.clean);
    check_u64(log.result.mark, ==, 40);
    log_frame(&log, WARP_FRAME_PAD, "12345678", 8); /* the last flush was padded */
    log_frame(&log, WARP_FRAME_MARK, NULL, 0);
    check_clean_end(&log, 152, 4);
    check(log.result.clean);
    log_record(&log, 1, 1);
    check_int(log_scan(&log), ==, 0);
    check(!log.result.clean);
    log_fini(&log);
}

WARP_TEST(scan, frames_of_all_kinds_straddle_segments_and_chunks)
{
    struct log_fixture log;
    struct warp_random random;
    uint64_t at[600];
    uint32_t i;

    warp_random_init(&random, test_seed());
    log_init(&log, S);
    at[0] = log_open_frame(&log, 1);
    for (i = 1; i < 600; i++) {
        switch (warp_random_below(&random, 6)) {
        case 0:
            at[i] = log_batch(&log, i, (uint32_t)warp_random_below(&random, 40));
            break;
        case 1:
            at[i] = log_frame(&log, WARP_FRAME_MARK, NULL, 0);
            break;
        case 2:
            at[i] = log_frame(&log, WARP_FRAME_PAD, "pad pad pad pad",
                              (uint32_t)warp_random_below(&random, 16));
            break;
        default:
            at[i] = log_record(&log, i, (uint32_t)warp_random_below(&random, 3000));
            break;
        }
        log.mark = at[i];
    }
    check_u64(log.position, >, 50 * S);
    check_clean_end(&log, log.position, 600);
    for (i = 0; i < 600; i++) {
        check_u64(log.seen[i].frame.position, ==, at[i]);
    }
    log.chunk_bytes = 65536;
    check_clean_end(&log, log.position, 600);
    log.chunk_bytes = WARP_SCAN_CHUNK_BYTES_DEFAULT;
    check_clean_end(&log, log.position, 600);
    log_fini(&log);
}

WARP_TEST(scan, a_frame_larger_than_a_chunk_comes_alone)
{
    static const uint32_t sizes[] = {4000, 4040, 4096, 5000, 8192, 12288, 100000};
    uint32_t i, j;

    for (i = 0; i < 7; i++) {
        for (j = 0; j < 3; j++) {
            struct log_fixture log;

            log_init(&log, S);
            log_open_frame(&log, 1);
            log_record(&log, 1, 100 + j * 1700);
            log_record(&log, 2, sizes[i]);
            log_record(&log, 3, 10);
            log_record(&log, 4, sizes[i]);
            log_record(&log, 5, sizes[i] + 8);
            log_record(&log, 6, 10);
            check_clean_end(&log, log.position, 7);
            log_fini(&log);
        }
    }
}

WARP_TEST(scan, more_small_frames_than_a_chunk_has_room_for)
{
    struct log_fixture log;
    uint32_t i;

    log_init(&log, 65536);
    log.chunk_bytes = 65536;
    log_open_frame(&log, 1);
    for (i = 1; i < 6000; i++) {
        log_frame(&log, WARP_FRAME_MARK, NULL, 0);
    }
    check_clean_end(&log, log.position, 6000);
    log_fini(&log);
}

WARP_TEST(scan, the_log_may_fill_its_files_to_the_last_byte)
{
    struct log_fixture log;
    uint32_t left;

    for (left = 0; left <= 64; left += 8) {
        log_init(&log, S);
        log_open_frame(&log, 1);
        while (log.position + 32 + 200 < 2 * S) {
            log_record(&log, 1, 77);
        }
        log_frame(&log, WARP_FRAME_PAD, NULL, 0);
        {
            uint8_t zero[4096] = {0};

            log_frame(&log, WARP_FRAME_PAD, zero,
                      (uint32_t)(2 * S - log.position - 32 - left));
        }
        check_u64(log.position, ==, 2 * S - left);
        check_int(log_scan(&log), ==, 0);
        check_u64(log.result.end, ==, 2 * S - left);
        log_fini(&log);
    }
}

WARP_TEST(scan, a_log_whose_head_moved_begins_there)
{
    struct log_fixture log;
    uint64_t at[100];
    uint32_t i;

    log_init(&log, S);
    log_open_frame(&log, 1);
    for (i = 0; i < 100; i++) {
        at[i] = log_record(&log, i, 300);
    }
    log.manifest.head_position = at[60];
    memory_disk_remove(log.disk, "log-0000000000000000.warp");
    check_clean_end(&log, log.position, 40);
    check_u64(log.seen[0].frame.position, ==, at[60]);
    log.manifest.head_position =
        at[60] + 8; /* no frame begins there, and a mark is above */
    log.mark = at[99];
    log_frame(&log, WARP_FRAME_MARK, NULL, 0);
    check_int(log_scan(&log), ==, WARP_EDAMAGED);
    log_fini(&log);
}

/*
 * ---- tails ----------------------------------------------------------------------------
 */

WARP_TEST(scan, torn_tail_is_dropped_wherever_it_is_torn)
{
    struct log_fixture whole;
    uint64_t last, cut;
    uint32_t filler;

    log_init(&whole, S);
    log_with_records(&whole, 10, 50);
    last = log_record(&whole, 10, 90);
    for (filler = 0; filler < 3; filler++) {
        for (cut = last; cut < whole.position; cut++) {
            uint8_t rest[256];
            struct log_fixture log;

            memset(rest, filler == 0 ? 0 : filler == 1 ? 0xff : 'W', sizeof(rest));
            log_copy(&log, &whole);
            log_poke(&log, cut, rest, whole.position - cut);
            check_int(log_scan(&log), ==, 0);
            if (cut >= whole.position - 5 && log.result.end == whole.position) {
                check_u64(log.seen_count, ==, 12); /* only padding was lost */
            } else {
                check_u64(log.result.end, ==, last);
                check_u64(log.seen_count, ==, 11);
                check_u64(log.result.bytes_cut, <=, whole.position - last);
                check(log.result.bytes_cut > 0 || cut == last);
            }
            log_fini(&log);
        }
    }
    log_fini(&whole);
}

/* Make bytes [from, to) of the log zeros, as if a flush never came to the disk. */
static void log_lose(struct log_fixture *log, uint64_t from, uint64_t to)
{
    static const uint8_t zero[64];

    for (; from < to; from++) {
        log_poke(log, from, zero, 1);
    }
}

WARP_TEST(scan, a_hole_above_all_marks_is_cut)
{
    struct log_fixture log;
    uint64_t hole, end;
    uint32_t i;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    log.mark = hole = log.position; /* known durable up to here, and not beyond */
    for (i = 0; i < 200; i++) {
        log_record(&log, 100 + i, 60);
    }
    end = log.position;
    log_lose(&log, hole, hole + 150);
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, hole);
    check_u64(log.result.bytes_cut, ==, end - hole);
    check_u64(log.seen_count, ==, 6);
    log_fini(&log);
}

WARP_TEST(scan, a_hole_below_a_later_mark_is_damage_with_file_and_offset)
{
    struct log_fixture log;
    uint64_t hole, witness;
    uint32_t i;

    log_init(&log, S);
    log_with_records(&log, 100, 50);
    log.mark = hole = log.position;
    for (i = 0; i < 200; i++) {
        log_record(&log, 100 + i, 60);
    }
    log.mark = hole + 8;
    witness = log_record(&log, 1000, 60);
    log_record(&log, 1001, 60);
    log_lose(&log, hole, hole + 150);
    check_int(log_scan(&log), ==, WARP_EDAMAGED);
    check_u64(log.result.damaged_position, ==, hole);
    check_u64(log.result.valid_after, ==, witness);
    check_u64(log.result.file_offset, ==, 4096 + hole % S);
    check_u64(hole / S, ==, 2);
    check_str(log.result.file, "log-0000000000000002.warp");
    check(log.result.what != NULL);
    check_u64(log.result.resume, >, hole);
    check_u64(log.result.resume, <=, hole + 300);
    check_u64(log.seen_count, ==, 101);
    log_fini(&log);
}

WARP_TEST(scan, a_witness_needs_no_body_of_its_own)
{
    struct log_fixture log;
    uint64_t hole, witness;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    hole = log_record(&log, 6, 500);
    log.mark = log.position;
    witness = log_record(&log, 7, 900);
    log_lose(&log, witness + 100, log.position);
    check_int(log_scan(&log), ==, 0); /* it is a torn tail itself ... */
    check_u64(log.result.end, ==, witness);
    log_lose(&log, hole + 100, hole + 200);
    check_int(log_scan(&log), ==, WARP_EDAMAGED); /* ... but its header tells the truth */
    check_u64(log.result.damaged_position, ==, hole);
    log_fini(&log);
}

WARP_TEST(scan, stale_frames_of_a_lower_epoch_after_the_end_are_ignored)
{
    struct log_fixture log;
    uint64_t cut, end;
    uint32_t i;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    cut = log.position;
    log.mark = cut;
    for (i = 0; i < 50; i++) {
        log_record(&log, 100 + i, 60); /* never acknowledged, will be cut */
    }
    end = log.position;
    log.position = cut;
    log_open_frame(&log, 2);
    log.mark = cut;
    /*
     * Records of 60 are 112 bytes, OPEN is 40: write until a new frame ends where an old
     * begins.
     */
    while ((log.position - cut) % 112 != 0 && log.position < end) {
        log_record(&log, 200, 13 + (uint32_t)(log.position % 3) * 8);
    }
    check_u64(log.position, <, end);
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, log.position);
    check_u64(log.result.epoch_last, ==, 2);
    check_u64(log.result.bytes_cut, ==, 0);
    log_fini(&log);
}

WARP_TEST(scan, a_stale_frame_at_the_very_begin_is_known_by_the_epoch_there)
{
    struct log_fixture log;
    uint64_t begin;

    /* A life of epoch 1 is cut at a place where later a checkpoint of epoch 2 begins, behind
     * which nothing was written any more. */
    log_init(&log, S);
    log_with_records(&log, 5, 50);
    begin = log.position;
    log_record(&log, 100, 60);
    log_record(&log, 101, 60);
    log.manifest.epoch = 2;
    log.manifest.head_position = begin;
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.frames, ==, 2); /* nothing tells that they are old ... */
    log.begin_epoch = 2;
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.frames, ==, 0); /* ... but the epoch at the begin does */
    check_u64(log.result.end, ==, begin);
    check_u64(log.result.bytes_cut, ==, 0);
    log_fini(&log);
}

WARP_TEST(scan, old_frames_of_a_recycled_file_are_ignored)
{
    struct log_fixture log;
    uint8_t old[S];
    uint64_t end;

    log_init(&log, S);
    log_with_records(&log, 100, 50);
    end = log.position;
    log_peek(&log, 0, old, S);
    log_grow(&log, 8 * S);
    log_poke(&log, 6 * S, old, S); /* their positions say 0 ..., they lie at 6 * S ... */
    log_poke(&log, warp_align_up(end, S), old, S);
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, end);
    check_u64(log.result.bytes_cut, ==, 0);
    log_fini(&log);
}

WARP_TEST(scan, an_old_frame_just_at_the_end_is_not_taken)
{
    struct log_fixture log;
    uint8_t old[64];
    uint64_t end;

    log_init(&log, S);
    log_with_records(&log, 10, 50);
    end = log.position;
    log_peek(&log, 40, old,
             sizeof(old)); /* a good frame of this epoch, from another place */
    log_poke(&log, end, old, sizeof(old));
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, end);
    check_u64(log.seen_count, ==, 11);
    log_fini(&log);
}

WARP_TEST(scan, a_frame_whose_rest_has_no_file_yet_is_cut)
{
    uint32_t inside;

    for (inside = 8; inside <= 200; inside += 8) {
        struct log_fixture log;
        uint8_t zero[2 * S] = {0};
        uint64_t last;

        log_init(&log, S);
        log_open_frame(&log, 1);
        log_frame(&log, WARP_FRAME_PAD, zero,
                  (uint32_t)(2 * S - log.position - 32 - inside));
        last = log_record(&log, 7, 500);
        check_u64(last, ==, 2 * S - inside);
        memory_disk_remove(log.disk, "log-0000000000000002.warp");
        check_int(log_scan(&log), ==, 0);
        check_u64(log.result.end, ==, last);
        check_u64(log.seen_count, ==, 2);
        log_fini(&log);
    }
}

/*
 * Witnesses at every place around the edge of a chunk, and in the last bytes of the last
 * file.
 */
WARP_TEST(scan, a_witness_is_found_wherever_it_lies)
{
    uint64_t place;

    for (place = S - 64; place <= 2 * S - 32; place += place < S + 64 ? 8 : 504) {
        struct log_fixture log;
        uint64_t hole;

        log_init(&log, S);
        log_with_records(&log, 3, 50);
        hole = log.position;
        log_grow(&log, 2 * S);
        log.position = place;
        log.mark = hole + 8;
        log_frame(&log, WARP_FRAME_MARK, NULL, 0);
        check_int(log_scan(&log), ==, WARP_EDAMAGED);
        check_u64(log.result.damaged_position, ==, hole);
        check_u64(log.result.valid_after, ==, place);
        log.position = place;
        log.mark = hole;
        log_frame(&log, WARP_FRAME_MARK, NULL, 0);
        check_int(log_scan(&log), ==, 0);
        check_u64(log.result.end, ==, hole);
        check_u64(log.result.bytes_cut, ==, place + 32 - hole);
        log_fini(&log);
    }
    {
        struct log_fixture log; /* and in the very last bytes */

        log_init(&log, S);
        log_with_records(&log, 3, 50);
        log_grow(&log, 2 * S);
        log.mark = log.position + 8;
        log.position = 2 * S - 32;
        log_frame(&log, WARP_FRAME_MARK, NULL, 0);
        check_int(log_scan(&log), ==, WARP_EDAMAGED);
        log_fini(&log);
    }
}

WARP_TEST(scan, an_overwritten_tail_may_crash_again)
{
    struct log_fixture log;
    uint64_t cut, end, open;
    uint32_t epoch, i;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    cut = log.position;
    for (epoch = 2; epoch < 6; epoch++) {
        /* The OPEN is torn, later frames of its flush arrived. */
        log.position = cut;
        open = log_open_frame(&log, epoch);
        for (i = 0; i < 30; i++) {
            log_record(&log, 1000 * epoch + i, 20 + 8 * epoch);
        }
        end = log.position;
        log_lose(&log, open + 8, open + 24);
        check_int(log_scan(&log), ==, 0);
        check_u64(log.result.end, ==, cut);
        check_u64(log.result.epoch_last, ==, 1);
        check_u64(log.result.bytes_cut, >=, end - cut);
    }
    log.position = cut;
    log_open_frame(&log, 6);
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, cut + 40);
    check_u64(log.result.epoch_last, ==, 6);
    log_fini(&log);
}

WARP_TEST(scan, an_epoch_rises_only_at_an_open_frame)
{
    struct log_fixture log;
    uint64_t end;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    end = log.position;
    log.manifest.epoch = 9;
    log.epoch = 2;
    log_record(&log, 6, 10); /* not an OPEN */
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, end);
    log.position = end;
    log.epoch = 1;
    log_open_frame(&log, 1); /* an OPEN that is not newer */
    check_int(log_scan(&log), ==, 0);
    check_u64(log.result.end, ==, end);
    log_fini(&log);
}

/*
 * No crash does that; an old MANIFEST put back from a backup does. It must not cut the log.
 */
WARP_TEST(scan, frames_later_than_the_manifest_are_damage_not_a_tail)
{
    struct log_fixture log;
    uint64_t end;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    end = log.position;
    log_open_frame(&log, 4);
    log_record(&log, 7, 10);
    log.manifest.epoch = 3;
    check_int(log_scan(&log), ==, WARP_EDAMAGED);
    check_u64(log.result.damaged_position, ==, end);
    log_lose(&log, end, end + 40); /* also when only a frame behind a gap tells */
    check_int(log_scan(&log), ==, WARP_EDAMAGED);
    check_u64(log.result.damaged_position, ==, end);
    log_fini(&log);
}

WARP_TEST(scan, newer_version_is_refused_not_cut)
{
    struct log_fixture log;
    uint8_t header[32];
    uint64_t at, after;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    at = log_record(&log, 6, 50);
    after = log_record(&log, 7, 50);
    log_peek(&log, after, header, 32);
    header[2] = 2;
    warp_store_u32le(header + 4, 0);
    warp_store_u32le(
        header + 4, warp_crc32c(warp_manifest_seed(&log.manifest), header, sizeof(header)));
    log_poke(&log, after, header, 32);
    check_int(log_scan(&log), ==, WARP_EVERSION);
    check_u64(log.result.damaged_position, ==, after);
    log_lose(&log, at, at + 8); /* behind a gap it says the same */
    check_int(log_scan(&log), ==, WARP_EVERSION);
    check_u64(log.result.damaged_position, ==, at);
    log_fini(&log);
}

WARP_TEST(scan, foreign_id_is_refused)
{
    struct log_fixture log;

    log_init(&log, S);
    log_with_records(&log, 5, 50);
    log.manifest.id[3] ^= 1;
    check_int(log_scan(&log), ==, WARP_EFORMAT);
    log_fini(&log);
}

/*
 * ---- damage, systematically ------------------------------------------------------------
 */

/* The frames seen are a prefix of those that were there. */
static bool seen_is_prefix(const struct log_fixture *log, const struct log_fixture *whole)
{
    uint32_t i;

    if (log->seen_count > whole->seen_count) {
        return false;
    }
    for (i = 0; i < log->seen_count; i++) {
        const struct log_seen *a = &log->seen[i], *b = &whole->seen[i];

        if (a->frame.position != b->frame.position || a->frame.kind != b->frame.kind ||
            a->frame.body_bytes != b->frame.body_bytes ||
            a->frame.epoch != b->frame.epoch || a->body_hash != b->body_hash) {
            return false;
        }
    }
    return true;
}

/*
 * The highest mark that a header which survives in the log can prove, found by brute force.
 */
static uint64_t highest_mark(struct log_fixture *log, const struct log_fixture *whole)
{
    uint64_t highest = 0;
    uint32_t i;

    for (i = 0; i < whole->seen_count; i++) {
        struct warp_frame frame;
        uint8_t header[32];

        log_peek(log, whole->seen[i].frame.position, header, sizeof(header));
        if (warp_frame_decode_header(header, warp_manifest_seed(&log->manifest), &frame) ==
                0 &&
            frame.has_mark && frame.mark > highest) {
            highest = frame.mark;
        }
    }
    return highest;
}

WARP_TEST(scan, every_corrupted_byte_is_reported_or_cut_above_all_marks)
{
    static const uint8_t patterns[] = {0x01, 0x80, 0xff};
    struct log_fixture log;
    uint64_t at;
    uint32_t damaged = 0, cut = 0, harmless = 0;
    uint32_t p, i;

    log_init(&log, S);
    log_open_frame(&log, 1);
    for (i = 0; i < 19; i++) {
        uint64_t before = log.position;

        if (i % 7 == 3) {
            log_batch(&log, i, 6);
        } else if (i % 7 == 5) {
            log_frame(&log, WARP_FRAME_MARK, NULL, 0);
        } else {
            log_record(&log, i, 10 + i * 9);
        }
        if (i % 4 == 0) {
            log.mark = before; /* the mark runs some frames behind */
        }
    }
    check_int(log_scan(&log), ==, 0);
    check_u64(log.seen_count, ==, 20);
    for (p = 0; p < 3; p++) {
        for (at = 0; at < log.position; at++) {
            struct log_fixture hurt;
            uint64_t highest;
            uint8_t byte;
            int rc;

            log_copy(&hurt, &log);
            log_peek(&hurt, at, &byte, 1);
            byte ^= patterns[p];
            log_poke(&hurt, at, &byte, 1);
            rc = log_scan(&hurt);
            highest = highest_mark(&hurt, &log);
            check(seen_is_prefix(&hurt, &log));
            if (rc == WARP_EDAMAGED) {
                damaged++;
                check_u64(hurt.result.damaged_position, <=, at);
                check_u64(hurt.result.damaged_position, <, highest);
                check_u64(hurt.result.valid_after, >, at);
                check_str(hurt.result.file, "log-0000000000000000.warp");
            } else {
                check_int(rc, ==, 0);
                check_u64(hurt.result.end, >=, highest);
                cut += hurt.seen_count < 20;
                harmless += hurt.seen_count == 20;
            }
            log_fini(&hurt);
        }
    }
    check_u64(damaged, >, log.position);
    check_u64(cut, >, 0);
    check_u64(harmless, <, 20 * 7 * 3); /* alignment bytes alone */
    log_fini(&log);
}

WARP_TEST(scan, misdirected_and_repeated_blocks_are_noticed)
{
    struct log_fixture log;
    uint64_t a, b;

    log_init(&log, S);
    log_with_records(&log, 150, 60);
    check_int(log_scan(&log), ==, 0);
    for (a = 0; a + 1024 <= log.position; a += 512) {
        for (b = 0; b + 1024 <= log.position; b += 1536) {
            struct log_fixture hurt;
            uint8_t block[512];
            int rc;

            if (a == b) {
                continue;
            }
            log_copy(&hurt, &log);
            log_peek(&hurt, a, block, sizeof(block));
            log_poke(&hurt, b, block, sizeof(block));
            rc = log_scan(&hurt);
            check(seen_is_prefix(&hurt, &log));
            check(rc == WARP_EDAMAGED ||
                  (rc == 0 && hurt.result.end >= highest_mark(&hurt, &log)));
            log_fini(&hurt);
        }
    }
    log_fini(&log);
}

/*
 * ---- what the system does -------------------------------------------------------------
 */

WARP_TEST(scan, a_read_error_below_the_end_is_reported_with_its_place)
{
    struct log_fixture log;

    log_init(&log, S);
    log_with_records(&log, 300, 50);
    log_grow(&log, 60 * S);
    log.disk->bad_name = "log-0000000000000003.warp";
    log.disk->bad_offset = 4096 + 100;
    check_int(log_scan(&log), ==, WARP_EIO);
    check_str(log.result.file, "log-0000000000000003.warp");
    check_u64(log.seen_count, >, 50);
    log_fini(&log);
}

WARP_TEST(scan, every_operation_that_fails_is_an_error_never_a_shorter_log)
{
    struct log_fixture log;
    uint64_t n;

    log_init(&log, S);
    log_with_records(&log, 40, 300);
    log_record(&log, 99, 10000);
    log_record(&log, 100, 10);
    for (n = 0;; n++) {
        bool failed;
        int rc;

        log.disk->fail_at = log.disk->operations + n;
        log.disk->fail_errno = EIO;
        rc = log_scan(&log);
        failed = log.disk->operations > log.disk->fail_at;
        log.disk->fail_at = UINT64_MAX;
        if (!failed) {
            check_int(rc, ==, 0);
            break;
        }
        /* A queue that cannot be made is the lack of the system, all else of the disk; what
         * was read ahead in vain, behind the end, does not matter. */
        check(rc == WARP_EIO || rc == WARP_ESYSTEM || (rc == 0 && log.seen_count == 43));
        check_u64(log.disk->handles, ==, 0);
        check_u64(warp_memory_bytes(&log.memory), ==, 0);
    }
    check_u64(n, >, 10);
    check_u64(log.seen_count, ==, 43);
    log_fini(&log);
}

WARP_TEST(scan, every_allocation_that_fails_is_an_honest_answer)
{
    struct log_fixture log;
    uint64_t n;

    log_init(&log, S);
    log_with_records(&log, 40, 300);
    log_record(&log, 99, 10000);
    for (n = 0;; n++) {
        int rc;

        warp_memory_fail_after(&log.memory, n);
        rc = log_scan(&log);
        warp_memory_fail_after(&log.memory, UINT64_MAX);
        check_u64(warp_memory_bytes(&log.memory), ==, 0);
        if (rc == 0) {
            break;
        }
        check_int(rc, ==, WARP_ENOMEM);
    }
    check_u64(n, >=, 7);
    log_fini(&log);
}

WARP_TEST(scan, few_handles_are_enough)
{
    struct log_fixture log;

    log_init(&log, S);
    log.chunk_bytes = 262144;
    log_with_records(&log, 3000, 100);
    check_u64(log.position, >, 80 * S);
    log.disk->handles_max = 12;
    check_clean_end(&log, log.position, 3001);
    log_fini(&log);
}

static int stop_at_once(struct log_fixture *log, const struct warp_scan_chunk *chunk)
{
    (void)log;
    (void)chunk;
    return 1;
}

WARP_TEST(scan, it_may_be_given_up_while_reads_are_in_flight)
{
    struct log_fixture log;

    log_init(&log, S);
    log_with_records(&log, 300, 50);
    log.at_chunk = stop_at_once;
    check_int(log_scan(&log), ==, 1);
    check_u64(log.seen_count, <, 301);
    log_fini(&log);
}

/*
 * ---- several threads -------------------------------------------------------------------
 */

struct parallel_run {
    void (*job)(void *job_context, uint32_t index);
    void *job_context;
    uint32_t count, step, first;
};

static void *parallel_main(void *argument)
{
    struct parallel_run *run = argument;
    uint32_t i;

    for (i = run->first; i < run->count; i += run->step) {
        run->job(run->job_context, i);
    }
    return NULL;
}

static void parallel_three(void *context, void (*job)(void *job_context, uint32_t index),
                           void *job_context, uint32_t count)
{
    struct parallel_run runs[3];
    pthread_t threads[3];
    uint32_t *calls = context;
    uint32_t i;

    for (i = 0; i < 3; i++) {
        runs[i] = (struct parallel_run){job, job_context, count, 3, i};
        check_int(pthread_create(&threads[i], NULL, parallel_main, &runs[i]), ==, 0);
    }
    for (i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    ++*calls;
}

WARP_TEST(scan, bodies_are_checked_in_parallel_and_the_first_bad_one_counts)
{
    struct warp_scan_options options = {0};
    struct warp_segments segments;
    struct warp_scan_chunk chunk;
    struct warp_scan *scan = NULL;
    struct log_fixture log;
    uint64_t bad = 0;
    uint32_t calls = 0, frames = 0, i;
    uint8_t byte = 0x55;

    log_init(&log, 1u << 20);
    log_open_frame(&log, 1);
    for (i = 0; i < 1000; i++) {
        uint64_t at = log_record(&log, i, 3000);

        bad = i == 400 ? at : bad;
    }
    log_poke(&log, bad + 2000, &byte, 1);
    log_poke(&log, bad + 500000, &byte, 1);
    check_int(warp_segments_init(&segments, &log.disk->disk, &log.memory, &log.manifest,
                                 true, true),
              ==, 0);
    options.parallel = parallel_three;
    options.parallel_context = &calls;
    check_int(warp_scan_create(&scan, &log.disk->disk, &log.memory, &segments,
                               &log.manifest, &options),
              ==, 0);
    while (warp_scan_next(scan, &chunk) == 1) {
        frames += chunk.frame_count;
    }
    check_u64(warp_scan_result(scan)->end, ==, bad);
    check_u64(frames, ==, 401);
    check_u64(calls, >, 0);
    warp_scan_destroy(&scan);
    warp_segments_fini(&segments);
    log_fini(&log);
}

static uint8_t label_kind(void *context, const struct warp_frame *frame, const void *body)
{
    atomic_fetch_add((_Atomic uint32_t *)context, 1);
    return frame->body_bytes > 0 ? (uint8_t)(frame->kind + ((const uint8_t *)body)[0]) : 99;
}

WARP_TEST(scan, each_good_frame_gets_its_label)
{
    struct warp_scan_options options = {0};
    struct warp_segments segments;
    struct warp_scan_chunk chunk;
    struct warp_scan *scan = NULL;
    struct log_fixture log;
    _Atomic uint32_t labels = 0;
    uint32_t calls = 0, frames = 0, i;

    log_init(&log, 1u << 20);
    log_open_frame(&log, 1);
    for (i = 0; i < 600; i++) {
        log_record(&log, i, 3000);
    }
    log_record(&log, 600, 300000); /* greater than a chunk */
    log_batch(&log, 1, 5);
    check_int(warp_segments_init(&segments, &log.disk->disk, &log.memory, &log.manifest,
                                 true, true),
              ==, 0);
    options.chunk_bytes = 262144;
    options.parallel = parallel_three;
    options.parallel_context = &calls;
    options.label = label_kind;
    options.label_context = &labels;
    check_int(warp_scan_create(&scan, &log.disk->disk, &log.memory, &segments,
                               &log.manifest, &options),
              ==, 0);
    while (warp_scan_next(scan, &chunk) == 1) {
        if (!check(chunk.labels != NULL)) {
            break;
        }
        for (i = 0; i < chunk.frame_count; i++) {
            check_u64(chunk.labels[i], ==,
                      (uint8_t)(chunk.frames[i].kind + chunk.bodies[i][0]));
        }
        frames += chunk.frame_count;
    }
    check_u64(frames, ==, 603);
    check_u64(labels, ==, 603);
    warp_scan_destroy(&scan);
    warp_segments_fini(&segments);
    log_fini(&log);
}

/* A MANIFEST from before the last opening, as a careless copy may have it: nothing is cut off. */
WARP_TEST(scan, an_opening_that_the_manifest_forgot_is_seen_behind_a_close)
{
    struct log_fixture log;
    uint8_t byte = 0x55;
    uint64_t end;

    log_init(&log, 1u << 16);
    log_open_frame(&log, 1);
    log_record(&log, 1, 100);
    end = log_close_frame(&log) + 40;
    log_grow(&log, 2u << 16);
    check_int(log_scan(&log), ==, 0);
    check(log.result.clean);
    log.manifest.epoch = 2;
    log_open_frame(&log, 2);
    log_record(&log, 2, 100);
    log.manifest.epoch = 1;
    check_int(log_scan(&log), ==, WARP_EDAMAGED);
    check_u64(log.result.damaged_position, ==, end);
    log_poke(&log, end + 4, &byte, 1); /* nor when the first of its frames is lost */
    check_int(log_scan(&log), ==, WARP_EDAMAGED);
    check_u64(log.result.damaged_position, ==, end);
    log_fini(&log);
}

/*
 * ---- a writer that crashes again and again ----------------------------------------------
 */

#define HISTORY_FRAMES_MAX 4000u
#define HISTORY_FLUSHES    6u
#define SECTOR             512u

struct history {
    struct warp_random random;
    struct log_fixture disk;   /* what is on stable storage */
    struct log_fixture memory; /* what the writer has written so far */
    uint64_t flushed;          /* the next flush begins here */
    uint64_t mark;             /* all below it is on `disk` */
    struct {
        uint64_t from, to;
        bool done;
    } flushes[HISTORY_FLUSHES]; /* in order; done ones wait for those before them */
    uint32_t flush_count;
    struct {
        uint64_t position;
        uint32_t crc, kind;
    } frames[HISTORY_FRAMES_MAX]; /* of the log as its writers know it */
    uint32_t frame_count;
};

static void history_copy(struct history *h, uint64_t from, uint64_t to)
{
    uint8_t bytes[SECTOR];

    while (from < to) {
        uint64_t piece = SECTOR - from % SECTOR;

        piece = piece < to - from ? piece : to - from;
        log_peek(&h->memory, from, bytes, piece);
        log_poke(&h->disk, from, bytes, piece);
        from += piece;
    }
}

static void history_note(struct history *h, uint64_t position)
{
    uint8_t header[32];

    log_peek(&h->memory, position, header, sizeof(header));
    check_u64(h->frame_count, <, HISTORY_FRAMES_MAX);
    h->frames[h->frame_count].position = position;
    h->frames[h->frame_count].kind = header[3];
    h->frames[h->frame_count].crc = warp_load_u32le(header + 4);
    h->frame_count++;
}

static void history_append(struct history *h)
{
    uint32_t number = (uint32_t)warp_random_below(&h->random, 100000);
    uint64_t at;

    h->memory.mark = h->mark;
    h->memory.has_mark = warp_random_chance(&h->random, 2) || h->mark == 0;
    switch (warp_random_below(&h->random, 8)) {
    case 0:
        at = log_batch(&h->memory, number, (uint32_t)warp_random_below(&h->random, 12));
        break;
    case 1:
        at = log_frame(&h->memory, WARP_FRAME_MARK, NULL, 0);
        break;
    case 2:
        at = log_record(&h->memory, number, (uint32_t)warp_random_below(&h->random, 6000));
        break;
    default:
        at = log_record(&h->memory, number, (uint32_t)warp_random_below(&h->random, 200));
        break;
    }
    history_note(h, at);
}

static void history_flush(struct history *h)
{
    if (h->flush_count < HISTORY_FLUSHES && h->flushed < h->memory.position) {
        h->flushes[h->flush_count].from = h->flushed;
        h->flushes[h->flush_count].to = h->memory.position;
        h->flushes[h->flush_count].done = false;
        h->flushed = h->memory.position;
        h->flush_count++;
    }
}

static void history_complete(struct history *h, uint32_t i)
{
    if (i < h->flush_count && !h->flushes[i].done) {
        history_copy(h, h->flushes[i].from, h->flushes[i].to);
        h->flushes[i].done = true;
    }
    while (h->flush_count > 0 && h->flushes[0].done) {
        h->mark = h->flushes[0].to;
        h->flush_count--;
        memmove(&h->flushes[0], &h->flushes[1], h->flush_count * sizeof(h->flushes[0]));
    }
}

/* Power is cut: of what is in flight, some sectors are there and some are not. */
static void history_crash(struct history *h)
{
    uint32_t keep_one_in = 1 + (uint32_t)warp_random_below(&h->random, 4);
    uint32_t i;

    for (i = 0; i < h->flush_count; i++) {
        uint64_t at = h->flushes[i].from;

        while (!h->flushes[i].done && at < h->flushes[i].to) {
            uint64_t next = warp_align_up(at + 1, SECTOR);

            next = next < h->flushes[i].to ? next : h->flushes[i].to;
            if (warp_random_chance(&h->random, keep_one_in)) {
                history_copy(h, at, next);
            }
            at = next;
        }
    }
}

/* The scan's answer against what the writer knows. */
static void history_check(struct history *h)
{
    uint32_t i;
    int rc;

    rc = log_scan(&h->disk);
    check_int(rc, ==, 0);
    check_u64(h->disk.result.end, >=, h->mark);
    check_u64(h->disk.result.end, <=, h->memory.position);
    check_u64(h->disk.result.mark, <=, h->mark);
    check_u64(h->disk.seen_count, <=, h->frame_count);
    for (i = 0; i < h->disk.seen_count && i < h->frame_count; i++) {
        uint8_t header[32];

        log_peek(&h->disk, h->disk.seen[i].frame.position, header, sizeof(header));
        check_u64(h->disk.seen[i].frame.position, ==, h->frames[i].position);
        check_u64(warp_load_u32le(header + 4), ==, h->frames[i].crc);
    }
    if (h->disk.seen_count < h->frame_count) {
        check_u64(h->disk.result.end, ==, h->frames[h->disk.seen_count].position);
    }
}

/* One byte below a mark that survives is hurt: reported, or it did not matter. */
static void history_hurt(struct history *h)
{
    struct log_fixture hurt;
    uint64_t at, highest = h->disk.result.mark;
    uint32_t i;

    for (i = 0; i < 8 && highest > 0; i++) {
        struct log_fixture again;
        uint8_t byte;
        int rc;

        log_copy(&hurt, &h->disk);
        at = warp_random_below(&h->random, highest);
        log_peek(&hurt, at, &byte, 1);
        byte ^= (uint8_t)(1u << warp_random_below(&h->random, 8));
        log_poke(&hurt, at, &byte, 1);
        rc = log_scan(&hurt);
        again = hurt;
        if (rc == 0) { /* alignment bytes, or a mark was lost with its header */
            check_u64(again.result.end, >=, again.result.mark);
            check(again.result.end == h->disk.result.end ||
                  again.result.end >= highest_mark(&hurt, &h->disk));
        } else {
            check_int(rc, ==, WARP_EDAMAGED);
            check_u64(again.result.damaged_position, <=, at);
        }
        check(seen_is_prefix(&hurt, &h->disk));
        log_fini(&hurt);
    }
}

static void history_run(uint64_t seed, uint32_t generations)
{
    struct history *h = calloc(1, sizeof(*h));
    uint32_t segment_bytes, generation, i;

    if (!check(h != NULL)) {
        return;
    }
    warp_random_init(&h->random, seed);
    segment_bytes = 4096u << warp_random_below(&h->random, 3);
    log_init(&h->disk, segment_bytes);
    log_init(&h->memory, segment_bytes);
    h->disk.chunk_bytes = 4096u << warp_random_below(&h->random, 4);
    for (generation = 1; generation <= generations && test_failures() == 0; generation++) {
        uint32_t steps = (uint32_t)warp_random_below(&h->random, 120);

        history_note(h, log_open_frame(&h->memory, generation));
        h->disk.manifest.epoch = generation;
        for (i = 0; i < steps; i++) {
            switch (warp_random_below(&h->random, 4)) {
            case 0:
                history_flush(h);
                break;
            case 1:
                history_complete(h,
                                 (uint32_t)warp_random_below(&h->random, HISTORY_FLUSHES));
                break;
            default:
                history_append(h);
                break;
            }
        }
        history_crash(h);
        log_grow(&h->disk, log_end(&h->memory));
        history_check(h);
        history_hurt(h);

        /* Recover: go on at the end of the log; what lies behind stays on the disk. */
        h->frame_count = h->disk.seen_count;
        h->memory.position = h->disk.result.end;
        h->flushed = h->mark = h->disk.result.end;
        h->flush_count = 0;
    }
    if (test_failures() > 0) {
        test_fail(__FILE__, __LINE__, "seed %llu, generation %u", (unsigned long long)seed,
                  generation);
    }
    log_fini(&h->disk);
    log_fini(&h->memory);
    free(h);
}

WARP_TEST(scan, a_writer_that_crashes_again_and_again_loses_only_a_suffix)
{
    uint64_t i;

    for (i = 0; i < 60 && test_failures() == 0; i++) {
        history_run(test_seed() + i, 12);
    }
}
