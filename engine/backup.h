/*
 * engine/backup.h - copies a database that is in use into a pool, consistent at one place of its log.
 *
 *   PINNED     the newest checkpoint and all it needs stays          (shards/checkpointer)
 *   CUT        the log is flushed; S, the durable mark, is where the backup ends. S is at a
 *              frame, above everything acknowledged before the call, above the checkpoint's end
 *   COPIED     the checkpoint, the files it names, the log from its begin up to S; what the pool
 *              has of them already, from an earlier backup of the same database, is only listed
 *   COMMITTED  the copies are synced, then the description is written: the backup exists
 *   RELEASED   the pin is gone, on every way out
 *
 * The cut needs no mark of its own: behind S a restored log is zeros, no frame below S has a mark
 * above S, and so recovery takes S for the end of the log (docs/WAL_FORMAT.md).
 *
 * Threads:   any thread that holds no lease, one at a time for a database.
 * Lifetime:  nothing outlives the call.
 * Units:     bytes; bytes per second of reading.
 * Ordering:  everything acknowledged before the call is in; of what comes meanwhile, a prefix.
 * Errors:    WARP_EBUSY: one is being made of this database, or somebody uses the directory;
 *            _EFAILED, _EIO, _ENOSPC, _EDAMAGED, _ENOMEM, _EFORMAT; or what progress answered.
 *            options->message gets the sentence. The database and earlier backups are as before.
 * Cost:      one read of what is new and 17 pages of each file that is not; 1 MiB of memory, and
 *            48 bytes for each file of all backups of the database in the pool.
 */
#ifndef ENGINE_BACKUP_H
#define ENGINE_BACKUP_H

#include "engine/engine.h"
#include "engine/pool.h"
#include "warp/warp.h"

/* How a long copy is told to go: what the options say, and what it has done so far. */
struct warp_copy {
    struct warp_memory *memory;
    const struct warp_clock *clock;
    const struct warp_env *env; /* NULL, or whose wait() lets others run without threads */
    const struct warp_backup_options *options;
    uint8_t *buffer;
    uint32_t buffer_bytes;
    uint64_t done, total; /* bytes */
    uint64_t begun_ns;
};

int warp_copy_init(struct warp_copy *copy, struct warp_memory *memory,
                   const struct warp_clock *clock, const struct warp_env *env,
                   const struct warp_backup_options *options);
void warp_copy_fini(struct warp_copy *copy);

/*
 * Copy `bytes` from the begin of one file to another (to < 0: only read) and hash them. 0, or an
 * error, with *wrote saying which side it was; or what progress answered. A file that ends
 * early is WARP_EDAMAGED.
 */
int warp_copy_file(struct warp_copy *copy, const struct warp_disk *from, int32_t from_file,
                   const struct warp_disk *to, int32_t to_file, uint64_t bytes,
                   uint64_t *hash, bool *wrote);

/* Complete options of an older header, or refuse them. */
int warp_backup_options_complete(const struct warp_backup_options *given,
                                 struct warp_backup_options *out);
/* As many fields as the caller's struct has. info may be NULL. */
void warp_backup_inform(const struct warp_pool_backup *backup,
                        struct warp_backup_info *info);

/* Make one more backup in the directory `to`. info may be NULL. */
int warp_backup_make(struct warp *db, const struct warp_disk *to,
                     const struct warp_backup_options *options,
                     struct warp_backup_info *info);

#endif
