/*
 * wal/place.h - where a value that is not in memory can be read back.
 *
 * A place is 64 bits, so that it fits a record and is changed by one store. Below 2^63 it is
 * the position of an entry in the log, which is also the entry's sequence. With the highest
 * bit set it is an address in an archive file:
 *
 *      63   62                     41 40               20 19            10 9              0
 *     +---+--------------------------+-------------------+----------------+----------------+
 *     | 1 | number of the file (22)  | unit (21)         | units (10)     | index (10)     |
 *     +---+--------------------------+-------------------+----------------+----------------+
 *
 * A unit is 512 bytes: the block begins `unit` units into the file and is `units` long, so
 * one read fetches it; 0 units means that it is longer than 1,023 and that its header knows.
 * Index counts the entries of the block.
 *
 * Threads:   any; nothing is shared.
 * Lifetime:  nothing is kept.
 * Units:     units of 512 bytes; positions of log.
 * Ordering:  none.
 * Errors:    none: every 64 bits decode to something, and whoever reads there checks what it
 *            finds. Fields out of range assert in encode.
 * Cost:      a few shifts.
 */
#ifndef WAL_PLACE_H
#define WAL_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

#define WARP_PLACE_ARCHIVED     (UINT64_C(1) << 63)
#define WARP_ARCHIVE_UNIT_BYTES 512u

#define WARP_PLACE_FILES_MAX   (1u << 22) /* file < this, and so on */
#define WARP_PLACE_UNIT_MAX    (1u << 21)
#define WARP_PLACE_UNITS_MAX   (1u << 10)
#define WARP_PLACE_ENTRIES_MAX (1u << 10)

/* Of an archive address. */
struct warp_place {
    uint32_t file;  /* number of the archive file */
    uint32_t unit;  /* where its block begins */
    uint32_t units; /* how long the block is, padding included; 0: more than 1,023 */
    uint32_t index; /* of the entry in the block */
};

static inline bool warp_place_is_archived(uint64_t place)
{
    return (place & WARP_PLACE_ARCHIVED) != 0;
}

static inline uint64_t warp_place_encode(const struct warp_place *place)
{
    warp_assert(place->file < WARP_PLACE_FILES_MAX);
    warp_assert(place->unit < WARP_PLACE_UNIT_MAX);
    warp_assert(place->units < WARP_PLACE_UNITS_MAX);
    warp_assert(place->index < WARP_PLACE_ENTRIES_MAX);
    return WARP_PLACE_ARCHIVED | (uint64_t)place->file << 41 | (uint64_t)place->unit << 20 |
           (uint64_t)place->units << 10 | place->index;
}

static inline struct warp_place warp_place_decode(uint64_t place)
{
    struct warp_place out;

    warp_assert(warp_place_is_archived(place));
    out.file = (uint32_t)(place >> 41) & (WARP_PLACE_FILES_MAX - 1u);
    out.unit = (uint32_t)(place >> 20) & (WARP_PLACE_UNIT_MAX - 1u);
    out.units = (uint32_t)(place >> 10) & (WARP_PLACE_UNITS_MAX - 1u);
    out.index = (uint32_t)place & (WARP_PLACE_ENTRIES_MAX - 1u);
    return out;
}

#endif
