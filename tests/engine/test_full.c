/* Everything that can be full: sessions, the log buffer, memory, the disk. Nothing is lost. */
#include "tests/engine/fixture.h"

#include <pthread.h>
#include <sys/mount.h>

/* ---- sessions ------------------------------------------------------------------------ */

WARP_TEST(full, session_takes_its_depth_and_no_more)
{
    enum { DEPTH = 8, REQUESTS = 100 };
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_request requests[REQUESTS];
    struct warp_request init = WARP_REQUEST_INIT;
    struct warp_completion completions[DEPTH + 4];
    bool seen[REQUESTS] = {false};
    char keys[REQUESTS][16];
    uint32_t taken = 0, polled = 0, i;
    uint64_t count = 0;
    int rc;

    if (db == NULL || !check_int(warp_session_create(db, DEPTH, &session), ==, 0)) {
        return;
    }
    for (i = 0; i < REQUESTS; i++) {
        requests[i] = init;
        requests[i].opcode = WARP_OP_PUT;
        requests[i].cookie = i;
        requests[i].key = support_slice(keys[i], (size_t)snprintf(keys[i], 16, "k%u", i));
        requests[i].value = support_text("v");
    }
    rc = warp_submit(session, requests, REQUESTS);
    check_int(rc, ==, DEPTH);
    check_int(warp_submit(session, requests + DEPTH, 1), ==, 0); /* full, and says so */
    taken = DEPTH;
    while (polled < REQUESTS) {
        rc = warp_poll(session, completions, DEPTH + 4, UINT64_MAX);
        if (!check_int(rc, >, 0) || !check_int(rc, <=, DEPTH)) {
            break;
        }
        for (i = 0; i < (uint32_t)rc; i++) {
            check_int(completions[i].result, ==, 0);
            check(!seen[completions[i].cookie]);
            seen[completions[i].cookie] = true;
        }
        polled += (uint32_t)rc;
        rc = warp_submit(session, requests + taken, REQUESTS - taken);
        if (!check_int(rc, >=, 0)) {
            break;
        }
        taken += (uint32_t)rc;
        check_u64(taken - polled, <=, DEPTH);
    }
    check_u64(taken, ==, REQUESTS);
    check_int(warp_count(db, &count), ==, 0);
    check_u64(count, ==, REQUESTS);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(full, who_never_polls_holds_up_nobody)
{
    enum { DEPTH = 256 };
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *lazy = NULL, *busy = NULL;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completion;
    uint64_t begun_ns, i;
    char key[32];

    if (db == NULL || !check_int(warp_session_create(db, DEPTH, &lazy), ==, 0) ||
        !check_int(warp_session_create(db, DEPTH, &busy), ==, 0)) {
        return;
    }
    check_int(fixture_put(db, "k", "value"), ==, 0);
    request.opcode = WARP_OP_GET;
    request.key = support_text("k");
    for (i = 0; i < DEPTH; i++) {
        check_int(warp_submit(lazy, &request, 1), ==, 1);
    }
    check_int(warp_submit(lazy, &request, 1), ==, 0);
    begun_ns = support_now_ns();
    for (i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "k%u", (unsigned)i);
        check_int(fixture_put(db, key, "v"), ==, 0);
        check_int(warp_submit(busy, &request, 1), ==, 1);
        check_int(warp_poll(busy, &completion, 1, UINT64_MAX), ==, 1);
        check_int(completion.result, ==, 0);
        warp_return(&completion.value);
    }
    check_u64(support_now_ns() - begun_ns, <, 5000000000u);
    check_int(fixture_put(db, "k", "other"), ==, 0);
    check(fixture_metric_reaches(db, "warp_retained_records", 1)); /* a leak shows */
    warp_session_destroy(&lazy); /* completions not polled, loans not returned */
    warp_session_destroy(&busy);
    check(fixture_metric_reaches(db, "warp_retained_records", 0));
    check_int(warp_close(&db), ==, 0);
}

static int visit_count(void *context, struct warp_slice key, const struct warp_value *value)
{
    (void)key;
    *(uint32_t *)context += value->bytes == 5;
    return 0;
}

WARP_TEST(full, a_thousand_loans_of_one_value)
{
    enum { LOANS = 1000 };
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    static struct warp_value values[LOANS];
    struct warp_value value = WARP_VALUE_INIT;
    struct warp_slice keys[2] = {support_text("hot"), support_text("hot")};
    struct warp_value pair[2];
    uint32_t i, refused = 0, wrong = 0, visited = 0;
    int results[2];

    if (db == NULL) {
        return;
    }
    check_int(fixture_put(db, "hot", "value"), ==, 0);
    for (i = 0; i < LOANS; i++) {
        refused += warp_borrow(db, support_text("hot"), &values[i]) != 0;
    }
    check_u64(refused, ==, 0);
    check_int(warp_visit(db, visit_count, &visited), ==, 0);
    check_u64(visited, ==, 1);
    check_int(warp_multi_get(db, keys, 2, pair, results), ==, 0);
    check_int(results[0], ==, 0);
    check_int(results[1], ==, 0);
    warp_return(&pair[0]);
    warp_return(&pair[1]);
    check_int(warp_borrow(db, support_text("hot"), &value), ==, 0);
    warp_return(&value);
    check_int(fixture_put(db, "hot", "other"), ==, 0);
    for (i = 0; i < LOANS; i++) {
        wrong += values[i].bytes != 5 || memcmp(values[i].data, "value", 5) != 0;
        warp_return(&values[i]);
    }
    check_u64(wrong, ==, 0);
    check(fixture_metric_reaches(db, "warp_retained_records", 0));
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(full, depth_65536_at_commit)
{
    enum { DEPTH = WARP_SESSION_DEPTH_MAX };
    struct warp_options options = fixture_options();
    struct warp *db;
    struct warp_session *session = NULL;
    struct warp_request *requests = calloc(DEPTH, sizeof(*requests));
    struct warp_completion *completions = calloc(DEPTH, sizeof(*completions));
    struct warp_request init = WARP_REQUEST_INIT;
    char(*keys)[16] = calloc(DEPTH, 16);
    uint32_t i, taken = 0, polled = 0;
    uint64_t count = 0;
    int rc;

    options.durability = WARP_COMMIT;
    options.segment_bytes = 8 << 20;
    db = fixture_open(test_directory(), &options);
    if (db != NULL && check_int(warp_session_create(db, DEPTH, &session), ==, 0)) {
        for (i = 0; i < DEPTH; i++) {
            requests[i] = init;
            requests[i].opcode = WARP_OP_PUT;
            requests[i].cookie = i;
            requests[i].key =
                support_slice(keys[i], (size_t)snprintf(keys[i], 16, "k%u", i));
            requests[i].value = support_text("some value");
        }
        while (polled < DEPTH) {
            rc = warp_submit(session, requests + taken, DEPTH - taken);
            if (!check_int(rc, >=, 0)) {
                break;
            }
            taken += (uint32_t)rc;
            rc = warp_poll(session, completions, DEPTH, taken == polled ? 0 : UINT64_MAX);
            if (!check_int(rc, >=, 0)) {
                break;
            }
            for (i = 0; i < (uint32_t)rc; i++) {
                check_int(completions[i].result, ==, 0);
            }
            polled += (uint32_t)rc;
        }
        check_int(warp_count(db, &count), ==, 0);
        check_u64(count, ==, DEPTH);
        warp_session_destroy(&session);
    }
    check_int(warp_close(&db), ==, 0);
    free(requests);
    free(completions);
    free(keys);
}

/* ---- the log buffer ------------------------------------------------------------------ */

enum { WRITERS = 8 };

struct writer {
    struct warp *db;
    uint32_t number, records, refused, failed;
    size_t value_bytes;
};

static void *writer_main(void *context)
{
    struct writer *writer = context;
    uint8_t *value = malloc(writer->value_bytes + 1);
    char key[32];
    uint32_t i;
    int rc;

    for (i = 0; i < writer->records; i++) {
        snprintf(key, sizeof(key), "w%u-%u", writer->number, i);
        support_fill(value, writer->value_bytes, writer->number * 1000003u + i);
        do {
            rc = warp_put(writer->db, support_text(key),
                          support_slice(value, writer->value_bytes), NULL, NULL);
            writer->refused += rc == WARP_AGAIN;
        } while (rc == WARP_AGAIN);
        writer->failed += rc != 0;
    }
    free(value);
    return NULL;
}

static void check_writers(struct warp *db, uint32_t records, size_t value_bytes)
{
    struct warp_value value = WARP_VALUE_INIT;
    uint32_t number, i, missing = 0, wrong = 0;
    char key[32];

    for (number = 0; number < WRITERS; number++) {
        for (i = 0; i < records; i++) {
            snprintf(key, sizeof(key), "w%u-%u", number, i);
            if (warp_borrow(db, support_text(key), &value) != 0) {
                missing++;
                continue;
            }
            wrong += value.bytes != value_bytes ||
                     !support_matches(value.data, value.bytes, number * 1000003u + i);
            warp_return(&value);
        }
    }
    check_u64(missing, ==, 0);
    check_u64(wrong, ==, 0);
}

static void tiny_buffer(uint32_t durability, uint32_t records, size_t value_bytes)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct warp *db;
    uint32_t i;

    options.durability = durability;
    options.log_buffer_bytes = 256 << 10;
    options.segment_bytes = 4 << 20;
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    for (i = 0; i < WRITERS; i++) {
        writers[i].db = db;
        writers[i].number = i;
        writers[i].records = records;
        writers[i].refused = writers[i].failed = 0;
        writers[i].value_bytes = value_bytes;
        check_int(pthread_create(&threads[i], NULL, writer_main, &writers[i]), ==, 0);
    }
    for (i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        check_u64(writers[i].failed, ==, 0);
    }
    check_writers(db, records, value_bytes);
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    if (db != NULL) {
        check_writers(db, records, value_bytes);
        check_int(warp_close(&db), ==, 0);
    }
}

WARP_TEST(full, tiny_log_buffer_and_many_small_writes)
{
    tiny_buffer(WARP_INTERVAL, 5000, 100);
}

WARP_TEST(full, tiny_log_buffer_and_large_writes)
{
    tiny_buffer(WARP_INTERVAL, 100, 100000);
}

WARP_TEST(full, tiny_log_buffer_at_memory)
{
    tiny_buffer(WARP_MEMORY, 3000, 1000);
}

WARP_TEST(full, tiny_log_buffer_at_commit)
{
    tiny_buffer(WARP_COMMIT, 200, 5000);
}

WARP_TEST(full, values_and_batches_larger_than_the_log_buffer)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp_batch *batch = NULL;
    struct warp_value value = WARP_VALUE_INIT;
    struct warp *db;
    uint8_t *bytes = malloc(WARP_VALUE_BYTES_MAX);
    uint32_t i, round;
    char key[32];

    options.log_buffer_bytes = 256 << 10;
    db = fixture_open(directory, &options);
    support_fill(bytes, WARP_VALUE_BYTES_MAX, 5);
    if (db != NULL) {
        check_int(
            warp_put(db, support_text("large"), support_slice(bytes, 1 << 20), NULL, NULL),
            ==, 0);
        check_int(warp_put(db, support_text("huge"),
                           support_slice(bytes, WARP_VALUE_BYTES_MAX), NULL, NULL),
                  ==, 0);
        check_int(warp_batch_create(db, &batch), ==, 0);
        for (i = 0; i < 8000; i++) {
            snprintf(key, sizeof(key), "b%u", i);
            check_int(
                warp_batch_put(batch, support_text(key), support_slice(bytes, 1000), 0), ==,
                0);
        }
        check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
        warp_batch_destroy(&batch);
    }
    for (round = 0; round < 2 && db != NULL; round++) {
        check_int(warp_borrow(db, support_text("huge"), &value), ==, 0);
        check_bytes(value.data, value.bytes, bytes, (size_t)WARP_VALUE_BYTES_MAX);
        warp_return(&value);
        check_int(warp_borrow(db, support_text("large"), &value), ==, 0);
        check_bytes(value.data, value.bytes, bytes, (size_t)1 << 20);
        warp_return(&value);
        check_int(warp_borrow(db, support_text("b7999"), &value), ==, 0);
        check_bytes(value.data, value.bytes, bytes, (size_t)1000);
        warp_return(&value);
        check_int(warp_close(&db), ==, 0);
        if (round == 0) {
            db = fixture_open(directory, &options);
        }
    }
    free(bytes);
}

/* Half of the writers send frames that the whole ring cannot hold, the others small ones. */
static void *big_or_small_main(void *context)
{
    struct writer *writer = context;

    if (writer->number % 2 == 1) {
        writer->value_bytes = 50;
        writer->records *= 40;
    }
    return writer_main(writer);
}

static void big_and_small(uint32_t durability)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct warp_value value = WARP_VALUE_INIT;
    uint32_t round, i, k, wrong = 0;
    struct warp *db;
    char key[32];

    options.durability = durability;
    options.log_buffer_bytes = 256 << 10;
    options.segment_bytes = 4 << 20;
    options.shard_count = 4;
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    for (i = 0; i < WRITERS; i++) {
        writers[i].db = db;
        writers[i].number = i;
        writers[i].records = 15;
        writers[i].refused = writers[i].failed = 0;
        writers[i].value_bytes = 300000 + i * 200000;
        check_int(pthread_create(&threads[i], NULL, big_or_small_main, &writers[i]), ==, 0);
    }
    for (i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        check_u64(writers[i].failed, ==, 0);
    }
    for (round = 0; round < 2 && db != NULL; round++) {
        for (i = 0; i < WRITERS; i++) {
            for (k = 0; k < writers[i].records; k++) {
                snprintf(key, sizeof(key), "w%u-%u", i, k);
                if (warp_borrow(db, support_text(key), &value) != 0) {
                    wrong++;
                    continue;
                }
                wrong += value.bytes != writers[i].value_bytes ||
                         !support_matches(value.data, value.bytes, i * 1000003u + k);
                warp_return(&value);
            }
        }
        check_u64(wrong, ==, 0);
        check_int(warp_close(&db), ==, 0);
        if (round == 0) {
            db = fixture_open(directory, &options);
        }
    }
}

WARP_TEST(full, big_and_small_frames_together_at_interval)
{
    big_and_small(WARP_INTERVAL);
}

WARP_TEST(full, big_and_small_frames_together_at_commit)
{
    big_and_small(WARP_COMMIT);
}

/* A session that polls with short time-outs, beside callers that wait as long as it takes. */
WARP_TEST(full, polls_that_give_up_leave_the_others_their_wake)
{
    struct warp_options options = fixture_options();
    struct warp_session *session = NULL;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completions[16];
    struct writer writers[4];
    pthread_t threads[4];
    uint32_t i, in_flight = 0, rounds;
    uint64_t until_ns = support_now_ns() + (SUPPORT_SANITIZED ? 4000000000u : 2000000000u);
    struct warp *db;
    int rc;

    options.durability = WARP_COMMIT;
    db = fixture_open(test_directory(), &options);
    if (db == NULL || !check_int(warp_session_create(db, 16, &session), ==, 0)) {
        return;
    }
    request.opcode = WARP_OP_PUT;
    request.key = support_text("k");
    request.value = support_text("v");
    for (rounds = 0; support_now_ns() < until_ns; rounds++) {
        for (i = 0; i < 4; i++) {
            writers[i].db = db;
            writers[i].number = i;
            writers[i].records = 20;
            writers[i].refused = writers[i].failed = 0;
            writers[i].value_bytes = 100;
            check_int(pthread_create(&threads[i], NULL, writer_main, &writers[i]), ==, 0);
        }
        for (i = 0; i < 100; i++) {
            rc = warp_submit(session, &request, 1);
            in_flight += rc == 1;
            rc = warp_poll(session, completions, 16, 1000u * (i % 20));
            in_flight -= rc > 0 ? (uint32_t)rc : 0;
        }
        for (i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL); /* or for ever, which the runner ends */
            check_u64(writers[i].failed, ==, 0);
        }
    }
    while (in_flight > 0) {
        rc = warp_poll(session, completions, 16, UINT64_MAX);
        if (!check_int(rc, >, 0)) {
            break;
        }
        in_flight -= (uint32_t)rc;
    }
    check_u64(rounds, >, 0);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(full, session_meets_a_full_log_buffer)
{
    enum { DEPTH = 512, REQUESTS = 4000, VALUE = 8000 };
    struct warp_options options = fixture_options();
    struct warp *db;
    struct warp_session *session = NULL;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completions[64];
    char(*keys)[16] = calloc(REQUESTS, 16);
    uint8_t *value = calloc(1, VALUE);
    uint32_t taken = 0, polled = 0, i, failed = 0;
    uint64_t count = 0;
    int rc;

    options.log_buffer_bytes = 256 << 10;
    options.segment_bytes = 4 << 20;
    db = fixture_open(test_directory(), &options);
    if (db != NULL && check_int(warp_session_create(db, DEPTH, &session), ==, 0)) {
        while (polled < REQUESTS) {
            while (taken < REQUESTS) {
                request.opcode = WARP_OP_PUT;
                request.cookie = taken;
                request.key = support_slice(
                    keys[taken], (size_t)snprintf(keys[taken], 16, "k%u", taken));
                request.value = support_slice(value, VALUE);
                rc = warp_submit(session, &request, 1);
                if (rc != 1) {
                    check_int(rc, ==, 0);
                    break;
                }
                taken++;
            }
            rc = warp_poll(session, completions, 64, 1000000);
            for (i = 0; rc > 0 && i < (uint32_t)rc; i++) {
                failed += completions[i].result != 0;
                polled++;
            }
        }
        check_u64(failed, ==, 0);
        check_int(warp_count(db, &count), ==, 0);
        check_u64(count, ==, REQUESTS);
        warp_session_destroy(&session);
    }
    check_int(warp_close(&db), ==, 0);
    free(keys);
    free(value);
}

/* ---- memory -------------------------------------------------------------------------- */

static void long_key(char *key, size_t bytes, const char *name, uint32_t i)
{
    memset(key, 'k', bytes - 1);
    key[bytes - 1] = '\0';
    key[snprintf(key, bytes, "%s%u", name, i)] = '-';
}

WARP_TEST(full, memory_is_refused_and_given_back)
{
    struct warp_options options = fixture_options();
    struct warp *db;
    uint8_t value[40] = {0};
    uint32_t i, written = 0, deleted = 0, again = 0;
    char key[4000], text[40]; /* values leave, keys stay */
    size_t bytes;
    int rc = 0;

    options.memory_bytes_max = 16 << 20;
    options.segment_bytes = 4 << 20;
    options.preset = "small";
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    for (i = 0; i < 20000; i++) {
        long_key(key, sizeof(key), "k", i);
        rc = warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                      NULL);
        if (rc != 0) {
            break;
        }
        written++;
    }
    if (!check_int(rc, ==, WARP_ENOMEM) || !check_u64(written, >, 500)) {
        warp_close(&db);
        return;
    }
    for (i = 0; i < written; i++) { /* nothing that was acknowledged is gone */
        long_key(key, sizeof(key), "k", i);
        if (!check_int(warp_get(db, support_text(key), text, sizeof(text), &bytes, NULL),
                       ==, 0)) {
            break;
        }
    }
    for (i = 0; i < written / 2; i++) {
        long_key(key, sizeof(key), "k", i);
        deleted += warp_delete(db, support_text(key), NULL, NULL) == 0;
    }
    check_u64(deleted, ==, written / 2);
    for (i = 0; i < 5000 && again < written / 4; i++) {
        long_key(key, sizeof(key), "again", again);
        rc = warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                      NULL);
        again += rc == 0;
        if (rc != 0) {
            support_sleep_ns(1000000);
        }
    }
    check_u64(again, ==, written / 4);
    check_int(warp_close(&db), ==, 0);
}

/* ---- the disk ------------------------------------------------------------------------ */

enum { DISK_MIB = 32, BALLAST_MIB = 12 };

static void ballast(const char *directory, bool there)
{
    static uint8_t block[1 << 20];
    char path[SUPPORT_PATH_BYTES];
    int file, i;

    snprintf(path, sizeof(path), "%.400s/ballast", directory);
    if (!there) {
        check_int(unlink(path), ==, 0);
        return;
    }
    file = open(path, O_WRONLY | O_CREAT, 0600);
    for (i = 0; i < BALLAST_MIB; i++) {
        check(write(file, block, sizeof(block)) == (ssize_t)sizeof(block));
    }
    close(file);
}

static void full_disk(const char *mounted, uint32_t durability)
{
    struct warp_options options = fixture_options();
    char path[SUPPORT_PATH_BYTES], key[32], text[256], message[512];
    static uint8_t value[50000];
    uint64_t sequence = 0, last = 0, until_ns, count = 0;
    struct warp_batch *batch = NULL;
    struct warp *db = NULL;
    uint32_t i, written = 0, deleted = 0, more = 0, small = 0;
    size_t bytes = 0;
    int rc = 0;

    ballast(mounted, true);
    snprintf(path, sizeof(path), "%.400s/db", mounted);
    options.durability = durability;
    options.log_buffer_bytes = 1 << 20;
    db = fixture_open(path, &options);
    if (db == NULL) {
        return;
    }
    for (i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        rc = warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                      &sequence);
        if (rc != 0) {
            break;
        }
        written++;
        last = sequence;
    }
    if (!check_int(rc, ==, WARP_ENOSPC) || !check_u64(written, >, 50)) {
        fprintf(stderr, "    after %u writes: %s\n", written, warp_error_text(rc));
    }
    check_u64(sequence, ==, last); /* refused before it got a sequence */
    check_int(warp_failure(db, text, sizeof(text)), ==, 0); /* full is not failed */
    for (i = 0; i < 100000 && rc != 0; i++) { /* there may be room for small ones */
        rc = fixture_put(db, "small", "x");
        small |= rc == 0;
        rc = rc == WARP_ENOSPC ? 0 : 1;
    }
    check_int(fixture_put(db, "one more", "x"), ==, WARP_ENOSPC);
    check_int(warp_batch_create(db, &batch), ==, 0);
    check_int(warp_batch_put(batch, support_text("batch"), support_text("x"), 0), ==, 0);
    check_int(warp_batch_commit(batch, NULL, NULL), ==, WARP_ENOSPC);
    for (i = 0; i < written; i++) { /* reads go on */
        snprintf(key, sizeof(key), "k%u", i);
        if (!check_int(warp_get(db, support_text(key), NULL, 0, &bytes, NULL), ==,
                       WARP_TRUNCATED)) {
            break;
        }
    }
    check_u64(bytes, ==, sizeof(value));
    for (i = 0; i < 20; i++) { /* so do deletes: they have a reserve */
        snprintf(key, sizeof(key), "k%u", i);
        rc = warp_delete(db, support_text(key), NULL, NULL);
        deleted += rc == 0;
    }
    if (!check_u64(deleted, ==, 20)) {
        fprintf(stderr, "    the last delete said %d (%s)\n", rc, warp_error_text(rc));
    }
    check_int(warp_flush(db), ==, 0);
    ballast(mounted, false); /* space returns */
    until_ns = support_now_ns() + 5000000000u;
    do {
        rc = warp_put(db, support_text("again"), support_slice(value, sizeof(value)), NULL,
                      NULL);
        if (rc == WARP_ENOSPC) {
            support_sleep_ns(2000000);
        }
    } while (rc == WARP_ENOSPC && support_now_ns() < until_ns);
    check_int(rc, ==, 0);
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0); /* it was kept */
    warp_batch_destroy(&batch);
    for (i = 0; i < 60; i++) {
        snprintf(key, sizeof(key), "more%u", i);
        more += warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                         NULL) == 0;
    }
    check_u64(more, ==, 60);
    check_int(warp_close(&db), ==, 0);

    rc = fixture_try(path, &options, &db, message);
    if (!check_int(rc, ==, 0)) {
        fprintf(stderr, "    opened again: %s\n", message);
        return;
    }
    check_int(warp_count(db, &count), ==, 0);
    check_u64(count, ==, written - deleted + more + 2 + small);
    for (i = 0; i < 2000; i++) { /* full again, and closed so */
        snprintf(key, sizeof(key), "f%u", i);
        if (warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                     NULL) != 0) {
            break;
        }
        count++;
    }
    check_int(warp_close(&db), ==, 0);
    for (i = 0; i < 3; i++) { /* a full disk can be opened, or says what is wrong */
        rc = fixture_try(path, &options, &db, message);
        if (rc == 0) {
            uint64_t now = 0;

            check_int(warp_count(db, &now), ==, 0);
            check_u64(now, ==, count);
            check_str(fixture_get(db, "batch", text), "x");
            check_int(warp_close(&db), ==, 0);
        } else {
            check_int(rc, ==, WARP_ENOSPC);
            check(message[0] != '\0');
        }
    }
    options.open_flags = WARP_READ_ONLY;
    db = fixture_open(path, &options);
    if (db != NULL) {
        check_str(fixture_get(db, "batch", text), "x");
        check_int(warp_close(&db), ==, 0);
    }
}

static void with_small_disk(uint32_t durability)
{
    const char *directory = test_directory();
    char options[64];

    snprintf(options, sizeof(options), "size=%dm", DISK_MIB);
    if (mount("tmpfs", directory, "tmpfs", 0, options) != 0) {
        test_skip("a small disk cannot be mounted: %s", strerror(errno));
        return;
    }
    full_disk(directory, durability);
    check_int(umount2(directory, MNT_DETACH), ==, 0);
}

WARP_TEST(full, disk_at_interval)
{
    with_small_disk(WARP_INTERVAL);
}

WARP_TEST(full, disk_at_commit)
{
    with_small_disk(WARP_COMMIT);
}

/* The same on a real file system with O_DIRECT, on a loop device. */
WARP_TEST(full, disk_with_ext4)
{
    const char *directory = test_directory();
    char command[1400], image[220], mounted[220];

    snprintf(image, sizeof(image), "%.200s/image", directory);
    snprintf(mounted, sizeof(mounted), "%.200s/mounted", directory);
    snprintf(command, sizeof(command),
             "mkdir %s && truncate -s %dM %s && mkfs.ext4 -q -m 0 -O ^has_journal %s && "
             "mount -o loop %s %s 2>/dev/null",
             mounted, DISK_MIB + 8, image, image, image, mounted);
    if (geteuid() != 0 || system(command) != 0) {
        test_skip("no ext4 on a loop device here");
        return;
    }
    full_disk(mounted, WARP_COMMIT);
    snprintf(command, sizeof(command),
             "umount %s 2>/dev/null || (sleep 0.5; umount %s || umount -l %s)", mounted,
             mounted, mounted);
    check_int(system(command), ==, 0);
}
