#include "base/hash.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"

static uint32_t slot(const char *key)
{
    return warp_hash_slot(key, strlen(key));
}

static uint16_t crc_slow(const unsigned char *at, size_t bytes)
{
    uint32_t crc = 0;

    for (size_t index = 0; index < bytes; index++) {
        crc ^= (uint32_t)at[index] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = ((crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021u : 0u)) & 0xffffu;
        }
    }
    return (uint16_t)crc;
}

WARP_TEST(hash, crc16_is_xmodem)
{
    unsigned char data[300];
    struct warp_random random;

    check_int(warp_hash_crc16("123456789", 9), ==, 0x31c3);
    warp_random_init(&random, test_seed());
    for (size_t index = 0; index < sizeof(data); index++) {
        data[index] = (unsigned char)warp_random_next(&random);
    }
    for (size_t bytes = 0; bytes < sizeof(data); bytes++) {
        check_int(warp_hash_crc16(data, bytes), ==, crc_slow(data, bytes));
    }
}

WARP_TEST(hash, slots_are_those_of_redis_cluster)
{
    check_u64(slot("foo"), ==, 12182);
    check_u64(slot("bar"), ==, 5061);
    check_u64(slot("hello"), ==, 866);
    check_u64(slot("123456789"), ==, 12739);
    check_u64(warp_hash_slot("", 0), ==, 0);
}

WARP_TEST(hash, a_tag_decides_alone)
{
    check_u64(slot("{user1000}.following"), ==, slot("{user1000}.followers"));
    check_u64(slot("{user1000}.following"), ==, slot("user1000"));
    check_u64(slot("a{foo}"), ==, slot("foo"));
    check_u64(slot("foo{bar}{zap}"), ==, slot("bar"));
    check_u64(slot("foo{{bar}}zap"), ==, slot("{bar"));
    /* An empty or unfinished tag is none. */
    check_u64(slot("foo{}{bar}"), ==,
              crc_slow((const unsigned char *)"foo{}{bar}", 10) & 16383);
    check_u64(slot("foo{bar"), ==, crc_slow((const unsigned char *)"foo{bar", 7) & 16383);
    check_u64(slot("foo}bar{"), ==, crc_slow((const unsigned char *)"foo}bar{", 8) & 16383);
    check_u64(slot("{}"), ==, crc_slow((const unsigned char *)"{}", 2) & 16383);
}

WARP_TEST(hash, a_tag_is_found_wherever_it_is)
{
    unsigned char key[200];

    /* Every length and place: the search takes different ways at 8, 16 and 64 bytes. */
    for (size_t bytes = 5; bytes < sizeof(key); bytes++) {
        for (size_t at = 0; at + 5 <= bytes; at++) {
            memset(key, '|', bytes); /* one bit away from '{' and '}' */
            memcpy(key + at, "{foo}", 5);
            if (!check_u64(warp_hash_slot(key, bytes), ==, 12182)) {
                return;
            }
        }
        memset(key, 0x5b, bytes);
        check_u64(warp_hash_slot(key, bytes), ==, crc_slow(key, bytes) & 16383);
        memset(key, 0xfb, bytes);
        check_u64(warp_hash_slot(key, bytes), ==, crc_slow(key, bytes) & 16383);
    }
}

WARP_TEST(hash, slots_of_plain_keys_are_even)
{
    static uint16_t counts[16384];
    char key[32];
    unsigned most = 0;

    memset(counts, 0, sizeof(counts));
    for (unsigned index = 0; index < 163840; index++) {
        int bytes = snprintf(key, sizeof(key), "user%u", index);

        counts[warp_hash_slot(key, (size_t)bytes)]++;
    }
    for (unsigned index = 0; index < 16384; index++) {
        most = counts[index] > most ? counts[index] : most;
    }
    check_u64(most, <, 40); /* 10 on average */
}

WARP_TEST(hash, key_hash_is_xxh3_and_depends_on_its_seed)
{
    char key[] = "0123456789abcdef";

    /* Values of the published algorithm for the empty input. */
    check_u64(warp_hash_key("", 0, 0), ==, UINT64_C(0x2d06800538d394c2));
    check_u64(warp_hash_key(key, 16, 1), !=, warp_hash_key(key, 16, 2));
    check_u64(warp_hash_key(key, 16, 1), ==, warp_hash_key("0123456789abcdef", 16, 1));
    check_u64(warp_hash_key(key, 15, 1), !=, warp_hash_key(key, 16, 1));
}
