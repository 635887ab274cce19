/*
 * bench/row.h - adds up the repeats of one engine at one cell.
 *
 * A row is one engine at one cell (workload and threads) over all repeats; each figure of
 * it is the median of the repeats.
 *
 * Threads:   one.
 * Lifetime:  rows are the caller's; zero bytes, then bench_row_begin(), are a row.
 * Units:     nanoseconds, bytes, operations per second, CPU seconds per million operations.
 * Ordering:  none.
 * Errors:    none; a row that has no memory for a sum has failed.
 * Cost:      200 KiB per row.
 */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include "bench/driver.h"
#include "bench/limit.h"

#define BENCH_REPEATS_MAX 64u

enum bench_metric {
    BENCH_METRIC_RATE,
    BENCH_METRIC_MEAN,
    BENCH_METRIC_P50,
    BENCH_METRIC_P90,
    BENCH_METRIC_P99,
    BENCH_METRIC_P999,
    BENCH_METRIC_P9999,
    BENCH_METRIC_MAX,
    BENCH_METRIC_CPU,
    BENCH_METRIC_SETTLE_CPU,
    BENCH_METRIC_RSS,
    BENCH_METRIC_DISK,
    BENCH_METRIC_COUNT
};

struct bench_row {
    const struct bench_engine *engine;
    const struct bench_cell *cell;
    bool failed;
    char message[384];
    char version[64];
    char settings[384];
    char fault[256];
    uint32_t repeat_count;
    double figures[BENCH_METRIC_COUNT][BENCH_REPEATS_MAX];
    uint32_t depth;
    uint64_t operations; /* over all repeats, as all counters below */
    uint64_t duration_ns;
    uint64_t unissued;
    uint64_t again;
    bool tiers_known;
    struct bench_tiers tiers;
    uint64_t checked;
    uint64_t mismatched;
    uint64_t missing;
    uint64_t stale;
    uint64_t live_bytes; /* of the last repeat */
    uint64_t base_rss_bytes;
    uint64_t load_records;
    uint64_t load_ns;
    uint64_t load_cpu_ns;
    uint64_t load_peak_rss_bytes;
    struct bench_histogram latency[BENCH_KIND_COUNT];
    struct bench_histogram service;
    struct bench_slow_list slow;
    struct bench_watch_totals watch; /* highest of all repeats; what is added up, of all */
    uint64_t written_bytes;          /* to the device, until settled */
    uint64_t put_bytes;
    uint64_t upkeep_rounds;
    struct bench_watch_totals load_watch;
    uint64_t load_written_bytes;
    bool probed;
    struct bench_probe_result probe;
    uint64_t lead_ns; /* of the last repeat, as the next three */
    struct bench_timeline timeline;
    uint32_t step_count;
    struct bench_step steps[BENCH_STEPS_MAX];
    uint32_t steady_known;    /* of the repeats, so many were long enough to say ... */
    uint32_t steady_count;    /* ... and so many came to rest */
    uint64_t steady_from_ns;  /* at the latest, of those */
    double steady_rate_sum;   /* of those, behind that point */
    struct bench_limit limit; /* of the last repeat; no trials: nothing was looked for */
};

void bench_row_begin(struct bench_row *row, const struct bench_engine *engine,
                     const struct bench_cell *cell);
void bench_row_add_load(struct bench_row *row, const struct bench_result *result);
void bench_row_add_run(struct bench_row *row, const struct bench_result *result);
/* What the device's probe found beside the run added last. */
void bench_row_add_probe(struct bench_row *row, const struct bench_probe_result *result);
/* What the last check found counts for every row of the engine. */
void bench_row_add_check(struct bench_row *row, const struct bench_result *result);
void bench_row_fail(struct bench_row *row, const char *message);
/* Operations above the limit of bench/slow.h while the device was not slow, as far as is known. */
uint64_t bench_row_unexplained(const struct bench_row *row);
/* Likewise while, moreover, the machine was not late with running threads. */
uint64_t bench_row_unexplained_awake(const struct bench_row *row);
/* 95 % confidence, Student's; not known with one repeat. */
struct bench_interval bench_row_interval(const struct bench_row *row,
                                         enum bench_metric metric);
void bench_row_add_limit(struct bench_row *row, const struct bench_limit *limit);
double bench_row_median(const struct bench_row *row, enum bench_metric metric);
/* The largest or the smallest of the repeats; 0 without any. */
double bench_row_extreme(const struct bench_row *row, enum bench_metric metric,
                         bool largest);
/* All slow reads and writes of the device's probe, in one list. */
void bench_row_device(const struct bench_row *row, struct bench_slow_list *device);
/* Cold reads per operation, and which part of the reads found its value in memory; < 0: there were
 * none. */
double bench_row_cold(const struct bench_row *row);
double bench_row_hit_ratio(const struct bench_row *row);

const char *bench_metric_name(enum bench_metric metric);  /* as in the JSON */
const char *bench_metric_label(enum bench_metric metric); /* as in the table */
/* A figure as the table shows it. */
void bench_metric_format(enum bench_metric metric, double figure, char *out, size_t bytes);
/* "100", or "100-4096": `out`, filled. */
const char *bench_sizes_text(const struct bench_config *config, char *out, size_t bytes);
const char *bench_durability_name(enum bench_durability durability);
const char *bench_distribution_name(enum bench_distribution distribution);

#endif
