/*
 * observe/snapshot.h - all metrics of a database at one moment, as bytes that another process reads.
 *
 * An image is a head, which never changes, and two slots that are written in turn. The head carries
 * the catalogue as text, so a reader of another version reads it too. Every slot carries the number
 * of its snapshot and a checksum over all of it, and the newer one of those that are whole counts:
 * whoever writes never touches the last good one, so a writer that dies in the middle leaves that, and
 * a reader waits for nobody. Two copies written in turn, as an idea, are as old as dual superblocks.
 *
 *     0        head: magic, version, where all the rest is, checksum
 *     4096     the catalogue: one line each, fields between tabs
 *     ...      slot 0: about, values, bounds, histograms, shards, owners of slots, slow calls, hot keys
 *     ...      slot 1
 *
 * Threads:   any; nothing is kept.
 * Lifetime:  the caller's buffers. A reading points into the image and the catalogue it was read from.
 * Units:     of a value as its row says; "seconds" are held as nanoseconds.
 * Ordering:  none: the checksum is what tells a whole slot from a torn one.
 * Errors:    read: WARP_EFORMAT it is no image, _EVERSION of a newer version, _EDAMAGED the head,
 *            _AGAIN no slot is whole (it is being written: look again).
 * Cost:      a look at all buckets and a checksum over all of it, tens of microseconds.
 *
 * Numbers have the machine's own byte order: an image is read on the machine that wrote it.
 */
#ifndef OBSERVE_SNAPSHOT_H
#define OBSERVE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"
#include "base/process.h"
#include "observe/catalogue.h"

#define WARP_SNAPSHOT_BUCKETS   22u
#define WARP_SNAPSHOT_IMAGE_MAX (UINT64_C(1) << 20)
#define WARP_SNAPSHOT_ROWS_MAX  512u
#define WARP_SNAPSHOT_SHARDS    1024u /* a reader believes no more */

#define WARP_SNAPSHOT_SLOW      64u /* calls, the newest */
#define WARP_SNAPSHOT_HOT       16u /* keys, the hottest */
#define WARP_SNAPSHOT_KEY_BYTES 32u /* of a key in one of these */

enum warp_snapshot_state {
    WARP_SNAPSHOT_OPEN = 1,
    WARP_SNAPSHOT_CLOSED = 2, /* properly; the values are the last ones */
};

/* Whose metrics they are, and of when. */
struct warp_snapshot_about {
    uint64_t sequence; /* of snapshots of this opening, 1, 2, ... */
    uint64_t state;    /* enum warp_snapshot_state */
    struct warp_process process;
    uint64_t fencing_epoch;
    uint64_t opened_ms;    /* Unix time */
    uint64_t published_ms; /* Unix time */
    uint64_t
        published_ns; /* CLOCK_MONOTONIC, while the machine has not been started anew */
    uint64_t
        interval_ns; /* the next one comes after so long at the latest; 0: on request only */
    char version[32]; /* of the engine */
    char io[32];      /* its way to the disk */
};

/* A histogram in few buckets; quantiles come from all that the engine has. Nanoseconds. */
struct warp_snapshot_histogram {
    uint64_t count, sum, max;
    uint64_t p50, p90, p99, p999;
    uint64_t buckets
        [WARP_SNAPSHOT_BUCKETS]; /* at most so long, and longer than the one before */
};

/* Upper ends of the buckets, in ns; what is longer is in none, but in count. */
extern const uint64_t warp_snapshot_bounds[WARP_SNAPSHOT_BUCKETS];

/* count becomes what is in the buckets of `from`, so that the parts always fit the whole. */
void warp_snapshot_histogram(struct warp_snapshot_histogram *out,
                             const struct warp_histogram *from);

/* On what a slow call spent its time. */
enum warp_slow_stage {
    WARP_SLOW_WAIT,    /* for the lease of its shard, or until its message was run */
    WARP_SLOW_EXECUTE, /* under the lease, or looking for the key */
    WARP_SLOW_ROOM,    /* for room in the log */
    WARP_SLOW_DURABLE, /* until the log was on disk */
    WARP_SLOW_DISK,    /* for a value that was on disk only */
    WARP_SLOW_MEMORY,  /* making room in memory */
    WARP_SLOW_PACE,    /* held up because checkpoints or compaction lag behind */
    WARP_SLOW_STAGES
};

/* A blocking call that took longer than options.slow_ns. */
struct warp_snapshot_slow {
    uint64_t number;   /* 1, 2, ... of those since the open */
    uint64_t ended_ms; /* Unix time */
    uint64_t duration_ns;
    uint64_t stages_ns[WARP_SLOW_STAGES]; /* what is left of duration is in none */
    uint32_t opcode;                      /* enum warp_opcode */
    int32_t result;                       /* as it was answered */
    uint32_t slot, shard;
    uint32_t key_bytes, value_bytes;
    uint8_t key[WARP_SNAPSHOT_KEY_BYTES]; /* its first bytes */
};

/* A key that is asked for much, as estimated from a sample of the calls. */
struct warp_snapshot_hot {
    uint64_t count, over; /* calls; at most so many of them were for another key */
    uint32_t key_bytes, reserved;
    uint8_t key[WARP_SNAPSHOT_KEY_BYTES]; /* its first bytes */
};

/* What a slot is written from. */
struct warp_snapshot {
    struct warp_snapshot_about about;
    struct warp_catalogue_values values;
    struct warp_snapshot_histogram histograms[WARP_CATALOGUE_HISTOGRAMS];
    uint32_t shard_count;
    const struct warp_catalogue_shard *shards; /* shard_count of them */
    uint32_t owner_count;                      /* 0, or one for each slot */
    const uint8_t *owners;                     /* which shard has it */
    uint32_t slow_count;
    const struct warp_snapshot_slow *slow; /* the newest first */
    uint64_t hot_total;                    /* calls, of all keys, that the next are of */
    uint32_t hot_count;
    const struct warp_snapshot_hot *hot; /* the hottest first */
};

/* ---- writing ------------------------------------------------------------------------------ */

struct warp_snapshot_layout {
    uint64_t head_bytes; /* the catalogue included */
    uint64_t slot_bytes; /* of each of the two; both are multiples of 4096 */
    uint64_t image_bytes;
};

void warp_snapshot_layout(struct warp_snapshot_layout *layout, uint32_t shard_count);

/* head_bytes and slot_bytes of zeroed memory, as layout says for this number of shards. */
void warp_snapshot_write_head(void *head, uint32_t shard_count);
/* How many bytes of the slot are used. Goes to slot (about.sequence % 2). */
size_t warp_snapshot_write_slot(void *slot, const struct warp_snapshot *snapshot);

/* ---- reading ------------------------------------------------------------------------------ */

struct warp_reading_row {
    const char *name, *unit, *help, *worry;
    enum warp_catalogue_kind kind;
};

/* rows are those of the values, then of the shards, then of the histograms. */
struct warp_reading {
    struct warp_snapshot_about about;
    uint32_t value_count, shard_value_count, histogram_count;
    uint32_t bucket_count, shard_count;
    const struct warp_reading_row *rows;
    const uint64_t *values;
    const uint64_t *bounds; /* bucket_count */
    const uint64_t
        *histograms; /* each as struct warp_snapshot_histogram with bucket_count buckets */
    const uint64_t *shards; /* shard_count times shard_value_count */
    uint32_t owner_count;   /* 0: it does not say */
    const uint8_t *owners;
    uint32_t slow_count;
    const struct warp_snapshot_slow *slow; /* the newest first */
    uint64_t hot_total;
    uint32_t hot_count;
    const struct warp_snapshot_hot *hot; /* the hottest first */
};

#define WARP_READING_HISTOGRAM_WORDS 7u /* before the buckets */

/* The catalogue of this version, in the order of a reading's rows. */
const struct warp_reading_row *warp_snapshot_catalogue(void);

/* What a snapshot of this process says, without writing it down. It lives as long as snapshot. */
void warp_snapshot_reading(const struct warp_snapshot *snapshot,
                           struct warp_reading *reading);

/*
 * Read an image, which is aligned to 8 and at most WARP_SNAPSHOT_IMAGE_MAX long; whatever it holds is
 * safe to read. The catalogue's text in it is cut into words, so it can be read once. rows is of
 * WARP_SNAPSHOT_ROWS_MAX.
 */
int warp_snapshot_read(void *image, size_t bytes, struct warp_reading_row *rows,
                       struct warp_reading *reading);

/* The value of a metric of the whole database; WARP_CATALOGUE_NONE if it has none of this name. */
uint64_t warp_reading_value(const struct warp_reading *reading, const char *name);
/* Where a histogram begins, or NULL. */
const uint64_t *warp_reading_histogram(const struct warp_reading *reading, uint32_t index);

#endif
