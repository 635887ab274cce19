/*
 * cache/horizon.h - decides which values of a shard are still in memory.
 *
 * The policy is S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction",
 * SOSP 2023) in bytes. What is new goes through a small queue of a tenth of the budget and
 * leaves memory at its end unless it was read twice; then it moves to the main queue, where
 * every read earns another lap, up to three. A ghost remembers what left the small queue
 * lately: who comes back from there goes to main at once.
 *
 *      admit ---> small, 1/10 ---- hits >= 2 ---> main, 9/10 <--+ hits >= 1: again,
 *        |            |                            ^   |  +-----+ one hit less
 *        |            +--> out, its key to ghost   |   +--> out
 *        +---- its key was in ghost ---------------+
 *
 * Queues hold a record's slot and 50 bits of its hash, never a pointer, so that updates and
 * moved slots need no fix-up. What is to be known of a record is asked through callbacks,
 * which find it or not. Entries of records that went by themselves are stale; when they
 * outnumber the others, a pass thins the queue out, some entries per call. A record keeps
 * two small numbers for the horizon, in one byte together with whatever else: hits (0 - 3),
 * raised by readers, and the queue it is in.
 *
 * Threads:   all calls by the holder of the shard's lease; metrics are read by any thread.
 *            Hits of a record are raised by any thread.
 * Lifetime:  embedded; memory, ops and context must outlive it. Callbacks run inside calls
 *            of evict, admit and forget, and call nothing here. A cookie is the callbacks'
 *            own, from look to the set or evict that follows.
 * Units:     bytes as the caller counts them: the same for one record in all calls, but for
 *            resize.
 * Ordering:  metrics are relaxed. A reader raises hits with a compare-and-swap, tried once:
 *            a plain store could take back what `set` has written. A lost hit harms
 *            nothing, a lost queue would keep the record in memory for ever.
 * Errors:    WARP_ENOMEM from init and reserve. Without memory evict throws out what it
 *            would have moved. Two records of one slot whose 50 bits are equal may leave in
 *            the wrong order; the bytes stay right in sum.
 * Cost:      admit 8 bytes written, and a question to the ghost: two cache lines. evict one
 *            look per entry, about 1.3 per value evicted on the traces. Memory: 8 bytes an
 *            entry, at most 5/2 entries per live one (see entries_max below), and the
 *            ghost's 5 bytes.
 *
 * The queue a record is in is a code: WARP_HORIZON_NONE, or one of three numbers that mean
 * one queue or the other; which, changes when a pass has been through. Keep it, give it
 * back, copy it to the record that takes another's place; but read it after the last call
 * here that could change it (evict, admit, forget), not before.
 *
 * Life of a value:
 *
 *   OUTSIDE    queue NONE                                     admits()
 *   ADMITTED   queue and hits 0 are in the record             admit()
 *   REPLACED   by an update: the successor has its queue      resize()
 *   MOVED      another queue, hits as set                     evict() -> ops.set
 *   OUTSIDE    evicted: the callback makes a record with      evict() -> ops.evict
 *              queue NONE
 *   GONE       deleted, expired, or given to another shard    forget()
 */
#ifndef CACHE_HORIZON_H
#define CACHE_HORIZON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/memory.h"
#include "cache/fifo.h"
#include "cache/ghost.h"

#define WARP_HORIZON_HITS_MAX         3u
#define WARP_HORIZON_BUDGET_BYTES_MAX (UINT64_C(1) << 48)
#define WARP_HORIZON_BIG_DIVISOR      64u /* a value above budget / 64 is big */

/* The bits of a hash that an entry has, in their place; the others are 0 in what look gets.
 * They include those a slot's table is searched by. */
#define WARP_HORIZON_HASH_MASK UINT64_C(0xffff0003ffffffff)

/* All on the same queues and the same byte of a record, to compare them. */
enum warp_horizon_policy {
    WARP_HORIZON_S3FIFO,
    WARP_HORIZON_FIFO,  /* the oldest goes */
    WARP_HORIZON_CLOCK, /* the oldest goes unless it was read since the hand came by */
    WARP_HORIZON_LRU,   /* nearly: see horizon.c; a hit writes no more than in the others */
    WARP_HORIZON_SIEVE  /* Zhang et al., NSDI 2024: the hand stays where it evicted */
};

enum warp_horizon_queue {
    WARP_HORIZON_NONE,  /* not in memory, or never admitted */
    WARP_HORIZON_SMALL, /* at first; see above */
    WARP_HORIZON_MAIN,  /* at first */
    WARP_HORIZON_OTHER  /* at first nobody's: the code that the next pass gives out */
};

/* A record as the callbacks describe it. */
struct warp_horizon_item {
    uint64_t bytes;
    uint8_t hits;  /* 0 - 3 since it was last set */
    uint8_t queue; /* the code it keeps */
    void *cookie;
};

struct warp_horizon_ops {
    /*
     * The record with a value in memory that has this slot and these bits of hash; false if
     * there is none: deleted, without value, or another shard's. Of several the first.
     */
    bool (*look)(void *context, uint32_t slot, uint64_t hash50,
                 struct warp_horizon_item *out);
    void (*set)(void *context, const struct warp_horizon_item *item, uint8_t hits,
                uint8_t queue);
    /* Take the value out of memory. false: not now (its log bytes are not durable yet,
     * ...): its entry stays the oldest of its queue and others are tried. Calls neither
     * forget nor resize. */
    bool (*evict)(void *context, const struct warp_horizon_item *item);
};

#define WARP_HORIZON_METRICS(X)                                                            \
    X(bytes, GAUGE, "bytes", "In memory, as admitted.")                                    \
    X(live, GAUGE, "records", "In memory.")                                                \
    X(entries, GAUGE, "entries", "In the queues, stale ones included.")                    \
    X(memory_bytes, GAUGE, "bytes", "Of queues and ghost themselves.")                     \
    X(admissions_small, COUNTER, "records", "Values that came in as new.")                 \
    X(admissions_main, COUNTER, "records", "Values that came in as known.")                \
    X(ghost_hits, COUNTER, "records", "Values that came back soon after they left.")       \
    X(passed_by, COUNTER, "records", "Big values that were not let in.")                   \
    X(promotions, COUNTER, "records", "Moves from small to main.")                         \
    X(reinsertions, COUNTER, "records", "Further laps in a queue, for having been read.")  \
    X(evictions, COUNTER, "records", "Values that left memory.")                           \
    X(evicted_bytes, COUNTER, "bytes", "The same in bytes.")                               \
    X(refusals, COUNTER, "records", "Values that could not leave yet.")                    \
    X(stale, COUNTER, "entries", "Met without their record.")                              \
    X(looks, COUNTER, "entries", "Looked at by evict.")                                    \
    X(passes, COUNTER, "passes", "Begun to thin a queue out.")

struct warp_horizon_metrics {
    WARP_HORIZON_METRICS(WARP_METRIC_FIELD)
};

struct warp_horizon_fifo {
    struct warp_fifo fifo;
    uint64_t bytes;
    uint64_t live;     /* records that are in it */
    uint8_t code;      /* of records whose entries no pass has read */
    uint8_t code_push; /* of all others: the same unless there is a pass */
};

/* Visible because it is embedded in a shard. */
struct warp_horizon {
    /* Set by init, constant afterwards. */
    const struct warp_horizon_ops *ops;
    void *context;
    enum warp_horizon_policy policy;

    /* Owned by the holder of the lease. */
    uint64_t budget_bytes;
    struct warp_horizon_fifo small, main;
    struct warp_fifo_pool pool;
    struct warp_ghost ghost;
    uint64_t claim; /* entry that admits has found in the ghost */
    bool claimed;
    uint8_t code_spare; /* WARP_HORIZON_NONE while a pass gives it out */

    /* Written by the holder of the lease, read by whoever writes checkpoints, relaxed: a bit for each
     * code that means main. */
    _Atomic uint8_t main_codes;

    /* Written by the holder of the lease, read by the exporter, both relaxed. */
    struct warp_horizon_metrics metrics;
};

/* entries_ghost_max bounds the ghost, whose memory is taken at once; below 2^32. Only
 * S3-FIFO has one. */
int warp_horizon_init(struct warp_horizon *horizon, struct warp_memory *memory,
                      enum warp_horizon_policy policy, uint64_t budget_bytes,
                      uint64_t entries_ghost_max, const struct warp_horizon_ops *ops,
                      void *context);
void warp_horizon_fini(struct warp_horizon *horizon);

/* See that the next `count` admissions cannot fail, and that evict has chunks to move
 * entries to; the latter not if memory is short. Cheap when nothing is missing. */
int warp_horizon_reserve(struct warp_horizon *horizon, uint32_t count);

/* Never evicts by itself: ask for the excess. At most WARP_HORIZON_BUDGET_BYTES_MAX counts.
 * */
void warp_horizon_set_budget(struct warp_horizon *horizon, uint64_t budget_bytes);

/* How much must leave so that `incoming` bytes fit. */
static inline uint64_t warp_horizon_excess(const struct warp_horizon *horizon,
                                           uint64_t incoming)
{
    uint64_t wanted = horizon->small.bytes + horizon->main.bytes + incoming;

    return wanted > horizon->budget_bytes ? wanted - horizon->budget_bytes : 0;
}

/*
 * Whether a value that could come in should. Big ones pass by unless they were asked for
 * shortly before; everything else is welcome. A call per value, before evict and admit:
 * what it finds in the ghost, the evictions that follow cannot push out.
 */
bool warp_horizon_admits(struct warp_horizon *horizon, uint32_t slot, uint64_t hash,
                         uint64_t bytes);

/*
 * A value came into memory (put of a new key or of a cold one, cold read, replay). Returns
 * the queue it went to, for the record to keep with hits 0. Make room first:
 * evict(excess(bytes)). reserve has been called for it.
 */
uint8_t warp_horizon_admit(struct warp_horizon *horizon, uint32_t slot, uint64_t hash,
                           uint64_t bytes);

/*
 * ---- over a restart ----
 *
 * What a value has earned, as a number that outlives the queues:
 *
 *              S3-FIFO                          the others
 *   0          new, in small                    no hits
 *   1, 2, 3    in main, or on its way there,    so many
 *              with one hit less
 *
 * standing is a hint, asked by any thread without the lease: it may be wrong while a pass gives codes
 * new meanings.
 */
uint8_t warp_horizon_standing(const struct warp_horizon *horizon, uint8_t queue,
                              uint8_t hits);

/*
 * Whether a value of this standing may come back in: if it fits, or if it has earned more than what
 * small holds beyond its share, which evict(excess(bytes)) then throws out.
 */
bool warp_horizon_readmits(const struct warp_horizon *horizon, uint64_t bytes,
                           uint8_t standing);

/* As admit, for a value of this standing, which decides the queue; *hits is for the record to keep with
 * it. */
uint8_t warp_horizon_readmit(struct warp_horizon *horizon, uint32_t slot, uint64_t hash,
                             uint64_t bytes, uint8_t standing, uint8_t *hits);

/* An update replaced a value in `queue`; its successor keeps the queue, and the hits or one
 * more, as the caller likes to count updates. NONE is nothing to do. */
void warp_horizon_resize(struct warp_horizon *horizon, uint8_t queue, uint64_t old_bytes,
                         uint64_t new_bytes);

/* The value went away by itself; its entry is stale now. Call it once look does not find
 * it. */
void warp_horizon_forget(struct warp_horizon *horizon, uint8_t queue, uint64_t bytes);

/*
 * Evict until so many bytes are out or so many entries were looked at; returns the bytes.
 * Fewer also when 32 values refused, or when nothing is left.
 */
uint64_t warp_horizon_evict(struct warp_horizon *horizon, uint64_t bytes_wanted,
                            uint32_t looks_max);

static inline uint64_t warp_horizon_bytes(const struct warp_horizon *horizon)
{
    return warp_counter_read(&horizon->metrics.bytes);
}

/*
 * No more entries than this are in the queues, if `live` is the most records that were in
 * memory at one time since the pass before last began.
 */
static inline uint64_t warp_horizon_entries_max(uint64_t live)
{
    return live * 5 / 2 + 2048;
}

#endif
