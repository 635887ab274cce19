/* Frames and entries: what goes in comes out, and what was changed does not. */
#include "wal/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"

#define SEED 0x12345678u

static struct warp_frame frame_sample(void)
{
    struct warp_frame frame = {0};

    frame.position = 4096 * 17 + 8;
    frame.mark = 4096 * 17 - 1024;
    frame.has_mark = true;
    frame.body_bytes = 100;
    frame.body_crc = 0xdeadbeefu;
    frame.epoch = 3;
    frame.kind = WARP_FRAME_RECORD;
    return frame;
}

static bool frame_equal(const struct warp_frame *a, const struct warp_frame *b)
{
    return a->position == b->position && a->mark == b->mark && a->has_mark == b->has_mark &&
           a->body_bytes == b->body_bytes && a->body_crc == b->body_crc &&
           a->epoch == b->epoch && a->kind == b->kind;
}

WARP_TEST(frame, header_comes_back)
{
    struct warp_frame frame = frame_sample(), back;
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];

    warp_frame_encode_header(bytes, &frame, SEED);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, 0);
    check(frame_equal(&frame, &back));
    check_int(bytes[0], ==, 'W');
    check_int(bytes[1], ==, 'F');
    check_int(bytes[2], ==, 1);
    check_int(bytes[3], ==, WARP_FRAME_RECORD);
}

/* The bytes of a fixed header: an accidental change of the format fails here. */
WARP_TEST(frame, header_has_the_bytes_that_are_drawn)
{
    static const uint8_t expected_rest[28 - 4] = {
        8,    0x10, 1,    0,    0, 0, 0, 0, /* position 69640 */
        100,  0,    0,    0,                /* body bytes */
        0xef, 0xbe, 0xad, 0xde,             /* body checksum */
        3,    0,    0,    0,                /* epoch */
        8,    4,    0,    0,                /* mark distance 1032 */
    };
    struct warp_frame frame = frame_sample();
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];
    uint32_t crc;

    warp_frame_encode_header(bytes, &frame, SEED);
    check_bytes(bytes + 8, 24, expected_rest, 24);
    crc = warp_load_u32le(bytes + 4);
    warp_store_u32le(bytes + 4, 0);
    check_u64(crc, ==, warp_crc32c_table(SEED, bytes, 32));
}

WARP_TEST(frame, every_flipped_bit_of_a_header_is_refused)
{
    struct warp_frame frame = frame_sample(), back;
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];
    uint32_t bit;

    warp_frame_encode_header(bytes, &frame, SEED);
    for (bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, 0);
}

WARP_TEST(frame, every_two_flipped_bits_of_a_header_are_refused)
{
    struct warp_frame frame = frame_sample(), back;
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];
    uint32_t a, b, accepted = 0;

    warp_frame_encode_header(bytes, &frame, SEED);
    for (a = 0; a < 8 * sizeof(bytes); a++) {
        bytes[a / 8] ^= (uint8_t)(1u << a % 8);
        for (b = a + 1; b < 8 * sizeof(bytes); b++) {
            bytes[b / 8] ^= (uint8_t)(1u << b % 8);
            accepted += warp_frame_decode_header(bytes, SEED, &back) == 0;
            bytes[b / 8] ^= (uint8_t)(1u << b % 8);
        }
        bytes[a / 8] ^= (uint8_t)(1u << a % 8);
    }
    check_u64(accepted, ==, 0);
}

WARP_TEST(frame, header_of_another_database_is_refused)
{
    struct warp_frame frame = frame_sample(), back;
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];

    warp_frame_encode_header(bytes, &frame, SEED);
    check_int(warp_frame_decode_header(bytes, SEED + 1, &back), ==, WARP_EFORMAT);
}

static void frame_seal(uint8_t *bytes)
{
    warp_store_u32le(bytes + 4, 0);
    warp_store_u32le(bytes + 4, warp_crc32c(SEED, bytes, WARP_FRAME_HEADER_BYTES));
}

WARP_TEST(frame, newer_version_is_told_from_garbage)
{
    struct warp_frame frame = frame_sample(), back = {0};
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];

    warp_frame_encode_header(bytes, &frame, SEED);
    bytes[2] = 2;
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EVERSION);
    check_u64(back.position, ==, frame.position);
    bytes[2] = 0;
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
}

WARP_TEST(frame, fields_out_of_range_are_refused_under_a_right_checksum)
{
    struct warp_frame frame = frame_sample(), back;
    uint8_t good[WARP_FRAME_HEADER_BYTES], bytes[WARP_FRAME_HEADER_BYTES];
    uint32_t kind;

    warp_frame_encode_header(good, &frame, SEED);
    for (kind = 0; kind < 256; kind++) {
        memcpy(bytes, good, sizeof(bytes));
        bytes[3] = (uint8_t)kind;
        frame_seal(bytes);
        if (kind == WARP_FRAME_RECORD || kind == WARP_FRAME_BATCH ||
            kind == WARP_FRAME_PAD) {
            check_int(warp_frame_decode_header(bytes, SEED, &back), ==, 0);
        } else { /* the other kinds have fixed sizes */
            check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
        }
    }
    memcpy(bytes, good, sizeof(bytes)); /* a position that is no multiple of 8 */
    warp_store_u64le(bytes + 8, frame.position + 4);
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
    memcpy(bytes, good, sizeof(bytes)); /* a position whose end overflows */
    warp_store_u64le(bytes + 8, UINT64_MAX - 7);
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
    memcpy(bytes, good, sizeof(bytes)); /* a mark before the beginning */
    warp_store_u64le(bytes + 8, 8);
    warp_store_u32le(bytes + 28, 9);
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
    memcpy(bytes, good, sizeof(bytes)); /* a body greater than any */
    warp_store_u32le(bytes + 16, WARP_FRAME_BODY_BYTES_MAX + 1);
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
    memcpy(bytes, good, sizeof(bytes)); /* a record with no room for a key */
    warp_store_u32le(bytes + 16, 8);
    frame_seal(bytes);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, WARP_EFORMAT);
}

WARP_TEST(frame, a_mark_too_far_away_makes_no_statement)
{
    struct warp_frame frame = frame_sample(), back;
    uint8_t bytes[WARP_FRAME_HEADER_BYTES];

    frame.position = UINT64_C(1) << 40;
    frame.mark = frame.position - (UINT32_MAX - 1u);
    warp_frame_encode_header(bytes, &frame, SEED);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, 0);
    check(back.has_mark);
    check_u64(back.mark, ==, frame.mark);
    frame.mark--;
    warp_frame_encode_header(bytes, &frame, SEED);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, 0);
    check(!back.has_mark);
    check_u64(back.mark, ==, 0);
    frame.has_mark = false;
    warp_frame_encode_header(bytes, &frame, SEED);
    check_int(warp_frame_decode_header(bytes, SEED, &back), ==, 0);
    check(!back.has_mark);
}

WARP_TEST(frame, bytes_are_rounded_up_to_eight)
{
    check_u64(warp_frame_bytes(0), ==, 32);
    check_u64(warp_frame_bytes(1), ==, 40);
    check_u64(warp_frame_bytes(8), ==, 40);
    check_u64(warp_frame_bytes(9), ==, 48);
    check_u64(warp_frame_bytes(WARP_FRAME_BODY_BYTES_MAX), ==,
              32u + (uint64_t)WARP_FRAME_BODY_BYTES_MAX);
}

WARP_TEST(frame, body_is_checked_but_not_that_of_a_pad)
{
    struct warp_frame frame = frame_sample();
    uint8_t body[100] = {1, 2, 3};
    uint32_t bit;

    frame.body_crc = warp_crc32c(0, body, sizeof(body));
    check(warp_frame_check_body(&frame, body));
    for (bit = 0; bit < 800; bit++) {
        body[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check(!warp_frame_check_body(&frame, body) || WARP_PLANTED(SKIP_CRC));
        frame.kind = WARP_FRAME_BATCH;
        check(!warp_frame_check_body(&frame, body));
        frame.kind = WARP_FRAME_RECORD;
        body[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    frame.kind = WARP_FRAME_PAD;
    frame.body_crc = 0;
    check(warp_frame_check_body(&frame, body));
}

/*
 * ---- entries --------------------------------------------------------------------------
 */

static size_t entry_write(uint8_t *out, struct warp_entry *entry)
{
    size_t at = warp_entry_encode_header(out, entry);

    memcpy(out + at, entry->key, entry->key_bytes);
    at += entry->key_bytes;
    if (entry->value_bytes > 0) {
        memcpy(out + at, entry->value, entry->value_bytes);
    }
    return at + entry->value_bytes;
}

WARP_TEST(frame, entries_come_back_in_every_shape)
{
    static const uint32_t key_bytes[] = {1, 2, 16, 255, 256, 65535, 65536};
    static const uint32_t value_bytes[] = {0, 1, 7, 8, 4096, 100000};
    uint8_t *memory = malloc(300000), *key = malloc(65536), *value = malloc(100000);
    struct warp_random random;
    uint32_t i, k, v, flags;
    size_t bytes;

    warp_random_init(&random, test_seed());
    for (i = 0; i < 65536; i++) {
        key[i] = (uint8_t)warp_random_next(&random);
    }
    for (i = 0; i < 100000; i++) {
        value[i] = (uint8_t)warp_random_next(&random);
    }
    for (k = 0; k < 7; k++) {
        for (v = 0; v < 6; v++) {
            for (flags = 0; flags < 4; flags++) {
                struct warp_entry entry = {0}, back;
                size_t wrote;

                entry.kind = WARP_ENTRY_PUT;
                entry.flags = (uint8_t)flags;
                entry.key = key;
                entry.key_bytes = key_bytes[k];
                entry.value = value;
                entry.value_bytes = value_bytes[v];
                entry.expires_at_ms = (flags & 1) != 0 ? 1234567890123u : 0;
                wrote = entry_write(memory, &entry);
                check_u64(wrote, ==,
                          warp_entry_bytes((uint8_t)flags, key_bytes[k], value_bytes[v]));
                check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, 0);
                check_u64(bytes, ==, wrote);
                check_int(back.kind, ==, entry.kind);
                check_int(back.flags, ==, entry.flags);
                check_u64(back.expires_at_ms, ==, entry.expires_at_ms);
                check_bytes(back.key, back.key_bytes, key, key_bytes[k]);
                check_bytes(back.value, back.value_bytes, value, value_bytes[v]);
            }
        }
    }
    free(memory);
    free(key);
    free(value);
}

WARP_TEST(frame, every_truncation_of_an_entry_is_refused)
{
    uint32_t flags;

    for (flags = 0; flags < 4; flags++) {
        uint8_t memory[64];
        struct warp_entry entry = {0}, back;
        size_t wrote, cut, bytes;

        entry.kind = WARP_ENTRY_PUT;
        entry.flags = (uint8_t)flags;
        entry.key = "some key";
        entry.key_bytes = 8;
        entry.value = "some value";
        entry.value_bytes = 10;
        wrote = entry_write(memory, &entry);
        for (cut = 0; cut < wrote; cut++) {
            /* Its own block, so that the sanitizer sees a read past the end. */
            uint8_t *exact = malloc(cut > 0 ? cut : 1);

            memcpy(exact, memory, cut);
            check_int(warp_entry_decode(exact, cut, &back, &bytes), ==, WARP_EFORMAT);
            free(exact);
        }
        check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, 0);
    }
}

WARP_TEST(frame, every_flipped_bit_of_a_checksummed_entry_is_refused)
{
    uint8_t memory[64];
    struct warp_entry entry = {0}, back;
    size_t wrote, bytes;
    uint32_t bit;

    entry.kind = WARP_ENTRY_PUT;
    entry.flags = WARP_ENTRY_HAS_CHECKSUM | WARP_ENTRY_HAS_EXPIRY;
    entry.key = "some key";
    entry.key_bytes = 8;
    entry.value = "some value";
    entry.value_bytes = 10;
    entry.expires_at_ms = 77;
    wrote = entry_write(memory, &entry);
    memset(memory + wrote, 0xff, sizeof(memory) - wrote);
    for (bit = 0; bit < 8 * wrote; bit++) {
        if (bit == 9) {
            continue; /* the flag that says that there is a checksum */
        }
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_int(warp_entry_decode(memory, sizeof(memory), &back, &bytes), ==,
                  WARP_EFORMAT);
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

WARP_TEST(frame, entries_that_make_no_sense_are_refused)
{
    uint8_t memory[64];
    struct warp_entry entry = {0}, back;
    size_t wrote, bytes;

    entry.kind = WARP_ENTRY_PUT;
    entry.key = "k";
    entry.key_bytes = 1;
    entry.value = "v";
    entry.value_bytes = 1;
    wrote = entry_write(memory, &entry);
    memory[0] = 0;
    check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, WARP_EFORMAT);
    memory[0] = 3;
    check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, WARP_EFORMAT);
    memory[0] = WARP_ENTRY_DELETE; /* with a value */
    check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, WARP_EFORMAT);
    memory[0] = WARP_ENTRY_PUT;
    memory[1] = 4; /* an unknown flag */
    check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, WARP_EFORMAT);
    memory[1] = 0;
    warp_store_u32le(memory + 4, WARP_VALUE_BYTES_MAX + 1);
    check_int(warp_entry_decode(memory, SIZE_MAX, &back, &bytes), ==, WARP_EFORMAT);
    entry.kind = WARP_ENTRY_DELETE;
    entry.value_bytes = 0;
    wrote = entry_write(memory, &entry);
    check_int(warp_entry_decode(memory, wrote, &back, &bytes), ==, 0);
    check_u64(back.value_bytes, ==, 0);
}

/*
 * ---- walking a batch -------------------------------------------------------------------
 */

static uint32_t batch_write(uint8_t *body, uint32_t count)
{
    uint32_t at = WARP_FRAME_BATCH_HEADER_BYTES;
    uint32_t i;

    warp_store_u32le(body, count);
    warp_store_u32le(body + 4, 0);
    for (i = 0; i < count; i++) {
        struct warp_entry entry = {0};
        uint8_t key = (uint8_t)i;

        entry.kind = i % 2 == 0 ? WARP_ENTRY_PUT : WARP_ENTRY_DELETE;
        entry.flags = WARP_ENTRY_HAS_CHECKSUM;
        entry.key = &key;
        entry.key_bytes = 1;
        entry.value = "value";
        entry.value_bytes = i % 2 == 0 ? 5 : 0;
        at += (uint32_t)entry_write(body + at, &entry);
    }
    return at;
}

static int batch_walk(const struct warp_frame *frame, const void *body, uint32_t *count)
{
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence, before = 0;
    int rc;

    *count = 0;
    rc = warp_frame_cursor_init(&cursor, frame, body);
    if (rc < 0) {
        return rc;
    }
    while ((rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
        check_u64(sequence, >, before);
        check(sequence - frame->position - 32 ==
              (uint64_t)((const uint8_t *)entry.key - 12 - (const uint8_t *)body));
        before = sequence;
        ++*count;
    }
    return rc;
}

WARP_TEST(frame, batch_is_walked_entry_by_entry)
{
    uint8_t body[1024];
    struct warp_frame frame = frame_sample();
    uint32_t count;

    frame.kind = WARP_FRAME_BATCH;
    frame.body_bytes = batch_write(body, 20);
    check_int(batch_walk(&frame, body, &count), ==, 0);
    check_u64(count, ==, 20);
    frame.body_bytes = batch_write(body, 0);
    check_int(batch_walk(&frame, body, &count), ==, 0);
    check_u64(count, ==, 0);
}

WARP_TEST(frame, batch_with_a_wrong_count_or_a_cut_end_is_refused)
{
    uint8_t body[1024];
    struct warp_frame frame = frame_sample();
    uint32_t whole, count;

    frame.kind = WARP_FRAME_BATCH;
    whole = batch_write(body, 5);
    frame.body_bytes = whole;
    warp_store_u32le(body, 4);
    check_int(batch_walk(&frame, body, &count), ==, WARP_EFORMAT);
    warp_store_u32le(body, 6);
    check_int(batch_walk(&frame, body, &count), ==, WARP_EFORMAT);
    warp_store_u32le(body, UINT32_MAX);
    check_int(batch_walk(&frame, body, &count), ==, WARP_EFORMAT);
    warp_store_u32le(body, 5);
    warp_store_u32le(body + 4, 1);
    check_int(batch_walk(&frame, body, &count), ==, WARP_EFORMAT);
    warp_store_u32le(body + 4, 0);
    for (frame.body_bytes = 0; frame.body_bytes < whole; frame.body_bytes++) {
        check_int(batch_walk(&frame, body, &count), ==, WARP_EFORMAT);
    }
}

WARP_TEST(frame, frames_without_entries_have_none)
{
    uint8_t body[8] = {0};
    struct warp_frame frame = frame_sample();
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence;

    frame.kind = WARP_FRAME_OPEN;
    frame.body_bytes = 8;
    check_int(warp_frame_cursor_init(&cursor, &frame, body), ==, 0);
    check_int(warp_frame_cursor_next(&cursor, &entry, &sequence), ==, 0);
}
