/*
 * base/ring.h - a bounded queue of pointers from one thread to one other.
 *
 * Over ck_ring of Concurrency Kit (Samy Al Bahra), single producer, single consumer: two
 * indices, each written by one side. Lamport, "Specifying Concurrent Program Modules", ACM
 * TOPLAS 5(2), 1983, is the origin.
 *
 * Threads:   send by one thread at a time, receive by one thread at a time (a lease that
 *            changes hands with release and acquire is "one at a time"); count by any;
 *            create and destroy by the owner alone.
 * Lifetime:  created and destroyed; pointers still inside at destroy are the caller's loss.
 * Units:     pointers. A ring of capacity N holds exactly N, though libck's own ring of the
 *            same size would hold N - 1.
 * Ordering:  send is a release, the receive that gets its pointer an acquire: what the
 *            sender wrote before is seen. Order of sending is kept.
 * Errors:    create: -ENOMEM. A full ring refuses to send, the caller still owns the
 *            pointer; an empty one has nothing to receive.
 * Cost:      about 2 ns each side while the other's index is in cache; one line moves per
 *            message when both are busy.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

struct warp_ring;

/* capacity is a power of two, 1 to 2^30. *ring must be NULL. */
int warp_ring_create(struct warp_memory *memory, uint32_t capacity,
                     struct warp_ring **ring);
void warp_ring_destroy(struct warp_memory *memory, struct warp_ring **ring);

/* By the producer. pointer is not NULL; it moves with the call, or not at all when
 * false. */
bool warp_ring_send(struct warp_ring *ring, void *pointer);

/* By the consumer. *pointer is untouched when there was nothing. */
bool warp_ring_receive(struct warp_ring *ring, void **pointer);

/* How many are inside, about: both sides may be moving. */
uint32_t warp_ring_count(const struct warp_ring *ring);

#endif
