/* The ways past the owner of a shard, and what is left when they are switched off: the same answers. */
#include "tests/engine/fixture.h"

#include <pthread.h>

#include "base/counter.h"
#include "engine/engine.h"
#include "tests/engine/tiny.h"

#define KEYS  200u
#define COUNT 48u /* requests of one session to one shard */

/* Values lie where they lie, not where numbers are aligned. */
static uint32_t number_of(const struct warp_value *value)
{
    uint32_t number;

    memcpy(&number, value->data, sizeof(number));
    return number;
}

static struct warp_slice key_of(char text[32], uint32_t number)
{
    snprintf(text, 32, "key-%u", number);
    return support_text(text);
}

/* Every kind of blocking call, on values that are in memory or not. */
static void work(struct warp *db, uint32_t *calls)
{
    struct warp_slice keys[KEYS + 1];
    struct warp_value values[KEYS + 1], value = WARP_VALUE_INIT;
    int results[KEYS + 1];
    char text[KEYS + 1][32], out[256];
    uint64_t sequence = 0;
    int64_t sum = 0, before;
    size_t bytes = 0;
    uint32_t i;

    for (i = 0; i < KEYS; i++) {
        keys[i] = key_of(text[i], i);
        check_int(warp_put(db, keys[i], support_slice(&i, sizeof(i)), NULL, &sequence), ==,
                  0);
        check_u64(sequence, >, 0);
    }
    keys[KEYS] = key_of(text[KEYS], KEYS);
    check_int(warp_flush(db), ==, 0);
    for (i = 0; i < KEYS; i++) {
        uint32_t number = UINT32_MAX;

        check_int(warp_get(db, keys[i], &number, sizeof(number), &bytes, &sequence), ==, 0);
        check_u64(number, ==, i);
        check_u64(bytes, ==, sizeof(i));
        check_u64(sequence, >, 0);
    }
    check_int(warp_get(db, keys[3], out, 1, &bytes, NULL), ==, WARP_TRUNCATED);
    check_u64(bytes, ==, sizeof(i));
    check_int(warp_get(db, keys[KEYS], out, 1, NULL, NULL), ==, WARP_ABSENT);
    check_int(warp_get(db, support_text(""), out, 1, NULL, NULL), ==, WARP_EKEY);
    check_int(warp_borrow(db, keys[7], &value), ==, 0);
    check_u64(number_of(&value), ==, 7);
    warp_return(&value);
    check_int(warp_multi_get(db, keys, KEYS + 1, values, results), ==, 0);
    for (i = 0; i < KEYS; i++) {
        check_int(results[i], ==, 0);
        check_u64(number_of(&values[i]), ==, i);
        warp_return(&values[i]);
    }
    check_int(results[KEYS], ==, WARP_ABSENT);
    check_int(warp_add(db, support_text("sum"), 5, NULL, &sum), ==, 0);
    before = sum;
    check_int(warp_add(db, support_text("sum"), -7, NULL, &sum), ==, 0);
    check_int((int)sum, ==, (int)before - 7);
    check_int(warp_delete(db, keys[5], NULL, NULL), ==, 0);
    check_int(warp_delete(db, keys[5], NULL, NULL), ==, WARP_ABSENT);
    check_int(warp_get(db, keys[5], out, 1, NULL, NULL), ==, WARP_ABSENT);
    *calls = 3 * KEYS + 3 + 1 + 1 + 2 + 2;
    warp_engine_check(db);
}

WARP_TEST(wormholes, switched_off_every_request_is_a_message)
{
    struct warp_options options = fixture_options();
    struct warp *db;
    uint32_t calls;

    options.wormholes = 2;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    work(db, &calls);
    check(fixture_metric(db, "warp_lease_runs_total") <= 0);
    check_u64((uint64_t)fixture_metric(db, "warp_mailbox_messages_total"), >=, calls);
    check_u64((uint64_t)fixture_metric(db, "warp_mailbox_sends_total"), >=, calls);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(wormholes, switched_off_values_come_from_disk_too)
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db = NULL;
    uint32_t calls, round;

    options.wormholes = 2;
    check_int(tiny_open(directory, &options, 1024, &db), ==, 0);
    if (db == NULL) {
        return;
    }
    /* Only what is durable leaves, so the first round need not do. */
    for (round = 0; round < 200 && (fixture_metric(db, "warp_cold_gets_total") <= 0 ||
                                    fixture_metric(db, "warp_cache_admissions_total") <= 0);
         round++) {
        work(db, &calls);
        support_sleep_ns(5000000);
    }
    check(fixture_metric(db, "warp_cold_gets_total") > 0);
    check_int(warp_close(&db), ==, 0);
    /* The same through a reader's handle. */
    options.open_flags = WARP_READ_ONLY;
    options.read_durable = 1;
    db = fixture_open(directory, &options);
    if (db != NULL) {
        char text[32];
        uint32_t i, number = 0;

        for (i = 6; i < KEYS; i++) {
            check_int(warp_get(db, key_of(text, i), &number, sizeof(number), NULL, NULL),
                      ==, 0);
            check_u64(number, ==, i);
        }
        check_int(warp_put(db, key_of(text, 1), support_text("x"), NULL, NULL), ==,
                  WARP_EREADONLY);
        check_int(warp_close(&db), ==, 0);
    }
}

WARP_TEST(wormholes, reads_may_be_messages_where_writes_take_leases)
{
    struct warp_options options = fixture_options();
    struct warp *db;
    uint32_t calls;

    options.wormholes = 2;
    options.write_path = WARP_WRITE_LEASE;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    work(db, &calls);
    check_u64((uint64_t)fixture_metric(db, "warp_lease_runs_total"), ==, KEYS + 4);
    check_u64((uint64_t)fixture_metric(db, "warp_mailbox_sends_total"), ==,
              calls - KEYS - 4);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(wormholes, switched_on_reads_are_no_messages)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    uint32_t calls;

    if (db == NULL) {
        return;
    }
    work(db, &calls);
    check_u64((uint64_t)(fixture_metric(db, "warp_lease_runs_total") +
                         fixture_metric(db, "warp_mailbox_sends_total")),
              ==, KEYS + 4);
    check_int(warp_close(&db), ==, 0);
}

/* ---- writers that meet ------------------------------------------------------------------ */

#define WRITERS     4u
#define WRITER_PUTS 3000u

struct writer {
    struct warp *db;
    uint32_t number;
    int rc;
};

static void *writer_main(void *context)
{
    struct writer *writer = context;
    uint32_t i;

    for (i = 0; i < WRITER_PUTS && writer->rc == 0; i++) {
        char text[32];

        snprintf(text, sizeof(text), "%u-%u", writer->number, i);
        writer->rc = warp_put(writer->db, support_text(text), support_slice(&i, sizeof(i)),
                              NULL, NULL);
        if (writer->rc == 0) {
            writer->rc = warp_add(writer->db, support_text("all"), 1, NULL, NULL);
        }
    }
    return NULL;
}

static void meet(uint32_t write_path, double *leases, double *sends)
{
    struct warp_options options = fixture_options();
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    char text[256];
    struct warp *db;
    uint32_t i, k;

    options.shard_count = 1;
    options.durability = WARP_MEMORY;
    options.write_path = write_path;
    db = fixture_open(test_directory(), &options);
    *leases = *sends = 0;
    if (db == NULL) {
        return;
    }
    for (i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.db = db, .number = i};
        check_int(pthread_create(&threads[i], NULL, writer_main, &writers[i]), ==, 0);
    }
    for (i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        check_int(writers[i].rc, ==, 0);
    }
    snprintf(text, sizeof(text), "%u", WRITERS * WRITER_PUTS);
    {
        char out[256];

        check_str(fixture_get(db, "all", out), text);
    }
    for (i = 0; i < WRITERS; i++) {
        for (k = 0; k < WRITER_PUTS; k++) {
            uint32_t number = UINT32_MAX;

            snprintf(text, sizeof(text), "%u-%u", i, k);
            check_int(warp_get(db, support_text(text), &number, sizeof(number), NULL, NULL),
                      ==, 0);
            check_u64(number, ==, k);
        }
    }
    *leases = fixture_metric(db, "warp_lease_runs_total");
    *sends = fixture_metric(db, "warp_mailbox_sends_total");
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(wormholes, writers_go_the_way_they_are_told)
{
    double leases, sends, all = 2.0 * WRITERS * WRITER_PUTS;

    /* What has to wait for room in the log takes the lease twice. */
    meet(WARP_WRITE_LEASE, &leases, &sends);
    check(leases >= all);
    check(sends <= 0);
    meet(WARP_WRITE_MAILBOX, &leases, &sends);
    check(leases <= 0);
    check(sends >= all && sends <= all);
    meet(WARP_WRITE_ADAPTIVE, &leases, &sends);
    check(leases + sends >= all);
}

/* ---- batches that are delegated --------------------------------------------------------- */

/* What a session sends to a busy shard at one time is one message: with room for few of them, all its
 * requests are there, and whoever holds the lease runs them all in one go. */
static void chains(uint32_t write_path)
{
    struct warp_options options = fixture_options();
    struct warp_request requests[COUNT];
    struct warp_completion done[COUNT];
    struct warp_session *session = NULL;
    struct warp_shard *shard;
    struct warp *db = NULL;
    struct warp_env env;
    char text[COUNT][32];
    uint64_t before, last = 0;
    uint32_t i, taken, polled = 0;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.mailbox_capacity = 4;
    options.shard_count = 1;
    options.write_path = write_path;
    options.durability = WARP_MEMORY;
    check_int(warp_engine_open(test_directory(), &options, &env, &db), ==, 0);
    if (db == NULL) {
        return;
    }
    shard = db->store->shards[0];
    check_int(warp_session_create(db, 2 * COUNT, &session), ==, 0);
    for (i = 0; i < COUNT; i++) {
        struct warp_request request = WARP_REQUEST_INIT;

        request.opcode = i % 3 == 2 ? WARP_OP_ADD : WARP_OP_PUT;
        request.cookie = i;
        request.key = key_of(text[i], i % 3 == 2 ? 2 : i % 7 + 10);
        request.value = support_slice(text[i], strlen(text[i]));
        request.delta = 1;
        requests[i] = request;
    }
    warp_shard_enter_surely(shard);
    before = warp_counter_read(&shard->counters.messages);
    for (taken = 0; taken < COUNT; taken += 16) {
        check_int(warp_submit(session, requests + taken, 16), ==, 16);
    }
    warp_shard_leave(shard);
    /* In the other's hands, if they were told: then it may take a moment. */
    for (i = 0; i < 2000 && warp_counter_read(&shard->counters.messages) < before + COUNT;
         i++) {
        support_sleep_ns(1000000);
    }
    check_u64(warp_counter_read(&shard->counters.messages), ==, before + COUNT);
    while (polled < COUNT) {
        int n = warp_poll(session, done + polled, COUNT - polled, UINT64_MAX);

        if (!check_int(n, >, 0)) {
            break;
        }
        polled += (uint32_t)n;
    }
    for (i = 0; i < polled; i++) {
        check_int(done[i].result, ==, 0);
        check_u64(done[i].cookie, ==, i); /* in the order of submission ... */
        check_u64(done[i].sequence, >, last);
        last = done[i].sequence;
        if (done[i].opcode == WARP_OP_ADD) {
            check_u64((uint64_t)done[i].number, ==, i / 3 + 1);
        }
    }
    warp_session_destroy(&session);
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(wormholes, a_batch_is_handed_over_as_one_message)
{
    chains(WARP_WRITE_ADAPTIVE);
    chains(WARP_WRITE_MAILBOX);
}

WARP_TEST(wormholes, a_session_reads_by_message_if_it_has_to)
{
    struct warp_options options = fixture_options();
    struct warp_session *session = NULL;
    struct warp_completion done[4];
    struct warp *db;
    uint32_t i, k;

    options.wormholes = 2;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    check_int(warp_session_create(db, 8, &session), ==, 0);
    for (i = 0; i < 200; i++) {
        struct warp_request requests[3];
        struct warp_request request = WARP_REQUEST_INIT;
        int n, got = 0;

        request.key = support_text("k");
        request.value = support_slice(&i, sizeof(i));
        for (k = 0; k < 3; k++) {
            requests[k] = request;
            requests[k].opcode = k == 1 ? WARP_OP_PUT : WARP_OP_GET;
            requests[k].cookie = k;
        }
        check_int(warp_submit(session, requests, 3), ==, 3);
        while (got < 3 &&
               (n = warp_poll(session, done + got, 4 - (size_t)got, UINT64_MAX)) > 0) {
            got += n;
        }
        check_int(got, ==, 3);
        for (k = 0; k < 3; k++) {
            check_u64(done[k].cookie, ==, k);
            check_int(done[k].result, ==, k == 0 && i == 0 ? WARP_ABSENT : 0);
            if (done[k].value.data != NULL) {
                check_u64(number_of(&done[k].value), ==, k == 0 ? i - 1 : i);
            }
            warp_return(&done[k].value);
        }
    }
    check_u64((uint64_t)fixture_metric(db, "warp_mailbox_messages_total"), ==, 600);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(wormholes, the_options_are_checked)
{
    struct warp_options options = fixture_options();
    struct warp *db = NULL;

    options.wormholes = 3;
    check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
    options.wormholes = 0;
    options.write_path = 3;
    check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
    check(db == NULL);
}
