/*
 * A chunk that is left by the head is not given back at once but stays `behind` the queue,
 * so that a few popped entries can return to where they were; the next one that is left
 * takes its place. Between two settles at most 32 entries come back, less than a chunk, so
 * one is enough.
 *
 * While a pass runs, chunks wholly in the gap do not exist: the read mark gives back each
 * chunk that it leaves, unless the write mark is still in it. So the chunk before the write
 * mark's is always the read mark's, and closing the gap has at most two chunks to give
 * back.
 */
#include "cache/fifo.h"

#include <assert.h>
#include <stddef.h>

#include "base/assert.h"
#include "warp/warp.h"

static_assert(sizeof(struct warp_fifo_chunk) == 2048, "half a page, so that none is lost");
static_assert(WARP_FIFO_UNPOP_MAX <= WARP_FIFO_CHUNK_ENTRIES, "one chunk behind is enough");

static void pool_release(struct warp_fifo_pool *pool, struct warp_fifo_chunk *chunk)
{
    pool->bytes -= sizeof(*chunk);
    warp_memory_release(pool->memory, chunk, sizeof(*chunk));
}

static void pool_keep(struct warp_fifo_pool *pool, struct warp_fifo_chunk *chunk)
{
    chunk->previous = NULL;
    chunk->next = pool->spare;
    pool->spare = chunk;
    pool->spare_count++;
}

static void pool_give(struct warp_fifo_pool *pool, struct warp_fifo_chunk *chunk)
{
    /* Twice, so that a queue that breathes does not take and give each time. */
    if (pool->spare_count >= 2 * pool->spare_wanted) {
        pool_release(pool, chunk);
    } else {
        pool_keep(pool, chunk);
    }
}

static struct warp_fifo_chunk *pool_take(struct warp_fifo_pool *pool)
{
    struct warp_fifo_chunk *chunk = pool->spare;

    warp_assert(chunk != NULL); /* can_push came before */
    pool->spare = chunk->next;
    pool->spare_count--;
    chunk->next = NULL;
    chunk->previous = NULL;
    return chunk;
}

void warp_fifo_pool_init(struct warp_fifo_pool *pool, struct warp_memory *memory,
                         uint32_t spare_wanted)
{
    *pool = (struct warp_fifo_pool){.memory = memory, .spare_wanted = spare_wanted};
}

void warp_fifo_pool_fini(struct warp_fifo_pool *pool)
{
    while (pool->spare_count > 0) {
        pool_release(pool, pool_take(pool));
    }
    warp_assert(pool->bytes == 0); /* the queues went first */
}

int warp_fifo_pool_reserve(struct warp_fifo_pool *pool, uint32_t count)
{
    while (pool->spare_count < count) {
        struct warp_fifo_chunk *chunk =
            warp_memory_reserve(pool->memory, sizeof(*chunk), 0);

        if (chunk == NULL) {
            return WARP_ENOMEM;
        }
        pool->bytes += sizeof(*chunk);
        pool_keep(pool, chunk);
    }
    return 0;
}

void warp_fifo_init(struct warp_fifo *fifo)
{
    *fifo = (struct warp_fifo){.first = NULL};
}

void warp_fifo_fini(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    warp_fifo_settle(fifo, pool);
    while (fifo->first != NULL) {
        struct warp_fifo_chunk *chunk = fifo->first;

        fifo->first = chunk->next;
        pool_give(pool, chunk);
    }
    *fifo = (struct warp_fifo){.first = NULL};
}

void warp_fifo_push(struct warp_fifo *fifo, struct warp_fifo_pool *pool, uint64_t entry)
{
    if (fifo->last == NULL || fifo->tail == WARP_FIFO_CHUNK_ENTRIES) {
        struct warp_fifo_chunk *chunk = pool_take(pool);

        chunk->previous = fifo->last;
        if (fifo->last != NULL) {
            fifo->last->next = chunk;
        } else {
            fifo->first = chunk;
            fifo->head = 0;
        }
        fifo->last = chunk;
        fifo->tail = 0;
    }
    fifo->last->entries[fifo->tail++] = entry;
    fifo->entries++;
}

void warp_fifo_settle(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    if (fifo->behind != NULL) {
        pool_give(pool, fifo->behind);
        fifo->behind = NULL;
    }
}

/* The first chunk has nothing any more; it is kept behind. */
static void fifo_leave_first(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    struct warp_fifo_chunk *chunk = fifo->first;

    warp_fifo_settle(fifo, pool);
    fifo->first = chunk->next;
    if (fifo->first != NULL) {
        fifo->first->previous = NULL;
    } else {
        fifo->last = NULL;
        fifo->tail = 0;
    }
    chunk->next = NULL;
    fifo->behind = chunk;
    fifo->head = 0;
}

/* After the head has moved: it stands at an entry, or the queue has no chunk. */
static void fifo_move_head(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    if (fifo->entries == 0 || fifo->head == WARP_FIFO_CHUNK_ENTRIES) {
        fifo_leave_first(fifo, pool);
    }
    warp_assert((fifo->first == NULL) == (fifo->entries == 0));
}

/* The head has met the read mark. */
static void fifo_close_gap(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    warp_assert(fifo->unread == 0);
    while (fifo->first != fifo->write_chunk) {
        fifo_leave_first(fifo, pool);
    }
    fifo->head = fifo->write;
    fifo->passing = false;
    fifo_move_head(fifo, pool);
}

uint64_t warp_fifo_pop(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    uint64_t entry;

    warp_assert(fifo->entries > 0);
    entry = fifo->first->entries[fifo->head++];
    fifo->entries--;
    if (fifo->passing && --fifo->unread == 0) {
        fifo_close_gap(fifo, pool);
    } else {
        fifo_move_head(fifo, pool);
    }
    return entry;
}

void warp_fifo_unpop(struct warp_fifo *fifo, uint64_t entry)
{
    if (fifo->first == NULL || fifo->head == 0) {
        struct warp_fifo_chunk *chunk = fifo->behind;

        warp_assert(chunk != NULL);
        fifo->behind = NULL;
        chunk->previous = NULL;
        chunk->next = fifo->first;
        if (fifo->first != NULL) {
            fifo->first->previous = chunk;
        } else {
            fifo->last = chunk;
            fifo->tail = WARP_FIFO_CHUNK_ENTRIES;
        }
        fifo->first = chunk;
        fifo->head = WARP_FIFO_CHUNK_ENTRIES;
    }
    fifo->first->entries[--fifo->head] = entry;
    fifo->entries++;
    if (fifo->passing) {
        fifo->unread++;
    }
}

void warp_fifo_pass_begin(struct warp_fifo *fifo)
{
    warp_assert(!fifo->passing);
    warp_assert(fifo->entries > 0);
    fifo->passing = true;
    fifo->unread = fifo->entries;
    fifo->read_chunk = fifo->last;
    fifo->write_chunk = fifo->last;
    fifo->read = fifo->tail;
    fifo->write = fifo->tail;
}

uint64_t warp_fifo_pass_read(struct warp_fifo *fifo, struct warp_fifo_pool *pool)
{
    warp_assert(fifo->passing);
    warp_assert(fifo->unread > 0);
    if (fifo->read == 0) {
        struct warp_fifo_chunk *left = fifo->read_chunk;

        fifo->read_chunk = left->previous;
        fifo->read = WARP_FIFO_CHUNK_ENTRIES;
        if (left != fifo->write_chunk) {
            left->previous->next = left->next;
            left->next->previous = left->previous;
            pool_give(pool, left);
        }
    }
    return fifo->read_chunk->entries[--fifo->read];
}

void warp_fifo_pass_decide(struct warp_fifo *fifo, struct warp_fifo_pool *pool,
                           uint64_t entry, bool keep)
{
    fifo->unread--;
    if (!keep) {
        fifo->entries--;
    } else {
        if (fifo->write == 0) {
            fifo->write_chunk = fifo->write_chunk->previous;
            fifo->write = WARP_FIFO_CHUNK_ENTRIES;
            warp_assert_slow(fifo->write_chunk == fifo->read_chunk);
        }
        fifo->write_chunk->entries[--fifo->write] = entry;
    }
    if (fifo->unread == 0) {
        fifo_close_gap(fifo, pool);
    }
}
