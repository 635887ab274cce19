/*
 * shards/checkpointer.h - writes the index down, slot by slot, while everybody goes on.
 *
 * A checkpoint begins at the tail of the log as it is now, waits until whoever was writing then is
 * done, and takes slot after slot as it finds it. What changes meanwhile lies in the log behind
 * the begin, and replaying that sets it right; so a fuzzy picture is enough (Mohan et al., "ARIES",
 * ACM TODS 17(1), 1992). Two checkpoints are kept, so that one that rots is not the end.
 *
 * Life of a checkpoint:
 *
 *   BEGUN      begin is the tail; number is one above all there were    warp_checkpointer_begin()
 *   BARRIER    every lease has been free once: all below begin is in
 *              the tables
 *   WALKING    slots are written to a file that does not count yet
 *   SETTLING   the log is to be durable up to the tail of now: end
 *   SEALED     synced, renamed; it counts
 *   NAMED      the manifest's head is the begin of the one before, log below it is only held for
 *              its values; the one before that is removed
 *
 * A backup pins the newest one: until it lets go, that one stays, whatever newer ones are made, and
 * so does every file that it or the log behind it refers to (shards/removal asks removable()).
 *
 * Threads:   begin and step by one thread at a time (shards/background); pin, by any thread,
 *            and unpin by who pinned; the counters by any.
 * Lifetime:  embedded; init and fini. What is not sealed at fini is removed.
 * Units:     bytes of log, slots, records.
 * Ordering:  a lease that was free after begin was read has published all its writes below begin,
 *            which the walk then sees. What is kept and what is pinned change under a lock that is
 *            never held across a system call (acquire, release).
 * Errors:    a step returns < 0 once when the checkpoint had to be given up (WARP_ENOSPC, _EIO,
 *            _ENOMEM, ...): nothing is lost, the older ones and the log are still there.
 * Cost:      a step takes one slot or as many records as fit a buffer, and may write one buffer.
 */
#ifndef SHARDS_CHECKPOINTER_H
#define SHARDS_CHECKPOINTER_H

#include "shards/store.h"
#include "shards/walk.h"
#include "wal/checkpoint.h"
#include "wal/manifest.h"
#include "wal/segment.h"

enum warp_work {
    WARP_WORK_NONE,    /* there is nothing to do */
    WARP_WORK_DONE,    /* a step was done, there is more */
    WARP_WORK_BLOCKED, /* it waits for somebody: ask again a little later */
    WARP_WORK_COMPLETE /* the last step was done */
};

/* What a checkpoint says of the files that hold values; the arrays live until the next call. */
struct warp_checkpoint_tables {
    const struct warp_checkpoint_segment *segments;
    const struct warp_checkpoint_archive *archives;
    uint32_t segment_count, archive_count;
    uint64_t archive_next;
};

struct warp_checkpointer_config {
    struct warp_store *store;
    struct warp_segments *segments;
    struct warp_manifest *manifest; /* the step that names changes it; nobody else may */
    uint32_t buffer_bytes;          /* 0: the default of wal/checkpoint */
    bool direct;
    /* Asked for the tables of a checkpoint that begins at `begin`. < 0: no memory. */
    int (*tables)(void *context, uint64_t begin, struct warp_checkpoint_tables *out);
    void *context;
    /* What recovery found: the newest first; number 0: none. */
    struct warp_checkpoint_summary kept[2];
    uint64_t number_last; /* of all files there are, good or not */
};

struct warp_checkpointer {
    struct warp_checkpointer_config config;
    struct warp_epoch_record *record;
    struct warp_walk walk;
    struct warp_checkpoint_writer *writer;
    enum {
        WARP_CHECKPOINTER_IDLE,
        WARP_CHECKPOINTER_BARRIER,
        WARP_CHECKPOINTER_WALKING,
        WARP_CHECKPOINTER_SETTLING,
        WARP_CHECKPOINTER_SEALED
    } phase;
    uint32_t shard; /* of the barrier: the next one */
    uint32_t slot;
    size_t at; /* in walk: the next record to write */
    uint64_t number, begin, end;
    uint64_t begun_ns;
    struct warp_checkpoint_summary sealed; /* not named yet */

    /* Guards config.kept, read by others than the thread that steps, and what follows. */
    _Atomic uint32_t kept_lock;
    bool pinned;
    uint64_t pinned_number; /* 0: there was none, and all the log is needed */

    /* Written by the thread that steps, read by observers, relaxed. */
    _Atomic uint64_t made, failed;
    _Atomic uint64_t last_number, last_begin, last_bytes, last_records, last_duration_ns,
        last_made_ms;
};

int warp_checkpointer_init(struct warp_checkpointer *checkpointer,
                           const struct warp_checkpointer_config *config);
void warp_checkpointer_fini(struct warp_checkpointer *checkpointer);

static inline bool warp_checkpointer_is_idle(const struct warp_checkpointer *checkpointer)
{
    return checkpointer->phase == WARP_CHECKPOINTER_IDLE;
}

/* Where the newest sealed one begins; 0: there is none. */
static inline uint64_t warp_checkpointer_head(const struct warp_checkpointer *checkpointer)
{
    return checkpointer->config.kept[0].begin;
}

/* Number of the oldest that is kept, 0: there are less than two; of the next to be begun. */
static inline uint64_t
warp_checkpointer_oldest(const struct warp_checkpointer *checkpointer)
{
    return checkpointer->config.kept[1].number;
}

static inline uint64_t warp_checkpointer_next(const struct warp_checkpointer *checkpointer)
{
    return checkpointer->config.number_last + 1;
}

/* Files that are empty since this one or longer may go: the oldest that is kept or pinned. */
uint64_t warp_checkpointer_removable(struct warp_checkpointer *checkpointer);

/*
 * Hold on to the newest one, and to all it needs, until unpin. *out gets it; number 0: there is none,
 * and *head gets where the log begins instead. False: somebody else has one pinned.
 */
bool warp_checkpointer_pin(struct warp_checkpointer *checkpointer,
                           struct warp_checkpoint_summary *out, uint64_t *head);
/* Remove it, if it is not kept any more, and let go. */
void warp_checkpointer_unpin(struct warp_checkpointer *checkpointer);

/* Begin one; none is under way. */
void warp_checkpointer_begin(struct warp_checkpointer *checkpointer);

/* One bounded step: enum warp_work, or why it was given up. */
int warp_checkpointer_step(struct warp_checkpointer *checkpointer);

#endif
