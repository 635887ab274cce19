/*
 * wal/audit.h - checks all files of a database that may be in use meanwhile.
 *
 * It reads the directory as it finds it: the manifest, the checkpoints that count, the log from its head
 * as far as it is durable, old log that a checkpoint names, and the archives. Whoever has the database
 * open may go on: what is written behind the durable mark is not looked at, and when something is
 * wrong with a file, it is damage only if that file is still there afterwards. A file is removed only
 * when no checkpoint that is kept names it, and never comes back under its name; so one that a
 * checkpoint names, while that is there, must be there, too.
 *
 * Threads:   any; each run has memory of its own.
 * Lifetime:  everything ends with the call. What damage is given lives until it returns.
 * Units:     bytes; positions of log.
 * Ordering:  manifest, checkpoints, log, archives.
 * Errors:    damage is told, not returned; < 0: WARP_ENOMEM, WARP_EIO (the directory cannot be listed),
 *            or what `pace` answered.
 * Cost:      one read of every file, log past the page cache. Memory: 1 MiB, or the greatest frame; a
 *            section of a checkpoint; 16 bytes a file.
 */
#ifndef WAL_AUDIT_H
#define WAL_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/manifest.h"

struct warp_audit_damage {
    const char *file;
    uint64_t offset;   /* in the file */
    uint64_t bytes;    /* UINT64_MAX: unknown, or all of it */
    uint64_t position; /* in the log; UINT64_MAX: it is not in the log */
    const char *what;
};

struct warp_audit_config {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    /* Whose database it must be. The rest is used only when MANIFEST cannot be read: then its head is
     * taken for no more than a place below which no file is needed but those that are named. */
    const struct warp_manifest *manifest;
    uint64_t
        durable; /* the log below it is durable; UINT64_MAX: as far as the files say so */
    bool direct; /* read log past the page cache */
    void (*damaged)(void *context, const struct warp_audit_damage *damage);
    /* < 0 ends the audit; total is what was there when it began. */
    int (*pace)(void *context, uint64_t bytes_more, uint64_t total);
    void *context;
};

struct warp_audit_report {
    uint64_t files;       /* checked to their end */
    uint64_t files_gone;  /* removed while they were checked: no damage */
    uint64_t bytes;       /* read */
    uint64_t frames;      /* of log */
    uint64_t entries;     /* in archives */
    uint64_t records;     /* in checkpoints */
    uint64_t checkpoints; /* good ones */
    uint64_t durable;     /* the log was checked up to here */
    uint64_t damages;
};

int warp_audit(const struct warp_audit_config *config, struct warp_audit_report *report);

#endif
