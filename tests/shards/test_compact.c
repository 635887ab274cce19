/*
 * What is alive stays readable whatever is moved, removed or fails, and what checkpoints refer to
 * stays on disk until they are gone.
 *
 * The world is a store on a small log, with a model of what it holds, two checkpoints (their
 * places, as a model) and a compaction that is driven step by step.
 */
#include "shards/compact.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/hash.h"
#include "base/io_fault.h"
#include "shards/evict.h"
#include "shards/ledger.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"
#include "wal/archive.h"

#define WORLD_KEYS        60u
#define WORLD_KEPT        2u
#define WORLD_VALUE_BYTES 40000u
#define WORLD_BATCH_MAX   12u
#define WORLD_STEPS_MAX   200000u
#define WORLD_READS       3u

struct world_value {
    bool there;
    uint32_t version, bytes;
    uint64_t expires_at_ms;
};

struct world_place {
    uint64_t place;
    struct world_value value;
    struct warp_ledger_extent extent;
    bool in_batch;
};

struct world_checkpoint {
    uint64_t number, begin;
    struct world_place places[WORLD_KEYS];
};

struct world_read {
    struct warp_coldread cold;
    struct world_value value;
    char key[32];
};

struct world_config {
    uint32_t segment_bytes, shard_count, read_bytes, value_bytes, level,
        amplification_permille;
    uint64_t memory_bytes;
    bool no_batches, no_expiry, slow_reads, faults, threads;
};

struct world {
    struct store_fixture fixture;
    struct warp_fault_disk fault;
    struct warp_holdings holdings;
    struct warp_compact *compact;
    struct warp_epoch_record *record;
    struct warp_random random;
    struct world_config config;
    struct world_value values[WORLD_KEYS];
    struct world_checkpoint kept[WORLD_KEPT]; /* the newest first */
    struct world_checkpoint making;
    bool making_one;
    uint32_t kept_count;
    uint64_t head, checkpoint_next;
    uint32_t version;
    struct world_read reads[WORLD_READS];
    char *text;
    uint64_t removed;
};

static void world_key(uint32_t i, char key[32])
{
    /* Some keys in one slot, of different lengths. */
    snprintf(key, 32,
             i % 3 == 0   ? "{tag}%u"
             : i % 3 == 1 ? "key-%u"
                          : "longer-key-%08u",
             i);
}

static const char *world_text(struct world *world, uint32_t i,
                              const struct world_value *value)
{
    uint32_t at;

    for (at = 0; at < value->bytes; at++) {
        world->text[at] = (char)('a' + (at / 7 + value->version + i) % 26);
    }
    world->text[at] = '\0';
    return world->text;
}

static void world_init(struct world *world, const struct world_config *config,
                       uint64_t seed)
{
    struct store_fixture_config fixture = {.segment_bytes = config->segment_bytes,
                                           .shard_count = config->shard_count,
                                           .threads = config->threads};
    struct warp_compact_config compact;

    memset(world, 0, sizeof(*world));
    world->config = *config;
    store_fixture_init(&world->fixture, &fixture);
    warp_fault_init(&world->fault, world->fixture.env.disk, &world->fixture.memory);
    warp_holdings_init(&world->holdings, &world->fixture.memory, config->segment_bytes);
    warp_random_init(&world->random, seed);
    check_int(warp_epoch_register(world->fixture.epoch, &world->record), ==, 0);
    compact = (struct warp_compact_config){.store = world->fixture.store,
                                           .holdings = &world->holdings,
                                           .segments = &world->fixture.segments,
                                           .disk = &world->fault.disk,
                                           .manifest = &world->fixture.manifest,
                                           .memory_bytes = config->memory_bytes,
                                           .read_bytes = config->read_bytes,
                                           .amplification_permille =
                                               config->amplification_permille,
                                           .level = (int)config->level,
                                           .block_bytes = 2048,
                                           .buffer_bytes = 4096,
                                           .direct = true};
    check_int(warp_compact_create(&world->compact, &compact), ==, 0);
    world->checkpoint_next = 1;
    world->text = malloc(WORLD_VALUE_BYTES + 1);
}

static void world_fini(struct world *world)
{
    uint32_t i;

    for (i = 0; i < WORLD_READS; i++) {
        warp_coldread_end(world->fixture.store, &world->reads[i].cold);
    }
    warp_compact_destroy(&world->compact);
    warp_holdings_fini(&world->holdings);
    warp_epoch_unregister(&world->record);
    warp_fault_fini(&world->fault);
    check_int(store_fixture_fini(&world->fixture), ==, 0);
    free(world->text);
}

static bool world_expired(struct world *world, const struct world_value *value)
{
    return value->expires_at_ms != 0 &&
           value->expires_at_ms <= warp_store_wall_ms(world->fixture.store);
}

/* ---- what happens to a store -------------------------------------------------------------- */

static struct world_value world_draw(struct world *world, uint32_t i)
{
    struct world_value value = {.there = true, .version = ++world->version};
    uint32_t most = world->config.value_bytes;

    value.bytes = (uint32_t)warp_random_below(
        &world->random, warp_random_chance(&world->random, 8) ? most : most / 20 + 2);
    if (!world->config.no_expiry && warp_random_chance(&world->random, 8)) {
        value.expires_at_ms = warp_store_wall_ms(world->fixture.store) + 1 +
                              warp_random_below(&world->random, 3000);
    }
    if (warp_random_chance(&world->random, 2)) {
        /* Another version that differs in nothing but what is in it. */
        value.bytes = world->values[i].bytes;
        value.expires_at_ms = 0;
    }
    return value;
}

static void world_put(struct world *world, uint32_t i, struct world_value value)
{
    char key[32];

    world_key(i, key);
    check_int(
        store_put(&world->fixture, key, world_text(world, i, &value), value.expires_at_ms),
        ==, 0);
    world->values[i] = value;
}

static void world_delete(struct world *world, uint32_t i)
{
    char key[32];
    int rc;

    world_key(i, key);
    rc = store_delete(&world->fixture, key);
    check(rc == 0 || rc == WARP_ABSENT);
    world->values[i].there = false;
}

static void world_batch(struct world *world, uint32_t first, uint32_t count,
                        struct world_value *values)
{
    struct warp_batch_operation operations[WORLD_BATCH_MAX];
    uint8_t *body = calloc(1, WORLD_BATCH_MAX * (WORLD_VALUE_BYTES + 64));
    uint32_t body_bytes = WARP_FRAME_BATCH_HEADER_BYTES;
    uint64_t sequence = 0, end = 0;
    uint32_t n;

    memset(operations, 0, sizeof(operations));
    for (n = 0; n < count; n++) {
        uint32_t i = (first + n) % WORLD_KEYS;
        struct warp_batch_operation *one = &operations[n];
        struct warp_entry entry;
        char key[32];

        world_key(i, key);
        memset(&entry, 0, sizeof(entry));
        entry.kind = values[n].there ? WARP_ENTRY_PUT : WARP_ENTRY_DELETE;
        entry.flags = WARP_ENTRY_HAS_CHECKSUM;
        entry.key = key;
        entry.key_bytes = (uint32_t)strlen(key);
        if (values[n].there) {
            entry.value = world_text(world, i, &values[n]);
            entry.value_bytes = values[n].bytes;
            entry.expires_at_ms = values[n].expires_at_ms;
            entry.flags |= entry.expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0;
        }
        one->hash = warp_hash_key(key, entry.key_bytes, world->fixture.store->hash_seed);
        one->slot = warp_hash_slot(key, entry.key_bytes);
        one->entry_offset = body_bytes;
        body_bytes += (uint32_t)warp_entry_encode_header(body + body_bytes, &entry);
        memcpy(body + body_bytes, key, entry.key_bytes);
        body_bytes += entry.key_bytes;
        if (entry.value_bytes > 0) {
            memcpy(body + body_bytes, entry.value, entry.value_bytes);
            body_bytes += entry.value_bytes;
        }
        world->values[i] = values[n];
    }
    warp_store_u32le(body, count);
    check_int(warp_batch_run(world->fixture.store, operations, count, body, body_bytes,
                             WARP_MEMORY, &sequence, &end),
              ==, 0);
    free(body);
}

static struct warp_record *world_find(struct world *world, uint32_t i, uint32_t *slot,
                                      uint64_t *hash, _Atomic uint64_t **place)
{
    struct warp_store *store = world->fixture.store;
    char key[32];

    world_key(i, key);
    *slot = warp_hash_slot(key, strlen(key));
    *hash = warp_hash_key(key, strlen(key), store->hash_seed);
    return warp_table_find_in(warp_table_resolve(&store->words[*slot], *hash), *hash, key,
                              strlen(key), place);
}

static void world_evict(struct world *world, uint32_t i)
{
    struct warp_store *store = world->fixture.store;
    _Atomic uint64_t *place = NULL;
    struct warp_record *record, *cold;
    struct warp_record_content content;
    struct warp_shard *shard;
    uint32_t slot;
    uint64_t hash;

    (void)world_find(world, i, &slot, &hash, &place);
    shard = warp_store_owner(store, slot);
    warp_shard_enter_surely(shard);
    record = world_find(world, i, &slot, &hash, &place);
    if (record != NULL && !warp_record_is_cold(record) &&
        warp_record_wait_for(record) <= warp_writer_durable(&store->wal->writer)) {
        check_int(warp_put_reserve_exchange(shard), ==, 0);
        content = warp_record_content(record);
        content.cold = true;
        cold = warp_slab_reserve(&shard->limbo.pool,
                                 warp_record_bytes_with((uint32_t)content.key.bytes, 0,
                                                        warp_record_flags(&content)));
        warp_record_write(cold, &content);
        warp_evict_forget(shard, record);
        warp_put_exchange(shard, slot, hash, cold, record, place);
    }
    warp_shard_leave(shard);
}

static void world_evict_all(struct world *world)
{
    uint32_t i;

    check_int(warp_writer_flush(&world->fixture.wal->writer), ==, 0);
    for (i = 0; i < WORLD_KEYS; i++) {
        world_evict(world, i);
    }
}

static bool world_same(struct world *world, uint32_t i, const struct world_value *value,
                       const void *data, size_t bytes)
{
    return bytes == value->bytes && memcmp(world_text(world, i, value), data, bytes) == 0;
}

static void world_get(struct world *world, uint32_t i, bool admit)
{
    struct warp_store *store = world->fixture.store;
    const struct world_value *value = &world->values[i];
    struct warp_coldread cold, *colds = &cold;
    struct warp_record *record;
    uint64_t wait_for, hash;
    uint32_t slot;
    char key[32];

    world_key(i, key);
    slot = warp_hash_slot(key, strlen(key));
    hash = warp_hash_key(key, strlen(key), store->hash_seed);
    cold.open = false;
    warp_epoch_enter(world->record);
    record = warp_get_find(store, slot, hash, store_slice(key), &wait_for);
    if (!value->there || world_expired(world, value)) {
        check(record == NULL);
    } else if (check(record != NULL)) {
        if (warp_record_is_cold(record)) {
            warp_coldread_begin(store, &cold, slot, hash, store_slice(key), record);
        } else {
            check(world_same(world, i, value, warp_record_value(record),
                             warp_record_value_bytes(record)));
        }
    }
    warp_epoch_leave(world->record);
    if (cold.open) {
        warp_coldread_run(store, &colds, 1);
        if (check_int(cold.read.rc, ==, 0)) {
            check(world_same(world, i, value, cold.read.value, cold.read.value_bytes));
            if (admit) {
                warp_coldread_admit(store, &cold);
            }
        }
        warp_coldread_end(store, &cold);
    }
}

static void world_check(struct world *world)
{
    uint32_t i;

    warp_store_check(world->fixture.store);
    for (i = 0; i < WORLD_KEYS; i++) {
        world_get(world, i, false);
    }
}

/* A reader that takes its time between seeing a record and reading what it saw. */
static void world_begin_read(struct world *world, struct world_read *read, uint32_t i)
{
    struct warp_record *record;
    _Atomic uint64_t *place = NULL;
    uint32_t slot;
    uint64_t hash;

    if (read->cold.open) {
        return;
    }
    warp_epoch_enter(world->record);
    record = world_find(world, i, &slot, &hash, &place);
    if (record != NULL && warp_record_is_cold(record)) {
        world_key(i, read->key);
        read->value = world->values[i];
        warp_coldread_begin(world->fixture.store, &read->cold, slot, hash,
                            store_slice(read->key), record);
    }
    warp_epoch_leave(world->record);
}

static void world_end_read(struct world *world, struct world_read *read)
{
    struct warp_coldread *cold = &read->cold;
    uint32_t i;

    if (!cold->open) {
        return;
    }
    warp_coldread_run(world->fixture.store, &cold, 1);
    if (check_int(cold->read.rc, ==, 0)) {
        for (i = 0; i < WORLD_KEYS; i++) {
            char key[32];

            world_key(i, key);
            if (strcmp(key, read->key) == 0 && read->value.there) {
                check(world_same(world, i, &read->value, cold->read.value,
                                 cold->read.value_bytes));
            }
        }
    }
    warp_coldread_end(world->fixture.store, cold);
}

/* ---- checkpoints -------------------------------------------------------------------------- */

static bool world_has_file(struct world *world, bool archive, uint64_t index)
{
    char name[64];

    if (archive) {
        warp_archive_name((uint32_t)index, name);
    } else {
        warp_segment_name(index, name);
    }
    return memory_disk_bytes(world->fixture.disk.now, name, NULL) != NULL;
}

static void world_note_place(struct world *world, uint32_t i, struct world_place *note)
{
    struct warp_record *record;
    _Atomic uint64_t *place = NULL;
    uint32_t slot;
    uint64_t hash;

    memset(note, 0, sizeof(*note));
    warp_epoch_enter(world->record);
    record = world_find(world, i, &slot, &hash, &place);
    if (record != NULL) {
        note->place = warp_record_place(record);
        note->extent = warp_ledger_extent(record);
        note->value = world->values[i];
        note->in_batch = warp_record_in_batch(record);
    }
    warp_epoch_leave(world->record);
}

/* All that a kept checkpoint refers to is there, and for a reader of its own it is right. */
static void world_check_kept(struct world *world, bool deep)
{
    uint64_t segment_bytes = world->config.segment_bytes;
    struct warp_reader *reader = NULL;
    struct warp_reader_config config = {.env = &world->fixture.env,
                                        .memory = &world->fixture.memory,
                                        .manifest = &world->fixture.manifest,
                                        .handles_max = WARP_READER_HANDLES_MIN,
                                        .queue_depth = 4,
                                        .direct = true};
    uint32_t k, i;

    if (deep) {
        check_int(warp_reader_create(&reader, &config), ==, 0);
    }
    for (k = 0; k < world->kept_count; k++) {
        for (i = 0; i < WORLD_KEYS; i++) {
            const struct world_place *note = &world->kept[k].places[i];
            uint64_t at;

            if (note->place == 0) {
                continue;
            }
            if (warp_place_is_archived(note->place)) {
                check(world_has_file(world, true, warp_place_decode(note->place).file));
            } else {
                for (at = note->extent.from / segment_bytes;
                     at <= (note->extent.to - 1) / segment_bytes; at++) {
                    check(world_has_file(world, false, at));
                }
            }
            if (deep && note->value.there) {
                struct warp_read read;
                char key[32];

                memset(&read, 0, sizeof(read));
                world_key(i, key);
                read.place = note->place;
                read.key = store_slice(key);
                read.value_bytes = note->value.bytes;
                read.in_batch = note->in_batch;
                read.has_expiry = note->value.expires_at_ms != 0;
                warp_reader_run(reader, &read, 1);
                if (check_int(read.rc, ==, 0)) {
                    check(world_same(world, i, &note->value, read.value, read.value_bytes));
                }
                warp_read_release(reader, &read);
            }
        }
    }
    if (deep) {
        warp_reader_destroy(&reader);
    }
}

static void world_begin_checkpoint(struct world *world)
{
    uint32_t i;

    if (world->making_one) {
        return;
    }
    check_int(warp_writer_flush(&world->fixture.wal->writer), ==, 0);
    world->making_one = true;
    world->making.number = world->checkpoint_next++;
    world->making.begin = warp_sequence_tail(&world->fixture.wal->writer.sequence);
    for (i = 0; i < WORLD_KEYS; i += 2) {
        world_note_place(world, i, &world->making.places[i]);
    }
}

/* The tables list every file below the begin that its places refer to. */
static void world_check_tables(struct world *world)
{
    uint64_t segment_bytes = world->config.segment_bytes;
    struct warp_holdings_tables tables;
    uint32_t i, n;

    check_int(warp_holdings_tables(&world->holdings, world->making.number, &tables), ==, 0);
    for (i = 0; i < WORLD_KEYS; i++) {
        const struct world_place *note = &world->making.places[i];
        bool found = false;

        if (note->place == 0) {
            continue;
        }
        if (warp_place_is_archived(note->place)) {
            for (n = 0; n < tables.archive_count; n++) {
                found = found ||
                        tables.archives[n].number == warp_place_decode(note->place).file;
            }
        } else {
            uint64_t index = note->place / segment_bytes;

            found = (index + 1) * segment_bytes > world->making.begin;
            for (n = 0; n < tables.segment_count; n++) {
                found = found || tables.segments[n].index == index;
            }
        }
        check(found);
    }
    warp_holdings_tables_release(&world->holdings, &tables);
}

static void world_end_checkpoint(struct world *world)
{
    uint64_t segment_bytes = world->config.segment_bytes;
    uint32_t i;

    if (!world->making_one) {
        return;
    }
    check_int(warp_writer_flush(&world->fixture.wal->writer), ==, 0);
    for (i = 1; i < WORLD_KEYS; i += 2) {
        world_note_place(world, i, &world->making.places[i]);
    }
    check_int(warp_holdings_add_segments(&world->holdings, world->head / segment_bytes,
                                         world->making.begin / segment_bytes),
              ==, 0);
    world_check_tables(world);
    world->kept[1] = world->kept[0];
    world->kept[0] = world->making;
    world->kept_count += world->kept_count < WORLD_KEPT;
    world->making_one = false;
    world->head = world->kept[0].begin;
    warp_segments_advance(&world->fixture.segments, world->head);
}

static void world_checkpoint(struct world *world)
{
    world_begin_checkpoint(world);
    world_end_checkpoint(world);
}

/* ---- compaction --------------------------------------------------------------------------- */

static enum warp_compact_state world_compact(struct world *world, bool force, int *error)
{
    return warp_compact_step(world->compact, world->head, world->checkpoint_next, force,
                             error);
}

static enum warp_compact_state world_remove(struct world *world, int *error)
{
    enum warp_compact_state state;
    uint64_t removed;

    *error = 0;
    if (world->kept_count < WORLD_KEPT) {
        return WARP_COMPACT_IDLE;
    }
    state = warp_compact_remove_step(world->compact, world->kept[1].number, error);
    removed = warp_counter_read(&warp_compact_counters(world->compact)->files_removed);
    if (removed != world->removed) {
        world->removed = removed;
        world_check_kept(world, false);
    }
    return state;
}

static void world_compact_all(struct world *world)
{
    uint32_t steps = 0;
    int error;

    while (world_compact(world, true, &error) != WARP_COMPACT_IDLE) {
        check_int(error, ==, 0);
        if (!check_u64(++steps, <, WORLD_STEPS_MAX)) {
            return;
        }
    }
}

static void world_remove_all(struct world *world)
{
    uint32_t steps = 0;
    int error;

    while (world_remove(world, &error) != WARP_COMPACT_IDLE) {
        check_int(error, ==, 0);
        if (!check_u64(++steps, <, WORLD_STEPS_MAX)) {
            return;
        }
    }
}

/* Compact as much as can be and make two checkpoints that know it: all old log has to be gone. */
static void world_settle(struct world *world)
{
    uint32_t round, i;

    for (i = 0; i < WORLD_READS; i++) {
        world_end_read(world, &world->reads[i]);
    }
    world_end_checkpoint(world);
    for (round = 0; round < 4; round++) {
        warp_clock_fake_advance(&world->fixture.clock, 5000000000);
        store_fixture_settle(&world->fixture);
        world_checkpoint(world);
        world_compact_all(world);
        world_checkpoint(world);
        world_checkpoint(world);
        world_remove_all(world);
        world_check(world);
        world_check_kept(world, true);
    }
}

static void world_check_old_log_is_gone(struct world *world)
{
    uint64_t index;

    check_u64(world->holdings.segment_count, <=, 1); /* the last checkpoint's */
    for (index = 0; index + 4 < world->head / world->config.segment_bytes; index++) {
        check(!world_has_file(world, false, index));
    }
}

/* ---- tests -------------------------------------------------------------------------------- */

static const struct world_config world_plain = {.segment_bytes = 4096,
                                                .shard_count = 3,
                                                .read_bytes = 4096,
                                                .value_bytes = 3000,
                                                .level = 1,
                                                .memory_bytes = 65536};

WARP_TEST(compact, what_is_alive_moves_and_the_old_files_go)
{
    struct world world;
    uint32_t i, round;

    world_init(&world, &world_plain, test_seed());
    for (round = 0; round < 4; round++) {
        for (i = 0; i < WORLD_KEYS; i++) {
            world_put(&world, i, world_draw(&world, i));
        }
    }
    world_checkpoint(&world);
    world_evict_all(&world);
    check(world.holdings.segment_count > 5);
    world_compact_all(&world);
    check(warp_counter_read(&warp_compact_counters(world.compact)->records_moved) > 0);
    world_check(&world);
    /* Until two checkpoints have seen it, the files stay. */
    world_remove_all(&world);
    check(world_has_file(&world, false, 0));
    world_checkpoint(&world);
    world_remove_all(&world);
    check(world_has_file(&world, false, 0));
    world_checkpoint(&world);
    world_remove_all(&world);
    check(!world_has_file(&world, false, 0));
    world_settle(&world);
    world_check_old_log_is_gone(&world);
    world_fini(&world);
}

WARP_TEST(compact, nothing_happens_while_there_is_little_to_win)
{
    struct world world;
    struct world_value value = {.there = true, .bytes = 500};
    uint32_t i, steps = 0;
    int error;

    world_init(&world, &world_plain, test_seed());
    for (i = 0; i < WORLD_KEYS; i++) {
        value.version = i;
        world_put(&world, i, value);
    }
    world_checkpoint(&world);
    while (world_compact(&world, false, &error) != WARP_COMPACT_IDLE) {
        check_u64(++steps, <, 1000);
    }
    check_u64(warp_counter_read(&warp_compact_counters(world.compact)->archives), ==, 0);
    for (i = 0; i < WORLD_KEYS; i += 2) {
        value.version = i + 100;
        world_put(&world, i, value);
    }
    world_checkpoint(&world);
    while (world_compact(&world, false, &error) != WARP_COMPACT_IDLE) {
        check_u64(++steps, <, 10000);
    }
    check_u64(warp_counter_read(&warp_compact_counters(world.compact)->archives), >, 0);
    world_check(&world);
    world_settle(&world);
    world_fini(&world);
}

WARP_TEST(compact, less_is_allowed_when_something_else_takes_the_space)
{
    struct world_config config = world_plain;
    struct world world;
    struct world_value value = {.there = true, .bytes = 500};
    const struct warp_compact_counters *counters;
    uint64_t disk, live;
    uint32_t i, steps = 0;
    int error;

    config.amplification_permille = 100000;
    world_init(&world, &config, test_seed());
    counters = warp_compact_counters(world.compact);
    for (i = 0; i < 2 * WORLD_KEYS; i++) {
        value.version = i;
        world_put(&world, i % WORLD_KEYS, value);
    }
    world_checkpoint(&world);
    while (world_compact(&world, false, &error) != WARP_COMPACT_IDLE) {
        check_u64(++steps, <, 1000);
    }
    disk = warp_counter_read(&counters->disk_bytes);
    live = warp_counter_read(&counters->live_bytes);
    check_u64(live, <, disk);
    check_u64(warp_counter_read(&counters->archives), ==, 0);
    /* As much as there is: nothing to do. */
    warp_compact_allow(world.compact, disk);
    while (world_compact(&world, false, &error) != WARP_COMPACT_IDLE) {
        check_u64(++steps, <, 1000);
    }
    check_u64(warp_counter_read(&counters->archives), ==, 0);
    warp_compact_allow(world.compact, live + (disk - live) / 2);
    while (world_compact(&world, false, &error) != WARP_COMPACT_IDLE) {
        check_u64(++steps, <, 10000);
    }
    check_u64(warp_counter_read(&counters->archives), >, 0);
    world_check(&world);
    world_settle(&world);
    world_fini(&world);
}

/* A frame over the boundary of two segments, at every alignment of header, entry and value. */
static void straddle(bool in_batch, uint32_t fill, uint32_t bytes)
{
    struct world_config config = world_plain;
    struct world_value filler = {.there = true, .version = 1, .bytes = fill};
    struct world_value values[3] = {{.there = true, .version = 2, .bytes = bytes},
                                    {.there = true, .version = 3, .bytes = bytes / 2 + 1},
                                    {.there = true, .version = 4, .bytes = 20}};
    struct world world;
    uint32_t i;

    config.shard_count = 1;
    world_init(&world, &config, test_seed());
    world_put(&world, 0, filler);
    if (in_batch) {
        world_batch(&world, 1, 3, values);
    } else {
        for (i = 0; i < 3; i++) {
            world_put(&world, 1 + i, values[i]);
        }
    }
    filler.version = 5;
    filler.bytes = 9000;
    world_put(&world, 10, filler);
    world_put(&world, 11, filler);
    world_evict_all(&world);
    world_checkpoint(&world);
    /* What begins the first segment goes, so that it has nothing but what reaches out of it. */
    world_delete(&world, 0);
    if (in_batch && bytes % 3 == 0) {
        world_delete(&world, 1);
    }
    world_settle(&world);
    world_check_old_log_is_gone(&world);
    world_fini(&world);
}

WARP_TEST(compact, records_over_every_boundary_move_whole)
{
    uint32_t fill;

    for (fill = 3850; fill < 4100; fill += 5) {
        straddle(false, fill, 30);
        straddle(false, fill, 9000);
    }
}

WARP_TEST(compact, batches_over_every_boundary_move_whole)
{
    uint32_t fill;

    for (fill = 3850; fill < 4100; fill += 5) {
        straddle(true, fill, 30);
        straddle(true, fill, 9000);
        straddle(true, fill, 3001);
    }
}

/* What is alive of a batch in a later segment is found although the one it begins in has nothing. */
WARP_TEST(compact, the_tail_of_a_batch_does_not_outlive_its_begin)
{
    struct world_config config = world_plain;
    struct world_value values[12];
    struct world world;
    uint32_t i;

    world_init(&world, &config, test_seed());
    for (i = 0; i < 12; i++) {
        values[i] = (struct world_value){.there = true, .version = i, .bytes = 1500};
    }
    world_batch(&world, 0, 12, values);
    world_evict_all(&world);
    for (i = 0; i < 11; i++) {
        world_delete(&world, i);
    }
    world_checkpoint(&world);
    world_settle(&world);
    world_check_old_log_is_gone(&world);
    check_u64(warp_counter_read(&warp_compact_counters(world.compact)->records_moved), ==,
              1);
    world_fini(&world);
}

static void world_random_operation(struct world *world)
{
    struct warp_random *random = &world->random;
    uint32_t i = (uint32_t)warp_random_below(random, WORLD_KEYS);
    struct world_value values[WORLD_BATCH_MAX];
    uint32_t count, n;
    uint64_t due_ns;
    int error;

    switch (warp_random_below(random, 24)) {
    case 0:
    case 1:
    case 2:
        world_put(world, i, world_draw(world, i));
        break;
    case 3:
        world_delete(world, i);
        break;
    case 4:
        if (world->config.no_batches) {
            break;
        }
        count = 1 + (uint32_t)warp_random_below(random, WORLD_BATCH_MAX);
        for (n = 0; n < count; n++) {
            values[n] = world_draw(world, (i + n) % WORLD_KEYS);
            values[n].there = !warp_random_chance(random, 5);
        }
        world_batch(world, i, count, values);
        break;
    case 5:
        check_int(warp_writer_flush(&world->fixture.wal->writer), ==, 0);
        break;
    case 6:
    case 7:
        world_evict(world, i);
        break;
    case 8:
    case 9:
        world_get(world, i, true);
        break;
    case 10:
        if (warp_random_chance(random, 4)) {
            warp_clock_fake_advance(&world->fixture.clock,
                                    warp_random_below(random, 300) * 1000000);
            for (n = 0; n < world->config.shard_count; n++) {
                (void)warp_shard_turn(world->fixture.store->shards[n],
                                      warp_clock_ns(world->fixture.env.clock), &due_ns);
            }
        }
        break;
    case 11:
        if (warp_random_chance(random, 3)) {
            world_begin_checkpoint(world);
        }
        break;
    case 12:
        if (warp_random_chance(random, 3)) {
            world_end_checkpoint(world);
        }
        break;
    case 13:
    case 14:
    case 15:
        (void)world_remove(world, &error);
        break;
    case 16:
        world_begin_read(world, &world->reads[i % WORLD_READS], i);
        break;
    case 17:
        if (!world->config.slow_reads || warp_random_chance(random, 10)) {
            world_end_read(world, &world->reads[i % WORLD_READS]);
        }
        break;
    default:
        if (world->config.faults && warp_random_chance(random, 10)) {
            warp_fault_plan(&world->fault, WARP_FAULT_ALL & ~(1u << WARP_FAULT_READ),
                            warp_random_below(random, 10),
                            warp_random_chance(random, 2) ? -ENOSPC : -EMFILE,
                            warp_random_chance(random, 3));
        } else if (world->config.faults) {
            warp_fault_plan_none(&world->fault);
        }
        for (n = (uint32_t)warp_random_below(random, 6); n > 0; n--) {
            (void)world_compact(world, warp_random_chance(random, 8), &error);
        }
        break;
    }
}

static struct world_config world_draw_config(uint64_t seed)
{
    static const uint32_t segments[] = {4096, 8192, 65536};
    struct warp_random random;
    struct world_config config;

    memset(&config, 0, sizeof(config));
    warp_random_init(&random, seed);
    config.segment_bytes = segments[warp_random_below(&random, 3)];
    config.shard_count = 1 + (uint32_t)warp_random_below(&random, 4);
    config.read_bytes = warp_random_chance(&random, 2) ? 4096 : 65536;
    config.value_bytes = 2 + (uint32_t)warp_random_below(
                                 &random, config.segment_bytes * 5 < WORLD_VALUE_BYTES
                                              ? config.segment_bytes * 5
                                              : WORLD_VALUE_BYTES);
    config.level = (uint32_t)warp_random_below(&random, 2);
    config.slow_reads = warp_random_chance(&random, 2);
    config.no_expiry = warp_random_chance(&random, 3);
    config.faults = warp_random_chance(&random, 4);
    config.memory_bytes = 4096u << warp_random_below(&random, 8);
    return config;
}

static void schedules(uint64_t from, uint64_t to, uint32_t operations)
{
    uint64_t moved = 0, left = 0, archives = 0, removed = 0;
    uint64_t seed;

    for (seed = from; seed < to && test_failures() == 0; seed++) {
        struct world_config config = world_draw_config(seed);
        struct world world;
        uint32_t i;

        world_init(&world, &config, seed);
        for (i = 0; i < operations && test_failures() == 0; i++) {
            world_random_operation(&world);
        }
        warp_fault_plan_none(&world.fault);
        world_check(&world);
        world_check_kept(&world, true);
        world_settle(&world);
        world_check_old_log_is_gone(&world);
        check_u64(warp_counter_read(&warp_compact_counters(world.compact)->victims_damaged),
                  ==, 0);
        moved += warp_counter_read(&warp_compact_counters(world.compact)->records_moved);
        left += warp_counter_read(&warp_compact_counters(world.compact)->records_left);
        archives += warp_counter_read(&warp_compact_counters(world.compact)->archives);
        removed += warp_counter_read(&warp_compact_counters(world.compact)->files_removed);
        world_fini(&world);
        if (test_failures() != 0) {
            test_fail(__FILE__, __LINE__, "seed %llu", (unsigned long long)seed);
        }
    }
    if (getenv("WARP_TEST_SCHEDULES") != NULL) {
        printf("%llu moved, %llu left, %llu archives, %llu files removed\n",
               (unsigned long long)moved, (unsigned long long)left,
               (unsigned long long)archives, (unsigned long long)removed);
    }
}

WARP_TEST(compact, random_schedules_agree_with_a_model)
{
    const char *more = getenv("WARP_TEST_SCHEDULES");

    schedules(test_seed(), test_seed() + (more != NULL ? strtoull(more, NULL, 10) : 150),
              600);
}

/* Overwritten, moved, and known by two checkpoints: there are files to remove. */
static void world_with_empty_files(struct world *world)
{
    uint32_t i, round;

    world_init(world, &world_plain, test_seed());
    for (round = 0; round < 3; round++) {
        for (i = 0; i < WORLD_KEYS; i++) {
            world_put(world, i, world_draw(world, i));
        }
    }
    world_checkpoint(world);
    world_compact_all(world);
    world_checkpoint(world);
    world_checkpoint(world);
    check(world_has_file(world, false, 0));
}

static void world_check_blocked(struct world *world)
{
    uint32_t steps;
    int error;

    for (steps = 0; steps < 100; steps++) {
        check(world_remove(world, &error) != WARP_COMPACT_IDLE);
        check_int(error, ==, 0);
    }
    check(world_remove(world, &error) == WARP_COMPACT_BLOCKED);
    check(world_has_file(world, false, 0));
}

WARP_TEST(compact, files_wait_for_who_may_still_read_them)
{
    struct world world;
    struct warp_coldread_gate *gate;
    struct warp_epoch_record *reader = NULL;
    uint32_t side;

    world_with_empty_files(&world);
    gate = &world.fixture.store->gate;
    check_int(warp_epoch_register(world.fixture.epoch, &reader), ==, 0);

    check(warp_shard_enter(world.fixture.store->shards[1]));
    world_check_blocked(&world);
    warp_shard_leave(world.fixture.store->shards[1]);

    warp_epoch_enter(reader);
    world_check_blocked(&world);
    warp_epoch_leave(reader);

    side = warp_coldread_enter(gate);
    world_check_blocked(&world);
    warp_coldread_leave(gate, side);
    world_remove_all(&world);
    check(!world_has_file(&world, false, 0));
    warp_epoch_unregister(&reader);
    world_settle(&world);
    world_fini(&world);
}

WARP_TEST(compact, files_wait_for_readers_on_the_other_side_too)
{
    struct world world;
    struct warp_coldread_gate *gate;
    uint32_t other;

    world_with_empty_files(&world);
    gate = &world.fixture.store->gate;
    /* It read the generation, slept while the gate was turned, and then took its place. */
    other = (atomic_load(&gate->generation) & 1) ^ 1;
    atomic_fetch_add_explicit(&gate->inside[other], 1, memory_order_relaxed);
    world_check_blocked(&world);
    warp_coldread_leave(gate, other);
    world_remove_all(&world);
    check(!world_has_file(&world, false, 0));
    world_settle(&world);
    world_fini(&world);
}

WARP_TEST(compact, a_read_that_began_before_ends_well)
{
    struct world world;
    uint32_t i;

    world_init(&world, &world_plain, test_seed());
    for (i = 0; i < WORLD_KEYS; i++) {
        world_put(&world, i,
                  (struct world_value){.there = true, .version = i, .bytes = 700});
    }
    world_evict_all(&world);
    world_begin_read(&world, &world.reads[0], 5);
    world_begin_read(&world, &world.reads[1], 6);
    world_delete(&world, 5);
    world_checkpoint(&world);
    world_compact_all(&world);
    world_checkpoint(&world);
    world_checkpoint(&world);
    world_check_blocked(&world);
    world_end_read(&world, &world.reads[0]);
    world_check_blocked(&world);
    world_end_read(&world, &world.reads[1]);
    world_remove_all(&world);
    check(!world_has_file(&world, false, 0));
    world_settle(&world);
    world_fini(&world);
}

/* ---- what can fail ------------------------------------------------------------------------ */

/* Log and archives with holes, some of it in batches, cold and resident. */
static void world_with_holes(struct world *world, uint32_t segment_bytes)
{
    struct world_config config = world_plain;
    struct world_value values[WORLD_BATCH_MAX];
    uint32_t i, n;

    config.segment_bytes = segment_bytes;
    config.no_expiry = true;
    config.memory_bytes = 16384;
    world_init(world, &config, 77);
    for (i = 0; i < WORLD_KEYS; i++) {
        world_put(world, i,
                  (struct world_value){.there = true, .version = i, .bytes = 300});
    }
    world_checkpoint(world);
    world_compact_all(world);
    for (i = 0; i < WORLD_KEYS; i += 2) {
        world_put(world, i,
                  (struct world_value){
                      .there = true, .version = 100 + i, .bytes = i == 10 ? 20000 : 500});
    }
    for (n = 0; n < WORLD_BATCH_MAX; n++) {
        values[n] = (struct world_value){.there = true, .version = 200 + n, .bytes = 900};
    }
    world_batch(world, 30, WORLD_BATCH_MAX, values);
    world_evict_all(world);
    for (i = 0; i < WORLD_KEYS; i += 5) {
        world_put(world, i,
                  (struct world_value){.there = true, .version = 300 + i, .bytes = 40});
        world_get(world, i, true);
    }
    world_checkpoint(world);
    world_checkpoint(world);
}

/* Go on whatever is answered; how many errors there were. */
static uint32_t world_struggle(struct world *world, uint32_t steps, int only)
{
    uint32_t errors = 0;
    int error;

    for (; steps > 0; steps--) {
        enum warp_compact_state state = world_compact(world, true, &error);

        check(error == 0 || state == WARP_COMPACT_BLOCKED);
        check(error == 0 || only == 0 || error == only);
        errors += error != 0;
        if (state == WARP_COMPACT_IDLE || steps % 3 == 0) {
            (void)world_remove(world, &error);
            errors += error != 0;
        }
        if (state == WARP_COMPACT_IDLE) {
            break;
        }
    }
    return errors;
}

static void fail_operations(uint32_t kinds, int error, bool persistent, bool damages)
{
    uint64_t n;

    for (n = 0; n < 2000 && test_failures() == 0; n++) {
        struct world world;
        uint64_t failed;

        world_with_holes(&world, 4096);
        warp_fault_plan(&world.fault, kinds, n, error, persistent);
        (void)world_struggle(&world, 400, 0);
        failed = warp_fault_failed(&world.fault);
        warp_fault_plan_none(&world.fault);
        world_check(&world);
        world_check_kept(&world, true);
        world_settle(&world);
        if (!damages) {
            check_u64(
                warp_counter_read(&warp_compact_counters(world.compact)->victims_damaged),
                ==, 0);
            world_check_old_log_is_gone(&world);
        }
        world_fini(&world);
        if (test_failures() != 0) {
            test_fail(__FILE__, __LINE__, "kinds %x, operation %llu", kinds,
                      (unsigned long long)n);
        }
        if (failed == 0) {
            check_u64(n, >, 0);
            return;
        }
        if (persistent && n > 20) {
            n += 6;
        }
    }
}

WARP_TEST(compact, a_read_that_fails_costs_nothing_but_space)
{
    fail_operations(1u << WARP_FAULT_READ, -EIO, false, true);
    fail_operations(1u << WARP_FAULT_READ, -EIO, true, true);
}

WARP_TEST(compact, a_write_that_fails_ends_the_run_and_no_more)
{
    uint32_t kinds = 1u << WARP_FAULT_WRITE | 1u << WARP_FAULT_SYNC |
                     1u << WARP_FAULT_RENAME | 1u << WARP_FAULT_SYNC_DIRECTORY |
                     1u << WARP_FAULT_ALLOCATE | 1u << WARP_FAULT_TRUNCATE |
                     1u << WARP_FAULT_UNLINK;

    fail_operations(kinds, -EIO, false, false);
    fail_operations(kinds, -EIO, true, false);
    fail_operations(kinds, -ENOSPC, true, false);
}

WARP_TEST(compact, files_that_cannot_be_opened_are_tried_again)
{
    fail_operations(1u << WARP_FAULT_OPEN, -EMFILE, false, false);
    fail_operations(1u << WARP_FAULT_OPEN, -EMFILE, true, false);
}

WARP_TEST(compact, memory_that_runs_out_ends_the_run_and_no_more)
{
    uint64_t n;

    for (n = 0; n < 3000 && test_failures() == 0; n += n < 100 ? 1 : 17) {
        struct world world;
        uint64_t calls;
        uint32_t errors;

        world_with_holes(&world, 4096);
        calls = warp_memory_calls(&world.fixture.memory);
        warp_memory_fail_after(&world.fixture.memory, n);
        errors = world_struggle(&world, 400, 0);
        calls = warp_memory_calls(&world.fixture.memory) - calls;
        warp_memory_fail_after(&world.fixture.memory, UINT64_MAX);
        world_check(&world);
        world_check_kept(&world, true);
        world_settle(&world);
        world_check_old_log_is_gone(&world);
        world_fini(&world);
        if (test_failures() != 0) {
            test_fail(__FILE__, __LINE__, "call %llu", (unsigned long long)n);
        }
        if (errors == 0 && calls <= n) {
            check_u64(n, >, 5);
            return;
        }
    }
}

WARP_TEST(compact, creating_it_without_memory_leaves_nothing)
{
    struct world world;
    struct warp_compact *compact = NULL;
    struct warp_compact_config config;
    uint64_t n;
    int rc = WARP_ENOMEM;

    world_init(&world, &world_plain, test_seed());
    config = (struct warp_compact_config){.store = world.fixture.store,
                                          .holdings = &world.holdings,
                                          .segments = &world.fixture.segments,
                                          .disk = &world.fault.disk,
                                          .manifest = &world.fixture.manifest,
                                          .memory_bytes = 65536};
    for (n = 0; rc != 0; n++) {
        warp_memory_fail_after(&world.fixture.memory, n);
        rc = warp_compact_create(&compact, &config);
        warp_memory_fail_after(&world.fixture.memory, UINT64_MAX);
        check(rc == 0 || (rc == WARP_ENOMEM && compact == NULL));
    }
    warp_compact_destroy(&compact);
    check(compact == NULL);
    world_fini(&world);
}

/* Whoever waits for an end must hear of each, or waits for ever (simulation seed 9807). */
WARP_TEST(compact, a_full_disk_is_told_each_time_a_small_step_has_failed)
{
    struct world world;
    struct memory_disk *disk;
    uint32_t told = 0, blocked = 0, steps;
    int error;

    world_with_holes(&world, 4096);
    disk = world.fixture.disk.now;
    /* Not a byte more than there is. */
    disk->space_bytes = 0;
    for (steps = 0; steps < 300; steps++) {
        blocked += world_compact(&world, true, &error) == WARP_COMPACT_BLOCKED;
        told += error == WARP_ENOSPC;
        check(error == 0 || error == WARP_ENOSPC);
        if (told == 1 && blocked == 1 && error != 0) { /* all at once, then one file */
            check_u64(
                warp_counter_read(&warp_compact_counters(world.compact)->runs_given_up), ==,
                2);
        }
    }
    check_u64(told, ==, blocked);
    check_u64(blocked, >, 3);
    world_check(&world);
    disk->space_bytes = UINT64_MAX;
    world_settle(&world);
    world_check_old_log_is_gone(&world);
    world_fini(&world);
}

/* Flip a bit of the key or value that lies at a position of the log. */
static void world_rot(struct world *world, uint64_t position)
{
    char name[WARP_SEGMENT_NAME_BYTES];
    uint64_t bytes = 0;
    uint8_t *data;

    warp_segment_name(position / world->config.segment_bytes, name);
    data = memory_disk_bytes(world->fixture.disk.now, name, &bytes);
    if (check(data != NULL)) {
        data[WARP_SEGMENT_HEADER_BYTES + position % world->config.segment_bytes] ^= 4;
    }
}

static void rot(bool resident, uint32_t distance, uint64_t noticed)
{
    struct world world;
    struct world_place note;
    uint32_t i;

    world_init(&world, &world_plain, test_seed());
    for (i = 0; i < WORLD_KEYS; i++) {
        world_put(&world, i,
                  (struct world_value){.there = true, .version = i, .bytes = 600});
    }
    if (!resident) {
        world_evict_all(&world);
    }
    world_checkpoint(&world);
    for (i = 0; i < WORLD_KEYS; i += 4) {
        world_delete(&world, i);
    }
    world_note_place(&world, 21, &note);
    world_rot(&world, note.place + distance);
    world_compact_all(&world);
    check_u64(warp_counter_read(&warp_compact_counters(world.compact)->victims_damaged), ==,
              noticed);
    world_checkpoint(&world);
    world_checkpoint(&world);
    world_compact_all(&world);
    world_remove_all(&world);
    world_compact_all(&world);
    check(world_has_file(&world, false, note.place / world.config.segment_bytes));
    check_u64(warp_counter_read(&warp_compact_counters(world.compact)->victims_damaged), ==,
              noticed);
    /* All but the damaged one can be read; once it is overwritten, its file goes. */
    world_put(&world, 21, (struct world_value){.there = true, .version = 7, .bytes = 60});
    world_check(&world);
    for (i = 0; i < WORLD_KEYS; i++) {
        if (world.values[i].there) {
            world_put(&world, i,
                      (struct world_value){.there = true, .version = i + 9, .bytes = 50});
        }
    }
    world.kept_count = 0; /* they refer to what is damaged */
    world_settle(&world);
    world_check_old_log_is_gone(&world);
    world_fini(&world);
}

WARP_TEST(compact, damage_is_left_where_it_is)
{
    rot(false, 100, 1); /* of the value */
    rot(true, 100, 1);
    rot(false, 10, 0); /* of the key: it is nobody's */
    rot(false, 0, 1);  /* of the entry's header */
}

/* ---- beside threads ----------------------------------------------------------------------- */

#define WORKERS       2u
#define WORKER_KEYS   40u
#define WORKER_ROUNDS 6u

struct worker {
    struct world *world;
    uint32_t id;
    uint32_t written, cold;
    _Atomic bool *stop;
    pthread_t thread;
};

static void worker_value(const struct worker *worker, uint32_t n, char value[400])
{
    uint32_t bytes = 20 + n * 37 % 350;
    uint32_t i;

    for (i = 0; i < bytes; i++) {
        value[i] = (char)('a' + (n + worker->id + i / 5) % 26);
    }
    value[bytes] = '\0';
}

static bool worker_look(struct worker *worker, struct warp_epoch_record *record,
                        const char *key, const char *value)
{
    struct warp_store *store = worker->world->fixture.store;
    uint32_t slot = warp_hash_slot(key, strlen(key));
    uint64_t hash = warp_hash_key(key, strlen(key), store->hash_seed);
    struct warp_coldread cold, *colds = &cold;
    struct warp_record *found;
    uint64_t wait_for;
    bool same = false;

    cold.open = false;
    warp_epoch_enter(record);
    found = warp_get_find(store, slot, hash, store_slice(key), &wait_for);
    if (found != NULL && warp_record_is_cold(found)) {
        warp_coldread_begin(store, &cold, slot, hash, store_slice(key), found);
    } else if (found != NULL) {
        same = warp_record_value_bytes(found) == strlen(value) &&
               memcmp(warp_record_value(found), value, strlen(value)) == 0;
    }
    warp_epoch_leave(record);
    if (cold.open) {
        worker->cold++;
        warp_coldread_run(store, &colds, 1);
        same = cold.read.rc == 0 && cold.read.value_bytes == strlen(value) &&
               memcmp(cold.read.value, value, strlen(value)) == 0;
        if (worker->written % 3 == 0) {
            warp_coldread_admit(store, &cold);
        }
        warp_coldread_end(store, &cold);
    }
    return same;
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct warp_epoch_record *record = NULL;
    uint32_t last[WORKER_KEYS] = {0};
    char key[32], value[400];
    uint32_t n;

    check_int(warp_epoch_register(worker->world->fixture.epoch, &record), ==, 0);
    for (n = 1; !atomic_load(worker->stop) && test_failures() == 0; n++) {
        uint32_t i = n * 7 % WORKER_KEYS;
        uint32_t look = n * 13 % WORKER_KEYS;

        /* Some keep their values for long, so that there is something to move. */
        if (last[i] == 0 || (n % 2 == 0 && (i >= WORKER_KEYS / 2 || n % 4096 < 64))) {
            snprintf(key, sizeof(key), "worker-%u-%u", worker->id, i);
            worker_value(worker, n, value);
            check_int(store_put(&worker->world->fixture, key, value, 0), ==, 0);
            last[i] = n;
            worker->written++;
        }
        if (last[look] != 0) {
            snprintf(key, sizeof(key), "worker-%u-%u", worker->id, look);
            worker_value(worker, last[look], value);
            check(worker_look(worker, record, key, value));
        }
    }
    warp_epoch_unregister(&record);
    return NULL;
}

static int evict_visit(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct warp_shard *shard = context;
    struct warp_store *store = shard->store;
    struct warp_record_content content;
    struct warp_record *cold;

    if (warp_record_is_cold(record) ||
        warp_record_wait_for(record) > warp_writer_durable(&store->wal->writer) ||
        warp_put_reserve_exchange(shard) < 0) {
        return 0;
    }
    content = warp_record_content(record);
    content.cold = true;
    cold = warp_slab_reserve(&shard->limbo.pool,
                             warp_record_bytes_with((uint32_t)content.key.bytes, 0,
                                                    warp_record_flags(&content)));
    if (cold != NULL) {
        uint32_t slot = warp_hash_slot(content.key.data, content.key.bytes);

        warp_record_write(cold, &content);
        warp_evict_forget(shard, record);
        warp_put_exchange(
            shard, slot,
            warp_hash_key(content.key.data, content.key.bytes, store->hash_seed), cold,
            record, place);
    }
    return 0;
}

static void evict_everything(struct warp_store *store)
{
    uint32_t i, slot;

    for (i = 0; i < store->shard_count; i++) {
        warp_shard_enter_surely(store->shards[i]);
        for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
            if (warp_slotmap_owner(&store->slotmap, slot) == i) {
                (void)warp_table_walk(&store->words[slot], evict_visit, store->shards[i]);
            }
        }
        warp_shard_leave(store->shards[i]);
    }
}

WARP_TEST(compact, goes_on_beside_threads_that_write_and_read)
{
    struct world_config config = world_plain;
    struct worker workers[WORKERS];
    struct world world;
    _Atomic bool stop = false;
    uint32_t i, round, steps;
    uint64_t removed;
    int error;

    config.segment_bytes = 65536;
    config.shard_count = 2;
    config.threads = true;
    world_init(&world, &config, test_seed());
    for (i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.world = &world, .id = i, .stop = &stop};
        check_int(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), ==,
                  0);
    }
    for (round = 0; round < WORKER_ROUNDS; round++) {
        struct warp_writer *writer = &world.fixture.wal->writer;
        uint64_t begin;

        usleep(30000); /* let them write some segments */
        begin = warp_sequence_tail(&writer->sequence);
        /* All below is applied once every lease was free. */
        for (i = 0; i < config.shard_count; i++) {
            warp_shard_enter_surely(world.fixture.store->shards[i]);
            warp_shard_leave(world.fixture.store->shards[i]);
        }
        check_int(warp_writer_wait(writer, begin, UINT64_MAX), ==, 0);
        evict_everything(world.fixture.store);
        world.checkpoint_next++;
        check_int(warp_holdings_add_segments(&world.holdings,
                                             world.head / config.segment_bytes,
                                             begin / config.segment_bytes),
                  ==, 0);
        world.head = begin;
        warp_segments_advance(&world.fixture.segments, begin);
        for (steps = 0; steps < 20000; steps++) {
            enum warp_compact_state state = world_compact(&world, true, &error);

            check_int(error, ==, 0);
            (void)warp_compact_remove_step(world.compact, world.checkpoint_next - 1,
                                           &error);
            check_int(error, ==, 0);
            if (state == WARP_COMPACT_IDLE && steps > 300) {
                break;
            }
        }
    }
    atomic_store(&stop, true);
    for (i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        check(workers[i].written > 0);
    }
    check(workers[0].cold + workers[1].cold > 0);
    removed = warp_counter_read(&warp_compact_counters(world.compact)->files_removed);
    check_u64(removed, >, 0);
    check_u64(warp_counter_read(&warp_compact_counters(world.compact)->records_moved), >,
              0);
    world_fini(&world);
}
