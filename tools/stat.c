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

#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp stat [OPTION]...\n"
    "\n"
    "Open the database without changing it and print how many records it has, what its "
    "files\n"
    "take, what the opening found and the engine's counters.\n"
    "\n"
    "  --metrics              print the counters as the engine does, in Prometheus text\n";

enum { OPTION_METRICS = 1 };

/* Files by what they are for; the last kind takes what is none of the others. */
static const struct {
    const char *name, *pattern;
} kinds[] = {
    {"log", "log-*.warp"}, {"spare", "spare*"}, {"manifest", "MANIFEST*"},
    {"lock", "LOCK*"},     {"other", "*"},
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

struct usage {
    uint64_t files;
    uint64_t bytes;           /* as the files say */
    uint64_t bytes_allocated; /* as the file system says */
};

static int read_usage(const struct warp_tool *tool, struct usage usage[KIND_COUNT])
{
    DIR *directory = opendir(tool->path);
    const struct dirent *entry;
    struct stat about;

    memset(usage, 0, KIND_COUNT * sizeof(usage[0]));
    if (directory == NULL) {
        return warp_tool_error(tool, "%s: %s", tool->path, strerror(errno));
    }
    while ((entry = readdir(directory)) != NULL) {
        size_t kind = 0;

        if (fstatat(dirfd(directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(about.st_mode)) {
            continue;
        }
        while (kind < KIND_COUNT - 1 &&
               fnmatch(kinds[kind].pattern, entry->d_name, 0) != 0) {
            kind++;
        }
        usage[kind].files++;
        usage[kind].bytes += (uint64_t)about.st_size;
        usage[kind].bytes_allocated += (uint64_t)about.st_blocks * 512;
    }
    closedir(directory);
    return 0;
}

static void print_json(const struct warp_tool *tool, uint64_t records,
                       const struct usage usage[KIND_COUNT],
                       const struct warp_recovery *recovery, const char *metrics)
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
    printf("},\"recovery\":{\"clean\":%s,\"duration_ns\":%" PRIu64 ",\"records\":%" PRIu64
           ",\"frames\":%" PRIu64 ",\"operations\":%" PRIu64 ",\"bytes_read\":%" PRIu64
           ",\"bytes_cut\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"fencing_epoch\":%" PRIu32
           "},\"metrics\":{",
           recovery->clean != 0 ? "true" : "false", recovery->duration_ns,
           recovery->records, recovery->frames, recovery->operations, recovery->bytes_read,
           recovery->bytes_cut, recovery->expired, recovery->fencing_epoch);
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

static void print_text(const struct warp_tool *tool, uint64_t records,
                       const struct usage usage[KIND_COUNT],
                       const struct warp_recovery *recovery, const char *metrics)
{
    char a[WARP_TEXT_SHORT_BYTES];
    char b[WARP_TEXT_SHORT_BYTES];
    char c[WARP_TEXT_SHORT_BYTES];

    printf("Database %s (WarpEngine %s)\n", tool->path, warp_version());
    printf("  records             %s\n", warp_text_count(a, records));
    puts("\nOn disk               files         bytes     allocated");
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (usage[i].files > 0) {
            printf("  %-18s %6" PRIu64 " %13s %13s\n", kinds[i].name, usage[i].files,
                   warp_text_size(a, usage[i].bytes),
                   warp_text_size(b, usage[i].bytes_allocated));
        }
    }
    puts("\nOpening");
    printf("  closed before       %s\n",
           recovery->clean != 0 ? "properly" : "not: the log's end was looked for");
    printf("  took                %s\n", warp_text_duration(a, recovery->duration_ns));
    printf("  read                %s of log, %s frames, %s operations\n",
           warp_text_size(a, recovery->bytes_read), warp_text_count(b, recovery->frames),
           warp_text_count(c, recovery->operations));
    printf("  unfinished tail     %s\n", warp_text_size(a, recovery->bytes_cut));
    printf("  found expired       %s\n", warp_text_count(a, recovery->expired));
    printf("  opened for writing  %s times\n", warp_text_count(a, recovery->fencing_epoch));
    print_metrics(metrics);
}

int warp_tool_stat(int argc, char **argv)
{
    static const struct option own[] = {
        {"metrics", no_argument, NULL, OPTION_METRICS},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    struct usage usage[KIND_COUNT];
    struct warp *db = NULL;
    char *metrics = NULL;
    uint64_t records = 0;
    bool raw = false;
    int exit_code;
    int code;
    int rc;

    warp_tool_init(&tool, "stat", help);
    while ((code = warp_tool_next(&tool, argc, argv, own)) > 0) {
        raw = raw || code == OPTION_METRICS;
    }
    if (code < 0) {
        return tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&tool, "'%s' is one argument too many", argv[optind]);
    }
    exit_code = warp_tool_open(&tool, WARP_READ_ONLY | WARP_MUST_EXIST, &db);
    if (exit_code != 0) {
        return exit_code;
    }
    rc = warp_count(db, &records);
    if (rc == 0) {
        rc = warp_recovery_info(db, &recovery);
    }
    if (rc == 0) {
        rc = warp_tool_metrics_text(db, &metrics);
    }
    if (rc != 0) {
        exit_code = warp_tool_failed(&tool, db, "reading", rc);
    } else if (raw) {
        fputs(metrics, stdout);
    } else {
        exit_code = read_usage(&tool, usage);
        if (exit_code == 0 && tool.json) {
            print_json(&tool, records, usage, &recovery, metrics);
        } else if (exit_code == 0) {
            print_text(&tool, records, usage, &recovery, metrics);
        }
    }
    free(metrics);
    return warp_tool_close(&tool, &db, exit_code);
}
