#include "shards/walk.h"

#include <string.h>

#include "shards/put.h"

#define WALK_RECORDS_FIRST 256u

static int walk_grow(struct warp_walk *walk)
{
    struct warp_memory *memory = walk->store->memory;
    size_t capacity = walk->capacity == 0 ? WALK_RECORDS_FIRST : walk->capacity * 2;

    warp_memory_release(memory, walk->records, walk->capacity * sizeof(*walk->records));
    walk->capacity = 0;
    walk->records = warp_memory_reserve(memory, capacity * sizeof(*walk->records), 0);
    if (walk->records == NULL) {
        return WARP_ENOMEM;
    }
    walk->capacity = capacity;
    return 0;
}

static int walk_take(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct warp_walk *walk = context;

    (void)place;
    if (walk->count == walk->capacity) {
        return WARP_AGAIN;
    }
    if (warp_record_is_expired(walk->store, record)) {
        return 0;
    }
    if (!warp_record_pin(record)) {
        /* 255 borrowers hold it already: a copy, marked by the lowest bit of its address. */
        size_t bytes = warp_record_bytes_of(record);
        struct warp_record *copy = warp_memory_reserve(walk->store->memory, bytes, 0);

        if (copy == NULL) {
            return WARP_ENOMEM;
        }
        memcpy(copy, record, bytes);
        record = (struct warp_record *)((uintptr_t)copy | 1);
    }
    walk->records[walk->count++] = record;
    return 0;
}

void warp_walk_drop(struct warp_walk *walk)
{
    while (walk->count > 0) {
        struct warp_record *record = walk->records[--walk->count];

        if (((uintptr_t)record & 1) == 0) {
            warp_record_unpin(record);
        } else {
            record = warp_walk_record(walk, walk->count);
            warp_memory_release(walk->store->memory, record, warp_record_bytes_of(record));
        }
    }
    if (walk->held) {
        walk->held = false;
        warp_coldread_leave(&walk->store->gate, walk->generation);
    }
}

void warp_walk_fini(struct warp_walk *walk)
{
    warp_assert(!walk->held);
    warp_memory_release(walk->store->memory, walk->records,
                        walk->capacity * sizeof(*walk->records));
    walk->records = NULL;
    walk->capacity = 0;
}

static bool walk_is_directory(const struct warp_store *store, uint32_t slot)
{
    return (atomic_load_explicit(&store->words[slot], memory_order_acquire) &
            WARP_WORD_DIRECTORY) != 0;
}

/* With its owner's lease, if the slot's table may be split meanwhile. */
int warp_walk_slot(struct warp_walk *walk, struct warp_epoch_record *record, uint32_t slot)
{
    struct warp_store *store = walk->store;

    warp_assert(!walk->held);
    if (atomic_load_explicit(&store->words[slot], memory_order_relaxed) == 0) {
        return 0;
    }
    for (;;) {
        bool huge = walk_is_directory(store, slot);
        struct warp_shard *shard = warp_store_owner(store, slot);
        int rc = WARP_CONFLICT;

        if (huge) {
            warp_shard_enter_surely(shard);
        } else {
            warp_epoch_enter(record);
        }
        walk->generation = warp_coldread_enter(&store->gate);
        walk->held = true;
        if (huge ? warp_store_owner(store, slot) == shard
                 : !walk_is_directory(store, slot)) {
            rc = warp_table_walk(&store->words[slot], walk_take, walk);
        }
        if (huge) {
            warp_shard_leave(shard);
        } else {
            warp_epoch_leave(record);
        }
        if (rc == 0) {
            return 0;
        }
        warp_walk_drop(walk);
        if (rc == WARP_AGAIN) {
            rc = walk_grow(walk);
        }
        if (rc < 0) {
            return rc;
        }
    }
}
