/* warp_metrics_serve(): the pages of one database, from inside its process. */
#include <stdlib.h>
#include <string.h>

#include "serve/http.h"
#include "serve/pages.h"

struct warp_metrics_server {
    struct warp_pages *pages;
    struct warp_http *http;
};

int warp_metrics_serve(struct warp *db, const struct warp_serve_options *options,
                       struct warp_metrics_server **server)
{
    struct warp_serve_options known = WARP_SERVE_OPTIONS_INIT;
    struct warp_http_options http;
    struct warp_metrics_server *made;
    size_t given, i;
    int rc;

    if (db == NULL || server == NULL || *server != NULL) {
        return WARP_EINVAL;
    }
    if (options != NULL) {
        memcpy(&given, options, sizeof(given));
        /* As for all structs that may grow: a shorter one is completed, what is unknown must be zero. */
        if (given < offsetof(struct warp_serve_options, connections_max) || given > 65536) {
            return WARP_EINVAL;
        }
        for (i = sizeof(known); i < given; i++) {
            if (((const unsigned char *)options)[i] != 0) {
                return WARP_EINVAL;
            }
        }
        memcpy(&known, options, given < sizeof(known) ? given : sizeof(known));
    }
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    rc = warp_pages_create(&made->pages);
    if (rc == 0) {
        rc = warp_pages_add_database(made->pages, known.name, db);
    }
    if (rc == 0) {
        memset(&http, 0, sizeof(http));
        http.address = known.address != NULL ? known.address : "127.0.0.1";
        http.port = known.port;
        http.connections_max =
            known.connections_max != 0 ? known.connections_max : WARP_HTTP_CONNECTIONS;
        http.timeout_ms = known.timeout_ms != 0 ? known.timeout_ms : WARP_HTTP_TIMEOUT_MS;
        http.handle = warp_pages_answer;
        http.next = warp_pages_next;
        http.context = made->pages;
        http.message = known.message;
        http.message_bytes = known.message_bytes;
        rc = warp_http_start(&http, &made->http);
    }
    if (rc != 0) {
        warp_pages_destroy(&made->pages);
        free(made);
        return rc;
    }
    warp_pages_set_http(made->pages, made->http);
    *server = made;
    return 0;
}

uint32_t warp_metrics_server_port(const struct warp_metrics_server *server)
{
    return warp_http_port(server->http);
}

void warp_metrics_server_stop(struct warp_metrics_server **server)
{
    if (server != NULL && *server != NULL) {
        warp_http_stop(&(*server)->http);
        warp_pages_destroy(&(*server)->pages);
        free(*server);
        *server = NULL;
    }
}
