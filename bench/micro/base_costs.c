/*
 * What the cheap things of base/ cost, one after the other on one thread, nothing
 * contended. Each line is the best of seven runs, in nanoseconds per operation.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/epoch.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/random.h"
#include "base/ring.h"
#include "base/slab.h"

#define RUNS    7
#define ROUNDS  400000u
#define OBJECTS 4096u
#define KEYS    1024u
#define KEY     16u

struct stage {
    struct warp_memory memory;
    struct warp_slab_pool pool;
    struct warp_epoch *epoch;
    struct warp_epoch_record *record;
    struct warp_ring *ring;
    struct warp_histogram histogram;
    struct warp_random random;
    void *objects[OBJECTS];
    uint32_t order[OBJECTS];
    unsigned char keys[KEYS][KEY];
    unsigned char page[4096];
};

struct retired {
    struct warp_epoch_entry entry;
};

/* Keeps a result alive without storing it anywhere. */
static inline void keep(uint64_t value)
{
    __asm__ __volatile__("" : : "r"(value) : "memory");
}

static void slab_pair(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        void *p = warp_slab_reserve(&stage->pool, 96);

        keep((uintptr_t)p);
        warp_slab_release(&stage->pool, p, 96);
    }
}

/* As a store does: another one comes, one of the old ones goes. */
static void slab_churn(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t at = stage->order[round % OBJECTS];

        warp_slab_release(&stage->pool, stage->objects[at], 96);
        stage->objects[at] = warp_slab_reserve(&stage->pool, 96);
    }
}

static void malloc_pair(struct stage *stage)
{
    (void)stage;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        void *p = malloc(96);

        keep((uintptr_t)p);
        free(p);
    }
}

static void epoch_pair(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        warp_epoch_enter(stage->record);
        keep(round);
        warp_epoch_leave(stage->record);
    }
}

static void retired_again(struct warp_epoch_entry *entry, void *context)
{
    keep((uintptr_t)entry);
    (void)context;
}

static void epoch_retire_64(struct stage *stage)
{
    static struct retired things[64];

    for (uint32_t round = 0; round < ROUNDS; round++) {
        warp_epoch_retire(stage->record, &things[round % 64].entry, retired_again, NULL);
        if (round % 64 == 63) {
            warp_epoch_barrier(stage->record);
        }
    }
    warp_epoch_barrier(stage->record);
}

static void hash_slot(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        keep(warp_hash_slot(stage->keys[round % KEYS], KEY));
    }
}

static void hash_key(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        keep(warp_hash_key(stage->keys[round % KEYS], KEY, 12345));
    }
}

static void crc_128(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        keep(warp_crc32c(0, stage->page + round % 8, 128));
    }
}

static void crc_4096(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS / 10; round++) {
        keep(warp_crc32c(0, stage->page, 4096));
    }
}

static void crc_table_4096(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS / 100; round++) {
        keep(warp_crc32c_table(0, stage->page, 4096));
    }
}

static void ring_pair(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        void *pointer = NULL;

        warp_ring_send(stage->ring, stage);
        warp_ring_receive(stage->ring, &pointer);
        keep((uintptr_t)pointer);
    }
}

static void histogram_add(struct stage *stage)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        warp_histogram_add(&stage->histogram, 100 + round % 10000);
    }
}

static void clock_read(struct stage *stage)
{
    const struct warp_clock *clock = warp_clock_system();

    (void)stage;
    for (uint32_t round = 0; round < ROUNDS / 10; round++) {
        keep(warp_clock_ns(clock));
    }
}

static void measure(const char *name, struct stage *stage, void (*run)(struct stage *stage),
                    uint32_t rounds)
{
    const struct warp_clock *clock = warp_clock_system();
    double best = 0.0;

    for (int index = 0; index < RUNS; index++) {
        uint64_t before = warp_clock_ns(clock);
        double ns;

        run(stage);
        ns = (double)(warp_clock_ns(clock) - before) / rounds;
        if (index == 0 || ns < best) {
            best = ns;
        }
    }
    printf("%-44s %8.2f ns\n", name, best);
}

static void fail(const char *what)
{
    fprintf(stderr, "base_costs: %s\n", what);
    exit(1);
}

int main(void)
{
    static struct stage stage;

    if (warp_memory_init(&stage.memory, NULL) != 0 ||
        warp_slab_pool_init(&stage.pool, &stage.memory, true) != 0 ||
        warp_epoch_create(&stage.memory, &stage.epoch) != 0 ||
        warp_epoch_register(stage.epoch, &stage.record) != 0 ||
        warp_ring_create(&stage.memory, 256, &stage.ring) != 0) {
        fail("no memory");
    }
    warp_histogram_init(&stage.histogram);
    warp_random_init(&stage.random, 1);
    for (uint32_t index = 0; index < OBJECTS; index++) {
        stage.objects[index] = warp_slab_reserve(&stage.pool, 96);
        stage.order[index] = (uint32_t)warp_random_below(&stage.random, OBJECTS);
        if (stage.objects[index] == NULL) {
            fail("no memory");
        }
    }
    for (uint32_t index = 0; index < KEYS; index++) {
        char text[KEY + 1];

        snprintf(
            text, sizeof(text), "user%012llu",
            (unsigned long long)warp_random_below(&stage.random, UINT64_C(1000000000000)));
        memcpy(stage.keys[index], text, KEY);
    }
    memset(stage.page, 'x', sizeof(stage.page));

    measure("slab reserve + release, 96 B, the same", &stage, slab_pair, ROUNDS);
    measure("slab reserve + release, 96 B, of 4096", &stage, slab_churn, ROUNDS);
    measure("malloc + free, 96 B, the same", &stage, malloc_pair, ROUNDS);
    measure("epoch enter + leave", &stage, epoch_pair, ROUNDS);
    measure("epoch retire + reclaim, by 64", &stage, epoch_retire_64, ROUNDS);
    measure("hash slot, 16 B", &stage, hash_slot, ROUNDS);
    measure("hash key, 16 B", &stage, hash_key, ROUNDS);
    printf("crc32c by %s\n", warp_crc32c_name());
    measure("crc32c, 128 B", &stage, crc_128, ROUNDS);
    measure("crc32c, 4 KiB", &stage, crc_4096, ROUNDS / 10);
    measure("crc32c by table, 4 KiB", &stage, crc_table_4096, ROUNDS / 100);
    measure("ring send + receive, one thread", &stage, ring_pair, ROUNDS);
    measure("histogram add", &stage, histogram_add, ROUNDS);
    measure("clock", &stage, clock_read, ROUNDS / 10);

    warp_epoch_unregister(&stage.record);
    warp_epoch_destroy(&stage.epoch);
    warp_ring_destroy(&stage.memory, &stage.ring);
    warp_slab_pool_fini(&stage.pool);
    warp_memory_fini(&stage.memory);
    return 0;
}
