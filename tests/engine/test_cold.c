/*
 * Values beyond memory: a database much larger than memory_bytes_max gives everything back, by
 * every call there is, keeps its limit meanwhile, and opens again within it.
 */
#include "tests/engine/fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "engine/engine.h"

enum {
    KEYS = 6500,
    HOT_KEYS = 300,
    FILL_KEYS = 1500,
    DEPTH = 16,
    GROUP = 8,
    LIMIT_BYTES = 16 << 20,
    VALUE_BYTES_MAX = 1 << 20,
};

/* ---- keys and values ----------------------------------------------------------------- */

static struct warp_slice cold_key(uint32_t key, char text[32])
{
    return support_slice(text, (size_t)snprintf(text, 32, "cold-%u", key));
}

static uint64_t cold_seed(uint32_t key, uint64_t version)
{
    return support_mix(key * UINT64_C(1000003) + version * UINT64_C(77777777));
}

/* From 1 byte to 1 MiB, most of them small, most bytes in big ones. */
static size_t cold_bytes(uint32_t key, uint64_t version)
{
    struct support_random random = {cold_seed(key, version)};
    uint64_t dice = support_random_below(&random, 100);

    return dice < 60   ? support_random_between(&random, 1, 200)
           : dice < 85 ? support_random_between(&random, 200, 4096)
           : dice < 95 ? support_random_between(&random, 4096, 65536)
                       : support_random_between(&random, 65536, VALUE_BYTES_MAX);
}

static int cold_put(struct warp *db, uint32_t key, uint64_t version, uint8_t *buffer)
{
    size_t bytes = cold_bytes(key, version);
    char text[32];

    support_fill(buffer, bytes, cold_seed(key, version));
    return warp_put(db, cold_key(key, text), support_slice(buffer, bytes), NULL, NULL);
}

static bool cold_is(uint32_t key, uint64_t version, const void *data, size_t bytes)
{
    return bytes == cold_bytes(key, version) &&
           support_matches(data, bytes, cold_seed(key, version));
}

/* ---- what memory does meanwhile ------------------------------------------------------ */

struct sampler {
    struct warp *db;
    pthread_t thread;
    uint64_t limit;
    _Atomic bool stop;
    uint64_t most, samples;
};

static void *sampler_main(void *context)
{
    struct sampler *sampler = context;

    while (!atomic_load(&sampler->stop)) {
        uint64_t bytes = warp_memory_bytes(&sampler->db->memory) + sizeof(*sampler->db);

        sampler->most = bytes > sampler->most ? bytes : sampler->most;
        sampler->samples++;
        support_sleep_ns(500000);
    }
    return NULL;
}

/* So many values are out at a time: they come on top, each as a copy that is lent and in the buffer
 * it was read to. */
static void sampler_start(struct sampler *sampler, struct warp *db, uint32_t out)
{
    memset(sampler, 0, sizeof(*sampler));
    sampler->db = db;
    sampler->limit = LIMIT_BYTES + out * UINT64_C(2) * (VALUE_BYTES_MAX + 65536);
    check_int(pthread_create(&sampler->thread, NULL, sampler_main, sampler), ==, 0);
}

static void sampler_end(struct sampler *sampler, const char *what)
{
    atomic_store(&sampler->stop, true);
    pthread_join(sampler->thread, NULL);
    if (fixture_verbose()) {
        printf("    %s: at most %.2f MiB of %.2f in %" PRIu64 " samples\n", what,
               (double)sampler->most / 1048576, (double)LIMIT_BYTES / 1048576,
               sampler->samples);
    }
    if (sampler->most > sampler->limit) {
        test_fail(__FILE__, __LINE__, "%s: %" PRIu64 " bytes, %" PRIu64 " too many", what,
                  sampler->most, sampler->most - sampler->limit);
    }
}

/* Of the whole process, in KiB. */
static uint64_t peak_rss(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t kib = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = strtoull(line + 6, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib;
}

/* Where a peak of memory is checked, what tests before had must not count: run this one once more, in
 * a process of its own. True: that was done. */
static bool run_alone(const char *name)
{
    int status = -1;
    pid_t child;

    if (getenv("WARP_TEST_ALONE") != NULL) {
        return false;
    }
    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        (void)setenv("WARP_TEST_ALONE", "1", 1);
        (void)execl("/proc/self/exe", "engine", name, (char *)NULL);
        _exit(127);
    }
    check(child > 0 && waitpid(child, &status, 0) == child);
    check_int(status, ==, 0);
    return true;
}

/* ---- every way to read --------------------------------------------------------------- */

static void read_by_get(struct warp *db, uint64_t version)
{
    uint8_t *buffer = malloc(VALUE_BYTES_MAX);
    char text[32];
    size_t bytes;
    uint32_t i;

    for (i = 0; i < KEYS; i++) {
        bytes = 0;
        if (!check_int(
                warp_get(db, cold_key(i, text), buffer, VALUE_BYTES_MAX, &bytes, NULL), ==,
                0) ||
            !check(cold_is(i, version, buffer, bytes))) {
            break;
        }
        if (i % 500 == 0 && bytes > 1) {
            size_t needed = 0;

            check_int(warp_get(db, cold_key(i, text), buffer, 1, &needed, NULL), ==,
                      WARP_TRUNCATED);
            check_u64(needed, ==, bytes);
        }
    }
    free(buffer);
}

static void read_by_borrow(struct warp *db, uint64_t version)
{
    struct warp_value value = WARP_VALUE_INIT;
    char text[32];
    uint32_t i;

    for (i = KEYS; i-- > 0;) {
        if (!check_int(warp_borrow(db, cold_key(i, text), &value), ==, 0) ||
            !check(cold_is(i, version, value.data, value.bytes))) {
            break;
        }
        warp_return(&value);
    }
}

static void read_by_multi_get(struct warp *db, uint64_t version)
{
    struct warp_slice keys[GROUP + 1];
    struct warp_value values[GROUP + 1];
    int results[GROUP + 1];
    char texts[GROUP + 1][32];
    uint32_t i, k;

    for (i = 0; i + GROUP <= KEYS; i += GROUP) {
        for (k = 0; k < GROUP; k++) {
            keys[k] = cold_key(i + k, texts[k]);
        }
        keys[GROUP] = support_text("not there");
        if (!check_int(warp_multi_get(db, keys, GROUP + 1, values, results), ==, 0)) {
            break;
        }
        for (k = 0; k < GROUP; k++) {
            check_int(results[k], ==, 0);
            check(cold_is(i + k, version, values[k].data, values[k].bytes));
            warp_return(&values[k]);
        }
        check_int(results[GROUP], ==, WARP_ABSENT);
    }
}

/* With the descriptor poll is called only when epoll says so, and then without waiting. */
static void read_by_session(struct warp *db, uint64_t version, bool by_descriptor)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct warp_session *session = NULL;
    struct warp_request requests[DEPTH];
    struct warp_completion completions[DEPTH];
    char texts[KEYS][32];
    uint32_t next = 0, done = 0, in_flight = 0, i;
    uint64_t until_ns = support_now_ns() + 60000000000u;
    int epoll = epoll_create1(EPOLL_CLOEXEC), rc;
    struct epoll_event event = {.events = EPOLLIN}, ready;

    check_int(warp_session_create(db, DEPTH, &session), ==, 0);
    if (by_descriptor) {
        check_int(epoll_ctl(epoll, EPOLL_CTL_ADD, warp_session_fd(session), &event), ==, 0);
    }
    while (done < KEYS && support_now_ns() < until_ns) {
        uint32_t count = 0;

        while (in_flight + count < DEPTH && next < KEYS) {
            requests[count] = request_init;
            requests[count].opcode = WARP_OP_GET;
            requests[count].cookie = next;
            requests[count].key = cold_key(next, texts[next]);
            count++;
            next++;
        }
        if (count > 0) {
            rc = warp_submit(session, requests, count);
            if (!check_int(rc, ==, (int)count)) {
                break;
            }
            in_flight += count;
        }
        if (by_descriptor) {
            rc = epoll_wait(epoll, &ready, 1, 5000);
            if (!check_int(rc, ==, 1)) {
                break; /* a wake-up was lost */
            }
            rc = warp_poll(session, completions, DEPTH, 0);
        } else {
            rc = warp_poll(session, completions, DEPTH, UINT64_MAX);
            check_int(rc, >, 0);
        }
        for (i = 0; rc > 0 && i < (uint32_t)rc; i++) {
            check_int(completions[i].result, ==, 0);
            check(cold_is((uint32_t)completions[i].cookie, version,
                          completions[i].value.data, completions[i].value.bytes));
            check_u64(completions[i].sequence, ==, completions[i].value.sequence);
            warp_return(&completions[i].value);
            in_flight--;
            done++;
        }
    }
    check_u64(done, ==, KEYS);
    warp_session_destroy(&session);
    close(epoll);
}

struct visit_state {
    uint64_t version, seen;
    bool right;
};

static int visit_one(void *context, struct warp_slice key, const struct warp_value *value)
{
    struct visit_state *state = context;
    char text[32] = "";

    memcpy(text, key.data, key.bytes < 31 ? key.bytes : 31);
    state->right = state->right && cold_is((uint32_t)strtoul(text + 5, NULL, 10),
                                           state->version, value->data, value->bytes);
    state->seen++;
    return 0;
}

static void read_by_visit(struct warp *db, uint64_t version)
{
    struct visit_state state = {version, 0, true};

    check_int(warp_visit(db, visit_one, &state), ==, 0);
    check_u64(state.seen, ==, KEYS);
    check(state.right);
}

static void read_all(struct warp *db, uint64_t version)
{
    struct sampler sampler;

    sampler_start(&sampler, db, 1);
    read_by_get(db, version);
    sampler_end(&sampler, "get");
    sampler_start(&sampler, db, 1);
    read_by_borrow(db, version);
    sampler_end(&sampler, "borrow");
    sampler_start(&sampler, db, GROUP);
    read_by_multi_get(db, version);
    sampler_end(&sampler, "multi_get");
    sampler_start(&sampler, db, DEPTH);
    read_by_session(db, version, false);
    sampler_end(&sampler, "session");
    sampler_start(&sampler, db, DEPTH);
    read_by_session(db, version, true);
    sampler_end(&sampler, "session by epoll");
    sampler_start(&sampler, db, 1);
    read_by_visit(db, version);
    sampler_end(&sampler, "visit");
}

static struct warp_options cold_options(void)
{
    struct warp_options options = fixture_options();

    options.memory_bytes_max = LIMIT_BYTES;
    options.segment_bytes = 8 << 20;
    options.log_buffer_bytes = 1 << 20;
    return options;
}

WARP_TEST(cold, thirteen_times_memory_comes_back_by_every_call)
{
    struct warp_options options = cold_options();
    const char *directory;
    uint8_t *buffer;
    struct warp *db;
    struct sampler sampler;
    uint64_t bytes = 0, rss;
    uint32_t i;

    if (run_alone("cold.thirteen_times_memory_comes_back_by_every_call")) {
        return;
    }
    directory = test_directory();
    buffer = malloc(VALUE_BYTES_MAX);
    db = fixture_open(directory, &options);
    if (db == NULL) {
        free(buffer);
        return;
    }
    sampler_start(&sampler, db, 0);
    for (i = 0; i < KEYS; i++) {
        bytes += cold_bytes(i, 0);
        if (!check_int(cold_put(db, i, 0, buffer), ==, 0)) {
            break;
        }
    }
    sampler_end(&sampler, "load");
    check_u64(bytes, >, 190u << 20);
    check(fixture_metric(db, "warp_cold_records") > KEYS / 2);
    read_all(db, 0);
    check(fixture_metric(db, "warp_cold_gets_total") > KEYS);
    check(fixture_metric(db, "warp_disk_read_errors_total") <= 0);
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    if (db != NULL) {
        sampler_start(&sampler, db, 1);
        read_by_get(db, 0);
        read_by_visit(db, 0);
        sampler_end(&sampler, "opened again");
        check_int(warp_close(&db), ==, 0);
    }
    rss = peak_rss();
    printf("    %.0f MiB of values in %.0f MiB: peak RSS %.1f MiB\n",
           (double)bytes / 1048576, (double)LIMIT_BYTES / 1048576, (double)rss / 1024);
    if (!SUPPORT_SANITIZED) {
        /* Beside the engine's: the program, stacks, the C library's caches, the test's buffers. */
        check_u64(rss, <, (LIMIT_BYTES >> 10) + (16u << 10));
    }
    free(buffer);
}

/* Opened with a room for values so small that nearly all are cold. */
static struct warp *open_tiny(const char *directory, uint64_t values_bytes_max)
{
    struct warp_options options = fixture_options();
    struct warp_env env;
    struct warp *db = NULL;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = values_bytes_max;
    check_int(warp_engine_open(directory, &options, &env, &db), ==, 0);
    return db;
}

/* Put "k" and let its value leave memory. */
static uint64_t put_cold(struct warp *db, const char *value, uint64_t ttl_ms)
{
    struct warp_write how = WARP_WRITE_INIT;
    uint64_t sequence = 0, until_ns = support_now_ns() + 5000000000u;
    uint32_t i = 0;
    char key[32];

    how.durability = WARP_COMMIT;
    how.ttl_ms = ttl_ms;
    check_int(warp_put(db, support_text("k"), support_text(value), &how, &sequence), ==, 0);
    do {
        snprintf(key, sizeof(key), "other-%u", i++ % 200);
        check_int(warp_put(db, support_text(key), support_text("........"), NULL, NULL), ==,
                  0);
    } while (fixture_metric(db, "warp_cold_records") <
                 fixture_metric(db, "warp_records") - 20 &&
             support_now_ns() < until_ns);
    for (i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "more-%u", i);
        check_int(warp_put(db, support_text(key), support_text("........"), NULL, NULL), ==,
                  0);
    }
    return sequence;
}

enum way { WAY_CALL, WAY_SESSION, WAY_COUNT };

static int write_by(struct warp *db, enum way way, uint32_t opcode, const char *value,
                    int64_t delta, const struct warp_write *how, int64_t *number)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct warp_session *session = NULL;
    struct warp_request request = request_init;
    struct warp_completion completion;
    int rc;

    if (way == WAY_CALL) {
        return opcode == WARP_OP_PUT
                   ? warp_put(db, support_text("k"), support_text(value), how, NULL)
               : opcode == WARP_OP_DELETE
                   ? warp_delete(db, support_text("k"), how, NULL)
                   : warp_add(db, support_text("k"), delta, how, number);
    }
    check_int(warp_session_create(db, 4, &session), ==, 0);
    request.opcode = opcode;
    request.key = support_text("k");
    request.value = support_text(value);
    request.delta = delta;
    request.how = how;
    check_int(warp_submit(session, &request, 1), ==, 1);
    check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
    rc = completion.result;
    if (number != NULL) {
        *number = completion.number;
    }
    warp_session_destroy(&session);
    return rc;
}

WARP_TEST(cold, conditions_and_adds_see_values_on_disk)
{
    struct warp *db = open_tiny(test_directory(), 256);
    enum way way;
    char text[256];
    double cold;

    for (way = WAY_CALL; db != NULL && way < WAY_COUNT; way++) {
        struct warp_write how = WARP_WRITE_INIT;
        int64_t number = 0;
        uint64_t sequence;

        cold = fixture_metric(db, "warp_disk_reads_total");
        put_cold(db, "41", 0);
        check_int(write_by(db, way, WARP_OP_ADD, "", 1, NULL, &number), ==, 0);
        check_int(number, ==, 42);
        check_str(fixture_get(db, "k", text), "42");

        put_cold(db, "no number", 0);
        check_int(write_by(db, way, WARP_OP_ADD, "", 1, NULL, &number), ==, WARP_ENUMBER);

        how.condition = WARP_IF_VALUE;
        how.if_value = support_text("no nummer");
        check_int(write_by(db, way, WARP_OP_PUT, "new", 0, &how, NULL), ==, WARP_CONFLICT);
        put_cold(db, "old", 0);
        how.if_value = support_text("old");
        check_int(write_by(db, way, WARP_OP_PUT, "new", 0, &how, NULL), ==, 0);
        check_str(fixture_get(db, "k", text), "new");

        put_cold(db, "old", 0);
        how.if_value = support_text("olf");
        check_int(write_by(db, way, WARP_OP_DELETE, "", 0, &how, NULL), ==, WARP_CONFLICT);
        check_str(fixture_get(db, "k", text), "old");
        put_cold(db, "old", 0);
        how.if_value = support_text("old");
        check_int(write_by(db, way, WARP_OP_DELETE, "", 0, &how, NULL), ==, 0);
        check_str(fixture_get(db, "k", text), "(absent)");

        sequence = put_cold(db, "old", 0);
        how.condition = WARP_IF_SEQUENCE;
        how.if_sequence = sequence + 8;
        check_int(write_by(db, way, WARP_OP_PUT, "new", 0, &how, NULL), ==, WARP_CONFLICT);
        how.if_sequence = sequence;
        check_int(write_by(db, way, WARP_OP_PUT, "new", 0, &how, NULL), ==, 0);

        put_cold(db, "old", 0);
        how.condition = WARP_IF_ABSENT;
        check_int(write_by(db, way, WARP_OP_PUT, "new", 0, &how, NULL), ==, WARP_CONFLICT);
        how.condition = WARP_IF_PRESENT;
        check_int(write_by(db, way, WARP_OP_PUT, "new", 0, &how, NULL), ==, 0);
        check_str(fixture_get(db, "k", text), "new");
        check(fixture_metric(db, "warp_disk_reads_total") > cold);
    }
    if (db != NULL) {
        check_int(warp_close(&db), ==, 0);
    }
}

/* A session's requests on one key are carried out in its order, whatever is on disk. */
WARP_TEST(cold, a_session_keeps_the_order_of_a_key)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct warp *db = open_tiny(test_directory(), 64);
    struct warp_session *session = NULL;
    struct warp_request requests[DEPTH];
    struct warp_completion completions[DEPTH];
    int64_t expected = 0;
    uint32_t round, i, done;

    if (db == NULL) {
        return;
    }
    check_int(warp_session_create(db, DEPTH, &session), ==, 0);
    for (round = 0; round < 60; round++) {
        int64_t numbers[DEPTH];

        put_cold(db, "0", 0);
        expected = 0;
        for (i = 0; i < DEPTH; i++) {
            requests[i] = request_init;
            requests[i].opcode = i % 4 == 3 ? WARP_OP_GET : WARP_OP_ADD;
            requests[i].key = support_text("k");
            requests[i].delta = 1;
            requests[i].cookie = i;
            expected += requests[i].opcode == WARP_OP_ADD;
            numbers[i] = expected;
        }
        check_int(warp_submit(session, requests, DEPTH), ==, DEPTH);
        for (done = 0; done < DEPTH;) {
            int rc = warp_poll(session, completions, DEPTH, 10000000000u);

            if (!check_int(rc, >, 0)) {
                break;
            }
            for (i = 0; i < (uint32_t)rc; i++) {
                struct warp_completion *one = &completions[i];
                char text[32] = "";

                check_int(one->result, ==, 0);
                if (one->opcode == WARP_OP_GET) {
                    memcpy(text, one->value.data,
                           one->value.bytes < 31 ? one->value.bytes : 31);
                    one->number = strtoll(text, NULL, 10);
                    warp_return(&one->value);
                }
                check_int(one->number, ==, numbers[one->cookie]);
            }
            done += (uint32_t)rc;
        }
    }
    warp_session_destroy(&session);
    check(fixture_metric(db, "warp_disk_reads_total") > 10);
    check_int(warp_close(&db), ==, 0);
}

/* ---- writers beside readers ---------------------------------------------------------- */

struct crowd {
    struct warp *db;
    _Atomic bool stop;
    _Atomic uint32_t versions[HOT_KEYS]; /* last written; odd: deleted */
    _Atomic uint64_t reads;
};

static uint32_t crowd_key(uint32_t i)
{
    return 100000 + i;
}

static void *crowd_write(void *context)
{
    struct crowd *crowd = context;
    struct support_random random = {test_seed()};
    uint8_t *buffer = malloc(VALUE_BYTES_MAX);
    char text[32];

    while (!atomic_load(&crowd->stop)) {
        uint32_t i = (uint32_t)support_random_below(&random, HOT_KEYS);
        uint32_t version = atomic_load(&crowd->versions[i]);
        int rc;

        if (version % 2 == 0 && version > 0 && support_random_chance(&random, 4)) {
            rc = warp_delete(crowd->db, cold_key(crowd_key(i), text), NULL, NULL);
            version++;
        } else {
            version = (version + 2) & ~1u;
            rc = cold_put(crowd->db, crowd_key(i), version, buffer);
        }
        if (!check_int(rc, ==, 0)) {
            break;
        }
        atomic_store(&crowd->versions[i], version);
    }
    free(buffer);
    return NULL;
}

static void *crowd_read(void *context)
{
    struct crowd *crowd = context;
    struct support_random random = {test_seed() + (uintptr_t)pthread_self()};
    struct warp_value value = WARP_VALUE_INIT;
    char text[32];

    while (!atomic_load(&crowd->stop)) {
        uint32_t i = (uint32_t)support_random_below(&random, HOT_KEYS), version, after;
        bool right = false;
        int rc;

        if (support_random_chance(&random, 4)) { /* one of those that fill the memory */
            i = (uint32_t)support_random_below(&random, FILL_KEYS);
            rc = warp_borrow(crowd->db, cold_key(i, text), &value);
            if (!check_int(rc, ==, 0) || !check(cold_is(i, 0, value.data, value.bytes))) {
                break;
            }
            warp_return(&value);
            continue;
        }
        version = atomic_load(&crowd->versions[i]);
        rc = warp_borrow(crowd->db, cold_key(crowd_key(i), text), &value);
        after = atomic_load(&crowd->versions[i]);
        /* One of the versions of that time, the one being written included. */
        for (; version <= after + 2; version++) {
            if (rc == WARP_ABSENT
                    ? version == 0 || version % 2 == 1
                    : rc == 0 && version % 2 == 0 &&
                          cold_is(crowd_key(i), version, value.data, value.bytes)) {
                right = true;
                break;
            }
        }
        if (!right) {
            test_fail(__FILE__, __LINE__, "key %u: %d, %zu bytes, of no version to %u", i,
                      rc, value.bytes, after);
            break;
        }
        if (rc == 0) {
            warp_return(&value);
        }
        atomic_fetch_add(&crowd->reads, 1);
    }
    return NULL;
}

WARP_TEST(cold, values_change_and_go_under_their_readers)
{
    static struct crowd crowd;
    struct warp_options options = cold_options();
    uint8_t *buffer = malloc(VALUE_BYTES_MAX);
    struct sampler sampler;
    pthread_t threads[4];
    char text[32];
    size_t bytes;
    uint32_t i;

    memset(&crowd, 0, sizeof(crowd));
    crowd.db = fixture_open(test_directory(), &options);
    if (crowd.db == NULL) {
        free(buffer);
        return;
    }
    for (i = 0; i < FILL_KEYS; i++) { /* so that there is no room */
        check_int(cold_put(crowd.db, i, 0, buffer), ==, 0);
    }
    sampler_start(&sampler, crowd.db, 3);
    for (i = 0; i < 4; i++) {
        check_int(
            pthread_create(&threads[i], NULL, i == 0 ? crowd_write : crowd_read, &crowd),
            ==, 0);
    }
    support_sleep_ns(2500000000u);
    atomic_store(&crowd.stop, true);
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    sampler_end(&sampler, "writers beside readers");
    check_u64(crowd.reads, >, 100);
    check(fixture_metric(crowd.db, "warp_cold_gets_total") > 0);
    for (i = 0; i < HOT_KEYS; i++) {
        uint32_t version = crowd.versions[i];
        int rc = warp_get(crowd.db, cold_key(crowd_key(i), text), buffer, VALUE_BYTES_MAX,
                          &bytes, NULL);

        if (version == 0 || version % 2 == 1) {
            check_int(rc, ==, WARP_ABSENT);
        } else if (check_int(rc, ==, 0)) {
            check(cold_is(crowd_key(i), version, buffer, bytes));
        }
    }
    free(buffer);
    check_int(warp_close(&crowd.db), ==, 0);
}

/* ---- sizes that do not go together --------------------------------------------------- */

/* Memory is full of small values when big ones come, and the other way round. */
static void fill_sizes(struct warp *db, bool by_session, uint32_t base, uint32_t count,
                       size_t value_bytes)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct warp_session *session = NULL;
    struct warp_request request = request_init;
    struct warp_completion completion;
    uint8_t *buffer = malloc(value_bytes);
    char text[32];
    uint32_t i;
    int rc;

    check_int(warp_session_create(db, 1, &session), ==, 0);
    for (i = 0; i < count; i++) {
        support_fill(buffer, value_bytes, base + i);
        request.opcode = WARP_OP_PUT;
        request.key = cold_key(base + i, text);
        request.value = support_slice(buffer, value_bytes);
        if (by_session) {
            rc = warp_submit(session, &request, 1);
            check_int(rc, ==, 1);
            check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
            rc = completion.result;
        } else {
            rc = warp_put(db, request.key, request.value, NULL, NULL);
        }
        if (rc != 0) {
            test_fail(__FILE__, __LINE__, "%s: value %u of %zu bytes: %d (%s)",
                      by_session ? "session" : "put", i, value_bytes, rc,
                      warp_error_text(rc));
            break;
        }
    }
    warp_session_destroy(&session);
    free(buffer);
}

WARP_TEST(cold, big_values_find_room_among_small_ones)
{
    struct warp_options options = cold_options();
    const char *directory;
    struct sampler sampler;
    struct warp *db;
    uint32_t by_session;

    for (by_session = 0; by_session < 2; by_session++) {
        directory = test_directory();
        db = fixture_open(directory, &options);
        if (db == NULL) {
            return;
        }
        sampler_start(&sampler, db, 0);
        fill_sizes(db, by_session != 0, 0, 60000, 100);
        fill_sizes(db, by_session != 0, 100000, 20, VALUE_BYTES_MAX);
        fill_sizes(db, by_session != 0, 200000, 20000, 300);
        fill_sizes(db, by_session != 0, 300000, 20, 700000);
        sampler_end(&sampler, by_session != 0 ? "mixed sizes by session" : "mixed sizes");
        check_int(warp_close(&db), ==, 0);
        db = fixture_open(directory, &options);
        if (db != NULL) {
            check(fixture_metric(db, "warp_records") >= 80040);
            check_int(warp_close(&db), ==, 0);
        }
    }
}
