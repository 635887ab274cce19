/*
 * routing/gravity.h - decides which slots change their shard, so that no shard has too much to do.
 *
 * A shard's load is the mass of its slots, its height u = load / capacity. What limits the engine is
 * the highest shard: it does lambda = max u / mean u times its part, so all together do n / lambda
 * times what one does. Moving a slot of mass m from i to j changes the potential, sum of C u^2 / 2, by
 *
 *   -m * ((u_i - u_j) - m / 2 * (1 / C_i + 1 / C_j))
 *
 * and only moves that lower it, by more than a least step, are made. So there are finitely many of
 * them and no cycle: the slots fall until nothing falls any more. A slot with more mass than the
 * mean of all shards cannot be balanced by moving it: it stays, its shard's other slots leave, and
 * what is left to do for it is not to burden its owner (reads go past it anyway).
 *
 * Heights are measured, and the highest of n equal ones looks high by chance. So a shard counts as
 * too high when it is above its target by more than a share of the mean and by more than three
 * times what the maximum of n such loads deviates by chance, in two epochs running; then moves go
 * on, epoch after epoch, until every shard is within a narrower bound (hysteresis); and a slot
 * that was moved rests for some epochs. Potentials for load balancing and their convergence are
 * those of the diffusion literature (Cybenko, "Dynamic load balancing for distributed memory
 * multiprocessors", 1989); slot-wise hand-over under a threshold that knows its noise is ours.
 *
 *   target of a shard   mean' or its heaviest slot, if that is more; mean' is the mean of what
 *                       is left without such slots and their shards
 *   excess              (height - target) / mean'
 *   limit               max(start, 3 * sqrt(2 ln n * variance) / mean')
 *
 * Threads:   one at a time; nothing here reads a clock or touches a shard.
 * Lifetime:  embedded, init before use; nothing is allocated. A plan is the caller's.
 * Units:     masses as in routing/mass; ratios in parts per million of the mean; epochs.
 * Ordering:  none. Owners are read relaxed: they are changed by who carries plans out.
 * Errors:    none. Any numbers give a plan within the bounds; slots with owners that are not there
 *            are left alone.
 * Cost:      without moves 28 us; a plan of 256 moves of two shards with even slots, 0.5 ms. 64 KiB, and
 *            8 KiB for a plan.
 */
#ifndef ROUTING_GRAVITY_H
#define ROUTING_GRAVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/slotmap.h"

#define WARP_GRAVITY_MOVES_MAX 256u

struct warp_gravity_settings {
    uint32_t start_ppm;   /* above its target by so much of the mean, a shard is too high */
    uint32_t stop_ppm;    /* within this, all is well again */
    uint32_t noise_times; /* and above its noise so many times */
    uint32_t bad_epochs;  /* so many in a row before moves begin */
    uint32_t rest_epochs; /* of a slot that was moved, at most 255 */
    uint32_t moves_max;   /* per epoch, at most WARP_GRAVITY_MOVES_MAX */
    uint32_t least_step_ppm; /* of mean^2: what a move lowers the potential by at least */
    uint32_t load_min;       /* no shard has more load: an idle engine is let alone */
    /* What a move costs, in the unit of masses: that it must earn within the horizon. */
    uint32_t move_cost;
    uint32_t move_cost_kib; /* and for each KiB of its records, which leave a cache */
    uint32_t horizon_epochs;
    /* A shard with so much of the mean's bytes gets no more, for each has an equal share of memory. */
    uint32_t bytes_max_ppm;
};

/* 10 %, 3 %, thrice the noise, two epochs, eight, 256 moves, a fiftieth of a processor; costs of 5 us
 * per move and of 40 ns per KiB in epochs of 100 ms, to be earned in 64 of them; 150 % of the mean's
 * bytes. The least step is only there so that moves come to an end: a slot of two shards with even
 * work has 120 ppm of the mean, and below a gap of 3 % a step of 4 ppm. */
#define WARP_GRAVITY_SETTINGS                                                              \
    {                                                                                      \
        .start_ppm = 100000, .stop_ppm = 30000, .noise_times = 3, .bad_epochs = 2,         \
        .rest_epochs = 8, .moves_max = WARP_GRAVITY_MOVES_MAX, .least_step_ppm = 1,        \
        .load_min = 20000000, .move_cost = 50000, .move_cost_kib = 400,                    \
        .horizon_epochs = 64, .bytes_max_ppm = 1500000                                     \
    }

/* What is to be judged. Read only, constant during the call. */
struct warp_gravity_view {
    uint32_t shard_count;
    const uint32_t *masses; /* per slot */
    const uint32_t *bytes;  /* per slot, in WARP_MASS_BYTES; NULL: not known */
    const struct warp_slotmap *owners;
    double variance[WARP_SHARD_COUNT_MAX]; /* of the loads as measured */
    /* Capacity of each shard in thousandths; 0 stands for 1,000. */
    uint32_t capacity_permille[WARP_SHARD_COUNT_MAX];
};

enum warp_gravity_verdict {
    WARP_GRAVITY_EVEN,      /* within the bounds */
    WARP_GRAVITY_IDLE,      /* too little to do to be worth it */
    WARP_GRAVITY_WAITING,   /* too high, but not for long enough yet */
    WARP_GRAVITY_MOVING,    /* there are moves */
    WARP_GRAVITY_STUCK,     /* too high, but no move is good: see the shards */
    WARP_GRAVITY_ONE_SHARD, /* nowhere to go */
};

/* Why a shard gives no more away. */
enum warp_gravity_reason {
    WARP_GRAVITY_FINE,     /* it need not */
    WARP_GRAVITY_BUDGET,   /* more moves than an epoch may have */
    WARP_GRAVITY_HEAVY,    /* what is left is one slot above the mean */
    WARP_GRAVITY_RESTING,  /* what it could give has been moved lately */
    WARP_GRAVITY_NO_FIT,   /* every slot would lift the other higher than it lowers this */
    WARP_GRAVITY_LIGHT,    /* what would fit is too light to make a step */
    WARP_GRAVITY_COST,     /* none is worth its move */
    WARP_GRAVITY_NO_TAKER, /* all others have their share of bytes or are as high */
};

struct warp_gravity_move {
    uint16_t slot;
    uint8_t from;
    uint8_t to;
    uint32_t mass;
    uint32_t gain_ppm;         /* of mean'^2: what it lowers the potential by */
    uint32_t from_ppm, to_ppm; /* heights before it, of mean' */
};

struct warp_gravity_shard {
    double load;
    double height; /* load / capacity */
    double target;
    double planned;     /* height after the moves */
    uint32_t limit_ppm; /* above the target, of mean' */
    uint32_t slots;     /* with any mass */
    uint32_t heaviest;  /* its slot; WARP_SLOT_COUNT: it has none with mass */
    bool pinned;        /* by its heaviest slot, which is above the mean */
    enum warp_gravity_reason reason;
};

struct warp_gravity_plan {
    enum warp_gravity_verdict verdict;
    uint32_t shard_count;
    uint32_t bad_epochs;    /* in a row, this one included */
    double mean;            /* height of all */
    double mean_left;       /* mean' */
    double lambda;          /* max / mean */
    double lambda_planned;  /* after the moves, if nothing else changes */
    double lambda_possible; /* as far as slots heavier than the mean allow */
    uint32_t highest;       /* the shard furthest above its target */
    struct warp_gravity_shard shards[WARP_SHARD_COUNT_MAX];
    uint32_t move_count;
    struct warp_gravity_move moves[WARP_GRAVITY_MOVES_MAX];
};

/* What is remembered from one epoch to the next, and a place to work. */
struct warp_gravity {
    struct warp_gravity_settings settings;
    uint32_t bad_epochs;
    bool active;                    /* moves began and have not come to their end */
    uint8_t rests[WARP_SLOT_COUNT]; /* epochs in which a slot may not be moved */
    uint16_t
        order[WARP_SLOT_COUNT]; /* slots by shard, and then by mass, of shards that give */
    uint8_t owner[WARP_SLOT_COUNT]; /* as of the begin of the plan */
};

/* settings: NULL for the usual ones; out of bounds are brought into them. */
void warp_gravity_init(struct warp_gravity *gravity,
                       const struct warp_gravity_settings *settings);

/* What would be done now if this were the end of an epoch; changes nothing that is remembered. */
void warp_gravity_look(struct warp_gravity *gravity, const struct warp_gravity_view *view,
                       struct warp_gravity_plan *plan);

/* An epoch has ended: the plan for it. */
void warp_gravity_epoch(struct warp_gravity *gravity, const struct warp_gravity_view *view,
                        struct warp_gravity_plan *plan);

/* A move of the plan was made: its slot rests from now on. */
void warp_gravity_moved(struct warp_gravity *gravity, uint32_t slot);

/*
 * The plan in sentences for people: line by line, from 0; the number of bytes, as snprintf counts
 * them, or 0 behind the last line. First a line about all, then one per move, then one per shard
 * that is too high and gives no more, with the reason.
 */
size_t warp_gravity_explain(const struct warp_gravity_plan *plan, uint32_t line,
                            char *buffer, size_t capacity);

#endif
