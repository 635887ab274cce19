/*
 * Any bytes as a checkpoint file: opening and reading it neither crashes nor reads past
 * the end, what is visited keeps every promise of the header, and written again it reads
 * the same.
 *
 * The first byte says what the rest is. With its low bit set, what a mutation can hardly
 * hit is made right before: magics, identity, checksums, and the offset of the tail. With
 * the next bit set as well, the whole rest is one section, of entries alone.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <warp/warp.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "tests/lib/memory_disk.h"
#include "wal/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE     4096u
#define NAME     "checkpoint-0000000000000001.warp"
#define PAGES    32u
#define ARCHIVED (UINT64_C(1) << 63)

static const uint8_t id[WARP_DATABASE_ID_BYTES] = {1, 2, 3, 4, 5};

static uint32_t part_seed(uint32_t part)
{
    uint8_t bytes[12];

    warp_store_u64le(bytes, 1);
    warp_store_u32le(bytes + 8, part);
    return warp_crc32c(warp_crc32c(0, id, sizeof(id)), bytes, sizeof(bytes));
}

static void seal_header(uint8_t *page)
{
    memcpy(page, "WARPCKP\1", 8);
    warp_store_u32le(page + 12, 1);
    memcpy(page + 32, id, sizeof(id));
    warp_store_u64le(page + 48, 1);
    warp_store_u32le(page + 20, 0);
    warp_store_u32le(page + 20, warp_crc32c(0, page, PAGE));
}

static void seal_trailer(uint8_t *file, uint64_t bytes)
{
    uint8_t *page = file + bytes - PAGE;

    memcpy(page, "WARPCKE\1", 8);
    warp_store_u64le(page + 16, 1);
    memcpy(page + 24, file + 56, 8);
    warp_store_u64le(page + 64, bytes);
    warp_store_u32le(page + 12, 0);
    warp_store_u32le(page + 12, warp_crc32c(part_seed(0xfffffffeu), page, PAGE));
}

/* Checksums of sections and tail as the numbers in the file have it, as far as they fit. */
static void repair(uint8_t *file, uint64_t bytes)
{
    uint8_t *trailer = file + bytes - PAGE;
    uint64_t segments = warp_load_u32le(trailer + 84);
    uint64_t archives = warp_load_u32le(trailer + 88);
    uint64_t sections = warp_load_u32le(trailer + 92);
    uint64_t tail_bytes = warp_align_up((segments + archives + sections) * 24, PAGE);
    uint64_t at = PAGE, tail, i;

    if (tail_bytes <= bytes - 2 * PAGE) {
        tail = bytes - PAGE - tail_bytes;
        for (i = 0; i < sections; i++) {
            uint8_t *row = file + tail + (segments + archives + i) * 24;
            uint64_t padded = warp_align_up(warp_load_u32le(row), PAGE);

            if (padded > tail - at) {
                break;
            }
            warp_store_u32le(row + 4,
                             warp_crc32c(part_seed((uint32_t)i), file + at, padded));
            at += padded;
        }
        warp_store_u64le(trailer + 72, tail);
        warp_store_u32le(trailer + 80,
                         warp_crc32c(part_seed(UINT32_MAX), file + tail, tail_bytes));
    }
    seal_header(file);
    seal_trailer(file, bytes);
}

/* A file around one section of one slot: flags, count of records, then its entries. */
static uint64_t wrap(uint8_t *file, const uint8_t *data, uint64_t size)
{
    uint64_t padded = warp_align_up(12 + size, PAGE);
    uint64_t bytes = PAGE + padded + 2 * PAGE;
    uint8_t *row = file + PAGE + padded;
    uint8_t *trailer = row + PAGE;
    uint32_t records = 1u + data[0];

    memset(file, 0, bytes);
    warp_store_u64le(file + 56, 1u << 20);
    warp_store_u32le(file + PAGE, 9);
    warp_store_u32le(file + PAGE + 4, records);
    warp_store_u32le(file + PAGE + 8, (uint32_t)size - 1);
    memcpy(file + PAGE + 12, data + 1, size - 1);
    warp_store_u32le(row, 12 + (uint32_t)size - 1);
    warp_store_u32le(row + 8, records);
    warp_store_u32le(row + 12, 9);
    warp_store_u32le(row + 16, 9);
    warp_store_u32le(row + 20, records);
    warp_store_u32le(trailer + 92, 1);
    warp_store_u64le(trailer + 32, UINT64_C(1) << 62);
    warp_store_u64le(trailer + 40, records);
    repair(file, bytes);
    return bytes;
}

/* What a read saw, as one number, and a writer that gets the same. */
struct copy {
    uint64_t end;
    struct warp_checkpoint_writer *writer; /* NULL: only look */
    uint64_t records, slot_records;
    uint32_t slot, crc;
    bool begun;
};

static int visit(void *context, uint32_t slot, uint32_t slot_records,
                 const struct warp_checkpoint_entry *entry)
{
    struct copy *copy = context;
    uint64_t numbers[5] = {slot, slot_records, entry->place, entry->expires_at_ms,
                           (uint64_t)entry->value_bytes << 8 | entry->heat << 2 |
                               (entry->in_batch ? 2 : 0) | (entry->resident ? 1 : 0)};

    warp_assert(entry->key_bytes >= 1 && entry->key_bytes <= WARP_KEY_BYTES_MAX);
    warp_assert(entry->value_bytes <= WARP_VALUE_BYTES_MAX);
    warp_assert(entry->heat <= 3);
    warp_assert((entry->place & ARCHIVED) != 0 || entry->place < copy->end);
    warp_assert(!copy->begun || slot >= copy->slot);
    copy->slot_records = copy->begun && slot == copy->slot ? copy->slot_records + 1 : 1;
    warp_assert(copy->slot_records <= slot_records);
    copy->crc = warp_crc32c(copy->crc, numbers, sizeof(numbers));
    copy->crc = warp_crc32c(copy->crc, entry->key, entry->key_bytes);
    copy->records++;
    if (copy->writer != NULL) {
        if (!copy->begun || slot != copy->slot) {
            warp_assert(
                warp_checkpoint_writer_begin_slot(copy->writer, slot, slot_records) == 0);
        }
        warp_assert(warp_checkpoint_writer_put(copy->writer, entry) == 0);
    }
    copy->begun = true;
    copy->slot = slot;
    return 0;
}

/* 0 when every section passed. */
static int walk(struct warp_checkpoint *checkpoint, struct copy *copy)
{
    uint32_t i;
    int rc = 0;

    copy->end = warp_checkpoint_summary(checkpoint)->end;
    for (i = 0; i < warp_checkpoint_section_count(checkpoint) && rc == 0; i++) {
        uint64_t offset = 0;

        rc = warp_checkpoint_read_section(checkpoint, i, visit, copy, &offset);
        warp_assert(rc == 0 || (rc == WARP_EDAMAGED && offset >= PAGE));
    }
    if (rc == 0) {
        warp_assert(copy->records == warp_checkpoint_summary(checkpoint)->records);
    }
    return rc;
}

static void copy_and_compare(struct memory_disk *disk, struct warp_memory *memory,
                             const struct warp_manifest *manifest,
                             struct warp_checkpoint *checkpoint, const struct copy *seen)
{
    const struct warp_checkpoint_summary *summary = warp_checkpoint_summary(checkpoint);
    struct warp_checkpoint_config config = {
        .disk = &disk->disk,
        .memory = memory,
        .manifest = manifest,
        .number = 2,
        .begin = summary->begin,
        .buffer_bytes = 4096,
    };
    struct warp_checkpoint_summary again_summary;
    struct warp_checkpoint *again = NULL;
    struct copy copy = {0}, back = {0};

    warp_assert(warp_checkpoint_writer_create(&copy.writer, &config) == 0);
    warp_assert(walk(checkpoint, &copy) == 0);
    warp_assert(warp_checkpoint_writer_seal(
                    copy.writer, summary->end, summary->made_ms, summary->archive_next,
                    warp_checkpoint_segments(checkpoint), summary->segment_count,
                    warp_checkpoint_archives(checkpoint), summary->archive_count,
                    &again_summary) == 0);
    warp_checkpoint_writer_destroy(&copy.writer);
    warp_assert(again_summary.records == summary->records);
    warp_assert(warp_checkpoint_open(&again, &disk->disk, memory, manifest, 2, NULL, 0) ==
                0);
    warp_assert(walk(again, &back) == 0);
    warp_assert(back.crc == seen->crc);
    warp_checkpoint_close(&again);
}

static void try_file(const uint8_t *file, uint64_t bytes)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = {.segment_bytes = 4096};
    struct warp_checkpoint_summary found;
    struct warp_checkpoint *checkpoint = NULL;
    struct warp_memory memory;
    struct copy seen = {0};
    char message[200] = "";
    uint32_t count;
    int rc;

    memcpy(manifest.id, id, sizeof(id));
    warp_assert(warp_memory_init(&memory, NULL) == 0);
    memory_disk_put(disk, NAME, file, bytes);
    warp_assert(warp_checkpoint_find(&disk->disk, &memory, &manifest, false, &found, 1,
                                     &count) == 0);
    warp_assert(count == 1 && found.number == 1);
    rc = warp_checkpoint_open(&checkpoint, &disk->disk, &memory, &manifest, 1, message,
                              sizeof(message));
    if (rc < 0) {
        warp_assert(rc == WARP_EDAMAGED || rc == WARP_EFORMAT || rc == WARP_EVERSION);
        warp_assert(message[0] != '\0');
    } else {
        warp_assert(found.records != UINT64_MAX);
        if (walk(checkpoint, &seen) == 0) {
            copy_and_compare(disk, &memory, &manifest, checkpoint, &seen);
        }
    }
    warp_checkpoint_close(&checkpoint);
    warp_assert(disk->handles == 0);
    warp_assert(warp_memory_bytes(&memory) == 0);
    memory_disk_destroy(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *file;
    uint64_t bytes;

    if (size < 2 || size > (PAGES - 4) * PAGE) {
        return 0;
    }
    file = malloc(PAGES * PAGE);
    warp_assert(file != NULL);
    if ((data[0] & 3) == 3 && size > 2) {
        bytes = wrap(file, data + 1, size - 1);
    } else {
        memcpy(file, data + 1, size - 1);
        bytes = size - 1;
        if ((data[0] & 1) != 0 && bytes >= 2 * PAGE) {
            bytes = warp_align_down(bytes, PAGE);
            repair(file, bytes);
        }
    }
    try_file(file, bytes);
    free(file);
    return 0;
}
