/*
 * base/process.h - which process this is, so that another one can tell whether it still lives.
 *
 * A number alone is used again: the time at which the process began tells two of the same number
 * apart, the boot id two lives of the machine, and the number of the pid namespace says whether the
 * number means anything to who looks.
 *
 * Threads:   any.
 * Lifetime:  plain values.
 * Units:     begun_ticks are clock ticks since the machine began, as /proc has them.
 * Ordering:  none.
 * Errors:    what /proc does not tell stays 0, and the answer is then WARP_PROCESS_UNKNOWN.
 * Cost:      a few system calls; for rare use.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdint.h>

struct warp_process {
    uint64_t pid;
    uint64_t begun_ticks;
    uint64_t pid_namespace;
    uint8_t boot_id[16];
};

enum warp_process_state {
    WARP_PROCESS_UNKNOWN, /* it is in another pid namespace, or /proc does not tell */
    WARP_PROCESS_GONE,
    WARP_PROCESS_RUNNING,
    WARP_PROCESS_STOPPED, /* by a signal or a debugger */
};

void warp_process_self(struct warp_process *self);
enum warp_process_state warp_process_look(const struct warp_process *process);

#endif
