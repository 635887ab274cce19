/*
 * shards/removal.h - files that nothing refers to any more, taken from the directory.
 *
 * A file is empty, and every checkpoint that is kept knows it. Still a reader may have seen a
 * record with a place in it, long ago, and be on its way to the disk. So before the file goes:
 *
 *   LEASES   every shard's lease was free once: what its holders took out of the tables is out
 *            for us as well, and whoever found an old record under a lease holds the gate by now
 *   GRACE    every epoch section has ended that may have seen such a record: who saw one holds
 *            the gate, on either side, and from now on nobody sees one
 *   FIRST    the gate was turned (new readers count on the other side), and the side left behind
 *            was seen without readers
 *   SECOND   once more, for the other side: a reader may count on either
 *   FORGET   the reader of places begins no read there any more, and has closed the file
 *   DROP     segments become spares or are unlinked, archives are unlinked
 *   SYNC     the directory is synced; the holding is removed
 *   LEDGERS  where slots have moved, each shard forgets what it has counted of the file
 *
 * All of that is done for a group of files together. Turning the gate twice is from McKenney's
 * sleepable RCU, 2006: that nobody waits for readers that come later.
 *
 * Threads:   one.
 * Lifetime:  embedded; fini waits for a grace period that has begun.
 * Units:     numbers of checkpoints.
 * Ordering:  see above.
 * Errors:    those of unlink and of the sync of the directory: tried again in the next step.
 * Cost:      a step does one of these things and never waits.
 */
#ifndef SHARDS_REMOVAL_H
#define SHARDS_REMOVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/epoch.h"
#include "base/io.h"
#include "shards/holdings.h"
#include "shards/store.h"
#include "wal/segment.h"

#define WARP_REMOVAL_FILES_MAX 16u

enum warp_removal_phase {
    WARP_REMOVAL_PICK,
    WARP_REMOVAL_LEASES,
    WARP_REMOVAL_GRACE,
    WARP_REMOVAL_FIRST,
    WARP_REMOVAL_SECOND,
    WARP_REMOVAL_FORGET,
    WARP_REMOVAL_DROP,
    WARP_REMOVAL_SYNC,
    WARP_REMOVAL_LEDGERS,
};

struct warp_removal_file {
    uint64_t index;
    bool archive;
};

struct warp_removal {
    /* Set by init. */
    struct warp_store *store;
    struct warp_holdings *holdings;
    struct warp_segments *segments; /* of the log */
    const struct warp_disk *disk;
    struct warp_epoch_record *record;

    enum warp_removal_phase phase;
    struct warp_removal_file files[WARP_REMOVAL_FILES_MAX];
    uint32_t count;
    uint32_t at; /* which file, or which shard */
    uint32_t side;
    bool turned;
    bool grace_over;
    bool grace_begun;
    struct warp_epoch_entry entry;
    uint64_t removed; /* so far */
};

int warp_removal_init(struct warp_removal *removal, struct warp_store *store,
                      struct warp_holdings *holdings, struct warp_segments *segments,
                      const struct warp_disk *disk);
void warp_removal_fini(struct warp_removal *removal);

enum warp_removal_state {
    WARP_REMOVAL_IDLE, /* there is nothing to remove */
    WARP_REMOVAL_WORKED,
    WARP_REMOVAL_BLOCKED, /* somebody is still there, or *error says why */
};

/* checkpoint_oldest: number of the oldest checkpoint that is kept. */
enum warp_removal_state warp_removal_step(struct warp_removal *removal,
                                          uint64_t checkpoint_oldest, int *error);

#endif
