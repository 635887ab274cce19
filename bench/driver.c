#include "bench/driver.h"

/*
 * The happy path: open, load every record in groups, settle, warm the caches by reading,
 * then per run: threads are made, meet at a barrier, loop until their time or share is
 * over, and are joined. Each loop chooses a record, makes its key, calls the engine, checks
 * the bytes that come back, and notes the time, one clock read per operation.
 *
 * What can go wrong: the engine returns an error (the thread stops, the run fails with the
 * engine's words), or it returns wrong data (counted, the first one described, the run goes
 * on and the program exits with 1). Every record that a get chooses is known to be there,
 * so an absent one is such a fault; a benchmark of misses cannot happen.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/environment.h"
#include "bench/manycore/hotset.h"
#include "bench/probe.h"
#include "bench/values.h"

#define DRIVER_SUBMIT_MAX       256u
#define DRIVER_LOAD_BYTES       ((size_t)256 << 10)
#define DRIVER_LOAD_GROUP_MAX   1024u
#define DRIVER_LOAD_THREADS_MAX 2u
#define DRIVER_SAMPLE           10000u
#define DRIVER_ACK_RING         ((uint64_t)1 << 20)
/* Engines that wait themselves return BENCH_AGAIN after seconds; others get 100 us naps. */
#define DRIVER_AGAIN_MAX  100000u
#define DRIVER_SILENCE_NS 60000000000u
/* Open loop: sleep until so long before the time, then watch the clock. */
#define DRIVER_SPIN_NS 80000u
/* Slots of one shard that are hot in a workload that shifts. */
#define DRIVER_HOT_SLOTS 64u

/*
 * Which records there are while others are being inserted: ids below `acked` are
 * acknowledged. An insert claims the next id, and when it is done notes it in the ring;
 * whoever can, moves the mark over all that are noted.
 */
struct inserts {
    _Atomic uint64_t next; /* relaxed: a number, it carries nothing */
    _Atomic uint64_t
        acked; /* release in inserts_done pairs with acquire in inserts_limit */
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
    struct inserts inserts;
    uint32_t *expected; /* version of each loaded record; NULL unless it can be known */
    enum bench_key_form key_form;
    uint32_t group_max;
    bool loads;
    bool warmed;
    uint64_t live_records;
    _Atomic uint32_t
        sharing; /* workers that still share the work; relaxed: only a number */

    /* What a fill or delete has done, for the last check: groups per thread. */
    enum bench_work walked;
    uint64_t walked_groups[BENCH_THREADS_MAX + 1];
    uint32_t walked_threads;
    uint32_t walked_batch;
};

/* One request of a session, from choosing it to its completion. */
struct flight {
    uint64_t id;
    uint64_t due;     /* ticks: intended start */
    uint64_t started; /* ticks: real start */
    uint32_t version;
    uint32_t expected;
    enum bench_kind kind;
    bool inserting;
    bool second_half; /* the put of a read-modify-write */
};

struct choice {
    enum bench_kind kind;
    uint64_t id;
    bool inserting;
};

struct worker {
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
    struct flight *flights;
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
    struct bench_slow_list slow;
};

const char *bench_kind_name(enum bench_kind kind)
{
    switch (kind) {
    case BENCH_GET:
        return "get";
    case BENCH_PUT:
        return "put";
    case BENCH_MODIFY:
        return "read-modify-write";
    case BENCH_DELETE:
        return "delete";
    case BENCH_MULTI_GET:
        return "multi-get";
    case BENCH_KIND_COUNT:
        break;
    }
    return "?";
}

/* ---- inserted records ---------------------------------------------------------------- */

static uint64_t inserts_limit(struct inserts *inserts)
{
    return atomic_load_explicit(&inserts->acked, memory_order_acquire);
}

static uint64_t inserts_claim(struct inserts *inserts)
{
    return atomic_fetch_add_explicit(&inserts->next, 1, memory_order_relaxed);
}

static void inserts_done(struct inserts *inserts, uint64_t id)
{
    uint64_t acked;

    atomic_store_explicit(&inserts->ring[id & (DRIVER_ACK_RING - 1)], id + 1,
                          memory_order_release);
    acked = atomic_load_explicit(&inserts->acked, memory_order_acquire);
    while (atomic_load_explicit(&inserts->ring[acked & (DRIVER_ACK_RING - 1)],
                                memory_order_acquire) == acked + 1) {
        if (atomic_compare_exchange_weak_explicit(&inserts->acked, &acked, acked + 1,
                                                  memory_order_acq_rel,
                                                  memory_order_acquire)) {
            acked++;
        }
    }
}

/* ---- one worker's pieces ------------------------------------------------------------- */

static uint64_t worker_ticks(const struct worker *worker)
{
    return bench_clock_ticks(&worker->config->clock);
}

/* An operation that counts from `begin` to `end`, in ticks. */
static void worker_record(struct worker *worker, enum bench_kind kind, uint64_t begin,
                          uint64_t end)
{
    const struct bench_clock *clock = &worker->config->clock;
    uint64_t ns = bench_clock_ns(clock, end - begin);

    bench_histogram_add(&worker->latency[kind], ns);
    if (ns >= BENCH_SLOW_NS) {
        uint64_t since_ns = begin > worker->begin_ticks
                                ? bench_clock_ns(clock, begin - worker->begin_ticks)
                                : 0;

        bench_slow_note(&worker->slow, worker->begin_ns + since_ns, ns, kind);
    }
    atomic_store_explicit(&worker->progress, worker->operations, memory_order_relaxed);
}

static struct bench_slice worker_key(struct worker *worker, uint32_t place, uint64_t id)
{
    size_t key_bytes = worker->config->key_bytes;
    uint8_t *key = worker->keys + (size_t)place * key_bytes;
    struct bench_slice slice = {key, key_bytes};

    bench_key_encode(worker->cell->key_form, id, key, key_bytes);
    return slice;
}

static struct bench_slice worker_value(struct worker *worker, uint32_t place, uint64_t id,
                                       uint32_t version)
{
    uint8_t *value = worker->bytes + (size_t)place * worker->value_stride;
    struct bench_slice slice = {value, bench_value_bytes(&worker->subject->values, id)};

    bench_value_fill(&worker->subject->values, value, id, version);
    return slice;
}

/* Different in every write of a run, up to its 24 bits. Loaded records have version 0. */
static uint32_t worker_version(struct worker *worker)
{
    uint64_t version = ++worker->version_count * worker->stride + worker->index;

    return (uint32_t)(version & BENCH_VALUE_VERSION_MASK);
}

static void worker_fault(struct worker *worker, uint64_t *counter, uint64_t id,
                         const char *what)
{
    if (worker->mismatched + worker->missing + worker->stale == 0) {
        snprintf(worker->fault, sizeof(worker->fault), "%s, record %llu: %s",
                 worker->engine->name, (unsigned long long)id, what);
    }
    (*counter)++;
}

/* Nobody can say which version it must be; versions have 24 bits. */
#define VERSION_UNKNOWN UINT32_MAX

static uint32_t worker_expects(const struct worker *worker, uint64_t id)
{
    const uint32_t *expected = worker->subject->expected;

    return expected != NULL && id < worker->config->records ? expected[id]
                                                            : VERSION_UNKNOWN;
}

static void worker_wrote(struct worker *worker, uint64_t id, uint32_t version)
{
    uint32_t *expected = worker->subject->expected;

    if (expected != NULL && id < worker->config->records &&
        expected[id] != VERSION_UNKNOWN) {
        expected[id] = version;
    }
}

static void worker_check(struct worker *worker, uint64_t id, const void *data, size_t bytes,
                         uint32_t expected)
{
    const struct bench_values *values = &worker->subject->values;
    uint32_t version = 0;
    bool right = worker->config->verify_full
                     ? bench_value_check_full(values, data, bytes, id, &version)
                     : bench_value_check(values, data, bytes, id, &version);

    if (!right) {
        worker_fault(worker, &worker->mismatched, id, "the value is not this record's");
    } else if (expected != VERSION_UNKNOWN && version != expected) {
        worker_fault(worker, &worker->stale, id, "the value is not the last one written");
    } else {
        worker->checked++;
    }
}

static void worker_absent(struct worker *worker, uint64_t id)
{
    worker_fault(worker, &worker->missing, id, "absent, but it was written");
}

static void worker_fail(struct worker *worker, int rc, const char *what)
{
    if (worker->rc == 0) {
        worker->rc = rc;
        worker->what = what;
    }
}

/* After BENCH_AGAIN: whether to try again. */
static bool worker_again(struct worker *worker, uint32_t *attempts)
{
    struct timespec nap = {0, 100000};

    worker->again++;
    if (++*attempts >= DRIVER_AGAIN_MAX) {
        return false;
    }
    nanosleep(&nap, NULL);
    return true;
}

/* Time decides whose records are hot; it is looked at once in 256 choices. */
static void worker_shift(struct worker *worker)
{
    if (worker->choice_count++ % 256 == 0) {
        uint64_t elapsed_ns = bench_clock_ns(&worker->config->clock,
                                             worker_ticks(worker) - worker->begin_ticks);

        worker->hot_shard = (uint32_t)(elapsed_ns / worker->config->shift_ns %
                                       worker->subject->hot->shard_count);
    }
}

static uint64_t worker_choose_id(struct worker *worker, uint64_t limit)
{
    const struct manycore_hotset *hot = worker->subject->hot;

    if (worker->cell->workload->shifts &&
        bench_random_unit(&worker->chooser.random) < worker->config->hot_share) {
        return manycore_hotset_at(hot, worker->hot_shard, &worker->chooser.random);
    }
    return bench_chooser_next(&worker->chooser, limit);
}

static struct choice worker_choose(struct worker *worker)
{
    const struct bench_workload *workload = worker->cell->workload;
    struct choice choice = {BENCH_GET, 0, false};
    uint64_t limit = worker->config->records;
    uint32_t draw = 0;

    if (workload->shifts) {
        worker_shift(worker);
    }
    if (worker->writes_only) {
        choice.kind = BENCH_PUT;
    } else if (workload->get_percent != 100) {
        draw = (uint32_t)bench_random_below(&worker->chooser.random, 100);
        if (draw >= workload->get_percent) {
            draw -= workload->get_percent;
            if (draw < workload->put_percent) {
                choice.kind = BENCH_PUT;
            } else if (draw < workload->put_percent + workload->insert_percent) {
                choice.kind = BENCH_PUT;
                choice.inserting = true;
                choice.id = inserts_claim(&worker->subject->inserts);
                return choice;
            } else {
                choice.kind = BENCH_MODIFY;
            }
        }
    }
    if (workload->insert_percent != 0) {
        limit = inserts_limit(&worker->subject->inserts);
    }
    choice.id = worker_choose_id(worker, limit);
    return choice;
}

/* The next record of a fill or a delete. False at the end of this worker's part. */
static bool worker_walk(struct worker *worker, uint32_t member, uint64_t *id)
{
    uint64_t group = worker->groups_done * worker->count + worker->index;
    uint64_t position = group * worker->cell->batch + member;

    if (position >= worker->config->records) {
        return false;
    }
    *id = worker->cell->workload->work == BENCH_WORK_FILL_SEQUENTIAL
              ? position
              : bench_walk(position, worker->config->records, worker->config->seed);
    return true;
}

/* ---- blocking operations ------------------------------------------------------------- */

static void worker_get(struct worker *worker, uint64_t id)
{
    struct bench_slice key = worker_key(worker, 0, id);
    uint32_t expected = worker_expects(worker, id);
    struct bench_value value;
    uint32_t attempts = 0;
    int rc;

    do {
        rc = worker->engine->get(worker->thread, key, &value);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc == BENCH_DONE) {
        worker_check(worker, id, value.data, value.bytes, expected);
        worker->engine->release(worker->thread, &value);
    } else if (rc == BENCH_ABSENT) {
        worker_absent(worker, id);
    } else {
        worker_fail(worker, rc, "get");
    }
}

static void worker_put(struct worker *worker, uint64_t id, uint32_t version)
{
    struct bench_slice key = worker_key(worker, 0, id);
    struct bench_slice value = worker_value(worker, 0, id, version);
    uint32_t attempts = 0;
    int rc;

    do {
        rc = worker->engine->put(worker->thread, key, value);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc == BENCH_DONE) {
        worker_wrote(worker, id, version);
    } else {
        worker_fail(worker, rc, "put");
    }
}

struct modification {
    struct worker *worker;
    uint64_t id;
    uint32_t version;
};

static const void *modification_apply(void *context, const void *data, size_t bytes,
                                      size_t *new_bytes)
{
    struct modification *change = context;
    struct bench_slice value;

    worker_check(change->worker, change->id, data, bytes,
                 worker_expects(change->worker, change->id));
    value = worker_value(change->worker, 0, change->id, change->version);
    *new_bytes = value.bytes;
    return value.data;
}

static void worker_modify(struct worker *worker, uint64_t id)
{
    struct modification change = {worker, id, worker_version(worker)};
    struct bench_slice key = worker_key(worker, 0, id);
    uint32_t attempts = 0;
    int rc;

    do {
        rc = worker->engine->modify(worker->thread, key, modification_apply, &change);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc == BENCH_DONE) {
        worker_wrote(worker, id, change.version);
    } else if (rc == BENCH_ABSENT) {
        worker_absent(worker, id);
    } else {
        worker_fail(worker, rc, "read-modify-write");
    }
}

static void worker_remove(struct worker *worker, uint64_t id)
{
    struct bench_slice key = worker_key(worker, 0, id);
    uint32_t attempts = 0;
    int rc;

    do {
        rc = worker->engine->remove(worker->thread, key);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc == BENCH_ABSENT) {
        worker_absent(worker, id);
    } else if (rc != BENCH_DONE) {
        worker_fail(worker, rc, "delete");
    }
}

static void worker_multi_get(struct worker *worker)
{
    uint32_t count = worker->cell->batch;
    uint32_t attempts = 0;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        worker->ids[i] = bench_chooser_next(&worker->chooser, worker->config->records);
        worker->key_slices[i] = worker_key(worker, i, worker->ids[i]);
    }
    do {
        rc = worker->engine->multi_get(worker->thread, worker->key_slices, count,
                                       worker->loans, worker->results);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc != BENCH_DONE) {
        worker_fail(worker, rc, "multi-get");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (worker->results[i] == BENCH_DONE) {
            worker_check(worker, worker->ids[i], worker->loans[i].data,
                         worker->loans[i].bytes, worker_expects(worker, worker->ids[i]));
        } else if (worker->results[i] == BENCH_ABSENT) {
            worker_absent(worker, worker->ids[i]);
        } else {
            worker_fail(worker, worker->results[i], "multi-get");
        }
    }
    worker->engine->release_many(worker->thread, worker->loans, count);
}

/* Several puts as one batch; which records, the caller has put into worker->ids. */
static void worker_batch(struct worker *worker, uint32_t count, bool versioned)
{
    uint32_t attempts = 0;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t version = versioned ? worker_version(worker) : 0;

        worker->key_slices[i] = worker_key(worker, i, worker->ids[i]);
        worker->value_slices[i] = worker_value(worker, i, worker->ids[i], version);
        worker_wrote(worker, worker->ids[i], version);
    }
    do {
        rc = worker->engine->batch(worker->thread, worker->key_slices, worker->value_slices,
                                   count);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc != BENCH_DONE) {
        worker_fail(worker, rc, "batch");
    }
}

/* One call, whatever it is. Returns how many operations it was; 0: this worker has
 * finished. */
static uint32_t worker_step(struct worker *worker, enum bench_kind *kind)
{
    uint32_t batch = worker->cell->batch;
    struct choice choice;
    uint64_t id;
    uint32_t count;

    switch (worker->cell->workload->work) {
    case BENCH_WORK_MIX:
        if (batch > 1) {
            for (count = 0; count < batch; count++) {
                worker->ids[count] =
                    bench_chooser_next(&worker->chooser, worker->config->records);
            }
            worker_batch(worker, batch, true);
            *kind = BENCH_PUT;
            return batch;
        }
        choice = worker_choose(worker);
        *kind = choice.kind;
        if (choice.kind == BENCH_GET) {
            worker_get(worker, choice.id);
        } else if (choice.kind == BENCH_MODIFY) {
            worker_modify(worker, choice.id);
        } else {
            worker_put(worker, choice.id, choice.inserting ? 0 : worker_version(worker));
            if (choice.inserting && worker->rc == 0) {
                inserts_done(&worker->subject->inserts, choice.id);
            }
        }
        return 1;
    case BENCH_WORK_FILL_SEQUENTIAL:
    case BENCH_WORK_FILL_RANDOM:
        *kind = BENCH_PUT;
        if (batch == 1) {
            if (!worker_walk(worker, 0, &id)) {
                return 0;
            }
            worker_put(worker, id, 0);
            worker->groups_done++;
            return 1;
        }
        for (count = 0; count < batch && worker_walk(worker, count, &worker->ids[count]);
             count++) {
        }
        if (count > 0) {
            worker_batch(worker, count, false);
            worker->groups_done++;
        }
        return count;
    case BENCH_WORK_DELETE_RANDOM:
        *kind = BENCH_DELETE;
        if (!worker_walk(worker, 0, &id)) {
            return 0;
        }
        worker_remove(worker, id);
        worker->groups_done++;
        return 1;
    case BENCH_WORK_MULTI_GET:
        *kind = BENCH_MULTI_GET;
        worker_multi_get(worker);
        return batch;
    }
    return 0;
}

/* ---- loops --------------------------------------------------------------------------- */

/* The accompanying writer has no share of its own: it stops when it writes for nobody. */
static bool worker_alone(const struct worker *worker)
{
    return worker->writes_only &&
           atomic_load_explicit(&worker->subject->sharing, memory_order_relaxed) == 0;
}

static uint64_t worker_deadline(const struct worker *worker)
{
    return worker->timed ? worker->begin_ticks + bench_clock_from_ns(&worker->config->clock,
                                                                     worker->duration_ns)
                         : UINT64_MAX;
}

static void worker_loop_closed(struct worker *worker)
{
    uint64_t deadline = worker_deadline(worker);
    uint64_t last = worker->begin_ticks;

    while (worker->rc == 0 && worker->operations < worker->operations_max) {
        enum bench_kind kind = BENCH_GET;
        uint32_t done = worker_step(worker, &kind);
        uint64_t now = worker_ticks(worker);

        if (done == 0) {
            break;
        }
        worker_record(worker, kind, last, now);
        worker->operations += done;
        last = now;
        if (now >= deadline || worker_alone(worker)) {
            break;
        }
    }
    worker->end_ticks = last;
}

/* Ticks from one due time to the next. */
static uint64_t worker_gap(struct worker *worker)
{
    double mean_ns =
        1e9 * (double)worker->count * (double)worker->cell->batch / worker->config->rate;

    if (worker->config->poisson) {
        mean_ns *= -log(1.0 - bench_random_unit(&worker->chooser.random));
    }
    return bench_clock_from_ns(&worker->config->clock, (uint64_t)mean_ns);
}

static uint64_t worker_first_due(struct worker *worker)
{
    if (worker->config->poisson) {
        return worker->begin_ticks + worker_gap(worker);
    }
    return worker->begin_ticks + worker_gap(worker) * worker->index / worker->count;
}

static void worker_wait(struct worker *worker, uint64_t due)
{
    uint64_t now = worker_ticks(worker);

    while (now < due) {
        uint64_t left_ns = bench_clock_ns(&worker->config->clock, due - now);

        if (left_ns > DRIVER_SPIN_NS) {
            struct timespec nap;

            left_ns -= DRIVER_SPIN_NS;
            nap.tv_sec = (time_t)(left_ns / 1000000000u);
            nap.tv_nsec = (long)(left_ns % 1000000000u);
            nanosleep(&nap, NULL);
        }
        now = worker_ticks(worker);
    }
}

static void worker_count_unissued(struct worker *worker, uint64_t due, uint64_t deadline)
{
    while (due < deadline && worker->timed) {
        worker->unissued += worker->cell->batch;
        due += worker_gap(worker) + 1;
    }
}

static void worker_loop_open(struct worker *worker)
{
    uint64_t deadline = worker_deadline(worker);
    uint64_t due = worker_first_due(worker);
    uint64_t now = worker->begin_ticks;

    while (worker->rc == 0 && worker->operations < worker->operations_max &&
           due < deadline && now < deadline) {
        enum bench_kind kind = BENCH_GET;
        uint64_t start;
        uint32_t done;

        worker_wait(worker, due);
        start = worker_ticks(worker);
        done = worker_step(worker, &kind);
        now = worker_ticks(worker);
        if (done == 0) {
            break;
        }
        worker_record(worker, kind, due, now);
        bench_histogram_add(&worker->service,
                            bench_clock_ns(&worker->config->clock, now - start));
        worker->operations += done;
        due += worker_gap(worker);
        if (worker_alone(worker)) {
            break;
        }
    }
    worker->end_ticks = now > worker->begin_ticks ? now : worker_ticks(worker);
    if (worker->operations < worker->operations_max && worker->rc == 0) {
        worker_count_unissued(worker, due, deadline);
    }
}

/* ---- sessions: many in flight -------------------------------------------------------- */

static bool session_choose(struct worker *worker, struct flight *flight)
{
    struct choice choice;

    flight->second_half = false;
    flight->inserting = false;
    switch (worker->cell->workload->work) {
    case BENCH_WORK_MIX:
        choice = worker_choose(worker);
        flight->kind = choice.kind;
        flight->id = choice.id;
        flight->inserting = choice.inserting;
        return true;
    case BENCH_WORK_FILL_SEQUENTIAL:
    case BENCH_WORK_FILL_RANDOM:
        flight->kind = BENCH_PUT;
        flight->inserting = true;
        break;
    case BENCH_WORK_DELETE_RANDOM:
        flight->kind = BENCH_DELETE;
        break;
    case BENCH_WORK_MULTI_GET:
        return false; /* refused before it gets here */
    }
    if (!worker_walk(worker, 0, &flight->id)) {
        return false;
    }
    worker->groups_done++;
    return true;
}

static void session_request(struct worker *worker, uint32_t place,
                            struct bench_request *request)
{
    struct flight *flight = &worker->flights[place];

    request->cookie = place;
    request->key = worker_key(worker, place, flight->id);
    request->value.data = NULL;
    request->value.bytes = 0;
    if (flight->kind == BENCH_DELETE) {
        request->kind = BENCH_REQUEST_DELETE;
    } else if (flight->kind == BENCH_PUT || flight->second_half) {
        flight->version = flight->inserting ? 0 : worker_version(worker);
        request->kind = BENCH_REQUEST_PUT;
        request->value = worker_value(worker, place, flight->id, flight->version);
        /* Requests on one key are carried out in the order of submission. */
        worker_wrote(worker, flight->id, flight->version);
    } else {
        request->kind = BENCH_REQUEST_GET;
        flight->expected = worker_expects(worker, flight->id);
    }
}

/* True when the flight has landed, false when it needs another request. */
static bool session_complete(struct worker *worker, struct flight *flight,
                             struct bench_completion *completion)
{
    if (completion->result == BENCH_AGAIN) {
        worker->again++;
        worker->reordered++;
        if (worker->subject->expected != NULL && flight->id < worker->config->records) {
            /* What was submitted after it on this key now comes before it. */
            worker->subject->expected[flight->id] = VERSION_UNKNOWN;
        }
        return false;
    }
    if (completion->result == BENCH_ABSENT) {
        worker_absent(worker, flight->id);
        return true;
    }
    if (completion->result != BENCH_DONE) {
        worker_fail(worker, completion->result, bench_kind_name(flight->kind));
        return true;
    }
    if (flight->kind == BENCH_GET ||
        (flight->kind == BENCH_MODIFY && !flight->second_half)) {
        worker_check(worker, flight->id, completion->value.data, completion->value.bytes,
                     flight->expected);
        worker->engine->release(worker->thread, &completion->value);
        if (flight->kind == BENCH_MODIFY) {
            flight->second_half = true;
            return false;
        }
    } else if (flight->inserting && worker->cell->workload->work == BENCH_WORK_MIX) {
        inserts_done(&worker->subject->inserts, flight->id);
    }
    return true;
}

static void worker_loop_session(struct worker *worker)
{
    const struct bench_clock *clock = &worker->config->clock;
    bool open = worker->config->rate > 0.0;
    uint64_t deadline = worker_deadline(worker);
    uint64_t due = open ? worker_first_due(worker) : 0;
    uint64_t now = worker->begin_ticks;
    uint64_t last_news = now;
    uint64_t issued = 0;
    uint32_t free_count = worker->depth;
    uint32_t in_flight = 0;
    uint32_t pending = 0; /* requests made and not yet taken by the engine */
    bool ending = false;

    for (uint32_t i = 0; i < worker->depth; i++) {
        worker->free_flights[i] = i;
    }
    for (;;) {
        uint64_t timeout_ns;
        int came;

        while (!ending && free_count > 0 && pending < DRIVER_SUBMIT_MAX) {
            uint32_t place = worker->free_flights[free_count - 1];
            struct flight *flight = &worker->flights[place];

            if (now >= deadline || issued >= worker->operations_max ||
                worker_alone(worker) || (open && due >= deadline)) {
                ending = true;
                break;
            }
            if (open && due > now) {
                break;
            }
            if (!session_choose(worker, flight)) {
                ending = true;
                break;
            }
            free_count--;
            issued++;
            flight->started = now;
            flight->due = now;
            if (open) {
                flight->due = due;
                due += worker_gap(worker);
            }
            session_request(worker, place, &worker->requests[pending++]);
        }
        if (pending > 0) {
            int taken = worker->engine->submit(worker->thread, worker->requests, pending);

            if (taken < 0) {
                worker_fail(worker, taken, "submit");
                break;
            }
            pending -= (uint32_t)taken;
            in_flight += (uint32_t)taken;
            if (pending > 0) {
                worker->again++;
                memmove(worker->requests, worker->requests + taken,
                        pending * sizeof(worker->requests[0]));
            }
        }
        if (in_flight == 0 && pending == 0) {
            if (ending || worker->rc != 0) {
                break;
            }
            worker_wait(worker, due);
            now = worker_ticks(worker);
            continue;
        }
        timeout_ns = 1000000000u;
        if (pending > 0) {
            timeout_ns = 100000u;
        } else if (free_count > 0 && !ending) {
            /* There is more to submit, at once or when it is due. */
            timeout_ns = open && due > now ? bench_clock_ns(clock, due - now) : 0;
        }
        came = worker->engine->poll(worker->thread, worker->completions, DRIVER_SUBMIT_MAX,
                                    timeout_ns);
        now = worker_ticks(worker);
        if (came < 0) {
            worker_fail(worker, came, "poll");
            break;
        }
        if (came > 0) {
            last_news = now;
        } else if (bench_clock_ns(clock, now - last_news) > DRIVER_SILENCE_NS) {
            worker_fail(worker, -1, "no completion came for 60 s");
            break;
        }
        for (int i = 0; i < came; i++) {
            struct bench_completion *completion = &worker->completions[i];
            uint32_t place = (uint32_t)completion->cookie;
            struct flight *flight = &worker->flights[place];

            in_flight--;
            if (!session_complete(worker, flight, completion)) {
                /* Room: completions come from flights, and requests has one per flight. */
                session_request(worker, place, &worker->requests[pending++]);
                continue;
            }
            worker_record(worker, flight->kind, flight->due, now);
            if (open) {
                bench_histogram_add(&worker->service,
                                    bench_clock_ns(clock, now - flight->started));
            }
            worker->operations++;
            worker->free_flights[free_count++] = place;
        }
        if (worker->rc != 0) {
            ending = true;
        }
    }
    worker->end_ticks = now;
    if (worker->reordered > 0 && worker->stale > 0) {
        /* Not in the order of submission, so nobody can say which version was right. */
        if (worker->mismatched + worker->missing == 0) {
            worker->fault[0] = '\0';
        }
        worker->checked += worker->stale;
        worker->stale = 0;
    }
    if (open && issued < worker->operations_max && worker->rc == 0) {
        worker_count_unissued(worker, due, deadline);
    }
}

/* ---- workers ------------------------------------------------------------------------- */

static void worker_destroy(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    free(worker->keys);
    free(worker->bytes);
    free(worker->key_slices);
    free(worker->value_slices);
    free(worker->loans);
    free(worker->results);
    free(worker->ids);
    free(worker->flights);
    free(worker->free_flights);
    free(worker->requests);
    free(worker->completions);
    free(worker);
}

static struct worker *worker_create(struct bench_subject *subject,
                                    const struct bench_cell *cell, uint32_t depth)
{
    size_t places = depth > cell->batch ? depth : cell->batch;
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return NULL;
    }
    worker->subject = subject;
    worker->config = subject->config;
    worker->cell = cell;
    worker->engine = subject->engine;
    worker->depth = depth;
    worker->value_stride = (bench_value_bytes_max(&subject->values) + 15) & ~(size_t)15;
    worker->keys = malloc(places * subject->config->key_bytes);
    worker->bytes = malloc(places * worker->value_stride + 1);
    worker->key_slices = calloc(places, sizeof(*worker->key_slices));
    worker->value_slices = calloc(places, sizeof(*worker->value_slices));
    worker->loans = calloc(places, sizeof(*worker->loans));
    worker->results = calloc(places, sizeof(*worker->results));
    worker->ids = calloc(places, sizeof(*worker->ids));
    worker->flights = calloc(places, sizeof(*worker->flights));
    worker->free_flights = calloc(places, sizeof(*worker->free_flights));
    worker->requests = calloc(places + DRIVER_SUBMIT_MAX, sizeof(*worker->requests));
    worker->completions = calloc(DRIVER_SUBMIT_MAX, sizeof(*worker->completions));
    if (worker->keys == NULL || worker->bytes == NULL || worker->key_slices == NULL ||
        worker->value_slices == NULL || worker->loans == NULL || worker->results == NULL ||
        worker->ids == NULL || worker->flights == NULL || worker->free_flights == NULL ||
        worker->requests == NULL || worker->completions == NULL) {
        worker_destroy(worker);
        return NULL;
    }
    return worker;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    int rc = worker->engine->thread_create(worker->subject->db, &worker->thread);

    if (rc != 0) {
        worker_fail(worker, rc, "making a thread handle");
    }
    pthread_barrier_wait(worker->barrier); /* all have their handles */
    pthread_barrier_wait(worker->barrier); /* go */
    worker->begin_ns = bench_clock_monotonic_ns();
    worker->begin_ticks = worker_ticks(worker);
    worker->end_ticks = worker->begin_ticks;
    if (worker->rc == 0) {
        if (worker->depth > 1) {
            worker_loop_session(worker);
        } else if (worker->config->rate > 0.0) {
            worker_loop_open(worker);
        } else {
            worker_loop_closed(worker);
        }
    }
    if (!worker->writes_only) {
        atomic_fetch_sub_explicit(&worker->subject->sharing, 1, memory_order_relaxed);
    }
    if (worker->thread != NULL) {
        worker->engine->thread_destroy(&worker->thread);
    }
    return NULL;
}

/* ---- the process --------------------------------------------------------------------- */

static void process_cpu(uint64_t *user_ns, uint64_t *system_ns)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    *user_ns = (uint64_t)usage.ru_utime.tv_sec * 1000000000u +
               (uint64_t)usage.ru_utime.tv_usec * 1000u;
    *system_ns = (uint64_t)usage.ru_stime.tv_sec * 1000000000u +
                 (uint64_t)usage.ru_stime.tv_usec * 1000u;
}

static int subject_explain(struct bench_subject *subject, struct bench_result *result,
                           const char *what, int rc)
{
    char text[192] = "";

    subject->engine->explain(subject->db, rc, text, sizeof(text));
    result->failed = 1;
    snprintf(result->message, sizeof(result->message), "%s: %s: %s", subject->engine->name,
             what, text);
    return -1;
}

static int subject_complain(const char *name, struct bench_result *result, const char *what)
{
    result->failed = 1;
    snprintf(result->message, sizeof(result->message), "%s: %s", name, what);
    return -1;
}

static int subject_settle(struct bench_subject *subject, struct bench_result *result)
{
    uint64_t user_before;
    uint64_t system_before;
    uint64_t user_after;
    uint64_t system_after;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    int rc;

    process_cpu(&user_before, &system_before);
    rc = subject->engine->settle(subject->db);
    process_cpu(&user_after, &system_after);
    result->settle_ns = bench_clock_monotonic_ns() - begin_ns;
    result->settle_cpu_ns = user_after + system_after - user_before - system_before;
    return rc != 0 ? subject_explain(subject, result, "settling", rc) : 0;
}

/* Of a record, in the mean. */
static size_t subject_value_bytes(const struct bench_subject *subject)
{
    return subject->value_bytes_all / subject->config->records;
}

static void subject_measure(struct bench_subject *subject, struct bench_result *result)
{
    result->peak_rss_bytes = bench_environment_peak_rss();
    result->disk_bytes = bench_environment_disk_bytes(subject->path);
    result->live_bytes =
        subject->live_records * (subject->config->key_bytes + subject_value_bytes(subject));
}

static bool cell_writes(const struct bench_cell *cell)
{
    const struct bench_workload *workload = cell->workload;

    return workload->extra_writer || workload->work == BENCH_WORK_FILL_SEQUENTIAL ||
           workload->work == BENCH_WORK_FILL_RANDOM ||
           workload->work == BENCH_WORK_DELETE_RANDOM ||
           (workload->work == BENCH_WORK_MIX && workload->get_percent != 100);
}

/* As many as the engine makes of itself. */
static uint32_t subject_shards(const struct bench_config *config)
{
    uint32_t shards = config->shards != 0 ? config->shards : bench_environment_cpus();

    return shards < WARP_SHARD_COUNT_MAX ? shards : WARP_SHARD_COUNT_MAX;
}

static void subject_free(struct bench_subject *subject)
{
    bench_values_fini(&subject->values);
    if (subject->hot != NULL) {
        manycore_hotset_destroy(&subject->hot);
    }
    free((void *)subject->inserts.ring);
    free(subject->expected);
    free(subject);
}

/* The group's memory limit is this process's from now on; version 1 and 2 have the same file. */
static int subject_enter(const char *name, const char *cgroup, struct bench_result *result)
{
    char path[560];
    FILE *file;

    snprintf(path, sizeof(path), "%.500s/cgroup.procs", cgroup);
    file = fopen(path, "we");
    if (file == NULL || fprintf(file, "0\n") < 0 || fflush(file) != 0) {
        snprintf(result->message, sizeof(result->message), "%s: %.300s: %s", name, path,
                 strerror(errno));
        result->failed = 1;
        if (file != NULL) {
            fclose(file);
        }
        return -1;
    }
    fclose(file);
    return 0;
}

int bench_subject_open(const struct bench_engine *engine, const struct bench_config *config,
                       const struct bench_cell *cells, uint32_t cell_count,
                       const char *path, struct bench_subject **out,
                       struct bench_result *result)
{
    struct bench_subject *subject = calloc(1, sizeof(*subject));
    struct bench_setup setup = {0};
    bool one_writer = true;
    bool shifts = false;

    if (config->cgroup != NULL &&
        subject_enter(engine->name, config->cgroup, result) != 0) {
        free(subject);
        return -1;
    }
    bench_environment_reset_peak_rss();
    result->base_rss_bytes = bench_environment_peak_rss();
    if (subject == NULL ||
        bench_values_init(&subject->values, config->value_bytes, config->ratio_permille,
                          config->mixed_sizes) != 0) {
        free(subject);
        return subject_complain(engine->name, result, "no memory for the driver");
    }
    subject->engine = engine;
    subject->config = config;
    subject->key_form = cells[0].key_form;
    snprintf(subject->path, sizeof(subject->path), "%s", path);
    bench_zipf_init(&subject->zipf, config->records, config->theta);
    subject->group_max = DRIVER_LOAD_GROUP_MAX;
    setup.path = subject->path;
    setup.durability = config->durability;
    setup.memory_bytes = config->memory_bytes;
    setup.shards = config->shards;
    setup.cache_policy = config->cache_policy;
    setup.key_bytes = config->key_bytes;
    setup.value_bytes = bench_value_bytes_max(&subject->values);
    setup.records = config->records;
    setup.existing = config->existing;
    setup.rocksdb = config->rocksdb;
    setup.background_permille = config->background_permille;
    setup.gravity = config->gravity;
    setup.compaction = config->compaction;
    setup.threads = DRIVER_LOAD_THREADS_MAX;
    setup.depth = 1;
    for (uint32_t i = 0; i < cell_count; i++) {
        uint32_t threads = cells[i].threads + (cells[i].workload->extra_writer ? 1u : 0u);

        setup.threads = threads > setup.threads ? threads : setup.threads;
        setup.depth = cells[i].depth > setup.depth ? cells[i].depth : setup.depth;
        subject->group_max =
            cells[i].batch > subject->group_max ? cells[i].batch : subject->group_max;
        subject->loads =
            subject->loads || (cells[i].workload->work != BENCH_WORK_FILL_SEQUENTIAL &&
                               cells[i].workload->work != BENCH_WORK_FILL_RANDOM);
        shifts = shifts || cells[i].workload->shifts;
        /* With two writers nobody can say which write on a key came last. */
        one_writer = one_writer && threads == 1 && !config->existing;
    }
    for (uint64_t id = 0; config->mixed_sizes && id < config->records; id++) {
        subject->value_bytes_all += bench_value_bytes(&subject->values, id);
    }
    if (!config->mixed_sizes) {
        subject->value_bytes_all = config->records * config->value_bytes;
    }
    if (shifts && manycore_hotset_create(&subject->hot, subject->key_form,
                                         config->key_bytes, config->records,
                                         subject_shards(config), DRIVER_HOT_SLOTS) != 0) {
        subject_free(subject);
        return subject_complain(engine->name, result,
                                "a hot spot needs memory, and records on every shard");
    }
    setup.group = subject->group_max;
    subject->inserts.ring = calloc(DRIVER_ACK_RING, sizeof(*subject->inserts.ring));
    if (one_writer && config->verify_full && config->value_bytes >= 8) {
        subject->expected = calloc(config->records, sizeof(*subject->expected));
    }
    if (subject->inserts.ring == NULL ||
        (one_writer && config->verify_full && config->value_bytes >= 8 &&
         subject->expected == NULL)) {
        subject_free(subject);
        return subject_complain(engine->name, result, "no memory for the driver");
    }
    result->failed = 0;
    if (engine->open(&setup, &subject->db, result->message, sizeof(result->message)) != 0) {
        result->failed = 1;
        subject_free(subject);
        return -1;
    }
    engine->version(subject->db, result->version, sizeof(result->version));
    engine->describe(subject->db, result->settings, sizeof(result->settings));
    *out = subject;
    return 0;
}

/* Start, release together, join and add up. */
static int subject_workers(struct bench_subject *subject, struct worker **workers,
                           uint32_t count, struct bench_result *result)
{
    pthread_t *threads = calloc(count, sizeof(*threads));
    pthread_barrier_t barrier;
    uint64_t user_before = 0;
    uint64_t system_before = 0;
    uint64_t user_after;
    uint64_t system_after;
    uint64_t begin_ticks = UINT64_MAX;
    uint64_t end_ticks = 0;
    uint64_t faults_before = bench_result_faults(result);
    int rc = 0;

    if (threads == NULL || pthread_barrier_init(&barrier, NULL, count + 1) != 0) {
        rc = subject_complain(subject->engine->name, result, "no memory for the driver");
        goto done;
    }
    for (uint32_t i = 0; i < count; i++) {
        workers[i]->barrier = &barrier;
        if (pthread_create(&threads[i], NULL, worker_main, workers[i]) != 0) {
            /* Those that were made wait at the barrier for ever: the process must end. */
            fprintf(stderr, "warp bench: cannot make %u threads: %s\n", count,
                    strerror(errno));
            _exit(3);
        }
    }
    pthread_barrier_wait(&barrier);
    process_cpu(&user_before, &system_before);
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    process_cpu(&user_after, &system_after);
    pthread_barrier_destroy(&barrier);
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker = workers[i];

        if (worker->rc != 0 && rc == 0) {
            rc = subject_explain(subject, result, worker->what, worker->rc);
        }
        begin_ticks = worker->begin_ticks < begin_ticks ? worker->begin_ticks : begin_ticks;
        end_ticks = worker->end_ticks > end_ticks ? worker->end_ticks : end_ticks;
        if (!worker->writes_only) { /* its puts are counted in their histogram */
            result->operations += worker->operations;
        }
        result->unissued += worker->unissued;
        result->again += worker->again;
        result->checked += worker->checked;
        if (faults_before == 0 && worker->fault[0] != '\0' && result->fault[0] == '\0') {
            snprintf(result->fault, sizeof(result->fault), "%s", worker->fault);
        }
        result->mismatched += worker->mismatched;
        result->missing += worker->missing;
        result->stale += worker->stale;
        for (uint32_t kind = 0; kind < BENCH_KIND_COUNT; kind++) {
            bench_histogram_merge(&result->latency[kind], &worker->latency[kind]);
        }
        bench_histogram_merge(&result->service, &worker->service);
        bench_slow_merge(&result->slow, &worker->slow);
    }
    result->cpu_user_ns = user_after - user_before;
    result->cpu_system_ns = system_after - system_before;
    result->duration_ns = bench_clock_ns(&subject->config->clock, end_ticks - begin_ticks);

done:
    free(threads);
    return rc;
}

/* Change record 0 behind the checks' back. */
static int subject_corrupt(struct bench_subject *subject, struct bench_result *result)
{
    const struct bench_cell cell = {.batch = 1, .key_form = subject->key_form};
    size_t bytes = bench_value_bytes(&subject->values, 0);
    struct worker *worker = worker_create(subject, &cell, 1);
    struct bench_slice key;
    struct bench_slice value;
    uint8_t *data;
    int rc;

    if (worker == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    rc = subject->engine->thread_create(subject->db, &worker->thread);
    if (rc != 0) {
        worker_destroy(worker);
        return subject_explain(subject, result, "making a thread handle", rc);
    }
    key = worker_key(worker, 0, 0);
    value = worker_value(worker, 0, 0, 0);
    data = worker->bytes;
    switch (subject->config->corruption) {
    case BENCH_CORRUPT_NOTHING:
        break;
    case BENCH_CORRUPT_OWNER:
        bench_value_fill(&subject->values, data, 1, 0);
        break;
    case BENCH_CORRUPT_EDGE:
        data[bytes - 1] ^= 1u;
        break;
    case BENCH_CORRUPT_MIDDLE:
        data[bytes / 2] ^= 1u;
        break;
    case BENCH_CORRUPT_LENGTH:
        value.bytes = bytes - 1;
        break;
    case BENCH_CORRUPT_MISSING:
        rc = subject->engine->remove(worker->thread, key);
        break;
    case BENCH_CORRUPT_STALE:
        bench_value_fill(&subject->values, data, 0, 77);
        break;
    }
    if (subject->config->corruption != BENCH_CORRUPT_MISSING) {
        rc = subject->engine->put(worker->thread, key, value);
    }
    subject->engine->thread_destroy(&worker->thread);
    worker_destroy(worker);
    return rc != 0 ? subject_explain(subject, result, "corrupting one record", rc) : 0;
}

static void subject_loaded(struct bench_subject *subject)
{
    uint64_t records = subject->config->records;

    atomic_store_explicit(&subject->inserts.next, records, memory_order_relaxed);
    atomic_store_explicit(&subject->inserts.acked, records, memory_order_relaxed);
    subject->live_records = records;
}

/* ---- what goes on beside the workers ------------------------------------------------- */

struct beside {
    struct bench_subject *subject;
    struct worker *const *workers;
    uint32_t count;
    bool watching;
    struct bench_watch watch;
    bool keeping; /* the thread that forces housekeeping runs */
    pthread_t keeper;
    _Atomic uint32_t stop; /* relaxed: the thread is joined afterwards */
    uint64_t rounds;       /* the keeper's */
    int keeper_rc;
};

static uint64_t beside_operations(void *context)
{
    const struct beside *beside = context;
    uint64_t operations = 0;

    for (uint32_t i = 0; i < beside->count; i++) {
        operations +=
            atomic_load_explicit(&beside->workers[i]->progress, memory_order_relaxed);
    }
    return operations;
}

static void *beside_keep(void *argument)
{
    struct beside *beside = argument;

    while (atomic_load_explicit(&beside->stop, memory_order_relaxed) == 0 &&
           beside->keeper_rc == 0) {
        beside->keeper_rc = beside->subject->engine->upkeep(beside->subject->db);
        if (atomic_load_explicit(&beside->stop, memory_order_relaxed) == 0) {
            beside->rounds++;
        }
    }
    return NULL;
}

static int beside_begin(struct beside *beside, const char *workload, uint32_t repeat,
                        bool upkeep, struct bench_result *result)
{
    struct bench_subject *subject = beside->subject;
    const struct bench_config *config = subject->config;

    if (config->watches &&
        bench_watch_start(&beside->watch, subject->engine, subject->db, subject->path,
                          workload, repeat, config->samples, beside_operations,
                          beside) != 0) {
        return subject_complain(subject->engine->name, result,
                                "the samples cannot be taken or written");
    }
    beside->watching = config->watches;
    if (upkeep && subject->engine->upkeep != NULL) {
        if (pthread_create(&beside->keeper, NULL, beside_keep, beside) != 0) {
            return subject_complain(subject->engine->name, result,
                                    "no thread to force upkeep");
        }
        beside->keeping = true;
    }
    bench_probe_measure(config->probe, true);
    return 0;
}

/* Also after a begin that failed. */
static int beside_end(struct beside *beside, struct bench_result *result)
{
    bench_probe_measure(beside->subject->config->probe, false);
    if (beside->watching) {
        bench_watch_stop(&beside->watch);
        result->watch = beside->watch.totals;
    }
    if (beside->keeping) {
        atomic_store_explicit(&beside->stop, 1, memory_order_relaxed);
        pthread_join(beside->keeper, NULL);
        result->upkeep_rounds = beside->rounds;
        if (beside->keeper_rc != 0 && !result->failed) {
            return subject_explain(beside->subject, result, "upkeep", beside->keeper_rc);
        }
    }
    return 0;
}

/* The workers, with what is to go on beside them. */
static int subject_workers_watched(struct bench_subject *subject, struct worker **workers,
                                   uint32_t count, const char *workload, uint32_t repeat,
                                   bool upkeep, struct bench_result *result)
{
    struct beside *beside = calloc(1, sizeof(*beside));
    int rc;
    int end_rc;

    if (beside == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    beside->subject = subject;
    beside->workers = workers;
    beside->count = count;
    rc = beside_begin(beside, workload, repeat, upkeep, result);
    if (rc == 0) {
        rc = subject_workers(subject, workers, count, result);
    }
    end_rc = beside_end(beside, result);
    free(beside);
    return rc != 0 ? rc : end_rc;
}

/* The load is a fill in groups, by at most two threads. */
int bench_subject_load(struct bench_subject *subject, struct bench_result *result)
{
    static const struct bench_workload fill = {
        .name = "load", .summary = "", .work = BENCH_WORK_FILL_SEQUENTIAL};
    const struct bench_config *config = subject->config;
    size_t record_bytes = config->key_bytes + subject_value_bytes(subject);
    struct bench_cell cell = {.workload = &fill, .depth = 1, .batch = 1};
    struct bench_config loading = *config;
    struct worker *workers[DRIVER_LOAD_THREADS_MAX];
    uint32_t cpus = bench_environment_cpus();
    uint64_t read_bytes = 0;
    uint64_t written_before = 0;
    uint64_t written_after = 0;
    bool accounts;
    int rc;

    if (config->existing) {
        subject_loaded(subject);
        return 0;
    }
    if (!subject->loads) {
        return 0;
    }
    loading.rate = 0.0;
    cell.batch = record_bytes >= DRIVER_LOAD_BYTES
                     ? 1
                     : (uint32_t)(DRIVER_LOAD_BYTES / record_bytes);
    cell.batch = cell.batch > DRIVER_LOAD_GROUP_MAX ? DRIVER_LOAD_GROUP_MAX : cell.batch;
    cell.key_form = subject->key_form;
    cell.threads = cpus < DRIVER_LOAD_THREADS_MAX ? cpus : DRIVER_LOAD_THREADS_MAX;
    for (uint32_t i = 0; i < cell.threads; i++) {
        workers[i] = worker_create(subject, &cell, 1);
        if (workers[i] == NULL) {
            while (i > 0) {
                worker_destroy(workers[--i]);
            }
            return subject_complain(subject->engine->name, result,
                                    "no memory for the driver");
        }
        workers[i]->config = &loading;
        workers[i]->index = i;
        workers[i]->count = cell.threads;
        workers[i]->stride = cell.threads;
        workers[i]->operations_max = UINT64_MAX;
    }
    rc = subject->engine->begin(subject->db);
    if (rc != 0) {
        return subject_explain(subject, result, "beginning the load", rc);
    }
    accounts = bench_watch_device(&read_bytes, &written_before);
    rc = subject_workers_watched(subject, workers, cell.threads, fill.name, 0, false,
                                 result);
    for (uint32_t i = 0; i < cell.threads; i++) {
        worker_destroy(workers[i]);
    }
    if (rc != 0) {
        return rc;
    }
    rc = subject->engine->end(subject->db);
    if (rc != 0) {
        return subject_explain(subject, result, "ending the load", rc);
    }
    result->load_records = result->operations;
    result->load_ns = result->duration_ns;
    result->load_cpu_ns = result->cpu_user_ns + result->cpu_system_ns;
    subject_loaded(subject);
    if (config->corruption != BENCH_CORRUPT_NOTHING &&
        subject_corrupt(subject, result) != 0) {
        return -1;
    }
    rc = subject_settle(subject, result);
    if (accounts && bench_watch_device(&read_bytes, &written_after) &&
        written_after > written_before) {
        result->load_written_bytes = written_after - written_before;
    }
    result->load_watch = result->watch;
    result->load_peak_rss_bytes = bench_environment_peak_rss();
    subject_measure(subject, result);
    return rc;
}

/* Read scattered records, in groups, until all were read or the time is over. */
static int subject_warm(struct bench_subject *subject, const struct bench_cell *cell,
                        struct bench_result *result)
{
    const uint64_t records = subject->config->records;
    uint64_t end_ns = bench_clock_monotonic_ns() + subject->config->warmup_ns;
    struct bench_cell warm = {.batch = 64, .key_form = cell->key_form};
    struct worker *worker = worker_create(subject, &warm, 1);
    int rc;

    if (worker == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    rc = subject->engine->thread_create(subject->db, &worker->thread);
    if (rc != 0) {
        worker_destroy(worker);
        return subject_explain(subject, result, "making a thread handle", rc);
    }
    for (uint64_t position = 0; position < records && rc == 0; position += warm.batch) {
        uint32_t count =
            records - position < warm.batch ? (uint32_t)(records - position) : warm.batch;

        for (uint32_t i = 0; i < count; i++) {
            worker->key_slices[i] = worker_key(
                worker, i, bench_walk(position + i, records, subject->config->seed));
        }
        rc = subject->engine->multi_get(worker->thread, worker->key_slices, count,
                                        worker->loans, worker->results);
        if (rc == BENCH_AGAIN) {
            rc = 0;
            continue;
        }
        if (rc == 0) {
            subject->engine->release_many(worker->thread, worker->loans, count);
        }
        if (bench_clock_monotonic_ns() >= end_ns) {
            break;
        }
    }
    subject->engine->thread_destroy(&worker->thread);
    worker_destroy(worker);
    return rc != 0 ? subject_explain(subject, result, "warming up", rc) : 0;
}

static void subject_note_walk(struct bench_subject *subject, const struct bench_cell *cell,
                              struct worker *const *workers)
{
    subject->walked = cell->workload->work;
    subject->walked_threads = cell->threads;
    subject->walked_batch = cell->batch;
    for (uint32_t i = 0; i < cell->threads; i++) {
        subject->walked_groups[i] = workers[i]->groups_done;
    }
}

static void workers_free(struct worker **workers, uint32_t count)
{
    for (uint32_t i = 0; workers != NULL && i < count; i++) {
        worker_destroy(workers[i]);
    }
    free((void *)workers);
}

/* Those of one run; lead: of what precedes it. NULL without memory. */
static struct worker **subject_make_workers(struct bench_subject *subject,
                                            const struct bench_cell *cell, uint32_t count,
                                            uint32_t depth, uint32_t repeat, bool lead)
{
    const struct bench_config *config = subject->config;
    uint64_t total = config->operations != 0 && !lead ? config->operations : UINT64_MAX;
    uint64_t seed = config->seed + (uint64_t)1000003u * repeat + (lead ? 7919u : 0u);
    struct worker **workers = calloc(count, sizeof(struct worker *));

    for (uint32_t i = 0; workers != NULL && i < count; i++) {
        struct worker *worker = worker_create(subject, cell, depth);

        if (worker == NULL) {
            workers_free(workers, count);
            return NULL;
        }
        workers[i] = worker;
        worker->index = i;
        worker->count = cell->threads;
        worker->stride = count;
        worker->version_count = ((uint64_t)repeat << 16) + (lead ? 1u << 15 : 0u);
        worker->writes_only = i >= cell->threads;
        worker->duration_ns = lead                     ? config->lead_ns
                              : cell->duration_ns != 0 ? cell->duration_ns
                                                       : config->duration_ns;
        worker->timed = worker->duration_ns != 0;
        worker->operations_max = total == UINT64_MAX ? UINT64_MAX : total / cell->threads;
        if (total != UINT64_MAX && i < total % cell->threads) {
            worker->operations_max++;
        }
        if (worker->writes_only) {
            worker->operations_max = UINT64_MAX;
        }
        worker->chooser.distribution = cell->distribution;
        worker->chooser.zipf = &subject->zipf;
        bench_random_init(&worker->chooser.random, seed, i);
    }
    return workers;
}

/* The same work, not measured; what it finds wrong counts all the same. */
static int subject_lead(struct bench_subject *subject, const struct bench_cell *cell,
                        uint32_t count, uint32_t depth, uint32_t repeat,
                        struct bench_result *result)
{
    struct worker **workers =
        subject_make_workers(subject, cell, count, depth, repeat, true);
    struct bench_result *scratch = calloc(1, sizeof(*scratch));
    int rc;

    if (workers == NULL || scratch == NULL) {
        rc = subject_complain(subject->engine->name, result, "no memory for the driver");
        goto done;
    }
    atomic_store_explicit(&subject->sharing, cell->threads, memory_order_relaxed);
    rc = subject_workers(subject, workers, count, scratch);
    result->failed = scratch->failed;
    memcpy(result->message, scratch->message, sizeof(result->message));
    memcpy(result->fault, scratch->fault, sizeof(result->fault));
    result->checked += scratch->checked;
    result->mismatched += scratch->mismatched;
    result->missing += scratch->missing;
    result->stale += scratch->stale;

done:
    workers_free(workers, count);
    free(scratch);
    return rc;
}

int bench_subject_run(struct bench_subject *subject, const struct bench_cell *cell,
                      uint32_t repeat, struct bench_result *result)
{
    const struct bench_config *config = subject->config;
    uint32_t count = cell->threads + (cell->workload->extra_writer ? 1u : 0u);
    uint32_t depth = subject->engine->submit != NULL ? cell->depth : 1;
    bool walks = cell->workload->work != BENCH_WORK_MIX &&
                 cell->workload->work != BENCH_WORK_MULTI_GET;
    struct worker **workers;
    bool writes = cell_writes(cell);
    struct bench_tiers before = {0}, after = {0};
    bool counts = subject->engine->tiers != NULL;
    uint64_t read_bytes = 0, written_before = 0, written_after = 0;
    bool accounts;
    int rc = 0;

    if (subject->loads && !subject->warmed && config->warmup_ns > 0) {
        if (subject_warm(subject, cell, result) != 0) {
            return -1;
        }
        subject->warmed = true;
    }
    workers = subject_make_workers(subject, cell, count, depth, repeat, false);
    if (workers == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    if (writes) {
        rc = subject->engine->begin(subject->db);
        if (rc != 0) {
            rc = subject_explain(subject, result, "beginning", rc);
            goto done;
        }
    }
    if (config->lead_ns != 0 && !walks) {
        rc = subject_lead(subject, cell, count, depth, repeat, result);
        if (rc != 0) {
            goto done;
        }
    }
    /* A writer that only accompanies the readers ends with the last of them. */
    atomic_store_explicit(&subject->sharing, cell->threads, memory_order_relaxed);
    bench_environment_reset_peak_rss();
    result->depth = depth;
    accounts = bench_watch_device(&read_bytes, &written_before);
    counts = counts && subject->engine->tiers(subject->db, &before);
    rc = subject_workers_watched(subject, workers, count, cell->workload->name, repeat,
                                 config->upkeep, result);
    if (rc == 0 && counts && subject->engine->tiers(subject->db, &after)) {
        result->tiers_known = 1;
        result->tiers.gets = after.gets - before.gets;
        result->tiers.cold_gets = after.cold_gets - before.cold_gets;
        result->tiers.disk_reads = after.disk_reads - before.disk_reads;
        result->tiers.evictions = after.evictions - before.evictions;
    }
    if (rc == 0 && writes) {
        rc = subject->engine->end(subject->db);
        if (rc != 0) {
            rc = subject_explain(subject, result, "ending", rc);
        }
    }
    if (rc != 0) {
        goto done;
    }
    result->put_bytes =
        (config->key_bytes + subject_value_bytes(subject)) * cell->batch *
        (result->latency[BENCH_PUT].count + result->latency[BENCH_MODIFY].count);
    if (walks) {
        subject_note_walk(subject, cell, workers);
        subject->live_records = cell->workload->work == BENCH_WORK_DELETE_RANDOM
                                    ? config->records - result->operations
                                    : result->operations;
    } else if (cell->workload->insert_percent != 0) {
        subject->live_records = inserts_limit(&subject->inserts);
    }
    if (writes) {
        rc = subject_settle(subject, result);
    }
    if (accounts && bench_watch_device(&read_bytes, &written_after) &&
        written_after > written_before) {
        result->settle_written_bytes = written_after - written_before;
    }
    subject_measure(subject, result);

done:
    workers_free(workers, count);
    return rc;
}

/* Whether position (of a fill or delete) was reached, or id (of anything else) exists. */
static bool subject_reached(const struct bench_subject *subject, uint64_t position)
{
    uint64_t group = position / subject->walked_batch;

    return group / subject->walked_threads <
           subject->walked_groups[group % subject->walked_threads];
}

static void subject_check_position(struct bench_subject *subject, struct worker *worker,
                                   uint64_t position)
{
    uint64_t id = position;
    struct bench_value value;
    bool there = true;
    int rc;

    if (subject->walked_threads != 0) {
        there = subject_reached(subject, position) ==
                (subject->walked != BENCH_WORK_DELETE_RANDOM);
        if (subject->walked != BENCH_WORK_FILL_SEQUENTIAL) {
            id = bench_walk(position, subject->config->records, subject->config->seed);
        }
    }
    if (there) {
        worker_get(worker, id);
        return;
    }
    rc = subject->engine->get(worker->thread, worker_key(worker, 0, id), &value);
    if (rc == BENCH_DONE) {
        subject->engine->release(worker->thread, &value);
        worker_fault(worker, &worker->mismatched, id,
                     subject->walked == BENCH_WORK_DELETE_RANDOM
                         ? "there, but it was deleted"
                         : "there, but it was never written");
    } else if (rc != BENCH_ABSENT) {
        worker_fail(worker, rc, "get");
    } else {
        worker->checked++;
    }
}

int bench_subject_finish(struct bench_subject **out, struct bench_result *result)
{
    struct bench_subject *subject = *out;
    const struct bench_cell cell = {.batch = 1, .key_form = subject->key_form};
    struct worker *worker = worker_create(subject, &cell, 1);
    struct bench_random random;
    uint64_t positions = subject->config->records;
    int rc;

    if (worker == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    bench_random_init(&random, subject->config->seed, 0x76657269u);
    rc = subject->engine->thread_create(subject->db, &worker->thread);
    if (rc != 0) {
        worker_destroy(worker);
        return subject_explain(subject, result, "making a thread handle", rc);
    }
    if (subject->walked_threads == 0) {
        positions = inserts_limit(&subject->inserts);
    }
    if (subject->config->verify_full || positions <= DRIVER_SAMPLE) {
        for (uint64_t i = 0; i < positions && worker->rc == 0; i++) {
            subject_check_position(subject, worker, i);
        }
    } else {
        for (uint64_t i = 0; i < DRIVER_SAMPLE && worker->rc == 0; i++) {
            uint64_t position = i < 100 ? i : bench_random_below(&random, positions);

            subject_check_position(subject, worker, position);
        }
    }
    subject->engine->thread_destroy(&worker->thread);
    result->checked += worker->checked;
    result->mismatched += worker->mismatched;
    result->missing += worker->missing;
    result->stale += worker->stale;
    snprintf(result->fault, sizeof(result->fault), "%s", worker->fault);
    if (worker->rc != 0) {
        rc = subject_explain(subject, result, worker->what, worker->rc);
        worker_destroy(worker);
        return rc;
    }
    worker_destroy(worker);
    rc = subject->engine->close(&subject->db);
    if (rc != 0) {
        snprintf(result->message, sizeof(result->message), "%s: closing failed (%d)",
                 subject->engine->name, rc);
        result->failed = 1;
    }
    subject_free(subject);
    *out = NULL;
    return rc != 0 ? -1 : 0;
}
