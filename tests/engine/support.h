/*
 * tests/engine/support.h - what the black-box test programs share: dice, bytes that can be
 * recognised, clocks, flags, a scratch directory, and an alarm against hanging.
 *
 * Threads:   every function by any thread, but for support_limit(), which is called once.
 * Lifetime:  a directory from support_directory() is removed by support_remove().
 * Units:     nanoseconds and milliseconds as the names say.
 * Ordering:  none.
 * Errors:    a test that cannot even set up its world says so and exits with 2.
 * Cost:      about a nanosecond per 8 bytes filled or compared.
 */
#ifndef TESTS_ENGINE_SUPPORT_H
#define TESTS_ENGINE_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "warp/warp.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SUPPORT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SUPPORT_SANITIZED 1
#endif
#endif
#ifndef SUPPORT_SANITIZED
#define SUPPORT_SANITIZED 0
#endif

#define SUPPORT_PATH_BYTES 512

/* ---- dice: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) ------------------------------ */

struct support_random {
    uint64_t state;
};

static inline uint64_t support_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t support_random_next(struct support_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    return support_mix(random->state);
}

static inline uint64_t support_random_below(struct support_random *random, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)support_random_next(random) * limit) >> 64);
}

/* From low to high, both included. */
static inline uint64_t support_random_between(struct support_random *random, uint64_t low,
                                              uint64_t high)
{
    return low + support_random_below(random, high - low + 1);
}

static inline bool support_random_chance(struct support_random *random, uint64_t one_in)
{
    return support_random_below(random, one_in) == 0;
}

/* ---- bytes that can be recognised ---------------------------------------------------- */

/* Fill `out` with the bytes that belong to seed. The first byte is never ASCII. */
static inline void support_fill(void *out, size_t bytes, uint64_t seed)
{
    uint8_t *to = (uint8_t *)out;
    uint64_t word;
    size_t at;

    for (at = 0; at + 8 <= bytes; at += 8) {
        word = support_mix(seed + at);
        memcpy(to + at, &word, 8);
    }
    if (at < bytes) {
        word = support_mix(seed + at);
        memcpy(to + at, &word, bytes - at);
    }
    if (bytes > 0) {
        to[0] |= 0x80;
    }
}

static inline bool support_matches(const void *data, size_t bytes, uint64_t seed)
{
    const uint8_t *from = (const uint8_t *)data;
    uint8_t expected[8];
    uint64_t word;
    size_t at, part;

    for (at = 0; at < bytes; at += 8) {
        word = support_mix(seed + at);
        memcpy(expected, &word, 8);
        if (at == 0) {
            expected[0] |= 0x80;
        }
        part = bytes - at < 8 ? bytes - at : 8;
        if (memcmp(from + at, expected, part) != 0) {
            return false;
        }
    }
    return true;
}

static inline struct warp_slice support_slice(const void *data, size_t bytes)
{
    struct warp_slice slice = {data, bytes};

    return slice;
}

static inline struct warp_slice support_text(const char *text)
{
    return support_slice(text, strlen(text));
}

/* ---- clocks -------------------------------------------------------------------------- */

static inline uint64_t support_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t support_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static inline void support_sleep_ns(uint64_t ns)
{
    struct timespec rest = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

/* ---- ends ---------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2), noreturn)) static inline void
support_die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "cannot test: ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(2);
}

/* What the alarm says; set with support_limit(). */
static char support_limit_text[256];

static inline void support_limit_passed(int number)
{
    (void)number;
    if (write(STDERR_FILENO, support_limit_text, strlen(support_limit_text)) < 0) {
        _exit(4);
    }
    _exit(3);
}

/* End the program with 3 and a message if it still runs after so many seconds. */
static inline void support_limit(unsigned seconds, const char *program, uint64_t seed)
{
    struct sigaction action;

    snprintf(support_limit_text, sizeof(support_limit_text),
             "%s: still running after %u s: something hangs (seed %" PRIu64 ")\n"
             "0 passed, 1 failed\n",
             program, seconds, seed);
    memset(&action, 0, sizeof(action));
    action.sa_handler = support_limit_passed;
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}

/* ---- flags --------------------------------------------------------------------------- */

static inline const char *support_flag_text(int count, char **words, const char *flag,
                                            const char *otherwise)
{
    int i;

    for (i = 1; i + 1 < count; i++) {
        if (strcmp(words[i], flag) == 0) {
            return words[i + 1];
        }
    }
    return otherwise;
}

static inline uint64_t support_flag(int count, char **words, const char *flag,
                                    uint64_t otherwise)
{
    const char *text = support_flag_text(count, words, flag, NULL);
    char *end;
    uint64_t value;

    if (text == NULL) {
        return otherwise;
    }
    value = strtoull(text, &end, 0);
    if (*text == '\0' || *end != '\0') {
        support_die("%s wants a number, not '%s'", flag, text);
    }
    return value;
}

static inline bool support_flag_given(int count, char **words, const char *flag)
{
    int i;

    for (i = 1; i < count; i++) {
        if (strcmp(words[i], flag) == 0) {
            return true;
        }
    }
    return false;
}

/* A misspelt flag must not pass silently. with_value ends with NULL, so does alone. */
static inline void support_flags_known(int count, char **words,
                                       const char *const *with_value,
                                       const char *const *alone)
{
    bool known;
    int i, k;

    for (i = 1; i < count; i++) {
        known = false;
        for (k = 0; with_value[k] != NULL; k++) {
            if (strcmp(words[i], with_value[k]) == 0 && i + 1 < count) {
                known = true;
                i++;
                break;
            }
        }
        for (k = 0; !known && alone[k] != NULL; k++) {
            known = strcmp(words[i], alone[k]) == 0;
        }
        if (!known) {
            fprintf(stderr, "%s: unknown flag %s; known:", words[0], words[i]);
            for (k = 0; with_value[k] != NULL; k++) {
                fprintf(stderr, " %s X", with_value[k]);
            }
            for (k = 0; alone[k] != NULL; k++) {
                fprintf(stderr, " %s", alone[k]);
            }
            fputc('\n', stderr);
            exit(2);
        }
    }
}

/* ---- a scratch directory ------------------------------------------------------------- */

static inline int support_remove_one(const char *path, const struct stat *status, int kind,
                                     struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void support_remove(const char *path)
{
    if (nftw(path, support_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 &&
        errno != ENOENT) {
        support_die("cannot remove %s: %s", path, strerror(errno));
    }
}

/* Make an empty directory below TMPDIR or /tmp; its path goes to out. */
static inline void support_directory(char out[SUPPORT_PATH_BYTES], const char *name)
{
    const char *base = getenv("TMPDIR");

    snprintf(out, SUPPORT_PATH_BYTES, "%s/warp-%s-XXXXXX",
             base != NULL && *base != '\0' ? base : "/tmp", name);
    if (mkdtemp(out) == NULL) {
        support_die("cannot make %s: %s", out, strerror(errno));
    }
}

static inline uint64_t support_cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

#endif
