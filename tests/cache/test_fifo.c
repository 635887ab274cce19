/* First in, first out, whatever a pass thins out meanwhile; chunks come back, and running
 * out of memory is known before the push. */
#include "cache/fifo.h"

#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"

#define MODEL_MAX 20000u

struct fifo_fixture {
    struct warp_memory memory;
    struct warp_fifo_pool pool;
    struct warp_fifo fifo;
};

static struct fifo_fixture fixture;
static uint64_t model[MODEL_MAX]; /* what the queue should hold, oldest first */
static uint32_t model_count;

static void fifo_setup(void)
{
    check_int(warp_memory_init(&fixture.memory, NULL), ==, 0);
    warp_fifo_pool_init(&fixture.pool, &fixture.memory, 4);
    warp_fifo_init(&fixture.fifo);
    model_count = 0;
}

static void fifo_teardown(void)
{
    warp_fifo_fini(&fixture.fifo, &fixture.pool);
    warp_fifo_pool_fini(&fixture.pool);
    check_u64(warp_memory_bytes(&fixture.memory), ==, 0);
    warp_memory_fini(&fixture.memory);
}

static void push(uint64_t entry)
{
    check_int(warp_fifo_pool_reserve(&fixture.pool, fixture.pool.spare_wanted), ==, 0);
    warp_fifo_push(&fixture.fifo, &fixture.pool, entry);
    if (check_u64(model_count, <, MODEL_MAX)) {
        model[model_count++] = entry;
    }
}

static void model_remove(uint32_t at)
{
    model_count--;
    memmove(&model[at], &model[at + 1], (model_count - at) * sizeof(model[0]));
}

static uint64_t pop(void)
{
    uint64_t entry = warp_fifo_pop(&fixture.fifo, &fixture.pool);

    check_u64(entry, ==, model[0]);
    model_remove(0);
    return entry;
}

static void drain(void)
{
    while (model_count > 0 && test_failures() == 0) {
        pop();
    }
    check_u64(fixture.fifo.entries, ==, 0);
    warp_fifo_settle(&fixture.fifo, &fixture.pool);
}

WARP_TEST(fifo, entries_come_out_as_they_went_in)
{
    uint64_t i;

    fifo_setup();
    for (i = 0; i < 3000; i++) {
        push(i);
        if (i % 3 == 2) {
            pop();
        }
    }
    drain();
    check_u64(fixture.pool.bytes, <=, 8 * sizeof(struct warp_fifo_chunk));
    fifo_teardown();
}

WARP_TEST(fifo, what_was_popped_goes_back_over_the_edge_of_a_chunk)
{
    uint64_t taken[WARP_FIFO_UNPOP_MAX];
    uint32_t lead, i;

    for (lead = 0; lead < 2 * WARP_FIFO_CHUNK_ENTRIES; lead += 7) {
        fifo_setup();
        for (i = 0; i < 2 * WARP_FIFO_CHUNK_ENTRIES + 5; i++) {
            push(i);
        }
        for (i = 0; i < lead; i++) {
            pop();
        }
        warp_fifo_settle(&fixture.fifo, &fixture.pool);
        for (i = 0; i < WARP_FIFO_UNPOP_MAX && fixture.fifo.entries > 0; i++) {
            taken[i] = warp_fifo_pop(&fixture.fifo, &fixture.pool);
        }
        while (i > 0) {
            warp_fifo_unpop(&fixture.fifo, taken[--i]);
        }
        warp_fifo_settle(&fixture.fifo, &fixture.pool);
        drain();
        fifo_teardown();
    }
}

WARP_TEST(fifo, a_queue_that_was_emptied_takes_all_back)
{
    uint32_t i;

    fifo_setup();
    for (i = 0; i < 20; i++) {
        push(i);
    }
    for (i = 0; i < 20; i++) {
        check_u64(warp_fifo_pop(&fixture.fifo, &fixture.pool), ==, i);
    }
    while (i > 0) {
        warp_fifo_unpop(&fixture.fifo, --i);
    }
    push(20);
    drain();
    fifo_teardown();
}

WARP_TEST(fifo, a_pass_keeps_the_order_and_gives_chunks_back)
{
    uint32_t i;

    fifo_setup();
    for (i = 0; i < 10000; i++) {
        push(i);
    }
    warp_fifo_pass_begin(&fixture.fifo);
    for (i = 10000; i-- > 0;) {
        check_u64(warp_fifo_pass_read(&fixture.fifo, &fixture.pool), ==, i);
        warp_fifo_pass_decide(&fixture.fifo, &fixture.pool, i, i % 100 == 0);
        if (i % 100 != 0) {
            model_remove(i);
        }
    }
    warp_fifo_settle(&fixture.fifo, &fixture.pool);
    check(!fixture.fifo.passing);
    check_u64(fixture.fifo.entries, ==, 100);
    check_u64(fixture.pool.bytes, <=, 10 * sizeof(struct warp_fifo_chunk));
    drain();
    fifo_teardown();
}

WARP_TEST(fifo, a_pass_that_keeps_nothing_leaves_an_empty_queue)
{
    uint32_t count, i;

    for (count = 1; count < 3 * WARP_FIFO_CHUNK_ENTRIES; count += 11) {
        fifo_setup();
        for (i = 0; i < count; i++) {
            push(i);
        }
        warp_fifo_pass_begin(&fixture.fifo);
        for (i = count; i-- > 0;) {
            check_u64(warp_fifo_pass_read(&fixture.fifo, &fixture.pool), ==, i);
            warp_fifo_pass_decide(&fixture.fifo, &fixture.pool, i, false);
        }
        model_count = 0;
        check_u64(fixture.fifo.entries, ==, 0);
        push(7);
        drain();
        fifo_teardown();
    }
}

/* Everything at once against an array: pushes, pops, unpops and passes in any order. */
WARP_TEST(fifo, any_schedule_is_as_an_array_would_do_it)
{
    struct warp_random random;
    uint32_t round, i;

    warp_random_init(&random, test_seed());
    for (round = 0; round < 40; round++) {
        uint32_t unread = 0; /* the first so many of the model */
        uint64_t next = 1;
        uint64_t keep_one_in = 1 + warp_random_below(&random, 6);

        fifo_setup();
        for (i = 0; i < 6000 && test_failures() == 0; i++) {
            uint64_t dice = warp_random_below(&random, 16);

            if (dice < 7 || model_count == 0) {
                push(next++);
            } else if (dice < 11) {
                pop();
                unread -= unread > 0;
            } else if (dice == 11) {
                uint64_t entry = pop();

                if (unread != 1) {
                    warp_fifo_unpop(&fixture.fifo, entry);
                    memmove(&model[1], &model[0], model_count * sizeof(model[0]));
                    model[0] = entry;
                    model_count++;
                } else {
                    unread = 0;
                }
            } else if (unread == 0) {
                if (warp_random_chance(&random, 30)) {
                    warp_fifo_pass_begin(&fixture.fifo);
                    unread = model_count;
                }
            } else {
                uint64_t entry = warp_fifo_pass_read(&fixture.fifo, &fixture.pool);
                bool keep = warp_random_below(&random, keep_one_in) == 0;

                unread--;
                check_u64(entry, ==, model[unread]);
                warp_fifo_pass_decide(&fixture.fifo, &fixture.pool, entry, keep);
                if (!keep) {
                    model_remove(unread);
                }
            }
            check(fixture.fifo.passing == (unread > 0));
            check_u64(fixture.fifo.entries, ==, model_count);
            if (warp_random_chance(&random, 4)) {
                warp_fifo_settle(&fixture.fifo, &fixture.pool);
            }
        }
        drain();
        fifo_teardown();
    }
}

WARP_TEST(fifo, without_memory_a_push_is_known_to_fail)
{
    fifo_setup();
    warp_memory_fail_after(&fixture.memory, 0);
    check_int(warp_fifo_pool_reserve(&fixture.pool, fixture.pool.spare_wanted), ==,
              WARP_ENOMEM);
    check(!warp_fifo_can_push(&fixture.fifo, &fixture.pool, 0));
    warp_memory_fail_after(&fixture.memory, 1);
    check_int(warp_fifo_pool_reserve(&fixture.pool, fixture.pool.spare_wanted), ==,
              WARP_ENOMEM);
    check(warp_fifo_can_push(&fixture.fifo, &fixture.pool, 0));
    check(!warp_fifo_can_push(&fixture.fifo, &fixture.pool, 1));
    warp_fifo_push(&fixture.fifo, &fixture.pool, 5);
    check(warp_fifo_can_push(&fixture.fifo, &fixture.pool, 1));
    warp_memory_fail_after(&fixture.memory, UINT64_MAX);
    check_int(warp_fifo_pool_reserve(&fixture.pool, fixture.pool.spare_wanted), ==, 0);
    fifo_teardown();
}
