/*
 * shards/replay.h - what was recovered, of a checkpoint and of the log, into its slots.
 *
 * Each shard takes from every chunk of the log what its slots own, in log order, so that all
 * shards can do so side by side; which shard a record belonged to before is no matter.
 *
 * Threads:   by one thread per shard; different shards by different threads at once.
 * Lifetime:  the chunk must live until the call returns.
 * Units:     Unix ms for expiry.
 * Ordering:  the caller takes and gives back the lease.
 * Errors:    WARP_ENOMEM, WARP_EDAMAGED (a body that its checksum covers and that makes no sense).
 * Cost:      about 0.3 us per operation of the log, 0.1 us per record of a checkpoint.
 */
#ifndef SHARDS_REPLAY_H
#define SHARDS_REPLAY_H

#include "shards/store.h"
#include "wal/checkpoint.h"
#include "wal/scan.h"

struct warp_replay_counts {
    uint64_t operations;
    uint64_t expired;
};

/*
 * One record of a checkpoint, without its value, into its slot. The caller holds the owner's lease.
 * slot_left: how many of this slot are still to come, this one included, if all of them come one
 * after the other (its table is sized for them then), else 0. What is there already stays unless it
 * is older.
 */
int warp_replay_entry(struct warp_shard *shard, uint32_t slot, uint32_t slot_left,
                      const struct warp_checkpoint_entry *entry, uint64_t now_ms,
                      struct warp_replay_counts *counts);

/* Which shard a frame concerns, as a label for wal/scan; the context is the store. */
uint8_t warp_replay_label(void *store, const struct warp_frame *frame, const void *body);

/* Frames of the log; those with another shard's label are passed over. What is in the slots already and is newer, out of a checkpoint, stays. */
int warp_replay_chunk(struct warp_shard *shard, const struct warp_scan_chunk *chunk,
                      uint64_t now_ms, struct warp_replay_counts *counts);

#endif
