/*
 * serve/source.h - the metrics of a database that some other process has open, or had.
 *
 * Reads the file METRICS of its directory, and asks the lock and the process table whether who wrote
 * it is there. Nothing of the engine is touched, mapped, locked or waited for, so it does not matter
 * what state that process is in.
 *
 * Threads:   one view by one thread at a time.
 * Lifetime:  create to destroy; reading and text live until the next look.
 * Units:     nanoseconds.
 * Ordering:  none: the file's checksums say what is whole.
 * Errors:    look never fails: what is wrong is a state, with a sentence.
 * Cost:      a look is about ten system calls and a checksum over some 40 KiB: 50 us.
 */
#ifndef SERVE_SOURCE_H
#define SERVE_SOURCE_H

#include <stdbool.h>

#include "observe/snapshot.h"

#define WARP_SOURCE_FILE "METRICS"

enum warp_source_state {
    WARP_SOURCE_ABSENT, /* there is no such directory, or no metrics in it */
    WARP_SOURCE_BROKEN, /* the file cannot be read */
    WARP_SOURCE_OPENING, /* a process has it and has published nothing: recovery, or not wanted */
    WARP_SOURCE_RUNNING,
    WARP_SOURCE_STOPPED, /* the process is, by a signal or a debugger */
    WARP_SOURCE_LATE,    /* it lives, but has written nothing for ten seconds */
    WARP_SOURCE_CLOSED,  /* properly; the last values are there */
    WARP_SOURCE_DIED,    /* without closing; the last values are there */
    WARP_SOURCE_STATES
};

struct warp_source_view {
    enum warp_source_state state;
    bool has_values;
    uint64_t age_ns; /* of the snapshot; 0 if the machine has been started anew since */
    struct warp_reading reading; /* if has_values */
    char why[256];               /* a sentence fragment */
    /* Ours. */
    void *image;
    struct warp_reading_row *rows;
};

/* "running", "died", ... */
const char *warp_source_state_text(enum warp_source_state state);

/* 0 or WARP_ENOMEM. */
int warp_source_create(struct warp_source_view **view);
void warp_source_destroy(struct warp_source_view **view);
void warp_source_look(struct warp_source_view *view, const char *directory);

#endif
