/*
 * The happy path is the life in the header, top down in warp_backup_make().
 *
 * What may be shared with an earlier backup? Only what can never change again: archives,
 * checkpoints, and segments that lie wholly below S. It must be the same file of the same
 * database: same id, same lineage (a restored database has one of its own), same name, same length,
 * and the same bytes in a sample of its pages, which would differ if somebody had put an older copy of
 * the directory in its place and gone on from there.
 *
 * What can go wrong: reading, writing, syncing or naming fails, progress says stop: then the copies
 * made so far are removed, or, if even that fails, are found by the next backup, which removes
 * what nobody lists. The machine fails: the same.
 */
#include "engine/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errno.h"
#include "base/hash.h"
#include "wal/checkpoint.h"

#define COPY_BUFFER_BYTES     (1u << 20)
#define COPY_BUFFER_BYTES_MIN 4096u
#define COPY_PAUSE_NS         20000000u
#define BACKUP_SAMPLES        16u
#define BACKUP_PAGE_BYTES     4096u

/* ---- copying ----------------------------------------------------------------------------- */

int warp_copy_init(struct warp_copy *copy, struct warp_memory *memory,
                   const struct warp_clock *clock, const struct warp_env *env,
                   const struct warp_backup_options *options)
{
    uint64_t rate = options->bytes_per_second;

    memset(copy, 0, sizeof(*copy));
    copy->memory = memory;
    copy->clock = clock;
    copy->env = env;
    copy->options = options;
    copy->buffer_bytes = env != NULL && !env->threads ? 16384u : COPY_BUFFER_BYTES;
    /* Ten pieces a second, so that the limit is not reached by fits and starts. */
    while (rate != 0 && copy->buffer_bytes > COPY_BUFFER_BYTES_MIN &&
           copy->buffer_bytes > rate / 10) {
        copy->buffer_bytes /= 2;
    }
    copy->buffer = warp_memory_reserve(memory, copy->buffer_bytes, BACKUP_PAGE_BYTES);
    copy->begun_ns = warp_clock_ns(clock);
    return copy->buffer == NULL ? WARP_ENOMEM : 0;
}

void warp_copy_fini(struct warp_copy *copy)
{
    warp_memory_release(copy->memory, copy->buffer, copy->buffer_bytes);
    copy->buffer = NULL;
}

/* A piece is done: tell it, and wait until the next one is due. */
static int copy_breathe(struct warp_copy *copy)
{
    const struct warp_backup_options *options = copy->options;
    uint64_t rate = options->bytes_per_second, due_ns = copy->begun_ns;
    _Atomic uint32_t word = 0;
    int rc;

    if (options->progress != NULL) {
        rc = options->progress(options->progress_context, copy->done, copy->total);
        if (rc != 0) {
            return rc;
        }
    }
    if (rate != 0) {
        due_ns += copy->done / rate * 1000000000u + copy->done % rate * 1000000000u / rate;
    }
    if (copy->env != NULL && !copy->env->threads) {
        do {
            copy->env->wait(copy->env->context);
        } while (warp_clock_ns(copy->clock) < due_ns);
        return 0;
    }
    for (;;) {
        uint64_t now_ns = warp_clock_ns(copy->clock);

        if (now_ns >= due_ns) {
            return 0;
        }
        (void)warp_park(&word, 0,
                        due_ns - now_ns < COPY_PAUSE_NS ? due_ns - now_ns : COPY_PAUSE_NS,
                        UINT32_MAX);
        if (options->progress != NULL) {
            rc = options->progress(options->progress_context, copy->done, copy->total);
            if (rc != 0) {
                return rc;
            }
        }
    }
}

int warp_copy_file(struct warp_copy *copy, const struct warp_disk *from, int32_t from_file,
                   const struct warp_disk *to, int32_t to_file, uint64_t bytes,
                   uint64_t *hash, bool *wrote)
{
    XXH3_state_t state;
    uint64_t at = 0;
    int rc;

    *wrote = false;
    /* It asks for an alignment of 64, which the stack gives it; nothing is allocated. */
    (void)XXH3_64bits_reset(&state);
    while (at < bytes) {
        uint64_t left = bytes - at;
        uint32_t want = left < copy->buffer_bytes ? (uint32_t)left : copy->buffer_bytes;
        /* Past the page cache the length must fit; what is behind the piece is not looked at. */
        uint32_t asked = (uint32_t)warp_align_up(want, BACKUP_PAGE_BYTES);
        int64_t got = from->ops->read(from->context, from_file, copy->buffer, asked, at);

        if (got < (int64_t)want) {
            return got < 0 ? warp_error_from_errno((int)got) : WARP_EDAMAGED;
        }
        (void)XXH3_64bits_update(&state, copy->buffer, want);
        if (to_file >= 0) {
            got = to->ops->write(to->context, to_file, copy->buffer, want, at, false);
            if (got < 0) {
                *wrote = true;
                return warp_error_from_errno((int)got);
            }
        }
        at += want;
        copy->done += want;
        rc = copy_breathe(copy);
        if (rc != 0) {
            return rc;
        }
    }
    *hash = (uint64_t)XXH3_64bits_digest(&state);
    return 0;
}

/* ---- options and answers ----------------------------------------------------------------- */

int warp_backup_options_complete(const struct warp_backup_options *given,
                                 struct warp_backup_options *out)
{
    static const struct warp_backup_options defaults = WARP_BACKUP_OPTIONS_INIT;

    *out = defaults;
    if (given == NULL) {
        return 0;
    }
    if (given->size < offsetof(struct warp_backup_options, bytes_per_second) ||
        given->size > sizeof(*out)) {
        return WARP_EINVAL;
    }
    memcpy(out, given, given->size);
    out->size = sizeof(*out);
    if (out->message_bytes == 0) {
        out->message = NULL;
    }
    if (out->message != NULL) {
        out->message[0] = '\0';
    }
    return 0;
}

void warp_backup_inform(const struct warp_pool_backup *backup,
                        struct warp_backup_info *info)
{
    struct warp_backup_info all = WARP_BACKUP_INFO_INIT;
    size_t bytes;

    if (info == NULL) {
        return;
    }
    bytes = info->size < sizeof(all) ? info->size : sizeof(all);
    all.number = backup->number;
    all.made_ms = backup->made_ms;
    all.sequence = backup->position;
    all.files = backup->row_count;
    all.bytes = backup->bytes;
    all.files_copied = backup->files_copied;
    all.bytes_copied = backup->bytes_copied;
    all.checkpoint = backup->manifest.checkpoint_number;
    all.fencing_epoch = backup->manifest.epoch;
    memcpy(info, &all, bytes);
    info->size = bytes;
}

/* ---- the backup -------------------------------------------------------------------------- */

struct backup {
    struct warp *db;
    struct warp_pool pool;
    struct warp_copy copy;
    struct warp_pool_backup made;
    struct warp_checkpoint_summary checkpoint; /* number 0: there is none */
    /* Rows of earlier backups that may be shared: ascending, the newest first among equals. */
    struct warp_pool_backup known;
    uint32_t new_from; /* rows of `made` are complete up to here */
};

static int backup_compare(const void *a, const void *b)
{
    const struct warp_pool_row *x = a, *y = b;

    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->index != y->index) {
        return x->index < y->index ? -1 : 1;
    }
    return x->copied_by > y->copied_by ? -1 : x->copied_by < y->copied_by;
}

/* What the pool has of this database, and which number comes next. */
static int backup_know(struct backup *backup)
{
    struct warp_pool *pool = &backup->pool;
    const struct warp_manifest *manifest = &backup->made.manifest;
    uint64_t *numbers = NULL;
    uint32_t count = 0, i, j, kept = 0;
    int rc;

    rc = warp_pool_numbers(pool, &numbers, &count);
    if (rc < 0) {
        return rc;
    }
    backup->made.number = count > 0 ? numbers[count - 1] + 1 : 1;
    for (i = 0; i < count && rc == 0; i++) {
        struct warp_pool_backup one;

        rc = warp_pool_load(pool, numbers[i], &one);
        if (rc == WARP_EDAMAGED || rc == WARP_EVERSION) {
            rc = 0; /* nothing is shared with it */
            continue;
        }
        for (j = 0; rc == 0 && j < one.row_count; j++) {
            if ((one.rows[j].flags & WARP_POOL_WHOLE) != 0 &&
                one.manifest.lineage == manifest->lineage &&
                memcmp(one.manifest.id, manifest->id, sizeof(manifest->id)) == 0) {
                rc = warp_pool_add(pool, &backup->known, &one.rows[j]);
            }
        }
        warp_pool_release(pool, &one);
        /* Mostly they list the same: keep one of each. */
        if (rc == 0 && backup->known.row_count > 1) {
            struct warp_pool_row *rows = backup->known.rows;

            qsort(rows, backup->known.row_count, sizeof(*rows), backup_compare);
            for (kept = 0, j = 0; j < backup->known.row_count; j++) {
                if (j == 0 || backup_compare(&rows[kept - 1], &rows[j]) != 0) {
                    rows[kept++] = rows[j];
                }
            }
            backup->known.row_count = kept;
        }
    }
    warp_pool_numbers_release(pool, &numbers, count);
    return rc;
}

/* Lists a file; its other fields are filled when it is copied. */
static int backup_list(struct backup *backup, enum warp_pool_kind kind, uint64_t index)
{
    struct warp_pool_row row;

    memset(&row, 0, sizeof(row));
    row.kind = kind;
    row.index = index;
    row.flags = WARP_POOL_WHOLE;
    if (kind == WARP_POOL_LOG) {
        uint64_t segment_bytes = backup->made.manifest.segment_bytes;
        uint64_t left = backup->made.position - index * segment_bytes;

        row.bytes =
            WARP_SEGMENT_HEADER_BYTES + (left < segment_bytes ? left : segment_bytes);
        row.flags = left < segment_bytes ? 0 : WARP_POOL_WHOLE;
    }
    return warp_pool_add(&backup->pool, &backup->made, &row);
}

static int backup_list_all(struct backup *backup)
{
    struct warp *db = backup->db;
    const struct warp_manifest *manifest = &backup->made.manifest;
    uint64_t index = manifest->head_position / manifest->segment_bytes;
    uint64_t end =
        (backup->made.position + manifest->segment_bytes - 1) / manifest->segment_bytes;
    struct warp_checkpoint *checkpoint = NULL;
    const struct warp_checkpoint_summary *summary = NULL;
    uint32_t i;
    int rc = 0;

    if (manifest->checkpoint_number != 0) {
        rc = warp_checkpoint_open(&checkpoint, &db->disk, &db->memory, manifest,
                                  manifest->checkpoint_number, backup->pool.message,
                                  sizeof(backup->pool.message));
        if (rc < 0) {
            char name[WARP_CHECKPOINT_NAME_BYTES];

            warp_checkpoint_name(manifest->checkpoint_number, name);
            return backup->pool.message[0] != '\0'
                       ? rc
                       : warp_pool_say(&backup->pool, rc, "reading %s: %s", name,
                                       warp_error_text(rc));
        }
        summary = warp_checkpoint_summary(checkpoint);
    }
    for (i = 0; rc == 0 && summary != NULL && i < summary->segment_count; i++) {
        uint64_t segment = warp_checkpoint_segments(checkpoint)[i].index;

        if (segment < index) {
            rc = backup_list(backup, WARP_POOL_LOG, segment);
        }
    }
    for (; rc == 0 && index < end; index++) {
        rc = backup_list(backup, WARP_POOL_LOG, index);
    }
    for (i = 0; rc == 0 && summary != NULL && i < summary->archive_count; i++) {
        rc = backup_list(backup, WARP_POOL_ARCHIVE,
                         warp_checkpoint_archives(checkpoint)[i].number);
    }
    if (rc == 0 && summary != NULL) {
        rc = backup_list(backup, WARP_POOL_CHECKPOINT, manifest->checkpoint_number);
    }
    if (checkpoint != NULL) {
        warp_checkpoint_close(&checkpoint);
    }
    return rc;
}

static int backup_open_source(struct backup *backup, struct warp_pool_row *row,
                              int32_t *file)
{
    const struct warp_disk *disk = &backup->db->disk;
    uint32_t flags = WARP_FILE_READ_ONLY;
    char name[WARP_POOL_NAME_BYTES];
    int64_t bytes;
    int rc;

    warp_pool_source_name(row, name);
    flags |= backup->db->options.direct_io == 0 ? (uint32_t)WARP_FILE_DIRECT : 0u;
    *file = disk->ops->open(disk->context, name, flags);
    if (*file < 0) {
        rc = warp_error_from_errno(*file);
        rc = rc == WARP_ENOENT ? WARP_EDAMAGED : rc;
        return warp_pool_say(&backup->pool, rc, "%s: %s", name,
                             rc == WARP_EDAMAGED ? "it is missing" : warp_error_text(rc));
    }
    bytes = disk->ops->size(disk->context, *file);
    rc = bytes < 0 ? warp_error_from_errno((int)bytes) : 0;
    if (rc == 0 && row->kind != WARP_POOL_LOG) {
        row->bytes = (uint64_t)bytes;
        rc = bytes == 0 ? WARP_EDAMAGED : 0;
    } else if (rc == 0 && (uint64_t)bytes < row->bytes) {
        rc = WARP_EDAMAGED;
    }
    if (rc < 0) {
        disk->ops->close(disk->context, *file);
        return warp_pool_say(&backup->pool, rc, "%s: %s", name,
                             rc == WARP_EDAMAGED ? "it is too short" : warp_error_text(rc));
    }
    return 0;
}

/* A few pages from all over the file, the first and the last among them. */
static int backup_sample(struct backup *backup, struct warp_pool_row *row, int32_t file)
{
    const struct warp_disk *disk = &backup->db->disk;
    uint8_t *page = backup->copy.buffer;
    uint64_t sample = row->bytes;
    uint32_t i;

    for (i = 0; i <= BACKUP_SAMPLES; i++) {
        uint64_t offset =
            i < BACKUP_SAMPLES ? row->bytes / BACKUP_SAMPLES * i : row->bytes - 1;
        uint64_t want;
        int64_t got;

        offset = warp_align_down(offset, BACKUP_PAGE_BYTES);
        want = row->bytes - offset;
        want = want < BACKUP_PAGE_BYTES ? want : BACKUP_PAGE_BYTES;
        got = disk->ops->read(disk->context, file, page, BACKUP_PAGE_BYTES, offset);
        if (got < (int64_t)want) {
            char name[WARP_POOL_NAME_BYTES];
            int rc = got < 0 ? warp_error_from_errno((int)got) : WARP_EDAMAGED;

            warp_pool_source_name(row, name);
            return warp_pool_say(&backup->pool, rc, "reading %s: %s", name,
                                 warp_error_text(rc));
        }
        sample = warp_hash_key(page, (size_t)want, sample);
    }
    row->sample = sample;
    return 0;
}

/* Is there a copy of it already? *row becomes that copy's. */
static bool backup_share(struct backup *backup, struct warp_pool_row *row)
{
    const struct warp_pool_row *known = backup->known.rows;
    uint32_t low = 0, high = backup->known.row_count;

    if ((row->flags & WARP_POOL_WHOLE) == 0) {
        return false;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (known[middle].kind < row->kind ||
            (known[middle].kind == row->kind && known[middle].index < row->index)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < backup->known.row_count && known[low].kind == row->kind &&
           known[low].index == row->index;
         low++) {
        if (known[low].bytes == row->bytes && known[low].sample == row->sample &&
            warp_pool_has(&backup->pool, &known[low])) {
            *row = known[low];
            return true;
        }
    }
    return false;
}

/* Prepare every row: what is there, what is shared, how much there is to do. */
static int backup_prepare(struct backup *backup)
{
    uint32_t i;
    int rc = 0;

    for (i = 0; i < backup->made.row_count && rc == 0; i++) {
        struct warp_pool_row *row = &backup->made.rows[i];
        int32_t file;

        rc = backup_open_source(backup, row, &file);
        if (rc < 0) {
            return rc;
        }
        rc = backup_sample(backup, row, file);
        backup->db->disk.ops->close(backup->db->disk.context, file);
        if (rc == 0 && !backup_share(backup, row)) {
            row->copied_by = backup->made.number;
            backup->copy.total += row->bytes;
        }
        backup->made.bytes += row->bytes;
        if (rc == 0 && !backup->db->env.threads) {
            backup->db->env.wait(backup->db->env.context);
        }
    }
    return rc;
}

static int backup_copy_file(struct backup *backup, struct warp_pool_row *row)
{
    const struct warp_disk *from = &backup->db->disk, *to = backup->pool.disk;
    char name[WARP_POOL_NAME_BYTES], aside[WARP_POOL_NAME_BYTES + 4];
    int32_t from_file, to_file;
    bool wrote = false;
    int rc;

    rc = backup_open_source(backup, row, &from_file);
    if (rc < 0) {
        return rc;
    }
    warp_pool_file_name(row, name);
    (void)snprintf(aside, sizeof(aside), "%.*s.new", (int)(strlen(name) - 5), name);
    to_file = to->ops->open(to->context, aside, WARP_FILE_CREATE);
    rc = to_file < 0 ? warp_error_from_errno(to_file) : 0;
    if (rc < 0) {
        wrote = true;
        goto fail_open;
    }
    rc = warp_error_from_errno(to->ops->truncate(to->context, to_file, 0));
    wrote = rc < 0;
    if (rc == 0) {
        rc = warp_copy_file(&backup->copy, from, from_file, to, to_file, row->bytes,
                            &row->hash, &wrote);
    }
    if (rc == 0) {
        rc = warp_error_from_errno(to->ops->sync(to->context, to_file));
        wrote = rc < 0;
    }
    to->ops->close(to->context, to_file);
    if (rc == 0) {
        rc = warp_error_from_errno(to->ops->rename(to->context, aside, name));
        wrote = rc < 0;
    }
    if (rc != 0) {
        (void)to->ops->unlink(to->context, aside);
    }
fail_open:
    from->ops->close(from->context, from_file);
    if (rc < 0) {
        char source[WARP_POOL_NAME_BYTES];

        warp_pool_source_name(row, source);
        (void)warp_pool_say(&backup->pool, rc, "%s %s: %s",
                            wrote ? "writing, in the directory of the backups," : "reading",
                            wrote ? name : source, warp_error_text(rc));
    }
    return rc;
}

static int backup_copy_all(struct backup *backup)
{
    const struct warp_disk *to = backup->pool.disk;
    int64_t free_bytes = to->ops->free_bytes(to->context);
    uint32_t i;
    int rc = 0;

    if (free_bytes >= 0 && (uint64_t)free_bytes < backup->copy.total) {
        return warp_pool_say(&backup->pool, WARP_ENOSPC,
                             "the backup takes %llu bytes more, and the disk has %lld free",
                             (unsigned long long)backup->copy.total, (long long)free_bytes);
    }
    for (i = 0; i < backup->made.row_count && rc == 0; i++) {
        struct warp_pool_row *row = &backup->made.rows[i];

        if (row->copied_by == backup->made.number) {
            rc = backup_copy_file(backup, row);
            backup->made.files_copied++;
            backup->made.bytes_copied += row->bytes;
        }
    }
    return rc;
}

/* It came to nothing: what was copied for it goes, if nothing can still list it. */
static void backup_undo(struct backup *backup)
{
    const struct warp_disk *to = backup->pool.disk;
    uint32_t i;

    if (to->ops->sync_directory(to->context) < 0) {
        return; /* a description may come back; the next backup clears up */
    }
    for (i = 0; i < backup->made.row_count; i++) {
        if (backup->made.rows[i].copied_by == backup->made.number) {
            char name[WARP_POOL_NAME_BYTES];

            warp_pool_file_name(&backup->made.rows[i], name);
            (void)to->ops->unlink(to->context, name);
        }
    }
}

/* Where the log is cut: durable, and above all that was acknowledged. */
static int backup_cut(struct backup *backup)
{
    struct warp *db = backup->db;
    char cause[WARP_POOL_SAY_BYTES - 32];
    int rc;

    if (db->wal == NULL) {
        backup->made.position = db->recovered_end;
        return 0;
    }
    rc = warp_writer_flush(&db->wal->writer);
    if (rc < 0) {
        (void)warp_writer_failure(&db->wal->writer, cause, sizeof(cause));
        return warp_pool_say(&backup->pool, rc, "the log cannot be flushed: %s", cause);
    }
    if (rc > 0) {
        return warp_pool_say(&backup->pool, WARP_EBUSY, "the log cannot be flushed now");
    }
    backup->made.position = warp_writer_durable(&db->wal->writer);
    return 0;
}

static int backup_run(struct backup *backup)
{
    int rc;

    rc = warp_pool_collect(&backup->pool);
    if (rc == 0) {
        rc = backup_know(backup);
    }
    if (rc == 0) {
        rc = backup_cut(backup);
    }
    if (rc == 0) {
        rc = backup_list_all(backup);
    }
    if (rc == 0) {
        rc = backup_prepare(backup);
    }
    if (rc != 0) {
        return rc;
    }
    rc = backup_copy_all(backup);
    if (rc == 0) {
        backup->made.made_ms = warp_clock_wall_ms(backup->db->env.clock);
        rc = warp_pool_commit(&backup->pool, &backup->made);
    }
    if (rc != 0) {
        backup_undo(backup);
    }
    return rc;
}

static void backup_pin(struct backup *backup)
{
    struct warp *db = backup->db;
    struct warp_manifest *manifest = &backup->made.manifest;
    uint64_t head;

    *manifest = db->identity;
    if (db->background != NULL) {
        bool free = warp_checkpointer_pin(&db->background->checkpointer,
                                          &backup->checkpoint, &head);

        warp_assert(free); /* one backup at a time */
    } else {
        backup->checkpoint = db->checkpoints[0];
        head = backup->checkpoint.number != 0 ? backup->checkpoint.begin
                                              : db->identity.head_position;
    }
    manifest->head_position = head;
    manifest->checkpoint_number = backup->checkpoint.number;
}

int warp_backup_make(struct warp *db, const struct warp_disk *to,
                     const struct warp_backup_options *options,
                     struct warp_backup_info *info)
{
    struct backup *backup;
    int rc;

    /* Acquire and release: pairs with itself; the last one's copy is over. */
    if (atomic_exchange_explicit(&db->backing_up, 1, memory_order_acq_rel) != 0) {
        if (options->message != NULL) {
            (void)snprintf(options->message, options->message_bytes,
                           "a backup of this database is being made already");
        }
        return WARP_EBUSY;
    }
    backup = warp_memory_reserve(&db->memory, sizeof(*backup), WARP_CACHELINE);
    if (backup == NULL) {
        rc = WARP_ENOMEM;
        goto fail_memory;
    }
    backup->db = db;
    rc = warp_pool_open(&backup->pool, to, &db->memory, true);
    if (rc < 0) {
        goto fail_pool;
    }
    rc = warp_copy_init(&backup->copy, &db->memory, db->env.clock, &db->env, options);
    if (rc < 0) {
        (void)warp_pool_say(&backup->pool, rc, "no memory");
        goto fail_copy;
    }
    backup_pin(backup);
    rc = backup_run(backup);
    if (db->background != NULL) {
        warp_checkpointer_unpin(&db->background->checkpointer);
    }
    if (rc == 0) {
        warp_backup_inform(&backup->made, info);
    }
    warp_pool_release(&backup->pool, &backup->made);
    warp_pool_release(&backup->pool, &backup->known);
    warp_copy_fini(&backup->copy);
fail_copy:
    warp_pool_close(&backup->pool);
fail_pool:
    if (rc != 0 && options->message != NULL) {
        (void)snprintf(options->message, options->message_bytes, "%s",
                       backup->pool.message);
    }
    warp_memory_release(&db->memory, backup, sizeof(*backup));
fail_memory:
    atomic_store_explicit(&db->backing_up, 0, memory_order_release);
    return rc;
}
