/*
 * shards/store.h - all shards of one database, and what they share.
 *
 * A shard is an actor: its slots are changed by whoever holds its lease, one thread at a time. The
 * words of all slots lie in one array, so that a reader finds a table without asking who owns it,
 * and a slot can change owner without moving.
 *
 * A slot may change its owner at any time but under a lease of its owner's: who has taken a lease for
 * a slot asks the map again before it touches anything.
 *
 * Threads:   create, start, stop, destroy by the opener; turn from outside only without threads;
 *            enter, leave and post by any thread; what is marked so by the holder of the lease.
 * Lifetime:  created with the memory, the environment and the epoch; the log is set before start.
 * Units:     slots 0 - 16,383; times of the engine's clock in ns, expiry in Unix ms.
 * Ordering:  data of a shard: the lease's acquire and release. Words and entries: shards/table.
 * Errors:    WARP_ENOMEM, WARP_ESYSTEM.
 * Cost:      about 0.8 MiB per database and 20 KiB per shard before the first record.
 */
#ifndef SHARDS_STORE_H
#define SHARDS_STORE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/epoch.h"
#include "base/thread.h"
#include "cache/horizon.h"
#include "routing/mass.h"
#include "routing/slotmap.h"
#include "shards/coldread.h"
#include "shards/lease.h"
#include "shards/ledger.h"
#include "shards/limbo.h"
#include "shards/mailbox.h"
#include "shards/message.h"
#include "shards/pace.h"
#include "shards/table.h"
#include "wal/wal.h"

#define WARP_BACKLOG_MAX 64u

/* A slot on its way to another shard (shards/move). */
enum warp_slot_transit {
    WARP_SLOT_SETTLED,
    WARP_SLOT_LEAVING, /* its values leave the old owner's policy, none comes in */
    WARP_SLOT_ARRIVING /* they come into the new owner's */
};

/* Everything about a slot, but for its word. Owned by the holder of its owner's lease. */
struct warp_slot {
    struct warp_table_count count; /* of its own array */
    uint8_t transit;               /* enum warp_slot_transit */
    uint32_t growths;              /* how often an array of it was replaced */
    uint32_t cold_records;         /* of records */
    uint32_t records;
    uint32_t
        early_bytes; /* put since the last sweep to expire before due; at most so many */
    uint64_t bytes;  /* of records, as their size classes are */
    uint64_t due_ms; /* when a sweep is worth it; UINT64_MAX: none of its records expires */
    _Atomic uint64_t
        removed_sequence; /* of the last delete; for readers that find nothing */
    /* Version of the slot map that its last move made; 0: never since the open. Written by who holds
     * both leases, read by any. */
    _Atomic uint64_t moved;
    struct warp_mass_cell mass;
};

/* Written by the holder of the lease, read by observers, both relaxed. */
struct warp_shard_counters {
    _Atomic uint64_t puts;
    _Atomic uint64_t deletes;
    _Atomic uint64_t adds;
    _Atomic uint64_t conflicts;
    _Atomic uint64_t messages;      /* run out of the mailbox */
    _Atomic uint64_t stalls;        /* messages that had to wait for room in the log */
    _Atomic uint64_t turns;         /* by the shard's own thread */
    _Atomic uint64_t expired;       /* removed by the sweep */
    _Atomic uint64_t sweeps;        /* of slots */
    _Atomic uint64_t sweep_looks;   /* at records */
    _Atomic uint64_t expired_bytes; /* estimate: in memory still */
    _Atomic uint64_t records;       /* live now, expired ones until the sweep */
    _Atomic uint64_t record_bytes;
    _Atomic uint64_t table_growths;
    _Atomic uint64_t pool_bytes;   /* held by the shard's pool, as of its last look */
    _Atomic uint64_t abroad_bytes; /* owned in other shards' pools, as of that */
    _Atomic uint64_t cold_records; /* of records: those without their value */
    _Atomic uint64_t evictions;
    _Atomic uint64_t admissions; /* of values read from disk */
};

/* The record that the eviction policy looks at (shards/evict.c). */
struct warp_evict_at {
    struct warp_record *record;
    _Atomic uint64_t *place;
    uint64_t hash;
    uint32_t slot;
};

struct warp_shard {
    /* Set by create, constant afterwards. */
    struct warp_store *store;
    uint32_t id; /* also its cell in the log buffer */
    struct warp_thread *thread;

    struct warp_lease lease;

    alignas(WARP_CACHELINE) struct warp_mailbox mailbox;

    /* Owned by the holder of the lease. */
    alignas(WARP_CACHELINE) struct warp_limbo limbo;
    struct warp_ledger ledger;
    struct warp_horizon horizon;
    struct warp_evict_at evict_at;
    alignas(WARP_CACHELINE) struct warp_mass_sampler sampler;
    uint64_t memory_soft, memory_hard; /* of the pool: begin to evict, never above */
    uint64_t memory_slack;             /* what slabs that are not full take beyond that */
    uint64_t memory_shared;            /* what the shard held when these were made */
    uint64_t values_max;               /* of resident records */
    uint64_t evict_calls;
    struct warp_message *backlog[WARP_BACKLOG_MAX]; /* taken, waiting for room in the log */
    uint32_t backlog_first, backlog_count;
    uint64_t backlog_bytes;    /* what its first message needs */
    bool backlog_reads;        /* its first message needs its value from disk ... */
    bool backlog_busy;         /* ... and the shard's thread is reading it */
    bool backlog_lacks_memory; /* its first message waits for the thread to find memory */
    bool restless;             /* there is something to collect or to sweep */
    uint64_t next_tick_ns;
    uint64_t due_ms;     /* at most, of all slots */
    uint32_t sweep_slot; /* where the sweep goes on; WARP_SLOT_COUNT: it rests */
    uint64_t sweep_due_ms;
    uint32_t sweep_permille; /* so much of a slot may have expired before it is swept */
    uint32_t probe_slot;     /* the next that is swept to see how much has expired */
    uint32_t probe_count;
    uint64_t probe_bytes, probe_expired_bytes; /* seen lately, the older the less */

    alignas(WARP_CACHELINE) struct warp_shard_counters counters;

    /* The thread sleeps on word. */
    alignas(WARP_CACHELINE) _Atomic uint32_t word;
    _Atomic uint32_t sleeping;
    _Atomic uint32_t stop;
    struct warp_spin listen; /* the thread's own */
    /* Under the lease, hardly ever: what the checkpoint says was resident, as of the replay; records,
     * and bytes by standing. */
    uint64_t warm_records, warm_bytes[WARP_RECORD_HITS_MASK + 1];
};

/* Moves of slots between shards (shards/move). Counters by whoever moves or meets it, relaxed adds. */
struct warp_moving {
    _Atomic uint32_t lock; /* 1: somebody moves */
    _Atomic uint32_t
        clearing; /* 1: ledgers forget files that are gone, one after the other */
    _Atomic uint64_t moves;
    _Atomic uint64_t
        busy; /* given up: a lease was not to be had, or the slot was growing */
    _Atomic uint64_t refused; /* no such slot or shard, or no memory */
    _Atomic uint64_t records; /* looked at for it */
    _Atomic uint64_t
        bounced; /* requests that met their slot's old owner, and were sent on */
};

struct warp_store {
    /* Set by create, constant afterwards. */
    const struct warp_env *env;
    struct warp_memory *memory;
    struct warp_epoch *epoch;
    struct warp_wal *wal; /* NULL until the log has been replayed */
    struct warp_reader *reader;
    uint64_t hash_seed;
    uint64_t memory_bytes_max;
    uint64_t values_bytes_max; /* per shard; 0: what memory_bytes_max leaves */
    uint64_t wall_offset_ms;   /* Unix time = monotonic time + this */
    uint32_t shard_count;
    uint32_t drain_max;
    bool mail_only; /* nobody takes a lease for one request */
    bool pin_threads;
    bool read_only;
    bool warm_up; /* values that were resident at the checkpoint are wished back */
    struct warp_prefetch *prefetch; /* NULL: nothing is read before it is asked for */
    struct warp_shard **shards;

    struct warp_pace pace; /* of writers, see shards/background */
    struct warp_coldread_gate gate;
    struct warp_slotmap slotmap;
    uint64_t placement_saved; /* version of the map that is on disk; see shards/placement */
    alignas(WARP_CACHELINE) struct warp_moving moving;
    struct warp_mass mass; /* of the slots; measured when it has a period */
    alignas(WARP_CACHELINE) warp_table_word words[WARP_SLOT_COUNT];
    struct warp_slot slots[WARP_SLOT_COUNT];
};

struct warp_store_config {
    const struct warp_env *env;
    struct warp_memory *memory;
    struct warp_epoch *epoch;
    struct warp_reader *reader; /* for records whose value is on disk only */
    uint64_t hash_seed;
    uint32_t segment_bytes; /* of the log */
    uint64_t memory_bytes_max;
    uint64_t values_bytes_max; /* per shard; 0: what memory_bytes_max leaves */
    enum warp_horizon_policy policy;
    uint32_t shard_count;
    uint32_t mailbox_capacity;
    uint32_t drain_max;
    uint32_t spin_us;
    bool mail_only;
    bool pin_threads;
    bool huge_pages;
    bool read_only;
    bool warm_up;
};

int warp_store_create(struct warp_store **store, const struct warp_store_config *config);
/* Start the shards' threads, if the environment wants threads. */
int warp_store_start(struct warp_store *store);
void warp_store_stop(struct warp_store *store);
/* Nobody is inside any more. */
void warp_store_destroy(struct warp_store **store);

static inline struct warp_shard *warp_store_owner(struct warp_store *store, uint32_t slot)
{
    return store->shards[warp_slotmap_owner(&store->slotmap, slot)];
}

/* Now, as Unix time that does not jump while the database is open. */
static inline uint64_t warp_store_wall_ms(const struct warp_store *store)
{
    return warp_clock_ns(store->env->clock) / 1000000 + store->wall_offset_ms;
}

/* ---- any thread ------------------------------------------------------------------------ */

/* Take the lease if it is free. */
static inline bool warp_shard_enter(struct warp_shard *shard)
{
    return !warp_env_chance(shard->store->env, WARP_CHANCE_LEASE_REFUSED) &&
           warp_lease_try(&shard->lease);
}

/* Take the lease, however long that takes: for batches and rare work, not for single requests. */
void warp_shard_enter_surely(struct warp_shard *shard);

/* Run what waits in the mailbox, within bounds, and give the lease back. */
void warp_shard_leave(struct warp_shard *shard);

/* Wake the shard's thread. */
void warp_shard_wake(struct warp_shard *shard);

/* A message was sent to it and its lease is not to be taken: see that somebody comes by. */
static inline void warp_shard_nudge(struct warp_shard *shard)
{
    if (!warp_lease_was_held(&shard->lease)) {
        warp_shard_wake(shard);
    }
}

/* One bounded turn as the shard's thread does it; true if it did work. *due_ns gets when the
 * next is due if nothing comes in between. */
bool warp_shard_turn(struct warp_shard *shard, uint64_t now_ns, uint64_t *due_ns);

/* Opens every function on owned data. */
static inline void warp_shard_assert_owner(const struct warp_shard *shard)
{
    warp_assert(warp_lease_is_held(&shard->lease));
}

/* ---- the holder of the lease ------------------------------------------------------------ */

/* There is something to collect or to sweep: see that the thread comes by. */
static inline void warp_shard_disturb(struct warp_shard *shard)
{
    if (!shard->restless) {
        shard->restless = true;
        warp_shard_wake(shard);
    }
}

/* Walk and assert everything; slow. */
void warp_store_check(struct warp_store *store);

#endif
