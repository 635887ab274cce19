/*
 * The happy path: a miss asks `admits`, then makes room, then admits; a hit is none of our
 * business. Making room takes entries from the heads of the queues, one look each, and
 * moves or evicts what they stand for. An entry is 14 bits of slot in the middle of 50 bits
 * of hash:
 *
 *      63          48 47          34 33                            0
 *     +--------------+--------------+-------------------------------+
 *     | hash, tag    | slot         | hash                          |
 *     +--------------+--------------+-------------------------------+
 *
 * What can go wrong is that entry and record do not agree, for records go, come back, and
 * change without telling. An entry counts only if its record is in memory and says that it
 * is in the very queue that the entry was found in. A key that was deleted and put again
 * has two entries though, and both may seem good. Evicting by the older one is early but
 * harmless, for bytes are counted by what the record says, never by entries. But a key that
 * is deleted and put for ever would fill the queue. So a pass goes from the youngest to the
 * oldest entry and recolours: each record it finds gets a new code for the same queue, and
 * an entry whose record has the new code already is a duplicate. New ones get the new code
 * at once. When the pass is over no record has the old code, which is the spare one for the
 * next pass. Three codes do for two queues, and two bits of a record for all.
 *
 *   code        of the records whose entries were not read yet: what the head expects
 *   code_push   of those that were, or came later
 *
 * Both are equal when there is no pass. There is at most one pass at a time.
 *
 * How the policies use the two queues:
 *
 *   S3FIFO   small, main
 *   FIFO     main alone
 *   CLOCK    main alone; the hand is its head
 *   SIEVE    small is what lies before the hand, main what the hand has passed. The hand at
 *            the newest begins again: the two change places
 *   LRU      small is a third of the bytes, for what is new or was read on its way out; all
 *            of it moves on to main with no hits. Who is read there goes back to small, who
 *            is not goes. So what leaves was idle for its time in main at least, and in
 *            both at most: the active and inactive lists of page caches
 */
#include "cache/horizon.h"

#include <assert.h>
#include <stddef.h>

#include "base/assert.h"
#include "warp/warp.h"

#define HORIZON_SLOT_SHIFT    34u
#define HORIZON_OBJECTS_SMALL 32u  /* the small queue has room for so many */
#define HORIZON_STALE_SLACK   508u /* two chunks: a short queue is not worth a pass */
#define HORIZON_PASS_ENTRIES  8u /* per admit and forget, beside one per look of an evict */
#define HORIZON_SPARES        4u /* chunks: one to admit with, the others to move to */
#define HORIZON_SPARES_KEPT   1u /* the one to admit with */

static_assert(WARP_SLOT_COUNT == 1u << 14, "a slot fits where the mask has room for it");
static_assert(WARP_HORIZON_OTHER == 3, "codes fit two bits of a record");

struct horizon_refusal {
    uint64_t entry;
    uint8_t code;
};

static inline uint64_t horizon_entry(uint32_t slot, uint64_t hash)
{
    warp_assert(slot < WARP_SLOT_COUNT);
    return (hash & WARP_HORIZON_HASH_MASK) | (uint64_t)slot << HORIZON_SLOT_SHIFT;
}

static bool horizon_look(struct warp_horizon *horizon, uint64_t entry,
                         struct warp_horizon_item *item)
{
    bool found = horizon->ops->look(
        horizon->context, (uint32_t)(entry >> HORIZON_SLOT_SHIFT) & (WARP_SLOT_COUNT - 1),
        entry & WARP_HORIZON_HASH_MASK, item);

    if (found) {
        warp_assert(item->hits <= WARP_HORIZON_HITS_MAX);
        warp_assert(item->queue <= WARP_HORIZON_OTHER);
    }
    return found;
}

/* ---- accounting ---------------------------------------------------------------------- */

static void horizon_publish(struct warp_horizon *horizon)
{
    struct warp_horizon_metrics *metrics = &horizon->metrics;

    warp_counter_set(&metrics->bytes, horizon->small.bytes + horizon->main.bytes);
    warp_counter_set(&metrics->live, horizon->small.live + horizon->main.live);
    warp_counter_set(&metrics->entries,
                     horizon->small.fifo.entries + horizon->main.fifo.entries);
    warp_counter_set(&metrics->memory_bytes,
                     horizon->pool.bytes + warp_ghost_memory_bytes(&horizon->ghost));
    atomic_store_explicit(
        &horizon->main_codes,
        (uint8_t)(1u << horizon->main.code | 1u << horizon->main.code_push),
        memory_order_relaxed);
}

static struct warp_horizon_fifo *horizon_queue(struct warp_horizon *horizon, uint8_t code)
{
    bool small = code == horizon->small.code || code == horizon->small.code_push;

    return small ? &horizon->small : &horizon->main;
}

static void horizon_count(struct warp_horizon_fifo *queue, uint64_t bytes)
{
    queue->bytes += bytes;
    queue->live++;
}

/*
 * Of two records that share slot and hash a pass may recolour one twice and the other
 * never, whose code then means the wrong queue. What one queue has not got is taken from
 * the other: the sum is right always, and asserted.
 */
static void horizon_uncount_bytes(struct warp_horizon *horizon,
                                  struct warp_horizon_fifo *queue, uint64_t bytes)
{
    struct warp_horizon_fifo *other =
        queue == &horizon->small ? &horizon->main : &horizon->small;
    uint64_t here = bytes < queue->bytes ? bytes : queue->bytes;

    queue->bytes -= here;
    warp_assert(other->bytes >= bytes - here);
    other->bytes -= bytes - here;
}

static void horizon_uncount(struct warp_horizon *horizon, struct warp_horizon_fifo *queue,
                            uint64_t bytes)
{
    struct warp_horizon_fifo *other =
        queue == &horizon->small ? &horizon->main : &horizon->small;

    horizon_uncount_bytes(horizon, queue, bytes);
    if (queue->live > 0) {
        queue->live--;
    } else {
        warp_assert(other->live > 0);
        other->live--;
    }
}

/* In 1/256 bytes; never 0. */
static uint64_t horizon_average(const struct warp_horizon *horizon)
{
    uint64_t live = horizon->small.live + horizon->main.live;
    uint64_t average =
        live == 0 ? 0 : (horizon->small.bytes + horizon->main.bytes) * 256 / live;

    return average == 0 ? 1 : average;
}

/* A tenth of the budget, but 32 average values and then at most half. */
static uint64_t horizon_small_target(const struct warp_horizon *horizon)
{
    uint64_t target = horizon->budget_bytes / 10;
    uint64_t floor = HORIZON_OBJECTS_SMALL * horizon_average(horizon) / 256;

    if (horizon->policy == WARP_HORIZON_LRU) {
        return horizon->budget_bytes / 3;
    }
    if (floor > horizon->budget_bytes / 2) {
        floor = horizon->budget_bytes / 2;
    }
    return target < floor ? floor : target;
}

/* As many keys as nine tenths of the budget hold average values. */
static uint64_t horizon_ghost_capacity(const struct warp_horizon *horizon)
{
    return horizon->budget_bytes * 9 / 10 * 256 / horizon_average(horizon);
}

/* ---- the pass ------------------------------------------------------------------------ */

/* The last entry was read or popped: no record has the old code any more. */
static void horizon_pass_check_end(struct warp_horizon *horizon,
                                   struct warp_horizon_fifo *queue)
{
    if (queue->code != queue->code_push && !queue->fifo.passing) {
        horizon->code_spare = queue->code;
        queue->code = queue->code_push;
    }
}

static bool horizon_pass_due(const struct warp_horizon_fifo *queue)
{
    return queue->fifo.entries > 2 * queue->live + HORIZON_STALE_SLACK;
}

/* The queue with the pass that is under way, or that is begun because it is due; or NULL.
 * */
static struct warp_horizon_fifo *horizon_pass_queue(struct warp_horizon *horizon)
{
    struct warp_horizon_fifo *queue;

    if (horizon->code_spare == WARP_HORIZON_NONE) {
        return horizon->small.fifo.passing ? &horizon->small : &horizon->main;
    }
    if (horizon_pass_due(&horizon->small)) {
        queue = &horizon->small;
    } else if (horizon_pass_due(&horizon->main)) {
        queue = &horizon->main;
    } else {
        return NULL;
    }
    queue->code_push = horizon->code_spare;
    horizon->code_spare = WARP_HORIZON_NONE;
    warp_fifo_pass_begin(&queue->fifo);
    warp_counter_add(&horizon->metrics.passes, 1);
    return queue;
}

static void horizon_pass_entry(struct warp_horizon *horizon,
                               struct warp_horizon_fifo *queue)
{
    uint64_t entry = warp_fifo_pass_read(&queue->fifo, &horizon->pool);
    struct warp_horizon_item item;
    bool keep = horizon_look(horizon, entry, &item) && item.queue == queue->code;

    if (keep) {
        horizon->ops->set(horizon->context, &item, item.hits, queue->code_push);
    } else {
        warp_counter_add(&horizon->metrics.stale, 1);
    }
    warp_fifo_pass_decide(&queue->fifo, &horizon->pool, entry, keep);
    horizon_pass_check_end(horizon, queue);
}

/* Some work on the pass, if there is one or should be. */
static void horizon_pass(struct warp_horizon *horizon, uint64_t entries)
{
    for (; entries > 0; entries--) {
        struct warp_horizon_fifo *queue = horizon_pass_queue(horizon);

        if (queue == NULL) {
            break;
        }
        horizon_pass_entry(horizon, queue);
    }
    warp_fifo_settle(&horizon->small.fifo, &horizon->pool);
    warp_fifo_settle(&horizon->main.fifo, &horizon->pool);
}

/* ---- life ---------------------------------------------------------------------------- */

static void horizon_queue_init(struct warp_horizon_fifo *queue, uint8_t code)
{
    warp_fifo_init(&queue->fifo);
    queue->bytes = 0;
    queue->live = 0;
    queue->code = code;
    queue->code_push = code;
}

int warp_horizon_init(struct warp_horizon *horizon, struct warp_memory *memory,
                      enum warp_horizon_policy policy, uint64_t budget_bytes,
                      uint64_t entries_ghost_max, const struct warp_horizon_ops *ops,
                      void *context)
{
    int rc;

    warp_assert(ops->look != NULL && ops->set != NULL && ops->evict != NULL);
    horizon->ops = ops;
    horizon->context = context;
    horizon->policy = policy;
    warp_horizon_set_budget(horizon, budget_bytes);
    horizon_queue_init(&horizon->small, WARP_HORIZON_SMALL);
    horizon_queue_init(&horizon->main, WARP_HORIZON_MAIN);
    horizon->code_spare = WARP_HORIZON_OTHER;
    horizon->claim = 0;
    horizon->claimed = false;
#define HORIZON_ZERO(name, kind, unit, help) atomic_init(&horizon->metrics.name, 0);
    WARP_HORIZON_METRICS(HORIZON_ZERO)
#undef HORIZON_ZERO
    warp_fifo_pool_init(&horizon->pool, memory, HORIZON_SPARES);
    rc = warp_ghost_init(&horizon->ghost, memory,
                         policy == WARP_HORIZON_S3FIFO ? entries_ghost_max : 0);
    if (rc < 0) {
        return rc;
    }
    rc = warp_fifo_pool_reserve(&horizon->pool, HORIZON_SPARES);
    if (rc < 0) {
        warp_fifo_pool_fini(&horizon->pool);
        warp_ghost_fini(&horizon->ghost);
        return rc;
    }
    horizon_publish(horizon);
    return 0;
}

void warp_horizon_fini(struct warp_horizon *horizon)
{
    warp_fifo_fini(&horizon->small.fifo, &horizon->pool);
    warp_fifo_fini(&horizon->main.fifo, &horizon->pool);
    warp_fifo_pool_fini(&horizon->pool);
    warp_ghost_fini(&horizon->ghost);
}

int warp_horizon_reserve(struct warp_horizon *horizon, uint32_t count)
{
    /* One chunk is enough for the promise of one, whichever queue it will be; of many, each queue
     * may have one that is not full. */
    uint32_t needed = HORIZON_SPARES_KEPT;
    int rc;

    if (count > 1) {
        needed += 1 + count / WARP_FIFO_CHUNK_ENTRIES;
    }
    rc = warp_fifo_pool_reserve(&horizon->pool, needed + HORIZON_SPARES - 1);
    return horizon->pool.spare_count >= needed ? 0 : rc;
}

void warp_horizon_set_budget(struct warp_horizon *horizon, uint64_t budget_bytes)
{
    horizon->budget_bytes = budget_bytes < WARP_HORIZON_BUDGET_BYTES_MAX
                                ? budget_bytes
                                : WARP_HORIZON_BUDGET_BYTES_MAX;
}

/* ---- coming in, changing, going ------------------------------------------------------ */

static bool horizon_ghost_take(struct warp_horizon *horizon, uint64_t entry)
{
    if (!warp_ghost_take(&horizon->ghost, entry)) {
        return false;
    }
    warp_counter_add(&horizon->metrics.ghost_hits, 1);
    return true;
}

bool warp_horizon_admits(struct warp_horizon *horizon, uint32_t slot, uint64_t hash,
                         uint64_t bytes)
{
    uint64_t entry = horizon_entry(slot, hash);

    if (horizon->policy != WARP_HORIZON_S3FIFO) {
        return true;
    }
    horizon->claimed = horizon_ghost_take(horizon, entry);
    horizon->claim = entry;
    if (horizon->claimed || bytes <= horizon->budget_bytes / WARP_HORIZON_BIG_DIVISOR) {
        return true;
    }
    warp_ghost_put(&horizon->ghost, entry, horizon_ghost_capacity(horizon));
    warp_counter_add(&horizon->metrics.passed_by, 1);
    return false;
}

/* Whether what comes in goes to main. */
static bool horizon_known(struct warp_horizon *horizon, uint64_t entry)
{
    bool claimed = horizon->claimed && horizon->claim == entry;

    switch (horizon->policy) {
    case WARP_HORIZON_S3FIFO:
        horizon->claimed = false;
        return claimed || horizon_ghost_take(horizon, entry);
    case WARP_HORIZON_FIFO:
    case WARP_HORIZON_CLOCK:
        return true;
    case WARP_HORIZON_LRU:
    case WARP_HORIZON_SIEVE:
        return false;
    }
    warp_assert(false);
    return false;
}

uint8_t warp_horizon_admit(struct warp_horizon *horizon, uint32_t slot, uint64_t hash,
                           uint64_t bytes)
{
    uint64_t entry = horizon_entry(slot, hash);
    struct warp_horizon_fifo *queue = &horizon->small;

    /* Before the entry is in: its record is not to be found with it yet. */
    horizon_pass(horizon, HORIZON_PASS_ENTRIES);
    if (horizon_known(horizon, entry)) {
        queue = &horizon->main;
        warp_counter_add(&horizon->metrics.admissions_main, 1);
    } else {
        warp_counter_add(&horizon->metrics.admissions_small, 1);
    }
    warp_fifo_push(&queue->fifo, &horizon->pool, entry);
    horizon_count(queue, bytes);
    horizon_publish(horizon);
    return queue->code_push;
}

uint8_t warp_horizon_standing(const struct warp_horizon *horizon, uint8_t queue,
                              uint8_t hits)
{
    warp_assert(queue <= WARP_HORIZON_OTHER && hits <= WARP_HORIZON_HITS_MAX);
    if (horizon->policy != WARP_HORIZON_S3FIFO) {
        return hits;
    }
    if ((atomic_load_explicit(&horizon->main_codes, memory_order_relaxed) >> queue & 1) !=
        0) {
        return (uint8_t)(hits < WARP_HORIZON_HITS_MAX ? hits + 1 : hits);
    }
    return hits >= 2; /* it would move to main */
}

bool warp_horizon_readmits(const struct warp_horizon *horizon, uint64_t bytes,
                           uint8_t standing)
{
    uint64_t excess = warp_horizon_excess(horizon, bytes);
    uint64_t target = horizon_small_target(horizon);

    if (excess == 0) {
        return true;
    }
    return horizon->policy == WARP_HORIZON_S3FIFO && standing > 0 &&
           horizon->small.bytes > target && horizon->small.bytes - target >= excess &&
           horizon->main.bytes <= horizon->budget_bytes - target;
}

uint8_t warp_horizon_readmit(struct warp_horizon *horizon, uint32_t slot, uint64_t hash,
                             uint64_t bytes, uint8_t standing, uint8_t *hits)
{
    *hits = standing;
    if (horizon->policy == WARP_HORIZON_S3FIFO) {
        *hits = (uint8_t)(standing > 0 ? standing - 1 : 0);
        if (standing > 0) {
            horizon->claim = horizon_entry(slot, hash);
            horizon->claimed = true;
        }
    }
    return warp_horizon_admit(horizon, slot, hash, bytes);
}

void warp_horizon_resize(struct warp_horizon *horizon, uint8_t queue, uint64_t old_bytes,
                         uint64_t new_bytes)
{
    struct warp_horizon_fifo *in = horizon_queue(horizon, queue);

    if (queue == WARP_HORIZON_NONE || old_bytes == new_bytes) {
        return;
    }
    in->bytes += new_bytes;
    horizon_uncount_bytes(horizon, in, old_bytes);
    horizon_publish(horizon);
}

void warp_horizon_forget(struct warp_horizon *horizon, uint8_t queue, uint64_t bytes)
{
    if (queue == WARP_HORIZON_NONE) {
        return;
    }
    horizon_uncount(horizon, horizon_queue(horizon, queue), bytes);
    horizon_pass(horizon, HORIZON_PASS_ENTRIES);
    horizon_publish(horizon);
}

/* ---- making room --------------------------------------------------------------------- */

static void horizon_swap(struct warp_horizon *horizon)
{
    struct warp_horizon_fifo passed = horizon->main;

    horizon->main = horizon->small;
    horizon->small = passed;
}

/* Whose head is next; it may have no entry when none has any. */
static struct warp_horizon_fifo *horizon_choose(struct warp_horizon *horizon)
{
    struct warp_horizon_fifo *small = &horizon->small, *main = &horizon->main;
    uint64_t target;

    switch (horizon->policy) {
    case WARP_HORIZON_S3FIFO:
        target = horizon_small_target(horizon);
        return small->fifo.entries == 0 || (main->fifo.entries > 0 &&
                                            main->bytes > horizon->budget_bytes - target)
                   ? main
                   : small;
    case WARP_HORIZON_FIFO:
    case WARP_HORIZON_CLOCK:
        return main;
    case WARP_HORIZON_LRU:
        target = horizon_small_target(horizon);
        return main->fifo.entries == 0 || (small->fifo.entries > 0 && small->bytes > target)
                   ? small
                   : main;
    case WARP_HORIZON_SIEVE:
        if (small->fifo.entries == 0) {
            horizon_swap(horizon);
        }
        return small;
    }
    warp_assert(false);
    return NULL;
}

/* Where an item at the head of `from` goes, and with how many hits; NULL: out. */
static struct warp_horizon_fifo *horizon_destination(struct warp_horizon *horizon,
                                                     struct warp_horizon_fifo *from,
                                                     const struct warp_horizon_item *item,
                                                     uint8_t *hits)
{
    struct warp_horizon_fifo *small = &horizon->small, *main = &horizon->main;

    *hits = 0;
    switch (horizon->policy) {
    case WARP_HORIZON_S3FIFO:
        if (from == small) {
            return item->hits >= 2 ? main : NULL;
        }
        *hits = item->hits > 0 ? (uint8_t)(item->hits - 1) : 0;
        return item->hits > 0 ? main : NULL;
    case WARP_HORIZON_FIFO:
        return NULL;
    case WARP_HORIZON_CLOCK:
    case WARP_HORIZON_SIEVE:
        return item->hits > 0 ? main : NULL;
    case WARP_HORIZON_LRU:
        if (from == small) {
            return main;
        }
        return item->hits > 0 ? small : NULL;
    }
    warp_assert(false);
    return NULL;
}

static void horizon_move(struct warp_horizon *horizon, struct warp_horizon_fifo *from,
                         struct warp_horizon_fifo *to, uint64_t entry,
                         const struct warp_horizon_item *item, uint8_t hits)
{
    horizon->ops->set(horizon->context, item, hits, to->code_push);
    warp_fifo_push(&to->fifo, &horizon->pool, entry);
    horizon_uncount(horizon, from, item->bytes);
    horizon_count(to, item->bytes);
    warp_counter_add(from == &horizon->small && to == &horizon->main
                         ? &horizon->metrics.promotions
                         : &horizon->metrics.reinsertions,
                     1);
}

static bool horizon_throw_out(struct warp_horizon *horizon, struct warp_horizon_fifo *from,
                              uint64_t entry, const struct warp_horizon_item *item)
{
    if (!horizon->ops->evict(horizon->context, item)) {
        warp_counter_add(&horizon->metrics.refusals, 1);
        return false;
    }
    if (from == &horizon->small && horizon->policy == WARP_HORIZON_S3FIFO) {
        warp_ghost_put(&horizon->ghost, entry, horizon_ghost_capacity(horizon));
    }
    horizon_uncount(horizon, from, item->bytes);
    warp_counter_add(&horizon->metrics.evictions, 1);
    warp_counter_add(&horizon->metrics.evicted_bytes, item->bytes);
    return true;
}

/*
 * One entry from the head of a queue. Returns the bytes evicted; *refused when the item
 * could not leave, whose entry the caller then puts back under the queue's code.
 */
static uint64_t horizon_take_one(struct warp_horizon *horizon,
                                 struct warp_horizon_fifo *from,
                                 struct horizon_refusal *refusal, bool *refused)
{
    uint8_t code = from->code; /* what is expected of this entry, even if it ends a pass */
    uint64_t entry = warp_fifo_pop(&from->fifo, &horizon->pool);
    struct warp_horizon_fifo *to;
    struct warp_horizon_item item;
    uint8_t hits;

    horizon_pass_check_end(horizon, from);
    if (!horizon_look(horizon, entry, &item) || item.queue != code) {
        warp_counter_add(&horizon->metrics.stale, 1);
        return 0;
    }
    to = horizon_destination(horizon, from, &item, &hits);
    if (to != NULL && warp_fifo_can_push(&to->fifo, &horizon->pool, HORIZON_SPARES_KEPT)) {
        horizon_move(horizon, from, to, entry, &item, hits);
        return 0;
    }
    if (horizon_throw_out(horizon, from, entry, &item)) {
        return item.bytes;
    }
    if (from->code != code) {
        horizon->ops->set(horizon->context, &item, item.hits, from->code);
    }
    *refusal = (struct horizon_refusal){.entry = entry, .code = from->code};
    *refused = true;
    return 0;
}

uint64_t warp_horizon_evict(struct warp_horizon *horizon, uint64_t bytes_wanted,
                            uint32_t looks_max)
{
    struct horizon_refusal refusals[WARP_FIFO_UNPOP_MAX];
    uint32_t refusal_count = 0, looks = 0;
    uint64_t evicted = 0;

    while (evicted < bytes_wanted && looks < looks_max &&
           refusal_count < WARP_FIFO_UNPOP_MAX) {
        struct warp_horizon_fifo *from = horizon_choose(horizon);
        bool refused = false;

        /* The entries that were refused must be back before a pass may end: their records
         * have the code that it retires. */
        if (from->fifo.entries == 0 ||
            (refusal_count > 0 && from->fifo.passing && from->fifo.unread == 1)) {
            break;
        }
        evicted += horizon_take_one(horizon, from, &refusals[refusal_count], &refused);
        refusal_count += refused;
        looks++;
    }
    while (refusal_count > 0) {
        struct horizon_refusal *refusal = &refusals[--refusal_count];

        warp_fifo_unpop(&horizon_queue(horizon, refusal->code)->fifo, refusal->entry);
    }
    if (horizon->policy == WARP_HORIZON_SIEVE && horizon->small.fifo.entries == 0) {
        horizon_swap(horizon); /* before something new comes in, which is not the next */
    }
    warp_counter_add(&horizon->metrics.looks, looks);
    horizon_pass(horizon, HORIZON_PASS_ENTRIES + looks);
    horizon_publish(horizon);
    return evicted;
}
