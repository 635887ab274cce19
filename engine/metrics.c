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
        totals->messages += warp_counter_read(&counters->messages);
        totals->stalls += warp_counter_read(&counters->stalls);
        totals->turns += warp_counter_read(&counters->turns);
        totals->value_bytes += warp_horizon_bytes(&shard->horizon);
        totals->promotions += warp_counter_read(&shard->horizon.metrics.promotions);
        totals->ghost_hits += warp_counter_read(&shard->horizon.metrics.ghost_hits);
        totals->cold_records += warp_counter_read(&counters->cold_records);
        totals->evictions += warp_counter_read(&counters->evictions);
        totals->admissions += warp_counter_read(&counters->admissions);
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
    totals->recovery_records = db->recovery.records;
    totals->recovery_operations = db->recovery.operations;
    totals->recovery_cut_bytes = db->recovery.bytes_cut;
    totals->fencing_epoch = db->recovery.fencing_epoch;
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
    metrics_print(&text,
                  "# HELP warp_recovery_seconds How long the replay at open took.\n"
                  "# TYPE warp_recovery_seconds gauge\nwarp_recovery_seconds %.9f\n",
                  (double)db->recovery.duration_ns / 1e9);
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
