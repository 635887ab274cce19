/*
 * bench/values.h - makes values that say whose they are, and checks that they still do.
 *
 * A value begins with one word: the record's id (40 bits) and a version (24 bits). The rest
 * is a stretch of a fixed random pattern whose place follows from that word:
 *
 *     | id, 5 bytes | version, 3 bytes | pattern[place(id, version)] ... |
 *
 * so that bytes of another record, of another version, or shifted by one are found. Values
 * shorter than a word hold its first bytes.
 *
 * The pattern is the same for all, so a compressor that sees many values finds it in them. Where
 * that matters, values are made with a stated ratio instead, as db_bench's compression_ratio does
 * it: behind the word come pieces of 128 bytes, of which the first so many are random, by the
 * word and their place, and the rest repeats them. A value then shares nothing with another,
 * and within itself it shrinks to about the ratio.
 *
 * Threads:   init by one; fill and check by any.
 * Lifetime:  init allocates the pattern, fini gives it back.
 * Units:     bytes.
 * Ordering:  none.
 * Errors:    init returns -1 without memory.
 * Cost:      fill is a copy of the value; the quick check looks at 24 bytes, the full one
 *            at all of them. With a ratio a KiB costs about 0.1 us to fill, 20 ns to check.
 */
#ifndef BENCH_VALUES_H
#define BENCH_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BENCH_VALUE_ID_BITS      40u
#define BENCH_VALUE_PLACES       2048u
#define BENCH_VALUE_VERSION_MASK 0xffffffu
#define BENCH_VALUE_PIECE_BYTES  128u
/* Where sizes are mixed: of a thousand records so many, and how many times as long as the usual. */
#define BENCH_VALUE_MIDDLE_PERMILLE 90u
#define BENCH_VALUE_MIDDLE_TIMES    10u
#define BENCH_VALUE_LARGE_PERMILLE  10u
#define BENCH_VALUE_LARGE_TIMES     640u

struct bench_values {
    uint8_t *pattern;        /* BENCH_VALUE_PLACES + the longest */
    size_t value_bytes;      /* the usual ones, which are the shortest */
    size_t value_bytes_most; /* 0, or: each size up to this is as likely */
    bool mixed;              /* some are longer */
    uint32_t ratio_permille; /* 0: stretches of the pattern */
};

/* ratio_permille: 0, or to how many thousandths of its size a value shrinks, at most 1,000. */
int bench_values_init(struct bench_values *values, size_t value_bytes,
                      uint32_t ratio_permille, bool mixed);
/* Sizes from `value_bytes` to `value_bytes_most`, each as likely. */
int bench_values_init_range(struct bench_values *values, size_t value_bytes,
                            size_t value_bytes_most, uint32_t ratio_permille);
void bench_values_fini(struct bench_values *values);

static inline size_t bench_value_bytes_max(const struct bench_values *values)
{
    return values->mixed                   ? values->value_bytes * BENCH_VALUE_LARGE_TIMES
           : values->value_bytes_most != 0 ? values->value_bytes_most
                                           : values->value_bytes;
}

/* Which size a record has does not change: its id says so. */
static inline size_t bench_value_bytes(const struct bench_values *values, uint64_t id)
{
    uint64_t die;

    if (values->value_bytes_most != 0) {
        die = (id + 1) * 0x9e3779b97f4a7c15u;
        return values->value_bytes +
               (size_t)(((unsigned __int128)die *
                         (values->value_bytes_most - values->value_bytes + 1)) >>
                        64);
    }
    if (!values->mixed) {
        return values->value_bytes;
    }
    die = (uint64_t)(((unsigned __int128)((id + 1) * 0x9e3779b97f4a7c15u) * 1000) >> 64);
    return values->value_bytes *
           (die < BENCH_VALUE_LARGE_PERMILLE ? BENCH_VALUE_LARGE_TIMES
            : die < BENCH_VALUE_LARGE_PERMILLE + BENCH_VALUE_MIDDLE_PERMILLE
                ? BENCH_VALUE_MIDDLE_TIMES
                : 1);
}

static inline uint64_t bench_value_word(uint64_t id, uint32_t version)
{
    return id | ((uint64_t)version << BENCH_VALUE_ID_BITS);
}

static inline const uint8_t *bench_value_pattern(const struct bench_values *values,
                                                 uint64_t word)
{
    return values->pattern + ((word * 0x9e3779b97f4a7c15u) >> 53);
}

/* Fill and quick check of values with a ratio, behind their word. */
void bench_value_fill_pieces(const struct bench_values *values, uint8_t *out, uint64_t word,
                             size_t bytes);
bool bench_value_check_pieces(const struct bench_values *values, const uint8_t *data,
                              uint64_t word, size_t bytes);

static inline void bench_value_fill(const struct bench_values *values, uint8_t *out,
                                    uint64_t id, uint32_t version)
{
    uint64_t word = bench_value_word(id, version);
    size_t bytes = bench_value_bytes(values, id);

    if (bytes <= 8) {
        memcpy(out, &word, bytes);
        return;
    }
    memcpy(out, &word, 8);
    if (values->ratio_permille != 0) {
        bench_value_fill_pieces(values, out, word, bytes);
        return;
    }
    memcpy(out + 8, bench_value_pattern(values, word), bytes - 8);
}

/* Whether `data` is some version of record `id`; *version gets which (0 for short
 * values). */
bool bench_value_check_full(const struct bench_values *values, const void *data,
                            size_t bytes, uint64_t id, uint32_t *version);

static inline bool bench_value_check(const struct bench_values *values, const void *data,
                                     size_t bytes, uint64_t id, uint32_t *version)
{
    const uint8_t *at = data;
    const uint8_t *pattern;
    uint64_t word;
    uint64_t seen;
    uint64_t wanted;

    if (bytes < 24) {
        return bench_value_check_full(values, data, bytes, id, version);
    }
    memcpy(&word, at, 8);
    if (bytes != bench_value_bytes(values, id) ||
        (word & (((uint64_t)1 << BENCH_VALUE_ID_BITS) - 1u)) != id) {
        return false;
    }
    *version = (uint32_t)(word >> BENCH_VALUE_ID_BITS);
    if (values->ratio_permille != 0) {
        return bench_value_check_pieces(values, at, word, bytes);
    }
    pattern = bench_value_pattern(values, word);
    memcpy(&seen, at + 8, 8);
    memcpy(&wanted, pattern, 8);
    if (seen != wanted) {
        return false;
    }
    memcpy(&seen, at + bytes - 8, 8);
    memcpy(&wanted, pattern + bytes - 16, 8);
    return seen == wanted;
}

#endif
