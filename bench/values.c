#include "bench/values.h"

#include <stdlib.h>

#include "bench/keys.h"

/* Eight bytes of the record's own randomness, the `place`-th of its value (splitmix64). */
static uint64_t value_random(uint64_t word, size_t place)
{
    uint64_t mixed = word * 0x9e3779b97f4a7c15u + (uint64_t)place * 0xd1342543de82ef95u;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* The piece that begins at `start`: how long it is, and how much of it is random. */
static size_t value_piece(const struct bench_values *values, size_t all, size_t start,
                          size_t *fresh)
{
    size_t left = all - start;
    size_t bytes = left < BENCH_VALUE_PIECE_BYTES ? left : BENCH_VALUE_PIECE_BYTES;

    *fresh = (bytes * values->ratio_permille + 999) / 1000;
    return bytes;
}

static void value_piece_fill(uint8_t *out, uint64_t word, size_t start, size_t bytes,
                             size_t fresh)
{
    for (size_t at = 0; at < fresh; at += 8) {
        uint64_t random = value_random(word, start + at);

        memcpy(out + at, &random, fresh - at < 8 ? fresh - at : 8);
    }
    for (size_t at = fresh; at < bytes; at += fresh) {
        memcpy(out + at, out, bytes - at < fresh ? bytes - at : fresh);
    }
}

void bench_value_fill_pieces(const struct bench_values *values, uint8_t *out, uint64_t word,
                             size_t bytes)
{
    size_t fresh;
    size_t piece;

    for (size_t at = 8; at < bytes; at += piece) {
        piece = value_piece(values, bytes, at, &fresh);
        value_piece_fill(out + at, word, at, piece, fresh);
    }
}

/* Whether byte `at` is the one that belongs there. */
static bool value_byte_fits(const struct bench_values *values, const uint8_t *data,
                            uint64_t word, size_t bytes, size_t at)
{
    size_t start = at - (at - 8) % BENCH_VALUE_PIECE_BYTES;
    size_t fresh;
    size_t place;

    value_piece(values, bytes, start, &fresh);
    place = (at - start) % fresh;
    return data[at] ==
           (uint8_t)(value_random(word, start + (place & ~(size_t)7)) >> (place % 8 * 8));
}

bool bench_value_check_pieces(const struct bench_values *values, const uint8_t *data,
                              uint64_t word, size_t bytes)
{
    bool fits = true;

    for (size_t i = 0; i < 8; i++) {
        fits = fits && value_byte_fits(values, data, word, bytes, 8 + i) &&
               value_byte_fits(values, data, word, bytes, bytes - 8 + i);
    }
    return fits;
}

static int values_make_pattern(struct bench_values *values)
{
    size_t bytes = BENCH_VALUE_PLACES + bench_value_bytes_max(values) + 8;
    struct bench_random random;

    values->pattern = malloc(bytes);
    if (values->pattern == NULL) {
        return -1;
    }
    bench_random_init(&random, 0x77617270u, 0);
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t word = bench_random_next(&random);

        memcpy(values->pattern + at, &word, bytes - at < 8 ? bytes - at : 8);
    }
    return 0;
}

int bench_values_init(struct bench_values *values, size_t value_bytes,
                      uint32_t ratio_permille, bool mixed)
{
    values->value_bytes = value_bytes;
    values->value_bytes_most = 0;
    values->ratio_permille = ratio_permille;
    values->mixed = mixed;
    return values_make_pattern(values);
}

int bench_values_init_range(struct bench_values *values, size_t value_bytes,
                            size_t value_bytes_most, uint32_t ratio_permille)
{
    values->value_bytes = value_bytes;
    values->value_bytes_most = value_bytes_most;
    values->ratio_permille = ratio_permille;
    values->mixed = false;
    return values_make_pattern(values);
}

void bench_values_fini(struct bench_values *values)
{
    free(values->pattern);
    values->pattern = NULL;
}

bool bench_value_check_full(const struct bench_values *values, const void *data,
                            size_t bytes, uint64_t id, uint32_t *version)
{
    const uint8_t *at = data;
    uint64_t word = 0;
    size_t head = bytes < 8 ? bytes : 8;
    size_t id_bytes = bytes < BENCH_VALUE_ID_BITS / 8 ? bytes : BENCH_VALUE_ID_BITS / 8;

    if (bytes != bench_value_bytes(values, id)) {
        return false;
    }
    memcpy(&word, at, head);
    if (memcmp(&word, &id, id_bytes) != 0) { /* little-endian: the id's bytes come first */
        return false;
    }
    *version = bytes >= 8 ? (uint32_t)(word >> BENCH_VALUE_ID_BITS) : 0;
    if (bytes > 8 && values->ratio_permille != 0) {
        uint8_t piece[BENCH_VALUE_PIECE_BYTES];
        size_t piece_bytes;
        size_t fresh;

        for (size_t start = 8; start < bytes; start += piece_bytes) {
            piece_bytes = value_piece(values, bytes, start, &fresh);
            value_piece_fill(piece, word, start, piece_bytes, fresh);
            if (memcmp(at + start, piece, piece_bytes) != 0) {
                return false;
            }
        }
        return true;
    }
    return bytes <= 8 || memcmp(at + 8, bench_value_pattern(values, word), bytes - 8) == 0;
}
