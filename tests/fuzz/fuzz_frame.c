/*
 * Any bytes as a frame header, an entry and a batch: the decoders neither crash nor read
 * past the end, and what they accept encodes to the same bytes again.
 *
 * The first byte says what the rest is, so that a mutation does not have to win a CRC: with
 * its low bit set, the checksums of the input are made right before it is decoded.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wal/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEED 0x1234u

static void fuzz_header(const uint8_t *data, size_t size, bool repair)
{
    uint8_t bytes[WARP_FRAME_HEADER_BYTES], again[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame;

    if (size < sizeof(bytes)) {
        return;
    }
    memcpy(bytes, data, sizeof(bytes));
    if (repair) {
        bytes[0] = 'W';
        bytes[1] = 'F';
        warp_store_u32le(bytes + 4, 0);
        warp_store_u32le(bytes + 4, warp_crc32c(SEED, bytes, sizeof(bytes)));
    }
    if (warp_frame_decode_header(bytes, SEED, &frame) == 0) {
        warp_assert(frame.body_bytes <= WARP_FRAME_BODY_BYTES_MAX);
        warp_assert(frame.mark <= frame.position);
        warp_frame_encode_header(again, &frame, SEED);
        warp_assert(memcmp(bytes, again, sizeof(bytes)) == 0);
    }
}

/*
 * The checksum lies behind the 8 fixed bytes and the expiry, if there is room for all that.
 */
static void fuzz_repair_entry(uint8_t *entry, size_t size)
{
    size_t at = WARP_ENTRY_HEADER_BYTES_MIN;
    size_t bytes;

    if (size < WARP_ENTRY_HEADER_BYTES_MAX || (entry[1] & WARP_ENTRY_HAS_CHECKSUM) == 0) {
        return;
    }
    at += (entry[1] & WARP_ENTRY_HAS_EXPIRY) != 0 ? 8 : 0;
    bytes = at + 4 + warp_load_u16le(entry + 2) + 1u + (size_t)warp_load_u32le(entry + 4);
    if (bytes <= size) {
        warp_store_u32le(entry + at, 0);
        warp_store_u32le(entry + at, warp_crc32c(0, entry, bytes));
    }
}

static void fuzz_entry(uint8_t *copy, size_t size, bool repair)
{
    struct warp_entry entry;
    uint8_t again[WARP_ENTRY_HEADER_BYTES_MAX];
    size_t bytes, header;

    if (repair) {
        fuzz_repair_entry(copy, size);
    }
    if (warp_entry_decode(copy, size, &entry, &bytes) == 0) {
        warp_assert(bytes <= size);
        warp_assert(bytes ==
                    warp_entry_bytes(entry.flags, entry.key_bytes, entry.value_bytes));
        warp_assert((const uint8_t *)entry.value + entry.value_bytes == copy + bytes);
        header = warp_entry_encode_header(again, &entry);
        warp_assert(memcmp(again, copy, header) == 0);
    }
}

static void fuzz_batch(const uint8_t *body, size_t size, uint8_t kind)
{
    struct warp_frame frame = {0};
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence, before = 0;
    uint64_t count = 0;
    int rc;

    frame.kind = kind;
    frame.position = 4096;
    frame.body_bytes = (uint32_t)size;
    if (warp_frame_cursor_init(&cursor, &frame, body) < 0) {
        return;
    }
    while ((rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
        warp_assert(sequence > before);
        warp_assert(sequence >= 4096 + 32);
        before = sequence;
        count++;
        warp_assert(count <= size); /* every entry takes at least one byte: it ends */
    }
    warp_assert(rc == 0 || rc == WARP_EFORMAT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    bool repair;

    if (size < 1) {
        return 0;
    }
    repair = (data[0] & 1) != 0;
    copy = malloc(size);
    warp_assert(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    switch (data[0] >> 1 & 3) {
    case 0:
        fuzz_header(copy, size - 1, repair);
        break;
    case 1:
        fuzz_entry(copy, size - 1, repair);
        break;
    case 2:
        fuzz_batch(copy, size - 1, WARP_FRAME_BATCH);
        break;
    default:
        fuzz_batch(copy, size - 1, WARP_FRAME_RECORD);
        break;
    }
    free(copy);
    return 0;
}
