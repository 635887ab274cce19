/*
 * engine/caller.h - what a thread needs to call into one database.
 *
 * An epoch record to read under, a number to send messages with, counters of its own. Made when a
 * thread calls for the first time and found again through a pthread key, for the library has no
 * thread-locals of its own; handed on to another thread when its thread ends.
 *
 * Threads:   get by any thread, for itself; the rest of a caller belongs to its thread.
 * Lifetime:  all live until the set's fini, which is the last call on the database.
 * Units:     counts.
 * Ordering:  counters are relaxed, one writer each; the list of callers only grows (release when
 *            one is put on it, acquire when walked).
 * Errors:    NULL from get: no memory. WARP_ESYSTEM from init: no pthread key is left.
 * Cost:      get is a pthread_getspecific, about 2 ns. 9 KiB each.
 */
#ifndef ENGINE_CALLER_H
#define ENGINE_CALLER_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/epoch.h"
#include "base/latency.h"
#include "base/memory.h"
#include "base/thread.h"
#include "routing/entangle.h"
#include "routing/wormhole.h"
#include "shards/mailbox.h"

struct warp_caller {
    struct warp_callers *set;
    struct warp_caller *next; /* in the list of all */
    struct warp_epoch_record *record;
    struct warp_spin spin;
    struct warp_entangle_trail trail; /* what it has asked for last (shards/prefetch) */
    struct warp_wormhole wormholes[WARP_SHARD_COUNT_MAX]; /* to each shard */
    uint32_t sender;                                      /* or WARP_SENDER_NONE */
    bool taken; /* under the set's mutex: a thread has it */

    /* Who waits for a message sleeps on word; it is 1 while asleep. */
    struct warp_waker waker;
    alignas(WARP_CACHELINE) _Atomic uint32_t word;

    /* Written by the thread that has it, read by observers, relaxed. */
    alignas(WARP_CACHELINE) _Atomic uint64_t gets;
    _Atomic uint64_t get_hits;
    _Atomic uint64_t cold_gets; /* keys whose value had to be read from disk */
    _Atomic uint64_t leases;    /* requests run by the caller under the lease */
    _Atomic uint64_t mails;     /* requests sent through a mailbox */
    _Atomic uint64_t busy;      /* requests that found the lease taken */
    _Atomic uint64_t borrows;
    _Atomic uint64_t batches;
    _Atomic uint64_t durable_waits; /* calls that waited for the mark */

    /* How long its calls take. */
    alignas(WARP_CACHELINE) struct warp_latency get_latency;
    alignas(WARP_CACHELINE) struct warp_latency write_latency;
};

struct warp_callers {
    struct warp_memory *memory;
    struct warp_epoch *epoch;
    uint32_t spin_us;
    enum warp_latency_mode timing;
    pthread_key_t key;
    pthread_mutex_t mutex;
    uint32_t made; /* so many callers, under the mutex */
    _Atomic(struct warp_caller *) list;
    uint64_t senders[WARP_SENDERS_MAX / 64]; /* taken numbers, under the mutex */
};

int warp_callers_init(struct warp_callers *set, struct warp_memory *memory,
                      struct warp_epoch *epoch, uint32_t spin_us,
                      enum warp_latency_mode timing);
void warp_callers_fini(struct warp_callers *set);

struct warp_caller *warp_caller_make(struct warp_callers *set);

static inline struct warp_caller *warp_caller_get(struct warp_callers *set)
{
    struct warp_caller *caller = pthread_getspecific(set->key);

    return WARP_LIKELY(caller != NULL) ? caller : warp_caller_make(set);
}

/* A number to send with, or WARP_SENDER_NONE if all 1,024 are taken; and back. */
uint32_t warp_callers_take_sender(struct warp_callers *set);
void warp_callers_give_sender(struct warp_callers *set, uint32_t sender);

#endif
