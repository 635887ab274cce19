/*
 * bench/micro/metrics_cost.c - what the file METRICS costs a get and a put.
 *
 * Two databases, one with the file and one without, are used in turns, a slice of work at a time, the
 * order changing from pair to pair. Told are the medians, over all pairs, of the ratios of the CPU time
 * that the calling thread took, with the bounds of a 95 % interval around it (order statistics, no
 * assumption on how times are distributed); and what one snapshot takes, of which ten are made a second,
 * by a thread of its own.
 *
 *     metrics_cost [PAIRS [OPERATIONS]]
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "warp/warp.h"

#define KEYS 100000u

/* Of this thread: what others do on a busy machine is not in it. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct warp *open_one(char *directory, uint32_t metrics_file)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp *db = NULL;
    char message[256];

    if (mkdtemp(directory) == NULL) {
        perror(directory);
        exit(1);
    }
    options.durability = WARP_INTERVAL;
    options.shard_count = 2;
    options.memory_bytes_max = 1u << 30;
    options.metrics_file = metrics_file;
    options.message = message;
    options.message_bytes = sizeof(message);
    if (warp_open(directory, &options, &db) != 0) {
        fprintf(stderr, "%s: %s\n", directory, message);
        exit(1);
    }
    return db;
}

static uint64_t work(struct warp *db, bool put, uint32_t operations, uint32_t seed)
{
    static const char value[100];
    const struct warp_slice slice = {value, sizeof(value)};
    uint64_t begun_ns = cpu_ns();
    uint32_t i, random = seed * 2654435761u + 1;
    char key[16], out[128];
    size_t bytes;

    for (i = 0; i < operations; i++) {
        uint32_t number;

        random = random * 1664525u + 1013904223u;
        number = (uint32_t)((uint64_t)random * KEYS >> 32);
        memcpy(key, "key-", 4);
        memcpy(key + 4, &number, sizeof(number));
        if (put ? warp_put(db, (struct warp_slice){key, 8}, slice, NULL, NULL) != 0
                : warp_get(db, (struct warp_slice){key, 8}, out, sizeof(out), &bytes,
                           NULL) < 0) {
            fputs("a call failed\n", stderr);
            exit(1);
        }
    }
    return cpu_ns() - begun_ns;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    uint32_t pairs = argc > 1 ? (uint32_t)atoi(argv[1]) : 101;
    uint32_t operations = argc > 2 ? (uint32_t)atoi(argv[2]) : 200000;
    char paths[2][32] = {"metrics-cost-off-XXXXXX", "metrics-cost-on-XXXXXX"};
    struct warp *db[2];
    double *ratios = calloc(pairs, sizeof(*ratios));
    char command[128];
    uint32_t kind, pair, i;

    if (pairs < 10 || ratios == NULL) {
        fputs("at least 10 pairs\n", stderr);
        return 2;
    }
    for (i = 0; i < 2; i++) {
        db[i] = open_one(paths[i], i == 0 ? 2 : 1);
        (void)work(db[i], true, 3 * KEYS, 1); /* nearly all keys, and whatever warms up */
    }
    for (kind = 0; kind < 2; kind++) {
        double total[2] = {0, 0};
        uint32_t spread = (uint32_t)(0.98 * sqrt((double)pairs) + 1);

        for (pair = 0; pair < pairs; pair++) {
            uint64_t took_ns[2];

            for (i = 0; i < 2; i++) {
                uint32_t which = (i + pair) % 2;

                took_ns[which] = work(db[which], kind == 1, operations, pair);
                total[which] += (double)took_ns[which];
            }
            ratios[pair] = (double)took_ns[1] / (double)took_ns[0];
        }
        qsort(ratios, pairs, sizeof(*ratios), by_size);
        printf(
            "%s: %.1f ns without, %.1f ns with; with / without %.4f (95 %%: %.4f to %.4f), "
            "%u pairs of %u\n",
            kind == 0 ? "get" : "put", total[0] / pairs / operations,
            total[1] / pairs / operations, ratios[pairs / 2], ratios[pairs / 2 - spread],
            ratios[pairs / 2 + spread], pairs, operations);
    }
    {
        static char image[1 << 20];
        uint64_t begun_ns = cpu_ns();
        size_t bytes;

        for (i = 0; i < 1000; i++) {
            if (warp_metrics_snapshot(db[1], image, sizeof(image), &bytes) != 0) {
                return 1;
            }
        }
        printf("snapshot: %.1f us, %zu bytes; ten a second are %.4f %% of one CPU\n",
               (double)(cpu_ns() - begun_ns) / 1e6, bytes,
               (double)(cpu_ns() - begun_ns) / 1e6 * 10 / 1e6 * 100);
    }
    for (i = 0; i < 2; i++) {
        (void)warp_close(&db[i]);
        snprintf(command, sizeof(command), "rm -rf %s", paths[i]);
        if (system(command) != 0) {
            return 1;
        }
    }
    free(ratios);
    return 0;
}
