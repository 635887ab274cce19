/*
 * A table is an array of files and bytes with linear probing, at most three quarters full. A file
 * that is in it stays until the table is made anew, when the ones without bytes are left out; so
 * an observer that probes beside the owner finds what is there, or does not find what is not
 * there yet.
 */
#include "shards/ledger.h"

#include <string.h>

#include "base/counter.h"
#include "shards/store.h"

#define LEDGER_CAPACITY_MIN 32u

struct ledger_entry {
    _Atomic uint64_t file; /* 0: none */
    _Atomic uint64_t bytes;
};

struct warp_ledger_table {
    uint64_t mask;
    struct ledger_entry entries[];
};

struct ledger_count {
    uint64_t file;
    uint64_t bytes;
};

struct warp_ledger_tally {
    const struct warp_store *store;
    size_t bytes;
    uint64_t mask;
    struct ledger_count counts[];
};

static uint64_t ledger_segment_key(uint64_t index)
{
    return index * 2 + 1;
}

static uint64_t ledger_archive_key(uint32_t number)
{
    return (uint64_t)number * 2 + 2;
}

static size_t ledger_table_bytes(uint64_t capacity)
{
    return sizeof(struct warp_ledger_table) + capacity * sizeof(struct ledger_entry);
}

/* The entry of a file, or the one where it would be. */
static uint64_t ledger_probe(const struct warp_ledger_table *table, uint64_t key)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

    for (;; at++) {
        /* Acquire: pairs with the release in ledger_take, so the bytes are not older. */
        uint64_t file = atomic_load_explicit(&table->entries[at & table->mask].file,
                                             memory_order_acquire);

        if (file == key || file == 0) {
            return at & table->mask;
        }
    }
}

static struct warp_ledger_table *ledger_table(const struct warp_ledger *ledger)
{
    /* Acquire: pairs with the release in warp_ledger_make_room. */
    return atomic_load_explicit(&ledger->table, memory_order_acquire);
}

void warp_ledger_init(struct warp_ledger *ledger, struct warp_limbo *limbo,
                      uint32_t segment_bytes)
{
    warp_assert(segment_bytes >= 4096 && (segment_bytes & (segment_bytes - 1)) == 0);
    memset(ledger, 0, sizeof(*ledger));
    ledger->limbo = limbo;
    ledger->segment_shift = (uint32_t)__builtin_ctz(segment_bytes);
}

int warp_ledger_make_room(struct warp_ledger *ledger, uint32_t files)
{
    struct warp_ledger_table *old = ledger_table(ledger);
    struct warp_ledger_table *fresh;
    uint64_t capacity = LEDGER_CAPACITY_MIN;
    uint64_t kept = 0;
    uint64_t i;

    for (i = 0; old != NULL && i <= old->mask; i++) {
        kept += warp_counter_read(&old->entries[i].bytes) != 0;
    }
    while (capacity / 2 < kept + files) {
        capacity *= 2;
    }
    if (warp_limbo_reserve(ledger->limbo, 1) < 0) {
        return WARP_ENOMEM;
    }
    fresh = warp_slab_reserve(&ledger->limbo->pool, ledger_table_bytes(capacity));
    if (fresh == NULL) {
        return WARP_ENOMEM;
    }
    memset(fresh, 0, ledger_table_bytes(capacity));
    fresh->mask = capacity - 1;
    for (i = 0; old != NULL && i <= old->mask; i++) {
        uint64_t bytes = warp_counter_read(&old->entries[i].bytes);
        uint64_t file = warp_counter_read(&old->entries[i].file);

        if (bytes != 0) {
            struct ledger_entry *to = &fresh->entries[ledger_probe(fresh, file)];

            warp_counter_set(&to->bytes, bytes);
            warp_counter_set(&to->file, file);
        }
    }
    /* Release: pairs with the acquire in ledger_table. */
    atomic_store_explicit(&ledger->table, fresh, memory_order_release);
    ledger->last_bytes = NULL;
    ledger->used = (uint32_t)kept;
    ledger->room = (uint32_t)(capacity / 4 * 3 - kept);
    if (old != NULL) {
        warp_limbo_retire_memory(ledger->limbo, old, ledger_table_bytes(old->mask + 1));
    }
    return 0;
}

/* The bytes of a file that something is counted into; reserve came before. */
static _Atomic uint64_t *ledger_take(struct warp_ledger *ledger, uint64_t key)
{
    struct warp_ledger_table *table = ledger_table(ledger);
    struct ledger_entry *entry;

    warp_assert(table != NULL);
    entry = &table->entries[ledger_probe(table, key)];
    if (warp_counter_read(&entry->file) == 0) {
        warp_assert(ledger->room > 0);
        ledger->room--;
        ledger->used++;
        atomic_store_explicit(&entry->file, key, memory_order_release);
    }
    return &entry->bytes;
}

/* The bytes of a file that something is counted out of. */
static _Atomic uint64_t *ledger_find(struct warp_ledger *ledger, uint64_t key)
{
    struct warp_ledger_table *table = ledger_table(ledger);
    struct ledger_entry *entry;

    if (WARP_UNLIKELY(ledger->mixed)) {
        return ledger_take(ledger, key); /* reserve_out came before */
    }
    warp_assert(table != NULL);
    entry = &table->entries[ledger_probe(table, key)];
    warp_assert(warp_counter_read(&entry->file) == key);
    return &entry->bytes;
}

/* The piece of an extent that begins at `at`: its segment, and where it ends. */
static uint64_t ledger_piece(const struct warp_ledger *ledger,
                             const struct warp_ledger_extent *extent, uint64_t at,
                             uint64_t *key)
{
    uint64_t index = at >> ledger->segment_shift;
    uint64_t end = (index + 1) << ledger->segment_shift;

    *key = ledger_segment_key(index);
    return end < extent->to ? end : extent->to;
}

void warp_ledger_in(struct warp_ledger *ledger, const struct warp_record *record)
{
    struct warp_ledger_extent extent = warp_ledger_extent(record);
    uint64_t at, end, key, index;

    if (warp_record_is_archived(record)) {
        key = ledger_archive_key(warp_place_decode(warp_record_place(record)).file);
        warp_counter_add(ledger_take(ledger, key), extent.to);
        return;
    }
    index = extent.from >> ledger->segment_shift;
    if (WARP_LIKELY(ledger->last_bytes != NULL && ledger->last_index == index &&
                    (extent.to - 1) >> ledger->segment_shift == index)) {
        warp_counter_add(ledger->last_bytes, extent.to - extent.from);
        return;
    }
    for (at = extent.from; at < extent.to; at = end) {
        end = ledger_piece(ledger, &extent, at, &key);
        ledger->last_bytes = ledger_take(ledger, key);
        ledger->last_index = at >> ledger->segment_shift;
        warp_counter_add(ledger->last_bytes, end - at);
    }
}

static void ledger_sub(const struct warp_ledger *ledger, _Atomic uint64_t *counter,
                       uint64_t bytes)
{
    uint64_t now = warp_counter_read(counter);

    warp_assert(now >= bytes || ledger->mixed);
    /* Release: who sees that nothing is left sees the tables without it; pairs with ledger_sum. */
    atomic_store_explicit(counter, now - bytes, memory_order_release);
}

void warp_ledger_out(struct warp_ledger *ledger, const struct warp_record *record)
{
    struct warp_ledger_extent extent = warp_ledger_extent(record);
    uint64_t at, end, key;

    if (warp_record_is_archived(record)) {
        key = ledger_archive_key(warp_place_decode(warp_record_place(record)).file);
        ledger_sub(ledger, ledger_find(ledger, key), extent.to);
        return;
    }
    for (at = extent.from; at < extent.to; at = end) {
        end = ledger_piece(ledger, &extent, at, &key);
        ledger_sub(ledger, ledger_find(ledger, key), end - at);
    }
}

/* ---- what has moved ----------------------------------------------------------------------- */

uint32_t warp_ledger_missing(const struct warp_ledger *ledger,
                             const struct warp_record *old)
{
    const struct warp_ledger_table *table = ledger_table(ledger);
    struct warp_ledger_extent extent;
    uint64_t at, end, key;
    uint32_t missing = 0;

    if (WARP_LIKELY(!ledger->mixed)) {
        return 0;
    }
    extent = warp_ledger_extent(old);
    for (at = extent.from; at < extent.to; at = end) {
        if (warp_record_is_archived(old)) {
            key = ledger_archive_key(warp_place_decode(warp_record_place(old)).file);
            end = extent.to;
        } else {
            end = ledger_piece(ledger, &extent, at, &key);
        }
        missing += table == NULL ||
                   warp_counter_read(&table->entries[ledger_probe(table, key)].file) != key;
    }
    return missing;
}

int warp_ledger_reserve_out(struct warp_ledger *ledger, uint64_t bytes,
                            const struct warp_record *old)
{
    uint32_t missing = warp_ledger_missing(ledger, old);
    int rc;

    /* Making room leaves files out that nothing is counted of now: they are missing then, and the
     * second time there are none of these. */
    while (!warp_ledger_has_room(ledger, bytes, missing)) {
        rc = warp_ledger_make_room(
            ledger, (uint32_t)((bytes + 64) >> ledger->segment_shift) + 2 + missing);
        if (rc < 0) {
            return rc;
        }
        missing = warp_ledger_missing(ledger, old);
    }
    return 0;
}

void warp_ledger_forget(struct warp_ledger *ledger, bool archive, uint64_t index)
{
    struct warp_ledger_table *table = ledger_table(ledger);
    uint64_t key =
        archive ? ledger_archive_key((uint32_t)index) : ledger_segment_key(index);
    struct ledger_entry *entry;

    if (table != NULL) {
        entry = &table->entries[ledger_probe(table, key)];
        if (warp_counter_read(&entry->file) == key) {
            warp_counter_set(&entry->bytes, 0);
        }
    }
}

uint64_t warp_ledger_bytes(const struct warp_ledger *ledger)
{
    const struct warp_ledger_table *table = ledger_table(ledger);

    return table == NULL ? 0 : warp_slab_round(ledger_table_bytes(table->mask + 1));
}

/* ---- checking --------------------------------------------------------------------------- */

static struct ledger_count *ledger_tally_at(struct warp_ledger_tally *tally, uint64_t key)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

    while (tally->counts[at & tally->mask].file != key &&
           tally->counts[at & tally->mask].file != 0) {
        at++;
    }
    return &tally->counts[at & tally->mask];
}

struct warp_ledger_tally *warp_ledger_tally_begin(const struct warp_store *store)
{
    struct warp_ledger_tally *tally;
    uint64_t files = 1, capacity = LEDGER_CAPACITY_MIN, at;
    size_t bytes;
    uint32_t i;

    for (i = 0; i < store->shard_count; i++) {
        files += store->shards[i]->ledger.used;
    }
    while (capacity < files * 2) {
        capacity *= 2;
    }
    bytes = sizeof(*tally) + capacity * sizeof(tally->counts[0]);
    tally = warp_memory_reserve(store->memory, bytes, 0);
    if (tally == NULL) {
        return NULL;
    }
    memset(tally, 0, bytes);
    tally->store = store;
    tally->bytes = bytes;
    tally->mask = capacity - 1;
    for (i = 0; i < store->shard_count; i++) {
        const struct warp_ledger_table *table = ledger_table(&store->shards[i]->ledger);

        for (at = 0; table != NULL && at <= table->mask; at++) {
            uint64_t file = warp_counter_read(&table->entries[at].file);

            if (file != 0) {
                ledger_tally_at(tally, file)->file = file;
            }
        }
    }
    return tally;
}

static void ledger_tally(struct warp_ledger_tally *tally, uint64_t key, uint64_t bytes)
{
    struct ledger_count *count = ledger_tally_at(tally, key);

    warp_assert(count->file == key);
    count->bytes += bytes;
}

void warp_ledger_tally_add(struct warp_ledger_tally *tally,
                           const struct warp_record *record)
{
    struct warp_ledger_extent extent = warp_ledger_extent(record);
    uint64_t at, end, key;

    if (tally == NULL) {
        return;
    }
    if (warp_record_is_archived(record)) {
        key = ledger_archive_key(warp_place_decode(warp_record_place(record)).file);
        ledger_tally(tally, key, extent.to);
        return;
    }
    for (at = extent.from; at < extent.to; at = end) {
        end = ledger_piece(&tally->store->shards[0]->ledger, &extent, at, &key);
        ledger_tally(tally, key, end - at);
    }
}

/* What all shards together have counted; below nothing while moves and counts are under way. */
static uint64_t ledger_add_up(const struct warp_store *store, uint64_t key)
{
    uint64_t bytes = 0;
    uint32_t i;

    for (i = 0; i < store->shard_count; i++) {
        const struct warp_ledger_table *table = ledger_table(&store->shards[i]->ledger);

        if (table != NULL) {
            uint64_t at = ledger_probe(table, key);

            /* Nothing is taken out of the table: where the file is not, nothing is. */
            if (warp_counter_read(&table->entries[at].file) == key) {
                bytes +=
                    atomic_load_explicit(&table->entries[at].bytes, memory_order_acquire);
            }
        }
    }
    return bytes;
}

void warp_ledger_tally_end(struct warp_ledger_tally **tally)
{
    struct warp_ledger_tally *one = *tally;
    bool clearing;
    uint64_t i;

    if (one == NULL) {
        return;
    }
    clearing =
        atomic_load_explicit(&one->store->moving.clearing, memory_order_relaxed) != 0;
    for (i = 0; i <= one->mask; i++) {
        const struct ledger_count *count = &one->counts[i];

        /* Of a file that is gone some shards may have forgotten their part already. */
        warp_assert(count->file == 0 || (clearing && count->bytes == 0) ||
                    count->bytes == ledger_add_up(one->store, count->file));
    }
    warp_memory_release(one->store->memory, one, one->bytes);
    *tally = NULL;
}

/* ---- sums over shards ------------------------------------------------------------------- */

/* Above the head a record may be seen to die in one shard before it is seen to live in another. */
static uint64_t ledger_sum(const struct warp_store *store, uint64_t key)
{
    uint64_t bytes = ledger_add_up(store, key);

    return (int64_t)bytes < 0 ? 0 : bytes;
}

uint64_t warp_ledger_segment(const struct warp_store *store, uint64_t index)
{
    return ledger_sum(store, ledger_segment_key(index));
}

uint64_t warp_ledger_archive(const struct warp_store *store, uint32_t number)
{
    return ledger_sum(store, ledger_archive_key(number));
}
