/* Archive files: every block, index and page, each file for itself. */
#include <stdio.h>

#include "tools/inspect/verify.h"
#include "wal/archive.h"

struct archives_walk {
    struct verify *v;
    const char *name;
    uint64_t unit; /* of the block that was read last */
};

static int archives_entry(void *context, const struct warp_entry *entry, uint64_t sequence,
                          uint64_t place)
{
    struct archives_walk *walk = context;
    struct warp_place at = warp_place_decode(place);

    (void)entry;
    (void)sequence;
    walk->v->archive_entries++;
    if (at.unit != walk->unit) {
        walk->unit = at.unit;
        meter_add(&walk->v->meter, (uint64_t)at.units * WARP_ARCHIVE_UNIT_BYTES);
    }
    return 0;
}

static void archives_damaged(void *context, uint64_t offset, uint64_t bytes,
                             const char *what)
{
    struct archives_walk *walk = context;

    warp_verify_damaged(walk->v, walk->name, offset, bytes, what);
}

int warp_verify_archives(struct verify *v)
{
    uint32_t i;

    for (i = 0; i < v->archives.count; i++) {
        const struct verify_file *file = &v->archives.files[i];
        char name[WARP_ARCHIVE_NAME_BYTES];
        struct archives_walk walk = {.v = v, .name = name, .unit = UINT64_MAX};
        int rc;

        if (!file->present) {
            continue; /* told with the checkpoints */
        }
        warp_archive_name((uint32_t)file->number, name);
        v->archive_files++;
        rc = warp_archive_walk(&v->disk, &v->memory, &v->manifest, (uint32_t)file->number,
                               archives_entry, archives_damaged, &walk);
        if (rc == WARP_ENOMEM) {
            return rc;
        }
        if (rc < 0) {
            warp_verify_damaged(v, name, 0, UINT64_MAX, warp_error_text(rc));
        }
    }
    return 0;
}
