#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "warp/warp.h"

/* What a request's head may take; libmicrohttpd answers 431 when it does not fit. */
#define HTTP_HEAD_BYTES 16384u
/* Beyond the limit, so that there is a connection to look at when one must go. */
#define HTTP_SPARE 8u

/* All written by the server's thread; the counters are read by others. */
struct http_connection {
    struct http_connection *before, *after; /* the one that has waited longest is first */
    int socket;
    bool told_to_go;
};

struct warp_http {
    struct MHD_Daemon *daemon;
    struct http_connection *first, *last;
    uint32_t connections_max;
    warp_http_handler handle;
    void *context;
    uint32_t port;
    _Atomic uint64_t requests, refused, connections, evicted;
};

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

    while (one != NULL && one->told_to_go) {
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

/* ---- requests ----------------------------------------------------------------------------- */

const char *warp_http_argument(const struct warp_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->inside, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result http_send(struct warp_http *http, struct MHD_Connection *connection,
                                 struct warp_http_answer *answer, bool allow)
{
    struct MHD_Response *response =
        answer->body == NULL
            ? MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT)
            : MHD_create_response_from_buffer(answer->bytes, answer->body,
                                              MHD_RESPMEM_MUST_FREE);
    enum MHD_Result rc;

    if (response == NULL) {
        free(answer->body);
        return MHD_NO; /* the connection is closed */
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
    struct warp_http_answer answer = {MHD_HTTP_OK, "text/plain; charset=utf-8", NULL, 0};
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
        answer = (struct warp_http_answer){MHD_HTTP_INTERNAL_SERVER_ERROR,
                                           "text/plain; charset=utf-8", NULL, 0};
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

int warp_http_start(const struct warp_http_options *options, struct warp_http **http)
{
    struct sockaddr_storage address;
    const union MHD_DaemonInfo *info;
    struct warp_http *made;
    sigset_t all, kept;
    int reason;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_USE_ERROR_LOG;

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
    (void)pthread_sigmask(SIG_SETMASK, &kept, NULL);
    if (made->daemon == NULL) {
        HTTP_SAY(options, "%s port %u: %s", options->address, options->port,
                 reason != 0 ? strerror(reason) : "it cannot be listened to");
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
        MHD_stop_daemon((*http)->daemon);
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
}
