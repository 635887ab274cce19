/*
 * `warp backup` and `warp restore`. A backup of a closed database is made through a read-only
 * opening, so that the database stays byte for byte as it was; a program that has its database open
 * calls warp_backup() itself.
 */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/options.h"
#include "tools/text.h"

enum {
    OPTION_LIST = 1,
    OPTION_VERIFY,
    OPTION_DELETE,
    OPTION_BACKUP,
    OPTION_LIMIT,
};

struct backup_tool {
    struct warp_tool tool;
    struct warp_backup_options options;
    const char *directory;
    bool list, verify;
    uint64_t remove; /* number; 0: none */
    uint64_t number; /* 0: the newest, or all */
    uint64_t count;  /* told so far */
    bool shown;
};

static const char backup_help[] =
    "Usage: warp backup [--path DB] [--limit BYTES] DIR     make one more backup in DIR\n"
    "       warp backup --list DIR                          tell which there are\n"
    "       warp backup --verify DIR [--backup N]           compare every byte\n"
    "       warp backup --delete N DIR                      remove one\n"
    "\n"
    "A backup is a consistent copy of a database. Backups in one directory share what "
    "they have\n"
    "in common: each after the first copies only what is new. The database must not be "
    "open in\n"
    "another program; that one can back it up itself, while it works, with warp_backup().\n"
    "\n"
    "  --list                 number, time, size and new bytes of every backup\n"
    "  --verify               hold every byte against its checksum, of all backups or one\n"
    "  --delete N             remove backup N and the files that no other one has\n"
    "  --backup N             which one to verify\n"
    "  --limit BYTES          read at most so many bytes a second, with K, M or G\n";

static const char restore_help[] =
    "Usage: warp restore DIR --path NEW [--backup N]\n"
    "\n"
    "Make a database in the directory NEW, which must be absent or empty, of a backup in "
    "DIR.\n"
    "Every byte is held against its checksum before the database can be opened.\n"
    "\n"
    "  --backup N             which backup (default: the newest)\n"
    "  --limit BYTES          read at most so many bytes a second, with K, M or G\n";

static int tool_progress(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    struct backup_tool *backup = context;
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES];

    fprintf(stderr, "\r%s of %s ...   ", warp_text_size(a, bytes_done),
            warp_text_size(b, bytes_total));
    backup->shown = true;
    return 0;
}

static void tool_clear(struct backup_tool *backup)
{
    if (backup->shown) {
        fputs("\r                                        \r", stderr);
        backup->shown = false;
    }
}

static int tool_said(struct backup_tool *backup, const char *what, int rc)
{
    const char *sentence = backup->tool.message;

    tool_clear(backup);
    (void)warp_tool_error(&backup->tool, "%s: %s", what,
                          sentence[0] != '\0' ? sentence : warp_error_text(rc));
    return rc == WARP_EDAMAGED && backup->verify ? WARP_TOOL_ABSENT
           : rc == WARP_ENOENT && !backup->list && (backup->number | backup->remove) != 0
               ? WARP_TOOL_ABSENT
               : WARP_TOOL_ERROR;
}

static int tool_parse(struct backup_tool *backup, const char *name, const char *help,
                      const struct option *own, int argc, char **argv)
{
    static const struct warp_backup_options defaults = WARP_BACKUP_OPTIONS_INIT;
    struct warp_tool *tool = &backup->tool;
    int code;

    memset(backup, 0, sizeof(*backup));
    warp_tool_init(tool, name, help);
    backup->options = defaults;
    backup->options.message = tool->message;
    backup->options.message_bytes = sizeof(tool->message);
    while ((code = warp_tool_next(tool, argc, argv, own)) > 0) {
        uint64_t *number = code == OPTION_DELETE ? &backup->remove : &backup->number;

        if (code == OPTION_LIST) {
            backup->list = true;
        } else if (code == OPTION_VERIFY) {
            backup->verify = true;
        } else if (code == OPTION_LIMIT) {
            if (!warp_text_read_size(optarg, &backup->options.bytes_per_second) ||
                backup->options.bytes_per_second == 0) {
                return warp_tool_usage(tool, "--limit is a number of bytes, not '%s'",
                                       optarg);
            }
        } else if (!warp_text_read_u64(optarg, number) || *number == 0) {
            return warp_tool_usage(tool, "the number of a backup is 1 or more, not '%s'",
                                   optarg);
        }
    }
    if (code < 0) {
        return tool->exit_code;
    }
    if (argc == optind) {
        return warp_tool_usage(tool, "name the directory of the backups");
    }
    if (argc > optind + 1) {
        return warp_tool_usage(tool, "'%s' is one argument too many", argv[optind + 1]);
    }
    if (backup->list + backup->verify + (backup->remove != 0) > 1) {
        return warp_tool_usage(tool, "--list, --verify and --delete are one at a time");
    }
    backup->directory = argv[optind];
    if (isatty(STDERR_FILENO)) {
        backup->options.progress = tool_progress;
        backup->options.progress_context = backup;
    }
    return -1;
}

static void print_json(const struct warp_backup_info *info)
{
    if (info->damaged != 0) {
        printf("{\"number\":%" PRIu64 ",\"damaged\":true}", info->number);
        return;
    }
    printf("{\"number\":%" PRIu64 ",\"made_ms\":%" PRIu64 ",\"sequence\":%" PRIu64
           ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"files_copied\":%" PRIu64
           ",\"bytes_copied\":%" PRIu64 ",\"checkpoint\":%" PRIu64
           ",\"fencing_epoch\":%" PRIu32 ",\"damaged\":false}",
           info->number, info->made_ms, info->sequence, info->files, info->bytes,
           info->files_copied, info->bytes_copied, info->checkpoint, info->fencing_epoch);
}

static int list_visit(void *context, const struct warp_backup_info *info)
{
    struct backup_tool *backup = context;
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES];
    char when[64] = "?";
    time_t seconds = (time_t)(info->made_ms / 1000);
    struct tm parts;

    if (backup->tool.json) {
        fputs(backup->count > 0 ? "," : "", stdout);
        print_json(info);
    } else if (info->damaged != 0) {
        printf("%6" PRIu64 "  its description cannot be read\n", info->number);
    } else {
        if (localtime_r(&seconds, &parts) != NULL) {
            (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &parts);
        }
        printf("%6" PRIu64 "  %s  %10s in %" PRIu64 " files, %10s new\n", info->number,
               when, warp_text_size(a, info->bytes), info->files,
               warp_text_size(b, info->bytes_copied));
    }
    backup->count++;
    return 0;
}

static int list_backups(struct backup_tool *backup)
{
    int rc;

    if (backup->tool.json) {
        fputs("[", stdout);
    }
    rc = warp_backup_list(backup->directory, list_visit, backup, &backup->options);
    if (backup->tool.json) {
        puts("]");
    } else if (rc == 0 && backup->count == 0) {
        puts("there are no backups");
    }
    return rc != 0 ? tool_said(backup, backup->directory, rc)
                   : warp_tool_close(&backup->tool, &(struct warp *){NULL}, WARP_TOOL_DONE);
}

static int verify_backups(struct backup_tool *backup)
{
    int rc = warp_backup_verify(backup->directory, backup->number, &backup->options);

    if (backup->tool.json) {
        printf("{\"whole\":%s}\n", rc == 0 ? "true" : "false");
    } else if (rc == 0) {
        tool_clear(backup);
        puts("every byte is as it was copied");
    }
    return rc != 0 ? tool_said(backup, backup->directory, rc)
                   : warp_tool_close(&backup->tool, &(struct warp *){NULL}, WARP_TOOL_DONE);
}

static int delete_backup(struct backup_tool *backup)
{
    int rc = warp_backup_delete(backup->directory, backup->remove, &backup->options);

    if (rc == 0 && backup->tool.json) {
        printf("{\"deleted\":%" PRIu64 "}\n", backup->remove);
    }
    return rc != 0 ? tool_said(backup, backup->directory, rc)
                   : warp_tool_close(&backup->tool, &(struct warp *){NULL}, WARP_TOOL_DONE);
}

int warp_tool_backup(int argc, char **argv)
{
    static const struct option own[] = {{"list", no_argument, NULL, OPTION_LIST},
                                        {"verify", no_argument, NULL, OPTION_VERIFY},
                                        {"delete", required_argument, NULL, OPTION_DELETE},
                                        {"backup", required_argument, NULL, OPTION_BACKUP},
                                        {"limit", required_argument, NULL, OPTION_LIMIT},
                                        {NULL, 0, NULL, 0}};
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES];
    struct warp_backup_info info = WARP_BACKUP_INFO_INIT;
    struct backup_tool backup;
    struct warp *db = NULL;
    int exit_code, rc;

    exit_code = tool_parse(&backup, "backup", backup_help, own, argc, argv);
    if (exit_code >= 0) {
        return exit_code;
    }
    if (backup.list) {
        return list_backups(&backup);
    }
    if (backup.verify) {
        return verify_backups(&backup);
    }
    if (backup.remove != 0) {
        return delete_backup(&backup);
    }
    if (backup.number != 0) {
        return warp_tool_usage(&backup.tool, "--backup goes with --verify");
    }
    exit_code = warp_tool_open(&backup.tool, WARP_MUST_EXIST | WARP_READ_ONLY, &db);
    if (exit_code != 0) {
        return exit_code;
    }
    backup.tool.message[0] = '\0';
    rc = warp_backup(db, backup.directory, &backup.options, &info);
    tool_clear(&backup);
    if (rc != 0) {
        exit_code = tool_said(&backup, backup.directory, rc);
    } else if (backup.tool.json) {
        print_json(&info);
        puts("");
    } else {
        printf("backup %" PRIu64 ": %s in %" PRIu64 " files, of which %s in %" PRIu64
               " are new\n",
               info.number, warp_text_size(a, info.bytes), info.files,
               warp_text_size(b, info.bytes_copied), info.files_copied);
    }
    return warp_tool_close(&backup.tool, &db, exit_code);
}

int warp_tool_restore(int argc, char **argv)
{
    static const struct option own[] = {{"backup", required_argument, NULL, OPTION_BACKUP},
                                        {"limit", required_argument, NULL, OPTION_LIMIT},
                                        {NULL, 0, NULL, 0}};
    char a[WARP_TEXT_SHORT_BYTES];
    struct warp_backup_info info = WARP_BACKUP_INFO_INIT;
    struct backup_tool backup;
    int exit_code, rc;

    exit_code = tool_parse(&backup, "restore", restore_help, own, argc, argv);
    if (exit_code >= 0) {
        return exit_code;
    }
    rc = warp_restore(backup.directory, backup.number, backup.tool.path, &backup.options,
                      &info);
    tool_clear(&backup);
    if (rc != 0) {
        return tool_said(&backup, backup.tool.path, rc);
    }
    if (backup.tool.json) {
        print_json(&info);
        puts("");
    } else {
        printf("backup %" PRIu64 " is restored to %s: %s in %" PRIu64 " files\n",
               info.number, backup.tool.path, warp_text_size(a, info.bytes), info.files);
    }
    return warp_tool_close(&backup.tool, &(struct warp *){NULL}, WARP_TOOL_DONE);
}
