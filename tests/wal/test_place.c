/*
 * Places: the two kinds are told apart, and an archive address keeps every bit.
 */
#include "wal/place.h"

#include <stdint.h>

#include "tests/lib/test.h"

static void check_round(uint32_t file, uint32_t unit, uint32_t units, uint32_t index)
{
    struct warp_place in = {file, unit, units, index};
    uint64_t place = warp_place_encode(&in);
    struct warp_place out = warp_place_decode(place);

    check(warp_place_is_archived(place));
    check_u64(out.file, ==, file);
    check_u64(out.unit, ==, unit);
    check_u64(out.units, ==, units);
    check_u64(out.index, ==, index);
}

WARP_TEST(place, a_position_of_the_log_is_not_archived)
{
    check(!warp_place_is_archived(0));
    check(!warp_place_is_archived(32));
    check(!warp_place_is_archived(WARP_PLACE_ARCHIVED - 1));
    check(warp_place_is_archived(WARP_PLACE_ARCHIVED));
    check(warp_place_is_archived(UINT64_MAX));
}

WARP_TEST(place, each_field_comes_back_at_both_ends_of_its_range)
{
    uint32_t which;

    for (which = 0; which < 16; which++) {
        check_round((which & 1u) != 0 ? WARP_PLACE_FILES_MAX - 1 : 0,
                    (which & 2u) != 0 ? WARP_PLACE_UNIT_MAX - 1 : 0,
                    (which & 4u) != 0 ? WARP_PLACE_UNITS_MAX - 1 : 0,
                    (which & 8u) != 0 ? WARP_PLACE_ENTRIES_MAX - 1 : 0);
    }
    check_round(1, 8, 3, 17);
}

WARP_TEST(place, the_fields_lie_where_the_drawing_has_them)
{
    struct warp_place in = {1, 1, 1, 1};

    check_u64(warp_place_encode(&in), ==,
              UINT64_C(1) << 63 | UINT64_C(1) << 41 | UINT64_C(1) << 20 | 1u << 10 | 1u);
    in = (struct warp_place){WARP_PLACE_FILES_MAX - 1, WARP_PLACE_UNIT_MAX - 1,
                             WARP_PLACE_UNITS_MAX - 1, WARP_PLACE_ENTRIES_MAX - 1};
    check_u64(warp_place_encode(&in), ==, UINT64_MAX);
}

WARP_TEST(place, every_64_bits_decode_and_encode_to_themselves)
{
    uint64_t place = UINT64_C(0x9e3779b97f4a7c15);
    struct warp_place fields;
    uint32_t i;

    for (i = 0; i < 1000; i++) {
        place = place * UINT64_C(6364136223846793005) + 1;
        fields = warp_place_decode(place | WARP_PLACE_ARCHIVED);
        check_u64(warp_place_encode(&fields), ==, place | WARP_PLACE_ARCHIVED);
    }
}
