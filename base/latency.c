#include "base/latency.h"

#include "base/counter.h"

/* As in base/histogram, with fewer steps. */
static inline uint32_t latency_bucket(uint64_t ns)
{
    uint32_t power;

    if (ns < WARP_LATENCY_STEPS) {
        return (uint32_t)ns;
    }
    power = 63 - (uint32_t)__builtin_clzll(ns);
    return (power - WARP_LATENCY_STEP_BITS + 1) * WARP_LATENCY_STEPS +
           (uint32_t)((ns >> (power - WARP_LATENCY_STEP_BITS)) & (WARP_LATENCY_STEPS - 1));
}

static uint64_t latency_bucket_ns(uint32_t index)
{
    uint32_t row = index / WARP_LATENCY_STEPS;
    uint64_t step = index % WARP_LATENCY_STEPS;

    return row == 0 ? step : ((WARP_LATENCY_STEPS + step + 1) << (row - 1)) - 1;
}

static uint32_t latency_dice(struct warp_latency *latency)
{
    /* Marsaglia, "Xorshift RNGs", J. Stat. Softw. 8(14), 2003. */
    latency->dice ^= latency->dice << 13;
    latency->dice ^= latency->dice >> 17;
    latency->dice ^= latency->dice << 5;
    return latency->dice;
}

/* From 1 to twice the mean less 1, each as likely as the others. */
static void latency_next(struct warp_latency *latency)
{
    uint64_t choices = 2 * (uint64_t)latency->mean - 1;

    latency->gap = 1 + (uint32_t)(latency_dice(latency) * choices >> 32);
    latency->countdown = latency->gap;
}

void warp_latency_init(struct warp_latency *latency, enum warp_latency_mode mode,
                       uint32_t seed)
{
    latency->mode = mode;
    latency->dice = seed * UINT32_C(2654435769) | 1;
    latency->mean = 1; /* the first one, whatever it takes */
    latency_next(latency);
}

bool warp_latency_draw(struct warp_latency *latency)
{
    if (latency->mode == WARP_LATENCY_OFF) {
        latency->countdown = UINT32_MAX;
        return false;
    }
    latency->weight = latency->gap;
    latency_next(latency); /* should this one never be added */
    return true;
}

void warp_latency_add(struct warp_latency *latency, uint64_t ns)
{
    uint64_t mean = WARP_LATENCY_SAMPLE_NS * WARP_LATENCY_SHARE / (ns + 1);
    uint32_t weight = latency->weight;

    ns = ns < WARP_LATENCY_NS_MAX ? ns : WARP_LATENCY_NS_MAX;
    warp_counter_add(&latency->buckets[latency_bucket(ns)], weight);
    warp_counter_add(&latency->samples, 1);
    warp_counter_add(&latency->sum, ns * weight);
    if (ns > warp_counter_read(&latency->max)) {
        warp_counter_set(&latency->max, ns);
    }
    latency->mean = latency->mode == WARP_LATENCY_ALL || mean == 0 ? 1
                    : mean > WARP_LATENCY_GAP_MAX                  ? WARP_LATENCY_GAP_MAX
                                                                   : (uint32_t)mean;
    latency_next(latency);
}

void warp_latency_merge(struct warp_histogram *into, const struct warp_latency *from)
{
    uint64_t sum = warp_histogram_sum(into) + warp_counter_read(&from->sum);
    uint64_t max = warp_counter_read(&from->max);
    uint32_t index;

    max = max > warp_histogram_max(into) ? max : warp_histogram_max(into);
    for (index = 0; index < WARP_LATENCY_BUCKETS; index++) {
        uint64_t count = warp_counter_read(&from->buckets[index]);

        if (count > 0) {
            warp_histogram_add_many(into, latency_bucket_ns(index), count);
        }
    }
    /* Which are known better than by buckets. */
    warp_counter_set(&into->sum, sum);
    warp_counter_set(&into->max, max);
}
