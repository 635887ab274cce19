/*
 * routing/rebalance.h - runs gravity's epochs, turn by turn, and has its moves made.
 *
 * What the engine's background calls: when an epoch is over the masses are rolled, a plan is made,
 * and its moves are handed to a mover one by one. How a slot changes its owner is the mover's affair
 * (two leases, the owner flipped under both); here is only when, which, and how much of it. Work is
 * paid for: an epoch may spend so much of its time in turns, and what is not done by then is not
 * done, for the next epoch sees the world anew. Only the first eight moves of a plan are made in any
 * case, or a machine on which measuring takes all that time would never move a slot.
 *
 * Life of an epoch:
 *
 *   WAITING   until its time is over                         the longest part
 *   ROLLING   masses, a thousand slots per turn, and then the plan
 *   MOVING    a few moves per turn; a busy one is asked again, some times
 *
 * How to drive it: call turn from one thread (or, in a simulation, from its schedule) whenever due;
 * true means "call again soon". The mover may be called only inside turn.
 *
 * Threads:   init and turn by one thread, which then owns gravity and the plan; set_mode by any;
 *            counters and gauges are read by any, relaxed.
 * Lifetime:  embedded; what init is given outlives it. Nothing is allocated.
 * Units:     ns of the clock; loads in billionths of a processor's time; gauges in parts per million.
 * Ordering:  relaxed throughout: a mover orders what it moves by leases, everything else is numbers.
 * Errors:    the mover's, see there; they are counted and end a move or a plan, nothing else.
 * Cost:      rolling and planning about 80 us per epoch when nothing is to be moved, half a ms when there
 *            is, and what the mover takes; 75 KiB.
 */
#ifndef ROUTING_REBALANCE_H
#define ROUTING_REBALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/counter.h"
#include "routing/entropy.h"
#include "routing/gravity.h"
#include "routing/mass.h"

enum warp_rebalance_mode {
    WARP_REBALANCE_OFF,   /* nothing is measured */
    WARP_REBALANCE_WATCH, /* measured and planned, but nothing is moved */
    WARP_REBALANCE_ON,
};

struct warp_rebalance_mover {
    /*
     * Make `to` the owner of the slot, which `from` has. It must not wait for long. 0: done, and the
     * slot map says so; WARP_AGAIN: not now, ask again in another turn; negative: it cannot be done,
     * and the rest of the plan is dropped.
     */
    int (*move)(void *context, uint32_t slot, uint32_t from, uint32_t to);
    void *context;
};

struct warp_rebalance_config {
    struct warp_mass *mass;
    const struct warp_slotmap *owners;
    struct warp_mass_sampler *const *samplers; /* of the shards, in their order; copied */
    uint32_t shard_count;
    const struct warp_clock *clock;
    struct warp_rebalance_mover mover;
    const struct warp_gravity_settings *gravity; /* NULL: the usual ones */
    uint64_t epoch_ns;                           /* 0: 100 ms */
    uint32_t share_permille; /* of an epoch that may be spent on it; 0: 10 */
    uint32_t period;         /* of sampling; 0: WARP_MASS_PERIOD */
};

#define WARP_REBALANCE_METRICS(X)                                                          \
    X(epochs, COUNTER, "epochs", "Epochs of load measurement that have ended.")            \
    X(moves, COUNTER, "slots", "Slots that changed their shard.")                          \
    X(again, COUNTER, "attempts", "Moves that had to be asked for again.")                 \
    X(dropped, COUNTER, "slots", "Planned moves that were not made in their epoch.")       \
    X(busy_ns, COUNTER, "ns", "Time spent on measuring, planning and moving.")             \
    X(lambda_ppm, GAUGE, "ppm", "Load of the busiest shard, of the mean; 0: none.")        \
    X(evenness_ppm, GAUGE, "ppm", "Entropy of the loads, of the greatest there can be.")   \
    X(cov_ppm, GAUGE, "ppm", "Standard deviation of the loads, of their mean.")            \
    X(possible_ppm, GAUGE, "ppm", "What lambda could be, for the heaviest slots.")         \
    X(verdict, GAUGE, "enum", "The last plan's, enum warp_gravity_verdict.")

struct warp_rebalance_counters {
    WARP_REBALANCE_METRICS(WARP_METRIC_FIELD)
    _Atomic uint64_t loads[WARP_SHARD_COUNT_MAX]; /* as of the last epoch */
};

enum warp_rebalance_state {
    WARP_REBALANCE_WAITING,
    WARP_REBALANCE_ROLLING,
    WARP_REBALANCE_MOVING,
};

struct warp_rebalance {
    /* Set by init, constant afterwards. */
    struct warp_mass *mass;
    const struct warp_clock *clock;
    struct warp_mass_sampler *samplers[WARP_SHARD_COUNT_MAX];
    struct warp_rebalance_mover mover;
    uint64_t epoch_ns;
    uint64_t budget_ns; /* per epoch */
    uint32_t period;

    _Atomic uint32_t mode; /* any thread writes, the turn reads */

    /* Owned by who calls turn. */
    enum warp_rebalance_state state;
    uint64_t due_ns;
    uint64_t spent_ns; /* in this epoch */
    uint32_t next_move;
    uint32_t tries; /* of that move */
    struct warp_gravity gravity;
    struct warp_gravity_view view;
    struct warp_gravity_plan plan; /* the last; for warp_gravity_explain */

    struct warp_rebalance_counters counters;
};

/* It begins in the mode OFF. */
void warp_rebalance_init(struct warp_rebalance *rebalance,
                         const struct warp_rebalance_config *config);

/* Takes effect with the next turn; shards notice as warp_mass_set_period says. */
void warp_rebalance_set_mode(struct warp_rebalance *rebalance,
                             enum warp_rebalance_mode mode);

static inline enum warp_rebalance_mode
warp_rebalance_mode(const struct warp_rebalance *rebalance)
{
    return (enum warp_rebalance_mode)atomic_load_explicit(&rebalance->mode,
                                                          memory_order_relaxed);
}

/* One bounded step. True: there is more to do at once. *due_ns gets when to come again otherwise,
 * UINT64_MAX: not before the mode changes. */
bool warp_rebalance_turn(struct warp_rebalance *rebalance, uint64_t now_ns,
                         uint64_t *due_ns);

#endif
