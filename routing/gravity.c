/*
 * The happy path: loads are summed up; slots that are heavier than the mean are taken out of the
 * reckoning, with their shards, until the rest has a mean that all its slots can fit under; every
 * shard that is too far above its target gives slots, the one furthest above first, each to the
 * lowest of the others. Which slot: one that takes as much as the giver has too much and the
 * receiver too little, found in the giver's slots sorted by mass, with some of its neighbours.
 *
 * What can go wrong: nothing the giver has is good to move. Then it is done with for this epoch,
 * the reason is noted, and the next one gets its turn. Every round of the loop makes a move or is
 * the last of its giver, so there are at most moves_max + shard_count of them.
 */
#include "routing/gravity.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "routing/mass.h"

#define GRAVITY_NEIGHBOURS 8u
#define GRAVITY_NO_SHARD   UINT32_MAX
#define GRAVITY_PPM        1e6

/* What a plan is made from, beside what it shows. */
struct gravity_work {
    struct warp_gravity *gravity;
    const struct warp_gravity_view *view;
    struct warp_gravity_plan *plan;
    uint32_t n;
    double capacity[WARP_SHARD_COUNT_MAX];
    double noise[WARP_SHARD_COUNT_MAX]; /* of mean' */
    double bytes[WARP_SHARD_COUNT_MAX];
    double bytes_max;
    /* The giver's slots: order[first] .. order[first + count - 1]. */
    uint32_t first[WARP_SHARD_COUNT_MAX];
    uint32_t count[WARP_SHARD_COUNT_MAX];
    uint32_t resting[WARP_SHARD_COUNT_MAX];
    bool sorted[WARP_SHARD_COUNT_MAX];
    bool done[WARP_SHARD_COUNT_MAX];
};

static uint32_t gravity_clamp(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

void warp_gravity_init(struct warp_gravity *gravity,
                       const struct warp_gravity_settings *settings)
{
    static const struct warp_gravity_settings usual = WARP_GRAVITY_SETTINGS;
    struct warp_gravity_settings *own = &gravity->settings;

    memset(gravity, 0, sizeof(*gravity));
    *own = settings != NULL ? *settings : usual;
    own->stop_ppm = gravity_clamp(own->stop_ppm, 0, own->start_ppm);
    own->bad_epochs = gravity_clamp(own->bad_epochs, 1, UINT32_MAX);
    own->rest_epochs = gravity_clamp(own->rest_epochs, 0, UINT8_MAX);
    own->moves_max = gravity_clamp(own->moves_max, 0, WARP_GRAVITY_MOVES_MAX);
    own->horizon_epochs = gravity_clamp(own->horizon_epochs, 1, UINT32_MAX);
    own->least_step_ppm = gravity_clamp(own->least_step_ppm, 1, UINT32_MAX);
}

static uint32_t gravity_ppm(double ratio)
{
    double ppm = ratio * GRAVITY_PPM;

    return !(ppm > 0) ? 0 : ppm < (double)UINT32_MAX ? (uint32_t)ppm : UINT32_MAX;
}

/* ---- how things stand ---------------------------------------------------------------------- */

static void gravity_weigh(struct gravity_work *work)
{
    const struct warp_gravity_view *view = work->view;
    struct warp_gravity_plan *plan = work->plan;
    double load = 0, capacity = 0, bytes = 0;
    uint32_t slot, i;

    for (i = 0; i < work->n; i++) {
        uint32_t permille = view->capacity_permille[i];

        work->capacity[i] = (double)(permille != 0 ? permille : 1000) / 1000;
        capacity += work->capacity[i];
        plan->shards[i].heaviest = WARP_SLOT_COUNT;
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        uint32_t owner = warp_slotmap_owner(view->owners, slot);
        struct warp_gravity_shard *shard;

        work->gravity->owner[slot] = (uint8_t)owner;
        if (owner >= work->n) {
            continue; /* not a shard of ours: leave it alone */
        }
        shard = &plan->shards[owner];
        if (view->bytes != NULL) {
            work->bytes[owner] += (double)view->bytes[slot];
            bytes += (double)view->bytes[slot];
        }
        if (view->masses[slot] == 0) {
            continue;
        }
        shard->load += (double)view->masses[slot];
        shard->slots++;
        if (shard->heaviest == WARP_SLOT_COUNT ||
            view->masses[slot] > view->masses[shard->heaviest]) {
            shard->heaviest = slot;
        }
    }
    for (i = 0; i < work->n; i++) {
        struct warp_gravity_shard *shard = &plan->shards[i];

        shard->height = shard->planned = shard->load / work->capacity[i];
        load += shard->load;
    }
    plan->mean = load / capacity;
    work->bytes_max =
        bytes == 0 ? HUGE_VAL
                   : bytes / work->n * work->gravity->settings.bytes_max_ppm / GRAVITY_PPM;
}

static double gravity_heaviest(const struct gravity_work *work, uint32_t i)
{
    uint32_t slot = work->plan->shards[i].heaviest;

    return slot == WARP_SLOT_COUNT ? 0
                                   : (double)work->view->masses[slot] / work->capacity[i];
}

/* Take out what no placement can balance. At least one shard is left: among those that are, the mean
 * is not below the lowest of their heaviest slots. */
static void gravity_set_targets(struct gravity_work *work)
{
    struct warp_gravity_plan *plan = work->plan;
    uint32_t left = work->n, round, i;

    plan->mean_left = plan->mean;
    for (round = 0; round < work->n && left > 1; round++) {
        double load = 0, capacity = 0;
        uint32_t pinned = 0;

        for (i = 0; i < work->n; i++) {
            load += plan->shards[i].load;
            if (plan->shards[i].pinned) {
                load -= gravity_heaviest(work, i) * work->capacity[i];
            } else {
                capacity += work->capacity[i];
            }
        }
        plan->mean_left = load > 0 ? load / capacity : 0;
        for (i = 0; i < work->n && left - pinned > 1; i++) {
            /* Rounding must not make a difference of equal ones. */
            if (!plan->shards[i].pinned &&
                gravity_heaviest(work, i) > plan->mean_left * (1 + 1e-9)) {
                plan->shards[i].pinned = true;
                pinned++;
            }
        }
        left -= pinned;
        if (pinned == 0) {
            break;
        }
    }
    for (i = 0; i < work->n; i++) {
        plan->shards[i].target =
            plan->shards[i].pinned ? gravity_heaviest(work, i) : plan->mean_left;
    }
}

/* By how much of mean' a shard is above its target. */
static double gravity_excess(const struct gravity_work *work, uint32_t i)
{
    const struct warp_gravity_shard *shard = &work->plan->shards[i];

    return work->plan->mean_left > 0
               ? (shard->planned - shard->target) / work->plan->mean_left
               : 0;
}

static double gravity_bound(const struct gravity_work *work, uint32_t i, uint32_t ppm,
                            uint32_t times)
{
    double least = (double)ppm / GRAVITY_PPM;
    double noise = work->noise[i] * times;

    return noise > least ? noise : least;
}

static void gravity_set_limits(struct gravity_work *work)
{
    const struct warp_gravity_settings *settings = &work->gravity->settings;
    struct warp_gravity_plan *plan = work->plan;
    double deviations = sqrt(2 * log((double)work->n));
    double lambda = 0, possible = 0;
    uint32_t i;

    for (i = 0; i < work->n; i++) {
        struct warp_gravity_shard *shard = &plan->shards[i];
        double variance = work->view->variance[i];

        if (variance > 0 && plan->mean_left > 0) {
            work->noise[i] =
                deviations * sqrt(variance) / work->capacity[i] / plan->mean_left;
        }
        shard->limit_ppm =
            gravity_ppm(gravity_bound(work, i, settings->start_ppm, settings->noise_times));
        lambda = shard->height > lambda ? shard->height : lambda;
        possible = shard->target > possible ? shard->target : possible;
        if (gravity_excess(work, i) > gravity_excess(work, plan->highest)) {
            plan->highest = i;
        }
    }
    plan->lambda = plan->mean > 0 ? lambda / plan->mean : 1;
    plan->lambda_planned = plan->lambda;
    plan->lambda_possible = plan->mean > 0 ? possible / plan->mean : 1;
}

/* ---- which slot ------------------------------------------------------------------------------ */

/* Is slot a to stand behind slot b? Equal ones by their number, so that a plan is always the same. */
static bool gravity_behind(const uint32_t *masses, uint32_t a, uint32_t b)
{
    return masses[a] != masses[b] ? masses[a] < masses[b] : a > b;
}

static void gravity_sift(const uint32_t *masses, uint16_t *heap, uint32_t at,
                         uint32_t count)
{
    uint16_t slot = heap[at];
    uint32_t child;

    while ((child = 2 * at + 1) < count) {
        if (child + 1 < count && gravity_behind(masses, heap[child + 1], heap[child])) {
            child++;
        }
        if (!gravity_behind(masses, heap[child], slot)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = slot;
}

/* Heaviest first. A heap, for its bound and because it needs no room. */
static void gravity_sort(const uint32_t *masses, uint16_t *slots, uint32_t count)
{
    uint32_t at;

    for (at = count / 2; at-- > 0;) {
        gravity_sift(masses, slots, at, count);
    }
    for (at = count; at-- > 1;) {
        uint16_t lightest = slots[0];

        slots[0] = slots[at];
        slots[at] = lightest;
        gravity_sift(masses, slots, 0, at);
    }
}

/* The slots that may be worth moving, by their shards. */
static void gravity_gather(struct gravity_work *work)
{
    const struct warp_gravity_settings *settings = &work->gravity->settings;
    const struct warp_gravity_plan *plan = work->plan;
    const uint8_t *owner = work->gravity->owner;
    double high = 0, low = HUGE_VAL, least;
    uint32_t fill[WARP_SHARD_COUNT_MAX];
    uint32_t slot, i, sum = 0;

    for (i = 0; i < work->n; i++) {
        high = plan->shards[i].height > high ? plan->shards[i].height : high;
        low = plan->shards[i].height < low ? plan->shards[i].height : low;
        work->count[i] = 0;
    }
    /* Below this, even the steepest fall gains too little. */
    least = high > low ? (double)settings->least_step_ppm / GRAVITY_PPM * plan->mean_left *
                             plan->mean_left / (high - low)
                       : HUGE_VAL;
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        const struct warp_gravity_shard *shard;

        if (owner[slot] >= work->n || !((double)work->view->masses[slot] >= least)) {
            continue;
        }
        shard = &plan->shards[owner[slot]];
        if (shard->pinned && shard->heaviest == slot) {
            continue;
        }
        if (work->gravity->rests[slot] > 0) {
            work->resting[owner[slot]]++;
            continue;
        }
        work->count[owner[slot]]++;
    }
    for (i = 0; i < work->n; i++) {
        work->first[i] = fill[i] = sum;
        sum += work->count[i];
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        if (owner[slot] >= work->n || !((double)work->view->masses[slot] >= least) ||
            work->gravity->rests[slot] > 0 ||
            (plan->shards[owner[slot]].pinned &&
             plan->shards[owner[slot]].heaviest == slot)) {
            continue;
        }
        work->gravity->order[fill[owner[slot]]++] = (uint16_t)slot;
    }
}

/* By how much a move lowers the potential. */
static double gravity_fall(const struct gravity_work *work, uint32_t from, uint32_t to,
                           double mass)
{
    double gap = work->plan->shards[from].planned - work->plan->shards[to].planned;
    double resistance = 1 / work->capacity[from] + 1 / work->capacity[to];

    return mass * (gap - mass / 2 * resistance);
}

/* What a move earns within the horizon, less its cost. */
static double gravity_earns(const struct gravity_work *work, uint32_t slot, double fall)
{
    const struct warp_gravity_settings *settings = &work->gravity->settings;
    double kib = work->view->bytes == NULL
                     ? 0
                     : (double)work->view->bytes[slot] * WARP_MASS_BYTES / 1024;

    return fall / work->plan->mean_left * settings->horizon_epochs -
           (double)settings->move_cost - kib * (double)settings->move_cost_kib;
}

/* The best of the giver's slots for this receiver; its place in the order, or UINT32_MAX and why. */
static uint32_t gravity_choose(struct gravity_work *work, uint32_t from, uint32_t to,
                               enum warp_gravity_reason *reason)
{
    const struct warp_gravity_plan *plan = work->plan;
    const uint32_t *masses = work->view->masses;
    const uint16_t *order = work->gravity->order + work->first[from];
    uint32_t count = work->count[from];
    double least = (double)work->gravity->settings.least_step_ppm / GRAVITY_PPM *
                   plan->mean_left * plan->mean_left;
    double over =
        (plan->shards[from].planned - plan->shards[from].target) * work->capacity[from];
    double under =
        (plan->shards[to].target - plan->shards[to].planned) * work->capacity[to];
    double want = under > 0 && under < over ? under : over;
    uint32_t low = 0, high = count, at, best = UINT32_MAX;
    double best_earns = 0;

    *reason = WARP_GRAVITY_NO_FIT;
    if (count == 0) {
        *reason = work->resting[from] > 0     ? WARP_GRAVITY_RESTING
                  : plan->shards[from].pinned ? WARP_GRAVITY_HEAVY
                                              : WARP_GRAVITY_LIGHT;
        return UINT32_MAX;
    }
    if (WARP_PLANTED(GRAVITY_UPHILL)) {
        return 0;
    }
    /* The first that is not heavier than wanted. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if ((double)masses[order[middle]] > want) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    at = low > GRAVITY_NEIGHBOURS ? low - GRAVITY_NEIGHBOURS : 0;
    for (; at < count && at < low + GRAVITY_NEIGHBOURS; at++) {
        double mass = (double)masses[order[at]];
        double fall = gravity_fall(work, from, to, mass);
        double earns;

        /* Falls by enough; and so the receiver stays lower than the giver was. */
        if (!(fall >= least)) {
            *reason =
                fall > 0 && *reason == WARP_GRAVITY_NO_FIT ? WARP_GRAVITY_LIGHT : *reason;
            continue;
        }
        earns = gravity_earns(work, order[at], fall);
        if (!(earns > 0)) {
            *reason = WARP_GRAVITY_COST;
        } else if (earns > best_earns) {
            best_earns = earns;
            best = at;
        }
    }
    if (best == UINT32_MAX && work->resting[from] > 0 && *reason != WARP_GRAVITY_COST) {
        *reason = WARP_GRAVITY_RESTING;
    }
    return best;
}

/* ---- the plan ---------------------------------------------------------------------------------- */

/* The shard furthest above its target that is to give and has not been done with. */
static uint32_t gravity_giver(const struct gravity_work *work)
{
    uint32_t giver = GRAVITY_NO_SHARD, i;
    double most = 0;

    for (i = 0; i < work->n; i++) {
        double excess = gravity_excess(work, i);

        if (!work->done[i] && excess > most &&
            excess > gravity_bound(work, i, work->gravity->settings.stop_ppm, 1)) {
            most = excess;
            giver = i;
        }
    }
    return giver;
}

static uint32_t gravity_taker(const struct gravity_work *work, uint32_t giver)
{
    const struct warp_gravity_plan *plan = work->plan;
    uint32_t taker = GRAVITY_NO_SHARD, i;

    for (i = 0; i < work->n; i++) {
        if (i != giver && work->bytes[i] < work->bytes_max &&
            plan->shards[i].planned < plan->shards[giver].planned &&
            (taker == GRAVITY_NO_SHARD ||
             plan->shards[i].planned < plan->shards[taker].planned)) {
            taker = i;
        }
    }
    return taker;
}

static void gravity_move(struct gravity_work *work, uint32_t from, uint32_t to, uint32_t at)
{
    struct warp_gravity_plan *plan = work->plan;
    struct warp_gravity_move *move = &plan->moves[plan->move_count++];
    uint16_t *order = work->gravity->order + work->first[from];
    uint32_t slot = order[at];
    double mass = (double)work->view->masses[slot];
    double unit = plan->mean_left;

    move->slot = (uint16_t)slot;
    move->from = (uint8_t)from;
    move->to = (uint8_t)to;
    move->mass = work->view->masses[slot];
    move->gain_ppm = gravity_ppm(gravity_fall(work, from, to, mass) / unit / unit);
    move->from_ppm = gravity_ppm(plan->shards[from].planned / unit);
    move->to_ppm = gravity_ppm(plan->shards[to].planned / unit);
    plan->shards[from].planned -= mass / work->capacity[from];
    plan->shards[to].planned += mass / work->capacity[to];
    if (work->view->bytes != NULL) {
        work->bytes[from] -= (double)work->view->bytes[slot];
        work->bytes[to] += (double)work->view->bytes[slot];
    }
    work->count[from]--;
    memmove(order + at, order + at + 1, (work->count[from] - at) * sizeof(*order));
}

static void gravity_fill(struct gravity_work *work)
{
    struct warp_gravity_plan *plan = work->plan;
    double highest = 0;
    uint32_t giver, i;

    gravity_gather(work);
    while ((giver = gravity_giver(work)) != GRAVITY_NO_SHARD) {
        uint32_t taker = gravity_taker(work, giver);
        uint32_t at;

        if (plan->move_count >= work->gravity->settings.moves_max) {
            plan->shards[giver].reason = WARP_GRAVITY_BUDGET;
            work->done[giver] = true;
            continue;
        }
        if (taker == GRAVITY_NO_SHARD) {
            plan->shards[giver].reason = WARP_GRAVITY_NO_TAKER;
            work->done[giver] = true;
            continue;
        }
        if (!work->sorted[giver]) {
            gravity_sort(work->view->masses, work->gravity->order + work->first[giver],
                         work->count[giver]);
            work->sorted[giver] = true;
        }
        at = gravity_choose(work, giver, taker, &plan->shards[giver].reason);
        if (at == UINT32_MAX) {
            work->done[giver] = true;
            continue;
        }
        plan->shards[giver].reason = WARP_GRAVITY_FINE;
        gravity_move(work, giver, taker, at);
    }
    for (i = 0; i < work->n; i++) {
        highest = plan->shards[i].planned > highest ? plan->shards[i].planned : highest;
    }
    plan->lambda_planned = highest / plan->mean;
    plan->verdict = plan->move_count > 0 ? WARP_GRAVITY_MOVING : WARP_GRAVITY_STUCK;
}

/* The plan, and what would be remembered after it. */
static void gravity_plan(struct warp_gravity *gravity, const struct warp_gravity_view *view,
                         struct warp_gravity_plan *plan, uint32_t *bad_epochs, bool *active)
{
    const struct warp_gravity_settings *settings = &gravity->settings;
    struct gravity_work work;
    bool high = false, uneven = false;
    double most = 0;
    uint32_t i;

    warp_assert(view->shard_count >= 1 && view->shard_count <= WARP_SHARD_COUNT_MAX);
    memset(plan, 0, sizeof(*plan));
    memset(&work, 0, sizeof(work));
    work.gravity = gravity;
    work.view = view;
    work.plan = plan;
    work.n = plan->shard_count = view->shard_count;
    gravity_weigh(&work);
    gravity_set_targets(&work);
    gravity_set_limits(&work);
    for (i = 0; i < work.n; i++) {
        double excess = gravity_excess(&work, i);

        high = high ||
               excess > gravity_bound(&work, i, settings->start_ppm, settings->noise_times);
        uneven = uneven || excess > gravity_bound(&work, i, settings->stop_ppm, 1);
        most = plan->shards[i].load > most ? plan->shards[i].load : most;
    }
    if (work.n == 1 || most < (double)settings->load_min || !(most > 0)) {
        plan->verdict = work.n == 1 ? WARP_GRAVITY_ONE_SHARD : WARP_GRAVITY_IDLE;
        *bad_epochs = 0;
        *active = false;
        return;
    }
    *bad_epochs = high ? gravity->bad_epochs + 1 : 0;
    if (*bad_epochs == 0 && high) {
        *bad_epochs = UINT32_MAX; /* it has come round */
    }
    *active = (gravity->active && uneven) || *bad_epochs >= settings->bad_epochs;
    plan->bad_epochs = *bad_epochs;
    if (!*active) {
        plan->verdict = high ? WARP_GRAVITY_WAITING : WARP_GRAVITY_EVEN;
        return;
    }
    gravity_fill(&work);
}

void warp_gravity_look(struct warp_gravity *gravity, const struct warp_gravity_view *view,
                       struct warp_gravity_plan *plan)
{
    uint32_t bad_epochs;
    bool active;

    gravity_plan(gravity, view, plan, &bad_epochs, &active);
}

void warp_gravity_epoch(struct warp_gravity *gravity, const struct warp_gravity_view *view,
                        struct warp_gravity_plan *plan)
{
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        gravity->rests[slot] = (uint8_t)(gravity->rests[slot] - (gravity->rests[slot] > 0));
    }
    gravity_plan(gravity, view, plan, &gravity->bad_epochs, &gravity->active);
}

void warp_gravity_moved(struct warp_gravity *gravity, uint32_t slot)
{
    warp_assert(slot < WARP_SLOT_COUNT);
    gravity->rests[slot] = (uint8_t)gravity->settings.rest_epochs;
}

/* ---- in words ------------------------------------------------------------------------------------ */

static const char *gravity_reason_text(enum warp_gravity_reason reason)
{
    switch (reason) {
    case WARP_GRAVITY_FINE:
        return "it need not";
    case WARP_GRAVITY_BUDGET:
        return "this epoch has had its moves; the next goes on";
    case WARP_GRAVITY_HEAVY:
        return "its heaviest slot is above the mean of all shards: no shard could bear it "
               "better";
    case WARP_GRAVITY_RESTING:
        return "what it could give was moved lately and rests";
    case WARP_GRAVITY_NO_FIT:
        return "each of its slots would lift another shard as high as it lowers this one";
    case WARP_GRAVITY_LIGHT:
        return "what would fit is too light to make a step";
    case WARP_GRAVITY_COST:
        return "a move would cost more than it earns";
    case WARP_GRAVITY_NO_TAKER:
        return "no other shard is lower and has room for more bytes";
    }
    return "?";
}

static const char *gravity_verdict_text(enum warp_gravity_verdict verdict)
{
    switch (verdict) {
    case WARP_GRAVITY_EVEN:
        return "even enough, no moves";
    case WARP_GRAVITY_IDLE:
        return "too little to do for it to matter, no moves";
    case WARP_GRAVITY_WAITING:
        return "uneven, but not for long enough yet";
    case WARP_GRAVITY_MOVING:
        return "uneven, moving";
    case WARP_GRAVITY_STUCK:
        return "uneven, but no move would help";
    case WARP_GRAVITY_ONE_SHARD:
        return "one shard, nowhere to move";
    }
    return "?";
}

static size_t gravity_print(char *buffer, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static size_t gravity_print(char *buffer, size_t capacity, const char *format, ...)
{
    va_list arguments;
    int bytes;

    va_start(arguments, format);
    bytes = vsnprintf(buffer, capacity, format, arguments);
    va_end(arguments);
    return bytes > 0 ? (size_t)bytes : 0;
}

size_t warp_gravity_explain(const struct warp_gravity_plan *plan, uint32_t line,
                            char *buffer, size_t capacity)
{
    double unit = plan->mean_left > 0 ? plan->mean_left : 1;
    uint32_t i;

    if (line == 0) {
        return gravity_print(
            buffer, capacity,
            "%s: the highest shard has %.3f times the mean (%.3f at best, %.3f after %u "
            "moves), the mean is %.1f %% of a processor",
            gravity_verdict_text(plan->verdict), plan->lambda, plan->lambda_possible,
            plan->lambda_planned, (unsigned int)plan->move_count, plan->mean / 1e7);
    }
    line--;
    if (line < plan->move_count) {
        const struct warp_gravity_move *move = &plan->moves[line];

        return gravity_print(
            buffer, capacity,
            "slot %u from shard %u (%.3f) to shard %u (%.3f): it weighs %.4f of the mean",
            (unsigned int)move->slot, (unsigned int)move->from,
            move->from_ppm / GRAVITY_PPM, (unsigned int)move->to,
            move->to_ppm / GRAVITY_PPM, move->mass / unit);
    }
    line -= plan->move_count;
    for (i = 0; i < plan->shard_count; i++) {
        const struct warp_gravity_shard *shard = &plan->shards[i];

        if (shard->reason == WARP_GRAVITY_FINE || line-- > 0) {
            continue;
        }
        return gravity_print(buffer, capacity,
                             "shard %u keeps %.3f of the mean (its target is %.3f): %s",
                             (unsigned int)i, shard->planned / unit, shard->target / unit,
                             gravity_reason_text(shard->reason));
    }
    return 0;
}
