/*
 * base/ck.h - Concurrency Kit as the thread sanitizer can see it.
 *
 * libck's primitives are inline assembly, which the sanitizer does not understand: it
 * reports races that are none. In a sanitized build this header takes the place of ck_pr.h
 * and says the same in compiler builtins, a little too strictly: every load acquires, every
 * store releases, every read-modify-write is sequentially consistent. In all other builds
 * it adds nothing.
 *
 * Threads:   as libck.
 * Lifetime:  none.
 * Units:     none.
 * Ordering:  at least libck's own. A fence is for the compiler only here: the sanitizer
 *            judges synchronisation, not fences, and runs on the machine's own (x86) order.
 * Errors:    none.
 * Cost:      none in release builds.
 *
 * Included by base/ring.c and base/epoch.c alone, before any other header of libck.
 */
#ifndef BASE_CK_H
#define BASE_CK_H

#if defined(__SANITIZE_THREAD__)
#define WARP_CK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WARP_CK_SANITIZED 1
#endif
#endif
#ifndef WARP_CK_SANITIZED
#define WARP_CK_SANITIZED 0
#endif

#if WARP_CK_SANITIZED

#define CK_PR_H /* ck_pr.h finds itself included already */

#include <ck_cc.h>
#include <ck_limits.h>
#include <ck_md.h>
#include <ck_stdbool.h>
#include <ck_stdint.h>

#define CK_BUILTIN_FENCE(name)                                                             \
    static inline void ck_pr_fence_##name(void)                                            \
    {                                                                                      \
        __atomic_signal_fence(__ATOMIC_SEQ_CST);                                           \
    }
CK_BUILTIN_FENCE(load)
CK_BUILTIN_FENCE(store)
CK_BUILTIN_FENCE(memory)
CK_BUILTIN_FENCE(release)
CK_BUILTIN_FENCE(acquire)
CK_BUILTIN_FENCE(atomic_load)
CK_BUILTIN_FENCE(store_atomic)
#undef CK_BUILTIN_FENCE

static inline void ck_pr_stall(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline unsigned int ck_pr_load_uint(const unsigned int *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static inline void ck_pr_store_uint(unsigned int *to, unsigned int value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static inline unsigned int ck_pr_fas_uint(unsigned int *to, unsigned int value)
{
    return __atomic_exchange_n(to, value, __ATOMIC_SEQ_CST);
}

static inline void ck_pr_inc_uint(unsigned int *to)
{
    __atomic_fetch_add(to, 1u, __ATOMIC_SEQ_CST);
}

static inline bool ck_pr_cas_uint(unsigned int *to, unsigned int expected,
                                  unsigned int value)
{
    return __atomic_compare_exchange_n(to, &expected, value, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static inline bool ck_pr_cas_uint_value(unsigned int *to, unsigned int expected,
                                        unsigned int value, unsigned int *seen)
{
    bool done = __atomic_compare_exchange_n(to, &expected, value, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST);

    *seen = expected;
    return done;
}

static inline void *ck_pr_load_ptr(const void *from)
{
    return __atomic_load_n((void *const *)from, __ATOMIC_ACQUIRE);
}

static inline void ck_pr_store_ptr(void *to, const void *value)
{
    __atomic_store_n((const void **)to, value, __ATOMIC_RELEASE);
}

static inline void *ck_pr_fas_ptr(void *to, void *value)
{
    return __atomic_exchange_n((void **)to, value, __ATOMIC_SEQ_CST);
}

static inline bool ck_pr_cas_ptr(void *to, void *expected, void *value)
{
    return __atomic_compare_exchange_n((void **)to, &expected, value, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline bool ck_pr_cas_ptr_value(void *to, void *expected, void *value, void *seen)
{
    bool done = __atomic_compare_exchange_n((void **)to, &expected, value, false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);

    *(void **)seen = expected;
    return done;
}

#endif

#endif
