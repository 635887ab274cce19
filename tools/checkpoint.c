/* `warp checkpoint`: writes the index down. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] = "Usage: warp checkpoint [OPTION]...\n"
                           "\n"
                           "Write the index of the database to a checkpoint, so that the "
                           "next opening loads it and\n"
                           "replays only the log that was written after it began. The "
                           "engine makes checkpoints by\n"
                           "itself, too, as the log grows.\n";

int warp_tool_checkpoint(int argc, char **argv)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];
    uint64_t number, begin, records, bytes, duration_ns;
    struct warp_tool tool;
    struct warp *db = NULL;
    char *metrics = NULL;
    int exit_code;
    int rc;

    warp_tool_init(&tool, "checkpoint", help);
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
    rc = warp_checkpoint(db);
    if (rc == 0) {
        rc = warp_tool_metrics_text(db, &metrics);
    }
    if (rc != 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else {
        number = warp_tool_metrics_count(metrics, "warp_checkpoint_number");
        begin = warp_tool_metrics_count(metrics, "warp_checkpoint_begin_bytes");
        records = warp_tool_metrics_count(metrics, "warp_checkpoint_records");
        bytes = warp_tool_metrics_count(metrics, "warp_checkpoint_bytes");
        duration_ns =
            (uint64_t)(warp_tool_metrics_value(metrics, "warp_checkpoint_seconds") * 1e9);
        if (tool.json) {
            printf("{\"number\":%" PRIu64 ",\"begin\":%" PRIu64 ",\"records\":%" PRIu64
                   ",\"bytes\":%" PRIu64 ",\"duration_ns\":%" PRIu64 "}\n",
                   number, begin, records, bytes, duration_ns);
        } else {
            printf("checkpoint %" PRIu64 ": %s records, %s, in %s\n", number,
                   warp_text_count(a, records), warp_text_size(b, bytes),
                   warp_text_duration(c, duration_ns));
            printf("the next opening replays the log from position %" PRIu64 "\n", begin);
        }
    }
    free(metrics);
    return warp_tool_close(&tool, &db, exit_code);
}
