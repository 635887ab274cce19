/*
 * The happy path. Writers fill the ring (wal/buffer). Somebody, the log thread in its turn or a
 * thread that waits for the mark, takes the lock, captures the finished prefix as a flush,
 * lets go of the lock, writes, takes the lock again and completes: marks move in the order of
 * the flushes, whatever order the disk answered in. Then it wakes, outside the lock, who waited
 * for those flushes, and one of those whose bytes are not captured yet, which leads the next.
 *
 * What can go wrong. A write or a sync fails: the log is poisoned (writer_fail), the marks stand
 * still for ever, everybody who waits gets WARP_EFAILED. The disk is full: a segment cannot be
 * made, so limit_put stands still and writers are refused before they take a place; deletes
 * have one stretch of segments more. The ring is full: writers wait in make_room and write it
 * out themselves. A writer stalls between begin and finish: the prefix stands still, everybody
 * waits; that window holds nothing but a copy.
 */
#include "wal/writer.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/counter.h"
#include "base/errno.h"
#include "base/probe.h"
#include "base/thread.h"
#include "warp/warp.h"

#define WRITER_TICK_NS      1000000u  /* WARP_INTERVAL: written within 1 ms */
#define WRITER_QUIET_NS     20000000u /* so long without work before the log goes idle */
#define WRITER_EXTEND_NS    10000000u /* after a full disk, so long before the next try */
#define WRITER_ZERO_BYTES   1048576u  /* prewritten at a time ... */
#define WRITER_ZERO_AHEAD   524288u   /* ... when so little is left of it */
#define WRITER_SMALL_FLUSH  65536u    /* prewriting pays for flushes up to here */
#define WRITER_INLINE_FLUSH 524288u   /* takes the log thread less than a tick */
#define WRITER_QUEUE_DEPTH  32u       /* all flushes, all files of a sync, the prewriting */
#define WRITER_NOT_WAITING  UINT32_MAX

static uint64_t writer_now(const struct warp_writer *writer)
{
    return warp_clock_ns(writer->env->clock);
}

static bool writer_chance(const struct warp_writer *writer, enum warp_chance point)
{
    return warp_env_chance(writer->env, point);
}

static bool writer_try_lock(struct warp_writer *writer)
{
    uint32_t free = 0;

    /* Acquire: pairs with the release in writer_unlock. */
    return atomic_compare_exchange_strong_explicit(
        &writer->lock, &free, 1, memory_order_acquire, memory_order_relaxed);
}

static void writer_lock(struct warp_writer *writer)
{
    uint32_t round = 0;

    while (!writer_try_lock(writer)) {
        if (++round % 64 == 0) {
            warp_thread_yield();
        } else {
            warp_cpu_relax();
        }
    }
}

/* Let go of the lock, then wake those that became due under it. */
static void writer_unlock(struct warp_writer *writer)
{
    uint32_t mask = writer->wake_mask;
    bool one = writer->wake_one;
    bool room = writer->wake_room;
    uint32_t next = 1u << (writer->flush_number & 31);

    writer->wake_mask = 0;
    writer->wake_one = false;
    writer->wake_room = false;
    if (mask != 0 || one) {
        /* Under the lock, so that nobody who registers after us can miss it. */
        atomic_fetch_add_explicit(&writer->mark_word, 1, memory_order_release);
    }
    if (room) {
        atomic_fetch_add_explicit(&writer->room_word, 1, memory_order_release);
    }
    /* Release: pairs with the acquire in writer_try_lock. */
    atomic_store_explicit(&writer->lock, 0, memory_order_release);
    if (!writer->env->threads) {
        return; /* nobody sleeps on a futex */
    }
    if (one && (mask & next) == 0) {
        warp_wake(&writer->mark_word, 1, next);
    }
    if (mask != 0) {
        warp_wake(&writer->mark_word, INT32_MAX, mask);
    }
    if (room) {
        warp_wake(&writer->room_word, INT32_MAX, UINT32_MAX);
    }
}

/* ---- marks and limits, under the lock -------------------------------------------------- */

static void writer_fire_watches(struct warp_writer *writer, bool room)
{
    uint64_t durable = warp_sequence_durable(&writer->sequence);
    bool failed = warp_writer_failed(writer);
    struct warp_writer_watch **link = &writer->watches;

    while (*link != NULL) {
        struct warp_writer_watch *watch = *link;

        if (failed || (watch->room ? room : watch->target <= durable)) {
            *link = watch->next;
            watch->armed = false;
            watch->fire(watch);
        } else {
            link = &watch->next;
        }
    }
}

static void writer_update_limits(struct warp_writer *writer)
{
    uint64_t buffer_end, disk_end, put, delete;

    if (warp_writer_failed(writer)) {
        atomic_store_explicit(&writer->limit_put, 0, memory_order_relaxed);
        atomic_store_explicit(&writer->limit_delete, 0, memory_order_relaxed);
        atomic_store_explicit(&writer->limit_buffer, 0, memory_order_relaxed);
        return;
    }
    buffer_end = warp_align_down(writer->written_raw, writer->block_bytes) +
                 writer->buffer.bytes - writer->slack_bytes;
    disk_end = warp_segments_end(writer->segments);
    delete = disk_end - writer->slack_bytes;
    put = delete > writer->ahead_bytes ? delete - writer->ahead_bytes : 0;
    atomic_store_explicit(&writer->limit_buffer, buffer_end, memory_order_relaxed);
    atomic_store_explicit(&writer->limit_put, put < buffer_end ? put : buffer_end,
                          memory_order_relaxed);
    atomic_store_explicit(&writer->limit_delete, delete < buffer_end ? delete : buffer_end,
                          memory_order_relaxed);
    atomic_store_explicit(&writer->limit_soft, writer->captured + writer->buffer.bytes / 4,
                          memory_order_relaxed);
    /* Release: pairs with the acquire in warp_writer_wait_ring; the ring below is free. */
    atomic_store_explicit(&writer->written, writer->written_raw, memory_order_release);
    if (atomic_load_explicit(&writer->room_waiters, memory_order_relaxed) > 0) {
        writer->wake_room = true;
    }
    if (writer->watches != NULL) {
        writer_fire_watches(writer, true);
    }
}

static void writer_fail(struct warp_writer *writer, const char *what, uint64_t position,
                        int64_t result)
{
    if (warp_writer_failed(writer)) {
        return;
    }
    (void)snprintf(writer->failure, sizeof(writer->failure),
                   "the log failed: %s at position %llu: %s; the database is read-only",
                   what, (unsigned long long)position, strerror((int)-result));
    /* Release: pairs with the acquire in warp_writer_failed. */
    atomic_store_explicit(&writer->failed, 1, memory_order_release);
    writer_update_limits(writer);
    writer->wake_mask = UINT32_MAX;
    writer->wake_room = true;
    writer_fire_watches(writer, false);
}

static void writer_move_mark(struct warp_writer *writer, uint64_t raw, uint64_t boundary)
{
    warp_assert(boundary <= raw);
    warp_assert(raw <= writer->written_raw);
    if (raw <= writer->durable_raw || warp_writer_failed(writer)) {
        return;
    }
    writer->durable_raw = raw;
    if (boundary > warp_sequence_durable(&writer->sequence)) {
        warp_sequence_publish(&writer->sequence, boundary);
        writer_fire_watches(writer, false);
    }
}

/* Take completed flushes off the head of the list, in log order. */
static bool writer_complete(struct warp_writer *writer)
{
    bool did = false;

    while (writer->flush_count > 0) {
        struct warp_flush *flush = &writer->flushes[writer->flush_head];

        if (!flush->done) {
            break;
        }
        did = true;
        warp_segments_unpin(writer->segments, flush->write_from);
        if (flush->result < 0) {
            writer_fail(writer, "a write", flush->from, flush->result);
        } else if (!warp_writer_failed(writer)) {
            warp_assert(writer->written_raw == flush->from);
            writer->written_raw = flush->end;
            if (flush->boundary > writer->written_boundary) {
                writer->written_boundary = flush->boundary;
            }
            if (flush->durable && writer->durable_raw == flush->from) {
                writer_move_mark(writer, flush->end, writer->written_boundary);
            }
        }
        if (flush->waiters > 0) {
            writer->wake_mask |= 1u << (flush->number & 31);
        }
        writer->flush_head = (writer->flush_head + 1) % WARP_FLUSHES_MAX;
        writer->flush_count--;
    }
    if (did) {
        writer->wake_one = writer->wake_one || writer->next_waiters > 0;
        writer_update_limits(writer);
    }
    return did;
}

/* ---- capturing a flush ----------------------------------------------------------------- */

/* Whether all that lies before `captured` is durable, or will be once in-flight flushes are. */
static bool writer_chain_is_durable(const struct warp_writer *writer)
{
    uint32_t i;

    if (writer->durable_raw != writer->written_raw) {
        return false;
    }
    for (i = 0; i < writer->flush_count; i++) {
        if (!writer->flushes[(writer->flush_head + i) % WARP_FLUSHES_MAX].durable) {
            return false;
        }
    }
    return true;
}

/* Finish the block that the tail is in with a PAD frame, if nobody is at work there. */
static bool writer_pad(struct warp_writer *writer, uint64_t tail)
{
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame;
    uint64_t end = warp_align_up(tail + WARP_FRAME_HEADER_BYTES, writer->block_bytes);

    if (end > atomic_load_explicit(&writer->limit_put, memory_order_relaxed) ||
        !warp_sequence_take_exactly(&writer->sequence, tail, end)) {
        return false;
    }
    memset(&frame, 0, sizeof(frame));
    frame.kind = WARP_FRAME_PAD;
    frame.position = tail;
    frame.body_bytes = (uint32_t)(end - tail - WARP_FRAME_HEADER_BYTES);
    frame.epoch = writer->epoch;
    frame.mark = warp_sequence_durable(&writer->sequence);
    frame.has_mark = true;
    warp_frame_encode_header(header, &frame, writer->seed);
    warp_buffer_copy_in(&writer->buffer, tail, header, sizeof(header));
    warp_counter_add(&writer->counters.pad_bytes, end - tail);
    return true;
}

/* A big frame may be captured to its last byte before it says that it is finished: then its end is
 * learnt without anything new to write. */
static void writer_raise_boundary(struct warp_writer *writer, uint64_t boundary)
{
    if (boundary <= writer->captured_boundary || boundary > writer->captured) {
        return;
    }
    writer->captured_boundary = boundary;
    if (writer->flush_count > 0) {
        uint32_t newest = (writer->flush_head + writer->flush_count - 1) % WARP_FLUSHES_MAX;

        writer->flushes[newest].boundary = boundary;
        return;
    }
    writer->written_boundary = boundary;
    if (writer->durable_raw == writer->written_raw && !warp_writer_failed(writer) &&
        boundary > warp_sequence_durable(&writer->sequence)) {
        warp_sequence_publish(&writer->sequence, boundary);
        writer->wake_mask = UINT32_MAX;
        writer_fire_watches(writer, false);
    }
}

/*
 * Capture what is finished, if there is something and a flush may start now; the caller writes it
 * and says so with done. for_commit asks for O_DSYNC where that moves the mark.
 */
static struct warp_flush *writer_capture(struct warp_writer *writer, bool for_commit,
                                         bool may_pad)
{
    struct warp_flush *flush;
    uint64_t bytes, boundary, tail, from, write_from, end, limit, contiguous, offset;
    int32_t file;
    int rc;

    if (writer->flush_count == writer->flushes_max || warp_writer_failed(writer)) {
        return NULL;
    }
    from = writer->captured;
    write_from = warp_align_down(from, writer->block_bytes);
    if (write_from < from && writer->flush_count > 0) {
        /* The newest flush in flight writes the same block. */
        return NULL;
    }
    warp_buffer_prefix(&writer->buffer, &writer->sequence, &bytes, &boundary, &tail);
    if (bytes <= from) {
        writer_raise_boundary(writer, boundary);
        return NULL;
    }
    if (bytes == tail && boundary == tail && tail % writer->block_bytes != 0 &&
        (may_pad || writer_chance(writer, WARP_CHANCE_FLUSH_PADDED)) &&
        writer_pad(writer, tail)) {
        bytes = warp_align_up(tail + WARP_FRAME_HEADER_BYTES, writer->block_bytes);
        boundary = bytes;
    }
    rc = warp_segments_locate(writer->segments, write_from, &file, &offset, &limit);
    if (rc < 0) {
        writer_fail(writer, "opening a segment", from, -5);
        return NULL;
    }
    end = bytes;
    if (end > write_from + limit) {
        end = write_from + limit;
    }
    if (end > write_from + writer->flush_bytes_max) {
        end = write_from + writer->flush_bytes_max;
    }
    if (end - write_from > 2 * (uint64_t)writer->block_bytes &&
        writer_chance(writer, WARP_CHANCE_FLUSH_SPLIT)) {
        end = write_from + writer->block_bytes;
    }
    if (writer->zero_busy && end > writer->zero.from) {
        end = writer->zero.from;
        if (end <= from) {
            return NULL;
        }
    }
    flush = &writer->flushes[(writer->flush_head + writer->flush_count) % WARP_FLUSHES_MAX];
    (void)warp_buffer_at(&writer->buffer, write_from, &contiguous);
    if (warp_align_up(end, writer->block_bytes) - write_from <= WARP_FLUSH_BOUNCE_BYTES) {
        uint64_t whole = warp_align_up(end, writer->block_bytes) - write_from;

        /* A copy, so that the rest of the last block is not a part of somebody's copying. */
        warp_buffer_copy_out(&writer->buffer, write_from, flush->bounce, end - write_from);
        memset(flush->bounce + (end - write_from), 0, whole - (end - write_from));
        flush->request.buffer = flush->bounce;
        flush->request.bytes = (uint32_t)whole;
    } else {
        if (end > write_from + contiguous) {
            end = write_from + contiguous;
        }
        end = warp_align_down(end, writer->block_bytes);
        warp_assert(end > from);
        flush->request.buffer = warp_buffer_at(&writer->buffer, write_from, &contiguous);
        flush->request.bytes = (uint32_t)(end - write_from);
    }
    warp_segments_pin(writer->segments, write_from);
    flush->from = from;
    flush->write_from = write_from;
    flush->end = end;
    if (boundary <= end) {
        writer->captured_boundary = boundary;
    }
    flush->boundary = writer->captured_boundary;
    flush->durable = for_commit && writer_chain_is_durable(writer);
    flush->done = false;
    flush->asynchronous = false;
    flush->zeroes = false;
    flush->result = 0;
    flush->number = writer->flush_number++;
    flush->waiters = writer->next_waiters;
    writer->next_waiters = 0;
    writer->lead_lost = false;
    flush->begun_ns = writer_now(writer);
    flush->request.op = flush->durable ? WARP_IO_WRITE_DURABLE : WARP_IO_WRITE;
    flush->request.file = file;
    flush->request.offset = offset;
    flush->request.user = flush;
    writer->captured = end;
    writer->flush_count++;
    writer->last_flush_ns = flush->begun_ns;
    writer->last_work_ns = flush->begun_ns;
    writer->wants_zeroes = writer->zero_memory != NULL && flush->durable &&
                           flush->request.bytes <= WRITER_SMALL_FLUSH &&
                           end + WRITER_ZERO_AHEAD > writer->zero_end;
    atomic_store_explicit(&writer->limit_soft, writer->captured + writer->buffer.bytes / 4,
                          memory_order_relaxed);
    warp_counter_add(&writer->counters.flushes, 1);
    warp_counter_add(&writer->counters.flush_bytes, flush->request.bytes);
    if (WARP_PLANTED(ACK_BEFORE_SYNC) && flush->boundary > warp_writer_durable(writer)) {
        warp_sequence_publish(&writer->sequence, flush->boundary);
    }
    WARP_PROBE3(log_flush_begin, flush, flush->request.bytes, flush->durable);
    return flush;
}

static void writer_finish(struct warp_writer *writer, struct warp_flush *flush,
                          int64_t result)
{
    flush->result = result;
    if (result >= 0 && result != (int64_t)flush->request.bytes) {
        flush->result = -5; /* EIO: the seam promises all or an error */
    }
    flush->done = true;
    warp_histogram_add(&writer->flush_latency, writer_now(writer) - flush->begun_ns);
    WARP_PROBE3(log_flush_end, flush, flush->request.bytes, flush->result);
}

/* Write a captured flush on this thread. Called and returns with the lock held. */
static void writer_write(struct warp_writer *writer, struct warp_flush *flush)
{
    const struct warp_disk *disk = writer->env->disk;
    int32_t file = flush->request.file;
    const void *buffer = flush->request.buffer;
    uint32_t bytes = flush->request.bytes;
    uint64_t offset = flush->request.offset;
    bool durable = flush->durable;
    int64_t result;

    writer_unlock(writer);
    result = disk->ops->write(disk->context, file, buffer, bytes, offset, durable);
    writer_lock(writer);
    writer_finish(writer, flush, result);
    writer_complete(writer);
}

/* The same for a waiter. */
static void writer_lead(struct warp_writer *writer, struct warp_flush *flush)
{
    warp_counter_add(&writer->counters.flushes_led, 1);
    if (writer->wants_zeroes && !writer->zero_busy) {
        warp_writer_kick(writer); /* rarely: once per half a prewritten stretch */
    }
    writer_write(writer, flush);
}

/* ---- syncs ----------------------------------------------------------------------------- */

/* Which files hold what is written and not durable. False if a sync makes no sense now. */
static bool writer_sync_begin(struct warp_writer *writer, int32_t *files, uint32_t *count)
{
    uint64_t at = writer->durable_raw;
    uint32_t i;

    if (writer->sync_busy || warp_writer_failed(writer) ||
        writer->written_raw == writer->durable_raw) {
        return false;
    }
    *count = 0;
    writer->sync_target = writer->written_raw;
    writer->sync_boundary = writer->written_boundary;
    while (at < writer->written_raw) {
        uint64_t offset, contiguous;

        if (*count == WARP_FLUSH_FILES_MAX) {
            /* The rest is for the next sync; the mark may only pass what is covered. */
            writer->sync_target = at;
            writer->sync_boundary = warp_sequence_durable(&writer->sequence);
            break;
        }
        if (warp_segments_locate(writer->segments, at, &files[*count], &offset,
                                 &contiguous) < 0) {
            writer_fail(writer, "opening a segment", at, -5);
            return false;
        }
        writer->sync_places[*count] = at;
        *count += 1;
        at += contiguous;
    }
    for (i = 0; i < *count; i++) {
        warp_segments_pin(writer->segments, writer->sync_places[i]);
    }
    writer->sync_count = *count;
    writer->sync_busy = true;
    writer->sync_begun_ns = writer_now(writer);
    writer->last_sync_ns = writer->sync_begun_ns;
    warp_counter_add(&writer->counters.syncs, 1);
    return true;
}

static void writer_sync_end(struct warp_writer *writer, int result)
{
    uint32_t i;

    for (i = 0; i < writer->sync_count; i++) {
        warp_segments_unpin(writer->segments, writer->sync_places[i]);
    }
    writer->sync_busy = false;
    writer->last_work_ns = writer_now(writer);
    warp_histogram_add(&writer->sync_latency, writer->last_work_ns - writer->sync_begun_ns);
    if (result < 0) {
        writer_fail(writer, "a sync", writer->durable_raw, result);
    } else {
        /* A big frame may have become whole since the sync began, without new bytes. */
        writer_move_mark(writer, writer->sync_target,
                         writer->sync_target == writer->written_raw
                             ? writer->written_boundary
                             : writer->sync_boundary);
    }
    writer->wake_mask = UINT32_MAX;
}

/* Sync on this thread. Called and returns with the lock held; false if there was nothing to do. */
static bool writer_lead_sync(struct warp_writer *writer)
{
    const struct warp_disk *disk = writer->env->disk;
    int32_t files[WARP_FLUSH_FILES_MAX];
    uint32_t count, i;
    int result = 0;

    if (!writer_sync_begin(writer, files, &count)) {
        return false;
    }
    writer->sync_asynchronous = false;
    writer_unlock(writer);
    for (i = 0; i < count && result == 0; i++) {
        result = disk->ops->sync(disk->context, files[i]);
    }
    writer_lock(writer);
    writer_sync_end(writer, result);
    return true;
}

/* ---- disk space ------------------------------------------------------------------------ */

static bool writer_wants_segment(const struct warp_writer *writer)
{
    uint64_t end = warp_segments_end(writer->segments);
    uint64_t wanted = atomic_load_explicit(&writer->extend_wanted, memory_order_relaxed);

    return warp_sequence_tail_hint(&writer->sequence) + writer->ahead_bytes +
                   writer->ahead_bytes / 4 + 2 * writer->slack_bytes >
               end ||
           wanted > end;
}

static int writer_extend(struct warp_writer *writer, uint64_t now_ns)
{
    int rc;

    if (warp_writer_failed(writer)) {
        return WARP_EFAILED;
    }
    if (writer->extend_result < 0 && now_ns - writer->last_extend_ns < WRITER_EXTEND_NS &&
        now_ns >= writer->last_extend_ns) {
        return writer->extend_result;
    }
    rc = warp_segments_extend(writer->segments);
    writer->last_extend_ns = now_ns;
    writer->extend_result = rc;
    atomic_store_explicit(&writer->disk_full, rc == WARP_ENOSPC, memory_order_relaxed);
    if (rc == 0) {
        warp_counter_add(&writer->counters.segments_made, 1);
        writer_update_limits(writer);
    } else if (rc == WARP_ENOSPC) {
        warp_counter_add(&writer->counters.enospc, 1);
        writer_fire_watches(writer, true); /* an answer too: WARP_ENOSPC */
    } else {
        writer_fail(writer, "making a segment", warp_segments_end(writer->segments), -5);
    }
    return rc;
}

/* ---- the log thread's turn ------------------------------------------------------------- */

static bool writer_reap(struct warp_writer *writer, uint64_t wait_ns)
{
    const struct warp_disk *disk = writer->env->disk;
    struct warp_io_request *done[WARP_FLUSHES_MAX + WARP_FLUSH_FILES_MAX + 1];
    uint32_t count, i;

    count = disk->ops->reap(disk->context, writer->queue, done,
                            WARP_FLUSHES_MAX + WARP_FLUSH_FILES_MAX + 1, wait_ns);
    if (count == 0) {
        return false;
    }
    writer_lock(writer);
    for (i = 0; i < count; i++) {
        struct warp_io_request *request = done[i];

        if (request->op == WARP_IO_SYNC) {
            warp_assert(writer->sync_pending > 0);
            if (request->result < 0) {
                writer->sync_result = (int)request->result;
            }
            if (--writer->sync_pending == 0) {
                writer_sync_end(writer, writer->sync_result);
            }
        } else {
            struct warp_flush *flush = request->user;

            if (flush->zeroes) {
                /* A failure shows when the log itself gets here. */
                writer->zero_busy = false;
                writer->zero_end = flush->end;
                warp_segments_unpin(writer->segments, flush->from);
            } else {
                writer_finish(writer, flush, request->result);
            }
        }
    }
    writer_complete(writer);
    return true; /* with the lock held */
}

static void writer_submit(struct warp_writer *writer, struct warp_io_request *request)
{
    const struct warp_disk *disk = writer->env->disk;
    uint32_t taken = disk->ops->submit(disk->context, writer->queue, &request, 1);

    /* The queue is deeper than all we ever have in flight. */
    warp_assert(taken == 1);
}

/* Prewrite ahead of small durable flushes: a first write to fresh space costs twice as much. */
static bool writer_prewrite(struct warp_writer *writer)
{
    struct warp_flush *zero = &writer->zero;
    uint64_t begin, limit, offset;
    int32_t file;

    if (writer->zero_memory == NULL || writer->zero_busy || warp_writer_failed(writer)) {
        return false;
    }
    begin = warp_align_up(writer->captured, writer->block_bytes);
    if (writer->zero_end > begin) {
        begin = writer->zero_end;
    }
    if (begin > writer->captured + WRITER_ZERO_AHEAD ||
        begin >= warp_segments_end(writer->segments)) {
        return false;
    }
    if (warp_segments_locate(writer->segments, begin, &file, &offset, &limit) < 0) {
        return false;
    }
    memset(zero, 0, sizeof(*zero));
    zero->zeroes = true;
    zero->from = begin;
    zero->end = begin + (limit < WRITER_ZERO_BYTES ? limit : WRITER_ZERO_BYTES);
    zero->request.op = WARP_IO_WRITE;
    zero->request.file = file;
    zero->request.buffer = writer->zero_memory;
    zero->request.bytes = (uint32_t)(zero->end - begin);
    zero->request.offset = offset;
    zero->request.user = zero;
    warp_segments_pin(writer->segments, begin);
    writer->zero_busy = true;
    writer_submit(writer, &zero->request);
    return true;
}

static bool writer_start_sync(struct warp_writer *writer)
{
    int32_t files[WARP_FLUSH_FILES_MAX];
    uint32_t count, i;

    if (!writer_sync_begin(writer, files, &count)) {
        return false;
    }
    writer->sync_asynchronous = true;
    writer->sync_pending = count;
    writer->sync_result = 0;
    for (i = 0; i < count; i++) {
        struct warp_io_request *request = &writer->sync_requests[i];

        memset(request, 0, sizeof(*request));
        request->op = WARP_IO_SYNC;
        request->file = files[i];
        writer_submit(writer, request);
    }
    return true;
}

/* One small frame that records the mark, so that what it covers is known to be no torn tail. */
static void writer_write_mark(struct warp_writer *writer)
{
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame;

    if (!warp_writer_has_room(writer, WARP_FRAME_HEADER_BYTES, true)) {
        return;
    }
    memset(&frame, 0, sizeof(frame));
    frame.kind = WARP_FRAME_MARK;
    frame.epoch = writer->epoch;
    frame.mark = warp_sequence_durable(&writer->sequence);
    frame.has_mark = true;
    frame.position = warp_buffer_begin(&writer->buffer, writer->own_cell, &writer->sequence,
                                       WARP_FRAME_HEADER_BYTES);
    warp_frame_encode_header(header, &frame, writer->seed);
    warp_buffer_copy_in(&writer->buffer, frame.position, header, sizeof(header));
    warp_buffer_finish(&writer->buffer, writer->own_cell);
    writer->marked_tail = frame.position + WARP_FRAME_HEADER_BYTES;
}

/*
 * Nothing to do: sleep until kicked. Who writes adds to the tail first and then looks at `idle`; we
 * set `idle` first and then look at the tail, both seq_cst: one of us sees the other.
 */
static bool writer_go_idle(struct warp_writer *writer)
{
    uint64_t tail;

    atomic_store_explicit(&writer->idle, 1, memory_order_seq_cst);
    tail = atomic_load_explicit(&writer->sequence.tail, memory_order_seq_cst);
    if (tail != writer->captured) {
        atomic_store_explicit(&writer->idle, 0, memory_order_relaxed);
        return false;
    }
    return true;
}

static void writer_raise(_Atomic uint64_t *wanted, uint64_t target)
{
    uint64_t seen = atomic_load_explicit(wanted, memory_order_relaxed);

    /* Relaxed: a number alone; the log thread looks again until it is reached. */
    while (seen < target && !atomic_compare_exchange_weak_explicit(wanted, &seen, target,
                                                                   memory_order_relaxed,
                                                                   memory_order_relaxed)) {
    }
}

bool warp_writer_turn(struct warp_writer *writer, uint64_t wait_ns, uint64_t *due_ns)
{
    uint64_t now_ns, tail, wanted, due = UINT64_MAX;
    bool did = false, interval, pressed;
    int rc = 0;

    if (writer->queue == NULL) {
        /* Made by the thread that uses it: the kernel interrupts whoever made a ring, and that
         * must not be an application's thread in its epoll_wait. */
        rc = writer->env->disk->ops->queue_create(writer->env->disk->context,
                                                  WRITER_QUEUE_DEPTH, &writer->queue);
    }
    if (rc == 0) {
        did = writer_reap(writer, wait_ns);
    }
    if (!did) {
        writer_lock(writer);
    }
    if (rc < 0) {
        writer_fail(writer, "making an I/O queue", writer->captured, rc);
    }
    now_ns = writer_now(writer);
    tail = warp_sequence_tail(&writer->sequence);
    wanted = atomic_load_explicit(&writer->commit_wanted, memory_order_relaxed);
    if (atomic_load_explicit(&writer->idle, memory_order_relaxed) != 0 &&
        tail != writer->captured) {
        atomic_store_explicit(&writer->idle, 0, memory_order_relaxed);
    }
    if (warp_writer_failed(writer)) {
        *due_ns = UINT64_MAX;
        writer_unlock(writer);
        return did;
    }

    /* Flushes. */
    interval = atomic_load_explicit(&writer->interval_wanted, memory_order_relaxed) != 0;
    pressed = tail - writer->captured >= writer->buffer.bytes / 4;
    if (tail != writer->captured || wanted > writer->captured_boundary) {
        uint64_t flush_due =
            writer->last_flush_ns + (interval ? WRITER_TICK_NS : writer->sync_interval_ns);
        bool commit = wanted > writer->captured_boundary;

        if (((commit && (writer->next_waiters == 0 || writer->lead_lost)) || pressed ||
             now_ns >= flush_due || writer_chance(writer, WARP_CHANCE_FLUSH_EARLY)) &&
            !writer_chance(writer, WARP_CHANCE_FLUSH_LATE)) {
            struct warp_flush *flush;
            bool captured = false;

            if (interval) {
                atomic_store_explicit(&writer->interval_wanted, 0, memory_order_relaxed);
            }
            while ((flush = writer_capture(writer, commit, false)) != NULL) {
                captured = true;
                if (!commit && !pressed && writer->flush_count == 1 && !writer->sync_busy &&
                    !writer->zero_busy && flush->request.bytes <= WRITER_INLINE_FLUSH &&
                    (writer->env->threads ||
                     writer_chance(writer, WARP_CHANCE_FLUSH_INLINE))) {
                    /* Nobody waits for it and nothing is behind it. The kernel would give it to a
                     * thread of its own, which wakes twice for what this one can do by itself. */
                    writer_write(writer, flush);
                    break;
                }
                flush->asynchronous = true;
                writer_submit(writer, &flush->request);
            }
            did = did || captured;
            if (!captured && interval) {
                /* Nothing could be captured now: keep the wish. */
                atomic_store_explicit(&writer->interval_wanted, 1, memory_order_relaxed);
            }
            flush_due = now_ns + WRITER_TICK_NS;
        }
        if (flush_due < due) {
            due = flush_due;
        }
    }
    /* Space ahead, also the retry after a full disk; behind the flushes, because it blocks. */
    if (writer_wants_segment(writer)) {
        if (writer_extend(writer, now_ns) == 0) {
            did = true;
        } else if (writer->extend_result < 0) {
            /* Somebody who needs it will try and ask; until then no hurry. */
            due = writer->last_extend_ns + 20 * WRITER_EXTEND_NS;
        }
    }

    if (writer->wants_zeroes && !writer->zero_busy) {
        writer->wants_zeroes = false;
        did = writer_prewrite(writer) || did;
    }

    /* Syncs. */
    if (writer->written_raw > writer->durable_raw && !writer->sync_busy) {
        uint64_t sync_due = writer->last_sync_ns + writer->sync_interval_ns;

        if (now_ns >= sync_due || (wanted > warp_sequence_durable(&writer->sequence) &&
                                   writer->written_boundary >= wanted)) {
            did = writer_start_sync(writer) || did;
        } else if (sync_due < due) {
            due = sync_due;
        }
    }

    /* Rest. */
    if (!did && writer->flush_count == 0 && !writer->sync_busy && !writer->zero_busy &&
        tail == writer->captured && writer->durable_raw == writer->written_raw) {
        if (now_ns < writer->last_work_ns + WRITER_QUIET_NS) {
            if (writer->last_work_ns + WRITER_QUIET_NS < due) {
                due = writer->last_work_ns + WRITER_QUIET_NS;
            }
        } else if (writer->marked_tail != tail &&
                   warp_writer_has_room(writer, WARP_FRAME_HEADER_BYTES, true)) {
            writer_write_mark(writer);
            writer_raise(&writer->commit_wanted, writer->marked_tail);
            did = true;
        } else if (!writer_go_idle(writer)) {
            did = true;
        }
    }
    *due_ns = due;
    writer_unlock(writer);
    return did;
}

bool warp_writer_in_flight(struct warp_writer *writer)
{
    bool result = false;
    uint32_t i;

    writer_lock(writer);
    for (i = 0; i < writer->flush_count; i++) {
        const struct warp_flush *flush =
            &writer->flushes[(writer->flush_head + i) % WARP_FLUSHES_MAX];

        result = result || (flush->asynchronous && !flush->done);
    }
    result =
        result || writer->zero_busy || (writer->sync_busy && writer->sync_asynchronous);
    writer_unlock(writer);
    return result;
}

void warp_writer_sleep(struct warp_writer *writer, uint64_t due_ns)
{
    uint32_t word = atomic_load_explicit(&writer->kick_word, memory_order_acquire);
    uint64_t now_ns = writer_now(writer);

    /* seq_cst with the kicker's add and load: it sees us asleep, or we see its word. */
    atomic_store_explicit(&writer->sleeping, 1, memory_order_seq_cst);
    if (due_ns > now_ns &&
        atomic_load_explicit(&writer->hurry, memory_order_seq_cst) == 0) {
        (void)warp_park(&writer->kick_word, word,
                        due_ns == UINT64_MAX ? UINT64_MAX : due_ns - now_ns, UINT32_MAX);
    }
    atomic_store_explicit(&writer->sleeping, 0, memory_order_relaxed);
    /* seq_cst: what the kickers wanted is looked at after this (see warp_writer_kick). */
    (void)atomic_exchange_explicit(&writer->hurry, 0, memory_order_seq_cst);
}

/* ---- any thread ------------------------------------------------------------------------ */

void warp_writer_kick(struct warp_writer *writer)
{
    if (!writer->env->threads) {
        return;
    }
    /* seq_cst: our wish was stored before; if hurry is set already, the log thread has yet to
     * clear it, and looks for wishes after that. */
    if (atomic_exchange_explicit(&writer->hurry, 1, memory_order_seq_cst) != 0) {
        return;
    }
    atomic_fetch_add_explicit(&writer->kick_word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&writer->sleeping, memory_order_seq_cst) != 0) {
        warp_wake(&writer->kick_word, 1, UINT32_MAX);
    }
}

void warp_writer_want(struct warp_writer *writer, uint64_t target)
{
    if (target <= warp_writer_durable(writer)) {
        return;
    }
    writer_raise(&writer->commit_wanted, target);
    warp_writer_kick(writer);
}

int warp_writer_wait(struct warp_writer *writer, uint64_t target, uint64_t timeout_ns)
{
    uint64_t deadline_ns = UINT64_MAX;
    bool counted = false;

    while (warp_writer_durable(writer) < target) {
        struct warp_flush *flush;
        uint64_t left_ns = UINT64_MAX;
        uint32_t word, bit, i;

        if (warp_writer_failed(writer)) {
            /* Looked at in this order: the mark never moves after the failure. */
            return warp_writer_durable(writer) >= target ? 0 : WARP_EFAILED;
        }
        if (timeout_ns != UINT64_MAX) {
            uint64_t now_ns = writer_now(writer);

            if (deadline_ns == UINT64_MAX) {
                deadline_ns = now_ns + timeout_ns;
            }
            if (now_ns >= deadline_ns) {
                if (counted) {
                    /* We may have been woken to lead: hand that on to the log thread. */
                    writer_lock(writer);
                    writer->lead_lost = true;
                    writer_unlock(writer);
                    warp_writer_kick(writer);
                }
                return WARP_AGAIN;
            }
            left_ns = deadline_ns - now_ns;
        }
        if (!counted) {
            writer_raise(&writer->commit_wanted, target);
            counted = true;
        }
        writer_lock(writer);
        if (warp_writer_durable(writer) >= target || warp_writer_failed(writer)) {
            writer_unlock(writer);
            continue;
        }
        if (writer->captured_boundary < target) {
            flush = writer_capture(writer, true,
                                   writer->next_waiters > 0 || writer->flush_count > 0);
            if (flush != NULL) {
                writer_lead(writer, flush);
                writer_unlock(writer);
                continue;
            }
        } else if (writer->flush_count == 0 && writer_lead_sync(writer)) {
            writer_unlock(writer);
            continue;
        }
        /* Somebody else's flush has our bytes, or the disk has enough to do. */
        bit = WRITER_NOT_WAITING;
        for (i = 0; i < writer->flush_count; i++) {
            flush = &writer->flushes[(writer->flush_head + i) % WARP_FLUSHES_MAX];
            if (flush->boundary >= target && flush->durable) {
                flush->waiters++;
                bit = (uint32_t)(flush->number & 31);
                break;
            }
        }
        if (bit == WRITER_NOT_WAITING && writer->flush_count > 0) {
            if (writer->captured_boundary >= target) {
                /* It needs a sync after the flush in flight: look again when that is done. */
                flush = &writer->flushes[writer->flush_head];
                flush->waiters++;
                bit = (uint32_t)(flush->number & 31);
            } else {
                writer->next_waiters++;
                bit = (uint32_t)(writer->flush_number & 31);
            }
        } else if (bit == WRITER_NOT_WAITING && writer->sync_busy) {
            bit = 0; /* the end of a sync wakes everybody */
        }
        /* Acquire: pairs with the add in writer_unlock; read under the lock. */
        word = atomic_load_explicit(&writer->mark_word, memory_order_acquire);
        warp_counter_add(&writer->counters.waits, 1);
        writer_unlock(writer);
        if (!writer->env->threads) {
            if (!writer_chance(writer, WARP_CHANCE_SPURIOUS_WAKE)) {
                writer->env->wait(writer->env->context);
            }
        } else if (bit == WRITER_NOT_WAITING) {
            /* A writer is between begin and finish, below our place: that is a copy long. */
            warp_thread_yield();
        } else {
            (void)warp_park(&writer->mark_word, word, left_ns, 1u << bit);
        }
    }
    return 0;
}

int warp_writer_flush(struct warp_writer *writer)
{
    uint64_t tail = warp_sequence_tail(&writer->sequence);

    return warp_writer_wait(writer, tail, UINT64_MAX);
}

/* Wait for the ring to drain a little, writing it out ourselves if nobody does. Lock not held. */
static int writer_drain(struct warp_writer *writer)
{
    struct warp_flush *flush;
    uint32_t word;

    writer_lock(writer);
    if (warp_writer_failed(writer)) {
        writer_unlock(writer);
        return WARP_EFAILED;
    }
    flush = writer_capture(writer, false, false);
    if (flush != NULL) {
        writer_lead(writer, flush);
        writer_unlock(writer);
        return 0;
    }
    atomic_fetch_add_explicit(&writer->room_waiters, 1, memory_order_relaxed);
    word = atomic_load_explicit(&writer->room_word, memory_order_acquire);
    warp_counter_add(&writer->counters.room_waits, 1);
    writer_unlock(writer);
    if (!writer->env->threads) {
        writer->env->wait(writer->env->context);
    } else {
        /* The time-out is for the case that nothing is in flight but a copy. */
        (void)warp_park(&writer->room_word, word, WRITER_TICK_NS, UINT32_MAX);
    }
    atomic_fetch_sub_explicit(&writer->room_waiters, 1, memory_order_relaxed);
    return 0;
}

int warp_writer_make_room(struct warp_writer *writer, uint64_t bytes, bool is_delete,
                          uint64_t timeout_ns)
{
    uint64_t begun_ns = 0;

    while (!warp_writer_has_room(writer, bytes, is_delete)) {
        uint64_t tail = warp_sequence_tail_hint(&writer->sequence);
        uint64_t disk_wanted =
            tail + bytes + writer->slack_bytes + (is_delete ? 0 : writer->ahead_bytes);
        uint64_t now_ns = writer_now(writer);
        int rc;

        if (warp_writer_failed(writer)) {
            return WARP_EFAILED;
        }
        if (begun_ns == 0) {
            begun_ns = now_ns;
        } else if (now_ns - begun_ns >= timeout_ns) {
            return WARP_AGAIN;
        }
        if (disk_wanted > warp_segments_end(writer->segments)) {
            writer_lock(writer);
            rc = 0;
            if (disk_wanted > warp_segments_end(writer->segments)) {
                rc = writer_extend(writer, now_ns);
            }
            writer_unlock(writer);
        } else {
            rc = writer_drain(writer);
        }
        if (rc < 0) {
            return rc == WARP_ENOSPC ? WARP_ENOSPC : WARP_EFAILED;
        }
    }
    return 0;
}

void warp_writer_ask_room(struct warp_writer *writer, uint64_t bytes, bool is_delete)
{
    writer_raise(&writer->extend_wanted, warp_sequence_tail_hint(&writer->sequence) +
                                             bytes + writer->slack_bytes +
                                             (is_delete ? 0 : writer->ahead_bytes));
    warp_writer_kick(writer);
}

bool warp_writer_take_big(struct warp_writer *writer, uint32_t cell, uint64_t bytes,
                          bool is_delete, uint64_t *position)
{
    bool room;

    writer_lock(writer);
    room = warp_writer_has_room(writer, bytes, is_delete);
    if (room) {
        *position = warp_buffer_begin(&writer->buffer, cell, &writer->sequence, bytes);
    }
    writer_unlock(writer);
    return room;
}

int warp_writer_wait_ring(struct warp_writer *writer, uint64_t end)
{
    for (;;) {
        /* Acquire: pairs with the release in writer_update_limits. */
        uint64_t written = atomic_load_explicit(&writer->written, memory_order_acquire);
        int rc;

        if (end + writer->block_bytes <= written + writer->buffer.bytes) {
            return 0;
        }
        rc = writer_drain(writer);
        if (rc < 0) {
            return rc;
        }
    }
}

void warp_writer_watch(struct warp_writer *writer, struct warp_writer_watch *watch)
{
    writer_lock(writer);
    warp_assert(!watch->armed);
    watch->armed = true;
    watch->next = writer->watches;
    writer->watches = watch;
    writer_fire_watches(writer, false);
    writer_unlock(writer);
}

void warp_writer_unwatch(struct warp_writer *writer, struct warp_writer_watch *watch)
{
    struct warp_writer_watch **link;

    writer_lock(writer);
    if (watch->armed) {
        for (link = &writer->watches; *link != watch; link = &(*link)->next) {
        }
        *link = watch->next;
        watch->armed = false;
    }
    writer_unlock(writer);
}

int warp_writer_failure(struct warp_writer *writer, char *text, size_t text_bytes)
{
    bool failed = warp_writer_failed(writer);

    if (text_bytes > 0) {
        (void)snprintf(text, text_bytes, "%s", failed ? writer->failure : "");
    }
    return failed ? WARP_EFAILED : 0;
}

/* ---- making and unmaking --------------------------------------------------------------- */

static int writer_read_block(struct warp_writer *writer, uint64_t begin, uint64_t bytes,
                             uint8_t *out)
{
    const struct warp_disk *disk = writer->env->disk;
    uint64_t offset, contiguous;
    int64_t got;
    int32_t file;
    int rc;

    rc = warp_segments_locate(writer->segments, begin, &file, &offset, &contiguous);
    if (rc < 0) {
        return rc;
    }
    got = disk->ops->read(disk->context, file, out, writer->block_bytes, offset);
    return got < (int64_t)bytes ? WARP_EIO : 0;
}

/*
 * Bring the begin of the block that the log goes on in back into the ring. It will be written
 * again: what was checked is taken as it was then, and what lies before that, which no checksum of
 * this open covers, must read the same twice.
 */
static int writer_load_block(struct warp_writer *writer, uint64_t position,
                             const struct warp_writer_tail *tail)
{
    uint64_t begin = warp_align_down(position, writer->block_bytes);
    uint64_t from = position;
    uint8_t *block = writer->flushes[0].bounce, *again = writer->flushes[1].bounce;
    int rc;

    if (begin == position) {
        return 0;
    }
    if (tail != NULL && tail->from < tail->end) {
        warp_assert(tail->end == position);
        from = tail->from > begin ? tail->from : begin;
        memcpy(block + (from - begin), tail->bytes + from % WARP_WRITER_BLOCK_BYTES_MAX,
               position - from);
    }
    if (from > begin) {
        rc = writer_read_block(writer, begin, from - begin, again);
        if (rc < 0) {
            return rc;
        }
        memcpy(block, again, from - begin);
        rc = writer_read_block(writer, begin, from - begin, again);
        if (rc < 0) {
            return rc;
        }
        if (memcmp(block, again, from - begin) != 0) {
            return WARP_EIO;
        }
    }
    warp_buffer_copy_in(&writer->buffer, begin, block, position - begin);
    return 0;
}

static uint32_t writer_block_bytes(struct warp_writer *writer, uint64_t position)
{
    const struct warp_disk *disk = writer->env->disk;
    uint64_t offset, contiguous;
    int32_t file;

    if (warp_segments_locate(writer->segments, position, &file, &offset, &contiguous) < 0) {
        return 4096;
    }
    return disk->ops->block_bytes(disk->context, file);
}

int warp_writer_init(struct warp_writer *writer, const struct warp_writer_config *config)
{
    uint32_t cells = config->cell_count + 1;
    uint32_t i;
    int rc;

    warp_assert(config->flushes_max >= 1 && config->flushes_max <= WARP_FLUSHES_MAX);
    memset(writer, 0, sizeof(*writer));
    writer->env = config->env;
    writer->memory = config->memory;
    writer->segments = config->segments;
    writer->segment_bytes = config->manifest->segment_bytes;
    writer->seed = warp_manifest_seed(config->manifest);
    writer->epoch = config->manifest->epoch;
    writer->flushes_max = config->flushes_max;
    writer->flush_bytes_max = config->flush_bytes_max;
    writer->own_cell = config->cell_count;
    writer->sync_interval_ns = config->sync_interval_ns;
    writer->small_bytes = config->buffer_bytes / (4 * cells);
    if (writer->small_bytes > 65536) {
        writer->small_bytes = 65536;
    }
    writer->small_bytes = warp_align_down(writer->small_bytes, 8);
    writer->slack_bytes = cells * writer->small_bytes + 4096;
    writer->ahead_bytes = warp_align_up(2 * writer->slack_bytes, writer->segment_bytes);
    warp_sequence_init(&writer->sequence, config->position, config->position);
    rc = warp_buffer_init(&writer->buffer, config->memory, config->buffer_bytes, cells,
                          config->huge_pages);
    if (rc < 0) {
        return rc;
    }
    rc = WARP_ENOMEM;
    for (i = 0; i < WARP_FLUSHES_MAX; i++) {
        writer->flushes[i].bounce =
            warp_memory_reserve(config->memory, WARP_FLUSH_BOUNCE_BYTES, 4096);
        if (writer->flushes[i].bounce == NULL) {
            goto fail;
        }
    }
    if (config->env->threads || config->env->prewrites) {
        writer->zero_memory =
            warp_memory_map(config->memory, WRITER_ZERO_BYTES, 4096, false);
        if (writer->zero_memory == NULL) {
            goto fail;
        }
    }
    writer->captured = config->position;
    writer->captured_boundary = config->position;
    writer->written_raw = config->position;
    writer->written_boundary = config->position;
    writer->durable_raw = config->position;
    writer->marked_tail = config->position;
    writer->zero_end = config->position;
    while (writer_wants_segment(writer)) {
        rc = warp_segments_extend(config->segments);
        if (rc == WARP_ENOSPC &&
            warp_segments_end(config->segments) >= config->position + writer->slack_bytes) {
            break; /* opens on a full disk: reads work, deletes may */
        }
        if (rc < 0) {
            goto fail;
        }
    }
    writer->block_bytes = writer_block_bytes(writer, config->position);
    rc = writer_load_block(writer, config->position, config->tail);
    if (rc < 0) {
        goto fail;
    }
    writer_update_limits(writer);
    writer->last_flush_ns = writer_now(writer);
    writer->last_sync_ns = writer->last_flush_ns;
    writer->last_work_ns = writer->last_flush_ns;
    return 0;

fail:
    warp_writer_fini(writer);
    return rc;
}

void warp_writer_fini(struct warp_writer *writer)
{
    const struct warp_disk *disk = writer->env->disk;
    uint32_t i;

    warp_assert(writer->watches == NULL);
    if (writer->queue != NULL) {
        disk->ops->queue_destroy(disk->context, &writer->queue);
    }
    for (i = 0; i < WARP_FLUSHES_MAX; i++) {
        warp_memory_release(writer->memory, writer->flushes[i].bounce,
                            WARP_FLUSH_BOUNCE_BYTES);
    }
    if (writer->zero_memory != NULL) {
        warp_memory_unmap(writer->memory, writer->zero_memory, WRITER_ZERO_BYTES);
    }
    warp_buffer_fini(&writer->buffer, writer->memory);
}
