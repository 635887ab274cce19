/*
 * shards/mailbox.h - messages to one shard, from anybody.
 *
 * One single-producer ring per sender, made when it first sends, and a bit per sender that says
 * "look into my ring". A multi-producer ring would stall everybody behind a preempted sender;
 * these do not.
 *
 * Nothing is lost: a sender enqueues, sets its bit, and then tries to take the lease; a holder gives
 * the lease back, and then looks at the bits. All four are seq_cst, so at least one of the two
 * sees the other, and whoever does runs the message.
 *
 * Threads:   send by the thread that has the sender's number; take by the holder of the lease;
 *            waiting by any.
 * Lifetime:  embedded in the shard; rings live until fini and pass on to the next sender with the
 *            same number.
 * Units:     messages; capacity is a power of two.
 * Ordering:  as above; a message's content is ordered by its ring.
 * Errors:    WARP_AGAIN from send: the ring is full (back-pressure; the message is still the
 *            sender's). WARP_ENOMEM when a ring cannot be made.
 * Cost:      a ring send and one atomic or; take costs one load when nothing waits.
 */
#ifndef SHARDS_MAILBOX_H
#define SHARDS_MAILBOX_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/ring.h"
#include "shards/message.h"

#define WARP_SENDERS_MAX 1024u
#define WARP_SENDER_NONE UINT32_MAX

struct warp_mailbox {
    struct warp_memory *memory;
    uint32_t capacity;
    /* Senders set, the holder takes. */
    alignas(
        WARP_CACHELINE) _Atomic uint32_t summary; /* which words of waiting to look at */
    _Atomic uint64_t waiting[WARP_SENDERS_MAX / 64];
    alignas(WARP_CACHELINE) _Atomic(struct warp_ring *) rings[WARP_SENDERS_MAX];
};

void warp_mailbox_init(struct warp_mailbox *mailbox, struct warp_memory *memory,
                       uint32_t capacity);
void warp_mailbox_fini(struct warp_mailbox *mailbox);

int warp_mailbox_send(struct warp_mailbox *mailbox, uint32_t sender,
                      struct warp_message *message);

/* Is there anything? seq_cst: after the lease was given back. */
static inline bool warp_mailbox_waits(const struct warp_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->summary, memory_order_seq_cst) != 0;
}

/* ---- the holder of the lease ------------------------------------------------------------ */

/* Take up to `count` messages, of each sender in its order; how many came. Senders whose rings are
 * not empty afterwards keep their bit. */
uint32_t warp_mailbox_take(struct warp_mailbox *mailbox, struct warp_message **messages,
                           uint32_t count);

#endif
