/* Pages with a right checksum are counted by the database that they name. */
#include "tools/inspect/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"
#include "wal/segment.h"
#include "warp/warp.h"

#define IDENTITY_NAMES_MAX 64u

struct identity_count {
    uint8_t id[WARP_DATABASE_ID_BYTES];
    uint64_t files;
    uint32_t segment_bytes; /* 0: no segment has said */
};

struct identity_list {
    const struct warp_disk *disk;
    struct identity_count counts[IDENTITY_NAMES_MAX];
    uint32_t count;
    uint64_t log_bytes; /* of a log file without a good header */
};

static bool identity_has_form(const char *name, const char *prefix)
{
    size_t bytes = strlen(prefix);

    return strncmp(name, prefix, bytes) == 0 && strlen(name) == bytes + 21 &&
           strcmp(name + bytes + 16, ".warp") == 0;
}

static int identity_visit(void *context, const char *name, uint64_t bytes)
{
    static const uint8_t zero[4];
    struct identity_list *list = context;
    const struct warp_disk *disk = list->disk;
    bool is_log = identity_has_form(name, "log-");
    uint8_t page[WARP_FILE_HEADER_BYTES];
    const char *magic;
    uint32_t crc, i;
    int64_t got;
    int32_t file;

    if (!is_log && !identity_has_form(name, "archive-") &&
        !identity_has_form(name, "checkpoint-")) {
        return 0;
    }
    magic = is_log ? "WARPLOG\1" : name[0] == 'a' ? "WARPARC\1" : "WARPCKP\1";
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        return 0;
    }
    got = disk->ops->read(disk->context, file, page, sizeof(page), 0);
    disk->ops->close(disk->context, file);
    crc = warp_crc32c(0, page, 20);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    crc = warp_crc32c(crc, page + 24, sizeof(page) - 24);
    if (got != (int64_t)sizeof(page) || memcmp(page, magic, 8) != 0 ||
        warp_load_u32le(page + 20) != crc) {
        if (is_log && bytes > WARP_SEGMENT_HEADER_BYTES) {
            list->log_bytes = bytes - WARP_SEGMENT_HEADER_BYTES;
        }
        return 0;
    }
    for (i = 0; i < list->count &&
                memcmp(list->counts[i].id, page + 32, WARP_DATABASE_ID_BYTES) != 0;
         i++) {
    }
    if (i == list->count) {
        if (i == IDENTITY_NAMES_MAX) {
            return 0;
        }
        memcpy(list->counts[i].id, page + 32, WARP_DATABASE_ID_BYTES);
        list->count++;
    }
    list->counts[i].files++;
    if (is_log && list->counts[i].segment_bytes == 0) {
        list->counts[i].segment_bytes = warp_load_u32le(page + 24);
    }
    return 0;
}

static bool identity_segment_fits(uint64_t bytes)
{
    return bytes >= WARP_SEGMENT_BYTES_FLOOR && bytes <= WARP_SEGMENT_BYTES_CEIL &&
           warp_is_power_of_two(bytes);
}

int identity_find(struct identity *identity, const struct warp_disk *disk)
{
    struct identity_list list;
    const struct identity_count *best = NULL;
    uint64_t files = 0, ours = 0;
    char message[192] = "";
    uint32_t i;
    int rc;

    memset(identity, 0, sizeof(*identity));
    memset(&list, 0, sizeof(list));
    list.disk = disk;
    rc = disk->ops->list(disk->context, identity_visit, &list);
    if (rc < 0) {
        return warp_error_from_errno(rc);
    }
    rc = warp_manifest_read(disk, &identity->manifest, message, sizeof(message));
    if (rc == WARP_EVERSION || rc == WARP_ENOMEM) {
        return rc;
    }
    for (i = 0; i < list.count; i++) {
        files += list.counts[i].files;
        if (rc == 0 &&
            memcmp(list.counts[i].id, identity->manifest.id, WARP_DATABASE_ID_BYTES) == 0) {
            ours = list.counts[i].files;
        }
        if (best == NULL || list.counts[i].files > best->files) {
            best = &list.counts[i];
        }
    }
    if (rc == 0 && (ours > 0 || best == NULL)) {
        identity->ours = ours;
        identity->foreign = files - ours;
        return 0;
    }
    if (best == NULL) {
        snprintf(identity->why, sizeof(identity->why), "%s",
                 message[0] != 0 ? message : "there is no MANIFEST");
        return WARP_ENOENT;
    }
    snprintf(identity->why, sizeof(identity->why), "%s",
             rc == 0 ? "MANIFEST is that of another database than the files beside it"
             : rc == WARP_ABSENT ? "MANIFEST is missing"
             : message[0] != 0   ? message
                                 : warp_error_text(rc));
    if (strlen(identity->why) > 0 && identity->why[strlen(identity->why) - 1] == '.') {
        identity->why[strlen(identity->why) - 1] = '\0';
    }
    memset(&identity->manifest, 0, sizeof(identity->manifest));
    memcpy(identity->manifest.id, best->id, WARP_DATABASE_ID_BYTES);
    identity->manifest.segment_bytes = 1u << 26;
    if (identity_segment_fits(best->segment_bytes)) {
        identity->manifest.segment_bytes = best->segment_bytes;
    } else if (identity_segment_fits(list.log_bytes)) {
        identity->manifest.segment_bytes = (uint32_t)list.log_bytes;
    }
    identity->manifest.epoch = UINT32_MAX;
    identity->rebuilt = true;
    identity->ours = best->files;
    identity->foreign = files - best->files;
    return 0;
}
