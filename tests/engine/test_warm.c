/*
 * A database larger than its memory, read by favour: after a restart the favourites are back without
 * being asked for one by one, and without the warm-up they are not. Counted in reads of the disk.
 */
#include "tests/engine/fixture.h"

#include <math.h>
#include <sys/wait.h>

#include "engine/engine.h"
#include "engine/metrics.h"
#include "shards/warmup.h"

enum {
    KEYS = 20000,
    VALUE_BYTES = 400,
    READS = 20000,
    ROOM_BYTES = KEYS * 440 / 8 / 2, /* of each of two shards: an eighth of all */
};

static struct warp_slice key_of(uint32_t i, char text[32])
{
    return support_slice(text, (size_t)snprintf(text, 32, "warm-%u", i));
}

static struct warp *open_small(const char *directory, uint32_t warm_up)
{
    struct warp_options options = fixture_options();
    struct warp_env env;
    struct warp *db = NULL;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = ROOM_BYTES;
    options.segment_bytes = 4 << 20;
    options.warm_up = warm_up;
    check_int(warp_engine_open(directory, &options, &env, &db), ==, 0);
    return db;
}

static void put_all(struct warp *db, uint32_t count)
{
    char key[32];
    uint8_t value[VALUE_BYTES];
    uint32_t i;

    for (i = 0; i < count; i++) {
        support_fill(value, sizeof(value), i);
        check_int(
            warp_put(db, key_of(i, key), support_slice(value, sizeof(value)), NULL, NULL),
            ==, 0);
    }
}

/* Keys by Zipf's law with exponent 1, nearly: key k with density 1 / k, scattered over the files. */
static uint32_t favourite(struct support_random *random)
{
    double u = (double)(support_random_next(random) >> 11) / 9007199254740992.0;
    uint32_t rank = (uint32_t)exp(u * log((double)KEYS)) - 1;

    return (uint32_t)((uint64_t)rank * 7919 % KEYS);
}

/* How many of so many reads were hits. */
static uint64_t read_some(struct warp *db, uint64_t seed, uint32_t count)
{
    struct support_random random = {seed};
    uint64_t before = (uint64_t)fixture_metric(db, "warp_cold_gets_total");
    uint8_t value[VALUE_BYTES];
    char key[32];
    size_t bytes;
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint32_t at = favourite(&random);

        if (!check_int(warp_get(db, key_of(at, key), value, sizeof(value), &bytes, NULL),
                       ==, 0) ||
            !check(bytes == VALUE_BYTES && support_matches(value, bytes, at))) {
            break;
        }
    }
    return count - ((uint64_t)fixture_metric(db, "warp_cold_gets_total") - before);
}

static void wait_warm(struct warp *db)
{
    while (fixture_metric(db, "warp_warm_remaining") > 0) {
        support_sleep_ns(1000000);
    }
}

/* What was put at once becomes durable later, and leaves memory after that, by and by. */
static void wait_full(struct warp *db)
{
    while (fixture_metric(db, "warp_cold_records") < KEYS / 8 * 7 - KEYS / 50) {
        support_sleep_ns(1000000);
    }
}

/* Fill, read until the policy has settled, and remember that; the hits of READS more. */
static uint64_t make(struct warp *db)
{
    put_all(db, KEYS);
    check_int(warp_checkpoint(db), ==, 0);
    put_all(db, KEYS);
    check_int(warp_checkpoint(db), ==, 0);
    wait_full(db);
    read_some(db, 1, 3 * READS);
    check_int(warp_checkpoint(db), ==, 0);
    return read_some(db, 2, READS);
}

static void compare(const char *directory, uint64_t before)
{
    struct warp *db = open_small(directory, 2);
    uint64_t cold, warm;

    if (db == NULL) {
        return;
    }
    check(fixture_metric(db, "warp_warm_remaining") <= 0);
    cold = read_some(db, 3, READS / 10) * 10;
    check(fixture_metric(db, "warp_warm_values_total") <= 0);
    check_int(warp_close(&db), ==, 0);
    db = open_small(directory, 1);
    if (db == NULL) {
        return;
    }
    wait_warm(db);
    if (fixture_verbose()) {
        printf("    %.0f values by %.0f reads and %.0f for one, %.0f bytes, %.0f left\n",
               fixture_metric(db, "warp_warm_values_total"),
               fixture_metric(db, "warp_warm_reads_total"),
               fixture_metric(db, "warp_warm_lone_reads_total"),
               fixture_metric(db, "warp_warm_read_bytes_total"),
               fixture_metric(db, "warp_warm_left_total"));
    }
    check(fixture_metric(db, "warp_warm_values_total") > KEYS / 10);
    check(fixture_metric(db, "warp_warm_reads_total") <
          fixture_metric(db, "warp_warm_values_total") / 20);
    warm = read_some(db, 3, READS / 10) * 10;
    if (fixture_verbose()) {
        printf("    hits of %d: %" PRIu64 " before, %" PRIu64 " warmed up, %" PRIu64
               " not\n",
               READS, before, warm, cold);
    }
    check_u64(warm + READS / 25, >=, before); /* four points */
    check_u64(cold + READS / 10, <, warm);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(warm, hits_are_what_they_were_after_a_close)
{
    const char *directory = test_directory();
    struct warp *db = open_small(directory, 1);
    uint64_t before;

    if (db != NULL) {
        before = make(db);
        check_int(warp_close(&db), ==, 0);
        compare(directory, before);
    }
}

WARP_TEST(warm, hits_are_what_they_were_after_a_kill)
{
    const char *directory = test_directory();
    uint64_t before = 0;
    int ends[2], status = 0;
    pid_t child;

    check_int(pipe(ends), ==, 0);
    child = fork();
    if (child == 0) {
        struct warp *db = open_small(directory, 1);

        before = db == NULL ? 0 : make(db);
        status = write(ends[1], &before, sizeof(before)) < 0;
        raise(SIGKILL);
        _exit(1);
    }
    check_int(read(ends[0], &before, sizeof(before)), ==, (int)sizeof(before));
    check_int(waitpid(child, &status, 0), ==, child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(ends[0]);
    close(ends[1]);
    check_u64(before, >, READS / 2);
    compare(directory, before);
}

/* The favourites lie in archives, several in a block. */
WARP_TEST(warm, comes_out_of_archives_too)
{
    const char *directory = test_directory();
    struct warp *db = open_small(directory, 1);
    uint64_t before;

    if (db == NULL) {
        return;
    }
    put_all(db, KEYS);
    check_int(warp_checkpoint(db), ==, 0);
    put_all(db, KEYS);
    check_int(warp_compact(db), ==, 0);
    check(fixture_metric(db, "warp_compaction_records_total") > KEYS / 2);
    wait_full(db);
    read_some(db, 1, 3 * READS);
    check_int(warp_checkpoint(db), ==, 0);
    before = read_some(db, 2, READS);
    check_int(warp_close(&db), ==, 0);
    compare(directory, before);
}

/* Closed in the middle, again and again: what was wished for stays so until it has come. */
WARP_TEST(warm, is_not_forgotten_when_it_is_cut_short)
{
    const char *directory = test_directory();
    struct warp *db = open_small(directory, 1);
    uint64_t before;
    uint32_t i;

    if (db == NULL) {
        return;
    }
    before = make(db);
    check_int(warp_close(&db), ==, 0);
    for (i = 0; i < 10; i++) {
        db = open_small(directory, 1);
        if (db == NULL) {
            return;
        }
        if (i % 2 == 1) {
            check_int(warp_checkpoint(db), ==, 0); /* it says what is still to come */
        }
        check_int(warp_close(&db), ==, 0);
    }
    compare(directory, before);
}

/* Memory as small as that leaves no room for all: the limit holds, and the values are right. */
WARP_TEST(warm, keeps_to_a_smaller_memory_than_before)
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db;

    options.memory_bytes_max = 64 << 20;
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    put_all(db, 4 * KEYS);
    check_int(warp_checkpoint(db), ==, 0);
    check(fixture_metric(db, "warp_cold_records") <= 0);
    check_int(warp_close(&db), ==, 0);
    options.memory_bytes_max = 16 << 20;
    options.log_buffer_bytes = 1 << 20;
    options.cache_policy = WARP_CACHE_SIEVE;
    db = fixture_open(directory, &options);
    if (db != NULL) {
        do {
            check(fixture_metric(db, "warp_memory_bytes") <= 16 << 20);
        } while (fixture_metric(db, "warp_warm_remaining") > 0 && test_failures() == 0);
        check(fixture_metric(db, "warp_warm_values_total") > KEYS / 4);
        check(fixture_metric(db, "warp_warm_left_total") > KEYS / 10);
        read_some(db, 4, READS / 10);
        check_int(warp_close(&db), ==, 0);
    }
}
