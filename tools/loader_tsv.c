#include "tools/loader_tsv.h"

#include <stdio.h>
#include <string.h>

struct line_context {
    struct warp_loader_tsv *loader;
    const struct warp_loader_sink *sink;
};

/* Take the escapes out of a column in place. False: there is one that we do not know. */
static bool column_decode(char *text, size_t bytes, struct warp_slice *out)
{
    char *from = memchr(text, '\\', bytes);
    char *end = text + bytes;
    char *to = from;

    if (from == NULL) {
        *out = (struct warp_slice){text, bytes};
        return true;
    }
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        if (++from == end) {
            return false;
        }
        switch (*from++) {
        case 't':
            *to++ = '\t';
            break;
        case 'n':
            *to++ = '\n';
            break;
        case 'r':
            *to++ = '\r';
            break;
        case '\\':
            *to++ = '\\';
            break;
        case '0':
            *to++ = '\0';
            break;
        default:
            return false;
        }
    }
    *out = (struct warp_slice){text, (size_t)(to - text)};
    return true;
}

static int tsv_line(void *context, char *text, size_t bytes)
{
    struct line_context *line = context;
    const struct warp_loader_sink *sink = line->sink;
    struct warp_loader_record record = {{NULL, 0}, {NULL, 0}, 0, line->loader->lines.line};
    char sentence[96];
    size_t key_bytes;
    char *tab;

    if (text == NULL) {
        snprintf(sentence, sizeof(sentence), "the line is longer than %zu bytes", bytes);
        return sink->bad(sink->context, record.line, sentence);
    }
    if (bytes == 0) {
        return 0;
    }
    tab = memchr(text, '\t', bytes);
    if (tab == NULL) {
        return sink->bad(sink->context, record.line,
                         "there is no tab between key and value");
    }
    key_bytes = (size_t)(tab - text);
    if (memchr(tab + 1, '\t', bytes - key_bytes - 1) != NULL) {
        return sink->bad(sink->context, record.line,
                         "there is a third column (a tab inside a value is written \\t)");
    }
    if (!column_decode(text, key_bytes, &record.key) ||
        !column_decode(tab + 1, bytes - key_bytes - 1, &record.value)) {
        return sink->bad(sink->context, record.line,
                         "a backslash must begin one of \\t \\n \\r \\\\ \\0");
    }
    if (record.key.bytes == 0) {
        return sink->bad(sink->context, record.line, "the key is empty");
    }
    if (record.key.bytes > WARP_KEY_BYTES_MAX) {
        return sink->bad(sink->context, record.line, "the key is longer than 65,536 bytes");
    }
    if (record.value.bytes > WARP_VALUE_BYTES_MAX) {
        return sink->bad(sink->context, record.line,
                         "the value is longer than 33,554,432 bytes");
    }
    return sink->record(sink->context, &record);
}

int warp_loader_tsv_init(struct warp_loader_tsv *loader)
{
    warp_lines_init(&loader->lines, WARP_LOADER_TSV_LINE_BYTES_MAX);
    return 0;
}

void warp_loader_tsv_fini(struct warp_loader_tsv *loader)
{
    warp_lines_fini(&loader->lines);
}

int warp_loader_tsv_feed(struct warp_loader_tsv *loader, const void *data, size_t bytes,
                         const struct warp_loader_sink *sink)
{
    struct line_context context = {loader, sink};

    return warp_lines_feed(&loader->lines, data, bytes, tsv_line, &context);
}

int warp_loader_tsv_finish(struct warp_loader_tsv *loader,
                           const struct warp_loader_sink *sink)
{
    struct line_context context = {loader, sink};

    return warp_lines_finish(&loader->lines, tsv_line, &context);
}
