/*
 * Each part opens its databases with different options and the same records, and has the ways compete in
 * turns (bench/duel). Every value that is read is checked. Databases keep house only when asked, so that
 * no checkpoint or compaction falls into one way and not into the other.
 *
 *   reads      a read past the owner against a read as a message, with the owner idle and with the
 *              owner busy with writes of its own
 *   writer     what a writer does alone, beside a reader of the same database, and, to tell what the
 *              processors share from what the engine shares, beside a reader of another database
 *   multiget   64 keys at once against a loop of single gets, and against LMDB's gets
 *   put        a put through the lease against one through the mailbox, nobody else there; and both
 *              with 64 in flight, where the mailbox gets them as chains
 *   threads    1, 2 and 4 writers on two shards: lease, mailbox, adaptive
 */
#include "bench/wormholes.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/duel.h"
#include "bench/engines/driver.h"
#include "bench/keys.h"
#include "bench/values.h"
#include "warp/warp.h"

enum { EXIT_DONE = 0, EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_ERROR = 3 };

#define KEY_BYTES   16u
#define VALUE_BYTES 100u
#define GROUP       64u
#define DRAWS       65536u /* of popular keys, gone through again and again */
#define THREADS_MAX 4u
#define LOAD_BATCH  1000u
#define PATH_BYTES  512u

struct setup {
    const char *path;
    uint64_t records;       /* of the small parts */
    uint64_t large_records; /* of multiget */
    uint32_t rounds;
    uint64_t
        operations; /* of a run of parts that count them; a quarter where they are messages */
    uint32_t run_ms; /* of parts that run for a time */
    const char *parts;
    struct bench_values values;
    struct duel_score score;
    uint32_t made; /* databases */
    bool wrong;
};

/* One database under test. */
struct arena {
    struct setup *setup;
    struct warp *db;
    uint64_t records;
    uint64_t operations; /* of a run */
    struct bench_random random;
    uint64_t *popular; /* DRAWS ids, zipfian; NULL: all ids are equal */
    uint32_t next;
    char path[PATH_BYTES];
    _Atomic uint64_t wrong;
};

static int wormholes_fail(const char *what, int rc)
{
    fprintf(stderr, "warp bench wormholes: %s: %s\n", what, warp_error_text(rc));
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

static int arena_load(struct arena *arena)
{
    struct warp_batch *batch = NULL;
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
    struct warp_slice slice = {value, VALUE_BYTES};
    int rc = warp_batch_create(arena->db, &batch);

    for (uint64_t id = 0; rc == 0 && id < arena->records; id++) {
        bench_value_fill(&arena->setup->values, value, id, 0);
        rc = warp_batch_put(batch, key_of(key, id), slice, 0);
        if (rc == 0 && (id % LOAD_BATCH == LOAD_BATCH - 1 || id + 1 == arena->records)) {
            rc = warp_batch_commit(batch, NULL, NULL);
        }
    }
    warp_batch_destroy(&batch);
    return rc == 0 ? 0 : wormholes_fail("loading", rc);
}

static int arena_open(struct setup *setup, struct arena *arena, uint32_t shards,
                      uint32_t wormholes, uint32_t write_path, uint64_t records)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    char message[512] = "";
    int rc;

    memset(arena, 0, sizeof(*arena));
    arena->setup = setup;
    arena->records = records;
    bench_random_init(&arena->random, 1, setup->made);
    snprintf(arena->path, sizeof(arena->path), "%s/wormholes-%ld-%u", setup->path,
             (long)getpid(), setup->made++);
    options.shard_count = shards;
    options.durability = WARP_MEMORY;
    options.wormholes = wormholes;
    options.write_path = write_path;
    options.pin_threads = write_path == WARP_WRITE_MAILBOX && shards == 1;
    options.compaction = 2;
    options.recovery_ms_max = 3600000;
    options.metrics_file = 2;
    options.open_flags = WARP_MUST_BE_NEW;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = warp_open(arena->path, &options, &arena->db);
    if (rc != 0) {
        fprintf(stderr, "warp bench wormholes: %s: %s\n", arena->path, message);
        return -1;
    }
    return arena_load(arena);
}

static int arena_close(struct arena *arena)
{
    int rc = arena->db == NULL ? 0 : warp_close(&arena->db);

    free(arena->popular);
    arena->popular = NULL;

    if (arena->path[0] != '\0') {
        (void)nftw(arena->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    if (atomic_load(&arena->wrong) > 0) {
        arena->setup->wrong = true;
        fprintf(stderr, "warp bench wormholes: %llu values were wrong\n",
                (unsigned long long)atomic_load(&arena->wrong));
        return -1;
    }
    return rc == 0 ? 0 : wormholes_fail("closing", rc);
}

static void arena_check(struct arena *arena, int rc, const void *data, size_t bytes,
                        uint64_t id)
{
    uint32_t version;

    if (rc != 0 || !bench_value_check(&arena->setup->values, data, bytes, id, &version)) {
        atomic_fetch_add(&arena->wrong, 1);
    }
}

/* From now on, reads are for some keys more often than for others: zipf with 0.99. */
static int arena_popular(struct arena *arena)
{
    struct bench_zipf zipf;

    arena->popular = malloc(DRAWS * sizeof(*arena->popular));
    if (arena->popular == NULL) {
        return wormholes_fail("drawing", WARP_ENOMEM);
    }
    bench_zipf_init(&zipf, arena->records, 0.99);
    for (uint32_t i = 0; i < DRAWS; i++) {
        arena->popular[i] =
            bench_mix(bench_zipf_next(&zipf, &arena->random)) % arena->records;
    }
    return 0;
}

static uint64_t arena_draw(struct arena *arena)
{
    return arena->popular != NULL ? arena->popular[arena->next++ % DRAWS]
                                  : bench_random_below(&arena->random, arena->records);
}

/* Where there are two processors, measuring a message's way needs its sender on another one than the
 * thread that carries it out, which the system does not see to: it puts who wakes one another side by
 * side. So shards' threads of such databases stay on the first, and who measures on the second. */
static void stand_on(int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (processor < 0 || i == processor) {
            CPU_SET(i, &set);
        }
    }
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        (void)sched_setaffinity(0, sizeof(set), &set);
    }
}

static double since_ns(uint64_t begin_ns)
{
    return (double)(bench_clock_monotonic_ns() - begin_ns);
}

static bool arena_is_right(const struct arena *arena)
{
    return atomic_load(&arena->wrong) == 0;
}

/* ---- ways to read -------------------------------------------------------------------------- */

/* ns per get. */
static double run_gets(void *context)
{
    struct arena *arena = context;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];

    for (uint64_t i = 0; i < arena->operations; i++) {
        uint64_t id = arena_draw(arena);
        size_t bytes = 0;
        int rc = warp_get(arena->db, key_of(key, id), value, sizeof(value), &bytes, NULL);

        arena_check(arena, rc, value, bytes, id);
    }
    return arena_is_right(arena) ? since_ns(begin_ns) / (double)arena->operations : -1;
}

/* ns per key, 64 of them at once. */
static double run_multi_gets(void *context)
{
    struct arena *arena = context;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    uint8_t keys[GROUP][KEY_BYTES];
    struct warp_slice slices[GROUP];
    struct warp_value values[GROUP];
    uint64_t ids[GROUP], done;
    int results[GROUP];

    for (done = 0; done < arena->operations; done += GROUP) {
        for (uint32_t i = 0; i < GROUP; i++) {
            ids[i] = bench_random_below(&arena->random, arena->records);
            slices[i] = key_of(keys[i], ids[i]);
        }
        if (warp_multi_get(arena->db, slices, GROUP, values, results) != 0) {
            return -1;
        }
        for (uint32_t i = 0; i < GROUP; i++) {
            arena_check(arena, results[i], values[i].data, values[i].bytes, ids[i]);
            warp_return(&values[i]);
        }
    }
    return arena_is_right(arena) ? since_ns(begin_ns) / (double)done : -1;
}

/* ---- threads beside ------------------------------------------------------------------------ */

/* Somebody who goes on until told to stop, and how much that was. */
struct company {
    struct arena *arena;
    uint32_t number;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic bool ready; /* to begin */
    uint64_t done;
    uint64_t spent_ns;
    int rc;
};

static void *company_write(void *context)
{
    struct company *company = context;
    struct arena *arena = company->arena;
    struct bench_random random;
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
    struct warp_slice slice = {value, VALUE_BYTES};
    uint64_t begin_ns;

    bench_random_init(&random, 2, company->number);
    atomic_store(&company->ready, true);
    begin_ns = bench_clock_monotonic_ns();
    while (company->rc == 0 &&
           !atomic_load_explicit(&company->stop, memory_order_relaxed)) {
        uint64_t id = bench_random_below(&random, arena->records);

        bench_value_fill(&arena->setup->values, value, id,
                         (uint32_t)company->done & 0xffff);
        company->rc = warp_put(arena->db, key_of(key, id), slice, NULL, NULL);
        company->done += company->rc == 0;
    }
    company->spent_ns = bench_clock_monotonic_ns() - begin_ns;
    return NULL;
}

static void *company_read(void *context)
{
    struct company *company = context;
    struct arena *arena = company->arena;
    struct bench_random random;
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
    uint64_t begin_ns;

    bench_random_init(&random, 3, company->number);
    atomic_store(&company->ready, true);
    begin_ns = bench_clock_monotonic_ns();
    while (!atomic_load_explicit(&company->stop, memory_order_relaxed)) {
        uint64_t id = bench_random_below(&random, arena->records);
        size_t bytes = 0;
        int rc = warp_get(arena->db, key_of(key, id), value, sizeof(value), &bytes, NULL);

        arena_check(arena, rc, value, bytes, id);
        company->done++;
    }
    company->spent_ns = bench_clock_monotonic_ns() - begin_ns;
    return NULL;
}

static int company_begin(struct company *company, struct arena *arena, uint32_t number,
                         void *(*what)(void *))
{
    memset(company, 0, sizeof(*company));
    company->arena = arena;
    company->number = number;
    if (pthread_create(&company->thread, NULL, what, company) != 0) {
        fprintf(stderr, "warp bench wormholes: no thread\n");
        return -1;
    }
    while (!atomic_load(&company->ready)) {
        (void)usleep(100);
    }
    return 0;
}

static int company_end(struct company *company)
{
    atomic_store(&company->stop, true);
    pthread_join(company->thread, NULL);
    return company->rc == 0 ? 0 : wormholes_fail("writing", company->rc);
}

/* ns per get while somebody writes to the same database all the time. */
static double run_gets_beside_writer(void *context)
{
    struct arena *arena = context;
    struct company writer;
    double ns;

    if (company_begin(&writer, arena, 1, company_write) != 0) {
        return -1;
    }
    ns = run_gets(arena);
    return company_end(&writer) == 0 ? ns : -1;
}

/* ---- the parts ------------------------------------------------------------------------------ */

static int part_reads(struct setup *setup)
{
    static struct arena direct, mail, busy;
    struct duel_way ways[] = {
        {"direct, owner idle", run_gets, &direct, {0}, 0},
        {"message, owner idle", run_gets, &mail, {0}, 0},
        {"direct, owner busy", run_gets_beside_writer, &direct, {0}, 0},
        {"message, owner busy", run_gets_beside_writer, &busy, {0}, 0}};
    struct duel_way *idle_ways[] = {&ways[0], &ways[1]},
                    *busy_ways[] = {&ways[2], &ways[3]};
    int rc;

    printf("\nreads: one get of %u bytes at a time, zipf 0.99, %llu records, one shard\n",
           VALUE_BYTES, (unsigned long long)setup->records);
    rc = arena_open(setup, &direct, 1, 1, WARP_WRITE_LEASE, setup->records);
    /* Its shard's thread looks out for messages: the best that can be done for them. */
    if (rc == 0) {
        rc = arena_open(setup, &mail, 1, 2, WARP_WRITE_MAILBOX, setup->records);
    }
    /* Here whoever writes is the owner, and looks for messages after each write. */
    if (rc == 0) {
        rc = arena_open(setup, &busy, 1, 2, WARP_WRITE_LEASE, setup->records);
    }
    if (rc == 0) {
        rc = arena_popular(&direct) | arena_popular(&mail) | arena_popular(&busy);
    }
    direct.operations = setup->operations;
    mail.operations = busy.operations = setup->operations / 4;
    if (rc == 0) {
        stand_on(1);
        rc = duel_run(idle_ways, 2, setup->rounds);
        stand_on(-1);
    }
    if (rc == 0) {
        rc = duel_run(busy_ways, 2, setup->rounds);
    }
    for (uint32_t i = 0; rc == 0 && i < 4; i++) {
        printf("  %-24s %8.0f ns\n", ways[i].name, ways[i].median);
    }
    if (rc == 0) {
        duel_at_least(&setup->score, "direct against message, owner idle",
                      ways[1].median / ways[0].median, 4);
        duel_at_least(&setup->score, "direct against message, owner busy",
                      ways[3].median / ways[2].median, 8);
    }
    rc |= arena_close(&direct);
    rc |= arena_close(&mail);
    rc |= arena_close(&busy);
    return rc;
}

struct scene {
    struct arena *arena;
    struct arena *other; /* the reader's; NULL: there is none */
};

/* Millions of writes a second. */
static double run_writer(void *context)
{
    struct scene *scene = context;
    struct company writer, reader;
    int rc = 0;

    if (scene->other != NULL) {
        rc = company_begin(&reader, scene->other, 1, company_read);
    }
    if (rc == 0) {
        rc = company_begin(&writer, scene->arena, 1, company_write);
        if (rc == 0) {
            (void)usleep(scene->arena->setup->run_ms * 1000);
            rc = company_end(&writer);
        }
        if (scene->other != NULL) {
            rc |= company_end(&reader);
        }
    }
    return rc != 0 ? -1 : (double)writer.done / (double)writer.spent_ns * 1e3;
}

static int part_writer(struct setup *setup)
{
    static struct arena arena, other;
    struct scene alone = {&arena, NULL}, beside = {&arena, &arena},
                 apart = {&arena, &other};
    struct duel_way ways[] = {{"writer alone", run_writer, &alone, {0}, 0},
                              {"beside a reader", run_writer, &beside, {0}, 0},
                              {"beside another's reader", run_writer, &apart, {0}, 0}};
    struct duel_way *all[] = {&ways[0], &ways[1], &ways[2]};
    int rc;

    printf("\nwriter: puts of %u bytes by one thread, %llu records, one shard\n",
           VALUE_BYTES, (unsigned long long)setup->records);
    rc = arena_open(setup, &arena, 1, 1, WARP_WRITE_LEASE, setup->records);
    if (rc == 0) {
        rc = arena_open(setup, &other, 1, 1, WARP_WRITE_LEASE, setup->records);
    }
    if (rc == 0) {
        rc = duel_run(all, 3, setup->rounds);
    }
    for (uint32_t i = 0; rc == 0 && i < 3; i++) {
        printf("  %-24s %8.3f M/s\n", ways[i].name, ways[i].median);
    }
    if (rc == 0) {
        duel_at_least(&setup->score, "writer beside a reader, of alone",
                      ways[1].median / ways[0].median, 0.85);
        printf("     beside a reader of another database it does %.3g of alone: what the "
               "processors share\n",
               ways[2].median / ways[0].median);
    }
    rc |= arena_close(&arena);
    rc |= arena_close(&other);
    return rc;
}

/* ---- LMDB beside ----------------------------------------------------------------------------- */

struct rival {
    const struct bench_engine *engine;
    struct setup *setup;
    void *db, *thread;
    uint64_t records, operations;
    struct bench_random random;
    char path[PATH_BYTES];
};

static int rival_open(struct setup *setup, struct rival *rival, uint64_t records)
{
    struct bench_setup how;
    struct bench_slice *slices;
    uint8_t *keys, *values;
    char message[256] = "";
    int rc = 0;

    memset(rival, 0, sizeof(*rival));
    rival->engine = bench_engine_find("lmdb");
    if (rival->engine == NULL) {
        printf("  (LMDB is not in this build)\n");
        return 0;
    }
    rival->setup = setup;
    rival->records = records;
    bench_random_init(&rival->random, 1, 1000);
    snprintf(rival->path, sizeof(rival->path), "%s/wormholes-%ld-lmdb", setup->path,
             (long)getpid());
    if (mkdir(rival->path, 0777) != 0) {
        fprintf(stderr, "warp bench wormholes: %s: %s\n", rival->path, strerror(errno));
        return -1;
    }
    memset(&how, 0, sizeof(how));
    how.path = rival->path;
    how.durability = BENCH_MEMORY;
    how.threads = 1;
    how.depth = how.group = LOAD_BATCH;
    how.key_bytes = KEY_BYTES;
    how.value_bytes = VALUE_BYTES;
    how.records = records;
    if (rival->engine->open(&how, &rival->db, message, sizeof(message)) != 0) {
        fprintf(stderr, "warp bench wormholes: %s\n", message);
        return -1;
    }
    keys = malloc(LOAD_BATCH * (size_t)KEY_BYTES);
    values = malloc(LOAD_BATCH * (size_t)VALUE_BYTES);
    slices = malloc(2 * LOAD_BATCH * sizeof(*slices));
    if (keys == NULL || values == NULL || slices == NULL ||
        rival->engine->thread_create(rival->db, &rival->thread) != 0) {
        rc = -1;
    }
    for (uint64_t id = 0; rc == 0 && id < records; id += LOAD_BATCH) {
        uint32_t n = 0;

        for (; n < LOAD_BATCH && id + n < records; n++) {
            uint8_t *key = keys + n * (size_t)KEY_BYTES;
            uint8_t *value = values + n * (size_t)VALUE_BYTES;

            bench_key_encode(BENCH_KEY_DECIMAL, id + n, key, KEY_BYTES);
            bench_value_fill(&setup->values, value, id + n, 0);
            slices[n] = (struct bench_slice){key, KEY_BYTES};
            slices[LOAD_BATCH + n] = (struct bench_slice){value, VALUE_BYTES};
        }
        rc = rival->engine->batch(rival->thread, slices, slices + LOAD_BATCH, n);
    }
    free(keys);
    free(values);
    free(slices);
    if (rc != 0) {
        fprintf(stderr, "warp bench wormholes: LMDB cannot be loaded\n");
    }
    return rc == 0 ? 0 : -1;
}

static double run_rival(void *context)
{
    struct rival *rival = context;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    uint8_t key[KEY_BYTES];
    uint64_t i, wrong = 0;

    for (i = 0; i < rival->operations; i++) {
        uint64_t id = bench_random_below(&rival->random, rival->records);
        struct bench_slice slice = {key, KEY_BYTES};
        struct bench_value value;
        uint32_t version;
        int rc;

        bench_key_encode(BENCH_KEY_DECIMAL, id, key, KEY_BYTES);
        rc = rival->engine->get(rival->thread, slice, &value);
        wrong += rc != BENCH_DONE || !bench_value_check(&rival->setup->values, value.data,
                                                        value.bytes, id, &version);
        if (rc == BENCH_DONE) {
            rival->engine->release(rival->thread, &value);
        }
    }
    return wrong > 0 ? -1 : since_ns(begin_ns) / (double)rival->operations;
}

static int rival_close(struct rival *rival)
{
    if (rival->thread != NULL) {
        rival->engine->thread_destroy(&rival->thread);
    }
    if (rival->db != NULL) {
        rival->engine->close(&rival->db);
    }
    if (rival->path[0] != '\0') {
        (void)nftw(rival->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    return 0;
}

static int part_multiget(struct setup *setup)
{
    static struct arena arena;
    static struct rival rival;
    struct duel_way ways[] = {{"a loop of gets", run_gets, &arena, {0}, 0},
                              {"64 keys at once", run_multi_gets, &arena, {0}, 0},
                              {"LMDB, a loop of gets", run_rival, &rival, {0}, 0}};
    struct duel_way *all[] = {&ways[0], &ways[1], &ways[2]};
    uint32_t count = 2;
    int rc;

    printf("\nmultiget: %llu records of %u bytes, one thread, per key\n",
           (unsigned long long)setup->large_records, VALUE_BYTES);
    rc = arena_open(setup, &arena, 2, 1, WARP_WRITE_ADAPTIVE, setup->large_records);
    if (rc == 0) {
        rc = rival_open(setup, &rival, setup->large_records);
    }
    arena.operations = 10 * setup->operations;
    rival.operations = 5 * setup->operations;
    if (rc == 0) {
        count = rival.db != NULL ? 3 : 2;
        rc = duel_run(all, count, setup->rounds);
    }
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        printf("  %-24s %8.0f ns\n", ways[i].name, ways[i].median);
    }
    if (rc == 0) {
        duel_at_least(&setup->score, "64 keys at once against a loop of gets",
                      ways[0].median / ways[1].median, 3);
    }
    if (rc == 0 && count == 3) {
        duel_at_least(&setup->score, "64 keys at once against LMDB's gets",
                      ways[2].median / ways[1].median, 4);
    }
    rc |= arena_close(&arena);
    rc |= rival_close(&rival);
    return rc;
}

/* ns per put. */
static double run_puts(void *context)
{
    struct arena *arena = context;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
    struct warp_slice slice = {value, VALUE_BYTES};

    for (uint64_t i = 0; i < arena->operations; i++) {
        uint64_t id = bench_random_below(&arena->random, arena->records);
        int rc;

        bench_value_fill(&arena->setup->values, value, id, (uint32_t)i & 0xffff);
        rc = warp_put(arena->db, key_of(key, id), slice, NULL, NULL);
        if (rc != 0) {
            return wormholes_fail("writing", rc);
        }
    }
    return since_ns(begin_ns) / (double)arena->operations;
}

/* The same, 64 in flight. ns per put. */
static double run_session(void *context)
{
    struct arena *arena = context;
    struct warp_session *session = NULL;
    uint8_t keys[GROUP][KEY_BYTES], values[GROUP][VALUE_BYTES];
    struct warp_request requests[GROUP];
    struct warp_completion done[GROUP];
    uint32_t spare[GROUP], spare_count = GROUP;
    uint64_t sent = 0, came = 0, begin_ns;
    int rc = warp_session_create(arena->db, GROUP, &session);

    if (rc != 0) {
        return wormholes_fail("making a session", rc);
    }
    for (uint32_t i = 0; i < GROUP; i++) {
        spare[i] = i;
    }
    begin_ns = bench_clock_monotonic_ns();
    while (rc >= 0 && came < arena->operations) {
        uint32_t n = 0;

        while (n < spare_count && sent + n < arena->operations) {
            struct warp_request request = WARP_REQUEST_INIT;
            uint32_t place = spare[spare_count - 1 - n];
            uint64_t id = bench_random_below(&arena->random, arena->records);

            bench_value_fill(&arena->setup->values, values[place], id,
                             (uint32_t)sent & 0xffff);
            request.opcode = WARP_OP_PUT;
            request.cookie = place;
            request.key = key_of(keys[place], id);
            request.value = (struct warp_slice){values[place], VALUE_BYTES};
            requests[n++] = request;
        }
        /* What is not taken is drawn anew the next time. */
        rc = n == 0 ? 0 : warp_submit(session, requests, n);
        if (rc >= 0) {
            spare_count -= (uint32_t)rc;
            sent += (uint32_t)rc;
            rc = warp_poll(session, done, GROUP, UINT64_MAX);
        }
        for (int i = 0; i < rc; i++) {
            came++;
            spare[spare_count++] = (uint32_t)done[i].cookie;
            if (done[i].result != 0) {
                (void)wormholes_fail("writing", done[i].result);
                rc = -1;
            }
        }
    }
    warp_session_destroy(&session);
    return rc < 0 ? -1 : since_ns(begin_ns) / (double)came;
}

/* A delete of a key that is not there does nothing but go to its shard and come back. ns per one. */
static double run_trips(void *context)
{
    struct arena *arena = context;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    uint8_t key[KEY_BYTES];

    for (uint64_t i = 0; i < arena->operations; i++) {
        uint64_t id =
            arena->records + bench_random_below(&arena->random, 64); /* in the cache */
        int rc = warp_delete(arena->db, key_of(key, id), NULL, NULL);

        if (rc != WARP_ABSENT) {
            return wormholes_fail("deleting", rc);
        }
    }
    return since_ns(begin_ns) / (double)arena->operations;
}

static int part_put(struct setup *setup)
{
    static struct arena lease, mail;
    struct duel_way ways[] = {{"put, lease", run_puts, &lease, {0}, 0},
                              {"put, mailbox", run_puts, &mail, {0}, 0},
                              {"64 puts in flight, lease", run_session, &lease, {0}, 0},
                              {"64 puts in flight, mailbox", run_session, &mail, {0}, 0},
                              {"to the shard and back, lease", run_trips, &lease, {0}, 0},
                              {"to the shard and back, mailbox", run_trips, &mail, {0}, 0}};
    struct duel_way *puts[] = {&ways[0], &ways[1]}, *many[] = {&ways[2], &ways[3]},
                    *trips[] = {&ways[4], &ways[5]};
    int rc;

    printf("\nput: one writer, nobody else, %llu records, one shard\n",
           (unsigned long long)setup->records);
    rc = arena_open(setup, &lease, 1, 1, WARP_WRITE_ADAPTIVE, setup->records);
    if (rc == 0) {
        rc = arena_open(setup, &mail, 1, 1, WARP_WRITE_MAILBOX, setup->records);
    }
    lease.operations = setup->operations;
    mail.operations = setup->operations / 4;
    stand_on(1);
    if (rc == 0) {
        rc = duel_run(puts, 2, setup->rounds);
    }
    if (rc == 0) {
        rc = duel_run(many, 2, setup->rounds);
    }
    if (rc == 0) {
        rc = duel_run(trips, 2, setup->rounds);
    }
    stand_on(-1);
    for (uint32_t i = 0; rc == 0 && i < 6; i++) {
        printf("  %-31s %8.0f ns\n", ways[i].name, ways[i].median);
    }
    if (rc == 0) {
        duel_at_least(&setup->score, "there and back, lease against mailbox",
                      ways[5].median / ways[4].median, 5);
        printf(
            "     a whole put by lease is %.3g times as fast as one by mailbox\n"
            "     with 64 in flight, handed over in chains, the mailbox is %.3g times as "
            "fast as one by one\n",
            ways[1].median / ways[0].median, ways[1].median / ways[3].median);
    }
    rc |= arena_close(&lease);
    rc |= arena_close(&mail);
    return rc;
}

/* ---- writers that meet ------------------------------------------------------------------------ */

struct crowd {
    struct arena *arena;
    uint32_t threads;
};

/* Millions of writes a second, of all together. */
static double run_crowd(void *context)
{
    struct crowd *crowd = context;
    struct company writers[THREADS_MAX];
    double rate = 0;
    uint32_t begun = 0;
    int rc = 0;

    while (rc == 0 && begun < crowd->threads) {
        rc = company_begin(&writers[begun], crowd->arena, begun, company_write);
        begun += rc == 0;
    }
    (void)usleep(crowd->arena->setup->run_ms * 1000);
    for (uint32_t i = 0; i < begun; i++) {
        atomic_store(&writers[i].stop, true);
    }
    for (uint32_t i = 0; i < begun; i++) {
        rc |= company_end(&writers[i]);
        rate += (double)writers[i].done / (double)writers[i].spent_ns * 1e3;
    }
    return rc == 0 ? rate : -1;
}

/* The value of a metric without labels; -1: it cannot be had. */
static double arena_metric(const struct arena *arena, const char *name)
{
    size_t capacity = 1u << 20, bytes = 0, length = strlen(name);
    char *text = malloc(capacity), *at = text;
    double value = -1;

    if (text == NULL || warp_metrics_render(arena->db, text, capacity, &bytes) != 0) {
        at = NULL;
    }
    while (at != NULL && value < 0) {
        if (strncmp(at, name, length) == 0 && at[length] == ' ') {
            value = strtod(at + length, NULL);
        }
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    free(text);
    return value;
}

static int part_threads(struct setup *setup)
{
    static const char *const names[] = {"lease", "mailbox", "adaptive"};
    static const uint32_t paths[] = {WARP_WRITE_LEASE, WARP_WRITE_MAILBOX,
                                     WARP_WRITE_ADAPTIVE};
    static const uint32_t threads[] = {1, 2, 4};
    static struct arena arenas[3];
    int rc = 0;

    printf("\nthreads: writers of %u bytes on two shards, %llu records, M/s\n"
           "  writers      lease    mailbox   adaptive\n",
           VALUE_BYTES, (unsigned long long)setup->records / 10);
    for (uint32_t i = 0; rc == 0 && i < 3; i++) {
        rc = arena_open(setup, &arenas[i], 2, 1, paths[i], setup->records / 10);
    }
    for (uint32_t t = 0; rc == 0 && t < 3; t++) {
        double busy = arena_metric(&arenas[2], "warp_lease_busy_total");
        double sent = arena_metric(&arenas[2], "warp_mailbox_sends_total");
        double puts = arena_metric(&arenas[2], "warp_puts_total");
        struct crowd crowds[3];
        struct duel_way ways[3];
        struct duel_way *all[] = {&ways[0], &ways[1], &ways[2]};
        double best;
        char what[64];

        for (uint32_t i = 0; i < 3; i++) {
            crowds[i] = (struct crowd){&arenas[i], threads[t]};
            ways[i] = (struct duel_way){names[i], run_crowd, &crowds[i], {0}, 0};
        }
        rc = duel_run(all, 3, setup->rounds);
        if (rc == 0) {
            puts = arena_metric(&arenas[2], "warp_puts_total") - puts;
            busy = arena_metric(&arenas[2], "warp_lease_busy_total") - busy;
            sent = arena_metric(&arenas[2], "warp_mailbox_sends_total") - sent;
            printf("  %7u %10.3f %10.3f %10.3f   (adaptive: %.2g %% met a busy lease, %.2g "
                   "%% were sent)\n",
                   threads[t], ways[0].median, ways[1].median, ways[2].median,
                   busy / puts * 100, sent / puts * 100);
            best = ways[0].median > ways[1].median ? ways[0].median : ways[1].median;
            snprintf(what, sizeof(what), "adaptive of the better one, %u writers",
                     threads[t]);
            duel_at_least(&setup->score, what, ways[2].median / best, 0.9);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        rc |= arena_close(&arenas[i]);
    }
    return rc;
}

/* ---- the command -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*run)(struct setup *setup);
} parts[] = {
    {"reads", part_reads}, {"writer", part_writer},   {"multiget", part_multiget},
    {"put", part_put},     {"threads", part_threads},
};

enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]) };

static void usage(FILE *file)
{
    fprintf(
        file,
        "usage: warp bench wormholes [options]\n"
        "\n"
        "Measures what the ways past the owner of a shard are worth: reads that look "
        "past it,\n"
        "many keys at once, leases and mailboxes; in turns, with medians, against the "
        "same\n"
        "with the way switched off. Every value that is read is checked.\n"
        "\n"
        "  --part NAME[,...]       reads, writer, multiget, put, threads (all)\n"
        "  --records N             records (1000000; threads takes a tenth)\n"
        "  --large-records N       records of multiget (10000000)\n"
        "  --operations N          of a turn; a quarter where each is a message, ten times "
        "as\n"
        "                          many in multiget (200000)\n"
        "  --rounds N              turns of each way, medians of them (5)\n"
        "  --run-ms N              of writers that run for a time (400)\n"
        "  --path DIR              where databases are made (/tmp); they are removed\n"
        "  --help                  this text\n"
        "\n"
        "Exit status: 0 done, whatever came out; 1 a value was wrong; 2 wrong usage; 3 "
        "error.\n");
}

static bool is_wanted(const struct setup *setup, const char *name)
{
    const char *at = setup->parts;
    size_t bytes = strlen(name);

    while (at != NULL && *at != '\0') {
        size_t part = strcspn(at, ",");

        if (part == bytes && memcmp(at, name, bytes) == 0) {
            return true;
        }
        at += part + (at[part] == ',');
    }
    return setup->parts == NULL;
}

static bool parts_are_known(const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t bytes = strcspn(list, ",");
        uint32_t i = 0;

        while (i < PART_COUNT && (strlen(parts[i].name) != bytes ||
                                  memcmp(parts[i].name, list, bytes) != 0)) {
            i++;
        }
        if (i == PART_COUNT) {
            return false;
        }
        list += bytes + (list[bytes] == ',');
    }
    return true;
}

static int wormholes_usage(const char *what, const char *value)
{
    fprintf(stderr, "warp bench wormholes: %s '%s'\nTry 'warp bench wormholes --help'.\n",
            what, value);
    return EXIT_USAGE;
}

int bench_wormholes_main(int argc, char **argv)
{
    enum {
        FLAG_PART = 1,
        FLAG_RECORDS,
        FLAG_LARGE,
        FLAG_OPERATIONS,
        FLAG_ROUNDS,
        FLAG_RUN,
        FLAG_PATH,
        FLAG_HELP
    };
    static const struct option flags[] = {
        {"part", required_argument, NULL, FLAG_PART},
        {"records", required_argument, NULL, FLAG_RECORDS},
        {"large-records", required_argument, NULL, FLAG_LARGE},
        {"operations", required_argument, NULL, FLAG_OPERATIONS},
        {"rounds", required_argument, NULL, FLAG_ROUNDS},
        {"run-ms", required_argument, NULL, FLAG_RUN},
        {"path", required_argument, NULL, FLAG_PATH},
        {"help", no_argument, NULL, FLAG_HELP},
        {NULL, 0, NULL, 0},
    };
    struct setup setup = {.path = "/tmp",
                          .records = 1000000,
                          .large_records = 10000000,
                          .operations = 200000,
                          .rounds = 5,
                          .run_ms = 400};
    int flag, rc = 0;

    opterr = 0;
    optind = 0;
    while ((flag = getopt_long(argc, argv, ":h", flags, NULL)) != -1) {
        char *end = NULL;
        uint64_t number = 0;

        if (flag == FLAG_HELP || flag == 'h') {
            usage(stdout);
            return EXIT_DONE;
        }
        if (flag == '?' || flag == ':') {
            return wormholes_usage("what is", argv[optind - 1]);
        }
        if (flag == FLAG_PART) {
            setup.parts = optarg;
            if (!parts_are_known(optarg)) {
                return wormholes_usage("there is no such part:", optarg);
            }
            continue;
        }
        if (flag == FLAG_PATH) {
            setup.path = optarg;
            continue;
        }
        errno = 0;
        number = strtoull(optarg, &end, 10);
        if (errno != 0 || end == optarg || *end != '\0' || number == 0 ||
            number > UINT64_C(1000000000)) {
            return wormholes_usage("not a number that makes sense:", optarg);
        }
        if (flag == FLAG_RECORDS) {
            setup.records = number < 1000 ? 1000 : number;
        } else if (flag == FLAG_LARGE) {
            setup.large_records = number;
        } else if (flag == FLAG_OPERATIONS) {
            setup.operations = number < 100 ? 100 : number;
        } else if (flag == FLAG_ROUNDS) {
            setup.rounds = number < DUEL_ROUNDS_MAX ? (uint32_t)number : DUEL_ROUNDS_MAX;
        } else {
            setup.run_ms = number < 100000 ? (uint32_t)number : 100000;
        }
    }
    if (optind < argc) {
        return wormholes_usage("one argument too many:", argv[optind]);
    }
    if (bench_values_init(&setup.values, VALUE_BYTES, 0, false) != 0) {
        fprintf(stderr, "warp bench wormholes: no memory\n");
        return EXIT_ERROR;
    }
    printf("warp %s, %ld processors; %u rounds in turns after one that is not counted, "
           "medians\n",
           warp_version(), sysconf(_SC_NPROCESSORS_ONLN), setup.rounds);
    for (uint32_t i = 0; rc == 0 && i < PART_COUNT; i++) {
        if (is_wanted(&setup, parts[i].name)) {
            rc = parts[i].run(&setup);
        }
    }
    bench_values_fini(&setup.values);
    if (rc != 0) {
        return setup.wrong ? EXIT_WRONG : EXIT_ERROR;
    }
    printf("\n%u of %u aims reached\n", setup.score.reached, setup.score.aims);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_ERROR;
}
