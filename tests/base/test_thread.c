#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "tests/lib/test.h"

struct sleeper {
    _Atomic uint32_t word;
    _Atomic uint32_t awake;
    uint32_t bits;
    uint64_t answer; /* plain: the wake must make it visible */
    uint64_t seen;
};

static void sleeper_main(void *context)
{
    struct sleeper *sleeper = context;

    /* Acquire: pairs with the release in the test. */
    while (atomic_load_explicit(&sleeper->word, memory_order_acquire) == 0) {
        warp_park(&sleeper->word, 0, UINT64_MAX, sleeper->bits);
    }
    sleeper->seen = sleeper->answer;
    atomic_fetch_add_explicit(&sleeper->awake, 1, memory_order_relaxed);
}

WARP_TEST(thread, a_parked_thread_wakes_when_its_word_changes)
{
    struct sleeper sleeper = {0, 0, UINT32_MAX, 0, 0};
    struct warp_thread *thread = NULL;
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_thread_start(&thread, &memory, "sleeper-with-a-long-name", -1,
                                sleeper_main, &sleeper),
              ==, 0);
    sleeper.answer = 42;
    atomic_store_explicit(&sleeper.word, 1, memory_order_release);
    warp_wake(&sleeper.word, 1, UINT32_MAX);
    warp_thread_join(&thread);
    check(thread == NULL);
    check_u64(sleeper.seen, ==, 42);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(thread, parking_on_a_word_that_has_changed_returns_at_once)
{
    _Atomic uint32_t word = 5;

    check_int(warp_park(&word, 4, UINT64_MAX, UINT32_MAX), ==, 0);
    check_u64(warp_wake(&word, 10, UINT32_MAX), ==, 0);
}

WARP_TEST(thread, parking_ends_when_the_time_is_up)
{
    const struct warp_clock *clock = warp_clock_system();
    _Atomic uint32_t word = 5;
    uint64_t before = warp_clock_ns(clock);
    int rc;

    do {
        rc = warp_park(&word, 5, 3000000, UINT32_MAX);
    } while (rc == 0); /* nothing to wake it but chance */
    check_int(rc, ==, 1);
    check_u64(warp_clock_ns(clock) - before, >=, 3000000);
    check_int(warp_park(&word, 5, 0, UINT32_MAX), ==, 1);
}

WARP_TEST(thread, only_sleepers_with_a_common_bit_wake)
{
    struct sleeper sleepers[2] = {{0, 0, 1, 0, 0}, {0, 0, 2, 0, 0}};
    struct warp_thread *threads[2] = {NULL, NULL};
    struct warp_memory memory;
    uint32_t woken = 0;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(
        warp_thread_start(&threads[0], &memory, "bit-0", 0, sleeper_main, &sleepers[0]), ==,
        0);
    /* It sleeps when a wake with its bit finds it; its word has not changed, so it sleeps
     * on. */
    while (woken == 0) {
        check_u64(warp_wake(&sleepers[0].word, 1, 2), ==, 0);
        woken = warp_wake(&sleepers[0].word, 1, 1);
        warp_thread_yield();
    }
    check_u64(woken, ==, 1);
    check_u64(atomic_load(&sleepers[0].awake), ==, 0);
    atomic_store_explicit(&sleepers[0].word, 1, memory_order_release);
    warp_wake(&sleepers[0].word, UINT32_MAX, 1);
    warp_thread_join(&threads[0]);
    check_u64(atomic_load(&sleepers[0].awake), ==, 1);
    warp_thread_join(&threads[1]); /* never started: nothing to do */
    warp_memory_fini(&memory);
}

static void mask_main(void *context)
{
    pthread_sigmask(SIG_SETMASK, NULL, context);
}

WARP_TEST(thread, signals_are_left_to_the_host)
{
    struct warp_thread *thread = NULL;
    struct warp_memory memory;
    sigset_t inside, outside;

    sigemptyset(&inside);
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_thread_start(&thread, &memory, "mask", -1, mask_main, &inside), ==, 0);
    warp_thread_join(&thread);
    check(sigismember(&inside, SIGTERM) == 1);
    check(sigismember(&inside, SIGINT) == 1);
    pthread_sigmask(SIG_SETMASK, NULL, &outside);
    check(sigismember(&outside, SIGTERM) == 0);
    warp_memory_fini(&memory);
}

WARP_TEST(thread, start_without_memory_fails)
{
    struct warp_thread *thread = NULL;
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_memory_fail_after(&memory, 0);
    check_int(warp_thread_start(&thread, &memory, "none", -1, mask_main, NULL), <, 0);
    check(thread == NULL);
    warp_memory_fini(&memory);
}

WARP_TEST(thread, there_is_a_cpu_to_run_on)
{
    check_u64(warp_thread_cpus(), >=, 1);
    check_int(warp_thread_cpu_at(0), >=, 0);
    check_int(warp_thread_cpu_at(100000), ==, -1);
}

WARP_TEST(thread, spinning_is_bounded_and_learns)
{
    const struct warp_clock *clock = warp_clock_system();
    struct warp_spin spin;
    uint32_t round = 0;
    uint64_t before;

    warp_spin_init(&spin, 50);
    if (spin.budget_ns_max == 0) {
        test_skip("one CPU: nothing spins");
        return;
    }
    before = warp_clock_ns(clock);
    while (warp_spin_once(&spin, &round)) {
    }
    check_u64(warp_clock_ns(clock) - before, >=, 50000);
    for (int index = 0; index < 10; index++) {
        warp_spin_result(&spin, false);
    }
    check_u64(spin.budget_ns, ==, 50000 / 16);
    warp_spin_result(&spin, true);
    check_u64(spin.budget_ns, ==, 2 * (50000 / 16));
    for (int index = 0; index < 10; index++) {
        warp_spin_result(&spin, true);
    }
    check_u64(spin.budget_ns, ==, 50000);
    warp_spin_init(&spin, 0);
    round = 0;
    check(!warp_spin_once(&spin, &round));
}
