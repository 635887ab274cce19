/*
 * `warp verify`: checks every file of a database without opening it as one.
 *
 * It takes the directory's lock shared, so nobody can write meanwhile (somebody has it already: then
 * wal/audit checks what can be checked beside a writer), and reads the manifest, all
 * checkpoints that count, the log that would be replayed, the log that is only kept for its values,
 * and the archive files. Here is the log: the header of every file and then every frame: header,
 * place, epoch, checksum, and the entries inside. Where the scan finds damage it notes the range, and
 * begins again at the next good frame header behind it, so one run finds all of it. Damage in one
 * file does not stop the check of the others. Nothing is changed.
 */
#include "tools/inspect/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/memory.h"
#include "tools/commands.h"
#include "tools/text.h"
#include "wal/audit.h"
#include "wal/frame.h"
#include "wal/scan.h"

static const char help[] =
    "Usage: warp verify [OPTION]...\n"
    "\n"
    "Check every byte of a database: the manifest, the checkpoints, every frame of the\n"
    "log, also of log that is only kept for the values in it, and the archive files. "
    "Changes\n"
    "nothing. Exit status 1 if anything is damaged; each damaged range is printed with "
    "its\n"
    "file and offset.\n"
    "\n"
    "One that somebody has open is checked while it is in use: the log as far as its own\n"
    "frames say that it is durable, and the other files as far as they are not removed\n"
    "meanwhile. A program can check its own: warp_verify() in warp/warp.h.\n"
    "\n"
    "  --log                  print a line for every frame that would be replayed\n"
    "  --mb-per-s N           read at most so many megabytes a second\n"
    "  --rate BYTES           the same in bytes, with K, M or G\n"
    "  --recovery-estimate    only print what an open would read and do\n";

enum { OPTION_LOG = 1, OPTION_RATE, OPTION_MB, OPTION_ESTIMATE };

#define VERIFY_CHUNK_BYTES 4194304u
#define VERIFY_KEY_SHOWN   40u

/*
 * ---- frames ----------------------------------------------------------------------------
 */

static const char *verify_kind_name(uint8_t kind)
{
    static const char *const names[] = {"?",    "RECORD", "BATCH", "OPEN",
                                        "MARK", "PAD",    "CLOSE"};

    return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : names[0];
}

static void verify_note(struct verify *v, const struct verify_damage *damage)
{
    if (v->damage_count++ < VERIFY_DAMAGES_MAX) {
        v->damages[v->damage_count - 1] = *damage;
    }
    if (v->tool.json || v->silent || v->damage_count > VERIFY_DAMAGES_MAX) {
        return;
    }
    meter_clear(&v->meter);
    printf("damaged: %s, offset %" PRIu64 ": %s", damage->file, damage->offset,
           damage->what);
    if (damage->position != UINT64_MAX) {
        printf("; log positions %" PRIu64 " to ", damage->position);
        if (damage->bytes == UINT64_MAX) {
            fputs("the end", stdout);
        } else {
            printf("%" PRIu64, damage->position + damage->bytes);
        }
    }
    if (damage->bytes != UINT64_MAX) {
        printf(" (%" PRIu64 " bytes)", damage->bytes);
    }
    putchar('\n');
}

void warp_verify_damaged_log(struct verify *v, uint64_t position, uint64_t end,
                             const char *what)
{
    struct verify_damage damage = {.position = position};

    warp_segment_name(position / v->manifest.segment_bytes, damage.file);
    damage.offset = WARP_SEGMENT_HEADER_BYTES + position % v->manifest.segment_bytes;
    damage.bytes = end == UINT64_MAX ? UINT64_MAX : end - position;
    snprintf(damage.what, sizeof(damage.what), "%s", what);
    verify_note(v, &damage);
}

void warp_verify_damaged(struct verify *v, const char *file, uint64_t offset,
                         uint64_t bytes, const char *what)
{
    struct verify_damage damage = {
        .offset = offset, .bytes = bytes, .position = UINT64_MAX};

    snprintf(damage.file, sizeof(damage.file), "%s", file);
    snprintf(damage.what, sizeof(damage.what), "%s", what);
    verify_note(v, &damage);
}

/* A key as far as it fits a line; what is not printable ASCII becomes a dot. */
static void verify_print_key(const struct warp_entry *entry)
{
    const uint8_t *key = entry->key;
    uint32_t i;

    for (i = 0; i < entry->key_bytes && i < VERIFY_KEY_SHOWN; i++) {
        putchar(key[i] >= 0x20 && key[i] < 0x7f ? key[i] : '.');
    }
    if (entry->key_bytes > VERIFY_KEY_SHOWN) {
        fputs("...", stdout);
    }
}

static void verify_print_text(const struct warp_frame *frame, uint32_t entries,
                              const struct warp_entry *first, const uint8_t *body)
{
    printf("%" PRIu64 " %s epoch %" PRIu32 " bytes %" PRIu64, frame->position,
           verify_kind_name(frame->kind), frame->epoch,
           warp_frame_bytes(frame->body_bytes));
    if (frame->has_mark) {
        printf(" mark %" PRIu64, frame->mark);
    }
    switch ((enum warp_frame_kind)frame->kind) {
    case WARP_FRAME_RECORD:
        if (entries == 1) {
            printf(" %s key ", first->kind == WARP_ENTRY_PUT ? "put" : "delete");
            verify_print_key(first);
            printf(" value %" PRIu32 " bytes", first->value_bytes);
            if ((first->flags & WARP_ENTRY_HAS_EXPIRY) != 0) {
                printf(" expires %" PRIu64 " ms", first->expires_at_ms);
            }
        }
        break;
    case WARP_FRAME_BATCH:
        printf(" entries %" PRIu32, entries);
        break;
    case WARP_FRAME_OPEN:
    case WARP_FRAME_CLOSE: {
        time_t seconds = (time_t)(warp_load_u64le(body) / 1000);
        char text[32] = "";
        struct tm utc;

        if (gmtime_r(&seconds, &utc) != NULL) {
            strftime(text, sizeof(text), " %Y-%m-%dT%H:%M:%SZ", &utc);
        }
        fputs(text, stdout);
        break;
    }
    case WARP_FRAME_MARK:
    case WARP_FRAME_PAD:
        break;
    }
    putchar('\n');
}

static void verify_print_json(const struct warp_frame *frame, uint32_t entries,
                              const struct warp_entry *first)
{
    printf("{\"position\":%" PRIu64 ",\"kind\":\"%s\",\"epoch\":%" PRIu32
           ",\"bytes\":%" PRIu64,
           frame->position, verify_kind_name(frame->kind), frame->epoch,
           warp_frame_bytes(frame->body_bytes));
    if (frame->has_mark) {
        printf(",\"mark\":%" PRIu64, frame->mark);
    }
    if (frame->kind == WARP_FRAME_RECORD && entries == 1) {
        printf(",\"operation\":\"%s\",", first->kind == WARP_ENTRY_PUT ? "put" : "delete");
        warp_text_write_json_member(stdout, "key", first->key, first->key_bytes);
        printf(",\"value_bytes\":%" PRIu32, first->value_bytes);
        if ((first->flags & WARP_ENTRY_HAS_EXPIRY) != 0) {
            printf(",\"expires_at_ms\":%" PRIu64, first->expires_at_ms);
        }
    } else if (frame->kind == WARP_FRAME_BATCH) {
        printf(",\"entries\":%" PRIu32, entries);
    }
    puts("}");
}

static void verify_frame(struct verify *v, const struct warp_frame *frame,
                         const uint8_t *body)
{
    struct warp_frame_cursor cursor;
    struct warp_entry entry, first = {0};
    uint64_t sequence;
    uint32_t entries = 0;
    int rc;

    rc = warp_frame_cursor_init(&cursor, frame, body);
    while (rc == 0 && (rc = warp_frame_cursor_next(&cursor, &entry, &sequence)) == 1) {
        first = entries++ == 0 ? entry : first;
        v->puts += entry.kind == WARP_ENTRY_PUT;
        v->deletes += entry.kind == WARP_ENTRY_DELETE;
        rc = 0;
    }
    v->frames++;
    v->batches += frame->kind == WARP_FRAME_BATCH;
    v->bytes += warp_frame_bytes(frame->body_bytes);
    if (rc < 0) {
        warp_verify_damaged_log(v, frame->position,
                                frame->position + warp_frame_bytes(frame->body_bytes),
                                "the checksum is right, but the entries make no sense");
    }
    if (v->log && v->tool.json) {
        verify_print_json(frame, entries, &first);
    } else if (v->log) {
        verify_print_text(frame, entries, &first, body);
    }
}

/*
 * Read from `begin` to the end of the log or to damage. 0: the end was reached; 1: *begin
 * is where to go on behind the damage; < 0: a WARP_E... that ends the run.
 */
static int verify_stretch(struct verify *v, uint64_t *begin, uint32_t epoch)
{
    struct warp_scan_options options = {
        .begin = *begin, .epoch = epoch, .chunk_bytes = VERIFY_CHUNK_BYTES};
    const struct warp_scan_result *result;
    struct warp_scan *scan = NULL;
    struct warp_scan_chunk chunk;
    uint64_t bytes = 0;
    uint32_t i;
    int rc;

    rc =
        warp_scan_create(&scan, &v->disk, &v->memory, &v->segments, &v->manifest, &options);
    if (rc < 0) {
        return rc;
    }
    result = warp_scan_result(scan);
    while ((rc = warp_scan_next(scan, &chunk)) == 1) {
        for (i = 0; i < chunk.frame_count; i++) {
            verify_frame(v, &chunk.frames[i], chunk.bodies[i]);
        }
        meter_add(&v->meter, result->bytes - bytes);
        bytes = result->bytes;
    }
    if (result->frames > 0) {
        v->epoch = result->epoch_last;
    }
    v->end = result->end;
    if (rc == 0) {
        v->clean = result->clean;
        v->bytes_cut = result->bytes_cut;
    } else if (rc == WARP_EDAMAGED && result->what != NULL) {
        warp_verify_damaged_log(v, result->damaged_position, result->resume, result->what);
        v->clean = false;
        if (result->resume != UINT64_MAX && result->resume > result->damaged_position) {
            *begin = result->resume;
            rc = 1;
        } else {
            rc = 0; /* nothing behind it can be read */
        }
    } else if (result->file[0] != 0) {
        snprintf(v->message, sizeof(v->message), "%s, offset %" PRIu64 ": %s", result->file,
                 result->file_offset, result->what);
    }
    warp_scan_destroy(&scan);
    return rc;
}

/*
 * ---- the report ------------------------------------------------------------------------
 */

static void verify_json_path(const struct verify *v)
{
    if (warp_text_utf8_valid(v->tool.path, strlen(v->tool.path))) {
        warp_text_write_json_string(stdout, v->tool.path, strlen(v->tool.path));
    } else {
        fputs("null", stdout);
    }
}

/* The last member, and the end. */
static void verify_json_damage(const struct verify *v)
{
    uint32_t i;

    printf(",\"damage_count\":%" PRIu32 ",\"damage\":[", v->damage_count);
    for (i = 0; i < v->damage_count && i < VERIFY_DAMAGES_MAX; i++) {
        const struct verify_damage *damage = &v->damages[i];

        printf("%s{\"file\":\"%s\",\"offset\":%" PRIu64, i > 0 ? "," : "", damage->file,
               damage->offset);
        if (damage->position != UINT64_MAX) {
            printf(",\"position\":%" PRIu64, damage->position);
        }
        if (damage->bytes != UINT64_MAX) {
            printf(",\"bytes\":%" PRIu64, damage->bytes);
        }
        fputs(",\"what\":", stdout);
        warp_text_write_json_string(stdout, damage->what, strlen(damage->what));
        putchar('}');
    }
    puts("]}");
}

static void verify_report_json(const struct verify *v, uint64_t duration_ns)
{
    bool damaged = v->damage_count > 0 || v->message[0] != 0;
    uint32_t i;

    fputs("{\"path\":", stdout);
    verify_json_path(v);
    printf(",\"ok\":%s,\"files\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"batches\":%" PRIu64
           ",\"puts\":%" PRIu64 ",\"deletes\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"begin\":%" PRIu64 ",\"end\":%" PRIu64 ",\"bytes_cut\":%" PRIu64
           ",\"clean\":%s,\"fencing_epoch\":%" PRIu32 ",\"duration_ns\":%" PRIu64,
           damaged ? "false" : "true", v->files, v->frames, v->batches, v->puts, v->deletes,
           v->bytes, v->manifest.head_position, v->end, v->bytes_cut,
           v->clean ? "true" : "false", v->epoch, duration_ns);
    printf(",\"held\":{\"files\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"bytes_unknown\":%" PRIu64 "},\"archives\":{\"files\":%" PRIu64
           ",\"entries\":%" PRIu64 "},\"checkpoints\":[",
           v->held_files, v->held_frames, v->held_bytes, v->held_unknown, v->archive_files,
           v->archive_entries);
    for (i = 0; i < v->checkpoint_count; i++) {
        const struct verify_checkpoint *one = &v->checkpoints[i];

        printf("%s{\"number\":%" PRIu64 ",\"ok\":%s,\"sections\":%" PRIu32
               ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"begin\":%" PRIu64 "}",
               i > 0 ? "," : "", one->summary.number, one->good ? "true" : "false",
               one->sections, one->entries, one->summary.bytes, one->summary.begin);
    }
    putchar(']');
    if (v->message[0] != 0) {
        fputs(",\"message\":", stdout);
        warp_text_write_json_string(stdout, v->message, strlen(v->message));
    }
    verify_json_damage(v);
}

static void verify_report_text(const struct verify *v, uint64_t duration_ns)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];

    if (v->message[0] != 0) {
        printf("damaged: %s\n", v->message);
    }
    if (v->damage_count > VERIFY_DAMAGES_MAX) {
        printf("... and %" PRIu32 " more\n", v->damage_count - VERIFY_DAMAGES_MAX);
    }
    if (v->manifest.segment_bytes == 0) {
        puts("DAMAGED: without the MANIFEST nothing can be read");
        return;
    }
    for (uint32_t i = 0; i < v->checkpoint_count; i++) {
        const struct verify_checkpoint *one = &v->checkpoints[i];

        printf("checkpoint %" PRIu64 ": %s records in %" PRIu32 " sections, %s%s\n",
               one->summary.number, warp_text_count(a, one->entries), one->sections,
               warp_text_size(b, one->summary.bytes), one->good ? "" : ", DAMAGED");
    }
    if (v->held_files > 0) {
        printf("%s: %s files, %s frames, %s", v->read ? "log kept for its values" : "log",
               warp_text_count(a, v->held_files), warp_text_count(b, v->held_frames),
               warp_text_size(c, v->held_bytes));
        if (v->held_unknown > 0) {
            printf("; %s belong to frames\n  that begin in files that are gone",
                   warp_text_size(a, v->held_unknown));
        }
        putchar('\n');
    }
    if (v->archive_files > 0) {
        printf("archives: %s files, %s entries\n", warp_text_count(a, v->archive_files),
               warp_text_count(b, v->archive_entries));
    }
    if (!v->read) {
        puts("DAMAGED: the log was not read as one, but each of its files alone");
        return;
    }
    printf("%s: %s log files, %s frames, %s of log", v->tool.path,
           warp_text_count(a, v->files), warp_text_count(b, v->frames),
           warp_text_size(c, v->bytes));
    printf(" in %s\n", warp_text_duration(a, duration_ns));
    printf("  %s puts, %s deletes, %s of the frames are batches\n",
           warp_text_count(a, v->puts), warp_text_count(b, v->deletes),
           warp_text_count(c, v->batches));
    printf("  opened for writing %" PRIu32 " times, %s\n", v->epoch,
           v->clean ? "closed properly the last time"
                    : "not closed properly the last time");
    if (v->bytes_cut > 0) {
        printf("  %s of unfinished tail at position %" PRIu64
               ": no write that was known to be durable is in it\n",
               warp_text_size(a, v->bytes_cut), v->end);
    }
    if (v->damage_count > 0 || v->message[0] != 0) {
        printf("DAMAGED: %" PRIu32 " places\n",
               v->damage_count + (uint32_t)(v->message[0] != 0));
    } else {
        puts("OK: no damage");
    }
}

/* An answer of the lower rooms as an exit status, with the sentence printed. */
static int verify_failed(struct verify *v, int rc, const char *message)
{
    meter_clear(&v->meter);
    if (rc == WARP_EDAMAGED) {
        snprintf(v->message, sizeof(v->message), "%s", message);
        return WARP_TOOL_DONE; /* the report says it */
    }
    if (v->silent) {
        return WARP_TOOL_ERROR;
    }
    if (message[0] != 0) {
        return warp_tool_error(&v->tool, "%s: %s", v->tool.path, message);
    }
    return warp_tool_error(&v->tool, "%s: %s", v->tool.path, warp_error_text(rc));
}

/* The log from the head on; then, if that ended too early, from the newest good checkpoint on. */
static int verify_log(struct verify *v)
{
    const struct verify_checkpoint *newest = NULL;
    uint64_t begin = v->manifest.head_position;
    uint32_t epoch = 0, i;
    int rc;

    for (i = v->checkpoint_count; i > 0; i--) {
        const struct verify_checkpoint *one = &v->checkpoints[i - 1];

        if (one->good && one->summary.begin == begin) {
            epoch = one->summary.epoch;
        }
        newest = one->good ? one : newest;
    }
    do {
        rc = verify_stretch(v, &begin, epoch);
        epoch = 0;
    } while (rc == 1);
    if (rc == 0 && newest != NULL && v->end < newest->summary.begin &&
        newest->summary.begin < warp_segments_end(&v->segments)) {
        warp_verify_damaged_log(v, v->end, newest->summary.begin,
                                "the log ends here, and a checkpoint begins behind it");
        begin = newest->summary.begin;
        epoch = newest->summary.epoch;
        do {
            rc = verify_stretch(v, &begin, epoch);
            epoch = 0;
        } while (rc == 1);
    }
    if (rc == 0 && newest != NULL && v->end < newest->summary.end) {
        warp_verify_damaged_log(v, v->end, newest->summary.end,
                                "the log ends here, and a checkpoint says it was durable "
                                "further on");
    }
    return rc;
}

/*
 * Everything behind the lock. 0 (the counts and damages are filled in) or an exit status.
 */
int warp_verify_all(struct verify *v)
{
    char message[512] = "";
    int rc;

    rc = warp_manifest_read(&v->disk, &v->manifest, message, sizeof(message));
    if (rc != 0) {
        v->manifest.segment_bytes = 0;
        return verify_failed(v, rc, message);
    }
    if (v->estimate) {
        return warp_verify_estimate(v);
    }
    v->epoch = v->manifest.epoch;
    rc = warp_verify_list(v);
    if (rc == 0) {
        rc = warp_verify_checkpoints(v);
    }
    if (rc == 0 && v->manifest.checkpoint_number != 0) {
        rc = warp_verify_held(v);
    }
    if (rc == 0) {
        rc = warp_verify_archives(v);
    }
    if (rc < 0) {
        return verify_failed(v, rc, "");
    }
    rc = warp_segments_init(&v->segments, &v->disk, &v->memory, &v->manifest, true, true);
    if (rc == WARP_EDAMAGED) {
        snprintf(v->message, sizeof(v->message), "%s", v->segments.message);
        rc = warp_verify_loose(v);
        return rc < 0 ? verify_failed(v, rc, "") : 0;
    }
    if (rc < 0) {
        return verify_failed(v, rc, v->segments.message);
    }
    v->read = true;
    v->files = (warp_segments_end(&v->segments) - warp_segments_begin(&v->segments)) /
               v->manifest.segment_bytes;
    rc = verify_log(v);
    warp_segments_fini(&v->segments);
    if (rc < 0) {
        snprintf(message, sizeof(message), "%s", v->message);
        v->message[0] = 0;
        return verify_failed(v, rc, message);
    }
    return 0;
}

/*
 * ---- a database that somebody has open -------------------------------------------------
 */

static void verify_in_use_damaged(void *context, const struct warp_audit_damage *damage)
{
    struct verify *v = context;
    struct verify_damage note = {
        .offset = damage->offset, .bytes = damage->bytes, .position = damage->position};

    snprintf(note.file, sizeof(note.file), "%s", damage->file);
    snprintf(note.what, sizeof(note.what), "%s", damage->what);
    verify_note(v, &note);
}

static int verify_in_use_pace(void *context, uint64_t bytes_more, uint64_t total)
{
    struct verify *v = context;

    v->meter.total = total;
    meter_add(&v->meter, bytes_more);
    return 0;
}

/*
 * The lock is not to be had, so files may come and go: checked is what is there, the log as far as
 * some frame says that it was durable.
 */
static int verify_in_use(struct verify *v, const char *holder)
{
    struct warp_audit_report report;
    struct warp_audit_config config = {.disk = &v->disk,
                                       .memory = &v->memory,
                                       .manifest = &v->manifest,
                                       .durable = UINT64_MAX,
                                       .direct = true,
                                       .damaged = verify_in_use_damaged,
                                       .pace = verify_in_use_pace,
                                       .context = v};
    char message[512] = "";
    int rc;

    if (v->log || v->estimate) {
        return warp_tool_error(&v->tool, "%s is open already, by %s: %s needs it closed",
                               v->tool.path, holder,
                               v->log ? "--log" : "--recovery-estimate");
    }
    rc = warp_manifest_read(&v->disk, &v->manifest, message, sizeof(message));
    if (rc != 0) {
        return verify_failed(v, rc < 0 ? rc : WARP_EDAMAGED, message);
    }
    v->in_use = true;
    snprintf(v->holder, sizeof(v->holder), "%s", holder);
    rc = warp_audit(&config, &report);
    if (rc < 0) {
        return verify_failed(v, rc, "");
    }
    v->files = report.files;
    v->frames = report.frames;
    v->bytes = report.bytes;
    v->end = report.durable;
    v->files_gone = report.files_gone;
    v->archive_entries = report.entries;
    return 0;
}

static void verify_report_in_use(const struct verify *v, uint64_t duration_ns)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];

    if (v->tool.json) {
        printf("{\"path\":");
        verify_json_path(v);
        printf(",\"ok\":%s,\"in_use\":true,\"files\":%" PRIu64 ",\"files_gone\":%" PRIu64
               ",\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"end\":%" PRIu64
               ",\"duration_ns\":%" PRIu64,
               v->damage_count > 0 ? "false" : "true", v->files, v->files_gone, v->frames,
               v->bytes, v->end, duration_ns);
        verify_json_damage(v);
        return;
    }
    if (v->damage_count > VERIFY_DAMAGES_MAX) {
        printf("... and %" PRIu32 " more\n", v->damage_count - VERIFY_DAMAGES_MAX);
    }
    printf("%s is open, by %s: checked while in use\n", v->tool.path, v->holder);
    printf("  %s files, %s frames of log, %s, in %s\n", warp_text_count(a, v->files),
           warp_text_count(b, v->frames), warp_text_size(c, v->bytes),
           warp_text_duration(a, duration_ns));
    printf("  the log up to position %" PRIu64 ", as far as it was known to be durable\n",
           v->end);
    if (v->files_gone > 0) {
        printf("  %s files were removed meanwhile\n", warp_text_count(a, v->files_gone));
    }
    if (v->damage_count > 0) {
        printf("DAMAGED: %" PRIu32 " places\n", v->damage_count);
    } else {
        puts("OK: no damage");
    }
}

static int verify_run(struct verify *v)
{
    char message[512] = "", holder[256] = "";
    struct warp_manifest manifest;
    int rc, exit_code;

    rc = warp_disk_open_directory(v->tool.path, &v->memory, WARP_IO_BACKEND_AUTO, false,
                                  &v->disk, message, sizeof(message));
    if (rc < 0) {
        return warp_tool_error(&v->tool, "%s", message[0] != 0 ? message : strerror(-rc));
    }
    /*
     * Look before locking: the lock makes a file, and not in a directory that is not ours.
     */
    rc = warp_manifest_read(&v->disk, &manifest, message, sizeof(message));
    if (rc == WARP_ABSENT) {
        exit_code = warp_tool_error(&v->tool, "%s: there is no database", v->tool.path);
        goto out;
    }
    if (rc != 0 && rc != WARP_EDAMAGED) {
        exit_code = verify_failed(v, rc, message);
        goto out;
    }
    rc = v->disk.ops->lock(v->disk.context, WARP_LOCK_NAME, true, holder, sizeof(holder));
    if (rc == -EWOULDBLOCK) {
        exit_code = verify_in_use(v, holder[0] != 0 ? holder : "somebody");
        goto out;
    }
    if (rc < 0 && rc != -EROFS) { /* where nobody can write, nobody need be kept out */
        exit_code = warp_tool_error(&v->tool, "%s: it cannot be locked: %s", v->tool.path,
                                    strerror(-rc));
        goto out;
    }
    exit_code = warp_verify_all(v);
    if (rc == 0) {
        v->disk.ops->unlock(v->disk.context);
    }
out:
    warp_disk_close(&v->disk);
    return exit_code;
}

int warp_tool_verify(int argc, char **argv)
{
    static const struct option own[] = {
        {"log", no_argument, NULL, OPTION_LOG},
        {"rate", required_argument, NULL, OPTION_RATE},
        {"mb-per-s", required_argument, NULL, OPTION_MB},
        {"recovery-estimate", no_argument, NULL, OPTION_ESTIMATE},
        {NULL, 0, NULL, 0},
    };
    struct verify *v;
    uint64_t duration_ns;
    int code, exit_code;

    v = calloc(1, sizeof(*v));
    if (v == NULL) {
        fputs("warp verify: there is no memory left\n", stderr);
        return WARP_TOOL_ERROR;
    }
    warp_tool_init(&v->tool, "verify", help);
    meter_init(&v->meter);
    while ((code = warp_tool_next(&v->tool, argc, argv, own)) > 0) {
        v->log = v->log || code == OPTION_LOG;
        v->estimate = v->estimate || code == OPTION_ESTIMATE;
        if (code == OPTION_RATE && !meter_read_bytes(optarg, &v->meter.rate)) {
            exit_code =
                warp_tool_usage(&v->tool, "--rate is a number of bytes, not '%s'", optarg);
            free(v);
            return exit_code;
        }
        if (code == OPTION_MB && !meter_read_mb(optarg, &v->meter.rate)) {
            exit_code = warp_tool_usage(
                &v->tool, "--mb-per-s is a number greater than 0, not '%s'", optarg);
            free(v);
            return exit_code;
        }
    }
    if (code < 0) {
        exit_code = v->tool.exit_code;
        free(v);
        return exit_code;
    }
    if (argc > optind) {
        exit_code =
            warp_tool_usage(&v->tool, "'%s' is one argument too many", argv[optind]);
        free(v);
        return exit_code;
    }
    v->damages = calloc(VERIFY_DAMAGES_MAX, sizeof(*v->damages));
    if (v->damages == NULL || warp_memory_init(&v->memory, NULL) < 0) {
        exit_code = warp_tool_error(&v->tool, "there is no memory left");
        free(v->damages);
        free(v);
        return exit_code;
    }
    v->meter.quiet = v->log;
    exit_code = verify_run(v);
    meter_clear(&v->meter);
    if (exit_code == WARP_TOOL_DONE && (!v->estimate || v->message[0] != 0)) {
        duration_ns = meter_passed_ns(&v->meter);
        if (v->in_use) {
            verify_report_in_use(v, duration_ns);
        } else if (v->tool.json) {
            verify_report_json(v, duration_ns);
        } else {
            verify_report_text(v, duration_ns);
        }
        if (v->damage_count > 0 || v->message[0] != 0) {
            exit_code = WARP_TOOL_ABSENT; /* 1: the check failed */
        }
        if (fflush(stdout) != 0 || ferror(stdout)) {
            exit_code = warp_tool_error(&v->tool, "standard output: %s", strerror(errno));
        }
    }
    warp_verify_forget(v);
    warp_memory_fini(&v->memory);
    free(v->damages);
    free(v);
    return exit_code;
}
