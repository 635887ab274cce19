/*
 * What it costs to give a slot to another shard, and what readers notice of it.
 *
 *     build/tests/move_costs [RECORDS [SECONDS [MOVES]]]
 *
 * First one slot with 0 to 50,000 records is moved to and fro, on an idle database: the whole move, and
 * its part per record. Then a thread reads random keys of RECORDS (default 1,000,000; 100 bytes) for
 * SECONDS (default 2) without moves and with MOVES (default 256) a second of random slots, five times in
 * turn: medians, and the ratio of the 99th percentiles.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/random.h"
#include "engine/engine.h"

#define ROUNDS      5u
#define VALUE_BYTES 100u

static struct warp *db;
static _Atomic uint32_t over;

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "move_costs: %s\n", what);
        exit(1);
    }
}

static uint64_t now_ns(void)
{
    return warp_clock_ns(warp_clock_system());
}

static void put(const char *key)
{
    static const char value[VALUE_BYTES];
    struct warp_slice name = {key, strlen(key)}, content = {value, sizeof(value)};

    must(warp_put(db, name, content, NULL, NULL) == 0, "a put failed");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

static void one_slot(void)
{
    static const uint32_t sizes[] = {0, 60, 600, 5000, 50000};
    uint32_t slot = warp_hash_slot("{one}", 5), done = 0, i, k;
    char key[32];

    printf("records     move us   ns per record\n");
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        double times[201];

        for (; done < sizes[i]; done++) {
            snprintf(key, sizeof(key), "{one}%u", done);
            put(key);
        }
        for (k = 0; k < 201; k++) {
            uint64_t begun_ns = now_ns();

            while (warp_engine_move_slot(
                       db, slot, 1 - warp_slotmap_owner(&db->store->slotmap, slot)) != 0) {
            }
            times[k] = (double)(now_ns() - begun_ns);
        }
        {
            double ns = median(times, 201);

            printf("%7u  %10.2f   %13.1f\n", sizes[i], ns / 1000,
                   sizes[i] == 0 ? 0 : ns / sizes[i]);
        }
    }
}

static void *mover(void *context)
{
    const uint32_t *moves = context;
    struct warp_random random;
    uint64_t next_ns = now_ns();

    warp_random_init(&random, 7);
    while (atomic_load(&over) == 0) {
        uint64_t at_ns = now_ns();

        if (at_ns < next_ns) {
            usleep((useconds_t)((next_ns - at_ns) / 1000));
            continue;
        }
        next_ns += 1000000000u / *moves;
        (void)warp_engine_move_slot(db,
                                    (uint32_t)warp_random_below(&random, WARP_SLOT_COUNT),
                                    (uint32_t)warp_random_below(&random, 2));
    }
    return NULL;
}

/* The latencies of gets for so long. */
static void read_for(struct warp_histogram *histogram, uint32_t records, double seconds)
{
    static uint64_t seed = 1;
    struct warp_random random;
    uint64_t until_ns = now_ns() + (uint64_t)(seconds * 1e9), at_ns = now_ns();

    warp_random_init(&random, seed++);
    while (at_ns < until_ns) {
        char key[32], value[VALUE_BYTES];
        struct warp_slice name = {key, 0};
        size_t bytes;
        uint64_t then_ns;

        name.bytes = (size_t)snprintf(key, sizeof(key), "key-%u",
                                      (uint32_t)warp_random_below(&random, records));
        at_ns = now_ns();
        must(warp_get(db, name, value, sizeof(value), &bytes, NULL) == 0, "a get failed");
        then_ns = now_ns();
        warp_histogram_add(histogram, then_ns - at_ns);
    }
}

static void readers(uint32_t records, double seconds, uint32_t moves)
{
    double p50[2][ROUNDS], p99[2][ROUNDS], p999[2][ROUNDS];
    uint32_t round, with;

    for (round = 0; round < ROUNDS; round++) {
        for (with = 0; with < 2; with++) {
            static struct warp_histogram histogram;
            pthread_t thread;

            warp_histogram_init(&histogram);
            atomic_store(&over, 0);
            if (with != 0) {
                must(pthread_create(&thread, NULL, mover, &moves) == 0, "no thread");
            }
            read_for(&histogram, records, seconds);
            atomic_store(&over, 1);
            if (with != 0) {
                pthread_join(thread, NULL);
            }
            p50[with][round] = (double)warp_histogram_percentile(&histogram, 50);
            p99[with][round] = (double)warp_histogram_percentile(&histogram, 99);
            p999[with][round] = (double)warp_histogram_percentile(&histogram, 99.9);
        }
    }
    printf("gets, ns              p50      p99    p99.9\n");
    for (with = 0; with < 2; with++) {
        printf("%4u moves a second %6.0f   %6.0f   %6.0f\n", with * moves,
               median(p50[with], ROUNDS), median(p99[with], ROUNDS),
               median(p999[with], ROUNDS));
    }
    printf("p99 with moves / without: %.3f; %llu moves in all, %llu given up\n",
           median(p99[1], ROUNDS) / median(p99[0], ROUNDS),
           (unsigned long long)atomic_load(&db->store->moving.moves),
           (unsigned long long)atomic_load(&db->store->moving.busy));
}

int main(int count, char **words)
{
    uint32_t records = count > 1 ? (uint32_t)atoi(words[1]) : 1000000;
    double seconds = count > 2 ? atof(words[2]) : 2;
    uint32_t moves = count > 3 ? (uint32_t)atoi(words[3]) : 256;
    struct warp_options options = WARP_OPTIONS_INIT;
    char directory[] = "/tmp/move-costs-XXXXXX", command[64], key[32];
    uint32_t i;

    must(records > 0 && seconds > 0 && moves > 0 && mkdtemp(directory) != NULL,
         "usage: move_costs [RECORDS [SECONDS [MOVES]]]");
    options.shard_count = 2;
    options.durability = WARP_MEMORY;
    must(warp_engine_open(directory, &options, NULL, &db) == 0, "open failed");
    one_slot();
    for (i = 0; i < records; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        put(key);
    }
    readers(records, seconds, moves);
    must(warp_engine_close(&db) == 0, "close failed");
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command) == 0 ? 0 : 1;
}
