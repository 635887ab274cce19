/*
 * base/random.h - dice that fall the same way twice.
 *
 * xoshiro256** by Blackman and Vigna ("Scrambled Linear Pseudorandom Number Generators",
 * ACM TOMS 47(4), 2021), seeded with splitmix64. Not for secrets: those come from the
 * system.
 *
 * Threads:   a generator belongs to one thread at a time; warp_random_seed by any.
 * Lifetime:  embedded, nothing is allocated.
 * Units:     64-bit numbers, uniform.
 * Ordering:  none.
 * Errors:    warp_random_seed returns -errno; the rest cannot fail.
 * Cost:      about 1 ns a number; a system call for warp_random_seed.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Visible because it is embedded where it is used. */
struct warp_random {
    uint64_t s[4];
};

void warp_random_init(struct warp_random *random, uint64_t seed);

static inline uint64_t warp_random_next(struct warp_random *random)
{
    uint64_t *s = random->s;
    uint64_t scrambled = s[1] * 5;
    uint64_t result = ((scrambled << 7) | (scrambled >> 57)) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* Uniform in [0, n); n > 0. */
uint64_t warp_random_below(struct warp_random *random, uint64_t n);

/* True once in `one_in` times; one_in > 0. */
bool warp_random_chance(struct warp_random *random, uint32_t one_in);

/* Fill out from the system's generator: for secrets and seeds. 0 or -errno. */
int warp_random_seed(void *out, size_t bytes);

#endif
