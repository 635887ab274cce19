/* Every move falls; nothing overshoots, moves without need, or goes on for ever; and what is said
 * about it is true. */
#include "routing/gravity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "routing/mass.h"
#include "tests/lib/test.h"

#define MEAN 500000000.0 /* half a processor */

struct world {
    struct warp_gravity gravity;
    struct warp_gravity_view view;
    struct warp_gravity_plan plan;
    struct warp_slotmap owners;
    uint32_t masses[WARP_SLOT_COUNT];
    uint32_t bytes[WARP_SLOT_COUNT];
};

static struct world *world_make(uint32_t shard_count,
                                const struct warp_gravity_settings *settings)
{
    struct world *world = calloc(1, sizeof(*world));

    if (!check(world != NULL)) {
        abort();
    }
    warp_gravity_init(&world->gravity, settings);
    warp_slotmap_init(&world->owners, shard_count);
    world->view.shard_count = shard_count;
    world->view.masses = world->masses;
    world->view.bytes = world->bytes;
    world->view.owners = &world->owners;
    return world;
}

static void world_own(struct world *world, uint32_t slot, uint32_t shard)
{
    atomic_store_explicit(&world->owners.owners[slot], (uint8_t)shard,
                          memory_order_relaxed);
}

/* Even masses that sum up to MEAN per shard. */
static void world_level(struct world *world)
{
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        world->masses[slot] = (uint32_t)(MEAN * world->view.shard_count / WARP_SLOT_COUNT);
    }
}

static double world_capacity(const struct world *world, uint32_t shard)
{
    uint32_t permille = world->view.capacity_permille[shard];

    return permille == 0 ? 1.0 : permille / 1000.0;
}

static void world_heights(const struct world *world, double *heights)
{
    uint32_t slot, i;

    for (i = 0; i < world->view.shard_count; i++) {
        heights[i] = 0;
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        uint32_t owner = warp_slotmap_owner(&world->owners, slot);

        if (owner < world->view.shard_count) {
            heights[owner] += world->masses[slot] / world_capacity(world, owner);
        }
    }
}

static double world_lambda(const struct world *world)
{
    double heights[WARP_SHARD_COUNT_MAX], most = 0, sum = 0, capacity = 0;
    uint32_t i;

    world_heights(world, heights);
    for (i = 0; i < world->view.shard_count; i++) {
        most = heights[i] > most ? heights[i] : most;
        sum += heights[i] * world_capacity(world, i);
        capacity += world_capacity(world, i);
    }
    return most / (sum / capacity);
}

/* Sum of C u^2. */
static double world_potential(const struct world *world, const double *heights)
{
    double sum = 0;
    uint32_t i;

    for (i = 0; i < world->view.shard_count; i++) {
        sum += world_capacity(world, i) * heights[i] * heights[i];
    }
    return sum;
}

/* Carry the plan out as a mover does, and look at each move. */
static void world_apply(struct world *world)
{
    static uint8_t moved[WARP_SLOT_COUNT];
    const struct warp_gravity_plan *plan = &world->plan;
    double heights[WARP_SHARD_COUNT_MAX], anew[WARP_SHARD_COUNT_MAX];
    uint32_t i;

    memset(moved, 0, sizeof(moved));
    check_u64(plan->move_count, <=, world->gravity.settings.moves_max);
    world_heights(world, heights);
    for (i = 0; i < plan->move_count; i++) {
        const struct warp_gravity_move *move = &plan->moves[i];
        double before = world_potential(world, heights);
        double from_before;

        if (!check_u64(move->from, <, world->view.shard_count) ||
            !check_u64(move->to, <, world->view.shard_count) ||
            !check_u64(move->from, !=, move->to) ||
            !check_u64(warp_slotmap_owner(&world->owners, move->slot), ==, move->from)) {
            return;
        }
        check_u64(world->gravity.rests[move->slot], ==, 0);
        check_u64(moved[move->slot], ==, 0);
        check_u64(move->mass, ==, world->masses[move->slot]);
        moved[move->slot] = 1;
        from_before = heights[move->from];
        world_own(world, move->slot, move->to);
        warp_gravity_moved(&world->gravity, move->slot);
        heights[move->from] -= move->mass / world_capacity(world, move->from);
        heights[move->to] += move->mass / world_capacity(world, move->to);
        check(world_potential(world, heights) < before); /* it falls */
        check(heights[move->to] < from_before);          /* and does not overshoot */
    }
    /* The sums that were kept are those of the map. */
    world_heights(world, anew);
    for (i = 0; i < world->view.shard_count; i++) {
        check(fabs(anew[i] - heights[i]) <= 1e-6 * (1 + anew[i]));
    }
    if (plan->verdict == WARP_GRAVITY_MOVING) {
        check(fabs(world_lambda(world) - plan->lambda_planned) < 1e-6);
    }
}

static void world_epoch(struct world *world)
{
    warp_gravity_epoch(&world->gravity, &world->view, &world->plan);
    world_apply(world);
}

/* Masses with a long tail, as popular keys make them. */
static void world_skew(struct world *world, struct warp_random *random, double theta)
{
    double sum = 0;
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        sum += pow(slot + 1.0, -theta);
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        world->masses[slot] =
            (uint32_t)(MEAN * world->view.shard_count * pow(slot + 1.0, -theta) / sum);
    }
    for (slot = WARP_SLOT_COUNT - 1; slot > 0; slot--) {
        uint32_t other = (uint32_t)warp_random_below(random, slot + 1);
        uint32_t mass = world->masses[slot];

        world->masses[slot] = world->masses[other];
        world->masses[other] = mass;
    }
}

WARP_TEST(gravity, every_move_falls_and_none_overshoots_for_1_to_64_shards)
{
    struct warp_random random;
    uint32_t n, epoch, i;

    warp_random_init(&random, test_seed());
    for (n = 1; n <= WARP_SHARD_COUNT_MAX; n++) {
        struct world *world = world_make(n, NULL);
        uint64_t moves = 0;
        bool was_high = false;

        world_skew(world, &random, 0.2 + (double)warp_random_below(&random, 120) / 100);
        for (i = 0; n % 2 == 0 && i < n; i++) {
            world->view.capacity_permille[i] =
                500 + (uint32_t)warp_random_below(&random, 1500);
        }
        for (epoch = 0; epoch < 40; epoch++) {
            world_epoch(world);
            moves += world->plan.move_count;
            was_high = was_high || world->plan.bad_epochs == 2;
        }
        /* It has come to rest: nothing to move, and if it is uneven it says why. */
        check_u64(world->plan.move_count, ==, 0);
        for (i = 0; i < n; i++) {
            const struct warp_gravity_shard *shard = &world->plan.shards[i];

            check(world->plan.verdict != WARP_GRAVITY_STUCK ||
                  shard->height <= shard->target + 0.0301 * world->plan.mean_left ||
                  shard->reason != WARP_GRAVITY_FINE);
        }
        check(moves > 0 || !was_high);
        if (n > 1) {
            check(world_lambda(world) <= world->plan.lambda_possible * 1.1 + 0.031);
        }
        free(world);
    }
}

WARP_TEST(gravity, a_skewed_load_is_even_within_five_epochs)
{
    struct warp_random random;
    uint32_t trial, epoch;

    warp_random_init(&random, test_seed());
    for (trial = 0; trial < 50; trial++) {
        struct world *world = world_make(2, NULL);
        uint32_t slot;

        /* As a key set chosen so that one shard of two has 1.4 times its part. */
        world_skew(world, &random, 0.6);
        for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
            world->masses[slot] =
                (uint32_t)(world->masses[slot] *
                           (warp_slotmap_owner(&world->owners, slot) == 0 ? 1.4 : 0.6));
        }
        check(world_lambda(world) > 1.3);
        for (epoch = 0; epoch < 5; epoch++) {
            world_epoch(world);
        }
        check(world_lambda(world) < 1.05);
        free(world);
    }
}

WARP_TEST(gravity, one_bad_epoch_is_not_enough)
{
    struct world *world = world_make(4, NULL);
    uint32_t slot, epoch;

    for (epoch = 0; epoch < 10; epoch++) {
        world_level(world);
        for (slot = 0; epoch % 2 == 0 && slot < WARP_SLOT_COUNT; slot += 4) {
            world->masses[slot] *= 2; /* shard 0, every other epoch */
        }
        world_epoch(world);
        check_u64(world->plan.move_count, ==, 0);
        check_int(world->plan.verdict, ==,
                  epoch % 2 == 0 ? WARP_GRAVITY_WAITING : WARP_GRAVITY_EVEN);
    }
    free(world);
}

/* Put shard 0 at so much of the mean. Every sixteenth of its slots has something to do. */
static void world_tilt(struct world *world, double height)
{
    uint32_t slot;

    warp_slotmap_init(&world->owners, world->view.shard_count);
    world_level(world);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        uint32_t n = world->view.shard_count;
        double factor = slot % n == 0 ? height : (n - height) / (n - 1);

        world->masses[slot] =
            slot / n % 16 == 0 ? (uint32_t)(world->masses[slot] * 16 * factor) : 0;
    }
}

WARP_TEST(gravity, begins_above_one_bound_and_goes_on_to_a_lower_one)
{
    struct warp_gravity_settings settings = WARP_GRAVITY_SETTINGS;
    struct world *world;

    settings.moves_max = 1; /* so that it takes many epochs */
    settings.least_step_ppm = 1;
    settings.move_cost = 0;
    world = world_make(4, &settings);
    world_tilt(world, 1.09); /* below the upper bound: never */
    world_epoch(world);
    world_epoch(world);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_EVEN);
    world_tilt(world, 1.11);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_WAITING);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_MOVING);
    world_tilt(world, 1.05); /* between the two: it goes on ... */
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_MOVING);
    world_tilt(world, 1.02); /* ... to the end */
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_EVEN);
    world_tilt(world, 1.05); /* and does not begin again */
    world_epoch(world);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_EVEN);
    free(world);
}

WARP_TEST(gravity, what_is_within_the_noise_is_let_alone)
{
    struct world *world = world_make(4, NULL);
    double deviation = 0.2 * MEAN / sqrt(2 * log(4.0)); /* its maximum of four: 20 % */
    uint32_t i;

    world_tilt(world, 1.5);
    for (i = 0; i < 4; i++) {
        world->view.variance[i] = deviation * deviation;
    }
    world_epoch(world);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_EVEN); /* not above thrice that */
    check_u64(world->plan.shards[0].limit_ppm, >, 599000);
    check_u64(world->plan.shards[0].limit_ppm, <, 601000);
    world_tilt(world, 1.7);
    world_epoch(world);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_MOVING);
    /* It does not chase the noise to the end either. */
    check(world_lambda(world) > 1.1 && world_lambda(world) < 1.25);
    free(world);
}

/* Equal loads, measured by real samplers: no move, however few samples there are. */
WARP_TEST(gravity, a_uniform_load_is_never_moved_by_sampling_noise)
{
    static const uint32_t shard_counts[] = {2, 3, 8, 16, 64};
    static const uint32_t operation_counts[] = {1000, 16000, 200000};
    struct warp_random random;
    uint32_t s, o;

    warp_random_init(&random, test_seed());
    for (s = 0; s < 5; s++) {
        for (o = 0; o < 3; o++) {
            uint32_t n = shard_counts[s];
            struct world *world = world_make(n, NULL);
            struct warp_mass *mass = calloc(1, sizeof(*mass));
            struct warp_mass_cell *cells = calloc(WARP_SLOT_COUNT, sizeof(*cells));
            struct warp_mass_sampler samplers[WARP_SHARD_COUNT_MAX];
            struct warp_mass_sampler *pointers[WARP_SHARD_COUNT_MAX];
            uint32_t epoch, i;
            uint64_t moves = 0;

            if (!check(mass != NULL && cells != NULL)) {
                abort();
            }
            memset(samplers, 0, sizeof(samplers));
            warp_mass_init(mass, cells, sizeof(cells[0]), WARP_MASS_PERIOD, 0);
            for (i = 0; i < n; i++) {
                warp_mass_sampler_init(&samplers[i], i + o);
                pointers[i] = &samplers[i];
            }
            for (epoch = 1; epoch <= (o == 2 ? 12u : 150u); epoch++) {
                for (i = 0; i < operation_counts[o]; i++) {
                    uint32_t slot = (uint32_t)warp_random_below(&random, WARP_SLOT_COUNT);
                    uint32_t shard = warp_slotmap_owner(&world->owners, slot);

                    if (warp_mass_due(mass, &samplers[shard])) {
                        /* Every twentieth is large, and times scatter by half. */
                        bool large = warp_random_chance(&random, 20);
                        uint64_t took = large ? 20000 : 1000;

                        took = took / 2 + warp_random_below(&random, took);
                        warp_mass_add(&samplers[shard], &cells[slot], (int64_t)took,
                                      large ? 65536 : 100, 6000);
                    }
                }
                check(warp_mass_roll_begin(
                    mass, pointers, n, (uint64_t)epoch * operation_counts[o] * 4000 / n));
                while (!warp_mass_roll_step(mass, WARP_SLOT_COUNT)) {
                }
                memcpy(world->masses, mass->masses, sizeof(world->masses));
                for (i = 0; i < n; i++) {
                    world->view.variance[i] = mass->shards[i].variance;
                }
                world_epoch(world);
                moves += world->plan.move_count;
                check(world->plan.verdict != WARP_GRAVITY_IDLE);
            }
            check_u64(moves, ==, 0);
            free(mass);
            free(cells);
            free(world);
        }
    }
}

WARP_TEST(gravity, a_slot_above_the_mean_stays_and_the_others_leave_it)
{
    struct world *world = world_make(8, NULL);
    uint32_t epoch, i;

    world_level(world);
    world->masses[16] = (uint32_t)(MEAN * 3); /* slot 16 is shard 0's */
    for (epoch = 0; epoch < 12; epoch++) {
        world_epoch(world);
        check_u64(warp_slotmap_owner(&world->owners, 16), ==, 0);
    }
    check(world->plan.shards[0].pinned);
    check_u64(world->plan.shards[0].heaviest, ==, 16);
    /* Alone, but for what is not worth a move. */
    check(world->plan.shards[0].height < MEAN * 3 * 1.03);
    check(world->plan.lambda < world->plan.lambda_possible * 1.03);
    for (i = 1; i < 8; i++) {
        check(world->plan.shards[i].height < world->plan.mean_left * 1.04);
        check(world->plan.shards[i].height > world->plan.mean_left * 0.96);
    }
    free(world);
}

WARP_TEST(gravity, of_two_slots_above_the_mean_on_one_shard_one_goes)
{
    struct world *world = world_make(8, NULL);
    uint32_t epoch;

    world_level(world);
    world->masses[16] = (uint32_t)(MEAN * 4);
    world->masses[24] = (uint32_t)(MEAN * 3);
    for (epoch = 0; epoch < 40; epoch++) { /* 256 slots of an even load at a time */
        world_epoch(world);
    }
    check_u64(warp_slotmap_owner(&world->owners, 16), ==, 0);
    check_u64(warp_slotmap_owner(&world->owners, 24), !=, 0);
    check(world->plan.lambda < world->plan.lambda_possible * 1.03);
    free(world);
}

WARP_TEST(gravity, a_moved_slot_rests)
{
    struct world *world = world_make(2, NULL);
    uint32_t epoch, moved_at[2] = {0}, count = 0;

    /* One movable slot, and the weather turns every epoch against where it is. */
    for (epoch = 0; epoch < 40 && count < 2; epoch++) {
        uint32_t owner = warp_slotmap_owner(&world->owners, 2);

        memset(world->masses, 0, sizeof(world->masses));
        world->masses[2] = (uint32_t)(MEAN / 4);
        world->masses[4] = (uint32_t)MEAN;
        world->masses[5] = (uint32_t)MEAN;
        world_own(world, 4, owner);
        world_own(world, 5, owner == 0 ? 1 : 0);
        world->masses[4] += (uint32_t)(MEAN / 2);
        world_epoch(world);
        if (world->plan.move_count > 0 && world->plan.moves[0].slot == 2) {
            moved_at[count++] = epoch;
        } else if (count == 1) {
            check(world->plan.verdict == WARP_GRAVITY_STUCK);
            check_int(world->plan.shards[warp_slotmap_owner(&world->owners, 4)].reason, ==,
                      WARP_GRAVITY_RESTING);
        }
    }
    check_u64(count, ==, 2);
    check_u64(moved_at[1] - moved_at[0], ==, world->gravity.settings.rest_epochs);
    free(world);
}

WARP_TEST(gravity, no_epoch_has_more_moves_than_its_budget)
{
    struct warp_gravity_settings settings = WARP_GRAVITY_SETTINGS;
    struct world *world;
    uint32_t epoch;

    settings.moves_max = 3;
    world = world_make(4, &settings);
    world_tilt(world, 3.0);
    world_epoch(world);
    world_epoch(world);
    check_u64(world->plan.move_count, ==, 3);
    check_int(world->plan.shards[0].reason, ==, WARP_GRAVITY_BUDGET);
    settings.moves_max = UINT32_MAX; /* brought into its bounds */
    warp_gravity_init(&world->gravity, &settings);
    world_tilt(world, 3.0);
    for (epoch = 0; epoch < 3; epoch++) {
        world_epoch(world);
        check_u64(world->plan.move_count, <=, WARP_GRAVITY_MOVES_MAX);
    }
    free(world);
}

WARP_TEST(gravity, a_move_that_costs_more_than_it_earns_is_not_made)
{
    struct warp_gravity_settings settings = WARP_GRAVITY_SETTINGS;
    struct world *world;
    uint32_t slot;

    settings.move_cost = UINT32_MAX;
    world = world_make(4, &settings);
    world_tilt(world, 1.5);
    world_epoch(world);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_STUCK);
    check_int(world->plan.shards[0].reason, ==, WARP_GRAVITY_COST);
    /* Of two that take the same time, the one with fewer bytes goes. */
    settings.move_cost = 0;
    settings.move_cost_kib = 1;
    settings.moves_max = 1;
    settings.bytes_max_ppm = UINT32_MAX;
    warp_gravity_init(&world->gravity, &settings);
    warp_slotmap_init(&world->owners, 4);
    memset(world->masses, 0, sizeof(world->masses));
    for (slot = 0; slot < 4; slot++) {
        world->masses[slot] = (uint32_t)MEAN;
    }
    world->masses[4] = world->masses[8] = world->masses[12] = (uint32_t)(MEAN / 5);
    world->bytes[4] = world->bytes[12] = 400000;
    world->bytes[8] = 4000;
    world_epoch(world);
    world_epoch(world);
    if (check_u64(world->plan.move_count, ==, 1)) {
        check_u64(world->plan.moves[0].slot, ==, 8);
    }
    free(world);
}

WARP_TEST(gravity, a_shard_with_more_than_its_share_of_bytes_gets_no_more)
{
    struct world *world = world_make(4, NULL);
    uint32_t slot, i;

    world_tilt(world, 2.0);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        world->bytes[slot] = slot % 4 == 1 ? 1000 : 100;
    }
    world_epoch(world);
    world_epoch(world);
    check_u64(world->plan.move_count, >, 0);
    for (i = 0; i < world->plan.move_count; i++) {
        check_u64(world->plan.moves[i].to, !=, 1);
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        world->bytes[slot] = slot % 4 == 0 ? 1 : 100000;
    }
    world->gravity.settings.bytes_max_ppm = 1000000;
    world_tilt(world, 2.0);
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_STUCK);
    check_int(world->plan.shards[0].reason, ==, WARP_GRAVITY_NO_TAKER);
    free(world);
}

WARP_TEST(gravity, an_idle_engine_is_let_alone)
{
    struct world *world = world_make(4, NULL);
    uint32_t slot, epoch;

    world_tilt(world, 3.9);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        world->masses[slot] /= 200; /* one per cent of a processor */
    }
    for (epoch = 0; epoch < 5; epoch++) {
        world_epoch(world);
        check_int(world->plan.verdict, ==, WARP_GRAVITY_IDLE);
    }
    memset(world->masses, 0, sizeof(world->masses));
    world_epoch(world);
    check_int(world->plan.verdict, ==, WARP_GRAVITY_IDLE);
    free(world);
}

WARP_TEST(gravity, looking_changes_nothing)
{
    struct world *world = world_make(4, NULL);
    static struct warp_gravity before;
    uint32_t i;

    world_tilt(world, 2.0);
    world_epoch(world);
    before = world->gravity;
    for (i = 0; i < 5; i++) {
        warp_gravity_look(&world->gravity, &world->view, &world->plan);
        check_int(world->plan.verdict, ==, WARP_GRAVITY_MOVING);
        check_u64(world->plan.bad_epochs, ==, 2);
        check_u64(world->gravity.bad_epochs, ==, before.bad_epochs);
        check(world->gravity.active == before.active);
        check_bytes(world->gravity.rests, sizeof(before.rests), before.rests,
                    sizeof(before.rests));
    }
    /* And the same question has the same answer. */
    {
        static struct warp_gravity_plan again;

        warp_gravity_look(&world->gravity, &world->view, &again);
        check_bytes(&again, sizeof(again), &world->plan, sizeof(again));
    }
    free(world);
}

WARP_TEST(gravity, any_input_is_bounded)
{
    static const double odd[] = {0, -1, 1e300, 1e-300, 1e18};
    struct warp_random random;
    uint32_t trial, slot, i;

    warp_random_init(&random, test_seed());
    for (trial = 0; trial < 300; trial++) {
        uint32_t n = 1 + (uint32_t)warp_random_below(&random, WARP_SHARD_COUNT_MAX);
        struct world *world = world_make(n, NULL);
        uint32_t shape = (uint32_t)warp_random_below(&random, 5);
        uint32_t epoch;

        for (i = 0; i < 12; i++) {
            uint32_t *words = (uint32_t *)&world->gravity.settings;

            if (warp_random_chance(&random, 3)) {
                words[i] = (uint32_t)(warp_random_next(&random) >>
                                      (32 + warp_random_below(&random, 32)));
            }
        }
        {
            struct warp_gravity_settings settings = world->gravity.settings;

            warp_gravity_init(&world->gravity, &settings);
        }
        for (epoch = 0; epoch < 6; epoch++) {
            for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
                uint32_t bits = (uint32_t)warp_random_below(&random, 32);

                world->masses[slot] =
                    shape == 0   ? UINT32_MAX
                    : shape == 1 ? (uint32_t)warp_random_next(&random)
                    : shape == 2 ? (uint32_t)warp_random_next(&random) >> bits
                    : shape == 3 ? warp_random_chance(&random, 5000) * UINT32_MAX
                                 : 0;
                world->bytes[slot] = (uint32_t)warp_random_next(&random) >> bits;
                if (warp_random_chance(&random, 50)) {
                    world_own(world, slot, (uint32_t)warp_random_below(&random, 256));
                }
                world->gravity.rests[slot] =
                    (uint8_t)(warp_random_chance(&random, 10) * warp_random_next(&random));
            }
            for (i = 0; i < n; i++) {
                world->view.variance[i] = i % 7 == 5   ? NAN
                                          : i % 7 == 6 ? INFINITY
                                                       : odd[i % 7];
                world->view.capacity_permille[i] =
                    (uint32_t)(warp_random_next(&random) >> (32 + i % 32));
            }
            warp_gravity_epoch(&world->gravity, &world->view, &world->plan);
            check_u64(world->plan.move_count, <=, WARP_GRAVITY_MOVES_MAX);
            for (i = 0; i < world->plan.move_count; i++) {
                const struct warp_gravity_move *move = &world->plan.moves[i];

                check_u64(move->from, <, n);
                check_u64(move->to, <, n);
                check_u64(warp_slotmap_owner(&world->owners, move->slot), ==, move->from);
            }
            for (i = 0;; i++) {
                char text[256];
                size_t bytes = warp_gravity_explain(&world->plan, i, text, sizeof(text));

                if (bytes == 0) {
                    break;
                }
                check_u64(bytes, <, sizeof(text));
                if (!check_u64(i, <=, 1 + WARP_GRAVITY_MOVES_MAX + WARP_SHARD_COUNT_MAX)) {
                    break;
                }
            }
        }
        free(world);
    }
}

WARP_TEST(gravity, says_what_it_does_and_why_it_does_not)
{
    struct world *world = world_make(8, NULL);
    char text[256];
    uint32_t epoch;

    world_level(world);
    world->masses[16] = (uint32_t)(MEAN * 3);
    world_epoch(world);
    world_epoch(world);
    check_u64(warp_gravity_explain(&world->plan, 0, text, sizeof(text)), >, 0);
    check(strstr(text, "uneven, moving") == text);
    check_u64(warp_gravity_explain(&world->plan, 1, text, sizeof(text)), >, 0);
    check(strstr(text, "from shard 0") != NULL);
    check(strstr(text, "slot 16 ") == NULL);
    for (epoch = 0; epoch < 12; epoch++) {
        world_epoch(world);
    }
    world->masses[24] +=
        (uint32_t)(MEAN / 10000); /* nothing worth a move is left with it */
    world->gravity.active = true;
    world->gravity.settings.stop_ppm = 0;
    warp_gravity_look(&world->gravity, &world->view, &world->plan);
    check_u64(
        warp_gravity_explain(&world->plan, 1 + world->plan.move_count, text, sizeof(text)),
        >, 0);
    check(strstr(text, "shard ") == text && strstr(text, ": ") != NULL);
    check_u64(warp_gravity_explain(&world->plan, 1 + world->plan.move_count + 64, text,
                                   sizeof(text)),
              ==, 0);
    free(world);
}
