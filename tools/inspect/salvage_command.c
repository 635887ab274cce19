/*
 * `warp salvage`: copies what can be read of a damaged database into a new one.
 *
 * The source is opened for reading alone and nothing in it is changed; if it has a lock file that is
 * taken shared, so nobody can open it for writing meanwhile. The new database is filled through the
 * public face, like any other. What is lost goes to standard output, as far as it fits, and with
 * --losses all of it to a file.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "tools/commands.h"
#include "tools/inspect/meter.h"
#include "tools/inspect/salvage.h"
#include "tools/options.h"
#include "tools/text.h"
#include "wal/manifest.h"

static const char help[] =
    "Usage: warp salvage --path DAMAGED --to NEW [OPTION]...\n"
    "\n"
    "Copy what can still be read of a damaged database into a new one, and say what is\n"
    "lost. The damaged one is only read, and must be open nowhere; NEW must not exist, or "
    "be\n"
    "an empty directory. The newest readable version of each key is taken; what was "
    "deleted\n"
    "stays deleted as long as the files say so. Needs memory for all keys, twice.\n"
    "\n"
    "Exit status 0: all of it was copied, as far as can be known. 1: there are losses.\n"
    "3: nothing could be copied.\n"
    "\n"
    "  --to NEW               where the copy goes\n"
    "  --losses FILE          write all losses to FILE, one JSON object a line\n"
    "  --mb-per-s N           read at most so many megabytes a second\n";

enum { OPTION_TO = 1, OPTION_LOSSES, OPTION_MB };

#define SALVAGE_RANGES_SHOWN 50u
#define SALVAGE_KEYS_SHOWN   20u
#define SALVAGE_KEY_SHOWN    60u

struct salvage_command {
    struct warp_tool tool;
    struct meter meter;
    const char *to, *losses_name;
    FILE *losses;
    struct warp *db;
    uint64_t now_ms;
    int rc; /* of the new database */
    uint64_t ranges_shown, keys_shown, keys_told, bytes;
};

/* ---- losses ------------------------------------------------------------------------------- */

static void command_print_key(struct warp_slice key)
{
    const uint8_t *bytes = key.data;
    size_t i;

    for (i = 0; i < key.bytes && i < SALVAGE_KEY_SHOWN; i++) {
        putchar(bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '.');
    }
    if (key.bytes > SALVAGE_KEY_SHOWN) {
        fputs("...", stdout);
    }
}

static const char *command_kind(const struct salvage_loss *loss)
{
    switch (loss->kind) {
    case SALVAGE_RANGE:
        return "range";
    case SALVAGE_LOST:
        return "lost";
    case SALVAGE_OLDER:
        return "older";
    case SALVAGE_DOUBTFUL:
        return "doubtful";
    }
    return "?";
}

static void command_write_loss(FILE *file, const struct salvage_loss *loss)
{
    fprintf(file, "{\"kind\":\"%s\"", command_kind(loss));
    if (loss->kind == SALVAGE_RANGE) {
        fprintf(file, ",\"matters\":%s", loss->matters ? "true" : "false");
    } else {
        fputc(',', file);
        warp_text_write_json_member(file, "key", loss->key.data, loss->key.bytes);
    }
    if (loss->file[0] != '\0') {
        fprintf(file, ",\"file\":\"%s\",\"offset\":%" PRIu64, loss->file, loss->offset);
    }
    if (loss->bytes != UINT64_MAX) {
        fprintf(file, ",\"bytes\":%" PRIu64, loss->bytes);
    }
    if (loss->position != UINT64_MAX) {
        fprintf(file, ",\"position\":%" PRIu64, loss->position);
    }
    fputs(",\"what\":", file);
    warp_text_write_json_string(file, loss->what, strlen(loss->what));
    fputs("}\n", file);
}

static void command_loss(void *context, const struct salvage_loss *loss)
{
    struct salvage_command *c = context;

    if (c->losses != NULL) {
        command_write_loss(c->losses, loss);
    }
    c->keys_told += loss->kind != SALVAGE_RANGE;
    if (c->tool.json) {
        return;
    }
    if (loss->kind == SALVAGE_RANGE) {
        if (c->ranges_shown++ >= SALVAGE_RANGES_SHOWN) {
            return;
        }
        meter_clear(&c->meter);
        printf("damaged: %s, offset %" PRIu64, loss->file, loss->offset);
        if (loss->bytes != UINT64_MAX) {
            printf(" to %" PRIu64, loss->offset + loss->bytes);
        }
        printf(": %s\n", loss->what);
        return;
    }
    if (c->keys_shown++ >= SALVAGE_KEYS_SHOWN) {
        return;
    }
    meter_clear(&c->meter);
    printf("%s: ", command_kind(loss));
    command_print_key(loss->key);
    printf(": %s\n", loss->what);
}

/* ---- records ------------------------------------------------------------------------------ */

static int command_store(void *context, struct warp_slice key, struct warp_slice value,
                         uint64_t expires_at_ms)
{
    struct salvage_command *c = context;
    struct warp_write how = WARP_WRITE_INIT;
    uint32_t tries = 0;
    int rc;

    how.durability = WARP_MEMORY; /* all is made durable at the end */
    how.ttl_ms = expires_at_ms == 0 ? 0 : expires_at_ms - c->now_ms;
    do {
        rc = warp_put(c->db, key, value, &how, NULL);
    } while (rc == WARP_AGAIN && tries++ < 60);
    if (rc > 0) {
        rc = WARP_EFAILED;
    }
    c->rc = rc;
    c->bytes += key.bytes + value.bytes;
    return rc;
}

static int command_pace(void *context, uint64_t done, uint64_t total)
{
    struct salvage_command *c = context;

    c->meter.total = total;
    if (done > c->meter.done) {
        meter_add(&c->meter, done - c->meter.done);
    }
    return 0;
}

/* ---- the report --------------------------------------------------------------------------- */

static void command_report_json(const struct salvage_command *c,
                                const struct salvage_report *r)
{
    printf("{\"complete\":%s,\"records\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"expired\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"older\":%" PRIu64
           ",\"doubtful\":%" PRIu64 ",\"writes_lost\":%" PRIu64
           ",\"writes_lost_most\":%" PRIu64 ",\"batches_partial\":%" PRIu64
           ",\"ranges\":%" PRIu64 ",\"ranges_matter\":%" PRIu64
           ",\"manifest_rebuilt\":%s,\"foreign_files\":%" PRIu64
           ",\"checkpoints_used\":%" PRIu32 ",\"checkpoints_damaged\":%" PRIu32
           ",\"slots_covered\":%" PRIu32 ",\"duration_ns\":%" PRIu64 "}\n",
           salvage_complete(r) ? "true" : "false", r->stored, c->bytes, r->expired, r->lost,
           r->older, r->doubtful, r->writes_lost, r->writes_lost + r->writes_lost_most,
           r->batches_partial, r->ranges, r->ranges_matter,
           r->manifest_rebuilt ? "true" : "false", r->foreign_files, r->checkpoints_used,
           r->checkpoints_damaged, r->slots_covered, meter_passed_ns(&c->meter));
}

static void command_report_text(const struct salvage_command *c,
                                const struct salvage_report *r)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], t[WARP_TEXT_SHORT_BYTES];

    if (c->ranges_shown > SALVAGE_RANGES_SHOWN || c->keys_shown > SALVAGE_KEYS_SHOWN) {
        printf("... and %" PRIu64 " ranges and %" PRIu64 " keys more%s\n",
               c->ranges_shown > SALVAGE_RANGES_SHOWN
                   ? c->ranges_shown - SALVAGE_RANGES_SHOWN
                   : 0,
               c->keys_shown > SALVAGE_KEYS_SHOWN ? c->keys_shown - SALVAGE_KEYS_SHOWN : 0,
               c->losses_name != NULL ? "" : ": --losses FILE writes them all");
    }
    if (r->manifest_rebuilt) {
        printf("%s: it was made again from the other files\n", r->manifest_why);
    }
    if (r->foreign_files > 0) {
        printf("%s files of other databases were left aside\n",
               warp_text_count(a, r->foreign_files));
    }
    printf("%s: %s records, %s, copied in %s\n", c->to, warp_text_count(a, r->stored),
           warp_text_size(b, c->bytes), warp_text_duration(t, meter_passed_ns(&c->meter)));
    if (r->slots_covered < WARP_SLOT_COUNT && r->checkpoints_damaged > 0) {
        printf("  no checkpoint could be read for %.1f %% of the keys: the log and the "
               "archives "
               "decided\n",
               100.0 - 100.0 * (double)r->slots_covered / (double)WARP_SLOT_COUNT);
    }
    if (r->expired > 0) {
        printf("  %s more had expired\n", warp_text_count(a, r->expired));
    }
    if (r->older > 0) {
        printf("  %s of them in an older version, for the newest cannot be read\n",
               warp_text_count(a, r->older));
    }
    if (r->doubtful > 0) {
        printf(
            "  %s of them may have been deleted or replaced since: what said so is gone\n",
            warp_text_count(a, r->doubtful));
    }
    if (r->batches_partial > 0) {
        printf("  %s atomic batches could only be read in part\n",
               warp_text_count(a, r->batches_partial));
    }
    if (salvage_complete(r)) {
        puts("COMPLETE: nothing is lost, as far as can be known");
        return;
    }
    printf("LOSSES: %s records for certain", warp_text_count(a, r->lost));
    printf("; %s writes whose keys are not known", warp_text_count(a, r->writes_lost));
    if (r->writes_lost_most > 0) {
        printf(", and at most %s more", warp_text_count(a, r->writes_lost_most));
    }
    putchar('\n');
}

/* ---- the run ------------------------------------------------------------------------------- */

static bool command_same_directory(const char *a, const char *b)
{
    struct stat left, right;

    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino;
}

/* Is there nothing, or an empty directory? */
static bool command_is_free(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    bool empty = true;

    if (directory == NULL) {
        return errno == ENOENT;
    }
    while (empty && (entry = readdir(directory)) != NULL) {
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    closedir(directory);
    return empty;
}

/* Keep writers out, without making a lock file. 0 (*locked says whether), or an exit status. */
static int command_lock(struct salvage_command *c, const struct warp_disk *disk,
                        bool *locked)
{
    char holder[256] = "";
    int32_t file = disk->ops->open(disk->context, WARP_LOCK_NAME, WARP_FILE_READ_ONLY);
    int rc;

    if (file == -ENOENT) {
        return 0; /* nobody has it open, then */
    }
    if (file >= 0) {
        disk->ops->close(disk->context, file);
    }
    rc = disk->ops->lock(disk->context, WARP_LOCK_NAME, true, holder, sizeof(holder));
    if (rc == -EWOULDBLOCK) {
        return warp_tool_error(&c->tool, "%s is open, by %s: close it first", c->tool.path,
                               holder[0] != 0 ? holder : "somebody");
    }
    if (rc < 0 && rc != -EROFS) {
        return warp_tool_error(&c->tool, "%s: it cannot be locked: %s", c->tool.path,
                               strerror(-rc));
    }
    *locked = rc == 0;
    return 0;
}

static int command_copy(struct salvage_command *c, const struct warp_disk *disk,
                        struct warp_memory *memory)
{
    struct warp_options options = c->tool.options;
    struct salvage_report report;
    struct salvage_config config = {.disk = disk,
                                    .memory = memory,
                                    .now_ms = c->now_ms,
                                    .store = command_store,
                                    .loss = command_loss,
                                    .pace = command_pace,
                                    .context = c};
    char message[512] = "";
    int rc, exit_code;

    options.open_flags = WARP_CREATE | WARP_MUST_BE_NEW;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = warp_open(c->to, &options, &c->db);
    if (rc < 0) {
        return warp_tool_error(&c->tool, "%s: %s", c->to,
                               message[0] != 0 ? message : warp_error_text(rc));
    }
    rc = salvage_run(&config, &report);
    meter_clear(&c->meter);
    if (rc == 0) {
        rc = warp_flush(c->db);
    }
    if (rc < 0) {
        exit_code =
            c->rc < 0 ? warp_tool_failed(&c->tool, c->db, c->to, rc)
            : rc == WARP_ENOENT
                ? warp_tool_error(&c->tool,
                                  "%s: %s, and no file here says of which database "
                                  "it is",
                                  c->tool.path,
                                  report.manifest_why[0] != 0 ? report.manifest_why
                                                              : "there is no database")
                : warp_tool_error(&c->tool, "%s: %s", c->tool.path, warp_error_text(rc));
    } else {
        if (c->tool.json) {
            command_report_json(c, &report);
        } else {
            command_report_text(c, &report);
        }
        exit_code = salvage_complete(&report) ? WARP_TOOL_DONE
                    : report.stored > 0       ? WARP_TOOL_ABSENT
                                              : WARP_TOOL_ERROR;
    }
    rc = warp_close(&c->db);
    if (rc < 0 && exit_code != WARP_TOOL_ERROR) {
        exit_code =
            warp_tool_error(&c->tool, "%s: closing it: %s", c->to, warp_error_text(rc));
    }
    return exit_code;
}

static int command_run(struct salvage_command *c)
{
    struct warp_memory memory;
    struct warp_disk disk = {0};
    char message[512] = "";
    bool locked = false;
    int rc, exit_code;

    if (command_same_directory(c->tool.path, c->to)) {
        return warp_tool_usage(&c->tool, "--to must be another directory than --path");
    }
    if (!command_is_free(c->to)) {
        return warp_tool_error(&c->tool, "%s is there already, and not an empty directory",
                               c->to);
    }
    if (warp_memory_init(&memory, NULL) < 0) {
        return warp_tool_error(&c->tool, "there is no memory left");
    }
    rc = warp_disk_open_directory(c->tool.path, &memory, WARP_IO_BACKEND_PLAIN, false,
                                  &disk, message, sizeof(message));
    if (rc < 0) {
        exit_code =
            warp_tool_error(&c->tool, "%s", message[0] != 0 ? message : strerror(-rc));
        warp_memory_fini(&memory);
        return exit_code;
    }
    exit_code = command_lock(c, &disk, &locked);
    if (exit_code == 0 && c->losses_name != NULL) {
        c->losses = fopen(c->losses_name, "w");
        if (c->losses == NULL) {
            exit_code =
                warp_tool_error(&c->tool, "%s: %s", c->losses_name, strerror(errno));
        }
    }
    if (exit_code == 0) {
        exit_code = command_copy(c, &disk, &memory);
    }
    if (c->losses != NULL) {
        bool failed = ferror(c->losses) != 0;

        if (fclose(c->losses) != 0 || failed) {
            exit_code =
                warp_tool_error(&c->tool, "%s: %s", c->losses_name, strerror(errno));
        }
    }
    if (locked) {
        disk.ops->unlock(disk.context);
    }
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
    return exit_code;
}

int warp_tool_salvage(int argc, char **argv)
{
    static const struct option own[] = {
        {"to", required_argument, NULL, OPTION_TO},
        {"losses", required_argument, NULL, OPTION_LOSSES},
        {"mb-per-s", required_argument, NULL, OPTION_MB},
        {NULL, 0, NULL, 0},
    };
    struct salvage_command c;
    int code, exit_code;

    memset(&c, 0, sizeof(c));
    warp_tool_init(&c.tool, "salvage", help);
    meter_init(&c.meter);
    c.now_ms = warp_clock_wall_ms(warp_clock_system());
    while ((code = warp_tool_next(&c.tool, argc, argv, own)) > 0) {
        c.to = code == OPTION_TO ? optarg : c.to;
        c.losses_name = code == OPTION_LOSSES ? optarg : c.losses_name;
        if (code == OPTION_MB && !meter_read_mb(optarg, &c.meter.rate)) {
            return warp_tool_usage(
                &c.tool, "--mb-per-s is a number greater than 0, not '%s'", optarg);
        }
    }
    if (code < 0) {
        return c.tool.exit_code;
    }
    if (argc > optind) {
        return warp_tool_usage(&c.tool, "'%s' is one argument too many", argv[optind]);
    }
    if (c.to == NULL || c.to[0] == '\0') {
        return warp_tool_usage(&c.tool, "--to says where the copy goes, and is needed");
    }
    exit_code = command_run(&c);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        exit_code = warp_tool_error(&c.tool, "standard output: %s", strerror(errno));
    }
    return exit_code;
}
