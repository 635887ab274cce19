/*
 * wal/manifest.h - the one page that makes a directory a database.
 *
 * It holds who the database is (its id), what must never change (segment size, hash seed),
 * the fencing epoch, and where the log begins, or which checkpoint it goes on from. It is replaced as a whole: written aside,
 * synced, renamed, and the directory synced, so a crash leaves the old page or the new one.
 *
 * Threads:   one at a time: the thread that opens, later the holder of the writer's lease.
 * Lifetime:  the caller's struct; nothing is kept.
 * Units:     bytes, positions of log, Unix time in ms.
 * Ordering:  write returns after the new page is durable, before anything that relies on it.
 * Errors:    WARP_EFORMAT, _EVERSION, _EDAMAGED, _EIO, _EPERM, _ENOSPC, _ESYSTEM, _ENOMEM;
 *            read also puts a sentence with file and offset in message.
 * Cost:      one 4 KiB read; a write is two syncs.
 */
#ifndef WAL_MANIFEST_H
#define WAL_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

#define WARP_MANIFEST_NAME       "MANIFEST"
#define WARP_MANIFEST_NAME_ASIDE "MANIFEST.new"
#define WARP_RESTORING_NAME      "RESTORING" /* marks what is no database yet */
#define WARP_LOCK_NAME           "LOCK"      /* for disk->ops->lock() */

#define WARP_FORMAT_VERSION      1u    /* of the log */
#define WARP_MANIFEST_VERSION    3u    /* 2: with a checkpoint number; 3: with a lineage */
#define WARP_FILE_HEADER_BYTES   4096u /* of the manifest and of every log file */
#define WARP_DATABASE_ID_BYTES   16u
#define WARP_SEGMENT_BYTES_FLOOR 4096u
#define WARP_SEGMENT_BYTES_CEIL  1073741824u

struct warp_manifest {
    uint8_t id[WARP_DATABASE_ID_BYTES]; /* random, for ever */
    uint64_t hash_seed;                 /* random, for ever */
    uint64_t created_ms;
    uint64_t head_position; /* the log below it is not replayed; a frame begins here */
    /* The oldest checkpoint that must exist for the log from the head to be enough; 0: none.
     * With one, an engine that knows no checkpoints must not open this: the page says so. */
    uint64_t checkpoint_number;
    /* Random in a database that was restored from a backup, 0 in one that never was: two
     * databases of one id write different things to the same positions, and this tells them
     * apart. With one, an engine that would forget it must not open this: the page says so. */
    uint64_t lineage;
    uint32_t segment_bytes; /* power of two, for ever */
    uint32_t epoch;         /* one more at every open for writing, before the first write */
};

/*
 * 0 and *out; WARP_ABSENT: there is neither a manifest nor a log file, an archive or a
 * checkpoint, so nothing was ever made here. One of those without a manifest is WARP_EDAMAGED, so
 * that nobody makes a new database over it.
 */
int warp_manifest_read(const struct warp_disk *disk, struct warp_manifest *out,
                       char *message, size_t message_bytes);

/* Replace the page, durably. On an error the old page is still in place, or the new one is.
 */
int warp_manifest_write(const struct warp_disk *disk, const struct warp_manifest *manifest);

/* What the checksum of every frame header starts from. */
uint32_t warp_manifest_seed(const struct warp_manifest *manifest);

#endif
