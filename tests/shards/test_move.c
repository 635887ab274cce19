/* A slot changes its shard, and everything that hangs on it is counted where it should be. */
#include "shards/move.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "base/random.h"
#include "shards/evict.h"
#include "shards/expire.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

/* Keys of one slot, by its tag. */
static const char *key_of(uint32_t i, char key[32])
{
    snprintf(key, 32, "{tag}-%u", i);
    return key;
}

static const char *value_of(uint32_t i, uint32_t version, char value[128])
{
    snprintf(value, 128, "%u.%u-%0*u", i, version, (int)(i % 90) + 1, i);
    return value;
}

static uint32_t the_slot(void)
{
    return warp_hash_slot("{tag}", 5);
}

static void fill(struct store_fixture *fixture, uint32_t from, uint32_t to,
                 uint32_t version, uint64_t expires_at_ms)
{
    char key[32], value[128];
    uint32_t i;

    for (i = from; i < to; i++) {
        if (!check_int(store_put(fixture, key_of(i, key), value_of(i, version, value),
                                 expires_at_ms),
                       ==, 0)) {
            return;
        }
    }
}

static void check_filled(struct store_fixture *fixture, uint32_t from, uint32_t to,
                         uint32_t version)
{
    char key[32], value[128];
    uint32_t i;

    for (i = from; i < to; i++) {
        const char *found = store_get(fixture, key_of(i, key));

        if (!check(found != NULL) || !check_str(found, value_of(i, version, value))) {
            return;
        }
    }
}

static struct warp_shard *owner(struct store_fixture *fixture)
{
    return warp_store_owner(fixture->store, the_slot());
}

/* The owner of the slot and some other shard. */
static void the_two(struct store_fixture *fixture, struct warp_shard **from,
                    struct warp_shard **to)
{
    *from = owner(fixture);
    *to = fixture->store->shards[((*from)->id + 1) % fixture->config.shard_count];
}

struct numbers {
    uint64_t records, record_bytes, cold_records, queued_bytes, live_bytes;
};

static struct numbers numbers_of(const struct warp_shard *shard)
{
    return (struct numbers){warp_counter_read(&shard->counters.records),
                            warp_counter_read(&shard->counters.record_bytes),
                            warp_counter_read(&shard->counters.cold_records),
                            warp_horizon_bytes(&shard->horizon),
                            warp_evict_live_bytes(shard)};
}

static void settle(struct store_fixture *fixture)
{
    uint32_t i;

    for (i = 0; i < 20; i++) {
        warp_clock_fake_advance(&fixture->clock, 200000000);
        store_fixture_settle(fixture);
    }
}

WARP_TEST(move, all_numbers_of_a_slot_go_over_and_no_others)
{
    struct store_fixture_config config = {.shard_count = 3, .buffer_bytes = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    struct numbers before[2], after[2], third;
    uint64_t slot_bytes, slot_memory, slot_records, cold;
    uint32_t i;
    char key[32];

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 300, 1, 0);
    store_make_cold(&fixture);
    fill(&fixture, 200, 500, 2, 0);
    for (i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "other-%u", i);
        check_int(store_put(&fixture, key, "x", 0), ==, 0);
    }
    settle(&fixture);
    before[0] = numbers_of(from);
    before[1] = numbers_of(to);
    third = numbers_of(fixture.store->shards[3 - from->id - to->id]);
    slot_records = fixture.store->slots[the_slot()].records;
    slot_bytes = fixture.store->slots[the_slot()].bytes;
    slot_memory = warp_table_memory(&fixture.store->words[the_slot()]);
    cold = fixture.store->slots[the_slot()].cold_records;
    check_u64(slot_records, ==, 500);
    check_u64(cold, ==, 200);
    check_u64(warp_slotmap_version(&fixture.store->slotmap), ==, 0);

    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check(owner(&fixture) == to);
    check_u64(warp_slotmap_version(&fixture.store->slotmap), ==, 1);
    check_u64(fixture.store->slots[the_slot()].moved, ==, 1);
    check_u64(fixture.store->slots[the_slot()].transit, ==, WARP_SLOT_SETTLED);
    after[0] = numbers_of(from);
    after[1] = numbers_of(to);
    check_u64(before[0].records - after[0].records, ==, 500);
    check_u64(after[1].records - before[1].records, ==, 500);
    check_u64(before[0].record_bytes - after[0].record_bytes, ==, slot_bytes);
    check_u64(after[1].record_bytes - before[1].record_bytes, ==, slot_bytes);
    check_u64(before[0].cold_records - after[0].cold_records, ==, cold);
    check_u64(after[1].cold_records - before[1].cold_records, ==, cold);
    check_u64(before[0].live_bytes - after[0].live_bytes, ==, slot_bytes + slot_memory);
    check_u64(after[1].live_bytes - before[1].live_bytes, ==, slot_bytes + slot_memory);
    check_u64(before[0].queued_bytes - after[0].queued_bytes, >, 0);
    check_u64(before[0].queued_bytes - after[0].queued_bytes, ==,
              after[1].queued_bytes - before[1].queued_bytes);
    after[0] = numbers_of(fixture.store->shards[3 - from->id - to->id]);
    check(memcmp(&third, &after[0], sizeof(third)) == 0);
    warp_store_check(fixture.store);
    check_filled(&fixture, 0, 200, 1);
    check_filled(&fixture, 200, 500, 2);
    check_u64(fixture.store->moving.moves, ==, 1);
    check_u64(fixture.store->moving.records, ==, 1000);
    /* Nothing to do. */
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check_u64(fixture.store->moving.moves, ==, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, memory_goes_home_as_it_is_replaced)
{
    struct store_fixture_config config = {.shard_count = 2, .buffer_bytes = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    static char large[60001];
    uint64_t alone;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    settle(&fixture);
    alone = warp_slab_bytes_used(&from->limbo.pool);
    fill(&fixture, 0, 1000, 1, 0);
    memset(large, 'l', sizeof(large) - 1);
    check_int(store_put(&fixture, "{tag}large", large, 0), ==,
              0); /* a mapping of its own */
    settle(&fixture);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    settle(&fixture);
    check_u64((uint64_t)to->limbo.charge_bytes, >, 60000 + 1000 * 40);
    check_u64((uint64_t)-from->limbo.charge_bytes, ==, (uint64_t)to->limbo.charge_bytes);

    /* The records, then, as it grows, the table. */
    fill(&fixture, 0, 1000, 2, 0);
    check_int(store_put(&fixture, "{tag}large", "small", 0), ==, 0);
    settle(&fixture);
    check_u64((uint64_t)to->limbo.charge_bytes, ==,
              warp_table_memory(&fixture.store->words[the_slot()]));
    fill(&fixture, 1000, 4000, 2, 0);
    settle(&fixture);
    check_u64((uint64_t)to->limbo.charge_bytes, ==, 0);
    check_u64((uint64_t)from->limbo.charge_bytes, ==, 0);
    /* Its ledger may be another size. */
    check_u64(warp_slab_bytes_used(&from->limbo.pool), <=, alone + 4096);
    check(!warp_slab_has_sent(&from->limbo.pool));
    warp_store_check(fixture.store);
    check_filled(&fixture, 0, 4000, 2);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, what_is_sent_home_while_all_is_closed_is_given_back)
{
    struct store_fixture_config config = {.shard_count = 2, .buffer_bytes = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 500, 1, 0);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    fill(&fixture, 0, 500, 2, 0);
    /* Without a turn in between: fini checks that no memory is left. */
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, a_borrowed_record_goes_home_once_it_is_returned)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    struct warp_record *record;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 1, 1, 0);
    record = store_find(&fixture, "{tag}-0");
    check(warp_record_pin(record));
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    fill(&fixture, 0, 1, 2, 0);
    settle(&fixture);
    check_u64(to->limbo.pinned_count, ==, 1);
    check_bytes(warp_record_value(record), 5, "0.1-0", 5);
    warp_record_unpin(record);
    /* Loans are looked after once a second. */
    warp_clock_fake_advance(&fixture.clock, UINT64_C(2000000000));
    settle(&fixture);
    check_u64(to->limbo.pinned_count, ==, 0);
    check_u64((uint64_t)to->limbo.charge_bytes, ==,
              warp_table_memory(&fixture.store->words[the_slot()]));
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, a_busy_lease_gives_it_up_and_nothing_has_changed)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    struct numbers before[2], after[2];

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 200, 1, 0);
    settle(&fixture);
    before[0] = numbers_of(from);
    before[1] = numbers_of(to);
    check(warp_shard_enter(to));
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, WARP_AGAIN);
    warp_shard_leave(to);
    check(owner(&fixture) == from);
    check_u64(fixture.store->slots[the_slot()].transit, ==, WARP_SLOT_SETTLED);
    check_u64(warp_slotmap_version(&fixture.store->slotmap), ==, 0);
    after[0] = numbers_of(from);
    after[1] = numbers_of(to);
    check(memcmp(before, after, sizeof(before)) == 0);
    check_u64(fixture.store->moving.busy, ==, 1);
    check_u64(fixture.store->moving.moves, ==, 0);
    warp_store_check(fixture.store);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, only_to_a_shard_that_there_is)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;

    store_fixture_init(&fixture, &config);
    check_int(warp_move_slot(fixture.store, 0, 2), ==, WARP_EINVAL);
    check_int(warp_move_slot(fixture.store, WARP_SLOT_COUNT, 0), ==, WARP_EINVAL);
    check_u64(fixture.store->moving.refused, ==, 2);
    /* An empty slot has little to take along. */
    check_int(warp_move_slot(fixture.store, 0, 1), ==, 0);
    check_u64(warp_slotmap_owner(&fixture.store->slotmap, 0), ==, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, values_are_evicted_by_their_new_owner_and_keep_what_they_earned)
{
    struct store_fixture_config config = {.shard_count = 2, .values_bytes_max = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    uint32_t i, k;
    char key[32];

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 200, 1, 0);
    for (i = 0; i < 20; i++) {
        for (k = 0; k < 3; k++) {
            warp_record_warm(store_find(&fixture, key_of(i, key)));
        }
    }
    store_make_durable(&fixture);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    for (i = 0; i < 200; i++) {
        const struct warp_record *record = store_find(&fixture, key_of(i, key));

        check_u64(warp_record_queue(record), !=, WARP_HORIZON_NONE);
        check_u64(warp_horizon_standing(&to->horizon, warp_record_queue(record),
                                        warp_record_hits(record)),
                  ==, i < 20);
    }
    check_u64(warp_horizon_bytes(&from->horizon), ==, 0);
    /* Half of it leaves, and none of those that were read. */
    warp_shard_enter_surely(to);
    (void)warp_horizon_evict(&to->horizon, warp_horizon_bytes(&to->horizon) / 2, 1000);
    warp_shard_leave(to);
    check_u64(fixture.store->slots[the_slot()].cold_records, >, 50);
    for (i = 0; i < 20; i++) {
        check(!store_is_cold(&fixture, key_of(i, key)));
    }
    warp_store_check(fixture.store);
    check_filled(&fixture, 0, 200, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, the_new_owner_sweeps_what_expires)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    uint64_t now_ms;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    settle(&fixture);
    now_ms = warp_store_wall_ms(fixture.store);
    fill(&fixture, 0, 100, 1, now_ms + 100000);
    fill(&fixture, 100, 150, 1, 0);
    check_u64(to->due_ms, ==, UINT64_MAX);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check_u64(to->due_ms, ==, fixture.store->slots[the_slot()].due_ms);
    check(to->restless);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(101000) * 1000000);
    settle(&fixture);
    check_u64(warp_counter_read(&to->counters.expired), ==, 100);
    check_u64(warp_counter_read(&from->counters.expired), ==, 0);
    check_u64(warp_counter_read(&to->counters.records), ==, 50);
    warp_store_check(fixture.store);
    check_filled(&fixture, 100, 150, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, a_sweep_under_way_hears_of_a_slot_it_has_passed)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    uint64_t now_ms;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    settle(&fixture);
    now_ms = warp_store_wall_ms(fixture.store);
    fill(&fixture, 0, 10, 1, now_ms + 5000);
    warp_shard_enter_surely(to);
    to->sweep_slot = the_slot() + 1;
    to->sweep_due_ms = UINT64_MAX;
    warp_shard_leave(to);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    settle(&fixture);
    check_u64(to->due_ms, <=, fixture.store->slots[the_slot()].due_ms);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(70000) * 1000000);
    settle(&fixture);
    check_u64(warp_counter_read(&to->counters.expired), ==, 10);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, the_last_delete_is_waited_for_as_before)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    uint64_t before, wait_for;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 2, 1, 0);
    check_int(store_delete(&fixture, "{tag}-0"), ==, 0);
    before = fixture.store->slots[the_slot()].removed_sequence;
    check_u64(before, >, 0);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check(warp_get_find(fixture.store, the_slot(),
                        warp_hash_key("{tag}-0", 7, fixture.store->hash_seed),
                        store_slice("{tag}-0"), &wait_for) == NULL);
    check_u64(wait_for, ==, before + 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

static uint64_t ledgers(struct store_fixture *fixture)
{
    struct warp_epoch_record *record = NULL;
    uint64_t sum = 0, index;

    check_int(warp_epoch_register(fixture->epoch, &record), ==, 0);
    warp_epoch_enter(record);
    for (index = 0; index < 4096; index++) {
        sum += warp_ledger_segment(fixture->store, index);
    }
    warp_epoch_leave(record);
    warp_epoch_unregister(&record);
    return sum;
}

WARP_TEST(move, bytes_alive_in_files_stay_right_in_sum_wherever_a_record_dies)
{
    struct store_fixture_config config = {
        .shard_count = 3, .segment_bytes = 4096, .buffer_bytes = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    uint64_t before;
    uint32_t i, round;
    char key[32];

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    /* Over many more files than a ledger begins with. */
    fill(&fixture, 0, 3000, 1, 0);
    before = ledgers(&fixture);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check_u64(ledgers(&fixture), ==, before);
    for (round = 0; round < 3; round++) {
        /* Dies in one that has never heard of its file; then they live here, and move on. */
        for (i = round * 900; i < round * 900 + 300; i++) {
            check_int(store_delete(&fixture, key_of(i, key)), ==, 0);
        }
        warp_store_check(fixture.store);
        fill(&fixture, round * 900 + 300, round * 900 + 900, 2, 0);
        warp_store_check(fixture.store);
        before = ledgers(&fixture);
        check_int(warp_move_slot(fixture.store, the_slot(), (round + from->id) % 3), ==, 0);
        check_u64(ledgers(&fixture), ==, before);
    }
    for (i = 0; i < 3000; i++) {
        (void)store_delete(&fixture, key_of(i, key));
    }
    check_u64(ledgers(&fixture), ==, 0);
    warp_store_check(fixture.store);
    /* The files are gone: what is left of them on both sides of nothing goes, too. */
    for (i = 0; i < 3; i++) {
        struct warp_ledger *ledger = &fixture.store->shards[i]->ledger;
        uint64_t index;

        warp_shard_enter_surely(fixture.store->shards[i]);
        for (index = 0; index < 4096; index++) {
            warp_ledger_forget(ledger, false, index);
        }
        check_int(warp_ledger_make_room(ledger, 2), ==, 0);
        check_u64(ledger->used, ==, 0);
        warp_shard_leave(fixture.store->shards[i]);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

static struct warp_message message_of(struct store_fixture *fixture, const char *key,
                                      const char *value)
{
    struct warp_message message;

    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_PUT;
    message.level = WARP_MEMORY;
    message.key = store_slice(key);
    message.value = store_slice(value);
    warp_message_hash(&message, fixture->store->hash_seed);
    warp_message_prepare(&message);
    return message;
}

static int execute_at(struct warp_shard *shard, struct warp_message *message)
{
    warp_shard_enter_surely(shard);
    warp_put_execute(shard, message);
    warp_shard_leave(shard);
    return message->result;
}

WARP_TEST(move, a_request_that_meets_the_old_owner_is_sent_on)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    struct warp_message first, mailed, late;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 3, 1, 0);
    first = message_of(&fixture, "{tag}-0", "new");
    mailed = message_of(&fixture, "{tag}-1", "new");
    late = message_of(&fixture, "{tag}-2", "new");
    late.map_version = 0; /* sent with the map as it was */
    check_int(warp_mailbox_send(&from->mailbox, 0, &mailed), ==, 0);
    check(warp_lease_try(&from->lease));
    warp_lease_give_back(&from->lease); /* nobody has looked yet */
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    /* The mover itself ran what waited when it had the lease. */
    check(warp_message_is_done(&mailed));
    check_int(mailed.result, ==, 0);
    check_int(warp_mailbox_send(&from->mailbox, 0, &first), ==, 0);
    settle(&fixture);
    check(warp_message_is_done(&first));
    check_int(first.result, ==, WARP_MESSAGE_MOVED);
    check_u64(fixture.store->moving.bounced, ==, 1);
    check_int(execute_at(from, &first), ==, WARP_MESSAGE_MOVED);
    check_int(execute_at(to, &first), ==, 0);
    /* It has come back: but one of the same asker's may be on its way to where it was. */
    check_int(warp_move_slot(fixture.store, the_slot(), from->id), ==, 0);
    check_int(execute_at(from, &late), ==, WARP_MESSAGE_MOVED);
    late.map_version = warp_slotmap_version(&fixture.store->slotmap);
    check_int(execute_at(from, &late), ==, 0);
    check_str(store_get(&fixture, "{tag}-0"), "new");
    check_str(store_get(&fixture, "{tag}-2"), "new");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, a_huge_slot_goes_in_small_steps)
{
    struct store_fixture_config config = {
        .shard_count = 2, .buffer_bytes = 1 << 20, .segment_bytes = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    char key[32], value[128];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 20000, 1, 0);
    check((atomic_load(&fixture.store->words[the_slot()]) & WARP_WORD_DIRECTORY) != 0);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check_u64(fixture.store->moving.records, ==, 40000);
    check_u64(warp_horizon_bytes(&from->horizon), ==, 0);
    warp_store_check(fixture.store);
    for (i = 0; i < 20000; i += 7) {
        check_str(store_get(&fixture, key_of(i, key)), value_of(i, 1, value));
    }
    fill(&fixture, 20000, 30000, 1, 0);
    check_int(warp_move_slot(fixture.store, the_slot(), from->id), ==, 0);
    warp_store_check(fixture.store);
    settle(&fixture);
    warp_store_check(fixture.store);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

static int count_visit(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    uint32_t *count = context;

    check(warp_record_place(record) != 0 && place != NULL);
    ++*count;
    return 0;
}

WARP_TEST(move, a_walk_in_parts_visits_every_record_once)
{
    struct store_fixture_config config = {
        .shard_count = 1, .buffer_bytes = 1 << 20, .segment_bytes = 1 << 20};
    static const uint32_t sizes[] = {0, 1, 7, 100, 5000, 9000, 26000};
    struct store_fixture fixture;
    uint32_t size, done = 0, buckets;

    store_fixture_init(&fixture, &config);
    for (size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++) {
        fill(&fixture, done, sizes[size], 1, 0);
        done = sizes[size];
        for (buckets = 1; buckets <= 1024; buckets *= 4) {
            struct warp_table_cursor cursor = {0, 0, 0};
            const warp_table_word *word = &fixture.store->words[the_slot()];
            uint32_t visited = 0, steps = 0;

            warp_shard_enter_surely(fixture.store->shards[0]);
            while (!warp_table_walk_part(word, &cursor, buckets, count_visit, &visited) &&
                   ++steps < 1000000) {
            }
            warp_shard_leave(fixture.store->shards[0]);
            check_u64(visited, ==, done);
            check_u64(cursor.memory_bytes, ==, warp_table_memory(word));
        }
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Keys over all slots, some of one; every operation there is, and moves of whatever slot. */
WARP_TEST(move, random_moves_between_random_operations_keep_everything_exact)
{
    struct store_fixture_config config = {.shard_count = 4,
                                          .segment_bytes = 8192,
                                          .buffer_bytes = 1 << 20,
                                          .values_bytes_max = 16384};
    enum { KEYS = 600 };
    static char model[KEYS][24];
    struct store_fixture fixture;
    struct warp_random random;
    uint32_t i, moves = 0;

    memset(model, 0, sizeof(model));
    warp_random_init(&random, 20261125);
    store_fixture_init(&fixture, &config);
    for (i = 0; i < 40000; i++) {
        uint32_t k = (uint32_t)warp_random_below(&random, KEYS);
        char key[32];
        const char *found;

        snprintf(key, sizeof(key), k % 3 == 0 ? "{tag}-%u" : "key-%u", k);
        switch (warp_random_below(&random, 10)) {
        case 0:
        case 1:
        case 2:
        case 3:
            snprintf(model[k], sizeof(model[k]), "%u-%u", k, i);
            if (!check_int(store_put(&fixture, key, model[k],
                                     k % 5 == 0 ? warp_store_wall_ms(fixture.store) +
                                                      UINT64_C(1000000000)
                                                : 0),
                           ==, 0)) {
                return;
            }
            break;
        case 4:
            check_int(store_delete(&fixture, key), ==,
                      model[k][0] == '\0' ? WARP_ABSENT : 0);
            model[k][0] = '\0';
            break;
        case 5:
        case 6:
            found = store_get(&fixture, key);
            if (!check((found == NULL) == (model[k][0] == '\0')) ||
                (found != NULL && !check_str(found, model[k]))) {
                return;
            }
            break;
        case 7:
            moves++;
            check_int(warp_move_slot(fixture.store, warp_hash_slot(key, strlen(key)),
                                     (uint32_t)warp_random_below(&random, 4)),
                      ==, 0);
            break;
        case 8:
            store_fixture_run(&fixture, 1, 1000000);
            break;
        case 9:
            if (i % 50 == 0) {
                settle(&fixture);
            }
            if (i % 20 == 0) {
                warp_store_check(fixture.store);
            }
            break;
        }
    }
    check_u64(moves, >, 3000);
    check_u64(fixture.store->moving.moves, >, 2000);
    settle(&fixture);
    warp_store_check(fixture.store);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Between two steps of a move anything may be done to the slot. */
WARP_TEST(move, what_is_written_in_transit_is_queued_once_and_by_the_right_one)
{
    struct store_fixture_config config = {.shard_count = 2};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    struct warp_slot *state;
    uint64_t queued;
    uint32_t i;
    char key[32];

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    state = &fixture.store->slots[the_slot()];
    fill(&fixture, 0, 10, 1, 0);
    store_make_cold(&fixture);
    fill(&fixture, 10, 20, 1, 0);
    queued = warp_horizon_bytes(&from->horizon);
    state->transit = WARP_SLOT_LEAVING;
    fill(&fixture, 0, 5, 2, 0);   /* from cold to resident */
    fill(&fixture, 20, 30, 1, 0); /* new */
    check_u64(warp_horizon_bytes(&from->horizon), ==, queued);
    for (i = 0; i < 30; i++) {
        const struct warp_record *record = store_find(&fixture, key_of(i, key));

        check((warp_record_queue(record) != WARP_HORIZON_NONE) == (i >= 10 && i < 20));
    }
    fill(&fixture, 20, 22, 2, 0); /* of no queue by such */
    fill(&fixture, 10, 12, 2, 0); /* of a queue by such */
    check_int(store_delete(&fixture, "{tag}-21"), ==, 0);
    check_int(store_delete(&fixture, "{tag}-13"), ==, 0);
    check_u64(warp_record_queue(store_find(&fixture, "{tag}-20")), ==, WARP_HORIZON_NONE);
    check_u64(warp_record_queue(store_find(&fixture, "{tag}-10")), !=, WARP_HORIZON_NONE);
    warp_store_check(fixture.store);

    state->transit = WARP_SLOT_ARRIVING;
    queued = warp_horizon_bytes(&from->horizon);
    fill(&fixture, 22, 24, 2, 0);
    fill(&fixture, 30, 32, 1, 0);
    check_u64(warp_record_queue(store_find(&fixture, "{tag}-22")), !=, WARP_HORIZON_NONE);
    check_u64(warp_record_queue(store_find(&fixture, "{tag}-30")), !=, WARP_HORIZON_NONE);
    check_u64(warp_record_queue(store_find(&fixture, "{tag}-24")), ==, WARP_HORIZON_NONE);
    check_u64(warp_horizon_bytes(&from->horizon), >, queued);
    warp_store_check(fixture.store);
    /* Who finds a slot so settles it. */
    check_int(warp_move_slot(fixture.store, the_slot(), from->id), ==, 0);
    check_u64(state->transit, ==, WARP_SLOT_SETTLED);
    warp_store_check(fixture.store);
    check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
    check_u64(warp_horizon_bytes(&from->horizon), ==, 0);
    warp_store_check(fixture.store);
    check_filled(&fixture, 0, 5, 2);
    check_filled(&fixture, 5, 10, 1);
    check_filled(&fixture, 24, 32, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(move, without_memory_it_moves_all_the_same_and_is_settled_later)
{
    struct store_fixture_config config = {
        .shard_count = 2, .buffer_bytes = 1 << 20, .segment_bytes = 1 << 20};
    struct store_fixture fixture;
    struct warp_shard *from, *to;
    uint64_t after;
    bool short_of_memory = false, enough = false;

    store_fixture_init(&fixture, &config);
    the_two(&fixture, &from, &to);
    fill(&fixture, 0, 3000, 1, 0);
    for (after = 0; after < 200 && !enough; after++) {
        int rc;

        warp_memory_fail_after(&fixture.memory, after);
        rc = warp_move_slot(fixture.store, the_slot(), to->id);
        warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        warp_store_check(fixture.store);
        check(owner(&fixture) == to);
        if (rc == 0) {
            enough = true;
        } else if (check_int(rc, ==, WARP_ENOMEM)) {
            short_of_memory = true;
            check_u64(fixture.store->slots[the_slot()].transit, ==, WARP_SLOT_ARRIVING);
            check_int(warp_move_slot(fixture.store, the_slot(), to->id), ==, 0);
            check_u64(fixture.store->slots[the_slot()].transit, ==, WARP_SLOT_SETTLED);
        }
        warp_store_check(fixture.store);
        the_two(&fixture, &from, &to);
    }
    check(short_of_memory && enough);
    check_u64(fixture.store->moving.refused, >, 0);
    check_filled(&fixture, 0, 3000, 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
