/* The audit of a directory: what is there and wrong, and what goes while it is read. */
#include "wal/audit.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/log_fixture.h"
#include "tests/lib/test.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"

#define S 16384u

struct audit_seen {
    struct log_fixture *log;
    uint32_t count;
    char file[48], what[192];
    uint64_t offset;
    const char *remove; /* at the first byte that is read of the log */
    int answer;
};

static void audit_see(void *context, const struct warp_audit_damage *damage)
{
    struct audit_seen *seen = context;

    seen->count++;
    snprintf(seen->file, sizeof(seen->file), "%s", damage->file);
    snprintf(seen->what, sizeof(seen->what), "%s", damage->what);
    seen->offset = damage->offset;
}

static int audit_see_pace(void *context, uint64_t bytes, uint64_t total)
{
    struct audit_seen *seen = context;

    check_u64(bytes, >, 0);
    check_u64(total, >, 0);
    if (seen->remove != NULL) {
        check(memory_disk_remove(seen->log->disk, seen->remove));
        seen->remove = NULL;
    }
    return seen->answer;
}

static int audit_run(struct log_fixture *log, uint64_t durable, struct audit_seen *seen,
                     struct warp_audit_report *report)
{
    struct warp_audit_config config = {.disk = &log->disk->disk,
                                       .memory = &log->memory,
                                       .manifest = &log->manifest,
                                       .durable = durable,
                                       .damaged = audit_see,
                                       .pace = audit_see_pace,
                                       .context = seen};

    seen->log = log;
    seen->count = 0;
    seen->file[0] = '\0';
    return warp_audit(&config, report);
}

/* 100 frames, a checkpoint from frame 60 on that lists file 1 and archive 5, and that archive. */
static void audit_make(struct log_fixture *log, uint64_t at[100])
{
    struct warp_checkpoint_writer *writer = NULL;
    struct warp_checkpoint_config checkpoint = {.number = 1};
    struct warp_checkpoint_segment segment = {.index = 1, .straddle_from = S, .bytes = S};
    struct warp_checkpoint_archive archived = {
        .number = 5, .raw_bytes = 1, .stored_bytes = 1};
    struct warp_archive_writer *archive = NULL;
    struct warp_archive_config archiving = {
        .number = 5, .block_bytes = 4096, .level = 1, .buffer_bytes = 65536};
    uint32_t i;

    log_init(log, S);
    log_open_frame(log, 1);
    for (i = 0; i < 100; i++) {
        at[i] = log_record(log, i, 900);
        log->mark = at[i];
    }
    log_close_frame(log);
    archiving.disk = &log->disk->disk;
    archiving.memory = &log->memory;
    archiving.manifest = &log->manifest;
    check_int(warp_archive_writer_create(&archive, &archiving, NULL, NULL), ==, 0);
    for (i = 0; i < 50; i++) {
        struct warp_archive_item item = {.slot = i, .hash = i, .sequence = 40 + i};

        item.entry.kind = WARP_ENTRY_PUT;
        item.entry.key = &i;
        item.entry.key_bytes = sizeof(i);
        item.entry.value = &i;
        item.entry.value_bytes = sizeof(i);
        check_int(warp_archive_writer_add(archive, &item), ==, 0);
    }
    check_int(warp_archive_writer_seal(archive, NULL), ==, 0);
    warp_archive_writer_destroy(&archive);
    checkpoint.disk = &log->disk->disk;
    checkpoint.memory = &log->memory;
    checkpoint.manifest = &log->manifest;
    checkpoint.begin = at[60];
    check_int(warp_checkpoint_writer_create(&writer, &checkpoint), ==, 0);
    check_int(
        warp_checkpoint_writer_seal(writer, at[70], 1, 6, &segment, 1, &archived, 1, NULL),
        ==, 0);
    warp_checkpoint_writer_destroy(&writer);
    log->manifest.head_position = at[60];
    log->manifest.checkpoint_number = 1;
    check_int(warp_manifest_write(&log->disk->disk, &log->manifest), ==, 0);
}

static void audit_flip(struct log_fixture *log, const char *name, uint64_t offset)
{
    uint64_t bytes;
    uint8_t *file = memory_disk_bytes(log->disk, name, &bytes);

    if (check(file != NULL && offset < bytes)) {
        file[offset] ^= 0x10;
    }
}

WARP_TEST(audit, a_sound_directory_is_in_order)
{
    struct warp_audit_report report;
    struct audit_seen seen = {0};
    struct log_fixture log;
    uint64_t at[100];

    audit_make(&log, at);
    check_int(audit_run(&log, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(seen.count, ==, 0);
    check_u64(report.durable, >, at[99]); /* as the last header says */
    check_u64(report.checkpoints, ==, 1);
    check_u64(report.entries, ==, 50);
    check_u64(report.frames, >=,
              39 + 15); /* from the head, and of the file that is listed */
    check_u64(report.files, >=, 5);
    check_u64(warp_memory_bytes(&log.memory), ==, 0);
    log_fini(&log);
}

WARP_TEST(audit, damage_is_told_for_each_kind_of_file_and_not_for_what_nobody_needs)
{
    static const struct {
        const char *name;
        uint64_t offset;
    } places[] = {{"MANIFEST", 70},
                  {"log-0000000000000001.warp", 6000}, /* listed */
                  {"log-0000000000000001.warp", 50},
                  {"log-0000000000000004.warp", 9000}, /* of the log */
                  {"checkpoint-0000000000000001.warp", 60},
                  {"archive-0000000000000005.warp", 4200},
                  {"archive-0000000000000005.warp", 60}};
    struct warp_audit_report report;
    struct audit_seen seen = {0};
    struct log_fixture log;
    uint64_t at[100];
    uint32_t i;

    audit_make(&log, at);
    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        audit_flip(&log, places[i].name, places[i].offset);
        check_int(audit_run(&log, UINT64_MAX, &seen, &report), ==, 0);
        check_u64(seen.count, >=, 1);
        check_u64(report.damages, ==, seen.count);
        check_str(seen.file, places[i].name);
        audit_flip(&log, places[i].name, places[i].offset);
    }
    audit_flip(&log, "log-0000000000000002.warp",
               6000); /* below the head, and not listed */
    check_int(audit_run(&log, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(seen.count, ==, 0);
    log_fini(&log);
}

WARP_TEST(audit, what_lies_above_the_durable_mark_is_not_looked_at)
{
    struct warp_audit_report report;
    struct audit_seen seen = {0};
    struct log_fixture log;
    uint64_t at[100];

    audit_make(&log, at);
    audit_flip(&log, "log-0000000000000005.warp", 4096 + at[95] % S + 50);
    check_u64(at[95] / S, ==, 5);
    check_int(audit_run(&log, at[95], &seen, &report), ==, 0);
    check_u64(seen.count, ==, 0);
    check_u64(report.durable, ==, at[95]);
    check_int(audit_run(&log, at[96], &seen, &report), ==, 0);
    check_u64(seen.count, ==, 1);
    log_fini(&log);
}

WARP_TEST(audit, what_is_missing_is_told_and_what_goes_meanwhile_is_not)
{
    struct warp_audit_report report;
    struct audit_seen seen = {0};
    struct log_fixture log, copy;
    uint64_t at[100];

    audit_make(&log, at);
    log_copy(&copy, &log);
    seen.remove =
        "log-0000000000000001.warp"; /* with its content wrong, before it is read */
    audit_flip(&copy, "log-0000000000000001.warp", 6000);
    check_int(audit_run(&copy, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(report.files_gone + seen.count, ==,
              1); /* a checkpoint that is there lists it */
    log_fini(&copy);

    log_copy(&copy, &log);
    check(memory_disk_remove(copy.disk, "archive-0000000000000005.warp"));
    check_int(audit_run(&copy, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(seen.count, ==, 1);
    check_str(seen.file, "archive-0000000000000005.warp");
    log_fini(&copy);

    log_copy(&copy, &log);
    check(memory_disk_remove(copy.disk, "log-0000000000000004.warp"));
    check_int(audit_run(&copy, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(seen.count, ==, 1);
    check_str(seen.file, "log-0000000000000004.warp");
    log_fini(&copy);

    log_copy(&copy, &log);
    check(memory_disk_remove(copy.disk, "checkpoint-0000000000000001.warp"));
    check_int(audit_run(&copy, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(seen.count, ==, 1);
    check_str(seen.file, "checkpoint-0000000000000001.warp");
    log_fini(&copy);

    log_copy(&copy, &log);
    check(memory_disk_remove(copy.disk, "MANIFEST"));
    check_int(audit_run(&copy, UINT64_MAX, &seen, &report), ==, 0);
    check_u64(seen.count, ==, 1);
    check_str(seen.file, "MANIFEST");
    log_fini(&copy);
    log_fini(&log);
}

WARP_TEST(audit, pace_can_end_it_and_each_failing_allocation_is_said)
{
    struct warp_audit_report report;
    struct audit_seen seen = {.answer = WARP_EBUSY};
    struct log_fixture log;
    uint64_t at[100], n;
    int rc = WARP_ENOMEM;

    audit_make(&log, at);
    check_int(audit_run(&log, UINT64_MAX, &seen, &report), ==, WARP_EBUSY);
    seen.answer = 0;
    for (n = 0; n < 100 && rc != 0; n++) {
        warp_memory_fail_after(&log.memory, n);
        rc = audit_run(&log, UINT64_MAX, &seen, &report);
        check(rc == 0 || rc == WARP_ENOMEM);
        warp_memory_fail_after(&log.memory, UINT64_MAX);
        check_u64(warp_memory_bytes(&log.memory), ==, 0);
    }
    check_int(rc, ==, 0);
    check_u64(n, >, 5);
    log_fini(&log);
}
