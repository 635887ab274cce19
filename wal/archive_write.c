/*
 * The happy path: create opens the file under its half-made name. add copies items into the
 * arena until they make a block; then the block is built, compressed and put behind the
 * others, its entries go into the index, and whoever added them is told their places. When
 * an index block is full it follows too. Everything goes through one buffer, which is
 * written whenever it is full. seal writes what is left, the directory and the trailer,
 * syncs, and gives the file its name.
 *
 * Life of a file:
 *
 *   GATHERING  items wait in the arena for a dictionary, nothing is written   add
 *   BEGUN      header and dictionary are in the buffer, blocks follow         archive_begin()
 *   WRITTEN    all of it is on its way, the last byte is the trailer's        seal
 *   DURABLE    synced, still under the half-made name                         seal
 *   SEALED     renamed, and the directory synced: it counts                   seal
 *
 * Without a dictionary to train it begins at once.
 *
 * What can go wrong: no memory (nothing has changed: what waits in the arena still waits, so
 * add and seal can be tried again); the disk is full or fails (the writer has failed for
 * good, for the buffer no longer fits the file, and destroy removes the file); a crash (the
 * half-made name is removed at the next open; between rename and the directory's sync there
 * may be a whole file that nobody refers to).
 */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/compress.h"
#include "base/crc32c.h"
#include "base/errno.h"
#include "wal/archive.h"

#define ARCHIVE_ALIGNMENT    4096u
#define ARCHIVE_SAMPLE_ITEMS 8192u
#define ARCHIVE_BLOCK_EXTRA  576u /* header and padding of one block, at most */
#define ARCHIVE_LESSON_FILES 16u
#define ARCHIVE_FILE_EXPECTED                                                              \
    (16u * 1048576u)                 /* raw bytes of a file that is not sealed yet */
#define ARCHIVE_COMPRESS_MIN     64u /* fewer bytes are not worth a try */
#define ARCHIVE_DICTIONARY_FLOOR 1024u

/* One copied item; its sequence and its entry lie in the arena. */
struct archive_pending {
    uint64_t hash;
    void *cookie;
    uint32_t slot;
    uint32_t offset, bytes; /* in the arena */
};

struct warp_archive_writer {
    /* Set by create, constant afterwards. */
    struct warp_archive_config config;
    warp_archive_placed placed;
    void *placed_context;
    uint32_t seed;
    struct warp_compressor *compressor; /* NULL: level 0 */

    int32_t file; /* < 0: closed */
    int failed;   /* what add and seal answer from now on; 0: all is well */
    bool begun, renamed, sealed;
    bool with_dictionary;

    /* Items that are not in a block yet: those from first on. */
    uint8_t *arena;
    struct archive_pending *items;
    uint32_t arena_capacity, arena_used;
    uint32_t item_capacity, item_count, item_first;
    uint32_t slot_last;

    /* A block before and after compression; large ones have memory of their own. */
    uint8_t *raw, *stored;
    uint32_t scratch_bytes;

    struct warp_block_row *rows; /* of the index, not written yet */
    uint32_t row_count;
    uint32_t *directory; /* unit of each index block, in the form it has on disk */
    uint32_t index_count;

    uint8_t *buffer; /* config.buffer_bytes; it is written at `written` when it is full */
    uint32_t buffered;
    uint64_t written;

    struct warp_archive_totals totals;
};

/*
 * ---- the stream -------------------------------------------------------------------------
 */

static uint64_t archive_at(const struct warp_archive_writer *writer)
{
    return writer->written + writer->buffered;
}

static int archive_fail(struct warp_archive_writer *writer, int rc)
{
    warp_assert(rc < 0);
    writer->failed = rc;
    return rc;
}

static int archive_flush(struct warp_archive_writer *writer)
{
    const struct warp_disk *disk = writer->config.disk;
    int64_t wrote;

    warp_assert(writer->buffered % ARCHIVE_ALIGNMENT == 0);
    if (writer->buffered == 0) {
        return 0;
    }
    wrote = disk->ops->write(disk->context, writer->file, writer->buffer, writer->buffered,
                             writer->written, false);
    if (wrote < 0) {
        return archive_fail(writer, warp_error_from_errno((int)wrote));
    }
    writer->written += writer->buffered;
    writer->buffered = 0;
    return 0;
}

/* Put bytes, or zeros when there are none, at the end of the file. */
static int archive_append(struct warp_archive_writer *writer, const void *bytes,
                          uint64_t count)
{
    const uint8_t *from = bytes;

    while (count > 0) {
        uint32_t part = writer->config.buffer_bytes - writer->buffered;
        int rc;

        part = count < part ? (uint32_t)count : part;
        if (from != NULL) {
            memcpy(writer->buffer + writer->buffered, from, part);
            from += part;
        } else {
            memset(writer->buffer + writer->buffered, 0, part);
        }
        writer->buffered += part;
        count -= part;
        if (writer->buffered == writer->config.buffer_bytes) {
            rc = archive_flush(writer);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* Saving less than a sixth is not worth the time to decompress. */
static uint32_t archive_worth(uint32_t raw_bytes)
{
    return raw_bytes - raw_bytes / 6;
}

/*
 * One block at the end of the file; stored has room for archive_worth(raw_bytes). The block
 * must hold kind and entry_count, and comes back complete.
 */
static int archive_append_block(struct warp_archive_writer *writer,
                                struct warp_block *block, const uint8_t *raw,
                                uint32_t raw_bytes, uint8_t *stored)
{
    bool with_dictionary = writer->with_dictionary && block->kind == WARP_BLOCK_ENTRIES;
    bool squeeze = writer->compressor != NULL && raw_bytes >= ARCHIVE_COMPRESS_MIN &&
                   (block->kind == WARP_BLOCK_ENTRIES || block->kind == WARP_BLOCK_INDEX);
    uint8_t header[WARP_BLOCK_HEADER_BYTES];
    uint32_t padding;
    int rc;

    block->number = writer->config.number;
    block->epoch = writer->config.manifest->epoch;
    warp_assert(archive_at(writer) % WARP_ARCHIVE_UNIT_BYTES == 0);
    block->unit = (uint32_t)(archive_at(writer) / WARP_ARCHIVE_UNIT_BYTES);
    block->raw_bytes = raw_bytes;
    block->raw_crc = warp_crc32c(0, raw, raw_bytes);
    block->stored_bytes = squeeze
                              ? warp_compress(writer->compressor, with_dictionary, stored,
                                              archive_worth(raw_bytes), raw, raw_bytes)
                              : 0;
    if (block->stored_bytes > 0) {
        block->codec = with_dictionary ? WARP_BLOCK_ZSTD_DICTIONARY : WARP_BLOCK_ZSTD;
        block->stored_crc = warp_crc32c(0, stored, block->stored_bytes);
    } else {
        block->codec = WARP_BLOCK_RAW;
        block->stored_bytes = raw_bytes;
        block->stored_crc = block->raw_crc;
    }
    warp_block_encode_header(header, block, writer->seed);
    padding = warp_block_bytes(block->stored_bytes) - WARP_BLOCK_HEADER_BYTES -
              block->stored_bytes;
    rc = archive_append(writer, header, sizeof(header));
    if (rc == 0) {
        rc = archive_append(writer, block->codec == WARP_BLOCK_RAW ? raw : stored,
                            block->stored_bytes);
    }
    if (rc == 0) {
        rc = archive_append(writer, NULL, padding);
    }
    return rc;
}

/*
 * ---- the index --------------------------------------------------------------------------
 */

/* raw and stored are free whenever this is called: their block is in the stream. */
static int archive_append_index(struct warp_archive_writer *writer)
{
    struct warp_block block = {.kind = WARP_BLOCK_INDEX, .entry_count = writer->row_count};
    uint32_t i;
    int rc;

    if (writer->row_count == 0) {
        return 0;
    }
    for (i = 0; i < writer->row_count; i++) {
        warp_block_index_store(writer->raw, writer->row_count, i, &writer->rows[i]);
    }
    rc = archive_append_block(writer, &block, writer->raw,
                              warp_block_index_bytes(writer->row_count), writer->stored);
    if (rc < 0) {
        return rc;
    }
    warp_assert(writer->index_count < WARP_BLOCK_DIRECTORY_MAX);
    warp_store_u32le(&writer->directory[writer->index_count++], block.unit);
    writer->row_count = 0;
    return 0;
}

static int archive_index(struct warp_archive_writer *writer,
                         const struct warp_block_row *row)
{
    writer->rows[writer->row_count++] = *row;
    return writer->row_count == WARP_BLOCK_INDEX_ROWS_MAX ? archive_append_index(writer)
                                                          : 0;
}

/*
 * ---- blocks of entries ------------------------------------------------------------------
 */

/* Sequence and entry, without the entry's own checksum. */
static uint32_t archive_item_bytes(const struct warp_archive_item *item)
{
    uint8_t flags = item->entry.flags & (uint8_t)~WARP_ENTRY_HAS_CHECKSUM;

    return (
        uint32_t)(WARP_BLOCK_SEQUENCE_BYTES +
                  warp_entry_bytes(flags, item->entry.key_bytes, item->entry.value_bytes));
}

static void archive_encode_item(const struct warp_archive_item *item, uint8_t *out)
{
    struct warp_entry entry = item->entry;

    entry.flags &= (uint8_t)~WARP_ENTRY_HAS_CHECKSUM;
    warp_store_u64le(out, item->sequence);
    out += WARP_BLOCK_SEQUENCE_BYTES;
    out += warp_entry_encode_header(out, &entry);
    memcpy(out, entry.key, entry.key_bytes);
    if (entry.value_bytes > 0) {
        memcpy(out + entry.key_bytes, entry.value, entry.value_bytes);
    }
}

/* A block that is stored raw takes no more than block_bytes of the file, header included. */
static uint32_t archive_budget(const struct warp_archive_writer *writer)
{
    return writer->config.block_bytes - WARP_BLOCK_HEADER_BYTES;
}

/* How many of the items from `first` on make the next block, and its raw bytes. */
static uint32_t archive_cut(const struct warp_archive_writer *writer, uint32_t first,
                            uint32_t *raw_bytes)
{
    uint64_t bytes = 0;
    uint32_t i;

    for (i = first; i < writer->item_count && i - first < WARP_PLACE_ENTRIES_MAX; i++) {
        uint64_t more = bytes + WARP_BLOCK_OFFSET_BYTES + writer->items[i].bytes;

        if (i > first && more > archive_budget(writer)) {
            break;
        }
        bytes = more;
    }
    *raw_bytes = (uint32_t)bytes;
    return i - first;
}

static void archive_build(const struct warp_archive_writer *writer, uint32_t first,
                          uint32_t count, uint8_t *raw)
{
    uint32_t at = count * WARP_BLOCK_OFFSET_BYTES;
    uint32_t i;

    for (i = 0; i < count; i++) {
        const struct archive_pending *item = &writer->items[first + i];

        warp_store_u32le(raw + i * WARP_BLOCK_OFFSET_BYTES, at);
        memcpy(raw + at, writer->arena + item->offset, item->bytes);
        at += item->bytes;
    }
}

static int archive_place(struct warp_archive_writer *writer, const struct warp_block *block,
                         uint32_t index, struct warp_block_row *row, void *cookie)
{
    uint32_t units = warp_block_bytes(block->stored_bytes) / WARP_ARCHIVE_UNIT_BYTES;
    struct warp_place place = {.file = block->number,
                               .unit = block->unit,
                               .units = units < WARP_PLACE_UNITS_MAX ? units : 0,
                               .index = index};

    row->place = warp_place_encode(&place);
    if (writer->placed != NULL) {
        writer->placed(writer->placed_context, cookie, row->place);
    }
    return archive_index(writer, row);
}

static void archive_count(struct warp_archive_writer *writer,
                          const struct warp_block *block)
{
    uint64_t count = block->entry_count;

    writer->totals.blocks++;
    writer->totals.blocks_compressed += block->codec != WARP_BLOCK_RAW;
    writer->totals.entries += count;
    writer->totals.raw_bytes +=
        block->raw_bytes - count * (WARP_BLOCK_OFFSET_BYTES + WARP_BLOCK_SEQUENCE_BYTES);
}

/* Memory for a block before and after compression, which may be the writer's own. */
static int archive_scratch(struct warp_archive_writer *writer, uint32_t raw_bytes,
                           uint8_t **raw, uint8_t **stored)
{
    struct warp_memory *memory = writer->config.memory;

    if (raw_bytes <= writer->scratch_bytes) {
        *raw = writer->raw;
        *stored = writer->stored;
        return 0;
    }
    *raw = warp_memory_reserve(memory, raw_bytes, 0);
    if (*raw == NULL) {
        return WARP_ENOMEM;
    }
    *stored = warp_memory_reserve(memory, archive_worth(raw_bytes), 0);
    if (*stored == NULL) {
        warp_memory_release(memory, *raw, raw_bytes);
        return WARP_ENOMEM;
    }
    return 0;
}

static void archive_scratch_end(struct warp_archive_writer *writer, uint32_t raw_bytes,
                                uint8_t *raw, uint8_t *stored)
{
    if (raw != writer->raw) {
        warp_memory_release(writer->config.memory, stored, archive_worth(raw_bytes));
        warp_memory_release(writer->config.memory, raw, raw_bytes);
    }
}

/* The next block out of the arena. */
static int archive_emit(struct warp_archive_writer *writer)
{
    struct warp_block block = {.kind = WARP_BLOCK_ENTRIES};
    uint32_t first = writer->item_first;
    uint8_t *raw = NULL, *stored = NULL;
    uint32_t raw_bytes, i;
    int rc;

    block.entry_count = archive_cut(writer, first, &raw_bytes);
    rc = archive_scratch(writer, raw_bytes, &raw, &stored);
    if (rc < 0) {
        return rc;
    }
    archive_build(writer, first, block.entry_count, raw);
    rc = archive_append_block(writer, &block, raw, raw_bytes, stored);
    archive_scratch_end(writer, raw_bytes, raw, stored);
    if (rc < 0) {
        return rc;
    }
    archive_count(writer, &block);
    for (i = 0; i < block.entry_count && rc == 0; i++) {
        const struct archive_pending *item = &writer->items[first + i];
        struct warp_block_row row = {.slot = item->slot,
                                     .hash = item->hash,
                                     .sequence =
                                         warp_load_u64le(writer->arena + item->offset)};

        rc = archive_place(writer, &block, i, &row, item->cookie);
    }
    writer->item_first += block.entry_count;
    return rc;
}

/* An item that is larger than a block, from the caller's memory into a block of its own. */
static int archive_emit_large(struct warp_archive_writer *writer,
                              const struct warp_archive_item *item)
{
    struct warp_block block = {.kind = WARP_BLOCK_ENTRIES, .entry_count = 1};
    struct warp_block_row row = {
        .slot = item->slot, .hash = item->hash, .sequence = item->sequence};
    uint32_t raw_bytes = WARP_BLOCK_OFFSET_BYTES + archive_item_bytes(item);
    uint8_t *raw = NULL, *stored = NULL;
    int rc;

    warp_assert(writer->item_first == writer->item_count);
    rc = archive_scratch(writer, raw_bytes, &raw, &stored);
    if (rc < 0) {
        return rc;
    }
    warp_store_u32le(raw, WARP_BLOCK_OFFSET_BYTES);
    archive_encode_item(item, raw + WARP_BLOCK_OFFSET_BYTES);
    rc = archive_append_block(writer, &block, raw, raw_bytes, stored);
    archive_scratch_end(writer, raw_bytes, raw, stored);
    if (rc < 0) {
        return rc;
    }
    archive_count(writer, &block);
    return archive_place(writer, &block, 0, &row, item->cookie);
}

/*
 * ---- the dictionary ---------------------------------------------------------------------
 */

/*
 * How much blocks of the items from `first` on, which it was not trained on, take of the file with it,
 * padding included, of what they take without; and whether that is at least 5 % less with their share of
 * what the dictionary itself takes.
 */
static bool archive_dictionary_pays(struct warp_archive_writer *writer, uint32_t first,
                                    uint32_t dictionary_bytes, uint64_t file_bytes,
                                    uint32_t *permille)
{
    uint64_t plain = 0, helped = 0, tried = 0;
    uint32_t count, raw_bytes, stored;

    for (; first < writer->item_count; first += count) {
        count = archive_cut(writer, first, &raw_bytes);
        if (raw_bytes > writer->scratch_bytes) {
            continue;
        }
        archive_build(writer, first, count, writer->raw);
        tried += raw_bytes;
        stored = warp_compress(writer->compressor, false, writer->stored,
                               archive_worth(raw_bytes), writer->raw, raw_bytes);
        plain += warp_block_bytes(stored > 0 ? stored : raw_bytes);
        stored = warp_compress(writer->compressor, true, writer->stored,
                               archive_worth(raw_bytes), writer->raw, raw_bytes);
        helped += warp_block_bytes(stored > 0 ? stored : raw_bytes);
    }
    *permille = plain > 0 ? (uint32_t)(helped * 1000 / plain) : 1000;
    helped += dictionary_bytes * tried / file_bytes;
    return tried > 0 && helped * 100 <= plain * 95;
}

void warp_archive_lesson_release(struct warp_archive_lesson *lesson)
{
    warp_memory_release(lesson->memory, lesson->bytes, lesson->capacity);
    lesson->bytes = NULL;
    lesson->capacity = lesson->byte_count = lesson->files = 0;
}

/* What this file was taught is for the next ones, too. Without memory they learn for themselves. */
static void archive_leave_lesson(struct warp_archive_writer *writer,
                                 const uint8_t *dictionary, uint32_t bytes,
                                 uint32_t permille)
{
    struct warp_archive_lesson *lesson = writer->config.lesson;

    if (lesson == NULL) {
        return;
    }
    if (lesson->capacity < bytes) {
        warp_archive_lesson_release(lesson);
        lesson->bytes = warp_memory_reserve(lesson->memory, bytes, 0);
        if (lesson->bytes == NULL) {
            return;
        }
        lesson->capacity = bytes;
    }
    if (bytes > 0) {
        memcpy(lesson->bytes, dictionary, bytes);
    }
    lesson->byte_count = bytes;
    lesson->permille = permille;
    lesson->files = 1;
}

/*
 * The same as training, from an earlier file. False: it has served its time, or does not fit any more.
 */
static bool archive_recall(struct warp_archive_writer *writer, uint64_t file_bytes,
                           uint8_t *dictionary, uint32_t *bytes, int *rc)
{
    struct warp_archive_lesson *lesson = writer->config.lesson;
    uint32_t permille;

    if (lesson == NULL || lesson->files == 0 || lesson->files >= ARCHIVE_LESSON_FILES ||
        lesson->byte_count > writer->config.dictionary_bytes) {
        return false;
    }
    if (lesson->byte_count == 0) {
        lesson->files++;
        return true;
    }
    *rc = warp_compressor_learn(writer->compressor, lesson->bytes, lesson->byte_count);
    if (*rc < 0) {
        return true;
    }
    if (!archive_dictionary_pays(writer, writer->item_count - writer->item_count / 4,
                                 lesson->byte_count, file_bytes, &permille) ||
        permille > lesson->permille + lesson->permille / 16) {
        return false;
    }
    memcpy(dictionary, lesson->bytes, lesson->byte_count);
    *bytes = lesson->byte_count;
    lesson->files++;
    return true;
}

/*
 * Three quarters of the items train it, the last one judges it. 0 and the number of bytes in
 * *bytes, 0 if it does not pay; or WARP_ENOMEM.
 */
static int archive_train(struct warp_archive_writer *writer, bool last, uint8_t *dictionary,
                         uint32_t *bytes)
{
    struct warp_memory *memory = writer->config.memory;
    uint32_t count = writer->item_count - writer->item_count / 4;
    uint64_t file_bytes = last ? writer->arena_used : ARCHIVE_FILE_EXPECTED;
    uint32_t i, made, permille = 1000;
    size_t *sizes;
    int rc = 0;

    *bytes = 0;
    if (count == writer->item_count) {
        return 0;
    }
    if (archive_recall(writer, file_bytes, dictionary, bytes, &rc)) {
        return rc;
    }
    sizes = warp_memory_reserve(memory, count * sizeof(*sizes), 0);
    if (sizes == NULL) {
        return WARP_ENOMEM;
    }
    for (i = 0; i < count; i++) {
        sizes[i] = writer->items[i].bytes;
    }
    made = warp_compress_train(dictionary, writer->config.dictionary_bytes, writer->arena,
                               sizes, count);
    warp_memory_release(memory, sizes, count * sizeof(*sizes));
    if (made > 0) {
        rc = warp_compressor_learn(writer->compressor, dictionary, made);
    }
    if (made > 0 && rc == 0 &&
        archive_dictionary_pays(writer, count, made, file_bytes, &permille)) {
        *bytes = made;
    }
    /* That none paid in a file too small for one is nothing to go by. */
    if (rc == 0 && (*bytes > 0 || !last)) {
        archive_leave_lesson(writer, dictionary, *bytes, permille);
    }
    return rc;
}

/* The header page, and the dictionary's block. */
static int archive_append_begin(struct warp_archive_writer *writer,
                                const uint8_t *dictionary, uint32_t dictionary_bytes)
{
    const struct warp_manifest *manifest = writer->config.manifest;
    struct warp_block_header_page page = {.number = writer->config.number,
                                          .epoch = manifest->epoch,
                                          .dictionary_bytes = dictionary_bytes};
    struct warp_block block = {.kind = WARP_BLOCK_DICTIONARY};
    int rc;

    warp_block_encode_header_page(writer->raw, &page, manifest->id);
    rc = archive_append(writer, writer->raw, WARP_FILE_HEADER_BYTES);
    if (rc == 0 && dictionary_bytes > 0) {
        rc = archive_append_block(writer, &block, dictionary, dictionary_bytes, NULL);
        writer->with_dictionary = true;
        writer->totals.dictionary_bytes = dictionary_bytes;
    }
    return rc;
}

/* From here on blocks are written. last: no more items come. */
static int archive_begin(struct warp_archive_writer *writer, bool last)
{
    struct warp_memory *memory = writer->config.memory;
    uint32_t capacity = writer->config.dictionary_bytes;
    uint8_t *dictionary = NULL;
    uint32_t bytes = 0;
    int rc = 0;

    warp_assert(!writer->begun);
    if (capacity > 0 && writer->compressor != NULL) {
        dictionary = warp_memory_reserve(memory, capacity, 0);
        if (dictionary == NULL) {
            return WARP_ENOMEM;
        }
        rc = archive_train(writer, last, dictionary, &bytes);
    }
    if (rc == 0) {
        writer->begun = true;
        rc = archive_append_begin(writer, dictionary, bytes);
    }
    warp_memory_release(memory, dictionary, capacity);
    return rc;
}

/* Everything out of the arena. */
static int archive_emit_all(struct warp_archive_writer *writer, bool last)
{
    int rc = 0;

    if (!writer->begun) {
        rc = archive_begin(writer, last);
    }
    while (rc == 0 && writer->item_first < writer->item_count) {
        rc = archive_emit(writer);
    }
    if (rc == 0) {
        writer->item_first = writer->item_count = 0;
        writer->arena_used = 0;
    }
    return rc;
}

/*
 * ---- the public face --------------------------------------------------------------------
 */

static void archive_writer_free(struct warp_archive_writer *writer)
{
    struct warp_memory *memory = writer->config.memory;

    warp_compressor_destroy(&writer->compressor);
    warp_memory_release(memory, writer->buffer, writer->config.buffer_bytes);
    warp_memory_release(memory, writer->directory,
                        WARP_BLOCK_DIRECTORY_MAX * sizeof(*writer->directory));
    warp_memory_release(memory, writer->rows,
                        WARP_BLOCK_INDEX_ROWS_MAX * sizeof(*writer->rows));
    warp_memory_release(memory, writer->stored, writer->scratch_bytes);
    warp_memory_release(memory, writer->raw, writer->scratch_bytes);
    warp_memory_release(memory, writer->items,
                        writer->item_capacity * sizeof(*writer->items));
    warp_memory_release(memory, writer->arena, writer->arena_capacity);
    warp_memory_release(memory, writer, sizeof(*writer));
}

static int archive_writer_reserve(struct warp_archive_writer *writer)
{
    const struct warp_archive_config *config = &writer->config;
    struct warp_memory *memory = config->memory;
    bool gathers = config->level > 0 && config->dictionary_bytes > 0;

    writer->arena_capacity = gathers ? WARP_ARCHIVE_SAMPLE_BYTES : config->block_bytes;
    writer->item_capacity = gathers ? ARCHIVE_SAMPLE_ITEMS : WARP_PLACE_ENTRIES_MAX;
    /* A block of entries, one of index, or a page. */
    writer->scratch_bytes = warp_block_index_bytes(WARP_BLOCK_INDEX_ROWS_MAX);
    if (writer->scratch_bytes < config->block_bytes) {
        writer->scratch_bytes = config->block_bytes;
    }
    writer->arena = warp_memory_reserve(memory, writer->arena_capacity, 0);
    writer->items =
        warp_memory_reserve(memory, writer->item_capacity * sizeof(*writer->items), 0);
    writer->raw = warp_memory_reserve(memory, writer->scratch_bytes, 0);
    writer->stored = warp_memory_reserve(memory, writer->scratch_bytes, 0);
    writer->rows =
        warp_memory_reserve(memory, WARP_BLOCK_INDEX_ROWS_MAX * sizeof(*writer->rows), 0);
    writer->directory = warp_memory_reserve(
        memory, WARP_BLOCK_DIRECTORY_MAX * sizeof(*writer->directory), 0);
    writer->buffer = warp_memory_reserve(memory, config->buffer_bytes, ARCHIVE_ALIGNMENT);
    if (writer->arena == NULL || writer->items == NULL || writer->raw == NULL ||
        writer->stored == NULL || writer->rows == NULL || writer->directory == NULL ||
        writer->buffer == NULL) {
        return WARP_ENOMEM;
    }
    return config->level > 0 ? warp_compressor_create(&writer->compressor, memory,
                                                      config->level, config->block_bytes)
                             : 0;
}

static int archive_open(struct warp_archive_writer *writer)
{
    const struct warp_disk *disk = writer->config.disk;
    uint32_t flags = WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE;
    char name[WARP_ARCHIVE_NAME_BYTES];
    int32_t file;
    int rc;

    /* The rename would replace a whole file: a number is used once. */
    warp_archive_name(writer->config.number, name);
    file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (file >= 0) {
        disk->ops->close(disk->context, file);
        return WARP_EEXIST;
    }
    rc = warp_error_from_errno(file);
    if (rc != WARP_ENOENT) {
        return rc;
    }
    warp_archive_name_aside(writer->config.number, name);
    rc = warp_error_from_errno(disk->ops->unlink(disk->context, name));
    if (rc < 0 && rc != WARP_ENOENT) {
        return rc;
    }
    flags |= writer->config.direct ? (uint32_t)WARP_FILE_DIRECT : 0u;
    file = disk->ops->open(disk->context, name, flags);
    if (file < 0) {
        return warp_error_from_errno(file);
    }
    writer->file = file;
    return 0;
}

int warp_archive_writer_create(struct warp_archive_writer **writer,
                               const struct warp_archive_config *config,
                               warp_archive_placed placed, void *context)
{
    struct warp_archive_writer *made;
    int rc;

    warp_assert(*writer == NULL);
    warp_assert(config->number < WARP_PLACE_FILES_MAX);
    warp_assert(config->block_bytes >= WARP_ARCHIVE_BLOCK_BYTES_FLOOR);
    warp_assert(config->block_bytes <= WARP_ARCHIVE_BLOCK_BYTES_CEIL);
    warp_assert(config->level >= 0 && config->level <= WARP_ARCHIVE_LEVEL_MAX);
    warp_assert(config->dictionary_bytes == 0 ||
                config->dictionary_bytes >= ARCHIVE_DICTIONARY_FLOOR);
    warp_assert(config->dictionary_bytes <= WARP_ARCHIVE_DICTIONARY_BYTES_CEIL);
    warp_assert(config->buffer_bytes >= WARP_ARCHIVE_BUFFER_BYTES_FLOOR);
    warp_assert(config->buffer_bytes % ARCHIVE_ALIGNMENT == 0);
    made = warp_memory_reserve(config->memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->config = *config;
    made->placed = placed;
    made->placed_context = context;
    made->seed = warp_manifest_seed(config->manifest);
    made->file = -1;
    rc = archive_writer_reserve(made);
    if (rc < 0) {
        goto fail;
    }
    rc = archive_open(made);
    if (rc < 0) {
        goto fail;
    }
    *writer = made;
    return 0;

fail:
    archive_writer_free(made);
    return rc;
}

/*
 * An upper bound of the file's length, with so many more items of so many bytes. Two blocks
 * in a row that were not cut for their count hold more than one budget together, so there
 * are at most twice as many as would be full.
 */
static uint64_t archive_bound(const struct warp_archive_writer *writer, uint64_t more_items,
                              uint64_t more_bytes)
{
    uint64_t items = writer->item_count - writer->item_first + more_items;
    uint64_t raw = writer->arena_used + more_bytes + items * WARP_BLOCK_OFFSET_BYTES;
    uint64_t blocks = 2 * raw / archive_budget(writer) + items / WARP_PLACE_ENTRIES_MAX + 1;
    uint64_t rows = writer->row_count + items;
    uint64_t indexes = rows / WARP_BLOCK_INDEX_ROWS_MAX + 1;
    uint64_t bytes = archive_at(writer);

    if (!writer->begun) {
        bytes +=
            WARP_FILE_HEADER_BYTES + writer->config.dictionary_bytes + ARCHIVE_BLOCK_EXTRA;
    }
    bytes += raw + blocks * ARCHIVE_BLOCK_EXTRA;
    bytes += rows * WARP_BLOCK_INDEX_ROW_BYTES + indexes * ARCHIVE_BLOCK_EXTRA;
    bytes += (writer->index_count + indexes) * sizeof(uint32_t) + ARCHIVE_BLOCK_EXTRA;
    return warp_align_up(bytes, ARCHIVE_ALIGNMENT) + WARP_FILE_HEADER_BYTES;
}

uint64_t warp_archive_writer_bytes(const struct warp_archive_writer *writer)
{
    return writer->sealed ? writer->totals.stored_bytes : archive_bound(writer, 0, 0);
}

/* Whether the file, its index and its directory have room for one more. */
static bool archive_has_room(const struct warp_archive_writer *writer, uint32_t bytes)
{
    uint64_t rows =
        writer->row_count + (uint64_t)(writer->item_count - writer->item_first) + 1;

    return archive_bound(writer, 1, bytes) <= WARP_ARCHIVE_FILE_BYTES_MAX &&
           writer->index_count + rows / WARP_BLOCK_INDEX_ROWS_MAX + 1 <=
               WARP_BLOCK_DIRECTORY_MAX;
}

/* Whether an item of so many bytes may wait in the arena with those that are there. */
static bool archive_may_wait(const struct warp_archive_writer *writer, uint32_t bytes)
{
    uint64_t used = writer->arena_used + (uint64_t)bytes;

    if (writer->item_count == writer->item_capacity || used > writer->arena_capacity) {
        return false;
    }
    if (!writer->begun) {
        return true; /* gathers for the dictionary */
    }
    return writer->item_count < WARP_PLACE_ENTRIES_MAX &&
           used + (writer->item_count + 1u) * WARP_BLOCK_OFFSET_BYTES <=
               archive_budget(writer);
}

static void archive_wait(struct warp_archive_writer *writer,
                         const struct warp_archive_item *item, uint32_t bytes)
{
    struct archive_pending *pending = &writer->items[writer->item_count++];

    pending->hash = item->hash;
    pending->cookie = item->cookie;
    pending->slot = item->slot;
    pending->offset = writer->arena_used;
    pending->bytes = bytes;
    archive_encode_item(item, writer->arena + writer->arena_used);
    writer->arena_used += bytes;
}

int warp_archive_writer_add(struct warp_archive_writer *writer,
                            const struct warp_archive_item *item)
{
    uint32_t bytes = archive_item_bytes(item);
    int rc;

    warp_assert(!writer->sealed);
    warp_assert(item->slot <= UINT16_MAX);
    warp_assert(item->slot >= writer->slot_last);
    if (writer->failed < 0) {
        return writer->failed;
    }
    if (!archive_has_room(writer, bytes)) {
        return WARP_AGAIN;
    }
    if (!archive_may_wait(writer, bytes)) {
        rc = archive_emit_all(writer, false);
        if (rc < 0) {
            return rc;
        }
    }
    if (archive_may_wait(writer, bytes)) {
        archive_wait(writer, item, bytes);
    } else {
        rc = archive_emit_large(writer, item);
        if (rc < 0) {
            return rc;
        }
    }
    writer->slot_last = item->slot;
    return 0;
}

/* Directory, trailer, and the last piece of the buffer. */
static int archive_append_end(struct warp_archive_writer *writer)
{
    const struct warp_manifest *manifest = writer->config.manifest;
    struct warp_block_trailer_page page = {.number = writer->config.number,
                                           .epoch = manifest->epoch,
                                           .index_count = writer->index_count,
                                           .entries = writer->totals.entries,
                                           .entry_bytes = writer->totals.raw_bytes,
                                           .blocks = writer->totals.blocks,
                                           .blocks_compressed =
                                               writer->totals.blocks_compressed};
    struct warp_block block = {.kind = WARP_BLOCK_DIRECTORY,
                               .entry_count = writer->index_count};
    uint64_t at;
    int rc = 0;

    if (writer->index_count > 0) {
        rc = archive_append_block(writer, &block, (const uint8_t *)writer->directory,
                                  writer->index_count * (uint32_t)sizeof(uint32_t), NULL);
        page.directory_unit = block.unit;
    }
    if (rc < 0) {
        return rc;
    }
    at = archive_at(writer);
    rc = archive_append(writer, NULL, warp_align_up(at, ARCHIVE_ALIGNMENT) - at);
    if (rc < 0) {
        return rc;
    }
    page.file_bytes = archive_at(writer) + WARP_FILE_HEADER_BYTES;
    writer->totals.stored_bytes = page.file_bytes;
    warp_block_encode_trailer_page(writer->raw, &page, manifest->id);
    rc = archive_append(writer, writer->raw, WARP_FILE_HEADER_BYTES);
    return rc < 0 ? rc : archive_flush(writer);
}

/* All bytes are written: make them durable and give them their name. */
static int archive_publish(struct warp_archive_writer *writer)
{
    const struct warp_disk *disk = writer->config.disk;
    char from[WARP_ARCHIVE_NAME_BYTES], to[WARP_ARCHIVE_NAME_BYTES];
    int rc;

    rc = WARP_PLANTED(SEAL_UNSYNCED) ? 0 : disk->ops->sync(disk->context, writer->file);
    if (rc < 0) {
        return archive_fail(writer, warp_error_from_errno(rc));
    }
    disk->ops->close(disk->context, writer->file);
    writer->file = -1;
    warp_archive_name_aside(writer->config.number, from);
    warp_archive_name(writer->config.number, to);
    rc = disk->ops->rename(disk->context, from, to);
    if (rc < 0) {
        return archive_fail(writer, warp_error_from_errno(rc));
    }
    writer->renamed = true;
    rc = disk->ops->sync_directory(disk->context);
    if (rc < 0) {
        return archive_fail(writer, warp_error_from_errno(rc));
    }
    return 0;
}

int warp_archive_writer_seal(struct warp_archive_writer *writer,
                             struct warp_archive_totals *totals)
{
    int rc;

    warp_assert(!writer->sealed);
    if (writer->failed < 0) {
        return writer->failed;
    }
    rc = archive_emit_all(writer, true);
    if (rc == 0) {
        rc = archive_append_index(writer);
    }
    if (rc == 0) {
        rc = archive_append_end(writer);
    }
    if (rc == 0) {
        rc = archive_publish(writer);
    }
    if (rc < 0) {
        return rc;
    }
    writer->sealed = true;
    if (totals != NULL) {
        *totals = writer->totals;
    }
    return 0;
}

void warp_archive_writer_destroy(struct warp_archive_writer **writer)
{
    struct warp_archive_writer *gone = *writer;
    const struct warp_disk *disk;
    char name[WARP_ARCHIVE_NAME_BYTES];

    *writer = NULL;
    if (gone == NULL) {
        return;
    }
    disk = gone->config.disk;
    if (gone->file >= 0) {
        disk->ops->close(disk->context, gone->file);
    }
    if (!gone->sealed) {
        /*
         * Renamed but not known to be durable: nobody refers to it, so its name is taken
         * back. If the removal fails, find removes the half-made file or meets a whole one
         * that nothing refers to.
         */
        warp_archive_name_aside(gone->config.number, name);
        if (gone->renamed) {
            warp_archive_name(gone->config.number, name);
        }
        (void)disk->ops->unlink(disk->context, name);
    }
    archive_writer_free(gone);
}
