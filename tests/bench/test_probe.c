#include "bench/probe.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/test.h"

/* Until the probe has counted `least` of each kind, or for a minute. */
static void wait_for(const struct bench_probe *probe, uint64_t least)
{
    struct timespec pause = {0, 1000000};

    for (uint32_t i = 0; i < 60000; i++) {
        const volatile struct bench_histogram *histograms = probe->shared->result.latency;

        if (histograms[0].count >= least && histograms[1].count >= least &&
            histograms[2].count >= least) {
            return;
        }
        nanosleep(&pause, NULL);
    }
}

WARP_TEST(probe, counts_reads_and_synced_writes_while_it_is_told_to)
{
    struct bench_probe_result *result = calloc(1, sizeof(*result));
    struct bench_probe probe = {0};
    struct timespec pause = {0, 100000000};
    char message[384] = "";

    check(result != NULL);
    if (bench_probe_create(&probe, test_directory(), message, sizeof(message)) != 0) {
        check(strstr(message, "O_DIRECT") != NULL); /* such a file system is no fault */
        free(result);
        return;
    }
    check_int(bench_probe_start(&probe), ==, 0);
    bench_probe_measure(probe.shared, true);
    wait_for(&probe, 2);
    bench_probe_stop(&probe, result);
    check_u64(result->failed, ==, 0);
    check_u64(result->latency[BENCH_PROBE_READ].count, >=, 2);
    check_u64(result->latency[BENCH_PROBE_WRITE].count, >=, 2);
    check_u64(result->latency[BENCH_PROBE_WAKE].count, >=, 2);
    check_u64(result->latency[BENCH_PROBE_WRITE].max_ns, >, 0);

    /* Nobody is measuring: nothing counts. */
    check_int(bench_probe_start(&probe), ==, 0);
    nanosleep(&pause, NULL);
    bench_probe_stop(&probe, result);
    check_u64(result->failed, ==, 0);
    check_u64(result->latency[BENCH_PROBE_READ].count, ==, 0);
    check_u64(result->latency[BENCH_PROBE_WRITE].count, ==, 0);
    bench_probe_destroy(&probe);
    check(access(probe.path, F_OK) != 0);
    free(result);
}

WARP_TEST(probe, says_why_it_cannot)
{
    struct bench_probe probe = {0};
    char message[384] = "";

    check_int(bench_probe_create(&probe, "/nowhere/at/all", message, sizeof(message)), ==,
              -1);
    check(strstr(message, "/nowhere/at/all") != NULL);
    check(probe.shared == NULL);
}
