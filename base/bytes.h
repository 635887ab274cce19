/*
 * base/bytes.h - numbers as bytes on disk, little endian wherever the code runs.
 *
 * Threads:   any.
 * Lifetime:  nothing is kept; pointers need no alignment.
 * Units:     bytes.
 * Ordering:  none: plain memory.
 * Errors:    none. An alignment that is no power of two asserts.
 * Cost:      one load or store on little-endian machines.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define WARP_LE16(v) __builtin_bswap16(v)
#define WARP_LE32(v) __builtin_bswap32(v)
#define WARP_LE64(v) __builtin_bswap64(v)
#else
#define WARP_LE16(v) (v)
#define WARP_LE32(v) (v)
#define WARP_LE64(v) (v)
#endif

static inline uint16_t warp_load_u16le(const void *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof(value));
    return WARP_LE16(value);
}

static inline uint32_t warp_load_u32le(const void *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return WARP_LE32(value);
}

static inline uint64_t warp_load_u64le(const void *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof(value));
    return WARP_LE64(value);
}

static inline void warp_store_u16le(void *to, uint16_t value)
{
    value = WARP_LE16(value);
    memcpy(to, &value, sizeof(value));
}

static inline void warp_store_u32le(void *to, uint32_t value)
{
    value = WARP_LE32(value);
    memcpy(to, &value, sizeof(value));
}

static inline void warp_store_u64le(void *to, uint64_t value)
{
    value = WARP_LE64(value);
    memcpy(to, &value, sizeof(value));
}

static inline bool warp_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The next multiple of alignment, a power of two. The caller knows that it does not
 * overflow. */
static inline uint64_t warp_align_up(uint64_t value, uint64_t alignment)
{
    warp_assert_slow(warp_is_power_of_two(alignment));
    return (value + (alignment - 1)) & ~(alignment - 1);
}

static inline uint64_t warp_align_down(uint64_t value, uint64_t alignment)
{
    warp_assert_slow(warp_is_power_of_two(alignment));
    return value & ~(alignment - 1);
}

#endif
