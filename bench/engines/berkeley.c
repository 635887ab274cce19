#include "bench/engines/driver.h"

/*
 * Berkeley DB: a transactional environment in the memory of the process, one B-tree, each write a
 * transaction of its own, cache of --memory-bytes or 1 GiB, log buffer of 32 MiB.
 *
 *   memory    DB_TXN_NOSYNC: commits stay in the log buffer
 *   interval  the same, and a thread of ours flushes the log with a sync every 100 ms. A killed
 *             process loses up to 100 ms, where ours loses 1: in its favour
 *   commit    the default: the log is written and synced by every commit; it groups them itself
 *
 * At every level a thread of ours asks every 100 ms for a checkpoint, which it makes once there are
 * 64 MiB of log, and logs that are no longer needed are removed. Locks are by page, so writers
 * can deadlock: who is chosen to lose begins again. Two large batches would lose again and again,
 * so those wait for each other. A get copies into the thread's buffer.
 */
#if defined(WARP_BENCH_BDB)

#include <db.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engines/ticker.h"

#define BERKELEY_CACHE_BYTES    ((uint64_t)1 << 30)
#define BERKELEY_LOG_BYTES      ((uint32_t)32 << 20)
#define BERKELEY_LOG_FILE_BYTES ((uint32_t)256 << 20)
#define BERKELEY_CHECKPOINT_KIB ((uint32_t)64 << 10)
#define BERKELEY_LOCKS          200000u
#define BERKELEY_ATTEMPTS       1000

struct berkeley {
    DB_ENV *environment;
    DB *table;
    pthread_mutex_t batches;
    enum bench_durability durability;
    uint64_t cache_bytes;
    uint32_t group;
    size_t value_bytes;
    struct bench_ticker ticker;
};

struct berkeley_thread {
    struct berkeley *db;
    uint8_t *buffer;
    uint8_t *group;
};

static void berkeley_version(void *db, char *out, size_t bytes)
{
    int major;
    int minor;
    int patch;

    (void)db;
    db_version(&major, &minor, &patch);
    snprintf(out, bytes, "%d.%d.%d", major, minor, patch);
}

/* Its own codes are far below zero, errno values above it; ours must be negative. */
static int berkeley_error(int rc)
{
    return rc > 0 ? -rc : rc;
}

static void berkeley_explain(void *db, int rc, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", db_strerror(rc < -30000 ? rc : -rc));
}

static int berkeley_close(void **handle)
{
    struct berkeley *db = *handle;
    int rc = 0;
    int env_rc = 0;

    if (db->table != NULL) {
        rc = db->table->close(db->table, 0);
    }
    if (db->environment != NULL) {
        env_rc = db->environment->close(db->environment, 0);
    }
    pthread_mutex_destroy(&db->batches);
    free(db);
    *handle = NULL;
    return berkeley_error(rc != 0 ? rc : env_rc);
}

static int berkeley_configure(struct berkeley *db, const struct bench_setup *setup)
{
    DB_ENV *environment = db->environment;
    int rc = environment->set_cachesize(environment, (uint32_t)(db->cache_bytes >> 30),
                                        (uint32_t)(db->cache_bytes & 0x3fffffffu), 1);

    if (rc == 0) {
        rc = environment->set_lg_bsize(environment, BERKELEY_LOG_BYTES);
    }
    if (rc == 0) {
        rc = environment->set_lg_max(environment, BERKELEY_LOG_FILE_BYTES);
    }
    if (rc == 0) {
        rc = environment->log_set_config(environment, DB_LOG_AUTO_REMOVE, 1);
    }
    if (rc == 0) {
        rc = environment->set_lk_detect(environment, DB_LOCK_DEFAULT);
    }
    if (rc == 0) {
        rc = environment->set_lk_max_locks(environment, BERKELEY_LOCKS);
    }
    if (rc == 0) {
        rc = environment->set_lk_max_objects(environment, BERKELEY_LOCKS);
    }
    if (rc == 0) {
        rc = environment->set_lk_max_lockers(environment, setup->threads * 4 + 1000);
    }
    if (rc == 0) {
        rc = environment->set_tx_max(environment, setup->threads * 2 + 100);
    }
    if (rc == 0 && setup->durability != BENCH_COMMIT) {
        rc = environment->set_flags(environment, DB_TXN_NOSYNC, 1);
    }
    return rc;
}

static int berkeley_open(const struct bench_setup *setup, void **handle, char *message,
                         size_t message_bytes)
{
    struct berkeley *db = calloc(1, sizeof(*db));
    void *failed = db;
    int rc;

    if (db == NULL) {
        snprintf(message, message_bytes, "bdb: no memory");
        return -1;
    }
    pthread_mutex_init(&db->batches, NULL);
    db->durability = setup->durability;
    db->group = setup->group;
    db->value_bytes = setup->value_bytes;
    db->cache_bytes = setup->memory_bytes != 0 ? setup->memory_bytes : BERKELEY_CACHE_BYTES;
    rc = db_env_create(&db->environment, 0);
    if (rc == 0) {
        rc = berkeley_configure(db, setup);
    }
    if (rc == 0) {
        rc = db->environment->open(db->environment, setup->path,
                                   DB_CREATE | DB_INIT_MPOOL | DB_INIT_TXN | DB_INIT_LOCK |
                                       DB_INIT_LOG | DB_THREAD | DB_PRIVATE |
                                       (setup->existing ? DB_RECOVER : 0u),
                                   0644);
    }
    if (rc == 0) {
        rc = db_create(&db->table, db->environment, 0);
    }
    if (rc == 0) {
        rc = db->table->open(db->table, NULL, "table", NULL, DB_BTREE,
                             DB_CREATE | DB_THREAD | DB_AUTO_COMMIT, 0644);
    }
    if (rc != 0) {
        snprintf(message, message_bytes, "bdb: %s", db_strerror(rc));
        berkeley_close(&failed);
        return -1;
    }
    *handle = db;
    return 0;
}

static void berkeley_describe(void *handle, char *out, size_t bytes)
{
    struct berkeley *db = handle;

    snprintf(
        out, bytes,
        "B-tree, private environment, cache %llu MiB, log buffer 32 MiB, a transaction per "
        "write or batch, %s, checkpoint every 64 MiB of log",
        (unsigned long long)(db->cache_bytes >> 20),
        db->durability == BENCH_COMMIT     ? "synced"
        : db->durability == BENCH_INTERVAL ? "DB_TXN_NOSYNC, log_flush every 100 ms"
                                           : "DB_TXN_NOSYNC");
}

static int berkeley_tick(void *handle)
{
    struct berkeley *db = handle;
    int rc = 0;

    if (db->durability == BENCH_INTERVAL) {
        rc = db->environment->log_flush(db->environment, NULL);
    }
    if (rc == 0) {
        rc =
            db->environment->txn_checkpoint(db->environment, BERKELEY_CHECKPOINT_KIB, 0, 0);
    }
    return berkeley_error(rc);
}

static int berkeley_begin(void *handle)
{
    struct berkeley *db = handle;

    return bench_ticker_start(&db->ticker, BENCH_SYNC_INTERVAL_MS, berkeley_tick, db) != 0
               ? -EAGAIN
               : 0;
}

static int berkeley_end(void *handle)
{
    struct berkeley *db = handle;

    return bench_ticker_stop(&db->ticker);
}

static int berkeley_settle(void *handle)
{
    struct berkeley *db = handle;

    return berkeley_error(db->environment->txn_checkpoint(db->environment, 0, 0, 0));
}

static void berkeley_thread_destroy(void **out)
{
    struct berkeley_thread *thread = *out;

    free(thread->buffer);
    free(thread->group);
    free(thread);
    *out = NULL;
}

static int berkeley_thread_create(void *handle, void **out)
{
    struct berkeley_thread *thread = calloc(1, sizeof(*thread));
    void *failed = thread;

    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->db = handle;
    thread->buffer = malloc(thread->db->value_bytes + 1);
    thread->group = malloc((thread->db->value_bytes + 1) * thread->db->group);
    if (thread->buffer == NULL || thread->group == NULL) {
        berkeley_thread_destroy(&failed);
        return -ENOMEM;
    }
    *out = thread;
    return 0;
}

static DBT berkeley_slice(struct bench_slice slice)
{
    DBT out;

    memset(&out, 0, sizeof(out));
    out.data = (void *)(uintptr_t)slice.data;
    out.size = (uint32_t)slice.bytes;
    return out;
}

static int berkeley_read(struct berkeley_thread *thread, DB_TXN *transaction,
                         uint32_t flags, struct bench_slice name, uint8_t *buffer,
                         struct bench_value *out)
{
    DBT key = berkeley_slice(name);
    DBT value;
    int rc;

    memset(&value, 0, sizeof(value));
    value.data = buffer;
    value.ulen = (uint32_t)thread->db->value_bytes + 1;
    value.flags = DB_DBT_USERMEM;
    rc = thread->db->table->get(thread->db->table, transaction, &key, &value, flags);
    if (rc == 0) {
        out->data = buffer;
        out->bytes = value.size;
        out->loan = NULL;
    }
    return rc;
}

static int berkeley_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct berkeley_thread *thread = handle;
    int rc = berkeley_read(thread, NULL, 0, key, thread->buffer, out);

    return rc == DB_NOTFOUND        ? BENCH_ABSENT
           : rc == DB_LOCK_DEADLOCK ? BENCH_AGAIN
                                    : berkeley_error(rc);
}

static void berkeley_release(void *handle, struct bench_value *value)
{
    (void)handle;
    (void)value;
}

static int berkeley_put_once(struct berkeley_thread *thread, const struct bench_slice *keys,
                             const struct bench_slice *values, uint32_t count)
{
    DB_ENV *environment = thread->db->environment;
    DB_TXN *transaction = NULL;
    int rc = environment->txn_begin(environment, NULL, &transaction, 0);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        DBT key = berkeley_slice(keys[i]);
        DBT value = berkeley_slice(values[i]);

        rc = thread->db->table->put(thread->db->table, transaction, &key, &value, 0);
    }
    if (rc != 0) {
        transaction->abort(transaction);
        return rc;
    }
    return transaction->commit(transaction, 0);
}

static int berkeley_put_all(struct berkeley_thread *thread, const struct bench_slice *keys,
                            const struct bench_slice *values, uint32_t count)
{
    int rc = DB_LOCK_DEADLOCK;

    for (int attempt = 0; attempt < BERKELEY_ATTEMPTS && rc == DB_LOCK_DEADLOCK;
         attempt++) {
        rc = berkeley_put_once(thread, keys, values, count);
    }
    return berkeley_error(rc);
}

static int berkeley_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    return berkeley_put_all(handle, &key, &value, 1);
}

static int berkeley_batch(void *handle, const struct bench_slice *keys,
                          const struct bench_slice *values, uint32_t count)
{
    struct berkeley_thread *thread = handle;
    int rc;

    pthread_mutex_lock(&thread->db->batches);
    rc = berkeley_put_all(thread, keys, values, count);
    pthread_mutex_unlock(&thread->db->batches);
    return rc;
}

static int berkeley_remove(void *handle, struct bench_slice name)
{
    struct berkeley_thread *thread = handle;
    DBT key = berkeley_slice(name);
    int rc = thread->db->table->del(thread->db->table, NULL, &key, 0);

    return rc == DB_NOTFOUND        ? BENCH_ABSENT
           : rc == DB_LOCK_DEADLOCK ? BENCH_AGAIN
                                    : berkeley_error(rc);
}

/*
 * Read for write and write in one transaction. If that loses to another after the value has been
 * changed, the write is made by itself, for the read must not be done twice.
 */
static int berkeley_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                           void *context)
{
    struct berkeley_thread *thread = handle;
    DB_ENV *environment = thread->db->environment;
    DB_TXN *transaction = NULL;
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    DBT name = berkeley_slice(key);
    DBT data;
    int rc = environment->txn_begin(environment, NULL, &transaction, 0);

    if (rc != 0) {
        return berkeley_error(rc);
    }
    rc = berkeley_read(thread, transaction, DB_RMW, key, thread->buffer, &old);
    if (rc != 0) {
        transaction->abort(transaction);
        return rc == DB_NOTFOUND        ? BENCH_ABSENT
               : rc == DB_LOCK_DEADLOCK ? BENCH_AGAIN
                                        : berkeley_error(rc);
    }
    value.data = modifier(context, old.data, old.bytes, &value.bytes);
    if (value.data == NULL) {
        return berkeley_error(transaction->abort(transaction));
    }
    data = berkeley_slice(value);
    rc = thread->db->table->put(thread->db->table, transaction, &name, &data, 0);
    if (rc != 0) {
        transaction->abort(transaction);
        return rc == DB_LOCK_DEADLOCK ? berkeley_put(handle, key, value)
                                      : berkeley_error(rc);
    }
    return berkeley_error(transaction->commit(transaction, 0));
}

static int berkeley_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                              struct bench_value *values, int *results)
{
    struct berkeley_thread *thread = handle;
    size_t stride = thread->db->value_bytes + 1;

    for (uint32_t i = 0; i < count; i++) {
        int rc = DB_LOCK_DEADLOCK;

        for (int attempt = 0; attempt < BERKELEY_ATTEMPTS && rc == DB_LOCK_DEADLOCK;
             attempt++) {
            rc = berkeley_read(thread, NULL, 0, keys[i], thread->group + stride * i,
                               &values[i]);
        }
        results[i] = rc == DB_NOTFOUND ? BENCH_ABSENT : berkeley_error(rc);
    }
    return BENCH_DONE;
}

static void berkeley_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    (void)values;
    (void)count;
}

const struct bench_engine bench_engine_bdb = {
    .name = "bdb",
    .version = berkeley_version,
    .open = berkeley_open,
    .close = berkeley_close,
    .describe = berkeley_describe,
    .begin = berkeley_begin,
    .end = berkeley_end,
    .settle = berkeley_settle,
    .explain = berkeley_explain,
    .thread_create = berkeley_thread_create,
    .thread_destroy = berkeley_thread_destroy,
    .put = berkeley_put,
    .get = berkeley_get,
    .release = berkeley_release,
    .remove = berkeley_remove,
    .modify = berkeley_modify,
    .multi_get = berkeley_multi_get,
    .release_many = berkeley_release_many,
    .batch = berkeley_batch,
};

#endif
