/* A record gives back what was put into it, whatever its sizes. */
#include "shards/record.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

static void check_record(uint32_t key_bytes, uint32_t value_bytes, uint64_t expires_at_ms)
{
    size_t bytes = warp_record_bytes(key_bytes, value_bytes, expires_at_ms != 0);
    struct warp_record *record = malloc(bytes + 1);
    uint8_t *key = malloc(key_bytes), *value = malloc(value_bytes + 1);
    struct warp_slice key_slice = {key, key_bytes}, value_slice = {value, value_bytes};
    uint32_t i;

    for (i = 0; i < key_bytes; i++) {
        key[i] = (uint8_t)(i * 7 + 1);
    }
    for (i = 0; i < value_bytes; i++) {
        value[i] = (uint8_t)(i * 5 + 2);
    }
    ((uint8_t *)record)[bytes] = 0xa5;
    warp_record_fill(record, UINT64_C(0x123456789abc), key_slice, value_slice,
                     expires_at_ms, false);
    check_u64(((uint8_t *)record)[bytes], ==, 0xa5);
    check_u64(record->word, ==, UINT64_C(0x123456789abc));
    check_u64(warp_record_key_bytes(record), ==, key_bytes);
    check_u64(warp_record_value_bytes(record), ==, value_bytes);
    check_int(warp_record_has_expiry(record), ==, expires_at_ms != 0);
    check_u64(warp_record_expires_at_ms(record), ==, expires_at_ms);
    check_u64(warp_record_bytes_of(record), ==, bytes);
    check_bytes(warp_record_key(record), warp_record_key_bytes(record), key, key_bytes);
    check_bytes(warp_record_value(record), warp_record_value_bytes(record), value,
                value_bytes);
    check(warp_record_has_key(record, key, key_bytes));
    check(!warp_record_has_key(record, key, key_bytes - 1));
    key[key_bytes - 1]++;
    check(!warp_record_has_key(record, key, key_bytes));
    check(!warp_record_pinned(record));
    free(key);
    free(value);
    free(record);
}

WARP_TEST(record, all_sizes_come_back)
{
    static const uint32_t keys[] = {1, 2, 7, 8, 9, 255, 256, 65535, 65536};
    static const uint32_t values[] = {0, 1, 7, 8, 4096, 65536, WARP_VALUE_BYTES_MAX};
    uint32_t k, v;

    for (k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        for (v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            if (values[v] == WARP_VALUE_BYTES_MAX && k != 0 &&
                keys[k] != WARP_KEY_BYTES_MAX) {
                continue;
            }
            check_record(keys[k], values[v], 0);
            check_record(keys[k], values[v], 1);
            check_record(keys[k], values[v], UINT64_MAX);
        }
    }
}

WARP_TEST(record, costs_sixteen_bytes_beside_key_and_value)
{
    check_u64(warp_record_bytes(1, 0, false), ==, 17);
    check_u64(warp_record_bytes(16, 100, false), ==, 132);
    check_u64(warp_record_bytes(16, 100, true), ==, 140);
}

WARP_TEST(record, takes_255_pins_and_no_more)
{
    uint64_t memory[8];
    struct warp_record *record = (struct warp_record *)memory;
    struct warp_slice key = {"k", 1}, value = {"v", 1};
    uint32_t i;

    warp_record_fill(record, 1, key, value, 0, false);
    for (i = 0; i < 255; i++) {
        check(warp_record_pin(record));
        check(warp_record_pinned(record));
    }
    check(!warp_record_pin(record));
    check(!warp_record_pin(record));
    /* The neighbours of the counter are as they were. */
    check(warp_record_has_key(record, "k", 1));
    check_u64(warp_record_value_bytes(record), ==, 1);
    warp_record_unpin(record);
    check(warp_record_pin(record));
    for (i = 0; i < 255; i++) {
        check(warp_record_pinned(record));
        warp_record_unpin(record);
    }
    check(!warp_record_pinned(record));
}

/* Resident or cold, in the log or in an archive. */
WARP_TEST(record, all_four_shapes_come_back)
{
    static const uint32_t values[] = {0, 1, 100, 70000};
    const struct warp_place where = {5, 77, 3, 9};
    uint32_t shape, expires, batch, v;

    for (shape = 0; shape < 4; shape++) {
        for (expires = 0; expires < 2; expires++) {
            for (batch = 0; batch < 2; batch++) {
                for (v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
                    bool cold = (shape & 1) != 0, archived = (shape & 2) != 0;
                    uint8_t *value = calloc(1, values[v] + 1);
                    struct warp_record_content content, again;
                    struct warp_record *record;
                    size_t bytes;

                    memset(value, 'v', values[v]);
                    memset(&content, 0, sizeof(content));
                    content.sequence = UINT64_C(0x123456789abc);
                    content.place = archived ? warp_place_encode(&where) : content.sequence;
                    content.key.data = "a key";
                    content.key.bytes = 5;
                    content.value.data = cold ? NULL : value;
                    content.value.bytes = values[v];
                    content.expires_at_ms = expires != 0 ? 123456789 : 0;
                    content.cold = cold;
                    content.in_batch = batch != 0;
                    bytes =
                        warp_record_bytes_with(5, values[v], warp_record_flags(&content));
                    check_u64(bytes, ==,
                              16 + 5 + (expires != 0 ? 8u : 0u) +
                                  (cold ? 0u : values[v] + (archived ? 8u : 0u)));
                    record = calloc(1, bytes + 1);
                    ((uint8_t *)record)[bytes] = 0xa5;
                    warp_record_write(record, &content);
                    check_u64(((uint8_t *)record)[bytes], ==, 0xa5);
                    check_u64(warp_record_bytes_of(record), ==, bytes);
                    check_int(warp_record_is_cold(record), ==, cold);
                    check_int(warp_record_is_archived(record), ==, archived);
                    check_int(warp_record_in_batch(record), ==, batch != 0);
                    check_u64(warp_record_place(record), ==, content.place);
                    check_u64(warp_record_sequence(record), ==,
                              cold && archived ? 0 : content.sequence);
                    check_u64(warp_record_wait_for(record), ==,
                              archived ? 0 : content.sequence + 1);
                    check_u64(warp_record_value_bytes(record), ==, values[v]);
                    check_u64(warp_record_expires_at_ms(record), ==, content.expires_at_ms);
                    check(warp_record_has_key(record, "a key", 5));
                    if (!cold) {
                        check_bytes(warp_record_value(record), values[v], value, values[v]);
                    }
                    again = warp_record_content(record);
                    check_u64(again.place, ==, content.place);
                    check_u64(again.expires_at_ms, ==, content.expires_at_ms);
                    check_u64(again.value.bytes, ==, values[v]);
                    check_int(again.cold, ==, cold);
                    check_int(again.in_batch, ==, batch != 0);
                    check_u64(warp_record_flags(&again), ==, warp_record_flags(&content));
                    free(record);
                    free(value);
                }
            }
        }
    }
}

WARP_TEST(record, heat_counts_to_three_beside_its_queue)
{
    uint64_t memory[8];
    struct warp_record *record = (struct warp_record *)memory;
    struct warp_slice key = {"k", 1}, value = {"v", 1};
    uint8_t queue;
    uint32_t i;

    warp_record_fill(record, 1, key, value, 0, false);
    check_int(warp_record_queue(record), ==, 0);
    check_int(warp_record_hits(record), ==, 0);
    for (queue = 0; queue < 4; queue++) {
        warp_record_set_heat(record, 0, queue);
        for (i = 0; i < 10; i++) {
            check_int(warp_record_hits(record), ==, i < 3 ? i : 3);
            check_int(warp_record_queue(record), ==, queue);
            warp_record_warm(record);
        }
        warp_record_set_heat(record, 1, queue);
        check_int(warp_record_hits(record), ==, 1);
    }
    check(!warp_record_pinned(record));
    check_u64(warp_record_value_bytes(record), ==, 1);
}
