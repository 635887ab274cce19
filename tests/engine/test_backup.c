/* Backups: what is in them, what they share, and what is left when something goes wrong. */
#include "tests/engine/fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/errno.h"
#include "base/io_fault.h"
#include "engine/restore.h"
#include "tests/lib/memory_disk.h"

/* ---- what a database holds ---------------------------------------------------------------- */

struct content {
    uint64_t hash, records;
};

static int content_visit(void *context, struct warp_slice key,
                         const struct warp_value *value)
{
    struct content *content = context;
    uint64_t hash = value->expires_at_ms + value->bytes;
    size_t i;

    for (i = 0; i < key.bytes; i++) {
        hash = support_mix(hash ^ ((const uint8_t *)key.data)[i]);
    }
    for (i = 0; i < value->bytes; i++) {
        hash = (hash ^ ((const uint8_t *)value->data)[i]) * 0x100000001b3u;
    }
    content->hash += support_mix(hash);
    content->records++;
    return 0;
}

static struct content content_of(struct warp *db)
{
    struct content content = {0, 0};

    check_int(warp_visit(db, content_visit, &content), ==, 0);
    return content;
}

static struct content content_at(const char *path)
{
    struct warp_options options = fixture_options();
    struct content content = {0, 0};
    struct warp *db;

    options.open_flags = WARP_MUST_EXIST;
    db = fixture_open(path, &options);
    if (db != NULL) {
        content = content_of(db);
        check_int(warp_close(&db), ==, 0);
    }
    return content;
}

/* Small log files, and no checkpoint or compaction that nobody asked for. */
static struct warp *open_small(const char *path)
{
    struct warp_options options = fixture_options();
    struct warp_env env;
    struct warp *db = NULL;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.segment_bytes = 65536;
    options.compaction = 2;
    check_int(warp_engine_open(path, &options, &env, &db), ==, 0);
    return db;
}

static void put_many(struct warp *db, uint32_t from, uint32_t to, uint64_t seed,
                     size_t bytes)
{
    uint8_t *value = malloc(bytes);
    char key[32];
    uint32_t i;

    for (i = from; i < to; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        support_fill(value, bytes, seed + i);
        check_int(warp_put(db, support_text(key), support_slice(value, bytes), NULL, NULL),
                  ==, 0);
    }
    free(value);
}

/* Something of every kind: archives, a checkpoint, old log, log behind it; batches, deletes,
 * expiries, and values of several log files. */
static void fill_all_kinds(struct warp *db)
{
    struct warp_write expiring = WARP_WRITE_INIT;
    struct warp_batch *batch = NULL;
    char key[32];
    uint32_t i;

    put_many(db, 0, 300, 1, 700);
    check_int(warp_checkpoint(db), ==, 0);
    put_many(db, 0, 200, 2, 700);
    check_int(warp_compact(db), ==, 0);
    put_many(db, 300, 400, 3, 900);
    check_int(warp_checkpoint(db), ==, 0);
    put_many(db, 1000, 1003, 4, 200000);
    check_int(warp_batch_create(db, &batch), ==, 0);
    for (i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "batch-%u", i);
        check_int(warp_batch_put(batch, support_text(key), support_text(key), 0), ==, 0);
    }
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
    warp_batch_destroy(&batch);
    expiring.ttl_ms = 3600000;
    check_int(warp_put(db, support_text("expires"), support_text("later"), &expiring, NULL),
              ==, 0);
    for (i = 0; i < 100; i += 3) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(warp_delete(db, support_text(key), NULL, NULL), ==, 0);
    }
}

/* ---- files ------------------------------------------------------------------------------- */

/* How many files in the directory have a name that begins and ends like this; out, if it is not
 * NULL, gets the path of one. */
static uint32_t count_files(const char *directory, const char *begins, const char *ends,
                            char *out)
{
    DIR *open_directory = opendir(directory);
    struct dirent *entry;
    uint32_t count = 0;

    while (open_directory != NULL && (entry = readdir(open_directory)) != NULL) {
        size_t length = strlen(entry->d_name), tail = strlen(ends);

        if (strncmp(entry->d_name, begins, strlen(begins)) == 0 && length >= tail &&
            strcmp(entry->d_name + length - tail, ends) == 0) {
            if (out != NULL) {
                snprintf(out, SUPPORT_PATH_BYTES, "%.250s/%.250s", directory,
                         entry->d_name);
            }
            count++;
        }
    }
    if (open_directory != NULL) {
        closedir(open_directory);
    }
    return count;
}

static void flip_byte(const char *path, off_t offset)
{
    uint8_t byte = 0;
    int file = open(path, O_RDWR);

    check(file >= 0 && pread(file, &byte, 1, offset) == 1);
    byte ^= 0x10;
    check(pwrite(file, &byte, 1, offset) == 1);
    close(file);
}

static void copy_directory(const char *from, const char *to)
{
    char command[3 * SUPPORT_PATH_BYTES];

    snprintf(command, sizeof(command), "cp -r '%.500s' '%.500s'", from, to);
    check_int(system(command), ==, 0);
}

struct place {
    char base[SUPPORT_PATH_BYTES], db[SUPPORT_PATH_BYTES], backups[SUPPORT_PATH_BYTES],
        restored[SUPPORT_PATH_BYTES], other[SUPPORT_PATH_BYTES];
};

static void place_init(struct place *place)
{
    support_directory(place->base, "backup");
    snprintf(place->db, sizeof(place->db), "%.400s/db", place->base);
    snprintf(place->backups, sizeof(place->backups), "%.400s/backups", place->base);
    snprintf(place->restored, sizeof(place->restored), "%.400s/restored", place->base);
    snprintf(place->other, sizeof(place->other), "%.400s/other", place->base);
}

static void place_fini(struct place *place)
{
    support_remove(place->base);
}

struct talk {
    struct warp_backup_options options;
    struct warp_backup_info info;
    char message[512];
};

static struct talk *talk_init(struct talk *talk)
{
    const struct warp_backup_options options = WARP_BACKUP_OPTIONS_INIT;
    const struct warp_backup_info info = WARP_BACKUP_INFO_INIT;

    talk->options = options;
    talk->info = info;
    talk->message[0] = '\0';
    talk->options.message = talk->message;
    talk->options.message_bytes = sizeof(talk->message);
    return talk;
}

static int backup_to(struct warp *db, const char *directory, struct talk *talk)
{
    talk_init(talk);
    return warp_backup(db, directory, &talk->options, &talk->info);
}

static int restore_to(const char *directory, uint64_t number, const char *path,
                      struct talk *talk)
{
    talk_init(talk);
    return warp_restore(directory, number, path, &talk->options, &talk->info);
}

static void check_same(struct content a, struct content b)
{
    check_u64(a.records, ==, b.records);
    check_u64(a.hash, ==, b.hash);
}

/* Restore a backup and look whether it holds this; the directory is gone afterwards. */
static void check_restored(struct place *place, uint64_t number, struct content content)
{
    struct talk talk;

    if (!check_int(restore_to(place->backups, number, place->restored, &talk), ==, 0)) {
        fprintf(stderr, "    %s\n", talk.message);
        return;
    }
    check_same(content_at(place->restored), content);
    support_remove(place->restored);
}

/* ---- what is in it ----------------------------------------------------------------------- */

WARP_TEST(backup, restored_is_what_was_backed_up)
{
    struct content content;
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    content = content_of(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_u64(talk.info.number, ==, 1);
    check_u64(talk.info.files_copied, ==, talk.info.files);
    check_u64(talk.info.bytes_copied, ==, talk.info.bytes);
    check_u64(talk.info.checkpoint, >, 0);
    check_u64(talk.info.fencing_epoch, ==, 1);
    check(count_files(place.backups, "log-", ".pool", NULL) > 2);
    check(count_files(place.backups, "archive-", ".pool", NULL) > 0);
    check_u64(count_files(place.backups, "checkpoint-", ".pool", NULL), ==, 1);
    /* It is a database like any other: written to, compacted, closed and opened. */
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, 0);
    check_u64(talk.info.number, ==, 1);
    {
        struct warp *restored = open_small(place.restored);
        char text[256];

        check_same(content_of(restored), content);
        put_many(restored, 2000, 2200, 9, 700);
        check_int(warp_compact(restored), ==, 0);
        check_int(warp_close(&restored), ==, 0);
        restored = open_small(place.restored);
        check_u64(content_of(restored).records, ==, content.records + 200);
        check_str(fixture_get(restored, "expires", text), "later");
        check_int(warp_close(&restored), ==, 0);
    }
    /* And the one it was made of does not know. */
    check_same(content_of(db), content);
    check_int(warp_close(&db), ==, 0);
    check_same(content_at(place.db), content);
    place_fini(&place);
}

WARP_TEST(backup, of_a_young_database_is_the_log_alone)
{
    struct content content;
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_restored(&place, 0, content_of(db));
    check_int(fixture_put(db, "a", "b"), ==, 0);
    content = content_of(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_u64(talk.info.number, ==, 2);
    check_u64(talk.info.checkpoint, ==, 0);
    check_u64(talk.info.files, ==, 1);
    check_restored(&place, 0, content);
    check_restored(&place, 1, (struct content){0, 0});
    check_int(warp_close(&db), ==, 0);
    place_fini(&place);
}

WARP_TEST(backup, a_handle_that_only_reads_will_do)
{
    struct warp_options options = fixture_options();
    struct content content;
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    check_int(warp_flush(db), ==, 0);
    content = content_of(db);
    /* As a killed process leaves it: with an open log. */
    copy_directory(place.db, place.other);
    check_int(warp_close(&db), ==, 0);
    options.open_flags = WARP_READ_ONLY;
    db = fixture_open(place.other, &options);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    check_restored(&place, 0, content);
    place_fini(&place);
}

/* ---- what is shared ---------------------------------------------------------------------- */

WARP_TEST(backup, a_second_one_copies_only_what_is_new)
{
    struct content contents[3];
    struct place place;
    struct talk talk;
    struct warp *db;
    uint64_t logs, archives;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    contents[0] = content_of(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    logs = count_files(place.backups, "log-", ".pool", NULL);
    archives = count_files(place.backups, "archive-", ".pool", NULL);

    /* Nothing is new but the end of the log, which is not whole. */
    contents[1] = contents[0];
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_u64(talk.info.files_copied, ==, 1);
    check_u64(talk.info.bytes_copied, <=, 65536 + 4096);
    check_u64(count_files(place.backups, "log-", ".pool", NULL), ==, logs + 1);

    /* Three full segments more, and what the last one had before they began and after. */
    put_many(db, 5000, 5000 + 3 * 65536 / 1024, 5, 1024 - 64);
    contents[2] = content_of(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_u64(talk.info.files_copied, >=, 3);
    check_u64(talk.info.files_copied, <=, 5);
    check_u64(talk.info.files, >, talk.info.files_copied + 5);
    check_u64(count_files(place.backups, "archive-", ".pool", NULL), ==, archives);
    check_u64(count_files(place.backups, "checkpoint-", ".pool", NULL), ==, 1);

    check_restored(&place, 1, contents[0]);
    check_restored(&place, 2, contents[1]);
    check_restored(&place, 3, contents[2]);
    check_int(warp_close(&db), ==, 0);
    place_fini(&place);
}

WARP_TEST(backup, deleting_one_keeps_what_others_share)
{
    struct content contents[3];
    struct place place;
    struct talk talk;
    struct warp *db;
    uint32_t i, before;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    for (i = 0; i < 3; i++) {
        put_many(db, 100 * i, 100 * i + 200, 20 + i, 800);
        check_int(warp_compact(db), ==, 0);
        contents[i] = content_of(db);
        check_int(backup_to(db, place.backups, &talk), ==, 0);
    }
    talk_init(&talk);
    check_int(warp_backup_delete(place.backups, 7, &talk.options), ==, WARP_ENOENT);
    check(strstr(talk.message, "no backup 7") != NULL);
    before = count_files(place.backups, "", ".pool", NULL);
    check_int(warp_backup_delete(place.backups, 1, &talk.options), ==, 0);
    check_u64(count_files(place.backups, "", ".pool", NULL), <, before);
    check_int(warp_backup_verify(place.backups, 0, &talk.options), ==, 0);
    check_restored(&place, 2, contents[1]);
    check_restored(&place, 3, contents[2]);
    check_int(restore_to(place.backups, 1, place.restored, &talk), ==, WARP_ENOENT);
    check_int(warp_backup_delete(place.backups, 3, &talk.options), ==, 0);
    check_restored(&place, 0, contents[1]);
    check_int(warp_backup_delete(place.backups, 2, &talk.options), ==, 0);
    check_u64(count_files(place.backups, "", ".pool", NULL), ==, 0);
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, WARP_ENOENT);
    check_int(warp_close(&db), ==, 0);
    place_fini(&place);
}

WARP_TEST(backup, a_restored_database_shares_nothing_with_the_one_it_came_from)
{
    struct content mine, theirs;
    struct warp *db, *restored;
    struct place place;
    struct talk talk;
    uint64_t first;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(restore_to(place.backups, 0, place.other, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    /* Both are opened once more: the same epoch. Both write as much to the same places. */
    db = open_small(place.db);
    restored = open_small(place.other);
    put_many(db, 0, 300, 100, 700);
    put_many(restored, 0, 300, 200, 700);
    mine = content_of(db);
    theirs = content_of(restored);
    check_u64(mine.hash, !=, theirs.hash);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    first = talk.info.files_copied;
    check_int(backup_to(restored, place.backups, &talk), ==, 0);
    check_u64(talk.info.files_copied, ==, talk.info.files);
    check_u64(talk.info.files_copied, >, first);
    /* What it has copied itself it shares again. */
    check_int(backup_to(restored, place.backups, &talk), ==, 0);
    check_u64(talk.info.files_copied, ==, 1);
    check_restored(&place, 2, mine);
    check_restored(&place, 3, theirs);
    check_restored(&place, 4, theirs);
    check_int(warp_close(&db), ==, 0);
    check_int(warp_close(&restored), ==, 0);
    place_fini(&place);
}

WARP_TEST(backup, an_older_copy_of_the_directory_that_went_on_is_noticed)
{
    struct content content;
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    put_many(db, 0, 100, 1, 700);
    check_int(warp_close(&db), ==, 0);
    copy_directory(place.db, place.other);
    db = open_small(place.db);
    put_many(db, 0, 500, 2, 700);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    /* Same id, same lineage, same epoch, same files of the same length. */
    db = open_small(place.other);
    put_many(db, 0, 500, 3, 700);
    content = content_of(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    check_u64(talk.info.files_copied, <, talk.info.files);
    check_restored(&place, 0, content);
    place_fini(&place);
}

/* ---- beside writers ---------------------------------------------------------------------- */

enum { LOAD_THREADS = 4, LOAD_KEYS = 40, LOAD_OPERATIONS_MAX = 60000 };

struct load_operation {
    uint64_t sequence; /* of the frame; 0: it was refused */
    uint64_t ttl_ms;
    uint32_t key, batch; /* a batch writes keys [key, key + batch) */
    uint32_t bytes;      /* UINT32_MAX: a delete */
};

struct load_thread {
    struct load *load;
    uint32_t id;
    pthread_t thread;
    struct load_operation *operations;
    _Atomic uint32_t count; /* acknowledged */
};

struct load {
    struct warp *db;
    _Atomic bool stop;
    struct load_thread threads[LOAD_THREADS];
    pthread_t upkeep;
};

static void load_key(uint32_t thread, uint32_t key, char out[32])
{
    snprintf(out, 32, "{%u}-%u", thread, key % LOAD_KEYS);
}

static uint64_t load_seed(uint32_t thread, uint32_t operation, uint32_t key)
{
    return (uint64_t)thread << 48 | (uint64_t)operation << 16 | (key % LOAD_KEYS);
}

static int load_batch(struct load_thread *thread, struct load_operation *operation,
                      uint32_t at, uint8_t *value, const struct warp_write *how)
{
    struct warp_batch *batch = NULL;
    char key[32];
    uint32_t i;
    int rc = warp_batch_create(thread->load->db, &batch);

    for (i = 0; i < operation->batch && rc == 0; i++) {
        load_key(thread->id, operation->key + i, key);
        support_fill(value, operation->bytes,
                     load_seed(thread->id, at, operation->key + i));
        rc = warp_batch_put(batch, support_text(key),
                            support_slice(value, operation->bytes), 0);
    }
    if (rc == 0) {
        rc = warp_batch_commit(batch, how, &operation->sequence);
    }
    warp_batch_destroy(&batch);
    return rc;
}

static void *load_main(void *context)
{
    struct load_thread *thread = context;
    struct support_random random = {thread->id + 77};
    uint8_t *value = malloc(300000);
    char key[32];
    uint32_t at;

    for (at = 0; at < LOAD_OPERATIONS_MAX && !atomic_load(&thread->load->stop); at++) {
        struct load_operation *operation = &thread->operations[at];
        struct warp_write how = WARP_WRITE_INIT;
        uint64_t kind = support_random_below(&random, 100);
        int rc;

        how.durability = (uint32_t)(1 + support_random_below(&random, 3));
        operation->key = (uint32_t)support_random_below(&random, LOAD_KEYS);
        operation->bytes = (uint32_t)support_random_between(&random, 1, 900);
        load_key(thread->id, operation->key, key);
        if (kind < 10) {
            operation->batch = (uint32_t)support_random_between(&random, 2, 8);
            rc = load_batch(thread, operation, at, value, &how);
        } else if (kind < 25) {
            operation->bytes = UINT32_MAX;
            rc = warp_delete(thread->load->db, support_text(key), &how,
                             &operation->sequence);
        } else {
            if (kind < 27) {
                /* Longer than a log file, and than the log's ring. */
                operation->bytes = (uint32_t)support_random_between(&random, 60000, 300000);
            }
            how.ttl_ms = operation->ttl_ms =
                kind < 40 ? 3600000 + support_random_below(&random, 1000) : 0;
            support_fill(value, operation->bytes,
                         load_seed(thread->id, at, operation->key));
            rc = warp_put(thread->load->db, support_text(key),
                          support_slice(value, operation->bytes), &how,
                          &operation->sequence);
        }
        if (rc == WARP_ABSENT) {
            operation->sequence = 0;
        } else if (!check_int(rc, ==, 0)) {
            break;
        }
        atomic_store(&thread->count, at + 1);
    }
    free(value);
    return NULL;
}

static void *load_upkeep(void *context)
{
    struct load *load = context;
    uint32_t round;

    for (round = 0; !atomic_load(&load->stop); round++) {
        int rc = round % 3 == 2 ? warp_compact(load->db) : warp_checkpoint(load->db);

        check_int(rc, ==, 0);
    }
    return NULL;
}

struct load_look {
    struct load *load;
    uint64_t sequence; /* of the backup */
    uint64_t seen;
};

/* The newest operation on a key whose place is below the cut; -1: none. */
static int64_t load_expected(const struct load_thread *thread, uint32_t key,
                             uint64_t sequence)
{
    uint32_t at = atomic_load(&thread->count);

    while (at-- > 0) {
        const struct load_operation *operation = &thread->operations[at];
        uint32_t keys = operation->batch == 0 ? 1 : operation->batch;
        uint32_t distance = (key + LOAD_KEYS - operation->key) % LOAD_KEYS;

        if (operation->sequence != 0 && operation->sequence < sequence && distance < keys) {
            return at;
        }
    }
    return -1;
}

static void load_check_key(struct load *load, struct warp *restored, uint32_t thread,
                           uint32_t key, uint64_t sequence)
{
    int64_t at = load_expected(&load->threads[thread], key, sequence);
    const struct load_operation *operation =
        at < 0 ? NULL : &load->threads[thread].operations[at];
    struct warp_value value = WARP_VALUE_INIT;
    char text[32];
    int rc;

    load_key(thread, key, text);
    rc = warp_borrow(restored, support_text(text), &value);
    if (operation == NULL || operation->bytes == UINT32_MAX) {
        if (!check_int(rc, ==, WARP_ABSENT)) {
            fprintf(stderr, "    %s, cut at %" PRIu64 ", is of %" PRIu64 "\n", text,
                    sequence, value.sequence);
        }
    } else if (check_int(rc, ==, 0)) {
        check_u64(value.bytes, ==, operation->bytes);
        check(
            support_matches(value.data, value.bytes, load_seed(thread, (uint32_t)at, key)));
        check((value.expires_at_ms != 0) == (operation->ttl_ms != 0));
        check_u64(value.sequence, <, sequence);
    }
    warp_return(&value);
}

static void load_check(struct load *load, const char *path, uint64_t sequence)
{
    struct warp *restored = open_small(path);
    uint32_t thread, key;
    unsigned before = test_failures();

    if (restored == NULL) {
        return;
    }
    for (thread = 0; thread < LOAD_THREADS; thread++) {
        for (key = 0; key < LOAD_KEYS && test_failures() == before; key++) {
            load_check_key(load, restored, thread, key, sequence);
        }
    }
    check_int(warp_close(&restored), ==, 0);
}

WARP_TEST(backup, under_full_load_is_exactly_a_prefix)
{
    enum { BACKUPS = 5 };
    uint64_t cuts[BACKUPS] = {0}, shared = 0;
    struct load *load = calloc(1, sizeof(*load));
    struct place place;
    struct talk talk;
    uint32_t i, round;

    place_init(&place);
    load->db = open_small(place.db);
    for (i = 0; i < LOAD_THREADS; i++) {
        struct load_thread *thread = &load->threads[i];

        thread->load = load;
        thread->id = i;
        thread->operations = calloc(LOAD_OPERATIONS_MAX, sizeof(*thread->operations));
        check_int(pthread_create(&thread->thread, NULL, load_main, thread), ==, 0);
    }
    check_int(pthread_create(&load->upkeep, NULL, load_upkeep, load), ==, 0);
    for (round = 0; round < BACKUPS; round++) {
        uint32_t counts[LOAD_THREADS];

        /* Every one of them gets on between two backups. */
        for (i = 0; i < LOAD_THREADS; i++) {
            uint32_t from = atomic_load(&load->threads[i].count), wait;

            for (wait = 0; wait < 20000 && atomic_load(&load->threads[i].count) < from + 20;
                 wait++) {
                support_sleep_ns(1000000);
            }
            counts[i] = atomic_load(&load->threads[i].count);
        }
        if (!check_int(backup_to(load->db, place.backups, &talk), ==, 0)) {
            fprintf(stderr, "    %s\n", talk.message);
            break;
        }
        cuts[round] = talk.info.sequence;
        shared += talk.info.files - talk.info.files_copied;
        for (i = 0; i < LOAD_THREADS; i++) {
            while (counts[i] > 0) {
                check_u64(load->threads[i].operations[--counts[i]].sequence, <,
                          talk.info.sequence);
            }
        }
    }
    atomic_store(&load->stop, true);
    for (i = 0; i < LOAD_THREADS; i++) {
        pthread_join(load->threads[i].thread, NULL);
    }
    pthread_join(load->upkeep, NULL);
    talk_init(&talk);
    check_int(warp_backup_verify(place.backups, 0, &talk.options), ==, 0);
    for (i = 0; i < round; i++) {
        check_int(restore_to(place.backups, i + 1, place.restored, &talk), ==, 0);
        check_u64(talk.info.sequence, ==, cuts[i]);
        load_check(load, place.restored, cuts[i]);
        support_remove(place.restored);
    }
    check_u64(shared, >, 0);
    check_int(warp_close(&load->db), ==, 0);
    for (i = 0; i < LOAD_THREADS; i++) {
        free(load->threads[i].operations);
    }
    free(load);
    place_fini(&place);
}

/* ---- while it runs ----------------------------------------------------------------------- */

struct meddle {
    struct place *place;
    struct warp *db;
    uint32_t calls, stop_at;
    int answer;
    int busy, busy_directory; /* what two more backups answered */
    uint32_t checkpoints;     /* that were there at the same time */
    uint64_t done, total;
};

/* Everything that makes files go, in the middle of the backup. */
static int meddle_progress(void *context, uint64_t done, uint64_t total)
{
    struct meddle *meddle = context;
    uint32_t i;

    meddle->done = done;
    meddle->total = total;
    if (meddle->calls++ == 1 && meddle->place != NULL) {
        struct talk talk;

        for (i = 0; i < 4; i++) {
            put_many(meddle->db, 0, 400, 1000 + i, 700);
            check_int(warp_compact(meddle->db), ==, 0);
        }
        meddle->checkpoints = count_files(meddle->place->db, "checkpoint-", ".warp", NULL);
        meddle->busy = backup_to(meddle->db, meddle->place->other, &talk);
        talk_init(&talk);
        meddle->busy_directory =
            warp_backup_delete(meddle->place->backups, 1, &talk.options);
    }
    return meddle->calls == meddle->stop_at ? meddle->answer : 0;
}

WARP_TEST(backup, holds_what_it_needs_and_lets_go_of_it)
{
    struct content content;
    struct meddle meddle;
    struct place place;
    struct talk talk;
    struct warp *db;
    uint32_t logs, round;

    for (round = 0; round < 2; round++) {
        place_init(&place);
        db = open_small(place.db);
        fill_all_kinds(db);
        content = content_of(db);
        memset(&meddle, 0, sizeof(meddle));
        meddle.place = &place;
        meddle.db = db;
        meddle.stop_at = round == 0 ? 0 : 3;
        meddle.answer = -77;
        talk_init(&talk);
        talk.options.progress = meddle_progress;
        talk.options.progress_context = &meddle;
        check_int(warp_backup(db, place.backups, &talk.options, &talk.info), ==,
                  round == 0 ? 0 : -77);
        check_u64(meddle.checkpoints, ==, 3);
        check_int(meddle.busy, ==, WARP_EBUSY);
        check_int(meddle.busy_directory, ==, WARP_EBUSY);
        /* What it had held goes now. */
        check_u64(count_files(place.db, "checkpoint-", ".warp", NULL), ==, 2);
        logs = count_files(place.db, "log-", ".warp", NULL);
        check_int(warp_compact(db), ==, 0);
        check_u64(count_files(place.db, "log-", ".warp", NULL), <, logs);
        if (round == 0) {
            check_u64(meddle.done, ==, meddle.total);
            check_u64(meddle.total, ==, talk.info.bytes_copied);
            check_restored(&place, 0, content);
        } else {
            check_u64(count_files(place.backups, "", ".pool", NULL), ==, 0);
            check_u64(count_files(place.backups, "", ".new", NULL), ==, 0);
            check_u64(count_files(place.backups, "backup-", "", NULL), ==, 0);
        }
        content = content_of(db);
        check_int(backup_to(db, place.backups, &talk), ==, 0);
        check_restored(&place, 0, content);
        check_int(warp_close(&db), ==, 0);
        place_fini(&place);
    }
}

WARP_TEST(backup, a_limit_is_kept_in_small_pieces)
{
    struct meddle meddle;
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    memset(&meddle, 0, sizeof(meddle));
    talk_init(&talk);
    talk.options.bytes_per_second = 4u << 20;
    talk.options.progress = meddle_progress;
    talk.options.progress_context = &meddle;
    check_int(warp_backup(db, place.backups, &talk.options, &talk.info), ==, 0);
    /* A tenth of a second's bytes at most are asked for at a time. */
    check_u64(meddle.calls, >=, talk.info.bytes_copied * 10 / (4u << 20));
    check_int(warp_close(&db), ==, 0);
    place_fini(&place);
}

/* ---- what is refused --------------------------------------------------------------------- */

WARP_TEST(backup, a_flipped_bit_in_any_file_is_reported_and_never_restored)
{
    static const char *const kinds[][2] = {{"log-", ".pool"},
                                           {"archive-", ".pool"},
                                           {"checkpoint-", ".pool"},
                                           {"backup-", ".warp"}};
    struct place place;
    struct talk talk;
    struct warp *db;
    uint32_t i;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    for (i = 0; i < 4; i++) {
        char path[SUPPORT_PATH_BYTES] = "", away[SUPPORT_PATH_BYTES + 8];
        off_t offset;

        check(count_files(place.backups, kinds[i][0], kinds[i][1], path) > 0);
        for (offset = 3; offset < 4200; offset += 4150) {
            flip_byte(path, offset);
            talk_init(&talk);
            check_int(warp_backup_verify(place.backups, 0, &talk.options), ==,
                      WARP_EDAMAGED);
            check(strstr(talk.message, strrchr(path, '/') + 1) != NULL);
            check_int(restore_to(place.backups, 0, place.restored, &talk), ==,
                      WARP_EDAMAGED);
            check(strstr(talk.message, strrchr(path, '/') + 1) != NULL);
            check_u64(count_files(place.restored, "", ".warp", NULL), ==, 0);
            check_u64(count_files(place.restored, "MANIFEST", "", NULL), ==, 0);
            flip_byte(path, offset);
        }
        /* And a file that is gone. */
        snprintf(away, sizeof(away), "%s.away", path);
        check_int(rename(path, away), ==, 0);
        check_int(restore_to(place.backups, 0, place.restored, &talk), ==,
                  i < 3 ? WARP_EDAMAGED : WARP_ENOENT);
        check_int(rename(away, path), ==, 0);
    }
    talk_init(&talk);
    check_int(warp_backup_verify(place.backups, 0, &talk.options), ==, 0);
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, 0);
    place_fini(&place);
}

struct listed {
    uint32_t count, damaged;
    uint64_t last;
};

static int listed_visit(void *context, const struct warp_backup_info *info)
{
    struct listed *listed = context;

    listed->count++;
    listed->damaged += info->damaged;
    listed->last = info->number;
    return listed->count == 3 ? 42 : 0;
}

WARP_TEST(backup, a_damaged_description_is_listed_and_protects_its_files)
{
    struct listed listed = {0, 0, 0};
    char path[SUPPORT_PATH_BYTES];
    struct content content;
    struct place place;
    struct talk talk;
    struct warp *db;
    uint32_t files;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    put_many(db, 0, 300, 50, 700);
    check_int(warp_compact(db), ==, 0);
    content = content_of(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    files = count_files(place.backups, "", ".pool", NULL);
    snprintf(path, sizeof(path), "%.400s/backup-%016x.warp", place.backups, 1);
    flip_byte(path, 100);
    talk_init(&talk);
    check_int(warp_backup_list(place.backups, listed_visit, &listed, &talk.options), ==, 0);
    check_u64(listed.count, ==, 2);
    check_u64(listed.damaged, ==, 1);
    check_u64(listed.last, ==, 2);
    check_restored(&place, 2, content);
    /* Whatever is deleted, its files may be the damaged one's. */
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_u64(talk.info.number, ==, 3);
    check_int(warp_backup_list(place.backups, listed_visit, &listed, &talk.options), ==,
              42);
    check_int(warp_backup_delete(place.backups, 2, &talk.options), ==, 0);
    check_u64(count_files(place.backups, "", ".pool", NULL), >, files);
    flip_byte(path, 100);
    check_int(warp_backup_verify(place.backups, 0, &talk.options), ==, 0);
    check_int(warp_backup_delete(place.backups, 1, &talk.options), ==, 0);
    check_restored(&place, 0, content);
    check_int(warp_close(&db), ==, 0);
    place_fini(&place);
}

WARP_TEST(backup, the_wrong_directory_is_refused_by_name)
{
    struct warp_options options = fixture_options();
    char path[SUPPORT_PATH_BYTES + 16], message[512];
    struct warp *db, *other = NULL;
    struct place place;
    struct talk talk;
    FILE *file;

    place_init(&place);
    db = open_small(place.db);
    check_int(fixture_put(db, "a", "b"), ==, 0);
    check_int(backup_to(db, place.db, &talk), ==, WARP_EFORMAT);
    check(strstr(talk.message, "database") != NULL);
    check_int(backup_to(db, place.base, &talk), ==, 0); /* only folders are there */
    support_remove(place.base);
    check_int(warp_close(&db), ==, 0);

    place_init(&place);
    db = open_small(place.db);
    snprintf(path, sizeof(path), "%s/letter.txt", place.base);
    file = fopen(path, "w");
    check(file != NULL && fclose(file) == 0);
    check_int(backup_to(db, place.base, &talk), ==, WARP_EFORMAT);
    check(strstr(talk.message, "letter.txt") != NULL);
    check_u64(count_files(place.base, "LOCK", "", NULL), ==, 0);
    check_int(backup_to(db, path, &talk), ==, WARP_ENOTDIR);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    check_int(fixture_try(place.backups, &options, &other, message), ==, WARP_EFORMAT);
    check(strstr(message, "backups") != NULL);

    check_int(restore_to(place.backups, 0, place.base, &talk), ==, WARP_EEXIST);
    check(strstr(talk.message, "letter.txt") != NULL);
    check_int(restore_to(place.backups, 0, place.db, &talk), ==, WARP_EEXIST);
    check_int(restore_to(place.backups, 9, place.restored, &talk), ==, WARP_ENOENT);
    check_int(restore_to(place.other, 0, place.restored, &talk), ==, WARP_ENOENT);
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, 0);
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, WARP_EEXIST);
    talk_init(&talk);
    talk.options.size = 4;
    check_int(warp_restore(place.backups, 0, place.other, &talk.options, NULL), ==,
              WARP_EINVAL);
    check_int(warp_backup_list(place.backups, NULL, NULL, NULL), ==, WARP_EINVAL);
    check_int(warp_backup_verify("", 0, NULL), ==, WARP_EINVAL);
    place_fini(&place);
}

WARP_TEST(backup, what_an_unfinished_restore_left_does_not_open)
{
    struct warp_options options = fixture_options();
    char path[SUPPORT_PATH_BYTES + 16], message[512];
    struct warp *db, *other = NULL;
    struct place place;
    struct talk talk;
    FILE *file;

    place_init(&place);
    db = open_small(place.db);
    fill_all_kinds(db);
    check_int(backup_to(db, place.backups, &talk), ==, 0);
    check_int(warp_close(&db), ==, 0);
    check_int(mkdir(place.restored, 0777), ==, 0);
    snprintf(path, sizeof(path), "%s/RESTORING", place.restored);
    file = fopen(path, "w");
    check(file != NULL && fclose(file) == 0);
    check_int(fixture_try(place.restored, &options, &other, message), ==, WARP_EDAMAGED);
    check(strstr(message, "restore") != NULL);
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, WARP_EEXIST);
    check(strstr(talk.message, "unfinished") != NULL);
    check_int(unlink(path), ==, 0);
    check_int(restore_to(place.backups, 0, place.restored, &talk), ==, 0);
    check_u64(count_files(place.restored, "RESTORING", "", NULL), ==, 0);
    place_fini(&place);
}

/* ---- disks that fail --------------------------------------------------------------------- */

/* A file for file restored database, in memory. */
static int restore_in_memory(struct memory_disk *backups, uint64_t number,
                             struct warp_memory *memory)
{
    struct memory_disk *into = memory_disk_create();
    struct talk talk;
    int rc;

    talk_init(&talk);
    rc = warp_restore_make(&backups->disk, number, &into->disk, memory, warp_clock_system(),
                           7, &talk.options, &talk.info);
    check(rc != 0 || memory_disk_bytes(into, WARP_MANIFEST_NAME, NULL) != NULL);
    check(memory_disk_bytes(into, WARP_RESTORING_NAME, NULL) == NULL);
    memory_disk_destroy(&into);
    return rc;
}

static void check_earlier(struct memory_disk *backups, struct warp_memory *memory)
{
    struct talk talk;

    talk_init(&talk);
    if (!check_int(warp_restore_verify(&backups->disk, 0, memory, warp_clock_system(),
                                       &talk.options),
                   ==, 0)) {
        fprintf(stderr, "    %s\n", talk.message);
    }
    check_int(restore_in_memory(backups, 1, memory), ==, 0);
}

/* Every call to the directory of the backups fails once, or from then on. */
static void walk_target_faults(int negative_errno, bool persistent)
{
    struct memory_disk *backups = memory_disk_create();
    struct warp_fault_disk fault;
    struct warp_memory memory;
    struct content content;
    struct place place;
    struct talk talk;
    struct warp *db;
    uint64_t n;
    int rc = -1;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    place_init(&place);
    db = open_small(place.db);
    put_many(db, 0, 100, 1, 700);
    check_int(warp_compact(db), ==, 0);
    put_many(db, 0, 30, 2, 700);
    warp_fault_init(&fault, &backups->disk, &memory);
    talk_init(&talk);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    put_many(db, 50, 150, 3, 700);
    content = content_of(db);
    for (n = 0; rc != 0 && n < 5000 && test_failures() == 0; n++) {
        talk_init(&talk);
        warp_fault_plan(&fault, WARP_FAULT_ALL, n, negative_errno, persistent);
        rc = warp_backup_make(db, &fault.disk, &talk.options, &talk.info);
        if (warp_fault_failed(&fault) == 0) {
            check_int(rc, ==, 0);
        } else if (rc != 0) {
            check(rc == warp_error_from_errno(negative_errno) || rc == WARP_EBUSY);
            check(talk.message[0] != '\0');
        } else {
            struct warp_pool pool;

            /* It got over it, by copying what it could not look at. */
            warp_fault_plan_none(&fault);
            check_int(warp_pool_open(&pool, &backups->disk, &memory, true), ==, 0);
            check_int(warp_pool_delete(&pool, talk.info.number), ==, 0);
            warp_pool_close(&pool);
            rc = -1;
        }
        warp_fault_plan_none(&fault);
        check(!backups->locked);
        check_u64(backups->handles, ==, 0);
        check_earlier(backups, &memory);
    }
    check_u64(n, >, 20);
    /* And the last one is whole, and there is nothing else. */
    talk_init(&talk);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    check_u64(talk.info.files_copied, ==, 1);
    check_earlier(backups, &memory);
    check_int(restore_in_memory(backups, 0, &memory), ==, 0);
    check_same(content_of(db), content);
    check_int(warp_close(&db), ==, 0);
    check_same(content_at(place.db), content);
    warp_fault_fini(&fault);
    memory_disk_destroy(&backups);
    warp_memory_fini(&memory);
    place_fini(&place);
}

WARP_TEST(backup, a_directory_that_fails_once_at_any_call_leaves_all_as_it_was)
{
    walk_target_faults(-EIO, false);
}

WARP_TEST(backup, a_directory_that_fills_up_at_any_call_leaves_all_as_it_was)
{
    walk_target_faults(-ENOSPC, false);
}

WARP_TEST(backup, a_directory_that_is_lost_at_any_call_has_the_earlier_ones)
{
    walk_target_faults(-EIO, true);
}

WARP_TEST(backup, a_full_disk_is_seen_before_anything_is_copied)
{
    struct memory_disk *backups = memory_disk_create();
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    put_many(db, 0, 300, 1, 700);
    backups->space_bytes = 100000;
    talk_init(&talk);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==,
              WARP_ENOSPC);
    check(strstr(talk.message, "free") != NULL);
    check(backups->files == NULL);
    backups->space_bytes = UINT64_MAX;
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    check_int(warp_close(&db), ==, 0);
    memory_disk_destroy(&backups);
    place_fini(&place);
}

WARP_TEST(backup, a_database_that_cannot_be_read_at_any_call_goes_on)
{
    struct memory_disk *backups = memory_disk_create();
    struct warp_options options = fixture_options();
    struct warp_fault_disk fault;
    struct warp_memory memory;
    struct warp_disk below;
    struct content content;
    struct warp_env env;
    struct place place;
    struct talk talk;
    struct warp *db = NULL;
    uint64_t n, failed = 0;
    int rc = -1;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    place_init(&place);
    check_int(warp_disk_open_directory(place.db, &memory, WARP_IO_BACKEND_PLAIN, true,
                                       &below, NULL, 0),
              ==, 0);
    warp_fault_init(&fault, &below, &memory);
    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.disk = &fault.disk;
    env.segment_bytes = 65536;
    options.compaction = 2;
    check_int(warp_engine_open("faulty", &options, &env, &db), ==, 0);
    put_many(db, 0, 200, 1, 700);
    check_int(warp_compact(db), ==, 0);
    put_many(db, 0, 100, 2, 700);
    content = content_of(db);
    check_int(warp_close(&db), ==, 0);
    /* Through a handle that only reads, so that no thread of the log meets the fault instead. */
    options.open_flags = WARP_READ_ONLY;
    check_int(warp_engine_open("faulty", &options, &env, &db), ==, 0);
    for (n = 0; rc != 0 && n < 5000 && test_failures() == 0; n++) {
        talk_init(&talk);
        warp_fault_plan(
            &fault, 1u << WARP_FAULT_OPEN | 1u << WARP_FAULT_READ | 1u << WARP_FAULT_SIZE,
            n, -EIO, false);
        rc = warp_backup_make(db, &backups->disk, &talk.options, &talk.info);
        if (rc != 0) {
            check_int(rc, ==, WARP_EIO);
            check(talk.message[0] != '\0');
            check(backups->files == NULL);
            failed++;
        }
        warp_fault_plan_none(&fault);
    }
    check_u64(failed, >, 10);
    check_same(content_of(db), content);
    check_int(restore_in_memory(backups, 0, &memory), ==, 0);
    check_int(warp_close(&db), ==, 0);
    warp_fault_fini(&fault);
    warp_disk_close(&below);
    memory_disk_destroy(&backups);
    warp_memory_fini(&memory);
    check_same(content_at(place.db), content);
    place_fini(&place);
}

WARP_TEST(backup, a_restore_that_fails_at_any_call_leaves_nothing_that_opens)
{
    struct memory_disk *backups = memory_disk_create();
    struct warp_memory memory;
    struct place place;
    struct talk talk;
    struct warp *db;
    uint32_t walk;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    place_init(&place);
    db = open_small(place.db);
    put_many(db, 0, 100, 1, 700);
    check_int(warp_compact(db), ==, 0);
    put_many(db, 0, 30, 2, 700);
    talk_init(&talk);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    check_int(warp_close(&db), ==, 0);
    /* The source, the new directory, the new directory for good, and that filling up. */
    for (walk = 0; walk < 4; walk++) {
        uint64_t n;
        int rc = -1;

        for (n = 0; rc != 0 && n < 5000 && test_failures() == 0; n++) {
            struct memory_disk *into = memory_disk_create();
            struct warp_fault_disk fault;

            warp_fault_init(&fault, walk == 0 ? &backups->disk : &into->disk, &memory);
            warp_fault_plan(&fault, WARP_FAULT_ALL, n, walk == 3 ? -ENOSPC : -EIO,
                            walk == 2);
            talk_init(&talk);
            rc = warp_restore_make(walk == 0 ? &fault.disk : &backups->disk, 0,
                                   walk == 0 ? &into->disk : &fault.disk, &memory,
                                   warp_clock_system(), 7, &talk.options, NULL);
            if (rc == 0) {
                check(memory_disk_bytes(into, WARP_MANIFEST_NAME, NULL) != NULL);
                rc = warp_fault_failed(&fault) == 0 ? 0 : -1;
            } else {
                struct warp_manifest manifest;

                check(talk.message[0] != '\0');
                /* No database, unless the marker could not go before it... */
                check(memory_disk_bytes(into, WARP_RESTORING_NAME, NULL) != NULL ||
                      into->files == NULL);
                if (memory_disk_bytes(into, WARP_MANIFEST_NAME, NULL) != NULL) {
                    /* ...and then everything is there, durably. */
                    check(walk == 2);
                    check_int(warp_manifest_read(&into->disk, &manifest, NULL, 0), ==, 0);
                }
            }
            check(!into->locked && !backups->locked);
            check_u64(into->handles + backups->handles, ==, 0);
            warp_fault_fini(&fault);
            memory_disk_destroy(&into);
        }
        check_u64(n, >, 10);
    }
    memory_disk_destroy(&backups);
    warp_memory_fini(&memory);
    place_fini(&place);
}

WARP_TEST(backup, memory_that_runs_out_leaves_all_as_it_was)
{
    struct memory_disk *backups = memory_disk_create();
    struct warp_memory memory;
    struct place place;
    struct talk talk;
    struct warp *db;
    uint64_t n;
    int rc = -1;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    place_init(&place);
    db = open_small(place.db);
    put_many(db, 0, 100, 1, 700);
    check_int(warp_compact(db), ==, 0);
    talk_init(&talk);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    for (n = 0; rc != 0 && n < 200; n++) {
        talk_init(&talk);
        warp_memory_fail_after(&db->memory, n);
        rc = warp_backup_make(db, &backups->disk, &talk.options, &talk.info);
        warp_memory_fail_after(&db->memory, UINT64_MAX);
        check(rc == 0 || rc == WARP_ENOMEM);
        check_earlier(backups, &memory);
    }
    check_u64(n, >, 3);
    check_int(rc, ==, 0);
    check_int(warp_close(&db), ==, 0);
    memory_disk_destroy(&backups);
    warp_memory_fini(&memory);
    place_fini(&place);
}

WARP_TEST(backup, what_a_crash_left_is_cleared_away)
{
    struct memory_disk *backups = memory_disk_create();
    struct place place;
    struct talk talk;
    struct warp *db;

    place_init(&place);
    db = open_small(place.db);
    put_many(db, 0, 100, 1, 700);
    talk_init(&talk);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    memory_disk_put(backups, "log-0000000000000001-0000000000000002.new", "x", 1);
    memory_disk_put(backups, "backup-0000000000000002.new", "x", 1);
    memory_disk_put(backups, "log-0000000000000001-0000000000000002.pool", "x", 1);
    memory_disk_put(backups, "archive-0000000000000001-0000000000000002.pool", "x", 1);
    memory_disk_put(backups, "notes.txt", "x", 1);
    check_int(warp_backup_make(db, &backups->disk, &talk.options, &talk.info), ==, 0);
    check_u64(talk.info.number, ==, 2);
    check(memory_disk_bytes(backups, "log-0000000000000001-0000000000000002.new", NULL) ==
          NULL);
    check(memory_disk_bytes(backups, "backup-0000000000000002.new", NULL) == NULL);
    check(memory_disk_bytes(backups, "archive-0000000000000001-0000000000000002.pool",
                            NULL) == NULL);
    check(memory_disk_bytes(backups, "notes.txt", NULL) != NULL);
    check_int(warp_close(&db), ==, 0);
    memory_disk_destroy(&backups);
    place_fini(&place);
}
