/*
 * shards/compact.h - live records out of files with little alive in them.
 *
 * Overwriting and deleting leaves holes in old log and in archives. Compaction reads such files,
 * writes what is still alive in them into one new archive, and tells the records where they are
 * now; then the old files are empty, and may go once no checkpoint refers to them.
 *
 * Life of a run:
 *
 *   LOOK     all files are weighed: (1 - u) * age / (1 + u), with u the share that is alive; empty
 *            ones are marked, after a look at what reaches over their edge
 *   READ     the best of them are read, what is alive goes into memory      (shards/victim)
 *   WRITE    ... and from there, by slot, into an archive                   (wal/archive)
 *   SEAL     the archive is durable under its name
 *   INSTALL  each record that still lies at the old place gets the new one, some per lease
 *   LOOK     ...
 *
 * A crash before the next checkpoint is sealed leaves an archive that no checkpoint lists, and the
 * old files, which are there as long as one lists them. The weighing of files is from Rosenblum and
 * Ousterhout, "The Design and Implementation of a Log-Structured File System", ACM TOCS 10(1), 1992;
 * 1 + u below the line, for reading and writing, is their formula.
 *
 * Why replay stays right: it applies to the index of a checkpoint what the log says from the
 * checkpoint's begin on, and takes a record whose sequence is not in memory (it is cold and in an
 * archive) for older than all of that. Only files wholly below the head are compacted, the head is
 * the begin of a sealed checkpoint, and begins never go back: so what is in an archive was written
 * below the begin of every checkpoint that can refer to it.
 *
 * Threads:   one, the one that writes checkpoints; metrics by any.
 * Lifetime:  create and destroy; what the config refers to outlives it. Records keep pointing to the
 *            files after destroy.
 * Units:     bytes; numbers of checkpoints; thousandths for the amplification.
 * Ordering:  places are published under leases, after the archive is durable. A step holds no lease
 *            across a read or a write.
 * Errors:    in *error beside WARP_COMPACT_BLOCKED: WARP_ENOSPC (when not even one file's live records
 *            find room), WARP_EIO of writing, WARP_ENOMEM, ... The run is given up, nothing has
 *            changed. A victim that cannot be read is marked and left alone; that is counted, and no
 *            error. BLOCKED without an error only waits for readers or lease holders.
 * Cost:      memory: memory_bytes, or one record if it is larger (at most 33 MiB), and what an
 *            archive's writer takes (about 4 MiB). A step is one read of read_bytes, or 256 entries
 *            looked up, or 64 records written or installed; or a seal, which syncs.
 */
#ifndef SHARDS_COMPACT_H
#define SHARDS_COMPACT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shards/holdings.h"
#include "shards/store.h"
#include "wal/manifest.h"
#include "wal/segment.h"

struct warp_compact;

struct warp_compact_config {
    struct warp_store *store;
    struct warp_holdings *holdings;
    struct warp_segments *segments; /* of the log */
    const struct warp_disk *disk;
    const struct warp_manifest *manifest;
    uint64_t memory_bytes;           /* for the records of one run */
    uint32_t read_bytes;             /* of a piece of log; 0: 64 KiB; a multiple of 4,096 */
    uint32_t amplification_permille; /* of space; 0: 1,200 */
    int level;                       /* these five as in wal/archive.h */
    uint32_t block_bytes;
    uint32_t dictionary_bytes;
    uint32_t buffer_bytes;
    bool direct;
};

/* Written by the one thread, read by observers, all relaxed. */
struct warp_compact_counters {
    _Atomic uint64_t runs; /* that came to their end */
    _Atomic uint64_t runs_given_up;
    _Atomic uint64_t victims;         /* files read */
    _Atomic uint64_t victims_damaged; /* of these: not, or not wholly */
    _Atomic uint64_t records_moved;
    _Atomic uint64_t records_left; /* copied, and then dead, changed, or without memory */
    _Atomic uint64_t archives;     /* written */
    _Atomic uint64_t raw_bytes;    /* into them, before compression */
    _Atomic uint64_t stored_bytes;
    _Atomic uint64_t files_removed;
    _Atomic uint64_t disk_bytes;     /* as of the last look: all log and archives ... */
    _Atomic uint64_t live_bytes;     /* ... and what of it is alive */
    _Atomic uint64_t live_raw_bytes; /* the same before compression */
};

int warp_compact_create(struct warp_compact **compact,
                        const struct warp_compact_config *config);
/* In the middle of a run or not. */
void warp_compact_destroy(struct warp_compact **compact);

enum warp_compact_state {
    WARP_COMPACT_IDLE,   /* there is nothing worth it */
    WARP_COMPACT_WORKED, /* there may be more to do */
    WARP_COMPACT_BLOCKED /* waits for readers, memory or disk space: try later */
};

/*
 * Of log and archives so much may be there: with more, what they have that is dead is worth compacting
 * although it is less than amplification_permille. 0, as at first: unknown. May be told before every
 * step.
 */
void warp_compact_allow(struct warp_compact *compact, uint64_t bytes);

/*
 * Go on. head: begin of the newest sealed checkpoint; all log below it is durable, and applied to
 * the tables. checkpoint_next: number of the next checkpoint that will be begun. force: also when
 * there is little to be won: all log below the head, and archives of which a twentieth is dead.
 */
enum warp_compact_state warp_compact_step(struct warp_compact *compact, uint64_t head,
                                          uint64_t checkpoint_next, bool force, int *error);

/*
 * Remove files that are empty since checkpoint_oldest, the oldest one that is kept, or longer; a
 * little per call, without waiting (shards/removal). warp_segments_advance() must have been told
 * the head.
 */
enum warp_compact_state warp_compact_remove_step(struct warp_compact *compact,
                                                 uint64_t checkpoint_oldest, int *error);

const struct warp_compact_counters *
warp_compact_counters(const struct warp_compact *compact);

#endif
