#include "base/counter.h"

#include "tests/lib/test.h"

#define TEST_METRICS(X)                                                                    \
    X(hits_total, COUNTER, "operations", "Reads answered from memory.")                    \
    X(value_bytes, GAUGE, "bytes", "Values in memory now.")

struct test_metrics {
    TEST_METRICS(WARP_METRIC_FIELD)
};

static const struct warp_metric test_table[] = {TEST_METRICS(WARP_METRIC_ENTRY)};

WARP_TEST(counter, a_table_makes_fields_and_their_descriptions)
{
    struct test_metrics metrics = {0};

    warp_counter_add(&metrics.hits_total, 2);
    warp_counter_add(&metrics.hits_total, 3);
    warp_counter_set(&metrics.value_bytes, 7);
    check_u64(warp_counter_read(&metrics.hits_total), ==, 5);
    check_u64(warp_counter_read(&metrics.value_bytes), ==, 7);
    check_u64(sizeof(test_table) / sizeof(test_table[0]), ==, 2);
    check_str(test_table[0].name, "hits_total");
    check_str(test_table[1].unit, "bytes");
    check_int(test_table[0].kind, ==, WARP_METRIC_COUNTER);
    check_int(test_table[1].kind, ==, WARP_METRIC_GAUGE);
}
