/*
 * CRC16 is linear: the effect of a byte, seven more bytes behind it, is a table entry, and
 * the effect of eight bytes is the sum of eight entries that do not wait for each other.
 * Table k is for a byte with k bytes behind it; each entry is made of eight constants, one
 * per bit.
 */
#include "base/hash.h"

#include <string.h>

#include "base/bytes.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define HASH_SLOT_MASK 16383u

#define HASH_BIT(b, n, c) ((((b) >> (n)) & 1u) != 0 ? (c) : 0u)
#define HASH_ENTRY(b, c0, c1, c2, c3, c4, c5, c6, c7)                                      \
    (uint16_t)(HASH_BIT(b, 0, c0) ^ HASH_BIT(b, 1, c1) ^ HASH_BIT(b, 2, c2) ^              \
               HASH_BIT(b, 3, c3) ^ HASH_BIT(b, 4, c4) ^ HASH_BIT(b, 5, c5) ^              \
               HASH_BIT(b, 6, c6) ^ HASH_BIT(b, 7, c7))
#define HASH_ROW4(b, ...)                                                                  \
    HASH_ENTRY(b, __VA_ARGS__), HASH_ENTRY((b) + 1, __VA_ARGS__),                          \
        HASH_ENTRY((b) + 2, __VA_ARGS__), HASH_ENTRY((b) + 3, __VA_ARGS__)
#define HASH_ROW16(b, ...)                                                                 \
    HASH_ROW4(b, __VA_ARGS__), HASH_ROW4((b) + 4, __VA_ARGS__),                            \
        HASH_ROW4((b) + 8, __VA_ARGS__), HASH_ROW4((b) + 12, __VA_ARGS__)
#define HASH_ROW64(b, ...)                                                                 \
    HASH_ROW16(b, __VA_ARGS__), HASH_ROW16((b) + 16, __VA_ARGS__),                         \
        HASH_ROW16((b) + 32, __VA_ARGS__), HASH_ROW16((b) + 48, __VA_ARGS__)
#define HASH_ROW256(...)                                                                   \
    {                                                                                      \
        HASH_ROW64(0u, __VA_ARGS__), HASH_ROW64(64u, __VA_ARGS__),                         \
            HASH_ROW64(128u, __VA_ARGS__), HASH_ROW64(192u, __VA_ARGS__)                   \
    }

static const uint16_t hash_table[8][256] = {
    HASH_ROW256(0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48c4, 0x9188),
    HASH_ROW256(0x3331, 0x6662, 0xccc4, 0x89a9, 0x0373, 0x06e6, 0x0dcc, 0x1b98),
    HASH_ROW256(0x3730, 0x6e60, 0xdcc0, 0xa9a1, 0x4363, 0x86c6, 0x1dad, 0x3b5a),
    HASH_ROW256(0x76b4, 0xed68, 0xcaf1, 0x85c3, 0x1ba7, 0x374e, 0x6e9c, 0xdd38),
    HASH_ROW256(0xaa51, 0x4483, 0x8906, 0x022d, 0x045a, 0x08b4, 0x1168, 0x22d0),
    HASH_ROW256(0x45a0, 0x8b40, 0x06a1, 0x0d42, 0x1a84, 0x3508, 0x6a10, 0xd420),
    HASH_ROW256(0xb861, 0x60e3, 0xc1c6, 0x93ad, 0x377b, 0x6ef6, 0xddec, 0xabf9),
    HASH_ROW256(0x47d3, 0x8fa6, 0x0f6d, 0x1eda, 0x3db4, 0x7b68, 0xf6d0, 0xfd81),
};

uint16_t warp_hash_crc16(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    uint32_t crc = 0;

    while (bytes >= 8) {
        /* The sum so far counts as if it were in front of the two bytes it overlaps. */
        crc = (uint32_t)hash_table[7][at[0] ^ (crc >> 8)] ^
              hash_table[6][at[1] ^ (crc & 0xffu)] ^ hash_table[5][at[2]] ^
              hash_table[4][at[3]] ^ hash_table[3][at[4]] ^ hash_table[2][at[5]] ^
              hash_table[1][at[6]] ^ hash_table[0][at[7]];
        at += 8;
        bytes -= 8;
    }
    while (bytes > 0) {
        crc = ((crc << 8) & 0xffffu) ^ hash_table[0][(crc >> 8) ^ *at];
        at++;
        bytes--;
    }
    return (uint16_t)crc;
}

/* Is there any byte equal to c? c is repeated in every byte of the pattern. */
static inline bool hash_word_has(uint64_t word, uint64_t pattern)
{
    uint64_t zero_where_equal = word ^ pattern;

    return ((zero_where_equal - UINT64_C(0x0101010101010101)) & ~zero_where_equal &
            UINT64_C(0x8080808080808080)) != 0;
}

/* Is there a '{'? Hardly ever: no call, no byte loop for the usual lengths. */
static inline bool hash_has_brace(const unsigned char *key, size_t bytes)
{
    const uint64_t pattern = UINT64_C(0x7b7b7b7b7b7b7b7b);

    if (bytes < 8) {
        for (size_t at = 0; at < bytes; at++) {
            if (key[at] == '{') {
                return true;
            }
        }
        return false;
    }
    if (bytes <= 16) {
        return hash_word_has(warp_load_u64le(key), pattern) ||
               hash_word_has(warp_load_u64le(key + bytes - 8), pattern);
    }
#if defined(__SSE2__)
    if (bytes <= 64) {
        const __m128i brace = _mm_set1_epi8('{');
        __m128i found = _mm_setzero_si128();
        size_t at = 0;

        for (; at + 16 <= bytes; at += 16) {
            found = _mm_or_si128(
                found,
                _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(key + at)),
                               brace));
        }
        found = _mm_or_si128(
            found,
            _mm_cmpeq_epi8(
                _mm_loadu_si128((const __m128i *)(const void *)(key + bytes - 16)), brace));
        return _mm_movemask_epi8(found) != 0;
    }
#endif
    return memchr(key, '{', bytes) != NULL;
}

uint32_t warp_hash_slot(const void *key, size_t bytes)
{
    const unsigned char *start = key;

    if (WARP_UNLIKELY(hash_has_brace(start, bytes))) {
        const unsigned char *open = memchr(start, '{', bytes);
        const unsigned char *close;

        open++;
        close = memchr(open, '}', bytes - (size_t)(open - start));
        if (close != NULL && close > open) {
            return warp_hash_crc16(open, (size_t)(close - open)) & HASH_SLOT_MASK;
        }
    }
    return warp_hash_crc16(start, bytes) & HASH_SLOT_MASK;
}
