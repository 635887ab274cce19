/*
 * engine/metrics.h - sums what the rooms count, and writes it as text.
 *
 * Every metric is declared once, in the table below: name, kind, unit, help. The text, the catalogue in
 * docs/METRICS.md and the test that moves each of them are made from it. Prometheus text format
 * 0.0.4.
 *
 * Threads:   any; nothing is locked or stopped.
 * Lifetime:  the caller's buffer.
 * Units:     in the names: bytes, seconds, _total for what only grows.
 * Ordering:  relaxed reads: the numbers of one text need not fit each other to the last unit.
 * Errors:    WARP_TRUNCATED.
 * Cost:      about 50 us.
 */
#ifndef ENGINE_METRICS_H
#define ENGINE_METRICS_H

#include "engine/engine.h"

/* X(field, name, kind, help) */
#define WARP_ENGINE_METRICS(X)                                                             \
    X(records, "warp_records", gauge,                                                      \
      "Records, expired ones until the sweep has met them.")                               \
    X(record_bytes, "warp_record_bytes", gauge,                                            \
      "Memory of records, in their size classes.")                                         \
    X(value_bytes, "warp_cache_bytes", gauge,                                              \
      "Memory of records that have their value in it.")                                    \
    X(cold_records, "warp_cold_records", gauge, "Records whose value is on disk only.")    \
    X(cold_gets, "warp_cold_gets_total", counter,                                          \
      "Keys read by blocking calls whose value was on disk only.")                         \
    X(evictions, "warp_cache_evictions_total", counter, "Values that left memory.")        \
    X(admissions, "warp_cache_admissions_total", counter,                                  \
      "Values read from disk and kept in memory.")                                         \
    X(promotions, "warp_cache_promotions_total", counter,                                  \
      "Values that moved from the small queue to the main one.")                           \
    X(ghost_hits, "warp_cache_ghost_hits_total", counter,                                  \
      "Values that came back soon after they had left.")                                   \
    X(disk_reads, "warp_disk_reads_total", counter, "Values read from disk.")              \
    X(disk_read_bytes, "warp_disk_read_bytes_total", counter,                              \
      "Bytes the disk was asked for to read them.")                                        \
    X(disk_read_errors, "warp_disk_read_errors_total", counter,                            \
      "Values that could not be read: damage, I/O errors, no memory.")                     \
    X(memory_bytes, "warp_memory_bytes", gauge, "Memory held by the engine, all in.")      \
    X(memory_limit_bytes, "warp_memory_limit_bytes", gauge, "memory_bytes_max.")           \
    X(shards, "warp_shards", gauge, "Shards.")                                             \
    X(sessions, "warp_sessions", gauge, "Sessions open.")                                  \
    X(callers, "warp_caller_threads", gauge,                                               \
      "Threads that have called, at most at a time.")                                      \
    X(slot_moves, "warp_slot_moves_total", counter,                                        \
      "Slots that were given to another shard.")                                           \
    X(slot_moves_busy, "warp_slot_moves_busy_total", counter,                              \
      "Moves given up because a lease was busy or the slot was growing.")                  \
    X(slot_moves_refused, "warp_slot_moves_refused_total", counter,                        \
      "Moves of what is no slot, or to what is no shard, or without memory.")              \
    X(slot_move_records, "warp_slot_move_records_total", counter,                          \
      "Records looked at for moves, twice each.")                                          \
    X(slot_forwards, "warp_slot_forwards_total", counter,                                  \
      "Writes that met their slot's old shard and were sent on.")                          \
    X(slot_abroad_bytes, "warp_slot_abroad_bytes", gauge,                                  \
      "Memory of moved slots that is not yet in their shard's pool, as of its last look.") \
    X(placement_lost, "warp_slot_placement_lost", gauge,                                   \
      "1: which shard had which slot could not be read at open, so they were dealt anew.") \
    X(gets, "warp_gets_total", counter, "Keys read by blocking calls.")                    \
    X(get_hits, "warp_get_hits_total", counter, "Keys read by blocking calls and found.")  \
    X(puts, "warp_puts_total", counter, "Puts carried out, those of batches included.")    \
    X(deletes, "warp_deletes_total", counter, "Deletes carried out.")                      \
    X(adds, "warp_adds_total", counter, "Adds carried out.")                               \
    X(batches, "warp_batches_total", counter, "Atomic batches committed.")                 \
    X(borrows, "warp_borrows_total", counter, "Values lent by blocking calls.")            \
    X(conflicts, "warp_conflicts_total", counter, "Writes whose condition did not hold.")  \
    X(expired, "warp_expired_total", counter, "Records removed by the expiry sweep.")      \
    X(expired_bytes, "warp_expired_bytes", gauge,                                          \
      "Memory of records that have expired and were not swept yet: an estimate.")          \
    X(sweeps, "warp_expiry_sweeps_total", counter, "Slots swept for what has expired.")    \
    X(sweep_looks, "warp_expiry_looks_total", counter,                                     \
      "Records looked at by these sweeps.")                                                \
    X(retained_records, "warp_retained_records", gauge,                                    \
      "Replaced records kept because a borrower has them: leaked loans show here.")        \
    X(reclaimed, "warp_reclaimed_total", counter,                                          \
      "Replaced records and tables given back.")                                           \
    X(growths, "warp_table_growths_total", counter, "Tables of slots replaced by bigger.") \
    X(leases, "warp_lease_runs_total", counter,                                            \
      "Blocking writes run by their own caller.")                                          \
    X(mails, "warp_mailbox_sends_total", counter,                                          \
      "Blocking writes sent through a mailbox.")                                           \
    X(messages, "warp_mailbox_messages_total", counter, "Messages run out of mailboxes.")  \
    X(stalls, "warp_mailbox_stalls_total", counter, "Messages that waited for log room.")  \
    X(turns, "warp_shard_turns_total", counter, "Turns of the shards' own threads.")       \
    X(durable_waits, "warp_durable_waits_total", counter,                                  \
      "Calls that waited for the mark.")                                                   \
    X(log_tail, "warp_log_tail_bytes", counter, "Bytes of log ever reserved.")             \
    X(log_durable, "warp_log_durable_bytes", counter, "Bytes of log known to be durable.") \
    X(log_allocated, "warp_log_allocated_bytes", gauge, "Bytes of log files on disk.")     \
    X(log_held, "warp_log_held_segments", gauge,                                           \
      "Log files that are no longer replayed and kept for the values in them.")            \
    X(log_flushes, "warp_log_flushes_total", counter, "Writes of the log to disk.")        \
    X(log_flushes_led, "warp_log_flushes_led_total", counter,                              \
      "Of these, made by a thread that waited for them.")                                  \
    X(log_flush_bytes, "warp_log_flush_bytes_total", counter, "Bytes these writes had.")   \
    X(log_pad_bytes, "warp_log_pad_bytes_total", counter,                                  \
      "Log lost to filling up blocks.")                                                    \
    X(log_syncs, "warp_log_syncs_total", counter,                                          \
      "Syncs of the log beside durable writes.")                                           \
    X(log_waits, "warp_log_waits_total", counter,                                          \
      "Sleeps of threads waiting for the mark.")                                           \
    X(log_room_waits, "warp_log_room_waits_total", counter,                                \
      "Sleeps for room in the buffer.")                                                    \
    X(log_segments, "warp_log_segments_made_total", counter, "Log files made or reused.")  \
    X(log_enospc, "warp_log_enospc_total", counter, "Tries for disk space that failed.")   \
    X(log_failed, "warp_log_failed", gauge,                                                \
      "1: the log has failed, the database reads only.")                                   \
    X(checkpoints, "warp_checkpoints_total", counter, "Checkpoints made.")                 \
    X(checkpoint_failures, "warp_checkpoint_failures_total", counter,                      \
      "Checkpoints that had to be given up.")                                              \
    X(checkpoint_number, "warp_checkpoint_number", gauge,                                  \
      "Number of the newest checkpoint, 0: there is none.")                                \
    X(checkpoint_begin, "warp_checkpoint_begin_bytes", gauge,                              \
      "Position of the log from which it would be replayed.")                              \
    X(checkpoint_records, "warp_checkpoint_records", gauge,                                \
      "Records in the newest checkpoint.")                                                 \
    X(checkpoint_bytes, "warp_checkpoint_bytes", gauge, "Bytes of the newest checkpoint.") \
    X(checkpoint_log, "warp_checkpoint_log_bytes", gauge,                                  \
      "Log that an open would replay: all behind the begin of the newest checkpoint.")     \
    X(background_pressure, "warp_background_pressure", gauge,                              \
      "How hard a checkpoint or a compaction is needed, 0 to 3.")                          \
    X(write_waits, "warp_write_waits_total", counter,                                      \
      "Writes that were held up because checkpoints or compaction lag behind.")            \
    X(background_steps, "warp_background_steps_total", counter,                            \
      "Steps of work that nobody waits for.")                                              \
    X(compact_runs, "warp_compaction_runs_total", counter,                                 \
      "Compactions that came to their end.")                                               \
    X(compact_failures, "warp_compaction_failures_total", counter,                         \
      "Compactions given up: no space, no memory, I/O errors.")                            \
    X(compact_records, "warp_compaction_records_total", counter,                           \
      "Records moved into archives.")                                                      \
    X(compact_raw_bytes, "warp_compaction_raw_bytes_total", counter,                       \
      "Bytes put into archives, before compression.")                                      \
    X(compact_stored_bytes, "warp_compaction_stored_bytes_total", counter,                 \
      "Bytes of archives written.")                                                        \
    X(compact_removed, "warp_compaction_files_removed_total", counter,                     \
      "Old log files and archives given back.")                                            \
    X(warm_values, "warp_warm_values_total", counter,                                      \
      "Values that were in memory before the last open and were read back after it.")      \
    X(warm_bytes, "warp_warm_bytes_total", counter, "Memory that these took.")             \
    X(warm_left, "warp_warm_left_total", counter,                                          \
      "Values that were not: no room, or somebody had read or written them before.")       \
    X(warm_remaining, "warp_warm_remaining", gauge,                                        \
      "Values that are still to be read back; 0: the warm-up is done.")                    \
    X(warm_reads, "warp_warm_reads_total", counter,                                        \
      "Reads of the disk for it, each for many values.")                                   \
    X(warm_lone_reads, "warp_warm_lone_reads_total", counter,                              \
      "Reads of the disk for it that had to be for one value.")                            \
    X(warm_read_bytes, "warp_warm_read_bytes_total", counter,                              \
      "Bytes the disk was asked for by it.")                                               \
    X(disk_bytes, "warp_disk_bytes", gauge,                                                \
      "Log and archives, as of the last look for something to compact.")                   \
    X(disk_live_bytes, "warp_disk_live_bytes", gauge, "What of it was alive.")             \
    X(disk_live_raw_bytes, "warp_disk_live_raw_bytes", gauge,                              \
      "The same before it was compressed.")                                                \
    X(recovery_records, "warp_recovery_records", gauge,                                    \
      "Records after the replay at open.")                                                 \
    X(recovery_operations, "warp_recovery_operations", gauge,                              \
      "Operations replayed at open.")                                                      \
    X(recovery_cut_bytes, "warp_recovery_cut_bytes", gauge,                                \
      "Unfinished tail cut at open.")                                                      \
    X(fencing_epoch, "warp_fencing_epoch", gauge, "How often it was opened for writing.")

/* And, from histograms: warp_log_flush_seconds, warp_log_sync_seconds, warp_disk_read_seconds
 * (summaries); in seconds: warp_recovery_seconds, warp_uptime_seconds, warp_checkpoint_seconds,
 * warp_checkpoint_age_seconds (only when there is a checkpoint), warp_background_seconds_total,
 * warp_write_wait_seconds_total; and
 * warp_build_info. */

struct warp_engine_totals {
#define WARP_ENGINE_METRIC_FIELD(field, name, kind, help) uint64_t field;
    WARP_ENGINE_METRICS(WARP_ENGINE_METRIC_FIELD)
#undef WARP_ENGINE_METRIC_FIELD
    /* Not integers in the text. */
    uint64_t checkpoint_ns, checkpoint_made_ms, background_ns, write_wait_ns;
};

void warp_metrics_collect(struct warp *db, struct warp_engine_totals *totals);
int warp_metrics_write(struct warp *db, char *buffer, size_t capacity, size_t *bytes);

#endif
