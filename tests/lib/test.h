/*
 * tests/lib/test.h - a test is a sentence about behaviour.
 *
 * WARP_TEST(scan, torn_tail_is_dropped) { ... } defines a test and registers it; the runner
 * finds it by itself. A check that fails prints where and what, and the test goes on.
 *
 * Threads:   checks by any thread of the test; the rest by the test's own.
 * Lifetime:  directories from test_directory live until the test ends.
 * Units:     none.
 * Ordering:  tests run one after the other, in the order of file and line.
 * Errors:    a failed check fails the test; so does an abort, a crash or 120 s without an
 *            end.
 * Cost:      none.
 */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
    const char *module;
    const char *sentence;
    void (*run)(void);
    const char *file;
    int line;
    struct test_case *next;
};

void test_register(struct test_case *test);

#define WARP_TEST(module_, sentence_)                                                      \
    static void test_##module_##_##sentence_(void);                                        \
    __attribute__((constructor)) static void test_register_##module_##_##sentence_(void)   \
    {                                                                                      \
        static struct test_case test = {.module = #module_,                                \
                                        .sentence = #sentence_,                            \
                                        .run = test_##module_##_##sentence_,               \
                                        .file = __FILE__,                                  \
                                        .line = __LINE__,                                  \
                                        .next = NULL};                                     \
        test_register(&test);                                                              \
    }                                                                                      \
    static void test_##module_##_##sentence_(void)

/* Fails the running test with a line of text. */
void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says why the rest of the test cannot run here; it counts as passed. Return after it. */
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How many checks of the running test failed so far. */
unsigned test_failures(void);

/* A new empty directory, removed with all in it when the test ends. */
const char *test_directory(void);

/* WARP_TEST_SEED if it is set, else a constant: for everything random in a test. */
uint64_t test_seed(void);

bool test_compare_str(const char *file, int line, const char *text, const char *a,
                      const char *b);
bool test_compare_bytes(const char *file, int line, const char *text, const void *a,
                        size_t a_bytes, const void *b, size_t b_bytes);

/* All checks are expressions: true when they held. */
#define check(condition)                                                                   \
    __extension__({                                                                        \
        bool check_held_ = (condition);                                                    \
        if (!check_held_) {                                                                \
            test_fail(__FILE__, __LINE__, "%s", #condition);                               \
        }                                                                                  \
        check_held_;                                                                       \
    })

#define check_int(a, op, b)                                                                \
    __extension__({                                                                        \
        long long check_a_ = (long long)(a);                                               \
        long long check_b_ = (long long)(b);                                               \
        bool check_held_ = check_a_ op check_b_;                                           \
        if (!check_held_) {                                                                \
            test_fail(__FILE__, __LINE__, "%s %s %s: %lld, %lld", #a, #op, #b, check_a_,   \
                      check_b_);                                                           \
        }                                                                                  \
        check_held_;                                                                       \
    })

#define check_u64(a, op, b)                                                                \
    __extension__({                                                                        \
        unsigned long long check_a_ = (unsigned long long)(a);                             \
        unsigned long long check_b_ = (unsigned long long)(b);                             \
        bool check_held_ = check_a_ op check_b_;                                           \
        if (!check_held_) {                                                                \
            test_fail(__FILE__, __LINE__, "%s %s %s: %llu, %llu", #a, #op, #b, check_a_,   \
                      check_b_);                                                           \
        }                                                                                  \
        check_held_;                                                                       \
    })

#define check_str(a, b) test_compare_str(__FILE__, __LINE__, #a " is " #b, a, b)
#define check_bytes(a, a_bytes, b, b_bytes)                                                \
    test_compare_bytes(__FILE__, __LINE__, #a " is " #b, a, a_bytes, b, b_bytes)

#endif
