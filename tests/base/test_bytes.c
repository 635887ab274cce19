#include "base/bytes.h"

#include "tests/lib/test.h"

WARP_TEST(bytes, numbers_are_little_endian_at_any_address)
{
    unsigned char data[16] = {0};

    for (unsigned at = 0; at < 8; at++) {
        warp_store_u64le(data + at, UINT64_C(0x0123456789abcdef));
        check_int(data[at], ==, 0xef);
        check_int(data[at + 7], ==, 0x01);
        check_u64(warp_load_u64le(data + at), ==, UINT64_C(0x0123456789abcdef));
        warp_store_u32le(data + at, UINT32_C(0xfedcba98));
        check_int(data[at], ==, 0x98);
        check_u64(warp_load_u32le(data + at), ==, UINT32_C(0xfedcba98));
        warp_store_u16le(data + at, 0x1234);
        check_int(data[at + 1], ==, 0x12);
        check_u64(warp_load_u16le(data + at), ==, 0x1234);
    }
}

WARP_TEST(bytes, alignment_goes_up_and_down_to_multiples)
{
    check_u64(warp_align_up(0, 8), ==, 0);
    check_u64(warp_align_up(1, 8), ==, 8);
    check_u64(warp_align_up(8, 8), ==, 8);
    check_u64(warp_align_up(UINT64_C(0x100000001), 4096), ==, UINT64_C(0x100001000));
    check_u64(warp_align_down(4097, 4096), ==, 4096);
    check_u64(warp_align_down(4095, 4096), ==, 0);
    check(!warp_is_power_of_two(0));
    check(warp_is_power_of_two(1));
    check(!warp_is_power_of_two(3));
    check(warp_is_power_of_two(UINT64_C(1) << 63));
}
