/*
 * `warp verify --recovery-estimate`: what an open would read and do. Looks at the manifest, at header
 * and trailer of the newest checkpoint that passes, and reads the log behind it, for its files are
 * made ahead of need, and how much of them has been written is only known by reading. So bytes,
 * frames and operations are those of the open itself, if the checkpoint's sections are good; the time
 * is a guess, at the speeds that the engine starts from before it has measured its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/inspect/verify.h"
#include "tools/text.h"
#include "wal/outlook.h"
#include "wal/scan.h"

#define ESTIMATE_CHUNK_BYTES (1u << 20)

struct estimate {
    const struct warp_checkpoint_summary *checkpoint; /* NULL: none */
    uint64_t begin;                                   /* of what is replayed */
    uint64_t log_bytes, frames, operations;
    uint64_t ns;
};

static uint64_t estimate_read_bytes(const struct estimate *one)
{
    return one->log_bytes + (one->checkpoint == NULL ? 0 : one->checkpoint->bytes);
}

static void estimate_json(const struct verify *v, const struct estimate *one)
{
    const struct warp_checkpoint_summary *checkpoint = one->checkpoint;

    fputs("{\"path\":", stdout);
    if (warp_text_utf8_valid(v->tool.path, strlen(v->tool.path))) {
        warp_text_write_json_string(stdout, v->tool.path, strlen(v->tool.path));
    } else {
        fputs("null", stdout);
    }
    if (checkpoint == NULL) {
        fputs(",\"checkpoint\":null", stdout);
    } else {
        printf(",\"checkpoint\":{\"number\":%" PRIu64 ",\"records\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"begin\":%" PRIu64 ",\"made_ms\":%" PRIu64 "}",
               checkpoint->number, checkpoint->records, checkpoint->bytes,
               checkpoint->begin, checkpoint->made_ms);
    }
    printf(",\"log_begin\":%" PRIu64 ",\"log_bytes\":%" PRIu64 ",\"log_frames\":%" PRIu64
           ",\"log_operations\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"guess_ns\":%" PRIu64
           "}\n",
           one->begin, one->log_bytes, one->frames, one->operations,
           estimate_read_bytes(one), one->ns);
}

static void estimate_text(const struct verify *v, const struct estimate *one)
{
    const struct warp_checkpoint_summary *checkpoint = one->checkpoint;
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];

    printf("%s: an open would read\n", v->tool.path);
    if (checkpoint == NULL) {
        puts("  checkpoint          none");
    } else {
        time_t seconds = (time_t)(checkpoint->made_ms / 1000);
        char made[32] = "";
        struct tm utc;

        if (gmtime_r(&seconds, &utc) != NULL) {
            strftime(made, sizeof(made), ", of %Y-%m-%dT%H:%M:%SZ", &utc);
        }
        printf("  checkpoint          number %" PRIu64 ", %s, %s records%s\n",
               checkpoint->number, warp_text_size(a, checkpoint->bytes),
               warp_text_count(b, checkpoint->records), made);
    }
    printf("  log                 %s from position %" PRIu64
           " on, %s frames, %s operations\n",
           warp_text_size(a, one->log_bytes), one->begin, warp_text_count(b, one->frames),
           warp_text_count(c, one->operations));
    printf("  together            %s\n", warp_text_size(a, estimate_read_bytes(one)));
    printf("  time                about %s, as a guess; warp stat knows how long it takes "
           "here\n",
           warp_text_duration(a, one->ns));
}

/* Puts and deletes in a frame whose checksum is right. */
static uint64_t estimate_operations(const struct warp_frame *frame, const uint8_t *body)
{
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence, count = 0;

    if (warp_frame_cursor_init(&cursor, frame, body) != 0) {
        return 0;
    }
    while (warp_frame_cursor_next(&cursor, &entry, &sequence) == 1) {
        count++;
    }
    return count;
}

/* Read the log from its begin to its end, as the open does. */
static int estimate_log(struct verify *v, struct estimate *one)
{
    struct warp_scan_options options = {
        .begin = one->begin,
        .epoch = one->checkpoint == NULL ? 0 : one->checkpoint->epoch,
        .chunk_bytes = ESTIMATE_CHUNK_BYTES};
    const struct warp_scan_result *result;
    struct warp_scan_chunk chunk;
    struct warp_scan *scan = NULL;
    uint32_t i;
    int rc;

    rc =
        warp_scan_create(&scan, &v->disk, &v->memory, &v->segments, &v->manifest, &options);
    if (rc < 0) {
        return warp_tool_error(&v->tool, "%s: %s", v->tool.path, warp_error_text(rc));
    }
    while ((rc = warp_scan_next(scan, &chunk)) == 1) {
        for (i = 0; i < chunk.frame_count; i++) {
            one->operations += estimate_operations(&chunk.frames[i], chunk.bodies[i]);
        }
    }
    result = warp_scan_result(scan);
    one->log_bytes = result->bytes;
    one->frames = result->frames;
    if (rc < 0) {
        rc = warp_tool_error(&v->tool,
                             "%s: %s at offset %" PRIu64 ": %s: an open would fail",
                             v->tool.path, result->file, result->file_offset,
                             result->what == NULL ? warp_error_text(rc) : result->what);
    } else {
        rc = WARP_TOOL_DONE;
    }
    warp_scan_destroy(&scan);
    return rc;
}

int warp_verify_estimate(struct verify *v)
{
    struct warp_checkpoint_summary found[VERIFY_CHECKPOINTS_MAX];
    struct estimate one = {.begin = v->manifest.head_position};
    struct warp_outlook outlook;
    uint32_t count = 0, i;
    int rc;

    rc = warp_checkpoint_find(&v->disk, &v->memory, &v->manifest, true, found,
                              VERIFY_CHECKPOINTS_MAX, &count);
    if (rc < 0) {
        return warp_tool_error(&v->tool, "%s: looking for checkpoints: %s", v->tool.path,
                               warp_error_text(rc));
    }
    for (i = 0; i < count && one.checkpoint == NULL; i++) {
        if (found[i].records != UINT64_MAX &&
            found[i].number >= v->manifest.checkpoint_number) {
            one.checkpoint = &found[i];
        }
    }
    if (one.checkpoint == NULL && v->manifest.checkpoint_number != 0) {
        return warp_tool_error(&v->tool,
                               "%s: checkpoint %" PRIu64
                               ", which the MANIFEST counts on, is missing or damaged",
                               v->tool.path, v->manifest.checkpoint_number);
    }
    rc = warp_segments_init(&v->segments, &v->disk, &v->memory, &v->manifest, true, false);
    if (rc < 0) {
        return warp_tool_error(&v->tool, "%s: %s", v->tool.path, v->segments.message);
    }
    if (one.checkpoint != NULL && one.checkpoint->begin > one.begin) {
        one.begin = one.checkpoint->begin;
    }
    if (one.begin < warp_segments_begin(&v->segments)) {
        one.begin = warp_segments_begin(&v->segments);
    }
    if (one.begin > warp_segments_end(&v->segments)) {
        warp_segments_fini(&v->segments);
        return warp_tool_error(&v->tool, "%s: the log ends before position %" PRIu64,
                               v->tool.path, one.begin);
    }
    rc = estimate_log(v, &one);
    warp_segments_fini(&v->segments);
    if (rc != WARP_TOOL_DONE) {
        return rc;
    }
    warp_outlook_init(&outlook);
    one.ns = warp_outlook_ns(&outlook, one.checkpoint == NULL ? 0 : one.checkpoint->records,
                             one.log_bytes);
    if (v->tool.json) {
        estimate_json(v, &one);
    } else {
        estimate_text(v, &one);
    }
    return WARP_TOOL_DONE;
}
