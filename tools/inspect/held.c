/*
 * Log that is not replayed: segments below the head, kept for the values in them.
 *
 * They may have gaps between them, so they are surveyed (wal/survey) file by file. What lies before
 * the first header of one whose predecessor is gone is counted as such; what a checkpoint names in it is
 * asked for by its place, and the rest of it nobody needs.
 *
 * The same serves for the log itself when it has lost a file. But its tail may hold what a crash
 * left, so there only that counts as damage which lies below a mark that some header carries, or
 * below the end of a checkpoint.
 */
#include <stdlib.h>

#include "tools/inspect/verify.h"
#include "wal/checkpoint.h"
#include "wal/frame.h"
#include "wal/place.h"
#include "wal/survey.h"

static void held_frame(void *context, const struct warp_frame *frame, const uint8_t *body,
                       enum warp_survey_body state)
{
    struct verify *v = context;
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence;
    int rc;

    v->held_frames++;
    if (state != WARP_SURVEY_GOOD) {
        return;
    }
    rc = warp_frame_cursor_init(&cursor, frame, body);
    while (rc == 0 && (rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
        rc = 0;
    }
    if (rc < 0) {
        warp_verify_damaged_log(v, frame->position,
                                frame->position + warp_frame_bytes(frame->body_bytes),
                                "the checksum is right, but the entries make no sense");
    }
}

static void held_damaged(void *context, uint64_t from, uint64_t to, const char *what)
{
    warp_verify_damaged_log(context, from, to, what);
}

/* What the survey cannot tell, noted for held_named(). */
static void held_unknown(void *context, uint64_t from, uint64_t to)
{
    struct verify *v = context;

    if (v->unknown_count == v->unknown_capacity) {
        uint32_t capacity = v->unknown_capacity * 2 + 16;
        struct verify_range *more = realloc(v->unknown, capacity * sizeof(*more));

        if (more == NULL) {
            v->no_memory = true;
            return;
        }
        v->unknown = more;
        v->unknown_capacity = capacity;
    }
    v->unknown[v->unknown_count++] = (struct verify_range){from, to};
}

static void held_file_damaged(void *context, const char *name, uint64_t offset,
                              uint64_t bytes, const char *what)
{
    warp_verify_damaged(context, name, offset, bytes, what);
}

static int held_pace(void *context, uint64_t bytes)
{
    struct verify *v = context;

    meter_add(&v->meter, bytes);
    return 0;
}

static const struct warp_survey_calls held_calls = {
    .frame = held_frame,
    .damaged = held_damaged,
    .unknown = held_unknown,
    .file_damaged = held_file_damaged,
    .pace = held_pace,
};

struct held_walk {
    struct verify *v;
    struct warp_survey *survey;
};

static int held_visit(void *context, uint32_t slot, uint32_t slot_records,
                      const struct warp_checkpoint_entry *entry)
{
    struct held_walk *walk = context;
    struct verify *v = walk->v;
    uint32_t low = 0, high = v->unknown_count;

    (void)slot;
    (void)slot_records;
    if (warp_place_is_archived(entry->place)) {
        return 0;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (v->unknown[middle].to <= entry->place) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == v->unknown_count || entry->place < v->unknown[low].from ||
        warp_survey_entry(walk->survey, entry->place, entry->in_batch, entry->key,
                          entry->key_bytes, entry->value_bytes,
                          entry->expires_at_ms != 0)) {
        return walk->survey->rc;
    }
    if (walk->survey->rc == 0) {
        warp_verify_damaged_log(v, entry->place,
                                entry->place + entry->key_bytes + entry->value_bytes,
                                "the entry that a checkpoint names here is damaged");
    }
    return walk->survey->rc;
}

/*
 * Where no chain of frames leads, only the checkpoints know what lies there: each entry that one of
 * them names in such a range is asked for.
 */
static int held_named(struct verify *v, struct warp_survey *survey)
{
    struct held_walk walk = {.v = v, .survey = survey};
    uint32_t i, k;
    int rc = v->no_memory ? WARP_ENOMEM : 0;

    for (i = 0; i < v->checkpoint_count && rc == 0 && v->unknown_count > 0; i++) {
        struct warp_checkpoint *checkpoint = NULL;

        if (!v->checkpoints[i].good ||
            warp_checkpoint_open(&checkpoint, &v->disk, &v->memory, &v->manifest,
                                 v->checkpoints[i].summary.number, NULL, 0) < 0) {
            continue;
        }
        for (k = 0; k < v->checkpoints[i].sections && rc == 0; k++) {
            rc = warp_checkpoint_read_section(checkpoint, k, held_visit, &walk, NULL);
            rc = rc == WARP_ENOMEM ? rc : 0;
        }
        warp_checkpoint_close(&checkpoint);
    }
    return rc;
}

int warp_verify_held(struct verify *v)
{
    uint64_t s = v->manifest.segment_bytes, head = v->manifest.head_position;
    struct warp_survey survey;
    uint32_t i;
    int rc;

    rc = warp_survey_init(&survey, &v->disk, &v->memory, &v->manifest, &held_calls, v);
    for (i = 0; i < v->logs.count && rc == 0; i++) {
        const struct verify_file *file = &v->logs.files[i];
        uint64_t base = file->number * s, limit = base + s < head ? base + s : head;

        if (!file->present || base >= head ||
            (!file->listed && base + s <= head) /* the next open gives it up */) {
            continue;
        }
        if (file->number == 0) {
            survey.chain = 0;
        }
        rc = warp_survey_segment(&survey, file->number, limit);
        v->held_bytes += limit - base;
    }
    if (rc == 0) {
        rc = held_named(v, &survey);
    }
    v->held_files += survey.files;
    v->held_unknown += survey.unknown_bytes;
    warp_survey_fini(&survey);
    return rc;
}

int warp_verify_loose(struct verify *v)
{
    uint64_t s = v->manifest.segment_bytes, mark = 0;
    uint64_t first = v->manifest.head_position / s;
    struct warp_survey survey;
    uint64_t *indexes = NULL;
    uint32_t count = 0, i;
    int rc;

    rc = warp_survey_init(&survey, &v->disk, &v->memory, &v->manifest, &held_calls, v);
    if (rc == 0 && v->logs.count > 0) {
        indexes = malloc(v->logs.count * sizeof(*indexes));
        rc = indexes == NULL ? WARP_ENOMEM : 0;
    }
    for (i = 0; i < v->logs.count && rc == 0; i++) {
        if (v->logs.files[i].present && v->logs.files[i].number >= first) {
            indexes[count++] = v->logs.files[i].number;
        }
    }
    if (rc == 0) {
        rc = warp_survey_marks(&survey, indexes, count, &mark);
    }
    for (i = 0; i < v->checkpoint_count; i++) {
        if (v->checkpoints[i].good && v->checkpoints[i].summary.end > mark) {
            mark = v->checkpoints[i].summary.end;
        }
    }
    survey.mark = mark;
    for (i = 0; i < count && rc == 0 && !survey.ended; i++) {
        if (indexes[i] * s <= v->manifest.head_position &&
            v->manifest.head_position < (indexes[i] + 1) * s) {
            survey.chain = v->manifest.head_position;
        }
        rc = warp_survey_segment(&survey, indexes[i], UINT64_MAX);
        v->held_bytes += s;
    }
    v->held_files += survey.files;
    v->held_unknown += survey.unknown_bytes;
    free(indexes);
    warp_survey_fini(&survey);
    return rc;
}
