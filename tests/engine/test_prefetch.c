/*
 * Values that are believed to be asked for next are read ahead: what is learned saves reads, what cannot be
 * learned ends it, and whatever happens to a record meanwhile, nobody ever gets a value that is not the
 * newest, and the books are right: all that was issued is useful, late, wasted, or still there.
 */
#include "tests/engine/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/counter.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "shards/prefetch.h"

enum { LOOP = 1000, ROUNDS_MAX = 400 };

static bool always_chance(void *context, enum warp_chance point)
{
    (void)context;
    return point == WARP_CHANCE_PREFETCH;
}

/* A database with room for `room` bytes of values per shard. forced: every key that is missed brings
 * another one that was. */
static struct warp *open_little(const char *directory, uint32_t entanglement, uint64_t room,
                                bool forced)
{
    struct warp_options options = fixture_options();
    struct warp_env env;
    struct warp *db = NULL;

    options.durability = WARP_MEMORY;
    options.entanglement = entanglement;
    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = room;
    env.chance = forced ? always_chance : NULL;
    check_int(warp_engine_open(directory, &options, &env, &db), ==, 0);
    return db;
}

static struct warp_slice loop_key(uint32_t i, char text[32])
{
    return support_slice(text, (size_t)snprintf(text, 32, "loop-%u", i));
}

/* And let most of the values leave memory, which they do behind writes and when they are durable. */
static void loop_fill(struct warp *db, uint32_t version)
{
    uint64_t until_ns = support_now_ns() + 20000000000u;
    char key[32], value[128];
    uint32_t i;

    for (i = 0; i < LOOP; i++) {
        int bytes = snprintf(value, sizeof(value), "%u of key %u, and as long as it is",
                             version, i);

        check_int(
            warp_put(db, loop_key(i, key), support_slice(value, (size_t)bytes), NULL, NULL),
            ==, 0);
    }
    check_int(warp_flush(db), ==, 0);
    for (i = 0;
         fixture_metric(db, "warp_cold_records") < LOOP / 2 && support_now_ns() < until_ns;
         i++) {
        check_int(fixture_put(db, i % 2 == 0 ? "even" : "odd", "any"), ==, 0);
    }
}

static void loop_check(uint32_t i, uint32_t version, const void *data, size_t bytes)
{
    char value[128];
    int expected =
        snprintf(value, sizeof(value), "%u of key %u, and as long as it is", version, i);

    check_u64(bytes, ==, (uint64_t)expected);
    check(bytes == (size_t)expected && memcmp(data, value, bytes) == 0);
}

static void loop_get(struct warp *db, uint32_t i, uint32_t version)
{
    char key[32], value[128];
    size_t bytes = 0;

    check_int(warp_get(db, loop_key(i, key), value, sizeof(value), &bytes, NULL), ==, 0);
    loop_check(i, version, value, bytes);
}

static uint64_t loop_misses(struct warp *db, uint32_t rounds)
{
    double before = fixture_metric(db, "warp_cold_gets_total");
    uint32_t i;

    for (i = 0; i < LOOP * rounds; i++) {
        loop_get(db, i % LOOP, 1);
    }
    return (uint64_t)(fixture_metric(db, "warp_cold_gets_total") - before);
}

/* Nothing is on its way any more. */
static void settle(struct warp *db)
{
    struct warp_prefetch *prefetch = db->store->prefetch;
    uint32_t i;

    for (i = 0; i < WARP_PREFETCH_IN_FLIGHT_MAX; i++) {
        while (atomic_load(&prefetch->names[i]) != 0) {
            support_sleep_ns(100000);
        }
    }
}

/* With all keys gone nothing has a mark any more, so that everything must be accounted for. */
static void check_books(struct warp *db)
{
    const struct warp_prefetch_counters *counters = &db->store->prefetch->counters;
    char key[32];
    uint32_t i;

    settle(db);
    check_u64(warp_counter_read(&counters->issued), >=,
              warp_counter_read(&counters->useful) + warp_counter_read(&counters->late) +
                  warp_counter_read(&counters->wasted));
    for (i = 0; i < LOOP; i++) {
        check_int(warp_delete(db, loop_key(i, key), NULL, NULL), >=, 0);
    }
    check_u64(warp_counter_read(&counters->issued), ==,
              warp_counter_read(&counters->useful) + warp_counter_read(&counters->late) +
                  warp_counter_read(&counters->wasted));
    check_u64(warp_counter_read(&counters->bytes), ==, 0);
}

WARP_TEST(prefetch, a_loop_is_learned_and_most_of_it_is_there_in_time)
{
    struct warp *db = open_little(test_directory(), 1, 12000, false);
    uint32_t round;

    if (db == NULL) {
        return;
    }
    loop_fill(db, 1);
    for (round = 0;
         round < ROUNDS_MAX && fixture_metric(db, "warp_prefetch_useful_total") < LOOP;
         round++) {
        (void)loop_misses(db, 1);
    }
    check_u64(round, <, ROUNDS_MAX);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_starts_total"), >=, 1);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_table_bytes"), >, 0);
    warp_engine_check(db);
    check_books(db);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(prefetch, is_off_unless_asked_for)
{
    struct warp *db = open_little(test_directory(), 0, 12000, true);

    if (db == NULL) {
        return;
    }
    check(db->store->prefetch == NULL);
    loop_fill(db, 1);
    check_u64(loop_misses(db, 3), >, LOOP);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_issued_total"), ==, 0);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_observations_total"), ==, 0);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(prefetch, the_option_is_checked)
{
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char message[512];

    options.entanglement = 3;
    check_int(fixture_try(test_directory(), &options, &db, message), ==, WARP_EINVAL);
    check(strstr(message, "entanglement") != NULL);
}

WARP_TEST(prefetch, what_has_no_order_is_given_up_with_its_memory)
{
    struct warp *db = open_little(test_directory(), 1, 12000, false);
    struct support_random random = {7};
    uint64_t table;
    uint32_t i;

    if (db == NULL) {
        return;
    }
    loop_fill(db, 1);
    table = (uint64_t)fixture_metric(db, "warp_prefetch_table_bytes");
    check_u64(table, >, 8 * 128);
    for (i = 0; i < 200000 && fixture_metric(db, "warp_prefetch_stops_total") < 1; i++) {
        uint32_t j;

        for (j = 0; j < 100; j++) {
            loop_get(db, (uint32_t)support_random_below(&random, LOOP), 1);
        }
    }
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_stops_total"), ==, 1);
    /* Of the table that it began with an eighth is kept for the next look. */
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_table_bytes"), <=,
              table / 8 + 128);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_starts_total"), ==, 0);
    check_int(warp_close(&db), ==, 0);
}

/* ---- every way to read learns -------------------------------------------------------- */

WARP_TEST(prefetch, borrows_and_groups_of_keys_are_learned_from)
{
    struct warp *db = open_little(test_directory(), 1, 8192, true);
    double before;
    uint32_t i;

    if (db == NULL) {
        return;
    }
    loop_fill(db, 1);
    before = fixture_metric(db, "warp_prefetch_observations_total");
    for (i = 0; i < LOOP; i++) {
        struct warp_value value = WARP_VALUE_INIT;
        char key[32];

        check_int(warp_borrow(db, loop_key(i, key), &value), ==, 0);
        loop_check(i, 1, value.data, value.bytes);
        warp_return(&value);
    }
    check(fixture_metric(db, "warp_prefetch_observations_total") > before + LOOP / 2);
    before = fixture_metric(db, "warp_prefetch_observations_total");
    for (i = 0; i < LOOP; i += 20) {
        struct warp_value values[20];
        struct warp_slice keys[20];
        char text[20][32];
        int results[20];
        uint32_t k;

        for (k = 0; k < 20; k++) {
            keys[k] = loop_key(i + k, text[k]);
        }
        check_int(warp_multi_get(db, keys, 20, values, results), ==, 0);
        for (k = 0; k < 20; k++) {
            check_int(results[k], ==, 0);
            loop_check(i + k, 1, values[k].data, values[k].bytes);
            warp_return(&values[k]);
        }
    }
    check(fixture_metric(db, "warp_prefetch_observations_total") > before + LOOP / 2);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_issued_total"), >, 0);
    check_books(db);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(prefetch, sessions_are_learned_from)
{
    struct warp *db = open_little(test_directory(), 1, 8192, true);
    struct warp_session *session = NULL;
    static char keys[LOOP][32]; /* they live until their answers have come */
    uint32_t sent = 0, came = 0;

    if (db == NULL) {
        return;
    }
    loop_fill(db, 1);
    check_int(warp_session_create(db, 8, &session), ==, 0);
    while (came < 4 * LOOP) {
        struct warp_completion completions[8];
        struct warp_request request = WARP_REQUEST_INIT;
        int count, i;

        while (sent < 4 * LOOP && sent < came + 8) {
            request.opcode = WARP_OP_GET;
            request.cookie = sent % LOOP;
            request.key = loop_key(sent % LOOP, keys[sent % LOOP]);
            if (warp_submit(session, &request, 1) != 1) {
                break;
            }
            sent++;
        }
        count = warp_poll(session, completions, 8, 1000000);
        if (!check_int(count, >=, 0)) {
            break;
        }
        for (i = 0; i < count; i++) {
            check_int(completions[i].result, ==, 0);
            loop_check((uint32_t)completions[i].cookie, 1, completions[i].value.data,
                       completions[i].value.bytes);
            warp_return(&completions[i].value);
        }
        came += (uint32_t)count;
    }
    warp_session_destroy(&session);
    check(fixture_metric(db, "warp_prefetch_observations_total") > 2 * LOOP);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_issued_total"), >, 0);
    check_books(db);
    check_int(warp_close(&db), ==, 0);
}

/* ---- in between everything else ------------------------------------------------------ */

struct churn {
    struct warp *db;
    _Atomic uint32_t versions[LOOP]; /* what was put last, at least; 0: maybe deleted */
    _Atomic bool stop;
    _Atomic uint64_t reads;
};

/* The value of a key says which version it is, and never goes back. */
static void *churn_read(void *context)
{
    struct churn *churn = context;
    uint32_t i = 0;

    while (!atomic_load(&churn->stop)) {
        uint32_t at = i++ % LOOP, least = atomic_load(&churn->versions[at]);
        char key[32], value[128];
        size_t bytes = 0;
        int rc =
            warp_get(churn->db, loop_key(at, key), value, sizeof(value) - 1, &bytes, NULL);

        if (rc == WARP_ABSENT) {
            continue;
        }
        if (check_int(rc, ==, 0)) {
            uint32_t version;

            value[bytes] = '\0';
            version = (uint32_t)strtoul(value, NULL, 10);
            loop_check(at, version, value, bytes);
            check_u64(version, >=, least);
        }
        atomic_fetch_add(&churn->reads, 1);
    }
    return NULL;
}

WARP_TEST(prefetch, writes_deletes_compaction_and_moves_meanwhile_never_show_an_old_value)
{
    struct churn *churn = calloc(1, sizeof(*churn));
    pthread_t readers[2];
    struct support_random random = {11};
    uint32_t version = 1, i, round;
    struct warp *db = open_little(test_directory(), 1, 8192, true);

    if (db == NULL || churn == NULL) {
        free(churn);
        return;
    }
    churn->db = db;
    loop_fill(db, 1);
    for (i = 0; i < LOOP; i++) {
        atomic_store(&churn->versions[i], 1);
    }
    for (i = 0; i < 2; i++) {
        check_int(pthread_create(&readers[i], NULL, churn_read, churn), ==, 0);
    }
    for (round = 0; round < 60; round++) {
        char key[32], value[128];

        for (i = 0; i < 100; i++) {
            uint32_t at = (uint32_t)support_random_below(&random, LOOP);
            int bytes;

            if (support_random_chance(&random, 10)) {
                atomic_store(&churn->versions[at], 0);
                check_int(warp_delete(db, loop_key(at, key), NULL, NULL), >=, 0);
                continue;
            }
            version++;
            bytes = snprintf(value, sizeof(value), "%u of key %u, and as long as it is",
                             version, at);
            check_int(warp_put(db, loop_key(at, key), support_slice(value, (size_t)bytes),
                               NULL, NULL),
                      ==, 0);
            atomic_store(&churn->versions[at], version);
            (void)warp_engine_move_slot(
                db, (uint32_t)support_random_below(&random, WARP_SLOT_COUNT), at % 2);
        }
        check_int(warp_flush(db), ==, 0);
        if (round % 20 == 19) {
            check_int(warp_compact(db), >=, 0);
        }
    }
    atomic_store(&churn->stop, true);
    for (i = 0; i < 2; i++) {
        pthread_join(readers[i], NULL);
    }
    check_u64(atomic_load(&churn->reads), >, 0);
    check_u64((uint64_t)fixture_metric(db, "warp_prefetch_issued_total"), >, 0);
    warp_engine_check(db);
    check_books(db);
    check_int(warp_close(&db), ==, 0);
    free(churn);
}

WARP_TEST(prefetch, closing_waits_for_what_is_on_its_way)
{
    const char *directory = test_directory();
    uint32_t round, i;
    uint64_t issued = 0;

    for (round = 0; round < 12; round++) {
        struct warp *db = open_little(directory, 1, 8192, true);

        if (db == NULL) {
            return;
        }
        if (round == 0) {
            loop_fill(db, 1);
        }
        /* Until something is on its way; how soon that is depends on what is in memory by then. */
        for (i = 0;
             i < 150 + round ||
             (i < 30000 && warp_counter_read(&db->store->prefetch->counters.issued) == 0);
             i++) {
            loop_get(db, (i * 7 + round * 31) % LOOP, 1);
        }
        issued += warp_counter_read(&db->store->prefetch->counters.issued);
        check_int(warp_close(&db), ==, 0); /* asserts that no read is in flight */
    }
    check_u64(issued, >, 0);
}
