#include "bench/values.h"

#include <stdlib.h>

#include "tests/lib/test.h"

static bool both_checks(const struct bench_values *values, const uint8_t *data,
                        size_t bytes, uint64_t id, uint32_t *version)
{
    bool quick = bench_value_check(values, data, bytes, id, version);
    bool full = bench_value_check_full(values, data, bytes, id, version);

    check(quick || !full); /* the full check never accepts what the quick one refuses */
    return full;
}

/* Stretches of the pattern, random all through, and two ratios between. */
static const uint32_t ratios[] = {0, 1000, 500, 90};
#define RATIOS (sizeof(ratios) / sizeof(ratios[0]))

WARP_TEST(values, a_value_is_its_own_record_and_no_other)
{
    for (size_t bytes = 0; bytes < 300 * RATIOS; bytes++) {
        struct bench_values values;
        uint8_t data[304];
        uint32_t version = 0;
        uint32_t ratio = ratios[bytes % RATIOS];

        check_int(bench_values_init(&values, bytes / RATIOS, ratio, false), ==, 0);
        bench_value_fill(&values, data, 123456789, 4711);
        check(both_checks(&values, data, values.value_bytes, 123456789, &version));
        if (values.value_bytes >= 8) {
            check_u64(version, ==, 4711);
        }
        if (values.value_bytes > 0) {
            check(!both_checks(&values, data, values.value_bytes, 123456788, &version));
        }
        check(!both_checks(&values, data, values.value_bytes + 1, 123456789, &version));
        bench_values_fini(&values);
    }
}

WARP_TEST(values, the_full_check_sees_every_changed_bit)
{
    for (size_t i = 0; i < RATIOS; i++) {
        struct bench_values values;
        uint8_t data[300];

        check_int(bench_values_init(&values, sizeof(data), ratios[i], false), ==, 0);
        bench_value_fill(&values, data, 42, 7);
        for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
            uint32_t version = 7;
            bool seen;

            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            seen = !bench_value_check_full(&values, data, sizeof(data), 42, &version);
            /* Another version is another value, and it must bring another pattern. */
            check(seen);
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        bench_values_fini(&values);
    }
}

WARP_TEST(values, the_quick_check_sees_two_halves_of_different_versions)
{
    for (size_t i = 0; i < RATIOS; i++) {
        struct bench_values values;
        uint8_t old[100];
        uint8_t new[100];
        uint32_t version;

        check_int(bench_values_init(&values, sizeof(old), ratios[i], false), ==, 0);
        bench_value_fill(&values, old, 9, 1);
        bench_value_fill(&values, new, 9, 2);
        memcpy(new + 50, old + 50, 50); /* torn in the middle */
        check(!bench_value_check(&values, new, sizeof(new), 9, &version));
        bench_values_fini(&values);
    }
}

/* How many of the value's 4-byte windows stood somewhere before: what a compressor lives from. */
static size_t repeats(const uint8_t *data, size_t bytes)
{
    size_t count = 0;

    for (size_t at = 4; at + 4 <= bytes; at += 4) {
        for (size_t before = 0; before < at; before++) {
            if (memcmp(data + before, data + at, 4) == 0) {
                count++;
                break;
            }
        }
    }
    return count * 4;
}

WARP_TEST(values, a_ratio_is_what_is_new_in_a_value)
{
    uint8_t data[1024];
    struct bench_values values;

    check_int(bench_values_init(&values, sizeof(data), 500, false), ==, 0);
    bench_value_fill(&values, data, 11, 3);
    check_u64(repeats(data, sizeof(data)), >=, 480);
    check_u64(repeats(data, sizeof(data)), <=, 520);
    bench_values_fini(&values);
    check_int(bench_values_init(&values, sizeof(data), 1000, false), ==, 0);
    bench_value_fill(&values, data, 11, 3);
    check_u64(repeats(data, sizeof(data)), <=, 8);
    bench_values_fini(&values);
}

WARP_TEST(values, with_a_ratio_two_values_share_nothing)
{
    uint8_t data[2048];
    struct bench_values values;

    check_int(bench_values_init(&values, 1024, 1000, false), ==, 0);
    bench_value_fill(&values, data, 11, 3);
    bench_value_fill(&values, data + 1024, 12, 3);
    check_u64(repeats(data, sizeof(data)), <=, 8);
    bench_value_fill(&values, data + 1024, 11, 4);
    check_u64(repeats(data, sizeof(data)), <=, 8);
    bench_values_fini(&values);
}

WARP_TEST(values, sizes_are_mixed_by_record_and_stay)
{
    static const uint32_t mixed_ratios[] = {0, 500};
    static uint8_t data[640 * 100];
    struct bench_values values;
    uint64_t counts[3] = {0};
    uint32_t version = 0, r;
    uint64_t id;

    for (r = 0; r < 2; r++) {
        check_int(bench_values_init(&values, 100, mixed_ratios[r], true), ==, 0);
        check_u64(bench_value_bytes_max(&values), ==, sizeof(data));
        for (id = 0; id < 20000; id++) {
            size_t bytes = bench_value_bytes(&values, id);

            counts[bytes == 100 ? 0 : bytes == 1000 ? 1 : 2]++;
            if (!check(bytes == 100 || bytes == 1000 || bytes == 64000)) {
                break;
            }
            if (id % 20 != 0) {
                continue;
            }
            bench_value_fill(&values, data, id, 5);
            check(both_checks(&values, data, bytes, id, &version));
            check_u64(version, ==, 5);
            check(!both_checks(&values, data, bytes - 1, id, &version));
            data[bytes - 1] ^= 1;
            check(!both_checks(&values, data, bytes, id, &version));
        }
        bench_values_fini(&values);
    }
    /* Nine and one in a hundred. */
    check_u64(counts[1], >, 40000 * 8 / 100);
    check_u64(counts[1], <, 40000 * 10 / 100);
    check_u64(counts[2], >, 40000 / 2 / 100);
    check_u64(counts[2], <, 40000 * 3 / 2 / 100);
}

WARP_TEST(values, a_range_has_all_its_sizes_and_a_record_keeps_its_own)
{
    struct bench_values values;
    uint32_t seen[9] = {0};
    uint8_t data[40];
    uint32_t version;

    check_int(bench_values_init_range(&values, 32, 40, 0), ==, 0);
    check_u64(bench_value_bytes_max(&values), ==, 40);
    for (uint64_t id = 0; id < 9000; id++) {
        size_t bytes = bench_value_bytes(&values, id);

        check(bytes >= 32 && bytes <= 40);
        check_u64(bench_value_bytes(&values, id), ==, bytes);
        seen[bytes - 32]++;
        bench_value_fill(&values, data, id, 5);
        check(bench_value_check(&values, data, bytes, id, &version));
        check_u64(version, ==, 5);
        check(!bench_value_check(&values, data, bytes - 1, id, &version));
    }
    for (uint32_t i = 0; i < 9; i++) {
        check(seen[i] > 900 && seen[i] < 1100);
    }
    bench_values_fini(&values);
}
