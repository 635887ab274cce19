/*
 * bench/keys.h - says which record comes next, and what its key looks like.
 *
 * A record is a dense number, its id. A chooser draws ids: uniform, zipfian with the ranks
 * scattered over all ids, latest (zipfian by age), or a hotspot (80 % of the draws on 20 %
 * of the ids). The zipfian draw is Gray et al., "Quickly generating billion-record
 * synthetic databases", SIGMOD 1994, as YCSB (Cooper et al., SoCC 2010) uses it. An id
 * becomes a key either scattered (a bijection, so that neighbours in id are nowhere near in
 * key) or as a zero-padded decimal number.
 *
 * Threads:   one chooser per thread; the plans (struct bench_zipf) are read-only once made.
 * Lifetime:  plain data, the caller's.
 * Units:     ids count from 0; key sizes in bytes.
 * Ordering:  none.
 * Errors:    none; sizes are checked by bench_keys_fit().
 * Cost:      uniform 3 ns, zipfian 20 ns (one pow), key 2 - 10 ns.
 */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_random {
    uint64_t state[4];
};

/* Equal (seed, stream) give equal draws; different streams are independent for our
 * purposes. */
void bench_random_init(struct bench_random *random, uint64_t seed, uint64_t stream);

/* xoshiro256**, Blackman and Vigna. */
static inline uint64_t bench_random_next(struct bench_random *random)
{
    uint64_t *s = random->state;
    uint64_t scrambled = s[1] * 5u;
    uint64_t shifted = s[1] << 17;

    scrambled = ((scrambled << 7) | (scrambled >> 57)) * 9u;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return scrambled;
}

/* 0 .. limit - 1, by multiplication (Lemire); the bias is below 2^-24 for our limits. */
static inline uint64_t bench_random_below(struct bench_random *random, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)bench_random_next(random) * limit) >> 64);
}

/* [0, 1) */
static inline double bench_random_unit(struct bench_random *random)
{
    return (double)(bench_random_next(random) >> 11) * 0x1.0p-53;
}

/* A bijection of 64-bit words that leaves no visible order (the finaliser of
 * splitmix64). */
static inline uint64_t bench_mix(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

enum bench_distribution {
    BENCH_UNIFORM,
    BENCH_ZIPFIAN,
    BENCH_LATEST,
    BENCH_HOTSPOT,
};

struct bench_zipf {
    uint64_t count;
    double alpha;
    double zeta;
    double eta;
    double second; /* draws below this are rank 0 or 1 */
};

/* theta in (0, 1), count >= 1. Sums at most 65,536 terms; the rest is Euler-Maclaurin. */
void bench_zipf_init(struct bench_zipf *zipf, uint64_t count, double theta);
/* Rank 0 is the most popular. */
uint64_t bench_zipf_next(const struct bench_zipf *zipf, struct bench_random *random);

struct bench_chooser {
    enum bench_distribution distribution;
    const struct bench_zipf *zipf; /* for BENCH_ZIPFIAN and BENCH_LATEST */
    struct bench_random random;
};

#define BENCH_HOTSPOT_IDS_PERCENT   20u
#define BENCH_HOTSPOT_DRAWS_PERCENT 80u

/* An id below `limit`, the number of records there are now (never less than
 * zipf->count). */
uint64_t bench_chooser_next(struct bench_chooser *chooser, uint64_t limit);

/*
 * A walk over 0 .. count - 1 in scattered order, each exactly once: position i of the walk.
 * count <= 2^48.
 */
uint64_t bench_walk(uint64_t position, uint64_t count, uint64_t seed);

enum bench_key_form {
    BENCH_KEY_SCATTERED,
    BENCH_KEY_DECIMAL,
};

/* Whether ids 0 .. count - 1 have different keys of this size and form. */
bool bench_keys_fit(enum bench_key_form form, size_t key_bytes, uint64_t count);
void bench_key_encode(enum bench_key_form form, uint64_t id, uint8_t *key,
                      size_t key_bytes);

#endif
