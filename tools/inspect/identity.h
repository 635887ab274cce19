/*
 * tools/inspect/identity.h - says whose files a directory holds, when its manifest cannot.
 *
 * The first page of every segment, archive and checkpoint names its database, and a segment's says how
 * long segments are. With the manifest lost, or that of another database in its place, the files
 * themselves decide: the database that most of them belong to.
 *
 * Threads:   one.
 * Lifetime:  nothing is kept.
 * Units:     files.
 * Ordering:  none.
 * Errors:    WARP_EVERSION, _EIO, _ENOMEM; WARP_ENOENT: no file names a database.
 * Cost:      one page of every file.
 */
#ifndef TOOLS_INSPECT_IDENTITY_H
#define TOOLS_INSPECT_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "wal/manifest.h"

struct identity {
    struct warp_manifest
        manifest; /* when rebuilt: no head, no checkpoint, an epoch above all */
    bool rebuilt;
    char why[256];          /* ... because of this */
    uint64_t ours, foreign; /* files whose first page names this database, or another one */
};

int identity_find(struct identity *identity, const struct warp_disk *disk);

#endif
