/*
 * bench/main.h - `warp bench`, the subcommand.
 *
 * Threads:   the process's main thread, before it has made others (it forks).
 * Lifetime:  nothing outlives the call, but what --json, --hgrm and --keep leave on disk.
 * Units:     none.
 * Ordering:  none.
 * Errors:    0 done, 1 wrong data was read (or nothing to compare), 2 usage, 3 an error.
 * Cost:      as long as the flags say.
 */
#ifndef BENCH_MAIN_H
#define BENCH_MAIN_H

/* argv[0] is the name of the command. */
int warp_bench_main(int argc, char **argv);

#endif
