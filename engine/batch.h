/*
 * engine/batch.h - the writes of an atomic batch, gathered before they are committed.
 *
 * Keeps the body of the frame as it will stand in the log, each entry with its own checksum, and
 * beside it what shards/batch needs to know of each operation.
 *
 * Threads:   one at a time.
 * Lifetime:  key and value bytes are copied; memory grows and is kept until destroy.
 * Units:     bytes and operations, bounded by WARP_BATCH_BYTES_MAX and _OPERATIONS_MAX.
 * Ordering:  none.
 * Errors:    WARP_EKEY, WARP_EVALUE, WARP_EBATCH, WARP_ENOMEM; a failed append changes nothing.
 * Cost:      a copy and a checksum per operation.
 */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include "engine/engine.h"

int warp_batch_make(struct warp *db, struct warp_batch **batch);
void warp_batch_unmake(struct warp_batch **batch);
int warp_batch_append(struct warp_batch *batch, bool is_delete, struct warp_slice key,
                      struct warp_slice value, uint64_t ttl_ms);
int warp_batch_write(struct warp_batch *batch, const struct warp_write *how,
                     uint64_t *sequence);

#endif
