/* Messages, turns and stops: nothing is lost, nothing hangs. */
#include "shards/store.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

static void prepare_put(struct store_fixture *fixture, struct warp_message *message,
                        const char *key, const char *value)
{
    memset(message, 0, sizeof(*message));
    message->opcode = WARP_OP_PUT;
    message->level = WARP_MEMORY;
    message->key = store_slice(key);
    message->value = store_slice(value);
    warp_message_hash(message, fixture->store->hash_seed);
    warp_message_prepare(message);
}

WARP_TEST(shard, a_holder_runs_what_came_meanwhile)
{
    struct store_fixture fixture;
    struct warp_message messages[4];
    struct warp_shard *shard;
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    shard = warp_store_owner(fixture.store, warp_hash_slot("k", 1));
    check(warp_shard_enter(shard));
    check(!warp_shard_enter(shard));
    for (i = 0; i < 4; i++) {
        prepare_put(&fixture, &messages[i], "k", i == 3 ? "last" : "earlier");
        check_int(warp_mailbox_send(&shard->mailbox, 0, &messages[i]), ==, 0);
        check(!warp_message_is_done(&messages[i]));
    }
    check(store_get(&fixture, "k") == NULL);
    warp_shard_leave(shard);
    for (i = 0; i < 4; i++) {
        check(warp_message_is_done(&messages[i]));
        check_int(messages[i].result, ==, 0);
    }
    check_str(store_get(&fixture, "k"), "last");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(shard, a_message_without_room_waits_in_its_order)
{
    struct store_fixture fixture;
    struct warp_message messages[3];
    struct warp_shard *shard;
    uint64_t limit, due_ns;
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    shard = warp_store_owner(fixture.store, warp_hash_slot("k", 1));
    for (i = 0; i < 3; i++) {
        prepare_put(&fixture, &messages[i], "k", i == 2 ? "last" : "earlier");
        check_int(warp_mailbox_send(&shard->mailbox, 0, &messages[i]), ==, 0);
    }
    limit = atomic_load(&fixture.wal->writer.limit_put);
    atomic_store(&fixture.wal->writer.limit_put, 0);
    (void)warp_shard_turn(shard, warp_clock_ns(fixture.env.clock), &due_ns);
    check(!warp_message_is_done(&messages[0]));
    check_u64(atomic_load(&shard->counters.stalls), >, 0);
    atomic_store(&fixture.wal->writer.limit_put, limit);
    check(warp_shard_turn(shard, warp_clock_ns(fixture.env.clock), &due_ns));
    for (i = 0; i < 3; i++) {
        check(warp_message_is_done(&messages[i]));
        check(i == 0 || messages[i].sequence > messages[i - 1].sequence);
    }
    check_str(store_get(&fixture, "k"), "last");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(shard, a_turn_takes_no_more_than_it_may)
{
    struct store_fixture_config config = {.mailbox_capacity = 64, .drain_max = 10};
    struct store_fixture fixture;
    struct warp_message messages[45];
    struct warp_shard *shard;
    uint64_t due_ns;
    uint32_t i, turns;

    store_fixture_init(&fixture, &config);
    shard = warp_store_owner(fixture.store, warp_hash_slot("k", 1));
    for (i = 0; i < 45; i++) {
        prepare_put(&fixture, &messages[i], "k", "v");
        check_int(warp_mailbox_send(&shard->mailbox, i % 3, &messages[i]), ==, 0);
    }
    for (turns = 1;
         warp_shard_turn(shard, warp_clock_ns(fixture.env.clock), &due_ns) && turns < 20;
         turns++) {
        uint32_t done = 0;

        for (i = 0; i < 45; i++) {
            done += warp_message_is_done(&messages[i]);
        }
        check_u64(done, ==, turns * 10 < 45 ? turns * 10 : 45);
    }
    check_u64(turns, <=, 6);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* A stop may come at any place of the shard's loop. */
WARP_TEST(shard, threads_stop_whenever_they_are_told)
{
    struct store_fixture_config config = {.threads = true, .shard_count = 4};
    struct store_fixture fixture;
    uint32_t round, i, spin;

    store_fixture_init(&fixture, &config);
    for (round = 0; round < 300; round++) {
        for (i = 0; i < 4; i++) {
            atomic_store(&fixture.store->shards[i]->stop, 0);
        }
        warp_store_stop(fixture.store);
        for (i = 0; i < 4; i++) {
            atomic_store(&fixture.store->shards[i]->stop, 0);
        }
        check_int(warp_store_start(fixture.store), ==, 0);
        for (spin = 0; spin < round * 7; spin++) {
            warp_cpu_relax();
        }
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

#define CALLERS 5u
#define CALLS   400u

struct caller {
    struct store_fixture *fixture;
    uint32_t number;
    pthread_t thread;
    uint32_t mailed;
};

/* As engine/call does it: the lease if it is free, else a message. */
static void *caller_main(void *context)
{
    struct caller *caller = context;
    struct store_fixture *fixture = caller->fixture;
    uint32_t i;

    for (i = 0; i < CALLS; i++) {
        struct warp_message message;
        struct warp_shard *shard;
        char key[32], value[64];

        snprintf(key, sizeof(key), "caller-%u", caller->number);
        snprintf(value, sizeof(value), "%u-%060u", caller->number, i);
        prepare_put(fixture, &message, key, value);
        shard = warp_store_owner(fixture->store, message.slot);
        for (;;) {
            if (warp_shard_enter(shard)) {
                warp_put_execute(shard, &message);
                warp_shard_leave(shard);
                if (message.result != WARP_MESSAGE_NEEDS_ROOM) {
                    break;
                }
                check_int(warp_writer_make_room(&fixture->wal->writer,
                                                warp_frame_bytes(message.body_bytes), false,
                                                UINT64_MAX),
                          ==, 0);
                continue;
            }
            atomic_store(&message.done, 0);
            if (warp_mailbox_send(&shard->mailbox, caller->number, &message) == 0) {
                caller->mailed++;
                if (warp_shard_enter(shard)) {
                    warp_shard_leave(shard);
                }
                while (!warp_message_is_done(&message)) {
                    sched_yield();
                }
                break;
            }
        }
        check_int(message.result, ==, 0);
        if (i % 50 == 0) {
            check_int(
                warp_writer_wait(&fixture->wal->writer, message.sequence + 1, UINT64_MAX),
                ==, 0);
        }
    }
    return NULL;
}

WARP_TEST(shard, callers_and_threads_together_lose_nothing)
{
    struct store_fixture_config config = {
        .threads = true, .shard_count = 2, .mailbox_capacity = 2, .buffer_bytes = 32768};
    struct store_fixture fixture, again;
    struct caller callers[CALLERS];
    char key[32], value[64];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    memset(callers, 0, sizeof(callers));
    for (i = 0; i < CALLERS; i++) {
        callers[i].fixture = &fixture;
        callers[i].number = i;
        pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]);
    }
    for (i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_init(&again, NULL);
    store_fixture_replay(&fixture, &again, true, 0);
    for (i = 0; i < CALLERS; i++) {
        snprintf(key, sizeof(key), "caller-%u", i);
        snprintf(value, sizeof(value), "%u-%060u", i, CALLS - 1);
        check_str(store_get(&fixture, key), value);
        check_str(store_get(&again, key), value);
    }
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Big frames beside small ones: nobody may write into the ring where it is not free. */
static void *mixed_main(void *context)
{
    struct caller *caller = context;
    struct store_fixture *fixture = caller->fixture;
    uint8_t *value = malloc(300000);
    uint32_t i;

    memset(value, (int)('a' + caller->number), 300000);
    for (i = 0; i < 60; i++) {
        struct warp_message message;
        char key[32];

        snprintf(key, sizeof(key), "mixed-%u-%u", caller->number, i);
        prepare_put(fixture, &message, key, "");
        message.value.data = value;
        message.value.bytes = caller->number % 2 == 0 ? 300000 : 20 + i;
        check_int(store_execute(fixture, &message), ==, 0);
    }
    free(value);
    return NULL;
}

WARP_TEST(shard, big_and_small_frames_side_by_side_come_back)
{
    struct store_fixture_config config = {.threads = true,
                                          .shard_count = 4,
                                          .buffer_bytes = 65536,
                                          .segment_bytes = 1u << 20};
    struct store_fixture fixture, again;
    struct caller callers[CALLERS];
    struct store_scan scan;
    uint8_t *value = malloc(300000);
    uint64_t durable;
    char key[32];
    uint32_t i, j;

    store_fixture_init(&fixture, &config);
    memset(callers, 0, sizeof(callers));
    for (i = 0; i < CALLERS; i++) {
        callers[i].fixture = &fixture;
        callers[i].number = i;
        pthread_create(&callers[i].thread, NULL, mixed_main, &callers[i]);
    }
    for (i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    durable = warp_writer_durable(&fixture.wal->writer);
    store_fixture_scan(&fixture, true, &scan);
    check_int(scan.rc, ==, 0);
    check_u64(scan.end, >=, durable);
    if (test_failures() == 0) {
        store_fixture_init(&again, NULL);
        store_fixture_replay(&fixture, &again, true, 0);
        for (i = 0; i < CALLERS; i++) {
            memset(value, (int)('a' + i), 300000);
            for (j = 0; j < 60; j++) {
                snprintf(key, sizeof(key), "mixed-%u-%u", i, j);
                check(store_has(&again, key, value, i % 2 == 0 ? 300000 : 20 + j));
            }
        }
        check_int(store_fixture_fini(&again), ==, 0);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
    free(value);
}
