/*
 * The happy path is the life in the header. A key's name is its slot and 50 bits of its hash, as in the
 * queues of cache/horizon: enough to find its record in the slot's table without the key.
 *
 * What can go wrong, and always ends with nothing fetched: another thread is learning; the shard's lease is
 * busy; the record is gone, resident, expired, too long, or there is none that has these bits; all
 * reads are taken; the disk has enough to do for those who wait; writers are being held up, so that
 * the disk is wanted elsewhere. A table that is wanted gets its memory as values get theirs: what is
 * wanted is taken off the shards' shares (shards/evict), and when their values have left it is there.
 */
#include "shards/prefetch.h"

#include <assert.h>
#include <string.h>

#include "base/counter.h"
#include "shards/evict.h"
#include "shards/put.h"
#include "shards/store.h"

#define PREFETCH_LOCK_SPINS   32u
#define PREFETCH_LEASE_SPINS  64u
#define PREFETCH_BYTES_PART   8u  /* of memory_bytes_max is the table's at most */
#define PREFETCH_SPARE_PART   32u /* of memory_bytes_max stays free, as in shards/evict */
#define PREFETCH_FEW          16u /* so many may always be on their way or unasked for */
#define PREFETCH_DEMAND_MAX   48u /* reads in flight: then the disk is left to them */
#define PREFETCH_VALUES_EVERY 64u
#define PREFETCH_VALUES_PERCENT                                                            \
    60u /* of what keys and tables leave, about, is for values */
#define PREFETCH_PAST_LATE 60u
#define PREFETCH_SMALL_BYTES                                                               \
    512u                        /* never too big, however little room there is for values */
#define PREFETCH_FIRST_PART 32u /* of memory_bytes_max is the table it begins with */
#define PREFETCH_SLOT_SHIFT 34u

static_assert((WARP_HORIZON_HASH_MASK & (uint64_t)(WARP_SLOT_COUNT - 1)
                                            << PREFETCH_SLOT_SHIFT) == 0,
              "slot and hash have room beside each other");

/* The lower two bits of a fate; above them it is counted how often the read was used, so that who looks at
 * a name and then at a fate cannot take another one's for it. */
enum {
    PREFETCH_IDLE,
    PREFETCH_UNDECIDED,
    PREFETCH_ASKED,
    PREFETCH_BROUGHT,
    PREFETCH_FATES
};

static void prefetch_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* 0 is nobody's name. */
static uint64_t prefetch_name(uint32_t slot, uint64_t hash)
{
    uint64_t name = (hash & WARP_HORIZON_HASH_MASK) | (uint64_t)slot << PREFETCH_SLOT_SHIFT;

    return name != 0 ? name : 1;
}

int warp_prefetch_create(struct warp_store *store)
{
    struct warp_prefetch *made =
        warp_memory_reserve(store->memory, sizeof(*made), WARP_CACHELINE);
    uint32_t i;

    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->store = store;
    for (i = 0; i < WARP_PREFETCH_IN_FLIGHT_MAX; i++) {
        made->ones[i].prefetch = made;
    }
    warp_entangle_init(&made->entangle, store->memory, store->hash_seed,
                       store->memory_bytes_max / PREFETCH_BYTES_PART);
    /* Now that memory is empty: later its place would have to be made by values that leave, and for that to
     * help, whole slabs of them. If there is none, there may be later. */
    if (warp_memory_bytes(store->memory) + store->memory_bytes_max / PREFETCH_FIRST_PART <=
        store->memory_bytes_max - store->memory_bytes_max / PREFETCH_SPARE_PART) {
        (void)warp_entangle_prepare(&made->entangle,
                                    store->memory_bytes_max / PREFETCH_FIRST_PART);
    }
    store->prefetch = made;
    return 0;
}

void warp_prefetch_end(struct warp_store *store)
{
    if (store->prefetch != NULL) {
        warp_reader_stop(store->reader);
    }
}

void warp_prefetch_destroy(struct warp_store *store)
{
    struct warp_prefetch *gone = store->prefetch;
    uint32_t i;

    if (gone == NULL) {
        return;
    }
    for (i = 0; i < WARP_PREFETCH_IN_FLIGHT_MAX; i++) {
        warp_assert(atomic_load_explicit(&gone->names[i], memory_order_acquire) == 0);
    }
    warp_entangle_fini(&gone->entangle);
    warp_memory_release(store->memory, gone, sizeof(*gone));
    store->prefetch = NULL;
}

/* ---- what became of it ------------------------------------------------------------------- */

static void prefetch_settle(struct warp_prefetch *prefetch, _Atomic uint64_t *what,
                            uint64_t bytes)
{
    atomic_fetch_sub_explicit(&prefetch->counters.bytes, bytes, memory_order_relaxed);
    prefetch_add(what, 1);
}

void warp_prefetch_resized(struct warp_store *store, uint64_t from, uint64_t to)
{
    atomic_fetch_add_explicit(&store->prefetch->counters.bytes, to - from,
                              memory_order_relaxed); /* modulo 2^64 when it is less */
}

void warp_prefetch_useful(struct warp_store *store, uint64_t bytes)
{
    prefetch_settle(store->prefetch, &store->prefetch->counters.useful, bytes);
}

void warp_prefetch_wasted(struct warp_store *store, uint64_t bytes)
{
    prefetch_settle(store->prefetch, &store->prefetch->counters.wasted, bytes);
}

/* ---- bringing it ------------------------------------------------------------------------- */

static bool prefetch_enter(struct warp_shard *shard)
{
    uint32_t spins;

    for (spins = 0; spins < PREFETCH_LEASE_SPINS; spins++) {
        if (warp_shard_enter(shard)) {
            return true;
        }
        if (!shard->store->env->threads) {
            break;
        }
        warp_cpu_relax();
    }
    return false;
}

/* Under the lease of the slot's owner: false, the value is not wanted there any more. */
static bool prefetch_install(struct warp_shard *shard, struct warp_prefetch_one *one)
{
    struct warp_store *store = shard->store;
    const struct warp_coldread *cold = &one->cold;
    const struct warp_read *read = &cold->read;
    const struct warp_record_content content = {.sequence = read->sequence,
                                                .place = read->place,
                                                .key = read->key,
                                                .value = {read->value, read->value_bytes},
                                                .expires_at_ms = read->expires_at_ms,
                                                .in_batch = read->in_batch};
    struct warp_record *record, *fresh;
    _Atomic uint64_t *place = NULL;

    if (warp_slotmap_owner(&store->slotmap, cold->slot) != shard->id ||
        !warp_evict_has_room(shard, one->bytes)) {
        return false;
    }
    fresh = warp_evict_make(shard, &content);
    if (fresh == NULL) {
        return false;
    }
    /* Making room may replace records, so the look comes behind it. */
    record = warp_table_find_in(warp_table_resolve(&store->words[cold->slot], cold->hash),
                                cold->hash, read->key.data, read->key.bytes, &place);
    if (record == NULL || !warp_record_is_cold(record) ||
        warp_record_place(record) != read->place || warp_put_reserve_exchange(shard) < 0) {
        warp_slab_release(&shard->limbo.pool, fresh, warp_record_bytes_of(fresh));
        return false;
    }
    warp_record_mark_fetched(fresh);
    warp_put_exchange(shard, cold->slot, cold->hash, fresh, record, place);
    return true;
}

static bool prefetch_bring(struct warp_prefetch_one *one)
{
    struct warp_store *store = one->prefetch->store;
    const struct warp_read *read = &one->cold.read;
    struct warp_shard *shard = warp_store_owner(store, one->cold.slot);
    bool installed;

    if (read->rc != 0 ||
        (read->expires_at_ms != 0 && read->expires_at_ms <= warp_store_wall_ms(store)) ||
        !prefetch_enter(shard)) {
        return false;
    }
    installed = prefetch_install(shard, one);
    warp_shard_leave(shard);
    return installed;
}

/* Release: pairs with the acquire of whoever makes it his. */
static void prefetch_free(struct warp_prefetch_one *one)
{
    struct warp_prefetch *prefetch = one->prefetch;

    atomic_store_explicit(&prefetch->names[one - prefetch->ones], 0, memory_order_release);
}

/* On the reader's thread. */
static void prefetch_done(struct warp_read *read)
{
    struct warp_prefetch_one *one = read->context;
    struct warp_prefetch *prefetch = one->prefetch;
    struct warp_prefetch_counters *counters = &prefetch->counters;
    uint32_t fate = atomic_load_explicit(&one->fate, memory_order_relaxed);

    warp_coldread_judge(&one->cold);
    /* Relaxed: who asks looks at nothing of ours, nor we at anything of his. */
    if (fate % PREFETCH_FATES == PREFETCH_ASKED ||
        !atomic_compare_exchange_strong_explicit(
            &one->fate, &fate, fate - PREFETCH_UNDECIDED + PREFETCH_BROUGHT,
            memory_order_relaxed, memory_order_relaxed)) {
        prefetch_settle(prefetch, &counters->late, one->bytes);
    } else if (!prefetch_bring(one)) {
        prefetch_settle(prefetch, &counters->wasted, one->bytes);
    }
    warp_coldread_end(prefetch->store, &one->cold);
    prefetch_free(one);
}

/* ---- issuing ----------------------------------------------------------------------------- */

/* The one that reads it, or WARP_PREFETCH_IN_FLIGHT_MAX. */
static uint32_t prefetch_find(const struct warp_prefetch *prefetch, uint64_t name)
{
    uint32_t i;

    for (i = 0; i < WARP_PREFETCH_IN_FLIGHT_MAX; i++) {
        if (atomic_load_explicit(&prefetch->names[i], memory_order_relaxed) == name) {
            break;
        }
    }
    return i;
}

static struct warp_prefetch_one *prefetch_claim(struct warp_prefetch *prefetch,
                                                uint64_t name)
{
    uint32_t i;

    for (i = 0; i < WARP_PREFETCH_IN_FLIGHT_MAX; i++) {
        uint64_t free = 0;

        /* Acquire: pairs with the release in prefetch_free. */
        if (atomic_load_explicit(&prefetch->names[i], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&prefetch->names[i], &free, name,
                                                    memory_order_acquire,
                                                    memory_order_relaxed)) {
            return &prefetch->ones[i];
        }
    }
    return NULL;
}

/* Those that nobody has asked for yet may take a window of all values' memory. */
static bool prefetch_has_window(struct warp_prefetch *prefetch,
                                const struct warp_shard *shard, uint64_t bytes)
{
    const struct warp_prefetch_counters *counters = &prefetch->counters;
    uint64_t window =
        atomic_load_explicit(&prefetch->entangle.window, memory_order_relaxed);
    uint64_t settled = warp_counter_read(&counters->useful) +
                       warp_counter_read(&counters->late) +
                       warp_counter_read(&counters->wasted);

    return warp_counter_read(&counters->issued) < settled + PREFETCH_FEW ||
           warp_counter_read(&counters->bytes) + bytes <=
               shard->values_max / 1000 * window * prefetch->store->shard_count;
}

/* Under the lease: note its place, if it is worth reading. */
static bool prefetch_begin(struct warp_shard *shard, struct warp_prefetch_one *one,
                           uint32_t slot, uint64_t bits)
{
    struct warp_prefetch *prefetch = one->prefetch;
    struct warp_store *store = prefetch->store;
    struct warp_record_content content;
    struct warp_record *record;
    _Atomic uint64_t *place;
    uint64_t hash;

    if (warp_slotmap_owner(&store->slotmap, slot) != shard->id) {
        return false;
    }
    record = warp_table_find_masked(&store->words[slot], bits, WARP_HORIZON_HASH_MASK,
                                    store->hash_seed, &place, &hash);
    if (record == NULL || !warp_record_is_cold(record) ||
        warp_record_key_bytes(record) > sizeof(one->key) ||
        warp_record_is_expired(store, record)) {
        return false;
    }
    content = warp_record_content(record);
    content.cold = false;
    one->bytes = warp_slab_round(warp_record_bytes_with((uint32_t)content.key.bytes,
                                                        (uint32_t)content.value.bytes,
                                                        warp_record_flags(&content)));
    if ((one->bytes > PREFETCH_SMALL_BYTES &&
         one->bytes > shard->horizon.budget_bytes / WARP_HORIZON_BIG_DIVISOR) ||
        !prefetch_has_window(prefetch, shard, one->bytes)) {
        return false;
    }
    memcpy(one->key, content.key.data, content.key.bytes);
    warp_coldread_begin(store, &one->cold, slot, hash,
                        (struct warp_slice){one->key, content.key.bytes}, record);
    return true;
}

static void prefetch_issue(struct warp_prefetch *prefetch, uint64_t name)
{
    struct warp_store *store = prefetch->store;
    uint32_t slot = (uint32_t)(name >> PREFETCH_SLOT_SHIFT) & (WARP_SLOT_COUNT - 1);
    struct warp_shard *shard = warp_store_owner(store, slot);
    struct warp_prefetch_one *one;
    bool begun = false;
    uint32_t fate;

    if (prefetch_find(prefetch, name) < WARP_PREFETCH_IN_FLIGHT_MAX) {
        return;
    }
    one = prefetch_claim(prefetch, name);
    if (one == NULL) {
        return;
    }
    if (warp_shard_enter(shard)) {
        begun = prefetch_begin(shard, one, slot, name & WARP_HORIZON_HASH_MASK);
        warp_shard_leave(shard);
    }
    if (!begun) {
        prefetch_free(one);
        return;
    }
    prefetch_add(&prefetch->counters.bytes, one->bytes);
    prefetch_add(&prefetch->counters.issued, 1);
    fate = atomic_load_explicit(&one->fate, memory_order_relaxed);
    fate -= fate % PREFETCH_FATES;
    /* Release: the name was there before; pairs with the acquire in prefetch_ask. */
    atomic_store_explicit(&one->fate, fate + PREFETCH_FATES + PREFETCH_UNDECIDED,
                          memory_order_release);
    one->cold.read.done = prefetch_done;
    one->cold.read.context = one;
    warp_reader_post(store->reader, &one->cold.read);
}

/* ---- learning ---------------------------------------------------------------------------- */

static bool prefetch_lock(struct warp_prefetch *prefetch)
{
    uint32_t spins;

    for (spins = 0; spins < PREFETCH_LOCK_SPINS; spins++) {
        /* Acquire: pairs with the release of whoever learned last. */
        if (atomic_load_explicit(&prefetch->lock, memory_order_relaxed) == 0 &&
            atomic_exchange_explicit(&prefetch->lock, 1, memory_order_acquire) == 0) {
            return true;
        }
        if (!prefetch->store->env->threads) {
            break;
        }
        warp_cpu_relax();
    }
    return false;
}

/* Behind the lock: the table that is wanted, once there is room for it. */
static void prefetch_grow(struct warp_prefetch *prefetch)
{
    const struct warp_store *store = prefetch->store;
    uint64_t wanted = warp_entangle_wants(&prefetch->entangle);

    if (WARP_UNLIKELY(wanted > 0) &&
        warp_memory_bytes(store->memory) + wanted <=
            store->memory_bytes_max - store->memory_bytes_max / PREFETCH_SPARE_PART) {
        (void)warp_entangle_reserve(&prefetch->entangle); /* or it rests */
    }
}

/* How many values memory has room for, about: it may not be full yet. */
static uint64_t prefetch_values(struct warp_prefetch *prefetch)
{
    const struct warp_store *store = prefetch->store;
    uint32_t i;

    if (prefetch->looks == 0 || prefetch->values == 0) {
        uint64_t live = 0, bytes = 0, room, rest;

        for (i = 0; i < store->shard_count; i++) {
            const struct warp_horizon_metrics *metrics = &store->shards[i]->horizon.metrics;

            live += warp_counter_read(&metrics->live);
            bytes += warp_counter_read(&metrics->bytes);
        }
        /* What keys and tables take is not for values, and a part of the rest is always on its way. */
        rest = warp_memory_bytes(store->memory);
        rest = rest > bytes ? rest - bytes : 0;
        room = store->memory_bytes_max > rest ? store->memory_bytes_max - rest : 0;
        room = room / 100 * PREFETCH_VALUES_PERCENT;
        if (store->values_bytes_max != 0 &&
            room > store->values_bytes_max * store->shard_count) {
            room = store->values_bytes_max * store->shard_count;
        }
        prefetch->values = bytes == 0 ? 0 : room / (bytes / (live > 0 ? live : 1) + 1);
        prefetch->looks = PREFETCH_VALUES_EVERY;
    }
    prefetch->looks--;
    return prefetch->values;
}

static bool prefetch_gives_way(const struct warp_prefetch *prefetch)
{
    const struct warp_store *store = prefetch->store;

    return warp_pace_price(&store->pace) > 0 ||
           warp_counter_read(&warp_reader_counters(store->reader)->in_flight) >
               PREFETCH_DEMAND_MAX;
}

static void prefetch_observe(struct warp_prefetch *prefetch,
                             struct warp_entangle_trail *trail, uint64_t name)
{
    const struct warp_prefetch_counters *counters = &prefetch->counters;
    uint64_t guesses[WARP_ENTANGLE_GUESSES];
    uint64_t past;
    uint32_t count, i;

    if (!prefetch_lock(prefetch)) {
        prefetch_add(&prefetch->counters.skipped, 1);
        return;
    }
    warp_entangle_account(&prefetch->entangle, warp_counter_read(&counters->useful),
                          warp_counter_read(&counters->late),
                          warp_counter_read(&counters->wasted), prefetch_values(prefetch));
    count = warp_entangle_observe(&prefetch->entangle, trail, name, guesses);
    prefetch_grow(prefetch);
    past = prefetch->past[(prefetch->past_at + prefetch->past_at % 2 * PREFETCH_PAST_LATE) %
                          WARP_PREFETCH_PAST];
    prefetch->past[prefetch->past_at] = name;
    prefetch->past_at = (prefetch->past_at + 1) % WARP_PREFETCH_PAST;
    atomic_store_explicit(&prefetch->lock, 0, memory_order_release);
    if (past != 0 && count < WARP_ENTANGLE_GUESSES &&
        warp_env_chance(prefetch->store->env, WARP_CHANCE_PREFETCH)) {
        guesses[count++] = past;
    }
    if (count > 0 && !prefetch_gives_way(prefetch)) {
        for (i = 0; i < count; i++) {
            prefetch_issue(prefetch, guesses[i]);
        }
    }
}

/* Somebody asks for it: if it is under way, it comes too late for him. */
static void prefetch_ask(struct warp_prefetch *prefetch, uint64_t name)
{
    uint32_t i = prefetch_find(prefetch, name), fate;

    if (i == WARP_PREFETCH_IN_FLIGHT_MAX) {
        return;
    }
    fate = atomic_load_explicit(&prefetch->ones[i].fate, memory_order_acquire);
    /* If the name is still there, the fate is that of its read, or of one before, and then it will change:
     * a name is taken before and given up behind the fate of its read. */
    if (fate % PREFETCH_FATES == PREFETCH_UNDECIDED && prefetch_find(prefetch, name) == i) {
        (void)atomic_compare_exchange_strong_explicit(
            &prefetch->ones[i].fate, &fate, fate - PREFETCH_UNDECIDED + PREFETCH_ASKED,
            memory_order_relaxed, memory_order_relaxed);
    }
}

void warp_prefetch_missed(struct warp_store *store, struct warp_entangle_trail *trail,
                          uint32_t slot, uint64_t hash)
{
    struct warp_prefetch *prefetch = store->prefetch;
    uint64_t name = prefetch_name(slot, hash);

    prefetch_ask(prefetch, name);
    prefetch_observe(prefetch, trail, name);
}

void warp_prefetch_met(struct warp_store *store, struct warp_entangle_trail *trail,
                       uint32_t slot, uint64_t hash)
{
    prefetch_observe(store->prefetch, trail, prefetch_name(slot, hash));
}
