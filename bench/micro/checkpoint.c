/*
 * How fast a checkpoint of many small records is written, and read back by one thread with a
 * visitor that only counts; the file is in the page cache when it is read.
 *
 *     build/micro/checkpoint [RECORDS] [DIRECTORY]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <warp/warp.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/memory.h"
#include "base/random.h"
#include "wal/checkpoint.h"

#define SLOTS 16384u

static int count_visit(void *context, uint32_t slot, uint32_t slot_records,
                       const struct warp_checkpoint_entry *entry)
{
    uint64_t *count = context;

    (void)slot;
    (void)slot_records;
    (void)entry;
    (*count)++;
    return 0;
}

static void expect(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, warp_error_text(rc));
        exit(1);
    }
}

/* A log of so many bytes below begin, everything spread over it. */
static uint64_t bench_write(const struct warp_checkpoint_config *config, uint64_t records,
                            bool archived)
{
    struct warp_checkpoint_writer *writer = NULL;
    struct warp_checkpoint_summary summary;
    struct warp_checkpoint_entry entry = {0};
    uint64_t place = 0, began_ns, spent_ns;
    struct warp_random random;
    uint64_t key[2];
    uint64_t i;
    uint32_t slot;

    warp_random_init(&random, 1);
    began_ns = warp_clock_ns(warp_clock_system());
    expect(warp_checkpoint_writer_create(&writer, config), "create");
    for (slot = 0; slot < SLOTS; slot++) {
        uint64_t count = records * (slot + 1) / SLOTS - records * slot / SLOTS;

        expect(warp_checkpoint_writer_begin_slot(writer, slot, (uint32_t)count), "slot");
        for (i = 0; i < count; i++) {
            key[0] = warp_random_next(&random);
            key[1] = slot;
            entry.key = key;
            entry.key_bytes = sizeof(key);
            entry.value_bytes = 100;
            if (archived) {
                /* Slot order in 8 files; blocks of 100 records: 32 units, 7 bits of index. */
                uint64_t nth = records / 8 * slot / SLOTS + i / 8;

                place = UINT64_C(1) << 63 | (key[0] & 7) << 41 | nth / 100 * 32 << 20 |
                        UINT64_C(32) << 10 | nth % 100;
            } else {
                place = warp_random_below(&random, config->begin) & ~UINT64_C(7);
            }
            entry.place = place;
            entry.heat = key[0] & 3;
            expect(warp_checkpoint_writer_put(writer, &entry), "put");
        }
    }
    expect(warp_checkpoint_writer_seal(writer, config->begin, 1, 8, NULL, 0, NULL, 0,
                                       &summary),
           "seal");
    spent_ns = warp_clock_ns(warp_clock_system()) - began_ns;
    warp_checkpoint_writer_destroy(&writer);
    printf("  write %6.1f MB/s %6.2f M entries/s, %.2f bytes an entry with its key of 16\n",
           (double)summary.bytes * 1e3 / (double)spent_ns,
           (double)records * 1e3 / (double)spent_ns,
           (double)summary.bytes / (double)records);
    return summary.bytes;
}

static void bench_read(const struct warp_checkpoint_config *config, uint64_t records,
                       uint64_t bytes)
{
    struct warp_checkpoint *checkpoint = NULL;
    uint64_t began_ns, spent_ns, count, offset = 0;
    uint32_t section, round;
    char message[200] = "";

    for (round = 0; round < 4; round++) {
        count = 0;
        began_ns = warp_clock_ns(warp_clock_system());
        expect(warp_checkpoint_open(&checkpoint, config->disk, config->memory,
                                    config->manifest, config->number, message,
                                    sizeof(message)),
               message);
        for (section = 0; section < warp_checkpoint_section_count(checkpoint); section++) {
            expect(warp_checkpoint_read_section(checkpoint, section, count_visit, &count,
                                                &offset),
                   "read");
        }
        warp_checkpoint_close(&checkpoint);
        spent_ns = warp_clock_ns(warp_clock_system()) - began_ns;
        if (count != records) {
            fprintf(stderr, "%llu records\n", (unsigned long long)count);
            exit(1);
        }
        printf("  read  %6.1f MB/s %6.2f M entries/s\n",
               (double)bytes * 1e3 / (double)spent_ns,
               (double)records * 1e3 / (double)spent_ns);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint32_t bits;
        bool archived;
    } shapes[] = {{"log of 1 GiB", 30, false},
                  {"log of 256 GiB", 38, false},
                  {"archived, 8 files", 38, true}};
    uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    struct warp_manifest manifest = {.segment_bytes = 1u << 26};
    struct warp_memory memory;
    struct warp_disk disk;
    char path[256], message[200] = "";
    uint32_t i;

    snprintf(path, sizeof(path), "%s", argc > 2 ? argv[2] : "/tmp/warp-checkpoint-micro");
    expect(warp_memory_init(&memory, NULL), "memory");
    if (warp_disk_open_directory(path, &memory, WARP_IO_BACKEND_PLAIN, true, &disk, message,
                                 sizeof(message)) < 0) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct warp_checkpoint_config config = {
            .disk = &disk,
            .memory = &memory,
            .manifest = &manifest,
            .number = 1,
            .begin = UINT64_C(1) << shapes[i].bits,
        };

        printf("%s, %llu records\n", shapes[i].name, (unsigned long long)records);
        bench_read(&config, records, bench_write(&config, records, shapes[i].archived));
        expect(warp_checkpoint_remove(&disk, 1), "remove");
    }
    warp_disk_close(&disk);
    return 0;
}
