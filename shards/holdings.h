/*
 * shards/holdings.h - which files hold values: old log, and archives.
 *
 * A segment of the log is held from the moment the head of the log (where the newest sealed
 * checkpoint begins) has passed it until nothing refers to it any more; an archive from its
 * sealing. A checkpoint lists the files it may refer to, so that an open knows which must be
 * there and which may go.
 *
 * Life of a holding:
 *
 *   HELD     some record refers to it, or a checkpoint that is kept   add_segments(), add_archive()
 *   EMPTY    no record does any more: the checkpoint begun next, number empty_since, is the
 *            first that cannot refer to it                            (shards/compact)
 *   GONE     every checkpoint that is kept has empty_since or more    remove()
 *
 * Threads:   one, which compacts and writes checkpoints; the counters are read by any.
 * Lifetime:  embedded; init and fini. What find and the tables return lives until the next change.
 * Units:     bytes; indexes of segments and numbers of archives.
 * Ordering:  counters are relaxed.
 * Errors:    WARP_ENOMEM, and then nothing has changed; WARP_EDAMAGED from load, for a table
 *            that is not in order.
 * Cost:      64 bytes a file; a binary search to find one.
 */
#ifndef SHARDS_HOLDINGS_H
#define SHARDS_HOLDINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "wal/checkpoint.h"

struct warp_store;

struct warp_holding {
    uint64_t index;         /* of the segment, or the archive's number */
    uint64_t bytes;         /* of log in it, or of its entries before compression */
    uint64_t stored_bytes;  /* of the file */
    uint64_t straddle_from; /* of a segment, as far as it is known: see wal/checkpoint.h */
    uint64_t empty_since;   /* number of a checkpoint; 0: not empty */
    uint64_t
        tried_live; /* what was left alive in it when it was compacted; else UINT64_MAX */
    bool archive;
    bool damaged; /* could not be read, so it waits until all in it is dead */
};

struct warp_holdings_counters {
    _Atomic uint64_t segments;
    _Atomic uint64_t archives;
    _Atomic uint64_t segment_bytes; /* of the files, and so on */
    _Atomic uint64_t archive_bytes;
    _Atomic uint64_t archive_raw_bytes;
};

struct warp_holdings {
    struct warp_memory *memory;
    uint32_t segment_bytes;
    uint32_t archive_next;                    /* number of the next archive file */
    struct warp_holding *segments, *archives; /* ascending */
    uint32_t segment_count, segment_capacity;
    uint32_t archive_count, archive_capacity;
    struct warp_holdings_counters counters;
};

void warp_holdings_init(struct warp_holdings *holdings, struct warp_memory *memory,
                        uint32_t segment_bytes);
void warp_holdings_fini(struct warp_holdings *holdings);

/* Take over what a checkpoint lists; once, after init. */
int warp_holdings_load(struct warp_holdings *holdings,
                       const struct warp_checkpoint *checkpoint);

/* Then what an older one lists beside that, which is kept as well: nothing that the newest one,
 * number `newest`, says refers to it. */
int warp_holdings_load_older(struct warp_holdings *holdings,
                             const struct warp_checkpoint *checkpoint, uint64_t newest);

/* The head has moved: segments [from, to) are below it. Those that are held already stay as they
 * are. */
int warp_holdings_add_segments(struct warp_holdings *holdings, uint64_t from, uint64_t to);

/* See that one more archive can be added. */
int warp_holdings_reserve_archive(struct warp_holdings *holdings);
/* Newer than all others; reserve came before. */
void warp_holdings_add_archive(struct warp_holdings *holdings, uint32_t number,
                               uint64_t raw_bytes, uint64_t stored_bytes);

/* NULL if it is not held. */
struct warp_holding *warp_holdings_find(struct warp_holdings *holdings, bool archive,
                                        uint64_t index);

/* The first one from index on; NULL: there is none. */
struct warp_holding *warp_holdings_from(struct warp_holdings *holdings, bool archive,
                                        uint64_t index);

/* Its file is gone. */
void warp_holdings_remove(struct warp_holdings *holdings, bool archive, uint64_t index);

/*
 * What warp_checkpoint_writer_seal() is to be given for checkpoint `number`: the files that were
 * not empty before it was begun. The arrays are reserved from memory; release gives them back.
 */
struct warp_holdings_tables {
    struct warp_checkpoint_segment *segments;
    struct warp_checkpoint_archive *archives;
    uint32_t segment_count, archive_count;
    uint32_t segment_capacity, archive_capacity;
};
int warp_holdings_tables(const struct warp_holdings *holdings, uint64_t number,
                         struct warp_holdings_tables *tables);
void warp_holdings_tables_release(const struct warp_holdings *holdings,
                                  struct warp_holdings_tables *tables);

/* What is on disk and what of it is alive. What is alive in a compressed file counts as the share
 * of the file that it takes. */
struct warp_holdings_totals {
    uint64_t stored_bytes;
    uint64_t live_bytes;     /* of these */
    uint64_t live_raw_bytes; /* what is alive before it was compressed */
};

/* Add one holding, or segment `index` of the log above the head. Inside an epoch section. Returns
 * how many of its bytes are alive, in the unit of holding->bytes. */
uint64_t warp_holdings_total(const struct warp_store *store,
                             const struct warp_holding *holding,
                             struct warp_holdings_totals *totals);
void warp_holdings_total_log(const struct warp_store *store, uint32_t segment_bytes,
                             uint64_t index, struct warp_holdings_totals *totals);

/* In thousandths; 1,000 when nothing is stored, UINT64_MAX when nothing is alive. */
uint64_t warp_holdings_amplification(const struct warp_holdings_totals *totals);

#endif
