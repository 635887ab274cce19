/*
 * shards/haul.h - records on their way from old files to an archive.
 *
 * What compaction reads goes into memory of its own, in any order, and comes out in the order of
 * an archive: by slot, then by hash. A heap does the sorting a little with every record, so that
 * no step is long (Williams, CACM 7(6), 1964). What has come out stays here until it is dropped,
 * because its key is needed to tell its shard where it has gone.
 *
 *      reserve, commit          take                        drop
 *      ---------------> heap ----------> taken, in order ---------->
 *
 * Threads:   one.
 * Lifetime:  init and fini; an item lives until it is undone, dropped, or all are cleared.
 * Units:     bytes of memory, its own tables included.
 * Ordering:  none.
 * Errors:    WARP_AGAIN from reserve: bytes_max are used, empty it first; never while it is
 *            empty, so that a record of any size fits alone: that is the bound then. WARP_ENOMEM.
 * Cost:      one copy of a record; log n comparisons to take one.
 */
#ifndef SHARDS_HAUL_H
#define SHARDS_HAUL_H

#include <stdint.h>

#include "base/memory.h"

struct warp_haul_item {
    uint64_t hash;
    uint64_t sequence;
    uint64_t place; /* where it lies, until it is moved */
    uint64_t new_place;
    uint64_t expires_at_ms;
    uint32_t slot;
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint32_t spare;
    uint8_t bytes[]; /* key, value */
};

struct warp_haul_chunk;

/* Compared without a look at the item, which is somewhere in memory. */
struct warp_haul_entry {
    uint64_t order; /* slot, and as much of the hash as there is room for */
    struct warp_haul_item *item;
};

struct warp_haul {
    struct warp_memory *memory;
    uint64_t bytes_max;
    uint32_t chunk_bytes;
    uint64_t bytes;                 /* reserved */
    struct warp_haul_chunk *chunks; /* the one that is filled first */
    struct warp_haul_entry *items;  /* [0, heap_count): a heap; [heap_count, count): taken,
                                       the last first */
    uint32_t heap_count, count, capacity;
};

void warp_haul_init(struct warp_haul *haul, struct warp_memory *memory, uint64_t bytes_max);
void warp_haul_fini(struct warp_haul *haul);

/* Memory for one more; not in the heap yet. */
int warp_haul_reserve(struct warp_haul *haul, uint32_t key_bytes, uint32_t value_bytes,
                      struct warp_haul_item **item);
/* The one that was reserved last is whole, or is given up. */
void warp_haul_commit(struct warp_haul *haul, struct warp_haul_item *item);
void warp_haul_undo(struct warp_haul *haul, struct warp_haul_item *item);

/* The next one in order; NULL: the heap is empty. */
struct warp_haul_item *warp_haul_take(struct warp_haul *haul);
/* The last one that was taken goes back. */
void warp_haul_untake(struct warp_haul *haul);

/* Number i of those taken, in order. */
static inline uint32_t warp_haul_taken_count(const struct warp_haul *haul)
{
    return haul->count - haul->heap_count;
}
static inline struct warp_haul_item *warp_haul_taken(const struct warp_haul *haul,
                                                     uint32_t i)
{
    return haul->items[haul->count - 1 - i].item;
}

/* Forget those taken; their memory is free when the heap is empty too. */
void warp_haul_drop(struct warp_haul *haul);

/* Forget everything and give all memory back. */
void warp_haul_clear(struct warp_haul *haul);

#endif
