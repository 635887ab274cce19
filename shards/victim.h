/*
 * shards/victim.h - reads what is alive in one old file.
 *
 * A victim is a segment of the log, or an archive, that is to be emptied. Its entries are read
 * one by one, and each whose key has a record with exactly this place goes into a haul. What is
 * overlooked (the file is damaged, a neighbour cannot be read) costs nothing but space: the ledger
 * still has it, and so the file stays.
 *
 * Frames straddle segments. Of segment j are wanted
 *
 *      j - 1                 j                              j + 1
 *     -----------------+---------------------------------+----------------
 *     ...  [ frame A   |     ] [ B ] [ C ] ... [ frame D  |         ] ...
 *
 *   - the frame that reaches into it from below, A, found by walking the chain of frames in the
 *     segments before it, as long as their files are there. Where one is missing, nothing of A
 *     that lies in j is alive or can be found by this way: see the edge;
 *   - all that begin in it, D with all that it has in j + 1.
 *
 * The edge of a segment is its end. A BATCH that reaches over it can only be taken apart from its
 * begin, so before the file goes, what is alive of it behind the edge has to be moved. That is to
 * be asked for also when nothing in the segment itself is alive.
 *
 * Threads:   one.
 * Lifetime:  embedded; begin, then step until it is done. Files and memory are given back at the
 *            end of each victim, or by warp_victim_let_go().
 * Units:     bytes; positions of log.
 * Ordering:  whether an entry is alive is asked inside an epoch section. It may change at once; who
 *            installs the moved record asks again.
 * Errors:    from step: WARP_EDAMAGED, WARP_EIO: this victim cannot be read (on); WARP_ENOMEM and
 *            others of the system: nothing is wrong with the victim, try again later.
 * Cost:      one read of the file in pieces of read_bytes, one lookup for each put in it; a step
 *            does one device read or looks at 256 entries, the greater of both.
 */
#ifndef SHARDS_VICTIM_H
#define SHARDS_VICTIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/epoch.h"
#include "base/io.h"
#include "base/memory.h"
#include "shards/haul.h"
#include "shards/store.h"
#include "wal/archive.h"
#include "wal/frame.h"
#include "wal/manifest.h"

#define WARP_VICTIM_READ_BYTES_MIN 4096u

struct warp_victim_config {
    struct warp_store *store;
    struct warp_epoch_record *record;
    const struct warp_disk *disk;
    struct warp_memory *memory;
    const struct warp_manifest *manifest;
    struct warp_haul *haul;
    uint32_t read_bytes; /* of a piece; a multiple of 4,096 */
    bool direct;
};

enum warp_victim_phase {
    WARP_VICTIM_DONE,
    WARP_VICTIM_LOOK_AT_EDGE,
    WARP_VICTIM_FIND,    /* the frame that reaches over `boundary` */
    WARP_VICTIM_SCAN,    /* the first frame that begins in the segment */
    WARP_VICTIM_FRAMES,  /* `at` is a frame */
    WARP_VICTIM_ENTRIES, /* of a frame, from entry_at on */
    WARP_VICTIM_BODY,    /* of an entry that is alive */
    WARP_VICTIM_ARCHIVE,
};

#define WARP_VICTIM_SCOUTED 16u

/* Keys whose records are going to be looked at. */
struct warp_victim_scout {
    uint64_t hashes[WARP_VICTIM_SCOUTED];
    uint32_t slots[WARP_VICTIM_SCOUTED];
    uint32_t count;
};

struct warp_victim {
    struct warp_victim_config config;
    uint32_t seed;
    enum warp_victim_phase phase;

    /* The piece of a segment that was read last. */
    int32_t file;
    uint64_t file_index;
    uint8_t *window;
    uint64_t window_begin, window_end; /* in positions of log */
    uint32_t device_reads;             /* in this step */

    /* Of a segment. */
    uint64_t index;
    uint64_t head;  /* nothing is read from here on */
    uint64_t from;  /* entries are wanted that end above this ... */
    uint64_t until; /* ... of frames that begin below this */
    uint64_t boundary;
    uint64_t low; /* looked through down to here */
    bool edge;    /* only the frame that reaches over the end */
    uint64_t at;  /* of the next frame */
    uint64_t
        next_at; /* behind the one that was read completely last, for the next victim */

    struct warp_frame frame;
    uint64_t scouted; /* what lies below is on its way into the cache */
    struct warp_victim_scout scout;
    uint64_t entry_at, entries_end;
    uint32_t entries_left;

    /* The entry that is being copied. */
    struct warp_haul_item *item;
    uint8_t entry_header[WARP_ENTRY_HEADER_BYTES_MAX];
    uint32_t entry_header_bytes;
    uint32_t item_done; /* of its bytes */
    uint8_t *key;       /* WARP_KEY_BYTES_MAX of scratch */

    /* Of an archive. */
    struct warp_archive_cursor *cursor;
    int visit_rc;

    uint64_t entries;   /* looked at */
    uint64_t collected; /* of this victim */
    uint64_t expired;   /* left alone, for the sweep takes them */
    bool damaged;       /* something in it could not be read */
};

void warp_victim_init(struct warp_victim *victim, const struct warp_victim_config *config);
/* In the middle of a victim or not. */
void warp_victim_fini(struct warp_victim *victim);

/*
 * Begin with a segment wholly below head. follows: the victim before this one was the segment
 * before this one, so what reaches in was seen. edge: only what reaches over its end.
 */
void warp_victim_begin_segment(struct warp_victim *victim, uint64_t index, uint64_t head,
                               bool follows, bool edge);
void warp_victim_begin_archive(struct warp_victim *victim, uint32_t number);

enum { WARP_VICTIM_MORE = 1, WARP_VICTIM_FULL = 2 };

/* 0: done; _MORE; _FULL: the haul has to be emptied first; or an error, and it is over. */
int warp_victim_step(struct warp_victim *victim);

/* Close files: one of them may be about to be removed. */
void warp_victim_close(struct warp_victim *victim);

/* End a victim early. */
void warp_victim_let_go(struct warp_victim *victim);

#endif
