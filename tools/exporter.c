/* `warp exporter`: serves the metrics of databases that other processes have open. */
#include "tools/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/options.h"
#include "tools/text.h"
#ifdef WARP_SERVE
#include "serve/pages.h"
#endif

static const char help[] =
    "Usage: warp exporter [OPTION]... [NAME=]DIR...\n"
    "\n"
    "Serve the metrics of the databases in these directories over HTTP, for Prometheus, "
    "until\n"
    "SIGINT or SIGTERM. The databases may be open in any process, closed, or not there "
    "yet;\n"
    "nothing of them is opened or locked. NAME becomes the label `database` (default: "
    "DIR).\n"
    "\n"
    "  --listen ADDRESS:PORT  a number, IPv6 in brackets; port 0: any (default "
    "127.0.0.1:9419)\n"
    "  --connections N        at most so many; then the one that has waited longest goes\n"
    "                         (default 64)\n"
    "  --timeout-ms N         of a connection without traffic (default 10000)\n"
    "  --path [NAME=]DIR      one more\n"
    "\n"
    "/metrics, /-/healthy, /-/ready, /debug/shards, /debug/slow; /metrics?shards=1 with "
    "those of\n"
    "each shard. In a browser, / shows all of it as it moves.\n";

#ifndef WARP_SERVE
int warp_tool_exporter(int argc, char **argv)
{
    struct warp_tool tool;

    warp_tool_init(&tool, "exporter", help);
    if (warp_tool_next(&tool, argc, argv, NULL) < 0) {
        return tool.exit_code;
    }
    return warp_tool_error(&tool, "this program was built without libmicrohttpd");
}
#else

enum { OPTION_LISTEN = 1, OPTION_CONNECTIONS, OPTION_TIMEOUT, OPTION_DATABASE };

#define EXPORTER_PORT 9419u

/* "127.0.0.1:9419", "[::1]:9419", ":9419" */
static bool read_listen(char *text, const char **address, uint32_t *port)
{
    char *colon = strrchr(text, ':');
    uint64_t number;

    if (colon == NULL || !warp_text_read_u64(colon + 1, &number) || number > 65535) {
        return false;
    }
    *colon = '\0';
    if (text[0] == '[' && colon > text + 1 && colon[-1] == ']') {
        colon[-1] = '\0';
        text++;
    }
    *address = text[0] != '\0' ? text : "127.0.0.1";
    *port = (uint32_t)number;
    return true;
}

static int add_database(const struct warp_tool *tool, struct warp_pages *pages, char *text)
{
    char *equals = strchr(text, '=');
    const char *directory = equals != NULL ? equals + 1 : text;
    int rc;

    if (equals != NULL) {
        *equals = '\0';
    }
    if (text[0] == '\0' || directory[0] == '\0') {
        return warp_tool_usage(tool, "a database is DIR or NAME=DIR");
    }
    rc = warp_pages_add_directory(pages, text, directory);
    return rc == WARP_EINVAL
               ? warp_tool_usage(tool, "there are two databases called '%s', or too many",
                                 text)
           : rc != 0 ? warp_tool_error(tool, "%s", warp_error_text(rc))
                     : 0;
}

/* Until somebody says that it is enough. The signals are blocked before the server's thread begins,
 * which inherits that, so they wait here. */
static int serve(const struct warp_tool *tool, struct warp_pages *pages,
                 struct warp_http_options *options)
{
    struct warp_http *http = NULL;
    char message[256] = "";
    sigset_t ends;
    int which, rc;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    options->handle = warp_pages_answer;
    options->next = warp_pages_next;
    options->context = pages;
    options->message = message;
    options->message_bytes = sizeof(message);
    rc = warp_http_start(options, &http);
    if (rc != 0) {
        return warp_tool_error(tool, "%s",
                               message[0] != '\0' ? message : warp_error_text(rc));
    }
    warp_pages_set_http(pages, http);
    printf(strchr(options->address, ':') != NULL ? "listening on http://[%s]:%u\n"
                                                 : "listening on http://%s:%u\n",
           options->address, warp_http_port(http));
    fflush(stdout);
    while (sigwait(&ends, &which) != 0) {
    }
    warp_http_stop(&http);
    return 0;
}

int warp_tool_exporter(int argc, char **argv)
{
    static const struct option own[] = {
        {"listen", required_argument, NULL, OPTION_LISTEN},
        {"connections", required_argument, NULL, OPTION_CONNECTIONS},
        {"timeout-ms", required_argument, NULL, OPTION_TIMEOUT},
        {"path", required_argument, NULL, OPTION_DATABASE},
        {NULL, 0, NULL, 0},
    };
    struct warp_http_options options = {.address = "127.0.0.1",
                                        .port = EXPORTER_PORT,
                                        .connections_max = WARP_HTTP_CONNECTIONS,
                                        .timeout_ms = WARP_HTTP_TIMEOUT_MS};
    struct warp_pages *pages = NULL;
    struct warp_tool tool;
    uint64_t number;
    uint32_t databases = 0;
    int exit_code = 0;
    int code;

    warp_tool_init(&tool, "exporter", help);
    if (warp_pages_create(&pages) != 0) {
        return warp_tool_error(&tool, "no memory");
    }
    while (exit_code == 0 && (code = warp_tool_next(&tool, argc, argv, own)) != 0) {
        if (code < 0) {
            warp_pages_destroy(&pages);
            return tool.exit_code;
        }
        switch (code) {
        case OPTION_LISTEN:
            if (!read_listen(optarg, &options.address, &options.port)) {
                exit_code = warp_tool_usage(&tool, "--listen is ADDRESS:PORT");
            }
            break;
        case OPTION_CONNECTIONS:
            if (!warp_text_read_u64(optarg, &number) || number < 2 ||
                number > WARP_HTTP_CONNECTIONS_MAX) {
                exit_code = warp_tool_usage(&tool, "--connections is a number from 2 to %u",
                                            WARP_HTTP_CONNECTIONS_MAX);
            } else {
                options.connections_max = (uint32_t)number;
            }
            break;
        case OPTION_TIMEOUT:
            if (!warp_text_read_u64(optarg, &number) || number < 1 || number > 3600000) {
                exit_code =
                    warp_tool_usage(&tool, "--timeout-ms is a number from 1 to 3600000");
            } else {
                options.timeout_ms = (uint32_t)number;
            }
            break;
        default:
            exit_code = add_database(&tool, pages, optarg);
            databases++;
        }
    }
    for (; exit_code == 0 && optind < argc; optind++) {
        exit_code = add_database(&tool, pages, argv[optind]);
        databases++;
    }
    if (exit_code == 0 && databases == 0) {
        exit_code = warp_tool_usage(&tool, "of which databases?");
    }
    if (exit_code == 0) {
        exit_code = serve(&tool, pages, &options);
    }
    warp_pages_destroy(&pages);
    return exit_code;
}
#endif
