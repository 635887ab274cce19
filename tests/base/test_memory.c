#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

static bool all_zero(const void *p, size_t bytes)
{
    const unsigned char *at = p;

    for (size_t index = 0; index < bytes; index++) {
        if (at[index] != 0) {
            return false;
        }
    }
    return true;
}

WARP_TEST(memory, what_is_reserved_is_zero_aligned_and_counted)
{
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    for (size_t alignment = 8; alignment <= 4096; alignment *= 2) {
        for (size_t bytes = 1; bytes < 5000; bytes = bytes * 3 + 1) {
            void *p = warp_memory_reserve(&memory, bytes, alignment);

            check(p != NULL);
            check_u64((uintptr_t)p % alignment, ==, 0);
            check(all_zero(p, bytes));
            check_u64(warp_memory_bytes(&memory), ==, bytes);
            memset(p, 0xaa, bytes);
            warp_memory_release(&memory, p, bytes);
            check_u64(warp_memory_bytes(&memory), ==, 0);
        }
    }
    warp_memory_release(&memory, NULL, 10);
    warp_memory_fini(&memory);
}

WARP_TEST(memory, mapped_regions_are_zero_and_aligned)
{
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    for (size_t alignment = 4096; alignment <= 2097152; alignment *= 8) {
        size_t bytes = 3 * 4096 + 17;
        void *p = warp_memory_map(&memory, bytes, alignment, alignment == 2097152);

        check(p != NULL);
        check_u64((uintptr_t)p % alignment, ==, 0);
        check(all_zero(p, bytes));
        memset(p, 1, bytes);
        check_u64(warp_memory_bytes(&memory), ==, bytes);
        warp_memory_unmap(&memory, p, bytes);
    }
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(memory, calls_fail_from_the_one_that_was_named)
{
    struct warp_memory memory;
    void *p[4] = {NULL};

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_memory_fail_after(&memory, 2);
    p[0] = warp_memory_reserve(&memory, 10, 0);
    p[1] = warp_memory_map(&memory, 10, 0, false);
    p[2] = warp_memory_reserve(&memory, 10, 0);
    p[3] = warp_memory_map(&memory, 10, 0, false);
    check(p[0] != NULL);
    check(p[1] != NULL);
    check(p[2] == NULL);
    check(p[3] == NULL);
    check_u64(warp_memory_calls(&memory), ==, 4);
    check_u64(warp_memory_bytes(&memory), ==, 20);
    warp_memory_fail_after(&memory, UINT64_MAX);
    p[2] = warp_memory_reserve(&memory, 10, 0);
    check(p[2] != NULL);
    warp_memory_release(&memory, p[0], 10);
    warp_memory_unmap(&memory, p[1], 10);
    warp_memory_release(&memory, p[2], 10);
    warp_memory_fini(&memory);
}

struct tally {
    size_t bytes;
    unsigned calls;
    bool refuse;
};

static void *tally_allocate(void *context, size_t bytes, size_t alignment)
{
    struct tally *tally = context;
    void *p = NULL;

    if (tally->refuse || posix_memalign(&p, alignment, bytes) != 0) {
        return NULL;
    }
    memset(p, 0x5a, bytes); /* the table promises no zeros */
    tally->bytes += bytes;
    tally->calls++;
    return p;
}

static void tally_release(void *context, void *p, size_t bytes)
{
    struct tally *tally = context;

    tally->bytes -= bytes;
    free(p);
}

WARP_TEST(memory, a_table_of_the_caller_gets_every_call)
{
    struct tally tally = {0, 0, false};
    struct warp_allocator table = {tally_allocate, tally_release, &tally};
    struct warp_memory memory;
    void *p, *q;

    check_int(warp_memory_init(&memory, &table), ==, 0);
    p = warp_memory_reserve(&memory, 100, 64);
    q = warp_memory_map(&memory, 10000, 2097152, true);
    check(p != NULL && all_zero(p, 100));
    check(q != NULL && all_zero(q, 10000));
    check_u64(tally.calls, ==, 2);
    check_u64(tally.bytes, ==, 10100);
    tally.refuse = true;
    check(warp_memory_reserve(&memory, 1, 0) == NULL);
    check_u64(warp_memory_bytes(&memory), ==, 10100);
    warp_memory_release(&memory, p, 100);
    warp_memory_unmap(&memory, q, 10000);
    check_u64(tally.bytes, ==, 0);
    warp_memory_fini(&memory);
    table.release = NULL;
    check_int(warp_memory_init(&memory, &table), ==, -EINVAL);
}
