/*
 * tests/sim/fiber.h - a stack of its own for each party, switched by hand.
 *
 * A fiber stands for a thread that sleeps: when the engine waits, it yields, and the
 * simulator decides who goes on. Coroutines as an idea are Conway's (CACM 6(7), 1963).
 *
 * Threads:   one; a fiber is resumed by the main stack only.
 * Lifetime:  create reserves the stack, destroy gives it back; a fiber's body never
 *            returns.
 * Units:     none.
 * Ordering:  resume returns when the fiber yields.
 * Errors:    out of memory aborts.
 * Cost:      a switch is some nanoseconds on x86-64, two system calls elsewhere.
 */
#ifndef TESTS_SIM_FIBER_H
#define TESTS_SIM_FIBER_H

struct fiber;

struct fiber *fiber_create(void (*body)(void *context), void *context);
void fiber_destroy(struct fiber **fiber);
/* From the main stack: run the fiber until it yields. */
void fiber_resume(struct fiber *fiber);
/* From the fiber: back to who resumed it. */
void fiber_yield(struct fiber *fiber);

#endif
