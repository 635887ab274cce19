/*
 * engine/verify.h - checks the files of a database that is open.
 *
 * wal/audit does the reading; here is what it must know of the running engine, and the pace.
 *
 * Threads:   any, any number at once.
 * Lifetime:  everything ends with the call.
 * Units:     bytes, bytes a second.
 * Ordering:  the durable mark is read once, at the beginning.
 * Errors:    as warp_verify() in include/warp/warp.h says.
 * Cost:      see wal/audit.h; it sleeps where bytes_per_s says so.
 */
#ifndef ENGINE_VERIFY_H
#define ENGINE_VERIFY_H

#include "engine/engine.h"

int warp_engine_verify(struct warp *db, const struct warp_verify_options *options,
                       struct warp_verify_report *report);

#endif
