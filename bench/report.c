#include "bench/report.h"

#include <string.h>

#define MIB (1024.0 * 1024.0)

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

    fprintf(file, "%-*s", COLUMN_LABEL, bench_metric_label((enum bench_metric)metric));
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
            double figure =
                line == 0 ? bench_row_cold(&rows[i]) : bench_row_hit_ratio(&rows[i]);
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

/* Where the mean of the rates lies, with 95 % confidence. */
static void text_interval(const struct bench_row *rows, uint32_t count, FILE *file)
{
    fprintf(file, "%-*s", COLUMN_LABEL, "  95 % interval");
    for (uint32_t i = 0; i < count; i++) {
        struct bench_interval interval = bench_row_interval(&rows[i], BENCH_METRIC_RATE);
        char text[64] = "-";

        if (interval.known) {
            char low[24];
            char high[24];

            bench_metric_format(BENCH_METRIC_RATE, interval.low, low, sizeof(low));
            bench_metric_format(BENCH_METRIC_RATE, interval.high, high, sizeof(high));
            snprintf(text, sizeof(text), "%s-%s", low, high);
        }
        fprintf(file, "%*s", COLUMN_BYTES, text);
    }
    fputc('\n', file);
}

static void text_steps(const struct bench_row *rows, uint32_t count, FILE *file)
{
    if (rows[0].step_count > 0) {
        fprintf(file,
                "\nrate asked, op/s; done, p50, p99 and max in us from the intended start"
                " (last run)\n");
    }
    for (uint32_t step = 0; step < rows[0].step_count; step++) {
        fprintf(file, "%10.0f", rows[0].steps[step].rate);
        for (uint32_t i = 0; i < count; i++) {
            const struct bench_step *at = &rows[i].steps[step];

            if (step < rows[i].step_count) {
                fprintf(file, "  %s: %llu, %.1f, %.1f, %.0f", rows[i].engine->name,
                        (unsigned long long)at->operations, (double)at->p50_ns / 1e3,
                        (double)at->p99_ns / 1e3, (double)at->max_ns / 1e3);
            }
        }
        fputc('\n', file);
    }
}

/* What is to be known about a row's figures before one believes them. */
static void text_notes(const struct bench_config *config, const struct bench_row *row,
                       FILE *file)
{
    if (config->limit_p99_ns != 0 && row->limit.trial_count > 0) {
        fprintf(
            file,
            "note: %s: the figures are those of the highest rate that met a p99 of %.1f "
            "us: %.0f op/s of the %.0f that it can do (%u trials)\n",
            row->engine->name, (double)config->limit_p99_ns / 1e3, row->limit.met,
            row->limit.capacity, row->limit.trial_count);
    }
    if (row->steady_count < row->steady_known) {
        fprintf(
            file,
            "note: %s was not steady in %u of %u runs: it got faster or slower until the "
            "second half\n",
            row->engine->name, row->steady_known - row->steady_count, row->steady_known);
    } else if (row->steady_from_ns > 0 && row->duration_ns > 0 &&
               (double)row->steady_from_ns * row->repeat_count >
                   0.1 * (double)row->duration_ns) {
        fprintf(
            file,
            "note: %s was steady from %.1f s on, at %.1f thousand op/s (the figures are "
            "of the whole run: see --lead-s)\n",
            row->engine->name, (double)row->steady_from_ns / 1e9,
            row->steady_rate_sum / row->steady_count / 1e3);
    }
}

static void text_cell(const struct bench_report *report, uint32_t cell_index, FILE *file)
{
    const struct bench_config *config = report->config;
    const struct bench_cell *cell = &config->cells[cell_index];
    const struct bench_row *rows = &report->rows[cell_index * report->engine_count];
    uint32_t count = report->engine_count;
    char number[32];
    char sizes[48];

    fprintf(file, "\n%s: %s; %s", cell->workload->name, cell->workload->summary,
            bench_distribution_name(cell->distribution));
    if (cell->distribution == BENCH_ZIPFIAN || cell->distribution == BENCH_LATEST) {
        fprintf(file, " %.2f", config->theta);
    }
    fprintf(file, "; durability %s\n", bench_durability_name(config->durability));
    fprintf(file, "  %s records of %zu + %s bytes; %u thread%s",
            grouped(config->records, number), config->key_bytes,
            bench_sizes_text(config, sizes, sizeof(sizes)), cell->threads,
            cell->threads == 1 ? "" : "s");
    if (cell->depth > 1) {
        fprintf(file, ", %u in flight each", cell->depth);
    }
    if (cell->batch > 1) {
        fprintf(file, ", %u keys per call (latency is per call)", cell->batch);
    }
    if (config->rate > 0.0) {
        fprintf(file, "; %s rate %.0f",
                config->rate_steps > 0 ? "stepped"
                : config->poisson      ? "poisson"
                                       : "fixed",
                config->rate);
        if (config->rate_steps > 0) {
            fprintf(file, " - %.0f", config->rate_to);
        }
        fprintf(file, " op/s, latency from the intended start");
    }
    if (config->limit_p99_ns != 0) {
        fprintf(file, "; the highest rate with a p99 of %.1f us, from the intended start",
                (double)config->limit_p99_ns / 1e3);
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
                                    bench_row_extreme(&rows[i], BENCH_METRIC_RATE, false),
                                    low, sizeof(low));
                bench_metric_format(BENCH_METRIC_RATE,
                                    bench_row_extreme(&rows[i], BENCH_METRIC_RATE, true),
                                    high, sizeof(high));
                snprintf(text, sizeof(text), "%s-%s", low, high);
                fprintf(file, "%*s", COLUMN_BYTES, text);
            }
            fputc('\n', file);
            text_interval(rows, count, file);
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
    text_steps(rows, count, file);
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
        text_notes(config, row, file);
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
