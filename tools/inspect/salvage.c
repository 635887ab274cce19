/*
 * The happy path: checkpoints fill the table of keys with what they name; archives and log are read
 * once, and each entry is held against the table (salvage_consider); what a checkpoint names and
 * nobody met is asked for by its place; then each row is judged (salvage_choose), and archives and
 * log are read again to hand out what was chosen.
 *
 * Archives come before the log and the log in its order, so a delete need only be kept for keys that
 * have a row already.
 *
 * What can go wrong: everything; each kind of it is skipped and told. A batch with a wrong checksum is
 * taken apart: its entries have checksums of their own.
 */
#include "tools/inspect/salvage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errno.h"
#include "base/hash.h"
#include "tools/inspect/identity.h"
#include "tools/inspect/keys.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"
#include "wal/place.h"
#include "wal/survey.h"

#define SALVAGE_CHECKPOINTS_MAX 8u
#define SALVAGE_UNCOVERED       UINT64_MAX
#define SALVAGE_FRAME_BYTES     48u /* the least that a write takes in the log */

struct salvage_files {
    uint64_t *numbers; /* ascending */
    uint32_t count, capacity;
};

struct salvage {
    const struct salvage_config *config;
    struct salvage_report *report;
    struct identity identity;
    struct salvage_files logs, archives;
    struct keys *keys;
    uint64_t begins[WARP_SLOT_COUNT]; /* of the checkpoint that covers the slot */
    bool damaged[WARP_SLOT_COUNT];    /* in the checkpoint that is being read */
    uint64_t floor;                   /* below it only what is named counts */
    uint64_t sealed_end; /* how far some checkpoint says that the log was durable */
    uint64_t contiguous; /* from here on no log file is missing */
    bool listing;        /* the first time through */
    bool no_memory;
    int rc;              /* of a callback */
    const char *archive; /* the name of the file that is being walked */
    bool archive_damaged;
    struct keys_row **asked; /* rows of which the sequence is looked up, by place */
    uint32_t asked_count;
};

/* ---- what is told ------------------------------------------------------------------------ */

static void salvage_tell(struct salvage *s, const struct salvage_loss *loss)
{
    if (s->config->loss != NULL) {
        s->config->loss(s->config->context, loss);
    }
}

/* A damaged range. It matters if writes may have been lost in it that no checkpoint names. */
static void salvage_range(struct salvage *s, const char *file, uint64_t offset,
                          uint64_t bytes, uint64_t position, bool matters, const char *what)
{
    struct salvage_loss loss = {.kind = SALVAGE_RANGE,
                                .matters = matters,
                                .file = file,
                                .offset = offset,
                                .bytes = bytes,
                                .position = position,
                                .what = what};

    if (!s->listing) {
        return; /* it was told the first time */
    }
    s->report->ranges++;
    s->report->ranges_matter += matters;
    salvage_tell(s, &loss);
}

static void salvage_log_range(struct salvage *s, uint64_t from, uint64_t to,
                              const char *what)
{
    uint64_t segment_bytes = s->identity.manifest.segment_bytes;
    char name[WARP_SEGMENT_NAME_BYTES];

    warp_segment_name(from / segment_bytes, name);
    salvage_range(s, name, WARP_SEGMENT_HEADER_BYTES + from % segment_bytes, to - from,
                  from, to > s->floor, what);
}

static int salvage_pace(void *context, uint64_t bytes)
{
    struct salvage *s = context;

    s->report->bytes_read += bytes;
    if (s->config->pace != NULL) {
        s->rc = s->config->pace(s->config->context, s->report->bytes_read,
                                s->report->bytes_total);
    }
    return s->rc < 0 ? s->rc : 0;
}

/* ---- which files ------------------------------------------------------------------------- */

static int salvage_compare_numbers(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static bool salvage_note(struct salvage_files *files, uint64_t number)
{
    if (files->count == files->capacity) {
        uint32_t capacity = files->capacity * 2 + 64;
        uint64_t *more = realloc(files->numbers, capacity * sizeof(*more));

        if (more == NULL) {
            return false;
        }
        files->numbers = more;
        files->capacity = capacity;
    }
    files->numbers[files->count++] = number;
    return true;
}

static bool salvage_number(const char *name, const char *prefix, uint64_t *number)
{
    size_t bytes = strlen(prefix);
    char *end = NULL;
    char digits[17];

    if (strncmp(name, prefix, bytes) != 0 || strlen(name) != bytes + 21 ||
        strcmp(name + bytes + 16, ".warp") != 0) {
        return false;
    }
    memcpy(digits, name + bytes, 16);
    digits[16] = '\0';
    *number = strtoull(digits, &end, 16);
    return end == digits + 16 && strspn(digits, "0123456789abcdef") == 16;
}

static int salvage_visit_file(void *context, const char *name, uint64_t bytes)
{
    struct salvage *s = context;
    struct salvage_files *files = NULL;
    uint64_t number = 0;

    if (salvage_number(name, "log-", &number) &&
        number < (UINT64_C(1) << 62) / s->identity.manifest.segment_bytes) {
        files = &s->logs;
    } else if (salvage_number(name, "archive-", &number) && number < WARP_PLACE_FILES_MAX) {
        files = &s->archives;
    }
    if (files != NULL) {
        s->report->bytes_total += 2 * bytes;
        s->no_memory = s->no_memory || !salvage_note(files, number);
    }
    return 0;
}

/* Log files that say that they are another database's, and mean it. */
static void salvage_set_aside(struct salvage *s)
{
    const struct warp_disk *disk = s->config->disk;
    uint32_t kept = 0, i;

    for (i = 0; i < s->logs.count; i++) {
        char name[WARP_SEGMENT_NAME_BYTES];
        uint8_t header[WARP_SEGMENT_HEADER_BYTES];
        uint32_t offset = 0;
        int64_t got = 0;
        int32_t file;

        warp_segment_name(s->logs.numbers[i], name);
        file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
        if (file >= 0) {
            got = disk->ops->read(disk->context, file, header, sizeof(header), 0);
            disk->ops->close(disk->context, file);
        }
        if (got == (int64_t)sizeof(header) &&
            warp_survey_header(&s->identity.manifest, header, s->logs.numbers[i],
                               &offset) != NULL &&
            offset == WARP_SURVEY_ID_OFFSET) {
            salvage_range(s, name, 0, UINT64_MAX, UINT64_MAX, false,
                          "this log file belongs to another database");
        } else {
            s->logs.numbers[kept++] = s->logs.numbers[i];
        }
    }
    s->logs.count = kept;
}

static int salvage_list(struct salvage *s)
{
    const struct warp_disk *disk = s->config->disk;
    int rc = disk->ops->list(disk->context, salvage_visit_file, s);

    if (rc < 0) {
        return warp_error_from_errno(rc);
    }
    salvage_set_aside(s);
    if (s->logs.count > 1) {
        qsort(s->logs.numbers, s->logs.count, sizeof(uint64_t), salvage_compare_numbers);
    }
    if (s->archives.count > 1) {
        qsort(s->archives.numbers, s->archives.count, sizeof(uint64_t),
              salvage_compare_numbers);
    }
    return s->no_memory ? WARP_ENOMEM : 0;
}

static bool salvage_has(const struct salvage_files *files, uint64_t number)
{
    return files->count > 0 && bsearch(&number, files->numbers, files->count,
                                       sizeof(number), salvage_compare_numbers) != NULL;
}

/* ---- checkpoints --------------------------------------------------------------------------- */

static struct keys_row *salvage_row(struct salvage *s, const void *key, uint32_t key_bytes)
{
    struct keys_row *row = keys_add(s->keys, key, key_bytes);

    s->no_memory = s->no_memory || row == NULL;
    return row;
}

static int salvage_visit_named(void *context, uint32_t slot, uint32_t slot_records,
                               const struct warp_checkpoint_entry *entry)
{
    struct salvage *s = context;
    struct keys_row *row;

    (void)slot_records;
    if (warp_hash_slot(entry->key, entry->key_bytes) != slot) {
        return WARP_EDAMAGED;
    }
    if (s->begins[slot] != SALVAGE_UNCOVERED) {
        return 0; /* a newer one knows better */
    }
    row = keys_find(s->keys, entry->key, entry->key_bytes);
    if (row == NULL) {
        row = salvage_row(s, entry->key, entry->key_bytes);
    }
    if (row == NULL) {
        return WARP_ENOMEM;
    }
    row->named = entry->place;
    return 0;
}

/* Read what is readable, and note which slots it has whole. */
static int salvage_checkpoint(struct salvage *s, uint64_t number)
{
    struct warp_checkpoint *checkpoint = NULL;
    const struct warp_checkpoint_summary *summary;
    char name[WARP_CHECKPOINT_NAME_BYTES], message[256] = "";
    uint32_t i, first, last, records, slot;
    bool whole = true;
    int rc;

    warp_checkpoint_name(number, name);
    rc = warp_checkpoint_open(&checkpoint, s->config->disk, s->config->memory,
                              &s->identity.manifest, number, message, sizeof(message));
    if (rc == WARP_ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        s->report->checkpoints_damaged += rc != WARP_EFORMAT;
        salvage_range(s, name, 0, UINT64_MAX, UINT64_MAX, false,
                      message[0] != 0 ? message : warp_error_text(rc));
        return 0;
    }
    summary = warp_checkpoint_summary(checkpoint);
    memset(s->damaged, 0, sizeof(s->damaged));
    for (i = 0; i < warp_checkpoint_section_count(checkpoint) && !s->no_memory; i++) {
        uint64_t offset = 0;

        warp_checkpoint_section_slots(checkpoint, i, &first, &last, &records);
        rc = warp_checkpoint_read_section(checkpoint, i, salvage_visit_named, s, &offset);
        if (rc == WARP_ENOMEM) {
            s->no_memory = true;
        } else if (rc < 0) {
            salvage_range(s, name, offset, UINT64_MAX, UINT64_MAX, false,
                          rc == WARP_EDAMAGED ? "the section is damaged"
                                              : "the section cannot be read");
            whole = false;
            for (slot = first; slot <= last && slot < WARP_SLOT_COUNT; slot++) {
                s->damaged[slot] = true;
            }
        }
    }
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        if (s->begins[slot] == SALVAGE_UNCOVERED && !s->damaged[slot]) {
            s->begins[slot] = summary->begin;
            s->report->slots_covered++;
        }
    }
    s->sealed_end = summary->end > s->sealed_end ? summary->end : s->sealed_end;
    s->report->checkpoints_used++;
    s->report->checkpoints_damaged += !whole;
    warp_checkpoint_close(&checkpoint);
    return s->no_memory ? WARP_ENOMEM : 0;
}

static int salvage_checkpoints(struct salvage *s)
{
    struct warp_checkpoint_summary found[SALVAGE_CHECKPOINTS_MAX];
    uint32_t count = 0, slot, i;
    int rc;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        s->begins[slot] = SALVAGE_UNCOVERED;
    }
    rc = warp_checkpoint_find(s->config->disk, s->config->memory, &s->identity.manifest,
                              true, found, SALVAGE_CHECKPOINTS_MAX, &count);
    for (i = 0; i < count && rc == 0; i++) {
        if (found[i].number < s->identity.manifest.checkpoint_number) {
            break; /* left over: what it names may be gone */
        }
        rc = salvage_checkpoint(s, found[i].number);
    }
    if (rc < 0) {
        return rc;
    }
    if (s->report->checkpoints_used == 0 && s->identity.manifest.checkpoint_number != 0 &&
        s->report->checkpoints_damaged == 0) {
        char name[WARP_CHECKPOINT_NAME_BYTES];

        warp_checkpoint_name(s->identity.manifest.checkpoint_number, name);
        salvage_range(s, name, 0, UINT64_MAX, UINT64_MAX, false, "the file is missing");
    }
    s->floor = UINT64_MAX;
    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        uint64_t begin = s->begins[slot] == SALVAGE_UNCOVERED ? 0 : s->begins[slot];

        s->floor = begin < s->floor ? begin : s->floor;
    }
    return 0;
}

/* ---- what is readable ---------------------------------------------------------------------- */

/* One entry that is good, and where it lies. */
static int salvage_consider(struct salvage *s, const struct warp_entry *entry,
                            uint64_t sequence, uint64_t place)
{
    struct keys_row *row = keys_find(s->keys, entry->key, entry->key_bytes);
    bool is_delete = entry->kind == WARP_ENTRY_DELETE;

    if (row == NULL || row->named == 0) {
        uint32_t slot =
            row != NULL ? row->slot : warp_hash_slot(entry->key, entry->key_bytes);
        uint64_t begin = s->begins[slot];

        if (begin != SALVAGE_UNCOVERED && sequence < begin) {
            return 0; /* the checkpoint knows of no such key: deleted since */
        }
        if (row == NULL) {
            if (is_delete) {
                return 0;
            }
            row = salvage_row(s, entry->key, entry->key_bytes);
            if (row == NULL) {
                return WARP_ENOMEM;
            }
        }
    }
    if (place == row->named && !is_delete) {
        row->flags |= KEYS_CONFIRMED;
    }
    if (sequence > row->sequence || (sequence == row->sequence && place == row->named)) {
        row->sequence = sequence;
        row->place = place;
        row->flags &= ~(uint32_t)KEYS_DELETE;
        row->flags |= is_delete ? KEYS_DELETE : 0u;
    }
    return 0;
}

enum salvage_choice {
    SALVAGE_NONE,  /* deleted */
    SALVAGE_TAKE,  /* the newest */
    SALVAGE_STAND, /* an older one, or one that may be older */
    SALVAGE_MISS,  /* there was one, and none is readable */
};

/* What the key is worth; *place: where the version lies that is taken. */
static enum salvage_choice salvage_choose(const struct salvage *s,
                                          const struct keys_row *row, uint64_t *place)
{
    uint64_t begin = s->begins[row->slot];
    bool in_log = row->named != 0 && !warp_place_is_archived(row->named);
    bool newer_lost = in_log && row->named > row->sequence;
    bool is_delete = (row->flags & KEYS_DELETE) != 0;
    bool follows = begin == SALVAGE_UNCOVERED || row->sequence >= begin;

    if (row->named != 0 && (row->flags & KEYS_CONFIRMED) != 0 &&
        (newer_lost || !follows || (in_log && row->named == row->sequence))) {
        *place = row->named;
        return SALVAGE_TAKE;
    }
    if (row->sequence == 0) {
        return SALVAGE_MISS;
    }
    *place = row->place;
    if (row->named == 0 || (in_log && !newer_lost) || (!in_log && follows) ||
        (row->flags & KEYS_SAME) != 0) {
        return is_delete ? SALVAGE_NONE : SALVAGE_TAKE;
    }
    return is_delete ? SALVAGE_MISS : SALVAGE_STAND;
}

/* One entry the second time. */
static int salvage_hand_out(struct salvage *s, const struct warp_entry *entry,
                            uint64_t place)
{
    struct keys_row *row = keys_find(s->keys, entry->key, entry->key_bytes);
    enum salvage_choice choice;
    uint64_t chosen = 0;
    int rc;

    if (row == NULL || (row->flags & KEYS_STORED) != 0 || entry->kind != WARP_ENTRY_PUT) {
        return 0;
    }
    choice = salvage_choose(s, row, &chosen);
    if ((choice != SALVAGE_TAKE && choice != SALVAGE_STAND) || chosen != place) {
        return 0;
    }
    row->flags |= KEYS_STORED;
    if (entry->expires_at_ms != 0 && entry->expires_at_ms <= s->config->now_ms) {
        s->report->expired++;
        return 0;
    }
    rc = s->config->store(
        s->config->context, (struct warp_slice){entry->key, entry->key_bytes},
        (struct warp_slice){entry->value, entry->value_bytes}, entry->expires_at_ms);
    if (rc < 0) {
        s->rc = rc;
        return rc;
    }
    s->report->stored++;
    return 0;
}

static int salvage_entry(struct salvage *s, const struct warp_entry *entry,
                         uint64_t sequence, uint64_t place)
{
    return s->listing ? salvage_consider(s, entry, sequence, place)
                      : salvage_hand_out(s, entry, place);
}

/* ---- archives ------------------------------------------------------------------------------- */

struct salvage_walk {
    struct salvage *s;
    uint64_t unit; /* of the block that was read last */
};

static int salvage_visit_entry(void *context, const struct warp_entry *entry,
                               uint64_t sequence, uint64_t place)
{
    struct salvage_walk *walk = context;
    struct warp_place at = warp_place_decode(place);
    int rc = salvage_entry(walk->s, entry, sequence, place);

    if (rc == 0 && at.unit != walk->unit) {
        walk->unit = at.unit;
        rc = salvage_pace(walk->s, (uint64_t)at.units * WARP_ARCHIVE_UNIT_BYTES);
    }
    return rc;
}

static void salvage_archive_damaged(void *context, uint64_t offset, uint64_t bytes,
                                    const char *what)
{
    struct salvage_walk *walk = context;
    struct salvage *s = walk->s;

    s->archive_damaged = true;
    /* With all slots covered whatever was in it is known by its key. */
    salvage_range(s, s->archive, offset, bytes, UINT64_MAX,
                  s->report->slots_covered < WARP_SLOT_COUNT, what);
}

static int salvage_archives(struct salvage *s)
{
    uint32_t i;

    for (i = 0; i < s->archives.count; i++) {
        struct salvage_walk walk = {.s = s, .unit = UINT64_MAX};
        char name[WARP_ARCHIVE_NAME_BYTES];
        int rc;

        warp_archive_name((uint32_t)s->archives.numbers[i], name);
        s->archive = name;
        rc = warp_archive_walk(s->config->disk, s->config->memory, &s->identity.manifest,
                               (uint32_t)s->archives.numbers[i], salvage_visit_entry,
                               salvage_archive_damaged, &walk);
        if (rc == WARP_ENOMEM || s->rc < 0) {
            return s->rc < 0 ? s->rc : rc;
        }
        if (rc < 0) {
            salvage_range(s, name, 0, UINT64_MAX, UINT64_MAX,
                          rc != WARP_EFORMAT && s->report->slots_covered < WARP_SLOT_COUNT,
                          rc == WARP_EFORMAT ? "it is no archive of this database"
                                             : warp_error_text(rc));
            s->archive_damaged = true;
        }
    }
    return 0;
}

/* ---- the log --------------------------------------------------------------------------------- */

/*
 * Entries from `offset` of a batch on, `count` of them at most, each with a right checksum, that end
 * where the body ends: how many, or 0 if they do not. They are taken if `take`.
 */
static uint32_t salvage_chain(struct salvage *s, const struct warp_frame *frame,
                              const uint8_t *body, uint32_t offset, uint32_t count,
                              bool take, int *rc)
{
    struct warp_entry entry;
    uint32_t found = 0;
    size_t bytes;

    while (found < count && offset < frame->body_bytes &&
           warp_entry_decode(body + offset, frame->body_bytes - offset, &entry, &bytes) ==
               0 &&
           (entry.flags & WARP_ENTRY_HAS_CHECKSUM) != 0) {
        if (take && *rc == 0) {
            uint64_t at = frame->position + WARP_FRAME_HEADER_BYTES + offset;

            *rc = salvage_entry(s, &entry, at, at);
        }
        offset += (uint32_t)bytes;
        found++;
    }
    return offset == frame->body_bytes ? found : 0;
}

/*
 * A batch whose checksum is wrong. Entry for entry, each by its own checksum. Behind one that is
 * damaged the rest is found again if from some byte on there are just as many good ones as must follow,
 * up to the very end: then they are the ones.
 */
static int salvage_broken_batch(struct salvage *s, const struct warp_frame *frame,
                                const uint8_t *body)
{
    uint32_t offset = WARP_FRAME_BATCH_HEADER_BYTES, left, taken = 0, count;
    uint64_t looked = 0;
    struct warp_entry entry;
    size_t bytes;
    int rc = 0;

    if (frame->body_bytes < WARP_FRAME_BATCH_HEADER_BYTES) {
        return 0;
    }
    count = warp_load_u32le(body);
    while (rc == 0 && offset < frame->body_bytes &&
           warp_entry_decode(body + offset, frame->body_bytes - offset, &entry, &bytes) ==
               0 &&
           (entry.flags & WARP_ENTRY_HAS_CHECKSUM) != 0) {
        uint64_t at = frame->position + WARP_FRAME_HEADER_BYTES + offset;

        rc = salvage_entry(s, &entry, at, at);
        offset += (uint32_t)bytes;
        taken++;
    }
    if (offset == frame->body_bytes || count < taken + 2) {
        left = 0;
    } else {
        left = count - taken - 1;
    }
    for (offset++; rc == 0 && left > 0 && offset < frame->body_bytes; offset++) {
        const uint8_t *at = body + offset;

        if ((at[0] != WARP_ENTRY_PUT && at[0] != WARP_ENTRY_DELETE) ||
            (frame->body_bytes - offset > 1 && (at[1] & WARP_ENTRY_HAS_CHECKSUM) == 0)) {
            continue;
        }
        looked += frame->body_bytes - offset;
        if (looked > 64 * (uint64_t)frame->body_bytes) {
            break; /* somebody has made it look like entries everywhere */
        }
        if (salvage_chain(s, frame, body, offset, left + 1, false, &rc) == left) {
            taken += salvage_chain(s, frame, body, offset, left, true, &rc);
            break;
        }
    }
    if (s->listing) {
        s->report->batches_partial++;
        if (frame->position >= s->floor) {
            s->report->writes_lost +=
                count > taken && count <= WARP_BATCH_OPERATIONS_MAX ? count - taken : 1;
        }
    }
    return rc;
}

struct salvage_read {
    struct salvage *s;
    uint64_t lost_to; /* the damaged range that was told last ends here */
};

static void salvage_frame(void *context, const struct warp_frame *frame,
                          const uint8_t *body, enum warp_survey_body state)
{
    struct salvage_read *read = context;
    struct salvage *s = read->s;
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence;
    int rc;

    if (s->no_memory || s->rc < 0 ||
        (frame->kind != WARP_FRAME_RECORD && frame->kind != WARP_FRAME_BATCH)) {
        return;
    }
    rc = 0;
    if (state == WARP_SURVEY_GOOD) {
        rc = warp_frame_cursor_init(&cursor, frame, body);
        while (rc == 0 && (rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
            rc = salvage_entry(s, &entry, sequence, sequence);
        }
    } else if (state == WARP_SURVEY_BAD && frame->kind == WARP_FRAME_BATCH) {
        rc = salvage_broken_batch(s, frame, body);
    } else if (s->listing) {
        if (state == WARP_SURVEY_PARTIAL) {
            salvage_log_range(s, frame->position,
                              frame->position + warp_frame_bytes(frame->body_bytes),
                              "the frame reaches into a file that is not there");
        }
        s->report->writes_lost += frame->position >= s->floor;
    }
    s->no_memory = s->no_memory || rc == WARP_ENOMEM;
}

static void salvage_log_damaged(void *context, uint64_t from, uint64_t to, const char *what)
{
    struct salvage_read *read = context;
    struct salvage *s = read->s;

    salvage_log_range(s, from, to, what);
    if (s->listing && to > s->floor && strcmp(what, "the body's checksum is wrong") != 0) {
        uint64_t begin = from > s->floor ? from : s->floor;

        s->report->writes_lost_most +=
            (to - begin + SALVAGE_FRAME_BYTES - 1) / SALVAGE_FRAME_BYTES;
    }
}

static void salvage_log_file(void *context, const char *name, uint64_t offset,
                             uint64_t bytes, const char *what)
{
    struct salvage_read *read = context;

    /* What it does to the log is told with the log. */
    salvage_range(read->s, name, offset, bytes, UINT64_MAX, false, what);
}

static int salvage_log_pace(void *context, uint64_t bytes)
{
    struct salvage_read *read = context;
    struct salvage *s = read->s;

    return s->no_memory ? WARP_ENOMEM : s->rc < 0 ? s->rc : salvage_pace(s, bytes);
}

static const struct warp_survey_calls salvage_calls = {
    .frame = salvage_frame,
    .damaged = salvage_log_damaged,
    .file_damaged = salvage_log_file,
    .pace = salvage_log_pace,
};

/* Log that should be there and is not: files [first, last). */
static void salvage_missing(struct salvage *s, uint64_t first, uint64_t last)
{
    uint64_t segment_bytes = s->identity.manifest.segment_bytes;
    uint64_t from = first * segment_bytes, to = last * segment_bytes;

    if (to <= s->floor || first >= last) {
        return; /* given back, or else what was named in it is told */
    }
    from = from < s->floor ? s->floor : from;
    salvage_log_range(s, from, to,
                      first + 1 == last ? "the file is missing" : "the files are missing");
    if (s->listing) {
        s->report->writes_lost_most +=
            (to - from + SALVAGE_FRAME_BYTES - 1) / SALVAGE_FRAME_BYTES;
    }
}

/* The records of a checkpoint that nobody met, by their places: entries of batches. */
static void salvage_direct(struct salvage *s, struct warp_survey *survey)
{
    uint32_t i;

    for (i = 0; i < keys_count(s->keys) && survey->rc == 0 && s->rc == 0; i++) {
        struct keys_row *row = keys_at(s->keys, i);
        const uint8_t *bytes;
        struct warp_entry entry;
        uint64_t entry_bytes;
        uint8_t flags;
        size_t length;
        bool wanted = (row->flags & KEYS_CONFIRMED) == 0 && row->sequence < row->named;

        if (!s->listing) {
            wanted = (row->flags & (KEYS_DIRECT | KEYS_STORED)) == KEYS_DIRECT;
        }
        if (!wanted || row->named == 0 || warp_place_is_archived(row->named)) {
            continue;
        }
        bytes = warp_survey_look(survey, row->named, WARP_ENTRY_HEADER_BYTES_MIN);
        if (bytes == NULL || (bytes[1] & WARP_ENTRY_HAS_CHECKSUM) == 0 ||
            bytes[0] != WARP_ENTRY_PUT ||
            warp_load_u32le(bytes + 4) > WARP_VALUE_BYTES_MAX) {
            continue;
        }
        flags = bytes[1] & WARP_ENTRY_FLAGS_ALL;
        entry_bytes = warp_entry_bytes(flags, warp_load_u16le(bytes + 2) + 1u,
                                       warp_load_u32le(bytes + 4));
        bytes = warp_survey_look(survey, row->named, entry_bytes);
        if (bytes == NULL || warp_entry_decode(bytes, entry_bytes, &entry, &length) != 0 ||
            entry.key_bytes != row->key_bytes ||
            memcmp(entry.key, row->key, row->key_bytes) != 0) {
            continue;
        }
        if (s->listing) {
            row->flags |= KEYS_DIRECT;
        }
        (void)salvage_entry(s, &entry, row->named, row->named);
    }
}

static int salvage_log(struct salvage *s)
{
    uint64_t segment_bytes = s->identity.manifest.segment_bytes, next = 0, end;
    struct salvage_read read = {.s = s};
    struct warp_survey survey;
    uint64_t mark = 0;
    uint32_t i;
    int rc;

    rc = warp_survey_init(&survey, s->config->disk, s->config->memory,
                          &s->identity.manifest, &salvage_calls, &read);
    if (rc == 0) {
        rc = warp_survey_marks(&survey, s->logs.numbers, s->logs.count, &mark);
    }
    survey.mark = mark > s->sealed_end ? mark : s->sealed_end;
    next = s->floor / segment_bytes;
    for (i = 0; i < s->logs.count && rc == 0 && !survey.ended; i++) {
        uint64_t number = s->logs.numbers[i];

        if (number == 0) {
            survey.chain = 0;
        }
        if (number > next) {
            salvage_missing(s, next, number);
        }
        rc = warp_survey_segment(&survey, number, UINT64_MAX);
        next = number + 1 > next ? number + 1 : next;
    }
    end = survey.ended || survey.chain != WARP_SURVEY_UNKNOWN ? survey.chain
                                                              : next * segment_bytes;
    if (rc == 0 && end < survey.mark) {
        /* It was durable further on. */
        salvage_log_range(s, end, survey.mark,
                          "the log ends here, and was durable further on");
        if (s->listing) {
            s->report->writes_lost_most +=
                (survey.mark - end + SALVAGE_FRAME_BYTES - 1) / SALVAGE_FRAME_BYTES;
        }
    }
    if (rc == 0) {
        salvage_direct(s, &survey);
        rc = survey.rc;
    }
    warp_survey_fini(&survey);
    if (s->rc < 0) {
        return s->rc;
    }
    return s->no_memory ? WARP_ENOMEM : rc;
}

/* ---- the sequences of what archives have lost -------------------------------------------------- */

static int salvage_compare_places(const void *left, const void *right)
{
    const struct keys_row *const *a = left, *const *b = right;

    return ((*a)->named > (*b)->named) - ((*a)->named < (*b)->named);
}

static int salvage_visit_index(void *context, uint32_t slot, uint64_t hash,
                               uint64_t sequence, uint64_t place)
{
    struct salvage *s = context;
    struct keys_row key = {.named = place}, *pointer = &key, **found;

    (void)slot;
    (void)hash;
    found = bsearch(&pointer, s->asked, s->asked_count, sizeof(struct keys_row *),
                    salvage_compare_places);
    if (found != NULL && (*found)->sequence == sequence) {
        (*found)->flags |= KEYS_SAME;
    }
    return 0;
}

/*
 * The version that a checkpoint names in an archive cannot be read, and there is another one: the index
 * of the archive, if it is whole, knows whether that is the same.
 */
static int salvage_ask(struct salvage *s)
{
    uint32_t i, count = 0;

    for (i = 0; i < keys_count(s->keys); i++) {
        const struct keys_row *row = keys_at(s->keys, i);

        count += warp_place_is_archived(row->named) && row->sequence != 0 &&
                 (row->flags & KEYS_CONFIRMED) == 0;
    }
    if (count == 0) {
        return 0;
    }
    s->asked = malloc(count * sizeof(struct keys_row *));
    if (s->asked == NULL) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < keys_count(s->keys) && s->asked_count < count; i++) {
        struct keys_row *row = keys_at(s->keys, i);

        if (warp_place_is_archived(row->named) && row->sequence != 0 &&
            (row->flags & KEYS_CONFIRMED) == 0) {
            s->asked[s->asked_count++] = row;
        }
    }
    qsort(s->asked, s->asked_count, sizeof(struct keys_row *), salvage_compare_places);
    for (i = 0; i < s->archives.count; i++) {
        if (warp_archive_list(s->config->disk, s->config->memory, &s->identity.manifest,
                              (uint32_t)s->archives.numbers[i], salvage_visit_index,
                              s) == WARP_ENOMEM) {
            return WARP_ENOMEM;
        }
    }
    return 0;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static void salvage_tell_key(struct salvage *s, const struct keys_row *row,
                             enum salvage_loss_kind kind, const char *what)
{
    uint64_t segment_bytes = s->identity.manifest.segment_bytes;
    struct salvage_loss loss = {.kind = kind,
                                .matters = true,
                                .file = "",
                                .bytes = UINT64_MAX,
                                .position = UINT64_MAX,
                                .what = what,
                                .key = {row->key, row->key_bytes}};
    char name[WARP_CHECKPOINT_NAME_BYTES];

    if (kind != SALVAGE_DOUBTFUL && row->named != 0) {
        if (warp_place_is_archived(row->named)) {
            struct warp_place place = warp_place_decode(row->named);

            warp_archive_name(place.file, name);
            loss.offset = (uint64_t)place.unit * WARP_ARCHIVE_UNIT_BYTES;
        } else {
            warp_segment_name(row->named / segment_bytes, name);
            loss.offset = WARP_SEGMENT_HEADER_BYTES + row->named % segment_bytes;
            loss.position = row->named;
        }
        loss.file = name;
    }
    salvage_tell(s, &loss);
}

/* Each row, once all was read: what is lost. */
static void salvage_judge(struct salvage *s)
{
    uint32_t i;

    for (i = 0; i < keys_count(s->keys); i++) {
        const struct keys_row *row = keys_at(s->keys, i);
        uint64_t place = 0;

        switch (salvage_choose(s, row, &place)) {
        case SALVAGE_NONE:
            break;
        case SALVAGE_TAKE:
            if (s->begins[row->slot] == SALVAGE_UNCOVERED &&
                row->sequence < s->contiguous) {
                s->report->doubtful++;
                salvage_tell_key(s, row, SALVAGE_DOUBTFUL,
                                 "no checkpoint says that it was still there");
            }
            break;
        case SALVAGE_STAND:
            s->report->older++;
            salvage_tell_key(s, row, SALVAGE_OLDER,
                             "the newest version cannot be read: an older one is taken");
            break;
        case SALVAGE_MISS:
            s->report->lost++;
            salvage_tell_key(s, row, SALVAGE_LOST, "no version of it can be read");
            break;
        }
    }
}

/* What was chosen the first time and could not be read the second time. */
static void salvage_recount(struct salvage *s)
{
    uint32_t i;

    for (i = 0; i < keys_count(s->keys); i++) {
        const struct keys_row *row = keys_at(s->keys, i);
        enum salvage_choice choice;
        uint64_t place = 0;

        choice = salvage_choose(s, row, &place);
        if ((choice == SALVAGE_TAKE || choice == SALVAGE_STAND) &&
            (row->flags & KEYS_STORED) == 0) {
            s->report->lost++;
            salvage_tell_key(s, row, SALVAGE_LOST,
                             "it could be read once, and not a second time");
        }
    }
}

/* Archives that records lie in, and that are not there: once each. */
static bool salvage_tell_missing_archives(struct salvage *s)
{
    struct salvage_files told = {0};
    uint32_t i, k;
    bool done = true;

    for (i = 0; i < keys_count(s->keys) && done; i++) {
        const struct keys_row *row = keys_at(s->keys, i);
        char name[WARP_ARCHIVE_NAME_BYTES];
        uint64_t number;

        if (row->named == 0 || !warp_place_is_archived(row->named)) {
            continue;
        }
        number = warp_place_decode(row->named).file;
        if (salvage_has(&s->archives, number)) {
            continue;
        }
        for (k = 0; k < told.count && told.numbers[k] != number; k++) {
        }
        if (k == told.count) {
            warp_archive_name((uint32_t)number, name);
            salvage_range(s, name, 0, UINT64_MAX, UINT64_MAX, false, "the file is missing");
            done = salvage_note(&told, number);
        }
    }
    free(told.numbers);
    return done;
}

static int salvage_all(struct salvage *s)
{
    uint64_t segment_bytes = s->identity.manifest.segment_bytes;
    uint32_t i;
    int rc;

    s->listing = true;
    rc = salvage_list(s);
    if (rc == 0) {
        rc = salvage_checkpoints(s);
    }
    for (i = s->logs.count; i > 0; i--) {
        s->contiguous = s->logs.numbers[i - 1] * segment_bytes;
        if (i > 1 && s->logs.numbers[i - 2] + 1 != s->logs.numbers[i - 1]) {
            break;
        }
    }
    if (s->logs.count == 0) {
        s->contiguous = UINT64_MAX;
    }
    if (rc == 0) {
        rc = salvage_archives(s);
    }
    if (rc == 0) {
        rc = salvage_log(s);
    }
    if (rc == 0) {
        rc = salvage_ask(s);
    }
    if (rc == 0 && !salvage_tell_missing_archives(s)) {
        rc = WARP_ENOMEM;
    }
    if (rc < 0) {
        return rc;
    }
    salvage_judge(s);
    s->listing = false;
    rc = salvage_archives(s);
    if (rc == 0) {
        rc = salvage_log(s);
    }
    if (rc == 0) {
        salvage_recount(s);
    }
    return rc;
}

int salvage_run(const struct salvage_config *config, struct salvage_report *report)
{
    struct salvage *s = calloc(1, sizeof(*s));
    int rc;

    memset(report, 0, sizeof(*report));
    if (s == NULL) {
        return WARP_ENOMEM;
    }
    s->config = config;
    s->report = report;
    rc = identity_find(&s->identity, config->disk);
    report->manifest_rebuilt = s->identity.rebuilt;
    snprintf(report->manifest_why, sizeof(report->manifest_why), "%s", s->identity.why);
    report->foreign_files = s->identity.foreign;
    if (rc == 0) {
        /* An older manifest may have been put back: whatever it says, frames decide. */
        s->identity.manifest.epoch = UINT32_MAX;
        rc = keys_create(&s->keys);
    }
    if (rc == 0) {
        rc = salvage_all(s);
    }
    keys_destroy(&s->keys);
    free(s->asked);
    free(s->logs.numbers);
    free(s->archives.numbers);
    free(s);
    return rc;
}
