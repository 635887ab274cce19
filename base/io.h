/*
 * base/io.h - the seam to the disk: one directory and the files in it.
 *
 * Everything the engine does to a disk goes through a table of functions, so that a test
 * can put a disk underneath that lies, tears, fills up or fails the nth call.
 *
 * Threads:   all functions by any thread, but: a queue is used by one thread at a time,
 *            with the exception of queue_interrupt, which any thread may call while the
 *            queue exists; lock and unlock by the owner; nobody may use a file that is
 *            being closed.
 * Lifetime:  a handle is open until close; a request and its buffer belong to the queue
 *            from the submit that took it to the reap that returned it. All queues are
 *            destroyed before the disk is closed.
 * Units:     bytes, nanoseconds. Files are small integers >= 0.
 * Ordering:  requests in flight complete in any order and are durable only when a durable
 *            write or a sync submitted after their completion has completed. What reap
 *            returns happened before its return. An interrupt before a reap that waits ends
 *            that wait.
 * Errors:    negative returns are -errno of the operating system. Short transfers, EINTR
 *            and EAGAIN are dealt with underneath: a result is everything or an error, but
 *            for a read that meets the end of the file. A failed sync must not be repeated
 *            in the hope that it succeeds: the pages that failed are gone.
 * Cost:      one indirect call, then the system call's; one system call per submit or
 *            waiting reap on io_uring.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

/* For open. Without READ_ONLY a file is opened to read and to write. */
enum {
    WARP_FILE_CREATE = 1,    /* make it if it is not there */
    WARP_FILE_EXCLUSIVE = 2, /* with CREATE: -EEXIST if it is */
    WARP_FILE_READ_ONLY = 4,
    WARP_FILE_DIRECT = 8, /* past the page cache, where the file system can */
};

enum warp_io_op {
    WARP_IO_READ,
    WARP_IO_WRITE,
    WARP_IO_WRITE_DURABLE, /* on stable storage when complete, and so is what finds it */
    WARP_IO_SYNC,          /* fdatasync */
};

/* Visible because it is embedded in what waits for it. */
struct warp_io_request {
    uint32_t op; /* enum warp_io_op */
    int32_t file;
    void *buffer; /* read only for writes; aligned by the caller when the file is direct */
    uint32_t bytes;
    uint32_t state; /* the queue's */
    uint64_t offset;
    int64_t result; /* bytes, or -errno; valid when reaped */
    void *user;     /* the caller's */
};

struct warp_disk_ops {
    /* >= 0 a handle. DIRECT falls back to buffered where the file system refuses it;
     * is_direct tells. */
    int32_t (*open)(void *context, const char *name, uint32_t flags);
    void (*close)(void *context, int32_t file);
    int64_t (*size)(void *context, int32_t file);

    /* Reserve space for [0, bytes); what was not written reads as zeros. The file is at
     * least so long afterwards. */
    int (*allocate)(void *context, int32_t file, uint64_t bytes);
    int (*truncate)(void *context, int32_t file, uint64_t bytes);

    /* Bytes read, short only at the end of the file. */
    int64_t (*read)(void *context, int32_t file, void *buffer, size_t bytes,
                    uint64_t offset);
    /* All bytes or an error. durable: as WARP_IO_WRITE_DURABLE. */
    int64_t (*write)(void *context, int32_t file, const void *buffer, size_t bytes,
                     uint64_t offset, bool durable);
    int (*sync)(void *context, int32_t file);

    /* Names; durable only after sync_directory. */
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *name);
    int (*sync_directory)(void *context);

    /* Calls visit for every plain file, in no order, until it returns non-zero, which list
     * returns then. visit may open and unlink. */
    int (*list)(void *context,
                int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                void *visit_context);

    /* Take the directory, by a lock on the file `name`, held until unlock or the end of the
     * process. -EWOULDBLOCK when it is taken, by this process or another: holder gets a
     * sentence fragment saying by whom ("pid 17 (redis) since ..."), cut to
     * holder_bytes. */
    int (*lock)(void *context, const char *name, bool shared, char *holder,
                size_t holder_bytes);
    void (*unlock)(void *context);

    /* What an ordinary user may still take from this file system. */
    int64_t (*free_bytes)(void *context);
    /* What offset, length and address must be multiples of: 512 or 4096; 512 when
     * buffered. */
    uint32_t (*block_bytes)(void *context, int32_t file);
    bool (*is_direct)(void *context, int32_t file);

    /* At most depth requests are in flight. Destroy waits for those that are. */
    int (*queue_create)(void *context, uint32_t depth, void **queue);
    void (*queue_destroy)(void *context, void **queue);
    /* How many of the requests were taken, in order; fewer when depth is reached. */
    uint32_t (*submit)(void *context, void *queue, struct warp_io_request *const *requests,
                       uint32_t count);
    /* Completed requests, at most max. When there are none, waits up to wait_ns (0: not at
     * all, UINT64_MAX: for ever) for one or for an interrupt; may return 0 early. */
    uint32_t (*reap)(void *context, void *queue, struct warp_io_request **out, uint32_t max,
                     uint64_t wait_ns);
    /* The reap that waits, or else the next one that would, returns. */
    int (*queue_interrupt)(void *context, void *queue);

    /* "io_uring", "plain", ... */
    const char *(*name)(void *context);
};

struct warp_disk {
    const struct warp_disk_ops *ops;
    void *context;
};

/* backend of warp_disk_open_directory */
enum {
    WARP_IO_BACKEND_AUTO = 0, /* io_uring if the system allows it, else plain */
    WARP_IO_BACKEND_PLAIN = 1,
    WARP_IO_BACKEND_URING = 2, /* or fail */
};

/*
 * The real disk: the directory `path`, made (and made durable) if it is not there and
 * `create` is set. 0 or -ENOENT, -ENOTDIR, -EACCES, -ENOMEM, ...; message gets a sentence
 * when it fails and may be NULL. out is untouched on failure.
 */
int warp_disk_open_directory(const char *path, struct warp_memory *memory, uint32_t backend,
                             bool create, struct warp_disk *out, char *message,
                             size_t message_bytes);

/* Gives up the lock if it is held. For disks from warp_disk_open_directory only. */
void warp_disk_close(struct warp_disk *disk);

#endif
