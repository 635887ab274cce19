/* `warp stat`: opens a database without changing it and tells what it found. */
#include "tools/commands.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "serve/source.h"
#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/shards.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp stat [OPTION]...\n"
    "\n"
    "Open the database without changing it and print how many records it has, what its "
    "files\n"
    "take, which values are in memory, how old its checkpoint is, what the opening found "
    "and\n"
    "what the next one will have to read, and the engine's counters. If another process "
    "has "
    "it\n"
    "open, what that one has written into the file METRICS is printed, and nothing is "
    "opened.\n"
    "\n"
    "  --metrics              print the counters as the engine does, in Prometheus text\n"
    "  --shards[=N]           print what each shard has and does instead, and how even "
    "that "
    "is;\n"
    "                         a database that is not open is opened with N shards\n";

enum { OPTION_METRICS = 1, OPTION_SHARDS };

/* What to print. */
enum form { FORM_ALL, FORM_METRICS, FORM_SHARDS };

/*
 * Files by what they are for; the last kind takes what is none of the others. Log files are of two
 * kinds, those that would be replayed and, below them, those kept for their values.
 */
static const struct {
    const char *name, *label, *pattern;
} kinds[] = {
    {"log", "log from the head", "log-*.warp"},
    {"log_held", "log kept for values", NULL},
    {"archive", "archives", "archive-*.warp"},
    {"checkpoint", "checkpoints", "checkpoint-*.warp"},
    {"spare", "spare log files", "spare*"},
    {"manifest", "manifest", "MANIFEST*"},
    {"lock", "lock", "LOCK*"},
    {"metrics", "metrics for others", "METRICS*"},
    {"other", "other", "*"},
};

enum { KIND_LOG, KIND_LOG_HELD, KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

struct usage {
    uint64_t files;
    uint64_t bytes;           /* as the files say */
    uint64_t bytes_allocated; /* as the file system says */
};

/* What the engine says; all from its metrics. */
struct figures {
    uint64_t records, cold_records, value_bytes, memory_bytes, memory_limit_bytes;
    uint64_t gets, cold_gets;
    uint64_t checkpoint_number, checkpoint_records, checkpoint_bytes, checkpoint_log_bytes;
    double checkpoint_age; /* seconds; < 0: there is none */
    uint64_t log_bytes;    /* of files from the head on */
    uint64_t next_ns;      /* how long the next opening may take; 0: not known */
};

static void read_figures(const char *metrics, struct figures *figures)
{
    figures->records = warp_tool_metrics_count(metrics, "warp_records");
    figures->cold_records = warp_tool_metrics_count(metrics, "warp_cold_records");
    figures->value_bytes = warp_tool_metrics_count(metrics, "warp_cache_bytes");
    figures->memory_bytes = warp_tool_metrics_count(metrics, "warp_memory_bytes");
    figures->memory_limit_bytes =
        warp_tool_metrics_count(metrics, "warp_memory_limit_bytes");
    figures->gets = warp_tool_metrics_count(metrics, "warp_gets_total");
    figures->cold_gets = warp_tool_metrics_count(metrics, "warp_cold_gets_total");
    figures->checkpoint_number = warp_tool_metrics_count(metrics, "warp_checkpoint_number");
    figures->checkpoint_records =
        warp_tool_metrics_count(metrics, "warp_checkpoint_records");
    figures->checkpoint_bytes = warp_tool_metrics_count(metrics, "warp_checkpoint_bytes");
    figures->checkpoint_log_bytes =
        warp_tool_metrics_count(metrics, "warp_checkpoint_log_bytes");
    figures->checkpoint_age =
        warp_tool_metrics_value(metrics, "warp_checkpoint_age_seconds");
    figures->log_bytes = warp_tool_metrics_count(metrics, "warp_log_allocated_bytes");
    figures->next_ns =
        (uint64_t)(warp_tool_metrics_value(metrics, "warp_recovery_next_seconds") * 1e9);
}

/* The name of the first log file that would be replayed, by the name of the last one. */
static void first_log_name(const char *last, uint64_t file_bytes, uint64_t log_bytes,
                           char first[64])
{
    uint64_t number = strtoull(last + 4, NULL, 16);
    uint64_t count = file_bytes > 4096 ? log_bytes / (file_bytes - 4096) : 1;

    snprintf(first, 64, "log-%016" PRIx64 ".warp", number + 1 - (count < 1 ? 1 : count));
}

static int read_usage(const struct warp_tool *tool, uint64_t log_bytes,
                      struct usage usage[KIND_COUNT])
{
    DIR *directory = opendir(tool->path);
    const struct dirent *entry;
    char last[64] = "", first[64] = "";
    uint64_t last_bytes = 0;
    struct stat about;

    memset(usage, 0, KIND_COUNT * sizeof(usage[0]));
    if (directory == NULL) {
        return warp_tool_error(tool, "%s: %s", tool->path, strerror(errno));
    }
    while ((entry = readdir(directory)) != NULL) {
        if (fnmatch(kinds[KIND_LOG].pattern, entry->d_name, 0) == 0 &&
            strlen(entry->d_name) < sizeof(last) && strcmp(entry->d_name, last) > 0 &&
            fstatat(dirfd(directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0) {
            strcpy(last, entry->d_name);
            last_bytes = (uint64_t)about.st_size;
        }
    }
    if (last[0] != '\0') {
        first_log_name(last, last_bytes, log_bytes, first);
    }
    rewinddir(directory);
    while ((entry = readdir(directory)) != NULL) {
        size_t kind = 0;

        if (fstatat(dirfd(directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(about.st_mode)) {
            continue;
        }
        while (kind < KIND_COUNT - 1 &&
               (kinds[kind].pattern == NULL ||
                fnmatch(kinds[kind].pattern, entry->d_name, 0) != 0)) {
            kind++;
        }
        if (kind == KIND_LOG && strcmp(entry->d_name, first) < 0) {
            kind = KIND_LOG_HELD;
        }
        usage[kind].files++;
        usage[kind].bytes += (uint64_t)about.st_size;
        usage[kind].bytes_allocated += (uint64_t)about.st_blocks * 512;
    }
    closedir(directory);
    return 0;
}

static void print_json_figures(const struct figures *figures)
{
    printf(",\"tiers\":{\"memory_records\":%" PRIu64 ",\"disk_records\":%" PRIu64
           ",\"value_bytes\":%" PRIu64 ",\"memory_bytes\":%" PRIu64
           ",\"memory_limit_bytes\":%" PRIu64 ",\"hit_ratio\":",
           figures->records - figures->cold_records, figures->cold_records,
           figures->value_bytes, figures->memory_bytes, figures->memory_limit_bytes);
    if (figures->gets == 0) {
        fputs("null", stdout);
    } else {
        printf("%.6f", 1.0 - (double)figures->cold_gets / (double)figures->gets);
    }
    fputs("},\"checkpoint\":", stdout);
    if (figures->checkpoint_number == 0) {
        fputs("null", stdout);
    } else {
        printf("{\"number\":%" PRIu64 ",\"age_s\":%.3f,\"records\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"log_bytes\":%" PRIu64 "}",
               figures->checkpoint_number, figures->checkpoint_age,
               figures->checkpoint_records, figures->checkpoint_bytes,
               figures->checkpoint_log_bytes);
    }
}

/* How long things took, in the process that has it open: what the buckets do not say. */
static void print_json_times(const struct warp_reading *reading)
{
    const struct warp_reading_row *row =
        reading->rows + reading->value_count + reading->shard_value_count;

    fputs(",\"times_s\":{", stdout);
    for (uint32_t i = 0; i < reading->histogram_count; i++, row++) {
        const uint64_t *words = warp_reading_histogram(reading, i);

        printf("%s\"%s\":{\"count\":%" PRIu64
               ",\"sum\":%.9f,\"max\":%.9f,\"p50\":%.9f,\"p90\":%.9f,\"p99\":%.9f,"
               "\"p999\":%.9f}",
               i > 0 ? "," : "", row->name, words[0], (double)words[1] / 1e9,
               (double)words[2] / 1e9, (double)words[3] / 1e9, (double)words[4] / 1e9,
               (double)words[5] / 1e9, (double)words[6] / 1e9);
    }
    putchar('}');
}

static void print_json(const struct warp_tool *tool, uint64_t records,
                       const struct usage usage[KIND_COUNT], const struct figures *figures,
                       const struct warp_recovery *recovery,
                       const struct warp_source_view *view, const char *metrics)
{
    struct warp_tool_sample sample;
    bool first = true;

    fputs("{\"path\":", stdout);
    if (warp_text_utf8_valid(tool->path, strlen(tool->path))) {
        warp_text_write_json_string(stdout, tool->path, strlen(tool->path));
    } else {
        fputs("null", stdout);
    }
    printf(",\"version\":\"%s\",\"records\":%" PRIu64 ",\"disk\":{", warp_version(),
           records);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        printf("%s\"%s\":{\"files\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"bytes_allocated\":%" PRIu64 "}",
               i > 0 ? "," : "", kinds[i].name, usage[i].files, usage[i].bytes,
               usage[i].bytes_allocated);
    }
    putchar('}');
    print_json_figures(figures);
    if (view != NULL) {
        const struct warp_snapshot_about *about = &view->reading.about;

        printf(",\"source\":{\"state\":\"%s\",\"pid\":%" PRIu64 ",\"opened_ms\":%" PRIu64
               ",\"age_s\":%.3f}",
               warp_source_state_text(view->state), about->process.pid, about->opened_ms,
               (double)view->age_ns / 1e9);
        print_json_times(&view->reading);
    } else {
        fputs(",\"source\":null,\"times_s\":null", stdout);
    }
    printf(",\"recovery\":{\"clean\":%s,\"duration_ns\":%" PRIu64 ",\"records\":%" PRIu64
           ",\"frames\":%" PRIu64 ",\"operations\":%" PRIu64 ",\"bytes_read\":%" PRIu64
           ",\"bytes_cut\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"fencing_epoch\":%" PRIu32
           ",\"next_bytes\":%" PRIu64 ",\"next_duration_ns\":%" PRIu64 "},\"metrics\":{",
           view != NULL           ? "null"
           : recovery->clean != 0 ? "true"
                                  : "false",
           recovery->duration_ns, recovery->records, recovery->frames, recovery->operations,
           recovery->bytes_read, recovery->bytes_cut, recovery->expired,
           recovery->fencing_epoch,
           figures->checkpoint_bytes + figures->checkpoint_log_bytes, figures->next_ns);
    while (warp_tool_metrics_next(&metrics, &sample)) {
        char name[512];
        int bytes;

        if (sample.labels.bytes > 0) {
            bytes = snprintf(name, sizeof(name), "%.*s{%.*s}", (int)sample.name.bytes,
                             (const char *)sample.name.data, (int)sample.labels.bytes,
                             (const char *)sample.labels.data);
        } else {
            bytes = snprintf(name, sizeof(name), "%.*s", (int)sample.name.bytes,
                             (const char *)sample.name.data);
        }
        if (bytes < 0 || (size_t)bytes >= sizeof(name)) {
            continue;
        }
        if (!first) {
            fputc(',', stdout);
        }
        first = false;
        warp_text_write_json_string(stdout, name, (size_t)bytes);
        fputc(':', stdout);
        if (warp_tool_metrics_is_number(&sample)) {
            fwrite(sample.value.data, 1, sample.value.bytes, stdout);
        } else {
            warp_text_write_json_string(stdout, sample.value.data, sample.value.bytes);
        }
    }
    fputs("}}\n", stdout);
}

static void print_metrics(const char *metrics)
{
    struct warp_tool_sample sample;
    static const char bucket[] = "_bucket";
    const size_t bucket_bytes = sizeof(bucket) - 1;

    puts("\nCounters");
    while (warp_tool_metrics_next(&metrics, &sample)) {
        const char *name = sample.name.data;
        size_t bytes = sample.name.bytes;

        /* The bars of a histogram say little one below the other; its sum and count
         * stay. */
        if (bytes > bucket_bytes &&
            memcmp(name + bytes - bucket_bytes, bucket, bucket_bytes) == 0) {
            continue;
        }
        printf("  %.*s", (int)bytes, name);
        if (sample.labels.bytes > 0) {
            printf("{%.*s}", (int)sample.labels.bytes, (const char *)sample.labels.data);
            bytes += sample.labels.bytes + 2;
        }
        printf("%*s %.*s\n", bytes < 50 ? (int)(50 - bytes) : 0, "",
               (int)sample.value.bytes, (const char *)sample.value.data);
    }
}

/* "3 min": how long ago, roughly. */
static const char *age_text(char out[WARP_TEXT_SHORT_BYTES], double seconds)
{
    static const struct {
        double seconds;
        const char *unit;
    } units[] = {{86400, "days"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;

    while (i < 3 && seconds < 2 * units[i].seconds) {
        i++;
    }
    snprintf(out, WARP_TEXT_SHORT_BYTES, "%.0f %s", seconds / units[i].seconds,
             units[i].unit);
    return out;
}

static void print_tiers(const struct figures *figures)
{
    char a[WARP_TEXT_SHORT_BYTES];
    char b[WARP_TEXT_SHORT_BYTES];

    puts("\nTiers");
    printf("  value in memory     %s records, %s\n",
           warp_text_count(a, figures->records - figures->cold_records),
           warp_text_size(b, figures->value_bytes));
    printf("  value on disk only  %s records\n", warp_text_count(a, figures->cold_records));
    printf("  memory used         %s of %s\n", warp_text_size(a, figures->memory_bytes),
           warp_text_size(b, figures->memory_limit_bytes));
    if (figures->gets > 0) {
        printf("  hit ratio           %.2f %% of %s gets\n",
               100.0 - 100.0 * (double)figures->cold_gets / (double)figures->gets,
               warp_text_count(a, figures->gets));
    } else {
        puts("  hit ratio           nothing was read since the opening");
    }
}

static void print_checkpoint(const struct figures *figures)
{
    char a[WARP_TEXT_SHORT_BYTES];
    char b[WARP_TEXT_SHORT_BYTES];

    puts("\nCheckpoint");
    if (figures->checkpoint_number == 0) {
        puts("  newest              none yet: all log is replayed");
    } else {
        printf("  newest              number %" PRIu64 ", made %s ago\n",
               figures->checkpoint_number, age_text(a, figures->checkpoint_age));
        printf("  index               %s records in %s\n",
               warp_text_count(a, figures->checkpoint_records),
               warp_text_size(b, figures->checkpoint_bytes));
    }
    printf("  log behind it       %s\n", warp_text_size(a, figures->checkpoint_log_bytes));
}

static void print_text(const struct warp_tool *tool, uint64_t records,
                       const struct usage usage[KIND_COUNT], const struct figures *figures,
                       const struct warp_recovery *recovery,
                       const struct warp_source_view *view, const char *metrics)
{
    char a[WARP_TEXT_SHORT_BYTES];
    char b[WARP_TEXT_SHORT_BYTES];
    char c[WARP_TEXT_SHORT_BYTES];

    printf("Database %s (WarpEngine %s)\n", tool->path,
           view != NULL ? view->reading.about.version : warp_version());
    if (view != NULL) {
        printf("  state               %s: %s; the numbers are %s old\n",
               warp_source_state_text(view->state), view->why,
               warp_text_duration(a, view->age_ns));
    }
    printf("  records             %s\n", warp_text_count(a, records));
    puts("\nOn disk                files         bytes     allocated");
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (usage[i].files > 0) {
            printf("  %-19s %6" PRIu64 " %13s %13s\n", kinds[i].label, usage[i].files,
                   warp_text_size(a, usage[i].bytes),
                   warp_text_size(b, usage[i].bytes_allocated));
        }
    }
    print_tiers(figures);
    print_checkpoint(figures);
    puts("\nOpening");
    if (view == NULL) {
        printf("  closed before       %s\n",
               recovery->clean != 0 ? "properly" : "not: the log's end was looked for");
    }
    printf("  took                %s\n", warp_text_duration(a, recovery->duration_ns));
    if (view == NULL) {
        printf("  read                %s of %s, %s frames\n",
               warp_text_size(a, recovery->bytes_read),
               figures->checkpoint_number != 0 ? "index and log" : "log",
               warp_text_count(b, recovery->frames));
    }
    printf("  applied             %s records and operations\n",
           warp_text_count(c, recovery->operations));
    printf("  unfinished tail     %s\n", warp_text_size(a, recovery->bytes_cut));
    if (view == NULL) {
        printf("  found expired       %s\n", warp_text_count(a, recovery->expired));
    }
    printf("  opened for writing  %s times\n", warp_text_count(a, recovery->fencing_epoch));
    printf("  the next one        %s of index, %s of log",
           warp_text_size(a, figures->checkpoint_bytes),
           warp_text_size(b, figures->checkpoint_log_bytes));
    if (figures->next_ns > 0) {
        printf(": about %s", warp_text_duration(c, figures->next_ns));
    }
    putchar('\n');
    print_metrics(metrics);
}

static int print_all(const struct warp_tool *tool, uint64_t records,
                     const struct warp_recovery *recovery,
                     const struct warp_source_view *view, const char *metrics)
{
    struct usage usage[KIND_COUNT];
    struct figures figures;
    int exit_code;

    read_figures(metrics, &figures);
    exit_code = read_usage(tool, figures.log_bytes, usage);
    if (exit_code == 0 && tool->json) {
        print_json(tool, records, usage, &figures, recovery, view, metrics);
    } else if (exit_code == 0) {
        print_text(tool, records, usage, &figures, recovery, view, metrics);
    }
    return exit_code;
}

/*
 * Somebody has it open: what that process publishes. What only the opening itself knows (whether the
 * end of the log had to be looked for, what was read) is not in it.
 */
static int stat_elsewhere(const struct warp_tool *tool, enum form form, int refused)
{
    struct warp_source_view *view = NULL;
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    char *metrics;
    int exit_code = 0;

    if (warp_source_create(&view) != 0) {
        return warp_tool_error(tool, "no memory");
    }
    warp_source_look(view, tool->path);
    if (!view->has_values || view->state == WARP_SOURCE_CLOSED ||
        view->state == WARP_SOURCE_DIED) {
        /* It publishes nothing; what is there is of an earlier life. */
        exit_code = warp_tool_refused(tool, refused);
        warp_source_destroy(&view);
        return exit_code;
    }
    if (form == FORM_SHARDS) {
        exit_code = warp_tool_shards(tool, view);
        warp_source_destroy(&view);
        return exit_code;
    }
    metrics = warp_tool_metrics_of(&view->reading, WARP_RENDER_TEXT, false);
    if (metrics == NULL) {
        exit_code = warp_tool_error(tool, "no memory");
    } else if (form == FORM_METRICS) {
        fputs(metrics, stdout);
    } else {
        recovery.records = warp_tool_metrics_count(metrics, "warp_recovery_records");
        recovery.operations = warp_tool_metrics_count(metrics, "warp_recovery_operations");
        recovery.bytes_cut = warp_tool_metrics_count(metrics, "warp_recovery_cut_bytes");
        recovery.duration_ns =
            (uint64_t)(1e9 * warp_tool_metrics_value(metrics, "warp_recovery_seconds"));
        recovery.fencing_epoch =
            (uint32_t)warp_tool_metrics_count(metrics, "warp_fencing_epoch");
        exit_code = print_all(tool, warp_tool_metrics_count(metrics, "warp_records"),
                              &recovery, view, metrics);
    }
    free(metrics);
    warp_source_destroy(&view);
    return exit_code;
}

static int stat_shards_here(const struct warp_tool *tool, struct warp *db)
{
    struct warp_source_view *view = NULL;
    int exit_code, rc;

    if (warp_source_create(&view) != 0) {
        return warp_tool_error(tool, "no memory");
    }
    rc = warp_tool_metrics_view(db, view);
    exit_code =
        rc != 0 ? warp_tool_failed(tool, db, "reading", rc) : warp_tool_shards(tool, view);
    warp_source_destroy(&view);
    return exit_code;
}

int warp_tool_stat(int argc, char **argv)
{
    static const struct option own[] = {
        {"metrics", no_argument, NULL, OPTION_METRICS},
        {"shards", optional_argument, NULL, OPTION_SHARDS},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    struct warp *db = NULL;
    char *metrics = NULL;
    uint64_t records = 0;
    enum form form = FORM_ALL;
    int exit_code;
    int code;
    int rc;

    warp_tool_init(&tool, "stat", help);
    while ((code = warp_tool_next(&tool, argc, argv, own)) > 0) {
        enum form asked = code == OPTION_METRICS  ? FORM_METRICS
                          : code == OPTION_SHARDS ? FORM_SHARDS
                                                  : FORM_ALL;

        if (form != FORM_ALL && form != asked) {
            return warp_tool_usage(&tool, "--metrics and --shards are one at a time");
        }
        form = asked;
        if (code == OPTION_SHARDS && optarg != NULL) {
            uint64_t number;

            if (!warp_text_read_u64(optarg, &number) || number < 1 ||
                number > WARP_SHARD_COUNT_MAX) {
                return warp_tool_usage(&tool,
                                       "--shards= is a number from 1 to %u, not '%s'",
                                       WARP_SHARD_COUNT_MAX, optarg);
            }
            tool.options.shard_count = (uint32_t)number;
        }
    }
    if (code < 0) {
        return tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&tool, "'%s' is one argument too many", argv[optind]);
    }
    rc = warp_tool_try(&tool, WARP_READ_ONLY | WARP_MUST_EXIST, &db);
    if (rc == WARP_EBUSY) {
        exit_code = stat_elsewhere(&tool, form, rc);
        return warp_tool_close(&tool, &db, exit_code);
    }
    if (rc != 0) {
        return warp_tool_refused(&tool, rc);
    }
    if (form == FORM_SHARDS) {
        exit_code = stat_shards_here(&tool, db);
        return warp_tool_close(&tool, &db, exit_code);
    }
    exit_code = 0;
    rc = warp_count(db, &records);
    if (rc == 0) {
        rc = warp_recovery_info(db, &recovery);
    }
    if (rc == 0) {
        rc = warp_tool_metrics_text(db, &metrics);
    }
    if (rc != 0) {
        exit_code = warp_tool_failed(&tool, db, "reading", rc);
    } else if (form == FORM_METRICS) {
        fputs(metrics, stdout);
    } else {
        exit_code = print_all(&tool, records, &recovery, NULL, metrics);
    }
    free(metrics);
    return warp_tool_close(&tool, &db, exit_code);
}
