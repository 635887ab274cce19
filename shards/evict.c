#include "shards/evict.h"

#include "base/counter.h"
#include "base/hash.h"
#include "shards/put.h"

#define EVICT_LOOKS_MIN     16u /* and one more for each so many bytes that come in: */
#define EVICT_LOOK_BYTES    256u
#define EVICT_LOOKS_MAX     1024u
#define EVICT_SHARE_EVERY   64u
#define EVICT_SPARE_PART    32u
#define EVICT_HEADROOM_PART 64u /* of the share; what only writers may take */
#define EVICT_SLACK_PART    8u  /* of what is too much, at a time */
#define EVICT_EASE_PART     64u /* of the slack, at a time */
#define EVICT_DOUBLINGS_MAX 16u
#define EVICT_SLAB_BYTES    266240u /* at most, and the header of a block */
#define EVICT_RELIEF_NS     20000000u /* for the log to make values durable that should leave */
#define EVICT_GRACE_NS      100000u /* for readers to leave what has been replaced */

/* Where the item lies that the policy looks at; one at a time. */
static bool evict_look(void *context, uint32_t slot, uint64_t hash50,
                       struct warp_horizon_item *out)
{
    struct warp_shard *shard = context;
    struct warp_store *store = shard->store;
    struct warp_evict_at *at = &shard->evict_at;
    struct warp_record *record;

    if (warp_slotmap_owner(&store->slotmap, slot) != shard->id) {
        return false;
    }
    record = warp_table_find_masked(&store->words[slot], hash50, WARP_HORIZON_HASH_MASK,
                                    store->hash_seed, &at->place, &at->hash);
    if (record == NULL || warp_record_is_cold(record) ||
        warp_record_queue(record) == WARP_HORIZON_NONE) {
        return false;
    }
    at->record = record;
    at->slot = slot;
    out->bytes = warp_slab_round(warp_record_bytes_of(record));
    out->hits = warp_record_hits(record);
    out->queue = warp_record_queue(record);
    out->cookie = at;
    return true;
}

static void evict_set(void *context, const struct warp_horizon_item *item, uint8_t hits,
                      uint8_t queue)
{
    struct warp_evict_at *at = item->cookie;

    (void)context;
    warp_record_set_heat(at->record, hits, queue);
}

/* Has the log made it durable? What was replayed has been synced before the doors opened. */
static bool evict_is_durable(const struct warp_shard *shard,
                             const struct warp_record *record)
{
    return shard->store->wal == NULL || WARP_PLANTED(EVICT_EARLY) ||
           warp_record_wait_for(record) <= warp_writer_durable(&shard->store->wal->writer);
}

static bool evict_one(void *context, const struct warp_horizon_item *item)
{
    struct warp_shard *shard = context;
    struct warp_evict_at *at = item->cookie;
    struct warp_record_content content;
    struct warp_record *cold;
    size_t bytes;

    /* What becomes cold is not admitted, so the horizon need not be asked to reserve. */
    if (!evict_is_durable(shard, at->record) || warp_limbo_reserve(&shard->limbo, 1) < 0) {
        return false;
    }
    content = warp_record_content(at->record);
    content.cold = true;
    bytes =
        warp_record_bytes_with((uint32_t)content.key.bytes, 0, warp_record_flags(&content));
    /* Long keys with short values would go on for ever. */
    if (warp_slab_round(bytes) >
            warp_slab_round(warp_record_bytes_of(at->record)) * 3 / 4 &&
        warp_memory_bytes(shard->store->memory) +
                warp_slab_growth(&shard->limbo.pool, bytes) >
            shard->store->memory_bytes_max) {
        return false;
    }
    cold = warp_slab_reserve(&shard->limbo.pool, bytes);
    if (cold == NULL) {
        return false;
    }
    warp_record_write(cold, &content);
    warp_put_exchange(shard, at->slot, at->hash, cold, at->record, at->place);
    warp_counter_add(&shard->counters.evictions, 1);
    return true;
}

const struct warp_horizon_ops warp_evict_ops = {
    .look = evict_look, .set = evict_set, .evict = evict_one};

void warp_evict_share(struct warp_shard *shard)
{
    struct warp_store *store = shard->store;
    uint64_t all = warp_memory_bytes(store->memory);
    uint64_t pools = 0, rest, share, headroom, live, values, held;
    uint32_t i;

    warp_shard_assert_owner(shard);
    warp_counter_set(&shard->counters.pool_bytes, warp_slab_bytes_held(&shard->limbo.pool));
    warp_counter_set(&shard->counters.abroad_bytes,
                     shard->limbo.charge_bytes > 0 ? (uint64_t)shard->limbo.charge_bytes
                                                   : 0);
    for (i = 0; i < store->shard_count; i++) {
        pools += warp_counter_read(&store->shards[i]->counters.pool_bytes);
    }
    rest = all > pools ? all - pools : 0;
    /* Others have to make room for the table of what goes together, too, before it is there. */
    rest += store->prefetch != NULL ? warp_entangle_wants(&store->prefetch->entangle) : 0;
    rest += store->memory_bytes_max / EVICT_SPARE_PART;
    share = store->memory_bytes_max > rest ? store->memory_bytes_max - rest : 0;
    share /= store->shard_count;
    shard->memory_hard = share;
    /* A sixteenth for what is on its way back and for slabs that are not full; more while that is
     * not enough, by and by, for slabs become free only as a whole. What the pool holds is to come to rest
     * between one and two headrooms below the share: nearer, and writers would wait for memory. */
    held = warp_limbo_held_bytes(&shard->limbo);
    shard->memory_shared = held;
    headroom = share / EVICT_HEADROOM_PART;
    if (held > share - headroom) {
        shard->memory_slack += (held - (share - headroom)) / EVICT_SLACK_PART;
    } else if (held < share - 2 * headroom) {
        shard->memory_slack -= shard->memory_slack / EVICT_EASE_PART;
    }
    if (shard->memory_slack > share / 2) {
        shard->memory_slack = share / 2;
    }
    shard->memory_soft = share - share / 16 - shard->memory_slack;
    live = warp_evict_live_bytes(shard);
    values = warp_horizon_bytes(&shard->horizon);
    /* What keys and tables take is not the policy's. */
    live = live > values ? live - values : 0;
    values = shard->memory_soft > live ? shard->memory_soft - live : 0;
    shard->values_max = store->values_bytes_max != 0 && values > store->values_bytes_max
                            ? store->values_bytes_max
                            : values;
    warp_horizon_set_budget(&shard->horizon, shard->values_max);
}

/* Values are to leave that the log has not made durable yet. */
static void evict_ask_durable(const struct warp_shard *shard)
{
    struct warp_wal *wal = shard->store->wal;

    if (wal != NULL) {
        warp_writer_want(&wal->writer, warp_sequence_tail(&wal->writer.sequence));
    }
}

/* How much has to leave so that `bytes` more fit. */
static uint64_t evict_wanted(const struct warp_shard *shard, uint64_t bytes)
{
    const struct warp_slab_pool *pool = &shard->limbo.pool;
    uint64_t live = warp_evict_live_bytes(shard) + bytes;
    uint64_t values = warp_horizon_bytes(&shard->horizon) + bytes;
    uint64_t growth = bytes == 0 ? 0 : warp_slab_growth(pool, bytes);
    uint64_t wanted = 0;

    if (live > shard->memory_soft) {
        wanted = live - shard->memory_soft;
    }
    if (values > shard->values_max && values - shard->values_max > wanted) {
        wanted = values - shard->values_max;
    }
    /* What is in use would fit, but not into the holes that there are. */
    if (growth > wanted &&
        warp_limbo_held_bytes(&shard->limbo) + growth > shard->memory_hard) {
        wanted = growth;
    }
    return wanted;
}

/* One step towards it. True if there were values that might not leave yet. */
static bool evict_step(struct warp_shard *shard, uint64_t wanted, uint64_t bytes,
                       uint64_t looks)
{
    struct warp_horizon *horizon = &shard->horizon;
    uint64_t refusals = warp_counter_read(&horizon->metrics.refusals);

    (void)warp_horizon_evict(horizon, wanted,
                             (uint32_t)(looks < EVICT_LOOKS_MAX ? looks : EVICT_LOOKS_MAX));
    warp_shard_disturb(shard);
    refusals = warp_counter_read(&horizon->metrics.refusals) - refusals;
    if (refusals > 0 && warp_evict_live_bytes(shard) + bytes > shard->memory_soft) {
        evict_ask_durable(shard);
    }
    return refusals > 0;
}

/* How many entries one writer looks at: enough for what it brings in, and the more the nearer the shard
 * has come to where no memory is left. A change of the share is worked off by many that way; and when
 * nobody writes, by the tick, which brings in nothing and looks at as many as there may be. */
static uint64_t evict_looks(const struct warp_shard *shard, uint64_t wanted, uint64_t bytes)
{
    uint64_t gap = shard->memory_hard - shard->memory_soft;
    uint64_t nearness = wanted < gap ? wanted * EVICT_LOOKS_MAX / gap : EVICT_LOOKS_MAX;

    if (bytes == 0) {
        return EVICT_LOOKS_MAX;
    }
    return EVICT_LOOKS_MIN + bytes / EVICT_LOOK_BYTES + nearness;
}

void warp_evict_make_room_slowly(struct warp_shard *shard, uint64_t bytes)
{
    uint64_t wanted;

    warp_shard_assert_owner(shard);
    /* At once, too, when the pool has grown: what is cold takes slabs before values give theirs. */
    if (shard->evict_calls++ % EVICT_SHARE_EVERY == 0 ||
        warp_limbo_held_bytes(&shard->limbo) > shard->memory_shared) {
        warp_evict_share(shard);
    }
    wanted = evict_wanted(shard, bytes);
    if (wanted > 0) {
        /* A little more than asked for, so that not every call comes here. */
        (void)evict_step(shard, wanted + bytes, bytes, evict_looks(shard, wanted, bytes));
    }
    if (warp_limbo_owned_bytes(&shard->limbo) + bytes > shard->memory_hard) {
        (void)warp_limbo_collect(&shard->limbo, true);
    }
}

/* Tables, queues and cold records are not asked: a little is left for them. */
static uint64_t evict_limit(const struct warp_store *store)
{
    return store->memory_bytes_max - store->memory_bytes_max / EVICT_SPARE_PART;
}

static bool evict_may_grow(const struct warp_store *store, size_t growth)
{
    return warp_memory_bytes(store->memory) + growth <= evict_limit(store);
}

static bool evict_fits(const struct warp_shard *shard, uint64_t bytes)
{
    size_t growth = bytes == 0 ? 0 : warp_slab_growth(&shard->limbo.pool, bytes);

    return growth == 0 || evict_may_grow(shard->store, growth);
}

/* The last of the memory is for writers, who would have to wait: a value may come back later as well. */
static bool evict_spares(const struct warp_shard *shard, uint64_t bytes)
{
    size_t growth = warp_slab_growth(&shard->limbo.pool, bytes);

    return growth == 0 ||
           evict_may_grow(shard->store,
                          growth + shard->store->memory_bytes_max / EVICT_HEADROOM_PART);
}

struct warp_record *warp_evict_make(struct warp_shard *shard,
                                    const struct warp_record_content *content)
{
    struct warp_store *store = shard->store;
    struct warp_slab_pool *pool = &shard->limbo.pool;
    size_t bytes =
        warp_record_bytes_with((uint32_t)content->key.bytes, (uint32_t)content->value.bytes,
                               warp_record_flags(content));
    struct warp_record *record;
    size_t growth = warp_slab_growth(pool, bytes);

    if (WARP_UNLIKELY(growth > 0 && !evict_may_grow(store, growth))) {
        warp_slab_trim(pool);
        growth = warp_slab_growth(pool, bytes);
        if (growth > 0 && !evict_may_grow(store, growth)) {
            return NULL;
        }
    }
    record = warp_slab_reserve(pool, bytes);
    if (record != NULL) {
        warp_record_write(record, content);
        if (growth > 0) {
            /* The other shards are to know. */
            warp_counter_set(&shard->counters.pool_bytes, warp_slab_bytes_held(pool));
        }
    }
    return record;
}

/* What warp_evict_relieve_here does; *refused, if not NULL, becomes true when values might not leave yet. */
static bool evict_relieve_one(struct warp_shard *shard, uint64_t bytes, uint32_t tries,
                              bool *refused)
{
    struct warp_store *store = shard->store;
    struct warp_slab_pool *pool = &shard->limbo.pool;
    uint64_t growth = bytes == 0 ? 0 : warp_slab_growth(pool, bytes);
    uint64_t held, all, wanted;

    bool coming = shard->limbo.pending_bytes > 0 || warp_horizon_bytes(&shard->horizon) > 0;

    warp_shard_assert_owner(shard);
    if (bytes > 0 && growth < EVICT_SLAB_BYTES) {
        growth = EVICT_SLAB_BYTES; /* bytes is about right, but the class is the next one */
    }
    warp_evict_share(shard);
    wanted = evict_wanted(shard, bytes);
    /* All that is held and not only what is used, for slabs are free only as a whole. */
    held = warp_limbo_held_bytes(&shard->limbo) + growth;
    if (held > shard->memory_hard && held - shard->memory_hard > wanted) {
        wanted = held - shard->memory_hard;
    }
    /* Others may have more than their share and nothing to give. */
    all = warp_memory_bytes(store->memory) + growth;
    if (all > evict_limit(store) && all - evict_limit(store) > wanted) {
        wanted = all - evict_limit(store);
    }
    /* What was enough in sum may have left no slab or block empty. */
    wanted <<= tries < EVICT_DOUBLINGS_MAX ? tries : EVICT_DOUBLINGS_MAX;
    if (wanted > 0 && evict_step(shard, wanted + bytes, bytes, EVICT_LOOKS_MAX) &&
        refused != NULL) {
        *refused = true;
    }
    (void)warp_limbo_collect(&shard->limbo, true);
    warp_slab_trim(pool);
    warp_counter_set(&shard->counters.pool_bytes, warp_slab_bytes_held(pool));
    return coming;
}

bool warp_evict_relieve_here(struct warp_shard *shard, uint64_t bytes, uint32_t tries)
{
    return evict_relieve_one(shard, bytes, tries, NULL);
}

bool warp_evict_relieve(struct warp_store *store, const struct warp_shard *wanting,
                        uint64_t bytes, uint32_t tries)
{
    struct warp_shard *own = store->shards[wanting->id];
    bool coming, fits, refused = false;
    uint32_t i;

    /* Its own shard first: mostly that is enough, and nobody has to be waited for. */
    warp_shard_enter_surely(own);
    coming = evict_relieve_one(own, bytes, tries, &refused);
    fits = coming && evict_fits(own, bytes);
    warp_shard_leave(own);
    if (fits && tries == 0) {
        return true;
    }
    for (i = 0; i < store->shard_count; i++) {
        struct warp_shard *shard = store->shards[i];

        if (shard != own) {
            warp_shard_enter_surely(shard);
            coming = evict_relieve_one(shard, 0, tries, &refused) || coming;
            warp_shard_leave(shard);
        }
    }
    if (!coming) {
        return false;
    }
    if (store->wal != NULL && refused) {
        struct warp_writer *writer = &store->wal->writer;

        (void)warp_writer_wait(writer, warp_sequence_tail(&writer->sequence),
                               EVICT_RELIEF_NS);
    }
    if (store->env->threads) {
        _Atomic uint32_t nobody = 0;

        (void)warp_park(&nobody, 0, EVICT_GRACE_NS, UINT32_MAX);
    } else {
        store->env->wait(store->env->context);
    }
    return true;
}

bool warp_evict_has_room(struct warp_shard *shard, uint64_t bytes)
{
    warp_evict_make_room(shard, bytes);
    if (warp_evict_live_bytes(shard) + bytes > shard->memory_soft) {
        return false;
    }
    if (WARP_LIKELY(evict_spares(shard, bytes))) {
        return true;
    }
    /* In sum there would be room, but no hole of this size, and no memory to be spared for more: nothing
     * would ever come in again. So somebody leaves for it; his place may be free only the next time. */
    (void)evict_step(shard, bytes, bytes, EVICT_LOOKS_MIN + bytes / EVICT_LOOK_BYTES);
    (void)warp_limbo_collect_some(&shard->limbo);
    return evict_spares(shard, bytes);
}

bool warp_evict_admits(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                       const struct warp_record_content *content)
{
    uint64_t bytes = warp_slab_round(warp_record_bytes_with((uint32_t)content->key.bytes,
                                                            (uint32_t)content->value.bytes,
                                                            warp_record_flags(content)));

    if (!warp_horizon_admits(&shard->horizon, slot, hash, bytes)) {
        return false;
    }
    /* Not at the cost of more memory than there is: then it is read from disk again. */
    return warp_evict_has_room(shard, bytes);
}

void warp_evict_settle(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                       struct warp_record *record)
{
    uint8_t standing = warp_record_hits(record);
    uint8_t hits, queue;

    queue = warp_horizon_readmit(&shard->horizon, slot, hash,
                                 warp_slab_round(warp_record_bytes_of(record)), standing,
                                 &hits);
    warp_record_set_heat(record, hits, queue);
}

/* Of a slot that leaves or arrives: true if that was all there is to do. */
static bool evict_note_in_transit(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                                  struct warp_record *fresh,
                                  const struct warp_record *old_resident)
{
    uint8_t standing = 0;

    if (old_resident != NULL) {
        if (warp_record_queue(old_resident) != WARP_HORIZON_NONE) {
            return false; /* leaving has not come to it yet, or it has arrived */
        }
        standing = warp_record_hits(old_resident);
    }
    if (shard->store->slots[slot].transit == WARP_SLOT_LEAVING) {
        warp_record_set_heat(fresh, standing, WARP_HORIZON_NONE);
        return true;
    }
    if (old_resident == NULL) {
        return false;
    }
    warp_record_set_heat(fresh, standing, WARP_HORIZON_NONE);
    warp_evict_settle(shard, slot, hash, fresh);
    return true;
}

void warp_evict_note(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                     struct warp_record *fresh, const struct warp_record *old_resident)
{
    uint64_t bytes = warp_slab_round(warp_record_bytes_of(fresh));
    uint8_t hits, queue;

    if (WARP_UNLIKELY(shard->store->slots[slot].transit != WARP_SLOT_SETTLED) &&
        evict_note_in_transit(shard, slot, hash, fresh, old_resident)) {
        return;
    }
    if (old_resident != NULL) {
        hits = warp_record_hits(old_resident);
        queue = warp_record_queue(old_resident);
        hits = (uint8_t)(hits + (hits < WARP_RECORD_HITS_MASK));
        warp_horizon_resize(&shard->horizon, queue,
                            warp_slab_round(warp_record_bytes_of(old_resident)), bytes);
    } else {
        hits = 0;
        queue = warp_horizon_admit(&shard->horizon, slot, hash, bytes);
    }
    warp_record_set_heat(fresh, hits, queue);
}

void warp_evict_note_again(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                           struct warp_record *fresh, uint8_t standing)
{
    warp_record_set_heat(fresh, standing, WARP_HORIZON_NONE);
    if (WARP_LIKELY(shard->store->slots[slot].transit != WARP_SLOT_LEAVING)) {
        warp_evict_settle(shard, slot, hash, fresh);
    }
}

bool warp_evict_readmits(struct warp_shard *shard,
                         const struct warp_record_content *content, uint8_t standing)
{
    uint64_t bytes = warp_slab_round(warp_record_bytes_with((uint32_t)content->key.bytes,
                                                            (uint32_t)content->value.bytes,
                                                            warp_record_flags(content)));

    if (!warp_horizon_readmits(&shard->horizon, bytes, standing)) {
        return false;
    }
    if (warp_horizon_excess(&shard->horizon, bytes) > 0) {
        warp_evict_make_room(shard, bytes);
    }
    return warp_evict_live_bytes(shard) + bytes <= shard->memory_soft &&
           warp_horizon_bytes(&shard->horizon) + bytes <= shard->values_max &&
           evict_spares(shard, bytes);
}
