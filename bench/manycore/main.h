/*
 * bench/manycore/main.h - `warp bench gravity` and `warp bench hotspot-shift`: many shards, played.
 *
 * Threads:   the process's main thread.
 * Lifetime:  nothing outlives the call, but the file of --plot.
 * Units:     none.
 * Ordering:  none.
 * Errors:    0 done, 2 usage, 3 an error.
 * Cost:      gravity some minutes with its usual numbers, hotspot-shift half of one.
 */
#ifndef BENCH_MANYCORE_MAIN_H
#define BENCH_MANYCORE_MAIN_H

/* argv[0] is the name of the command. */
int manycore_gravity_main(int argc, char **argv);
int manycore_hotspot_main(int argc, char **argv);

#endif
