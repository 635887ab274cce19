#include "routing/rebalance.h"

#include <string.h>

#include "base/assert.h"
#include "base/counter.h"

#define REBALANCE_EPOCH_NS       UINT64_C(100000000)
#define REBALANCE_SHARE_PERMILLE 10u
#define REBALANCE_ROLL_SLOTS     1024u
#define REBALANCE_TURN_MOVES     8u
#define REBALANCE_TRIES_MAX      8u

void warp_rebalance_init(struct warp_rebalance *rebalance,
                         const struct warp_rebalance_config *config)
{
    uint32_t i;

    warp_assert(config->shard_count >= 1 && config->shard_count <= WARP_SHARD_COUNT_MAX);
    warp_assert(config->share_permille <= 1000);
    memset(rebalance, 0, sizeof(*rebalance));
    rebalance->mass = config->mass;
    rebalance->clock = config->clock;
    rebalance->mover = config->mover;
    rebalance->epoch_ns = config->epoch_ns != 0 ? config->epoch_ns : REBALANCE_EPOCH_NS;
    rebalance->budget_ns =
        rebalance->epoch_ns / 1000 *
        (config->share_permille != 0 ? config->share_permille : REBALANCE_SHARE_PERMILLE);
    rebalance->period = config->period != 0 ? config->period : WARP_MASS_PERIOD;
    for (i = 0; i < config->shard_count; i++) {
        rebalance->samplers[i] = config->samplers[i];
    }
    rebalance->view.shard_count = config->shard_count;
    rebalance->view.masses = config->mass->masses;
    rebalance->view.owners = config->owners;
    warp_gravity_init(&rebalance->gravity, config->gravity);
    warp_rebalance_set_mode(rebalance, WARP_REBALANCE_OFF);
}

void warp_rebalance_set_mode(struct warp_rebalance *rebalance,
                             enum warp_rebalance_mode mode)
{
    atomic_store_explicit(&rebalance->mode, (uint32_t)mode, memory_order_relaxed);
    warp_mass_set_period(rebalance->mass,
                         mode == WARP_REBALANCE_OFF ? 0 : rebalance->period);
}

static uint64_t rebalance_ppm(double ratio)
{
    return ratio > 0 ? (uint64_t)(ratio * 1e6 + 0.5) : 0;
}

static void rebalance_publish(struct warp_rebalance *rebalance)
{
    struct warp_rebalance_counters *counters = &rebalance->counters;
    const struct warp_gravity_plan *plan = &rebalance->plan;
    double loads[WARP_SHARD_COUNT_MAX];
    struct warp_entropy entropy;
    uint32_t i;

    for (i = 0; i < plan->shard_count; i++) {
        loads[i] = plan->shards[i].load;
        warp_counter_set(&counters->loads[i], (uint64_t)loads[i]);
    }
    entropy = warp_entropy_of(loads, plan->shard_count);
    warp_counter_set(&counters->lambda_ppm, rebalance_ppm(entropy.lambda));
    warp_counter_set(&counters->evenness_ppm, rebalance_ppm(entropy.evenness));
    warp_counter_set(&counters->cov_ppm, rebalance_ppm(entropy.cov));
    warp_counter_set(&counters->possible_ppm, rebalance_ppm(plan->lambda_possible));
    warp_counter_set(&counters->verdict, (uint64_t)plan->verdict);
    warp_counter_add(&counters->epochs, 1);
}

static void rebalance_wait(struct warp_rebalance *rebalance, uint64_t now_ns)
{
    rebalance->state = WARP_REBALANCE_WAITING;
    /* Epochs do not pile up behind one that came late. */
    while (rebalance->due_ns <= now_ns) {
        uint64_t late = now_ns - rebalance->due_ns;

        rebalance->due_ns += (late / rebalance->epoch_ns + 1) * rebalance->epoch_ns;
    }
}

static void rebalance_begin(struct warp_rebalance *rebalance)
{
    rebalance->spent_ns = 0;
    /* False only where no time has passed between two epochs. */
    if (warp_mass_roll_begin(rebalance->mass, rebalance->samplers,
                             rebalance->view.shard_count,
                             warp_clock_ticks(rebalance->clock))) {
        rebalance->state = WARP_REBALANCE_ROLLING;
    }
}

static void rebalance_plan(struct warp_rebalance *rebalance)
{
    uint32_t i;

    for (i = 0; i < rebalance->view.shard_count; i++) {
        rebalance->view.variance[i] = rebalance->mass->shards[i].variance;
    }
    warp_gravity_epoch(&rebalance->gravity, &rebalance->view, &rebalance->plan);
    rebalance_publish(rebalance);
    rebalance->next_move = 0;
    rebalance->tries = 0;
    rebalance->state = WARP_REBALANCE_MOVING;
}

/* Some of the plan's moves. False: the plan has come to its end. */
static bool rebalance_move(struct warp_rebalance *rebalance)
{
    struct warp_rebalance_counters *counters = &rebalance->counters;
    const struct warp_gravity_plan *plan = &rebalance->plan;
    uint32_t end = rebalance->next_move + REBALANCE_TURN_MOVES;

    for (; rebalance->next_move < plan->move_count && rebalance->next_move < end;
         rebalance->next_move++) {
        const struct warp_gravity_move *move = &plan->moves[rebalance->next_move];
        int rc;

        if (warp_slotmap_owner(rebalance->view.owners, move->slot) != move->from) {
            warp_counter_add(&counters->dropped, 1); /* somebody else has moved it */
            continue;
        }
        rc = rebalance->mover.move(rebalance->mover.context, move->slot, move->from,
                                   move->to);
        if (rc == WARP_AGAIN) {
            warp_counter_add(&counters->again, 1);
            if (++rebalance->tries < REBALANCE_TRIES_MAX) {
                return true;
            }
            warp_counter_add(&counters->dropped, 1);
        } else if (rc < 0) {
            return false;
        } else {
            warp_gravity_moved(&rebalance->gravity, move->slot);
            warp_counter_add(&counters->moves, 1);
        }
        rebalance->tries = 0;
    }
    return rebalance->next_move < plan->move_count;
}

bool warp_rebalance_turn(struct warp_rebalance *rebalance, uint64_t now_ns,
                         uint64_t *due_ns)
{
    enum warp_rebalance_mode mode = warp_rebalance_mode(rebalance);
    bool more = true;
    uint64_t end_ns, took_ns;

    if (mode == WARP_REBALANCE_OFF && rebalance->state == WARP_REBALANCE_WAITING) {
        rebalance->due_ns = 0;
        *due_ns = UINT64_MAX;
        return false;
    }
    if (rebalance->due_ns == 0) {
        /* What came before is no epoch of ours. */
        rebalance->due_ns = now_ns + rebalance->epoch_ns;
        warp_mass_restart(rebalance->mass, warp_clock_ticks(rebalance->clock));
    }
    *due_ns = rebalance->due_ns;
    if (rebalance->state == WARP_REBALANCE_WAITING && now_ns < rebalance->due_ns) {
        return false;
    }
    switch (rebalance->state) {
    case WARP_REBALANCE_WAITING:
        rebalance_begin(rebalance);
        more = rebalance->state == WARP_REBALANCE_ROLLING;
        break;
    case WARP_REBALANCE_ROLLING:
        if (warp_mass_roll_step(rebalance->mass, REBALANCE_ROLL_SLOTS)) {
            rebalance_plan(rebalance);
        }
        break;
    case WARP_REBALANCE_MOVING:
        /* The first few are made whatever measuring and planning took, for on a slow or busy machine
         * that may be all there is to spend, epoch after epoch. */
        more = mode == WARP_REBALANCE_ON &&
               (rebalance->spent_ns < rebalance->budget_ns ||
                (rebalance->next_move == 0 && rebalance->tries == 0)) &&
               now_ns < rebalance->due_ns + rebalance->epoch_ns &&
               rebalance_move(rebalance);
        if (!more && mode == WARP_REBALANCE_ON) {
            warp_counter_add(&rebalance->counters.dropped,
                             rebalance->plan.move_count - rebalance->next_move);
        }
        break;
    }
    end_ns = warp_clock_ns(rebalance->clock);
    took_ns = end_ns > now_ns ? end_ns - now_ns : 0;
    rebalance->spent_ns += took_ns;
    warp_counter_add(&rebalance->counters.busy_ns, took_ns);
    if (!more) {
        rebalance_wait(rebalance, end_ns > now_ns ? end_ns : now_ns);
        *due_ns = rebalance->due_ns;
    }
    return more;
}
