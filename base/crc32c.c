/*
 * The instruction takes 8 bytes every cycle, but has its result only after three: one
 * stream leaves two thirds of it idle. So an input is cut into three parts of equal length
 * n (and a rest), each gets a stream, and the three are joined:
 *
 *     crc(ABC) = crc(A) * x^(8 * 2n)  +  crc(B) * x^(8 * n)  +  crc(C)      modulo P
 *
 * A product with a constant is one carry-less multiplication; the instruction itself
 * reduces the 64-bit product modulo P. In the reflected representation used throughout, the
 * product of two 32-bit numbers comes out multiplied by x, and the reduction multiplies by
 * x^32; hence the constants are x^(8n - 33).
 *
 * The processor is asked on every call, which is a load and a branch: no state of ours.
 */
#include "base/crc32c.h"

#include "base/bytes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1u << 7)
#endif
#endif

/*
 * The table way, a byte at a time: for processors without the instruction and for the
 * tests. Entry b is linear in the bits of b, so the table is made of eight constants.
 */
#define CRC_BIT(b, n, c) ((((b) >> (n)) & 1u) != 0 ? UINT32_C(c) : UINT32_C(0))
#define CRC_ENTRY(b)                                                                       \
    (CRC_BIT(b, 0, 0xf26b8303) ^ CRC_BIT(b, 1, 0xe13b70f7) ^ CRC_BIT(b, 2, 0xc79a971f) ^   \
     CRC_BIT(b, 3, 0x8ad958cf) ^ CRC_BIT(b, 4, 0x105ec76f) ^ CRC_BIT(b, 5, 0x20bd8ede) ^   \
     CRC_BIT(b, 6, 0x417b1dbc) ^ CRC_BIT(b, 7, 0x82f63b78))
#define CRC_ROW2(b)  CRC_ENTRY(b), CRC_ENTRY((b) + 1)
#define CRC_ROW4(b)  CRC_ROW2(b), CRC_ROW2((b) + 2)
#define CRC_ROW16(b) CRC_ROW4(b), CRC_ROW4((b) + 4), CRC_ROW4((b) + 8), CRC_ROW4((b) + 12)
#define CRC_ROW64(b)                                                                       \
    CRC_ROW16(b), CRC_ROW16((b) + 16), CRC_ROW16((b) + 32), CRC_ROW16((b) + 48)

static const uint32_t crc_table[256] = {CRC_ROW64(0u), CRC_ROW64(64u), CRC_ROW64(128u),
                                        CRC_ROW64(192u)};

uint32_t warp_crc32c_table(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *at = data;

    crc = ~crc;
    while (bytes > 0) {
        crc = (crc >> 8) ^ crc_table[(crc ^ *at) & 0xffu];
        at++;
        bytes--;
    }
    return ~crc;
}

#if defined(__x86_64__)

/* Below this many bytes, joining costs more than it saves. */
#define CRC_SPLIT_BYTES_MIN 112u
/* Length of a part, at most. */
#define CRC_PART_BYTES_MAX 1024u

/* Entry i is x^(64 * (i + 1) - 33) modulo P, reflected: it moves a CRC over 8 * (i + 1)
 * bytes. */
static const uint32_t crc_move[2 * CRC_PART_BYTES_MAX / 8] = {
    0x00000001, 0x493c7d27, 0xf20c0dfe, 0xba4fc28e, 0x3da6d0cb, 0xddc0152b, 0x1c291d04,
    0x9e4addf8, 0x740eef02, 0x39d3b296, 0x083a6eec, 0x0715ce53, 0xc49f4f67, 0x47db8317,
    0x2ad91c30, 0x0d3b6092, 0x6992cea2, 0xc96cfdc0, 0x7e908048, 0x878a92a7, 0x1b3d8f29,
    0xdaece73e, 0xf1d0f55e, 0xab7aff2a, 0xa87ab8a8, 0x2162d385, 0x8462d800, 0x83348832,
    0x71d111a8, 0x299847d5, 0xffd852c6, 0xb9e02b86, 0xdcb17aa4, 0x18b33a4e, 0xf37c5aee,
    0xb6dd949b, 0x6051d5a2, 0x78d9ccb7, 0x18b0d4ff, 0xbac2fd7b, 0x21f3d99c, 0xa60ce07b,
    0x8f158014, 0xce7f39f4, 0xa00457f7, 0x61d82e56, 0x8d6d2c43, 0xd270f1a2, 0x00ac29cf,
    0xc619809d, 0xe9adf796, 0x2b3cac5d, 0x96638b34, 0x65863b64, 0xe0e9f351, 0x1b03397f,
    0x9af01f2d, 0xebb883bd, 0x2cff42cf, 0xb3e32c28, 0x88f25a3a, 0x064f7f26, 0x4e36f0b0,
    0xdd7e3b0c, 0xbd6f81f8, 0xf285651c, 0x91c9bd4b, 0x10746f3c, 0x885f087b, 0xc7a68855,
    0x4c144932, 0x271d9844, 0x52148f02, 0x8e766a0c, 0xa3c6f37a, 0x93a5f730, 0xd7c0557f,
    0x6cb08e5c, 0x63ded06a, 0x6b749fb2, 0x4d56973c, 0x1393e203, 0x9669c9df, 0xcec3662e,
    0xe417f38a, 0x96c515bb, 0x4b9e0f71, 0xe6fc4e6a, 0xd104b8fc, 0x8227bb8a, 0x5b397730,
    0xb0cd4768, 0xe78eb416, 0x39c7ff35, 0x61ff0e01, 0xd7a4825c, 0x8d96551c, 0x0ab3844b,
    0x0bf80dd2, 0x0167d312, 0x8821abed, 0xf6076544, 0x6a45d2b2, 0x26f6a60a, 0xd8d26619,
    0xa741c1bf, 0xde87806c, 0x98d8d9cb, 0x14338754, 0x49c3cc9c, 0x5bd2011f, 0x68bce87a,
    0xdd07448e, 0x57a3d037, 0xdde8f5b9, 0x6956fc3b, 0xa3e3e02c, 0x42d98888, 0xd73c7bea,
    0x3771e98f, 0x80ff0093, 0xb42ae3d9, 0x8fe4c34d, 0x2178513a, 0xdf99fc11, 0xe0ac139e,
    0x6c23e841, 0x170076fa, 0xfe314258, 0x444dd413, 0x0d8373a0, 0x6f345e45, 0x19e3635e,
    0x41d17b64, 0x29f268b4, 0xff0dba97, 0x1dc0632a, 0xa2b73df1, 0x1614f396, 0xf872e54c,
    0x9e2993d3, 0x1e41e9fc, 0x6bebd73c, 0x86d8e4d2, 0x63ae91e6, 0x651bd98b, 0xf8c9da7a,
    0x5bb8f1bc, 0x945a19c1, 0xa90fd27a, 0xee8213b7, 0xb3af077a, 0x93781dc7, 0x4984d782,
    0xccc4a1b9, 0xca6ef3ac, 0xa2c2d971, 0x234e0b26, 0x1cad4452, 0xdd66cbbb, 0x74922601,
    0x4597456a, 0xc55f7eab, 0xe9e28eb4, 0xa1962329, 0x7b3ff57a, 0x2d370749, 0xc9c8b782,
    0x397d84a1, 0x3f70cc6f, 0x79113270, 0x93e106a4, 0xbc817803, 0x62ec6c6d, 0x88eb3c07,
    0xd813b325, 0x6e4cb630, 0x0df04680, 0x71971d5c, 0x2342001e, 0xf33b8bc6, 0x0a2a8d7e,
    0x9fb3bbc0, 0x6d9a4957, 0x6ef22b23, 0xe8b6368b, 0xce2df768, 0xd2c3ed1a, 0xe53a4fc7,
    0x995a5724, 0xbe60a91a, 0x9ef68d35, 0x1dfa0a15, 0x0c139b31, 0x8ec52396, 0xf2271e60,
    0x0e766b11, 0x0b0bf8ca, 0x475846a4, 0x2664fd8b, 0xb2a3dfa6, 0xed64812d, 0xdc1a160c,
    0x02ee03b2, 0x79afdf1c, 0x8604ae0f, 0x07ac6e46, 0x363bd6b3, 0x15f85253, 0x135c83fd,
    0x1bec24dd, 0x5fabe670, 0x4c36cd5b, 0x35ec3279, 0xe0a22e29, 0x00bcf5f6, 0x7c2b6ed9,
    0x8ae00689, 0x06ff88fd, 0x17f27698, 0xf7317cf0, 0x58ca5f00, 0x61b6e40b, 0xaa7c7ad5,
    0xde8a97f8, 0xb5cfca28, 0x88f61445, 0xded288f8, 0xd4520e9e, 0x59f229bc, 0x0c592bd5,
    0x6d390dec, 0x38edfaf3, 0x37170390, 0x72cbfcdb, 0x6353c1cc, 0x348331a5, 0xc4584f5c,
    0xc3977c19, 0xf48642e9, 0xdafaea7c, 0x531377e2, 0x73db4c04, 0xdd35bc8d, 0x72675ce8,
    0xb25b29f2, 0x3ec2ff83, 0x9a5ede41, 0xe8c7a017, 0xa563905d, 0xcf4bfaef, 0x45cddf4e,
    0x6bde1ac7, 0xacfa3103, 0xae1175c2, 0xa51b6135,
};

__attribute__((target("sse4.2"))) static uint32_t
crc_one_stream(uint32_t crc, const unsigned char *at, size_t bytes)
{
    uint64_t stream = crc;

    while (bytes >= 8) {
        stream = _mm_crc32_u64(stream, warp_load_u64le(at));
        at += 8;
        bytes -= 8;
    }
    crc = (uint32_t)stream;
    if (bytes >= 4) {
        crc = _mm_crc32_u32(crc, warp_load_u32le(at));
        at += 4;
        bytes -= 4;
    }
    if (bytes >= 2) {
        crc = _mm_crc32_u16(crc, warp_load_u16le(at));
        at += 2;
        bytes -= 2;
    }
    if (bytes > 0) {
        crc = _mm_crc32_u8(crc, *at);
    }
    return crc;
}

/* Three streams over 3 * part bytes, part a multiple of 8. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc_three_streams(uint32_t crc, const unsigned char *at, size_t part)
{
    uint64_t a = crc;
    uint64_t b = 0;
    uint64_t c = 0;
    __m128i moved_a, moved_b;

    for (size_t offset = 0; offset < part; offset += 8) {
        a = _mm_crc32_u64(a, warp_load_u64le(at + offset));
        b = _mm_crc32_u64(b, warp_load_u64le(at + part + offset));
        c = _mm_crc32_u64(c, warp_load_u64le(at + 2 * part + offset));
    }
    moved_a = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)(uint32_t)a),
                                   _mm_cvtsi32_si128((int)crc_move[2 * part / 8 - 1]), 0);
    moved_b = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)(uint32_t)b),
                                   _mm_cvtsi32_si128((int)crc_move[part / 8 - 1]), 0);
    return (uint32_t)(_mm_crc32_u64(
                          0, (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(moved_a, moved_b))) ^
                      c);
}

static uint32_t crc_long(uint32_t crc, const unsigned char *at, size_t bytes)
{
    while (bytes >= CRC_SPLIT_BYTES_MIN) {
        size_t part = bytes / 24 * 8;

        if (part > CRC_PART_BYTES_MAX) {
            part = CRC_PART_BYTES_MAX;
        }
        crc = crc_three_streams(crc, at, part);
        at += 3 * part;
        bytes -= 3 * part;
    }
    return crc_one_stream(crc, at, bytes);
}

uint32_t warp_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    if (WARP_UNLIKELY(!__builtin_cpu_supports("sse4.2"))) {
        return warp_crc32c_table(crc, data, bytes);
    }
    if (bytes >= CRC_SPLIT_BYTES_MIN && __builtin_cpu_supports("pclmul")) {
        return ~crc_long(~crc, data, bytes);
    }
    return ~crc_one_stream(~crc, data, bytes);
}

const char *warp_crc32c_name(void)
{
    if (!__builtin_cpu_supports("sse4.2")) {
        return "table";
    }
    return __builtin_cpu_supports("pclmul") ? "sse4.2+pclmul" : "sse4.2";
}

#elif defined(__aarch64__)

__attribute__((target("+crc"))) static uint32_t
crc_one_stream(uint32_t crc, const unsigned char *at, size_t bytes)
{
    while (bytes >= 8) {
        crc = __crc32cd(crc, warp_load_u64le(at));
        at += 8;
        bytes -= 8;
    }
    while (bytes > 0) {
        crc = __crc32cb(crc, *at);
        at++;
        bytes--;
    }
    return crc;
}

uint32_t warp_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    if ((getauxval(AT_HWCAP) & HWCAP_CRC32) == 0) {
        return warp_crc32c_table(crc, data, bytes);
    }
    return ~crc_one_stream(~crc, data, bytes);
}

const char *warp_crc32c_name(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0 ? "armv8" : "table";
}

#else

uint32_t warp_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return warp_crc32c_table(crc, data, bytes);
}

const char *warp_crc32c_name(void)
{
    return "table";
}

#endif
