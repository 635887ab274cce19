/*
 * bench/manycore/stream.h - which slot the next request of a many-core run is for.
 *
 * A stream is a set of keys with a popularity each, drawn in constant time (A. J. Walker, "An
 * efficient method for generating discrete random variables with general distributions", ACM TOMS
 * 3(3), 1977), or a recorded trace, played over and over. Every key is a real one (bench/keys) and
 * lies in the slot that the engine's own hash gives it. Because the popularity is known, the true
 * weight of every slot is too, and what was measured can be held against it.
 *
 * Threads:   one at a time.
 * Lifetime:  create and destroy are a pair.
 * Units:     slots; popularity as shares of 1.
 * Ordering:  none.
 * Errors:    create returns -1 with a sentence in `why`: no memory, no file, a file that is no trace.
 * Cost:      next about 20 ns (two cache misses); shift and create a pass over all keys.
 */
#ifndef BENCH_MANYCORE_STREAM_H
#define BENCH_MANYCORE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/keys.h"
#include "warp/warp.h"

enum manycore_kind {
    MANYCORE_UNIFORM,
    MANYCORE_ZIPF,    /* any theta > 0; rank r has weight r^-theta */
    MANYCORE_HOTSPOT, /* some slots that lay on one shard get a share of their own */
    MANYCORE_TRACE,   /* of 32-bit little-endian numbers, one per request */
};

struct manycore_stream_config {
    enum manycore_kind kind;
    uint32_t records;     /* keys; of a trace: as many as it has */
    double theta;         /* of a zipf */
    const char *trace;    /* file, "-" is standard input */
    uint32_t hot_slots;   /* of a hotspot */
    double hot_share;     /* of its requests that go to them */
    uint32_t shard_count; /* of a hotspot: slot % shard_count was its shard */
    uint64_t seed;
};

struct manycore_stream {
    struct manycore_stream_config config;
    uint32_t items;
    uint16_t *slots;     /* of each item */
    double *weights;     /* of each item; they sum up to 1 */
    uint32_t *ranks;     /* of each item, by weight, 0 is the most popular */
    uint32_t *alias;     /* where to go instead ... */
    uint32_t *threshold; /* ... if the die shows this or more, of 2^32 */
    uint32_t *requests;  /* of a trace */
    uint64_t request_count, at;
    uint32_t generation;
    struct bench_random random;
};

int manycore_stream_create(struct manycore_stream **stream,
                           const struct manycore_stream_config *config, const char **why);
void manycore_stream_destroy(struct manycore_stream **stream);

/* Other keys are popular from now on: as many, with the same popularity. A trace has no other. */
void manycore_stream_shift(struct manycore_stream *stream);

/* The item that is asked for next; its slot and its rank are in the arrays. */
static inline uint32_t manycore_stream_next(struct manycore_stream *stream)
{
    uint64_t die;
    uint32_t item;

    if (stream->requests != NULL) {
        item = stream->requests[stream->at++];
        if (stream->at == stream->request_count) {
            stream->at = 0;
        }
        return item;
    }
    die = bench_random_next(&stream->random);
    item = (uint32_t)((die >> 32) * stream->items >> 32);
    return (uint32_t)die < stream->threshold[item] ? item : stream->alias[item];
}

#endif
