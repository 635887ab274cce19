#include "bench/workload.h"

#include <stddef.h>
#include <string.h>

static const struct bench_workload workloads[] = {
    {"ycsb-a", "50 % get, 50 % put", BENCH_WORK_MIX, 50, 50, 0, 0, false, false,
     BENCH_ZIPFIAN},
    {"ycsb-b", "95 % get, 5 % put", BENCH_WORK_MIX, 95, 5, 0, 0, false, false,
     BENCH_ZIPFIAN},
    {"ycsb-c", "100 % get", BENCH_WORK_MIX, 100, 0, 0, 0, false, false, BENCH_ZIPFIAN},
    {"ycsb-d", "95 % get of the latest, 5 % insert", BENCH_WORK_MIX, 95, 0, 5, 0, false,
     false, BENCH_LATEST},
    {"ycsb-f", "50 % get, 50 % read-modify-write", BENCH_WORK_MIX, 50, 0, 0, 50, false,
     false, BENCH_ZIPFIAN},
    {"fillseq", "insert every record once, in key order", BENCH_WORK_FILL_SEQUENTIAL, 0, 0,
     0, 0, false, true, BENCH_UNIFORM},
    {"fillrandom", "insert every record once, scattered", BENCH_WORK_FILL_RANDOM, 0, 0, 0,
     0, false, true, BENCH_UNIFORM},
    {"overwrite", "100 % put on records that are there", BENCH_WORK_MIX, 0, 100, 0, 0,
     false, false, BENCH_UNIFORM},
    {"put", "the same as overwrite", BENCH_WORK_MIX, 0, 100, 0, 0, false, false,
     BENCH_UNIFORM},
    {"readrandom", "100 % get", BENCH_WORK_MIX, 100, 0, 0, 0, false, false, BENCH_UNIFORM},
    {"get", "the same as readrandom", BENCH_WORK_MIX, 100, 0, 0, 0, false, false,
     BENCH_UNIFORM},
    {"readwhilewriting", "100 % get, beside one more thread that puts", BENCH_WORK_MIX, 100,
     0, 0, 0, true, false, BENCH_UNIFORM},
    {"multiget", "gets in groups of --batch keys (default 64), counted per key",
     BENCH_WORK_MULTI_GET, 0, 0, 0, 0, false, false, BENCH_UNIFORM},
    {"deleterandom", "delete every record once, scattered", BENCH_WORK_DELETE_RANDOM, 0, 0,
     0, 0, false, true, BENCH_UNIFORM},
};

const struct bench_workload *bench_workload_at(uint32_t index)
{
    return index < sizeof(workloads) / sizeof(workloads[0]) ? &workloads[index] : NULL;
}

const struct bench_workload *bench_workload_find(const char *name)
{
    for (uint32_t index = 0; bench_workload_at(index) != NULL; index++) {
        if (strcmp(workloads[index].name, name) == 0) {
            return &workloads[index];
        }
    }
    return NULL;
}
