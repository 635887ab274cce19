#include "tools/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/text.h"

enum {
    OPTION_COUNT_MAX = 48,
    OPTION_HELP = 1000,
    OPTION_PATH,
    OPTION_JSON,
    OPTION_DURABILITY,
    OPTION_MEMORY_BYTES,
    OPTION_SEGMENT_BYTES,
    OPTION_SHARDS,
    OPTION_READ_ONLY,
    OPTION_SLOW,
    OPTION_HOT,
};

static const struct option common_options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"path", required_argument, NULL, OPTION_PATH},
    {"json", no_argument, NULL, OPTION_JSON},
    {"durability", required_argument, NULL, OPTION_DURABILITY},
    {"memory-bytes", required_argument, NULL, OPTION_MEMORY_BYTES},
    {"segment-bytes", required_argument, NULL, OPTION_SEGMENT_BYTES},
    {"shards", required_argument, NULL, OPTION_SHARDS},
    {"read-only", no_argument, NULL, OPTION_READ_ONLY},
    {"slow-us", required_argument, NULL, OPTION_SLOW},
    {"hot-keys", no_argument, NULL, OPTION_HOT},
};

static const char common_help[] =
    "\n"
    "Options of every command:\n"
    "  --path DIR             the database (default ./warp-data)\n"
    "  --json                 print JSON\n"
    "  --durability LEVEL     memory, interval or commit (default commit)\n"
    "  --memory-bytes N       memory the engine may use, with K, M, G or T\n"
    "  --segment-bytes N      size of a log file, a power of two from 1M to 1G; only when "
    "the\n"
    "                         database is made (default 64M)\n"
    "  --shards N             number of shards (default one per CPU)\n"
    "  --read-only            change nothing on disk\n"
    "  --slow-us N            keep calls that take so many microseconds, for warp top\n"
    "  --hot-keys             estimate which keys are asked for most, for warp top\n"
    "  --help                 this text\n"
    "\n"
    "Exit status: 0 done, 1 absent or a check failed, 2 wrong usage, 3 error.\n";

void warp_tool_init(struct warp_tool *tool, const char *name, const char *help)
{
    static const struct warp_options defaults = WARP_OPTIONS_INIT;

    memset(tool, 0, sizeof(*tool));
    tool->name = name;
    tool->help = help;
    tool->path = "./warp-data";
    tool->options = defaults;
    opterr = 0;
    optind = 0; /* glibc: begin anew */
}

static void print_sentence(const struct warp_tool *tool, const char *format,
                           va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "warp %s: ", tool->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int warp_tool_usage(const struct warp_tool *tool, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_sentence(tool, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try 'warp %s --help'.\n", tool->name);
    return WARP_TOOL_USAGE;
}

int warp_tool_error(const struct warp_tool *tool, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_sentence(tool, format, arguments);
    va_end(arguments);
    return WARP_TOOL_ERROR;
}

int warp_tool_failed(const struct warp_tool *tool, struct warp *db, const char *what,
                     int rc)
{
    const char *colon = what != NULL ? ": " : "";
    char cause[512];

    what = what != NULL ? what : "";
    if (rc == WARP_EFAILED && warp_failure(db, cause, sizeof(cause)) != 0) {
        return warp_tool_error(tool, "%s%s%s: %s", what, colon, warp_error_text(rc), cause);
    }
    return warp_tool_error(tool, "%s%s%s", what, colon, warp_error_text(rc));
}

/* One of the common options. 0, or an exit code. */
static int common_option(struct warp_tool *tool, int code)
{
    uint64_t number;

    switch (code) {
    case OPTION_PATH:
        if (optarg[0] == '\0') {
            return warp_tool_usage(tool, "--path needs a directory");
        }
        tool->path = optarg;
        return 0;
    case OPTION_HOT:
        tool->options.hot_keys = 1;
        return 0;
    case OPTION_SLOW:
        if (!warp_text_read_u64(optarg, &number) || number < 1 || number > 3600000000u) {
            return warp_tool_usage(tool, "--slow-us is a number from 1 to 3600000000");
        }
        tool->options.slow_ns = number * 1000;
        return 0;
    case OPTION_JSON:
        tool->json = true;
        return 0;
    case OPTION_DURABILITY:
        if (strcmp(optarg, "memory") == 0) {
            tool->options.durability = WARP_MEMORY;
        } else if (strcmp(optarg, "interval") == 0) {
            tool->options.durability = WARP_INTERVAL;
        } else if (strcmp(optarg, "commit") == 0) {
            tool->options.durability = WARP_COMMIT;
        } else {
            return warp_tool_usage(
                tool, "--durability is memory, interval or commit, not '%s'", optarg);
        }
        return 0;
    case OPTION_MEMORY_BYTES:
        if (!warp_text_read_size(optarg, &number)) {
            return warp_tool_usage(tool, "--memory-bytes is not a number of bytes: '%s'",
                                   optarg);
        }
        tool->options.memory_bytes_max = number;
        return 0;
    case OPTION_SEGMENT_BYTES:
        if (!warp_text_read_size(optarg, &number) || number > UINT32_MAX) {
            return warp_tool_usage(tool, "--segment-bytes is not a number of bytes: '%s'",
                                   optarg);
        }
        tool->options.segment_bytes = (uint32_t)number;
        return 0;
    case OPTION_SHARDS:
        if (!warp_text_read_u64(optarg, &number) || number < 1 ||
            number > WARP_SHARD_COUNT_MAX) {
            return warp_tool_usage(tool, "--shards is a number from 1 to %u, not '%s'",
                                   WARP_SHARD_COUNT_MAX, optarg);
        }
        tool->options.shard_count = (uint32_t)number;
        return 0;
    case OPTION_READ_ONLY:
        tool->options.open_flags = WARP_READ_ONLY;
        return 0;
    default:
        return WARP_TOOL_ERROR;
    }
}

int warp_tool_next(struct warp_tool *tool, int argc, char **argv, const struct option *own)
{
    struct option table[OPTION_COUNT_MAX + 1];
    size_t count = 0;
    int code;

    for (; own != NULL && own->name != NULL && count < OPTION_COUNT_MAX; own++) {
        table[count++] = *own;
    }
    for (size_t i = 0;
         i < sizeof(common_options) / sizeof(common_options[0]) && count < OPTION_COUNT_MAX;
         i++) {
        table[count++] = common_options[i];
    }
    memset(&table[count], 0, sizeof(table[count]));
    for (;;) {
        code = getopt_long(argc, argv, ":h", table, NULL);
        if (code == -1) {
            return 0;
        }
        if (code == 'h' || code == OPTION_HELP) {
            fputs(tool->help, stdout);
            fputs(common_help, stdout);
            tool->exit_code = fflush(stdout) == 0 ? WARP_TOOL_DONE : WARP_TOOL_ERROR;
            return -1;
        }
        if (code == ':') {
            tool->exit_code =
                warp_tool_usage(tool, "%s needs an argument", argv[optind - 1]);
            return -1;
        }
        if (code == '?') {
            /* A long option stands before optind, a letter is in optopt. */
            if (optopt > ' ' && optopt < 0x7f) {
                tool->exit_code = warp_tool_usage(tool, "unknown option '-%c'", optopt);
            } else {
                tool->exit_code = warp_tool_usage(tool,
                                                  "unknown option, or one too many "
                                                  "meanings or arguments: '%s'",
                                                  argv[optind - 1]);
            }
            return -1;
        }
        if (code < OPTION_HELP) {
            return code;
        }
        tool->exit_code = common_option(tool, code);
        if (tool->exit_code != 0) {
            return -1;
        }
    }
}

static void show_progress(void *context, uint64_t bytes_done, uint64_t bytes_total,
                          uint64_t records)
{
    struct warp_tool *tool = context;
    char done[WARP_TEXT_SHORT_BYTES];
    char total[WARP_TEXT_SHORT_BYTES];
    char count[WARP_TEXT_SHORT_BYTES];

    tool->progress_shown = true;
    fprintf(stderr, "\rreading the log: %s of %s, %s records \033[K",
            warp_text_size(done, bytes_done), warp_text_size(total, bytes_total),
            warp_text_count(count, records));
    fflush(stderr);
}

int warp_tool_try(struct warp_tool *tool, uint32_t flags, struct warp **db)
{
    int rc;

    if ((flags & (WARP_READ_ONLY | WARP_MUST_EXIST)) != 0) {
        tool->options.open_flags &= ~WARP_CREATE;
    }
    tool->options.open_flags |= flags;
    tool->options.message = tool->message;
    tool->options.message_bytes = sizeof(tool->message);
    if (isatty(STDERR_FILENO)) {
        tool->options.progress = show_progress;
        tool->options.progress_context = tool;
    }
    tool->message[0] = '\0';
    rc = warp_open(tool->path, &tool->options, db);
    if (tool->progress_shown) {
        fputs("\r\033[K", stderr);
    }
    return rc;
}

int warp_tool_refused(const struct warp_tool *tool, int rc)
{
    const char *sentence = tool->message[0] != '\0' ? tool->message : warp_error_text(rc);

    return warp_tool_error(tool, "cannot open %s: %s", tool->path, sentence);
}

int warp_tool_open(struct warp_tool *tool, uint32_t flags, struct warp **db)
{
    int rc = warp_tool_try(tool, flags, db);

    return rc != 0 ? warp_tool_refused(tool, rc) : 0;
}

int warp_tool_close(struct warp_tool *tool, struct warp **db, int exit_code)
{
    int rc = warp_close(db);

    if (rc != 0) {
        exit_code =
            warp_tool_error(tool, "closing %s: %s", tool->path, warp_error_text(rc));
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        exit_code = warp_tool_error(tool, "writing the output: %s", strerror(errno));
    }
    return exit_code;
}

int warp_tool_key(const struct warp_tool *tool, char *text, bool hex,
                  struct warp_slice *key)
{
    size_t bytes = strlen(text);

    if (hex && !warp_text_hex_decode(text, text, bytes, &bytes)) {
        return warp_tool_usage(tool, "the key is not pairs of hexadecimal digits");
    }
    *key = (struct warp_slice){text, bytes};
    return 0;
}

int warp_tool_write_option(const struct warp_tool *tool, int code, struct warp_write *how)
{
    uint32_t condition;

    switch (code) {
    case WARP_TOOL_TTL_MS:
        if (!warp_text_read_u64(optarg, &how->ttl_ms) || how->ttl_ms == 0) {
            return warp_tool_usage(tool, "--ttl-ms is a number of milliseconds, not '%s'",
                                   optarg);
        }
        return 0;
    case WARP_TOOL_IF_ABSENT:
        condition = WARP_IF_ABSENT;
        break;
    case WARP_TOOL_IF_PRESENT:
        condition = WARP_IF_PRESENT;
        break;
    case WARP_TOOL_IF_SEQUENCE:
        condition = WARP_IF_SEQUENCE;
        if (!warp_text_read_u64(optarg, &how->if_sequence)) {
            return warp_tool_usage(tool, "--if-sequence is a number, not '%s'", optarg);
        }
        break;
    case WARP_TOOL_IF_VALUE:
        condition = WARP_IF_VALUE;
        how->if_value = (struct warp_slice){optarg, strlen(optarg)};
        break;
    default:
        return -1;
    }
    if (how->condition != WARP_IF_ANY) {
        return warp_tool_usage(tool, "only one condition can be given");
    }
    how->condition = condition;
    return 0;
}
