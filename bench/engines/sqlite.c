#include "bench/engines/driver.h"

/*
 * SQLite as a key-value store: one table, one connection per thread, prepared statements, the
 * write-ahead log (journal_mode=WAL), checkpoints every 64 MiB of it.
 *
 *   memory    synchronous=OFF: commits are written to the log file, nothing is synced
 *   interval  the same, and a thread of ours syncs the log file every 100 ms
 *   commit    synchronous=FULL: the log is synced by every commit
 *
 * SQLite has one writer at a time. Writers that find it taken sleep and try again, up to 100 ms at
 * a time; a mutex of ours lets them wait instead, which is in its favour. Values of at most a
 * kilobyte are kept beside their keys (WITHOUT ROWID), larger ones in a table of their own order,
 * as its makers advise. A get looks at the value in the page without a copy. At `memory` and
 * `interval` a power cut can damage the file when it hits a checkpoint.
 */
#if defined(WARP_BENCH_SQLITE)

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engines/ticker.h"

#define SQLITE_CACHE_BYTES      ((uint64_t)256 << 20)
#define SQLITE_MAP_BYTES        ((uint64_t)2147418112) /* the most that it allows */
#define SQLITE_WAL_PAGES        16384
#define SQLITE_BUSY_MS          60000
#define SQLITE_BESIDE_KEY_BYTES 1000u

struct lite {
    sqlite3 *main; /* the driver's own connection */
    pthread_mutex_t writer;
    enum bench_durability durability;
    uint64_t cache_bytes; /* per connection */
    uint32_t group;
    size_t value_bytes;
    int log; /* the log file, for syncing it */
    struct bench_ticker ticker;
    char path[560];
};

struct lite_thread {
    struct lite *db;
    sqlite3 *connection;
    sqlite3_stmt *get;
    sqlite3_stmt *put;
    sqlite3_stmt *remove;
    sqlite3_stmt *begin;
    sqlite3_stmt *commit;
    sqlite3_stmt *rollback;
    uint8_t *group; /* copies of a multi-get's values */
};

static void lite_version(void *db, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", sqlite3_libversion());
}

/* Its codes are above zero; ours must be negative. */
static int lite_error(int rc)
{
    return rc == SQLITE_OK || rc == SQLITE_DONE ? BENCH_DONE : -rc;
}

static void lite_explain(void *db, int rc, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", sqlite3_errstr(-rc));
}

static int lite_close(void **handle)
{
    struct lite *db = *handle;
    int rc = sqlite3_close(db->main);

    if (db->log >= 0) {
        close(db->log);
    }
    pthread_mutex_destroy(&db->writer);
    free(db);
    *handle = NULL;
    return lite_error(rc);
}

static int lite_connect(const struct lite *db, sqlite3 **out)
{
    char text[512];
    int rc = sqlite3_open_v2(
        db->path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
        NULL);

    if (rc != SQLITE_OK) {
        return rc;
    }
    sqlite3_busy_timeout(*out, SQLITE_BUSY_MS);
    snprintf(
        text, sizeof(text),
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=%d; "
        "PRAGMA cache_size=-%llu; PRAGMA mmap_size=%llu;",
        db->durability == BENCH_COMMIT ? "FULL" : "OFF", SQLITE_WAL_PAGES,
        (unsigned long long)(db->cache_bytes >> 10), (unsigned long long)SQLITE_MAP_BYTES);
    return sqlite3_exec(*out, text, NULL, NULL, NULL);
}

static int lite_open(const struct bench_setup *setup, void **handle, char *message,
                     size_t message_bytes)
{
    struct lite *db = calloc(1, sizeof(*db));
    void *failed = db;
    uint64_t budget = setup->memory_bytes != 0 ? setup->memory_bytes : SQLITE_CACHE_BYTES;
    char name[600];
    int rc;

    if (db == NULL) {
        snprintf(message, message_bytes, "sqlite: no memory");
        return -1;
    }
    pthread_mutex_init(&db->writer, NULL);
    db->log = -1;
    db->durability = setup->durability;
    db->group = setup->group;
    db->value_bytes = setup->value_bytes;
    db->cache_bytes = budget / (setup->threads + 1);
    snprintf(db->path, sizeof(db->path), "%.500s/data", setup->path);
    rc = lite_connect(db, &db->main);
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(
            db->main,
            setup->value_bytes <= SQLITE_BESIDE_KEY_BYTES
                ? "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT "
                  "NULL) WITHOUT ROWID"
                : "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT "
                  "NULL)",
            NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK && db->durability == BENCH_INTERVAL) {
        /* Locks are on other files of the database, so that closing this one takes none. */
        snprintf(name, sizeof(name), "%s-wal", db->path);
        db->log = open(name, O_RDWR | O_CLOEXEC);
        rc = db->log < 0 ? SQLITE_CANTOPEN : SQLITE_OK;
    }
    if (rc != SQLITE_OK) {
        snprintf(message, message_bytes, "sqlite: %s", sqlite3_errstr(rc));
        lite_close(&failed);
        return -1;
    }
    *handle = db;
    return 0;
}

static void lite_describe(void *handle, char *out, size_t bytes)
{
    struct lite *db = handle;

    snprintf(
        out, bytes,
        "WAL, synchronous=%s%s, page cache %llu MiB per connection, map 2 GiB, checkpoint "
        "every 64 MiB, one table %s",
        db->durability == BENCH_COMMIT ? "FULL" : "OFF",
        db->durability == BENCH_INTERVAL ? ", log synced every 100 ms" : "",
        (unsigned long long)(db->cache_bytes >> 20),
        db->value_bytes <= SQLITE_BESIDE_KEY_BYTES ? "without rowid" : "with rowid");
}

static int lite_tick(void *handle)
{
    struct lite *db = handle;

    return fdatasync(db->log) != 0 ? -SQLITE_IOERR : 0;
}

static int lite_begin(void *handle)
{
    struct lite *db = handle;

    if (db->durability != BENCH_INTERVAL) {
        return 0;
    }
    return bench_ticker_start(&db->ticker, BENCH_SYNC_INTERVAL_MS, lite_tick, db) != 0
               ? -SQLITE_ERROR
               : 0;
}

static int lite_end(void *handle)
{
    struct lite *db = handle;

    return bench_ticker_stop(&db->ticker);
}

static int lite_settle(void *handle)
{
    struct lite *db = handle;

    return lite_error(
        sqlite3_wal_checkpoint_v2(db->main, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
}

static void lite_thread_destroy(void **out)
{
    struct lite_thread *thread = *out;

    sqlite3_finalize(thread->get);
    sqlite3_finalize(thread->put);
    sqlite3_finalize(thread->remove);
    sqlite3_finalize(thread->begin);
    sqlite3_finalize(thread->commit);
    sqlite3_finalize(thread->rollback);
    sqlite3_close(thread->connection);
    free(thread->group);
    free(thread);
    *out = NULL;
}

static int lite_thread_create(void *handle, void **out)
{
    static const char *const texts[] = {
        "SELECT v FROM kv WHERE k=?1",
        "INSERT INTO kv (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v=excluded.v",
        "DELETE FROM kv WHERE k=?1",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
    };
    struct lite_thread *thread = calloc(1, sizeof(*thread));
    void *failed = thread;
    int rc;

    if (thread == NULL) {
        return -SQLITE_NOMEM;
    }
    thread->db = handle;
    thread->group = malloc((thread->db->value_bytes + 1) * thread->db->group);
    rc = thread->group == NULL ? SQLITE_NOMEM
                               : lite_connect(thread->db, &thread->connection);
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(texts) / sizeof(texts[0]); i++) {
        sqlite3_stmt **const statements[] = {&thread->get,    &thread->put,
                                             &thread->remove, &thread->begin,
                                             &thread->commit, &thread->rollback};

        rc = sqlite3_prepare_v3(thread->connection, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                statements[i], NULL);
    }
    if (rc != SQLITE_OK) {
        lite_thread_destroy(&failed);
        return -rc;
    }
    *out = thread;
    return 0;
}

/* A statement that gives no rows. */
static int lite_run(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);

    sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The key must stay where it is until the statement is reset. */
static void lite_bind_key(sqlite3_stmt *statement, struct bench_slice key)
{
    sqlite3_bind_blob64(statement, 1, key.data, key.bytes, SQLITE_STATIC);
}

static int lite_put_one(struct lite_thread *thread, struct bench_slice key,
                        struct bench_slice value)
{
    lite_bind_key(thread->put, key);
    sqlite3_bind_blob64(thread->put, 2, value.data, value.bytes, SQLITE_STATIC);
    return lite_run(thread->put);
}

static int lite_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    struct lite_thread *thread = handle;
    int rc;

    pthread_mutex_lock(&thread->db->writer);
    rc = lite_put_one(thread, key, value);
    pthread_mutex_unlock(&thread->db->writer);
    return lite_error(rc);
}

/* The statement stays at its row until release, so the value stays where it is. */
static int lite_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct lite_thread *thread = handle;
    int rc;

    lite_bind_key(thread->get, key);
    rc = sqlite3_step(thread->get);
    if (rc != SQLITE_ROW) {
        sqlite3_reset(thread->get);
        return rc == SQLITE_DONE ? BENCH_ABSENT : -rc;
    }
    out->data = sqlite3_column_blob(thread->get, 0);
    out->bytes = (size_t)sqlite3_column_bytes(thread->get, 0);
    out->loan = NULL;
    return BENCH_DONE;
}

static void lite_release(void *handle, struct bench_value *value)
{
    struct lite_thread *thread = handle;

    (void)value;
    sqlite3_reset(thread->get);
}

static int lite_remove(void *handle, struct bench_slice key)
{
    struct lite_thread *thread = handle;
    int changed;
    int rc;

    pthread_mutex_lock(&thread->db->writer);
    lite_bind_key(thread->remove, key);
    rc = lite_run(thread->remove);
    changed = sqlite3_changes(thread->connection);
    pthread_mutex_unlock(&thread->db->writer);
    return rc != SQLITE_OK ? -rc : (changed == 1 ? BENCH_DONE : BENCH_ABSENT);
}

static int lite_finish(struct lite_thread *thread, int rc)
{
    if (rc == SQLITE_OK) {
        rc = lite_run(thread->commit);
    }
    if (rc != SQLITE_OK && sqlite3_get_autocommit(thread->connection) == 0) {
        lite_run(thread->rollback);
    }
    return rc;
}

static int lite_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                       void *context)
{
    struct lite_thread *thread = handle;
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int answer;
    int rc;

    pthread_mutex_lock(&thread->db->writer);
    rc = lite_run(thread->begin);
    if (rc != SQLITE_OK) {
        pthread_mutex_unlock(&thread->db->writer);
        return -rc;
    }
    answer = lite_get(handle, key, &old);
    if (answer == BENCH_DONE) {
        value.data = modifier(context, old.data, old.bytes, &value.bytes);
        lite_release(handle, &old);
        if (value.data != NULL) {
            rc = lite_put_one(thread, key, value);
        }
    }
    rc = lite_finish(thread, rc);
    pthread_mutex_unlock(&thread->db->writer);
    return answer != BENCH_DONE ? answer : lite_error(rc);
}

/* The next get would move the last one's value, so each is copied. */
static int lite_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                          struct bench_value *values, int *results)
{
    struct lite_thread *thread = handle;
    size_t stride = thread->db->value_bytes + 1;

    for (uint32_t i = 0; i < count; i++) {
        results[i] = lite_get(handle, keys[i], &values[i]);
        if (results[i] == BENCH_DONE) {
            size_t bytes = values[i].bytes < stride ? values[i].bytes : stride;

            if (bytes > 0) {
                memcpy(thread->group + stride * i, values[i].data, bytes);
            }
            values[i].data = thread->group + stride * i;
            values[i].bytes = bytes;
            lite_release(handle, &values[i]);
        }
    }
    return BENCH_DONE;
}

static void lite_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    (void)values;
    (void)count;
}

static int lite_batch(void *handle, const struct bench_slice *keys,
                      const struct bench_slice *values, uint32_t count)
{
    struct lite_thread *thread = handle;
    int rc;

    pthread_mutex_lock(&thread->db->writer);
    rc = lite_run(thread->begin);
    for (uint32_t i = 0; rc == SQLITE_OK && i < count; i++) {
        rc = lite_put_one(thread, keys[i], values[i]);
    }
    rc = lite_finish(thread, rc);
    pthread_mutex_unlock(&thread->db->writer);
    return lite_error(rc);
}

const struct bench_engine bench_engine_sqlite = {
    .name = "sqlite",
    .version = lite_version,
    .open = lite_open,
    .close = lite_close,
    .describe = lite_describe,
    .begin = lite_begin,
    .end = lite_end,
    .settle = lite_settle,
    .explain = lite_explain,
    .thread_create = lite_thread_create,
    .thread_destroy = lite_thread_destroy,
    .put = lite_put,
    .get = lite_get,
    .release = lite_release,
    .remove = lite_remove,
    .modify = lite_modify,
    .multi_get = lite_multi_get,
    .release_many = lite_release_many,
    .batch = lite_batch,
};

#endif
