#include "bench/row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)

struct metric {
    const char *name;
    const char *label;
    double scale; /* figure * scale is what the table shows */
};

static const struct metric metrics[BENCH_METRIC_COUNT] = {
    [BENCH_METRIC_RATE] = {"operations_per_second", "thousand op/s", 1e-3},
    [BENCH_METRIC_MEAN] = {"mean", "latency mean, us", 1e-3},
    [BENCH_METRIC_P50] = {"p50", "  p50", 1e-3},
    [BENCH_METRIC_P90] = {"p90", "  p90", 1e-3},
    [BENCH_METRIC_P99] = {"p99", "  p99", 1e-3},
    [BENCH_METRIC_P999] = {"p99_9", "  p99.9", 1e-3},
    [BENCH_METRIC_P9999] = {"p99_99", "  p99.99", 1e-3},
    [BENCH_METRIC_MAX] = {"max", "  max", 1e-3},
    [BENCH_METRIC_CPU] = {"cpu_seconds_per_million_operations", "CPU s / million op", 1.0},
    [BENCH_METRIC_SETTLE_CPU] = {"settle_cpu_seconds_per_million_operations",
                                 "  and afterwards", 1.0},
    [BENCH_METRIC_RSS] = {"peak_rss_bytes", "peak RSS, MiB", 1.0 / MIB},
    [BENCH_METRIC_DISK] = {"disk_bytes", "on disk, MiB", 1.0 / MIB},
};

const char *bench_metric_name(enum bench_metric metric)
{
    return metrics[metric].name;
}

const char *bench_metric_label(enum bench_metric metric)
{
    return metrics[metric].label;
}

void bench_metric_format(enum bench_metric metric, double figure, char *out, size_t bytes)
{
    double shown = figure * metrics[metric].scale;

    snprintf(out, bytes, "%.*f",
             shown < 0.995 ? 3 : (shown < 99.95 ? 2 : (shown < 999.5 ? 1 : 0)), shown);
}

const char *bench_sizes_text(const struct bench_config *config, char *out, size_t bytes)
{
    if (config->value_bytes_most != 0) {
        snprintf(out, bytes, "%zu-%zu", config->value_bytes, config->value_bytes_most);
    } else {
        snprintf(out, bytes, "%zu", config->value_bytes);
    }
    return out;
}

const char *bench_durability_name(enum bench_durability durability)
{
    switch (durability) {
    case BENCH_MEMORY:
        return "memory";
    case BENCH_INTERVAL:
        return "interval";
    case BENCH_COMMIT:
        return "commit";
    }
    return "?";
}

const char *bench_distribution_name(enum bench_distribution distribution)
{
    switch (distribution) {
    case BENCH_UNIFORM:
        return "uniform";
    case BENCH_ZIPFIAN:
        return "zipfian";
    case BENCH_LATEST:
        return "latest";
    case BENCH_HOTSPOT:
        return "hotspot";
    }
    return "?";
}
/* ---- rows ---------------------------------------------------------------------------- */

void bench_row_begin(struct bench_row *row, const struct bench_engine *engine,
                     const struct bench_cell *cell)
{
    memset(row, 0, sizeof(*row));
    row->engine = engine;
    row->cell = cell;
}

static void row_describe(struct bench_row *row, const struct bench_result *result)
{
    memcpy(row->version, result->version, sizeof(row->version));
    memcpy(row->settings, result->settings, sizeof(row->settings));
    row->base_rss_bytes = result->base_rss_bytes;
}

static void row_add_faults(struct bench_row *row, const struct bench_result *result)
{
    if (row->fault[0] == '\0') {
        memcpy(row->fault, result->fault, sizeof(row->fault));
    }
    row->checked += result->checked;
    row->mismatched += result->mismatched;
    row->missing += result->missing;
    row->stale += result->stale;
}

void bench_row_add_load(struct bench_row *row, const struct bench_result *result)
{
    row_describe(row, result);
    row->load_records = result->load_records;
    row->load_ns = result->load_ns;
    row->load_cpu_ns = result->load_cpu_ns;
    row->load_peak_rss_bytes = result->load_peak_rss_bytes;
    row->load_watch = result->load_watch;
    row->load_written_bytes = result->load_written_bytes;
}

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void row_add_watch(struct bench_row *row, const struct bench_result *result)
{
    struct bench_watch_totals *watch = &row->watch;

    watch->samples += result->watch.samples;
    watch->disk_bytes_sum += result->watch.disk_bytes_sum;
    watch->disk_bytes_max = higher(watch->disk_bytes_max, result->watch.disk_bytes_max);
    watch->rss_bytes_max = higher(watch->rss_bytes_max, result->watch.rss_bytes_max);
    watch->device_read_bytes += result->watch.device_read_bytes;
    watch->device_written_bytes += result->watch.device_written_bytes;
    row->written_bytes += result->settle_written_bytes;
    row->put_bytes += result->put_bytes;
    row->upkeep_rounds += result->upkeep_rounds;
}

void bench_row_add_probe(struct bench_row *row, const struct bench_probe_result *result)
{
    row->probed = true;
    for (uint32_t kind = 0; kind < BENCH_PROBE_KIND_COUNT; kind++) {
        bench_histogram_merge(&row->probe.latency[kind], &result->latency[kind]);
        bench_slow_merge(&row->probe.slow[kind], &result->slow[kind]);
    }
    row->probe.failed += result->failed;
}

/* Each list by itself names its kind, so both can be in one. */
void bench_row_device(const struct bench_row *row, struct bench_slow_list *device)
{
    memset(device, 0, sizeof(*device));
    for (uint32_t kind = 0; kind < BENCH_PROBE_WAKE; kind++) {
        bench_slow_merge(device, &row->probe.slow[kind]);
    }
}

uint64_t bench_row_unexplained(const struct bench_row *row)
{
    struct bench_slow_list device;

    bench_row_device(row, &device);
    return bench_slow_unexplained(&row->slow, &device);
}

uint64_t bench_row_unexplained_awake(const struct bench_row *row)
{
    struct bench_slow_list either;

    bench_row_device(row, &either);
    bench_slow_merge(&either, &row->probe.slow[BENCH_PROBE_WAKE]);
    return bench_slow_unexplained(&row->slow, &either);
}

void bench_row_add_check(struct bench_row *row, const struct bench_result *result)
{
    row_add_faults(row, result);
}

/* Of the timeline that was added last. */
static void row_add_steady(struct bench_row *row)
{
    struct bench_steady steady = bench_timeline_steady(&row->timeline);
    uint64_t from_ns;

    row->steady_known += steady.known ? 1u : 0u;
    if (!steady.reached) {
        return;
    }
    from_ns = steady.first > 0 ? row->timeline.elapsed_ns[steady.first - 1] : 0;
    row->steady_count++;
    row->steady_rate_sum += steady.mean;
    row->steady_from_ns = higher(row->steady_from_ns, from_ns);
}

void bench_row_add_run(struct bench_row *row, const struct bench_result *result)
{
    double seconds = (double)result->duration_ns / 1e9;
    double millions = (double)result->operations / 1e6;
    struct bench_histogram *all = calloc(1, sizeof(*all));
    double figures[BENCH_METRIC_COUNT];

    if (all == NULL) {
        bench_row_fail(row, "no memory for the report");
        return;
    }
    row_describe(row, result);
    row_add_faults(row, result);
    for (uint32_t kind = 0; kind < BENCH_KIND_COUNT; kind++) {
        bench_histogram_merge(&row->latency[kind], &result->latency[kind]);
        /* The accompanying writer's puts are reported by themselves. */
        if (!row->cell->workload->extra_writer || kind != BENCH_PUT) {
            bench_histogram_merge(all, &result->latency[kind]);
        }
    }
    bench_histogram_merge(&row->service, &result->service);
    bench_slow_merge(&row->slow, &result->slow);
    row_add_watch(row, result);
    figures[BENCH_METRIC_RATE] = seconds > 0.0 ? (double)result->operations / seconds : 0.0;
    figures[BENCH_METRIC_MEAN] = bench_histogram_mean(all);
    figures[BENCH_METRIC_P50] = (double)bench_histogram_percentile(all, 50.0);
    figures[BENCH_METRIC_P90] = (double)bench_histogram_percentile(all, 90.0);
    figures[BENCH_METRIC_P99] = (double)bench_histogram_percentile(all, 99.0);
    figures[BENCH_METRIC_P999] = (double)bench_histogram_percentile(all, 99.9);
    figures[BENCH_METRIC_P9999] = (double)bench_histogram_percentile(all, 99.99);
    figures[BENCH_METRIC_MAX] = (double)all->max_ns;
    figures[BENCH_METRIC_CPU] =
        millions > 0.0
            ? (double)(result->cpu_user_ns + result->cpu_system_ns) / 1e9 / millions
            : 0.0;
    figures[BENCH_METRIC_SETTLE_CPU] =
        millions > 0.0 ? (double)result->settle_cpu_ns / 1e9 / millions : 0.0;
    figures[BENCH_METRIC_RSS] = (double)result->peak_rss_bytes;
    figures[BENCH_METRIC_DISK] = (double)result->disk_bytes;
    if (row->repeat_count < BENCH_REPEATS_MAX) {
        for (uint32_t metric = 0; metric < BENCH_METRIC_COUNT; metric++) {
            row->figures[metric][row->repeat_count] = figures[metric];
        }
        row->repeat_count++;
    }
    row->depth = result->depth;
    row->operations += result->operations;
    row->duration_ns += result->duration_ns;
    row->unissued += result->unissued;
    row->again += result->again;
    row->tiers_known = row->tiers_known || result->tiers_known != 0;
    row->tiers.gets += result->tiers.gets;
    row->tiers.cold_gets += result->tiers.cold_gets;
    row->tiers.disk_reads += result->tiers.disk_reads;
    row->tiers.evictions += result->tiers.evictions;
    row->live_bytes = result->live_bytes;
    row->lead_ns = result->lead_ns;
    row->timeline = result->timeline;
    row->step_count = result->step_count;
    memcpy(row->steps, result->steps, sizeof(row->steps));
    row_add_steady(row);
    free(all);
}

void bench_row_add_limit(struct bench_row *row, const struct bench_limit *limit)
{
    row->limit = *limit;
}

struct bench_interval bench_row_interval(const struct bench_row *row,
                                         enum bench_metric metric)
{
    return bench_interval_of_mean(row->figures[metric], row->repeat_count);
}

void bench_row_fail(struct bench_row *row, const char *message)
{
    if (!row->failed) {
        row->failed = true;
        snprintf(row->message, sizeof(row->message), "%s", message);
    }
}

static int compare_double(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

double bench_row_median(const struct bench_row *row, enum bench_metric metric)
{
    double sorted[BENCH_REPEATS_MAX];
    uint32_t count = row->repeat_count;

    if (count == 0) {
        return 0.0;
    }
    memcpy(sorted, row->figures[metric], count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), compare_double);
    return count % 2 == 1 ? sorted[count / 2]
                          : (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0;
}

double bench_row_extreme(const struct bench_row *row, enum bench_metric metric,
                         bool largest)
{
    double extreme = row->repeat_count > 0 ? row->figures[metric][0] : 0.0;

    for (uint32_t i = 1; i < row->repeat_count; i++) {
        double figure = row->figures[metric][i];

        if (largest ? figure > extreme : figure < extreme) {
            extreme = figure;
        }
    }
    return extreme;
}
/*
 * Cold reads per operation, and which part of the reads found its value in memory; < 0: there were
 * none. Requests of sessions are not among the gets, so they are counted by their reads from disk.
 */
double bench_row_cold(const struct bench_row *row)
{
    uint64_t cold = row->depth > 1 ? row->tiers.disk_reads : row->tiers.cold_gets;

    return row->operations > 0 ? (double)cold / (double)row->operations : -1.0;
}

double bench_row_hit_ratio(const struct bench_row *row)
{
    uint64_t gets = row->depth > 1 ? row->latency[BENCH_GET].count : row->tiers.gets;
    uint64_t cold = row->depth > 1 ? row->tiers.disk_reads : row->tiers.cold_gets;

    return gets == 0 ? -1.0 : cold > gets ? 0.0 : 1.0 - (double)cold / (double)gets;
}
