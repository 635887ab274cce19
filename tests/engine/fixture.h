/*
 * tests/engine/fixture.h - an open database for a test, and what is said when it does not
 * open.
 *
 * Threads:   the test's own.
 * Lifetime:  what fixture_open() opened is closed by the test with warp_close().
 * Units:     none.
 * Ordering:  none.
 * Errors:    fixture_open() fails the test; with --verbose on the command line every message
 *            of a refused open is printed.
 * Cost:      none.
 */
#ifndef TESTS_ENGINE_FIXTURE_H
#define TESTS_ENGINE_FIXTURE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/engine/support.h"
#include "tests/lib/test.h"

static inline bool fixture_verbose(void)
{
    char words[4096];
    int file = open("/proc/self/cmdline", O_RDONLY);
    ssize_t bytes = file < 0 ? 0 : read(file, words, sizeof(words) - 1), at;
    bool found = false;

    if (file >= 0) {
        close(file);
    }
    for (at = 0; at < bytes && !found; at += (ssize_t)strlen(words + at) + 1) {
        words[bytes] = '\0';
        found = strcmp(words + at, "--verbose") == 0;
    }
    return found;
}

/* Small files and no waiting: what most tests want. */
static inline struct warp_options fixture_options(void)
{
    struct warp_options options = WARP_OPTIONS_INIT;

    options.durability = WARP_INTERVAL;
    options.segment_bytes = 1 << 20;
    options.shard_count = 2;
    return options;
}

/* Open with these options; what it says goes to message, of 512 bytes. */
static inline int fixture_try(const char *path, const struct warp_options *options,
                              struct warp **db, char message[512])
{
    struct warp_options with = *options;
    int rc;

    message[0] = '\0';
    with.message = message;
    with.message_bytes = 512;
    rc = warp_open(path, &with, db);
    if (rc != 0 && fixture_verbose()) {
        printf("    %d, %s: %s\n", rc, warp_error_text(rc), message);
    }
    return rc;
}

static inline struct warp *fixture_open(const char *path,
                                        const struct warp_options *options)
{
    struct warp *db = NULL;
    char message[512];
    int rc = fixture_try(path, options, &db, message);

    if (rc != 0) {
        test_fail(__FILE__, __LINE__, "open %s: %d (%s): %s", path, rc, warp_error_text(rc),
                  message);
        return NULL;
    }
    return db;
}

static inline int fixture_put(struct warp *db, const char *key, const char *value)
{
    return warp_put(db, support_text(key), support_text(value), NULL, NULL);
}

/* The value as text, or "(absent)", or "(error)". */
static inline const char *fixture_get(struct warp *db, const char *key, char out[256])
{
    size_t bytes = 0;
    int rc = warp_get(db, support_text(key), out, 255, &bytes, NULL);

    if (rc != 0) {
        snprintf(out, 256, "%s", rc == WARP_ABSENT ? "(absent)" : "(error)");
        return out;
    }
    out[bytes] = '\0';
    return out;
}

/* The value of one metric, summed over its labels; -1: there is none. */
static inline double fixture_metric(struct warp *db, const char *name)
{
    size_t capacity = 1 << 20, bytes = 0, length = strlen(name);
    char *text = (char *)malloc(capacity), *line, *rest = NULL;
    double sum = 0;
    bool found = false;

    if (text == NULL || warp_metrics_render(db, text, capacity, &bytes) != 0) {
        free(text);
        return -1;
    }
    for (line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, name, length) == 0 &&
            (line[length] == ' ' || line[length] == '{')) {
            sum += strtod(strrchr(line, ' ') + 1, NULL);
            found = true;
        }
    }
    free(text);
    return found ? sum : -1;
}

/* Whether the metric has this value within two seconds. */
static inline bool fixture_metric_reaches(struct warp *db, const char *name, double value)
{
    uint64_t until_ns = support_now_ns() + 2000000000u;
    double now;

    do {
        now = fixture_metric(db, name);
        if (now <= value && now >= value) {
            return true;
        }
        support_sleep_ns(2000000);
    } while (support_now_ns() < until_ns);
    fprintf(stderr, "    %s is %.0f, not %.0f\n", name, now, value);
    return false;
}

#endif
