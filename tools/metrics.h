/*
 * tools/metrics.h - reads the metrics text of an open database, sample by sample.
 *
 * The text is the Prometheus exposition format, version 0.0.4: lines "name value" or
 * "name{labels} value", and lines that begin with '#'.
 *
 * Threads:   any.
 * Lifetime:  warp_tool_metrics_text() answers memory from malloc that the caller frees;
 *            samples point into the text.
 * Units:     each metric's own.
 * Ordering:  as in the text.
 * Errors:    a line that is no sample is passed over.
 * Cost:      linear in the text.
 */
#ifndef WARP_TOOLS_METRICS_H
#define WARP_TOOLS_METRICS_H

#include <stdbool.h>

#include "observe/render.h"
#include "serve/source.h"
#include "warp/warp.h"

struct warp_tool_sample {
    struct warp_slice name, labels, value; /* labels without their braces */
};

/* A reading as text, without labels; of shards if wanted. Free it. NULL: no memory. */
char *warp_tool_metrics_of(const struct warp_reading *reading,
                           enum warp_render_format format, bool shards);

/* What a database of this process says, of its shards too, as if it were another's. 0 or < 0. */
int warp_tool_metrics_view(struct warp *db, struct warp_source_view *view);

/* 0, or < 0 as warp_metrics_render(). *text is closed with a zero. */
int warp_tool_metrics_text(struct warp *db, char **text);
/* The next sample at *at, which moves on. False at the end. */
bool warp_tool_metrics_next(const char **at, struct warp_tool_sample *sample);
/* Is the value a number that JSON knows (no NaN, no Inf)? */
bool warp_tool_metrics_is_number(const struct warp_tool_sample *sample);

/* The value of the metric called so, without labels; -1: there is none. */
double warp_tool_metrics_value(const char *text, const char *name);
/* As a count: 0 if there is none; exact up to 2^53. */
uint64_t warp_tool_metrics_count(const char *text, const char *name);

#endif
