/*
 * tools/lines.h - cuts a stream of bytes into lines, however the stream was cut before.
 *
 * Threads:   one at a time.
 * Lifetime:  the struct is the caller's; its buffer is ours, as long as the longest line so
 *            far. A line lives, and may be changed, until the callback returns.
 * Units:     bytes; lines count from 1. The closing newline is no part of a line.
 * Ordering:  as in the stream.
 * Errors:    WARP_ENOMEM, or what the callback returned. A line longer than the limit is
 *            not kept: the callback gets NULL once, with the limit, where it would have
 *            come.
 * Cost:      one copy and one memchr.
 */
#ifndef WARP_TOOLS_LINES_H
#define WARP_TOOLS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct warp_lines {
    char *buffer;
    size_t bytes, capacity, line_bytes_max;
    uint64_t line; /* number of the line that the callback is shown */
    bool discard;  /* inside a line that was too long */
};

/* text is NULL for a line that was too long. Non-zero ends the feeding. */
typedef int (*warp_lines_visitor)(void *context, char *text, size_t bytes);

void warp_lines_init(struct warp_lines *lines, size_t line_bytes_max);
void warp_lines_fini(struct warp_lines *lines);
int warp_lines_feed(struct warp_lines *lines, const void *data, size_t bytes,
                    warp_lines_visitor visit, void *context);
/* The stream is over: shows what stood behind the last newline, if anything. */
int warp_lines_finish(struct warp_lines *lines, warp_lines_visitor visit, void *context);

/* Make room for `bytes`, at least doubling. 0 or WARP_ENOMEM; *buffer is untouched then. */
int warp_lines_reserve(char **buffer, size_t *capacity, size_t bytes);

#endif
