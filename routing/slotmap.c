#include "routing/slotmap.h"

#include "base/assert.h"

void warp_slotmap_init(struct warp_slotmap *map, uint32_t shard_count)
{
    uint32_t slot;

    warp_assert(shard_count >= 1 && shard_count <= WARP_SHARD_COUNT_MAX);
    atomic_init(&map->version, 0);
    atomic_init(&map->settled, 0);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        atomic_init(&map->owners[slot], (uint8_t)(slot % shard_count));
    }
}

int warp_slotmap_load(struct warp_slotmap *map, const uint8_t owners[WARP_SLOT_COUNT],
                      uint32_t shard_count)
{
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        if (owners[slot] >= shard_count) {
            return WARP_EDAMAGED;
        }
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        atomic_store_explicit(&map->owners[slot], owners[slot], memory_order_relaxed);
    }
    return 0;
}

void warp_slotmap_save(const struct warp_slotmap *map, uint8_t owners[WARP_SLOT_COUNT])
{
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        owners[slot] = (uint8_t)warp_slotmap_owner(map, slot);
    }
}

void warp_slotmap_begin_move(struct warp_slotmap *map, uint32_t slot,
                             _Atomic uint64_t *moved)
{
    uint64_t version;

    warp_assert(slot < WARP_SLOT_COUNT);
    version = atomic_fetch_add_explicit(&map->version, 1, memory_order_acq_rel) + 1;
    atomic_store_explicit(moved, version, memory_order_relaxed);
}

void warp_slotmap_end_move(struct warp_slotmap *map, uint32_t slot, uint32_t owner)
{
    warp_assert(owner < WARP_SHARD_COUNT_MAX);
    /* Release: pairs with the acquire in warp_slotmap_owner. */
    atomic_store_explicit(&map->owners[slot], (uint8_t)owner, memory_order_release);
    /* Release: who sees it settled sees the owner; pairs with the acquire in warp_slotmap_settled. */
    atomic_store_explicit(&map->settled,
                          atomic_load_explicit(&map->version, memory_order_relaxed),
                          memory_order_release);
}
