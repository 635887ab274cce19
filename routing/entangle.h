/*
 * routing/entangle.h - learns which keys are asked for one after the other, and says which will be
 * asked for next.
 *
 * It is fed with the keys of one thread that were not in memory, and with those that were only because
 * they had been fetched ahead; what is in memory anyway is none of its business, so a hit costs nothing.
 * An entry of its table is a key, and up to three keys that came within the next two of these, with
 * counts. Mining associations between misses alone is the idea of MITHRIL (Yang et al., "MITHRIL:
 * Mining Sporadic Associations for Cache Prefetching", SoCC 2017), to which the rest is ours: the
 * table decays like the counters of Misra and Gries ("Finding repeated elements", Science of Computer
 * Programming 2(2), 1982), what is likely is followed further than one step, so that what is fetched
 * comes in time, and it is there only while it pays:
 *
 *     OFF ---- after a rest, which doubles each time ----> PROBE    one key in 8 has an entry,
 *      ^ ^                                                  |  |    in a table of an eighth
 *      | +---- no gain in 4 keys for each value that -------+  |
 *      |       memory has room for                             |
 *      |                                                       | gain: of the keys that have an entry
 *      +---- gain below a 25th for as long --- ON <------------+ and were not in memory, more than a
 *                                                                12th were saved a read
 *
 * The gain is measured, not estimated: the engine says what became of what was fetched. Fetched values
 * that nobody has asked for yet may take a window of memory, from 1 % to 20 %, that doubles while
 * what is saved is worth it; and how sure of itself a guess must be, tau, rises while less than 65 %
 * of what is fetched is asked for, and falls while more than 75 % is. If too much comes late, what comes
 * right behind a key that is missed is not fetched for a while, but what comes after that.
 *
 * Life of an entry:
 *
 *   CLAIMED    a key was seen and its set had a place, or one that had decayed    (observe)
 *   COUNTED    what followed it came again                                        (observe)
 *   BELIEVED   a successor was seen twice, and in tau of all cases                (observe -> out)
 *   DECAYED    others of its set wanted its place, and it did not come again
 *
 * Threads:   one at a time, whoever has the caller's lock; wants, state, bytes and counters by any.
 * Lifetime:  embedded; init to fini. Memory is taken in reserve and prepare alone, and given back by observe when
 *            it does not pay. A trail is of one thread, and all zero at first.
 * Units:     names are 64-bit numbers, any but 0, as the caller makes them of keys; shares in permille.
 * Ordering:  what others read is relaxed.
 * Errors:    WARP_ENOMEM from reserve: it goes without, and asks again after a rest.
 * Cost:      observe 0.1 to 0.4 us beside a device's read of 80 us; 32 bytes an entry.
 */
#ifndef ROUTING_ENTANGLE_H
#define ROUTING_ENTANGLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

#define WARP_ENTANGLE_LOOKBACK   2u
#define WARP_ENTANGLE_SUCCESSORS 3u
#define WARP_ENTANGLE_GUESSES    8u
#define WARP_ENTANGLE_ENTRY      32u /* bytes */
#define WARP_ENTANGLE_SAMPLING   3u  /* while probing, one key in 1 << this */

enum warp_entangle_state {
    WARP_ENTANGLE_OFF,
    WARP_ENTANGLE_PROBE,
    WARP_ENTANGLE_ON,
};

/* The keys that a thread has asked for last and were not in memory. */
struct warp_entangle_trail {
    uint64_t names[WARP_ENTANGLE_LOOKBACK]; /* 0: none; the last one first */
};

struct warp_entangle_set;

/* Visible because it is embedded. */
struct warp_entangle {
    /* Set by init, constant afterwards. */
    struct warp_memory *memory;
    uint64_t seed;
    uint64_t bytes_max;

    /* Owned by whoever has the caller's lock. */
    struct warp_entangle_set *sets;
    uint64_t set_count;
    uint64_t bytes_kept; /* of the table while it is OFF, once there was one */
    uint64_t values;     /* that memory has room for, as the caller says */
    uint64_t rest;       /* OFF: observations until the next probe */
    uint64_t rest_max;   /* how long the next rest is */
    uint64_t probed; /* sampled observations since the probe began, or since it paid last */
    uint32_t idle_windows;
    uint32_t tau;      /* permille */
    uint32_t skips;    /* so long nothing is fetched that comes right behind */
    uint32_t evidence; /* times that something must have been seen to be believed: 1 or 2 */
    uint64_t window_sampled; /* in the window under way */
    uint64_t window_all;
    uint64_t useful, late, wasted;                        /* as told last */
    uint64_t window_useful, window_late, window_outcomes; /* as of the window's begin */
    uint64_t probe_right, probe_outcomes;                 /* as of the probe's begin */
    uint64_t tau_useful, tau_late;                        /* as of tau's last change */
    uint64_t tau_good, tau_bad;                           /* as of tau's last change */

    /* Written by the same, read by any, relaxed. */
    _Atomic uint32_t state; /* enum warp_entangle_state */
    _Atomic uint32_t
        window; /* permille of memory for what is fetched and not asked for yet */
    _Atomic uint64_t bytes_wanted;
    _Atomic uint64_t bytes;
    _Atomic uint64_t observations;
    _Atomic uint64_t guesses;
    _Atomic uint64_t starts; /* PROBE -> ON */
    _Atomic uint64_t stops;  /* -> OFF */
};

/* bytes_max: of the table, when it is at its largest. The same seed, the same decisions. */
void warp_entangle_init(struct warp_entangle *entangle, struct warp_memory *memory,
                        uint64_t seed, uint64_t bytes_max);
void warp_entangle_fini(struct warp_entangle *entangle);

/*
 * A key was asked for that was not in memory, or that was because it had been fetched. Returns how many
 * keys, at most WARP_ENTANGLE_GUESSES, are believed to be asked for soon; none of them is the key itself.
 */
uint32_t warp_entangle_observe(struct warp_entangle *entangle,
                               struct warp_entangle_trail *trail, uint64_t name,
                               uint64_t guesses[WARP_ENTANGLE_GUESSES]);

/*
 * What has become of all that was ever fetched: asked for when it was there, asked for while the read was
 * under way, and neither. And how many values memory has room for, from which follows how
 * large a table is worth having.
 */
void warp_entangle_account(struct warp_entangle *entangle, uint64_t useful, uint64_t late,
                           uint64_t wasted, uint64_t values);

/* Bytes that it would like to have; 0: nothing is missing. Make room, then reserve. */
static inline uint64_t warp_entangle_wants(const struct warp_entangle *entangle)
{
    return atomic_load_explicit(&entangle->bytes_wanted, memory_order_relaxed);
}
int warp_entangle_reserve(struct warp_entangle *entangle);
/* Take a table of so many bytes for the first probe, before anything is observed. It is kept if it is found to pay,
 * and large enough. */
int warp_entangle_prepare(struct warp_entangle *entangle, uint64_t bytes);

static inline enum warp_entangle_state
warp_entangle_state(const struct warp_entangle *entangle)
{
    return (enum warp_entangle_state)atomic_load_explicit(&entangle->state,
                                                          memory_order_relaxed);
}

#endif
