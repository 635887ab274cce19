/*
 * bench/manycore/plot.h - draws the load of every shard over time, without and with gravity.
 *
 * An SVG file by itself: two panels with the same scale, one line per shard, where the hot spot went
 * to other slots, and how many slots were moved when. It has a light and a dark dress and takes the
 * one that the reader's surroundings ask for.
 *
 * Threads:   any.
 * Lifetime:  the arrays are the caller's.
 * Units:     loads in means of all shards; epochs.
 * Ordering:  none.
 * Errors:    write returns -1 when the file does.
 * Cost:      about 12 bytes per shard and epoch.
 */
#ifndef BENCH_MANYCORE_PLOT_H
#define BENCH_MANYCORE_PLOT_H

#include <stdint.h>
#include <stdio.h>

struct manycore_plot_shift {
    uint32_t epoch;
    uint32_t shard; /* whose slots are hot from now on */
};

struct manycore_plot {
    const char *title;    /* without characters that XML minds */
    const char *subtitle; /* likewise */
    const char *without_note;
    const char *with_note;
    uint32_t shard_count;
    uint32_t epochs; /* at least 2 */
    double epoch_s;
    const float *without; /* load of shard s in epoch e at [e * shard_count + s] */
    const float *with;
    const uint32_t *moves; /* per epoch */
    const struct manycore_plot_shift *shifts;
    uint32_t shift_count;
};

int manycore_plot_write(FILE *file, const struct manycore_plot *plot);

#endif
