/*
 * base/io_plain.h - the real disk by ordinary system calls.
 *
 * All of struct warp_disk_ops; the queue carries a request out while it is submitted. It is
 * what io_uring builds upon: base/io_uring.c replaces the queue and nothing else, which is
 * why the pieces have names.
 *
 * Threads:   as base/io.h says.
 * Lifetime:  as base/io.h says. A handle is the system's file descriptor.
 * Units:     bytes.
 * Ordering:  as base/io.h says.
 * Errors:    -errno.
 * Cost:      one system call per operation; a durable write one more where the system has
 *            no RWF_DSYNC.
 */
#ifndef BASE_IO_PLAIN_H
#define BASE_IO_PLAIN_H

#include "base/io.h"

/* The table with the plain queue. context is a struct warp_io_plain. */
extern const struct warp_disk_ops warp_io_plain_ops;

/* What queues are made of. */
struct warp_memory *warp_io_plain_memory(void *context);

/* All but the queue, as base/io.h has them. */
int32_t warp_io_plain_open(void *context, const char *name, uint32_t flags);
void warp_io_plain_close(void *context, int32_t file);
int64_t warp_io_plain_size(void *context, int32_t file);
int warp_io_plain_allocate(void *context, int32_t file, uint64_t bytes);
int warp_io_plain_truncate(void *context, int32_t file, uint64_t bytes);
int64_t warp_io_plain_read(void *context, int32_t file, void *buffer, size_t bytes,
                           uint64_t offset);
int64_t warp_io_plain_write(void *context, int32_t file, const void *buffer, size_t bytes,
                            uint64_t offset, bool durable);
int warp_io_plain_sync(void *context, int32_t file);
int warp_io_plain_rename(void *context, const char *from, const char *to);
int warp_io_plain_unlink(void *context, const char *name);
int warp_io_plain_sync_directory(void *context);
int warp_io_plain_list(void *context,
                       int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                       void *visit_context);
int warp_io_plain_lock(void *context, const char *name, bool shared, char *holder,
                       size_t holder_bytes);
void warp_io_plain_unlock(void *context);
int64_t warp_io_plain_free_bytes(void *context);
uint32_t warp_io_plain_block_bytes(void *context, int32_t file);
bool warp_io_plain_is_direct(void *context, int32_t file);

#define WARP_IO_PLAIN_FILE_OPS                                                             \
    .open = warp_io_plain_open, .close = warp_io_plain_close, .size = warp_io_plain_size,  \
    .allocate = warp_io_plain_allocate, .truncate = warp_io_plain_truncate,                \
    .read = warp_io_plain_read, .write = warp_io_plain_write, .sync = warp_io_plain_sync,  \
    .rename = warp_io_plain_rename, .unlink = warp_io_plain_unlink,                        \
    .sync_directory = warp_io_plain_sync_directory, .list = warp_io_plain_list,            \
    .lock = warp_io_plain_lock, .unlock = warp_io_plain_unlock,                            \
    .free_bytes = warp_io_plain_free_bytes, .block_bytes = warp_io_plain_block_bytes,      \
    .is_direct = warp_io_plain_is_direct

#endif
