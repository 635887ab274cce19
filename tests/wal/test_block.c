/*
 * The bytes of an archive file: what is written comes back, and nothing else passes.
 */
#include "wal/block.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "tests/lib/test.h"

#define SEED 0x1234567u

static const uint8_t id[WARP_DATABASE_ID_BYTES] = {1, 2, 3};

static struct warp_block some_block(void)
{
    return (struct warp_block){.number = 5,
                               .epoch = 9,
                               .unit = 77,
                               .raw_bytes = 4000,
                               .stored_bytes = 2000,
                               .entry_count = 20,
                               .stored_crc = 1,
                               .raw_crc = 2,
                               .kind = WARP_BLOCK_ENTRIES,
                               .codec = WARP_BLOCK_ZSTD};
}

/* Make the checksum of a changed header right again. */
static void fix_header(uint8_t *bytes)
{
    warp_store_u32le(bytes + 4, 0);
    warp_store_u32le(bytes + 4, warp_crc32c(SEED, bytes, WARP_BLOCK_HEADER_BYTES));
}

WARP_TEST(block, a_header_comes_back)
{
    struct warp_block in = some_block();
    struct warp_block out;
    uint8_t bytes[WARP_BLOCK_HEADER_BYTES];

    warp_block_encode_header(bytes, &in, SEED);
    check_int(warp_block_decode_header(bytes, SEED, &out), ==, 0);
    check_u64(out.number, ==, in.number);
    check_u64(out.epoch, ==, in.epoch);
    check_u64(out.unit, ==, in.unit);
    check_u64(out.raw_bytes, ==, in.raw_bytes);
    check_u64(out.stored_bytes, ==, in.stored_bytes);
    check_u64(out.entry_count, ==, in.entry_count);
    check_u64(out.stored_crc, ==, in.stored_crc);
    check_u64(out.raw_crc, ==, in.raw_crc);
    check_u64(out.kind, ==, in.kind);
    check_u64(out.codec, ==, in.codec);
    check_int(warp_block_decode_header(bytes, SEED + 1, &out), ==, WARP_EDAMAGED);
}

WARP_TEST(block, no_bit_of_a_header_may_change)
{
    struct warp_block in = some_block();
    struct warp_block out;
    uint8_t bytes[WARP_BLOCK_HEADER_BYTES];
    uint32_t bit;

    warp_block_encode_header(bytes, &in, SEED);
    for (bit = 0; bit < 8 * WARP_BLOCK_HEADER_BYTES; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_int(warp_block_decode_header(bytes, SEED, &out), ==, WARP_EDAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

WARP_TEST(block, a_newer_version_is_told_from_damage)
{
    struct warp_block in = some_block();
    struct warp_block out;
    uint8_t bytes[WARP_BLOCK_HEADER_BYTES];

    warp_block_encode_header(bytes, &in, SEED);
    bytes[2]++;
    check_int(warp_block_decode_header(bytes, SEED, &out), ==, WARP_EDAMAGED);
    fix_header(bytes);
    check_int(warp_block_decode_header(bytes, SEED, &out), ==, WARP_EVERSION);
}

WARP_TEST(block, sizes_beyond_their_bounds_do_not_pass_with_a_right_checksum)
{
    static const struct {
        uint32_t at, value;
    } bad[] = {
        {16, 0},                            /* no raw bytes */
        {16, WARP_BLOCK_RAW_BYTES_MAX + 1}, /* more than the greatest entry */
        {16, UINT32_MAX},
        {20, 0},    /* nothing stored */
        {20, 4000}, /* compressed, and not smaller */
        {20, UINT32_MAX},
        {24, 0}, /* no entries */
        {24, WARP_PLACE_ENTRIES_MAX + 1},
        {24, 500}, /* more than there is room for */
        {32, 3},   /* no such codec */
        {32, 0},   /* stored raw, and yet smaller */
    };
    struct warp_block in = some_block();
    struct warp_block out;
    uint8_t bytes[WARP_BLOCK_HEADER_BYTES];
    uint32_t i, kind;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        warp_block_encode_header(bytes, &in, SEED);
        warp_store_u32le(bytes + bad[i].at, bad[i].value);
        fix_header(bytes);
        check_int(warp_block_decode_header(bytes, SEED, &out), ==, WARP_EDAMAGED);
    }
    for (kind = 0; kind < 256; kind++) {
        if (kind != WARP_BLOCK_ENTRIES) {
            /* Its count and codec fit no other kind. */
            warp_block_encode_header(bytes, &in, SEED);
            bytes[3] = (uint8_t)kind;
            fix_header(bytes);
            check_int(warp_block_decode_header(bytes, SEED, &out), ==, WARP_EDAMAGED);
        }
    }
}

/* Raw bytes of two entries; returns how many. */
static uint32_t two_entries(uint8_t *raw)
{
    struct warp_entry entry = {.kind = WARP_ENTRY_PUT,
                               .key_bytes = 3,
                               .value_bytes = 5,
                               .key = "key",
                               .value = "value"};
    uint32_t at = 8, i;

    for (i = 0; i < 2; i++) {
        warp_store_u32le(raw + 4 * i, at);
        warp_store_u64le(raw + at, 100 + i);
        at += 8;
        at += (uint32_t)warp_entry_encode_header(raw + at, &entry);
        memcpy(raw + at, "keyvalue", 8);
        at += 8;
        entry.value_bytes = 0;
        at -= i == 1 ? 5 : 0;
    }
    return at;
}

WARP_TEST(block, each_entry_is_found_by_its_index)
{
    struct warp_block block = {.kind = WARP_BLOCK_ENTRIES, .entry_count = 2};
    struct warp_entry entry;
    uint64_t sequence;
    uint8_t raw[128];

    block.raw_bytes = two_entries(raw);
    check_int(warp_block_entry(&block, raw, 0, &entry, &sequence), ==, 0);
    check_u64(sequence, ==, 100);
    check_bytes(entry.key, entry.key_bytes, "key", 3);
    check_bytes(entry.value, entry.value_bytes, "value", 5);
    check_int(warp_block_entry(&block, raw, 1, &entry, &sequence), ==, 0);
    check_u64(sequence, ==, 101);
    check_u64(entry.value_bytes, ==, 0);
}

WARP_TEST(block, an_entry_that_does_not_fill_its_place_is_refused)
{
    struct warp_block block = {.kind = WARP_BLOCK_ENTRIES, .entry_count = 2};
    struct warp_entry entry;
    uint64_t sequence;
    uint8_t raw[128];
    uint32_t second, wrong;

    memset(raw, 0, sizeof(raw));
    block.raw_bytes = two_entries(raw);
    second = warp_load_u32le(raw + 4);
    for (wrong = 0; wrong < 100; wrong++) {
        warp_store_u32le(raw + 4, wrong);
        check_int(warp_block_entry(&block, raw, 0, &entry, &sequence), ==,
                  wrong == second ? 0 : WARP_EDAMAGED);
    }
    warp_store_u32le(raw + 4, UINT32_MAX);
    check_int(warp_block_entry(&block, raw, 0, &entry, &sequence), ==, WARP_EDAMAGED);
    check_int(warp_block_entry(&block, raw, 1, &entry, &sequence), ==, WARP_EDAMAGED);
    warp_store_u32le(raw + 4, second);
    block.raw_bytes++;
    check_int(warp_block_entry(&block, raw, 1, &entry, &sequence), ==, WARP_EDAMAGED);
    block.raw_bytes -= 2;
    check_int(warp_block_entry(&block, raw, 1, &entry, &sequence), ==, WARP_EDAMAGED);
    /* The table is no entry. */
    warp_store_u32le(raw, 4);
    check_int(warp_block_entry(&block, raw, 0, &entry, &sequence), ==, WARP_EDAMAGED);
}

WARP_TEST(block, rows_of_an_index_come_back)
{
    uint8_t raw[7 * WARP_BLOCK_INDEX_ROW_BYTES];
    uint32_t i;

    for (i = 0; i < 7; i++) {
        struct warp_block_row row = {i * 1000, i + 1, i + 2, ~(uint64_t)i};

        warp_block_index_store(raw, 7, i, &row);
    }
    for (i = 0; i < 7; i++) {
        struct warp_block_row row = warp_block_index_load(raw, 7, i);

        check_u64(row.slot, ==, i * 1000);
        check_u64(row.hash, ==, i + 1);
        check_u64(row.sequence, ==, i + 2);
        check_u64(row.place, ==, ~(uint64_t)i);
    }
}

WARP_TEST(block, pages_come_back_and_name_their_database)
{
    struct warp_block_header_page header = {3, 4, 5}, header_out;
    struct warp_block_trailer_page trailer = {3, 4, 5, 6, 7, 8, 9, 10, 11}, trailer_out;
    static const uint8_t other[WARP_DATABASE_ID_BYTES] = {9};
    uint8_t page[WARP_FILE_HEADER_BYTES];

    warp_block_encode_header_page(page, &header, id);
    check_int(warp_block_decode_header_page(page, id, &header_out), ==, 0);
    check_bytes(&header_out, sizeof(header_out), &header, sizeof(header));
    check_int(warp_block_decode_header_page(page, other, &header_out), ==, WARP_EFORMAT);
    check_int(warp_block_decode_trailer_page(page, id, &trailer_out), ==, WARP_EDAMAGED);

    warp_block_encode_trailer_page(page, &trailer, id);
    check_int(warp_block_decode_trailer_page(page, id, &trailer_out), ==, 0);
    check_bytes(&trailer_out, sizeof(trailer_out), &trailer, sizeof(trailer));
    check_int(warp_block_decode_header_page(page, id, &header_out), ==, WARP_EDAMAGED);
}

WARP_TEST(block, no_byte_of_a_page_may_change)
{
    struct warp_block_header_page header = {3, 4, 5}, out;
    uint8_t page[WARP_FILE_HEADER_BYTES];
    uint32_t i;

    warp_block_encode_header_page(page, &header, id);
    for (i = 0; i < sizeof(page); i++) {
        page[i] ^= (uint8_t)(1u << i % 8);
        check_int(warp_block_decode_header_page(page, id, &out), ==, WARP_EDAMAGED);
        page[i] ^= (uint8_t)(1u << i % 8);
    }
    memset(page, 0, sizeof(page));
    check_int(warp_block_decode_header_page(page, id, &out), ==, WARP_EDAMAGED);
    memset(page, 'x', sizeof(page));
    check_int(warp_block_decode_header_page(page, id, &out), ==, WARP_EFORMAT);
}
