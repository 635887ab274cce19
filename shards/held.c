#include "shards/held.h"

#include <string.h>

#include "base/assert.h"

static int held_reserve(struct warp_held *held, uint32_t more)
{
    uint32_t capacity = held->capacity == 0 ? 64 : held->capacity;
    struct warp_checkpoint_segment *table;
    uint64_t *segments;

    if (held->segment_count + more <= held->capacity) {
        return 0;
    }
    while (capacity < held->segment_count + more) {
        capacity *= 2;
    }
    segments = warp_memory_reserve(held->memory, capacity * sizeof(*segments), 0);
    table = warp_memory_reserve(held->memory, capacity * sizeof(*table), 0);
    if (segments == NULL || table == NULL) {
        warp_memory_release(held->memory, segments, capacity * sizeof(*segments));
        warp_memory_release(held->memory, table, capacity * sizeof(*table));
        return WARP_ENOMEM;
    }
    if (held->segment_count > 0) {
        memcpy(segments, held->segments, held->segment_count * sizeof(*segments));
    }
    warp_memory_release(held->memory, held->segments,
                        held->capacity * sizeof(*held->segments));
    warp_memory_release(held->memory, held->table, held->capacity * sizeof(*held->table));
    held->segments = segments;
    held->table = table;
    held->capacity = capacity;
    return 0;
}

static void held_insert(struct warp_held *held, uint64_t index)
{
    uint32_t at = held->segment_count;

    warp_assert(at < held->capacity);
    while (at > 0 && held->segments[at - 1] > index) {
        at--;
    }
    if (at > 0 && held->segments[at - 1] == index) {
        return;
    }
    memmove(held->segments + at + 1, held->segments + at,
            (held->segment_count - at) * sizeof(*held->segments));
    held->segments[at] = index;
    held->segment_count++;
}

int warp_held_load(struct warp_held *held, const struct warp_checkpoint *checkpoint)
{
    const struct warp_checkpoint_segment *table = warp_checkpoint_segments(checkpoint);
    uint32_t count = warp_checkpoint_summary(checkpoint)->segment_count;
    uint32_t i;

    if (held_reserve(held, count) < 0) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < count; i++) {
        held_insert(held, table[i].index);
    }
    return 0;
}

int warp_held_extend(struct warp_held *held, uint64_t from, uint64_t to)
{
    if (held->segment_count > 0 && from <= held->segments[held->segment_count - 1]) {
        from = held->segments[held->segment_count - 1] + 1;
    }
    if (from >= to) {
        return 0;
    }
    if (held_reserve(held, (uint32_t)(to - from)) < 0) {
        return WARP_ENOMEM;
    }
    for (; from < to; from++) {
        held->segments[held->segment_count++] = from;
    }
    return 0;
}

const struct warp_checkpoint_segment *warp_held_table(struct warp_held *held,
                                                      uint32_t segment_bytes)
{
    uint32_t i;

    for (i = 0; i < held->segment_count; i++) {
        held->table[i].index = held->segments[i];
        held->table[i].straddle_from = held->segments[i] * segment_bytes;
        held->table[i].bytes = segment_bytes;
    }
    return held->table;
}

void warp_held_fini(struct warp_held *held)
{
    warp_memory_release(held->memory, held->segments,
                        held->capacity * sizeof(*held->segments));
    warp_memory_release(held->memory, held->table, held->capacity * sizeof(*held->table));
    held->segments = NULL;
    held->table = NULL;
    held->segment_count = held->capacity = 0;
}
