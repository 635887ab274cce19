/*
 * The happy path: the file is opened, whole pages around the stretch are read, and the file is closed
 * again, for an open file that somebody removes would keep its space. Of an archive, what must
 * be known to decompress it is kept until another archive is read.
 *
 * What can go wrong: the file is gone, or shorter than it should be; then nothing is in the window.
 * The bytes are not what the place promises: entry says so, for this entry alone.
 */
#include "wal/stretch.h"

#include <assert.h>
#include <string.h>

#include "base/errno.h"
#include "wal/segment.h"

#define STRETCH_ALIGNMENT 4096u
#define STRETCH_NONE      UINT64_MAX

static_assert(WARP_STRETCH_MARGIN_BYTES >= 2 * STRETCH_ALIGNMENT, "a page at both ends");

void warp_stretch_init(struct warp_stretch *stretch, const struct warp_disk *disk,
                       struct warp_memory *memory, const struct warp_manifest *manifest,
                       uint32_t window_bytes, bool direct)
{
    warp_assert(window_bytes >= WARP_STRETCH_WINDOW_BYTES_MIN);
    warp_assert(window_bytes % STRETCH_ALIGNMENT == 0);
    memset(stretch, 0, sizeof(*stretch));
    stretch->disk = disk;
    stretch->memory = memory;
    stretch->manifest = manifest;
    stretch->window_bytes = window_bytes;
    stretch->direct = direct;
    stretch->file = stretch->block = STRETCH_NONE;
}

static void stretch_forget(struct warp_stretch *stretch)
{
    stretch->file = stretch->block = STRETCH_NONE;
    stretch->begin = stretch->end = 0;
}

void warp_stretch_fini(struct warp_stretch *stretch)
{
    stretch_forget(stretch);
    if (stretch->info != NULL) {
        warp_archive_info_destroy(&stretch->info);
    }
    warp_archive_decoder_destroy(&stretch->decoder);
    warp_memory_release(stretch->memory, stretch->window, stretch->window_bytes);
    stretch->window = NULL;
    warp_memory_release(stretch->memory, stretch->scratch, stretch->scratch_bytes);
    stretch->scratch = NULL;
    stretch->scratch_bytes = 0;
}

bool warp_stretch_extent(const struct warp_stretch *stretch,
                         const struct warp_stretch_item *item,
                         struct warp_stretch_extent *extent)
{
    uint64_t segment_bytes = stretch->manifest->segment_bytes;
    uint64_t begin, end;

    if (warp_place_is_archived(item->place)) {
        struct warp_place place = warp_place_decode(item->place);

        extent->file = WARP_PLACE_ARCHIVED | place.file;
        extent->begin = (uint64_t)place.unit * WARP_ARCHIVE_UNIT_BYTES;
        extent->end = extent->begin + (uint64_t)place.units * WARP_ARCHIVE_UNIT_BYTES;
        return place.units != 0 &&
               extent->end - extent->begin <= warp_stretch_span_max(stretch);
    }
    begin = item->place - (item->in_batch ? 0 : WARP_FRAME_HEADER_BYTES);
    end = item->place + item->entry_bytes;
    extent->file = begin / segment_bytes;
    extent->begin = WARP_SEGMENT_HEADER_BYTES + begin % segment_bytes;
    extent->end = extent->begin + (end - begin);
    return extent->file == (end - 1) / segment_bytes &&
           end - begin <= warp_stretch_span_max(stretch);
}

static int32_t stretch_open(const struct warp_stretch *stretch, uint64_t file)
{
    char name[64];

    if (warp_place_is_archived(file)) {
        warp_archive_name((uint32_t)(file & ~WARP_PLACE_ARCHIVED), name);
    } else {
        warp_segment_name(file, name);
    }
    return stretch->disk->ops->open(stretch->disk->context, name,
                                    WARP_FILE_READ_ONLY |
                                        (stretch->direct ? WARP_FILE_DIRECT : 0));
}

/* What must be known of an archive to take its blocks apart. */
static int stretch_know(struct warp_stretch *stretch, int32_t file, uint32_t number)
{
    int rc;

    if (stretch->info != NULL && stretch->info_number == number) {
        return 0;
    }
    if (stretch->info != NULL) {
        warp_archive_info_destroy(&stretch->info);
    }
    if (stretch->decoder == NULL) {
        rc = warp_archive_decoder_create(&stretch->decoder, stretch->memory, 1);
        if (rc < 0) {
            return rc;
        }
    }
    stretch->info_number = number;
    return warp_archive_info_create(&stretch->info, stretch->disk, stretch->memory,
                                    stretch->manifest, stretch->decoder, file, number);
}

static int stretch_fill(struct warp_stretch *stretch, int32_t file,
                        const struct warp_stretch_extent *extent)
{
    uint64_t begin = warp_align_down(extent->begin, STRETCH_ALIGNMENT);
    uint64_t end = warp_align_up(extent->end, STRETCH_ALIGNMENT);
    int64_t got;

    warp_assert(end - begin <= stretch->window_bytes);
    stretch->reads++;
    got = stretch->disk->ops->read(stretch->disk->context, file, stretch->window,
                                   (size_t)(end - begin), begin);
    if (got < 0) {
        return warp_error_from_errno((int)got);
    }
    stretch->read_bytes += (uint64_t)got;
    if ((uint64_t)got < extent->end - begin) {
        return WARP_EDAMAGED; /* the file ends before */
    }
    stretch->file = extent->file;
    stretch->begin = begin;
    stretch->end = begin + (uint64_t)got;
    return 0;
}

int warp_stretch_read(struct warp_stretch *stretch,
                      const struct warp_stretch_extent *extent)
{
    int32_t file;
    int rc = 0;

    stretch_forget(stretch);
    if (stretch->window == NULL) {
        stretch->window =
            warp_memory_reserve(stretch->memory, stretch->window_bytes, STRETCH_ALIGNMENT);
        if (stretch->window == NULL) {
            return WARP_ENOMEM;
        }
    }
    file = stretch_open(stretch, extent->file);
    if (file < 0) {
        return warp_error_from_errno(file);
    }
    if (warp_place_is_archived(extent->file)) {
        rc = stretch_know(stretch, file, (uint32_t)(extent->file & ~WARP_PLACE_ARCHIVED));
    }
    if (rc == 0) {
        rc = stretch_fill(stretch, file, extent);
    }
    stretch->disk->ops->close(stretch->disk->context, file);
    return rc;
}

/* Take the block apart in which the item lies, unless that was done for the one before. */
static int stretch_open_block(struct warp_stretch *stretch, uint64_t place,
                              const struct warp_stretch_extent *extent)
{
    const uint8_t *block = stretch->window + (extent->begin - stretch->begin);
    uint32_t stored_bytes, raw_bytes;
    int rc;

    if (stretch->block == extent->begin) {
        return 0;
    }
    stretch->block = STRETCH_NONE;
    rc = warp_archive_block_size(stretch->info, block, place, &stored_bytes, &raw_bytes);
    if (rc < 0) {
        return rc;
    }
    if (raw_bytes > stretch->scratch_bytes) {
        warp_memory_release(stretch->memory, stretch->scratch, stretch->scratch_bytes);
        stretch->scratch_bytes = 0;
        stretch->scratch = warp_memory_reserve(stretch->memory, raw_bytes, 0);
        if (stretch->scratch == NULL) {
            return WARP_ENOMEM;
        }
        stretch->scratch_bytes = raw_bytes;
    }
    rc =
        warp_archive_block_open(stretch->info, block, stored_bytes, place, stretch->scratch,
                                stretch->scratch_bytes, &stretch->head, &stretch->raw);
    if (rc == 0) {
        stretch->block = extent->begin;
    }
    return rc;
}

int warp_stretch_entry(struct warp_stretch *stretch, const struct warp_stretch_item *item,
                       struct warp_entry *entry, uint64_t *sequence)
{
    struct warp_stretch_extent extent;
    int rc;

    if (!warp_stretch_extent(stretch, item, &extent) || extent.file != stretch->file ||
        extent.begin < stretch->begin || extent.end > stretch->end) {
        return WARP_EDAMAGED; /* nothing was read, or not this */
    }
    if (warp_place_is_archived(item->place)) {
        rc = stretch_open_block(stretch, item->place, &extent);
        if (rc == 0) {
            uint32_t index = warp_place_decode(item->place).index;

            rc =
                index < stretch->head.entry_count
                    ? warp_block_entry(&stretch->head, stretch->raw, index, entry, sequence)
                    : WARP_EDAMAGED;
        }
        if (rc == 0 && entry->kind != WARP_ENTRY_PUT) {
            rc = WARP_EDAMAGED;
        }
        return rc == 0 || rc == WARP_ENOMEM ? rc : WARP_EDAMAGED;
    }
    *sequence = item->place;
    return warp_frame_check_entry(stretch->window + (extent.begin - stretch->begin),
                                  warp_manifest_seed(stretch->manifest), item->place,
                                  item->in_batch, item->entry_bytes, entry) == NULL
               ? 0
               : WARP_EDAMAGED;
}
