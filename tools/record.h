/*
 * tools/record.h - what comes out of a loader: one record at a time, or what is wrong with
 * one.
 *
 * Threads:   a sink is called on the thread that feeds the loader.
 * Lifetime:  slices and sentences live until the callback returns.
 * Units:     lines count from 1; expires_at_ms is Unix time, 0 means never.
 * Ordering:  records come in the order of the input.
 * Errors:    a callback that returns non-zero ends the loading; the loader returns that
 *            number.
 * Cost:      one indirect call per record.
 */
#ifndef WARP_TOOLS_RECORD_H
#define WARP_TOOLS_RECORD_H

#include <stdint.h>

#include "warp/warp.h"

struct warp_loader_record {
    struct warp_slice key, value;
    uint64_t expires_at_ms;
    uint64_t line; /* where it begins */
};

struct warp_loader_sink {
    int (*record)(void *context, const struct warp_loader_record *record);
    /* What stands at `line` is no record; 0 goes on with the next one. */
    int (*bad)(void *context, uint64_t line, const char *sentence);
    void *context;
};

#endif
