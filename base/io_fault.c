/*
 * Every call asks fault_refuses() first. A refused request of a queue is kept by the proxy
 * and reaped from it; all others go below. Who waits for a queue while a refused request is
 * ready gets that at once.
 */
#include "base/io_fault.h"

#include <errno.h>
#include <string.h>

#define FAULT_SECTOR_BYTES 512u

/* The proxy's queue: the one below, and requests that failed up here. */
struct fault_queue {
    void *below;
    uint32_t depth;
    uint32_t in_flight; /* below */
    uint32_t first;
    uint32_t count;
    struct warp_io_request *failed[];
};

/* Counts an operation; 0, or the -errno it must answer. Relaxed: numbers carry no data. */
static int fault_refuses(struct warp_fault_disk *fault, enum warp_fault_kind kind)
{
    uint64_t fail_at, number;

    atomic_fetch_add_explicit(&fault->counts[kind], 1, memory_order_relaxed);
    if ((atomic_load_explicit(&fault->kinds, memory_order_relaxed) & (1u << kind)) == 0) {
        return 0;
    }
    number = atomic_fetch_add_explicit(&fault->selected, 1, memory_order_relaxed);
    fail_at = atomic_load_explicit(&fault->fail_at, memory_order_relaxed);
    if (number == fail_at ||
        (number > fail_at &&
         atomic_load_explicit(&fault->persistent, memory_order_relaxed))) {
        atomic_fetch_add_explicit(&fault->failed, 1, memory_order_relaxed);
        return atomic_load_explicit(&fault->error, memory_order_relaxed);
    }
    return 0;
}

static void fault_tear(struct warp_fault_disk *fault, int32_t file, const void *buffer,
                       size_t bytes, uint64_t offset)
{
    size_t half = bytes / 2 / FAULT_SECTOR_BYTES * FAULT_SECTOR_BYTES;

    if (half > 0 && atomic_load_explicit(&fault->half, memory_order_relaxed)) {
        (void)fault->below.ops->write(fault->below.context, file, buffer, half, offset,
                                      false);
    }
}

static int32_t fault_open(void *context, const char *name, uint32_t flags)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_OPEN);

    return rc < 0 ? rc : fault->below.ops->open(fault->below.context, name, flags);
}

static void fault_close(void *context, int32_t file)
{
    struct warp_fault_disk *fault = context;

    fault->below.ops->close(fault->below.context, file);
}

static int64_t fault_size(void *context, int32_t file)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_SIZE);

    return rc < 0 ? rc : fault->below.ops->size(fault->below.context, file);
}

static int fault_allocate(void *context, int32_t file, uint64_t bytes)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_ALLOCATE);

    return rc < 0 ? rc : fault->below.ops->allocate(fault->below.context, file, bytes);
}

static int fault_truncate(void *context, int32_t file, uint64_t bytes)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_TRUNCATE);

    return rc < 0 ? rc : fault->below.ops->truncate(fault->below.context, file, bytes);
}

static int64_t fault_read(void *context, int32_t file, void *buffer, size_t bytes,
                          uint64_t offset)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_READ);

    return rc < 0
               ? rc
               : fault->below.ops->read(fault->below.context, file, buffer, bytes, offset);
}

static int64_t fault_write(void *context, int32_t file, const void *buffer, size_t bytes,
                           uint64_t offset, bool durable)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_WRITE);

    if (rc < 0) {
        fault_tear(fault, file, buffer, bytes, offset);
        return rc;
    }
    return fault->below.ops->write(fault->below.context, file, buffer, bytes, offset,
                                   durable);
}

static int fault_sync(void *context, int32_t file)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_SYNC);

    return rc < 0 ? rc : fault->below.ops->sync(fault->below.context, file);
}

static int fault_rename(void *context, const char *from, const char *to)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_RENAME);

    return rc < 0 ? rc : fault->below.ops->rename(fault->below.context, from, to);
}

static int fault_unlink(void *context, const char *name)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_UNLINK);

    return rc < 0 ? rc : fault->below.ops->unlink(fault->below.context, name);
}

static int fault_sync_directory(void *context)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_SYNC_DIRECTORY);

    return rc < 0 ? rc : fault->below.ops->sync_directory(fault->below.context);
}

static int fault_list(void *context,
                      int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                      void *visit_context)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_LIST);

    return rc < 0 ? rc : fault->below.ops->list(fault->below.context, visit, visit_context);
}

static int fault_lock(void *context, const char *name, bool shared, char *holder,
                      size_t holder_bytes)
{
    struct warp_fault_disk *fault = context;
    int rc = fault_refuses(fault, WARP_FAULT_LOCK);

    return rc < 0 ? rc
                  : fault->below.ops->lock(fault->below.context, name, shared, holder,
                                           holder_bytes);
}

static void fault_unlock(void *context)
{
    struct warp_fault_disk *fault = context;

    fault->below.ops->unlock(fault->below.context);
}

static int64_t fault_free_bytes(void *context)
{
    struct warp_fault_disk *fault = context;
    int64_t bytes = atomic_load_explicit(&fault->free_bytes, memory_order_relaxed);

    return bytes >= 0 ? bytes : fault->below.ops->free_bytes(fault->below.context);
}

static uint32_t fault_block_bytes(void *context, int32_t file)
{
    struct warp_fault_disk *fault = context;

    return fault->below.ops->block_bytes(fault->below.context, file);
}

static bool fault_is_direct(void *context, int32_t file)
{
    struct warp_fault_disk *fault = context;

    return fault->below.ops->is_direct(fault->below.context, file);
}

static size_t fault_queue_bytes(uint32_t depth)
{
    return sizeof(struct fault_queue) + depth * sizeof(struct warp_io_request *);
}

static int fault_queue_create(void *context, uint32_t depth, void **out)
{
    struct warp_fault_disk *fault = context;
    struct fault_queue *queue;
    int rc = fault_refuses(fault, WARP_FAULT_QUEUE_CREATE);

    if (rc < 0) {
        return rc;
    }
    queue = warp_memory_reserve(fault->memory, fault_queue_bytes(depth), 0);
    if (queue == NULL) {
        return -ENOMEM;
    }
    queue->depth = depth;
    rc = fault->below.ops->queue_create(fault->below.context, depth, &queue->below);
    if (rc < 0) {
        warp_memory_release(fault->memory, queue, fault_queue_bytes(depth));
        return rc;
    }
    *out = queue;
    return 0;
}

static void fault_queue_destroy(void *context, void **out)
{
    struct warp_fault_disk *fault = context;
    struct fault_queue *queue = *out;

    if (queue != NULL) {
        fault->below.ops->queue_destroy(fault->below.context, &queue->below);
        warp_memory_release(fault->memory, queue, fault_queue_bytes(queue->depth));
        *out = NULL;
    }
}

static int fault_refuses_request(struct warp_fault_disk *fault,
                                 struct warp_io_request *request)
{
    int rc = 0;

    switch ((enum warp_io_op)request->op) {
    case WARP_IO_READ:
        return fault_refuses(fault, WARP_FAULT_READ);
    case WARP_IO_WRITE:
    case WARP_IO_WRITE_DURABLE:
        rc = fault_refuses(fault, WARP_FAULT_WRITE);
        if (rc < 0) {
            fault_tear(fault, request->file, request->buffer, request->bytes,
                       request->offset);
        }
        return rc;
    case WARP_IO_SYNC:
        return fault_refuses(fault, WARP_FAULT_SYNC);
    }
    return -EINVAL;
}

static uint32_t fault_submit(void *context, void *queue_,
                             struct warp_io_request *const *requests, uint32_t count)
{
    struct warp_fault_disk *fault = context;
    struct fault_queue *queue = queue_;
    uint32_t taken = 0;

    while (taken < count && queue->in_flight + queue->count < queue->depth) {
        struct warp_io_request *request = requests[taken];
        int rc = fault_refuses_request(fault, request);

        if (rc < 0) {
            request->result = rc;
            queue->failed[(queue->first + queue->count) % queue->depth] = request;
            queue->count++;
        } else if (fault->below.ops->submit(fault->below.context, queue->below, &request,
                                            1) == 1) {
            queue->in_flight++;
        } else {
            break;
        }
        taken++;
    }
    return taken;
}

static uint32_t fault_reap(void *context, void *queue_, struct warp_io_request **out,
                           uint32_t max, uint64_t wait_ns)
{
    struct warp_fault_disk *fault = context;
    struct fault_queue *queue = queue_;
    uint32_t count = 0;
    uint32_t below;

    while (count < max && queue->count > 0) {
        out[count] = queue->failed[queue->first];
        queue->first = (queue->first + 1) % queue->depth;
        queue->count--;
        count++;
    }
    if (count == max) {
        return count;
    }
    below = fault->below.ops->reap(fault->below.context, queue->below, out + count,
                                   max - count, count > 0 ? 0 : wait_ns);
    queue->in_flight -= below;
    return count + below;
}

static int fault_queue_interrupt(void *context, void *queue_)
{
    struct warp_fault_disk *fault = context;
    struct fault_queue *queue = queue_;

    return fault->below.ops->queue_interrupt(fault->below.context, queue->below);
}

static const char *fault_name(void *context)
{
    struct warp_fault_disk *fault = context;

    return fault->below.ops->name(fault->below.context);
}

static const struct warp_disk_ops fault_ops = {
    .open = fault_open,
    .close = fault_close,
    .size = fault_size,
    .allocate = fault_allocate,
    .truncate = fault_truncate,
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .rename = fault_rename,
    .unlink = fault_unlink,
    .sync_directory = fault_sync_directory,
    .list = fault_list,
    .lock = fault_lock,
    .unlock = fault_unlock,
    .free_bytes = fault_free_bytes,
    .block_bytes = fault_block_bytes,
    .is_direct = fault_is_direct,
    .queue_create = fault_queue_create,
    .queue_destroy = fault_queue_destroy,
    .submit = fault_submit,
    .reap = fault_reap,
    .queue_interrupt = fault_queue_interrupt,
    .name = fault_name,
};

void warp_fault_init(struct warp_fault_disk *fault, const struct warp_disk *below,
                     struct warp_memory *memory)
{
    memset(fault, 0, sizeof(*fault));
    fault->disk.ops = &fault_ops;
    fault->disk.context = fault;
    fault->below = *below;
    fault->memory = memory;
    atomic_init(&fault->free_bytes, -1);
    warp_fault_plan_none(fault);
}

void warp_fault_fini(struct warp_fault_disk *fault)
{
    fault->disk.ops = NULL;
    fault->disk.context = NULL;
}

void warp_fault_plan(struct warp_fault_disk *fault, uint32_t kinds, uint64_t n,
                     int negative_errno, bool persistent)
{
    warp_assert(negative_errno < 0);
    atomic_store_explicit(&fault->fail_at, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&fault->kinds, kinds, memory_order_relaxed);
    atomic_store_explicit(&fault->error, negative_errno, memory_order_relaxed);
    atomic_store_explicit(&fault->persistent, persistent, memory_order_relaxed);
    atomic_store_explicit(&fault->selected, 0, memory_order_relaxed);
    atomic_store_explicit(&fault->failed, 0, memory_order_relaxed);
    atomic_store_explicit(&fault->fail_at, n, memory_order_relaxed);
}

void warp_fault_plan_none(struct warp_fault_disk *fault)
{
    warp_fault_plan(fault, WARP_FAULT_ALL, UINT64_MAX, -EIO, false);
}

void warp_fault_set_half(struct warp_fault_disk *fault, bool half)
{
    atomic_store_explicit(&fault->half, half, memory_order_relaxed);
}

void warp_fault_set_free_bytes(struct warp_fault_disk *fault, int64_t bytes)
{
    atomic_store_explicit(&fault->free_bytes, bytes, memory_order_relaxed);
}

uint64_t warp_fault_selected(const struct warp_fault_disk *fault)
{
    return atomic_load_explicit(&fault->selected, memory_order_relaxed);
}

uint64_t warp_fault_failed(const struct warp_fault_disk *fault)
{
    return atomic_load_explicit(&fault->failed, memory_order_relaxed);
}

uint64_t warp_fault_count(const struct warp_fault_disk *fault, enum warp_fault_kind kind)
{
    return atomic_load_explicit(&fault->counts[kind], memory_order_relaxed);
}
