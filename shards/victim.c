/*
 * A segment, on the happy path: its first bytes are a frame's header, or else the piece of log
 * before it is read, and in it the last frame is found that reaches over the boundary. From there
 * the chain of frames is followed to the end of the segment. Of each put only header and key are
 * looked at, unless it is alive; then all of it is copied and its checksum is compared.
 *
 * What can go wrong. A frame's header is not where the chain says: the victim is damaged. A file
 * is missing: it was removed, so whatever lay in it is dead or moved. The haul is full in the
 * middle: the entry is looked at again when it has been emptied. A value that looks like a header
 * would have to name the database, by a checksum that begins with its secret id, and the very
 * place where it lies; if one does, and is taken for the begin of the chain, entries are
 * overlooked and the file stays.
 */
#include "shards/victim.h"

#include <string.h>

#include "base/errno.h"
#include "base/hash.h"
#include "shards/put.h"
#include "wal/segment.h"

#define VICTIM_ENTRIES_PER_STEP 1024u
#define VICTIM_NONE             UINT64_MAX

/* Not an error of the engine: the end of what can be read. */
#define VICTIM_MISSING 100

void warp_victim_init(struct warp_victim *victim, const struct warp_victim_config *config)
{
    warp_assert(config->read_bytes >= WARP_VICTIM_READ_BYTES_MIN);
    warp_assert(config->read_bytes % WARP_VICTIM_READ_BYTES_MIN == 0);
    memset(victim, 0, sizeof(*victim));
    victim->config = *config;
    victim->seed = warp_manifest_seed(config->manifest);
    victim->file = -1;
    victim->file_index = VICTIM_NONE;
}

void warp_victim_close(struct warp_victim *victim)
{
    const struct warp_disk *disk = victim->config.disk;

    if (victim->file >= 0) {
        disk->ops->close(disk->context, victim->file);
    }
    victim->file = -1;
    victim->file_index = VICTIM_NONE;
    victim->window_begin = victim->window_end = 0;
}

void warp_victim_let_go(struct warp_victim *victim)
{
    struct warp_memory *memory = victim->config.memory;

    if (victim->item != NULL) {
        warp_haul_undo(victim->config.haul, victim->item);
        victim->item = NULL;
    }
    warp_victim_close(victim);
    warp_archive_cursor_destroy(&victim->cursor);
    warp_memory_release(memory, victim->window, victim->config.read_bytes);
    victim->window = NULL;
    warp_memory_release(memory, victim->key, WARP_KEY_BYTES_MAX);
    victim->key = NULL;
    victim->phase = WARP_VICTIM_DONE;
}

void warp_victim_fini(struct warp_victim *victim)
{
    warp_victim_let_go(victim);
}

/* ---- reading the log ---------------------------------------------------------------------- */

static uint64_t victim_segment_begin(const struct warp_victim *victim, uint64_t position)
{
    return warp_align_down(position, victim->config.manifest->segment_bytes);
}

static int victim_open_file(struct warp_victim *victim, uint64_t index)
{
    const struct warp_disk *disk = victim->config.disk;
    char name[WARP_SEGMENT_NAME_BYTES];
    int32_t file;

    if (victim->file_index == index) {
        return 0;
    }
    warp_victim_close(victim);
    warp_segment_name(index, name);
    file = disk->ops->open(disk->context, name,
                           WARP_FILE_READ_ONLY |
                               (victim->config.direct ? WARP_FILE_DIRECT : 0));
    if (file < 0) {
        int rc = warp_error_from_errno(file);

        return rc == WARP_ENOENT ? VICTIM_MISSING : rc;
    }
    victim->file = file;
    victim->file_index = index;
    return 0;
}

/* Bring the piece of log that begins at the page of `position` into the window. */
static int victim_fill(struct warp_victim *victim, uint64_t position)
{
    const struct warp_disk *disk = victim->config.disk;
    uint64_t segment_bytes = victim->config.manifest->segment_bytes;
    uint64_t begin = warp_align_down(position, WARP_VICTIM_READ_BYTES_MIN);
    uint64_t segment = victim_segment_begin(victim, position);
    uint64_t bytes = segment + segment_bytes - begin;
    int64_t got;
    int rc;

    if (position >= victim->head) {
        return VICTIM_MISSING;
    }
    rc = victim_open_file(victim, segment / segment_bytes);
    if (rc != 0) {
        return rc;
    }
    bytes = bytes < victim->config.read_bytes ? bytes : victim->config.read_bytes;
    victim->window_begin = victim->window_end = 0;
    victim->device_reads++;
    got = disk->ops->read(disk->context, victim->file, victim->window, bytes,
                          WARP_SEGMENT_HEADER_BYTES + (begin - segment));
    if (got < 0) {
        return warp_error_from_errno((int)got);
    }
    if ((uint64_t)got < bytes) {
        return WARP_EDAMAGED; /* a segment has its full length */
    }
    victim->window_begin = begin;
    victim->window_end = begin + bytes;
    return 0;
}

/* The bytes at `position`, as far as they are in the window. */
static int victim_look(struct warp_victim *victim, uint64_t position, const uint8_t **out,
                       uint64_t *bytes)
{
    if (position < victim->window_begin || position >= victim->window_end) {
        int rc = victim_fill(victim, position);

        if (rc != 0) {
            return rc;
        }
    }
    *out = victim->window + (position - victim->window_begin);
    *bytes = victim->window_end - position;
    return 0;
}

static int victim_read(struct warp_victim *victim, uint64_t position, void *out,
                       uint64_t bytes)
{
    uint8_t *to = out;

    while (bytes > 0) {
        const uint8_t *from = NULL;
        uint64_t some = 0;
        int rc = victim_look(victim, position, &from, &some);

        if (rc != 0) {
            return rc;
        }
        some = some < bytes ? some : bytes;
        memcpy(to, from, some);
        to += some;
        position += some;
        bytes -= some;
    }
    return 0;
}

/* 0 and a frame that begins just here; VICTIM_MISSING; WARP_EFORMAT: none does; or an error. */
static int victim_header(struct warp_victim *victim, uint64_t position,
                         struct warp_frame *frame)
{
    uint8_t header[WARP_FRAME_HEADER_BYTES];
    int rc;

    rc = victim_read(victim, position, header, sizeof(header));
    if (rc != 0) {
        return rc;
    }
    rc = warp_frame_decode_header(header, victim->seed, frame);
    if (rc == 0 && frame->position != position) {
        rc = WARP_EFORMAT;
    }
    return rc;
}

static uint64_t victim_frame_end(const struct warp_frame *frame)
{
    return frame->position + warp_frame_bytes(frame->body_bytes);
}

/* ---- where to begin ----------------------------------------------------------------------- */

/* Follow the chain from a frame that may be one up to the boundary. 1: the frame in *frame
 * reaches over it, or ends there (*over false); 0: it is no chain; or an error. */
static int victim_chain(struct warp_victim *victim, uint64_t position,
                        struct warp_frame *frame, bool *over)
{
    int rc;

    for (;;) {
        rc = victim_header(victim, position, frame);
        if (rc == WARP_EFORMAT || rc == WARP_EVERSION || rc == VICTIM_MISSING) {
            return 0;
        }
        if (rc < 0) {
            return rc;
        }
        position = victim_frame_end(frame);
        if (position >= victim->boundary) {
            *over = position > victim->boundary;
            return 1;
        }
    }
}

static bool victim_may_be_header(const uint8_t *bytes)
{
    return bytes[0] == 'W' && bytes[1] == 'F';
}

/* The next piece downwards. 1: found, or there is none (*over false); 0: look further down. */
static int victim_find_in_piece(struct warp_victim *victim, struct warp_frame *frame,
                                bool *over)
{
    uint64_t segment = victim_segment_begin(victim, victim->low - 1);
    uint64_t begin = victim->low - segment <= victim->config.read_bytes
                         ? segment
                         : victim->low - victim->config.read_bytes;
    uint64_t position;
    int rc;

    rc = victim_fill(victim, begin);
    if (rc == VICTIM_MISSING) {
        *over = false;
        return 1;
    }
    for (position = begin; rc == 0 && position < victim->low;
         position += WARP_FRAME_ALIGNMENT) {
        const uint8_t *bytes = NULL;
        uint64_t some = 0;

        rc = victim_look(victim, position, &bytes, &some);
        if (rc == 0 && victim_may_be_header(bytes)) {
            /* It may move the window: the next look brings it back. */
            rc = victim_chain(victim, position, frame, over);
            if (rc == 1) {
                return 1;
            }
        }
    }
    victim->low = begin;
    return rc;
}

static void victim_enter_frames(struct warp_victim *victim, uint64_t at)
{
    victim->at = at;
    victim->phase = WARP_VICTIM_FRAMES;
}

static int victim_begin_scan(struct warp_victim *victim)
{
    victim->at = victim->index * victim->config.manifest->segment_bytes;
    victim->phase = WARP_VICTIM_SCAN;
    return WARP_VICTIM_MORE;
}

/* Does a frame begin just at the boundary? Then nothing reaches over it. */
static int victim_look_at_edge(struct warp_victim *victim)
{
    struct warp_frame frame;
    int rc;

    if (victim->boundary >= victim->head || victim->boundary == 0) {
        rc = 0;
    } else {
        rc = victim_header(victim, victim->boundary, &frame);
    }
    if (rc == VICTIM_MISSING) {
        if (victim->edge) {
            return 0; /* what lies there is dead */
        }
        rc = 0; /* the header lies in two files, of which the second is gone */
    }
    if (rc == 0) {
        if (victim->edge) {
            return 0;
        }
        victim_enter_frames(victim, victim->boundary);
        return WARP_VICTIM_MORE;
    }
    if (rc != WARP_EFORMAT && rc != WARP_EVERSION) {
        return rc;
    }
    victim->low = victim->boundary;
    victim->phase = WARP_VICTIM_FIND;
    return WARP_VICTIM_MORE;
}

static int victim_find(struct warp_victim *victim)
{
    struct warp_frame frame;
    bool over = false;
    int rc;

    rc = victim_find_in_piece(victim, &frame, &over);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0 && victim->low > 0) {
        return WARP_VICTIM_MORE;
    }
    if (rc == 0 || !over) {
        /* Its file is gone, or there is none. */
        return victim->edge ? 0 : victim_begin_scan(victim);
    }
    if (victim->edge) {
        if (frame.kind != WARP_FRAME_BATCH) {
            return 0; /* what is alive of a RECORD is so on both sides */
        }
        victim->until = frame.position + 1;
    }
    victim_enter_frames(victim, frame.position);
    return WARP_VICTIM_MORE;
}

/* The first header in the segment, a piece at a time. */
static int victim_scan(struct warp_victim *victim)
{
    uint64_t reads = victim->device_reads;

    while (victim->at < victim->until) {
        const uint8_t *bytes = NULL;
        uint64_t some = 0;
        struct warp_frame frame;
        int rc;

        rc = victim_look(victim, victim->at, &bytes, &some);
        if (rc == 0 && victim_may_be_header(bytes)) {
            rc = victim_header(victim, victim->at, &frame);
            if (rc == 0) {
                victim->phase = WARP_VICTIM_FRAMES;
                return WARP_VICTIM_MORE;
            }
        }
        if (rc == VICTIM_MISSING && victim->until - victim->at > WARP_FRAME_HEADER_BYTES) {
            return WARP_EDAMAGED; /* the victim's own file */
        }
        if (rc < 0 && rc != WARP_EFORMAT && rc != WARP_EVERSION) {
            return rc;
        }
        victim->at += WARP_FRAME_ALIGNMENT;
        if (victim->device_reads > reads + 1) {
            return WARP_VICTIM_MORE;
        }
    }
    return 0;
}

/* ---- looking ahead ------------------------------------------------------------------------ */

/*
 * Whether an entry is alive costs two cache misses, one after the other; those of several entries go
 * side by side. All of this is but a hint: it believes what it reads, within the window, and asks
 * nobody for more.
 */
static void victim_scout_key(struct warp_victim *victim, const void *key,
                             uint32_t key_bytes)
{
    struct warp_victim_scout *scout = &victim->scout;

    scout->slots[scout->count] = warp_hash_slot(key, key_bytes);
    scout->hashes[scout->count] =
        warp_hash_key(key, key_bytes, victim->config.store->hash_seed);
    scout->count++;
}

/* Note the entry at `position`; its bytes, 0 if they are not to be seen. */
static uint64_t victim_scout_entry(struct warp_victim *victim, uint64_t position)
{
    const uint8_t *header = victim->window + (position - victim->window_begin);
    uint32_t key_bytes, value_bytes;
    uint64_t header_bytes;

    if (position + WARP_ENTRY_HEADER_BYTES_MAX > victim->window_end) {
        return 0;
    }
    key_bytes = warp_load_u16le(header + 2) + 1u;
    value_bytes = warp_load_u32le(header + 4);
    header_bytes = warp_entry_header_bytes(header[1] & WARP_ENTRY_FLAGS_ALL);
    if (key_bytes > WARP_KEY_BYTES_MAX || value_bytes > WARP_VALUE_BYTES_MAX ||
        position + header_bytes + key_bytes > victim->window_end) {
        return 0;
    }
    if (header[0] == WARP_ENTRY_PUT) {
        victim_scout_key(victim, header + header_bytes, key_bytes);
    }
    return header_bytes + key_bytes + value_bytes;
}

static void victim_scout_fetch(struct warp_victim *victim)
{
    struct warp_victim_scout *scout = &victim->scout;
    struct warp_store *store = victim->config.store;
    uint64_t words[WARP_VICTIM_SCOUTED];
    uint32_t i;

    warp_epoch_enter(victim->config.record);
    for (i = 0; i < scout->count; i++) {
        words[i] = warp_table_prefetch(&store->words[scout->slots[i]], scout->hashes[i]);
    }
    for (i = 0; i < scout->count; i++) {
        warp_table_prefetch_key(words[i], scout->hashes[i]);
    }
    warp_epoch_leave(victim->config.record);
    scout->count = 0;
}

static bool victim_sees(const struct warp_victim *victim, uint64_t position)
{
    return position >= victim->window_begin && position < victim->window_end;
}

/* The next RECORD frames, from the one that is at hand on. */
static void victim_scout_frames(struct warp_victim *victim)
{
    uint64_t at = victim->at;
    uint32_t i;

    if (at < victim->scouted || !victim_sees(victim, at)) {
        return;
    }
    for (i = 0; i < WARP_VICTIM_SCOUTED; i++) {
        const uint8_t *header = victim->window + (at - victim->window_begin);
        struct warp_frame frame;

        if (at + WARP_FRAME_HEADER_BYTES > victim->window_end ||
            warp_frame_decode_header(header, victim->seed, &frame) != 0 ||
            frame.kind != WARP_FRAME_RECORD ||
            victim_scout_entry(victim, at + WARP_FRAME_HEADER_BYTES) == 0) {
            break;
        }
        at += warp_frame_bytes(frame.body_bytes);
    }
    victim->scouted = at;
    victim_scout_fetch(victim);
}

/* The next entries of a BATCH. */
static void victim_scout_entries(struct warp_victim *victim)
{
    uint64_t at = victim->entry_at;
    uint32_t i;

    if (at < victim->scouted || victim->entries_left < 2) {
        return;
    }
    for (i = 0; i < WARP_VICTIM_SCOUTED && i < victim->entries_left; i++) {
        uint64_t bytes = victim_sees(victim, at) ? victim_scout_entry(victim, at) : 0;

        if (bytes == 0) {
            break;
        }
        at += bytes;
    }
    victim->scouted = at;
    victim_scout_fetch(victim);
}

/* ---- entries ------------------------------------------------------------------------------ */

static bool victim_is_alive(struct warp_victim *victim, const void *key, uint32_t key_bytes,
                            uint64_t place, uint32_t *slot, uint64_t *hash)
{
    struct warp_store *store = victim->config.store;
    const struct warp_record *record;
    bool alive;

    victim->entries++;
    *slot = warp_hash_slot(key, key_bytes);
    *hash = warp_hash_key(key, key_bytes, store->hash_seed);
    warp_epoch_enter(victim->config.record);
    record = warp_table_find(&store->words[*slot], *hash, key, key_bytes);
    alive = record != NULL && warp_record_place(record) == place;
    if (alive && warp_record_is_expired(store, record)) {
        victim->expired++;
        alive = false;
    }
    warp_epoch_leave(victim->config.record);
    return alive;
}

/* Header of the entry at entry_at, its key into the scratch, and whether it is wanted. */
static int victim_entry(struct warp_victim *victim)
{
    uint8_t *header = victim->entry_header;
    uint64_t left = victim->entries_end - victim->entry_at;
    bool in_batch = victim->frame.kind == WARP_FRAME_BATCH;
    struct warp_haul_item *item;
    uint32_t key_bytes, value_bytes, header_bytes, slot;
    uint64_t hash, bytes;
    int rc;

    if (left < WARP_ENTRY_HEADER_BYTES_MIN) {
        return WARP_EDAMAGED;
    }
    victim_scout_entries(victim);
    rc = victim_read(victim, victim->entry_at, header, WARP_ENTRY_HEADER_BYTES_MIN);
    if (rc != 0) {
        return rc;
    }
    key_bytes = warp_load_u16le(header + 2) + 1u;
    value_bytes = warp_load_u32le(header + 4);
    if ((header[0] != WARP_ENTRY_PUT && header[0] != WARP_ENTRY_DELETE) ||
        (header[1] & ~WARP_ENTRY_FLAGS_ALL) != 0 || value_bytes > WARP_VALUE_BYTES_MAX ||
        in_batch != ((header[1] & WARP_ENTRY_HAS_CHECKSUM) != 0)) {
        return WARP_EDAMAGED;
    }
    bytes = warp_entry_bytes(header[1], key_bytes, value_bytes);
    header_bytes = (uint32_t)warp_entry_header_bytes(header[1]);
    if (left < bytes || (!in_batch && left != bytes)) {
        return WARP_EDAMAGED;
    }
    if (header[0] == WARP_ENTRY_DELETE || victim->entry_at + bytes <= victim->from) {
        goto next;
    }
    rc = victim_read(victim, victim->entry_at, header, header_bytes);
    rc = rc == 0
             ? victim_read(victim, victim->entry_at + header_bytes, victim->key, key_bytes)
             : rc;
    if (rc != 0) {
        return rc;
    }
    if (!victim_is_alive(victim, victim->key, key_bytes, victim->entry_at, &slot, &hash)) {
        goto next;
    }
    rc = warp_haul_reserve(victim->config.haul, key_bytes, value_bytes, &item);
    if (rc != 0) {
        return rc == WARP_AGAIN ? WARP_VICTIM_FULL : rc;
    }
    item->slot = slot;
    item->hash = hash;
    item->place = item->sequence = victim->entry_at;
    item->expires_at_ms = (header[1] & WARP_ENTRY_HAS_EXPIRY) != 0
                              ? warp_load_u64le(header + WARP_ENTRY_HEADER_BYTES_MIN)
                              : 0;
    memcpy(item->bytes, victim->key, key_bytes);
    victim->item = item;
    victim->item_done = key_bytes;
    victim->entry_header_bytes = header_bytes;
    victim->phase = WARP_VICTIM_BODY;
    return 0;

next:
    victim->entry_at += bytes;
    victim->entries_left--;
    return 0;
}

/* Is what was copied what was written? */
static bool victim_body_is_whole(const struct warp_victim *victim)
{
    const struct warp_haul_item *item = victim->item;
    uint8_t header[WARP_ENTRY_HEADER_BYTES_MAX];
    uint32_t checksum_at = victim->entry_header_bytes - 4;
    bool in_batch = victim->frame.kind == WARP_FRAME_BATCH;
    uint32_t expected = victim->frame.body_crc;
    uint32_t crc;

    memcpy(header, victim->entry_header, victim->entry_header_bytes);
    if (in_batch) {
        expected = warp_load_u32le(header + checksum_at);
        warp_store_u32le(header + checksum_at, 0);
    }
    crc = warp_crc32c(0, header, victim->entry_header_bytes);
    crc = warp_crc32c(crc, item->bytes, item->key_bytes + (size_t)item->value_bytes);
    return crc == expected;
}

/* A piece of the value. */
static int victim_body(struct warp_victim *victim)
{
    struct warp_haul_item *item = victim->item;
    uint32_t bytes = item->key_bytes + item->value_bytes;
    uint32_t reads = victim->device_reads;

    while (victim->item_done < bytes) {
        const uint8_t *from = NULL;
        uint64_t some = 0;
        int rc = victim_look(
            victim, victim->entry_at + victim->entry_header_bytes + victim->item_done,
            &from, &some);

        if (rc != 0) {
            return rc;
        }
        some = some < bytes - victim->item_done ? some : bytes - victim->item_done;
        memcpy(item->bytes + victim->item_done, from, some);
        victim->item_done += (uint32_t)some;
        if (victim->device_reads > reads) {
            return 0; /* the rest in the next step */
        }
    }
    if (!victim_body_is_whole(victim)) {
        return WARP_EDAMAGED;
    }
    warp_haul_commit(victim->config.haul, item);
    victim->item = NULL;
    victim->collected++;
    victim->entry_at += victim->entry_header_bytes + bytes;
    victim->entries_left--;
    victim->phase = WARP_VICTIM_ENTRIES;
    return 0;
}

/* ---- frames ------------------------------------------------------------------------------- */

static int victim_frame(struct warp_victim *victim)
{
    uint8_t header[WARP_FRAME_BATCH_HEADER_BYTES];
    uint64_t body;
    int rc;

    victim_scout_frames(victim);
    rc = victim_header(victim, victim->at, &victim->frame);
    if (rc == WARP_EFORMAT || rc == WARP_EVERSION) {
        return WARP_EDAMAGED;
    }
    if (rc != 0) {
        return rc;
    }
    body = victim->at + WARP_FRAME_HEADER_BYTES;
    victim->entry_at = body;
    victim->entries_end = body + victim->frame.body_bytes;
    victim->entries_left = 0;
    if (victim->frame.kind == WARP_FRAME_RECORD) {
        victim->entries_left = 1;
    } else if (victim->frame.kind == WARP_FRAME_BATCH) {
        rc = victim_read(victim, body, header, sizeof(header));
        if (rc != 0) {
            return rc;
        }
        victim->entries_left = warp_load_u32le(header);
        victim->entry_at += sizeof(header);
        if (victim->entries_left > WARP_BATCH_OPERATIONS_MAX) {
            return WARP_EDAMAGED;
        }
    }
    victim->phase = WARP_VICTIM_ENTRIES;
    return 0;
}

/*
 * A piece of the frame lay in a file that is gone. Either the file was behind the segment: then
 * nothing of that piece is alive, and this was the last frame that begins in the segment. Or it
 * was before it, and went after the frame was found in it: then what is alive of that frame has
 * been moved, and the frames that begin in the segment are still to be read.
 */
static int victim_end_of_files(struct warp_victim *victim)
{
    uint64_t segment_bytes = victim->config.manifest->segment_bytes;

    if (victim->item != NULL) {
        warp_haul_undo(victim->config.haul, victim->item);
        victim->item = NULL;
    }
    if (victim->edge || victim->at >= victim->index * segment_bytes) {
        victim->next_at = VICTIM_NONE;
        return 0;
    }
    return victim_begin_scan(victim);
}

static int victim_frames(struct warp_victim *victim)
{
    uint32_t reads = victim->device_reads;
    uint32_t steps;
    int rc = 0;

    for (steps = 0; steps < VICTIM_ENTRIES_PER_STEP && rc == 0; steps++) {
        if (victim->phase == WARP_VICTIM_FRAMES) {
            if (victim->at >= victim->until) {
                victim->next_at = victim->at;
                return 0;
            }
            rc = victim_frame(victim);
        } else if (victim->phase == WARP_VICTIM_BODY) {
            rc = victim_body(victim);
        } else if (victim->entries_left > 0) {
            rc = victim_entry(victim);
        } else if (victim->frame.kind == WARP_FRAME_BATCH &&
                   victim->entry_at != victim->entries_end) {
            rc = WARP_EDAMAGED;
        } else {
            victim->at = victim_frame_end(&victim->frame);
            victim->phase = WARP_VICTIM_FRAMES;
        }
        if (victim->device_reads > reads) {
            break;
        }
    }
    if (rc == VICTIM_MISSING) {
        return victim_end_of_files(victim);
    }
    return rc == 0 ? WARP_VICTIM_MORE : rc;
}

/* ---- archives ----------------------------------------------------------------------------- */

static int victim_visit(void *context, const struct warp_entry *entry, uint64_t sequence,
                        uint64_t place)
{
    struct warp_victim *victim = context;
    struct warp_haul_item *item;
    uint32_t slot;
    uint64_t hash;
    int rc;

    if (entry->kind != WARP_ENTRY_PUT ||
        !victim_is_alive(victim, entry->key, entry->key_bytes, place, &slot, &hash)) {
        return 0;
    }
    rc =
        warp_haul_reserve(victim->config.haul, entry->key_bytes, entry->value_bytes, &item);
    if (rc != 0) {
        victim->visit_rc = rc == WARP_AGAIN ? WARP_VICTIM_FULL : rc;
        return victim->visit_rc;
    }
    item->slot = slot;
    item->hash = hash;
    item->place = place;
    item->sequence = sequence;
    item->expires_at_ms = entry->expires_at_ms;
    memcpy(item->bytes, entry->key, entry->key_bytes);
    memcpy(item->bytes + entry->key_bytes, entry->value, entry->value_bytes);
    warp_haul_commit(victim->config.haul, item);
    victim->collected++;
    return 0;
}

/* Every entry of a block, before the first is visited. */
static void victim_look_ahead(void *context, const struct warp_entry *entry)
{
    struct warp_victim *victim = context;

    victim_scout_key(victim, entry->key, entry->key_bytes);
    if (victim->scout.count == WARP_VICTIM_SCOUTED) {
        victim_scout_fetch(victim);
    }
}

static void victim_note_damage(void *context, uint64_t offset, uint64_t bytes,
                               const char *what)
{
    struct warp_victim *victim = context;

    (void)offset;
    (void)bytes;
    (void)what;
    victim->damaged = true;
}

static int victim_archive(struct warp_victim *victim)
{
    bool more = false;
    int rc;

    if (victim->cursor == NULL) {
        rc = warp_archive_cursor_create(&victim->cursor, victim->config.disk,
                                        victim->config.memory, victim->config.manifest,
                                        (uint32_t)victim->index, victim_visit,
                                        victim_note_damage, victim);
        if (rc == WARP_EFORMAT || rc == WARP_EVERSION || rc == WARP_ENOENT) {
            rc = WARP_EDAMAGED;
        }
        if (rc == 0) {
            warp_archive_cursor_look_ahead(victim->cursor, victim_look_ahead);
        }
        return rc < 0 ? rc : WARP_VICTIM_MORE;
    }
    rc = warp_archive_cursor_next(victim->cursor, &more);
    if (rc != 0) {
        return rc;
    }
    return more ? WARP_VICTIM_MORE : 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void victim_begin(struct warp_victim *victim, uint64_t index)
{
    warp_assert(victim->phase == WARP_VICTIM_DONE);
    victim->index = index;
    victim->collected = 0;
    victim->damaged = false;
    victim->visit_rc = 0;
}

void warp_victim_begin_segment(struct warp_victim *victim, uint64_t index, uint64_t head,
                               bool follows, bool edge)
{
    uint64_t segment_bytes = victim->config.manifest->segment_bytes;
    uint64_t begin = index * segment_bytes;

    warp_assert(begin + segment_bytes <= head);
    victim_begin(victim, index);
    victim->head = head;
    victim->edge = edge;
    victim->boundary = edge ? begin + segment_bytes : begin;
    victim->from = victim->boundary;
    victim->until = begin + segment_bytes;
    victim->scouted = 0;
    victim->scout.count = 0;
    victim->phase = WARP_VICTIM_LOOK_AT_EDGE;
    if (follows && !edge && victim->next_at != VICTIM_NONE && victim->next_at >= begin) {
        victim_enter_frames(victim, victim->next_at);
    }
    victim->next_at = VICTIM_NONE;
}

void warp_victim_begin_archive(struct warp_victim *victim, uint32_t number)
{
    victim_begin(victim, number);
    victim->next_at = VICTIM_NONE;
    victim->phase = WARP_VICTIM_ARCHIVE;
}

static int victim_make_buffers(struct warp_victim *victim)
{
    if (victim->window == NULL) {
        victim->window = warp_memory_reserve(
            victim->config.memory, victim->config.read_bytes, WARP_VICTIM_READ_BYTES_MIN);
    }
    if (victim->key == NULL) {
        victim->key = warp_memory_reserve(victim->config.memory, WARP_KEY_BYTES_MAX, 0);
    }
    return victim->window == NULL || victim->key == NULL ? WARP_ENOMEM : 0;
}

int warp_victim_step(struct warp_victim *victim)
{
    int rc = 0;

    victim->device_reads = 0;
    if (victim->phase != WARP_VICTIM_ARCHIVE) {
        rc = victim_make_buffers(victim);
    }
    if (rc == 0) {
        switch (victim->phase) {
        case WARP_VICTIM_DONE:
            break;
        case WARP_VICTIM_LOOK_AT_EDGE:
            rc = victim_look_at_edge(victim);
            break;
        case WARP_VICTIM_FIND:
            rc = victim_find(victim);
            break;
        case WARP_VICTIM_SCAN:
            rc = victim_scan(victim);
            break;
        case WARP_VICTIM_FRAMES:
        case WARP_VICTIM_ENTRIES:
        case WARP_VICTIM_BODY:
            rc = victim_frames(victim);
            break;
        case WARP_VICTIM_ARCHIVE:
            rc = victim_archive(victim);
            break;
        }
    }
    if (rc <= 0) {
        uint64_t next_at = victim->next_at;

        victim->damaged = victim->damaged || rc == WARP_EDAMAGED || rc == WARP_EIO;
        warp_victim_let_go(victim);
        victim->next_at = rc == 0 ? next_at : VICTIM_NONE;
    }
    return rc;
}
