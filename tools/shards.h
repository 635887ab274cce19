/*
 * tools/shards.h - prints what each shard of a database has and does.
 *
 * How even that is, in three numbers: lambda (max / mean), evenness (entropy of the parts, of the
 * greatest there can be) and cov (standard deviation / mean), over the best that there is to compare:
 * the load that was measured, if gravity is on; else the writes that were carried out since the opening;
 * else the memory of the records.
 *
 * Threads:   the command's.
 * Lifetime:  nothing is kept.
 * Units:     load in shares of one processor's time.
 * Ordering:  shards by number.
 * Errors:    an exit code, see tools/options.h; a reading without shards is an error.
 * Cost:      linear in the shards.
 */
#ifndef WARP_TOOLS_SHARDS_H
#define WARP_TOOLS_SHARDS_H

#include "serve/source.h"
#include "tools/options.h"

/* view->reading is that of the database, of whichever process. */
int warp_tool_shards(const struct warp_tool *tool, const struct warp_source_view *view);

#endif
