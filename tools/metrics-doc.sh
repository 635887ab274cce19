#!/bin/sh
# Prints docs/METRICS.md from the table in engine/metrics.h: `make docs` writes it, `make check`
# compares.
set -eu
cd "$(dirname "$0")/.."

cat <<'EOT'
# Metrics

What `warp_metrics_render()` and `warp stat` say, in Prometheus text format 0.0.4. This page is made
from the table in [engine/metrics.h](../engine/metrics.h) by `make docs`; a test
(`tests/engine/test_metrics.c`) moves every one of them.

| name | kind | what it says |
|---|---|---|
EOT
printf '#include "engine/metrics.h"\n#define ROW(f, n, k, h) @row n k h\nWARP_ENGINE_METRICS(ROW)\n' |
    ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -I. -Iinclude -E -P -x c - |
    sed 's/@row /\n@row /g' |
    sed -n 's/^@row "\([a-z_]*\)" \([a-z]*\) "\(.*\)"[[:space:]]*$/| `\1` | \2 | \3 |/p' |
    sed 's/" "//g'
cat <<'EOT'
| `warp_recovery_seconds` | gauge | How long the replay at open took. |
| `warp_recovery_next_seconds` | gauge | How long the next one would take, by how long openings take here. |
| `warp_uptime_seconds` | gauge | Since the database was opened. |
| `warp_build_info` | gauge | The engine's version and its way to the disk, as labels. |
| `warp_log_flush_seconds` | summary | Time of one write of the log. |
| `warp_log_sync_seconds` | summary | Time of one sync of the log. |
| `warp_disk_read_seconds` | summary | Time of one value read from disk. |
| `warp_checkpoint_seconds` | gauge | How long the last checkpoint took, 0: none since the open. |
| `warp_checkpoint_age_seconds` | gauge | Since the newest checkpoint was made; only when there is one. |
| `warp_background_seconds_total` | counter | Time spent on work that nobody waits for. |

What to look at first:

- `warp_log_failed` 1: the log has failed, nothing is written any more. Look at the disk, close, open.
- `warp_log_enospc_total` grows: the disk is full, writes are refused.
- `warp_log_tail_bytes - warp_log_durable_bytes` stays high: the disk does not keep up.
- `warp_retained_records` grows for ever: somebody borrows values and does not return them.
- `warp_mailbox_sends_total` near `warp_lease_runs_total`: writers meet on the same shards.
- `warp_memory_bytes` near `warp_memory_limit_bytes`: values leave memory; when `warp_cache_bytes` is
  near 0 too, puts will be refused soon.
- `warp_checkpoint_failures_total` grows, or `warp_background_pressure` stays at 3: checkpoints do not
  keep up with the log, and the next open takes longer than `recovery_ms_max`.
- `warp_checkpoint_log_bytes`: what that open would replay; `warp_recovery_next_seconds`: how long it
  would take.
EOT
