#include "bench/engines/driver.h"

/*
 * A server that speaks the protocol of Redis (RESP), over hiredis: Redis, Valkey, KeyDB, Dragonfly,
 * Garnet, Kvrocks. GET, SET, DEL, MGET and MSET; read-modify-write is a GET and a SET. One
 * connection per thread; with --depth requests are pipelined on it.
 *
 * How durable it is, the server's own settings say, and they are not changed from here. What is
 * asked for must be there:
 *
 *   memory    whatever it has
 *   interval  appendonly yes, and appendfsync everysec or always (a second, where ours has 100 ms)
 *   commit    appendonly yes, appendfsync always
 *
 * The database must be empty at the beginning, for it is emptied at the end. CPU time and memory
 * in the report are those of this client, not of the server.
 */
#if defined(WARP_BENCH_RESP)

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESP_FAILED    (-1)
#define RESP_CONNECT_S 5

struct resp {
    char host[128];
    int port;
    int number; /* of the database on the server */
    redisContext *main;
    redisContext *gauge; /* the watch's own connection, made when it first asks */
    bool ours;           /* it was empty: what is in it is ours to remove */
    uint32_t depth;
    uint32_t group;
    char version[64];
    char append[16];
    char sync[16];
    char message[256]; /* the first error; written once, under `reporting` */
    int reporting;     /* 0 until a thread has claimed the message (atomic exchange) */
};

struct resp_flight {
    enum bench_request_kind kind;
    uint64_t cookie;
};

struct resp_thread {
    struct resp *db;
    redisContext *context;
    const char **words;
    size_t *word_bytes;
    struct resp_flight *flights; /* in the order of their replies */
    uint32_t flight_first;
    uint32_t flight_count;
};

static int resp_failed(struct resp *db, const char *what)
{
    /* Relaxed: only the first claimant writes; it is read after the threads were joined. */
    if (__atomic_exchange_n(&db->reporting, 1, __ATOMIC_RELAXED) == 0) {
        snprintf(db->message, sizeof(db->message), "%s", what);
    }
    return RESP_FAILED;
}

static void resp_explain(void *handle, int rc, char *out, size_t bytes)
{
    struct resp *db = handle;

    (void)rc;
    snprintf(out, bytes, "%s", db->message);
}

static void resp_version(void *handle, char *out, size_t bytes)
{
    struct resp *db = handle;

    snprintf(out, bytes, "%s", db->version);
}

/* "resp://host:port" or "resp://host:port/number". */
static bool resp_parse(struct resp *db, const char *address)
{
    const char *colon;
    char *end;

    if (strncmp(address, "resp://", 7) != 0) {
        return false;
    }
    address += 7;
    colon = strrchr(address, ':');
    if (colon == NULL || colon == address ||
        (size_t)(colon - address) >= sizeof(db->host)) {
        return false;
    }
    snprintf(db->host, sizeof(db->host), "%.*s", (int)(colon - address), address);
    db->port = (int)strtol(colon + 1, &end, 10);
    if (*end == '/' && end[1] >= '0' && end[1] <= '9') {
        db->number = (int)strtol(end + 1, &end, 10);
    }
    return *end == '\0' && db->port > 0 && db->port < 65536;
}

/* A reply that is no error, or NULL: then it has been noted. */
static redisReply *resp_checked(struct resp *db, redisContext *context, redisReply *reply)
{
    if (reply == NULL) {
        resp_failed(db, context->errstr);
        return NULL;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        resp_failed(db, reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static redisContext *resp_connect(struct resp *db)
{
    struct timeval patience = {RESP_CONNECT_S, 0};
    redisContext *context = redisConnectWithTimeout(db->host, db->port, patience);
    redisReply *reply;

    if (context == NULL || context->err != 0) {
        resp_failed(db, context != NULL ? context->errstr : "no memory");
        goto fail;
    }
    redisEnableKeepAlive(context);
    if (db->number != 0) {
        reply = resp_checked(db, context, redisCommand(context, "SELECT %d", db->number));
        if (reply == NULL) {
            goto fail;
        }
        freeReplyObject(reply);
    }
    return context;

fail:
    if (context != NULL) {
        redisFree(context);
    }
    return NULL;
}

/* A setting of the server; "?" if it does not tell. */
static void resp_setting(struct resp *db, const char *name, char *out, size_t bytes)
{
    redisReply *reply = redisCommand(db->main, "CONFIG GET %s", name);

    snprintf(out, bytes, "?");
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->str != NULL) {
        snprintf(out, bytes, "%s", reply->element[1]->str);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
}

/* The value of a line "name:value" of INFO; false if there is none. */
static bool resp_info(const char *info, const char *name, char *out, size_t bytes)
{
    const char *at = info != NULL ? strstr(info, name) : NULL;

    if (at == NULL) {
        return false;
    }
    at += strlen(name);
    snprintf(out, bytes, "%.*s", (int)strcspn(at, "\r\n"), at);
    return true;
}

static void resp_learn(struct resp *db)
{
    redisReply *reply = redisCommand(db->main, "INFO server");
    char number[32] = "?";

    snprintf(db->version, sizeof(db->version), "?");
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        bool valkey = resp_info(reply->str, "valkey_version:", number, sizeof(number));

        if (valkey || resp_info(reply->str, "redis_version:", number, sizeof(number))) {
            snprintf(db->version, sizeof(db->version), "%s %s", valkey ? "valkey" : "redis",
                     number);
        }
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    resp_setting(db, "appendonly", db->append, sizeof(db->append));
    resp_setting(db, "appendfsync", db->sync, sizeof(db->sync));
}

static bool resp_keeps(const struct resp *db, enum bench_durability durability)
{
    bool log = strcmp(db->append, "yes") == 0;
    bool always = log && strcmp(db->sync, "always") == 0;

    switch (durability) {
    case BENCH_MEMORY:
        return true;
    case BENCH_INTERVAL:
        return always || (log && strcmp(db->sync, "everysec") == 0);
    case BENCH_COMMIT:
        return always;
    }
    return false;
}

static int resp_close(void **handle)
{
    struct resp *db = *handle;
    int rc = 0;

    if (db->main != NULL) {
        if (db->ours) {
            redisReply *reply = redisCommand(db->main, "FLUSHDB");

            rc = reply == NULL || reply->type == REDIS_REPLY_ERROR ? RESP_FAILED : 0;
            if (reply != NULL) {
                freeReplyObject(reply);
            }
        }
        redisFree(db->main);
    }
    if (db->gauge != NULL) {
        redisFree(db->gauge);
    }
    free(db);
    *handle = NULL;
    return rc;
}

static int resp_open(const struct bench_setup *setup, void **handle, char *message,
                     size_t message_bytes)
{
    struct resp *db = calloc(1, sizeof(*db));
    void *failed = db;
    redisReply *reply;

    if (db == NULL) {
        snprintf(message, message_bytes, "resp: no memory");
        return -1;
    }
    db->depth = setup->depth;
    db->group = setup->group;
    if (!resp_parse(db, setup->address) || setup->existing) {
        snprintf(message, message_bytes,
                 setup->existing ? "resp: a server's database is "
                                   "not one of --database"
                                 : "resp: resp://host:port[/number]");
        goto fail;
    }
    db->main = resp_connect(db);
    if (db->main == NULL) {
        snprintf(message, message_bytes, "resp: %s:%d: %s", db->host, db->port,
                 db->message);
        goto fail;
    }
    reply = redisCommand(db->main, "DBSIZE");
    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer != 0) {
        snprintf(
            message, message_bytes,
            "resp: %s:%d: database %d has keys in it, or does not say: it must be empty",
            db->host, db->port, db->number);
        if (reply != NULL) {
            freeReplyObject(reply);
        }
        goto fail;
    }
    freeReplyObject(reply);
    db->ours = true;
    resp_learn(db);
    if (!resp_keeps(db, setup->durability)) {
        snprintf(
            message, message_bytes,
            "resp: %s:%d has appendonly %s and appendfsync %s: less than was asked for "
            "(interval: yes and everysec; commit: yes and always)",
            db->host, db->port, db->append, db->sync);
        goto fail;
    }
    *handle = db;
    return 0;

fail:
    resp_close(&failed);
    return -1;
}

static void resp_describe(void *handle, char *out, size_t bytes)
{
    struct resp *db = handle;

    snprintf(out, bytes,
             "%s:%d, database %d, appendonly %s, appendfsync %s; CPU and memory are this "
             "client's, not the server's",
             db->host, db->port, db->number, db->append, db->sync);
}

static int resp_nothing(void *handle)
{
    (void)handle;
    return 0;
}

static void resp_gauges(void *handle, char *out, size_t bytes)
{
    struct resp *db = handle;
    redisReply *reply;
    char memory[32] = "0";
    char user[32] = "0";
    char system[32] = "0";

    if (db->gauge == NULL) {
        db->gauge = resp_connect(db);
    }
    reply = db->gauge != NULL ? redisCommand(db->gauge, "INFO") : NULL;
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        resp_info(reply->str, "used_memory_rss:", memory, sizeof(memory));
        resp_info(reply->str, "used_cpu_user:", user, sizeof(user));
        resp_info(reply->str, "used_cpu_sys:", system, sizeof(system));
    }
    snprintf(out, bytes,
             "\"resp_used_memory_rss\": %.0f, \"resp_used_cpu_user\": %.6f, "
             "\"resp_used_cpu_sys\": %.6f",
             strtod(memory, NULL), strtod(user, NULL), strtod(system, NULL));
    if (reply != NULL) {
        freeReplyObject(reply);
    }
}

static void resp_thread_destroy(void **out)
{
    struct resp_thread *thread = *out;

    if (thread->context != NULL) {
        redisFree(thread->context);
    }
    free((void *)thread->words);
    free(thread->word_bytes);
    free(thread->flights);
    free(thread);
    *out = NULL;
}

static int resp_thread_create(void *handle, void **out)
{
    struct resp_thread *thread = calloc(1, sizeof(*thread));
    struct resp *db = handle;
    void *failed = thread;

    if (thread == NULL) {
        return resp_failed(db, "no memory");
    }
    thread->db = db;
    thread->words = calloc((size_t)db->group * 2 + 3, sizeof(*thread->words));
    thread->word_bytes = calloc((size_t)db->group * 2 + 3, sizeof(*thread->word_bytes));
    thread->flights = calloc(db->depth, sizeof(*thread->flights));
    thread->context = resp_connect(db);
    if (thread->words == NULL || thread->word_bytes == NULL || thread->flights == NULL ||
        thread->context == NULL) {
        resp_thread_destroy(&failed);
        return resp_failed(db, "no memory");
    }
    *out = thread;
    return 0;
}

static void resp_word(struct resp_thread *thread, int at, const void *data, size_t bytes)
{
    thread->words[at] = data;
    thread->word_bytes[at] = bytes;
}

static redisReply *resp_ask(struct resp_thread *thread, int words)
{
    return resp_checked(
        thread->db, thread->context,
        redisCommandArgv(thread->context, words, thread->words, thread->word_bytes));
}

static int resp_put(void *handle, struct bench_slice key, struct bench_slice value)
{
    struct resp_thread *thread = handle;
    redisReply *reply;

    resp_word(thread, 0, "SET", 3);
    resp_word(thread, 1, key.data, key.bytes);
    resp_word(thread, 2, value.data, value.bytes);
    reply = resp_ask(thread, 3);
    if (reply == NULL) {
        return RESP_FAILED;
    }
    freeReplyObject(reply);
    return BENCH_DONE;
}

/* The reply is what is lent. */
static int resp_value(struct resp *db, redisReply *reply, struct bench_value *out)
{
    if (reply->type == REDIS_REPLY_NIL) {
        freeReplyObject(reply);
        return BENCH_ABSENT;
    }
    if (reply->type != REDIS_REPLY_STRING) {
        freeReplyObject(reply);
        return resp_failed(db, "the reply to GET is no string");
    }
    out->data = reply->str;
    out->bytes = (size_t)reply->len;
    out->loan = reply;
    return BENCH_DONE;
}

static int resp_get(void *handle, struct bench_slice key, struct bench_value *out)
{
    struct resp_thread *thread = handle;
    redisReply *reply;

    resp_word(thread, 0, "GET", 3);
    resp_word(thread, 1, key.data, key.bytes);
    reply = resp_ask(thread, 2);
    return reply == NULL ? RESP_FAILED : resp_value(thread->db, reply, out);
}

static void resp_release(void *handle, struct bench_value *value)
{
    (void)handle;
    freeReplyObject(value->loan);
}

static int resp_deleted(struct resp *db, redisReply *reply)
{
    int rc = reply->type != REDIS_REPLY_INTEGER
                 ? resp_failed(db, "the reply to DEL is no number")
             : reply->integer == 1 ? BENCH_DONE
                                   : BENCH_ABSENT;

    freeReplyObject(reply);
    return rc;
}

static int resp_remove(void *handle, struct bench_slice key)
{
    struct resp_thread *thread = handle;
    redisReply *reply;

    resp_word(thread, 0, "DEL", 3);
    resp_word(thread, 1, key.data, key.bytes);
    reply = resp_ask(thread, 2);
    return reply == NULL ? RESP_FAILED : resp_deleted(thread->db, reply);
}

static int resp_modify(void *handle, struct bench_slice key, bench_modifier modifier,
                       void *context)
{
    struct bench_value old;
    struct bench_slice value = {NULL, 0};
    int rc = resp_get(handle, key, &old);

    if (rc != BENCH_DONE) {
        return rc;
    }
    value.data = modifier(context, old.data, old.bytes, &value.bytes);
    resp_release(handle, &old);
    return value.data == NULL ? BENCH_DONE : resp_put(handle, key, value);
}

/* The reply to MGET is lent as a whole, with the first value. */
static int resp_multi_get(void *handle, const struct bench_slice *keys, uint32_t count,
                          struct bench_value *values, int *results)
{
    struct resp_thread *thread = handle;
    redisReply *reply;

    resp_word(thread, 0, "MGET", 4);
    for (uint32_t i = 0; i < count; i++) {
        resp_word(thread, (int)i + 1, keys[i].data, keys[i].bytes);
    }
    reply = resp_ask(thread, (int)count + 1);
    if (reply == NULL) {
        return RESP_FAILED;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count) {
        freeReplyObject(reply);
        return resp_failed(thread->db, "the reply to MGET is not one value per key");
    }
    for (uint32_t i = 0; i < count; i++) {
        const redisReply *element = reply->element[i];

        results[i] = element->type == REDIS_REPLY_STRING ? BENCH_DONE
                     : element->type == REDIS_REPLY_NIL  ? BENCH_ABSENT
                                                         : RESP_FAILED;
        values[i].data = element->str;
        values[i].bytes = results[i] == BENCH_DONE ? (size_t)element->len : 0;
        values[i].loan = i == 0 ? reply : NULL;
    }
    return BENCH_DONE;
}

static void resp_release_many(void *handle, struct bench_value *values, uint32_t count)
{
    (void)handle;
    (void)count;
    freeReplyObject(values[0].loan);
}

static int resp_batch(void *handle, const struct bench_slice *keys,
                      const struct bench_slice *values, uint32_t count)
{
    struct resp_thread *thread = handle;
    redisReply *reply;

    resp_word(thread, 0, "MSET", 4);
    for (uint32_t i = 0; i < count; i++) {
        resp_word(thread, 2 * (int)i + 1, keys[i].data, keys[i].bytes);
        resp_word(thread, 2 * (int)i + 2, values[i].data, values[i].bytes);
    }
    reply = resp_ask(thread, 2 * (int)count + 1);
    if (reply == NULL) {
        return RESP_FAILED;
    }
    freeReplyObject(reply);
    return BENCH_DONE;
}

/* ---- pipelining ------------------------------------------------------------------------ */

static int resp_submit(void *handle, const struct bench_request *requests, uint32_t count)
{
    struct resp_thread *thread = handle;
    struct resp *db = thread->db;
    uint32_t taken = 0;
    int written = 0;

    for (; taken < count && thread->flight_count < db->depth; taken++) {
        static const char *const verbs[] = {"GET", "SET", "DEL"};
        const struct bench_request *request = &requests[taken];
        struct resp_flight *flight =
            &thread->flights[(thread->flight_first + thread->flight_count) % db->depth];

        resp_word(thread, 0, verbs[request->kind], 3);
        resp_word(thread, 1, request->key.data, request->key.bytes);
        resp_word(thread, 2, request->value.data, request->value.bytes);
        if (redisAppendCommandArgv(thread->context,
                                   request->kind == BENCH_REQUEST_PUT ? 3 : 2,
                                   thread->words, thread->word_bytes) != REDIS_OK) {
            return resp_failed(db, thread->context->errstr);
        }
        flight->kind = request->kind;
        flight->cookie = request->cookie;
        thread->flight_count++;
    }
    while (written == 0) {
        if (redisBufferWrite(thread->context, &written) != REDIS_OK) {
            return resp_failed(db, thread->context->errstr);
        }
    }
    return (int)taken;
}

/* The next reply that has come, or NULL; false: the connection is lost. */
static bool resp_reply(struct resp_thread *thread, redisReply **reply)
{
    void *next = NULL;

    if (redisReaderGetReply(thread->context->reader, &next) != REDIS_OK) {
        resp_failed(thread->db, thread->context->reader->errstr);
        return false;
    }
    *reply = next;
    return true;
}

static void resp_land(struct resp_thread *thread, redisReply *reply,
                      struct bench_completion *out)
{
    const struct resp_flight *flight = &thread->flights[thread->flight_first];

    thread->flight_first = (thread->flight_first + 1) % thread->db->depth;
    thread->flight_count--;
    out->cookie = flight->cookie;
    reply = resp_checked(thread->db, thread->context, reply);
    if (reply == NULL) {
        out->result = RESP_FAILED;
    } else if (flight->kind == BENCH_REQUEST_GET) {
        out->result = resp_value(thread->db, reply, &out->value);
    } else if (flight->kind == BENCH_REQUEST_DELETE) {
        out->result = resp_deleted(thread->db, reply);
    } else {
        freeReplyObject(reply);
        out->result = BENCH_DONE;
    }
}

static int resp_poll(void *handle, struct bench_completion *out, uint32_t count,
                     uint64_t timeout_ns)
{
    struct resp_thread *thread = handle;
    struct pollfd readable = {.fd = thread->context->fd, .events = POLLIN};
    struct timespec patience = {(time_t)(timeout_ns / 1000000000u),
                                (long)(timeout_ns % 1000000000u)};
    uint32_t came = 0;

    for (bool read = false;; read = true) {
        while (came < count && thread->flight_count > 0) {
            redisReply *reply = NULL;

            if (!resp_reply(thread, &reply)) {
                return RESP_FAILED;
            }
            if (reply == NULL) {
                break;
            }
            resp_land(thread, reply, &out[came++]);
        }
        if (came > 0 || read) {
            return (int)came;
        }
        if (ppoll(&readable, 1, &patience, NULL) <= 0) {
            return 0;
        }
        if (redisBufferRead(thread->context) != REDIS_OK) {
            return resp_failed(thread->db, thread->context->errstr);
        }
    }
}

const struct bench_engine bench_engine_resp = {
    .name = "resp",
    .version = resp_version,
    .open = resp_open,
    .close = resp_close,
    .describe = resp_describe,
    .begin = resp_nothing,
    .end = resp_nothing,
    .settle = resp_nothing,
    .explain = resp_explain,
    .gauges = resp_gauges,
    .thread_create = resp_thread_create,
    .thread_destroy = resp_thread_destroy,
    .put = resp_put,
    .get = resp_get,
    .release = resp_release,
    .remove = resp_remove,
    .modify = resp_modify,
    .multi_get = resp_multi_get,
    .release_many = resp_release_many,
    .batch = resp_batch,
    .submit = resp_submit,
    .poll = resp_poll,
};

#endif
