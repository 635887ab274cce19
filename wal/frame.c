/*
 * Encoding is inline in the header, because it is on the way of every put. Decoding is
 * here: it trusts nothing, for what it reads may be a torn write, an older use of the file,
 * or the work of a fuzzer. The order matters in decode_header: the checksum comes before
 * any field is believed, and the version is told apart from garbage only once the checksum
 * is right.
 */
#include "wal/frame.h"

/* The sizes a body of this kind may have. */
static bool frame_size_fits(uint8_t kind, uint32_t body_bytes)
{
    if (body_bytes > WARP_FRAME_BODY_BYTES_MAX) {
        return false;
    }
    /* A number from disk, not an enum: the default is the answer to garbage. */
    switch (kind) {
    case WARP_FRAME_RECORD:
        return body_bytes > WARP_ENTRY_HEADER_BYTES_MIN &&
               body_bytes <=
                   WARP_ENTRY_HEADER_BYTES_MAX + WARP_KEY_BYTES_MAX + WARP_VALUE_BYTES_MAX;
    case WARP_FRAME_BATCH:
        return body_bytes >= WARP_FRAME_BATCH_HEADER_BYTES;
    case WARP_FRAME_OPEN:
    case WARP_FRAME_CLOSE:
        return body_bytes == WARP_FRAME_TIME_BYTES;
    case WARP_FRAME_MARK:
        return body_bytes == 0;
    case WARP_FRAME_PAD:
        return true;
    default:
        return false;
    }
}

int warp_frame_decode_header(const void *in, uint32_t seed, struct warp_frame *out)
{
    const uint8_t *bytes = in;
    uint8_t copy[WARP_FRAME_HEADER_BYTES];
    struct warp_frame frame;
    uint32_t mark_distance;

    if (bytes[0] != 'W' || bytes[1] != 'F' || bytes[2] == 0) {
        return WARP_EFORMAT;
    }
    memcpy(copy, bytes, sizeof(copy));
    warp_store_u32le(copy + 4, 0);
    if (warp_crc32c(seed, copy, sizeof(copy)) != warp_load_u32le(bytes + 4)) {
        return WARP_EFORMAT;
    }
    frame.position = warp_load_u64le(bytes + 8);
    if (bytes[2] > WARP_FRAME_VERSION) {
        out->position = frame.position;
        return WARP_EVERSION;
    }
    frame.kind = bytes[3];
    frame.body_bytes = warp_load_u32le(bytes + 16);
    frame.body_crc = warp_load_u32le(bytes + 20);
    frame.epoch = warp_load_u32le(bytes + 24);
    mark_distance = warp_load_u32le(bytes + 28);
    frame.has_mark = mark_distance != UINT32_MAX;
    frame.mark = frame.has_mark ? frame.position - mark_distance : 0;
    if (frame.position % WARP_FRAME_ALIGNMENT != 0 ||
        frame.position > UINT64_MAX - warp_frame_bytes(WARP_FRAME_BODY_BYTES_MAX) ||
        (frame.has_mark && mark_distance > frame.position) ||
        !frame_size_fits(frame.kind, frame.body_bytes)) {
        return WARP_EFORMAT;
    }
    *out = frame;
    return 0;
}

bool warp_frame_check_body(const struct warp_frame *frame, const void *body)
{
    if (frame->kind == WARP_FRAME_PAD) {
        return true;
    }
    if (WARP_PLANTED(SKIP_CRC) && frame->kind == WARP_FRAME_RECORD) {
        return true;
    }
    return warp_crc32c(0, body, frame->body_bytes) == frame->body_crc;
}

int warp_entry_decode(const void *in, size_t available, struct warp_entry *out,
                      size_t *bytes)
{
    const uint8_t *from = in;
    struct warp_entry entry;
    size_t header_bytes, checksum_at;

    if (available < WARP_ENTRY_HEADER_BYTES_MIN) {
        return WARP_EFORMAT;
    }
    entry.kind = from[0];
    entry.flags = from[1];
    entry.key_bytes = warp_load_u16le(from + 2) + 1u;
    entry.value_bytes = warp_load_u32le(from + 4);
    entry.expires_at_ms = 0;
    if ((entry.kind != WARP_ENTRY_PUT && entry.kind != WARP_ENTRY_DELETE) ||
        (entry.flags & ~WARP_ENTRY_FLAGS_ALL) != 0 ||
        entry.value_bytes > WARP_VALUE_BYTES_MAX) {
        return WARP_EFORMAT;
    }
    if (entry.kind == WARP_ENTRY_DELETE &&
        (entry.value_bytes != 0 || (entry.flags & WARP_ENTRY_HAS_EXPIRY) != 0)) {
        return WARP_EFORMAT;
    }
    header_bytes = warp_entry_header_bytes(entry.flags);
    /* Both lengths are bounded by now, so the sum cannot overflow. */
    if (available < header_bytes + entry.key_bytes + entry.value_bytes) {
        return WARP_EFORMAT;
    }
    checksum_at = WARP_ENTRY_HEADER_BYTES_MIN;
    if ((entry.flags & WARP_ENTRY_HAS_EXPIRY) != 0) {
        entry.expires_at_ms = warp_load_u64le(from + checksum_at);
        checksum_at += 8;
    }
    entry.key = from + header_bytes;
    entry.value = from + header_bytes + entry.key_bytes;
    if ((entry.flags & WARP_ENTRY_HAS_CHECKSUM) != 0) {
        static const uint8_t zero[4];
        uint32_t crc;

        crc = warp_crc32c(0, from, checksum_at);
        crc = warp_crc32c(crc, zero, sizeof(zero));
        crc = warp_crc32c(crc, entry.key, entry.key_bytes + (size_t)entry.value_bytes);
        if (crc != warp_load_u32le(from + checksum_at)) {
            return WARP_EFORMAT;
        }
    }
    *out = entry;
    *bytes = header_bytes + entry.key_bytes + entry.value_bytes;
    return 0;
}

const char *warp_frame_check_entry(const void *bytes, uint32_t seed, uint64_t place,
                                   bool in_batch, size_t entry_bytes,
                                   struct warp_entry *out)
{
    const uint8_t *at = bytes;
    size_t decoded;

    if (!in_batch) {
        struct warp_frame frame;

        if (warp_frame_decode_header(at, seed, &frame) != 0) {
            return "there is no frame";
        }
        if (frame.position != place - WARP_FRAME_HEADER_BYTES) {
            return "the frame belongs to another place";
        }
        if (frame.kind != WARP_FRAME_RECORD || frame.body_bytes != entry_bytes) {
            return "the frame is not that of the record";
        }
        at += WARP_FRAME_HEADER_BYTES;
        if (!warp_frame_check_body(&frame, at)) {
            return "the checksum of the frame's body is wrong";
        }
    }
    if (warp_entry_decode(at, entry_bytes, out, &decoded) != 0) {
        return "there is no entry, or its checksum is wrong";
    }
    if (decoded != entry_bytes || out->kind != WARP_ENTRY_PUT ||
        ((out->flags & WARP_ENTRY_HAS_CHECKSUM) != 0) != in_batch) {
        return "the entry is not that of the record";
    }
    return NULL;
}

int warp_frame_cursor_init(struct warp_frame_cursor *cursor, const struct warp_frame *frame,
                           const void *body)
{
    const uint8_t *bytes = body;

    cursor->body = bytes;
    cursor->position = frame->position + WARP_FRAME_HEADER_BYTES;
    cursor->body_bytes = frame->body_bytes;
    cursor->offset = 0;
    cursor->left = 0;
    if (frame->kind == WARP_FRAME_RECORD) {
        cursor->left = 1;
    } else if (frame->kind == WARP_FRAME_BATCH) {
        if (frame->body_bytes < WARP_FRAME_BATCH_HEADER_BYTES ||
            warp_load_u32le(bytes + 4) != 0) {
            return WARP_EFORMAT;
        }
        cursor->left = warp_load_u32le(bytes);
        cursor->offset = WARP_FRAME_BATCH_HEADER_BYTES;
    } else {
        cursor->offset = frame->body_bytes;
    }
    return 0;
}

int warp_frame_cursor_next(struct warp_frame_cursor *cursor, struct warp_entry *out,
                           uint64_t *sequence)
{
    size_t bytes;

    if (cursor->left == 0) {
        return cursor->offset == cursor->body_bytes ? 0 : WARP_EFORMAT;
    }
    if (warp_entry_decode(cursor->body + cursor->offset,
                          cursor->body_bytes - cursor->offset, out, &bytes) != 0) {
        return WARP_EFORMAT;
    }
    *sequence = cursor->position + cursor->offset;
    cursor->offset += (uint32_t)bytes;
    cursor->left--;
    return 1;
}
