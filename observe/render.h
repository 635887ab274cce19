/*
 * observe/render.h - writes readings as the text that Prometheus reads.
 *
 * All samples of one name stand together behind its HELP and TYPE, also when there are several
 * databases, and a name comes once: collectors drop what is otherwise.
 *
 * Threads:   any.
 * Lifetime:  the caller's buffer.
 * Units:     seconds where the name says so; what is held in nanoseconds is divided.
 * Ordering:  none.
 * Errors:    none: text that does not fit is counted and not written, see warp_render_fits().
 * Cost:      about 100 us a database.
 */
#ifndef OBSERVE_RENDER_H
#define OBSERVE_RENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "observe/snapshot.h"

enum warp_render_format {
    WARP_RENDER_TEXT,        /* Prometheus text format 0.0.4 */
    WARP_RENDER_OPENMETRICS, /* OpenMetrics 1.0.0; who writes the text closes it with "# EOF" */
};

struct warp_render {
    char *buffer; /* may be NULL if capacity is 0 */
    size_t capacity;
    size_t bytes; /* written, or that would have been */
    uint32_t samples;
    enum warp_render_format format;
};

/* One database. label is its name, or NULL: then its samples have no label. */
struct warp_render_part {
    const struct warp_reading *reading;
    const char *label;
};

static inline void warp_render_init(struct warp_render *render, char *buffer,
                                    size_t capacity, enum warp_render_format format)
{
    *render = (struct warp_render){buffer, capacity, 0, 0, format};
}

/* With room for the closing zero. */
static inline bool warp_render_fits(const struct warp_render *render)
{
    return render->bytes < render->capacity;
}

void warp_render_print(struct warp_render *render, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* HELP and TYPE, once before the samples of a name; unit "seconds", "bytes", or anything else. */
void warp_render_family(struct warp_render *render, const char *name,
                        enum warp_catalogue_kind kind, const char *unit, const char *help);
/* A sample; labels as {a="b"} without the brackets, or "". */
void warp_render_sample(struct warp_render *render, const char *name, const char *labels,
                        double value);

/* name="value" into out, with what must be escaped escaped; cut if it is too long. */
void warp_render_label(char *out, size_t capacity, const char *name, const char *value);

/* All metrics of all parts; those of shards only if asked for. */
void warp_render_readings(struct warp_render *render, const struct warp_render_part *parts,
                          size_t count, bool shards);

#endif
