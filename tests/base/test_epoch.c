#include "base/epoch.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/thread.h"
#include "tests/lib/test.h"

struct thing {
    uint64_t value;
    uint64_t check;
    struct warp_epoch_entry entry;
};

static struct thing *thing_of(struct warp_epoch_entry *entry)
{
    return (void *)((char *)entry - offsetof(struct thing, entry));
}

static void count_reclaim(struct warp_epoch_entry *entry, void *context)
{
    unsigned *count = context;

    (void)entry;
    (*count)++;
}

WARP_TEST(epoch, a_reader_holds_reclamation_back)
{
    struct warp_epoch_record *reader = NULL;
    struct warp_epoch_record *writer = NULL;
    struct warp_epoch *epoch = NULL;
    struct warp_memory memory;
    struct thing things[3];
    unsigned reclaimed = 0;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_epoch_create(&memory, &epoch), ==, 0);
    check_int(warp_epoch_register(epoch, &reader), ==, 0);
    check_int(warp_epoch_register(epoch, &writer), ==, 0);

    check(!warp_epoch_poll(writer));
    warp_epoch_enter(reader);
    warp_epoch_enter(reader); /* sections nest */
    check(warp_epoch_inside(reader));
    warp_epoch_retire(writer, &things[0].entry, count_reclaim, &reclaimed);
    check_u64(warp_epoch_pending(writer), ==, 1);
    for (int round = 0; round < 100; round++) {
        warp_epoch_poll(writer);
        check_u64(reclaimed, ==, 0);
    }
    warp_epoch_leave(reader);
    check(warp_epoch_inside(reader));
    for (int round = 0; round < 100; round++) {
        warp_epoch_poll(writer);
        check_u64(reclaimed, ==, 0);
    }
    warp_epoch_leave(reader);
    check(!warp_epoch_inside(reader));
    check(warp_epoch_poll(writer));
    check_u64(reclaimed, ==, 1);
    check_u64(warp_epoch_pending(writer), ==, 0);

    /* Readers that come and go hold nothing back for ever. */
    warp_epoch_retire(writer, &things[1].entry, count_reclaim, &reclaimed);
    warp_epoch_retire(writer, &things[2].entry, count_reclaim, &reclaimed);
    for (int round = 0; round < 10 && reclaimed < 3; round++) {
        warp_epoch_enter(reader);
        warp_epoch_poll(writer);
        warp_epoch_leave(reader);
    }
    check_u64(reclaimed, ==, 3);

    warp_epoch_unregister(&reader);
    warp_epoch_unregister(&writer);
    warp_epoch_destroy(&epoch);
    check(epoch == NULL);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

struct chain {
    struct warp_epoch_record *record;
    struct thing *next;
    unsigned reclaimed;
};

static void chain_reclaim(struct warp_epoch_entry *entry, void *context)
{
    struct chain *chain = context;

    (void)entry;
    chain->reclaimed++;
    if (chain->next != NULL) {
        struct thing *next = chain->next;

        chain->next = NULL;
        warp_epoch_retire(chain->record, &next->entry, chain_reclaim, chain);
    }
}

WARP_TEST(epoch, barrier_reclaims_all_and_what_that_retires)
{
    struct warp_epoch *epoch = NULL;
    struct warp_memory memory;
    struct thing things[2];
    struct chain chain = {NULL, &things[1], 0};

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_epoch_create(&memory, &epoch), ==, 0);
    check_int(warp_epoch_register(epoch, &chain.record), ==, 0);
    warp_epoch_retire(chain.record, &things[0].entry, chain_reclaim, &chain);
    warp_epoch_barrier(chain.record);
    check_u64(chain.reclaimed, ==, 2);
    check_u64(warp_epoch_pending(chain.record), ==, 0);
    warp_epoch_unregister(&chain.record);
    warp_epoch_destroy(&epoch);
    warp_memory_fini(&memory);
}

WARP_TEST(epoch, records_are_used_again)
{
    struct warp_epoch_record *first = NULL;
    struct warp_epoch_record *second = NULL;
    struct warp_epoch_record *again = NULL;
    struct warp_epoch *epoch = NULL;
    struct warp_memory memory;
    uint64_t calls;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_epoch_create(&memory, &epoch), ==, 0);
    check_int(warp_epoch_register(epoch, &first), ==, 0);
    check_int(warp_epoch_register(epoch, &second), ==, 0);
    again = first;
    warp_epoch_unregister(&first);
    check(first == NULL);
    calls = warp_memory_calls(&memory);
    warp_memory_fail_after(&memory, 0);
    check_int(warp_epoch_register(epoch, &first), ==, 0);
    check(first == again);
    check_u64(warp_memory_calls(&memory), ==, calls);
    again = NULL;
    check_int(warp_epoch_register(epoch, &again), ==, -ENOMEM);
    check(again == NULL);
    warp_epoch_unregister(&first);
    warp_epoch_unregister(&second);
    warp_epoch_destroy(&epoch);
    check_int(warp_epoch_create(&memory, &epoch), ==, -ENOMEM);
    check(epoch == NULL);
    warp_memory_fini(&memory);
}

#define EPOCH_CELLS  4
#define EPOCH_ROUNDS 20000

struct epoch_stage {
    struct warp_epoch *epoch;
    _Atomic(struct thing *) cells[EPOCH_CELLS];
    _Atomic uint32_t ready;
    _Atomic uint32_t done;
    _Atomic uint64_t looked;
};

static void thing_free(struct warp_epoch_entry *entry, void *context)
{
    struct thing *thing = thing_of(entry);

    (void)context;
    thing->value = 0; /* a reader that is still there sees it, or a sanitizer does */
    thing->check = 1;
    free(thing);
}

static void epoch_reader(void *context)
{
    struct epoch_stage *stage = context;
    struct warp_epoch_record *record = NULL;
    uint64_t looked = 0;

    check_int(warp_epoch_register(stage->epoch, &record), ==, 0);
    atomic_fetch_add_explicit(&stage->ready, 1, memory_order_relaxed);
    while (atomic_load_explicit(&stage->done, memory_order_relaxed) == 0) {
        for (int cell = 0; cell < EPOCH_CELLS; cell++) {
            struct thing *thing;

            warp_epoch_enter(record);
            /* Acquire: pairs with the exchange of the writer. */
            thing = atomic_load_explicit(&stage->cells[cell], memory_order_acquire);
            for (uint64_t dwell = looked % 64; dwell > 56; dwell--) {
                warp_cpu_relax(); /* long enough for the writer to do harm */
            }
            if (thing->value == 0 || thing->check != ~thing->value) {
                test_fail(__FILE__, __LINE__, "a reader saw a reclaimed thing");
            }
            warp_epoch_leave(record);
            looked++;
        }
        if (looked % 1024 == 0) {
            warp_thread_yield();
        }
    }
    warp_epoch_unregister(&record);
    atomic_fetch_add_explicit(&stage->looked, looked, memory_order_relaxed);
}

static struct thing *thing_new(uint64_t value)
{
    struct thing *thing = malloc(sizeof(*thing));

    if (thing == NULL) {
        abort();
    }
    thing->value = value;
    thing->check = ~value;
    return thing;
}

WARP_TEST(epoch, readers_never_see_what_was_reclaimed)
{
    struct warp_thread *threads[2] = {NULL, NULL};
    struct warp_epoch_record *record = NULL;
    struct warp_memory memory;
    struct warp_random random;
    static struct epoch_stage stage;

    warp_random_init(&random, test_seed());
    stage.epoch = NULL;
    atomic_store(&stage.ready, 0);
    atomic_store(&stage.done, 0);
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_epoch_create(&memory, &stage.epoch), ==, 0);
    check_int(warp_epoch_register(stage.epoch, &record), ==, 0);
    for (int cell = 0; cell < EPOCH_CELLS; cell++) {
        atomic_init(&stage.cells[cell], thing_new(1));
    }
    for (int index = 0; index < 2; index++) {
        check_int(
            warp_thread_start(&threads[index], &memory, "reader", -1, epoch_reader, &stage),
            ==, 0);
    }
    while (atomic_load_explicit(&stage.ready, memory_order_relaxed) < 2) {
        warp_thread_yield();
    }
    for (uint64_t round = 1; round <= EPOCH_ROUNDS; round++) {
        uint64_t cell = warp_random_below(&random, EPOCH_CELLS);
        struct thing *fresh = thing_new(round);
        struct thing *old = atomic_load_explicit(&stage.cells[cell], memory_order_relaxed);

        /* A plain release store, as the engine publishes: no fence of its own. Pairs with
         * the acquire of the readers. */
        atomic_store_explicit(&stage.cells[cell], fresh, memory_order_release);
        warp_epoch_retire(record, &old->entry, thing_free, NULL);
        if (warp_random_chance(&random, 3)) {
            warp_epoch_poll(record);
        }
        if (warp_random_chance(&random, 500)) {
            warp_thread_yield();
        }
    }
    atomic_store_explicit(&stage.done, 1, memory_order_relaxed);
    for (int index = 0; index < 2; index++) {
        warp_thread_join(&threads[index]);
    }
    warp_epoch_barrier(record);
    for (int cell = 0; cell < EPOCH_CELLS; cell++) {
        free(atomic_load_explicit(&stage.cells[cell], memory_order_relaxed));
    }
    warp_epoch_unregister(&record);
    warp_epoch_destroy(&stage.epoch);
    warp_memory_fini(&memory);
}
