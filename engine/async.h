/*
 * engine/async.h - the asynchronous caller (warp_session): many requests from one thread.
 *
 * What can be done at once is done in submit: reads directly, writes under leases that happen to
 * be free, a group at a time with their cache misses side by side. The rest waits: for a busy
 * shard in its mailbox, for room in the log in a list per shard, for the mark in the order of
 * submission.
 *
 * Life of a request:
 *
 *   WAITING    in its shard's list, not sent or in the ring    session_push()
 *   EXECUTED   has a result; waits for the mark if it must      session_route()
 *   READY      warp_poll() hands it out                         session_deliver()
 *
 * Threads:   one thread at a time; notify by holders of leases, fire under the writer's lock.
 * Lifetime:  the session and its requests until destroy, which waits for those in flight.
 * Units:     depth counts requests submitted and not polled.
 * Ordering:  requests of one shard, and so of one key, run in the order of submission.
 * Errors:    those of the public calls.
 * Cost:      about 60 ns per request beside the work itself.
 */
#ifndef ENGINE_ASYNC_H
#define ENGINE_ASYNC_H

#include "engine/engine.h"

int warp_async_create(struct warp *db, uint32_t depth, struct warp_session **session);
void warp_async_destroy(struct warp_session **session);
int warp_async_submit(struct warp_session *session, const struct warp_request *requests,
                      size_t count);
int warp_async_poll(struct warp_session *session, struct warp_completion *out, size_t count,
                    uint64_t timeout_ns);
int warp_async_fd(struct warp_session *session);

#endif
