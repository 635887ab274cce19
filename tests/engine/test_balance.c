/* Slots are spread over shards because somebody asks for it: by bytes, by weights, and back. */
#include "tests/engine/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "engine/engine.h"

#define SHARDS 2u
#define HOT    40u /* keys, each in a slot of its own, all of shard 0's when dealt in turn */

struct told {
    uint64_t moves, sentences;
    bool wrong; /* a move that is none, or out of order */
    uint32_t last;
    uint32_t to[WARP_SLOT_COUNT]; /* 1 + shard */
};

static void tell_move(void *context, uint32_t slot, uint32_t from, uint32_t to,
                      const char *why)
{
    struct told *told = context;

    told->wrong = told->wrong || slot >= WARP_SLOT_COUNT || from == to || why[0] == '\0' ||
                  (told->moves > 0 && slot <= told->last);
    told->last = slot;
    told->moves++;
    if (slot < WARP_SLOT_COUNT) {
        told->to[slot] = to + 1;
    }
}

static void tell_sentence(void *context, const char *sentence)
{
    ((struct told *)context)->sentences += sentence[0] != '\0';
}

/* Keys in slots of their own that shard 0 has. */
static void draw_hot(char keys[HOT][32])
{
    bool used[WARP_SLOT_COUNT] = {false};
    uint32_t found = 0, i;

    for (i = 0; found < HOT; i++) {
        uint32_t slot;

        snprintf(keys[found], 32, "hot-%u", i);
        slot = warp_hash_slot(keys[found], strlen(keys[found]));
        if (slot % SHARDS == 0 && !used[slot]) {
            used[slot] = true;
            found++;
        }
    }
}

static struct warp *open_with_hot(const char *directory, char keys[HOT][32])
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(directory, &options);
    uint32_t i;

    draw_hot(keys);
    for (i = 0; db != NULL && i < HOT; i++) {
        fixture_put(db, keys[i], "value");
    }
    return db;
}

static uint32_t of_shard(struct warp *db, char keys[HOT][32], uint32_t shard)
{
    uint32_t count = 0, i;

    for (i = 0; i < HOT; i++) {
        count += warp_slotmap_owner(&db->store->slotmap,
                                    warp_hash_slot(keys[i], strlen(keys[i]))) == shard;
    }
    return count;
}

static bool near(double is, double wanted)
{
    return is > wanted - 0.01 && is < wanted + 0.01;
}

WARP_TEST(balance, a_plan_says_what_apply_then_does)
{
    struct warp_balance_options options = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report plan = WARP_BALANCE_REPORT_INIT;
    struct warp_balance_report done = WARP_BALANCE_REPORT_INIT;
    struct warp_options opened = fixture_options();
    const char *directory = test_directory();
    struct told *told = calloc(1, sizeof(*told)), *did = calloc(1, sizeof(*did));
    char keys[HOT][32], text[256];
    struct warp *db = open_with_hot(directory, keys);
    uint32_t i;

    if (db == NULL || told == NULL || did == NULL) {
        return;
    }
    options.move = tell_move;
    options.say = tell_sentence;
    options.context = told;
    options.dry_run = 1;
    check_int(warp_balance(db, &options, &plan), ==, 0);
    check_u64(plan.shard_count, ==, SHARDS);
    check(near(plan.lambda, 2) && near(plan.lambda_planned, 1));
    check(near(plan.evenness, 0) && near(plan.evenness_planned, 1));
    check_u64(plan.moves, ==, HOT / 2);
    check_u64(told->moves, ==, HOT / 2);
    check_u64(plan.moves_made, ==, 0);
    check(!told->wrong);
    check_u64(of_shard(db, keys, 0), ==, HOT); /* nothing has happened */

    options.context = did;
    options.dry_run = 0;
    check_int(warp_balance(db, &options, &done), ==, 0);
    check_u64(done.moves_made, ==, HOT / 2);
    check_int(memcmp(told->to, did->to, sizeof(told->to)), ==, 0);
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        if (did->to[i] != 0) {
            check_u64(warp_slotmap_owner(&db->store->slotmap, i), ==, did->to[i] - 1);
        }
    }
    check_u64(of_shard(db, keys, 0), ==, HOT / 2);
    for (i = 0; i < HOT; i++) {
        check_str(fixture_get(db, keys[i], text), "value");
    }
    /* Then there is nothing left to do. */
    check_int(warp_balance(db, &options, &done), ==, 0);
    check_u64(done.moves, ==, 0);
    check(near(done.lambda, 1) && near(done.lambda_planned, 1));
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);

    /* It stays so over a reopening, until slots are dealt anew. */
    db = fixture_open(directory, &opened);
    if (db != NULL) {
        check_u64(of_shard(db, keys, 0), ==, HOT / 2);
        options.even = 1;
        options.move = NULL;
        check_int(warp_balance(db, &options, &done), ==, 0);
        check_u64(done.moves_made, ==, HOT / 2);
        check(near(done.lambda, 1) && near(done.lambda_planned, 2));
        check_u64(of_shard(db, keys, 0), ==, HOT);
        warp_engine_check(db);
        check_int(warp_close(&db), ==, 0);
    }
    free(told);
    free(did);
}

WARP_TEST(balance, weights_count_and_not_bytes)
{
    struct warp_balance_options options = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report report = WARP_BALANCE_REPORT_INIT;
    uint64_t *weights = calloc(WARP_SLOT_COUNT, sizeof(weights[0]));
    struct told *told = calloc(1, sizeof(*told));
    char keys[HOT][32];
    struct warp *db = open_with_hot(test_directory(), keys);

    if (db == NULL || weights == NULL || told == NULL) {
        return;
    }
    options.weights = weights;
    options.context = told;
    options.move = tell_move;
    options.say = tell_sentence;
    /* Nothing weighs anything. */
    check_int(warp_balance(db, &options, &report), ==, 0);
    check_u64(report.moves, ==, 0);
    check(report.lambda <= 0);
    /* Three slots of shard 0, the heaviest of which is more than half of all: it stays, the others go. */
    weights[2] = UINT64_MAX / 2;
    weights[4] = UINT64_MAX / 16;
    weights[6] = UINT64_MAX / 16;
    check_int(warp_balance(db, &options, &report), ==, 0);
    check_u64(report.moves_made, ==, 2);
    check_u64(told->to[2], ==, 0);
    check_u64(told->to[4], ==, 2);
    check_u64(told->to[6], ==, 2);
    check_u64(told->sentences, ==, 1); /* why it stays */
    check(near(report.lambda, 2) && near(report.lambda_planned, 1.6));
    check_u64(of_shard(db, keys, 0), ==, HOT); /* what bytes would say is not asked */
    /* The other way there is nowhere to go, for shard 0 has all that takes memory. */
    memset(weights, 0, WARP_SLOT_COUNT * sizeof(weights[0]));
    weights[1] = weights[3] = 1;
    told->sentences = 0;
    check_int(warp_balance(db, &options, &report), ==, 0);
    check_u64(report.moves, ==, 0);
    check_u64(told->sentences, >, 0);
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
    free(weights);
    free(told);
}

struct writer {
    struct warp *db;
    char (*keys)[32];
    _Atomic bool stop;
    uint64_t last;
    int rc;
};

static void *writer_main(void *context)
{
    struct writer *writer = context;

    while (!atomic_load(&writer->stop) && writer->rc == 0) {
        uint64_t value = writer->last + 1;

        writer->rc = warp_put(writer->db, support_text(writer->keys[value % HOT]),
                              support_slice(&value, sizeof(value)), NULL, NULL);
        writer->last += writer->rc == 0;
    }
    return NULL;
}

WARP_TEST(balance, slots_move_under_a_writer)
{
    struct warp_balance_options options = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report report = WARP_BALANCE_REPORT_INIT;
    char keys[HOT][32];
    struct warp *db = open_with_hot(test_directory(), keys);
    struct writer writer = {.db = db, .keys = keys};
    uint64_t made = 0, value, back;
    pthread_t thread;
    uint32_t round;

    if (db == NULL || pthread_create(&thread, NULL, writer_main, &writer) != 0) {
        return;
    }
    for (round = 0; round < 40; round++) {
        options.even = round % 2;
        check_int(warp_balance(db, &options, &report), ==, 0);
        made += report.moves_made;
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    check_int(writer.rc, ==, 0);
    check_u64(made, >, HOT);
    for (back = 0; back < HOT && back < writer.last; back++) {
        check_int(warp_get(db, support_text(keys[(writer.last - back) % HOT]), &value,
                           sizeof(value), NULL, NULL),
                  ==, 0);
        check_u64(value, ==, writer.last - back);
    }
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(balance, what_is_asked_is_checked)
{
    struct warp_balance_options options = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report report = WARP_BALANCE_REPORT_INIT;
    struct warp_options opened = fixture_options();
    const char *directory = test_directory();
    char keys[HOT][32];
    struct warp *db = open_with_hot(directory, keys);

    if (db == NULL) {
        return;
    }
    options.dry_run = 2;
    check_int(warp_balance(db, &options, NULL), ==, WARP_EINVAL);
    options.dry_run = 0;
    options.even = 2;
    check_int(warp_balance(db, &options, NULL), ==, WARP_EINVAL);
    options.even = 0;
    options.size = 1;
    check_int(warp_balance(db, &options, NULL), ==, WARP_EINVAL);
    report.size = sizeof(report) + 8;
    check_int(warp_balance(db, NULL, &report), ==, WARP_EINVAL);
    check_u64(of_shard(db, keys, 0), ==, HOT);
    check_int(warp_balance(db, NULL, NULL), ==, 0);
    check_u64(of_shard(db, keys, 0), ==, HOT / 2);
    check_int(warp_close(&db), ==, 0);

    opened.open_flags = WARP_READ_ONLY;
    db = fixture_open(directory, &opened);
    if (db == NULL) {
        return;
    }
    options.size = sizeof(options);
    report.size = sizeof(report);
    check_int(warp_balance(db, &options, &report), ==, WARP_EREADONLY);
    options.dry_run = options.even = 1;
    check_int(warp_balance(db, &options, &report), ==, 0);
    check_u64(report.moves, ==, HOT / 2);
    check_int(warp_close(&db), ==, 0);
}
