#include "bench/timeline.h"

#include <stdlib.h>
#include <time.h>

#include "tests/lib/test.h"

WARP_TEST(timeline, a_long_run_has_room_and_keeps_its_sums)
{
    struct bench_timeline timeline = {0};
    uint64_t at = 0;

    /* Ten operations per millisecond for 1,000 notes. */
    for (uint32_t i = 1; i <= 1000; i++) {
        at +=
            (uint64_t)(timeline.step_ms == 0 ? BENCH_TIMELINE_STEP_MS : timeline.step_ms) *
            1000000;
        bench_timeline_note(&timeline, at, at / 100000);
        check(timeline.count >= 1 && timeline.count <= BENCH_TIMELINE_POINTS_MAX);
    }
    check(timeline.step_ms > BENCH_TIMELINE_STEP_MS);
    check_u64(timeline.elapsed_ns[timeline.count - 1], ==, at);
    for (uint32_t i = 0; i < timeline.count; i++) {
        check(i == 0 || timeline.elapsed_ns[i] > timeline.elapsed_ns[i - 1]);
        check((uint64_t)(bench_timeline_rate(&timeline, i) + 0.5) == 10000);
    }
}

WARP_TEST(timeline, rates_are_of_the_stretch_before_the_note)
{
    struct bench_timeline timeline = {0};

    bench_timeline_note(&timeline, 1000000000, 500);
    bench_timeline_note(&timeline, 3000000000, 1500);
    bench_timeline_note(&timeline, 3000000000, 1500);
    check(bench_timeline_rate(&timeline, 0) == 500.0);
    check(bench_timeline_rate(&timeline, 1) == 500.0);
    check(bench_timeline_rate(&timeline, 2) == 0.0);
    check(!bench_timeline_steady(&timeline).known);
}

struct counter {
    _Atomic uint64_t looks;
    _Atomic uint32_t steady;
};

static uint64_t counter_steps(void *context)
{
    struct counter *counter = context;

    return atomic_fetch_add_explicit(&counter->looks, 1000, memory_order_relaxed) + 1000;
}

WARP_TEST(timeline, what_is_shorter_than_the_first_look_has_one)
{
    struct counter counter = {0};
    struct bench_timeline_taker *taker = calloc(1, sizeof(*taker));

    taker->operations = counter_steps;
    taker->context = &counter;
    check_int(bench_timeline_start(taker), ==, 0);
    bench_timeline_stop(taker);
    check(taker->timeline.count >= 1);
    check_u64(taker->timeline.operations[0], ==, 1000);
    free(taker);
}

/* It waits for what must come, however long this machine takes. */
WARP_TEST(timeline, the_thread_notes_and_shows_what_it_sees)
{
    struct counter counter = {0};
    struct bench_status status = {0};
    struct bench_timeline_taker *taker = calloc(1, sizeof(*taker));
    struct timespec nap = {0, 1000000};

    taker->operations = counter_steps;
    taker->context = &counter;
    taker->status = &status;
    check_int(bench_timeline_start(taker), ==, 0);
    while (atomic_load_explicit(&status.operations, memory_order_relaxed) < 3000) {
        nanosleep(&nap, NULL);
    }
    bench_timeline_stop(taker);
    check(taker->timeline.count >= 3);
    check_u64(taker->timeline.operations[0], ==, 1000);
    check_u64(taker->timeline.operations[2], ==, 3000);
    check_u64(atomic_load_explicit(&status.operations, memory_order_relaxed), ==,
              taker->timeline.operations[taker->timeline.count - 1]);
    check_u64(atomic_load_explicit(&status.elapsed_ns, memory_order_relaxed), ==,
              taker->timeline.elapsed_ns[taker->timeline.count - 1]);
    free(taker);
}
