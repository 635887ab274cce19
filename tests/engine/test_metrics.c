/*
 * Every metric that is exported moves when what it counts happens: one action for each. A
 * metric without a row here fails the test, so that none is exported and never watched.
 */
#include "tests/engine/fixture.h"

#include <sys/stat.h>

#include <pthread.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "base/io_fault.h"
#include "base/memory.h"
#include "engine/call.h"
#include "engine/engine.h"
#include "observe/snapshot.h"
#include "shards/prefetch.h"
#include "shards/put.h"

enum rule {
    RISES,    /* the action makes it larger */
    POSITIVE, /* it is above 0 after the action */
};

struct row {
    const char *name;
    enum rule rule;
    void (*act)(struct warp *db); /* on an open database, or ... */
    bool (*measure)(const char *name,
                    double pair[2]); /* ... with one of its own; false: skip */
};

/* ---- simple actions ------------------------------------------------------------------ */

static void act_nothing(struct warp *db)
{
    (void)db;
}

static void act_sleep(struct warp *db)
{
    (void)db;
    support_sleep_ns(20000000);
}

static void act_put(struct warp *db)
{
    static uint32_t number;
    char key[32];
    uint32_t i;

    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "put-%u", number++);
        fixture_put(db, key, "value");
    }
}

/* A database takes memory in large pieces: much more than one is put. */
static void act_put_much(struct warp *db)
{
    static uint8_t value[100000];
    char key[32];
    uint32_t i;

    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "much-%u", i);
        warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL, NULL);
    }
    warp_flush(db);
}

static void act_get(struct warp *db)
{
    char text[256];

    fixture_put(db, "k", "v");
    fixture_get(db, "k", text);
    fixture_get(db, "none", text);
}

static void act_delete(struct warp *db)
{
    fixture_put(db, "d", "v");
    warp_delete(db, support_text("d"), NULL, NULL);
}

static void act_add(struct warp *db)
{
    warp_add(db, support_text("n"), 1, NULL, NULL);
}

static void act_batch(struct warp *db)
{
    struct warp_batch *batch = NULL;

    warp_batch_create(db, &batch);
    warp_batch_put(batch, support_text("a"), support_text("v"), 0);
    warp_batch_put(batch, support_text("b"), support_text("v"), 0);
    warp_batch_commit(batch, NULL, NULL);
    warp_batch_destroy(&batch);
}

static void act_borrow(struct warp *db)
{
    struct warp_value value = WARP_VALUE_INIT;

    fixture_put(db, "k", "v");
    warp_borrow(db, support_text("k"), &value);
    warp_return(&value);
}

static void act_conflict(struct warp *db)
{
    struct warp_write how = WARP_WRITE_INIT;

    fixture_put(db, "k", "v");
    how.condition = WARP_IF_ABSENT;
    warp_put(db, support_text("k"), support_text("v"), &how, NULL);
}

static void act_expire(struct warp *db)
{
    struct warp_write how = WARP_WRITE_INIT;
    double before = fixture_metric(db, "warp_expired_total");
    uint64_t until_ns = support_now_ns() + 5000000000u;

    how.ttl_ms = 5;
    warp_put(db, support_text("short"), support_text("v"), &how, NULL);
    while (fixture_metric(db, "warp_expired_total") <= before &&
           support_now_ns() < until_ns) {
        support_sleep_ns(10000000);
    }
}

/* Until the sweep has met some that had expired. */
static void act_expire_many(struct warp *db)
{
    struct warp_write how = WARP_WRITE_INIT;
    uint64_t until_ns = support_now_ns() + 20000000000u;
    uint32_t i = 0, k;
    char key[32];

    how.ttl_ms = 5;
    do {
        for (k = 0; k < 2000; k++) {
            snprintf(key, sizeof(key), "short-%u", i++);
            warp_put(db, support_text(key), support_text("v"), &how, NULL);
        }
        support_sleep_ns(20000000);
    } while (fixture_metric(db, "warp_expired_bytes") <= 0 && support_now_ns() < until_ns);
}

static void act_commit(struct warp *db)
{
    struct warp_write how = WARP_WRITE_INIT;
    uint32_t i;

    how.durability = WARP_COMMIT;
    for (i = 0; i < 20; i++) {
        warp_put(db, support_text("k"), support_text("v"), &how, NULL);
    }
    warp_flush(db);
}

static void act_overwrite(struct warp *db)
{
    uint32_t i;

    for (i = 0; i < 5000; i++) {
        fixture_put(db, "over", "value");
    }
    support_sleep_ns(20000000);
}

/* Many keys in hardly any room: values leave, are read, and come back. `rotten` spoils the log. */
static bool measure_tiny(const char *name, double pair[2], bool rotten)
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    uint64_t until_ns = support_now_ns() + 5000000000u;
    struct warp_env env;
    struct warp *db = NULL;
    char key[32], value[64], text[256];
    uint32_t i, round;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = 4096;
    check_int(warp_engine_open(directory, &options, &env, &db), ==, 0);
    if (db == NULL) {
        return true;
    }
    pair[0] = fixture_metric(db, name);
    for (round = 0; fixture_metric(db, name) <= pair[0] && support_now_ns() < until_ns;
         round++) {
        for (i = 0; i < 500; i++) {
            snprintf(key, sizeof(key), "tiny-%u", i);
            snprintf(value, sizeof(value), "value-%u", i);
            fixture_put(db, key, value);
        }
        warp_flush(db);
        for (i = 0; i < 500; i++) { /* what was durable leaves */
            snprintf(key, sizeof(key), "more-%u", i);
            fixture_put(db, key, "v");
        }
        warp_flush(db);
        if (rotten && round == 0) {
            char path[SUPPORT_PATH_BYTES];
            uint8_t *bytes = malloc(1 << 20);
            int file;
            ssize_t count, at;

            snprintf(path, sizeof(path), "%.400s/log-%016x.warp", directory, 0u);
            file = open(path, O_RDWR);
            count = file < 0 ? 0 : pread(file, bytes, 1 << 20, 0);
            for (at = 8192; at < count; at += 16) {
                bytes[at] ^= 0x55;
            }
            check(count <= 0 || pwrite(file, bytes, (size_t)count, 0) == count);
            close(file);
            free(bytes);
        }
        for (i = 0; i < 1000; i++) {
            snprintf(key, sizeof(key), "tiny-%u", i % 3 == 0 ? i / 2 : i % 8);
            fixture_get(db, key, text);
        }
    }
    pair[1] = fixture_metric(db, name);
    warp_close(&db);
    return true;
}

static bool measure_cold(const char *name, double pair[2])
{
    return measure_tiny(name, pair, false);
}

static bool measure_rotten(const char *name, double pair[2])
{
    return measure_tiny(name, pair, true);
}

/* Many keys with one tag share a slot, whose table must grow. */
static void act_grow(struct warp *db)
{
    char key[32];
    uint32_t i;

    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "{tag}%u", i);
        fixture_put(db, key, "v");
    }
}

static void *call_main(void *context)
{
    char text[256];

    fixture_get(context, "k", text);
    return NULL;
}

static void act_many_callers(struct warp *db)
{
    pthread_t threads[16];
    uint32_t i;

    for (i = 0; i < 16; i++) {
        pthread_create(&threads[i], NULL, call_main, db);
    }
    for (i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
    }
}

struct contender {
    struct warp *db;
    const char *watched;
    double before;
};

/* Write until the metric has moved, or for some seconds. */
static void *contend_main(void *context)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct contender *contender = context;
    uint64_t until_ns = support_now_ns() + 8000000000u;
    struct warp_session *session = NULL;
    struct warp_request request = request_init;
    struct warp_completion completions[64];
    static uint8_t value[20000];
    uint32_t i;
    int rc;

    if (warp_session_create(contender->db, 64, &session) != 0) {
        return NULL;
    }
    while (fixture_metric(contender->db, contender->watched) <= contender->before &&
           support_now_ns() < until_ns) {
        for (i = 0; i < 100; i++) {
            request.opcode = WARP_OP_PUT;
            request.key = support_text("contended");
            request.value = support_slice(value, sizeof(value));
            warp_submit(session, &request, 1);
            warp_put(contender->db, support_text("contended"),
                     support_slice(value, i % 2 == 0 ? 10 : sizeof(value)), NULL, NULL);
            while ((rc = warp_poll(session, completions, 64, 0)) > 0) {
            }
        }
    }
    warp_session_destroy(&session);
    return NULL;
}

/* Many threads that wait for the disk at once. */
static void *commit_main(void *context)
{
    struct contender *contender = context;
    uint64_t until_ns = support_now_ns() + 8000000000u;
    uint32_t i;

    while (fixture_metric(contender->db, contender->watched) <= contender->before &&
           support_now_ns() < until_ns) {
        for (i = 0; i < 20; i++) {
            fixture_put(contender->db, "contended", "value");
        }
    }
    return NULL;
}

static bool measure_threads(const char *name, double pair[2], uint32_t durability,
                            void *(*thread_main)(void *));

static bool measure_commits(const char *name, double pair[2])
{
    return measure_threads(name, pair, WARP_COMMIT, commit_main);
}

static bool measure_contention(const char *name, double pair[2])
{
    return measure_threads(name, pair, WARP_INTERVAL, contend_main);
}

/* A small buffer, one shard, many threads: everybody is in everybody's way. */
static bool measure_threads(const char *name, double pair[2], uint32_t durability,
                            void *(*thread_main)(void *))
{
    struct warp_options options = fixture_options();
    struct contender contender;
    pthread_t threads[8];
    struct warp *db;
    uint32_t i;

    options.shard_count = 1;
    options.durability = durability;
    options.log_buffer_bytes = 256 << 10;
    options.segment_bytes = 8 << 20;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return true;
    }
    contender.db = db;
    contender.watched = name;
    contender.before = pair[0] = fixture_metric(db, name);
    for (i = 0; i < 8; i++) {
        pthread_create(&threads[i], NULL, thread_main, &contender);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    pair[1] = fixture_metric(db, name);
    warp_close(&db);
    return true;
}

/* ---- actions with a life of their own ------------------------------------------------ */

static bool measure_sessions(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;

    pair[0] = fixture_metric(db, name);
    warp_session_create(db, 4, &session);
    pair[1] = fixture_metric(db, name);
    warp_session_destroy(&session);
    check(fixture_metric_reaches(db, name, pair[0]));
    warp_close(&db);
    return true;
}

static bool measure_retained(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_value value = WARP_VALUE_INIT;

    fixture_put(db, "k", "v");
    pair[0] = fixture_metric(db, name);
    warp_borrow(db, support_text("k"), &value);
    fixture_put(db, "k", "w"); /* the loan is leaked until it is returned */
    fixture_metric_reaches(db, name, pair[0] + 1);
    pair[1] = fixture_metric(db, name);
    warp_return(&value);
    check(fixture_metric_reaches(db, name, pair[0]));
    warp_close(&db);
    return true;
}

static bool measure_reopen(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db = fixture_open(directory, &options);

    pair[0] = fixture_metric(db, name);
    act_put(db);
    warp_close(&db);
    db = fixture_open(directory, &options);
    pair[1] = fixture_metric(db, name);
    warp_close(&db);
    return true;
}

/* A killed writer, and the last bytes of its log spoilt as a power cut could have. */
static bool measure_cut(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES], byte;
    uint8_t *bytes = malloc(2 << 20);
    struct warp *db;
    int ready[2], status, file;
    ssize_t count;
    pid_t pid;

    options.sync_interval_ms = 60000;
    pair[0] = 0;
    if (pipe(ready) != 0) {
        return false;
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        db = fixture_open(directory, &options);
        act_put(db);
        support_sleep_ns(50000000);
        _exit(write(ready[1], "r", 1) == 1 ? 0 : 1);
    }
    check_int(read(ready[0], &byte, 1), ==, 1);
    waitpid(pid, &status, 0);
    close(ready[0]);
    close(ready[1]);
    snprintf(path, sizeof(path), "%.400s/log-%016x.warp", directory, 0u);
    file = open(path, O_RDWR);
    count = file < 0 ? 0 : pread(file, bytes, 2 << 20, 0);
    while (count > 4096 && bytes[count - 1] == 0) {
        count--;
    }
    if (check(count > 4096)) {
        byte = (char)(bytes[count - 1] ^ 1);
        check(pwrite(file, &byte, 1, count - 1) == 1);
    }
    close(file);
    free(bytes);
    db = fixture_open(directory, &options);
    pair[1] = fixture_metric(db, name);
    warp_close(&db);
    return true;
}

static bool measure_full_disk(const char *name, double pair[2])
{
    static uint8_t value[50000];
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];
    struct warp *db;
    uint32_t i;

    if (mount("tmpfs", directory, "tmpfs", 0, "size=12m") != 0) {
        test_skip("a small disk cannot be mounted: %s", strerror(errno));
        return false;
    }
    snprintf(path, sizeof(path), "%.400s/db", directory);
    db = fixture_open(path, &options);
    pair[0] = fixture_metric(db, name);
    for (i = 0; db != NULL && i < 1000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "k%u", i);
        if (warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                     NULL) != 0) {
            break;
        }
    }
    pair[1] = fixture_metric(db, name);
    warp_close(&db);
    umount2(directory, MNT_DETACH);
    return true;
}

/* A disk whose every write fails from some moment on. */
static bool measure_failed(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp_fault_disk fault;
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_env env;
    char message[256] = "", text[256];
    struct warp *db = NULL;
    int rc;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    rc = warp_disk_open_directory(directory, &memory, 1, true, &disk, message,
                                  sizeof(message));
    if (!check_int(rc, ==, 0)) {
        return true;
    }
    warp_fault_init(&fault, &disk, &memory);
    memset(&env, 0, sizeof(env));
    env.disk = &fault.disk;
    env.threads = true;
    options.durability = WARP_COMMIT;
    rc = warp_engine_open(directory, &options, &env, &db);
    if (check_int(rc, ==, 0)) {
        check_int(fixture_put(db, "before", "v"), ==, 0);
        pair[0] = fixture_metric(db, name);
        warp_fault_plan(&fault, (1u << WARP_FAULT_WRITE) | (1u << WARP_FAULT_SYNC), 0, -EIO,
                        true);
        check_int(fixture_put(db, "after", "v"), ==, WARP_EFAILED);
        pair[1] = fixture_metric(db, name);
        check_int(warp_failure(db, text, sizeof(text)), ==, WARP_EFAILED);
        check(text[0] != '\0');
        if (fixture_verbose()) {
            printf("    failed: %s\n", text);
        }
        check_int(fixture_put(db, "again", "v"), ==, WARP_EFAILED);
        check_int(warp_delete(db, support_text("before"), NULL, NULL), ==, WARP_EFAILED);
        check_str(fixture_get(db, "before", text), "v"); /* what was durable is read */
        warp_fault_plan_none(&fault);
        check_int(fixture_put(db, "healed", "v"), ==, WARP_EFAILED); /* it stays failed */
        rc = warp_close(&db);
        check(rc == WARP_EFAILED || rc == WARP_EIO);
        check(db == NULL);
    }
    warp_fault_fini(&fault);
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
    db = fixture_open(directory, &options);
    if (db != NULL) {
        check_str(fixture_get(db, "before", text), "v");
        check_int(warp_close(&db), ==, 0);
    }
    return true;
}

/* ---- checkpoints --------------------------------------------------------------------- */

static void act_checkpoint(struct warp *db)
{
    act_put(db);
    check_int(warp_checkpoint(db), ==, 0);
    support_sleep_ns(5000000);
}

/* The head follows to the checkpoint before the last, and log below it is held. */
static void act_checkpoints(struct warp *db)
{
    uint32_t i;

    for (i = 0; i < 3; i++) {
        act_put_much(db);
        check_int(warp_checkpoint(db), ==, 0);
    }
}

/* Most of the old log is overwritten; what is not goes into an archive. */
static void act_compact(struct warp *db)
{
    act_put(db);
    act_checkpoints(db);
    check_int(warp_compact(db), ==, 0);
}

static uint32_t a_slot(struct warp *db, uint32_t *other)
{
    uint32_t slot = warp_hash_slot("put-1", 5);

    *other = 1 - warp_slotmap_owner(&db->store->slotmap, slot);
    return slot;
}

static void act_move(struct warp *db)
{
    uint32_t other, slot = a_slot(db, &other), tries = 0;
    int rc;

    fixture_put(db, "put-1", "v");
    do {
        rc = warp_engine_move_slot(db, slot, other);
    } while (rc == WARP_AGAIN && ++tries < 10000);
    check_int(rc, ==, 0);
}

static void act_move_busy(struct warp *db)
{
    uint32_t other, slot = a_slot(db, &other);

    warp_shard_enter_surely(db->store->shards[other]);
    check_int(warp_engine_move_slot(db, slot, other), ==, WARP_AGAIN);
    warp_shard_leave(db->store->shards[other]);
}

static void act_move_nowhere(struct warp *db)
{
    check_int(warp_engine_move_slot(db, 1, 2), ==, WARP_EINVAL);
}

/* A request that meets the shard it was for before the move. */
static void act_forward(struct warp *db)
{
    uint32_t other, slot = a_slot(db, &other);
    struct warp_message message;

    act_move(db);
    check_int(warp_call_message(db, WARP_OP_PUT, support_text("put-1"), support_text("w"),
                                0, NULL, &message),
              ==, 0);
    check_u64(message.slot, ==, slot);
    warp_shard_enter_surely(db->store->shards[1 - other]);
    warp_put_execute(db->store->shards[1 - other], &message);
    warp_shard_leave(db->store->shards[1 - other]);
    check_int(message.result, ==, WARP_MESSAGE_MOVED);
}

static void act_move_and_look(struct warp *db)
{
    uint64_t until_ns = support_now_ns() + 5000000000u;

    act_move(db);
    while (fixture_metric(db, "warp_slot_abroad_bytes") <= 0 &&
           support_now_ns() < until_ns) {
        support_sleep_ns(10000000);
    }
}

static bool measure_placement(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db = fixture_open(directory, &options);
    char path[512];

    if (db == NULL) {
        return false;
    }
    act_move(db);
    pair[0] = fixture_metric(db, name);
    check_int(warp_close(&db), ==, 0);
    snprintf(path, sizeof(path), "%s/PLACEMENT", directory);
    check_int(truncate(path, 5000), ==, 0);
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return false;
    }
    pair[1] = fixture_metric(db, name);
    check_int(warp_close(&db), ==, 0);
    return true;
}

/* Gravity is on, and three quarters of the work are on the slots of one shard. */
static bool measure_gravity(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    struct warp *db;
    char keys[32][32];
    uint32_t found = 0, i;

    options.shard_count = 2;
    options.durability = WARP_MEMORY;
    options.gravity = 1;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return false;
    }
    for (i = 0; found < 32; i++) {
        snprintf(keys[found], sizeof(keys[found]), "hot-%u", i);
        found += warp_slotmap_owner(&db->store->slotmap,
                                    warp_hash_slot(keys[found], strlen(keys[found]))) ==
                 (found >= 24);
    }
    pair[0] = fixture_metric(db, name);
    pair[1] = pair[0];
    for (i = 0; i < 30000000 && pair[1] <= pair[0]; i++) {
        warp_put(db, support_text(keys[i % 32]), support_text("v"), NULL, NULL);
        if (i % 1000 == 999) {
            pair[1] = fixture_metric(db, name);
        }
    }
    check_int(warp_close(&db), ==, 0);
    return true;
}

/*
 * Values are read ahead of their time, for a loop of them is learned that does not fit into memory; at last
 * in any order, which ends it. Who holds the lock that learning needs is passed by.
 */
static bool measure_prefetch(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    uint64_t until_ns = support_now_ns() + 20000000000u;
    struct support_random random = {1};
    struct warp *db = NULL;
    struct warp_env env;
    char key[32], text[256];
    uint32_t i, round;

    options.shard_count = 1;
    options.entanglement = 1;
    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = 16384;
    check_int(warp_engine_open(test_directory(), &options, &env, &db), ==, 0);
    if (db == NULL) {
        return false;
    }
    pair[0] = pair[1] = fixture_metric(db, name);
    if (strcmp(name, "warp_prefetch_table_bytes") == 0) {
        pair[0] = 0; /* it begins with one */
    }
    for (i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "loop-%u", i);
        fixture_put(db, key, "a value that takes some sixty bytes of memory, no more");
    }
    warp_flush(db);
    for (round = 0; pair[1] <= pair[0] && support_now_ns() < until_ns; round++) {
        bool ordered = strcmp(name, "warp_prefetch_stops_total") != 0 &&
                       (strcmp(name, "warp_prefetch_wasted_total") != 0 || round % 16 < 12);

        if (strcmp(name, "warp_prefetch_skipped_total") == 0) {
            atomic_store(&db->store->prefetch->lock, 1);
        }
        for (i = 0; i < 300 && pair[1] <= pair[0]; i++) {
            snprintf(key, sizeof(key), "loop-%u",
                     ordered ? i : (uint32_t)support_random_below(&random, 300));
            fixture_get(db, key, text);
            pair[1] = i % 8 == 0 ? fixture_metric(db, name) : pair[1];
        }
    }
    check_int(warp_close(&db), ==, 0);
    return true;
}

/* Opened with less memory than what the checkpoint says was in it. */
static bool measure_warm(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    char *value = calloc(1, 700000);
    struct warp *db = fixture_open(directory, &options);
    uint32_t i;
    char key[32];

    pair[0] = 0;
    for (i = 0; db != NULL && i < 40; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(warp_put(db, support_text(key),
                           support_slice(value, i < 20 ? 1000 : 700000), NULL, NULL),
                  ==, 0);
    }
    free(value);
    if (db == NULL) {
        return false;
    }
    check_int(warp_checkpoint(db), ==, 0);
    pair[0] = fixture_metric(db, name);
    check_int(warp_close(&db), ==, 0);
    options.memory_bytes_max = 16 << 20;
    pair[1] = 0;
    /* What remains may be over before we look, though hardly ever, and never every time. */
    for (i = 0; i < 50 && pair[1] <= pair[0]; i++) {
        db = fixture_open(directory, &options);
        if (db == NULL) {
            return false;
        }
        while (strcmp(name, "warp_warm_remaining") != 0 &&
               fixture_metric(db, "warp_warm_remaining") > 0) {
            support_sleep_ns(1000000);
        }
        pair[1] = fixture_metric(db, name);
        check_int(warp_close(&db), ==, 0);
    }
    return true;
}

/* No archive can be made. */
static bool measure_no_archive(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];
    struct warp *db = fixture_open(directory, &options);
    uint32_t number;

    if (db == NULL) {
        return false;
    }
    act_put(db);
    act_checkpoints(db);
    pair[0] = fixture_metric(db, name);
    for (number = 0; number < 64; number++) { /* directories in the way of the files */
        snprintf(path, sizeof(path), "%.250s/archive-%016x.new", directory, number);
        check_int(mkdir(path, 0700), ==, 0);
    }
    check_int(warp_compact(db), <, 0);
    pair[1] = fixture_metric(db, name);
    for (number = 0; number < 64; number++) {
        snprintf(path, sizeof(path), "%.250s/archive-%016x.new", directory, number);
        rmdir(path);
    }
    check_int(warp_compact(db), ==, 0);
    check_int(warp_close(&db), ==, 0);
    return true;
}

/* No file can be made for it: it fails, and is wanted all the more. */
static bool measure_no_checkpoint(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    uint64_t until_ns = support_now_ns() + 5000000000u;
    struct warp_fault_disk fault;
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_env env;
    struct warp *db = NULL;
    int rc;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    rc = warp_disk_open_directory(directory, &memory, 1, true, &disk, NULL, 0);
    if (!check_int(rc, ==, 0)) {
        return true;
    }
    warp_fault_init(&fault, &disk, &memory);
    memset(&env, 0, sizeof(env));
    env.disk = &fault.disk;
    env.threads = true;
    env.checkpoint_log_bytes = 65536;
    options.segment_bytes = 16 << 20; /* so that the log needs no new file meanwhile */
    rc = warp_engine_open(directory, &options, &env, &db);
    if (check_int(rc, ==, 0)) {
        pair[0] = fixture_metric(db, name);
        warp_fault_plan(&fault, 1u << WARP_FAULT_OPEN, 0, -ENOSPC, true);
        act_put_much(db);
        do {
            support_sleep_ns(2000000);
            act_put(db);
            pair[1] = fixture_metric(db, name);
        } while (pair[1] <= pair[0] && support_now_ns() < until_ns);
        warp_fault_plan_none(&fault);
        check_int(warp_close(&db), ==, 0);
    }
    warp_fault_fini(&fault);
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
    return true;
}

/* ---- the file for other processes ------------------------------------------------------ */

static void act_wait_for_snapshot(struct warp *db)
{
    double before = fixture_metric(db, "warp_metrics_publishes_total");
    uint64_t until_ns = support_now_ns() + 5000000000u;

    while (fixture_metric(db, "warp_metrics_publishes_total") <= before &&
           support_now_ns() < until_ns) {
        act_put(db);
        support_sleep_ns(10000000);
    }
}

/* A directory has the name that the file is made under, and the file is removed. */
static bool measure_no_publish(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    uint64_t until_ns = support_now_ns() + 10000000000u;
    struct warp *db = fixture_open(directory, &options);
    char path[SUPPORT_PATH_BYTES];

    if (db == NULL) {
        return false;
    }
    pair[0] = pair[1] = fixture_metric(db, name);
    snprintf(path, sizeof(path), "%.400s/METRICS.new", directory);
    check_int(mkdir(path, 0700), ==, 0);
    snprintf(path, sizeof(path), "%.400s/METRICS", directory);
    check_int(unlink(path), ==, 0);
    while (pair[1] <= pair[0] && support_now_ns() < until_ns) {
        support_sleep_ns(10000000);
        pair[1] = fixture_metric(db, name);
    }
    check_int(warp_close(&db), ==, 0);
    return true;
}

static bool measure_slow(const char *name, double pair[2])
{
    struct warp_options options = fixture_options();
    struct warp *db;

    options.slow_ns = 1;
    db = fixture_open(test_directory(), &options);
    if (db == NULL) {
        return false;
    }
    pair[0] = fixture_metric(db, name);
    act_put(db);
    pair[1] = fixture_metric(db, name);
    check_int(warp_close(&db), ==, 0);
    return true;
}

/* ---- the table ----------------------------------------------------------------------- */

static const struct row rows[] = {
    {"warp_records", RISES, act_put, NULL},
    {"warp_record_bytes", RISES, act_put, NULL},
    {"warp_cache_bytes", RISES, act_put, NULL},
    {"warp_cold_records", RISES, NULL, measure_cold},
    {"warp_cold_gets_total", RISES, NULL, measure_cold},
    {"warp_cache_evictions_total", RISES, NULL, measure_cold},
    {"warp_cache_admissions_total", RISES, NULL, measure_cold},
    {"warp_cache_promotions_total", RISES, NULL, measure_cold},
    {"warp_cache_ghost_hits_total", RISES, NULL, measure_cold},
    {"warp_disk_reads_total", RISES, NULL, measure_cold},
    {"warp_disk_read_bytes_total", RISES, NULL, measure_cold},
    {"warp_disk_read_errors_total", RISES, NULL, measure_rotten},
    {"warp_disk_read_seconds_count", RISES, NULL, measure_cold},
    {"warp_disk_read_seconds_sum", RISES, NULL, measure_cold},
    {"warp_memory_bytes", RISES, act_put_much, NULL},
    {"warp_memory_limit_bytes", POSITIVE, act_nothing, NULL},
    {"warp_shards", POSITIVE, act_nothing, NULL},
    {"warp_sessions", RISES, NULL, measure_sessions},
    {"warp_caller_threads", RISES, act_many_callers, NULL},
    {"warp_gets_total", RISES, act_get, NULL},
    {"warp_get_hits_total", RISES, act_get, NULL},
    {"warp_puts_total", RISES, act_put, NULL},
    {"warp_deletes_total", RISES, act_delete, NULL},
    {"warp_adds_total", RISES, act_add, NULL},
    {"warp_batches_total", RISES, act_batch, NULL},
    {"warp_borrows_total", RISES, act_borrow, NULL},
    {"warp_conflicts_total", RISES, act_conflict, NULL},
    {"warp_expired_total", RISES, act_expire, NULL},
    {"warp_expired_bytes", RISES, act_expire_many, NULL},
    {"warp_expiry_sweeps_total", RISES, act_expire, NULL},
    {"warp_expiry_looks_total", RISES, act_expire, NULL},
    {"warp_retained_records", RISES, NULL, measure_retained},
    {"warp_reclaimed_total", RISES, act_overwrite, NULL},
    {"warp_table_growths_total", RISES, act_grow, NULL},
    {"warp_lease_runs_total", RISES, act_put, NULL},
    {"warp_mailbox_sends_total", RISES, NULL, measure_contention},
    {"warp_mailbox_messages_total", RISES, NULL, measure_contention},
    {"warp_mailbox_stalls_total", RISES, NULL, measure_contention},
    {"warp_shard_turns_total", RISES, NULL, measure_contention},
    {"warp_durable_waits_total", RISES, act_commit, NULL},
    {"warp_log_tail_bytes", RISES, act_put, NULL},
    {"warp_log_durable_bytes", RISES, act_commit, NULL},
    {"warp_log_allocated_bytes", RISES, act_put_much, NULL},
    {"warp_log_flushes_total", RISES, act_commit, NULL},
    {"warp_log_flushes_led_total", RISES, act_commit, NULL},
    {"warp_log_flush_bytes_total", RISES, act_commit, NULL},
    {"warp_log_pad_bytes_total", RISES, NULL, measure_commits},
    {"warp_log_syncs_total", RISES, act_put_much, NULL},
    {"warp_log_waits_total", RISES, NULL, measure_commits},
    {"warp_log_room_waits_total", RISES, NULL, measure_contention},
    {"warp_log_segments_made_total", RISES, act_put_much, NULL},
    {"warp_log_enospc_total", RISES, NULL, measure_full_disk},
    {"warp_log_failed", RISES, NULL, measure_failed},
    {"warp_recovery_records", RISES, NULL, measure_reopen},
    {"warp_recovery_operations", RISES, NULL, measure_reopen},
    {"warp_recovery_cut_bytes", RISES, NULL, measure_cut},
    {"warp_fencing_epoch", RISES, NULL, measure_reopen},
    {"warp_log_flush_seconds_count", RISES, act_commit, NULL},
    {"warp_log_flush_seconds_sum", RISES, act_commit, NULL},
    {"warp_log_sync_seconds_count", RISES, act_put_much, NULL},
    {"warp_log_sync_seconds_sum", RISES, act_put_much, NULL},
    {"warp_recovery_seconds", POSITIVE, act_nothing, NULL},
    {"warp_uptime_seconds", RISES, act_sleep, NULL},
    {"warp_build_info", POSITIVE, act_nothing, NULL},
};
static const struct row call_rows[] = {
    {"warp_get_seconds_count", RISES, act_get, NULL},
    {"warp_get_seconds_sum", RISES, act_get, NULL},
    {"warp_write_seconds_count", RISES, act_put, NULL},
    {"warp_write_seconds_sum", RISES, act_put, NULL},
    {"warp_slow_calls_total", RISES, NULL, measure_slow},
};
enum { CALL_ROWS = sizeof(call_rows) / sizeof(call_rows[0]) };

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert(ROWS <= 8 * 8, "check_rows() is called for all of them");

static const struct row checkpoint_rows[] = {
    {"warp_checkpoints_total", RISES, act_checkpoint, NULL},
    {"warp_checkpoint_failures_total", RISES, NULL, measure_no_checkpoint},
    {"warp_checkpoint_number", RISES, act_checkpoint, NULL},
    {"warp_checkpoint_begin_bytes", RISES, act_checkpoint, NULL},
    {"warp_checkpoint_records", RISES, act_checkpoint, NULL},
    {"warp_checkpoint_bytes", RISES, act_checkpoint, NULL},
    {"warp_checkpoint_seconds", RISES, act_checkpoint, NULL},
    {"warp_checkpoint_age_seconds", POSITIVE, act_checkpoint, NULL},
    {"warp_checkpoint_log_bytes", RISES, act_put, NULL},
    {"warp_recovery_next_seconds", RISES, act_put_much, NULL},
    {"warp_background_pressure", RISES, NULL, measure_no_checkpoint},
    {"warp_write_waits_total", RISES, NULL, measure_no_checkpoint},
    {"warp_write_wait_seconds_total", RISES, NULL, measure_no_checkpoint},
    {"warp_background_steps_total", RISES, act_checkpoint, NULL},
    {"warp_background_seconds_total", RISES, act_checkpoint, NULL},
    {"warp_log_held_segments", RISES, act_checkpoints, NULL},
};

static const struct row compaction_rows[] = {
    {"warp_compaction_runs_total", RISES, act_compact, NULL},
    {"warp_compaction_failures_total", RISES, NULL, measure_no_archive},
    {"warp_compaction_records_total", RISES, act_compact, NULL},
    {"warp_compaction_raw_bytes_total", RISES, act_compact, NULL},
    {"warp_compaction_stored_bytes_total", RISES, act_compact, NULL},
    {"warp_compaction_files_removed_total", RISES, act_compact, NULL},
    {"warp_disk_bytes", RISES, act_compact, NULL},
    {"warp_disk_live_bytes", RISES, act_compact, NULL},
    {"warp_disk_live_raw_bytes", RISES, act_compact, NULL},
};
static const struct row publish_rows[] = {
    {"warp_metrics_publishes_total", RISES, act_wait_for_snapshot, NULL},
    {"warp_metrics_publish_errors_total", RISES, NULL, measure_no_publish},
    {"warp_filesystem_free_bytes", POSITIVE, act_nothing, NULL},
    {"warp_checkpoint_log_limit_bytes", POSITIVE, act_nothing, NULL},
};
enum { PUBLISH_ROWS = sizeof(publish_rows) / sizeof(publish_rows[0]) };

static const struct row warm_rows[] = {
    {"warp_warm_values_total", RISES, NULL, measure_warm},
    {"warp_warm_bytes_total", RISES, NULL, measure_warm},
    {"warp_warm_left_total", RISES, NULL, measure_warm},
    {"warp_warm_remaining", RISES, NULL, measure_warm},
    {"warp_warm_reads_total", RISES, NULL, measure_warm},
    {"warp_warm_lone_reads_total", RISES, NULL, measure_warm},
    {"warp_warm_read_bytes_total", RISES, NULL, measure_warm},
};
static const struct row prefetch_rows[] = {
    {"warp_prefetch_observations_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_skipped_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_issued_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_useful_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_late_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_wasted_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_bytes", RISES, NULL, measure_prefetch},
    {"warp_prefetch_table_bytes", RISES, NULL, measure_prefetch},
    {"warp_prefetch_starts_total", RISES, NULL, measure_prefetch},
    {"warp_prefetch_stops_total", RISES, NULL, measure_prefetch},
};
enum { PREFETCH_ROWS = sizeof(prefetch_rows) / sizeof(prefetch_rows[0]) };
static const struct row move_rows[] = {
    {"warp_slot_moves_total", RISES, act_move, NULL},
    {"warp_slot_moves_busy_total", RISES, act_move_busy, NULL},
    {"warp_slot_moves_refused_total", RISES, act_move_nowhere, NULL},
    {"warp_slot_move_records_total", RISES, act_move, NULL},
    {"warp_slot_forwards_total", RISES, act_forward, NULL},
    {"warp_slot_abroad_bytes", RISES, act_move_and_look, NULL},
    {"warp_slot_placement_lost", RISES, NULL, measure_placement},
    {"warp_gravity_epochs_total", RISES, NULL, measure_gravity},
    {"warp_gravity_seconds_total", RISES, NULL, measure_gravity},
    {"warp_load_lambda_ratio", RISES, NULL, measure_gravity},
    {"warp_load_evenness_ratio", RISES, NULL, measure_gravity},
    {"warp_load_variation_ratio", RISES, NULL, measure_gravity},
    {"warp_lease_busy_total", RISES, NULL, measure_contention},
};
enum { MOVE_ROWS = sizeof(move_rows) / sizeof(move_rows[0]) };
enum { WARM_ROWS = sizeof(warm_rows) / sizeof(warm_rows[0]) };
enum { COMPACTION_ROWS = sizeof(compaction_rows) / sizeof(compaction_rows[0]) };
enum { CHECKPOINT_ROWS = sizeof(checkpoint_rows) / sizeof(checkpoint_rows[0]) };

static void check_row(const struct row *row)
{
    struct warp_options options = fixture_options();
    double pair[2] = {-1, -1};
    struct warp *db;

    if (row->measure != NULL) {
        if (!row->measure(row->name, pair)) {
            return;
        }
    } else {
        db = fixture_open(test_directory(), &options);
        if (db == NULL) {
            return;
        }
        pair[0] = fixture_metric(db, row->name);
        row->act(db);
        pair[1] = fixture_metric(db, row->name);
        check_int(warp_close(&db), ==, 0);
    }
    if (pair[1] < 0) {
        test_fail(__FILE__, __LINE__, "%s is not exported", row->name);
    } else if (row->rule == RISES ? pair[1] <= pair[0] : pair[1] <= 0) {
        test_fail(__FILE__, __LINE__, "%s does not move: %f before, %f after its action",
                  row->name, pair[0], pair[1]);
    }
}

/* The runner gives a test a few directories: the rows are spread over several tests. */
static void check_rows(size_t part)
{
    size_t i;

    for (i = part * 8; i < part * 8 + 8 && i < ROWS; i++) {
        check_row(&rows[i]);
    }
}

WARP_TEST(metrics, of_records_and_values_move)
{
    check_rows(0);
}

WARP_TEST(metrics, of_reads_from_disk_and_calls_move)
{
    check_rows(1);
}

WARP_TEST(metrics, of_writes_move)
{
    check_rows(2);
}

WARP_TEST(metrics, of_memory_and_mailboxes_move)
{
    check_rows(3);
}

WARP_TEST(metrics, of_waits_and_flushes_move)
{
    check_rows(4);
}

WARP_TEST(metrics, of_the_log_move)
{
    check_rows(5);
}

WARP_TEST(metrics, of_recovery_move)
{
    check_rows(6);
}

WARP_TEST(metrics, of_time_move)
{
    check_rows(7);
    check_u64(ROWS, <=, 64);
}

WARP_TEST(metrics, of_checkpoints_move)
{
    size_t i;

    for (i = 0; i < CHECKPOINT_ROWS; i++) {
        check_row(&checkpoint_rows[i]);
    }
}

WARP_TEST(metrics, of_compactions_move)
{
    size_t i;

    for (i = 0; i < COMPACTION_ROWS; i++) {
        check_row(&compaction_rows[i]);
    }
}

WARP_TEST(metrics, of_their_own_file_move)
{
    size_t i;

    for (i = 0; i < PUBLISH_ROWS; i++) {
        check_row(&publish_rows[i]);
    }
}

/* ---- of shards -------------------------------------------------------------------------- */

/* The sum over all shards, out of the image, or -1. */
static double shard_metric(struct warp *db, const char *name)
{
    static struct warp_reading_row rows_read[WARP_SNAPSHOT_ROWS_MAX];
    struct warp_reading reading;
    size_t bytes = 0;
    double sum = -1;
    void *image;
    uint32_t i, k;

    check_int(warp_metrics_snapshot(db, NULL, 0, &bytes), ==, WARP_TRUNCATED);
    image = malloc(bytes);
    check_int(warp_metrics_snapshot(db, image, bytes, &bytes), ==, 0);
    if (check_int(warp_snapshot_read(image, bytes, rows_read, &reading), ==, 0)) {
        for (i = 0; i < reading.shard_value_count; i++) {
            if (strcmp(rows_read[reading.value_count + i].name, name) == 0) {
                sum = 0;
                for (k = 0; k < reading.shard_count; k++) {
                    sum += (double)reading.shards[k * reading.shard_value_count + i];
                }
            }
        }
    }
    free(image);
    return sum;
}

/* Little room for values in memory, so that they come and go. */
static void act_tiny(struct warp *db)
{
    char key[32], text[256];
    uint32_t i;

    for (i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "tiny-%u", i);
        fixture_put(db, key, "a value that takes some room");
    }
    warp_flush(db);
    for (i = 0; i < 500; i++) { /* what was durable leaves */
        snprintf(key, sizeof(key), "more-%u", i);
        fixture_put(db, key, "a value that takes some room");
    }
    warp_flush(db);
    for (i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "tiny-%u", i % 3 == 0 ? i / 6 : i % 8);
        fixture_get(db, key, text);
    }
}

static void *shard_contend_main(void *context)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    static uint8_t value[20000];
    struct contender *contender = context;
    uint64_t until_ns = support_now_ns() + 8000000000u;
    struct warp_session *session = NULL;
    struct warp_request request = request_init;
    struct warp_completion completions[64];
    uint32_t i;

    if (warp_session_create(contender->db, 64, &session) != 0) {
        return NULL;
    }
    request.opcode = WARP_OP_PUT;
    request.key = support_text("contended");
    request.value = support_slice(value, sizeof(value));
    /* Room in the log is what messages wait for: nobody looks often, or nothing would wait. */
    do {
        for (i = 0; i < 500; i++) {
            warp_submit(session, &request, 1);
            warp_put(contender->db, request.key, request.value, NULL, NULL);
            while (warp_poll(session, completions, 64, 0) > 0) {
            }
        }
    } while (fixture_metric(contender->db, contender->watched) <= contender->before &&
             support_now_ns() < until_ns);
    warp_session_destroy(&session);
    return NULL;
}

static void act_contend(struct warp *db, const char *watched)
{
    struct contender contender = {db, watched, fixture_metric(db, watched)};
    pthread_t threads[8];
    uint32_t i;

    for (i = 0; i < 8; i++) {
        pthread_create(&threads[i], NULL, shard_contend_main, &contender);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void act_stall(struct warp *db)
{
    act_contend(db, "warp_mailbox_stalls_total");
}

static void act_turn(struct warp *db)
{
    act_contend(db, "warp_shard_turns_total");
}

/* Work until an epoch of gravity has measured it. */
static void act_load(struct warp *db)
{
    uint32_t i;

    for (i = 0; i < 30000000; i++) {
        fixture_put(db, "load", "v");
        if (i % 1000 == 999 && shard_metric(db, "warp_shard_load_ratio") > 0) {
            break;
        }
    }
}

static const struct row shard_rows[] = {
    {"warp_shard_records", RISES, act_put, NULL},
    {"warp_shard_record_bytes", RISES, act_put, NULL},
    {"warp_shard_cache_bytes", RISES, act_put, NULL},
    {"warp_shard_cold_records", RISES, act_tiny, NULL},
    {"warp_shard_puts_total", RISES, act_put, NULL},
    {"warp_shard_deletes_total", RISES, act_delete, NULL},
    {"warp_shard_adds_total", RISES, act_add, NULL},
    {"warp_shard_conflicts_total", RISES, act_conflict, NULL},
    {"warp_shard_messages_total", RISES, act_stall, NULL},
    {"warp_shard_stalls_total", RISES, act_stall, NULL},
    {"warp_shard_thread_turns_total", RISES, act_turn, NULL},
    {"warp_shard_evictions_total", RISES, act_tiny, NULL},
    {"warp_shard_admissions_total", RISES, act_tiny, NULL},
    {"warp_shard_slots", POSITIVE, act_nothing, NULL},
    {"warp_shard_load_ratio", RISES, act_load, NULL},
};
enum { SHARD_ROWS = sizeof(shard_rows) / sizeof(shard_rows[0]) };

WARP_TEST(metrics, of_shards_move)
{
    struct warp_options options = fixture_options();
    size_t i;

    check_u64(SHARD_ROWS, ==, WARP_CATALOGUE_SHARD_VALUES);
    options.log_buffer_bytes = 256 << 10;
    options.segment_bytes = 8 << 20;
    for (i = 0; i < SHARD_ROWS; i++) {
        bool tiny = shard_rows[i].act == act_tiny;
        struct warp_env env;
        struct warp *db = NULL;
        double before, after;
        uint32_t round;

        memset(&env, 0, sizeof(env));
        env.threads = true;
        env.values_bytes_max = tiny ? 4096 : 0;
        options.shard_count = shard_rows[i].act == act_stall ? 1 : 2;
        options.gravity = shard_rows[i].act == act_load ? 1 : 2;
        check_int(warp_engine_open(test_directory(), &options, &env, &db), ==, 0);
        if (db == NULL) {
            return;
        }
        before = shard_metric(db, shard_rows[i].name);
        shard_rows[i].act(db);
        after = shard_metric(db, shard_rows[i].name);
        /* Only what is durable leaves, so the first round need not move it. */
        for (round = 0; tiny && round < 50 && after <= before; round++) {
            shard_rows[i].act(db);
            after = shard_metric(db, shard_rows[i].name);
        }
        if (before < 0 || (shard_rows[i].rule == RISES ? after <= before : after <= 0)) {
            test_fail(__FILE__, __LINE__, "%s does not move: %f before, %f after",
                      shard_rows[i].name, before, after);
        }
        if (strcmp(shard_rows[i].name, "warp_shard_slots") == 0) {
            check_u64((uint64_t)after, ==, WARP_SLOT_COUNT);
        }
        check_int(warp_close(&db), ==, 0);
    }
}

/* A bucket has what it should have, and all of them together what the count says. */
WARP_TEST(metrics, of_latency_are_histograms)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    char *text = malloc(1 << 20), *line, *rest = NULL;
    double last = 0, infinite = -1, count = -1;
    size_t bytes = 0;
    uint32_t buckets = 0;

    if (db == NULL) {
        return;
    }
    act_commit(db);
    check_int(warp_metrics_render(db, text, 1 << 20, &bytes), ==, 0);
    for (line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        double value = strtod(strrchr(line, ' ') + 1, NULL);

        if (strncmp(line, "warp_log_flush_seconds_bucket{le=\"", 34) == 0) {
            check(value >= last);
            last = value;
            buckets++;
            if (strstr(line, "+Inf") != NULL) {
                infinite = value;
            }
        } else if (strncmp(line, "warp_log_flush_seconds_count ", 29) == 0) {
            count = value;
        }
    }
    check(infinite > 0);
    check(infinite >= count && infinite <= count);
    check_u64(buckets, ==, WARP_SNAPSHOT_BUCKETS + 1);
    free(text);
    check_int(warp_close(&db), ==, 0);
}

/* Read-only there is no background, but what the open found is told. */
WARP_TEST(metrics, of_warming_up_move)
{
    size_t i;

    for (i = 0; i < WARM_ROWS; i++) {
        check_row(&warm_rows[i]);
    }
}

/* Whether that many calls were counted: a sample stands for those since the one before. */
static void check_calls(const char *name, struct warp *db, double before, double calls)
{
    double counted = fixture_metric(db, name) - before;

    if (counted > calls + 2 * WARP_LATENCY_GAP_MAX ||
        counted < calls - 2 * WARP_LATENCY_GAP_MAX) {
        test_fail(__FILE__, __LINE__, "%s: %f, not about %f", name, counted, calls);
    }
}

WARP_TEST(metrics, of_calls_move)
{
    struct warp_options options = fixture_options();
    struct warp_value value = WARP_VALUE_INIT;
    struct warp *db;
    char text[256];
    size_t i;

    for (i = 0; i < CALL_ROWS; i++) {
        check_row(&call_rows[i]);
    }
    for (options.timing = 1; options.timing <= 3; options.timing++) {
        double gets, writes;

        db = fixture_open(test_directory(), &options);
        if (db == NULL) {
            return;
        }
        fixture_put(db, "k", "v");
        fixture_get(db, "k", text);
        gets = fixture_metric(db, "warp_get_seconds_count");
        writes = fixture_metric(db, "warp_write_seconds_count");
        for (i = 0; i < 10000; i++) {
            fixture_get(db, "k", text);
            check_int(warp_borrow(db, support_text("k"), &value), ==, 0);
            warp_return(&value);
            fixture_put(db, "k", "v");
            warp_delete(db, support_text("none"), NULL, NULL);
            warp_add(db, support_text("n"), 1, NULL, NULL);
        }
        if (options.timing == 1) {
            check_calls("warp_get_seconds_count", db, gets, 20000);
            check_calls("warp_write_seconds_count", db, writes, 30000);
            check(fixture_metric(db, "warp_get_seconds_sum") > 0);
        } else {
            check_u64((uint64_t)(fixture_metric(db, "warp_get_seconds_count") - gets), ==,
                      options.timing == 2 ? 0 : 20000);
            check_u64((uint64_t)(fixture_metric(db, "warp_write_seconds_count") - writes),
                      ==, options.timing == 2 ? 0 : 30000);
        }
        check_int(warp_close(&db), ==, 0);
    }
    options.timing = 4;
    db = NULL;
    check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
}

WARP_TEST(metrics, of_prefetching_move)
{
    size_t i;

    for (i = 0; i < PREFETCH_ROWS; i++) {
        check_row(&prefetch_rows[i]);
    }
}

WARP_TEST(metrics, of_moves_move)
{
    size_t i;

    for (i = 0; i < MOVE_ROWS; i++) {
        check_row(&move_rows[i]);
    }
}

WARP_TEST(metrics, of_checkpoints_are_told_read_only)
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db = fixture_open(directory, &options);

    act_put(db);
    check(fixture_metric(db, "warp_checkpoint_age_seconds") < 0); /* there is none */
    check_int(warp_checkpoint(db), ==, 0);
    act_put(db);
    check_int(warp_close(&db), ==, 0);
    options.open_flags = WARP_READ_ONLY;
    db = fixture_open(directory, &options);
    check(fixture_metric(db, "warp_checkpoint_number") == 1);
    check(fixture_metric(db, "warp_checkpoint_records") >= 100);
    check(fixture_metric(db, "warp_checkpoint_bytes") >= 8192);
    check(fixture_metric(db, "warp_checkpoint_age_seconds") >= 0);
    check(fixture_metric(db, "warp_checkpoint_log_bytes") > 100 * 32);
    check(fixture_metric(db, "warp_checkpoint_log_bytes") < 65536);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(metrics, each_has_an_action_and_the_text_has_its_form)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    char *text = malloc(1 << 20), *line, *rest = NULL, *copy;
    size_t bytes = 0, needed = 0, i, length;
    uint32_t series = 0;

    if (db == NULL) {
        return;
    }
    check_int(warp_metrics_render(db, text, 10, &needed), ==, WARP_TRUNCATED);
    check_u64(needed, >, 1000);
    check_int(warp_metrics_render(db, NULL, 0, &needed), ==, WARP_TRUNCATED);
    check_int(warp_metrics_render(db, text, 1 << 20, &bytes), ==, 0);
    check_u64(bytes, ==, strlen(text));
    check_u64(bytes, <=, needed + 200); /* numbers may grow in between */
    check(bytes > 0 && text[bytes - 1] == '\n');
    copy = strdup(text);
    for (line = strtok_r(copy, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        bool found = false;

        if (line[0] == '#') {
            check(strncmp(line, "# HELP warp_", 12) == 0 ||
                  strncmp(line, "# TYPE warp_", 12) == 0);
            continue;
        }
        series++;
        check(strncmp(line, "warp_", 5) == 0);
        length = strcspn(line, " {");
        for (i = 0; i < ROWS && !found; i++) {
            found =
                strlen(rows[i].name) == length && strncmp(rows[i].name, line, length) == 0;
        }
        for (i = 0; i < CALL_ROWS && !found; i++) {
            found = strlen(call_rows[i].name) == length &&
                    strncmp(call_rows[i].name, line, length) == 0;
        }
        for (i = 0; i < MOVE_ROWS && !found; i++) {
            found = strlen(move_rows[i].name) == length &&
                    strncmp(move_rows[i].name, line, length) == 0;
        }
        for (i = 0; i < CHECKPOINT_ROWS && !found; i++) {
            found = strlen(checkpoint_rows[i].name) == length &&
                    strncmp(checkpoint_rows[i].name, line, length) == 0;
        }
        for (i = 0; i < COMPACTION_ROWS && !found; i++) {
            found = strlen(compaction_rows[i].name) == length &&
                    strncmp(compaction_rows[i].name, line, length) == 0;
        }
        for (i = 0; i < WARM_ROWS && !found; i++) {
            found = strlen(warm_rows[i].name) == length &&
                    strncmp(warm_rows[i].name, line, length) == 0;
        }
        for (i = 0; i < PREFETCH_ROWS && !found; i++) {
            found = strlen(prefetch_rows[i].name) == length &&
                    strncmp(prefetch_rows[i].name, line, length) == 0;
        }
        for (i = 0; i < PUBLISH_ROWS && !found; i++) {
            found = strlen(publish_rows[i].name) == length &&
                    strncmp(publish_rows[i].name, line, length) == 0;
        }
        /* Those of buckets are looked at in of_latency_are_histograms. */
        if (!found && strstr(line, "_bucket{le=") == NULL) {
            test_fail(__FILE__, __LINE__,
                      "%.*s is exported, but has no action in this test", (int)length,
                      line);
        }
        check(strchr(line, ' ') != NULL);
    }
    check_u64(series, >, 20);
    check_u64(series, <, 300);
    free(copy);
    free(text);
    check_int(warp_close(&db), ==, 0);
}
