/*
 * base/assert.h - says what cannot be otherwise, and ends the process when it is.
 *
 * Assertions stay on in release builds: a database that goes on after it has caught itself
 * in a contradiction writes the contradiction to disk.
 *
 * Threads:   any.
 * Lifetime:  nothing is kept.
 * Units:     none.
 * Ordering:  none.
 * Errors:    a broken assertion writes one line to standard error and calls abort().
 * Cost:      warp_assert one predictable branch; warp_assert_slow nothing in release
 *            builds.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Two lines on most machines we meet fetch each other, but 64 is what the caches own. */
#define WARP_CACHELINE 64

#define WARP_LIKELY(x)   __builtin_expect(!!(x), 1)
#define WARP_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Writes "file:line: assertion failed: text" and aborts; called by the macros only. */
_Noreturn void warp_assert_broken(const char *file, int line, const char *text)
    __attribute__((cold));

/* Always on. One condition, no side effect. */
#define warp_assert(condition)                                                             \
    do {                                                                                   \
        if (WARP_UNLIKELY(!(condition))) {                                                 \
            warp_assert_broken(__FILE__, __LINE__, #condition);                            \
        }                                                                                  \
    } while (0)

/* For what costs time: on with -DWARP_SLOW_ASSERTS. Compiled in every build, run in few. */
#ifdef WARP_SLOW_ASSERTS
#define warp_assert_slow(condition) warp_assert(condition)
#else
#define warp_assert_slow(condition)                                                        \
    do {                                                                                   \
        (void)sizeof((condition) ? 1 : 0);                                                 \
    } while (0)
#endif

/*
 * Planted bugs: a build with -DWARP_PLANT_<NAME>=1 contains the named bug, and the tests
 * must find it. `if (WARP_PLANTED(SKIP_CRC))` is a constant, so other builds carry none of
 * it.
 */
#ifndef WARP_PLANT_ACK_BEFORE_SYNC
#define WARP_PLANT_ACK_BEFORE_SYNC 0
#endif
#ifndef WARP_PLANT_SKIP_CRC
#define WARP_PLANT_SKIP_CRC 0
#endif
#ifndef WARP_PLANT_DROP_EPOCH
#define WARP_PLANT_DROP_EPOCH 0
#endif
#ifndef WARP_PLANT_SEAL_UNSYNCED
#define WARP_PLANT_SEAL_UNSYNCED 0
#endif
#ifndef WARP_PLANT_REMOVE_EARLY
#define WARP_PLANT_REMOVE_EARLY 0
#endif
#ifndef WARP_PLANT_INSTALL_BLIND
#define WARP_PLANT_INSTALL_BLIND 0
#endif
#ifndef WARP_PLANT_CHECKPOINT_EARLY
#define WARP_PLANT_CHECKPOINT_EARLY 0
#endif
#ifndef WARP_PLANT_MOVE_BLIND
#define WARP_PLANT_MOVE_BLIND 0
#endif
#ifndef WARP_PLANT_REPLAY_LATE
#define WARP_PLANT_REPLAY_LATE 0
#endif
#ifndef WARP_PLANT_EVICT_EARLY
#define WARP_PLANT_EVICT_EARLY 0
#endif
#ifndef WARP_PLANT_MASS_COUNTS
#define WARP_PLANT_MASS_COUNTS 0
#endif
#ifndef WARP_PLANT_GRAVITY_UPHILL
#define WARP_PLANT_GRAVITY_UPHILL 0
#endif
#ifndef WARP_PLANT_ENTROPY_CONSTANT
#define WARP_PLANT_ENTROPY_CONSTANT 0
#endif
#define WARP_PLANTED(name) (WARP_PLANT_##name != 0)

#endif
