/* Epochs come at their pace, moves are made within their budget, and what a mover cannot do is let go.
 * The mover here is a fake: it changes the map and nothing else. */
#include "routing/rebalance.h"

#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/random.h"
#include "tests/lib/test.h"

#define EPOCH_NS UINT64_C(100000000)

struct stage {
    struct warp_rebalance rebalance;
    struct warp_mass mass;
    struct warp_mass_cell cells[WARP_SLOT_COUNT];
    struct warp_mass_sampler samplers[4];
    struct warp_slotmap owners;
    struct warp_clock_fake clock;
    uint64_t operations;
    uint32_t tilt; /* so many times as much work for slots of shard 0 */
    /* The mover. */
    uint64_t asked, moved;
    uint32_t again_one_in; /* 0: never */
    int fails;
    uint64_t cost_ns;
    struct warp_random random;
};

static int stage_move(void *context, uint32_t slot, uint32_t from, uint32_t to)
{
    struct stage *stage = context;

    stage->asked++;
    check_u64(warp_slotmap_owner(&stage->owners, slot), ==, from);
    check_u64(to, <, 4);
    warp_clock_fake_advance(&stage->clock, stage->cost_ns);
    if (stage->fails != 0) {
        return stage->fails;
    }
    if (stage->again_one_in != 0 &&
        warp_random_chance(&stage->random, stage->again_one_in)) {
        return WARP_AGAIN;
    }
    atomic_store_explicit(&stage->owners.owners[slot], (uint8_t)to, memory_order_relaxed);
    stage->moved++;
    return 0;
}

static struct stage *stage_make(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    struct warp_mass_sampler *samplers[4];
    struct warp_rebalance_config config = {0};
    uint32_t i;

    if (!check(stage != NULL)) {
        abort();
    }
    warp_clock_fake_init(&stage->clock, 1000000, 0);
    warp_random_init(&stage->random, test_seed());
    warp_slotmap_init(&stage->owners, 4);
    warp_mass_init(&stage->mass, stage->cells, sizeof(stage->cells[0]), 0,
                   warp_clock_ticks(&stage->clock.clock));
    for (i = 0; i < 4; i++) {
        warp_mass_sampler_init(&stage->samplers[i], i);
        samplers[i] = &stage->samplers[i];
    }
    stage->tilt = 1;
    config.mass = &stage->mass;
    config.owners = &stage->owners;
    config.samplers = samplers;
    config.shard_count = 4;
    config.clock = &stage->clock.clock;
    config.mover.move = stage_move;
    config.mover.context = stage;
    config.period = 1;
    warp_rebalance_init(&stage->rebalance, &config);
    return stage;
}

/* Work of one epoch, then all the turns that are due at its end. */
static void stage_epoch(struct stage *stage)
{
    uint64_t due_ns = 0;
    uint32_t i, turns = 0;

    for (i = 0; i < 8192; i++) {
        uint32_t slot = i % 256; /* few, so that each weighs something */
        uint32_t owner = warp_slotmap_owner(&stage->owners, slot);
        uint32_t times = slot % 4 == 0 ? stage->tilt : 1;

        while (times-- > 0) {
            if (warp_mass_due(&stage->mass, &stage->samplers[owner])) {
                warp_mass_add(&stage->samplers[owner], &stage->cells[slot], 20000, 100,
                              10000);
            }
        }
    }
    warp_clock_fake_advance(&stage->clock, EPOCH_NS);
    while (warp_rebalance_turn(&stage->rebalance, warp_clock_ns(&stage->clock.clock),
                               &due_ns)) {
        if (!check_u64(turns++, <, 10000)) {
            return;
        }
    }
}

static uint64_t stage_count(const _Atomic uint64_t *counter)
{
    return warp_counter_read(counter);
}

WARP_TEST(rebalance, moves_slots_until_the_load_is_even)
{
    struct stage *stage = stage_make();
    struct warp_rebalance_counters *counters = &stage->rebalance.counters;
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->tilt = 3; /* shard 0 has half of the work, twice its part */
    for (epoch = 0; epoch < 3; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage_count(&counters->epochs), >=, 2);
    check_u64(stage_count(&counters->lambda_ppm), >, 1900000);
    check_u64(stage_count(&counters->evenness_ppm), <, 910000);
    for (epoch = 0; epoch < 6; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage_count(&counters->moves), ==, stage->moved);
    check_u64(stage->moved, >, 10);
    check_u64(stage_count(&counters->lambda_ppm), <, 1050000);
    check_u64(stage_count(&counters->evenness_ppm), >, 990000);
    check_u64(stage_count(&counters->cov_ppm), <, 50000);
    check_u64(stage_count(&counters->loads[0]), >, 0);
    free(stage);
}

WARP_TEST(rebalance, moves_nothing_while_the_load_is_even)
{
    struct stage *stage = stage_make();
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    for (epoch = 0; epoch < 30; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage->asked, ==, 0);
    check_u64(stage_count(&stage->rebalance.counters.epochs), >=, 29);
    check_int(stage_count(&stage->rebalance.counters.verdict), ==, WARP_GRAVITY_EVEN);
    free(stage);
}

/* Where measuring alone takes all that an epoch may spend, some slots move all the same. */
WARP_TEST(rebalance, of_a_machine_that_is_slow_moves_a_few_slots_per_epoch)
{
    struct stage *stage = stage_make();
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->rebalance.budget_ns = 0;
    stage->tilt = 3;
    for (epoch = 0; epoch < 30; epoch++) {
        uint64_t before = stage->moved;

        stage_epoch(stage);
        check_u64(stage->moved - before, <=, 16);
    }
    check_u64(stage->moved, >, 10);
    check_u64(stage_count(&stage->rebalance.counters.lambda_ppm), <, 1200000);
    free(stage);
}

WARP_TEST(rebalance, that_only_watches_plans_and_moves_nothing)
{
    struct stage *stage = stage_make();
    char text[256];
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_WATCH);
    stage->tilt = 3;
    for (epoch = 0; epoch < 8; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage->asked, ==, 0);
    check_u64(stage_count(&stage->rebalance.counters.dropped), ==, 0);
    check_int(stage->rebalance.plan.verdict, ==, WARP_GRAVITY_MOVING);
    check_u64(warp_gravity_explain(&stage->rebalance.plan, 1, text, sizeof(text)), >, 0);
    check(strstr(text, "from shard 0") != NULL);
    free(stage);
}

WARP_TEST(rebalance, that_is_off_measures_nothing_and_asks_for_no_turn)
{
    struct stage *stage = stage_make();
    uint64_t due_ns = 0;
    uint32_t epoch;

    stage->tilt = 3;
    for (epoch = 0; epoch < 8; epoch++) {
        stage_epoch(stage);
    }
    check(!warp_rebalance_turn(&stage->rebalance, warp_clock_ns(&stage->clock.clock),
                               &due_ns));
    check_u64(due_ns, ==, UINT64_MAX);
    check_u64(stage_count(&stage->rebalance.counters.epochs), ==, 0);
    check_u64(stage_count(&stage->samplers[0].samples), ==, 0);
    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage_epoch(stage);
    stage_epoch(stage);
    /* The time in which it was off does not thin out the load: half of it after one epoch. */
    check_u64(stage_count(&stage->rebalance.counters.loads[1]), >, 190000000);
    check_u64(stage_count(&stage->rebalance.counters.loads[1]), <, 220000000);
    for (epoch = 0; epoch < 8; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage->moved, >, 0);
    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_OFF);
    stage_epoch(stage);
    stage->moved = 0;
    for (epoch = 0; epoch < 8; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage->moved, ==, 0);
    free(stage);
}

WARP_TEST(rebalance, a_busy_lease_is_asked_again_and_not_for_ever)
{
    struct stage *stage = stage_make();
    struct warp_rebalance_counters *counters = &stage->rebalance.counters;
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->tilt = 3;
    stage->again_one_in = 2;
    for (epoch = 0; epoch < 8; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage_count(&counters->again), ==, stage->asked - stage->moved);
    check_u64(stage_count(&counters->again), >, 0);
    check_u64(stage_count(&counters->lambda_ppm), <, 1100000);
    free(stage);
    stage = stage_make(); /* one that is never free */
    counters = &stage->rebalance.counters;
    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->tilt = 3;
    stage->again_one_in = 1;
    for (epoch = 0; epoch < 8; epoch++) {
        stage_epoch(stage);
    }
    check_u64(stage->moved, ==, 0);
    check_u64(stage_count(&counters->dropped), >, 0);
    check_u64(stage_count(&counters->again), ==, 8 * stage_count(&counters->dropped));
    free(stage);
}

WARP_TEST(rebalance, a_mover_that_fails_ends_the_plan_and_not_the_next)
{
    struct stage *stage = stage_make();
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->tilt = 3;
    stage->fails = WARP_EFAILED;
    for (epoch = 0; epoch < 6; epoch++) {
        uint64_t asked = stage->asked;

        stage_epoch(stage);
        check_u64(stage->asked - asked, <=, 1);
    }
    check_u64(stage->asked, >=, 3);
    stage->fails = 0;
    stage_epoch(stage);
    check_u64(stage->moved, >, 0);
    free(stage);
}

WARP_TEST(rebalance, moves_cost_no_more_than_their_share_of_an_epoch)
{
    struct stage *stage = stage_make();
    struct warp_rebalance_counters *counters = &stage->rebalance.counters;
    uint32_t epoch;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->tilt = 3;
    stage->cost_ns = 100000; /* 8 of them per turn; a hundredth of an epoch are 10 */
    for (epoch = 0; epoch < 4; epoch++) {
        uint64_t asked = stage->asked;

        stage_epoch(stage);
        check_u64(stage->asked - asked, <=, 10 + 8);
    }
    check_u64(stage_count(&counters->dropped), >, 0);
    check_u64(stage_count(&counters->busy_ns), ==, stage->asked * stage->cost_ns);
    free(stage);
}

WARP_TEST(rebalance, epochs_that_were_missed_are_not_made_up_for)
{
    struct stage *stage = stage_make();
    uint64_t due_ns, epochs;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage_epoch(stage);
    stage_epoch(stage);
    warp_clock_fake_advance(&stage->clock, 1000 * EPOCH_NS);
    epochs = stage_count(&stage->rebalance.counters.epochs);
    stage_epoch(stage);
    check_u64(stage_count(&stage->rebalance.counters.epochs), ==, epochs + 1);
    check(!warp_rebalance_turn(&stage->rebalance, warp_clock_ns(&stage->clock.clock),
                               &due_ns));
    check_u64(due_ns, >, warp_clock_ns(&stage->clock.clock));
    check_u64(due_ns, <=, warp_clock_ns(&stage->clock.clock) + EPOCH_NS);
    free(stage);
}

WARP_TEST(rebalance, a_slot_that_somebody_else_moved_is_let_alone)
{
    struct stage *stage = stage_make();
    uint64_t due_ns, asked;
    uint32_t slot;

    warp_rebalance_set_mode(&stage->rebalance, WARP_REBALANCE_ON);
    stage->tilt = 3;
    stage_epoch(stage);
    stage_epoch(stage);
    stage_epoch(stage);
    /* One more, stopped before its moves. */
    stage->tilt = 9;
    asked = stage->asked;
    warp_clock_fake_advance(&stage->clock, EPOCH_NS);
    while (stage->rebalance.state != WARP_REBALANCE_MOVING) {
        (void)warp_rebalance_turn(&stage->rebalance, warp_clock_ns(&stage->clock.clock),
                                  &due_ns);
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        uint32_t owner = warp_slotmap_owner(&stage->owners, slot);

        atomic_store_explicit(&stage->owners.owners[slot], (uint8_t)((owner + 1) % 4),
                              memory_order_relaxed);
    }
    while (warp_rebalance_turn(&stage->rebalance, warp_clock_ns(&stage->clock.clock),
                               &due_ns)) {
    }
    check_u64(stage->asked, ==, asked);
    free(stage);
}
