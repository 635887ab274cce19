#include "base/crc32c.h"

#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"

/* Bit by bit: the definition. */
static uint32_t crc_slow(const unsigned char *at, size_t bytes)
{
    uint32_t crc = UINT32_MAX;

    for (size_t index = 0; index < bytes; index++) {
        crc ^= at[index];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

WARP_TEST(crc32c, known_answers_of_the_iscsi_standard)
{
    unsigned char data[32];

    check_u64(warp_crc32c(0, "", 0), ==, 0);
    check_u64(warp_crc32c(0, "123456789", 9), ==, 0xe3069283);
    check_u64(warp_crc32c_table(0, "123456789", 9), ==, 0xe3069283);
    /* RFC 3720, B.4 */
    memset(data, 0, sizeof(data));
    check_u64(warp_crc32c(0, data, sizeof(data)), ==, 0x8a9136aa);
    check_u64(warp_crc32c_table(0, data, sizeof(data)), ==, 0x8a9136aa);
    memset(data, 0xff, sizeof(data));
    check_u64(warp_crc32c(0, data, sizeof(data)), ==, 0x62a8ab43);
    for (unsigned index = 0; index < 32; index++) {
        data[index] = (unsigned char)index;
    }
    check_u64(warp_crc32c(0, data, sizeof(data)), ==, 0x46dd794e);
    for (unsigned index = 0; index < 32; index++) {
        data[index] = (unsigned char)(31 - index);
    }
    check_u64(warp_crc32c(0, data, sizeof(data)), ==, 0x113fdb5c);
}

WARP_TEST(crc32c, all_ways_agree_at_every_length_and_alignment)
{
    static unsigned char data[8 + 4200];
    struct warp_random random;

    warp_random_init(&random, test_seed());
    for (size_t index = 0; index < sizeof(data); index++) {
        data[index] = (unsigned char)warp_random_next(&random);
    }
    for (size_t bytes = 0; bytes <= 4200; bytes += bytes < 600 ? 1 : 37) {
        const unsigned char *at = data + bytes % 8;
        uint32_t expected = crc_slow(at, bytes);

        if (!check_u64(warp_crc32c_table(0, at, bytes), ==, expected) ||
            !check_u64(warp_crc32c(0, at, bytes), ==, expected)) {
            test_fail(__FILE__, __LINE__, "at %zu bytes, %s", bytes, warp_crc32c_name());
            return;
        }
    }
}

WARP_TEST(crc32c, parts_chain_to_the_whole)
{
    static unsigned char data[20000];
    struct warp_random random;

    warp_random_init(&random, test_seed() + 1);
    for (size_t index = 0; index < sizeof(data); index++) {
        data[index] = (unsigned char)warp_random_next(&random);
    }
    for (int round = 0; round < 200; round++) {
        size_t bytes = warp_random_below(&random, sizeof(data));
        size_t cut = warp_random_below(&random, bytes + 1);
        uint32_t whole = warp_crc32c(0, data, bytes);

        check_u64(warp_crc32c(warp_crc32c(0, data, cut), data + cut, bytes - cut), ==,
                  whole);
        check_u64(warp_crc32c_table(warp_crc32c(0, data, cut), data + cut, bytes - cut), ==,
                  whole);
    }
}
