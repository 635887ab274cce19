/*
 * One entry: the header of its block is checked against the place it was asked for, then the
 * checksum of what is stored, then it is decompressed, then the checksum of what came out,
 * then the entry. So what comes back is what was put in, or an error.
 *
 * Whole files are read through one window that slides over the file: a block larger than it
 * makes it grow, and nothing makes it grow beyond the greatest entry.
 *
 * What can go wrong: any byte of the file. walk believes a block if its header passes and
 * otherwise looks at every 512th byte for the next one that does, so what is lost is what is
 * damaged. A header that passes says truly how long its block is, so a block whose content
 * is damaged is stepped over. list has no use for half an index and gives up.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/compress.h"
#include "base/crc32c.h"
#include "base/errno.h"
#include "wal/archive.h"

#define ARCHIVE_ALIGNMENT     4096u
#define ARCHIVE_WINDOW_BYTES  262144u
#define ARCHIVE_EPOCH_UNKNOWN UINT64_MAX

struct warp_archive_decoder {
    struct warp_memory *memory;
    struct warp_decompressor *contexts;
};

struct warp_archive_info {
    struct warp_memory *memory;
    const struct warp_archive_decoder *decoder;
    struct warp_dictionary *dictionary; /* NULL: the file has none, or it is damaged */
    uint8_t *page;                      /* the dictionary's block, whole pages of it */
    uint32_t page_bytes;                /* 0: none */
    uint32_t number;
    uint32_t seed;
    uint64_t epoch; /* ARCHIVE_EPOCH_UNKNOWN: the header page is damaged */
};

/*
 * ---- one entry --------------------------------------------------------------------------
 */

int warp_archive_decoder_create(struct warp_archive_decoder **decoder,
                                struct warp_memory *memory, uint32_t context_count)
{
    struct warp_archive_decoder *made;
    int rc;

    warp_assert(*decoder == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->memory = memory;
    rc = warp_decompressor_create(&made->contexts, memory, context_count);
    if (rc < 0) {
        warp_memory_release(memory, made, sizeof(*made));
        return rc;
    }
    *decoder = made;
    return 0;
}

void warp_archive_decoder_destroy(struct warp_archive_decoder **decoder)
{
    struct warp_archive_decoder *gone = *decoder;

    *decoder = NULL;
    if (gone == NULL) {
        return;
    }
    warp_decompressor_destroy(&gone->contexts);
    warp_memory_release(gone->memory, gone, sizeof(*gone));
}

/* A header, and whether its block belongs to this file and here. */
static int archive_head(const struct warp_archive_info *info, const void *head,
                        uint64_t unit, struct warp_block *block)
{
    int rc = warp_block_decode_header(head, info->seed, block);

    if (rc < 0) {
        return rc;
    }
    if (block->number != info->number || block->unit != unit ||
        (info->epoch != ARCHIVE_EPOCH_UNKNOWN && block->epoch != info->epoch)) {
        return WARP_EDAMAGED;
    }
    return 0;
}

/* The same for a block of entries that a place names. */
static int archive_head_at(const struct warp_archive_info *info, const void *head,
                           uint64_t place, struct warp_block *block)
{
    struct warp_place at;
    uint32_t units;
    int rc;

    if (!warp_place_is_archived(place)) {
        return WARP_EDAMAGED;
    }
    at = warp_place_decode(place);
    rc = archive_head(info, head, at.unit, block);
    if (rc < 0) {
        return rc;
    }
    units = warp_block_bytes(block->stored_bytes) / WARP_ARCHIVE_UNIT_BYTES;
    if (at.file != info->number || block->kind != WARP_BLOCK_ENTRIES ||
        at.index >= block->entry_count ||
        at.units != (units < WARP_PLACE_UNITS_MAX ? units : 0)) {
        return WARP_EDAMAGED;
    }
    return 0;
}

/*
 * The raw bytes of a block whose header was checked. scratch: block->raw_bytes, unless it is
 * stored raw.
 */
static int archive_open_block(const struct warp_archive_info *info,
                              const struct warp_block *block, const void *bytes,
                              void *scratch, const void **raw)
{
    const uint8_t *stored = (const uint8_t *)bytes + WARP_BLOCK_HEADER_BYTES;
    const struct warp_dictionary *dictionary = NULL;
    int rc;

    if (warp_crc32c(0, stored, block->stored_bytes) != block->stored_crc) {
        return WARP_EDAMAGED;
    }
    if (block->codec == WARP_BLOCK_RAW) {
        *raw = stored;
        return 0;
    }
    if (block->codec == WARP_BLOCK_ZSTD_DICTIONARY) {
        if (info->dictionary == NULL) {
            return WARP_EDAMAGED;
        }
        dictionary = info->dictionary;
    }
    rc = warp_decompress(info->decoder->contexts, dictionary, scratch, block->raw_bytes,
                         stored, block->stored_bytes);
    if (rc < 0) {
        return rc;
    }
    if (warp_crc32c(0, scratch, block->raw_bytes) != block->raw_crc) {
        return WARP_EDAMAGED;
    }
    *raw = scratch;
    return 0;
}

static uint32_t archive_scratch_bytes(const struct warp_block *block)
{
    return block->codec == WARP_BLOCK_RAW ? 0 : block->raw_bytes;
}

int warp_archive_block_size(const struct warp_archive_info *info, const void *head,
                            uint64_t place, uint32_t *stored_bytes, uint32_t *raw_bytes)
{
    struct warp_block block;
    int rc = archive_head_at(info, head, place, &block);

    if (rc < 0) {
        return rc;
    }
    *stored_bytes = warp_block_bytes(block.stored_bytes);
    *raw_bytes = archive_scratch_bytes(&block);
    return 0;
}

int warp_archive_block_open(const struct warp_archive_info *info, const void *block,
                            uint32_t block_bytes, uint64_t place, void *scratch,
                            uint32_t scratch_bytes, struct warp_block *head,
                            const void **raw)
{
    int rc;

    if (block_bytes < WARP_BLOCK_HEADER_BYTES) {
        return WARP_EDAMAGED;
    }
    rc = archive_head_at(info, block, place, head);
    if (rc < 0) {
        return rc;
    }
    if (block_bytes - WARP_BLOCK_HEADER_BYTES < head->stored_bytes) {
        return WARP_EDAMAGED; /* the file ends in the block */
    }
    if (scratch_bytes < archive_scratch_bytes(head)) {
        return WARP_EINVAL;
    }
    return archive_open_block(info, head, block, scratch, raw);
}

int warp_archive_block_entry(const struct warp_archive_info *info, const void *block,
                             uint32_t block_bytes, uint64_t place, void *scratch,
                             uint32_t scratch_bytes, struct warp_entry *entry,
                             uint64_t *sequence)
{
    struct warp_block head;
    const void *raw = NULL;
    int rc;

    rc = warp_archive_block_open(info, block, block_bytes, place, scratch, scratch_bytes,
                                 &head, &raw);
    if (rc < 0) {
        return rc;
    }
    return warp_block_entry(&head, raw, warp_place_decode(place).index, entry, sequence);
}

/*
 * ---- what must be known of a file -------------------------------------------------------
 */

static int archive_read(const struct warp_disk *disk, int32_t file, void *buffer,
                        uint32_t bytes, uint64_t offset)
{
    int64_t got = disk->ops->read(disk->context, file, buffer, bytes, offset);

    if (got < 0) {
        return warp_error_from_errno((int)got);
    }
    return got == (int64_t)bytes ? 0 : WARP_EDAMAGED; /* the file ends here */
}

/* Read, check and digest the dictionary of this many bytes. */
static int archive_read_dictionary(struct warp_archive_info *info,
                                   const struct warp_disk *disk, int32_t file,
                                   uint32_t dictionary_bytes)
{
    struct warp_block block;
    const void *raw = NULL;
    int rc;

    if (dictionary_bytes > WARP_ARCHIVE_DICTIONARY_BYTES_CEIL) {
        return WARP_EDAMAGED;
    }
    info->page_bytes =
        (uint32_t)warp_align_up(warp_block_bytes(dictionary_bytes), ARCHIVE_ALIGNMENT);
    info->page = warp_memory_reserve(info->memory, info->page_bytes, ARCHIVE_ALIGNMENT);
    if (info->page == NULL) {
        return WARP_ENOMEM;
    }
    rc = archive_read(disk, file, info->page, info->page_bytes, WARP_FILE_HEADER_BYTES);
    if (rc == 0) {
        rc = archive_head(info, info->page, WARP_BLOCK_UNIT_FIRST, &block);
    }
    if (rc == 0 &&
        (block.kind != WARP_BLOCK_DICTIONARY || block.raw_bytes != dictionary_bytes)) {
        rc = WARP_EDAMAGED;
    }
    if (rc == 0) {
        rc = archive_open_block(info, &block, info->page, NULL, &raw);
    }
    if (rc == 0) {
        rc = warp_dictionary_create(&info->dictionary, info->memory, raw, dictionary_bytes);
    }
    return rc;
}

/* The header page, and the dictionary if it names one. */
static int archive_read_info(struct warp_archive_info *info, const struct warp_disk *disk,
                             const struct warp_manifest *manifest, int32_t file)
{
    struct warp_block_header_page page;
    void *bytes;
    int rc;

    bytes = warp_memory_reserve(info->memory, WARP_FILE_HEADER_BYTES, ARCHIVE_ALIGNMENT);
    if (bytes == NULL) {
        return WARP_ENOMEM;
    }
    rc = archive_read(disk, file, bytes, WARP_FILE_HEADER_BYTES, 0);
    if (rc == 0) {
        rc = warp_block_decode_header_page(bytes, manifest->id, &page);
    }
    warp_memory_release(info->memory, bytes, WARP_FILE_HEADER_BYTES);
    if (rc < 0) {
        return rc;
    }
    if (page.number != info->number) {
        return WARP_EDAMAGED;
    }
    info->epoch = page.epoch;
    return page.dictionary_bytes == 0
               ? 0
               : archive_read_dictionary(info, disk, file, page.dictionary_bytes);
}

static void archive_init_info(struct warp_archive_info *info, struct warp_memory *memory,
                              const struct warp_manifest *manifest,
                              const struct warp_archive_decoder *decoder, uint32_t number)
{
    memset(info, 0, sizeof(*info));
    info->memory = memory;
    info->decoder = decoder;
    info->number = number;
    info->seed = warp_manifest_seed(manifest);
    info->epoch = ARCHIVE_EPOCH_UNKNOWN;
}

static void archive_fini_info(struct warp_archive_info *info)
{
    warp_dictionary_destroy(&info->dictionary);
    warp_memory_release(info->memory, info->page, info->page_bytes);
}

int warp_archive_info_create(struct warp_archive_info **info, const struct warp_disk *disk,
                             struct warp_memory *memory,
                             const struct warp_manifest *manifest,
                             struct warp_archive_decoder *decoder, int32_t file,
                             uint32_t number)
{
    struct warp_archive_info *made;
    int rc;

    warp_assert(*info == NULL);
    warp_assert(number < WARP_PLACE_FILES_MAX);
    made = warp_memory_reserve(memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    archive_init_info(made, memory, manifest, decoder, number);
    rc = archive_read_info(made, disk, manifest, file);
    if (rc < 0) {
        warp_archive_info_destroy(&made);
        return rc;
    }
    *info = made;
    return 0;
}

void warp_archive_info_destroy(struct warp_archive_info **info)
{
    struct warp_archive_info *gone = *info;

    *info = NULL;
    if (gone == NULL) {
        return;
    }
    archive_fini_info(gone);
    warp_memory_release(gone->memory, gone, sizeof(*gone));
}

/*
 * ---- a whole file -----------------------------------------------------------------------
 */

struct archive_file {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    struct warp_archive_decoder *decoder;
    struct warp_archive_info info;
    int32_t file;
    uint64_t bytes; /* of the file */

    uint8_t *window; /* holds [window_at, window_at + window_bytes) of the file */
    uint32_t window_capacity, window_bytes;
    uint64_t window_at;

    uint8_t *scratch; /* where blocks are decompressed to */
    uint32_t scratch_capacity;
};

static void archive_file_fini(struct archive_file *f)
{
    warp_memory_release(f->memory, f->scratch, f->scratch_capacity);
    warp_memory_release(f->memory, f->window, f->window_capacity);
    archive_fini_info(&f->info);
    if (f->file >= 0) {
        f->disk->ops->close(f->disk->context, f->file);
    }
    warp_archive_decoder_destroy(&f->decoder);
}

/* Open the file and get ready to read it; the header page is not read yet. */
static int archive_file_init(struct archive_file *f, const struct warp_disk *disk,
                             struct warp_memory *memory,
                             const struct warp_manifest *manifest, uint32_t number)
{
    char name[WARP_ARCHIVE_NAME_BYTES];
    int64_t size;
    int rc;

    memset(f, 0, sizeof(*f));
    f->disk = disk;
    f->memory = memory;
    f->file = -1;
    archive_init_info(&f->info, memory, manifest, NULL, number);
    rc = warp_archive_decoder_create(&f->decoder, memory, 1);
    if (rc < 0) {
        return rc;
    }
    f->info.decoder = f->decoder;
    warp_archive_name(number, name);
    f->file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (f->file < 0) {
        rc = warp_error_from_errno(f->file);
        goto fail;
    }
    size = disk->ops->size(disk->context, f->file);
    if (size < 0) {
        rc = warp_error_from_errno((int)size);
        goto fail;
    }
    f->bytes = (uint64_t)size;
    f->window_capacity = f->bytes < ARCHIVE_WINDOW_BYTES
                             ? (uint32_t)warp_align_up(f->bytes + 1, ARCHIVE_ALIGNMENT)
                             : ARCHIVE_WINDOW_BYTES;
    f->window = warp_memory_reserve(memory, f->window_capacity, ARCHIVE_ALIGNMENT);
    if (f->window == NULL) {
        rc = WARP_ENOMEM;
        goto fail;
    }
    return 0;

fail:
    archive_file_fini(f);
    return rc;
}

/* A buffer of at least so many bytes instead of the one that is there. */
static int archive_grow(struct archive_file *f, uint8_t **buffer, uint32_t *capacity,
                        uint32_t bytes)
{
    uint8_t *more;

    if (bytes <= *capacity) {
        return 0;
    }
    warp_assert(bytes <= warp_align_up(warp_block_bytes(WARP_BLOCK_RAW_BYTES_MAX),
                                       ARCHIVE_ALIGNMENT));
    more = warp_memory_reserve(f->memory, bytes, ARCHIVE_ALIGNMENT);
    if (more == NULL) {
        return WARP_ENOMEM;
    }
    warp_memory_release(f->memory, *buffer, *capacity);
    *buffer = more;
    *capacity = bytes;
    return 0;
}

/*
 * [offset, offset + bytes) of the file, until the next call. WARP_EDAMAGED: the file ends
 * before; WARP_EIO and others: it cannot be read. Reads ahead as much as the window holds,
 * unless that fails.
 */
static int archive_look(struct archive_file *f, uint64_t offset, uint32_t bytes,
                        const uint8_t **out)
{
    uint64_t left;
    uint32_t ahead;
    int rc;

    if (offset > f->bytes || f->bytes - offset < bytes) {
        return WARP_EDAMAGED;
    }
    if (offset >= f->window_at && offset - f->window_at <= f->window_bytes &&
        bytes <= f->window_bytes - (offset - f->window_at)) {
        *out = f->window + (offset - f->window_at);
        return 0;
    }
    f->window_bytes = 0;
    if (bytes > f->window_capacity) {
        rc = archive_grow(f, &f->window, &f->window_capacity, bytes);
        if (rc < 0) {
            return rc;
        }
    }
    left = f->bytes - offset;
    ahead = left < f->window_capacity ? (uint32_t)left : f->window_capacity;
    rc = archive_read(f->disk, f->file, f->window, ahead, offset);
    if (rc < 0 && ahead > bytes) {
        ahead = bytes;
        rc = archive_read(f->disk, f->file, f->window, ahead, offset);
    }
    if (rc < 0) {
        return rc;
    }
    f->window_at = offset;
    f->window_bytes = ahead;
    *out = f->window;
    return 0;
}

/* The header of the block that begins at offset. */
static int archive_look_head(struct archive_file *f, uint64_t offset,
                             struct warp_block *block)
{
    const uint8_t *head = NULL;
    int rc;

    rc = archive_look(f, offset, WARP_BLOCK_HEADER_BYTES, &head);
    return rc < 0 ? rc
                  : archive_head(&f->info, head, offset / WARP_ARCHIVE_UNIT_BYTES, block);
}

/* The raw bytes of a block, until the next look. */
static int archive_look_block(struct archive_file *f, uint64_t offset,
                              const struct warp_block *block, const void **raw)
{
    const uint8_t *bytes = NULL;
    int rc;

    rc = archive_look(f, offset, warp_block_bytes(block->stored_bytes), &bytes);
    if (rc == 0) {
        rc = archive_grow(f, &f->scratch, &f->scratch_capacity,
                          archive_scratch_bytes(block));
    }
    return rc < 0 ? rc : archive_open_block(&f->info, block, bytes, f->scratch, raw);
}

/* The trailer page, and whether it fits the file. */
static int archive_look_trailer(struct archive_file *f,
                                const struct warp_manifest *manifest,
                                struct warp_block_trailer_page *page)
{
    const uint8_t *bytes = NULL;
    int rc;

    if (f->bytes < 2 * WARP_FILE_HEADER_BYTES || f->bytes > WARP_ARCHIVE_FILE_BYTES_MAX ||
        f->bytes % WARP_FILE_HEADER_BYTES != 0) {
        return WARP_EDAMAGED;
    }
    rc = archive_look(f, f->bytes - WARP_FILE_HEADER_BYTES, WARP_FILE_HEADER_BYTES, &bytes);
    if (rc == 0) {
        rc = warp_block_decode_trailer_page(bytes, manifest->id, page);
    }
    if (rc == WARP_EFORMAT) {
        rc = WARP_EDAMAGED; /* the header says what the file is */
    }
    if (rc < 0) {
        return rc;
    }
    if (page->number != f->info.number || page->file_bytes != f->bytes ||
        (f->info.epoch != ARCHIVE_EPOCH_UNKNOWN && page->epoch != f->info.epoch) ||
        page->index_count > WARP_BLOCK_DIRECTORY_MAX ||
        (page->index_count == 0) != (page->entries == 0)) {
        return WARP_EDAMAGED;
    }
    return 0;
}

/*
 * ---- walk -------------------------------------------------------------------------------
 */

struct archive_walk {
    struct archive_file f;
    int (*visit)(void *context, const struct warp_entry *entry, uint64_t sequence,
                 uint64_t place);
    void (*damaged)(void *context, uint64_t offset, uint64_t bytes, const char *what);
    void (*ahead)(void *context, const struct warp_entry *entry);
    void *context;
    uint64_t offset;   /* of the next block */
    uint64_t end;      /* behind the last block */
    uint64_t entries;  /* visited */
    uint64_t expected; /* as the trailer counts them */
    bool whole;        /* nothing was damaged so far */
    bool stopped;      /* by visit */
};

static void archive_damaged(struct archive_walk *walk, uint64_t offset, uint64_t bytes,
                            const char *what)
{
    walk->whole = false;
    if (walk->damaged != NULL) {
        walk->damaged(walk->context, offset, bytes, what);
    }
}

static int archive_walk_entries(struct archive_walk *walk, uint64_t offset,
                                const struct warp_block *block, const void *raw)
{
    uint32_t units = warp_block_bytes(block->stored_bytes) / WARP_ARCHIVE_UNIT_BYTES;
    struct warp_place place = {.file = block->number,
                               .unit = block->unit,
                               .units = units < WARP_PLACE_UNITS_MAX ? units : 0};
    struct warp_entry entry;
    uint64_t sequence;
    int rc;

    for (place.index = 0; walk->ahead != NULL && place.index < block->entry_count;
         place.index++) {
        if (warp_block_entry(block, raw, place.index, &entry, &sequence) < 0) {
            break; /* told below */
        }
        walk->ahead(walk->context, &entry);
    }
    for (place.index = 0; place.index < block->entry_count; place.index++) {
        if (warp_block_entry(block, raw, place.index, &entry, &sequence) < 0) {
            archive_damaged(walk, offset, (uint64_t)units * WARP_ARCHIVE_UNIT_BYTES,
                            "an entry is malformed although its checksum is right");
            return 0;
        }
        rc = walk->visit(walk->context, &entry, sequence, warp_place_encode(&place));
        if (rc != 0) {
            walk->stopped = true;
            return rc;
        }
        walk->entries++;
    }
    return 0;
}

/* One block with a good header. What is wrong with it is told, and walk goes on behind it. */
static int archive_walk_block(struct archive_walk *walk, uint64_t offset,
                              const struct warp_block *block)
{
    uint64_t bytes = warp_block_bytes(block->stored_bytes);
    const void *raw = NULL;
    int rc = archive_look_block(&walk->f, offset, block, &raw);

    if (rc == WARP_ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        const char *what = "the block's content is damaged";

        if (rc != WARP_EDAMAGED) {
            what = "the block cannot be read";
        } else if (block->codec == WARP_BLOCK_ZSTD_DICTIONARY &&
                   walk->f.info.dictionary == NULL) {
            what = "the block needs the dictionary, which is damaged";
        }
        archive_damaged(walk, offset, bytes, what);
        return 0;
    }
    return block->kind == WARP_BLOCK_ENTRIES
               ? archive_walk_entries(walk, offset, block, raw)
               : 0;
}

/* The offset of the next good header from offset on, or the end; what was passed over is
 * told. */
static uint64_t archive_walk_search(struct archive_walk *walk, uint64_t offset, int why)
{
    const char *what = "no block begins here";
    uint64_t at = offset;
    struct warp_block block;
    int rc = why;

    if (why == WARP_EVERSION) {
        what = "a block of a newer version than this one";
    } else if (why != WARP_EDAMAGED) {
        what = "the file cannot be read here";
    }
    while (rc < 0 && at < walk->end) {
        at += WARP_ARCHIVE_UNIT_BYTES;
        rc = at < walk->end ? archive_look_head(&walk->f, at, &block) : 0;
    }
    at = at < walk->end ? at : walk->end;
    archive_damaged(walk, offset, at - offset, what);
    return at;
}

/* One block, or what is damaged up to the next one. */
static int archive_walk_next(struct archive_walk *walk)
{
    uint64_t entries = walk->entries;
    struct warp_block block;
    int rc;

    rc = archive_look_head(&walk->f, walk->offset, &block);
    if (rc < 0) {
        walk->offset = archive_walk_search(walk, walk->offset, rc);
        return 0;
    }
    rc = archive_walk_block(walk, walk->offset, &block);
    if (rc != 0) {
        walk->entries = entries; /* who goes on begins with this block again */
        return rc;
    }
    walk->offset += warp_block_bytes(block.stored_bytes);
    return 0;
}

/*
 * Where the blocks end: behind the directory if there is one, else at the zeros before the
 * trailer, else with the file.
 */
static void archive_walk_end(struct archive_walk *walk,
                             const struct warp_manifest *manifest,
                             struct warp_block_trailer_page *page)
{
    struct archive_file *f = &walk->f;
    uint64_t trailer = f->bytes < WARP_FILE_HEADER_BYTES
                           ? 0
                           : warp_align_down(f->bytes - 1, WARP_FILE_HEADER_BYTES);
    struct warp_block block;
    uint64_t offset;

    if (archive_look_trailer(f, manifest, page) < 0) {
        page->entries = UINT64_MAX;
        walk->end = f->bytes;
        archive_damaged(walk, trailer, f->bytes - trailer, "the trailer page is damaged");
        return;
    }
    walk->end = f->bytes - WARP_FILE_HEADER_BYTES;
    offset = (uint64_t)page->directory_unit * WARP_ARCHIVE_UNIT_BYTES;
    if (page->index_count == 0) {
        offset = walk->end;
    } else if (offset >= WARP_FILE_HEADER_BYTES && offset < walk->end &&
               archive_look_head(f, offset, &block) == 0 &&
               block.kind == WARP_BLOCK_DIRECTORY) {
        offset += warp_block_bytes(block.stored_bytes);
        walk->end = offset < walk->end ? offset : walk->end;
    }
}

/* Nothing is left to give back when it fails. */
static int archive_walk_begin(struct archive_walk *walk, const struct warp_disk *disk,
                              struct warp_memory *memory,
                              const struct warp_manifest *manifest, uint32_t number)
{
    struct warp_block_trailer_page page;
    struct warp_block first;
    int rc;

    walk->whole = true;
    walk->offset = WARP_FILE_HEADER_BYTES;
    rc = archive_file_init(&walk->f, disk, memory, manifest, number);
    if (rc < 0) {
        return rc;
    }
    rc = archive_read_info(&walk->f.info, disk, manifest, walk->f.file);
    if (rc == WARP_EFORMAT &&
        archive_look_head(&walk->f, WARP_FILE_HEADER_BYTES, &first) == 0) {
        rc = WARP_EDAMAGED; /* garbage, but in front of blocks of ours */
    }
    if (rc == WARP_EDAMAGED && walk->f.info.epoch == ARCHIVE_EPOCH_UNKNOWN &&
        archive_look_head(&walk->f, WARP_FILE_HEADER_BYTES, &first) == 0 &&
        first.kind == WARP_BLOCK_DICTIONARY) {
        /* The page alone is lost: the dictionary has a header of its own. */
        rc = archive_read_dictionary(&walk->f.info, disk, walk->f.file, first.raw_bytes);
        rc = rc == WARP_ENOMEM ? rc : WARP_EDAMAGED;
    }
    if (rc == WARP_EDAMAGED || rc == WARP_EIO) {
        archive_damaged(walk, 0, WARP_FILE_HEADER_BYTES,
                        walk->f.info.epoch == ARCHIVE_EPOCH_UNKNOWN
                            ? "the header page is damaged"
                            : "the dictionary is damaged");
        rc = 0;
    }
    if (rc < 0) {
        archive_file_fini(&walk->f);
        return rc;
    }
    archive_walk_end(walk, manifest, &page);
    walk->expected = page.entries;
    return 0;
}

/* All blocks were walked. */
static void archive_walk_finish(struct archive_walk *walk)
{
    if (walk->whole && walk->entries != walk->expected) {
        archive_damaged(walk, walk->f.bytes - WARP_FILE_HEADER_BYTES,
                        WARP_FILE_HEADER_BYTES,
                        "the trailer counts other entries than the file has");
    }
}

int warp_archive_walk(const struct warp_disk *disk, struct warp_memory *memory,
                      const struct warp_manifest *manifest, uint32_t number,
                      int (*visit)(void *context, const struct warp_entry *entry,
                                   uint64_t sequence, uint64_t place),
                      void (*damaged)(void *context, uint64_t offset, uint64_t bytes,
                                      const char *what),
                      void *context)
{
    struct archive_walk walk = {.visit = visit, .damaged = damaged, .context = context};
    int rc;

    rc = archive_walk_begin(&walk, disk, memory, manifest, number);
    if (rc < 0) {
        return rc;
    }
    while (rc == 0 && walk.offset < walk.end) {
        rc = archive_walk_next(&walk);
    }
    if (rc == 0) {
        archive_walk_finish(&walk);
    }
    archive_file_fini(&walk.f);
    return rc;
}

/*
 * ---- cursor -----------------------------------------------------------------------------
 */

struct warp_archive_cursor {
    struct archive_walk walk;
    struct warp_memory *memory;
};

int warp_archive_cursor_create(struct warp_archive_cursor **cursor,
                               const struct warp_disk *disk, struct warp_memory *memory,
                               const struct warp_manifest *manifest, uint32_t number,
                               int (*visit)(void *context, const struct warp_entry *entry,
                                            uint64_t sequence, uint64_t place),
                               void (*damaged)(void *context, uint64_t offset,
                                               uint64_t bytes, const char *what),
                               void *context)
{
    struct warp_archive_cursor *made;
    int rc;

    warp_assert(*cursor == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->memory = memory;
    made->walk.visit = visit;
    made->walk.damaged = damaged;
    made->walk.context = context;
    rc = archive_walk_begin(&made->walk, disk, memory, manifest, number);
    if (rc < 0) {
        warp_memory_release(memory, made, sizeof(*made));
        return rc;
    }
    *cursor = made;
    return 0;
}

void warp_archive_cursor_look_ahead(struct warp_archive_cursor *cursor,
                                    void (*ahead)(void *context,
                                                  const struct warp_entry *entry))
{
    cursor->walk.ahead = ahead;
}

int warp_archive_cursor_next(struct warp_archive_cursor *cursor, bool *more)
{
    struct archive_walk *walk = &cursor->walk;
    int rc = walk->offset < walk->end ? archive_walk_next(walk) : 0;

    *more = rc != 0 || walk->offset < walk->end;
    if (!*more) {
        archive_walk_finish(walk);
    }
    return rc;
}

void warp_archive_cursor_destroy(struct warp_archive_cursor **cursor)
{
    struct warp_archive_cursor *gone = *cursor;

    if (gone != NULL) {
        archive_file_fini(&gone->walk.f);
        warp_memory_release(gone->memory, gone, sizeof(*gone));
        *cursor = NULL;
    }
}

/*
 * ---- list -------------------------------------------------------------------------------
 */

struct archive_lister {
    struct archive_file f;
    int (*visit)(void *context, uint32_t slot, uint64_t hash, uint64_t sequence,
                 uint64_t place);
    void *context;
    uint64_t entries; /* visited */
};

/* Block of this kind at the unit that somebody named. */
static int archive_named_block(struct archive_file *f, uint32_t unit, uint8_t kind,
                               struct warp_block *block, const void **raw)
{
    uint64_t offset = (uint64_t)unit * WARP_ARCHIVE_UNIT_BYTES;
    int rc = archive_look_head(f, offset, block);

    if (rc < 0) {
        return rc;
    }
    return block->kind == kind ? archive_look_block(f, offset, block, raw) : WARP_EDAMAGED;
}

static int archive_list_index(struct archive_lister *list, uint32_t unit)
{
    struct warp_block block;
    const void *raw = NULL;
    uint32_t i;
    int rc;

    rc = archive_named_block(&list->f, unit, WARP_BLOCK_INDEX, &block, &raw);
    for (i = 0; rc == 0 && i < block.entry_count; i++) {
        struct warp_block_row row = warp_block_index_load(raw, block.entry_count, i);

        rc = list->visit(list->context, row.slot, row.hash, row.sequence, row.place);
        list->entries++;
    }
    return rc;
}

/* The directory is copied, for the window moves on to the blocks it names. */
static int archive_list_all(struct archive_lister *list,
                            const struct warp_block_trailer_page *page)
{
    struct warp_memory *memory = list->f.memory;
    uint32_t bytes = page->index_count * (uint32_t)sizeof(uint32_t);
    struct warp_block block;
    const void *raw = NULL;
    uint8_t *directory;
    uint32_t i;
    int rc;

    rc = archive_named_block(&list->f, page->directory_unit, WARP_BLOCK_DIRECTORY, &block,
                             &raw);
    if (rc < 0) {
        return rc;
    }
    if (block.entry_count != page->index_count) {
        return WARP_EDAMAGED;
    }
    directory = warp_memory_reserve(memory, bytes, 0);
    if (directory == NULL) {
        return WARP_ENOMEM;
    }
    memcpy(directory, raw, bytes);
    for (i = 0; rc == 0 && i < page->index_count; i++) {
        rc = archive_list_index(list, warp_load_u32le(directory + i * sizeof(uint32_t)));
    }
    warp_memory_release(memory, directory, bytes);
    if (rc == 0 && list->entries != page->entries) {
        rc = WARP_EDAMAGED;
    }
    return rc;
}

int warp_archive_list(const struct warp_disk *disk, struct warp_memory *memory,
                      const struct warp_manifest *manifest, uint32_t number,
                      int (*visit)(void *context, uint32_t slot, uint64_t hash,
                                   uint64_t sequence, uint64_t place),
                      void *context)
{
    struct archive_lister list = {.visit = visit, .context = context};
    struct warp_block_trailer_page page;
    int rc;

    rc = archive_file_init(&list.f, disk, memory, manifest, number);
    if (rc < 0) {
        return rc;
    }
    rc = archive_read_info(&list.f.info, disk, manifest, list.f.file);
    if (rc == 0) {
        rc = archive_look_trailer(&list.f, manifest, &page);
    }
    if (rc == 0 && page.index_count > 0) {
        rc = archive_list_all(&list, &page);
    }
    archive_file_fini(&list.f);
    return rc;
}
