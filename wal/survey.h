/*
 * wal/survey.h - reads log file by file, and finds its way again behind what is damaged.
 *
 * The scan (wal/scan) reads one log that is whole, or says where it is not. The survey reads what
 * there is: files with gaps between them, cut off, or with garbage in the middle. Where the
 * place of a frame is known, because the one before it was read, it must be there; where it is not,
 * the next header is looked for at every multiple of 8: one that passes its checksum, lies at its own
 * position, and is of no older opening than what lies before it, which no value holds by chance.
 * For verify, for salvage, and for looking at a log that is being written.
 *
 * Threads:   one at a time.
 * Lifetime:  embedded; init and fini. disk, memory, manifest and callbacks outlive it. A body that
 *            the callback is given lives until it returns.
 * Units:     bytes; positions of log; offsets in files.
 * Ordering:  segments ascending; frames are told in the order of their positions.
 * Errors:    damage is told, not returned; < 0: WARP_ENOMEM, or what `pace` answered.
 * Cost:      one read of each file in whole pages, past the page cache if wanted; one CRC-32C of each
 *            body. Memory: 1 MiB, or the greatest frame.
 */
#ifndef WAL_SURVEY_H
#define WAL_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/segment.h"

#define WARP_SURVEY_UNKNOWN UINT64_MAX

enum warp_survey_body {
    WARP_SURVEY_GOOD,
    WARP_SURVEY_BAD,     /* its checksum is wrong; body has what is there */
    WARP_SURVEY_PARTIAL, /* it reaches into a file that is not there; body is NULL */
};

struct warp_survey_calls {
    /* A frame whose header is good. May be NULL, like all of these. */
    void (*frame)(void *context, const struct warp_frame *frame, const uint8_t *body,
                  enum warp_survey_body state);
    /* [from, to) of the log holds no good frame. */
    void (*damaged)(void *context, uint64_t from, uint64_t to, const char *what);
    /* [from, to) belongs to a frame that begins in a file that is not there, or to one whose header is
     * lost: only those who know what lies there can say, see warp_survey_entry(). */
    void (*unknown)(void *context, uint64_t from, uint64_t to);
    /* Something is wrong with the file itself. bytes UINT64_MAX: with all of it. */
    void (*file_damaged)(void *context, const char *name, uint64_t offset, uint64_t bytes,
                         const char *what);
    /* So many bytes more were read; < 0 ends the survey. */
    int (*pace)(void *context, uint64_t bytes);
};

/* Visible because it is embedded; chain, mark and the counts are for the caller, too. */
struct warp_survey {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    const struct warp_manifest *manifest;
    const struct warp_survey_calls *calls;
    void *context;
    uint32_t seed;
    uint64_t last_index; /* of the segment surveyed last */
    uint64_t from, to;   /* what the caller's segment is cut to */
    uint64_t unread,
        unread_end; /* of the file that is open: could not be read, and was told */

    /* The caller may set these between segments. */
    uint64_t
        mark; /* what lies below was durable: a gap there is damage, and the log ends at one above */
    uint64_t chain; /* a frame begins here; WARP_SURVEY_UNKNOWN */
    uint32_t epoch; /* of the last good frame; 0: unknown */
    bool direct;    /* read past the page cache where the file system can */
    uint64_t end;   /* nothing in pages wholly above is read: others may be writing there */

    bool ended;  /* the log ends at chain: there was no good frame, above the mark */
    bool broken; /* the chain was lost to damage, and not to a file that may be missing */
    bool stop;
    int rc;

    uint64_t files, frames, bytes; /* good ones */
    uint64_t unknown_bytes; /* belong to frames that begin in files that are not there */

    int32_t file; /* the one that is open, or -1 */
    uint64_t file_index;
    bool file_tell;
    uint8_t *window; /* holds [window_from, window_from + window_bytes) of the log */
    uint64_t window_from, window_bytes;
    size_t window_capacity;
};

/* 0, or WARP_ENOMEM. mark is UINT64_MAX at first: every gap is damage. */
int warp_survey_init(struct warp_survey *survey, const struct warp_disk *disk,
                     struct warp_memory *memory, const struct warp_manifest *manifest,
                     const struct warp_survey_calls *calls, void *context);
void warp_survey_fini(struct warp_survey *survey);

/*
 * One segment, up to `limit` of the log at most. If its predecessor was not the segment before, the
 * chain is forgotten, unless the caller has set it into this one. A file that is not there is told.
 */
int warp_survey_segment(struct warp_survey *survey, uint64_t index, uint64_t limit);

/* The highest mark that a header in this file carries; 0: none. Nothing is told of damage. */
int warp_survey_mark(struct warp_survey *survey, uint64_t index, uint64_t *mark);

/*
 * The durable mark as the files tell it: the highest that any header carries. `indexes` ascend. Reads
 * from the last one back, no further than it must.
 */
int warp_survey_marks(struct warp_survey *survey, const uint64_t *indexes, uint32_t count,
                      uint64_t *mark);

/* Whether the entry that a checkpoint names lies there and is good, as one who reads its value asks. */
bool warp_survey_entry(struct warp_survey *survey, uint64_t place, bool in_batch,
                       const void *key, uint32_t key_bytes, uint32_t value_bytes,
                       bool has_expiry);

/* [position, position + bytes) of the log, until the next call; NULL: it is not to be had. */
const uint8_t *warp_survey_look(struct warp_survey *survey, uint64_t position,
                                uint64_t bytes);

#define WARP_SURVEY_ID_OFFSET 32u /* of what is wrong when it is the database's id */

/* The header of a segment as docs/WAL_FORMAT.md draws it: NULL, or what is wrong, with its offset. */
const char *warp_survey_header(const struct warp_manifest *manifest, const uint8_t *bytes,
                               uint64_t index, uint32_t *offset);

#endif
