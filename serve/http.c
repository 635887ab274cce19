#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "warp/warp.h"

/* What a request's head may take; libmicrohttpd answers 431 when it does not fit. */
#define HTTP_HEAD_BYTES 16384u
/* Beyond the limit, so that there is a connection to look at when one must go. */
#define HTTP_SPARE 8u

/* What the system keeps of a stream that its client has not taken; it doubles it. */
#define HTTP_STREAM_BUFFER 32768

/* What next gave: shared by the streams of its key. */
struct http_text {
    uint32_t users;
    size_t bytes;
    char *text;
};

/*
 * Life of a stream:
 *
 *   FOLLOWS    it has taken all there was, and its connection rests   http_stream_read()
 *   TAKES      there is a text for it                                 http_stream_give()
 *   ENDS       the client is gone, too slow, or the server stops      http_stream_free()
 */
struct http_stream {
    struct warp_http *http;
    struct http_stream *before, *after;
    struct MHD_Connection *connection;
    uint32_t key;
    struct http_text *now, *next; /* being taken, and what comes then; or NULL */
    size_t taken;                 /* of now */
    uint64_t moved_ns;            /* when it last took something, or had nothing to take */
    int socket;
    bool rests, ends;
};

/* All written by the server's thread; the counters are read by others. */
struct http_connection {
    struct http_connection *before, *after; /* the one that has waited longest is first */
    int socket;
    bool told_to_go;
    bool streams; /* those are few, and do not keep others out */
};

struct warp_http {
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int stop; /* an event: the thread is to end */
    struct http_stream *first_stream, *last_stream;
    uint32_t streams_max;
    uint64_t timeout_ns;
    uint64_t next_ns; /* when streams get something */
    uint64_t changes; /* connections that came and went */
    warp_http_next next;
    struct http_connection *first, *last;
    uint32_t connections_max;
    warp_http_handler handle;
    void *context;
    uint32_t port;
    _Atomic uint64_t requests, refused, connections, evicted, streams, dropped;
};

static uint64_t http_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void http_say_nothing(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments;
}

/* ---- who waits ---------------------------------------------------------------------------- */

static void http_unlink(struct warp_http *http, struct http_connection *one)
{
    *(one->before != NULL ? &one->before->after : &http->first) = one->after;
    *(one->after != NULL ? &one->after->before : &http->last) = one->before;
    one->before = one->after = NULL;
}

static void http_append(struct warp_http *http, struct http_connection *one)
{
    one->before = http->last;
    one->after = NULL;
    *(http->last != NULL ? &http->last->after : &http->first) = one;
    http->last = one;
}

/* Hang up on the one that has waited longest; libmicrohttpd sees it and closes it. */
static void http_evict(struct warp_http *http)
{
    struct http_connection *one = http->first;

    while (one != NULL && (one->told_to_go || one->streams)) {
        one = one->after;
    }
    if (one != NULL) {
        one->told_to_go = true;
        (void)shutdown(one->socket, SHUT_RDWR);
        warp_counter_add(&http->evicted, 1);
    }
}

static void http_notify(void *context, struct MHD_Connection *connection, void **kept,
                        enum MHD_ConnectionNotificationCode code)
{
    struct warp_http *http = context;
    struct http_connection *one = *kept;

    http->changes++;
    switch (code) {
    case MHD_CONNECTION_NOTIFY_STARTED: {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

        if (warp_counter_read(&http->connections) >= http->connections_max) {
            http_evict(http);
        }
        one = calloc(1, sizeof(*one));
        if (one != NULL && info != NULL) {
            one->socket = info->connect_fd;
            http_append(http, one);
        } else {
            free(one); /* it is not known, and ends by its timeout */
            one = NULL;
        }
        *kept = one;
        warp_counter_add(&http->connections, 1);
        break;
    }
    case MHD_CONNECTION_NOTIFY_CLOSED:
        warp_counter_set(&http->connections, warp_counter_read(&http->connections) - 1);
        if (one != NULL) {
            http_unlink(http, one);
            free(one);
            *kept = NULL;
        }
        break;
    }
}

/* It has asked for something: it is the last one to go now. */
static void http_seen(struct warp_http *http, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *one = info == NULL ? NULL : info->socket_context;

    if (one != NULL) {
        http_unlink(http, one);
        http_append(http, one);
    }
}

/* ---- streams ------------------------------------------------------------------------------ */

static void http_text_drop(struct http_text **text)
{
    if (*text != NULL && --(*text)->users == 0) {
        free((*text)->text);
        free(*text);
    }
    *text = NULL;
}

/* The newest of a key, with one user; NULL: no memory. */
static struct http_text *http_text_make(struct warp_http *http, uint32_t key)
{
    struct http_text *text = calloc(1, sizeof(*text));

    if (text != NULL) {
        text->users = 1;
        text->text = http->next(http->context, key, &text->bytes);
        if (text->text == NULL) {
            http_text_drop(&text);
        }
    }
    return text;
}

/* libmicrohttpd has room for `most` more bytes of it. */
static ssize_t http_stream_read(void *context, uint64_t position, char *out, size_t most)
{
    struct http_stream *stream = context;
    size_t bytes;

    (void)position;
    if (stream->ends) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (stream->now == NULL) {
        stream->now = stream->next;
        stream->next = NULL;
        stream->taken = 0;
    }
    if (stream->now == NULL) {
        stream->rests = true;
        MHD_suspend_connection(stream->connection);
        return 0;
    }
    bytes = stream->now->bytes - stream->taken;
    bytes = bytes < most ? bytes : most;
    memcpy(out, stream->now->text + stream->taken, bytes);
    stream->taken += bytes;
    stream->moved_ns = http_now_ns();
    if (stream->taken == stream->now->bytes) {
        http_text_drop(&stream->now);
    }
    return (ssize_t)bytes;
}

/* What it had not begun to take is old now. */
static void http_stream_give(struct http_stream *stream, struct http_text *text)
{
    http_text_drop(&stream->next);
    stream->next = text;
    text->users++;
    if (stream->rests) {
        stream->rests = false;
        stream->moved_ns = http_now_ns();
        MHD_resume_connection(stream->connection);
    }
}

static void http_stream_free(void *context)
{
    struct http_stream *stream = context;
    struct warp_http *http = stream->http;

    *(stream->before != NULL ? &stream->before->after : &http->first_stream) =
        stream->after;
    *(stream->after != NULL ? &stream->after->before : &http->last_stream) = stream->before;
    http_text_drop(&stream->now);
    http_text_drop(&stream->next);
    free(stream);
    warp_counter_set(&http->streams, warp_counter_read(&http->streams) - 1);
}

/* One for this connection; NULL: no memory. */
static struct http_stream *http_stream_make(struct warp_http *http,
                                            struct MHD_Connection *connection, uint32_t key)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_stream *stream = calloc(1, sizeof(*stream));
    int bytes = HTTP_STREAM_BUFFER;

    if (stream == NULL) {
        return NULL;
    }
    stream->http = http;
    stream->connection = connection;
    stream->key = key;
    stream->next = http_text_make(http, key);
    stream->moved_ns = http_now_ns();
    stream->socket = info == NULL ? -1 : info->connect_fd;
    if (stream->socket >= 0) {
        /* So that who does not read is known as such before megabytes wait for it. */
        (void)setsockopt(stream->socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
    /* Whether it is too slow is decided here, and counted. */
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                    (unsigned)(http->timeout_ns / 1000000000 * 2 + 10));
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info != NULL && info->socket_context != NULL) {
        ((struct http_connection *)info->socket_context)->streams = true;
    }
    if (http->first_stream == NULL) {
        http->next_ns = http_now_ns() + UINT64_C(1000000) * WARP_HTTP_STREAM_MS;
    }
    stream->before = http->last_stream;
    *(http->last_stream != NULL ? &http->last_stream->after : &http->first_stream) = stream;
    http->last_stream = stream;
    warp_counter_set(&http->streams, warp_counter_read(&http->streams) + 1);
    return stream;
}

/* It is time: a text of each key that is followed, to all who follow it. */
static void http_streams_turn(struct warp_http *http)
{
    struct http_stream *stream, *other, *after;
    uint64_t now_ns = http_now_ns();

    http->next_ns = now_ns + UINT64_C(1000000) * WARP_HTTP_STREAM_MS;
    for (stream = http->first_stream; stream != NULL; stream = stream->after) {
        struct http_text *text;

        for (other = http->first_stream; other != stream && other->key != stream->key;
             other = other->after) {
        }
        if (other != stream) {
            continue; /* has been given with another one */
        }
        text = http_text_make(http, stream->key);
        for (other = stream; other != NULL && text != NULL; other = other->after) {
            if (other->key == stream->key) {
                http_stream_give(other, text);
            }
        }
        http_text_drop(&text);
    }
    for (stream = http->first_stream; stream != NULL; stream = after) {
        after = stream->after;
        if (!stream->ends && !stream->rests &&
            now_ns - stream->moved_ns > http->timeout_ns && now_ns > stream->moved_ns) {
            /* libmicrohttpd sees it, and ends it. */
            stream->ends = true;
            warp_counter_add(&http->dropped, 1);
            if (stream->socket >= 0) {
                (void)shutdown(stream->socket, SHUT_RDWR);
            }
        }
    }
}

/* ---- requests ----------------------------------------------------------------------------- */

const char *warp_http_argument(const struct warp_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->inside, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result http_send(struct warp_http *http, struct MHD_Connection *connection,
                                 struct warp_http_answer *answer, bool allow)
{
    struct http_stream *stream = NULL;
    struct MHD_Response *response;
    enum MHD_Result rc;

    if (answer->stream) {
        stream = http_stream_make(http, connection, answer->key);
        response = stream == NULL ? NULL
                                  : MHD_create_response_from_callback(
                                        MHD_SIZE_UNKNOWN, HTTP_HEAD_BYTES / 2,
                                        http_stream_read, stream, http_stream_free);
        if (response == NULL && stream != NULL) {
            http_stream_free(stream);
        }
    } else if (answer->body == NULL) {
        response = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_buffer(answer->bytes, answer->body,
                                                   MHD_RESPMEM_MUST_FREE);
    }
    if (response == NULL) {
        free(answer->body);
        return MHD_NO; /* the connection is closed */
    }
    if (answer->policy != NULL) {
        (void)MHD_add_response_header(response, "Content-Security-Policy", answer->policy);
        (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (allow) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    rc = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    warp_counter_add(&http->requests, 1);
    if (answer->status >= 400 && answer->status != MHD_HTTP_SERVICE_UNAVAILABLE) {
        warp_counter_add(&http->refused, 1);
    }
    return rc;
}

static enum MHD_Result http_request(void *context, struct MHD_Connection *connection,
                                    const char *url, const char *method,
                                    const char *version, const char *upload,
                                    size_t *upload_bytes, void **kept)
{
    struct warp_http *http = context;
    struct warp_http_request request = {url, NULL, connection};
    struct warp_http_answer answer = {.status = MHD_HTTP_OK,
                                      .type = "text/plain; charset=utf-8"};
    bool known = strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
                 strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;

    (void)version;
    (void)upload;
    http_seen(http, connection);
    if (!known) {
        /* Answered before its body is read, which it then is not. */
        answer.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        return http_send(http, connection, &answer, true);
    }
    /* Once for the head; a body, which a GET should not have, is passed over. */
    if (*kept == NULL) {
        *kept = http;
        return MHD_YES;
    }
    if (*upload_bytes != 0) {
        *upload_bytes = 0;
        return MHD_YES;
    }
    request.accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    request.accept = request.accept == NULL ? "" : request.accept;
    if (!http->handle(http->context, &request, &answer)) {
        free(answer.body);
        answer = (struct warp_http_answer){.status = MHD_HTTP_INTERNAL_SERVER_ERROR,
                                           .type = "text/plain; charset=utf-8"};
    }
    if (answer.stream && strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
        answer.stream = false; /* the head alone */
    } else if (answer.stream && (http->next == NULL ||
                                 warp_counter_read(&http->streams) >= http->streams_max)) {
        answer = (struct warp_http_answer){.status = MHD_HTTP_SERVICE_UNAVAILABLE,
                                           .type = "text/plain; charset=utf-8"};
        answer.body = strdup("as many follow as may; come back later\n");
        answer.bytes = answer.body == NULL ? 0 : strlen(answer.body);
    }
    return http_send(http, connection, &answer, false);
}

/*
 * An entry of Accept is TYPE;NAME=VALUE;... and entries are between commas. The best weight of
 * OpenMetrics is held against that of plain text; "anything" is plain text.
 */
bool warp_http_wants_openmetrics(const char *accept)
{
    double openmetrics = 0, text = 0;

    while (*accept != '\0') {
        const char *end = accept + strcspn(accept, ",");
        const char *at = accept + strspn(accept, " \t");
        size_t type_bytes = strcspn(at, ",; \t");
        double weight = 1;
        bool version_is_ours = true;
        const char *parameter = at + type_bytes;

        while (parameter < end) {
            parameter += strspn(parameter, " \t;");
            if (strncasecmp(parameter, "q=", 2) == 0) {
                weight = strtod(parameter + 2, NULL);
            } else if (strncasecmp(parameter, "version=", 8) == 0) {
                const char *value = parameter + 8;

                value += *value == '"';
                version_is_ours =
                    strncmp(value, "1.0.0", 5) == 0 || strncmp(value, "0.0.1", 5) == 0;
            }
            parameter += strcspn(parameter, ",;");
            if (*parameter != ';') {
                break;
            }
        }
        if (!(weight >= 0 && weight <= 1)) {
            weight = 0;
        }
        if (type_bytes == 28 &&
            strncasecmp(at, "application/openmetrics-text", type_bytes) == 0) {
            if (version_is_ours && weight > openmetrics) {
                openmetrics = weight;
            }
        } else if (weight > text &&
                   ((type_bytes == 10 && strncasecmp(at, "text/plain", 10) == 0) ||
                    (type_bytes == 6 && strncasecmp(at, "text/*", 6) == 0) ||
                    (type_bytes == 3 && strncmp(at, "*/*", 3) == 0))) {
            text = weight;
        }
        accept = *end == ',' ? end + 1 : end;
    }
    return openmetrics > 0 && openmetrics >= text;
}

/* ---- life --------------------------------------------------------------------------------- */

static bool http_address(const struct warp_http_options *options,
                         struct sockaddr_storage *address)
{
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, options->address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)options->port);
        return true;
    }
    if (inet_pton(AF_INET6, options->address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)options->port);
        return true;
    }
    return false;
}

#define HTTP_SAY(options, ...)                                                             \
    do {                                                                                   \
        if ((options)->message != NULL && (options)->message_bytes > 0) {                  \
            (void)snprintf((options)->message, (options)->message_bytes, __VA_ARGS__);     \
        }                                                                                  \
    } while (0)

/* busy: connections have come or gone just now. Only its next round then has libmicrohttpd listen again. */
static void http_wait(struct warp_http *http, int epoll, bool busy)
{
    struct pollfd files[2] = {{epoll, POLLIN, 0}, {http->stop, POLLIN, 0}};
    MHD_UNSIGNED_LONG_LONG wanted_ms;
    uint64_t wait_ms = busy ? 0 : INT_MAX;

    if (MHD_get_timeout(http->daemon, &wanted_ms) == MHD_YES && wanted_ms < wait_ms) {
        wait_ms = wanted_ms;
    }
    if (http->first_stream != NULL) {
        uint64_t now_ns = http_now_ns();
        uint64_t left_ms =
            http->next_ns > now_ns ? (http->next_ns - now_ns + 999999) / 1000000 : 0;

        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    (void)poll(files, 2, (int)wait_ms);
}

/* One thread for all: what streams get is made between two rounds of libmicrohttpd's. */
static void *http_main(void *context)
{
    struct warp_http *http = context;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct http_stream *stream;
    uint64_t stop, changes = 0;

    while (read(http->stop, &stop, sizeof(stop)) != sizeof(stop)) {
        http_wait(http, info->epoll_fd, changes != http->changes);
        changes = http->changes;
        (void)MHD_run(http->daemon);
        if (http->first_stream != NULL && http_now_ns() >= http->next_ns) {
            http_streams_turn(http);
            (void)MHD_run(http->daemon);
        }
    }
    /* A daemon with a connection that rests cannot be stopped. */
    for (stream = http->first_stream; stream != NULL; stream = stream->after) {
        stream->ends = true;
        if (stream->rests) {
            stream->rests = false;
            MHD_resume_connection(stream->connection);
        }
    }
    (void)MHD_run(http->daemon);
    return NULL;
}

int warp_http_start(const struct warp_http_options *options, struct warp_http **http)
{
    struct sockaddr_storage address;
    const union MHD_DaemonInfo *info;
    struct warp_http *made;
    sigset_t all, kept;
    int reason;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    if (options->port > 65535 || options->connections_max < 2 ||
        options->connections_max > WARP_HTTP_CONNECTIONS_MAX) {
        HTTP_SAY(options, "port %u or connections_max %u is out of range", options->port,
                 options->connections_max);
        return WARP_EINVAL;
    }
    if (!http_address(options, &address)) {
        HTTP_SAY(options, "\"%s\" is no number of an address", options->address);
        return WARP_EINVAL;
    }
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->connections_max = options->connections_max;
    made->streams_max = options->connections_max / 4 < 1 ? 1 : options->connections_max / 4;
    if (made->streams_max > WARP_HTTP_STREAMS) {
        made->streams_max = WARP_HTTP_STREAMS;
    }
    made->timeout_ns = (uint64_t)options->timeout_ms * 1000000;
    made->next = options->next;
    made->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->stop < 0) {
        HTTP_SAY(options, "%s", strerror(errno));
        free(made);
        return WARP_ESYSTEM;
    }
    made->handle = options->handle;
    made->context = options->context;
    flags |= address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0;
    /* A host's signals are its own threads' business. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &kept);
    errno = 0;
    made->daemon = MHD_start_daemon(
        flags, (uint16_t)options->port, NULL, NULL, http_request, made,
        MHD_OPTION_EXTERNAL_LOGGER, http_say_nothing, NULL, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT,
        options->connections_max + HTTP_SPARE, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_HEAD_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (options->timeout_ms + 999) / 1000, MHD_OPTION_NOTIFY_CONNECTION, http_notify, made,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 0u, MHD_OPTION_END);
    reason = errno;
    if (made->daemon != NULL) {
        reason = pthread_create(&made->thread, NULL, http_main, made);
        if (reason != 0) {
            MHD_stop_daemon(made->daemon);
            made->daemon = NULL;
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &kept, NULL);
    if (made->daemon == NULL) {
        HTTP_SAY(options, "%s port %u: %s", options->address, options->port,
                 reason != 0 ? strerror(reason) : "it cannot be listened to");
        (void)close(made->stop);
        free(made);
        return WARP_ESYSTEM;
    }
    info = MHD_get_daemon_info(made->daemon, MHD_DAEMON_INFO_BIND_PORT);
    made->port = info == NULL ? options->port : info->port;
    *http = made;
    return 0;
}

void warp_http_stop(struct warp_http **http)
{
    if (*http != NULL) {
        const uint64_t one = 1;

        while (write((*http)->stop, &one, sizeof(one)) < 0 && errno == EINTR) {
        }
        (void)pthread_join((*http)->thread, NULL);
        MHD_stop_daemon((*http)->daemon);
        (void)close((*http)->stop);
        free(*http);
        *http = NULL;
    }
}

uint32_t warp_http_port(const struct warp_http *http)
{
    return http->port;
}

void warp_http_count(const struct warp_http *http, struct warp_http_counts *counts)
{
    counts->requests = warp_counter_read(&http->requests);
    counts->refused = warp_counter_read(&http->refused);
    counts->connections = warp_counter_read(&http->connections);
    counts->evicted = warp_counter_read(&http->evicted);
    counts->streams = warp_counter_read(&http->streams);
    counts->dropped = warp_counter_read(&http->dropped);
}
