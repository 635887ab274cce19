/*
 * wal/sequence.h - gives every record its place in the log.
 *
 * One counter, moved with one atomic add, is the log's tail: the place a record gets is also
 * its number in the one order of all shards. The disk may finish writes in any order it
 * likes; the writer alone says how far the log has no holes. Log sequence numbers as an idea
 * are from Mohan et al., "ARIES", ACM TODS 17(1), 1992; the durable mark is ours.
 *
 * Threads:   take and pad by any thread; publish by the holder of the writer's lock; tail and
 *            durable by any thread.
 * Lifetime:  embedded in struct warp_wal. Nothing is allocated, nothing released.
 * Units:     bytes of log since the database was made. Position 0 holds the first OPEN frame,
 *            so no record has the number zero.
 * Ordering:  take is seq_cst: it publishes the lower bound that its writer stored in its cell
 *            before (pairs with the acquire in warp_sequence_tail, see wal/buffer.h), and it is
 *            ordered before its writer's look at whether the log thread is idle. publish
 *            (release) pairs with durable (acquire): who reads N sees all that led to N being
 *            on disk.
 * Errors:    none. Going past 2^64 - 1 is not a case we handle.
 * Cost:      one contended cache line per take.
 */
#ifndef WAL_SEQUENCE_H
#define WAL_SEQUENCE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

struct warp_sequence {
    alignas(WARP_CACHELINE) _Atomic uint64_t tail;    /* every writer moves it */
    alignas(WARP_CACHELINE) _Atomic uint64_t durable; /* only under the writer's lock */
};

static inline void warp_sequence_init(struct warp_sequence *sequence, uint64_t tail,
                                      uint64_t durable)
{
    atomic_init(&sequence->tail, tail);
    atomic_init(&sequence->durable, durable);
}

/* Take `bytes` of log and return where they begin. */
static inline uint64_t warp_sequence_take(struct warp_sequence *sequence, uint64_t bytes)
{
    warp_assert(bytes > 0);
    return atomic_fetch_add_explicit(&sequence->tail, bytes, memory_order_seq_cst);
}

/* Take [from, to) if nobody took anything since the tail was `from`. */
static inline bool warp_sequence_take_exactly(struct warp_sequence *sequence, uint64_t from,
                                              uint64_t to)
{
    warp_assert(to > from);
    return atomic_compare_exchange_strong_explicit(
        &sequence->tail, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

static inline uint64_t warp_sequence_tail(const struct warp_sequence *sequence)
{
    return atomic_load_explicit(&sequence->tail, memory_order_acquire);
}

/* For estimates that a later look corrects, such as whether there is room. */
static inline uint64_t warp_sequence_tail_hint(const struct warp_sequence *sequence)
{
    return atomic_load_explicit(&sequence->tail, memory_order_relaxed);
}

/* The mark only grows, and only over whole frames. */
static inline void warp_sequence_publish(struct warp_sequence *sequence, uint64_t durable)
{
    warp_assert(durable >= atomic_load_explicit(&sequence->durable, memory_order_relaxed));
    atomic_store_explicit(&sequence->durable, durable, memory_order_release);
}

/* Every frame that begins below the mark is on stable storage, whole. */
static inline uint64_t warp_sequence_durable(const struct warp_sequence *sequence)
{
    return atomic_load_explicit(&sequence->durable, memory_order_acquire);
}

#endif
