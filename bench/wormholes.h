/*
 * bench/wormholes.h - `warp bench wormholes`: what the ways past a shard's owner are worth.
 *
 * Threads:   the process's main thread, which makes others.
 * Lifetime:  nothing outlives the call; databases are made below --path and removed.
 * Units:     nanoseconds per operation, operations per second, ratios.
 * Ordering:  part after part.
 * Errors:    0 done, also when an aim is missed; 1 a value was wrong; 2 usage; 3 an error.
 * Cost:      three minutes with its usual numbers; the part "multiget" 5 GB of disk and memory.
 */
#ifndef BENCH_WORMHOLES_H
#define BENCH_WORMHOLES_H

/* argv[0] is the name of the command. */
int bench_wormholes_main(int argc, char **argv);

#endif
