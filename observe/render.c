#include "observe/render.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RENDER_LABELS_BYTES 1024

enum render_scope { RENDER_VALUE, RENDER_SHARD, RENDER_HISTOGRAM };

void warp_render_print(struct warp_render *render, const char *format, ...)
{
    size_t left = render->bytes < render->capacity ? render->capacity - render->bytes : 0;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(left > 0 ? render->buffer + render->bytes : NULL, left, format,
                  arguments);
    va_end(arguments);
    if (n > 0) {
        render->bytes += (size_t)n;
    }
}

static bool render_ends_in(const char *text, const char *end)
{
    size_t text_bytes = strlen(text), end_bytes = strlen(end);

    return text_bytes > end_bytes && strcmp(text + text_bytes - end_bytes, end) == 0;
}

/* OpenMetrics calls the family of warp_puts_total warp_puts. */
static int render_family_bytes(const struct warp_render *render, const char *name,
                               enum warp_catalogue_kind kind)
{
    size_t bytes = strlen(name);

    if (render->format == WARP_RENDER_OPENMETRICS && kind == WARP_CATALOGUE_COUNTER &&
        render_ends_in(name, "_total")) {
        bytes -= sizeof("_total") - 1;
    }
    return (int)bytes;
}

void warp_render_family(struct warp_render *render, const char *name,
                        enum warp_catalogue_kind kind, const char *unit, const char *help)
{
    static const char *const kinds[] = {"unknown", "counter", "gauge", "histogram"};
    int bytes = render_family_bytes(render, name, kind);
    const char *at;
    char family[160];

    snprintf(family, sizeof(family), "%.*s", bytes, name);
    warp_render_print(render, "# HELP %s ", family);
    for (at = help; *at != '\0'; at++) {
        if (*at == '\\') {
            warp_render_print(render, "\\\\");
        } else if (*at == '\n') {
            warp_render_print(render, "\\n");
        } else if (*at == '"' && render->format == WARP_RENDER_OPENMETRICS) {
            warp_render_print(render, "\\\"");
        } else {
            warp_render_print(render, "%c", *at);
        }
    }
    warp_render_print(render, "\n# TYPE %s %s\n", family, kinds[kind]);
    if (render->format == WARP_RENDER_OPENMETRICS &&
        (strcmp(unit, "seconds") == 0 || strcmp(unit, "bytes") == 0)) {
        char end[32];

        snprintf(end, sizeof(end), "_%s", unit);
        if (render_ends_in(family, end)) {
            warp_render_print(render, "# UNIT %s %s\n", family, unit);
        }
    }
}

static void render_number(struct warp_render *render, double value)
{
    /* Whole numbers as such, as far as a double has them; the rest to the nanosecond. */
    if (value >= 0 && value < 9e15 && (double)(uint64_t)value >= value) {
        warp_render_print(render, "%llu\n", (unsigned long long)value);
    } else {
        warp_render_print(render, "%.9f\n", value);
    }
}

void warp_render_sample(struct warp_render *render, const char *name, const char *labels,
                        double value)
{
    warp_render_print(render, labels[0] != '\0' ? "%s{%s} " : "%s%s ", name, labels);
    render_number(render, value);
    render->samples++;
}

/* The same without the way over a double. */
static void render_value(struct warp_render *render, const struct warp_reading_row *row,
                         const char *labels, uint64_t value)
{
    if (strcmp(row->unit, "seconds") == 0) {
        warp_render_print(render, labels[0] != '\0' ? "%s{%s} %.9f\n" : "%s%s %.9f\n",
                          row->name, labels, (double)value / 1e9);
    } else if (strcmp(row->unit, "ratio") == 0) {
        warp_render_print(render, labels[0] != '\0' ? "%s{%s} %.6f\n" : "%s%s %.6f\n",
                          row->name, labels, (double)value / 1e6);
    } else {
        warp_render_print(render, labels[0] != '\0' ? "%s{%s} %llu\n" : "%s%s %llu\n",
                          row->name, labels, (unsigned long long)value);
    }
    render->samples++;
}

void warp_render_label(char *out, size_t capacity, const char *name, const char *value)
{
    size_t at = (size_t)snprintf(out, capacity, "%s=\"", name);

    /* Room for an escaped character, the quote and the zero. */
    for (; *value != '\0' && at + 4 < capacity; value++) {
        if (*value == '\\' || *value == '"') {
            out[at++] = '\\';
            out[at++] = *value;
        } else if (*value == '\n') {
            out[at++] = '\\';
            out[at++] = 'n';
        } else {
            out[at++] = *value;
        }
    }
    out[at++] = '"';
    out[at] = '\0';
}

static uint32_t render_rows(const struct warp_reading *reading)
{
    return reading->value_count + reading->shard_value_count + reading->histogram_count;
}

static enum render_scope render_scope(const struct warp_reading *reading, uint32_t row)
{
    return row < reading->value_count                                ? RENDER_VALUE
           : row < reading->value_count + reading->shard_value_count ? RENDER_SHARD
                                                                     : RENDER_HISTOGRAM;
}

/* Where a reading has a name: mostly where another one has it. UINT32_MAX: it has not. */
static uint32_t render_find(const struct warp_reading *reading, const char *name,
                            uint32_t guess)
{
    uint32_t rows = render_rows(reading), i;

    if (guess < rows && strcmp(reading->rows[guess].name, name) == 0) {
        return guess;
    }
    for (i = 0; i < rows; i++) {
        if (strcmp(reading->rows[i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void render_histogram(struct warp_render *render, const struct warp_reading *reading,
                             uint32_t row, const char *labels)
{
    const uint64_t *words = warp_reading_histogram(reading, row - reading->value_count -
                                                                reading->shard_value_count);
    const char *name = reading->rows[row].name;
    const char *comma = labels[0] != '\0' ? "," : "";
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < reading->bucket_count; i++) {
        double bound = (double)reading->bounds[i] / 1e9;

        sum += words[WARP_READING_HISTOGRAM_WORDS + i];
        /* OpenMetrics wants 1.0 where text has 1. */
        warp_render_print(render,
                          render->format == WARP_RENDER_OPENMETRICS &&
                                  reading->bounds[i] % 1000000000 == 0
                              ? "%s_bucket{%s%sle=\"%.1f\"} %llu\n"
                              : "%s_bucket{%s%sle=\"%g\"} %llu\n",
                          name, labels, comma, bound, (unsigned long long)sum);
    }
    warp_render_print(render, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
                      (unsigned long long)words[0]);
    warp_render_print(render, labels[0] != '\0' ? "%s_sum{%s} %.9f\n" : "%s_sum%s %.9f\n",
                      name, labels, (double)words[1] / 1e9);
    warp_render_print(render,
                      labels[0] != '\0' ? "%s_count{%s} %llu\n" : "%s_count%s %llu\n", name,
                      labels, (unsigned long long)words[0]);
    render->samples += reading->bucket_count + 3;
}

static void render_part(struct warp_render *render, const struct warp_render_part *part,
                        uint32_t row)
{
    const struct warp_reading *reading = part->reading;
    char labels[RENDER_LABELS_BYTES] = "";
    size_t bytes;
    uint32_t shard;

    if (part->label != NULL) {
        warp_render_label(labels, sizeof(labels) - 32, "database", part->label);
    }
    bytes = strlen(labels);
    switch (render_scope(reading, row)) {
    case RENDER_VALUE:
        if (reading->values[row] != WARP_CATALOGUE_NONE) {
            render_value(render, &reading->rows[row], labels, reading->values[row]);
        }
        break;
    case RENDER_SHARD:
        for (shard = 0; shard < reading->shard_count; shard++) {
            snprintf(labels + bytes, sizeof(labels) - bytes, "%sshard=\"%u\"",
                     bytes > 0 ? "," : "", shard);
            render_value(render, &reading->rows[row], labels,
                         reading->shards[(uint64_t)shard * reading->shard_value_count +
                                         row - reading->value_count]);
        }
        break;
    case RENDER_HISTOGRAM:
        render_histogram(render, reading, row, labels);
        break;
    }
}

static void render_build_info(struct warp_render *render,
                              const struct warp_render_part *parts, size_t count)
{
    char labels[RENDER_LABELS_BYTES], one[256];
    size_t i;

    warp_render_family(render, "warp_build_info", WARP_CATALOGUE_GAUGE, "info",
                       "The engine's version and its way to the disk.");
    for (i = 0; i < count; i++) {
        const struct warp_snapshot_about *about = &parts[i].reading->about;
        size_t at = 0;

        labels[0] = '\0';
        if (parts[i].label != NULL) {
            warp_render_label(labels, sizeof(labels) - 400, "database", parts[i].label);
            at = strlen(labels);
            labels[at++] = ',';
        }
        warp_render_label(one, sizeof(one), "version", about->version);
        at += (size_t)snprintf(labels + at, sizeof(labels) - at, "%s,", one);
        warp_render_label(one, sizeof(one), "io", about->io);
        snprintf(labels + at, sizeof(labels) - at, "%s", one);
        warp_render_sample(render, "warp_build_info", labels, 1);
    }
}

/* Whether anybody has a sample of this row: a family without samples is noise. */
static bool render_is_there(const struct warp_render_part *part, uint32_t row)
{
    return render_scope(part->reading, row) == RENDER_VALUE
               ? part->reading->values[row] != WARP_CATALOGUE_NONE
               : render_scope(part->reading, row) == RENDER_HISTOGRAM ||
                     part->reading->shard_count > 0;
}

void warp_render_readings(struct warp_render *render, const struct warp_render_part *parts,
                          size_t count, bool shards)
{
    size_t first, other;
    uint32_t row;

    if (count == 0) {
        return;
    }
    /* Each name where it is met first, with the samples of all parts behind it. */
    for (first = 0; first < count; first++) {
        const struct warp_reading *reading = parts[first].reading;

        for (row = 0; row < render_rows(reading); row++) {
            const struct warp_reading_row *about = &reading->rows[row];
            enum render_scope scope = render_scope(reading, row);
            bool done = scope == RENDER_SHARD && !shards;
            bool there = false;

            for (other = 0; other < first && !done; other++) {
                done = render_find(parts[other].reading, about->name, row) != UINT32_MAX;
            }
            for (other = first; other < count && !done && !there; other++) {
                uint32_t at = render_find(parts[other].reading, about->name, row);

                there = at != UINT32_MAX && render_is_there(&parts[other], at);
            }
            if (done || !there || render_find(reading, about->name, row) != row) {
                continue;
            }
            warp_render_family(render, about->name, about->kind, about->unit, about->help);
            for (other = first; other < count; other++) {
                uint32_t at = render_find(parts[other].reading, about->name, row);

                /* The same name may mean something else to another version. */
                if (at != UINT32_MAX &&
                    parts[other].reading->rows[at].kind == about->kind &&
                    render_scope(parts[other].reading, at) == scope) {
                    render_part(render, &parts[other], at);
                }
            }
        }
    }
    render_build_info(render, parts, count);
}
