/*
 * base/slab.h - memory for many small things of many sizes, by size class.
 *
 * A pool takes blocks of 2 MiB from the system, cuts them into slabs of 64 KiB, and a slab
 * into objects of one class; free objects of a slab form a list through themselves.
 * Bonwick, "The Slab Allocator", USENIX Summer 1994; the list per slab is that of Leijen,
 * Zorn, de Moura, "Mimalloc", MSR-TR-2019-18.
 *
 *     block, 2 MiB, aligned        slab 0            slab 1          slab 31
 *     +----------------------------+-----------------+---------------+----+
 *     | header: 32 slab headers    | objects, 60 KiB | 64 KiB        | .. |
 *     +----------------------------+-----------------+---------------+----+
 *
 * Threads:   a pool belongs to one thread at a time, but for send_back, which is for any thread
 *            that owns an object of somebody else's pool. The two byte counts may be read by
 *            others only through a copy the owner made.
 * Lifetime:  the pool is embedded; memory goes back with release, or all at once with fini.
 *            An empty slab goes back to its block (one per pool is kept), which gives its
 *            memory back unless that is little (not with huge pages or the caller's
 *            allocator), an empty block to the system (one per pool is kept); of large ones
 *            at most 2 MiB are kept.
 * Units:     bytes. Classes: steps of 8 to 256, of 32 to 512, then eight per doubling to
 *            32 KiB, every multiple of 64 up to 1024 being one. Larger ones have a mapping
 *            of their own, in steps of 4 KiB.
 * Ordering:  send_back is a release that pairs with the acquire of take_back.
 * Errors:    NULL when there is no memory. A wrong size or a foreign pointer asserts.
 * Cost:      reserve and release about 5 ns together, 8 among many objects; some 100 ns
 *            when a slab, 10 us when a block must be had; the first touch of a huge page
 *            costs 0.2 ms and more, of a small one 1 - 5 us. Lost inside: at most
 *            7 bytes to 256, at most 12.5 % above it; in the ends of slabs at most 9 %
 *            (those of classes above 8 KiB are 256 KiB long for that reason); 0.2 % of a
 *            block for its header.
 *
 * Alignment is 8; if bytes is a multiple of 64 it is 64. Free memory is poisoned for the
 * address sanitizer.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

#define WARP_SLAB_SMALL_BYTES_MAX 32768u
#define WARP_SLAB_CLASS_COUNT     88u

struct warp_slab;       /* header of one slab, inside its block */
struct warp_slab_block; /* header of a block */
struct warp_slab_large; /* header of a mapping of its own */
struct warp_slab_sent;  /* lies in an object that is on its way back */

/* Visible because it is embedded in a shard. All fields belong to the pool. */
struct warp_slab_pool {
    /* Slabs with room, the current one first. */
    struct warp_slab *partial[WARP_SLAB_CLASS_COUNT];
    uint64_t bytes_used;
    uint64_t bytes_held;
    uint64_t bytes_free;                 /* of that: free slabs */
    struct warp_slab_block *blocks;      /* all */
    struct warp_slab_block *available;   /* those with a free slab */
    struct warp_slab_block *spare;       /* the one empty block that is kept, or NULL */
    struct warp_slab *kept;              /* the one empty slab that is kept, or NULL */
    struct warp_slab_large *larges;      /* all that are out */
    struct warp_slab_large *kept_larges; /* that came back, the youngest first */
    size_t kept_bytes;                   /* in them */
    struct warp_memory *memory;
    bool huge;
    bool sparse;                  /* free slabs need not have memory */
    struct warp_slab_sent *taken; /* of those that were sent back, not released yet */
    /* Any thread pushes, the pool's takes all. */
    _Atomic(struct warp_slab_sent *) sent;
};

int warp_slab_pool_init(struct warp_slab_pool *pool, struct warp_memory *memory, bool huge);

/* Gives everything back, whatever is still in use. */
void warp_slab_pool_fini(struct warp_slab_pool *pool);

/* Not zeroed; bytes > 0. */
void *warp_slab_reserve(struct warp_slab_pool *pool, size_t bytes);

/* bytes as in reserve, p from this pool; NULL is nothing to do. */
void warp_slab_release(struct warp_slab_pool *pool, void *p, size_t bytes);

/*
 * An object may outlive its owner's interest in the pool it came from. try_release is release if p is
 * of this pool; else it does nothing and says whose it is. send_back hands it to that pool, whose
 * thread releases it some day: take_back takes up to `most` of them and returns their bytes as they
 * were counted in use. True from send_back: nothing was waiting there before, so that thread may
 * have to be told. The stack of objects that come home is from Leijen et al., as above.
 */
#define WARP_SLAB_SENT_BYTES_MIN 16u /* what can be sent back */
struct warp_slab_pool *warp_slab_try_release(struct warp_slab_pool *pool, void *p,
                                             size_t bytes);
bool warp_slab_send_back(struct warp_slab_pool *home, void *p, size_t bytes);
uint64_t warp_slab_take_back(struct warp_slab_pool *pool, uint32_t most);
static inline bool warp_slab_has_sent(const struct warp_slab_pool *pool)
{
    return pool->taken != NULL ||
           atomic_load_explicit(&pool->sent, memory_order_relaxed) != NULL;
}

/* What a reserve of bytes really takes and may use; reserve(round(n)) takes no more. */
size_t warp_slab_round_big(size_t bytes); /* for those above 256 */
static inline size_t warp_slab_round(size_t bytes)
{
    return bytes <= 256 ? (bytes + 7) & ~(size_t)7 : warp_slab_round_big(bytes);
}

/* At most so much more the pool would take from the system for a reserve of `bytes`. */
size_t warp_slab_growth(const struct warp_slab_pool *pool, size_t bytes);

/* Give back what is kept for the next time. */
void warp_slab_trim(struct warp_slab_pool *pool);

/* Sum of round() of all that is out; what the system gave for it. */
uint64_t warp_slab_bytes_used(const struct warp_slab_pool *pool);
uint64_t warp_slab_bytes_held(const struct warp_slab_pool *pool);

#endif
