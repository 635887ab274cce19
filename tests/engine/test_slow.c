/* Calls that took too long are kept, with where their time went. */
#include "tests/engine/fixture.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/counter.h"
#include "base/hash.h"
#include "engine/engine.h"
#include "observe/snapshot.h"

struct seen {
    struct warp_slow calls[WARP_SNAPSHOT_SLOW];
    char keys[WARP_SNAPSHOT_SLOW][WARP_SNAPSHOT_KEY_BYTES + 1];
    uint32_t count, most;
};

static int see(void *context, const struct warp_slow *slow)
{
    struct seen *seen = context;

    check_u64(slow->size, ==, sizeof(*slow));
    check_u64(slow->key.bytes, <=, WARP_SNAPSHOT_KEY_BYTES);
    seen->calls[seen->count] = *slow;
    memcpy(seen->keys[seen->count], slow->key.data, slow->key.bytes);
    seen->keys[seen->count][slow->key.bytes] = '\0';
    seen->count++;
    return seen->count == seen->most ? 7 : 0;
}

static struct seen *look(struct warp *db, uint32_t most)
{
    struct seen *seen = calloc(1, sizeof(*seen));

    seen->most = most;
    check_int(warp_slow_visit(db, see, seen), ==, most == 0 ? 0 : 7);
    return seen;
}

static uint64_t stages(const struct warp_slow *slow)
{
    return slow->wait_ns + slow->execute_ns + slow->room_ns + slow->durable_ns +
           slow->disk_ns + slow->memory_ns + slow->pace_ns;
}

WARP_TEST(slow, calls_are_kept_only_when_asked_for)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct seen *seen;

    if (db == NULL) {
        return;
    }
    fixture_put(db, "k", "v");
    seen = look(db, 0);
    check_u64(seen->count, ==, 0);
    check_int(warp_slow_visit(db, NULL, NULL), ==, WARP_EINVAL);
    free(seen);
    check_int(warp_close(&db), ==, 0);
    options.slow_ns = UINT64_C(3600) * 1000000000;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    fixture_put(db, "k", "v");
    seen = look(db, 0);
    check_u64(seen->count, ==, 0); /* nothing takes an hour */
    free(seen);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(slow, calls_of_all_kinds_say_what_they_were)
{
    static const struct {
        uint32_t opcode;
        int32_t result;
        const char *key;
        uint64_t value_bytes;
    } wanted[] = {
        /* The newest first. */
        {WARP_OP_GET, 0, "k", 5},        {WARP_OP_GET, WARP_ABSENT, "none", 0},
        {WARP_OP_GET, 0, "k", 0},        {WARP_OP_ADD, WARP_ENUMBER, "k", 0},
        {WARP_OP_DELETE, 0, "other", 0}, {WARP_OP_PUT, 0, "other", 3},
        {WARP_OP_PUT, 0, "k", 5},
    };
    enum { WANTED = sizeof(wanted) / sizeof(wanted[0]) };
    struct warp_options options = fixture_options();
    struct warp_value value = WARP_VALUE_INIT;
    struct warp *db;
    struct seen *seen;
    char text[256];
    uint32_t i;

    options.slow_ns = 1;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    fixture_put(db, "k", "value");
    fixture_put(db, "other", "new");
    warp_delete(db, support_text("other"), NULL, NULL);
    check_int(warp_add(db, support_text("k"), 1, NULL, NULL), ==, WARP_ENUMBER);
    fixture_get(db, "k", text);
    fixture_get(db, "none", text);
    check_int(warp_borrow(db, support_text("k"), &value), ==, 0);
    warp_return(&value);
    seen = look(db, 0);
    check_u64(seen->count, ==, WANTED);
    for (i = 0; i < WANTED && i < seen->count; i++) {
        const struct warp_slow *slow = &seen->calls[i];

        check_u64(slow->number, ==, WANTED - i);
        check_u64(slow->opcode, ==, wanted[i].opcode);
        check_int(slow->result, ==, wanted[i].result);
        check_str(seen->keys[i], wanted[i].key);
        check_u64(slow->key_bytes, ==, strlen(wanted[i].key));
        check_u64(slow->value_bytes, ==, wanted[i].value_bytes);
        check_u64(slow->slot, ==, warp_hash_slot(wanted[i].key, strlen(wanted[i].key)));
        check_u64(slow->shard, ==, warp_slotmap_owner(&db->store->slotmap, slow->slot));
        check_u64(slow->duration_ns, >, 0);
        check_u64(stages(slow), <=, slow->duration_ns);
        check_u64(slow->ended_ms, >, 1600000000000u);
    }
    free(seen);
    seen = look(db, 3); /* ends when it is told to */
    check_u64(seen->count, ==, 3);
    free(seen);
    check_int(warp_close(&db), ==, 0);
}

/* What is kept is bounded: in number, and of a key. */
WARP_TEST(slow, calls_are_kept_in_a_ring)
{
    struct warp_options options = fixture_options();
    struct warp *db;
    struct seen *seen;
    char key[1000];
    uint32_t i;

    options.slow_ns = 1;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    memset(key, 'x', sizeof(key));
    for (i = 0; i < 3 * WARP_SNAPSHOT_SLOW; i++) {
        check_int(
            warp_put(db, support_slice(key, sizeof(key)), support_text("v"), NULL, NULL),
            ==, 0);
    }
    seen = look(db, 0);
    check_u64(seen->count, ==, WARP_SNAPSHOT_SLOW);
    for (i = 0; i < seen->count; i++) {
        check_u64(seen->calls[i].number, ==, 3 * WARP_SNAPSHOT_SLOW - i);
        check_u64(seen->calls[i].key_bytes, ==, sizeof(key));
        check_u64(strlen(seen->keys[i]), ==, WARP_SNAPSHOT_KEY_BYTES);
    }
    free(seen);
    check_int(warp_close(&db), ==, 0);
}

static void *put_main(void *context)
{
    check_int(fixture_put(context, "waits", "v"), ==, 0);
    return NULL;
}

/* Somebody has the lease for a while: that is where the time went. */
WARP_TEST(slow, calls_say_that_they_waited_for_the_shard)
{
    struct warp_options options = fixture_options();
    struct warp_shard *shard;
    struct warp *db;
    struct seen *seen;
    pthread_t thread;
    double mails;

    options.slow_ns = 1;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    shard = warp_store_owner(db->store, warp_hash_slot("waits", 5));
    mails = fixture_metric(db, "warp_mailbox_sends_total");
    warp_shard_enter_surely(shard);
    check_int(pthread_create(&thread, NULL, put_main, db), ==, 0);
    check(fixture_metric_reaches(db, "warp_mailbox_sends_total", mails + 1));
    support_sleep_ns(20000000);
    warp_shard_leave(shard);
    pthread_join(thread, NULL);
    seen = look(db, 0);
    check_u64(seen->count, ==, 1);
    check_u64(seen->calls[0].wait_ns, >=, 20000000);
    check_u64(seen->calls[0].durable_ns, <, seen->calls[0].wait_ns);
    free(seen);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(slow, calls_say_that_they_waited_for_the_disk)
{
    struct warp_options options = fixture_options();
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_env env;
    struct warp *db = NULL;
    struct seen *seen;
    uint64_t cold_ns = 0;
    char key[32], text[256];
    uint32_t i, k, round;

    options.slow_ns = 1;
    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = 4096;
    check_int(warp_engine_open(test_directory(), &options, &env, &db), ==, 0);
    if (db == NULL) {
        return;
    }
    how.durability = WARP_COMMIT;
    check_int(warp_put(db, support_text("commit"), support_text("v"), &how, NULL), ==, 0);
    seen = look(db, 1);
    check_u64(seen->calls[0].durable_ns, >, 0);
    check_u64(seen->calls[0].execute_ns, >, 0);
    free(seen);
    for (round = 0; round < 50 && cold_ns == 0; round++) {
        for (i = 0; i < 500; i++) {
            snprintf(key, sizeof(key), "tiny-%u", i);
            fixture_put(db, key, "a value that takes some room");
        }
        warp_flush(db);
        for (i = 0; i < 500; i++) { /* what was durable leaves */
            snprintf(key, sizeof(key), "more-%u", i);
            fixture_put(db, key, "a value that takes some room");
        }
        for (i = 0; i < 500 && cold_ns == 0; i++) {
            snprintf(key, sizeof(key), "tiny-%u", i);
            fixture_get(db, key, text);
            seen = look(db, 0);
            for (k = 0; k < seen->count; k++) {
                cold_ns += seen->calls[k].disk_ns;
                check(seen->calls[k].disk_ns == 0 || seen->calls[k].opcode == WARP_OP_GET);
            }
            free(seen);
        }
    }
    check_u64(cold_ns, >, 0);
    check_int(warp_close(&db), ==, 0);
}

/* Other processes find them among the metrics. */
WARP_TEST(slow, calls_are_in_the_image)
{
    static struct warp_reading_row rows[WARP_SNAPSHOT_ROWS_MAX];
    struct warp_options options = fixture_options();
    struct warp_reading reading;
    struct warp *db;
    size_t bytes = 0;
    void *image;

    options.slow_ns = 1;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    fixture_put(db, "first", "v");
    fixture_put(db, "second", "v");
    check_int(warp_metrics_snapshot(db, NULL, 0, &bytes), ==, WARP_TRUNCATED);
    image = malloc(bytes);
    check_int(warp_metrics_snapshot(db, image, bytes, &bytes), ==, 0);
    if (check_int(warp_snapshot_read(image, bytes, rows, &reading), ==, 0)) {
        check_u64(reading.slow_count, ==, 2);
        check_u64(reading.slow[0].number, ==, 2);
        check(memcmp(reading.slow[0].key, "second", 6) == 0);
        check(memcmp(reading.slow[1].key, "first", 5) == 0);
        check_u64(warp_reading_value(&reading, "warp_slow_calls_total"), ==, 2);
        check_u64(reading.owner_count, ==, WARP_SLOT_COUNT);
        check_u64(reading.owners[reading.slow[0].slot], ==, reading.slow[0].shard);
    }
    free(image);
    check_int(warp_close(&db), ==, 0);
}
