/*
 * The happy path: the file is opened, whole pages around the stretch are read, and the file is closed
 * again, for an open file that somebody removes would keep its space. Of an archive, what must
 * be known to decompress it is kept until another archive is read.
 *
 * What can go wrong: the file is gone, or shorter than it should be; then nothing is in the window.
 * The bytes are not what the place promises: entry says so, for this entry alone.
 */
#include "wal/sweep.h"

#include <assert.h>
#include <string.h>

#include "base/errno.h"
#include "wal/segment.h"

#define SWEEP_ALIGNMENT 4096u
#define SWEEP_NONE      UINT64_MAX

static_assert(WARP_SWEEP_MARGIN_BYTES >= 2 * SWEEP_ALIGNMENT, "a page at both ends");

void warp_sweep_init(struct warp_sweep *sweep, const struct warp_disk *disk,
                     struct warp_memory *memory, const struct warp_manifest *manifest,
                     uint32_t window_bytes, bool direct)
{
    warp_assert(window_bytes >= WARP_SWEEP_WINDOW_BYTES_MIN);
    warp_assert(window_bytes % SWEEP_ALIGNMENT == 0);
    memset(sweep, 0, sizeof(*sweep));
    sweep->disk = disk;
    sweep->memory = memory;
    sweep->manifest = manifest;
    sweep->window_bytes = window_bytes;
    sweep->direct = direct;
    sweep->file = sweep->block = SWEEP_NONE;
}

static void sweep_forget(struct warp_sweep *sweep)
{
    sweep->file = sweep->block = SWEEP_NONE;
    sweep->begin = sweep->end = 0;
}

void warp_sweep_fini(struct warp_sweep *sweep)
{
    sweep_forget(sweep);
    if (sweep->info != NULL) {
        warp_archive_info_destroy(&sweep->info);
    }
    warp_archive_decoder_destroy(&sweep->decoder);
    warp_memory_release(sweep->memory, sweep->window, sweep->window_bytes);
    sweep->window = NULL;
    warp_memory_release(sweep->memory, sweep->scratch, sweep->scratch_bytes);
    sweep->scratch = NULL;
    sweep->scratch_bytes = 0;
}

bool warp_sweep_extent(const struct warp_sweep *sweep, const struct warp_sweep_item *item,
                       struct warp_sweep_extent *extent)
{
    uint64_t segment_bytes = sweep->manifest->segment_bytes;
    uint64_t begin, end;

    if (warp_place_is_archived(item->place)) {
        struct warp_place place = warp_place_decode(item->place);

        extent->file = WARP_PLACE_ARCHIVED | place.file;
        extent->begin = (uint64_t)place.unit * WARP_ARCHIVE_UNIT_BYTES;
        extent->end = extent->begin + (uint64_t)place.units * WARP_ARCHIVE_UNIT_BYTES;
        return place.units != 0 &&
               extent->end - extent->begin <= warp_sweep_span_max(sweep);
    }
    begin = item->place - (item->in_batch ? 0 : WARP_FRAME_HEADER_BYTES);
    end = item->place + item->entry_bytes;
    extent->file = begin / segment_bytes;
    extent->begin = WARP_SEGMENT_HEADER_BYTES + begin % segment_bytes;
    extent->end = extent->begin + (end - begin);
    return extent->file == (end - 1) / segment_bytes &&
           end - begin <= warp_sweep_span_max(sweep);
}

static int32_t sweep_open(const struct warp_sweep *sweep, uint64_t file)
{
    char name[64];

    if (warp_place_is_archived(file)) {
        warp_archive_name((uint32_t)(file & ~WARP_PLACE_ARCHIVED), name);
    } else {
        warp_segment_name(file, name);
    }
    return sweep->disk->ops->open(sweep->disk->context, name,
                                  WARP_FILE_READ_ONLY |
                                      (sweep->direct ? WARP_FILE_DIRECT : 0));
}

/* What must be known of an archive to take its blocks apart. */
static int sweep_know(struct warp_sweep *sweep, int32_t file, uint32_t number)
{
    int rc;

    if (sweep->info != NULL && sweep->info_number == number) {
        return 0;
    }
    if (sweep->info != NULL) {
        warp_archive_info_destroy(&sweep->info);
    }
    if (sweep->decoder == NULL) {
        rc = warp_archive_decoder_create(&sweep->decoder, sweep->memory, 1);
        if (rc < 0) {
            return rc;
        }
    }
    sweep->info_number = number;
    return warp_archive_info_create(&sweep->info, sweep->disk, sweep->memory,
                                    sweep->manifest, sweep->decoder, file, number);
}

static int sweep_fill(struct warp_sweep *sweep, int32_t file,
                      const struct warp_sweep_extent *extent)
{
    uint64_t begin = warp_align_down(extent->begin, SWEEP_ALIGNMENT);
    uint64_t end = warp_align_up(extent->end, SWEEP_ALIGNMENT);
    int64_t got;

    warp_assert(end - begin <= sweep->window_bytes);
    sweep->reads++;
    got = sweep->disk->ops->read(sweep->disk->context, file, sweep->window,
                                 (size_t)(end - begin), begin);
    if (got < 0) {
        return warp_error_from_errno((int)got);
    }
    sweep->read_bytes += (uint64_t)got;
    if ((uint64_t)got < extent->end - begin) {
        return WARP_EDAMAGED; /* the file ends before */
    }
    sweep->file = extent->file;
    sweep->begin = begin;
    sweep->end = begin + (uint64_t)got;
    return 0;
}

int warp_sweep_read(struct warp_sweep *sweep, const struct warp_sweep_extent *extent)
{
    int32_t file;
    int rc = 0;

    sweep_forget(sweep);
    if (sweep->window == NULL) {
        sweep->window =
            warp_memory_reserve(sweep->memory, sweep->window_bytes, SWEEP_ALIGNMENT);
        if (sweep->window == NULL) {
            return WARP_ENOMEM;
        }
    }
    file = sweep_open(sweep, extent->file);
    if (file < 0) {
        return warp_error_from_errno(file);
    }
    if (warp_place_is_archived(extent->file)) {
        rc = sweep_know(sweep, file, (uint32_t)(extent->file & ~WARP_PLACE_ARCHIVED));
    }
    if (rc == 0) {
        rc = sweep_fill(sweep, file, extent);
    }
    sweep->disk->ops->close(sweep->disk->context, file);
    return rc;
}

/* Take the block apart in which the item lies, unless that was done for the one before. */
static int sweep_open_block(struct warp_sweep *sweep, uint64_t place,
                            const struct warp_sweep_extent *extent)
{
    const uint8_t *block = sweep->window + (extent->begin - sweep->begin);
    uint32_t stored_bytes, raw_bytes;
    int rc;

    if (sweep->block == extent->begin) {
        return 0;
    }
    sweep->block = SWEEP_NONE;
    rc = warp_archive_block_size(sweep->info, block, place, &stored_bytes, &raw_bytes);
    if (rc < 0) {
        return rc;
    }
    if (raw_bytes > sweep->scratch_bytes) {
        warp_memory_release(sweep->memory, sweep->scratch, sweep->scratch_bytes);
        sweep->scratch_bytes = 0;
        sweep->scratch = warp_memory_reserve(sweep->memory, raw_bytes, 0);
        if (sweep->scratch == NULL) {
            return WARP_ENOMEM;
        }
        sweep->scratch_bytes = raw_bytes;
    }
    rc = warp_archive_block_open(sweep->info, block, stored_bytes, place, sweep->scratch,
                                 sweep->scratch_bytes, &sweep->head, &sweep->raw);
    if (rc == 0) {
        sweep->block = extent->begin;
    }
    return rc;
}

int warp_sweep_entry(struct warp_sweep *sweep, const struct warp_sweep_item *item,
                     struct warp_entry *entry, uint64_t *sequence)
{
    struct warp_sweep_extent extent;
    int rc;

    if (!warp_sweep_extent(sweep, item, &extent) || extent.file != sweep->file ||
        extent.begin < sweep->begin || extent.end > sweep->end) {
        return WARP_EDAMAGED; /* nothing was read, or not this */
    }
    if (warp_place_is_archived(item->place)) {
        rc = sweep_open_block(sweep, item->place, &extent);
        if (rc == 0) {
            uint32_t index = warp_place_decode(item->place).index;

            rc = index < sweep->head.entry_count
                     ? warp_block_entry(&sweep->head, sweep->raw, index, entry, sequence)
                     : WARP_EDAMAGED;
        }
        if (rc == 0 && entry->kind != WARP_ENTRY_PUT) {
            rc = WARP_EDAMAGED;
        }
        return rc == 0 || rc == WARP_ENOMEM ? rc : WARP_EDAMAGED;
    }
    *sequence = item->place;
    return warp_frame_check_entry(sweep->window + (extent.begin - sweep->begin),
                                  warp_manifest_seed(sweep->manifest), item->place,
                                  item->in_batch, item->entry_bytes, entry) == NULL
               ? 0
               : WARP_EDAMAGED;
}
