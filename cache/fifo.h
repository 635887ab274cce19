/*
 * cache/fifo.h - a queue of 8-byte entries that can be thinned out where it stands.
 *
 * Chunks of 254 entries in a list; entries go in at the tail and out at the head. A pass
 * reads the entries that were there when it began from the youngest to the oldest, one per
 * call, and moves those worth keeping together, so the order stays, no second queue is
 * needed, and chunks that become empty on the way are free at once:
 *
 *      head                read       write                tail
 *       | not yet read ...  | gap ...  | kept ...| pushed ...|
 *
 * Pushes and pops go on meanwhile. When the head meets the read mark the gap is closed and
 * the pass is over.
 *
 * Threads:   by the owner of the queue and of its pool.
 * Lifetime:  embedded; the pool must outlive its queues. fini gives all chunks back.
 * Units:     entries, whatever they mean; chunks of 2 KiB.
 * Ordering:  none.
 * Errors:    WARP_ENOMEM from reserve alone. A push without room asserts: ask can_push.
 * Cost:      a load and a store; two pointers per 254 entries.
 */
#ifndef CACHE_FIFO_H
#define CACHE_FIFO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

#define WARP_FIFO_CHUNK_ENTRIES 254u

struct warp_fifo_chunk {
    struct warp_fifo_chunk *next; /* towards the tail */
    struct warp_fifo_chunk *previous;
    uint64_t entries[WARP_FIFO_CHUNK_ENTRIES];
};

/* Chunks that nobody uses now, for all queues of one owner. */
struct warp_fifo_pool {
    struct warp_memory *memory;
    struct warp_fifo_chunk *spare;
    uint32_t spare_count;
    uint32_t spare_wanted; /* more than twice that go back to the system */
    uint64_t bytes;        /* of all chunks, in queues too */
};

/* Visible because it is embedded; all fields belong to the queue. */
struct warp_fifo {
    struct warp_fifo_chunk *first, *last;
    struct warp_fifo_chunk *behind; /* emptied last, kept for unpop until settle */
    uint32_t head;                  /* in first: the oldest entry */
    uint32_t tail;                  /* in last: where the next one goes */
    uint64_t entries;               /* the gap not counted */

    /* The pass, if there is one. */
    bool passing;
    struct warp_fifo_chunk *read_chunk, *write_chunk;
    uint32_t read,
        write; /* the entry at index - 1 is the next to be read, the next written */
    uint64_t unread;
};

void warp_fifo_pool_init(struct warp_fifo_pool *pool, struct warp_memory *memory,
                         uint32_t spare_wanted);
void warp_fifo_pool_fini(struct warp_fifo_pool *pool);

/* See that there are `count` chunks to spare, also when that is more than is kept of what comes
 * back. What could be had is kept also on WARP_ENOMEM. */
int warp_fifo_pool_reserve(struct warp_fifo_pool *pool, uint32_t count);

void warp_fifo_init(struct warp_fifo *fifo);
void warp_fifo_fini(struct warp_fifo *fifo, struct warp_fifo_pool *pool);

/* Whether a push finds room and leaves `left` spare chunks. */
static inline bool warp_fifo_can_push(const struct warp_fifo *fifo,
                                      const struct warp_fifo_pool *pool, uint32_t left)
{
    return (fifo->last != NULL && fifo->tail < WARP_FIFO_CHUNK_ENTRIES) ||
           pool->spare_count > left;
}

void warp_fifo_push(struct warp_fifo *fifo, struct warp_fifo_pool *pool, uint64_t entry);

/* The oldest; entries > 0. */
uint64_t warp_fifo_pop(struct warp_fifo *fifo, struct warp_fifo_pool *pool);

/*
 * Put an entry that was popped since the last settle back as the oldest: youngest of them
 * first, not more than WARP_FIFO_UNPOP_MAX, and none over the end of a pass.
 */
#define WARP_FIFO_UNPOP_MAX 32u
void warp_fifo_unpop(struct warp_fifo *fifo, uint64_t entry);
void warp_fifo_settle(struct warp_fifo *fifo, struct warp_fifo_pool *pool);

/* entries > 0, and no pass. */
void warp_fifo_pass_begin(struct warp_fifo *fifo);

/*
 * The next entry of the pass, unread > 0; then say whether it stays, before anything else.
 * The last one ends the pass, as does a pop of the last one that is unread.
 */
uint64_t warp_fifo_pass_read(struct warp_fifo *fifo, struct warp_fifo_pool *pool);
void warp_fifo_pass_decide(struct warp_fifo *fifo, struct warp_fifo_pool *pool,
                           uint64_t entry, bool keep);

#endif
