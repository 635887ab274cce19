/*
 * An image of metrics with any bytes of it changed: reading it neither crashes nor reads past its end,
 * and what is accepted makes a text.
 *
 * The first byte says whether the checksums are made right after the changes, so that a mutation need
 * not win a CRC; then come changes of four bytes each: where (three bytes, little-endian) and the new
 * byte. Where the top bit of the place is set, the image is cut there instead.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "observe/render.h"
#include "observe/snapshot.h"
#include "warp/warp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern volatile uint64_t read_all;

#define SHARDS 2u

/* Where the words are that make_right() must find: see observe/snapshot.c. */
enum {
    HEAD_CATALOGUE_BYTES = 16,
    HEAD_CATALOGUE_CRC = 24,
    HEAD_SLOTS_AT = 32,
    HEAD_SLOT_BYTES = 40,
    HEAD_CRC = 56,
    CATALOGUE_AT = 4096,
    SLOT_BYTES = 8,
    SLOT_CRC = 16,
};

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

static void put_word(uint8_t *at, uint64_t word)
{
    memcpy(at, &word, sizeof(word));
}

static void make_right(uint8_t *image, size_t size)
{
    uint64_t bytes, at, i;

    if (size < CATALOGUE_AT) {
        return;
    }
    bytes = word_at(image + HEAD_CATALOGUE_BYTES);
    if (bytes <= size - CATALOGUE_AT) {
        put_word(image + HEAD_CATALOGUE_CRC, warp_crc32c(0, image + CATALOGUE_AT, bytes));
    }
    put_word(image + HEAD_CRC, warp_crc32c(0, image, HEAD_CRC));
    for (i = 0; i < 2; i++) {
        uint64_t slot_bytes = word_at(image + HEAD_SLOT_BYTES);

        at = word_at(image + HEAD_SLOTS_AT);
        if (slot_bytes > size || at > size || at + i * slot_bytes + SLOT_CRC + 8 > size) {
            return;
        }
        at += i * slot_bytes;
        bytes = word_at(image + at + SLOT_BYTES);
        put_word(image + at + SLOT_CRC, 0);
        if (bytes <= size - at) {
            put_word(image + at + SLOT_CRC, warp_crc32c(0, image + at, bytes));
        }
    }
}

static uint8_t *good_image(size_t *size)
{
    static struct warp_catalogue_shard shards[SHARDS];
    static uint8_t owners[WARP_SLOT_COUNT];
    static struct warp_snapshot_slow slow[WARP_SNAPSHOT_SLOW];
    static struct warp_snapshot_hot hot[WARP_SNAPSHOT_HOT];
    struct warp_snapshot_layout layout;
    struct warp_snapshot snapshot;
    uint8_t *image;
    uint64_t i;

    warp_snapshot_layout(&layout, SHARDS);
    image = calloc(1, layout.image_bytes);
    warp_assert(image != NULL);
    warp_snapshot_write_head(image, SHARDS);
    memset(&snapshot, 0, sizeof(snapshot));
    snapshot.shards = shards;
    snapshot.shard_count = SHARDS;
    snapshot.owners = owners;
    snapshot.owner_count = WARP_SLOT_COUNT;
    snapshot.slow = slow;
    snapshot.slow_count = 3;
    snapshot.hot = hot;
    snapshot.hot_count = 5;
    snapshot.about.state = WARP_SNAPSHOT_OPEN;
    for (i = 1; i <= 2; i++) {
        snapshot.about.sequence = i;
        snapshot.values.puts = i;
        (void)warp_snapshot_write_slot(
            image + layout.head_bytes + i % 2 * layout.slot_bytes, &snapshot);
    }
    *size = layout.image_bytes;
    return image;
}

static void render(const struct warp_reading *reading, enum warp_render_format format)
{
    const struct warp_render_part parts[] = {{reading, "a"}, {reading, "b"}};
    struct warp_render measured, written;
    char *text;

    warp_render_init(&measured, NULL, 0, format);
    warp_render_readings(&measured, parts, 2, true);
    text = malloc(measured.bytes + 1);
    warp_assert(text != NULL);
    warp_render_init(&written, text, measured.bytes + 1, format);
    warp_render_readings(&written, parts, 2, true);
    warp_assert(warp_render_fits(&written));
    warp_assert(strlen(text) == measured.bytes);
    free(text);
}

volatile uint64_t read_all; /* so that nobody leaves the reading out */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct warp_reading_row rows[WARP_SNAPSHOT_ROWS_MAX];
    struct warp_reading reading;
    uint8_t *image, *exact;
    size_t bytes, i;

    if (size < 1) {
        return 0;
    }
    image = good_image(&bytes);
    for (i = 1; i + 4 <= size; i += 4) {
        size_t where =
            data[i] | (size_t)data[i + 1] << 8 | (size_t)(data[i + 2] & 0x7f) << 16;

        if ((data[i + 2] & 0x80) != 0) {
            bytes = where < bytes ? where : bytes;
        } else if (where < bytes) {
            image[where] = data[i + 3];
        }
    }
    if ((data[0] & 1) != 0) {
        make_right(image, bytes);
    }
    /* As long as it is and no longer, for a sanitizer to see who reads on. */
    exact = malloc(bytes + (bytes == 0));
    warp_assert(exact != NULL);
    memcpy(exact, image, bytes);
    if (warp_snapshot_read(exact, bytes, rows, &reading) == 0) {
        uint64_t sum = 0;

        (void)warp_reading_value(&reading, "warp_puts_total");
        for (i = 0; i < reading.owner_count; i++) {
            sum += reading.owners[i];
        }
        for (i = 0; i < reading.slow_count; i++) {
            sum += reading.slow[i].number + reading.slow[i].key[0];
        }
        for (i = 0; i < reading.hot_count; i++) {
            sum += reading.hot[i].count + reading.hot[i].key[WARP_SNAPSHOT_KEY_BYTES - 1];
        }
        read_all = sum;
        render(&reading, WARP_RENDER_TEXT);
        render(&reading, WARP_RENDER_OPENMETRICS);
    }
    free(exact);
    free(image);
    return 0;
}
