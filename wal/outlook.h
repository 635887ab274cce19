/*
 * wal/outlook.h - how long the next opening would take, from how long openings take here.
 *
 * An opening loads the newest checkpoint, so many records at so much each, and replays the log
 * behind it, byte by byte. Both speeds are those of the opening that came before, on this machine
 * and this disk; where that had too little to do to tell, they are guesses. From them follows how
 * much log may lie behind a checkpoint, so that opening keeps to a time.
 *
 * Threads:   init and measured by the opener; afterwards any may look.
 * Lifetime:  embedded; nothing to release.
 * Units:     ns, bytes of log, records of a checkpoint, bytes of its file.
 * Ordering:  none: it does not change while a database is open.
 * Errors:    none. What was measured is believed within a factor of 4 of the guess: an opening in a bad
 *            moment is not to make a whole life busy with checkpoints.
 * Cost:      two multiplications and divisions.
 */
#ifndef WAL_OUTLOOK_H
#define WAL_OUTLOOK_H

#include <stdint.h>

/* The guesses: a little slower than two CPUs and a virtual disk were (`warp stat`, 10 M records of
 * 16 + 100 bytes, 0.66 s for the checkpoint, 1.25 s for 509 MiB of log). */
#define WARP_OUTLOOK_RECORD_NS 80u               /* of a checkpoint */
#define WARP_OUTLOOK_MIB_NS    UINT64_C(3125000) /* of log */
/* With less than that an opening tells nothing about its speed. */
#define WARP_OUTLOOK_RECORDS_LEAST UINT64_C(65536)
#define WARP_OUTLOOK_LOG_LEAST     (UINT64_C(16) << 20)

struct warp_outlook {
    uint64_t thousand_records_ns; /* to load so many from a checkpoint */
    uint64_t mib_ns;              /* to read and replay so much log */
};

void warp_outlook_init(struct warp_outlook *outlook);

/* That is how long an opening took: so many records of a checkpoint, so much log. */
void warp_outlook_measured(struct warp_outlook *outlook, uint64_t records, uint64_t load_ns,
                           uint64_t log_bytes, uint64_t replay_ns);

/* How long one would take. */
uint64_t warp_outlook_ns(const struct warp_outlook *outlook, uint64_t records,
                         uint64_t log_bytes);

/*
 * How much log there may be behind a checkpoint of so many records and bytes so that an opening takes
 * no longer than `most_ns`. A checkpoint is not to be written for less log than it is long itself,
 * so that is allowed at least, twice, but never more than could be replayed in most_ns alone.
 */
uint64_t warp_outlook_log_bytes(const struct warp_outlook *outlook, uint64_t records,
                                uint64_t checkpoint_bytes, uint64_t most_ns);

#endif
