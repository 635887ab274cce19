/*
 * tests/engine/coldkeys.c - measures what a key costs in memory when its value is on disk only.
 *
 * Each figure is a process's resident memory, as the kernel counts it, less that of one that
 * has an empty database open with the same options, divided by the number of keys; beside it what the
 * engine says that it holds, counted the same way. Two ways lead to cold values:
 *
 *   - reopened: a database is loaded, checkpointed and closed; the process that opens it anew, without
 *     reading values back, has all of them cold.
 *   - evicted: the process that loads has next to no room for values, so each leaves soon after it came,
 *     and the memory is as worn as that makes it.
 *
 * It fails when a value is resident that should not be, when a key costs more than --most bytes of
 * resident memory reopened, or more than that by the engine's account evicted (then the policy's
 * memory of what has left is resident, too, which has its bound in memory_bytes_max and was counted
 * from the open on).
 *
 *     coldkeys [--records N] [--value-bytes N] [--memory-bytes N] [--most BYTES] [--seed N]
 *              [--limit-s N]
 *
 * --memory-bytes is the cap of the database (0: the engine's own), which what the policy remembers of
 * values that have left follows.
 */
#include "tests/engine/support.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "engine/engine.h"
#include "engine/metrics.h"

enum {
    KEY_BYTES = 16,
    VALUE_BYTES_MAX = 4096,
    LITTLE = 1 << 20, /* of values per shard, when they are to leave */
    LITTLE_COUNT =
        40000, /* so many may be what that is, and what the log had not made durable */
};

enum way { EMPTY, LOAD, REOPENED, EVICTED, WAYS };

static const char *const way_names[WAYS] = {"empty", "load", "reopened", "evicted"};

struct figures {
    uint64_t resident, engine, values, records, cold;
};

struct shared {
    uint64_t records, value_bytes, memory_bytes, seed;
    char directory[SUPPORT_PATH_BYTES];
    struct figures figures[WAYS];
};

static struct shared *shared;

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    unsigned long long kib = 0;
    char line[256];

    if (file == NULL) {
        support_die("no /proc/self/smaps_rollup: %s", strerror(errno));
    }
    while (fgets(line, sizeof(line), file) != NULL &&
           sscanf(line, "Rss: %llu", &kib) != 1) {
    }
    fclose(file);
    if (kib == 0) {
        support_die("/proc/self/smaps_rollup says nothing of Rss");
    }
    return kib * 1024;
}

static struct warp *open_database(const char *directory, bool evicts)
{
    static const struct warp_options options_init = WARP_OPTIONS_INIT;
    struct warp_options options = options_init;
    struct warp_env env;
    struct warp *db = NULL;
    char message[256] = "";
    int rc;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = evicts ? LITTLE : 0;
    options.durability = WARP_INTERVAL;
    options.warm_up = 2;
    options.memory_bytes_max = shared->memory_bytes;
    /* What is measured is keys: files of values are to stay as they are. */
    options.compaction = 2;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = warp_engine_open(directory, &options, &env, &db);
    if (rc != 0) {
        support_die("open: %d (%s): %s", rc, warp_error_text(rc), message);
    }
    return db;
}

static void put_all(struct warp *db)
{
    uint8_t value[VALUE_BYTES_MAX];
    char key[KEY_BYTES + 1];
    uint64_t i;

    for (i = 0; i < shared->records; i++) {
        int rc;

        snprintf(key, sizeof(key), "%016" PRIx64, support_mix(shared->seed + i));
        support_fill(value, shared->value_bytes, i);
        do {
            rc = warp_put(db, support_slice(key, KEY_BYTES),
                          support_slice(value, shared->value_bytes), NULL, NULL);
        } while (rc == WARP_AGAIN);
        if (rc != 0) {
            support_die("put %" PRIu64 ": %d (%s)", i, rc, warp_error_text(rc));
        }
    }
}

/* What has been replaced comes back to the pools, and what was not durable when it should have left goes,
 * when the shards have had their turns: ten a second, so several looks must see the same. */
static void settle(struct warp *db)
{
    struct warp_catalogue_values totals;
    uint64_t memory = 0, cold = 0, round;
    uint32_t same = 0;

    for (round = 0; round < 200 && same < 10; round++) {
        warp_metrics_collect(db, &totals);
        same = totals.memory_bytes == memory && totals.cold_records == cold ? same + 1 : 0;
        memory = totals.memory_bytes;
        cold = totals.cold_records;
        support_sleep_ns(50000000);
    }
}

static void look(struct warp *db, struct figures *figures)
{
    struct warp_catalogue_values totals;

    settle(db);
    warp_metrics_collect(db, &totals);
    figures->engine = totals.memory_bytes;
    figures->values = totals.value_bytes;
    figures->records = totals.records;
    figures->cold = totals.cold_records;
    figures->resident = resident_bytes();
}

static void live(enum way way)
{
    char directory[SUPPORT_PATH_BYTES + 16];
    struct figures *figures = &shared->figures[way];
    struct warp *db;
    int rc = 0;

    snprintf(directory, sizeof(directory), "%s/%s", shared->directory,
             way == REOPENED ? way_names[LOAD] : way_names[way]);
    db = open_database(directory, way == EVICTED);
    if (way == LOAD || way == EVICTED) {
        put_all(db);
        rc = warp_checkpoint(db);
    }
    if (way != LOAD) {
        look(db, figures);
    }
    rc = rc < 0 ? rc : warp_close(&db);
    if (rc < 0) {
        support_die("%s: %d (%s)", way_names[way], rc, warp_error_text(rc));
    }
}

/* A process of its own, whose memory is its own. */
static bool run(enum way way)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        live(way);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* What is resident with its value is not to count, in the engine's account. */
static double each_cold(const struct figures *one, uint64_t with, uint64_t without)
{
    return one->cold == 0 ? 0.0 : ((double)with - (double)without) / (double)one->cold;
}

/* What of the evicted may still be resident: a little per shard. */
static bool report(enum way way, uint64_t most)
{
    const struct figures *empty = &shared->figures[EMPTY], *one = &shared->figures[way];
    uint64_t resident = one->records - one->cold;
    double bytes = each_cold(one, one->resident, empty->resident);
    double engine = each_cold(one, one->engine - one->values, empty->engine);
    bool good = one->records == shared->records &&
                (way == EVICTED ? engine : bytes) <= (double)most &&
                resident <= (way == EVICTED ? shared->records / 50 + LITTLE_COUNT : 0);

    printf(
        "  %-9s %10" PRIu64 " of %10" PRIu64 " cold; bytes per key: %6.2f resident, %6.2f "
        "by the engine's account, less values%s\n",
        way_names[way], one->cold, one->records, bytes, engine, good ? "" : "  TOO MUCH");
    return good;
}

int main(int count, char **words)
{
    static const char *const with_value[] = {"--records", "--value-bytes", "--memory-bytes",
                                             "--most",    "--seed",        "--limit-s",
                                             NULL};
    static const char *const alone[] = {NULL};
    uint64_t most, failed = 0, passed = 0;
    enum way way;

    support_flags_known(count, words, with_value, alone);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        support_die("no memory");
    }
    shared->records = support_flag(count, words, "--records", 10000000);
    shared->value_bytes = support_flag(count, words, "--value-bytes", 100);
    shared->memory_bytes = support_flag(count, words, "--memory-bytes", 0);
    shared->seed = support_flag(count, words, "--seed", 1);
    most = support_flag(count, words, "--most", 48);
    if (shared->records == 0 || shared->value_bytes > VALUE_BYTES_MAX) {
        support_die("1 record or more, of values of 0 to %d bytes", VALUE_BYTES_MAX);
    }
    support_limit(
        (unsigned)support_flag(count, words, "--limit-s", 120 + shared->records / 20000),
        "coldkeys", shared->seed);
    support_directory(shared->directory, "coldkeys");
    for (way = EMPTY; way < WAYS && failed == 0; way++) {
        failed += !run(way);
    }
    if (failed == 0) {
        printf("coldkeys: %" PRIu64 " keys of %d bytes, values of %" PRIu64
               " bytes; an empty database: %.1f MiB resident\n",
               shared->records, KEY_BYTES, shared->value_bytes,
               (double)shared->figures[EMPTY].resident / 1048576);
        for (way = REOPENED; way < WAYS; way++) {
            bool good = report(way, most);

            passed += good;
            failed += !good;
        }
    }
    support_remove(shared->directory);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
