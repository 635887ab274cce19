#include "engine/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/counter.h"
#include "engine/publish.h"
#include "observe/render.h"
#include "shards/prefetch.h"
#include "wal/segment.h"

/* Where they are among the histograms. */
#define METRICS_PLACE(field, name, help, worry) METRICS_PLACE_##field,
enum { WARP_HISTOGRAM_METRICS(METRICS_PLACE) };

/* None if there is no checkpoint. The wall clock may have been set back since. */
static void metrics_checkpoint_age(struct warp *db, uint64_t made_ms,
                                   struct warp_catalogue_values *totals)
{
    uint64_t now_ms = warp_clock_wall_ms(db->env.clock);

    totals->checkpoint_age_ns = totals->checkpoint_number == 0 ? WARP_CATALOGUE_NONE
                                : now_ms > made_ms ? (now_ms - made_ms) * 1000000
                                                   : 0;
}

/*
 * The background's thread alone writes its checkpointer and its compaction, but their numbers are
 * atomics for us. Without it, read-only, what recovery found does not change any more.
 */
static void metrics_checkpoint(struct warp *db, struct warp_catalogue_values *totals)
{
    totals->log_held = warp_segments_retained(&db->segments);
    if (db->background != NULL && db->wal != NULL) {
        const struct warp_background *background = db->background;
        const struct warp_checkpointer *checkpointer = &background->checkpointer;
        const struct warp_compact_counters *compact =
            warp_compact_counters(background->compact);
        const struct warp_warmup_counters *warmup =
            warp_warmup_counters(background->warmup);
        const struct warp_rebalance_counters *gravity = &background->rebalance.counters;
        uint64_t first = warp_segments_begin(&db->segments);
        uint64_t begin, tail;

        totals->gravity_epochs = warp_counter_read(&gravity->epochs);
        totals->gravity_ns = warp_counter_read(&gravity->busy_ns);
        totals->load_lambda = warp_counter_read(&gravity->lambda_ppm);
        totals->load_evenness = warp_counter_read(&gravity->evenness_ppm);
        totals->load_variation = warp_counter_read(&gravity->cov_ppm);
        totals->checkpoints = warp_counter_read(&checkpointer->made);
        totals->checkpoint_failures = warp_counter_read(&checkpointer->failed);
        totals->checkpoint_number = warp_counter_read(&checkpointer->last_number);
        totals->checkpoint_begin = warp_counter_read(&checkpointer->last_begin);
        totals->checkpoint_records = warp_counter_read(&checkpointer->last_records);
        totals->checkpoint_bytes = warp_counter_read(&checkpointer->last_bytes);
        metrics_checkpoint_age(db, warp_counter_read(&checkpointer->last_made_ms), totals);
        totals->checkpoint_ns = warp_counter_read(&checkpointer->last_duration_ns);
        totals->background_pressure = warp_counter_read(&background->pressure);
        totals->write_waits = warp_counter_read(&db->store->pace.waits);
        totals->write_wait_ns = warp_counter_read(&db->store->pace.wait_ns);
        totals->background_steps = warp_counter_read(&background->steps);
        totals->background_ns = warp_counter_read(&background->busy_ns);
        totals->compact_runs = warp_counter_read(&compact->runs);
        totals->compact_failures = warp_counter_read(&compact->runs_given_up);
        totals->compact_records = warp_counter_read(&compact->records_moved);
        totals->compact_raw_bytes = warp_counter_read(&compact->raw_bytes);
        totals->compact_stored_bytes = warp_counter_read(&compact->stored_bytes);
        totals->compact_removed = warp_counter_read(&compact->files_removed);
        totals->warm_values = warp_counter_read(&warmup->values);
        totals->warm_bytes = warp_counter_read(&warmup->bytes);
        totals->warm_left = warp_counter_read(&warmup->left);
        totals->warm_remaining = warp_counter_read(&warmup->remaining);
        totals->warm_reads = warp_counter_read(&warmup->reads);
        totals->warm_lone_reads = warp_counter_read(&warmup->lone_reads);
        totals->warm_read_bytes = warp_counter_read(&warmup->read_bytes);
        totals->disk_bytes = warp_counter_read(&compact->disk_bytes);
        totals->disk_live_bytes = warp_counter_read(&compact->live_bytes);
        totals->disk_live_raw_bytes = warp_counter_read(&compact->live_raw_bytes);
        /* The tail is read last, so that it is not below the begin. */
        begin = totals->checkpoint_begin > first ? totals->checkpoint_begin : first;
        tail = warp_sequence_tail(&db->wal->writer.sequence);
        totals->checkpoint_log = tail > begin ? tail - begin : 0;
    } else {
        const struct warp_checkpoint_summary *newest = &db->checkpoints[0];

        totals->checkpoint_number = newest->number;
        totals->checkpoint_begin = newest->begin;
        totals->checkpoint_records = newest->records;
        totals->checkpoint_bytes = newest->bytes;
        metrics_checkpoint_age(db, newest->made_ms, totals);
        totals->checkpoint_log = db->recovery.bytes_read - newest->bytes;
    }
}

/* None of it if nothing is fetched. */
static void metrics_prefetch(const struct warp_prefetch *prefetch,
                             struct warp_catalogue_values *totals)
{
    const struct warp_prefetch_counters *counters;

    if (prefetch == NULL) {
        return;
    }
    counters = &prefetch->counters;
    totals->prefetch_observations = warp_counter_read(&prefetch->entangle.observations);
    totals->prefetch_skipped = warp_counter_read(&counters->skipped);
    totals->prefetch_issued = warp_counter_read(&counters->issued);
    totals->prefetch_useful = warp_counter_read(&counters->useful);
    totals->prefetch_late = warp_counter_read(&counters->late);
    totals->prefetch_wasted = warp_counter_read(&counters->wasted);
    totals->prefetch_bytes = warp_counter_read(&counters->bytes);
    totals->prefetch_table = warp_counter_read(&prefetch->entangle.bytes);
    totals->prefetch_starts = warp_counter_read(&prefetch->entangle.starts);
    totals->prefetch_stops = warp_counter_read(&prefetch->entangle.stops);
}

void warp_metrics_collect(struct warp *db, struct warp_catalogue_values *totals)
{
    const struct warp_reader_counters *reads = warp_reader_counters(db->reader);
    const struct warp_caller *caller;
    struct warp_store *store = db->store;
    uint32_t i;

    memset(totals, 0, sizeof(*totals));
    for (i = 0; i < store->shard_count; i++) {
        const struct warp_shard *shard = store->shards[i];
        const struct warp_shard_counters *counters = &shard->counters;

        totals->records += warp_counter_read(&counters->records);
        totals->record_bytes += warp_counter_read(&counters->record_bytes);
        totals->puts += warp_counter_read(&counters->puts);
        totals->deletes += warp_counter_read(&counters->deletes);
        totals->adds += warp_counter_read(&counters->adds);
        totals->conflicts += warp_counter_read(&counters->conflicts);
        totals->expired += warp_counter_read(&counters->expired);
        totals->expired_bytes += warp_counter_read(&counters->expired_bytes);
        totals->sweeps += warp_counter_read(&counters->sweeps);
        totals->sweep_looks += warp_counter_read(&counters->sweep_looks);
        totals->messages += warp_counter_read(&counters->messages);
        totals->stalls += warp_counter_read(&counters->stalls);
        totals->turns += warp_counter_read(&counters->turns);
        totals->value_bytes += warp_horizon_bytes(&shard->horizon);
        totals->promotions += warp_counter_read(&shard->horizon.metrics.promotions);
        totals->ghost_hits += warp_counter_read(&shard->horizon.metrics.ghost_hits);
        totals->cold_records += warp_counter_read(&counters->cold_records);
        totals->evictions += warp_counter_read(&counters->evictions);
        totals->admissions += warp_counter_read(&counters->admissions);
        totals->slot_abroad_bytes += warp_counter_read(&counters->abroad_bytes);
        totals->growths += warp_counter_read(&counters->table_growths);
        totals->retained_records += warp_counter_read(&shard->limbo.pinned_items);
        totals->reclaimed += warp_counter_read(&shard->limbo.released_items);
    }
    /* Acquire: pairs with the release in warp_caller_make. */
    for (caller = atomic_load_explicit(&db->callers.list, memory_order_acquire);
         caller != NULL; caller = caller->next) {
        totals->callers++;
        totals->gets += warp_counter_read(&caller->gets);
        totals->get_hits += warp_counter_read(&caller->get_hits);
        totals->cold_gets += warp_counter_read(&caller->cold_gets);
        totals->leases += warp_counter_read(&caller->leases);
        totals->mails += warp_counter_read(&caller->mails);
        totals->lease_busy += warp_counter_read(&caller->busy);
        totals->borrows += warp_counter_read(&caller->borrows);
        totals->batches += warp_counter_read(&caller->batches);
        totals->durable_waits += warp_counter_read(&caller->durable_waits);
    }
    totals->disk_reads = warp_counter_read(&reads->reads);
    totals->disk_read_bytes = warp_counter_read(&reads->device_bytes);
    totals->disk_read_errors =
        warp_counter_read(&reads->damaged) + warp_counter_read(&reads->failed);
    totals->memory_bytes = warp_memory_bytes(&db->memory) + sizeof(*db);
    totals->memory_limit_bytes = db->options.memory_bytes_max;
    totals->shards = store->shard_count;
    totals->slot_moves = warp_counter_read(&store->moving.moves);
    totals->slot_moves_busy = warp_counter_read(&store->moving.busy);
    totals->slot_moves_refused = warp_counter_read(&store->moving.refused);
    totals->slot_move_records = warp_counter_read(&store->moving.records);
    totals->slot_forwards = warp_counter_read(&store->moving.bounced);
    totals->placement_lost = db->placement_lost;
    totals->sessions = warp_counter_read(&db->sessions);
    totals->log_allocated =
        warp_segments_end(&db->segments) - warp_segments_begin(&db->segments);
    if (db->wal != NULL) {
        const struct warp_writer *writer = &db->wal->writer;
        const struct warp_writer_counters *counters = &writer->counters;

        totals->log_tail = warp_sequence_tail(&writer->sequence);
        totals->log_durable = warp_sequence_durable(&writer->sequence);
        totals->log_flushes = warp_counter_read(&counters->flushes);
        totals->log_flushes_led = warp_counter_read(&counters->flushes_led);
        totals->log_flush_bytes = warp_counter_read(&counters->flush_bytes);
        totals->log_pad_bytes = warp_counter_read(&counters->pad_bytes);
        totals->log_syncs = warp_counter_read(&counters->syncs);
        totals->log_waits = warp_counter_read(&counters->waits);
        totals->log_room_waits = warp_counter_read(&counters->room_waits);
        totals->log_segments = warp_counter_read(&counters->segments_made);
        totals->log_enospc = warp_counter_read(&counters->enospc);
        totals->log_failed = warp_writer_failed(writer);
    }
    metrics_checkpoint(db, totals);
    metrics_prefetch(store->prefetch, totals);
    totals->publishes = warp_publish_count(db->publish);
    totals->publish_errors = warp_publish_errors(db->publish);
    /* Read-only nobody makes checkpoints, so that there is no limit to keep to. */
    totals->checkpoint_log_limit = db->background == NULL
                                       ? WARP_CATALOGUE_NONE
                                       : warp_background_log_allowed(db->background);
    totals->free_bytes = WARP_CATALOGUE_NONE;
    totals->recovery_records = db->recovery.records;
    totals->recovery_operations = db->recovery.operations;
    totals->recovery_cut_bytes = db->recovery.bytes_cut;
    totals->recovery_ns = db->recovery.duration_ns;
    totals->recovery_next_ns =
        warp_outlook_ns(&db->outlook, totals->checkpoint_records, totals->checkpoint_log);
    totals->uptime_ns = warp_clock_ns(db->env.clock) - db->opened_ns;
    totals->slow_calls = warp_counter_read(&db->slow.count);
    totals->fencing_epoch = db->recovery.fencing_epoch;
}

static void metrics_shards(const struct warp *db, struct warp_catalogue_shard *shards,
                           uint8_t *owners)
{
    const struct warp_store *store = db->store;
    uint32_t i;

    memset(shards, 0, store->shard_count * sizeof(shards[0]));
    for (i = 0; i < store->shard_count; i++) {
        const struct warp_shard *shard = store->shards[i];
        const struct warp_shard_counters *counters = &shard->counters;

        shards[i].records = warp_counter_read(&counters->records);
        shards[i].record_bytes = warp_counter_read(&counters->record_bytes);
        shards[i].cache_bytes = warp_horizon_bytes(&shard->horizon);
        shards[i].cold_records = warp_counter_read(&counters->cold_records);
        shards[i].puts = warp_counter_read(&counters->puts);
        shards[i].deletes = warp_counter_read(&counters->deletes);
        shards[i].adds = warp_counter_read(&counters->adds);
        shards[i].conflicts = warp_counter_read(&counters->conflicts);
        shards[i].messages = warp_counter_read(&counters->messages);
        shards[i].stalls = warp_counter_read(&counters->stalls);
        shards[i].turns = warp_counter_read(&counters->turns);
        shards[i].evictions = warp_counter_read(&counters->evictions);
        shards[i].admissions = warp_counter_read(&counters->admissions);
        if (db->background != NULL && db->wal != NULL) {
            /* Masses are billionths. */
            shards[i].load =
                warp_counter_read(&db->background->rebalance.counters.loads[i]) / 1000;
        }
    }
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        uint32_t owner = warp_slotmap_owner(&store->slotmap, i);

        shards[owner].slots++;
        if (owners != NULL) {
            owners[i] = (uint8_t)owner;
        }
    }
}

/* How long calls took, of all callers. A frame of its own: 20 KiB are not to lie below what follows. */
static __attribute__((noinline)) void metrics_calls(struct warp *db, bool writes,
                                                    struct warp_snapshot_histogram *out)
{
    const struct warp_caller *caller;
    struct warp_histogram sum;

    warp_histogram_init(&sum);
    /* Acquire: pairs with the release in warp_caller_make. */
    for (caller = atomic_load_explicit(&db->callers.list, memory_order_acquire);
         caller != NULL; caller = caller->next) {
        warp_latency_merge(&sum, writes ? &caller->write_latency : &caller->get_latency);
    }
    warp_snapshot_histogram(out, &sum);
}

void warp_metrics_fill(struct warp *db, struct warp_snapshot *snapshot,
                       struct warp_catalogue_shard *shards, struct warp_metrics_space *more)
{
    const struct warp_histogram *from[] = {
        db->wal == NULL ? NULL : &db->wal->writer.flush_latency,
        db->wal == NULL ? NULL : &db->wal->writer.sync_latency,
        warp_reader_latency(db->reader),
        NULL, /* of calls, below */
        NULL,
    };
    int64_t free_bytes;
    uint32_t i;

    static_assert(sizeof(from) / sizeof(from[0]) == WARP_CATALOGUE_HISTOGRAMS,
                  "one for each row of the catalogue, in its order");
    memset(snapshot, 0, sizeof(*snapshot));
    warp_metrics_collect(db, &snapshot->values);
    free_bytes = db->disk.ops->free_bytes(db->disk.context);
    snapshot->values.free_bytes =
        free_bytes < 0 ? WARP_CATALOGUE_NONE : (uint64_t)free_bytes;
    for (i = 0; i < WARP_CATALOGUE_HISTOGRAMS; i++) {
        if (from[i] != NULL) {
            warp_snapshot_histogram(&snapshot->histograms[i], from[i]);
        }
    }
    metrics_calls(db, false, &snapshot->histograms[METRICS_PLACE_get]);
    metrics_calls(db, true, &snapshot->histograms[METRICS_PLACE_write]);
    metrics_shards(db, shards, more == NULL ? NULL : more->owners);
    if (more != NULL) {
        snapshot->owners = more->owners;
        snapshot->owner_count = WARP_SLOT_COUNT;
        snapshot->slow_count = warp_slow_copy(&db->slow, more->slow);
        snapshot->slow = more->slow;
        snapshot->hot_count = warp_hot_copy(&db->hot, more->hot, &snapshot->hot_total);
        snapshot->hot = more->hot;
    }
    snapshot->shards = shards;
    snapshot->shard_count = db->store->shard_count;
    snapshot->about.sequence = 1;
    snapshot->about.state = WARP_SNAPSHOT_OPEN;
    snapshot->about.fencing_epoch = db->recovery.fencing_epoch;
    snapshot->about.published_ms = warp_clock_wall_ms(db->env.clock);
    snapshot->about.published_ns = warp_clock_ns(db->env.clock);
    snapshot->about.opened_ms =
        snapshot->about.published_ms - snapshot->values.uptime_ns / 1000000;
    (void)snprintf(snapshot->about.version, sizeof(snapshot->about.version), "%s",
                   warp_version());
    (void)snprintf(snapshot->about.io, sizeof(snapshot->about.io), "%s",
                   db->disk.ops->name(db->disk.context));
}

int warp_metrics_write(struct warp *db, char *buffer, size_t capacity, size_t *bytes)
{
    struct warp_catalogue_shard shards[WARP_SHARD_COUNT_MAX];
    struct warp_snapshot snapshot;
    struct warp_reading reading;
    const struct warp_render_part part = {&reading, NULL};
    struct warp_render render;

    warp_metrics_fill(db, &snapshot, shards, NULL);
    warp_snapshot_reading(&snapshot, &reading);
    warp_render_init(&render, buffer, capacity, WARP_RENDER_TEXT);
    warp_render_readings(&render, &part, 1, false);
    *bytes = render.bytes;
    if (!warp_render_fits(&render)) {
        *bytes = render.bytes + 1;
        return WARP_TRUNCATED;
    }
    return 0;
}

int warp_metrics_image(struct warp *db, void *buffer, size_t capacity, size_t *bytes)
{
    struct warp_metrics_space *space;
    struct warp_snapshot_layout layout;
    struct warp_snapshot snapshot;

    warp_snapshot_layout(&layout, db->store->shard_count);
    *bytes = layout.image_bytes;
    if (capacity < layout.image_bytes) {
        return WARP_TRUNCATED;
    }
    space = warp_memory_reserve(&db->memory, sizeof(*space), 0);
    if (space == NULL) {
        return WARP_ENOMEM;
    }
    warp_metrics_fill(db, &snapshot, space->shards, space);
    warp_process_self(&snapshot.about.process);
    memset(buffer, 0, layout.image_bytes);
    warp_snapshot_write_head(buffer, db->store->shard_count);
    (void)warp_snapshot_write_slot((char *)buffer + layout.head_bytes +
                                       snapshot.about.sequence % 2 * layout.slot_bytes,
                                   &snapshot);
    warp_memory_release(&db->memory, space, sizeof(*space));
    return 0;
}
