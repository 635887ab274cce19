/*
 * shards/held.h - which log segments below the head are kept for the values in them.
 *
 * The list that a checkpoint carries, so that the next open knows which files there must be: none
 * of them is replayed, all of them are read when a value is asked for.
 *
 * Threads:   one at a time: the opener, then shards/background.
 * Lifetime:  embedded; zeroed with memory set is empty; fini gives the memory back.
 * Units:     indexes of segments.
 * Ordering:  none of its own.
 * Errors:    WARP_ENOMEM, and then nothing has changed.
 * Cost:      32 bytes a segment.
 */
#ifndef SHARDS_HELD_H
#define SHARDS_HELD_H

#include <stdint.h>

#include "base/memory.h"
#include "wal/checkpoint.h"

struct warp_held {
    struct warp_memory *memory;
    uint64_t *segments; /* ascending */
    struct warp_checkpoint_segment *table;
    uint32_t segment_count, capacity;
};

/* Add what a checkpoint lists; what is there already stays. */
int warp_held_load(struct warp_held *held, const struct warp_checkpoint *checkpoint);
/* Add segments [from, to); from is above all there are, or below it is skipped. */
int warp_held_extend(struct warp_held *held, uint64_t from, uint64_t to);
/* As a checkpoint's table. Lives until the next call. */
const struct warp_checkpoint_segment *warp_held_table(struct warp_held *held,
                                                      uint32_t segment_bytes);
void warp_held_fini(struct warp_held *held);

#endif
