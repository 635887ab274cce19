/* `warp get`: one value to standard output. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp get [OPTION]... KEY\n"
    "\n"
    "Print the value of KEY, byte for byte. The database is opened without changing it.\n"
    "\n"
    "  --hex                  print the value as hexadecimal digits\n"
    "  --key-hex              KEY is given as hexadecimal digits\n"
    "\n"
    "A newline is added only on a terminal and with --hex. With --json the value is the "
    "string\n"
    "\"value\", or \"value_base64\" if it is not UTF-8. Exit status 1: there is no such "
    "key.\n";

enum { OPTION_HEX = 1, OPTION_KEY_HEX = 2 };

static void print_json(struct warp_slice key, const struct warp_value *value)
{
    fputc('{', stdout);
    warp_text_write_json_member(stdout, "key", key.data, key.bytes);
    fputs(",\"found\":true,", stdout);
    warp_text_write_json_member(stdout, "value", value->data, value->bytes);
    printf(",\"sequence\":%" PRIu64, value->sequence);
    if (value->expires_at_ms != 0) {
        printf(",\"expires_at_ms\":%" PRIu64, value->expires_at_ms);
    }
    fputs("}\n", stdout);
}

static void print_raw(const struct warp_value *value)
{
    const char *text = value->data;

    if (value->bytes > 0) {
        fwrite(text, 1, value->bytes, stdout);
    }
    if (isatty(STDOUT_FILENO) && (value->bytes == 0 || text[value->bytes - 1] != '\n')) {
        fputc('\n', stdout);
    }
}

int warp_tool_get(int argc, char **argv)
{
    static const struct option own[] = {
        {"hex", no_argument, NULL, OPTION_HEX},
        {"key-hex", no_argument, NULL, OPTION_KEY_HEX},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct warp_value value = WARP_VALUE_INIT;
    struct warp_slice key;
    struct warp *db = NULL;
    bool hex = false;
    bool key_hex = false;
    int exit_code;
    int code;
    int rc;

    warp_tool_init(&tool, "get", help);
    while ((code = warp_tool_next(&tool, argc, argv, own)) > 0) {
        hex = hex || code == OPTION_HEX;
        key_hex = key_hex || code == OPTION_KEY_HEX;
    }
    if (code < 0) {
        return tool.exit_code;
    }
    if (argc - optind != 1) {
        return warp_tool_usage(&tool, "one KEY is needed");
    }
    if (hex && tool.json) {
        return warp_tool_usage(&tool, "--hex and --json are two ways of printing");
    }
    rc = warp_tool_key(&tool, argv[optind], key_hex, &key);
    if (rc != 0) {
        return rc;
    }
    exit_code = warp_tool_open(&tool, WARP_READ_ONLY | WARP_MUST_EXIST, &db);
    if (exit_code != 0) {
        return exit_code;
    }
    rc = warp_borrow(db, key, &value);
    if (rc < 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else if (rc == WARP_ABSENT) {
        exit_code = WARP_TOOL_ABSENT;
        if (tool.json) {
            fputc('{', stdout);
            warp_text_write_json_member(stdout, "key", key.data, key.bytes);
            fputs(",\"found\":false}\n", stdout);
        } else {
            fputs("warp get: there is no such key\n", stderr);
        }
    } else if (rc != 0) {
        exit_code = warp_tool_error(&tool, "%s", warp_error_text(rc));
    } else if (tool.json) {
        print_json(key, &value);
    } else if (hex) {
        warp_text_write_hex(stdout, value.data, value.bytes);
        fputc('\n', stdout);
    } else {
        print_raw(&value);
    }
    warp_return(&value);
    return warp_tool_close(&tool, &db, exit_code);
}
