#include "shards/placement.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"

static const uint8_t placement_magic[8] = {'W', 'A', 'R', 'P', 'M', 'A', 'P', 1};

#define PLACEMENT_VERSION 1u

/* Where the fields lie: docs/WAL_FORMAT.md. */
enum {
    PLACEMENT_AT_MAGIC = 0,
    PLACEMENT_AT_FORMAT = 8,
    PLACEMENT_AT_READER = 12,
    PLACEMENT_AT_HEADER_BYTES = 16,
    PLACEMENT_AT_CRC = 20,
    PLACEMENT_AT_ID = 24,
    PLACEMENT_AT_SHARDS = 40,
    PLACEMENT_AT_SLOTS = 44,
    PLACEMENT_HEADER_BYTES = WARP_FILE_HEADER_BYTES,
    PLACEMENT_BYTES = PLACEMENT_HEADER_BYTES + WARP_SLOT_COUNT,
};

static uint32_t placement_crc(const uint8_t *bytes)
{
    static const uint8_t zero[4];
    uint32_t crc;

    crc = warp_crc32c(0, bytes, PLACEMENT_AT_CRC);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    return warp_crc32c(crc, bytes + PLACEMENT_AT_CRC + 4,
                       PLACEMENT_BYTES - PLACEMENT_AT_CRC - 4);
}

static int placement_decode(struct warp_store *store, const uint8_t *bytes,
                            const struct warp_manifest *manifest)
{
    if (memcmp(bytes + PLACEMENT_AT_MAGIC, placement_magic, sizeof(placement_magic)) != 0) {
        return WARP_EFORMAT;
    }
    if (warp_load_u32le(bytes + PLACEMENT_AT_READER) > PLACEMENT_VERSION) {
        return WARP_EVERSION;
    }
    if (warp_load_u32le(bytes + PLACEMENT_AT_CRC) != placement_crc(bytes) ||
        warp_load_u32le(bytes + PLACEMENT_AT_HEADER_BYTES) != PLACEMENT_HEADER_BYTES ||
        warp_load_u32le(bytes + PLACEMENT_AT_SLOTS) != WARP_SLOT_COUNT) {
        return WARP_EDAMAGED;
    }
    if (memcmp(bytes + PLACEMENT_AT_ID, manifest->id, sizeof(manifest->id)) != 0) {
        return WARP_EFORMAT;
    }
    if (warp_load_u32le(bytes + PLACEMENT_AT_SHARDS) != store->shard_count) {
        return WARP_ABSENT;
    }
    return warp_slotmap_load(&store->slotmap, bytes + PLACEMENT_HEADER_BYTES,
                             store->shard_count);
}

int warp_placement_load(struct warp_store *store, const struct warp_disk *disk,
                        const struct warp_manifest *manifest)
{
    uint8_t *bytes;
    int32_t file;
    int64_t got;
    int rc;

    warp_assert(warp_slotmap_version(&store->slotmap) == 0);
    file = disk->ops->open(disk->context, WARP_PLACEMENT_NAME, WARP_FILE_READ_ONLY);
    if (file < 0) {
        rc = warp_error_from_errno(file);
        return rc == WARP_ENOENT ? WARP_ABSENT : rc;
    }
    bytes = warp_memory_reserve(store->memory, PLACEMENT_BYTES, 0);
    if (bytes == NULL) {
        disk->ops->close(disk->context, file);
        return WARP_ENOMEM;
    }
    got = disk->ops->read(disk->context, file, bytes, PLACEMENT_BYTES, 0);
    disk->ops->close(disk->context, file);
    if (got < 0) {
        rc = warp_error_from_errno((int)got);
    } else {
        rc = got == PLACEMENT_BYTES ? placement_decode(store, bytes, manifest)
                                    : WARP_EDAMAGED;
    }
    warp_memory_release(store->memory, bytes, PLACEMENT_BYTES);
    return rc;
}

static int placement_write(const struct warp_disk *disk, const uint8_t *bytes)
{
    const struct warp_disk_ops *ops = disk->ops;
    int64_t wrote;
    int32_t file;
    int rc;

    file = ops->open(disk->context, WARP_PLACEMENT_NAME_ASIDE, WARP_FILE_CREATE);
    if (file < 0) {
        return file;
    }
    wrote = ops->write(disk->context, file, bytes, PLACEMENT_BYTES, 0, false);
    rc = wrote < 0 ? (int)wrote : 0;
    if (rc == 0) {
        /* A longer file left by something else must not lend its tail. */
        rc = ops->truncate(disk->context, file, PLACEMENT_BYTES);
    }
    if (rc == 0) {
        rc = ops->sync(disk->context, file);
    }
    ops->close(disk->context, file);
    if (rc == 0) {
        rc = ops->rename(disk->context, WARP_PLACEMENT_NAME_ASIDE, WARP_PLACEMENT_NAME);
    }
    if (rc != 0) {
        /* Whether this works or not, nobody reads the file. */
        (void)ops->unlink(disk->context, WARP_PLACEMENT_NAME_ASIDE);
        return rc;
    }
    return ops->sync_directory(disk->context);
}

int warp_placement_save(struct warp_store *store, const struct warp_disk *disk,
                        const struct warp_manifest *manifest)
{
    /* Before the owners: those of later moves may be among them, earlier ones are. */
    uint64_t version = warp_slotmap_settled(&store->slotmap);
    uint8_t *bytes;
    int rc;

    if (version == store->placement_saved) {
        return 0;
    }
    bytes = warp_memory_reserve(store->memory, PLACEMENT_BYTES, 0);
    if (bytes == NULL) {
        return WARP_ENOMEM;
    }
    memset(bytes, 0, PLACEMENT_HEADER_BYTES);
    memcpy(bytes + PLACEMENT_AT_MAGIC, placement_magic, sizeof(placement_magic));
    warp_store_u32le(bytes + PLACEMENT_AT_FORMAT, PLACEMENT_VERSION);
    warp_store_u32le(bytes + PLACEMENT_AT_READER, PLACEMENT_VERSION);
    warp_store_u32le(bytes + PLACEMENT_AT_HEADER_BYTES, PLACEMENT_HEADER_BYTES);
    memcpy(bytes + PLACEMENT_AT_ID, manifest->id, sizeof(manifest->id));
    warp_store_u32le(bytes + PLACEMENT_AT_SHARDS, store->shard_count);
    warp_store_u32le(bytes + PLACEMENT_AT_SLOTS, WARP_SLOT_COUNT);
    warp_slotmap_save(&store->slotmap, bytes + PLACEMENT_HEADER_BYTES);
    warp_store_u32le(bytes + PLACEMENT_AT_CRC, placement_crc(bytes));
    rc = warp_error_from_errno(placement_write(disk, bytes));
    if (rc == 0) {
        store->placement_saved = version;
    }
    warp_memory_release(store->memory, bytes, PLACEMENT_BYTES);
    return rc;
}
