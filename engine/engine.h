/*
 * engine/engine.h - one open database: builds it, takes it apart.
 *
 * Composition only: the directory and its lock, the manifest, the segments, the replay, the log,
 * the shards, the callers. engine/api.c is the public face over it.
 *
 * Threads:   open and close by one thread each; turn and check as env says; the struct is the
 *            engine room's own.
 * Lifetime:  warp_engine_open() to warp_engine_close().
 * Units:     see include/warp/warp.h.
 * Ordering:  the doors open when open returns.
 * Errors:    enum warp_error, and a sentence in options->message.
 * Cost:      open loads the last checkpoint and replays the log behind it.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "engine/caller.h"
#include "engine/hot.h"
#include "engine/publish.h"
#include "engine/slow.h"
#include "shards/background.h"
#include "shards/store.h"
#include "wal/checkpoint.h"
#include "wal/manifest.h"
#include "wal/outlook.h"
#include "wal/segment.h"
#include "warp/warp.h"

struct warp {
    struct warp_options options; /* with defaults filled in */
    struct warp_env env;
    struct warp_disk disk; /* ours, if env had none */
    bool own_disk;
    bool locked;
    bool read_only;
    bool read_durable;
    uint32_t durability;
    struct warp_memory boot;   /* of this struct alone */
    struct warp_memory memory; /* of all else */
    struct warp_manifest manifest;
    struct warp_segments segments;
    bool segments_ready;
    struct warp_epoch *epoch;
    struct warp_callers callers;
    bool callers_ready;
    struct warp_slow_ring slow;
    struct warp_hot hot;
    struct warp_store *store;
    struct warp_reader *reader;
    struct warp_wal *wal; /* NULL when read-only */
    /* What recovery found: the newest checkpoints, and the files they hold on to. */
    struct warp_checkpoint_summary checkpoints[2];
    uint64_t checkpoint_last; /* number of the newest file there is, good or not */
    struct warp_holdings holdings;
    bool holdings_ready;
    struct warp_background *background; /* NULL when read-only */
    struct warp_publish *publish;       /* NULL: no file METRICS is wanted */
    struct warp_manifest
        identity;                /* as it was when the doors opened; constant afterwards */
    uint64_t recovered_end;      /* of the log, when it was opened */
    _Atomic uint32_t backing_up; /* a backup is being made */
    struct warp_recovery recovery;
    struct warp_outlook outlook;      /* from what it took; constant afterwards */
    bool placement_lost;              /* there was a file of it that was of no use */
    struct warp_writer_tail log_tail; /* the opener's */
    _Atomic uint64_t sessions;        /* open now */
    uint64_t opened_ns;
};

/* env may be NULL: the real one, with threads. */
int warp_engine_open(const char *path, const struct warp_options *options,
                     const struct warp_env *env, struct warp **db);
int warp_engine_close(struct warp **db);

/* Without threads: actor 0 is the log, 1 ... are the shards, then comes the one that reads values
 * from disk, and last the background. True if the turn did work. */
uint32_t warp_engine_actors(struct warp *db);
bool warp_engine_turn(struct warp *db, uint32_t actor);

/*
 * Give a slot to another shard, while everybody goes on: for whoever decides where slots belong, on any
 * thread that is inside no call. 0: done, or it was there; WARP_AGAIN: not now, a lease was busy or the
 * slot is growing fast; WARP_EINVAL: no such slot or shard; WARP_ENOMEM: see shards/move.h. One call
 * moves one slot and takes a time that follows the slot's records, in steps of some microseconds;
 * readers are not held up, and no lease is held from one step to the next.
 */
int warp_engine_move_slot(struct warp *db, uint32_t slot, uint32_t shard);

/* Walk and assert all structures. */
void warp_engine_check(struct warp *db);

#endif
