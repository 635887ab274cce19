/*
 * wal/wal.h - the log's door: append a frame, wait for it, open, close.
 *
 * Wires the parts of this room together and runs the log thread. A frame is appended in three
 * steps that a caller must not interrupt: take a place, copy, finish; warp_wal_append() is all
 * three. Everything that can be refused is refused before (warp_wal_room).
 *
 * Threads:   append and room by the owner of the cell (the holder of that shard's lease); wait,
 *            make_room, flush by any thread that holds no lease; create, start, stop and destroy
 *            by the opener; turn from outside only when env->threads is false.
 * Lifetime:  create gives a log that goes on at a position; destroy takes it apart.
 * Units:     bytes of log.
 * Ordering:  see wal/buffer.h and wal/writer.h.
 * Errors:    WARP_ENOMEM, WARP_EIO, WARP_ENOSPC, WARP_ESYSTEM from create and start; WARP_EFAILED.
 * Cost:      append is one atomic add, a copy and a checksum of 32 bytes; the body's checksum
 *            is the caller's, made before.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/thread.h"
#include "wal/frame.h"
#include "wal/writer.h"
#include "warp/warp.h"

struct warp_wal {
    struct warp_writer writer; /* visible for the inline functions below */
    struct warp_thread *thread;
    _Atomic uint32_t stop;
};

/* config->position is where the log goes on; writes an OPEN frame there and makes it durable. */
int warp_wal_create(struct warp_wal **wal, const struct warp_writer_config *config,
                    uint64_t wall_ms);
/* Start the log thread, if the environment wants threads. */
int warp_wal_start(struct warp_wal *wal);
/* Write a CLOSE frame, make all durable, stop the thread, take it apart; the first error. */
int warp_wal_destroy(struct warp_wal **wal, uint64_t wall_ms);

/* One turn of the log from outside; true if it did work. */
bool warp_wal_turn(struct warp_wal *wal);

/* The part of append that may have to wait for the ring: a big frame, or a small one whose place
 * a big one has moved out of the ring's reach. taken: frame->position is taken already. */
int warp_wal_append_slowly(struct warp_wal *wal, uint32_t cell, struct warp_frame *frame,
                           const struct warp_slice *parts, uint32_t part_count, bool taken,
                           bool is_delete);

/* Would a frame with such a body find room now? 0, or WARP_AGAIN: warp_wal_make_room() first. */
static inline bool warp_wal_has_room(const struct warp_wal *wal, uint64_t body_bytes,
                                     bool is_delete)
{
    return warp_writer_has_room(&wal->writer, warp_frame_bytes(body_bytes), is_delete);
}

/*
 * Append a frame whose body is the parts in order; body_crc is the CRC32C of them. *position gets
 * its place, *end where the next one begins. warp_wal_has_room() came before, with the same
 * is_delete. For a frame too big to be small two more answers: WARP_AGAIN, the room is gone, and
 * WARP_EFAILED, the log failed during it; it must not be applied then.
 */
static inline int warp_wal_append(struct warp_wal *wal, uint32_t cell, uint8_t kind,
                                  const struct warp_slice *parts, uint32_t part_count,
                                  uint32_t body_bytes, uint32_t body_crc, bool is_delete,
                                  uint64_t *position, uint64_t *end)
{
    struct warp_writer *writer = &wal->writer;
    uint64_t bytes = warp_frame_bytes(body_bytes);
    uint64_t contiguous, written;
    struct warp_frame frame;
    uint8_t *place, *stop;
    uint32_t i;
    int rc;

    frame.position = 0;
    frame.kind = kind;
    frame.body_bytes = body_bytes;
    frame.body_crc = body_crc;
    frame.epoch = writer->epoch;
    frame.has_mark = true;
    frame.mark = warp_sequence_durable(&writer->sequence);
    if (WARP_UNLIKELY(bytes > writer->small_bytes)) {
        rc = warp_wal_append_slowly(wal, cell, &frame, parts, part_count, false, is_delete);
        *position = frame.position;
        *end = frame.position + bytes;
        return rc;
    }
    frame.position = warp_buffer_begin(&writer->buffer, cell, &writer->sequence, bytes);
    *position = frame.position;
    *end = frame.position + bytes;
    place = warp_buffer_at(&writer->buffer, frame.position, &contiguous);
    /* The room that has_room saw may be behind us: a big frame takes more than its share. Acquire:
     * pairs with the release in writer_update_limits; the ring up to there is free. */
    written = atomic_load_explicit(&writer->written, memory_order_acquire);
    if (WARP_UNLIKELY(bytes > contiguous ||
                      *end + writer->block_bytes > written + writer->buffer.bytes)) {
        return warp_wal_append_slowly(wal, cell, &frame, parts, part_count, true,
                                      is_delete);
    }
    stop = place + bytes;
    warp_frame_encode_header(place, &frame, writer->seed);
    place += WARP_FRAME_HEADER_BYTES;
    for (i = 0; i < part_count; i++) {
        memcpy(place, parts[i].data, parts[i].bytes);
        place += parts[i].bytes;
    }
    while (place < stop) {
        *place++ = 0;
    }
    warp_buffer_finish(&writer->buffer, cell);
    return 0;
}

#endif
