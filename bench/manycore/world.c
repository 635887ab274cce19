#include "bench/manycore/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int world_move(void *context, uint32_t slot, uint32_t from, uint32_t to)
{
    struct manycore_world *world = context;

    (void)from;
    atomic_store_explicit(&world->owners.owners[slot], (uint8_t)to, memory_order_relaxed);
    warp_clock_fake_advance(&world->clock, world->config.move_ns);
    world->moves++;
    return 0;
}

static uint32_t world_top(const struct manycore_world *world)
{
    double n = world->config.shard_count;

    switch (world->config.bypass) {
    case MANYCORE_BYPASS_NONE:
        return 0;
    case MANYCORE_BYPASS_TOP:
        return n < 2 ? 8 : (uint32_t)(8 * n * log2(n));
    case MANYCORE_BYPASS_READS:
        return UINT32_MAX;
    }
    return 0;
}

void manycore_world_reweigh(struct manycore_world *world)
{
    const struct manycore_stream *stream = world->stream;
    double writes = 1 - world->config.read_permille / 1000.0;
    uint32_t i;

    memset(world->slot_weights, 0, sizeof(world->slot_weights));
    for (i = 0; i < stream->items; i++) {
        world->slot_weights[stream->slots[i]] +=
            stream->weights[i] * (stream->ranks[i] < world->top ? writes : 1);
    }
}

struct manycore_truth manycore_world_truth(const struct manycore_world *world)
{
    double loads[WARP_SHARD_COUNT_MAX] = {0};
    double most = 0, sum = 0, heaviest = 0, mean;
    struct manycore_truth truth;
    uint32_t slot, i;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        double weight = world->slot_weights[slot];

        loads[warp_slotmap_owner(&world->owners, slot)] += weight;
        heaviest = weight > heaviest ? weight : heaviest;
        sum += weight;
    }
    for (i = 0; i < world->config.shard_count; i++) {
        most = loads[i] > most ? loads[i] : most;
    }
    mean = sum / world->config.shard_count;
    truth.lambda = most / mean;
    truth.capacity = 1 / most;
    truth.possible = heaviest > mean ? heaviest / mean : 1;
    return truth;
}

int manycore_world_create(struct manycore_world **world,
                          const struct manycore_config *config,
                          struct manycore_stream *stream)
{
    struct manycore_world *made = calloc(1, sizeof(*made));
    struct warp_mass_sampler *samplers[WARP_SHARD_COUNT_MAX];
    struct warp_rebalance_config rebalance = {0};
    uint32_t i;

    if (made == NULL) {
        return -1;
    }
    made->config = *config;
    made->stream = stream;
    made->top = world_top(made);
    made->service_ns = (uint32_t)(MANYCORE_EPOCH_NS / 1000 * config->busy_permille /
                                  config->epoch_operations);
    made->service_ns += made->service_ns == 0;
    bench_random_init(&made->random, config->seed, 2);
    warp_clock_fake_init(&made->clock, MANYCORE_EPOCH_NS, 0);
    warp_slotmap_init(&made->owners, config->shard_count);
    warp_mass_init(&made->mass, made->cells, sizeof(made->cells[0]), 0,
                   warp_clock_ticks(&made->clock.clock));
    for (i = 0; i < config->shard_count; i++) {
        warp_mass_sampler_init(&made->samplers[i], (uint32_t)config->seed + i);
        samplers[i] = &made->samplers[i];
    }
    rebalance.mass = &made->mass;
    rebalance.owners = &made->owners;
    rebalance.samplers = samplers;
    rebalance.shard_count = config->shard_count;
    rebalance.clock = &made->clock.clock;
    rebalance.epoch_ns = MANYCORE_EPOCH_NS;
    rebalance.period = config->period;
    rebalance.mover.move = world_move;
    rebalance.mover.context = made;
    warp_rebalance_init(&made->rebalance, &rebalance);
    warp_rebalance_set_mode(&made->rebalance,
                            config->gravity ? WARP_REBALANCE_ON : WARP_REBALANCE_WATCH);
    manycore_world_reweigh(made);
    *world = made;
    return 0;
}

void manycore_world_destroy(struct manycore_world **world)
{
    free(*world);
    *world = NULL;
}

/* What the engine does at its owner: the operation, and now and then a sample of it. */
static void world_serve(struct manycore_world *world, uint32_t slot)
{
    uint32_t owner = warp_slotmap_owner(&world->owners, slot);
    struct warp_mass_sampler *sampler = &world->samplers[owner];

    world->loads[owner] += world->service_ns;
    if (warp_mass_due(&world->mass, sampler)) {
        /* No two take equally long: between a half and one and a half times as long. */
        uint64_t took = world->service_ns / 2 +
                        bench_random_below(&world->random, world->service_ns + 1);

        warp_mass_add(sampler, &world->cells[slot], (int64_t)took, 100, 6400);
    }
}

void manycore_world_epoch(struct manycore_world *world)
{
    const struct manycore_stream *stream = world->stream;
    uint64_t count = (uint64_t)world->config.epoch_operations * world->config.shard_count;
    uint64_t now_ns, due_ns = 0;
    uint32_t i;

    memset(world->loads, 0, sizeof(world->loads));
    world->moves = 0;
    now_ns = warp_clock_ns(&world->clock.clock);
    if (world->rebalance.due_ns == 0) { /* the first epoch begins now */
        (void)warp_rebalance_turn(&world->rebalance, now_ns, &due_ns);
    } else {
        due_ns = world->rebalance.due_ns;
    }
    while (count > 0) {
        uint32_t item = manycore_stream_next(world->stream);

        /* Where all reads go past, one request in so many is a write: play those alone. */
        if (world->config.bypass == MANYCORE_BYPASS_TOP &&
            stream->ranks[item] < world->top &&
            bench_random_below(&world->random, 1000) < world->config.read_permille) {
            continue;
        }
        world_serve(world, stream->slots[item]);
        count--;
    }
    for (i = 0; i < world->config.shard_count; i++) {
        world->loads[i] /= (double)MANYCORE_EPOCH_NS;
    }
    warp_clock_fake_advance(&world->clock, due_ns > now_ns ? due_ns - now_ns : 0);
    while (warp_rebalance_turn(&world->rebalance, warp_clock_ns(&world->clock.clock),
                               &due_ns)) {
    }
}
