/*
 * `warp shell`: one command per line, from a terminal, a pipe or a file.
 *
 * The words of a line are cut as a shell cuts them: blanks between, '...' as it stands,
 * "..." and bare words with backslash escapes. A line that fails says so and the next one
 * is read.
 */
#include "tools/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp shell [OPTION]...\n"
    "\n"
    "Read commands from standard input, one per line, until its end or quit.\n"
    "\n"
    "  put KEY VALUE [TTL_MS]   get KEY   del KEY   incr KEY [DELTA]\n"
    "  count   stat   flush   checkpoint   compact   help   quit\n"
    "\n"
    "Words are quoted as in a shell: 'as it is', \"with \\n \\t \\r \\0 \\xHH \\\\ \\\"\". "
    "A value that is\n"
    "not UTF-8 is printed in the second form. A prompt is shown only on a terminal; there "
    "the\n"
    "exit status is 0, elsewhere it is 3 if any command failed.\n";

static const char shell_help[] =
    "put KEY VALUE [TTL_MS]   write a value\n"
    "get KEY                  print a value\n"
    "del KEY                  remove a key\n"
    "incr KEY [DELTA]         add to a number\n"
    "count                    how many records there are\n"
    "stat                     the engine's counters\n"
    "flush                    wait until all is on stable storage\n"
    "checkpoint               write the index down, so that the next opening is quick\n"
    "compact                  give back the space of what is dead\n"
    "help                     this text\n"
    "quit                     end\n";

enum { WORD_COUNT_MAX = 8 };

struct shell {
    struct warp_tool tool;
    struct warp *db;
    uint32_t failed_count;
    bool quit;
};

struct words {
    struct warp_slice word[WORD_COUNT_MAX];
    uint32_t count;
};

/* One escape behind a backslash; *from moves on. False: it is none. */
static bool take_escape(const char **from, const char *end, char *out)
{
    size_t bytes;
    char letter;

    if (*from == end) {
        return false;
    }
    letter = *(*from)++;
    switch (letter) {
    case 'n':
        *out = '\n';
        return true;
    case 't':
        *out = '\t';
        return true;
    case 'r':
        *out = '\r';
        return true;
    case '0':
        *out = '\0';
        return true;
    case 'x':
        if (end - *from < 2 || !warp_text_hex_decode(out, *from, 2, &bytes)) {
            return false;
        }
        *from += 2;
        return true;
    default:
        *out = letter;
        /* A letter or digit without a meaning is more likely a slip than a quoted
         * letter. */
        return !((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                 (letter >= '1' && letter <= '9'));
    }
}

/* Cut a line into words, in place. NULL, or what is wrong. */
static const char *cut_words(char *line, size_t bytes, struct words *words)
{
    const char *from = line;
    const char *end = line + bytes;
    char *to = line;

    words->count = 0;
    for (;;) {
        char *begin;

        while (from < end && (*from == ' ' || *from == '\t')) {
            from++;
        }
        if (from == end || (*from == '#' && words->count == 0)) {
            return NULL;
        }
        if (words->count == WORD_COUNT_MAX) {
            return "there are too many words";
        }
        begin = to;
        while (from < end && *from != ' ' && *from != '\t') {
            char quote = *from;

            if (quote == '\'' || quote == '"') {
                from++;
                while (from < end && *from != quote) {
                    if (*from == '\\' && quote == '"') {
                        from++;
                        if (!take_escape(&from, end, to)) {
                            return "a backslash begins one of \\n \\t \\r \\0 \\xHH \\\\ "
                                   "\\\"";
                        }
                        to++;
                    } else {
                        *to++ = *from++;
                    }
                }
                if (from == end) {
                    return "a quote is not closed";
                }
                from++;
            } else if (quote == '\\') {
                from++;
                if (!take_escape(&from, end, to)) {
                    return "a backslash begins one of \\n \\t \\r \\0 \\xHH \\\\ \\\"";
                }
                to++;
            } else {
                *to++ = *from++;
            }
        }
        words->word[words->count++] = (struct warp_slice){begin, (size_t)(to - begin)};
    }
}

static bool word_is(struct warp_slice word, const char *text)
{
    return word.bytes == strlen(text) && memcmp(word.data, text, word.bytes) == 0;
}

/* A word as a string with a zero at its end, or false if it is too long for a number. */
static bool word_text(struct warp_slice word, char text[32])
{
    if (word.bytes > 31 || memchr(word.data, '\0', word.bytes) != NULL) {
        return false;
    }
    memcpy(text, word.data, word.bytes);
    text[word.bytes] = '\0';
    return true;
}

static void shell_fail(struct shell *shell, const char *what, const char *sentence)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", what, sentence);
    shell->failed_count++;
}

/* Print what an operation without a result answered. */
static void shell_answer(struct shell *shell, const char *what, int rc, const char *done)
{
    char cause[512];

    if (rc == WARP_EFAILED && warp_failure(shell->db, cause, sizeof(cause)) != 0) {
        shell_fail(shell, what, cause);
    } else if (rc < 0 || rc == WARP_AGAIN) {
        shell_fail(shell, what, warp_error_text(rc));
    } else if (rc == WARP_ABSENT) {
        puts(shell->tool.json ? "{\"found\":false}" : "(absent)");
    } else {
        puts(done);
    }
}

/* Bytes in the form "..." that cut_words() reads back. */
static void print_quoted(const char *data, size_t bytes)
{
    fputc('"', stdout);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)data[i];

        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c >= 0x20 && c < 0x7f) {
            fputc(c, stdout);
        } else {
            printf("\\x%02x", c);
        }
    }
    fputc('"', stdout);
}

static void shell_put(struct shell *shell, const struct words *words)
{
    struct warp_write how = WARP_WRITE_INIT;
    char text[32];
    int rc;

    if (words->count < 3 || words->count > 4) {
        shell_fail(shell, "put", "put KEY VALUE [TTL_MS]");
        return;
    }
    if (words->count == 4 && (!word_text(words->word[3], text) ||
                              !warp_text_read_u64(text, &how.ttl_ms) || how.ttl_ms == 0)) {
        shell_fail(shell, "put", "TTL_MS is a number of milliseconds");
        return;
    }
    rc = warp_put(shell->db, words->word[1], words->word[2], &how, NULL);
    shell_answer(shell, "put", rc, shell->tool.json ? "{\"written\":true}" : "ok");
}

static void shell_get(struct shell *shell, const struct words *words)
{
    struct warp_value value = WARP_VALUE_INIT;
    int rc;

    if (words->count != 2) {
        shell_fail(shell, "get", "get KEY");
        return;
    }
    rc = warp_borrow(shell->db, words->word[1], &value);
    if (rc != 0) {
        shell_answer(shell, "get", rc, "");
        return;
    }
    if (shell->tool.json) {
        fputs("{\"found\":true,", stdout);
        warp_text_write_json_member(stdout, "value", value.data, value.bytes);
        printf(",\"sequence\":%" PRIu64 "}\n", value.sequence);
    } else {
        if (warp_text_utf8_valid(value.data, value.bytes)) {
            fwrite(value.bytes > 0 ? value.data : "", 1, value.bytes, stdout);
        } else {
            print_quoted(value.data, value.bytes);
        }
        fputc('\n', stdout);
    }
    warp_return(&value);
}

static void shell_del(struct shell *shell, const struct words *words)
{
    int rc;

    if (words->count != 2) {
        shell_fail(shell, "del", "del KEY");
        return;
    }
    rc = warp_delete(shell->db, words->word[1], NULL, NULL);
    shell_answer(shell, "del", rc, shell->tool.json ? "{\"deleted\":true}" : "ok");
}

static void shell_incr(struct shell *shell, const struct words *words)
{
    int64_t delta = 1;
    int64_t result = 0;
    char text[64];
    char number[32];
    int rc;

    if (words->count < 2 || words->count > 3) {
        shell_fail(shell, "incr", "incr KEY [DELTA]");
        return;
    }
    if (words->count == 3 &&
        (!word_text(words->word[2], number) || !warp_text_read_i64(number, &delta))) {
        shell_fail(shell, "incr", "DELTA is a 64-bit number");
        return;
    }
    rc = warp_add(shell->db, words->word[1], delta, NULL, &result);
    snprintf(text, sizeof(text), shell->tool.json ? "{\"number\":%" PRId64 "}" : "%" PRId64,
             result);
    shell_answer(shell, "incr", rc, text);
}

static void shell_count(struct shell *shell)
{
    uint64_t records = 0;
    char text[64];
    int rc = warp_count(shell->db, &records);

    snprintf(text, sizeof(text),
             shell->tool.json ? "{\"records\":%" PRIu64 "}" : "%" PRIu64, records);
    shell_answer(shell, "count", rc, text);
}

static void shell_stat(struct shell *shell)
{
    struct warp_tool_sample sample;
    const char *at;
    char *metrics = NULL;
    bool first = true;
    int rc = warp_tool_metrics_text(shell->db, &metrics);

    if (rc != 0) {
        shell_answer(shell, "stat", rc, "");
        return;
    }
    at = metrics;
    if (shell->tool.json) {
        fputc('{', stdout);
    }
    while (warp_tool_metrics_next(&at, &sample)) {
        if (sample.labels.bytes > 0) {
            continue;
        }
        if (shell->tool.json) {
            bool number = warp_tool_metrics_is_number(&sample);

            printf("%s\"%.*s\":%s%.*s%s", first ? "" : ",", (int)sample.name.bytes,
                   (const char *)sample.name.data, number ? "" : "\"",
                   (int)sample.value.bytes, (const char *)sample.value.data,
                   number ? "" : "\"");
        } else {
            printf("%-50.*s %.*s\n", (int)sample.name.bytes, (const char *)sample.name.data,
                   (int)sample.value.bytes, (const char *)sample.value.data);
        }
        first = false;
    }
    if (shell->tool.json) {
        fputs("}\n", stdout);
    }
    free(metrics);
}

static void shell_run(struct shell *shell, char *line, size_t bytes)
{
    struct words words;
    const char *wrong = cut_words(line, bytes, &words);

    if (wrong != NULL) {
        shell_fail(shell, "shell", wrong);
        return;
    }
    if (words.count == 0) {
        return;
    }
    if (word_is(words.word[0], "put")) {
        shell_put(shell, &words);
    } else if (word_is(words.word[0], "get")) {
        shell_get(shell, &words);
    } else if (word_is(words.word[0], "del")) {
        shell_del(shell, &words);
    } else if (word_is(words.word[0], "incr")) {
        shell_incr(shell, &words);
    } else if (word_is(words.word[0], "count")) {
        shell_count(shell);
    } else if (word_is(words.word[0], "stat")) {
        shell_stat(shell);
    } else if (word_is(words.word[0], "flush")) {
        shell_answer(shell, "flush", warp_flush(shell->db),
                     shell->tool.json ? "{\"flushed\":true}" : "ok");
    } else if (word_is(words.word[0], "checkpoint")) {
        shell_answer(shell, "checkpoint", warp_checkpoint(shell->db),
                     shell->tool.json ? "{\"checkpoint\":true}" : "ok");
    } else if (word_is(words.word[0], "compact")) {
        shell_answer(shell, "compact", warp_compact(shell->db),
                     shell->tool.json ? "{\"compact\":true}" : "ok");
    } else if (word_is(words.word[0], "help")) {
        fputs(shell_help, stdout);
    } else if (word_is(words.word[0], "quit") || word_is(words.word[0], "exit")) {
        shell->quit = true;
    } else {
        shell_fail(shell, "shell", "there is no such command, try help");
    }
}

int warp_tool_shell(int argc, char **argv)
{
    struct shell shell = {.db = NULL};
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    char *line = NULL;
    size_t capacity = 0;
    int exit_code;

    warp_tool_init(&shell.tool, "shell", help);
    if (warp_tool_next(&shell.tool, argc, argv, NULL) < 0) {
        return shell.tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&shell.tool, "'%s' is one argument too many", argv[optind]);
    }
    exit_code = warp_tool_open(&shell.tool, 0, &shell.db);
    if (exit_code != 0) {
        return exit_code;
    }
    if (terminal) {
        printf("WarpEngine %s, database %s. Try help.\n", warp_version(), shell.tool.path);
    }
    while (!shell.quit && !ferror(stdout)) {
        ssize_t bytes;

        if (terminal) {
            fputs("warp> ", stdout);
            fflush(stdout);
        }
        errno = 0;
        bytes = getline(&line, &capacity, stdin);
        if (bytes < 0) {
            if (ferror(stdin) || errno == ENOMEM) {
                shell_fail(&shell, "shell", strerror(errno));
            } else if (terminal) {
                fputc('\n', stdout);
            }
            break;
        }
        while (bytes > 0 && (line[bytes - 1] == '\n' || line[bytes - 1] == '\r')) {
            bytes--;
        }
        shell_run(&shell, line, (size_t)bytes);
        fflush(stdout);
    }
    free(line);
    if (shell.failed_count > 0 && !terminal) {
        exit_code = WARP_TOOL_ERROR;
    }
    return warp_tool_close(&shell.tool, &shell.db, exit_code);
}
