/* warp_verify(): a check of the files beside writers, checkpoints, compaction and removal. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/engine/fixture.h"

struct verify_seen {
    uint32_t damages, calls;
    uint64_t done, total;
    char file[64], what[192];
    uint64_t offset;
    int answer; /* of progress */
};

static void verify_see_damage(void *context, const struct warp_verify_damage *damage)
{
    struct verify_seen *seen = context;

    seen->damages++;
    snprintf(seen->file, sizeof(seen->file), "%s", damage->file);
    snprintf(seen->what, sizeof(seen->what), "%s", damage->what);
    seen->offset = damage->offset;
}

static int verify_see_progress(void *context, uint64_t done, uint64_t total)
{
    struct verify_seen *seen = context;

    check_u64(done, >=, seen->done);
    check_u64(done, <=, total);
    seen->calls++;
    seen->done = done;
    seen->total = total;
    return seen->answer;
}

static int verify_run(struct warp *db, struct verify_seen *seen,
                      struct warp_verify_report *report, uint64_t bytes_per_s)
{
    struct warp_verify_options options = WARP_VERIFY_OPTIONS_INIT;
    struct warp_verify_report fresh = WARP_VERIFY_REPORT_INIT;

    *report = fresh;
    options.damage = verify_see_damage;
    options.progress = verify_see_progress;
    options.context = seen;
    options.bytes_per_s = bytes_per_s;
    return warp_verify(db, &options, report);
}

static void verify_fill(struct warp *db, uint32_t first, uint32_t count, uint64_t seed)
{
    static _Thread_local uint8_t value[4000];
    char key[32];
    uint32_t i;

    for (i = first; i < first + count; i++) {
        snprintf(key, sizeof(key), "key%06u", i);
        support_fill(value, sizeof(value), seed + i);
        check_int(warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                           NULL),
                  ==, 0);
    }
}

WARP_TEST(verify, a_sound_database_is_in_order_while_it_is_open)
{
    struct warp_options options = fixture_options();
    struct verify_seen seen = {0};
    struct warp_verify_report report;
    struct warp *db;

    options.compaction = 2;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    verify_fill(db, 0, 1000, 1);
    check_int(warp_checkpoint(db), ==, 0);
    verify_fill(db, 0, 700, 2);
    check_int(warp_compact(db), ==, 0);
    verify_fill(db, 1000, 700, 3);
    check_int(warp_flush(db), ==, 0);
    check_int(verify_run(db, &seen, &report, 0), ==, 0);
    check_u64(report.damages, ==, 0);
    check_u64(seen.damages, ==, 0);
    check_u64(report.files_gone, ==, 0);
    check_u64(report.frames, >=, 700);
    check_u64(report.files, >=, 5); /* manifest, checkpoints, log, an archive */
    check_u64(report.bytes, >=, 700 * 4000);
    check_u64(report.log_end, >=, 700 * 4000);
    check_u64(seen.calls, >=, 2);
    check_int(warp_verify(db, NULL, NULL), ==, 0);
    check_int(warp_close(&db), ==, 0);
}

static void verify_flip(const char *path, const char *name, int64_t offset)
{
    char full[512];
    uint8_t byte;
    int file;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    file = open(full, O_RDWR);
    if (check(file >= 0)) {
        offset += offset < 0 ? lseek(file, 0, SEEK_END) : 0;
        check_int(pread(file, &byte, 1, offset), ==, 1);
        byte ^= 4;
        check_int(pwrite(file, &byte, 1, offset), ==, 1);
        check_int(fsync(file), ==, 0);
        close(file);
    }
}

/* The newest file whose name begins so. */
static void verify_newest(const char *path, const char *prefix, char name[64])
{
    char full[512];
    uint32_t i;

    name[0] = '\0';
    for (i = 0; i < 64; i++) {
        char candidate[64];

        snprintf(candidate, sizeof(candidate), "%s-%016x.warp", prefix, i);
        snprintf(full, sizeof(full), "%s/%s", path, candidate);
        if (access(full, F_OK) == 0) {
            snprintf(name, 64, "%s", candidate);
        }
    }
}

WARP_TEST(verify, damage_in_each_kind_of_file_is_told_with_its_place)
{
    static const struct {
        const char *prefix;
        int64_t offset;
    } places[] = {{"checkpoint", 4200}, {"checkpoint", -40}, {"archive", 5000},
                  {"archive", -4000},   {"log", 200000},     {"log", 50}};
    struct warp_options options = fixture_options();
    struct warp_verify_report report;
    const char *path = test_directory();
    struct warp *db;
    uint32_t i;

    options.compaction = 2;
    db = fixture_open(path, &options);
    if (db == NULL) {
        return;
    }
    verify_fill(db, 0, 1000, 1);
    check_int(warp_compact(db), ==, 0);
    verify_fill(db, 0, 300, 2);
    check_int(warp_flush(db), ==, 0);
    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct verify_seen seen = {0};
        char name[64] = "log-0000000000000004.warp"; /* of what was written last */

        if (strcmp(places[i].prefix, "log") != 0) {
            verify_newest(path, places[i].prefix, name);
        }
        verify_flip(path, name, places[i].offset);
        check_int(verify_run(db, &seen, &report, 0), ==, WARP_EDAMAGED);
        check_u64(report.damages, >=, 1);
        check_u64(seen.damages, ==, report.damages);
        if (!check_str(seen.file, name)) {
            printf("    %s at %llu: %s\n", seen.file, (unsigned long long)seen.offset,
                   seen.what);
        }
        verify_flip(path, name, places[i].offset);
        seen = (struct verify_seen){0};
        check_int(verify_run(db, &seen, &report, 0), ==, 0);
    }
    {
        struct verify_seen seen = {0};
        char from[512], to[512], name[64];

        verify_newest(path, "archive", name);
        snprintf(from, sizeof(from), "%s/%s", path, name);
        snprintf(to, sizeof(to), "%s/aside", path);
        check_int(rename(from, to), ==, 0);
        check_int(verify_run(db, &seen, &report, 0), ==, WARP_EDAMAGED);
        check_str(seen.file, name);
        check(strstr(seen.what, "missing") != NULL);
        check_int(rename(to, from), ==, 0);
        check_int(warp_verify(db, NULL, NULL), ==, 0);
    }
    verify_flip(path, "MANIFEST", 70);
    {
        struct verify_seen seen = {0};

        check_int(verify_run(db, &seen, &report, 0), ==, WARP_EDAMAGED);
        check_str(seen.file, "MANIFEST");
        check_u64(seen.damages, ==, 1); /* the rest is checked, and sound */
    }
    verify_flip(path, "MANIFEST", 70);
    check_int(warp_close(&db), ==, 0);
}

struct verify_writer {
    struct warp *db;
    _Atomic uint32_t stop;
    uint64_t rounds;
};

static void *verify_write(void *context)
{
    struct verify_writer *writer = context;

    while (!atomic_load(&writer->stop)) {
        writer->rounds++;
        verify_fill(writer->db, 0, 400, writer->rounds * 1000);
    }
    return NULL;
}

static void *verify_compact(void *context)
{
    struct verify_writer *writer = context;

    while (!atomic_load(&writer->stop)) {
        check_int(warp_compact(writer->db), ==, 0);
    }
    return NULL;
}

WARP_TEST(verify, what_is_removed_meanwhile_is_no_damage)
{
    struct warp_options options = fixture_options();
    struct verify_writer writer = {.rounds = 0};
    pthread_t writes, compacts;
    struct warp *db;
    uint32_t round;

    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return;
    }
    verify_fill(db, 0, 400, 1);
    writer.db = db;
    check_int(pthread_create(&writes, NULL, verify_write, &writer), ==, 0);
    check_int(pthread_create(&compacts, NULL, verify_compact, &writer), ==, 0);
    for (round = 0; round < 12; round++) {
        struct verify_seen seen = {0};
        struct warp_verify_report report;
        /* Every other time so slowly that much is removed before it is read. */
        int rc = verify_run(db, &seen, &report, round % 2 == 0 ? 0 : 20000000);

        if (!check_int(rc, ==, 0)) {
            printf("    %s at %llu: %s\n", seen.file, (unsigned long long)seen.offset,
                   seen.what);
        }
        check_u64(report.files, >=, 1);
    }
    atomic_store(&writer.stop, 1);
    check_int(pthread_join(writes, NULL), ==, 0);
    check_int(pthread_join(compacts, NULL), ==, 0);
    check_int(warp_verify(db, NULL, NULL), ==, 0);
    check_int(warp_close(&db), ==, 0);
}

/* The first time: write all of it anew, and compact, so that what was listed is removed. */
static int verify_remove(void *context, uint64_t done, uint64_t total)
{
    struct verify_writer *writer = context;

    (void)done;
    (void)total;
    if (writer->rounds++ == 0) {
        verify_fill(writer->db, 0, 1000, 77);
        check_int(warp_compact(writer->db), ==, 0);
    }
    return 0;
}

WARP_TEST(verify, a_file_that_goes_between_listing_and_reading_is_counted_as_gone)
{
    struct warp_options options = fixture_options();
    struct warp_verify_options how = WARP_VERIFY_OPTIONS_INIT;
    struct warp_verify_report report = WARP_VERIFY_REPORT_INIT;
    struct verify_writer writer = {.rounds = 0};

    options.compaction = 2;
    writer.db = fixture_open(test_directory(), &options);
    if (writer.db == NULL) {
        return;
    }
    verify_fill(writer.db, 0, 1000, 1);
    check_int(warp_compact(writer.db), ==, 0);
    verify_fill(writer.db, 0, 500, 2);
    check_int(warp_checkpoint(writer.db), ==, 0);
    check_int(warp_flush(writer.db), ==, 0);
    how.progress = verify_remove;
    how.context = &writer;
    check_int(warp_verify(writer.db, &how, &report), ==, 0);
    check_u64(report.damages, ==, 0);
    check_u64(report.files_gone, >=, 1);
    check_u64(writer.rounds, >=, 1);
    check_int(warp_close(&writer.db), ==, 0);
}

WARP_TEST(verify, progress_can_end_it_and_the_pace_is_kept)
{
    struct warp_options options = fixture_options();
    struct verify_seen seen = {.answer = 17};
    struct warp_verify_report report;
    struct warp *db = fixture_open(test_directory(), &options);
    uint64_t begun_ns;

    if (db == NULL) {
        return;
    }
    verify_fill(db, 0, 1000, 1); /* 4 MB */
    check_int(warp_flush(db), ==, 0);
    check_int(verify_run(db, &seen, &report, 0), ==, 17);
    check_u64(seen.calls, ==, 1);
    check_u64(report.bytes, <, seen.total);
    begun_ns = support_now_ns();
    seen = (struct verify_seen){0};
    check_int(verify_run(db, &seen, &report, 20000000), ==, 0);
    /* At least so long: it can only be slower. */
    check_u64(support_now_ns() - begun_ns, >=, report.bytes * 50 * 9 / 10);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(verify, a_read_only_database_is_checked_as_far_as_the_files_go)
{
    struct warp_options options = fixture_options();
    struct warp_verify_report report = WARP_VERIFY_REPORT_INIT;
    const char *path = test_directory();
    struct warp *db = fixture_open(path, &options);

    if (db == NULL) {
        return;
    }
    verify_fill(db, 0, 500, 1);
    check_int(warp_close(&db), ==, 0);
    options.open_flags = WARP_READ_ONLY | WARP_MUST_EXIST;
    db = fixture_open(path, &options);
    if (db == NULL) {
        return;
    }
    check_int(warp_verify(db, NULL, &report), ==, 0);
    check_u64(report.frames, >=, 500);
    check_u64(report.log_end, >=, 500 * 4000);
    verify_flip(path, "log-0000000000000001.warp", 300000);
    check_int(warp_verify(db, NULL, &report), ==, WARP_EDAMAGED);
    check_u64(report.damages, ==, 1);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(verify, sizes_it_does_not_know_are_refused)
{
    struct warp_options options = fixture_options();
    struct warp_verify_options wrong = WARP_VERIFY_OPTIONS_INIT;
    struct warp_verify_report report = WARP_VERIFY_REPORT_INIT;
    struct warp *db = fixture_open(test_directory(), &options);

    if (db == NULL) {
        return;
    }
    wrong.size = 4;
    check_int(warp_verify(db, &wrong, NULL), ==, WARP_EINVAL);
    report.size = sizeof(report) + 8;
    check_int(warp_verify(db, NULL, &report), ==, WARP_EINVAL);
    report.size = 0;
    check_int(warp_verify(db, NULL, &report), ==, WARP_EINVAL);
    check_int(warp_close(&db), ==, 0);
}
