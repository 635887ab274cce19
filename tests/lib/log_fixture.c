/*
 * Frames are built in memory and poked into the segment files, past all caches and checks.
 */
#include "tests/lib/log_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "log_fixture: %s\n", what);
        abort();
    }
}

void log_init(struct log_fixture *log, uint32_t segment_bytes)
{
    uint32_t i;

    memset(log, 0, sizeof(*log));
    log->disk = memory_disk_create();
    log_must(warp_memory_init(&log->memory, NULL) == 0, "memory");
    for (i = 0; i < sizeof(log->manifest.id); i++) {
        log->manifest.id[i] = (uint8_t)(i * 7 + 1);
    }
    log->manifest.segment_bytes = segment_bytes;
    log->manifest.epoch = 1;
    log->epoch = 1;
    log->chunk_bytes = WARP_SCAN_CHUNK_BYTES_MIN;
}

void log_fini(struct log_fixture *log)
{
    free(log->seen);
    memory_disk_destroy(&log->disk);
    warp_memory_fini(&log->memory);
}

void log_copy(struct log_fixture *to, const struct log_fixture *from)
{
    log_init(to, from->manifest.segment_bytes);
    memory_disk_destroy(&to->disk);
    to->disk = memory_disk_copy(from->disk);
    to->manifest = from->manifest;
    to->position = from->position;
    to->mark = from->mark;
    to->has_mark = from->has_mark;
    to->epoch = from->epoch;
    to->chunk_bytes = from->chunk_bytes;
}

uint64_t log_end(struct log_fixture *log)
{
    char name[WARP_SEGMENT_NAME_BYTES];
    uint64_t index = log->manifest.head_position / log->manifest.segment_bytes;

    for (;; index++) {
        warp_segment_name(index, name);
        if (memory_disk_bytes(log->disk, name, NULL) == NULL) {
            return index * log->manifest.segment_bytes;
        }
    }
}

void log_grow(struct log_fixture *log, uint64_t end)
{
    struct warp_segments segments;
    struct warp_manifest manifest = log->manifest;

    if (log_end(log) >= end) {
        return;
    }
    if (log_end(log) == 0) {
        manifest.epoch = 1; /* a database that is being made */
    }
    log_must(warp_segments_init(&segments, &log->disk->disk, &log->memory, &manifest, false,
                                true) == 0,
             segments.message);
    while (warp_segments_end(&segments) < end) {
        log_must(warp_segments_extend(&segments) == 0, "extend");
    }
    warp_segments_fini(&segments);
}

static uint8_t *log_at(struct log_fixture *log, uint64_t position, uint64_t *contiguous)
{
    char name[WARP_SEGMENT_NAME_BYTES];
    uint64_t inside = position % log->manifest.segment_bytes;
    uint8_t *bytes;

    warp_segment_name(position / log->manifest.segment_bytes, name);
    bytes = memory_disk_bytes(log->disk, name, NULL);
    log_must(bytes != NULL, "no segment there");
    *contiguous = log->manifest.segment_bytes - inside;
    return bytes + WARP_SEGMENT_HEADER_BYTES + inside;
}

void log_poke(struct log_fixture *log, uint64_t position, const void *data, uint64_t bytes)
{
    const uint8_t *from = data;
    uint64_t piece;

    log_grow(log, position + bytes);
    while (bytes > 0) {
        uint8_t *to = log_at(log, position, &piece);

        piece = piece < bytes ? piece : bytes;
        memcpy(to, from, piece);
        position += piece;
        from += piece;
        bytes -= piece;
    }
}

void log_peek(struct log_fixture *log, uint64_t position, void *data, uint64_t bytes)
{
    uint8_t *to = data;
    uint64_t piece;

    while (bytes > 0) {
        const uint8_t *from = log_at(log, position, &piece);

        piece = piece < bytes ? piece : bytes;
        memcpy(to, from, piece);
        position += piece;
        to += piece;
        bytes -= piece;
    }
}

uint64_t log_frame(struct log_fixture *log, uint8_t kind, const void *body, uint32_t bytes)
{
    uint64_t frame_bytes = warp_frame_bytes(bytes);
    uint8_t *memory = calloc(1, frame_bytes);
    struct warp_frame frame = {0};
    uint64_t position = log->position;

    log_must(memory != NULL, "no memory");
    frame.position = position;
    frame.kind = kind;
    frame.epoch = log->epoch;
    frame.body_bytes = bytes;
    frame.body_crc = kind == WARP_FRAME_PAD ? 0 : warp_crc32c(0, body, bytes);
    frame.has_mark = log->has_mark;
    frame.mark = log->has_mark ? log->mark : 0;
    warp_frame_encode_header(memory, &frame, warp_manifest_seed(&log->manifest));
    if (bytes > 0) {
        memcpy(memory + WARP_FRAME_HEADER_BYTES, body, bytes);
    }
    log_poke(log, position, memory, frame_bytes);
    free(memory);
    log->position += frame_bytes;
    return position;
}

uint64_t log_record(struct log_fixture *log, uint32_t number, uint32_t value_bytes)
{
    uint8_t *body = calloc(1, 64 + (size_t)value_bytes);
    char key[16];
    struct warp_entry entry = {0};
    uint64_t position;
    uint32_t at, i;

    log_must(body != NULL, "no memory");
    snprintf(key, sizeof(key), "key%08u", number);
    entry.kind = WARP_ENTRY_PUT;
    entry.key = key;
    entry.key_bytes = (uint32_t)strlen(key);
    entry.value_bytes = value_bytes;
    at = (uint32_t)warp_entry_encode_header(body, &entry);
    memcpy(body + at, key, entry.key_bytes);
    at += entry.key_bytes;
    for (i = 0; i < value_bytes; i++) {
        body[at + i] = (uint8_t)(number * 31 + i * 7 + 1);
    }
    position = log_frame(log, WARP_FRAME_RECORD, body, at + value_bytes);
    free(body);
    return position;
}

uint64_t log_batch(struct log_fixture *log, uint32_t number, uint32_t count)
{
    uint8_t *body = calloc(1, WARP_FRAME_BATCH_HEADER_BYTES + (size_t)count * 64);
    uint32_t at = WARP_FRAME_BATCH_HEADER_BYTES;
    uint64_t position;
    uint32_t i;

    log_must(body != NULL, "no memory");
    warp_store_u32le(body, count);
    for (i = 0; i < count; i++) {
        char key[16];
        struct warp_entry entry = {0};

        snprintf(key, sizeof(key), "b%u/%u", number, i);
        entry.kind = i % 3 == 2 ? WARP_ENTRY_DELETE : WARP_ENTRY_PUT;
        entry.flags = WARP_ENTRY_HAS_CHECKSUM;
        entry.key = key;
        entry.key_bytes = (uint32_t)strlen(key);
        entry.value = "value";
        entry.value_bytes = entry.kind == WARP_ENTRY_PUT ? 5 : 0;
        at += (uint32_t)warp_entry_encode_header(body + at, &entry);
        memcpy(body + at, key, entry.key_bytes);
        at += entry.key_bytes;
        memcpy(body + at, "value", entry.value_bytes);
        at += entry.value_bytes;
    }
    position = log_frame(log, WARP_FRAME_BATCH, body, at);
    free(body);
    return position;
}

static uint64_t log_time_frame(struct log_fixture *log, uint8_t kind)
{
    uint8_t body[WARP_FRAME_TIME_BYTES];

    warp_store_u64le(body, 1700000000000u + log->position);
    return log_frame(log, kind, body, sizeof(body));
}

uint64_t log_open_frame(struct log_fixture *log, uint32_t epoch)
{
    log->epoch = epoch;
    if (log->manifest.epoch < epoch) {
        log->manifest.epoch = epoch;
    }
    log->mark = log->position;
    log->has_mark = true;
    return log_time_frame(log, WARP_FRAME_OPEN);
}

uint64_t log_close_frame(struct log_fixture *log)
{
    log->mark = log->position;
    log->has_mark = true;
    return log_time_frame(log, WARP_FRAME_CLOSE);
}

static void log_see(struct log_fixture *log, const struct warp_frame *frame,
                    const uint8_t *body)
{
    struct log_seen *seen;
    uint8_t head[9];

    if (log->seen_count == log->seen_capacity) {
        log->seen_capacity = log->seen_capacity * 2 + 64;
        log->seen = realloc(log->seen, log->seen_capacity * sizeof(*log->seen));
        log_must(log->seen != NULL, "no memory");
    }
    seen = &log->seen[log->seen_count++];
    seen->frame = *frame;
    warp_store_u64le(head, frame->position);
    head[8] = frame->kind;
    seen->body_hash = warp_crc32c(0, head, sizeof(head));
    if (frame->kind != WARP_FRAME_PAD) { /* its content is nobody's */
        seen->body_hash = warp_crc32c(seen->body_hash, body, frame->body_bytes);
    }
}

int log_scan(struct log_fixture *log)
{
    struct warp_scan_options options = {0};
    struct warp_segments segments;
    struct warp_scan_chunk chunk;
    struct warp_scan *scan = NULL;
    int rc, again;
    uint32_t i;

    log->seen_count = 0;
    memset(&log->result, 0, sizeof(log->result));
    rc = warp_segments_init(&segments, &log->disk->disk, &log->memory, &log->manifest, true,
                            true);
    if (rc < 0) {
        log_must(segments.message[0] != 0, "segments said no, but not why");
        return rc;
    }
    options.begin = log->manifest.head_position;
    options.chunk_bytes = log->chunk_bytes;
    options.epoch = log->begin_epoch;
    rc = warp_scan_create(&scan, &log->disk->disk, &log->memory, &segments, &log->manifest,
                          &options);
    if (rc < 0) {
        warp_segments_fini(&segments);
        return rc;
    }
    while ((rc = warp_scan_next(scan, &chunk)) == 1) {
        log_must(chunk.frame_count > 0, "an empty chunk");
        for (i = 0; i < chunk.frame_count; i++) {
            log_see(log, &chunk.frames[i], chunk.bodies[i]);
        }
        if (log->at_chunk != NULL && log->at_chunk(log, &chunk) != 0) {
            break;
        }
    }
    log->result = *warp_scan_result(scan);
    if (rc != 1) {
        again = warp_scan_next(scan, &chunk);
        log_must(again == rc, "the end was not the end");
    }
    warp_scan_destroy(&scan);
    warp_segments_fini(&segments);
    return rc;
}
