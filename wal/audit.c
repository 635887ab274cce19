/*
 * The happy path: every file is read by the module that knows its kind, and what that tells as damage
 * is kept until the file is done. Then its name is looked for: if it is gone, so is the damage.
 *
 * What can go wrong: files go at any time; a file that was listed and cannot be opened is looked for
 * like one that is damaged. New files are not waited for. The head of the log may pass a file that is
 * being read, which changes nothing about its bytes.
 */
#include "wal/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/errno.h"
#include "base/hash.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"
#include "wal/survey.h"

#define AUDIT_CHECKPOINTS_MAX 8u
#define AUDIT_KEPT_MAX        64u /* damages of one file that are kept; more are one more */
#define AUDIT_NAME_BYTES      48u
#define AUDIT_WHAT_BYTES      160u

struct audit_kept {
    char file[AUDIT_NAME_BYTES];
    char what[AUDIT_WHAT_BYTES];
    uint64_t offset, bytes, position;
};

struct audit_file {
    uint64_t number;
    bool listed; /* by a checkpoint */
    bool present;
};

struct audit_range {
    uint64_t from, to; /* of log */
};

struct audit_files {
    struct audit_file *files; /* ascending, once sorted */
    uint32_t count, capacity;
};

struct audit {
    const struct warp_audit_config *config;
    struct warp_audit_report *report;
    struct warp_manifest manifest; /* as it is now */
    struct audit_files logs, archives;
    struct audit_kept kept[AUDIT_KEPT_MAX];
    uint32_t kept_count;
    uint64_t total;
    bool no_memory;
    int rc;                      /* of pace */
    const char *archive;         /* that is being walked */
    uint64_t unit;               /* of the block that was read last */
    bool head_exact;             /* a frame begins at the head */
    struct audit_range *unknown; /* log that no chain of frames leads to; ascending */
    uint32_t unknown_count, unknown_capacity;
    struct warp_survey *survey;
};

/* ---- damage ----------------------------------------------------------------------------- */

static void audit_keep(struct audit *audit, const char *file, uint64_t offset,
                       uint64_t bytes, uint64_t position, const char *what)
{
    struct audit_kept *kept;

    if (audit->kept_count == AUDIT_KEPT_MAX) {
        return;
    }
    kept = &audit->kept[audit->kept_count++];
    snprintf(kept->file, sizeof(kept->file), "%s", file);
    snprintf(kept->what, sizeof(kept->what), "%s", what);
    kept->offset = offset;
    kept->bytes = bytes;
    kept->position = position;
}

static bool audit_is_there(const struct audit *audit, const char *name)
{
    const struct warp_disk *disk = audit->config->disk;
    int32_t file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);

    if (file < 0) {
        return warp_error_from_errno(file) != WARP_ENOENT;
    }
    disk->ops->close(disk->context, file);
    return true;
}

static void audit_tell(struct audit *audit, const struct audit_kept *kept)
{
    struct warp_audit_damage damage = {.file = kept->file,
                                       .offset = kept->offset,
                                       .bytes = kept->bytes,
                                       .position = kept->position,
                                       .what = kept->what};

    audit->report->damages++;
    if (audit->config->damaged != NULL) {
        audit->config->damaged(audit->config->context, &damage);
    }
}

/* The file is done: what was kept of it counts if it is still there. False: it is not. */
static bool audit_settle(struct audit *audit, const char *name)
{
    bool there = audit->kept_count == 0 || audit_is_there(audit, name);
    uint32_t i;

    for (i = 0; i < audit->kept_count && there; i++) {
        const struct audit_kept *kept = &audit->kept[i];

        if (strcmp(kept->file, name) != 0 && !audit_is_there(audit, kept->file)) {
            continue; /* a frame that began in the file before, and that is gone */
        }
        audit_tell(audit, kept);
    }
    audit->report->files += there;
    audit->report->files_gone += !there;
    audit->kept_count = 0;
    return there;
}

static int audit_pace(void *context, uint64_t bytes)
{
    struct audit *audit = context;

    audit->report->bytes += bytes;
    if (audit->rc == 0 && audit->config->pace != NULL) {
        audit->rc = audit->config->pace(audit->config->context, bytes, audit->total);
    }
    return audit->no_memory ? WARP_ENOMEM : audit->rc;
}

/* ---- which files ------------------------------------------------------------------------- */

static int audit_compare(const void *left, const void *right)
{
    const struct audit_file *a = left, *b = right;

    return (a->number > b->number) - (a->number < b->number);
}

static struct audit_file *audit_find(struct audit_files *files, uint64_t number)
{
    struct audit_file key = {.number = number};

    return files->count == 0
               ? NULL
               : bsearch(&key, files->files, files->count, sizeof(key), audit_compare);
}

static struct audit_file *audit_append(struct audit *audit, struct audit_files *files,
                                       uint64_t number)
{
    struct warp_memory *memory = audit->config->memory;

    if (files->count == files->capacity) {
        uint32_t capacity = files->capacity * 2 + 64;
        struct audit_file *more = warp_memory_reserve(memory, capacity * sizeof(*more), 0);

        if (more == NULL) {
            audit->no_memory = true;
            return NULL;
        }
        if (files->count > 0) {
            memcpy(more, files->files, files->count * sizeof(*more));
        }
        warp_memory_release(memory, files->files, files->capacity * sizeof(*more));
        files->files = more;
        files->capacity = capacity;
    }
    files->files[files->count] = (struct audit_file){.number = number};
    return &files->files[files->count++];
}

static bool audit_number(const char *name, const char *prefix, uint64_t *number)
{
    size_t bytes = strlen(prefix), i;

    if (strncmp(name, prefix, bytes) != 0 || strlen(name) != bytes + 21 ||
        strcmp(name + bytes + 16, ".warp") != 0) {
        return false;
    }
    *number = 0;
    for (i = bytes; i < bytes + 16; i++) {
        const char *digit = strchr("0123456789abcdef", name[i]);

        if (digit == NULL) {
            return false;
        }
        *number = *number << 4 | (uint64_t)(digit - (const char *)"0123456789abcdef");
    }
    return true;
}

static int audit_see(void *context, const char *name, uint64_t bytes)
{
    struct audit *audit = context;
    struct audit_files *files = NULL;
    struct audit_file *file;
    uint64_t number = 0;

    if (audit_number(name, "log-", &number) &&
        number < (UINT64_C(1) << 62) / audit->manifest.segment_bytes) {
        files = &audit->logs;
    } else if (audit_number(name, "archive-", &number) && number < WARP_PLACE_FILES_MAX) {
        files = &audit->archives;
    }
    if (files != NULL || audit_number(name, "checkpoint-", &number)) {
        audit->total += bytes;
    }
    if (files != NULL && !audit->no_memory) {
        file = audit_append(audit, files, number);
        if (file != NULL) {
            file->present = true;
        }
    }
    return 0;
}

static void audit_sort(struct audit_files *files)
{
    if (files->count > 1) {
        qsort(files->files, files->count, sizeof(files->files[0]), audit_compare);
    }
}

/* A checkpoint names this file. */
static void audit_list(struct audit *audit, struct audit_files *files, uint64_t number)
{
    struct audit_file *file = audit_find(files, number);

    if (file == NULL) {
        file = audit_append(audit, files, number);
        if (file == NULL) {
            return;
        }
        file->listed = true;
        audit_sort(files);
        return;
    }
    file->listed = true;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static int audit_see_record(void *context, uint32_t slot, uint32_t slot_records,
                            const struct warp_checkpoint_entry *entry)
{
    struct audit *audit = context;

    (void)slot_records;
    if (warp_hash_slot(entry->key, entry->key_bytes) != slot) {
        return WARP_EDAMAGED;
    }
    audit->report->records++;
    return 0;
}

/* Files that it names and that are not there. */
static void audit_missing(struct audit *audit, const struct warp_checkpoint *checkpoint)
{
    const struct warp_checkpoint_summary *summary = warp_checkpoint_summary(checkpoint);
    const struct warp_checkpoint_segment *segments = warp_checkpoint_segments(checkpoint);
    const struct warp_checkpoint_archive *archives = warp_checkpoint_archives(checkpoint);
    char name[AUDIT_NAME_BYTES], own[WARP_CHECKPOINT_NAME_BYTES];
    uint32_t count = summary->segment_count + summary->archive_count, i;

    warp_checkpoint_name(summary->number, own);
    for (i = 0; i < count && !audit->no_memory; i++) {
        if (i < summary->segment_count) {
            audit_list(audit, &audit->logs, segments[i].index);
            warp_segment_name(segments[i].index, name);
        } else {
            audit_list(audit, &audit->archives,
                       archives[i - summary->segment_count].number);
            warp_archive_name(archives[i - summary->segment_count].number, name);
        }
        if (!audit_is_there(audit, name) && audit_is_there(audit, own)) {
            struct warp_audit_damage damage = {
                .file = name,
                .bytes = UINT64_MAX,
                .position = UINT64_MAX,
                .what = "the file is missing, and a checkpoint says that values lie in it"};

            audit->report->damages++;
            if (audit->config->damaged != NULL) {
                audit->config->damaged(audit->config->context, &damage);
            }
        }
    }
}

static int audit_checkpoint(struct audit *audit, uint64_t number)
{
    struct warp_checkpoint *checkpoint = NULL;
    char name[WARP_CHECKPOINT_NAME_BYTES], message[AUDIT_WHAT_BYTES] = "";
    uint64_t records = audit->report->records, damages = audit->report->damages;
    uint32_t i, sections;
    int rc;

    warp_checkpoint_name(number, name);
    rc = warp_checkpoint_open(&checkpoint, audit->config->disk, audit->config->memory,
                              &audit->manifest, number, message, sizeof(message));
    if (rc == WARP_ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        audit_keep(audit, name, 0, UINT64_MAX, UINT64_MAX,
                   message[0] != 0 ? message : warp_error_text(rc));
        (void)audit_settle(audit, name);
        return 0;
    }
    rc = 0;
    sections = warp_checkpoint_section_count(checkpoint);
    for (i = 0; i < sections && rc == 0; i++) {
        uint64_t offset = 0;

        rc = warp_checkpoint_read_section(checkpoint, i, audit_see_record, audit, &offset);
        if (rc < 0 && rc != WARP_ENOMEM) {
            audit_keep(audit, name, offset, UINT64_MAX, UINT64_MAX,
                       rc == WARP_EDAMAGED ? "the section is damaged"
                                           : "the section cannot be read");
            rc = 0;
        }
        if (rc == 0) {
            rc = audit_pace(audit, warp_checkpoint_summary(checkpoint)->bytes / sections);
        }
    }
    if (rc == 0 && audit->kept_count == 0 &&
        audit->report->records - records != warp_checkpoint_summary(checkpoint)->records) {
        audit_keep(audit, name, 0, UINT64_MAX, UINT64_MAX,
                   "it has other records than its trailer says");
    }
    (void)audit_settle(audit, name);
    if (rc == 0) {
        audit_missing(audit, checkpoint);
        audit->report->checkpoints += audit->report->damages == damages;
    }
    warp_checkpoint_close(&checkpoint);
    return audit->no_memory ? WARP_ENOMEM : rc;
}

static int audit_checkpoints(struct audit *audit)
{
    struct warp_checkpoint_summary found[AUDIT_CHECKPOINTS_MAX];
    uint32_t count = 0, seen = 0, i;
    int rc;

    rc = warp_checkpoint_find(audit->config->disk, audit->config->memory, &audit->manifest,
                              true, found, AUDIT_CHECKPOINTS_MAX, &count);
    if (rc == WARP_ENOENT || rc == WARP_EPERM || rc == WARP_ESYSTEM) {
        rc =
            0; /* one went between its name and its opening: those that stay are found again */
        count = 0;
        (void)warp_checkpoint_find(audit->config->disk, audit->config->memory,
                                   &audit->manifest, true, found, AUDIT_CHECKPOINTS_MAX,
                                   &count);
    }
    for (i = 0; i < count && rc == 0; i++) {
        if (found[i].number >= audit->manifest.checkpoint_number) {
            rc = audit_checkpoint(audit, found[i].number);
            seen++;
        }
    }
    if (rc == 0 && seen == 0 && audit->manifest.checkpoint_number != 0) {
        struct warp_manifest now;
        char name[WARP_CHECKPOINT_NAME_BYTES];

        /* Unless the manifest counts on a newer one by now. */
        if (warp_manifest_read(audit->config->disk, &now, NULL, 0) == 0 &&
            now.checkpoint_number == audit->manifest.checkpoint_number) {
            struct warp_audit_damage damage = {
                .file = name,
                .bytes = UINT64_MAX,
                .position = UINT64_MAX,
                .what = "the file is missing, and the MANIFEST counts on it"};

            warp_checkpoint_name(now.checkpoint_number, name);
            audit->report->damages++;
            if (audit->config->damaged != NULL) {
                audit->config->damaged(audit->config->context, &damage);
            }
        }
    }
    return rc;
}

/* ---- the log ---------------------------------------------------------------------------------- */

static void audit_frame(void *context, const struct warp_frame *frame, const uint8_t *body,
                        enum warp_survey_body state)
{
    struct audit *audit = context;
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence;
    char name[WARP_SEGMENT_NAME_BYTES];
    int rc;

    audit->report->frames++;
    if (state != WARP_SURVEY_GOOD) {
        return;
    }
    rc = warp_frame_cursor_init(&cursor, frame, body);
    while (rc == 0 && (rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
        rc = 0;
    }
    if (rc < 0) {
        warp_segment_name(frame->position / audit->manifest.segment_bytes, name);
        audit_keep(audit, name,
                   WARP_SEGMENT_HEADER_BYTES +
                       frame->position % audit->manifest.segment_bytes,
                   warp_frame_bytes(frame->body_bytes), frame->position,
                   "the checksum is right, but the entries make no sense");
    }
}

static void audit_log_damaged(void *context, uint64_t from, uint64_t to, const char *what)
{
    struct audit *audit = context;
    char name[WARP_SEGMENT_NAME_BYTES];

    warp_segment_name(from / audit->manifest.segment_bytes, name);
    audit_keep(audit, name,
               WARP_SEGMENT_HEADER_BYTES + from % audit->manifest.segment_bytes, to - from,
               from, what);
}

/* What the survey cannot tell, noted for audit_named(). */
static void audit_unknown(void *context, uint64_t from, uint64_t to)
{
    struct audit *audit = context;
    struct warp_memory *memory = audit->config->memory;

    if (audit->unknown_count == audit->unknown_capacity) {
        uint32_t capacity = audit->unknown_capacity * 2 + 16;
        struct audit_range *more = warp_memory_reserve(memory, capacity * sizeof(*more), 0);

        if (more == NULL) {
            audit->no_memory = true;
            return;
        }
        if (audit->unknown_count > 0) {
            memcpy(more, audit->unknown, audit->unknown_count * sizeof(*more));
        }
        warp_memory_release(memory, audit->unknown,
                            audit->unknown_capacity * sizeof(*more));
        audit->unknown = more;
        audit->unknown_capacity = capacity;
    }
    audit->unknown[audit->unknown_count++] = (struct audit_range){from, to};
}

static void audit_file_damaged(void *context, const char *name, uint64_t offset,
                               uint64_t bytes, const char *what)
{
    audit_keep(context, name, offset, bytes, UINT64_MAX, what);
}

static const struct warp_survey_calls audit_calls = {
    .frame = audit_frame,
    .damaged = audit_log_damaged,
    .unknown = audit_unknown,
    .file_damaged = audit_file_damaged,
    .pace = audit_pace,
};

/* How far the log is durable, as far as the files say. */
static int audit_marks(struct audit *audit, struct warp_survey *survey, uint64_t *mark)
{
    struct warp_memory *memory = audit->config->memory;
    uint32_t count = 0, i;
    uint64_t *indexes;
    int rc;

    *mark = 0;
    if (audit->logs.count == 0) {
        return 0;
    }
    indexes = warp_memory_reserve(memory, audit->logs.count * sizeof(*indexes), 0);
    if (indexes == NULL) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < audit->logs.count; i++) {
        if (audit->logs.files[i].present) {
            indexes[count++] = audit->logs.files[i].number;
        }
    }
    rc = warp_survey_marks(survey, indexes, count, mark);
    warp_memory_release(memory, indexes, audit->logs.count * sizeof(*indexes));
    return rc;
}

/* A file of the log, between the head and the mark, that was not there when the directory was listed. */
static void audit_gap(struct audit *audit, uint64_t first, uint64_t last)
{
    struct warp_manifest now;
    char name[WARP_SEGMENT_NAME_BYTES];

    for (; first < last; first++) {
        warp_segment_name(first, name);
        /* The head may have moved on. Or it was made after the listing. */
        if (audit_is_there(audit, name) ||
            warp_manifest_read(audit->config->disk, &now, NULL, 0) != 0 ||
            now.head_position >= (first + 1) * audit->manifest.segment_bytes) {
            continue;
        }
        audit->report->damages++;
        if (audit->config->damaged != NULL) {
            struct warp_audit_damage damage = {.file = name,
                                               .bytes = UINT64_MAX,
                                               .position =
                                                   first * audit->manifest.segment_bytes,
                                               .what = "the file is missing"};

            audit->config->damaged(audit->config->context, &damage);
        }
    }
}

static int audit_see_named(void *context, uint32_t slot, uint32_t slot_records,
                           const struct warp_checkpoint_entry *entry)
{
    struct audit *audit = context;
    uint32_t low = 0, high = audit->unknown_count;
    char name[WARP_SEGMENT_NAME_BYTES];

    (void)slot;
    (void)slot_records;
    if (warp_place_is_archived(entry->place)) {
        return 0;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (audit->unknown[middle].to <= entry->place) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < audit->unknown_count && entry->place >= audit->unknown[low].from &&
        !warp_survey_entry(audit->survey, entry->place, entry->in_batch, entry->key,
                           entry->key_bytes, entry->value_bytes,
                           entry->expires_at_ms != 0) &&
        audit->survey->rc == 0) {
        warp_segment_name(entry->place / audit->manifest.segment_bytes, name);
        audit_keep(audit, name,
                   WARP_SEGMENT_HEADER_BYTES + entry->place % audit->manifest.segment_bytes,
                   entry->key_bytes + (uint64_t)entry->value_bytes, entry->place,
                   "the entry that a checkpoint names here is damaged");
    }
    return audit->survey->rc;
}

/* Where no chain of frames leads only the checkpoints know what lies there: ask for what they name. */
static int audit_named(struct audit *audit, struct warp_survey *survey)
{
    struct warp_checkpoint_summary found[AUDIT_CHECKPOINTS_MAX];
    uint32_t count = 0, i, k;
    int rc = audit->no_memory ? WARP_ENOMEM : 0;

    audit->survey = survey;
    if (rc == 0 && audit->unknown_count > 0) {
        rc = warp_checkpoint_find(audit->config->disk, audit->config->memory,
                                  &audit->manifest, true, found, AUDIT_CHECKPOINTS_MAX,
                                  &count);
        rc = rc == WARP_ENOMEM ? rc : 0;
    }
    for (i = 0; i < count && rc == 0; i++) {
        struct warp_checkpoint *checkpoint = NULL;
        char name[WARP_CHECKPOINT_NAME_BYTES];

        if (found[i].number < audit->manifest.checkpoint_number ||
            warp_checkpoint_open(&checkpoint, audit->config->disk, audit->config->memory,
                                 &audit->manifest, found[i].number, NULL, 0) < 0) {
            continue;
        }
        for (k = 0; k < warp_checkpoint_section_count(checkpoint) && rc == 0; k++) {
            rc = warp_checkpoint_read_section(checkpoint, k, audit_see_named, audit, NULL);
            /* What is wrong with the checkpoint itself was told. */
            rc = rc == WARP_ENOMEM || survey->rc < 0 ? rc : 0;
        }
        warp_checkpoint_name(found[i].number, name);
        if (!audit_is_there(audit, name)) {
            audit->kept_count = 0; /* what it names may go */
        }
        for (k = 0; k < audit->kept_count; k++) {
            const struct audit_kept kept = audit->kept[k];

            if (audit_is_there(audit, kept.file)) {
                audit_tell(audit, &kept);
            }
        }
        audit->kept_count = 0;
        warp_checkpoint_close(&checkpoint);
    }
    return rc;
}

static int audit_log(struct audit *audit)
{
    uint64_t s = audit->manifest.segment_bytes, head = audit->manifest.head_position;
    uint64_t durable = audit->config->durable, next = head / s;
    struct warp_survey survey;
    uint32_t i;
    int rc;

    rc = warp_survey_init(&survey, audit->config->disk, audit->config->memory,
                          &audit->manifest, &audit_calls, audit);
    survey.direct = audit->config->direct;
    if (rc == 0 && durable == UINT64_MAX) {
        rc = audit_marks(audit, &survey, &durable);
    }
    audit->report->durable = durable;
    survey.mark = durable;
    survey.end = durable;
    for (i = 0; i < audit->logs.count && rc == 0; i++) {
        const struct audit_file *file = &audit->logs.files[i];
        uint64_t base = file->number * s;
        char name[WARP_SEGMENT_NAME_BYTES];

        if (base >= durable || !file->present ||
            (base + s <= head && !file->listed) /* nobody needs it */) {
            continue;
        }
        if (base + s > head) {
            audit_gap(audit, next, file->number);
            next = file->number + 1;
        }
        /* What lies below the head in the head's own file has no use but for the values in it. */
        if (base <= head && head < base + s && !file->listed && audit->head_exact) {
            survey.chain = head;
        } else if (file->number == 0) {
            survey.chain = 0;
        }
        warp_segment_name(file->number, name);
        rc = warp_survey_segment(&survey, file->number, durable);
        if (rc == 0 && !audit_settle(audit, name)) {
            /* What was read last may be of another life of the file. */
            survey.chain = WARP_SURVEY_UNKNOWN;
            survey.broken = false;
            survey.last_index = UINT64_MAX;
        }
    }
    if (rc == 0) {
        rc = audit_named(audit, &survey);
    }
    if (rc == 0 && durable > 0) {
        audit_gap(audit, next, (durable - 1) / s + 1);
    }
    warp_survey_fini(&survey);
    return rc;
}

/* ---- archives --------------------------------------------------------------------------------- */

static int audit_see_entry(void *context, const struct warp_entry *entry, uint64_t sequence,
                           uint64_t place)
{
    struct audit *audit = context;
    struct warp_place at = warp_place_decode(place);

    (void)entry;
    (void)sequence;
    audit->report->entries++;
    if (at.unit == audit->unit) {
        return 0;
    }
    audit->unit = at.unit;
    return audit_pace(audit, (uint64_t)at.units * WARP_ARCHIVE_UNIT_BYTES);
}

static void audit_archive_damaged(void *context, uint64_t offset, uint64_t bytes,
                                  const char *what)
{
    struct audit *audit = context;

    audit_keep(audit, audit->archive, offset, bytes, UINT64_MAX, what);
}

static int audit_archives(struct audit *audit)
{
    uint32_t i;

    for (i = 0; i < audit->archives.count; i++) {
        const struct audit_file *file = &audit->archives.files[i];
        char name[WARP_ARCHIVE_NAME_BYTES];
        int rc;

        if (!file->present) {
            continue;
        }
        warp_archive_name((uint32_t)file->number, name);
        audit->archive = name;
        audit->unit = UINT64_MAX;
        rc = warp_archive_walk(audit->config->disk, audit->config->memory, &audit->manifest,
                               (uint32_t)file->number, audit_see_entry,
                               audit_archive_damaged, audit);
        if (rc == WARP_ENOMEM || audit->rc < 0) {
            return audit->rc < 0 ? audit->rc : rc;
        }
        if (rc < 0) {
            audit_keep(audit, name, 0, UINT64_MAX, UINT64_MAX, warp_error_text(rc));
        }
        (void)audit_settle(audit, name);
    }
    return 0;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int audit_all(struct audit *audit)
{
    const struct warp_audit_config *config = audit->config;
    char message[AUDIT_WHAT_BYTES] = "";
    int rc;

    rc = warp_manifest_read(config->disk, &audit->manifest, message, sizeof(message));
    if (rc == 0 &&
        memcmp(audit->manifest.id, config->manifest->id, sizeof(audit->manifest.id)) != 0) {
        rc = WARP_EFORMAT;
        snprintf(message, sizeof(message), "it is that of another database");
    }
    audit->head_exact = rc == 0;
    if (rc != 0) {
        audit_keep(audit, WARP_MANIFEST_NAME, 0, UINT64_MAX, UINT64_MAX,
                   message[0] != 0 ? message : "it is missing");
        audit->manifest = *config->manifest;
    }
    audit->report->damages += audit->kept_count;
    if (audit->kept_count > 0 && config->damaged != NULL) {
        struct warp_audit_damage damage = {.file = WARP_MANIFEST_NAME,
                                           .bytes = UINT64_MAX,
                                           .position = UINT64_MAX,
                                           .what = audit->kept[0].what};

        config->damaged(config->context, &damage);
    }
    audit->kept_count = 0;
    audit->report->files++;
    rc = config->disk->ops->list(config->disk->context, audit_see, audit);
    if (rc < 0) {
        return warp_error_from_errno(rc);
    }
    audit_sort(&audit->logs);
    audit_sort(&audit->archives);
    rc = audit->no_memory ? WARP_ENOMEM : audit_checkpoints(audit);
    if (rc == 0) {
        rc = audit_log(audit);
    }
    return rc == 0 ? audit_archives(audit) : rc;
}

int warp_audit(const struct warp_audit_config *config, struct warp_audit_report *report)
{
    struct audit *audit = warp_memory_reserve(config->memory, sizeof(*audit), 0);
    int rc;

    memset(report, 0, sizeof(*report));
    if (audit == NULL) {
        return WARP_ENOMEM;
    }
    audit->config = config;
    audit->report = report;
    rc = audit_all(audit);
    warp_memory_release(config->memory, audit->logs.files,
                        audit->logs.capacity * sizeof(struct audit_file));
    warp_memory_release(config->memory, audit->archives.files,
                        audit->archives.capacity * sizeof(struct audit_file));
    warp_memory_release(config->memory, audit->unknown,
                        audit->unknown_capacity * sizeof(struct audit_range));
    warp_memory_release(config->memory, audit, sizeof(*audit));
    return rc;
}
