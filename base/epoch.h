/*
 * base/epoch.h - memory that readers may still see is not reused.
 *
 * A reader enters, looks at whatever it reaches, and leaves; a writer unlinks a thing and
 * retires it; the thing is reclaimed when no reader that might have seen it is still
 * inside. Over ck_epoch of Concurrency Kit; the idea is Fraser, "Practical lock-freedom",
 * UCAM-CL-TR- 579, 2004.
 *
 * Threads:   create, destroy by the owner; register, unregister by any thread; a record by
 *            one thread at a time (its thread, or who holds the lease of its shard, handed
 *            over with release and acquire).
 * Lifetime:  records live as long as the epoch; unregister makes one free for the next
 *            register. An entry is embedded in the thing it retires.
 * Units:     entries.
 * Ordering:  a load between enter and leave sees the thing linked only if its reclaim has
 *            not begun; all such loads happen before the reclaim. The owner's unlinking
 *            store may be any: the poll that takes the entry up fences it fully first.
 * Errors:    create, register: -ENOMEM. Destroying with entries pending asserts.
 * Cost:      enter and leave together about 3 ns: one locked instruction on the record's
 *            own line. Retire and reclaim about 6 ns: two stores, and one full fence for
 *            all that a poll finds; a poll walks all records once.
 */
#ifndef BASE_EPOCH_H
#define BASE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

struct warp_epoch;
struct warp_epoch_record;

/* Three words inside a thing; they are the epoch's from retire until reclaim is called. */
struct warp_epoch_entry {
    void *words[3];
};

/* *epoch must be NULL. */
int warp_epoch_create(struct warp_memory *memory, struct warp_epoch **epoch);

/* No record is inside a section, none has entries pending. */
void warp_epoch_destroy(struct warp_epoch **epoch);

/* *record must be NULL. */
int warp_epoch_register(struct warp_epoch *epoch, struct warp_epoch_record **record);

/* Outside a section and with nothing pending (barrier first if need be); sets it to
 * NULL. */
void warp_epoch_unregister(struct warp_epoch_record **record);

/* Sections nest: the outermost leave ends them. */
void warp_epoch_enter(struct warp_epoch_record *record);
void warp_epoch_leave(struct warp_epoch_record *record);

/* Is this record inside a section? For assertions of its user. */
bool warp_epoch_inside(const struct warp_epoch_record *record);

/*
 * Call reclaim(entry, context) later, from a poll or barrier of this record, once no reader
 * can see the thing any more. The caller has unlinked it before. reclaim may retire more.
 */
void warp_epoch_retire(struct warp_epoch_record *record, struct warp_epoch_entry *entry,
                       void (*reclaim)(struct warp_epoch_entry *entry, void *context),
                       void *context);

/* Reclaim on this thread what is ripe, without waiting; true if anything was. */
bool warp_epoch_poll(struct warp_epoch_record *record);

/* How many entries of this record wait. */
uint64_t warp_epoch_pending(const struct warp_epoch_record *record);

/* For closing: wait, outside a section, until every entry of this record has been
 * reclaimed. */
void warp_epoch_barrier(struct warp_epoch_record *record);

#endif
