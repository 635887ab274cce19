/*
 * The program `warp`: finds the subcommand and hands it its arguments. A command that is
 * not known is answered with the nearest one, by edit distance, if one is near.
 */
#include "tools/commands.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tools/options.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not listed */
};

static const struct command commands[] = {
    {"put", warp_tool_put, "write a value"},
    {"get", warp_tool_get, "print a value"},
    {"del", warp_tool_del, "remove a key"},
    {"incr", warp_tool_incr, "add to a number"},
    {"load", warp_tool_load, "read records from NDJSON, TSV or Debian control files"},
    {"dump", warp_tool_dump, "write all records as NDJSON, TSV or Debian control files"},
    {"stat", warp_tool_stat, "counts, sizes and what the last opening found"},
    {"metrics", warp_tool_metrics, "what a database that is in use says about itself"},
    {"top", warp_tool_top, "watch what a database does, in a terminal or a pipe"},
    {"exporter", warp_tool_exporter, "serve metrics over HTTP, for Prometheus"},
    {"gravity", warp_tool_gravity, "which shard has which keys: plan, apply, undo"},
    {"verify", warp_tool_verify, "check every byte of a database"},
    {"salvage", warp_tool_salvage, "copy what can be read of a damaged database"},
    {"checkpoint", warp_tool_checkpoint, "write the index down, so that opening is quick"},
    {"compact", warp_tool_compact, "give back the space of what is dead"},
    {"backup", warp_tool_backup, "make, list, verify and delete backups"},
    {"restore", warp_tool_restore, "make a database of a backup"},
    {"shell", warp_tool_shell, "commands from a terminal or a pipe"},
    {"bench", warp_bench_main, "measure, alone or beside other engines"},
    {"torture-writer", warp_tool_torture_writer, NULL},
    {"torture-check", warp_tool_torture_check, NULL},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]), NAME_BYTES_MAX = 32 };

static void print_help(FILE *file)
{
    fputs("warp - WarpEngine, a concurrent durable key-value store\n"
          "\n"
          "Usage: warp COMMAND [OPTION]... [ARGUMENT]...\n"
          "\n"
          "Commands:\n",
          file);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].summary != NULL) {
            fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].summary);
        }
    }
    fputs("\n"
          "  warp COMMAND --help    tells all about one of them\n"
          "  warp --version         prints the version\n"
          "\n"
          "The database is the directory that --path names (default ./warp-data).\n"
          "Exit status: 0 done, 1 absent or a check failed, 2 wrong usage, 3 error.\n",
          file);
}

/* Levenshtein, "Binary codes capable of correcting deletions, insertions and reversals",
 * 1966. */
static uint32_t edit_distance(const char *a, const char *b)
{
    uint32_t row[NAME_BYTES_MAX + 1];
    size_t a_bytes = strlen(a);
    size_t b_bytes = strlen(b);

    if (a_bytes > NAME_BYTES_MAX || b_bytes > NAME_BYTES_MAX) {
        return UINT32_MAX;
    }
    for (uint32_t j = 0; j <= b_bytes; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; i <= a_bytes; i++) {
        uint32_t diagonal = row[0];

        row[0] = i;
        for (uint32_t j = 1; j <= b_bytes; j++) {
            uint32_t best = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);

            diagonal = row[j];
            if (row[j] + 1 < best) {
                best = row[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            row[j] = best;
        }
    }
    return row[b_bytes];
}

/* The listed command that was probably meant, or NULL. */
static const char *nearest_command(const char *name)
{
    static const struct {
        const char *other, *ours;
    } words[] = {{"set", "put"},         {"delete", "del"},  {"rm", "del"},
                 {"remove", "del"},      {"stats", "stat"},  {"info", "stat"},
                 {"import", "load"},     {"export", "dump"}, {"check", "verify"},
                 {"benchmark", "bench"}, {"add", "incr"},    {"repl", "shell"}};
    const char *nearest = NULL;
    uint32_t least = 3;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(name, words[i].other) == 0) {
            return words[i].ours;
        }
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        uint32_t distance = edit_distance(name, commands[i].name);

        if (commands[i].summary != NULL && distance < least &&
            distance < strlen(commands[i].name)) {
            least = distance;
            nearest = commands[i].name;
        }
    }
    return nearest;
}

int main(int argc, char **argv)
{
    const char *nearest;
    const char *name;

    if (argc < 2) {
        print_help(stderr);
        return WARP_TOOL_USAGE;
    }
    name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return fflush(stdout) == 0 ? WARP_TOOL_DONE : WARP_TOOL_ERROR;
    }
    if (strcmp(name, "help") == 0) {
        /* `warp help put` is `warp put --help`. */
        static char help_option[] = "--help";
        static char *help_argv[4];

        if (argc == 2) {
            print_help(stdout);
            return fflush(stdout) == 0 ? WARP_TOOL_DONE : WARP_TOOL_ERROR;
        }
        name = argv[2];
        help_argv[0] = argv[0];
        help_argv[1] = argv[2];
        help_argv[2] = help_option;
        argv = help_argv;
        argc = 3;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("warp %s\n", warp_version());
        return fflush(stdout) == 0 ? WARP_TOOL_DONE : WARP_TOOL_ERROR;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "warp: there is no command '%s'", name);
    nearest = nearest_command(name);
    if (nearest != NULL) {
        fprintf(stderr, "; did you mean '%s'?", nearest);
    }
    fputs("\nTry 'warp --help'.\n", stderr);
    return WARP_TOOL_USAGE;
}
