/*
 * base/io_uring.h - the real disk with many requests in flight at once.
 *
 * The queue of struct warp_disk_ops over io_uring (Axboe, "Efficient IO with io_uring",
 * 2019); all else is base/io_plain.c.
 *
 * Threads:   as base/io.h says.
 * Lifetime:  as base/io.h says; the kernel owns a buffer until its request is reaped.
 * Units:     bytes.
 * Ordering:  as base/io.h says.
 * Errors:    probe: 0, or -errno when the system refuses a ring (-ENOSYS: too old, -EPERM:
 *            forbidden, -EOPNOTSUPP: older than what we rely on).
 * Cost:      one system call for all requests of a submit, one for a reap that waits, none
 *            for a reap that finds completions.
 */
#ifndef BASE_IO_URING_H
#define BASE_IO_URING_H

#include "base/io.h"

/* The table with the io_uring queue. context is that of warp_io_plain_ops. */
extern const struct warp_disk_ops warp_io_uring_ops;

/* May this process use io_uring? Makes a small ring and throws it away. */
int warp_io_uring_probe(void);

#endif
