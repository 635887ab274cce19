/*
 * tests/crash/crash.c - kills a writer with SIGKILL, recovers, and compares with what it
 * was told.
 *
 * A child opens the database and several threads write: puts and deletes of values from 1
 * byte to 1 MiB, numbers added to, atomic batches over keys of many slots, flushes; half of
 * the threads through sessions. Each intention is noted in shared memory before its call
 * and each acknowledgement after it, so the notes survive the kill and lie outside the
 * database. After a random time the parent kills the child, and a second child recovers the
 * database and checks:
 *
 *   - every value there is, byte for byte, one that was written to that key, with the sequence
 *     its writer was told; there is no key that was not written;
 *   - nothing acknowledged at commit is missing, nor anything before it in the order, nor what
 *     had been acknowledged before a flush that returned;
 *   - at commit (and mixed), where reads are durable, nothing that a reader had seen is missing;
 *   - a batch is there whole or not at all;
 *   - what is lost is a suffix of the one order: some S has everything up to it and nothing
 *     behind it;
 *   - at interval, what is lost was acknowledged at most --bound-ms before the kill (the
 *     product says about 1 ms; the machine that runs this is shared).
 *
 * Some kills hit the opening, some the recovery; some recoveries end without a close.
 *
 * mixed is commit with every seventh write or so at a lower level. control is the test of
 * this test: the writers ask for interval and note commit, which must be found out. all,
 * the default, is control and then a share of the cycles for each of the others.
 *
 *     crash [--cycles N] [--seed N] [--threads N] [--bound-ms N] [--recreate N] [--limit-s N]
 *           [--durability all|commit|mixed|interval|memory|control] [--verbose]
 */
#include "tests/engine/support.h"
#include "tests/engine/tiny.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum {
    THREADS_MAX = 16,
    OWNED_KEYS = 40,  /* per thread, written by it alone */
    BATCH_KEYS = 12,  /* per thread, written by its batches alone */
    HOT_KEYS = 8,     /* written by all */
    COUNTER_KEYS = 4, /* added to by all */
    KEYS_MAX = THREADS_MAX * (OWNED_KEYS + BATCH_KEYS) + HOT_KEYS + COUNTER_KEYS,
    NOTES_MAX = 40000, /* per thread and cycle; then it rests */
    SESSION_DEPTH = 16,
    VALUE_BYTES_MAX = 1 << 20,
    LOG_BYTES_MAX = 96 << 20, /* a larger log is not worth its replay: start again */
};

enum note_kind {
    NOTE_PUT,
    NOTE_DELETE,
    NOTE_ADD,
    NOTE_BATCH_PUT,
    NOTE_BATCH_DELETE,
    NOTE_FLUSH,
    NOTE_SEEN /* a durable read returned this sequence */
};
enum note_state { NOTE_INTENDED, NOTE_ACKNOWLEDGED, NOTE_REFUSED };

struct note {
    uint8_t kind, level;
    _Atomic uint8_t state; /* release after the fields below; acquire by the checker */
    uint32_t key;          /* of a batch: its first key */
    uint32_t bytes;
    uint64_t seed; /* of the value */
    uint64_t begin_ns, acknowledged_ns, sequence;
    int64_t number;
};

/* What a key is known to hold when a cycle begins. */
struct base {
    bool present;
    bool known_absent_sequence;
    uint32_t bytes;
    uint64_t seed, sequence;
    int64_t number;
};

struct shared {
    uint64_t seed;
    uint32_t thread_count, key_count, level, cycle, bound_ms;
    bool control, mixed;
    uint32_t segment_bytes, log_buffer_bytes, shard_count, io_backend, direct_io;
    uint64_t values_bytes_max; /* 0: no limit of the test's */
    struct tiny_totals tiny;   /* of the recoveries */
    bool verbose;
    char directory[SUPPORT_PATH_BYTES];
    struct base base[KEYS_MAX];

    /* By the writing child. */
    _Atomic uint32_t ready, failed;
    char failure[256];
    struct {
        _Atomic uint32_t count; /* release: the note is complete */
        struct note notes[NOTES_MAX];
    } log[THREADS_MAX + 1]; /* the last one in use is the reader's */

    /* By the parent, just before the kill. */
    uint64_t kill_ns;
    uint64_t log_bytes; /* written since the database was made, about */

    /* By the recovering child; valid once verified is set. */
    _Atomic uint32_t verified;
    struct base found[KEYS_MAX];
    uint64_t acknowledged, seen, lost, lost_age_ns, busy_opens, bytes_cut, present,
        batches_found;
};

/* ---- keys and values ----------------------------------------------------------------- */

static uint32_t key_owned(uint32_t thread, uint32_t i)
{
    return thread * (OWNED_KEYS + BATCH_KEYS) + i;
}

static uint32_t key_batch(uint32_t thread, uint32_t i)
{
    return thread * (OWNED_KEYS + BATCH_KEYS) + OWNED_KEYS + i;
}

static uint32_t key_hot(const struct shared *shared, uint32_t i)
{
    return shared->thread_count * (OWNED_KEYS + BATCH_KEYS) + i;
}

static uint32_t key_counter(const struct shared *shared, uint32_t i)
{
    return key_hot(shared, HOT_KEYS) + i;
}

static bool key_is_counter(const struct shared *shared, uint32_t key)
{
    return key >= key_counter(shared, 0);
}

static bool key_is_batch(const struct shared *shared, uint32_t key)
{
    return key < key_hot(shared, 0) && key % (OWNED_KEYS + BATCH_KEYS) >= OWNED_KEYS;
}

/* Keys have lengths from 8 to 200 bytes or so; a few are long. */
static struct warp_slice key_text(uint32_t key, char out[512])
{
    uint64_t dice = support_mix(key + 77);
    size_t bytes = 8 + (dice % 10 == 0 ? dice % 400 : dice % 30);

    memset(out, 'k', bytes);
    snprintf(out, 9, "%08x", key);
    out[8] = 'k';
    return support_slice(out, bytes < 9 ? 9 : bytes);
}

static uint32_t bytes_random(struct support_random *random)
{
    uint64_t dice = support_random_below(random, 1000);

    if (dice < 40) {
        return (uint32_t)support_random_between(random, 1, 8);
    }
    if (dice < 850) {
        return (uint32_t)support_random_between(random, 8, 200);
    }
    if (dice < 970) {
        return (uint32_t)support_random_between(random, 200, 4096);
    }
    if (dice < 998) {
        return (uint32_t)support_random_between(random, 4096, 65536);
    }
    return (uint32_t)support_random_between(random, 65536, VALUE_BYTES_MAX);
}

/* Each key of a batch has a value of its own, but all from the batch's one seed. */
static uint64_t batch_seed(uint64_t seed, uint32_t i)
{
    return support_mix(seed + i * 1000003u);
}

static uint32_t batch_bytes(uint64_t seed, uint32_t i)
{
    return 16 + (uint32_t)(batch_seed(seed, i) % 300);
}

static int open_database(const struct shared *shared, struct warp **db,
                         uint64_t *busy_opens, char *message, size_t message_bytes)
{
    static const struct warp_options options_init = WARP_OPTIONS_INIT;
    struct warp_options options = options_init;
    uint64_t until_ns = support_now_ns() + 5000000000u;
    int rc;

    options.durability = shared->level;
    options.segment_bytes = shared->segment_bytes;
    options.log_buffer_bytes = shared->log_buffer_bytes;
    options.shard_count = shared->shard_count;
    options.io_backend = shared->io_backend;
    options.direct_io = shared->direct_io;
    options.message = message;
    options.message_bytes = message_bytes;
    for (;;) {
        rc = tiny_open(shared->directory, &options, shared->values_bytes_max, db);
        if (rc != WARP_EBUSY || support_now_ns() > until_ns) {
            return rc;
        }
        *busy_opens += 1; /* the kernel has not let go of the dead process's files yet */
        support_sleep_ns(1000000);
    }
}

/* ---- the writer ---------------------------------------------------------------------- */

struct writer {
    struct shared *shared;
    struct warp *db;
    uint32_t thread;
    struct support_random random;
    struct warp_session *session; /* NULL: blocking calls */
    uint32_t in_flight;
    struct {
        bool busy;
        struct note *note;
        char key[512];
        uint8_t *value;
        struct warp_write how;
    } places[SESSION_DEPTH];
};

/* What the call asks for; the note may claim more when this is the test of the test. */
static uint32_t writer_asks(const struct writer *writer, const struct note *note)
{
    return writer->shared->control ? WARP_INTERVAL : note->level;
}

static void writer_failed(struct shared *shared, const char *what, int rc)
{
    if (atomic_exchange(&shared->failed, 1) == 0) {
        snprintf(shared->failure, sizeof(shared->failure), "%s: %d (%s)", what, rc,
                 warp_error_text(rc));
    }
    _exit(5);
}

static struct note *writer_note(struct writer *writer, enum note_kind kind, uint32_t key)
{
    uint32_t count = atomic_load_explicit(&writer->shared->log[writer->thread].count,
                                          memory_order_relaxed);
    struct note *note = &writer->shared->log[writer->thread].notes[count];
    uint64_t dice = support_random_below(&writer->random, 100);

    note->kind = (uint8_t)kind;
    note->level = (uint8_t)writer->shared->level;
    if (writer->shared->level != WARP_COMMIT && dice < 4) {
        note->level = dice < 2 ? WARP_COMMIT : WARP_MEMORY;
    } else if (writer->shared->mixed && dice < 15) {
        note->level = dice < 10 ? WARP_INTERVAL : WARP_MEMORY;
    }
    note->key = key;
    note->bytes = bytes_random(&writer->random);
    note->seed = support_random_next(&writer->random);
    note->begin_ns = support_now_ns();
    note->sequence = 0;
    note->number = 0;
    atomic_store_explicit(&note->state, NOTE_INTENDED, memory_order_relaxed);
    atomic_store_explicit(&writer->shared->log[writer->thread].count, count + 1,
                          memory_order_release);
    return note;
}

static void writer_answered(struct writer *writer, struct note *note, int rc,
                            uint64_t sequence, int64_t number)
{
    note->acknowledged_ns = support_now_ns();
    note->sequence = sequence;
    note->number = number;
    if (rc == 0) {
        atomic_store_explicit(&note->state, NOTE_ACKNOWLEDGED, memory_order_release);
    } else if (rc == WARP_AGAIN || (rc == WARP_ABSENT && note->kind == NOTE_DELETE)) {
        atomic_store_explicit(&note->state, NOTE_REFUSED, memory_order_release);
    } else {
        writer_failed(writer->shared, "a write", rc);
    }
}

static void writer_poll(struct writer *writer, uint64_t timeout_ns)
{
    struct warp_completion completions[SESSION_DEPTH];
    int count = warp_poll(writer->session, completions, SESSION_DEPTH, timeout_ns), i;

    if (count < 0) {
        writer_failed(writer->shared, "poll", count);
    }
    for (i = 0; i < count; i++) {
        uint64_t place = completions[i].cookie;

        writer_answered(writer, writer->places[place].note, completions[i].result,
                        completions[i].sequence, completions[i].number);
        free(writer->places[place].value);
        writer->places[place].busy = false;
        writer->in_flight--;
    }
}

static void writer_submit(struct writer *writer, enum note_kind kind, uint32_t key)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct warp_request request = request_init;
    uint32_t place;
    int rc;

    while (writer->in_flight == SESSION_DEPTH) {
        writer_poll(writer, UINT64_MAX);
    }
    for (place = 0; writer->places[place].busy; place++) {
    }
    writer->places[place].note = writer_note(writer, kind, key);
    writer->places[place].value = NULL;
    writer->places[place].how = how_init;
    writer->places[place].how.durability = writer_asks(writer, writer->places[place].note);
    request.cookie = place;
    request.key = key_text(key, writer->places[place].key);
    request.how = &writer->places[place].how;
    request.delta = 1;
    request.opcode = kind == NOTE_PUT      ? WARP_OP_PUT
                     : kind == NOTE_DELETE ? WARP_OP_DELETE
                                           : WARP_OP_ADD;
    if (kind == NOTE_PUT) {
        writer->places[place].value = malloc(writer->places[place].note->bytes);
        support_fill(writer->places[place].value, writer->places[place].note->bytes,
                     writer->places[place].note->seed);
        request.value =
            support_slice(writer->places[place].value, writer->places[place].note->bytes);
    }
    for (;;) {
        rc = warp_submit(writer->session, &request, 1);
        if (rc == 1) {
            break;
        }
        if (rc < 0) {
            writer_failed(writer->shared, "submit", rc);
        }
        writer_poll(writer, 1000000);
    }
    writer->places[place].busy = true;
    writer->in_flight++;
    if (support_random_chance(&writer->random, 3)) {
        writer_poll(writer, 0);
    }
}

static void writer_call(struct writer *writer, enum note_kind kind, uint32_t key)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct warp_write how = how_init;
    struct note *note = writer_note(writer, kind, key);
    struct warp_slice slice;
    uint64_t sequence = 0;
    int64_t number = 0;
    uint8_t *value;
    char text[512];
    int rc;

    slice = key_text(key, text);
    how.durability = writer_asks(writer, note);
    if (kind == NOTE_PUT) {
        value = malloc(note->bytes);
        support_fill(value, note->bytes, note->seed);
        rc =
            warp_put(writer->db, slice, support_slice(value, note->bytes), &how, &sequence);
        free(value);
    } else if (kind == NOTE_DELETE) {
        rc = warp_delete(writer->db, slice, &how, &sequence);
    } else {
        rc = warp_add(writer->db, slice, 1, &how, &number);
    }
    writer_answered(writer, note, rc, sequence, number);
}

static void writer_batch(struct writer *writer, enum note_kind kind)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct warp_write how = how_init;
    struct warp_batch *batch = NULL;
    struct note *note = writer_note(writer, kind, key_batch(writer->thread, 0));
    uint64_t sequence = 0;
    uint8_t value[1024];
    char text[512];
    uint32_t i;
    int rc;

    rc = warp_batch_create(writer->db, &batch);
    for (i = 0; i < BATCH_KEYS && rc == 0; i++) {
        struct warp_slice key = key_text(key_batch(writer->thread, i), text);

        if (kind == NOTE_BATCH_DELETE) {
            rc = warp_batch_delete(batch, key);
        } else {
            support_fill(value, batch_bytes(note->seed, i), batch_seed(note->seed, i));
            rc = warp_batch_put(batch, key,
                                support_slice(value, batch_bytes(note->seed, i)), 0);
        }
    }
    if (rc == 0) {
        how.durability = writer_asks(writer, note);
        rc = warp_batch_commit(batch, &how, &sequence);
    }
    writer_answered(writer, note, rc, sequence, 0);
    warp_batch_destroy(&batch);
}

static void writer_flush(struct writer *writer)
{
    struct note *note = writer_note(writer, NOTE_FLUSH, 0);
    int rc = warp_flush(writer->db);

    writer_answered(writer, note, rc, 0, 0);
}

static void *writer_main(void *context)
{
    struct writer *writer = context;
    struct shared *shared = writer->shared;
    uint32_t key;
    int rc;

    if (writer->thread % 2 == 1) {
        rc = warp_session_create(writer->db, SESSION_DEPTH, &writer->session);
        if (rc != 0) {
            writer_failed(shared, "session", rc);
        }
    }
    for (;;) {
        uint64_t dice = support_random_below(&writer->random, 100);
        enum note_kind kind = NOTE_PUT;

        if (atomic_load_explicit(&shared->log[writer->thread].count,
                                 memory_order_relaxed) >= NOTES_MAX - 2) {
            if (writer->session != NULL && writer->in_flight > 0) {
                writer_poll(writer, UINT64_MAX);
            }
            support_sleep_ns(1000000);
            continue;
        }
        if (support_random_chance(&writer->random, 300)) {
            support_sleep_ns(support_random_below(&writer->random, 1000000));
        }
        if (dice < 10) {
            writer_batch(writer, dice == 0 ? NOTE_BATCH_DELETE : NOTE_BATCH_PUT);
            continue;
        }
        if (dice < 11) {
            if (support_random_chance(&writer->random, 4)) {
                writer_flush(writer);
            }
            continue;
        }
        if (dice < 80) {
            key = key_owned(writer->thread,
                            (uint32_t)support_random_below(&writer->random, OWNED_KEYS));
        } else if (dice < 92) {
            key =
                key_hot(shared, (uint32_t)support_random_below(&writer->random, HOT_KEYS));
        } else {
            key = key_counter(
                shared, (uint32_t)support_random_below(&writer->random, COUNTER_KEYS));
            kind = NOTE_ADD;
        }
        if (kind == NOTE_PUT && support_random_chance(&writer->random, 6)) {
            kind = NOTE_DELETE;
        }
        if (writer->session != NULL) {
            writer_submit(writer, kind, key);
        } else {
            writer_call(writer, kind, key);
        }
    }
    return NULL;
}

/* Reads what the others write; where reads are durable, what it has seen must not go away. */
static void *reader_main(void *context)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    struct writer *reader = context;
    struct shared *shared = reader->shared;
    struct warp_value value = value_init;
    char text[512];

    for (;;) {
        uint32_t key = (uint32_t)support_random_below(&reader->random, shared->key_count);
        struct note *note;
        int rc;

        if (atomic_load_explicit(&shared->log[reader->thread].count,
                                 memory_order_relaxed) >= NOTES_MAX - 2) {
            support_sleep_ns(1000000);
            continue;
        }
        rc = warp_borrow(reader->db, key_text(key, text), &value);
        if (rc == 0) {
            note = writer_note(reader, NOTE_SEEN, key);
            note->level = WARP_COMMIT;
            writer_answered(reader, note, 0, value.sequence, 0);
            warp_return(&value);
        } else if (rc != WARP_ABSENT) {
            writer_failed(shared, "a read", rc);
        }
        support_sleep_ns(support_random_below(&reader->random, 100000));
    }
    return NULL;
}

__attribute__((noreturn)) static void write_until_killed(struct shared *shared)
{
    static struct writer writers[THREADS_MAX + 1];
    struct warp *db = NULL;
    char message[256] = "", text[400];
    uint64_t busy_opens = 0;
    pthread_t thread;
    uint32_t i;
    int rc;

    alarm(60);
    rc = open_database(shared, &db, &busy_opens, message, sizeof(message));
    if (rc != 0) {
        snprintf(text, sizeof(text), "open to write: %s", message);
        writer_failed(shared, text, rc);
    }
    for (i = 0; i < shared->thread_count + (shared->level == WARP_COMMIT); i++) {
        writers[i].shared = shared;
        writers[i].db = db;
        writers[i].thread = i;
        writers[i].random.state = support_mix(shared->seed + shared->cycle * 1000003u + i);
        if (pthread_create(&thread, NULL,
                           i < shared->thread_count ? writer_main : reader_main,
                           &writers[i]) != 0) {
            writer_failed(shared, "thread", 0);
        }
    }
    atomic_store_explicit(&shared->ready, 1, memory_order_release);
    for (;;) {
        pause();
    }
}

/* ---- the check ----------------------------------------------------------------------- */

/* One write to one key, as the notes tell it. */
struct event {
    struct note *note;
    uint32_t thread, index; /* of the note */
    uint8_t state;
    bool puts;
    uint64_t sequence; /* 0: not known */
};

struct history { /* of one key */
    struct event *events;
    uint32_t count, capacity;
};

struct check {
    struct shared *shared;
    struct warp *db;
    struct history histories[KEYS_MAX];
    uint64_t durable_sequence; /* everything up to it must be there */
    uint64_t flushed_ns;       /* everything acknowledged before it must be there */
    struct bound {             /* S must be in [from, to) of every key */
        uint64_t at;
        int change;
    } * bounds;
    uint32_t bound_count, bound_capacity;
    uint32_t visited;
};

__attribute__((format(printf, 2, 3), noreturn)) static void wrong(const struct check *check,
                                                                  const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "crash: seed %" PRIu64 ", cycle %u: ", check->shared->seed,
            check->shared->cycle);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    _exit(1);
}

static void history_add(struct check *check, uint32_t key, struct event event)
{
    struct history *history = &check->histories[key];

    if (history->count == history->capacity) {
        history->capacity = history->capacity * 2 + 16;
        history->events =
            realloc(history->events, history->capacity * sizeof(history->events[0]));
        if (history->events == NULL) {
            support_die("no memory");
        }
    }
    history->events[history->count++] = event;
}

static int compare_event(const void *a, const void *b)
{
    const struct event *left = a, *right = b;

    /* Unknown sequences last. */
    return left->sequence - 1 < right->sequence - 1
               ? -1
               : left->sequence - 1 > right->sequence - 1;
}

static void check_collect(struct check *check)
{
    struct shared *shared = check->shared;
    uint32_t thread, i, k, count;

    for (thread = 0; thread <= shared->thread_count; thread++) {
        count = atomic_load_explicit(&shared->log[thread].count, memory_order_acquire);
        for (i = 0; i < count; i++) {
            struct note *note = &shared->log[thread].notes[i];
            struct event event = {note, thread, i, 0, false, 0};

            event.state = atomic_load_explicit(&note->state, memory_order_acquire);
            if (event.state == NOTE_REFUSED) {
                continue;
            }
            if (event.state == NOTE_ACKNOWLEDGED) {
                event.sequence = note->sequence;
                shared->acknowledged += note->kind < NOTE_FLUSH;
                shared->seen += note->kind == NOTE_SEEN;
                if (note->level == WARP_COMMIT &&
                    note->sequence > check->durable_sequence) {
                    check->durable_sequence = note->sequence;
                }
            }
            switch ((enum note_kind)note->kind) {
            case NOTE_SEEN:
                break; /* it has raised durable_sequence */
            case NOTE_FLUSH:
                if (event.state == NOTE_ACKNOWLEDGED &&
                    note->begin_ns > check->flushed_ns) {
                    check->flushed_ns = note->begin_ns;
                }
                break;
            case NOTE_PUT:
            case NOTE_ADD:
            case NOTE_DELETE:
                event.puts = note->kind != NOTE_DELETE;
                history_add(check, note->key, event);
                break;
            case NOTE_BATCH_PUT:
            case NOTE_BATCH_DELETE:
                event.puts = note->kind == NOTE_BATCH_PUT;
                for (k = 0; k < BATCH_KEYS; k++) {
                    history_add(check, note->key + k, event);
                }
                break;
            }
        }
    }
    for (i = 0; i < shared->key_count; i++) {
        if (check->histories[i].count > 0) {
            qsort(check->histories[i].events, check->histories[i].count,
                  sizeof(struct event), compare_event);
        }
    }
}

static bool event_required(const struct check *check, const struct event *event)
{
    return event->state == NOTE_ACKNOWLEDGED &&
           (event->note->level == WARP_COMMIT ||
            (event->sequence != 0 && event->sequence <= check->durable_sequence) ||
            event->note->acknowledged_ns < check->flushed_ns);
}

static void check_bound(struct check *check, uint64_t from, uint64_t to)
{
    if (check->bound_count + 2 > check->bound_capacity) {
        check->bound_capacity = check->bound_capacity * 2 + 64;
        check->bounds =
            realloc(check->bounds, check->bound_capacity * sizeof(check->bounds[0]));
        if (check->bounds == NULL) {
            support_die("no memory");
        }
    }
    if (from < to) {
        check->bounds[check->bound_count].at = from;
        check->bounds[check->bound_count++].change = 1;
        check->bounds[check->bound_count].at = to;
        check->bounds[check->bound_count++].change = -1;
    }
}

/* The next known write of the key behind `sequence`, not counting one note. */
static uint64_t history_next(const struct history *history, uint64_t sequence,
                             const struct note *but)
{
    uint32_t i;

    for (i = 0; i < history->count && history->events[i].sequence != 0; i++) {
        if (history->events[i].sequence > sequence && history->events[i].note != but) {
            return history->events[i].sequence;
        }
    }
    return UINT64_MAX;
}

static bool value_is(const struct check *check, uint32_t key, const struct event *event,
                     const struct warp_value *value)
{
    uint32_t i;

    if (!event->puts) {
        return false;
    }
    if (key_is_batch(check->shared, key)) {
        i = key - event->note->key;
        return value->bytes == batch_bytes(event->note->seed, i) &&
               support_matches(value->data, value->bytes, batch_seed(event->note->seed, i));
    }
    return value->bytes == event->note->bytes &&
           support_matches(value->data, value->bytes, event->note->seed);
}

static void check_counter(struct check *check, uint32_t key, const struct warp_value *value)
{
    struct base *base = &check->shared->base[key], *found = &check->shared->found[key];
    struct history *history = &check->histories[key];
    uint64_t from = 0, to = UINT64_MAX;
    int64_t number = 0, least = base->number;
    char text[32], *end = text;
    uint32_t i;

    if (value != NULL) {
        if (value->bytes == 0 || value->bytes >= sizeof(text)) {
            wrong(check, "counter %u has %zu bytes", key, value->bytes);
        }
        memcpy(text, value->data, value->bytes);
        text[value->bytes] = '\0';
        number = strtoll(text, &end, 10);
        if (*end != '\0') {
            wrong(check, "counter %u is no number: %s", key, text);
        }
        from = value->sequence;
    }
    for (i = 0; i < history->count; i++) {
        struct event *event = &history->events[i];

        if (event->state != NOTE_ACKNOWLEDGED) {
            continue;
        }
        if (event_required(check, event) && event->note->number > least) {
            least = event->note->number;
        }
        if (event->sequence != 0 && event->note->number <= number &&
            event->sequence > from) {
            from = event->sequence;
        }
        if (event->sequence != 0 && event->note->number > number && event->sequence < to) {
            to = event->sequence;
        }
    }
    if (number < least || number > base->number + (int64_t)history->count) {
        wrong(check,
              "counter %u is %" PRId64 "; at least %" PRId64 " was acknowledged for good, "
              "%" PRId64 " and %u additions were intended",
              key, number, least, base->number, history->count);
    }
    check_bound(check, from, to);
    found->present = value != NULL;
    found->number = number;
    found->sequence = value == NULL ? 0 : value->sequence;
}

/* Find out which write the value is from; NULL: the one from before this cycle. */
static const struct event *check_match(struct check *check, uint32_t key,
                                       const struct warp_value *value)
{
    const struct base *base = &check->shared->base[key];
    const struct history *history = &check->histories[key];
    const struct event *match = NULL;
    uint32_t i;

    if (base->present && base->sequence == value->sequence) {
        if (base->bytes != value->bytes ||
            !support_matches(value->data, value->bytes, base->seed)) {
            wrong(check, "key %u: the value from before the writer has changed", key);
        }
        return NULL;
    }
    for (i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];

        if (value_is(check, key, event, value) &&
            (match == NULL || event->sequence == value->sequence)) {
            match = event;
        }
        if (match != NULL && match->sequence == value->sequence) {
            break;
        }
    }
    if (match == NULL) {
        wrong(check,
              "key %u has a value of %zu bytes with sequence %" PRIu64
              " that was never written to it (before: %s, sequence %" PRIu64 ", %u bytes)",
              key, value->bytes, value->sequence, base->present ? "present" : "absent",
              base->sequence, base->bytes);
    }
    if (match->sequence != 0 &&
        (key_is_batch(check->shared, key) ? match->sequence < value->sequence
                                          : match->sequence != value->sequence)) {
        wrong(check,
              "key %u: the write was told sequence %" PRIu64 ", the record has %" PRIu64,
              key, match->sequence, value->sequence);
    }
    return match;
}

static void check_present(struct check *check, uint32_t key, const struct warp_value *value)
{
    const struct event *match = check_match(check, key, value);
    const struct history *history = &check->histories[key];
    struct base *found = &check->shared->found[key];
    uint64_t from = value->sequence;
    uint32_t i;

    if (match != NULL && match->sequence > from) {
        from = match->sequence; /* a batch's is that of its last write */
    }
    for (i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];

        if (event_required(check, event) && event->sequence > from) {
            wrong(check,
                  "key %u: a %s acknowledged for good (level %u, sequence %" PRIu64
                  ", %.3f ms before the kill) is missing; found sequence %" PRIu64,
                  key, event->puts ? "write" : "delete", event->note->level,
                  event->sequence,
                  ((double)check->shared->kill_ns - (double)event->note->acknowledged_ns) /
                      1e6,
                  value->sequence);
        }
    }
    check_bound(check, from,
                history_next(history, from, match == NULL ? NULL : match->note));
    if (match == NULL) {
        *found = check->shared->base[key];
        return;
    }
    found->present = true;
    found->bytes = (uint32_t)value->bytes;
    found->sequence = value->sequence;
    found->seed = key_is_batch(check->shared, key)
                      ? batch_seed(match->note->seed, key - match->note->key)
                      : match->note->seed;
}

static void check_absent(struct check *check, uint32_t key)
{
    const struct base *base = &check->shared->base[key];
    const struct history *history = &check->histories[key];
    const struct event *newest = NULL; /* of those that must be there */
    uint64_t from = 0;
    bool could = false, absent = !base->present;
    uint32_t i;

    memset(&check->shared->found[key], 0, sizeof(struct base));
    for (i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];

        if (event->state == NOTE_ACKNOWLEDGED && event_required(check, event)) {
            newest = event;
        }
    }
    could = newest == NULL ? !base->present : !newest->puts;
    for (i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];

        if (!event->puts && (event->sequence == 0 || newest == NULL ||
                             event->sequence >= newest->sequence)) {
            could = true;
        }
    }
    if (!could) {
        wrong(check,
              "key %u is missing: it was %s (sequence %" PRIu64 ", level %u) and no delete "
              "followed",
              key, newest == NULL ? "there before the writer" : "acknowledged for good",
              newest == NULL ? base->sequence : newest->sequence,
              newest == NULL ? 0 : newest->note->level);
    }
    for (i = 0; i < history->count; i++) {
        if (!history->events[i].puts && history->events[i].sequence == 0) {
            check_bound(check, base->sequence, UINT64_MAX); /* anywhere from here on */
            return;
        }
    }
    for (i = 0; i < history->count && history->events[i].sequence != 0; i++) {
        if (absent) {
            check_bound(check, from, history->events[i].sequence);
        }
        absent = !history->events[i].puts;
        from = history->events[i].sequence;
    }
    if (absent) {
        check_bound(check, from, UINT64_MAX);
    }
}

static int compare_bound(const void *a, const void *b)
{
    const struct bound *left = a, *right = b;

    if (left->at != right->at) {
        return left->at < right->at ? -1 : 1;
    }
    return left->change - right->change; /* ends before beginnings */
}

/* Is there one S in an interval of every key? Returns the first sequence that may be lost. */
static uint64_t check_suffix(struct check *check)
{
    int covered = 0, most = 0;
    uint64_t first_lost = 0, most_at = 0;
    bool found = false;
    uint32_t i;

    qsort(check->bounds, check->bound_count, sizeof(check->bounds[0]), compare_bound);
    for (i = 0; i < check->bound_count; i++) {
        if (check->bounds[i].change < 0 && covered == (int)check->shared->key_count) {
            first_lost = check->bounds[i].at;
            found = true;
        }
        covered += check->bounds[i].change;
        if (covered > most) {
            most = covered;
            most_at = check->bounds[i].at;
        }
    }
    if (!found) {
        wrong(
            check,
            "what is lost is not a suffix: no point of the order explains more than %d of "
            "%u keys (around sequence %" PRIu64 ")",
            most, check->shared->key_count, most_at);
    }
    return first_lost;
}

static void check_lost(struct check *check, uint64_t first_lost)
{
    struct shared *shared = check->shared;
    uint32_t thread, i, count;

    for (thread = 0; thread < shared->thread_count; thread++) {
        count = atomic_load_explicit(&shared->log[thread].count, memory_order_relaxed);
        for (i = 0; i < count; i++) {
            struct note *note = &shared->log[thread].notes[i];
            uint64_t age_ns;

            if (atomic_load_explicit(&note->state, memory_order_relaxed) !=
                    NOTE_ACKNOWLEDGED ||
                note->sequence < first_lost || note->kind == NOTE_FLUSH) {
                continue;
            }
            shared->lost++;
            if (note->acknowledged_ns >= shared->kill_ns || note->level == WARP_MEMORY) {
                continue;
            }
            age_ns = shared->kill_ns - note->acknowledged_ns;
            if (age_ns > shared->lost_age_ns) {
                shared->lost_age_ns = age_ns;
            }
            if (note->level == WARP_COMMIT) {
                wrong(check, "a write acknowledged at commit is lost: sequence %" PRIu64,
                      note->sequence);
            }
            if (age_ns > (uint64_t)shared->bound_ms * 1000000) {
                wrong(check,
                      "a write acknowledged %.3f ms before the kill is lost (sequence "
                      "%" PRIu64 "); the bound is %u ms",
                      (double)age_ns / 1e6, note->sequence, shared->bound_ms);
            }
        }
    }
}

/* All keys of a thread's group must be from one batch. */
static void check_batches(struct check *check, const uint64_t *stamps)
{
    uint32_t thread, i;

    for (thread = 0; thread < check->shared->thread_count; thread++) {
        for (i = 1; i < BATCH_KEYS; i++) {
            if (stamps[key_batch(thread, i)] != stamps[key_batch(thread, 0)]) {
                wrong(check,
                      "half a batch: of thread %u, key 0 is from %" PRIx64
                      " and key %u from %" PRIx64,
                      thread, stamps[key_batch(thread, 0)], i,
                      stamps[key_batch(thread, i)]);
            }
        }
        check->shared->batches_found += stamps[key_batch(thread, 0)] != 0;
    }
}

static int check_visit(void *context, struct warp_slice key, const struct warp_value *value)
{
    struct check *check = context;
    char number[9] = "", text[512];
    struct warp_slice expected;
    uint32_t index;

    (void)value;
    memcpy(number, key.data, key.bytes < 8 ? key.bytes : 8);
    index = (uint32_t)strtoul(number, NULL, 16);
    expected = key_text(index, text);
    if (index >= check->shared->key_count || expected.bytes != key.bytes ||
        memcmp(expected.data, key.data, key.bytes) != 0) {
        wrong(check, "there is a key that was never written: %zu bytes, %.8s", key.bytes,
              number);
    }
    check->visited++;
    return 0;
}

/* Which batch a recovered key is from: the number of its note, or its base's sequence class. */
static uint64_t check_stamp(struct check *check, uint32_t key,
                            const struct warp_value *value)
{
    const struct history *history = &check->histories[key];
    uint32_t i;

    for (i = 0; i < history->count; i++) {
        if (value_is(check, key, &history->events[i], value)) {
            return history->events[i].note->seed;
        }
    }
    return 1; /* from before this cycle, where all were from one batch */
}

__attribute__((noreturn)) static void recover_and_check(struct shared *shared)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    static const struct warp_recovery recovery_init = WARP_RECOVERY_INIT;
    static struct check check;
    static uint64_t stamps[KEYS_MAX];
    struct warp_recovery recovery = recovery_init;
    struct warp_value value = value_init;
    char message[512] = "", text[512];
    uint64_t count = 0;
    uint32_t key, present = 0;
    int rc;

    alarm(60);
    check.shared = shared;
    rc = open_database(shared, &check.db, &shared->busy_opens, message, sizeof(message));
    if (rc != 0) {
        wrong(&check, "recovery: %d (%s): %s", rc, warp_error_text(rc), message);
    }
    rc = warp_recovery_info(check.db, &recovery);
    if (rc != 0) {
        wrong(&check, "recovery info: %d", rc);
    }
    shared->bytes_cut += recovery.bytes_cut;
    check_collect(&check);
    for (key = 0; key < shared->key_count; key++) {
        rc = warp_borrow(check.db, key_text(key, text), &value);
        if (rc != 0 && rc != WARP_ABSENT) {
            wrong(&check, "key %u: %d (%s)", key, rc, warp_error_text(rc));
        }
        if (key_is_counter(shared, key)) {
            check_counter(&check, key, rc == 0 ? &value : NULL);
        } else if (rc == 0) {
            check_present(&check, key, &value);
        } else {
            check_absent(&check, key);
        }
        if (rc == 0) {
            present++;
            if (key_is_batch(shared, key)) {
                stamps[key] = check_stamp(&check, key, &value);
            }
            warp_return(&value);
        }
    }
    check_batches(&check, stamps);
    check_lost(&check, check_suffix(&check));
    rc = warp_visit(check.db, check_visit, &check);
    if (rc != 0 || check.visited != present) {
        wrong(&check, "visit: %d, %u records, %u keys found", rc, check.visited, present);
    }
    rc = warp_count(check.db, &count);
    if (rc != 0 || count != present || recovery.records != present) {
        wrong(&check, "count %" PRIu64 ", recovered records %" PRIu64 ", %u keys found",
              count, recovery.records, present);
    }
    shared->present = present;
    tiny_count(&shared->tiny, check.db);
    atomic_store_explicit(&shared->verified, 1, memory_order_release);
    if (support_mix(shared->seed + shared->cycle) % 2 == 0) {
        rc = warp_close(&check.db);
        if (rc != 0) {
            wrong(&check, "close: %d", rc);
        }
    }
    _exit(0);
}

/* ---- the parent ---------------------------------------------------------------------- */

static pid_t start(struct shared *shared, void (*child)(struct shared *))
{
    pid_t pid;

    fflush(stdout);
    fflush(stderr);
    pid = fork();
    if (pid < 0) {
        support_die("cannot fork: %s", strerror(errno));
    }
    if (pid == 0) {
        child(shared);
        _exit(6);
    }
    return pid;
}

static void start_write(struct shared *shared)
{
    write_until_killed(shared);
}

static void start_check(struct shared *shared)
{
    recover_and_check(shared);
}

static bool write_and_kill(struct shared *shared, struct support_random *random)
{
    bool early = support_random_chance(random, 10);
    uint64_t until_ns;
    uint32_t i, k;
    pid_t pid;
    int status;

    atomic_store(&shared->ready, 0);
    atomic_store(&shared->failed, 0);
    for (i = 0; i <= shared->thread_count; i++) {
        atomic_store(&shared->log[i].count, 0);
    }
    pid = start(shared, start_write);
    if (early) {
        support_sleep_ns(support_random_below(random, 15000000));
    } else {
        until_ns = support_now_ns() + 60000000000u;
        while (atomic_load_explicit(&shared->ready, memory_order_acquire) == 0 &&
               atomic_load(&shared->failed) == 0 && support_now_ns() < until_ns) {
            support_sleep_ns(100000);
        }
        support_sleep_ns(support_random_between(random, 1000000, 80000000));
    }
    shared->kill_ns = support_now_ns();
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid) {
        support_die("waitpid: %s", strerror(errno));
    }
    for (i = 0; i < shared->thread_count; i++) {
        for (k = 0; k < atomic_load(&shared->log[i].count); k++) {
            shared->log_bytes += shared->log[i].notes[k].bytes;
        }
    }
    if (atomic_load(&shared->failed) != 0) {
        fprintf(stderr, "crash: seed %" PRIu64 ", cycle %u: the writer failed: %s\n",
                shared->seed, shared->cycle, shared->failure);
        return false;
    }
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fprintf(stderr, "crash: seed %" PRIu64 ", cycle %u: the writer ended with %s %d\n",
                shared->seed, shared->cycle, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return false;
    }
    return true;
}

static bool recover(struct shared *shared, struct support_random *random)
{
    uint64_t acknowledged = shared->acknowledged, lost = shared->lost, seen = shared->seen;
    uint64_t batches_found = shared->batches_found, bytes_cut = shared->bytes_cut;
    uint32_t tries = support_random_chance(random, 8)
                         ? (uint32_t)support_random_between(random, 1, 3)
                         : 0;
    pid_t pid;
    int status;

    atomic_store(&shared->verified, 0);
    while (tries-- > 0) { /* kill the recovery, too */
        pid = start(shared, start_check);
        support_sleep_ns(support_random_below(random, 12000000));
        kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) != pid) {
            support_die("waitpid: %s", strerror(errno));
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
            return false;
        }
        shared->acknowledged = acknowledged;
        shared->lost = lost;
        shared->seen = seen;
        shared->batches_found = batches_found;
        shared->bytes_cut = bytes_cut;
    }
    atomic_store(&shared->verified, 0);
    pid = start(shared, start_check);
    if (waitpid(pid, &status, 0) != pid) {
        support_die("waitpid: %s", strerror(errno));
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        if (WIFSIGNALED(status)) {
            fprintf(stderr,
                    "crash: seed %" PRIu64 ", cycle %u: the recovery died of signal %d\n",
                    shared->seed, shared->cycle, WTERMSIG(status));
        }
        return false;
    }
    if (atomic_load(&shared->verified) != 1) {
        return false;
    }
    memcpy(shared->base, shared->found, sizeof(shared->base));
    return true;
}

static void renew(struct shared *shared, struct support_random *random)
{
    support_remove(shared->directory);
    memset(shared->base, 0, sizeof(shared->base));
    shared->log_bytes = 0;
    shared->segment_bytes = 1u << support_random_between(random, 20, 23);
    shared->log_buffer_bytes =
        support_random_chance(random, 2) ? 0 : 1u << support_random_between(random, 18, 22);
    shared->shard_count = (uint32_t)support_random_below(random, 5);
    shared->io_backend = (uint32_t)support_random_below(random, 2);
    shared->direct_io = support_random_chance(random, 2) ? 2 : 0;
    shared->values_bytes_max = tiny_draw(random, 4);
}

/* One kind of run: so many kills at one level. Returns how many failed, at most one. */
static uint64_t run(struct shared *shared, const char *name, uint64_t cycles,
                    uint64_t recreate, uint64_t *passed)
{
    struct support_random random = {support_mix(shared->seed)};
    uint64_t begun_ns = support_now_ns(), failed = 0;

    shared->control = strcmp(name, "control") == 0;
    shared->mixed = strcmp(name, "mixed") == 0;
    shared->level = strcmp(name, "memory") == 0     ? WARP_MEMORY
                    : strcmp(name, "interval") == 0 ? WARP_INTERVAL
                                                    : WARP_COMMIT;
    shared->acknowledged = shared->seen = shared->lost = shared->lost_age_ns = 0;
    shared->busy_opens = shared->bytes_cut = 0;
    support_directory(shared->directory, "crash");
    for (shared->cycle = 0; shared->cycle < cycles && failed == 0; shared->cycle++) {
        if (shared->cycle % recreate == 0 || shared->log_bytes > LOG_BYTES_MAX) {
            renew(shared, &random);
        }
        if (write_and_kill(shared, &random) && recover(shared, &random)) {
            *passed += !shared->control;
        } else {
            failed++;
        }
        if (shared->verbose) {
            fprintf(stderr,
                    "cycle %u: %" PRIu64 " records, %" PRIu64 " acknowledged so far\n",
                    shared->cycle, shared->present, shared->acknowledged);
        }
    }
    if (shared->control) {
        support_remove(shared->directory);
        printf("control: a false word about the level was %s after %u kills\n",
               failed != 0 ? "found out" : "NOT found out", shared->cycle);
        *passed += failed;
        return failed != 0 ? 0 : 1;
    }
    if (failed == 0) {
        support_remove(shared->directory);
    } else {
        fprintf(stderr,
                "  options: shards %u, segment %u, log buffer %u, backend %u, direct %u; "
                "database kept in %s\n",
                shared->shard_count, shared->segment_bytes, shared->log_buffer_bytes,
                shared->io_backend, shared->direct_io, shared->directory);
    }
    printf("crash: seed %" PRIu64 ", %s, %u threads: %u kills in %.1f s, %" PRIu64
           " writes acknowledged, %" PRIu64 " seen by readers; lost %" PRIu64
           ", the oldest acknowledged %.3f ms before the kill; cut %" PRIu64
           " bytes of unfinished log; %" PRIu64 " opens met the dead writer's lock\n",
           shared->seed, name, shared->thread_count, shared->cycle,
           (double)(support_now_ns() - begun_ns) / 1e9, shared->acknowledged, shared->seen,
           shared->lost, (double)shared->lost_age_ns / 1e6, shared->bytes_cut,
           shared->busy_opens);
    return failed;
}

int main(int count, char **words)
{
    static const char *const with_value[] = {"--cycles",  "--seed",     "--durability",
                                             "--threads", "--bound-ms", "--recreate",
                                             "--limit-s", NULL};
    static const char *const alone[] = {"--verbose", NULL};
    static const char *const names[] = {"commit", "mixed", "interval", "memory", "control"};
    static const uint64_t shares[] = {12, 6, 8, 4}; /* of 30 cycles, when all are run */
    struct shared *shared;
    const char *level;
    uint64_t cycles, recreate, passed = 0, failed = 0;
    uint32_t i;

    support_flags_known(count, words, with_value, alone);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        support_die("no memory");
    }
    shared->seed = support_flag(count, words, "--seed", 1);
    shared->thread_count = (uint32_t)support_flag(count, words, "--threads", 4);
    shared->bound_ms = (uint32_t)support_flag(count, words, "--bound-ms", 100);
    shared->verbose = support_flag_given(count, words, "--verbose");
    shared->key_count = key_counter(shared, COUNTER_KEYS);
    cycles = support_flag(count, words, "--cycles", 30);
    recreate = support_flag(count, words, "--recreate", 50);
    level = support_flag_text(count, words, "--durability", "all");
    if (shared->thread_count == 0 || shared->thread_count > THREADS_MAX || recreate == 0) {
        support_die("1 to %d threads; --recreate is not 0", THREADS_MAX);
    }
    support_limit((unsigned)support_flag(count, words, "--limit-s", 100 + cycles * 4),
                  "crash", shared->seed);
    for (i = 0; i < 5 && strcmp(names[i], level) != 0; i++) {
    }
    if (i < 5) {
        failed = run(shared, level, cycles, recreate, &passed);
    } else if (strcmp(level, "all") == 0) {
        failed = run(shared, "control", 20, recreate, &passed);
        for (i = 0; i < 4 && failed == 0; i++) {
            failed =
                run(shared, names[i], (cycles * shares[i] + 29) / 30, recreate, &passed);
        }
    } else {
        support_die("--durability is all, commit, mixed, interval, memory or control");
    }
    if (failed == 0 && !tiny_report(&shared->tiny, "crash") && cycles >= 30) {
        failed++; /* that was no test of cold values */
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
