#include "bench/engines/driver.h"

/*
 * WiredTiger: one table (its default, a B-tree), a session and a cursor per thread, cache of
 * --memory-bytes or 1 GiB, no compression, a checkpoint a minute by its own thread.
 *
 *   memory    no log: what is not in a checkpoint is gone
 *   interval  log, commits not synced; a thread of ours calls log_flush(sync=on) every 100 ms. A
 *             killed process loses what is in the log buffer, up to 100 ms: in its favour
 *   commit    transaction_sync: the log is synced (fsync) by every commit; it groups them itself
 *
 * A get looks at the value in the page without a copy; a multi-get is a loop that copies, for one
 * cursor lends one value. Read-modify-write is a transaction; where it conflicts after the value
 * has been changed, the write is made by itself.
 */
#if defined(WARP_BENCH_WIREDTIGER)

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wiredtiger.h>

#include "bench/engines/ticker.h"

#define TIGER_CACHE_BYTES ((uint64_t)1 << 30)
#define TIGER_ATTEMPTS    1000
#define TIGER_TABLE       "table:kv"

struct tiger {
    WT_CONNECTION *connection;
    WT_SESSION *session; /* the driver's own, and the ticker's while it runs */
    enum bench_durability durability;
    uint64_t cache_bytes;
    uint32_t group;
    size_t value_bytes;
    struct bench_ticker ticker;
};

struct tiger_thread {
    struct tiger *db;
    WT_SESSION *session;
    WT_CURSOR *cursor;
    uint8_t *group; /* copies of a multi-get's values */
};

static void tiger_version(void *db, char *out, size_t bytes)
{
    int major;
    int minor;
    int patch;

    (void)db;
    wiredtiger_version(&major, &minor, &patch);
    snprintf(out, bytes, "%d.%d.%d", major, minor, patch);
}

/* Its own codes are far below zero, errno values above it; ours must be negative. */
static int tiger_error(int rc)
{
    return rc > 0 ? -rc : rc;
}

static void tiger_explain(void *db, int rc, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", wiredtiger_strerror(rc < -30000 ? rc : -rc));
}

static int tiger_close(void **handle)
{
    struct tiger *db = *handle;
    int rc = 0;

    if (db->connection != NULL) {
        rc = db->connection->close(db->connection, NULL);
    }
    free(db);
    *handle = NULL;
    return tiger_error(rc);
}

static int tiger_open(const struct bench_setup *setup, void **handle, char *message,
                      size_t message_bytes)
{
    struct tiger *db = calloc(1, sizeof(*db));
    void *failed = db;
    char text[512];
    int rc;

    if (db == NULL) {
        snprintf(message, message_bytes, "wiredtiger: no memory");
        return -1;
    }
    db->durability = setup->durability;
    db->group = setup->group;
    db->value_bytes = setup->value_bytes;
    db->cache_bytes = setup->memory_bytes != 0 ? setup->memory_bytes : TIGER_CACHE_BYTES;
    snprintf(text, sizeof(text),
             "create,cache_size=%lluM,session_max=%u,checkpoint=(wait=60),log=(enabled=%s),"
             "transaction_sync=(enabled=%s,method=fsync)",
             (unsigned long long)(db->cache_bytes >> 20), setup->threads + 64,
             setup->durability != BENCH_MEMORY ? "true" : "false",
             setup->durability == BENCH_COMMIT ? "true" : "false");
    rc = wiredtiger_open(setup->path, NULL, text, &db->connection);
    if (rc == 0) {
        rc = db->connection->open_session(db->connection, NULL, NULL, &db->session);
    }
    if (rc == 0) {
        rc = db->session->create(db->session, TIGER_TABLE, "key_format=u,value_format=u");
    }
    if (rc != 0) {
        snprintf(message, message_bytes, "wiredtiger: %s", wiredtiger_strerror(rc));
        tiger_close(&failed);
        return -1;
    }
    *handle = db;
    return 0;
}

static void tiger_describe(void *handle, char *out, size_t bytes)
{
    struct tiger *db = handle;

    snprintf(out, bytes,
             "B-tree, cache %llu MiB, no compression, checkpoint every 60 s, %s",
             (unsigned long long)(db->cache_bytes >> 20),
             db->durability == BENCH_COMMIT     ? "log synced by every commit"
             : db->durability == BENCH_INTERVAL ? "log, log_flush(sync=on) every 100 ms"
                                                : "no log");
}

static int tiger_tick(void *handle)
{
    struct tiger *db = handle;

    return tiger_error(db->session->log_flush(db->session, "sync=on"));
}

static int tiger_begin(void *handle)
{
    struct tiger *db = handle;

    if (db->durability != BENCH_INTERVAL) {
        return 0;
    }
    return bench_ticker_start(&db->ticker, BENCH_SYNC_INTERVAL_MS, tiger_tick, db) != 0
               ? -EAGAIN
               : 0;
}

static int tiger_end(void *handle)
{
    struct tiger *db = handle;

    return bench_ticker_stop(&db->ticker);
}

static int tiger_settle(void *handle)
{
    struct tiger *db = handle;

    return tiger_error(db->session->checkpoint(db->session, NULL));
}

static void tiger_thread_destroy(void **out)
{
    struct tiger_thread *thread = *out;

    if (thread->session != NULL) {
        thread->session->close(thread->session, NULL); /* and its cursor */
    }
    free(thread->group);
    free(thread);
    *out = NULL;
}

static int tiger_thread_create(void *handle, void **out)
{
    struct tiger_thread *thread = calloc(1, sizeof(*thread));
    void *failed = thread;
    int rc;

    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->db = handle;
    thread->group = malloc((thread->db->value_bytes + 1) * thread->db->group);
    rc = thread->group == NULL ? ENOMEM
                               : thread->db->connection->open_session(
                                     thread->db->connection, NULL, NULL, &thread->session);
    if (rc == 0) {
        rc = thread->session->open_cursor(thread->session, TIGER_TABLE, NULL, NULL,
                                          &thread->cursor);
    }
    if (rc != 0) {
        tiger_thread_destroy(&failed);
        return tiger_error(rc);
    }
    *out = thread;
    return 0;
}

static void tiger_set_key(struct tiger_thread *thread, struct bench_slice slice)
{
    WT_ITEM key;

    memset(&key, 0, sizeof(key));
    key.data = slice.data;
    key.size = slice.bytes;
    thread->cursor->set_key(thread->cursor, &key);
}

static int tiger_write(struct tiger_thread *thread, struct bench_slice key,
                       struct bench_slice slice)
{
    WT_ITEM value;

    memset(&value, 0, sizeof(value));
    value.data = slice.data;
    value.size = slice.bytes;
    tiger_set_key(thread, key);
    thread->cursor->set_value(thread->cursor, &value);
    return thread->cursor->insert(thread->cursor); /* or overwrite */
}

static int tiger_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    int rc = WT_ROLLBACK;

    for (int attempt = 0; attempt < TIGER_ATTEMPTS && rc == WT_ROLLBACK; attempt++) {
        rc = tiger_write(handle, key, value);
    }
    return tiger_error(rc);
}

/* The cursor stays where it is until release, so the value does, too. */
static int tiger_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct tiger_thread *thread = handle;
    WT_ITEM value;
    int rc;

    tiger_set_key(thread, key);
    rc = thread->cursor->search(thread->cursor);
    if (rc == 0) {
        rc = thread->cursor->get_value(thread->cursor, &value);
    }
    if (rc != 0) {
        thread->cursor->reset(thread->cursor);
        return rc == WT_NOTFOUND   ? BENCH_ABSENT
               : rc == WT_ROLLBACK ? BENCH_AGAIN
                                   : tiger_error(rc);
    }
    out->data = value.data;
    out->bytes = value.size;
    out->loan = NULL;
    return BENCH_DONE;
}

static void tiger_release(void *handle, struct bench_value *value)
{
    struct tiger_thread *thread = handle;

    (void)value;
    thread->cursor->reset(thread->cursor);
}

static int tiger_remove(void *handle, struct bench_slice key)
{
    struct tiger_thread *thread = handle;
    int rc;

    tiger_set_key(thread, key);
    rc = thread->cursor->remove(thread->cursor);
    return rc == WT_NOTFOUND   ? BENCH_ABSENT
           : rc == WT_ROLLBACK ? BENCH_AGAIN
                               : tiger_error(rc);
}

static int tiger_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                        void *context)
{
    struct tiger_thread *thread = handle;
    WT_SESSION *session = thread->session;
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int rc = session->begin_transaction(session, "isolation=snapshot");
    int answer;

    if (rc != 0) {
        return tiger_error(rc);
    }
    answer = tiger_get(handle, key, &old);
    if (answer == BENCH_DONE) {
        value.data = modifier(context, old.data, old.bytes, &value.bytes);
    }
    if (value.data == NULL) {
        rc = session->rollback_transaction(session, NULL);
        return rc != 0 ? tiger_error(rc) : answer;
    }
    rc = tiger_write(thread, key, value);
    if (rc == 0) {
        return tiger_error(session->commit_transaction(session, NULL));
    }
    session->rollback_transaction(session, NULL);
    return rc == WT_ROLLBACK ? tiger_put(handle, key, value) : tiger_error(rc);
}

static int tiger_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                           struct bench_value *values, int *results)
{
    struct tiger_thread *thread = handle;
    size_t stride = thread->db->value_bytes + 1;

    for (uint32_t i = 0; i < count; i++) {
        int rc = BENCH_AGAIN;

        for (int attempt = 0; attempt < TIGER_ATTEMPTS && rc == BENCH_AGAIN; attempt++) {
            rc = tiger_get(handle, keys[i], &values[i]);
        }
        results[i] = rc;
        if (rc == BENCH_DONE) {
            size_t bytes = values[i].bytes < stride ? values[i].bytes : stride;

            if (bytes > 0) {
                memcpy(thread->group + stride * i, values[i].data, bytes);
            }
            values[i].data = thread->group + stride * i;
            values[i].bytes = bytes;
        }
    }
    thread->cursor->reset(thread->cursor);
    return BENCH_DONE;
}

static void tiger_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    (void)values;
    (void)count;
}

static int tiger_batch_once(struct tiger_thread *thread, const struct bench_slice *keys,
                            const struct bench_slice *values, uint32_t count)
{
    WT_SESSION *session = thread->session;
    int rc = session->begin_transaction(session, NULL);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = tiger_write(thread, keys[i], values[i]);
    }
    if (rc != 0) {
        session->rollback_transaction(session, NULL);
        return rc;
    }
    return session->commit_transaction(session, NULL);
}

static int tiger_batch(void *handle, const struct bench_slice *keys,
                       const struct bench_slice *values, uint32_t count)
{
    int rc = WT_ROLLBACK;

    for (int attempt = 0; attempt < TIGER_ATTEMPTS && rc == WT_ROLLBACK; attempt++) {
        rc = tiger_batch_once(handle, keys, values, count);
    }
    return tiger_error(rc);
}

const struct bench_engine bench_engine_wiredtiger = {
    .name = "wiredtiger",
    .version = tiger_version,
    .open = tiger_open,
    .close = tiger_close,
    .describe = tiger_describe,
    .begin = tiger_begin,
    .end = tiger_end,
    .settle = tiger_settle,
    .explain = tiger_explain,
    .thread_create = tiger_thread_create,
    .thread_destroy = tiger_thread_destroy,
    .put = tiger_put,
    .get = tiger_get,
    .release = tiger_release,
    .remove = tiger_remove,
    .modify = tiger_modify,
    .multi_get = tiger_multi_get,
    .release_many = tiger_release_many,
    .batch = tiger_batch,
};

#endif
