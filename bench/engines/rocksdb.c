#include "bench/engines/driver.h"

/*
 * RocksDB over its C interface, set up for point lookups as its makers advise
 * (optimize_for_point_lookup: 10-bit bloom filters, hash index in data blocks, memtable
 * bloom).
 *
 *   memory    no write-ahead log
 *   interval  manual_wal_flush: the log collects in memory, and a thread of ours calls
 *             flush_wal every 1 ms and flush_wal(sync) every 100 ms. That is what our own
 *             interval promises (a killed process loses 1 ms, a power cut 100), and it was
 *             1.1 - 1.5 times faster here than a write to the log file per put
 *   commit    log with sync on every write; RocksDB groups the writers itself
 *
 * That is for data that fits into memory. For more of it ("tiered") it is set up within
 * --memory-bytes, all in: three write buffers of a 32nd part each (8 - 64 MiB), three 16ths and 16
 * MiB for what is not accounted (blocks of a little more than 4 KiB take 5 of the allocator;
 * compactions), the rest block cache; indexes and filters are partitioned and in the cache
 * with high priority, their tops and level 0 pinned; no filters at the last level, for every key
 * that is asked for is there; dynamic level sizes; files are written back a MiB at a time. The
 * other words are tried one against the other: see docs/BENCHMARKS.md.
 */
#if defined(WARP_BENCH_ROCKSDB)

#include <dirent.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/engines/ticker.h"

/* The C interface reports errors as text only; the thread keeps the last one. */
#define ROCKSDB_FAILED (-1)

#define ROCKSDB_CACHE_BYTES        ((uint64_t)4 << 30)
#define ROCKSDB_WRITE_BUFFER_BYTES ((size_t)64 << 20)
#define ROCKSDB_WRITE_BUFFERS      4
#define ROCKSDB_BACKGROUND_JOBS    2
#define ROCKSDB_SETTLE_S           180
#define ROCKSDB_FLUSH_MS           1u
#define ROCKSDB_UNACCOUNTED_BYTES  ((uint64_t)16 << 20)

struct rocksdb {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_column_family_handle_t *family;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    rocksdb_cache_t *cache;
    enum bench_durability durability;
    uint32_t traits; /* enum bench_rocksdb */
    bool log;
    uint64_t write_buffer_bytes;
    int write_buffers;
    uint64_t cache_bytes;
    uint32_t group;
    struct bench_ticker ticker;
    uint32_t ticks; /* the ticker's thread alone */
    char path[512];
    char message[256]; /* the first error; written once, under `reporting` */
    int reporting;     /* 0 until a thread has claimed the message (atomic exchange) */
};

struct rocksdb_thread {
    struct rocksdb *db;
    rocksdb_writebatch_t *batch;
    const char **keys;
    size_t *key_bytes;
    rocksdb_pinnableslice_t **slices;
    char **errors;
};

/* The C interface does not tell its version, but the options file in the database does. */
static void rocksdb_version(void *handle, char *out, size_t bytes)
{
    static const char label[] = "rocksdb_version=";
    struct rocksdb *db = handle;
    DIR *directory = opendir(db->path);
    struct dirent *entry;

    snprintf(out, bytes, "?");
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char name[1024];
        char line[256];
        FILE *file;

        if (strncmp(entry->d_name, "OPTIONS-", 8) != 0) {
            continue;
        }
        snprintf(name, sizeof(name), "%s/%s", db->path, entry->d_name);
        file = fopen(name, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            const char *at = strstr(line, label);

            if (at != NULL) {
                at += sizeof(label) - 1;
                snprintf(out, bytes, "%.*s", (int)strcspn(at, " \n"), at);
                break;
            }
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

static int rocksdb_failed(struct rocksdb *db, char *error)
{
    /* Relaxed: only the first claimant writes; it is read after the threads were joined. */
    if (__atomic_exchange_n(&db->reporting, 1, __ATOMIC_RELAXED) == 0) {
        snprintf(db->message, sizeof(db->message), "%s", error);
    }
    rocksdb_free(error);
    return ROCKSDB_FAILED;
}

static void rocksdb_explain(void *handle, int rc, char *out, size_t bytes)
{
    struct rocksdb *db = handle;

    (void)rc;
    snprintf(out, bytes, "%s", db->message);
}

static int rocksdb_engine_close(void **handle)
{
    struct rocksdb *db = *handle;

    if (db->family != NULL) {
        rocksdb_column_family_handle_destroy(db->family);
    }
    if (db->db != NULL) {
        rocksdb_close(db->db);
    }
    if (db->options != NULL) {
        rocksdb_options_destroy(db->options);
    }
    if (db->write != NULL) {
        rocksdb_writeoptions_destroy(db->write);
    }
    if (db->read != NULL) {
        rocksdb_readoptions_destroy(db->read);
    }
    if (db->cache != NULL) {
        rocksdb_cache_destroy(db->cache);
    }
    free(db);
    *handle = NULL;
    return 0;
}

/* More data than memory: all of it within `memory_bytes`. */
static void rocksdb_tiered(struct rocksdb *db, uint64_t memory_bytes)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    uint64_t least = (uint64_t)8 << 20;
    uint64_t reserved;

    db->write_buffer_bytes = memory_bytes / 32 < least ? least : memory_bytes / 32;
    if (db->write_buffer_bytes > ROCKSDB_WRITE_BUFFER_BYTES) {
        db->write_buffer_bytes = ROCKSDB_WRITE_BUFFER_BYTES;
    }
    db->write_buffers = 3;
    db->cache_bytes = memory_bytes / 16 * 13;
    reserved = 3 * db->write_buffer_bytes + ROCKSDB_UNACCOUNTED_BYTES;
    db->cache_bytes =
        db->cache_bytes > reserved + least ? db->cache_bytes - reserved : least;
    db->cache = rocksdb_cache_create_lru(db->cache_bytes);
    rocksdb_block_based_options_set_block_cache(table, db->cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_block_size(table, 4096);
    rocksdb_block_based_options_set_data_block_index_type(
        table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    rocksdb_block_based_options_set_data_block_hash_ratio(table, 0.75);
    rocksdb_block_based_options_set_index_type(
        table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(table, 1);
    rocksdb_block_based_options_set_metadata_block_size(table, 4096);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table,
                                                                                     1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
    rocksdb_options_set_block_based_table_factory(db->options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_optimize_filters_for_hits(db->options, 1);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(db->options, 1);
    rocksdb_options_set_bytes_per_sync(db->options, 1 << 20);
    rocksdb_options_set_wal_bytes_per_sync(db->options, 1 << 20);
    rocksdb_options_compaction_readahead_size(db->options, 2 << 20);
    rocksdb_options_set_use_direct_reads(db->options,
                                         (db->traits & BENCH_ROCKSDB_DIRECT_READS) != 0);
    rocksdb_options_set_use_direct_io_for_flush_and_compaction(
        db->options, (db->traits & BENCH_ROCKSDB_DIRECT_WRITES) != 0);
    if ((db->traits & BENCH_ROCKSDB_LZ4) != 0) {
        rocksdb_options_set_compression(db->options, rocksdb_lz4_compression);
        if ((db->traits & BENCH_ROCKSDB_ZSTD) != 0) {
            rocksdb_options_set_bottommost_compression(db->options,
                                                       rocksdb_zstd_compression);
        }
    } else if ((db->traits & BENCH_ROCKSDB_ZSTD) != 0) {
        rocksdb_options_set_compression(db->options, rocksdb_zstd_compression);
    }
}

static int rocksdb_engine_open(const struct bench_setup *setup, void **handle,
                               char *message, size_t message_bytes)
{
    struct rocksdb *db = calloc(1, sizeof(*db));
    void *failed = db;
    const char *names[1] = {"default"};
    const rocksdb_options_t *family_options[1];
    char *error = NULL;

    if (db == NULL) {
        snprintf(message, message_bytes, "rocksdb: no memory");
        return -1;
    }
    db->durability = setup->durability;
    db->group = setup->group;
    snprintf(db->path, sizeof(db->path), "%s", setup->path);
    db->cache_bytes = ROCKSDB_CACHE_BYTES;
    if (setup->memory_bytes != 0 && setup->memory_bytes < db->cache_bytes) {
        db->cache_bytes = setup->memory_bytes;
    }
    db->traits = setup->rocksdb;
    db->log =
        setup->durability != BENCH_MEMORY || (setup->rocksdb & BENCH_ROCKSDB_LOG) != 0;
    db->write_buffer_bytes = ROCKSDB_WRITE_BUFFER_BYTES;
    db->write_buffers = ROCKSDB_WRITE_BUFFERS;
    db->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(db->options, 1);
    rocksdb_options_set_error_if_exists(db->options, setup->existing ? 0 : 1);
    rocksdb_options_set_compression(db->options, rocksdb_no_compression);
    if ((db->traits & BENCH_ROCKSDB_TIERED) != 0) {
        rocksdb_tiered(db, setup->memory_bytes != 0 ? setup->memory_bytes
                                                    : ROCKSDB_CACHE_BYTES);
    } else {
        rocksdb_options_optimize_for_point_lookup(db->options, db->cache_bytes >> 20);
    }
    rocksdb_options_set_write_buffer_size(db->options, db->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(db->options, db->write_buffers);
    rocksdb_options_set_max_background_jobs(db->options, ROCKSDB_BACKGROUND_JOBS);
    rocksdb_options_set_max_open_files(db->options, -1);
    rocksdb_options_set_manual_wal_flush(db->options, setup->durability == BENCH_INTERVAL);
    db->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(db->write, !db->log);
    rocksdb_writeoptions_set_sync(db->write, setup->durability == BENCH_COMMIT);
    db->read = rocksdb_readoptions_create();
    family_options[0] = db->options;
    db->db = rocksdb_open_column_families(db->options, setup->path, 1, names,
                                          family_options, &db->family, &error);
    if (error != NULL) {
        snprintf(message, message_bytes, "rocksdb: %s", error);
        rocksdb_free(error);
        rocksdb_engine_close(&failed);
        return -1;
    }
    *handle = db;
    return 0;
}

static void rocksdb_describe(void *handle, char *out, size_t bytes)
{
    struct rocksdb *db = handle;
    const char *level = "";

    switch (db->durability) {
    case BENCH_MEMORY:
        level = db->log ? "log on, not synced" : "log off";
        break;
    case BENCH_INTERVAL:
        level = "manual_wal_flush, flush_wal every 1 ms, synced every 100 ms";
        break;
    case BENCH_COMMIT:
        level = "log synced per write (its own group commit)";
        break;
    }
    if ((db->traits & BENCH_ROCKSDB_TIERED) != 0) {
        snprintf(
            out, bytes,
            "tiered: block cache %llu MiB, partitioned indexes and filters in it, bloom "
            "10 bits, dynamic levels, %s%s, %s reads, %s writes, %d write buffers of "
            "%llu MiB, max_background_jobs %d, %s",
            (unsigned long long)(db->cache_bytes >> 20),
            (db->traits & BENCH_ROCKSDB_LZ4) != 0    ? "lz4"
            : (db->traits & BENCH_ROCKSDB_ZSTD) != 0 ? "zstd"
                                                     : "no compression",
            (db->traits & BENCH_ROCKSDB_LZ4) != 0 && (db->traits & BENCH_ROCKSDB_ZSTD) != 0
                ? ", bottommost zstd"
                : "",
            (db->traits & BENCH_ROCKSDB_DIRECT_READS) != 0 ? "direct" : "buffered",
            (db->traits & BENCH_ROCKSDB_DIRECT_WRITES) != 0 ? "direct" : "buffered",
            db->write_buffers, (unsigned long long)(db->write_buffer_bytes >> 20),
            ROCKSDB_BACKGROUND_JOBS, level);
        return;
    }
    snprintf(
        out, bytes,
        "optimize_for_point_lookup, block cache %llu MiB, bloom 10 bits, no compression, "
        "%d write buffers of %zu MiB, max_background_jobs %d, %s",
        (unsigned long long)(db->cache_bytes >> 20), ROCKSDB_WRITE_BUFFERS,
        ROCKSDB_WRITE_BUFFER_BYTES >> 20, ROCKSDB_BACKGROUND_JOBS, level);
}

static int rocksdb_flush_log(void *handle)
{
    struct rocksdb *db = handle;
    char *error = NULL;
    bool sync = ++db->ticks % (BENCH_SYNC_INTERVAL_MS / ROCKSDB_FLUSH_MS) == 0;

    rocksdb_flush_wal(db->db, sync, &error);
    return error != NULL ? rocksdb_failed(db, error) : 0;
}

static int rocksdb_begin(void *handle)
{
    struct rocksdb *db = handle;

    if (db->durability != BENCH_INTERVAL) {
        return 0;
    }
    return bench_ticker_start(&db->ticker, ROCKSDB_FLUSH_MS, rocksdb_flush_log, db);
}

static int rocksdb_end(void *handle)
{
    struct rocksdb *db = handle;

    return bench_ticker_stop(&db->ticker);
}

static uint64_t rocksdb_property(struct rocksdb *db, const char *name)
{
    uint64_t value = 0;

    return rocksdb_property_int(db->db, name, &value) == 0 ? value : 0;
}

static void rocksdb_gauges(void *handle, char *out, size_t bytes)
{
    static const char *const names[] = {
        "rocksdb.num-running-compactions",    "rocksdb.estimate-pending-compaction-bytes",
        "rocksdb.actual-delayed-write-rate",  "rocksdb.is-write-stopped",
        "rocksdb.cur-size-all-mem-tables",    "rocksdb.block-cache-usage",
        "rocksdb.estimate-table-readers-mem", "rocksdb.total-sst-files-size",
        "rocksdb.live-sst-files-size",
    };
    struct rocksdb *db = handle;
    size_t at = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && at < bytes; i++) {
        at +=
            (size_t)snprintf(out + at, bytes - at, "%s\"%s\": %llu", i > 0 ? ", " : "",
                             names[i], (unsigned long long)rocksdb_property(db, names[i]));
    }
}

/* What is in memory to a file, and everything compacted. */
static int rocksdb_upkeep(void *handle)
{
    struct rocksdb *db = handle;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    char *error = NULL;

    rocksdb_flushoptions_set_wait(flush, 1);
    rocksdb_flush(db->db, flush, &error);
    rocksdb_flushoptions_destroy(flush);
    if (error != NULL) {
        return rocksdb_failed(db, error);
    }
    rocksdb_compact_range(db->db, NULL, 0, NULL, 0);
    return 0;
}

/* Memtables to files, then wait until no flush and no compaction runs or is due. */
static int rocksdb_settle(void *handle)
{
    struct rocksdb *db = handle;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    struct timespec pause = {0, 20000000};
    char *error = NULL;
    uint32_t quiet = 0;

    rocksdb_flushoptions_set_wait(flush, 1);
    rocksdb_flush(db->db, flush, &error);
    rocksdb_flushoptions_destroy(flush);
    if (error != NULL) {
        return rocksdb_failed(db, error);
    }
    for (uint32_t round = 0; round < ROCKSDB_SETTLE_S * 50 && quiet < 3; round++) {
        bool busy = rocksdb_property(db, "rocksdb.compaction-pending") != 0 ||
                    rocksdb_property(db, "rocksdb.num-running-compactions") != 0 ||
                    rocksdb_property(db, "rocksdb.mem-table-flush-pending") != 0 ||
                    rocksdb_property(db, "rocksdb.num-running-flushes") != 0;

        quiet = busy ? 0 : quiet + 1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static void rocksdb_thread_destroy(void **out)
{
    struct rocksdb_thread *thread = *out;

    if (thread->batch != NULL) {
        rocksdb_writebatch_destroy(thread->batch);
    }
    free(thread->keys);
    free(thread->key_bytes);
    free(thread->slices);
    free(thread->errors);
    free(thread);
    *out = NULL;
}

static int rocksdb_thread_create(void *handle, void **out)
{
    struct rocksdb *db = handle;
    struct rocksdb_thread *thread = calloc(1, sizeof(*thread));
    void *failed = thread;

    if (thread == NULL) {
        return ROCKSDB_FAILED;
    }
    thread->db = db;
    thread->batch = rocksdb_writebatch_create();
    thread->keys = calloc(db->group, sizeof(*thread->keys));
    thread->key_bytes = calloc(db->group, sizeof(*thread->key_bytes));
    thread->slices = calloc(db->group, sizeof(*thread->slices));
    thread->errors = calloc(db->group, sizeof(*thread->errors));
    if (thread->batch == NULL || thread->keys == NULL || thread->key_bytes == NULL ||
        thread->slices == NULL || thread->errors == NULL) {
        rocksdb_thread_destroy(&failed);
        return ROCKSDB_FAILED;
    }
    *out = thread;
    return 0;
}

static int rocksdb_engine_put(void *handle, struct bench_slice key,
                              struct bench_slice value)
{
    struct rocksdb_thread *thread = handle;
    char *error = NULL;

    rocksdb_put(thread->db->db, thread->db->write, key.data, key.bytes, value.data,
                value.bytes, &error);
    return error != NULL ? rocksdb_failed(thread->db, error) : BENCH_DONE;
}

static int rocksdb_engine_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct rocksdb_thread *thread = handle;
    char *error = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(thread->db->db, thread->db->read, key.data, key.bytes, &error);

    if (error != NULL) {
        return rocksdb_failed(thread->db, error);
    }
    if (slice == NULL) {
        return BENCH_ABSENT;
    }
    out->data = rocksdb_pinnableslice_value(slice, &out->bytes);
    out->loan = slice;
    return BENCH_DONE;
}

static void rocksdb_release(void *handle, struct bench_value *value)
{
    (void)handle;
    rocksdb_pinnableslice_destroy(value->loan);
}

static int rocksdb_remove(void *handle, struct bench_slice key)
{
    struct rocksdb_thread *thread = handle;
    char *error = NULL;

    rocksdb_delete(thread->db->db, thread->db->write, key.data, key.bytes, &error);
    return error != NULL ? rocksdb_failed(thread->db, error) : BENCH_DONE;
}

static int rocksdb_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                          void *context)
{
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int rc = rocksdb_engine_get(handle, key, &old);

    if (rc != BENCH_DONE) {
        return rc;
    }
    value.data = modifier(context, old.data, old.bytes, &value.bytes);
    rocksdb_release(handle, &old);
    return value.data == NULL ? BENCH_DONE : rocksdb_engine_put(handle, key, value);
}

static int rocksdb_engine_multi_get(void *handle, const struct bench_slice *keys,
                                    uint32_t count, struct bench_value *values,
                                    int *results)
{
    struct rocksdb_thread *thread = handle;

    for (uint32_t i = 0; i < count; i++) {
        thread->keys[i] = keys[i].data;
        thread->key_bytes[i] = keys[i].bytes;
        thread->slices[i] = NULL;
        thread->errors[i] = NULL;
    }
    rocksdb_batched_multi_get_cf(thread->db->db, thread->db->read, thread->db->family,
                                 count, thread->keys, thread->key_bytes, thread->slices,
                                 thread->errors, false);
    for (uint32_t i = 0; i < count; i++) {
        values[i].loan = thread->slices[i];
        values[i].data = NULL;
        values[i].bytes = 0;
        if (thread->errors[i] != NULL) {
            results[i] = rocksdb_failed(thread->db, thread->errors[i]);
        } else if (thread->slices[i] == NULL) {
            results[i] = BENCH_ABSENT;
        } else {
            values[i].data =
                rocksdb_pinnableslice_value(thread->slices[i], &values[i].bytes);
            results[i] = BENCH_DONE;
        }
    }
    return BENCH_DONE;
}

static void rocksdb_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    for (uint32_t i = 0; i < count; i++) {
        if (values[i].loan != NULL) {
            rocksdb_pinnableslice_destroy(values[i].loan);
        }
    }
}

static int rocksdb_batch(void *handle, const struct bench_slice *keys,
                         const struct bench_slice *values, uint32_t count)
{
    struct rocksdb_thread *thread = handle;
    char *error = NULL;

    rocksdb_writebatch_clear(thread->batch);
    for (uint32_t i = 0; i < count; i++) {
        rocksdb_writebatch_put(thread->batch, keys[i].data, keys[i].bytes, values[i].data,
                               values[i].bytes);
    }
    rocksdb_write(thread->db->db, thread->db->write, thread->batch, &error);
    return error != NULL ? rocksdb_failed(thread->db, error) : BENCH_DONE;
}

const struct bench_engine bench_engine_rocksdb = {
    .name = "rocksdb",
    .version = rocksdb_version,
    .open = rocksdb_engine_open,
    .close = rocksdb_engine_close,
    .describe = rocksdb_describe,
    .begin = rocksdb_begin,
    .end = rocksdb_end,
    .settle = rocksdb_settle,
    .explain = rocksdb_explain,
    .gauges = rocksdb_gauges,
    .upkeep = rocksdb_upkeep,
    .thread_create = rocksdb_thread_create,
    .thread_destroy = rocksdb_thread_destroy,
    .put = rocksdb_engine_put,
    .get = rocksdb_engine_get,
    .release = rocksdb_release,
    .remove = rocksdb_remove,
    .modify = rocksdb_modify,
    .multi_get = rocksdb_engine_multi_get,
    .release_many = rocksdb_release_many,
    .batch = rocksdb_batch,
};

#endif
