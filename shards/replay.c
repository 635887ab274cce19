#include "shards/replay.h"

#include "base/hash.h"
#include "shards/evict.h"
#include "shards/put.h"

#define REPLAY_GROUP 32u
#define REPLAY_AHEAD 24u /* frames, whose entries are asked of the cache */
/* Slots up to so many records get a table of their size at once; it is one array. */
#define REPLAY_PRESIZE_MAX 4000u

/* Labels beside the numbers of shards. */
#define REPLAY_LABEL_ALL  255u /* a batch, or what cannot be decoded: let each shard see */
#define REPLAY_LABEL_NONE 254u
_Static_assert(WARP_SHARD_COUNT_MAX <= REPLAY_LABEL_NONE, "shards have labels");

struct replay_item {
    struct warp_entry entry;
    uint64_t sequence;
    uint64_t hash;
    uint64_t word;
    uint32_t slot;
    bool in_batch;
};

static uint64_t replay_bytes(const struct replay_item *item)
{
    return warp_entry_bytes(0, item->entry.key_bytes, item->entry.value_bytes) +
           WARP_RECORD_HEADER_BYTES + 32;
}

static int replay_try(struct warp_shard *shard, const struct replay_item *item,
                      uint64_t now_ms, struct warp_replay_counts *counts)
{
    const struct warp_entry *entry = &item->entry;
    struct warp_slice key = {entry->key, entry->key_bytes};
    struct warp_slice value = {entry->value, entry->value_bytes};
    const struct warp_record *old;
    struct warp_record *fresh = NULL;
    uint64_t bytes = replay_bytes(item);
    int rc;

    if (entry->kind == WARP_ENTRY_PUT) {
        /* First: it retires what prepare has reserved for. */
        warp_evict_make_room(shard, bytes);
    }
    old =
        warp_table_find(&shard->store->words[item->slot], item->hash, key.data, key.bytes);
    if (old != NULL && warp_record_sequence(old) >= item->sequence) {
        return 0; /* a checkpoint took it later than this; one in an archive is older */
    }
    rc = warp_put_prepare(
        shard, item->slot, item->hash, entry->kind == WARP_ENTRY_DELETE || old != NULL,
        false, warp_entry_bytes(entry->flags, entry->key_bytes, entry->value_bytes));
    if (rc < 0) {
        return rc;
    }
    if (entry->kind == WARP_ENTRY_PUT) {
        if (entry->expires_at_ms != 0 && entry->expires_at_ms <= now_ms) {
            counts->expired++; /* it still takes away what was there before */
        } else {
            fresh = warp_put_make(shard, key, value, entry->expires_at_ms, item->in_batch);
            if (fresh == NULL) {
                return WARP_ENOMEM;
            }
        }
    }
    warp_put_apply(shard, item->slot, item->hash, key, fresh, item->sequence);
    return 0;
}

static int replay_apply(struct warp_shard *shard, const struct replay_item *item,
                        uint64_t now_ms, struct warp_replay_counts *counts)
{
    uint64_t bytes = replay_bytes(item);
    uint32_t reliefs = 0;
    int rc;

    counts->operations++;
    /* Other shards are being replayed beside this one and cannot be asked for memory, so each
     * keeps to its share by itself. */
    while (WARP_UNLIKELY(warp_evict_overgrows(shard, bytes)) &&
           reliefs < WARP_EVICT_RELIEFS_MAX &&
           warp_evict_relieve_here(shard, bytes, reliefs)) {
        reliefs++;
    }
    reliefs = 0;
    while ((rc = replay_try(shard, item, now_ms, counts)) == WARP_ENOMEM &&
           reliefs < WARP_EVICT_RELIEFS_MAX &&
           warp_evict_relieve_here(shard, bytes, reliefs)) {
        reliefs++;
    }
    return rc;
}

static int replay_group(struct warp_shard *shard, struct replay_item *items, uint32_t count,
                        uint64_t now_ms, struct warp_replay_counts *counts)
{
    struct warp_store *store = shard->store;
    uint32_t i;
    int rc;

    for (i = 0; i < count; i++) {
        items[i].hash =
            warp_hash_key(items[i].entry.key, items[i].entry.key_bytes, store->hash_seed);
        items[i].word = warp_table_prefetch(&store->words[items[i].slot], items[i].hash);
        __builtin_prefetch(&store->slots[items[i].slot], 1);
    }
    for (i = 0; i < count; i++) {
        warp_table_prefetch_key(items[i].word, items[i].hash);
    }
    for (i = 0; i < count; i++) {
        rc = replay_apply(shard, &items[i], now_ms, counts);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int warp_replay_entry(struct warp_shard *shard, uint32_t slot, uint32_t slot_left,
                      const struct warp_checkpoint_entry *entry, uint64_t now_ms,
                      struct warp_replay_counts *counts)
{
    struct warp_store *store = shard->store;
    struct warp_table_count *count = &store->slots[slot].count;
    struct warp_slice key = {entry->key, entry->key_bytes};
    uint64_t hash = warp_hash_key(key.data, key.bytes, store->hash_seed);
    const struct warp_record_content content = {
        .sequence = warp_place_is_archived(entry->place) ? 0 : entry->place,
        .place = entry->place,
        .key = key,
        .value = {NULL, entry->value_bytes},
        .expires_at_ms = entry->expires_at_ms,
        .cold = true,
        .in_batch = entry->in_batch};
    const struct warp_record *old;
    struct warp_record *fresh;
    int rc;

    warp_shard_assert_owner(shard);
    if (warp_hash_slot(key.data, key.bytes) != slot) {
        return WARP_EDAMAGED;
    }
    counts->operations++;
    if (entry->expires_at_ms != 0 && entry->expires_at_ms <= now_ms) {
        counts->expired++;
        return 0;
    }
    old = warp_table_find(&store->words[slot], hash, key.data, key.bytes);
    if (old != NULL && (warp_record_sequence(old) > content.sequence ||
                        warp_record_place(old) == content.place)) {
        return 0;
    }
    /* So that the table grows once, to its size, instead of step by step. */
    if (slot_left <= REPLAY_PRESIZE_MAX) {
        count->reserved = (uint16_t)slot_left;
    }
    rc = warp_put_prepare(shard, slot, hash, old != NULL, false,
                          warp_entry_bytes(0, entry->key_bytes, entry->value_bytes) + 16);
    count->reserved = 0;
    if (rc < 0) {
        return rc;
    }
    fresh = warp_evict_make(shard, &content);
    if (fresh == NULL) {
        return WARP_ENOMEM;
    }
    if (entry->resident && store->warm_up) {
        struct warp_record_content resident = content;

        resident.cold = false;
        warp_record_wish(fresh, entry->heat);
        shard->warm_records++;
        shard->warm_bytes[entry->heat] += warp_slab_round(warp_record_bytes_with(
            entry->key_bytes, entry->value_bytes, warp_record_flags(&resident)));
    }
    warp_put_apply(shard, slot, hash, key, fresh, fresh->word);
    return 0;
}

uint8_t warp_replay_label(void *store, const struct warp_frame *frame, const void *body)
{
    const struct warp_store *owners = store;
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence;

    switch ((enum warp_frame_kind)frame->kind) {
    case WARP_FRAME_RECORD:
        if (warp_frame_cursor_init(&cursor, frame, body) != 0 ||
            warp_frame_cursor_next(&cursor, &entry, &sequence) != 1) {
            return REPLAY_LABEL_ALL;
        }
        return (uint8_t)warp_slotmap_owner(&owners->slotmap,
                                           warp_hash_slot(entry.key, entry.key_bytes));
    case WARP_FRAME_BATCH:
        return REPLAY_LABEL_ALL;
    case WARP_FRAME_OPEN:
    case WARP_FRAME_MARK:
    case WARP_FRAME_PAD:
    case WARP_FRAME_CLOSE:
        return REPLAY_LABEL_NONE;
    }
    return REPLAY_LABEL_ALL;
}

static bool replay_mine(const struct warp_shard *shard, const struct warp_scan_chunk *chunk,
                        uint32_t frame)
{
    return chunk->labels == NULL || chunk->labels[frame] == shard->id ||
           chunk->labels[frame] == REPLAY_LABEL_ALL;
}

/* Header and key of an entry take two lines. */
static void replay_fetch(const struct warp_shard *shard,
                         const struct warp_scan_chunk *chunk, uint32_t frame)
{
    if (frame < chunk->frame_count && replay_mine(shard, chunk, frame)) {
        __builtin_prefetch(chunk->bodies[frame]);
        __builtin_prefetch(chunk->bodies[frame] + 64);
    }
}

int warp_replay_chunk(struct warp_shard *shard, const struct warp_scan_chunk *chunk,
                      uint64_t now_ms, struct warp_replay_counts *counts)
{
    struct warp_store *store = shard->store;
    struct replay_item items[REPLAY_GROUP];
    uint32_t count = 0;
    uint32_t i;
    int rc;

    warp_shard_assert_owner(shard);
    for (i = 0; i < chunk->frame_count; i++) {
        struct warp_frame_cursor cursor;

        replay_fetch(shard, chunk, i + REPLAY_AHEAD);
        if (!replay_mine(shard, chunk, i)) {
            continue;
        }
        rc = warp_frame_cursor_init(&cursor, &chunk->frames[i], chunk->bodies[i]);
        if (rc < 0) {
            return WARP_EDAMAGED;
        }
        for (;;) {
            struct replay_item *item = &items[count];

            rc = warp_frame_cursor_next(&cursor, &item->entry, &item->sequence);
            if (rc < 0) {
                return WARP_EDAMAGED;
            }
            if (rc == 0) {
                break;
            }
            item->in_batch = chunk->frames[i].kind == WARP_FRAME_BATCH;
            item->slot = warp_hash_slot(item->entry.key, item->entry.key_bytes);
            if (warp_slotmap_owner(&store->slotmap, item->slot) != shard->id) {
                continue;
            }
            if (++count == REPLAY_GROUP) {
                rc = replay_group(shard, items, count, now_ms, counts);
                if (rc < 0) {
                    return rc;
                }
                count = 0;
            }
        }
    }
    return replay_group(shard, items, count, now_ms, counts);
}
