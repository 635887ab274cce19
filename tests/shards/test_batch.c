/* All of a batch or nothing, whatever fails on the way. */
#include "shards/batch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/counter.h"
#include "base/hash.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

struct batch_fixture {
    struct warp_batch_operation *operations;
    uint8_t *body;
    uint32_t count, capacity, body_bytes, body_capacity;
};

static void batch_init(struct batch_fixture *batch, uint32_t capacity,
                       uint32_t body_capacity)
{
    memset(batch, 0, sizeof(*batch));
    batch->operations = calloc(capacity, sizeof(*batch->operations));
    batch->body = calloc(1, body_capacity);
    batch->capacity = capacity;
    batch->body_capacity = body_capacity;
    batch->body_bytes = 8;
}

static void batch_fini(struct batch_fixture *batch)
{
    free(batch->operations);
    free(batch->body);
}

/* value NULL: a delete */
static void batch_add(struct store_fixture *fixture, struct batch_fixture *batch,
                      const char *key, const char *value, uint64_t expires_at_ms)
{
    struct warp_batch_operation *one = &batch->operations[batch->count];
    struct warp_entry entry;
    uint8_t *at = batch->body + batch->body_bytes;

    memset(&entry, 0, sizeof(entry));
    entry.kind = value != NULL ? WARP_ENTRY_PUT : WARP_ENTRY_DELETE;
    entry.flags =
        WARP_ENTRY_HAS_CHECKSUM | (expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0u);
    entry.key = key;
    entry.key_bytes = (uint32_t)strlen(key);
    entry.value = value;
    entry.value_bytes = value != NULL ? (uint32_t)strlen(value) : 0;
    entry.expires_at_ms = expires_at_ms;
    one->hash = warp_hash_key(key, entry.key_bytes, fixture->store->hash_seed);
    one->slot = warp_hash_slot(key, entry.key_bytes);
    one->entry_offset = batch->body_bytes;
    at += warp_entry_encode_header(at, &entry);
    memcpy(at, key, entry.key_bytes);
    at += entry.key_bytes;
    if (entry.value_bytes > 0) {
        memcpy(at, value, entry.value_bytes);
        at += entry.value_bytes;
    }
    batch->body_bytes = (uint32_t)(at - batch->body);
    batch->count++;
    warp_store_u32le(batch->body, batch->count);
}

static int batch_run(struct store_fixture *fixture, struct batch_fixture *batch,
                     uint64_t *sequence, uint64_t *end)
{
    return warp_batch_run(fixture->store, batch->operations, batch->count, batch->body,
                          batch->body_bytes, WARP_COMMIT, sequence, end);
}

WARP_TEST(batch, each_operation_of_it_is_weighed_on_its_own_slot)
{
    struct store_fixture_config config = {.shard_count = 3};
    struct store_fixture fixture;
    struct batch_fixture batch;
    uint64_t sequence = 0, end = 0, samples = 0, ticks = 0;
    uint32_t i, round;
    char key[32];

    store_fixture_init(&fixture, &config);
    batch_init(&batch, 300, 65536);
    for (i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        batch_add(&fixture, &batch, key, "value", 0);
    }
    warp_mass_set_period(&fixture.store->mass, 1);
    for (round = 0; round < 3; round++) {
        check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
    }
    for (i = 0; i < 3; i++) {
        samples += warp_counter_read(&fixture.store->shards[i]->sampler.samples);
    }
    for (i = 0; i < 300; i++) {
        struct warp_mass_cell *cell = &fixture.store->slots[batch.operations[i].slot].mass;

        ticks += cell->ticks > 0;
    }
    /* All, but for the first of its size in each shard. */
    check_u64(samples, ==, 3 * 300 - 3);
    check_u64(ticks, ==, 300);
    batch_fini(&batch);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(batch, puts_and_deletes_over_all_shards_are_applied_in_order)
{
    struct store_fixture_config config = {.shard_count = 5};
    struct store_fixture fixture, again;
    struct batch_fixture batch;
    uint64_t sequence = 0, end = 0, tail;
    char key[32];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    batch_init(&batch, 300, 65536);
    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(store_put(&fixture, key, "before", 0), ==, 0);
    }
    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        batch_add(&fixture, &batch, key, i % 3 == 0 ? NULL : "after", 0);
    }
    /* The same key more than once, and there and away and there again. */
    batch_add(&fixture, &batch, "twice", "first", 0);
    batch_add(&fixture, &batch, "twice", "second", 0);
    batch_add(&fixture, &batch, "key-1", NULL, 0);
    batch_add(&fixture, &batch, "key-1", "back", 0);
    batch_add(&fixture, &batch, "gone", "there", 0);
    batch_add(&fixture, &batch, "gone", NULL, 0);
    batch_add(&fixture, &batch, "gone", NULL, 0);
    tail = warp_sequence_tail(&fixture.wal->writer.sequence);
    check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
    check_u64(end, ==, tail + warp_frame_bytes(batch.body_bytes));
    check_u64(sequence, ==,
              tail + WARP_FRAME_HEADER_BYTES +
                  batch.operations[batch.count - 1].entry_offset);
    check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, 0);
    store_fixture_init(&again, NULL);
    store_fixture_replay(&fixture, &again, true, 0);
    for (i = 2; i < 200; i++) {
        const char *expected = i % 3 == 0 ? NULL : "after";

        snprintf(key, sizeof(key), "key-%u", i);
        if (expected == NULL) {
            check(store_get(&fixture, key) == NULL);
            check(store_get(&again, key) == NULL);
        } else {
            check_str(store_get(&fixture, key), expected);
            check_str(store_get(&again, key), expected);
        }
    }
    check_str(store_get(&fixture, "twice"), "second");
    check_str(store_get(&fixture, "key-1"), "back");
    check(store_get(&fixture, "gone") == NULL);
    check_str(store_get(&again, "twice"), "second");
    check_str(store_get(&again, "key-1"), "back");
    check(store_get(&again, "gone") == NULL);
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        check_u64(fixture.store->slots[i].count.reserved, ==, 0);
    }
    batch_fini(&batch);
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(batch, deleting_and_putting_again_fills_no_table)
{
    struct store_fixture fixture;
    struct batch_fixture batch;
    uint64_t sequence, end;
    char key[32];
    uint32_t size, i, round;

    /* At every fill of one slot's table. */
    for (size = 1; size < 60; size++) {
        store_fixture_init(&fixture, NULL);
        batch_init(&batch, 1000, 65536);
        for (i = 0; i < size; i++) {
            snprintf(key, sizeof(key), "{t}%u", i);
            check_int(store_put(&fixture, key, "v", 0), ==, 0);
        }
        for (round = 0; round < 3; round++) {
            for (i = 0; i < size; i++) {
                snprintf(key, sizeof(key), "{t}%u", i);
                batch_add(&fixture, &batch, key, NULL, 0);
                batch_add(&fixture, &batch, key, "w", 0);
            }
            snprintf(key, sizeof(key), "{t}new-%u", round);
            batch_add(&fixture, &batch, key, "w", 0);
        }
        check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
        warp_store_check(fixture.store);
        for (i = 0; i < size; i++) {
            snprintf(key, sizeof(key), "{t}%u", i);
            check_str(store_get(&fixture, key), "w");
        }
        batch_fini(&batch);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

/* Every allocation of a batch fails once; nothing of it may be seen then. */
static void fail_everywhere(bool one_slot)
{
    uint64_t after;
    bool failed = true;

    for (after = 0; failed && after < 300; after++) {
        struct store_fixture_config config = {.shard_count = 3};
        struct store_fixture fixture;
        struct batch_fixture batch;
        uint64_t sequence = 77, end = 78, tail;
        char key[32];
        uint32_t i;
        int rc;

        store_fixture_init(&fixture, &config);
        batch_init(&batch, 2000, 1u << 20);
        for (i = 0; i < 300; i++) {
            snprintf(key, sizeof(key), "%skey-%u", one_slot ? "{t}" : "", i);
            check_int(store_put(&fixture, key, "before", 0), ==, 0);
        }
        for (i = 0; i < 1200; i++) {
            snprintf(key, sizeof(key), "%skey-%u", one_slot ? "{t}" : "", i);
            batch_add(&fixture, &batch, key, i % 4 == 0 && i < 300 ? NULL : "after", 0);
        }
        /* Room first, so that the log's own work is not in the way. */
        check_int(warp_writer_make_room(&fixture.wal->writer,
                                        warp_frame_bytes(batch.body_bytes), false,
                                        UINT64_MAX),
                  ==, 0);
        tail = warp_sequence_tail(&fixture.wal->writer.sequence);
        warp_memory_fail_after(&fixture.memory, after);
        rc = batch_run(&fixture, &batch, &sequence, &end);
        failed = rc != 0;
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        warp_store_check(fixture.store);
        for (i = 0; i < 3; i++) {
            check(!warp_lease_is_held(&fixture.store->shards[i]->lease));
        }
        if (failed) {
            check_int(rc, ==, WARP_ENOMEM);
            check_u64(sequence, ==, 77);
            check_u64(end, ==, 78);
            check_u64(warp_sequence_tail(&fixture.wal->writer.sequence), ==, tail);
            for (i = 0; i < 1200; i++) {
                snprintf(key, sizeof(key), "%skey-%u", one_slot ? "{t}" : "", i);
                if (i < 300) {
                    check_str(store_get(&fixture, key), "before");
                } else {
                    check(store_get(&fixture, key) == NULL);
                }
            }
            for (i = 0; i < WARP_SLOT_COUNT; i++) {
                check_u64(fixture.store->slots[i].count.reserved, ==, 0);
            }
            check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
        }
        for (i = 0; i < 1200; i++) {
            snprintf(key, sizeof(key), "%skey-%u", one_slot ? "{t}" : "", i);
            if (i % 4 == 0 && i < 300) {
                check(store_get(&fixture, key) == NULL);
            } else {
                check_str(store_get(&fixture, key), "after");
            }
        }
        batch_fini(&batch);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
    check(!failed);
    check_u64(after, >, 2);
}

WARP_TEST(batch, no_memory_at_any_call_changes_nothing)
{
    fail_everywhere(false);
    fail_everywhere(true);
}

WARP_TEST(batch, a_hundred_thousand_operations_are_one_frame)
{
    uint32_t one_slot;

    for (one_slot = 0; one_slot < 2; one_slot++) {
        struct store_fixture_config config = {.shard_count = 4, .segment_bytes = 1u << 20};
        struct store_fixture fixture, again;
        struct batch_fixture batch;
        struct store_scan scan;
        uint64_t sequence, end;
        char key[32];
        uint32_t i;

        store_fixture_init(&fixture, &config);
        batch_init(&batch, 100000, 8u << 20);
        for (i = 0; i < 100000; i++) {
            snprintf(key, sizeof(key), "%skey-%u", one_slot ? "{t}" : "", i);
            batch_add(&fixture, &batch, key, key, 0);
        }
        check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
        warp_store_check(fixture.store);
        check_int(warp_writer_wait(&fixture.wal->writer, end, UINT64_MAX), ==, 0);
        store_fixture_scan(&fixture, true, &scan);
        check_int(scan.rc, ==, 0);
        check_u64(scan.kinds[WARP_FRAME_BATCH], ==, 1);
        store_fixture_init(&again, NULL);
        store_fixture_replay(&fixture, &again, true, 0);
        warp_store_check(again.store);
        for (i = 0; i < 100000; i++) {
            snprintf(key, sizeof(key), "%skey-%u", one_slot ? "{t}" : "", i);
            if (!check_str(store_get(&fixture, key), key) ||
                !check_str(store_get(&again, key), key)) {
                break;
            }
        }
        batch_fini(&batch);
        check_int(store_fixture_fini(&again), ==, 0);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(batch, a_full_disk_refuses_the_whole)
{
    struct store_fixture fixture;
    struct batch_fixture batch;
    uint64_t sequence, end, tail;
    uint32_t i;
    char key[32], value[2000];

    store_fixture_init(&fixture, NULL);
    batch_init(&batch, 1000, 4u << 20);
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    fixture.disk.now->space_bytes = 0;
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        batch_add(&fixture, &batch, key, value, 0);
    }
    tail = warp_sequence_tail(&fixture.wal->writer.sequence);
    check_int(batch_run(&fixture, &batch, &sequence, &end), ==, WARP_ENOSPC);
    check_u64(warp_sequence_tail(&fixture.wal->writer.sequence), ==, tail);
    check(store_get(&fixture, "key-0") == NULL);
    fixture.disk.now->space_bytes = UINT64_MAX;
    warp_clock_fake_advance(&fixture.clock, 1000000000);
    check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
    check(store_has(&fixture, "key-999", value, strlen(value)));
    batch_fini(&batch);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(batch, a_failed_log_refuses_the_whole)
{
    struct store_fixture fixture;
    struct batch_fixture batch;
    uint64_t sequence, end;

    store_fixture_init(&fixture, NULL);
    batch_init(&batch, 10, 4096);
    batch_add(&fixture, &batch, "k", "v", 0);
    fixture.disk.fail_write_at = fixture.disk.writes;
    (void)store_put(&fixture, "x", "y", 0);
    check_int(warp_writer_flush(&fixture.wal->writer), ==, WARP_EFAILED);
    check_int(batch_run(&fixture, &batch, &sequence, &end), ==, WARP_EFAILED);
    check(store_get(&fixture, "k") == NULL);
    batch_fini(&batch);
    check_int(store_fixture_fini(&fixture), ==, WARP_EFAILED);
}

/* ---- beside others ------------------------------------------------------------------- */

struct neighbour {
    struct store_fixture *fixture;
    _Atomic bool *stop;
    const char *key;
    pthread_t thread;
    uint64_t count;
};

static void *neighbour_main(void *context)
{
    struct neighbour *neighbour = context;

    while (!atomic_load(neighbour->stop)) {
        check_int(store_put(neighbour->fixture, neighbour->key,
                            neighbour->count % 2 == 0 ? "a" : "b", 0),
                  ==, 0);
        neighbour->count++;
    }
    return NULL;
}

/* A key of the shard. */
static void key_of_shard(struct store_fixture *fixture, uint32_t shard, char *key,
                         size_t bytes)
{
    uint32_t i = 0;

    do {
        snprintf(key, bytes, "of-%u-%u", shard, i++);
    } while (warp_store_owner(fixture->store, warp_hash_slot(key, strlen(key))) !=
             fixture->store->shards[shard]);
}

WARP_TEST(batch, a_batch_leaves_other_shards_alone)
{
    struct store_fixture_config config = {.shard_count = 2,
                                          .threads = true,
                                          .segment_bytes = 1u << 20,
                                          .buffer_bytes = 1u << 20};
    struct store_fixture fixture;
    struct batch_fixture batch;
    struct neighbour neighbour;
    _Atomic bool stop = false;
    uint64_t sequence, end;
    char key[2][32];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 2; i++) {
        key_of_shard(&fixture, i, key[i], sizeof(key[i]));
    }
    batch_init(&batch, 1000, 65536);
    for (i = 0; i < 300; i++) {
        batch_add(&fixture, &batch, key[0], "v", 0);
    }
    memset(&neighbour, 0, sizeof(neighbour));
    neighbour.fixture = &fixture;
    neighbour.stop = &stop;
    neighbour.key = key[1];
    pthread_create(&neighbour.thread, NULL, neighbour_main, &neighbour);
    for (i = 0; i < 500; i++) {
        check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
    }
    atomic_store(&stop, true);
    pthread_join(neighbour.thread, NULL);
    check_str(store_get(&fixture, key[0]), "v");
    batch_fini(&batch);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

struct committer {
    struct store_fixture *fixture;
    uint32_t number;
    pthread_t thread;
};

static void *commit_main(void *context)
{
    struct committer *committer = context;
    struct batch_fixture batch;
    uint64_t sequence, end = 0;
    char key[32], value[32];
    uint32_t round, i;

    for (round = 0; round < 100; round++) {
        batch_init(&batch, 100, 65536);
        for (i = 0; i < 40; i++) {
            snprintf(key, sizeof(key), "shared-%u", i);
            snprintf(value, sizeof(value), "%u-%u", committer->number, round);
            batch_add(committer->fixture, &batch, key, value, 0);
        }
        check_int(batch_run(committer->fixture, &batch, &sequence, &end), ==, 0);
        batch_fini(&batch);
    }
    check_int(warp_writer_wait(&committer->fixture->wal->writer, end, UINT64_MAX), ==, 0);
    return NULL;
}

WARP_TEST(batch, committers_of_the_same_keys_do_not_mix)
{
    struct store_fixture_config config = {
        .shard_count = 8, .threads = true, .segment_bytes = 1u << 20};
    struct store_fixture fixture, again;
    struct committer committers[3];
    char key[32], first[64];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 3; i++) {
        committers[i].fixture = &fixture;
        committers[i].number = i;
        pthread_create(&committers[i].thread, NULL, commit_main, &committers[i]);
    }
    for (i = 0; i < 3; i++) {
        pthread_join(committers[i].thread, NULL);
    }
    store_fixture_init(&again, NULL);
    store_fixture_replay(&fixture, &again, true, 0);
    snprintf(first, sizeof(first), "%s", store_get(&fixture, "shared-0"));
    for (i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "shared-%u", i);
        check_str(store_get(&fixture, key), first);
        check_str(store_get(&again, key), first);
    }
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(batch, cold_records_are_replaced_removed_and_read_from_a_batch)
{
    struct store_fixture_config config = {.shard_count = 3, .values_bytes_max = 512};
    struct store_fixture fixture;
    struct batch_fixture batch;
    uint64_t sequence = 0, end = 0;
    char key[32], value[64];
    uint32_t i, cold = 0;

    store_fixture_init(&fixture, &config);
    batch_init(&batch, 300, 65536);
    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(store_put(&fixture, key, "before", 0), ==, 0);
    }
    store_make_cold(&fixture);
    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        snprintf(value, sizeof(value), "after-%u", i);
        if (i % 4 != 0) {
            batch_add(&fixture, &batch, key, i % 4 == 1 ? NULL : value, 0);
        }
    }
    check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
    warp_store_check(fixture.store);
    store_make_cold(&fixture); /* out of a BATCH frame */
    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        snprintf(value, sizeof(value), "after-%u", i);
        cold += store_is_cold(&fixture, key);
        if (i % 4 == 1) {
            check(store_get(&fixture, key) == NULL);
        } else {
            check_str(store_get(&fixture, key), i % 4 == 0 ? "before" : value);
            check_int(warp_record_in_batch(store_find(&fixture, key)), ==, i % 4 != 0);
        }
    }
    check_u64(cold, ==, 150);
    batch_fini(&batch);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Values leave in the middle of a batch's preparation; then it is refused as a whole, or done. */
WARP_TEST(batch, evicting_for_a_batch_keeps_its_places)
{
    struct store_fixture_config config = {.shard_count = 2, .values_bytes_max = 256};
    struct store_fixture fixture;
    uint32_t round, i;

    store_fixture_init(&fixture, &config);
    for (round = 0; round < 100; round++) {
        struct batch_fixture batch;
        uint64_t sequence = 0, end = 0;
        char key[32], value[64];

        batch_init(&batch, 100, 65536);
        for (i = 0; i < 60; i++) {
            snprintf(key, sizeof(key), "key-%u", (round * 7 + i * 3) % 150);
            snprintf(value, sizeof(value), "round-%u", round);
            batch_add(&fixture, &batch, key, value, 0);
        }
        check_int(batch_run(&fixture, &batch, &sequence, &end), ==, 0);
        store_make_durable(&fixture);
        for (i = 0; i < 60; i++) {
            snprintf(key, sizeof(key), "key-%u", (round * 7 + i * 3) % 150);
            check_str(store_get(&fixture, key), value);
        }
        batch_fini(&batch);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}
