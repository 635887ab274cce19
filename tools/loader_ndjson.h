/*
 * tools/loader_ndjson.h - reads one JSON object per line as one record.
 *
 * JSON is RFC 8259, strictly: valid UTF-8, no lone surrogates, no trailing commas, at most 64
 * levels deep. A line is one of two things:
 *
 *   pairs       {"key":"...","value":"..."}, nothing else in it and nothing twice; "key_base64"
 *               or "value_base64" stand for bytes that are no UTF-8; "expires_at_ms" (Unix
 *               time) may be there.
 *   with a key  any object that has one member `key_field`, a string or a number: that is the
 *   field       key, and the object, from brace to brace as it was written, is the value.
 *
 * Empty lines are passed over.
 *
 * Threads:   one at a time.
 * Lifetime:  the struct is the caller's; key_field must outlive it.
 * Units:     bytes; a line is at most WARP_LOADER_NDJSON_LINE_BYTES_MAX.
 * Ordering:  records come in the order of the lines.
 * Errors:    WARP_EINVAL (key_field is longer than 255 bytes), WARP_ENOMEM, or what a
 *            callback of the sink returned. What is wrong with a line goes to sink->bad,
 *            and loading goes on behind that line if it returns 0.
 * Cost:      two passes over each byte; strings are decoded in place.
 */
#ifndef WARP_TOOLS_LOADER_NDJSON_H
#define WARP_TOOLS_LOADER_NDJSON_H

#include "tools/lines.h"
#include "tools/record.h"

/* The largest key and value with every byte written as \u00xx. */
#define WARP_LOADER_NDJSON_LINE_BYTES_MAX                                                  \
    (6 * ((size_t)WARP_KEY_BYTES_MAX + (size_t)WARP_VALUE_BYTES_MAX) + 4096)

struct warp_loader_ndjson {
    struct warp_lines lines;
    const char *key_field; /* NULL: pairs */
    char *key;             /* WARP_KEY_BYTES_MAX bytes, where key_field is given */
};

int warp_loader_ndjson_init(struct warp_loader_ndjson *loader, const char *key_field);
void warp_loader_ndjson_fini(struct warp_loader_ndjson *loader);
int warp_loader_ndjson_feed(struct warp_loader_ndjson *loader, const void *data,
                            size_t bytes, const struct warp_loader_sink *sink);
int warp_loader_ndjson_finish(struct warp_loader_ndjson *loader,
                              const struct warp_loader_sink *sink);

#endif
