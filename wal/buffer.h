/*
 * wal/buffer.h - the log's tail in memory: a ring that many writers fill in parallel.
 *
 * A writer has taken [position, position + bytes) from wal/sequence and copies its frame to
 * the same place of the ring, modulo its size. Each writer has a cell in which it says where
 * its unfinished frame may begin; everything below the lowest such place is finished, and
 * that contiguous prefix is what may go to disk. Parallel copy into a shared log buffer is
 * from Johnson et al., "Aether", VLDB 2010; one cell per shard in place of their queue is ours.
 *
 *      written           captured        lowest cell           tail
 *         |  being written  |   finished     |  somebody copies  |
 *     ----+=================+================+~~~~~~~~~~~~~~~~~~~+----
 *
 * Threads:   begin, copy and finish by the owner of the cell (the holder of that shard's lease);
 *            prefix and the reading side by the holder of the writer's lock.
 * Lifetime:  embedded in struct warp_wal; init reserves the ring, fini gives it back.
 * Units:     positions are bytes of log; the ring's size is a power of two.
 * Ordering:  begin stores a lower bound before the sequence is taken (the take's release
 *            publishes it), finish is a release store after the copy. prefix reads the tail
 *            first (acquire) and then the cells (acquire): whoever took a place below that
 *            tail is seen either with its lower bound or as finished, copy included.
 * Errors:    WARP_ENOMEM from init.
 * Cost:      two stores per frame beside the copy.
 */
#ifndef WAL_BUFFER_H
#define WAL_BUFFER_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/memory.h"
#include "wal/sequence.h"

#define WARP_BUFFER_FINISHED UINT64_MAX

struct warp_buffer_cell {
    alignas(WARP_CACHELINE) _Atomic uint64_t start; /* or WARP_BUFFER_FINISHED */
    /* A frame too big for the ring is copied piece by piece; it is copied up to here. Means
     * something only where it is above start. */
    _Atomic uint64_t copied;
};

struct warp_buffer {
    /* Set by init, constant afterwards. */
    uint8_t *memory;
    uint64_t mask;
    uint64_t bytes;
    uint32_t cell_count;
    struct warp_buffer_cell *cells;
};

int warp_buffer_init(struct warp_buffer *buffer, struct warp_memory *memory, uint64_t bytes,
                     uint32_t cell_count, bool huge);
void warp_buffer_fini(struct warp_buffer *buffer, struct warp_memory *memory);

/* ---- the owner of a cell -------------------------------------------------------------- */

/* Take `bytes` of log; nothing may delay the copy that must follow. Returns the position. */
static inline uint64_t warp_buffer_begin(struct warp_buffer *buffer, uint32_t cell,
                                         struct warp_sequence *sequence, uint64_t bytes)
{
    struct warp_buffer_cell *mine = &buffer->cells[cell];

    /* Relaxed: the acq_rel add of the take publishes it to who reads the new tail. */
    atomic_store_explicit(&mine->start, warp_sequence_tail_hint(sequence),
                          memory_order_relaxed);
    return warp_sequence_take(sequence, bytes);
}

/* Say that the frame begun last is in the ring as a whole. */
static inline void warp_buffer_finish(struct warp_buffer *buffer, uint32_t cell)
{
    /* Release: pairs with the acquire of the cells in warp_buffer_prefix. */
    atomic_store_explicit(&buffer->cells[cell].start, WARP_BUFFER_FINISHED,
                          memory_order_release);
}

/* Say that a big frame begun at `start` is in the ring up to `copied`. */
static inline void warp_buffer_progress(struct warp_buffer *buffer, uint32_t cell,
                                        uint64_t start, uint64_t copied)
{
    struct warp_buffer_cell *mine = &buffer->cells[cell];

    warp_assert(copied >= start);
    /* start first: prefix may take max(start, copied), and both are true places. Release:
     * pairs with the acquires in warp_buffer_prefix. */
    atomic_store_explicit(&mine->start, start, memory_order_release);
    atomic_store_explicit(&mine->copied, copied, memory_order_release);
}

/* Where position lies in the ring, and how many bytes follow without a wrap. */
static inline uint8_t *warp_buffer_at(const struct warp_buffer *buffer, uint64_t position,
                                      uint64_t *contiguous_bytes)
{
    uint64_t offset = position & buffer->mask;

    *contiguous_bytes = buffer->bytes - offset;
    return buffer->memory + offset;
}

/* Copy bytes to their place in the ring, wrapping at its end. */
void warp_buffer_copy_in(struct warp_buffer *buffer, uint64_t position, const void *bytes,
                         size_t count);

/* ---- the holder of the writer's lock --------------------------------------------------- */

/*
 * How far the log is finished: *bytes is contiguous and may be written; *boundary is the end of
 * the last whole frame in it (boundary <= bytes). *tail gets the tail that was read.
 */
void warp_buffer_prefix(const struct warp_buffer *buffer,
                        const struct warp_sequence *sequence, uint64_t *bytes,
                        uint64_t *boundary, uint64_t *tail);

void warp_buffer_copy_out(const struct warp_buffer *buffer, uint64_t position, void *bytes,
                          size_t count);

#endif
