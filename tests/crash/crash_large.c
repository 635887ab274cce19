/*
 * tests/crash/crash_large.c - kills a writer of a large database in the middle of checkpoints and
 * compaction, and reports how long it takes until the first right answer.
 *
 * The records are loaded once. Then, again and again, a child opens the database and overwrites
 * and deletes keys without a pause, so that housekeeping always has something to do; after a random
 * time, evenly between --life-ms-min and --life-ms-max, the parent kills it with SIGKILL, and a second
 * child opens the database and checks. There is
 * no model of all the values: a value is made from its key and its version, a version says whether
 * it is a value or a delete, and two numbers per key are kept outside the database, in memory that
 * survives the kill: the version that was asked for last, and the one known to be durable.
 *
 *   - The version found lies between the two, and its value is right, byte for byte: for all keys
 *     that were not known to be durable when the kill came, many of those written in this cycle,
 *     and a sample of all others; after the last cycle, for every key.
 *   - Of what a thread had not been told to be durable, in the order of its calls, a beginning is
 *     there and nothing behind it.
 *   - There are as many records as the versions say.
 *
 * What it proves about the disk is what a killed process can show, not a power cut: for that there
 * are tests/sim and tests/faults.
 *
 * From two million records on the options are the engine's own, but for a cap on memory that part of the
 * values does not fit; below, files and checkpoints are made so small that there is always one under
 * way. What it reports of each open is how long it took to the first right answer, how long its replay
 * took by its own account, and how much log there was to replay, of how much is allowed for.
 *
 *     crash_large [--records N] [--cycles N] [--seed N] [--threads N] [--life-ms-min N]
 *                 [--life-ms-max N] [--memory-mb N] [--sample N] [--recovery-ms N] [--limit-s N]
 */
#include "tests/engine/support.h"
#include "tests/engine/tiny.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/counter.h"

enum {
    THREADS_MAX = 8,
    GROUP = 256,         /* writes at interval, then one at commit, or a flush */
    TOUCHED_MAX = 65536, /* keys of a cycle that are looked at, per thread */
    KEY_BYTES = 16,
    VALUE_BYTES_MAX = 100,
    VALUE_BYTES_MIN = 32,
    CYCLES_MAX = 10000,
    LARGE = 2000000, /* so many records, and the options are the engine's own */
};

struct operation {
    uint64_t key;
    uint32_t version;
};

/* Of one writing thread; the count is stored (release) before the call is made. */
struct pending {
    _Atomic uint32_t count;
    struct operation operations[GROUP + 1];
    _Atomic uint64_t touched_count;
    uint64_t touched[TOUCHED_MAX]; /* the latest ones */
};

struct shared {
    uint64_t seed, records, sample, memory_bytes;
    uint32_t thread_count, cycle, recovery_ms;
    char directory[SUPPORT_PATH_BYTES];
    char failure[256];
    _Atomic uint32_t ready, failed, verified;
    /* By the writing child, all the time. */
    _Atomic uint64_t writes, checkpoints, archives, moved, removed, waited_ns;
    _Atomic uint32_t compacting; /* a file has been read since the last run ended */
    struct pending pending[THREADS_MAX];
    /* By the checking child. */
    uint64_t open_ns, first_ns, cpu_ns, replay_ns, found_records, log_bytes, checked, lost;
    struct tiny_totals tiny;
};

static struct shared *shared;
static _Atomic uint32_t *asked, *durable; /* by key */

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(shared->failure, sizeof(shared->failure), format, arguments);
    va_end(arguments);
    atomic_store(&shared->failed, 1);
    _exit(5);
}

/* ---- keys, versions, values -------------------------------------------------------------- */

static struct warp_slice key_text(uint64_t key, char out[KEY_BYTES + 1])
{
    snprintf(out, KEY_BYTES + 1, "%016" PRIx64, key);
    return support_slice(out, KEY_BYTES);
}

static uint64_t version_seed(uint64_t key, uint32_t version)
{
    return support_mix(support_mix(shared->seed + key) + version);
}

/* The first version is a value. */
static bool version_deletes(uint64_t key, uint32_t version)
{
    return version > 1 && version_seed(key, version) % 16 == 0;
}

static struct warp_slice version_value(uint64_t key, uint32_t version,
                                       uint8_t out[VALUE_BYTES_MAX])
{
    uint64_t seed = version_seed(key, version);
    size_t bytes = VALUE_BYTES_MIN + (seed >> 8) % (VALUE_BYTES_MAX - VALUE_BYTES_MIN + 1);

    support_fill(out, bytes, seed);
    memcpy(out + 1, &version, sizeof(version));
    return support_slice(out, bytes);
}

static int open_database(struct warp **db)
{
    static const struct warp_options options_init = WARP_OPTIONS_INIT;
    struct warp_options options = options_init;
    struct warp_env env;
    char message[512] = "";
    uint64_t until_ns = support_now_ns() + 10000000000u;
    int rc;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    options.durability = WARP_INTERVAL;
    options.memory_bytes_max = shared->memory_bytes;
    options.recovery_ms_max = shared->recovery_ms;
    if (shared->records < LARGE) {
        env.checkpoint_log_bytes = 4u << 20;
        options.shard_count = 4;
        options.segment_bytes = 8u << 20;
        options.space_permille = 1150;
        options.huge_pages = 2;
    }
    options.message = message;
    options.message_bytes = sizeof(message);
    do {
        rc = warp_engine_open(shared->directory, &options, &env, db);
        if (rc == WARP_EBUSY) {
            support_sleep_ns(1000000);
        }
    } while (rc == WARP_EBUSY && support_now_ns() < until_ns);
    if (rc != 0) {
        snprintf(shared->failure, sizeof(shared->failure), "open: %d (%s): %.200s", rc,
                 warp_error_text(rc), message);
    }
    return rc;
}

/* ---- the writer -------------------------------------------------------------------------- */

static int write_version(struct warp *db, uint64_t key, uint32_t version, uint32_t level)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct warp_write how = how_init;
    uint8_t value[VALUE_BYTES_MAX];
    char text[KEY_BYTES + 1];
    int rc;

    how.durability = level;
    do {
        rc = version_deletes(key, version)
                 ? warp_delete(db, key_text(key, text), &how, NULL)
                 : warp_put(db, key_text(key, text), version_value(key, version, value),
                            &how, NULL);
    } while (rc == WARP_AGAIN);
    return rc == WARP_ABSENT ? 0 : rc;
}

struct writer {
    struct warp *db;
    uint32_t number;
};

static void *writer_main(void *context)
{
    const struct writer *writer = context;
    struct pending *pending = &shared->pending[writer->number];
    struct support_random random = {
        support_mix(shared->seed * 77 + shared->cycle * THREADS_MAX + writer->number)};
    uint64_t own = (shared->records - writer->number + shared->thread_count - 1) /
                   shared->thread_count;

    for (;;) {
        uint32_t i, count;

        for (i = 0; i <= GROUP; i++) {
            uint64_t key =
                support_random_below(&random, own) * shared->thread_count + writer->number;
            uint32_t version = atomic_load_explicit(&asked[key], memory_order_relaxed) + 1;
            uint64_t touched =
                atomic_load_explicit(&pending->touched_count, memory_order_relaxed);
            int rc;

            if (i == GROUP && version_deletes(key, version)) {
                break; /* one that finds nothing writes nothing, and waits for nothing */
            }
            pending->operations[i].key = key;
            pending->operations[i].version = version;
            pending->touched[touched % TOUCHED_MAX] = key;
            atomic_store_explicit(&pending->touched_count, touched + 1,
                                  memory_order_relaxed);
            atomic_store_explicit(&pending->count, i + 1, memory_order_release);
            atomic_store_explicit(&asked[key], version, memory_order_release);
            /* The last one of a group makes all before it durable. */
            rc = write_version(writer->db, key, version,
                               i == GROUP ? WARP_COMMIT : WARP_INTERVAL);
            if (rc != 0) {
                wrong("a write returned %d (%s)", rc, warp_error_text(rc));
            }
        }
        if (i == GROUP && warp_flush(writer->db) != 0) {
            wrong("a flush failed");
        }
        count = atomic_load_explicit(&pending->count, memory_order_relaxed);
        for (i = 0; i < count; i++) {
            atomic_store_explicit(&durable[pending->operations[i].key],
                                  pending->operations[i].version, memory_order_relaxed);
        }
        atomic_store_explicit(&pending->count, 0, memory_order_release);
        atomic_fetch_add_explicit(&shared->writes, count, memory_order_relaxed);
    }
    return NULL;
}

__attribute__((noreturn)) static void write_until_killed(void)
{
    static struct writer writers[THREADS_MAX];
    struct warp *db = NULL;
    uint64_t runs = 0, victims = 0;
    pthread_t thread;
    uint32_t i;

    if (open_database(&db) != 0) {
        wrong("the writer cannot open: %.180s", shared->failure);
    }
    for (i = 0; i < shared->thread_count; i++) {
        writers[i].db = db;
        writers[i].number = i;
        if (pthread_create(&thread, NULL, writer_main, &writers[i]) != 0) {
            wrong("no thread");
        }
    }
    atomic_store_explicit(&shared->ready, 1, memory_order_release);
    for (;;) {
        const struct warp_compact_counters *compact =
            warp_compact_counters(db->background->compact);
        uint64_t ended =
            warp_counter_read(&compact->runs) + warp_counter_read(&compact->runs_given_up);

        if (ended != runs) {
            runs = ended;
            victims = warp_counter_read(&compact->victims);
        }
        atomic_store(&shared->compacting, warp_counter_read(&compact->victims) != victims);
        atomic_store(&shared->checkpoints,
                     warp_counter_read(&db->background->checkpointer.made));
        atomic_store(&shared->archives, warp_counter_read(&compact->archives));
        atomic_store(&shared->moved, warp_counter_read(&compact->records_moved));
        atomic_store(&shared->removed, warp_counter_read(&compact->files_removed));
        atomic_store(&shared->waited_ns, warp_counter_read(&db->store->pace.wait_ns));
        support_sleep_ns(2000000);
    }
}

__attribute__((noreturn)) static void load(void)
{
    struct warp *db = NULL;
    uint64_t key;
    int rc;

    if (open_database(&db) != 0) {
        wrong("the loader cannot open: %.180s", shared->failure);
    }
    for (key = 0; key < shared->records; key++) {
        rc = write_version(db, key, 1, WARP_INTERVAL);
        if (rc != 0) {
            wrong("loading: %d (%s)", rc, warp_error_text(rc));
        }
        atomic_store_explicit(&asked[key], 1, memory_order_relaxed);
    }
    rc = warp_close(&db);
    if (rc != 0) {
        wrong("closing after the load: %d (%s)", rc, warp_error_text(rc));
    }
    for (key = 0; key < shared->records; key++) {
        atomic_store_explicit(&durable[key], 1, memory_order_relaxed);
    }
    _exit(0);
}

/* ---- the check --------------------------------------------------------------------------- */

/* Which version a value is, checked byte for byte; of an absence, the oldest that fits. */
static uint32_t version_found(uint64_t key, bool present, const void *data, size_t bytes)
{
    uint32_t low = atomic_load_explicit(&durable[key], memory_order_relaxed);
    uint32_t high = atomic_load_explicit(&asked[key], memory_order_relaxed);
    uint8_t expected[VALUE_BYTES_MAX];
    uint32_t version;

    for (version = low; version <= high; version++) {
        struct warp_slice value;

        if (version_deletes(key, version)) {
            if (!present) {
                return version;
            }
            continue;
        }
        value = version_value(key, version, expected);
        if (present && value.bytes == bytes && memcmp(value.data, data, bytes) == 0) {
            return version;
        }
    }
    version = 0;
    if (present && bytes >= VALUE_BYTES_MIN) {
        memcpy(&version, (const char *)data + 1, sizeof(version));
    }
    wrong("key %" PRIu64
          ": found %s (version %u by its own word), but versions %u to %u were "
          "possible",
          key, present ? "a value" : "nothing", version, low, high);
}

static uint32_t check_key(struct warp *db, uint64_t key)
{
    uint8_t value[VALUE_BYTES_MAX + 1];
    char text[KEY_BYTES + 1];
    size_t bytes = 0;
    int rc;

    rc = warp_get(db, key_text(key, text), value, sizeof(value), &bytes, NULL);
    if (rc != WARP_OK && rc != WARP_ABSENT) {
        wrong("key %" PRIu64 ": %d (%s)", key, rc, warp_error_text(rc));
    }
    shared->checked++;
    return version_found(key, rc == WARP_OK, value, bytes);
}

/* Is a beginning there of what a thread was not told to be durable? Then that is the new base. */
static void check_pending(struct warp *db, struct pending *pending)
{
    static uint32_t found[GROUP + 1];
    uint32_t count = atomic_load_explicit(&pending->count, memory_order_acquire), i, k,
             there = 0;

    for (i = 0; i < count; i++) {
        found[i] = check_key(db, pending->operations[i].key);
    }
    /* Absences and equal values say less than versions, so only values that are too old count. */
    for (i = 0; i < count; i++) {
        bool newest = found[i] >= pending->operations[i].version;

        there = newest ? i + 1 : there;
    }
    for (i = 0; i < there; i++) {
        uint64_t key = pending->operations[i].key;
        uint32_t version = pending->operations[i].version;

        if (found[i] < version &&
            !(version_deletes(key, found[i]) && version_deletes(key, version))) {
            wrong("thread's write %u (key %" PRIu64
                  ", version %u) is missing and write %u is "
                  "there",
                  i, key, version, there - 1);
        }
    }
    shared->lost += count - there;
    for (i = 0; i < count; i++) {
        uint64_t key = pending->operations[i].key;

        for (k = i + 1; k < count && pending->operations[k].key != key; k++) {
        }
        atomic_store(&asked[key], found[i]);
        atomic_store(&durable[key], found[i]);
    }
    atomic_store(&pending->count, 0);
}

static int check_visit(void *context, struct warp_slice key, const struct warp_value *value)
{
    char text[KEY_BYTES + 1] = "";
    uint64_t number;

    if (key.bytes != KEY_BYTES) {
        wrong("there is a key of %zu bytes", key.bytes);
    }
    memcpy(text, key.data, KEY_BYTES);
    number = strtoull(text, NULL, 16);
    if (number >= shared->records) {
        wrong("there is a key that was never written: %s", text);
    }
    (void)version_found(number, true, value->data, value->bytes);
    ++*(uint64_t *)context;
    shared->checked++;
    return 0;
}

__attribute__((noreturn)) static void recover_and_check(void)
{
    static const struct warp_recovery recovery_init = WARP_RECOVERY_INIT;
    struct warp_recovery recovery = recovery_init;
    struct support_random random = {support_mix(shared->seed + shared->cycle * 31)};
    uint64_t begun_ns = support_now_ns(), i, expected = 0, records = 0;
    struct warp *db = NULL;
    uint32_t thread;

    shared->checked = shared->lost = 0;
    if (open_database(&db) != 0) {
        wrong("recovery: %.200s", shared->failure);
    }
    shared->open_ns = support_now_ns() - begun_ns;
    (void)check_key(db, support_random_below(&random, shared->records));
    shared->first_ns = support_now_ns() - begun_ns;
    shared->cpu_ns = support_cpu_ns();
    if (warp_recovery_info(db, &recovery) == 0) {
        shared->replay_ns = recovery.duration_ns;
        /* Of what was read, what is not the checkpoint's is log. */
        shared->log_bytes = recovery.bytes_read - db->checkpoints[0].bytes;
    }
    for (thread = 0; thread < shared->thread_count; thread++) {
        check_pending(db, &shared->pending[thread]);
    }
    for (thread = 0; thread < shared->thread_count; thread++) {
        struct pending *pending = &shared->pending[thread];
        uint64_t count = atomic_load(&pending->touched_count);

        count = count < TOUCHED_MAX ? count : TOUCHED_MAX;
        for (i = 0; i < shared->sample && count > 0; i++) {
            (void)check_key(db, pending->touched[support_random_below(&random, count)]);
        }
    }
    for (i = 0; i < shared->sample; i++) {
        (void)check_key(db, support_random_below(&random, shared->records));
    }
    /* Nothing is in doubt any more. */
    for (i = 0; i < shared->records; i++) {
        expected +=
            !version_deletes(i, atomic_load_explicit(&asked[i], memory_order_relaxed));
    }
    if (warp_count(db, &records) != 0 || records != expected ||
        recovery.records != expected) {
        wrong("%" PRIu64 " records are counted, %" PRIu64 " were recovered, %" PRIu64
              " there should be",
              records, recovery.records, expected);
    }
    shared->found_records = records;
    if (shared->cycle == UINT32_MAX) {
        uint64_t seen = 0;
        int rc = warp_visit(db, check_visit, &seen);

        if (rc != 0 || seen != expected) {
            wrong("the walk over all: %d, %" PRIu64 " records of %" PRIu64, rc, seen,
                  expected);
        }
    }
    tiny_count(&shared->tiny, db);
    atomic_store(&shared->verified, 1);
    _exit(0); /* without a close: the next open recovers from that, too */
}

/* ---- the parent -------------------------------------------------------------------------- */

static pid_t start(void (*child)(void))
{
    pid_t pid;

    fflush(stdout);
    fflush(stderr);
    pid = fork();
    if (pid < 0) {
        support_die("cannot fork: %s", strerror(errno));
    }
    if (pid == 0) {
        alarm(900);
        child();
        _exit(6);
    }
    return pid;
}

static bool ended_well(pid_t pid, const char *what)
{
    int status;

    if (waitpid(pid, &status, 0) != pid) {
        support_die("waitpid: %s", strerror(errno));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    fprintf(stderr, "crash_large: seed %" PRIu64 ", cycle %d: %s: %s (%s %d); kept in %s\n",
            shared->seed, (int)shared->cycle, what, shared->failure,
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
            shared->directory);
    return false;
}

/* What lies in the directory: all bytes, and what was half made when the kill came. */
struct found {
    uint64_t bytes;
    bool checkpoint, archive;
};

static struct found look(void)
{
    struct found found = {0};
    DIR *directory = opendir(shared->directory);
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        size_t length = strlen(entry->d_name);
        bool half = length > 4 && strcmp(entry->d_name + length - 4, ".new") == 0;
        struct stat status;

        if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 &&
            S_ISREG(status.st_mode)) {
            found.bytes += (uint64_t)status.st_blocks * 512;
        }
        found.checkpoint =
            found.checkpoint || (half && strncmp(entry->d_name, "checkpoint-", 11) == 0);
        found.archive =
            found.archive || (half && strncmp(entry->d_name, "archive-", 8) == 0);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return found;
}

static bool write_and_kill(struct support_random *random, uint64_t life_ms_min,
                           uint64_t life_ms_max)
{
    uint64_t until_ns = support_now_ns() + 600000000000u;
    pid_t pid;
    int status;
    uint32_t i;

    atomic_store(&shared->ready, 0);
    atomic_store(&shared->failed, 0);
    atomic_store(&shared->writes, 0);
    atomic_store(&shared->checkpoints, 0);
    atomic_store(&shared->archives, 0);
    atomic_store(&shared->moved, 0);
    atomic_store(&shared->removed, 0);
    atomic_store(&shared->waited_ns, 0);
    atomic_store(&shared->compacting, 0);
    for (i = 0; i < shared->thread_count; i++) {
        atomic_store(&shared->pending[i].touched_count, 0);
    }
    pid = start(write_until_killed);
    while (atomic_load_explicit(&shared->ready, memory_order_acquire) == 0 &&
           atomic_load(&shared->failed) == 0 && support_now_ns() < until_ns) {
        support_sleep_ns(1000000);
    }
    support_sleep_ns(1000000 * support_random_between(random, life_ms_min, life_ms_max));
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid) {
        support_die("waitpid: %s", strerror(errno));
    }
    if (atomic_load(&shared->failed) != 0 || !WIFSIGNALED(status) ||
        WTERMSIG(status) != SIGKILL) {
        fprintf(stderr,
                "crash_large: seed %" PRIu64 ", cycle %u: the writer: %s; kept in %s\n",
                shared->seed, shared->cycle, shared->failure, shared->directory);
        return false;
    }
    return true;
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

/* What was seen in each cycle, to be sorted. */
struct series {
    const char *name, *unit;
    double per_unit;
    uint64_t values[CYCLES_MAX];
};

enum { FIRST, CPU, OPEN, REPLAY, LOG, SERIES };

static struct series series[SERIES] = {
    [FIRST] = {"first right answer after", "ms", 1e6, {0}},
    [CPU] = {"  CPU time of that, all threads", "ms", 1e6, {0}},
    [OPEN] = {"open", "ms", 1e6, {0}},
    [REPLAY] = {"  of that, checkpoint and log", "ms", 1e6, {0}},
    [LOG] = {"log to replay", "MiB", 1048576, {0}},
};

/* The smallest that is not below so many parts in a thousand of them. */
static double series_at(const struct series *one, uint64_t count, uint64_t permille)
{
    uint64_t rank = (count * permille + 999) / 1000;

    return (double)one->values[rank > 0 ? rank - 1 : 0] / one->per_unit;
}

static void series_print(uint64_t count)
{
    uint32_t i;

    printf("  %-30s %8s %8s %8s %8s\n", "", "least", "median", "p90", "most");
    for (i = 0; i < SERIES; i++) {
        qsort(series[i].values, count, sizeof(series[i].values[0]), compare_ns);
        printf("  %-30s %8.0f %8.0f %8.0f %8.0f %s\n", series[i].name,
               series_at(&series[i], count, 0), series_at(&series[i], count, 500),
               series_at(&series[i], count, 900), series_at(&series[i], count, 1000),
               series[i].unit);
    }
}

/* Of all cycles. */
struct sums {
    uint64_t writes, checkpoints, archives, moved, removed, waited_ns, checked, lost;
    uint64_t in_checkpoint, in_archive, in_compaction, most_bytes;
};

static void sum_up(struct sums *sums, const struct found *found)
{
    sums->writes += atomic_load(&shared->writes);
    sums->checkpoints += atomic_load(&shared->checkpoints);
    sums->archives += atomic_load(&shared->archives);
    sums->moved += atomic_load(&shared->moved);
    sums->removed += atomic_load(&shared->removed);
    sums->waited_ns += atomic_load(&shared->waited_ns);
    sums->in_checkpoint += found->checkpoint;
    sums->in_archive += found->archive;
    sums->in_compaction += found->archive || atomic_load(&shared->compacting) != 0;
    sums->checked += shared->checked;
    sums->lost += shared->lost;
    sums->most_bytes = found->bytes > sums->most_bytes ? found->bytes : sums->most_bytes;
}

static void print_cycle(const struct found *found)
{
    bool compacting = found->archive || atomic_load(&shared->compacting) != 0;

    printf("cycle %u: %" PRIu64 " writes, %" PRIu64 " checkpoints, killed%s%s%s, %.0f MiB; "
           "first answer after %.0f ms (%.0f of CPU time; open %.0f, replay %.0f), %" PRIu64
           " records, %.1f MiB of log, %" PRIu64 " writes lost, %" PRIu64 " keys checked\n",
           shared->cycle, atomic_load(&shared->writes), atomic_load(&shared->checkpoints),
           found->checkpoint || compacting ? " in the middle of" : "",
           found->checkpoint ? " a checkpoint" : "", compacting ? " a compaction" : "",
           (double)found->bytes / 1048576, (double)shared->first_ns / 1e6,
           (double)shared->cpu_ns / 1e6, (double)shared->open_ns / 1e6,
           (double)shared->replay_ns / 1e6, shared->found_records,
           (double)shared->log_bytes / 1048576, shared->lost, shared->checked);
}

static void print_sums(const struct sums *sums, uint64_t kills, uint64_t begun_ns)
{
    printf("crash_large: seed %" PRIu64 ", %" PRIu64 " records, %" PRIu64
           " kills in %.0f s: %" PRIu64 " in the middle of a checkpoint, %" PRIu64
           " of a compaction (%" PRIu64 " of them while an archive was written)\n",
           shared->seed, shared->records, kills,
           (double)(support_now_ns() - begun_ns) / 1e9, sums->in_checkpoint,
           sums->in_compaction, sums->in_archive);
    series_print(kills);
    printf("  %" PRIu64 " writes, %" PRIu64 " checkpoints, %" PRIu64 " archives, %" PRIu64
           " records moved, %" PRIu64 " files removed; writers waited %.1f s; %" PRIu64
           " writes lost that nobody was told of, %" PRIu64
           " keys checked; at most %.0f MiB on disk\n",
           sums->writes, sums->checkpoints, sums->archives, sums->moved, sums->removed,
           (double)sums->waited_ns / 1e9, sums->lost, sums->checked,
           (double)sums->most_bytes / 1048576);
}

int main(int count, char **words)
{
    static const char *const with_value[] = {
        "--records",     "--cycles",      "--seed",      "--threads",
        "--life-ms-min", "--life-ms-max", "--memory-mb", "--sample",
        "--recovery-ms", "--limit-s",     NULL};
    static const char *const alone[] = {NULL};
    uint64_t cycles, life_ms_min, life_ms_max, passed = 0, failed = 0,
                                               begun_ns = support_now_ns();
    struct sums sums = {0};
    struct support_random random;
    size_t map_bytes;

    support_flags_known(count, words, with_value, alone);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        support_die("no memory");
    }
    shared->seed = support_flag(count, words, "--seed", 1);
    shared->records = support_flag(count, words, "--records", 100000);
    shared->thread_count = (uint32_t)support_flag(count, words, "--threads", 2);
    shared->sample = support_flag(count, words, "--sample", 5000);
    cycles = support_flag(count, words, "--cycles", 10);
    /* Some too short for a checkpoint, some long enough for several. */
    life_ms_max =
        support_flag(count, words, "--life-ms-max", shared->records < LARGE ? 1500 : 8000);
    life_ms_min = support_flag(count, words, "--life-ms-min",
                               shared->records < LARGE ? life_ms_max / 10 + 1 : 200);
    shared->recovery_ms = (uint32_t)support_flag(count, words, "--recovery-ms", 0);
    /* Keys take most of it, so a good part of the values has to leave. */
    shared->memory_bytes =
        support_flag(count, words, "--memory-mb", 128 + shared->records * 140 / 1000000)
        << 20;
    if (shared->thread_count == 0 || shared->thread_count > THREADS_MAX || cycles == 0 ||
        cycles > CYCLES_MAX || shared->records < 1000 || life_ms_min > life_ms_max) {
        support_die(
            "1 to %d threads, 1 to %d cycles, 1,000 records at least, and lives from "
            "the least to the most",
            THREADS_MAX, CYCLES_MAX);
    }
    support_limit((unsigned)support_flag(
                      count, words, "--limit-s",
                      600 + cycles * (20 + life_ms_max / 1000 + shared->records / 200000)),
                  "crash_large", shared->seed);
    map_bytes = shared->records * sizeof(*asked);
    asked =
        mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    durable =
        mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (asked == MAP_FAILED || durable == MAP_FAILED) {
        support_die("no memory");
    }
    random.state = support_mix(shared->seed);
    support_directory(shared->directory, "crash-large");
    if (!ended_well(start(load), "the load")) {
        printf("0 passed, 1 failed\n");
        return 1;
    }
    printf("crash_large: %" PRIu64 " records loaded in %.1f s, %.0f MiB on disk\n",
           shared->records, (double)(support_now_ns() - begun_ns) / 1e9,
           (double)look().bytes / 1048576);
    for (shared->cycle = 0; shared->cycle < cycles && failed == 0; shared->cycle++) {
        struct found found;

        atomic_store(&shared->verified, 0);
        if (!write_and_kill(&random, life_ms_min, life_ms_max)) {
            failed++;
            break;
        }
        found = look();
        if (!ended_well(start(recover_and_check), "the check") ||
            atomic_load(&shared->verified) != 1) {
            failed++;
            break;
        }
        series[FIRST].values[passed] = shared->first_ns;
        series[CPU].values[passed] = shared->cpu_ns;
        series[OPEN].values[passed] = shared->open_ns;
        series[REPLAY].values[passed] = shared->replay_ns;
        series[LOG].values[passed] = shared->log_bytes;
        passed++;
        sum_up(&sums, &found);
        print_cycle(&found);
    }
    if (failed == 0) {
        shared->cycle = UINT32_MAX; /* every record */
        failed += !ended_well(start(recover_and_check), "the last check");
        sums.checked += shared->checked;
    }
    if (passed > 0) {
        print_sums(&sums, passed, begun_ns);
    }
    if (failed == 0) {
        support_remove(shared->directory);
        if (cycles >= 20 &&
            (sums.in_checkpoint == 0 || sums.in_compaction == 0 || sums.archives == 0)) {
            printf(
                "crash_large: no kill met a checkpoint, or none a compaction: no test of "
                "them\n");
            failed++;
        }
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
