/*
 * `warp verify` on directories that are whole, damaged in several ways, held, foreign or
 * absent.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/test.h"
#include "tools/commands.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"
#include "warp/warp.h"

#define S 65536u

/* What a run of the command printed; cut to the buffer. */
struct verify_run {
    int exit_code;
    char out[16384];
    char err[4096];
};

static void read_all(const char *path, char *to, size_t capacity)
{
    FILE *file = fopen(path, "rb");
    size_t got = 0;

    if (check(file != NULL)) {
        got = fread(to, 1, capacity - 1, file);
        fclose(file);
    }
    to[got] = '\0';
}

/* The command in a process of its own, with its output in files. */
static void run_verify(struct verify_run *run, const char *path, const char *a,
                       const char *b)
{
    char out[512], err[512];
    int status = -1;
    pid_t child;

    snprintf(out, sizeof(out), "%s.out", path); /* beside it, not among its files */
    snprintf(err, sizeof(err), "%s.err", path);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        char *arguments[] = {"verify", "--path", (char *)path, (char *)a, (char *)b, NULL};
        int count = 3 + (a != NULL) + (b != NULL);

        if (freopen(out, "w", stdout) == NULL || freopen(err, "w", stderr) == NULL) {
            _exit(99);
        }
        status = warp_tool_verify(count, arguments);
        fflush(NULL);
        _exit(status);
    }
    check_int(waitpid(child, &status, 0), ==, child);
    check(WIFEXITED(status));
    run->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_all(out, run->out, sizeof(run->out));
    read_all(err, run->err, sizeof(run->err));
    unlink(out);
    unlink(err);
}

/* Write the fixture's files, and its manifest, into a real directory. */
static void write_directory(struct log_fixture *log, const char *path)
{
    struct memory_disk *disk = log->disk;
    char name[WARP_SEGMENT_NAME_BYTES], full[512];
    uint64_t index, bytes;

    check_int(warp_manifest_write(&disk->disk, &log->manifest), ==, 0);
    for (index = 0; index <= 64; index++) {
        const uint8_t *data;
        FILE *file;

        if (index < 64) {
            warp_segment_name(index, name);
        } else {
            snprintf(name, sizeof(name), "MANIFEST");
        }
        data = memory_disk_bytes(disk, name, &bytes);
        if (data == NULL) {
            continue;
        }
        snprintf(full, sizeof(full), "%s/%s", path, name);
        file = fopen(full, "wb");
        if (check(file != NULL)) {
            check_u64(fwrite(data, 1, bytes, file), ==, bytes);
            fclose(file);
        }
    }
}

static void log_make(struct log_fixture *log, uint64_t at[300])
{
    uint32_t i;

    log_init(log, S);
    log_open_frame(log, 1);
    for (i = 0; i < 300; i++) {
        at[i] = i % 10 == 9 ? log_batch(log, i, 5) : log_record(log, i, 700);
        log->mark = at[i];
    }
    log_close_frame(log);
}

WARP_TEST(verify, a_whole_database_is_in_order)
{
    const char *path = test_directory();
    struct verify_run run;
    struct log_fixture log;
    uint64_t at[300];

    log_make(&log, at);
    write_directory(&log, path);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "OK: no damage") != NULL);
    check(strstr(run.out, "302 frames") != NULL);
    check(strstr(run.out, "390 puts, 30 deletes") != NULL); /* 270 + 30 x 4; 30 x 1 */
    check_str(run.err, "");                                 /* no bar: not a terminal */
    run_verify(&run, path, "--json", NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "\"ok\":true") != NULL);
    check(strstr(run.out, "\"frames\":302") != NULL);
    check(strstr(run.out, "\"clean\":true") != NULL);
    log_fini(&log);
}

WARP_TEST(verify, the_log_is_printed_frame_by_frame)
{
    const char *path = test_directory();
    struct verify_run run;
    struct log_fixture log;

    log_init(&log, S);
    log_open_frame(&log, 1);
    log_record(&log, 7, 3);
    log_batch(&log, 1, 4);
    log_frame(&log, WARP_FRAME_MARK, NULL, 0);
    write_directory(&log, path);
    run_verify(&run, path, "--log", NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "0 OPEN epoch 1 bytes 40 mark 0 20") == run.out);
    check(strstr(run.out,
                 "40 RECORD epoch 1 bytes 56 mark 0 put key key00000007 value 3 bytes\n") !=
          NULL);
    check(strstr(run.out, "96 BATCH epoch 1 bytes ") != NULL);
    check(strstr(run.out, " entries 4\n") != NULL);
    check(strstr(run.out, " MARK epoch 1 bytes 32 mark 0\n") != NULL);
    run_verify(&run, path, "--log", "--json");
    check(strstr(run.out,
                 "\"operation\":\"put\",\"key\":\"key00000007\",\"value_bytes\":3}") !=
          NULL);
    log_fini(&log);
}

WARP_TEST(verify, an_unfinished_tail_is_no_damage)
{
    const char *path = test_directory();
    struct verify_run run;
    struct log_fixture log;
    uint64_t last;
    uint8_t byte = 0x55;

    log_init(&log, S);
    log_open_frame(&log, 1);
    last = log_record(&log, 7, 300);
    log_poke(&log, last + 200, &byte, 1);
    write_directory(&log, path);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "unfinished tail at position 40") != NULL);
    check(strstr(run.out, "not closed properly") != NULL);
    log_fini(&log);
}

WARP_TEST(verify, every_damaged_place_is_listed)
{
    const char *path = test_directory();
    struct verify_run run;
    struct log_fixture log;
    uint64_t at[300];
    char line[256];
    uint8_t byte = 0x55;
    uint32_t i;

    log_make(&log, at);
    for (i = 20; i < 300; i += 70) {
        log_poke(&log, at[i] + 300, &byte, 1);
    }
    write_directory(&log, path);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    for (i = 20; i < 300; i += 70) {
        snprintf(
            line, sizeof(line),
            "damaged: log-%016llx.warp, offset %llu: the body's checksum is wrong; log "
            "positions %llu to %llu (",
            (unsigned long long)(at[i] / S), (unsigned long long)(4096 + at[i] % S),
            (unsigned long long)at[i], (unsigned long long)at[i + 1]);
        check(strstr(run.out, line) != NULL);
    }
    check(strstr(run.out, "298 frames") != NULL);
    check(strstr(run.out, "DAMAGED: 4 places") != NULL);
    run_verify(&run, path, "--json", NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "\"ok\":false") != NULL);
    check(strstr(run.out, "\"damage_count\":4") != NULL);
    log_fini(&log);
}

WARP_TEST(verify, a_damaged_manifest_or_a_missing_file_is_named)
{
    const char *path = test_directory();
    struct verify_run run;
    struct log_fixture log;
    uint64_t at[300];
    char name[512];
    int file;

    log_make(&log, at);
    write_directory(&log, path);
    snprintf(name, sizeof(name), "%s/log-0000000000000001.warp", path);
    check_int(unlink(name), ==, 0);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "log-0000000000000001.warp, offset 0: the file is missing") !=
          NULL);
    check(strstr(run.out, "DAMAGED: the log was not read") != NULL);

    snprintf(name, sizeof(name), "%s/MANIFEST", path);
    file = open(name, O_WRONLY);
    check_int(pwrite(file, "x", 1, 1000), ==, 1);
    close(file);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "MANIFEST, offset 20: the checksum is wrong") != NULL);
    log_fini(&log);
}

WARP_TEST(verify, a_database_in_use_is_checked_and_its_holder_named)
{
    const char *path = test_directory();
    struct warp_disk disk = {0};
    struct warp_memory memory;
    struct verify_run run;
    struct log_fixture log;
    char pid[32], holder[256];
    uint64_t at[300];
    uint8_t byte = 0x55;

    log_make(&log, at);
    write_directory(&log, path);
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(path, &memory, WARP_IO_BACKEND_PLAIN, false, &disk,
                                       NULL, 0),
              ==, 0);
    check_int(disk.ops->lock(disk.context, WARP_LOCK_NAME, false, holder, sizeof(holder)),
              ==, 0);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, " is open, by ") != NULL);
    check(strstr(run.out, "OK: no damage") != NULL);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    check(strstr(run.out, pid) != NULL);
    run_verify(&run, path, "--json", NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "\"ok\":true,\"in_use\":true") != NULL);

    run_verify(&run, path, "--log", NULL); /* that needs the whole log */
    check_int(run.exit_code, ==, 3);
    check(strstr(run.err, "is open already, by ") != NULL);
    run_verify(&run, path, "--recovery-estimate", NULL);
    check_int(run.exit_code, ==, 3);

    log_poke(&log, at[20] + 300, &byte, 1);
    write_directory(&log, path);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "damaged: log-0000000000000000.warp, offset ") != NULL);
    check(strstr(run.out, "DAMAGED: 1 places") != NULL);
    run_verify(&run, path, "--json", NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "\"damage_count\":1,\"damage\":[{\"file\":\"log-") != NULL);
    disk.ops->unlock(disk.context);
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
    log_fini(&log);
}

WARP_TEST(verify, what_is_no_database_is_an_error_and_stays_untouched)
{
    const char *path = test_directory();
    struct verify_run run;
    char name[512];
    FILE *file;

    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 3);
    snprintf(name, sizeof(name), "%s/%s", path, WARP_LOCK_NAME);
    check(access(name, F_OK) != 0);
    snprintf(name, sizeof(name), "%s/none", path);
    run_verify(&run, name, NULL, NULL);
    check_int(run.exit_code, ==, 3);
    snprintf(name, sizeof(name), "%s/MANIFEST", path);
    file = fopen(name, "wb");
    fputs("{\"this\": \"is a web page's manifest\"}", file);
    fclose(file);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 3);
    snprintf(name, sizeof(name), "%s/%s", path, WARP_LOCK_NAME);
    check(access(name, F_OK) != 0);
    run_verify(&run, path, "--nonsense", NULL);
    check_int(run.exit_code, ==, 2);
    run_verify(&run, path, "stray", NULL);
    check_int(run.exit_code, ==, 2);
}

/* ---- databases with checkpoints ---------------------------------------------------------- */

/* 400 records of 8,000 bytes over and over, a checkpoint after each round but the last. */
static void make_database(const char *path, uint32_t rounds, bool compact)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    static uint8_t value[8000];
    struct warp *db = NULL;
    uint32_t round, i;
    char key[32];

    options.durability = WARP_INTERVAL;
    options.segment_bytes = 1 << 20;
    options.shard_count = 2;
    options.compaction = 2; /* only when asked */
    if (!check_int(warp_open(path, &options, &db), ==, 0)) {
        return;
    }
    for (round = 0; round < rounds; round++) {
        for (i = 0; i < 400; i++) {
            int bytes = snprintf(key, sizeof(key), "key%u", round * 200 + i);

            memset(value, (int)(round + i), sizeof(value));
            check_int(warp_put(db, (struct warp_slice){key, (size_t)bytes},
                               (struct warp_slice){value, sizeof(value)}, NULL, NULL),
                      ==, 0);
        }
        if (round + 1 < rounds) {
            check_int(warp_checkpoint(db), ==, 0);
        }
    }
    if (compact) {
        check_int(warp_compact(db), ==, 0);
    }
    check_int(warp_close(&db), ==, 0);
}

/* One archive file of 200 entries, as compaction would have made it. */
static void make_archive(const char *path, uint32_t number)
{
    struct warp_archive_writer *writer = NULL;
    struct warp_archive_config config = {
        .number = number, .block_bytes = 4096, .level = 1, .buffer_bytes = 65536};
    struct warp_manifest manifest;
    struct warp_disk disk = {0};
    struct warp_memory memory;
    uint32_t i;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(path, &memory, WARP_IO_BACKEND_PLAIN, false, &disk,
                                       NULL, 0),
              ==, 0);
    check_int(warp_manifest_read(&disk, &manifest, NULL, 0), ==, 0);
    config.disk = &disk;
    config.memory = &memory;
    config.manifest = &manifest;
    check_int(warp_archive_writer_create(&writer, &config, NULL, NULL), ==, 0);
    for (i = 0; i < 200; i++) {
        struct warp_archive_item item = {.slot = i, .hash = i, .sequence = 40 + i};
        uint8_t value[300];

        memset(value, (int)i, sizeof(value));
        item.entry.kind = WARP_ENTRY_PUT;
        item.entry.key = &i;
        item.entry.key_bytes = sizeof(i);
        item.entry.value = value;
        item.entry.value_bytes = sizeof(value);
        check_int(warp_archive_writer_add(writer, &item), ==, 0);
    }
    check_int(warp_archive_writer_seal(writer, NULL), ==, 0);
    warp_archive_writer_destroy(&writer);
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
}

/* Change one byte of a file; the second time it is as it was. */
static void flip(const char *path, const char *name, int64_t offset)
{
    char full[512], byte;
    int file;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    file = open(full, O_RDWR);
    if (!check(file >= 0)) {
        return;
    }
    if (offset < 0) {
        offset += lseek(file, 0, SEEK_END);
    }
    check_int(pread(file, &byte, 1, offset), ==, 1);
    byte ^= 0x10;
    check_int(pwrite(file, &byte, 1, offset), ==, 1);
    close(file);
}

/* The damage is found, named, and the only one. */
static void check_flip(const char *path, const char *name, int64_t offset)
{
    struct verify_run run;
    char line[128];

    flip(path, name, offset);
    run_verify(&run, path, NULL, NULL);
    flip(path, name, offset);
    snprintf(line, sizeof(line), "damaged: %s, offset ", name);
    if (run.exit_code != 1 || strstr(run.out, line) == NULL) {
        test_fail(__FILE__, __LINE__, "%s at %lld: status %d, %s%s", name,
                  (long long)offset, run.exit_code, run.out, run.err);
    }
}

WARP_TEST(verify, a_database_with_checkpoints_is_in_order)
{
    const char *path = test_directory();
    struct verify_run run;

    make_database(path, 4, false);
    make_archive(path, 5);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "OK: no damage") != NULL);
    check(strstr(run.out, "checkpoint 3: 800 records in ") != NULL);
    check(strstr(run.out, "checkpoint 2: 600 records in ") != NULL);
    check(strstr(run.out, "checkpoint 1:") == NULL); /* two are kept */
    check(strstr(run.out, "log kept for its values: ") != NULL);
    check(strstr(run.out, "archives: 1 files, 200 entries") != NULL);
    check_str(run.err, "");
    run_verify(&run, path, "--json", NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "\"ok\":true") != NULL);
    check(strstr(run.out, "\"checkpoints\":[{\"number\":3,\"ok\":true,") != NULL);
    check(strstr(run.out, "\"archives\":{\"files\":1,\"entries\":200}") != NULL);
}

/* The first archive file there is; its number, or UINT32_MAX. */
static uint32_t first_archive(const char *path, char name[64])
{
    char full[512];
    uint32_t i;

    for (i = 0; i < 64; i++) {
        warp_archive_name(i, name);
        snprintf(full, sizeof(full), "%s/%s", path, name);
        if (access(full, F_OK) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

WARP_TEST(verify, a_compacted_database_is_in_order_until_its_archive_is_not)
{
    const char *path = test_directory();
    struct verify_run run;
    char name[64], full[512], line[128];

    make_database(path, 4, true);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "OK: no damage") != NULL);
    check(strstr(run.out, "archives: ") != NULL);
    if (!check(first_archive(path, name) != UINT32_MAX)) {
        return;
    }
    check_flip(path, name, 4200);
    check_flip(path, name, -4090);
    snprintf(full, sizeof(full), "%s/%s", path, name);
    check_int(unlink(full), ==, 0);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    snprintf(line, sizeof(line),
             "damaged: %s, offset 0: the file is missing, and the values of ", name);
    check(strstr(run.out, line) != NULL);
}

WARP_TEST(verify, a_flipped_byte_is_found_in_each_kind_of_file)
{
    static const int64_t places[] = {3, 100, 4095, 60000, 524288, 1000000};
    static const char *const logs[] = {"log-0000000000000000.warp",
                                       "log-0000000000000001.warp",
                                       "log-0000000000000007.warp"};
    const char *path = test_directory();
    uint32_t i, j;

    make_database(path, 4, false);
    make_archive(path, 5);
    for (i = 0; i < 3; i++) {
        /* Two that are only held, and one that would be replayed. */
        for (j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
            check_flip(path, logs[i], places[j]);
        }
    }
    check_flip(path, logs[0], 4096);
    check_flip(path, logs[0], 4200);
    for (i = 2; i <= 3; i++) {
        char name[WARP_CHECKPOINT_NAME_BYTES];

        warp_checkpoint_name(i, name);
        check_flip(path, name, 3);     /* header */
        check_flip(path, name, 4000);  /* the rest of its page */
        check_flip(path, name, 4100);  /* a section */
        check_flip(path, name, 12000); /* maybe zeros behind it */
        check_flip(path, name, -4097); /* tables */
        check_flip(path, name, -4096); /* trailer */
        check_flip(path, name, -1);
    }
    check_flip(path, "archive-0000000000000005.warp", 3);
    check_flip(path, "archive-0000000000000005.warp", 4100);
    check_flip(path, "archive-0000000000000005.warp", -4000);
    check_flip(path, "MANIFEST", 70);
}

WARP_TEST(verify, a_missing_held_file_is_named_and_the_rest_is_checked)
{
    const char *path = test_directory();
    struct verify_run run;
    char name[512];

    make_database(path, 4, false);
    snprintf(name, sizeof(name), "%s/log-0000000000000001.warp", path);
    check_int(unlink(name), ==, 0);
    flip(path, "log-0000000000000003.warp", 500000);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out,
                 "damaged: log-0000000000000001.warp, offset 0: the file is missing, "
                 "and the values of ") != NULL);
    check(strstr(run.out, "damaged: log-0000000000000003.warp, offset ") != NULL);
    check(strstr(run.out, "belong to frames") !=
          NULL); /* before the first header of file 2 */
    check(strstr(run.out, "DAMAGED: 2 places") != NULL);
}

/* The offset of the first frame of a log file, of which the file before is not there. */
static int64_t first_frame(const char *path, const char *name, uint64_t index)
{
    static uint8_t bytes[1 << 20];
    char full[512];
    size_t got = 0, at;
    FILE *file;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    file = fopen(full, "rb");
    if (check(file != NULL)) {
        got = fread(bytes, 1, sizeof(bytes), file);
        fclose(file);
    }
    for (at = 4096; at + 32 <= got; at += 8) {
        if (bytes[at] == 'W' && bytes[at + 1] == 'F' &&
            warp_load_u64le(bytes + at + 8) == (index << 20) + at - 4096) {
            return (int64_t)at;
        }
    }
    check(false);
    return 4096;
}

/* No chain of frames leads there, but a checkpoint names the record. */
WARP_TEST(verify, the_first_record_behind_a_missing_file_is_checked_by_its_place)
{
    const char *path = test_directory(), *name = "log-0000000000000001.warp";
    struct warp_disk disk = {0};
    struct warp_memory memory;
    struct verify_run run;
    char full[512], holder[256];
    int64_t at;

    make_database(path, 4, false);
    snprintf(full, sizeof(full), "%s/log-0000000000000000.warp", path);
    check_int(unlink(full), ==, 0);
    at = first_frame(path, name, 1);
    flip(path, name, at + 5);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "damaged: log-0000000000000001.warp, offset ") != NULL);
    check(strstr(run.out, "that a checkpoint names here is damaged") != NULL);

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(path, &memory, WARP_IO_BACKEND_PLAIN, false, &disk,
                                       NULL, 0),
              ==, 0);
    check_int(disk.ops->lock(disk.context, WARP_LOCK_NAME, false, holder, sizeof(holder)),
              ==, 0);
    run_verify(&run, path, NULL, NULL); /* the same for one that is in use */
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "that a checkpoint names here is damaged") != NULL);
    flip(path, name, at + 5);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1); /* the missing file */
    check(strstr(run.out, "that a checkpoint names here is damaged") == NULL);
    disk.ops->unlock(disk.context);
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
}

WARP_TEST(verify, files_behind_a_lost_log_file_are_checked_too)
{
    const char *path = test_directory();
    struct verify_run run;
    char name[512];

    make_database(path, 2, false);
    snprintf(name, sizeof(name), "%s/log-0000000000000002.warp", path);
    check_int(unlink(name), ==, 0);
    flip(path, "log-0000000000000004.warp", 500000);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 1);
    check(strstr(run.out, "log-0000000000000002.warp, offset 0: the file is missing") !=
          NULL);
    check(strstr(run.out, "log-0000000000000004.warp, offset ") != NULL);
    check(strstr(run.out, "checkpoint 1: 400 records") != NULL);
}

WARP_TEST(verify, what_an_open_would_read_is_told_without_its_sections)
{
    const char *path = test_directory();
    struct verify_run run;

    make_database(path, 3, false);
    flip(path, "checkpoint-0000000000000002.warp", 4100); /* a section: nobody looks */
    run_verify(&run, path, "--recovery-estimate", NULL);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "checkpoint          number 2, ") != NULL);
    check(strstr(run.out, ", 600 records, of 20") != NULL);
    check(strstr(run.out, " frames, 400 operations") != NULL);
    check(strstr(run.out, "  time                about ") != NULL);
    run_verify(&run, path, "--recovery-estimate", "--json");
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "\"checkpoint\":{\"number\":2,\"records\":600,") != NULL);
    check(strstr(run.out, "\"log_operations\":400,") != NULL);
}

/* A number in what was printed as JSON. */
static uint64_t json_number(const struct verify_run *run, const char *name)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = strstr(run->out, quoted);
    return check(at != NULL) ? strtoull(at + strlen(quoted), NULL, 10) : UINT64_MAX;
}

/* With a checkpoint and without, closed and killed: to the byte, the frame and the operation. */
WARP_TEST(verify, what_an_open_would_read_is_what_it_reads)
{
    uint32_t rounds;

    for (rounds = 1; rounds <= 4; rounds++) {
        struct warp_recovery recovery = WARP_RECOVERY_INIT;
        struct warp_options options = WARP_OPTIONS_INIT;
        const char *directory = test_directory();
        struct warp *db = NULL;
        struct verify_run run;
        uint64_t checkpoint_bytes = 0, checkpoint_records = 0;
        char path[512];
        pid_t child;

        snprintf(path, sizeof(path), "%s/%u", directory, rounds);
        child = fork();
        if (child == 0) {
            make_database(path, rounds, rounds == 4);
            if (rounds % 2 == 0 && warp_open(path, &options, &db) == 0) {
                (void)warp_put(db, (struct warp_slice){"last", 4},
                               (struct warp_slice){"value", 5}, NULL, NULL);
                (void)warp_delete(db, (struct warp_slice){"key1", 4}, NULL, NULL);
            }
            _exit(0); /* what is open is not closed */
        }
        check_int(waitpid(child, NULL, 0), ==, child);
        run_verify(&run, path, "--recovery-estimate", "--json");
        check_int(run.exit_code, ==, 0);
        if (strstr(run.out, "\"checkpoint\":null") == NULL) {
            checkpoint_bytes = json_number(&run, "bytes"); /* its own come first */
            checkpoint_records = json_number(&run, "records");
        }
        options.open_flags = WARP_READ_ONLY;
        if (!check_int(warp_open(path, &options, &db), ==, 0)) {
            return;
        }
        check_int(warp_recovery_info(db, &recovery), ==, 0);
        check_u64(json_number(&run, "log_bytes") + checkpoint_bytes, ==,
                  recovery.bytes_read);
        check_u64(json_number(&run, "log_frames"), ==, recovery.frames);
        check_u64(json_number(&run, "log_operations") + checkpoint_records, ==,
                  recovery.operations);
        check((rounds == 1) == (checkpoint_bytes == 0));
        check_int(warp_close(&db), ==, 0);
    }
}

WARP_TEST(verify, the_speed_of_reading_can_be_bounded)
{
    const char *path = test_directory();
    struct timespec before, after;
    struct verify_run run;

    make_database(path, 1, false); /* 3.2 MB of log */
    clock_gettime(CLOCK_MONOTONIC, &before);
    run_verify(&run, path, "--rate=8M", NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    check_int(run.exit_code, ==, 0);
    check(strstr(run.out, "OK: no damage") != NULL);
    check((double)(after.tv_sec - before.tv_sec) +
              (double)(after.tv_nsec - before.tv_nsec) / 1e9 >
          0.3);
    run_verify(&run, path, "--rate=fast", NULL);
    check_int(run.exit_code, ==, 2);
    run_verify(&run, path, "--mb-per-s=1000", NULL);
    check_int(run.exit_code, ==, 0);
    run_verify(&run, path, "--mb-per-s=0", NULL);
    check_int(run.exit_code, ==, 2);
}
