/*
 * shards/record.h - one key in memory, with its value or with the place of it.
 *
 *      0        8           12     14   15    16
 *     +--------+-----------+------+----+-----+----------------+---------+-----+---------+
 *     | word   |value bytes|key   |pins|heat |[expires_at_ms] |[address]| key | [value] |
 *     |        |+ flags    |bytes |    |     |                |         |     |         |
 *     +--------+-----------+------+----+-----+----------------+---------+-----+---------+
 *
 * A record is *resident* when it has its value and *cold* when only the disk has it. Its *place*
 * is where the disk has it (wal/place.h): a position of the log, which is also the sequence, or
 * an address in an archive.
 *
 *     resident, in the log      word = sequence = place
 *     cold, in the log          word = sequence = place
 *     resident, in an archive   word = sequence, address = place
 *     cold, in an archive       word = place; the sequence is on disk, with the value
 *
 * Immutable once published but for pins and heat: an update, and a change from resident to cold
 * or back, publishes a new record and retires the old one. A pin keeps a retired record's memory
 * for a borrower; whoever pins does so inside an epoch section, so that a record without pins
 * after its grace period gets none any more. heat is two bits of hits since the eviction policy
 * looked last, raised by readers, and two bits for the queue of the policy that the record is in. A
 * cold record is in no queue; one that was resident when its checkpoint was made bears a *wish* in
 * their place: that its value be brought back, and what it had earned (cache/horizon). A resident one whose
 * value was fetched before anybody had asked for it bears a *mark*, until the first asks (shards/prefetch).
 *
 * Threads:   made and freed by the holder of the shard's lease; read, pinned and warmed by any
 *            thread inside an epoch section; unpinned by any thread.
 * Lifetime:  from the shard's slab pool; retired through its limbo (shards/limbo).
 * Units:     bytes; expires_at_ms is Unix time.
 * Ordering:  a record is published by a release store of its pointer. unpin is a release that
 *            pairs with the acquire in warp_record_pinned. heat is relaxed: a hint.
 * Errors:    none; warp_record_pin returns false when 255 borrowers have it already.
 * Cost:      16 bytes beside key and value, 8 more with an expiry, 8 more if it is resident and
 *            its place is in an archive. A cold 16-byte key takes 32 bytes.
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
#include "wal/place.h"
#include "warp/warp.h"

#define WARP_RECORD_HEADER_BYTES 16u
#define WARP_RECORD_HAS_EXPIRY   (1u << 26)
#define WARP_RECORD_COLD         (1u << 27)
#define WARP_RECORD_ARCHIVED     (1u << 28)
#define WARP_RECORD_IN_BATCH     (1u << 29) /* its log entry lies in a BATCH frame */
#define WARP_RECORD_VALUE_MASK   ((1u << 26) - 1u)
#define WARP_RECORD_PINS_MAX     255u

#define WARP_RECORD_HITS_MASK   3u
#define WARP_RECORD_QUEUE_SHIFT 2u
#define WARP_RECORD_QUEUE_MASK  3u
#define WARP_RECORD_WISHED      16u
#define WARP_RECORD_FETCHED     32u

struct warp_record {
    uint64_t word;        /* sequence, or of a cold one in an archive its place */
    uint32_t value_bytes; /* and flags, above bit 26 */
    uint16_t key_bytes;   /* minus one */
    _Atomic uint8_t pins;
    _Atomic uint8_t heat;
    uint8_t bytes[];
};

static_assert(sizeof(struct warp_record) == WARP_RECORD_HEADER_BYTES, "as drawn");
static_assert(WARP_VALUE_BYTES_MAX <= WARP_RECORD_VALUE_MASK, "a length fits");
static_assert(WARP_KEY_BYTES_MAX - 1 <= UINT16_MAX, "a length fits");

static inline bool warp_record_has_expiry(const struct warp_record *record)
{
    return (record->value_bytes & WARP_RECORD_HAS_EXPIRY) != 0;
}

static inline bool warp_record_is_cold(const struct warp_record *record)
{
    return (record->value_bytes & WARP_RECORD_COLD) != 0;
}

static inline bool warp_record_in_batch(const struct warp_record *record)
{
    return (record->value_bytes & WARP_RECORD_IN_BATCH) != 0;
}

static inline bool warp_record_is_archived(const struct warp_record *record)
{
    return (record->value_bytes & WARP_RECORD_ARCHIVED) != 0;
}

static inline bool warp_record_has_address(const struct warp_record *record)
{
    return (record->value_bytes & (WARP_RECORD_ARCHIVED | WARP_RECORD_COLD)) ==
           WARP_RECORD_ARCHIVED;
}

/* Its sequence, or 0: only the disk knows it, and it is older than all that is in the log. */
static inline uint64_t warp_record_sequence(const struct warp_record *record)
{
    return warp_place_is_archived(record->word) ? 0 : record->word;
}

/* Where the log's mark must be before what this record shows cannot be lost any more. What is in
 * an archive is durable. */
static inline uint64_t warp_record_wait_for(const struct warp_record *record)
{
    return warp_record_is_archived(record) ? 0 : record->word + 1;
}

static inline uint32_t warp_record_key_bytes(const struct warp_record *record)
{
    return (uint32_t)record->key_bytes + 1;
}

/* Of the value, wherever it is. */
static inline uint32_t warp_record_value_bytes(const struct warp_record *record)
{
    return record->value_bytes & WARP_RECORD_VALUE_MASK;
}

static inline const uint8_t *warp_record_key(const struct warp_record *record)
{
    return record->bytes + (warp_record_has_expiry(record) ? 8 : 0) +
           (warp_record_has_address(record) ? 8 : 0);
}

static inline const uint8_t *warp_record_value(const struct warp_record *record)
{
    warp_assert(!warp_record_is_cold(record));
    return warp_record_key(record) + warp_record_key_bytes(record);
}

static inline uint64_t warp_record_expires_at_ms(const struct warp_record *record)
{
    return warp_record_has_expiry(record) ? warp_load_u64le(record->bytes) : 0;
}

static inline uint64_t warp_record_place(const struct warp_record *record)
{
    return warp_record_has_address(record)
               ? warp_load_u64le(record->bytes + (warp_record_has_expiry(record) ? 8 : 0))
               : record->word;
}

static inline size_t warp_record_bytes_with(uint32_t key_bytes, uint32_t value_bytes,
                                            uint32_t flags)
{
    size_t bytes = WARP_RECORD_HEADER_BYTES + key_bytes;

    bytes += (flags & WARP_RECORD_HAS_EXPIRY) != 0 ? 8u : 0u;
    if ((flags & WARP_RECORD_COLD) != 0) {
        return bytes;
    }
    return bytes + value_bytes + ((flags & WARP_RECORD_ARCHIVED) != 0 ? 8u : 0u);
}

/* What a resident one takes whose place is in the log. */
static inline size_t warp_record_bytes(uint32_t key_bytes, uint32_t value_bytes,
                                       bool expires)
{
    return warp_record_bytes_with(key_bytes, value_bytes,
                                  expires ? WARP_RECORD_HAS_EXPIRY : 0);
}

static inline size_t warp_record_bytes_of(const struct warp_record *record)
{
    return warp_record_bytes_with(warp_record_key_bytes(record),
                                  warp_record_value_bytes(record), record->value_bytes);
}

static inline bool warp_record_has_key(const struct warp_record *record, const void *key,
                                       size_t key_bytes)
{
    return warp_record_key_bytes(record) == key_bytes &&
           memcmp(warp_record_key(record), key, key_bytes) == 0;
}

/* What a record is made of. */
struct warp_record_content {
    uint64_t sequence; /* not looked at when it is cold and in an archive */
    uint64_t place;    /* in the log: the sequence */
    struct warp_slice key;
    struct warp_slice value; /* data is not looked at when it is cold */
    uint64_t expires_at_ms;
    bool cold;
    bool in_batch;
};

static inline uint32_t warp_record_flags(const struct warp_record_content *content)
{
    return (content->expires_at_ms != 0 ? WARP_RECORD_HAS_EXPIRY : 0) |
           (content->cold ? WARP_RECORD_COLD : 0) |
           (warp_place_is_archived(content->place) ? WARP_RECORD_ARCHIVED : 0) |
           (content->in_batch ? WARP_RECORD_IN_BATCH : 0);
}

/* record has room for warp_record_bytes_with() the content's lengths and flags. */
static inline void warp_record_write(struct warp_record *record,
                                     const struct warp_record_content *content)
{
    uint32_t flags = warp_record_flags(content);
    uint8_t *at = record->bytes;

    warp_assert(!warp_place_is_archived(content->sequence));
    record->word = content->sequence;
    record->value_bytes = (uint32_t)content->value.bytes | flags;
    record->key_bytes = (uint16_t)(content->key.bytes - 1);
    atomic_init(&record->pins, 0);
    atomic_init(&record->heat, 0);
    if ((flags & WARP_RECORD_HAS_EXPIRY) != 0) {
        warp_store_u64le(at, content->expires_at_ms);
        at += 8;
    }
    if ((flags & WARP_RECORD_ARCHIVED) != 0) {
        if (content->cold) {
            record->word = content->place;
        } else {
            warp_store_u64le(at, content->place);
            at += 8;
        }
    }
    memcpy(at, content->key.data, content->key.bytes);
    if (!content->cold && content->value.bytes > 0) {
        memcpy(at + content->key.bytes, content->value.data, content->value.bytes);
    }
}

/* A resident one whose place is in the log. */
static inline void warp_record_fill(struct warp_record *record, uint64_t sequence,
                                    struct warp_slice key, struct warp_slice value,
                                    uint64_t expires_at_ms, bool in_batch)
{
    const struct warp_record_content content = {.sequence = sequence,
                                                .place = sequence,
                                                .key = key,
                                                .value = value,
                                                .expires_at_ms = expires_at_ms,
                                                .in_batch = in_batch};

    warp_record_write(record, &content);
}

/* What to make another one of the same version from. key and value point into it. */
static inline struct warp_record_content
warp_record_content(const struct warp_record *record)
{
    struct warp_record_content content = {
        .sequence = warp_record_sequence(record),
        .place = warp_record_place(record),
        .key = {warp_record_key(record), warp_record_key_bytes(record)},
        .value = {NULL, warp_record_value_bytes(record)},
        .expires_at_ms = warp_record_expires_at_ms(record),
        .cold = warp_record_is_cold(record),
        .in_batch = warp_record_in_batch(record)};

    if (!content.cold) {
        content.value.data = warp_record_value(record);
    }
    return content;
}

/* ---- heat ------------------------------------------------------------------------------ */

static inline bool warp_record_is_fetched(const struct warp_record *record)
{
    return (atomic_load_explicit(&record->heat, memory_order_relaxed) &
            WARP_RECORD_FETCHED) != 0;
}

/* Of one that is not published yet. */
static inline void warp_record_mark_fetched(struct warp_record *record)
{
    warp_assert(!warp_record_is_cold(record));
    atomic_store_explicit(&record->heat, WARP_RECORD_FETCHED, memory_order_relaxed);
}

/* Take the mark off, to read it or to take it away. True for the one who did. */
static inline bool warp_record_unmark(struct warp_record *record)
{
    return warp_record_is_fetched(record) &&
           (atomic_fetch_and_explicit(&record->heat, (uint8_t)~WARP_RECORD_FETCHED,
                                      memory_order_relaxed) &
            WARP_RECORD_FETCHED) != 0;
}

/* A reader found the value here: at most three writes until the policy looks again. True if it had been
 * fetched for nobody: now it is as if it had just come in, and counts as useful (shards/prefetch). */
static inline bool warp_record_warm(struct warp_record *record)
{
    uint8_t heat = atomic_load_explicit(&record->heat, memory_order_relaxed);

    if (WARP_UNLIKELY((heat & (WARP_RECORD_HITS_MASK | WARP_RECORD_FETCHED)) !=
                      WARP_RECORD_HITS_MASK)) {
        if (WARP_UNLIKELY((heat & WARP_RECORD_FETCHED) != 0)) {
            return warp_record_unmark(record);
        }
        /* Once is enough: a hit that is lost to another one's does no harm. */
        (void)atomic_compare_exchange_weak_explicit(
            &record->heat, &heat, (uint8_t)(heat + 1), memory_order_relaxed,
            memory_order_relaxed);
    }
    return false;
}

static inline uint8_t warp_record_hits(const struct warp_record *record)
{
    return atomic_load_explicit(&record->heat, memory_order_relaxed) &
           WARP_RECORD_HITS_MASK;
}

static inline uint8_t warp_record_queue(const struct warp_record *record)
{
    return atomic_load_explicit(&record->heat, memory_order_relaxed) >>
               WARP_RECORD_QUEUE_SHIFT &
           WARP_RECORD_QUEUE_MASK;
}

/* The holder of the lease; a reader's hit at the same moment may be lost. A mark stays, unless a reader
 * takes it off. */
static inline void warp_record_set_heat(struct warp_record *record, uint8_t hits,
                                        uint8_t queue)
{
    uint8_t heat = atomic_load_explicit(&record->heat, memory_order_relaxed);
    uint8_t fresh = (uint8_t)(hits | queue << WARP_RECORD_QUEUE_SHIFT);

    if (WARP_LIKELY((heat & WARP_RECORD_FETCHED) == 0)) {
        atomic_store_explicit(&record->heat, fresh, memory_order_relaxed);
        return;
    }
    while (!atomic_compare_exchange_weak_explicit(
        &record->heat, &heat, (uint8_t)(fresh | (heat & WARP_RECORD_FETCHED)),
        memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Of a cold one that is not published yet. */
static inline void warp_record_wish(struct warp_record *record, uint8_t standing)
{
    warp_assert(warp_record_is_cold(record) && standing <= WARP_RECORD_HITS_MASK);
    atomic_store_explicit(&record->heat, (uint8_t)(standing | WARP_RECORD_WISHED),
                          memory_order_relaxed);
}

/* The standing it is to come back with, or -1: nobody wishes that. */
static inline int warp_record_wished(const struct warp_record *record)
{
    uint8_t heat = atomic_load_explicit(&record->heat, memory_order_relaxed);

    return (heat & WARP_RECORD_WISHED) != 0 ? (int)(heat & WARP_RECORD_HITS_MASK) : -1;
}

/* By any thread that may look at it. Nobody else writes the heat of a cold record. */
static inline void warp_record_forgo(struct warp_record *record)
{
    if (warp_record_wished(record) >= 0) {
        atomic_store_explicit(&record->heat, 0, memory_order_relaxed);
    }
}

/* ---- pins ------------------------------------------------------------------------------ */

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
