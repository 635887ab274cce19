/*
 * An exporter beside a process that works as fast as it can, is stopped, goes on, is killed and closes: what it
 * says is never less than what was counted before, nor more than was begun, and in the end it is exact.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "serve/http.h"
#include "serve/pages.h"
#include "tests/engine/fixture.h"

#define THREADS    2u
#define TEXT_BYTES (1u << 20)

/* In memory that both processes have: of each thread, operations begun and done. */
struct work {
    _Atomic uint64_t puts_begun[THREADS], puts_done[THREADS];
    _Atomic uint64_t gets_begun[THREADS], gets_done[THREADS];
    _Atomic uint32_t opened, stop;
};

struct worker {
    struct warp *db;
    struct work *work;
    uint32_t id;
};

static uint64_t sum_of(_Atomic uint64_t *counts)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < THREADS; i++) {
        sum += atomic_load(&counts[i]);
    }
    return sum;
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct work *work = worker->work;
    char key[32], text[256];
    uint32_t i;

    for (i = 0; atomic_load(&work->stop) == 0; i++) {
        snprintf(key, sizeof(key), "key-%u-%u", worker->id, i % 5000);
        if (i % 2 == 0) {
            atomic_fetch_add(&work->puts_begun[worker->id], 1);
            if (fixture_put(worker->db, key, "a value") != 0) {
                _exit(3);
            }
            atomic_fetch_add(&work->puts_done[worker->id], 1);
        } else {
            atomic_fetch_add(&work->gets_begun[worker->id], 1);
            (void)fixture_get(worker->db, key, text);
            atomic_fetch_add(&work->gets_done[worker->id], 1);
        }
    }
    return NULL;
}

static void host_main(const char *directory, struct work *work)
{
    struct warp_options options = fixture_options();
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    struct warp *db = NULL;
    char message[512];
    uint32_t i;

    if (fixture_try(directory, &options, &db, message) != 0) {
        _exit(1);
    }
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){db, work, i};
        if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0) {
            _exit(2);
        }
    }
    atomic_store(&work->opened, 1);
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    _exit(warp_close(&db) == 0 ? 0 : 4);
}

static pid_t host_begin(const char *directory, struct work *work)
{
    uint64_t until_ns = support_now_ns() + 60000000000u;
    pid_t pid;

    memset(work, 0, sizeof(*work));
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        host_main(directory, work);
    }
    while (atomic_load(&work->opened) == 0 && support_now_ns() < until_ns) {
        support_sleep_ns(1000000);
    }
    check_u64(atomic_load(&work->opened), ==, 1);
    return pid;
}

/* ---- the exporter ------------------------------------------------------------------------- */

struct exporter {
    struct warp_pages *pages;
    struct warp_http *http;
    char *text; /* of the last scrape */
};

static bool exporter_begin(struct exporter *exporter, const char *directory)
{
    struct warp_http_options options = {.address = "127.0.0.1",
                                        .connections_max = WARP_HTTP_CONNECTIONS,
                                        .timeout_ms = WARP_HTTP_TIMEOUT_MS,
                                        .handle = warp_pages_answer,
                                        .next = warp_pages_next};

    memset(exporter, 0, sizeof(*exporter));
    exporter->text = malloc(TEXT_BYTES);
    check_int(warp_pages_create(&exporter->pages), ==, 0);
    check_int(warp_pages_add_directory(exporter->pages, NULL, directory), ==, 0);
    options.context = exporter->pages;
    return check_int(warp_http_start(&options, &exporter->http), ==, 0);
}

static void exporter_end(struct exporter *exporter)
{
    warp_http_stop(&exporter->http);
    warp_pages_destroy(&exporter->pages);
    free(exporter->text);
}

/* Ask for /metrics; false, and the test fails, if that is not answered with 200. */
static bool scrape(struct exporter *exporter)
{
    static const char request[] =
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)warp_http_port(exporter->http))};
    struct timeval patience = {30, 0};
    int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t got = 0;
    ssize_t n;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(one, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        send(one, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0) {
        while (got < TEXT_BYTES - 1 &&
               (n = recv(one, exporter->text + got, TEXT_BYTES - 1 - got, 0)) > 0) {
            got += (size_t)n;
        }
    }
    close(one);
    exporter->text[got] = '\0';
    return check(strncmp(exporter->text, "HTTP/1.1 200", 12) == 0);
}

/* A sample of the last scrape; UINT64_MAX: it is not there. */
static uint64_t sample(const struct exporter *exporter, const char *name)
{
    const char *at = exporter->text;
    size_t bytes = strlen(name);

    while ((at = strstr(at, name)) != NULL) {
        if (at > exporter->text && at[-1] == '\n' && at[bytes] == ' ') {
            return strtoull(at + bytes, NULL, 10);
        }
        at += bytes;
    }
    return UINT64_MAX;
}

static bool becomes(struct exporter *exporter, const char *state)
{
    uint64_t until_ns = support_now_ns() + 60000000000u;
    char name[128];

    snprintf(name, sizeof(name), "warp_database_state{state=\"%s\"}", state);
    do {
        if (!scrape(exporter)) {
            return false;
        }
        if (sample(exporter, name) == 1) {
            return true;
        }
        support_sleep_ns(5000000);
    } while (support_now_ns() < until_ns);
    test_fail(__FILE__, __LINE__, "it does not become %s", state);
    return false;
}

/* ---- */

struct counted {
    uint64_t puts, gets, publishes;
};

/* A scrape under load: nothing goes back, nothing is invented, and what was done two snapshots ago is in it. */
static void check_counts(struct exporter *exporter, struct work *work,
                         struct counted *before)
{
    struct counted now;

    if (!scrape(exporter)) {
        return;
    }
    now.puts = sample(exporter, "warp_puts_total");
    now.gets = sample(exporter, "warp_gets_total");
    now.publishes = sample(exporter, "warp_metrics_publishes_total");
    check_u64(now.puts, >=, before->puts);
    check_u64(now.gets, >=, before->gets);
    check_u64(now.puts, <=, sum_of(work->puts_begun));
    check_u64(now.gets, <=, sum_of(work->gets_begun));
    *before = now;
}

/* All that is done now is told within the next two snapshots. */
static void check_none_is_lost(struct exporter *exporter, struct work *work,
                               struct counted *before)
{
    uint64_t until_ns = support_now_ns() + 60000000000u;
    uint64_t puts, gets, publishes;

    check_counts(exporter, work, before);
    publishes = before->publishes;
    puts = sum_of(work->puts_done);
    gets = sum_of(work->gets_done);
    while (before->publishes < publishes + 3 && support_now_ns() < until_ns) {
        check_counts(exporter, work, before);
    }
    check_u64(before->publishes, >=, publishes + 3);
    check_u64(before->puts, >=, puts);
    check_u64(before->gets, >=, gets);
}

WARP_TEST(load, loses_no_count_whatever_happens_to_the_process)
{
    const char *directory = test_directory();
    struct work *work = mmap(NULL, sizeof(*work), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct exporter exporter;
    uint32_t round, i;
    int status;

    check(work != MAP_FAILED);
    for (round = 0; round < 4; round++) {
        struct counted before = {0, 0, 0}, kept;
        pid_t pid = host_begin(directory, work);

        /* Only now: a process is forked while it has one thread. */
        if (!exporter_begin(&exporter, directory)) {
            return;
        }
        check(becomes(&exporter, "running"));
        check_none_is_lost(&exporter, work, &before);
        for (i = 0; i < 100; i++) {
            check_counts(&exporter, work, &before);
        }
        /* Stopped in the middle of whatever it did: the numbers stand still. */
        check_int(kill(pid, SIGSTOP), ==, 0);
        check_int(waitpid(pid, &status, WUNTRACED), ==, pid);
        check(becomes(&exporter, "stopped"));
        check_counts(&exporter, work, &before);
        kept = before;
        for (i = 0; i < 50; i++) {
            check_counts(&exporter, work, &before);
            check_u64(before.puts, ==, kept.puts);
            check_u64(before.gets, ==, kept.gets);
            check_u64(sample(&exporter, "warp_up"), ==, 0);
        }
        check_int(kill(pid, SIGCONT), ==, 0);
        check(becomes(&exporter, "running"));
        check_none_is_lost(&exporter, work, &before);
        if (round % 2 == 0) {
            /* Killed at full speed: the last snapshot, whole, and no less than was told before. */
            check_int(kill(pid, SIGKILL), ==, 0);
            check_int(waitpid(pid, &status, 0), ==, pid);
            check(becomes(&exporter, "died"));
            check_counts(&exporter, work, &before);
            check_u64(sample(&exporter, "warp_up"), ==, 0);
        } else {
            /* Closed: every single one. */
            atomic_store(&work->stop, 1);
            check_int(waitpid(pid, &status, 0), ==, pid);
            check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            check(becomes(&exporter, "closed"));
            check_counts(&exporter, work, &before);
            check_u64(before.puts, ==, sum_of(work->puts_done));
            check_u64(before.gets, ==, sum_of(work->gets_done));
            check_u64(sample(&exporter, "warp_shards"), ==, 2);
        }
        exporter_end(&exporter);
    }
    munmap(work, sizeof(*work));
}
