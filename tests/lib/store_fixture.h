/*
 * tests/lib/store_fixture.h - shards and a log on a disk that the test steers.
 *
 * The disk keeps two images: what a reader sees, and what would survive a power cut
 * (durable writes, and whatever a sync covered). It completes queued requests in the order
 * the test wants, fails the nth write or sync, and counts writes in flight that overlap.
 * The fixture wires segments, log and shards over it, with or without threads.
 *
 * Threads:   the disk by any; the rest by the test's own thread unless said otherwise.
 * Lifetime:  init/fini; strings and messages are the caller's.
 * Units:     bytes, nanoseconds of a fake clock.
 * Ordering:  one mutex over the whole disk.
 * Errors:    a fixture that cannot do its work aborts, and so does a wait without an end.
 * Cost:      none.
 */
#ifndef TESTS_LIB_STORE_FIXTURE_H
#define TESTS_LIB_STORE_FIXTURE_H

#include <pthread.h>

#include "base/random.h"
#include "shards/batch.h"
#include "shards/get.h"
#include "shards/put.h"
#include "shards/store.h"
#include "tests/lib/memory_disk.h"
#include "wal/manifest.h"
#include "wal/scan.h"
#include "wal/segment.h"
#include "wal/wal.h"

#define STEERED_QUEUE_MAX  64u
#define STEERED_FLIGHT_MAX 128u

enum steered_order {
    STEERED_IN_ORDER,
    STEERED_REVERSED,
    STEERED_RANDOM,
    STEERED_HELD, /* nothing completes but through steered_complete() */
};

struct steered_write {
    int32_t file; /* -1: free */
    uint64_t begin, end;
};

/* The test sets the first group and reads the second, while nothing runs or under the
 * mutex. */
struct steered_disk {
    struct warp_disk disk; /* hand out &disk */
    enum steered_order order;
    uint32_t latency_us;    /* of a write or sync on the caller's thread */
    uint64_t fail_write_at; /* the write of this number fails, and all after it */
    uint64_t fail_sync_at;
    uint64_t slow_writes_from; /* synchronous writes from this number on take 20 ms */

    uint64_t writes, durable_writes, syncs, overlaps, write_bytes;
    uint64_t partial; /* writes that are no whole blocks */

    struct memory_disk *now;    /* also: space_bytes */
    struct memory_disk *stable; /* after a power cut */
    int32_t stable_handles[MEMORY_DISK_HANDLES];
    struct warp_io_request *queued[STEERED_QUEUE_MAX];
    struct warp_io_request *done[STEERED_QUEUE_MAX];
    uint32_t queued_count, done_count;
    struct steered_write flight[STEERED_FLIGHT_MAX];
    struct warp_random random;
    pthread_mutex_t mutex;
};

void steered_init(struct steered_disk *disk);
void steered_fini(struct steered_disk *disk);
/* Complete the queued request of this number, 0 being the oldest; it is reaped next. */
void steered_complete(struct steered_disk *disk, uint32_t index);

/* Fields left 0 get small defaults. */
struct store_fixture_config {
    uint32_t shard_count;      /* 2 */
    uint32_t buffer_bytes;     /* 64 KiB */
    uint32_t segment_bytes;    /* 64 KiB */
    uint32_t flushes_max;      /* 4 */
    uint32_t flush_bytes_max;  /* 1 MiB */
    uint32_t mailbox_capacity; /* 4 */
    uint32_t drain_max;        /* 64 */
    uint64_t sync_interval_ns; /* 100 ms */
    uint64_t memory_bytes_max; /* none */
    uint64_t values_bytes_max; /* per shard: what memory_bytes_max leaves */
    enum warp_horizon_policy policy;
    bool threads;             /* the real clock, and the log's and the shards' threads */
    bool log_only;            /* no shards */
    enum steered_order order; /* of the disk, from the first write on */
    uint32_t latency_us;
    bool slow_writes; /* 20 ms each */
};

struct store_fixture {
    struct store_fixture_config config;
    struct steered_disk disk;
    struct warp_clock_fake clock;
    struct warp_env env;
    struct warp_memory memory;
    struct warp_manifest manifest;
    struct warp_segments segments;
    struct warp_epoch *epoch;
    struct warp_wal *wal;
    struct warp_store *store;
    struct warp_reader *reader; /* its reads are done at once */
    uint64_t wait_count;
    bool frozen; /* waiting runs no turns, it only lets time pass */
    void (*at_wait)(struct store_fixture *fixture);
};

void store_fixture_init(struct store_fixture *fixture,
                        const struct store_fixture_config *config_or_null);
/* Checks the store and closes everything; what warp_wal_destroy() said. */
int store_fixture_fini(struct store_fixture *fixture);

/* Let time pass and turn the log, `turns` times. */
void store_fixture_run(struct store_fixture *fixture, uint32_t turns, uint64_t step_ns);
/* Turn log and shards until none does work. */
void store_fixture_settle(struct store_fixture *fixture);

/* What a reader of the log finds after a power cut now, or on the live image. */
struct store_scan {
    int rc;
    uint64_t end, mark, frames;
    uint32_t kinds[8]; /* how many frames of each */
    bool clean;
};
void store_fixture_scan(struct store_fixture *fixture, bool stable,
                        struct store_scan *scan);

/* Read the log of the live image into a second, empty store. */
void store_fixture_replay(struct store_fixture *fixture, struct store_fixture *into,
                          bool stable, uint64_t now_ms);

/* Append a RECORD frame with key "k" and a value of so many bytes; its end, 0 if refused.
 */
uint64_t store_fixture_append(struct store_fixture *fixture, uint32_t cell,
                              uint32_t value_bytes);

struct warp_slice store_slice(const char *text);

/* Run one message as a caller would: take the lease, execute, make room or read the value from
 * disk if need be. Its cold read, if there is one, is ended. */
int store_execute(struct store_fixture *fixture, struct warp_message *message);
/* The same without making room or reading; the message may have a cold read begun. */
int store_execute_once(struct store_fixture *fixture, struct warp_message *message);
int store_put(struct store_fixture *fixture, const char *key, const char *value,
              uint64_t expires_at_ms);
int store_delete(struct store_fixture *fixture, const char *key);
/* The value as text, "" if empty, NULL if absent; good until the next call. */
const char *store_get(struct store_fixture *fixture, const char *key);
bool store_has(struct store_fixture *fixture, const char *key, const void *value,
               size_t value_bytes);

/* The record, resident or cold, or NULL. */
struct warp_record *store_find(struct store_fixture *fixture, const char *key);
bool store_is_cold(struct store_fixture *fixture, const char *key);
void store_make_durable(struct store_fixture *fixture);
/* All values leave memory. */
void store_make_cold(struct store_fixture *fixture);

#endif
