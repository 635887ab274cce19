/* Metrics over HTTP, and clients that mean no good. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/io_fault.h"
#include "base/random.h"
#include "engine/engine.h"
#include "serve/http.h"
#include "serve/pages.h"
#include "tests/engine/fixture.h"

#define TEXT_BYTES (4u << 20)

struct served {
    struct warp *db;
    struct warp_metrics_server *server;
    uint32_t port;
};

static bool served_begin_with(struct served *served, uint32_t connections_max,
                              uint32_t timeout_ms)
{
    struct warp_serve_options how = WARP_SERVE_OPTIONS_INIT;
    struct warp_options options = fixture_options();
    char message[256] = "";

    memset(served, 0, sizeof(*served));
    options.slow_ns = 1;
    options.hot_keys = 1;
    served->db = fixture_open(test_directory(), &options);
    how.connections_max = connections_max;
    how.timeout_ms = timeout_ms;
    how.message = message;
    how.message_bytes = sizeof(message);
    how.name = "it";
    if (served->db == NULL ||
        !check_int(warp_metrics_serve(served->db, &how, &served->server), ==, 0)) {
        fprintf(stderr, "    %s\n", message);
        return false;
    }
    served->port = warp_metrics_server_port(served->server);
    return check_u64(served->port, >, 0);
}

static bool served_begin(struct served *served, uint32_t connections_max)
{
    return served_begin_with(served, connections_max, 0);
}

static void served_end(struct served *served)
{
    warp_metrics_server_stop(&served->server);
    check(served->server == NULL);
    check_int(warp_close(&served->db), ==, 0);
}

/* A connection that gives up after ten seconds. */
static int dial(uint32_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {10, 0};
    int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(one, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(one);
        return -1;
    }
    return one;
}

/* Send text and read until the other side closes; what came, or "". Free it. */
static char *talk(uint32_t port, const char *text, size_t bytes)
{
    char *out = calloc(1, TEXT_BYTES);
    size_t got = 0;
    int one = dial(port);
    ssize_t n;

    if (one >= 0) {
        (void)send(one, text, bytes, MSG_NOSIGNAL);
        while (got < TEXT_BYTES - 1 &&
               (n = recv(one, out + got, TEXT_BYTES - 1 - got, 0)) > 0) {
            got += (size_t)n;
        }
        close(one);
    }
    return out;
}

static char *get(uint32_t port, const char *method, const char *path, const char *more)
{
    char request[1024];
    int bytes = snprintf(request, sizeof(request),
                         "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method,
                         path, more);

    return talk(port, request, (size_t)bytes);
}

static bool answers(uint32_t port, const char *path, const char *status, const char *has)
{
    char *text = get(port, "GET", path, "");
    bool held = strncmp(text + 8, status, strlen(status)) == 0 && strstr(text, has) != NULL;

    if (!held) {
        test_fail(__FILE__, __LINE__, "%s: not %s with %s, but %.300s", path, status, has,
                  text);
    }
    free(text);
    return held;
}

/* One sample of /metrics, -1 if it is not there. */
static double sample(uint32_t port, const char *name)
{
    char *text = get(port, "GET", "/metrics?shards=1", "");
    size_t bytes = strlen(name);
    double value = -1;
    const char *at;

    for (at = strchr(text, '\n'); at != NULL && value < 0; at = strchr(at + 1, '\n')) {
        if (strncmp(at + 1, name, bytes) == 0 && at[1 + bytes] == ' ') {
            value = strtod(at + 1 + bytes, NULL);
        }
    }
    free(text);
    return value;
}

WARP_TEST(serve, gives_what_the_engine_says)
{
    struct served served;
    char key[32];
    uint32_t i;

    if (served_begin(&served, 0)) {
        for (i = 0; i < 321; i++) {
            snprintf(key, sizeof(key), "key-%u", i);
            fixture_put(served.db, key, "value");
        }
        check(sample(served.port, "warp_puts_total{database=\"it\"}") >= 321);
        check(sample(served.port, "warp_records{database=\"it\"}") >= 321);
        check(sample(served.port, "warp_shard_records{database=\"it\",shard=\"0\"}") > 0);
        check(sample(served.port, "warp_up{database=\"it\"}") > 0);
        answers(served.port, "/metrics", " 200", "text/plain; version=0.0.4");
        answers(served.port, "/-/healthy", " 200", "healthy");
        answers(served.port, "/-/ready", " 200", "{\"ready\":true,");
        answers(served.port, "/debug/shards", " 200", "\"warp_puts_total\":321,");
        answers(served.port, "/debug/shards", " 200", "application/json");
        answers(served.port, "/", " 200", "/metrics");
        answers(served.port, "/nothing", " 404", "no such page");
        answers(served.port, "/metrics/../etc", " 404", "");
        served_end(&served);
    }
}

WARP_TEST(serve, has_fewer_than_300_samples_and_those_of_shards_on_request_only)
{
    struct served served;
    char *text, *line, *rest = NULL;
    uint32_t count = 0;

    if (served_begin(&served, 0)) {
        text = get(served.port, "GET", "/metrics", "");
        check(strstr(text, "{database=\"it\",shard=") == NULL);
        for (line = strtok_r(strstr(text, "\r\n\r\n") + 4, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            count += line[0] != '#';
        }
        check_u64(count, >, 100);
        check_u64(count, <, 300);
        free(text);
        served_end(&served);
    }
}

WARP_TEST(serve, knows_get_and_head_and_nothing_else)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"};
    struct served served;
    char *text;
    size_t i;

    if (served_begin(&served, 0)) {
        text = get(served.port, "HEAD", "/metrics", "");
        check(strncmp(text, "HTTP/1.1 200", 12) == 0);
        check_str(strstr(text, "\r\n\r\n"), "\r\n\r\n");
        free(text);
        for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
            text = get(served.port, methods[i], "/metrics", "Content-Length: 3\r\n");
            check(strncmp(text, "HTTP/1.1 405", 12) == 0);
            check(strstr(text, "Allow: GET, HEAD") != NULL);
            free(text);
        }
        served_end(&served);
    }
}

WARP_TEST(serve, speaks_openmetrics_to_who_asks_for_it)
{
    struct served served;
    char *text;

    check(warp_http_wants_openmetrics("application/openmetrics-text"));
    check(warp_http_wants_openmetrics(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version="
        "0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    check(warp_http_wants_openmetrics(
        "text/plain;q=0.5 , Application/OpenMetrics-Text ; version=\"1.0.0\""));
    check(!warp_http_wants_openmetrics(""));
    check(!warp_http_wants_openmetrics("*/*"));
    check(!warp_http_wants_openmetrics("text/plain"));
    check(!warp_http_wants_openmetrics("application/openmetrics-text;q=0"));
    check(!warp_http_wants_openmetrics("application/openmetrics-text;version=2.0.0"));
    check(!warp_http_wants_openmetrics("application/openmetrics-text;q=0.5,text/plain"));
    check(!warp_http_wants_openmetrics("application/openmetrics-text;q=nan"));
    check(!warp_http_wants_openmetrics("application/openmetrics-textual"));
    check(!warp_http_wants_openmetrics(",,;;q=,;"));
    if (served_begin(&served, 0)) {
        text = get(served.port, "GET", "/metrics",
                   "Accept: application/openmetrics-text; version=1.0.0\r\n");
        check(strstr(text, "Content-Type: application/openmetrics-text; version=1.0.0") !=
              NULL);
        check(strstr(text, "# TYPE warp_puts counter\n") != NULL);
        check(strlen(text) > 6 && strcmp(text + strlen(text) - 6, "# EOF\n") == 0);
        free(text);
        served_end(&served);
    }
}

/* A database whose log has failed still answers, and says that it is not ready. */
WARP_TEST(serve, is_not_ready_when_the_log_has_failed)
{
    struct warp_options options = fixture_options();
    struct warp_metrics_server *server = NULL;
    struct warp_fault_disk fault;
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_env env;
    struct warp *db = NULL;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    if (!check_int(
            warp_disk_open_directory(test_directory(), &memory, 1, true, &disk, NULL, 0),
            ==, 0)) {
        return;
    }
    warp_fault_init(&fault, &disk, &memory);
    memset(&env, 0, sizeof(env));
    env.disk = &fault.disk;
    env.threads = true;
    options.durability = WARP_COMMIT;
    if (check_int(warp_engine_open("x", &options, &env, &db), ==, 0)) {
        check_int(warp_metrics_serve(db, NULL, &server), ==, 0);
        check_int(fixture_put(db, "before", "v"), ==, 0);
        answers(warp_metrics_server_port(server), "/-/ready", " 200", "\"reason\":\"\"");
        warp_fault_plan(&fault, (1u << WARP_FAULT_WRITE) | (1u << WARP_FAULT_SYNC), 0, -EIO,
                        true);
        check_int(fixture_put(db, "after", "v"), ==, WARP_EFAILED);
        answers(warp_metrics_server_port(server), "/-/ready", " 503",
                "\"reason\":\"the log has failed");
        answers(warp_metrics_server_port(server), "/metrics", " 200", "warp_ready 0\n");
        answers(warp_metrics_server_port(server), "/metrics", " 200",
                "warp_log_failed 1\n");
        warp_fault_plan_none(&fault);
        warp_metrics_server_stop(&server);
        (void)warp_close(&db);
    }
    warp_fault_fini(&fault);
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
}

/* ---- its own metrics ---------------------------------------------------------------------- */

WARP_TEST(serve, has_metrics_of_its_own_that_move)
{
    struct served served;
    double before[3];
    int idle[3];
    size_t i;

    if (!served_begin(&served, 2)) {
        return;
    }
    before[0] = sample(served.port, "warp_exporter_scrapes_total");
    check(sample(served.port, "warp_exporter_scrapes_total") > before[0]);
    check(sample(served.port, "warp_exporter_scrape_seconds") > 0);
    check(sample(served.port, "warp_exporter_scrape_samples") > 100);
    check(sample(served.port, "warp_exporter_scrape_bytes") > 1000);
    before[0] = sample(served.port, "warp_exporter_requests_total");
    before[1] = sample(served.port, "warp_exporter_requests_refused_total");
    answers(served.port, "/nothing", " 404", "");
    check(sample(served.port, "warp_exporter_requests_total") > before[0] + 1);
    check(sample(served.port, "warp_exporter_requests_refused_total") > before[1]);
    before[2] = sample(served.port, "warp_exporter_connections_evicted_total");
    check(sample(served.port, "warp_exporter_connections") >= 1);
    for (i = 0; i < 3; i++) {
        idle[i] = dial(served.port);
        check(idle[i] >= 0);
    }
    check(sample(served.port, "warp_exporter_connections") >= 2);
    check(sample(served.port, "warp_exporter_connections_evicted_total") > before[2]);
    for (i = 0; i < 3; i++) {
        close(idle[i]);
    }
    served_end(&served);
}

/* Of a database from outside: every state it can be in, and what is said of it. */
WARP_TEST(serve, watches_databases_of_others)
{
    struct warp_options options = fixture_options();
    struct warp_http_options how = {.address = "127.0.0.1",
                                    .connections_max = 8,
                                    .timeout_ms = 1000,
                                    .handle = warp_pages_answer};
    struct warp_pages *pages = NULL;
    struct warp_http *http = NULL;
    const char *directory = test_directory();
    struct warp *db;
    uint32_t port;

    check_int(warp_pages_create(&pages), ==, 0);
    check_int(warp_pages_add_directory(pages, "a\"b", directory), ==, 0);
    check_int(warp_pages_add_directory(pages, "a\"b", "/elsewhere"), ==, WARP_EINVAL);
    check_int(warp_pages_add_directory(pages, "none", "/nowhere"), ==, 0);
    how.context = pages;
    if (check_int(warp_http_start(&how, &http), ==, 0)) {
        port = warp_http_port(http);
        warp_pages_set_http(pages, http);
        check(sample(port, "warp_up{database=\"a\\\"b\"}") >= 0);
        check(sample(port, "warp_up{database=\"a\\\"b\"}") <= 0);
        check(sample(port, "warp_database_state{database=\"none\",state=\"absent\"}") > 0);
        db = fixture_open(directory, &options);
        fixture_put(db, "k", "v");
        check(sample(port, "warp_up{database=\"a\\\"b\"}") > 0);
        check(sample(port, "warp_ready{database=\"a\\\"b\"}") > 0);
        check(sample(port, "warp_snapshot_age_seconds{database=\"a\\\"b\"}") > 0);
        answers(port, "/-/ready", " 503", "\"database\":\"none\",\"ready\":false");
        answers(port, "/-/ready", " 503", "\"database\":\"a\\\"b\",\"ready\":true");
        check_int(warp_close(&db), ==, 0);
        check(sample(port, "warp_database_state{database=\"a\\\"b\",state=\"closed\"}") >
              0);
        check(sample(port, "warp_up{database=\"a\\\"b\"}") <= 0);
        check(sample(port, "warp_puts_total{database=\"a\\\"b\"}") > 0); /* the last ones */
        warp_http_stop(&http);
    }
    warp_pages_destroy(&pages);
}

/* ---- clients that mean no good ------------------------------------------------------------ */

/* The measure of all of them: whoever asks properly is answered. */
static bool still_answers(const struct served *served)
{
    return answers(served->port, "/-/healthy", " 200", "healthy") &&
           answers(served->port, "/metrics", " 200", "warp_uptime_seconds");
}

WARP_TEST(serve, takes_no_harm_from_garbage)
{
    struct warp_random random;
    struct served served;
    char noise[2000];
    uint32_t i, k;

    if (!served_begin(&served, 16)) {
        return;
    }
    warp_random_init(&random, test_seed());
    for (i = 0; i < 200; i++) {
        size_t bytes = 1 + warp_random_next(&random) % (sizeof(noise) - 1);
        int one = dial(served.port);

        for (k = 0; k < bytes; k++) {
            noise[k] = (char)warp_random_next(&random);
        }
        /* Some that begin well. */
        if (i % 3 == 0 && bytes > 40) {
            memcpy(noise, "GET /metrics HTTP/1.1\r\nHost: \r\n", 31);
        } else if (i % 3 == 1 && bytes > 40) {
            memcpy(noise, "GET /metrics?shards=%00%zz HTTP/9.9\r\n\r\n", 39);
        }
        (void)send(one, noise, bytes, MSG_NOSIGNAL);
        close(one);
    }
    still_answers(&served);
    served_end(&served);
}

WARP_TEST(serve, takes_no_harm_from_what_is_huge)
{
    struct served served;
    size_t bytes = 1u << 20;
    char *huge = malloc(bytes + 64), *text;
    uint32_t kind;

    if (!served_begin(&served, 16)) {
        free(huge);
        return;
    }
    for (kind = 0; kind < 4; kind++) {
        static const char *const begins[] = {
            "GET /", "GET /metrics HTTP/1.1\r\nX: ", "GET /metrics?shards=",
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\n\r\n"};
        int n = snprintf(huge, 128, "%s", begins[kind]);

        memset(huge + n, 'x', bytes - (size_t)n);
        text = talk(served.port, huge, bytes);
        /* Refused, or hung up on; never taken. */
        check(strncmp(text, "HTTP/1.1 2", 10) != 0);
        free(text);
        still_answers(&served);
    }
    /* Many headers, each small. */
    {
        size_t at = (size_t)snprintf(huge, 128, "GET /metrics HTTP/1.1\r\n");

        while (at + 16 < bytes) {
            at += (size_t)snprintf(huge + at, 16, "A%u: b\r\n", (unsigned)(at % 1000));
        }
        text = talk(served.port, huge, at);
        check(strncmp(text, "HTTP/1.1 2", 10) != 0);
        free(text);
    }
    still_answers(&served);
    free(huge);
    served_end(&served);
}

/* Ten times as many as may be, and nothing is said on any of them. */
WARP_TEST(serve, lets_nobody_in_front_of_the_door)
{
    struct served served;
    int idle[200];
    uint32_t i, round;

    if (!served_begin(&served, 20)) {
        return;
    }
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 200; i++) {
            idle[i] = dial(served.port);
            if (i % 50 == 0) {
                still_answers(&served);
            }
        }
        still_answers(&served);
        check(sample(served.port, "warp_exporter_connections_evicted_total") >= 100);
        check(sample(served.port, "warp_exporter_connections") <= 20 + 8);
        for (i = 0; i < 200; i++) {
            close(idle[i]);
        }
    }
    served_end(&served);
}

/* ---- streams ------------------------------------------------------------------------------ */

static int follow(uint32_t port, const char *path, int receive_bytes)
{
    char request[256];
    int bytes =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    int one = dial(port);

    if (receive_bytes > 0) {
        setsockopt(one, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    }
    check(send(one, request, (size_t)bytes, MSG_NOSIGNAL) == bytes);
    return one;
}

/* Read until there are so many of `what`; what came. Free it. */
static char *read_until(int one, const char *what, uint32_t times)
{
    char *out = calloc(1, TEXT_BYTES);
    uint32_t found = 0;
    size_t got = 0;
    ssize_t n;

    while (found < times && got < TEXT_BYTES - 1 &&
           (n = recv(one, out + got, TEXT_BYTES - 1 - got, 0)) > 0) {
        const char *at = out;

        got += (size_t)n;
        for (found = 0; (at = strstr(at, what)) != NULL; at++) {
            found++;
        }
    }
    check_u64(found, >=, times);
    return out;
}

static bool sample_reaches(uint32_t port, const char *name, double least)
{
    uint64_t until_ns = support_now_ns() + 60000000000u;

    while (sample(port, name) < least && support_now_ns() < until_ns) {
        support_sleep_ns(20000000);
    }
    return check(sample(port, name) >= least);
}

WARP_TEST(serve, tells_again_and_again_who_follows)
{
    struct served served;
    char *text;
    int one;

    if (!served_begin(&served, 20)) {
        return;
    }
    one = follow(served.port, "/events?database=it", 0);
    fixture_put(served.db, "k", "v");
    text = read_until(one, "event: databases", 4);
    check(strstr(text, "HTTP/1.1 200") != NULL);
    check(strstr(text, "text/event-stream") != NULL);
    check(strstr(text, "id: 1\n") != NULL && strstr(text, "id: 4\n") != NULL);
    check(strstr(text, "\"shown\":0") != NULL);
    check(strstr(text, "\"slots\":\"A16384\"") != NULL);
    check(strstr(text, "\"warp_puts_total\":1") != NULL);
    check(strstr(text, "\"key\":\"k\"") != NULL); /* a slow call */
    check(sample(served.port, "warp_exporter_streams") == 1);
    free(text);
    close(one);
    answers(served.port, "/events?database=other", " 404", "no such database");
    text = get(served.port, "HEAD", "/events", "");
    check(strstr(text, "HTTP/1.1 200") != NULL && strstr(text, "databases") == NULL);
    free(text);
    served_end(&served);
}

WARP_TEST(serve, lets_only_so_many_follow)
{
    struct served served;
    uint64_t until_ns = support_now_ns() + 60000000000u;
    int some[5], i;
    char *text;

    if (!served_begin(&served, 20)) {
        return;
    }
    for (i = 0; i < 5; i++) {
        some[i] = follow(served.port, "/events", 0);
        free(read_until(some[i], "event: databases", 1));
    }
    answers(served.port, "/events", " 503", "come back later");
    check(sample(served.port, "warp_exporter_streams") == 5);
    /* When one goes, there is a place. */
    close(some[0]);
    do {
        some[0] = follow(served.port, "/events", 0);
        text = read_until(some[0], "\r\n\r\n", 1);
        if (strncmp(text + 8, " 200", 4) != 0) {
            close(some[0]);
            some[0] = -1;
            support_sleep_ns(50000000);
        }
        free(text);
    } while (some[0] < 0 && support_now_ns() < until_ns);
    check(some[0] >= 0);
    /* Who opens connections and says nothing does not drive them away. */
    for (i = 0; i < 100; i++) {
        close(dial(served.port));
    }
    free(read_until(some[4], "event: databases", 3));
    /* And it ends although somebody follows. */
    served_end(&served);
    for (i = 0; i < 5; i++) {
        close(some[i]);
    }
}

WARP_TEST(serve, drops_who_follows_and_does_not_read)
{
    struct served served;
    int slow, good;

    if (!served_begin_with(&served, 20, 1000)) {
        return;
    }
    slow = follow(served.port, "/events", 2048);
    good = follow(served.port, "/events", 0);
    check(sample_reaches(served.port, "warp_exporter_streams", 2));
    free(read_until(good, "event: databases", 2));
    while (sample(served.port, "warp_exporter_streams_dropped_total") < 1) {
        char *text = read_until(good, "event: databases", 1);

        if (text[0] == '\0') {
            test_fail(__FILE__, __LINE__, "who reads is not told any more");
            free(text);
            break;
        }
        free(text);
    }
    check(sample(served.port, "warp_exporter_streams") == 1);
    free(read_until(good, "event: databases", 2));
    close(slow);
    close(good);
    still_answers(&served);
    served_end(&served);
}

WARP_TEST(serve, has_a_page_for_people)
{
    struct served served;
    char *text;

    if (!served_begin(&served, 20)) {
        return;
    }
    text = get(served.port, "GET", "/",
               "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
    check(strstr(text, "text/html") != NULL);
    check(strstr(text, "Content-Security-Policy: default-src 'none'") != NULL);
    check(strstr(text, "<!doctype html>") != NULL && strstr(text, "</html>") != NULL);
    /* Its style and its script are in it. */
    check(strstr(text, "prefers-color-scheme") != NULL);
    check(strstr(text, "new EventSource") != NULL);
    check(strstr(text, "/* console.css */") == NULL);
    check(strstr(text, "/* console.js */") == NULL);
    free(text);
    fixture_put(served.db, "slow\n\"key\"", "v");
    answers(served.port, "/debug/slow", " 200", "\"operation\":\"put\",\"result\":0,");
    answers(served.port, "/debug/slow", " 200", "\"key\":\"slow\\u000a\\u0022key\\u0022\"");
    answers(served.port, "/debug/slow", " 200", "\"stages\":{\"wait\":");
    answers(served.port, "/debug/hot", " 200", "\"key\":\"slow\\u000a");
    served_end(&served);
}

/* Each sends its request a byte at a time, for as long as it is let. */
WARP_TEST(serve, is_not_held_up_by_the_slow)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: slow\r\nX: ";
    struct served served;
    int slow[40];
    size_t at, i;

    if (!served_begin(&served, 20)) {
        return;
    }
    for (i = 0; i < 40; i++) {
        slow[i] = dial(served.port);
    }
    for (at = 0; at < 60; at++) {
        for (i = 0; i < 40; i++) {
            char one = at < sizeof(request) - 1 ? request[at] : 'x';

            (void)send(slow[i], &one, 1, MSG_NOSIGNAL);
        }
        if (at % 10 == 0) {
            still_answers(&served);
        }
    }
    for (i = 0; i < 40; i++) {
        close(slow[i]);
    }
    still_answers(&served);
    served_end(&served);
}

/* They ask, again and again, and never read. */
WARP_TEST(serve, is_not_held_up_by_who_does_not_read)
{
    static const char request[] = "GET /debug/shards HTTP/1.1\r\nHost: x\r\n\r\n";
    struct served served;
    int deaf[20];
    uint32_t i, k;

    if (!served_begin(&served, 20)) {
        return;
    }
    for (i = 0; i < 20; i++) {
        struct timeval now = {0, 1000};
        int small = 2048;

        deaf[i] = dial(served.port);
        setsockopt(deaf[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        setsockopt(deaf[i], SOL_SOCKET, SO_SNDTIMEO, &now, sizeof(now));
        for (k = 0; k < 200; k++) {
            if (send(deaf[i], request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) {
                break;
            }
        }
    }
    still_answers(&served);
    for (i = 0; i < 20; i++) {
        close(deaf[i]);
    }
    still_answers(&served);
    served_end(&served);
}

/* Gone in the middle of the question or the answer, with a reset. */
WARP_TEST(serve, takes_no_harm_from_who_hangs_up)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    struct linger hard = {1, 0};
    struct served served;
    uint32_t i;

    if (!served_begin(&served, 20)) {
        return;
    }
    for (i = 0; i < 200; i++) {
        int one = dial(served.port);

        (void)send(one, request, i % sizeof(request), MSG_NOSIGNAL);
        setsockopt(one, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        close(one);
    }
    still_answers(&served);
    served_end(&served);
}

/* ---- life --------------------------------------------------------------------------------- */

struct scraper {
    uint32_t port;
    _Atomic uint32_t stop;
    _Atomic uint32_t count;
};

static void *scrape_main(void *context)
{
    struct scraper *scraper = context;

    while (atomic_load(&scraper->stop) == 0) {
        double puts = sample(scraper->port, "warp_puts_total{database=\"it\"}");

        if (puts >= 0) {
            atomic_fetch_add(&scraper->count, 1);
        }
    }
    return NULL;
}

WARP_TEST(serve, answers_many_at_once_while_the_database_works)
{
    struct served served;
    struct scraper scraper;
    pthread_t threads[4];
    uint64_t until_ns = support_now_ns() + 1000000000u;
    double last = 0;
    uint32_t i;

    if (!served_begin(&served, 0)) {
        return;
    }
    scraper = (struct scraper){served.port, 0, 0};
    for (i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, scrape_main, &scraper);
    }
    for (i = 0; support_now_ns() < until_ns || atomic_load(&scraper.count) < 4; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key-%u", i % 1000);
        fixture_put(served.db, key, "value");
        if (i % 2000 == 0) {
            double now = sample(served.port, "warp_puts_total{database=\"it\"}");

            check(now >= last);
            last = now;
        }
    }
    atomic_store(&scraper.stop, 1);
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    served_end(&served);
}

WARP_TEST(serve, refuses_what_it_cannot_do)
{
    struct warp_options options = fixture_options();
    struct warp_serve_options how = WARP_SERVE_OPTIONS_INIT;
    struct {
        struct warp_serve_options known;
        uint64_t unknown;
    } longer = {WARP_SERVE_OPTIONS_INIT, 1};
    struct warp_metrics_server *server = NULL, *second = NULL;
    struct warp *db = fixture_open(test_directory(), &options);
    char message[256] = "";

    how.message = message;
    how.message_bytes = sizeof(message);
    check_int(warp_metrics_serve(NULL, &how, &server), ==, WARP_EINVAL);
    check_int(warp_metrics_serve(db, &how, NULL), ==, WARP_EINVAL);
    how.address = "localhost";
    check_int(warp_metrics_serve(db, &how, &server), ==, WARP_EINVAL);
    check(strstr(message, "localhost") != NULL);
    how.address = "127.0.0.1";
    how.port = 65536;
    check_int(warp_metrics_serve(db, &how, &server), ==, WARP_EINVAL);
    how.port = 0;
    how.connections_max = 1;
    check_int(warp_metrics_serve(db, &how, &server), ==, WARP_EINVAL);
    how.connections_max = 0;
    longer.known.size = sizeof(longer);
    check_int(warp_metrics_serve(db, &longer.known, &server), ==, WARP_EINVAL);
    longer.unknown = 0;
    check_int(warp_metrics_serve(db, &longer.known, &server), ==, 0);
    warp_metrics_server_stop(&server);
    check_int(warp_metrics_serve(db, NULL, &server), ==, 0);
    check_int(warp_metrics_serve(db, NULL, &server), ==, WARP_EINVAL); /* it is in use */
    how.port = warp_metrics_server_port(server);
    check_int(warp_metrics_serve(db, &how, &second), ==, WARP_ESYSTEM);
    check(message[0] != '\0');
    check(second == NULL);
    warp_metrics_server_stop(&server);
    warp_metrics_server_stop(&server); /* nothing to do */
    check_int(warp_close(&db), ==, 0);
}

/* Stopped while clients are there, some in the middle of something. */
WARP_TEST(serve, stops_with_clients_at_the_door)
{
    struct served served;
    int waiting[10];
    uint32_t i;

    if (!served_begin(&served, 0)) {
        return;
    }
    for (i = 0; i < 10; i++) {
        waiting[i] = dial(served.port);
        (void)send(waiting[i], "GET /metrics HT", i + 1, MSG_NOSIGNAL);
    }
    served_end(&served);
    for (i = 0; i < 10; i++) {
        char byte;

        check(recv(waiting[i], &byte, 1, 0) <= 0);
        close(waiting[i]);
    }
}

WARP_TEST(serve, hears_nothing_but_loopback_unless_told)
{
    struct served served;
    char path[64], line[512];
    FILE *file;
    bool loopback = false, other = false;

    if (!served_begin(&served, 0)) {
        return;
    }
    snprintf(path, sizeof(path), "/proc/net/tcp");
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned number, port, state;

        if (sscanf(line, " %*d: %8X:%4X %*8X:%*4X %2X", &number, &port, &state) == 3 &&
            port == served.port && state == 10) {
            loopback = loopback || number == htonl(INADDR_LOOPBACK);
            other = other || number != htonl(INADDR_LOOPBACK);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    check(loopback);
    check(!other);
    served_end(&served);
}
