/*
 * tools/options.h - what every subcommand shares: its options, its database, its last
 * words.
 *
 * A command calls warp_tool_init(), takes its own options from warp_tool_next(), opens with
 * warp_tool_open() and ends with the exit code that warp_tool_close() gives back:
 *
 *   0 done    1 absent, or a check or condition failed    2 wrong usage    3 error
 *
 * Threads:   the command's main thread; getopt_long keeps its state for the process.
 * Lifetime:  the struct is the caller's and must outlive the database opened with it.
 * Units:     --memory-bytes takes K, M, G and T as powers of 1,024.
 * Ordering:  options and arguments may be mixed; "--" ends the options.
 * Errors:    functions that answer with an exit code have printed the sentence to stderr.
 * Cost:      not on any hot path.
 */
#ifndef WARP_TOOLS_OPTIONS_H
#define WARP_TOOLS_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "warp/warp.h"

enum warp_tool_exit {
    WARP_TOOL_DONE = 0,
    WARP_TOOL_ABSENT = 1,
    WARP_TOOL_USAGE = 2,
    WARP_TOOL_ERROR = 3,
};

struct warp_tool {
    const char *name; /* "put" */
    const char *help; /* what --help prints, up to the common options */
    const char *path;
    bool json;
    struct warp_options options;
    bool progress_shown;
    int exit_code; /* set when warp_tool_next() answers < 0 */
    char message[1024];
};

void warp_tool_init(struct warp_tool *tool, const char *name, const char *help);

/*
 * The next of the command's own options: its code (1 - 999), with optarg set. The common
 * ones are taken on the way. 0: there are no more, argv[optind] is the first argument. < 0:
 * end with tool->exit_code (--help was printed, or a usage error).
 */
int warp_tool_next(struct warp_tool *tool, int argc, char **argv, const struct option *own);

/* Print "warp NAME: sentence" and answer WARP_TOOL_USAGE or WARP_TOOL_ERROR. */
int warp_tool_usage(const struct warp_tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int warp_tool_error(const struct warp_tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* As error, for a call on db that answered rc < 0; names the cause if the log has
 * failed. what stands before the sentence and may be NULL. */
int warp_tool_failed(const struct warp_tool *tool, struct warp *db, const char *what,
                     int rc);

/*
 * Open the database at tool->path. flags is or-ed into what --read-only says. 0, or an exit
 * code. On a terminal a long replay shows how far it is.
 */
int warp_tool_open(struct warp_tool *tool, uint32_t flags, struct warp **db);
/* The same without the sentence: 0, or what warp_open() answered, which refused can then print. */
int warp_tool_try(struct warp_tool *tool, uint32_t flags, struct warp **db);
int warp_tool_refused(const struct warp_tool *tool, int rc);
/* Close and flush stdout; answers exit_code, or WARP_TOOL_ERROR if either fails. */
int warp_tool_close(struct warp_tool *tool, struct warp **db, int exit_code);

/* A key from the command line; with hex it is decoded in place. 0 or WARP_TOOL_USAGE. */
int warp_tool_key(const struct warp_tool *tool, char *text, bool hex,
                  struct warp_slice *key);

/* Options of commands that write: use the macro in the table, the function in the loop. */
enum {
    WARP_TOOL_TTL_MS = 900,
    WARP_TOOL_IF_ABSENT = 901,
    WARP_TOOL_IF_PRESENT = 902,
    WARP_TOOL_IF_SEQUENCE = 903,
    WARP_TOOL_IF_VALUE = 904,
};
#define WARP_TOOL_CONDITION_OPTIONS                                                        \
    {"if-present", no_argument, NULL, WARP_TOOL_IF_PRESENT},                               \
        {"if-sequence", required_argument, NULL, WARP_TOOL_IF_SEQUENCE},                   \
    {                                                                                      \
        "if-value", required_argument, NULL, WARP_TOOL_IF_VALUE                            \
    }
#define WARP_TOOL_WRITE_OPTIONS                                                            \
    {"ttl-ms", required_argument, NULL, WARP_TOOL_TTL_MS},                                 \
        {"if-absent", no_argument, NULL, WARP_TOOL_IF_ABSENT}, WARP_TOOL_CONDITION_OPTIONS
/* 0 taken, -1 not one of these, else an exit code. */
int warp_tool_write_option(const struct warp_tool *tool, int code, struct warp_write *how);

#endif
