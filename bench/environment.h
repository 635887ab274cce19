/*
 * bench/environment.h - what the numbers were measured on, and what the process used.
 *
 * Threads:   any; fill reads the machine and takes at most 0.1 s for the probe of the disk.
 * Lifetime:  plain data.
 * Units:     bytes, nanoseconds.
 * Ordering:  none.
 * Errors:    none: what cannot be found out stays empty, 0 or "?".
 * Cost:      system calls; never called while something is measured.
 */
#ifndef BENCH_ENVIRONMENT_H
#define BENCH_ENVIRONMENT_H

#include <stdint.h>

struct bench_environment {
    char time[32]; /* UTC, ISO 8601 */
    char cpu_model[96];
    uint32_t cpus; /* this process may use */
    char kernel[96];
    uint64_t memory_bytes;
    char filesystem[128]; /* type, device and options of where the databases are */
    char governor[32];
    char huge_pages[32];
    char compiler[96];
    char build[32];
    double load_average;
    /* 4 KiB, O_DIRECT | O_DSYNC, into a prewritten file; 0 if the file system refuses. */
    uint64_t sync_p50_ns;
    uint64_t sync_p99_ns;
};

/* `path` is a directory that can be written. */
void bench_environment_fill(struct bench_environment *environment, const char *path);

uint32_t bench_environment_cpus(void);
/* The most memory that was resident since the last reset (VmHWM). */
uint64_t bench_environment_peak_rss(void);
void bench_environment_reset_peak_rss(void);
/* What the files below `path` occupy, in blocks (sparse files count what they hold). */
uint64_t bench_environment_disk_bytes(const char *path);
/* Remove a directory that this program made, with all that is in it. */
void bench_environment_remove(const char *path);

#endif
