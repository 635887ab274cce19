/*
 * shards/walk.h - holds all records of one slot still, for whoever wants to look at each of them.
 *
 * The records are found inside an epoch section and pinned, so that the section is short and the
 * looking may take its time: values may be read from disk, a visitor may be called. The gate of
 * shards/coldread is held as long, so that no file goes that one of them refers to.
 *
 * Threads:   any thread with an epoch record, outside its section and without a lease.
 * Lifetime:  a walk is the caller's, zeroed but for store; slot and drop alternate, fini is last.
 * Units:     records.
 * Ordering:  what was there before the call and is not changed during it is among them.
 * Errors:    WARP_ENOMEM, and then nothing is held.
 * Cost:      a pin per record, and 8 bytes of memory per record of the largest slot seen.
 */
#ifndef SHARDS_WALK_H
#define SHARDS_WALK_H

#include "shards/store.h"

struct warp_walk {
    struct warp_store *store;
    struct warp_record **records; /* see warp_walk_record() */
    size_t count, capacity;
    uint32_t generation; /* of the gate */
    bool held;
};

/* Pin the live records of a slot; 0 also when there are none. */
int warp_walk_slot(struct warp_walk *walk, struct warp_epoch_record *record, uint32_t slot);
void warp_walk_drop(struct warp_walk *walk);
void warp_walk_fini(struct warp_walk *walk);

static inline struct warp_record *warp_walk_record(const struct warp_walk *walk,
                                                   size_t index)
{
    /* The lowest bit marks a copy. */
    return (struct warp_record *)((uintptr_t)walk->records[index] & ~(uintptr_t)1);
}

#endif
