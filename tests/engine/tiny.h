/*
 * tests/engine/tiny.h - opens a database with hardly any room for values, so that most of them
 * are read back from disk, and sums what that came to.
 *
 * Threads:   the test's own.
 * Lifetime:  as that of the database.
 * Units:     bytes per shard; counts.
 * Ordering:  none.
 * Errors:    those of warp_open().
 * Cost:      none.
 */
#ifndef TESTS_ENGINE_TINY_H
#define TESTS_ENGINE_TINY_H

#include "engine/engine.h"
#include "engine/metrics.h"
#include "tests/engine/support.h"

struct tiny_totals {
    uint64_t opens, cold_gets, disk_reads, evictions, admissions, moves, forwards;
};

/* 64 bytes to 64 KiB, or in one of `one_in` cases 0: as much as there is. */
static inline uint64_t tiny_draw(struct support_random *random, uint64_t one_in)
{
    return support_random_chance(random, one_in)
               ? 0
               : UINT64_C(64) << support_random_below(random, 11);
}

static inline int tiny_open(const char *path, const struct warp_options *options,
                            uint64_t values_bytes_max, struct warp **db)
{
    struct warp_env env;

    if (values_bytes_max == 0) {
        return warp_open(path, options, db);
    }
    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = values_bytes_max;
    return warp_engine_open(path, options, &env, db);
}

/* Just before the close. */
static inline void tiny_count(struct tiny_totals *totals, struct warp *db)
{
    struct warp_catalogue_values now;

    warp_metrics_collect(db, &now);
    totals->opens++;
    totals->cold_gets += now.cold_gets;
    totals->disk_reads += now.disk_reads;
    totals->evictions += now.evictions;
    totals->admissions += now.admissions;
    totals->moves += now.slot_moves;
    totals->forwards += now.slot_forwards;
}

/* False, and said, if no value was ever read from disk. */
static inline bool tiny_report(const struct tiny_totals *totals, const char *program)
{
    printf("%s: %" PRIu64 " values left memory, %" PRIu64 " were read from disk (%" PRIu64
           " by gets), %" PRIu64 " came back to stay\n",
           program, totals->evictions, totals->disk_reads, totals->cold_gets,
           totals->admissions);
    return totals->disk_reads > 0 && totals->cold_gets > 0;
}

#endif
