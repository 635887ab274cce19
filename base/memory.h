/*
 * base/memory.h - every byte the engine takes from the system, counted.
 *
 * A thin table over the C library or the caller's allocator: it knows how many bytes are
 * out and can refuse from the nth call on, so that a test can walk n upward through every
 * allocation of a path.
 *
 * Threads:   init and fini by the owner alone; all others by any thread at any time.
 * Lifetime:  embedded; the allocator table must outlive it. What reserve gave is given back
 *            with release and the same size, what map gave with unmap.
 * Units:     bytes, as asked for; calls.
 * Ordering:  counters are relaxed: they carry no data.
 * Errors:    NULL when the system or the test says no; -EINVAL from init for a half-filled
 *            table. A wrong size or alignment asserts.
 * Cost:      that of the allocator plus three contended atomic adds: nothing for a hot
 *            path.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <warp/warp.h>

#include "base/assert.h"

/* Visible because it is embedded in the engine and in every test. */
struct warp_memory {
    /* Set by init, constant afterwards. allocate == NULL means the C library and mmap. */
    struct warp_allocator allocator;

    /* Any thread adds, relaxed. */
    alignas(WARP_CACHELINE) _Atomic uint64_t bytes;
    _Atomic uint64_t calls;
    _Atomic uint64_t fail_after; /* calls that still succeed are those numbered below it */
};

int warp_memory_init(struct warp_memory *memory,
                     const struct warp_allocator *allocator_or_null);

/* Asserts in slow builds that everything was given back. */
void warp_memory_fini(struct warp_memory *memory);

/* Zeroed memory, the caller's until release; alignment 0 means 16. bytes > 0. */
void *warp_memory_reserve(struct warp_memory *memory, size_t bytes, size_t alignment);

/* p may be NULL. bytes as in reserve. */
void warp_memory_release(struct warp_memory *memory, void *p, size_t bytes);

/*
 * The same for big regions: whole pages from the system when the allocator is the C
 * library's, backed by huge pages if asked and if there are any. alignment is a power of
 * two, 0 means a page; bytes need not be a multiple of anything.
 */
void *warp_memory_map(struct warp_memory *memory, size_t bytes, size_t alignment,
                      bool huge);
void warp_memory_unmap(struct warp_memory *memory, void *p, size_t bytes);

/*
 * A map of which only the parts in use are held and counted: `bytes` of addresses of small pages,
 * `counted` of them from the start. fill counts a part before its first use; discard gives
 * its pages back, after which it reads as zeroes. NULL with an allocator of the caller's,
 * which cannot give back parts.
 */
void *warp_memory_map_sparse(struct warp_memory *memory, size_t bytes, size_t alignment,
                             size_t counted);
void warp_memory_unmap_sparse(struct warp_memory *memory, void *p, size_t bytes,
                              size_t counted);
void warp_memory_fill(struct warp_memory *memory, size_t bytes);
void warp_memory_discard(struct warp_memory *memory, void *p, size_t bytes);

/* Parts of this are going to be discarded: huge pages would bring them back. */
void warp_memory_split(void *p, size_t bytes);

static inline bool warp_memory_has_sparse(const struct warp_memory *memory)
{
    return memory->allocator.allocate == NULL;
}

/* In use now, and how often reserve and map were called so far, refused calls included. */
uint64_t warp_memory_bytes(const struct warp_memory *memory);
uint64_t warp_memory_calls(const struct warp_memory *memory);

/*
 * For tests: `calls` more calls of reserve or map succeed, all later ones are refused.
 * UINT64_MAX: none is.
 */
void warp_memory_fail_after(struct warp_memory *memory, uint64_t calls);

#endif
