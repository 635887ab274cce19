/*
 * What weighing costs whoever holds a lease, and what an epoch costs whoever runs it; one thread,
 * nothing contended. Each line is the best of seven runs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "routing/gravity.h"
#include "routing/mass.h"

#define RUNS   7
#define ROUNDS 4000000u
#define SHARDS 2u

struct stage {
    struct warp_mass mass;
    struct warp_mass_cell cells[WARP_SLOT_COUNT];
    struct warp_mass_sampler samplers[SHARDS];
    struct warp_slotmap owners;
    struct warp_gravity gravity;
    struct warp_gravity_view view;
    struct warp_gravity_plan plan;
    uint16_t slots[65536];
};

/* Keeps a result alive without storing it anywhere. */
static inline void keep(uint64_t value)
{
    __asm__ __volatile__("" : : "r"(value) : "memory");
}

static double best(double *least, double ns)
{
    *least = *least == 0 || ns < *least ? ns : *least;
    return *least;
}

static double stage_serve(struct stage *stage, bool weigh)
{
    const struct warp_clock *clock = warp_clock_system();
    struct warp_mass_sampler *sampler = &stage->samplers[0];
    uint64_t begin_ns = warp_clock_ns(clock);
    uint32_t i;

    for (i = 0; i < ROUNDS; i++) {
        uint32_t slot = stage->slots[i % 65536];

        keep(slot);
        if (weigh && warp_mass_due(&stage->mass, sampler)) {
            uint64_t begun = warp_clock_ticks(clock);

            keep(begun);
            warp_mass_add(sampler, &stage->cells[slot],
                          (int64_t)(warp_clock_ticks(clock) - begun), 116, 6400);
        }
    }
    return (double)(warp_clock_ns(clock) - begin_ns) / ROUNDS;
}

static double stage_ticks(void)
{
    const struct warp_clock *clock = warp_clock_system();
    uint64_t begin_ns = warp_clock_ns(clock);
    uint32_t i;

    for (i = 0; i < ROUNDS / 4; i++) {
        keep(warp_clock_ticks(clock));
    }
    return (double)(warp_clock_ns(clock) - begin_ns) / (ROUNDS / 4);
}

static double stage_roll(struct stage *stage, uint64_t now)
{
    struct warp_mass_sampler *samplers[SHARDS] = {&stage->samplers[0], &stage->samplers[1]};
    const struct warp_clock *clock = warp_clock_system();
    uint64_t begin_ns = warp_clock_ns(clock);

    (void)warp_mass_roll_begin(&stage->mass, samplers, SHARDS, now);
    while (!warp_mass_roll_step(&stage->mass, 1024)) {
    }
    return (double)(warp_clock_ns(clock) - begin_ns) / 1e3;
}

static double stage_plan(struct stage *stage)
{
    const struct warp_clock *clock = warp_clock_system();
    uint64_t begin_ns = warp_clock_ns(clock);

    warp_gravity_look(&stage->gravity, &stage->view, &stage->plan);
    return (double)(warp_clock_ns(clock) - begin_ns) / 1e3;
}

int main(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    double least[6] = {0};
    struct warp_random random;
    uint32_t i, slot;
    int run;

    if (stage == NULL) {
        return 1;
    }
    warp_random_init(&random, 1);
    for (i = 0; i < 65536; i++) {
        stage->slots[i] = (uint16_t)warp_random_below(&random, WARP_SLOT_COUNT);
    }
    warp_mass_init(&stage->mass, stage->cells, sizeof(stage->cells[0]), 0, 0);
    warp_slotmap_init(&stage->owners, SHARDS);
    warp_gravity_init(&stage->gravity, NULL);
    stage->view.shard_count = SHARDS;
    stage->view.masses = stage->mass.masses;
    stage->view.owners = &stage->owners;
    for (run = 0; run < RUNS; run++) {
        best(&least[0], stage_serve(stage, false));
        warp_mass_set_period(&stage->mass, 0);
        best(&least[1], stage_serve(stage, true));
        warp_mass_set_period(&stage->mass, WARP_MASS_PERIOD);
        best(&least[2], stage_serve(stage, true));
        best(&least[3], stage_ticks());
        best(&least[4], stage_roll(stage, 1000000 + (uint64_t)run));
        for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
            stage->mass.masses[slot] = 60000;
        }
        best(&least[5], stage_plan(stage));
    }
    printf("weighing switched off      %6.2f ns per operation\n", least[1] - least[0]);
    printf("one operation in 32   %6.2f ns per operation\n", least[2] - least[0]);
    printf("one look at the counter    %6.2f ns\n", least[3]);
    printf("rolling an epoch           %6.1f us\n", least[4]);
    printf("a plan without moves       %6.1f us\n", least[5]);
    least[0] = 0;
    for (run = 0; run < RUNS; run++) {
        for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
            stage->mass.masses[slot] = (slot % SHARDS == 0 ? 80000u : 40000u) +
                                       (uint32_t)warp_random_below(&random, 9999);
        }
        stage->gravity.bad_epochs = 9;
        best(&least[0], stage_plan(stage));
    }
    printf("a plan with %3u moves      %6.1f us\n", (unsigned int)stage->plan.move_count,
           least[0]);
    free(stage);
    return 0;
}
