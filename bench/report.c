#include "bench/report.h"

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
static void row_device(const struct bench_row *row, struct bench_slow_list *device)
{
    memset(device, 0, sizeof(*device));
    for (uint32_t kind = 0; kind < BENCH_PROBE_WAKE; kind++) {
        bench_slow_merge(device, &row->probe.slow[kind]);
    }
}

uint64_t bench_row_unexplained(const struct bench_row *row)
{
    struct bench_slow_list device;

    row_device(row, &device);
    return bench_slow_unexplained(&row->slow, &device);
}

uint64_t bench_row_unexplained_awake(const struct bench_row *row)
{
    struct bench_slow_list either;

    row_device(row, &either);
    bench_slow_merge(&either, &row->probe.slow[BENCH_PROBE_WAKE]);
    return bench_slow_unexplained(&row->slow, &either);
}

void bench_row_add_check(struct bench_row *row, const struct bench_result *result)
{
    row_add_faults(row, result);
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
    free(all);
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

static double row_extreme(const struct bench_row *row, enum bench_metric metric,
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

/* ---- for people ---------------------------------------------------------------------- */

#define COLUMN_LABEL 22
#define COLUMN_BYTES 14

/* 1234567 -> "1,234,567" */
static const char *grouped(uint64_t number, char *out)
{
    char digits[24];
    size_t count =
        (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void text_environment(const struct bench_report *report, FILE *file)
{
    const struct bench_environment *environment = report->environment;

    fprintf(file, "machine     %s, %u CPUs usable, %.1f GiB, load %.2f\n",
            environment->cpu_model, environment->cpus,
            (double)environment->memory_bytes / (1024.0 * MIB), environment->load_average);
    fprintf(file, "system      %s; %s; huge pages %s\n", environment->kernel,
            environment->filesystem, environment->huge_pages);
    if (environment->sync_p50_ns != 0) {
        fprintf(file, "disk        durable 4 KiB write: p50 %.0f us, p99 %.0f us\n",
                (double)environment->sync_p50_ns / 1e3,
                (double)environment->sync_p99_ns / 1e3);
    } else {
        fprintf(file, "disk        O_DIRECT is refused: no probe of its sync\n");
    }
    fprintf(file, "build       %s, %s; %s\n", environment->compiler, environment->build,
            environment->time);
    for (uint32_t i = 0; i < report->engine_count; i++) {
        const struct bench_row *row = &report->rows[i];

        fprintf(file, "%-11s %s: %s\n", row->engine->name, row->version, row->settings);
    }
}

static void text_ratio(FILE *file, double ours, double theirs)
{
    char text[32] = "-";

    if (ours > 0.0 && theirs > 0.0) {
        snprintf(text, sizeof(text), "%.2fx", ours / theirs);
    }
    fprintf(file, "%*s", COLUMN_BYTES, text);
}

static void text_metric(const struct bench_row *rows, uint32_t count,
                        enum bench_metric metric, FILE *file)
{
    char text[32];

    fprintf(file, "%-*s", COLUMN_LABEL, metrics[metric].label);
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].repeat_count == 0) {
            snprintf(text, sizeof(text), "failed");
        } else {
            bench_metric_format(metric, bench_row_median(&rows[i], metric), text,
                                sizeof(text));
        }
        fprintf(file, "%*s", COLUMN_BYTES, text);
    }
    for (uint32_t i = 1; i < count; i++) {
        text_ratio(file, bench_row_median(&rows[0], metric),
                   bench_row_median(&rows[i], metric));
    }
    fputc('\n', file);
}

/* Latencies by kind, where a workload has more than one. */
static void text_kinds(const struct bench_row *rows, uint32_t count, FILE *file)
{
    for (uint32_t kind = 0; kind < BENCH_KIND_COUNT; kind++) {
        const struct bench_histogram *first = &rows[0].latency[kind];
        uint64_t others = 0;

        for (uint32_t other = 0; other < BENCH_KIND_COUNT; other++) {
            others += other != kind ? rows[0].latency[other].count : 0;
        }
        if (first->count == 0 || others == 0) {
            continue;
        }
        fprintf(file, "%-*s", COLUMN_LABEL, bench_kind_name((enum bench_kind)kind));
        for (uint32_t i = 0; i < count; i++) {
            char text[64];

            snprintf(text, sizeof(text), "%.2f/%.1f",
                     (double)bench_histogram_percentile(&rows[i].latency[kind], 50.0) / 1e3,
                     (double)bench_histogram_percentile(&rows[i].latency[kind], 99.0) /
                         1e3);
            fprintf(file, "%*s", COLUMN_BYTES, text);
        }
        fprintf(file, "  p50/p99, us\n");
    }
}

/*
 * Cold reads per operation, and which part of the reads found its value in memory; < 0: there were
 * none. Requests of sessions are not among the gets, so they are counted by their reads from disk.
 */
static double row_cold(const struct bench_row *row)
{
    uint64_t cold = row->depth > 1 ? row->tiers.disk_reads : row->tiers.cold_gets;

    return row->operations > 0 ? (double)cold / (double)row->operations : -1.0;
}

static double row_hit_ratio(const struct bench_row *row)
{
    uint64_t gets = row->depth > 1 ? row->latency[BENCH_GET].count : row->tiers.gets;
    uint64_t cold = row->depth > 1 ? row->tiers.disk_reads : row->tiers.cold_gets;

    return gets == 0 ? -1.0 : cold > gets ? 0.0 : 1.0 - (double)cold / (double)gets;
}

/* Of engines that tell; only when memory was bounded, or values were read from disk all the same. */
static void text_tiers(const struct bench_config *config, const struct bench_row *rows,
                       uint32_t count, FILE *file)
{
    static const char *const labels[] = {"cold gets per op", "hit ratio", "evictions"};
    bool shown = false;

    for (uint32_t i = 0; i < count; i++) {
        shown = shown || (rows[i].tiers_known &&
                          (config->memory_bytes != 0 || rows[i].tiers.evictions > 0 ||
                           rows[i].tiers.disk_reads > 0));
    }
    for (uint32_t line = 0; shown && line < 3; line++) {
        fprintf(file, "%-*s", COLUMN_LABEL, labels[line]);
        for (uint32_t i = 0; i < count; i++) {
            double figure = line == 0 ? row_cold(&rows[i]) : row_hit_ratio(&rows[i]);
            char text[32];

            if (!rows[i].tiers_known || (line < 2 && figure < 0.0)) {
                snprintf(text, sizeof(text), "-");
            } else if (line < 2) {
                snprintf(text, sizeof(text), "%.4f", figure);
            } else {
                grouped(rows[i].tiers.evictions, text);
            }
            fprintf(file, "%*s", COLUMN_BYTES, text);
        }
        fputc('\n', file);
    }
}

/* ---- beside the run -------------------------------------------------------------------- */

static double ratio_of(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : -1.0;
}

static double row_disk_mean(const struct bench_row *row)
{
    return row->watch.samples > 0
               ? (double)row->watch.disk_bytes_sum / (double)row->watch.samples
               : 0.0;
}

static double row_amplification(const struct bench_row *row, bool highest)
{
    double bytes = highest ? (double)row->watch.disk_bytes_max : row_disk_mean(row);

    return row->live_bytes > 0 ? bytes / (double)row->live_bytes : -1.0;
}

enum beside_line {
    BESIDE_DISK_MAX,
    BESIDE_DISK_MEAN,
    BESIDE_WRITTEN,
    BESIDE_DEVICE_READ,
    BESIDE_DEVICE_WRITTEN,
    BESIDE_PROBE_READ,
    BESIDE_PROBE_WRITE,
    BESIDE_PROBE_WAKE,
    BESIDE_OVER,
    BESIDE_UNEXPLAINED,
    BESIDE_UNEXPLAINED_AWAKE,
    BESIDE_ROUNDS,
    BESIDE_COUNT
};

/* Below 0: there is nothing to say. */
static double beside_figure(const struct bench_row *row, enum beside_line line)
{
    switch (line) {
    case BESIDE_DISK_MAX:
        return row_amplification(row, true);
    case BESIDE_DISK_MEAN:
        return row_amplification(row, false);
    case BESIDE_WRITTEN:
        return ratio_of(row->written_bytes, row->put_bytes);
    case BESIDE_DEVICE_READ:
        return (double)row->watch.device_read_bytes / MIB;
    case BESIDE_DEVICE_WRITTEN:
        return (double)row->written_bytes / MIB;
    case BESIDE_PROBE_READ:
        return row->probed ? (double)row->probe.latency[BENCH_PROBE_READ].max_ns / 1e6
                           : -1.0;
    case BESIDE_PROBE_WRITE:
        return row->probed ? (double)row->probe.latency[BENCH_PROBE_WRITE].max_ns / 1e6
                           : -1.0;
    case BESIDE_PROBE_WAKE:
        return row->probed ? (double)row->probe.latency[BENCH_PROBE_WAKE].max_ns / 1e6
                           : -1.0;
    case BESIDE_OVER:
        return (double)row->slow.over;
    case BESIDE_UNEXPLAINED:
        return row->probed ? (double)bench_row_unexplained(row) : -1.0;
    case BESIDE_UNEXPLAINED_AWAKE:
        return row->probed ? (double)bench_row_unexplained_awake(row) : -1.0;
    case BESIDE_ROUNDS:
        return row->upkeep_rounds > 0 ? (double)row->upkeep_rounds : -1.0;
    case BESIDE_COUNT:
        break;
    }
    return -1.0;
}

static void text_beside(const struct bench_row *rows, uint32_t count, FILE *file)
{
    static const char *const labels[BESIDE_COUNT] = {
        "disk / live, max",       "  mean",
        "written / put",          "device read, MiB",
        "  written, MiB",         "device: read max, ms",
        "  write + sync max, ms", "CPU late, max, ms",
        "operations over 50 ms",  "  not the device's",
        "  nor late CPU's",       "rounds of upkeep"};
    bool watched = false;

    for (uint32_t i = 0; i < count; i++) {
        watched = watched || rows[i].watch.samples > 0;
    }
    for (uint32_t line = 0; watched && line < BESIDE_COUNT; line++) {
        char text[32];
        bool shown = false;

        for (uint32_t i = 0; i < count; i++) {
            shown = shown || beside_figure(&rows[i], (enum beside_line)line) >= 0.0;
        }
        if (!shown) {
            continue;
        }
        fprintf(file, "%-*s", COLUMN_LABEL, labels[line]);
        for (uint32_t i = 0; i < count; i++) {
            double figure = beside_figure(&rows[i], (enum beside_line)line);

            if (figure < 0.0) {
                snprintf(text, sizeof(text), "-");
            } else {
                snprintf(text, sizeof(text), "%.*f", line >= BESIDE_OVER ? 0 : 2, figure);
            }
            fprintf(file, "%*s", COLUMN_BYTES, text);
        }
        fputc('\n', file);
    }
}

static void text_cell(const struct bench_report *report, uint32_t cell_index, FILE *file)
{
    const struct bench_config *config = report->config;
    const struct bench_cell *cell = &config->cells[cell_index];
    const struct bench_row *rows = &report->rows[cell_index * report->engine_count];
    uint32_t count = report->engine_count;
    char number[32];

    fprintf(file, "\n%s: %s; %s", cell->workload->name, cell->workload->summary,
            bench_distribution_name(cell->distribution));
    if (cell->distribution == BENCH_ZIPFIAN || cell->distribution == BENCH_LATEST) {
        fprintf(file, " %.2f", config->theta);
    }
    fprintf(file, "; durability %s\n", bench_durability_name(config->durability));
    fprintf(file, "  %s records of %zu + %zu bytes; %u thread%s",
            grouped(config->records, number), config->key_bytes, config->value_bytes,
            cell->threads, cell->threads == 1 ? "" : "s");
    if (cell->depth > 1) {
        fprintf(file, ", %u in flight each", cell->depth);
    }
    if (cell->batch > 1) {
        fprintf(file, ", %u keys per call (latency is per call)", cell->batch);
    }
    if (config->rate > 0.0) {
        fprintf(file, "; %s rate %.0f op/s, latency from the intended start",
                config->poisson ? "poisson" : "fixed", config->rate);
    }
    if (report->repeats > 1) {
        fprintf(file, "; medians of %u runs", report->repeats);
    }
    fprintf(file, "\n\n%-*s", COLUMN_LABEL, "");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(file, "%*s", COLUMN_BYTES, rows[i].engine->name);
    }
    for (uint32_t i = 1; i < count; i++) {
        char text[32];

        snprintf(text, sizeof(text), "%.5s/%.7s", rows[0].engine->name,
                 rows[i].engine->name);
        fprintf(file, "%*s", COLUMN_BYTES, text);
    }
    fputc('\n', file);
    for (uint32_t metric = 0; metric < BENCH_METRIC_COUNT; metric++) {
        text_metric(rows, count, (enum bench_metric)metric, file);
        if (metric == BENCH_METRIC_RATE && report->repeats > 1) {
            fprintf(file, "%-*s", COLUMN_LABEL, "  lowest - highest");
            for (uint32_t i = 0; i < count; i++) {
                char low[24];
                char high[24];
                char text[64];

                bench_metric_format(BENCH_METRIC_RATE,
                                    row_extreme(&rows[i], BENCH_METRIC_RATE, false), low,
                                    sizeof(low));
                bench_metric_format(BENCH_METRIC_RATE,
                                    row_extreme(&rows[i], BENCH_METRIC_RATE, true), high,
                                    sizeof(high));
                snprintf(text, sizeof(text), "%s-%s", low, high);
                fprintf(file, "%*s", COLUMN_BYTES, text);
            }
            fputc('\n', file);
        }
        if (metric == BENCH_METRIC_RSS) {
            fprintf(file, "%-*s", COLUMN_LABEL, "  keys and values");
            for (uint32_t i = 0; i < count; i++) {
                char text[32];

                bench_metric_format(BENCH_METRIC_RSS, (double)rows[i].live_bytes, text,
                                    sizeof(text));
                fprintf(file, "%*s", COLUMN_BYTES, text);
            }
            fputc('\n', file);
        }
    }
    text_tiers(config, rows, count, file);
    text_kinds(rows, count, file);
    text_beside(rows, count, file);
    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &rows[i];

        if (row->depth == 1 && cell->depth > 1 && row->repeat_count > 0) {
            fprintf(file, "note: %s has no asynchronous calls; it ran with blocking ones\n",
                    row->engine->name);
        }
        if (config->rate > 0.0 && i == 0) {
            fprintf(file, "note: CPU time has the driver's own waiting for the next due "
                          "time in it\n");
        }
        if (row->unissued > 0) {
            fprintf(file,
                    "note: %s fell behind the rate: %s operations were never started\n",
                    row->engine->name, grouped(row->unissued, number));
        }
        if (row->failed) {
            fprintf(file, "FAILED: %s\n", row->message);
        }
    }
}

void bench_report_text(const struct bench_report *report, FILE *file)
{
    char number[32];

    text_environment(report, file);
    for (uint32_t i = 0; i < report->config->cell_count; i++) {
        text_cell(report, i, file);
    }
    fputc('\n', file);
    for (uint32_t i = 0; i < report->engine_count; i++) {
        const struct bench_row *row = &report->rows[i];

        if (row->load_ns > 0) {
            fprintf(file, "load, %s: %s records, %.0f thousand/s, %.2f CPU s per million\n",
                    row->engine->name, grouped(row->load_records, number),
                    (double)row->load_records * 1e6 / (double)row->load_ns,
                    (double)row->load_cpu_ns / 1e3 / (double)row->load_records);
        }
    }
    for (uint32_t i = 0; i < report->engine_count; i++) {
        uint64_t checked = 0;
        uint64_t wrong = 0;
        const char *fault = "";

        for (uint32_t cell = 0; cell < report->config->cell_count; cell++) {
            const struct bench_row *row = &report->rows[cell * report->engine_count + i];

            checked += row->checked;
            wrong += row->mismatched + row->missing + row->stale;
            if (fault[0] == '\0') {
                fault = row->fault;
            }
        }
        fprintf(file, "verified, %s (%s): %s values read and right",
                report->rows[i].engine->name,
                report->config->verify_full ? "every byte" : "owner, version, both ends",
                grouped(checked, number));
        if (wrong > 0) {
            fprintf(file, "; %s WRONG, the first: %s", grouped(wrong, number), fault);
        }
        fputc('\n', file);
    }
}

/* ---- for machines -------------------------------------------------------------------- */

static void json_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte == '"' || byte == '\\') {
            fprintf(file, "\\%c", byte);
        } else if (byte < 0x20 || byte > 0x7e) {
            fprintf(file, "\\u%04x", byte);
        } else {
            fputc(byte, file);
        }
    }
    fputc('"', file);
}

static void json_text(FILE *file, const char *name, const char *text)
{
    json_string(file, name);
    fputs(": ", file);
    json_string(file, text);
}

static void json_histogram(FILE *file, const char *name,
                           const struct bench_histogram *histogram)
{
    json_string(file, name);
    fprintf(
        file,
        ": {\"count\": %llu, \"mean\": %.1f, \"min\": %llu, \"p50\": %llu, \"p90\": %llu, "
        "\"p99\": %llu, \"p99_9\": %llu, \"p99_99\": %llu, \"max\": %llu}",
        (unsigned long long)histogram->count, bench_histogram_mean(histogram),
        (unsigned long long)(histogram->count > 0 ? histogram->min_ns : 0),
        (unsigned long long)bench_histogram_percentile(histogram, 50.0),
        (unsigned long long)bench_histogram_percentile(histogram, 90.0),
        (unsigned long long)bench_histogram_percentile(histogram, 99.0),
        (unsigned long long)bench_histogram_percentile(histogram, 99.9),
        (unsigned long long)bench_histogram_percentile(histogram, 99.99),
        (unsigned long long)histogram->max_ns);
}

static void json_environment(const struct bench_environment *environment, FILE *file)
{
    fputs("  \"environment\": {\n    ", file);
    json_text(file, "cpu_model", environment->cpu_model);
    fprintf(file, ",\n    \"cpus\": %u,\n    ", environment->cpus);
    json_text(file, "kernel", environment->kernel);
    fprintf(file, ",\n    \"memory_bytes\": %llu,\n    ",
            (unsigned long long)environment->memory_bytes);
    json_text(file, "filesystem", environment->filesystem);
    fputs(",\n    ", file);
    json_text(file, "governor", environment->governor);
    fputs(",\n    ", file);
    json_text(file, "huge_pages", environment->huge_pages);
    fputs(",\n    ", file);
    json_text(file, "compiler", environment->compiler);
    fputs(",\n    ", file);
    json_text(file, "build", environment->build);
    fprintf(file,
            ",\n    \"load_average\": %.2f,\n    \"sync_4k_p50_ns\": %llu,\n"
            "    \"sync_4k_p99_ns\": %llu\n  },\n",
            environment->load_average, (unsigned long long)environment->sync_p50_ns,
            (unsigned long long)environment->sync_p99_ns);
}

static void json_configuration(const struct bench_report *report, FILE *file)
{
    static const char *const policies[] = {"s3fifo", "fifo", "clock", "lru", "sieve"};
    const struct bench_config *config = report->config;

    fprintf(file,
            "  \"configuration\": {\n    \"records\": %llu,\n    \"operations\": %llu,\n"
            "    \"duration_s\": %.3f,\n    \"warmup_s\": %.3f,\n    \"key_bytes\": %zu,\n"
            "    \"value_bytes\": %zu,\n    \"mixed_sizes\": %s,\n    \"durability\": "
            "\"%s\",\n    \"theta\": %.4f,\n"
            "    \"rate\": %.3f,\n    \"arrivals\": \"%s\",\n    \"seed\": %llu,\n"
            "    \"verify\": \"%s\",\n    \"memory_bytes\": %llu,\n    \"shards\": %u,\n"
            "    \"cache_policy\": \"%s\",\n    \"compression_ratio\": %.3f,\n"
            "    \"lead_s\": %.3f,\n    \"background_permille\": %u,\n"
            "    \"gravity\": \"%s\",\n"
            "    \"upkeep\": \"%s\",\n    \"existing\": %s,\n    \"repeats\": %u\n  },\n",
            (unsigned long long)config->records, (unsigned long long)config->operations,
            (double)config->duration_ns / 1e9, (double)config->warmup_ns / 1e9,
            config->key_bytes, config->value_bytes, config->mixed_sizes ? "true" : "false",
            bench_durability_name(config->durability), config->theta, config->rate,
            config->rate > 0.0 ? (config->poisson ? "poisson" : "fixed") : "closed",
            (unsigned long long)config->seed, config->verify_full ? "full" : "quick",
            (unsigned long long)config->memory_bytes, config->shards,
            policies[config->cache_policy], (double)config->ratio_permille / 1e3,
            (double)config->lead_ns / 1e9, config->background_permille,
            config->gravity == 1 ? "on" : "off",
            config->upkeep ? "forced" : (config->compaction == 2 ? "asked" : "itself"),
            config->existing ? "true" : "false", report->repeats);
}

static void json_slow(FILE *file, const char *name, const struct bench_slow_list *list,
                      const struct bench_slow_list *device)
{
    json_string(file, name);
    fprintf(file, ": {\"over_limit\": %llu, \"slowest\": [",
            (unsigned long long)list->over);
    for (uint64_t i = 0; i < list->count; i++) {
        const struct bench_slow *slow = &list->slow[i];

        fprintf(file, "%s{\"at_ns\": %llu, \"ns\": %llu", i > 0 ? ", " : "",
                (unsigned long long)slow->begin_ns, (unsigned long long)slow->ns);
        if (device != NULL) {
            fprintf(file, ", \"kind\": \"%s\", \"device\": %s",
                    bench_kind_name((enum bench_kind)slow->kind),
                    bench_slow_explained(slow, device) ? "true" : "false");
        }
        fputc('}', file);
    }
    fputs("]}", file);
}

static void json_watch(FILE *file, const char *name, const struct bench_watch_totals *watch,
                       uint64_t written_bytes)
{
    json_string(file, name);
    fprintf(
        file,
        ": {\"samples\": %llu, \"disk_bytes_max\": %llu, \"disk_bytes_mean\": %.0f, "
        "\"rss_bytes_max\": %llu, \"device_read_bytes\": %llu, "
        "\"device_written_bytes\": %llu}",
        (unsigned long long)watch->samples, (unsigned long long)watch->disk_bytes_max,
        watch->samples > 0 ? (double)watch->disk_bytes_sum / (double)watch->samples : 0.0,
        (unsigned long long)watch->rss_bytes_max,
        (unsigned long long)watch->device_read_bytes, (unsigned long long)written_bytes);
}

/* What was seen from beside the run. */
static void json_beside(const struct bench_row *row, FILE *file)
{
    static const char *const slow_names[] = {"slow_reads", "slow_writes", "slow_wakes"};
    static const char *const names[] = {"read_ns", "write_sync_ns", "wake_ns"};
    struct bench_slow_list device;

    row_device(row, &device);
    if (row->watch.samples > 0) {
        fputs("      ", file);
        json_watch(file, "watch", &row->watch, row->written_bytes);
        fprintf(file, ",\n      \"put_bytes\": %llu,\n      ",
                (unsigned long long)row->put_bytes);
        json_watch(file, "load_watch", &row->load_watch, row->load_written_bytes);
        fputs(",\n", file);
    }
    fputs("      ", file);
    json_slow(file, "slow", &row->slow, &device);
    fprintf(file, ",\n      \"upkeep_rounds\": %llu,\n",
            (unsigned long long)row->upkeep_rounds);
    if (row->probed) {
        fprintf(file,
                "      \"unexplained_over_limit\": %llu,\n"
                "      \"unexplained_over_limit_awake\": %llu,\n      \"device\": {",
                (unsigned long long)bench_row_unexplained(row),
                (unsigned long long)bench_row_unexplained_awake(row));
        for (uint32_t kind = 0; kind < BENCH_PROBE_KIND_COUNT; kind++) {
            json_histogram(file, names[kind], &row->probe.latency[kind]);
            fputs(",\n        ", file);
            json_slow(file, slow_names[kind], &row->probe.slow[kind], NULL);
            fputs(",\n        ", file);
        }
        fprintf(file, "\"failed\": %llu},\n", (unsigned long long)row->probe.failed);
    }
}

static void json_row(const struct bench_row *row, FILE *file)
{
    const struct bench_cell *cell = row->cell;

    fputs("    {\n      ", file);
    json_text(file, "engine", row->engine->name);
    fputs(",\n      ", file);
    json_text(file, "engine_version", row->version);
    fputs(",\n      ", file);
    json_text(file, "engine_settings", row->settings);
    fputs(",\n      ", file);
    json_text(file, "workload", cell->workload->name);
    fprintf(file,
            ",\n      \"threads\": %u,\n      \"depth\": %u,\n      \"depth_used\": %u,\n"
            "      \"batch\": %u,\n      \"distribution\": \"%s\",\n",
            cell->threads, cell->depth, row->depth, cell->batch,
            bench_distribution_name(cell->distribution));
    fprintf(file, "      \"failed\": %s,\n      ", row->failed ? "true" : "false");
    json_text(file, "message", row->message);
    fprintf(file, ",\n      \"operations\": %llu,\n      \"measured_s\": %.6f,\n",
            (unsigned long long)row->operations, (double)row->duration_ns / 1e9);
    fprintf(file, "      \"operations_per_second\": %.1f,\n",
            bench_row_median(row, BENCH_METRIC_RATE));
    fputs("      \"operations_per_second_repeats\": [", file);
    for (uint32_t i = 0; i < row->repeat_count; i++) {
        fprintf(file, "%s%.1f", i > 0 ? ", " : "", row->figures[BENCH_METRIC_RATE][i]);
    }
    fputs("],\n      \"latency_ns\": {", file);
    for (uint32_t metric = BENCH_METRIC_MEAN; metric <= BENCH_METRIC_MAX; metric++) {
        fprintf(file, "%s\"%s\": %.1f", metric > BENCH_METRIC_MEAN ? ", " : "",
                metrics[metric].name, bench_row_median(row, (enum bench_metric)metric));
    }
    fputs("},\n      \"latency_by_kind_ns\": {", file);
    for (uint32_t kind = 0, written = 0; kind < BENCH_KIND_COUNT; kind++) {
        if (row->latency[kind].count > 0) {
            fputs(written++ > 0 ? ",\n        " : "\n        ", file);
            json_histogram(file, bench_kind_name((enum bench_kind)kind),
                           &row->latency[kind]);
        }
    }
    fputs("\n      },\n      ", file);
    json_histogram(file, "service_ns", &row->service);
    for (uint32_t metric = BENCH_METRIC_CPU; metric <= BENCH_METRIC_SETTLE_CPU; metric++) {
        fprintf(file, ",\n      \"%s\": %.6f", metrics[metric].name,
                bench_row_median(row, (enum bench_metric)metric));
    }
    for (uint32_t metric = BENCH_METRIC_RSS; metric <= BENCH_METRIC_DISK; metric++) {
        fprintf(file, ",\n      \"%s\": %.0f", metrics[metric].name,
                bench_row_median(row, (enum bench_metric)metric));
    }
    fprintf(
        file,
        ",\n      \"load_peak_rss_bytes\": %llu,\n      \"base_rss_bytes\": %llu,\n"
        "      \"key_value_bytes\": %llu,\n      \"load_records\": %llu,\n"
        "      \"load_s\": %.6f,\n      \"load_cpu_s\": %.6f,\n      \"unissued\": %llu,\n"
        "      \"again\": %llu,\n",
        (unsigned long long)row->load_peak_rss_bytes,
        (unsigned long long)row->base_rss_bytes, (unsigned long long)row->live_bytes,
        (unsigned long long)row->load_records, (double)row->load_ns / 1e9,
        (double)row->load_cpu_ns / 1e9, (unsigned long long)row->unissued,
        (unsigned long long)row->again);
    if (row->tiers_known) {
        fprintf(file,
                "      \"tiers\": {\"cold_gets_per_operation\": %.6f, \"hit_ratio\": ",
                row_cold(row) > 0.0 ? row_cold(row) : 0.0);
        if (row_hit_ratio(row) < 0.0) {
            fputs("null", file);
        } else {
            fprintf(file, "%.6f", row_hit_ratio(row));
        }
        fprintf(file, ", \"disk_reads\": %llu, \"evictions\": %llu},\n",
                (unsigned long long)row->tiers.disk_reads,
                (unsigned long long)row->tiers.evictions);
    }
    json_beside(row, file);
    fprintf(
        file,
        "      \"verified\": {\"right\": %llu, \"mismatched\": %llu, \"missing\": %llu, "
        "\"stale\": %llu, ",
        (unsigned long long)row->checked, (unsigned long long)row->mismatched,
        (unsigned long long)row->missing, (unsigned long long)row->stale);
    json_text(file, "first", row->fault);
    fputs("}\n    }", file);
}

int bench_report_json(const struct bench_report *report, FILE *file)
{
    uint32_t count = report->config->cell_count * report->engine_count;

    fprintf(file, "{\n  \"version\": %d,\n  \"tool\": \"warp bench\",\n  ",
            BENCH_JSON_VERSION);
    json_text(file, "time", report->environment->time);
    fputs(",\n", file);
    json_configuration(report, file);
    json_environment(report->environment, file);
    fputs("  \"results\": [\n", file);
    for (uint32_t i = 0; i < count; i++) {
        json_row(&report->rows[i], file);
        fputs(i + 1 < count ? ",\n" : "\n", file);
    }
    fputs("  ]\n}\n", file);
    return ferror(file) ? -1 : 0;
}

int bench_report_lines(const struct bench_report *report, FILE *file)
{
    const struct bench_config *config = report->config;
    uint32_t count = config->cell_count * report->engine_count;

    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &report->rows[i];

        fprintf(file, "%s\t%u\t%u\t%u\t%s\t%llu\t%s\t%s", row->cell->workload->name,
                row->cell->threads, row->depth, row->cell->batch,
                bench_durability_name(config->durability),
                (unsigned long long)config->records, row->engine->name,
                row->failed                                       ? "failed"
                : row->mismatched + row->missing + row->stale > 0 ? "wrong"
                                                                  : "ok");
        fprintf(file, "\t%.0f\t%.0f\t%.0f", bench_row_median(row, BENCH_METRIC_RATE),
                row_extreme(row, BENCH_METRIC_RATE, false),
                row_extreme(row, BENCH_METRIC_RATE, true));
        for (uint32_t metric = BENCH_METRIC_MEAN; metric < BENCH_METRIC_COUNT; metric++) {
            fprintf(file, "\t%.3f", bench_row_median(row, (enum bench_metric)metric));
        }
        fprintf(file, "\t%llu\n", (unsigned long long)row->live_bytes);
    }
    return ferror(file) ? -1 : 0;
}

int bench_report_hgrm(const struct bench_row *row, FILE *file)
{
    struct bench_histogram *all = calloc(1, sizeof(*all));
    double mean;
    double square_sum = 0.0;
    double percentile = 0.0;

    if (all == NULL) {
        return -1;
    }
    for (uint32_t kind = 0; kind < BENCH_KIND_COUNT; kind++) {
        bench_histogram_merge(all, &row->latency[kind]);
    }
    mean = bench_histogram_mean(all);
    for (uint32_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        double distance = (double)bench_histogram_bucket_top(i) - mean;

        square_sum += distance * distance * (double)all->buckets[i];
    }
    fputs("       Value     Percentile TotalCount 1/(1-Percentile)\n\n", file);
    while (all->count > 0) {
        uint64_t value = bench_histogram_percentile(all, percentile);
        uint64_t below = 0;

        for (uint32_t i = 0; i <= bench_histogram_index(value); i++) {
            below += all->buckets[i];
        }
        if (below >= all->count) {
            break;
        }
        fprintf(file, "%12.3f %2.12f %10llu %14.2f\n", (double)value / 1e3,
                percentile / 100.0, (unsigned long long)below,
                100.0 / (100.0 - percentile));
        /* Five steps per halving of what is left, as HdrHistogram prints it. */
        percentile +=
            100.0 / (5.0 * pow(2.0, floor(log2(100.0 / (100.0 - percentile))) + 1.0));
        if (percentile >= 100.0) {
            break;
        }
    }
    fprintf(file, "%12.3f %2.12f %10llu\n", (double)all->max_ns / 1e3, 1.0,
            (unsigned long long)all->count);
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / 1e3,
            all->count > 0 ? sqrt(square_sum / (double)all->count) / 1e3 : 0.0);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12llu]\n",
            (double)all->max_ns / 1e3, (unsigned long long)all->count);
    fprintf(file, "#[Buckets = %12u, SubBuckets     = %12u]\n",
            BENCH_HISTOGRAM_VALUE_BITS - BENCH_HISTOGRAM_LINEAR_BITS,
            1u << BENCH_HISTOGRAM_LINEAR_BITS);
    free(all);
    return ferror(file) ? -1 : 0;
}
