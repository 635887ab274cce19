/*
 * shards/put.h - the life of a put, of a delete and of an add.
 *
 * Life of a put:
 *
 *   LEASED     the caller or the shard's thread holds the shard
 *   SEQUENCED  log bytes reserved: this is its place in the order   put_append()
 *   VISIBLE    record published in its slot, the old one retired    put_publish()
 *   DURABLE    the durable mark has passed it                       (the log's writer)
 *   ANSWERED   told the caller, at the level asked for              (engine/call, engine/async)
 *
 * Once SEQUENCED a put may survive a crash although nobody was told. A reader who asked for
 * durable reads waits between VISIBLE and DURABLE, so no crash takes back what it saw.
 *
 * Threads:   by the holder of a shard's lease; execute asks whether the message's slot is that shard's
 *            (still), the others must know it.
 * Lifetime:  the message is the asker's throughout; key and value are copied.
 * Units:     see shards/message.h.
 * Ordering:  the frame is finished in the log before the record is published.
 * Errors:    in message->result: answers and errors of the public call, or
 *            WARP_MESSAGE_NEEDS_ROOM, _NEEDS_VALUE, _COLD, _MOVED. Whatever is refused is refused
 *            before SEQUENCED.
 * Cost:      no allocation but the record's, no system call.
 */
#ifndef SHARDS_PUT_H
#define SHARDS_PUT_H

#include "shards/store.h"

/* Carry out WARP_OP_PUT, _DELETE, _ADD, or a _GET that came by mail. */
void warp_put_execute(struct warp_shard *shard, struct warp_message *message);

/* Has the record's time passed? Reads the clock only if it has one. */
static inline bool warp_record_is_expired(const struct warp_store *store,
                                          const struct warp_record *record)
{
    return WARP_UNLIKELY(warp_record_has_expiry(record)) &&
           warp_record_expires_at_ms(record) <= warp_store_wall_ms(store);
}

/*
 * Apply one entry that is in the log already (a batch's, or a recovered one): publish or remove
 * the record. Every step that may fail was made sure before by warp_put_prepare(), which is told
 * whether the key exists already, and how many bytes its entry has at most; reserve as in
 * shards/table.h.
 */
int warp_put_prepare(struct warp_shard *shard, uint32_t slot, uint64_t hash, bool exists,
                     bool reserve, uint64_t entry_bytes);
void warp_put_apply(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                    struct warp_slice key, struct warp_record *fresh, uint64_t sequence);

/* A record for a key and value, not yet numbered nor published. warp_evict_make_room() came before.
 * NULL: no memory. */
struct warp_record *warp_put_make(struct warp_shard *shard, struct warp_slice key,
                                  struct warp_slice value, uint64_t expires_at_ms,
                                  bool in_batch);

/*
 * Put another record of the same version in the place of one: resident for cold, cold for resident,
 * or with a new place. reserve_exchange, which may fail, comes before each.
 */
int warp_put_reserve_exchange(struct warp_shard *shard);
void warp_put_exchange(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                       struct warp_record *fresh, struct warp_record *old,
                       _Atomic uint64_t *place);

/* Take a record out of its slot (the sweep); place is its entry. */
void warp_put_drop(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                   struct warp_record *record, _Atomic uint64_t *place);

#endif
