/*
 * shards/placement.h - keeps the slot map over a reopening.
 *
 * A file of its own, PLACEMENT, with an owner per slot. It is a hint: which shard owns what matters
 * to how even the load is and to nothing else, so a file that is missing, damaged, of another database
 * or of another number of shards means that the slots are dealt evenly, and that is all. Opening
 * with another number of shards is so only a new map. It is written aside and renamed, so a crash
 * leaves the old file or the new one (docs/WAL_FORMAT.md draws it).
 *
 * Threads:   load by the opener; save by one thread at a time: the background after a checkpoint,
 *            the closer when that has gone.
 * Lifetime:  nothing is kept but the version that was saved, in the store.
 * Units:     slots, shards.
 * Ordering:  moves made while save copies the owners may be in the file or not; they are in the next.
 * Errors:    save: WARP_EIO, _ENOSPC, _EPERM, _ESYSTEM, _ENOMEM, and then the old file counts.
 * Cost:      load one read of 20 KiB; save a write of it and two syncs, nothing if no slot has moved.
 */
#ifndef SHARDS_PLACEMENT_H
#define SHARDS_PLACEMENT_H

#include "shards/store.h"
#include "wal/manifest.h"

#define WARP_PLACEMENT_NAME       "PLACEMENT"
#define WARP_PLACEMENT_NAME_ASIDE "PLACEMENT.new"

/* Before anything is in the store. 0: as it was; WARP_ABSENT: there is none for this number of shards;
 * WARP_EDAMAGED, _EFORMAT, _EVERSION, _EIO, ...: there is one that is of no use. In all cases but 0
 * the map is as it was before. */
int warp_placement_load(struct warp_store *store, const struct warp_disk *disk,
                        const struct warp_manifest *manifest);

int warp_placement_save(struct warp_store *store, const struct warp_disk *disk,
                        const struct warp_manifest *manifest);

#endif
