/*
 * Work for the console's test: a database whose every number moves, until standard input ends.
 *
 *     console_load DIR [SHARDS [THREADS]]
 *
 * Values do not all fit into memory, most of the work is on slots that one shard had at first and
 * gravity is on, and some calls wait for the disk and are kept as slow. Prints "loaded" when the records are
 * there.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "warp/warp.h"

#define RECORDS     60000u
#define VALUE_BYTES 800u
#define HOT         64u
#define GROUP       32u

static struct warp *db;
static _Atomic bool stop;
static uint32_t hot[HOT];

static struct warp_slice key_of(uint32_t number, char text[32])
{
    snprintf(text, 32, "record-%u", number);
    return (struct warp_slice){text, strlen(text)};
}

static int put(uint32_t number, const struct warp_write *how)
{
    char key[32], value[VALUE_BYTES];
    struct warp_slice slice = {value, 100 + number % (VALUE_BYTES - 100)};

    memset(value, (int)(number % 251), sizeof(value));
    return warp_put(db, key_of(number, key), slice, how, NULL);
}

static void *work(void *context)
{
    struct warp_write commit = WARP_WRITE_INIT;
    uint32_t random = (uint32_t)(uintptr_t)context * 2654435761u + 1, i = 0;
    char key[32], value[VALUE_BYTES];
    size_t bytes;

    commit.durability = WARP_COMMIT;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint32_t number;

        random = random * 1664525u + 1013904223u;
        number = random >> 30 != 0 ? hot[(random >> 8) % HOT] : (random >> 8) % RECORDS;
        if (i % 64 == 0) { /* mostly one that is on disk only */
            (void)warp_get(db, key_of((random >> 7) % RECORDS, key), value, sizeof(value),
                           &bytes, NULL);
        }
        if (i % 3 != 0 && warp_get(db, key_of(hot[(random >> 9) % HOT], key), value,
                                   sizeof(value), &bytes, NULL) < 0) {
            fputs("a get failed\n", stderr);
            exit(1);
        }
        if (i % 3 == 0 && put(number, i % 3000 == 0 ? &commit : NULL) < 0) {
            fputs("a put failed\n", stderr);
            exit(1);
        }
        if (++i % 256 == 0) {
            usleep(300); /* others on this machine want to work, too */
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    uint32_t threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 2, i, found = 0;
    pthread_t ids[16];
    char byte, message[256] = "";

    options.durability = WARP_INTERVAL;
    options.shard_count = argc > 2 ? (uint32_t)atoi(argv[2]) : 4;
    options.memory_bytes_max = 24 << 20;
    options.segment_bytes = 4 << 20;
    options.log_buffer_bytes = 1 << 20;
    options.gravity = 1;
    options.slow_ns = 1500000;
    options.message = message;
    options.message_bytes = sizeof(message);
    if (argc < 2 || threads < 1 || threads > 16 || warp_open(argv[1], &options, &db) != 0) {
        fprintf(stderr, "console_load: %s\n", message);
        return 1;
    }
    for (i = 0; i < RECORDS; i++) {
        if (put(i, NULL) < 0) {
            fputs("a put failed\n", stderr);
            return 1;
        }
    }
    (void)warp_checkpoint(db);
    for (i = 0; found < HOT; i++) {
        char text[32];
        struct warp_slice key = key_of(i, text);

        hot[found] = i;
        found += warp_hash_slot(key.data, key.bytes) % options.shard_count == 0;
    }
    puts("loaded");
    fflush(stdout);
    for (i = 0; i < threads; i++) {
        pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)(i + 1));
    }
    while (read(0, &byte, 1) > 0) {
    }
    atomic_store(&stop, true);
    for (i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    return warp_close(&db) == 0 ? 0 : 1;
}
