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

static void move(struct warp_slotmap *map, uint32_t slot, uint32_t owner,
                 _Atomic uint64_t *moved)
{
    warp_slotmap_begin_move(map, slot, moved);
    warp_slotmap_end_move(map, slot, owner);
}

/* Who keeps a version in the middle of a move must find out later that the slot has moved since. */
WARP_TEST(slotmap, a_move_that_is_only_begun_does_not_count_as_seen)
{
    static struct warp_slotmap map;
    _Atomic uint64_t moved = 0;
    uint64_t kept;

    warp_slotmap_init(&map, 4);
    check_u64(warp_slotmap_settled(&map), ==, 0);
    warp_slotmap_begin_move(&map, 5, &moved);
    kept = warp_slotmap_settled(&map);
    check_u64(warp_slotmap_owner(&map, 5), ==, 1);
    check_u64(moved, >, kept);
    check_u64(warp_slotmap_version(&map), !=, kept);
    warp_slotmap_end_move(&map, 5, 3);
    check_u64(warp_slotmap_owner(&map, 5), ==, 3);
    check_u64(moved, >, kept);
    check_u64(warp_slotmap_settled(&map), ==, moved);
    check_u64(warp_slotmap_settled(&map), ==, warp_slotmap_version(&map));
}

WARP_TEST(slotmap, a_move_gives_the_map_and_the_slot_a_version)
{
    static struct warp_slotmap map;
    _Atomic uint64_t moved[2] = {0, 0};

    warp_slotmap_init(&map, 4);
    check_u64(warp_slotmap_version(&map), ==, 0);
    move(&map, 5, 3, &moved[0]);
    check_u64(warp_slotmap_owner(&map, 5), ==, 3);
    check_u64(warp_slotmap_owner(&map, 4), ==, 0);
    check_u64(warp_slotmap_version(&map), ==, 1);
    check_u64(moved[0], ==, 1);
    move(&map, 6, 0, &moved[1]);
    check_u64(moved[1], ==, 2);
    check_u64(moved[0], ==, 1);
    move(&map, 5, 1, &moved[0]);
    check_u64(moved[0], ==, 3);
    check_u64(warp_slotmap_version(&map), ==, 3);
}

WARP_TEST(slotmap, what_was_saved_is_loaded_if_all_owners_are_shards)
{
    static struct warp_slotmap map, other;
    static uint8_t owners[WARP_SLOT_COUNT];
    _Atomic uint64_t moved = 0;
    uint32_t slot;

    warp_slotmap_init(&map, 4);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot += 7) {
        move(&map, slot, slot % 3, &moved);
    }
    warp_slotmap_save(&map, owners);
    warp_slotmap_init(&other, 4);
    check_int(warp_slotmap_load(&other, owners, 4), ==, 0);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        check_u64(warp_slotmap_owner(&other, slot), ==, warp_slotmap_owner(&map, slot));
    }
    check_u64(warp_slotmap_version(&other), ==, 0);
    /* Of more shards than there are now: nothing of it is taken. */
    warp_slotmap_init(&other, 3);
    check_int(warp_slotmap_load(&other, owners, 3), ==, WARP_EDAMAGED);
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        check_u64(warp_slotmap_owner(&other, slot), ==, slot % 3);
    }
}
