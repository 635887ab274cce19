#include "routing/mass.h"

#include "base/assert.h"
#include "base/counter.h"

/* Operations until a shard looks again whether it is to measure. */
#define MASS_REST 64u

void warp_mass_set_period(struct warp_mass *mass, uint32_t period)
{
    warp_assert(period <= WARP_MASS_PERIOD_MAX);
    atomic_store_explicit(&mass->period, period, memory_order_relaxed);
}

void warp_mass_init(struct warp_mass *mass, struct warp_mass_cell *cells, size_t stride,
                    uint32_t period, uint64_t now_ticks)
{
    mass->cells = cells;
    mass->stride = stride;
    warp_mass_set_period(mass, period);
    mass->rolled_ticks = now_ticks;
    mass->at = WARP_SLOT_COUNT;
}

void warp_mass_sampler_init(struct warp_mass_sampler *sampler, uint32_t seed)
{
    sampler->dice = seed * 2654435761u + 1u;
}

bool warp_mass_draw(const struct warp_mass *mass, struct warp_mass_sampler *sampler)
{
    uint32_t period = atomic_load_explicit(&mass->period, memory_order_relaxed);
    uint32_t gaps;

    if (period == 0) {
        sampler->countdown = MASS_REST - 1;
        return false;
    }
    /* A gap between 0 and 2 (period - 1), each as likely: period - 1 in the mean, and this one.
     * The upper bits of a linear congruential generator are good enough for that. */
    sampler->dice = sampler->dice * 1664525u + 1013904223u;
    gaps = 2 * (period - 1) + 1;
    sampler->countdown = (uint32_t)((uint64_t)sampler->dice * gaps >> 32);
    return true;
}

static uint32_t mass_class(uint64_t bytes)
{
    uint64_t lines = bytes >> 6;
    uint32_t class = lines == 0 ? 0 : 64u - (uint32_t)__builtin_clzll(lines);

    return class < WARP_MASS_CLASSES ? class : WARP_MASS_CLASSES - 1;
}

void warp_mass_add(struct warp_mass_sampler *sampler, struct warp_mass_cell *cell,
                   int64_t ticks, uint64_t operation_bytes, uint64_t slot_bytes)
{
    uint64_t *usual = &sampler->usual[mass_class(operation_bytes)];
    uint64_t units = slot_bytes / WARP_MASS_BYTES;
    uint64_t took = ticks > 0 ? (uint64_t)ticks : 1;

    atomic_store_explicit(&cell->bytes, units < UINT32_MAX ? (uint32_t)units : UINT32_MAX,
                          memory_order_relaxed);
    if (WARP_PLANTED(MASS_COUNTS)) {
        took = 1;
    }
    if (took > UINT32_MAX / 8) {
        took = UINT32_MAX / 8;
    }
    if (WARP_UNLIKELY(*usual == 0)) {
        /* The first of its class says what is usual; whether it was, nobody can say. */
        *usual = 8 * took;
        return;
    }
    if (WARP_UNLIKELY(took > *usual)) {
        took = *usual;
        warp_counter_add(&sampler->clipped, 1);
    }
    *usual +=
        took - *usual / 8; /* what was clipped doubles it, so it follows a real change */
    warp_counter_add(&sampler->samples, 1);
    warp_counter_add(&sampler->ticks, took);
    warp_counter_add(&sampler->squares, took * took);
    atomic_store_explicit(&cell->ticks,
                          atomic_load_explicit(&cell->ticks, memory_order_relaxed) +
                              (uint32_t)took,
                          memory_order_relaxed);
}

void warp_mass_restart(struct warp_mass *mass, uint64_t now_ticks)
{
    uint32_t slot;

    mass->rolled_ticks = now_ticks;
    mass->at = WARP_SLOT_COUNT;
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        mass->seen[slot] =
            atomic_load_explicit(&warp_mass_cell(mass, slot)->ticks, memory_order_relaxed);
    }
}

bool warp_mass_roll_begin(struct warp_mass *mass, struct warp_mass_sampler *const *samplers,
                          uint32_t shard_count, uint64_t now_ticks)
{
    uint32_t period = atomic_load_explicit(&mass->period, memory_order_relaxed);
    uint32_t shard;

    warp_assert(mass->at == WARP_SLOT_COUNT);
    warp_assert(shard_count <= WARP_SHARD_COUNT_MAX);
    if (now_ticks <= mass->rolled_ticks) {
        return false;
    }
    mass->scale =
        (double)period * WARP_MASS_UNIT / (double)(now_ticks - mass->rolled_ticks);
    mass->rolled_ticks = now_ticks;
    mass->at = 0;
    for (shard = 0; shard < shard_count; shard++) {
        struct warp_mass_shard *one = &mass->shards[shard];
        uint64_t samples = warp_counter_read(&samplers[shard]->samples);
        uint64_t ticks = warp_counter_read(&samplers[shard]->ticks);
        uint64_t squares = warp_counter_read(&samplers[shard]->squares);

        one->epoch_samples = samples - one->samples;
        /* Half of the new and half of the old: of a variance, a quarter. */
        one->variance =
            ((double)(squares - one->squares) * mass->scale * mass->scale + one->variance) /
            4;
        one->samples = samples;
        one->ticks = ticks;
        one->squares = squares;
    }
    return true;
}

bool warp_mass_roll_step(struct warp_mass *mass, uint32_t most)
{
    uint32_t end = most < WARP_SLOT_COUNT - mass->at ? mass->at + most : WARP_SLOT_COUNT;

    for (; mass->at < end; mass->at++) {
        uint32_t ticks = atomic_load_explicit(&warp_mass_cell(mass, mass->at)->ticks,
                                              memory_order_relaxed);
        double fresh = (double)(ticks - mass->seen[mass->at]) * mass->scale;
        double now = (fresh + (double)mass->masses[mass->at]) / 2;

        mass->seen[mass->at] = ticks;
        mass->masses[mass->at] = now < (double)UINT32_MAX ? (uint32_t)now : UINT32_MAX;
    }
    return mass->at == WARP_SLOT_COUNT;
}
