/*
 * wal/stretch.h - many values out of one big read.
 *
 * Who wants a great part of what lies in a file, and has it in the order of places, reads a stretch
 * at a time and takes what it wants out of it: a disk gives a hundred small neighbours in the time
 * of a few small reads, and a block of an archive is decompressed once. Nothing is found or
 * verified less than by wal/reader: place, checksum and length must fit.
 *
 * Life of a stretch:
 *
 *   extent   which file a value lies in, and where: the caller joins neighbours    any number
 *   read     one device read, past the page cache where there is a way
 *   entry    a value out of what was read, checked                                 any number
 *
 * Threads:   one.
 * Lifetime:  embedded; init and fini. Entries point into the window until the next entry or read. No
 *            file stays open after read.
 * Units:     bytes; places (wal/place.h); offsets of files.
 * Ordering:  none.
 * Errors:    read: WARP_ENOENT (there is no such file any more), _EIO, _EDAMAGED, _ENOMEM, ...;
 *            entry: WARP_EDAMAGED, _ENOMEM. What they say of the file is not remembered.
 * Cost:      memory: window_bytes, and for archives a decompressor and the largest block. A read of
 *            another archive than before reads its header and dictionary first.
 */
#ifndef WAL_STRETCH_H
#define WAL_STRETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/archive.h"
#include "wal/frame.h"
#include "wal/manifest.h"

#define WARP_STRETCH_WINDOW_BYTES_MIN 16384u
#define WARP_STRETCH_MARGIN_BYTES     8192u /* of the window, for whole pages at both ends */

struct warp_stretch {
    /* Set by init, constant afterwards. */
    const struct warp_disk *disk;
    struct warp_memory *memory;
    const struct warp_manifest *manifest;
    uint32_t window_bytes;
    bool direct;

    uint8_t *window; /* NULL until the first read */
    uint64_t file;   /* what is in it: as warp_stretch_extent.file ... */
    uint64_t begin, end;

    struct warp_archive_decoder *decoder;
    struct warp_archive_info *info; /* of the archive that was read last */
    uint32_t info_number;

    uint8_t *scratch;
    uint32_t scratch_bytes;
    uint64_t block; /* begin of the one that `head` and `raw` are of, or UINT64_MAX */
    struct warp_block head;
    const void *raw;

    uint64_t reads, read_bytes; /* of the device */
};

/* A value to be read. */
struct warp_stretch_item {
    uint64_t place;
    uint32_t entry_bytes; /* in the log, as wal/frame counts */
    bool in_batch;        /* in the log: in a BATCH frame */
};

/* Where it lies. file: WARP_PLACE_ARCHIVED | number of the archive, or index of the segment. */
struct warp_stretch_extent {
    uint64_t file;
    uint64_t begin, end; /* of the file */
};

/* window_bytes: a multiple of 4,096, at least WARP_STRETCH_WINDOW_BYTES_MIN. */
void warp_stretch_init(struct warp_stretch *stretch, const struct warp_disk *disk,
                       struct warp_memory *memory, const struct warp_manifest *manifest,
                       uint32_t window_bytes, bool direct);
void warp_stretch_fini(struct warp_stretch *stretch);

/* False: it does not lie in one piece that the window has room for; read it by wal/reader. */
bool warp_stretch_extent(const struct warp_stretch *stretch,
                         const struct warp_stretch_item *item,
                         struct warp_stretch_extent *extent);

/* The most bytes, from the begin of the first extent to the end of the last, that one read takes. */
static inline uint64_t warp_stretch_span_max(const struct warp_stretch *stretch)
{
    return stretch->window_bytes - WARP_STRETCH_MARGIN_BYTES;
}

/* Read so much of a file; what was read before is forgotten. */
int warp_stretch_read(struct warp_stretch *stretch,
                      const struct warp_stretch_extent *extent);

/* One that lies in what was read. */
int warp_stretch_entry(struct warp_stretch *stretch, const struct warp_stretch_item *item,
                       struct warp_entry *entry, uint64_t *sequence);

#endif
