#include "wal/wal.h"

#include "base/bytes.h"

/* A piece of a big frame: what is copied between two looks at the room in the ring. */
#define WAL_PIECE_BYTES 65536u

static void wal_main(void *context)
{
    struct warp_wal *wal = context;
    struct warp_writer *writer = &wal->writer;
    uint64_t wait_ns = 0;

    /* Acquire: pairs with the release in wal_stop. */
    while (atomic_load_explicit(&wal->stop, memory_order_acquire) == 0) {
        uint64_t due_ns;

        if (warp_writer_turn(writer, wait_ns, &due_ns)) {
            wait_ns = 0;
            continue;
        }
        if (warp_writer_in_flight(writer)) {
            wait_ns = 1000000;
        } else {
            wait_ns = 0;
            warp_writer_sleep(writer, due_ns);
        }
    }
    /* What is in flight is this thread's to reap: it made the ring. */
    while (warp_writer_in_flight(writer)) {
        uint64_t due_ns;

        (void)warp_writer_turn(writer, 1000000, &due_ns);
    }
}

/*
 * Copy a frame piece by piece, telling the writer how far it is, so that it can go to disk and
 * make room for the rest of itself. Before the first wait the cell must say our place instead of
 * the lower bound that begin left there: somebody before us may be waiting for the prefix to
 * pass that bound.
 */
int warp_wal_append_slowly(struct warp_wal *wal, uint32_t cell, struct warp_frame *frame,
                           const struct warp_slice *parts, uint32_t part_count, bool taken,
                           bool is_delete)
{
    struct warp_writer *writer = &wal->writer;
    uint64_t bytes = warp_frame_bytes(frame->body_bytes);
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    uint8_t zeroes[8] = {0};
    struct warp_slice all[8];
    uint64_t at, piece_max = WAL_PIECE_BYTES;
    uint32_t i;
    int rc = 0;

    warp_assert(part_count + 2 <= sizeof(all) / sizeof(all[0]));
    if (piece_max > writer->small_bytes) {
        piece_max = writer->small_bytes;
    }
    if (!taken && !warp_writer_take_big(writer, cell, bytes, is_delete, &frame->position)) {
        return WARP_AGAIN;
    }
    warp_buffer_progress(&writer->buffer, cell, frame->position, frame->position);
    warp_frame_encode_header(header, frame, writer->seed);
    all[0].data = header;
    all[0].bytes = sizeof(header);
    memcpy(&all[1], parts, part_count * sizeof(*parts));
    all[part_count + 1].data = zeroes;
    all[part_count + 1].bytes = bytes - WARP_FRAME_HEADER_BYTES - frame->body_bytes;
    at = frame->position;
    for (i = 0; i < part_count + 2 && rc == 0; i++) {
        const uint8_t *from = all[i].data;
        uint64_t left = all[i].bytes;

        while (left > 0) {
            uint64_t piece = left < piece_max ? left : piece_max;

            rc = warp_writer_wait_ring(writer, at + piece);
            if (rc < 0) {
                break;
            }
            warp_buffer_copy_in(&writer->buffer, at, from, piece);
            at += piece;
            from += piece;
            left -= piece;
            warp_buffer_progress(&writer->buffer, cell, frame->position, at);
        }
    }
    /* After a failure nothing is written any more, so what the ring holds here is no matter. */
    warp_buffer_finish(&writer->buffer, cell);
    return rc;
}

static int wal_append_time(struct warp_wal *wal, uint8_t kind, uint64_t wall_ms)
{
    struct warp_writer *writer = &wal->writer;
    uint8_t body[WARP_FRAME_TIME_BYTES];
    struct warp_slice part = {body, sizeof(body)};
    uint64_t position, end;
    int rc;

    rc = warp_writer_make_room(writer, warp_frame_bytes(sizeof(body)), true, UINT64_MAX);
    if (rc != 0) {
        return rc;
    }
    warp_store_u64le(body, wall_ms);
    rc = warp_wal_append(wal, writer->own_cell, kind, &part, 1, sizeof(body),
                         warp_crc32c(0, body, sizeof(body)), true, &position, &end);
    if (rc != 0) {
        return rc;
    }
    return warp_writer_wait(writer, end, UINT64_MAX);
}

int warp_wal_create(struct warp_wal **wal, const struct warp_writer_config *config,
                    uint64_t wall_ms)
{
    struct warp_wal *made;
    int rc;

    warp_assert(*wal == NULL);
    made = warp_memory_reserve(config->memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    rc = warp_writer_init(&made->writer, config);
    if (rc < 0) {
        goto fail_init;
    }
    rc = wal_append_time(made, WARP_FRAME_OPEN, wall_ms);
    if (rc != 0) {
        goto fail_open;
    }
    *wal = made;
    return 0;

fail_open:
    warp_writer_fini(&made->writer);
fail_init:
    warp_memory_release(config->memory, made, sizeof(*made));
    return rc;
}

int warp_wal_start(struct warp_wal *wal)
{
    if (!wal->writer.env->threads) {
        return 0;
    }
    return warp_thread_start(&wal->thread, wal->writer.memory, "warp-log", -1, wal_main,
                             wal);
}

bool warp_wal_turn(struct warp_wal *wal)
{
    uint64_t due_ns;

    return warp_writer_turn(&wal->writer, 0, &due_ns);
}

int warp_wal_destroy(struct warp_wal **wal, uint64_t wall_ms)
{
    struct warp_wal *one = *wal;
    struct warp_memory *memory = one->writer.memory;
    int rc;

    rc = warp_writer_flush(&one->writer);
    if (one->thread != NULL) {
        /* Release: pairs with the acquire in wal_main. */
        atomic_store_explicit(&one->stop, 1, memory_order_release);
        warp_writer_kick(&one->writer);
        warp_thread_join(&one->thread);
    }
    while (warp_writer_in_flight(&one->writer)) {
        (void)warp_wal_turn(one);
    }
    if (rc == 0) {
        /* The writer's own cell is ours now that its thread is gone, and nobody waits, so that
         * no PAD frame follows the CLOSE. */
        one->writer.next_waiters = 0;
        rc = wal_append_time(one, WARP_FRAME_CLOSE, wall_ms);
        if (rc == WARP_ENOSPC) {
            rc = 0; /* all data is safe; the next open replays without the shortcut */
        }
    }
    warp_writer_fini(&one->writer);
    warp_memory_release(memory, one, sizeof(*one));
    *wal = NULL;
    return rc;
}
