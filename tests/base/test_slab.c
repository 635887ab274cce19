#include "base/slab.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "tests/lib/test.h"

#define BLOCK_BYTES UINT64_C(2097152)

WARP_TEST(slab, classes_are_steps_of_an_eighth)
{
    size_t before = 0;

    for (size_t bytes = 1; bytes <= 40000; bytes++) {
        size_t round = warp_slab_round(bytes);

        if (!check_u64(round, >=, bytes) || !check_u64(round, >=, before) ||
            !check_u64(warp_slab_round(round), ==, round)) {
            return;
        }
        before = round;
        if (bytes <= 256) {
            check_u64(round - bytes, <, 8);
        } else if (bytes <= 32768) {
            check_u64((round - bytes) * 8, <, bytes);
        } else {
            check_u64((round + 64) % 4096, ==, 0);
        }
        if (bytes <= 1024 && bytes % 64 == 0) {
            check_u64(round, ==, bytes);
        }
        if (bytes % 64 == 0) {
            check_u64(round % 64, ==, 0);
        }
    }
}

struct shadow {
    unsigned char *p;
    size_t bytes;
    unsigned char mark;
};

static bool shadow_whole(const struct shadow *shadow)
{
    for (size_t index = 0; index < shadow->bytes; index++) {
        if (shadow->p[index] != shadow->mark) {
            return false;
        }
    }
    return true;
}

static size_t random_size(struct warp_random *random)
{
    switch (warp_random_below(random, 8)) {
    case 0:
        return 64 * (1 + warp_random_below(random, 40));
    case 1:
        return 1 + warp_random_below(random, 32768);
    case 2:
        return 1 + warp_random_below(random, 100000);
    default:
        return 1 + warp_random_below(random, 600);
    }
}

WARP_TEST(slab, what_is_out_never_overlaps_and_is_aligned)
{
    enum { SHADOWS = 1500 };
    static struct shadow shadows[SHADOWS];
    struct warp_slab_pool pool;
    struct warp_memory memory;
    struct warp_random random;
    uint64_t used = 0;

    memset(shadows, 0, sizeof(shadows));
    warp_random_init(&random, test_seed());
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&pool, &memory, false), ==, 0);
    for (int step = 0; step < 40000; step++) {
        struct shadow *shadow = &shadows[warp_random_below(&random, SHADOWS)];

        if (shadow->p != NULL) {
            if (!check(shadow_whole(shadow))) {
                return;
            }
            used -= warp_slab_round(shadow->bytes);
            warp_slab_release(&pool, shadow->p, shadow->bytes);
            shadow->p = NULL;
        } else {
            shadow->bytes = random_size(&random);
            shadow->mark = (unsigned char)warp_random_next(&random);
            shadow->p = warp_slab_reserve(&pool, shadow->bytes);
            check(shadow->p != NULL);
            check_u64((uintptr_t)shadow->p % (shadow->bytes % 64 == 0 ? 64 : 8), ==, 0);
            memset(shadow->p, shadow->mark, shadow->bytes);
            used += warp_slab_round(shadow->bytes);
        }
        if (!check_u64(warp_slab_bytes_used(&pool), ==, used) ||
            !check_u64(warp_slab_bytes_held(&pool), ==, warp_memory_bytes(&memory))) {
            return;
        }
    }
    check_u64(warp_slab_bytes_held(&pool), >=, used);
    for (int index = 0; index < SHADOWS; index++) {
        if (shadows[index].p != NULL) {
            check(shadow_whole(&shadows[index]));
            warp_slab_release(&pool, shadows[index].p, shadows[index].bytes);
        }
    }
    check_u64(warp_slab_bytes_used(&pool), ==, 0);
    /* One empty block is kept, one empty slab may hold another, and 2 MiB of large ones. */
    check_u64(warp_slab_bytes_held(&pool), <=, 3 * BLOCK_BYTES);
    warp_slab_pool_fini(&pool);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(slab, every_class_fills_its_slabs_and_gives_them_back)
{
    enum { OBJECTS = 9000 };
    static void *objects[OBJECTS];
    struct warp_slab_pool pool;
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&pool, &memory, false), ==, 0);
    for (size_t bytes = 8; bytes <= 32768; bytes = warp_slab_round(bytes + 1)) {
        unsigned count = bytes > 1024 ? (unsigned)(4 * BLOCK_BYTES / bytes) : OBJECTS;

        for (unsigned index = 0; index < count; index++) {
            objects[index] = warp_slab_reserve(&pool, bytes);
            memset(objects[index], (int)index, bytes);
        }
        if (count * bytes > BLOCK_BYTES) {
            /* Headers and ends of slabs: less than a tenth, beside the last block. */
            check_u64(warp_slab_bytes_held(&pool), <=,
                      warp_slab_bytes_used(&pool) * 11 / 10 + 2 * BLOCK_BYTES);
        }
        for (unsigned index = 0; index < count; index++) {
            /* every other one first, so that slabs are half empty for a while */
            unsigned at =
                index < (count + 1) / 2 ? 2 * index : 2 * (index - (count + 1) / 2) + 1;

            check_int(*(unsigned char *)objects[at], ==, (unsigned char)at);
            warp_slab_release(&pool, objects[at], bytes);
        }
        check_u64(warp_slab_bytes_used(&pool), ==, 0);
        if (!check_u64(warp_slab_bytes_held(&pool), <=, 2 * BLOCK_BYTES)) {
            return;
        }
    }
    warp_slab_pool_fini(&pool);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(slab, taking_and_giving_one_object_moves_no_memory)
{
    struct warp_slab_pool pool;
    struct warp_memory memory;
    uint64_t calls;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&pool, &memory, false), ==, 0);
    warp_slab_release(&pool, warp_slab_reserve(&pool, 100), 100);
    calls = warp_memory_calls(&memory);
    for (int index = 0; index < 1000; index++) {
        void *p = warp_slab_reserve(&pool, 100);

        check(p != NULL);
        warp_slab_release(&pool, p, 100);
    }
    check_u64(warp_memory_calls(&memory), ==, calls);
    warp_slab_pool_fini(&pool);
    warp_memory_fini(&memory);
}

WARP_TEST(slab, large_things_are_used_again_within_a_bound)
{
    enum { LARGES = 100 };
    struct warp_slab_pool pool;
    struct warp_memory memory;
    void *larges[LARGES];
    uint64_t calls;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&pool, &memory, false), ==, 0);
    for (int index = 0; index < LARGES; index++) {
        larges[index] = warp_slab_reserve(&pool, 65536);
        memset(larges[index], index, 65536);
    }
    for (int index = 0; index < LARGES; index++) {
        check_int(*(unsigned char *)larges[index], ==, index);
        warp_slab_release(&pool, larges[index], 65536);
    }
    check_u64(warp_slab_bytes_used(&pool), ==, 0);
    check_u64(warp_slab_bytes_held(&pool), <=, BLOCK_BYTES);
    check_u64(warp_slab_bytes_held(&pool), ==, warp_memory_bytes(&memory));
    calls = warp_memory_calls(&memory);
    for (int index = 0; index < LARGES; index++) {
        /* nearly the same size will do */
        size_t bytes = 65536 - (size_t)index * 40;
        void *p = warp_slab_reserve(&pool, bytes);

        memset(p, 1, bytes);
        warp_slab_release(&pool, p, bytes);
    }
    check_u64(warp_memory_calls(&memory), ==, calls);
    /* What is kept makes room when there is no other memory; huge ones are not kept. */
    warp_slab_release(&pool, warp_slab_reserve(&pool, 1000000), 1000000);
    check_u64(warp_slab_bytes_held(&pool), <=, BLOCK_BYTES);
    warp_memory_fail_after(&memory, 0);
    check(warp_slab_reserve(&pool, 400000) == NULL);
    check_u64(warp_slab_bytes_held(&pool), ==, 0);
    warp_memory_fail_after(&memory, UINT64_MAX);
    warp_slab_pool_fini(&pool);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(slab, fini_takes_back_what_is_still_out)
{
    struct warp_slab_pool pool;
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&pool, &memory, true), ==, 0);
    for (size_t bytes = 1; bytes < 3000000; bytes = bytes * 5 / 4 + 1) {
        check(warp_slab_reserve(&pool, bytes) != NULL);
    }
    check_u64(warp_memory_bytes(&memory), >, 3000000);
    warp_slab_pool_fini(&pool);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(slab, without_memory_it_says_so_and_goes_on)
{
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    for (uint64_t calls = 0; calls < 4; calls++) {
        struct warp_slab_pool pool;
        void *first = NULL;
        unsigned count = 0;
        void *p;

        check_int(warp_slab_pool_init(&pool, &memory, false), ==, 0);
        warp_memory_fail_after(&memory, calls);
        while ((p = warp_slab_reserve(&pool, 8192)) != NULL) {
            memset(p, 7, 8192);
            first = first == NULL ? p : first;
            count++;
            if (count > 4000) {
                break;
            }
        }
        check_u64(count, >=, calls * 200);
        check_u64(count, <=, calls * 256);
        check(warp_slab_reserve(&pool, 100000) == NULL);
        check_u64(warp_slab_bytes_used(&pool), ==, count * 8192);
        if (first != NULL) {
            /* What comes back can be had again. */
            warp_slab_release(&pool, first, 8192);
            check(warp_slab_reserve(&pool, 8192) == first);
        }
        warp_memory_fail_after(&memory, UINT64_MAX);
        check(warp_slab_reserve(&pool, 100) != NULL);
        warp_slab_pool_fini(&pool);
        check_u64(warp_memory_bytes(&memory), ==, 0);
    }
    warp_memory_fini(&memory);
}

/* Does the function end its process by an abort? */
static bool aborts(void (*misuse)(struct warp_slab_pool *pool), struct warp_slab_pool *pool)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        misuse(pool);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static void misuse_size(struct warp_slab_pool *pool)
{
    warp_slab_release(pool, warp_slab_reserve(pool, 100), 200);
}

static void misuse_pool(struct warp_slab_pool *pool)
{
    struct warp_slab_pool other;

    warp_slab_pool_init(&other, pool->memory, false);
    warp_slab_release(&other, warp_slab_reserve(pool, 100), 100);
}

static void misuse_large(struct warp_slab_pool *pool)
{
    warp_slab_release(pool, warp_slab_reserve(pool, 100000), 200000);
}

WARP_TEST(slab, a_wrong_size_or_pool_is_caught)
{
    struct warp_slab_pool pool;
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&pool, &memory, false), ==, 0);
    check(aborts(misuse_size, &pool));
    check(aborts(misuse_pool, &pool));
    check(aborts(misuse_large, &pool));
    warp_slab_pool_fini(&pool);
    warp_memory_fini(&memory);
}

WARP_TEST(slab, what_another_has_goes_home_and_is_released_there)
{
    static const size_t sizes[] = {16, 24, 64, 200, 1000, 9000, 32768, 40000, 3000000};
    struct warp_memory memory;
    struct warp_slab_pool mine, other;
    void *objects[9];
    uint64_t used = 0;
    size_t i;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_slab_pool_init(&mine, &memory, false), ==, 0);
    check_int(warp_slab_pool_init(&other, &memory, false), ==, 0);
    for (i = 0; i < 9; i++) {
        objects[i] = warp_slab_reserve(&mine, sizes[i]);
        used += warp_slab_round(sizes[i]);
    }
    check_u64(warp_slab_bytes_used(&mine), ==, used);
    check(!warp_slab_has_sent(&mine));
    for (i = 0; i < 9; i++) {
        check(warp_slab_try_release(&other, objects[i], sizes[i]) == &mine);
        /* Who finds it empty has to tell. */
        check(warp_slab_send_back(&mine, objects[i], sizes[i]) == (i == 0));
    }
    check(warp_slab_has_sent(&mine));
    check_u64(warp_slab_bytes_used(&mine), ==, used);
    check_u64(warp_slab_bytes_used(&other), ==, 0);
    /* The last one that was sent comes first. */
    check_u64(warp_slab_take_back(&mine, 1), ==, warp_slab_round(sizes[8]));
    used -= warp_slab_round(sizes[8]);
    check(warp_slab_has_sent(&mine));
    check_u64(warp_slab_take_back(&mine, 100), ==, used);
    check(!warp_slab_has_sent(&mine));
    check_u64(warp_slab_take_back(&mine, 100), ==, 0);
    check_u64(warp_slab_bytes_used(&mine), ==, 0);
    /* And its own it releases at once. */
    objects[0] = warp_slab_reserve(&mine, 100);
    check(warp_slab_try_release(&mine, objects[0], 100) == &mine);
    check_u64(warp_slab_bytes_used(&mine), ==, 0);
    warp_slab_pool_fini(&mine);
    warp_slab_pool_fini(&other);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}
