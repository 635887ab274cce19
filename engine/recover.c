#include "engine/recover.h"

#include <stdio.h>
#include <string.h>

#include "shards/replay.h"
#include "wal/scan.h"

#define RECOVER_PROGRESS_NS 100000000u

/* Runs a job with many indexes on several threads. */
struct recover_crew {
    struct warp *db;
    uint32_t threads;
    void (*job)(void *context, uint32_t index);
    void *context;
    uint32_t count;
    _Atomic uint32_t next;
};

static void recover_work(void *context)
{
    struct recover_crew *crew = context;

    for (;;) {
        /* Relaxed: it only deals out numbers; join orders the results. */
        uint32_t index = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed);

        if (index >= crew->count) {
            return;
        }
        crew->job(crew->context, index);
    }
}

static void recover_parallel(void *context, void (*job)(void *job_context, uint32_t index),
                             void *job_context, uint32_t count)
{
    struct recover_crew *crew = context;
    struct warp_thread *threads[WARP_SHARD_COUNT_MAX] = {NULL};
    uint32_t i;

    crew->job = job;
    crew->context = job_context;
    crew->count = count;
    atomic_store_explicit(&crew->next, 0, memory_order_relaxed);
    for (i = 1; i < crew->threads && i < count; i++) {
        if (warp_thread_start(&threads[i], &crew->db->memory, "warp-replay", -1,
                              recover_work, crew) < 0) {
            break; /* fewer hands do the same work */
        }
    }
    recover_work(crew);
    for (i = 1; i < WARP_SHARD_COUNT_MAX; i++) {
        warp_thread_join(&threads[i]);
    }
}

struct recover_replay {
    struct warp_store *store;
    const struct warp_scan_chunk *chunk;
    uint64_t now_ms;
    struct {
        struct warp_replay_counts counts;
        int rc;
    } shards[WARP_SHARD_COUNT_MAX];
};

static void recover_replay_shard(void *context, uint32_t index)
{
    struct recover_replay *replay = context;
    struct warp_shard *shard = replay->store->shards[index];

    if (replay->shards[index].rc < 0) {
        return;
    }
    warp_shard_enter_surely(shard);
    replay->shards[index].rc = warp_replay_chunk(shard, replay->chunk, replay->now_ms,
                                                 &replay->shards[index].counts);
    warp_lease_give_back(&shard->lease);
}

static void recover_explain(struct warp *db, const struct warp_scan_result *result, int rc,
                            char *message, size_t message_bytes)
{
    if (rc == WARP_ENOMEM) {
        (void)snprintf(message, message_bytes,
                       "the keys do not fit into memory_bytes_max (%llu bytes): raise it",
                       (unsigned long long)db->options.memory_bytes_max);
    } else if (result->file[0] != '\0') {
        (void)snprintf(message, message_bytes, "%s at offset %llu: %s (log position %llu)",
                       result->file, (unsigned long long)result->file_offset,
                       result->what == NULL ? warp_error_text(rc) : result->what,
                       (unsigned long long)result->damaged_position);
    } else {
        (void)snprintf(message, message_bytes, "replaying the log: %s",
                       warp_error_text(rc));
    }
}

int warp_recover(struct warp *db, uint64_t *end, char *message, size_t message_bytes)
{
    struct recover_crew crew = {.db = db, .threads = db->options.recovery_threads};
    struct warp_scan_options options = {.begin = db->manifest.head_position};
    struct recover_replay replay;
    const struct warp_scan_result *result;
    struct warp_scan_chunk chunk;
    struct warp_scan *scan = NULL;
    uint64_t begun_ns = warp_clock_ns(db->env.clock), told_ns = begun_ns;
    uint64_t total;
    uint32_t i;
    int rc;

    memset(&replay, 0, sizeof(replay));
    if (db->env.threads) {
        options.parallel = recover_parallel;
        options.parallel_context = &crew;
    } else {
        crew.threads = 1;
        options.chunk_bytes = 65536;
    }
    if (options.begin < warp_segments_begin(&db->segments)) {
        options.begin = warp_segments_begin(&db->segments);
    }
    rc = warp_scan_create(&scan, &db->disk, &db->memory, &db->segments, &db->manifest,
                          &options);
    if (rc < 0) {
        (void)snprintf(message, message_bytes, "reading the log: %s", warp_error_text(rc));
        return rc;
    }
    result = warp_scan_result(scan);
    replay.store = db->store;
    replay.chunk = &chunk;
    total = warp_segments_end(&db->segments) - options.begin;
    while ((rc = warp_scan_next(scan, &chunk)) > 0) {
        uint64_t now_ns;

        replay.now_ms = warp_store_wall_ms(db->store);
        recover_parallel(&crew, recover_replay_shard, &replay, db->store->shard_count);
        for (i = 0; i < db->store->shard_count; i++) {
            if (replay.shards[i].rc < 0) {
                rc = replay.shards[i].rc;
            }
        }
        if (rc < 0) {
            break;
        }
        now_ns = warp_clock_ns(db->env.clock);
        if (db->options.progress != NULL && now_ns - told_ns >= RECOVER_PROGRESS_NS) {
            uint64_t records = 0;

            for (i = 0; i < db->store->shard_count; i++) {
                records += replay.shards[i].counts.operations;
            }
            told_ns = now_ns;
            db->options.progress(db->options.progress_context, result->bytes, total,
                                 records);
        }
    }
    if (rc < 0) {
        recover_explain(db, result, rc, message, message_bytes);
        goto done;
    }
    if (!db->read_only && result->end > result->mark) {
        /* What was read may have come from a cache that a power cut empties. */
        rc = warp_segments_sync(&db->segments, result->mark, result->end);
        if (rc < 0) {
            (void)snprintf(message, message_bytes, "syncing the replayed log: %s",
                           warp_error_text(rc));
            goto done;
        }
    }
    *end = result->end;
    for (i = 0; i < db->store->shard_count; i++) {
        db->recovery.operations += replay.shards[i].counts.operations;
        db->recovery.expired += replay.shards[i].counts.expired;
        db->recovery.records += atomic_load_explicit(
            &db->store->shards[i]->counters.records, memory_order_relaxed);
    }
    db->recovery.frames = result->frames;
    db->recovery.bytes_read = result->bytes;
    db->recovery.bytes_cut = result->bytes_cut;
    db->recovery.clean = result->clean;
    db->recovery.duration_ns = warp_clock_ns(db->env.clock) - begun_ns;
    if (db->options.progress != NULL) {
        db->options.progress(db->options.progress_context, result->bytes, result->bytes,
                             db->recovery.operations);
    }
done:
    warp_scan_destroy(&scan);
    return rc;
}
