/*
 * engine/recover.h - the last checkpoint and the log behind it back into the slots.
 *
 * Loads the newest checkpoint that is whole, sections side by side; then reads the log from its
 * begin, chunk by chunk; checksums of a chunk are checked on several threads, then all shards take
 * what is theirs at the same time.
 *
 * Threads:   by the opener, before any other thread of the database.
 * Lifetime:  none of its own.
 * Units:     positions of the log.
 * Ordering:  the helping threads are joined before it returns.
 * Errors:    WARP_EDAMAGED, WARP_EIO, WARP_EVERSION, WARP_ENOMEM with a sentence in message.
 * Cost:      one sequential read of the log; one to two million records a second and core.
 */
#ifndef ENGINE_RECOVER_H
#define ENGINE_RECOVER_H

#include "engine/engine.h"

/* *end gets where the log goes on; all that was replayed is on stable storage then, unless the
 * database is read-only. */
int warp_recover(struct warp *db, uint64_t *end, char *message, size_t message_bytes);

#endif
