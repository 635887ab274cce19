/*
 * base/hash.h - where a key belongs.
 *
 * Two functions of a key: its slot, which is part of the format and the same in every
 * database and in every Redis Cluster client (CRC16/XMODEM of the key or of its {tag},
 * modulo 16,384), and a 64-bit hash with a secret per database, XXH3 by Yann Collet, which
 * never leaves it.
 *
 * Threads:   any.
 * Lifetime:  nothing is kept.
 * Units:     bytes; slots 0 - 16,383.
 * Ordering:  none.
 * Errors:    none. bytes may be 0.
 * Cost:      for a 16-byte key about 2 ns (key) and 6 ns (slot); `bench/micro/base_costs`
 *            prints today's.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Inlined whole, so that nothing depends on the version of a shared library. */
#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t warp_hash_key(const void *key, size_t bytes, uint64_t seed)
{
    return (uint64_t)XXH3_64bits_withSeed(key, bytes, (XXH64_hash_t)seed);
}

/*
 * The slot of a key. The tag is what lies between the first '{' and the first '}' after it;
 * a key without one, or with an empty one, counts whole.
 */
uint32_t warp_hash_slot(const void *key, size_t bytes);

/* CRC16/XMODEM (polynomial 0x1021, start 0, not reflected): the function underneath. */
uint16_t warp_hash_crc16(const void *data, size_t bytes);

#endif
