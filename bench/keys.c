#include "bench/keys.h"

#include <math.h>
#include <string.h>

void bench_random_init(struct bench_random *random, uint64_t seed, uint64_t stream)
{
    uint64_t word = bench_mix(seed) ^ bench_mix(stream + 0x632be59bd9b4e019u);

    for (int i = 0; i < 4; i++) {
        word += 0x9e3779b97f4a7c15u;
        random->state[i] = bench_mix(word);
    }
}

/* Sum of i^-theta for i = 1 .. count. */
static double zipf_zeta(uint64_t count, double theta)
{
    uint64_t exact = count < 65536 ? count : 65536;
    double sum = 0.0;
    double from = (double)exact;
    double to = (double)count;

    for (uint64_t i = exact; i >= 1; i--) { /* the small terms first */
        sum += pow((double)i, -theta);
    }
    if (count > exact) {
        sum += (pow(to, 1.0 - theta) - pow(from, 1.0 - theta)) / (1.0 - theta);
        sum += (pow(to, -theta) - pow(from, -theta)) / 2.0;
        sum += theta / 12.0 * (pow(from, -theta - 1.0) - pow(to, -theta - 1.0));
    }
    return sum;
}

void bench_zipf_init(struct bench_zipf *zipf, uint64_t count, double theta)
{
    zipf->count = count;
    zipf->alpha = 1.0 / (1.0 - theta);
    zipf->zeta = zipf_zeta(count, theta);
    zipf->second = 1.0 + pow(0.5, theta);
    zipf->eta =
        (1.0 - pow(2.0 / (double)count, 1.0 - theta)) / (1.0 - zipf->second / zipf->zeta);
}

uint64_t bench_zipf_next(const struct bench_zipf *zipf, struct bench_random *random)
{
    double unit = bench_random_unit(random);
    double scaled = unit * zipf->zeta;
    uint64_t rank;

    if (scaled < 1.0 || zipf->count == 1) {
        return 0;
    }
    if (scaled < zipf->second || zipf->count == 2) {
        return 1;
    }
    rank = (uint64_t)((double)zipf->count *
                      pow(zipf->eta * unit - zipf->eta + 1.0, zipf->alpha));
    return rank < zipf->count ? rank : zipf->count - 1;
}

uint64_t bench_chooser_next(struct bench_chooser *chooser, uint64_t limit)
{
    struct bench_random *random = &chooser->random;
    uint64_t hot;
    uint64_t rank;

    switch (chooser->distribution) {
    case BENCH_UNIFORM:
        return bench_random_below(random, limit);
    case BENCH_ZIPFIAN:
        /* Over the records of the beginning, so that inserts do not move the popular
         * ones. */
        rank = bench_zipf_next(chooser->zipf, random) + 1;
        return (uint64_t)(((unsigned __int128)bench_mix(rank) * chooser->zipf->count) >>
                          64);
    case BENCH_LATEST:
        return limit - 1 - bench_zipf_next(chooser->zipf, random);
    case BENCH_HOTSPOT:
        hot = limit * BENCH_HOTSPOT_IDS_PERCENT / 100u;
        if (hot == 0 || hot == limit) {
            return bench_random_below(random, limit);
        }
        if (bench_random_below(random, 100) < BENCH_HOTSPOT_DRAWS_PERCENT) {
            return bench_random_below(random, hot);
        }
        return hot + bench_random_below(random, limit - hot);
    }
    return 0;
}

uint64_t bench_walk(uint64_t position, uint64_t count, uint64_t seed)
{
    uint32_t bits = count <= 2 ? 1u : 64u - (uint32_t)__builtin_clzll(count - 1);
    uint64_t mask = ((uint64_t)1 << bits) - 1u;
    uint32_t half = bits / 2u + 1u;
    uint64_t odd = bench_mix(seed + 1) | 1u;
    uint64_t at = position;

    if (count <= 1) {
        return 0;
    }
    /* Each step is a bijection of `bits` bits; steps that leave the range are taken
     * again. */
    do {
        at = (at + (seed & mask)) & mask;
        at = (at * odd) & mask;
        at ^= at >> half;
        at = (at * 0x9e3779b97f4a7c15u) & mask;
        at ^= at >> half;
    } while (at >= count);
    return at;
}

bool bench_keys_fit(enum bench_key_form form, size_t key_bytes, uint64_t count)
{
    uint64_t room = 1;

    switch (form) {
    case BENCH_KEY_SCATTERED:
        return key_bytes >= 8 ||
               (key_bytes > 0 && count <= (uint64_t)1 << (8u * (unsigned int)key_bytes));
    case BENCH_KEY_DECIMAL:
        for (size_t digit = 0; digit < key_bytes && room < count; digit++) {
            if (room > UINT64_MAX / 10u) {
                return true;
            }
            room *= 10u;
        }
        return key_bytes > 0 && room >= count;
    }
    return false;
}

void bench_key_encode(enum bench_key_form form, uint64_t id, uint8_t *key, size_t key_bytes)
{
    uint64_t word;

    switch (form) {
    case BENCH_KEY_SCATTERED:
        if (key_bytes < 8) {
            /* An odd factor is a bijection modulo every power of two. */
            word = id * 0x9e3779b97f4a7c15u;
            memcpy(key, &word, key_bytes);
            return;
        }
        word = bench_mix(id + 1);
        memcpy(key, &word, 8);
        word = word * 0xd6e8feb86659fd93u + 1u;
        if (key_bytes == 16) { /* the usual size, in two stores */
            memcpy(key + 8, &word, 8);
            return;
        }
        for (size_t at = 8; at < key_bytes; at += 8) {
            memcpy(key + at, &word, key_bytes - at < 8 ? key_bytes - at : 8);
            word = word * 0xd6e8feb86659fd93u + 1u;
        }
        return;
    case BENCH_KEY_DECIMAL:
        for (size_t at = key_bytes; at > 0; at--) {
            key[at - 1] = (uint8_t)('0' + id % 10u);
            id /= 10u;
        }
        return;
    }
}
