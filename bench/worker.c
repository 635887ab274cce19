#include "bench/worker.h"

/*
 * A loop chooses a record, makes its key, calls the engine, checks the bytes that come back, and
 * notes the time, one clock read per operation. Closed loop: the next operation begins when the
 * last has ended. Open loop: it is due at a time that was fixed in advance. Session: so many are in
 * flight. What goes wrong: the engine returns an error, and the worker ends with it; or wrong
 * data, which is counted, and the first of it described.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/manycore/hotset.h"

#define WORKER_SUBMIT_MAX 256u
/* Engines that wait themselves return BENCH_AGAIN after seconds; others get 100 us naps. */
#define WORKER_AGAIN_MAX  100000u
#define WORKER_SILENCE_NS 60000000000u
/* Open loop: sleep until so long before the time, then watch the clock. */
#define WORKER_SPIN_NS 80000u

struct choice {
    enum bench_kind kind;
    uint64_t id;
    bool inserting;
};

/* ---- inserted records ---------------------------------------------------------------- */

uint64_t bench_inserts_limit(struct bench_inserts *inserts)
{
    return atomic_load_explicit(&inserts->acked, memory_order_acquire);
}

static uint64_t inserts_claim(struct bench_inserts *inserts)
{
    return atomic_fetch_add_explicit(&inserts->next, 1, memory_order_relaxed);
}

static void inserts_done(struct bench_inserts *inserts, uint64_t id)
{
    uint64_t acked;

    atomic_store_explicit(&inserts->ring[id & (BENCH_ACK_RING - 1)], id + 1,
                          memory_order_release);
    acked = atomic_load_explicit(&inserts->acked, memory_order_acquire);
    while (atomic_load_explicit(&inserts->ring[acked & (BENCH_ACK_RING - 1)],
                                memory_order_acquire) == acked + 1) {
        if (atomic_compare_exchange_weak_explicit(&inserts->acked, &acked, acked + 1,
                                                  memory_order_acq_rel,
                                                  memory_order_acquire)) {
            acked++;
        }
    }
}

/* ---- one worker's pieces ------------------------------------------------------------- */

static uint64_t worker_ticks(const struct bench_worker *worker)
{
    return bench_clock_ticks(&worker->config->clock);
}

/* An operation that counts from `begin` to `end`, in ticks. */
static void worker_record(struct bench_worker *worker, enum bench_kind kind, uint64_t begin,
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

struct bench_slice bench_worker_key(struct bench_worker *worker, uint32_t place,
                                    uint64_t id)
{
    size_t key_bytes = worker->config->key_bytes;
    uint8_t *key = worker->keys + (size_t)place * key_bytes;
    struct bench_slice slice = {key, key_bytes};

    bench_key_encode(worker->cell->key_form, id, key, key_bytes);
    return slice;
}

struct bench_slice bench_worker_value(struct bench_worker *worker, uint32_t place,
                                      uint64_t id, uint32_t version)
{
    uint8_t *value = worker->bytes + (size_t)place * worker->value_stride;
    struct bench_slice slice = {value, bench_value_bytes(&worker->subject->values, id)};

    bench_value_fill(&worker->subject->values, value, id, version);
    return slice;
}

/* Different in every write of a run, up to its 24 bits. Loaded records have version 0. */
static uint32_t worker_version(struct bench_worker *worker)
{
    uint64_t version = ++worker->version_count * worker->stride + worker->index;

    return (uint32_t)(version & BENCH_VALUE_VERSION_MASK);
}

void bench_worker_fault(struct bench_worker *worker, uint64_t *counter, uint64_t id,
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

static uint32_t worker_expects(const struct bench_worker *worker, uint64_t id)
{
    const uint32_t *expected = worker->subject->expected;

    return expected != NULL && id < worker->config->records ? expected[id]
                                                            : VERSION_UNKNOWN;
}

static void worker_wrote(struct bench_worker *worker, uint64_t id, uint32_t version)
{
    uint32_t *expected = worker->subject->expected;

    if (expected != NULL && id < worker->config->records &&
        expected[id] != VERSION_UNKNOWN) {
        expected[id] = version;
    }
}

static void worker_check(struct bench_worker *worker, uint64_t id, const void *data,
                         size_t bytes, uint32_t expected)
{
    const struct bench_values *values = &worker->subject->values;
    uint32_t version = 0;
    bool right = worker->config->verify_full
                     ? bench_value_check_full(values, data, bytes, id, &version)
                     : bench_value_check(values, data, bytes, id, &version);

    if (!right) {
        bench_worker_fault(worker, &worker->mismatched, id,
                           "the value is not this record's");
    } else if (expected != VERSION_UNKNOWN && version != expected) {
        bench_worker_fault(worker, &worker->stale, id,
                           "the value is not the last one written");
    } else {
        worker->checked++;
    }
}

static void worker_absent(struct bench_worker *worker, uint64_t id)
{
    bench_worker_fault(worker, &worker->missing, id, "absent, but it was written");
}

void bench_worker_fail(struct bench_worker *worker, int rc, const char *what)
{
    if (worker->rc == 0) {
        worker->rc = rc;
        worker->what = what;
    }
}

/* After BENCH_AGAIN: whether to try again. */
static bool worker_again(struct bench_worker *worker, uint32_t *attempts)
{
    struct timespec nap = {0, 100000};

    worker->again++;
    if (++*attempts >= WORKER_AGAIN_MAX) {
        return false;
    }
    nanosleep(&nap, NULL);
    return true;
}

/* Time decides whose records are hot; it is looked at once in 256 choices. */
static void worker_shift(struct bench_worker *worker)
{
    if (worker->choice_count++ % 256 == 0) {
        uint64_t elapsed_ns = bench_clock_ns(&worker->config->clock,
                                             worker_ticks(worker) - worker->begin_ticks);

        worker->hot_shard = (uint32_t)(elapsed_ns / worker->config->shift_ns %
                                       worker->subject->hot->shard_count);
    }
}

static uint64_t worker_choose_id(struct bench_worker *worker, uint64_t limit)
{
    const struct manycore_hotset *hot = worker->subject->hot;

    if (worker->cell->workload->shifts &&
        bench_random_unit(&worker->chooser.random) < worker->config->hot_share) {
        return manycore_hotset_at(hot, worker->hot_shard, &worker->chooser.random);
    }
    return bench_chooser_next(&worker->chooser, limit);
}

static struct choice worker_choose(struct bench_worker *worker)
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
        limit = bench_inserts_limit(&worker->subject->inserts);
    }
    choice.id = worker_choose_id(worker, limit);
    return choice;
}

/* The next record of a fill or a delete. False at the end of this worker's part. */
static bool worker_walk(struct bench_worker *worker, uint32_t member, uint64_t *id)
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

void bench_worker_get(struct bench_worker *worker, uint64_t id)
{
    struct bench_slice key = bench_worker_key(worker, 0, id);
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
        bench_worker_fail(worker, rc, "get");
    }
}

static void worker_put(struct bench_worker *worker, uint64_t id, uint32_t version)
{
    struct bench_slice key = bench_worker_key(worker, 0, id);
    struct bench_slice value = bench_worker_value(worker, 0, id, version);
    uint32_t attempts = 0;
    int rc;

    do {
        rc = worker->engine->put(worker->thread, key, value);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc == BENCH_DONE) {
        worker_wrote(worker, id, version);
    } else {
        bench_worker_fail(worker, rc, "put");
    }
}

struct modification {
    struct bench_worker *worker;
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
    value = bench_worker_value(change->worker, 0, change->id, change->version);
    *new_bytes = value.bytes;
    return value.data;
}

static void worker_modify(struct bench_worker *worker, uint64_t id)
{
    struct modification change = {worker, id, worker_version(worker)};
    struct bench_slice key = bench_worker_key(worker, 0, id);
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
        bench_worker_fail(worker, rc, "read-modify-write");
    }
}

static void worker_remove(struct bench_worker *worker, uint64_t id)
{
    struct bench_slice key = bench_worker_key(worker, 0, id);
    uint32_t attempts = 0;
    int rc;

    do {
        rc = worker->engine->remove(worker->thread, key);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc == BENCH_ABSENT) {
        worker_absent(worker, id);
    } else if (rc != BENCH_DONE) {
        bench_worker_fail(worker, rc, "delete");
    }
}

static void worker_multi_get(struct bench_worker *worker)
{
    uint32_t count = worker->cell->batch;
    uint32_t attempts = 0;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        worker->ids[i] = bench_chooser_next(&worker->chooser, worker->config->records);
        worker->key_slices[i] = bench_worker_key(worker, i, worker->ids[i]);
    }
    do {
        rc = worker->engine->multi_get(worker->thread, worker->key_slices, count,
                                       worker->loans, worker->results);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc != BENCH_DONE) {
        bench_worker_fail(worker, rc, "multi-get");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (worker->results[i] == BENCH_DONE) {
            worker_check(worker, worker->ids[i], worker->loans[i].data,
                         worker->loans[i].bytes, worker_expects(worker, worker->ids[i]));
        } else if (worker->results[i] == BENCH_ABSENT) {
            worker_absent(worker, worker->ids[i]);
        } else {
            bench_worker_fail(worker, worker->results[i], "multi-get");
        }
    }
    worker->engine->release_many(worker->thread, worker->loans, count);
}

/* Several puts as one batch; which records, the caller has put into worker->ids. */
static void worker_batch(struct bench_worker *worker, uint32_t count, bool versioned)
{
    uint32_t attempts = 0;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t version = versioned ? worker_version(worker) : 0;

        worker->key_slices[i] = bench_worker_key(worker, i, worker->ids[i]);
        worker->value_slices[i] = bench_worker_value(worker, i, worker->ids[i], version);
        worker_wrote(worker, worker->ids[i], version);
    }
    do {
        rc = worker->engine->batch(worker->thread, worker->key_slices, worker->value_slices,
                                   count);
    } while (rc == BENCH_AGAIN && worker_again(worker, &attempts));
    if (rc != BENCH_DONE) {
        bench_worker_fail(worker, rc, "batch");
    }
}

/* One call, whatever it is. Returns how many operations it was; 0: this worker has
 * finished. */
static uint32_t worker_step(struct bench_worker *worker, enum bench_kind *kind)
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
            bench_worker_get(worker, choice.id);
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
static bool worker_alone(const struct bench_worker *worker)
{
    return (worker->writes_only &&
            atomic_load_explicit(&worker->subject->sharing, memory_order_relaxed) == 0) ||
           atomic_load_explicit(&worker->subject->enough, memory_order_relaxed) != 0;
}

static uint64_t worker_deadline(const struct bench_worker *worker)
{
    return worker->timed ? worker->begin_ticks + bench_clock_from_ns(&worker->config->clock,
                                                                     worker->duration_ns)
                         : UINT64_MAX;
}

static void worker_loop_closed(struct bench_worker *worker)
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

/* Which step of the rate a moment belongs to. */
static uint32_t worker_step_index(const struct bench_worker *worker, uint64_t due)
{
    uint64_t since_ns =
        due > worker->begin_ticks
            ? bench_clock_ns(&worker->config->clock, due - worker->begin_ticks)
            : 0;
    uint64_t index = (uint64_t)((unsigned __int128)since_ns * worker->config->rate_steps /
                                worker->duration_ns);

    return index < worker->config->rate_steps ? (uint32_t)index
                                              : worker->config->rate_steps - 1;
}

/* Ticks from one due time to the next. */
static uint64_t worker_gap(struct bench_worker *worker, uint64_t due)
{
    double rate =
        worker->config->rate_steps == 0
            ? worker->config->rate
            : bench_config_step_rate(worker->config, worker_step_index(worker, due));
    double mean_ns = 1e9 * (double)worker->count * (double)worker->cell->batch / rate;

    if (worker->config->poisson) {
        mean_ns *= -log(1.0 - bench_random_unit(&worker->chooser.random));
    }
    return bench_clock_from_ns(&worker->config->clock, (uint64_t)mean_ns);
}

static uint64_t worker_first_due(struct bench_worker *worker)
{
    if (worker->config->poisson) {
        return worker->begin_ticks + worker_gap(worker, worker->begin_ticks);
    }
    return worker->begin_ticks +
           worker_gap(worker, worker->begin_ticks) * worker->index / worker->count;
}

static void worker_wait(struct bench_worker *worker, uint64_t due)
{
    uint64_t now = worker_ticks(worker);

    while (now < due) {
        uint64_t left_ns = bench_clock_ns(&worker->config->clock, due - now);

        if (left_ns > WORKER_SPIN_NS) {
            struct timespec nap;

            left_ns -= WORKER_SPIN_NS;
            nap.tv_sec = (time_t)(left_ns / 1000000000u);
            nap.tv_nsec = (long)(left_ns % 1000000000u);
            nanosleep(&nap, NULL);
        }
        now = worker_ticks(worker);
    }
}

static void worker_count_unissued(struct bench_worker *worker, uint64_t due,
                                  uint64_t deadline)
{
    while (due < deadline && worker->timed) {
        worker->unissued += worker->cell->batch;
        due += worker_gap(worker, due) + 1;
    }
}

static void worker_loop_open(struct bench_worker *worker)
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
        if (worker->steps != NULL) {
            bench_histogram_add(&worker->steps[worker_step_index(worker, due)],
                                bench_clock_ns(&worker->config->clock, now - due));
        }
        worker->operations += done;
        due += worker_gap(worker, due);
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

static bool session_choose(struct bench_worker *worker, struct bench_flight *flight)
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

static void session_request(struct bench_worker *worker, uint32_t place,
                            struct bench_request *request)
{
    struct bench_flight *flight = &worker->flights[place];

    request->cookie = place;
    request->key = bench_worker_key(worker, place, flight->id);
    request->value.data = NULL;
    request->value.bytes = 0;
    if (flight->kind == BENCH_DELETE) {
        request->kind = BENCH_REQUEST_DELETE;
    } else if (flight->kind == BENCH_PUT || flight->second_half) {
        flight->version = flight->inserting ? 0 : worker_version(worker);
        request->kind = BENCH_REQUEST_PUT;
        request->value = bench_worker_value(worker, place, flight->id, flight->version);
        /* Requests on one key are carried out in the order of submission. */
        worker_wrote(worker, flight->id, flight->version);
    } else {
        request->kind = BENCH_REQUEST_GET;
        flight->expected = worker_expects(worker, flight->id);
    }
}

/* True when the flight has landed, false when it needs another request. */
static bool session_complete(struct bench_worker *worker, struct bench_flight *flight,
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
        bench_worker_fail(worker, completion->result, bench_kind_name(flight->kind));
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

static void worker_loop_session(struct bench_worker *worker)
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

        while (!ending && free_count > 0 && pending < WORKER_SUBMIT_MAX) {
            uint32_t place = worker->free_flights[free_count - 1];
            struct bench_flight *flight = &worker->flights[place];

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
                due += worker_gap(worker, due);
            }
            session_request(worker, place, &worker->requests[pending++]);
        }
        if (pending > 0) {
            int taken = worker->engine->submit(worker->thread, worker->requests, pending);

            if (taken < 0) {
                bench_worker_fail(worker, taken, "submit");
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
        came = worker->engine->poll(worker->thread, worker->completions, WORKER_SUBMIT_MAX,
                                    timeout_ns);
        now = worker_ticks(worker);
        if (came < 0) {
            bench_worker_fail(worker, came, "poll");
            break;
        }
        if (came > 0) {
            last_news = now;
        } else if (bench_clock_ns(clock, now - last_news) > WORKER_SILENCE_NS) {
            bench_worker_fail(worker, -1, "no completion came for 60 s");
            break;
        }
        for (int i = 0; i < came; i++) {
            struct bench_completion *completion = &worker->completions[i];
            uint32_t place = (uint32_t)completion->cookie;
            struct bench_flight *flight = &worker->flights[place];

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
            if (worker->steps != NULL) {
                bench_histogram_add(&worker->steps[worker_step_index(worker, flight->due)],
                                    bench_clock_ns(clock, now - flight->due));
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

void bench_worker_destroy(struct bench_worker *worker)
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
    free(worker->steps);
    free(worker);
}

struct bench_worker *bench_worker_create(struct bench_subject *subject,
                                         const struct bench_cell *cell, uint32_t depth)
{
    size_t places = depth > cell->batch ? depth : cell->batch;
    struct bench_worker *worker = calloc(1, sizeof(*worker));

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
    worker->requests = calloc(places + WORKER_SUBMIT_MAX, sizeof(*worker->requests));
    worker->completions = calloc(WORKER_SUBMIT_MAX, sizeof(*worker->completions));
    if (subject->config->rate_steps > 0) {
        worker->steps = calloc(subject->config->rate_steps, sizeof(*worker->steps));
    }
    if (worker->keys == NULL || worker->bytes == NULL || worker->key_slices == NULL ||
        worker->value_slices == NULL || worker->loans == NULL || worker->results == NULL ||
        worker->ids == NULL || worker->flights == NULL || worker->free_flights == NULL ||
        worker->requests == NULL || worker->completions == NULL ||
        (subject->config->rate_steps > 0 && worker->steps == NULL)) {
        bench_worker_destroy(worker);
        return NULL;
    }
    return worker;
}

void *bench_worker_main(void *argument)
{
    struct bench_worker *worker = argument;
    int rc = worker->engine->thread_create(worker->subject->db, &worker->thread);

    if (rc != 0) {
        bench_worker_fail(worker, rc, "making a thread handle");
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
