/*
 * shards/replay.h - recovered log frames into the slots they belong to.
 *
 * Each shard takes from every chunk of the log what its slots own, in log order, so that all
 * shards can do so side by side; which shard a record belonged to before is no matter.
 *
 * Threads:   by one thread per shard; different shards by different threads at once.
 * Lifetime:  the chunk must live until the call returns.
 * Units:     Unix ms for expiry.
 * Ordering:  the caller takes and gives back the lease.
 * Errors:    WARP_ENOMEM, WARP_EDAMAGED (a body that its checksum covers and that makes no sense).
 * Cost:      about 0.3 us per operation.
 */
#ifndef SHARDS_REPLAY_H
#define SHARDS_REPLAY_H

#include "shards/store.h"
#include "wal/scan.h"

struct warp_replay_counts {
    uint64_t operations;
    uint64_t expired;
};

int warp_replay_chunk(struct warp_shard *shard, const struct warp_scan_chunk *chunk,
                      uint64_t now_ms, struct warp_replay_counts *counts);

#endif
