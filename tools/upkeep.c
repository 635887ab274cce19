/* `warp checkpoint` and `warp compact`: what the engine does by itself, now. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/text.h"

struct upkeep {
    const char *name, *help;
    int (*work)(struct warp *db);
    void (*report)(const char *metrics, bool json);
};

static int upkeep_run(const struct upkeep *upkeep, int argc, char **argv)
{
    struct warp_tool tool;
    struct warp *db = NULL;
    char *metrics = NULL;
    int exit_code;
    int rc;

    warp_tool_init(&tool, upkeep->name, upkeep->help);
    if (warp_tool_next(&tool, argc, argv, NULL) < 0) {
        return tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&tool, "'%s' is one argument too many", argv[optind]);
    }
    exit_code = warp_tool_open(&tool, WARP_MUST_EXIST, &db);
    if (exit_code != 0) {
        return exit_code;
    }
    rc = upkeep->work(db);
    if (rc == 0) {
        rc = warp_tool_metrics_text(db, &metrics);
    }
    if (rc != 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else {
        upkeep->report(metrics, tool.json);
    }
    free(metrics);
    return warp_tool_close(&tool, &db, exit_code);
}

static void checkpoint_report(const char *metrics, bool json)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];
    uint64_t number = warp_tool_metrics_count(metrics, "warp_checkpoint_number");
    uint64_t begin = warp_tool_metrics_count(metrics, "warp_checkpoint_begin_bytes");
    uint64_t records = warp_tool_metrics_count(metrics, "warp_checkpoint_records");
    uint64_t bytes = warp_tool_metrics_count(metrics, "warp_checkpoint_bytes");
    uint64_t duration_ns =
        (uint64_t)(warp_tool_metrics_value(metrics, "warp_checkpoint_seconds") * 1e9);

    if (json) {
        printf("{\"number\":%" PRIu64 ",\"begin\":%" PRIu64 ",\"records\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"duration_ns\":%" PRIu64 "}\n",
               number, begin, records, bytes, duration_ns);
        return;
    }
    printf("checkpoint %" PRIu64 ": %s records, %s, in %s\n", number,
           warp_text_count(a, records), warp_text_size(b, bytes),
           warp_text_duration(c, duration_ns));
    printf("the next opening replays the log from position %" PRIu64 "\n", begin);
}

static void compact_report(const char *metrics, bool json)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];
    uint64_t records = warp_tool_metrics_count(metrics, "warp_compaction_records_total");
    uint64_t raw_bytes =
        warp_tool_metrics_count(metrics, "warp_compaction_raw_bytes_total");
    uint64_t stored_bytes =
        warp_tool_metrics_count(metrics, "warp_compaction_stored_bytes_total");
    uint64_t removed =
        warp_tool_metrics_count(metrics, "warp_compaction_files_removed_total");
    uint64_t disk_bytes = warp_tool_metrics_count(metrics, "warp_disk_bytes");

    if (json) {
        printf("{\"records\":%" PRIu64 ",\"raw_bytes\":%" PRIu64
               ",\"stored_bytes\":%" PRIu64 ",\"files_removed\":%" PRIu64
               ",\"disk_bytes\":%" PRIu64 "}\n",
               records, raw_bytes, stored_bytes, removed, disk_bytes);
        return;
    }
    printf("%s records moved, %s compressed to %s\n", warp_text_count(a, records),
           warp_text_size(b, raw_bytes), warp_text_size(c, stored_bytes));
    printf("%s files removed, the log and the archives now take %s\n",
           warp_text_count(a, removed), warp_text_size(b, disk_bytes));
}

static const char checkpoint_help[] =
    "Usage: warp checkpoint [OPTION]...\n"
    "\n"
    "Write the index of the database to a checkpoint, so that the "
    "next opening loads it and\n"
    "replays only the log that was written after it began. The "
    "engine makes checkpoints by\n"
    "itself, too, as the log grows.\n";

int warp_tool_checkpoint(int argc, char **argv)
{
    static const struct upkeep upkeep = {"checkpoint", checkpoint_help, warp_checkpoint,
                                         checkpoint_report};

    return upkeep_run(&upkeep, argc, argv);
}

static const char compact_help[] =
    "Usage: warp compact [OPTION]...\n"
    "\n"
    "Copy what is alive in old log files and old archives into new "
    "archives, compressed, and "
    "remove\n"
    "the files that nothing refers to any more. Checkpoints are "
    "made on the way. The engine "
    "compacts\n"
    "by itself, too, when files hold much that is dead.\n";

int warp_tool_compact(int argc, char **argv)
{
    static const struct upkeep upkeep = {"compact", compact_help, warp_compact,
                                         compact_report};

    return upkeep_run(&upkeep, argc, argv);
}
