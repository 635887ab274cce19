/*
 * engine/call.h - the blocking caller: its request is run here and now, or it waits for it.
 *
 * A write takes the lease of its shard if that is free and runs itself; else it waits for the lease or
 * goes into the mailbox, whatever takes less time (routing/wormhole), and then the caller waits on its own
 * word. Then, at WARP_COMMIT, it waits for the mark. A read looks into the table directly. All of that
 * can be switched off by options.wormholes and options.write_path.
 *
 * Threads:   any thread that holds no lease.
 * Lifetime:  messages live on the caller's stack.
 * Units:     see shards/message.h.
 * Ordering:  see shards/mailbox.h.
 * Errors:    those of the public calls.
 * Cost:      a read two misses; a write those, the copy into the log, and about 40 ns of leases.
 */
#ifndef ENGINE_CALL_H
#define ENGINE_CALL_H

#include "engine/engine.h"
#include "shards/message.h"

/* Check a key, a value, a warp_write, and fill the message from them. */
int warp_call_message(struct warp *db, uint32_t opcode, struct warp_slice key,
                      struct warp_slice value, int64_t delta, const struct warp_write *how,
                      struct warp_message *message);

/* Must the answer to this message wait for the mark? Up to where; 0: no. */
static inline uint64_t warp_call_wait_for(const struct warp *db,
                                          const struct warp_message *message)
{
    bool wrote = message->result == 0 && message->opcode != WARP_OP_GET;

    return wrote || db->read_durable ? message->wait_for : 0;
}

/*
 * Bytes of log were written, maybe none: let the writer wait while compaction and checkpoints lag
 * behind (shards/pace), at most max_ns. Returns what is left to wait.
 */
uint64_t warp_call_pace(struct warp *db, uint64_t log_bytes, uint64_t max_ns);

/* A put, a delete or an add: make the message, carry it out and wait as long as its level says. Returns
 * its result. */
int warp_call_write(struct warp *db, uint32_t opcode, struct warp_slice key,
                    struct warp_slice value, int64_t delta, const struct warp_write *how,
                    struct warp_message *message);

/* Wait until the mark is at target. */
int warp_call_wait(struct warp *db, struct warp_caller *caller, uint64_t target);

int warp_call_get(struct warp *db, struct warp_slice key, void *buffer, size_t capacity,
                  size_t *bytes, uint64_t *sequence);
int warp_call_borrow(struct warp *db, struct warp_slice key, struct warp_value *out);
int warp_call_multi_get(struct warp *db, const struct warp_slice *keys, size_t count,
                        struct warp_value *values, int *results);
int warp_call_visit(struct warp *db, warp_visitor visit, void *context);

#endif
