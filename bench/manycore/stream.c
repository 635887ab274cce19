#include "bench/manycore/stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define STREAM_KEY_BYTES    16u
#define STREAM_REQUESTS_MAX (UINT64_C(1) << 28)
#define STREAM_ITEMS_MAX    (1u << 28)

/* The slot of a key of this generation. */
static uint16_t stream_slot(uint64_t id)
{
    uint8_t key[STREAM_KEY_BYTES];

    bench_key_encode(BENCH_KEY_SCATTERED, id, key, sizeof(key));
    return (uint16_t)warp_hash_slot(key, sizeof(key));
}

/* Hot ones first: slots whose first owner was the shard whose turn it is. The rest goes to all. */
static void stream_place_hotspot(struct manycore_stream *stream)
{
    const struct manycore_stream_config *config = &stream->config;
    uint32_t shard = stream->generation % config->shard_count;
    uint32_t lap = stream->generation / config->shard_count;
    uint32_t per_shard = WARP_SLOT_COUNT / config->shard_count;
    uint32_t i;

    for (i = 0; i < config->hot_slots; i++) {
        uint32_t nth = (lap * config->hot_slots + i) % per_shard;

        stream->slots[i] = (uint16_t)(shard + nth * config->shard_count);
    }
    for (; i < stream->items; i++) {
        stream->slots[i] = (uint16_t)((i - config->hot_slots) % WARP_SLOT_COUNT);
    }
}

static void stream_place(struct manycore_stream *stream)
{
    uint64_t first = (uint64_t)stream->generation * stream->items +
                     bench_mix(stream->config.seed) % 1000003;
    uint32_t i;

    if (stream->config.kind == MANYCORE_HOTSPOT) {
        stream_place_hotspot(stream);
        return;
    }
    for (i = 0; i < stream->items; i++) {
        stream->slots[i] = stream_slot(first + i);
    }
}

void manycore_stream_shift(struct manycore_stream *stream)
{
    if (stream->requests == NULL) {
        stream->generation++;
        stream_place(stream);
    }
}

static void stream_weigh(struct manycore_stream *stream)
{
    const struct manycore_stream_config *config = &stream->config;
    double sum = 0;
    uint32_t i;

    for (i = stream->items; i-- > 0;) { /* the small ones first */
        double weight = 1;

        if (config->kind == MANYCORE_ZIPF) {
            weight = pow(i + 1.0, -config->theta);
        } else if (config->kind == MANYCORE_HOTSPOT) {
            weight = i < config->hot_slots
                         ? config->hot_share / config->hot_slots
                         : (1 - config->hot_share) / (stream->items - config->hot_slots);
        }
        stream->weights[i] = weight;
        stream->ranks[i] = i;
        sum += weight;
    }
    for (i = 0; i < stream->items; i++) {
        stream->weights[i] /= sum;
    }
}

/* Pair every item that has less than its part with one that has more. */
static int stream_pair(struct manycore_stream *stream)
{
    uint32_t *order = malloc(stream->items * sizeof(*order));
    double *rest = malloc(stream->items * sizeof(*rest));
    uint32_t small = 0, large = stream->items, i;

    if (order == NULL || rest == NULL) {
        free(order);
        free(rest);
        return -1;
    }
    for (i = 0; i < stream->items; i++) {
        rest[i] = stream->weights[i] * stream->items;
        if (rest[i] < 1) {
            order[small++] = i;
        } else {
            order[--large] = i;
        }
    }
    while (small > 0 && large < stream->items) {
        uint32_t low = order[--small];
        uint32_t high = order[large];

        stream->threshold[low] = (uint32_t)(rest[low] * 4294967295.0);
        stream->alias[low] = high;
        rest[high] -= 1 - rest[low];
        if (rest[high] < 1) {
            large++;
            order[small++] = high;
        }
    }
    while (small-- > 0) {
        stream->alias[order[small]] = order[small];
        stream->threshold[order[small]] = UINT32_MAX;
    }
    for (; large < stream->items; large++) {
        stream->alias[order[large]] = order[large];
        stream->threshold[order[large]] = UINT32_MAX;
    }
    free(order);
    free(rest);
    return 0;
}

/* All requests of a trace; items gets the largest number and one. */
static int stream_read(struct manycore_stream *stream, const char **why)
{
    bool standard = strcmp(stream->config.trace, "-") == 0;
    FILE *file = standard ? stdin : fopen(stream->config.trace, "rb");
    uint64_t capacity = 0;
    uint8_t word[4];
    size_t got = 0;

    if (file == NULL) {
        *why = "the trace cannot be opened";
        return -1;
    }
    while ((got = fread(word, 1, sizeof(word), file)) == sizeof(word)) {
        uint32_t item = word[0] | (uint32_t)word[1] << 8 | (uint32_t)word[2] << 16 |
                        (uint32_t)word[3] << 24;

        if (item >= STREAM_ITEMS_MAX || stream->request_count == STREAM_REQUESTS_MAX) {
            got = 1; /* compressed still, or not a trace at all */
            break;
        }
        if (stream->request_count == capacity) {
            uint32_t *larger;

            capacity = capacity == 0 ? 65536 : capacity * 2;
            larger = realloc(stream->requests, capacity * sizeof(*larger));
            if (larger == NULL) {
                break;
            }
            stream->requests = larger;
        }
        stream->requests[stream->request_count++] = item;
        stream->items = item >= stream->items ? item + 1 : stream->items;
    }
    *why = got == sizeof(word) ? "no memory for the trace"
           : got != 0          ? "not a trace: 32-bit little-endian numbers below 2^28"
           : stream->request_count == 0 || ferror(file) ? "the trace is empty"
                                                        : NULL;
    if (!standard) {
        fclose(file);
    }
    return *why == NULL ? 0 : -1;
}

struct stream_count {
    uint32_t item;
    uint32_t requests;
};

static int stream_compare(const void *a, const void *b)
{
    const struct stream_count *left = a, *right = b;

    if (left->requests != right->requests) {
        return left->requests < right->requests ? 1 : -1;
    }
    return left->item < right->item ? -1 : left->item > right->item;
}

/* A trace's popularity is what it turns out to be. */
static int stream_count(struct manycore_stream *stream)
{
    struct stream_count *counts = calloc(stream->items, sizeof(*counts));
    uint64_t at;
    uint32_t i;

    if (counts == NULL) {
        return -1;
    }
    for (i = 0; i < stream->items; i++) {
        counts[i].item = i;
    }
    for (at = 0; at < stream->request_count; at++) {
        counts[stream->requests[at]].requests++;
    }
    for (i = 0; i < stream->items; i++) {
        stream->weights[i] = (double)counts[i].requests / (double)stream->request_count;
    }
    qsort(counts, stream->items, sizeof(*counts), stream_compare);
    for (i = 0; i < stream->items; i++) {
        stream->ranks[counts[i].item] = i;
    }
    free(counts);
    return 0;
}

static int stream_fill(struct manycore_stream *stream, const char **why)
{
    const struct manycore_stream_config *config = &stream->config;
    bool is_trace = config->kind == MANYCORE_TRACE;

    *why = "no memory for the keys";
    stream->items = config->records;
    if (config->kind == MANYCORE_HOTSPOT) {
        stream->items = config->hot_slots + WARP_SLOT_COUNT;
    }
    if (is_trace) {
        stream->items = 0;
        if (stream_read(stream, why) < 0) {
            return -1;
        }
        *why = "no memory for the keys";
    }
    stream->slots = malloc(stream->items * sizeof(*stream->slots));
    stream->weights = malloc(stream->items * sizeof(*stream->weights));
    stream->ranks = malloc(stream->items * sizeof(*stream->ranks));
    if (stream->slots == NULL || stream->weights == NULL || stream->ranks == NULL) {
        return -1;
    }
    stream_place(stream);
    if (is_trace) {
        return stream_count(stream);
    }
    stream->alias = malloc(stream->items * sizeof(*stream->alias));
    stream->threshold = malloc(stream->items * sizeof(*stream->threshold));
    if (stream->alias == NULL || stream->threshold == NULL) {
        return -1;
    }
    stream_weigh(stream);
    return stream_pair(stream);
}

int manycore_stream_create(struct manycore_stream **stream,
                           const struct manycore_stream_config *config, const char **why)
{
    struct manycore_stream *made = calloc(1, sizeof(*made));

    if (made == NULL) {
        *why = "no memory";
        return -1;
    }
    made->config = *config;
    bench_random_init(&made->random, config->seed, 1);
    if (stream_fill(made, why) < 0) {
        manycore_stream_destroy(&made);
        return -1;
    }
    *stream = made;
    return 0;
}

void manycore_stream_destroy(struct manycore_stream **stream)
{
    struct manycore_stream *one = *stream;

    free(one->slots);
    free(one->weights);
    free(one->ranks);
    free(one->alias);
    free(one->threshold);
    free(one->requests);
    free(one);
    *stream = NULL;
}
