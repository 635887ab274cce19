#include "routing/slotmap.h"

#include "base/assert.h"

void warp_slotmap_init(struct warp_slotmap *map, uint32_t shard_count)
{
    uint32_t slot;

    warp_assert(shard_count >= 1 && shard_count <= WARP_SHARD_COUNT_MAX);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        atomic_init(&map->owners[slot], (uint8_t)(slot % shard_count));
    }
}
