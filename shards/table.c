#include "shards/table.h"

#include <string.h>

#include "base/hash.h"

#define TABLE_WALK_AHEAD 2u  /* buckets whose records are fetched before they are visited */
#define TABLE_KEY_BYTES  32u /* of a record that most keys end in */

static uint32_t table_code_for(uint32_t buckets)
{
    uint32_t code = 0;

    while (warp_table_buckets((uint64_t)code << 48) < buckets) {
        code++;
    }
    return code;
}

/* So many entries may be used before the array is replaced: 13/16 of it. */
static uint32_t table_used_max(uint32_t buckets)
{
    return buckets == 1 ? 7 : buckets * WARP_BUCKET_ENTRIES * 13 / 16;
}

/* An array for so many records: 5/8 full with them. */
static uint32_t table_buckets_for(uint32_t live)
{
    uint32_t buckets = (live + 4) / 5;

    return buckets == 0 ? 1 : buckets;
}

static uint64_t table_word(void *pointer, uint32_t code)
{
    warp_assert(((uint64_t)(uintptr_t)pointer & ~WARP_POINTER_MASK) == 0);
    return (uint64_t)(uintptr_t)pointer | (uint64_t)code << 48;
}

static size_t table_directory_bytes(uint32_t depth)
{
    size_t words = (size_t)1 << depth;

    return sizeof(struct warp_table_directory) +
           words * (sizeof(uint64_t) + sizeof(struct warp_table_count) + 1);
}

/* Put an entry where its tag belongs. The array is not published yet or the caller holds the
 * lease; release, so that who sees the entry sees the record. */
static void table_place(uint64_t word, struct warp_table_count *count, uint64_t entry)
{
    struct warp_table_bucket *buckets = warp_word_pointer(word);
    uint32_t n = warp_table_buckets(word);
    uint32_t at = warp_table_home((uint16_t)(entry >> 48), n);

    for (;;) {
        struct warp_table_bucket *bucket = &buckets[at];
        uint32_t i;

        for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
            uint64_t old = atomic_load_explicit(&bucket->entries[i], memory_order_relaxed);

            if (old <= WARP_ENTRY_REMOVED) {
                count->live++;
                if (old == WARP_ENTRY_EMPTY) {
                    count->used++;
                }
                atomic_store_explicit(&bucket->entries[i], entry, memory_order_release);
                return;
            }
        }
        at = at + 1 == n ? 0 : at + 1;
    }
}

struct warp_record *warp_table_find_masked(const warp_table_word *slot_word, uint64_t bits,
                                           uint64_t mask, uint64_t hash_seed,
                                           _Atomic uint64_t **place, uint64_t *hash)
{
    uint16_t tag = warp_table_tag(bits);
    uint64_t word = warp_table_resolve(slot_word, bits);
    struct warp_table_bucket *buckets = warp_word_pointer(word);
    uint32_t count, at, left;

    if (word == 0) {
        return NULL;
    }
    count = warp_table_buckets(word);
    at = warp_table_home(tag, count);
    for (left = count; left > 0; left--) {
        struct warp_table_bucket *bucket = &buckets[at];
        uint32_t match = warp_table_match(bucket, tag);

        while (match != 0) {
            uint32_t i = (uint32_t)__builtin_ctz(match);
            uint64_t entry =
                atomic_load_explicit(&bucket->entries[i], memory_order_relaxed);
            struct warp_record *record = warp_word_pointer(entry);

            match &= match - 1;
            if (entry > WARP_ENTRY_REMOVED && (uint16_t)(entry >> 48) == tag) {
                *hash = warp_hash_key(warp_record_key(record),
                                      warp_record_key_bytes(record), hash_seed);
                if ((*hash & mask) == bits) {
                    *place = &bucket->entries[i];
                    return record;
                }
            }
        }
        if (warp_table_chain_ends(bucket)) {
            return NULL;
        }
        at = at + 1 == count ? 0 : at + 1;
    }
    return NULL;
}

static void *table_new_array(struct warp_limbo *limbo, uint32_t buckets)
{
    void *array = warp_slab_reserve(&limbo->pool, (size_t)buckets * WARP_BUCKET_BYTES);

    if (array != NULL) {
        warp_assert((uintptr_t)array % WARP_BUCKET_BYTES == 0);
        memset(array, 0, (size_t)buckets * WARP_BUCKET_BYTES);
    }
    return array;
}

static void table_retire_array(struct warp_limbo *limbo, uint64_t word)
{
    if (word != 0) {
        warp_limbo_retire_memory(limbo, warp_word_pointer(word),
                                 (size_t)warp_table_buckets(word) * WARP_BUCKET_BYTES);
    }
}

/* Replace an array by one that has room; by the tags alone, no record is looked at. */
static int table_grow(warp_table_word *at, struct warp_table_count *count,
                      struct warp_limbo *limbo)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    struct warp_table_bucket *buckets = warp_word_pointer(old);
    uint32_t code =
        table_code_for(table_buckets_for((uint32_t)count->live + count->reserved + 1));
    uint32_t n = old == 0 ? 0 : warp_table_buckets(old);
    struct warp_table_count fresh = {0, 0, count->reserved};
    uint64_t word;
    void *array;
    uint32_t b, i;

    warp_assert(warp_table_buckets((uint64_t)code << 48) <= WARP_TABLE_BUCKETS_MAX);
    array = table_new_array(limbo, warp_table_buckets((uint64_t)code << 48));
    if (array == NULL) {
        return WARP_ENOMEM;
    }
    word = table_word(array, code);
    for (b = 0; b < n; b++) {
        for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
            uint64_t entry =
                atomic_load_explicit(&buckets[b].entries[i], memory_order_relaxed);

            if (entry > WARP_ENTRY_REMOVED) {
                table_place(word, &fresh, entry);
            }
        }
    }
    warp_assert(fresh.live == count->live);
    *count = fresh;
    /* Release: pairs with the acquire in warp_table_resolve. */
    atomic_store_explicit(at, word, memory_order_release);
    table_retire_array(limbo, old);
    return 0;
}

static struct warp_table_directory *table_new_directory(struct warp_limbo *limbo,
                                                        uint32_t depth)
{
    size_t words = (size_t)1 << depth;
    struct warp_table_directory *directory =
        warp_slab_reserve(&limbo->pool, table_directory_bytes(depth));

    if (directory == NULL) {
        return NULL;
    }
    memset(directory, 0, table_directory_bytes(depth));
    directory->depth = depth;
    directory->counts = (struct warp_table_count *)(directory->words + words);
    directory->depths = (uint8_t *)(directory->counts + words);
    return directory;
}

/* Twice the words, each array behind two of them. */
static int table_double(warp_table_word *slot_word, struct warp_limbo *limbo)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);
    struct warp_table_directory *old = warp_word_pointer(word);
    struct warp_table_directory *grown = table_new_directory(limbo, old->depth + 1);
    uint32_t words = 1u << old->depth;
    uint32_t i;

    if (grown == NULL) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < 2 * words; i++) {
        uint32_t from = i & (words - 1);

        atomic_init(&grown->words[i],
                    atomic_load_explicit(&old->words[from], memory_order_relaxed));
        grown->counts[i] = old->counts[from];
        grown->depths[i] = old->depths[from];
    }
    /* Release: pairs with the acquire in warp_table_resolve. */
    atomic_store_explicit(slot_word, (uint64_t)(uintptr_t)grown | WARP_WORD_DIRECTORY,
                          memory_order_release);
    warp_limbo_retire_memory(limbo, old, table_directory_bytes(old->depth));
    return 0;
}

/* Where a record goes when its array is divided: the next bit of its hash. */
static uint32_t table_side(uint64_t entry, uint32_t depth, uint64_t hash_seed)
{
    const struct warp_record *record = warp_word_pointer(entry);
    uint64_t hash =
        warp_hash_key(warp_record_key(record), warp_record_key_bytes(record), hash_seed);

    return (uint32_t)(hash >> depth) & 1;
}

/* Divide one array in two by the next bit of the hash. Looks at its records: at most ~6,700. */
static int table_split(struct warp_table_directory *directory, uint32_t index,
                       struct warp_limbo *limbo, uint64_t hash_seed)
{
    uint64_t old = atomic_load_explicit(&directory->words[index], memory_order_relaxed);
    struct warp_table_bucket *buckets = warp_word_pointer(old);
    uint32_t n = warp_table_buckets(old);
    uint32_t depth = directory->depths[index];
    uint32_t pattern = index & ((1u << depth) - 1);
    uint32_t live[2] = {0, 0};
    struct warp_table_count counts[2] = {{0, 0, 0}, {0, 0, 0}};
    uint64_t words[2] = {0, 0};
    uint32_t b, i, side;

    /* Either side may get all of them, so count first. */
    for (b = 0; b < n; b++) {
        for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
            uint64_t entry =
                atomic_load_explicit(&buckets[b].entries[i], memory_order_relaxed);

            if (entry > WARP_ENTRY_REMOVED) {
                live[table_side(entry, depth, hash_seed)]++;
            }
        }
    }
    for (side = 0; side < 2; side++) {
        uint32_t code = table_code_for(table_buckets_for(live[side] + 1));
        void *array;

        if (warp_table_buckets((uint64_t)code << 48) > WARP_TABLE_BUCKETS_MAX) {
            code = table_code_for(WARP_TABLE_BUCKETS_MAX);
        }
        array = table_new_array(limbo, warp_table_buckets((uint64_t)code << 48));
        if (array == NULL) {
            if (side == 1) {
                warp_slab_release(&limbo->pool, warp_word_pointer(words[0]),
                                  (size_t)warp_table_buckets(words[0]) * WARP_BUCKET_BYTES);
            }
            return WARP_ENOMEM;
        }
        words[side] = table_word(array, code);
    }
    for (b = 0; b < n; b++) {
        for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
            uint64_t entry =
                atomic_load_explicit(&buckets[b].entries[i], memory_order_relaxed);

            if (entry > WARP_ENTRY_REMOVED) {
                side = table_side(entry, depth, hash_seed);
                table_place(words[side], &counts[side], entry);
            }
        }
    }
    for (i = pattern; i < 1u << directory->depth; i += 1u << depth) {
        side = (i >> depth) & 1;
        directory->counts[i] = counts[side];
        directory->depths[i] = (uint8_t)(depth + 1);
        /* Release: pairs with the acquire in warp_table_resolve. */
        atomic_store_explicit(&directory->words[i], words[side], memory_order_release);
    }
    table_retire_array(limbo, old);
    return 0;
}

/* Words of a directory that share an array share its count: all copies must agree. */
static void table_spread_count(struct warp_table_directory *directory, uint32_t index)
{
    uint32_t depth = directory->depths[index];
    uint32_t i;

    for (i = index & ((1u << depth) - 1); i < 1u << directory->depth; i += 1u << depth) {
        directory->counts[i] = directory->counts[index];
    }
}

static void table_spread_word(struct warp_table_directory *directory, uint32_t index)
{
    uint64_t word = atomic_load_explicit(&directory->words[index], memory_order_relaxed);
    uint32_t depth = directory->depths[index];
    uint32_t i;

    for (i = index & ((1u << depth) - 1); i < 1u << directory->depth; i += 1u << depth) {
        atomic_store_explicit(&directory->words[i], word, memory_order_release);
    }
    table_spread_count(directory, index);
}

static bool table_is_full(uint64_t word, const struct warp_table_count *count)
{
    return word == 0 || (uint32_t)count->used + count->reserved + 1 >
                            table_used_max(warp_table_buckets(word));
}

static bool table_is_greatest(const struct warp_table_count *count)
{
    return table_buckets_for((uint32_t)count->live + count->reserved + 1) >
           WARP_TABLE_BUCKETS_MAX;
}

int warp_table_prepare(warp_table_word *slot_word, struct warp_table_count *count,
                       struct warp_limbo *limbo, uint64_t hash, uint64_t hash_seed,
                       bool reserve)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);
    struct warp_table_directory *directory;
    bool split = false;
    uint32_t index;
    int rc;

    if (WARP_LIKELY((word & WARP_WORD_DIRECTORY) == 0)) {
        if (WARP_LIKELY(!table_is_full(word, count))) {
            count->reserved = (uint16_t)(count->reserved + (reserve ? 1 : 0));
            return 0;
        }
        if (!table_is_greatest(count)) {
            rc = table_grow(slot_word, count, limbo);
            if (rc == 0 && reserve) {
                count->reserved++;
            }
            return rc;
        }
        directory = table_new_directory(limbo, 0);
        if (directory == NULL) {
            return WARP_ENOMEM;
        }
        atomic_init(&directory->words[0], word);
        directory->counts[0] = *count;
        /* Release: pairs with the acquire in warp_table_resolve. */
        atomic_store_explicit(slot_word,
                              (uint64_t)(uintptr_t)directory | WARP_WORD_DIRECTORY,
                              memory_order_release);
    }
    /* A split may leave everything on one side; the bound is the bits of a hash we may use. */
    for (;;) {
        struct warp_table_count *one;

        directory =
            warp_word_pointer(atomic_load_explicit(slot_word, memory_order_relaxed));
        index = (uint32_t)(hash & ((UINT64_C(1) << directory->depth) - 1));
        word = atomic_load_explicit(&directory->words[index], memory_order_relaxed);
        one = &directory->counts[index];
        if (!table_is_full(word, one) || !table_is_greatest(one)) {
            if (table_is_full(word, one)) {
                rc = table_grow(&directory->words[index], one, limbo);
                if (rc < 0) {
                    return rc;
                }
            }
            one->reserved = (uint16_t)(one->reserved + (reserve ? 1 : 0));
            table_spread_word(directory, index);
            return split && reserve ? WARP_AGAIN : 0;
        }
        if (warp_limbo_reserve(limbo, 4) < 0) {
            return WARP_ENOMEM;
        }
        if (directory->depths[index] == directory->depth) {
            if (directory->depth == 24) {
                return WARP_ENOMEM; /* 2^24 arrays in one slot: not with a secret hash */
            }
            rc = table_double(slot_word, limbo);
            if (rc < 0) {
                return rc;
            }
            continue;
        }
        rc = table_split(directory, index, limbo, hash_seed);
        if (rc < 0) {
            return rc;
        }
        split = true;
    }
}

int warp_table_renew(warp_table_word *slot_word, struct warp_table_count *count,
                     struct warp_limbo *limbo)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);

    if (word == 0 || (word & WARP_WORD_DIRECTORY) != 0 || table_is_greatest(count)) {
        return 0;
    }
    return table_grow(slot_word, count, limbo);
}

void warp_table_unreserve(warp_table_word *slot_word, struct warp_table_count *count,
                          uint64_t hash)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);

    if ((word & WARP_WORD_DIRECTORY) != 0) {
        struct warp_table_directory *directory = warp_word_pointer(word);
        uint32_t index = (uint32_t)(hash & ((UINT64_C(1) << directory->depth) - 1));

        directory->counts[index].reserved = 0;
        table_spread_count(directory, index);
    } else {
        count->reserved = 0;
    }
}

void warp_table_insert(warp_table_word *slot_word, struct warp_table_count *count,
                       uint64_t hash, struct warp_record *record)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);
    uint64_t entry = (uint64_t)warp_table_tag(hash) << 48 | (uint64_t)(uintptr_t)record;

    warp_assert(((uint64_t)(uintptr_t)record & ~WARP_POINTER_MASK) == 0);
    if (WARP_UNLIKELY((word & WARP_WORD_DIRECTORY) != 0)) {
        struct warp_table_directory *directory = warp_word_pointer(word);
        uint32_t index = (uint32_t)(hash & ((UINT64_C(1) << directory->depth) - 1));

        count = &directory->counts[index];
        table_place(atomic_load_explicit(&directory->words[index], memory_order_relaxed),
                    count, entry);
        count->reserved = (uint16_t)(count->reserved - (count->reserved > 0 ? 1 : 0));
        table_spread_count(directory, index);
        return;
    }
    table_place(word, count, entry);
    count->reserved = (uint16_t)(count->reserved - (count->reserved > 0 ? 1 : 0));
}

void warp_table_remove(warp_table_word *slot_word, struct warp_table_count *count,
                       uint64_t hash, _Atomic uint64_t *place)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);
    struct warp_table_bucket *bucket =
        (struct warp_table_bucket *)(void *)((uintptr_t)place & ~(uintptr_t)63);
    bool chained = !warp_table_chain_ends(bucket);

    if (WARP_UNLIKELY((word & WARP_WORD_DIRECTORY) != 0)) {
        struct warp_table_directory *directory = warp_word_pointer(word);
        uint32_t index = (uint32_t)(hash & ((UINT64_C(1) << directory->depth) - 1));

        count = &directory->counts[index];
        count->live--;
        count->used = (uint16_t)(count->used - (chained ? 0 : 1));
        table_spread_count(directory, index);
    } else {
        count->live--;
        count->used = (uint16_t)(count->used - (chained ? 0 : 1));
    }
    /* A bucket that was ever full may have sent entries on: its place stays taken until the
     * array is replaced, so that lookups go on past it. */
    atomic_store_explicit(place, chained ? WARP_ENTRY_REMOVED : WARP_ENTRY_EMPTY,
                          memory_order_release);
}

/* The records of a bucket are going to be visited, and maybe pinned. */
static void table_walk_fetch(const struct warp_table_bucket *bucket)
{
    uint32_t i;

    for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
        uintptr_t record =
            (uintptr_t)(atomic_load_explicit(&bucket->entries[i], memory_order_relaxed) &
                        WARP_POINTER_MASK);

        __builtin_prefetch((const void *)record, 1);
        __builtin_prefetch((const void *)(record + TABLE_KEY_BYTES), 0);
    }
}

/* Buckets from `first` on, at most `most` of them. */
static int table_walk_buckets(uint64_t word, uint32_t first, uint32_t most,
                              int (*visit)(void *context, struct warp_record *record,
                                           _Atomic uint64_t *place),
                              void *context)
{
    struct warp_table_bucket *buckets = warp_word_pointer(word);
    uint32_t n = word == 0 ? 0 : warp_table_buckets(word);
    uint32_t b, i;

    if (n > first && n - first > most) {
        n = first + most;
    }
    for (b = first; b < n && b < first + TABLE_WALK_AHEAD; b++) {
        table_walk_fetch(&buckets[b]);
    }
    for (b = first; b < n; b++) {
        if (b + TABLE_WALK_AHEAD < n) {
            table_walk_fetch(&buckets[b + TABLE_WALK_AHEAD]);
        }
        for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
            /* Acquire: pairs with the release of who published the record. */
            uint64_t entry =
                atomic_load_explicit(&buckets[b].entries[i], memory_order_acquire);
            int rc;

            if (entry > WARP_ENTRY_REMOVED) {
                rc = visit(context, warp_word_pointer(entry), &buckets[b].entries[i]);
                if (rc != 0) {
                    return rc;
                }
            }
        }
    }
    return 0;
}

/* Call `each` for every array behind a word, once. */
static int table_walk_arrays(uint64_t word, int (*each)(void *context, uint64_t array),
                             void *context)
{
    const struct warp_table_directory *directory;
    uint32_t i;
    int rc;

    if ((word & WARP_WORD_DIRECTORY) == 0) {
        return word == 0 ? 0 : each(context, word);
    }
    directory = warp_word_pointer(word);
    for (i = 0; i < 1u << directory->depth; i++) {
        uint64_t array = atomic_load_explicit(&directory->words[i], memory_order_acquire);

        /* The first word that leads to an array is the one with zeroes above its depth. A
         * concurrent split only replaces words by ones that differ, so that a reader may see
         * an array twice; it never misses a record that stays. */
        if (i == (i & ((1u << directory->depths[i]) - 1))) {
            rc = each(context, array);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

struct table_walk {
    int (*visit)(void *context, struct warp_record *record, _Atomic uint64_t *place);
    void *context;
};

static int table_walk_one(void *context, uint64_t array)
{
    const struct table_walk *walk = context;

    return table_walk_buckets(array, 0, UINT32_MAX, walk->visit, walk->context);
}

int warp_table_walk(const warp_table_word *slot_word,
                    int (*visit)(void *context, struct warp_record *record,
                                 _Atomic uint64_t *place),
                    void *context)
{
    struct table_walk walk = {visit, context};

    return table_walk_arrays(atomic_load_explicit(slot_word, memory_order_acquire),
                             table_walk_one, &walk);
}

static uint64_t table_array_memory(uint64_t array)
{
    return array == 0
               ? 0
               : warp_slab_round((size_t)warp_table_buckets(array) * WARP_BUCKET_BYTES);
}

bool warp_table_walk_part(const warp_table_word *slot_word,
                          struct warp_table_cursor *cursor, uint32_t buckets,
                          int (*visit)(void *context, struct warp_record *record,
                                       _Atomic uint64_t *place),
                          void *context)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);
    const struct warp_table_directory *directory = NULL;
    uint32_t arrays = 1;

    if (word == 0) {
        return true;
    }
    if ((word & WARP_WORD_DIRECTORY) != 0) {
        directory = warp_word_pointer(word);
        arrays = 1u << directory->depth;
        if (cursor->array == 0 && cursor->bucket == 0) {
            cursor->memory_bytes +=
                warp_slab_round(table_directory_bytes(directory->depth));
        }
    }
    while (cursor->array < arrays && buckets > 0) {
        uint64_t array = word;
        uint32_t n;

        if (directory != NULL) {
            uint32_t first = cursor->array & ((1u << directory->depths[cursor->array]) - 1);

            array = atomic_load_explicit(&directory->words[cursor->array],
                                         memory_order_relaxed);
            if (array == 0 || first != cursor->array) {
                cursor->array++;
                buckets--; /* so that many words for one array are no long step either */
                continue;
            }
        }
        n = warp_table_buckets(array) - cursor->bucket;
        if (cursor->bucket == 0) {
            cursor->memory_bytes += table_array_memory(array);
        }
        (void)table_walk_buckets(array, cursor->bucket, buckets, visit, context);
        if (n > buckets) {
            cursor->bucket += buckets;
            return false;
        }
        buckets -= n;
        cursor->bucket = 0;
        cursor->array++;
    }
    return cursor->array >= arrays;
}

static int table_free_one(void *context, uint64_t array)
{
    struct warp_limbo *limbo = context;

    warp_slab_release(&limbo->pool, warp_word_pointer(array),
                      (size_t)warp_table_buckets(array) * WARP_BUCKET_BYTES);
    return 0;
}

void warp_table_fini(warp_table_word *slot_word, struct warp_limbo *limbo)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);

    (void)table_walk_arrays(word, table_free_one, limbo);
    if ((word & WARP_WORD_DIRECTORY) != 0) {
        struct warp_table_directory *directory = warp_word_pointer(word);

        warp_slab_release(&limbo->pool, directory, table_directory_bytes(directory->depth));
    }
    atomic_store_explicit(slot_word, 0, memory_order_relaxed);
}

static int table_count_one(void *context, uint64_t array)
{
    uint64_t *bytes = context;

    *bytes += (uint64_t)warp_table_buckets(array) * WARP_BUCKET_BYTES;
    return 0;
}

uint64_t warp_table_bytes(const warp_table_word *slot_word)
{
    uint64_t bytes = 0;

    (void)table_walk_arrays(atomic_load_explicit(slot_word, memory_order_acquire),
                            table_count_one, &bytes);
    return bytes;
}

static int table_add_memory(void *context, uint64_t array)
{
    uint64_t *bytes = context;

    *bytes += table_array_memory(array);
    return 0;
}

uint64_t warp_table_memory(const warp_table_word *slot_word)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_acquire);
    uint64_t bytes = 0;

    (void)table_walk_arrays(word, table_add_memory, &bytes);
    if ((word & WARP_WORD_DIRECTORY) != 0) {
        const struct warp_table_directory *directory = warp_word_pointer(word);

        bytes += warp_slab_round(table_directory_bytes(directory->depth));
    }
    return bytes;
}
