/*
 * A file is a block of bytes in a list; an unlinked one lives until its last handle closes.
 */
#include "tests/lib/memory_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_DEPTH_MAX 1024u

struct memory_file {
    char name[64];
    uint8_t *data;
    uint64_t bytes;
    uint32_t references; /* the list's and the handles' */
    struct memory_file *next;
};

struct memory_queue {
    struct warp_io_request *requests[QUEUE_DEPTH_MAX];
    uint32_t count, depth;
};

static void *memory_take(size_t bytes)
{
    void *p = calloc(1, bytes > 0 ? bytes : 1);

    if (p == NULL) {
        abort();
    }
    return p;
}

/* Counts an operation; non-zero: it fails with this. */
static int memory_operation(struct memory_disk *disk)
{
    return disk->operations++ == disk->fail_at ? -disk->fail_errno : 0;
}

static struct memory_file **memory_find(struct memory_disk *disk, const char *name)
{
    struct memory_file **at = &disk->files;

    while (*at != NULL && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static void memory_unreference(struct memory_file *file)
{
    if (--file->references == 0) {
        free(file->data);
        free(file);
    }
}

static void memory_drop(struct memory_file **at)
{
    struct memory_file *file = *at;

    *at = file->next;
    memory_unreference(file);
}

static uint64_t memory_used(const struct memory_disk *disk)
{
    const struct memory_file *file;
    uint64_t bytes = 0;

    for (file = disk->files; file != NULL; file = file->next) {
        bytes += file->bytes;
    }
    return bytes;
}

static int memory_resize(struct memory_disk *disk, struct memory_file *file, uint64_t bytes)
{
    uint8_t *data;

    if (bytes > file->bytes && disk->space_bytes != UINT64_MAX &&
        memory_used(disk) + (bytes - file->bytes) > disk->space_bytes) {
        return -ENOSPC;
    }
    data = memory_take(bytes);
    if (file->bytes > 0) {
        memcpy(data, file->data, bytes < file->bytes ? bytes : file->bytes);
    }
    free(file->data);
    file->data = data;
    file->bytes = bytes;
    return 0;
}

static struct memory_file *memory_make(struct memory_disk *disk, const char *name)
{
    struct memory_file *file = memory_take(sizeof(*file));

    snprintf(file->name, sizeof(file->name), "%s", name);
    file->data = memory_take(0);
    file->references = 1;
    file->next = disk->files;
    disk->files = file;
    return file;
}

static int32_t memory_open(void *context, const char *name, uint32_t flags)
{
    struct memory_disk *disk = context;
    struct memory_file *file = *memory_find(disk, name);
    int32_t handle;
    int rc = memory_operation(disk);

    if (rc < 0) {
        return rc;
    }
    if (file != NULL && (flags & WARP_FILE_EXCLUSIVE) != 0) {
        return -EEXIST;
    }
    if (file == NULL && (flags & WARP_FILE_CREATE) == 0) {
        return -ENOENT;
    }
    if (disk->handles >= disk->handles_max) {
        return -EMFILE;
    }
    if (file == NULL) {
        file = memory_make(disk, name);
    }
    for (handle = 0; disk->opened[handle] != NULL; handle++) {
    }
    file->references++;
    disk->opened[handle] = file;
    disk->read_only[handle] = (flags & WARP_FILE_READ_ONLY) != 0;
    disk->handles++;
    return handle;
}

static struct memory_file *memory_opened(struct memory_disk *disk, int32_t handle)
{
    if (handle < 0 || handle >= (int32_t)MEMORY_DISK_HANDLES ||
        disk->opened[handle] == NULL) {
        fprintf(stderr, "memory_disk: handle %d is not open\n", (int)handle);
        abort();
    }
    return disk->opened[handle];
}

static void memory_close(void *context, int32_t handle)
{
    struct memory_disk *disk = context;

    memory_unreference(memory_opened(disk, handle));
    disk->opened[handle] = NULL;
    disk->handles--;
}

static int64_t memory_size(void *context, int32_t handle)
{
    struct memory_disk *disk = context;
    int rc = memory_operation(disk);

    return rc < 0 ? rc : (int64_t)memory_opened(disk, handle)->bytes;
}

static int memory_allocate(void *context, int32_t handle, uint64_t bytes)
{
    struct memory_disk *disk = context;
    struct memory_file *file = memory_opened(disk, handle);
    int rc = memory_operation(disk);

    if (rc < 0) {
        return rc;
    }
    return bytes > file->bytes ? memory_resize(disk, file, bytes) : 0;
}

static int memory_truncate(void *context, int32_t handle, uint64_t bytes)
{
    struct memory_disk *disk = context;
    int rc = memory_operation(disk);

    return rc < 0 ? rc : memory_resize(disk, memory_opened(disk, handle), bytes);
}

static int64_t memory_read(void *context, int32_t handle, void *buffer, size_t bytes,
                           uint64_t offset)
{
    struct memory_disk *disk = context;
    struct memory_file *file = memory_opened(disk, handle);
    int rc = memory_operation(disk);

    if (rc < 0) {
        return rc;
    }
    if (disk->bad_name != NULL && strcmp(disk->bad_name, file->name) == 0 &&
        offset <= disk->bad_offset && disk->bad_offset < offset + bytes) {
        return -EIO;
    }
    if (disk->strict && !disk->buffered &&
        ((offset | bytes | (uintptr_t)buffer) & (disk->block_bytes - 1)) != 0) {
        return -EINVAL;
    }
    if (offset >= file->bytes) {
        return 0;
    }
    if (bytes > file->bytes - offset) {
        bytes = (size_t)(file->bytes - offset);
    }
    memcpy(buffer, file->data + offset, bytes);
    return (int64_t)bytes;
}

static int64_t memory_write(void *context, int32_t handle, const void *buffer, size_t bytes,
                            uint64_t offset, bool durable)
{
    struct memory_disk *disk = context;
    struct memory_file *file = memory_opened(disk, handle);
    int rc = memory_operation(disk);

    if (rc < 0) {
        return rc;
    }
    if (disk->read_only[handle]) {
        return -EBADF;
    }
    if (offset + bytes > file->bytes) {
        rc = memory_resize(disk, file, offset + bytes);
        if (rc < 0) {
            return rc;
        }
    }
    memcpy(file->data + offset, buffer, bytes);
    disk->syncs += durable;
    return (int64_t)bytes;
}

static int memory_sync(void *context, int32_t handle)
{
    struct memory_disk *disk = context;

    memory_opened(disk, handle);
    disk->syncs++;
    return memory_operation(disk);
}

static int memory_rename(void *context, const char *from, const char *to)
{
    struct memory_disk *disk = context;
    struct memory_file *file = *memory_find(disk, from);
    int rc = memory_operation(disk);

    if (rc < 0) {
        return rc;
    }
    if (file == NULL) {
        return -ENOENT;
    }
    if (strcmp(from, to) != 0 && *memory_find(disk, to) != NULL) {
        memory_drop(memory_find(disk, to));
    }
    snprintf(file->name, sizeof(file->name), "%s", to);
    return 0;
}

static int memory_unlink(void *context, const char *name)
{
    struct memory_disk *disk = context;
    int rc = memory_operation(disk);

    if (rc < 0) {
        return rc;
    }
    return memory_disk_remove(disk, name) ? 0 : -ENOENT;
}

static int memory_sync_directory(void *context)
{
    struct memory_disk *disk = context;

    disk->directory_syncs++;
    return memory_operation(disk);
}

static int memory_list(void *context,
                       int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                       void *visit_context)
{
    struct memory_disk *disk = context;
    struct memory_file *file, *next;
    int rc = memory_operation(disk);

    for (file = disk->files; file != NULL && rc == 0; file = next) {
        next = file->next;
        rc = visit(visit_context, file->name, file->bytes);
    }
    return rc;
}

static int memory_lock(void *context, const char *name, bool shared, char *holder,
                       size_t holder_bytes)
{
    struct memory_disk *disk = context;

    (void)name;
    (void)shared;
    if (disk->locked) {
        snprintf(holder, holder_bytes, "this test");
        return -EWOULDBLOCK;
    }
    disk->locked = true;
    return 0;
}

static void memory_unlock(void *context)
{
    struct memory_disk *disk = context;

    disk->locked = false;
}

static int64_t memory_free_bytes(void *context)
{
    struct memory_disk *disk = context;

    return disk->space_bytes == UINT64_MAX
               ? INT64_MAX
               : (int64_t)(disk->space_bytes - memory_used(disk));
}

static uint32_t memory_block_bytes(void *context, int32_t handle)
{
    struct memory_disk *disk = context;

    memory_opened(disk, handle);
    return disk->buffered ? 512 : disk->block_bytes;
}

static bool memory_is_direct(void *context, int32_t handle)
{
    struct memory_disk *disk = context;

    memory_opened(disk, handle);
    return !disk->buffered;
}

static int memory_queue_create(void *context, uint32_t depth, void **queue)
{
    struct memory_queue *made;
    int rc = memory_operation(context);

    if (rc < 0) {
        return rc;
    }
    made = memory_take(sizeof(*made));
    made->depth = depth < QUEUE_DEPTH_MAX ? depth : QUEUE_DEPTH_MAX;
    *queue = made;
    return 0;
}

static void memory_execute(struct memory_disk *disk, struct warp_io_request *request)
{
    switch ((enum warp_io_op)request->op) {
    case WARP_IO_READ:
        request->result = memory_read(disk, request->file, request->buffer, request->bytes,
                                      request->offset);
        break;
    case WARP_IO_WRITE:
    case WARP_IO_WRITE_DURABLE:
        request->result =
            memory_write(disk, request->file, request->buffer, request->bytes,
                         request->offset, request->op == WARP_IO_WRITE_DURABLE);
        break;
    case WARP_IO_SYNC:
        request->result = memory_sync(disk, request->file);
        break;
    }
}

static void memory_queue_destroy(void *context, void **queue)
{
    (void)context;
    free(*queue);
    *queue = NULL;
}

static uint32_t memory_submit(void *context, void *queue,
                              struct warp_io_request *const *requests, uint32_t count)
{
    struct memory_queue *into = queue;
    uint32_t i;

    (void)context;
    for (i = 0; i < count && into->count < into->depth; i++) {
        into->requests[into->count++] = requests[i];
    }
    return i;
}

static uint32_t memory_reap(void *context, void *queue, struct warp_io_request **out,
                            uint32_t max, uint64_t wait_ns)
{
    struct memory_queue *from = queue;
    uint32_t i;

    (void)wait_ns;
    if (((struct memory_disk *)context)->hold) {
        return 0;
    }
    for (i = 0; i < max && from->count > 0; i++) {
        out[i] = from->requests[--from->count];
        memory_execute(context, out[i]);
        /* A few at a time, so that callers see a queue that is half done. */
        if (i == 2) {
            return i + 1;
        }
    }
    return i;
}

static int memory_queue_interrupt(void *context, void *queue)
{
    (void)context;
    (void)queue;
    return 0;
}

static const char *memory_name(void *context)
{
    (void)context;
    return "memory";
}

static const struct warp_disk_ops memory_ops = {
    .open = memory_open,
    .close = memory_close,
    .size = memory_size,
    .allocate = memory_allocate,
    .truncate = memory_truncate,
    .read = memory_read,
    .write = memory_write,
    .sync = memory_sync,
    .rename = memory_rename,
    .unlink = memory_unlink,
    .sync_directory = memory_sync_directory,
    .list = memory_list,
    .lock = memory_lock,
    .unlock = memory_unlock,
    .free_bytes = memory_free_bytes,
    .block_bytes = memory_block_bytes,
    .is_direct = memory_is_direct,
    .queue_create = memory_queue_create,
    .queue_destroy = memory_queue_destroy,
    .submit = memory_submit,
    .reap = memory_reap,
    .queue_interrupt = memory_queue_interrupt,
    .name = memory_name,
};

struct memory_disk *memory_disk_create(void)
{
    struct memory_disk *disk = memory_take(sizeof(*disk));

    disk->disk.ops = &memory_ops;
    disk->disk.context = disk;
    disk->space_bytes = UINT64_MAX;
    disk->handles_max = MEMORY_DISK_HANDLES;
    disk->block_bytes = 4096;
    disk->fail_at = UINT64_MAX;
    return disk;
}

void memory_disk_destroy(struct memory_disk **disk)
{
    struct memory_disk *gone = *disk;

    *disk = NULL;
    if (gone->handles != 0) {
        fprintf(stderr, "memory_disk: %u handles were left open\n", gone->handles);
        abort();
    }
    while (gone->files != NULL) {
        memory_drop(&gone->files);
    }
    free(gone);
}

uint8_t *memory_disk_bytes(struct memory_disk *disk, const char *name, uint64_t *bytes)
{
    struct memory_file *file = *memory_find(disk, name);

    if (file == NULL) {
        return NULL;
    }
    if (bytes != NULL) {
        *bytes = file->bytes;
    }
    return file->data;
}

void memory_disk_put(struct memory_disk *disk, const char *name, const void *data,
                     uint64_t bytes)
{
    struct memory_file *file = *memory_find(disk, name);

    if (file == NULL) {
        file = memory_make(disk, name);
    }
    (void)memory_resize(disk, file, bytes);
    if (data != NULL) {
        memcpy(file->data, data, bytes);
    }
}

bool memory_disk_remove(struct memory_disk *disk, const char *name)
{
    struct memory_file **at = memory_find(disk, name);

    if (*at == NULL) {
        return false;
    }
    memory_drop(at);
    return true;
}

struct memory_disk *memory_disk_copy(const struct memory_disk *disk)
{
    struct memory_disk *made = memory_disk_create();
    const struct memory_file *file;

    for (file = disk->files; file != NULL; file = file->next) {
        memory_disk_put(made, file->name, file->data, file->bytes);
    }
    return made;
}
