/*
 * serve/http.h - answers GET over HTTP, one request at a time, whoever asks.
 *
 * A thin room around libmicrohttpd, which parses and writes. What it adds is that no client can keep
 * another one out: when there are as many connections as may be, the one that has waited longest
 * for its next request goes. So a client that opens connections and says nothing, or a byte now and
 * then, costs a few KiB and nothing else.
 *
 * An answer may be a stream, which is given a new text twice a second until the client goes away (server-sent
 * events, a part of the HTML standard). A client that is slow is passed over and gets the newest text when
 * it has taken the one before; one that takes nothing for the time of a timeout is hung up on. So a stream
 * holds two texts at most, which it shares with others, and there are only so many streams.
 *
 * Threads:   start and stop by the owner; handle and next are called by the server's one thread.
 * Lifetime:  start to stop. What handle puts into an answer is the server's to free.
 * Units:     milliseconds; bytes.
 * Ordering:  what happened before start is seen by handle, what handle did is seen after stop.
 * Errors:    WARP_EINVAL, WARP_ENOMEM, WARP_ESYSTEM with a sentence. A bad request is answered by
 *            libmicrohttpd or with 404 or 405, and is nobody's error.
 * Cost:      one thread, asleep in epoll; 16 KiB a connection. next runs twice a second for each key that
 *            somebody follows, and not at all if nobody does.
 */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WARP_HTTP_CONNECTIONS     64u
#define WARP_HTTP_CONNECTIONS_MAX 10000u
#define WARP_HTTP_TIMEOUT_MS      10000u
#define WARP_HTTP_STREAMS         16u /* and a quarter of the connections at most */
#define WARP_HTTP_STREAM_MS       500u

struct warp_http;

struct warp_http_request {
    const char *path;
    const char *accept; /* "" if there is none */
    void *inside;       /* for warp_http_argument */
};

struct warp_http_answer {
    uint32_t status;
    const char *type; /* of the content; static */
    char *body;       /* from malloc, or NULL */
    size_t bytes;
    const char *policy; /* Content-Security-Policy, or NULL; static */
    bool stream;        /* there is no body, but what next gives for key, again and again */
    uint32_t key;
};

/* false: no memory, and 500 is answered. */
typedef bool (*warp_http_handler)(void *context, const struct warp_http_request *request,
                                  struct warp_http_answer *answer);

/* The newest text for all streams of a key, from malloc; NULL: no memory, and there is none this time. */
typedef char *(*warp_http_next)(void *context, uint32_t key, size_t *bytes);

struct warp_http_options {
    const char *address; /* a number */
    uint32_t port;       /* 0: the system chooses */
    uint32_t connections_max;
    uint32_t timeout_ms;
    warp_http_handler handle;
    warp_http_next next; /* NULL: there are no streams */
    void *context;       /* of both */
    char *message;       /* of message_bytes; may be NULL */
    size_t message_bytes;
};

struct warp_http_counts {
    uint64_t requests, refused, connections, evicted, streams, dropped;
};

int warp_http_start(const struct warp_http_options *options, struct warp_http **http);
void warp_http_stop(struct warp_http **http);
uint32_t warp_http_port(const struct warp_http *http);
/* By any thread. */
void warp_http_count(const struct warp_http *http, struct warp_http_counts *counts);

/* The value of ?name=value of the request being handled, or NULL. */
const char *warp_http_argument(const struct warp_http_request *request, const char *name);

/* Whether who sends this Accept wants OpenMetrics rather than plain text. */
bool warp_http_wants_openmetrics(const char *accept);

#endif
