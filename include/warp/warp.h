/*
 * warp/warp.h - WarpEngine's public face: a concurrent, durable, embedded key-value engine.
 *
 * One handle, `struct warp`, is one open directory. Keys are 1 to 65,536 bytes, values 0 to
 * 33,554,432 bytes; both are bytes, never text. Every acknowledged write has a stated
 * durability (the table is below, at enum warp_durability).
 *
 * Threads:   every function may be called from any thread at any time, with two exceptions:
 *            a session and a batch belong to one thread at a time, and warp_close() must be
 *            the last call on its handle. A process that forks must not use the handle in
 *            the child.
 * Lifetime:  what a `_create` or warp_open() returned is given back by the matching
 *            `_destroy` or warp_close(), which also sets the caller's pointer to NULL.
 *            Slices are borrowed for the length of the call, but for warp_submit().
 * Units:     bytes, milliseconds where a name ends in _ms, nanoseconds where it ends in _ns.
 * Ordering:  all writes of one database have one global order, their `sequence`. What is lost
 *            in a crash is a suffix of that order: never a hole, never half a batch.
 * Errors:    0 done; > 0 an ordinary answer (WARP_ABSENT, ...); < 0 an enum warp_error. Results
 *            that come back through pointers are untouched on an error.
 * Cost:      a get is two or three cache misses and no shared write; a put at WARP_MEMORY or
 *            WARP_INTERVAL makes no system call; a put at WARP_COMMIT waits for the disk.
 *
 * The library installs no signal handler, prints nothing and never ends the process, but for
 * a broken assertion, which is a bug in it or a misuse of it and calls abort() after writing
 * one line to standard error.
 */
#ifndef WARP_WARP_H
#define WARP_WARP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WARP_API __attribute__((visibility("default")))
#else
#define WARP_API
#endif
#define WARP_SERVE_API WARP_API /* in libwarp-serve, not in libwarp */

#define WARP_VERSION_MAJOR 0
#define WARP_VERSION_MINOR 1
#define WARP_VERSION_PATCH 0

#define WARP_KEY_BYTES_MAX   65536u
#define WARP_VALUE_BYTES_MAX 33554432u
#define WARP_SLOT_COUNT      16384u
#define WARP_SHARD_COUNT_MAX 64u
/* An atomic batch: so many operations and so many bytes of keys and values at most. */
#define WARP_BATCH_OPERATIONS_MAX 1048576u
#define WARP_BATCH_BYTES_MAX      67108864u
#define WARP_SESSION_DEPTH_MAX    65536u

struct warp;         /* one open database */
struct warp_batch;   /* writes that become visible to recovery all or none */
struct warp_session; /* many requests in flight from one thread */

struct warp_slice {
    const void *data;
    size_t bytes;
};

/* ---- answers and errors --------------------------------------------------------------- */

/* Ordinary answers, all positive. */
enum warp_answer {
    WARP_OK = 0,
    WARP_ABSENT = 1,    /* no such key, or it has expired */
    WARP_AGAIN = 2,     /* a bounded resource is full for the moment; nothing was done */
    WARP_CONFLICT = 3,  /* the condition of the write did not hold; nothing was done */
    WARP_TRUNCATED = 4, /* the buffer is too small; *bytes has the size that is needed */
};

enum warp_error {
    WARP_EINVAL = -1,     /* an argument is out of range, a size field is unknown, ... */
    WARP_ENOMEM = -2,     /* no memory, or memory_bytes_max is reached; nothing was done */
    WARP_EIO = -3,        /* the disk failed to read or write */
    WARP_ENOSPC = -4,     /* the disk is full: refused before it got a sequence, reads go on */
    WARP_EBUSY = -5,      /* the directory is open already: options.message says by whom */
    WARP_EKEY = -6,       /* the key is empty or longer than WARP_KEY_BYTES_MAX */
    WARP_EVALUE = -7,     /* the value is longer than WARP_VALUE_BYTES_MAX */
    WARP_ENUMBER = -8,    /* warp_add on a value that is not a decimal 64-bit number */
    WARP_ERANGE = -9,     /* warp_add would overflow a signed 64-bit number */
    WARP_EFORMAT = -10,   /* the directory or a file in it is not a WarpEngine database */
    WARP_EVERSION = -11,  /* written by a newer WarpEngine than this one */
    WARP_EDAMAGED = -12,  /* a file is damaged below what was durable: message has file, offset */
    WARP_EFAILED = -13,   /* the log failed; the database is read-only: see warp_failure() */
    WARP_EREADONLY = -14, /* a write to a database opened with WARP_READ_ONLY */
    WARP_EPERM = -15,     /* the operating system refuses access to the directory or a file */
    WARP_ENOTDIR = -16,   /* the path exists and is not a directory */
    WARP_ENOENT = -17,    /* WARP_MUST_EXIST, and there is no database */
    WARP_EEXIST = -18,    /* WARP_MUST_BE_NEW, and there is one already */
    WARP_EDEADLINE = -19, /* the request's deadline passed before it was carried out */
    WARP_EBATCH = -20,    /* the batch has too many operations or bytes */
    WARP_ESYSTEM = -21,   /* the system lacks something (threads, files, ...): message says what */
};

/* A constant sentence for a return code, never NULL. Any thread. */
WARP_API const char *warp_error_text(int rc);
/* "0.1.0". Any thread. */
WARP_API const char *warp_version(void);

/* ---- durability ----------------------------------------------------------------------- */

/*
 * | level         | acknowledged when               | killed process loses | power cut loses |
 * |---------------|---------------------------------|----------------------|-----------------|
 * | WARP_MEMORY   | applied in memory, in log order | up to everything     | the same        |
 * |               |                                 | since the last flush |                 |
 * | WARP_INTERVAL | in the log buffer; written      | at most the last ~1  | at most the     |
 * |               | within 1 ms, synced every       | ms and the write in  | last interval   |
 * |               | sync_interval_ms                | flight               | and the flush   |
 * |               |                                 |                      | in flight       |
 * | WARP_COMMIT   | its log bytes are on stable     | nothing              | nothing         |
 * |               | storage                         |                      |                 |
 *
 * The 1 ms is the log thread's pace; it is longer when the system does not run that thread, and
 * while it makes a new log file or, with plain I/O, syncs.
 */
enum warp_durability {
    WARP_DURABILITY_DEFAULT = 0, /* what the database's options say */
    WARP_MEMORY = 1,
    WARP_INTERVAL = 2,
    WARP_COMMIT = 3,
};

/* ---- opening and closing -------------------------------------------------------------- */

#define WARP_CREATE      1u /* make the database if there is none (the default) */
#define WARP_READ_ONLY   2u /* change nothing on disk; no other process may have it open to write */
#define WARP_MUST_EXIST  4u /* WARP_ENOENT if there is none */
#define WARP_MUST_BE_NEW 8u /* WARP_EEXIST if there is one */

#define WARP_READ_DURABLE_AUTO 2u

/*
 * Which values stay in memory when they do not all fit memory_bytes_max. All keys do. The first is
 * the default and the best on nearly all work; the others are there to compare.
 */
enum warp_cache_policy {
    WARP_CACHE_S3FIFO = 0,
    WARP_CACHE_FIFO = 1,
    WARP_CACHE_CLOCK = 2,
    WARP_CACHE_LRU = 3, /* an approximation */
    WARP_CACHE_SIEVE = 4,
};

/*
 * What a write does when its shard is busy. The first is the default; the others are there to compare.
 * An atomic batch takes leases in any case.
 */
enum warp_write_path {
    WARP_WRITE_ADAPTIVE = 0, /* takes the lease if it is free; else waits for it, or leaves a message to
                                its holder, whatever takes less time here, as it is measured */
    WARP_WRITE_LEASE = 1,    /* waits for the lease, always */
    WARP_WRITE_MAILBOX = 2,  /* never takes it: the shard's own thread carries all writes out */
};

/*
 * Memory for the engine's own structures. All three functions are called from any thread.
 * alignment is a power of two. NULL means failure. bytes in release is what was asked for.
 */
struct warp_allocator {
    void *(*allocate)(void *context, size_t bytes, size_t alignment);
    void (*release)(void *context, void *memory, size_t bytes);
    void *context;
};

/*
 * How far checkpoints and compaction lag behind writing: 0, not at all; 1, a checkpoint is due; 2, the log
 * nears what is allowed, or space on disk is beyond it, so that writes are held up a little; 3, all the
 * more. Called
 * when it changes, by a thread of the database's own that does that very work: it must not call
 * anything of this database but warp_metrics_render(), and come back soon.
 */
typedef void (*warp_pressure)(void *context, uint32_t level);

/* Called by warp_open(), on a thread of its own, while the log is replayed: ten times a second. */
typedef void (*warp_progress)(void *context, uint64_t bytes_done, uint64_t bytes_total,
                              uint64_t records);

/*
 * First field of every struct that may grow is its size; the INIT macro fills size and
 * defaults; an unknown non-zero tail is refused with WARP_EINVAL, a shorter struct is
 * completed with defaults. Zero means the default in every field but read_durable.
 */
struct warp_options {
    size_t size;
    uint32_t shard_count;      /* 0: one per CPU this process may use; at most WARP_SHARD_COUNT_MAX */
    uint32_t durability;       /* enum warp_durability; default WARP_COMMIT */
    uint32_t sync_interval_ms; /* 1 - 60,000; default 100 */
    uint32_t read_durable;     /* 1: on, 0: off, WARP_READ_DURABLE_AUTO: on if durability is WARP_COMMIT */
    uint64_t memory_bytes_max; /* 0: three quarters of what the process may use; else >= 16 MiB */
    uint32_t open_flags;       /* WARP_CREATE | ...; 0 means WARP_CREATE */
    const char *preset;        /* NULL or "balanced", "throughput", "small" */
    uint32_t segment_bytes;    /* size of a log file; power of two, 1 MiB - 1 GiB; default 64 MiB; only when new */
    uint32_t log_buffer_bytes; /* power of two, 256 KiB - 1 GiB; default by preset (8 MiB) */
    uint32_t spin_us;          /* how long a thread spins before it sleeps; 0: default, 1: hardly */
    uint32_t pin_threads;      /* 1: pin shard threads to CPUs; default off */
    uint32_t io_backend;       /* 0: io_uring if allowed, else plain; 1: plain; 2: io_uring or fail */
    uint32_t huge_pages;       /* 0: by preset (on, but for "small"), 1: on, 2: off */
    uint32_t recovery_threads; /* 0: one per CPU this process may use */
    uint32_t direct_io;        /* 0: O_DIRECT where the file system has it, 2: never */
    uint32_t reserved;         /* must be 0 */
    const struct warp_allocator *allocator; /* NULL: the C library's; must outlive the handle */
    warp_progress progress;                 /* NULL: none */
    void *progress_context;
    char *message;        /* NULL, or where warp_open() puts a sentence when it fails, or when it could
                             not make METRICS ... */
    size_t message_bytes; /* ... of at most so many bytes, the closing zero included */
    uint32_t cache_policy;    /* enum warp_cache_policy: which values stay in memory */
    uint32_t recovery_ms_max; /* how long the next open may take, about, by how long opens take here: paces
                                 the checkpoints, and writers where those lag; 10 - 3,600,000; default
                                 2,000. A checkpoint longer than the log that makes it due is not
                                 written: for a great index it is the log alone that keeps to it. */
    uint32_t compaction;     /* 1: on (the default), 2: only when warp_compact() asks */
    uint32_t space_permille; /* space on disk, checkpoints included, in thousandths of what is alive, above
                                which old files are compacted and writers made to wait for it; 1,050 -
                                1,000,000; default 1,200 */
    uint32_t background_permille; /* checkpoints and compactions that are not urgent get so many thousandths
                                     of one CPU, 1 - 1,000 (without pause); default 250 */
    uint32_t warm_up;        /* 1 (the default): after open, what was in memory when the last checkpoint was made is
                                read back in the background, as far as there is room; 2: not */
    warp_pressure pressure;       /* NULL: nobody is told */
    void *pressure_context;
    uint32_t metrics_file;   /* 1 (the default): other processes find the metrics in the file METRICS of
                                the directory (warp stat, warp exporter); 2: not */
    uint32_t gravity;             /* slots move to shards that have less to do: 1: on, 2: off (the default) */
    uint32_t timing;              /* how long blocking calls take, for warp_get_seconds and warp_write_seconds:
                                     1: of a sample that costs less than half a per cent of their time (the
                                     default), 2: of none, 3: of all */
    uint32_t hot_keys;            /* 1: keys that blocking calls ask for most are estimated from those that are timed,
                                     and published with their first 32 bytes, for `warp top`; 2: not (the default) */
    uint64_t slow_ns;             /* blocking calls that take so long or longer are kept, with where the time went,
                                     see warp_slow_visit(): all calls are timed then, in stages, which costs some
                                     100 ns each; 0: none (the default) */
    uint32_t wormholes;      /* 1 (the default): reads look past the owner of their shard; 2: a read is a message
                                to it, and so is a write, unless write_path says otherwise: to compare */
    uint32_t write_path;     /* enum warp_write_path */
    uint32_t entanglement;   /* 1: what is asked for together is learned, from values that are not in memory, and
                                read from disk before it is asked for; what was learned takes a 32nd of
                                memory_bytes_max, at most an eighth, and little of that when it does not pay;
                                nothing of it is kept over a restart; 2: not (the default) */
    uint32_t spare;          /* 0 */
};
#define WARP_OPTIONS_INIT                                                                      \
    {                                                                                          \
        sizeof(struct warp_options), 0, WARP_COMMIT, 100, WARP_READ_DURABLE_AUTO, 0,           \
            WARP_CREATE, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, \
            NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0                                              \
                                                                                 \
    }

/*
 * Open the database in directory `path` (recovering it if it was not closed), or make it.
 * Blocks for as long as the replay takes. options may be NULL. *db must be NULL on entry.
 * Errors: WARP_EINVAL, _ENOMEM, _EIO, _ENOSPC, _EBUSY, _EFORMAT, _EVERSION, _EDAMAGED, _EPERM,
 * _ENOTDIR, _ENOENT, _EEXIST, _ESYSTEM; options->message gets the sentence.
 */
WARP_API int warp_open(const char *path, const struct warp_options *options, struct warp **db);

/*
 * Flush, stop the threads, release everything and set *db to NULL, also when it returns an
 * error: WARP_EFAILED or _EIO if the last flush failed (the handle is gone all the same).
 * All sessions and batches must have been destroyed, all borrowed values returned, and threads
 * that have called it and end must have ended (be joined). Closing a NULL handle is 0.
 */
WARP_API int warp_close(struct warp **db);

/*
 * Why the database is in its read-only failed state, as a sentence in buffer (cut to capacity,
 * always terminated if capacity > 0). Returns 0 when it has not failed (buffer becomes empty),
 * else WARP_EFAILED. Any thread, never blocks.
 */
WARP_API int warp_failure(struct warp *db, char *buffer, size_t capacity);

/* What the open found: filled by warp_open(), constant afterwards. */
struct warp_recovery {
    size_t size;
    uint64_t records;         /* live records after the replay */
    uint64_t frames;          /* log frames read */
    uint64_t operations;      /* puts and deletes in them */
    uint64_t bytes_read;      /* of log */
    uint64_t bytes_cut;       /* of unfinished tail that no durable mark covered */
    uint64_t duration_ns;
    uint64_t expired;         /* records dropped because their time had passed */
    uint32_t clean;           /* 1: the last user closed the database properly */
    uint32_t fencing_epoch;   /* how often the database has been opened for writing */
};
#define WARP_RECOVERY_INIT { sizeof(struct warp_recovery), 0, 0, 0, 0, 0, 0, 0, 0, 0 }
WARP_API int warp_recovery_info(struct warp *db, struct warp_recovery *out);

/* ---- writing and reading, blocking ---------------------------------------------------- */

enum warp_condition {
    WARP_IF_ANY = 0,
    WARP_IF_ABSENT = 1,   /* only if there is no such key (an expired one counts as none) */
    WARP_IF_PRESENT = 2,  /* only if there is one */
    WARP_IF_SEQUENCE = 3, /* only if there is one and its sequence is if_sequence */
    WARP_IF_VALUE = 4,    /* only if there is one and its value is if_value */
};

struct warp_write {
    size_t size;
    uint32_t durability; /* enum warp_durability */
    uint32_t condition;  /* enum warp_condition */
    uint64_t ttl_ms;     /* 0: never expires; else at most 100 years */
    uint64_t if_sequence;
    struct warp_slice if_value;
};
#define WARP_WRITE_INIT { sizeof(struct warp_write), 0, 0, 0, 0, { NULL, 0 } }

/*
 * A value on loan: `data` stays readable, unchanged, until warp_return(), whatever happens to
 * the key meanwhile. data may be NULL when bytes is 0.
 */
struct warp_value {
    const void *data;
    size_t bytes;
    uint64_t sequence;
    uint64_t expires_at_ms; /* Unix time; 0: never */
    void *opaque[3];        /* the engine's */
};
#define WARP_VALUE_INIT { NULL, 0, 0, 0, { NULL, NULL, NULL } }

/*
 * Write a value. Blocks at WARP_COMMIT until the log bytes are on stable storage; otherwise only
 * for room in the log buffer (bounded: WARP_AGAIN after 10 s), and up to 20 ms while checkpoints and
 * compaction lag behind (see warp_pressure). *sequence gets the write's place
 * in the one order; it may be NULL. how may be NULL.
 * WARP_CONFLICT: the condition failed. Errors: _EKEY, _EVALUE, _EINVAL, _ENOMEM, _ENOSPC,
 * _EFAILED (outcome unknown if the log failed while this write waited), _EREADONLY.
 */
WARP_API int warp_put(struct warp *db, struct warp_slice key, struct warp_slice value,
                      const struct warp_write *how, uint64_t *sequence);

/*
 * Copy the value into buffer. WARP_ABSENT; WARP_TRUNCATED when capacity is too small (nothing is
 * copied, *bytes has the size needed; buffer may be NULL if capacity is 0). With read_durable it
 * waits until what it saw (absence after a delete included) is on stable storage.
 * Errors: _EKEY, _EFAILED (only a durable read whose value can no longer become durable).
 */
WARP_API int warp_get(struct warp *db, struct warp_slice key, void *buffer, size_t capacity,
                      size_t *bytes, uint64_t *sequence);

/* Remove a key. WARP_ABSENT if there is none, WARP_CONFLICT if the condition failed (an absent
 * key fails _IF_PRESENT, _SEQUENCE and _VALUE). Blocks and fails as warp_put() does. */
WARP_API int warp_delete(struct warp *db, struct warp_slice key, const struct warp_write *how,
                         uint64_t *sequence);

/*
 * Add delta to a value that is decimal text of a signed 64-bit number; an absent key counts as 0.
 * *result gets the sum and may be NULL. The expiry is kept unless how->ttl_ms is given.
 * Conditions apply to the value before. Errors: _ENUMBER, _ERANGE and those of warp_put().
 */
WARP_API int warp_add(struct warp *db, struct warp_slice key, int64_t delta,
                      const struct warp_write *how, int64_t *result);

/* As warp_get(), without a copy: *out is on loan and must be given to warp_return(). */
WARP_API int warp_borrow(struct warp *db, struct warp_slice key, struct warp_value *out);

/* End a loan, from any thread, and clear *value. A value that holds no loan is left alone. */
WARP_API void warp_return(struct warp_value *value);

/*
 * Borrow many values at once, several times faster per key than one by one. results[i] is 0,
 * WARP_ABSENT or an error (WARP_EKEY) for keys[i]; values[i] is on loan where results[i] is 0 and
 * cleared otherwise. Not a snapshot: each key is read by itself. Returns 0, or WARP_EINVAL.
 */
WARP_API int warp_multi_get(struct warp *db, const struct warp_slice *keys, size_t count,
                            struct warp_value *values, int *results);

/* ---- atomic batches ------------------------------------------------------------------- */

/* A batch belongs to one thread at a time. */
WARP_API int warp_batch_create(struct warp *db, struct warp_batch **batch);
/* Append a write; key and value are copied. Errors: _EKEY, _EVALUE, _EBATCH (full), _ENOMEM. */
WARP_API int warp_batch_put(struct warp_batch *batch, struct warp_slice key,
                            struct warp_slice value, uint64_t ttl_ms);
WARP_API int warp_batch_delete(struct warp_batch *batch, struct warp_slice key);
/*
 * Write all of it, over any number of shards: after a crash all of it is there or none of it.
 * Later operations on a key win over earlier ones. While it runs, readers may see some of its
 * keys before others. The batch is empty again after success; after an error it is unchanged,
 * so that it can be tried again. how->condition must be WARP_IF_ANY, how->ttl_ms 0. *sequence
 * gets that of the last operation. An empty batch is 0. Blocks and fails as warp_put() does.
 */
WARP_API int warp_batch_commit(struct warp_batch *batch, const struct warp_write *how,
                               uint64_t *sequence);
WARP_API void warp_batch_destroy(struct warp_batch **batch);

/* ---- the whole database --------------------------------------------------------------- */

/* Blocks until everything acknowledged before the call is on stable storage. */
WARP_API int warp_flush(struct warp *db);
/*
 * Write the index to a checkpoint now, so that the next open begins there: blocks until it is sealed.
 * Checkpoints are made without being asked for, too, as options.recovery_ms_max demands. Writing and
 * reading go on meanwhile. Errors: WARP_EREADONLY, _EFAILED, _ENOSPC, _EIO, _ENOMEM: there is none
 * then, and nothing else is lost.
 */
WARP_API int warp_checkpoint(struct warp *db);
/*
 * Copy what is still alive in old log and old archives together, compressed, and remove what nothing
 * refers to any more: blocks until that is done, with checkpoints before and after. It is done without
 * being asked for, too, when space_permille is exceeded. Errors as warp_checkpoint().
 */
WARP_API int warp_compact(struct warp *db);

/* Something in a file that is not as it was written. */
struct warp_verify_damage {
    const char *file;  /* its name in the database's directory; lives until the callback returns */
    uint64_t offset;   /* in the file */
    uint64_t bytes;    /* how much, as far as is known; UINT64_MAX: unknown, or all of it */
    uint64_t position; /* in the log; UINT64_MAX: it is not in the log */
    const char *what;  /* part of a sentence: "the body's checksum is wrong"; as file */
};

struct warp_verify_options {
    size_t size;
    uint64_t bytes_per_s; /* read at most so many a second; 0: as fast as it goes */
    void (*damage)(void *context, const struct warp_verify_damage *damage); /* may be NULL */
    /* Called for every megabyte or so; other than 0 ends it, and warp_verify() returns that. NULL: none. */
    int (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_total);
    void *context; /* of both, which run on the calling thread */
};
#define WARP_VERIFY_OPTIONS_INIT { sizeof(struct warp_verify_options), 0, NULL, NULL, NULL }

struct warp_verify_report {
    size_t size;
    uint64_t damages;
    uint64_t files;      /* that were checked to their end */
    uint64_t files_gone; /* removed by the engine while they were checked, which is no damage */
    uint64_t bytes;      /* read */
    uint64_t frames;     /* of log */
    uint64_t log_end;    /* the log was checked as far as it was durable when that began */
};
#define WARP_VERIFY_REPORT_INIT { sizeof(struct warp_verify_report), 0, 0, 0, 0, 0, 0 }

/*
 * Read all that the database has on disk and check it, while everything goes on: the manifest, the
 * checkpoints, the log as far as it is durable (all of it: warp_flush() first), old log and archives.
 * What the engine removes meanwhile is no damage. Blocks the calling thread for as long as reading
 * takes, holds nothing that others wait for, and needs a few MiB, or the greatest record; what it finds
 * changes nothing about how the database goes on. options and report may be NULL. 0; WARP_EDAMAGED if
 * there is damage, all of which was told; what progress returned; WARP_EINVAL, _ENOMEM, _EIO.
 */
WARP_API int warp_verify(struct warp *db, const struct warp_verify_options *options,
                         struct warp_verify_report *report);

/* How many records there are; expired ones count until the sweep has met them. Never blocks. */
WARP_API int warp_count(struct warp *db, uint64_t *records);

/*
 * Visit every record once, slot by slot, for dumps and checks. Not a snapshot: a record that is
 * there throughout is visited exactly once; one written or deleted meanwhile may be missed or
 * seen. The slices live until visit returns; visit runs on the calling thread, may call any
 * function on db but warp_close(), and ends the walk by returning non-zero, which is then what
 * warp_visit() returns.
 */
typedef int (*warp_visitor)(void *context, struct warp_slice key, const struct warp_value *value);
WARP_API int warp_visit(struct warp *db, warp_visitor visit, void *context);

/* ---- asynchronous sessions ------------------------------------------------------------ */

enum warp_opcode { WARP_OP_GET = 1, WARP_OP_PUT = 2, WARP_OP_DELETE = 3, WARP_OP_ADD = 4 };

struct warp_request {
    size_t size;
    uint32_t opcode;
    uint64_t cookie; /* comes back in the completion */
    struct warp_slice key, value;
    int64_t delta;
    uint64_t deadline_ns; /* 0: none; else CLOCK_MONOTONIC: WARP_EDEADLINE if not begun by then */
    const struct warp_write *how;
};
#define WARP_REQUEST_INIT                                                                      \
    {                                                                                          \
        sizeof(struct warp_request), 0, 0, { NULL, 0 }, { NULL, 0 }, 0, 0, NULL                \
    }

struct warp_completion {
    uint64_t cookie;
    int32_t result; /* as the blocking call would have returned */
    uint32_t opcode;
    uint64_t sequence;
    int64_t number;          /* WARP_OP_ADD: the sum */
    struct warp_value value; /* WARP_OP_GET, result 0: on loan, give it to warp_return() */
};

/* depth: how many requests may be submitted and not yet polled, 1 - WARP_SESSION_DEPTH_MAX. */
WARP_API int warp_session_create(struct warp *db, uint32_t depth, struct warp_session **session);

/*
 * Take requests in order; returns how many were taken (fewer than count when depth is reached or
 * the log buffer is full: back-pressure, poll and submit the rest), or < 0 if the first could not
 * even be looked at (WARP_EINVAL). The request structs may be reused at once; key, value and `how`
 * (with its if_value) stay the caller's and must live until the completion has been polled.
 * Requests of one session on one key are carried out in the order of submission. Does not wait
 * for the disk, but when a write finds no memory: then values must become durable and leave,
 * which takes this call or warp_poll(), whatever its timeout, up to 20 ms per shard; and but for
 * up to 5 ms after writes, while checkpoints and compaction lag behind (see warp_pressure). Is that
 * not enough, nothing is taken until everything in flight has been polled, and then a few.
 */
WARP_API int warp_submit(struct warp_session *session, const struct warp_request *requests,
                         size_t count);

/*
 * Take up to count completions, in any order. Waits up to timeout_ns (0: not at all, UINT64_MAX:
 * for ever) for the first, unless nothing is in flight. Returns how many came, or < 0.
 */
WARP_API int warp_poll(struct warp_session *session, struct warp_completion *out, size_t count,
                       uint64_t timeout_ns);

/*
 * A descriptor that is readable while completions wait: for epoll, libuv and their like. It stays
 * the session's: do not read or close it; warp_poll() until it returns 0 resets it. Now and then it
 * becomes readable although nothing waits: warp_poll() then returns 0.
 */
WARP_API int warp_session_fd(struct warp_session *session);

/* Waits for what is in flight, drops completions not polled, returns their loans. */
WARP_API void warp_session_destroy(struct warp_session **session);

/* ---- backups ---------------------------------------------------------------------------- */

/*
 * A backup is a consistent copy of a database that is in use, in a directory that several backups
 * share: files that never change again are copied once, so each backup after the first copies only
 * what is new since (docs/BACKUP.md). It holds exactly the writes whose sequence is below
 * info.sequence: all that had been acknowledged, at any level, before warp_backup() was called, and
 * a prefix of what came meanwhile.
 */

/*
 * Called with the bytes read so far and the bytes to read in all, about ten times a second when the
 * speed is limited and once for each MiB when not, on the calling thread. What it returns, if it is
 * not 0, ends the work, and is then what the function returns; nothing is left of it.
 */
typedef int (*warp_backup_progress)(void *context, uint64_t bytes_done,
                                    uint64_t bytes_total);

struct warp_backup_options {
    size_t size;
    uint64_t bytes_per_second;     /* of reading; 0: no limit */
    warp_backup_progress progress; /* NULL: none */
    void *progress_context;
    char *message;        /* NULL, or where a sentence is put when it fails ... */
    size_t message_bytes; /* ... of at most so many bytes, the closing zero included */
};
#define WARP_BACKUP_OPTIONS_INIT                                                               \
    {                                                                                          \
        sizeof(struct warp_backup_options), 0, NULL, NULL, NULL, 0                             \
    }

struct warp_backup_info {
    size_t size;
    uint64_t number;        /* 1, 2, ...: newer is greater */
    uint64_t made_ms;       /* Unix time */
    uint64_t sequence;      /* every write below it is in, no other is */
    uint64_t files, bytes;  /* it consists of */
    uint64_t files_copied, bytes_copied; /* of these, by it; the others are earlier backups' */
    uint64_t checkpoint;    /* number of the one it begins with; 0: with the log alone */
    uint32_t fencing_epoch; /* how often the database had been opened for writing */
    uint32_t damaged;       /* 1: its description cannot be read, and only number is known */
};
#define WARP_BACKUP_INFO_INIT { sizeof(struct warp_backup_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * Make one more backup of db in `directory`, which is made if it is not there; it may hold backups
 * already, also of other databases, but nothing else. Blocks until the backup is on stable storage.
 * Reading, writing, checkpoints and compaction go on; files that it needs stay until it is done.
 * options and info may be NULL. After an error, earlier backups are as before. A read-only handle
 * will do.
 * Errors: WARP_EBUSY (one is being made of db, or the directory is in use), _EFORMAT (the directory
 * holds something else), _EFAILED, _ENOSPC, _EIO, _EDAMAGED (a file of db), _EPERM, _ENOTDIR,
 * _ENOMEM, _EINVAL.
 */
WARP_API int warp_backup(struct warp *db, const char *directory,
                         const struct warp_backup_options *options,
                         struct warp_backup_info *info);

/*
 * Make a database in `path` of a backup (number 0: the newest). path must be absent or empty. Every
 * byte is compared with its checksum before the database can be opened; an open refuses what an
 * unfinished restore left. options and info may be NULL.
 * Errors: WARP_ENOENT (no such backup), _EDAMAGED (message names the file), _EEXIST (path is not
 * empty), _EBUSY, _ENOSPC, _EIO, _EVERSION, _EPERM, _ENOTDIR, _ENOMEM, _EINVAL.
 */
WARP_API int warp_restore(const char *directory, uint64_t number, const char *path,
                          const struct warp_backup_options *options,
                          struct warp_backup_info *info);

/* Called for each backup, oldest first. info lives until it returns; what it returns, if it is not
 * 0, ends the walk and is then what warp_backup_list() returns. */
typedef int (*warp_backup_visitor)(void *context, const struct warp_backup_info *info);
WARP_API int warp_backup_list(const char *directory, warp_backup_visitor visit, void *context,
                              const struct warp_backup_options *options);

/* Compare every byte of a backup (number 0: of all) with its checksum. 0, or WARP_EDAMAGED with the
 * file in message, or another error. */
WARP_API int warp_backup_verify(const char *directory, uint64_t number,
                                const struct warp_backup_options *options);

/* Remove a backup, and the files that no other one has. WARP_ENOENT: there is no such backup. */
WARP_API int warp_backup_delete(const char *directory, uint64_t number,
                                const struct warp_backup_options *options);

/* ---- where slots are --------------------------------------------------------------------- */

/*
 * Keys lie in WARP_SLOT_COUNT slots, and each slot belongs to a shard. options.gravity has slots moved
 * while the database works, by the load that is measured; warp_balance() moves them once, by weights.
 * Where slots are matters to how even the load of the shards is and to nothing else. It is kept over a
 * reopening with the same number of shards.
 */
struct warp_balance_options {
    size_t size;
    const uint64_t *weights; /* WARP_SLOT_COUNT, in any unit: how much work each slot is (requests of a
                                recording, say); NULL: the bytes that its records take in memory */
    uint32_t even;           /* 1: deal the slots in turn, as in a new database, whatever they weigh */
    uint32_t dry_run;        /* 1: only say what would be done; a read-only handle will do */
    /* Called for each slot that is to move, by slot; may be NULL. why lives until it returns. */
    void (*move)(void *context, uint32_t slot, uint32_t from, uint32_t to, const char *why);
    /* Called for each shard that keeps more than it should, with the reason; may be NULL. */
    void (*say)(void *context, const char *sentence);
    void *context; /* of both, which run on the calling thread */
};
#define WARP_BALANCE_OPTIONS_INIT { sizeof(struct warp_balance_options), NULL, 0, 0, NULL, NULL, NULL }

struct warp_balance_report {
    size_t size;
    uint64_t moves;          /* that are to be made */
    uint64_t moves_made;     /* fewer than that in a dry run, or where a slot was in use all the time */
    double lambda;           /* weight of the heaviest shard, of the mean, as found; 0: nothing weighs */
    double lambda_planned;   /* after the moves */
    double evenness;         /* entropy of the shards' weights, of the greatest there can be ... */
    double evenness_planned; /* ... after the moves */
    uint32_t shard_count;
    uint32_t reserved;
};
#define WARP_BALANCE_REPORT_INIT { sizeof(struct warp_balance_report), 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * Plan where slots should be, and move them there, while reading and writing go on. Blocks for as long
 * as the moves take, some microseconds each and a microsecond per 50 records. options and report may
 * be NULL. Errors: WARP_EREADONLY, _EINVAL, _ENOMEM; the slots that have been moved stay so.
 */
WARP_API int warp_balance(struct warp *db, const struct warp_balance_options *options,
                          struct warp_balance_report *report);

/* ---- metrics -------------------------------------------------------------------------- */

/*
 * Prometheus text format 0.0.4. *bytes gets the length without the closing zero; WARP_TRUNCATED if
 * capacity is too small, with the size needed (zero included) in *bytes. Any thread, no locks.
 */
WARP_API int warp_metrics_render(struct warp *db, char *buffer, size_t capacity, size_t *bytes);

/*
 * The same, those of each shard included, as an image of what the file METRICS holds: for tools that
 * know observe/snapshot.h, on this machine. *bytes gets the size (WARP_TRUNCATED: the size needed).
 * Any thread, no locks.
 */
WARP_API int warp_metrics_snapshot(struct warp *db, void *buffer, size_t capacity,
                                   size_t *bytes);

/*
 * A blocking get, borrow, put, delete or add that took options.slow_ns or longer. The stages do not
 * overlap; what is left of duration_ns is the call's own work.
 */
struct warp_slow {
    size_t size;
    uint64_t number;      /* 1, 2, ... of those since the open */
    uint64_t ended_ms;    /* Unix time */
    uint64_t duration_ns; /* all of it */
    uint64_t wait_ns;     /* for the lease of its shard, or until its message was run */
    uint64_t execute_ns;  /* under the lease, or looking for the key */
    uint64_t room_ns;     /* for room in the log */
    uint64_t durable_ns;  /* until the log was on stable storage */
    uint64_t disk_ns;     /* for a value that was on disk only */
    uint64_t memory_ns;   /* making room in memory */
    uint64_t pace_ns;     /* held up because checkpoints or compaction lag behind, see warp_pressure */
    uint32_t opcode;      /* enum warp_opcode; a borrow is a get */
    int32_t result;       /* as it was answered */
    uint32_t slot, shard; /* which had it when it ended */
    uint64_t key_bytes, value_bytes; /* value: of a put or a borrow */
    struct warp_slice key; /* the first 32 bytes of it */
};

/*
 * Called for each of the last 64 such calls, the newest first. slow lives until it returns; what it returns,
 * if it is not 0, ends the walk and is then what warp_slow_visit() returns. It runs on the calling thread
 * with nothing held. Other processes find them in the file METRICS: `warp top`, the exporter's /debug/slow.
 * Any thread. Errors: WARP_EINVAL.
 */
typedef int (*warp_slow_visitor)(void *context, const struct warp_slow *slow);
WARP_API int warp_slow_visit(struct warp *db, warp_slow_visitor visit, void *context);

/*
 * The same over HTTP, for Prometheus and its like, from a thread inside this process: /metrics (text
 * 0.0.4, or OpenMetrics by Accept; ?shards=1 adds those of each shard), /-/healthy, /-/ready (503 and
 * a reason in JSON if the log has failed or writes are held up), /debug/shards, /debug/slow and /debug/hot (JSON), / (in
 * a browser: a page that shows it as it moves) and /events, which feeds that page (at most 16 followers, or a
 * quarter of connections_max).
 *
 * These three functions are in a library of their own, libwarp-serve (pkg-config warp-serve), which
 * needs libmicrohttpd: an application that does not serve does not load it. The program
 * `warp exporter` serves the same from outside, for many databases at once.
 */
struct warp_metrics_server;

struct warp_serve_options {
    size_t size;
    const char *address;      /* a number, IPv4 or IPv6; NULL: 127.0.0.1 */
    uint32_t port;            /* 0: the system chooses */
    uint32_t connections_max; /* 2 - 10,000; 0: 64. When there are more, the one that has waited longest goes */
    uint32_t timeout_ms;      /* of a connection without traffic, rounded up to seconds; 0: 10,000 */
    const char *name;         /* of the database, for the label `database`; NULL: no label */
    char *message;            /* NULL, or where a sentence is put when it fails ... */
    size_t message_bytes;     /* ... of at most so many bytes, the closing zero included */
};
#define WARP_SERVE_OPTIONS_INIT                                                                \
    {                                                                                          \
        sizeof(struct warp_serve_options), NULL, 0, 0, 0, NULL, NULL, 0                        \
    }

/*
 * Begin. Returns at once; options may be NULL; *server must be NULL. Stop it before warp_close().
 * Errors: WARP_EINVAL, _ENOMEM, _ESYSTEM (the address or the port cannot be had).
 */
WARP_SERVE_API int warp_metrics_serve(struct warp *db, const struct warp_serve_options *options,
                                      struct warp_metrics_server **server);
WARP_SERVE_API uint32_t warp_metrics_server_port(const struct warp_metrics_server *server);
/* Waits for the answers that are being written. Sets *server to NULL. */
WARP_SERVE_API void warp_metrics_server_stop(struct warp_metrics_server **server);

#ifdef __cplusplus
}
#endif

#endif
