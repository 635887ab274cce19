#include "tools/lines.h"

#include <stdlib.h>
#include <string.h>

#include "warp/warp.h"

void warp_lines_init(struct warp_lines *lines, size_t line_bytes_max)
{
    memset(lines, 0, sizeof(*lines));
    lines->line_bytes_max = line_bytes_max;
}

void warp_lines_fini(struct warp_lines *lines)
{
    free(lines->buffer);
    memset(lines, 0, sizeof(*lines));
}

int warp_lines_reserve(char **buffer, size_t *capacity, size_t bytes)
{
    size_t wanted = *capacity < 4096 ? 4096 : *capacity;
    char *grown;

    if (bytes <= *capacity) {
        return 0;
    }
    while (wanted < bytes) {
        if (wanted > SIZE_MAX / 2) {
            return WARP_ENOMEM;
        }
        wanted *= 2;
    }
    grown = realloc(*buffer, wanted);
    if (grown == NULL) {
        return WARP_ENOMEM;
    }
    *buffer = grown;
    *capacity = wanted;
    return 0;
}

/* Append to the unfinished line, unless that makes it too long. */
static int lines_append(struct warp_lines *lines, const char *data, size_t bytes)
{
    int rc;

    if (lines->discard) {
        return 0;
    }
    if (bytes > lines->line_bytes_max - lines->bytes) {
        lines->discard = true;
        lines->bytes = 0;
        return 0;
    }
    rc = warp_lines_reserve(&lines->buffer, &lines->capacity, lines->bytes + bytes + 1);
    if (rc < 0) {
        return rc;
    }
    memcpy(lines->buffer + lines->bytes, data, bytes);
    lines->bytes += bytes;
    return 0;
}

/* The line is complete: show it. */
static int lines_show(struct warp_lines *lines, warp_lines_visitor visit, void *context)
{
    bool discard = lines->discard;
    size_t bytes = lines->bytes;

    lines->line++;
    lines->bytes = 0;
    lines->discard = false;
    if (discard) {
        return visit(context, NULL, lines->line_bytes_max);
    }
    return visit(context, lines->buffer, bytes);
}

int warp_lines_feed(struct warp_lines *lines, const void *data, size_t bytes,
                    warp_lines_visitor visit, void *context)
{
    const char *from = data;
    const char *end = from + bytes;

    while (from < end) {
        const char *newline = memchr(from, '\n', (size_t)(end - from));
        const char *stop = newline != NULL ? newline : end;
        int rc = lines_append(lines, from, (size_t)(stop - from));

        if (rc < 0) {
            return rc;
        }
        if (newline == NULL) {
            return 0;
        }
        rc = lines_show(lines, visit, context);
        if (rc != 0) {
            return rc;
        }
        from = newline + 1;
    }
    return 0;
}

int warp_lines_finish(struct warp_lines *lines, warp_lines_visitor visit, void *context)
{
    if (lines->bytes == 0 && !lines->discard) {
        return 0;
    }
    return lines_show(lines, visit, context);
}
