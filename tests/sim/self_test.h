/*
 * tests/sim/self_test.h - checks the simulated disk against the promises of its own header.
 *
 * Threads:   one.
 * Lifetime:  keeps nothing.
 * Units:     none.
 * Ordering:  none.
 * Errors:    returns 1 if a test failed; prints "N passed, N failed" at the end.
 * Cost:      some milliseconds.
 */
#ifndef TESTS_SIM_SELF_TEST_H
#define TESTS_SIM_SELF_TEST_H

int sim_self_test(void);

#endif
