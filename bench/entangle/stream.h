/*
 * bench/entangle/stream.h - the keys that are asked for in a run of `warp bench entangle`, in their order.
 *
 * Either a recorded trace, or visits to the objects of a graph: an aggregate has its own objects, and
 * some that it has in common with others; a visit asks for them in their order and now and then leaves
 * one out; which aggregate is visited next has nothing to do with the last one, but some are more
 * popular than others. Shuffling keeps how often each key is asked for and nothing else.
 *
 * Threads:   one at a time.
 * Lifetime:  made and fini are a pair; also after an error fini is allowed.
 * Units:     keys are dense ids from 0.
 * Ordering:  none.
 * Errors:    -1 with a sentence in `why`.
 * Cost:      4 bytes a request.
 */
#ifndef BENCH_ENTANGLE_STREAM_H
#define BENCH_ENTANGLE_STREAM_H

#include <stdint.h>

struct entangle_stream {
    uint32_t *ids;
    uint64_t count;
    uint32_t objects; /* different ones */
};

struct entangle_graph {
    uint32_t aggregates;
    uint32_t objects; /* of one, in the mean; at least 2 */
    uint64_t visits;
    double theta;    /* of their popularity, above 0 and below 1 */
    double shared;   /* part of the objects that belong to several */
    double left_out; /* how often an object is */
    uint64_t seed;
};

int entangle_stream_graph(struct entangle_stream *stream,
                          const struct entangle_graph *graph, const char **why);
/* 32-bit little-endian numbers, one per request; "-" is standard input. */
int entangle_stream_trace(struct entangle_stream *stream, const char *path,
                          const char **why);
/* The same requests in any order. */
void entangle_stream_shuffle(struct entangle_stream *stream, uint64_t seed);
void entangle_stream_fini(struct entangle_stream *stream);

#endif
