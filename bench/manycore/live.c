/*
 * Two shards, and keys that lie on them as 7 to 3 unless somebody moves their slots.
 *
 *   throughput   one client with 64 requests in flight to databases whose shards' threads carry all of
 *                them out. The busier shard is what limits it, provided that there is a processor for each
 *                and that the client is not itself the limit: so the requests are such that their owner has
 *                much to do and the client little, conditional writes whose condition is a comparison with
 *                256 KiB that differ in the last byte. Puts of 100 bytes are shown beside.
 *   epochs       how many from the begin of uneven work, and from each shift of the hot keys to others that
 *                lie on one shard, until lambda is low again
 *   even work    processor time per put with gravity on and off, and that nothing is moved
 *   readers      the time that 99 of 100 reads stay below, while 256 slots a second are moved
 */
#include "bench/manycore/live.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "bench/clock.h"
#include "bench/duel.h"
#include "bench/histogram.h"
#include "bench/keys.h"
#include "bench/values.h"
#include "warp/warp.h"

enum { EXIT_DONE = 0, EXIT_USAGE = 2, EXIT_ERROR = 3 };

#define KEY_BYTES      16u
#define VALUE_BYTES    100u
#define LARGE_BYTES    262144u
#define PATH_BYTES     512u
#define DEPTH          64u
#define HOT            16u /* keys of each shard */
#define HOT_SETS       8u
#define HOT_PERCENT    70u /* of requests to the first shard's */
#define METRICS_BYTES  (1u << 20)
#define MOVES_AT_ONCE  32u
#define MOVES_EVERY_MS 125u

struct live {
    const char *path;
    uint32_t rounds, run_ms, shift_s, shifts;
    uint64_t records;
    struct bench_values values;
    struct duel_score score;
    uint32_t made;
    uint8_t *large, *other; /* LARGE_BYTES each, different in the last byte */
    char *metrics;
    /* Ids of keys in slots of their own, by set and shard. */
    uint64_t hot[HOT_SETS][2][HOT];
};

struct arena {
    struct live *live;
    struct warp *db;
    uint64_t records;
    uint64_t operations;
    struct bench_random random;
    bool large;
    _Atomic uint32_t set; /* whose keys are hot */
    _Atomic uint32_t hot_shard;
    _Atomic bool stop;
    _Atomic uint64_t done;
    _Atomic int rc;
    char path[PATH_BYTES];
};

static int live_fail(const char *what, int rc)
{
    fprintf(stderr, "warp bench gravity: %s: %s\n", what, warp_error_text(rc));
    return -1;
}

static int remove_one(const char *path, const struct stat *about, int type,
                      struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

static struct warp_slice key_of(uint8_t key[KEY_BYTES], uint64_t id)
{
    struct warp_slice slice = {key, KEY_BYTES};

    bench_key_encode(BENCH_KEY_DECIMAL, id, key, KEY_BYTES);
    return slice;
}

/* Ids above all records, in slots of their own. */
static void live_draw_hot(struct live *live)
{
    bool *used = calloc(WARP_SLOT_COUNT, sizeof(*used));
    uint64_t id = UINT64_C(1) << 40;

    for (uint32_t set = 0; used != NULL && set < HOT_SETS; set++) {
        uint32_t count[2] = {0, 0};

        while (count[0] < HOT || count[1] < HOT) {
            uint8_t key[KEY_BYTES];
            uint32_t slot, shard;

            key_of(key, ++id);
            slot = warp_hash_slot(key, KEY_BYTES);
            shard = slot % 2; /* slots are dealt in turn */
            if (!used[slot] && count[shard] < HOT) {
                used[slot] = true;
                live->hot[set][shard][count[shard]++] = id;
            }
        }
    }
    free(used);
}

static int arena_open(struct live *live, struct arena *arena, uint32_t write_path,
                      uint32_t gravity, uint64_t records)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp_batch *batch = NULL;
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
    char message[512] = "";
    int rc;

    memset(arena, 0, sizeof(*arena));
    arena->live = live;
    arena->records = records;
    bench_random_init(&arena->random, 1, live->made);
    snprintf(arena->path, sizeof(arena->path), "%s/gravity-%ld-%u", live->path,
             (long)getpid(), live->made++);
    options.shard_count = 2;
    options.durability = WARP_MEMORY;
    options.write_path = write_path;
    options.gravity = gravity;
    options.compaction = 2;
    options.recovery_ms_max = 3600000;
    options.metrics_file = 2;
    options.open_flags = WARP_MUST_BE_NEW;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = warp_open(arena->path, &options, &arena->db);
    if (rc != 0) {
        fprintf(stderr, "warp bench gravity: %s: %s\n", arena->path, message);
        return -1;
    }
    rc = warp_batch_create(arena->db, &batch);
    for (uint64_t id = 0; rc == 0 && id < records; id++) {
        bench_value_fill(&live->values, value, id, 0);
        rc = warp_batch_put(batch, key_of(key, id), (struct warp_slice){value, VALUE_BYTES},
                            0);
        if (rc == 0 && (id % 1000 == 999 || id + 1 == records)) {
            rc = warp_batch_commit(batch, NULL, NULL);
        }
    }
    warp_batch_destroy(&batch);
    for (uint32_t i = 0; rc == 0 && i < HOT_SETS * 2 * HOT; i++) {
        rc =
            warp_put(arena->db, key_of(key, live->hot[i / (2 * HOT)][i / HOT % 2][i % HOT]),
                     (struct warp_slice){live->large, LARGE_BYTES}, NULL, NULL);
    }
    return rc == 0 ? 0 : live_fail("loading", rc);
}

static int arena_close(struct arena *arena)
{
    int rc = arena->db == NULL ? 0 : warp_close(&arena->db);

    if (arena->path[0] != '\0') {
        (void)nftw(arena->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    return rc == 0 ? 0 : live_fail("closing", rc);
}

/* A metric without labels, or -1. */
static double arena_metric(struct arena *arena, const char *name)
{
    size_t bytes = 0, length = strlen(name);
    const char *at = arena->live->metrics;

    if (warp_metrics_render(arena->db, arena->live->metrics, METRICS_BYTES, &bytes) != 0) {
        return -1;
    }
    while (at != NULL) {
        if (strncmp(at, name, length) == 0 && at[length] == ' ') {
            return strtod(at + length, NULL);
        }
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    return -1;
}

/* ---- the client ------------------------------------------------------------------------------ */

/* Seven of ten for a key of one shard, three for one of the other. */
static uint64_t client_draw(struct arena *arena)
{
    uint32_t set = atomic_load_explicit(&arena->set, memory_order_relaxed);
    uint32_t hot = atomic_load_explicit(&arena->hot_shard, memory_order_relaxed);
    bool to_hot = bench_random_below(&arena->random, 100) < HOT_PERCENT;

    return arena->live
        ->hot[set][to_hot ? hot : 1 - hot][bench_random_below(&arena->random, HOT)];
}

/* 64 requests in flight until told to stop. */
static void *client_main(void *context)
{
    struct arena *arena = context;
    struct live *live = arena->live;
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_session *session = NULL;
    struct warp_request requests[DEPTH];
    struct warp_completion done[DEPTH];
    uint8_t keys[DEPTH][KEY_BYTES], value[VALUE_BYTES];
    uint32_t spare[DEPTH], spare_count = DEPTH;
    int wanted = arena->large ? WARP_CONFLICT : 0;
    int rc = warp_session_create(arena->db, DEPTH, &session);

    how.condition = WARP_IF_VALUE;
    how.if_value = (struct warp_slice){live->other, LARGE_BYTES};
    bench_value_fill(&live->values, value, 1, 1);
    for (uint32_t i = 0; i < DEPTH; i++) {
        spare[i] = i;
    }
    while (rc >= 0 && session != NULL &&
           (!atomic_load_explicit(&arena->stop, memory_order_relaxed) ||
            spare_count < DEPTH)) {
        uint32_t n = 0;

        while (n < spare_count &&
               !atomic_load_explicit(&arena->stop, memory_order_relaxed)) {
            struct warp_request request = WARP_REQUEST_INIT;
            uint32_t place = spare[spare_count - 1 - n];

            request.opcode = WARP_OP_PUT;
            request.cookie = place;
            request.key = key_of(keys[place], client_draw(arena));
            request.value = (struct warp_slice){value, VALUE_BYTES};
            request.how = arena->large ? &how : NULL;
            requests[n++] = request;
        }
        rc = n == 0 ? 0 : warp_submit(session, requests, n);
        if (rc >= 0) {
            spare_count -= (uint32_t)rc;
            rc = warp_poll(session, done, DEPTH, UINT64_MAX);
        }
        for (int i = 0; i < rc; i++) {
            spare[spare_count++] = (uint32_t)done[i].cookie;
            if (done[i].result != wanted) {
                atomic_store(&arena->rc,
                             done[i].result != 0 ? done[i].result : WARP_EINVAL);
                rc = -1;
            } else {
                atomic_store_explicit(
                    &arena->done,
                    atomic_load_explicit(&arena->done, memory_order_relaxed) + 1,
                    memory_order_relaxed);
            }
        }
    }
    if (session != NULL) {
        warp_session_destroy(&session);
    }
    if (rc < 0 && atomic_load(&arena->rc) == 0) {
        atomic_store(&arena->rc, rc);
    }
    return NULL;
}

static int client_begin(struct arena *arena, pthread_t *thread)
{
    atomic_store(&arena->stop, false);
    if (pthread_create(thread, NULL, client_main, arena) != 0) {
        fprintf(stderr, "warp bench gravity: no thread\n");
        return -1;
    }
    return 0;
}

static int client_end(struct arena *arena, pthread_t thread)
{
    int rc;

    atomic_store(&arena->stop, true);
    pthread_join(thread, NULL);
    rc = atomic_load(&arena->rc);
    return rc == 0 ? 0 : live_fail("writing", rc < 0 ? rc : WARP_EINVAL);
}

/* Thousands of requests a second; what comes in the first tenth of the time does not count. */
static double run_client(void *context)
{
    struct arena *arena = context;
    pthread_t thread;
    uint64_t begin_ns, before, ns, count;

    if (client_begin(arena, &thread) != 0) {
        return -1;
    }
    (void)usleep(arena->live->run_ms * 100);
    begin_ns = bench_clock_monotonic_ns();
    before = atomic_load(&arena->done);
    (void)usleep(arena->live->run_ms * 1000);
    count = atomic_load(&arena->done) - before;
    ns = bench_clock_monotonic_ns() - begin_ns;
    return client_end(arena, thread) == 0 ? (double)count / (double)ns * 1e6 : -1;
}

/* ---- throughput, and how many epochs ----------------------------------------------------------- */

/* From now on, wait until lambda has risen and then fallen below `low`; how many epochs that took from the
 * one in which it was high, or -1: not within half a minute. *highest gets what it was at most. */
static double wait_for_low(struct arena *arena, double low, double *highest)
{
    double begun = -1, now = 0;

    *highest = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        double lambda = arena_metric(arena, "warp_load_lambda_ratio");

        now = arena_metric(arena, "warp_gravity_epochs_total");
        *highest = lambda > *highest ? lambda : *highest;
        if (begun < 0 && lambda > 1.2) {
            begun = now;
        } else if (begun >= 0 && lambda > 0 && lambda < low) {
            return now - begun;
        }
        (void)usleep(10000);
    }
    return -1;
}

static int part_throughput(struct live *live, bool large)
{
    static struct arena fixed, moved;
    struct duel_way ways[] = {{"as dealt", run_client, &fixed, {0}, 0},
                              {"gravity", run_client, &moved, {0}, 0}};
    struct duel_way *all[] = {&ways[0], &ways[1]};
    double epochs = 0, highest = 0;
    pthread_t thread;
    int rc;

    printf("\nthroughput: two shards, %u %% of requests for one of them, 64 in flight, by "
           "mailbox:\n%s\n",
           HOT_PERCENT,
           large ? "conditional writes that compare 256 KiB" : "puts of 100 bytes");
    rc = arena_open(live, &fixed, WARP_WRITE_MAILBOX, 2, 1000);
    if (rc == 0) {
        rc = arena_open(live, &moved, WARP_WRITE_MAILBOX, 1, 1000);
    }
    fixed.large = moved.large = large;
    if (rc == 0) {
        rc = client_begin(&moved, &thread);
    }
    if (rc == 0) {
        epochs = wait_for_low(&moved, 1.1, &highest);
        rc = client_end(&moved, thread);
    }
    if (rc == 0) {
        rc = duel_run(all, 2, live->rounds);
    }
    if (rc == 0) {
        printf(
            "  lambda at first %.3f, as measured; below 1.1 after %.0f epochs; %.0f slots "
            "moved\n",
            highest, epochs, arena_metric(&moved, "warp_slot_moves_total"));
        printf("  %-10s %9.1f k/s\n  %-10s %9.1f k/s\n", ways[0].name, ways[0].median,
               ways[1].name, ways[1].median);
    }
    if (rc == 0 && large) {
        duel_at_least(&live->score, "gravity against as dealt",
                      ways[1].median / ways[0].median, 0.9 * 1.4 / 1.05);
        duel_at_most(&live->score, "epochs until lambda is below 1.1",
                     epochs < 0 ? 1e9 : epochs, 5);
    } else if (rc == 0) {
        printf("     gravity against as dealt: %.3g\n", ways[1].median / ways[0].median);
    }
    rc |= arena_close(&fixed);
    rc |= arena_close(&moved);
    return rc;
}

static int part_heavy(struct live *live)
{
    return part_throughput(live, true);
}

static int part_light(struct live *live)
{
    return part_throughput(live, false);
}

/* ---- a hot spot that shifts --------------------------------------------------------------------- */

static int part_shift(struct live *live)
{
    static struct arena arena;
    double most = 0, epochs = 0, highest = 0;
    pthread_t thread;
    int rc;

    printf("\nshift: the hot keys are others every %u s, of one shard each time\n",
           live->shift_s);
    rc = arena_open(live, &arena, WARP_WRITE_MAILBOX, 1, 1000);
    arena.large = true;
    if (rc == 0) {
        rc = client_begin(&arena, &thread);
    }
    for (uint32_t shift = 0; rc == 0 && shift < live->shifts; shift++) {
        uint64_t begin_ns = bench_clock_monotonic_ns(), spent_ns;

        atomic_store(&arena.hot_shard, shift % 2);
        atomic_store(&arena.set, shift % HOT_SETS);
        epochs = wait_for_low(&arena, 1.15, &highest);
        epochs = epochs < 0 ? 1e9 : epochs;
        printf("  shift %u: lambda up to %.3f, below 1.15 after %.0f epochs\n", shift + 1,
               highest, epochs);
        fflush(stdout);
        most = epochs > most ? epochs : most;
        spent_ns = bench_clock_monotonic_ns() - begin_ns;
        if (spent_ns < live->shift_s * UINT64_C(1000000000)) {
            (void)usleep((useconds_t)(live->shift_s * UINT64_C(1000000) - spent_ns / 1000));
        }
    }
    if (rc == 0) {
        rc = client_end(&arena, thread);
        duel_at_most(&live->score, "epochs until lambda is below 1.15, after each shift",
                     most, 3);
    }
    return rc | arena_close(&arena);
}

/* ---- even work ------------------------------------------------------------------------------------ */

static double processor_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ns of processor time of the whole process per put. */
static double run_even(void *context)
{
    struct arena *arena = context;
    double begun = processor_ns();
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];

    for (uint64_t i = 0; i < arena->operations; i++) {
        uint64_t id = bench_random_below(&arena->random, arena->records);
        int rc;

        bench_value_fill(&arena->live->values, value, id, (uint32_t)i & 0xffff);
        rc = warp_put(arena->db, key_of(key, id), (struct warp_slice){value, VALUE_BYTES},
                      NULL, NULL);
        if (rc != 0) {
            return live_fail("writing", rc);
        }
    }
    return (processor_ns() - begun) / (double)arena->operations;
}

static int part_even(struct live *live)
{
    static struct arena off, on;
    struct duel_way ways[] = {{"gravity off", run_even, &off, {0}, 0},
                              {"gravity on", run_even, &on, {0}, 0}};
    struct duel_way *all[] = {&ways[0], &ways[1]};
    double moves = 0, ratios[DUEL_ROUNDS_MAX];
    uint32_t rounds = live->rounds * 4 + 1;
    int rc;

    rounds = rounds < DUEL_ROUNDS_MAX ? rounds : DUEL_ROUNDS_MAX;
    printf("\neven: puts of 100 bytes to all keys by one writer, processor time of the "
           "process\n");
    rc = arena_open(live, &off, WARP_WRITE_ADAPTIVE, 2, live->records / 10);
    if (rc == 0) {
        rc = arena_open(live, &on, WARP_WRITE_ADAPTIVE, 1, live->records / 10);
    }
    off.operations = on.operations = live->records / 5;
    if (rc == 0) {
        rc = duel_run(all, 2, rounds);
    }
    if (rc == 0) {
        moves = arena_metric(&on, "warp_slot_moves_total");
        for (uint32_t i = 0; i < rounds; i++) {
            ratios[i] = ways[1].results[i] / ways[0].results[i];
        }
        printf("  %-12s %8.1f ns\n  %-12s %8.1f ns; %.0f slots moved\n", ways[0].name,
               ways[0].median, ways[1].name, ways[1].median, moves);
        duel_at_most(&live->score, "processor time with gravity, of without",
                     duel_median(ratios, rounds), 1.01);
        duel_at_most(&live->score, "slots moved", moves, 0);
    }
    rc |= arena_close(&off);
    rc |= arena_close(&on);
    return rc;
}

/* ---- readers ---------------------------------------------------------------------------------------- */

struct reader {
    struct arena *arena;
    bool moving;
    uint64_t *moves;
};

/* 32 slots go, or come back, every eighth of a second. */
static void *mover_main(void *context)
{
    struct reader *reader = context;
    struct arena *arena = reader->arena;
    struct warp_balance_options options = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report report = WARP_BALANCE_REPORT_INIT;
    uint64_t *weights = calloc(WARP_SLOT_COUNT, sizeof(*weights));
    uint32_t round = 0;

    options.weights = weights;
    while (weights != NULL && !atomic_load_explicit(&arena->stop, memory_order_relaxed)) {
        memset(weights, 0, WARP_SLOT_COUNT * sizeof(*weights));
        for (uint32_t i = 0; i < 2 * MOVES_AT_ONCE; i++) {
            weights[(round * 2 * MOVES_AT_ONCE + i) * 2 % WARP_SLOT_COUNT] = 1;
        }
        if (warp_balance(arena->db, &options, &report) != 0) {
            atomic_store(&arena->rc, WARP_EINVAL);
            break;
        }
        *reader->moves += report.moves_made;
        (void)usleep(MOVES_EVERY_MS * 1000);
        round++;
        options.even ^= 1;
    }
    free(weights);
    return NULL;
}

/* ns that 99 of 100 reads stay below. */
static double run_reader(void *context)
{
    struct reader *reader = context;
    struct arena *arena = reader->arena;
    struct bench_histogram *histogram = calloc(1, sizeof(*histogram));
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
    uint64_t end_ns, last_ns, wrong = 0;
    pthread_t thread;
    double result = -1;

    atomic_store(&arena->stop, false);
    if (histogram == NULL ||
        (reader->moving && pthread_create(&thread, NULL, mover_main, reader) != 0)) {
        free(histogram);
        return -1;
    }
    last_ns = bench_clock_monotonic_ns();
    end_ns = last_ns + arena->live->run_ms * UINT64_C(2000000);
    while (last_ns < end_ns) {
        uint64_t id = bench_random_below(&arena->random, arena->records), now_ns;
        uint32_t version;
        size_t bytes = 0;
        int rc = warp_get(arena->db, key_of(key, id), value, sizeof(value), &bytes, NULL);

        wrong +=
            rc != 0 || !bench_value_check(&arena->live->values, value, bytes, id, &version);
        now_ns = bench_clock_monotonic_ns();
        bench_histogram_add(histogram, now_ns - last_ns);
        last_ns = now_ns;
    }
    if (reader->moving) {
        atomic_store(&arena->stop, true);
        pthread_join(thread, NULL);
    }
    if (wrong > 0 || atomic_load(&arena->rc) != 0) {
        fprintf(stderr, "warp bench gravity: %llu values were wrong\n",
                (unsigned long long)wrong);
    } else {
        result = (double)bench_histogram_percentile(histogram, 99);
    }
    free(histogram);
    return result;
}

static int part_readers(struct live *live)
{
    static struct arena arena;
    uint64_t moves = 0;
    struct reader still = {&arena, false, &moves}, moving = {&arena, true, &moves};
    struct duel_way ways[] = {{"nothing moves", run_reader, &still, {0}, 0},
                              {"256 moves a second", run_reader, &moving, {0}, 0}};
    struct duel_way *all[] = {&ways[0], &ways[1]};
    int rc;

    printf("\nreaders: gets of 100 bytes, %llu records, 99 of 100 stay below\n",
           (unsigned long long)live->records);
    rc = arena_open(live, &arena, WARP_WRITE_ADAPTIVE, 2, live->records);
    if (rc == 0) {
        rc = duel_run(all, 2, live->rounds);
    }
    if (rc == 0) {
        printf(
            "  %-20s %8.0f ns\n  %-20s %8.0f ns; %.0f moves a second, of slots with %llu "
            "records each\n",
            ways[0].name, ways[0].median, ways[1].name, ways[1].median,
            (double)moves / ((live->rounds + 1) * (live->run_ms * 2e-3)),
            (unsigned long long)(live->records / WARP_SLOT_COUNT));
        duel_at_most(&live->score, "p99 of reads with moves, of without",
                     ways[1].median / ways[0].median, 1.2);
    }
    return rc | arena_close(&arena);
}

/* ---- the command ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int (*run)(struct live *live);
} parts[] = {
    {"heavy", part_heavy}, {"light", part_light},     {"shift", part_shift},
    {"even", part_even},   {"readers", part_readers},
};

enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]) };

static void usage(FILE *file)
{
    fprintf(
        file,
        "usage: warp bench gravity --engine [options]\n"
        "\n"
        "Measures in the engine, with two shards, what moving slots is worth and what it "
        "costs;\n"
        "without --engine many shards are played.\n"
        "\n"
        "  --part NAME        heavy, light, shift, even or readers (all)\n"
        "  --records N        records of readers (1000000; even takes a tenth)\n"
        "  --rounds N         turns of each way, medians of them (5)\n"
        "  --run-ms N         how long a turn is (500)\n"
        "  --shift-s N        between two shifts (10)\n"
        "  --shifts N         how many (3)\n"
        "  --path DIR         where databases are made (/tmp); they are removed\n");
}

static int live_usage(const char *what, const char *value)
{
    fprintf(stderr,
            "warp bench gravity: %s '%s'\nTry 'warp bench gravity --engine --help'.\n",
            what, value);
    return EXIT_USAGE;
}

static int live_run(struct live *live, const char *part)
{
    int rc = 0;

    live->large = malloc(LARGE_BYTES);
    live->other = malloc(LARGE_BYTES);
    live->metrics = malloc(METRICS_BYTES);
    if (live->large == NULL || live->other == NULL || live->metrics == NULL ||
        bench_values_init(&live->values, VALUE_BYTES, 0, false) != 0) {
        fprintf(stderr, "warp bench gravity: no memory\n");
        rc = -1;
    } else {
        for (uint32_t i = 0; i < LARGE_BYTES; i++) {
            live->large[i] = live->other[i] = (uint8_t)bench_mix(i);
        }
        live->other[LARGE_BYTES - 1] ^= 1;
        live_draw_hot(live);
        printf("warp %s, %ld processors; %u rounds in turns after one that is not counted, "
               "medians\n",
               warp_version(), sysconf(_SC_NPROCESSORS_ONLN), live->rounds);
        for (uint32_t i = 0; rc == 0 && i < PART_COUNT; i++) {
            if (part == NULL || strcmp(part, parts[i].name) == 0) {
                rc = parts[i].run(live);
            }
        }
        bench_values_fini(&live->values);
    }
    free(live->large);
    free(live->other);
    free(live->metrics);
    if (rc == 0) {
        printf("\n%u of %u aims reached\n", live->score.reached, live->score.aims);
    }
    return rc == 0 && fflush(stdout) == 0 ? EXIT_DONE : EXIT_ERROR;
}

int manycore_live_main(int argc, char **argv)
{
    enum {
        FLAG_ENGINE = 1,
        FLAG_PART,
        FLAG_RECORDS,
        FLAG_ROUNDS,
        FLAG_RUN,
        FLAG_SHIFT_S,
        FLAG_SHIFTS,
        FLAG_PATH,
        FLAG_HELP
    };
    static const struct option flags[] = {
        {"engine", no_argument, NULL, FLAG_ENGINE},
        {"part", required_argument, NULL, FLAG_PART},
        {"records", required_argument, NULL, FLAG_RECORDS},
        {"rounds", required_argument, NULL, FLAG_ROUNDS},
        {"run-ms", required_argument, NULL, FLAG_RUN},
        {"shift-s", required_argument, NULL, FLAG_SHIFT_S},
        {"shifts", required_argument, NULL, FLAG_SHIFTS},
        {"path", required_argument, NULL, FLAG_PATH},
        {"help", no_argument, NULL, FLAG_HELP},
        {NULL, 0, NULL, 0},
    };
    static struct live live = {.path = "/tmp",
                               .rounds = 5,
                               .run_ms = 500,
                               .shift_s = 10,
                               .shifts = 3,
                               .records = 1000000};
    const char *part = NULL;
    int flag;

    opterr = 0;
    optind = 0;
    while ((flag = getopt_long(argc, argv, ":h", flags, NULL)) != -1) {
        char *end = NULL;
        uint64_t number;
        uint32_t i = 0;

        if (flag == FLAG_HELP || flag == 'h') {
            usage(stdout);
            return EXIT_DONE;
        }
        if (flag == '?' || flag == ':') {
            return live_usage("what is", argv[optind - 1]);
        }
        if (flag == FLAG_ENGINE) {
            continue;
        }
        if (flag == FLAG_PATH) {
            live.path = optarg;
            continue;
        }
        if (flag == FLAG_PART) {
            while (i < PART_COUNT && strcmp(parts[i].name, optarg) != 0) {
                i++;
            }
            if (i == PART_COUNT) {
                return live_usage("there is no such part:", optarg);
            }
            part = optarg;
            continue;
        }
        errno = 0;
        number = strtoull(optarg, &end, 10);
        if (errno != 0 || end == optarg || *end != '\0' || number == 0 ||
            number > 1000000000u) {
            return live_usage("not a number that makes sense:", optarg);
        }
        if (flag == FLAG_RECORDS) {
            live.records = number < 1000 ? 1000 : number;
        } else if (flag == FLAG_ROUNDS) {
            live.rounds = number < DUEL_ROUNDS_MAX ? (uint32_t)number : DUEL_ROUNDS_MAX;
        } else if (flag == FLAG_RUN) {
            live.run_ms = number < 100000 ? (uint32_t)number : 100000;
        } else if (flag == FLAG_SHIFT_S) {
            live.shift_s = number < 3600 ? (uint32_t)number : 3600;
        } else {
            live.shifts = number < 100 ? (uint32_t)number : 100;
        }
    }
    if (optind < argc) {
        return live_usage("one argument too many:", argv[optind]);
    }
    return live_run(&live, part);
}
