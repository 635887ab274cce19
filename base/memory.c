/*
 * Every call gets a number; a number at or past fail_after is refused before anybody is
 * asked. Then the bytes are counted as asked for, not as rounded, so that what goes back is
 * what came.
 */
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

#define MEMORY_PAGE_BYTES        4096u
#define MEMORY_ALIGNMENT_DEFAULT 16u

int warp_memory_init(struct warp_memory *memory,
                     const struct warp_allocator *allocator_or_null)
{
    struct warp_allocator allocator = {NULL, NULL, NULL};

    if (allocator_or_null != NULL) {
        allocator = *allocator_or_null;
        if (allocator.allocate == NULL || allocator.release == NULL) {
            return -EINVAL;
        }
    }
    memory->allocator = allocator;
    atomic_init(&memory->bytes, 0);
    atomic_init(&memory->calls, 0);
    atomic_init(&memory->fail_after, UINT64_MAX);
    return 0;
}

void warp_memory_fini(struct warp_memory *memory)
{
    warp_assert_slow(warp_memory_bytes(memory) == 0);
    memory->allocator = (struct warp_allocator){NULL, NULL, NULL};
}

/* Takes a number and counts the bytes; false if this call is to be refused. */
static bool memory_count(struct warp_memory *memory, size_t bytes)
{
    /* Relaxed: the number decides only about this call. */
    uint64_t call = atomic_fetch_add_explicit(&memory->calls, 1, memory_order_relaxed);

    if (WARP_UNLIKELY(call >=
                      atomic_load_explicit(&memory->fail_after, memory_order_relaxed))) {
        return false;
    }
    atomic_fetch_add_explicit(&memory->bytes, bytes, memory_order_relaxed);
    return true;
}

static void memory_uncount(struct warp_memory *memory, size_t bytes)
{
    uint64_t before =
        atomic_fetch_sub_explicit(&memory->bytes, bytes, memory_order_relaxed);

    warp_assert(before >= bytes);
}

void *warp_memory_reserve(struct warp_memory *memory, size_t bytes, size_t alignment)
{
    void *p = NULL;

    if (alignment == 0) {
        alignment = MEMORY_ALIGNMENT_DEFAULT;
    }
    warp_assert(bytes > 0);
    warp_assert(warp_is_power_of_two(alignment));
    if (!memory_count(memory, bytes)) {
        return NULL;
    }
    if (memory->allocator.allocate != NULL) {
        p = memory->allocator.allocate(memory->allocator.context, bytes, alignment);
    } else if (alignment <= MEMORY_ALIGNMENT_DEFAULT) {
        p = calloc(1, bytes); /* knows which pages are zero already */
        if (p == NULL) {
            memory_uncount(memory, bytes);
        }
        return p;
    } else if (posix_memalign(&p, alignment, bytes) != 0) {
        p = NULL;
    }
    if (p == NULL) {
        memory_uncount(memory, bytes);
        return NULL;
    }
    warp_assert(((uintptr_t)p & (alignment - 1)) == 0);
    memset(p, 0, bytes);
    return p;
}

void warp_memory_release(struct warp_memory *memory, void *p, size_t bytes)
{
    if (p == NULL) {
        return;
    }
    if (memory->allocator.release != NULL) {
        memory->allocator.release(memory->allocator.context, p, bytes);
    } else {
        free(p);
    }
    memory_uncount(memory, bytes);
}

/* Anonymous memory at a multiple of alignment: take too much, give the ends back. */
static void *memory_map_pages(size_t bytes, size_t alignment, bool huge)
{
    size_t length = warp_align_up(bytes, MEMORY_PAGE_BYTES);
    size_t slack = alignment > MEMORY_PAGE_BYTES ? alignment : 0;
    uintptr_t start, aligned;
    void *p;

    if (length < bytes || length + slack < length) {
        return NULL;
    }
    p = mmap(NULL, length + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
             0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    start = (uintptr_t)p;
    aligned = warp_align_up(start, alignment);
    if (aligned > start) {
        munmap(p, aligned - start);
    }
    if (aligned + length < start + length + slack) {
        munmap((void *)(aligned + length), start + slack - aligned);
    }
    /* Advice, no more: a system without huge pages gives small ones. Where it gives huge
     * ones unasked, small regions that will be mostly empty say no. */
    if (huge) {
        madvise((void *)aligned, length, MADV_HUGEPAGE);
    } else {
        madvise((void *)aligned, length, MADV_NOHUGEPAGE);
    }
    return (void *)aligned;
}

void *warp_memory_map(struct warp_memory *memory, size_t bytes, size_t alignment, bool huge)
{
    void *p;

    if (alignment == 0) {
        alignment = MEMORY_PAGE_BYTES;
    }
    warp_assert(bytes > 0);
    warp_assert(warp_is_power_of_two(alignment));
    if (!memory_count(memory, bytes)) {
        return NULL;
    }
    if (memory->allocator.allocate != NULL) {
        if (alignment < MEMORY_PAGE_BYTES) {
            alignment = MEMORY_PAGE_BYTES;
        }
        p = memory->allocator.allocate(memory->allocator.context, bytes, alignment);
        if (p != NULL) {
            warp_assert(((uintptr_t)p & (alignment - 1)) == 0);
            memset(p, 0, bytes);
        }
    } else {
        p = memory_map_pages(bytes, alignment, huge);
    }
    if (p == NULL) {
        memory_uncount(memory, bytes);
    }
    return p;
}

void warp_memory_unmap(struct warp_memory *memory, void *p, size_t bytes)
{
    int rc;

    if (p == NULL) {
        return;
    }
    if (memory->allocator.release != NULL) {
        memory->allocator.release(memory->allocator.context, p, bytes);
    } else {
        rc = munmap(p, warp_align_up(bytes, MEMORY_PAGE_BYTES));
        warp_assert(rc == 0);
    }
    memory_uncount(memory, bytes);
}

void *warp_memory_map_sparse(struct warp_memory *memory, size_t bytes, size_t alignment,
                             size_t counted)
{
    void *p;

    warp_assert(counted <= bytes);
    warp_assert(warp_is_power_of_two(alignment));
    if (!warp_memory_has_sparse(memory) || !memory_count(memory, counted)) {
        return NULL;
    }
    p = memory_map_pages(bytes, alignment, false);
    if (p == NULL) {
        memory_uncount(memory, counted);
    }
    return p;
}

void warp_memory_unmap_sparse(struct warp_memory *memory, void *p, size_t bytes,
                              size_t counted)
{
    int rc = munmap(p, warp_align_up(bytes, MEMORY_PAGE_BYTES));

    warp_assert(rc == 0);
    memory_uncount(memory, counted);
}

void warp_memory_fill(struct warp_memory *memory, size_t bytes)
{
    atomic_fetch_add_explicit(&memory->bytes, bytes, memory_order_relaxed);
}

void warp_memory_split(void *p, size_t bytes)
{
    (void)madvise(p, bytes, MADV_NOHUGEPAGE);
}

void warp_memory_discard(struct warp_memory *memory, void *p, size_t bytes)
{
    int rc = madvise(p, bytes, MADV_DONTNEED);

    warp_assert(rc == 0);
    memory_uncount(memory, bytes);
}

uint64_t warp_memory_bytes(const struct warp_memory *memory)
{
    return atomic_load_explicit(&memory->bytes, memory_order_relaxed);
}

uint64_t warp_memory_calls(const struct warp_memory *memory)
{
    return atomic_load_explicit(&memory->calls, memory_order_relaxed);
}

void warp_memory_fail_after(struct warp_memory *memory, uint64_t calls)
{
    uint64_t now = warp_memory_calls(memory);

    atomic_store_explicit(&memory->fail_after,
                          calls > UINT64_MAX - now ? UINT64_MAX : now + calls,
                          memory_order_relaxed);
}
