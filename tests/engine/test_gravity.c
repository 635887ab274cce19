/* The engine runs gravity's epochs: a hot spot on the slots of one shard is spread over all. */
#include "tests/engine/fixture.h"

#include "base/counter.h"
#include "base/hash.h"
#include "engine/engine.h"
#include "shards/background.h"

#define SHARDS     2u
#define HOT        64u    /* keys, each in a slot of its own, all of shard 0's */
#define ROUNDS_MAX 10000u /* of ROUND_PUTS: how long an epoch or two may take to show */
#define ROUND_PUTS 2000u

/* Keys whose slots shard 0 owns. */
static void draw_hot(struct warp *db, char keys[HOT][32])
{
    uint32_t found = 0, i;

    for (i = 0; found < HOT; i++) {
        snprintf(keys[found], 32, "hot-%u", i);
        found += warp_slotmap_owner(&db->store->slotmap,
                                    warp_hash_slot(keys[found], strlen(keys[found]))) == 0;
    }
}

static uint32_t at_home(struct warp *db, char keys[HOT][32])
{
    uint32_t count = 0, i;

    for (i = 0; i < HOT; i++) {
        count += warp_slotmap_owner(&db->store->slotmap,
                                    warp_hash_slot(keys[i], strlen(keys[i]))) == 0;
    }
    return count;
}

static void put_hot(struct warp *db, char keys[HOT][32], uint64_t *number)
{
    uint32_t i;

    for (i = 0; i < ROUND_PUTS; i++) {
        uint64_t value = ++*number;

        check_int(warp_put(db, support_text(keys[value % HOT]),
                           support_slice(&value, sizeof(value)), NULL, NULL),
                  ==, 0);
    }
}

/* What was put last is there. */
static void check_hot(struct warp *db, char keys[HOT][32], uint64_t number)
{
    uint64_t value, back;

    for (back = 0; back < HOT; back++) {
        check_int(warp_get(db, support_text(keys[(number - back) % HOT]), &value,
                           sizeof(value), NULL, NULL),
                  ==, 0);
        check_u64(value, ==, number - back);
    }
}

WARP_TEST(gravity, a_hot_spot_on_one_shard_is_spread)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    const struct warp_rebalance_counters *counters;
    char keys[HOT][32], directory[SUPPORT_PATH_BYTES];
    struct warp *db = NULL;
    uint64_t number = 0;
    uint32_t round;

    support_directory(directory, "gravity");

    options.shard_count = SHARDS;
    options.durability = WARP_MEMORY;
    options.gravity = 1;
    if (!check_int(warp_open(directory, &options, &db), ==, 0)) {
        return;
    }
    draw_hot(db, keys);
    check_u64(at_home(db, keys), ==, HOT);
    counters = &db->background->rebalance.counters;
    for (round = 0; round < ROUNDS_MAX && at_home(db, keys) == HOT; round++) {
        put_hot(db, keys, &number);
    }
    check_u64(warp_counter_read(&counters->moves), >, 0);
    check_u64(warp_counter_read(&counters->epochs), >, 1);
    check_u64(at_home(db, keys), <, HOT);
    check_hot(db, keys, number);
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
    /* Where they went they are after a reopening; without gravity nothing is weighed or moved. */
    options.gravity = 2;
    if (!check_int(warp_open(directory, &options, &db), ==, 0)) {
        return;
    }
    check_u64(at_home(db, keys), <, HOT);
    check_hot(db, keys, number);
    put_hot(db, keys, &number);
    counters = &db->background->rebalance.counters;
    check_u64(warp_counter_read(&counters->epochs), ==, 0);
    check_u64(warp_counter_read(&counters->moves), ==, 0);
    check_int(warp_close(&db), ==, 0);
    support_remove(directory);
}

WARP_TEST(gravity, the_option_is_checked)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    char directory[SUPPORT_PATH_BYTES];
    struct warp *db = NULL;

    support_directory(directory, "gravity");
    options.gravity = 3;
    check_int(warp_open(directory, &options, &db), ==, WARP_EINVAL);
    check(db == NULL);
    support_remove(directory);
}
