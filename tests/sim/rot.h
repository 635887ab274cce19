/*
 * tests/sim/rot.h - changes one place of the medium and says what an honest engine must
 * notice.
 *
 * It reads the log's frames off the medium before the change, so it knows which marks
 * survive: a change below the highest surviving mark must be reported, one above it may be
 * cut off.
 *
 * Threads:   one.
 * Lifetime:  keeps nothing.
 * Units:     bytes, positions of log.
 * Ordering:  the database is closed.
 * Errors:    none.
 * Cost:      reads the whole log.
 */
#ifndef TESTS_SIM_ROT_H
#define TESTS_SIM_ROT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "tests/sim/sim_disk.h"

struct rot_result {
    char file[64];
    uint64_t offset;
    const char *what;
    bool must_report; /* the open must fail, unless it begins behind `damaged` */
    uint64_t damaged; /* position of the first frame that is; UINT64_MAX: none */
    uint64_t floor;   /* otherwise all of the log below it must be there */
};

void rot_choose(struct sim_disk *disk, struct warp_random *random, struct rot_result *out);

#endif
