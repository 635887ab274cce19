/*
 * wal/frame.h - the bytes of one frame of the log.
 *
 * A frame is a 32-byte header with its own checksum, then a body. The header says where in
 * the log it lies, in which opening of the database it was written (the fencing epoch) and
 * how far the log was known to be durable at that moment (the mark), so a reader can tell
 * an unfinished tail from damage. Drawn in docs/WAL_FORMAT.md. Log sequence numbers that
 * are addresses are from Mohan et al., "ARIES", ACM TODS 17(1), 1992; the mark is ours.
 *
 * Threads:   any; nothing is shared.
 * Lifetime:  decoded pointers point into the caller's bytes.
 * Units:     bytes; positions are bytes of log since the database was made.
 * Ordering:  none.
 * Errors:    WARP_EFORMAT: these bytes are no frame or no entry. WARP_EVERSION: a frame of
 *            a newer version. Wrong arguments of the encoders assert.
 * Cost:      a header is one CRC32C of 32 bytes and seven stores; an entry's header is three
 *            stores, with its own checksum one pass over key and value.
 */
#ifndef WAL_FRAME_H
#define WAL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "warp/warp.h"

#define WARP_FRAME_HEADER_BYTES 32u
#define WARP_FRAME_ALIGNMENT    8u
#define WARP_FRAME_VERSION      1u

/* kind (1), flags (1), key bytes - 1 (2), value bytes (4), and at most expiry and checksum.
 */
#define WARP_ENTRY_HEADER_BYTES_MIN 8u
#define WARP_ENTRY_HEADER_BYTES_MAX 20u

/* A batch of the greatest size; one record of the greatest size is smaller. */
#define WARP_FRAME_BATCH_HEADER_BYTES 8u
#define WARP_FRAME_BODY_BYTES_MAX                                                          \
    (WARP_BATCH_BYTES_MAX + WARP_ENTRY_HEADER_BYTES_MAX * WARP_BATCH_OPERATIONS_MAX + 64u)
_Static_assert(WARP_FRAME_BODY_BYTES_MAX >=
                   WARP_ENTRY_HEADER_BYTES_MAX + WARP_KEY_BYTES_MAX + WARP_VALUE_BYTES_MAX,
               "a record of the greatest size fits a frame");
_Static_assert(WARP_FRAME_BODY_BYTES_MAX % WARP_FRAME_ALIGNMENT == 0,
               "frames stay aligned");

enum warp_frame_kind {
    WARP_FRAME_RECORD = 1, /* body: one entry */
    WARP_FRAME_BATCH = 2,  /* body: u32 count, u32 zero, entries back to back */
    WARP_FRAME_OPEN = 3,   /* body: u64 wall clock in ms; first frame of its epoch */
    WARP_FRAME_MARK = 4,   /* no body: only carries the mark */
    WARP_FRAME_PAD = 5,    /* body: to be skipped, unchecked */
    WARP_FRAME_CLOSE = 6,  /* body: u64 wall clock in ms; nothing follows in this epoch */
};
#define WARP_FRAME_TIME_BYTES 8u /* body of WARP_FRAME_OPEN and _CLOSE */

struct warp_frame {
    uint64_t position;   /* of the header; a multiple of 8 */
    uint64_t mark;       /* all log below it was durable; 0 unless has_mark */
    uint32_t body_bytes; /* without the padding to a multiple of 8 */
    uint32_t body_crc;   /* CRC32C of the body; 0 for WARP_FRAME_PAD */
    uint32_t epoch;
    uint8_t kind; /* enum warp_frame_kind */
    bool has_mark;
};

enum warp_entry_kind {
    WARP_ENTRY_PUT = 1,
    WARP_ENTRY_DELETE = 2,
};
#define WARP_ENTRY_HAS_EXPIRY 1u /* flag: 8 bytes of Unix time in ms follow the header */
#define WARP_ENTRY_HAS_CHECKSUM                                                            \
    2u /* flag: 4 bytes of CRC32C of the entry, this field being 0 */
#define WARP_ENTRY_FLAGS_ALL 3u

struct warp_entry {
    uint8_t kind;  /* enum warp_entry_kind */
    uint8_t flags; /* WARP_ENTRY_HAS_... */
    uint32_t key_bytes;
    uint32_t value_bytes; /* 0 for a delete */
    const void *key, *value;
    uint64_t expires_at_ms; /* 0 unless WARP_ENTRY_HAS_EXPIRY */
};

/* How much log a frame with a body of so many bytes takes. */
static inline uint64_t warp_frame_bytes(uint64_t body_bytes)
{
    return (WARP_FRAME_HEADER_BYTES + body_bytes + 7u) & ~UINT64_C(7);
}

/* Write the 32 bytes of a header. seed is warp_manifest_seed(): it binds the frame to its
 * database. */
static inline void warp_frame_encode_header(void *out, const struct warp_frame *frame,
                                            uint32_t seed)
{
    uint8_t *bytes = out;
    uint32_t mark_distance = UINT32_MAX;

    warp_assert(frame->position % WARP_FRAME_ALIGNMENT == 0);
    warp_assert(frame->body_bytes <= WARP_FRAME_BODY_BYTES_MAX);
    if (frame->has_mark) {
        warp_assert(frame->mark <= frame->position);
        if (frame->position - frame->mark < UINT32_MAX) {
            mark_distance = (uint32_t)(frame->position - frame->mark);
        }
    }
    bytes[0] = 'W';
    bytes[1] = 'F';
    bytes[2] = WARP_FRAME_VERSION;
    bytes[3] = frame->kind;
    warp_store_u32le(bytes + 4, 0);
    warp_store_u64le(bytes + 8, frame->position);
    warp_store_u32le(bytes + 16, frame->body_bytes);
    warp_store_u32le(bytes + 20, frame->body_crc);
    warp_store_u32le(bytes + 24, frame->epoch);
    warp_store_u32le(bytes + 28, mark_distance);
    warp_store_u32le(bytes + 4, warp_crc32c(seed, bytes, WARP_FRAME_HEADER_BYTES));
}

/*
 * Read 32 bytes as a header. 0 and *out; or WARP_EFORMAT: no frame of this database (magic,
 * checksum, kind, size or mark is wrong); or WARP_EVERSION: checksum right, version newer,
 * and then only out->position is filled. The caller compares position, epoch and body.
 */
int warp_frame_decode_header(const void *in, uint32_t seed, struct warp_frame *out);

/* Whether the body fits the header. A PAD's body is never looked at. */
bool warp_frame_check_body(const struct warp_frame *frame, const void *body);

static inline size_t warp_entry_header_bytes(uint8_t flags)
{
    return WARP_ENTRY_HEADER_BYTES_MIN + ((flags & WARP_ENTRY_HAS_EXPIRY) != 0 ? 8u : 0u) +
           ((flags & WARP_ENTRY_HAS_CHECKSUM) != 0 ? 4u : 0u);
}

static inline size_t warp_entry_bytes(uint8_t flags, uint32_t key_bytes,
                                      uint32_t value_bytes)
{
    return warp_entry_header_bytes(flags) + key_bytes + value_bytes;
}

/*
 * Write the 8 - 20 bytes before the key and return how many. With WARP_ENTRY_HAS_CHECKSUM
 * it reads entry->key and entry->value; otherwise it does not.
 */
static inline size_t warp_entry_encode_header(void *out, const struct warp_entry *entry)
{
    uint8_t *bytes = out;
    size_t at = WARP_ENTRY_HEADER_BYTES_MIN;

    warp_assert(entry->key_bytes >= 1 && entry->key_bytes <= WARP_KEY_BYTES_MAX);
    warp_assert(entry->value_bytes <= WARP_VALUE_BYTES_MAX);
    bytes[0] = entry->kind;
    bytes[1] = entry->flags;
    warp_store_u16le(bytes + 2, (uint16_t)(entry->key_bytes - 1u));
    warp_store_u32le(bytes + 4, entry->value_bytes);
    if ((entry->flags & WARP_ENTRY_HAS_EXPIRY) != 0) {
        warp_store_u64le(bytes + at, entry->expires_at_ms);
        at += 8;
    }
    if ((entry->flags & WARP_ENTRY_HAS_CHECKSUM) != 0) {
        uint32_t crc;

        warp_store_u32le(bytes + at, 0);
        crc = warp_crc32c(0, bytes, at + 4);
        crc = warp_crc32c(crc, entry->key, entry->key_bytes);
        if (entry->value_bytes > 0) {
            crc = warp_crc32c(crc, entry->value, entry->value_bytes);
        }
        warp_store_u32le(bytes + at, crc);
        at += 4;
    }
    return at;
}

/*
 * Read the entry that begins at in; never looks past `available`. 0, *out (key and value
 * point into in) and *bytes, the length of the whole entry; or WARP_EFORMAT.
 */
int warp_entry_decode(const void *in, size_t available, struct warp_entry *out,
                      size_t *bytes);

/*
 * Check the put at `place`, whose length the caller knows. bytes: the header of its frame, which ends
 * at place; or, if it lies in a BATCH frame and so has a checksum of its own, the entry. NULL, and
 * *out points into bytes; or what is wrong.
 */
const char *warp_frame_check_entry(const void *bytes, uint32_t seed, uint64_t place,
                                   bool in_batch, size_t entry_bytes,
                                   struct warp_entry *out);

/* Walks the entries of a RECORD or BATCH frame; other kinds have none. */
struct warp_frame_cursor {
    const uint8_t *body;
    uint64_t position; /* of the body in the log */
    uint32_t body_bytes, offset, left;
};

/* 0, or WARP_EFORMAT: the body is no batch. The body must outlive the walk. */
int warp_frame_cursor_init(struct warp_frame_cursor *cursor, const struct warp_frame *frame,
                           const void *body);

/*
 * 1, *out and *sequence (position of the entry in the log), or 0: no more, or WARP_EFORMAT:
 * the body has a bad entry, too few or too many.
 */
int warp_frame_cursor_next(struct warp_frame_cursor *cursor, struct warp_entry *out,
                           uint64_t *sequence);

#endif
