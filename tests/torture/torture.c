/*
 * tests/torture/torture.c - everything at once, for the sanitizers.
 *
 * Real threads write, read, borrow, send batches, keep sessions full, flush, walk and read
 * the metrics, on a few hot keys and on many, with records that expire and tables that grow
 * and shrink. Every value says which key and which writing of it it is and is checked by
 * every reader; a reader never sees an owned key go back in time; at the end each writer's
 * keys hold what it wrote last, before and after the database is opened again. In most rounds
 * there is hardly any room for values in memory, so that they come from disk.
 *
 *     torture [--seed N] [--rounds N] [--milliseconds N] [--threads N] [--limit-s N]
 */
#include "tests/engine/support.h"
#include "tests/engine/tiny.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    THREADS_MAX = 16,
    OWNED = 64,  /* keys with one writer */
    SHARED = 16, /* keys with all writers */
    MANY = 20000,
    DEPTH = 32,
};

struct torture {
    struct warp *db;
    uint32_t thread_count;
    _Atomic bool stop; /* relaxed: nothing depends on when it is seen */
    _Atomic uint64_t operations;
    struct tiny_totals tiny;
    char failure[256];
    _Atomic bool failed;
};

struct worker {
    struct torture *torture;
    uint32_t number;
    struct support_random random;
    uint32_t versions[OWNED]; /* last written; even: deleted */
    uint64_t operations;
};

__attribute__((format(printf, 2, 3))) static void fail(struct torture *torture,
                                                       const char *format, ...)
{
    va_list arguments;

    if (!atomic_exchange(&torture->failed, true)) {
        va_start(arguments, format);
        vsnprintf(torture->failure, sizeof(torture->failure), format, arguments);
        va_end(arguments);
        fprintf(stderr, "torture: %s\n", torture->failure);
    }
    atomic_store_explicit(&torture->stop, true, memory_order_relaxed);
}

/* ---- values that say where they belong ----------------------------------------------- */

struct stamp {
    uint64_t key, version, bytes, sum;
};

static size_t value_make(void *out, uint64_t key, uint64_t version, size_t bytes)
{
    struct stamp stamp = {key, version, bytes, 0};

    stamp.sum = support_mix(key ^ support_mix(version ^ support_mix(bytes)));
    memcpy(out, &stamp, sizeof(stamp));
    support_fill((uint8_t *)out + sizeof(stamp), bytes, stamp.sum);
    return sizeof(stamp) + bytes;
}

/* The version, or 0 and a failure. */
static uint64_t value_check(struct torture *torture, uint64_t key, const void *data,
                            size_t bytes, const char *from)
{
    struct stamp stamp;

    if (bytes < sizeof(stamp)) {
        fail(torture, "%s: key %" PRIx64 ": %zu bytes", from, key, bytes);
        return 0;
    }
    memcpy(&stamp, data, sizeof(stamp));
    if (stamp.key != key || stamp.bytes != bytes - sizeof(stamp) ||
        stamp.sum != support_mix(stamp.key ^
                                 support_mix(stamp.version ^ support_mix(stamp.bytes))) ||
        !support_matches((const uint8_t *)data + sizeof(stamp), stamp.bytes, stamp.sum)) {
        fail(torture, "%s: key %" PRIx64 ": a wrong value of %zu bytes", from, key, bytes);
        return 0;
    }
    return stamp.version;
}

static uint64_t owned_id(uint32_t owner, uint32_t i)
{
    return ((uint64_t)(owner + 1) << 32) | i;
}

static struct warp_slice key_text(uint64_t id, char out[32])
{
    return support_slice(out, (size_t)snprintf(out, 32, "key-%" PRIx64, id));
}

static size_t bytes_random(struct support_random *random)
{
    uint64_t dice = support_random_below(random, 1000);

    return dice < 900   ? support_random_below(random, 200)
           : dice < 990 ? support_random_below(random, 8000)
                        : support_random_below(random, 200000);
}

static bool answered(struct torture *torture, const char *what, int rc, int also)
{
    if (rc != 0 && rc != also && rc != WARP_AGAIN) {
        fail(torture, "%s: %d (%s)", what, rc, warp_error_text(rc));
    }
    return rc == 0;
}

/* ---- the workers --------------------------------------------------------------------- */

static void work_owned(struct worker *worker, uint8_t *buffer)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct torture *torture = worker->torture;
    uint32_t i = (uint32_t)support_random_below(&worker->random, OWNED);
    uint64_t id = owned_id(worker->number, i);
    struct warp_write how = how_init;
    char text[32];
    size_t bytes;
    int rc;

    how.durability = support_random_chance(&worker->random, 50)
                         ? WARP_COMMIT
                         : (uint32_t)support_random_between(&worker->random, 1, 2);
    if (worker->versions[i] % 2 == 1 && support_random_chance(&worker->random, 4)) {
        rc = warp_delete(torture->db, key_text(id, text), &how, NULL);
        if (answered(torture, "delete", rc, 0)) {
            worker->versions[i]++;
        }
        return;
    }
    bytes = value_make(buffer, id, (worker->versions[i] + 1) | 1,
                       bytes_random(&worker->random));
    rc =
        warp_put(torture->db, key_text(id, text), support_slice(buffer, bytes), &how, NULL);
    if (answered(torture, "put", rc, 0)) {
        worker->versions[i] = (worker->versions[i] + 1) | 1;
    }
}

static void work_shared(struct worker *worker, uint8_t *buffer)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct torture *torture = worker->torture;
    uint64_t id = support_random_below(&worker->random, SHARED);
    struct warp_write how = how_init;
    char text[32], number[32];
    size_t bytes;

    how.durability = (uint32_t)support_random_between(&worker->random, 1, 2);
    switch (support_random_below(&worker->random, 5)) {
    case 0:
        answered(torture, "shared delete",
                 warp_delete(torture->db, key_text(id, text), &how, NULL), WARP_ABSENT);
        break;
    case 1:
        how.condition = (uint32_t)support_random_between(&worker->random, 1, 2);
        /* fall through */
    case 2:
        how.ttl_ms = support_random_chance(&worker->random, 2)
                         ? support_random_between(&worker->random, 1, 40)
                         : 0;
        /* fall through */
    case 3:
        bytes = value_make(buffer, id, support_random_next(&worker->random) | 1,
                           bytes_random(&worker->random));
        answered(torture, "shared put",
                 warp_put(torture->db, key_text(id, text), support_slice(buffer, bytes),
                          &how, NULL),
                 WARP_CONFLICT);
        break;
    default:
        snprintf(number, sizeof(number), "number-%" PRIu64, id);
        answered(torture, "add", warp_add(torture->db, support_text(number), 1, &how, NULL),
                 0);
        break;
    }
}

static void *write_main(void *context)
{
    struct worker *worker = context;
    uint8_t *buffer = malloc(1 << 20);

    while (!atomic_load_explicit(&worker->torture->stop, memory_order_relaxed)) {
        if (support_random_chance(&worker->random, 2)) {
            work_owned(worker, buffer);
        } else {
            work_shared(worker, buffer);
        }
        worker->operations++;
    }
    free(buffer);
    return NULL;
}

static void *read_main(void *context)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    struct worker *worker = context;
    struct torture *torture = worker->torture;
    uint64_t(*last)[OWNED] = calloc(THREADS_MAX, sizeof(*last));
    struct warp_value held[16], value;
    uint64_t held_ids[16] = {0};
    uint32_t at = 0, i;
    char text[32];

    for (i = 0; i < 16; i++) {
        held[i] = value_init;
    }
    while (!atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        uint32_t owner =
            (uint32_t)support_random_below(&worker->random, torture->thread_count);
        uint32_t number = (uint32_t)support_random_below(&worker->random, OWNED);
        bool shared = support_random_chance(&worker->random, 3);
        uint64_t id = shared ? support_random_below(&worker->random, SHARED)
                             : owned_id(owner, number);
        int rc = warp_borrow(torture->db, key_text(id, text), &value);

        if (answered(torture, "borrow", rc, WARP_ABSENT)) {
            uint64_t version = value_check(torture, id, value.data, value.bytes, "borrow");

            if (!shared && value.sequence < last[owner][number]) {
                fail(torture, "key %" PRIx64 " went back in time: version %" PRIu64, id,
                     version);
            }
            if (!shared) {
                last[owner][number] = value.sequence;
            }
            if (held[at].data != NULL) {
                value_check(torture, held_ids[at], held[at].data, held[at].bytes, "loan");
            }
            warp_return(&held[at]);
            held[at] = value;
            held_ids[at] = id;
            at = (at + 1) % 16;
        }
        worker->operations++;
    }
    for (i = 0; i < 16; i++) {
        warp_return(&held[i]);
    }
    free(last);
    return NULL;
}

static void *multi_main(void *context)
{
    struct worker *worker = context;
    struct torture *torture = worker->torture;
    struct warp_slice keys[64];
    struct warp_value values[64];
    uint64_t ids[64];
    char texts[64][32];
    int results[64], rc;
    uint32_t i, count;

    while (!atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        count = (uint32_t)support_random_between(&worker->random, 1, 64);
        for (i = 0; i < count; i++) {
            ids[i] =
                support_random_chance(&worker->random, 2)
                    ? owned_id((uint32_t)support_random_below(&worker->random,
                                                              torture->thread_count),
                               (uint32_t)support_random_below(&worker->random, OWNED))
                    : owned_id(100, (uint32_t)support_random_below(&worker->random, MANY));
            keys[i] = key_text(ids[i], texts[i]);
        }
        rc = warp_multi_get(torture->db, keys, count, values, results);
        answered(torture, "multi-get", rc, 0);
        for (i = 0; rc == 0 && i < count; i++) {
            if (answered(torture, "multi-get's key", results[i], WARP_ABSENT)) {
                value_check(torture, ids[i], values[i].data, values[i].bytes, "multi-get");
                warp_return(&values[i]);
            }
        }
        worker->operations += count;
    }
    return NULL;
}

/* Fills and empties a large set of keys by batches, so that tables grow under the readers. */
static void *grow_main(void *context)
{
    struct worker *worker = context;
    struct torture *torture = worker->torture;
    struct warp_batch *batch = NULL;
    uint8_t buffer[512];
    uint32_t at = 0, i, count;
    bool filling = true;
    char text[32];
    int rc = warp_batch_create(torture->db, &batch);

    answered(torture, "batch", rc, 0);
    while (rc == 0 && !atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        count = (uint32_t)support_random_between(&worker->random, 1, 100);
        for (i = 0; i < count && rc == 0; i++) {
            uint64_t id = owned_id(100, at);

            if (filling) {
                size_t bytes =
                    value_make(buffer, id, 1, support_random_below(&worker->random, 64));
                uint64_t ttl_ms = support_random_chance(&worker->random, 4)
                                      ? support_random_between(&worker->random, 1, 100)
                                      : 0;

                rc = warp_batch_put(batch, key_text(id, text), support_slice(buffer, bytes),
                                    ttl_ms);
            } else {
                rc = warp_batch_delete(batch, key_text(id, text));
            }
            at++;
            if (at == MANY) {
                at = 0;
                filling = !filling;
            }
        }
        answered(torture, "batch operation", rc, 0);
        do {
            rc = warp_batch_commit(batch, NULL, NULL);
        } while (rc == WARP_AGAIN);
        answered(torture, "batch commit", rc, 0);
        worker->operations += count;
    }
    warp_batch_destroy(&batch);
    return NULL;
}

static void *session_main(void *context)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct worker *worker = context;
    struct torture *torture = worker->torture;
    struct warp_session *session = NULL;
    struct warp_completion completions[DEPTH];
    struct warp_request request;
    struct place {
        bool busy;
        uint64_t id;
        char text[32];
        uint8_t value[1024];
        struct warp_write how;
    } *places = calloc(DEPTH, sizeof(*places));
    uint32_t in_flight = 0, i, place;
    size_t bytes;
    int rc = warp_session_create(torture->db, DEPTH, &session);

    answered(torture, "session", rc, 0);
    while (rc == 0 && !atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        while (in_flight < DEPTH) {
            for (place = 0; places[place].busy; place++) {
            }
            places[place].id = support_random_below(&worker->random, SHARED);
            places[place].how = how_init;
            places[place].how.durability =
                support_random_chance(&worker->random, 8)
                    ? WARP_COMMIT
                    : (uint32_t)support_random_between(&worker->random, 1, 2);
            request = request_init;
            request.cookie = place;
            request.key = key_text(places[place].id, places[place].text);
            request.how = &places[place].how;
            request.opcode = (uint32_t)support_random_between(&worker->random, 1, 3);
            if (request.opcode == WARP_OP_PUT) {
                bytes = value_make(places[place].value, places[place].id,
                                   support_random_next(&worker->random) | 1,
                                   support_random_below(&worker->random, 900));
                request.value = support_slice(places[place].value, bytes);
            }
            rc = warp_submit(session, &request, 1);
            if (rc != 1) {
                answered(torture, "submit", rc, 0);
                break;
            }
            places[place].busy = true;
            in_flight++;
        }
        rc = warp_poll(session, completions, DEPTH,
                       support_random_chance(&worker->random, 4)
                           ? 100000000
                           : support_random_below(&worker->random, 300000));
        if (rc < 0) {
            answered(torture, "poll", rc, 0);
            break;
        }
        for (i = 0; i < (uint32_t)rc; i++) {
            struct warp_completion *completion = &completions[i];

            place = (uint32_t)completion->cookie;
            if (answered(torture, "completion", completion->result, WARP_ABSENT) &&
                completion->opcode == WARP_OP_GET) {
                value_check(torture, places[place].id, completion->value.data,
                            completion->value.bytes, "session get");
                warp_return(&completion->value);
            }
            places[place].busy = false;
            in_flight--;
            worker->operations++;
        }
        if (support_random_chance(&worker->random, 50)) { /* with requests in flight */
            warp_session_destroy(&session);
            in_flight = 0;
            for (place = 0; place < DEPTH; place++) {
                places[place].busy = false;
            }
            rc = warp_session_create(torture->db, DEPTH, &session);
            answered(torture, "session again", rc, 0);
        } else {
            rc = 0;
        }
    }
    warp_session_destroy(&session);
    free(places);
    return NULL;
}

/* Values and batches larger than a small log buffer, beside all the small ones. */
static void *big_main(void *context)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct worker *worker = context;
    struct torture *torture = worker->torture;
    struct warp_write how = how_init;
    struct warp_batch *batch = NULL;
    uint8_t *buffer = malloc(3 << 20);
    uint64_t id;
    size_t bytes;
    char text[32];
    uint32_t i;
    int rc = warp_batch_create(torture->db, &batch);

    answered(torture, "big batch", rc, 0);
    while (rc == 0 && !atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        how.durability = (uint32_t)support_random_between(&worker->random, 1, 3);
        id = owned_id(200, (uint32_t)support_random_below(&worker->random, 8));
        bytes = value_make(buffer, id, support_random_next(&worker->random) | 1,
                           support_random_below(&worker->random, 2 << 20));
        if (support_random_chance(&worker->random, 2)) {
            rc = warp_put(torture->db, key_text(id, text), support_slice(buffer, bytes),
                          &how, NULL);
            rc = answered(torture, "big put", rc, 0) || rc == WARP_AGAIN ? 0 : rc;
        } else {
            for (i = 0; i < 200 && rc == 0; i++) {
                id = owned_id(201, (uint32_t)support_random_below(&worker->random, 400));
                bytes = value_make(buffer, id, support_random_next(&worker->random) | 1,
                                   support_random_below(&worker->random, 5000));
                rc = warp_batch_put(batch, key_text(id, text), support_slice(buffer, bytes),
                                    0);
            }
            do {
                rc = rc != 0 ? rc : warp_batch_commit(batch, &how, NULL);
            } while (rc == WARP_AGAIN);
            answered(torture, "big batch's commit", rc, 0);
        }
        worker->operations++;
        support_sleep_ns(support_random_below(&worker->random, 20000000));
    }
    warp_batch_destroy(&batch);
    free(buffer);
    return NULL;
}

static int count_visit(void *context, struct warp_slice key, const struct warp_value *value)
{
    struct worker *worker = context;
    char text[32];

    if (key.bytes > 4 && key.bytes < sizeof(text) && memcmp(key.data, "key-", 4) == 0) {
        memcpy(text, key.data, key.bytes);
        text[key.bytes] = '\0';
        value_check(worker->torture, strtoull(text + 4, NULL, 16), value->data,
                    value->bytes, "visit");
    }
    worker->operations++;
    return atomic_load_explicit(&worker->torture->stop, memory_order_relaxed) ? 1 : 0;
}

static void *whole_main(void *context)
{
    struct worker *worker = context;
    struct torture *torture = worker->torture;
    char *buffer = malloc(1 << 20);
    size_t bytes;
    uint64_t count;
    int rc;

    while (!atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        answered(torture, "flush", warp_flush(torture->db), 0);
        rc = warp_metrics_render(torture->db, buffer, 1 << 20, &bytes);
        if (answered(torture, "metrics", rc, 0) && strlen(buffer) != bytes) {
            fail(torture, "metrics: %zu bytes said, %zu there", bytes, strlen(buffer));
        }
        answered(torture, "count", warp_count(torture->db, &count), 0);
        answered(torture, "visit", warp_visit(torture->db, count_visit, worker), 1);
        worker->operations++;
    }
    free(buffer);
    return NULL;
}

/* ---- rounds -------------------------------------------------------------------------- */

static void check_owned(struct torture *torture, struct worker *workers, const char *when)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    struct warp_value value = value_init;
    uint64_t version, id;
    uint32_t i, k;
    char text[32];
    int rc;

    for (i = 0; i < torture->thread_count; i++) {
        for (k = 0; k < OWNED; k++) {
            id = owned_id(i, k);
            rc = warp_borrow(torture->db, key_text(id, text), &value);
            if (workers[i].versions[k] % 2 == 0) {
                if (rc != WARP_ABSENT) {
                    fail(torture, "%s: key %" PRIx64 ": %d, but it was deleted", when, id,
                         rc);
                }
                continue;
            }
            if (!answered(torture, "borrow at the end", rc, 0)) {
                continue;
            }
            version = value_check(torture, id, value.data, value.bytes, when);
            if (version != workers[i].versions[k]) {
                fail(torture, "%s: key %" PRIx64 ": version %" PRIu64 ", last written %u",
                     when, id, version, workers[i].versions[k]);
            }
            warp_return(&value);
        }
    }
}

static int open_database(struct torture *torture, const char *directory,
                         struct support_random *random)
{
    static const struct warp_options options_init = WARP_OPTIONS_INIT;
    struct warp_options options = options_init;
    char message[256] = "";
    int rc;

    options.durability = (uint32_t)support_random_between(random, 1, 3);
    options.shard_count = (uint32_t)support_random_between(random, 1, 4);
    options.log_buffer_bytes = support_random_chance(random, 2) ? 256 << 10 : 0;
    options.io_backend = (uint32_t)support_random_below(random, 2);
    options.segment_bytes = 1 << 20;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = tiny_open(directory, &options, tiny_draw(random, 3), &torture->db);
    if (rc != 0) {
        fail(torture, "open: %d (%s): %s", rc, warp_error_text(rc), message);
    }
    return rc;
}

static bool round_run(struct torture *torture, struct support_random *random,
                      uint64_t milliseconds)
{
    static void *(*const mains[])(void *) = {read_main, multi_main, grow_main, session_main,
                                             big_main,  big_main,   whole_main};
    enum { EXTRA = sizeof(mains) / sizeof(mains[0]) };
    static struct worker workers[THREADS_MAX + EXTRA];
    pthread_t threads[THREADS_MAX + EXTRA];
    char directory[SUPPORT_PATH_BYTES];
    uint64_t until_ns = support_now_ns() + milliseconds * 1000000;
    uint32_t i, count = torture->thread_count + EXTRA;

    support_directory(directory, "torture");
    if (open_database(torture, directory, random) != 0) {
        return false;
    }
    atomic_store(&torture->stop, false);
    memset(workers, 0, sizeof(workers));
    for (i = 0; i < count; i++) {
        workers[i].torture = torture;
        workers[i].number = i;
        workers[i].random.state = support_random_next(random);
        if (pthread_create(&threads[i], NULL,
                           i < torture->thread_count ? write_main
                                                     : mains[i - torture->thread_count],
                           &workers[i]) != 0) {
            support_die("no thread");
        }
    }
    while (support_now_ns() < until_ns &&
           !atomic_load_explicit(&torture->stop, memory_order_relaxed)) {
        support_sleep_ns(5000000);
    }
    atomic_store_explicit(&torture->stop, true, memory_order_relaxed);
    for (i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        torture->operations += workers[i].operations;
    }
    check_owned(torture, workers, "at the end");
    tiny_count(&torture->tiny, torture->db);
    answered(torture, "close", warp_close(&torture->db), 0);
    if (open_database(torture, directory, random) == 0) {
        check_owned(torture, workers, "opened again");
        tiny_count(&torture->tiny, torture->db);
        answered(torture, "close", warp_close(&torture->db), 0);
    }
    if (!atomic_load(&torture->failed)) {
        support_remove(directory);
    }
    return !atomic_load(&torture->failed);
}

int main(int count, char **words)
{
    static const char *const with_value[] = {"--seed",    "--rounds",  "--milliseconds",
                                             "--threads", "--limit-s", NULL};
    static const char *const alone[] = {NULL};
    static struct torture torture;
    struct support_random random;
    uint64_t seed, rounds, milliseconds, i, passed = 0, failed = 0;

    support_flags_known(count, words, with_value, alone);
    seed = support_flag(count, words, "--seed", 1);
    rounds = support_flag(count, words, "--rounds", 3);
    milliseconds = support_flag(count, words, "--milliseconds", 2000);
    torture.thread_count = (uint32_t)support_flag(count, words, "--threads", 3);
    if (torture.thread_count == 0 || torture.thread_count > THREADS_MAX) {
        support_die("1 to %d threads", THREADS_MAX);
    }
    support_limit((unsigned)support_flag(count, words, "--limit-s",
                                         120 + rounds * milliseconds / 100),
                  "torture", seed);
    random.state = support_mix(seed);
    for (i = 0; i < rounds && failed == 0; i++) {
        if (round_run(&torture, &random, milliseconds)) {
            passed++;
        } else {
            failed++;
        }
    }
    printf("torture: seed %" PRIu64 ": %" PRIu64 " operations\n", seed,
           atomic_load(&torture.operations));
    if (failed == 0 && !tiny_report(&torture.tiny, "torture") && rounds >= 3) {
        failed++; /* that was no test of cold values */
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
