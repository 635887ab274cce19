#include "shards/limbo.h"

#include <stddef.h>

#include "base/counter.h"

#define LIMBO_HOMECOMERS_PER_CALL 256u
#define LIMBO_BAGS_PER_CALL       2u

struct limbo_item {
    void *memory;
    uint64_t bytes; /* 0: a record, which knows its own size */
};

struct warp_limbo_bag {
    struct warp_epoch_entry entry; /* first: the bag is found from it */
    struct warp_limbo_bag *next;
    uint32_t count;
    struct limbo_item items[WARP_LIMBO_BAG_ITEMS];
};

static void limbo_count(struct warp_limbo *limbo)
{
    atomic_store_explicit(&limbo->pinned_items, limbo->pinned_count, memory_order_relaxed);
}

/* Room for all records of all bags at once, so that keeping a pinned one cannot fail; looked at
 * before every retirement, because each bag may come round again. */
static int limbo_grow_pinned(struct warp_limbo *limbo, uint32_t capacity)
{
    struct warp_record **grown;
    uint32_t i;

    if (capacity <= limbo->pinned_capacity) {
        return 0;
    }
    capacity += capacity / 2;
    grown = warp_memory_reserve(limbo->memory, capacity * sizeof(*grown), 0);
    if (grown == NULL) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < limbo->pinned_count; i++) {
        grown[i] = limbo->pinned[i];
    }
    warp_memory_release(limbo->memory, limbo->pinned,
                        limbo->pinned_capacity * sizeof(*grown));
    limbo->pinned = grown;
    limbo->pinned_capacity = capacity;
    return 0;
}

static struct warp_limbo_bag *limbo_take_spare(struct warp_limbo *limbo)
{
    struct warp_limbo_bag *bag = limbo->spare;

    warp_assert(bag != NULL); /* warp_limbo_reserve came before */
    limbo->spare = bag->next;
    limbo->spare_count--;
    bag->next = NULL;
    return bag;
}

static void limbo_release(struct warp_limbo *limbo, void *memory, size_t bytes)
{
    struct warp_slab_pool *home;

    warp_assert(limbo->pending_bytes >= warp_slab_round(bytes));
    limbo->pending_bytes -= warp_slab_round(bytes);
    home = warp_slab_try_release(&limbo->pool, memory, bytes);
    if (WARP_UNLIKELY(home != &limbo->pool)) {
        struct warp_limbo *other =
            (struct warp_limbo *)((char *)home - offsetof(struct warp_limbo, pool));

        limbo->charge_bytes -= (int64_t)warp_slab_round(bytes);
        if (warp_slab_send_back(home, memory, bytes) && other->homecoming != NULL) {
            other->homecoming(other);
        }
    }
}

static void limbo_release_record(struct warp_limbo *limbo, struct warp_record *record)
{
    limbo_release(limbo, record, warp_record_bytes_of(record));
}

/* Its grace has passed. A reader that stayed long lets go of many bags at once, and whoever asks next
 * must not pay for all of them. */
static void limbo_reclaim(struct warp_epoch_entry *entry, void *context)
{
    struct warp_limbo_bag *bag = (struct warp_limbo_bag *)entry;
    struct warp_limbo *limbo = context;

    bag->next = limbo->ripe;
    limbo->ripe = bag;
}

static void limbo_give_back(struct warp_limbo *limbo, struct warp_limbo_bag *bag)
{
    uint32_t i;

    for (i = 0; i < bag->count; i++) {
        struct limbo_item *item = &bag->items[i];

        if (item->bytes != 0) {
            limbo_release(limbo, item->memory, item->bytes);
        } else if (warp_record_pinned(item->memory)) {
            warp_assert(limbo->pinned_count < limbo->pinned_capacity);
            limbo->pinned[limbo->pinned_count++] = item->memory;
        } else {
            limbo_release_record(limbo, item->memory);
        }
    }
    warp_counter_add(&limbo->released_items, bag->count);
    bag->count = 0;
    bag->next = limbo->spare;
    limbo->spare = bag;
    limbo->spare_count++;
}

static void limbo_poll(struct warp_limbo *limbo, uint32_t bags)
{
    struct warp_limbo_bag *bag;

    (void)warp_epoch_poll(limbo->record);
    for (; bags > 0 && (bag = limbo->ripe) != NULL; bags--) {
        limbo->ripe = bag->next;
        limbo_give_back(limbo, bag);
    }
}

static void limbo_close(struct warp_limbo *limbo)
{
    struct warp_limbo_bag *bag = limbo->open;

    limbo->open = NULL;
    if (bag != NULL) {
        warp_epoch_retire(limbo->record, &bag->entry, limbo_reclaim, limbo);
    }
}

static void limbo_retire(struct warp_limbo *limbo, void *memory, uint64_t bytes)
{
    struct warp_limbo_bag *bag = limbo->open;

    if (bag == NULL || bag->count == WARP_LIMBO_BAG_ITEMS) {
        limbo_close(limbo);
        limbo_poll(limbo, LIMBO_BAGS_PER_CALL);
        limbo_count(limbo);
        bag = limbo_take_spare(limbo);
        limbo->open = bag;
    }
    bag->items[bag->count].memory = memory;
    bag->items[bag->count].bytes = bytes;
    bag->count++;
    warp_counter_add(&limbo->pending_items, 1);
}

int warp_limbo_init(struct warp_limbo *limbo, struct warp_memory *memory,
                    struct warp_epoch *epoch, bool huge_pages)
{
    int rc;

    limbo->memory = memory;
    rc = warp_slab_pool_init(&limbo->pool, memory, huge_pages);
    if (rc < 0) {
        return rc;
    }
    rc = warp_epoch_register(epoch, &limbo->record);
    if (rc < 0) {
        warp_slab_pool_fini(&limbo->pool);
        return rc;
    }
    return 0;
}

void warp_limbo_empty(struct warp_limbo *limbo)
{
    limbo_close(limbo);
    warp_epoch_barrier(limbo->record);
    limbo_poll(limbo, UINT32_MAX);
}

void warp_limbo_fini(struct warp_limbo *limbo)
{
    struct warp_limbo_bag *bag;

    warp_limbo_empty(limbo);
    while ((bag = limbo->spare) != NULL) {
        limbo->spare = bag->next;
        warp_memory_release(limbo->memory, bag, sizeof(*bag));
    }
    warp_epoch_unregister(&limbo->record);
    warp_memory_release(limbo->memory, limbo->pinned,
                        limbo->pinned_capacity * sizeof(*limbo->pinned));
    warp_slab_pool_fini(&limbo->pool);
}

void warp_limbo_alone(struct warp_limbo *limbo, bool alone)
{
    warp_assert(limbo->open == NULL && limbo->pinned_count == 0);
    limbo->alone = alone;
}

int warp_limbo_reserve(struct warp_limbo *limbo, uint32_t items)
{
    uint32_t have = limbo->open == NULL ? 0 : WARP_LIMBO_BAG_ITEMS - limbo->open->count;

    if (limbo_grow_pinned(limbo, limbo->pinned_count +
                                     (limbo->bag_count + 1) * WARP_LIMBO_BAG_ITEMS) < 0) {
        return WARP_ENOMEM;
    }
    while (WARP_UNLIKELY(
        (uint64_t)have + (uint64_t)limbo->spare_count * WARP_LIMBO_BAG_ITEMS < items)) {
        struct warp_limbo_bag *bag = limbo->ripe;

        if (bag != NULL) {
            limbo->ripe = bag->next;
            limbo_give_back(limbo, bag); /* what is pinned in it stays */
        } else {
            bag = warp_memory_reserve(limbo->memory, sizeof(*bag), 0);
            if (bag == NULL) {
                return WARP_ENOMEM;
            }
            limbo->bag_count++;
            bag->next = limbo->spare;
            limbo->spare = bag;
            limbo->spare_count++;
        }
        if (limbo_grow_pinned(limbo, limbo->pinned_count + (limbo->bag_count + 1) *
                                                               WARP_LIMBO_BAG_ITEMS) < 0) {
            return WARP_ENOMEM;
        }
    }
    return 0;
}

/* Nobody waits for it. */
static void limbo_release_now(struct warp_limbo *limbo, void *memory, size_t bytes)
{
    warp_slab_release(&limbo->pool, memory, bytes);
    warp_counter_add(&limbo->pending_items, 1);
    warp_counter_add(&limbo->released_items, 1);
}

void warp_limbo_retire_record(struct warp_limbo *limbo, struct warp_record *record)
{
    if (limbo->alone) {
        warp_assert(!warp_record_pinned(record));
        limbo_release_now(limbo, record, warp_record_bytes_of(record));
        return;
    }
    limbo->pending_bytes += warp_slab_round(warp_record_bytes_of(record));
    limbo_retire(limbo, record, 0);
}

void warp_limbo_retire_memory(struct warp_limbo *limbo, void *memory, size_t bytes)
{
    warp_assert(bytes > 0);
    if (limbo->alone) {
        limbo_release_now(limbo, memory, bytes);
        return;
    }
    limbo->pending_bytes += warp_slab_round(bytes);
    limbo_retire(limbo, memory, bytes);
}

static bool limbo_collect(struct warp_limbo *limbo, bool close, uint32_t bags)
{
    uint32_t i = 0;

    if (close && limbo->open != NULL && limbo->open->count > 0) {
        limbo_close(limbo);
    }
    limbo_poll(limbo, bags);
    if (WARP_UNLIKELY(warp_slab_has_sent(&limbo->pool))) {
        limbo->charge_bytes +=
            (int64_t)warp_slab_take_back(&limbo->pool, LIMBO_HOMECOMERS_PER_CALL);
    }
    while (i < limbo->pinned_count) {
        struct warp_record *record = limbo->pinned[i];

        if (warp_record_pinned(record)) {
            i++;
        } else {
            limbo->pinned[i] = limbo->pinned[--limbo->pinned_count];
            limbo_release_record(limbo, record);
        }
    }
    limbo_count(limbo);
    return limbo->pinned_count > 0 || limbo->open != NULL || limbo->ripe != NULL ||
           warp_epoch_pending(limbo->record) > 0 || warp_slab_has_sent(&limbo->pool);
}

bool warp_limbo_collect(struct warp_limbo *limbo, bool close)
{
    return limbo_collect(limbo, close, UINT32_MAX);
}

bool warp_limbo_collect_some(struct warp_limbo *limbo)
{
    /* A bag for each thing or two would be many bags while a reader stays. */
    bool close = limbo->open != NULL && limbo->open->count >= WARP_LIMBO_BAG_ITEMS / 2;

    return limbo_collect(limbo, close, LIMBO_BAGS_PER_CALL);
}
