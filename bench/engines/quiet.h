/*
 * bench/engines/quiet.h - waits until this process does nothing any more.
 *
 * Some peers cannot be asked whether their background work has ended. Each has a process of its own
 * here, so when the process uses no CPU time, it has.
 *
 * Threads:   the main one, while nothing else of the driver's works.
 * Lifetime:  none.
 * Units:     none.
 * Ordering:  none.
 * Errors:    none: after three minutes it gives up waiting.
 * Cost:      at least 0.2 s.
 */
#ifndef BENCH_ENGINES_QUIET_H
#define BENCH_ENGINES_QUIET_H

void bench_quiet_wait(void);

#endif
