/* The sweep takes out what has expired, in bounded steps, and nothing else. */
#include "shards/expire.h"

#include <inttypes.h>
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
    check_u64(fixture.store->shards[0]->due_ms, ==, now_ms + 1000);
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
    check_u64(fixture.store->shards[0]->due_ms, ==, now_ms + 2000);
    check(!sweep(&fixture)); /* nothing due: it rests */
    warp_clock_fake_advance(&fixture.clock, UINT64_C(5000) * 1000000);
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 3000);
    check_u64(fixture.store->shards[0]->due_ms, ==, UINT64_MAX);
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
    check_u64(fixture.store->shards[0]->due_ms, ==, soonest);
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
    check_u64(fixture.store->shards[0]->due_ms, ==, now_ms + 5000);
    check_int(store_put(&fixture, "k", "x", 0), ==, 0);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(5000) * 1000000);
    sweep_all(&fixture);
    check_str(store_get(&fixture, "k"), "x");
    check_u64(fixture.store->shards[0]->due_ms, ==, UINT64_MAX);
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
    check_u64(fixture.store->shards[0]->due_ms, ==, now_ms + 9000);
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

/* ---- at scale ---------------------------------------------------------------------------- */

enum { CACHE_KEYS = 60000, CACHE_TTL_MS = 240000, CACHE_STEP_MS = 50 };

struct census {
    uint64_t now_ms, bytes, expired;
};

static int census_visit(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct census *census = context;
    uint64_t bytes = warp_slab_round(warp_record_bytes_of(record));

    (void)place;
    census->bytes += bytes;
    if (warp_record_has_expiry(record) &&
        warp_record_expires_at_ms(record) <= census->now_ms) {
        census->expired += bytes;
    }
    return 0;
}

static struct census census(struct store_fixture *fixture)
{
    struct census census = {.now_ms = warp_store_wall_ms(fixture->store)};
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        (void)warp_table_walk(&fixture->store->words[slot], census_visit, &census);
    }
    return census;
}

/* What the ledger counts as alive in all files, and what the records say. */
static uint64_t ledger_bytes(struct store_fixture *fixture)
{
    uint64_t sum = 0, index;
    uint64_t end = warp_sequence_tail(&fixture->wal->writer.sequence) >>
                   fixture->store->shards[0]->ledger.segment_shift;

    for (index = 0; index <= end; index++) {
        sum += warp_ledger_segment(fixture->store, index);
    }
    return sum;
}

/*
 * A cache whose keys are written once, each with a life of about four minutes: when it has as many as
 * it will have, it holds no more than one per cent that has expired, at any time; and little work
 * keeps it so.
 */
static void cache_holds_little(uint32_t tags, uint64_t ttl_ms, uint64_t spread_ms,
                               uint64_t looks_max)
{
    struct store_fixture_config config = {
        .shard_count = 1, .segment_bytes = 1u << 20, .buffer_bytes = 1u << 20};
    struct store_fixture fixture;
    struct warp_shard *shard;
    struct warp_random random;
    uint64_t ms, worst = 0, samples = 0, begun_looks = 0, begun_expired = 0;
    uint64_t per_step = CACHE_KEYS * CACHE_STEP_MS / ttl_ms, key = 0;
    char text[48];

    warp_random_init(&random, test_seed());
    store_fixture_init(&fixture, &config);
    shard = fixture.store->shards[0];
    for (ms = 0; ms < 2 * ttl_ms + spread_ms; ms += CACHE_STEP_MS) {
        uint64_t now_ms = warp_store_wall_ms(fixture.store), i;

        for (i = 0; i < per_step; i++, key++) {
            /* So few slots that a slot has as many as it would have of ten millions. */
            snprintf(text, sizeof(text), "{%u}%lu", (uint32_t)(key % tags),
                     (unsigned long)key);
            check_int(
                store_put(&fixture, text, "a value of forty bytes or a few more....",
                          now_ms + ttl_ms - spread_ms / 2 +
                              (spread_ms == 0 ? 0 : warp_random_next(&random) % spread_ms)),
                ==, 0);
        }
        warp_clock_fake_advance(&fixture.clock, UINT64_C(1000000) * CACHE_STEP_MS);
        if (ms % 100 == 0) {
            sweep_all(&fixture);
            store_fixture_settle(&fixture);
        }
        if (ms < ttl_ms + spread_ms) {
            begun_looks = atomic_load(&shard->counters.sweep_looks);
            begun_expired = expired(&fixture);
        } else if (ms % 5000 == 0) {
            struct census now = census(&fixture);

            samples++;
            worst = now.expired * 100000 / now.bytes > worst
                        ? now.expired * 100000 / now.bytes
                        : worst;
            if (!check_u64(now.expired * 100, <=, now.bytes)) {
                break;
            }
            /* The estimate is one of this. */
            check_u64(atomic_load(&shard->counters.expired_bytes) * 100, <=, now.bytes);
        }
    }
    check_u64(samples, >, 30);
    check_u64(records(&fixture), <, CACHE_KEYS + CACHE_KEYS / 20);
    check_u64(records(&fixture), >, CACHE_KEYS / 2);
    {
        uint64_t looks = atomic_load(&shard->counters.sweep_looks) - begun_looks;
        uint64_t gone = expired(&fixture) - begun_expired;

        check_u64(gone, >, CACHE_KEYS / 4);
        check_u64(looks / gone, <, looks_max);
        printf("    %u slots: at most 0.%03" PRIu64 " %% expired, %" PRIu64
               " looks for each\n",
               tags, worst, looks / gone);
    }
    /* All that is not in memory any more is dead on disk. */
    check_u64(ledger_bytes(&fixture), <, records(&fixture) * 160);
    warp_clock_fake_advance(&fixture.clock, (ttl_ms + spread_ms) * UINT64_C(1000000));
    sweep_all(&fixture);
    check_u64(records(&fixture), ==, 0);
    check_u64(ledger_bytes(&fixture), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(expire, a_cache_of_many_keys_holds_one_per_cent_at_most)
{
    cache_holds_little(100, CACHE_TTL_MS, 0, 220); /* 600 records a slot */
}

WARP_TEST(expire, however_long_each_of_them_lives)
{
    cache_holds_little(100, CACHE_TTL_MS, CACHE_TTL_MS, 400);
}

WARP_TEST(expire, a_few_among_many_that_stay_are_gone_after_a_minute)
{
    struct store_fixture fixture;
    uint64_t now_ms;
    uint32_t i;

    store_fixture_init(&fixture, &one_shard);
    now_ms = warp_store_wall_ms(fixture.store);
    fill(&fixture, "{t}stays", 3000, 0);
    fill(&fixture, "{t}later", 3000, now_ms + 10000000);
    fill(&fixture, "{t}goes", 5, now_ms + 1000); /* less than a sweep is worth */
    warp_clock_fake_advance(&fixture.clock, UINT64_C(2000) * 1000000);
    sweep_all(&fixture);
    check_u64(expired(&fixture), ==, 0);
    check(store_get(&fixture, "{t}goes-1") == NULL); /* but nobody sees them */
    for (i = 0; i < 60; i++) {
        warp_clock_fake_advance(&fixture.clock, UINT64_C(1000) * 1000000);
        sweep_all(&fixture);
    }
    check_u64(expired(&fixture), ==, 5);
    check_u64(records(&fixture), ==, 6000);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* More than should be: the probes see it, and slots are swept earlier from then on. */
WARP_TEST(expire, what_the_probes_see_makes_it_sweep_earlier)
{
    struct store_fixture fixture;
    struct warp_shard *shard;
    uint64_t now_ms;
    uint32_t i, slot, before;

    store_fixture_init(&fixture, &one_shard);
    shard = fixture.store->shards[0];
    now_ms = warp_store_wall_ms(fixture.store);
    fill(&fixture, "k", 20000, now_ms + 1000);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        fixture.store->slots[slot].due_ms = now_ms + 1000000; /* as if foretold wrongly */
    }
    before = shard->sweep_permille;
    warp_clock_fake_advance(&fixture.clock, UINT64_C(1000) * 1000000);
    for (i = 0; i < 40; i++) {
        shard->due_ms = 0;
        sweep_all(&fixture);
    }
    check_u64(atomic_load(&shard->counters.sweeps), >=, 100);
    check_u64(atomic_load(&shard->counters.expired_bytes), >,
              atomic_load(&shard->counters.record_bytes) / 2);
    check_u64(shard->sweep_permille, <, before);
    for (i = 0; records(&fixture) > 0 && i < 10000; i++) {
        shard->due_ms = 0; /* probes alone go all the way round */
        sweep_all(&fixture);
    }
    check_u64(records(&fixture), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
