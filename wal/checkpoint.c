/*
 * The happy path of writing: entries are encoded into one of two buffers. When it is full,
 * what belongs to whole slots becomes a section and is written; the slot that did not fit
 * any more is carried over into the other buffer and goes on there, so a slot is cut only
 * when it is larger than a section all by itself. A row for every section stays in memory.
 * seal ends the last section, writes the tables and those rows behind it, then the
 * trailer, and only when all that is on stable storage does the file get its name.
 *
 * The happy path of reading: open checks header, trailer and tail and keeps the tables;
 * read_section reads one section with one read, checks its checksum, and decodes.
 *
 * What can go wrong while writing: the disk is full or fails, or memory for another row is
 * refused; the writer remembers the first failure and can only be destroyed, which removes
 * the file. A crash leaves the .new file, which find removes. While reading: nothing is
 * believed that no checksum covers; sizes are compared with the file's before memory is
 * taken for them; and what a right checksum covers is still decoded with care, because a
 * checksum is no proof against a writer with a bug.
 */
#include "wal/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include <warp/warp.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"

static const uint8_t checkpoint_magic[8] = {'W', 'A', 'R', 'P', 'C', 'K', 'P', 1};
static const uint8_t checkpoint_end_magic[8] = {'W', 'A', 'R', 'P', 'C', 'K', 'E', 1};

/* Where the fields lie: docs/WAL_FORMAT.md. */
enum {
    HEADER_AT_MAGIC = 0,
    HEADER_AT_FORMAT = 8,
    HEADER_AT_READER = 12,
    HEADER_AT_PAGE_BYTES = 16,
    HEADER_AT_CRC = 20,
    HEADER_AT_ID = 32,
    HEADER_AT_NUMBER = 48,
    HEADER_AT_BEGIN = 56,
};

enum {
    TRAILER_AT_MAGIC = 0,
    TRAILER_AT_PAGE_BYTES = 8,
    TRAILER_AT_CRC = 12,
    TRAILER_AT_NUMBER = 16,
    TRAILER_AT_BEGIN = 24,
    TRAILER_AT_END = 32,
    TRAILER_AT_RECORDS = 40,
    TRAILER_AT_MADE_MS = 48,
    TRAILER_AT_ARCHIVE_NEXT = 56,
    TRAILER_AT_FILE_BYTES = 64,
    TRAILER_AT_TAIL = 72,
    TRAILER_AT_TAIL_CRC = 80,
    TRAILER_AT_SEGMENTS = 84,
    TRAILER_AT_ARCHIVES = 88,
    TRAILER_AT_SECTIONS = 92,
    TRAILER_AT_EPOCH = 96,
};

/* The parts of a file that are no sections, in the seed of their checksums. */
#define CHECKPOINT_PART_TAIL    UINT32_C(0xffffffff)
#define CHECKPOINT_PART_TRAILER UINT32_C(0xfffffffe)

#define CHECKPOINT_PAGE_BYTES     WARP_FILE_HEADER_BYTES
#define CHECKPOINT_TABLE_ROW      24u /* of each of the three tables */
#define CHECKPOINT_SLOT_BYTES     12u
#define CHECKPOINT_ENTRY_OVERHEAD 26u /* flags 1, place 8, key 3, value 4, expiry 10 */
#define CHECKPOINT_LOOK_AHEAD     64u /* a decoder that is deceived stops before */
#define CHECKPOINT_ROWS_AT_FIRST  64u
#define CHECKPOINT_HALF_MADE_MAX  16u /* removed per listing of the directory */

/* A buffer holds the largest entry, in whole pages, even if sections are to be smaller. */
#define CHECKPOINT_BUFFER_FLOOR 69632u
_Static_assert(CHECKPOINT_BUFFER_FLOOR >=
                   CHECKPOINT_SLOT_BYTES + CHECKPOINT_ENTRY_OVERHEAD + WARP_KEY_BYTES_MAX,
               "the largest entry fits");
_Static_assert(CHECKPOINT_BUFFER_FLOOR % CHECKPOINT_PAGE_BYTES == 0, "in whole pages");
_Static_assert(WARP_VALUE_BYTES_MAX < 1u << 28, "four bytes of varint");
_Static_assert(WARP_KEY_BYTES_MAX <= 1u << 21, "three bytes of varint");

enum {
    ENTRY_EXPIRES = 1,
    ENTRY_IN_BATCH = 2,
    ENTRY_RESIDENT = 4,
    ENTRY_HEAT_SHIFT = 3,
    ENTRY_WIDTH_SHIFT = 5,
};

#define PLACE_ARCHIVED (UINT64_C(1) << 63)
#define PLACE_MASK     (PLACE_ARCHIVED - 1)

/* A section in the directory. */
struct checkpoint_row {
    uint64_t offset; /* in the file; not on disk, for they follow one another */
    uint32_t bytes;  /* without the zeros up to the next page */
    uint32_t crc;    /* with them */
    uint32_t records;
    uint32_t first, last;   /* slots */
    uint32_t first_records; /* of the first slot, in all sections it reaches into */
    uint32_t first_piece;   /* and in this one; for readers, not on disk */
};

static uint64_t checkpoint_pages(uint64_t bytes)
{
    return warp_align_up(bytes, CHECKPOINT_PAGE_BYTES);
}

/* What the checksum of a part starts from: it holds nowhere else. */
static uint32_t checkpoint_seed(const uint8_t id[WARP_DATABASE_ID_BYTES], uint64_t number,
                                uint32_t part)
{
    uint8_t bytes[12];

    warp_store_u64le(bytes, number);
    warp_store_u32le(bytes + 8, part);
    return warp_crc32c(warp_crc32c(0, id, WARP_DATABASE_ID_BYTES), bytes, sizeof(bytes));
}

/* The checksum of a page whose field at `at` counts as 0. */
static uint32_t checkpoint_page_crc(uint32_t seed, const uint8_t *page, size_t at)
{
    static const uint8_t zero[4];
    uint32_t crc;

    crc = warp_crc32c(seed, page, at);
    crc = warp_crc32c(crc, zero, sizeof(zero));
    return warp_crc32c(crc, page + at + 4, CHECKPOINT_PAGE_BYTES - at - 4);
}

/*
 * ---- names ----------------------------------------------------------------------------
 */

void warp_checkpoint_name(uint64_t number, char out[WARP_CHECKPOINT_NAME_BYTES])
{
    snprintf(out, WARP_CHECKPOINT_NAME_BYTES, "checkpoint-%016llx.warp",
             (unsigned long long)number);
}

static void checkpoint_name_aside(uint64_t number, char out[WARP_CHECKPOINT_NAME_BYTES])
{
    snprintf(out, WARP_CHECKPOINT_NAME_BYTES, "checkpoint-%016llx.new",
             (unsigned long long)number);
}

/* Whether the name is exactly one that the two above write. */
static bool checkpoint_parse_name(const char *name, uint64_t *number, bool *aside)
{
    static const char before[] = "checkpoint-";
    char again[WARP_CHECKPOINT_NAME_BYTES];
    uint64_t value = 0;
    uint32_t i;

    if (strncmp(name, before, sizeof(before) - 1) != 0) {
        return false;
    }
    for (i = 0; i < 16; i++) {
        char c = name[sizeof(before) - 1 + i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    warp_checkpoint_name(value, again);
    *aside = strcmp(again, name) != 0;
    if (*aside) {
        checkpoint_name_aside(value, again);
        if (strcmp(again, name) != 0) {
            return false;
        }
    }
    *number = value;
    return true;
}

/*
 * ---- an entry -------------------------------------------------------------------------
 */

/* A number of 63 bits, two's complement, as one that is small when the distance is. */
static inline uint64_t checkpoint_zigzag(uint64_t distance)
{
    uint64_t sign = 0 - ((distance >> 62) & 1);

    return ((distance << 1) ^ sign) & PLACE_MASK;
}

static inline uint64_t checkpoint_unzigzag(uint64_t number)
{
    return ((number >> 1) ^ (0 - (number & 1))) & PLACE_MASK;
}

static inline uint8_t *checkpoint_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* At most 10 bytes are looked at; NULL: it is too long. */
static const uint8_t *checkpoint_get_long_varint(const uint8_t *from, uint64_t *out)
{
    uint64_t value = 0;
    uint32_t shift;

    for (shift = 0; shift < 63; shift += 7) {
        value |= (uint64_t)(*from & 0x7f) << shift;
        if (*from++ < 0x80) {
            if (shift > 0 && from[-1] == 0) {
                return NULL;
            }
            *out = value;
            return from;
        }
    }
    if (*from != 1) {
        return NULL;
    }
    *out = value | UINT64_C(1) << 63;
    return from + 1;
}

static inline const uint8_t *checkpoint_get_varint(const uint8_t *from, uint64_t *out)
{
    if (*from < 0x80) {
        *out = *from;
        return from + 1;
    }
    return checkpoint_get_long_varint(from, out);
}

/* References of places: see the format. */
struct checkpoint_references {
    uint64_t begin;    /* of a position */
    uint64_t archived; /* of an archive's address: the one before */
};

/* Writes at most CHECKPOINT_ENTRY_OVERHEAD bytes and the key; returns where they end. */
static uint8_t *checkpoint_encode(uint8_t *to, const struct warp_checkpoint_entry *entry,
                                  struct checkpoint_references *references)
{
    uint64_t archived = entry->place >> 63;
    uint64_t place = entry->place & PLACE_MASK;
    uint64_t word = checkpoint_zigzag(
        (place - (archived != 0 ? references->archived : references->begin)) & PLACE_MASK);
    uint32_t width;

    word = word << 1 | archived;
    width = (71u - (uint32_t)__builtin_clzll(word | 1)) / 8;
    if (archived != 0) {
        references->archived = place;
    }
    to[0] = (uint8_t)((entry->expires_at_ms != 0 ? ENTRY_EXPIRES : 0) |
                      (entry->in_batch ? ENTRY_IN_BATCH : 0) |
                      (entry->resident ? ENTRY_RESIDENT : 0) |
                      entry->heat << ENTRY_HEAT_SHIFT | (width - 1) << ENTRY_WIDTH_SHIFT);
    warp_store_u64le(to + 1, word);
    to = checkpoint_put_varint(to + 1 + width, entry->key_bytes - 1);
    to = checkpoint_put_varint(to, entry->value_bytes);
    if (entry->expires_at_ms != 0) {
        to = checkpoint_put_varint(to, entry->expires_at_ms);
    }
    memcpy(to, entry->key, entry->key_bytes);
    return to + entry->key_bytes;
}

/*
 * The entry at `from`, which ends before `end`; NULL if there is none. Up to
 * CHECKPOINT_LOOK_AHEAD bytes behind `end` are looked at, so they must be there.
 */
static inline const uint8_t *checkpoint_decode(const uint8_t *from, const uint8_t *end,
                                               struct warp_checkpoint_entry *entry,
                                               struct checkpoint_references *references)
{
    uint32_t flags = from[0];
    uint32_t width_less_one = flags >> ENTRY_WIDTH_SHIFT;
    uint64_t word = warp_load_u64le(from + 1) & UINT64_MAX >> (56 - 8 * width_less_one);
    uint64_t place = checkpoint_unzigzag(word >> 1);
    uint64_t key_bytes, value_bytes;

    if (width_less_one > 0 && word >> (8 * width_less_one) == 0) {
        return NULL;
    }
    if ((word & 1) != 0) {
        place = (place + references->archived) & PLACE_MASK;
        references->archived = place;
        place |= PLACE_ARCHIVED;
    } else {
        place = (place + references->begin) & PLACE_MASK;
    }
    from = checkpoint_get_varint(from + 2 + width_less_one, &key_bytes);
    if (from == NULL || key_bytes >= WARP_KEY_BYTES_MAX) {
        return NULL;
    }
    key_bytes++;
    from = checkpoint_get_varint(from, &value_bytes);
    if (from == NULL || value_bytes > WARP_VALUE_BYTES_MAX) {
        return NULL;
    }
    entry->expires_at_ms = 0;
    if ((flags & ENTRY_EXPIRES) != 0) {
        from = checkpoint_get_varint(from, &entry->expires_at_ms);
        if (from == NULL || entry->expires_at_ms == 0) {
            return NULL;
        }
    }
    if (from > end || key_bytes > (uint64_t)(end - from)) {
        return NULL;
    }
    entry->place = place;
    entry->value_bytes = (uint32_t)value_bytes;
    entry->key_bytes = (uint32_t)key_bytes;
    entry->key = from;
    entry->in_batch = (flags & ENTRY_IN_BATCH) != 0;
    entry->resident = (flags & ENTRY_RESIDENT) != 0;
    entry->heat = flags >> ENTRY_HEAT_SHIFT & 3;
    return from + key_bytes;
}

/*
 * ---- writing --------------------------------------------------------------------------
 */

/*
 * The buffer that is being filled:
 *
 *     0                    slot_at                        used            limit
 *     +--------------------+-------------+----------------+---------------+
 *     | whole slots        | slot header | its entries    |               |
 *     +--------------------+-------------+----------------+---------------+
 *       section_records                    piece_records
 *
 * The header has its place from the slot's first put on and its content when it ends.
 */
struct warp_checkpoint_writer {
    /* Set by create, constant afterwards. */
    const struct warp_disk *disk;
    struct warp_memory *memory;
    uint8_t id[WARP_DATABASE_ID_BYTES];
    uint64_t number;
    uint32_t limit;        /* of a section, in whole pages */
    uint32_t buffer_bytes; /* of each of the two */
    int32_t file;

    int rc;               /* of the first failure: nothing is written any more */
    bool named, sealed;   /* it has, or may have, its final name; and it counts */
    uint64_t offset;      /* in the file, of the section that is being filled */
    uint64_t records;     /* in all slots that have ended */
    uint64_t highest;     /* position of all that were put, and one more */
    uint8_t *buffer;      /* being filled */
    uint8_t *buffer_next; /* what does not fit goes here */
    uint32_t epoch;
    struct checkpoint_references references;

    /* The section. */
    uint32_t used, section_records, first, last, first_records;

    /* The slot. */
    bool begun; /* there was one */
    uint32_t slot, slot_at;
    uint32_t slot_records;  /* put so far, in all pieces */
    uint32_t piece_records; /* put into this section */
    uint32_t slot_left;     /* that may still be put */
    uint32_t slot_row;      /* of its first piece; of use only if there is another */

    struct checkpoint_row *rows;
    uint32_t row_count, row_capacity;
};

static int checkpoint_fail(struct warp_checkpoint_writer *writer, int rc)
{
    warp_assert(rc < 0);
    writer->rc = rc;
    return rc;
}

/* Whole pages of the buffer go to the end of the file. */
static int checkpoint_write(struct warp_checkpoint_writer *writer, uint64_t bytes)
{
    int64_t wrote;

    warp_assert(bytes % CHECKPOINT_PAGE_BYTES == 0);
    warp_assert(bytes <= writer->buffer_bytes);
    wrote = writer->disk->ops->write(writer->disk->context, writer->file, writer->buffer,
                                     bytes, writer->offset, false);
    if (wrote < 0) {
        return checkpoint_fail(writer, warp_error_from_errno((int)wrote));
    }
    writer->offset += bytes;
    return 0;
}

static int checkpoint_reserve_row(struct warp_checkpoint_writer *writer)
{
    uint32_t capacity = writer->row_capacity * 2;
    struct checkpoint_row *rows;

    if (writer->row_count < writer->row_capacity) {
        return 0;
    }
    if (writer->row_count >= WARP_CHECKPOINT_SECTIONS_MAX) {
        return checkpoint_fail(writer, WARP_ENOSPC);
    }
    capacity = capacity > 0 ? capacity : CHECKPOINT_ROWS_AT_FIRST;
    rows = warp_memory_reserve(writer->memory, capacity * sizeof(*rows), 0);
    if (rows == NULL) {
        return checkpoint_fail(writer, WARP_ENOMEM);
    }
    if (writer->row_count > 0) {
        memcpy(rows, writer->rows, writer->row_count * sizeof(*rows));
    }
    warp_memory_release(writer->memory, writer->rows, writer->row_capacity * sizeof(*rows));
    writer->rows = rows;
    writer->row_capacity = capacity;
    return 0;
}

/* The first `bytes` of the buffer are a section: write them. */
static int checkpoint_write_section(struct warp_checkpoint_writer *writer, uint32_t bytes)
{
    uint64_t padded = checkpoint_pages(bytes);
    struct checkpoint_row *row;
    int rc;

    warp_assert(bytes > CHECKPOINT_SLOT_BYTES);
    warp_assert(writer->section_records > 0);
    rc = checkpoint_reserve_row(writer);
    if (rc < 0) {
        return rc;
    }
    memset(writer->buffer + bytes, 0, padded - bytes);
    row = &writer->rows[writer->row_count];
    row->offset = writer->offset;
    row->bytes = bytes;
    row->crc = warp_crc32c(checkpoint_seed(writer->id, writer->number, writer->row_count),
                           writer->buffer, padded);
    row->records = writer->section_records;
    row->first = writer->first;
    row->last = writer->last;
    row->first_records = writer->first_records;
    writer->row_count++;
    writer->section_records = 0;
    return checkpoint_write(writer, padded);
}

/* The entries of the slot that are in the buffer are complete: fill in their header. */
static void checkpoint_end_piece(struct warp_checkpoint_writer *writer)
{
    uint8_t *header = writer->buffer + writer->slot_at;

    warp_assert(writer->piece_records > 0);
    warp_store_u32le(header, writer->slot);
    warp_store_u32le(header + 4, writer->piece_records);
    warp_store_u32le(header + 8, writer->used - writer->slot_at - CHECKPOINT_SLOT_BYTES);
    if (writer->slot_at == 0) {
        writer->first = writer->slot;
        writer->first_records = writer->slot_records;
    }
    writer->last = writer->slot;
    writer->section_records += writer->piece_records;
    writer->piece_records = 0;
}

static void checkpoint_end_slot(struct warp_checkpoint_writer *writer)
{
    uint32_t row;

    if (writer->piece_records > 0) {
        checkpoint_end_piece(writer);
        /* Its earlier pieces, if any, did not know how many there would be. */
        for (row = writer->slot_row; row < writer->row_count; row++) {
            if (writer->rows[row].first == writer->slot) {
                writer->rows[row].first_records = writer->slot_records;
            }
        }
    }
    writer->records += writer->slot_records;
    writer->slot_records = 0;
}

/* The next entry does not fit: make room. */
static int checkpoint_cut(struct warp_checkpoint_writer *writer, uint32_t bytes)
{
    uint32_t slot_at = writer->slot_at;
    uint32_t carried = writer->used - slot_at;
    uint8_t *full = writer->buffer;
    int rc;

    if (slot_at > 0) {
        /* Whole slots are written; this one is carried over. */
        memcpy(writer->buffer_next, full + slot_at, carried);
        rc = checkpoint_write_section(writer, slot_at);
        if (rc < 0) {
            return rc;
        }
        writer->buffer = writer->buffer_next;
        writer->buffer_next = full;
        writer->used = carried;
        writer->slot_at = 0;
        writer->slot_row = writer->row_count;
    }
    if (writer->piece_records > 0 && writer->used + bytes > writer->limit) {
        /* It is alone and does not fit: this is a piece, and there will be another. */
        checkpoint_end_piece(writer);
        rc = checkpoint_write_section(writer, writer->used);
        if (rc < 0) {
            return rc;
        }
        writer->used = 0;
        writer->references.archived = 0;
    }
    return 0;
}

int warp_checkpoint_writer_begin_slot(struct warp_checkpoint_writer *writer, uint32_t slot,
                                      uint32_t entry_count_at_most)
{
    warp_assert(!writer->begun || slot > writer->slot);
    if (writer->rc < 0) {
        return writer->rc;
    }
    checkpoint_end_slot(writer);
    writer->begun = true;
    writer->slot = slot;
    writer->slot_at = writer->used;
    writer->slot_left = entry_count_at_most;
    writer->slot_row = writer->row_count;
    writer->references.archived = 0;
    return 0;
}

int warp_checkpoint_writer_put(struct warp_checkpoint_writer *writer,
                               const struct warp_checkpoint_entry *entry)
{
    uint32_t bytes = CHECKPOINT_SLOT_BYTES + CHECKPOINT_ENTRY_OVERHEAD + entry->key_bytes;
    int rc;

    warp_assert(writer->begun);
    warp_assert(entry->key_bytes >= 1 && entry->key_bytes <= WARP_KEY_BYTES_MAX);
    warp_assert(entry->value_bytes <= WARP_VALUE_BYTES_MAX);
    warp_assert(entry->heat <= 3);
    if (writer->rc < 0) {
        return writer->rc;
    }
    warp_assert(writer->slot_left > 0);
    if (writer->used + bytes > writer->limit && writer->used > 0) {
        rc = checkpoint_cut(writer, bytes);
        if (rc < 0) {
            return rc;
        }
    }
    if (writer->piece_records == 0) {
        writer->slot_at = writer->used;
        writer->used += CHECKPOINT_SLOT_BYTES;
    }
    warp_assert(writer->used + (bytes - CHECKPOINT_SLOT_BYTES) <= writer->buffer_bytes);
    writer->used = (uint32_t)(checkpoint_encode(writer->buffer + writer->used, entry,
                                                &writer->references) -
                              writer->buffer);
    writer->piece_records++;
    writer->slot_records++;
    writer->slot_left--;
    if ((entry->place & PLACE_ARCHIVED) == 0 && entry->place >= writer->highest) {
        writer->highest = entry->place + 1;
    }
    return 0;
}

int warp_checkpoint_writer_create(struct warp_checkpoint_writer **out,
                                  const struct warp_checkpoint_config *config)
{
    const struct warp_disk *disk = config->disk;
    struct warp_checkpoint_writer *writer;
    char name[WARP_CHECKPOINT_NAME_BYTES];
    int rc;

    warp_assert(config->number > 0);
    warp_assert(config->begin % 8 == 0 && config->begin < PLACE_ARCHIVED);
    warp_assert(config->buffer_bytes <= WARP_CHECKPOINT_BUFFER_CEIL);
    writer = warp_memory_reserve(config->memory, sizeof(*writer), 0);
    if (writer == NULL) {
        return WARP_ENOMEM;
    }
    writer->disk = disk;
    writer->memory = config->memory;
    memcpy(writer->id, config->manifest->id, sizeof(writer->id));
    writer->number = config->number;
    writer->epoch = config->manifest->epoch;
    writer->references.begin = config->begin;
    writer->limit = (uint32_t)checkpoint_pages(
        config->buffer_bytes > 0 ? config->buffer_bytes : WARP_CHECKPOINT_BUFFER_BYTES);
    writer->buffer_bytes =
        writer->limit > CHECKPOINT_BUFFER_FLOOR ? writer->limit : CHECKPOINT_BUFFER_FLOOR;
    writer->file = -1;
    writer->buffer =
        warp_memory_reserve(config->memory, writer->buffer_bytes, CHECKPOINT_PAGE_BYTES);
    writer->buffer_next =
        warp_memory_reserve(config->memory, writer->buffer_bytes, CHECKPOINT_PAGE_BYTES);
    if (writer->buffer == NULL || writer->buffer_next == NULL) {
        rc = WARP_ENOMEM;
        goto fail;
    }
    checkpoint_name_aside(config->number, name);
    writer->file = disk->ops->open(disk->context, name,
                                   (uint32_t)WARP_FILE_CREATE |
                                       (config->direct ? (uint32_t)WARP_FILE_DIRECT : 0u));
    if (writer->file < 0) {
        rc = warp_error_from_errno(writer->file);
        goto fail;
    }
    /* A longer file left by a crash must not lend its tail. */
    rc = warp_error_from_errno(disk->ops->truncate(disk->context, writer->file, 0));
    if (rc < 0) {
        goto fail;
    }
    memcpy(writer->buffer + HEADER_AT_MAGIC, checkpoint_magic, sizeof(checkpoint_magic));
    warp_store_u32le(writer->buffer + HEADER_AT_FORMAT, WARP_CHECKPOINT_VERSION);
    warp_store_u32le(writer->buffer + HEADER_AT_READER, WARP_CHECKPOINT_VERSION);
    warp_store_u32le(writer->buffer + HEADER_AT_PAGE_BYTES, CHECKPOINT_PAGE_BYTES);
    memcpy(writer->buffer + HEADER_AT_ID, writer->id, sizeof(writer->id));
    warp_store_u64le(writer->buffer + HEADER_AT_NUMBER, config->number);
    warp_store_u64le(writer->buffer + HEADER_AT_BEGIN, config->begin);
    warp_store_u32le(writer->buffer + HEADER_AT_CRC,
                     checkpoint_page_crc(0, writer->buffer, HEADER_AT_CRC));
    rc = checkpoint_write(writer, CHECKPOINT_PAGE_BYTES);
    if (rc < 0) {
        goto fail;
    }
    *out = writer;
    return 0;

fail:
    warp_checkpoint_writer_destroy(&writer);
    return rc;
}

/* The tables stream through the buffer, because they may be larger. */
struct checkpoint_tail {
    struct warp_checkpoint_writer *writer;
    uint32_t crc;
};

static int checkpoint_tail_write(struct checkpoint_tail *tail)
{
    struct warp_checkpoint_writer *writer = tail->writer;
    uint64_t padded = checkpoint_pages(writer->used);

    if (padded == 0) {
        return 0;
    }
    memset(writer->buffer + writer->used, 0, padded - writer->used);
    tail->crc = warp_crc32c(tail->crc, writer->buffer, padded);
    writer->used = 0;
    return checkpoint_write(writer, padded);
}

static int checkpoint_tail_add(struct checkpoint_tail *tail,
                               const uint8_t row[CHECKPOINT_TABLE_ROW])
{
    struct warp_checkpoint_writer *writer = tail->writer;
    uint32_t room = writer->buffer_bytes - writer->used;
    int rc;

    if (room >= CHECKPOINT_TABLE_ROW) {
        memcpy(writer->buffer + writer->used, row, CHECKPOINT_TABLE_ROW);
        writer->used += CHECKPOINT_TABLE_ROW;
        return 0;
    }
    memcpy(writer->buffer + writer->used, row, room);
    writer->used += room;
    rc = checkpoint_tail_write(tail);
    memcpy(writer->buffer, row + room, CHECKPOINT_TABLE_ROW - room);
    writer->used = CHECKPOINT_TABLE_ROW - room;
    return rc;
}

static int checkpoint_write_tail(struct checkpoint_tail *tail,
                                 const struct warp_checkpoint_segment *segments,
                                 uint32_t segment_count,
                                 const struct warp_checkpoint_archive *archives,
                                 uint32_t archive_count)
{
    struct warp_checkpoint_writer *writer = tail->writer;
    uint8_t row[CHECKPOINT_TABLE_ROW];
    uint32_t i;
    int rc = 0;

    for (i = 0; i < segment_count && rc == 0; i++) {
        warp_store_u64le(row, segments[i].index);
        warp_store_u64le(row + 8, segments[i].straddle_from);
        warp_store_u64le(row + 16, segments[i].bytes);
        rc = checkpoint_tail_add(tail, row);
    }
    for (i = 0; i < archive_count && rc == 0; i++) {
        warp_store_u32le(row, archives[i].number);
        warp_store_u32le(row + 4, archives[i].spare);
        warp_store_u64le(row + 8, archives[i].raw_bytes);
        warp_store_u64le(row + 16, archives[i].stored_bytes);
        rc = checkpoint_tail_add(tail, row);
    }
    for (i = 0; i < writer->row_count && rc == 0; i++) {
        warp_store_u32le(row, writer->rows[i].bytes);
        warp_store_u32le(row + 4, writer->rows[i].crc);
        warp_store_u32le(row + 8, writer->rows[i].records);
        warp_store_u32le(row + 12, writer->rows[i].first);
        warp_store_u32le(row + 16, writer->rows[i].last);
        warp_store_u32le(row + 20, writer->rows[i].first_records);
        rc = checkpoint_tail_add(tail, row);
    }
    return rc == 0 ? checkpoint_tail_write(tail) : rc;
}

/* Everything is written: make it durable, then give it its name. */
static int checkpoint_publish(struct warp_checkpoint_writer *writer)
{
    const struct warp_disk *disk = writer->disk;
    char aside[WARP_CHECKPOINT_NAME_BYTES], name[WARP_CHECKPOINT_NAME_BYTES];
    int rc;

    rc = disk->ops->sync(disk->context, writer->file);
    if (rc < 0) {
        return rc;
    }
    checkpoint_name_aside(writer->number, aside);
    warp_checkpoint_name(writer->number, name);
    writer->named = true;
    rc = disk->ops->rename(disk->context, aside, name);
    if (rc < 0) {
        return rc;
    }
    return disk->ops->sync_directory(disk->context);
}

int warp_checkpoint_writer_seal(struct warp_checkpoint_writer *writer, uint64_t end,
                                uint64_t made_ms, uint64_t archive_next,
                                const struct warp_checkpoint_segment *segments,
                                uint32_t segment_count,
                                const struct warp_checkpoint_archive *archives,
                                uint32_t archive_count,
                                struct warp_checkpoint_summary *summary)
{
    struct checkpoint_tail tail = {
        .writer = writer,
        .crc = checkpoint_seed(writer->id, writer->number, CHECKPOINT_PART_TAIL),
    };
    uint64_t tail_at, file_bytes;
    uint8_t *page;
    int rc;

    warp_assert(!writer->sealed);
    warp_assert(end >= writer->references.begin && end < PLACE_ARCHIVED);
    if (writer->rc < 0) {
        return writer->rc;
    }
    checkpoint_end_slot(writer);
    warp_assert(writer->highest <= end);
    if (writer->used > 0) {
        rc = checkpoint_write_section(writer, writer->used);
        if (rc < 0) {
            return rc;
        }
        writer->used = 0;
    }
    tail_at = writer->offset;
    rc = checkpoint_write_tail(&tail, segments, segment_count, archives, archive_count);
    if (rc < 0) {
        return rc;
    }
    file_bytes = writer->offset + CHECKPOINT_PAGE_BYTES;
    page = writer->buffer;
    memset(page, 0, CHECKPOINT_PAGE_BYTES);
    memcpy(page + TRAILER_AT_MAGIC, checkpoint_end_magic, sizeof(checkpoint_end_magic));
    warp_store_u32le(page + TRAILER_AT_PAGE_BYTES, CHECKPOINT_PAGE_BYTES);
    warp_store_u64le(page + TRAILER_AT_NUMBER, writer->number);
    warp_store_u64le(page + TRAILER_AT_BEGIN, writer->references.begin);
    warp_store_u64le(page + TRAILER_AT_END, end);
    warp_store_u64le(page + TRAILER_AT_RECORDS, writer->records);
    warp_store_u64le(page + TRAILER_AT_MADE_MS, made_ms);
    warp_store_u64le(page + TRAILER_AT_ARCHIVE_NEXT, archive_next);
    warp_store_u64le(page + TRAILER_AT_FILE_BYTES, file_bytes);
    warp_store_u64le(page + TRAILER_AT_TAIL, tail_at);
    warp_store_u32le(page + TRAILER_AT_TAIL_CRC, tail.crc);
    warp_store_u32le(page + TRAILER_AT_SEGMENTS, segment_count);
    warp_store_u32le(page + TRAILER_AT_ARCHIVES, archive_count);
    warp_store_u32le(page + TRAILER_AT_SECTIONS, writer->row_count);
    warp_store_u32le(page + TRAILER_AT_EPOCH, writer->epoch);
    warp_store_u32le(page + TRAILER_AT_CRC,
                     checkpoint_page_crc(checkpoint_seed(writer->id, writer->number,
                                                         CHECKPOINT_PART_TRAILER),
                                         page, TRAILER_AT_CRC));
    rc = checkpoint_write(writer, CHECKPOINT_PAGE_BYTES);
    if (rc < 0) {
        return rc;
    }
    rc = checkpoint_publish(writer);
    if (rc < 0) {
        return checkpoint_fail(writer, warp_error_from_errno(rc));
    }
    writer->sealed = true;
    if (summary != NULL) {
        summary->number = writer->number;
        summary->begin = writer->references.begin;
        summary->end = end;
        summary->records = writer->records;
        summary->bytes = file_bytes;
        summary->made_ms = made_ms;
        summary->archive_next = archive_next;
        summary->segment_count = segment_count;
        summary->archive_count = archive_count;
        summary->epoch = writer->epoch;
    }
    return 0;
}

void warp_checkpoint_writer_destroy(struct warp_checkpoint_writer **out)
{
    struct warp_checkpoint_writer *writer = *out;
    char name[WARP_CHECKPOINT_NAME_BYTES];

    if (writer == NULL) {
        return;
    }
    if (writer->file >= 0) {
        writer->disk->ops->close(writer->disk->context, writer->file);
        if (!writer->sealed) {
            /* Whether this works or not: find removes it, and nobody reads it before. */
            checkpoint_name_aside(writer->number, name);
            (void)writer->disk->ops->unlink(writer->disk->context, name);
        }
        if (writer->named && !writer->sealed) {
            /* Should it be there after a crash all the same, it is whole and it is true. */
            warp_checkpoint_name(writer->number, name);
            (void)writer->disk->ops->unlink(writer->disk->context, name);
        }
    }
    warp_memory_release(writer->memory, writer->rows,
                        writer->row_capacity * sizeof(*writer->rows));
    warp_memory_release(writer->memory, writer->buffer_next, writer->buffer_bytes);
    warp_memory_release(writer->memory, writer->buffer, writer->buffer_bytes);
    warp_memory_release(writer->memory, writer, sizeof(*writer));
    *out = NULL;
}

/*
 * ---- header and trailer ---------------------------------------------------------------
 */

/* What is looked at, and where to say what is wrong with it. */
struct checkpoint_look {
    const struct warp_disk *disk;
    const uint8_t *id;
    uint64_t number;
    int32_t file;
    uint8_t *page;       /* one page to read into */
    uint32_t page_bytes; /* that were read; zeros behind */
    char *message;       /* may be NULL */
    size_t message_bytes;

    /* What is found. */
    struct warp_checkpoint_summary summary;
    uint64_t tail_at, tail_bytes;
    uint32_t tail_crc, section_count;
};

static int checkpoint_say(const struct checkpoint_look *look, uint64_t offset,
                          const char *what, int rc)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];

    if (look->message != NULL && look->message_bytes > 0) {
        warp_checkpoint_name(look->number, name);
        snprintf(look->message, look->message_bytes, "%s, offset %llu: %s.", name,
                 (unsigned long long)offset, what);
    }
    return rc;
}

static int checkpoint_read_page(struct checkpoint_look *look, uint64_t offset)
{
    int64_t got;

    memset(look->page, 0, CHECKPOINT_PAGE_BYTES);
    got = look->disk->ops->read(look->disk->context, look->file, look->page,
                                CHECKPOINT_PAGE_BYTES, offset);
    if (got < 0) {
        return checkpoint_say(look, offset, "it cannot be read",
                              warp_error_from_errno((int)got));
    }
    look->page_bytes = (uint32_t)got;
    return 0;
}

static int checkpoint_check_header(struct checkpoint_look *look)
{
    const uint8_t *page = look->page;
    int rc;

    rc = checkpoint_read_page(look, 0);
    if (rc < 0) {
        return rc;
    }
    if (memcmp(page + HEADER_AT_MAGIC, checkpoint_magic, sizeof(checkpoint_magic)) != 0) {
        static const uint8_t zero[sizeof(checkpoint_magic)];

        if (look->page_bytes < sizeof(checkpoint_magic)) {
            return checkpoint_say(look, look->page_bytes, "the file is cut off here",
                                  WARP_EDAMAGED);
        }
        /* With our id behind it, or blank, it was ours and has lost its magic. */
        if (memcmp(page + HEADER_AT_ID, look->id, WARP_DATABASE_ID_BYTES) != 0 &&
            memcmp(page, zero, sizeof(zero)) != 0) {
            return checkpoint_say(look, HEADER_AT_MAGIC,
                                  "this is no checkpoint of WarpEngine", WARP_EFORMAT);
        }
        return checkpoint_say(look, HEADER_AT_MAGIC, "the header is lost", WARP_EDAMAGED);
    }
    if (warp_load_u32le(page + HEADER_AT_CRC) !=
        checkpoint_page_crc(0, page, HEADER_AT_CRC)) {
        return checkpoint_say(look, HEADER_AT_CRC, "the header's checksum is wrong",
                              WARP_EDAMAGED);
    }
    if (warp_load_u32le(page + HEADER_AT_READER) > WARP_CHECKPOINT_VERSION) {
        return checkpoint_say(look, HEADER_AT_READER,
                              "written by a newer WarpEngine than this one", WARP_EVERSION);
    }
    if (memcmp(page + HEADER_AT_ID, look->id, WARP_DATABASE_ID_BYTES) != 0) {
        return checkpoint_say(look, HEADER_AT_ID,
                              "this checkpoint belongs to another database", WARP_EFORMAT);
    }
    if (warp_load_u64le(page + HEADER_AT_NUMBER) != look->number) {
        return checkpoint_say(look, HEADER_AT_NUMBER,
                              "the file has another checkpoint's name", WARP_EDAMAGED);
    }
    look->summary.number = look->number;
    look->summary.begin = warp_load_u64le(page + HEADER_AT_BEGIN);
    return 0;
}

static int checkpoint_check_trailer(struct checkpoint_look *look, uint64_t file_bytes)
{
    struct warp_checkpoint_summary *summary = &look->summary;
    uint64_t at = file_bytes - CHECKPOINT_PAGE_BYTES;
    const uint8_t *page = look->page;
    int rc;

    rc = checkpoint_read_page(look, at);
    if (rc < 0) {
        return rc;
    }
    if (memcmp(page + TRAILER_AT_MAGIC, checkpoint_end_magic,
               sizeof(checkpoint_end_magic)) != 0) {
        return checkpoint_say(look, at, "there is no trailer", WARP_EDAMAGED);
    }
    if (warp_load_u32le(page + TRAILER_AT_CRC) !=
        checkpoint_page_crc(
            checkpoint_seed(look->id, look->number, CHECKPOINT_PART_TRAILER), page,
            TRAILER_AT_CRC)) {
        return checkpoint_say(look, at + TRAILER_AT_CRC, "the trailer's checksum is wrong",
                              WARP_EDAMAGED);
    }
    summary->end = warp_load_u64le(page + TRAILER_AT_END);
    summary->records = warp_load_u64le(page + TRAILER_AT_RECORDS);
    summary->bytes = file_bytes;
    summary->made_ms = warp_load_u64le(page + TRAILER_AT_MADE_MS);
    summary->archive_next = warp_load_u64le(page + TRAILER_AT_ARCHIVE_NEXT);
    summary->segment_count = warp_load_u32le(page + TRAILER_AT_SEGMENTS);
    summary->archive_count = warp_load_u32le(page + TRAILER_AT_ARCHIVES);
    summary->epoch = warp_load_u32le(page + TRAILER_AT_EPOCH);
    look->section_count = warp_load_u32le(page + TRAILER_AT_SECTIONS);
    look->tail_at = warp_load_u64le(page + TRAILER_AT_TAIL);
    look->tail_crc = warp_load_u32le(page + TRAILER_AT_TAIL_CRC);
    look->tail_bytes =
        ((uint64_t)summary->segment_count + summary->archive_count + look->section_count) *
        CHECKPOINT_TABLE_ROW;
    if (warp_load_u64le(page + TRAILER_AT_NUMBER) != look->number ||
        warp_load_u64le(page + TRAILER_AT_BEGIN) != summary->begin ||
        warp_load_u64le(page + TRAILER_AT_FILE_BYTES) != file_bytes ||
        summary->begin % 8 != 0 || summary->begin > summary->end ||
        summary->end >= PLACE_ARCHIVED || summary->records == UINT64_MAX ||
        look->section_count > WARP_CHECKPOINT_SECTIONS_MAX ||
        look->tail_at < CHECKPOINT_PAGE_BYTES ||
        look->tail_at % CHECKPOINT_PAGE_BYTES != 0 || look->tail_at > at ||
        checkpoint_pages(look->tail_bytes) != at - look->tail_at) {
        return checkpoint_say(look, at, "the trailer contradicts the file", WARP_EDAMAGED);
    }
    return 0;
}

/* Open the file and judge its first and its last page. It stays open when that is well. */
static int checkpoint_look(struct checkpoint_look *look)
{
    const struct warp_disk *disk = look->disk;
    char name[WARP_CHECKPOINT_NAME_BYTES];
    int64_t size;
    int rc;

    warp_checkpoint_name(look->number, name);
    look->file = disk->ops->open(disk->context, name, WARP_FILE_READ_ONLY);
    if (look->file < 0) {
        return checkpoint_say(look, 0, "it cannot be opened",
                              warp_error_from_errno(look->file));
    }
    rc = checkpoint_check_header(look);
    if (rc < 0) {
        goto fail;
    }
    size = disk->ops->size(disk->context, look->file);
    if (size < 0) {
        rc = checkpoint_say(look, 0, "its size cannot be read",
                            warp_error_from_errno((int)size));
        goto fail;
    }
    if (size < (int64_t)(2 * CHECKPOINT_PAGE_BYTES) || size % CHECKPOINT_PAGE_BYTES != 0) {
        rc =
            checkpoint_say(look, (uint64_t)size, "the file is cut off here", WARP_EDAMAGED);
        goto fail;
    }
    rc = checkpoint_check_trailer(look, (uint64_t)size);
    if (rc < 0) {
        goto fail;
    }
    return 0;

fail:
    disk->ops->close(disk->context, look->file);
    return rc;
}

/*
 * ---- finding --------------------------------------------------------------------------
 */

struct checkpoint_list {
    struct warp_checkpoint_summary *out; /* numbers, newest first */
    uint32_t capacity, count;
    uint64_t half_made[CHECKPOINT_HALF_MADE_MAX];
    uint32_t half_made_count;
};

static int checkpoint_list_visit(void *context, const char *name, uint64_t bytes)
{
    struct checkpoint_list *list = context;
    uint64_t number;
    bool aside;
    uint32_t i;

    (void)bytes;
    if (!checkpoint_parse_name(name, &number, &aside)) {
        return 0;
    }
    if (aside) {
        if (list->half_made_count < CHECKPOINT_HALF_MADE_MAX) {
            list->half_made[list->half_made_count++] = number;
        }
        return 0;
    }
    for (i = 0; i < list->count && list->out[i].number > number; i++) {
    }
    if (i == list->capacity) {
        return 0;
    }
    list->count += list->count < list->capacity ? 1 : 0;
    memmove(&list->out[i + 1], &list->out[i], (list->count - 1 - i) * sizeof(*list->out));
    list->out[i].number = number;
    return 0;
}

/*
 * List, remove what is half-made, and list again until there is nothing to remove: a list
 * has a bounded memory, and nothing is removed while the directory is being read.
 */
static int checkpoint_list(const struct warp_disk *disk, bool read_only,
                           struct checkpoint_list *list)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    uint32_t i;
    int rc;

    for (;;) {
        list->count = 0;
        list->half_made_count = 0;
        rc = disk->ops->list(disk->context, checkpoint_list_visit, list);
        if (rc < 0) {
            return warp_error_from_errno(rc);
        }
        if (read_only || list->half_made_count == 0) {
            return 0;
        }
        for (i = 0; i < list->half_made_count; i++) {
            checkpoint_name_aside(list->half_made[i], name);
            rc = disk->ops->unlink(disk->context, name);
            if (rc < 0) {
                return warp_error_from_errno(rc);
            }
        }
    }
}

int warp_checkpoint_find(const struct warp_disk *disk, struct warp_memory *memory,
                         const struct warp_manifest *manifest, bool read_only,
                         struct warp_checkpoint_summary *out, uint32_t capacity,
                         uint32_t *count)
{
    struct checkpoint_list list = {.out = out, .capacity = capacity};
    struct checkpoint_look look;
    uint8_t *page;
    uint32_t i;
    int rc;

    warp_assert(capacity > 0);
    page = warp_memory_reserve(memory, CHECKPOINT_PAGE_BYTES, 0);
    if (page == NULL) {
        return WARP_ENOMEM;
    }
    rc = checkpoint_list(disk, read_only, &list);
    for (i = 0; i < list.count && rc == 0; i++) {
        memset(&look, 0, sizeof(look));
        look.disk = disk;
        look.id = manifest->id;
        look.number = out[i].number;
        look.page = page;
        rc = checkpoint_look(&look);
        if (rc == 0) {
            disk->ops->close(disk->context, look.file);
            out[i] = look.summary;
        } else if (rc == WARP_EDAMAGED || rc == WARP_EFORMAT || rc == WARP_EVERSION ||
                   rc == WARP_EIO) {
            /* This one is of no use, but there may be another. */
            memset(&out[i], 0, sizeof(out[i]));
            out[i].number = look.number;
            out[i].records = UINT64_MAX;
            rc = 0;
        }
    }
    if (rc == 0) {
        *count = list.count;
    }
    warp_memory_release(memory, page, CHECKPOINT_PAGE_BYTES);
    return rc;
}

int warp_checkpoint_remove(const struct warp_disk *disk, uint64_t number)
{
    char name[WARP_CHECKPOINT_NAME_BYTES];
    int rc;

    warp_checkpoint_name(number, name);
    rc = warp_error_from_errno(disk->ops->unlink(disk->context, name));
    if (rc < 0 && rc != WARP_ENOENT) {
        return rc;
    }
    return warp_error_from_errno(disk->ops->sync_directory(disk->context));
}

/*
 * ---- reading --------------------------------------------------------------------------
 */

/* Set by open, constant afterwards: any thread may read. */
struct warp_checkpoint {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    uint8_t id[WARP_DATABASE_ID_BYTES];
    int32_t file;
    struct warp_checkpoint_summary summary;
    struct warp_checkpoint_segment *segments;
    struct warp_checkpoint_archive *archives;
    struct checkpoint_row *rows;
    uint32_t row_count;
};

/*
 * Whether a row can follow the one before, if any: slots ascend, and a slot that reaches
 * into both is alone in the one before and has records left. *told are its records before.
 */
static bool checkpoint_row_follows(struct checkpoint_row *row, bool is_first,
                                   uint64_t *told)
{
    struct checkpoint_row *before = is_first ? NULL : row - 1;

    if (before == NULL || row->first > before->last) {
        *told = 0;
    } else {
        if (row->first != before->last || before->first != before->last ||
            row->first_records != before->first_records) {
            return false;
        }
        before->first_piece = before->records;
        *told += before->records;
    }
    if (*told >= row->first_records) {
        return false;
    }
    row->first_piece = row->first_records - (uint32_t)*told;
    return true;
}

/* Fill the tables from the checked tail. False: the directory contradicts itself. */
static bool checkpoint_decode_tail(struct warp_checkpoint *checkpoint, const uint8_t *from,
                                   uint64_t tail_at)
{
    uint64_t offset = CHECKPOINT_PAGE_BYTES;
    uint64_t records = 0, told = 0;
    uint32_t i;

    for (i = 0; i < checkpoint->summary.segment_count; i++, from += CHECKPOINT_TABLE_ROW) {
        checkpoint->segments[i].index = warp_load_u64le(from);
        checkpoint->segments[i].straddle_from = warp_load_u64le(from + 8);
        checkpoint->segments[i].bytes = warp_load_u64le(from + 16);
    }
    for (i = 0; i < checkpoint->summary.archive_count; i++, from += CHECKPOINT_TABLE_ROW) {
        checkpoint->archives[i].number = warp_load_u32le(from);
        checkpoint->archives[i].spare = warp_load_u32le(from + 4);
        checkpoint->archives[i].raw_bytes = warp_load_u64le(from + 8);
        checkpoint->archives[i].stored_bytes = warp_load_u64le(from + 16);
    }
    for (i = 0; i < checkpoint->row_count; i++, from += CHECKPOINT_TABLE_ROW) {
        struct checkpoint_row *row = &checkpoint->rows[i];

        row->offset = offset;
        row->bytes = warp_load_u32le(from);
        row->crc = warp_load_u32le(from + 4);
        row->records = warp_load_u32le(from + 8);
        row->first = warp_load_u32le(from + 12);
        row->last = warp_load_u32le(from + 16);
        row->first_records = warp_load_u32le(from + 20);
        if (row->bytes <= CHECKPOINT_SLOT_BYTES ||
            row->bytes > WARP_CHECKPOINT_BUFFER_CEIL || row->first > row->last ||
            row->records == 0 || !checkpoint_row_follows(row, i == 0, &told)) {
            return false;
        }
        offset += checkpoint_pages(row->bytes);
        records += row->records;
    }
    return offset == tail_at && records == checkpoint->summary.records;
}

/* Memory for `count` rows; NULL for none, and when it is refused. */
static void *checkpoint_reserve_table(struct warp_memory *memory, uint32_t count,
                                      size_t row_bytes, bool *refused)
{
    void *rows = NULL;

    if (count > 0) {
        rows = warp_memory_reserve(memory, count * row_bytes, 0);
        *refused = *refused || rows == NULL;
    }
    return rows;
}

static int checkpoint_read_tail(struct warp_checkpoint *checkpoint,
                                const struct checkpoint_look *look)
{
    const struct warp_disk *disk = checkpoint->disk;
    uint64_t padded = checkpoint_pages(look->tail_bytes);
    bool refused = false;
    uint8_t *bytes;
    int64_t got;
    int rc;

    checkpoint->segments =
        checkpoint_reserve_table(checkpoint->memory, checkpoint->summary.segment_count,
                                 sizeof(*checkpoint->segments), &refused);
    checkpoint->archives =
        checkpoint_reserve_table(checkpoint->memory, checkpoint->summary.archive_count,
                                 sizeof(*checkpoint->archives), &refused);
    checkpoint->rows = checkpoint_reserve_table(checkpoint->memory, checkpoint->row_count,
                                                sizeof(*checkpoint->rows), &refused);
    if (refused) {
        return checkpoint_say(look, look->tail_at, "no memory for its tables", WARP_ENOMEM);
    }
    if (padded == 0) {
        /* The checksum of nothing is the seed. */
        if (look->tail_crc !=
                checkpoint_seed(checkpoint->id, look->number, CHECKPOINT_PART_TAIL) ||
            !checkpoint_decode_tail(checkpoint, NULL, look->tail_at)) {
            return checkpoint_say(look, look->tail_at, "the tables are wrong",
                                  WARP_EDAMAGED);
        }
        return 0;
    }
    bytes = warp_memory_reserve(checkpoint->memory, padded, CHECKPOINT_PAGE_BYTES);
    if (bytes == NULL) {
        return checkpoint_say(look, look->tail_at, "no memory for its tables", WARP_ENOMEM);
    }
    rc = 0;
    got = disk->ops->read(disk->context, checkpoint->file, bytes, padded, look->tail_at);
    if (got < 0) {
        rc = checkpoint_say(look, look->tail_at, "the tables cannot be read",
                            warp_error_from_errno((int)got));
    } else if (got != (int64_t)padded ||
               warp_crc32c(
                   checkpoint_seed(checkpoint->id, look->number, CHECKPOINT_PART_TAIL),
                   bytes, padded) != look->tail_crc) {
        rc = checkpoint_say(look, look->tail_at, "the tables' checksum is wrong",
                            WARP_EDAMAGED);
    } else if (!checkpoint_decode_tail(checkpoint, bytes, look->tail_at)) {
        rc = checkpoint_say(look, look->tail_at, "the directory contradicts the file",
                            WARP_EDAMAGED);
    }
    warp_memory_release(checkpoint->memory, bytes, padded);
    return rc;
}

int warp_checkpoint_open(struct warp_checkpoint **out, const struct warp_disk *disk,
                         struct warp_memory *memory, const struct warp_manifest *manifest,
                         uint64_t number, char *message, size_t message_bytes)
{
    struct checkpoint_look look = {
        .disk = disk,
        .id = manifest->id,
        .number = number,
        .message = message,
        .message_bytes = message_bytes,
    };
    struct warp_checkpoint *checkpoint;
    int rc;

    look.page = warp_memory_reserve(memory, CHECKPOINT_PAGE_BYTES, 0);
    if (look.page == NULL) {
        return checkpoint_say(&look, 0, "no memory to read it", WARP_ENOMEM);
    }
    rc = checkpoint_look(&look);
    warp_memory_release(memory, look.page, CHECKPOINT_PAGE_BYTES);
    if (rc < 0) {
        return rc;
    }
    checkpoint = warp_memory_reserve(memory, sizeof(*checkpoint), 0);
    if (checkpoint == NULL) {
        disk->ops->close(disk->context, look.file);
        return checkpoint_say(&look, 0, "no memory to read it", WARP_ENOMEM);
    }
    checkpoint->disk = disk;
    checkpoint->memory = memory;
    memcpy(checkpoint->id, manifest->id, sizeof(checkpoint->id));
    checkpoint->file = look.file;
    checkpoint->summary = look.summary;
    checkpoint->row_count = look.section_count;
    rc = checkpoint_read_tail(checkpoint, &look);
    if (rc < 0) {
        warp_checkpoint_close(&checkpoint);
        return rc;
    }
    *out = checkpoint;
    return 0;
}

void warp_checkpoint_close(struct warp_checkpoint **out)
{
    struct warp_checkpoint *checkpoint = *out;

    if (checkpoint == NULL) {
        return;
    }
    checkpoint->disk->ops->close(checkpoint->disk->context, checkpoint->file);
    warp_memory_release(checkpoint->memory, checkpoint->rows,
                        checkpoint->row_count * sizeof(*checkpoint->rows));
    warp_memory_release(checkpoint->memory, checkpoint->archives,
                        checkpoint->summary.archive_count * sizeof(*checkpoint->archives));
    warp_memory_release(checkpoint->memory, checkpoint->segments,
                        checkpoint->summary.segment_count * sizeof(*checkpoint->segments));
    warp_memory_release(checkpoint->memory, checkpoint, sizeof(*checkpoint));
    *out = NULL;
}

const struct warp_checkpoint_summary *
warp_checkpoint_summary(const struct warp_checkpoint *checkpoint)
{
    return &checkpoint->summary;
}

const struct warp_checkpoint_segment *
warp_checkpoint_segments(const struct warp_checkpoint *checkpoint)
{
    return checkpoint->segments;
}

const struct warp_checkpoint_archive *
warp_checkpoint_archives(const struct warp_checkpoint *checkpoint)
{
    return checkpoint->archives;
}

uint32_t warp_checkpoint_section_count(const struct warp_checkpoint *checkpoint)
{
    return checkpoint->row_count;
}

void warp_checkpoint_section_slots(const struct warp_checkpoint *checkpoint,
                                   uint32_t section, uint32_t *first, uint32_t *last,
                                   uint32_t *records)
{
    warp_assert(section < checkpoint->row_count);
    *first = checkpoint->rows[section].first;
    *last = checkpoint->rows[section].last;
    *records = checkpoint->rows[section].records;
}

/* A walk through the checked bytes of one section. */
struct checkpoint_walk {
    const uint8_t *bytes; /* with CHECKPOINT_LOOK_AHEAD more behind them */
    const struct checkpoint_row *row;
    uint64_t begin, end;                          /* the file's, of log */
    bool (*wanted)(void *context, uint32_t slot); /* NULL: all are */
    warp_checkpoint_visit visit;
    void *context;
    uint32_t at; /* here it is, and here it went wrong */
};

/* The entries of one slot, which lie in [walk->at, end). */
static int checkpoint_walk_slot(struct checkpoint_walk *walk, uint32_t slot, uint32_t count,
                                uint32_t slot_records, uint32_t end)
{
    struct checkpoint_references references = {.begin = walk->begin};
    const uint8_t *at = walk->bytes + walk->at;
    const uint8_t *last = walk->bytes + end;
    struct warp_checkpoint_entry entry;
    uint32_t i;
    int rc;

    for (i = 0; i < count; i++) {
        const uint8_t *next = checkpoint_decode(at, last, &entry, &references);

        if (next == NULL ||
            ((entry.place & PLACE_ARCHIVED) == 0 && entry.place >= walk->end)) {
            walk->at = (uint32_t)(at - walk->bytes);
            return WARP_EDAMAGED;
        }
        rc = walk->visit(walk->context, slot, slot_records, &entry);
        if (rc != 0) {
            return rc;
        }
        at = next;
    }
    walk->at = (uint32_t)(at - walk->bytes);
    return at == last ? 0 : WARP_EDAMAGED;
}

static int checkpoint_walk(struct checkpoint_walk *walk)
{
    const struct checkpoint_row *row = walk->row;
    uint32_t records = 0;
    uint32_t slot = 0;
    int rc;

    do {
        const uint8_t *header = walk->bytes + walk->at;
        bool is_first = walk->at == 0;
        uint32_t left = row->bytes - walk->at;
        uint32_t count, bytes, slot_records;
        bool in_order;

        if (left < CHECKPOINT_SLOT_BYTES) {
            return WARP_EDAMAGED;
        }
        in_order = is_first ? warp_load_u32le(header) == row->first
                            : warp_load_u32le(header) > slot;
        slot = warp_load_u32le(header);
        count = warp_load_u32le(header + 4);
        bytes = warp_load_u32le(header + 8);
        slot_records = is_first ? row->first_records : count;
        if (!in_order || count == 0 || count > row->records - records ||
            bytes > left - CHECKPOINT_SLOT_BYTES ||
            (is_first && count != row->first_piece)) {
            return WARP_EDAMAGED;
        }
        walk->at += CHECKPOINT_SLOT_BYTES;
        if (walk->wanted == NULL || walk->wanted(walk->context, slot)) {
            rc = checkpoint_walk_slot(walk, slot, count, slot_records, walk->at + bytes);
            if (rc != 0) {
                return rc;
            }
        } else {
            walk->at += bytes;
        }
        records += count;
    } while (walk->at < row->bytes);
    return slot == row->last && records == row->records ? 0 : WARP_EDAMAGED;
}

uint64_t warp_checkpoint_section_bytes(const struct warp_checkpoint *checkpoint,
                                       uint32_t section)
{
    warp_assert(section < checkpoint->row_count);
    return checkpoint_pages(checkpoint_pages(checkpoint->rows[section].bytes) +
                            CHECKPOINT_LOOK_AHEAD);
}

/* Mapped, for an allocator may keep what it gets back; and used again, for the first touch of
 * memory costs as much as reading into it. */
static int checkpoint_section_room(struct warp_checkpoint *checkpoint,
                                   struct warp_checkpoint_section *loaded, uint64_t bytes)
{
    if (loaded->bytes != NULL && loaded->reserved >= bytes) {
        return 0;
    }
    warp_checkpoint_section_drop(checkpoint, loaded);
    loaded->bytes =
        warp_memory_map(checkpoint->memory, bytes, CHECKPOINT_PAGE_BYTES, false);
    loaded->reserved = loaded->bytes == NULL ? 0 : bytes;
    return loaded->bytes == NULL ? WARP_ENOMEM : 0;
}

int warp_checkpoint_section_load(struct warp_checkpoint *checkpoint, uint32_t section,
                                 struct warp_checkpoint_section *loaded, uint64_t *offset)
{
    const struct warp_disk *disk = checkpoint->disk;
    const struct checkpoint_row *row = &checkpoint->rows[section];
    uint64_t padded = checkpoint_pages(row->bytes);
    int64_t got;
    int rc;

    rc = checkpoint_section_room(checkpoint, loaded,
                                 warp_checkpoint_section_bytes(checkpoint, section));
    if (rc < 0) {
        return rc;
    }
    loaded->index = section;
    got = disk->ops->read(disk->context, checkpoint->file, loaded->bytes, padded,
                          row->offset);
    if (got < 0) {
        rc = warp_error_from_errno((int)got);
    } else if (got != (int64_t)padded ||
               warp_crc32c(
                   checkpoint_seed(checkpoint->id, checkpoint->summary.number, section),
                   loaded->bytes, padded) != row->crc) {
        rc = WARP_EDAMAGED;
        if (offset != NULL) {
            *offset = row->offset;
        }
    }
    return rc;
}

void warp_checkpoint_section_drop(struct warp_checkpoint *checkpoint,
                                  struct warp_checkpoint_section *loaded)
{
    if (loaded->bytes != NULL) {
        warp_memory_unmap(checkpoint->memory, loaded->bytes, loaded->reserved);
        loaded->bytes = NULL;
        loaded->reserved = 0;
    }
}

int warp_checkpoint_section_walk(struct warp_checkpoint *checkpoint,
                                 const struct warp_checkpoint_section *loaded,
                                 bool (*wanted)(void *context, uint32_t slot),
                                 warp_checkpoint_visit visit, void *context,
                                 uint64_t *offset)
{
    const struct checkpoint_row *row = &checkpoint->rows[loaded->index];
    struct checkpoint_walk walk = {
        .bytes = loaded->bytes,
        .row = row,
        .begin = checkpoint->summary.begin,
        .end = checkpoint->summary.end,
        .wanted = wanted,
        .visit = visit,
        .context = context,
    };
    int rc = checkpoint_walk(&walk);

    if (rc == WARP_EDAMAGED && offset != NULL) {
        *offset = row->offset + walk.at;
    }
    return rc;
}

int warp_checkpoint_read_section(struct warp_checkpoint *checkpoint, uint32_t section,
                                 warp_checkpoint_visit visit, void *context,
                                 uint64_t *offset)
{
    struct warp_checkpoint_section loaded = {.bytes = NULL};
    int rc = warp_checkpoint_section_load(checkpoint, section, &loaded, offset);

    if (rc == 0) {
        rc =
            warp_checkpoint_section_walk(checkpoint, &loaded, NULL, visit, context, offset);
    }
    warp_checkpoint_section_drop(checkpoint, &loaded);
    return rc;
}
