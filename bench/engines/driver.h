/*
 * bench/engines/driver.h - the one table through which the benchmark drives every engine.
 *
 * The same loop, keys, values and checks run against each engine; only these functions
 * differ. An engine is compiled in when its library is there (WARP_BENCH_ROCKSDB,
 * WARP_BENCH_LMDB, _LEVELDB, _WIREDTIGER, _SQLITE, _BDB; _RESP for servers).
 *
 * Threads:   open, close, begin, end and settle by the main thread of the engine's process;
 *            a thread handle by the thread that made it.
 * Lifetime:  open / close and thread_create / thread_destroy are pairs. What get and
 *            multi_get lend ends with release / release_many, before the thread's next
 *            call.
 * Units:     bytes, nanoseconds.
 * Ordering:  a write has its durability when the call that made it returns (or, in a
 *            session, when its completion is polled).
 * Errors:    an enum bench_answer, or < 0; explain() puts an error into words.
 * Cost:      one indirect call per operation.
 */
#ifndef BENCH_ENGINES_DRIVER_H
#define BENCH_ENGINES_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_answer {
    BENCH_DONE = 0,
    BENCH_ABSENT = 1,
    BENCH_AGAIN = 2, /* full for the moment: nothing was done, try again */
};

enum bench_durability {
    BENCH_MEMORY,   /* acknowledged in memory */
    BENCH_INTERVAL, /* on stable storage about every BENCH_SYNC_INTERVAL_MS */
    BENCH_COMMIT,   /* on stable storage before the acknowledgement */
};
#define BENCH_SYNC_INTERVAL_MS 100u

struct bench_slice {
    const void *data;
    size_t bytes;
};

/* How RocksDB is set up, beside what is always so: see bench/engines/rocksdb.c. */
enum bench_rocksdb {
    BENCH_ROCKSDB_TIERED = 1u << 0,        /* for more data than memory */
    BENCH_ROCKSDB_DIRECT_READS = 1u << 1,  /* past the page cache */
    BENCH_ROCKSDB_DIRECT_WRITES = 1u << 2, /* likewise flushes and compactions */
    BENCH_ROCKSDB_LOG = 1u << 3,           /* at BENCH_MEMORY too, unsynced */
    BENCH_ROCKSDB_LZ4 = 1u << 4,
    BENCH_ROCKSDB_ZSTD = 1u << 5, /* beside LZ4: at the bottommost level only */
};

/* A value on loan from the engine. */
struct bench_value {
    const void *data;
    size_t bytes;
    void *loan; /* the engine's */
};

struct bench_setup {
    const char *path;    /* an empty directory, the engine's own */
    const char *address; /* of a server, for the engine that has one: resp://host:port */
    enum bench_durability durability;
    uint64_t memory_bytes; /* 0: the engine's default, else what it may use for caching */
    uint32_t shards;       /* 0: the engine's default */
    uint32_t cache_policy; /* enum warp_cache_policy, for the engine that has it */
    uint32_t threads;      /* at most so many thread handles at once */
    uint32_t depth;        /* at most so many requests in flight per handle */
    uint32_t group;        /* at most so many keys per multi_get or batch */
    size_t key_bytes;
    size_t value_bytes;
    uint64_t records; /* an estimate */
    bool existing;    /* the directory may have a database in it: it is opened */
    uint32_t rocksdb; /* enum bench_rocksdb, added up */
    /* For WarpEngine: as in struct warp_options; 0 is its default. */
    uint32_t background_permille;
    uint32_t gravity; /* as struct warp_options has it */
    uint32_t compaction;
};

enum bench_request_kind { BENCH_REQUEST_GET, BENCH_REQUEST_PUT, BENCH_REQUEST_DELETE };

struct bench_request {
    enum bench_request_kind kind;
    uint64_t cookie;
    struct bench_slice key; /* both live until the completion */
    struct bench_slice value;
};

struct bench_completion {
    uint64_t cookie;
    int result;
    struct bench_value value; /* a get that is BENCH_DONE: to be released */
};

/* What an engine with memory and disk counted since it was opened. */
struct bench_tiers {
    uint64_t gets;       /* by blocking calls ... */
    uint64_t cold_gets;  /* ... that found the value on disk only */
    uint64_t disk_reads; /* by any call */
    uint64_t evictions;
};

/* Makes the new value from the old one; *bytes is its size. NULL: leave it alone. */
typedef const void *(*bench_modifier)(void *context, const void *data, size_t bytes,
                                      size_t *new_bytes);

struct bench_engine {
    const char *name;

    int (*open)(const struct bench_setup *setup, void **db, char *message,
                size_t message_bytes);
    int (*close)(void **db);
    void (*version)(void *db, char *out, size_t bytes);
    /* How it was configured, for the report. */
    void (*describe)(void *db, char *out, size_t bytes);
    /* Around every stretch that writes: background syncing for BENCH_INTERVAL lives in
     * it. */
    int (*begin)(void *db);
    int (*end)(void *db);
    /* Push out what is pending and wait for background work, so that others have quiet. */
    int (*settle)(void *db);
    void (*explain)(void *db, int rc, char *out, size_t bytes);
    /* False: not to be had. NULL where the engine does not tell. */
    bool (*tiers)(void *db, struct bench_tiers *out);

    /* What it says about itself, as members of a JSON object, while it works. May be NULL. */
    void (*gauges)(void *db, char *out, size_t bytes);
    /* One round of all the housekeeping there is, forced, while others work: blocks until it is
     * done. May be NULL. */
    int (*upkeep)(void *db);

    int (*thread_create)(void *db, void **thread);
    void (*thread_destroy)(void **thread);
    int (*put)(void *thread, struct bench_slice key, struct bench_slice value);
    int (*get)(void *thread, struct bench_slice key, struct bench_value *out);
    void (*release)(void *thread, struct bench_value *value);
    /* BENCH_ABSENT only from engines that look; a blind delete is BENCH_DONE. */
    int (*remove)(void *thread, struct bench_slice key);
    int (*modify)(void *thread, struct bench_slice key, bench_modifier modifier,
                  void *context);
    int (*multi_get)(void *thread, const struct bench_slice *keys, uint32_t count,
                     struct bench_value *values, int *results);
    void (*release_many)(void *thread, struct bench_value *values, uint32_t count);
    /* All or nothing. */
    int (*batch)(void *thread, const struct bench_slice *keys,
                 const struct bench_slice *values, uint32_t count);

    /* Requests in flight; NULL where the engine has only blocking calls. */
    int (*submit)(void *thread, const struct bench_request *requests, uint32_t count);
    int (*poll)(void *thread, struct bench_completion *out, uint32_t count,
                uint64_t timeout_ns);
};

extern const struct bench_engine bench_engine_warp;
extern const struct bench_engine bench_engine_bound;
#if defined(WARP_BENCH_LEVELDB)
extern const struct bench_engine bench_engine_leveldb;
#endif
#if defined(WARP_BENCH_SQLITE)
extern const struct bench_engine bench_engine_sqlite;
#endif
#if defined(WARP_BENCH_BDB)
extern const struct bench_engine bench_engine_bdb;
#endif
#if defined(WARP_BENCH_WIREDTIGER)
extern const struct bench_engine bench_engine_wiredtiger;
#endif
#if defined(WARP_BENCH_RESP)
extern const struct bench_engine bench_engine_resp;
#endif
#if defined(WARP_BENCH_ROCKSDB)
extern const struct bench_engine bench_engine_rocksdb;
#endif
#if defined(WARP_BENCH_LMDB)
extern const struct bench_engine bench_engine_lmdb;
#endif

/* The engine called so; NULL if there is none, or if it was not compiled in. The address of a server
 * (resp://...) names the engine that talks to it. */
const struct bench_engine *bench_engine_find(const char *name);
/* "warp bound rocksdb lmdb": those compiled in that need nothing but a directory. */
const char *bench_engine_names(void);
/* Whether servers can be driven. */
bool bench_engine_serves(void);

#endif
