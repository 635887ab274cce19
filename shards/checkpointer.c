/*
 * The happy path is the life in the header, one step after the other. What can go wrong: the disk
 * is full or fails while the file is written: the file is removed and the error told; the log
 * fails before it is durable up to end: the checkpoint is given up, for what it says could never
 * be replayed; the manifest cannot be written: the new one is removed, as if there had been none, for
 * its kept neighbour and the head go together; an old one cannot be removed: the next open does it.
 */
#include "shards/checkpointer.h"

#include <string.h>

#include "base/counter.h"

#define CHECKPOINTER_RECORDS_PER_STEP 2048u

int warp_checkpointer_init(struct warp_checkpointer *checkpointer,
                           const struct warp_checkpointer_config *config)
{
    memset(checkpointer, 0, sizeof(*checkpointer));
    checkpointer->config = *config;
    checkpointer->walk.store = config->store;
    warp_counter_set(&checkpointer->last_number, config->kept[0].number);
    warp_counter_set(&checkpointer->last_begin, config->kept[0].begin);
    warp_counter_set(&checkpointer->last_bytes, config->kept[0].bytes);
    warp_counter_set(&checkpointer->last_records, config->kept[0].records);
    warp_counter_set(&checkpointer->last_made_ms, config->kept[0].made_ms);
    return warp_epoch_register(config->store->epoch, &checkpointer->record) < 0
               ? WARP_ENOMEM
               : 0;
}

static void checkpointer_lock(struct warp_checkpointer *checkpointer)
{
    uint32_t round = 0;

    /* Acquire: pairs with the release in checkpointer_unlock. */
    while (atomic_exchange_explicit(&checkpointer->kept_lock, 1, memory_order_acquire) !=
           0) {
        if (++round % 64 == 0) {
            warp_thread_yield();
        } else {
            warp_cpu_relax();
        }
    }
}

static void checkpointer_unlock(struct warp_checkpointer *checkpointer)
{
    /* Release: pairs with the acquire in checkpointer_lock. */
    atomic_store_explicit(&checkpointer->kept_lock, 0, memory_order_release);
}

uint64_t warp_checkpointer_removable(struct warp_checkpointer *checkpointer)
{
    uint64_t number;

    checkpointer_lock(checkpointer);
    number = checkpointer->config.kept[1].number;
    if (checkpointer->pinned && checkpointer->pinned_number < number) {
        number = checkpointer->pinned_number;
    }
    checkpointer_unlock(checkpointer);
    return number;
}

bool warp_checkpointer_pin(struct warp_checkpointer *checkpointer,
                           struct warp_checkpoint_summary *out, uint64_t *head)
{
    bool free;

    checkpointer_lock(checkpointer);
    free = !checkpointer->pinned;
    if (free) {
        checkpointer->pinned = true;
        checkpointer->pinned_number = checkpointer->config.kept[0].number;
        *out = checkpointer->config.kept[0];
        /* Only who has a checkpoint changes the manifest, and then the head is not asked for. */
        *head =
            out->number != 0 ? out->begin : checkpointer->config.manifest->head_position;
    }
    checkpointer_unlock(checkpointer);
    return free;
}

void warp_checkpointer_unpin(struct warp_checkpointer *checkpointer)
{
    const struct warp_checkpoint_summary *kept = checkpointer->config.kept;
    uint64_t number;
    bool stale;

    checkpointer_lock(checkpointer);
    warp_assert(checkpointer->pinned);
    number = checkpointer->pinned_number;
    stale = number != 0 && number != kept[0].number && number != kept[1].number;
    checkpointer->pinned = stale; /* one that is kept is the namer's again, from now on */
    checkpointer_unlock(checkpointer);
    if (stale) {
        /* Before the files may go that only it names; one that stays is removed by the next open. */
        (void)warp_checkpoint_remove(checkpointer->config.store->env->disk, number);
        checkpointer_lock(checkpointer);
        checkpointer->pinned = false;
        checkpointer_unlock(checkpointer);
    }
}

static void checkpointer_rest(struct warp_checkpointer *checkpointer)
{
    warp_walk_drop(&checkpointer->walk);
    warp_walk_fini(&checkpointer->walk);
    warp_checkpoint_writer_destroy(&checkpointer->writer);
    checkpointer->phase = WARP_CHECKPOINTER_IDLE;
}

void warp_checkpointer_fini(struct warp_checkpointer *checkpointer)
{
    checkpointer_rest(checkpointer);
    if (checkpointer->record != NULL) {
        warp_epoch_unregister(&checkpointer->record);
    }
}

void warp_checkpointer_begin(struct warp_checkpointer *checkpointer)
{
    struct warp_store *store = checkpointer->config.store;

    warp_assert(warp_checkpointer_is_idle(checkpointer));
    /* Acquire: pairs with the release of the takes; the leases do the rest. */
    checkpointer->begin = warp_sequence_tail(&store->wal->writer.sequence);
    checkpointer->number = ++checkpointer->config.number_last;
    checkpointer->begun_ns = warp_clock_ns(store->env->clock);
    checkpointer->shard = 0;
    checkpointer->slot = 0;
    checkpointer->at = 0;
    checkpointer->phase = WARP_CHECKPOINTER_BARRIER;
}

/* Everybody who had taken a place below begin holds his lease until the record is in its table. */
static int checkpointer_barrier(struct warp_checkpointer *checkpointer)
{
    const struct warp_checkpointer_config *config = &checkpointer->config;
    struct warp_checkpoint_config file;
    int rc;

    while (checkpointer->shard < config->store->shard_count) {
        struct warp_shard *shard = config->store->shards[checkpointer->shard];

        if (!warp_shard_enter(shard)) {
            return WARP_WORK_BLOCKED;
        }
        warp_shard_leave(shard);
        checkpointer->shard++;
    }
    memset(&file, 0, sizeof(file));
    file.disk = config->store->env->disk;
    file.memory = config->store->memory;
    file.manifest = config->manifest;
    file.number = checkpointer->number;
    file.begin = checkpointer->begin;
    file.buffer_bytes = config->buffer_bytes;
    file.direct = config->direct;
    rc = warp_checkpoint_writer_create(&checkpointer->writer, &file);
    if (rc < 0) {
        return rc;
    }
    checkpointer->phase = WARP_CHECKPOINTER_WALKING;
    return WARP_WORK_DONE;
}

static int checkpointer_put(struct warp_checkpointer *checkpointer,
                            const struct warp_record *record)
{
    struct warp_checkpoint_entry entry;

    entry.place = warp_record_place(record);
    entry.value_bytes = warp_record_value_bytes(record);
    entry.key_bytes = warp_record_key_bytes(record);
    entry.key = warp_record_key(record);
    entry.expires_at_ms = warp_record_expires_at_ms(record);
    entry.in_batch = warp_record_in_batch(record);
    entry.resident = true;
    if (!warp_record_is_cold(record)) {
        const struct warp_shard *shard =
            warp_store_owner(checkpointer->config.store, checkpointer->slot);

        uint8_t queue = warp_record_queue(record), hits = warp_record_hits(record);

        /* On its way from one shard to another its hits say it already. */
        entry.heat = queue == WARP_HORIZON_NONE
                         ? hits
                         : warp_horizon_standing(&shard->horizon, queue, hits);
    } else {
        /* What was to come back and has not yet is not forgotten. */
        int standing = warp_record_wished(record);

        entry.resident = standing >= 0;
        entry.heat = (uint8_t)(standing >= 0 ? standing : 0);
    }
    return warp_checkpoint_writer_put(checkpointer->writer, &entry);
}

static int checkpointer_walk(struct warp_checkpointer *checkpointer)
{
    struct warp_walk *walk = &checkpointer->walk;
    uint32_t left = CHECKPOINTER_RECORDS_PER_STEP, empty = WARP_SLOT_COUNT / 16;
    int rc;

    while (left > 0 && empty > 0 && checkpointer->slot < WARP_SLOT_COUNT) {
        if (!walk->held) {
            rc = warp_walk_slot(walk, checkpointer->record, checkpointer->slot);
            if (rc == 0 && walk->count > 0) {
                rc = warp_checkpoint_writer_begin_slot(
                    checkpointer->writer, checkpointer->slot, (uint32_t)walk->count);
            }
            if (rc < 0) {
                return rc;
            }
            checkpointer->at = 0;
        }
        while (left > 0 && checkpointer->at < walk->count) {
            rc = checkpointer_put(checkpointer, warp_walk_record(walk, checkpointer->at));
            if (rc < 0) {
                return rc;
            }
            checkpointer->at++;
            left--;
        }
        if (checkpointer->at == walk->count) {
            empty -= walk->count == 0;
            warp_walk_drop(walk);
            checkpointer->slot++;
        }
    }
    if (checkpointer->slot == WARP_SLOT_COUNT) {
        checkpointer->end =
            warp_sequence_tail(&checkpointer->config.store->wal->writer.sequence);
        checkpointer->phase = WARP_CHECKPOINTER_SETTLING;
    }
    return WARP_WORK_DONE;
}

/* What it says must not be newer than what the log has for good. */
static int checkpointer_settle(struct warp_checkpointer *checkpointer)
{
    const struct warp_checkpointer_config *config = &checkpointer->config;
    struct warp_writer *writer = &config->store->wal->writer;
    struct warp_checkpoint_tables tables;
    int rc;

    if (!WARP_PLANTED(CHECKPOINT_EARLY) &&
        warp_writer_durable(writer) < checkpointer->end) {
        if (warp_writer_failed(writer)) {
            return WARP_EFAILED;
        }
        warp_writer_want(writer, checkpointer->end);
        return WARP_WORK_BLOCKED;
    }
    memset(&tables, 0, sizeof(tables));
    rc = config->tables(config->context, checkpointer->begin, &tables);
    if (rc < 0) {
        return rc;
    }
    rc = warp_checkpoint_writer_seal(
        checkpointer->writer, checkpointer->end,
        warp_clock_wall_ms(config->store->env->clock), tables.archive_next, tables.segments,
        tables.segment_count, tables.archives, tables.archive_count, &checkpointer->sealed);
    if (rc < 0) {
        return rc;
    }
    warp_checkpoint_writer_destroy(&checkpointer->writer);
    checkpointer->phase = WARP_CHECKPOINTER_SEALED;
    return WARP_WORK_DONE;
}

/* The new one counts. Let the head follow to the one before, and the one before that go. */
static int checkpointer_name(struct warp_checkpointer *checkpointer)
{
    struct warp_checkpointer_config *config = &checkpointer->config;
    const struct warp_disk *disk = config->store->env->disk;
    struct warp_checkpoint_summary newest = checkpointer->sealed;
    struct warp_checkpoint_summary *kept = config->kept;
    uint64_t leaves = kept[1].number;
    int rc = 0;

    if (kept[0].number != 0) {
        struct warp_manifest manifest = *config->manifest;

        manifest.head_position = kept[0].begin;
        manifest.checkpoint_number = kept[0].number;
        rc = warp_manifest_write(disk, &manifest);
        if (rc == 0) {
            *config->manifest = manifest;
            warp_segments_advance(config->segments, kept[0].begin);
        }
    }
    if (rc < 0) {
        /* The head could not follow, so it is as if there had been none. */
        (void)warp_checkpoint_remove(disk, newest.number);
        return rc;
    }
    checkpointer_lock(checkpointer);
    kept[1] = kept[0];
    kept[0] = newest;
    if (checkpointer->pinned && checkpointer->pinned_number == leaves) {
        leaves = 0; /* unpin will do it */
    }
    checkpointer_unlock(checkpointer);
    if (leaves != 0) {
        /* One that stays is removed by the next open. */
        (void)warp_checkpoint_remove(disk, leaves);
    }
    warp_counter_add(&checkpointer->made, 1);
    warp_counter_set(&checkpointer->last_number, newest.number);
    warp_counter_set(&checkpointer->last_begin, newest.begin);
    warp_counter_set(&checkpointer->last_bytes, newest.bytes);
    warp_counter_set(&checkpointer->last_records, newest.records);
    warp_counter_set(&checkpointer->last_made_ms, newest.made_ms);
    warp_counter_set(&checkpointer->last_duration_ns,
                     warp_clock_ns(config->store->env->clock) - checkpointer->begun_ns);
    return WARP_WORK_COMPLETE;
}

int warp_checkpointer_step(struct warp_checkpointer *checkpointer)
{
    int rc = WARP_WORK_NONE;

    switch (checkpointer->phase) {
    case WARP_CHECKPOINTER_IDLE:
        return WARP_WORK_NONE;
    case WARP_CHECKPOINTER_BARRIER:
        rc = checkpointer_barrier(checkpointer);
        break;
    case WARP_CHECKPOINTER_WALKING:
        rc = checkpointer_walk(checkpointer);
        break;
    case WARP_CHECKPOINTER_SETTLING:
        rc = checkpointer_settle(checkpointer);
        break;
    case WARP_CHECKPOINTER_SEALED:
        rc = checkpointer_name(checkpointer);
        break;
    }
    if (rc < 0) {
        warp_counter_add(&checkpointer->failed, 1);
    }
    if (rc < 0 || rc == WARP_WORK_COMPLETE) {
        checkpointer_rest(checkpointer);
    }
    return rc;
}
