#include "bench/engines/driver.h"

/*
 * WarpEngine through its public face. Reads copy into a buffer of the thread (warp_get);
 * multi-gets and sessions borrow. Everything else is at its defaults.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "warp/warp.h"

/* Requests handed over in one warp_submit(), completions taken in one warp_poll(). */
#define ADAPTER_GROUP_MAX 256u
/* WARP_AGAIN has waited 10 s already each time. */
#define ADAPTER_ATTEMPTS      3
#define ADAPTER_METRICS_BYTES 262144u

struct adapter {
    struct warp *db;
    uint32_t durability;
    uint32_t shards;
    uint64_t memory_bytes;
    uint32_t cache_policy;
    uint32_t background_permille, gravity;
    uint32_t compaction;
    uint32_t depth;
    uint32_t group;
    size_t value_bytes;
};

struct adapter_thread {
    struct adapter *owner;
    struct warp *db;
    struct warp_session *session;
    struct warp_batch *batch;
    uint8_t *buffer;
    size_t buffer_bytes;
    struct warp_slice *keys;   /* owner->group */
    struct warp_value *values; /* owner->group, or what a session has on loan */
    struct warp_request *requests;
    struct warp_completion *completions;
};

static void adapter_version(void *db, char *out, size_t bytes)
{
    (void)db;
    snprintf(out, bytes, "%s", warp_version());
}

static void adapter_explain(void *handle, int rc, char *out, size_t bytes)
{
    struct adapter *db = handle;
    char cause[192] = "";

    warp_failure(db->db, cause, sizeof(cause));
    snprintf(out, bytes, "%s%s%s", warp_error_text(rc), cause[0] != '\0' ? ": " : "",
             cause);
}

static int adapter_open(const struct bench_setup *setup, void **handle, char *message,
                        size_t message_bytes)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct adapter *db = calloc(1, sizeof(*db));
    char text[512] = "";
    int rc;

    if (db == NULL) {
        snprintf(message, message_bytes, "warp: no memory");
        return -1;
    }
    switch (setup->durability) {
    case BENCH_MEMORY:
        options.durability = WARP_MEMORY;
        break;
    case BENCH_INTERVAL:
        options.durability = WARP_INTERVAL;
        break;
    case BENCH_COMMIT:
        options.durability = WARP_COMMIT;
        break;
    }
    options.sync_interval_ms = BENCH_SYNC_INTERVAL_MS;
    options.shard_count = setup->shards;
    options.memory_bytes_max = setup->memory_bytes;
    options.cache_policy = setup->cache_policy;
    options.background_permille = setup->background_permille;
    options.gravity = setup->gravity;
    options.compaction = setup->compaction;
    /* The caller brings checkpoints about, too. */
    options.recovery_ms_max = setup->compaction == 2 ? 3600000 : 0;
    options.message = text;
    options.message_bytes = sizeof(text);
    rc = warp_open(setup->path, &options, &db->db);
    if (rc != 0) {
        snprintf(message, message_bytes, "warp: %s%s%s", warp_error_text(rc),
                 text[0] != '\0' ? ": " : "", text);
        free(db);
        return -1;
    }
    db->durability = options.durability;
    db->shards = setup->shards;
    db->memory_bytes = setup->memory_bytes;
    db->cache_policy = setup->cache_policy;
    db->background_permille = setup->background_permille;
    db->gravity = setup->gravity;
    db->compaction = setup->compaction;
    db->depth = setup->depth;
    db->group = setup->group;
    db->value_bytes = setup->value_bytes;
    *handle = db;
    return 0;
}

static int adapter_close(void **handle)
{
    struct adapter *db = *handle;
    int rc = warp_close(&db->db);

    free(db);
    *handle = NULL;
    return rc;
}

static void adapter_describe(void *handle, char *out, size_t bytes)
{
    struct adapter *db = handle;
    static const char *const levels[] = {"default", "WARP_MEMORY", "WARP_INTERVAL, 100 ms",
                                         "WARP_COMMIT, durable reads"};
    static const char *const policies[] = {"", ", cache fifo", ", cache clock",
                                           ", cache lru", ", cache sieve"};
    char shards[32] = "default";
    char memory[32] = "default";
    char background[48] = "";

    if (db->shards != 0) {
        snprintf(shards, sizeof(shards), "%u", db->shards);
    }
    if (db->memory_bytes != 0) {
        snprintf(memory, sizeof(memory), "%llu MiB",
                 (unsigned long long)(db->memory_bytes >> 20));
    }
    if (db->background_permille != 0) {
        snprintf(background, sizeof(background), ", background %u permille",
                 db->background_permille);
    }
    snprintf(out, bytes, "%s, shards %s, memory %s%s%s%s%s, all else default",
             levels[db->durability], shards, memory, policies[db->cache_policy], background,
             db->gravity == 1 ? ", gravity" : "",
             db->compaction == 2 ? ", upkeep only when asked" : "");
}

/* The whole number behind "NAME " at the beginning of a line; 0 if there is none. */
static uint64_t adapter_metric(const char *text, const char *name)
{
    size_t bytes = strlen(name);

    while (text != NULL) {
        if (strncmp(text, name, bytes) == 0 && text[bytes] == ' ') {
            return strtoull(text + bytes, NULL, 10);
        }
        text = strchr(text, '\n');
        text = text != NULL ? text + 1 : NULL;
    }
    return 0;
}

static bool adapter_tiers(void *handle, struct bench_tiers *out)
{
    struct adapter *db = handle;
    char *text = malloc(ADAPTER_METRICS_BYTES);
    size_t bytes;
    bool told;

    told = text != NULL &&
           warp_metrics_render(db->db, text, ADAPTER_METRICS_BYTES, &bytes) == 0;
    if (told) {
        out->gets = adapter_metric(text, "warp_gets_total");
        out->cold_gets = adapter_metric(text, "warp_cold_gets_total");
        out->disk_reads = adapter_metric(text, "warp_disk_reads_total");
        out->evictions = adapter_metric(text, "warp_cache_evictions_total");
    }
    free(text);
    return told;
}

static void adapter_gauges(void *handle, char *out, size_t bytes)
{
    static const char *const names[] = {
        "warp_background_pressure",
        "warp_background_steps_total",
        "warp_disk_bytes",
        "warp_disk_live_bytes",
        "warp_log_tail_bytes",
        "warp_log_durable_bytes",
        "warp_log_held_segments",
        "warp_checkpoints_total",
        "warp_checkpoint_log_bytes",
        "warp_compaction_runs_total",
        "warp_compaction_raw_bytes_total",
        "warp_compaction_stored_bytes_total",
        "warp_memory_bytes",
        "warp_cache_bytes",
        "warp_cold_gets_total",
        "warp_cache_evictions_total",
        "warp_log_room_waits_total",
    };
    struct adapter *db = handle;
    char *text = malloc(ADAPTER_METRICS_BYTES);
    size_t at = 0;
    size_t length;

    if (text != NULL &&
        warp_metrics_render(db->db, text, ADAPTER_METRICS_BYTES, &length) == 0) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && at < bytes; i++) {
            at += (size_t)snprintf(out + at, bytes - at, "%s\"%s\": %llu",
                                   i > 0 ? ", " : "", names[i],
                                   (unsigned long long)adapter_metric(text, names[i]));
        }
    }
    free(text);
}

static int adapter_upkeep(void *handle)
{
    struct adapter *db = handle;
    int rc = warp_checkpoint(db->db);

    return rc != 0 ? rc : warp_compact(db->db);
}

/* The engine syncs by itself. */
static int adapter_begin(void *handle)
{
    (void)handle;
    return 0;
}

static int adapter_settle(void *handle)
{
    struct adapter *db = handle;

    return warp_flush(db->db);
}

static void adapter_thread_destroy(void **out)
{
    struct adapter_thread *thread = *out;

    warp_session_destroy(&thread->session);
    warp_batch_destroy(&thread->batch);
    free(thread->buffer);
    free(thread->keys);
    free(thread->values);
    free(thread->requests);
    free(thread->completions);
    free(thread);
    *out = NULL;
}

static int adapter_thread_create(void *handle, void **out)
{
    struct adapter *owner = handle;
    struct adapter_thread *thread = calloc(1, sizeof(*thread));
    void *failed = thread;
    uint32_t loans = owner->group > ADAPTER_GROUP_MAX ? owner->group : ADAPTER_GROUP_MAX;
    int rc = WARP_ENOMEM;

    if (thread == NULL) {
        return WARP_ENOMEM;
    }
    thread->owner = owner;
    thread->db = owner->db;
    thread->buffer_bytes = owner->value_bytes + 64;
    thread->buffer = malloc(thread->buffer_bytes);
    thread->keys = calloc(loans, sizeof(*thread->keys));
    thread->values = calloc(loans, sizeof(*thread->values));
    thread->requests = calloc(ADAPTER_GROUP_MAX, sizeof(*thread->requests));
    thread->completions = calloc(ADAPTER_GROUP_MAX, sizeof(*thread->completions));
    if (thread->buffer == NULL || thread->keys == NULL || thread->values == NULL ||
        thread->requests == NULL || thread->completions == NULL) {
        goto fail;
    }
    rc = warp_batch_create(owner->db, &thread->batch);
    if (rc != 0) {
        goto fail;
    }
    if (owner->depth > 1) {
        rc = warp_session_create(owner->db, owner->depth, &thread->session);
        if (rc != 0) {
            goto fail;
        }
    }
    *out = thread;
    return 0;

fail:
    adapter_thread_destroy(&failed);
    return rc;
}

static struct warp_slice adapter_slice(struct bench_slice slice)
{
    struct warp_slice out = {slice.data, slice.bytes};

    return out;
}

static int adapter_answer(int rc)
{
    switch (rc) {
    case WARP_OK:
        return BENCH_DONE;
    case WARP_ABSENT:
        return BENCH_ABSENT;
    case WARP_AGAIN:
        return BENCH_AGAIN;
    default:
        /* CONFLICT and TRUNCATED are not asked for here: as errors they are found. */
        return rc < 0 ? rc : WARP_EINVAL;
    }
}

static int adapter_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    struct adapter_thread *thread = handle;

    return adapter_answer(
        warp_put(thread->db, adapter_slice(key), adapter_slice(value), NULL, NULL));
}

static int adapter_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct adapter_thread *thread = handle;
    size_t bytes = 0;
    int rc = warp_get(thread->db, adapter_slice(key), thread->buffer, thread->buffer_bytes,
                      &bytes, NULL);

    if (rc == WARP_OK) {
        out->data = thread->buffer;
        out->bytes = bytes;
        out->loan = NULL;
    }
    return adapter_answer(rc);
}

static void adapter_release(void *handle, struct bench_value *value)
{
    (void)handle;
    /* A value of warp_get() is a copy; one of a session names its loan. */
    if (value->loan != NULL) {
        warp_return(value->loan);
    }
}

static int adapter_remove(void *handle, struct bench_slice key)
{
    struct adapter_thread *thread = handle;

    return adapter_answer(warp_delete(thread->db, adapter_slice(key), NULL, NULL));
}

static int adapter_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                          void *context)
{
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int rc = adapter_get(handle, key, &old);

    if (rc != BENCH_DONE) {
        return rc;
    }
    value.data = modifier(context, old.data, old.bytes, &value.bytes);
    if (value.data == NULL) {
        return BENCH_DONE;
    }
    /* Not BENCH_AGAIN: the read must not be done twice, so the write alone is tried
     * again. */
    for (int attempt = 0; attempt < ADAPTER_ATTEMPTS; attempt++) {
        rc = adapter_put(handle, key, value);
        if (rc != BENCH_AGAIN) {
            return rc;
        }
    }
    return WARP_EFAILED;
}

static int adapter_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                             struct bench_value *values, int *results)
{
    struct adapter_thread *thread = handle;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        thread->keys[i] = adapter_slice(keys[i]);
    }
    rc = warp_multi_get(thread->db, thread->keys, count, thread->values, results);
    if (rc != 0) {
        return adapter_answer(rc);
    }
    for (uint32_t i = 0; i < count; i++) {
        results[i] = adapter_answer(results[i]);
        values[i].data = thread->values[i].data;
        values[i].bytes = thread->values[i].bytes;
        values[i].loan = NULL;
    }
    return BENCH_DONE;
}

static void adapter_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    struct adapter_thread *thread = handle;

    (void)values;
    for (uint32_t i = 0; i < count; i++) {
        warp_return(&thread->values[i]);
    }
}

static int adapter_batch(void *handle, const struct bench_slice *keys,
                         const struct bench_slice *values, uint32_t count)
{
    struct adapter_thread *thread = handle;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        rc = warp_batch_put(thread->batch, adapter_slice(keys[i]), adapter_slice(values[i]),
                            0);
        if (rc != 0) {
            return rc < 0 ? rc : WARP_EBATCH;
        }
    }
    /* The batch stays filled, so it is not for the caller to try again. */
    for (int attempt = 0; attempt < ADAPTER_ATTEMPTS; attempt++) {
        rc = warp_batch_commit(thread->batch, NULL, NULL);
        if (rc != WARP_AGAIN) {
            return adapter_answer(rc);
        }
    }
    return WARP_EFAILED;
}

static int adapter_submit(void *handle, const struct bench_request *requests,
                          uint32_t count)
{
    static const uint32_t opcodes[] = {[BENCH_REQUEST_GET] = WARP_OP_GET,
                                       [BENCH_REQUEST_PUT] = WARP_OP_PUT,
                                       [BENCH_REQUEST_DELETE] = WARP_OP_DELETE};
    struct adapter_thread *thread = handle;
    uint32_t taken = count < ADAPTER_GROUP_MAX ? count : ADAPTER_GROUP_MAX;

    for (uint32_t i = 0; i < taken; i++) {
        struct warp_request *request = &thread->requests[i];

        request->size = sizeof(*request);
        request->opcode = opcodes[requests[i].kind];
        request->cookie = requests[i].cookie;
        request->key = adapter_slice(requests[i].key);
        request->value = adapter_slice(requests[i].value);
    }
    return warp_submit(thread->session, thread->requests, taken);
}

static int adapter_poll(void *handle, struct bench_completion *out, uint32_t count,
                        uint64_t timeout_ns)
{
    struct adapter_thread *thread = handle;
    uint32_t wanted = count < ADAPTER_GROUP_MAX ? count : ADAPTER_GROUP_MAX;
    int came = warp_poll(thread->session, thread->completions, wanted, timeout_ns);

    for (int i = 0; i < came; i++) {
        struct warp_completion *completion = &thread->completions[i];

        out[i].cookie = completion->cookie;
        out[i].result = adapter_answer(completion->result);
        out[i].value.data = completion->value.data;
        out[i].value.bytes = completion->value.bytes;
        out[i].value.loan = completion->opcode == WARP_OP_GET && completion->result == 0
                                ? &completion->value
                                : NULL;
    }
    return came;
}

const struct bench_engine bench_engine_warp = {
    .name = "warp",
    .version = adapter_version,
    .open = adapter_open,
    .close = adapter_close,
    .describe = adapter_describe,
    .begin = adapter_begin,
    .end = adapter_begin,
    .settle = adapter_settle,
    .explain = adapter_explain,
    .tiers = adapter_tiers,
    .gauges = adapter_gauges,
    .upkeep = adapter_upkeep,
    .thread_create = adapter_thread_create,
    .thread_destroy = adapter_thread_destroy,
    .put = adapter_put,
    .get = adapter_get,
    .release = adapter_release,
    .remove = adapter_remove,
    .modify = adapter_modify,
    .multi_get = adapter_multi_get,
    .release_many = adapter_release_many,
    .batch = adapter_batch,
    .submit = adapter_submit,
    .poll = adapter_poll,
};
