/*
 * The happy path: a window slides over the log, over the borders of files, and holds at least the
 * frame that is looked at. Frame follows frame; a body is checked and told.
 *
 * What can go wrong: no header where one must be (the next one is searched for, and what lies between
 * is told); a body that is wrong (its header says truly how long it is, so the chain goes on behind
 * it); a piece that the disk does not give (it is told, read as zeros, and the rest is read in pages);
 * a file that is not there (what reaches into it cannot be checked).
 */
#include "wal/survey.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"

#define SURVEY_WINDOW_BYTES 1048576u
#define SURVEY_PAGE_BYTES   4096u

const char *warp_survey_header(const struct warp_manifest *manifest, const uint8_t *bytes,
                               uint64_t index, uint32_t *offset)
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
    *offset = 12;
    if (warp_load_u32le(bytes + 12) > WARP_FORMAT_VERSION) {
        return "written by a newer WarpEngine than this one";
    }
    *offset = WARP_SURVEY_ID_OFFSET;
    if (memcmp(bytes + WARP_SURVEY_ID_OFFSET, manifest->id, sizeof(manifest->id)) != 0) {
        return "this log file belongs to another database";
    }
    *offset = 24;
    if (warp_load_u32le(bytes + 24) != manifest->segment_bytes) {
        return "the segment size is not the manifest's";
    }
    *offset = 48;
    if (warp_load_u64le(bytes + 48) != index) {
        return "the file has another segment's name";
    }
    return NULL;
}

int warp_survey_init(struct warp_survey *survey, const struct warp_disk *disk,
                     struct warp_memory *memory, const struct warp_manifest *manifest,
                     const struct warp_survey_calls *calls, void *context)
{
    memset(survey, 0, sizeof(*survey));
    survey->disk = disk;
    survey->memory = memory;
    survey->manifest = manifest;
    survey->calls = calls;
    survey->context = context;
    survey->seed = warp_manifest_seed(manifest);
    survey->mark = UINT64_MAX;
    survey->end = UINT64_MAX / 4;
    survey->chain = WARP_SURVEY_UNKNOWN;
    survey->last_index = UINT64_MAX;
    survey->file = -1;
    survey->window_capacity = SURVEY_WINDOW_BYTES;
    survey->window =
        warp_memory_map(memory, survey->window_capacity, SURVEY_PAGE_BYTES, false);
    return survey->window == NULL ? WARP_ENOMEM : 0;
}

static void survey_close(struct warp_survey *survey)
{
    if (survey->file >= 0) {
        survey->disk->ops->close(survey->disk->context, survey->file);
        survey->file = -1;
    }
}

void warp_survey_fini(struct warp_survey *survey)
{
    survey_close(survey);
    if (survey->window != NULL) {
        warp_memory_unmap(survey->memory, survey->window, survey->window_capacity);
        survey->window = NULL;
    }
}

/* ---- bytes ------------------------------------------------------------------------------ */

static void survey_tell_file(struct warp_survey *survey, uint64_t index, uint64_t offset,
                             uint64_t bytes, const char *what)
{
    char name[WARP_SEGMENT_NAME_BYTES];

    if (survey->calls->file_damaged != NULL && survey->file_tell) {
        warp_segment_name(index, name);
        survey->calls->file_damaged(survey->context, name, offset, bytes, what);
    }
}

static void survey_damaged(struct warp_survey *survey, uint64_t from, uint64_t to,
                           const char *what)
{
    if (survey->calls->damaged != NULL && survey->file_tell) {
        survey->calls->damaged(survey->context, from, to, what);
    }
}

static bool survey_open(struct warp_survey *survey, uint64_t index)
{
    char name[WARP_SEGMENT_NAME_BYTES];

    if (survey->file >= 0 && survey->file_index == index) {
        return true;
    }
    survey_close(survey);
    warp_segment_name(index, name);
    survey->file = survey->disk->ops->open(
        survey->disk->context, name,
        (uint32_t)WARP_FILE_READ_ONLY | (survey->direct ? (uint32_t)WARP_FILE_DIRECT : 0u));
    survey->file_index = index;
    survey->unread = survey->unread_end = 0;
    return survey->file >= 0;
}

/* What cannot be read becomes zeros; each such place is told once. */
static void survey_blank(struct warp_survey *survey, uint64_t offset, uint8_t *to,
                         uint64_t bytes, const char *what)
{
    memset(to, 0, bytes);
    if (offset < survey->unread || offset + bytes > survey->unread_end) {
        survey_tell_file(survey, survey->file_index, offset, bytes, what);
        survey->unread = survey->unread == survey->unread_end ? offset : survey->unread;
        survey->unread_end = offset + bytes;
    }
}

/* [offset, offset + bytes) of the open file. */
static void survey_read(struct warp_survey *survey, uint64_t offset, uint8_t *to,
                        uint64_t bytes)
{
    const struct warp_disk *disk = survey->disk;
    uint64_t file_bytes =
        (uint64_t)WARP_SEGMENT_HEADER_BYTES + survey->manifest->segment_bytes;
    int64_t got = disk->ops->read(disk->context, survey->file, to, (size_t)bytes, offset);

    if (got < 0) {
        /* Page by page: so no more is lost than the disk has lost. */
        while (bytes > 0) {
            uint64_t piece = SURVEY_PAGE_BYTES - offset % SURVEY_PAGE_BYTES;

            piece = piece < bytes ? piece : bytes;
            got = disk->ops->read(disk->context, survey->file, to, (size_t)piece, offset);
            if (got != (int64_t)piece) {
                survey_blank(survey, offset, to, piece, "it cannot be read");
            }
            to += piece;
            offset += piece;
            bytes -= piece;
        }
    } else if ((uint64_t)got < bytes) {
        if (survey->unread_end != file_bytes) {
            survey_tell_file(survey, survey->file_index, offset + (uint64_t)got,
                             file_bytes - offset - (uint64_t)got,
                             "the file is cut off here");
            survey->unread = offset + (uint64_t)got;
            survey->unread_end = file_bytes;
        }
        memset(to + got, 0, bytes - (uint64_t)got);
    }
}

static int survey_grow(struct warp_survey *survey, uint64_t bytes)
{
    uint8_t *more;

    if (bytes <= survey->window_capacity) {
        return 0;
    }
    bytes = warp_align_up(bytes, SURVEY_WINDOW_BYTES);
    more = warp_memory_map(survey->memory, bytes, SURVEY_PAGE_BYTES, false);
    if (more == NULL) {
        survey->rc = WARP_ENOMEM;
        return WARP_ENOMEM;
    }
    warp_memory_unmap(survey->memory, survey->window, survey->window_capacity);
    survey->window = more;
    survey->window_capacity = bytes;
    survey->window_bytes = 0;
    return 0;
}

const uint8_t *warp_survey_look(struct warp_survey *survey, uint64_t position,
                                uint64_t bytes)
{
    uint64_t s = survey->manifest->segment_bytes;
    uint64_t from = warp_align_down(position, SURVEY_PAGE_BYTES), at = from, to, end;

    if (survey->rc < 0 || bytes > UINT64_MAX / 2 - position) {
        return NULL;
    }
    if (position >= survey->window_from &&
        position - survey->window_from <= survey->window_bytes &&
        bytes <= survey->window_bytes - (position - survey->window_from)) {
        return survey->window + (position - survey->window_from);
    }
    to = warp_align_up(position + bytes, SURVEY_PAGE_BYTES);
    if (survey_grow(survey, to - from) < 0) {
        return NULL;
    }
    /* Ahead to the end of the file that the last byte lies in, as far as the window goes. */
    end = (to + s - 1) / s * s;
    end = end - from > survey->window_capacity ? from + survey->window_capacity : end;
    if (survey->end < end) {
        end = warp_align_up(survey->end, SURVEY_PAGE_BYTES);
    }
    survey->window_from = from;
    survey->window_bytes = 0;
    while (at < end) {
        uint64_t piece = s - at % s;

        piece = piece < end - at ? piece : end - at;
        if (!survey_open(survey, at / s)) {
            break;
        }
        survey_read(survey, WARP_SEGMENT_HEADER_BYTES + at % s,
                    survey->window + (at - from), piece);
        survey->window_bytes += piece;
        at += piece;
        if (survey->calls->pace != NULL) {
            int rc = survey->calls->pace(survey->context, piece);

            if (rc < 0) {
                survey->rc = rc;
                return NULL;
            }
        }
    }
    return survey->window_from + survey->window_bytes >= position + bytes
               ? survey->window + (position - from)
               : NULL;
}

/* ---- frames ------------------------------------------------------------------------------- */

/* `bytes` are those of a header at `at`. */
static bool survey_decode(const struct warp_survey *survey, const uint8_t *bytes,
                          uint64_t at, bool in_chain, struct warp_frame *frame)
{
    if (bytes[0] != 'W' || bytes[1] != 'F' ||
        warp_frame_decode_header(bytes, survey->seed, frame) != 0 ||
        frame->position != at || frame->epoch > survey->manifest->epoch ||
        frame->epoch < survey->epoch) {
        return false;
    }
    if (!in_chain || survey->epoch == 0) {
        return true;
    }
    return frame->kind == WARP_FRAME_OPEN ? frame->epoch > survey->epoch
                                          : frame->epoch == survey->epoch;
}

/* The next header from `at` on that lies below limit; limit if there is none. */
static uint64_t survey_search(struct warp_survey *survey, uint64_t at, uint64_t limit,
                              struct warp_frame *frame)
{
    at = warp_align_up(at, WARP_FRAME_ALIGNMENT);
    while (at + WARP_FRAME_HEADER_BYTES <= limit) {
        const uint8_t *bytes = warp_survey_look(survey, at, WARP_FRAME_HEADER_BYTES);
        uint64_t last;

        if (bytes == NULL) {
            return limit;
        }
        last = survey->window_from + survey->window_bytes;
        last = (last < limit ? last : limit) - WARP_FRAME_HEADER_BYTES;
        for (; at <= last; at += WARP_FRAME_ALIGNMENT, bytes += WARP_FRAME_ALIGNMENT) {
            if (survey_decode(survey, bytes, at, false, frame)) {
                return at;
            }
        }
    }
    return limit;
}

static void survey_frame(struct warp_survey *survey, const struct warp_frame *frame)
{
    uint64_t bytes = warp_frame_bytes(frame->body_bytes);
    enum warp_survey_body state = WARP_SURVEY_GOOD;
    const uint8_t *body = NULL;

    if (frame->position + bytes > survey->to) {
        state = WARP_SURVEY_PARTIAL;
    } else {
        body = warp_survey_look(survey, frame->position,
                                WARP_FRAME_HEADER_BYTES + (uint64_t)frame->body_bytes);
        if (survey->rc < 0) {
            return;
        }
        if (body == NULL) {
            state = WARP_SURVEY_PARTIAL;
        } else {
            body += WARP_FRAME_HEADER_BYTES;
            if (!warp_frame_check_body(frame, body)) {
                state = WARP_SURVEY_BAD;
            }
        }
    }
    if (state == WARP_SURVEY_BAD && frame->position >= survey->mark) {
        /* As far as anybody knows it was never durable. */
        survey->ended = true;
        survey->chain = frame->position;
        return;
    }
    if (state == WARP_SURVEY_BAD) {
        survey_damaged(survey, frame->position, frame->position + bytes,
                       "the body's checksum is wrong");
    } else {
        survey->frames++;
        survey->bytes += bytes;
    }
    survey->epoch = frame->epoch;
    survey->chain = frame->position + bytes;
    survey->broken = false;
    if (survey->calls->frame != NULL) {
        survey->calls->frame(survey->context, frame, body, state);
    }
}

/* From where the chain is, or from the first header that is found. */
static void survey_frames(struct warp_survey *survey, uint64_t base, uint64_t limit)
{
    struct warp_frame frame;
    uint64_t at = survey->chain, next;

    if (at == WARP_SURVEY_UNKNOWN) {
        next = survey_search(survey, base, limit, &frame);
        if (survey->broken && base < survey->mark) {
            survey_damaged(survey, base, next, "there is no frame header here");
        } else if (!survey->broken) {
            survey->unknown_bytes += next - base;
            if (survey->calls->unknown != NULL && next > base) {
                survey->calls->unknown(survey->context, base, next);
            }
        }
        at = next;
    }
    while (at < limit && survey->rc == 0 && !survey->ended) {
        const uint8_t *bytes = warp_survey_look(survey, at, WARP_FRAME_HEADER_BYTES);

        if (bytes != NULL && survey_decode(survey, bytes, at, true, &frame)) {
            survey_frame(survey, &frame);
            at = survey->chain;
            continue;
        }
        if (survey->rc < 0) {
            return;
        }
        if (bytes == NULL && limit - at < WARP_FRAME_HEADER_BYTES) {
            survey->chain = WARP_SURVEY_UNKNOWN; /* it reaches into a file that is gone */
            return;
        }
        if (at >= survey->mark) {
            survey->ended = true;
            survey->chain = at;
            return;
        }
        next = survey_search(survey, at + WARP_FRAME_ALIGNMENT, limit, &frame);
        survey_damaged(survey, at, next, "there is no frame header here");
        survey->broken = true;
        survey->chain = WARP_SURVEY_UNKNOWN;
        /* Whatever it is, it need not follow what lies before the gap. */
        if (next < limit) {
            survey_frame(survey, &frame);
            next = survey->ended ? limit : survey->chain;
        }
        at = next;
    }
}

int warp_survey_segment(struct warp_survey *survey, uint64_t index, uint64_t limit)
{
    uint64_t s = survey->manifest->segment_bytes, base = index * s;
    const struct warp_disk *disk = survey->disk;
    const char *wrong = "the header cannot be read";
    uint32_t offset = 0;

    limit = limit < base + s ? limit : base + s;
    survey->file_tell = true;
    survey->to = UINT64_MAX;
    if (limit < base + s) {
        survey->to = limit;
    }
    if (survey->last_index == UINT64_MAX || survey->last_index + 1 != index) {
        if (survey->chain != WARP_SURVEY_UNKNOWN &&
            (survey->chain < base || survey->chain >= base + s)) {
            survey->chain = WARP_SURVEY_UNKNOWN;
        }
        survey->broken = false;
    }
    survey->last_index = index;
    if (!survey_open(survey, index)) {
        survey_tell_file(survey, index, 0, UINT64_MAX, "the file cannot be opened");
        if (survey->chain == WARP_SURVEY_UNKNOWN || survey->chain < limit) {
            survey->chain = WARP_SURVEY_UNKNOWN;
        }
        survey->broken = false;
        return survey->rc;
    }
    survey->window_bytes = 0;
    if (disk->ops->read(disk->context, survey->file, survey->window,
                        WARP_SEGMENT_HEADER_BYTES,
                        0) == (int64_t)WARP_SEGMENT_HEADER_BYTES) {
        wrong = warp_survey_header(survey->manifest, survey->window, index, &offset);
    }
    if (wrong != NULL) {
        survey_tell_file(survey, index, offset, UINT64_MAX, wrong);
    }
    if (survey->rc == 0 && survey->calls->pace != NULL) {
        survey->rc = survey->calls->pace(survey->context, WARP_SEGMENT_HEADER_BYTES);
    }
    survey->files++;
    if (survey->rc == 0 &&
        (survey->chain == WARP_SURVEY_UNKNOWN || survey->chain < limit)) {
        survey_frames(survey, base, limit);
    }
    if (!survey->ended && survey->chain != WARP_SURVEY_UNKNOWN && survey->chain < limit) {
        survey->chain = WARP_SURVEY_UNKNOWN;
    }
    return survey->rc;
}

bool warp_survey_entry(struct warp_survey *survey, uint64_t place, bool in_batch,
                       const void *key, uint32_t key_bytes, uint32_t value_bytes,
                       bool has_expiry)
{
    uint8_t flags = (uint8_t)((has_expiry ? WARP_ENTRY_HAS_EXPIRY : 0u) |
                              (in_batch ? WARP_ENTRY_HAS_CHECKSUM : 0u));
    uint64_t entry_bytes = warp_entry_bytes(flags, key_bytes, value_bytes);
    uint64_t before = in_batch ? 0 : WARP_FRAME_HEADER_BYTES;
    const uint8_t *bytes;
    struct warp_frame frame;
    struct warp_entry entry;
    size_t length;

    if (place < before) {
        return false;
    }
    bytes = warp_survey_look(survey, place - before, before + entry_bytes);
    if (bytes == NULL) {
        return false;
    }
    if (!in_batch) {
        if (warp_frame_decode_header(bytes, survey->seed, &frame) != 0 ||
            frame.position != place - before || frame.kind != WARP_FRAME_RECORD ||
            frame.body_bytes != entry_bytes ||
            !warp_frame_check_body(&frame, bytes + before)) {
            return false;
        }
        bytes += before;
    }
    return warp_entry_decode(bytes, entry_bytes, &entry, &length) == 0 &&
           length == entry_bytes && entry.flags == flags && entry.kind == WARP_ENTRY_PUT &&
           entry.key_bytes == key_bytes && memcmp(entry.key, key, key_bytes) == 0;
}

int warp_survey_mark(struct warp_survey *survey, uint64_t index, uint64_t *mark)
{
    uint64_t s = survey->manifest->segment_bytes, base = index * s, limit = base + s;
    uint32_t epoch = survey->epoch;
    struct warp_frame frame;
    uint64_t at;

    *mark = 0;
    survey->file_tell = false;
    survey->epoch = 0;
    for (at = survey_search(survey, base, limit, &frame); at < limit && survey->rc == 0;
         at = survey_search(survey, at + WARP_FRAME_ALIGNMENT, limit, &frame)) {
        if (frame.has_mark && frame.mark > *mark) {
            *mark = frame.mark;
        }
    }
    survey->epoch = epoch;
    survey->window_bytes = 0; /* what could not be read is told when it is read again */
    survey_close(survey);
    return survey->rc;
}

int warp_survey_marks(struct warp_survey *survey, const uint64_t *indexes, uint32_t count,
                      uint64_t *mark)
{
    uint64_t s = survey->manifest->segment_bytes, found;
    uint32_t i;

    *mark = 0;
    /* A mark is not above its own frame: what lies wholly below one cannot raise it. */
    for (i = count; i > 0 && (indexes[i - 1] + 1) * s > *mark; i--) {
        int rc = warp_survey_mark(survey, indexes[i - 1], &found);

        if (rc < 0) {
            return rc;
        }
        *mark = found > *mark ? found : *mark;
    }
    return 0;
}
