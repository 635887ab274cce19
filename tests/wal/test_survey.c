/* The survey on logs that are whole, and on logs that are not. */
#include "wal/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/log_fixture.h"
#include "tests/lib/test.h"

#define S 16384u

struct survey_seen {
    uint32_t good, bad, partial, ranges, files;
    uint64_t positions[512];
    uint64_t from, to; /* of the last range */
    char file[48];     /* of the last file */
    uint64_t offset, bytes;
    uint64_t read, limit; /* pace ends it above limit, if that is not 0 */
    const char *what;
};

static void survey_see_frame(void *context, const struct warp_frame *frame,
                             const uint8_t *body, enum warp_survey_body state)
{
    struct survey_seen *seen = context;

    check((body == NULL) == (state == WARP_SURVEY_PARTIAL));
    check_u64(frame->position % 8, ==, 0);
    if (state == WARP_SURVEY_GOOD && seen->good < 512) {
        seen->positions[seen->good] = frame->position;
    }
    seen->good += state == WARP_SURVEY_GOOD;
    seen->bad += state == WARP_SURVEY_BAD;
    seen->partial += state == WARP_SURVEY_PARTIAL;
}

static void survey_see_range(void *context, uint64_t from, uint64_t to, const char *what)
{
    struct survey_seen *seen = context;

    seen->ranges++;
    seen->from = from;
    seen->to = to;
    seen->what = what;
}

static void survey_see_file(void *context, const char *name, uint64_t offset,
                            uint64_t bytes, const char *what)
{
    struct survey_seen *seen = context;

    seen->files++;
    snprintf(seen->file, sizeof(seen->file), "%s", name);
    seen->offset = offset;
    seen->bytes = bytes;
    seen->what = what;
}

static int survey_see_pace(void *context, uint64_t bytes)
{
    struct survey_seen *seen = context;

    seen->read += bytes;
    return seen->limit != 0 && seen->read > seen->limit ? WARP_EBUSY : 0;
}

static const struct warp_survey_calls survey_calls = {
    .frame = survey_see_frame,
    .damaged = survey_see_range,
    .file_damaged = survey_see_file,
    .pace = survey_see_pace,
};

/* All files that there are; the mark is found first if `marked`. */
static int survey_run(struct log_fixture *log, struct survey_seen *seen,
                      struct warp_survey *survey, bool marked)
{
    uint64_t indexes[64], bytes, i, limit = seen->limit;
    uint32_t count = 0, k;
    char name[WARP_SEGMENT_NAME_BYTES];
    int rc;

    memset(seen, 0, sizeof(*seen));
    seen->limit = limit;
    for (i = 0; i < 64; i++) {
        warp_segment_name(i, name);
        if (memory_disk_bytes(log->disk, name, &bytes) != NULL) {
            indexes[count++] = i;
        }
    }
    rc = warp_survey_init(survey, &log->disk->disk, &log->memory, &log->manifest,
                          &survey_calls, seen);
    survey->chain = 0;
    if (rc == 0 && marked) {
        rc = warp_survey_marks(survey, indexes, count, &survey->mark);
    }
    for (k = 0; k < count && rc == 0 && !survey->ended; k++) {
        rc = warp_survey_segment(survey, indexes[k], UINT64_MAX);
    }
    warp_survey_fini(survey);
    return rc;
}

static void survey_make(struct log_fixture *log, uint64_t at[200])
{
    uint32_t i;

    log_init(log, S);
    log_open_frame(log, 1);
    for (i = 0; i < 200; i++) {
        at[i] = i % 10 == 9 ? log_batch(log, i, 5) : log_record(log, i, 700);
        log->mark = at[i];
    }
    log_close_frame(log);
}

WARP_TEST(survey, a_whole_log_comes_frame_by_frame)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t at[200];
    uint32_t i;

    survey_make(&log, at);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.good, ==, 202);
    check_u64(seen.bad + seen.partial + seen.ranges + seen.files, ==, 0);
    for (i = 0; i < 200; i++) {
        check_u64(seen.positions[i + 1], ==, at[i]);
    }
    check_u64(survey.mark, >, at[199]); /* the CLOSE frame says so */
    check_u64(survey.unknown_bytes, ==, 0);
    check(survey.ended); /* at the zeros behind the last frame */
    log_fini(&log);
}

WARP_TEST(survey, it_goes_on_behind_a_lost_header_and_behind_a_wrong_body)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t at[200];
    uint8_t byte = 0xee;

    survey_make(&log, at);
    log_poke(&log, at[50] + 9, &byte, 1);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.good, ==, 201);
    check_u64(seen.ranges, ==, 1);
    check_u64(seen.from, ==, at[50]);
    check_u64(seen.to, ==, at[51]);
    check_str(seen.what, "there is no frame header here");
    log_poke(&log, at[80] + 300, &byte, 1);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.good, ==, 200);
    check_u64(seen.bad, ==, 1);
    check_u64(seen.ranges, ==, 2);
    check_u64(seen.from, ==, at[80]);
    check_u64(seen.to, ==, at[81]);
    log_fini(&log);
}

WARP_TEST(survey, above_the_mark_a_gap_is_the_end)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t last;
    uint8_t byte = 0xee;

    log_init(&log, S);
    log_open_frame(&log, 1);
    log_record(&log, 1, 100);
    last = log_record(&log, 2, 100);
    log_record(&log, 3, 100); /* whole, but nobody says that it was durable */
    log_poke(&log, last + 60, &byte, 1);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.good, ==, 2);
    check_u64(seen.ranges + seen.bad, ==, 0);
    check(survey.ended);
    check_u64(survey.chain, ==, last);
    check_int(survey_run(&log, &seen, &survey, false), ==, 0); /* with all of it durable */
    check_u64(seen.good, ==, 3);
    check_u64(seen.bad, ==, 1);
    log_fini(&log);
}

WARP_TEST(survey, a_missing_file_costs_what_reaches_into_it)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t at[200];
    uint32_t i, inside = 0;

    survey_make(&log, at);
    for (i = 0; i + 1 < 200; i++) {
        inside += at[i] < 4 * (uint64_t)S && at[i + 1] > 3 * (uint64_t)S;
    }
    check(memory_disk_remove(log.disk, "log-0000000000000003.warp"));
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.good, ==, 202 - inside);
    check_u64(seen.partial, ==, 1);
    check_u64(seen.ranges, ==, 0);
    check_u64(survey.unknown_bytes, >, 0);
    log_fini(&log);
}

WARP_TEST(survey, a_page_that_cannot_be_read_costs_no_more_than_itself)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t at[200];

    survey_make(&log, at);
    log.disk->bad_name = "log-0000000000000002.warp";
    log.disk->bad_offset = 4096 + 5000;
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.files, ==, 1);
    check_str(seen.file, "log-0000000000000002.warp");
    check_u64(seen.offset, ==, 4096 + 4096);
    check_u64(seen.bytes, ==, 4096);
    check_u64(seen.good + seen.bad, >=, 202 - 8); /* a page has at most 7 of these frames */
    check_u64(seen.good, <, 202);
    log.disk->bad_name = NULL;
    log_fini(&log);
}

WARP_TEST(survey, a_file_that_is_cut_off_or_foreign_is_told_once)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t at[200], bytes;
    uint8_t *file, *copy;

    survey_make(&log, at);
    file = memory_disk_bytes(log.disk, "log-0000000000000002.warp", &bytes);
    copy = malloc(bytes);
    memcpy(copy, file, bytes);
    memory_disk_put(log.disk, "log-0000000000000002.warp", copy, 4096 + 3000);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.files, ==, 1);
    check_u64(seen.offset, ==, 4096 + 3000);
    check_u64(seen.bytes, ==, S - 3000);
    check_str(seen.what, "there is no frame header here"); /* of the range, told after it */
    copy[40] ^= 1;
    memory_disk_put(log.disk, "log-0000000000000002.warp", copy, bytes);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.files, ==, 1);
    check_str(seen.what, "the header's checksum is wrong");
    check_u64(seen.good, ==, 202);
    free(copy);
    log_fini(&log);
}

WARP_TEST(survey, frames_of_an_older_opening_behind_newer_ones_do_not_count)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;
    uint64_t open, old;
    uint8_t byte = 0xee;

    log_init(&log, S);
    log.manifest.epoch = 2;
    log_open_frame(&log, 1);
    open = log_record(&log, 1, 100);
    log_record(&log, 2, 100);
    old = log_record(&log, 3, 100);
    /* The tail was cut at `open`, and the next opening wrote there. */
    log.position = open;
    log.mark = open;
    log_open_frame(&log, 2);
    log_record(&log, 4, 20);
    check_u64(log.position, <=, old);
    check_int(survey_run(&log, &seen, &survey, false), ==, 0);
    check_u64(seen.good, ==, 3);
    log_poke(&log, open + 41, &byte, 1); /* and when the new record is lost, too */
    check_int(survey_run(&log, &seen, &survey, false), ==, 0);
    check_u64(seen.good, ==, 2);
    log_fini(&log);
}

WARP_TEST(survey, a_frame_larger_than_the_window_is_read_whole)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;

    log_init(&log, 1 << 20);
    log_open_frame(&log, 1);
    log_record(&log, 1, 3 << 20);
    log_record(&log, 2, 100);
    log_close_frame(&log);
    check_int(survey_run(&log, &seen, &survey, true), ==, 0);
    check_u64(seen.good, ==, 4);
    check_u64(seen.ranges, ==, 0);
    log_fini(&log);
}

WARP_TEST(survey, without_memory_it_says_so_and_pace_can_end_it)
{
    struct survey_seen seen = {0};
    struct warp_survey survey;
    struct log_fixture log;

    log_init(&log, 1 << 20);
    log_open_frame(&log, 1);
    log_record(&log, 1, 3 << 20);
    warp_memory_fail_after(&log.memory, 0);
    check_int(survey_run(&log, &seen, &survey, false), ==, WARP_ENOMEM);
    warp_memory_fail_after(&log.memory, 1); /* the window, but not a larger one */
    check_int(survey_run(&log, &seen, &survey, false), ==, WARP_ENOMEM);
    warp_memory_fail_after(&log.memory, UINT64_MAX);
    seen.limit = 100000;
    check_int(survey_run(&log, &seen, &survey, false), ==, WARP_EBUSY);
    log_fini(&log);
}
