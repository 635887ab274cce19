/*
 * `warp gravity`: where slots should be, said, done, or undone, on a database that nobody has open.
 *
 * While a program has it open, that program weighs and moves by itself (options.gravity), or calls
 * warp_balance(). Here there is no load to be measured; so slots weigh what their records take, or, with
 * --keys, how often they come in a recording of requests.
 */
#include "tools/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp gravity plan|apply|off [DIR]\n"
    "\n"
    "Say or decide which shard has which of the 16,384 slots that keys lie in, in a "
    "database "
    "that\n"
    "nobody has open. It is kept as long as the database is opened with the same number "
    "of\n"
    "shards; with another number slots are dealt anew. No record is copied for it.\n"
    "\n"
    "  plan                   which slots would move, from where to where, and why; "
    "nothing is\n"
    "                         changed\n"
    "  apply                  move them\n"
    "  off                    undo what was moved: deal the slots in turn, as in a new "
    "database.\n"
    "                         A program that opens it with options.gravity moves them "
    "again\n"
    "\n"
    "  --keys FILE            slots weigh as often as their keys come in FILE (- for "
    "standard\n"
    "                         input), one key per line; otherwise what their records take "
    "in\n"
    "                         memory\n"
    "  --quiet                the sums only, not a line for each slot\n";

enum { OPTION_KEYS = 1, OPTION_QUIET };

struct gravity {
    struct warp_tool tool;
    struct warp_balance_options options;
    struct warp_balance_report report;
    uint64_t *weights; /* with --keys */
    uint64_t keys;
    bool quiet;
    uint64_t told;   /* moves so far */
    uint64_t said;   /* sentences so far */
    char *sentences; /* JSON, gathered */
    size_t sentence_bytes;
};

static void tell_move(void *context, uint32_t slot, uint32_t from, uint32_t to,
                      const char *why)
{
    struct gravity *gravity = context;

    gravity->told++;
    if (gravity->quiet) {
        return;
    }
    if (gravity->tool.json) {
        printf("%s{\"slot\":%" PRIu32 ",\"from\":%" PRIu32 ",\"to\":%" PRIu32 ",\"why\":",
               gravity->told > 1 ? "," : "", slot, from, to);
        warp_text_write_json_string(stdout, why, strlen(why));
        putchar('}');
    } else {
        printf("slot %" PRIu32 " from shard %" PRIu32 " to shard %" PRIu32 ": %s\n", slot,
               from, to, why);
    }
}

/* They come before the moves: in JSON they are kept until the list of moves is closed. */
static void tell_sentence(void *context, const char *sentence)
{
    struct gravity *gravity = context;

    gravity->said++;
    if (!gravity->tool.json) {
        puts(sentence);
        return;
    }
    {
        size_t bytes = strlen(sentence) + 1;
        char *grown = realloc(gravity->sentences, gravity->sentence_bytes + bytes);

        if (grown != NULL) {
            memcpy(grown + gravity->sentence_bytes, sentence, bytes);
            gravity->sentences = grown;
            gravity->sentence_bytes += bytes;
        }
    }
}

/* How often the keys of each slot come. */
static int read_keys(struct gravity *gravity, const char *name)
{
    bool standard = strcmp(name, "-") == 0;
    FILE *file = standard ? stdin : fopen(name, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    int exit_code = 0;

    if (file == NULL) {
        return warp_tool_error(&gravity->tool, "%s: %s", name, strerror(errno));
    }
    gravity->weights = calloc(WARP_SLOT_COUNT, sizeof(gravity->weights[0]));
    if (gravity->weights == NULL) {
        exit_code = warp_tool_error(&gravity->tool, "no memory");
    }
    while (exit_code == 0 && (bytes = getline(&line, &capacity, file)) >= 0) {
        if (bytes > 0 && line[bytes - 1] == '\n') {
            bytes--;
        }
        if (bytes == 0) {
            continue;
        }
        gravity->weights[warp_hash_slot(line, (size_t)bytes)]++;
        gravity->keys++;
    }
    if (exit_code == 0 && ferror(file)) {
        exit_code = warp_tool_error(&gravity->tool, "%s: %s", name, strerror(errno));
    }
    free(line);
    if (!standard) {
        fclose(file);
    }
    if (exit_code == 0 && gravity->keys == 0) {
        exit_code = warp_tool_error(&gravity->tool, "%s: there is no key in it", name);
    }
    gravity->options.weights = gravity->weights;
    return exit_code;
}

static void print_json(const struct gravity *gravity)
{
    const struct warp_balance_report *report = &gravity->report;
    size_t at = 0;

    printf("],\"kept\":[");
    while (at < gravity->sentence_bytes) {
        size_t bytes = strlen(gravity->sentences + at);

        fputs(at > 0 ? "," : "", stdout);
        warp_text_write_json_string(stdout, gravity->sentences + at, bytes);
        at += bytes + 1;
    }
    printf("],\"shards\":%" PRIu32 ",\"weighed_by\":\"%s\",\"planned\":%" PRIu64
           ",\"moved\":%" PRIu64 ",\"lambda\":%.6f,\"lambda_planned\":%.6f"
           ",\"evenness\":%.6f,\"evenness_planned\":%.6f}\n",
           report->shard_count, gravity->weights != NULL ? "keys" : "bytes", report->moves,
           report->moves_made, report->lambda, report->lambda_planned, report->evenness,
           report->evenness_planned);
}

static void print_text(const struct gravity *gravity)
{
    const struct warp_balance_report *report = &gravity->report;
    const char *unit = gravity->weights != NULL ? "requests" : "memory of their records";

    if (report->lambda > 0) {
        printf("lambda %.3f, the heaviest of %" PRIu32
               " shards against the mean, by %s; %.3f ",
               report->lambda, report->shard_count, unit, report->lambda_planned);
    } else {
        printf("nothing weighs anything; ");
    }
    if (gravity->options.dry_run != 0) {
        printf("after %" PRIu64 " moves, none of which was made\n", report->moves);
    } else {
        printf("after %" PRIu64 " moves of %" PRIu64 "\n", report->moves_made,
               report->moves);
    }
}

static int run(struct gravity *gravity)
{
    struct warp_tool *tool = &gravity->tool;
    struct warp *db = NULL;
    uint32_t flags = WARP_MUST_EXIST | (gravity->options.dry_run != 0 ? WARP_READ_ONLY : 0);
    int exit_code = warp_tool_open(tool, flags, &db);
    int rc;

    if (exit_code != 0) {
        return exit_code;
    }
    gravity->options.move = tell_move;
    gravity->options.say = tell_sentence;
    gravity->options.context = gravity;
    if (tool->json) {
        fputs("{\"moves\":[", stdout);
    }
    rc = warp_balance(db, &gravity->options, &gravity->report);
    if (tool->json) {
        print_json(gravity); /* whole, whatever came of it */
    }
    if (rc != 0) {
        exit_code = warp_tool_failed(tool, db, "moving slots", rc);
    } else if (gravity->options.dry_run == 0 &&
               gravity->report.moves_made < gravity->report.moves) {
        exit_code = warp_tool_error(tool, "some slots were in use and stay: try again");
    }
    if (!tool->json) {
        print_text(gravity);
    }
    return warp_tool_close(tool, &db, exit_code);
}

int warp_tool_gravity(int argc, char **argv)
{
    static const struct option own[] = {{"keys", required_argument, NULL, OPTION_KEYS},
                                        {"quiet", no_argument, NULL, OPTION_QUIET},
                                        {NULL, 0, NULL, 0}};
    static const struct warp_balance_options options = WARP_BALANCE_OPTIONS_INIT;
    static const struct warp_balance_report report = WARP_BALANCE_REPORT_INIT;
    struct gravity gravity = {.options = options, .report = report};
    struct warp_tool *tool = &gravity.tool;
    const char *keys = NULL, *verb;
    int exit_code = 0, code;

    warp_tool_init(tool, "gravity", help);
    while ((code = warp_tool_next(tool, argc, argv, own)) > 0) {
        if (code == OPTION_KEYS) {
            keys = optarg;
        } else {
            gravity.quiet = true;
        }
    }
    if (code < 0) {
        return tool->exit_code;
    }
    if (argc == optind) {
        return warp_tool_usage(tool, "say plan, apply or off");
    }
    verb = argv[optind];
    if (strcmp(verb, "plan") == 0) {
        gravity.options.dry_run = 1;
    } else if (strcmp(verb, "off") == 0) {
        gravity.options.even = 1;
    } else if (strcmp(verb, "apply") != 0) {
        return warp_tool_usage(tool, "it is plan, apply or off, not '%s'", verb);
    }
    if (argc > optind + 2) {
        return warp_tool_usage(tool, "'%s' is one argument too many", argv[optind + 2]);
    }
    if (argc > optind + 1) {
        tool->path = argv[optind + 1];
    }
    if (keys != NULL && gravity.options.even != 0) {
        return warp_tool_usage(tool, "--keys goes with plan and apply");
    }
    if (keys != NULL) {
        exit_code = read_keys(&gravity, keys);
    }
    if (exit_code == 0) {
        exit_code = run(&gravity);
    }
    free(gravity.weights);
    free(gravity.sentences);
    return exit_code;
}
