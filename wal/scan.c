/*
 * The happy path: two buffers of one chunk each take turns; while the frames of one are
 * with the caller, the disk fills the other. A frame that straddles two chunks is moved to
 * the front of the second, so every frame lies in one piece. Headers are read in order, for
 * each says where the next one is; the body checksums of a chunk are then computed in
 * pieces, in parallel if the caller has the threads. A frame greater than a chunk gets
 * memory of its own.
 *
 *     buffer   | front: room for one moved frame | data: positions [from, to)   |
 *              |                  [moved bytes --+--> continue here]            |
 *
 * What can go wrong: somewhere a frame is not good. Frames before it are delivered first;
 * the next call then decides, by looking for witnesses behind it, whether the log ends
 * there or was damaged. A read error counts only when its bytes are needed: it may lie
 * behind the end.
 */
#include "wal/scan.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/errno.h"

#define SCAN_BLOCK_BYTES        4096u
#define SCAN_REQUEST_BYTES      1048576u
#define SCAN_REQUESTS           16u
#define SCAN_JOBS_MAX           64u
#define SCAN_JOB_BYTES          262144u
#define SCAN_FRAMES_MIN         1024u
#define SCAN_FRAME_BYTES_LIKELY 128u
_Static_assert(SCAN_REQUESTS < WARP_SEGMENT_HANDLES_RECENT,
               "no handle closes under a read");
_Static_assert(SCAN_BLOCK_BYTES <= WARP_SEGMENT_BYTES_FLOOR,
               "blocks do not straddle files");
_Static_assert(WARP_SEGMENT_HEADER_BYTES % SCAN_BLOCK_BYTES == 0, "blocks stay aligned");

struct scan_buffer {
    uint8_t *base;       /* 2 x chunk_bytes */
    uint8_t *data;       /* base + chunk_bytes */
    uint64_t from, to;   /* positions that data shall hold */
    uint64_t asked;      /* the next position to ask the disk for */
    uint64_t good;       /* data holds [from, good), once nothing is pending */
    uint64_t moved_from; /* the moved bytes begin at this position, at most from */
    uint32_t pending;    /* requests in flight */
    int error;           /* why good < to */
};

struct scan_request {
    struct warp_io_request io;
    struct scan_buffer *buffer; /* NULL: free */
    uint64_t position;
    uint64_t number; /* of all requests ever made */
};

enum scan_state {
    SCAN_RUNNING,
    SCAN_BAD,  /* no good frame at `parse`; not yet decided what that means */
    SCAN_OVER, /* `verdict` is the answer for ever */
};

struct scan_check {
    const struct warp_frame *frames;
    const uint8_t *const *bodies;
    uint8_t *labels;
    uint8_t (*label)(void *context, const struct warp_frame *frame, const void *body);
    void *label_context;
    uint32_t first[SCAN_JOBS_MAX + 1]; /* job i has frames first[i] ... first[i + 1] - 1 */
    uint32_t bad[SCAN_JOBS_MAX];       /* the first bad one of job i, or UINT32_MAX */
};

struct warp_scan {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    struct warp_segments *segments;
    struct warp_scan_options options;
    uint64_t log_end; /* of the files */
    uint32_t seed, epoch_max, segment_bytes;

    void *queue;
    struct scan_request requests[SCAN_REQUESTS];
    uint64_t request_count; /* ever made */
    uint32_t pending;
    struct scan_buffer buffers[2];
    uint32_t current;

    struct warp_frame *frames;
    const uint8_t **bodies;
    uint8_t *labels; /* NULL without options.label */
    uint32_t frame_max;
    uint8_t *big; /* the frame that was greater than a chunk */
    size_t big_bytes;
    struct scan_check check;

    enum scan_state state;
    int verdict;
    uint64_t parse;  /* the next frame begins here */
    uint64_t needed; /* bytes of the frame at parse, when it did not fit */
    bool epoch_known;
    int bad_verdict; /* what no witness can change: WARP_EDAMAGED, _EVERSION; or 0 */
    const char *bad_what;
    struct warp_scan_result result;
};

static void scan_blame(struct warp_scan *scan, uint64_t position, const char *what)
{
    warp_segment_name(position / scan->segment_bytes, scan->result.file);
    scan->result.file_offset =
        WARP_SEGMENT_HEADER_BYTES + (position & (scan->segment_bytes - 1u));
    scan->result.damaged_position = position;
    scan->result.what = what;
}

static int scan_over(struct warp_scan *scan, int verdict)
{
    scan->state = SCAN_OVER;
    scan->verdict = verdict;
    return verdict;
}

/*
 * ---- reading ahead --------------------------------------------------------------------
 */

static void scan_read_failed(struct scan_buffer *buffer, uint64_t position, int error)
{
    if (position < buffer->good) {
        buffer->good = position;
        buffer->error = error;
    }
}

/*
 * Whether one more segment may be located. The handle of a request in flight stays open
 * only while few others are located after it, and the disk may finish the oldest request
 * last.
 */
static bool scan_may_locate(const struct warp_scan *scan)
{
    uint32_t i;

    for (i = 0; i < SCAN_REQUESTS; i++) {
        if (scan->requests[i].buffer != NULL &&
            scan->request_count - scan->requests[i].number >=
                WARP_SEGMENT_HANDLES_RECENT - 1) {
            return false;
        }
    }
    return true;
}

/*
 * Ask the disk for as much as may be in flight. The current buffer goes first. A file that
 * cannot be opened for want of handles is tried again when nothing is in flight.
 */
static void scan_pump(struct warp_scan *scan)
{
    const struct warp_disk *disk = scan->disk;
    uint32_t turn, i = 0;

    for (turn = 0; turn < 2; turn++) {
        struct scan_buffer *buffer = &scan->buffers[(scan->current + turn) % 2];

        while (buffer->asked < buffer->to) {
            struct warp_io_request *io;
            uint64_t offset, bytes;
            int32_t file;
            int rc;

            while (i < SCAN_REQUESTS && scan->requests[i].buffer != NULL) {
                i++;
            }
            if (i == SCAN_REQUESTS || !scan_may_locate(scan)) {
                return;
            }
            rc =
                warp_segments_locate(scan->segments, buffer->asked, &file, &offset, &bytes);
            if (rc == WARP_ESYSTEM) {
                if (scan->pending > 0) {
                    return;
                }
                warp_segments_trim(scan->segments);
                rc = warp_segments_locate(scan->segments, buffer->asked, &file, &offset,
                                          &bytes);
            }
            if (rc < 0) {
                scan_read_failed(buffer, buffer->asked, rc);
                buffer->asked = buffer->to;
                break;
            }
            if (bytes > buffer->to - buffer->asked) {
                bytes = buffer->to - buffer->asked;
            }
            if (bytes > SCAN_REQUEST_BYTES) {
                bytes = SCAN_REQUEST_BYTES;
            }
            io = &scan->requests[i].io;
            memset(io, 0, sizeof(*io));
            io->op = WARP_IO_READ;
            io->file = file;
            io->buffer = buffer->data + (buffer->asked - buffer->from);
            io->bytes = (uint32_t)bytes;
            io->offset = offset;
            io->user = &scan->requests[i];
            if (disk->ops->submit(disk->context, scan->queue, &io, 1) != 1) {
                if (scan->pending == 0) {
                    scan_read_failed(buffer, buffer->asked, WARP_EIO);
                    buffer->asked = buffer->to;
                }
                return;
            }
            scan->requests[i].buffer = buffer;
            scan->requests[i].position = buffer->asked;
            scan->requests[i].number = scan->request_count++;
            buffer->asked += bytes;
            buffer->pending++;
            scan->pending++;
        }
    }
}

static void scan_reap(struct warp_scan *scan)
{
    struct warp_io_request *done[SCAN_REQUESTS];
    uint32_t count, i;

    count = scan->disk->ops->reap(scan->disk->context, scan->queue, done, SCAN_REQUESTS,
                                  UINT64_MAX);
    for (i = 0; i < count; i++) {
        struct scan_request *request = done[i]->user;
        struct scan_buffer *buffer = request->buffer;

        if (done[i]->result < 0) {
            scan_read_failed(buffer, request->position,
                             warp_error_from_errno((int)done[i]->result));
        } else if ((uint64_t)done[i]->result < done[i]->bytes) {
            /* The file had its full length when it was opened: it has shrunk since. */
            scan_read_failed(buffer, request->position + (uint64_t)done[i]->result,
                             WARP_EIO);
        }
        request->buffer = NULL;
        buffer->pending--;
        scan->pending--;
    }
}

static void scan_buffer_wait(struct warp_scan *scan, const struct scan_buffer *buffer)
{
    for (;;) {
        scan_pump(scan);
        if (buffer->pending == 0 && buffer->asked == buffer->to) {
            return;
        }
        if (scan->pending > 0) {
            scan_reap(scan);
        }
    }
}

static void scan_buffer_set(struct warp_scan *scan, struct scan_buffer *buffer,
                            uint64_t from)
{
    warp_assert(buffer->pending == 0);
    warp_assert(from % SCAN_BLOCK_BYTES == 0);
    buffer->from = from < scan->log_end ? from : scan->log_end;
    buffer->to = scan->log_end - buffer->from < scan->options.chunk_bytes
                     ? scan->log_end
                     : buffer->from + scan->options.chunk_bytes;
    buffer->asked = buffer->from;
    buffer->good = buffer->to;
    buffer->moved_from = buffer->from;
    buffer->error = 0;
}

/* Nothing is in flight afterwards, and nothing more is asked for. */
static void scan_drain(struct warp_scan *scan)
{
    scan->buffers[0].asked = scan->buffers[0].to;
    scan->buffers[1].asked = scan->buffers[1].to;
    while (scan->pending > 0) {
        scan_reap(scan);
    }
}

/* Begin to read at the block that holds a position. */
static void scan_start(struct warp_scan *scan, uint64_t position)
{
    scan_drain(scan);
    scan->current = 0;
    scan_buffer_set(scan, &scan->buffers[0], warp_align_down(position, SCAN_BLOCK_BYTES));
    scan_buffer_set(scan, &scan->buffers[1], scan->buffers[0].to);
    scan_pump(scan);
}

/*
 * Read [position, position + bytes), whole blocks, now. *failed gets where it went wrong.
 */
static int scan_read(struct warp_scan *scan, uint64_t position, uint8_t *to, uint64_t bytes,
                     uint64_t *failed)
{
    const struct warp_disk *disk = scan->disk;
    uint64_t offset, piece;
    int64_t got;
    int32_t file;
    int rc;

    warp_assert(scan->pending == 0);
    while (bytes > 0) {
        *failed = position;
        rc = warp_segments_locate(scan->segments, position, &file, &offset, &piece);
        if (rc == WARP_ESYSTEM) {
            warp_segments_trim(scan->segments);
            rc = warp_segments_locate(scan->segments, position, &file, &offset, &piece);
        }
        if (rc < 0) {
            return rc;
        }
        piece = piece < bytes ? piece : bytes;
        got = disk->ops->read(disk->context, file, to, (size_t)piece, offset);
        if (got < 0) {
            return warp_error_from_errno((int)got);
        }
        if ((uint64_t)got < piece) {
            *failed = position + (uint64_t)got;
            return WARP_EIO;
        }
        position += piece;
        to += piece;
        bytes -= piece;
    }
    return 0;
}

/*
 * ---- frames ---------------------------------------------------------------------------
 */

static int scan_bad(struct warp_scan *scan, uint64_t position, const char *what,
                    int verdict)
{
    scan->state = SCAN_BAD;
    scan->parse = position;
    scan->bad_what = what;
    scan->bad_verdict = verdict;
    return WARP_EFORMAT;
}

/*
 * Is there a good header at `position`? 0 and *out, or WARP_EFORMAT with the state set to
 * BAD. The body is looked at later.
 */
static int scan_header(struct warp_scan *scan, const uint8_t *bytes, uint64_t position,
                       bool epoch_known, uint32_t epoch, struct warp_frame *out)
{
    int rc = warp_frame_decode_header(bytes, scan->seed, out);

    if (rc == WARP_EVERSION && out->position == position) {
        return scan_bad(scan, position, "the frame was written by a newer WarpEngine",
                        WARP_EVERSION);
    }
    if (rc < 0) {
        return scan_bad(scan, position, "there is no frame header here", 0);
    }
    if (out->position != position) {
        return scan_bad(scan, position, "the frame belongs to another place of the log", 0);
    }
    if (out->epoch > scan->epoch_max) {
        return scan_bad(scan, position,
                        "the frame is of a later opening than MANIFEST knows of",
                        WARP_EDAMAGED);
    }
    if (epoch_known &&
        (out->kind == WARP_FRAME_OPEN ? out->epoch <= epoch : out->epoch != epoch)) {
        return scan_bad(scan, position, "the frame is of another opening of the database",
                        0);
    }
    if (warp_frame_bytes(out->body_bytes) > scan->log_end - position) {
        return scan_bad(scan, position, "the frame reaches past the last log file", 0);
    }
    return 0;
}

/*
 * Read headers from `parse` on, as far as the buffer has whole frames and the array has
 * room. Leaves `needed` > 0 if it stopped because the buffer ends inside a frame.
 */
static uint32_t scan_collect(struct warp_scan *scan)
{
    const struct scan_buffer *buffer = &scan->buffers[scan->current];
    bool epoch_known = scan->epoch_known;
    uint32_t epoch = scan->result.epoch_last;
    uint32_t count = 0;

    scan->needed = 0;
    warp_assert(scan->parse >= buffer->moved_from);
    while (count < scan->frame_max) {
        struct warp_frame *frame = &scan->frames[count];
        const uint8_t *bytes = buffer->data + (int64_t)(scan->parse - buffer->from);
        uint64_t frame_bytes;

        if (scan->log_end - scan->parse < WARP_FRAME_HEADER_BYTES) {
            scan_bad(scan, scan->parse, "the log files end here", 0);
            break;
        }
        if (buffer->good < scan->parse + WARP_FRAME_HEADER_BYTES) {
            scan->needed = WARP_FRAME_HEADER_BYTES;
            break;
        }
        if (scan_header(scan, bytes, scan->parse, epoch_known, epoch, frame) < 0) {
            break;
        }
        frame_bytes = warp_frame_bytes(frame->body_bytes);
        if (frame_bytes > buffer->good - scan->parse) {
            scan->needed = frame_bytes;
            break;
        }
        scan->bodies[count] = bytes + WARP_FRAME_HEADER_BYTES;
        scan->parse += frame_bytes;
        epoch_known = true;
        epoch = frame->epoch;
        count++;
    }
    return count;
}

static void scan_check_job(void *context, uint32_t index)
{
    struct scan_check *check = context;
    uint32_t i;

    check->bad[index] = UINT32_MAX;
    for (i = check->first[index]; i < check->first[index + 1]; i++) {
        if (!warp_frame_check_body(&check->frames[i], check->bodies[i])) {
            check->bad[index] = i;
            return;
        }
        if (check->labels != NULL) {
            check->labels[i] =
                check->label(check->label_context, &check->frames[i], check->bodies[i]);
        }
    }
}

/* How many of the collected frames are good: all before the first bad body. */
static uint32_t scan_check_bodies(struct warp_scan *scan, uint32_t count)
{
    struct scan_check *check = &scan->check;
    uint64_t bytes = 0;
    uint32_t jobs = 1;
    uint32_t i;

    check->frames = scan->frames;
    check->bodies = scan->bodies;
    check->labels = scan->labels;
    check->label = scan->options.label;
    check->label_context = scan->options.label_context;
    check->first[0] = 0;
    for (i = 0; i < count; i++) {
        if (bytes >= SCAN_JOB_BYTES && jobs < SCAN_JOBS_MAX) {
            check->first[jobs++] = i;
            bytes = 0;
        }
        bytes += warp_frame_bytes(scan->frames[i].body_bytes);
    }
    check->first[jobs] = count;
    if (jobs > 1 && scan->options.parallel != NULL) {
        scan->options.parallel(scan->options.parallel_context, scan_check_job, check, jobs);
    } else {
        for (i = 0; i < jobs; i++) {
            scan_check_job(check, i);
        }
    }
    for (i = 0; i < jobs; i++) {
        if (check->bad[i] != UINT32_MAX) {
            /* What was found wrong with a later header no longer matters. */
            scan_bad(scan, scan->frames[check->bad[i]].position,
                     "the body's checksum is wrong", 0);
            return check->bad[i];
        }
    }
    return count;
}

/* Check the bodies of the collected frames and count the good ones in. */
static uint32_t scan_accept(struct warp_scan *scan, uint32_t count)
{
    struct warp_scan_result *result = &scan->result;
    uint32_t i;

    count = count > 0 ? scan_check_bodies(scan, count) : 0;
    for (i = 0; i < count; i++) {
        const struct warp_frame *frame = &scan->frames[i];

        if (frame->has_mark && frame->mark > result->mark) {
            result->mark = frame->mark;
        }
        result->bytes += warp_frame_bytes(frame->body_bytes);
        /* The flush that closes the log may have been padded: that changes nothing. */
        if (frame->kind != WARP_FRAME_PAD && frame->kind != WARP_FRAME_MARK) {
            result->clean = frame->kind == WARP_FRAME_CLOSE;
        }
    }
    if (count > 0) {
        const struct warp_frame *last = &scan->frames[count - 1];

        result->frames += count;
        result->epoch_last = last->epoch;
        result->end = last->position + warp_frame_bytes(last->body_bytes);
        scan->epoch_known = true;
    }
    return count;
}

static void scan_big_release(struct warp_scan *scan)
{
    if (scan->big != NULL) {
        warp_memory_unmap(scan->memory, scan->big, scan->big_bytes);
        scan->big = NULL;
    }
}

/*
 * Read the frame at `parse`, which is greater than a chunk. 1 frame accepted, 0 it is bad.
 */
static int scan_read_big(struct warp_scan *scan)
{
    uint64_t from = warp_align_down(scan->parse, SCAN_BLOCK_BYTES);
    uint64_t to = warp_align_up(scan->parse + scan->needed, SCAN_BLOCK_BYTES);
    const uint8_t *bytes;
    uint64_t failed;
    int rc;

    scan_drain(scan);
    scan->big_bytes = (size_t)(to - from);
    scan->big = warp_memory_map(scan->memory, scan->big_bytes, SCAN_BLOCK_BYTES, false);
    if (scan->big == NULL) {
        return scan_over(scan, WARP_ENOMEM);
    }
    rc = scan_read(scan, from, scan->big, to - from, &failed);
    if (rc < 0) {
        scan_blame(scan, failed, "it cannot be read");
        return scan_over(scan, rc);
    }
    bytes = scan->big + (scan->parse - from);
    rc = scan_header(scan, bytes, scan->parse, scan->epoch_known, scan->result.epoch_last,
                     &scan->frames[0]);
    if (rc < 0 || warp_frame_bytes(scan->frames[0].body_bytes) != scan->needed) {
        /* It was good a moment ago, so the disk does not give the same bytes twice. */
        scan_blame(scan, scan->parse, "two reads gave different bytes");
        return scan_over(scan, WARP_EIO);
    }
    scan->bodies[0] = bytes + WARP_FRAME_HEADER_BYTES;
    scan->parse += scan->needed;
    rc = (int)scan_accept(scan, 1);
    scan_start(scan, scan->parse);
    return rc;
}

/* Go on to the buffer that was read ahead, and take the begun frame along. */
static void scan_advance(struct warp_scan *scan)
{
    struct scan_buffer *old = &scan->buffers[scan->current];
    struct scan_buffer *next = &scan->buffers[(scan->current + 1) % 2];
    uint64_t moved = old->to - scan->parse;

    warp_assert(next->from == old->to);
    warp_assert(moved <= scan->options.chunk_bytes);
    scan->current = (scan->current + 1) % 2;
    scan_buffer_wait(scan, next);
    /* Nothing moves into the data, so the disk may have written it before or after this. */
    memcpy(next->data - moved, old->data + old->to - old->from - moved, (size_t)moved);
    next->moved_from = scan->parse;
    scan_buffer_set(scan, old, next->to);
    scan_pump(scan);
}

/*
 * ---- the end, or damage ---------------------------------------------------------------
 */

struct scan_search {
    uint64_t trace_end; /* the last trace of an unfinished tail ends here */
    bool stale_seen;    /* an older use of the file begins: its bytes are no trace */
    bool newer_seen;    /* a frame of a newer version */
    bool late_seen;     /* a frame of a later opening than the manifest's */
    bool proven;        /* a witness: the gap was durable */
};

static uint64_t scan_frame_end(const struct warp_scan *scan, const struct warp_frame *frame)
{
    uint64_t bytes = warp_frame_bytes(frame->body_bytes);

    return bytes < scan->log_end - frame->position ? frame->position + bytes
                                                   : scan->log_end;
}

/* Look at 8-byte steps [at, to) for witnesses; 32 bytes from each step on can be read. */
static void scan_search_range(struct warp_scan *scan, struct scan_search *search,
                              const uint8_t *bytes, uint64_t at, uint64_t to)
{
    struct warp_scan_result *result = &scan->result;
    struct warp_frame frame;

    for (; at < to; at += 8, bytes += 8) {
        int rc;

        if (warp_load_u64le(bytes) == 0) {
            continue;
        }
        rc = bytes[0] == 'W' && bytes[1] == 'F'
                 ? warp_frame_decode_header(bytes, scan->seed, &frame)
                 : WARP_EFORMAT;
        if (rc != WARP_EFORMAT &&
            (frame.position != at ||
             (rc == 0 && scan->epoch_known && frame.epoch < result->epoch_last))) {
            search->stale_seen = true;
            continue;
        }
        if (!search->stale_seen && !result->clean && at + 8 > search->trace_end) {
            search->trace_end = at + 8;
        }
        if (rc == WARP_EFORMAT) {
            continue;
        }
        if (rc == WARP_EVERSION) {
            search->newer_seen = true;
            return;
        }
        if (at > scan->parse && result->resume == UINT64_MAX) {
            result->resume = at;
        }
        if (scan_frame_end(scan, &frame) > search->trace_end) {
            search->trace_end = scan_frame_end(scan, &frame);
        }
        if (frame.epoch > scan->epoch_max) {
            search->late_seen = true;
            result->valid_after = at;
            return;
        }
        if (frame.has_mark && frame.mark > scan->parse) {
            search->proven = true;
            result->valid_after = at;
            return;
        }
    }
}

/* Read everything from `parse` to the end of the files. Uses the memory of a buffer. */
static int scan_search(struct warp_scan *scan, struct scan_search *search)
{
    struct scan_buffer *buffer = &scan->buffers[0];
    uint64_t from = warp_align_down(scan->parse, SCAN_BLOCK_BYTES);
    uint64_t at = scan->parse;
    uint64_t failed;
    int rc;

    scan_drain(scan);
    search->trace_end = scan->parse;
    while (from < scan->log_end) {
        uint64_t bytes = scan->log_end - from;
        uint64_t to;

        bytes = bytes < scan->options.chunk_bytes ? bytes : scan->options.chunk_bytes;
        rc = scan_read(scan, from, buffer->data, bytes, &failed);
        if (rc < 0) {
            scan_blame(scan, failed, "it cannot be read");
            return rc;
        }
        to = from + bytes;
        /* Steps whose header would end behind what was read wait for the next piece. */
        to = to - WARP_FRAME_HEADER_BYTES + 8;
        if (at < to) {
            scan_search_range(scan, search, buffer->data + (int64_t)(at - from), at, to);
            at = to;
        }
        if (search->proven || search->late_seen || search->newer_seen) {
            return 0;
        }
        from += bytes;
        memcpy(buffer->data - WARP_FRAME_HEADER_BYTES,
               buffer->data + bytes - WARP_FRAME_HEADER_BYTES, WARP_FRAME_HEADER_BYTES);
    }
    return 0;
}

/*
 * There is no good frame at `parse`: say why. An accepted frame cannot have a mark above
 * parse, because no mark is above its own frame; so only what lies behind can prove a loss.
 */
static int scan_decide(struct warp_scan *scan)
{
    struct warp_scan_result *result = &scan->result;
    struct scan_search search = {0};
    uint64_t position = scan->parse;
    int rc;

    warp_assert(result->mark <= position);
    result->end = position;
    if (scan->bad_verdict != 0) {
        scan_blame(scan, position, scan->bad_what);
        if (scan->bad_verdict == WARP_EDAMAGED) {
            result->valid_after = position;
            result->resume = position;
        }
        return scan_over(scan, scan->bad_verdict);
    }
    rc = scan_search(scan, &search);
    if (rc < 0) {
        return scan_over(scan, rc);
    }
    if (search.newer_seen) {
        scan_blame(scan, position, "frames behind it were written by a newer WarpEngine");
        return scan_over(scan, WARP_EVERSION);
    }
    if (search.proven) {
        scan_blame(scan, position, scan->bad_what);
        return scan_over(scan, WARP_EDAMAGED);
    }
    if (search.late_seen) {
        scan_blame(scan, position,
                   "frames behind it are of a later opening than MANIFEST knows of");
        return scan_over(scan, WARP_EDAMAGED);
    }
    result->resume = UINT64_MAX;
    result->bytes_cut = search.trace_end - position;
    return scan_over(scan, 0);
}

/*
 * ---- the outside ----------------------------------------------------------------------
 */

int warp_scan_create(struct warp_scan **scan, const struct warp_disk *disk,
                     struct warp_memory *memory, struct warp_segments *segments,
                     const struct warp_manifest *manifest,
                     const struct warp_scan_options *options)
{
    struct warp_scan *made;
    uint32_t i;
    int rc;

    warp_assert(*scan == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->disk = disk;
    made->memory = memory;
    made->segments = segments;
    made->options.begin = manifest->head_position;
    if (options != NULL) {
        made->options = *options;
    }
    if (made->options.chunk_bytes == 0) {
        made->options.chunk_bytes = WARP_SCAN_CHUNK_BYTES_DEFAULT;
    }
    warp_assert(warp_is_power_of_two(made->options.chunk_bytes));
    warp_assert(made->options.chunk_bytes >= WARP_SCAN_CHUNK_BYTES_MIN);
    made->seed = warp_manifest_seed(manifest);
    made->epoch_max = manifest->epoch;
    if (made->options.epoch != 0) {
        made->epoch_known = true;
        made->result.epoch_last = made->options.epoch;
    }
    made->segment_bytes = manifest->segment_bytes;
    made->log_end = warp_segments_end(segments);
    warp_assert(made->options.begin >= warp_segments_begin(segments));
    warp_assert(made->options.begin <= made->log_end);
    made->parse = made->options.begin;
    made->result.end = made->parse;
    made->result.resume = UINT64_MAX;

    made->frame_max = made->options.chunk_bytes / SCAN_FRAME_BYTES_LIKELY;
    made->frame_max = made->frame_max > SCAN_FRAMES_MIN ? made->frame_max : SCAN_FRAMES_MIN;
    rc = WARP_ENOMEM;
    made->frames =
        warp_memory_map(memory, made->frame_max * sizeof(*made->frames), 64, false);
    made->bodies =
        warp_memory_map(memory, made->frame_max * sizeof(*made->bodies), 64, false);
    if (made->options.label != NULL) {
        made->labels = warp_memory_map(memory, made->frame_max, 64, false);
    }
    if (made->frames == NULL || made->bodies == NULL ||
        (made->options.label != NULL && made->labels == NULL)) {
        goto fail;
    }
    for (i = 0; i < 2; i++) {
        made->buffers[i].base = warp_memory_map(
            memory, 2 * (size_t)made->options.chunk_bytes, SCAN_BLOCK_BYTES, false);
        if (made->buffers[i].base == NULL) {
            goto fail;
        }
        made->buffers[i].data = made->buffers[i].base + made->options.chunk_bytes;
    }
    rc = disk->ops->queue_create(disk->context, SCAN_REQUESTS, &made->queue);
    if (rc < 0) {
        made->queue = NULL;
        rc = warp_error_from_errno(rc);
        rc = rc == WARP_ENOMEM ? rc : WARP_ESYSTEM;
        goto fail;
    }
    scan_start(made, made->parse);
    *scan = made;
    return 0;

fail:
    warp_scan_destroy(&made);
    return rc;
}

void warp_scan_destroy(struct warp_scan **scan)
{
    struct warp_scan *gone = *scan;
    uint32_t i;

    *scan = NULL;
    if (gone == NULL) {
        return;
    }
    if (gone->queue != NULL) {
        scan_drain(gone);
        gone->disk->ops->queue_destroy(gone->disk->context, &gone->queue);
    }
    scan_big_release(gone);
    for (i = 0; i < 2; i++) {
        if (gone->buffers[i].base != NULL) {
            warp_memory_unmap(gone->memory, gone->buffers[i].base,
                              2 * (size_t)gone->options.chunk_bytes);
        }
    }
    if (gone->frames != NULL) {
        warp_memory_unmap(gone->memory, gone->frames,
                          gone->frame_max * sizeof(*gone->frames));
    }
    if (gone->bodies != NULL) {
        warp_memory_unmap(gone->memory, gone->bodies,
                          gone->frame_max * sizeof(*gone->bodies));
    }
    if (gone->labels != NULL) {
        warp_memory_unmap(gone->memory, gone->labels, gone->frame_max);
    }
    warp_memory_release(gone->memory, gone, sizeof(*gone));
}

int warp_scan_next(struct warp_scan *scan, struct warp_scan_chunk *out)
{
    uint32_t count;

    scan_big_release(scan);
    for (;;) {
        struct scan_buffer *buffer = &scan->buffers[scan->current];

        if (scan->state == SCAN_OVER) {
            return scan->verdict;
        }
        if (scan->state == SCAN_BAD) {
            return scan_decide(scan);
        }
        scan_buffer_wait(scan, buffer);
        count = scan_accept(scan, scan_collect(scan));
        if (count == 0 && scan->state == SCAN_RUNNING) {
            /* The buffer ends inside a frame. */
            if (buffer->good < buffer->to) {
                scan_blame(scan, buffer->good, "it cannot be read");
                return scan_over(scan, buffer->error);
            }
            if (scan->needed <= scan->options.chunk_bytes) {
                scan_advance(scan);
                continue;
            }
            count = 1;
            if (scan_read_big(scan) != 1) {
                continue;
            }
        }
        if (count > 0) {
            out->frames = scan->frames;
            out->bodies = scan->bodies;
            out->labels = scan->labels;
            out->frame_count = count;
            return 1;
        }
    }
}

const struct warp_scan_result *warp_scan_result(const struct warp_scan *scan)
{
    return &scan->result;
}
