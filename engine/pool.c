/*
 * The happy path: open locks the directory and looks at its names; load reads a page and the rows
 * behind it; commit writes both aside, syncs, renames, syncs the directory.
 *
 * What can go wrong: a crash leaves files ending in .new, and copies that no description lists;
 * the next one to open the directory for a change removes both. A description that is damaged
 * stays, is reported by its number, and keeps everything in the directory that nobody else lists.
 */
#include "engine/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"
#include "base/hash.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"
#include "wal/segment.h"

static const uint8_t pool_magic[8] = {'W', 'A', 'R', 'P', 'B', 'A', 'K', 1};

/* Where the fields lie: docs/BACKUP.md. */
enum {
    POOL_AT_MAGIC = 0,
    POOL_AT_FORMAT = 8,
    POOL_AT_READER = 12,
    POOL_AT_PAGE_BYTES = 16,
    POOL_AT_CRC = 20,
    POOL_AT_SEGMENT_BYTES = 24,
    POOL_AT_EPOCH = 28,
    POOL_AT_ID = 32,
    POOL_AT_HASH_SEED = 48,
    POOL_AT_CREATED_MS = 56,
    POOL_AT_HEAD = 64,
    POOL_AT_CHECKPOINT = 72,
    POOL_AT_LINEAGE = 80,
    POOL_AT_NUMBER = 88,
    POOL_AT_MADE_MS = 96,
    POOL_AT_POSITION = 104,
    POOL_AT_BYTES = 112,
    POOL_AT_BYTES_COPIED = 120,
    POOL_AT_FILES_COPIED = 128,
    POOL_AT_ROWS = 136,
    POOL_AT_ROWS_HASH = 144,
    POOL_PAGE_BYTES = 4096,
    POOL_ROW_BYTES = 48,
};

#define POOL_CHUNK_ROWS 4096u

int warp_pool_say(struct warp_pool *pool, int rc, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(pool->message, sizeof(pool->message), format, arguments);
    va_end(arguments);
    return rc;
}

/* ---- names ------------------------------------------------------------------------------- */

static const char *const pool_kinds[] = {NULL, "log", "archive", "checkpoint"};

void warp_pool_backup_name(uint64_t number, char out[WARP_POOL_NAME_BYTES])
{
    (void)snprintf(out, WARP_POOL_NAME_BYTES, "backup-%016llx.warp",
                   (unsigned long long)number);
}

void warp_pool_source_name(const struct warp_pool_row *row, char out[WARP_POOL_NAME_BYTES])
{
    switch ((enum warp_pool_kind)row->kind) {
    case WARP_POOL_LOG:
        warp_segment_name(row->index, out);
        break;
    case WARP_POOL_ARCHIVE:
        warp_archive_name((uint32_t)row->index, out);
        break;
    case WARP_POOL_CHECKPOINT:
        warp_checkpoint_name(row->index, out);
        break;
    }
}

void warp_pool_file_name(const struct warp_pool_row *row, char out[WARP_POOL_NAME_BYTES])
{
    (void)snprintf(out, WARP_POOL_NAME_BYTES, "%s-%016llx-%016llx.pool",
                   pool_kinds[row->kind], (unsigned long long)row->index,
                   (unsigned long long)row->copied_by);
}

static bool pool_parse_hex(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    uint32_t i;

    for (i = 0; i < 16; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = value;
    return true;
}

/* Only the exact form that warp_pool_backup_name() writes. */
static bool pool_parse_backup(const char *name, uint64_t *number)
{
    return strlen(name) == 7 + 16 + 5 && strncmp(name, "backup-", 7) == 0 &&
           strcmp(name + 23, ".warp") == 0 && pool_parse_hex(name + 7, number) &&
           *number != 0;
}

static bool pool_parse_file(const char *name, struct warp_pool_row *row)
{
    size_t length = strlen(name), prefix;
    uint32_t kind;

    for (kind = WARP_POOL_LOG; kind <= WARP_POOL_CHECKPOINT; kind++) {
        prefix = strlen(pool_kinds[kind]);
        if (length == prefix + 1 + 16 + 1 + 16 + 5 &&
            strncmp(name, pool_kinds[kind], prefix) == 0 && name[prefix] == '-' &&
            name[prefix + 17] == '-' && strcmp(name + prefix + 34, ".pool") == 0 &&
            pool_parse_hex(name + prefix + 1, &row->index) &&
            pool_parse_hex(name + prefix + 18, &row->copied_by)) {
            row->kind = kind;
            return true;
        }
    }
    return false;
}

static bool pool_is_aside(const char *name)
{
    size_t length = strlen(name);

    return length > 4 && strcmp(name + length - 4, ".new") == 0 &&
           (strncmp(name, "backup-", 7) == 0 || strncmp(name, "log-", 4) == 0 ||
            strncmp(name, "archive-", 8) == 0 || strncmp(name, "checkpoint-", 11) == 0);
}

/* ---- the directory ----------------------------------------------------------------------- */

struct pool_look {
    bool database;
    uint32_t backups;
    char foreign[WARP_POOL_NAME_BYTES]; /* a file that is not ours */
    char aside[WARP_POOL_NAME_BYTES];   /* one that is half-made */
};

static int pool_look_visit(void *context, const char *name, uint64_t bytes)
{
    struct pool_look *look = context;
    struct warp_pool_row row;
    uint64_t number;

    (void)bytes;
    if (strcmp(name, WARP_MANIFEST_NAME) == 0) {
        look->database = true;
    } else if (pool_parse_backup(name, &number)) {
        look->backups++;
    } else if (pool_is_aside(name)) {
        (void)snprintf(look->aside, sizeof(look->aside), "%s", name);
    } else if (strcmp(name, WARP_LOCK_NAME) != 0 && !pool_parse_file(name, &row)) {
        (void)snprintf(look->foreign, sizeof(look->foreign), "%s", name);
    }
    return 0;
}

/* Are these backups? *look gets what is there. */
static int pool_look(struct warp_pool *pool, bool exclusive, struct pool_look *look)
{
    int rc;

    memset(look, 0, sizeof(*look));
    rc = pool->disk->ops->list(pool->disk->context, pool_look_visit, look);
    if (rc < 0) {
        return warp_pool_say(pool, warp_error_from_errno(rc),
                             "the directory of the backups cannot be listed");
    }
    if (look->database) {
        return warp_pool_say(pool, WARP_EFORMAT,
                             "the directory of the backups holds a database");
    }
    /* Beside backups a stranger's file does no harm, but nobody begins among strangers. */
    if (exclusive && look->backups == 0 && look->foreign[0] != '\0') {
        return warp_pool_say(pool, WARP_EFORMAT,
                             "the directory of the backups holds something else: %s",
                             look->foreign);
    }
    return 0;
}

/* One pass removes one: a list that is walked had better not change under the walker. */
static int pool_clear_asides(struct warp_pool *pool)
{
    const struct warp_disk *disk = pool->disk;
    struct pool_look look;
    int rc;

    for (;;) {
        rc = pool_look(pool, true, &look);
        if (rc < 0 || look.aside[0] == '\0') {
            return rc;
        }
        rc = warp_error_from_errno(disk->ops->unlink(disk->context, look.aside));
        if (rc < 0) {
            return warp_pool_say(pool, rc, "%s, half-made, cannot be removed: %s",
                                 look.aside, warp_error_text(rc));
        }
    }
}

int warp_pool_open(struct warp_pool *pool, const struct warp_disk *disk,
                   struct warp_memory *memory, bool exclusive)
{
    struct pool_look look;
    char holder[160] = "";
    int rc;

    memset(pool, 0, sizeof(*pool));
    pool->disk = disk;
    pool->memory = memory;
    /* Look before locking: the lock makes a file, and not in a directory that is not ours. */
    rc = pool_look(pool, exclusive, &look);
    if (rc < 0) {
        return rc;
    }
    rc = disk->ops->lock(disk->context, WARP_LOCK_NAME, !exclusive, holder, sizeof(holder));
    if (rc == -EWOULDBLOCK) {
        return warp_pool_say(pool, WARP_EBUSY, "the directory of the backups is in use: %s",
                             holder[0] != '\0' ? holder : "by another process");
    }
    /* Where nobody can write, nobody need be kept out. */
    if (rc < 0 && (exclusive || (rc != -EROFS && rc != -EACCES))) {
        rc = warp_error_from_errno(rc);
        return warp_pool_say(pool, rc, "locking the directory of the backups: %s",
                             warp_error_text(rc));
    }
    pool->locked = rc == 0;
    rc = exclusive ? pool_clear_asides(pool) : 0;
    if (rc < 0) {
        warp_pool_close(pool);
    }
    return rc;
}

void warp_pool_close(struct warp_pool *pool)
{
    if (pool->locked) {
        pool->disk->ops->unlock(pool->disk->context);
        pool->locked = false;
    }
}

struct pool_gather {
    struct warp_memory *memory;
    void *items;
    size_t item_bytes;
    uint32_t count, capacity;
    bool backups; /* numbers of these; else copies */
    int rc;
};

static int pool_gather_visit(void *context, const char *name, uint64_t bytes)
{
    struct pool_gather *gather = context;
    struct warp_pool_row row;
    uint64_t number;

    (void)bytes;
    memset(&row, 0, sizeof(row));
    if (gather->backups ? !pool_parse_backup(name, &number)
                        : !pool_parse_file(name, &row)) {
        return 0;
    }
    if (gather->count == gather->capacity) {
        uint32_t capacity = gather->capacity * 2 + 64;
        void *more = warp_memory_reserve(gather->memory, capacity * gather->item_bytes, 0);

        if (more == NULL) {
            gather->rc = WARP_ENOMEM;
            return 1;
        }
        if (gather->count > 0) {
            memcpy(more, gather->items, gather->count * gather->item_bytes);
        }
        warp_memory_release(gather->memory, gather->items,
                            gather->capacity * gather->item_bytes);
        gather->items = more;
        gather->capacity = capacity;
    }
    memcpy((uint8_t *)gather->items + gather->count * gather->item_bytes,
           gather->backups ? (const void *)&number : (const void *)&row,
           gather->item_bytes);
    gather->count++;
    return 0;
}

static int pool_gather(struct warp_pool *pool, struct pool_gather *gather)
{
    int rc = pool->disk->ops->list(pool->disk->context, pool_gather_visit, gather);

    if (rc >= 0 && gather->rc == 0) {
        return 0;
    }
    rc = gather->rc < 0 ? gather->rc : warp_error_from_errno(rc);
    warp_memory_release(pool->memory, gather->items, gather->capacity * gather->item_bytes);
    gather->items = NULL;
    return warp_pool_say(pool, rc, "listing the directory of the backups: %s",
                         warp_error_text(rc));
}

static int pool_compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

int warp_pool_numbers(struct warp_pool *pool, uint64_t **numbers, uint32_t *count)
{
    struct pool_gather gather = {
        .memory = pool->memory, .item_bytes = sizeof(uint64_t), .backups = true};
    uint64_t *exact = NULL;
    int rc = pool_gather(pool, &gather);

    if (rc < 0) {
        return rc;
    }
    if (gather.count > 0) {
        qsort(gather.items, gather.count, sizeof(uint64_t), pool_compare_numbers);
        exact = warp_memory_reserve(pool->memory, gather.count * sizeof(*exact), 0);
        if (exact != NULL) {
            memcpy(exact, gather.items, gather.count * sizeof(*exact));
        }
    }
    warp_memory_release(pool->memory, gather.items, gather.capacity * gather.item_bytes);
    if (gather.count > 0 && exact == NULL) {
        return warp_pool_say(pool, WARP_ENOMEM, "no memory");
    }
    *numbers = exact;
    *count = gather.count;
    return 0;
}

void warp_pool_numbers_release(struct warp_pool *pool, uint64_t **numbers, uint32_t count)
{
    warp_memory_release(pool->memory, *numbers, count * sizeof(**numbers));
    *numbers = NULL;
}

bool warp_pool_has(struct warp_pool *pool, const struct warp_pool_row *row)
{
    const struct warp_disk *disk = pool->disk;
    char name[WARP_POOL_NAME_BYTES];
    int32_t file;
    int64_t bytes;

    warp_pool_file_name(row, name);
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        return false;
    }
    bytes = disk->ops->size(disk->context, file);
    disk->ops->close(disk->context, file);
    return bytes == (int64_t)row->bytes;
}

/* ---- descriptions ------------------------------------------------------------------------ */

static uint32_t pool_crc(const uint8_t *page)
{
    static const uint8_t zero[4];
    uint32_t crc;

    crc = warp_crc32c(0, page, POOL_AT_CRC);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    return warp_crc32c(crc, page + POOL_AT_CRC + 4, POOL_PAGE_BYTES - POOL_AT_CRC - 4);
}

static void pool_encode_row(uint8_t *out, const struct warp_pool_row *row)
{
    warp_store_u32le(out, row->kind);
    warp_store_u32le(out + 4, row->flags);
    warp_store_u64le(out + 8, row->index);
    warp_store_u64le(out + 16, row->bytes);
    warp_store_u64le(out + 24, row->copied_by);
    warp_store_u64le(out + 32, row->hash);
    warp_store_u64le(out + 40, row->sample);
}

static void pool_decode_row(const uint8_t *in, struct warp_pool_row *row)
{
    row->kind = warp_load_u32le(in);
    row->flags = warp_load_u32le(in + 4);
    row->index = warp_load_u64le(in + 8);
    row->bytes = warp_load_u64le(in + 16);
    row->copied_by = warp_load_u64le(in + 24);
    row->hash = warp_load_u64le(in + 32);
    row->sample = warp_load_u64le(in + 40);
}

static void pool_encode_page(uint8_t *page, const struct warp_pool_backup *backup,
                             uint64_t rows_hash)
{
    const struct warp_manifest *manifest = &backup->manifest;

    memset(page, 0, POOL_PAGE_BYTES);
    memcpy(page + POOL_AT_MAGIC, pool_magic, sizeof(pool_magic));
    warp_store_u32le(page + POOL_AT_FORMAT, WARP_POOL_VERSION);
    warp_store_u32le(page + POOL_AT_READER, WARP_POOL_VERSION);
    warp_store_u32le(page + POOL_AT_PAGE_BYTES, POOL_PAGE_BYTES);
    warp_store_u32le(page + POOL_AT_SEGMENT_BYTES, manifest->segment_bytes);
    warp_store_u32le(page + POOL_AT_EPOCH, manifest->epoch);
    memcpy(page + POOL_AT_ID, manifest->id, sizeof(manifest->id));
    warp_store_u64le(page + POOL_AT_HASH_SEED, manifest->hash_seed);
    warp_store_u64le(page + POOL_AT_CREATED_MS, manifest->created_ms);
    warp_store_u64le(page + POOL_AT_HEAD, manifest->head_position);
    warp_store_u64le(page + POOL_AT_CHECKPOINT, manifest->checkpoint_number);
    warp_store_u64le(page + POOL_AT_LINEAGE, manifest->lineage);
    warp_store_u64le(page + POOL_AT_NUMBER, backup->number);
    warp_store_u64le(page + POOL_AT_MADE_MS, backup->made_ms);
    warp_store_u64le(page + POOL_AT_POSITION, backup->position);
    warp_store_u64le(page + POOL_AT_BYTES, backup->bytes);
    warp_store_u64le(page + POOL_AT_BYTES_COPIED, backup->bytes_copied);
    warp_store_u64le(page + POOL_AT_FILES_COPIED, backup->files_copied);
    warp_store_u32le(page + POOL_AT_ROWS, backup->row_count);
    warp_store_u64le(page + POOL_AT_ROWS_HASH, rows_hash);
    warp_store_u32le(page + POOL_AT_CRC, pool_crc(page));
}

static int pool_decode_page(struct warp_pool *pool, const char *name, const uint8_t *page,
                            struct warp_pool_backup *backup, uint64_t *rows_hash)
{
    struct warp_manifest *manifest = &backup->manifest;
    uint64_t number = backup->number;

    if (memcmp(page + POOL_AT_MAGIC, pool_magic, sizeof(pool_magic)) != 0) {
        return warp_pool_say(pool, WARP_EDAMAGED,
                             "%s, offset 0: this is no description of a backup", name);
    }
    if (warp_load_u32le(page + POOL_AT_READER) > WARP_POOL_VERSION) {
        return warp_pool_say(pool, WARP_EVERSION,
                             "%s, offset 12: written by a newer WarpEngine than this one",
                             name);
    }
    if (warp_load_u32le(page + POOL_AT_CRC) != pool_crc(page)) {
        return warp_pool_say(pool, WARP_EDAMAGED, "%s, offset 20: the checksum is wrong",
                             name);
    }
    manifest->segment_bytes = warp_load_u32le(page + POOL_AT_SEGMENT_BYTES);
    manifest->epoch = warp_load_u32le(page + POOL_AT_EPOCH);
    memcpy(manifest->id, page + POOL_AT_ID, sizeof(manifest->id));
    manifest->hash_seed = warp_load_u64le(page + POOL_AT_HASH_SEED);
    manifest->created_ms = warp_load_u64le(page + POOL_AT_CREATED_MS);
    manifest->head_position = warp_load_u64le(page + POOL_AT_HEAD);
    manifest->checkpoint_number = warp_load_u64le(page + POOL_AT_CHECKPOINT);
    manifest->lineage = warp_load_u64le(page + POOL_AT_LINEAGE);
    backup->number = warp_load_u64le(page + POOL_AT_NUMBER);
    backup->made_ms = warp_load_u64le(page + POOL_AT_MADE_MS);
    backup->position = warp_load_u64le(page + POOL_AT_POSITION);
    backup->bytes = warp_load_u64le(page + POOL_AT_BYTES);
    backup->bytes_copied = warp_load_u64le(page + POOL_AT_BYTES_COPIED);
    backup->files_copied = warp_load_u64le(page + POOL_AT_FILES_COPIED);
    backup->row_count = warp_load_u32le(page + POOL_AT_ROWS);
    *rows_hash = warp_load_u64le(page + POOL_AT_ROWS_HASH);
    if (backup->number != number) {
        return warp_pool_say(pool, WARP_EDAMAGED,
                             "%s, offset 88: the file has another backup's name", name);
    }
    if (!warp_is_power_of_two(manifest->segment_bytes) ||
        manifest->segment_bytes < WARP_SEGMENT_BYTES_FLOOR ||
        manifest->segment_bytes > WARP_SEGMENT_BYTES_CEIL || manifest->epoch == 0 ||
        manifest->head_position % 8 != 0 || backup->position % 8 != 0 ||
        backup->position < manifest->head_position ||
        backup->row_count > WARP_POOL_ROWS_MAX) {
        return warp_pool_say(pool, WARP_EDAMAGED, "%s: a number in it is out of range",
                             name);
    }
    return 0;
}

/* Do the files make a database? *bytes gets their sum. */
static bool pool_rows_fit(const struct warp_pool_backup *backup)
{
    const struct warp_manifest *manifest = &backup->manifest;
    uint64_t full = (uint64_t)manifest->segment_bytes + WARP_SEGMENT_HEADER_BYTES;
    uint64_t next = manifest->head_position / manifest->segment_bytes, bytes = 0;
    bool checkpoint = manifest->checkpoint_number == 0;
    uint32_t i;

    for (i = 0; i < backup->row_count; i++) {
        const struct warp_pool_row *row = &backup->rows[i], *before = row - 1;

        if (row->kind < WARP_POOL_LOG || row->kind > WARP_POOL_CHECKPOINT ||
            row->flags > WARP_POOL_WHOLE || row->copied_by == 0 ||
            row->copied_by > backup->number || row->bytes > UINT64_MAX / 2 - bytes ||
            (i > 0 && (row->kind < before->kind ||
                       (row->kind == before->kind && row->index <= before->index)))) {
            return false;
        }
        bytes += row->bytes;
        if (row->kind == WARP_POOL_LOG) {
            bool whole = (row->flags & WARP_POOL_WHOLE) != 0;

            if (whole ? row->bytes != full
                      : row->bytes <= WARP_SEGMENT_HEADER_BYTES || row->bytes >= full) {
                return false;
            }
            /* From the head on there is no gap, and only the last one may be cut. */
            if (row->index >= next) {
                uint64_t end = row->index * manifest->segment_bytes + row->bytes -
                               WARP_SEGMENT_HEADER_BYTES;

                if (row->index != next || end > backup->position ||
                    (!whole && end != backup->position)) {
                    return false;
                }
                next++;
            } else if (!whole) {
                return false;
            }
        } else if (row->kind == WARP_POOL_CHECKPOINT) {
            if (row->index != manifest->checkpoint_number) {
                return false;
            }
            checkpoint = true;
        } else if (row->index > UINT32_MAX) {
            return false;
        }
    }
    return checkpoint && bytes == backup->bytes &&
           (backup->position == manifest->head_position ||
            next ==
                (backup->position + manifest->segment_bytes - 1) / manifest->segment_bytes);
}

static int pool_read_rows(struct warp_pool *pool, const char *name, int32_t file,
                          struct warp_pool_backup *backup, uint64_t rows_hash)
{
    const struct warp_disk *disk = pool->disk;
    size_t bytes = (size_t)backup->row_count * POOL_ROW_BYTES;
    uint8_t *raw;
    int64_t got;
    uint32_t i;
    int rc = 0;

    if (bytes == 0) {
        return rows_hash == warp_hash_key("", 0, 0)
                   ? 0
                   : warp_pool_say(
                         pool, WARP_EDAMAGED,
                         "%s, offset 144: the checksum is not that of an empty list", name);
    }
    raw = warp_memory_reserve(pool->memory, bytes, 0);
    backup->rows =
        warp_memory_reserve(pool->memory, backup->row_count * sizeof(*backup->rows), 0);
    if (raw == NULL || backup->rows == NULL) {
        rc = warp_pool_say(pool, WARP_ENOMEM, "no memory");
        backup->row_capacity = backup->rows == NULL ? 0 : backup->row_count;
        goto done;
    }
    backup->row_capacity = backup->row_count;
    got = disk->ops->read(disk->context, file, raw, bytes, POOL_PAGE_BYTES);
    if (got != (int64_t)bytes) {
        rc = got < 0 ? warp_error_from_errno((int)got) : WARP_EDAMAGED;
        rc = warp_pool_say(pool, rc, "%s, offset %u: %s", name, POOL_PAGE_BYTES,
                           got < 0 ? warp_error_text(rc) : "the file is cut off");
        goto done;
    }
    if (warp_hash_key(raw, bytes, 0) != rows_hash) {
        rc = warp_pool_say(pool, WARP_EDAMAGED,
                           "%s, offset %u: the checksum of the list is wrong", name,
                           POOL_PAGE_BYTES);
        goto done;
    }
    for (i = 0; i < backup->row_count; i++) {
        pool_decode_row(raw + (size_t)i * POOL_ROW_BYTES, &backup->rows[i]);
    }
done:
    warp_memory_release(pool->memory, raw, bytes);
    return rc;
}

int warp_pool_load(struct warp_pool *pool, uint64_t number, struct warp_pool_backup *backup)
{
    const struct warp_disk *disk = pool->disk;
    uint8_t page[POOL_PAGE_BYTES];
    char name[WARP_POOL_NAME_BYTES];
    uint64_t rows_hash = 0;
    int64_t got, bytes;
    int32_t file;
    int rc;

    warp_pool_backup_name(number, name);
    memset(backup, 0, sizeof(*backup));
    backup->number = number;
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        rc = warp_error_from_errno(file);
        return warp_pool_say(pool, rc,
                             rc == WARP_ENOENT
                                 ? "there is no backup %llu"
                                 : "the description of backup %llu cannot be opened",
                             (unsigned long long)number);
    }
    bytes = disk->ops->size(disk->context, file);
    got = disk->ops->read(disk->context, file, page, sizeof(page), 0);
    if (got != (int64_t)sizeof(page) || bytes < 0) {
        rc = bytes < 0 ? warp_error_from_errno((int)bytes)
             : got < 0 ? warp_error_from_errno((int)got)
                       : WARP_EDAMAGED;
        rc = warp_pool_say(pool, rc, "%s: %s", name,
                           rc == WARP_EDAMAGED ? "the file is cut off"
                                               : warp_error_text(rc));
        goto done;
    }
    rc = pool_decode_page(pool, name, page, backup, &rows_hash);
    if (rc == 0 && bytes != POOL_PAGE_BYTES + (int64_t)backup->row_count * POOL_ROW_BYTES) {
        rc = warp_pool_say(pool, WARP_EDAMAGED, "%s: the file has a wrong length", name);
    }
    if (rc == 0) {
        rc = pool_read_rows(pool, name, file, backup, rows_hash);
    }
    if (rc == 0 && !pool_rows_fit(backup)) {
        rc = warp_pool_say(pool, WARP_EDAMAGED,
                           "%s: what it lists does not make a database", name);
    }
done:
    disk->ops->close(disk->context, file);
    if (rc < 0) {
        warp_pool_release(pool, backup);
    }
    return rc;
}

void warp_pool_release(struct warp_pool *pool, struct warp_pool_backup *backup)
{
    warp_memory_release(pool->memory, backup->rows,
                        backup->row_capacity * sizeof(*backup->rows));
    memset(backup, 0, sizeof(*backup));
}

int warp_pool_add(struct warp_pool *pool, struct warp_pool_backup *backup,
                  const struct warp_pool_row *row)
{
    if (backup->row_count == backup->row_capacity) {
        uint32_t capacity = backup->row_capacity * 2 + 64;
        struct warp_pool_row *more =
            backup->row_count >= WARP_POOL_ROWS_MAX
                ? NULL
                : warp_memory_reserve(pool->memory, capacity * sizeof(*more), 0);

        if (more == NULL) {
            return warp_pool_say(pool, WARP_ENOMEM, "no memory");
        }
        if (backup->row_count > 0) {
            memcpy(more, backup->rows, backup->row_count * sizeof(*more));
        }
        warp_memory_release(pool->memory, backup->rows,
                            backup->row_capacity * sizeof(*more));
        backup->rows = more;
        backup->row_capacity = capacity;
    }
    backup->rows[backup->row_count++] = *row;
    return 0;
}

static int pool_write_rows(struct warp_pool *pool, const struct warp_pool_backup *backup,
                           int32_t file, uint64_t *hash)
{
    const struct warp_disk *disk = pool->disk;
    size_t bytes = (size_t)backup->row_count * POOL_ROW_BYTES;
    uint8_t *raw;
    int64_t wrote;
    uint32_t i;

    *hash = warp_hash_key("", 0, 0);
    if (bytes == 0) {
        return 0;
    }
    raw = warp_memory_reserve(pool->memory, bytes, 0);
    if (raw == NULL) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < backup->row_count; i++) {
        pool_encode_row(raw + (size_t)i * POOL_ROW_BYTES, &backup->rows[i]);
    }
    *hash = warp_hash_key(raw, bytes, 0);
    wrote = disk->ops->write(disk->context, file, raw, bytes, POOL_PAGE_BYTES, false);
    warp_memory_release(pool->memory, raw, bytes);
    return wrote < 0 ? warp_error_from_errno((int)wrote) : 0;
}

int warp_pool_commit(struct warp_pool *pool, const struct warp_pool_backup *backup)
{
    const struct warp_disk *disk = pool->disk;
    char name[WARP_POOL_NAME_BYTES], aside[WARP_POOL_NAME_BYTES];
    uint8_t page[POOL_PAGE_BYTES];
    uint64_t rows_hash;
    int64_t wrote;
    int32_t file;
    int rc;

    warp_assert(pool_rows_fit(backup));
    warp_pool_backup_name(backup->number, name);
    (void)snprintf(aside, sizeof(aside), "backup-%016llx.new",
                   (unsigned long long)backup->number);
    /* The names of the copies first: the description counts on them. */
    rc = warp_error_from_errno(disk->ops->sync_directory(disk->context));
    if (rc < 0) {
        goto fail;
    }
    file = disk->ops->open(disk->context, aside, WARP_FILE_CREATE);
    if (file < 0) {
        rc = warp_error_from_errno(file);
        goto fail;
    }
    rc = warp_error_from_errno(disk->ops->truncate(disk->context, file, 0));
    if (rc == 0) {
        rc = pool_write_rows(pool, backup, file, &rows_hash);
    }
    if (rc == 0) {
        pool_encode_page(page, backup, rows_hash);
        wrote = disk->ops->write(disk->context, file, page, sizeof(page), 0, false);
        rc = wrote < 0 ? warp_error_from_errno((int)wrote)
                       : warp_error_from_errno(disk->ops->sync(disk->context, file));
    }
    disk->ops->close(disk->context, file);
    if (rc == 0) {
        rc = warp_error_from_errno(disk->ops->rename(disk->context, aside, name));
    }
    if (rc < 0) {
        (void)disk->ops->unlink(disk->context, aside);
        goto fail;
    }
    rc = warp_error_from_errno(disk->ops->sync_directory(disk->context));
    if (rc == 0) {
        return 0;
    }
    /* Nobody is told that it exists, so it had better not. */
    (void)disk->ops->unlink(disk->context, name);
fail:
    return warp_pool_say(pool, rc, "writing %s: %s", name, warp_error_text(rc));
}

/* ---- giving back ------------------------------------------------------------------------- */

static int pool_compare_files(const void *a, const void *b)
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

/* Flag the copies that this backup lists. */
static void pool_mark(struct warp_pool_row *files, uint32_t count,
                      const struct warp_pool_backup *backup)
{
    uint32_t i;

    for (i = 0; i < backup->row_count && count > 0; i++) {
        struct warp_pool_row *found =
            bsearch(&backup->rows[i], files, count, sizeof(*files), pool_compare_files);

        if (found != NULL) {
            found->flags = 1;
        }
    }
}

int warp_pool_collect(struct warp_pool *pool)
{
    struct pool_gather gather = {.memory = pool->memory,
                                 .item_bytes = sizeof(struct warp_pool_row)};
    struct warp_pool_row *files;
    uint64_t *numbers = NULL;
    uint32_t count = 0, removed = 0, i;
    int rc;

    rc = warp_pool_numbers(pool, &numbers, &count);
    if (rc == 0) {
        rc = pool_gather(pool, &gather);
    }
    files = gather.items;
    if (rc == 0 && gather.count > 0) {
        qsort(files, gather.count, sizeof(*files), pool_compare_files);
    }
    for (i = 0; i < count && rc == 0; i++) {
        struct warp_pool_backup backup;

        rc = warp_pool_load(pool, numbers[i], &backup);
        if (rc == 0) {
            pool_mark(files, gather.count, &backup);
            warp_pool_release(pool, &backup);
        }
    }
    if (rc == WARP_EDAMAGED || rc == WARP_EVERSION) {
        rc = 0; /* who knows what it lists */
        goto done;
    }
    for (i = 0; i < gather.count && rc == 0; i++) {
        char name[WARP_POOL_NAME_BYTES];

        if (files[i].flags != 0) {
            continue;
        }
        warp_pool_file_name(&files[i], name);
        rc = warp_error_from_errno(pool->disk->ops->unlink(pool->disk->context, name));
        rc = rc == WARP_ENOENT ? 0 : rc;
        removed++;
        if (rc < 0) {
            (void)warp_pool_say(pool, rc, "removing %s, which no backup lists: %s", name,
                                warp_error_text(rc));
        }
    }
    if (removed > 0 && rc == 0) {
        rc = warp_error_from_errno(pool->disk->ops->sync_directory(pool->disk->context));
        if (rc < 0) {
            (void)warp_pool_say(pool, rc, "syncing the directory of the backups: %s",
                                warp_error_text(rc));
        }
    }
done:
    warp_memory_release(pool->memory, gather.items, gather.capacity * gather.item_bytes);
    warp_pool_numbers_release(pool, &numbers, count);
    return rc;
}

int warp_pool_delete(struct warp_pool *pool, uint64_t number)
{
    const struct warp_disk *disk = pool->disk;
    char name[WARP_POOL_NAME_BYTES];
    int rc;

    warp_pool_backup_name(number, name);
    rc = warp_error_from_errno(disk->ops->unlink(disk->context, name));
    if (rc == WARP_ENOENT) {
        return warp_pool_say(pool, rc, "there is no backup %llu",
                             (unsigned long long)number);
    }
    if (rc == 0) {
        rc = warp_error_from_errno(disk->ops->sync_directory(disk->context));
    }
    if (rc < 0) {
        return warp_pool_say(pool, rc, "removing %s: %s", name, warp_error_text(rc));
    }
    return warp_pool_collect(pool);
}
