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

/* What exporters add, and what has labels of its own. */
#define SHOW_KIND_counter WARP_CATALOGUE_COUNTER
#define SHOW_KIND_gauge   WARP_CATALOGUE_GAUGE
#define SHOW_ROW(field, name, kind, unit, help, worry)                                     \
    {name, unit, help, worry, SHOW_KIND_##kind},
static const struct warp_reading_row more_rows[] = {
    {"warp_build_info", "flag",
     "1; the engine's version and its way to the disk as labels.", "",
     WARP_CATALOGUE_GAUGE},
    {"warp_database_state", "flag",
     "1 for the state that the database is in, 0 for all others.", "",
     WARP_CATALOGUE_GAUGE},
    WARP_WATCH_METRICS(SHOW_ROW) WARP_EXPORTER_METRICS(SHOW_ROW)};

static void print_rows(bool json, const struct warp_reading_row *row, size_t count,
                       const char *scope, bool first)
{
    for (; count > 0; count--, row++, first = false) {
        if (!json) {
            printf("%s\t%s\t%s\t%s\t%s\t%s\n", row->name, kinds[row->kind], row->unit,
                   scope, row->help, row->worry);
            continue;
        }
        printf("%s{\"name\":\"%s\",\"kind\":\"%s\",\"unit\":\"%s\",\"of\":\"%s\",\"help\":",
               first ? "[" : ",\n ", row->name, kinds[row->kind], row->unit, scope);
        warp_text_write_json_string(stdout, row->help, strlen(row->help));
        fputs(",\"worry\":", stdout);
        warp_text_write_json_string(stdout, row->worry, strlen(row->worry));
        putchar('}');
    }
}

static void print_catalogue(bool json)
{
    const struct warp_reading_row *rows = warp_snapshot_catalogue();

    print_rows(json, rows, WARP_CATALOGUE_VALUES, "database", true);
    rows += WARP_CATALOGUE_VALUES;
    print_rows(json, rows, WARP_CATALOGUE_SHARD_VALUES, "shard", false);
    rows += WARP_CATALOGUE_SHARD_VALUES;
    print_rows(json, rows, WARP_CATALOGUE_HISTOGRAMS, "database", false);
    print_rows(json, more_rows, sizeof(more_rows) / sizeof(more_rows[0]), "exporter",
               false);
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
