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
#include <unistd.h>

#include "base/io.h"
#include "tests/lib/log_fixture.h"
#include "tests/lib/test.h"
#include "tools/commands.h"

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
    const char *scratch = test_directory();
    char out[512], err[512];
    int status = -1;
    pid_t child;

    snprintf(out, sizeof(out), "%s/out", scratch);
    snprintf(err, sizeof(err), "%s/err", scratch);
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

WARP_TEST(verify, a_directory_in_use_is_refused_with_its_holder)
{
    const char *path = test_directory();
    struct warp_disk disk = {0};
    struct warp_memory memory;
    struct verify_run run;
    struct log_fixture log;
    char pid[32], holder[256];

    log_init(&log, S);
    log_open_frame(&log, 1);
    write_directory(&log, path);
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(path, &memory, WARP_IO_BACKEND_PLAIN, false, &disk,
                                       NULL, 0),
              ==, 0);
    check_int(disk.ops->lock(disk.context, WARP_LOCK_NAME, false, holder, sizeof(holder)),
              ==, 0);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 3);
    check(strstr(run.err, "is open already, by ") != NULL);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    check(strstr(run.err, pid) != NULL);
    disk.ops->unlock(disk.context);
    run_verify(&run, path, NULL, NULL);
    check_int(run.exit_code, ==, 0);
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
