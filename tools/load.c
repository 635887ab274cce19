/*
 * `warp load`: reads files record by record and writes them with many requests in flight.
 *
 * A file is read in pieces that go to the loader of its format. Each record is copied into
 * a flight, a request with its memory, and submitted to one session; flights come back with
 * their completions. The session keeps requests on one key in order, so the last record of
 * a key wins as it would have won one by one. With --batch the records are gathered into
 * atomic batches.
 *
 * What can go wrong: a record that is none stops the load, or is counted with --skip-bad; a
 * write that fails stops it too. What was submitted before is waited for in both cases, so
 * that the number of records in the last line is true.
 */
#include "tools/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/loader.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp load [OPTION]... [FILE | -]...\n"
    "\n"
    "Read records from files, or from standard input, and write them. Formats:\n"
    "\n"
    "  ndjson   one JSON object per line: {\"key\":\"...\",\"value\":\"...\"}, with "
    "key_base64 and\n"
    "           value_base64 for bytes that are not UTF-8, and expires_at_ms if it "
    "expires;\n"
    "           or, with --key FIELD, any objects: FIELD is the key, the object the value\n"
    "  tsv      key, tab, value; with \\t \\n \\r \\\\ \\0 for what cannot stand for "
    "itself\n"
    "  debian   control paragraphs: package lists, /var/lib/dpkg/status; the paragraph is "
    "the\n"
    "           value, the key is Package=Version, or the fields of --key joined with '='\n"
    "\n"
    "  --format FORMAT        one of these; auto (the default) looks at the file's first "
    "line\n"
    "  --key FIELD[,FIELD]... what the key is (ndjson: one field)\n"
    "  --prefix TEXT          put TEXT before every key\n"
    "  --batch N              write N records at a time, all of them or none (or 64 MiB,\n"
    "                         whichever comes first)\n"
    "  --skip-bad             count what is no record and go on, instead of ending there\n"
    "\n"
    "Compressed files go through a pipe:  xzcat FILE | warp load -\n"
    "Later records replace earlier ones of the same key. At durability commit, the "
    "default, all\n"
    "that the last line counts is on stable storage.\n";

enum { OPTION_FORMAT = 1, OPTION_KEY, OPTION_PREFIX, OPTION_BATCH, OPTION_SKIP_BAD };
enum {
    DEPTH = 1024,
    SUBMIT_COUNT = 64,
    POLL_COUNT = 64,
    READ_BYTES = 256 * 1024,
    GUESS_BYTES = 4096,
    FLIGHT_BYTES_MAX = 64 * 1024 * 1024, /* of keys and values in flight */
    KEEP_BYTES_MAX = 256 * 1024,         /* a flight gives larger memory back */
    BAD_SHOWN_MAX = 10,
    STUCK_MS_MAX = 10000,
};

struct flight {
    char *memory;
    size_t capacity;
    size_t bytes;
    struct warp_write how;
    struct flight *next; /* when free */
};

struct load {
    struct warp_tool tool;
    struct warp *db;
    struct warp_slice prefix;
    bool skip_bad;
    uint64_t batch_records_max; /* 0: a session */

    struct warp_session *session;
    struct flight *flights;
    struct flight *free_flights;
    struct warp_request waiting[SUBMIT_COUNT];
    uint32_t waiting_count;
    uint32_t flying_count; /* submitted and not polled */
    size_t flying_bytes;

    struct warp_batch *batch;
    uint64_t batch_records;
    uint64_t batch_bytes;
    char *batch_key;

    const char *file;
    uint64_t file_bytes, file_total; /* total 0: not known */
    uint64_t records, bytes, bad, expired;
    uint64_t begin_ns, shown_ns;
    bool terminal;
    int failed; /* exit code, once something has */
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void progress_show(struct load *load)
{
    char done[WARP_TEXT_SHORT_BYTES];
    char total[WARP_TEXT_SHORT_BYTES];
    char records[WARP_TEXT_SHORT_BYTES];
    char rate[WARP_TEXT_SHORT_BYTES];
    uint64_t now = now_ns();
    double seconds = (double)(now - load->begin_ns) / 1e9;
    const char *name = strrchr(load->file, '/');

    if (!load->terminal || now - load->shown_ns < 200000000u) {
        return;
    }
    load->shown_ns = now;
    name = name != NULL ? name + 1 : load->file;
    warp_text_size(done, load->file_bytes);
    warp_text_count(records, load->records);
    warp_text_count(rate, (uint64_t)((double)load->records / (seconds > 0 ? seconds : 1)));
    if (load->file_total > 0) {
        uint64_t share = load->file_bytes * 20 / load->file_total;
        int filled = (int)(share < 20 ? share : 20);

        fprintf(stderr, "\r%.32s [%.*s%.*s] %s of %s, %s records, %s/s \033[K", name,
                filled, "####################", 20 - filled, "....................", done,
                warp_text_size(total, load->file_total), records, rate);
    } else {
        fprintf(stderr, "\r%.32s %s, %s records, %s/s \033[K", name, done, records, rate);
    }
    fflush(stderr);
}

static void progress_clear(const struct load *load)
{
    if (load->terminal && load->shown_ns != 0) {
        fputs("\r\033[K", stderr);
    }
}

/* ---- with a session ---- */

/* Take what is complete, waiting for at least one if `wait`. 0, or an exit code. */
static int session_collect(struct load *load, bool wait)
{
    struct warp_completion done[POLL_COUNT];
    int count = warp_poll(load->session, done, POLL_COUNT, wait ? UINT64_MAX : 0);

    if (count < 0) {
        progress_clear(load);
        return load->failed = warp_tool_failed(&load->tool, load->db, "writing", count);
    }
    for (int i = 0; i < count; i++) {
        struct flight *flight = &load->flights[done[i].cookie];

        load->flying_count--;
        load->flying_bytes -= flight->bytes;
        if (flight->capacity > KEEP_BYTES_MAX) {
            free(flight->memory);
            flight->memory = NULL;
            flight->capacity = 0;
        }
        flight->next = load->free_flights;
        load->free_flights = flight;
        if (done[i].result == 0) {
            load->records++;
            load->bytes += flight->bytes;
        } else if (load->failed == 0) {
            progress_clear(load);
            load->failed =
                warp_tool_failed(&load->tool, load->db, "writing", done[i].result);
        }
    }
    return load->failed;
}

/* Hand over what is waiting, polling while there is no room for it. 0, or an exit code. */
static int session_submit(struct load *load)
{
    static const struct timespec nap = {0, 1000000};
    uint32_t taken = 0;
    uint32_t stuck_ms = 0;

    while (taken < load->waiting_count) {
        int count =
            warp_submit(load->session, load->waiting + taken, load->waiting_count - taken);

        if (count < 0) {
            load->failed = warp_tool_failed(&load->tool, load->db, "writing", count);
            break;
        }
        taken += (uint32_t)count;
        load->flying_count += (uint32_t)count;
        if (taken == load->waiting_count) {
            break;
        }
        if (load->flying_count > 0) {
            if (session_collect(load, true) != 0) {
                break;
            }
        } else if (++stuck_ms > STUCK_MS_MAX) {
            load->failed = warp_tool_failed(&load->tool, load->db, "writing", WARP_AGAIN);
            break;
        } else {
            nanosleep(&nap, NULL);
        }
    }
    load->waiting_count = 0;
    return load->failed;
}

static int session_record(struct load *load, const struct warp_loader_record *record,
                          uint64_t ttl_ms)
{
    size_t key_bytes = load->prefix.bytes + record->key.bytes;
    size_t bytes = key_bytes + record->value.bytes;
    struct warp_request *request;
    struct flight *flight;

    while (load->free_flights == NULL ||
           (load->flying_count > 0 && load->flying_bytes + bytes > FLIGHT_BYTES_MAX)) {
        if (session_submit(load) != 0 || session_collect(load, true) != 0) {
            return load->failed;
        }
    }
    flight = load->free_flights;
    if (warp_lines_reserve(&flight->memory, &flight->capacity, bytes) < 0) {
        return load->failed =
                   warp_tool_error(&load->tool, "%s", warp_error_text(WARP_ENOMEM));
    }
    load->free_flights = flight->next;
    memcpy(flight->memory, load->prefix.data, load->prefix.bytes);
    memcpy(flight->memory + load->prefix.bytes, record->key.data, record->key.bytes);
    if (record->value.bytes > 0) {
        memcpy(flight->memory + key_bytes, record->value.data, record->value.bytes);
    }
    flight->bytes = bytes;
    flight->how = (struct warp_write)WARP_WRITE_INIT;
    flight->how.ttl_ms = ttl_ms;
    load->flying_bytes += bytes;
    request = &load->waiting[load->waiting_count++];
    *request = (struct warp_request)WARP_REQUEST_INIT;
    request->opcode = WARP_OP_PUT;
    request->cookie = (uint64_t)(flight - load->flights);
    request->key = (struct warp_slice){flight->memory, key_bytes};
    request->value = (struct warp_slice){flight->memory + key_bytes, record->value.bytes};
    request->how = ttl_ms != 0 ? &flight->how : NULL;
    if (load->waiting_count == SUBMIT_COUNT) {
        if (session_submit(load) != 0) {
            return load->failed;
        }
        return session_collect(load, false);
    }
    return 0;
}

/* ---- with batches ---- */

static int batch_commit(struct load *load)
{
    int rc;

    if (load->batch_records == 0) {
        return 0;
    }
    rc = warp_batch_commit(load->batch, NULL, NULL);
    if (rc != 0) {
        progress_clear(load);
        return load->failed = warp_tool_failed(&load->tool, load->db, "writing", rc);
    }
    load->records += load->batch_records;
    load->bytes += load->batch_bytes;
    load->batch_records = 0;
    load->batch_bytes = 0;
    return 0;
}

static int batch_record(struct load *load, const struct warp_loader_record *record,
                        uint64_t ttl_ms)
{
    struct warp_slice key = {load->batch_key, load->prefix.bytes + record->key.bytes};
    int rc;

    memcpy(load->batch_key + load->prefix.bytes, record->key.data, record->key.bytes);
    rc = warp_batch_put(load->batch, key, record->value, ttl_ms);
    if (rc == WARP_EBATCH && load->batch_records > 0) {
        if (batch_commit(load) != 0) {
            return load->failed;
        }
        rc = warp_batch_put(load->batch, key, record->value, ttl_ms);
    }
    if (rc != 0) {
        progress_clear(load);
        return load->failed = warp_tool_failed(&load->tool, load->db, "writing", rc);
    }
    load->batch_records++;
    load->batch_bytes += key.bytes + record->value.bytes;
    return load->batch_records == load->batch_records_max ? batch_commit(load) : 0;
}

/* ---- what the loaders call ---- */

static int sink_bad(void *context, uint64_t line, const char *sentence)
{
    struct load *load = context;

    if (!load->skip_bad || load->bad < BAD_SHOWN_MAX) {
        progress_clear(load);
        fprintf(stderr, "%s:%" PRIu64 ": %s\n", load->file, line, sentence);
    } else if (load->bad == BAD_SHOWN_MAX) {
        fputs("(and more)\n", stderr);
    }
    load->bad++;
    if (!load->skip_bad) {
        load->failed = WARP_TOOL_ERROR;
    }
    return load->failed;
}

static int sink_record(void *context, const struct warp_loader_record *record)
{
    struct load *load = context;
    uint64_t ttl_ms = 0;

    if (record->key.bytes > WARP_KEY_BYTES_MAX - load->prefix.bytes) {
        return sink_bad(load, record->line,
                        "the key with its prefix is longer than 65,536 bytes");
    }
    if (record->expires_at_ms != 0) {
        uint64_t now = wall_ms();

        if (record->expires_at_ms <= now) {
            load->expired++;
            return 0;
        }
        ttl_ms = record->expires_at_ms - now;
    }
    if (load->batch != NULL) {
        return batch_record(load, record, ttl_ms);
    }
    return session_record(load, record, ttl_ms);
}

/* ---- files ---- */

/* Read until `bytes` are there or the file ends. -1 on an error, with errno. */
static ssize_t read_some(int fd, char *buffer, size_t bytes)
{
    size_t used = 0;

    while (used < bytes) {
        ssize_t got = read(fd, buffer + used, bytes - used);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static int load_descriptor(struct load *load, int fd, enum warp_loader_format format,
                           const char *key)
{
    const struct warp_loader_sink sink = {sink_record, sink_bad, load};
    struct warp_loader *loader = NULL;
    const char *sentence;
    size_t wanted = GUESS_BYTES;
    char *buffer;
    ssize_t got;
    int rc = 0;

    buffer = malloc(READ_BYTES);
    loader = malloc(sizeof(*loader));
    if (buffer == NULL || loader == NULL) {
        free(buffer);
        free(loader);
        return load->failed =
                   warp_tool_error(&load->tool, "%s", warp_error_text(WARP_ENOMEM));
    }
    loader->format = WARP_LOADER_AUTO;
    for (;;) {
        got = read_some(fd, buffer, wanted);
        if (got < 0) {
            progress_clear(load);
            load->failed =
                warp_tool_error(&load->tool, "%s: %s", load->file, strerror(errno));
            break;
        }
        if (got == 0) {
            if (loader->format != WARP_LOADER_AUTO) {
                rc = warp_loader_finish(loader, &sink);
            }
            break;
        }
        if (loader->format == WARP_LOADER_AUTO) {
            if (format == WARP_LOADER_AUTO) {
                format = warp_loader_guess(buffer, (size_t)got, &sentence);
                if (format == WARP_LOADER_AUTO) {
                    load->failed =
                        warp_tool_error(&load->tool, "%s: %s", load->file, sentence);
                    break;
                }
            }
            rc = warp_loader_init(loader, format, key);
            if (rc == WARP_EINVAL) {
                load->failed = warp_tool_usage(
                    &load->tool, "--key '%s' makes no sense for %s", key != NULL ? key : "",
                    warp_loader_format_name(format));
                break;
            }
            if (rc < 0) {
                break;
            }
            wanted = READ_BYTES;
        }
        load->file_bytes += (uint64_t)got;
        rc = warp_loader_feed(loader, buffer, (size_t)got, &sink);
        if (rc != 0) {
            break;
        }
        progress_show(load);
    }
    if (rc < 0 && load->failed == 0) {
        progress_clear(load);
        load->failed =
            warp_tool_error(&load->tool, "%s: %s", load->file, warp_error_text(rc));
    }
    warp_loader_fini(loader);
    free(loader);
    free(buffer);
    return load->failed;
}

static int load_file(struct load *load, const char *name, enum warp_loader_format format,
                     const char *key)
{
    struct stat about;
    int fd = STDIN_FILENO;

    load->file = strcmp(name, "-") == 0 ? "standard input" : name;
    load->file_bytes = 0;
    load->file_total = 0;
    if (fd == STDIN_FILENO && load->file == name) {
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return load->failed =
                       warp_tool_error(&load->tool, "%s: %s", name, strerror(errno));
        }
    }
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0) {
        load->file_total = (uint64_t)about.st_size;
    }
    load_descriptor(load, fd, format, key);
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    return load->failed;
}

/* ---- the command ---- */

static int load_begin(struct load *load)
{
    int rc;

    if (load->batch_records_max > 0) {
        load->batch_key = malloc(WARP_KEY_BYTES_MAX);
        rc = load->batch_key != NULL ? warp_batch_create(load->db, &load->batch)
                                     : WARP_ENOMEM;
        if (rc == 0) {
            memcpy(load->batch_key, load->prefix.data, load->prefix.bytes);
        }
    } else {
        load->flights = calloc(DEPTH, sizeof(*load->flights));
        rc = load->flights != NULL ? warp_session_create(load->db, DEPTH, &load->session)
                                   : WARP_ENOMEM;
        for (uint32_t i = DEPTH; rc == 0 && i-- > 0;) {
            load->flights[i].next = load->free_flights;
            load->free_flights = &load->flights[i];
        }
    }
    return rc == 0 ? 0 : warp_tool_failed(&load->tool, load->db, "writing", rc);
}

/* Wait for all that is on its way, also after a failure, and release everything. */
static void load_end(struct load *load)
{
    if (load->batch != NULL && load->batch_records > 0 && load->failed == 0) {
        batch_commit(load);
    }
    if (load->session != NULL) {
        if (load->waiting_count > 0) {
            /* Good records that came before a bad one are written as well. */
            int failed = load->failed;

            load->failed = 0;
            session_submit(load);
            load->failed = failed != 0 ? failed : load->failed;
        }
        while (load->flying_count > 0) {
            uint32_t before = load->flying_count;

            session_collect(load, true);
            if (load->flying_count == before) {
                break;
            }
        }
    }
    warp_batch_destroy(&load->batch);
    warp_session_destroy(&load->session);
    for (uint32_t i = 0; load->flights != NULL && i < DEPTH; i++) {
        free(load->flights[i].memory);
    }
    free(load->flights);
    free(load->batch_key);
}

static void load_report(const struct load *load)
{
    uint64_t duration_ns = now_ns() - load->begin_ns;
    double seconds = (double)duration_ns / 1e9;
    char records[WARP_TEXT_SHORT_BYTES];
    char bytes[WARP_TEXT_SHORT_BYTES];
    char duration[WARP_TEXT_SHORT_BYTES];
    char rate[WARP_TEXT_SHORT_BYTES];
    char other[WARP_TEXT_SHORT_BYTES];

    if (load->tool.json) {
        printf("{\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"bad\":%" PRIu64
               ",\"expired\":%" PRIu64 ",\"duration_ns\":%" PRIu64 ",\"complete\":%s}\n",
               load->records, load->bytes, load->bad, load->expired, duration_ns,
               load->failed == 0 ? "true" : "false");
        return;
    }
    printf("%s %s records, %s of keys and values, in %s: %s records/s",
           load->failed == 0 ? "loaded" : "stopped after",
           warp_text_count(records, load->records), warp_text_size(bytes, load->bytes),
           warp_text_duration(duration, duration_ns),
           warp_text_count(
               rate, (uint64_t)((double)load->records / (seconds > 0 ? seconds : 1))));
    if (load->bad > 0 && load->skip_bad) {
        printf("; %s bad ones skipped", warp_text_count(other, load->bad));
    }
    if (load->expired > 0) {
        printf("; %s had expired", warp_text_count(other, load->expired));
    }
    fputc('\n', stdout);
}

int warp_tool_load(int argc, char **argv)
{
    static const struct option own[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"key", required_argument, NULL, OPTION_KEY},
        {"prefix", required_argument, NULL, OPTION_PREFIX},
        {"batch", required_argument, NULL, OPTION_BATCH},
        {"skip-bad", no_argument, NULL, OPTION_SKIP_BAD},
        {NULL, 0, NULL, 0},
    };
    static char dash[] = "-";
    static char *only_stdin[] = {dash};
    enum warp_loader_format format = WARP_LOADER_AUTO;
    const char *key = NULL;
    struct load *load;
    char **files;
    int file_count;
    int exit_code;
    int code;

    load = calloc(1, sizeof(*load));
    if (load == NULL) {
        fputs("warp load: out of memory\n", stderr);
        return WARP_TOOL_ERROR;
    }
    load->prefix.data = "";
    load->terminal = isatty(STDERR_FILENO);
    warp_tool_init(&load->tool, "load", help);
    exit_code = 0;
    while (exit_code == 0 && (code = warp_tool_next(&load->tool, argc, argv, own)) != 0) {
        switch (code) {
        case OPTION_FORMAT:
            if (!warp_loader_format_named(optarg, &format)) {
                exit_code = warp_tool_usage(
                    &load->tool, "--format is ndjson, tsv, debian or auto, not '%s'",
                    optarg);
            }
            break;
        case OPTION_KEY:
            key = optarg;
            break;
        case OPTION_PREFIX:
            load->prefix = (struct warp_slice){optarg, strlen(optarg)};
            if (load->prefix.bytes >= WARP_KEY_BYTES_MAX) {
                exit_code =
                    warp_tool_usage(&load->tool, "the prefix leaves no room for a key");
            }
            break;
        case OPTION_BATCH:
            if (!warp_text_read_u64(optarg, &load->batch_records_max) ||
                load->batch_records_max < 1 ||
                load->batch_records_max > WARP_BATCH_OPERATIONS_MAX) {
                exit_code = warp_tool_usage(&load->tool,
                                            "--batch is a number from 1 to %u, not '%s'",
                                            WARP_BATCH_OPERATIONS_MAX, optarg);
            }
            break;
        case OPTION_SKIP_BAD:
            load->skip_bad = true;
            break;
        default:
            exit_code = load->tool.exit_code;
            free(load);
            return exit_code;
        }
    }
    if (exit_code != 0) {
        free(load);
        return exit_code;
    }
    files = argc > optind ? argv + optind : only_stdin;
    file_count = argc > optind ? argc - optind : 1;
    exit_code = warp_tool_open(&load->tool, 0, &load->db);
    if (exit_code != 0) {
        free(load);
        return exit_code;
    }
    load->begin_ns = now_ns();
    load->failed = load_begin(load);
    for (int i = 0; i < file_count && load->failed == 0; i++) {
        load_file(load, files[i], format, key);
    }
    load_end(load);
    progress_clear(load);
    if (load->failed != WARP_TOOL_USAGE) {
        load_report(load);
    }
    exit_code = warp_tool_close(&load->tool, &load->db, load->failed);
    free(load);
    return exit_code;
}
