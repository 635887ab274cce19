/* Slots are dealt to the shards in turn, none is left out, and none has more than one more.
 */
#include "routing/slotmap.h"

#include "tests/lib/test.h"

WARP_TEST(slotmap, slots_are_dealt_evenly_to_any_number_of_shards)
{
    static struct warp_slotmap map;
    uint32_t shards, slot, shard;

    for (shards = 1; shards <= WARP_SHARD_COUNT_MAX; shards++) {
        uint32_t counts[WARP_SHARD_COUNT_MAX] = {0};

        warp_slotmap_init(&map, shards);
        for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
            uint32_t owner = warp_slotmap_owner(&map, slot);

            if (!check_u64(owner, <, shards)) {
                return;
            }
            counts[owner]++;
        }
        for (shard = 0; shard < shards; shard++) {
            check_u64(counts[shard], >=, WARP_SLOT_COUNT / shards);
            check_u64(counts[shard], <=, WARP_SLOT_COUNT / shards + 1);
        }
    }
}

WARP_TEST(slotmap, neighbours_lie_apart)
{
    static struct warp_slotmap map;
    uint32_t slot;

    warp_slotmap_init(&map, 8);
    for (slot = 0; slot + 1 < WARP_SLOT_COUNT; slot++) {
        check_u64(warp_slotmap_owner(&map, slot), !=, warp_slotmap_owner(&map, slot + 1));
    }
}
