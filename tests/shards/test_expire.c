/* The sweep takes out what has expired, in bounded steps, and nothing else. */
#include "shards/expire.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "shards/get.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

static struct store_fixture_config one_shard = {
    .shard_count = 1, .segment_bytes = 1u << 20, .buffer_bytes = 1u << 20};

static uint64_t records(struct store_fixture *fixture)
{
    return atomic_load(&fixture->store->shards[0]->counters.records);
}

static uint64_t expired(struct store_fixture *fixture)
{
    return atomic_load(&fixture->store->shards[0]->counters.expired);
}

static bool sweep(struct store_fixture *fixture)
{
    struct warp_shard *shard = fixture->store->shards[0];
    bool more;

    warp_shard_enter_surely(shard);
    more = warp_expire_sweep(shard, warp_store_wall_ms(fixture->store));
    warp_shard_leave(shard);
    return more;
}

static void sweep_all(struct store_fixture *fixture)
{
    uint32_t i;

    for (i = 0; sweep(fixture); i++) {
        if (!check_u64(i, <, 10000)) {
            return;
        }
    }
}

static void fill(struct store_fixture *fixture, const char *name, uint32_t count,
                 uint64_t expires_at_ms)
{
    char key[32];
    uint32_t i;

    for (i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s-%u", name, i);
        check_int(store_put(fixture, key, "v", expires_at_ms), ==, 0);
    }
}

WARP_TEST(expire, what_has_expired_goes_and_the_rest_stays)
{
    struct store_fixture fixture;
    uint64_t now_ms;

    store_fixture_init(&fixture, &one_shard);
    now_ms = warp_store_wall_ms(fixture.store);
    fill(&fixture, "soon", 3000, now_ms + 1000);
    fill(&fixture, "later", 3000, now_ms + 2000);
    fill(&fixture, "never", 3000, 0);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 9000);
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, now_ms + 1000);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(999) * 1000000);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 9000);
    check_str(store_get(&fixture, "soon-1"), "v");
    warp_clock_fake_advance(&fixture.clock, 1000000);
    check(store_get(&fixture, "soon-1") == NULL); /* before any sweep */
    check_u64(records(&fixture), ==, 9000);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 6000);
    check_u64(expired(&fixture), ==, 3000);
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, now_ms + 2000);
    check(!sweep(&fixture)); /* nothing due: it rests */
    warp_clock_fake_advance(&fixture.clock, UINT64_C(5000) * 1000000);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 3000);
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, UINT64_MAX);
    warp_store_check(fixture.store);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, a_call_looks_at_a_bounded_number)
{
    struct store_fixture fixture;
    uint64_t before;
    uint32_t calls = 0;
    bool more = true;

    store_fixture_init(&fixture, &one_shard);
    fill(&fixture, "k", 20000, warp_store_wall_ms(fixture.store) + 10);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(10) * 1000000);
    while (more) {
        before = expired(&fixture);
        more = sweep(&fixture);
        check_u64(expired(&fixture) - before, <, 2048 + 64);
        calls++;
    }
    check_u64(expired(&fixture), ==, 20000);
    check_u64(calls, >=, 9);
    check_u64(calls, <, 40);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, puts_during_a_sweep_are_not_forgotten)
{
    struct store_fixture fixture;
    uint64_t now_ms, soonest;
    char key[32];
    uint32_t i = 0;

    store_fixture_init(&fixture, &one_shard);
    now_ms = warp_store_wall_ms(fixture.store);
    soonest = now_ms + 60000;
    fill(&fixture, "k", 20000, now_ms + 10);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(10) * 1000000);
    while (sweep(&fixture)) {
        /* Before and behind the place where the sweep is. */
        snprintf(key, sizeof(key), "new-%u", i);
        soonest -= 7;
        check_int(store_put(&fixture, key, "v", soonest), ==, 0);
        snprintf(key, sizeof(key), "k-%u", i); /* also over an expired one */
        check_int(store_put(&fixture, key, "v", now_ms + 60000), ==, 0);
        i++;
    }
    check_u64(i, >, 5);
    check_u64(records(&fixture), ==, 2 * i);
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, soonest);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(60000) * 1000000);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, an_earlier_expiry_replaced_by_a_later_one_costs_one_look)
{
    struct store_fixture fixture;
    uint64_t now_ms;

    store_fixture_init(&fixture, &one_shard);
    now_ms = warp_store_wall_ms(fixture.store);
    check_int(store_put(&fixture, "k", "v", now_ms + 10), ==, 0);
    check_int(store_put(&fixture, "k", "w", now_ms + 5000), ==, 0);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(10) * 1000000);
    sweep_all(&fixture);
    check_str(store_get(&fixture, "k"), "w");
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, now_ms + 5000);
    check_int(store_put(&fixture, "k", "x", 0), ==, 0);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(5000) * 1000000);
    sweep_all(&fixture);
    check_str(store_get(&fixture, "k"), "x");
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, UINT64_MAX);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, a_directory_is_swept_too)
{
    struct store_fixture fixture;
    uint64_t now_ms;

    store_fixture_init(&fixture, &one_shard);
    now_ms = warp_store_wall_ms(fixture.store);
    fill(&fixture, "{t}stays", 6000, now_ms + 9000);
    fill(&fixture, "{t}goes", 6000, now_ms + 10);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(10) * 1000000);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 6000);
    check_str(store_get(&fixture, "{t}stays-5999"), "v");
    check_u64(fixture.store->shards[0]->earliest_expiry_ms, ==, now_ms + 9000);
    warp_store_check(fixture.store);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, without_memory_it_is_done_later)
{
    struct store_fixture fixture;
    uint64_t after;

    for (after = 0; after < 8; after++) {
        store_fixture_init(&fixture, &one_shard);
        fill(&fixture, "k", 1000, warp_store_wall_ms(fixture.store) + 10);
        warp_clock_fake_advance(&fixture.clock, UINT64_C(10) * 1000000);
        warp_memory_fail_after(&fixture.memory, after);
        sweep_all(&fixture);
        warp_store_check(fixture.store);
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        sweep_all(&fixture);
        check_u64(records(&fixture), ==, 0);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(expire, the_shards_own_turns_sweep_and_give_memory_back)
{
    struct store_fixture fixture;
    struct warp_shard *shard;
    uint64_t due_ns = 0, steps = 0;

    store_fixture_init(&fixture, &one_shard);
    shard = fixture.store->shards[0];
    fill(&fixture, "k", 5000, warp_store_wall_ms(fixture.store) + 50);
    while (shard->restless && check_u64(++steps, <, 1000)) {
        if (!warp_shard_turn(shard, warp_clock_ns(fixture.env.clock), &due_ns)) {
            uint64_t now_ns = warp_clock_ns(fixture.env.clock);

            if (due_ns == UINT64_MAX) {
                break;
            }
            check_u64(due_ns, >, now_ns);
            warp_clock_fake_advance(&fixture.clock, due_ns - now_ns);
        }
    }
    check(!shard->restless);
    check_u64(due_ns, ==, UINT64_MAX);
    check_u64(records(&fixture), ==, 0);
    /* Within a second or so of their time. */
    check_u64(warp_store_wall_ms(fixture.store), <, UINT64_C(1000000000000) + 3000);
    check_u64(atomic_load(&shard->limbo.pending_items) -
                  atomic_load(&shard->limbo.released_items),
              ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, a_durable_reader_waits_for_what_the_sweep_took)
{
    struct store_fixture fixture;
    struct warp_message message;
    uint64_t wait_for = 0;

    store_fixture_init(&fixture, &one_shard);
    check_int(store_put(&fixture, "k", "old", 0), ==, 0);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_PUT;
    message.level = WARP_MEMORY;
    message.key = store_slice("k");
    message.value = store_slice("new");
    message.expires_at_ms = warp_store_wall_ms(fixture.store) + 10;
    check_int(store_execute(&fixture, &message), ==, 0);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(10) * 1000000);
    check(warp_get_find(fixture.store, message.slot, message.hash, message.key,
                        &wait_for) == NULL);
    check_u64(wait_for, ==, message.sequence + 1);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 0);
    wait_for = 0;
    check(warp_get_find(fixture.store, message.slot, message.hash, message.key,
                        &wait_for) == NULL);
    /* Were the put lost now, the old value would be back. */
    check_u64(wait_for, ==, message.sequence + 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
