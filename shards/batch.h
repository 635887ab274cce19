/*
 * shards/batch.h - an atomic batch over any number of shards: leases in order, one frame.
 *
 * The committer takes the leases of all shards concerned in the order of their numbers (so that two
 * committers cannot wait for each other), sees that nothing can fail any more, appends one frame
 * with one checksum, applies its operations in order, and gives the leases back. After a crash
 * the frame is there as a whole or not at all.
 *
 * Threads:   any thread that holds no lease.
 * Lifetime:  operations and body are the caller's; after success the records are the store's.
 * Units:     entry_offset is where an operation's entry begins in the body.
 * Ordering:  leases ascending; the frame before the records.
 * Errors:    WARP_ENOMEM, WARP_ENOSPC, WARP_EFAILED, WARP_AGAIN (10 s without room): nothing
 *            was done.
 * Cost:      the shards concerned serve nobody else meanwhile: about 0.3 us per operation.
 */
#ifndef SHARDS_BATCH_H
#define SHARDS_BATCH_H

#include "shards/store.h"

struct warp_batch_operation {
    uint64_t hash;
    struct warp_record *record; /* used while committing */
    uint32_t entry_offset;
    uint32_t slot;
};

/* *sequence gets that of the last operation, *end what to wait for. */
int warp_batch_run(struct warp_store *store, struct warp_batch_operation *operations,
                   uint32_t count, const uint8_t *body, uint32_t body_bytes, uint32_t level,
                   uint64_t *sequence, uint64_t *end);

#endif
