/*
 * wal/segment.h - the files that hold one log.
 *
 * The log is one stream of bytes; segment i holds positions [i * S, (i + 1) * S) in a file
 * of its own, behind a 4096-byte header, so that old log can be given back file by file.
 * Files are made ahead of need and recycled, because a write into space that already
 * belongs to the file costs the file system no journal entry.
 *
 * Life of a segment's file:
 *
 *   LOG        in [begin, end): replayed, written            extend()
 *   RETAINED   below begin, for the values that still lie
 *              in it are read by their places (wal/reader)   advance(), retain() at open
 *   SPARE      holds nothing, waits to be a segment again    drop()
 *
 * Log segments have no gaps between them, retained ones may.
 *
 * Threads:   end, begin and retained by any thread; init, retain and fini by the one that
 *            opens; advance and drop by one thread at a time, beside all others; everything
 *            else by one thread at a time: the one that opens, later the holder of the
 *            writer's lock.
 * Lifetime:  embedded; init takes handles and one page, fini gives them back. A handle that
 *            locate returned stays open while it is pinned, or among the last 8 segments of
 *            the log, and otherwise until WARP_SEGMENT_HANDLES_RECENT other segments were
 *            located or made, or until trim, fini, or an extend after begin has passed it.
 *            I/O that outlives the call that located, and during which an unknown number of
 *            others may be, pins.
 * Units:     bytes; positions of log.
 * Ordering:  end is moved (release) after the new file is durable under its name; pairs
 *            with the acquire in warp_segments_end. begin is moved (release) by advance and
 *            pairs with the acquire in warp_segments_begin: below it nobody may locate. The
 *            list of spares, which drop fills while extend empties it, has a lock of its own
 *            that is never held across a system call.
 * Errors:    WARP_EFORMAT (a foreign file), _EVERSION, _EDAMAGED (a file of the log is
 *            missing, short or has a bad header), _ENOSPC, _EIO, _EPERM, _ENOMEM, _ESYSTEM
 *            (no more handles); init leaves a sentence in `message`.
 * Cost:      locate scans at most 64 handles, without a system call when the file is open;
 *            extend is bounded: one file made, two syncs; drop: one rename or unlink, one
 *            sync of the directory; advance is a store.
 */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/manifest.h"

#define WARP_SEGMENT_HEADER_BYTES   WARP_FILE_HEADER_BYTES
#define WARP_SEGMENT_HANDLES_MAX    64u
#define WARP_SEGMENT_HANDLES_RECENT 24u /* located last: not closed to make room */
#define WARP_SEGMENT_HANDLES_PINNED 8u  /* the last segments of the log: never closed */
#define WARP_SEGMENT_SPARES_MAX     2u
#define WARP_SEGMENT_NAME_BYTES     32u

struct warp_segment_handle {
    uint64_t index;
    uint64_t used; /* value of use_count when it was located last */
    uint32_t pins; /* I/O in flight that must find it open */
    int32_t file;
};

/* Visible because it is embedded in the log; its fields are this module's, but for message.
 */
struct warp_segments {
    /* Set by init, constant afterwards. */
    const struct warp_disk *disk;
    struct warp_memory *memory;
    uint8_t id[WARP_DATABASE_ID_BYTES];
    uint32_t segment_bytes;
    bool read_only, direct;
    char message[192]; /* why init or retain failed: a sentence with the name of the file */

    /* The opener's, from init to retain: files below the head. */
    uint64_t *found;
    uint32_t found_count, found_capacity;

    /* Owned by the holder of the writer's lock. */
    void *page; /* 4096 bytes, aligned for direct I/O */
    struct warp_segment_handle handles[WARP_SEGMENT_HANDLES_MAX];
    uint32_t handle_count;
    uint64_t use_count;

    /* Under spare_lock. */
    _Atomic uint32_t spare_lock;
    uint64_t spares[WARP_SEGMENT_SPARES_MAX]; /* numbers in the names of the spare files */
    uint32_t spare_count;
    uint32_t spare_pending; /* places in it that an extend or a drop under way may need */

    /* Moved by the holder of the writer's lock, read by any thread. */
    _Atomic uint64_t end;

    /* Moved by whoever advances and drops, read by any thread. */
    _Atomic uint64_t begin;
    _Atomic uint64_t retained; /* relaxed: a number for observers */
};

/* "log-<16 hexadecimal digits>.warp" */
void warp_segment_name(uint64_t index, char out[WARP_SEGMENT_NAME_BYTES]);

/* The first 4096 bytes of a segment's file, for who makes one where no log is open (a restore). */
void warp_segment_encode_header(void *page, const struct warp_manifest *manifest,
                                uint64_t index);

/*
 * Find the files of the log, check every header, and take the ones that follow
 * head_position without a gap. Files wholly below it are left alone, and remembered for
 * retain; half-made ones are removed. read_only changes nothing. No file at all is accepted
 * only while manifest->epoch is 0 or 1 (a database that is being made): so the first
 * segment must be extended before a manifest with a higher epoch is passed in. disk and
 * memory must outlive *segments; on an error nothing is left but the message.
 */
int warp_segments_init(struct warp_segments *segments, const struct warp_disk *disk,
                       struct warp_memory *memory, const struct warp_manifest *manifest,
                       bool read_only, bool direct);
void warp_segments_fini(struct warp_segments *segments);

/*
 * Say which files below the head still hold values; once, by the opener. One of these that
 * is missing or has a bad header is WARP_EDAMAGED (_EFORMAT, _EVERSION) with a message, and
 * then nothing has changed. All others below the head are given up, unless read_only; if
 * that fails, the next open finds them again. Indexes of the log itself may be among them
 * and mean nothing.
 */
int warp_segments_retain(struct warp_segments *segments, const uint64_t *indexes,
                         uint32_t count);

/* Positions in [begin, end) have a file. Any thread. */
uint64_t warp_segments_begin(const struct warp_segments *segments);
uint64_t warp_segments_end(const struct warp_segments *segments);

/*
 * Make ONE more segment at the end, from a spare or new; durable when it returns. 0, or
 * WARP_ENOSPC or another error, and then nothing has changed and it can be called again.
 * What the new segment holds is undefined: zeros, or frames of an older place in the log.
 */
int warp_segments_extend(struct warp_segments *segments);

/*
 * Where a position in [begin, end) lies; opens the file if need be. The next
 * *contiguous_bytes of log, up to the end of the segment, follow it in the same file.
 */
int warp_segments_locate(struct warp_segments *segments, uint64_t position, int32_t *file,
                         uint64_t *offset, uint64_t *contiguous_bytes);

/*
 * Keep the handle of the segment that was just located open until as many unpins: for I/O
 * that is in flight while other segments are located, made or trimmed.
 */
void warp_segments_pin(struct warp_segments *segments, uint64_t position);
void warp_segments_unpin(struct warp_segments *segments, uint64_t position);

/*
 * The log begins at head_position now: the segments wholly below it are no longer part of
 * it, and are retained. The last segment always is. A checkpoint or the manifest must say
 * so already, durably. Nothing may write or sync below head_position any more, which holds
 * for all that lies below the durable mark. Their handles are closed by the next extend.
 */
void warp_segments_advance(struct warp_segments *segments, uint64_t head_position);

/*
 * Give up one retained file: it becomes a spare if there is room for one, else it is
 * removed. Nobody may read it any more, and nothing durable may need it. 0 also if it is
 * gone already; on an error it may be tried again, and the next open finds what is left.
 */
int warp_segments_drop(struct warp_segments *segments, uint64_t index);

/* How many files are retained. Any thread. */
uint64_t warp_segments_retained(const struct warp_segments *segments);

/* fdatasync of every file that holds a part of [from, to). */
int warp_segments_sync(struct warp_segments *segments, uint64_t from, uint64_t to);

/* Close every handle but those of the last 8 segments. Nothing may be in flight on the
 * others. */
void warp_segments_trim(struct warp_segments *segments);

#endif
