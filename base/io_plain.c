/*
 * A name is looked up relative to the directory's descriptor, so that renaming or replacing
 * the directory's path under our feet leads nowhere else.
 *
 * What can go wrong beyond an honest errno: a file system without O_DIRECT refuses at open,
 * and we open again without; one without fallocate gets zeros written; one without
 * RWF_DSYNC gets a write followed by fdatasync.
 */
#include "base/io_plain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io_uring.h"
#include "base/thread.h"

#define PLAIN_ZERO_BYTES   65536u
#define PLAIN_TRIES_MAX    1000u /* of a call that says EAGAIN */
#define PLAIN_HOLDER_BYTES 256u
#define PLAIN_BLOCK_BYTES  512u
#define PLAIN_DIRECT_BYTES 4096u /* what direct I/O wants where the system does not say */

struct warp_io_plain {
    struct warp_memory *memory;
    int directory;
    int lock; /* descriptor of the lock file, or -1 */
    bool lock_is_ours_to_clear;
};

/* Requests that are done and wait to be reaped; done in submit, so there is nothing
 * else. */
struct plain_queue {
    _Atomic uint32_t interrupted;
    uint32_t depth;
    uint32_t first;
    uint32_t count;
    struct warp_io_request *done[];
};

struct warp_memory *warp_io_plain_memory(void *context)
{
    return ((struct warp_io_plain *)context)->memory;
}

static void plain_assert_name(const char *name)
{
    warp_assert(name != NULL);
    warp_assert(name[0] != '\0');
    warp_assert(strchr(name, '/') == NULL);
}

/* ---- files --------------------------------------------------------------------------- */

int32_t warp_io_plain_open(void *context, const char *name, uint32_t flags)
{
    struct warp_io_plain *plain = context;
    int how = O_CLOEXEC | O_NOFOLLOW;
    struct stat about;
    int file, rc;

    plain_assert_name(name);
    how |= (flags & WARP_FILE_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    how |= (flags & WARP_FILE_CREATE) != 0 ? O_CREAT : 0;
    how |= (flags & WARP_FILE_EXCLUSIVE) != 0 ? O_EXCL : 0;
    for (;;) {
        int direct = (flags & WARP_FILE_DIRECT) != 0 ? O_DIRECT : 0;

        file = openat(plain->directory, name, how | direct, 0644);
        if (file < 0 && errno == EINTR) {
            continue;
        }
        if (file < 0 && errno == EINVAL && direct != 0) {
            /* No direct I/O here. Some file systems make the file before they refuse. */
            flags &= ~(uint32_t)WARP_FILE_DIRECT;
            if ((how & O_EXCL) != 0) {
                unlinkat(plain->directory, name, 0);
            }
            continue;
        }
        break;
    }
    if (file < 0) {
        return -errno;
    }
    if (fstat(file, &about) != 0) {
        rc = -errno;
        goto fail;
    }
    if (!S_ISREG(about.st_mode)) {
        rc = S_ISDIR(about.st_mode) ? -EISDIR : -EINVAL;
        goto fail;
    }
    return file;

fail:
    close(file);
    return rc;
}

void warp_io_plain_close(void *context, int32_t file)
{
    (void)context;
    warp_assert(file >= 0);
    /* What close could report was reported by sync before, or nobody cared. EINTR closes
     * too. */
    close(file);
}

int64_t warp_io_plain_size(void *context, int32_t file)
{
    struct stat about;

    (void)context;
    if (fstat(file, &about) != 0) {
        return -errno;
    }
    return about.st_size;
}

bool warp_io_plain_is_direct(void *context, int32_t file)
{
    int flags = fcntl(file, F_GETFL);

    (void)context;
    return flags >= 0 && (flags & O_DIRECT) != 0;
}

uint32_t warp_io_plain_block_bytes(void *context, int32_t file)
{
    if (!warp_io_plain_is_direct(context, file)) {
        return PLAIN_BLOCK_BYTES;
    }
#ifdef STATX_DIOALIGN
    struct statx about;

    if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) == 0 &&
        (about.stx_mask & STATX_DIOALIGN) != 0 && about.stx_dio_offset_align > 0 &&
        about.stx_dio_offset_align <= PLAIN_BLOCK_BYTES &&
        about.stx_dio_mem_align <= PLAIN_BLOCK_BYTES) {
        return PLAIN_BLOCK_BYTES;
    }
#endif
    return PLAIN_DIRECT_BYTES;
}

int64_t warp_io_plain_read(void *context, int32_t file, void *buffer, size_t bytes,
                           uint64_t offset)
{
    size_t done = 0;
    uint32_t tries = 0;

    (void)context;
    while (done < bytes) {
        ssize_t got =
            pread(file, (char *)buffer + done, bytes - done, (off_t)(offset + done));

        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0) {
            break;
        } else if (errno == EINTR) {
            continue;
        } else if (errno == EAGAIN && tries < PLAIN_TRIES_MAX) {
            tries++;
            warp_thread_yield();
        } else if (errno == EINVAL && done > 0) {
            break; /* a direct read met the end of the file inside a block */
        } else {
            return -errno;
        }
    }
    return (int64_t)done;
}

/* One pwrite, durable if asked for and if the system can do that in one call. */
static ssize_t plain_write_some(int file, const void *buffer, size_t bytes, uint64_t offset,
                                bool durable, bool *must_sync)
{
    struct iovec piece = {(void *)(uintptr_t)buffer, bytes};
    ssize_t put;

    if (durable && !*must_sync) {
        put = pwritev2(file, &piece, 1, (off_t)offset, RWF_DSYNC);
        if (put >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) {
            return put;
        }
        *must_sync = true;
    }
    return pwrite(file, buffer, bytes, (off_t)offset);
}

int warp_io_plain_sync(void *context, int32_t file)
{
    (void)context;
    while (fdatasync(file) != 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int64_t warp_io_plain_write(void *context, int32_t file, const void *buffer, size_t bytes,
                            uint64_t offset, bool durable)
{
    bool must_sync = false;
    uint32_t tries = 0;
    size_t done = 0;

    while (done < bytes) {
        ssize_t put = plain_write_some(file, (const char *)buffer + done, bytes - done,
                                       offset + done, durable, &must_sync);

        if (put > 0) {
            done += (size_t)put;
        } else if (put == 0) {
            return -EIO; /* neither progress nor a reason: trying on might never end */
        } else if (errno == EINTR) {
            continue;
        } else if (errno == EAGAIN && tries < PLAIN_TRIES_MAX) {
            tries++;
            warp_thread_yield();
        } else {
            return -errno;
        }
    }
    if (must_sync) {
        int rc = warp_io_plain_sync(context, file);

        if (rc < 0) {
            return rc;
        }
    }
    return (int64_t)done;
}

/* For file systems without fallocate: write zeros from the end of the file on. */
static int plain_allocate_by_zeros(struct warp_io_plain *plain, int32_t file,
                                   uint64_t bytes)
{
    char path[64];
    int64_t size = warp_io_plain_size(plain, file);
    void *zeros;
    int twin;
    int rc = 0;

    if (size < 0) {
        return (int)size;
    }
    if ((uint64_t)size >= bytes) {
        return 0;
    }
    /* The file may be direct and its end may not be aligned: a descriptor of our own is
     * not. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)file);
    twin = open(path, O_WRONLY | O_CLOEXEC);
    if (twin < 0) {
        return -errno;
    }
    zeros = warp_memory_reserve(plain->memory, PLAIN_ZERO_BYTES, PLAIN_DIRECT_BYTES);
    if (zeros == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    for (uint64_t at = (uint64_t)size; at < bytes;) {
        uint64_t part = bytes - at < PLAIN_ZERO_BYTES ? bytes - at : PLAIN_ZERO_BYTES;
        int64_t put = warp_io_plain_write(plain, twin, zeros, (size_t)part, at, false);

        if (put < 0) {
            rc = (int)put;
            break;
        }
        at += part;
    }
    warp_memory_release(plain->memory, zeros, PLAIN_ZERO_BYTES);
    if (rc == 0) {
        rc = warp_io_plain_sync(plain, twin);
    }
out:
    close(twin);
    return rc;
}

int warp_io_plain_allocate(void *context, int32_t file, uint64_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    while (fallocate(file, 0, 0, (off_t)bytes) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS) {
            return plain_allocate_by_zeros(context, file, bytes);
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int warp_io_plain_truncate(void *context, int32_t file, uint64_t bytes)
{
    (void)context;
    while (ftruncate(file, (off_t)bytes) != 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* ---- names --------------------------------------------------------------------------- */

int warp_io_plain_rename(void *context, const char *from, const char *to)
{
    struct warp_io_plain *plain = context;

    plain_assert_name(from);
    plain_assert_name(to);
    return renameat(plain->directory, from, plain->directory, to) == 0 ? 0 : -errno;
}

int warp_io_plain_unlink(void *context, const char *name)
{
    struct warp_io_plain *plain = context;

    plain_assert_name(name);
    return unlinkat(plain->directory, name, 0) == 0 ? 0 : -errno;
}

int warp_io_plain_sync_directory(void *context)
{
    struct warp_io_plain *plain = context;

    while (fsync(plain->directory) != 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int warp_io_plain_list(void *context,
                       int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                       void *visit_context)
{
    struct warp_io_plain *plain = context;
    int directory = openat(plain->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;
    DIR *stream;
    int rc = 0;

    if (directory < 0) {
        return -errno;
    }
    stream = fdopendir(directory);
    if (stream == NULL) {
        rc = -errno;
        close(directory);
        return rc;
    }
    while (rc == 0) {
        struct stat about;

        errno = 0;
        entry = readdir(stream);
        if (entry == NULL) {
            rc = -errno;
            break;
        }
        if (fstatat(plain->directory, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) {
                continue; /* gone since */
            }
            rc = -errno;
        } else if (S_ISREG(about.st_mode)) {
            rc = visit(visit_context, entry->d_name, (uint64_t)about.st_size);
        }
    }
    closedir(stream);
    return rc;
}

int64_t warp_io_plain_free_bytes(void *context)
{
    struct warp_io_plain *plain = context;
    struct statvfs about;

    if (fstatvfs(plain->directory, &about) != 0) {
        return -errno;
    }
    if (about.f_frsize != 0 && about.f_bavail > (uint64_t)INT64_MAX / about.f_frsize) {
        return INT64_MAX;
    }
    return (int64_t)(about.f_bavail * about.f_frsize);
}

/* ---- the lock ------------------------------------------------------------------------ */

/* "pid 17 (redis) since 2026-01-31T12:00:00Z", what the next one will read who is
 * refused. */
static size_t plain_describe_self(char *text, size_t bytes)
{
    char program[64] = "unknown";
    char since[32] = "unknown";
    time_t now = time(NULL);
    struct tm parts;
    int comm = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    int wrote;

    if (comm >= 0) {
        ssize_t got = read(comm, program, sizeof(program) - 1);

        if (got > 0) {
            program[got] = '\0';
            program[strcspn(program, "\n")] = '\0';
        }
        close(comm);
    }
    if (gmtime_r(&now, &parts) != NULL) {
        strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    wrote = snprintf(text, bytes, "pid %ld (%s) since %s", (long)getpid(), program, since);
    if (wrote < 0) {
        return 0;
    }
    return (size_t)wrote < bytes ? (size_t)wrote : bytes - 1;
}

/* Who is in our way. An exclusive owner has written that down; readers write nothing. */
static void plain_describe_holder(int file, const struct flock *wanted, char *holder,
                                  size_t holder_bytes)
{
    char text[PLAIN_HOLDER_BYTES] = "";
    struct flock taken = *wanted;
    ssize_t got;

    if (holder == NULL || holder_bytes == 0) {
        return;
    }
    if (fcntl(file, F_OFD_GETLK, &taken) == 0 && taken.l_type == F_RDLCK) {
        snprintf(holder, holder_bytes, "somebody who has it open to read only");
        return;
    }
    got = pread(file, text, sizeof(text) - 1, 0);
    if (got <= 0) {
        snprintf(holder, holder_bytes, "another user");
        return;
    }
    text[got] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~') {
            *at = '?'; /* it goes into messages */
        }
    }
    snprintf(holder, holder_bytes, "%s", text);
}

int warp_io_plain_lock(void *context, const char *name, bool shared, char *holder,
                       size_t holder_bytes)
{
    struct warp_io_plain *plain = context;
    struct flock wanted = {.l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    char text[PLAIN_HOLDER_BYTES];
    size_t text_bytes;
    int file, rc;

    plain_assert_name(name);
    warp_assert(plain->lock < 0);
    file = openat(plain->directory, name,
                  (shared ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0 && shared && errno == ENOENT) {
        file = openat(plain->directory, name, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                      0644);
    }
    if (file < 0) {
        return -errno;
    }
    /* Locks of the open file, not of the process: a second open in this process is refused
     * like anybody's, and closing some other descriptor does not give the lock away. */
    while (fcntl(file, F_OFD_SETLK, &wanted) != 0) {
        if (errno == EINTR) {
            continue;
        }
        rc = errno == EAGAIN || errno == EACCES ? -EWOULDBLOCK : -errno;
        if (rc == -EWOULDBLOCK) {
            plain_describe_holder(file, &wanted, holder, holder_bytes);
        }
        goto fail;
    }
    if (!shared) {
        /* For the eyes of others only: a failure here (a full disk) costs a name. */
        text_bytes = plain_describe_self(text, sizeof(text));
        if (ftruncate(file, 0) == 0 &&
            warp_io_plain_write(plain, file, text, text_bytes, 0, false) < 0) {
            rc = ftruncate(file, 0);
            (void)rc;
        }
    }
    plain->lock = file;
    plain->lock_is_ours_to_clear = !shared;
    return 0;

fail:
    close(file);
    return rc;
}

void warp_io_plain_unlock(void *context)
{
    struct warp_io_plain *plain = context;

    if (plain->lock < 0) {
        return;
    }
    if (plain->lock_is_ours_to_clear && ftruncate(plain->lock, 0) != 0) {
        /* An old name in a file nobody has locked misleads nobody. */
    }
    close(plain->lock);
    plain->lock = -1;
}

/* ---- the queue ----------------------------------------------------------------------- */

static size_t plain_queue_bytes(uint32_t depth)
{
    return sizeof(struct plain_queue) + depth * sizeof(struct warp_io_request *);
}

static int plain_queue_create(void *context, uint32_t depth, void **out)
{
    struct plain_queue *queue;

    warp_assert(*out == NULL);
    warp_assert(depth > 0);
    queue = warp_memory_reserve(warp_io_plain_memory(context), plain_queue_bytes(depth), 0);
    if (queue == NULL) {
        return -ENOMEM;
    }
    queue->depth = depth;
    atomic_init(&queue->interrupted, 0);
    *out = queue;
    return 0;
}

static void plain_queue_destroy(void *context, void **out)
{
    struct plain_queue *queue = *out;

    if (queue != NULL) {
        warp_memory_release(warp_io_plain_memory(context), queue,
                            plain_queue_bytes(queue->depth));
        *out = NULL;
    }
}

static int64_t plain_execute(void *context, const struct warp_io_request *request)
{
    switch ((enum warp_io_op)request->op) {
    case WARP_IO_READ:
        return warp_io_plain_read(context, request->file, request->buffer, request->bytes,
                                  request->offset);
    case WARP_IO_WRITE:
        return warp_io_plain_write(context, request->file, request->buffer, request->bytes,
                                   request->offset, false);
    case WARP_IO_WRITE_DURABLE:
        return warp_io_plain_write(context, request->file, request->buffer, request->bytes,
                                   request->offset, true);
    case WARP_IO_SYNC:
        return warp_io_plain_sync(context, request->file);
    }
    return -EINVAL;
}

static uint32_t plain_submit(void *context, void *queue_,
                             struct warp_io_request *const *requests, uint32_t count)
{
    struct plain_queue *queue = queue_;
    uint32_t taken = 0;

    while (taken < count && queue->count < queue->depth) {
        struct warp_io_request *request = requests[taken];

        request->result = plain_execute(context, request);
        queue->done[(queue->first + queue->count) % queue->depth] = request;
        queue->count++;
        taken++;
    }
    return taken;
}

static uint32_t plain_reap(void *context, void *queue_, struct warp_io_request **out,
                           uint32_t max, uint64_t wait_ns)
{
    struct plain_queue *queue = queue_;
    uint32_t count = 0;

    (void)context;
    while (count < max && queue->count > 0) {
        out[count] = queue->done[queue->first];
        queue->first = (queue->first + 1) % queue->depth;
        queue->count--;
        count++;
    }
    if (count > 0 || wait_ns == 0) {
        return count;
    }
    /* Nothing is on its way here: only an interrupt or the time can end this. The exchange
     * pairs with the release in plain_queue_interrupt: what its caller did before is
     * seen. */
    (void)warp_park(&queue->interrupted, 0, wait_ns, UINT32_MAX);
    (void)atomic_exchange_explicit(&queue->interrupted, 0, memory_order_acquire);
    return 0;
}

static int plain_queue_interrupt(void *context, void *queue_)
{
    struct plain_queue *queue = queue_;

    (void)context;
    /* Release: pairs with the acquire in plain_reap. */
    atomic_store_explicit(&queue->interrupted, 1, memory_order_release);
    warp_wake(&queue->interrupted, 1, UINT32_MAX);
    return 0;
}

static const char *plain_name(void *context)
{
    (void)context;
    return "plain";
}

const struct warp_disk_ops warp_io_plain_ops = {
    WARP_IO_PLAIN_FILE_OPS,
    .queue_create = plain_queue_create,
    .queue_destroy = plain_queue_destroy,
    .submit = plain_submit,
    .reap = plain_reap,
    .queue_interrupt = plain_queue_interrupt,
    .name = plain_name,
};

/* ---- opening the directory ----------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void
plain_say(char *message, size_t message_bytes, const char *format, ...)
{
    va_list arguments;

    if (message == NULL || message_bytes == 0) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(message, message_bytes, format, arguments);
    va_end(arguments);
}

/* A new directory lives in its parent, which must know of it for good. */
static int plain_sync_parent(const char *path)
{
    char parent[PATH_MAX];
    size_t bytes = strlen(path);
    int directory, rc;

    while (bytes > 1 && path[bytes - 1] == '/') {
        bytes--;
    }
    while (bytes > 0 && path[bytes - 1] != '/') {
        bytes--;
    }
    if (bytes >= sizeof(parent)) {
        return -ENAMETOOLONG;
    }
    memcpy(parent, path, bytes);
    parent[bytes] = '\0';
    directory = open(bytes > 0 ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        /* A parent we may enter but not read cannot be synced by us. */
        return errno == EACCES ? 0 : -errno;
    }
    rc = fsync(directory) == 0 ? 0 : -errno;
    close(directory);
    return rc;
}

int warp_disk_open_directory(const char *path, struct warp_memory *memory, uint32_t backend,
                             bool create, struct warp_disk *out, char *message,
                             size_t message_bytes)
{
    const struct warp_disk_ops *ops = &warp_io_plain_ops;
    struct warp_io_plain *plain;
    int rc;

    if (path == NULL || path[0] == '\0' || backend > WARP_IO_BACKEND_URING) {
        plain_say(message, message_bytes, "no path, or an unknown I/O backend");
        return -EINVAL;
    }
    if (backend != WARP_IO_BACKEND_PLAIN) {
        rc = warp_io_uring_probe();
        if (rc == 0) {
            ops = &warp_io_uring_ops;
        } else if (backend == WARP_IO_BACKEND_URING) {
            plain_say(message, message_bytes, "io_uring is not available here: %s",
                      strerror(-rc));
            return rc;
        }
    }
    plain = warp_memory_reserve(memory, sizeof(*plain), 0);
    if (plain == NULL) {
        plain_say(message, message_bytes, "no memory");
        return -ENOMEM;
    }
    plain->memory = memory;
    plain->lock = -1;
    plain->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (plain->directory < 0 && errno == ENOENT && create) {
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            rc = -errno;
            plain_say(message, message_bytes, "cannot make directory %s: %s", path,
                      strerror(-rc));
            goto fail;
        }
        rc = plain_sync_parent(path);
        if (rc < 0) {
            plain_say(message, message_bytes, "cannot sync the directory above %s: %s",
                      path, strerror(-rc));
            goto fail;
        }
        plain->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (plain->directory < 0) {
        rc = -errno;
        plain_say(message, message_bytes, "cannot open directory %s: %s", path,
                  strerror(-rc));
        goto fail;
    }
    out->ops = ops;
    out->context = plain;
    return 0;

fail:
    warp_memory_release(memory, plain, sizeof(*plain));
    return rc;
}

void warp_disk_close(struct warp_disk *disk)
{
    struct warp_io_plain *plain = disk->context;

    if (plain == NULL) {
        return;
    }
    warp_assert(disk->ops == &warp_io_plain_ops || disk->ops == &warp_io_uring_ops);
    warp_io_plain_unlock(plain);
    close(plain->directory);
    warp_memory_release(plain->memory, plain, sizeof(*plain));
    disk->ops = NULL;
    disk->context = NULL;
}
