/* `warp compact`: gives back the space of what is dead. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] = "Usage: warp compact [OPTION]...\n"
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
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];
    uint64_t records, raw_bytes, stored_bytes, removed, disk_bytes;
    struct warp_tool tool;
    struct warp *db = NULL;
    char *metrics = NULL;
    int exit_code;
    int rc;

    warp_tool_init(&tool, "compact", help);
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
    rc = warp_compact(db);
    if (rc == 0) {
        rc = warp_tool_metrics_text(db, &metrics);
    }
    if (rc != 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else {
        records = warp_tool_metrics_count(metrics, "warp_compaction_records_total");
        raw_bytes = warp_tool_metrics_count(metrics, "warp_compaction_raw_bytes_total");
        stored_bytes =
            warp_tool_metrics_count(metrics, "warp_compaction_stored_bytes_total");
        removed = warp_tool_metrics_count(metrics, "warp_compaction_files_removed_total");
        disk_bytes = warp_tool_metrics_count(metrics, "warp_disk_bytes");
        if (tool.json) {
            printf("{\"records\":%" PRIu64 ",\"raw_bytes\":%" PRIu64
                   ",\"stored_bytes\":%" PRIu64 ",\"files_removed\":%" PRIu64
                   ",\"disk_bytes\":%" PRIu64 "}\n",
                   records, raw_bytes, stored_bytes, removed, disk_bytes);
        } else {
            printf("%s records moved, %s compressed to %s\n", warp_text_count(a, records),
                   warp_text_size(b, raw_bytes), warp_text_size(c, stored_bytes));
            printf("%s files removed, the log and the archives now take %s\n",
                   warp_text_count(a, removed), warp_text_size(b, disk_bytes));
        }
    }
    free(metrics);
    return warp_tool_close(&tool, &db, exit_code);
}
