#include "bench/values.h"

#include <stdlib.h>

#include "bench/keys.h"

int bench_values_init(struct bench_values *values, size_t value_bytes)
{
    size_t bytes = BENCH_VALUE_PLACES + value_bytes + 8;
    struct bench_random random;

    values->value_bytes = value_bytes;
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

    if (bytes != values->value_bytes) {
        return false;
    }
    memcpy(&word, at, head);
    if (memcmp(&word, &id, id_bytes) != 0) { /* little-endian: the id's bytes come first */
        return false;
    }
    *version = bytes >= 8 ? (uint32_t)(word >> BENCH_VALUE_ID_BITS) : 0;
    return bytes <= 8 || memcmp(at + 8, bench_value_pattern(values, word), bytes - 8) == 0;
}
