/*
 * observe/catalogue.h - every metric there is, declared once.
 *
 * Name, kind, unit, a sentence that says what it is, and one that says when to worry (or ""). The
 * structs that hold the values, the text for Prometheus, the file that other processes read,
 * docs/METRICS.md, warp-metrics(7), the checks of rules and dashboards, and the test that moves each
 * of them are made from these three tables. Metrics declared once, with prose, as an idea are
 * Varnish's .vsc files.
 *
 * Threads:   any; constants.
 * Lifetime:  static.
 * Units:     a value in "seconds" is held in nanoseconds, a "ratio" in millionths; what is a count says
 *            of what.
 * Ordering:  none.
 * Errors:    none.
 * Cost:      none.
 *
 * A row that is added needs an action in tests/engine/test_metrics.c, else that test fails.
 */
#ifndef OBSERVE_CATALOGUE_H
#define OBSERVE_CATALOGUE_H

#include <stdint.h>

/* X(field, name, kind, unit, help, worry): of the whole database. */
#define WARP_METRICS(X)                                                                    \
    X(records, "warp_records", gauge, "records",                                           \
      "Records, expired ones until the sweep has met them.", "")                           \
    X(record_bytes, "warp_record_bytes", gauge, "bytes",                                   \
      "Memory of records, in their size classes.", "")                                     \
    X(value_bytes, "warp_cache_bytes", gauge, "bytes",                                     \
      "Memory of records that have their value in it.",                                    \
      "Near 0 while warp_cold_records is not: keys and records have eaten the "            \
      "cache; give it more memory.")                                                       \
    X(cold_records, "warp_cold_records", gauge, "records",                                 \
      "Records whose value is on disk only.", "")                                          \
    X(cold_gets, "warp_cold_gets_total", counter, "operations",                            \
      "Keys read by blocking calls whose value was on disk only.",                         \
      "A growing share of warp_gets_total: the working set no longer fits into "           \
      "memory.")                                                                           \
    X(evictions, "warp_cache_evictions_total", counter, "records",                         \
      "Values that left memory.", "")                                                      \
    X(admissions, "warp_cache_admissions_total", counter, "records",                       \
      "Values read from disk and kept in memory.", "")                                     \
    X(promotions, "warp_cache_promotions_total", counter, "records",                       \
      "Values that moved from the small queue to the main one.", "")                       \
    X(ghost_hits, "warp_cache_ghost_hits_total", counter, "records",                       \
      "Values that came back soon after they had left.", "")                               \
    X(disk_reads, "warp_disk_reads_total", counter, "operations",                          \
      "Values read from disk.", "")                                                        \
    X(disk_read_bytes, "warp_disk_read_bytes_total", counter, "bytes",                     \
      "Bytes the disk was asked for to read them.", "")                                    \
    X(disk_read_errors, "warp_disk_read_errors_total", counter, "operations",              \
      "Values that could not be read: damage, I/O errors, no memory.",                     \
      "Above 0: damaged files or a failing disk; run warp verify.")                        \
    X(memory_bytes, "warp_memory_bytes", gauge, "bytes",                                   \
      "Memory held by the engine, all in.",                                                \
      "Near warp_memory_limit_bytes: values leave memory; with warp_cache_bytes "          \
      "near 0 as well, puts will be refused soon.")                                        \
    X(memory_limit_bytes, "warp_memory_limit_bytes", gauge, "bytes", "memory_bytes_max.",  \
      "")                                                                                  \
    X(shards, "warp_shards", gauge, "shards", "Shards.", "")                               \
    X(sessions, "warp_sessions", gauge, "sessions", "Sessions open.", "")                  \
    X(callers, "warp_caller_threads", gauge, "threads",                                    \
      "Threads that have called, at most at a time.", "")                                  \
    X(slot_moves, "warp_slot_moves_total", counter, "slots",                               \
      "Slots that were given to another shard.",                                           \
      "Goes on and on at an even load: gravity moves slots that come back.")               \
    X(slot_moves_busy, "warp_slot_moves_busy_total", counter, "attempts",                  \
      "Moves given up because a lease was busy or the slot was growing.", "")              \
    X(slot_moves_refused, "warp_slot_moves_refused_total", counter, "attempts",            \
      "Moves of what is no slot, or to what is no shard, or without memory.", "")          \
    X(slot_move_records, "warp_slot_move_records_total", counter, "records",               \
      "Records looked at for moves, twice each.", "")                                      \
    X(slot_forwards, "warp_slot_forwards_total", counter, "messages",                      \
      "Writes that met their slot's old shard and were sent on.", "")                      \
    X(slot_abroad_bytes, "warp_slot_abroad_bytes", gauge, "bytes",                         \
      "Memory of moved slots that is not yet in their shard's pool, as of its last look.", \
      "")                                                                                  \
    X(placement_lost, "warp_slot_placement_lost", gauge, "flag",                           \
      "1: which shard had which slot could not be read at open, so they were dealt anew.", \
      "")                                                                                  \
    X(gravity_epochs, "warp_gravity_epochs_total", counter, "epochs",                      \
      "Epochs in which the load of slots was measured; 0: gravity is off.", "")            \
    X(gravity_ns, "warp_gravity_seconds_total", counter, "seconds",                        \
      "Time spent on measuring load, planning and moving slots.", "")                      \
    X(load_lambda, "warp_load_lambda_ratio", gauge, "ratio",                               \
      "Load of the busiest shard, of the mean of all; 0: not measured.",                   \
      "Stays above 1.2: one slot has more load than a shard should have, or gravity "      \
      "is off.")                                                                           \
    X(load_evenness, "warp_load_evenness_ratio", gauge, "ratio",                           \
      "Entropy of the shards' loads, of the greatest there can be; 0: not measured.", "")  \
    X(load_variation, "warp_load_variation_ratio", gauge, "ratio",                         \
      "Standard deviation of the shards' loads, of their mean.", "")                       \
    X(gets, "warp_gets_total", counter, "operations", "Keys read by blocking calls.", "")  \
    X(get_hits, "warp_get_hits_total", counter, "operations",                              \
      "Keys read by blocking calls and found.", "")                                        \
    X(puts, "warp_puts_total", counter, "operations",                                      \
      "Puts carried out, those of batches included.", "")                                  \
    X(deletes, "warp_deletes_total", counter, "operations", "Deletes carried out.", "")    \
    X(adds, "warp_adds_total", counter, "operations", "Adds carried out.", "")             \
    X(batches, "warp_batches_total", counter, "operations", "Atomic batches committed.",   \
      "")                                                                                  \
    X(borrows, "warp_borrows_total", counter, "operations",                                \
      "Values lent by blocking calls.", "")                                                \
    X(conflicts, "warp_conflicts_total", counter, "operations",                            \
      "Writes whose condition did not hold.",                                              \
      "A large share of writes: callers race for the same keys.")                          \
    X(expired, "warp_expired_total", counter, "records",                                   \
      "Records removed by the expiry sweep.", "")                                          \
    X(expired_bytes, "warp_expired_bytes", gauge, "bytes",                                 \
      "Memory of records that have expired and were not swept yet: an estimate.",          \
      "A growing share of warp_record_bytes: the sweep does not keep up.")                 \
    X(sweeps, "warp_expiry_sweeps_total", counter, "slots",                                \
      "Slots swept for what has expired.", "")                                             \
    X(sweep_looks, "warp_expiry_looks_total", counter, "records",                          \
      "Records looked at by these sweeps.", "")                                            \
    X(retained_records, "warp_retained_records", gauge, "records",                         \
      "Replaced records kept because a borrower has them: leaked loans show here.",        \
      "Grows for ever: somebody borrows values and does not return them.")                 \
    X(reclaimed, "warp_reclaimed_total", counter, "records",                               \
      "Replaced records and tables given back.", "")                                       \
    X(growths, "warp_table_growths_total", counter, "tables",                              \
      "Tables of slots replaced by bigger.", "")                                           \
    X(leases, "warp_lease_runs_total", counter, "operations",                              \
      "Blocking writes run by their own caller.", "")                                      \
    X(mails, "warp_mailbox_sends_total", counter, "messages",                              \
      "Blocking writes sent through a mailbox.",                                           \
      "Near warp_lease_runs_total: writers meet on the same shards.")                      \
    X(lease_busy, "warp_lease_busy_total", counter, "operations",                          \
      "Blocking writes that found the lease of their shard taken.",                        \
      "A large share of writes: they meet on few shards; more shards would help, or "      \
      "gravity.")                                                                          \
    X(messages, "warp_mailbox_messages_total", counter, "messages",                        \
      "Messages run out of mailboxes.", "")                                                \
    X(stalls, "warp_mailbox_stalls_total", counter, "messages",                            \
      "Messages that waited for log room.",                                                \
      "Grows: the log has no room, the disk does not keep up.")                            \
    X(turns, "warp_shard_turns_total", counter, "turns",                                   \
      "Turns of the shards' own threads.", "")                                             \
    X(durable_waits, "warp_durable_waits_total", counter, "operations",                    \
      "Calls that waited for the mark.", "")                                               \
    X(log_tail, "warp_log_tail_bytes", gauge, "bytes", "Bytes of log ever reserved.", "")  \
    X(log_durable, "warp_log_durable_bytes", gauge, "bytes",                               \
      "Bytes of log known to be durable.",                                                 \
      "Stays far below warp_log_tail_bytes: the disk does not keep up.")                   \
    X(log_allocated, "warp_log_allocated_bytes", gauge, "bytes",                           \
      "Bytes of log files on disk.", "")                                                   \
    X(log_held, "warp_log_held_segments", gauge, "files",                                  \
      "Log files that are no longer replayed and kept for the values in them.",            \
      "Grows for ever: compaction is off or fails.")                                       \
    X(log_flushes, "warp_log_flushes_total", counter, "operations",                        \
      "Writes of the log to disk.", "")                                                    \
    X(log_flushes_led, "warp_log_flushes_led_total", counter, "operations",                \
      "Of these, made by a thread that waited for them.", "")                              \
    X(log_flush_bytes, "warp_log_flush_bytes_total", counter, "bytes",                     \
      "Bytes these writes had.", "")                                                       \
    X(log_pad_bytes, "warp_log_pad_bytes_total", counter, "bytes",                         \
      "Log lost to filling up blocks.", "")                                                \
    X(log_syncs, "warp_log_syncs_total", counter, "operations",                            \
      "Syncs of the log beside durable writes.", "")                                       \
    X(log_waits, "warp_log_waits_total", counter, "operations",                            \
      "Sleeps of threads waiting for the mark.", "")                                       \
    X(log_room_waits, "warp_log_room_waits_total", counter, "operations",                  \
      "Sleeps for room in the buffer.",                                                    \
      "Grows steadily: writers outrun the disk, or log_buffer_bytes is small.")            \
    X(log_segments, "warp_log_segments_made_total", counter, "files",                      \
      "Log files made or reused.", "")                                                     \
    X(log_enospc, "warp_log_enospc_total", counter, "operations",                          \
      "Tries for disk space that failed.", "Grows: the disk is full, writes are refused.") \
    X(log_failed, "warp_log_failed", gauge, "flag",                                        \
      "1: the log has failed, the database reads only.",                                   \
      "1: nothing is written any more. Look at the disk, close, open.")                    \
    X(checkpoints, "warp_checkpoints_total", counter, "checkpoints", "Checkpoints made.",  \
      "")                                                                                  \
    X(checkpoint_failures, "warp_checkpoint_failures_total", counter, "checkpoints",       \
      "Checkpoints that had to be given up.",                                              \
      "Grows: no space, no memory or I/O errors; the next open takes longer and "          \
      "longer.")                                                                           \
    X(checkpoint_number, "warp_checkpoint_number", gauge, "number",                        \
      "Number of the newest checkpoint, 0: there is none.", "")                            \
    X(checkpoint_ns, "warp_checkpoint_seconds", gauge, "seconds",                          \
      "How long the last checkpoint took, 0: none since the open.", "")                    \
    X(checkpoint_age_ns, "warp_checkpoint_age_seconds", gauge, "seconds",                  \
      "Since the newest checkpoint was made; only when there is one.", "")                 \
    X(checkpoint_begin, "warp_checkpoint_begin_bytes", gauge, "bytes",                     \
      "Position of the log from which it would be replayed.", "")                          \
    X(checkpoint_records, "warp_checkpoint_records", gauge, "records",                     \
      "Records in the newest checkpoint.", "")                                             \
    X(checkpoint_bytes, "warp_checkpoint_bytes", gauge, "bytes",                           \
      "Bytes of the newest checkpoint.", "")                                               \
    X(checkpoint_log, "warp_checkpoint_log_bytes", gauge, "bytes",                         \
      "Log that an open would replay: all behind the begin of the newest "                 \
      "checkpoint.",                                                                       \
      "Above warp_checkpoint_log_limit_bytes: the next open takes longer than "            \
      "recovery_ms_max.")                                                                  \
    X(checkpoint_log_limit, "warp_checkpoint_log_limit_bytes", gauge, "bytes",             \
      "Log that recovery_ms_max allows to be replayed; checkpoints are made at half "      \
      "of it.",                                                                            \
      "")                                                                                  \
    X(background_pressure, "warp_background_pressure", gauge, "level",                     \
      "How hard a checkpoint or a compaction is needed, 0 to 3.",                          \
      "Stays at 2 or more: checkpoints or compaction do not keep up; at 3 writes "         \
      "are held up.")                                                                      \
    X(write_waits, "warp_write_waits_total", counter, "operations",                        \
      "Writes that were held up because checkpoints or compaction lag behind.",            \
      "Grows: writes are being slowed down; see warp_background_pressure.")                \
    X(write_wait_ns, "warp_write_wait_seconds_total", counter, "seconds",                  \
      "Time for which writes were held up so.", "")                                        \
    X(background_steps, "warp_background_steps_total", counter, "steps",                   \
      "Steps of work that nobody waits for.", "")                                          \
    X(background_ns, "warp_background_seconds_total", counter, "seconds",                  \
      "Time spent on work that nobody waits for.",                                         \
      "Grows by one second a second: the background has no time to spare.")                \
    X(compact_runs, "warp_compaction_runs_total", counter, "runs",                         \
      "Compactions that came to their end.", "")                                           \
    X(compact_failures, "warp_compaction_failures_total", counter, "runs",                 \
      "Compactions given up: no space, no memory, I/O errors.",                            \
      "Grows: dead data on disk is not given back.")                                       \
    X(compact_records, "warp_compaction_records_total", counter, "records",                \
      "Records moved into archives.", "")                                                  \
    X(compact_raw_bytes, "warp_compaction_raw_bytes_total", counter, "bytes",              \
      "Bytes put into archives, before compression.", "")                                  \
    X(compact_stored_bytes, "warp_compaction_stored_bytes_total", counter, "bytes",        \
      "Bytes of archives written.", "")                                                    \
    X(compact_removed, "warp_compaction_files_removed_total", counter, "files",            \
      "Old log files and archives given back.", "")                                        \
    X(warm_values, "warp_warm_values_total", counter, "records",                           \
      "Values that were in memory before the last open and were read back after it.", "")  \
    X(warm_bytes, "warp_warm_bytes_total", counter, "bytes", "Memory that these took.",    \
      "")                                                                                  \
    X(warm_left, "warp_warm_left_total", counter, "records",                               \
      "Values that were not: no room, or somebody had read or written them before.", "")   \
    X(warm_remaining, "warp_warm_remaining", gauge, "records",                             \
      "Values that are still to be read back; 0: the warm-up is done.",                    \
      "Stays the same above 0: the warm-up has no time; reads are slow until it is "       \
      "done.")                                                                             \
    X(warm_reads, "warp_warm_reads_total", counter, "operations",                          \
      "Reads of the disk for it, each for many values.", "")                               \
    X(warm_lone_reads, "warp_warm_lone_reads_total", counter, "operations",                \
      "Reads of the disk for it that had to be for one value.", "")                        \
    X(warm_read_bytes, "warp_warm_read_bytes_total", counter, "bytes",                     \
      "Bytes the disk was asked for by it.", "")                                           \
    X(prefetch_observations, "warp_prefetch_observations_total", counter, "operations",    \
      "Keys that were not in memory, or that had been fetched, and were learned from.",    \
      "")                                                                                  \
    X(prefetch_skipped, "warp_prefetch_skipped_total", counter, "operations",              \
      "Such keys that were not learned from: another thread was at it.", "")               \
    X(prefetch_issued, "warp_prefetch_issued_total", counter, "operations",                \
      "Values read from disk before they were asked for.", "")                             \
    X(prefetch_useful, "warp_prefetch_useful_total", counter, "operations",                \
      "Of these, asked for when they were in memory.", "")                                 \
    X(prefetch_late, "warp_prefetch_late_total", counter, "operations",                    \
      "Of these, asked for while they were being read.",                                   \
      "Near warp_prefetch_useful_total: what is asked for next comes too soon to be "      \
      "fetched in time.")                                                                  \
    X(prefetch_wasted, "warp_prefetch_wasted_total", counter, "operations",                \
      "Of these, not asked for before they left memory, or not put into it.",              \
      "Much above warp_prefetch_useful_total for long: the device reads in vain.")         \
    X(prefetch_bytes, "warp_prefetch_bytes", gauge, "bytes",                               \
      "Memory of values that were fetched, or are being, and not asked for yet.", "")      \
    X(prefetch_table, "warp_prefetch_table_bytes", gauge, "bytes",                         \
      "Memory of what was learned; an eighth of what it was when that does not pay.", "")  \
    X(prefetch_starts, "warp_prefetch_starts_total", counter, "events",                    \
      "How often learning was found to pay.", "")                                          \
    X(prefetch_stops, "warp_prefetch_stops_total", counter, "events",                      \
      "How often it was found not to, and was left for a while.", "")                      \
    X(disk_bytes, "warp_disk_bytes", gauge, "bytes",                                       \
      "Log and archives, as of the last look for something to compact.",                   \
      "Much above warp_disk_live_bytes: compaction does not keep up.")                     \
    X(disk_live_bytes, "warp_disk_live_bytes", gauge, "bytes", "What of it was alive.",    \
      "")                                                                                  \
    X(disk_live_raw_bytes, "warp_disk_live_raw_bytes", gauge, "bytes",                     \
      "The same before it was compressed.", "")                                            \
    X(free_bytes, "warp_filesystem_free_bytes", gauge, "bytes",                            \
      "What the file system of the database has left for an ordinary user.",               \
      "Near 0: the log will find no space and writes will be refused. Free some, or "      \
      "compact.")                                                                          \
    X(recovery_records, "warp_recovery_records", gauge, "records",                         \
      "Records after the replay at open.", "")                                             \
    X(recovery_operations, "warp_recovery_operations", gauge, "operations",                \
      "Operations replayed at open.", "")                                                  \
    X(recovery_cut_bytes, "warp_recovery_cut_bytes", gauge, "bytes",                       \
      "Unfinished tail cut at open.",                                                      \
      "Above 0 after a shutdown that was thought to be orderly.")                          \
    X(recovery_next_ns, "warp_recovery_next_seconds", gauge, "seconds",                    \
      "How long the next opening would take, by how long openings take here.",             \
      "Far above recovery_ms_max: the next open takes that long.")                         \
    X(recovery_ns, "warp_recovery_seconds", gauge, "seconds",                              \
      "How long the replay at open took.",                                                 \
      "Above recovery_ms_max: checkpoints were late, or the disk is slow.")                \
    X(publishes, "warp_metrics_publishes_total", counter, "snapshots",                     \
      "Snapshots written into the file METRICS, for other processes.", "")                 \
    X(publish_errors, "warp_metrics_publish_errors_total", counter, "snapshots",           \
      "Snapshots that could not be written, and tries to make the file that failed.",      \
      "Grows: exporters see old values or none; the disk is full or fails.")               \
    X(slow_calls, "warp_slow_calls_total", counter, "operations",                          \
      "Blocking calls that took options.slow_ns or longer; 0: nobody asked.",              \
      "Grows: see /debug/slow, or warp top, for what they waited for.")                    \
    X(fencing_epoch, "warp_fencing_epoch", gauge, "number",                                \
      "How often it was opened for writing.", "")                                          \
    X(uptime_ns, "warp_uptime_seconds", gauge, "seconds",                                  \
      "Since the database was opened.", "")

/* The same, of each shard: exported on request only. */
#define WARP_SHARD_METRICS(X)                                                              \
    X(records, "warp_shard_records", gauge, "records", "Records of the shard.", "")        \
    X(record_bytes, "warp_shard_record_bytes", gauge, "bytes", "Memory of its records.",   \
      "Much more in one shard than in the others: few keys or one tag have most of "       \
      "the data.")                                                                         \
    X(cache_bytes, "warp_shard_cache_bytes", gauge, "bytes",                               \
      "Memory of its records that have their value in it.", "")                            \
    X(cold_records, "warp_shard_cold_records", gauge, "records",                           \
      "Its records whose value is on disk only.", "")                                      \
    X(puts, "warp_shard_puts_total", counter, "operations", "Puts it carried out.",        \
      "Much more in one shard than in the others: hot keys.")                              \
    X(deletes, "warp_shard_deletes_total", counter, "operations",                          \
      "Deletes it carried out.", "")                                                       \
    X(adds, "warp_shard_adds_total", counter, "operations", "Adds it carried out.", "")    \
    X(conflicts, "warp_shard_conflicts_total", counter, "operations",                      \
      "Writes to it whose condition did not hold.", "")                                    \
    X(messages, "warp_shard_messages_total", counter, "messages",                          \
      "Messages run out of its mailbox.", "")                                              \
    X(stalls, "warp_shard_stalls_total", counter, "messages",                              \
      "Messages to it that waited for log room.", "")                                      \
    X(turns, "warp_shard_thread_turns_total", counter, "turns",                            \
      "Turns of its own thread.", "")                                                      \
    X(evictions, "warp_shard_evictions_total", counter, "records",                         \
      "Values that left its memory.", "")                                                  \
    X(admissions, "warp_shard_admissions_total", counter, "records",                       \
      "Values read from disk and kept in its memory.", "")                                 \
    X(slots, "warp_shard_slots", gauge, "slots", "Slots that belong to it.", "")           \
    X(load, "warp_shard_load_ratio", gauge, "ratio",                                       \
      "Share of a processor's time that its slots took in the last epoch of gravity; 0: "  \
      "not measured.",                                                                     \
      "Much more in one shard than in the others, and it stays: see "                      \
      "warp_load_lambda_ratio.")

/* X(field, name, help, worry): how long things took, in seconds. */
#define WARP_HISTOGRAM_METRICS(X)                                                          \
    X(flush, "warp_log_flush_seconds", "Time of one write of the log.",                    \
      "The 0.99 quantile above what writers may wait: the disk is slow or shared.")        \
    X(sync, "warp_log_sync_seconds", "Time of one sync of the log.",                       \
      "The 0.99 quantile above sync_interval_ms: the disk does not keep up.")              \
    X(read, "warp_disk_read_seconds", "Time of one value read from disk.",                 \
      "The 0.99 quantile far above the median: the disk is busy with something "           \
      "else.")                                                                             \
    X(get, "warp_get_seconds",                                                             \
      "Time of one blocking get or borrow, from a sample that stands for all of them.",    \
      "The 0.99 quantile near that of warp_disk_read_seconds: the working set no longer "  \
      "fits into memory.")                                                                 \
    X(write, "warp_write_seconds",                                                         \
      "Time of one blocking put, delete or add until it was as durable as asked for, "     \
      "from a sample that stands for all of them.",                                        \
      "The 0.99 quantile far above that of warp_log_flush_seconds: writers wait for each " \
      "other, for room in the log, or are held up; see warp_write_waits_total and "        \
      "warp_log_room_waits_total.")

/* X(field, name, kind, unit, help, worry): what an exporter says about each database it watches ... */
#define WARP_WATCH_METRICS(X)                                                              \
    X(up, "warp_up", gauge, "flag", "1: a process has the database open and publishes.",   \
      "0: it is not open, or its process is stopped, dead or stuck; see "                  \
      "warp_database_state.")                                                              \
    X(ready, "warp_ready", gauge, "flag",                                                  \
      "1: up, recovered, the log works and writes are not held up: what /-/ready says.",   \
      "0 for longer than an opening takes.")                                               \
    X(age, "warp_snapshot_age_seconds", gauge, "seconds",                                  \
      "How old the values are that are exported.",                                         \
      "Above a few seconds: its process is stopped, or does not get to run.")

/* ... and about itself. */
#define WARP_EXPORTER_METRICS(X)                                                           \
    X(scrapes, "warp_exporter_scrapes_total", counter, "scrapes",                          \
      "Answers to /metrics, this one included.", "")                                       \
    X(seconds, "warp_exporter_scrape_seconds", gauge, "seconds",                           \
      "How long it took to make this answer, up to this line.",                            \
      "Above a tenth of a second: too many databases, or a slow disk below METRICS.")      \
    X(samples, "warp_exporter_scrape_samples", gauge, "samples",                           \
      "Samples in this answer, up to this line.", "")                                      \
    X(bytes, "warp_exporter_scrape_bytes", gauge, "bytes",                                 \
      "Length of the answer before this one.", "")                                         \
    X(requests, "warp_exporter_requests_total", counter, "requests",                       \
      "Requests of all kinds that were answered.", "")                                     \
    X(refused, "warp_exporter_requests_refused_total", counter, "requests",                \
      "Of these, with a status of 400 or more, but for /-/ready.",                         \
      "Grows: somebody asks for what there is not.")                                       \
    X(connections, "warp_exporter_connections", gauge, "connections", "Connections now.",  \
      "")                                                                                  \
    X(evicted, "warp_exporter_connections_evicted_total", counter, "connections",          \
      "Connections closed because there were too many: those that had waited longest.",    \
      "Grows: a client opens connections and does not use them.")                          \
    X(streams, "warp_exporter_streams", gauge, "connections",                              \
      "Of the connections, those that follow /events: consoles that somebody has open.",   \
      "")                                                                                  \
    X(dropped, "warp_exporter_streams_dropped_total", counter, "connections",              \
      "Of these, closed because the client took nothing.", "")

enum warp_catalogue_kind {
    WARP_CATALOGUE_COUNTER = 1, /* only grows while the database is open */
    WARP_CATALOGUE_GAUGE = 2,
    WARP_CATALOGUE_HISTOGRAM = 3,
};

/* A value that there is not (yet): no sample is made of it. */
#define WARP_CATALOGUE_NONE UINT64_MAX

#define WARP_CATALOGUE_FIELD(field, name, kind, unit, help, worry) uint64_t field;

/* One value each, of the whole database ... */
struct warp_catalogue_values {
    WARP_METRICS(WARP_CATALOGUE_FIELD)
};

/* ... and of one shard. */
struct warp_catalogue_shard {
    WARP_SHARD_METRICS(WARP_CATALOGUE_FIELD)
};

#define WARP_CATALOGUE_ONE(...) +1
enum {
    WARP_CATALOGUE_VALUES = 0 WARP_METRICS(WARP_CATALOGUE_ONE),
    WARP_CATALOGUE_SHARD_VALUES = 0 WARP_SHARD_METRICS(WARP_CATALOGUE_ONE),
    WARP_CATALOGUE_HISTOGRAMS = 0 WARP_HISTOGRAM_METRICS(WARP_CATALOGUE_ONE),
};

#endif
