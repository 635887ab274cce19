#include "wal/buffer.h"

#include <string.h>

#include "base/bytes.h"
#include "warp/warp.h"

int warp_buffer_init(struct warp_buffer *buffer, struct warp_memory *memory, uint64_t bytes,
                     uint32_t cell_count, bool huge)
{
    uint32_t cell;

    warp_assert(warp_is_power_of_two(bytes));
    warp_assert(cell_count > 0);
    buffer->memory = warp_memory_map(memory, bytes, 4096, huge);
    if (buffer->memory == NULL) {
        return WARP_ENOMEM;
    }
    buffer->cells =
        warp_memory_reserve(memory, cell_count * sizeof(*buffer->cells), WARP_CACHELINE);
    if (buffer->cells == NULL) {
        warp_memory_unmap(memory, buffer->memory, bytes);
        buffer->memory = NULL;
        return WARP_ENOMEM;
    }
    for (cell = 0; cell < cell_count; cell++) {
        atomic_init(&buffer->cells[cell].start, WARP_BUFFER_FINISHED);
        atomic_init(&buffer->cells[cell].copied, 0);
    }
    buffer->bytes = bytes;
    buffer->mask = bytes - 1;
    buffer->cell_count = cell_count;
    return 0;
}

void warp_buffer_fini(struct warp_buffer *buffer, struct warp_memory *memory)
{
    warp_memory_release(memory, buffer->cells, buffer->cell_count * sizeof(*buffer->cells));
    warp_memory_unmap(memory, buffer->memory, buffer->bytes);
    buffer->cells = NULL;
    buffer->memory = NULL;
}

void warp_buffer_copy_in(struct warp_buffer *buffer, uint64_t position, const void *bytes,
                         size_t count)
{
    uint64_t contiguous;
    uint8_t *place = warp_buffer_at(buffer, position, &contiguous);

    warp_assert(count <= buffer->bytes);
    if (count <= contiguous) {
        memcpy(place, bytes, count);
    } else {
        memcpy(place, bytes, contiguous);
        memcpy(buffer->memory, (const uint8_t *)bytes + contiguous, count - contiguous);
    }
}

void warp_buffer_copy_out(const struct warp_buffer *buffer, uint64_t position, void *bytes,
                          size_t count)
{
    uint64_t contiguous;
    const uint8_t *place = warp_buffer_at(buffer, position, &contiguous);

    warp_assert(count <= buffer->bytes);
    if (count <= contiguous) {
        memcpy(bytes, place, count);
    } else {
        memcpy(bytes, place, contiguous);
        memcpy((uint8_t *)bytes + contiguous, buffer->memory, count - contiguous);
    }
}

void warp_buffer_prefix(const struct warp_buffer *buffer,
                        const struct warp_sequence *sequence, uint64_t *bytes,
                        uint64_t *boundary, uint64_t *tail)
{
    uint64_t finished;
    uint64_t whole;
    uint32_t cell;

    /* The tail before the cells: see Ordering in the header. */
    *tail = warp_sequence_tail(sequence);
    finished = *tail;
    whole = *tail;
    for (cell = 0; cell < buffer->cell_count; cell++) {
        const struct warp_buffer_cell *one = &buffer->cells[cell];
        /* Acquires: pair with the releases of finish and progress. copied is read first: were
         * it read after start, a frame that finished in between and a new one that began could
         * be mixed up: the old start with the new frame's progress. */
        uint64_t copied = atomic_load_explicit(&one->copied, memory_order_acquire);
        uint64_t start = atomic_load_explicit(&one->start, memory_order_acquire);

        if (start == WARP_BUFFER_FINISHED) {
            continue;
        }
        if (start < whole) {
            whole = start;
        }
        if (copied < start) {
            copied = start;
        }
        if (copied < finished) {
            finished = copied;
        }
    }
    warp_assert(whole <= finished);
    *bytes = finished;
    *boundary = whole;
}
