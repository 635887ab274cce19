/*
 * Log that is not replayed: segments below the head, kept for the values in them.
 *
 * They may have gaps between them, so a segment is read by itself, into memory. Where its
 * predecessor was read, the place of its first frame is known: the end of the last one. Else it
 * begins somewhere inside a frame whose header is not to be had, and the first header is looked for
 * at every multiple of 8: one that passes with its own position, which no value holds by chance.
 * What lies before it cannot be checked, and is counted as such. From there on frame follows frame
 * without a gap, and where none does something is damaged; the next header is looked for again.
 *
 * The same serves for the log itself when it has lost a file. But its tail may hold what a crash
 * left, so there only that counts as damage which lies below a mark that some header carries, or
 * below the end of a checkpoint.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "tools/inspect/verify.h"
#include "wal/frame.h"

#define HELD_PIECE_BYTES 1048576u
#define HELD_UNKNOWN     UINT64_MAX

/* As docs/WAL_FORMAT.md draws it. NULL, or what is wrong, with its offset. */
static const char *held_header(const struct verify *v, const uint8_t *bytes, uint64_t index,
                               uint64_t *offset)
{
    uint32_t crc = warp_crc32c(0, bytes, 20);
    static const uint8_t zero[4];

    crc = warp_crc32c(crc, zero, sizeof(zero));
    crc = warp_crc32c(crc, bytes + 24, WARP_SEGMENT_HEADER_BYTES - 24);
    *offset = 0;
    if (memcmp(bytes, "WARPLOG\1", 8) != 0) {
        return "the header is lost";
    }
    *offset = 20;
    if (warp_load_u32le(bytes + 20) != crc) {
        return "the header's checksum is wrong";
    }
    *offset = 32;
    if (memcmp(bytes + 32, v->manifest.id, sizeof(v->manifest.id)) != 0) {
        return "this log file belongs to another database";
    }
    *offset = 24;
    if (warp_load_u32le(bytes + 24) != v->manifest.segment_bytes) {
        return "the segment size is not the manifest's";
    }
    *offset = 48;
    if (warp_load_u64le(bytes + 48) != index) {
        return "the file has another segment's name";
    }
    return NULL;
}

/* Read log at `position`, maybe over several files; false: not all of it is to be had. */
static bool held_fetch(const struct verify *v, uint64_t position, uint8_t *to,
                       uint64_t bytes)
{
    const struct warp_disk *disk = &v->disk;
    uint64_t s = v->manifest.segment_bytes;

    while (bytes > 0) {
        uint64_t piece = s - position % s;
        char name[WARP_SEGMENT_NAME_BYTES];
        int64_t got;
        int32_t file;

        piece = piece < bytes ? piece : bytes;
        warp_segment_name(position / s, name);
        file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
        if (file < 0) {
            return false;
        }
        got = disk->ops->read(disk->context, file, to, (size_t)piece,
                              WARP_SEGMENT_HEADER_BYTES + position % s);
        disk->ops->close(disk->context, file);
        if (got != (int64_t)piece) {
            return false;
        }
        position += piece;
        to += piece;
        bytes -= piece;
    }
    return true;
}

/* The part of one segment that is looked at: [base, limit) is in memory. */
struct held {
    struct verify *v;
    uint64_t base, limit;
    uint64_t mark; /* only what lies below it counts as damage; UINT64_MAX: all */
    uint32_t seed;
    const uint8_t *bytes;
};

static bool held_decode(const struct held *held, uint64_t at, struct warp_frame *frame)
{
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    const uint8_t *bytes = held->bytes + (at - held->base);
    uint64_t here = held->limit - at;

    if (here < WARP_FRAME_HEADER_BYTES) {
        memcpy(header, bytes, here);
        if (!held_fetch(held->v, held->limit, header + here,
                        WARP_FRAME_HEADER_BYTES - here)) {
            return false;
        }
        bytes = header;
    }
    return bytes[0] == 'W' && bytes[1] == 'F' &&
           warp_frame_decode_header(bytes, held->seed, frame) == 0 &&
           frame->position == at && frame->epoch <= held->v->manifest.epoch;
}

/* The next header from `at` on; limit if there is none. */
static uint64_t held_search(const struct held *held, uint64_t at)
{
    struct warp_frame frame;

    for (; at < held->limit; at += WARP_FRAME_ALIGNMENT) {
        if (held->limit - at >= WARP_FRAME_HEADER_BYTES && held_decode(held, at, &frame)) {
            return at;
        }
    }
    return held->limit;
}

/* The highest mark of all headers. */
static uint64_t held_mark(const struct held *held)
{
    struct warp_frame frame;
    uint64_t mark = 0, at;

    for (at = held_search(held, held->base); at < held->limit;
         at = held_search(held, at + WARP_FRAME_ALIGNMENT)) {
        if (held_decode(held, at, &frame) && frame.has_mark && frame.mark > mark) {
            mark = frame.mark;
        }
    }
    return mark;
}

static void held_damaged(const struct held *held, uint64_t from, uint64_t to,
                         const char *what)
{
    if (from < held->mark) {
        warp_verify_damaged_log(held->v, from, to, what);
    }
}

/* Is the body right? A frame that reaches into a file that is gone cannot be checked. */
static bool held_body(const struct held *held, const struct warp_frame *frame)
{
    uint64_t from = frame->position + WARP_FRAME_HEADER_BYTES;
    uint64_t left = frame->body_bytes;
    uint8_t piece[16384];
    uint32_t crc = 0;

    if (frame->kind == WARP_FRAME_PAD) {
        return true;
    }
    if (from < held->limit) {
        uint64_t here = held->limit - from < left ? held->limit - from : left;

        crc = warp_crc32c(crc, held->bytes + (from - held->base), here);
        from += here;
        left -= here;
    }
    while (left > 0) {
        uint64_t some = left < sizeof(piece) ? left : sizeof(piece);

        if (!held_fetch(held->v, from, piece, some)) {
            return true;
        }
        crc = warp_crc32c(crc, piece, some);
        from += some;
        left -= some;
    }
    return crc == frame->body_crc;
}

static void held_entries(const struct held *held, const struct warp_frame *frame)
{
    uint64_t body = frame->position + WARP_FRAME_HEADER_BYTES;
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence;
    int rc;

    if (body + frame->body_bytes > held->limit) {
        return;
    }
    rc = warp_frame_cursor_init(&cursor, frame, held->bytes + (body - held->base));
    while (rc == 0 && (rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
        rc = 0;
    }
    if (rc < 0) {
        held_damaged(held, frame->position,
                     frame->position + warp_frame_bytes(frame->body_bytes),
                     "the checksum is right, but the entries make no sense");
    }
}

/* Frames from *chain on, or from the first that is found; *chain gets where the next begins. */
static void held_frames(const struct held *held, uint64_t *chain)
{
    struct verify *v = held->v;
    uint64_t at = *chain;
    struct warp_frame frame;

    if (at == HELD_UNKNOWN) {
        at = held_search(held, held->base);
        v->held_unknown += at - held->base;
    }
    while (at < held->limit) {
        if (!held_decode(held, at, &frame)) {
            uint64_t next;

            if (held->limit - at < WARP_FRAME_HEADER_BYTES &&
                warp_verify_file(&v->logs, held->limit / v->manifest.segment_bytes) ==
                    NULL) {
                break; /* a header that reaches into a file that is gone */
            }
            next = held_search(held, at + WARP_FRAME_ALIGNMENT);
            held_damaged(held, at, next, "there is no frame header here");
            at = next;
            *chain = HELD_UNKNOWN;
            continue;
        }
        v->held_frames++;
        if (!held_body(held, &frame)) {
            held_damaged(held, at, at + warp_frame_bytes(frame.body_bytes),
                         "the body's checksum is wrong");
        } else {
            held_entries(held, &frame);
        }
        at += warp_frame_bytes(frame.body_bytes);
        *chain = at;
    }
    if (*chain != HELD_UNKNOWN && *chain < held->limit) {
        *chain = HELD_UNKNOWN;
    }
}

/* The file's bytes for [base, limit) into memory; what cannot be read becomes zeros. */
static void held_read(struct held *held, const char *name, int32_t file, bool tell)
{
    struct verify *v = held->v;
    const struct warp_disk *disk = &v->disk;
    uint64_t at = 0;

    while (at < held->limit - held->base) {
        uint64_t piece = held->limit - held->base - at;
        int64_t got;

        piece = piece < HELD_PIECE_BYTES ? piece : HELD_PIECE_BYTES;
        got = disk->ops->read(disk->context, file, v->chunk + at, (size_t)piece,
                              WARP_SEGMENT_HEADER_BYTES + at);
        if (got != (int64_t)piece) {
            uint64_t good = got < 0 ? 0 : (uint64_t)got;

            if (tell) {
                warp_verify_damaged(
                    v, name, WARP_SEGMENT_HEADER_BYTES + at + good, piece - good,
                    got < 0 ? "it cannot be read" : "the file is cut off here");
            }
            memset(v->chunk + at + good, 0, piece - good);
        }
        at += piece;
        warp_verify_progress(v, piece);
    }
}

/*
 * One file, up to `limit`. *chain: where the first frame begins, if that is known. What is wrong
 * counts as damage below `mark`.
 */
static void held_segment(struct verify *v, uint64_t index, uint64_t limit, uint64_t *chain,
                         uint64_t mark)
{
    const struct warp_disk *disk = &v->disk;
    uint64_t offset = 0;
    struct held held = {.v = v,
                        .base = index * v->manifest.segment_bytes,
                        .limit = limit,
                        .mark = mark,
                        .seed = warp_manifest_seed(&v->manifest),
                        .bytes = v->chunk};
    char name[WARP_SEGMENT_NAME_BYTES];
    uint8_t header[WARP_SEGMENT_HEADER_BYTES];
    const char *wrong;
    int32_t file;
    int64_t got;

    warp_segment_name(index, name);
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        warp_verify_damaged(v, name, 0, UINT64_MAX, "the file cannot be opened");
        *chain = HELD_UNKNOWN;
        return;
    }
    got = disk->ops->read(disk->context, file, header, sizeof(header), 0);
    wrong = got == (int64_t)sizeof(header) ? held_header(v, header, index, &offset)
                                           : "the header cannot be read";
    if (wrong != NULL) {
        warp_verify_damaged(v, name, offset, UINT64_MAX, wrong);
    }
    held_read(&held, name, file, true);
    disk->ops->close(disk->context, file);
    v->held_files++;
    v->held_bytes += limit - held.base;
    if (*chain == HELD_UNKNOWN || *chain < limit) {
        held_frames(&held, chain);
    }
}

/* The highest mark that a header of the file carries. */
static uint64_t held_segment_mark(struct verify *v, uint64_t index)
{
    uint64_t s = v->manifest.segment_bytes;
    struct held held = {.v = v,
                        .base = index * s,
                        .limit = (index + 1) * s,
                        .seed = warp_manifest_seed(&v->manifest),
                        .bytes = v->chunk};
    char name[WARP_SEGMENT_NAME_BYTES];
    int32_t file;

    warp_segment_name(index, name);
    file = v->disk.ops->open(v->disk.context, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        return 0;
    }
    held_read(&held, name, file, false);
    v->disk.ops->close(v->disk.context, file);
    return held_mark(&held);
}

static int held_memory(struct verify *v)
{
    if (v->chunk == NULL) {
        v->chunk = warp_memory_map(&v->memory, v->manifest.segment_bytes, 4096, false);
    }
    return v->chunk == NULL ? WARP_ENOMEM : 0;
}

int warp_verify_held(struct verify *v)
{
    uint64_t s = v->manifest.segment_bytes, head = v->manifest.head_position;
    uint64_t chain = HELD_UNKNOWN, next = 0;
    uint32_t i;

    if (held_memory(v) < 0) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < v->logs.count; i++) {
        const struct verify_file *file = &v->logs.files[i];
        uint64_t base = file->number * s;

        if (!file->present || base >= head ||
            (!file->listed && base + s <= head) /* the next open gives it up */) {
            continue;
        }
        if (file->number != next) {
            chain = HELD_UNKNOWN;
        }
        if (file->number == 0) {
            chain = 0;
        }
        held_segment(v, file->number, base + s < head ? base + s : head, &chain,
                     UINT64_MAX);
        next = file->number + 1;
    }
    return 0;
}

int warp_verify_loose(struct verify *v)
{
    uint64_t s = v->manifest.segment_bytes, mark = 0;
    uint64_t first = v->manifest.head_position / s;
    uint32_t i;

    if (held_memory(v) < 0) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < v->checkpoint_count; i++) {
        if (v->checkpoints[i].good && v->checkpoints[i].summary.end > mark) {
            mark = v->checkpoints[i].summary.end;
        }
    }
    for (i = 0; i < v->logs.count; i++) {
        if (v->logs.files[i].present && v->logs.files[i].number >= first) {
            uint64_t found = held_segment_mark(v, v->logs.files[i].number);

            mark = found > mark ? found : mark;
        }
    }
    for (i = 0; i < v->logs.count; i++) {
        const struct verify_file *file = &v->logs.files[i];
        uint64_t chain = HELD_UNKNOWN;

        if (file->present && file->number >= first) {
            held_segment(v, file->number, (file->number + 1) * s, &chain, mark);
        }
    }
    return 0;
}
