/*
 * `warp dump`: writes every record in a form that `warp load` reads back.
 *
 * A file is written beside its name and renamed when it is complete and synced, so that a
 * dump that failed never stands where a good one was.
 */
#include "tools/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/loader.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp dump [OPTION]...\n"
    "\n"
    "Write every record to standard output, in no particular order. `warp load` reads it "
    "back.\n"
    "\n"
    "  --format FORMAT        ndjson (the default), tsv or debian; see  warp load --help\n"
    "  --output FILE          write to FILE, which is replaced when the dump is complete\n"
    "  --prefix TEXT          only keys that begin with TEXT, written without it\n"
    "  --key FIELD[,FIELD]... what the keys are made of, if it was given to load (debian)\n"
    "  --skip-bad             leave out what the format cannot hold, instead of ending "
    "there\n"
    "\n"
    "Only ndjson holds the time at which a record expires. debian holds records whose "
    "value is\n"
    "one control paragraph and whose key is made of its fields.\n";

enum { OPTION_FORMAT = 1, OPTION_OUTPUT, OPTION_PREFIX, OPTION_KEY, OPTION_SKIP_BAD };

struct dump {
    struct warp_tool tool;
    enum warp_loader_format format;
    const char *key_fields;
    struct warp_slice prefix;
    bool skip_bad;
    FILE *file;
    uint64_t records, expiring, skipped;
    int failed;
};

/* What a paragraph must come back as. */
struct expected {
    struct warp_slice key, value;
    uint32_t records;
    bool same;
};

static int expected_record(void *context, const struct warp_loader_record *record)
{
    struct expected *expected = context;

    expected->records++;
    expected->same =
        record->key.bytes == expected->key.bytes &&
        record->value.bytes == expected->value.bytes &&
        memcmp(record->key.data, expected->key.data, record->key.bytes) == 0 &&
        memcmp(record->value.data, expected->value.data, record->value.bytes) == 0;
    return 0;
}

static int expected_bad(void *context, uint64_t line, const char *sentence)
{
    (void)context;
    (void)line;
    (void)sentence;
    return WARP_CONFLICT;
}

/* Would the loader make this record of this value? 1 yes, 0 no, < 0 an error. */
static int debian_holds(const struct dump *dump, struct warp_slice key,
                        struct warp_slice value)
{
    struct expected expected = {key, value, 0, false};
    const struct warp_loader_sink sink = {expected_record, expected_bad, &expected};
    struct warp_loader_debian *loader;
    int rc;

    if (value.bytes == 0) {
        return 0;
    }
    loader = malloc(sizeof(*loader));
    if (loader == NULL) {
        return WARP_ENOMEM;
    }
    rc = warp_loader_debian_init(loader, dump->key_fields);
    if (rc == 0) {
        rc = warp_loader_debian_feed(loader, value.data, value.bytes, &sink);
    }
    if (rc == 0) {
        rc = warp_loader_debian_finish(loader, &sink);
    }
    warp_loader_debian_fini(loader);
    free(loader);
    if (rc < 0) {
        return rc;
    }
    return rc == 0 && expected.records == 1 && expected.same ? 1 : 0;
}

static int dump_debian(struct dump *dump, struct warp_slice key, struct warp_slice value)
{
    int rc = debian_holds(dump, key, value);

    if (rc < 0) {
        return dump->failed = warp_tool_error(&dump->tool, "%s", warp_error_text(rc));
    }
    if (rc == 0) {
        dump->skipped++;
        if (dump->skip_bad) {
            return 0;
        }
        fflush(dump->file);
        fputs("warp dump: the record ", stderr);
        warp_text_write_tsv(stderr, key.data, key.bytes < 200 ? key.bytes : 200);
        fputs(" is not a control paragraph under its key: dump it as ndjson, or leave such "
              "ones out with --skip-bad\n",
              stderr);
        return dump->failed = WARP_TOOL_ERROR;
    }
    if (dump->records > 0) {
        fputc('\n', dump->file);
    }
    fwrite(value.data, 1, value.bytes, dump->file);
    return 0;
}

static int dump_record(void *context, struct warp_slice key, const struct warp_value *value)
{
    struct dump *dump = context;
    struct warp_slice bytes = {value->bytes > 0 ? value->data : "", value->bytes};

    if (key.bytes <= dump->prefix.bytes && dump->prefix.bytes > 0) {
        return 0;
    }
    if (dump->prefix.bytes > 0) {
        if (memcmp(key.data, dump->prefix.data, dump->prefix.bytes) != 0) {
            return 0;
        }
        key.data = (const char *)key.data + dump->prefix.bytes;
        key.bytes -= dump->prefix.bytes;
    }
    switch (dump->format) {
    case WARP_LOADER_NDJSON:
        fputc('{', dump->file);
        warp_text_write_json_member(dump->file, "key", key.data, key.bytes);
        fputc(',', dump->file);
        warp_text_write_json_member(dump->file, "value", bytes.data, bytes.bytes);
        if (value->expires_at_ms != 0) {
            fprintf(dump->file, ",\"expires_at_ms\":%" PRIu64, value->expires_at_ms);
        }
        fputs("}\n", dump->file);
        break;
    case WARP_LOADER_TSV:
        warp_text_write_tsv(dump->file, key.data, key.bytes);
        fputc('\t', dump->file);
        warp_text_write_tsv(dump->file, bytes.data, bytes.bytes);
        fputc('\n', dump->file);
        break;
    case WARP_LOADER_DEBIAN: {
        uint64_t skipped = dump->skipped;

        if (dump_debian(dump, key, bytes) != 0) {
            return dump->failed;
        }
        if (dump->skipped != skipped) {
            return 0;
        }
        break;
    }
    case WARP_LOADER_AUTO:
        break;
    }
    dump->records++;
    dump->expiring += value->expires_at_ms != 0 ? 1 : 0;
    if (ferror(dump->file)) {
        return dump->failed =
                   warp_tool_error(&dump->tool, "writing the output: %s", strerror(errno));
    }
    return 0;
}

/* Open, walk, flush. The output is complete if the answer is 0. */
static int dump_all(struct dump *dump)
{
    struct warp *db = NULL;
    int rc = warp_tool_open(&dump->tool, WARP_READ_ONLY | WARP_MUST_EXIST, &db);

    if (rc != 0) {
        return rc;
    }
    rc = warp_visit(db, dump_record, dump);
    if (rc != 0 && dump->failed == 0) {
        dump->failed = warp_tool_failed(&dump->tool, db, "reading", rc);
    }
    if (dump->failed == 0 && fflush(dump->file) != 0) {
        dump->failed =
            warp_tool_error(&dump->tool, "writing the output: %s", strerror(errno));
    }
    return warp_tool_close(&dump->tool, &db, dump->failed);
}

static int dump_to_file(struct dump *dump, const char *output)
{
    size_t bytes = strlen(output) + sizeof(".partial");
    char *partial = malloc(bytes);
    int exit_code;

    if (partial == NULL) {
        return warp_tool_error(&dump->tool, "%s", warp_error_text(WARP_ENOMEM));
    }
    snprintf(partial, bytes, "%s.partial", output);
    dump->file = fopen(partial, "we");
    if (dump->file == NULL) {
        exit_code = warp_tool_error(&dump->tool, "%s: %s", partial, strerror(errno));
        free(partial);
        return exit_code;
    }
    exit_code = dump_all(dump);
    if (exit_code == 0 && fsync(fileno(dump->file)) != 0 && errno != EINVAL) {
        exit_code = warp_tool_error(&dump->tool, "%s: %s", partial, strerror(errno));
    }
    if (fclose(dump->file) != 0 && exit_code == 0) {
        exit_code = warp_tool_error(&dump->tool, "%s: %s", partial, strerror(errno));
    }
    if (exit_code == 0 && rename(partial, output) != 0) {
        exit_code = warp_tool_error(&dump->tool, "%s: %s", output, strerror(errno));
    }
    if (exit_code != 0) {
        unlink(partial);
    }
    free(partial);
    return exit_code;
}

static void dump_report(const struct dump *dump, bool to_file)
{
    char count[WARP_TEXT_SHORT_BYTES];

    if (to_file && dump->tool.json) {
        printf("{\"records\":%" PRIu64 ",\"skipped\":%" PRIu64 "}\n", dump->records,
               dump->skipped);
    } else if (to_file) {
        printf("dumped %s records\n", warp_text_count(count, dump->records));
    }
    if (dump->skipped > 0) {
        fprintf(stderr, "warp dump: %s records left out, they are not control paragraphs\n",
                warp_text_count(count, dump->skipped));
    }
    if (dump->expiring > 0 && dump->format != WARP_LOADER_NDJSON) {
        fprintf(
            stderr,
            "warp dump: %s records expire some time, which %s does not say; ndjson does\n",
            warp_text_count(count, dump->expiring), warp_loader_format_name(dump->format));
    }
}

int warp_tool_dump(int argc, char **argv)
{
    static const struct option own[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"output", required_argument, NULL, OPTION_OUTPUT},
        {"prefix", required_argument, NULL, OPTION_PREFIX},
        {"key", required_argument, NULL, OPTION_KEY},
        {"skip-bad", no_argument, NULL, OPTION_SKIP_BAD},
        {NULL, 0, NULL, 0},
    };
    struct dump dump = {.format = WARP_LOADER_NDJSON, .prefix = {"", 0}, .file = stdout};
    struct warp_loader_debian *probe;
    const char *output = NULL;
    int exit_code;
    int code;
    int rc;

    warp_tool_init(&dump.tool, "dump", help);
    while ((code = warp_tool_next(&dump.tool, argc, argv, own)) > 0) {
        switch (code) {
        case OPTION_FORMAT:
            if (!warp_loader_format_named(optarg, &dump.format) ||
                dump.format == WARP_LOADER_AUTO) {
                return warp_tool_usage(
                    &dump.tool, "--format is ndjson, tsv or debian, not '%s'", optarg);
            }
            break;
        case OPTION_OUTPUT:
            output = optarg;
            break;
        case OPTION_PREFIX:
            dump.prefix = (struct warp_slice){optarg, strlen(optarg)};
            break;
        case OPTION_KEY:
            dump.key_fields = optarg;
            break;
        case OPTION_SKIP_BAD:
            dump.skip_bad = true;
            break;
        default:
            break;
        }
    }
    if (code < 0) {
        return dump.tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&dump.tool, "'%s' is one argument too many", argv[optind]);
    }
    if (dump.key_fields != NULL && dump.format != WARP_LOADER_DEBIAN) {
        return warp_tool_usage(&dump.tool, "--key is for the format debian alone");
    }
    if (dump.key_fields != NULL) {
        probe = malloc(sizeof(*probe));
        rc = probe != NULL ? warp_loader_debian_init(probe, dump.key_fields) : WARP_ENOMEM;
        if (probe != NULL) {
            warp_loader_debian_fini(probe);
        }
        free(probe);
        if (rc != 0) {
            return warp_tool_usage(&dump.tool,
                                   "--key '%s' names no fields, or more than %u",
                                   dump.key_fields, WARP_LOADER_DEBIAN_KEY_COUNT_MAX);
        }
    }
    exit_code = output != NULL ? dump_to_file(&dump, output) : dump_all(&dump);
    if (exit_code == 0) {
        dump_report(&dump, output != NULL);
        if (fflush(stdout) != 0) {
            exit_code =
                warp_tool_error(&dump.tool, "writing the output: %s", strerror(errno));
        }
    }
    return exit_code;
}
