/*
 * bench/manycore/live.h - `warp bench gravity --engine`: what gravity is worth in the engine, measured.
 *
 * Threads:   the process's main thread, which makes others.
 * Lifetime:  nothing outlives the call; databases are made below --path and removed.
 * Units:     operations per second, ns of processor time per operation, epochs of 100 ms.
 * Ordering:  part after part.
 * Errors:    0 done, also when an aim is missed; 2 usage; 3 an error.
 * Cost:      one and a half minutes with its usual numbers.
 */
#ifndef BENCH_MANYCORE_LIVE_H
#define BENCH_MANYCORE_LIVE_H

/* argv[0] is the name of the command, argv[1] is --engine. */
int manycore_live_main(int argc, char **argv);

#endif
