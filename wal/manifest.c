/*
 * The happy path of a write: the page is built and put into MANIFEST.new, made durable,
 * then renamed over MANIFEST, and the directory is synced. A crash before the rename is
 * durable leaves the old page, a crash after it the new one; MANIFEST.new is never read.
 *
 * A read must not mistake damage for absence: a missing manifest beside other files of ours, a short
 * one and one with a wrong checksum are all damage, and only a directory with neither is
 * new.
 */
#include "wal/manifest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"

static const uint8_t manifest_magic[8] = {'W', 'A', 'R', 'P', 'D', 'B', 0, 1};

/* Where the fields lie: docs/WAL_FORMAT.md. */
enum {
    MANIFEST_AT_MAGIC = 0,
    MANIFEST_AT_FORMAT = 8,
    MANIFEST_AT_READER = 12,
    MANIFEST_AT_PAGE_BYTES = 16,
    MANIFEST_AT_CRC = 20,
    MANIFEST_AT_SEGMENT_BYTES = 24,
    MANIFEST_AT_EPOCH = 28,
    MANIFEST_AT_ID = 32,
    MANIFEST_AT_HASH_SEED = 48,
    MANIFEST_AT_CREATED_MS = 56,
    MANIFEST_AT_HEAD = 64,
    MANIFEST_AT_CHECKPOINT = 72,
    MANIFEST_AT_LINEAGE = 80,
    MANIFEST_USED_BYTES = 88,
};

/* The first version whose readers know what a checkpoint is. */
#define MANIFEST_CHECKPOINT_VERSION 2u
/* The first whose readers keep a lineage when they write the page again. */
#define MANIFEST_LINEAGE_VERSION 3u

/* What is on disk: one page, and its bytes are placed by hand. */
struct manifest_page {
    uint8_t bytes[WARP_FILE_HEADER_BYTES];
};
_Static_assert(sizeof(struct manifest_page) == 4096, "the manifest is one page");
_Static_assert((int)MANIFEST_USED_BYTES <= (int)WARP_FILE_HEADER_BYTES, "and fits it");

static uint32_t manifest_crc(const struct manifest_page *page)
{
    static const uint8_t zero[4];
    uint32_t crc;

    crc = warp_crc32c(0, page->bytes, MANIFEST_AT_CRC);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    return warp_crc32c(crc, page->bytes + MANIFEST_AT_CRC + 4,
                       sizeof(page->bytes) - MANIFEST_AT_CRC - 4);
}

static void manifest_say(char *message, size_t message_bytes, const char *text)
{
    if (message != NULL && message_bytes > 0) {
        snprintf(message, message_bytes, "%s", text);
    }
}

/* Log, archives and checkpoints: whoever makes a new database here would remove them. */
static int manifest_see_file(void *context, const char *name, uint64_t bytes)
{
    static const char *const prefixes[] = {"log-", "archive-", "checkpoint-"};
    bool *seen = context;
    size_t length = strlen(name), i;

    (void)bytes;
    for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t prefix = strlen(prefixes[i]);

        if (length > prefix + 5 && strncmp(name, prefixes[i], prefix) == 0 &&
            strcmp(name + length - 5, ".warp") == 0) {
            *seen = true;
        }
    }
    return 0;
}

static int manifest_absent(const struct warp_disk *disk, char *message,
                           size_t message_bytes)
{
    bool seen = false;
    int rc;

    rc = disk->ops->list(disk->context, manifest_see_file, &seen);
    if (rc < 0) {
        manifest_say(message, message_bytes, "The directory cannot be listed.");
        return warp_error_from_errno(rc);
    }
    if (seen) {
        manifest_say(message, message_bytes,
                     "MANIFEST is missing, but there are files of a database.");
        return WARP_EDAMAGED;
    }
    return WARP_ABSENT;
}

static int manifest_decode(const struct manifest_page *page, struct warp_manifest *out,
                           char *message, size_t message_bytes)
{
    const uint8_t *bytes = page->bytes;
    struct warp_manifest manifest;

    if (memcmp(bytes + MANIFEST_AT_MAGIC, manifest_magic, sizeof(manifest_magic)) != 0) {
        manifest_say(message, message_bytes,
                     "MANIFEST, offset 0: this is not a WarpEngine database.");
        return WARP_EFORMAT;
    }
    if (warp_load_u32le(bytes + MANIFEST_AT_CRC) != manifest_crc(page)) {
        manifest_say(message, message_bytes, "MANIFEST, offset 20: the checksum is wrong.");
        return WARP_EDAMAGED;
    }
    if (warp_load_u32le(bytes + MANIFEST_AT_READER) > WARP_MANIFEST_VERSION) {
        manifest_say(message, message_bytes,
                     "MANIFEST, offset 12: written by a newer WarpEngine than this one.");
        return WARP_EVERSION;
    }
    memcpy(manifest.id, bytes + MANIFEST_AT_ID, sizeof(manifest.id));
    manifest.hash_seed = warp_load_u64le(bytes + MANIFEST_AT_HASH_SEED);
    manifest.created_ms = warp_load_u64le(bytes + MANIFEST_AT_CREATED_MS);
    manifest.head_position = warp_load_u64le(bytes + MANIFEST_AT_HEAD);
    manifest.checkpoint_number = warp_load_u64le(bytes + MANIFEST_AT_CHECKPOINT);
    manifest.lineage = warp_load_u64le(bytes + MANIFEST_AT_LINEAGE);
    manifest.segment_bytes = warp_load_u32le(bytes + MANIFEST_AT_SEGMENT_BYTES);
    manifest.epoch = warp_load_u32le(bytes + MANIFEST_AT_EPOCH);
    if (!warp_is_power_of_two(manifest.segment_bytes) ||
        manifest.segment_bytes < WARP_SEGMENT_BYTES_FLOOR ||
        manifest.segment_bytes > WARP_SEGMENT_BYTES_CEIL) {
        manifest_say(message, message_bytes,
                     "MANIFEST, offset 24: the segment size is out of range.");
        return WARP_EDAMAGED;
    }
    if (manifest.head_position % 8 != 0) {
        manifest_say(message, message_bytes,
                     "MANIFEST, offset 64: the head of the log is at no frame.");
        return WARP_EDAMAGED;
    }
    if (manifest.checkpoint_number != 0 &&
        warp_load_u32le(bytes + MANIFEST_AT_READER) < MANIFEST_CHECKPOINT_VERSION) {
        manifest_say(message, message_bytes,
                     "MANIFEST, offset 72: a checkpoint, in a version that knows none.");
        return WARP_EDAMAGED;
    }
    if (manifest.lineage != 0 &&
        warp_load_u32le(bytes + MANIFEST_AT_READER) < MANIFEST_LINEAGE_VERSION) {
        manifest_say(message, message_bytes,
                     "MANIFEST, offset 80: a lineage, in a version that knows none.");
        return WARP_EDAMAGED;
    }
    *out = manifest;
    return 0;
}

int warp_manifest_read(const struct warp_disk *disk, struct warp_manifest *out,
                       char *message, size_t message_bytes)
{
    struct manifest_page page;
    int32_t file;
    int64_t got;

    file = disk->ops->open(disk->context, WARP_MANIFEST_NAME, WARP_FILE_READ_ONLY);
    if (file < 0) {
        if (warp_error_from_errno(file) == WARP_ENOENT) {
            return manifest_absent(disk, message, message_bytes);
        }
        manifest_say(message, message_bytes, "MANIFEST cannot be opened.");
        return warp_error_from_errno(file);
    }
    got = disk->ops->read(disk->context, file, page.bytes, sizeof(page.bytes), 0);
    disk->ops->close(disk->context, file);
    if (got < 0) {
        manifest_say(message, message_bytes, "MANIFEST, offset 0: it cannot be read.");
        return warp_error_from_errno((int)got);
    }
    if (got != (int64_t)sizeof(page.bytes)) {
        if (got >= (int64_t)sizeof(manifest_magic) &&
            memcmp(page.bytes, manifest_magic, sizeof(manifest_magic)) != 0) {
            manifest_say(message, message_bytes,
                         "MANIFEST, offset 0: this is not a WarpEngine database.");
            return WARP_EFORMAT;
        }
        if (message != NULL && message_bytes > 0) {
            snprintf(
                message, message_bytes,
                "MANIFEST, offset %lld: the file ends here, but it should have %zu bytes.",
                (long long)got, sizeof(page.bytes));
        }
        return WARP_EDAMAGED;
    }
    return manifest_decode(&page, out, message, message_bytes);
}

static void manifest_encode(struct manifest_page *page,
                            const struct warp_manifest *manifest)
{
    /* Without a checkpoint the page is the one that version 1 wrote, and it may read it. */
    uint32_t version = manifest->lineage != 0             ? MANIFEST_LINEAGE_VERSION
                       : manifest->checkpoint_number != 0 ? MANIFEST_CHECKPOINT_VERSION
                                                          : 1u;
    uint8_t *bytes = page->bytes;

    memset(bytes, 0, sizeof(page->bytes));
    memcpy(bytes + MANIFEST_AT_MAGIC, manifest_magic, sizeof(manifest_magic));
    warp_store_u32le(bytes + MANIFEST_AT_FORMAT, version);
    warp_store_u32le(bytes + MANIFEST_AT_READER, version);
    warp_store_u32le(bytes + MANIFEST_AT_PAGE_BYTES, WARP_FILE_HEADER_BYTES);
    warp_store_u32le(bytes + MANIFEST_AT_SEGMENT_BYTES, manifest->segment_bytes);
    warp_store_u32le(bytes + MANIFEST_AT_EPOCH, manifest->epoch);
    memcpy(bytes + MANIFEST_AT_ID, manifest->id, sizeof(manifest->id));
    warp_store_u64le(bytes + MANIFEST_AT_HASH_SEED, manifest->hash_seed);
    warp_store_u64le(bytes + MANIFEST_AT_CREATED_MS, manifest->created_ms);
    warp_store_u64le(bytes + MANIFEST_AT_HEAD, manifest->head_position);
    warp_store_u64le(bytes + MANIFEST_AT_CHECKPOINT, manifest->checkpoint_number);
    warp_store_u64le(bytes + MANIFEST_AT_LINEAGE, manifest->lineage);
    warp_store_u32le(bytes + MANIFEST_AT_CRC, manifest_crc(page));
}

int warp_manifest_write(const struct warp_disk *disk, const struct warp_manifest *manifest)
{
    const struct warp_disk_ops *ops = disk->ops;
    struct manifest_page page;
    int32_t file;
    int64_t wrote;
    int rc;

    warp_assert(warp_is_power_of_two(manifest->segment_bytes));
    warp_assert(manifest->segment_bytes >= WARP_SEGMENT_BYTES_FLOOR);
    warp_assert(manifest->segment_bytes <= WARP_SEGMENT_BYTES_CEIL);
    warp_assert(manifest->head_position % 8 == 0);
    manifest_encode(&page, manifest);

    file = ops->open(disk->context, WARP_MANIFEST_NAME_ASIDE, WARP_FILE_CREATE);
    if (file < 0) {
        return warp_error_from_errno(file);
    }
    wrote = ops->write(disk->context, file, page.bytes, sizeof(page.bytes), 0, false);
    rc = wrote < 0 ? (int)wrote : 0;
    if (rc == 0) {
        /* A longer file left by something else must not lend its tail. */
        rc = ops->truncate(disk->context, file, sizeof(page.bytes));
    }
    if (rc == 0) {
        rc = ops->sync(disk->context, file);
    }
    ops->close(disk->context, file);
    if (rc == 0) {
        rc = ops->rename(disk->context, WARP_MANIFEST_NAME_ASIDE, WARP_MANIFEST_NAME);
    } else {
        /* Whether this works or not, nobody reads the file. */
        (void)ops->unlink(disk->context, WARP_MANIFEST_NAME_ASIDE);
    }
    if (rc == 0) {
        rc = ops->sync_directory(disk->context);
    }
    return warp_error_from_errno(rc);
}

uint32_t warp_manifest_seed(const struct warp_manifest *manifest)
{
    return warp_crc32c(0, manifest->id, sizeof(manifest->id));
}
