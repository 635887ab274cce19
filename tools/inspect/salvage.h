/*
 * tools/inspect/salvage.h - finds what can still be read in a damaged database.
 *
 * It reads what there is, twice. First to learn where the newest readable version of each key lies:
 * the checkpoints say, slot by slot, which keys there were and where; log and archives say what
 * is readable. Then to hand out the values. Nothing of the source is changed.
 *
 * What decides: a slot whose keys some checkpoint has whole is *covered*: what is older than the
 * begin of that checkpoint counts only if it is named there, for whatever is not was deleted or replaced.
 * What is newer counts by its place in the log, the newest wins, a delete too. When the version that
 * a checkpoint names cannot be read, an older one of that key stands in for it, and that is told. A
 * slot that no checkpoint covers has only the order of the log: what was deleted in log that is gone may
 * come back, which is told as doubtful.
 *
 * Threads:   one.
 * Lifetime:  everything ends with the call. What the callbacks are given lives until they return.
 * Units:     bytes, records, Unix time in ms.
 * Ordering:  losses are told as they are met, keys after all files were read once; then records come.
 * Errors:    what `store` and `pace` answer, WARP_ENOMEM, WARP_EIO (the directory cannot be listed),
 *            WARP_EVERSION; WARP_ENOENT: nothing says whose files these are. Damage is no error.
 * Cost:      every file is read twice, the log's last files once more. Memory: about 56 bytes and the
 *            key for each key, as an open of the database would take, and the greatest frame.
 */
#ifndef TOOLS_INSPECT_SALVAGE_H
#define TOOLS_INSPECT_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "warp/warp.h"

enum salvage_loss_kind {
    SALVAGE_RANGE, /* of a file, not readable */
    SALVAGE_LOST,  /* a record, no version of which is readable */
    SALVAGE_OLDER, /* a record whose newest version is not readable: an older one is taken */
    SALVAGE_DOUBTFUL, /* a record that may have been deleted or replaced since */
};

struct salvage_loss {
    enum salvage_loss_kind kind;
    bool
        matters; /* a range: something that is not known by its key may have been lost in it */
    const char *file; /* a range's; a record's: where its newest version should be, or "" */
    uint64_t offset;  /* in the file */
    uint64_t bytes;   /* UINT64_MAX: unknown, or all of it */
    uint64_t position; /* in the log; UINT64_MAX: it is not in the log */
    const char *what;
    struct warp_slice key; /* a record's */
};

struct salvage_report {
    bool manifest_rebuilt;
    char manifest_why[256];
    uint64_t foreign_files; /* of other databases: left aside */
    uint32_t checkpoints_used, checkpoints_damaged;
    uint32_t slots_covered; /* by a checkpoint, of WARP_SLOT_COUNT */

    uint64_t stored;   /* records handed out, of which ... */
    uint64_t older;    /* ... in an older version than the newest */
    uint64_t doubtful; /* ... maybe deleted or replaced since */
    uint64_t expired;  /* not handed out: their time has passed */
    uint64_t lost;     /* no version is readable */

    uint64_t writes_lost; /* frames whose content is lost, keys unknown */
    uint64_t
        writes_lost_most; /* at most so many writes were in what is lost, keys unknown */
    uint64_t batches_partial; /* of which only a part could be read */
    uint64_t ranges;          /* damaged ones */
    uint64_t ranges_matter;   /* of these, in which unknown writes may be lost */
    uint64_t bytes_read, bytes_total;
};

struct salvage_config {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    uint64_t now_ms; /* what has expired by then is left out */
    int (*store)(void *context, struct warp_slice key, struct warp_slice value,
                 uint64_t expires_at_ms);
    void (*loss)(void *context, const struct salvage_loss *loss); /* may be NULL */
    int (*pace)(void *context, uint64_t done, uint64_t total);    /* may be NULL */
    void *context;
};

/* 0 and *report, or an error and as much of the report as there is. */
int salvage_run(const struct salvage_config *config, struct salvage_report *report);

/* Nothing was lost, as far as can be known. */
static inline bool salvage_complete(const struct salvage_report *report)
{
    return report->older == 0 && report->doubtful == 0 && report->lost == 0 &&
           report->writes_lost == 0 && report->writes_lost_most == 0 &&
           report->ranges_matter == 0;
}

#endif
