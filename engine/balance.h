/*
 * engine/balance.h - spreads slots over shards once, because somebody asks for it.
 *
 * What the background does epoch by epoch from measured load (routing/rebalance) is done here in one
 * go from weights that are given, or from what the records of each slot take: with the same planner
 * (routing/gravity), on a copy of the map until nothing more falls, and then slot by slot by the same
 * mover (shards/move). Nothing is moved twice: only where a slot ends counts.
 *
 * Threads:   any that holds no lease; one at a time moves, who comes meanwhile tries again.
 * Lifetime:  everything ends with the call, but where slots are.
 * Units:     weights in any unit, the same for all; ratios of the mean of all shards.
 * Ordering:  none; bytes of slots are read shard by shard, each under its lease.
 * Errors:    as warp_balance() in include/warp/warp.h says.
 * Cost:      0.5 MiB while it runs; a plan of some 10,000 moves 30 ms; a move see shards/move.h.
 */
#ifndef ENGINE_BALANCE_H
#define ENGINE_BALANCE_H

#include "engine/engine.h"

int warp_engine_balance(struct warp *db, const struct warp_balance_options *options,
                        struct warp_balance_report *report);

#endif
