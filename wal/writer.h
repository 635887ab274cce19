/*
 * wal/writer.h - takes the log from memory to disk and says how far it is safe.
 *
 * The finished prefix of the log ring goes to disk in flushes, several at a time; the durable
 * mark moves over the contiguous completed ones. Whoever waits for the mark may lead a flush
 * itself when the disk has room for one more: an uncontended commit then costs one write and no
 * wake-up, and many committers share flushes (group commit: Gawlick and Kinkade, 1985; greedy,
 * without a timer). Everything else is the log thread's: interval writes and syncs, new
 * segments, bulk flushes.
 *
 * Life of a flush:
 *
 *   CAPTURED   the bytes [from, end) are its alone             writer_capture()
 *   WRITTEN    the write came back whole                       writer_complete()
 *   DURABLE    written with O_DSYNC behind a durable prefix,
 *              or covered by a later fdatasync                 writer_complete(), writer_synced()
 *
 * Two flushes in flight never write the same block of the disk: where a flush ends inside a
 * block, the block is finished with a PAD frame, or the next flush waits for it.
 *
 * Threads:   turn by the log thread alone; wait, make_room, extend, kick, watch by any thread that
 *            holds no lease; the inline readers by any thread.
 * Lifetime:  init and fini by the opener; fini only after the log thread has stopped.
 * Units:     positions are bytes of log; times are nanoseconds of the engine's clock.
 * Ordering:  all of struct warp_writer behind `lock` is touched under it only (acquire in
 *            writer_lock, release in writer_unlock). The published words are stored with
 *            release under the lock and read with acquire or, as hints, relaxed.
 * Errors:    WARP_EFAILED once a write or sync has failed: nothing is retried, nothing is
 *            acknowledged any more. WARP_ENOSPC, WARP_AGAIN as said at the functions.
 * Cost:      one system call per led flush; one futex call per flush that somebody waits for.
 */
#ifndef WAL_WRITER_H
#define WAL_WRITER_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/histogram.h"
#include "base/memory.h"
#include "wal/buffer.h"
#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/segment.h"
#include "wal/sequence.h"

#define WARP_FLUSHES_MAX        8u
#define WARP_FLUSH_BOUNCE_BYTES 65536u
#define WARP_FLUSH_FILES_MAX    8u

struct warp_flush {
    uint64_t number;
    uint64_t from;       /* first byte that no earlier flush has */
    uint64_t write_from; /* from, down to the block's begin: what is really written */
    uint64_t end;        /* first byte that it has not */
    uint64_t boundary;   /* the mark may move here once it is durable */
    bool durable;        /* written with O_DSYNC */
    bool done;
    bool asynchronous;
    bool zeroes; /* prewrites, moves nothing */
    uint32_t waiters;
    int64_t result;
    uint64_t begun_ns;
    uint8_t *bounce;
    struct warp_io_request request;
};

/* Tells somebody who does not wait in warp_writer_wait() that the mark has passed a place, or,
 * with `room`, that there may be more room than before (or none to be had). */
struct warp_writer_watch {
    uint64_t target;
    bool room;
    void (*fire)(struct warp_writer_watch *watch);
    struct warp_writer_watch *next;
    bool armed;
};

#define WARP_WRITER_BLOCK_BYTES_MAX 4096u

/*
 * The end of the log as it was read and checked: [from, end) of it, at most one block, at its place
 * in the block. What is written next goes into the same block, so these bytes are written again,
 * and must not be what a second read, which nobody checks, happens to show.
 */
struct warp_writer_tail {
    uint64_t from, end; /* equal: nothing is known */
    uint8_t bytes[WARP_WRITER_BLOCK_BYTES_MAX];
};

struct warp_writer_config {
    const struct warp_env *env;
    struct warp_memory *memory;
    struct warp_segments *segments;
    const struct warp_manifest *manifest;
    uint64_t position;                   /* where the log goes on */
    const struct warp_writer_tail *tail; /* NULL, or what ends at position; not kept */
    uint64_t buffer_bytes;               /* power of two */
    uint32_t cell_count;                 /* one per shard; the writer adds one of its own */
    uint32_t flushes_max;                /* 1 - WARP_FLUSHES_MAX */
    uint32_t flush_bytes_max;
    uint64_t sync_interval_ns;
    bool huge_pages;
};

/* Counted by whoever holds the lock, read by observers; all relaxed. */
struct warp_writer_counters {
    _Atomic uint64_t flushes;
    _Atomic uint64_t flushes_led;
    _Atomic uint64_t flush_bytes;
    _Atomic uint64_t pad_bytes;
    _Atomic uint64_t syncs;
    _Atomic uint64_t segments_made;
    _Atomic uint64_t enospc;
    _Atomic uint64_t waits;
    _Atomic uint64_t room_waits;
};

struct warp_writer {
    /* Set by init, constant afterwards. */
    const struct warp_env *env;
    struct warp_memory *memory;
    struct warp_segments *segments;
    void *queue;
    uint64_t segment_bytes;
    uint64_t ahead_bytes; /* disk space kept for deletes */
    uint64_t slack_bytes; /* by how much writers may overshoot a limit between them */
    uint64_t small_bytes; /* frames up to here never wait between begin and finish */
    uint64_t sync_interval_ns;
    uint32_t seed;
    uint32_t epoch;
    uint32_t block_bytes;
    uint32_t flushes_max;
    uint32_t flush_bytes_max;
    uint32_t own_cell;

    struct warp_sequence sequence;
    struct warp_buffer buffer;

    /* Published under the lock, read by every writer. */
    alignas(WARP_CACHELINE) _Atomic uint64_t limit_put;
    _Atomic uint64_t limit_delete;
    _Atomic uint64_t limit_buffer; /* end of what the ring has room for, slack taken off */
    _Atomic uint64_t limit_soft;   /* above it the log thread is told to hurry */
    _Atomic uint64_t written;      /* the ring below may be reused */
    _Atomic uint32_t idle;         /* the log thread sleeps until it is kicked */
    _Atomic uint32_t failed;
    _Atomic uint32_t disk_full; /* the last try to make a segment found no space */

    /* Written by any thread. */
    alignas(WARP_CACHELINE) _Atomic uint32_t
        interval_wanted; /* somebody wrote at WARP_INTERVAL */
    _Atomic uint32_t hurry;
    _Atomic uint32_t kick_word; /* the log thread sleeps on it */
    _Atomic uint32_t sleeping;
    alignas(WARP_CACHELINE) _Atomic uint64_t
        commit_wanted;              /* somebody waits for this place */
    _Atomic uint64_t extend_wanted; /* somebody needs disk space up to here */

    /* Who waits for the mark sleeps on mark_word, with the bit of the flush it waits for. */
    alignas(WARP_CACHELINE) _Atomic uint32_t mark_word;
    _Atomic uint32_t room_word;
    _Atomic uint32_t room_waiters;

    /* Under the lock. */
    alignas(WARP_CACHELINE) _Atomic uint32_t lock;
    struct warp_flush flushes[WARP_FLUSHES_MAX];
    uint32_t flush_head; /* index of the oldest in flight */
    uint32_t flush_count;
    uint64_t flush_number; /* of the next one */
    uint32_t next_waiters; /* wait for what is not captured yet */
    bool lead_lost;        /* one of them gave up, maybe the one that was to lead */
    uint64_t captured;
    uint64_t captured_boundary;
    uint64_t written_raw;
    uint64_t written_boundary;
    uint64_t durable_raw;
    uint64_t zero_end; /* prewritten up to here */
    bool sync_busy;
    bool sync_asynchronous;
    uint32_t sync_pending;
    uint32_t sync_count;
    uint64_t sync_places[WARP_FLUSH_FILES_MAX]; /* a position in each file it covers */
    int sync_result;
    uint64_t sync_target;
    uint64_t sync_boundary;
    uint64_t sync_begun_ns;
    struct warp_io_request sync_requests[WARP_FLUSH_FILES_MAX];
    struct warp_flush zero; /* the prewriting, if one is in flight */
    bool zero_busy;
    bool wants_zeroes;
    uint8_t *zero_memory;
    uint64_t last_flush_ns;
    uint64_t last_sync_ns;
    uint64_t last_work_ns;
    uint64_t last_extend_ns;
    int extend_result;
    uint64_t marked_tail; /* the tail when the last MARK frame was written */
    struct warp_writer_watch *watches;
    uint32_t wake_mask; /* collected under the lock, acted on after it */
    bool wake_one;
    bool wake_room;
    char failure[256];

    struct warp_writer_counters counters;
    struct warp_histogram flush_latency;
    struct warp_histogram sync_latency;
};

int warp_writer_init(struct warp_writer *writer, const struct warp_writer_config *config);
void warp_writer_fini(struct warp_writer *writer);

/* ---- the log thread -------------------------------------------------------------------- */

/*
 * Reap, move the mark, start what is due. wait_ns > 0 lets it sleep so long for a flush in
 * flight. It blocks for making a segment, and for one write without sync of up to 512 KiB that nobody
 * waits for while nothing else is under way; all other writes and syncs go through its queue. *due_ns gets the time of the next thing to do (UINT64_MAX: nothing). True if it did work.
 */
bool warp_writer_turn(struct warp_writer *writer, uint64_t wait_ns, uint64_t *due_ns);

/* Sleep until kicked or until due_ns; the clock is the engine's. */
void warp_writer_sleep(struct warp_writer *writer, uint64_t due_ns);

/* Are there writes that the disk has not answered yet? Only the log thread may ask. */
bool warp_writer_in_flight(struct warp_writer *writer);

/* ---- any thread ------------------------------------------------------------------------ */

/* Wait until the mark is at or above target, leading flushes where that helps. 0, WARP_EFAILED, or
 * WARP_AGAIN when timeout_ns (UINT64_MAX: none) has passed. */
int warp_writer_wait(struct warp_writer *writer, uint64_t target, uint64_t timeout_ns);

/* Wait until a frame of `bytes` has room in the ring and on disk. 0, WARP_ENOSPC, WARP_EFAILED,
 * or WARP_AGAIN when timeout_ns has passed. */
int warp_writer_make_room(struct warp_writer *writer, uint64_t bytes, bool is_delete,
                          uint64_t timeout_ns);

/* Ask the log thread for disk space for such a frame, without waiting. */
void warp_writer_ask_room(struct warp_writer *writer, uint64_t bytes, bool is_delete);

/* Make everything that was finished before the call durable. */
int warp_writer_flush(struct warp_writer *writer);

/* Wake the log thread. */
void warp_writer_kick(struct warp_writer *writer);

/* Ask for the mark to reach target without waiting for it. */
void warp_writer_want(struct warp_writer *writer, uint64_t target);

/* Call watch->fire, under the lock, once the mark has reached watch->target or the log has
 * failed, at once if that is so already; a watch for room fires when the limits change. fire must
 * not call back. */
void warp_writer_watch(struct warp_writer *writer, struct warp_writer_watch *watch);
void warp_writer_unwatch(struct warp_writer *writer, struct warp_writer_watch *watch);

/*
 * Take the place of a frame that is not small, if there is room: checked and taken under the lock,
 * so that two of them cannot overshoot together. By the owner of the cell.
 */
bool warp_writer_take_big(struct warp_writer *writer, uint32_t cell, uint64_t bytes,
                          bool is_delete, uint64_t *position);

/* Wait, inside a big frame and so maybe under a lease, until the ring has room up to `end`. */
int warp_writer_wait_ring(struct warp_writer *writer, uint64_t end);

/* Copy why the log failed; WARP_EFAILED, or 0 if it has not. */
int warp_writer_failure(struct warp_writer *writer, char *text, size_t text_bytes);

static inline uint64_t warp_writer_durable(const struct warp_writer *writer)
{
    return warp_sequence_durable(&writer->sequence);
}

static inline bool warp_writer_failed(const struct warp_writer *writer)
{
    /* Acquire: pairs with the release in writer_fail, so the text is there. */
    return atomic_load_explicit(&writer->failed, memory_order_acquire) != 0;
}

/* Is the disk, not the ring, what stands in the way, and did the last try to get more of it fail
 * for lack of space? Then waiting helps nobody: WARP_ENOSPC. */
static inline bool warp_writer_is_full(const struct warp_writer *writer, uint64_t bytes,
                                       bool is_delete)
{
    return atomic_load_explicit(&writer->disk_full, memory_order_relaxed) != 0 &&
           warp_sequence_tail_hint(&writer->sequence) + bytes + writer->slack_bytes +
                   (is_delete ? 0 : writer->ahead_bytes) >
               warp_segments_end(writer->segments);
}

/* May a frame of so many bytes be begun? A hint: writers may overshoot by the slack. */
static inline bool warp_writer_has_room(const struct warp_writer *writer, uint64_t bytes,
                                        bool is_delete)
{
    uint64_t tail = warp_sequence_tail_hint(&writer->sequence);
    uint64_t limit;

    if (WARP_LIKELY(bytes <= writer->small_bytes)) {
        limit = atomic_load_explicit(is_delete ? &writer->limit_delete : &writer->limit_put,
                                     memory_order_relaxed);
        return tail + bytes <= limit;
    }
    /* A big frame needs room on disk for all of it, and in the ring only for its begin. */
    limit = warp_segments_end(writer->segments);
    return tail + bytes + writer->slack_bytes + (is_delete ? 0 : writer->ahead_bytes) <=
               limit &&
           tail + writer->small_bytes <=
               atomic_load_explicit(&writer->limit_buffer, memory_order_relaxed);
}

/* After a frame is finished: see that the log thread knows, as the level needs it. */
static inline void warp_writer_note(struct warp_writer *writer, uint64_t end, bool interval)
{
    if (interval &&
        atomic_load_explicit(&writer->interval_wanted, memory_order_relaxed) == 0) {
        atomic_store_explicit(&writer->interval_wanted, 1, memory_order_relaxed);
    }
    /* seq_cst: the load must not move before the add on the tail (see writer_go_idle). */
    if (WARP_UNLIKELY(atomic_load_explicit(&writer->idle, memory_order_seq_cst) != 0) ||
        WARP_UNLIKELY(end >
                      atomic_load_explicit(&writer->limit_soft, memory_order_relaxed))) {
        warp_writer_kick(writer);
    }
}

#endif
