/*
 * Checkpoints: header, trailer, tables, every section, every entry. Each entry's key must belong to
 * its slot, and its place to a file that is there; records that have lost theirs are told once for
 * each file that is missing. Those older than the one that the MANIFEST counts on do not matter.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tools/inspect/verify.h"
#include "wal/archive.h"
#include "wal/place.h"

struct index_walk {
    struct verify *v;
    struct verify_file *last; /* the log file of the entry before */
    uint64_t entries, lost;
    bool no_memory;
};

/* "NAME, offset N: what" as warp_checkpoint_open() says it, as damage. */
static void index_say(struct verify *v, uint64_t number, char *message)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    char *at = strstr(message, ", offset ");
    uint64_t offset = 0;
    size_t bytes;

    warp_checkpoint_name(number, name);
    if (at != NULL) {
        offset = strtoull(at + 9, &at, 10);
        message = strncmp(at, ": ", 2) == 0 ? at + 2 : at;
    }
    bytes = strlen(message);
    if (bytes > 0 && message[bytes - 1] == '.') {
        message[bytes - 1] = '\0';
    }
    warp_verify_damaged(v, name, offset, UINT64_MAX, message);
}

static int index_entry(void *context, uint32_t slot, uint32_t slot_records,
                       const struct warp_checkpoint_entry *entry)
{
    struct index_walk *walk = context;
    struct verify *v = walk->v;
    struct verify_files *files = &v->logs;
    struct verify_file *file = walk->last;
    uint64_t number = entry->place / v->manifest.segment_bytes;

    (void)slot_records;
    if (warp_hash_slot(entry->key, entry->key_bytes) != slot) {
        return WARP_EDAMAGED;
    }
    walk->entries++;
    if (warp_place_is_archived(entry->place)) {
        number = warp_place_decode(entry->place).file;
        files = &v->archives;
        file = NULL;
    }
    if (file == NULL || file->number != number) {
        file = warp_verify_file_add(v, files, number);
        if (file == NULL) {
            walk->no_memory = true;
            return WARP_ENOMEM;
        }
        walk->last = files == &v->logs ? file : NULL;
    }
    if (!file->present) {
        file->lost_position = file->lost++ == 0 ? entry->place : file->lost_position;
    }
    return 0;
}

static int index_mark(struct verify *v, const struct warp_checkpoint *checkpoint)
{
    const struct warp_checkpoint_summary *summary = warp_checkpoint_summary(checkpoint);
    const struct warp_checkpoint_segment *segments = warp_checkpoint_segments(checkpoint);
    const struct warp_checkpoint_archive *archives = warp_checkpoint_archives(checkpoint);
    struct verify_file *file;
    uint32_t i;

    for (i = 0; i < summary->segment_count; i++) {
        file = warp_verify_file_add(v, &v->logs, segments[i].index);
        if (file == NULL) {
            return WARP_ENOMEM;
        }
        file->listed = true;
    }
    for (i = 0; i < summary->archive_count; i++) {
        file = warp_verify_file_add(v, &v->archives, archives[i].number);
        if (file == NULL) {
            return WARP_ENOMEM;
        }
        file->listed = true;
    }
    return 0;
}

static int index_checkpoint(struct verify *v, struct verify_checkpoint *one)
{
    struct warp_checkpoint *checkpoint = NULL;
    struct index_walk walk = {.v = v};
    uint64_t number = one->summary.number, offset;
    uint32_t damages = v->damage_count, i;
    char name[WARP_CHECKPOINT_NAME_BYTES];
    char message[512] = "";
    int rc;

    warp_checkpoint_name(number, name);
    rc = warp_checkpoint_open(&checkpoint, &v->disk, &v->memory, &v->manifest, number,
                              message, sizeof(message));
    if (rc == WARP_ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        if (message[0] == '\0') {
            snprintf(message, sizeof(message), "%s", warp_error_text(rc));
        }
        index_say(v, number, message);
        return 0;
    }
    one->summary = *warp_checkpoint_summary(checkpoint);
    one->sections = warp_checkpoint_section_count(checkpoint);
    rc = index_mark(v, checkpoint);
    for (i = 0; rc == 0 && i < one->sections; i++) {
        uint32_t first, last, records;

        warp_checkpoint_section_slots(checkpoint, i, &first, &last, &records);
        offset = 0;
        rc = warp_checkpoint_read_section(checkpoint, i, index_entry, &walk, &offset);
        if (rc < 0 && !walk.no_memory && rc != WARP_ENOMEM) {
            char what[VERIFY_WHAT_BYTES];

            snprintf(what, sizeof(what),
                     "section %" PRIu32 " %s: slots %" PRIu32 " to %" PRIu32 ", %" PRIu32
                     " records",
                     i, rc == WARP_EDAMAGED ? "is damaged" : "cannot be read", first, last,
                     records);
            warp_verify_damaged(v, name, offset, UINT64_MAX, what);
            rc = 0;
        }
        meter_add(&v->meter, one->summary.bytes / one->sections);
    }
    one->entries = walk.entries;
    if (rc == 0 && v->damage_count == damages && walk.entries != one->summary.records) {
        char what[VERIFY_WHAT_BYTES];

        snprintf(what, sizeof(what),
                 "it has %" PRIu64 " records, and its trailer says %" PRIu64, walk.entries,
                 one->summary.records);
        warp_verify_damaged(v, name, one->summary.bytes - 4096, UINT64_MAX, what);
    }
    one->good = rc == 0 && v->damage_count == damages;
    warp_checkpoint_close(&checkpoint);
    return rc;
}

static void index_missing(struct verify *v, const struct verify_file *file,
                          const char *name)
{
    char what[VERIFY_WHAT_BYTES];

    if (file->present || (!file->listed && file->lost == 0)) {
        return;
    }
    if (file->lost > 0) {
        snprintf(what, sizeof(what),
                 "the file is missing, and the values of %" PRIu64
                 " records of the checkpoints lie in it",
                 file->lost);
    } else {
        snprintf(what, sizeof(what), "the file is missing, and a checkpoint lists it");
    }
    warp_verify_damaged(v, name, 0, UINT64_MAX, what);
}

int warp_verify_checkpoints(struct verify *v)
{
    struct warp_checkpoint_summary found[VERIFY_CHECKPOINTS_MAX];
    uint32_t count = 0, good = 0, i;
    char name[VERIFY_FILE_BYTES];
    int rc;

    rc = warp_checkpoint_find(&v->disk, &v->memory, &v->manifest, true, found,
                              VERIFY_CHECKPOINTS_MAX, &count);
    if (rc < 0) {
        return rc;
    }
    for (i = 0; i < count; i++) {
        struct verify_checkpoint *one = &v->checkpoints[v->checkpoint_count];

        if (found[i].number < v->manifest.checkpoint_number) {
            break;
        }
        one->summary = found[i];
        rc = index_checkpoint(v, one);
        if (rc < 0) {
            return rc;
        }
        good += one->good;
        v->checkpoint_count++;
    }
    if (v->manifest.checkpoint_number != 0 && v->checkpoint_count == 0) {
        warp_checkpoint_name(v->manifest.checkpoint_number, name);
        warp_verify_damaged(v, name, 0, UINT64_MAX,
                            "the file is missing, and the MANIFEST counts on it");
    } else if (v->manifest.checkpoint_number != 0 && good == 0) {
        warp_checkpoint_name(v->manifest.checkpoint_number, name);
        warp_verify_damaged(
            v, name, 0, UINT64_MAX,
            "none of the checkpoints is whole, and the MANIFEST counts on one");
    }
    for (i = 0; i < v->logs.count; i++) {
        warp_segment_name(v->logs.files[i].number, name);
        index_missing(v, &v->logs.files[i], name);
    }
    for (i = 0; i < v->archives.count; i++) {
        if (v->archives.files[i].number < WARP_PLACE_FILES_MAX) {
            warp_archive_name((uint32_t)v->archives.files[i].number, name);
            index_missing(v, &v->archives.files[i], name);
        }
    }
    return 0;
}
