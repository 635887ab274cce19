/*
 * engine/pool.h - the directory that backups share: copied files, and a description of each backup.
 *
 * Archives, checkpoints and full segments of the log never change, so several backups share one
 * copy of them. A backup is its description: one small file that lists the copies it consists of,
 * each with a hash of all its bytes. A backup exists from the moment the description has its name,
 * which is the last thing that is done. docs/BACKUP.md has the bytes.
 *
 *   backup-<number>.warp                  a description; ends in .new while it is being made
 *   log-<index>-<number>.pool             a copy, and the number of the backup that made it
 *   archive-<index>-<number>.pool
 *   checkpoint-<index>-<number>.pool
 *
 * Threads:   one at a time; several processes are kept apart by the lock of the directory.
 * Lifetime:  embedded; open to close. What list and load reserved is the caller's, to be
 *            given back with release.
 * Units:     bytes; numbers of backups begin with 1.
 * Ordering:  a description is durable under its name only after all that it lists is.
 * Errors:    enum warp_error, and a sentence with the name of the file in message: WARP_EDAMAGED
 *            for what is not as it was written, WARP_EBUSY when another works here.
 * Cost:      memory for 48 bytes per file of the largest backup, 24 per file of the directory.
 */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/manifest.h"

#define WARP_POOL_VERSION    1u
#define WARP_POOL_NAME_BYTES 64u
#define WARP_POOL_ROWS_MAX   (1u << 24)
#define WARP_POOL_SAY_BYTES  256u

enum warp_pool_kind {
    WARP_POOL_LOG = 1,
    WARP_POOL_ARCHIVE = 2,
    WARP_POOL_CHECKPOINT = 3,
};

#define WARP_POOL_WHOLE                                                                    \
    1u /* flag: nothing will ever be added to it, so others may share it */

/* One copied file. */
struct warp_pool_row {
    uint32_t kind;  /* enum warp_pool_kind */
    uint32_t flags; /* WARP_POOL_WHOLE */
    uint64_t index; /* of the segment, or the number of the archive or checkpoint */
    uint64_t bytes;
    uint64_t copied_by; /* number of the backup that made the copy */
    uint64_t hash;      /* XXH3 of all bytes */
    uint64_t sample;    /* XXH3 of a few pages of the original: see engine/backup.c */
};

/* One backup. Rows ascend by kind and index. */
struct warp_pool_backup {
    uint64_t number;
    uint64_t made_ms;
    uint64_t position; /* the log goes up to here, and not further */
    /* Of the database restored from it; the lineage is that of the one it was made from. */
    struct warp_manifest manifest;
    uint64_t bytes;                      /* of all its files */
    uint64_t bytes_copied, files_copied; /* of these, made by it */
    struct warp_pool_row *rows;
    uint32_t row_count, row_capacity;
};

struct warp_pool {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    bool locked;
    char message[WARP_POOL_SAY_BYTES]; /* why something failed; a sentence */
};

/*
 * Take the directory: exclusively, to change it, which also clears away half-made files; or
 * shared, to look. disk and memory outlive it. A directory that holds a database is WARP_EFORMAT,
 * one that is about to be changed and holds anything else that is not ours as well.
 */
int warp_pool_open(struct warp_pool *pool, const struct warp_disk *disk,
                   struct warp_memory *memory, bool exclusive);
void warp_pool_close(struct warp_pool *pool);

void warp_pool_backup_name(uint64_t number, char out[WARP_POOL_NAME_BYTES]);
void warp_pool_file_name(const struct warp_pool_row *row, char out[WARP_POOL_NAME_BYTES]);
/* What the file is called in a database. */
void warp_pool_source_name(const struct warp_pool_row *row, char out[WARP_POOL_NAME_BYTES]);

/* Numbers of all backups, ascending; *numbers is reserved, NULL when there are none. */
int warp_pool_numbers(struct warp_pool *pool, uint64_t **numbers, uint32_t *count);
void warp_pool_numbers_release(struct warp_pool *pool, uint64_t **numbers, uint32_t count);

/* Read a description and check it. *backup is zero before; release it. */
int warp_pool_load(struct warp_pool *pool, uint64_t number,
                   struct warp_pool_backup *backup);
void warp_pool_release(struct warp_pool *pool, struct warp_pool_backup *backup);

/* Append a row; the caller keeps the order. */
int warp_pool_add(struct warp_pool *pool, struct warp_pool_backup *backup,
                  const struct warp_pool_row *row);

/* Make it exist: all its files are synced and have their names. On an error it does not exist, or
 * (when the last sync failed) perhaps it does. */
int warp_pool_commit(struct warp_pool *pool, const struct warp_pool_backup *backup);

/* The backup is gone when this returns, then its files that no other has. */
int warp_pool_delete(struct warp_pool *pool, uint64_t number);

/* Remove the copies that no description lists; does nothing while one cannot be read, for it may
 * list them. */
int warp_pool_collect(struct warp_pool *pool);

/* Whether the copy is there and has its size. */
bool warp_pool_has(struct warp_pool *pool, const struct warp_pool_row *row);

int warp_pool_say(struct warp_pool *pool, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
