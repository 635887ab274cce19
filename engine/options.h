/*
 * engine/options.h - defaults, bounds, presets, and the sentence for a value that is refused.
 *
 * Threads:   any.
 * Lifetime:  nothing is kept.
 * Units:     as in include/warp/warp.h.
 * Ordering:  none.
 * Errors:    WARP_EINVAL with a sentence.
 * Cost:      only at open.
 *
 * A struct that may grow says its size first. A caller built against an older header has a shorter
 * one: the rest is filled with defaults. One built against a newer header has a longer one: what
 * we do not know must be zero.
 */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H

#include <stddef.h>

#include "base/env.h"
#include "warp/warp.h"

/* Copy a sized struct over one with defaults. WARP_EINVAL if its size makes no sense or its unknown
 * tail is not zero. */
int warp_options_copy(void *known, size_t known_bytes, const void *given,
                      size_t least_bytes);

/* out gets what was given (may be NULL) completed by presets, environment and machine. */
int warp_options_complete(const struct warp_options *given, struct warp_options *out,
                          char *message, size_t message_bytes);

/* Fill in the limits that env leaves open. */
void warp_options_limits(const struct warp_options *options, struct warp_env *env);

#endif
