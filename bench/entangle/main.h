/*
 * bench/entangle/main.h - `warp bench entangle`: what fetching ahead is worth, and what it costs.
 *
 * Threads:   the process's main thread.
 * Lifetime:  nothing outlives the call: the database is made and taken away.
 * Units:     none.
 * Ordering:  none.
 * Errors:    0 done, 1 a value was wrong, 2 usage, 3 an error.
 * Cost:      a device read for each miss; with its usual numbers about a minute.
 */
#ifndef BENCH_ENTANGLE_MAIN_H
#define BENCH_ENTANGLE_MAIN_H

/* argv[0] is the name of the command. */
int entangle_bench_main(int argc, char **argv);

#endif
