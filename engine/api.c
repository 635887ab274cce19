/*
 * The public face: argument checks, then one call into the room. What include/warp/warp.h
 * promises is kept below; nothing is decided here.
 */
#include "warp/warp.h"

#include <string.h>

#include "base/probe.h"
#include "engine/async.h"
#include "engine/balance.h"
#include "engine/batch.h"
#include "engine/call.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "engine/options.h"
#include "engine/verify.h"
#include "shards/background.h"
#include "shards/get.h"

const char *warp_error_text(int rc)
{
    switch (rc) {
    case WARP_OK:
        return "done";
    case WARP_ABSENT:
        return "no such key";
    case WARP_AGAIN:
        return "a bounded resource is full for the moment; try again";
    case WARP_CONFLICT:
        return "the condition did not hold";
    case WARP_TRUNCATED:
        return "the buffer is too small";
    case WARP_EINVAL:
        return "an argument is out of range";
    case WARP_ENOMEM:
        return "no memory, or memory_bytes_max is reached";
    case WARP_EIO:
        return "the disk failed to read or write";
    case WARP_ENOSPC:
        return "the disk is full";
    case WARP_EBUSY:
        return "the database is open already";
    case WARP_EKEY:
        return "the key is empty or longer than 65536 bytes";
    case WARP_EVALUE:
        return "the value is longer than 33554432 bytes";
    case WARP_ENUMBER:
        return "the value is not a decimal 64-bit number";
    case WARP_ERANGE:
        return "the sum does not fit a signed 64-bit number";
    case WARP_EFORMAT:
        return "not a WarpEngine database";
    case WARP_EVERSION:
        return "written by a newer version of WarpEngine";
    case WARP_EDAMAGED:
        return "a file of the database is damaged";
    case WARP_EFAILED:
        return "the log has failed; the database is read-only until it is opened again";
    case WARP_EREADONLY:
        return "the database is open for reading only";
    case WARP_EPERM:
        return "the operating system refuses access";
    case WARP_ENOTDIR:
        return "the path is not a directory";
    case WARP_ENOENT:
        return "there is no database there";
    case WARP_EEXIST:
        return "there is a database there already";
    case WARP_EDEADLINE:
        return "the deadline passed before the request was carried out";
    case WARP_EBATCH:
        return "the batch has too many operations or bytes";
    case WARP_ESYSTEM:
        return "the system lacks something the engine needs";
    }
    return "an unknown code";
}

#define API_TEXT(x)    #x
#define API_VERSION(x) API_TEXT(x)

const char *warp_version(void)
{
    return API_VERSION(WARP_VERSION_MAJOR) "." API_VERSION(
        WARP_VERSION_MINOR) "." API_VERSION(WARP_VERSION_PATCH);
}

int warp_open(const char *path, const struct warp_options *options, struct warp **db)
{
    return warp_engine_open(path, options, NULL, db);
}

int warp_close(struct warp **db)
{
    return db == NULL || *db == NULL ? 0 : warp_engine_close(db);
}

int warp_failure(struct warp *db, char *buffer, size_t capacity)
{
    if (db->wal == NULL) {
        if (capacity > 0) {
            buffer[0] = '\0';
        }
        return 0;
    }
    return warp_writer_failure(&db->wal->writer, buffer, capacity);
}

int warp_recovery_info(struct warp *db, struct warp_recovery *out)
{
    size_t bytes = out->size;

    if (bytes < offsetof(struct warp_recovery, duration_ns) || bytes > sizeof(*out)) {
        return WARP_EINVAL;
    }
    memcpy(out, &db->recovery, bytes);
    out->size = bytes;
    return 0;
}

int warp_put(struct warp *db, struct warp_slice key, struct warp_slice value,
             const struct warp_write *how, uint64_t *sequence)
{
    struct warp_message message;
    int rc;

    WARP_PROBE3(put_begin, key.data, key.bytes, value.bytes);
    rc = warp_call_write(db, WARP_OP_PUT, key, value, 0, how, &message);
    if (rc == 0 && sequence != NULL) {
        *sequence = message.sequence;
    }
    WARP_PROBE3(put_end, key.data, key.bytes, rc);
    return rc;
}

int warp_get(struct warp *db, struct warp_slice key, void *buffer, size_t capacity,
             size_t *bytes, uint64_t *sequence)
{
    int rc;

    if (buffer == NULL && capacity > 0) {
        return WARP_EINVAL;
    }
    WARP_PROBE2(get_begin, key.data, key.bytes);
    rc = warp_call_get(db, key, buffer, capacity, bytes, sequence);
    WARP_PROBE3(get_end, key.data, key.bytes, rc);
    return rc;
}

int warp_delete(struct warp *db, struct warp_slice key, const struct warp_write *how,
                uint64_t *sequence)
{
    struct warp_slice none = {NULL, 0};
    struct warp_message message;
    int rc;

    rc = warp_call_write(db, WARP_OP_DELETE, key, none, 0, how, &message);
    if (rc == 0 && sequence != NULL) {
        *sequence = message.sequence;
    }
    return rc;
}

int warp_add(struct warp *db, struct warp_slice key, int64_t delta,
             const struct warp_write *how, int64_t *result)
{
    struct warp_slice none = {NULL, 0};
    struct warp_message message;
    int rc;

    rc = warp_call_write(db, WARP_OP_ADD, key, none, delta, how, &message);
    if (rc == 0 && result != NULL) {
        *result = message.number;
    }
    return rc;
}

int warp_borrow(struct warp *db, struct warp_slice key, struct warp_value *out)
{
    return out == NULL ? WARP_EINVAL : warp_call_borrow(db, key, out);
}

void warp_return(struct warp_value *value)
{
    if (value != NULL) {
        warp_get_return(value);
    }
}

int warp_multi_get(struct warp *db, const struct warp_slice *keys, size_t count,
                   struct warp_value *values, int *results)
{
    if (count > 0 && (keys == NULL || values == NULL || results == NULL)) {
        return WARP_EINVAL;
    }
    return warp_call_multi_get(db, keys, count, values, results);
}

int warp_batch_create(struct warp *db, struct warp_batch **batch)
{
    return batch == NULL || *batch != NULL ? WARP_EINVAL : warp_batch_make(db, batch);
}

int warp_batch_put(struct warp_batch *batch, struct warp_slice key, struct warp_slice value,
                   uint64_t ttl_ms)
{
    return warp_batch_append(batch, false, key, value, ttl_ms);
}

int warp_batch_delete(struct warp_batch *batch, struct warp_slice key)
{
    struct warp_slice none = {NULL, 0};

    return warp_batch_append(batch, true, key, none, 0);
}

int warp_batch_commit(struct warp_batch *batch, const struct warp_write *how,
                      uint64_t *sequence)
{
    return warp_batch_write(batch, how, sequence);
}

void warp_batch_destroy(struct warp_batch **batch)
{
    if (batch != NULL && *batch != NULL) {
        warp_batch_unmake(batch);
    }
}

int warp_flush(struct warp *db)
{
    return db->wal == NULL ? 0 : warp_writer_flush(&db->wal->writer);
}

int warp_checkpoint(struct warp *db)
{
    return db->background == NULL ? WARP_EREADONLY
                                  : warp_background_checkpoint(db->background);
}

int warp_compact(struct warp *db)
{
    return db->background == NULL ? WARP_EREADONLY
                                  : warp_background_compact(db->background);
}

int warp_verify(struct warp *db, const struct warp_verify_options *options,
                struct warp_verify_report *report)
{
    struct warp_verify_options known = WARP_VERIFY_OPTIONS_INIT;
    struct warp_verify_report found = WARP_VERIFY_REPORT_INIT;
    size_t bytes = report == NULL ? 0 : report->size;
    int rc;

    if (options != NULL &&
        warp_options_copy(&known, sizeof(known), options,
                          offsetof(struct warp_verify_options, context)) < 0) {
        return WARP_EINVAL;
    }
    if (report != NULL &&
        (bytes < offsetof(struct warp_verify_report, files) || bytes > sizeof(*report))) {
        return WARP_EINVAL;
    }
    rc = warp_engine_verify(db, &known, &found);
    if (report != NULL) {
        memcpy(report, &found, bytes);
        report->size = bytes;
    }
    return rc;
}

int warp_count(struct warp *db, uint64_t *records)
{
    struct warp_catalogue_values totals;

    if (records == NULL) {
        return WARP_EINVAL;
    }
    warp_metrics_collect(db, &totals);
    *records = totals.records;
    return 0;
}

int warp_visit(struct warp *db, warp_visitor visit, void *context)
{
    return visit == NULL ? WARP_EINVAL : warp_call_visit(db, visit, context);
}

int warp_session_create(struct warp *db, uint32_t depth, struct warp_session **session)
{
    if (session == NULL || *session != NULL || depth == 0 ||
        depth > WARP_SESSION_DEPTH_MAX) {
        return WARP_EINVAL;
    }
    return warp_async_create(db, depth, session);
}

int warp_submit(struct warp_session *session, const struct warp_request *requests,
                size_t count)
{
    return count > 0 && requests == NULL ? WARP_EINVAL
                                         : warp_async_submit(session, requests, count);
}

int warp_poll(struct warp_session *session, struct warp_completion *out, size_t count,
              uint64_t timeout_ns)
{
    return count > 0 && out == NULL ? WARP_EINVAL
                                    : warp_async_poll(session, out, count, timeout_ns);
}

int warp_session_fd(struct warp_session *session)
{
    return warp_async_fd(session);
}

void warp_session_destroy(struct warp_session **session)
{
    if (session != NULL && *session != NULL) {
        warp_async_destroy(session);
    }
}

int warp_balance(struct warp *db, const struct warp_balance_options *options,
                 struct warp_balance_report *report)
{
    struct warp_balance_options known = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report found = WARP_BALANCE_REPORT_INIT;
    size_t bytes = report == NULL ? 0 : report->size;
    int rc;

    if (options != NULL &&
        warp_options_copy(&known, sizeof(known), options,
                          offsetof(struct warp_balance_options, context)) < 0) {
        return WARP_EINVAL;
    }
    if (known.even > 1 || known.dry_run > 1 ||
        (report != NULL && (bytes < offsetof(struct warp_balance_report, evenness) ||
                            bytes > sizeof(*report)))) {
        return WARP_EINVAL;
    }
    rc = warp_engine_balance(db, &known, &found);
    if (report != NULL) {
        memcpy(report, &found, bytes);
        report->size = bytes;
    }
    return rc;
}

int warp_metrics_render(struct warp *db, char *buffer, size_t capacity, size_t *bytes)
{
    if (bytes == NULL || (buffer == NULL && capacity > 0)) {
        return WARP_EINVAL;
    }
    return warp_metrics_write(db, buffer, capacity, bytes);
}

int warp_slow_visit(struct warp *db, warp_slow_visitor visit, void *context)
{
    struct warp_snapshot_slow calls[WARP_SNAPSHOT_SLOW];
    uint32_t count, i;
    int rc = 0;

    if (visit == NULL) {
        return WARP_EINVAL;
    }
    count = warp_slow_copy(&db->slow, calls);
    for (i = 0; i < count && rc == 0; i++) {
        const struct warp_snapshot_slow *call = &calls[i];
        const struct warp_slow slow = {
            .size = sizeof(slow),
            .number = call->number,
            .ended_ms = call->ended_ms,
            .duration_ns = call->duration_ns,
            .wait_ns = call->stages_ns[WARP_SLOW_WAIT],
            .execute_ns = call->stages_ns[WARP_SLOW_EXECUTE],
            .room_ns = call->stages_ns[WARP_SLOW_ROOM],
            .durable_ns = call->stages_ns[WARP_SLOW_DURABLE],
            .disk_ns = call->stages_ns[WARP_SLOW_DISK],
            .memory_ns = call->stages_ns[WARP_SLOW_MEMORY],
            .pace_ns = call->stages_ns[WARP_SLOW_PACE],
            .opcode = call->opcode,
            .result = call->result,
            .slot = call->slot,
            .shard = call->shard,
            .key_bytes = call->key_bytes,
            .value_bytes = call->value_bytes,
            .key = {call->key, call->key_bytes < sizeof(call->key) ? call->key_bytes
                                                                   : sizeof(call->key)},
        };

        rc = visit(context, &slow);
    }
    return rc;
}

int warp_metrics_snapshot(struct warp *db, void *buffer, size_t capacity, size_t *bytes)
{
    if (bytes == NULL || (buffer == NULL && capacity > 0)) {
        return WARP_EINVAL;
    }
    return warp_metrics_image(db, buffer, capacity, bytes);
}
