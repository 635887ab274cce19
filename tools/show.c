/* `warp metrics`: what the process that has a database open, or had, publishes; and the catalogue. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/source.h"
#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp metrics [OPTION]...\n"
    "\n"
    "Print the metrics that the process which has the database open publishes in the file\n"
    "METRICS, in Prometheus text; of a database that is closed, or whose process died, the "
    "last\n"
    "ones. Nothing is opened, locked or waited for. A first line says how things stand.\n"
    "\n"
    "  --shards               those of each shard, too\n"
    "  --openmetrics          OpenMetrics text\n"
    "  --catalogue            print what there is and what it means instead; needs no "
    "database\n";

enum { OPTION_SHARDS = 1, OPTION_OPENMETRICS, OPTION_CATALOGUE };

static const char *const kinds[] = {"", "counter", "gauge", "histogram"};

static void print_catalogue(bool json)
{
    static const char *const scopes[] = {"database", "shard", "database"};
    const struct warp_reading_row *rows = warp_snapshot_catalogue();
    const uint32_t counts[] = {WARP_CATALOGUE_VALUES, WARP_CATALOGUE_SHARD_VALUES,
                               WARP_CATALOGUE_HISTOGRAMS};
    uint32_t row = 0;

    for (size_t part = 0; part < 3; part++) {
        for (uint32_t i = 0; i < counts[part]; i++, row++) {
            if (!json) {
                printf("%s\t%s\t%s\t%s\t%s\t%s\n", rows[row].name, kinds[rows[row].kind],
                       rows[row].unit, scopes[part], rows[row].help, rows[row].worry);
                continue;
            }
            printf("%s{\"name\":\"%s\",\"kind\":\"%s\",\"unit\":\"%s\",\"of\":\"%s\","
                   "\"help\":",
                   row > 0 ? ",\n " : "[", rows[row].name, kinds[rows[row].kind],
                   rows[row].unit, scopes[part]);
            warp_text_write_json_string(stdout, rows[row].help, strlen(rows[row].help));
            fputs(",\"worry\":", stdout);
            warp_text_write_json_string(stdout, rows[row].worry, strlen(rows[row].worry));
            putchar('}');
        }
    }
    if (json) {
        puts("]");
    }
}

int warp_tool_metrics(int argc, char **argv)
{
    static const struct option own[] = {
        {"shards", no_argument, NULL, OPTION_SHARDS}, /* here it counts nothing */
        {"openmetrics", no_argument, NULL, OPTION_OPENMETRICS},
        {"catalogue", no_argument, NULL, OPTION_CATALOGUE},
        {NULL, 0, NULL, 0},
    };
    struct warp_source_view *view = NULL;
    struct warp *none = NULL;
    struct warp_tool tool;
    bool shards = false, openmetrics = false, catalogue = false;
    int exit_code = 0;
    char *text;
    int code;

    warp_tool_init(&tool, "metrics", help);
    while ((code = warp_tool_next(&tool, argc, argv, own)) > 0) {
        shards = shards || code == OPTION_SHARDS;
        openmetrics = openmetrics || code == OPTION_OPENMETRICS;
        catalogue = catalogue || code == OPTION_CATALOGUE;
    }
    if (code < 0) {
        return tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&tool, "'%s' is one argument too many", argv[optind]);
    }
    if (catalogue) {
        print_catalogue(tool.json);
        return warp_tool_close(&tool, &none, 0);
    }
    if (warp_source_create(&view) != 0) {
        return warp_tool_error(&tool, "no memory");
    }
    warp_source_look(view, tool.path);
    if (!view->has_values) {
        exit_code = warp_tool_error(&tool, "%s: %s", tool.path, view->why);
    } else {
        text = warp_tool_metrics_of(
            &view->reading, openmetrics ? WARP_RENDER_OPENMETRICS : WARP_RENDER_TEXT,
            shards);
        if (text == NULL) {
            exit_code = warp_tool_error(&tool, "no memory");
        } else {
            /* OpenMetrics allows no comments. */
            if (!openmetrics) {
                printf("# %s: %s, %.3f s ago\n", warp_source_state_text(view->state),
                       view->why, (double)view->age_ns / 1e9);
            }
            fputs(text, stdout);
        }
        free(text);
    }
    warp_source_destroy(&view);
    return warp_tool_close(&tool, &none, exit_code);
}
