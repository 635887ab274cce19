/*
 * The happy path: init lists the directory once, sorts what it finds into log files, older
 * ones below the head, spares and half-made files, and checks that the log files follow one
 * another without a gap. retain is told which of the older ones are needed, and gives up the
 * others. extend takes a spare or makes a file, and gives it its name only when it is
 * durable, so whatever has a name has its size and its header. locate keeps a small table of
 * open handles. advance moves the begin of the log past files that stay where they are, and
 * drop gives them up one by one, while the log goes on.
 *
 * What can go wrong: the disk fills up while a file is made (the half-made file is removed,
 * the log is as before); the process runs out of handles (those that nobody can be using
 * are closed and the open is tried once more); a crash anywhere (init finds a half-made
 * file or a spare with any header and clears it away; files below the head that no
 * checkpoint names are given up by retain).
 */
#include "wal/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"
#include "base/thread.h"

static const uint8_t segment_magic[8] = {'W', 'A', 'R', 'P', 'L', 'O', 'G', 1};

enum {
    SEGMENT_AT_MAGIC = 0,
    SEGMENT_AT_FORMAT = 8,
    SEGMENT_AT_READER = 12,
    SEGMENT_AT_HEADER_BYTES = 16,
    SEGMENT_AT_CRC = 20,
    SEGMENT_AT_SEGMENT_BYTES = 24,
    SEGMENT_AT_ID = 32,
    SEGMENT_AT_INDEX = 48,
    SEGMENT_USED_BYTES = 56,
};
_Static_assert((int)SEGMENT_USED_BYTES <= (int)WARP_SEGMENT_HEADER_BYTES, "fits");
_Static_assert(WARP_SEGMENT_HANDLES_RECENT + WARP_SEGMENT_HANDLES_PINNED <
                   WARP_SEGMENT_HANDLES_MAX,
               "there is always a handle that may be closed");

enum segment_name_kind {
    SEGMENT_NAME_LOG,
    SEGMENT_NAME_ASIDE,
    SEGMENT_NAME_SPARE,
};

static void segment_make_name(enum segment_name_kind kind, uint64_t index,
                              char out[WARP_SEGMENT_NAME_BYTES])
{
    const char *before = kind == SEGMENT_NAME_SPARE ? "spare" : "log";
    const char *after = kind == SEGMENT_NAME_ASIDE ? "new" : "warp";

    snprintf(out, WARP_SEGMENT_NAME_BYTES, "%s-%016llx.%s", before,
             (unsigned long long)index, after);
}

void warp_segment_name(uint64_t index, char out[WARP_SEGMENT_NAME_BYTES])
{
    segment_make_name(SEGMENT_NAME_LOG, index, out);
}

/*
 * Whether the name is one of ours; only the exact form that segment_make_name() writes is.
 */
static bool segment_parse_name(const char *name, enum segment_name_kind *kind,
                               uint64_t *index)
{
    static const enum segment_name_kind kinds[] = {SEGMENT_NAME_LOG, SEGMENT_NAME_ASIDE,
                                                   SEGMENT_NAME_SPARE};
    const char *digits = strchr(name, '-');
    char again[WARP_SEGMENT_NAME_BYTES];
    uint64_t value = 0;
    uint32_t i;

    if (digits == NULL || strlen(digits) < 17) {
        return false;
    }
    for (i = 1; i <= 16; i++) {
        char c = digits[i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        segment_make_name(kinds[i], value, again);
        if (strcmp(again, name) == 0) {
            *kind = kinds[i];
            *index = value;
            return true;
        }
    }
    return false;
}

/*
 * ---- the header -----------------------------------------------------------------------
 */

static uint64_t segment_file_bytes(const struct warp_segments *segments)
{
    return (uint64_t)WARP_SEGMENT_HEADER_BYTES + segments->segment_bytes;
}

static uint32_t segment_header_crc(const uint8_t *bytes)
{
    static const uint8_t zero[4];
    uint32_t crc;

    crc = warp_crc32c(0, bytes, SEGMENT_AT_CRC);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    return warp_crc32c(crc, bytes + SEGMENT_AT_CRC + 4,
                       WARP_SEGMENT_HEADER_BYTES - SEGMENT_AT_CRC - 4);
}

static void segment_encode(void *page, const uint8_t id[WARP_DATABASE_ID_BYTES],
                           uint32_t segment_bytes, uint64_t index)
{
    uint8_t *bytes = page;

    memset(bytes, 0, WARP_SEGMENT_HEADER_BYTES);
    memcpy(bytes + SEGMENT_AT_MAGIC, segment_magic, sizeof(segment_magic));
    warp_store_u32le(bytes + SEGMENT_AT_FORMAT, WARP_FORMAT_VERSION);
    warp_store_u32le(bytes + SEGMENT_AT_READER, WARP_FORMAT_VERSION);
    warp_store_u32le(bytes + SEGMENT_AT_HEADER_BYTES, WARP_SEGMENT_HEADER_BYTES);
    warp_store_u32le(bytes + SEGMENT_AT_SEGMENT_BYTES, segment_bytes);
    memcpy(bytes + SEGMENT_AT_ID, id, WARP_DATABASE_ID_BYTES);
    warp_store_u64le(bytes + SEGMENT_AT_INDEX, index);
    warp_store_u32le(bytes + SEGMENT_AT_CRC, segment_header_crc(bytes));
}

static void segment_encode_header(struct warp_segments *segments, uint64_t index)
{
    segment_encode(segments->page, segments->id, segments->segment_bytes, index);
}

void warp_segment_encode_header(void *page, const struct warp_manifest *manifest,
                                uint64_t index)
{
    segment_encode(page, manifest->id, manifest->segment_bytes, index);
}

static int segment_say(struct warp_segments *segments, uint64_t index, uint32_t offset,
                       const char *what, int rc)
{
    char name[WARP_SEGMENT_NAME_BYTES];

    warp_segment_name(index, name);
    snprintf(segments->message, sizeof(segments->message), "%s, offset %u: %s.", name,
             offset, what);
    return rc;
}

/* Read and judge the header of an open file of the log. */
static int segment_check(struct warp_segments *segments, uint64_t index, int32_t file)
{
    const struct warp_disk *disk = segments->disk;
    const uint8_t *bytes = segments->page;
    int64_t size, got;

    size = disk->ops->size(disk->context, file);
    if (size < 0) {
        return segment_say(segments, index, 0, "its size cannot be read",
                           warp_error_from_errno((int)size));
    }
    memset(segments->page, 0, WARP_SEGMENT_HEADER_BYTES);
    got =
        disk->ops->read(disk->context, file, segments->page, WARP_SEGMENT_HEADER_BYTES, 0);
    if (got < 0) {
        return segment_say(segments, index, 0, "the header cannot be read",
                           warp_error_from_errno((int)got));
    }
    if (memcmp(bytes + SEGMENT_AT_MAGIC, segment_magic, sizeof(segment_magic)) != 0) {
        static const uint8_t zero[sizeof(segment_magic)];

        /* With our id behind it, or blank, it was ours and has lost its magic. */
        if (memcmp(bytes + SEGMENT_AT_ID, segments->id, sizeof(segments->id)) != 0 &&
            memcmp(bytes, zero, sizeof(zero)) != 0) {
            return segment_say(segments, index, SEGMENT_AT_MAGIC,
                               "this is no log file of WarpEngine", WARP_EFORMAT);
        }
        return segment_say(segments, index, SEGMENT_AT_MAGIC, "the header is lost",
                           WARP_EDAMAGED);
    }
    if (got != (int64_t)WARP_SEGMENT_HEADER_BYTES) {
        return segment_say(segments, index, (uint32_t)got, "the file ends in its header",
                           WARP_EDAMAGED);
    }
    if (warp_load_u32le(bytes + SEGMENT_AT_CRC) != segment_header_crc(bytes)) {
        return segment_say(segments, index, SEGMENT_AT_CRC,
                           "the header's checksum is wrong", WARP_EDAMAGED);
    }
    if (warp_load_u32le(bytes + SEGMENT_AT_READER) > WARP_FORMAT_VERSION) {
        return segment_say(segments, index, SEGMENT_AT_READER,
                           "written by a newer WarpEngine than this one", WARP_EVERSION);
    }
    if (memcmp(bytes + SEGMENT_AT_ID, segments->id, sizeof(segments->id)) != 0) {
        return segment_say(segments, index, SEGMENT_AT_ID,
                           "this log file belongs to another database", WARP_EFORMAT);
    }
    if (warp_load_u32le(bytes + SEGMENT_AT_SEGMENT_BYTES) != segments->segment_bytes) {
        return segment_say(segments, index, SEGMENT_AT_SEGMENT_BYTES,
                           "the segment size is not the manifest's", WARP_EDAMAGED);
    }
    if (warp_load_u64le(bytes + SEGMENT_AT_INDEX) != index) {
        return segment_say(segments, index, SEGMENT_AT_INDEX,
                           "the file has another segment's name", WARP_EDAMAGED);
    }
    if ((uint64_t)size < segment_file_bytes(segments)) {
        return segment_say(segments, index, (uint32_t)size, "the file is cut off here",
                           WARP_EDAMAGED);
    }
    return 0;
}

/*
 * ---- handles --------------------------------------------------------------------------
 */

static bool segment_pinned(const struct warp_segments *segments, uint64_t index)
{
    uint64_t end = warp_segments_end(segments) / segments->segment_bytes;

    return index + WARP_SEGMENT_HANDLES_PINNED >= end;
}

static void segment_close(struct warp_segments *segments, uint32_t slot)
{
    warp_assert(slot < segments->handle_count);
    warp_assert(segments->handles[slot].pins == 0);
    segments->disk->ops->close(segments->disk->context, segments->handles[slot].file);
    segments->handle_count--;
    segments->handles[slot] = segments->handles[segments->handle_count];
}

/* Close the handle that was used longest ago among those that may be closed. */
static bool segment_close_one(struct warp_segments *segments)
{
    uint32_t best = UINT32_MAX;
    uint32_t newer, i, j;

    for (i = 0; i < segments->handle_count; i++) {
        if (segments->handles[i].pins > 0 ||
            segment_pinned(segments, segments->handles[i].index)) {
            continue;
        }
        if (best == UINT32_MAX ||
            segments->handles[i].used < segments->handles[best].used) {
            best = i;
        }
    }
    if (best == UINT32_MAX) {
        return false;
    }
    newer = 0;
    for (j = 0; j < segments->handle_count; j++) {
        newer += segments->handles[j].used > segments->handles[best].used;
    }
    if (newer < WARP_SEGMENT_HANDLES_RECENT) {
        return false;
    }
    segment_close(segments, best);
    return true;
}

static int32_t segment_open_name(struct warp_segments *segments, const char *name,
                                 uint32_t flags)
{
    const struct warp_disk *disk = segments->disk;
    int32_t file;

    flags |= segments->read_only ? (uint32_t)WARP_FILE_READ_ONLY : 0u;
    flags |= segments->direct ? (uint32_t)WARP_FILE_DIRECT : 0u;
    for (;;) {
        file = disk->ops->open(disk->context, name, flags);
        /* No handles left: give back one of ours and try again, at most 64 times. */
        if (file < 0 && warp_error_from_errno(file) == WARP_ESYSTEM &&
            segment_close_one(segments)) {
            continue;
        }
        return file;
    }
}

static int segment_hold(struct warp_segments *segments, uint64_t index, int32_t file,
                        struct warp_segment_handle **out)
{
    struct warp_segment_handle *handle;

    if (segments->handle_count == WARP_SEGMENT_HANDLES_MAX &&
        !segment_close_one(segments)) {
        return WARP_ESYSTEM;
    }
    handle = &segments->handles[segments->handle_count++];
    handle->index = index;
    handle->file = file;
    handle->pins = 0;
    handle->used = ++segments->use_count;
    *out = handle;
    return 0;
}

/* The open handle of a segment; opens and checks the file if need be. */
static int segment_handle(struct warp_segments *segments, uint64_t index,
                          struct warp_segment_handle **out)
{
    const struct warp_disk *disk = segments->disk;
    char name[WARP_SEGMENT_NAME_BYTES];
    int32_t file;
    uint32_t i;
    int rc;

    for (i = 0; i < segments->handle_count; i++) {
        if (segments->handles[i].index == index) {
            segments->handles[i].used = ++segments->use_count;
            *out = &segments->handles[i];
            return 0;
        }
    }
    warp_segment_name(index, name);
    file = segment_open_name(segments, name, 0);
    if (file < 0) {
        rc = warp_error_from_errno(file);
        if (rc == WARP_ENOENT) {
            return segment_say(segments, index, 0, "the file is missing", WARP_EDAMAGED);
        }
        return segment_say(segments, index, 0, "the file cannot be opened", rc);
    }
    rc = segment_check(segments, index, file);
    if (rc == 0) {
        rc = segment_hold(segments, index, file, out);
    }
    if (rc < 0) {
        disk->ops->close(disk->context, file);
    }
    return rc;
}

/*
 * ---- finding the files ----------------------------------------------------------------
 */

struct segment_list {
    struct warp_segments *segments;
    int rc;                 /* why the walk was ended */
    uint64_t head;          /* index of the first segment of the log */
    uint64_t first, needed; /* of those not below head: the least, and how many */
    uint64_t pass_count;    /* files to clear away that this pass has met */
    uint64_t clear[16];     /* the first of them ... */
    enum segment_name_kind clear_kind[16];
    uint32_t clear_count;
};

static void segment_list_clear(struct segment_list *list, enum segment_name_kind kind,
                               uint64_t index)
{
    list->pass_count++;
    if (list->clear_count < sizeof(list->clear) / sizeof(list->clear[0])) {
        list->clear[list->clear_count] = index;
        list->clear_kind[list->clear_count] = kind;
        list->clear_count++;
    }
}

/* Remember a file below the head. */
static int segment_remember(struct warp_segments *segments, uint64_t index)
{
    if (segments->found_count == segments->found_capacity) {
        uint32_t capacity = segments->found_capacity * 2 + 64;
        uint64_t *more = warp_memory_reserve(segments->memory, capacity * sizeof(*more), 0);

        if (more == NULL) {
            return WARP_ENOMEM;
        }
        if (segments->found_count > 0) {
            memcpy(more, segments->found, segments->found_count * sizeof(*more));
        }
        warp_memory_release(segments->memory, segments->found,
                            segments->found_capacity * sizeof(*more));
        segments->found = more;
        segments->found_capacity = capacity;
    }
    segments->found[segments->found_count++] = index;
    return 0;
}

static void segment_forget_found(struct warp_segments *segments)
{
    warp_memory_release(segments->memory, segments->found,
                        segments->found_capacity * sizeof(*segments->found));
    segments->found = NULL;
    segments->found_count = 0;
    segments->found_capacity = 0;
}

static int segment_list_visit(void *context, const char *name, uint64_t bytes)
{
    struct segment_list *list = context;
    struct warp_segments *segments = list->segments;
    enum segment_name_kind kind;
    uint64_t index;

    if (!segment_parse_name(name, &kind, &index)) {
        return 0;
    }
    switch (kind) {
    case SEGMENT_NAME_LOG:
        if (index < list->head) {
            list->rc = segment_remember(segments, index);
            return list->rc;
        }
        list->first = list->needed == 0 || index < list->first ? index : list->first;
        list->needed++;
        break;
    case SEGMENT_NAME_ASIDE:
        segment_list_clear(list, kind, index);
        break;
    case SEGMENT_NAME_SPARE:
        if (segments->spare_count < WARP_SEGMENT_SPARES_MAX &&
            bytes >= segment_file_bytes(segments)) {
            segments->spares[segments->spare_count++] = index;
        } else {
            segment_list_clear(list, kind, index);
        }
        break;
    }
    return 0;
}

static void segment_lock_spares(struct warp_segments *segments)
{
    uint32_t round = 0;

    /* Acquire: pairs with the release in segment_unlock_spares. */
    while (atomic_exchange_explicit(&segments->spare_lock, 1, memory_order_acquire) != 0) {
        if (++round % 64 == 0) {
            warp_thread_yield();
        } else {
            warp_cpu_relax();
        }
    }
}

static void segment_unlock_spares(struct warp_segments *segments)
{
    /* Release: pairs with the acquire in segment_lock_spares. */
    atomic_store_explicit(&segments->spare_lock, 0, memory_order_release);
}

/* Take a spare out of the list, keeping its place in it; false if there is none. */
static bool segment_take_spare(struct warp_segments *segments, uint64_t *number)
{
    bool taken = false;

    segment_lock_spares(segments);
    if (segments->spare_count > 0) {
        *number = segments->spares[--segments->spare_count];
        segments->spare_pending++;
        taken = true;
    }
    segment_unlock_spares(segments);
    return taken;
}

/* Keep a place in the list, if there is one. */
static bool segment_keep_place(struct warp_segments *segments)
{
    bool kept = false;

    segment_lock_spares(segments);
    if (segments->spare_count + segments->spare_pending < WARP_SEGMENT_SPARES_MAX) {
        segments->spare_pending++;
        kept = true;
    }
    segment_unlock_spares(segments);
    return kept;
}

/* Use the place that was kept, or let it go. */
static void segment_settle_place(struct warp_segments *segments, bool use, uint64_t number)
{
    segment_lock_spares(segments);
    segments->spare_pending--;
    if (use) {
        segments->spares[segments->spare_count++] = number;
    }
    segment_unlock_spares(segments);
}

/* Give up one file of the log: a spare if there is room for one, else it is removed. */
static int segment_give_up(struct warp_segments *segments, uint64_t index)
{
    const struct warp_disk *disk = segments->disk;
    char name[WARP_SEGMENT_NAME_BYTES], spare[WARP_SEGMENT_NAME_BYTES];
    int rc;

    warp_segment_name(index, name);
    if (segment_keep_place(segments)) {
        segment_make_name(SEGMENT_NAME_SPARE, index, spare);
        rc = disk->ops->rename(disk->context, name, spare);
        segment_settle_place(segments, rc == 0, index);
    } else {
        rc = disk->ops->unlink(disk->context, name);
    }
    return warp_error_from_errno(rc);
}

/*
 * List the directory, clear away what a crash left, and list again, until there is nothing
 * more to clear: a list has a bounded memory of what it met, and a file is not renamed or
 * removed while the directory is being read.
 */
static int segment_find(struct segment_list *list, const struct warp_manifest *manifest)
{
    struct warp_segments *segments = list->segments;
    const struct warp_disk *disk = segments->disk;
    char name[WARP_SEGMENT_NAME_BYTES];
    uint32_t i;
    int rc;

    for (;;) {
        memset(list, 0, sizeof(*list));
        list->segments = segments;
        list->head = manifest->head_position / segments->segment_bytes;
        segments->spare_count = 0;
        segments->found_count = 0;
        rc = disk->ops->list(disk->context, segment_list_visit, list);
        if (list->rc < 0) {
            snprintf(segments->message, sizeof(segments->message),
                     "There is no memory left.");
            return list->rc;
        }
        if (rc < 0) {
            snprintf(segments->message, sizeof(segments->message),
                     "The directory cannot be listed.");
            return warp_error_from_errno(rc);
        }
        if (list->pass_count == 0 || segments->read_only) {
            return 0;
        }
        for (i = 0; i < list->clear_count; i++) {
            segment_make_name(list->clear_kind[i], list->clear[i], name);
            rc = warp_error_from_errno(disk->ops->unlink(disk->context, name));
            if (rc < 0) {
                snprintf(segments->message, sizeof(segments->message),
                         "%s cannot be removed.", name);
                return rc;
            }
        }
    }
}

int warp_segments_init(struct warp_segments *segments, const struct warp_disk *disk,
                       struct warp_memory *memory, const struct warp_manifest *manifest,
                       bool read_only, bool direct)
{
    struct warp_segment_handle *handle;
    struct segment_list list;
    uint64_t index, end;
    int rc;

    warp_assert(warp_is_power_of_two(manifest->segment_bytes));
    warp_assert(manifest->segment_bytes >= WARP_SEGMENT_BYTES_FLOOR);
    memset(segments, 0, sizeof(*segments));
    segments->disk = disk;
    segments->memory = memory;
    memcpy(segments->id, manifest->id, sizeof(segments->id));
    segments->segment_bytes = manifest->segment_bytes;
    segments->read_only = read_only;
    segments->direct = direct;
    segments->page = warp_memory_reserve(memory, WARP_SEGMENT_HEADER_BYTES, 4096);
    if (segments->page == NULL) {
        snprintf(segments->message, sizeof(segments->message), "There is no memory left.");
        return WARP_ENOMEM;
    }
    list.segments = segments;
    rc = segment_find(&list, manifest);
    if (rc < 0) {
        goto fail;
    }
    end = list.head + list.needed;
    if (list.needed == 0 && (manifest->epoch > 1 || manifest->head_position > 0)) {
        rc = segment_say(segments, list.head, 0, "the file is missing", WARP_EDAMAGED);
        goto fail;
    }
    /* Sound files are all named by now: a gap is where first or a later one is not. */
    if (list.needed > 0 && list.first != list.head) {
        rc = segment_say(segments, list.head, 0, "the file is missing", WARP_EDAMAGED);
        goto fail;
    }
    /*
     * n files whose last is not the nth have a gap below the nth: opening that one finds
     * it.
     */
    atomic_store_explicit(&segments->begin, list.head * segments->segment_bytes,
                          memory_order_relaxed); /* nobody else knows the struct yet */
    atomic_store_explicit(&segments->end, end * segments->segment_bytes,
                          memory_order_relaxed);
    atomic_store_explicit(&segments->retained, segments->found_count, memory_order_relaxed);
    for (index = list.head; index < end; index++) {
        rc = segment_handle(segments, index, &handle);
        if (rc == WARP_ESYSTEM) {
            /* Nothing is in flight yet, so all but the last few may be closed. */
            warp_segments_trim(segments);
            rc = segment_handle(segments, index, &handle);
        }
        if (rc < 0) {
            goto fail;
        }
    }
    return 0;

fail:
    warp_segments_fini(segments);
    return rc;
}

void warp_segments_fini(struct warp_segments *segments)
{
    while (segments->handle_count > 0) {
        segment_close(segments, segments->handle_count - 1);
    }
    segment_forget_found(segments);
    warp_memory_release(segments->memory, segments->page, WARP_SEGMENT_HEADER_BYTES);
    segments->page = NULL;
}

#define SEGMENT_LISTED (UINT64_C(1) << 63) /* in found: retain was told of it */

static int segment_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a & ~SEGMENT_LISTED;
    uint64_t right = *(const uint64_t *)b & ~SEGMENT_LISTED;

    return left < right ? -1 : left > right;
}

/* Check a file below the head, which gets no place among the open handles. */
static int segment_check_name(struct warp_segments *segments, uint64_t index)
{
    const struct warp_disk *disk = segments->disk;
    char name[WARP_SEGMENT_NAME_BYTES];
    int32_t file;
    int rc;

    warp_segment_name(index, name);
    file = segment_open_name(segments, name, WARP_FILE_READ_ONLY);
    if (file < 0) {
        return segment_say(segments, index, 0, "the file cannot be opened",
                           warp_error_from_errno(file));
    }
    rc = segment_check(segments, index, file);
    disk->ops->close(disk->context, file);
    return rc;
}

int warp_segments_retain(struct warp_segments *segments, const uint64_t *indexes,
                         uint32_t count)
{
    uint64_t head = warp_segments_begin(segments) / segments->segment_bytes;
    uint64_t end = warp_segments_end(segments) / segments->segment_bytes;
    uint64_t retained = 0;
    uint32_t i;
    int rc;

    if (segments->found_count > 0) {
        qsort(segments->found, segments->found_count, sizeof(segments->found[0]),
              segment_compare);
    }
    for (i = 0; i < count; i++) {
        uint64_t *found = NULL;

        if (indexes[i] >= head && indexes[i] < end) {
            continue; /* checked by init */
        }
        if (segments->found_count > 0) {
            found = bsearch(&indexes[i], segments->found, segments->found_count,
                            sizeof(segments->found[0]), segment_compare);
        }
        if (found == NULL) {
            return segment_say(segments, indexes[i], 0,
                               "the file is missing, and values lie in it", WARP_EDAMAGED);
        }
        rc = segment_check_name(segments, indexes[i]);
        if (rc < 0) {
            return rc;
        }
        retained += (*found & SEGMENT_LISTED) == 0;
        *found |= SEGMENT_LISTED;
    }
    for (i = 0; i < segments->found_count && !segments->read_only; i++) {
        if ((segments->found[i] & SEGMENT_LISTED) == 0) {
            rc = segment_give_up(segments, segments->found[i]);
            if (rc < 0) {
                return segment_say(segments, segments->found[i], 0,
                                   "the file cannot be removed", rc);
            }
        }
    }
    segment_forget_found(segments);
    atomic_store_explicit(&segments->retained, retained, memory_order_relaxed);
    return 0;
}

uint64_t warp_segments_begin(const struct warp_segments *segments)
{
    /* Pairs with the release in warp_segments_advance. */
    return atomic_load_explicit(&segments->begin, memory_order_acquire);
}

uint64_t warp_segments_end(const struct warp_segments *segments)
{
    /* Pairs with the release in warp_segments_extend. */
    return atomic_load_explicit(&segments->end, memory_order_acquire);
}

/*
 * ---- growing and giving up ------------------------------------------------------------
 */

/* Fill and name a file that is open under the name `from`. */
static int segment_finish(struct warp_segments *segments, uint64_t index, int32_t file,
                          const char *from)
{
    const struct warp_disk *disk = segments->disk;
    char name[WARP_SEGMENT_NAME_BYTES];
    int64_t wrote;
    int rc;

    rc = disk->ops->allocate(disk->context, file, segment_file_bytes(segments));
    if (rc < 0) {
        return rc;
    }
    segment_encode_header(segments, index);
    wrote = disk->ops->write(disk->context, file, segments->page, WARP_SEGMENT_HEADER_BYTES,
                             0, false);
    if (wrote < 0) {
        return (int)wrote;
    }
    rc = disk->ops->sync(disk->context, file);
    if (rc < 0) {
        return rc;
    }
    warp_segment_name(index, name);
    rc = disk->ops->rename(disk->context, from, name);
    if (rc < 0) {
        return rc;
    }
    return disk->ops->sync_directory(disk->context);
}

/* Handles of files that advance has taken out of the log. */
static void segment_close_retained(struct warp_segments *segments)
{
    uint64_t begin = warp_segments_begin(segments) / segments->segment_bytes;
    uint32_t i = 0;

    while (i < segments->handle_count) {
        if (segments->handles[i].pins == 0 && segments->handles[i].index < begin) {
            segment_close(segments, i);
        } else {
            i++;
        }
    }
}

int warp_segments_extend(struct warp_segments *segments)
{
    const struct warp_disk *disk = segments->disk;
    uint64_t end = warp_segments_end(segments);
    uint64_t index = end / segments->segment_bytes;
    char from[WARP_SEGMENT_NAME_BYTES], name[WARP_SEGMENT_NAME_BYTES];
    struct warp_segment_handle *handle;
    uint64_t spare = 0;
    bool from_spare;
    int32_t file;
    int rc;

    warp_assert(!segments->read_only);
    segment_close_retained(segments);
    from_spare = segment_take_spare(segments, &spare);
    if (from_spare) {
        segment_make_name(SEGMENT_NAME_SPARE, spare, from);
        file = segment_open_name(segments, from, 0);
        if (file < 0) {
            bool gone = warp_error_from_errno(file) == WARP_ENOENT;

            segment_settle_place(segments, !gone, spare);
            if (!gone) {
                return warp_error_from_errno(file);
            }
            from_spare = false; /* Somebody tidied up. It was only a spare. */
        }
    }
    if (!from_spare) {
        segment_make_name(SEGMENT_NAME_ASIDE, index, from);
        file = segment_open_name(segments, from, WARP_FILE_CREATE);
        if (file < 0) {
            return warp_error_from_errno(file);
        }
    }
    rc = segment_finish(segments, index, file, from);
    if (from_spare) {
        segment_settle_place(segments, false, 0); /* it is none any more, made or failed */
    }
    if (rc < 0) {
        goto fail;
    }
    if (segment_hold(segments, index, file, &handle) < 0) {
        /* All handles are in use: this one is opened again when it is needed. */
        disk->ops->close(disk->context, file);
    }
    /* Pairs with the acquire in warp_segments_end: who sees the end finds the file. */
    atomic_store_explicit(&segments->end, end + segments->segment_bytes,
                          memory_order_release);
    return 0;

fail:
    disk->ops->close(disk->context, file);
    /*
     * If the rename happened and only the directory's sync failed, the file may be there
     * after a crash or not; it is empty of good frames and the next init takes it. For now
     * its name is taken back, so that a second try begins from nothing. These removals may
     * fail too, and then what they leave is cleared away, or taken, by the next init.
     */
    warp_segment_name(index, name);
    (void)disk->ops->unlink(disk->context, name);
    (void)disk->ops->unlink(disk->context, from);
    return warp_error_from_errno(rc);
}

int warp_segments_locate(struct warp_segments *segments, uint64_t position, int32_t *file,
                         uint64_t *offset, uint64_t *contiguous_bytes)
{
    struct warp_segment_handle *handle = NULL;
    uint64_t inside;
    int rc;

    warp_assert(position >= warp_segments_begin(segments));
    warp_assert(position < warp_segments_end(segments));
    rc = segment_handle(segments, position / segments->segment_bytes, &handle);
    if (rc < 0) {
        return rc;
    }
    inside = position & (segments->segment_bytes - 1u);
    *file = handle->file;
    *offset = WARP_SEGMENT_HEADER_BYTES + inside;
    *contiguous_bytes = segments->segment_bytes - inside;
    return 0;
}

/* The handle of a segment that the caller has just located. */
static struct warp_segment_handle *segment_located(struct warp_segments *segments,
                                                   uint64_t position)
{
    uint64_t index = position / segments->segment_bytes;
    uint32_t i;

    for (i = 0; i < segments->handle_count && segments->handles[i].index != index; i++) {
    }
    warp_assert(i < segments->handle_count);
    return &segments->handles[i];
}

void warp_segments_pin(struct warp_segments *segments, uint64_t position)
{
    segment_located(segments, position)->pins++;
}

void warp_segments_unpin(struct warp_segments *segments, uint64_t position)
{
    struct warp_segment_handle *handle = segment_located(segments, position);

    warp_assert(handle->pins > 0);
    handle->pins--;
}

void warp_segments_advance(struct warp_segments *segments, uint64_t head_position)
{
    uint64_t begin = warp_segments_begin(segments);
    uint64_t end = warp_segments_end(segments);
    uint64_t to = warp_align_down(head_position, segments->segment_bytes);

    warp_assert(!segments->read_only);
    warp_assert(head_position <= end);
    if (to == end && to > begin) {
        to -= segments->segment_bytes; /* the last segment stays */
    }
    if (to <= begin) {
        return;
    }
    /* Relaxed: one thread at a time changes it. */
    atomic_fetch_add_explicit(&segments->retained, (to - begin) / segments->segment_bytes,
                              memory_order_relaxed);
    /* Pairs with the acquire in warp_segments_begin: below it nobody may look any more. */
    atomic_store_explicit(&segments->begin, to, memory_order_release);
}

int warp_segments_drop(struct warp_segments *segments, uint64_t index)
{
    const struct warp_disk *disk = segments->disk;
    int rc;

    warp_assert(!segments->read_only);
    warp_assert(index < warp_segments_begin(segments) / segments->segment_bytes);
    rc = segment_give_up(segments, index);
    if (rc == 0) {
        atomic_fetch_sub_explicit(&segments->retained, 1, memory_order_relaxed);
    } else if (rc != WARP_ENOENT) {
        return rc;
    }
    return warp_error_from_errno(disk->ops->sync_directory(disk->context));
}

uint64_t warp_segments_retained(const struct warp_segments *segments)
{
    return atomic_load_explicit(&segments->retained, memory_order_relaxed);
}

int warp_segments_sync(struct warp_segments *segments, uint64_t from, uint64_t to)
{
    const struct warp_disk *disk = segments->disk;
    struct warp_segment_handle *handle = NULL;
    uint64_t index, last;
    int rc;

    warp_assert(from <= to);
    warp_assert(to <= warp_segments_end(segments));
    if (from == to) {
        return 0;
    }
    last = (to - 1) / segments->segment_bytes;
    for (index = from / segments->segment_bytes; index <= last; index++) {
        rc = segment_handle(segments, index, &handle);
        if (rc < 0) {
            return rc;
        }
        rc = disk->ops->sync(disk->context, handle->file);
        if (rc < 0) {
            return warp_error_from_errno(rc);
        }
    }
    return 0;
}

void warp_segments_trim(struct warp_segments *segments)
{
    uint32_t i = 0;

    while (i < segments->handle_count) {
        if (segments->handles[i].pins > 0 ||
            segment_pinned(segments, segments->handles[i].index)) {
            i++;
        } else {
            segment_close(segments, i);
        }
    }
}
