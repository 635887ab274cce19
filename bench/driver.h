/*
 * bench/driver.h - loads one engine, runs work against it, and checks every answer.
 *
 * A subject is one engine in one process. Closed loop: each thread starts an operation when
 * the last one ended (or keeps `depth` in flight through a session). Open loop: operations
 * are due at times fixed in advance, and their latency counts from when they were due, so
 * that a stall is not hidden by the driver waiting for it ("coordinated omission", Gil
 * Tene).
 *
 * Threads:   all functions by one thread, the process's main one; run starts and joins its
 *            own.
 * Lifetime:  open and finish are a pair; finish closes the engine whatever it returns.
 * Units:     nanoseconds, bytes, records.
 * Ordering:  none beyond the joins.
 * Errors:    0, or -1 with a sentence in result->message. Wrong data is not an error of
 *            these functions: it is counted in the result and described in result->fault.
 * Cost:      20 - 40 ns per operation beside the engine's (key, value, one clock read,
 *            check).
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/clock.h"
#include "bench/engines/driver.h"
#include "bench/histogram.h"
#include "bench/keys.h"
#include "bench/probe.h"
#include "bench/slow.h"
#include "bench/timeline.h"
#include "bench/watch.h"
#include "bench/workload.h"

#define BENCH_CELLS_MAX   64u
#define BENCH_ENGINES_MAX 16u
#define BENCH_THREADS_MAX 1024u
#define BENCH_GROUP_MAX   65536u

/* What --corrupt-one does to record 0 between load and run, so that tests see it found. */
enum bench_corruption {
    BENCH_CORRUPT_NOTHING,
    BENCH_CORRUPT_OWNER,   /* the value of another record */
    BENCH_CORRUPT_EDGE,    /* the last byte changed */
    BENCH_CORRUPT_MIDDLE,  /* a byte in the middle changed: only the full check sees it */
    BENCH_CORRUPT_LENGTH,  /* one byte too short */
    BENCH_CORRUPT_MISSING, /* not there */
    BENCH_CORRUPT_STALE, /* an older version: only the full check with one thread sees it */
};

/* One line of a run: a workload with its threads. */
struct bench_cell {
    const struct bench_workload *workload;
    uint32_t threads;
    uint32_t depth;       /* 1: blocking calls */
    uint32_t batch;       /* keys per call */
    uint64_t duration_ns; /* 0: the configuration's */
    enum bench_distribution distribution;
    enum bench_key_form key_form;
};

struct bench_config {
    struct bench_clock clock;
    struct bench_cell cells[BENCH_CELLS_MAX];
    uint32_t cell_count;
    uint64_t records;
    uint64_t operations; /* 0: as many as the time allows */
    uint64_t duration_ns;
    uint64_t warmup_ns;
    size_t key_bytes;
    size_t value_bytes;
    size_t value_bytes_most; /* 0, or: values of value_bytes to so many, each as likely */
    enum bench_durability durability;
    double theta;
    double rate; /* operations per second over all threads; 0: closed loop */
    bool poisson;
    double rate_to;      /* with steps: the rate of the last; `rate` is that of the first */
    uint32_t rate_steps; /* 0: the rate is the same all the time */
    uint64_t limit_p99_ns; /* not 0: the highest rate that meets it is looked for */
    uint64_t seed;
    bool verify_full;
    uint64_t memory_bytes;
    uint32_t shards;
    uint32_t cache_policy; /* enum warp_cache_policy */
    enum bench_corruption corruption;
    uint32_t ratio_permille; /* of values: see bench/values.h */
    bool mixed_sizes;        /* likewise */
    uint64_t shift_ns;       /* a hot spot stays so long on one shard ... */
    double hot_share;        /* ... and has this share of the operations */
    uint64_t lead_ns;        /* each run is preceded by so much of the same, not measured */
    bool lead_steady;        /* ... which ends sooner once its rate has come to rest */
    const char *samples;     /* NULL, or where a line per second is appended */
    bool watches;            /* samples are taken, written down or not */
    const char *address;     /* NULL, or of the server that is one of the engines */
    const char *cgroup;      /* NULL, or the directory of the group that engines enter */
    bool existing;           /* the database was loaded by an earlier run */
    bool upkeep;             /* one more thread forces housekeeping, round after round */
    uint32_t rocksdb;        /* enum bench_rocksdb, added up */
    uint32_t background_permille;
    uint32_t gravity; /* 0: as usual, 1: on, 2: off */
    uint32_t compaction;
    struct bench_probe_shared *probe; /* NULL: there is none */
    struct bench_status *status;      /* NULL, or shared with who waits for a run */
};

enum bench_kind {
    BENCH_GET,
    BENCH_PUT,
    BENCH_MODIFY,
    BENCH_DELETE,
    BENCH_MULTI_GET,
    BENCH_KIND_COUNT
};
const char *bench_kind_name(enum bench_kind kind);

#define BENCH_STEPS_MAX 32u

/* One step of a rate that rises or falls by steps. */
struct bench_step {
    double rate; /* that was asked for */
    uint64_t operations;
    uint64_t p50_ns; /* from the intended start */
    uint64_t p99_ns;
    uint64_t p999_ns;
    uint64_t max_ns;
};

/* Plain data without pointers: it travels through a pipe. */
struct bench_result {
    int32_t failed; /* 1: message says why; nothing else counts */
    char message[384];
    char version[64];
    char settings[384];

    uint64_t operations; /* keys, where a call has several */
    uint64_t duration_ns;
    uint64_t lead_ns; /* what went before it took */
    uint32_t depth;   /* what was used: engines without sessions run with 1 */
    uint64_t cpu_user_ns;
    uint64_t cpu_system_ns;
    uint64_t settle_ns;       /* waiting for background work afterwards ... */
    uint64_t settle_cpu_ns;   /* ... and its cost */
    uint64_t unissued;        /* open loop: due before the end, never started */
    uint64_t again;           /* back-pressure answers */
    uint32_t tiers_known;     /* 1: the engine tells what it read from disk ... */
    struct bench_tiers tiers; /* ... during the run */
    struct bench_histogram latency[BENCH_KIND_COUNT];
    struct bench_histogram service; /* open loop: from the real start */
    struct bench_timeline timeline;
    uint32_t step_count; /* 0: the rate has no steps */
    struct bench_step steps[BENCH_STEPS_MAX];
    struct bench_slow_list slow;     /* of calls that were measured */
    struct bench_watch_totals watch; /* samples 0: nobody looked */
    uint64_t
        settle_written_bytes; /* to the device, from the begin of the run until settled */
    uint64_t put_bytes;       /* keys and values that were put while it was measured */
    uint64_t upkeep_rounds;   /* that came to their end while it was measured */

    uint64_t load_records;
    uint64_t load_ns;
    uint64_t load_cpu_ns;
    struct bench_watch_totals load_watch;
    uint64_t load_written_bytes; /* likewise until settled */

    uint64_t peak_rss_bytes; /* since the load, or since the run began */
    uint64_t load_peak_rss_bytes;
    uint64_t base_rss_bytes; /* before the engine was opened */
    uint64_t disk_bytes;
    uint64_t live_bytes; /* keys and values */

    uint64_t checked; /* values that were read and are right */
    uint64_t mismatched;
    uint64_t missing;
    uint64_t stale;
    char fault[256]; /* the first of them */
};

static inline uint64_t bench_result_faults(const struct bench_result *result)
{
    return result->mismatched + result->missing + result->stale;
}

struct bench_subject;

int bench_subject_open(const struct bench_engine *engine, const struct bench_config *config,
                       const struct bench_cell *cells, uint32_t cell_count,
                       const char *path, struct bench_subject **out,
                       struct bench_result *result);
int bench_subject_load(struct bench_subject *subject, struct bench_result *result);
int bench_subject_run(struct bench_subject *subject, const struct bench_cell *cell,
                      uint32_t repeat, struct bench_result *result);
/* The rate of step `index` (0 .. rate_steps - 1). */
double bench_config_step_rate(const struct bench_config *config, uint32_t index);
/* Read back what must be there (all of it with verify_full, else a sample), then close. */
int bench_subject_finish(struct bench_subject **subject, struct bench_result *result);

#endif
