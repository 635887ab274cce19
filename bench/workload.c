#include "bench/workload.h"

#include <stddef.h>
#include <string.h>

/* Shares that are not named are 0, traits false. */
static const struct bench_workload workloads[] = {
    {.name = "ycsb-a",
     .summary = "50 % get, 50 % put",
     .work = BENCH_WORK_MIX,
     .get_percent = 50,
     .put_percent = 50,
     .distribution = BENCH_ZIPFIAN},
    {.name = "ycsb-b",
     .summary = "95 % get, 5 % put",
     .work = BENCH_WORK_MIX,
     .get_percent = 95,
     .put_percent = 5,
     .distribution = BENCH_ZIPFIAN},
    {.name = "ycsb-c",
     .summary = "100 % get",
     .work = BENCH_WORK_MIX,
     .get_percent = 100,
     .distribution = BENCH_ZIPFIAN},
    {.name = "ycsb-d",
     .summary = "95 % get of the latest, 5 % insert",
     .work = BENCH_WORK_MIX,
     .get_percent = 95,
     .insert_percent = 5,
     .distribution = BENCH_LATEST},
    {.name = "ycsb-f",
     .summary = "50 % get, 50 % read-modify-write",
     .work = BENCH_WORK_MIX,
     .get_percent = 50,
     .modify_percent = 50,
     .distribution = BENCH_ZIPFIAN},
    {.name = "mixed",
     .summary = "60 % get, 20 % put, 10 % insert, 10 % read-modify-write",
     .work = BENCH_WORK_MIX,
     .get_percent = 60,
     .put_percent = 20,
     .insert_percent = 10,
     .modify_percent = 10,
     .distribution = BENCH_ZIPFIAN},
    {.name = "hotspot-shift",
     .summary =
         "50 % get, 50 % put; 40 % of them on some slots of one shard, later another's",
     .work = BENCH_WORK_MIX,
     .get_percent = 50,
     .put_percent = 50,
     .shifts = true,
     .distribution = BENCH_UNIFORM},
    {.name = "mixed-size",
     .summary = "50 % get, 50 % put; of values, 9 % ten times, 1 % 640 times --value-bytes",
     .work = BENCH_WORK_MIX,
     .get_percent = 50,
     .put_percent = 50,
     .mixes = true,
     .distribution = BENCH_ZIPFIAN},
    {.name = "fillseq",
     .summary = "insert every record once, in key order",
     .work = BENCH_WORK_FILL_SEQUENTIAL,
     .fresh = true,
     .distribution = BENCH_UNIFORM},
    {.name = "fillrandom",
     .summary = "insert every record once, scattered",
     .work = BENCH_WORK_FILL_RANDOM,
     .fresh = true,
     .distribution = BENCH_UNIFORM},
    {.name = "overwrite",
     .summary = "100 % put on records that are there",
     .work = BENCH_WORK_MIX,
     .put_percent = 100,
     .distribution = BENCH_UNIFORM},
    {.name = "put",
     .summary = "the same as overwrite",
     .work = BENCH_WORK_MIX,
     .put_percent = 100,
     .distribution = BENCH_UNIFORM},
    {.name = "readrandom",
     .summary = "100 % get",
     .work = BENCH_WORK_MIX,
     .get_percent = 100,
     .distribution = BENCH_UNIFORM},
    {.name = "get",
     .summary = "the same as readrandom",
     .work = BENCH_WORK_MIX,
     .get_percent = 100,
     .distribution = BENCH_UNIFORM},
    {.name = "readwhilewriting",
     .summary = "100 % get, beside one more thread that puts",
     .work = BENCH_WORK_MIX,
     .get_percent = 100,
     .extra_writer = true,
     .distribution = BENCH_UNIFORM},
    {.name = "multiget",
     .summary = "gets in groups of --batch keys (default 64), counted per key",
     .work = BENCH_WORK_MULTI_GET,
     .distribution = BENCH_UNIFORM},
    {.name = "deleterandom",
     .summary = "delete every record once, scattered",
     .work = BENCH_WORK_DELETE_RANDOM,
     .fresh = true,
     .distribution = BENCH_UNIFORM},
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
