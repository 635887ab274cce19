#include "bench/engines/driver.h"

/*
 * LevelDB over its C interface: 10-bit bloom filter, no compression, write buffer of 64 MiB, block
 * cache of --memory-bytes or 4 GiB, as RocksDB has them here.
 *
 *   memory    its log cannot be switched off: written to the file, not synced. A killed process
 *             loses nothing, which is more than was asked for
 *   interval  the same, and a thread of ours writes an empty batch with sync every 100 ms, which
 *             makes all before it durable
 *   commit    sync on every write; LevelDB groups the writers itself
 *
 * A get is a copy that LevelDB allocates. There is no multi-get and no read-modify-write: loops,
 * and a get and a put.
 */
#if defined(WARP_BENCH_LEVELDB)

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engines/quiet.h"
#include "bench/engines/ticker.h"

/* The C interface reports errors as text only. */
#define LEVELDB_FAILED (-1)

#define LEVELDB_CACHE_BYTES        ((uint64_t)4 << 30)
#define LEVELDB_WRITE_BUFFER_BYTES ((size_t)64 << 20)
#define LEVELDB_FILE_BYTES         ((size_t)16 << 20)
#define LEVELDB_OPEN_FILES         20000

struct level {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_writeoptions_t *write;
    leveldb_writeoptions_t *sync;
    leveldb_readoptions_t *read;
    enum bench_durability durability;
    uint64_t cache_bytes;
    uint64_t write_buffer_bytes;
    struct bench_ticker ticker;
    char message[256]; /* the first error; written once, under `reporting` */
    int reporting;     /* 0 until a thread has claimed the message (atomic exchange) */
};

struct level_thread {
    struct level *db;
    leveldb_writebatch_t *batch;
};

static void level_version(void *db, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%d.%d", leveldb_major_version(), leveldb_minor_version());
}

static int level_failed(struct level *db, char *error)
{
    /* Relaxed: only the first claimant writes; it is read after the threads were joined. */
    if (__atomic_exchange_n(&db->reporting, 1, __ATOMIC_RELAXED) == 0) {
        snprintf(db->message, sizeof(db->message), "%s", error);
    }
    leveldb_free(error);
    return LEVELDB_FAILED;
}

static void level_explain(void *handle, int rc, char *out, size_t bytes)
{
    struct level *db = handle;

    (void)rc;
    snprintf(out, bytes, "%s", db->message);
}

static int level_close(void **handle)
{
    struct level *db = *handle;

    if (db->db != NULL) {
        leveldb_close(db->db);
    }
    leveldb_options_destroy(db->options);
    leveldb_cache_destroy(db->cache);
    leveldb_filterpolicy_destroy(db->filter);
    leveldb_writeoptions_destroy(db->write);
    leveldb_writeoptions_destroy(db->sync);
    leveldb_readoptions_destroy(db->read);
    free(db);
    *handle = NULL;
    return 0;
}

static int level_open(const struct bench_setup *setup, void **handle, char *message,
                      size_t message_bytes)
{
    struct level *db = calloc(1, sizeof(*db));
    void *failed = db;
    char *error = NULL;

    if (db == NULL) {
        snprintf(message, message_bytes, "leveldb: no memory");
        return -1;
    }
    db->durability = setup->durability;
    db->cache_bytes = setup->memory_bytes != 0 ? setup->memory_bytes : LEVELDB_CACHE_BYTES;
    /* Two write buffers and the cache are all that a cap on memory has to hold. */
    db->write_buffer_bytes = LEVELDB_WRITE_BUFFER_BYTES;
    if (setup->memory_bytes != 0) {
        if (setup->memory_bytes / 8 < db->write_buffer_bytes) {
            db->write_buffer_bytes = setup->memory_bytes / 8;
        }
        db->cache_bytes -= 2 * db->write_buffer_bytes;
    }
    db->cache = leveldb_cache_create_lru(db->cache_bytes);
    db->filter = leveldb_filterpolicy_create_bloom(10);
    db->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(db->options, 1);
    leveldb_options_set_cache(db->options, db->cache);
    leveldb_options_set_filter_policy(db->options, db->filter);
    leveldb_options_set_write_buffer_size(db->options, db->write_buffer_bytes);
    leveldb_options_set_max_file_size(db->options, LEVELDB_FILE_BYTES);
    leveldb_options_set_max_open_files(db->options, LEVELDB_OPEN_FILES);
    leveldb_options_set_compression(db->options, leveldb_no_compression);
    db->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(db->write, setup->durability == BENCH_COMMIT);
    db->sync = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(db->sync, 1);
    db->read = leveldb_readoptions_create();
    db->db = leveldb_open(db->options, setup->path, &error);
    if (error != NULL) {
        snprintf(message, message_bytes, "leveldb: %s", error);
        leveldb_free(error);
        level_close(&failed);
        return -1;
    }
    *handle = db;
    return 0;
}

static void level_describe(void *handle, char *out, size_t bytes)
{
    struct level *db = handle;

    snprintf(
        out, bytes,
        "bloom 10 bits, no compression, block cache %llu MiB, write buffer %llu MiB, log "
        "%s",
        (unsigned long long)(db->cache_bytes >> 20),
        (unsigned long long)(db->write_buffer_bytes >> 20),
        db->durability == BENCH_COMMIT     ? "synced by every write"
        : db->durability == BENCH_INTERVAL ? "unsynced, an empty synced write every 100 ms"
                                           : "unsynced (it cannot be switched off)");
}

static int level_tick(void *handle)
{
    struct level *db = handle;
    leveldb_writebatch_t *nothing = leveldb_writebatch_create();
    char *error = NULL;

    leveldb_write(db->db, db->sync, nothing, &error);
    leveldb_writebatch_destroy(nothing);
    return error != NULL ? level_failed(db, error) : 0;
}

static int level_begin(void *handle)
{
    struct level *db = handle;

    if (db->durability != BENCH_INTERVAL) {
        return 0;
    }
    return bench_ticker_start(&db->ticker, BENCH_SYNC_INTERVAL_MS, level_tick, db);
}

static int level_end(void *handle)
{
    struct level *db = handle;

    return bench_ticker_stop(&db->ticker);
}

static int level_settle(void *handle)
{
    int rc = level_tick(handle);

    bench_quiet_wait();
    return rc;
}

static int level_thread_create(void *handle, void **out)
{
    struct level_thread *thread = calloc(1, sizeof(*thread));

    if (thread == NULL) {
        return LEVELDB_FAILED;
    }
    thread->db = handle;
    thread->batch = leveldb_writebatch_create();
    *out = thread;
    return 0;
}

static void level_thread_destroy(void **out)
{
    struct level_thread *thread = *out;

    leveldb_writebatch_destroy(thread->batch);
    free(thread);
    *out = NULL;
}

static int level_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    struct level_thread *thread = handle;
    char *error = NULL;

    leveldb_put(thread->db->db, thread->db->write, key.data, key.bytes, value.data,
                value.bytes, &error);
    return error != NULL ? level_failed(thread->db, error) : BENCH_DONE;
}

static int level_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct level_thread *thread = handle;
    char *error = NULL;
    size_t bytes = 0;
    char *data =
        leveldb_get(thread->db->db, thread->db->read, key.data, key.bytes, &bytes, &error);

    if (error != NULL) {
        return level_failed(thread->db, error);
    }
    if (data == NULL) {
        return BENCH_ABSENT;
    }
    out->data = data;
    out->bytes = bytes;
    out->loan = data;
    return BENCH_DONE;
}

static void level_release(void *handle, struct bench_value *value)
{
    (void)handle;
    leveldb_free(value->loan);
}

static int level_remove(void *handle, struct bench_slice key)
{
    struct level_thread *thread = handle;
    char *error = NULL;

    leveldb_delete(thread->db->db, thread->db->write, key.data, key.bytes, &error);
    return error != NULL ? level_failed(thread->db, error) : BENCH_DONE;
}

static int level_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                        void *context)
{
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int rc = level_get(handle, key, &old);

    if (rc != BENCH_DONE) {
        return rc;
    }
    value.data = modifier(context, old.data, old.bytes, &value.bytes);
    level_release(handle, &old);
    return value.data == NULL ? BENCH_DONE : level_put(handle, key, value);
}

static int level_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                           struct bench_value *values, int *results)
{
    for (uint32_t i = 0; i < count; i++) {
        values[i].loan = NULL;
        results[i] = level_get(handle, keys[i], &values[i]);
    }
    return BENCH_DONE;
}

static void level_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    for (uint32_t i = 0; i < count; i++) {
        if (values[i].loan != NULL) {
            leveldb_free(values[i].loan);
        }
    }
}

static int level_batch(void *handle, const struct bench_slice *keys,
                       const struct bench_slice *values, uint32_t count)
{
    struct level_thread *thread = handle;
    char *error = NULL;

    leveldb_writebatch_clear(thread->batch);
    for (uint32_t i = 0; i < count; i++) {
        leveldb_writebatch_put(thread->batch, keys[i].data, keys[i].bytes, values[i].data,
                               values[i].bytes);
    }
    leveldb_write(thread->db->db, thread->db->write, thread->batch, &error);
    return error != NULL ? level_failed(thread->db, error) : BENCH_DONE;
}

const struct bench_engine bench_engine_leveldb = {
    .name = "leveldb",
    .version = level_version,
    .open = level_open,
    .close = level_close,
    .describe = level_describe,
    .begin = level_begin,
    .end = level_end,
    .settle = level_settle,
    .explain = level_explain,
    .thread_create = level_thread_create,
    .thread_destroy = level_thread_destroy,
    .put = level_put,
    .get = level_get,
    .release = level_release,
    .remove = level_remove,
    .modify = level_modify,
    .multi_get = level_multi_get,
    .release_many = level_release_many,
    .batch = level_batch,
};

#endif
