/*
 * A request in the queue is executed when it completes, a synchronous write after its
 * latency; until then its range is in flight. Names, sizes and allocations reach both
 * images at once: the order of those is the business of other tests.
 */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "shards/replay.h"
#include "tests/lib/test.h"

#define FIXTURE_WAITS_MAX 200000u
#define FIXTURE_WALL_MS   UINT64_C(1000000000000)

static void fixture_must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "store_fixture: %s\n", what);
        abort();
    }
}

/* ---- the disk ------------------------------------------------------------------------ */

static void steered_lock(struct steered_disk *disk)
{
    pthread_mutex_lock(&disk->mutex);
}

static void steered_unlock(struct steered_disk *disk)
{
    pthread_mutex_unlock(&disk->mutex);
}

static const struct warp_disk_ops *steered_below(struct steered_disk *disk)
{
    return disk->now->disk.ops;
}

static void steered_enter_flight(struct steered_disk *disk, int32_t file, uint64_t offset,
                                 uint64_t bytes)
{
    struct steered_write *place = NULL;
    uint32_t i;

    for (i = 0; i < STEERED_FLIGHT_MAX; i++) {
        struct steered_write *one = &disk->flight[i];

        if (one->file == -1) {
            place = place == NULL ? one : place;
        } else if (one->file == file && one->begin < offset + bytes && offset < one->end) {
            disk->overlaps++;
        }
    }
    fixture_must(place != NULL, "too many writes in flight");
    place->file = file;
    place->begin = offset;
    place->end = offset + bytes;
    disk->partial += bytes % 4096 != 0 || offset % 4096 != 0;
}

static void steered_leave_flight(struct steered_disk *disk, int32_t file, uint64_t offset)
{
    uint32_t i;

    for (i = 0; i < STEERED_FLIGHT_MAX; i++) {
        if (disk->flight[i].file == file && disk->flight[i].begin == offset) {
            disk->flight[i].file = -1;
            return;
        }
    }
    fixture_must(false, "a write that was not in flight completes");
}

static int64_t steered_do_write(struct steered_disk *disk, int32_t file, const void *buffer,
                                size_t bytes, uint64_t offset, bool durable)
{
    int64_t result;

    if (disk->writes++ >= disk->fail_write_at) {
        return -5;
    }
    disk->durable_writes += durable;
    disk->write_bytes += bytes;
    result = steered_below(disk)->write(disk->now, file, buffer, bytes, offset, durable);
    if (result >= 0 && durable) {
        (void)steered_below(disk)->write(disk->stable, disk->stable_handles[file], buffer,
                                         bytes, offset, true);
    }
    return result;
}

static int steered_do_sync(struct steered_disk *disk, int32_t file)
{
    char block[4096];
    uint64_t offset = 0;
    int64_t got;

    if (disk->syncs++ >= disk->fail_sync_at) {
        return -5;
    }
    while ((got = steered_below(disk)->read(disk->now, file, block, sizeof(block),
                                            offset)) > 0) {
        (void)steered_below(disk)->write(disk->stable, disk->stable_handles[file], block,
                                         (size_t)got, offset, true);
        offset += (uint64_t)got;
    }
    return 0;
}

static int32_t steered_open(void *context, const char *name, uint32_t flags)
{
    struct steered_disk *disk = context;
    int32_t file;

    steered_lock(disk);
    file = steered_below(disk)->open(disk->now, name, flags);
    if (file >= 0) {
        disk->stable_handles[file] =
            steered_below(disk)->open(disk->stable, name, flags | WARP_FILE_CREATE);
        fixture_must(disk->stable_handles[file] >= 0, "opening the stable image");
    }
    steered_unlock(disk);
    return file;
}

static void steered_close(void *context, int32_t file)
{
    struct steered_disk *disk = context;

    steered_lock(disk);
    steered_below(disk)->close(disk->now, file);
    steered_below(disk)->close(disk->stable, disk->stable_handles[file]);
    steered_unlock(disk);
}

static int64_t steered_size(void *context, int32_t file)
{
    struct steered_disk *disk = context;
    int64_t result;

    steered_lock(disk);
    result = steered_below(disk)->size(disk->now, file);
    steered_unlock(disk);
    return result;
}

static int steered_allocate(void *context, int32_t file, uint64_t bytes)
{
    struct steered_disk *disk = context;
    int result;

    steered_lock(disk);
    result = steered_below(disk)->allocate(disk->now, file, bytes);
    if (result == 0) {
        (void)steered_below(disk)->allocate(disk->stable, disk->stable_handles[file],
                                            bytes);
    }
    steered_unlock(disk);
    return result;
}

static int steered_truncate(void *context, int32_t file, uint64_t bytes)
{
    struct steered_disk *disk = context;
    int result;

    steered_lock(disk);
    result = steered_below(disk)->truncate(disk->now, file, bytes);
    if (result == 0) {
        (void)steered_below(disk)->truncate(disk->stable, disk->stable_handles[file],
                                            bytes);
    }
    steered_unlock(disk);
    return result;
}

static int64_t steered_read(void *context, int32_t file, void *buffer, size_t bytes,
                            uint64_t offset)
{
    struct steered_disk *disk = context;
    int64_t result;

    steered_lock(disk);
    result = steered_below(disk)->read(disk->now, file, buffer, bytes, offset);
    steered_unlock(disk);
    return result;
}

static int64_t steered_write(void *context, int32_t file, const void *buffer, size_t bytes,
                             uint64_t offset, bool durable)
{
    struct steered_disk *disk = context;
    uint32_t latency_us = disk->latency_us;
    int64_t result;

    steered_lock(disk);
    steered_enter_flight(disk, file, offset, bytes);
    if (disk->writes >= disk->slow_writes_from) {
        latency_us = 20000;
    }
    steered_unlock(disk);
    if (latency_us > 0) {
        usleep(latency_us);
    }
    steered_lock(disk);
    result = steered_do_write(disk, file, buffer, bytes, offset, durable);
    steered_leave_flight(disk, file, offset);
    steered_unlock(disk);
    return result;
}

static int steered_sync(void *context, int32_t file)
{
    struct steered_disk *disk = context;
    int result;

    if (disk->latency_us > 0) {
        usleep(disk->latency_us);
    }
    steered_lock(disk);
    result = steered_do_sync(disk, file);
    steered_unlock(disk);
    return result;
}

static int steered_rename(void *context, const char *from, const char *to)
{
    struct steered_disk *disk = context;
    int result;

    steered_lock(disk);
    result = steered_below(disk)->rename(disk->now, from, to);
    if (result == 0) {
        (void)steered_below(disk)->rename(disk->stable, from, to);
    }
    steered_unlock(disk);
    return result;
}

static int steered_unlink(void *context, const char *name)
{
    struct steered_disk *disk = context;
    int result;

    steered_lock(disk);
    result = steered_below(disk)->unlink(disk->now, name);
    if (result == 0) {
        (void)steered_below(disk)->unlink(disk->stable, name);
    }
    steered_unlock(disk);
    return result;
}

static int steered_sync_directory(void *context)
{
    (void)context;
    return 0;
}

static int steered_list(void *context,
                        int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                        void *visit_context)
{
    struct steered_disk *disk = context;

    return steered_below(disk)->list(disk->now, visit, visit_context);
}

static int steered_take_lock(void *context, const char *name, bool shared, char *holder,
                             size_t holder_bytes)
{
    struct steered_disk *disk = context;

    return steered_below(disk)->lock(disk->now, name, shared, holder, holder_bytes);
}

static void steered_give_lock(void *context)
{
    struct steered_disk *disk = context;

    steered_below(disk)->unlock(disk->now);
}

static int64_t steered_free_bytes(void *context)
{
    struct steered_disk *disk = context;
    int64_t result;

    steered_lock(disk);
    result = steered_below(disk)->free_bytes(disk->now);
    steered_unlock(disk);
    return result;
}

static uint32_t steered_block_bytes(void *context, int32_t file)
{
    (void)context;
    (void)file;
    return 4096;
}

static bool steered_is_direct(void *context, int32_t file)
{
    (void)context;
    (void)file;
    return true;
}

/* Reads are done when they are submitted, and reaped from their own queue; only writes and
 * syncs are steered. */
struct steered_queue {
    bool writes; /* what the disk has queued and done is this queue's */
    uint32_t read_count;
    struct warp_io_request *reads[STEERED_FLIGHT_MAX];
};

static int steered_queue_create(void *context, uint32_t depth, void **queue)
{
    (void)context;
    (void)depth;
    *queue = calloc(1, sizeof(struct steered_queue));
    fixture_must(*queue != NULL, "memory");
    return 0;
}

static void steered_queue_destroy(void *context, void **queue)
{
    struct steered_disk *disk = context;
    struct steered_queue *one = *queue;

    fixture_must(one->read_count == 0 &&
                     (!one->writes || disk->queued_count + disk->done_count == 0),
                 "a queue goes with requests in it");
    free(one);
    *queue = NULL;
}

static uint32_t steered_submit(void *context, void *queue,
                               struct warp_io_request *const *requests, uint32_t count)
{
    struct steered_disk *disk = context;
    struct steered_queue *into = queue;
    uint32_t i;

    steered_lock(disk);
    for (i = 0; i < count; i++) {
        if (requests[i]->op == WARP_IO_READ) {
            if (into->read_count == STEERED_FLIGHT_MAX) {
                break;
            }
            requests[i]->result =
                steered_below(disk)->read(disk->now, requests[i]->file, requests[i]->buffer,
                                          requests[i]->bytes, requests[i]->offset);
            into->reads[into->read_count++] = requests[i];
            continue;
        }
        if (disk->queued_count == STEERED_QUEUE_MAX) {
            break;
        }
        into->writes = true;
        if (requests[i]->op != WARP_IO_SYNC) {
            steered_enter_flight(disk, requests[i]->file, requests[i]->offset,
                                 requests[i]->bytes);
        }
        disk->queued[disk->queued_count++] = requests[i];
    }
    steered_unlock(disk);
    return i;
}

static void steered_finish(struct steered_disk *disk, uint32_t index)
{
    struct warp_io_request *request = disk->queued[index];
    uint32_t i;

    fixture_must(index < disk->queued_count, "no such request");
    for (i = index; i + 1 < disk->queued_count; i++) {
        disk->queued[i] = disk->queued[i + 1];
    }
    disk->queued_count--;
    if (request->op == WARP_IO_SYNC) {
        request->result = steered_do_sync(disk, request->file);
    } else {
        request->result =
            steered_do_write(disk, request->file, request->buffer, request->bytes,
                             request->offset, request->op == WARP_IO_WRITE_DURABLE);
        steered_leave_flight(disk, request->file, request->offset);
    }
    disk->done[disk->done_count++] = request;
}

void steered_complete(struct steered_disk *disk, uint32_t index)
{
    steered_lock(disk);
    steered_finish(disk, index);
    steered_unlock(disk);
}

static uint32_t steered_reap(void *context, void *queue, struct warp_io_request **out,
                             uint32_t max, uint64_t wait_ns)
{
    struct steered_disk *disk = context;
    struct steered_queue *from = queue;
    uint32_t count = 0;
    uint32_t i;

    if (wait_ns > 0) {
        usleep(50);
    }
    steered_lock(disk);
    while (count < max && from->read_count > 0) {
        out[count++] = from->reads[--from->read_count];
    }
    if (!from->writes) {
        steered_unlock(disk);
        return count;
    }
    if (disk->queued_count > 0) {
        switch (disk->order) {
        case STEERED_IN_ORDER:
            steered_finish(disk, 0);
            break;
        case STEERED_REVERSED:
            steered_finish(disk, disk->queued_count - 1);
            break;
        case STEERED_RANDOM:
            if (warp_random_chance(&disk->random, 2)) {
                steered_finish(
                    disk, (uint32_t)warp_random_below(&disk->random, disk->queued_count));
            }
            break;
        case STEERED_HELD:
            break;
        }
    }
    while (count < max && disk->done_count > 0) {
        out[count++] = disk->done[0];
        disk->done_count--;
        for (i = 0; i < disk->done_count; i++) {
            disk->done[i] = disk->done[i + 1];
        }
    }
    steered_unlock(disk);
    return count;
}

static int steered_queue_interrupt(void *context, void *queue)
{
    (void)context;
    (void)queue;
    return 0;
}

static const char *steered_name(void *context)
{
    (void)context;
    return "steered";
}

static const struct warp_disk_ops steered_ops = {
    .open = steered_open,
    .close = steered_close,
    .size = steered_size,
    .allocate = steered_allocate,
    .truncate = steered_truncate,
    .read = steered_read,
    .write = steered_write,
    .sync = steered_sync,
    .rename = steered_rename,
    .unlink = steered_unlink,
    .sync_directory = steered_sync_directory,
    .list = steered_list,
    .lock = steered_take_lock,
    .unlock = steered_give_lock,
    .free_bytes = steered_free_bytes,
    .block_bytes = steered_block_bytes,
    .is_direct = steered_is_direct,
    .queue_create = steered_queue_create,
    .queue_destroy = steered_queue_destroy,
    .submit = steered_submit,
    .reap = steered_reap,
    .queue_interrupt = steered_queue_interrupt,
    .name = steered_name,
};

void steered_init(struct steered_disk *disk)
{
    uint32_t i;

    memset(disk, 0, sizeof(*disk));
    disk->disk.ops = &steered_ops;
    disk->disk.context = disk;
    disk->fail_write_at = UINT64_MAX;
    disk->fail_sync_at = UINT64_MAX;
    disk->slow_writes_from = UINT64_MAX;
    disk->now = memory_disk_create();
    disk->stable = memory_disk_create();
    for (i = 0; i < STEERED_FLIGHT_MAX; i++) {
        disk->flight[i].file = -1;
    }
    warp_random_init(&disk->random, test_seed());
    pthread_mutex_init(&disk->mutex, NULL);
}

void steered_fini(struct steered_disk *disk)
{
    memory_disk_destroy(&disk->now);
    memory_disk_destroy(&disk->stable);
    pthread_mutex_destroy(&disk->mutex);
}

/* ---- the engine's rooms over it ------------------------------------------------------ */

static void fixture_wait(void *context)
{
    struct store_fixture *fixture = context;

    if (++fixture->wait_count > FIXTURE_WAITS_MAX) {
        fixture_must(false, "a wait that does not end");
    }
    warp_clock_fake_advance(&fixture->clock, 100000);
    if (fixture->at_wait != NULL) {
        fixture->at_wait(fixture);
    }
    if (!fixture->frozen && fixture->wal != NULL) {
        (void)warp_wal_turn(fixture->wal);
    }
}

static void fixture_defaults(struct store_fixture_config *config)
{
#define DEFAULT(field, value)                                                              \
    if (config->field == 0) {                                                              \
        config->field = (value);                                                           \
    }
    DEFAULT(shard_count, 2)
    DEFAULT(buffer_bytes, 65536)
    DEFAULT(segment_bytes, 65536)
    DEFAULT(flushes_max, 4)
    DEFAULT(flush_bytes_max, 1u << 20)
    DEFAULT(mailbox_capacity, 4)
    DEFAULT(drain_max, 64)
    DEFAULT(sync_interval_ns, 100000000)
    DEFAULT(memory_bytes_max, UINT64_C(1) << 40)
#undef DEFAULT
}

void store_fixture_init(struct store_fixture *fixture,
                        const struct store_fixture_config *config_or_null)
{
    struct warp_writer_config writer;
    struct warp_reader_config reader;
    struct warp_store_config store;
    uint32_t i;

    memset(fixture, 0, sizeof(*fixture));
    if (config_or_null != NULL) {
        fixture->config = *config_or_null;
    }
    fixture_defaults(&fixture->config);
    steered_init(&fixture->disk);
    fixture->disk.order = fixture->config.order;
    fixture->disk.latency_us = fixture->config.latency_us;
    fixture->disk.slow_writes_from = fixture->config.slow_writes ? 0 : UINT64_MAX;
    warp_clock_fake_init(&fixture->clock, 1000000000, FIXTURE_WALL_MS);
    fixture_must(warp_memory_init(&fixture->memory, NULL) == 0, "memory");
    fixture->env.disk = &fixture->disk.disk;
    fixture->env.clock =
        fixture->config.threads ? warp_clock_system() : &fixture->clock.clock;
    fixture->env.threads = fixture->config.threads;
    fixture->env.wait = fixture_wait;
    fixture->env.context = fixture;
    for (i = 0; i < sizeof(fixture->manifest.id); i++) {
        fixture->manifest.id[i] = (uint8_t)(i * 7 + 1);
    }
    fixture->manifest.hash_seed = UINT64_C(0x123456789abcdef);
    fixture->manifest.segment_bytes = fixture->config.segment_bytes;
    fixture->manifest.epoch = 1;
    fixture_must(warp_segments_init(&fixture->segments, fixture->env.disk, &fixture->memory,
                                    &fixture->manifest, false, true) == 0,
                 "segments");
    fixture_must(warp_segments_extend(&fixture->segments) == 0, "the first segment");
    fixture_must(warp_epoch_create(&fixture->memory, &fixture->epoch) == 0, "epoch");
    memset(&writer, 0, sizeof(writer));
    writer.env = &fixture->env;
    writer.memory = &fixture->memory;
    writer.segments = &fixture->segments;
    writer.manifest = &fixture->manifest;
    writer.buffer_bytes = fixture->config.buffer_bytes;
    writer.cell_count = fixture->config.shard_count;
    writer.flushes_max = fixture->config.flushes_max;
    writer.flush_bytes_max = fixture->config.flush_bytes_max;
    writer.sync_interval_ns = fixture->config.sync_interval_ns;
    fixture_must(warp_wal_create(&fixture->wal, &writer, FIXTURE_WALL_MS) == 0, "log");
    if (!fixture->config.log_only) {
        memset(&reader, 0, sizeof(reader));
        reader.env = &fixture->env;
        reader.memory = &fixture->memory;
        reader.manifest = &fixture->manifest;
        reader.handles_max = WARP_READER_HANDLES_MIN;
        reader.queue_count = 1;
        reader.queue_depth = 8;
        reader.direct = true;
        fixture_must(warp_reader_create(&fixture->reader, &reader) == 0, "reader");
        memset(&store, 0, sizeof(store));
        store.env = &fixture->env;
        store.memory = &fixture->memory;
        store.epoch = fixture->epoch;
        store.reader = fixture->reader;
        store.values_bytes_max = fixture->config.values_bytes_max;
        store.policy = fixture->config.policy;
        store.hash_seed = fixture->manifest.hash_seed;
        store.segment_bytes = fixture->config.segment_bytes;
        store.memory_bytes_max = fixture->config.memory_bytes_max;
        store.shard_count = fixture->config.shard_count;
        store.mailbox_capacity = fixture->config.mailbox_capacity;
        store.drain_max = fixture->config.drain_max;
        fixture_must(warp_store_create(&fixture->store, &store) == 0, "store");
        fixture->store->wal = fixture->wal;
    }
    if (fixture->config.threads) {
        fixture_must(warp_wal_start(fixture->wal) == 0, "log thread");
        if (fixture->store != NULL) {
            fixture_must(warp_store_start(fixture->store) == 0, "shard threads");
        }
    }
}

int store_fixture_fini(struct store_fixture *fixture)
{
    int rc;

    if (fixture->disk.order == STEERED_HELD) {
        fixture->disk.order = STEERED_IN_ORDER;
    }
    fixture->frozen = false;
    fixture->wait_count = 0;
    warp_memory_fail_after(&fixture->memory, UINT64_MAX);
    if (fixture->store != NULL) {
        warp_store_check(fixture->store);
        warp_store_stop(fixture->store);
    }
    rc = warp_wal_destroy(&fixture->wal, FIXTURE_WALL_MS);
    if (fixture->store != NULL) {
        warp_store_destroy(&fixture->store);
        warp_reader_destroy(&fixture->reader);
    }
    warp_epoch_destroy(&fixture->epoch);
    warp_segments_fini(&fixture->segments);
    check_u64(warp_memory_bytes(&fixture->memory), ==, 0);
    warp_memory_fini(&fixture->memory);
    check_u64(fixture->disk.overlaps, ==, 0);
    check_u64(fixture->disk.partial, ==, 0);
    steered_fini(&fixture->disk);
    return rc;
}

void store_fixture_run(struct store_fixture *fixture, uint32_t turns, uint64_t step_ns)
{
    uint32_t i;

    for (i = 0; i < turns; i++) {
        warp_clock_fake_advance(&fixture->clock, step_ns);
        (void)warp_wal_turn(fixture->wal);
    }
}

void store_fixture_settle(struct store_fixture *fixture)
{
    uint32_t rounds = 0;
    bool did = true;

    while (did) {
        uint64_t due_ns;
        uint32_t i;

        fixture_must(++rounds < FIXTURE_WAITS_MAX, "turns that do not end");
        did = warp_wal_turn(fixture->wal);
        for (i = 0; fixture->store != NULL && i < fixture->config.shard_count; i++) {
            did = warp_shard_turn(fixture->store->shards[i],
                                  warp_clock_ns(fixture->env.clock), &due_ns) ||
                  did;
        }
    }
}

struct fixture_reader {
    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_segments segments;
    struct warp_scan *scan;
};

static int fixture_reader_open(struct store_fixture *fixture, bool stable,
                               struct fixture_reader *reader)
{
    struct warp_scan_options options = {.chunk_bytes = WARP_SCAN_CHUNK_BYTES_MIN};
    int rc;

    reader->scan = NULL;
    steered_lock(&fixture->disk);
    reader->disk = memory_disk_copy(stable ? fixture->disk.stable : fixture->disk.now);
    steered_unlock(&fixture->disk);
    fixture_must(warp_memory_init(&reader->memory, NULL) == 0, "memory");
    rc = warp_segments_init(&reader->segments, &reader->disk->disk, &reader->memory,
                            &fixture->manifest, true, true);
    fixture_must(rc == 0, reader->segments.message);
    return warp_scan_create(&reader->scan, &reader->disk->disk, &reader->memory,
                            &reader->segments, &fixture->manifest, &options);
}

static void fixture_reader_close(struct fixture_reader *reader)
{
    if (reader->scan != NULL) {
        warp_scan_destroy(&reader->scan);
    }
    warp_segments_fini(&reader->segments);
    warp_memory_fini(&reader->memory);
    memory_disk_destroy(&reader->disk);
}

void store_fixture_scan(struct store_fixture *fixture, bool stable, struct store_scan *scan)
{
    struct fixture_reader reader;
    struct warp_scan_chunk chunk;
    uint32_t i;

    memset(scan, 0, sizeof(*scan));
    scan->rc = fixture_reader_open(fixture, stable, &reader);
    while (scan->rc == 0 && (scan->rc = warp_scan_next(reader.scan, &chunk)) == 1) {
        for (i = 0; i < chunk.frame_count; i++) {
            scan->kinds[chunk.frames[i].kind & 7]++;
        }
        scan->rc = 0;
        if (chunk.frame_count == 0) {
            break;
        }
    }
    if (reader.scan != NULL) {
        scan->end = warp_scan_result(reader.scan)->end;
        scan->mark = warp_scan_result(reader.scan)->mark;
        scan->frames = warp_scan_result(reader.scan)->frames;
        scan->clean = warp_scan_result(reader.scan)->clean;
    }
    fixture_reader_close(&reader);
}

void store_fixture_replay(struct store_fixture *fixture, struct store_fixture *into,
                          bool stable, uint64_t now_ms)
{
    struct warp_replay_counts counts = {0, 0};
    struct fixture_reader reader;
    struct warp_scan_chunk chunk;
    uint32_t i;
    int rc;

    fixture_must(fixture_reader_open(fixture, stable, &reader) == 0, "reading the log");
    while ((rc = warp_scan_next(reader.scan, &chunk)) == 1) {
        for (i = 0; i < into->config.shard_count; i++) {
            warp_shard_enter_surely(into->store->shards[i]);
            check_int(warp_replay_chunk(into->store->shards[i], &chunk, now_ms, &counts),
                      ==, 0);
            warp_shard_leave(into->store->shards[i]);
        }
    }
    check_int(rc, ==, 0);
    fixture_reader_close(&reader);
}

struct warp_slice store_slice(const char *text)
{
    struct warp_slice slice = {text, strlen(text)};

    return slice;
}

uint64_t store_fixture_append(struct store_fixture *fixture, uint32_t cell,
                              uint32_t value_bytes)
{
    uint8_t header[WARP_ENTRY_HEADER_BYTES_MAX];
    uint8_t *value = malloc(value_bytes + 1);
    struct warp_entry entry = {.kind = WARP_ENTRY_PUT, .key = "k", .key_bytes = 1};
    struct warp_slice parts[3];
    uint64_t position = 0, end = 0;
    uint32_t crc, header_bytes, i;

    fixture_must(value != NULL, "memory");
    for (i = 0; i < value_bytes; i++) {
        value[i] = (uint8_t)(i * 31 + cell);
    }
    entry.value = value;
    entry.value_bytes = value_bytes;
    header_bytes = (uint32_t)warp_entry_encode_header(header, &entry);
    parts[0].data = header;
    parts[0].bytes = header_bytes;
    parts[1].data = "k";
    parts[1].bytes = 1;
    parts[2].data = value;
    parts[2].bytes = value_bytes;
    crc = warp_crc32c(0, header, header_bytes);
    crc = warp_crc32c(crc, "k", 1);
    crc = warp_crc32c(crc, value, value_bytes);
    if (warp_wal_append(fixture->wal, cell, WARP_FRAME_RECORD, parts,
                        value_bytes > 0 ? 3 : 2, header_bytes + 1 + value_bytes, crc, false,
                        &position, &end) != 0) {
        end = 0;
    }
    free(value);
    return end;
}

/* ---- requests ------------------------------------------------------------------------ */

int store_execute_once(struct store_fixture *fixture, struct warp_message *message)
{
    struct warp_shard *shard;

    warp_message_hash(message, fixture->store->hash_seed);
    warp_message_prepare(message);
    shard = warp_store_owner(fixture->store, message->slot);
    warp_shard_enter_surely(shard);
    warp_put_execute(shard, message);
    warp_shard_leave(shard);
    return message->result;
}

int store_execute(struct store_fixture *fixture, struct warp_message *message)
{
    struct warp_writer *writer = &fixture->wal->writer;

    for (;;) {
        int rc = store_execute_once(fixture, message);
        struct warp_coldread *cold = &message->cold;

        if (rc == WARP_MESSAGE_NEEDS_VALUE) {
            warp_coldread_run(fixture->store, &cold, 1);
        } else if (rc == WARP_MESSAGE_NEEDS_ROOM) {
            rc = warp_writer_make_room(writer, warp_frame_bytes(message->body_bytes),
                                       message->opcode == WARP_OP_DELETE, UINT64_MAX);
            if (rc != 0) {
                message->result = rc;
                break;
            }
        } else {
            break;
        }
    }
    warp_coldread_end(fixture->store, &message->cold);
    return message->result;
}

int store_put(struct store_fixture *fixture, const char *key, const char *value,
              uint64_t expires_at_ms)
{
    struct warp_message message;

    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_PUT;
    message.level = WARP_MEMORY;
    message.key = store_slice(key);
    message.value = store_slice(value);
    message.expires_at_ms = expires_at_ms;
    return store_execute(fixture, &message);
}

int store_delete(struct store_fixture *fixture, const char *key)
{
    struct warp_message message;

    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_DELETE;
    message.level = WARP_MEMORY;
    message.key = store_slice(key);
    return store_execute(fixture, &message);
}

static struct warp_record *fixture_find(struct store_fixture *fixture,
                                        struct warp_slice key)
{
    uint64_t wait_for;

    return warp_get_find(fixture->store, warp_hash_slot(key.data, key.bytes),
                         warp_hash_key(key.data, key.bytes, fixture->store->hash_seed), key,
                         &wait_for);
}

/* Read a cold record's value; the caller ends the read. */
static void fixture_read(struct store_fixture *fixture, struct warp_slice key,
                         const struct warp_record *record, struct warp_coldread *cold)
{
    struct warp_coldread *one = cold;

    warp_coldread_begin(fixture->store, cold, warp_hash_slot(key.data, key.bytes),
                        warp_hash_key(key.data, key.bytes, fixture->store->hash_seed), key,
                        record);
    warp_coldread_run(fixture->store, &one, 1);
    check_int(cold->read.rc, ==, 0);
}

const char *store_get(struct store_fixture *fixture, const char *key)
{
    static char text[256];
    struct warp_record *record = fixture_find(fixture, store_slice(key));
    struct warp_coldread cold;
    uint32_t bytes;

    if (record == NULL) {
        return NULL;
    }
    bytes = warp_record_value_bytes(record);
    fixture_must(bytes < sizeof(text), "store_get of a long value");
    if (warp_record_is_cold(record)) {
        fixture_read(fixture, store_slice(key), record, &cold);
        memcpy(text, cold.read.rc == 0 ? cold.read.value : "?",
               cold.read.rc == 0 ? bytes : 1);
        warp_coldread_end(fixture->store, &cold);
    } else {
        memcpy(text, warp_record_value(record), bytes);
    }
    text[bytes] = '\0';
    return text;
}

struct warp_record *store_find(struct store_fixture *fixture, const char *key)
{
    return fixture_find(fixture, store_slice(key));
}

bool store_is_cold(struct store_fixture *fixture, const char *key)
{
    struct warp_record *record = store_find(fixture, key);

    return record != NULL && warp_record_is_cold(record);
}

void store_make_cold(struct store_fixture *fixture)
{
    uint32_t i;

    store_make_durable(fixture);
    for (i = 0; i < fixture->config.shard_count; i++) {
        struct warp_shard *shard = fixture->store->shards[i];
        uint32_t rounds = 0;

        warp_shard_enter_surely(shard);
        while (warp_horizon_bytes(&shard->horizon) > 0) {
            fixture_must(++rounds < FIXTURE_WAITS_MAX, "values that do not leave");
            (void)warp_horizon_evict(&shard->horizon, UINT64_MAX, 1024);
        }
        warp_shard_leave(shard);
    }
}

void store_make_durable(struct store_fixture *fixture)
{
    struct warp_writer *writer = &fixture->wal->writer;

    check_int(warp_writer_wait(writer, warp_sequence_tail(&writer->sequence), UINT64_MAX),
              ==, 0);
}

bool store_has(struct store_fixture *fixture, const char *key, const void *value,
               size_t value_bytes)
{
    struct warp_record *record = fixture_find(fixture, store_slice(key));
    struct warp_coldread cold;
    bool same;

    if (record == NULL || warp_record_value_bytes(record) != value_bytes) {
        return false;
    }
    if (!warp_record_is_cold(record)) {
        return memcmp(warp_record_value(record), value, value_bytes) == 0;
    }
    fixture_read(fixture, store_slice(key), record, &cold);
    same = cold.read.rc == 0 && memcmp(cold.read.value, value, value_bytes) == 0;
    warp_coldread_end(fixture->store, &cold);
    return same;
}
