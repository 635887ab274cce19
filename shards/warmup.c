/*
 * The happy path is the life in the header. Places are kept in a heap, the greatest on top, while they
 * are picked: when there are more than fit, the greatest goes, and so what is left is the lowest of
 * all. Taking the top away again and again sorts it (Williams, CACM 7(6), 1964).
 *
 * What can go wrong, and always ends with the wish withdrawn and the value cold: the shard has become
 * full meanwhile; a file cannot be read, or what lies there is not what the place promises; there is
 * no memory. A record that has moved to another file keeps its wish and is picked again. One that
 * was written or deleted has none any more.
 *
 * Who is to come back when not all fit: standings from the top down as long as all of one fit, and of the
 * first that does not as much as fits, in the order of places, which knows nothing of heat.
 */
#include "shards/warmup.h"

#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "shards/evict.h"
#include "shards/put.h"
#include "wal/stretch.h"

#define WARMUP_RECORDS_PER_STEP 2048u
#define WARMUP_SLOTS_PER_STEP   1024u
#define WARMUP_SORTS_PER_STEP   512u
#define WARMUP_SETTLES_PER_STEP 32u
#define WARMUP_READ_BYTES       262144u
#define WARMUP_GAP_PART         4u /* of a read may be a gap that nobody wants */
#define WARMUP_MEMORY_PART      64u
#define WARMUP_PLACES_MIN       1024u
#define WARMUP_PLACES_CEIL      2097152u
#define WARMUP_STANDINGS        (WARP_RECORD_HITS_MASK + 1u)

enum warmup_phase {
    WARMUP_BEGIN,
    WARMUP_PICK,
    WARMUP_SORT,
    WARMUP_READ,
    WARMUP_SETTLE,
    WARMUP_DONE,
};

struct warmup_item {
    uint64_t place;
    uint64_t hash;
    uint32_t entry_bytes; /* in the log */
    uint16_t slot;
    uint8_t in_batch;
    uint8_t standing;
};

/* Of a shard. */
struct warmup_share {
    uint64_t allowance; /* bytes for the lowest standing that comes back */
    uint32_t lowest;    /* that standing */
    uint32_t full;      /* below this, nothing finds room any more */
};

struct warp_warmup {
    struct warp_warmup_config config;
    struct warp_epoch_record *record;
    struct warp_stretch stretch;
    enum warmup_phase phase;
    struct warmup_share shares[WARP_SHARD_COUNT_MAX];

    struct warmup_item *items;
    uint32_t capacity, count;
    bool again;      /* there were more, or some have moved */
    uint32_t slot;   /* to pick from next */
    uint32_t looks;  /* in this step */
    uint32_t sorted; /* [sorted, count) is in order */
    uint32_t at;     /* of those in order: the next to settle ... */
    uint32_t read;   /* ... and the first that was not read with it */
    uint8_t *key;    /* of a value that is read alone; WARP_KEY_BYTES_MAX */
    uint64_t lone_bytes;

    struct warp_warmup_counters counters;
};

int warp_warmup_create(struct warp_warmup **warmup, const struct warp_warmup_config *config)
{
    struct warp_memory *memory = config->store->memory;
    struct warp_warmup *made;
    uint64_t records = 0;
    uint32_t i;

    warp_assert(*warmup == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->config = *config;
    if (warp_epoch_register(config->store->epoch, &made->record) < 0) {
        warp_memory_release(memory, made, sizeof(*made));
        return WARP_ENOMEM;
    }
    warp_stretch_init(&made->stretch, config->disk, memory, config->manifest,
                      config->read_bytes != 0 ? config->read_bytes : WARMUP_READ_BYTES,
                      config->direct);
    for (i = 0; i < config->store->shard_count; i++) {
        records +=
            config->store->shards[i]->warm_records; /* of the replay, which is over */
    }
    warp_counter_set(&made->counters.wished, records);
    warp_counter_set(&made->counters.remaining, records);
    *warmup = made;
    return 0;
}

static void warmup_release(struct warp_warmup *warmup)
{
    struct warp_memory *memory = warmup->config.store->memory;

    warp_memory_release(memory, warmup->items, warmup->capacity * sizeof(*warmup->items));
    warmup->items = NULL;
    warmup->capacity = warmup->count = 0;
    warp_memory_release(memory, warmup->key, WARP_KEY_BYTES_MAX);
    warmup->key = NULL;
    warp_stretch_fini(&warmup->stretch);
}

void warp_warmup_destroy(struct warp_warmup **warmup)
{
    struct warp_warmup *gone = *warmup;

    if (gone == NULL) {
        return;
    }
    warmup_release(gone);
    warp_epoch_unregister(&gone->record);
    warp_memory_release(gone->config.store->memory, gone, sizeof(*gone));
    *warmup = NULL;
}

const struct warp_warmup_counters *warp_warmup_counters(const struct warp_warmup *warmup)
{
    return &warmup->counters;
}

static void warmup_end(struct warp_warmup *warmup)
{
    warmup_release(warmup);
    warp_counter_set(&warmup->counters.remaining, 0);
    warmup->phase = WARMUP_DONE;
}

/* One more is not wished for any more. */
static void warmup_settled(struct warp_warmup *warmup, _Atomic uint64_t *why)
{
    struct warp_warmup_counters *counters = &warmup->counters;

    warp_counter_add(why, 1);
    if (warp_counter_read(&counters->remaining) > 0) {
        warp_counter_add(&counters->remaining, UINT64_MAX);
    }
}

static void warmup_publish_reads(struct warp_warmup *warmup)
{
    warp_counter_set(&warmup->counters.reads, warmup->stretch.reads);
    warp_counter_set(&warmup->counters.read_bytes,
                     warmup->stretch.read_bytes + warmup->lone_bytes);
}

/* ---- begin -------------------------------------------------------------------------------- */

static void warmup_share(struct warmup_share *share, const uint64_t bytes[WARMUP_STANDINGS],
                         uint64_t room)
{
    uint32_t standing = WARMUP_STANDINGS;

    share->full = 0;
    do {
        standing--;
        share->lowest = standing;
        share->allowance = room;
        if (bytes[standing] >= room) {
            return;
        }
        room -= bytes[standing];
    } while (standing > 0);
}

static bool warmup_reserve(struct warp_warmup *warmup, uint64_t records)
{
    struct warp_store *store = warmup->config.store;
    uint64_t most = store->memory_bytes_max / WARMUP_MEMORY_PART / sizeof(*warmup->items);

    most = most < WARMUP_PLACES_MIN ? WARMUP_PLACES_MIN : most;
    most = most > WARMUP_PLACES_CEIL ? WARMUP_PLACES_CEIL : most;
    most = warmup->config.places_max != 0 ? warmup->config.places_max : most;
    most = most > records ? records : most;
    while (warmup->items == NULL && most > 0) {
        warmup->items =
            warp_memory_reserve(store->memory, most * sizeof(*warmup->items), 0);
        warmup->capacity = warmup->items == NULL ? 0 : (uint32_t)most;
        most /= 2;
    }
    return warmup->items != NULL;
}

static void warmup_begin(struct warp_warmup *warmup)
{
    struct warp_store *store = warmup->config.store;
    uint64_t records = 0;
    uint32_t i;

    for (i = 0; i < store->shard_count; i++) {
        struct warp_shard *shard = store->shards[i];
        uint64_t values;

        warp_shard_enter_surely(shard);
        if (shard->warm_records > 0) {
            warp_evict_share(shard);
            values = warp_horizon_bytes(&shard->horizon);
            warmup_share(&warmup->shares[i], shard->warm_bytes,
                         shard->values_max > values ? shard->values_max - values : 0);
            records += shard->warm_records;
            shard->warm_records = 0;
        }
        warp_shard_leave(shard);
    }
    if (records == 0 || !warmup_reserve(warmup, records)) {
        warmup_end(warmup);
        return;
    }
    warmup->slot = 0;
    warmup->again = false;
    warmup->phase = WARMUP_PICK;
}

/* ---- pick, sort --------------------------------------------------------------------------- */

static void warmup_sink(struct warmup_item *items, uint32_t count, uint32_t at)
{
    struct warmup_item moved = items[at];

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= count) {
            break;
        }
        child += child + 1 < count && items[child + 1].place > items[child].place;
        if (items[child].place <= moved.place) {
            break;
        }
        items[at] = items[child];
        at = child;
    }
    items[at] = moved;
}

static void warmup_rise(struct warmup_item *items, uint32_t at)
{
    struct warmup_item moved = items[at];

    while (at > 0 && items[(at - 1) / 2].place < moved.place) {
        items[at] = items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    items[at] = moved;
}

static bool warmup_is_hopeless(const struct warp_warmup *warmup, uint32_t shard,
                               uint32_t standing)
{
    const struct warmup_share *share = &warmup->shares[shard];

    return standing < share->lowest || standing < share->full;
}

static int warmup_visit(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct warp_warmup *warmup = context;
    const struct warp_store *store = warmup->config.store;
    int standing = warp_record_is_cold(record) ? warp_record_wished(record) : -1;
    struct warmup_item item;

    (void)place;
    warmup->looks++;
    if (standing < 0) {
        return 0;
    }
    if (warmup_is_hopeless(warmup, warp_slotmap_owner(&store->slotmap, warmup->slot),
                           (uint32_t)standing)) {
        warp_record_forgo(record);
        warmup_settled(warmup, &warmup->counters.left);
        return 0;
    }
    item.place = warp_record_place(record);
    if (warmup->count == warmup->capacity) {
        warmup->again = true;
        if (item.place >= warmup->items[0].place) {
            return 0;
        }
    }
    item.hash = warp_hash_key(warp_record_key(record), warp_record_key_bytes(record),
                              store->hash_seed);
    item.entry_bytes = (uint32_t)warp_entry_bytes(
        (uint8_t)((warp_record_has_expiry(record) ? WARP_ENTRY_HAS_EXPIRY : 0) |
                  (warp_record_in_batch(record) ? WARP_ENTRY_HAS_CHECKSUM : 0)),
        warp_record_key_bytes(record), warp_record_value_bytes(record));
    item.slot = (uint16_t)warmup->slot;
    item.in_batch = warp_record_in_batch(record);
    item.standing = (uint8_t)standing;
    if (warmup->count == warmup->capacity) {
        warmup->items[0] = item;
        warmup_sink(warmup->items, warmup->count, 0);
    } else {
        warmup->items[warmup->count] = item;
        warmup_rise(warmup->items, warmup->count++);
    }
    return 0;
}

static bool warmup_is_directory(const struct warp_store *store, uint32_t slot)
{
    return (atomic_load_explicit(&store->words[slot], memory_order_acquire) &
            WARP_WORD_DIRECTORY) != 0;
}

/* The lease of the shard that owns a slot; it may change its shard until we have it. */
static struct warp_shard *warmup_enter_owner(struct warp_store *store, uint32_t slot)
{
    for (;;) {
        struct warp_shard *shard = warp_store_owner(store, slot);

        warp_shard_enter_surely(shard);
        if (warp_store_owner(store, slot) == shard) {
            return shard;
        }
        warp_shard_leave(shard);
    }
}

/* A table that may be split under a reader is walked with the lease, as in shards/walk. */
static void warmup_look_at_slot(struct warp_warmup *warmup)
{
    struct warp_store *store = warmup->config.store;
    const warp_table_word *word = &store->words[warmup->slot];

    if (atomic_load_explicit(word, memory_order_relaxed) == 0) {
        return;
    }
    if (!warmup_is_directory(store, warmup->slot)) {
        bool still;

        warp_epoch_enter(warmup->record);
        still = !warmup_is_directory(store, warmup->slot);
        if (still) {
            (void)warp_table_walk(word, warmup_visit, warmup);
        }
        warp_epoch_leave(warmup->record);
        if (still) {
            return;
        }
    }
    {
        struct warp_shard *shard = warmup_enter_owner(store, warmup->slot);

        (void)warp_table_walk(word, warmup_visit, warmup);
        warp_shard_leave(shard);
    }
}

static void warmup_pick(struct warp_warmup *warmup)
{
    uint32_t slots = 0;

    for (warmup->looks = 0; warmup->slot < WARP_SLOT_COUNT; warmup->slot++) {
        if (warmup->looks >= WARMUP_RECORDS_PER_STEP || slots++ >= WARMUP_SLOTS_PER_STEP) {
            return;
        }
        warmup_look_at_slot(warmup);
    }
    if (warmup->count == 0) {
        warmup_end(warmup);
        return;
    }
    warmup->sorted = warmup->count;
    warmup->phase = WARMUP_SORT;
}

static void warmup_sort(struct warp_warmup *warmup)
{
    struct warmup_item *items = warmup->items;
    uint32_t left;

    for (left = WARMUP_SORTS_PER_STEP; left > 0 && warmup->sorted > 0; left--) {
        uint32_t last = --warmup->sorted;
        struct warmup_item greatest = items[0];

        items[0] = items[last];
        items[last] = greatest;
        warmup_sink(items, last, 0);
    }
    if (warmup->sorted == 0) {
        warmup->at = warmup->read = 0;
        warmup->phase = WARMUP_READ;
    }
}

/* ---- settle ------------------------------------------------------------------------------- */

static struct warp_stretch_item warmup_stretch_item(const struct warmup_item *item)
{
    return (struct warp_stretch_item){.place = item->place,
                                      .entry_bytes = item->entry_bytes,
                                      .in_batch = item->in_batch != 0};
}

/* The record that wishes for this value still, where it was; NULL: there is none. */
static struct warp_record *warmup_find(struct warp_shard *shard,
                                       const struct warmup_item *item,
                                       _Atomic uint64_t **place)
{
    struct warp_store *store = shard->store;
    struct warp_record *record;
    uint64_t hash;

    warp_assert(warp_slotmap_owner(&store->slotmap, item->slot) == shard->id);
    record = warp_table_find_masked(&store->words[item->slot], item->hash, UINT64_MAX,
                                    store->hash_seed, place, &hash);
    return record != NULL && warp_record_is_cold(record) && warp_record_wished(record) >= 0
               ? record
               : NULL;
}

static bool warmup_is_value_of(const struct warp_record *record,
                               const struct warp_record_content *content)
{
    return warp_record_place(record) == content->place &&
           warp_record_value_bytes(record) == content->value.bytes &&
           warp_record_expires_at_ms(record) == content->expires_at_ms &&
           warp_record_has_key(record, content->key.data, content->key.bytes);
}

/* Under the lease: the value takes its record's place, if there is room. */
static bool warmup_install(struct warp_warmup *warmup, struct warp_shard *shard,
                           const struct warmup_item *item,
                           const struct warp_record_content *content)
{
    struct warmup_share *share = &warmup->shares[shard->id];
    uint64_t bytes = warp_slab_round(warp_record_bytes_with((uint32_t)content->key.bytes,
                                                            (uint32_t)content->value.bytes,
                                                            warp_record_flags(content)));
    struct warp_record *record, *fresh;
    _Atomic uint64_t *place = NULL;

    if ((item->standing == share->lowest && bytes > share->allowance) ||
        !warp_evict_readmits(shard, content, item->standing)) {
        share->full = item->standing + 1u;
        return false;
    }
    if (warp_put_reserve_exchange(shard) < 0) {
        return false;
    }
    fresh = warp_evict_make(shard, content);
    if (fresh == NULL) {
        share->full = item->standing + 1u;
        return false;
    }
    /* Making room replaces records, but none that is cold. */
    record = warmup_find(shard, item, &place);
    warp_assert(record != NULL && warmup_is_value_of(record, content));
    warp_put_exchange(shard, item->slot, item->hash, fresh, record, place);
    if (item->standing == share->lowest) {
        share->allowance -= bytes;
    }
    warp_counter_add(&warmup->counters.bytes, bytes);
    return true;
}

/* content: what was read, or NULL: nothing that could be used. */
static void warmup_settle_one(struct warp_warmup *warmup, const struct warmup_item *item,
                              const struct warp_record_content *content)
{
    struct warp_store *store = warmup->config.store;
    struct warp_shard *shard = warmup_enter_owner(store, item->slot);
    struct warp_record *record;
    _Atomic uint64_t *place = NULL;
    bool installed = false, moved;

    record = warmup_find(shard, item, &place);
    moved = record != NULL && warp_record_place(record) != item->place;
    if (moved) {
        warmup->again = true; /* its wish is fulfilled from there */
    } else if (record != NULL) {
        installed = content != NULL && warmup_is_value_of(record, content) &&
                    !warp_record_is_expired(store, record) &&
                    warmup_install(warmup, shard, item, content);
        if (!installed) {
            /* Making room may have been tried: but this one is cold, and where it was. */
            warp_record_forgo(record);
        }
    }
    warp_shard_leave(shard);
    if (!moved) {
        warmup_settled(warmup,
                       installed ? &warmup->counters.values : &warmup->counters.left);
    }
}

/* A value that no stretch has room for: by itself, as a get would. */
static void warmup_read_alone(struct warp_warmup *warmup, const struct warmup_item *item)
{
    struct warp_store *store = warmup->config.store;
    struct warp_shard *shard;
    struct warp_coldread cold, *colds[1] = {&cold};
    struct warp_record_content content;
    struct warp_record *record;
    _Atomic uint64_t *place = NULL;

    if (warmup->key == NULL) {
        warmup->key = warp_memory_reserve(store->memory, WARP_KEY_BYTES_MAX, 0);
    }
    cold.open = false;
    shard = warmup_enter_owner(store, item->slot);
    record = warmup_find(shard, item, &place);
    if (record != NULL && warmup->key != NULL && warp_record_place(record) == item->place) {
        struct warp_slice key = {warmup->key, warp_record_key_bytes(record)};

        memcpy(warmup->key, warp_record_key(record), key.bytes);
        warp_coldread_begin(store, &cold, item->slot, item->hash, key, record);
    }
    warp_shard_leave(shard);
    if (!cold.open) {
        warmup_settle_one(warmup, item, NULL);
        return;
    }
    warp_coldread_run(store, colds, 1);
    warp_counter_add(&warmup->counters.lone_reads, 1);
    warmup->lone_bytes += cold.read.rc == 0 ? item->entry_bytes : 0;
    warmup_publish_reads(warmup);
    content =
        (struct warp_record_content){.sequence = cold.read.sequence,
                                     .place = cold.read.place,
                                     .key = cold.read.key,
                                     .value = {cold.read.value, cold.read.value_bytes},
                                     .expires_at_ms = cold.read.expires_at_ms,
                                     .in_batch = cold.read.in_batch};
    warmup_settle_one(warmup, item, cold.read.rc == 0 ? &content : NULL);
    warp_coldread_end(store, &cold);
}

static void warmup_settle(struct warp_warmup *warmup)
{
    uint32_t left;

    for (left = WARMUP_SETTLES_PER_STEP; left > 0 && warmup->at < warmup->read; left--) {
        const struct warmup_item *item = &warmup->items[warmup->at++];
        struct warp_stretch_item wanted = warmup_stretch_item(item);
        struct warp_record_content content;
        struct warp_entry entry;
        uint64_t sequence;

        if (warp_stretch_entry(&warmup->stretch, &wanted, &entry, &sequence) < 0) {
            warmup_settle_one(warmup, item, NULL);
            continue;
        }
        content = (struct warp_record_content){.sequence = sequence,
                                               .place = item->place,
                                               .key = {entry.key, entry.key_bytes},
                                               .value = {entry.value, entry.value_bytes},
                                               .expires_at_ms = entry.expires_at_ms,
                                               .in_batch = item->in_batch != 0};
        warmup_settle_one(warmup, item, &content);
    }
    if (warmup->at == warmup->read) {
        warmup->phase = WARMUP_READ;
    }
}

/* ---- read --------------------------------------------------------------------------------- */

/* As many of the next as lie close enough together; 0: the next one is to be read alone. */
static uint32_t warmup_neighbours(const struct warp_warmup *warmup,
                                  struct warp_stretch_extent *all)
{
    const struct warp_stretch *stretch = &warmup->stretch;
    struct warp_stretch_extent one;
    struct warp_stretch_item item;
    uint32_t at;

    for (at = warmup->at; at < warmup->count; at++) {
        item = warmup_stretch_item(&warmup->items[at]);
        if (!warp_stretch_extent(stretch, &item, &one)) {
            break;
        }
        if (at == warmup->at) {
            *all = one;
            continue;
        }
        if (one.file != all->file ||
            one.end - all->begin > warp_stretch_span_max(stretch) ||
            (one.begin > all->end &&
             one.begin - all->end > stretch->window_bytes / WARMUP_GAP_PART)) {
            break;
        }
        all->end = one.end > all->end ? one.end : all->end;
    }
    return at - warmup->at;
}

static void warmup_read(struct warp_warmup *warmup)
{
    struct warp_store *store = warmup->config.store;
    struct warp_stretch_extent extent;
    const struct warmup_item *item;
    uint32_t count;

    if (warmup->at == warmup->count) {
        if (!warmup->again) {
            warmup_end(warmup);
            return;
        }
        warmup->again = false;
        warmup->count = 0;
        warmup->slot = 0;
        warmup->phase = WARMUP_PICK;
        return;
    }
    item = &warmup->items[warmup->at];
    if (warmup_is_hopeless(warmup, warp_slotmap_owner(&store->slotmap, item->slot),
                           item->standing)) {
        warmup->at++;
        warmup->read = warmup->at;
        warmup_settle_one(warmup, item, NULL);
        return;
    }
    count = warmup_neighbours(warmup, &extent);
    if (count == 0) {
        warmup->at++;
        warmup->read = warmup->at;
        warmup_read_alone(warmup, item);
        return;
    }
    (void)warp_stretch_read(&warmup->stretch,
                            &extent); /* or no entry will be found in it */
    warmup_publish_reads(warmup);
    warmup->read = warmup->at + count;
    warmup->phase = WARMUP_SETTLE;
}

bool warp_warmup_step(struct warp_warmup *warmup)
{
    switch (warmup->phase) {
    case WARMUP_BEGIN:
        warmup_begin(warmup);
        break;
    case WARMUP_PICK:
        warmup_pick(warmup);
        break;
    case WARMUP_SORT:
        warmup_sort(warmup);
        break;
    case WARMUP_READ:
        warmup_read(warmup);
        break;
    case WARMUP_SETTLE:
        warmup_settle(warmup);
        break;
    case WARMUP_DONE:
        return false;
    }
    return warmup->phase != WARMUP_DONE;
}
