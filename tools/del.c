/* `warp del`: removes a key. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "tools/options.h"

static const char help[] =
    "Usage: warp del [OPTION]... KEY\n"
    "\n"
    "Remove KEY.\n"
    "\n"
    "  --if-present           only if there is one\n"
    "  --if-sequence N        only if the last write of the key had this sequence\n"
    "  --if-value TEXT        only if the value is TEXT now\n"
    "  --key-hex              KEY is given as hexadecimal digits\n"
    "\n"
    "Exit status 1: there is no such key, or the condition did not hold.\n";

enum { OPTION_KEY_HEX = 1 };

int warp_tool_del(int argc, char **argv)
{
    static const struct option own[] = {
        WARP_TOOL_CONDITION_OPTIONS,
        {"key-hex", no_argument, NULL, OPTION_KEY_HEX},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_slice key;
    struct warp *db = NULL;
    uint64_t sequence = 0;
    bool key_hex = false;
    int exit_code;
    int code;
    int rc;

    warp_tool_init(&tool, "del", help);
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
    if (argc - optind != 1) {
        return warp_tool_usage(&tool, "one KEY is needed");
    }
    rc = warp_tool_key(&tool, argv[optind], key_hex, &key);
    if (rc != 0) {
        return rc;
    }
    exit_code = warp_tool_open(&tool, WARP_MUST_EXIST, &db);
    if (exit_code != 0) {
        return exit_code;
    }
    rc = warp_delete(db, key, &how, &sequence);
    if (rc < 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else if (rc == WARP_ABSENT || rc == WARP_CONFLICT) {
        exit_code = WARP_TOOL_ABSENT;
        if (tool.json) {
            puts("{\"deleted\":false}");
        } else {
            fprintf(stderr, "warp del: %s\n",
                    rc == WARP_ABSENT ? "there is no such key"
                                      : "the condition does not hold, nothing was removed");
        }
    } else if (rc != 0) {
        exit_code = warp_tool_error(&tool, "%s", warp_error_text(rc));
    } else if (tool.json) {
        printf("{\"deleted\":true,\"sequence\":%" PRIu64 "}\n", sequence);
    }
    return warp_tool_close(&tool, &db, exit_code);
}
