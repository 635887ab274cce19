/*
 * bench/workload.h - the named mixes of work.
 *
 * The letters are YCSB's core workloads (Cooper et al., SoCC 2010), the long names
 * db_bench's.
 *
 * Threads:   constant tables; any thread.
 * Lifetime:  static.
 * Units:     shares are per cent of the operations.
 * Ordering:  none.
 * Errors:    find returns NULL for a name that is not there.
 * Cost:      none.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/keys.h"

enum bench_work {
    BENCH_WORK_MIX, /* gets, puts, inserts and read-modify-writes by their shares */
    BENCH_WORK_FILL_SEQUENTIAL, /* each record once, in key order; nothing is loaded */
    BENCH_WORK_FILL_RANDOM,     /* each record once, scattered; nothing is loaded */
    BENCH_WORK_DELETE_RANDOM,   /* removes each record once, scattered */
    BENCH_WORK_MULTI_GET,       /* gets in groups of --batch keys */
};

struct bench_workload {
    const char *name;
    const char *summary;
    enum bench_work work;
    uint32_t get_percent; /* BENCH_WORK_MIX: the four make 100 */
    uint32_t put_percent;
    uint32_t insert_percent;
    uint32_t modify_percent;
    bool extra_writer; /* one more thread that only puts */
    bool fresh;        /* needs a new database every time */
    bool
        shifts; /* some records of one shard's slots are popular, now and then of another's */
    bool mixes; /* of values, some are much larger than others */
    enum bench_distribution distribution;
};

const struct bench_workload *bench_workload_find(const char *name);
/* The index-th workload, NULL behind the last. */
const struct bench_workload *bench_workload_at(uint32_t index);

/* Whether --batch puts several writes into one atomic batch. */
static inline bool bench_workload_batches(const struct bench_workload *workload)
{
    return workload->work == BENCH_WORK_FILL_SEQUENTIAL ||
           workload->work == BENCH_WORK_FILL_RANDOM ||
           (workload->work == BENCH_WORK_MIX && workload->put_percent == 100);
}

#endif
