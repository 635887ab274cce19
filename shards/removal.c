#include "shards/removal.h"

#include <string.h>

#include "base/errno.h"
#include "wal/archive.h"
#include "wal/reader.h"

int warp_removal_init(struct warp_removal *removal, struct warp_store *store,
                      struct warp_holdings *holdings, struct warp_segments *segments,
                      const struct warp_disk *disk)
{
    memset(removal, 0, sizeof(*removal));
    removal->store = store;
    removal->holdings = holdings;
    removal->segments = segments;
    removal->disk = disk;
    return warp_epoch_register(store->epoch, &removal->record) < 0 ? WARP_ENOMEM : 0;
}

void warp_removal_fini(struct warp_removal *removal)
{
    if (removal->record != NULL) {
        warp_epoch_barrier(removal->record);
        warp_epoch_unregister(&removal->record);
    }
}

static void removal_pick_from(struct warp_removal *removal, bool archive,
                              uint64_t checkpoint_oldest)
{
    const struct warp_holdings *holdings = removal->holdings;
    const struct warp_holding *array = archive ? holdings->archives : holdings->segments;
    uint32_t count = archive ? holdings->archive_count : holdings->segment_count;
    uint32_t i;

    for (i = 0; i < count && removal->count < WARP_REMOVAL_FILES_MAX; i++) {
        if (array[i].empty_since != 0 &&
            array[i].empty_since <= checkpoint_oldest + WARP_PLANTED(REMOVE_EARLY)) {
            removal->files[removal->count].index = array[i].index;
            removal->files[removal->count].archive = archive;
            removal->count++;
        }
    }
}

static enum warp_removal_state removal_go_to(struct warp_removal *removal,
                                             enum warp_removal_phase phase)
{
    removal->phase = phase;
    removal->at = 0;
    removal->turned = false;
    return WARP_REMOVAL_WORKED;
}

static enum warp_removal_state removal_pass_leases(struct warp_removal *removal)
{
    struct warp_store *store = removal->store;

    while (removal->at < store->shard_count) {
        struct warp_shard *shard = store->shards[removal->at];

        if (!warp_shard_enter(shard)) {
            return WARP_REMOVAL_BLOCKED;
        }
        warp_shard_leave(shard);
        removal->at++;
    }
    return removal_go_to(removal, WARP_REMOVAL_GRACE);
}

static void removal_grace_is_over(struct warp_epoch_entry *entry, void *context)
{
    struct warp_removal *removal = context;

    (void)entry;
    removal->grace_over = true;
}

static enum warp_removal_state removal_wait_for_grace(struct warp_removal *removal)
{
    if (!removal->grace_begun) {
        removal->grace_begun = true;
        removal->grace_over = false;
        warp_epoch_retire(removal->record, &removal->entry, removal_grace_is_over, removal);
    }
    (void)warp_epoch_poll(removal->record);
    if (!removal->grace_over) {
        return WARP_REMOVAL_BLOCKED;
    }
    removal->grace_begun = false;
    return removal_go_to(removal, WARP_REMOVAL_FIRST);
}

static enum warp_removal_state removal_wait_for_side(struct warp_removal *removal,
                                                     enum warp_removal_phase next)
{
    if (!removal->turned) {
        removal->side = warp_coldread_flip(&removal->store->gate);
        removal->turned = true;
    }
    if (!warp_coldread_is_quiet(&removal->store->gate, removal->side)) {
        return WARP_REMOVAL_BLOCKED;
    }
    return removal_go_to(removal, next);
}

static enum warp_removal_state removal_forget(struct warp_removal *removal)
{
    struct warp_reader *reader = removal->store->reader;

    while (reader != NULL && removal->at < removal->count) {
        const struct warp_removal_file *file = &removal->files[removal->at];

        if (!(file->archive ? warp_reader_forget_archive(reader, (uint32_t)file->index)
                            : warp_reader_forget_segment(reader, file->index))) {
            return WARP_REMOVAL_BLOCKED;
        }
        removal->at++;
    }
    return removal_go_to(removal, WARP_REMOVAL_DROP);
}

static int removal_drop_archive(struct warp_removal *removal, uint32_t number)
{
    char name[WARP_ARCHIVE_NAME_BYTES];
    int rc;

    warp_archive_name(number, name);
    rc = warp_error_from_errno(removal->disk->ops->unlink(removal->disk->context, name));
    return rc == WARP_ENOENT ? 0 : rc;
}

/* One file a step. */
static enum warp_removal_state removal_drop(struct warp_removal *removal, int *error)
{
    const struct warp_removal_file *file;
    int rc;

    if (removal->at == removal->count) {
        return removal_go_to(removal, WARP_REMOVAL_SYNC);
    }
    file = &removal->files[removal->at];
    rc = file->archive ? removal_drop_archive(removal, (uint32_t)file->index)
                       : warp_segments_drop(removal->segments, file->index);
    if (rc < 0) {
        *error = rc;
        return WARP_REMOVAL_BLOCKED;
    }
    removal->at++;
    return WARP_REMOVAL_WORKED;
}

static enum warp_removal_state removal_sync(struct warp_removal *removal, int *error)
{
    uint32_t i;
    int rc;

    /* Segments were synced as they were dropped. */
    rc = removal->files[removal->count - 1].archive
             ? warp_error_from_errno(
                   removal->disk->ops->sync_directory(removal->disk->context))
             : 0;
    if (rc < 0) {
        *error = rc;
        return WARP_REMOVAL_BLOCKED;
    }
    for (i = 0; i < removal->count; i++) {
        warp_holdings_remove(removal->holdings, removal->files[i].archive,
                             removal->files[i].index);
    }
    removal->removed += removal->count;
    return removal_go_to(removal, WARP_REMOVAL_LEDGERS);
}

/* Where slots have moved, ledgers may have counted these files on both sides of nothing. Nobody asks for
 * their sums any more, so it does not matter that one forgets before the other. */
static enum warp_removal_state removal_clear_ledgers(struct warp_removal *removal)
{
    struct warp_store *store = removal->store;
    uint32_t i;

    atomic_store_explicit(&store->moving.clearing, 1, memory_order_relaxed);
    while (warp_slotmap_version(&store->slotmap) != 0 && removal->at < store->shard_count) {
        struct warp_shard *shard = store->shards[removal->at];

        if (!warp_shard_enter(shard)) {
            return WARP_REMOVAL_BLOCKED;
        }
        for (i = 0; i < removal->count; i++) {
            warp_ledger_forget(&shard->ledger, removal->files[i].archive,
                               removal->files[i].index);
        }
        warp_shard_leave(shard);
        removal->at++;
    }
    atomic_store_explicit(&store->moving.clearing, 0, memory_order_relaxed);
    removal->count = 0;
    return removal_go_to(removal, WARP_REMOVAL_PICK);
}

enum warp_removal_state warp_removal_step(struct warp_removal *removal,
                                          uint64_t checkpoint_oldest, int *error)
{
    *error = 0;
    switch (removal->phase) {
    case WARP_REMOVAL_PICK:
        removal_pick_from(removal, false, checkpoint_oldest);
        removal_pick_from(removal, true, checkpoint_oldest);
        if (removal->count == 0) {
            return WARP_REMOVAL_IDLE;
        }
        return removal_go_to(removal, WARP_REMOVAL_LEASES);
    case WARP_REMOVAL_LEASES:
        return removal_pass_leases(removal);
    case WARP_REMOVAL_GRACE:
        return removal_wait_for_grace(removal);
    case WARP_REMOVAL_FIRST:
        return removal_wait_for_side(removal, WARP_REMOVAL_SECOND);
    case WARP_REMOVAL_SECOND:
        return removal_wait_for_side(removal, WARP_REMOVAL_FORGET);
    case WARP_REMOVAL_FORGET:
        return removal_forget(removal);
    case WARP_REMOVAL_DROP:
        return removal_drop(removal, error);
    case WARP_REMOVAL_SYNC:
        return removal_sync(removal, error);
    case WARP_REMOVAL_LEDGERS:
        return removal_clear_ledgers(removal);
    }
    return WARP_REMOVAL_IDLE;
}
