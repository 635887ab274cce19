/*
 * bench/probe.h - asks the device itself, from a process of its own, how slow it is meanwhile.
 *
 * While an engine is measured, two threads of a child read and write small blocks of files of their
 * own past the page cache, each every 20 ms: 4 KiB read at a random place (O_DIRECT); 4 KiB
 * written (O_DIRECT) and fdatasync. The child is in no cgroup of the engine's, has nothing to
 * wait for but the device, and its worst cases say what the engine could not help. A third
 * thread sleeps 5 ms at a time and notes how late it comes to run: that the machine had no CPU for
 * it, because of neighbours, of the hypervisor, or of the engine's own threads.
 *
 * Threads:   create, start, stop, destroy by the process's only thread (start forks).
 * Lifetime:  create / destroy around everything, before engines are forked: they inherit the
 *            page that says whether they are being measured. start / stop once per run.
 * Units:     nanoseconds.
 * Ordering:  the measuring flag is relaxed: an operation more or less does not matter. What
 *            the child found is read after it has ended.
 * Errors:    -1 with a sentence: no memory, no space, a file system without O_DIRECT.
 * Cost:      create writes 32 MiB; then 100 small operations per second, and 200 short sleeps.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

#include "bench/histogram.h"
#include "bench/slow.h"

#define BENCH_PROBE_INTERVAL_MS 20u

enum bench_probe_kind {
    BENCH_PROBE_READ,
    BENCH_PROBE_WRITE,
    BENCH_PROBE_WAKE,
    BENCH_PROBE_KIND_COUNT
};
#define BENCH_PROBE_WAKE_MS 5u

/* What a run's probe found. */
struct bench_probe_result {
    struct bench_histogram latency[BENCH_PROBE_KIND_COUNT];
    struct bench_slow_list slow[BENCH_PROBE_KIND_COUNT];
    uint64_t failed; /* operations that failed; they are not counted */
};

/* In memory that both processes see. */
struct bench_probe_shared {
    _Atomic uint32_t measuring; /* set by the engine's process */
    _Atomic uint32_t stop;
    _Atomic uint64_t failed;
    struct bench_probe_result result; /* each thread of the child has its kind's part */
};

struct bench_probe {
    struct bench_probe_shared *shared;
    pid_t child;
    char path[512]; /* of the file that is written; + ".read" is read */
};

/* Makes the files in `directory`. */
int bench_probe_create(struct bench_probe *probe, const char *directory, char *message,
                       size_t message_bytes);
void bench_probe_destroy(struct bench_probe *probe);

int bench_probe_start(struct bench_probe *probe);
/* Ends the child; *result gets what it found while `measuring` was set. */
void bench_probe_stop(struct bench_probe *probe, struct bench_probe_result *result);

/* By the engine's process; `shared` may be NULL. */
static inline void bench_probe_measure(struct bench_probe_shared *shared, bool on)
{
    if (shared != NULL) {
        atomic_store_explicit(&shared->measuring, on ? 1u : 0u, memory_order_relaxed);
    }
}

#endif
