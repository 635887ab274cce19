/*
 * shards/get.h - the life of a get: a look into a slot's table, by any thread.
 *
 * A reader enters an epoch section, probes, compares, and copies or pins; it asks nobody and
 * writes nothing that others read. Epoch-based reads beside a single writer: Fraser, 2004, and
 * Lim et al., "MICA", NSDI 2014 for the division of labour.
 *
 * Threads:   any thread inside an epoch section, or the holder of the owner's lease.
 * Lifetime:  records found are good until the section ends, or until unpinned.
 * Units:     wait_for is a position of the log: what was seen is durable once the mark is there.
 * Ordering:  see shards/table.h.
 * Errors:    WARP_ABSENT; WARP_ENOMEM when a value borrowed 255 times cannot be copied.
 * Cost:      two cache misses; in groups they overlap.
 */
#ifndef SHARDS_GET_H
#define SHARDS_GET_H

#include "shards/prefetch.h"
#include "shards/store.h"

/* The live record of a key, resident or cold, or NULL. *wait_for gets how far the mark must be for a durable read. */
struct warp_record *warp_get_find(const struct warp_store *store, uint32_t slot,
                                  uint64_t hash, struct warp_slice key, uint64_t *wait_for);

/* A resident record was asked for. True: it had been fetched before, and this is the first time; who learns
 * what goes together is to hear of it (warp_prefetch_met). */
static inline bool warp_get_warm(struct warp_store *store, struct warp_record *record)
{
    if (WARP_LIKELY(!warp_record_warm(record))) {
        return false;
    }
    warp_prefetch_useful(store, warp_slab_round(warp_record_bytes_of(record)));
    return true;
}

/* Make a loan of a resident record found: a pin, or a copy if it has no pins left. */
int warp_get_lend(struct warp_store *store, struct warp_record *record,
                  struct warp_value *value);

/* End a loan. */
void warp_get_return(struct warp_value *value);

/* Answer a WARP_OP_GET message with a loan, or with WARP_MESSAGE_COLD. True as from warp_get_warm. */
bool warp_get_message(struct warp_store *store, struct warp_message *message);

#define WARP_GET_GROUP 16u

/* Find many keys, their cache misses side by side; records[i] is NULL where there is none. */
void warp_get_find_group(const struct warp_store *store, const struct warp_slice *keys,
                         uint32_t count, struct warp_record **records, uint64_t *wait_for);

#endif
