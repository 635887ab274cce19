/*
 * base/notice.h - rare sentences for whoever runs the engine.
 *
 * The library prints nothing: what must be said goes to a function of the owner's, and no
 * more often than a limit, with the number of sentences left out.
 *
 * Threads:   init by the owner; say by any thread.
 * Lifetime:  embedded; sink, clock and context must outlive it.
 * Units:     nanoseconds between two sentences.
 * Ordering:  relaxed: two threads that speak at once may be written in any order.
 * Errors:    none; a sentence longer than 511 bytes is cut.
 * Cost:      one atomic operation when refused; formatting when not. Never on a hot path.
 */
#ifndef BASE_NOTICE_H
#define BASE_NOTICE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"

/* Visible because it is embedded. */
struct warp_notice {
    /* Set by init, constant afterwards. */
    void (*sink)(void *context, const char *text);
    void *context;
    const struct warp_clock *clock;
    uint64_t interval_ns;

    /* Any thread. */
    _Atomic uint64_t next_ns; /* when the next one may be said */
    _Atomic uint64_t left_out;
};

/* sink may be NULL: nothing is said, everything counts as left out. */
void warp_notice_init(struct warp_notice *notice, const struct warp_clock *clock,
                      uint64_t interval_ns, void (*sink)(void *context, const char *text),
                      void *context);

void warp_notice_say(struct warp_notice *notice, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How many were left out since the last one that was said. */
uint64_t warp_notice_left_out(const struct warp_notice *notice);

#endif
