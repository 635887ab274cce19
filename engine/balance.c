/*
 * The happy path: weights become masses, so that all of them are as much as the planner reckons with;
 * it plans on a copy of the map, its moves are made there, and it plans again, for a plan has at most
 * 256 of them; then every slot whose owner in the copy is another than in the map is told of, and
 * moved.
 *
 * What can go wrong: a lease is busy, or a slot grows fast. Then the move is tried again, some
 * thousand times, and after that the slot stays where it is and is not counted as made.
 */
#include "engine/balance.h"

#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "routing/entropy.h"
#include "routing/gravity.h"
#include "shards/move.h"

#define BALANCE_PASSES_MAX 256u /* of 256 moves: each slot could be moved four times */
#define BALANCE_TRIES_MAX  2000u
#define BALANCE_TEXT_BYTES 256u
#define BALANCE_LOOK_SLOTS 512u /* under a lease at a time: some microseconds */

struct balance {
    struct warp *db;
    const struct warp_balance_options *options;
    uint64_t weights[WARP_SLOT_COUNT];
    uint32_t masses[WARP_SLOT_COUNT];
    uint32_t bytes[WARP_SLOT_COUNT]; /* in WARP_MASS_BYTES */
    uint8_t owners[WARP_SLOT_COUNT]; /* as they were found */
    struct warp_slotmap map;         /* as they are to be */
    _Atomic uint64_t moved[WARP_SLOT_COUNT];
    /* Of the last move that the planner made of each slot: heights before it. */
    uint32_t from_ppm[WARP_SLOT_COUNT], to_ppm[WARP_SLOT_COUNT], mass_ppm[WARP_SLOT_COUNT];
    struct warp_gravity gravity;
    struct warp_gravity_view view;
    struct warp_gravity_plan plan;
};

/* What the records of each slot take. Nobody else changes that while we hold its owner's lease; a slot
 * that changes its owner between two of them is seen twice or not at all, which a plan can bear. */
static void balance_look(struct balance *balance)
{
    struct warp_store *store = balance->db->store;
    uint32_t i, slot, base;

    for (i = 0; i < store->shard_count; i++) {
        for (base = 0; base < WARP_SLOT_COUNT; base += BALANCE_LOOK_SLOTS) {
            warp_shard_enter_surely(store->shards[i]);
            for (slot = base; slot < base + BALANCE_LOOK_SLOTS; slot++) {
                uint64_t bytes, units;

                if (warp_slotmap_owner(&store->slotmap, slot) != i) {
                    continue; /* another's: not to be looked at */
                }
                bytes = store->slots[slot].bytes;
                units = (bytes + WARP_MASS_BYTES - 1) / WARP_MASS_BYTES;
                balance->weights[slot] = bytes;
                balance->bytes[slot] = units > UINT32_MAX ? UINT32_MAX : (uint32_t)units;
            }
            warp_shard_leave(store->shards[i]);
        }
    }
    if (balance->options->weights != NULL) {
        memcpy(balance->weights, balance->options->weights, sizeof(balance->weights));
    }
    warp_slotmap_save(&store->slotmap, balance->owners);
}

/* All weights together are what a processor per shard does, or as near as a mass of 32 bits comes. */
static void balance_weigh(struct balance *balance)
{
    double sum = 0, most = 0, scale;
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        sum += (double)balance->weights[slot];
        most =
            (double)balance->weights[slot] > most ? (double)balance->weights[slot] : most;
    }
    if (!(sum > 0)) {
        return; /* masses are zero */
    }
    scale = (double)balance->db->store->shard_count * WARP_MASS_UNIT / sum;
    if (most * scale > UINT32_MAX) {
        scale = UINT32_MAX / most;
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        balance->masses[slot] = (uint32_t)((double)balance->weights[slot] * scale);
    }
}

static struct warp_entropy balance_evenness(const struct balance *balance,
                                            const struct warp_slotmap *map)
{
    double loads[WARP_SHARD_COUNT_MAX] = {0};
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        loads[warp_slotmap_owner(map, slot)] += (double)balance->weights[slot];
    }
    return warp_entropy_of(loads, balance->db->store->shard_count);
}

static void balance_say(const struct balance *balance, const char *sentence)
{
    if (balance->options->say != NULL) {
        balance->options->say(balance->options->context, sentence);
    }
}

/* What stays, and why: slots that are too heavy for any shard, and shards that have too much all the same. */
static void balance_explain(struct balance *balance)
{
    const struct warp_gravity_plan *plan = &balance->plan;
    double mean = plan->mean > 0 ? plan->mean : 1;
    char text[BALANCE_TEXT_BYTES];
    uint32_t i, line;

    for (i = 0; i < plan->shard_count; i++) {
        const struct warp_gravity_shard *shard = &plan->shards[i];

        if (shard->pinned) {
            (void)snprintf(text, sizeof(text),
                           "slot %u stays with shard %u: it weighs %.3f of the mean by "
                           "itself, so no shard could bear it better",
                           (unsigned int)shard->heaviest, (unsigned int)i,
                           balance->masses[shard->heaviest] / mean);
            balance_say(balance, text);
        }
    }
    /* The first line is about all, and would speak of the last pass. */
    for (line = 1 + plan->move_count;
         warp_gravity_explain(plan, line, text, sizeof(text)) > 0; line++) {
        balance_say(balance, text);
    }
}

/* On the copy of the map, until the planner has no more to move. */
static void balance_plan(struct balance *balance)
{
    struct warp_gravity_settings settings = WARP_GRAVITY_SETTINGS;
    uint32_t pass, i;

    /* No epochs, no noise, no cost: what is asked for once may be as even as it can be. */
    settings.start_ppm = settings.stop_ppm = 1000;
    settings.noise_times = 0;
    settings.bad_epochs = 1;
    settings.rest_epochs = 0;
    settings.load_min = 0;
    settings.move_cost = settings.move_cost_kib = 0;
    warp_gravity_init(&balance->gravity, &settings);
    balance->view.shard_count = balance->db->store->shard_count;
    balance->view.masses = balance->masses;
    balance->view.bytes = balance->bytes;
    balance->view.owners = &balance->map;
    for (pass = 0; pass < BALANCE_PASSES_MAX; pass++) {
        const struct warp_gravity_plan *plan = &balance->plan;
        double unit;

        warp_gravity_epoch(&balance->gravity, &balance->view, &balance->plan);
        unit = plan->mean_left > 0 ? plan->mean_left : 1;
        for (i = 0; i < plan->move_count; i++) {
            const struct warp_gravity_move *move = &plan->moves[i];

            balance->from_ppm[move->slot] = move->from_ppm;
            balance->to_ppm[move->slot] = move->to_ppm;
            balance->mass_ppm[move->slot] = (uint32_t)(move->mass / unit * 1e6);
            warp_slotmap_begin_move(&balance->map, move->slot, &balance->moved[move->slot]);
            warp_slotmap_end_move(&balance->map, move->slot, move->to);
        }
        if (plan->move_count == 0) {
            break;
        }
    }
    balance_explain(balance);
}

static int balance_move(struct balance *balance, uint32_t slot, uint32_t to)
{
    const struct warp_env *env = &balance->db->env;
    uint32_t tries;
    int rc = WARP_AGAIN;

    for (tries = 0; rc == WARP_AGAIN && tries < BALANCE_TRIES_MAX; tries++) {
        rc = warp_move_slot(balance->db->store, slot, to);
        if (rc == WARP_AGAIN && env->threads) {
            warp_thread_yield();
        } else if (rc == WARP_AGAIN) {
            env->wait(env->context);
        }
    }
    return rc;
}

/* Tell of each slot that is to be elsewhere, and move it unless this is a dry run. */
static int balance_carry_out(struct balance *balance, struct warp_balance_report *report)
{
    const struct warp_balance_options *options = balance->options;
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        uint32_t to = warp_slotmap_owner(&balance->map, slot);
        uint32_t from = balance->owners[slot];
        char why[BALANCE_TEXT_BYTES];
        int rc;

        if (to == from) {
            continue;
        }
        report->moves++;
        if (options->even != 0) {
            (void)snprintf(why, sizeof(why), "slots are dealt in turn");
        } else {
            (void)snprintf(
                why, sizeof(why),
                "it weighs %.4f of the mean; shard %u had %.3f of it, shard %u %.3f",
                balance->mass_ppm[slot] / 1e6, (unsigned int)from,
                balance->from_ppm[slot] / 1e6, (unsigned int)to,
                balance->to_ppm[slot] / 1e6);
        }
        if (options->move != NULL) {
            options->move(options->context, slot, from, to, why);
        }
        if (options->dry_run != 0) {
            continue;
        }
        rc = balance_move(balance, slot, to);
        if (rc < 0) {
            return rc;
        }
        report->moves_made += rc == 0;
    }
    return 0;
}

int warp_engine_balance(struct warp *db, const struct warp_balance_options *options,
                        struct warp_balance_report *report)
{
    struct balance *balance;
    struct warp_entropy before, after;
    int rc;

    if (db->read_only && options->dry_run == 0) {
        return WARP_EREADONLY;
    }
    balance = warp_memory_reserve(&db->memory, sizeof(*balance), WARP_CACHELINE);
    if (balance == NULL) {
        return WARP_ENOMEM;
    }
    balance->db = db;
    balance->options = options;
    balance_look(balance);
    balance_weigh(balance);
    warp_slotmap_init(&balance->map, db->store->shard_count);
    if (options->even == 0) {
        /* They are those of a map with as many shards. */
        rc = warp_slotmap_load(&balance->map, balance->owners, db->store->shard_count);
        warp_assert(rc == 0);
        before = balance_evenness(balance, &balance->map);
        balance_plan(balance);
    } else {
        before = balance_evenness(balance, &db->store->slotmap);
    }
    after = balance_evenness(balance, &balance->map);
    report->shard_count = db->store->shard_count;
    report->lambda = before.lambda;
    report->lambda_planned = after.lambda;
    report->evenness = before.evenness;
    report->evenness_planned = after.evenness;
    rc = balance_carry_out(balance, report);
    warp_memory_release(&db->memory, balance, sizeof(*balance));
    return rc;
}
