#include "shards/haul.h"

#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "warp/warp.h"

#define HAUL_CHUNK_BYTES_MIN 1024u
#define HAUL_CHUNK_BYTES_MAX 1048576u
#define HAUL_CAPACITY_MIN    64u
#define HAUL_WAYS            4u /* entries that share a cache line are compared together */

struct warp_haul_chunk {
    struct warp_haul_chunk *next;
    size_t bytes; /* with this header */
    size_t used;
    size_t last; /* used before the last item */
};

void warp_haul_init(struct warp_haul *haul, struct warp_memory *memory, uint64_t bytes_max)
{
    memset(haul, 0, sizeof(*haul));
    haul->memory = memory;
    haul->bytes_max = bytes_max;
    haul->chunk_bytes = bytes_max / 8 < HAUL_CHUNK_BYTES_MIN   ? HAUL_CHUNK_BYTES_MIN
                        : bytes_max / 8 > HAUL_CHUNK_BYTES_MAX ? HAUL_CHUNK_BYTES_MAX
                                                               : (uint32_t)(bytes_max / 8);
}

void warp_haul_fini(struct warp_haul *haul)
{
    warp_haul_clear(haul);
}

void warp_haul_clear(struct warp_haul *haul)
{
    struct warp_haul_chunk *chunk;

    while ((chunk = haul->chunks) != NULL) {
        haul->chunks = chunk->next;
        warp_memory_release(haul->memory, chunk, chunk->bytes);
    }
    warp_memory_release(haul->memory, haul->items, haul->capacity * sizeof(*haul->items));
    haul->items = NULL;
    haul->bytes = 0;
    haul->capacity = haul->count = haul->heap_count = 0;
}

static size_t haul_item_bytes(uint32_t key_bytes, uint32_t value_bytes)
{
    size_t bytes = sizeof(struct warp_haul_item) + key_bytes + value_bytes;

    return (bytes + 15u) & ~(size_t)15;
}

/* May it take so much more? An empty one may: else what is larger than the bound would stay where
 * it is for ever. */
static bool haul_may(const struct warp_haul *haul, uint64_t bytes)
{
    return haul->count == 0 || haul->bytes + bytes <= haul->bytes_max;
}

static int haul_grow_items(struct warp_haul *haul)
{
    uint32_t capacity =
        haul->capacity < HAUL_CAPACITY_MIN ? HAUL_CAPACITY_MIN : haul->capacity * 2;
    struct warp_haul_entry *grown;

    if (haul->count < haul->capacity) {
        return 0;
    }
    if (!haul_may(haul, (uint64_t)(capacity - haul->capacity) * sizeof(*grown))) {
        return WARP_AGAIN;
    }
    grown = warp_memory_reserve(haul->memory, capacity * sizeof(*grown), 0);
    if (grown == NULL) {
        return WARP_ENOMEM;
    }
    if (haul->count > 0) {
        memcpy(grown, haul->items, haul->count * sizeof(*grown));
    }
    warp_memory_release(haul->memory, haul->items, haul->capacity * sizeof(*grown));
    haul->bytes += (uint64_t)(capacity - haul->capacity) * sizeof(*grown);
    haul->items = grown;
    haul->capacity = capacity;
    return 0;
}

static int haul_grow_chunks(struct warp_haul *haul, size_t item_bytes)
{
    size_t bytes = sizeof(struct warp_haul_chunk) + item_bytes;
    struct warp_haul_chunk *chunk = haul->chunks;

    if (chunk != NULL && chunk->bytes - chunk->used >= item_bytes) {
        return 0;
    }
    if (bytes < haul->chunk_bytes) {
        bytes = haul->chunk_bytes;
    }
    if (!haul_may(haul, bytes)) {
        return WARP_AGAIN;
    }
    chunk = warp_memory_reserve(haul->memory, bytes, 0);
    if (chunk == NULL) {
        return WARP_ENOMEM;
    }
    chunk->bytes = bytes;
    chunk->used = chunk->last = (sizeof(*chunk) + 15u) & ~(size_t)15;
    chunk->next = haul->chunks;
    haul->chunks = chunk;
    haul->bytes += bytes;
    return 0;
}

int warp_haul_reserve(struct warp_haul *haul, uint32_t key_bytes, uint32_t value_bytes,
                      struct warp_haul_item **item)
{
    size_t bytes = haul_item_bytes(key_bytes, value_bytes);
    int rc;

    warp_assert(warp_haul_taken_count(haul) == 0);
    rc = haul_grow_items(haul);
    rc = rc == 0 ? haul_grow_chunks(haul, bytes) : rc;
    if (rc != 0) {
        return rc;
    }
    haul->chunks->last = haul->chunks->used;
    *item = (void *)((uint8_t *)haul->chunks + haul->chunks->used);
    haul->chunks->used += bytes;
    memset(*item, 0, sizeof(**item));
    (*item)->key_bytes = key_bytes;
    (*item)->value_bytes = value_bytes;
    return 0;
}

void warp_haul_undo(struct warp_haul *haul, struct warp_haul_item *item)
{
    warp_assert((uint8_t *)item == (uint8_t *)haul->chunks + haul->chunks->last);
    haul->chunks->used = haul->chunks->last;
}

static uint64_t haul_order(const struct warp_haul_item *item)
{
    return (uint64_t)item->slot << 48 | item->hash >> 16;
}

static bool haul_before(const struct warp_haul_entry *a, const struct warp_haul_entry *b)
{
    if (a->order != b->order) {
        return a->order < b->order;
    }
    return a->item->hash != b->item->hash ? a->item->hash < b->item->hash
                                          : a->item->place < b->item->place;
}

static void haul_sink(struct warp_haul *haul, uint32_t at)
{
    struct warp_haul_entry *items = haul->items;
    struct warp_haul_entry entry = items[at];
    uint32_t first, child, end, least;

    for (first = HAUL_WAYS * at + 1; first < haul->heap_count; first = HAUL_WAYS * at + 1) {
        end = haul->heap_count - first < HAUL_WAYS ? haul->heap_count : first + HAUL_WAYS;
        least = first;
        for (child = first + 1; child < end; child++) {
            least = haul_before(&items[child], &items[least]) ? child : least;
        }
        if (!haul_before(&items[least], &entry)) {
            break;
        }
        items[at] = items[least];
        at = least;
    }
    items[at] = entry;
}

static void haul_rise(struct warp_haul *haul, uint32_t at)
{
    struct warp_haul_entry *items = haul->items;
    struct warp_haul_entry entry = items[at];

    while (at > 0 && haul_before(&entry, &items[(at - 1) / HAUL_WAYS])) {
        items[at] = items[(at - 1) / HAUL_WAYS];
        at = (at - 1) / HAUL_WAYS;
    }
    items[at] = entry;
}

void warp_haul_commit(struct warp_haul *haul, struct warp_haul_item *item)
{
    warp_assert(warp_haul_taken_count(haul) == 0);
    warp_assert(haul->count < haul->capacity);
    haul->items[haul->count].order = haul_order(item);
    haul->items[haul->count].item = item;
    haul->count++;
    haul->heap_count++;
    haul_rise(haul, haul->heap_count - 1);
}

struct warp_haul_item *warp_haul_take(struct warp_haul *haul)
{
    struct warp_haul_entry entry;

    if (haul->heap_count == 0) {
        return NULL;
    }
    entry = haul->items[0];
    haul->heap_count--;
    haul->items[0] = haul->items[haul->heap_count];
    haul->items[haul->heap_count] = entry;
    if (haul->heap_count > 0) {
        haul_sink(haul, 0);
        /* The next one that is taken. */
        __builtin_prefetch(haul->items[0].item);
        __builtin_prefetch((const uint8_t *)haul->items[0].item + 64);
    }
    return entry.item;
}

void warp_haul_untake(struct warp_haul *haul)
{
    warp_assert(warp_haul_taken_count(haul) > 0);
    haul->heap_count++;
    haul_rise(haul, haul->heap_count - 1);
}

void warp_haul_drop(struct warp_haul *haul)
{
    haul->count = haul->heap_count;
    if (haul->count == 0) {
        warp_haul_clear(haul);
    }
}
