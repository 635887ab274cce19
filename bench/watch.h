/*
 * bench/watch.h - looks at the process and its files while it is measured.
 *
 * A figure at the end of a run says nothing about what was there in between: space on disk has its
 * peaks in the middle of compactions. So a thread looks once a second and notes the highest and
 * the sum; with a file to write to, also each sample, one line of JSON each, with what the
 * engine says about itself.
 *
 * What was read from and written to the device is the kernel's own account of the process
 * (/proc/self/io: pages made dirty, or written past the cache, less those that were thrown
 * away unwritten), the same for every engine.
 *
 * Threads:   start and stop by one; its own thread in between.
 * Lifetime:  start / stop are a pair.
 * Units:     bytes, nanoseconds.
 * Ordering:  none: the totals are read after the thread was joined.
 * Errors:    start returns -1 when there is no thread or the file cannot be opened.
 * Cost:      a stat() per file and a few lines of /proc per sample; about 1 ms for 300 files.
 */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/engines/driver.h"

#define BENCH_WATCH_INTERVAL_MS 1000u

/* Plain data: it travels through a pipe. */
struct bench_watch_totals {
    uint64_t samples;
    uint64_t disk_bytes_max;
    uint64_t disk_bytes_sum; /* of all samples */
    uint64_t rss_bytes_max;
    uint64_t device_read_bytes; /* since start */
    uint64_t device_written_bytes;
};

struct bench_watch {
    const struct bench_engine *engine;
    void *db;
    const char *path;
    const char *workload;
    uint32_t repeat;
    FILE *file; /* NULL: no samples are written */
    uint64_t begin_ns;
    uint64_t read_bytes_before;
    uint64_t written_bytes_before;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stop */
    pthread_cond_t wake;
    bool stop;
    struct bench_watch_totals totals;
    uint64_t (*operations)(void *context);
    void *operations_context;
};

/* operations (may be NULL) is asked by the watch's thread how many have been done. */
int bench_watch_start(struct bench_watch *watch, const struct bench_engine *engine,
                      void *db, const char *path, const char *workload, uint32_t repeat,
                      const char *samples, uint64_t (*operations)(void *context),
                      void *context);
/* The last sample is taken before this returns. */
void bench_watch_stop(struct bench_watch *watch);

/* Bytes this process had read from devices and written to them; false: not to be had. */
bool bench_watch_device(uint64_t *read_bytes, uint64_t *written_bytes);

#endif
