#include "bench/driver.h"

/*
 * The happy path: open, load every record in groups, settle, warm the caches by reading,
 * then per run: threads are made, meet at a barrier, loop until their time or share is
 * over, and are joined. Each loop chooses a record, makes its key, calls the engine, checks
 * the bytes that come back, and notes the time, one clock read per operation.
 *
 * What can go wrong: the engine returns an error (the thread stops, the run fails with the
 * engine's words), or it returns wrong data (counted, the first one described, the run goes
 * on and the program exits with 1). Every record that a get chooses is known to be there,
 * so an absent one is such a fault; a benchmark of misses cannot happen.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/environment.h"
#include "bench/probe.h"
#include "bench/worker.h"

#define DRIVER_LOAD_BYTES       ((size_t)256 << 10)
#define DRIVER_LOAD_GROUP_MAX   1024u
#define DRIVER_LOAD_THREADS_MAX 2u
#define DRIVER_SAMPLE           10000u
/* Slots of one shard that are hot in a workload that shifts. */
#define DRIVER_HOT_SLOTS 64u

const char *bench_kind_name(enum bench_kind kind)
{
    switch (kind) {
    case BENCH_GET:
        return "get";
    case BENCH_PUT:
        return "put";
    case BENCH_MODIFY:
        return "read-modify-write";
    case BENCH_DELETE:
        return "delete";
    case BENCH_MULTI_GET:
        return "multi-get";
    case BENCH_KIND_COUNT:
        break;
    }
    return "?";
}
/* ---- the process --------------------------------------------------------------------- */

static void process_cpu(uint64_t *user_ns, uint64_t *system_ns)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    *user_ns = (uint64_t)usage.ru_utime.tv_sec * 1000000000u +
               (uint64_t)usage.ru_utime.tv_usec * 1000u;
    *system_ns = (uint64_t)usage.ru_stime.tv_sec * 1000000000u +
                 (uint64_t)usage.ru_stime.tv_usec * 1000u;
}

static int subject_explain(struct bench_subject *subject, struct bench_result *result,
                           const char *what, int rc)
{
    char text[192] = "";

    subject->engine->explain(subject->db, rc, text, sizeof(text));
    result->failed = 1;
    snprintf(result->message, sizeof(result->message), "%s: %s: %s", subject->engine->name,
             what, text);
    return -1;
}

static int subject_complain(const char *name, struct bench_result *result, const char *what)
{
    result->failed = 1;
    snprintf(result->message, sizeof(result->message), "%s: %s", name, what);
    return -1;
}

static int subject_settle(struct bench_subject *subject, struct bench_result *result)
{
    uint64_t user_before;
    uint64_t system_before;
    uint64_t user_after;
    uint64_t system_after;
    uint64_t begin_ns = bench_clock_monotonic_ns();
    int rc;

    process_cpu(&user_before, &system_before);
    rc = subject->engine->settle(subject->db);
    process_cpu(&user_after, &system_after);
    result->settle_ns = bench_clock_monotonic_ns() - begin_ns;
    result->settle_cpu_ns = user_after + system_after - user_before - system_before;
    return rc != 0 ? subject_explain(subject, result, "settling", rc) : 0;
}

/* Of a record, in the mean. */
static size_t subject_value_bytes(const struct bench_subject *subject)
{
    return subject->value_bytes_all / subject->config->records;
}

static void subject_measure(struct bench_subject *subject, struct bench_result *result)
{
    result->peak_rss_bytes = bench_environment_peak_rss();
    result->disk_bytes = bench_environment_disk_bytes(subject->path);
    result->live_bytes =
        subject->live_records * (subject->config->key_bytes + subject_value_bytes(subject));
}

static bool cell_writes(const struct bench_cell *cell)
{
    const struct bench_workload *workload = cell->workload;

    return workload->extra_writer || workload->work == BENCH_WORK_FILL_SEQUENTIAL ||
           workload->work == BENCH_WORK_FILL_RANDOM ||
           workload->work == BENCH_WORK_DELETE_RANDOM ||
           (workload->work == BENCH_WORK_MIX && workload->get_percent != 100);
}

/* As many as the engine makes of itself. */
static uint32_t subject_shards(const struct bench_config *config)
{
    uint32_t shards = config->shards != 0 ? config->shards : bench_environment_cpus();

    return shards < WARP_SHARD_COUNT_MAX ? shards : WARP_SHARD_COUNT_MAX;
}

static void subject_free(struct bench_subject *subject)
{
    bench_values_fini(&subject->values);
    if (subject->hot != NULL) {
        manycore_hotset_destroy(&subject->hot);
    }
    free((void *)subject->inserts.ring);
    free(subject->expected);
    free(subject);
}

/* The group's memory limit is this process's from now on; version 1 and 2 have the same file. */
static int subject_enter(const char *name, const char *cgroup, struct bench_result *result)
{
    char path[560];
    FILE *file;

    snprintf(path, sizeof(path), "%.500s/cgroup.procs", cgroup);
    file = fopen(path, "we");
    if (file == NULL || fprintf(file, "0\n") < 0 || fflush(file) != 0) {
        snprintf(result->message, sizeof(result->message), "%s: %.300s: %s", name, path,
                 strerror(errno));
        result->failed = 1;
        if (file != NULL) {
            fclose(file);
        }
        return -1;
    }
    fclose(file);
    return 0;
}

static int subject_values(struct bench_subject *subject, const struct bench_config *config)
{
    return config->value_bytes_most != 0
               ? bench_values_init_range(&subject->values, config->value_bytes,
                                         config->value_bytes_most, config->ratio_permille)
               : bench_values_init(&subject->values, config->value_bytes,
                                   config->ratio_permille, config->mixed_sizes);
}

int bench_subject_open(const struct bench_engine *engine, const struct bench_config *config,
                       const struct bench_cell *cells, uint32_t cell_count,
                       const char *path, struct bench_subject **out,
                       struct bench_result *result)
{
    struct bench_subject *subject = calloc(1, sizeof(*subject));
    struct bench_setup setup = {0};
    bool one_writer = true;
    bool shifts = false;
    bool sized;

    if (config->cgroup != NULL &&
        subject_enter(engine->name, config->cgroup, result) != 0) {
        free(subject);
        return -1;
    }
    bench_environment_reset_peak_rss();
    result->base_rss_bytes = bench_environment_peak_rss();
    if (subject == NULL || subject_values(subject, config) != 0) {
        free(subject);
        return subject_complain(engine->name, result, "no memory for the driver");
    }
    subject->engine = engine;
    subject->config = config;
    subject->key_form = cells[0].key_form;
    snprintf(subject->path, sizeof(subject->path), "%s", path);
    bench_zipf_init(&subject->zipf, config->records, config->theta);
    subject->group_max = DRIVER_LOAD_GROUP_MAX;
    setup.path = subject->path;
    setup.address = config->address;
    setup.durability = config->durability;
    setup.memory_bytes = config->memory_bytes;
    setup.shards = config->shards;
    setup.cache_policy = config->cache_policy;
    setup.key_bytes = config->key_bytes;
    setup.value_bytes = bench_value_bytes_max(&subject->values);
    setup.records = config->records;
    setup.existing = config->existing;
    setup.rocksdb = config->rocksdb;
    setup.background_permille = config->background_permille;
    setup.gravity = config->gravity;
    setup.compaction = config->compaction;
    setup.threads = DRIVER_LOAD_THREADS_MAX;
    setup.depth = 1;
    for (uint32_t i = 0; i < cell_count; i++) {
        uint32_t threads = cells[i].threads + (cells[i].workload->extra_writer ? 1u : 0u);

        setup.threads = threads > setup.threads ? threads : setup.threads;
        setup.depth = cells[i].depth > setup.depth ? cells[i].depth : setup.depth;
        subject->group_max =
            cells[i].batch > subject->group_max ? cells[i].batch : subject->group_max;
        subject->loads =
            subject->loads || (cells[i].workload->work != BENCH_WORK_FILL_SEQUENTIAL &&
                               cells[i].workload->work != BENCH_WORK_FILL_RANDOM);
        shifts = shifts || cells[i].workload->shifts;
        /* With two writers nobody can say which write on a key came last. */
        one_writer = one_writer && threads == 1 && !config->existing;
    }
    sized = config->mixed_sizes || config->value_bytes_most != 0;
    for (uint64_t id = 0; sized && id < config->records; id++) {
        subject->value_bytes_all += bench_value_bytes(&subject->values, id);
    }
    if (!sized) {
        subject->value_bytes_all = config->records * config->value_bytes;
    }
    if (shifts && manycore_hotset_create(&subject->hot, subject->key_form,
                                         config->key_bytes, config->records,
                                         subject_shards(config), DRIVER_HOT_SLOTS) != 0) {
        subject_free(subject);
        return subject_complain(engine->name, result,
                                "a hot spot needs memory, and records on every shard");
    }
    setup.group = subject->group_max;
    subject->inserts.ring = calloc(BENCH_ACK_RING, sizeof(*subject->inserts.ring));
    if (one_writer && config->verify_full && config->value_bytes >= 8) {
        subject->expected = calloc(config->records, sizeof(*subject->expected));
    }
    if (subject->inserts.ring == NULL ||
        (one_writer && config->verify_full && config->value_bytes >= 8 &&
         subject->expected == NULL)) {
        subject_free(subject);
        return subject_complain(engine->name, result, "no memory for the driver");
    }
    result->failed = 0;
    if (engine->open(&setup, &subject->db, result->message, sizeof(result->message)) != 0) {
        result->failed = 1;
        subject_free(subject);
        return -1;
    }
    engine->version(subject->db, result->version, sizeof(result->version));
    engine->describe(subject->db, result->settings, sizeof(result->settings));
    *out = subject;
    return 0;
}

double bench_config_step_rate(const struct bench_config *config, uint32_t index)
{
    if (config->rate_steps < 2) {
        return config->rate;
    }
    return config->rate +
           (config->rate_to - config->rate) * index / (double)(config->rate_steps - 1);
}

static int subject_steps(struct bench_subject *subject, struct bench_worker *const *workers,
                         uint32_t count, struct bench_result *result)
{
    const struct bench_config *config = subject->config;
    struct bench_histogram *sum;

    if (config->rate_steps == 0 || workers[0]->steps == NULL) {
        return 0;
    }
    sum = malloc(sizeof(*sum));
    if (sum == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    result->step_count = config->rate_steps;
    for (uint32_t i = 0; i < config->rate_steps; i++) {
        memset(sum, 0, sizeof(*sum));
        for (uint32_t w = 0; w < count; w++) {
            if (!workers[w]->writes_only) {
                bench_histogram_merge(sum, &workers[w]->steps[i]);
            }
        }
        result->steps[i].rate = bench_config_step_rate(config, i);
        result->steps[i].operations = sum->count * workers[0]->cell->batch;
        result->steps[i].p50_ns = bench_histogram_percentile(sum, 50.0);
        result->steps[i].p99_ns = bench_histogram_percentile(sum, 99.0);
        result->steps[i].p999_ns = bench_histogram_percentile(sum, 99.9);
        result->steps[i].max_ns = sum->max_ns;
    }
    free(sum);
    return 0;
}

/* Start, release together, join and add up. */
static int subject_workers(struct bench_subject *subject, struct bench_worker **workers,
                           uint32_t count, struct bench_result *result)
{
    pthread_t *threads = calloc(count, sizeof(*threads));
    pthread_barrier_t barrier;
    uint64_t user_before = 0;
    uint64_t system_before = 0;
    uint64_t user_after;
    uint64_t system_after;
    uint64_t begin_ticks = UINT64_MAX;
    uint64_t end_ticks = 0;
    uint64_t faults_before = bench_result_faults(result);
    int rc = 0;

    if (threads == NULL || pthread_barrier_init(&barrier, NULL, count + 1) != 0) {
        rc = subject_complain(subject->engine->name, result, "no memory for the driver");
        goto done;
    }
    for (uint32_t i = 0; i < count; i++) {
        workers[i]->barrier = &barrier;
        if (pthread_create(&threads[i], NULL, bench_worker_main, workers[i]) != 0) {
            /* Those that were made wait at the barrier for ever: the process must end. */
            fprintf(stderr, "warp bench: cannot make %u threads: %s\n", count,
                    strerror(errno));
            _exit(3);
        }
    }
    pthread_barrier_wait(&barrier);
    process_cpu(&user_before, &system_before);
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    process_cpu(&user_after, &system_after);
    pthread_barrier_destroy(&barrier);
    for (uint32_t i = 0; i < count; i++) {
        struct bench_worker *worker = workers[i];

        if (worker->rc != 0 && rc == 0) {
            rc = subject_explain(subject, result, worker->what, worker->rc);
        }
        begin_ticks = worker->begin_ticks < begin_ticks ? worker->begin_ticks : begin_ticks;
        end_ticks = worker->end_ticks > end_ticks ? worker->end_ticks : end_ticks;
        if (!worker->writes_only) { /* its puts are counted in their histogram */
            result->operations += worker->operations;
        }
        result->unissued += worker->unissued;
        result->again += worker->again;
        result->checked += worker->checked;
        if (faults_before == 0 && worker->fault[0] != '\0' && result->fault[0] == '\0') {
            snprintf(result->fault, sizeof(result->fault), "%s", worker->fault);
        }
        result->mismatched += worker->mismatched;
        result->missing += worker->missing;
        result->stale += worker->stale;
        for (uint32_t kind = 0; kind < BENCH_KIND_COUNT; kind++) {
            bench_histogram_merge(&result->latency[kind], &worker->latency[kind]);
        }
        bench_histogram_merge(&result->service, &worker->service);
        bench_slow_merge(&result->slow, &worker->slow);
    }
    result->cpu_user_ns = user_after - user_before;
    result->cpu_system_ns = system_after - system_before;
    result->duration_ns = bench_clock_ns(&subject->config->clock, end_ticks - begin_ticks);
    if (rc == 0) {
        rc = subject_steps(subject, workers, count, result);
    }

done:
    free(threads);
    return rc;
}

/* Change record 0 behind the checks' back. */
static int subject_corrupt(struct bench_subject *subject, struct bench_result *result)
{
    const struct bench_cell cell = {.batch = 1, .key_form = subject->key_form};
    size_t bytes = bench_value_bytes(&subject->values, 0);
    struct bench_worker *worker = bench_worker_create(subject, &cell, 1);
    struct bench_slice key;
    struct bench_slice value;
    uint8_t *data;
    int rc;

    if (worker == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    rc = subject->engine->thread_create(subject->db, &worker->thread);
    if (rc != 0) {
        bench_worker_destroy(worker);
        return subject_explain(subject, result, "making a thread handle", rc);
    }
    key = bench_worker_key(worker, 0, 0);
    value = bench_worker_value(worker, 0, 0, 0);
    data = worker->bytes;
    switch (subject->config->corruption) {
    case BENCH_CORRUPT_NOTHING:
        break;
    case BENCH_CORRUPT_OWNER:
        bench_value_fill(&subject->values, data, 1, 0);
        break;
    case BENCH_CORRUPT_EDGE:
        data[bytes - 1] ^= 1u;
        break;
    case BENCH_CORRUPT_MIDDLE:
        data[bytes / 2] ^= 1u;
        break;
    case BENCH_CORRUPT_LENGTH:
        value.bytes = bytes - 1;
        break;
    case BENCH_CORRUPT_MISSING:
        rc = subject->engine->remove(worker->thread, key);
        break;
    case BENCH_CORRUPT_STALE:
        bench_value_fill(&subject->values, data, 0, 77);
        break;
    }
    if (subject->config->corruption != BENCH_CORRUPT_MISSING) {
        rc = subject->engine->put(worker->thread, key, value);
    }
    subject->engine->thread_destroy(&worker->thread);
    bench_worker_destroy(worker);
    return rc != 0 ? subject_explain(subject, result, "corrupting one record", rc) : 0;
}

static void subject_loaded(struct bench_subject *subject)
{
    uint64_t records = subject->config->records;

    atomic_store_explicit(&subject->inserts.next, records, memory_order_relaxed);
    atomic_store_explicit(&subject->inserts.acked, records, memory_order_relaxed);
    subject->live_records = records;
}

/* ---- what goes on beside the workers ------------------------------------------------- */

struct beside {
    struct bench_subject *subject;
    struct bench_worker *const *workers;
    uint32_t count;
    bool watching;
    bool noting;
    struct bench_timeline_taker timeline;
    struct bench_watch watch;
    bool keeping; /* the thread that forces housekeeping runs */
    pthread_t keeper;
    _Atomic uint32_t stop; /* relaxed: the thread is joined afterwards */
    uint64_t rounds;       /* the keeper's */
    int keeper_rc;
};

static uint64_t beside_operations(void *context)
{
    const struct beside *beside = context;
    uint64_t operations = 0;

    for (uint32_t i = 0; i < beside->count; i++) {
        operations +=
            atomic_load_explicit(&beside->workers[i]->progress, memory_order_relaxed);
    }
    return operations;
}

/* Without those of a writer that only accompanies. */
static uint64_t beside_shared_operations(void *context)
{
    const struct beside *beside = context;
    uint64_t operations = 0;

    for (uint32_t i = 0; i < beside->count; i++) {
        if (!beside->workers[i]->writes_only) {
            operations +=
                atomic_load_explicit(&beside->workers[i]->progress, memory_order_relaxed);
        }
    }
    return operations;
}

static void *beside_keep(void *argument)
{
    struct beside *beside = argument;

    while (atomic_load_explicit(&beside->stop, memory_order_relaxed) == 0 &&
           beside->keeper_rc == 0) {
        beside->keeper_rc = beside->subject->engine->upkeep(beside->subject->db);
        if (atomic_load_explicit(&beside->stop, memory_order_relaxed) == 0) {
            beside->rounds++;
        }
    }
    return NULL;
}

static int beside_begin(struct beside *beside, const char *workload, uint32_t repeat,
                        bool upkeep, struct bench_result *result)
{
    struct bench_subject *subject = beside->subject;
    const struct bench_config *config = subject->config;

    if (config->watches &&
        bench_watch_start(&beside->watch, subject->engine, subject->db, subject->path,
                          workload, repeat, config->samples, beside_operations,
                          beside) != 0) {
        return subject_complain(subject->engine->name, result,
                                "the samples cannot be taken or written");
    }
    beside->watching = config->watches;
    beside->timeline.operations = beside_shared_operations;
    beside->timeline.context = beside;
    beside->timeline.status = config->status;
    if (bench_timeline_start(&beside->timeline) != 0) {
        return subject_complain(subject->engine->name, result,
                                "no thread to note the rate");
    }
    beside->noting = true;
    if (upkeep && subject->engine->upkeep != NULL) {
        if (pthread_create(&beside->keeper, NULL, beside_keep, beside) != 0) {
            return subject_complain(subject->engine->name, result,
                                    "no thread to force upkeep");
        }
        beside->keeping = true;
    }
    bench_probe_measure(config->probe, true);
    return 0;
}

/* Also after a begin that failed. */
static int beside_end(struct beside *beside, struct bench_result *result)
{
    bench_probe_measure(beside->subject->config->probe, false);
    if (beside->noting) {
        bench_timeline_stop(&beside->timeline);
        result->timeline = beside->timeline.timeline;
    }
    if (beside->watching) {
        bench_watch_stop(&beside->watch);
        result->watch = beside->watch.totals;
    }
    if (beside->keeping) {
        atomic_store_explicit(&beside->stop, 1, memory_order_relaxed);
        pthread_join(beside->keeper, NULL);
        result->upkeep_rounds = beside->rounds;
        if (beside->keeper_rc != 0 && !result->failed) {
            return subject_explain(beside->subject, result, "upkeep", beside->keeper_rc);
        }
    }
    return 0;
}

/* The workers, with what is to go on beside them. */
static int subject_workers_watched(struct bench_subject *subject,
                                   struct bench_worker **workers, uint32_t count,
                                   const char *workload, uint32_t repeat, bool upkeep,
                                   struct bench_result *result)
{
    struct beside *beside = calloc(1, sizeof(*beside));
    int rc;
    int end_rc;

    if (beside == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    beside->subject = subject;
    beside->workers = workers;
    beside->count = count;
    rc = beside_begin(beside, workload, repeat, upkeep, result);
    if (rc == 0) {
        rc = subject_workers(subject, workers, count, result);
    }
    end_rc = beside_end(beside, result);
    free(beside);
    return rc != 0 ? rc : end_rc;
}

/* The load is a fill in groups, by at most two threads. */
int bench_subject_load(struct bench_subject *subject, struct bench_result *result)
{
    static const struct bench_workload fill = {
        .name = "load", .summary = "", .work = BENCH_WORK_FILL_SEQUENTIAL};
    const struct bench_config *config = subject->config;
    size_t record_bytes = config->key_bytes + subject_value_bytes(subject);
    struct bench_cell cell = {.workload = &fill, .depth = 1, .batch = 1};
    struct bench_config loading = *config;
    struct bench_worker *workers[DRIVER_LOAD_THREADS_MAX];
    uint32_t cpus = bench_environment_cpus();
    uint64_t read_bytes = 0;
    uint64_t written_before = 0;
    uint64_t written_after = 0;
    bool accounts;
    int rc;

    if (config->existing) {
        subject_loaded(subject);
        return 0;
    }
    if (!subject->loads) {
        return 0;
    }
    loading.rate = 0.0;
    loading.rate_steps = 0;
    cell.batch = record_bytes >= DRIVER_LOAD_BYTES
                     ? 1
                     : (uint32_t)(DRIVER_LOAD_BYTES / record_bytes);
    cell.batch = cell.batch > DRIVER_LOAD_GROUP_MAX ? DRIVER_LOAD_GROUP_MAX : cell.batch;
    cell.key_form = subject->key_form;
    cell.threads = cpus < DRIVER_LOAD_THREADS_MAX ? cpus : DRIVER_LOAD_THREADS_MAX;
    for (uint32_t i = 0; i < cell.threads; i++) {
        workers[i] = bench_worker_create(subject, &cell, 1);
        if (workers[i] == NULL) {
            while (i > 0) {
                bench_worker_destroy(workers[--i]);
            }
            return subject_complain(subject->engine->name, result,
                                    "no memory for the driver");
        }
        workers[i]->config = &loading;
        workers[i]->index = i;
        workers[i]->count = cell.threads;
        workers[i]->stride = cell.threads;
        workers[i]->operations_max = UINT64_MAX;
    }
    rc = subject->engine->begin(subject->db);
    if (rc != 0) {
        return subject_explain(subject, result, "beginning the load", rc);
    }
    accounts = bench_watch_device(&read_bytes, &written_before);
    rc = subject_workers_watched(subject, workers, cell.threads, fill.name, 0, false,
                                 result);
    for (uint32_t i = 0; i < cell.threads; i++) {
        bench_worker_destroy(workers[i]);
    }
    if (rc != 0) {
        return rc;
    }
    rc = subject->engine->end(subject->db);
    if (rc != 0) {
        return subject_explain(subject, result, "ending the load", rc);
    }
    result->load_records = result->operations;
    result->load_ns = result->duration_ns;
    result->load_cpu_ns = result->cpu_user_ns + result->cpu_system_ns;
    subject_loaded(subject);
    if (config->corruption != BENCH_CORRUPT_NOTHING &&
        subject_corrupt(subject, result) != 0) {
        return -1;
    }
    rc = subject_settle(subject, result);
    if (accounts && bench_watch_device(&read_bytes, &written_after) &&
        written_after > written_before) {
        result->load_written_bytes = written_after - written_before;
    }
    result->load_watch = result->watch;
    result->load_peak_rss_bytes = bench_environment_peak_rss();
    subject_measure(subject, result);
    return rc;
}

/* Read scattered records, in groups, until all were read or the time is over. */
static int subject_warm(struct bench_subject *subject, const struct bench_cell *cell,
                        struct bench_result *result)
{
    const uint64_t records = subject->config->records;
    uint64_t end_ns = bench_clock_monotonic_ns() + subject->config->warmup_ns;
    struct bench_cell warm = {.batch = 64, .key_form = cell->key_form};
    struct bench_worker *worker = bench_worker_create(subject, &warm, 1);
    int rc;

    if (worker == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    rc = subject->engine->thread_create(subject->db, &worker->thread);
    if (rc != 0) {
        bench_worker_destroy(worker);
        return subject_explain(subject, result, "making a thread handle", rc);
    }
    for (uint64_t position = 0; position < records && rc == 0; position += warm.batch) {
        uint32_t count =
            records - position < warm.batch ? (uint32_t)(records - position) : warm.batch;

        for (uint32_t i = 0; i < count; i++) {
            worker->key_slices[i] = bench_worker_key(
                worker, i, bench_walk(position + i, records, subject->config->seed));
        }
        rc = subject->engine->multi_get(worker->thread, worker->key_slices, count,
                                        worker->loans, worker->results);
        if (rc == BENCH_AGAIN) {
            rc = 0;
            continue;
        }
        if (rc == 0) {
            subject->engine->release_many(worker->thread, worker->loans, count);
        }
        if (bench_clock_monotonic_ns() >= end_ns) {
            break;
        }
    }
    subject->engine->thread_destroy(&worker->thread);
    bench_worker_destroy(worker);
    return rc != 0 ? subject_explain(subject, result, "warming up", rc) : 0;
}

static void subject_note_walk(struct bench_subject *subject, const struct bench_cell *cell,
                              struct bench_worker *const *workers)
{
    subject->walked = cell->workload->work;
    subject->walked_threads = cell->threads;
    subject->walked_batch = cell->batch;
    for (uint32_t i = 0; i < cell->threads; i++) {
        subject->walked_groups[i] = workers[i]->groups_done;
    }
}

static void workers_free(struct bench_worker **workers, uint32_t count)
{
    for (uint32_t i = 0; workers != NULL && i < count; i++) {
        bench_worker_destroy(workers[i]);
    }
    free((void *)workers);
}

/* Those of one run; lead: of what precedes it. NULL without memory. */
static struct bench_worker **subject_make_workers(struct bench_subject *subject,
                                                  const struct bench_cell *cell,
                                                  uint32_t count, uint32_t depth,
                                                  uint32_t repeat, bool lead)
{
    const struct bench_config *config = subject->config;
    uint64_t total = config->operations != 0 && !lead ? config->operations : UINT64_MAX;
    uint64_t seed = config->seed + (uint64_t)1000003u * repeat + (lead ? 7919u : 0u);
    struct bench_worker **workers = calloc(count, sizeof(struct bench_worker *));

    for (uint32_t i = 0; workers != NULL && i < count; i++) {
        struct bench_worker *worker = bench_worker_create(subject, cell, depth);

        if (worker == NULL) {
            workers_free(workers, count);
            return NULL;
        }
        workers[i] = worker;
        worker->index = i;
        worker->count = cell->threads;
        worker->stride = count;
        worker->version_count = ((uint64_t)repeat << 16) + (lead ? 1u << 15 : 0u);
        worker->writes_only = i >= cell->threads;
        worker->duration_ns = lead                     ? config->lead_ns
                              : cell->duration_ns != 0 ? cell->duration_ns
                                                       : config->duration_ns;
        worker->timed = worker->duration_ns != 0;
        worker->operations_max = total == UINT64_MAX ? UINT64_MAX : total / cell->threads;
        if (total != UINT64_MAX && i < total % cell->threads) {
            worker->operations_max++;
        }
        if (worker->writes_only) {
            worker->operations_max = UINT64_MAX;
        }
        worker->chooser.distribution = cell->distribution;
        worker->chooser.zipf = &subject->zipf;
        bench_random_init(&worker->chooser.random, seed, i);
    }
    return workers;
}

/* The same work, not measured; what it finds wrong counts all the same. */
static int subject_lead(struct bench_subject *subject, const struct bench_cell *cell,
                        uint32_t count, uint32_t depth, uint32_t repeat,
                        struct bench_result *result)
{
    struct bench_worker **workers =
        subject_make_workers(subject, cell, count, depth, repeat, true);
    struct bench_result *scratch = calloc(1, sizeof(*scratch));
    struct beside *beside = calloc(1, sizeof(*beside));
    int rc;

    if (workers == NULL || scratch == NULL || beside == NULL) {
        rc = subject_complain(subject->engine->name, result, "no memory for the driver");
        goto done;
    }
    atomic_store_explicit(&subject->sharing, cell->threads, memory_order_relaxed);
    beside->subject = subject;
    beside->workers = workers;
    beside->count = count;
    beside->timeline.operations = beside_shared_operations;
    beside->timeline.context = beside;
    beside->timeline.status = subject->config->status;
    beside->timeline.steady = subject->config->lead_steady ? &subject->enough : NULL;
    if (bench_timeline_start(&beside->timeline) != 0) {
        rc = subject_complain(subject->engine->name, result, "no thread to note the rate");
        goto done;
    }
    rc = subject_workers(subject, workers, count, scratch);
    bench_timeline_stop(&beside->timeline);
    atomic_store_explicit(&subject->enough, 0, memory_order_relaxed);
    result->lead_ns = scratch->duration_ns;
    result->failed = scratch->failed;
    memcpy(result->message, scratch->message, sizeof(result->message));
    memcpy(result->fault, scratch->fault, sizeof(result->fault));
    result->checked += scratch->checked;
    result->mismatched += scratch->mismatched;
    result->missing += scratch->missing;
    result->stale += scratch->stale;

done:
    workers_free(workers, count);
    free(scratch);
    free(beside);
    return rc;
}

int bench_subject_run(struct bench_subject *subject, const struct bench_cell *cell,
                      uint32_t repeat, struct bench_result *result)
{
    const struct bench_config *config = subject->config;
    uint32_t count = cell->threads + (cell->workload->extra_writer ? 1u : 0u);
    uint32_t depth = subject->engine->submit != NULL ? cell->depth : 1;
    bool walks = cell->workload->work != BENCH_WORK_MIX &&
                 cell->workload->work != BENCH_WORK_MULTI_GET;
    struct bench_worker **workers;
    bool writes = cell_writes(cell);
    struct bench_tiers before = {0}, after = {0};
    bool counts = subject->engine->tiers != NULL;
    uint64_t read_bytes = 0, written_before = 0, written_after = 0;
    bool accounts;
    int rc = 0;

    if (subject->loads && !subject->warmed && config->warmup_ns > 0) {
        if (subject_warm(subject, cell, result) != 0) {
            return -1;
        }
        subject->warmed = true;
    }
    workers = subject_make_workers(subject, cell, count, depth, repeat, false);
    if (workers == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    if (writes) {
        rc = subject->engine->begin(subject->db);
        if (rc != 0) {
            rc = subject_explain(subject, result, "beginning", rc);
            goto done;
        }
    }
    if (config->lead_ns != 0 && !walks) {
        rc = subject_lead(subject, cell, count, depth, repeat, result);
        if (rc != 0) {
            goto done;
        }
    }
    /* A writer that only accompanies the readers ends with the last of them. */
    atomic_store_explicit(&subject->sharing, cell->threads, memory_order_relaxed);
    bench_environment_reset_peak_rss();
    result->depth = depth;
    accounts = bench_watch_device(&read_bytes, &written_before);
    counts = counts && subject->engine->tiers(subject->db, &before);
    rc = subject_workers_watched(subject, workers, count, cell->workload->name, repeat,
                                 config->upkeep, result);
    if (rc == 0 && counts && subject->engine->tiers(subject->db, &after)) {
        result->tiers_known = 1;
        result->tiers.gets = after.gets - before.gets;
        result->tiers.cold_gets = after.cold_gets - before.cold_gets;
        result->tiers.disk_reads = after.disk_reads - before.disk_reads;
        result->tiers.evictions = after.evictions - before.evictions;
    }
    if (rc == 0 && writes) {
        rc = subject->engine->end(subject->db);
        if (rc != 0) {
            rc = subject_explain(subject, result, "ending", rc);
        }
    }
    if (rc != 0) {
        goto done;
    }
    result->put_bytes =
        (config->key_bytes + subject_value_bytes(subject)) * cell->batch *
        (result->latency[BENCH_PUT].count + result->latency[BENCH_MODIFY].count);
    if (walks) {
        subject_note_walk(subject, cell, workers);
        subject->live_records = cell->workload->work == BENCH_WORK_DELETE_RANDOM
                                    ? config->records - result->operations
                                    : result->operations;
    } else if (cell->workload->insert_percent != 0) {
        subject->live_records = bench_inserts_limit(&subject->inserts);
    }
    if (writes) {
        rc = subject_settle(subject, result);
    }
    if (accounts && bench_watch_device(&read_bytes, &written_after) &&
        written_after > written_before) {
        result->settle_written_bytes = written_after - written_before;
    }
    subject_measure(subject, result);

done:
    workers_free(workers, count);
    return rc;
}

/* Whether position (of a fill or delete) was reached, or id (of anything else) exists. */
static bool subject_reached(const struct bench_subject *subject, uint64_t position)
{
    uint64_t group = position / subject->walked_batch;

    return group / subject->walked_threads <
           subject->walked_groups[group % subject->walked_threads];
}

static void subject_check_position(struct bench_subject *subject,
                                   struct bench_worker *worker, uint64_t position)
{
    uint64_t id = position;
    struct bench_value value;
    bool there = true;
    int rc;

    if (subject->walked_threads != 0) {
        there = subject_reached(subject, position) ==
                (subject->walked != BENCH_WORK_DELETE_RANDOM);
        if (subject->walked != BENCH_WORK_FILL_SEQUENTIAL) {
            id = bench_walk(position, subject->config->records, subject->config->seed);
        }
    }
    if (there) {
        bench_worker_get(worker, id);
        return;
    }
    rc = subject->engine->get(worker->thread, bench_worker_key(worker, 0, id), &value);
    if (rc == BENCH_DONE) {
        subject->engine->release(worker->thread, &value);
        bench_worker_fault(worker, &worker->mismatched, id,
                           subject->walked == BENCH_WORK_DELETE_RANDOM
                               ? "there, but it was deleted"
                               : "there, but it was never written");
    } else if (rc != BENCH_ABSENT) {
        bench_worker_fail(worker, rc, "get");
    } else {
        worker->checked++;
    }
}

int bench_subject_finish(struct bench_subject **out, struct bench_result *result)
{
    struct bench_subject *subject = *out;
    const struct bench_cell cell = {.batch = 1, .key_form = subject->key_form};
    struct bench_worker *worker = bench_worker_create(subject, &cell, 1);
    struct bench_random random;
    uint64_t positions = subject->config->records;
    int rc;

    if (worker == NULL) {
        return subject_complain(subject->engine->name, result, "no memory for the driver");
    }
    bench_random_init(&random, subject->config->seed, 0x76657269u);
    rc = subject->engine->thread_create(subject->db, &worker->thread);
    if (rc != 0) {
        bench_worker_destroy(worker);
        return subject_explain(subject, result, "making a thread handle", rc);
    }
    if (subject->walked_threads == 0) {
        positions = bench_inserts_limit(&subject->inserts);
    }
    if (subject->config->verify_full || positions <= DRIVER_SAMPLE) {
        for (uint64_t i = 0; i < positions && worker->rc == 0; i++) {
            subject_check_position(subject, worker, i);
        }
    } else {
        for (uint64_t i = 0; i < DRIVER_SAMPLE && worker->rc == 0; i++) {
            uint64_t position = i < 100 ? i : bench_random_below(&random, positions);

            subject_check_position(subject, worker, position);
        }
    }
    subject->engine->thread_destroy(&worker->thread);
    result->checked += worker->checked;
    result->mismatched += worker->mismatched;
    result->missing += worker->missing;
    result->stale += worker->stale;
    snprintf(result->fault, sizeof(result->fault), "%s", worker->fault);
    if (worker->rc != 0) {
        rc = subject_explain(subject, result, worker->what, worker->rc);
        bench_worker_destroy(worker);
        return rc;
    }
    bench_worker_destroy(worker);
    rc = subject->engine->close(&subject->db);
    if (rc != 0) {
        snprintf(result->message, sizeof(result->message), "%s: closing failed (%d)",
                 subject->engine->name, rc);
        result->failed = 1;
    }
    subject_free(subject);
    *out = NULL;
    return rc != 0 ? -1 : 0;
}
