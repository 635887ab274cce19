#include "engine/slow.h"

#include <string.h>

#include "base/counter.h"
#include "warp/warp.h"

#define SLOW_BYTES (WARP_SNAPSHOT_SLOW * sizeof(struct warp_snapshot_slow))

int warp_slow_init(struct warp_slow_ring *ring, struct warp_memory *memory,
                   uint64_t slow_ns)
{
    ring->slow_ns = slow_ns;
    ring->memory = memory;
    ring->calls = NULL;
    atomic_init(&ring->count, 0);
    if (slow_ns == 0) {
        return 0;
    }
    ring->calls = warp_memory_reserve(memory, SLOW_BYTES, 0);
    if (ring->calls == NULL) {
        return WARP_ENOMEM;
    }
    if (pthread_mutex_init(&ring->mutex, NULL) != 0) {
        warp_memory_release(memory, ring->calls, SLOW_BYTES);
        ring->calls = NULL;
        return WARP_ESYSTEM;
    }
    return 0;
}

void warp_slow_fini(struct warp_slow_ring *ring)
{
    if (ring->calls != NULL) {
        (void)pthread_mutex_destroy(&ring->mutex);
        warp_memory_release(ring->memory, ring->calls, SLOW_BYTES);
        ring->calls = NULL;
    }
}

void warp_slow_keep(struct warp_slow_ring *ring, struct warp_snapshot_slow call)
{
    (void)pthread_mutex_lock(&ring->mutex);
    call.number = warp_counter_read(&ring->count) + 1;
    ring->calls[call.number % WARP_SNAPSHOT_SLOW] = call;
    warp_counter_set(&ring->count, call.number);
    (void)pthread_mutex_unlock(&ring->mutex);
}

uint32_t warp_slow_copy(struct warp_slow_ring *ring,
                        struct warp_snapshot_slow out[WARP_SNAPSHOT_SLOW])
{
    uint32_t copied = 0;
    uint64_t number;

    if (ring->calls == NULL) {
        return 0;
    }
    (void)pthread_mutex_lock(&ring->mutex);
    for (number = warp_counter_read(&ring->count);
         number > 0 && copied < WARP_SNAPSHOT_SLOW; number--) {
        out[copied++] = ring->calls[number % WARP_SNAPSHOT_SLOW];
    }
    (void)pthread_mutex_unlock(&ring->mutex);
    return copied;
}
