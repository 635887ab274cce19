/*
 * shards/record.h - one key and its value in memory.
 *
 *      0        8           12     14   15    16
 *     +--------+-----------+------+----+-----+----------------+-----+-------+
 *     |sequence|value bytes|key   |pins|spare|[expires_at_ms] | key | value |
 *     |        |+ flags    |bytes |    |     |                |     |       |
 *     +--------+-----------+------+----+-----+----------------+-----+-------+
 *
 * Immutable once published but for the pins: an update publishes a new record and retires the old
 * one. A pin keeps a retired record's memory for a borrower; whoever pins does so inside an
 * epoch section, so that a record without pins after its grace period gets none any more.
 *
 * Threads:   made and freed by the holder of the shard's lease; read and pinned by any thread
 *            inside an epoch section; unpinned by any thread.
 * Lifetime:  from the shard's slab pool; retired through its limbo (shards/limbo).
 * Units:     bytes; expires_at_ms is Unix time.
 * Ordering:  a record is published by a release store of its pointer. unpin is a release that
 *            pairs with the acquire in warp_record_pinned.
 * Errors:    none; warp_record_pin returns false when 255 borrowers have it already.
 * Cost:      16 bytes beside key and value, 24 with an expiry.
 */
#ifndef SHARDS_RECORD_H
#define SHARDS_RECORD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "warp/warp.h"

#define WARP_RECORD_HEADER_BYTES 16u
#define WARP_RECORD_HAS_EXPIRY   (1u << 26)
#define WARP_RECORD_VALUE_MASK   ((1u << 26) - 1u)
#define WARP_RECORD_PINS_MAX     255u

struct warp_record {
    uint64_t sequence;    /* place of its entry in the log */
    uint32_t value_bytes; /* and flags, above bit 26 */
    uint16_t key_bytes;   /* minus one */
    _Atomic uint8_t pins;
    uint8_t spare;
    uint8_t bytes[];
};

static_assert(sizeof(struct warp_record) == WARP_RECORD_HEADER_BYTES, "as drawn");
static_assert(WARP_VALUE_BYTES_MAX <= WARP_RECORD_VALUE_MASK, "a length fits");
static_assert(WARP_KEY_BYTES_MAX - 1 <= UINT16_MAX, "a length fits");

static inline bool warp_record_has_expiry(const struct warp_record *record)
{
    return (record->value_bytes & WARP_RECORD_HAS_EXPIRY) != 0;
}

static inline uint32_t warp_record_key_bytes(const struct warp_record *record)
{
    return (uint32_t)record->key_bytes + 1;
}

static inline uint32_t warp_record_value_bytes(const struct warp_record *record)
{
    return record->value_bytes & WARP_RECORD_VALUE_MASK;
}

static inline const uint8_t *warp_record_key(const struct warp_record *record)
{
    return record->bytes + (warp_record_has_expiry(record) ? 8 : 0);
}

static inline const uint8_t *warp_record_value(const struct warp_record *record)
{
    return warp_record_key(record) + warp_record_key_bytes(record);
}

static inline uint64_t warp_record_expires_at_ms(const struct warp_record *record)
{
    return warp_record_has_expiry(record) ? warp_load_u64le(record->bytes) : 0;
}

static inline size_t warp_record_bytes(uint32_t key_bytes, uint32_t value_bytes,
                                       bool expires)
{
    return WARP_RECORD_HEADER_BYTES + (expires ? 8u : 0u) + key_bytes + value_bytes;
}

static inline size_t warp_record_bytes_of(const struct warp_record *record)
{
    return warp_record_bytes(warp_record_key_bytes(record), warp_record_value_bytes(record),
                             warp_record_has_expiry(record));
}

static inline bool warp_record_has_key(const struct warp_record *record, const void *key,
                                       size_t key_bytes)
{
    return warp_record_key_bytes(record) == key_bytes &&
           memcmp(warp_record_key(record), key, key_bytes) == 0;
}

static inline void warp_record_fill(struct warp_record *record, uint64_t sequence,
                                    struct warp_slice key, struct warp_slice value,
                                    uint64_t expires_at_ms)
{
    uint8_t *at = record->bytes;

    record->sequence = sequence;
    record->value_bytes = (uint32_t)value.bytes;
    record->key_bytes = (uint16_t)(key.bytes - 1);
    atomic_init(&record->pins, 0);
    record->spare = 0;
    if (expires_at_ms != 0) {
        record->value_bytes |= WARP_RECORD_HAS_EXPIRY;
        warp_store_u64le(at, expires_at_ms);
        at += 8;
    }
    memcpy(at, key.data, key.bytes);
    if (value.bytes > 0) {
        memcpy(at + key.bytes, value.data, value.bytes);
    }
}

/* Inside an epoch section. */
static inline bool warp_record_pin(struct warp_record *record)
{
    uint8_t pins = atomic_load_explicit(&record->pins, memory_order_relaxed);

    do {
        if (pins == WARP_RECORD_PINS_MAX) {
            return false;
        }
        /* Relaxed: the epoch section orders it before the end of the grace period. */
    } while (
        !atomic_compare_exchange_weak_explicit(&record->pins, &pins, (uint8_t)(pins + 1),
                                               memory_order_relaxed, memory_order_relaxed));
    return true;
}

static inline void warp_record_unpin(struct warp_record *record)
{
    /* Release: the borrower's reads come before the memory's next use; pairs with the acquire
     * in warp_record_pinned. */
    uint8_t before = atomic_fetch_sub_explicit(&record->pins, 1, memory_order_release);

    warp_assert(before > 0);
}

/* After the grace period. */
static inline bool warp_record_pinned(const struct warp_record *record)
{
    return atomic_load_explicit(&record->pins, memory_order_acquire) != 0;
}

#endif
