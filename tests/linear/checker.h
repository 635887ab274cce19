/*
 * tests/linear/checker.h - decides whether the history of one key is linearizable.
 *
 * A depth-first search for one order of the operations that respects real time and explains
 * every answer, with the (set done, state) pairs seen before remembered: Wing and Gong,
 * JPDC 17, 1993, with Lowe's memory, CCPE 29(4), 2017. The answers are known beforehand,
 * which cuts the search in two exact ways: an operation that changes nothing is done as
 * soon as it fits, and a state that some operation still has to see, and that can never
 * come back, is not left. Sequences only say which write to try first; they are not
 * believed.
 *
 * Threads:   one at a time; no state between calls.
 * Lifetime:  the operations are the caller's and are sorted in place.
 * Units:     nanoseconds of one clock.
 * Ordering:  none.
 * Errors:    LINEAR_UNDECIDED when the search took too many steps.
 * Cost:      about linear in the operations when the history is right.
 */
#ifndef TESTS_LINEAR_CHECKER_H
#define TESTS_LINEAR_CHECKER_H

#include <stdint.h>
#include <stdio.h>

/* Values are numbers; a key that is absent has this one. */
#define LINEAR_ABSENT INT64_MIN

enum linear_require {
    LINEAR_ANY,    /* it may happen in every state */
    LINEAR_IS,     /* only if the key has this value (or is absent) */
    LINEAR_IS_NOT, /* only if it has not */
};

enum linear_effect { LINEAR_READS, LINEAR_SETS };

/* An operation with its answer, reduced to what it says about the state. */
struct linear_operation {
    uint64_t begin_ns, end_ns;
    enum linear_require require;
    enum linear_effect effect;
    int64_t required, set; /* set may be LINEAR_ABSENT: a delete */
    uint64_t sequence;     /* of the write, 0 if not known: a hint */
    uint64_t id;           /* for previous, and for the report */
    uint64_t previous;     /* id of one that must come before it; 0: none */
    const char *name;
};

enum linear_verdict { LINEAR_RIGHT, LINEAR_WRONG, LINEAR_UNDECIDED };

/* The key is absent at first. Why it is wrong goes to report, which may be NULL. */
enum linear_verdict linear_check(struct linear_operation *operations, uint32_t count,
                                 FILE *report);

#endif
