/*
 * engine/metrics.h - sums what the rooms count.
 *
 * The metrics are declared in observe/catalogue.h, once; here is where each of them comes from. A
 * snapshot of them goes out as text (warp_metrics_render), as an image (warp_metrics_snapshot), or
 * into the file METRICS (engine/publish).
 *
 * Threads:   any; nothing is locked or stopped.
 * Lifetime:  the caller's buffers.
 * Units:     nanoseconds where the catalogue says seconds.
 * Ordering:  relaxed reads: the numbers of one snapshot need not fit each other to the last unit.
 * Errors:    WARP_TRUNCATED, WARP_ENOMEM.
 * Cost:      about 110 us, the text included 220 us, on a busy machine; a look at a thousand buckets for every caller more.
 */
#ifndef ENGINE_METRICS_H
#define ENGINE_METRICS_H

#include "engine/engine.h"
#include "observe/snapshot.h"

/* What the engine knows by itself; free_bytes, which the system must be asked for, stays none. */
void warp_metrics_collect(struct warp *db, struct warp_catalogue_values *totals);

/* Where the parts of a snapshot are that it points to. */
struct warp_metrics_space {
    struct warp_catalogue_shard shards[WARP_SHARD_COUNT_MAX];
    uint8_t owners[WARP_SLOT_COUNT];
    struct warp_snapshot_slow slow[WARP_SNAPSHOT_SLOW];
    struct warp_snapshot_hot hot[WARP_SNAPSHOT_HOT];
};

/* All of a snapshot, but who publishes it. shards: store->shard_count of them. more may be NULL: then
 * without the owners of slots, the slow calls and the hot keys. */
void warp_metrics_fill(struct warp *db, struct warp_snapshot *snapshot,
                       struct warp_catalogue_shard *shards,
                       struct warp_metrics_space *more);

int warp_metrics_write(struct warp *db, char *buffer, size_t capacity, size_t *bytes);
int warp_metrics_image(struct warp *db, void *buffer, size_t capacity, size_t *bytes);

#endif
