#include "tools/metrics.h"

#include <stdlib.h>
#include <string.h>

int warp_tool_metrics_text(struct warp *db, char **text)
{
    size_t capacity = 64 * 1024;

    for (;;) {
        char *buffer = malloc(capacity);
        size_t bytes = 0;
        int rc;

        if (buffer == NULL) {
            return WARP_ENOMEM;
        }
        rc = warp_metrics_render(db, buffer, capacity, &bytes);
        if (rc == 0) {
            *text = buffer;
            return 0;
        }
        free(buffer);
        if (rc != WARP_TRUNCATED) {
            return rc;
        }
        capacity = bytes > capacity ? bytes + 4096 : capacity * 2;
    }
}

int warp_tool_metrics_view(struct warp *db, struct warp_source_view *view)
{
    size_t bytes = 0;
    int rc = warp_metrics_snapshot(db, view->image, WARP_SNAPSHOT_IMAGE_MAX, &bytes);

    if (rc == 0) {
        rc = warp_snapshot_read(view->image, bytes, view->rows, &view->reading);
    }
    view->has_values = rc == 0;
    view->state = rc == 0 ? WARP_SOURCE_RUNNING : WARP_SOURCE_BROKEN;
    return rc == WARP_TRUNCATED ? WARP_EINVAL : rc;
}

char *warp_tool_metrics_of(const struct warp_reading *reading,
                           enum warp_render_format format, bool shards)
{
    const struct warp_render_part part = {reading, NULL};
    struct warp_render render;
    char *text = NULL;
    size_t capacity = 0;

    do {
        free(text);
        capacity = capacity == 0 ? 64 * 1024 : render.bytes + 1;
        text = malloc(capacity);
        if (text == NULL) {
            return NULL;
        }
        warp_render_init(&render, text, capacity, format);
        warp_render_readings(&render, &part, 1, shards);
        if (format == WARP_RENDER_OPENMETRICS) {
            warp_render_print(&render, "# EOF\n");
        }
    } while (!warp_render_fits(&render));
    return text;
}

bool warp_tool_metrics_next(const char **at, struct warp_tool_sample *sample)
{
    while (**at != '\0') {
        const char *line = *at;
        const char *end = line + strcspn(line, "\n");
        size_t name_bytes = strcspn(line, "{ \n");
        const char *rest = line + name_bytes;

        *at = *end == '\n' ? end + 1 : end;
        if (*line == '#' || name_bytes == 0) {
            continue;
        }
        sample->name = (struct warp_slice){line, name_bytes};
        sample->labels = (struct warp_slice){rest, 0};
        if (*rest == '{') {
            bool quoted = false;

            rest++;
            sample->labels.data = rest;
            while (rest < end && (quoted || *rest != '}')) {
                if (*rest == '\\' && quoted && rest + 1 < end) {
                    rest++;
                } else if (*rest == '"') {
                    quoted = !quoted;
                }
                rest++;
            }
            if (rest == end) {
                continue;
            }
            sample->labels.bytes = (size_t)(rest - (const char *)sample->labels.data);
            rest++;
        }
        rest += strspn(rest, " ");
        sample->value = (struct warp_slice){rest, strcspn(rest, " \n")};
        if (sample->value.bytes > 0) {
            return true;
        }
    }
    return false;
}

bool warp_tool_metrics_is_number(const struct warp_tool_sample *sample)
{
    const char *text = sample->value.data;
    size_t digits = 0;

    for (size_t i = 0; i < sample->value.bytes; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            digits++;
        } else if (strchr("+-.eE", text[i]) == NULL || (i == 0 && text[i] != '-')) {
            return false;
        }
    }
    return digits > 0;
}

double warp_tool_metrics_value(const char *text, const char *name)
{
    struct warp_tool_sample sample;

    while (warp_tool_metrics_next(&text, &sample)) {
        if (sample.labels.bytes == 0 && sample.name.bytes == strlen(name) &&
            memcmp(sample.name.data, name, sample.name.bytes) == 0) {
            return strtod(sample.value.data, NULL);
        }
    }
    return -1;
}

uint64_t warp_tool_metrics_count(const char *text, const char *name)
{
    double value = warp_tool_metrics_value(text, name);

    return value > 0 ? (uint64_t)value : 0;
}
