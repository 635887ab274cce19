#include "engine/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/counter.h"
#include "wal/segment.h"

/* Text that may be longer than its buffer: counts on when it is full. */
struct metrics_text {
    char *buffer;
    size_t capacity;
    size_t bytes;
};

__attribute__((format(printf, 2, 3))) static void metrics_print(struct metrics_text *text,
                                                                const char *format, ...)
{
    size_t left = text->bytes < text->capacity ? text->capacity - text->bytes : 0;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(left > 0 ? text->buffer + text->bytes : NULL, left, format, arguments);
    va_end(arguments);
    if (n > 0) {
        text->bytes += (size_t)n;
    }
}

/*
 * The background's thread alone writes its checkpointer and its compaction, but their numbers are
 * atomics for us. Without it, read-only, what recovery found does not change any more.
 */
static void metrics_checkpoint(struct warp *db, struct warp_engine_totals *totals)
{
    totals->log_held = warp_segments_retained(&db->segments);
    if (db->background != NULL && db->wal != NULL) {
        const struct warp_background *background = db->background;
        const struct warp_checkpointer *checkpointer = &background->checkpointer;
        const struct warp_compact_counters *compact =
            warp_compact_counters(background->compact);
        const struct warp_warmup_counters *warmup =
            warp_warmup_counters(background->warmup);
        uint64_t first = warp_segments_begin(&db->segments);
        uint64_t begin, tail;

        totals->checkpoints = warp_counter_read(&checkpointer->made);
        totals->checkpoint_failures = warp_counter_read(&checkpointer->failed);
        totals->checkpoint_number = warp_counter_read(&checkpointer->last_number);
        totals->checkpoint_begin = warp_counter_read(&checkpointer->last_begin);
        totals->checkpoint_records = warp_counter_read(&checkpointer->last_records);
        totals->checkpoint_bytes = warp_counter_read(&checkpointer->last_bytes);
        totals->checkpoint_made_ms = warp_counter_read(&checkpointer->last_made_ms);
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
        totals->checkpoint_made_ms = newest->made_ms;
        totals->checkpoint_log = db->recovery.bytes_read - newest->bytes;
    }
}

void warp_metrics_collect(struct warp *db, struct warp_engine_totals *totals)
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
    totals->recovery_records = db->recovery.records;
    totals->recovery_operations = db->recovery.operations;
    totals->recovery_cut_bytes = db->recovery.bytes_cut;
    totals->fencing_epoch = db->recovery.fencing_epoch;
}

static void metrics_seconds(struct metrics_text *text, const char *name, const char *kind,
                            const char *help, double seconds)
{
    metrics_print(text, "# HELP %s %s\n# TYPE %s %s\n%s %.9f\n", name, help, name, kind,
                  name, seconds);
}

static void metrics_summary(struct metrics_text *text, const char *name, const char *help,
                            const struct warp_histogram *histogram)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    size_t i;

    metrics_print(text, "# HELP %s %s\n# TYPE %s summary\n", name, help, name);
    for (i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        metrics_print(text, "%s{quantile=\"%g\"} %.9f\n", name, quantiles[i],
                      (double)warp_histogram_percentile(histogram, quantiles[i] * 100) /
                          1e9);
    }
    metrics_print(text, "%s_sum %.9f\n%s_count %llu\n", name,
                  (double)warp_histogram_sum(histogram) / 1e9, name,
                  (unsigned long long)warp_histogram_count(histogram));
}

int warp_metrics_write(struct warp *db, char *buffer, size_t capacity, size_t *bytes)
{
    struct metrics_text text = {buffer, capacity, 0};
    struct warp_engine_totals totals;

    warp_metrics_collect(db, &totals);
#define METRICS_PRINT(field, name, kind, help)                                             \
    metrics_print(&text,                                                                   \
                  "# HELP " name " " help "\n# TYPE " name " " #kind "\n" name " %llu\n",  \
                  (unsigned long long)totals.field);
    WARP_ENGINE_METRICS(METRICS_PRINT)
#undef METRICS_PRINT
    metrics_seconds(&text, "warp_recovery_seconds", "gauge",
                    "How long the replay at open took.",
                    (double)db->recovery.duration_ns / 1e9);
    metrics_seconds(&text, "warp_recovery_next_seconds", "gauge",
                    "How long the next one would take, by how long openings take here.",
                    (double)warp_outlook_ns(&db->outlook, totals.checkpoint_records,
                                            totals.checkpoint_log) /
                        1e9);
    metrics_seconds(&text, "warp_checkpoint_seconds", "gauge",
                    "How long the last checkpoint took, 0: none since the open.",
                    (double)totals.checkpoint_ns / 1e9);
    if (totals.checkpoint_number != 0) {
        uint64_t now_ms = warp_clock_wall_ms(db->env.clock);

        /* The wall clock may have been set back. */
        metrics_seconds(&text, "warp_checkpoint_age_seconds", "gauge",
                        "Since the newest checkpoint was made.",
                        now_ms > totals.checkpoint_made_ms
                            ? (double)(now_ms - totals.checkpoint_made_ms) / 1e3
                            : 0.0);
    }
    metrics_seconds(&text, "warp_background_seconds_total", "counter",
                    "Time spent on work that nobody waits for.",
                    (double)totals.background_ns / 1e9);
    metrics_seconds(&text, "warp_write_wait_seconds_total", "counter",
                    "Time for which writes were held up so.",
                    (double)totals.write_wait_ns / 1e9);
    metrics_print(&text,
                  "# HELP warp_uptime_seconds Since the database was opened.\n"
                  "# TYPE warp_uptime_seconds gauge\nwarp_uptime_seconds %.3f\n",
                  (double)(warp_clock_ns(db->env.clock) - db->opened_ns) / 1e9);
    metrics_print(
        &text,
        "# HELP warp_build_info The engine's version and its way to the disk.\n"
        "# TYPE warp_build_info gauge\nwarp_build_info{version=\"%s\",io=\"%s\"} 1\n",
        warp_version(), db->disk.ops->name(db->disk.context));
    if (db->wal != NULL) {
        metrics_summary(&text, "warp_log_flush_seconds", "Time of one write of the log.",
                        &db->wal->writer.flush_latency);
        metrics_summary(&text, "warp_log_sync_seconds", "Time of one sync of the log.",
                        &db->wal->writer.sync_latency);
    }
    metrics_summary(&text, "warp_disk_read_seconds", "Time of one value read from disk.",
                    warp_reader_latency(db->reader));
    if (text.bytes + 1 > capacity) {
        *bytes = text.bytes + 1;
        return WARP_TRUNCATED;
    }
    *bytes = text.bytes;
    return 0;
}
