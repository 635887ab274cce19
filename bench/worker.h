/*
 * bench/worker.h - one thread of a run: chooses, calls the engine, checks, notes the time.
 *
 * Private to the driver: bench/driver.c makes workers, starts their threads and adds them up.
 *
 * Threads:   create and destroy by the driver's; main is the worker's thread, and the rest runs
 *            on it, or on the driver's while there are no threads.
 * Lifetime:  create / destroy are a pair; a subject outlives its workers.
 * Units:     ticks of bench/clock.h where it says so, else nanoseconds, bytes, records.
 * Ordering:  the driver reads a worker's sums after it has joined the thread.
 * Errors:    rc and what of the worker: the engine's error that ended it.
 * Cost:      a worker has six histograms: 220 KiB, and room for its keys and values.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/driver.h"
#include "bench/manycore/hotset.h"
#include "bench/values.h"

#define BENCH_ACK_RING ((uint64_t)1 << 20)

/*
 * Which records there are while others are being inserted: ids below `acked` are
 * acknowledged. An insert claims the next id, and when it is done notes it in the ring;
 * whoever can, moves the mark over all that are noted.
 */
struct bench_inserts {
    _Atomic uint64_t next; /* relaxed: a number, it carries nothing */
    _Atomic uint64_t
        acked; /* release in inserts_done pairs with acquire in bench_inserts_limit */
    _Atomic uint64_t
        *ring; /* id + 1 once done; release pairs with acquire, both in _done */
};

struct bench_subject {
    const struct bench_engine *engine;
    const struct bench_config *config;
    void *db;
    char path[512];
    struct bench_values values;
    uint64_t value_bytes_all; /* of all records */
    struct bench_zipf zipf;
    struct manycore_hotset *hot; /* NULL: no workload shifts */
    struct bench_inserts inserts;
    uint32_t *expected; /* version of each loaded record; NULL unless it can be known */
    enum bench_key_form key_form;
    uint32_t group_max;
    bool loads;
    bool warmed;
    uint64_t live_records;
    _Atomic uint32_t
        sharing;             /* workers that still share the work; relaxed: only a number */
    _Atomic uint32_t enough; /* relaxed: not 0, what goes before a run may end */

    /* What a fill or delete has done, for the last check: groups per thread. */
    enum bench_work walked;
    uint64_t walked_groups[BENCH_THREADS_MAX + 1];
    uint32_t walked_threads;
    uint32_t walked_batch;
};

/* One request of a session, from choosing it to its completion. */
struct bench_flight {
    uint64_t id;
    uint64_t due;     /* ticks: intended start */
    uint64_t started; /* ticks: real start */
    uint32_t version;
    uint32_t expected;
    enum bench_kind kind;
    bool inserting;
    bool second_half; /* the put of a read-modify-write */
};

struct bench_worker {
    struct bench_subject *subject;
    const struct bench_config *config;
    const struct bench_cell *cell;
    const struct bench_engine *engine;
    void *thread;
    uint32_t index;
    uint32_t count;  /* workers that share the work */
    uint32_t stride; /* all workers: spaces their versions */
    uint32_t depth;
    bool writes_only;
    bool timed; /* ends by time, else by operations */
    uint64_t operations_max;
    uint64_t groups_done;
    uint64_t version_count;
    uint64_t choice_count;
    uint32_t hot_shard;
    struct bench_chooser chooser;
    pthread_barrier_t *barrier;

    uint8_t *keys;  /* one per request or group member */
    uint8_t *bytes; /* likewise values */
    size_t value_stride;
    struct bench_slice *key_slices;
    struct bench_slice *value_slices;
    struct bench_value *loans;
    int *results;
    uint64_t *ids;
    struct bench_flight *flights;
    uint32_t *free_flights;
    struct bench_request *requests;
    struct bench_completion *completions;

    int rc; /* the engine's error that ended this worker */
    const char *what;
    uint64_t begin_ns; /* of the monotonic clock, at begin_ticks */
    uint64_t duration_ns;
    _Atomic uint64_t progress; /* operations, for whoever watches; relaxed: only a number */
    uint64_t begin_ticks;
    uint64_t end_ticks;
    uint64_t operations;
    uint64_t unissued;
    uint64_t again;
    uint64_t reordered; /* requests of a session that had to be made a second time */
    uint64_t checked;
    uint64_t mismatched;
    uint64_t missing;
    uint64_t stale;
    char fault[256];
    struct bench_histogram latency[BENCH_KIND_COUNT];
    struct bench_histogram service;
    struct bench_histogram *steps; /* one per step of the rate; NULL: it has none */
    struct bench_slow_list slow;
};

uint64_t bench_inserts_limit(struct bench_inserts *inserts);

/* NULL without memory. The caller sets what follows `depth`. */
struct bench_worker *bench_worker_create(struct bench_subject *subject,
                                         const struct bench_cell *cell, uint32_t depth);
/* NULL is allowed. */
void bench_worker_destroy(struct bench_worker *worker);
/* The thread's main: meets the others at the barrier twice, works, ends. */
void *bench_worker_main(void *argument);

/* The key and a value of record `id`, in the worker's own room number `place`. */
struct bench_slice bench_worker_key(struct bench_worker *worker, uint32_t place,
                                    uint64_t id);
struct bench_slice bench_worker_value(struct bench_worker *worker, uint32_t place,
                                      uint64_t id, uint32_t version);
/* Read record `id`, which must be there, and check it. */
void bench_worker_get(struct bench_worker *worker, uint64_t id);
/* Count wrong data, and describe it if it is the first. */
void bench_worker_fault(struct bench_worker *worker, uint64_t *counter, uint64_t id,
                        const char *what);
/* Note the engine's error, if it is the first. */
void bench_worker_fail(struct bench_worker *worker, int rc, const char *what);

#endif
