/* `warp put`: one value from the command line, a file or standard input. */
#include "tools/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/lines.h"
#include "tools/options.h"

static const char help[] =
    "Usage: warp put [OPTION]... KEY VALUE\n"
    "       warp put [OPTION]... KEY -            the value from standard input\n"
    "       warp put [OPTION]... KEY --file FILE  the value from a file\n"
    "\n"
    "Write a value. It is on stable storage when the command ends, whatever the "
    "durability.\n"
    "\n"
    "  --file FILE            read the value from FILE, byte for byte\n"
    "  --ttl-ms N             let it expire after so many milliseconds\n"
    "  --if-absent            only if there is no such key\n"
    "  --if-present           only if there is one\n"
    "  --if-sequence N        only if the last write of the key had this sequence\n"
    "  --if-value TEXT        only if the value is TEXT now\n"
    "  --key-hex              KEY is given as hexadecimal digits\n"
    "\n"
    "Prints nothing, or with --json the sequence of the write. Exit status 1: the "
    "condition\n"
    "did not hold. A value of one dash is written with --file or with  printf - | warp put "
    "KEY -\n";

enum { OPTION_FILE = 1, OPTION_KEY_HEX = 2 };

/* All of a descriptor, up to one byte more than a value may have. 0 or an exit code. */
static int read_value(const struct warp_tool *tool, int fd, const char *name, char **out,
                      size_t *bytes)
{
    char *buffer = NULL;
    size_t capacity = 0;
    size_t used = 0;

    for (;;) {
        ssize_t got;

        if (warp_lines_reserve(&buffer, &capacity, used + 65536) < 0) {
            free(buffer);
            return warp_tool_error(tool, "%s", warp_error_text(WARP_ENOMEM));
        }
        got = read(fd, buffer + used, capacity - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            free(buffer);
            return warp_tool_error(tool, "reading %s: %s", name, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
        if (used > WARP_VALUE_BYTES_MAX) {
            free(buffer);
            return warp_tool_error(tool, "%s: %s", name, warp_error_text(WARP_EVALUE));
        }
    }
    *out = buffer;
    *bytes = used;
    return 0;
}

int warp_tool_put(int argc, char **argv)
{
    static const struct option own[] = {
        WARP_TOOL_WRITE_OPTIONS,
        {"file", required_argument, NULL, OPTION_FILE},
        {"key-hex", no_argument, NULL, OPTION_KEY_HEX},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_slice key;
    struct warp_slice value;
    struct warp *db = NULL;
    const char *file = NULL;
    char *buffer = NULL;
    bool key_hex = false;
    uint64_t sequence = 0;
    int exit_code;
    int code;
    int rc;

    warp_tool_init(&tool, "put", help);
    while ((code = warp_tool_next(&tool, argc, argv, own)) > 0) {
        if (code == OPTION_FILE) {
            file = optarg;
        } else if (code == OPTION_KEY_HEX) {
            key_hex = true;
        } else if ((rc = warp_tool_write_option(&tool, code, &how)) != 0) {
            return rc;
        }
    }
    if (code < 0) {
        return tool.exit_code;
    }
    if (argc - optind != (file != NULL ? 1 : 2)) {
        return warp_tool_usage(&tool, file != NULL ? "KEY is needed, and nothing else"
                                                   : "KEY and VALUE are needed");
    }
    rc = warp_tool_key(&tool, argv[optind], key_hex, &key);
    if (rc != 0) {
        return rc;
    }
    if (file != NULL) {
        int fd = open(file, O_RDONLY | O_CLOEXEC);

        if (fd < 0) {
            return warp_tool_error(&tool, "%s: %s", file, strerror(errno));
        }
        rc = read_value(&tool, fd, file, &buffer, &value.bytes);
        close(fd);
        value.data = buffer;
    } else if (strcmp(argv[optind + 1], "-") == 0) {
        rc = read_value(&tool, STDIN_FILENO, "standard input", &buffer, &value.bytes);
        value.data = buffer;
    } else {
        value = (struct warp_slice){argv[optind + 1], strlen(argv[optind + 1])};
    }
    if (rc != 0) {
        return rc;
    }
    exit_code = warp_tool_open(&tool, 0, &db);
    if (exit_code != 0) {
        goto done;
    }
    rc = warp_put(db, key, value, &how, &sequence);
    if (rc < 0) {
        exit_code = warp_tool_failed(&tool, db, NULL, rc);
    } else if (rc == WARP_CONFLICT) {
        if (tool.json) {
            puts("{\"written\":false}");
        } else {
            fputs("warp put: the condition does not hold, nothing was written\n", stderr);
        }
        exit_code = WARP_TOOL_ABSENT;
    } else if (rc != 0) {
        exit_code = warp_tool_error(&tool, "%s", warp_error_text(rc));
    } else if (tool.json) {
        printf("{\"written\":true,\"sequence\":%" PRIu64 "}\n", sequence);
    }
    exit_code = warp_tool_close(&tool, &db, exit_code);
done:
    free(buffer);
    return exit_code;
}
