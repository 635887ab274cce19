#include "bench/engines/driver.h"

/*
 * LMDB. A write is one transaction (a batch is one, too); a read renews the thread's own
 * read transaction and looks at the value in the map, without a copy.
 *
 *   memory    MDB_NOSYNC | MDB_WRITEMAP: commits touch memory only
 *   interval  the same, and mdb_env_sync() every 100 ms by a thread of ours
 *   commit    the default: every transaction is synced before it returns
 *
 * MDB_WRITEMAP made puts at "interval" 2 - 3 times faster here and nothing at "commit". At
 * the first two levels LMDB gives more speed than safety: after a power cut the file may be
 * unusable as a whole, where ours loses a suffix. That is in its favour here.
 */
#if defined(WARP_BENCH_LMDB)

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engines/ticker.h"

struct lmdb {
    MDB_env *env;
    MDB_dbi table;
    enum bench_durability durability;
    unsigned int flags;
    uint64_t map_bytes;
    struct bench_ticker ticker;
};

struct lmdb_thread {
    struct lmdb *db;
    MDB_txn *reader; /* reset between reads */
};

static void lmdb_version(void *db, char *out, size_t bytes)
{
    int major;
    int minor;
    int patch;

    (void)db;
    mdb_version(&major, &minor, &patch);
    snprintf(out, bytes, "%d.%d.%d", major, minor, patch);
}

/* LMDB's own codes are far below zero, errno values above it; ours must be negative. */
static int lmdb_error(int rc)
{
    return rc > 0 ? -rc : rc;
}

static void lmdb_explain(void *db, int rc, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", mdb_strerror(rc < -1000 ? rc : -rc));
}

static int lmdb_close(void **handle)
{
    struct lmdb *db = *handle;

    if (db->env != NULL) {
        mdb_env_close(db->env);
    }
    free(db);
    *handle = NULL;
    return 0;
}

static int lmdb_open(const struct bench_setup *setup, void **handle, char *message,
                     size_t message_bytes)
{
    struct lmdb *db = calloc(1, sizeof(*db));
    void *failed = db;
    MDB_txn *transaction = NULL;
    int rc;

    if (db == NULL) {
        snprintf(message, message_bytes, "lmdb: no memory");
        return -1;
    }
    db->durability = setup->durability;
    db->flags = MDB_NOTLS;
    switch (setup->durability) {
    case BENCH_MEMORY:
        db->flags |= MDB_NOSYNC | MDB_WRITEMAP;
        break;
    case BENCH_INTERVAL:
        db->flags |= MDB_NOSYNC | MDB_WRITEMAP;
        break;
    case BENCH_COMMIT:
        break;
    }
    /* Address space, not memory: four times the data, and room for what a run inserts. */
    db->map_bytes = (setup->records * (setup->key_bytes + setup->value_bytes + 64) * 4 +
                     ((uint64_t)8 << 30)) &
                    ~(uint64_t)0xfffff;
    rc = mdb_env_create(&db->env);
    if (rc != 0) {
        goto fail;
    }
    rc = mdb_env_set_mapsize(db->env, db->map_bytes);
    if (rc != 0) {
        goto fail;
    }
    rc = mdb_env_set_maxreaders(db->env, setup->threads + 16);
    if (rc != 0) {
        goto fail;
    }
    if (setup->key_bytes > (size_t)mdb_env_get_maxkeysize(db->env)) {
        snprintf(message, message_bytes, "lmdb: keys of at most %d bytes",
                 mdb_env_get_maxkeysize(db->env));
        lmdb_close(&failed);
        return -1;
    }
    rc = mdb_env_open(db->env, setup->path, db->flags, 0644);
    if (rc != 0) {
        goto fail;
    }
    rc = mdb_txn_begin(db->env, NULL, 0, &transaction);
    if (rc != 0) {
        goto fail;
    }
    rc = mdb_dbi_open(transaction, NULL, 0, &db->table);
    if (rc != 0) {
        mdb_txn_abort(transaction);
        goto fail;
    }
    rc = mdb_txn_commit(transaction);
    if (rc != 0) {
        goto fail;
    }
    *handle = db;
    return 0;

fail:
    snprintf(message, message_bytes, "lmdb: %s", mdb_strerror(rc));
    lmdb_close(&failed);
    return -1;
}

static void lmdb_describe(void *handle, char *out, size_t bytes)
{
    struct lmdb *db = handle;

    snprintf(out, bytes,
             "MDB_NOTLS%s%s%s, map %llu GiB, one transaction per write or batch",
             (db->flags & MDB_NOSYNC) != 0 ? "|MDB_NOSYNC" : "",
             (db->flags & MDB_WRITEMAP) != 0 ? "|MDB_WRITEMAP" : "",
             db->durability == BENCH_INTERVAL ? ", mdb_env_sync every 100 ms" : "",
             (unsigned long long)(db->map_bytes >> 30));
}

static int lmdb_sync(void *handle)
{
    struct lmdb *db = handle;

    return lmdb_error(mdb_env_sync(db->env, 1));
}

static int lmdb_begin(void *handle)
{
    struct lmdb *db = handle;

    if (db->durability != BENCH_INTERVAL) {
        return 0;
    }
    return bench_ticker_start(&db->ticker, BENCH_SYNC_INTERVAL_MS, lmdb_sync, db) != 0
               ? -EAGAIN
               : 0;
}

static int lmdb_end(void *handle)
{
    struct lmdb *db = handle;

    return bench_ticker_stop(&db->ticker);
}

static int lmdb_thread_create(void *handle, void **out)
{
    struct lmdb_thread *thread = calloc(1, sizeof(*thread));
    int rc;

    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->db = handle;
    rc = mdb_txn_begin(thread->db->env, NULL, MDB_RDONLY, &thread->reader);
    if (rc != 0) {
        free(thread);
        return lmdb_error(rc);
    }
    mdb_txn_reset(thread->reader);
    *out = thread;
    return 0;
}

static void lmdb_thread_destroy(void **out)
{
    struct lmdb_thread *thread = *out;

    mdb_txn_abort(thread->reader);
    free(thread);
    *out = NULL;
}

static int lmdb_batch(void *handle, const struct bench_slice *keys,
                      const struct bench_slice *values, uint32_t count)
{
    struct lmdb_thread *thread = handle;
    MDB_txn *transaction;
    int rc = mdb_txn_begin(thread->db->env, NULL, 0, &transaction);

    if (rc != 0) {
        return lmdb_error(rc);
    }
    for (uint32_t i = 0; i < count; i++) {
        MDB_val key = {keys[i].bytes, (void *)(uintptr_t)keys[i].data};
        MDB_val value = {values[i].bytes, (void *)(uintptr_t)values[i].data};

        rc = mdb_put(transaction, thread->db->table, &key, &value, 0);
        if (rc != 0) {
            mdb_txn_abort(transaction);
            return lmdb_error(rc);
        }
    }
    return lmdb_error(mdb_txn_commit(transaction));
}

static int lmdb_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    return lmdb_batch(handle, &key, &value, 1);
}

/* The read transaction stays open until release, so the value stays where it is. */
static int lmdb_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct lmdb_thread *thread = handle;
    MDB_val name = {key.bytes, (void *)(uintptr_t)key.data};
    MDB_val value;
    int rc = mdb_txn_renew(thread->reader);

    if (rc != 0) {
        return lmdb_error(rc);
    }
    rc = mdb_get(thread->reader, thread->db->table, &name, &value);
    if (rc != 0) {
        mdb_txn_reset(thread->reader);
        return rc == MDB_NOTFOUND ? BENCH_ABSENT : lmdb_error(rc);
    }
    out->data = value.mv_data;
    out->bytes = value.mv_size;
    out->loan = thread;
    return BENCH_DONE;
}

static void lmdb_release(void *handle, struct bench_value *value)
{
    struct lmdb_thread *thread = handle;

    (void)value;
    mdb_txn_reset(thread->reader);
}

static int lmdb_remove(void *handle, struct bench_slice key)
{
    struct lmdb_thread *thread = handle;
    MDB_val name = {key.bytes, (void *)(uintptr_t)key.data};
    MDB_txn *transaction;
    int rc = mdb_txn_begin(thread->db->env, NULL, 0, &transaction);

    if (rc != 0) {
        return lmdb_error(rc);
    }
    rc = mdb_del(transaction, thread->db->table, &name, NULL);
    if (rc != 0) {
        mdb_txn_abort(transaction);
        return rc == MDB_NOTFOUND ? BENCH_ABSENT : lmdb_error(rc);
    }
    return lmdb_error(mdb_txn_commit(transaction));
}

static int lmdb_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                       void *context)
{
    struct lmdb_thread *thread = handle;
    MDB_val name = {key.bytes, (void *)(uintptr_t)key.data};
    MDB_val value;
    MDB_txn *transaction;
    const void *data;
    size_t bytes = 0;
    int rc = mdb_txn_begin(thread->db->env, NULL, 0, &transaction);

    if (rc != 0) {
        return lmdb_error(rc);
    }
    rc = mdb_get(transaction, thread->db->table, &name, &value);
    if (rc != 0) {
        goto fail;
    }
    data = modifier(context, value.mv_data, value.mv_size, &bytes);
    if (data == NULL) {
        mdb_txn_abort(transaction);
        return BENCH_DONE;
    }
    value.mv_data = (void *)(uintptr_t)data;
    value.mv_size = bytes;
    rc = mdb_put(transaction, thread->db->table, &name, &value, 0);
    if (rc != 0) {
        goto fail;
    }
    return lmdb_error(mdb_txn_commit(transaction));

fail:
    mdb_txn_abort(transaction);
    return rc == MDB_NOTFOUND ? BENCH_ABSENT : lmdb_error(rc);
}

static int lmdb_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                          struct bench_value *values, int *results)
{
    struct lmdb_thread *thread = handle;
    int rc = mdb_txn_renew(thread->reader);

    if (rc != 0) {
        return lmdb_error(rc);
    }
    for (uint32_t i = 0; i < count; i++) {
        MDB_val name = {keys[i].bytes, (void *)(uintptr_t)keys[i].data};
        MDB_val value = {0, NULL};

        rc = mdb_get(thread->reader, thread->db->table, &name, &value);
        results[i] = rc == MDB_NOTFOUND ? BENCH_ABSENT : lmdb_error(rc);
        values[i].data = value.mv_data;
        values[i].bytes = value.mv_size;
        values[i].loan = NULL;
    }
    return BENCH_DONE;
}

static void lmdb_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    struct lmdb_thread *thread = handle;

    (void)values;
    (void)count;
    mdb_txn_reset(thread->reader);
}

const struct bench_engine bench_engine_lmdb = {
    .name = "lmdb",
    .version = lmdb_version,
    .open = lmdb_open,
    .close = lmdb_close,
    .describe = lmdb_describe,
    .begin = lmdb_begin,
    .end = lmdb_end,
    .settle = lmdb_sync,
    .explain = lmdb_explain,
    .thread_create = lmdb_thread_create,
    .thread_destroy = lmdb_thread_destroy,
    .put = lmdb_put,
    .get = lmdb_get,
    .release = lmdb_release,
    .remove = lmdb_remove,
    .modify = lmdb_modify,
    .multi_get = lmdb_multi_get,
    .release_many = lmdb_release_many,
    .batch = lmdb_batch,
};

#endif
