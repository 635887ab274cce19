/*
 * wal/reader.h - reads one record back from the log or an archive, by its place.
 *
 * A record that is not in memory is one device read away: its place says which file and where
 * in it, its shape says how many bytes, and checksum and key say that it is the one. What no
 * longer lies where the place says has moved, and then the caller looks it up again; what lies
 * there and is wrong is damage, and never a value.
 *
 * Life of a read:
 *
 *   FILLED     the caller's fields are set                      the caller
 *   WAITING    for a place among the open files, or in a queue  warp_reader_run(), _post()
 *   IN FLIGHT  a device read; the file stays open, and forget
 *              of that file says "not yet"                      (queue, or this thread)
 *   CHECKED    checksum, place, shape and key agree, or rc says
 *              which did not                                    (whoever reaped it)
 *   DONE       the value is the caller's                        run returns, done() is called
 *   RELEASED   the buffer is the reader's again                 warp_read_release()
 *
 * Between two device reads of one record (it straddles segments, or an archive's block is longer
 * than its place could say) no file is held, so a reader never waits for files while it holds
 * one.
 *
 * Threads:   run, post, release, forget, damage by any thread; start, stop, create, destroy by the
 *            owner; turn by one thread at a time, and only while the reader's own does not run.
 *            done() is called by the reader's thread (or turn), with no lock held; it may post.
 * Lifetime:  env, disk and memory outlive the reader. A struct warp_read is the caller's; the
 *            reader knows it from run or post until it is done. Its value lives until
 *            warp_read_release(), which must come before warp_reader_destroy().
 * Units:     bytes; places (wal/place.h), positions of log, nanoseconds.
 * Ordering:  what the caller did before post happened before done() (release in post, acquire
 *            in the turn that takes it). forget that said true happened after every read of that
 *            file (all under the lock), so the caller may remove it.
 * Errors:    in read->rc: 0, WARP_AGAIN (moved), WARP_EDAMAGED, WARP_EIO, WARP_ENOMEM; file and
 *            offset of the last EDAMAGED or EIO are in warp_reader_damage(). A queue that is not
 *            there or is lent makes reads slower, not wrong.
 * Cost:      an ordinary read is one device read into a buffer that is kept for that, the
 *            reader's lock taken four times for a few instructions each, and two looks at the
 *            clock; no allocation. Opening a file costs a few system calls more. At most
 *            handles_max files are open, and one more for each thread that is just opening one.
 *            An idle reader uses no CPU.
 */
#ifndef WAL_READER_H
#define WAL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/histogram.h"
#include "base/io.h"
#include "base/memory.h"
#include "wal/manifest.h"
#include "warp/warp.h"

#define WARP_READER_HANDLES_MIN 8u
#define WARP_READER_BUFFER_BYTES                                                           \
    8192u /* kept for the next read; bigger ones are given back */
#define WARP_READER_QUEUES_MAX      64u
#define WARP_READER_QUEUE_DEPTH_MAX 1024u
#define WARP_READER_FORGOTTEN_MAX   256u /* forgotten files that are not removed yet */

struct warp_reader;

struct warp_reader_config {
    const struct warp_env *env; /* disk, clock, threads, wait */
    struct warp_memory *memory;
    const struct warp_manifest *manifest; /* copied */
    uint32_t handles_max;                 /* open files kept, >= WARP_READER_HANDLES_MIN */
    uint32_t queue_count; /* I/O queues lent to warp_reader_run(); 0: it never overlaps */
    uint32_t queue_depth; /* of each, and of the reader's own */
    bool direct;          /* past the page cache, where the file system can */
};

/* One read; the caller's memory, from filling in until it is done and released. */
struct warp_read {
    /* Set by the caller. The rest needs no preparation. */
    uint64_t place;
    struct warp_slice
        key; /* must be what lies there; the bytes live until the read is done */
    uint32_t value_bytes; /* as the record says */
    bool in_batch;        /* of a place in the log: the entry lies in a BATCH frame */
    bool has_expiry;      /* of a place in the log: the entry has an expiry */
    void (*done)(struct warp_read *read); /* for post; NULL for run */
    void *context;                        /* the caller's */

    /* Set when the read is done. */
    int rc;
    const void *value; /* value_bytes of it, until warp_read_release() */
    uint64_t sequence, expires_at_ms;

    /* The reader's own. */
    struct warp_read *next;
    struct warp_io_request request;
    uint8_t *buffer, *scratch;
    size_t buffer_bytes, scratch_bytes;
    uint64_t key_of_file; /* the file of the device read that is on, see reader.c */
    uint64_t begin, end;  /* what is wanted, in positions of log or offsets of the file */
    uint64_t base;        /* what buffer[0] holds */
    uint64_t at;          /* how far it has been read */
    uint64_t begun_ns;
    uint32_t handle;
    uint32_t device_reads;
};

/* Counted under the reader's lock, read by observers; all relaxed. */
struct warp_reader_counters {
    _Atomic uint64_t reads; /* done, whatever rc */
    _Atomic uint64_t bytes; /* of values */
    _Atomic uint64_t device_bytes;
    _Atomic uint64_t long_reads; /* took more than one device read */
    _Atomic uint64_t stale;      /* WARP_AGAIN */
    _Atomic uint64_t damaged;    /* WARP_EDAMAGED */
    _Atomic uint64_t failed;     /* WARP_EIO, WARP_ENOMEM */
    _Atomic uint64_t in_flight;  /* begun and not done */
    _Atomic uint64_t opens;      /* of files */
    _Atomic uint64_t open_files; /* now */
};

/* 0, or WARP_ENOMEM, or WARP_ESYSTEM or WARP_EIO when a queue cannot be made; nothing is left
 * then. */
int warp_reader_create(struct warp_reader **reader,
                       const struct warp_reader_config *config);

/* Stops it if it runs. No read may be waiting or in flight, and no value out. */
void warp_reader_destroy(struct warp_reader **reader);

/*
 * Blocks until all are done: side by side in one queue when there are more than one and a queue
 * is free, one after the other otherwise. Without threads even one goes through a queue, so that
 * others can run while it is in flight (env->wait). Call it with no lease and inside no epoch
 * section.
 */
void warp_reader_run(struct warp_reader *reader, struct warp_read *reads, uint32_t count);
/* The same for reads that do not lie one behind the other. */
void warp_reader_run_each(struct warp_reader *reader, struct warp_read *const *reads,
                          uint32_t count);

/* Hand over; done() is called later, in any order. Never blocks. */
void warp_reader_post(struct warp_reader *reader, struct warp_read *read);

/* Give the buffer back: the value ends. Nothing happens if there is none, as after an error. */
void warp_read_release(struct warp_reader *reader, struct warp_read *read);

/* The reader's own thread: takes what is posted, keeps up to queue_depth of it in flight, calls
 * done. 0, or WARP_ESYSTEM or WARP_ENOMEM. Only with env->threads. */
int warp_reader_start(struct warp_reader *reader);

/* What was posted is finished first; done() may be called until it returns. Whoever posts after
 * that needs turn or start. */
void warp_reader_stop(struct warp_reader *reader);

/* The same from outside: takes, submits and reaps what is there, without waiting. True if it did
 * work. */
bool warp_reader_turn(struct warp_reader *reader);

/*
 * The file is going to be removed: from now on no read begins on it (those that would are
 * WARP_AGAIN). True once none is in flight and the file is closed, else ask again. It stays
 * forgotten until it is gone from the directory, which is the caller's business. False also while
 * WARP_READER_FORGOTTEN_MAX files are forgotten and still there. By one thread at a time.
 */
bool warp_reader_forget_segment(struct warp_reader *reader, uint64_t index);
bool warp_reader_forget_archive(struct warp_reader *reader, uint32_t number);

/* Copy the sentence of the last damage or failed read, with file and offset. Its code:
 * WARP_EDAMAGED, WARP_EIO, or 0 and "" while there was none. */
int warp_reader_damage(struct warp_reader *reader, char *text, size_t text_bytes);

const struct warp_reader_counters *warp_reader_counters(const struct warp_reader *reader);

/* From run or post until done. */
const struct warp_histogram *warp_reader_latency(const struct warp_reader *reader);

#endif
