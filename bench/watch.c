#include "bench/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/environment.h"

#define WATCH_TEXT_BYTES 1024u

bool bench_watch_device(uint64_t *read_bytes, uint64_t *written_bytes)
{
    FILE *file = fopen("/proc/self/io", "re");
    char line[128];
    unsigned long long number;
    uint64_t written = 0;
    uint64_t cancelled = 0;
    uint32_t found = 0;

    if (file == NULL) {
        return false;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "read_bytes: %llu", &number) == 1) {
            *read_bytes = number;
            found++;
        } else if (sscanf(line, "write_bytes: %llu", &number) == 1) {
            written = number;
            found++;
        } else if (sscanf(line, "cancelled_write_bytes: %llu", &number) == 1) {
            cancelled = number;
        }
    }
    fclose(file);
    *written_bytes = written > cancelled ? written - cancelled : 0;
    return found == 2;
}

static uint64_t watch_rss(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %llu", &pages) != 1) {
        pages = 0;
    }
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void watch_look(struct bench_watch *watch)
{
    struct bench_watch_totals *totals = &watch->totals;
    uint64_t disk_bytes = bench_environment_disk_bytes(watch->path);
    uint64_t rss_bytes = watch_rss();
    uint64_t read_bytes = watch->read_bytes_before;
    uint64_t written_bytes = watch->written_bytes_before;
    char extra[WATCH_TEXT_BYTES] = "";

    if (bench_watch_device(&read_bytes, &written_bytes)) {
        totals->device_read_bytes = read_bytes - watch->read_bytes_before;
        /* What was cancelled since may be more than what was written since. */
        totals->device_written_bytes = written_bytes > watch->written_bytes_before
                                           ? written_bytes - watch->written_bytes_before
                                           : 0;
    }
    totals->samples++;
    totals->disk_bytes_sum += disk_bytes;
    totals->disk_bytes_max =
        disk_bytes > totals->disk_bytes_max ? disk_bytes : totals->disk_bytes_max;
    totals->rss_bytes_max =
        rss_bytes > totals->rss_bytes_max ? rss_bytes : totals->rss_bytes_max;
    if (watch->file == NULL) {
        return;
    }
    if (watch->engine->gauges != NULL) {
        watch->engine->gauges(watch->db, extra, sizeof(extra));
    }
    fprintf(watch->file,
            "{\"engine\": \"%s\", \"workload\": \"%s\", \"repeat\": %u, \"seconds\": %.3f, "
            "\"operations\": %llu, \"disk_bytes\": %llu, \"rss_bytes\": %llu, "
            "\"device_read_bytes\": %llu, \"device_written_bytes\": %llu%s%s}\n",
            watch->engine->name, watch->workload, watch->repeat,
            (double)(bench_clock_monotonic_ns() - watch->begin_ns) / 1e9,
            (unsigned long long)(watch->operations != NULL
                                     ? watch->operations(watch->operations_context)
                                     : 0),
            (unsigned long long)disk_bytes, (unsigned long long)rss_bytes,
            (unsigned long long)totals->device_read_bytes,
            (unsigned long long)totals->device_written_bytes, extra[0] != '\0' ? ", " : "",
            extra);
    fflush(watch->file);
}

static void *watch_main(void *argument)
{
    struct bench_watch *watch = argument;
    struct timespec due;
    bool stop = false;

    clock_gettime(CLOCK_MONOTONIC, &due);
    while (!stop) {
        watch_look(watch);
        due.tv_nsec += (long)(BENCH_WATCH_INTERVAL_MS % 1000u) * 1000000;
        due.tv_sec += (time_t)(BENCH_WATCH_INTERVAL_MS / 1000u) + due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        pthread_mutex_lock(&watch->mutex);
        while (!watch->stop &&
               pthread_cond_timedwait(&watch->wake, &watch->mutex, &due) != ETIMEDOUT) {
        }
        stop = watch->stop;
        pthread_mutex_unlock(&watch->mutex);
    }
    return NULL;
}

int bench_watch_start(struct bench_watch *watch, const struct bench_engine *engine,
                      void *db, const char *path, const char *workload, uint32_t repeat,
                      const char *samples, uint64_t (*operations)(void *context),
                      void *context)
{
    pthread_condattr_t attributes;

    memset(watch, 0, sizeof(*watch));
    watch->engine = engine;
    watch->db = db;
    watch->path = path;
    watch->workload = workload;
    watch->repeat = repeat;
    watch->operations = operations;
    watch->operations_context = context;
    watch->begin_ns = bench_clock_monotonic_ns();
    bench_watch_device(&watch->read_bytes_before, &watch->written_bytes_before);
    if (samples != NULL) {
        watch->file = fopen(samples, "ae");
        if (watch->file == NULL) {
            return -1;
        }
    }
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&watch->mutex, NULL);
    if (pthread_create(&watch->thread, NULL, watch_main, watch) != 0) {
        if (watch->file != NULL) {
            fclose(watch->file);
        }
        pthread_cond_destroy(&watch->wake);
        pthread_mutex_destroy(&watch->mutex);
        return -1;
    }
    return 0;
}

void bench_watch_stop(struct bench_watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->stop = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    watch_look(watch);
    if (watch->file != NULL) {
        fclose(watch->file);
    }
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
}
