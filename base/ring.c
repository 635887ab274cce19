/*
 * libck tells a full ring from an empty one by leaving one place free. A ring of capacity N
 * is a ck_ring of 2N places that is held to N by its sender, so that what the rest of the
 * engine calls its capacity is what fits.
 */
#include "base/ring.h"

#include <errno.h>
#include <stdalign.h>

#include "base/bytes.h"
#include "base/ck.h"

#include <ck_ring.h>

#define RING_CAPACITY_MAX (UINT32_C(1) << 30)

struct warp_ring {
    /* libck's: c_head by the receiver, p_tail by the sender, each on its own line. */
    struct ck_ring ck;

    /* Set by create, constant afterwards. Any thread may read. */
    alignas(WARP_CACHELINE) uint32_t capacity;
    struct ck_ring_buffer places[];
};

static size_t ring_bytes(uint32_t capacity)
{
    return warp_align_up(sizeof(struct warp_ring) +
                             2 * (size_t)capacity * sizeof(struct ck_ring_buffer),
                         WARP_CACHELINE);
}

int warp_ring_create(struct warp_memory *memory, uint32_t capacity, struct warp_ring **out)
{
    struct warp_ring *ring;

    warp_assert(*out == NULL);
    warp_assert(warp_is_power_of_two(capacity));
    warp_assert(capacity <= RING_CAPACITY_MAX);
    ring = warp_memory_reserve(memory, ring_bytes(capacity), 2 * WARP_CACHELINE);
    if (ring == NULL) {
        return -ENOMEM;
    }
    ck_ring_init(&ring->ck, 2 * capacity);
    ring->capacity = capacity;
    *out = ring;
    return 0;
}

void warp_ring_destroy(struct warp_memory *memory, struct warp_ring **ring)
{
    if (*ring != NULL) {
        warp_memory_release(memory, *ring, ring_bytes((*ring)->capacity));
        *ring = NULL;
    }
}

bool warp_ring_send(struct warp_ring *ring, void *pointer)
{
    warp_assert(pointer != NULL);
    /* The count is exact or too high here: only we add. */
    if (ck_ring_size(&ring->ck) >= ring->capacity) {
        return false;
    }
    return ck_ring_enqueue_spsc(&ring->ck, ring->places, pointer);
}

bool warp_ring_receive(struct warp_ring *ring, void **pointer)
{
    return ck_ring_dequeue_spsc(&ring->ck, ring->places, pointer);
}

uint32_t warp_ring_count(const struct warp_ring *ring)
{
    return ck_ring_size(&ring->ck);
}
