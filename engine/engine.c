#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/errno.h"
#include "base/random.h"
#include "engine/options.h"
#include "engine/recover.h"
#include "shards/move.h"
#include "shards/placement.h"
#include "shards/prefetch.h"

#define ENGINE_LOCK_NAME         "LOCK"
#define ENGINE_READER_QUEUES_MAX 16u
#define ENGINE_READER_DEPTH      64u
/* See the measurements in wal/archive.h: half the time of 16 KiB for 6 % more file. */
#define ENGINE_ARCHIVE_BLOCK_BYTES      8192u
#define ENGINE_ARCHIVE_DICTIONARY_BYTES 16384u
#define ENGINE_ARCHIVE_BUFFER_BYTES     262144u
#define ENGINE_LOG_LITTLE_BYTES         (1u << 20)
#define ENGINE_HUGE_SHARE_BYTES         (UINT64_C(256) << 20)

struct engine_message {
    char *text;
    size_t bytes;
};

#define ENGINE_SAY(message, ...)                                                           \
    (void)snprintf((message)->text, (message)->bytes, __VA_ARGS__)

static int engine_open_disk(struct warp *db, const char *path,
                            struct engine_message *message)
{
    bool create = (db->options.open_flags & (WARP_READ_ONLY | WARP_MUST_EXIST)) == 0;
    int rc;

    if (db->env.disk != NULL) {
        db->disk = *db->env.disk;
    } else {
        rc = warp_disk_open_directory(path, &db->memory, db->options.io_backend, create,
                                      &db->disk, message->text, message->bytes);
        if (rc < 0) {
            return warp_error_from_errno(rc);
        }
        db->own_disk = true;
    }
    db->env.disk = &db->disk;
    return 0;
}

static int engine_lock(struct warp *db, const char *path, struct engine_message *message)
{
    char holder[160] = "";
    int rc;

    rc = db->disk.ops->lock(db->disk.context, ENGINE_LOCK_NAME, db->read_only, holder,
                            sizeof(holder));
    if (rc == -11) { /* EWOULDBLOCK */
        ENGINE_SAY(message, "%s is open already: %s", path,
                   holder[0] == '\0' ? "by another process" : holder);
        return WARP_EBUSY;
    }
    if (rc < 0) {
        rc = warp_error_from_errno(rc);
        ENGINE_SAY(message, "locking %s: %s", path, warp_error_text(rc));
        return rc;
    }
    db->locked = true;
    return 0;
}

struct engine_seen {
    bool log, restoring, backups;
};

static int engine_see(void *context, const char *name, uint64_t bytes)
{
    struct engine_seen *seen = context;

    (void)bytes;
    seen->log = seen->log || strncmp(name, "log-", 4) == 0;
    seen->restoring = seen->restoring || strcmp(name, WARP_RESTORING_NAME) == 0;
    seen->backups = seen->backups || strncmp(name, "backup-", 7) == 0;
    return 0;
}

static int engine_make_manifest(struct warp *db, struct engine_message *message)
{
    struct engine_seen seen = {false, false, false};
    int rc;

    rc = db->disk.ops->list(db->disk.context, engine_see, &seen);
    if (rc < 0) {
        return warp_error_from_errno(rc);
    }
    if (seen.restoring) {
        ENGINE_SAY(message, "a restore into this directory has not come to its end: "
                            "empty it and restore again");
        return WARP_EDAMAGED;
    }
    if (seen.backups) {
        ENGINE_SAY(message, "this is a directory of backups: restore one into another "
                            "directory");
        return WARP_EFORMAT;
    }
    if (seen.log) {
        ENGINE_SAY(message, "there are log files but no MANIFEST: it was removed");
        return WARP_EDAMAGED;
    }
    if (db->env.random_seed != 0) {
        struct warp_random random;

        warp_random_init(&random, db->env.random_seed);
        warp_store_u64le(db->manifest.id, warp_random_next(&random));
        warp_store_u64le(db->manifest.id + 8, warp_random_next(&random));
        db->manifest.hash_seed = warp_random_next(&random);
    } else if (warp_random_seed(db->manifest.id, sizeof(db->manifest.id)) < 0 ||
               warp_random_seed(&db->manifest.hash_seed, sizeof(db->manifest.hash_seed)) <
                   0) {
        ENGINE_SAY(message, "the system gives no random numbers");
        return WARP_ESYSTEM;
    }
    db->manifest.created_ms = warp_clock_wall_ms(db->env.clock);
    db->manifest.segment_bytes = db->env.segment_bytes;
    db->manifest.epoch = 1;
    return 0;
}

static int engine_manifest(struct warp *db, bool *is_new, struct engine_message *message)
{
    int rc;

    rc = warp_manifest_read(&db->disk, &db->manifest, message->text, message->bytes);
    if (rc < 0) {
        return rc;
    }
    *is_new = rc == WARP_ABSENT;
    if (*is_new) {
        if ((db->options.open_flags & (WARP_READ_ONLY | WARP_MUST_EXIST)) != 0) {
            ENGINE_SAY(message, "there is no database here");
            return WARP_ENOENT;
        }
        rc = engine_make_manifest(db, message);
        if (rc < 0) {
            return rc;
        }
        rc = warp_manifest_write(&db->disk, &db->manifest);
        if (rc < 0) {
            ENGINE_SAY(message, "writing MANIFEST: %s", warp_error_text(rc));
        }
        return rc;
    }
    if ((db->options.open_flags & WARP_MUST_BE_NEW) != 0) {
        ENGINE_SAY(message, "there is a database here already");
        return WARP_EEXIST;
    }
    if (!db->read_only) {
        /* Who made or renamed what we find may have been killed before the directory was synced:
         * nothing may be built on a name that a power cut could still take back. */
        rc = db->disk.ops->sync_directory(db->disk.context);
        if (rc < 0) {
            rc = warp_error_from_errno(rc);
            ENGINE_SAY(message, "syncing the directory: %s", warp_error_text(rc));
        }
        return rc < 0 ? rc : 0;
    }
    return 0;
}

static int engine_open_log(struct warp *db, bool is_new, uint64_t position,
                           struct engine_message *message)
{
    struct warp_writer_config config;
    int rc;

    if (warp_segments_end(&db->segments) == warp_segments_begin(&db->segments)) {
        /* A MANIFEST of a later epoch without a log file means damage, so the file comes first:
         * the end may come between making the database and its first segment. */
        rc = warp_segments_extend(&db->segments);
        if (rc < 0) {
            ENGINE_SAY(message, "making the first log file: %s", warp_error_text(rc));
            return rc;
        }
    }
    if (!is_new) {
        /* Frames of the new epoch may follow only after it is on disk. */
        db->manifest.epoch++;
        rc = warp_manifest_write(&db->disk, &db->manifest);
        if (rc < 0) {
            ENGINE_SAY(message, "writing MANIFEST: %s", warp_error_text(rc));
            return rc;
        }
    }
    memset(&config, 0, sizeof(config));
    config.env = &db->env;
    config.tail = &db->log_tail;
    config.memory = &db->memory;
    config.segments = &db->segments;
    config.manifest = &db->manifest;
    config.position = position;
    config.buffer_bytes = db->env.log_buffer_bytes;
    config.cell_count = db->options.shard_count;
    config.flushes_max = db->env.flushes_in_flight_max;
    config.flush_bytes_max = db->env.flush_bytes_max;
    config.sync_interval_ns = (uint64_t)db->options.sync_interval_ms * 1000000;
    config.huge_pages = db->options.huge_pages == 1;
    rc = warp_wal_create(&db->wal, &config, warp_clock_wall_ms(db->env.clock));
    if (rc != 0) {
        ENGINE_SAY(message, "opening the log for writing: %s", warp_error_text(rc));
        return rc;
    }
    db->store->wal = db->wal;
    return 0;
}

static int engine_make_reader(struct warp *db, struct engine_message *message)
{
    struct warp_reader_config config;
    int rc;

    memset(&config, 0, sizeof(config));
    config.env = &db->env;
    config.memory = &db->memory;
    config.manifest = &db->manifest;
    config.handles_max = db->env.reader_handles;
    config.queue_count = warp_thread_cpus() * 2;
    if (config.queue_count > ENGINE_READER_QUEUES_MAX) {
        config.queue_count = ENGINE_READER_QUEUES_MAX;
    }
    config.queue_depth = ENGINE_READER_DEPTH;
    config.direct = db->options.direct_io == 0;
    rc = warp_reader_create(&db->reader, &config);
    if (rc < 0) {
        ENGINE_SAY(message, "making the queues of the disk's reader: %s",
                   warp_error_text(rc));
    }
    return rc;
}

/* What a run of compaction may take: a segment's records, or a sixteenth of all memory. */
static uint64_t engine_compact_bytes(const struct warp *db)
{
    uint64_t bytes = db->options.memory_bytes_max / 16;

    return bytes < db->manifest.segment_bytes ? bytes : db->manifest.segment_bytes;
}

static int engine_make_background(struct warp *db, struct engine_message *message)
{
    struct warp_background_config config;
    int rc;

    memset(&config, 0, sizeof(config));
    config.checkpointer.store = db->store;
    config.checkpointer.segments = &db->segments;
    config.checkpointer.manifest = &db->manifest;
    config.checkpointer.buffer_bytes = db->env.checkpoint_buffer_bytes;
    config.checkpointer.direct = db->options.direct_io == 0;
    config.checkpointer.kept[0] = db->checkpoints[0];
    config.checkpointer.kept[1] = db->checkpoints[1];
    config.checkpointer.number_last = db->checkpoint_last;
    config.holdings = &db->holdings;
    config.compacts = db->options.compaction == 1;
    config.compact.memory_bytes = engine_compact_bytes(db);
    config.compact.read_bytes = db->env.compact_read_bytes;
    config.compact.amplification_permille = db->options.space_permille;
    config.compact.level = 1;
    config.compact.block_bytes = ENGINE_ARCHIVE_BLOCK_BYTES;
    config.compact.dictionary_bytes = ENGINE_ARCHIVE_DICTIONARY_BYTES;
    config.compact.buffer_bytes = ENGINE_ARCHIVE_BUFFER_BYTES;
    config.compact.direct = db->options.direct_io == 0;
    config.budget_permille = db->options.background_permille;
    config.warmup.read_bytes = db->env.warm_read_bytes;
    config.warmup.places_max = db->env.warm_places_max;
    config.warmup.direct = db->options.direct_io == 0;
    config.checkpoint_log_bytes = db->env.checkpoint_log_bytes;
    config.outlook = db->outlook;
    config.recovery_ns_max = (uint64_t)db->options.recovery_ms_max * 1000000;
    config.told = db->options.pressure;
    config.told_context = db->options.pressure_context;
    config.gravity = db->options.gravity == 1;
    rc = warp_background_create(&db->background, &config);
    if (rc < 0) {
        ENGINE_SAY(message, "no memory");
    }
    return rc;
}

static void engine_take_apart(struct warp *db)
{
    struct warp_memory boot;

    if (db->background != NULL) {
        warp_background_stop(db->background);
    }
    if (db->publish != NULL) {
        warp_publish_end(db->publish);
    }
    if (db->store != NULL) {
        warp_prefetch_end(db->store);
    }
    if (db->background != NULL) {
        warp_background_destroy(&db->background);
    }

    if (db->store != NULL) {
        warp_store_stop(db->store);
    }
    if (db->wal != NULL) {
        (void)warp_wal_destroy(&db->wal, warp_clock_wall_ms(db->env.clock));
    }
    if (db->store != NULL) {
        warp_prefetch_destroy(db->store);
        warp_store_destroy(&db->store);
    }
    if (db->reader != NULL) {
        warp_reader_destroy(&db->reader);
    }
    warp_slow_fini(&db->slow);
    warp_hot_fini(&db->hot);
    if (db->callers_ready) {
        warp_callers_fini(&db->callers);
    }
    if (db->epoch != NULL) {
        warp_epoch_destroy(&db->epoch);
    }
    if (db->holdings_ready) {
        warp_holdings_fini(&db->holdings);
    }
    if (db->segments_ready) {
        warp_segments_fini(&db->segments);
    }
    if (db->publish != NULL) {
        warp_publish_destroy(&db->publish);
    }
    if (db->locked) {
        db->disk.ops->unlock(db->disk.context);
    }
    if (db->own_disk) {
        warp_disk_close(&db->disk);
    }
    warp_memory_fini(&db->memory);
    memcpy(&boot, &db->boot, sizeof(boot)); /* it lies in what it releases */
    warp_memory_release(&boot, db, sizeof(*db));
    warp_memory_fini(&boot);
}

/* For other processes; a disk that is given, for tests, gets it only if it is wanted there. What an
 * earlier life left goes: nobody keeps it up any more. */
static int engine_make_publish(struct warp *db)
{
    if (db->read_only || (!db->own_disk && !db->env.metrics_file)) {
        return 0;
    }
    if (db->options.metrics_file == 2) {
        (void)db->disk.ops->unlink(db->disk.context, WARP_PUBLISH_NAME);
        return 0;
    }
    return warp_publish_create(db, &db->publish);
}

/* About: its ring and little things. */
static uint64_t engine_log_memory(const struct warp *db)
{
    uint64_t bytes = db->env.log_buffer_bytes + ENGINE_LOG_LITTLE_BYTES;

    return bytes < db->options.memory_bytes_max / 4 ? bytes
                                                    : db->options.memory_bytes_max / 4;
}

/* Nobody reads before the doors open. */
static int engine_recover(struct warp *db, uint64_t *position,
                          struct engine_message *message)
{
    uint32_t i;
    int rc;

    for (i = 0; i < db->store->shard_count; i++) {
        warp_limbo_alone(&db->store->shards[i]->limbo, true);
    }
    /* What the log will take is kept free while the records come in. */
    db->store->memory_bytes_max -= engine_log_memory(db);
    rc = warp_recover(db, position, message->text, message->bytes);
    db->store->memory_bytes_max = db->options.memory_bytes_max;
    for (i = 0; i < db->store->shard_count; i++) {
        warp_limbo_alone(&db->store->shards[i]->limbo, false);
    }
    return rc;
}

static int engine_build(struct warp *db, const char *path, struct engine_message *message)
{
    struct warp_store_config config;
    uint64_t position;
    bool is_new;
    int rc;

    rc = engine_open_disk(db, path, message);
    if (rc < 0) {
        return rc;
    }
    rc = engine_lock(db, path, message);
    if (rc < 0) {
        return rc;
    }
    rc = engine_manifest(db, &is_new, message);
    if (rc < 0) {
        return rc;
    }
    rc = warp_segments_init(&db->segments, &db->disk, &db->memory, &db->manifest,
                            db->read_only, db->options.direct_io == 0);
    if (rc < 0) {
        ENGINE_SAY(message, "%s",
                   db->segments.message[0] != '\0' ? db->segments.message
                                                   : warp_error_text(rc));
        return rc;
    }
    db->segments_ready = true;
    warp_holdings_init(&db->holdings, &db->memory, db->manifest.segment_bytes);
    db->holdings_ready = true;
    rc = warp_epoch_create(&db->memory, &db->epoch);
    if (rc < 0) {
        return WARP_ENOMEM;
    }
    rc = warp_callers_init(&db->callers, &db->memory, db->epoch, db->options.spin_us,
                           db->options.slow_ns != 0 || db->options.timing == 3
                               ? WARP_LATENCY_ALL
                           : db->options.timing == 2 ? WARP_LATENCY_OFF
                                                     : WARP_LATENCY_SAMPLED);
    if (rc < 0) {
        ENGINE_SAY(message, "the process has no pthread key left for this database");
        return rc;
    }
    db->callers_ready = true;
    rc = warp_slow_init(&db->slow, &db->memory, db->options.slow_ns);
    if (rc == 0) {
        rc = warp_hot_init(&db->hot, &db->memory, db->options.hot_keys == 1);
    }
    if (rc < 0) {
        ENGINE_SAY(message, "no memory");
        return rc;
    }
    rc = engine_make_reader(db, message);
    if (rc < 0) {
        return rc;
    }
    memset(&config, 0, sizeof(config));
    config.env = &db->env;
    config.memory = &db->memory;
    config.epoch = db->epoch;
    config.reader = db->reader;
    config.hash_seed = db->manifest.hash_seed;
    config.segment_bytes = db->manifest.segment_bytes;
    config.memory_bytes_max = db->options.memory_bytes_max;
    config.values_bytes_max = db->env.values_bytes_max;
    config.policy = (enum warp_horizon_policy)db->options.cache_policy;
    config.shard_count = db->options.shard_count;
    config.mailbox_capacity = db->env.mailbox_capacity;
    config.drain_max = db->env.drain_max;
    config.spin_us = db->options.spin_us;
    config.mail_only = db->options.write_path == WARP_WRITE_MAILBOX;
    config.pin_threads = db->options.pin_threads != 0;
    /* A small share is not to consist of a few huge pages. */
    config.huge_pages =
        db->options.huge_pages == 1 &&
        config.memory_bytes_max / config.shard_count >= ENGINE_HUGE_SHARE_BYTES;
    config.read_only = db->read_only;
    /* Nobody would fulfil the wishes of a reader. */
    config.warm_up = db->options.warm_up == 1 && !db->read_only;
    rc = warp_store_create(&db->store, &config);
    if (rc < 0) {
        return rc;
    }
    rc = warp_placement_load(db->store, &db->disk, &db->manifest);
    db->placement_lost = rc < 0;
    rc = engine_recover(db, &position, message);
    if (rc < 0) {
        return rc;
    }
    if (!db->read_only) {
        rc = engine_open_log(db, is_new, position, message);
        if (rc != 0) {
            return rc;
        }
    }
    db->recovery.fencing_epoch = db->manifest.epoch;
    db->recovered_end = position;
    db->identity = db->manifest;
    if (!db->read_only) {
        rc = engine_make_background(db, message);
        if (rc < 0) {
            return rc;
        }
    }
    rc = db->options.entanglement == 1 && !db->read_only ? warp_prefetch_create(db->store)
                                                         : 0;
    if (rc < 0) {
        ENGINE_SAY(message, "no memory");
        return rc;
    }
    rc = db->wal == NULL ? 0 : warp_wal_start(db->wal);
    if (rc == 0) {
        rc = warp_store_start(db->store);
    }
    if (rc == 0 && db->background != NULL) {
        rc = warp_background_start(db->background);
    }
    if (rc == 0 && db->env.threads) {
        rc = warp_reader_start(db->reader);
    }
    if (rc < 0) {
        ENGINE_SAY(message, "the system starts no more threads");
        return WARP_ESYSTEM;
    }
    rc = engine_make_publish(db);
    if (rc < 0) {
        ENGINE_SAY(message, "%s",
                   rc == WARP_ENOMEM ? "no memory" : "the system starts no more threads");
        return rc;
    }
    if (db->publish != NULL && warp_publish_failure(db->publish) < 0) {
        ENGINE_SAY(
            message, "opened, but without the file " WARP_PUBLISH_NAME ": %s",
            warp_error_text(warp_error_from_errno(warp_publish_failure(db->publish))));
    }
    return 0;
}

/*
 * Building may make and close io_uring rings (a probe, the scan). The kernel tells the thread that
 * made a ring when it is gone, some milliseconds later, by interrupting whatever system call it
 * is in; an application's thread must not find EINTR there. So a thread of ours does it.
 */
struct engine_build_job {
    struct warp *db;
    const char *path;
    struct engine_message *message;
    int rc;
};

static void engine_build_main(void *context)
{
    struct engine_build_job *job = context;

    job->rc = engine_build(job->db, job->path, job->message);
}

static int engine_build_aside(struct warp *db, const char *path,
                              struct engine_message *message)
{
    struct engine_build_job job = {db, path, message, WARP_ESYSTEM};
    struct warp_thread *thread = NULL;

    if (!db->env.threads) {
        return engine_build(db, path, message);
    }
    if (warp_thread_start(&thread, &db->memory, "warp-open", -1, engine_build_main, &job) <
        0) {
        ENGINE_SAY(message, "the system starts no more threads");
        return WARP_ESYSTEM;
    }
    warp_thread_join(&thread);
    return job.rc;
}

int warp_engine_open(const char *path, const struct warp_options *options,
                     const struct warp_env *env, struct warp **db)
{
    char scrap[256];
    struct engine_message message = {scrap, sizeof(scrap)};
    struct warp_options complete;
    struct warp_memory boot;
    struct warp *made;
    int rc;

    /* A program made with an older header has a shorter struct. */
    if (options != NULL &&
        options->size >=
            offsetof(struct warp_options, message_bytes) + sizeof(options->message_bytes) &&
        options->message != NULL && options->message_bytes > 0) {
        message.text = options->message;
        message.bytes = options->message_bytes;
    }
    message.text[0] = '\0';
    if (db == NULL || *db != NULL || path == NULL || path[0] == '\0') {
        ENGINE_SAY(&message, "path is empty, or *db is not NULL");
        return WARP_EINVAL;
    }
    rc = warp_options_complete(options, &complete, message.text, message.bytes);
    if (rc < 0) {
        return rc;
    }
    rc = warp_memory_init(&boot, complete.allocator);
    made = rc < 0 ? NULL : warp_memory_reserve(&boot, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        ENGINE_SAY(&message, "no memory");
        return WARP_ENOMEM;
    }
    memcpy(&made->boot, &boot, sizeof(boot));
    made->options = complete;
    made->read_only = (complete.open_flags & WARP_READ_ONLY) != 0;
    made->read_durable = complete.read_durable != 0 && !made->read_only;
    made->durability = complete.durability;
    made->recovery.size = sizeof(made->recovery);
    if (env != NULL) {
        made->env = *env;
    } else {
        made->env.threads = true;
    }
    if (made->env.clock == NULL) {
        made->env.clock = warp_clock_system();
    }
    warp_options_limits(&complete, &made->env);
    (void)warp_memory_init(&made->memory, complete.allocator);
    made->opened_ns = warp_clock_ns(made->env.clock);
    rc = engine_build_aside(made, path, &message);
    if (rc != 0) {
        if (message.text[0] == '\0') {
            ENGINE_SAY(&message, "%s: %s", path, warp_error_text(rc));
        }
        engine_take_apart(made);
        return rc;
    }
    *db = made;
    return 0;
}

int warp_engine_close(struct warp **db)
{
    struct warp *one = *db;
    int rc = 0;

    warp_assert(atomic_load_explicit(&one->sessions, memory_order_relaxed) == 0);
    warp_assert(atomic_load_explicit(&one->backing_up, memory_order_relaxed) == 0);
    if (one->background != NULL) {
        warp_background_stop(one->background);
    }
    if (one->publish != NULL) {
        warp_publish_end(one->publish);
    }
    warp_prefetch_end(one->store);
    if (one->background != NULL) {
        warp_background_destroy(&one->background);
    }
    warp_store_stop(one->store);
    if (one->wal != NULL) {
        /* A hint: that it could not be written loses nothing. */
        (void)warp_placement_save(one->store, &one->disk, &one->manifest);
        rc = warp_wal_destroy(&one->wal, warp_clock_wall_ms(one->env.clock));
        one->store->wal = NULL;
    }
    engine_take_apart(one);
    *db = NULL;
    return rc;
}

uint32_t warp_engine_actors(struct warp *db)
{
    return 2 + db->store->shard_count + (db->background != NULL ? 1 : 0);
}

bool warp_engine_turn(struct warp *db, uint32_t actor)
{
    uint64_t due_ns;

    if (actor == 0) {
        return db->wal != NULL && warp_wal_turn(db->wal);
    }
    if (actor == 1 + db->store->shard_count) {
        return warp_reader_turn(db->reader);
    }
    if (actor == 2 + db->store->shard_count) {
        /* It goes first when the database is closed. */
        return db->background != NULL &&
               warp_background_turn(db->background, warp_clock_ns(db->env.clock), &due_ns);
    }
    return warp_shard_turn(db->store->shards[actor - 1], warp_clock_ns(db->env.clock),
                           &due_ns);
}

int warp_engine_move_slot(struct warp *db, uint32_t slot, uint32_t shard)
{
    return warp_move_slot(db->store, slot, shard);
}

void warp_engine_check(struct warp *db)
{
    warp_store_check(db->store);
}
