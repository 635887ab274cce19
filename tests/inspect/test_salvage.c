/*
 * Salvage of databases that lack their manifest, checkpoints, log files or archives, or have damage or
 * strange files among them; and the command around it. What one bit does is in bitflip.c.
 */
#include <sys/wait.h>

#include "engine/engine.h"
#include "tests/engine/support.h"
#include "tests/lib/test.h"
#include "tools/commands.h"
#include "tools/inspect/salvage.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"
#include "wal/manifest.h"
#include "wal/segment.h"

#define SALVAGE_KEYS  200u
#define SALVAGE_BYTES 1500u
#define SALVAGE_S     65536u

struct salvaged {
    struct salvage_report report;
    uint32_t got[SALVAGE_KEYS]; /* the version, 0: none */
    uint64_t expires[SALVAGE_KEYS];
    bool told[SALVAGE_KEYS];
    enum salvage_loss_kind kind[SALVAGE_KEYS];
    uint32_t written[SALVAGE_KEYS]; /* the highest version */
    uint32_t wrong, ranges;
    char first_file[64], first_what[192];
    int rc;
};

static void salvage_key(uint32_t i, char out[16])
{
    snprintf(out, 16, "key%04u", i);
}

static void salvage_put(struct warp *db, struct salvaged *s, uint32_t i, uint64_t ttl_ms)
{
    struct warp_write how = WARP_WRITE_INIT;
    uint8_t value[SALVAGE_BYTES];
    char key[16];

    salvage_key(i, key);
    s->written[i]++;
    how.ttl_ms = ttl_ms;
    support_fill(value, sizeof(value), i * 1000u + s->written[i]);
    check_int(
        warp_put(db, support_text(key), support_slice(value, sizeof(value)), &how, NULL),
        ==, 0);
}

static void salvage_delete(struct warp *db, uint32_t i)
{
    char key[16];

    salvage_key(i, key);
    check_int(warp_delete(db, support_text(key), NULL, NULL), ==, 0);
}

static struct warp *salvage_open(const char *path)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp *db = NULL;
    struct warp_env env;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.segment_bytes = SALVAGE_S;
    options.durability = WARP_INTERVAL;
    options.shard_count = 1;
    options.log_buffer_bytes = 262144;
    options.compaction = 2;
    options.recovery_ms_max = 3600000;
    check_int(warp_engine_open(path, &options, &env, &db), ==, 0);
    return db;
}

/*
 * All keys once, keys 0 - 9 deleted, all that is left into an archive; 50 - 99 again, a checkpoint;
 * 20 - 29 deleted, 100 - 149 again, a checkpoint; 30 - 34 deleted, 150 - 179 again.
 */
static void salvage_make(const char *path, struct salvaged *s)
{
    struct warp *db;
    uint32_t i;

    memset(s, 0, sizeof(*s));
    db = salvage_open(path);
    for (i = 0; i < SALVAGE_KEYS; i++) {
        salvage_put(db, s, i, 0);
    }
    for (i = 0; i < 10; i++) {
        salvage_delete(db, i);
    }
    check_int(warp_compact(db), ==, 0);
    for (i = 50; i < 100; i++) {
        salvage_put(db, s, i, 0);
    }
    check_int(warp_checkpoint(db), ==, 0);
    for (i = 20; i < 30; i++) {
        salvage_delete(db, i);
    }
    for (i = 100; i < 150; i++) {
        salvage_put(db, s, i, 0);
    }
    check_int(warp_checkpoint(db), ==, 0);
    for (i = 30; i < 35; i++) {
        salvage_delete(db, i);
    }
    for (i = 150; i < 180; i++) {
        salvage_put(db, s, i, 0);
    }
    check_int(warp_close(&db), ==, 0);
}

static bool salvage_deleted(uint32_t i)
{
    return i < 10 || (i >= 20 && i < 35);
}

static int salvage_take(void *context, struct warp_slice key, struct warp_slice value,
                        uint64_t expires_at_ms)
{
    struct salvaged *s = context;
    uint32_t i, version;
    char name[16];

    for (i = 0; i < SALVAGE_KEYS; i++) {
        salvage_key(i, name);
        if (key.bytes == strlen(name) && memcmp(key.data, name, key.bytes) == 0) {
            break;
        }
    }
    if (i == SALVAGE_KEYS) {
        s->wrong++;
        return 0;
    }
    for (version = s->written[i];
         version > 0 && !support_matches(value.data, value.bytes, i * 1000u + version);
         version--) {
    }
    s->wrong += version == 0 || value.bytes != SALVAGE_BYTES || s->got[i] != 0;
    s->got[i] = version;
    s->expires[i] = expires_at_ms;
    return 0;
}

static void salvage_lose(void *context, const struct salvage_loss *loss)
{
    struct salvaged *s = context;
    uint32_t i;
    char name[16];

    if (loss->kind == SALVAGE_RANGE) {
        if (s->ranges++ == 0) {
            snprintf(s->first_file, sizeof(s->first_file), "%s", loss->file);
            snprintf(s->first_what, sizeof(s->first_what), "%s", loss->what);
        }
        return;
    }
    for (i = 0; i < SALVAGE_KEYS; i++) {
        salvage_key(i, name);
        if (loss->key.bytes == strlen(name) &&
            memcmp(loss->key.data, name, loss->key.bytes) == 0) {
            check(!s->told[i]);
            s->told[i] = true;
            s->kind[i] = loss->kind;
        }
    }
}

static void salvage_go(const char *path, struct salvaged *s, uint64_t now_ms)
{
    struct warp_memory memory;
    struct warp_disk disk = {0};
    struct salvage_config config = {.disk = &disk,
                                    .memory = &memory,
                                    .now_ms = now_ms,
                                    .store = salvage_take,
                                    .loss = salvage_lose,
                                    .context = s};

    memset(s->got, 0, sizeof(s->got));
    memset(s->told, 0, sizeof(s->told));
    s->wrong = s->ranges = 0;
    s->first_file[0] = '\0';
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(path, &memory, WARP_IO_BACKEND_PLAIN, false, &disk,
                                       NULL, 0),
              ==, 0);
    s->rc = salvage_run(&config, &s->report);
    warp_disk_close(&disk);
    check_u64(warp_memory_bytes(&memory), ==, 0); /* all of it was given back */
    warp_memory_fini(&memory);
    check_u64(s->wrong, ==, 0);
}

/* All that should be there, in its newest version, and nothing else. How many are not. */
static uint32_t salvage_short(const struct salvaged *s)
{
    uint32_t count = 0, i;

    for (i = 0; i < SALVAGE_KEYS; i++) {
        count += s->got[i] != (salvage_deleted(i) ? 0 : s->written[i]);
    }
    return count;
}

static void salvage_path(const char *path, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", path, name);
}

static void salvage_remove(const char *path, const char *name)
{
    char full[512];

    salvage_path(path, name, full);
    check_int(unlink(full), ==, 0);
}

static void salvage_cut(const char *path, const char *name, uint64_t bytes)
{
    char full[512];

    salvage_path(path, name, full);
    check_int(truncate(full, (off_t)bytes), ==, 0);
}

static void salvage_flip(const char *path, const char *name, int64_t offset)
{
    char full[512];
    uint8_t byte = 0;
    int file;

    salvage_path(path, name, full);
    file = open(full, O_RDWR);
    if (check(file >= 0)) {
        offset += offset < 0 ? lseek(file, 0, SEEK_END) : 0;
        check_int(pread(file, &byte, 1, offset), ==, 1);
        byte ^= 0x10;
        check_int(pwrite(file, &byte, 1, offset), ==, 1);
        close(file);
    }
}

/* The name of file number n (from 0) of those that begin so, ascending; "" if there are fewer. */
static void salvage_nth(const char *path, const char *prefix, uint32_t n, char name[64])
{
    char full[512];
    uint32_t i;

    for (i = 0; i < 256; i++) {
        snprintf(name, 64, "%s-%016x.warp", prefix, i);
        salvage_path(path, name, full);
        if (access(full, F_OK) == 0 && n-- == 0) {
            return;
        }
    }
    name[0] = '\0';
}

static uint32_t salvage_each(const char *path, const char *prefix,
                             void (*work)(const char *path, const char *name))
{
    char name[64];
    uint32_t count = 0;

    for (;;) {
        salvage_nth(path, prefix, work == salvage_remove ? 0 : count, name);
        if (name[0] == '\0') {
            return count;
        }
        work(path, name);
        count++;
    }
}

static void salvage_flip_end(const char *path, const char *name)
{
    salvage_flip(path, name, -4000); /* in the trailer: all of the file is lost */
}

WARP_TEST(salvage, a_whole_database_comes_out_whole)
{
    const char *path = test_directory();
    struct salvaged s;

    salvage_make(path, &s);
    salvage_go(path, &s, 1);
    check_int(s.rc, ==, 0);
    check_u64(salvage_short(&s), ==, 0);
    check(salvage_complete(&s.report));
    check_u64(s.ranges, ==, 0);
    check_u64(s.report.slots_covered, ==, WARP_SLOT_COUNT);
    check_u64(s.report.checkpoints_used, ==, 2);
    check_u64(s.report.stored, ==, SALVAGE_KEYS - 25);
}

WARP_TEST(salvage, a_missing_or_damaged_or_foreign_manifest_is_made_again)
{
    const char *path = test_directory(), *other = test_directory();
    struct salvaged s, t;
    char from[512], to[512];

    salvage_make(path, &s);
    salvage_make(other, &t);
    salvage_flip(path, "MANIFEST", 1000);
    salvage_go(path, &s, 1);
    check_u64(salvage_short(&s), ==, 0);
    check(salvage_complete(&s.report));
    check(s.report.manifest_rebuilt);
    check(strstr(s.report.manifest_why, "the checksum is wrong") != NULL);
    salvage_remove(path, "MANIFEST");
    salvage_go(path, &s, 1);
    check_u64(salvage_short(&s), ==, 0);
    check(salvage_complete(&s.report));
    salvage_path(other, "MANIFEST", from);
    salvage_path(path, "MANIFEST", to);
    check_int(rename(from, to), ==, 0);
    salvage_go(path, &s, 1);
    check_u64(salvage_short(&s), ==, 0);
    check(salvage_complete(&s.report));
    check(strstr(s.report.manifest_why, "another database") != NULL);
}

WARP_TEST(salvage, one_of_two_checkpoints_is_enough)
{
    const char *path = test_directory();
    struct salvaged s;
    char name[64];
    uint32_t i;

    salvage_make(path, &s);
    for (i = 0; i < 2; i++) {
        salvage_nth(path, "checkpoint", i, name);
        salvage_flip(path, name, -4000);
        salvage_go(path, &s, 1);
        check_u64(salvage_short(&s), ==, 0);
        check(salvage_complete(&s.report));
        check_u64(s.report.checkpoints_damaged, ==, 1);
        check_str(s.first_file, name);
        salvage_flip(path, name, -4000);
        salvage_flip(path, name, 4200); /* its one section */
        salvage_go(path, &s, 1);
        check_u64(salvage_short(&s), ==, 0);
        check(salvage_complete(&s.report));
        check_u64(s.report.checkpoints_damaged, ==, 1);
        salvage_flip(path, name, 4200);
    }
}

/* What a delete said that is gone with its log cannot be known; what the log still says can. */
static void salvage_check_uncovered(const struct salvaged *s)
{
    uint32_t i;

    check_u64(s->report.slots_covered, ==, 0);
    for (i = 0; i < SALVAGE_KEYS; i++) {
        if (i >= 20 && i < 35) {
            check_u64(s->got[i], ==, 0); /* the log still has these deletes */
        } else if (i >= 10) {
            check_u64(s->got[i], ==, s->written[i]);
        }
        check(!s->told[i] || s->kind[i] == SALVAGE_DOUBTFUL);
        if (s->got[i] != 0 && i < 10) {
            check(s->told[i]);
        }
    }
    check(!salvage_complete(&s->report));
}

WARP_TEST(salvage, without_checkpoints_the_order_of_the_log_decides_and_doubt_is_told)
{
    const char *path = test_directory();
    struct salvaged s;

    salvage_make(path, &s);
    check_u64(salvage_each(path, "checkpoint", salvage_flip_end), ==, 2);
    salvage_go(path, &s, 1);
    salvage_check_uncovered(&s);
    check_u64(s.report.checkpoints_damaged, ==, 2);
    check_u64(salvage_each(path, "checkpoint", salvage_remove), ==, 2);
    salvage_go(path, &s, 1);
    salvage_check_uncovered(&s);
    salvage_remove(path, "MANIFEST");
    salvage_go(path, &s, 1);
    salvage_check_uncovered(&s);
}

WARP_TEST(salvage, a_missing_archive_costs_what_lies_in_it_alone)
{
    const char *path = test_directory();
    struct salvaged s;
    uint32_t i, lost = 0;

    salvage_make(path, &s);
    check_u64(salvage_each(path, "archive", salvage_remove), >=, 1);
    salvage_go(path, &s, 1);
    for (i = 0; i < SALVAGE_KEYS; i++) {
        /* The last ones before the compaction stay in the log. */
        bool maybe = i >= 10 && s.written[i] == 1 && !salvage_deleted(i), gone = s.told[i];

        check_u64(s.got[i], ==, salvage_deleted(i) || gone ? 0 : s.written[i]);
        check(maybe || !gone);
        check(gone || i < 10 || i >= 20);
        check(!gone || s.kind[i] == SALVAGE_LOST);
        lost += gone;
    }
    check_u64(s.report.lost, ==, lost);
    check(strstr(s.first_what, "missing") != NULL);
    check(!salvage_complete(&s.report));
}

WARP_TEST(salvage, missing_and_cut_log_files_cost_what_lies_in_them_alone)
{
    const char *path = test_directory();
    struct salvaged s;
    uint32_t i, older = 0, missing;
    char name[64];

    salvage_make(path, &s);
    /* Keys 100 - 149 were written last into log that the newest checkpoint still names. */
    salvage_nth(path, "log", 1, name);
    salvage_cut(path, name, 20000);
    salvage_go(path, &s, 1);
    missing = salvage_short(&s);
    check_u64(missing, >=, 10);
    check_u64(missing, <, 60);
    for (i = 0; i < SALVAGE_KEYS; i++) {
        if (s.got[i] != (salvage_deleted(i) ? 0 : s.written[i])) {
            check(s.told[i] || s.report.writes_lost + s.report.writes_lost_most > 0);
            /* The archive has an older version of each. */
            check_u64(s.got[i], ==, s.written[i] - 1);
            older++;
        }
    }
    check_u64(s.report.older, <=, older);
    check_u64(s.report.older, >=, 1);
    salvage_remove(path, name);
    salvage_go(path, &s, 1);
    check_u64(salvage_short(&s), >=, missing);
    check_u64(salvage_short(&s), <, 80);
    check(!salvage_complete(&s.report));
    check_u64(salvage_each(path, "log", salvage_remove), >=, 2);
    salvage_go(path, &s, 1);
    check_int(s.rc, ==, 0);
    for (i = 35; i < SALVAGE_KEYS; i++) {
        /* The archive is left, and has what was written before the compaction but the very last. */
        check(s.got[i] == 1 || (i >= 150 && s.got[i] == 0 && s.told[i]));
    }
    check(!salvage_complete(&s.report));
}

WARP_TEST(salvage, files_of_another_database_are_left_aside)
{
    const char *path = test_directory(), *other = test_directory();
    struct salvaged s, t;
    char name[64], from[512], to[512];

    salvage_make(path, &s);
    salvage_make(other, &t);
    salvage_nth(other, "log", 1, name);
    salvage_path(other, name, from);
    salvage_path(path, "log-0000000000000070.warp", to);
    check_int(rename(from, to), ==, 0);
    salvage_nth(other, "archive", 0, name);
    salvage_path(other, name, from);
    salvage_path(path, "archive-0000000000000070.warp", to);
    check_int(rename(from, to), ==, 0);
    salvage_nth(other, "checkpoint", 1, name);
    salvage_path(other, name, from);
    salvage_path(path, "checkpoint-0000000000000070.warp", to);
    check_int(rename(from, to), ==, 0);
    salvage_go(path, &s, 1);
    check_u64(salvage_short(&s), ==, 0);
    check_u64(s.report.foreign_files, ==, 3);
    check(salvage_complete(&s.report));
    salvage_remove(path, "MANIFEST"); /* then the greater number of files decides */
    salvage_go(path, &s, 1);
    check_u64(salvage_short(&s), ==, 0);
    check(salvage_complete(&s.report));
}

/* Where this text lies in the file. */
static int64_t salvage_find(const char *path, const char *name, const char *text)
{
    static uint8_t bytes[SALVAGE_S + 4096];
    char full[512];
    uint8_t *found = NULL;
    size_t got = 0;
    FILE *file;

    salvage_path(path, name, full);
    file = fopen(full, "rb");
    if (check(file != NULL)) {
        got = fread(bytes, 1, sizeof(bytes), file);
        fclose(file);
    }
    found = memmem(bytes, got, text, strlen(text));
    check(found != NULL);
    return found == NULL ? 5000 : found - bytes;
}

WARP_TEST(salvage, the_rest_of_a_damaged_batch_is_found)
{
    const char *path = test_directory();
    struct warp_batch *batch = NULL;
    struct salvaged s;
    struct warp *db;
    uint32_t i, k;

    memset(&s, 0, sizeof(s));
    db = salvage_open(path);
    check_int(warp_batch_create(db, &batch), ==, 0);
    for (i = 0; i < 10; i++) {
        uint8_t value[SALVAGE_BYTES];
        char key[16];

        salvage_key(i, key);
        s.written[i] = 1;
        support_fill(value, sizeof(value), i * 1000u + 1);
        check_int(warp_batch_put(batch, support_text(key),
                                 support_slice(value, sizeof(value)), 0),
                  ==, 0);
    }
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
    warp_batch_destroy(&batch);
    check_int(warp_close(&db), ==, 0);
    for (k = 0; k < 2; k++) {
        /* Its entry is 12 + 7 + 1,500 bytes long: once in its lengths, once in its value. */
        int64_t at = salvage_find(path, "log-0000000000000000.warp", "key0003") - 12;

        at += k == 0 ? 5 : 600;
        salvage_flip(path, "log-0000000000000000.warp", at);
        salvage_go(path, &s, 1);
        for (i = 0; i < 10; i++) {
            check_u64(s.got[i], ==, i != 3);
        }
        check_u64(s.report.batches_partial, ==, 1);
        check_u64(s.report.writes_lost, ==, 1);
        check(!salvage_complete(&s.report));
        salvage_flip(path, "log-0000000000000000.warp", at);
    }
}

WARP_TEST(salvage, what_has_expired_is_left_out_and_other_times_are_kept)
{
    const char *path = test_directory();
    uint64_t now_ms = support_wall_ms();
    struct salvaged s;
    struct warp *db;
    uint32_t i;

    memset(&s, 0, sizeof(s));
    db = salvage_open(path);
    for (i = 0; i < 30; i++) {
        salvage_put(db, &s, i, i < 10 ? 60000 : i < 20 ? 7200000 : 0);
    }
    check_int(warp_close(&db), ==, 0);
    salvage_go(path, &s, now_ms + 3600000);
    for (i = 0; i < 30; i++) {
        check_u64(s.got[i], ==, i >= 10);
        check((s.expires[i] != 0) == (i >= 10 && i < 20));
    }
    check_u64(s.report.expired, ==, 10);
    check(salvage_complete(&s.report));
}

WARP_TEST(salvage, where_nothing_is_a_database_it_says_so)
{
    const char *path = test_directory();
    struct salvaged s;

    memset(&s, 0, sizeof(s));
    salvage_go(path, &s, 1);
    check_int(s.rc, ==, WARP_ENOENT);
    check_u64(s.report.stored, ==, 0);
}

/* ---- the command ---------------------------------------------------------------------------- */

static int salvage_command(const char *path, const char *to, const char *more, char *out,
                           size_t capacity)
{
    char name[512], error[512];
    int status = -1;
    FILE *file;
    pid_t child;

    snprintf(name, sizeof(name), "%s.out", path);
    snprintf(error, sizeof(error), "%s.err", path);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        char *arguments[] = {"salvage",  "--path",     (char *)path, "--to",
                             (char *)to, (char *)more, NULL};

        if (freopen(name, "w", stdout) == NULL || freopen(error, "w", stderr) == NULL) {
            _exit(99);
        }
        status = warp_tool_salvage(more == NULL ? 5 : 6, arguments);
        fflush(NULL);
        _exit(status);
    }
    check_int(waitpid(child, &status, 0), ==, child);
    out[0] = '\0';
    file = fopen(name, "rb");
    if (check(file != NULL)) {
        out[fread(out, 1, capacity - 1, file)] = '\0';
        fclose(file);
    }
    file = fopen(error, "rb");
    if (check(file != NULL)) {
        size_t length = strlen(out);

        out[length + fread(out + length, 1, capacity - 1 - length, file)] = '\0';
        fclose(file);
    }
    unlink(name);
    unlink(error);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

WARP_TEST(salvage, the_command_fills_a_new_database_and_its_status_tells)
{
    const char *path = test_directory(), *base = test_directory();
    char to[300], out[16384], line[256], losses[300], value[SALVAGE_BYTES], key[16];
    struct salvaged s;
    struct warp *db = NULL;
    uint64_t records = 0;
    uint32_t i;
    FILE *file;

    salvage_make(path, &s);
    snprintf(to, sizeof(to), "%s/new", base);
    snprintf(losses, sizeof(losses), "--losses=%s/losses", base);
    check_int(salvage_command(path, to, NULL, out, sizeof(out)), ==, 0);
    check(strstr(out, "175 records, ") != NULL);
    check(strstr(out, "COMPLETE: ") != NULL);
    check_int(warp_open(to, NULL, &db), ==, 0);
    check_int(warp_count(db, &records), ==, 0);
    check_u64(records, ==, SALVAGE_KEYS - 25);
    for (i = 0; i < SALVAGE_KEYS; i++) {
        size_t bytes = 0;
        int rc;

        salvage_key(i, key);
        rc = warp_get(db, support_text(key), value, sizeof(value), &bytes, NULL);
        check_int(rc, ==, salvage_deleted(i) ? WARP_ABSENT : 0);
        check(rc != 0 || support_matches(value, bytes, i * 1000u + s.written[i]));
    }
    check_int(warp_close(&db), ==, 0);

    check_int(salvage_command(path, to, NULL, out, sizeof(out)), ==, 3); /* not over it */
    check(strstr(out, "not an empty directory") != NULL);
    check_int(salvage_command(path, path, NULL, out, sizeof(out)), ==,
              2); /* nor in place */
    check_int(salvage_command(path, "", NULL, out, sizeof(out)), ==, 2);

    check_u64(salvage_each(path, "archive", salvage_remove), >=, 1);
    snprintf(to, sizeof(to), "%s/second", base);
    salvage_go(path, &s, 1);
    check_u64(s.report.lost, >, 20);
    check_int(salvage_command(path, to, losses, out, sizeof(out)), ==, 1);
    snprintf(line, sizeof(line), "LOSSES: %u records for certain", (unsigned)s.report.lost);
    check(strstr(out, line) != NULL);
    check(strstr(out, ": no version of it can be read") != NULL);
    snprintf(line, sizeof(line), "... and 0 ranges and %u keys more",
             (unsigned)s.report.lost - 20);
    check(strstr(out, line) != NULL);
    snprintf(line, sizeof(line), "%s/losses", base);
    file = fopen(line, "rb");
    if (check(file != NULL)) {
        for (i = 0; fgets(line, sizeof(line), file) != NULL; i++) {
            check(line[0] == '{');
        }
        check_u64(i, ==, s.report.lost + s.report.ranges); /* all keys, and the file */
        fclose(file);
    }
    snprintf(to, sizeof(to), "%s/third", base);
    check_int(salvage_command(path, to, "--json", out, sizeof(out)), ==, 1);
    check(strstr(out, "{\"complete\":false,\"records\":1") == out);
    snprintf(line, sizeof(line), "\"lost\":%u,", (unsigned)s.report.lost);
    check(strstr(out, line) != NULL);

    check_u64(salvage_each(path, "log", salvage_remove), >=, 1);
    snprintf(to, sizeof(to), "%s/fourth", base);
    check_int(salvage_command(path, to, NULL, out, sizeof(out)), ==, 3);
    check(strstr(out, "LOSSES: ") != NULL);
    snprintf(to, sizeof(to), "%s/fifth", base);
    check_int(salvage_command(base, to, NULL, out, sizeof(out)), ==, 3);
}

WARP_TEST(salvage, a_database_that_is_open_is_refused_and_a_closed_one_is_not_touched)
{
    const char *path = test_directory(), *base = test_directory();
    char to[300], out[4096], full[512];
    struct salvaged s;
    struct warp *db;

    salvage_make(path, &s);
    snprintf(to, sizeof(to), "%s/new", base);
    db = salvage_open(path);
    check_int(salvage_command(path, to, NULL, out, sizeof(out)), ==, 3);
    check(strstr(out, " is open, by ") != NULL);
    check_int(warp_close(&db), ==, 0);
    salvage_remove(path, WARP_LOCK_NAME);
    check_int(salvage_command(path, to, NULL, out, sizeof(out)), ==, 0);
    salvage_path(path, WARP_LOCK_NAME, full);
    check(access(full, F_OK) != 0); /* none was made */
}
