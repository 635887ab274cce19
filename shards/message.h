/*
 * shards/message.h - one request, as it travels from who asks to who holds the shard.
 *
 * The same struct is run at once by a caller that has the lease, or sent through a mailbox ring and
 * run by whoever has it. What can be done beforehand (hash, slot, the entry's header, the
 * checksum of the frame's body) is done by the asker, so that little is left under the lease.
 *
 * Life of a message:
 *
 *   PREPARED   hashed; of a write, header and checksum    warp_message_hash(), _prepare()
 *              made
 *   SENT       in a ring, alone or as the first of a      warp_mailbox_send()
 *              chain; the holder's until it is done
 *   DONE       results are in; the asker's again          warp_message_complete()
 *
 * Threads:   one at a time: the asker, then the holder of the lease, then the asker.
 * Lifetime:  the asker's memory; it must not go away before DONE.
 * Units:     wait_for is a position of the log.
 * Ordering:  done is stored with release after the results and read with acquire.
 * Errors:    result is what the public call returns, or a WARP_MESSAGE_ inside.
 * Cost:      prepare is a hash, a CRC16 and a CRC32C over key and value.
 */
#ifndef SHARDS_MESSAGE_H
#define SHARDS_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shards/coldread.h"
#include "wal/frame.h"
#include "warp/warp.h"

/* Never seen outside. Nothing was done: the log needs room first. */
#define WARP_MESSAGE_NEEDS_ROOM 1000
/* Nothing was done: the write depends on a value that only the disk has. message->cold is begun:
 * read it (outside the lease) and execute again. */
#define WARP_MESSAGE_NEEDS_VALUE 1001
/* A get that found a cold record: message->cold is begun, the rest is the asker's. */
#define WARP_MESSAGE_COLD 1002
/* Nothing was done: the slot is another shard's, or was for a while since map_version. Ask the map
 * again; whoever has several requests for a slot keeps them in order. */
#define WARP_MESSAGE_MOVED 1003

/* Who is told that something is done for it. notify is called by the holder of a lease. */
struct warp_waker {
    void (*notify)(struct warp_waker *waker);
};

struct warp_message {
    /* The question. Constant from prepare on. */
    struct warp_slice key;
    struct warp_slice value;
    struct warp_slice if_value;
    uint64_t if_sequence;
    uint64_t hash;
    uint64_t expires_at_ms; /* 0: never; WARP_OP_ADD with 0 keeps what was */
    uint64_t deadline_ns;   /* 0: none */
    uint64_t map_version; /* its slot must not have moved since; UINT64_MAX: it may have */
    int64_t delta;
    uint32_t slot;
    uint32_t body_bytes;
    uint32_t body_crc;
    uint8_t opcode;
    uint8_t condition;
    uint8_t level; /* enum warp_durability */
    uint8_t header_bytes;
    uint8_t header[WARP_ENTRY_HEADER_BYTES_MAX];
    struct warp_waker *waker; /* NULL: nobody is to be told */
    /* The next of those that the same sender has sent as one, in order; NULL: it is the last. Read by
     * whoever has them before this one is done. */
    struct warp_message *next;

    uint32_t reliefs; /* how often memory was looked for, by whoever has it */

    /* The answer. */
    int32_t result;
    uint64_t sequence;
    uint64_t wait_for; /* the answer may be given once the mark is here; 0: at once */
    int64_t number;
    struct warp_value borrowed;
    struct warp_coldread cold; /* whoever takes the answer ends it if it is open */
    _Atomic uint32_t done;
};

/* Fill in what follows from the key ... */
void warp_message_hash(struct warp_message *message, uint64_t hash_seed);
/* ... and then from key, value and opcode. */
void warp_message_prepare(struct warp_message *message);

/* About what the record takes. */
static inline uint64_t warp_message_record_bytes(const struct warp_message *message)
{
    return message->key.bytes + message->value.bytes + WARP_RECORD_HEADER_BYTES + 32;
}

/* The results are in: hand the message back to who asked and tell it. */
static inline void warp_message_complete(struct warp_message *message)
{
    struct warp_waker *waker = message->waker;

    /* Release: pairs with the acquire in warp_message_is_done. Not ours any more after it. */
    atomic_store_explicit(&message->done, 1, memory_order_release);
    if (waker != NULL) {
        waker->notify(waker);
    }
}

static inline bool warp_message_is_done(const struct warp_message *message)
{
    return atomic_load_explicit(&message->done, memory_order_acquire) != 0;
}

#endif
