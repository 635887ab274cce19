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

WARP_TEST(values, a_value_is_its_own_record_and_no_other)
{
    for (size_t bytes = 0; bytes < 130; bytes++) {
        struct bench_values values;
        uint8_t data[136];
        uint32_t version = 0;

        check_int(bench_values_init(&values, bytes), ==, 0);
        bench_value_fill(&values, data, 123456789, 4711);
        check(both_checks(&values, data, bytes, 123456789, &version));
        if (bytes >= 8) {
            check_u64(version, ==, 4711);
        }
        if (bytes > 0) {
            check(!both_checks(&values, data, bytes, 123456788, &version));
        }
        check(!both_checks(&values, data, bytes + 1, 123456789, &version));
        bench_values_fini(&values);
    }
}

WARP_TEST(values, the_full_check_sees_every_changed_bit)
{
    struct bench_values values;
    uint8_t data[100];

    check_int(bench_values_init(&values, sizeof(data)), ==, 0);
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

WARP_TEST(values, the_quick_check_sees_two_halves_of_different_versions)
{
    struct bench_values values;
    uint8_t old[100];
    uint8_t new[100];
    uint32_t version;

    check_int(bench_values_init(&values, sizeof(old)), ==, 0);
    bench_value_fill(&values, old, 9, 1);
    bench_value_fill(&values, new, 9, 2);
    memcpy(new + 50, old + 50, 50); /* torn in the middle */
    check(!bench_value_check(&values, new, sizeof(new), 9, &version));
    bench_values_fini(&values);
}
