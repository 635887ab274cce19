/*
 * shards/warmup.h - brings back into memory, after an open, what was in memory before.
 *
 * A checkpoint says of each record whether its value was resident and what it had earned there;
 * replaying it leaves a *wish* at the cold record (shards/record). This fulfils the wishes in the
 * background: it collects their places, sorts them, and reads the files front to back in big pieces
 * (wal/stretch), so that what a thousand gets would fetch with a thousand reads comes with a few. It
 * never takes more memory than is free, and when not all fits, what had earned least stays on disk.
 *
 * Life of a warm-up:
 *
 *   BEGIN    how much room each shard has, and so which standings come back
 *   PICK     slots are walked; the lowest places that are wished for are taken down, as many as fit
 *   SORT     ... and put in order
 *   READ     neighbours of one file, with one device read
 *   SETTLE   each of them, under its shard's lease: if the record is still cold and still has
 *            this place, a resident one takes its place
 *   READ     ...; PICK again, if there were more than fit or some have moved
 *   DONE     its memory is given back
 *
 * Whatever becomes of a value, its wish ends when it is settled, so the warm-up does; wishes that are
 * not settled when the database is closed go into its checkpoints, and the next open fulfils them.
 *
 * Threads:   one, the one that removes files (shards/background): no file goes while a step looks at
 *            it. Counters by any.
 * Lifetime:  create and destroy, in the middle or not; what the config refers to outlives it.
 * Units:     records, bytes.
 * Ordering:  a value is published under the lease, if the record has the place it was read from.
 * Errors:    none: what cannot be read or finds no room stays cold, and is counted. Whether it is
 *            damaged, the read that needs it will say.
 * Cost:      memory: a 64th of memory_bytes_max for places, 24 bytes each, and read_bytes. A step is
 *            2,048 records looked at, or 512 places sorted, or one read, or 32 values settled.
 */
#ifndef SHARDS_WARMUP_H
#define SHARDS_WARMUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shards/store.h"
#include "wal/manifest.h"

struct warp_warmup;

struct warp_warmup_config {
    struct warp_store *store;
    const struct warp_disk *disk;
    const struct warp_manifest *manifest;
    uint32_t read_bytes; /* of one read; 0: 256 KiB; a multiple of 4,096, at least 16 KiB */
    uint32_t places_max; /* 0: what a 64th of memory_bytes_max holds */
    bool direct;
};

/* Written by the one thread, read by observers, all relaxed. */
struct warp_warmup_counters {
    _Atomic uint64_t wished;    /* when the database was opened */
    _Atomic uint64_t remaining; /* of these: not settled yet, about */
    _Atomic uint64_t values;    /* brought back */
    _Atomic uint64_t bytes;     /* of memory that these took */
    _Atomic uint64_t
        left; /* settled without: read by somebody before, written, no room, ... */
    _Atomic uint64_t reads;      /* of the device, for many values at a time */
    _Atomic uint64_t lone_reads; /* for one value: it lies in two files, or is too long */
    _Atomic uint64_t read_bytes;
};

int warp_warmup_create(struct warp_warmup **warmup,
                       const struct warp_warmup_config *config);
void warp_warmup_destroy(struct warp_warmup **warmup);

/* One bounded step; false: there is nothing more to do. */
bool warp_warmup_step(struct warp_warmup *warmup);

const struct warp_warmup_counters *warp_warmup_counters(const struct warp_warmup *warmup);

#endif
