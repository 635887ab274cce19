#include "tests/sim/rot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/segment.h"

#define ROT_CHANGE_MAX 4096u

struct log_view {
    const struct sim_disk *disk;
    struct warp_manifest manifest;
    uint32_t seed;
    struct warp_frame *frames;
    uint32_t count, capacity;
    uint64_t end;
};

/* Log bytes as they are on the medium; short at the end of the files. */
static size_t log_peek(const struct log_view *log, uint64_t position, uint8_t *out,
                       size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        uint64_t segment_bytes = log->manifest.segment_bytes;
        uint64_t index = (position + done) / segment_bytes;
        uint64_t at = (position + done) % segment_bytes;
        size_t part =
            segment_bytes - at < bytes - done ? (size_t)(segment_bytes - at) : bytes - done;
        char name[WARP_SEGMENT_NAME_BYTES];
        size_t got;

        warp_segment_name(index, name);
        got = sim_disk_peek(log->disk, name, WARP_SEGMENT_HEADER_BYTES + at, out + done,
                            part);
        done += got;
        if (got < part) {
            break;
        }
    }
    return done;
}

static void log_read(struct log_view *log)
{
    uint64_t position = log->manifest.head_position;

    for (;;) {
        uint8_t header[WARP_FRAME_HEADER_BYTES];
        struct warp_frame frame;
        uint8_t *body;
        bool good;

        if (log_peek(log, position, header, sizeof(header)) < sizeof(header) ||
            warp_frame_decode_header(header, log->seed, &frame) != 0 ||
            frame.position != position || frame.epoch > log->manifest.epoch ||
            (log->count > 0 && frame.epoch < log->frames[log->count - 1].epoch)) {
            break;
        }
        body = malloc((size_t)frame.body_bytes + 1);
        good = log_peek(log, position + sizeof(header), body, frame.body_bytes) ==
                   frame.body_bytes &&
               warp_frame_check_body(&frame, body);
        free(body);
        if (!good) {
            break;
        }
        if (log->count == log->capacity) {
            log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
            log->frames = realloc(log->frames, log->capacity * sizeof(*log->frames));
            if (log->frames == NULL) {
                abort();
            }
        }
        log->frames[log->count++] = frame;
        position += warp_frame_bytes(frame.body_bytes);
    }
    log->end = position;
}

/* The frame that holds this position of the log, and whether its checksums cover the byte.
 */
static bool log_covers(const struct log_view *log, uint64_t position,
                       uint64_t *frame_position)
{
    uint32_t low = 0, high = log->count;

    if (position >= log->end || log->count == 0) {
        return false;
    }
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (log->frames[middle].position <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *frame_position = log->frames[low].position;
    position -= log->frames[low].position;
    return position < WARP_FRAME_HEADER_BYTES ||
           (log->frames[low].kind != WARP_FRAME_PAD &&
            position < WARP_FRAME_HEADER_BYTES + log->frames[low].body_bytes);
}

static void choose_place(const struct log_view *log, struct warp_random *random,
                         struct rot_result *out, uint64_t *position, bool *in_log)
{
    uint64_t kind = warp_random_below(random, 100);
    uint64_t bytes = 0;

    *in_log = false;
    *position = 0;
    if (kind < 75 && log->count > 0) {
        const struct warp_frame *frame =
            &log->frames[warp_random_below(random, log->count)];
        uint64_t inside =
            warp_random_below(random, 3) == 0
                ? warp_random_below(random, WARP_FRAME_HEADER_BYTES)
                : warp_random_below(random, warp_frame_bytes(frame->body_bytes));

        *position = frame->position + inside;
        *in_log = true;
        out->what = "a frame";
    } else if (kind < 85) {
        snprintf(out->file, sizeof(out->file), "%s", WARP_MANIFEST_NAME);
        out->offset = warp_random_below(random, WARP_FILE_HEADER_BYTES);
        out->what = "the manifest";
        return;
    } else {
        uint32_t count = sim_disk_file_count(log->disk);
        const char *name = sim_disk_file_name(
            log->disk, (uint32_t)warp_random_below(random, count), &bytes);

        snprintf(out->file, sizeof(out->file), "%s", name);
        out->offset = bytes == 0 ? 0
                      : kind < 93 && bytes > WARP_SEGMENT_HEADER_BYTES
                          ? warp_random_below(random, WARP_SEGMENT_HEADER_BYTES)
                          : warp_random_below(random, bytes);
        out->what = out->offset < WARP_SEGMENT_HEADER_BYTES ? "a file header" : "anywhere";
        if (strncmp(out->file, "log-", 4) == 0 &&
            out->offset >= WARP_SEGMENT_HEADER_BYTES) {
            uint64_t index = strtoull(out->file + 4, NULL, 16);

            *position = index * log->manifest.segment_bytes + out->offset -
                        WARP_SEGMENT_HEADER_BYTES;
            *in_log = true;
        }
        return;
    }
    warp_segment_name(*position / log->manifest.segment_bytes, out->file);
    out->offset = WARP_SEGMENT_HEADER_BYTES + *position % log->manifest.segment_bytes;
}

/* What is there afterwards; at most up to the end of the block of 4096 bytes. */
static size_t choose_change(const struct log_view *log, struct warp_random *random,
                            struct rot_result *out, uint8_t *before, uint8_t *after)
{
    uint64_t kind = warp_random_below(random, 10);
    size_t bytes = 1, i;

    if (kind >= 7) {
        /* A whole sector: lost, or one that belongs elsewhere. */
        out->offset -= out->offset % SIM_SECTOR_BYTES;
        bytes = SIM_SECTOR_BYTES;
    }
    bytes = sim_disk_peek(log->disk, out->file, out->offset, before, bytes);
    memcpy(after, before, bytes);
    if (bytes == 0) {
        return 0;
    }
    if (kind < 5) {
        after[0] ^= (uint8_t)(1u << warp_random_below(random, 8));
    } else if (kind < 7) {
        after[0] = (uint8_t)warp_random_next(random);
    } else if (kind == 7) {
        memset(after, 0, bytes);
    } else if (kind == 8) {
        for (i = 0; i < bytes; i++) {
            after[i] = (uint8_t)warp_random_next(random);
        }
    } else {
        uint64_t size = 0;
        uint32_t count = sim_disk_file_count(log->disk);
        const char *name = sim_disk_file_name(
            log->disk, (uint32_t)warp_random_below(random, count), &size);

        if (size >= SIM_SECTOR_BYTES) {
            uint64_t sector = warp_random_below(random, size / SIM_SECTOR_BYTES);

            (void)sim_disk_peek(log->disk, name, sector * SIM_SECTOR_BYTES, after, bytes);
        }
    }
    return bytes;
}

void rot_choose(struct sim_disk *disk, struct warp_random *random, struct rot_result *out)
{
    struct log_view log = {0};
    uint8_t before[ROT_CHANGE_MAX], after[ROT_CHANGE_MAX];
    char message[200];
    uint64_t position, frame_position, first_damaged = UINT64_MAX, mark = 0;
    bool in_log;
    size_t bytes, i;
    uint32_t f;

    memset(out, 0, sizeof(*out));
    log.disk = disk;
    if (warp_manifest_read(sim_disk_face(disk), &log.manifest, message, sizeof(message)) !=
        0) {
        out->what = "nothing: there is no manifest";
        return;
    }
    log.seed = warp_manifest_seed(&log.manifest);
    log_read(&log);
    choose_place(&log, random, out, &position, &in_log);
    {
        uint64_t chosen = out->offset;

        bytes = choose_change(&log, random, out, before, after);
        position -= in_log ? chosen - out->offset : 0; /* moved to the sector's begin */
    }
    /* A sector may begin in front of the log's bytes of that file, never behind them. */
    for (i = 0; i < bytes && in_log; i++) {
        if (before[i] != after[i] && log_covers(&log, position + i, &frame_position) &&
            frame_position < first_damaged) {
            first_damaged = frame_position;
        }
    }
    out->floor = log.end;
    out->damaged = first_damaged;
    if (first_damaged != UINT64_MAX) {
        uint64_t last_byte = position + bytes;

        out->floor = first_damaged;
        for (f = 0; f < log.count; f++) {
            const struct warp_frame *frame = &log.frames[f];
            bool touched = false;

            if (frame->position < first_damaged || !frame->has_mark) {
                continue;
            }
            if (frame->position < last_byte &&
                frame->position + warp_frame_bytes(frame->body_bytes) > position) {
                for (i = 0; i < bytes && !touched; i++) {
                    touched = before[i] != after[i] &&
                              log_covers(&log, position + i, &frame_position) &&
                              frame_position == frame->position;
                }
            }
            if (!touched && frame->mark > mark) {
                mark = frame->mark;
            }
        }
        out->must_report = mark > first_damaged;
        if (out->must_report) {
            out->floor = mark;
        }
    }
    sim_disk_poke(disk, out->file, out->offset, after, bytes);
    free(log.frames);
}
