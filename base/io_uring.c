/*
 * Happy path: submit fills one submission entry per request and enters the kernel once;
 * reap takes completions out of shared memory and enters the kernel only to wait.
 *
 * What can go wrong:
 *  - A transfer comes back short, or with EINTR or EAGAIN: the rest is submitted again, and
 *    the request is reported when it is whole. Its result field counts the bytes meanwhile.
 *  - The completion ring cannot overflow: at most `depth` requests and one read of the
 *    eventfd are in flight, and it has at least twice depth + 2 places.
 *  - A thread may only be woken out of a wait from within the ring: a read of an eventfd is
 *    always in flight, and queue_interrupt writes to it.
 *  - Requests of a thread that ends are cancelled by the kernel. A cancelled one did not
 *    run, so it is submitted again by whoever uses the queue next.
 */
#include "base/io_uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io_plain.h"
#include "base/thread.h"

#define URING_TRIES_MAX 1000u
#define URING_NS_PER_S  UINT64_C(1000000000)
#define URING_SLACK                                                                        \
    2u /* entries beside the requests: the read of the eventfd, and one spare */

struct uring_queue {
    struct io_uring ring;
    int event;            /* eventfd */
    uint64_t event_value; /* the kernel writes what it read */
    bool event_armed;     /* its read is in flight */
    bool interrupted;     /* an interrupt came that no waiting reap has answered */
    uint32_t depth;
    uint32_t in_flight; /* taken and not yet reaped */
    uint32_t again_count;
    struct warp_io_request *again[]; /* their rest must be submitted */
};

static size_t uring_queue_bytes(uint32_t depth)
{
    return sizeof(struct uring_queue) + depth * sizeof(struct warp_io_request *);
}

int warp_io_uring_probe(void)
{
    struct io_uring_params params = {0};
    struct io_uring_probe *probe;
    struct io_uring ring;
    int rc = io_uring_queue_init_params(4, &ring, &params);

    if (rc < 0) {
        return rc;
    }
    /* Waiting with a timeout that takes no entry is 5.11; the operations are older. */
    if ((params.features & IORING_FEAT_EXT_ARG) == 0 ||
        (params.features & IORING_FEAT_NODROP) == 0) {
        rc = -EOPNOTSUPP;
        goto out;
    }
    probe = io_uring_get_probe_ring(&ring);
    if (probe == NULL || !io_uring_opcode_supported(probe, IORING_OP_READ) ||
        !io_uring_opcode_supported(probe, IORING_OP_WRITE) ||
        !io_uring_opcode_supported(probe, IORING_OP_FSYNC)) {
        rc = -EOPNOTSUPP;
    }
    io_uring_free_probe(probe);
out:
    io_uring_queue_exit(&ring);
    return rc;
}

static struct io_uring_sqe *uring_entry(struct uring_queue *queue)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&queue->ring);

    if (entry == NULL) {
        /* Filled but not yet taken by the kernel: it takes them now. */
        (void)io_uring_submit(&queue->ring);
        entry = io_uring_get_sqe(&queue->ring);
    }
    return entry;
}

static void uring_arm_event(struct uring_queue *queue)
{
    struct io_uring_sqe *entry;

    if (queue->event_armed) {
        return;
    }
    entry = uring_entry(queue);
    if (entry == NULL) {
        return; /* tried again by the next reap */
    }
    io_uring_prep_read(entry, queue->event, &queue->event_value, sizeof(queue->event_value),
                       0);
    io_uring_sqe_set_data(entry, queue);
    queue->event_armed = true;
}

/* Fill an entry with what is left of a request; false when the ring has none. */
static bool uring_prepare(struct uring_queue *queue, struct warp_io_request *request)
{
    struct io_uring_sqe *entry = uring_entry(queue);
    uint32_t done = (uint32_t)request->result;
    char *buffer = request->buffer;

    if (entry == NULL) {
        return false;
    }
    switch ((enum warp_io_op)request->op) {
    case WARP_IO_READ:
        io_uring_prep_read(entry, request->file, buffer + done, request->bytes - done,
                           request->offset + done);
        break;
    case WARP_IO_WRITE:
        io_uring_prep_write(entry, request->file, buffer + done, request->bytes - done,
                            request->offset + done);
        break;
    case WARP_IO_WRITE_DURABLE:
        io_uring_prep_write(entry, request->file, buffer + done, request->bytes - done,
                            request->offset + done);
        entry->rw_flags = RWF_DSYNC;
        break;
    case WARP_IO_SYNC:
        io_uring_prep_fsync(entry, request->file, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(entry, request);
    return true;
}

/* Let the kernel take what was filled. Its own shortages pass: it is tried again. */
static void uring_enter(struct uring_queue *queue)
{
    uint32_t tries = 0;

    while (io_uring_sq_ready(&queue->ring) > 0) {
        int rc = io_uring_submit(&queue->ring);

        if (rc >= 0 || rc == -EINTR) {
            continue;
        }
        /* EAGAIN: no memory for a request; EBUSY: completions wait to be reaped. The
         * entries stay in the ring, and reap enters again. Anything else is a misuse of the
         * ring. */
        warp_assert(rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM);
        tries++;
        if (tries >= URING_TRIES_MAX) {
            return;
        }
        warp_thread_yield();
    }
}

/* What a completion means for its request: true when the request is finished. */
static bool uring_complete(struct warp_io_request *request, int32_t result)
{
    if (result == -EINTR || result == -EAGAIN || result == -ECANCELED) {
        if (request->state < URING_TRIES_MAX) {
            request->state++;
            return false;
        }
        request->result = result;
        return true;
    }
    if (request->op == WARP_IO_SYNC) {
        request->result = result;
        return true;
    }
    if (result < 0) {
        /* A direct read that met the end of the file inside a block cannot go on from
         * there. */
        if (!(result == -EINVAL && request->op == WARP_IO_READ && request->result > 0)) {
            request->result = result;
        }
        return true;
    }
    if (result == 0 && request->result < request->bytes) {
        if (request->op != WARP_IO_READ) {
            request->result = -EIO; /* neither progress nor a reason */
        }
        return true;
    }
    request->result += result;
    warp_assert(request->result <= request->bytes);
    return request->result == request->bytes;
}

/* Fill entries for requests that came back unfinished. */
static void uring_again(struct uring_queue *queue)
{
    while (queue->again_count > 0 &&
           uring_prepare(queue, queue->again[queue->again_count - 1])) {
        queue->again_count--;
    }
}

static uint32_t uring_harvest(struct uring_queue *queue, struct warp_io_request **out,
                              uint32_t max)
{
    struct io_uring_cqe *completion;
    uint32_t count = 0;

    while (io_uring_peek_cqe(&queue->ring, &completion) == 0) {
        void *data = io_uring_cqe_get_data(completion);
        int32_t result = completion->res;

        if (data != queue && count == max) {
            break;
        }
        io_uring_cqe_seen(&queue->ring, completion);
        if (data == queue) {
            queue->event_armed = false;
            if (result > 0) {
                queue->interrupted = true;
            }
            continue;
        }
        if (uring_complete(data, result)) {
            out[count] = data;
            count++;
            queue->in_flight--;
        } else {
            warp_assert(queue->again_count < queue->depth);
            queue->again[queue->again_count] = data;
            queue->again_count++;
        }
    }
    return count;
}

static int uring_queue_create(void *context, uint32_t depth, void **out)
{
    struct warp_memory *memory = warp_io_plain_memory(context);
    struct io_uring_params params = {0};
    struct uring_queue *queue;
    int rc;

    warp_assert(*out == NULL);
    warp_assert(depth > 0);
    queue = warp_memory_reserve(memory, uring_queue_bytes(depth), WARP_CACHELINE);
    if (queue == NULL) {
        return -ENOMEM;
    }
    queue->depth = depth;
    queue->event = eventfd(0, EFD_CLOEXEC);
    if (queue->event < 0) {
        rc = -errno;
        goto fail_event;
    }
    params.flags = IORING_SETUP_CLAMP;
    rc = io_uring_queue_init_params(depth + URING_SLACK, &queue->ring, &params);
    if (rc < 0) {
        goto fail_ring;
    }
    if (params.cq_entries < depth + URING_SLACK) {
        rc = -EINVAL; /* clamped below what we promised to keep in flight */
        goto fail_size;
    }
    uring_arm_event(queue);
    uring_enter(queue);
    *out = queue;
    return 0;

fail_size:
    io_uring_queue_exit(&queue->ring);
fail_ring:
    close(queue->event);
fail_event:
    warp_memory_release(memory, queue, uring_queue_bytes(depth));
    return rc;
}

static uint32_t uring_submit(void *context, void *queue_,
                             struct warp_io_request *const *requests, uint32_t count)
{
    struct uring_queue *queue = queue_;
    uint32_t taken = 0;

    (void)context;
    while (taken < count && queue->in_flight < queue->depth) {
        struct warp_io_request *request = requests[taken];

        request->result = 0;
        request->state = 0;
        if (!uring_prepare(queue, request)) {
            break;
        }
        queue->in_flight++;
        taken++;
    }
    uring_enter(queue);
    return taken;
}

static uint32_t uring_reap(void *context, void *queue_, struct warp_io_request **out,
                           uint32_t max, uint64_t wait_ns)
{
    const struct warp_clock *clock = warp_clock_system();
    struct uring_queue *queue = queue_;
    uint64_t end_ns = UINT64_MAX;

    (void)context;
    if (wait_ns != 0 && wait_ns != UINT64_MAX) {
        uint64_t now_ns = warp_clock_ns(clock);

        end_ns = now_ns + wait_ns < now_ns ? UINT64_MAX : now_ns + wait_ns;
    }
    for (;;) {
        struct __kernel_timespec left = {0, 0};
        struct io_uring_cqe *ignored = NULL;
        uint32_t count = uring_harvest(queue, out, max);
        int rc;

        uring_again(queue);
        uring_arm_event(queue);
        uring_enter(queue);
        if (count > 0 || max == 0 || wait_ns == 0) {
            return count;
        }
        if (queue->interrupted) {
            queue->interrupted = false;
            return 0;
        }
        if (end_ns != UINT64_MAX) {
            uint64_t now_ns = warp_clock_ns(clock);

            if (now_ns >= end_ns) {
                return 0;
            }
            left.tv_sec = (int64_t)((end_ns - now_ns) / URING_NS_PER_S);
            left.tv_nsec = (int64_t)((end_ns - now_ns) % URING_NS_PER_S);
        }
        if (io_uring_sq_ready(&queue->ring) > 0) {
            /* The kernel would not take them: a wait for what it has not got has no end. */
            warp_thread_yield();
            continue;
        }
        rc = io_uring_wait_cqes(&queue->ring, &ignored, 1,
                                end_ns != UINT64_MAX ? &left : NULL, NULL);
        if (rc == -ETIME || rc == -EINTR) {
            /* The time is up, or a signal came; what arrived at the last moment counts. */
            return uring_harvest(queue, out, max);
        }
        warp_assert(rc == 0 || rc == -EAGAIN || rc == -EBUSY);
    }
}

static int uring_queue_interrupt(void *context, void *queue_)
{
    struct uring_queue *queue = queue_;
    uint64_t one = 1;

    (void)context;
    while (write(queue->event, &one, sizeof(one)) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static void uring_queue_destroy(void *context, void **out)
{
    struct warp_memory *memory = warp_io_plain_memory(context);
    struct uring_queue *queue = *out;

    if (queue == NULL) {
        return;
    }
    /* The kernel may write into buffers until their requests are complete. */
    while (queue->in_flight > 0) {
        struct warp_io_request *request;

        (void)uring_reap(context, queue, &request, 1, UINT64_MAX);
    }
    /* Nor must the read of the eventfd outlive its buffer: closing a ring does not wait. */
    while (queue->event_armed) {
        struct io_uring_cqe *ignored;

        (void)uring_queue_interrupt(context, queue);
        (void)io_uring_wait_cqe(&queue->ring, &ignored);
        (void)uring_harvest(queue, NULL, 0);
    }
    io_uring_queue_exit(&queue->ring);
    close(queue->event);
    warp_memory_release(memory, queue, uring_queue_bytes(queue->depth));
    *out = NULL;
}

static const char *uring_name(void *context)
{
    (void)context;
    return "io_uring";
}

const struct warp_disk_ops warp_io_uring_ops = {
    WARP_IO_PLAIN_FILE_OPS,
    .queue_create = uring_queue_create,
    .queue_destroy = uring_queue_destroy,
    .submit = uring_submit,
    .reap = uring_reap,
    .queue_interrupt = uring_queue_interrupt,
    .name = uring_name,
};
