/*
 * engine/publish.h - keeps the file METRICS in the directory of the database, for other processes.
 *
 * The counters stay where the engine counts, in its own memory; a thread of its own writes a snapshot
 * of them into the file several times a second while something moves, once a second when nothing does.
 * Why are they not in a shared mapping of that file? Because a store into one can wait for the disk
 * (the kernel takes a page that is being written back away, and gives it back through the journal),
 * and ends the process if somebody cuts the file short. A get or a put must not know that the disk is
 * slow because of its own statistics. So the hot path is as it was, and what a process that is killed
 * leaves is at most one interval old. The cost of mapped statistics was described by Evan Jones, "The
 * Four Month Bug", 2015.
 *
 * The file is written aside, with all its blocks, and renamed: who reads the old one meanwhile has a
 * whole one. If there is no room for it, or no right to make it, the open goes on without, and so it
 * does if a later write fails; the metric warp_metrics_publish_errors_total tells. A file that is cut
 * short or removed is made anew within a second.
 *
 * Threads:   create by the opener, end and destroy by the closer; in between its thread is alone.
 * Lifetime:  create to destroy. The file stays: its last state is "closed".
 * Units:     nanoseconds.
 * Ordering:  none: readers go by checksums.
 * Errors:    WARP_ENOMEM; of the file, none that anybody must act on.
 * Cost:      110 us of CPU a snapshot on a busy machine, 10 a second at most; nothing is synced.
 */
#ifndef ENGINE_PUBLISH_H
#define ENGINE_PUBLISH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WARP_PUBLISH_NAME     "METRICS"
#define WARP_PUBLISH_NEW_NAME "METRICS.new"

struct warp;
struct warp_publish;

/*
 * The last thing of an open, for an open that is refused changes nothing: make the file with a first
 * snapshot, and start the thread, if env has threads. 0, or WARP_ENOMEM or WARP_ESYSTEM.
 */
int warp_publish_create(struct warp *db, struct warp_publish **out);

/* Why there was no file when it was opened: -errno; 0: there was one. */
int warp_publish_failure(const struct warp_publish *publish);

/* The calls are over but the structures still there: the last values; stops the thread. */
void warp_publish_end(struct warp_publish *publish);

/* Say that it is closed, and let go of the file. */
void warp_publish_destroy(struct warp_publish **publish);

/* Take one now: what the thread does. */
void warp_publish_turn(struct warp_publish *publish);

uint64_t warp_publish_count(const struct warp_publish *publish);
uint64_t warp_publish_errors(const struct warp_publish *publish);

#endif
