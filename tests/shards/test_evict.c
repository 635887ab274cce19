/* Values leave memory when they should, and nothing else changes by it. */
#include "shards/evict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

static const char *key_of(uint32_t i, char key[32])
{
    snprintf(key, 32, "key-%u", i);
    return key;
}

static const char *value_of(uint32_t i, char value[128])
{
    snprintf(value, 128, "value-%u-%0*u", i, (int)(i % 90) + 1, i);
    return value;
}

static void fill(struct store_fixture *fixture, uint32_t from, uint32_t to)
{
    char key[32], value[128];
    uint32_t i;

    for (i = from; i < to; i++) {
        uint32_t tries = 0;
        int rc;

        while ((rc = store_put(fixture, key_of(i, key), value_of(i, value), 0)) ==
                   WARP_ENOMEM &&
               tries < WARP_EVICT_RELIEFS_MAX &&
               warp_evict_relieve(fixture->store, fixture->store->shards[0], 200, tries)) {
            tries++;
        }
        if (!check_int(rc, ==, 0)) {
            return;
        }
    }
}

static void check_filled(struct store_fixture *fixture, uint32_t from, uint32_t to)
{
    char key[32], value[128];
    uint32_t i;

    for (i = from; i < to; i++) {
        const char *found = store_get(fixture, key_of(i, key));

        if (!check(found != NULL) || !check_str(found, value_of(i, value))) {
            return;
        }
    }
}

static uint64_t cold_records(const struct store_fixture *fixture)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < fixture->config.shard_count; i++) {
        sum += warp_counter_read(&fixture->store->shards[i]->counters.cold_records);
    }
    return sum;
}

WARP_TEST(evict, only_what_is_durable_leaves)
{
    struct store_fixture_config config = {.values_bytes_max = 1024, .shard_count = 1};
    struct store_fixture fixture;

    store_fixture_init(&fixture, &config);
    fill(&fixture, 0, 200); /* to memory: none of it is written yet */
    check_u64(cold_records(&fixture), ==, 0);
    store_make_durable(&fixture);
    fill(&fixture, 200, 400);
    check_u64(cold_records(&fixture), >, 150);
    check_u64(cold_records(&fixture), <=, 200);
    check_filled(&fixture, 0, 400);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, the_room_for_values_is_kept)
{
    struct store_fixture_config config = {.values_bytes_max = 8192, .shard_count = 2};
    struct store_fixture fixture;
    uint32_t i, k;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 100; i++) {
        fill(&fixture, i * 20, i * 20 + 20);
        store_make_durable(&fixture);
        for (k = 0; k < 2; k++) {
            struct warp_shard *shard = fixture.store->shards[k];

            check_u64(warp_horizon_bytes(&shard->horizon), <=, 8192 + 20 * 256);
            check_u64(shard->values_max, <=, 8192);
        }
    }
    warp_store_check(fixture.store);
    check_u64(cold_records(&fixture), >, 1500);
    check_filled(&fixture, 0, 2000);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, a_share_is_what_others_leave)
{
    struct store_fixture_config config = {.memory_bytes_max = 32u << 20, .shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *shard;
    uint64_t before;
    void *big;

    store_fixture_init(&fixture, &config);
    shard = fixture.store->shards[0];
    warp_shard_enter_surely(shard);
    warp_evict_share(shard);
    before = shard->memory_hard;
    check_u64(before, >, 10u << 20);
    check_u64(before, <, 16u << 20);
    check_u64(shard->memory_soft, <, before);
    check_u64(shard->values_max, <=, shard->memory_soft);
    big = warp_memory_reserve(&fixture.memory, 8u << 20, 0);
    warp_evict_share(shard);
    check_u64(before - shard->memory_hard, >=, 4u << 20);
    check_u64(before - shard->memory_hard, <, 5u << 20);
    warp_memory_release(&fixture.memory, big, 8u << 20);
    /* More than all: nothing is left, and nothing wraps round. */
    big = warp_memory_reserve(&fixture.memory, 40u << 20, 0);
    warp_evict_share(shard);
    check_u64(shard->memory_hard, ==, 0);
    check_u64(shard->memory_soft, ==, 0);
    check_u64(shard->values_max, ==, 0);
    warp_memory_release(&fixture.memory, big, 40u << 20);
    warp_evict_share(shard);
    check_u64(shard->memory_hard, ==, before);
    warp_shard_leave(shard);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, an_update_keeps_its_place_in_the_queues)
{
    struct store_fixture_config config = {.shard_count = 1};
    struct store_fixture fixture;
    struct warp_record *record;
    struct warp_horizon *horizon;
    uint64_t entries, bytes;
    uint8_t queue, hits;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    horizon = &fixture.store->shards[0]->horizon;
    check_int(store_put(&fixture, "k", "old", 0), ==, 0);
    record = store_find(&fixture, "k");
    queue = warp_record_queue(record);
    hits = warp_record_hits(record);
    check_int(queue, !=, WARP_HORIZON_NONE);
    entries = warp_counter_read(&horizon->metrics.entries);
    bytes = warp_horizon_bytes(horizon);
    check_u64(bytes, ==, warp_slab_round(warp_record_bytes_of(record)));
    for (i = 0; i < 10; i++) {
        check_int(store_put(&fixture, "k", "new, and so much longer", 0), ==, 0);
    }
    record = store_find(&fixture, "k");
    check_int(warp_record_queue(record), ==, queue);
    check_int(warp_record_hits(record), >, hits); /* to write it is to want it */
    check_u64(warp_counter_read(&horizon->metrics.entries), ==, entries);
    check_u64(warp_horizon_bytes(horizon), ==,
              warp_slab_round(warp_record_bytes_of(record)));
    check_int(store_delete(&fixture, "k"), ==, 0);
    check_u64(warp_horizon_bytes(horizon), ==, 0);
    /* Of a cold one: it is admitted anew. */
    check_int(store_put(&fixture, "k", "old", 0), ==, 0);
    store_make_cold(&fixture);
    check(store_is_cold(&fixture, "k"));
    check_u64(warp_horizon_bytes(horizon), ==, 0);
    check_int(store_put(&fixture, "k", "new", 0), ==, 0);
    check(!store_is_cold(&fixture, "k"));
    check_u64(warp_horizon_bytes(horizon), ==,
              warp_slab_round(warp_record_bytes_of(store_find(&fixture, "k"))));
    store_make_cold(&fixture);
    check_int(store_delete(&fixture, "k"), ==, 0);
    check_u64(cold_records(&fixture), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, what_is_lent_stays_readable)
{
    struct store_fixture_config config = {.shard_count = 1};
    struct warp_value value = WARP_VALUE_INIT;
    struct store_fixture fixture;
    struct warp_limbo *limbo;
    struct warp_record *record;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    limbo = &fixture.store->shards[0]->limbo;
    check_int(store_put(&fixture, "k", "lent", 0), ==, 0);
    record = store_find(&fixture, "k");
    check_int(warp_get_lend(fixture.store, record, &value), ==, 0);
    check_u64(warp_record_hits(record), ==, 1);
    store_make_cold(&fixture);
    for (i = 0; i < 5; i++) {
        warp_shard_enter_surely(fixture.store->shards[0]);
        (void)warp_limbo_collect(limbo, true);
        warp_shard_leave(fixture.store->shards[0]);
    }
    check(store_is_cold(&fixture, "k"));
    check_u64(limbo->pinned_count, ==, 1);
    check_u64(limbo->pending_bytes, ==, warp_slab_round(warp_record_bytes_of(record)));
    check_bytes(value.data, value.bytes, "lent", 4);
    check_str(store_get(&fixture, "k"), "lent");
    warp_get_return(&value);
    warp_shard_enter_surely(fixture.store->shards[0]);
    (void)warp_limbo_collect(limbo, true);
    check_u64(limbo->pending_bytes, ==, 0);
    warp_shard_leave(fixture.store->shards[0]);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, a_call_makes_a_bounded_number_of_steps)
{
    struct store_fixture_config config = {.shard_count = 1};
    struct store_fixture fixture;
    struct warp_shard *shard;
    uint64_t looks[2], evictions;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    shard = fixture.store->shards[0];
    fill(&fixture, 0, 5000);
    store_make_durable(&fixture);
    warp_shard_enter_surely(shard);
    fixture.store->values_bytes_max = 64;
    warp_evict_share(shard);
    for (i = 0; i < 2; i++) {
        if (i == 1) {
            /* The second time there is hardly any memory left. */
            shard->memory_hard = shard->memory_soft + 1000;
            shard->memory_shared = UINT64_MAX; /* do not look anew */
        }
        looks[i] = warp_counter_read(&shard->horizon.metrics.looks);
        warp_evict_make_room(shard, 100);
        looks[i] = warp_counter_read(&shard->horizon.metrics.looks) - looks[i];
    }
    /* So much that what came in goes, and not much more; then a great deal. */
    check_u64(looks[0], >=, 16);
    check_u64(looks[0], <=, 128);
    check_u64(looks[1], >, 500);
    check_u64(looks[1], <=, 2048);
    evictions = warp_counter_read(&shard->counters.evictions);
    check_u64(evictions, >, 0);
    check_u64(evictions, <=, looks[0] + looks[1]);
    /* What no writer works off, the tick does. */
    warp_evict_share(shard);
    looks[0] = warp_counter_read(&shard->horizon.metrics.looks);
    warp_evict_make_room(shard, 0);
    looks[0] = warp_counter_read(&shard->horizon.metrics.looks) - looks[0];
    check_u64(looks[0], >, 500);
    check_u64(looks[0], <=, 2048);
    warp_shard_leave(shard);
    warp_store_check(fixture.store);
    check_filled(&fixture, 0, 5000);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, a_limit_on_all_memory_is_kept)
{
    struct store_fixture_config config = {.memory_bytes_max = 12u << 20, .shard_count = 2};
    struct store_fixture fixture;
    char key[32], value[200], *big = malloc(300000);
    uint64_t most = 0;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    memset(value, 'v', sizeof(value));
    memset(big, 'b', 300000);
    for (i = 0; i < 60000; i++) {
        struct warp_message message;
        int rc;

        memset(&message, 0, sizeof(message));
        message.opcode = WARP_OP_PUT;
        message.level = WARP_MEMORY;
        message.key = store_slice(key_of(i, key));
        message.value.data = i % 1000 == 999 ? big : value;
        message.value.bytes = i % 1000 == 999 ? 50000 + i * 4 : sizeof(value);
        rc = store_execute(&fixture, &message);
        while (rc == WARP_ENOMEM && message.reliefs < WARP_EVICT_RELIEFS_MAX &&
               warp_evict_relieve(fixture.store,
                                  warp_store_owner(fixture.store, message.slot),
                                  warp_message_record_bytes(&message), message.reliefs)) {
            message.reliefs++;
            rc = store_execute(&fixture, &message);
        }
        if (!check_int(rc, ==, 0)) {
            break;
        }
        if (warp_memory_bytes(&fixture.memory) > most) {
            most = warp_memory_bytes(&fixture.memory);
        }
    }
    check_u64(most, <=, 12u << 20);
    check_u64(cold_records(&fixture), >, 1000);
    check(store_has(&fixture, "key-0", value, sizeof(value)));
    check(store_has(&fixture, "key-999", big, 50000 + 999 * 4));
    free(big);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Values of one size leave in another order than they came: no slab is full. */
WARP_TEST(evict, slabs_that_are_not_full_count)
{
    struct store_fixture_config config = {.memory_bytes_max = 24u << 20, .shard_count = 2};
    struct store_fixture fixture;
    uint64_t most = 0;
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < 250; i++) {
        fill(&fixture, i * 1000, i * 1000 + 1000);
        store_make_durable(&fixture);
        if (warp_memory_bytes(&fixture.memory) > most) {
            most = warp_memory_bytes(&fixture.memory);
        }
    }
    check_u64(most, <=, 24u << 20);
    check_u64(cold_records(&fixture), >, 100000);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, relief_says_when_nothing_will_come)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;

    store_fixture_init(&fixture, &config);
    check(!warp_evict_relieve(fixture.store, fixture.store->shards[0], 100, 0));
    fill(&fixture, 0, 100);
    check(warp_evict_relieve(fixture.store, fixture.store->shards[0], 100, 0));
    store_make_cold(&fixture);
    while (warp_evict_relieve(fixture.store, fixture.store->shards[1], 100, 0)) {
    }
    check_filled(&fixture, 0, 100);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(evict, no_memory_at_any_call_loses_nothing)
{
    struct store_fixture_config config = {.values_bytes_max = 2048, .shard_count = 1};
    uint64_t after;
    bool failed = true;

    for (after = 0; failed && after < 300; after++) {
        struct store_fixture fixture;
        char key[32], value[128];
        uint32_t i;

        store_fixture_init(&fixture, &config);
        fill(&fixture, 0, 40);
        store_make_durable(&fixture);
        warp_memory_fail_after(&fixture.memory, after);
        failed = false;
        for (i = 40; i < 200; i++) {
            int rc = store_put(&fixture, key_of(i, key), value_of(i, value), 0);

            if (rc != 0) {
                check_int(rc, ==, WARP_ENOMEM);
                warp_store_check(fixture.store);
                failed = true;
                warp_memory_fail_after(&fixture.memory, UINT64_MAX);
                i--;
            } else if (i % 20 == 0) {
                uint64_t calls = warp_memory_calls(&fixture.memory);

                warp_memory_fail_after(&fixture.memory, UINT64_MAX);
                store_make_durable(&fixture);
                calls = warp_memory_calls(&fixture.memory) - calls;
                (void)calls;
                if (!failed) {
                    warp_memory_fail_after(&fixture.memory, after);
                }
            }
        }
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        check_filled(&fixture, 0, 200);
        check_int(store_fixture_fini(&fixture), ==, 0);
        if (after > 40 && !failed) {
            break;
        }
        failed = true;
    }
    check_u64(after, <, 300);
}
