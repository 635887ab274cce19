/*
 * base/thread.h - threads that can sleep cheaply until a word changes.
 *
 * Threads:   start and join by the creator; park and wake by any; a warp_spin belongs to
 *            one thread at a time.
 * Lifetime:  a thread is created by start and given back by join, which waits for its end.
 * Units:     nanoseconds; UINT64_MAX means for ever.
 * Ordering:  none of park's own beyond the futex call: who waits re-reads the word with
 *            acquire, who wakes stored it with release (or seq_cst, where a sleeper's flag
 *            is read afterwards) before. What a thread's creator did is visible to its
 *            main, what main did is visible after join.
 * Errors:    start: -errno (-EAGAIN: too many threads, -ENOMEM). park: 1 when time is up.
 * Cost:      park and wake one system call each, about 1 us, and a wake-up of 5 to 50 us.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

struct warp_thread;

/*
 * Run main(context) on a new thread, called `name` (cut to 15 bytes) in the system's tools,
 * on CPU `cpu` only unless it is -1 (a CPU it may not use is ignored). *thread must be
 * NULL.
 */
int warp_thread_start(struct warp_thread **thread, struct warp_memory *memory,
                      const char *name, int cpu_or_minus_1, void (*main)(void *),
                      void *context);

/* CPU time of the calling thread. A system call of 0.2 - 1 us. */
uint64_t warp_thread_cpu_ns(void);

/*
 * The calling thread's work can wait: when it wakes up it takes no CPU from a thread that is running
 * (SCHED_BATCH; its share stays the same). Where the system refuses, nothing changes.
 */
void warp_thread_be_patient(void);

/* Wait for its end and give it back; sets *thread to NULL. NULL inside is nothing to do. */
void warp_thread_join(struct warp_thread **thread);

/* How many CPUs this process may use at a time: affinity and the cgroup's quota. At least
 * 1. */
uint32_t warp_thread_cpus(void);

/* The nth (from 0) CPU of this process's affinity, or -1: what to give to start. */
int warp_thread_cpu_at(uint32_t index);

static inline void warp_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Let somebody else run on this CPU. */
void warp_thread_yield(void);

/*
 * Sleep while *word == expected, at most timeout_ns; bits say which wakes count
 * (0xffffffff: any; never 0). Returns 0 when woken or the word had changed or for no reason
 * at all, 1 when the time is up: the caller looks at its word again in either case.
 */
int warp_park(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns,
              uint32_t bits);

/* Wake at most `count` of those parked on word with a common bit; returns how many. */
uint32_t warp_wake(_Atomic uint32_t *word, uint32_t count, uint32_t bits);

/*
 * How long to spin before sleeping, learnt: the budget doubles when spinning paid (what was
 * waited for came in time) and is halved when it did not, between 1/16 of the maximum and
 * the maximum. On one CPU it is always 0, for what is waited for cannot happen meanwhile.
 *
 *     round = 0;
 *     while (!ready && warp_spin_once(&spin, &round)) {}
 *     warp_spin_result(&spin, ready);
 */
struct warp_spin {
    uint32_t budget_ns;
    uint32_t budget_ns_max;
    uint64_t started_ns; /* of the wait that is on */
};

/* max_us 0: never spin. */
void warp_spin_init(struct warp_spin *spin, uint32_t max_us);

/* One short pause; false when the budget of this wait is used up. *round is 0 at its
 * start. */
bool warp_spin_once(struct warp_spin *spin, uint32_t *round);

/* Did it come while spinning? Adapts the next budget. */
void warp_spin_result(struct warp_spin *spin, bool paid);

#endif
