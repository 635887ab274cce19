/* What the log says last is what the store has. */
#include "shards/replay.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

WARP_TEST(replay, the_later_write_wins_and_deletes_delete)
{
    struct store_fixture_config five = {.shard_count = 5};
    struct store_fixture fixture, again;
    struct warp_random random;
    char key[32], value[32];
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    warp_random_init(&random, test_seed());
    for (i = 0; i < 8000; i++) {
        snprintf(key, sizeof(key), "key-%u", (uint32_t)warp_random_below(&random, 700));
        snprintf(value, sizeof(value), "value-%u", i);
        if (warp_random_chance(&random, 3)) {
            int rc = store_delete(&fixture, key);

            check(rc == 0 || rc == WARP_ABSENT);
        } else {
            check_int(store_put(&fixture, key, value, 0), ==, 0);
        }
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    /* Into another number of shards. */
    store_fixture_init(&again, &five);
    store_fixture_replay(&fixture, &again, true, 0);
    warp_store_check(again.store);
    for (i = 0; i < 700; i++) {
        char here[64];
        const char *found;

        snprintf(key, sizeof(key), "key-%u", i);
        found = store_get(&fixture, key);
        if (found == NULL) {
            check(store_get(&again, key) == NULL);
        } else {
            snprintf(here, sizeof(here), "%s", found);
            check_str(store_get(&again, key), here);
        }
    }
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(replay, sequences_and_expiry_come_back_the_same)
{
    struct store_fixture fixture, again;
    struct warp_slice key = store_slice("k");
    uint64_t waits[2], now_ms;
    struct warp_record *records[2];
    uint32_t slot = warp_hash_slot("k", 1);

    store_fixture_init(&fixture, NULL);
    now_ms = warp_store_wall_ms(fixture.store);
    check_int(store_put(&fixture, "k", "v", now_ms + 10000), ==, 0);
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_init(&again, NULL);
    store_fixture_replay(&fixture, &again, true, now_ms);
    records[0] =
        warp_get_find(fixture.store, slot, warp_hash_key("k", 1, fixture.store->hash_seed),
                      key, &waits[0]);
    records[1] = warp_get_find(
        again.store, slot, warp_hash_key("k", 1, again.store->hash_seed), key, &waits[1]);
    if (check(records[0] != NULL && records[1] != NULL)) {
        check_u64(records[1]->word, ==, records[0]->word);
        check_u64(warp_record_expires_at_ms(records[1]), ==, now_ms + 10000);
    }
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(replay, what_has_expired_stays_away_with_what_it_replaced)
{
    struct store_fixture fixture, again;
    uint64_t now_ms;

    store_fixture_init(&fixture, NULL);
    now_ms = warp_store_wall_ms(fixture.store);
    check_int(store_put(&fixture, "k", "old", 0), ==, 0);
    check_int(store_put(&fixture, "k", "new", now_ms + 10), ==, 0);
    check_int(store_put(&fixture, "back", "old", now_ms + 10), ==, 0);
    check_int(store_put(&fixture, "back", "new", 0), ==, 0);
    check_int(store_put(&fixture, "later", "v", now_ms + 11), ==, 0);
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_init(&again, NULL);
    store_fixture_replay(&fixture, &again, true, now_ms + 10);
    check(store_get(&again, "k") == NULL);
    check_str(store_get(&again, "back"), "new");
    check_str(store_get(&again, "later"), "v");
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(replay, no_memory_is_said_and_a_bad_body_is_damage)
{
    struct store_fixture fixture;
    struct warp_replay_counts counts = {0, 0};
    uint8_t body[64] = {9, 9, 9, 9};
    const uint8_t *bodies[1] = {body};
    struct warp_frame frame;
    struct warp_scan_chunk chunk;
    struct warp_entry entry;
    struct warp_shard *shard;

    store_fixture_init(&fixture, NULL);
    memset(&frame, 0, sizeof(frame));
    frame.kind = WARP_FRAME_RECORD;
    frame.position = 4096;
    frame.body_bytes = 20;
    memset(&chunk, 0, sizeof(chunk));
    chunk.frames = &frame;
    chunk.bodies = bodies;
    chunk.frame_count = 1;
    shard = warp_store_owner(fixture.store, warp_hash_slot("key", 3));
    warp_shard_enter_surely(shard);
    check_int(warp_replay_chunk(shard, &chunk, 0, &counts), ==, WARP_EDAMAGED);
    memset(&entry, 0, sizeof(entry));
    entry.kind = WARP_ENTRY_PUT;
    entry.key = "key";
    entry.key_bytes = 3;
    entry.value = "value";
    entry.value_bytes = 5;
    frame.body_bytes = (uint32_t)warp_entry_encode_header(body, &entry);
    memcpy(body + frame.body_bytes, "keyvalue", 8);
    frame.body_bytes += 8;
    warp_memory_fail_after(&fixture.memory, 0);
    check_int(warp_replay_chunk(shard, &chunk, 0, &counts), ==, WARP_ENOMEM);
    warp_memory_fail_after(&fixture.memory, UINT64_MAX);
    check_int(warp_replay_chunk(shard, &chunk, 0, &counts), ==, 0);
    warp_shard_leave(shard);
    check_str(store_get(&fixture, "key"), "value");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Read all of `count` keys of `again` from the disk of `fixture`, whose log it has replayed. */
static void check_replayed(struct store_fixture *fixture, struct store_fixture *again,
                           uint32_t count)
{
    struct warp_reader *own = again->store->reader;
    char key[32], value[64];
    uint32_t i, cold = 0;

    again->store->reader = fixture->reader;
    for (i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        snprintf(value, sizeof(value), "value-%u", i);
        check_str(store_get(again, key), value);
        cold += store_is_cold(again, key);
    }
    again->store->reader = own;
    check_u64(cold, >, count / 2);
    warp_store_check(again->store);
}

WARP_TEST(replay, values_beyond_memory_stay_on_disk)
{
    struct store_fixture_config tiny = {.shard_count = 3, .values_bytes_max = 1024};
    struct store_fixture fixture, again;
    char key[32], value[64];
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    for (i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        snprintf(value, sizeof(value), "value-%u", i);
        check_int(store_put(&fixture, key, value, 0), ==, 0);
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_init(&again, &tiny);
    again.store->wal = NULL; /* as during an open */
    store_fixture_replay(&fixture, &again, true, 0);
    check_replayed(&fixture, &again, 2000);
    again.store->wal = again.wal;
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Making room takes memory out of use just as the replacing does: at every fill of the bags. */
WARP_TEST(replay, replacing_and_evicting_share_what_is_reserved)
{
    struct store_fixture_config tiny = {.shard_count = 1, .values_bytes_max = 64};
    uint32_t offset, i;

    for (offset = 0; offset < 70; offset++) {
        struct store_fixture fixture, again;
        char key[32];

        store_fixture_init(&fixture, NULL);
        for (i = 0; i < 200 + offset; i++) {
            snprintf(key, sizeof(key), "key-%u", i < offset ? i : offset + i % 5);
            check_int(store_put(&fixture, key, i % 2 == 0 ? "a" : "some longer value", 0),
                      ==, 0);
        }
        check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
        store_fixture_init(&again, &tiny);
        again.store->wal = NULL;
        store_fixture_replay(&fixture, &again, true, 0);
        warp_store_check(again.store);
        again.store->wal = again.wal;
        check_int(store_fixture_fini(&again), ==, 0);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

/* A record concerns one shard, a batch maybe all, what carries no entry none. */
WARP_TEST(replay, labels_name_the_shard_that_a_frame_concerns)
{
    struct store_fixture fixture;
    struct warp_replay_counts counts = {0, 0};
    uint8_t body[64] = {0}, label;
    const uint8_t *bodies[1] = {body};
    struct warp_scan_chunk chunk = {.bodies = bodies, .labels = &label, .frame_count = 1};
    struct warp_frame frame = {.kind = WARP_FRAME_RECORD, .position = 4096};
    struct warp_entry entry = {.kind = WARP_ENTRY_PUT,
                               .key = "key",
                               .key_bytes = 3,
                               .value = "value",
                               .value_bytes = 5};
    struct warp_shard *shard;

    store_fixture_init(&fixture, NULL);
    shard = warp_store_owner(fixture.store, warp_hash_slot("key", 3));
    frame.body_bytes = (uint32_t)warp_entry_encode_header(body, &entry);
    memcpy(body + frame.body_bytes, "keyvalue", 8);
    frame.body_bytes += 8;
    chunk.frames = &frame;
    label = warp_replay_label(fixture.store, &frame, body);
    check_u64(label, ==, shard->id);
    warp_shard_enter_surely(shard);
    label = (uint8_t)(shard->id + 1); /* another's: passed over */
    check_int(warp_replay_chunk(shard, &chunk, 0, &counts), ==, 0);
    check_u64(counts.operations, ==, 0);
    label = (uint8_t)shard->id;
    check_int(warp_replay_chunk(shard, &chunk, 0, &counts), ==, 0);
    check_u64(counts.operations, ==, 1);
    /* A body that makes no sense is not passed over by anybody, so that it is found. */
    body[0] = 9;
    label = warp_replay_label(fixture.store, &frame, body);
    check_u64(label, >=, WARP_SHARD_COUNT_MAX);
    check_int(warp_replay_chunk(shard, &chunk, 0, &counts), ==, WARP_EDAMAGED);
    frame.kind = WARP_FRAME_BATCH;
    check_u64(warp_replay_label(fixture.store, &frame, body), ==, label);
    frame.kind = WARP_FRAME_CLOSE;
    check_u64(warp_replay_label(fixture.store, &frame, body), !=, label);
    warp_shard_leave(shard);
    check_str(store_get(&fixture, "key"), "value");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* The newer checkpoint proved to be damaged when it was half loaded: the older one's word counts. */
WARP_TEST(replay, the_checkpoint_loaded_last_says_which_archive)
{
    struct warp_place first = {.file = 3, .unit = 1, .units = 2};
    struct warp_place second = {.file = 9, .unit = 7, .units = 2};
    struct warp_checkpoint_entry entry = {.key = "key", .key_bytes = 3, .value_bytes = 5};
    struct warp_replay_counts counts = {0, 0};
    uint32_t slot = warp_hash_slot("key", 3);
    struct store_fixture fixture;
    struct warp_shard *shard;
    const struct warp_record *record;
    uint64_t hash;

    store_fixture_init(&fixture, NULL);
    hash = warp_hash_key("key", 3, fixture.store->hash_seed);
    shard = warp_store_owner(fixture.store, slot);
    warp_shard_enter_surely(shard);
    entry.place = warp_place_encode(&second);
    check_int(warp_replay_entry(shard, slot, 1, &entry, 0, &counts), ==, 0);
    entry.place = warp_place_encode(&first);
    check_int(warp_replay_entry(shard, slot, 1, &entry, 0, &counts), ==, 0);
    record = warp_table_find(&fixture.store->words[slot], hash, "key", 3);
    check_u64(warp_record_place(record), ==, entry.place);
    /* What was written later, and moved into no archive, is newer than both. */
    entry.place = 70000;
    check_int(warp_replay_entry(shard, slot, 1, &entry, 0, &counts), ==, 0);
    entry.place = warp_place_encode(&second);
    check_int(warp_replay_entry(shard, slot, 1, &entry, 0, &counts), ==, 0);
    record = warp_table_find(&fixture.store->words[slot], hash, "key", 3);
    check_u64(warp_record_place(record), ==, 70000);
    warp_shard_leave(shard);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
