/*
 * engine/restore.h - makes a database of a backup, after checking every byte of it.
 *
 *   EMPTY      the directory has no files; it is locked
 *   MARKED     RESTORING is there, durably: nobody opens this
 *   COPIED     all files, each held against its hash, synced
 *   NAMED      the MANIFEST is written, with a lineage of its own: from here on it is a database
 *   DONE       RESTORING is gone
 *
 * The restored database keeps the id, with which every frame, block and section is sealed. What
 * tells it from the one that the backup was made of is its lineage: a later backup of either into
 * the same pool shares nothing with the other's.
 *
 * Threads:   any, one at a time for a directory.
 * Lifetime:  nothing outlives the call.
 * Units:     bytes.
 * Ordering:  the MANIFEST comes after everything else is durable.
 * Errors:    enum warp_error, with a sentence in options->message. After one the directory has
 *            no files but LOCK, or, if even that fails, RESTORING and no MANIFEST.
 * Cost:      reads and writes the backup once; 1 MiB of memory.
 */
#ifndef ENGINE_RESTORE_H
#define ENGINE_RESTORE_H

#include "engine/backup.h"

/* number 0: the newest. random_seed as in struct warp_env. info may be NULL. */
int warp_restore_make(const struct warp_disk *from, uint64_t number,
                      const struct warp_disk *to, struct warp_memory *memory,
                      const struct warp_clock *clock, uint64_t random_seed,
                      const struct warp_backup_options *options,
                      struct warp_backup_info *info);

/* Read a backup, or with number 0 all of them, and compare every byte with its hash. The copies
 * that backups share are read once. */
int warp_restore_verify(const struct warp_disk *from, uint64_t number,
                        struct warp_memory *memory, const struct warp_clock *clock,
                        const struct warp_backup_options *options);

/* Tell of every backup, ascending. visit's answer, if it is not 0, ends it and is returned. */
int warp_restore_list(const struct warp_disk *from, struct warp_memory *memory,
                      warp_backup_visitor visit, void *context,
                      const struct warp_backup_options *options);

#endif
