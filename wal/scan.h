/*
 * wal/scan.h - reads the log back, frame by frame, until it ends.
 *
 * Where the first frame is not what it should be, the scan decides: is this the tail that a
 * crash left unfinished, or has something been lost that was durable? It looks on for later
 * frames of the same life of the log: if one of them records a mark above the gap, the gap
 * was durable once, and that is damage. The rule and why it holds: docs/WAL_FORMAT.md.
 *
 * Threads:   one at a time; the given `parallel` may run the checksums on others meanwhile.
 * Lifetime:  create/destroy. disk, memory and segments must outlive the scan, and nobody
 *            else may use segments meanwhile. A chunk's frames and bodies live until the
 *            next call.
 * Units:     bytes; positions of log.
 * Ordering:  frames come in log order. The log must not be written meanwhile.
 * Errors:    WARP_EDAMAGED, _EIO, _ENOMEM, _EVERSION, _ESYSTEM; warp_scan_result() then
 *            says file, offset and what. After an error or the end every further call says
 *            the same.
 * Cost:      reads the files once, up to two chunks ahead; one CRC32C pass over all bodies;
 *            then, once, one pass over what is left behind the end. Memory: 4 chunks of
 *            address space, of which 2 are used, and 5 % for the frames; a frame greater
 *            than a chunk, its size.
 */
#ifndef WAL_SCAN_H
#define WAL_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/segment.h"

#define WARP_SCAN_CHUNK_BYTES_DEFAULT 16777216u
#define WARP_SCAN_CHUNK_BYTES_MIN     4096u

struct warp_scan;

struct warp_scan_options {
    uint64_t begin;       /* a frame begins here: manifest.head_position */
    uint32_t epoch;       /* that the log has at begin; 0: whatever the first frame says */
    uint32_t chunk_bytes; /* 0: the default; else a power of two >= the minimum */
    /* Runs job(job_context, 0 ... count - 1) on several threads and returns when all are
     * done. NULL: they run here, one after the other. */
    void (*parallel)(void *context, void (*job)(void *job_context, uint32_t index),
                     void *job_context, uint32_t count);
    void *parallel_context;
    /*
     * Called for each frame whose body is good, while that is in the cache, by several threads if
     * there are: what it answers is the frame's label. NULL: there are none.
     */
    uint8_t (*label)(void *context, const struct warp_frame *frame, const void *body);
    void *label_context;
};

/*
 * Frames in log order, fully checked: place, header, epoch, body checksum. The entries
 * inside are not decoded: that is warp_frame_cursor_next()'s work, which can still say
 * WARP_EFORMAT for a body that was written wrongly.
 */
struct warp_scan_chunk {
    const struct warp_frame *frames;
    const uint8_t *const *bodies;
    const uint8_t *labels; /* NULL without options.label */
    uint32_t frame_count;
};

struct warp_scan_result {
    uint64_t end;  /* where new frames go: the first position that holds no good frame */
    uint64_t mark; /* the highest recorded in a good frame */
    uint64_t
        bytes_cut;   /* of unfinished tail: from end to the end of the last trace of it */
    uint64_t frames; /* good ones so far ... */
    uint64_t bytes;  /* ... and the log they take */
    uint32_t epoch_last; /* of the last good frame */
    bool clean;          /* a WARP_FRAME_CLOSE, and behind it at most PADs and MARKs */

    /* After WARP_EDAMAGED, _EVERSION or _EIO, else empty. */
    char file[WARP_SEGMENT_NAME_BYTES];
    uint64_t file_offset;
    uint64_t damaged_position;
    const char *what;     /* part of a sentence: "the body's checksum is wrong" */
    uint64_t valid_after; /* position of the later frame that proves the damage */
    uint64_t resume; /* position of the first good header behind it; UINT64_MAX if none */
};

/*
 * Start at options->begin, which must lie in [begin, end] of the segments. *scan must be
 * NULL. options may be NULL. Errors: WARP_ENOMEM, _ESYSTEM.
 *
 * Whoever opens for writing must, before the first new frame at result->end, sync what was
 * read above the mark (warp_segments_sync(segments, result->mark, result->end)): after a
 * killed process it may have come from the page cache alone. The new frame must be a
 * WARP_FRAME_OPEN with an epoch above all in the log, which turns what is left behind the
 * end into stale frames.
 */
int warp_scan_create(struct warp_scan **scan, const struct warp_disk *disk,
                     struct warp_memory *memory, struct warp_segments *segments,
                     const struct warp_manifest *manifest,
                     const struct warp_scan_options *options);
void warp_scan_destroy(struct warp_scan **scan);

/* 1 and *out: a chunk of at least one frame; 0: the log ends here; < 0: see above. */
int warp_scan_next(struct warp_scan *scan, struct warp_scan_chunk *out);

/* Lives as long as the scan; final when next has returned 0 or an error. */
const struct warp_scan_result *warp_scan_result(const struct warp_scan *scan);

#endif
