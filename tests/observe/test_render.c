#include "observe/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

static char text[1 << 20];

static struct warp_snapshot snapshot_a, snapshot_b;
static struct warp_catalogue_shard shards_a[2], shards_b[2];
static struct warp_reading reading_a, reading_b;

static void readings(void)
{
    memset(&snapshot_a, 0, sizeof(snapshot_a));
    snapshot_a.values.records = 17;
    snapshot_a.values.recovery_ns = 1500000000;
    snapshot_a.values.checkpoint_age_ns = WARP_CATALOGUE_NONE;
    snapshot_a.values.free_bytes = UINT64_MAX - 1;
    snapshot_a.histograms[0].count = 3;
    snapshot_a.histograms[0].buckets[4] = 1;
    snapshot_a.histograms[0].buckets[6] = 1;
    snapshot_a.histograms[0].sum = 2500000000;
    snapshot_a.shards = shards_a;
    snapshot_a.shard_count = 2;
    shards_a[1].puts = 5;
    snapshot_b = snapshot_a;
    snapshot_b.values.records = 18;
    snapshot_b.values.checkpoint_age_ns = 250000000;
    snapshot_b.shards = shards_b;
    warp_snapshot_reading(&snapshot_a, &reading_a);
    warp_snapshot_reading(&snapshot_b, &reading_b);
}

static void render(const struct warp_render_part *parts, size_t count,
                   enum warp_render_format format, bool shards)
{
    struct warp_render render;

    warp_render_init(&render, text, sizeof(text), format);
    warp_render_readings(&render, parts, count, shards);
    check(warp_render_fits(&render));
}

static bool has(const char *what)
{
    bool found = strstr(text, what) != NULL;

    if (!found) {
        test_fail(__FILE__, __LINE__, "the text has no %s", what);
    }
    return found;
}

WARP_TEST(render, of_one_database_has_no_labels)
{
    const struct warp_render_part part = {&reading_a, NULL};

    readings();
    render(&part, 1, WARP_RENDER_TEXT, false);
    has("# TYPE warp_records gauge\nwarp_records 17\n");
    has("warp_recovery_seconds 1.500000000\n");
    has("warp_filesystem_free_bytes 18446744073709551614\n"); /* to the last digit */
    has("warp_log_flush_seconds_bucket{le=\"5e-06\"} 1\n");
    has("warp_log_flush_seconds_bucket{le=\"2.5e-05\"} 2\n"); /* cumulative */
    has("warp_log_flush_seconds_bucket{le=\"10\"} 2\n");
    has("warp_log_flush_seconds_bucket{le=\"+Inf\"} 3\n");
    has("warp_log_flush_seconds_sum 2.500000000\n");
    check(strstr(text, "{shard=") == NULL);
    check(strstr(text, "warp_checkpoint_age_seconds") == NULL); /* there is none */
}

WARP_TEST(render, keeps_all_samples_of_a_name_together)
{
    const struct warp_render_part parts[] = {{&reading_a, "a"}, {&reading_b, "b"}};
    const char *line;
    char family[160] = "";

    readings();
    render(parts, 2, WARP_RENDER_TEXT, true);
    has("warp_records{database=\"a\"} 17\nwarp_records{database=\"b\"} 18\n");
    has("warp_checkpoint_age_seconds{database=\"b\"} 0.250000000\n");
    check(strstr(text, "warp_checkpoint_age_seconds{database=\"a\"}") == NULL);
    has("warp_shard_puts_total{database=\"a\",shard=\"0\"} 0\n"
        "warp_shard_puts_total{database=\"a\",shard=\"1\"} 5\n");
    has("warp_log_flush_seconds_bucket{database=\"b\",le=\"+Inf\"} 3\n");
    has("warp_build_info{database=\"a\",version=\"\",io=\"\"} 1\n");
    /* A family begins once, and what follows belongs to it. */
    for (line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t bytes = strcspn(line + 7, " ");
            char again[200];

            snprintf(family, sizeof(family), "%.*s", (int)bytes, line + 7);
            snprintf(again, sizeof(again), "\n# HELP %s ", family);
            check(strstr(line, again) == NULL);
        } else if (line[0] != '#') {
            check(strncmp(line, family, strlen(family)) == 0);
        }
    }
}

WARP_TEST(render, as_openmetrics_calls_families_of_counters_without_total)
{
    const struct warp_render_part part = {&reading_a, NULL};

    readings();
    render(&part, 1, WARP_RENDER_OPENMETRICS, false);
    has("# TYPE warp_puts counter\nwarp_puts_total 0\n");
    has("# TYPE warp_disk_read_bytes counter\n# UNIT warp_disk_read_bytes bytes\n"
        "warp_disk_read_bytes_total 0\n");
    has("# UNIT warp_log_flush_seconds seconds\n");
    has("le=\"1.0\"");
    has("le=\"10.0\"");
}

WARP_TEST(render, escapes_names_of_databases)
{
    const struct warp_render_part part = {&reading_a, "a\"b\\c\nd"};

    readings();
    render(&part, 1, WARP_RENDER_TEXT, false);
    has("warp_records{database=\"a\\\"b\\\\c\\nd\"} 17\n");
}

/* A name that is longer than the room for labels is cut, and the text keeps its form. */
WARP_TEST(render, cuts_a_name_that_is_too_long)
{
    static char name[5000];
    const struct warp_render_part part = {&reading_a, name};

    readings();
    memset(name, '"', sizeof(name) - 1);
    render(&part, 1, WARP_RENDER_TEXT, true);
    has("\"} 17\n");
    has("\",shard=\"1\"} 5\n");
    has("\",version=\"\",io=\"\"} 1\n");
}

/* Another version: a metric more, another kind, the rest elsewhere. */
WARP_TEST(render, of_two_versions_does_not_mix_them)
{
    static struct warp_reading_row other[WARP_SNAPSHOT_ROWS_MAX];
    static uint64_t values[3] = {1, 2, 3};
    struct warp_reading reading;
    const struct warp_render_part parts[] = {{&reading_a, "old"}, {&reading, "new"}};

    readings();
    reading = reading_a;
    reading.rows = other;
    reading.value_count = 3;
    reading.shard_value_count = reading.histogram_count = 0;
    reading.values = values;
    other[0] =
        (struct warp_reading_row){"warp_new", "things", "New.", "", WARP_CATALOGUE_GAUGE};
    other[1] = (struct warp_reading_row){"warp_records", "records", "Records.", "",
                                         WARP_CATALOGUE_GAUGE};
    other[2] = (struct warp_reading_row){"warp_shards", "shards", "Not the same.", "",
                                         WARP_CATALOGUE_COUNTER};
    render(parts, 2, WARP_RENDER_TEXT, true);
    has("warp_records{database=\"old\"} 17\nwarp_records{database=\"new\"} 2\n");
    has("# TYPE warp_new gauge\nwarp_new{database=\"new\"} 1\n");
    check(strstr(text, "warp_shards{database=\"new\"}") == NULL);
}

WARP_TEST(render, says_how_much_room_it_needs)
{
    const struct warp_render_part part = {&reading_a, NULL};
    struct warp_render small, whole;
    char *buffer;

    readings();
    warp_render_init(&small, NULL, 0, WARP_RENDER_TEXT);
    warp_render_readings(&small, &part, 1, true);
    check(!warp_render_fits(&small));
    buffer = malloc(small.bytes + 1);
    warp_render_init(&whole, buffer, small.bytes + 1, WARP_RENDER_TEXT);
    warp_render_readings(&whole, &part, 1, true);
    check(warp_render_fits(&whole));
    check_u64(whole.bytes, ==, small.bytes);
    check_u64(strlen(buffer), ==, small.bytes);
    warp_render_init(&whole, buffer, small.bytes, WARP_RENDER_TEXT);
    warp_render_readings(&whole, &part, 1, true);
    check(!warp_render_fits(&whole)); /* one less will not do */
    free(buffer);
}
