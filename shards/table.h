/*
 * shards/table.h - one slot's hash table: from a hash to a record.
 *
 * A table is an array of 64-byte buckets, each of eight entries of one word: 16 bits of hash (the
 * tag) above a 48-bit pointer. The tag alone says in which bucket an entry belongs, so a table
 * grows without a look at any record. An entry never moves within an array; a full bucket
 * overflows into the next one; growth publishes a new array and retires the old one.
 *
 *     slot word                     array of n buckets
 *     +------+-------------+        +----+----+----+----+----+----+----+----+
 *     | size | pointer ----+------> | e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7 |  64 bytes
 *     +------+-------------+        +----+----+----+----+----+----+----+----+
 *                                   |                 ...                   |
 *
 * A slot with more than about 5,000 records (one tag in too many keys) becomes a directory of such
 * tables, selected by further bits of the hash; one table splits at a time, so that no step is
 * longer than that (extendible hashing: Fagin et al., ACM TODS 4(3), 1979). Buckets the size of a
 * cache line with tags beside pointers are from Cuckoo++ and CLHT-like designs; the sizes between
 * powers of two are ours, to keep tables between 60 and 81 % full.
 *
 * Threads:   find and prefetch by any thread inside an epoch section; everything else by the holder
 *            of the lease of the shard that owns the slot.
 * Lifetime:  arrays come from the owner's slab pool; what is replaced goes to its limbo.
 * Units:     a size code c means (4 + c % 4) << (c / 4 - 1) buckets; below code 4 c + 1.
 * Ordering:  entries and slot words are stored with release and read with acquire: who sees a
 *            pointer sees what it points to.
 * Errors:    WARP_ENOMEM from prepare, which does everything that may fail beforehand.
 * Cost:      a lookup misses the cache once for the bucket, once for the record.
 */
#ifndef SHARDS_TABLE_H
#define SHARDS_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "shards/limbo.h"
#include "shards/record.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WARP_TABLE_SCALAR 1 /* it would take the vector loads for races */
#endif
#elif defined(__SANITIZE_THREAD__)
#define WARP_TABLE_SCALAR 1
#endif

#if defined(__SSE2__) && !defined(WARP_TABLE_SCALAR)
#include <emmintrin.h>
#define WARP_TABLE_SSE2 1
#else
#define WARP_TABLE_SSE2 0
#endif

#define WARP_BUCKET_ENTRIES    8u
#define WARP_BUCKET_BYTES      64u
#define WARP_TABLE_BUCKETS_MAX 1024u

#define WARP_ENTRY_EMPTY   UINT64_C(0)
#define WARP_ENTRY_REMOVED UINT64_C(1) /* was an entry of a bucket that overflowed, maybe */
#define WARP_POINTER_MASK  ((UINT64_C(1) << 48) - 1)

/* How full one array is. used counts entries that are not empty, removed ones too; reserved are
 * promised to a batch that is about to insert. */
struct warp_table_count {
    uint16_t live;
    uint16_t used;
    uint16_t reserved;
};

/* The word of a slot: 0, an array, or a directory. */
#define warp_table_word _Atomic uint64_t

struct warp_table_bucket {
    _Atomic uint64_t entries[WARP_BUCKET_ENTRIES];
};

struct warp_table_directory {
    uint32_t depth;                  /* 1 << depth words */
    struct warp_table_count *counts; /* of the array behind the same word */
    uint8_t *depths;                 /* how many bits that array is selected by */
    warp_table_word words[];
};

/* word bits: 0-47 pointer, 48-55 size code, 63 directory */
#define WARP_WORD_DIRECTORY (UINT64_C(1) << 63)

static inline uint32_t warp_table_buckets(uint64_t word)
{
    uint32_t code = (uint32_t)(word >> 48) & 0xff;

    return code < 4 ? code + 1 : (4 + (code & 3)) << ((code >> 2) - 1);
}

static inline void *warp_word_pointer(uint64_t word)
{
    return (void *)(uintptr_t)(word & WARP_POINTER_MASK);
}

static inline uint16_t warp_table_tag(uint64_t hash)
{
    return (uint16_t)(hash >> 48);
}

static inline uint32_t warp_table_home(uint16_t tag, uint32_t buckets)
{
    return ((uint32_t)tag * buckets) >> 16;
}

/* The array for a hash; 0 if there is none. */
static inline uint64_t warp_table_resolve(const warp_table_word *slot_word, uint64_t hash)
{
    /* Acquire: pairs with the release stores in table.c. */
    uint64_t word = atomic_load_explicit(slot_word, memory_order_acquire);

    if (WARP_UNLIKELY((word & WARP_WORD_DIRECTORY) != 0)) {
        const struct warp_table_directory *directory = warp_word_pointer(word);

        word = atomic_load_explicit(
            &directory->words[hash & ((UINT64_C(1) << directory->depth) - 1)],
            memory_order_acquire);
    }
    return word;
}

/* Which entries of a bucket have the tag: one bit each. A hint that the caller checks. */
static inline uint32_t warp_table_match(const struct warp_table_bucket *bucket,
                                        uint16_t tag)
{
#if WARP_TABLE_SSE2
    const __m128i *lines = (const __m128i *)(const void *)bucket;
    __m128i wanted = _mm_set1_epi16((short)tag);
    __m128i a = _mm_cmpeq_epi16(_mm_load_si128(lines), wanted);
    __m128i b = _mm_cmpeq_epi16(_mm_load_si128(lines + 1), wanted);
    __m128i c = _mm_cmpeq_epi16(_mm_load_si128(lines + 2), wanted);
    __m128i d = _mm_cmpeq_epi16(_mm_load_si128(lines + 3), wanted);
    uint32_t low = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b));
    uint32_t high = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(c, d));

    /* The tag is the fourth 16-bit lane of each word. */
    low = (low & 0x8888) >> 3; /* bits 0, 4, 8, 12 */
    high = (high & 0x8888) >> 3;
    low = (low | low >> 3 | low >> 6 | low >> 9) & 0xf;
    high = (high | high >> 3 | high >> 6 | high >> 9) & 0xf;
    return low | high << 4;
#else
    uint32_t result = 0;
    uint32_t i;

    for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
        uint64_t entry = atomic_load_explicit(&bucket->entries[i], memory_order_relaxed);

        result |= (uint32_t)((uint16_t)(entry >> 48) == tag) << i;
    }
    return result;
#endif
}

/* Is this the last bucket of the chain? Entries fill from the front, and the last one is never
 * emptied again (table.c), so an array position 7 that is empty was always empty. */
static inline bool warp_table_chain_ends(const struct warp_table_bucket *bucket)
{
    return atomic_load_explicit(&bucket->entries[WARP_BUCKET_ENTRIES - 1],
                                memory_order_acquire) == WARP_ENTRY_EMPTY;
}

/* The record of a key, or NULL. *place gets its entry if place is not NULL. */
static inline struct warp_record *warp_table_find_in(uint64_t word, uint64_t hash,
                                                     const void *key, size_t key_bytes,
                                                     _Atomic uint64_t **place)
{
    struct warp_table_bucket *buckets = warp_word_pointer(word);
    uint16_t tag = warp_table_tag(hash);
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
            /* Acquire: pairs with the release in publish; the record behind it is whole. */
            uint64_t entry =
                atomic_load_explicit(&bucket->entries[i], memory_order_acquire);
            struct warp_record *record = warp_word_pointer(entry);

            match &= match - 1;
            if (entry > WARP_ENTRY_REMOVED && (uint16_t)(entry >> 48) == tag &&
                warp_record_has_key(record, key, key_bytes)) {
                if (place != NULL) {
                    *place = &bucket->entries[i];
                }
                return record;
            }
        }
        if (warp_table_chain_ends(bucket)) {
            return NULL;
        }
        at = at + 1 == count ? 0 : at + 1;
    }
    return NULL;
}

/*
 * The record whose hash has these bits under the mask, which covers the tag and the low 32 bits: all
 * that a table is searched by. Its entry and its whole hash; NULL if there is none. By the holder of
 * the lease.
 */
struct warp_record *warp_table_find_masked(const warp_table_word *slot_word, uint64_t bits,
                                           uint64_t mask, uint64_t hash_seed,
                                           _Atomic uint64_t **place, uint64_t *hash);

static inline struct warp_record *warp_table_find(const warp_table_word *slot_word,
                                                  uint64_t hash, const void *key,
                                                  size_t key_bytes)
{
    return warp_table_find_in(warp_table_resolve(slot_word, hash), hash, key, key_bytes,
                              NULL);
}

/* Ask the cache for the bucket of a hash; returns the word to go on with. */
static inline uint64_t warp_table_prefetch(const warp_table_word *slot_word, uint64_t hash)
{
    uint64_t word = warp_table_resolve(slot_word, hash);

    if (word != 0) {
        const struct warp_table_bucket *buckets = warp_word_pointer(word);

        __builtin_prefetch(
            &buckets[warp_table_home(warp_table_tag(hash), warp_table_buckets(word))]);
    }
    return word;
}

/* The same outside an epoch section, where only an array's address may be computed. */
static inline void warp_table_prefetch_hint(const warp_table_word *slot_word, uint64_t hash)
{
    uint64_t word = atomic_load_explicit(slot_word, memory_order_relaxed);

    if (word != 0 && (word & WARP_WORD_DIRECTORY) == 0) {
        uintptr_t buckets = (uintptr_t)(word & WARP_POINTER_MASK);

        __builtin_prefetch(
            (const void *)(buckets + (uintptr_t)WARP_BUCKET_BYTES *
                                         warp_table_home(warp_table_tag(hash),
                                                         warp_table_buckets(word))));
    }
}

/* Ask the cache for so many lines of the first record with the tag, once its bucket is there. */
static inline void warp_table_prefetch_lines(uint64_t word, uint64_t hash, uint32_t lines)
{
    const struct warp_table_bucket *buckets = warp_word_pointer(word);
    const struct warp_table_bucket *bucket;
    uint16_t tag = warp_table_tag(hash);
    uint32_t match;

    if (word == 0) {
        return;
    }
    bucket = &buckets[warp_table_home(tag, warp_table_buckets(word))];
    match = warp_table_match(bucket, tag);
    while (match != 0) {
        uint32_t i = (uint32_t)__builtin_ctz(match);
        /* As a number: an empty entry has the tag 0 too, and hints may point anywhere. */
        uintptr_t record =
            (uintptr_t)(atomic_load_explicit(&bucket->entries[i], memory_order_relaxed) &
                        WARP_POINTER_MASK);

        for (uint32_t line = 0; line < lines; line++) {
            __builtin_prefetch((const void *)(record + 64 * line));
        }
        match &= match - 1;
    }
}

/* Of a record whose value is going to be read. */
static inline void warp_table_prefetch_record(uint64_t word, uint64_t hash)
{
    warp_table_prefetch_lines(word, hash, 3);
}

/* Of one whose key alone is: fewer lines on their way come sooner. */
static inline void warp_table_prefetch_key(uint64_t word, uint64_t hash)
{
    warp_table_prefetch_lines(word, hash, 2);
}

/* ---- the holder of the lease ------------------------------------------------------------ */

/*
 * See that one more record with this hash can be published without any step that may fail.
 * *count is that of the slot's own array; a directory has its own. With `reserve` the place is
 * kept for this record beside others, until unreserve; WARP_AGAIN then means that an array was
 * split, places kept before may be gone, and the whole batch has to be prepared anew.
 */
int warp_table_prepare(warp_table_word *slot_word, struct warp_table_count *count,
                       struct warp_limbo *limbo, uint64_t hash, uint64_t hash_seed,
                       bool reserve);

/* Replace an array although it is not full: the simulator's way to have readers on old arrays. */
int warp_table_renew(warp_table_word *slot_word, struct warp_table_count *count,
                     struct warp_limbo *limbo);

/* Drop all reservations of the array for this hash. */
void warp_table_unreserve(warp_table_word *slot_word, struct warp_table_count *count,
                          uint64_t hash);

/* Publish a record whose key is not there. prepare() came before. */
void warp_table_insert(warp_table_word *slot_word, struct warp_table_count *count,
                       uint64_t hash, struct warp_record *record);

/* Put another record of the same key in the place of the one that is there. */
static inline void warp_table_replace(_Atomic uint64_t *place, uint64_t hash,
                                      struct warp_record *record)
{
    /* Release: pairs with the acquire in warp_table_find_in. */
    atomic_store_explicit(
        place, (uint64_t)warp_table_tag(hash) << 48 | (uint64_t)(uintptr_t)record,
        memory_order_release);
}

/* Take the record at a place (from find_in) out. */
void warp_table_remove(warp_table_word *slot_word, struct warp_table_count *count,
                       uint64_t hash, _Atomic uint64_t *place);

/*
 * Call visit for every record; it may remove or replace the record it is given, and nothing else.
 * Also for readers inside an epoch section while the slot has one array (no directory: its arrays
 * may be split under a reader). Stops when visit returns non-zero, and returns that.
 */
int warp_table_walk(const warp_table_word *slot_word,
                    int (*visit)(void *context, struct warp_record *record,
                                 _Atomic uint64_t *place),
                    void *context);

/*
 * The same in parts of at least one bucket, and of at most `buckets` of them, by the holder of the
 * lease: true when all have been visited. The cursor is zero at first. Entries may be inserted,
 * replaced and removed in between, but not growth: whoever may have grown the table begins anew.
 * cursor->memory_bytes adds up what the arrays take of their pools.
 */
struct warp_table_cursor {
    uint32_t array;  /* of the directory's words: the next */
    uint32_t bucket; /* in it */
    uint64_t memory_bytes;
};
bool warp_table_walk_part(const warp_table_word *slot_word,
                          struct warp_table_cursor *cursor, uint32_t buckets,
                          int (*visit)(void *context, struct warp_record *record,
                                       _Atomic uint64_t *place),
                          void *context);

/* Take the arrays apart; the records are the caller's. No readers. */
void warp_table_fini(warp_table_word *slot_word, struct warp_limbo *limbo);

/* Bytes of arrays that the slot holds. */
uint64_t warp_table_bytes(const warp_table_word *slot_word);

/* What arrays and directory take of their pools, in size classes; by the holder of the lease. */
uint64_t warp_table_memory(const warp_table_word *slot_word);

#endif
