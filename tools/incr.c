/* `warp incr`: adds to a decimal number. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp incr [OPTION]... KEY [DELTA]\n"
    "\n"
    "Add DELTA (default 1, may be negative) to the decimal number at KEY and print the "
    "sum.\n"
    "A key that is absent counts as 0.\n"
    "\n"
    "  --ttl-ms N             let it expire after so many milliseconds\n"
    "  --if-absent            only if there is no such key\n"
    "  --if-present           only if there is one\n"
    "  --if-sequence N        only if the last write of the key had this sequence\n"
    "  --if-value TEXT        only if the value is TEXT now\n"
    "  --key-hex              KEY is given as hexadecimal digits\n"
    "\n"
    "Exit status 1: the condition did not hold.\n";

enum { OPTION_KEY_HEX = 1 };

/*
 * A negative DELTA looks like an option. No option begins with a digit, so the last
 * argument is taken off before getopt sees it; NULL if it is not one.
 */
static char *take_negative(int *argc, char **argv)
{
    char *last;
    int64_t number;

    if (*argc < 3) {
        return NULL;
    }
    last = argv[*argc - 1];
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            return NULL;
        }
    }
    if (last[0] != '-' || !warp_text_read_i64(last, &number)) {
        return NULL;
    }
    *argc -= 1;
    return last;
}

int warp_tool_incr(int argc, char **argv)
{
    static const struct option own[] = {
        WARP_TOOL_WRITE_OPTIONS,
        {"key-hex", no_argument, NULL, OPTION_KEY_HEX},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_slice key;
    struct warp *db = NULL;
    char *negative = take_negative(&argc, argv);
    const char *delta_text = negative;
    int64_t delta = 1;
    int64_t result = 0;
    bool key_hex = false;
    int exit_code;
    int count;
    int code;
    int rc;

    warp_tool_init(&tool, "incr", help);
    while ((code = warp_tool_next(&tool, argc, argv, own)) > 0) {
        if (code == OPTION_KEY_HEX) {
            key_hex = true;
        } else if ((rc = warp_tool_write_option(&tool, code, &how)) != 0) {
            return rc;
        }
    }
    if (code < 0) {
        return tool.exit_code;
    }
    count = argc - optind;
    if (count < 1 || count > (negative != NULL ? 1 : 2)) {
        return warp_tool_usage(&tool, "KEY is needed, and at most one DELTA");
    }
    if (count == 2) {
        delta_text = argv[optind + 1];
    }
    if (delta_text != NULL && !warp_text_read_i64(delta_text, &delta)) {
        return warp_tool_usage(&tool, "DELTA is a 64-bit number, not '%s'", delta_text);
    }
    rc = warp_tool_key(&tool, argv[optind], key_hex, &key);
    if (rc != 0) {
        return rc;
    }
    exit_code = warp_tool_open(&tool, 0, &db);
    if (exit_code != 0) {
        return exit_code;
    }
    rc = warp_add(db, key, delta, &how, &result);
    if (rc < 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else if (rc == WARP_CONFLICT) {
        exit_code = WARP_TOOL_ABSENT;
        if (tool.json) {
            puts("{\"written\":false}");
        } else {
            fputs("warp incr: the condition does not hold, nothing was written\n", stderr);
        }
    } else if (rc != 0) {
        exit_code = warp_tool_error(&tool, "%s", warp_error_text(rc));
    } else if (tool.json) {
        printf("{\"written\":true,\"number\":%" PRId64 "}\n", result);
    } else {
        printf("%" PRId64 "\n", result);
    }
    return warp_tool_close(&tool, &db, exit_code);
}
