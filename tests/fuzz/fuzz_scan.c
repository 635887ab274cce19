/*
 * Any bytes as a log: the scan neither crashes nor runs for ever, delivers frames that
 * follow one another without a gap, and never cuts below a mark that it has itself
 * delivered or that any header behind the cut can prove.
 *
 * The input is a small language, so that mutations make interesting logs rather than bad
 * checksums. Each operation is one byte and its arguments:
 *
 *   0 - 7  append a frame of this kind (see below) with the next byte as its size
 *   8      set the mark to the position of the next frame
 *   9      move back by 8 x the next byte, as after a cut tail
 *   10     open with a higher epoch
 *   11     poke: 2 bytes of place, 1 of content
 *   12     zero: 2 bytes of place, 1 of length in words
 *   13     raw: the next byte says how many bytes of input follow, to be written as they are
 *   14     the head of the log is the position of the next frame
 *   15     no mark in the next frames
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "tests/lib/log_fixture.h"
#include "warp/warp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOG_BYTES_MAX 65536u

struct fuzz_input {
    const uint8_t *data;
    size_t size, at;
};

static uint8_t fuzz_take(struct fuzz_input *input)
{
    return input->at < input->size ? input->data[input->at++] : 0;
}

static uint64_t fuzz_place(struct fuzz_input *input, uint64_t end)
{
    uint64_t place = fuzz_take(input);

    place = place << 8 | fuzz_take(input);
    return end > 0 ? place % end : 0;
}

static void fuzz_frame(struct fuzz_input *input, struct log_fixture *log, uint8_t kind)
{
    static const uint8_t zero[4096];
    uint32_t bytes = fuzz_take(input);

    switch (kind) {
    case 0:
    case WARP_FRAME_RECORD:
        log_record(log, bytes, bytes * (kind == 0 ? 33u : 1u));
        break;
    case WARP_FRAME_BATCH:
        log_batch(log, bytes, bytes % 16);
        break;
    case WARP_FRAME_PAD:
        log_frame(log, WARP_FRAME_PAD, zero, bytes * 8);
        break;
    case WARP_FRAME_CLOSE:
        log_close_frame(log);
        break;
    default:
        log_frame(log, WARP_FRAME_MARK, NULL, 0);
        break;
    }
}

static void fuzz_build(struct fuzz_input *input, struct log_fixture *log)
{
    uint64_t head = 0;

    log_open_frame(log, 1);
    while (input->at < input->size && log->position < LOG_BYTES_MAX) {
        uint8_t operation = fuzz_take(input) % 16;
        uint8_t bytes[256];
        uint64_t at;
        uint32_t i, count;

        switch (operation) {
        case 8:
            log->mark = log->position;
            log->has_mark = true;
            break;
        case 9:
            at = 8 * (uint64_t)fuzz_take(input);
            log->position -= at < log->position ? at : log->position;
            log->mark = log->mark < log->position ? log->mark : log->position;
            break;
        case 10:
            log_open_frame(log, log->epoch + 1);
            break;
        case 11:
            at = fuzz_place(input, log_end(log));
            bytes[0] = fuzz_take(input);
            log_poke(log, at, bytes, 1);
            break;
        case 12:
            at = fuzz_place(input, log_end(log)) & ~UINT64_C(7);
            count = fuzz_take(input);
            memset(bytes, 0, 8);
            for (i = 0; i < count && at + 8 <= log_end(log); i++, at += 8) {
                log_poke(log, at, bytes, 8);
            }
            break;
        case 13:
            count = fuzz_take(input);
            for (i = 0; i < count; i++) {
                bytes[i] = fuzz_take(input);
            }
            log_poke(log, log->position, bytes, count);
            log->position += count & ~7u;
            break;
        case 14:
            head = log->position;
            break;
        case 15:
            log->has_mark = false;
            break;
        default:
            fuzz_frame(input, log, operation);
            break;
        }
    }
    log_grow(log, head + 1);
    log->manifest.head_position = head;
}

/* After an end without an error: no header behind it proves that it was too early. */
static void fuzz_no_witness(struct log_fixture *log)
{
    uint64_t end = log->result.end;
    uint64_t at;

    for (at = end; at + 32 <= log_end(log); at += 8) {
        struct warp_frame frame;
        uint8_t header[32];

        log_peek(log, at, header, sizeof(header));
        if (warp_frame_decode_header(header, warp_manifest_seed(&log->manifest), &frame) !=
                0 ||
            frame.position != at || frame.epoch > log->manifest.epoch) {
            continue;
        }
        if (log->seen_count > 0 && frame.epoch < log->result.epoch_last) {
            continue;
        }
        warp_assert(!frame.has_mark || frame.mark <= end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size, 0};
    struct log_fixture log;
    uint64_t position;
    uint32_t i;
    int rc;

    log_init(&log, 4096);
    fuzz_build(&input, &log);
    if (size > 0) {
        log.chunk_bytes = 4096u << (data[0] >> 6);
    }
    rc = log_scan(&log);
    warp_assert(rc == 0 || rc == WARP_EDAMAGED || rc == WARP_EVERSION);
    position = log.manifest.head_position;
    for (i = 0; i < log.seen_count; i++) {
        warp_assert(log.seen[i].frame.position == position);
        warp_assert(!log.seen[i].frame.has_mark || log.seen[i].frame.mark <= position);
        position += warp_frame_bytes(log.seen[i].frame.body_bytes);
    }
    warp_assert(log.result.end == position);
    warp_assert(log.result.mark <= position);
    if (rc == 0) {
        fuzz_no_witness(&log);
    } else {
        warp_assert(log.result.file[0] != 0);
        warp_assert(log.result.what != NULL);
        warp_assert(log.result.damaged_position == position);
    }
    log_fini(&log);
    return 0;
}
