/*
 * The happy path is the life in the header. What can go wrong: a copy is damaged or missing: its
 * name is told and nothing is left in the directory; the disk fills up or fails: the same; the
 * machine fails: RESTORING stays, an open refuses what it finds, and so does another restore.
 */
#include "engine/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errno.h"
#include "base/random.h"
#include "wal/segment.h"

struct restore {
    struct warp_pool pool;
    struct warp_copy copy;
    struct warp_pool_backup backup;
    const struct warp_disk *to;
    bool locked;
    uint32_t made; /* how many rows have a file, begun or whole */
    char found[WARP_POOL_NAME_BYTES];
};

static void restore_tell(const struct warp_pool *pool,
                         const struct warp_backup_options *options, int rc)
{
    if (rc != 0 && options->message != NULL) {
        (void)snprintf(options->message, options->message_bytes, "%s", pool->message);
    }
}

/* ---- reading copies ---------------------------------------------------------------------- */

/* Hold a copy against its hash, on the way to to_file, or (< 0) nowhere. */
static int restore_read(struct warp_pool *pool, struct warp_copy *copy,
                        const struct warp_pool_row *row, const struct warp_disk *to,
                        int32_t to_file, bool *wrote)
{
    const struct warp_disk *disk = pool->disk;
    char name[WARP_POOL_NAME_BYTES];
    const char *what = "its bytes are not what was copied";
    uint64_t hash = 0;
    int64_t bytes;
    int32_t file;
    int rc;

    *wrote = false;
    warp_pool_file_name(row, name);
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        rc = warp_error_from_errno(file);
        what = "it is missing";
        rc = rc == WARP_ENOENT ? WARP_EDAMAGED : rc;
        goto done;
    }
    bytes = disk->ops->size(disk->context, file);
    rc = bytes < 0 ? warp_error_from_errno((int)bytes) : 0;
    if (rc == 0 && bytes != (int64_t)row->bytes) {
        what = "it has a wrong length";
        rc = WARP_EDAMAGED;
    }
    if (rc == 0) {
        rc = warp_copy_file(copy, disk, file, to, to_file, row->bytes, &hash, wrote);
    }
    if (rc == 0 && hash != row->hash) {
        rc = WARP_EDAMAGED;
    }
    disk->ops->close(disk->context, file);
done:
    if (rc < 0 && !*wrote) {
        (void)warp_pool_say(pool, rc, "%s in the directory of the backups: %s", name,
                            rc == WARP_EDAMAGED ? what : warp_error_text(rc));
    }
    return rc;
}

/* ---- restoring --------------------------------------------------------------------------- */

static int restore_look(void *context, const char *name, uint64_t bytes)
{
    struct restore *restore = context;

    (void)bytes;
    if (strcmp(name, WARP_LOCK_NAME) == 0) {
        return 0;
    }
    /* The one that says most. */
    if (restore->found[0] == '\0' || strcmp(name, WARP_RESTORING_NAME) == 0 ||
        strcmp(name, WARP_MANIFEST_NAME) == 0) {
        (void)snprintf(restore->found, sizeof(restore->found), "%s", name);
    }
    return 0;
}

static int restore_must_be_empty(struct restore *restore)
{
    const struct warp_disk *to = restore->to;
    int rc;

    restore->found[0] = '\0';
    rc = warp_error_from_errno(to->ops->list(to->context, restore_look, restore));
    if (rc < 0) {
        return warp_pool_say(&restore->pool, rc, "listing the new directory: %s",
                             warp_error_text(rc));
    }
    if (restore->found[0] == '\0') {
        return 0;
    }
    return warp_pool_say(
        &restore->pool, WARP_EEXIST,
        strcmp(restore->found, WARP_RESTORING_NAME) == 0
            ? "the directory has what an unfinished restore left: remove its files first"
            : "the directory is not empty: there is %s",
        restore->found);
}

static int restore_take(struct restore *restore)
{
    const struct warp_disk *to = restore->to;
    char holder[160] = "";
    int rc;

    /* Before locking, which makes a file: not in a directory that is not ours. */
    rc = restore_must_be_empty(restore);
    if (rc < 0) {
        return rc;
    }
    rc = to->ops->lock(to->context, WARP_LOCK_NAME, false, holder, sizeof(holder));
    if (rc == -EWOULDBLOCK) {
        return warp_pool_say(&restore->pool, WARP_EBUSY, "the new directory is in use: %s",
                             holder[0] != '\0' ? holder : "by another process");
    }
    rc = warp_error_from_errno(rc);
    if (rc < 0) {
        return warp_pool_say(&restore->pool, rc, "locking the new directory: %s",
                             warp_error_text(rc));
    }
    restore->locked = true;
    return restore_must_be_empty(restore);
}

static int restore_mark(struct restore *restore)
{
    const struct warp_disk *to = restore->to;
    int32_t file;
    int rc;

    file = to->ops->open(to->context, WARP_RESTORING_NAME, WARP_FILE_CREATE);
    rc = file < 0 ? warp_error_from_errno(file) : 0;
    if (rc == 0) {
        rc = warp_error_from_errno(to->ops->sync(to->context, file));
        to->ops->close(to->context, file);
    }
    if (rc == 0) {
        rc = warp_error_from_errno(to->ops->sync_directory(to->context));
    }
    return rc == 0 ? 0
                   : warp_pool_say(&restore->pool, rc, "writing %s: %s",
                                   WARP_RESTORING_NAME, warp_error_text(rc));
}

static int restore_file(struct restore *restore, const struct warp_pool_row *row)
{
    const struct warp_disk *to = restore->to;
    char name[WARP_POOL_NAME_BYTES];
    bool wrote = true;
    int32_t file;
    int rc;

    warp_pool_source_name(row, name);
    file = to->ops->open(to->context, name, WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE);
    rc = file < 0 ? warp_error_from_errno(file) : 0;
    if (rc == 0) {
        /* What the log does not have yet reads as zeros. */
        rc = row->kind != WARP_POOL_LOG
                 ? 0
                 : warp_error_from_errno(to->ops->allocate(
                       to->context, file,
                       WARP_SEGMENT_HEADER_BYTES +
                           (uint64_t)restore->backup.manifest.segment_bytes));
        if (rc == 0) {
            rc = restore_read(&restore->pool, &restore->copy, row, to, file, &wrote);
        }
        if (rc == 0) {
            rc = warp_error_from_errno(to->ops->sync(to->context, file));
            wrote = rc < 0;
        }
        to->ops->close(to->context, file);
    }
    if (rc < 0 && wrote) {
        (void)warp_pool_say(&restore->pool, rc, "writing %s: %s", name,
                            warp_error_text(rc));
    }
    return rc;
}

/* The log ends where a segment ends, and nothing of it is to be replayed: still there must be a
 * file for it to go on in. */
static int restore_empty_segment(struct restore *restore)
{
    const struct warp_manifest *manifest = &restore->backup.manifest;
    const struct warp_disk *to = restore->to;
    uint64_t index = manifest->head_position / manifest->segment_bytes;
    uint8_t page[WARP_SEGMENT_HEADER_BYTES];
    char name[WARP_SEGMENT_NAME_BYTES];
    int64_t wrote;
    int32_t file;
    int rc;

    if (restore->backup.position != manifest->head_position ||
        manifest->head_position % manifest->segment_bytes != 0) {
        return 0;
    }
    warp_segment_encode_header(page, manifest, index);
    warp_segment_name(index, name);
    file = to->ops->open(to->context, name, WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE);
    rc = file < 0 ? file : 0;
    if (rc == 0) {
        rc = to->ops->allocate(to->context, file,
                               sizeof(page) + (uint64_t)manifest->segment_bytes);
        if (rc == 0) {
            wrote = to->ops->write(to->context, file, page, sizeof(page), 0, false);
            rc = wrote < 0 ? (int)wrote : to->ops->sync(to->context, file);
        }
        to->ops->close(to->context, file);
    }
    rc = warp_error_from_errno(rc);
    return rc == 0 ? 0
                   : warp_pool_say(&restore->pool, rc, "writing %s: %s", name,
                                   warp_error_text(rc));
}

static int restore_fill(struct restore *restore, uint64_t random_seed)
{
    const struct warp_disk *to = restore->to;
    struct warp_pool_backup *backup = &restore->backup;
    int64_t free_bytes = to->ops->free_bytes(to->context);
    int rc;

    if (free_bytes >= 0 && (uint64_t)free_bytes < backup->bytes) {
        return warp_pool_say(&restore->pool, WARP_ENOSPC,
                             "the database takes %llu bytes, and the disk has %lld free",
                             (unsigned long long)backup->bytes, (long long)free_bytes);
    }
    do {
        if (random_seed != 0) {
            struct warp_random random;

            warp_random_init(&random, random_seed++);
            backup->manifest.lineage = warp_random_next(&random);
        } else if (warp_random_seed(&backup->manifest.lineage,
                                    sizeof(backup->manifest.lineage)) < 0) {
            return warp_pool_say(&restore->pool, WARP_ESYSTEM,
                                 "the system gives no random numbers");
        }
    } while (backup->manifest.lineage == 0);
    rc = restore_mark(restore);
    for (; rc == 0 && restore->made < backup->row_count;) {
        restore->made++;
        rc = restore_file(restore, &backup->rows[restore->made - 1]);
    }
    if (rc == 0) {
        rc = restore_empty_segment(restore);
    }
    if (rc == 0) {
        rc = warp_error_from_errno(to->ops->sync_directory(to->context));
        if (rc == 0) {
            rc = warp_manifest_write(to, &backup->manifest);
        }
        if (rc < 0) {
            (void)warp_pool_say(&restore->pool, rc, "writing %s: %s", WARP_MANIFEST_NAME,
                                warp_error_text(rc));
        }
    }
    return rc;
}

/* Nothing is to be left that could be taken for a database. */
static void restore_undo(struct restore *restore)
{
    const struct warp_disk *to = restore->to;
    const struct warp_manifest *manifest = &restore->backup.manifest;
    char name[WARP_POOL_NAME_BYTES];
    bool left = false;
    int rc;

    rc = to->ops->unlink(to->context, WARP_MANIFEST_NAME);
    left = rc < 0 && rc != -ENOENT;
    rc = to->ops->unlink(to->context, WARP_MANIFEST_NAME_ASIDE);
    left = left || (rc < 0 && rc != -ENOENT);
    warp_segment_name(manifest->head_position / manifest->segment_bytes, name);
    rc = to->ops->unlink(to->context, name);
    left = left || (rc < 0 && rc != -ENOENT);
    while (restore->made > 0) {
        warp_pool_source_name(&restore->backup.rows[--restore->made], name);
        rc = to->ops->unlink(to->context, name);
        left = left || (rc < 0 && rc != -ENOENT);
    }
    /* The mark goes last, and only if it marks nothing any more. */
    if (!left && to->ops->sync_directory(to->context) == 0 &&
        to->ops->unlink(to->context, WARP_RESTORING_NAME) == 0) {
        (void)to->ops->sync_directory(to->context);
    }
}

/* Which one is meant? */
static int restore_choose(struct warp_pool *pool, uint64_t *number)
{
    uint64_t *numbers = NULL;
    uint32_t count = 0;
    int rc;

    if (*number != 0) {
        return 0;
    }
    rc = warp_pool_numbers(pool, &numbers, &count);
    if (rc == 0 && count == 0) {
        return warp_pool_say(pool, WARP_ENOENT, "there is no backup in this directory");
    }
    if (rc == 0) {
        *number = numbers[count - 1];
        warp_pool_numbers_release(pool, &numbers, count);
    }
    return rc;
}

int warp_restore_make(const struct warp_disk *from, uint64_t number,
                      const struct warp_disk *to, struct warp_memory *memory,
                      const struct warp_clock *clock, uint64_t random_seed,
                      const struct warp_backup_options *options,
                      struct warp_backup_info *info)
{
    struct restore restore;
    int rc;

    memset(&restore, 0, sizeof(restore));
    restore.to = to;
    rc = warp_pool_open(&restore.pool, from, memory, false);
    if (rc < 0) {
        restore_tell(&restore.pool, options, rc);
        return rc;
    }
    rc = restore_choose(&restore.pool, &number);
    if (rc == 0) {
        rc = warp_pool_load(&restore.pool, number, &restore.backup);
    }
    if (rc < 0) {
        goto fail_load;
    }
    rc = warp_copy_init(&restore.copy, memory, clock, NULL, options);
    restore.copy.total = restore.backup.bytes;
    if (rc < 0) {
        (void)warp_pool_say(&restore.pool, rc, "no memory");
        goto fail_copy;
    }
    rc = restore_take(&restore);
    if (rc == 0) {
        rc = restore_fill(&restore, random_seed);
        if (rc != 0) {
            restore_undo(&restore);
        } else if (to->ops->unlink(to->context, WARP_RESTORING_NAME) == 0) {
            /* It is a database whether the mark is gone or not. */
            (void)to->ops->sync_directory(to->context);
        }
    }
    if (rc == 0) {
        warp_backup_inform(&restore.backup, info);
    }
    if (restore.locked) {
        to->ops->unlock(to->context);
    }
fail_copy:
    warp_copy_fini(&restore.copy);
fail_load:
    warp_pool_release(&restore.pool, &restore.backup);
    restore_tell(&restore.pool, options, rc);
    warp_pool_close(&restore.pool);
    return rc;
}

/* ---- looking ----------------------------------------------------------------------------- */

static int verify_compare(const void *a, const void *b)
{
    const struct warp_pool_row *x = a, *y = b;

    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->index != y->index) {
        return x->index < y->index ? -1 : 1;
    }
    return x->copied_by < y->copied_by ? -1 : x->copied_by > y->copied_by;
}

/* Take the rows of one more backup, each copy once. */
static int verify_take(struct warp_pool *pool, struct warp_pool_backup *all,
                       uint64_t number)
{
    struct warp_pool_backup one;
    uint32_t i, kept = 0;
    int rc = warp_pool_load(pool, number, &one);

    for (i = 0; rc == 0 && i < one.row_count; i++) {
        rc = warp_pool_add(pool, all, &one.rows[i]);
    }
    if (rc == 0 && all->row_count > 0) {
        qsort(all->rows, all->row_count, sizeof(*all->rows), verify_compare);
        for (i = 0; i < all->row_count; i++) {
            /* Two that differ in what they say of one copy are both held against it. */
            if (i == 0 ||
                memcmp(&all->rows[kept - 1], &all->rows[i], sizeof(*all->rows)) != 0) {
                all->rows[kept++] = all->rows[i];
            }
        }
        all->row_count = kept;
    }
    warp_pool_release(pool, &one);
    return rc;
}

static int verify_rows(struct warp_pool *pool, struct warp_copy *copy,
                       const struct warp_pool_backup *all)
{
    char first[WARP_POOL_SAY_BYTES - 48];
    uint32_t damaged = 0, i;
    int rc = 0;

    for (i = 0; i < all->row_count; i++) {
        copy->total += all->rows[i].bytes;
    }
    for (i = 0; i < all->row_count && (rc == 0 || rc == WARP_EDAMAGED); i++) {
        bool wrote;

        rc = restore_read(pool, copy, &all->rows[i], NULL, -1, &wrote);
        if (rc == WARP_EDAMAGED && damaged++ == 0) {
            (void)snprintf(first, sizeof(first), "%.*s", (int)sizeof(first) - 1,
                           pool->message);
        }
    }
    if (damaged == 0 || (rc != 0 && rc != WARP_EDAMAGED)) {
        return rc;
    }
    return warp_pool_say(pool, WARP_EDAMAGED,
                         damaged == 1 ? "%s" : "%s; and so %u of %u files", first, damaged,
                         all->row_count);
}

int warp_restore_verify(const struct warp_disk *from, uint64_t number,
                        struct warp_memory *memory, const struct warp_clock *clock,
                        const struct warp_backup_options *options)
{
    struct warp_pool pool;
    struct warp_copy copy;
    struct warp_pool_backup all;
    uint64_t *numbers = NULL;
    uint32_t count = 0, i;
    int rc;

    memset(&all, 0, sizeof(all));
    memset(&copy, 0, sizeof(copy));
    rc = warp_pool_open(&pool, from, memory, false);
    if (rc < 0) {
        restore_tell(&pool, options, rc);
        return rc;
    }
    if (number != 0) {
        rc = verify_take(&pool, &all, number);
    } else {
        rc = warp_pool_numbers(&pool, &numbers, &count);
        for (i = 0; rc == 0 && i < count; i++) {
            rc = verify_take(&pool, &all, numbers[i]);
        }
    }
    if (rc == 0) {
        rc = warp_copy_init(&copy, memory, clock, NULL, options);
        if (rc == 0) {
            rc = verify_rows(&pool, &copy, &all);
        }
        warp_copy_fini(&copy);
    }
    warp_pool_numbers_release(&pool, &numbers, count);
    warp_pool_release(&pool, &all);
    restore_tell(&pool, options, rc);
    warp_pool_close(&pool);
    return rc;
}

int warp_restore_list(const struct warp_disk *from, struct warp_memory *memory,
                      warp_backup_visitor visit, void *context,
                      const struct warp_backup_options *options)
{
    struct warp_pool pool;
    uint64_t *numbers = NULL;
    uint32_t count = 0, i;
    int rc;

    rc = warp_pool_open(&pool, from, memory, false);
    if (rc == 0) {
        rc = warp_pool_numbers(&pool, &numbers, &count);
    }
    for (i = 0; rc == 0 && i < count; i++) {
        struct warp_backup_info info = WARP_BACKUP_INFO_INIT;
        struct warp_pool_backup backup;

        rc = warp_pool_load(&pool, numbers[i], &backup);
        if (rc == WARP_EDAMAGED || rc == WARP_EVERSION) {
            info.number = numbers[i];
            info.damaged = 1;
            rc = 0;
        } else if (rc == 0) {
            warp_backup_inform(&backup, &info);
            warp_pool_release(&pool, &backup);
        }
        if (rc == 0) {
            rc = visit(context, &info);
            if (rc != 0) {
                pool.message[0] = '\0';
            }
        }
    }
    warp_pool_numbers_release(&pool, &numbers, count);
    restore_tell(&pool, options, rc);
    warp_pool_close(&pool);
    return rc;
}
