#include "bench/export.h"

#include <math.h>
#include <stdlib.h>

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

static const char *arrivals(const struct bench_config *config)
{
    return config->limit_p99_ns != 0 ? "limit"
           : config->rate_steps > 0  ? "step"
           : config->rate <= 0.0     ? "closed"
           : config->poisson         ? "poisson"
                                     : "fixed";
}

static void json_configuration(const struct bench_report *report, FILE *file)
{
    static const char *const policies[] = {"s3fifo", "fifo", "clock", "lru", "sieve"};
    const struct bench_config *config = report->config;

    fprintf(file,
            "  \"configuration\": {\n    \"records\": %llu,\n    \"operations\": %llu,\n"
            "    \"duration_s\": %.3f,\n    \"warmup_s\": %.3f,\n    \"key_bytes\": %zu,\n"
            "    \"value_bytes\": %zu,\n    \"value_bytes_most\": %zu,\n    "
            "\"mixed_sizes\": %s,\n    \"durability\": "
            "\"%s\",\n    \"theta\": %.4f,\n"
            "    \"rate\": %.3f,\n    \"rate_to\": %.3f,\n    \"rate_steps\": %u,\n"
            "    \"limit_p99_ns\": %llu,\n    \"arrivals\": \"%s\",\n    \"seed\": "
            "%llu,\n"
            "    \"verify\": \"%s\",\n    \"memory_bytes\": %llu,\n    \"shards\": %u,\n"
            "    \"cache_policy\": \"%s\",\n    \"compression_ratio\": %.3f,\n"
            "    \"lead_s\": %.3f,\n    \"background_permille\": %u,\n"
            "    \"gravity\": \"%s\",\n"
            "    \"upkeep\": \"%s\",\n    \"existing\": %s,\n    \"repeats\": %u\n  },\n",
            (unsigned long long)config->records, (unsigned long long)config->operations,
            (double)config->duration_ns / 1e9, (double)config->warmup_ns / 1e9,
            config->key_bytes, config->value_bytes,
            config->value_bytes_most != 0 ? config->value_bytes_most : config->value_bytes,
            config->mixed_sizes ? "true" : "false",
            bench_durability_name(config->durability), config->theta, config->rate,
            config->rate_steps > 0 ? config->rate_to : config->rate, config->rate_steps,
            (unsigned long long)config->limit_p99_ns, arrivals(config),
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

    bench_row_device(row, &device);
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

static void json_interval(const struct bench_row *row, FILE *file)
{
    struct bench_interval interval = bench_row_interval(row, BENCH_METRIC_RATE);

    fputs("      \"operations_per_second_interval\": ", file);
    if (interval.known) {
        fprintf(file, "[%.1f, %.1f]", interval.low, interval.high);
    } else {
        fputs("null", file);
    }
    fprintf(file,
            ",\n      \"steady\": {\"runs_judged\": %u, \"runs_steady\": %u, "
            "\"from_s\": %.3f, \"operations_per_second\": %.1f},\n",
            row->steady_known, row->steady_count, (double)row->steady_from_ns / 1e9,
            row->steady_count > 0 ? row->steady_rate_sum / row->steady_count : 0.0);
}

/* The rate over time, the rate by steps and the search for a rate, of the last repeat. */
static void json_course(const struct bench_row *row, FILE *file)
{
    fprintf(file, "      \"lead_s\": %.3f,\n      \"timeline\": [",
            (double)row->lead_ns / 1e9);
    for (uint32_t i = 0; i < row->timeline.count; i++) {
        fprintf(file, "%s[%.3f, %.1f]", i > 0 ? ", " : "",
                (double)row->timeline.elapsed_ns[i] / 1e9,
                bench_timeline_rate(&row->timeline, i));
    }
    fputs("],\n", file);
    if (row->step_count > 0) {
        fputs("      \"steps\": [", file);
        for (uint32_t i = 0; i < row->step_count; i++) {
            const struct bench_step *step = &row->steps[i];

            fprintf(file,
                    "%s{\"rate\": %.3f, \"operations\": %llu, \"p50\": %llu, \"p99\": "
                    "%llu, \"p99_9\": %llu, \"max\": %llu}",
                    i > 0 ? ",\n        " : "\n        ", step->rate,
                    (unsigned long long)step->operations, (unsigned long long)step->p50_ns,
                    (unsigned long long)step->p99_ns, (unsigned long long)step->p999_ns,
                    (unsigned long long)step->max_ns);
        }
        fputs("\n      ],\n", file);
    }
    if (row->limit.trial_count > 0) {
        fprintf(file,
                "      \"limit\": {\"operations_per_second\": %.1f, \"capacity\": %.1f, "
                "\"trials\": [",
                row->limit.met, row->limit.capacity);
        for (uint32_t i = 0; i < row->limit.trial_count; i++) {
            const struct bench_limit_trial *trial = &row->limit.trials[i];

            fprintf(file,
                    "%s{\"rate\": %.1f, \"measured\": %.1f, \"p99\": %llu, \"met\": "
                    "%s}",
                    i > 0 ? ",\n        " : "\n        ", trial->rate, trial->measured,
                    (unsigned long long)trial->p99_ns, trial->met ? "true" : "false");
        }
        fputs("\n      ]},\n", file);
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
    fputs("],\n", file);
    json_interval(row, file);
    fputs("      \"latency_ns\": {", file);
    for (uint32_t metric = BENCH_METRIC_MEAN; metric <= BENCH_METRIC_MAX; metric++) {
        fprintf(file, "%s\"%s\": %.1f", metric > BENCH_METRIC_MEAN ? ", " : "",
                bench_metric_name((enum bench_metric)metric),
                bench_row_median(row, (enum bench_metric)metric));
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
        fprintf(file, ",\n      \"%s\": %.6f", bench_metric_name((enum bench_metric)metric),
                bench_row_median(row, (enum bench_metric)metric));
    }
    for (uint32_t metric = BENCH_METRIC_RSS; metric <= BENCH_METRIC_DISK; metric++) {
        fprintf(file, ",\n      \"%s\": %.0f", bench_metric_name((enum bench_metric)metric),
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
                bench_row_cold(row) > 0.0 ? bench_row_cold(row) : 0.0);
        if (bench_row_hit_ratio(row) < 0.0) {
            fputs("null", file);
        } else {
            fprintf(file, "%.6f", bench_row_hit_ratio(row));
        }
        fprintf(file, ", \"disk_reads\": %llu, \"evictions\": %llu},\n",
                (unsigned long long)row->tiers.disk_reads,
                (unsigned long long)row->tiers.evictions);
    }
    json_course(row, file);
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

int bench_export_json(const struct bench_report *report, FILE *file)
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

static const char *row_status(const struct bench_row *row)
{
    return row->failed                                       ? "failed"
           : row->mismatched + row->missing + row->stale > 0 ? "wrong"
                                                             : "ok";
}

int bench_export_lines(const struct bench_report *report, FILE *file)
{
    const struct bench_config *config = report->config;
    uint32_t count = config->cell_count * report->engine_count;

    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &report->rows[i];

        fprintf(file, "%s\t%u\t%u\t%u\t%s\t%llu\t%s\t%s", row->cell->workload->name,
                row->cell->threads, row->depth, row->cell->batch,
                bench_durability_name(config->durability),
                (unsigned long long)config->records, row->engine->name, row_status(row));
        fprintf(file, "\t%.0f\t%.0f\t%.0f", bench_row_median(row, BENCH_METRIC_RATE),
                bench_row_extreme(row, BENCH_METRIC_RATE, false),
                bench_row_extreme(row, BENCH_METRIC_RATE, true));
        for (uint32_t metric = BENCH_METRIC_MEAN; metric < BENCH_METRIC_COUNT; metric++) {
            fprintf(file, "\t%.3f", bench_row_median(row, (enum bench_metric)metric));
        }
        fprintf(file, "\t%llu\n", (unsigned long long)row->live_bytes);
    }
    return ferror(file) ? -1 : 0;
}

/* Names and figures here have no comma, quote or line break. */
int bench_export_csv(const struct bench_report *report, FILE *file)
{
    const struct bench_config *config = report->config;
    uint32_t count = config->cell_count * report->engine_count;

    fputs("engine,workload,threads,depth,batch,durability,records,key_bytes,value_bytes,"
          "arrivals,rate,repeats,status,operations_per_second,operations_per_second_low,"
          "operations_per_second_high,interval_low,interval_high",
          file);
    for (uint32_t metric = BENCH_METRIC_MEAN; metric < BENCH_METRIC_COUNT; metric++) {
        fprintf(file, ",%s%s", bench_metric_name((enum bench_metric)metric),
                metric <= BENCH_METRIC_MAX ? "_ns" : "");
    }
    fputs(",key_value_bytes,unissued,runs_judged,runs_steady\n", file);
    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &report->rows[i];
        struct bench_interval interval = bench_row_interval(row, BENCH_METRIC_RATE);

        fprintf(file, "%s,%s,%u,%u,%u,%s,%llu,%zu,%zu,%s,%.3f,%u,%s,%.1f,%.1f,%.1f,",
                row->engine->name, row->cell->workload->name, row->cell->threads,
                row->depth, row->cell->batch, bench_durability_name(config->durability),
                (unsigned long long)config->records, config->key_bytes, config->value_bytes,
                arrivals(config), config->limit_p99_ns != 0 ? row->limit.met : config->rate,
                row->repeat_count, row_status(row),
                bench_row_median(row, BENCH_METRIC_RATE),
                bench_row_extreme(row, BENCH_METRIC_RATE, false),
                bench_row_extreme(row, BENCH_METRIC_RATE, true));
        if (interval.known) {
            fprintf(file, "%.1f,%.1f", interval.low, interval.high);
        } else {
            fputc(',', file);
        }
        for (uint32_t metric = BENCH_METRIC_MEAN; metric < BENCH_METRIC_COUNT; metric++) {
            fprintf(file, ",%.3f", bench_row_median(row, (enum bench_metric)metric));
        }
        fprintf(file, ",%llu,%llu,%u,%u\n", (unsigned long long)row->live_bytes,
                (unsigned long long)row->unissued, row->steady_known, row->steady_count);
    }
    return ferror(file) ? -1 : 0;
}

int bench_export_hgrm(const struct bench_row *row, FILE *file)
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
