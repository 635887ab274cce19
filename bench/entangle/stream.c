#include "bench/entangle/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/keys.h"

#define STREAM_REQUESTS_MAX (UINT64_C(1) << 30)
#define STREAM_OBJECTS_MAX  (1u << 28)
#define STREAM_COMMON       16u /* an object that several have is had by so many, about */

static int stream_add(struct entangle_stream *stream, uint64_t *room, uint32_t id)
{
    if (stream->count == *room) {
        uint64_t more = *room == 0 ? 65536 : *room * 2;
        uint32_t *ids =
            more > STREAM_REQUESTS_MAX ? NULL : realloc(stream->ids, more * sizeof(*ids));

        if (ids == NULL) {
            return -1;
        }
        stream->ids = ids;
        *room = more;
    }
    stream->ids[stream->count++] = id;
    stream->objects = id >= stream->objects ? id + 1 : stream->objects;
    return 0;
}

/* How many objects an aggregate has: from half to one and a half times as many as usual. */
static uint32_t graph_size(const struct entangle_graph *graph, uint32_t aggregate)
{
    uint64_t dice = bench_mix(graph->seed ^ (uint64_t)aggregate << 32);

    return graph->objects / 2 + (uint32_t)(dice % (graph->objects + 1));
}

/* Which one the i-th of an aggregate is. `first` is the first of its own. */
static uint32_t graph_object(const struct entangle_graph *graph, uint32_t aggregate,
                             uint32_t i, uint32_t own, uint32_t first)
{
    uint64_t dice = bench_mix(bench_mix(graph->seed + aggregate) + i);
    uint32_t common = 1 + (uint32_t)((double)own * graph->shared / (double)STREAM_COMMON);

    if ((double)(dice >> 11) * 0x1.0p-53 < graph->shared) {
        return own + (uint32_t)(bench_mix(dice) % common);
    }
    return first + i;
}

int entangle_stream_graph(struct entangle_stream *stream,
                          const struct entangle_graph *graph, const char **why)
{
    struct bench_random random;
    struct bench_zipf zipf;
    uint64_t room = 0, visit;
    uint32_t *firsts = malloc((graph->aggregates + 1u) * sizeof(*firsts));
    uint32_t own = 0, i;

    memset(stream, 0, sizeof(*stream));
    *why = "no memory";
    if (firsts == NULL) {
        return -1;
    }
    for (i = 0; i < graph->aggregates; i++) {
        firsts[i] = own;
        own += graph_size(graph, i);
    }
    bench_random_init(&random, graph->seed, 0);
    bench_zipf_init(&zipf, graph->aggregates, graph->theta);
    for (visit = 0; visit < graph->visits; visit++) {
        uint32_t aggregate = (uint32_t)bench_zipf_next(&zipf, &random);
        uint32_t size = graph_size(graph, aggregate);

        for (i = 0; i < size; i++) {
            if (bench_random_unit(&random) >= graph->left_out &&
                stream_add(stream, &room,
                           graph_object(graph, aggregate, i, own, firsts[aggregate])) < 0) {
                free(firsts);
                return -1;
            }
        }
    }
    free(firsts);
    *why = "no requests";
    return stream->count > 0 ? 0 : -1;
}

int entangle_stream_trace(struct entangle_stream *stream, const char *path,
                          const char **why)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    uint64_t room = 0;
    uint8_t bytes[4];
    int rc = 0;

    memset(stream, 0, sizeof(*stream));
    if (file == NULL) {
        *why = "it cannot be read";
        return -1;
    }
    *why = "too many requests";
    while (rc == 0 && fread(bytes, sizeof(bytes), 1, file) == 1) {
        uint32_t id = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                      (uint32_t)bytes[3] << 24;

        if (id >= STREAM_OBJECTS_MAX) {
            *why = "it has no dense ids: is it compressed?";
            rc = -1;
        } else {
            rc = stream_add(stream, &room, id);
        }
    }
    if (file != stdin) {
        (void)fclose(file);
    }
    if (rc == 0 && stream->count == 0) {
        *why = "there is nothing in it";
        rc = -1;
    }
    return rc;
}

void entangle_stream_shuffle(struct entangle_stream *stream, uint64_t seed)
{
    struct bench_random random;
    uint64_t i;

    bench_random_init(&random, seed, 1);
    for (i = stream->count; i > 1; i--) {
        uint64_t other = bench_random_below(&random, i);
        uint32_t id = stream->ids[other];

        stream->ids[other] = stream->ids[i - 1];
        stream->ids[i - 1] = id;
    }
}

void entangle_stream_fini(struct entangle_stream *stream)
{
    free(stream->ids);
    memset(stream, 0, sizeof(*stream));
}
