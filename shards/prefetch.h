/*
 * shards/prefetch.h - reads values back from disk before they are asked for.
 *
 * Readers tell it of every key whose value was not in memory, and of the first time that one is asked for
 * which it has fetched; routing/entangle learns from that what goes together, and guesses. What is
 * guessed and cold is read by the reader's thread, with many others in flight, and put in its
 * record's place under the lease, at the end of the policy's small queue, with a mark: fetched, and not
 * asked for yet. The first reader takes the mark off, and only from then on does the value count as one that
 * was asked for. So a wrong guess costs a read of the device, and a place in a tenth of the memory until
 * its turn comes.
 *
 * Life of a prefetch:
 *
 *   GUESSED   a key was missed or met; this one goes with it           (routing/entangle)
 *   ISSUED    its record is cold: place and key are noted, the gate    warp_prefetch_missed(), _met()
 *             is held, the read is posted
 *   LATE      somebody asks before it has come, and reads by himself   warp_prefetch_missed()
 *   FETCHED   the record was still cold and where it was: a resident   (reader's thread)
 *             one with the mark has taken its place
 *   USEFUL    a reader has taken the mark off                          warp_prefetch_useful()
 *   WASTED    the policy, a write or a delete has; or it was not put   warp_prefetch_wasted()
 *             in: changed meanwhile, shard busy, no room, an error
 *
 * issued = useful + late + wasted + those on their way or with the mark. What identifies a value is its
 * place, as in shards/coldread: a record that was written, deleted, moved by compaction, or that belongs to
 * another shard now is looked for anew under the lease of its owner, and whatever does not fit is dropped.
 *
 * Threads:   missed, met, useful and wasted by any thread, the first two inside no section and with no
 *            lease; the reader's thread finishes; create, end and destroy by the opener. Only one thread at a
 *            time learns; who finds another at it goes his way.
 * Lifetime:  create before the doors open; end when nobody calls any more, with the shards still there;
 *            destroy. A trail is one thread's, or one session's.
 * Units:     bytes of records as their size classes are.
 * Ordering:  the lock is an acquire and a release; a read that is under way is told by its name, which is
 *            stored with release when it is free again. Counters are relaxed adds by any.
 * Errors:    none: what cannot be fetched is not, and is counted.
 * Cost:      a miss 0.3 to 2 us beside a device's read, and as much again for each prefetch issued; a hit
 *            nothing. Memory: 32 reads of 600 bytes, and the table, both in memory_bytes_max.
 */
#ifndef SHARDS_PREFETCH_H
#define SHARDS_PREFETCH_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "routing/entangle.h"
#include "shards/coldread.h"

#define WARP_PREFETCH_IN_FLIGHT_MAX 32u
#define WARP_PREFETCH_KEY_BYTES_MAX 256u
#define WARP_PREFETCH_PAST          64u

struct warp_store;

/* One read. Whoever has made its name his fills it in. */
struct warp_prefetch_one {
    struct warp_prefetch *prefetch;
    _Atomic uint32_t
        fate; /* how often it was used, and who was first: who asks, or who brings */
    uint64_t bytes;
    struct warp_coldread cold;
    uint8_t key[WARP_PREFETCH_KEY_BYTES_MAX];
};

/* By any thread, relaxed adds. */
struct warp_prefetch_counters {
    _Atomic uint64_t issued, useful, late, wasted;
    _Atomic uint64_t bytes; /* on their way, or in memory with the mark */
    _Atomic uint64_t
        skipped; /* keys that were not learned from: another thread was at it */
};

struct warp_prefetch {
    struct warp_store *store;
    alignas(WARP_CACHELINE) _Atomic uint32_t lock; /* 1: somebody learns */
    struct warp_entangle entangle;                 /* behind the lock */
    uint64_t past
        [WARP_PREFETCH_PAST]; /* missed or met last: guesses that are made to be wrong */
    uint32_t past_at;
    uint32_t looks;  /* until it is looked anew at how large values are */
    uint64_t values; /* that memory has room for */
    alignas(WARP_CACHELINE) struct warp_prefetch_counters counters;
    /* Which key each of them reads, as the miner calls it; 0: it is free. */
    alignas(WARP_CACHELINE) _Atomic uint64_t names[WARP_PREFETCH_IN_FLIGHT_MAX];
    struct warp_prefetch_one ones[WARP_PREFETCH_IN_FLIGHT_MAX];
};

/* Into the store. WARP_ENOMEM. */
int warp_prefetch_create(struct warp_store *store);
/* Nothing is on its way any more; the reader's thread has come to its end for it. */
void warp_prefetch_end(struct warp_store *store);
void warp_prefetch_destroy(struct warp_store *store);

/* ---- inside no section, with no lease ---------------------------------------------------- */

/* A value was asked for that is on disk only; before it is read, so that reads overlap. */
void warp_prefetch_missed(struct warp_store *store, struct warp_entangle_trail *trail,
                          uint32_t slot, uint64_t hash);
/* A value was asked for that had been fetched, for the first time. */
void warp_prefetch_met(struct warp_store *store, struct warp_entangle_trail *trail,
                       uint32_t slot, uint64_t hash);

/* ---- anywhere ---------------------------------------------------------------------------- */

/* The caller has moved the mark from a record of `from` bytes to one of `to`. */
void warp_prefetch_resized(struct warp_store *store, uint64_t from, uint64_t to);

/* The caller has taken the mark off a record of so many bytes: to read it, or to take it away. */
void warp_prefetch_useful(struct warp_store *store, uint64_t bytes);
void warp_prefetch_wasted(struct warp_store *store, uint64_t bytes);

#endif
