#include "bench/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/keys.h"

#define PROBE_BLOCK_BYTES ((size_t)4096)
#define PROBE_FILE_BYTES  ((size_t)16 << 20)
#define PROBE_CHUNK_BYTES ((size_t)1 << 20)

struct probe_thread {
    struct bench_probe_shared *shared;
    enum bench_probe_kind kind;
    int file;
};

static void probe_name(const struct bench_probe *probe, enum bench_probe_kind kind,
                       char *out, size_t bytes)
{
    snprintf(out, bytes, "%s%s", probe->path, kind == BENCH_PROBE_READ ? ".read" : "");
}

/* All of the file's blocks on the device, so that a write later changes no metadata. */
static int probe_make_file(const char *name)
{
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    void *chunk = NULL;
    int rc = -1;

    if (file < 0) {
        return -1;
    }
    errno = ENOMEM;
    if (posix_memalign(&chunk, PROBE_BLOCK_BYTES, PROBE_CHUNK_BYTES) != 0) {
        chunk = NULL;
        goto done;
    }
    memset(chunk, 0x5a, PROBE_CHUNK_BYTES);
    for (size_t at = 0; at < PROBE_FILE_BYTES; at += PROBE_CHUNK_BYTES) {
        errno = ENOSPC;
        if (pwrite(file, chunk, PROBE_CHUNK_BYTES, (off_t)at) !=
            (ssize_t)PROBE_CHUNK_BYTES) {
            goto done;
        }
    }
    rc = fsync(file);

done:
    free(chunk);
    close(file);
    return rc;
}

int bench_probe_create(struct bench_probe *probe, const char *directory, char *message,
                       size_t message_bytes)
{
    probe->child = -1;
    snprintf(probe->path, sizeof(probe->path), "%.480s/device-probe", directory);
    probe->shared = mmap(NULL, sizeof(*probe->shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (probe->shared == MAP_FAILED) {
        probe->shared = NULL;
        snprintf(message, message_bytes, "the probe of the device: %s", strerror(errno));
        return -1;
    }
    for (int kind = 0; kind < BENCH_PROBE_WAKE; kind++) {
        char name[520];

        probe_name(probe, (enum bench_probe_kind)kind, name, sizeof(name));
        if (probe_make_file(name) != 0) {
            snprintf(message, message_bytes, "the probe of the device: %.300s: %s%s", name,
                     strerror(errno),
                     errno == EINVAL ? " (no O_DIRECT on this file system)" : "");
            bench_probe_destroy(probe);
            return -1;
        }
    }
    return 0;
}

void bench_probe_destroy(struct bench_probe *probe)
{
    for (int kind = 0; kind < BENCH_PROBE_WAKE; kind++) {
        char name[520];

        probe_name(probe, (enum bench_probe_kind)kind, name, sizeof(name));
        unlink(name);
    }
    if (probe->shared != NULL) {
        munmap(probe->shared, sizeof(*probe->shared));
        probe->shared = NULL;
    }
}

static void *probe_wake(void *argument)
{
    struct probe_thread *thread = argument;
    struct bench_probe_shared *shared = thread->shared;
    struct timespec pause = {0, (long)BENCH_PROBE_WAKE_MS * 1000000};

    while (atomic_load_explicit(&shared->stop, memory_order_relaxed) == 0) {
        bool counts = atomic_load_explicit(&shared->measuring, memory_order_relaxed) != 0;
        uint64_t due_ns =
            bench_clock_monotonic_ns() + (uint64_t)BENCH_PROBE_WAKE_MS * 1000000u;
        uint64_t now_ns;

        nanosleep(&pause, NULL);
        now_ns = bench_clock_monotonic_ns();
        if (counts && now_ns > due_ns) {
            bench_histogram_add(&shared->result.latency[BENCH_PROBE_WAKE], now_ns - due_ns);
            bench_slow_note(&shared->result.slow[BENCH_PROBE_WAKE], due_ns, now_ns - due_ns,
                            BENCH_PROBE_WAKE);
        }
    }
    return NULL;
}

static void *probe_main(void *argument)
{
    struct probe_thread *thread = argument;
    struct bench_probe_shared *shared = thread->shared;
    struct bench_random random;
    struct timespec pause = {0, (long)BENCH_PROBE_INTERVAL_MS * 1000000};
    void *block = NULL;

    if (posix_memalign(&block, PROBE_BLOCK_BYTES, PROBE_BLOCK_BYTES) != 0) {
        return NULL;
    }
    memset(block, 0x5a, PROBE_BLOCK_BYTES);
    bench_random_init(&random, 0x70726f62u, thread->kind);
    while (atomic_load_explicit(&shared->stop, memory_order_relaxed) == 0) {
        off_t at =
            (off_t)(bench_random_below(&random, PROBE_FILE_BYTES / PROBE_BLOCK_BYTES) *
                    PROBE_BLOCK_BYTES);
        bool counts = atomic_load_explicit(&shared->measuring, memory_order_relaxed) != 0;
        uint64_t begin_ns = bench_clock_monotonic_ns();
        uint64_t ns;
        bool fine;

        if (thread->kind == BENCH_PROBE_READ) {
            fine = pread(thread->file, block, PROBE_BLOCK_BYTES, at) ==
                   (ssize_t)PROBE_BLOCK_BYTES;
        } else {
            fine = pwrite(thread->file, block, PROBE_BLOCK_BYTES, at) ==
                       (ssize_t)PROBE_BLOCK_BYTES &&
                   fdatasync(thread->file) == 0;
        }
        ns = bench_clock_monotonic_ns() - begin_ns;
        if (!fine) {
            atomic_fetch_add_explicit(&shared->failed, 1, memory_order_relaxed);
        } else if (counts) {
            bench_histogram_add(&shared->result.latency[thread->kind], ns);
            bench_slow_note(&shared->result.slow[thread->kind], begin_ns, ns, thread->kind);
        }
        nanosleep(&pause, NULL);
    }
    free(block);
    return NULL;
}

/* The child's life. Never returns. */
static void probe_child(struct bench_probe *probe)
{
    struct probe_thread threads[BENCH_PROBE_KIND_COUNT];
    pthread_t handles[BENCH_PROBE_KIND_COUNT];

    for (int kind = 0; kind < BENCH_PROBE_KIND_COUNT; kind++) {
        char name[520];

        probe_name(probe, (enum bench_probe_kind)kind, name, sizeof(name));
        threads[kind].shared = probe->shared;
        threads[kind].kind = (enum bench_probe_kind)kind;
        threads[kind].file =
            kind == BENCH_PROBE_WAKE ? 0 : open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
        if (threads[kind].file < 0 ||
            pthread_create(&handles[kind], NULL,
                           kind == BENCH_PROBE_WAKE ? probe_wake : probe_main,
                           &threads[kind]) != 0) {
            _exit(3);
        }
    }
    for (int kind = 0; kind < BENCH_PROBE_KIND_COUNT; kind++) {
        pthread_join(handles[kind], NULL);
    }
    _exit(0);
}

int bench_probe_start(struct bench_probe *probe)
{
    pid_t parent = getpid();

    memset(probe->shared, 0, sizeof(*probe->shared));
    fflush(NULL);
    probe->child = fork();
    if (probe->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(3);
        }
        signal(SIGINT, SIG_IGN);
        probe_child(probe);
    }
    return probe->child < 0 ? -1 : 0;
}

void bench_probe_stop(struct bench_probe *probe, struct bench_probe_result *result)
{
    int status = 0;

    memset(result, 0, sizeof(*result));
    if (probe->child <= 0) {
        return;
    }
    atomic_store_explicit(&probe->shared->stop, 1, memory_order_relaxed);
    while (waitpid(probe->child, &status, 0) < 0 && errno == EINTR) {
    }
    probe->child = -1;
    *result = probe->shared->result;
    result->failed = atomic_load_explicit(&probe->shared->failed, memory_order_relaxed);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        result->failed++;
    }
}
