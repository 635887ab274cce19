/*
 * tools/loader_tsv.h - reads key<TAB>value lines as records.
 *
 * Inside key and value \t, \n, \r, \\ and \0 stand for tab, newline, carriage return,
 * backslash and the zero byte; any other byte stands for itself, so every key and value can
 * be written. Empty lines are passed over. There is no header line and no third column.
 *
 * Threads:   one at a time.
 * Lifetime:  the struct is the caller's.
 * Units:     bytes; a line is at most WARP_LOADER_TSV_LINE_BYTES_MAX.
 * Ordering:  records come in the order of the lines.
 * Errors:    as in tools/loader_ndjson.h.
 * Cost:      two passes over each byte, decoded in place.
 */
#ifndef WARP_TOOLS_LOADER_TSV_H
#define WARP_TOOLS_LOADER_TSV_H

#include "tools/lines.h"
#include "tools/record.h"

/* The largest key and value with every byte escaped. */
#define WARP_LOADER_TSV_LINE_BYTES_MAX                                                     \
    (2 * ((size_t)WARP_KEY_BYTES_MAX + (size_t)WARP_VALUE_BYTES_MAX) + 1)

struct warp_loader_tsv {
    struct warp_lines lines;
};

int warp_loader_tsv_init(struct warp_loader_tsv *loader);
void warp_loader_tsv_fini(struct warp_loader_tsv *loader);
int warp_loader_tsv_feed(struct warp_loader_tsv *loader, const void *data, size_t bytes,
                         const struct warp_loader_sink *sink);
int warp_loader_tsv_finish(struct warp_loader_tsv *loader,
                           const struct warp_loader_sink *sink);

#endif
