/*
 * bench/micro/metrics_cost.c - what metrics cost a get and a put.
 *
 * Twice, because one database is not like the other, and their memory not either:
 *
 *   whole     a database with all metrics and one with the switches off (metrics_file 2, timing 2) are used in
 *             turns, a slice of work at a time, the order changing from pair to pair; both are made anew
 *             several times, the one first that was second before. The publishing thread runs beside it.
 *   timing    one database, whose caller is switched between timing and not timing from slice to slice: what
 *             warp_get_seconds and warp_write_seconds cost, to a fraction of a per cent.
 *
 * Told are the medians, over all pairs, of the ratios of the CPU time that the calling thread took, with the
 * bounds of a 95 % interval around each (order statistics, no assumption on how times are distributed).
 * Counters cannot be switched off: what one more of them costs is measured in a loop. And what one snapshot
 * takes, of which ten are made a second, by a thread of its own.
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

#include "base/counter.h"
#include "engine/engine.h"
#include "warp/warp.h"

#define KEYS     100000u
#define REOPENED 10u
#define COUNTERS 50000000u

/* Of this thread: what others do on a busy machine is not in it. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct warp *open_one(char *directory, bool metrics)
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
    options.metrics_file = metrics ? 1 : 2;
    options.timing = metrics ? 1 : 2;
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

static void remove_one(struct warp **db, const char *directory)
{
    char command[128];

    (void)warp_close(db);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    if (system(command) != 0) {
        exit(1);
    }
}

struct pairs {
    double *ratios;
    uint32_t count;
    double total[2];
};

static void print_pairs(struct pairs *pairs, const char *what, uint32_t operations)
{
    uint32_t spread = (uint32_t)(0.98 * sqrt((double)pairs->count) + 1);
    uint32_t middle = pairs->count / 2;

    qsort(pairs->ratios, pairs->count, sizeof(*pairs->ratios), by_size);
    printf("%s: %.1f ns without, %.1f ns with; with / without %.4f (95 %%: %.4f to %.4f), "
           "%u pairs of %u\n",
           what, pairs->total[0] / pairs->count / operations,
           pairs->total[1] / pairs->count / operations, pairs->ratios[middle],
           pairs->ratios[middle - spread], pairs->ratios[middle + spread], pairs->count,
           operations);
    fflush(stdout);
    pairs->count = 0;
    pairs->total[0] = pairs->total[1] = 0;
}

static void add_pair(struct pairs *pairs, const uint64_t took_ns[2])
{
    pairs->ratios[pairs->count++] = (double)took_ns[1] / (double)took_ns[0];
    pairs->total[0] += (double)took_ns[0];
    pairs->total[1] += (double)took_ns[1];
}

/* Two databases, [1] of them with metrics. */
static void measure_whole(struct pairs pairs[2], uint32_t count, uint32_t operations)
{
    uint32_t kind, pair, i, again;

    for (again = 0; again < REOPENED; again++) {
        char paths[2][32] = {"metrics-cost-off-XXXXXX", "metrics-cost-on-XXXXXX"};
        struct warp *db[2];

        for (i = 0; i < 2; i++) {
            uint32_t which = (i + again) % 2;

            db[which] = open_one(paths[which], which == 1);
            (void)work(db[which], true, 3 * KEYS,
                       1); /* nearly all keys, and what warms up */
        }
        for (kind = 0; kind < 2; kind++) {
            for (pair = 0; pair < count / REOPENED; pair++) {
                uint64_t took_ns[2];

                for (i = 0; i < 2; i++) {
                    uint32_t which = (i + pair) % 2;

                    took_ns[which] = work(db[which], kind == 1, operations, pair);
                }
                add_pair(&pairs[kind], took_ns);
            }
        }
        remove_one(&db[0], paths[0]);
        remove_one(&db[1], paths[1]);
    }
}

static void measure_timing(struct warp *db, struct pairs pairs[2], uint32_t count,
                           uint32_t operations)
{
    struct warp_caller *caller = warp_caller_get(&db->callers);
    uint32_t kind, pair, i;

    for (kind = 0; kind < 2; kind++) {
        struct warp_latency *latency =
            kind == 0 ? &caller->get_latency : &caller->write_latency;

        for (pair = 0; pair < count; pair++) {
            uint64_t took_ns[2];

            for (i = 0; i < 2; i++) {
                uint32_t which = (i + pair) % 2;

                latency->mode = which == 1 ? WARP_LATENCY_SAMPLED : WARP_LATENCY_OFF;
                latency->countdown = 1; /* it notices at once */
                /* Other keys than just before, or they would all be in the cache. */
                took_ns[which] = work(db, kind == 1, operations, 2 * pair + i);
            }
            add_pair(&pairs[kind], took_ns);
        }
    }
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 2000;
    uint32_t operations = argc > 2 ? (uint32_t)atoi(argv[2]) : 2000;
    static char image[1 << 20];
    static _Atomic uint64_t counters[4];
    char path[32] = "metrics-cost-XXXXXX";
    struct pairs pairs[2] = {{NULL, 0, {0, 0}}, {NULL, 0, {0, 0}}};
    struct warp *db;
    uint64_t begun_ns, took_ns;
    size_t bytes;
    uint32_t i;

    for (i = 0; i < 2; i++) {
        pairs[i].ratios = calloc(count + 1, sizeof(*pairs[i].ratios));
        if (count < 2 * REOPENED || pairs[i].ratios == NULL) {
            fprintf(stderr, "at least %u pairs\n", 2 * REOPENED);
            return 2;
        }
    }
    measure_whole(pairs, count, operations);
    print_pairs(&pairs[0], "whole, get", operations);
    print_pairs(&pairs[1], "whole, put", operations);
    db = open_one(path, true);
    (void)work(db, true, 3 * KEYS, 1);
    measure_timing(db, pairs, count, operations);
    print_pairs(&pairs[0], "timing, get", operations);
    print_pairs(&pairs[1], "timing, put", operations);
    begun_ns = cpu_ns();
    for (i = 0; i < COUNTERS; i += 4) {
        warp_counter_add(&counters[0], 1);
        warp_counter_add(&counters[1], 1);
        warp_counter_add(&counters[2], 1);
        warp_counter_add(&counters[3], 1);
    }
    printf("counter: %.2f ns, of which a get has two and a put about five\n",
           (double)(cpu_ns() - begun_ns) / COUNTERS);
    begun_ns = cpu_ns();
    for (i = 0; i < 1000; i++) {
        if (warp_metrics_snapshot(db, image, sizeof(image), &bytes) != 0) {
            return 1;
        }
    }
    took_ns = cpu_ns() - begun_ns;
    printf("snapshot: %.1f us, %zu bytes; ten a second are %.4f %% of one CPU\n",
           (double)took_ns / 1e6, bytes, (double)took_ns / 1e6 * 10 / 1e6 * 100);
    remove_one(&db, path);
    free(pairs[0].ratios);
    free(pairs[1].ratios);
    return 0;
}
