/*
 * Any bytes as an archive file: reading it neither crashes nor runs for ever nor reads beyond
 * what it was given, and while no checksum was forged it gives nothing but what was added.
 *
 * The input is a small language, so that mutations make interesting files rather than bad
 * checksums. The first byte: bit 0 compress, bits 1 and 2 the size of blocks. Then operations
 * of one byte and their arguments; entries are added until the first operation above 3:
 *
 *   0      add an entry: key bytes - 1, value bytes, kind of value
 *   1      add as many small entries as the next byte says
 *   2      add a large entry: value bytes / 64
 *   3      add a delete
 *   4      poke: 2 bytes of place, 1 of content
 *   5      cut: 2 bytes of place
 *   6      copy a sector over another
 *   7      forge: poke 4 bytes into the header of a block, and make its checksum right
 *   8      forge: poke the content of a block, and make its checksums right
 *   9      forge: poke 4 bytes into one of the pages, and make its checksum right
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "tests/lib/memory_disk.h"
#include "wal/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES_MAX 2000u
#define NUMBER      3u
#define SECTOR      512u

struct fuzz_archive {
    const uint8_t *data;
    size_t size, at;

    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_manifest manifest;
    struct warp_archive_writer *writer;
    uint64_t places[ENTRIES_MAX];
    uint32_t value_bytes[ENTRIES_MAX], key_bytes[ENTRIES_MAX];
    uint8_t kinds[ENTRIES_MAX], looks[ENTRIES_MAX];
    uint32_t count, placed;
    bool forged;
    uint32_t sum; /* of every byte that was read, so that reading them is not left out */
};

static uint8_t fuzz_take(struct fuzz_archive *f)
{
    return f->at < f->size ? f->data[f->at++] : 0;
}

static uint32_t fuzz_take16(struct fuzz_archive *f)
{
    uint32_t high = fuzz_take(f);

    return high << 8 | fuzz_take(f);
}

static void fuzz_value(uint8_t *value, uint32_t bytes, uint32_t i, uint8_t look)
{
    uint32_t state = i * 2654435761u + 1;
    uint32_t j;

    for (j = 0; j < bytes; j++) {
        state = state * 1664525u + 1013904223u;
        value[j] = look % 3 == 0 ? 0 : look % 3 == 1 ? (uint8_t)(state >> 24) : (uint8_t)j;
    }
}

static void fuzz_placed(void *context, void *cookie, uint64_t place)
{
    struct fuzz_archive *f = context;

    warp_assert((uintptr_t)cookie == f->placed);
    f->places[f->placed++] = place;
}

static void fuzz_add(struct fuzz_archive *f, uint8_t kind, uint32_t key_bytes,
                     uint32_t value_bytes, uint8_t look)
{
    struct warp_archive_item item;
    uint8_t key[256];
    uint8_t *value;
    uint32_t i = f->count;

    if (f->count == ENTRIES_MAX) {
        return;
    }
    value = malloc(value_bytes > 0 ? value_bytes : 1);
    memset(key, 'k', sizeof(key));
    fuzz_value(value, value_bytes, i, look);
    memset(&item, 0, sizeof(item));
    item.slot = i;
    item.hash = i * UINT64_C(0x9e3779b97f4a7c15);
    item.sequence = i;
    item.cookie = (void *)(uintptr_t)i;
    item.entry.kind = kind;
    item.entry.key = key;
    item.entry.value = value;
    item.entry.key_bytes = key_bytes;
    item.entry.value_bytes = value_bytes;
    if (look % 2 == 1 && kind == WARP_ENTRY_PUT) {
        item.entry.flags = WARP_ENTRY_HAS_EXPIRY;
        item.entry.expires_at_ms = i;
    }
    f->kinds[i] = kind;
    f->looks[i] = look;
    f->key_bytes[i] = key_bytes;
    f->value_bytes[i] = value_bytes;
    f->count++;
    warp_assert(warp_archive_writer_add(f->writer, &item) == 0);
    free(value);
}

static void fuzz_write(struct fuzz_archive *f)
{
    uint8_t how = fuzz_take(f);
    struct warp_archive_config config = {.disk = &f->disk->disk,
                                         .memory = &f->memory,
                                         .manifest = &f->manifest,
                                         .number = NUMBER,
                                         .block_bytes = 1024u << (how >> 1 & 3),
                                         .level = how & 1,
                                         .buffer_bytes = 65536};
    uint32_t i;

    warp_assert(warp_archive_writer_create(&f->writer, &config, fuzz_placed, f) == 0);
    while (f->at < f->size && f->data[f->at] % 10 <= 3) {
        uint32_t key_bytes, bytes;

        switch (fuzz_take(f) % 10) {
        case 0:
            key_bytes = fuzz_take(f) + 1u;
            bytes = fuzz_take(f);
            fuzz_add(f, WARP_ENTRY_PUT, key_bytes, bytes, fuzz_take(f));
            break;
        case 1:
            bytes = fuzz_take(f);
            for (i = 0; i < bytes; i++) {
                fuzz_add(f, WARP_ENTRY_PUT, 4, i % 8, 2);
            }
            break;
        case 2:
            bytes = 64u * fuzz_take(f);
            fuzz_add(f, WARP_ENTRY_PUT, 8, bytes, fuzz_take(f));
            break;
        default:
            fuzz_add(f, WARP_ENTRY_DELETE, fuzz_take(f) + 1u, 0, 0);
            break;
        }
    }
    warp_assert(warp_archive_writer_seal(f->writer, NULL) == 0);
    warp_assert(f->placed == f->count);
    warp_archive_writer_destroy(&f->writer);
}

static void fuzz_fix_page(uint8_t *page)
{
    warp_store_u32le(page + 20, 0);
    warp_store_u32le(page + 20, warp_crc32c(0, page, WARP_FILE_HEADER_BYTES));
}

static void fuzz_fix_header(struct fuzz_archive *f, uint8_t *head)
{
    warp_store_u32le(head + 4, 0);
    warp_store_u32le(head + 4, warp_crc32c(warp_manifest_seed(&f->manifest), head,
                                           WARP_BLOCK_HEADER_BYTES));
}

/* The n-th header of the file that passes, or NULL. */
static uint8_t *fuzz_block(struct fuzz_archive *f, uint8_t *bytes, uint64_t length,
                           uint32_t n, struct warp_block *block)
{
    uint8_t *found = NULL;
    uint64_t at;

    for (at = 0; at + WARP_BLOCK_HEADER_BYTES <= length; at += SECTOR) {
        struct warp_block one;

        if (warp_block_decode_header(bytes + at, warp_manifest_seed(&f->manifest), &one) ==
                0 &&
            at + WARP_BLOCK_HEADER_BYTES + one.stored_bytes <= length) {
            found = bytes + at;
            *block = one;
            if (n-- == 0) {
                break;
            }
        }
    }
    return found;
}

static void fuzz_forge(struct fuzz_archive *f, uint8_t operation, uint8_t *bytes,
                       uint64_t length)
{
    uint32_t which = fuzz_take(f), at = fuzz_take16(f), content = fuzz_take16(f);
    struct warp_block block;
    uint8_t *head;

    f->forged = true;
    content = content << 16 | fuzz_take16(f);
    if (operation == 9) {
        uint8_t *page = which % 2 == 0 ? bytes : bytes + length - WARP_FILE_HEADER_BYTES;

        if (length >= WARP_FILE_HEADER_BYTES) {
            warp_store_u32le(page + at % 128, content);
            fuzz_fix_page(page);
        }
        return;
    }
    head = fuzz_block(f, bytes, length, which, &block);
    if (head == NULL) {
        return;
    }
    if (operation == 7) {
        warp_store_u32le(head + at % 60, content);
    } else {
        uint8_t *stored = head + WARP_BLOCK_HEADER_BYTES;

        stored[at % block.stored_bytes] = (uint8_t)content;
        warp_store_u32le(head + 36, warp_crc32c(0, stored, block.stored_bytes));
        if (block.codec == WARP_BLOCK_RAW) {
            memcpy(head + 40, head + 36, 4);
        }
    }
    fuzz_fix_header(f, head);
}

static void fuzz_change(struct fuzz_archive *f)
{
    char name[WARP_ARCHIVE_NAME_BYTES];

    warp_archive_name(NUMBER, name);
    while (f->at < f->size) {
        uint8_t operation = fuzz_take(f) % 10;
        uint64_t length;
        uint8_t *bytes = memory_disk_bytes(f->disk, name, &length);
        uint64_t a, b;
        uint8_t *copy;

        if (length < SECTOR) {
            return;
        }
        switch (operation) {
        case 4:
            a = fuzz_take16(f) % length;
            bytes[a] = fuzz_take(f);
            break;
        case 5:
            a = fuzz_take16(f) % length;
            copy = malloc(length);
            memcpy(copy, bytes, length);
            memory_disk_put(f->disk, name, copy, a);
            free(copy);
            break;
        case 6:
            a = fuzz_take(f) % (length / SECTOR);
            b = fuzz_take(f) % (length / SECTOR);
            memmove(bytes + a * SECTOR, bytes + b * SECTOR, SECTOR);
            break;
        case 7:
        case 8:
        case 9:
            fuzz_forge(f, operation, bytes, length);
            break;
        default:
            break;
        }
    }
}

/* Whether it is entry i; reads all of it. */
static bool fuzz_same(struct fuzz_archive *f, uint32_t i, const struct warp_entry *entry)
{
    uint8_t *value = malloc(entry->value_bytes > 0 ? entry->value_bytes : 1);
    bool same;

    f->sum = warp_crc32c(f->sum, entry->key, entry->key_bytes);
    f->sum = warp_crc32c(f->sum, entry->value, entry->value_bytes);
    if (i >= f->count) {
        free(value);
        return false;
    }
    fuzz_value(value, entry->value_bytes, i, f->looks[i]);
    same = entry->kind == f->kinds[i] && entry->key_bytes == f->key_bytes[i] &&
           entry->value_bytes == f->value_bytes[i] &&
           memcmp(entry->value, value, entry->value_bytes) == 0;
    free(value);
    return same;
}

static int fuzz_visit(void *context, const struct warp_entry *entry, uint64_t sequence,
                      uint64_t place)
{
    struct fuzz_archive *f = context;
    bool same = fuzz_same(f, (uint32_t)sequence, entry);

    warp_assert(f->forged || (same && f->places[sequence] == place));
    return 0;
}

static int fuzz_row(void *context, uint32_t slot, uint64_t hash, uint64_t sequence,
                    uint64_t place)
{
    struct fuzz_archive *f = context;

    warp_assert(f->forged || (sequence < f->count && slot == sequence &&
                              hash == sequence * UINT64_C(0x9e3779b97f4a7c15) &&
                              f->places[sequence] == place));
    return 0;
}

static void fuzz_damaged(void *context, uint64_t offset, uint64_t bytes, const char *what)
{
    (void)context;
    (void)offset;
    (void)bytes;
    warp_assert(what != NULL);
}

/* Read place i as the engine would, the block and its scratch in memory of just their size. */
static void fuzz_get(struct fuzz_archive *f, const struct warp_archive_info *info,
                     const uint8_t *bytes, uint64_t length, uint32_t i)
{
    uint64_t at = (uint64_t)warp_place_decode(f->places[i]).unit * SECTOR;
    uint32_t stored = 0, raw = 0;
    uint8_t *block, *scratch;
    struct warp_entry entry;
    uint64_t sequence;

    if (at + WARP_BLOCK_HEADER_BYTES > length ||
        warp_archive_block_size(info, bytes + at, f->places[i], &stored, &raw) < 0) {
        return;
    }
    stored = length - at < stored ? (uint32_t)(length - at) : stored;
    block = malloc(stored);
    scratch = malloc(raw > 0 ? raw : 1);
    memcpy(block, bytes + at, stored);
    if (warp_archive_block_entry(info, block, stored, f->places[i], scratch, raw, &entry,
                                 &sequence) == 0) {
        bool same = fuzz_same(f, i, &entry);

        warp_assert(f->forged || (same && sequence == i));
    }
    free(scratch);
    free(block);
}

static void fuzz_read(struct fuzz_archive *f)
{
    const struct warp_disk *disk = &f->disk->disk;
    struct warp_archive_decoder *decoder = NULL;
    struct warp_archive_info *info = NULL;
    char name[WARP_ARCHIVE_NAME_BYTES];
    const uint8_t *bytes;
    uint64_t length;
    int32_t file;
    uint32_t i;

    (void)warp_archive_walk(disk, &f->memory, &f->manifest, NUMBER, fuzz_visit,
                            fuzz_damaged, f);
    (void)warp_archive_list(disk, &f->memory, &f->manifest, NUMBER, fuzz_row, f);
    warp_archive_name(NUMBER, name);
    bytes = memory_disk_bytes(f->disk, name, &length);
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    warp_assert(warp_archive_decoder_create(&decoder, &f->memory, 1) == 0);
    if (warp_archive_info_create(&info, disk, &f->memory, &f->manifest, decoder, file,
                                 NUMBER) == 0) {
        for (i = 0; i < f->count; i += 1 + f->count / 64) {
            fuzz_get(f, info, bytes, length, i);
        }
    }
    warp_archive_info_destroy(&info);
    warp_archive_decoder_destroy(&decoder);
    disk->ops->close(disk->context, file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_archive f;

    memset(&f, 0, sizeof(f));
    f.data = data;
    f.size = size;
    f.disk = memory_disk_create();
    warp_assert(warp_memory_init(&f.memory, NULL) == 0);
    memset(f.manifest.id, 0x11, sizeof(f.manifest.id));
    f.manifest.epoch = 1;
    fuzz_write(&f);
    fuzz_change(&f);
    fuzz_read(&f);
    warp_assert(f.disk->handles == 0);
    memory_disk_destroy(&f.disk);
    warp_assert(warp_memory_bytes(&f.memory) == 0);
    warp_memory_fini(&f.memory);
    return 0;
}
