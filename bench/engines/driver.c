#include "bench/engines/driver.h"

#include <string.h>

const struct bench_engine *bench_engine_find(const char *name)
{
    static const struct bench_engine *const engines[] = {
        &bench_engine_warp,
        &bench_engine_bound,
#if defined(WARP_BENCH_ROCKSDB)
        &bench_engine_rocksdb,
#endif
#if defined(WARP_BENCH_LMDB)
        &bench_engine_lmdb,
#endif
#if defined(WARP_BENCH_LEVELDB)
        &bench_engine_leveldb,
#endif
#if defined(WARP_BENCH_WIREDTIGER)
        &bench_engine_wiredtiger,
#endif
#if defined(WARP_BENCH_SQLITE)
        &bench_engine_sqlite,
#endif
#if defined(WARP_BENCH_BDB)
        &bench_engine_bdb,
#endif
    };

#if defined(WARP_BENCH_RESP)
    if (strncmp(name, "resp://", 7) == 0) {
        return &bench_engine_resp;
    }
#endif

    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        if (strcmp(engines[i]->name, name) == 0) {
            return engines[i];
        }
    }
    return NULL;
}

const char *bench_engine_names(void)
{
    return "warp bound"
#if defined(WARP_BENCH_ROCKSDB)
           " rocksdb"
#endif
#if defined(WARP_BENCH_LMDB)
           " lmdb"
#endif
#if defined(WARP_BENCH_LEVELDB)
           " leveldb"
#endif
#if defined(WARP_BENCH_WIREDTIGER)
           " wiredtiger"
#endif
#if defined(WARP_BENCH_SQLITE)
           " sqlite"
#endif
#if defined(WARP_BENCH_BDB)
           " bdb"
#endif
        ;
}

bool bench_engine_serves(void)
{
#if defined(WARP_BENCH_RESP)
    return true;
#else
    return false;
#endif
}
