/*
 * wal/block.h - the bytes of an archive file: its two pages and the blocks between them.
 *
 * A block is a 64-byte header with its own checksum, then bytes that may be compressed. The
 * header says which file of which database it belongs to and where in it it lies, so a block
 * that the disk put in the wrong place, or kept from an older file, is no block. Drawn in
 * docs/WAL_FORMAT.md; wal/archive makes whole files of them.
 *
 * Threads:   any; nothing is shared.
 * Lifetime:  decoded pointers point into the caller's bytes.
 * Units:     bytes; units of 512 bytes where it says so.
 * Ordering:  none.
 * Errors:    WARP_EDAMAGED: these bytes are no such page, block or entry. WARP_EFORMAT: a
 *            page of no archive file, or of another database. WARP_EVERSION: of a newer
 *            version. Wrong arguments of the encoders assert.
 * Cost:      a header is one CRC-32C of 64 bytes; finding an entry is two loads.
 */
#ifndef WAL_BLOCK_H
#define WAL_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/place.h"

#define WARP_BLOCK_VERSION      1u
#define WARP_BLOCK_HEADER_BYTES 64u
#define WARP_BLOCK_UNIT_FIRST   (WARP_FILE_HEADER_BYTES / WARP_ARCHIVE_UNIT_BYTES)

/* What an entry takes of the raw bytes besides itself: its offset and its sequence. */
#define WARP_BLOCK_OFFSET_BYTES   4u
#define WARP_BLOCK_SEQUENCE_BYTES 8u
/* One entry of the greatest size: nothing in an archive file is larger. */
#define WARP_BLOCK_RAW_BYTES_MAX                                                           \
    (WARP_BLOCK_OFFSET_BYTES + WARP_BLOCK_SEQUENCE_BYTES + WARP_ENTRY_HEADER_BYTES_MAX +   \
     WARP_KEY_BYTES_MAX + WARP_VALUE_BYTES_MAX)

#define WARP_BLOCK_INDEX_ROW_BYTES 26u   /* slot, hash, sequence, place */
#define WARP_BLOCK_INDEX_ROWS_MAX  2520u /* 64 KiB of them */
#define WARP_BLOCK_DIRECTORY_MAX   16384u

enum warp_block_kind {
    WARP_BLOCK_ENTRIES = 1,
    WARP_BLOCK_DICTIONARY = 2,
    WARP_BLOCK_INDEX = 3,
    WARP_BLOCK_DIRECTORY = 4,
};

enum warp_block_codec {
    WARP_BLOCK_RAW = 0,
    WARP_BLOCK_ZSTD = 1,
    WARP_BLOCK_ZSTD_DICTIONARY = 2,
};

struct warp_block {
    uint32_t number; /* of the file */
    uint32_t epoch;  /* in which the file was written */
    uint32_t unit;   /* where it lies */
    uint32_t raw_bytes;
    uint32_t stored_bytes; /* behind the header, without zeros at the end */
    uint32_t entry_count;
    uint32_t stored_crc; /* CRC-32C of the bytes as they lie on disk */
    uint32_t raw_crc;    /* ... and of what they were before */
    uint8_t kind;        /* enum warp_block_kind */
    uint8_t codec;       /* enum warp_block_codec */
};

/* What a block takes in the file, a multiple of 512. */
static inline uint32_t warp_block_bytes(uint32_t stored_bytes)
{
    return (WARP_BLOCK_HEADER_BYTES + stored_bytes + WARP_ARCHIVE_UNIT_BYTES - 1u) &
           ~(WARP_ARCHIVE_UNIT_BYTES - 1u);
}

/* seed is warp_manifest_seed(). */
void warp_block_encode_header(void *out, const struct warp_block *block, uint32_t seed);

/*
 * Read 64 bytes as a header: 0, WARP_EDAMAGED or WARP_EVERSION. The caller compares number,
 * epoch and unit with where it looked; sizes are within their bounds.
 */
int warp_block_decode_header(const void *in, uint32_t seed, struct warp_block *out);

/* Entry `index` of the raw bytes of a block of entries, whose checksum was compared. */
int warp_block_entry(const struct warp_block *block, const void *raw, uint32_t index,
                     struct warp_entry *entry, uint64_t *sequence);

/* ---- the index: rows in columns of one byte, which compress better than numbers --------- */

struct warp_block_row {
    uint32_t slot; /* < 65,536 */
    uint64_t hash, sequence, place;
};

static inline uint32_t warp_block_index_bytes(uint32_t rows)
{
    return rows * WARP_BLOCK_INDEX_ROW_BYTES;
}

/* Row i of an index of `rows` rows. */
void warp_block_index_store(void *raw, uint32_t rows, uint32_t i,
                            const struct warp_block_row *row);
struct warp_block_row warp_block_index_load(const void *raw, uint32_t rows, uint32_t i);

/* ---- the pages -------------------------------------------------------------------------- */

struct warp_block_header_page {
    uint32_t number, epoch;
    uint32_t dictionary_bytes; /* 0: the file has none */
};

struct warp_block_trailer_page {
    uint32_t number, epoch;
    uint32_t directory_unit;
    uint32_t index_count; /* blocks of index */
    uint64_t entries, entry_bytes, blocks, blocks_compressed, file_bytes;
};

/* WARP_FILE_HEADER_BYTES each; id is the manifest's. */
void warp_block_encode_header_page(void *out, const struct warp_block_header_page *page,
                                   const uint8_t *id);
int warp_block_decode_header_page(const void *in, const uint8_t *id,
                                  struct warp_block_header_page *out);
void warp_block_encode_trailer_page(void *out, const struct warp_block_trailer_page *page,
                                    const uint8_t *id);
int warp_block_decode_trailer_page(const void *in, const uint8_t *id,
                                   struct warp_block_trailer_page *out);

#endif
