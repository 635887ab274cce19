/*
 * Decoding trusts nothing: the checksum comes before any field, the version is told apart
 * from garbage only once the checksum is right, and every size is compared with its bound
 * before somebody asks for so much memory. Padding and fields that must be zero are written
 * as zero and covered by the checksum, but not compared: a later version may use them.
 */
#include "wal/block.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"

enum {
    BLOCK_AT_VERSION = 2,
    BLOCK_AT_KIND = 3,
    BLOCK_AT_CRC = 4,
    BLOCK_AT_NUMBER = 8,
    BLOCK_AT_UNIT = 12,
    BLOCK_AT_RAW_BYTES = 16,
    BLOCK_AT_STORED_BYTES = 20,
    BLOCK_AT_ENTRY_COUNT = 24,
    BLOCK_AT_EPOCH = 28,
    BLOCK_AT_CODEC = 32,
    BLOCK_AT_STORED_CRC = 36,
    BLOCK_AT_RAW_CRC = 40,
};

/* An offset, a sequence, and an entry of one byte of key. */
#define BLOCK_ENTRY_BYTES_MIN                                                              \
    (WARP_BLOCK_OFFSET_BYTES + WARP_BLOCK_SEQUENCE_BYTES + WARP_ENTRY_HEADER_BYTES_MIN + 1u)

/* The count and the raw bytes that a block of this kind may have. */
static bool block_shape_fits(const struct warp_block *block)
{
    uint64_t count = block->entry_count;

    if (block->raw_bytes == 0 || block->raw_bytes > WARP_BLOCK_RAW_BYTES_MAX) {
        return false;
    }
    /* A number from disk, not an enum: the default is the answer to garbage. */
    switch (block->kind) {
    case WARP_BLOCK_ENTRIES:
        return count >= 1 && count <= WARP_PLACE_ENTRIES_MAX &&
               block->raw_bytes >= count * BLOCK_ENTRY_BYTES_MIN;
    case WARP_BLOCK_DICTIONARY:
        return count == 0 && block->codec == WARP_BLOCK_RAW;
    case WARP_BLOCK_INDEX:
        return count >= 1 && count <= WARP_BLOCK_INDEX_ROWS_MAX &&
               block->raw_bytes == count * WARP_BLOCK_INDEX_ROW_BYTES &&
               block->codec != WARP_BLOCK_ZSTD_DICTIONARY;
    case WARP_BLOCK_DIRECTORY:
        return count >= 1 && count <= WARP_BLOCK_DIRECTORY_MAX &&
               block->raw_bytes == count * sizeof(uint32_t) &&
               block->codec == WARP_BLOCK_RAW;
    default:
        return false;
    }
}

static bool block_codec_fits(const struct warp_block *block)
{
    switch (block->codec) {
    case WARP_BLOCK_RAW:
        return block->stored_bytes == block->raw_bytes &&
               block->stored_crc == block->raw_crc;
    case WARP_BLOCK_ZSTD:
    case WARP_BLOCK_ZSTD_DICTIONARY:
        return block->stored_bytes >= 1 && block->stored_bytes < block->raw_bytes;
    default:
        return false;
    }
}

void warp_block_encode_header(void *out, const struct warp_block *block, uint32_t seed)
{
    uint8_t *bytes = out;

    warp_assert(block->number < WARP_PLACE_FILES_MAX);
    warp_assert(block->unit < WARP_PLACE_UNIT_MAX);
    warp_assert(block_shape_fits(block));
    warp_assert(block_codec_fits(block));
    memset(bytes, 0, WARP_BLOCK_HEADER_BYTES);
    bytes[0] = 'W';
    bytes[1] = 'A';
    bytes[BLOCK_AT_VERSION] = WARP_BLOCK_VERSION;
    bytes[BLOCK_AT_KIND] = block->kind;
    warp_store_u32le(bytes + BLOCK_AT_NUMBER, block->number);
    warp_store_u32le(bytes + BLOCK_AT_UNIT, block->unit);
    warp_store_u32le(bytes + BLOCK_AT_RAW_BYTES, block->raw_bytes);
    warp_store_u32le(bytes + BLOCK_AT_STORED_BYTES, block->stored_bytes);
    warp_store_u32le(bytes + BLOCK_AT_ENTRY_COUNT, block->entry_count);
    warp_store_u32le(bytes + BLOCK_AT_EPOCH, block->epoch);
    bytes[BLOCK_AT_CODEC] = block->codec;
    warp_store_u32le(bytes + BLOCK_AT_STORED_CRC, block->stored_crc);
    warp_store_u32le(bytes + BLOCK_AT_RAW_CRC, block->raw_crc);
    warp_store_u32le(bytes + BLOCK_AT_CRC,
                     warp_crc32c(seed, bytes, WARP_BLOCK_HEADER_BYTES));
}

int warp_block_decode_header(const void *in, uint32_t seed, struct warp_block *out)
{
    const uint8_t *bytes = in;
    uint8_t copy[WARP_BLOCK_HEADER_BYTES];
    struct warp_block block;

    if (bytes[0] != 'W' || bytes[1] != 'A' || bytes[BLOCK_AT_VERSION] == 0) {
        return WARP_EDAMAGED;
    }
    memcpy(copy, bytes, sizeof(copy));
    warp_store_u32le(copy + BLOCK_AT_CRC, 0);
    if (warp_crc32c(seed, copy, sizeof(copy)) != warp_load_u32le(bytes + BLOCK_AT_CRC)) {
        return WARP_EDAMAGED;
    }
    if (bytes[BLOCK_AT_VERSION] > WARP_BLOCK_VERSION) {
        return WARP_EVERSION;
    }
    block.kind = bytes[BLOCK_AT_KIND];
    block.codec = bytes[BLOCK_AT_CODEC];
    block.number = warp_load_u32le(bytes + BLOCK_AT_NUMBER);
    block.unit = warp_load_u32le(bytes + BLOCK_AT_UNIT);
    block.raw_bytes = warp_load_u32le(bytes + BLOCK_AT_RAW_BYTES);
    block.stored_bytes = warp_load_u32le(bytes + BLOCK_AT_STORED_BYTES);
    block.entry_count = warp_load_u32le(bytes + BLOCK_AT_ENTRY_COUNT);
    block.epoch = warp_load_u32le(bytes + BLOCK_AT_EPOCH);
    block.stored_crc = warp_load_u32le(bytes + BLOCK_AT_STORED_CRC);
    block.raw_crc = warp_load_u32le(bytes + BLOCK_AT_RAW_CRC);
    if (!block_shape_fits(&block) || !block_codec_fits(&block)) {
        return WARP_EDAMAGED;
    }
    *out = block;
    return 0;
}

int warp_block_entry(const struct warp_block *block, const void *raw, uint32_t index,
                     struct warp_entry *entry, uint64_t *sequence)
{
    const uint8_t *bytes = raw;
    uint32_t table = block->entry_count * WARP_BLOCK_OFFSET_BYTES;
    uint32_t begin, end;
    struct warp_entry found;
    size_t length;

    warp_assert(block->kind == WARP_BLOCK_ENTRIES);
    warp_assert(index < block->entry_count);
    begin = warp_load_u32le(bytes + index * WARP_BLOCK_OFFSET_BYTES);
    end = index + 1 < block->entry_count
              ? warp_load_u32le(bytes + (index + 1) * WARP_BLOCK_OFFSET_BYTES)
              : block->raw_bytes;
    if (begin < table || end > block->raw_bytes || begin >= end ||
        end - begin <= WARP_BLOCK_SEQUENCE_BYTES) {
        return WARP_EDAMAGED;
    }
    begin += WARP_BLOCK_SEQUENCE_BYTES;
    if (warp_entry_decode(bytes + begin, end - begin, &found, &length) < 0 ||
        length != end - begin || (found.flags & WARP_ENTRY_HAS_CHECKSUM) != 0) {
        return WARP_EDAMAGED;
    }
    *sequence = warp_load_u64le(bytes + begin - WARP_BLOCK_SEQUENCE_BYTES);
    *entry = found;
    return 0;
}

/*
 * ---- the index --------------------------------------------------------------------------
 */

void warp_block_index_store(void *raw, uint32_t rows, uint32_t i,
                            const struct warp_block_row *row)
{
    uint8_t bytes[WARP_BLOCK_INDEX_ROW_BYTES];
    uint32_t column;

    warp_assert(i < rows);
    warp_assert(row->slot <= UINT16_MAX);
    warp_store_u16le(bytes, (uint16_t)row->slot);
    warp_store_u64le(bytes + 2, row->hash);
    warp_store_u64le(bytes + 10, row->sequence);
    warp_store_u64le(bytes + 18, row->place);
    for (column = 0; column < WARP_BLOCK_INDEX_ROW_BYTES; column++) {
        ((uint8_t *)raw)[column * rows + i] = bytes[column];
    }
}

struct warp_block_row warp_block_index_load(const void *raw, uint32_t rows, uint32_t i)
{
    uint8_t bytes[WARP_BLOCK_INDEX_ROW_BYTES];
    struct warp_block_row row;
    uint32_t column;

    warp_assert(i < rows);
    for (column = 0; column < WARP_BLOCK_INDEX_ROW_BYTES; column++) {
        bytes[column] = ((const uint8_t *)raw)[column * rows + i];
    }
    row.slot = warp_load_u16le(bytes);
    row.hash = warp_load_u64le(bytes + 2);
    row.sequence = warp_load_u64le(bytes + 10);
    row.place = warp_load_u64le(bytes + 18);
    return row;
}

/*
 * ---- the pages --------------------------------------------------------------------------
 */

static const uint8_t block_header_magic[8] = {'W', 'A', 'R', 'P', 'A', 'R', 'C', 1};
static const uint8_t block_trailer_magic[8] = {'W', 'A', 'R', 'P', 'E', 'N', 'D', 1};

enum {
    PAGE_AT_MAGIC = 0,
    PAGE_AT_FORMAT = 8,
    PAGE_AT_READER = 12,
    PAGE_AT_PAGE_BYTES = 16,
    PAGE_AT_CRC = 20,
    PAGE_AT_NUMBER = 24,
    PAGE_AT_EPOCH = 28,
    PAGE_AT_ID = 32,
    /* of the header */
    PAGE_AT_DICTIONARY_BYTES = 48,
    /* of the trailer */
    PAGE_AT_DIRECTORY_UNIT = 48,
    PAGE_AT_INDEX_COUNT = 52,
    PAGE_AT_ENTRIES = 56,
    PAGE_AT_ENTRY_BYTES = 64,
    PAGE_AT_BLOCKS = 72,
    PAGE_AT_BLOCKS_COMPRESSED = 80,
    PAGE_AT_FILE_BYTES = 88,
    PAGE_USED_BYTES = 96,
};
_Static_assert((int)PAGE_USED_BYTES <= (int)WARP_FILE_HEADER_BYTES, "fits");

static uint32_t block_page_crc(const uint8_t *bytes)
{
    static const uint8_t zero[4];
    uint32_t crc;

    crc = warp_crc32c(0, bytes, PAGE_AT_CRC);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    return warp_crc32c(crc, bytes + PAGE_AT_CRC + 4,
                       WARP_FILE_HEADER_BYTES - PAGE_AT_CRC - 4);
}

static void block_begin_page(uint8_t *bytes, const uint8_t *magic, uint32_t number,
                             uint32_t epoch, const uint8_t *id)
{
    memset(bytes, 0, WARP_FILE_HEADER_BYTES);
    memcpy(bytes + PAGE_AT_MAGIC, magic, sizeof(block_header_magic));
    warp_store_u32le(bytes + PAGE_AT_FORMAT, WARP_BLOCK_VERSION);
    warp_store_u32le(bytes + PAGE_AT_READER, WARP_BLOCK_VERSION);
    warp_store_u32le(bytes + PAGE_AT_PAGE_BYTES, WARP_FILE_HEADER_BYTES);
    warp_store_u32le(bytes + PAGE_AT_NUMBER, number);
    warp_store_u32le(bytes + PAGE_AT_EPOCH, epoch);
    memcpy(bytes + PAGE_AT_ID, id, WARP_DATABASE_ID_BYTES);
}

/* Whose page it is, and whether it is whole. */
static int block_check_page(const uint8_t *bytes, const uint8_t *magic, const uint8_t *id)
{
    static const uint8_t zero[sizeof(block_header_magic)];

    if (memcmp(bytes + PAGE_AT_MAGIC, magic, sizeof(block_header_magic)) != 0) {
        /* With our id behind it, or blank, it was ours and has lost its magic. */
        return memcmp(bytes + PAGE_AT_ID, id, WARP_DATABASE_ID_BYTES) == 0 ||
                       memcmp(bytes, zero, sizeof(zero)) == 0
                   ? WARP_EDAMAGED
                   : WARP_EFORMAT;
    }
    if (warp_load_u32le(bytes + PAGE_AT_CRC) != block_page_crc(bytes)) {
        return WARP_EDAMAGED;
    }
    if (warp_load_u32le(bytes + PAGE_AT_READER) > WARP_BLOCK_VERSION) {
        return WARP_EVERSION;
    }
    return memcmp(bytes + PAGE_AT_ID, id, WARP_DATABASE_ID_BYTES) == 0 ? 0 : WARP_EFORMAT;
}

void warp_block_encode_header_page(void *out, const struct warp_block_header_page *page,
                                   const uint8_t *id)
{
    uint8_t *bytes = out;

    block_begin_page(bytes, block_header_magic, page->number, page->epoch, id);
    warp_store_u32le(bytes + PAGE_AT_DICTIONARY_BYTES, page->dictionary_bytes);
    warp_store_u32le(bytes + PAGE_AT_CRC, block_page_crc(bytes));
}

int warp_block_decode_header_page(const void *in, const uint8_t *id,
                                  struct warp_block_header_page *out)
{
    const uint8_t *bytes = in;
    int rc = block_check_page(bytes, block_header_magic, id);

    if (rc < 0) {
        return rc;
    }
    out->number = warp_load_u32le(bytes + PAGE_AT_NUMBER);
    out->epoch = warp_load_u32le(bytes + PAGE_AT_EPOCH);
    out->dictionary_bytes = warp_load_u32le(bytes + PAGE_AT_DICTIONARY_BYTES);
    return 0;
}

void warp_block_encode_trailer_page(void *out, const struct warp_block_trailer_page *page,
                                    const uint8_t *id)
{
    uint8_t *bytes = out;

    block_begin_page(bytes, block_trailer_magic, page->number, page->epoch, id);
    warp_store_u32le(bytes + PAGE_AT_DIRECTORY_UNIT, page->directory_unit);
    warp_store_u32le(bytes + PAGE_AT_INDEX_COUNT, page->index_count);
    warp_store_u64le(bytes + PAGE_AT_ENTRIES, page->entries);
    warp_store_u64le(bytes + PAGE_AT_ENTRY_BYTES, page->entry_bytes);
    warp_store_u64le(bytes + PAGE_AT_BLOCKS, page->blocks);
    warp_store_u64le(bytes + PAGE_AT_BLOCKS_COMPRESSED, page->blocks_compressed);
    warp_store_u64le(bytes + PAGE_AT_FILE_BYTES, page->file_bytes);
    warp_store_u32le(bytes + PAGE_AT_CRC, block_page_crc(bytes));
}

int warp_block_decode_trailer_page(const void *in, const uint8_t *id,
                                   struct warp_block_trailer_page *out)
{
    const uint8_t *bytes = in;
    int rc = block_check_page(bytes, block_trailer_magic, id);

    if (rc < 0) {
        return rc;
    }
    out->number = warp_load_u32le(bytes + PAGE_AT_NUMBER);
    out->epoch = warp_load_u32le(bytes + PAGE_AT_EPOCH);
    out->directory_unit = warp_load_u32le(bytes + PAGE_AT_DIRECTORY_UNIT);
    out->index_count = warp_load_u32le(bytes + PAGE_AT_INDEX_COUNT);
    out->entries = warp_load_u64le(bytes + PAGE_AT_ENTRIES);
    out->entry_bytes = warp_load_u64le(bytes + PAGE_AT_ENTRY_BYTES);
    out->blocks = warp_load_u64le(bytes + PAGE_AT_BLOCKS);
    out->blocks_compressed = warp_load_u64le(bytes + PAGE_AT_BLOCKS_COMPRESSED);
    out->file_bytes = warp_load_u64le(bytes + PAGE_AT_FILE_BYTES);
    return 0;
}
