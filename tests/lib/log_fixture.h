/*
 * tests/lib/log_fixture.h - a small log on a disk in memory, written by hand and read back.
 *
 * It is the tests' own writer, so that they can put any frame anywhere: with any mark, any
 * epoch, over anything. log_scan() reads the log with the real segments and scan and keeps
 * what it saw.
 *
 * Threads:   one.
 * Lifetime:  log_init/log_fini; `seen` until the next log_scan.
 * Units:     bytes; positions of log.
 * Ordering:  none.
 * Errors:    a fixture that cannot do its work aborts.
 * Cost:      none.
 */
#ifndef TESTS_LIB_LOG_FIXTURE_H
#define TESTS_LIB_LOG_FIXTURE_H

#include "tests/lib/memory_disk.h"
#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/scan.h"
#include "wal/segment.h"

struct log_seen {
    struct warp_frame frame;
    uint32_t body_hash; /* CRC32C of header position, kind and body */
};

struct log_fixture {
    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_manifest manifest;

    /* For the next frames. */
    uint64_t position, mark;
    bool has_mark;
    uint32_t epoch;

    /* What log_scan() saw. */
    struct log_seen *seen;
    uint32_t seen_count, seen_capacity;
    struct warp_scan_result result;
    uint32_t chunk_bytes;
    uint32_t begin_epoch; /* what log_scan() is told of the log at its head; 0: nothing */
    int (*at_chunk)(struct log_fixture *log, const struct warp_scan_chunk *chunk);
};

void log_init(struct log_fixture *log, uint32_t segment_bytes);
void log_fini(struct log_fixture *log);

/* Another fixture with an equal disk. */
void log_copy(struct log_fixture *to, const struct log_fixture *from);

/* Write bytes at a position of the log; makes segments as needed. */
void log_poke(struct log_fixture *log, uint64_t position, const void *data, uint64_t bytes);
void log_peek(struct log_fixture *log, uint64_t position, void *data, uint64_t bytes);
uint64_t log_end(struct log_fixture *log);
/* Make segments until the log reaches `end`. */
void log_grow(struct log_fixture *log, uint64_t end);

/* Append a frame at log->position and return where it lies. */
uint64_t log_frame(struct log_fixture *log, uint8_t kind, const void *body, uint32_t bytes);
/* A record whose key is a number and whose value is `value_bytes` bytes made from it. */
uint64_t log_record(struct log_fixture *log, uint32_t number, uint32_t value_bytes);
/*
 * An OPEN frame; sets log->epoch (and the manifest's, if greater), marks its own position.
 */
uint64_t log_open_frame(struct log_fixture *log, uint32_t epoch);
uint64_t log_batch(struct log_fixture *log, uint32_t number, uint32_t count);
uint64_t log_close_frame(struct log_fixture *log);

/* Read the log back. 0 or what the scan said, or what the segments said. */
int log_scan(struct log_fixture *log);

#endif
