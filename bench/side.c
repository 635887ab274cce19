#include "bench/side.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/environment.h"

enum side_verb { SIDE_LOAD, SIDE_RUN, SIDE_FINISH };

struct side_order {
    enum side_verb verb;
    uint32_t cell_index;
    uint32_t repeat;
    double rate; /* below 0: the configuration's */
};

/* False at the end of the pipe or after an error (a signal included). */
static bool side_read(int file, void *data, size_t bytes)
{
    uint8_t *at = data;

    while (bytes > 0) {
        ssize_t got = read(file, at, bytes);

        if (got <= 0) {
            return false;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool side_write(int file, const void *data, size_t bytes)
{
    const uint8_t *at = data;

    while (bytes > 0) {
        ssize_t put = write(file, at, bytes);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        at += put;
        bytes -= (size_t)put;
    }
    return true;
}

/* The child's life. Never returns. */
static void side_child(struct bench_side *side, int orders, int results)
{
    struct bench_result *result = calloc(1, sizeof(*result));
    struct bench_config *config = malloc(sizeof(*config));
    struct bench_subject *subject = NULL;
    struct side_order order;
    char version[64];
    char settings[384];
    uint64_t base_rss_bytes;

    if (result == NULL || config == NULL) {
        _exit(3);
    }
    *config = *side->config;
    prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0); /* open loops sleep to the microsecond */
    if (bench_subject_open(side->engine, config, side->cells, side->cell_count, side->path,
                           &subject, result) != 0) {
        while (side_read(orders, &order, sizeof(order))) {
            side_write(results, result, sizeof(*result));
        }
        _exit(3);
    }
    memcpy(version, result->version, sizeof(version));
    memcpy(settings, result->settings, sizeof(settings));
    base_rss_bytes = result->base_rss_bytes;
    while (side_read(orders, &order, sizeof(order))) {
        bool finished = false;

        memset(result, 0, sizeof(*result));
        memcpy(result->version, version, sizeof(version));
        memcpy(result->settings, settings, sizeof(settings));
        result->base_rss_bytes = base_rss_bytes;
        switch (order.verb) {
        case SIDE_LOAD:
            bench_subject_load(subject, result);
            break;
        case SIDE_RUN:
            if (order.rate >= 0.0) {
                config->rate = order.rate;
                config->poisson = true;
            }
            bench_subject_run(subject, &side->cells[order.cell_index], order.repeat,
                              result);
            break;
        case SIDE_FINISH:
            bench_subject_finish(&subject, result);
            finished = true;
            break;
        }
        if (!side_write(results, result, sizeof(*result)) || finished) {
            break;
        }
    }
    _exit(0);
}

int bench_side_start(struct bench_side *side, const struct bench_engine *engine,
                     const struct bench_config *config, const struct bench_cell *cells,
                     uint32_t cell_count, const char *path, struct bench_result *result)
{
    int orders[2] = {-1, -1};
    int results[2] = {-1, -1};
    pid_t parent = getpid();

    memset(side, 0, sizeof(*side));
    side->engine = engine;
    side->config = config;
    side->cells = cells;
    side->cell_count = cell_count;
    side->child = -1;
    snprintf(side->path, sizeof(side->path), "%s", path);
    if (mkdir(side->path, 0700) != 0 && !(errno == EEXIST && config->existing)) {
        snprintf(result->message, sizeof(result->message), "%.300s: %s", side->path,
                 strerror(errno));
        goto fail;
    }
    if (pipe(orders) != 0 || pipe(results) != 0) {
        snprintf(result->message, sizeof(result->message), "pipe: %s", strerror(errno));
        goto fail_pipe;
    }
    fflush(NULL);
    side->child = fork();
    if (side->child < 0) {
        snprintf(result->message, sizeof(result->message), "fork: %s", strerror(errno));
        goto fail_pipe;
    }
    if (side->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(3);
        }
        signal(SIGPIPE, SIG_IGN);
        signal(SIGINT, SIG_IGN); /* the parent decides, and cleans up */
        close(orders[1]);
        close(results[0]);
        side_child(side, orders[0], results[1]);
    }
    close(orders[0]);
    close(results[1]);
    side->orders = orders[1];
    side->results = results[0];
    return 0;

fail_pipe:
    for (int i = 0; i < 2; i++) {
        if (orders[i] >= 0) {
            close(orders[i]);
        }
        if (results[i] >= 0) {
            close(results[i]);
        }
    }
    rmdir(side->path);
fail:
    result->failed = 1;
    return -1;
}

/* The child ended without an answer: say how. */
static int side_lost(struct bench_side *side, struct bench_result *result)
{
    int status = 0;

    memset(result, 0, sizeof(*result));
    result->failed = 1;
    if (side->child > 0 && waitpid(side->child, &status, WNOHANG) == side->child) {
        side->child = -1;
    }
    if (side->child < 0 && WIFSIGNALED(status)) {
        snprintf(result->message, sizeof(result->message), "%s: its process died: %s",
                 side->engine->name, strsignal(WTERMSIG(status)));
    } else {
        snprintf(result->message, sizeof(result->message),
                 "%s: interrupted, or its process "
                 "ended without an answer",
                 side->engine->name);
    }
    return -1;
}

/* Until there is something to read, or the child has gone. A signal ends the wait, too. */
static void side_wait(struct bench_side *side)
{
    struct pollfd answer = {.fd = side->results, .events = POLLIN};

    while (side->waiting != NULL && poll(&answer, 1, 1000) == 0) {
        side->waiting(side->waiting_context);
    }
}

static int side_do(struct bench_side *side, enum side_verb verb, uint32_t cell_index,
                   uint32_t repeat, double rate, struct bench_result *result)
{
    struct side_order order = {verb, cell_index, repeat, rate};
    bool sent = side_write(side->orders, &order, sizeof(order));

    if (sent) {
        side_wait(side);
    }
    if (!sent || !side_read(side->results, result, sizeof(*result))) {
        /* Give a dying child a moment, so that its cause can be told. */
        usleep(100000);
        return side_lost(side, result);
    }
    return result->failed ? -1 : 0;
}

int bench_side_load(struct bench_side *side, struct bench_result *result)
{
    return side_do(side, SIDE_LOAD, 0, 0, -1.0, result);
}

int bench_side_run(struct bench_side *side, uint32_t cell_index, uint32_t repeat,
                   struct bench_result *result)
{
    return side_do(side, SIDE_RUN, cell_index, repeat, -1.0, result);
}

int bench_side_run_at(struct bench_side *side, uint32_t cell_index, uint32_t repeat,
                      double rate, struct bench_result *result)
{
    return side_do(side, SIDE_RUN, cell_index, repeat, rate, result);
}

int bench_side_finish(struct bench_side *side, struct bench_result *result)
{
    return side_do(side, SIDE_FINISH, 0, 0, -1.0, result);
}

void bench_side_stop(struct bench_side *side, bool keep)
{
    if (side->orders > 0) {
        close(side->orders);
        side->orders = -1;
    }
    if (side->results > 0) {
        close(side->results);
        side->results = -1;
    }
    if (side->child > 0) {
        /* It has answered "finish", or it is of no use any more. */
        kill(side->child, SIGKILL);
        waitpid(side->child, NULL, 0);
        side->child = -1;
    }
    if (!keep && side->path[0] != '\0') {
        bench_environment_remove(side->path);
        side->path[0] = '\0';
    }
}
