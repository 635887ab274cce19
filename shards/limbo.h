/*
 * shards/limbo.h - memory that is out of use but may still be looked at.
 *
 * What the holder of a lease takes out of a table goes here with its size; a bag of such things is
 * retired as one through base/epoch, and given back to the slab pool when no reader can be
 * inside any more. A record that is pinned then (borrowed) stays in a list of its own until it
 * is not. Limbo lists per epoch are from Fraser, "Practical lock-freedom", 2004.
 *
 * When a slot changes its shard, its records and arrays stay where they are: in the pool of the
 * shard that made them. The new one retires them here like its own; when they are ripe they are
 * sent home. What a shard owns is therefore not what its pool has out, but that and its *charge*:
 * what it owns in other pools, less what others own in its.
 *
 * Threads:   by the holder of the lease of the shard that embeds it.
 * Lifetime:  init and fini by who makes the shard; fini needs that no reader is left.
 * Units:     bytes as reserved from the slab pool.
 * Ordering:  that of base/epoch: what readers did in sections that began before the retirement
 *            comes before the memory's next use.
 * Errors:    WARP_ENOMEM from reserve, after which as many retirements as asked for cannot fail.
 * Cost:      a store per thing, and per bag of 62 an epoch call and the giving back of at most two;
 *            one compare-and-swap more for a thing that goes home. What came home is taken by at most 256 things per collect.
 */
#ifndef SHARDS_LIMBO_H
#define SHARDS_LIMBO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/epoch.h"
#include "base/memory.h"
#include "base/slab.h"
#include "shards/record.h"

#define WARP_LIMBO_BAG_ITEMS 62u

struct warp_limbo_bag;

struct warp_limbo {
    struct warp_memory *memory;
    struct warp_slab_pool pool;
    struct warp_epoch_record *record;
    struct warp_limbo_bag *open;  /* being filled */
    struct warp_limbo_bag *spare; /* empty ones, linked */
    struct warp_limbo_bag *ripe;  /* past their grace, linked */
    uint32_t spare_count;
    struct warp_record **pinned; /* retired, past their grace, still borrowed */
    uint32_t pinned_count;
    uint32_t pinned_capacity;
    uint32_t bag_count;     /* of all bags, wherever they are */
    uint64_t pending_bytes; /* retired and not given back, as the pool counts them */
    bool alone;             /* see warp_limbo_alone() */
    int64_t charge_bytes;   /* owned here in other pools, less owned elsewhere in this */
    /* Something waits for its first time to be taken home by that limbo; NULL: nobody is told. */
    void (*homecoming)(struct warp_limbo *home);
    _Atomic uint64_t pending_items;  /* for observers */
    _Atomic uint64_t pinned_items;   /* for observers */
    _Atomic uint64_t released_items; /* for observers */
};

int warp_limbo_init(struct warp_limbo *limbo, struct warp_memory *memory,
                    struct warp_epoch *epoch, bool huge_pages);

/* Retire what is open, and wait until all that was retired is given back or sent home, but for what is
 * pinned. Before the first fini of limbos among which slots have moved; no reader is left. */
void warp_limbo_empty(struct warp_limbo *limbo);

/* Gives everything back, the pool included. Pinned records are lost to their borrowers. */
void warp_limbo_fini(struct warp_limbo *limbo);

/* While nobody can be reading, as when a database is being opened, what is retired is given back at
 * once, while it is still in the cache. Set and taken back by whoever knows; nothing waits then. */
void warp_limbo_alone(struct warp_limbo *limbo, bool alone);

/* See that the next `items` retirements cannot fail. */
int warp_limbo_reserve(struct warp_limbo *limbo, uint32_t items);

void warp_limbo_retire_record(struct warp_limbo *limbo, struct warp_record *record);
void warp_limbo_retire_memory(struct warp_limbo *limbo, void *memory, size_t bytes);

/* Give back what is ripe. close also retires the bag that is not full. True if something is left
 * that a later call may give back. */
bool warp_limbo_collect(struct warp_limbo *limbo, bool close);

/* The same of two bags at most, and only a bag that is half full is retired: for who holds a lease that
 * others want, and comes often. */
bool warp_limbo_collect_some(struct warp_limbo *limbo);

/* Of the pool's bytes in use and all others: what this shard owns, retired things included; what of
 * the system's memory that takes, if what it owns elsewhere were here. */
static inline uint64_t warp_limbo_owned_bytes(const struct warp_limbo *limbo)
{
    return warp_slab_bytes_used(&limbo->pool) + (uint64_t)limbo->charge_bytes;
}
static inline uint64_t warp_limbo_held_bytes(const struct warp_limbo *limbo)
{
    return warp_slab_bytes_held(&limbo->pool) + (uint64_t)limbo->charge_bytes;
}

/* A slot with so many bytes goes from one to the other; both leases are held. */
static inline void warp_limbo_transfer(struct warp_limbo *from, struct warp_limbo *to,
                                       uint64_t bytes)
{
    from->charge_bytes -= (int64_t)bytes;
    to->charge_bytes += (int64_t)bytes;
}

#endif
