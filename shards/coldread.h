/*
 * shards/coldread.h - a record whose value is beyond the event horizon: from its place to its value.
 *
 * A reader that finds a cold record takes note of it while it may still look at it (begin), leaves
 * its epoch section or lease, reads the value from disk, and then offers it to the shard, which
 * keeps it in memory if the eviction policy wants to (admit).
 *
 * Life of a cold read:
 *
 *   NOTED    place and shape are copied; files stay where they are    warp_coldread_begin()
 *   READ     the value is in a buffer, checked                        warp_coldread_run(), or
 *                                                                     the reader's thread (post)
 *   ADMITTED a resident record has taken the cold one's place, maybe  warp_coldread_admit()
 *   ENDED    the buffer is given back, files may go                   warp_coldread_end()
 *
 * While a read is between begin and end the gate is held. Whoever moves records to other files
 * removes the old ones only after, in this order,
 *
 *   a grace period     whoever saw an old place has entered the gate
 *   flip               who comes from now on enters by the other side
 *   a grace period     whoever had looked which side it is has entered
 *   is_quiet           and has left
 *
 * The first of them matters: a reader looks at the record first and then for the side, and would
 * else be counted on the side that nobody waits for. Counting readers in two generations is
 * the idea of McKenney's sleepable RCU, 2006.
 *
 * Threads:   begin by any thread inside an epoch section, or by the holder of the lease; run,
 *            admit and end by any thread without either; flip and is_quiet by one thread.
 * Lifetime:  the struct is the caller's, from begin to end; so are the key's bytes.
 * Units:     bytes.
 * Ordering:  begin is ordered before the end of the grace period of what was looked at, because
 *            it happens inside; is_quiet is only asked after a grace period behind flip.
 * Errors:    in read.rc: 0, WARP_EDAMAGED, WARP_EIO, WARP_ENOMEM.
 * Cost:      two atomic adds beside the device's time.
 */
#ifndef SHARDS_COLDREAD_H
#define SHARDS_COLDREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "shards/record.h"
#include "wal/reader.h"

struct warp_store;
struct warp_shard;

struct warp_coldread_gate {
    _Atomic uint32_t generation;
    alignas(WARP_CACHELINE) _Atomic uint64_t inside[2];
};

struct warp_coldread {
    struct warp_read read; /* key, place and shape in, value and sequence out */
    uint64_t hash;
    uint32_t slot;
    uint32_t generation;
    bool open; /* between begin and end */
};

#define WARP_COLDREAD_GROUP 32u

/* ---- inside an epoch section or under the lease ------------------------------------------ */

/* Hold the gate: no file goes that a record seen now refers to. */
static inline uint32_t warp_coldread_enter(struct warp_coldread_gate *gate)
{
    /* Acquire: pairs with the add in warp_coldread_flip; only a hint of which side. */
    uint32_t generation = atomic_load_explicit(&gate->generation, memory_order_acquire) & 1;

    atomic_fetch_add_explicit(&gate->inside[generation], 1, memory_order_relaxed);
    return generation;
}

void warp_coldread_begin(struct warp_store *store, struct warp_coldread *cold,
                         uint32_t slot, uint64_t hash, struct warp_slice key,
                         const struct warp_record *record);

/* ---- outside ----------------------------------------------------------------------------- */

static inline void warp_coldread_leave(struct warp_coldread_gate *gate, uint32_t generation)
{
    /* Release: what was read comes before the file goes; pairs with warp_coldread_is_quiet. */
    uint64_t before =
        atomic_fetch_sub_explicit(&gate->inside[generation], 1, memory_order_release);

    warp_assert(before > 0);
}

/* Read the values of `count` of them, at most WARP_COLDREAD_GROUP, side by side. Blocks. */
void warp_coldread_run(struct warp_store *store, struct warp_coldread *const *colds,
                       uint32_t count);

/* While the gate is held no file goes: one that is missing all the same is damage. For reads that
 * were posted; run does it by itself. */
static inline void warp_coldread_judge(struct warp_coldread *cold)
{
    if (cold->read.rc == WARP_AGAIN) {
        cold->read.rc = WARP_EDAMAGED;
    }
}

/* Offer a value that was read to its shard, if that is not busy. */
void warp_coldread_admit(struct warp_store *store, struct warp_coldread *cold);

/* Lend a copy of the value; warp_get_return() ends the loan. */
int warp_coldread_lend(struct warp_store *store, const struct warp_coldread *cold,
                       struct warp_value *value);

void warp_coldread_end(struct warp_store *store, struct warp_coldread *cold);

/* ---- who removes files ------------------------------------------------------------------- */

/* From now on new readers hold the other side of the gate. Returns the side to wait for. A grace
 * period behind the last change of a place. */
uint32_t warp_coldread_flip(struct warp_coldread_gate *gate);

/* After flip and a grace period: has everybody left that side? */
bool warp_coldread_is_quiet(const struct warp_coldread_gate *gate, uint32_t generation);

#endif
