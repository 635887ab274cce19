/*
 * shards/ledger.h - how many bytes of each file are still alive.
 *
 * A file is a segment of the log or an archive. A record is alive in every file that holds a
 * piece of what is needed to read its value back: in the log the entry, and for one in a RECORD
 * frame the frame around it, which has its checksum; in an archive the entry. So a file whose
 * number is 0 holds nothing that any record refers to, whatever the bytes in it look like, and
 * that is all that has to be known to remove it.
 *
 * One ledger per shard, a hash table from file to bytes. Files that went to 0 leave it when it is
 * made anew, so its size follows the number of files in which the shard has something, not the
 * span of their numbers.
 *
 * When a slot changes its shard, what its records take stays counted where it is, and the new shard
 * counts them out in its own ledger when they die. So the number of one shard may be too great, and
 * that of another below nothing; the sum over all shards is what is true. A ledger that has got a
 * slot so is *mixed*. What is left over on both sides when a file goes is forgotten with it.
 *
 * Threads:   reserve, in and out by the holder of the shard's lease; what adds up over shards by
 *            any thread inside an epoch section; tallies while nobody changes anything.
 * Lifetime:  embedded in the shard; tables are the slab pool's, old ones go through its limbo.
 * Units:     bytes of log, or of entries in an archive before compression.
 * Ordering:  a reader sees some recent number. That of a file below the head of the log only
 *            falls, once all log below the head is applied, so a 0 seen there is true, and
 *            stays; and who sees it sees tables without records of that file (out releases,
 *            the sums acquire). Each shard's number falls by itself, so it does not matter that
 *            they are read one after the other, nor which of them counts a record out.
 * Errors:    WARP_ENOMEM from reserve, after which in cannot fail.
 * Cost:      16 bytes for each file in which the shard has something, times two at most three;
 *            in and out are one look into the table for each file touched, most often one.
 */
#ifndef SHARDS_LEDGER_H
#define SHARDS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shards/limbo.h"
#include "shards/record.h"
#include "wal/frame.h"

struct warp_store;
struct warp_ledger_table;

struct warp_ledger {
    struct warp_limbo *limbo;
    _Atomic(struct warp_ledger_table *) table;
    uint32_t segment_shift;
    uint32_t room; /* how many more files may turn up before the table is too full */
    uint32_t used;
    bool mixed;                   /* records may die here that were counted elsewhere */
    uint64_t last_index;          /* the segment that was counted into last ... */
    _Atomic uint64_t *last_bytes; /* ... and its number in the table; NULL: none */
};

/* What a record takes of its file: [from, to) of the log, or of an archive its length from 0. */
struct warp_ledger_extent {
    uint64_t from, to;
};

static inline struct warp_ledger_extent warp_ledger_extent(const struct warp_record *record)
{
    uint64_t place = warp_record_place(record);
    bool in_batch = warp_record_in_batch(record);
    struct warp_ledger_extent extent = {0, 0};
    uint64_t bytes;

    bytes = warp_entry_bytes(
        (uint8_t)((warp_record_has_expiry(record) ? WARP_ENTRY_HAS_EXPIRY : 0) |
                  (in_batch && !warp_record_is_archived(record) ? WARP_ENTRY_HAS_CHECKSUM
                                                                : 0)),
        warp_record_key_bytes(record), warp_record_value_bytes(record));
    if (warp_record_is_archived(record)) {
        extent.to = bytes;
    } else if (in_batch) {
        extent.from = place;
        extent.to = place + bytes;
    } else {
        warp_assert(place >= WARP_FRAME_HEADER_BYTES);
        extent.from = place - WARP_FRAME_HEADER_BYTES;
        extent.to = extent.from + warp_frame_bytes(bytes);
    }
    return extent;
}

/* segment_bytes is a power of two. */
void warp_ledger_init(struct warp_ledger *ledger, struct warp_limbo *limbo,
                      uint32_t segment_bytes);

/* ---- the holder of the lease ------------------------------------------------------------ */

int warp_ledger_make_room(struct warp_ledger *ledger, uint32_t files);

/* See that records of so many bytes in all, one frame, can be counted, wherever they go. May take
 * one retirement of the limbo, and reserves it itself. */
static inline int warp_ledger_reserve(struct warp_ledger *ledger, uint64_t bytes)
{
    /* 64: frame header and alignment; 2: it may begin and end anywhere. */
    uint32_t files = (uint32_t)((bytes + 64) >> ledger->segment_shift) + 2;

    return WARP_LIKELY(ledger->room >= files) ? 0 : warp_ledger_make_room(ledger, files);
}

/* The same, and that `old` can be counted out, whoever has counted it in; more than reserve does only
 * where the ledger is mixed. */
int warp_ledger_reserve_out(struct warp_ledger *ledger, uint64_t bytes,
                            const struct warp_record *old);
/* How many files, beside those that reserve is asked for, this takes; 0 if the ledger is not mixed. */
uint32_t warp_ledger_missing(const struct warp_ledger *ledger,
                             const struct warp_record *old);
/* The same as reserve for what several records miss together; count anew after each. */
static inline bool warp_ledger_has_room(const struct warp_ledger *ledger, uint64_t bytes,
                                        uint32_t missing)
{
    return ledger->room >= (uint32_t)((bytes + 64) >> ledger->segment_shift) + 2 + missing;
}

void warp_ledger_in(struct warp_ledger *ledger, const struct warp_record *record);
void warp_ledger_out(struct warp_ledger *ledger, const struct warp_record *record);

/* The file is gone, and with it what was counted of it here. */
void warp_ledger_forget(struct warp_ledger *ledger, bool archive, uint64_t index);

/* For checking: a count of its own beside that of all ledgers, over all records of a store, whose
 * leases are held throughout. begin returns NULL if there is no memory for it; end asserts that both
 * are the same. */
struct warp_ledger_tally;
struct warp_ledger_tally *warp_ledger_tally_begin(const struct warp_store *store);
void warp_ledger_tally_add(struct warp_ledger_tally *tally,
                           const struct warp_record *record);
void warp_ledger_tally_end(struct warp_ledger_tally **tally);

/* Memory of the table, as the pool counts it. */
uint64_t warp_ledger_bytes(const struct warp_ledger *ledger);

/* ---- inside an epoch section, any thread ------------------------------------------------ */

uint64_t warp_ledger_segment(const struct warp_store *store, uint64_t index);
uint64_t warp_ledger_archive(const struct warp_store *store, uint32_t number);

#endif
