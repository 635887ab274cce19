#include "bench/engines/driver.h"

/*
 * The honest ceiling: a bare hash table in memory, sized in advance, without log, growth,
 * expiry, memory reclamation or any promise. What an engine loses against it is the price
 * of being one. A sequence lock per bucket is all the safety it has, so that what two
 * threads do to one record can be verified at all.
 *
 *   bucket, 64 bytes:  | lock, 8 | 7 x (tag 16 bits, record pointer 48 bits) |
 *   a full bucket's last entry points to another bucket, under the lock of the first
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/keys.h"

#define BOUND_ENTRIES      7u
#define BOUND_POINTER_MASK (((uint64_t)1 << 48) - 1u)
#define BOUND_CHAIN_TAG    0xffffu /* no record has it */
#define BOUND_CHUNK_BYTES  ((size_t)1 << 20)

struct bound_bucket {
    /* Odd while a writer is inside. Readers: acquire load before, acquire fence and relaxed
     * load after; writers: acquire exchange in, release store out. */
    _Atomic uint64_t lock;
    _Atomic uint64_t entries[BOUND_ENTRIES];
};

struct bound_record {
    uint32_t value_bytes;
    uint8_t bytes[]; /* key, value */
};

struct bound {
    struct bound_bucket *buckets;
    uint64_t bucket_count;
    size_t map_bytes;
    size_t key_bytes;
    size_t value_bytes;
    uint32_t group;
};

struct bound_thread {
    struct bound *db;
    uint8_t *chunk; /* where this thread's next record goes; never given back before exit */
    size_t chunk_left;
    uint8_t *buffer;
    uint8_t *group_buffer;
};

static void bound_version(void *db, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "of this driver");
}

static void bound_explain(void *db, int rc, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", strerror(-rc));
}

static int bound_open(const struct bench_setup *setup, void **handle, char *message,
                      size_t message_bytes)
{
    struct bound *db = calloc(1, sizeof(*db));

    if (db == NULL) {
        snprintf(message, message_bytes, "bound: no memory");
        return -1;
    }
    db->key_bytes = setup->key_bytes;
    db->value_bytes = setup->value_bytes;
    db->group = setup->group;
    db->bucket_count = 16;
    while (db->bucket_count * 4 < setup->records) {
        db->bucket_count *= 2;
    }
    db->map_bytes = db->bucket_count * sizeof(*db->buckets);
    db->buckets = mmap(NULL, db->map_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (db->buckets == MAP_FAILED) {
        snprintf(message, message_bytes, "bound: no memory for %zu bytes", db->map_bytes);
        free(db);
        return -1;
    }
    madvise(db->buckets, db->map_bytes, MADV_HUGEPAGE); /* only a wish */
    *handle = db;
    return 0;
}

static int bound_close(void **handle)
{
    struct bound *db = *handle;

    /* The records go with the process, which ends after this. */
    munmap(db->buckets, db->map_bytes);
    free(db);
    *handle = NULL;
    return 0;
}

static void bound_describe(void *handle, char *out, size_t bytes)
{
    struct bound *db = handle;

    snprintf(
        out, bytes,
        "bare hash in memory, %llu buckets, no log and no safety at any level: a ceiling",
        (unsigned long long)db->bucket_count);
}

static int bound_nothing(void *handle)
{
    (void)handle;
    return 0;
}

static void bound_thread_destroy(void **out)
{
    struct bound_thread *thread = *out;

    free(thread->buffer);
    free(thread->group_buffer);
    free(thread);
    *out = NULL;
}

static int bound_thread_create(void *handle, void **out)
{
    struct bound_thread *thread = calloc(1, sizeof(*thread));
    void *failed = thread;

    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->db = handle;
    thread->buffer = malloc(thread->db->value_bytes + 1);
    thread->group_buffer = malloc((thread->db->value_bytes + 1) * thread->db->group);
    if (thread->buffer == NULL || thread->group_buffer == NULL) {
        bound_thread_destroy(&failed);
        return -ENOMEM;
    }
    *out = thread;
    return 0;
}

static inline uint64_t bound_hash(struct bench_slice key)
{
    const uint8_t *at = key.data;
    uint64_t hash = key.bytes;

    for (size_t left = key.bytes; left > 0;) {
        size_t step = left < 8 ? left : 8;
        uint64_t word = 0;

        memcpy(&word, at, step);
        hash = bench_mix(hash ^ word) + 0x9e3779b97f4a7c15u;
        at += step;
        left -= step;
    }
    return hash;
}

static inline uint64_t bound_tag(uint64_t hash)
{
    uint64_t tag = hash >> 48;

    return tag == BOUND_CHAIN_TAG || tag == 0 ? 1 : tag;
}

/* The record's entry, or NULL; *free_entry gets an empty one if the chain has any. */
static _Atomic uint64_t *bound_find(struct bound_bucket *bucket, struct bench_slice key,
                                    uint64_t tag, _Atomic uint64_t **free_entry,
                                    _Atomic uint64_t **last)
{
    struct bound_bucket *at = bucket;

    for (;;) {
        struct bound_bucket *next = NULL;

        for (uint32_t i = 0; i < BOUND_ENTRIES; i++) {
            uint64_t entry = atomic_load_explicit(&at->entries[i], memory_order_relaxed);
            const struct bound_record *record =
                (const struct bound_record *)(uintptr_t)(entry & BOUND_POINTER_MASK);

            if (entry >> 48 == tag && memcmp(record->bytes, key.data, key.bytes) == 0) {
                return &at->entries[i];
            }
            if (entry >> 48 == BOUND_CHAIN_TAG) {
                next = (struct bound_bucket *)(uintptr_t)(entry & BOUND_POINTER_MASK);
            } else if (entry == 0 && free_entry != NULL && *free_entry == NULL) {
                *free_entry = &at->entries[i];
            }
        }
        if (next == NULL) {
            if (last != NULL) {
                *last = &at->entries[BOUND_ENTRIES - 1];
            }
            return NULL;
        }
        at = next;
    }
}

static void bound_lock(struct bound_bucket *bucket)
{
    for (;;) {
        uint64_t lock = atomic_load_explicit(&bucket->lock, memory_order_relaxed);

        /* Acquire: pairs with the release in bound_unlock. */
        if ((lock & 1u) == 0 && atomic_compare_exchange_weak_explicit(
                                    &bucket->lock, &lock, lock + 1, memory_order_acquire,
                                    memory_order_relaxed)) {
            /* Readers that see our bytes must see the odd lock: pairs with their fence. */
            atomic_thread_fence(memory_order_release);
            return;
        }
    }
}

static void bound_unlock(struct bound_bucket *bucket)
{
    uint64_t lock = atomic_load_explicit(&bucket->lock, memory_order_relaxed);

    /* Release: pairs with the acquire in bound_lock and in bound_read. */
    atomic_store_explicit(&bucket->lock, lock + 1, memory_order_release);
}

static void *bound_reserve(struct bound_thread *thread, size_t bytes, size_t alignment)
{
    size_t skip = (size_t)(-(uintptr_t)thread->chunk & (alignment - 1));
    void *out;

    if (thread->chunk == NULL || thread->chunk_left < bytes + skip) {
        size_t chunk = bytes > BOUND_CHUNK_BYTES ? bytes : BOUND_CHUNK_BYTES;

        thread->chunk =
            mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (thread->chunk == MAP_FAILED) {
            thread->chunk = NULL;
            return NULL;
        }
        thread->chunk_left = chunk;
        skip = 0;
    }
    out = thread->chunk + skip;
    thread->chunk += skip + bytes;
    thread->chunk_left -= skip + bytes;
    return out;
}

static struct bound_bucket *bound_bucket_of(const struct bound *db, uint64_t hash)
{
    return &db->buckets[hash & (db->bucket_count - 1)];
}

static int bound_insert(struct bound_thread *thread, uint64_t tag, struct bench_slice key,
                        struct bench_slice value, _Atomic uint64_t *free_entry,
                        _Atomic uint64_t *last)
{
    struct bound_record *record =
        bound_reserve(thread, sizeof(*record) + key.bytes + value.bytes, 8);

    if (record == NULL) {
        return -ENOMEM;
    }
    record->value_bytes = (uint32_t)value.bytes;
    memcpy(record->bytes, key.data, key.bytes);
    memcpy(record->bytes + key.bytes, value.data, value.bytes);
    if (free_entry == NULL) {
        struct bound_bucket *more = bound_reserve(thread, sizeof(*more), 64);

        if (more == NULL) {
            return -ENOMEM;
        }
        atomic_store_explicit(&more->entries[0],
                              atomic_load_explicit(last, memory_order_relaxed),
                              memory_order_relaxed);
        free_entry = &more->entries[1];
        atomic_store_explicit(last,
                              (uint64_t)BOUND_CHAIN_TAG << 48 | (uint64_t)(uintptr_t)more,
                              memory_order_release);
    }
    /* Release: pairs with the acquire fence of a reader that follows the pointer. */
    atomic_store_explicit(free_entry, tag << 48 | (uint64_t)(uintptr_t)record,
                          memory_order_release);
    return BENCH_DONE;
}

static int bound_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    struct bound_thread *thread = handle;
    uint64_t hash = bound_hash(key);
    struct bound_bucket *bucket = bound_bucket_of(thread->db, hash);
    _Atomic uint64_t *free_entry = NULL;
    _Atomic uint64_t *last = NULL;
    _Atomic uint64_t *entry;
    int rc = BENCH_DONE;

    bound_lock(bucket);
    entry = bound_find(bucket, key, bound_tag(hash), &free_entry, &last);
    if (entry != NULL) {
        uint64_t word = atomic_load_explicit(entry, memory_order_relaxed);
        struct bound_record *record =
            (struct bound_record *)(uintptr_t)(word & BOUND_POINTER_MASK);

        /* Never longer than the first one: the driver has one size. */
        record->value_bytes = (uint32_t)value.bytes;
        memcpy(record->bytes + key.bytes, value.data, value.bytes);
    } else {
        rc = bound_insert(thread, bound_tag(hash), key, value, free_entry, last);
    }
    bound_unlock(bucket);
    return rc;
}

static int bound_read(struct bound_thread *thread, struct bench_slice key, uint64_t hash,
                      uint8_t *buffer, struct bench_value *out)
{
    struct bound_bucket *bucket = bound_bucket_of(thread->db, hash);

    for (;;) {
        uint64_t lock = atomic_load_explicit(&bucket->lock, memory_order_acquire);
        _Atomic uint64_t *entry;

        if ((lock & 1u) != 0) {
            continue;
        }
        entry = bound_find(bucket, key, bound_tag(hash), NULL, NULL);
        if (entry != NULL) {
            uint64_t word = atomic_load_explicit(entry, memory_order_relaxed);
            const struct bound_record *record =
                (const struct bound_record *)(uintptr_t)(word & BOUND_POINTER_MASK);

            if (word != 0) { /* not removed since bound_find() */
                out->bytes = record->value_bytes;
                memcpy(buffer, record->bytes + key.bytes, out->bytes);
            }
        }
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&bucket->lock, memory_order_relaxed) == lock) {
            out->data = buffer;
            out->loan = NULL;
            return entry != NULL ? BENCH_DONE : BENCH_ABSENT;
        }
    }
}

static int bound_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct bound_thread *thread = handle;

    return bound_read(thread, key, bound_hash(key), thread->buffer, out);
}

static void bound_release(void *handle, struct bench_value *value)
{
    (void)handle;
    (void)value;
}

static int bound_remove(void *handle, struct bench_slice key)
{
    struct bound_thread *thread = handle;
    uint64_t hash = bound_hash(key);
    struct bound_bucket *bucket = bound_bucket_of(thread->db, hash);
    _Atomic uint64_t *entry;

    bound_lock(bucket);
    entry = bound_find(bucket, key, bound_tag(hash), NULL, NULL);
    if (entry != NULL) {
        atomic_store_explicit(entry, 0,
                              memory_order_relaxed); /* the lock's release covers it */
    }
    bound_unlock(bucket);
    return entry != NULL ? BENCH_DONE : BENCH_ABSENT;
}

static int bound_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                        void *context)
{
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int rc = bound_get(handle, key, &old);

    if (rc != BENCH_DONE) {
        return rc;
    }
    value.data = modifier(context, old.data, old.bytes, &value.bytes);
    return value.data == NULL ? BENCH_DONE : bound_put(handle, key, value);
}

#define BOUND_GROUP 16u

static int bound_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                           struct bench_value *values, int *results)
{
    struct bound_thread *thread = handle;
    size_t stride = thread->db->value_bytes + 1;

    for (uint32_t begin = 0; begin < count; begin += BOUND_GROUP) {
        uint32_t end = count - begin < BOUND_GROUP ? count : begin + BOUND_GROUP;
        uint64_t hashes[BOUND_GROUP];

        for (uint32_t i = begin; i < end; i++) {
            hashes[i - begin] = bound_hash(keys[i]);
            __builtin_prefetch(bound_bucket_of(thread->db, hashes[i - begin]));
        }
        for (uint32_t i = begin; i < end; i++) {
            struct bound_bucket *bucket = bound_bucket_of(thread->db, hashes[i - begin]);

            for (uint32_t slot = 0; slot < BOUND_ENTRIES; slot++) {
                uint64_t entry =
                    atomic_load_explicit(&bucket->entries[slot], memory_order_relaxed);

                if (entry >> 48 == bound_tag(hashes[i - begin])) {
                    const char *record =
                        (const char *)(uintptr_t)(entry & BOUND_POINTER_MASK);

                    __builtin_prefetch(record);
                    __builtin_prefetch(record + 64);
                }
            }
        }
        for (uint32_t i = begin; i < end; i++) {
            results[i] = bound_read(thread, keys[i], hashes[i - begin],
                                    thread->group_buffer + stride * i, &values[i]);
        }
    }
    return BENCH_DONE;
}

static void bound_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    (void)values;
    (void)count;
}

static int bound_batch(void *handle, const struct bench_slice *keys,
                       const struct bench_slice *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int rc = bound_put(handle, keys[i], values[i]);

        if (rc != BENCH_DONE) {
            return rc;
        }
    }
    return BENCH_DONE;
}

const struct bench_engine bench_engine_bound = {
    .name = "bound",
    .version = bound_version,
    .open = bound_open,
    .close = bound_close,
    .describe = bound_describe,
    .begin = bound_nothing,
    .end = bound_nothing,
    .settle = bound_nothing,
    .explain = bound_explain,
    .thread_create = bound_thread_create,
    .thread_destroy = bound_thread_destroy,
    .put = bound_put,
    .get = bound_get,
    .release = bound_release,
    .remove = bound_remove,
    .modify = bound_modify,
    .multi_get = bound_multi_get,
    .release_many = bound_release_many,
    .batch = bound_batch,
};
