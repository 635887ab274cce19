/* What a directory must be like to be opened, and what is said when it is not. */
#include "tests/engine/fixture.h"

#include <dirent.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/crc32c.h"

static void path_in(char out[SUPPORT_PATH_BYTES], const char *directory, const char *name)
{
    snprintf(out, SUPPORT_PATH_BYTES, "%.250s/%.250s", directory, name);
}

static void write_file(const char *directory, const char *name, const void *data,
                       size_t bytes)
{
    char path[SUPPORT_PATH_BYTES];
    int file;

    path_in(path, directory, name);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(file >= 0 && write(file, data, bytes) == (ssize_t)bytes);
    close(file);
}

static void fill(const char *directory, uint32_t records, size_t value_bytes)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(directory, &options);
    uint8_t *value = malloc(value_bytes + 1);
    uint32_t i;
    char key[32];

    support_fill(value, value_bytes, 1);
    for (i = 0; i < records && db != NULL; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(
            warp_put(db, support_text(key), support_slice(value, value_bytes), NULL, NULL),
            ==, 0);
    }
    free(value);
    check_int(warp_close(&db), ==, 0);
}

/* The first or last log file, by name. */
static bool find_log(const char *directory, bool last, char out[SUPPORT_PATH_BYTES])
{
    DIR *listing = opendir(directory);
    char best[256] = "";
    struct dirent *entry;

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        if (strncmp(entry->d_name, "log-", 4) != 0) {
            continue;
        }
        if (best[0] == '\0' || (strcmp(entry->d_name, best) > 0) == last) {
            snprintf(best, sizeof(best), "%s", entry->d_name);
        }
    }
    closedir(listing);
    path_in(out, directory, best);
    return check(best[0] != '\0');
}

static void flip(const char *path, long offset, uint8_t with)
{
    FILE *file = fopen(path, "r+b");
    int byte;

    if (!check(file != NULL)) {
        return;
    }
    fseek(file, offset, SEEK_SET);
    byte = fgetc(file);
    fseek(file, offset, SEEK_SET);
    fputc(byte ^ with, file);
    fclose(file);
}

/* Everything in the directory but the lock: names, sizes, bytes. */
static uint64_t fingerprint(const char *directory)
{
    DIR *listing = opendir(directory);
    uint64_t sum = 0;
    struct dirent *entry;
    char path[SUPPORT_PATH_BYTES];

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        uint64_t hash = 1469598103934665603u;
        const char *c;
        FILE *file;
        int byte;

        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "LOCK") == 0) {
            continue;
        }
        for (c = entry->d_name; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * 1099511628211u;
        }
        path_in(path, directory, entry->d_name);
        file = fopen(path, "rb");
        while (file != NULL && (byte = getc_unlocked(file)) != EOF) {
            hash = (hash ^ (uint64_t)byte) * 1099511628211u;
        }
        if (file != NULL) {
            fclose(file);
        }
        sum += hash;
    }
    closedir(listing);
    return sum;
}

static void refused(const char *path, uint32_t flags, int expected, const char *words)
{
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char message[512];
    int rc;

    options.open_flags = flags;
    rc = fixture_try(path, &options, &db, message);
    if (rc != expected) {
        test_fail(__FILE__, __LINE__, "open %s: %d (%s), expected %d (%s): %s", path, rc,
                  warp_error_text(rc), expected, warp_error_text(expected), message);
    }
    if (message[0] == '\0' || (words != NULL && strstr(message, words) == NULL)) {
        test_fail(__FILE__, __LINE__, "open %s says \"%s\", without \"%s\"", path, message,
                  words == NULL ? "" : words);
    }
    if (!check(db == NULL)) {
        warp_close(&db);
    }
}

WARP_TEST(open, path_is_a_file)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];

    write_file(directory, "plain", "x", 1);
    path_in(path, directory, "plain");
    refused(path, 0, WARP_ENOTDIR, "plain");
}

WARP_TEST(open, path_has_no_parent)
{
    char path[SUPPORT_PATH_BYTES];

    path_in(path, test_directory(), "no/such");
    refused(path, 0, WARP_ENOENT, "no/such");
}

WARP_TEST(open, must_exist_and_there_is_none)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];

    refused(directory, WARP_MUST_EXIST, WARP_ENOENT, NULL);
    path_in(path, directory, "none");
    refused(path, WARP_MUST_EXIST, WARP_ENOENT, "none");
    check_int(access(path, F_OK), !=, 0); /* and it was not made */
    refused(path, WARP_READ_ONLY, WARP_ENOENT, "none");
    check_int(access(path, F_OK), !=, 0);
}

WARP_TEST(open, must_be_new_and_there_is_one)
{
    const char *directory = test_directory();

    fill(directory, 1, 10);
    refused(directory, WARP_MUST_BE_NEW, WARP_EEXIST, NULL);
    refused(directory, WARP_CREATE | WARP_MUST_BE_NEW, WARP_EEXIST, NULL);
}

WARP_TEST(open, no_permission)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];
    pid_t pid;
    int status = 0;

    fill(directory, 1, 10);
    if (getuid() != 0) {
        test_skip("only root can give up its rights here");
        return;
    }
    chmod(directory, 0700);
    path_in(path, directory, "below");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct warp_options options = fixture_options();
        struct warp *db = NULL;
        char message[512];

        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(99);
        }
        if (fixture_try(directory, &options, &db, message) != WARP_EPERM) {
            fprintf(stderr, "    without rights: %s\n", message);
            _exit(1);
        }
        if (fixture_try(path, &options, &db, message) != WARP_EPERM) {
            fprintf(stderr, "    below a directory without rights: %s\n", message);
            _exit(2);
        }
        fflush(NULL);
        _exit(0);
    }
    check_int(waitpid(pid, &status, 0), ==, pid);
    check(WIFEXITED(status));
    check_int(WEXITSTATUS(status), ==, 0);
}

WARP_TEST(open, file_without_permission)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];
    pid_t pid;
    int status = 0;

    fill(directory, 1, 10);
    if (getuid() != 0) {
        test_skip("only root can give up its rights here");
        return;
    }
    chmod(directory, 0777);
    path_in(path, directory, "MANIFEST");
    chmod(path, 0600);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct warp_options options = fixture_options();
        struct warp *db = NULL;
        char message[512];
        int rc;

        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(99);
        }
        rc = fixture_try(directory, &options, &db, message);
        fflush(NULL);
        _exit(rc == WARP_EPERM ? 0 : 1);
    }
    check_int(waitpid(pid, &status, 0), ==, pid);
    check(WIFEXITED(status));
    check_int(WEXITSTATUS(status), ==, 0);
}

WARP_TEST(open, foreign_manifest)
{
    const char *directory = test_directory();
    static const char text[5000] = "hello, I am some other program's file\n";

    write_file(directory, "MANIFEST", text, 38);
    refused(directory, 0, WARP_EFORMAT, "MANIFEST");
    write_file(directory, "MANIFEST", text, sizeof(text));
    refused(directory, 0, WARP_EFORMAT, "MANIFEST");
    refused(directory, WARP_READ_ONLY, WARP_EFORMAT, "MANIFEST");
}

WARP_TEST(open, empty_manifest)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char message[512];
    int rc;

    write_file(directory, "MANIFEST", "", 0);
    rc = fixture_try(directory, &options, &db, message);
    check(rc == WARP_EFORMAT || rc == WARP_EDAMAGED);
    check(strstr(message, "MANIFEST") != NULL);
}

WARP_TEST(open, foreign_log_file)
{
    const char *directory = test_directory();
    static const char text[8192] = "hello";
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char path[SUPPORT_PATH_BYTES], message[512];
    int rc;

    fill(directory, 10, 100);
    if (!find_log(directory, false, path)) {
        return;
    }
    write_file(directory, strrchr(path, '/') + 1, text, sizeof(text));
    rc = fixture_try(directory, &options, &db, message);
    check(rc == WARP_EFORMAT || rc == WARP_EDAMAGED);
    check(strstr(message, strrchr(path, '/') + 1) != NULL);
}

static void patch_page(const char *path, size_t at, uint32_t value, size_t crc_at)
{
    uint8_t page[4096];
    FILE *file = fopen(path, "r+b");

    if (!check(file != NULL) ||
        !check(fread(page, 1, sizeof(page), file) == sizeof(page))) {
        return;
    }
    warp_store_u32le(page + at, value);
    warp_store_u32le(page + crc_at, 0);
    warp_store_u32le(page + crc_at, warp_crc32c(0, page, sizeof(page)));
    rewind(file);
    check(fwrite(page, 1, sizeof(page), file) == sizeof(page));
    fclose(file);
}

WARP_TEST(open, newer_format_version)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];

    fill(directory, 1, 10);
    path_in(path, directory, "MANIFEST");
    patch_page(path, 8, 4, 20); /* written by version 4, which version 3 can read */
    fill(directory, 1, 10);
    patch_page(path, 12, 4, 20); /* which it cannot */
    refused(directory, 0, WARP_EVERSION, "newer");
    refused(directory, WARP_READ_ONLY, WARP_EVERSION, "newer");
}

WARP_TEST(open, damage_in_the_middle_is_said_with_file_and_offset)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char path[SUPPORT_PATH_BYTES], message[512];
    const char *at;
    unsigned long offset;
    uint64_t before;

    fill(directory, 400, 10000); /* four segments of 1 MiB */
    if (!find_log(directory, false, path)) {
        return;
    }
    flip(path, 200000, 0x10);
    before = fingerprint(directory);
    refused(directory, 0, WARP_EDAMAGED, strrchr(path, '/') + 1);
    check_int(fixture_try(directory, &options, &db, message), ==, WARP_EDAMAGED);
    at = strstr(message, "offset ");
    if (check(at != NULL)) { /* of the frame that the damage is in */
        offset = strtoul(at + 7, NULL, 10);
        check_u64(offset, <=, 200000);
        check_u64(offset, >, 200000 - 10200);
    }
    refused(directory, WARP_READ_ONLY, WARP_EDAMAGED, "offset");
    check_u64(fingerprint(directory), ==, before); /* and nothing was cut */
    flip(path, 200000, 0x10);
    db = fixture_open(directory, &options);
    check_int(warp_close(&db), ==, 0);
}

static int visit_filled(void *context, struct warp_slice key,
                        const struct warp_value *value)
{
    (void)key;
    *(uint32_t *)context += support_matches(value->data, value->bytes, 1);
    return 0;
}

WARP_TEST(open, every_kind_of_damage_below_the_mark_is_seen)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct support_random random = {test_seed()};
    struct warp *db = NULL;
    char path[SUPPORT_PATH_BYTES], message[512];
    uint32_t i, silent = 0;
    long offset;
    uint8_t with;

    fill(directory, 300, 5000);
    if (!find_log(directory, false, path)) {
        return;
    }
    for (i = 0; i < 60; i++) {
        offset = (long)support_random_between(&random, 0, 900000);
        with = (uint8_t)(1u << support_random_below(&random, 8));
        if (offset >= 100 && offset < 4096) {
            continue; /* the unused rest of the header */
        }
        flip(path, offset, with);
        options.open_flags = WARP_READ_ONLY;
        if (fixture_try(directory, &options, &db, message) == 0) {
            uint32_t right = 0;

            check_int(warp_visit(db, visit_filled, &right), ==, 0);
            if (right != 300) {
                silent++;
                test_fail(__FILE__, __LINE__,
                          "mask %u on byte %ld: %u of 300 records are right, silently",
                          with, offset, right);
            }
            warp_close(&db);
        }
        flip(path, offset, with);
    }
    check_u64(silent, ==, 0);
}

WARP_TEST(open, log_file_missing)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];

    fill(directory, 400, 10000);
    if (find_log(directory, false, path) && check_int(unlink(path), ==, 0)) {
        refused(directory, 0, WARP_EDAMAGED, "log-");
    }
}

WARP_TEST(open, manifest_missing)
{
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];

    fill(directory, 10, 100);
    path_in(path, directory, "MANIFEST");
    check_int(unlink(path), ==, 0);
    refused(directory, 0, WARP_EDAMAGED, "MANIFEST"); /* no new database over an old log */
}

WARP_TEST(open, twice_in_one_process)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(directory, &options);
    char pid[32], text[256];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    refused(directory, 0, WARP_EBUSY, pid);
    refused(directory, WARP_READ_ONLY, WARP_EBUSY, pid);
    check_int(fixture_put(db, "k", "still works"), ==, 0);
    check_str(fixture_get(db, "k", text), "still works");
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    check_str(fixture_get(db, "k", text), "still works");
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(open, two_processes)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char text[256], message[512];
    int ready[2], status = 0, tries, rc = 0;
    pid_t pid;
    char byte;

    check_int(pipe(ready), ==, 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        db = fixture_open(directory, &options);
        fixture_put(db, "k", "v");
        warp_flush(db);
        if (write(ready[1], "r", 1) != 1) {
            _exit(1);
        }
        pause();
        _exit(1);
    }
    check_int(read(ready[0], &byte, 1), ==, 1);
    snprintf(text, sizeof(text), "%d", (int)pid);
    refused(directory, 0, WARP_EBUSY, text);
    refused(directory, WARP_READ_ONLY, WARP_EBUSY, text);
    kill(pid, SIGKILL);
    check_int(waitpid(pid, &status, 0), ==, pid);
    for (tries = 0; tries < 2000;
         tries++) { /* io_uring may hold its files a little longer */
        rc = fixture_try(directory, &options, &db, message);
        if (rc != WARP_EBUSY) {
            break;
        }
        support_sleep_ns(1000000);
    }
    check_int(rc, ==, 0);
    check_int(tries, <, 500);
    check_str(fixture_get(db, "k", text), "v");
    check_int(warp_close(&db), ==, 0);
    close(ready[0]);
    close(ready[1]);
}

WARP_TEST(open, two_readers)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    int ready[2], status = 0;
    struct warp *db;
    char byte, text[256];
    pid_t pid;

    fill(directory, 10, 100);
    options.open_flags = WARP_READ_ONLY;
    check_int(pipe(ready), ==, 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        db = fixture_open(directory, &options);
        if (db == NULL || write(ready[1], "r", 1) != 1) {
            _exit(1);
        }
        pause();
        _exit(1);
    }
    check_int(read(ready[0], &byte, 1), ==, 1);
    db = fixture_open(directory, &options);
    if (db != NULL) {
        check_int(strlen(fixture_get(db, "key-3", text)), >=, 100);
        check_int(warp_close(&db), ==, 0);
    }
    refused(directory, 0, WARP_EBUSY, NULL);
    kill(pid, SIGKILL);
    check_int(waitpid(pid, &status, 0), ==, pid);
    close(ready[0]);
    close(ready[1]);
}

WARP_TEST(open, read_only_changes_nothing)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    struct warp_batch *batch = NULL;
    struct warp_session *session = NULL;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completion;
    struct warp *db;
    uint64_t before, count = 0;
    int status = 0, ready[2], tries, rc = 0, round;
    char byte, message[512];
    pid_t pid;

    fill(directory, 100, 100);
    for (round = 0; round < 2; round++) {
        if (round == 1) { /* again, after a crash */
            check_int(pipe(ready), ==, 0);
            fflush(NULL);
            pid = fork();
            if (pid == 0) {
                db = fixture_open(directory, &options);
                fixture_put(db, "k", "v");
                warp_flush(db);
                fixture_put(db, "l", "v");
                if (write(ready[1], "r", 1) != 1) {
                    _exit(1);
                }
                pause();
            }
            check_int(read(ready[0], &byte, 1), ==, 1);
            kill(pid, SIGKILL);
            check_int(waitpid(pid, &status, 0), ==, pid);
            close(ready[0]);
            close(ready[1]);
        }
        before = fingerprint(directory);
        options.open_flags = WARP_READ_ONLY;
        db = NULL;
        for (tries = 0; tries < 2000; tries++) {
            rc = fixture_try(directory, &options, &db, message);
            if (rc != WARP_EBUSY) {
                break;
            }
            support_sleep_ns(1000000);
        }
        options.open_flags = 0;
        if (!check_int(rc, ==, 0)) {
            return;
        }
        check_int(warp_recovery_info(db, &recovery), ==, 0);
        check_u64(recovery.clean, ==, round == 0);
        check_int(warp_count(db, &count), ==, 0);
        check_u64(count, >=, round == 0 ? 100 : 101);
        check_int(fixture_put(db, "a", "b"), ==, WARP_EREADONLY);
        check_int(warp_delete(db, support_text("key-1"), NULL, NULL), ==, WARP_EREADONLY);
        check_int(warp_add(db, support_text("a"), 1, NULL, NULL), ==, WARP_EREADONLY);
        check_int(warp_batch_create(db, &batch), ==, 0);
        check_int(warp_batch_put(batch, support_text("a"), support_text("b"), 0), ==, 0);
        check_int(warp_batch_commit(batch, NULL, NULL), ==, WARP_EREADONLY);
        warp_batch_destroy(&batch);
        check_int(warp_session_create(db, 4, &session), ==, 0);
        request.opcode = WARP_OP_DELETE;
        request.key = support_text("key-1");
        check_int(warp_submit(session, &request, 1), ==, 1);
        check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
        check_int(completion.result, ==, WARP_EREADONLY);
        warp_session_destroy(&session);
        rc = warp_flush(db);
        check(rc == 0 || rc == WARP_EREADONLY);
        check_int(warp_close(&db), ==, 0);
        check_u64(fingerprint(directory), ==, before);
    }
}

struct progress {
    uint64_t calls, done, total, records;
    bool wrong;
};

static void progress_made(void *context, uint64_t done, uint64_t total, uint64_t records)
{
    struct progress *progress = context;

    progress->calls++;
    progress->wrong |= done < progress->done || done > total || records < progress->records;
    progress->done = done;
    progress->total = total;
    progress->records = records;
}

WARP_TEST(open, recovery_counts_are_true)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    struct warp_write how = WARP_WRITE_INIT;
    struct progress progress = {0, 0, 0, 0, false};
    struct warp_batch *batch = NULL;
    struct warp *db = fixture_open(directory, &options);
    uint32_t i;
    char key[32];

    if (db == NULL) {
        return;
    }
    check_int(warp_recovery_info(db, &recovery), ==, 0);
    check_u64(recovery.records, ==, 0);
    check_u64(recovery.fencing_epoch, ==, 1);
    for (i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        check_int(fixture_put(db, key, "v"), ==, 0);
    }
    for (i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        check_int(warp_delete(db, support_text(key), NULL, NULL), ==, 0);
    }
    how.ttl_ms = 20;
    check_int(warp_put(db, support_text("short"), support_text("v"), &how, NULL), ==, 0);
    check_int(warp_batch_create(db, &batch), ==, 0);
    check_int(warp_batch_put(batch, support_text("b1"), support_text("v"), 0), ==, 0);
    check_int(warp_batch_put(batch, support_text("b2"), support_text("v"), 0), ==, 0);
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
    warp_batch_destroy(&batch);
    check_int(warp_close(&db), ==, 0);
    support_sleep_ns(40000000);
    options.progress = progress_made;
    options.progress_context = &progress;
    db = fixture_open(directory, &options);
    check_int(warp_recovery_info(db, &recovery), ==, 0);
    check_u64(recovery.records, ==, 42);
    check_u64(recovery.operations, ==, 63);
    check_u64(recovery.frames, >=, 62);
    check_u64(recovery.expired, ==, 1);
    check_u64(recovery.bytes_cut, ==, 0);
    check_u64(recovery.clean, ==, 1);
    check_u64(recovery.fencing_epoch, ==, 2);
    check_u64(recovery.bytes_read, >, 0);
    check_u64(recovery.duration_ns, >, 0);
    check(!progress.wrong);
    check_int(warp_close(&db), ==, 0);
}

static uint32_t count_entries(const char *path)
{
    DIR *listing = opendir(path);
    uint32_t count = 0;

    while (listing != NULL && readdir(listing) != NULL) {
        count++;
    }
    closedir(listing);
    return count;
}

WARP_TEST(open, a_hundred_times_leaks_no_file_and_no_thread)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    uint32_t files = 0, threads = 0, i, times = SUPPORT_SANITIZED ? 20 : 100;
    struct warp *db = NULL;
    char message[512];

    for (i = 0; i < times; i++) {
        options.io_backend = i % 2;
        db = fixture_open(directory, &options);
        if (db == NULL) {
            return;
        }
        check_int(fixture_put(db, "k", "v"), ==, 0);
        check_int(warp_close(&db), ==, 0);
        if (i % 10 == 5) { /* failing ones, too */
            options.open_flags = WARP_MUST_BE_NEW;
            check_int(fixture_try(directory, &options, &db, message), ==, WARP_EEXIST);
            options.open_flags = 0;
        }
        if (i == 5) {
            files = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
        }
    }
    check_u64(count_entries("/proc/self/fd"), <=, files);
    check_u64(count_entries("/proc/self/task"), <=, threads);
}

WARP_TEST(open, several_databases_in_one_process)
{
    struct warp_options options = fixture_options();
    const char *first = test_directory(), *second = test_directory();
    struct warp *a = fixture_open(first, &options), *b = fixture_open(second, &options);
    char text[256];

    check_int(fixture_put(a, "k", "a"), ==, 0);
    check_int(fixture_put(b, "k", "b"), ==, 0);
    check_str(fixture_get(a, "k", text), "a");
    check_str(fixture_get(b, "k", text), "b");
    check_int(warp_close(&a), ==, 0);
    check_str(fixture_get(b, "k", text), "b");
    check_int(warp_close(&b), ==, 0);
    check(b == NULL);
    check_int(warp_close(&b), ==, 0); /* nothing to close */
}

WARP_TEST(open, has_not_failed)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    char text[16] = "xxxx";

    check_int(warp_failure(db, text, sizeof(text)), ==, 0);
    check_str(text, "");
    check_int(warp_failure(db, NULL, 0), ==, 0);
    check_int(warp_close(&db), ==, 0);
}
