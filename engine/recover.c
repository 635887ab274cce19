#include "engine/recover.h"

#include <stdio.h>
#include <string.h>

#include "base/errno.h"
#include "shards/replay.h"
#include "wal/archive.h"
#include "wal/checkpoint.h"
#include "wal/scan.h"

#define RECOVER_PROGRESS_NS     100000000u
#define RECOVER_CHECKPOINTS_MAX 8u
#define RECOVER_CHUNK_PART      64u /* of memory_bytes_max */
#define RECOVER_CHUNK_BYTES_MIN 65536u
#define RECOVER_SECTIONS_MAX    4u /* of a checkpoint, that are applied at once */

/* Runs a job with many indexes on several threads. */
struct recover_crew {
    struct warp *db;
    uint32_t threads;
    void (*job)(void *context, uint32_t index);
    void *context;
    uint32_t count;
    _Atomic uint32_t next;
};

static void recover_work(void *context)
{
    struct recover_crew *crew = context;

    for (;;) {
        /* Relaxed: it only deals out numbers; join orders the results. */
        uint32_t index = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed);

        if (index >= crew->count) {
            return;
        }
        crew->job(crew->context, index);
    }
}

static void recover_parallel(void *context, void (*job)(void *job_context, uint32_t index),
                             void *job_context, uint32_t count)
{
    struct recover_crew *crew = context;
    struct warp_thread *threads[WARP_SHARD_COUNT_MAX] = {NULL};
    uint32_t i;

    crew->job = job;
    crew->context = job_context;
    crew->count = count;
    atomic_store_explicit(&crew->next, 0, memory_order_relaxed);
    for (i = 1; i < crew->threads && i < count; i++) {
        if (warp_thread_start(&threads[i], &crew->db->memory, "warp-replay", -1,
                              recover_work, crew) < 0) {
            break; /* fewer hands do the same work */
        }
    }
    recover_work(crew);
    for (i = 1; i < WARP_SHARD_COUNT_MAX; i++) {
        warp_thread_join(&threads[i]);
    }
}

struct recover_replay {
    struct warp_store *store;
    const struct warp_scan_chunk *chunk;
    uint64_t now_ms;
    struct {
        struct warp_replay_counts counts;
        int rc;
    } shards[WARP_SHARD_COUNT_MAX];
};

static void recover_replay_shard(void *context, uint32_t index)
{
    struct recover_replay *replay = context;
    struct warp_shard *shard = replay->store->shards[index];

    if (replay->shards[index].rc < 0) {
        return;
    }
    warp_shard_enter_surely(shard);
    replay->shards[index].rc = warp_replay_chunk(shard, replay->chunk, replay->now_ms,
                                                 &replay->shards[index].counts);
    warp_lease_give_back(&shard->lease);
}

static void recover_explain_memory(const struct warp *db, char *message,
                                   size_t message_bytes)
{
    (void)snprintf(message, message_bytes,
                   "the keys do not fit into memory_bytes_max (%llu bytes): raise it",
                   (unsigned long long)db->options.memory_bytes_max);
}

/* A checkpoint is sealed only when the log is durable up to its end. */
static int recover_too_short(uint64_t end, uint64_t least, char *message,
                             size_t message_bytes)
{
    (void)snprintf(message, message_bytes,
                   "the log ends at position %llu, but a checkpoint says that it was "
                   "durable up to %llu",
                   (unsigned long long)end, (unsigned long long)least);
    return WARP_EDAMAGED;
}

static void recover_explain(struct warp *db, const struct warp_scan_result *result, int rc,
                            char *message, size_t message_bytes)
{
    if (rc == WARP_ENOMEM) {
        recover_explain_memory(db, message, message_bytes);
    } else if (result->file[0] != '\0') {
        (void)snprintf(message, message_bytes, "%s at offset %llu: %s (log position %llu)",
                       result->file, (unsigned long long)result->file_offset,
                       result->what == NULL ? warp_error_text(rc) : result->what,
                       (unsigned long long)result->damaged_position);
    } else {
        (void)snprintf(message, message_bytes, "replaying the log: %s",
                       warp_error_text(rc));
    }
}

/* The scan takes some times as much, beside the records. */
static uint32_t recover_chunk_bytes(const struct warp *db)
{
    uint32_t bytes = WARP_SCAN_CHUNK_BYTES_DEFAULT;

    while (bytes > RECOVER_CHUNK_BYTES_MIN &&
           bytes > db->options.memory_bytes_max / RECOVER_CHUNK_PART) {
        bytes /= 2;
    }
    return bytes;
}

/* ---- the checkpoint -------------------------------------------------------------------- */

/*
 * Sections come into memory a set at a time. While one set is applied, the next one is read:
 *
 *     jobs   | shard 0 | shard 1 | ... | read | read | ... |
 *              takes from the set what its slots own, in order
 *
 * So no two threads want the same shard, and who is done with his shards reads ahead.
 */
struct recover_set {
    struct warp_checkpoint_section sections[RECOVER_SECTIONS_MAX];
    uint32_t first, count;
};

struct recover_load {
    struct warp *db;
    struct warp_checkpoint *checkpoint;
    uint64_t now_ms;
    uint64_t set_bytes; /* of memory, but for one section that is greater */
    uint32_t section_count;
    struct recover_set
        sets[2]; /* the one being applied, then the one being read; in turns */
    uint32_t current;
    struct warp_replay_counts counts[WARP_SHARD_COUNT_MAX];
    _Atomic uint64_t bad_offset;
    _Atomic int rc;
};

/* What one shard takes of one section. */
struct recover_section {
    struct recover_load *load;
    struct warp_shard *shard; /* whose lease is held */
    uint32_t slot, left;
    bool begins_early, ends_late; /* its first or last slot is not whole in it */
    uint32_t first, last;
};

static void recover_load_failed(struct recover_load *load, int rc, uint64_t offset)
{
    /* Relaxed: read after the threads are joined, or to stop early. */
    atomic_store_explicit(&load->bad_offset, offset, memory_order_relaxed);
    atomic_store_explicit(&load->rc, rc, memory_order_relaxed);
}

static bool recover_load_wanted(void *context, uint32_t slot)
{
    const struct recover_section *section = context;

    return warp_store_owner(section->load->db->store, slot) == section->shard;
}

static int recover_load_entry(void *context, uint32_t slot, uint32_t slot_records,
                              const struct warp_checkpoint_entry *entry)
{
    struct recover_section *section = context;
    struct recover_load *load = section->load;
    int rc;

    if (section->slot != slot) {
        bool whole = !(slot == section->first && section->begins_early) &&
                     !(slot == section->last && section->ends_late);

        section->slot = slot;
        section->left = whole ? slot_records : 0;
    }
    rc = warp_replay_entry(section->shard, slot, section->left, entry, load->now_ms,
                           &load->counts[section->shard->id]);
    section->left -= section->left > 0;
    return rc;
}

static void recover_load_shard(struct recover_load *load, struct warp_shard *shard)
{
    const struct recover_set *set = &load->sets[load->current];
    uint32_t i, first, last, records;

    warp_shard_enter_surely(shard);
    for (i = 0;
         i < set->count && atomic_load_explicit(&load->rc, memory_order_relaxed) == 0;
         i++) {
        struct recover_section section = {
            .load = load, .shard = shard, .slot = WARP_SLOT_COUNT};
        uint32_t index = set->sections[i].index;
        uint64_t offset = 0;
        int rc;

        warp_checkpoint_section_slots(load->checkpoint, index, &section.first,
                                      &section.last, &records);
        if (index > 0) {
            warp_checkpoint_section_slots(load->checkpoint, index - 1, &first, &last,
                                          &records);
            section.begins_early = last == section.first;
        }
        if (index + 1 < load->section_count) {
            warp_checkpoint_section_slots(load->checkpoint, index + 1, &first, &last,
                                          &records);
            section.ends_late = first == section.last;
        }
        rc = warp_checkpoint_section_walk(load->checkpoint, &set->sections[i],
                                          recover_load_wanted, recover_load_entry, &section,
                                          &offset);
        if (rc < 0) {
            recover_load_failed(load, rc, offset);
        }
    }
    warp_lease_give_back(&shard->lease);
}

static void recover_load_job(void *context, uint32_t index)
{
    struct recover_load *load = context;
    struct warp_store *store = load->db->store;
    struct recover_set *next = &load->sets[1 - load->current];
    uint64_t offset = 0;
    int rc;

    if (index < store->shard_count) {
        recover_load_shard(load, store->shards[index]);
        return;
    }
    index -= store->shard_count;
    rc = warp_checkpoint_section_load(load->checkpoint, next->first + index,
                                      &next->sections[index], &offset);
    if (rc < 0) {
        recover_load_failed(load, rc, offset);
    }
}

/* The sections that come after those of `set` are the next set. */
static void recover_load_plan(struct recover_load *load, const struct recover_set *set,
                              struct recover_set *next)
{
    uint64_t bytes = 0;

    next->first = set->first + set->count;
    next->count = 0;
    while (next->count < RECOVER_SECTIONS_MAX &&
           next->first + next->count < load->section_count) {
        bytes += warp_checkpoint_section_bytes(load->checkpoint, next->first + next->count);
        if (bytes > load->set_bytes && next->count > 0) {
            break;
        }
        next->count++;
    }
}

/* Memory of great sections is not kept for others. */
static void recover_load_trim(struct recover_load *load, struct recover_set *set,
                              uint64_t bytes_most)
{
    uint32_t i;

    for (i = 0; i < RECOVER_SECTIONS_MAX; i++) {
        if (set->sections[i].reserved > bytes_most) {
            warp_checkpoint_section_drop(load->checkpoint, &set->sections[i]);
        }
    }
}

static int recover_load_sections(struct recover_load *load, struct recover_crew *crew)
{
    struct recover_set *set, *next;

    do {
        set = &load->sets[load->current];
        next = &load->sets[1 - load->current];
        recover_load_plan(load, set, next);
        recover_parallel(crew, recover_load_job, load,
                         load->db->store->shard_count + next->count);
        recover_load_trim(load, set, load->set_bytes / RECOVER_SECTIONS_MAX);
        load->current = 1 - load->current;
    } while (next->count > 0 && atomic_load_explicit(&load->rc, memory_order_relaxed) == 0);
    recover_load_trim(load, set, 0);
    recover_load_trim(load, next, 0);
    return atomic_load_explicit(&load->rc, memory_order_relaxed);
}

/* Load one checkpoint. WARP_EDAMAGED: another one may do, and what was loaded does no harm, for it is
 * not newer than what the log behind any of them says. */
static int recover_load(struct warp *db, struct recover_crew *crew, uint64_t number,
                        char *message, size_t message_bytes)
{
    struct recover_load load = {.db = db, .now_ms = warp_store_wall_ms(db->store)};
    char name[WARP_CHECKPOINT_NAME_BYTES];
    uint32_t i;
    int rc;

    rc = warp_checkpoint_open(&load.checkpoint, &db->disk, &db->memory, &db->manifest,
                              number, message, message_bytes);
    if (rc < 0) {
        return rc;
    }
    load.section_count = warp_checkpoint_section_count(load.checkpoint);
    load.set_bytes = recover_chunk_bytes(db);
    rc = recover_load_sections(&load, crew);
    for (i = 0; i < db->store->shard_count; i++) {
        db->recovery.operations += load.counts[i].operations;
        db->recovery.expired += load.counts[i].expired;
    }
    if (rc == 0) {
        db->recovery.bytes_read += warp_checkpoint_summary(load.checkpoint)->bytes;
    } else if (rc == WARP_ENOMEM) {
        recover_explain_memory(db, message, message_bytes);
    } else {
        warp_checkpoint_name(number, name);
        (void)snprintf(message, message_bytes, "%s at offset %llu: %s", name,
                       (unsigned long long)atomic_load_explicit(&load.bad_offset,
                                                                memory_order_relaxed),
                       rc == WARP_EDAMAGED ? "the section is damaged"
                                           : warp_error_text(rc));
    }
    warp_checkpoint_close(&load.checkpoint);
    return rc;
}

/* The files below the replay begin that a checkpoint says hold values. */
static int recover_hold(struct warp *db, uint64_t number, bool chosen, char *message,
                        size_t message_bytes)
{
    struct warp_checkpoint *checkpoint = NULL;
    int rc;

    rc = warp_checkpoint_open(&checkpoint, &db->disk, &db->memory, &db->manifest, number,
                              message, message_bytes);
    if (rc < 0) {
        return rc;
    }
    rc = chosen ? warp_holdings_load(&db->holdings, checkpoint)
                : warp_holdings_load_older(&db->holdings, checkpoint,
                                           db->checkpoints[0].number);
    warp_checkpoint_close(&checkpoint);
    return rc;
}

/*
 * A checkpoint that is not kept goes before the files go that only it names: one that could not
 * be read this time may be readable the next time, and would miss them.
 */
static int recover_discard(struct warp *db, const struct warp_checkpoint_summary *found,
                           uint32_t found_count, uint32_t kept, char *message,
                           size_t message_bytes)
{
    uint32_t i, k;
    int rc;

    for (i = 0; i < found_count; i++) {
        for (k = 0; k < kept && db->checkpoints[k].number != found[i].number; k++) {
        }
        if (k < kept) {
            continue;
        }
        rc = warp_checkpoint_remove(&db->disk, found[i].number);
        if (rc < 0) {
            char name[WARP_CHECKPOINT_NAME_BYTES];

            warp_checkpoint_name(found[i].number, name);
            (void)snprintf(message, message_bytes, "removing %s, which is of no use: %s",
                           name, warp_error_text(rc));
            return rc;
        }
    }
    return 0;
}

/* All other segments below the head are given up. */
static int recover_retain(struct warp *db, char *message, size_t message_bytes)
{
    uint32_t count = db->holdings.segment_count, i;
    uint64_t *indexes = NULL;
    int rc;

    if (count > 0) {
        indexes = warp_memory_reserve(&db->memory, count * sizeof(*indexes), 0);
        if (indexes == NULL) {
            return WARP_ENOMEM;
        }
        for (i = 0; i < count; i++) {
            indexes[i] = db->holdings.segments[i].index;
        }
    }
    rc = warp_segments_retain(&db->segments, indexes, count);
    if (rc < 0) {
        (void)snprintf(message, message_bytes, "%s", db->segments.message);
    }
    warp_memory_release(&db->memory, indexes, count * sizeof(*indexes));
    return rc;
}

/* Archives that a kept checkpoint lists must be there; others were made after it and are nobody's. */
static int recover_archives(struct warp *db, char *message, size_t message_bytes)
{
    uint32_t *numbers = NULL;
    uint32_t count = 0, found = 0, i;
    char name[WARP_ARCHIVE_NAME_BYTES];
    int rc;

    rc = warp_archive_find(&db->disk, &db->memory, db->read_only, &numbers, &count);
    if (rc < 0) {
        (void)snprintf(message, message_bytes, "looking for archives: %s",
                       warp_error_text(rc));
        return rc;
    }
    for (i = 0; i < count && rc == 0; i++) {
        if (warp_holdings_find(&db->holdings, true, numbers[i]) != NULL) {
            found++;
        } else if (!db->read_only) {
            warp_archive_name(numbers[i], name);
            rc = warp_error_from_errno(db->disk.ops->unlink(db->disk.context, name));
        }
    }
    if (rc < 0) {
        (void)snprintf(message, message_bytes, "removing an archive that nobody names: %s",
                       warp_error_text(rc));
    } else if (found != db->holdings.archive_count) {
        uint64_t missing = 0;

        for (i = 0; i < db->holdings.archive_count; i++) {
            uint32_t k;

            missing = db->holdings.archives[i].index;
            for (k = 0; k < count && numbers[k] != missing; k++) {
            }
            if (k == count) {
                break;
            }
        }
        warp_archive_name((uint32_t)missing, name);
        (void)snprintf(message, message_bytes, "%s is missing", name);
        rc = WARP_EDAMAGED;
    }
    warp_memory_release(&db->memory, numbers, count * sizeof(*numbers));
    return rc;
}

/*
 * Choose and load: the newest that is whole. *options get where the replay begins, *least how far
 * the log must reach at least. Files below the head that neither of the kept ones names are
 * given up.
 */
static int recover_checkpoints(struct warp *db, struct recover_crew *crew,
                               struct warp_scan_options *options, uint64_t *least,
                               char *message, size_t message_bytes)
{
    struct warp_checkpoint_summary found[RECOVER_CHECKPOINTS_MAX];
    uint32_t count = 0, kept = 0, i;
    int rc;

    options->begin = db->manifest.head_position;
    *least = 0;
    rc = warp_checkpoint_find(&db->disk, &db->memory, &db->manifest, db->read_only, found,
                              RECOVER_CHECKPOINTS_MAX, &count);
    if (rc < 0) {
        (void)snprintf(message, message_bytes, "looking for checkpoints: %s",
                       warp_error_text(rc));
        return rc;
    }
    for (i = 0; i < count && kept < 2; i++) {
        if (db->checkpoint_last < found[i].number) {
            db->checkpoint_last = found[i].number;
        }
        if (found[i].number < db->manifest.checkpoint_number) {
            break;
        }
        if (found[i].records == UINT64_MAX) {
            continue; /* damaged or foreign: the next one may do */
        }
        if (kept == 0) {
            rc = recover_load(db, crew, found[i].number, message, message_bytes);
            if (rc == WARP_EDAMAGED || rc == WARP_EFORMAT) {
                continue;
            }
            if (rc < 0) {
                return rc;
            }
            options->begin = WARP_PLANTED(REPLAY_LATE) ? found[i].end : found[i].begin;
            options->epoch = found[i].epoch;
            *least = found[i].end;
        }
        rc = recover_hold(db, found[i].number, kept == 0, message, message_bytes);
        if (rc < 0 && (kept == 0 || rc == WARP_ENOMEM)) {
            return rc;
        }
        if (rc < 0) {
            continue; /* the newer one is enough */
        }
        db->checkpoints[kept++] = found[i];
    }
    if (kept == 0 && db->manifest.checkpoint_number != 0) {
        if (message[0] == '\0') {
            (void)snprintf(message, message_bytes,
                           "checkpoint %llu, which the MANIFEST counts on, is missing",
                           (unsigned long long)db->manifest.checkpoint_number);
        }
        return WARP_EDAMAGED;
    }
    message[0] = '\0';
    if (!db->read_only) {
        rc = recover_discard(db, found, count, kept, message, message_bytes);
        if (rc < 0) {
            return rc;
        }
    }
    rc = recover_retain(db, message, message_bytes);
    return rc < 0 ? rc : recover_archives(db, message, message_bytes);
}

/* Keep the last block of what has been checked; frames come in log order. */
static void recover_keep_tail(struct warp_writer_tail *tail,
                              const struct warp_scan_chunk *chunk)
{
    uint32_t last = chunk->frame_count - 1, i = last;
    uint64_t end =
        chunk->frames[last].position + warp_frame_bytes(chunk->frames[last].body_bytes);
    uint64_t begin = warp_align_down(end, WARP_WRITER_BLOCK_BYTES_MAX);

    while (i > 0 && chunk->frames[i].position > begin) {
        i--;
    }
    if (chunk->frames[i].position != tail->end || begin >= tail->end) {
        tail->from = chunk->frames[i].position;
    }
    tail->from = tail->from > begin ? tail->from : begin;
    tail->end = end;
    for (; i <= last; i++) {
        const struct warp_frame *frame = &chunk->frames[i];
        const uint8_t *bytes = chunk->bodies[i] - WARP_FRAME_HEADER_BYTES;
        uint64_t from = frame->position,
                 to = from + WARP_FRAME_HEADER_BYTES + frame->body_bytes;
        uint64_t whole = from + warp_frame_bytes(frame->body_bytes);
        uint64_t first = from > begin ? from : begin;

        if (to > first) {
            memcpy(tail->bytes + (first - begin), bytes + (first - from), to - first);
            first = to;
        }
        if (whole > first) {
            memset(tail->bytes + (first - begin), 0, whole - first); /* the padding */
        }
    }
}

int warp_recover(struct warp *db, uint64_t *end, char *message, size_t message_bytes)
{
    struct recover_crew crew = {.db = db, .threads = db->options.recovery_threads};
    struct warp_scan_options options = {.begin = 0};
    struct recover_replay replay;
    const struct warp_scan_result *result;
    struct warp_scan_chunk chunk;
    struct warp_scan *scan = NULL;
    uint64_t begun_ns = warp_clock_ns(db->env.clock), told_ns = begun_ns;
    uint64_t loaded_ns, total, least, known;
    uint32_t i;
    int rc;

    memset(&replay, 0, sizeof(replay));
    if (db->env.threads) {
        options.parallel = recover_parallel;
        options.parallel_context = &crew;
        options.chunk_bytes = recover_chunk_bytes(db);
    } else {
        crew.threads = 1;
        options.chunk_bytes = 65536;
    }
    warp_outlook_init(&db->outlook);
    rc = recover_checkpoints(db, &crew, &options, &least, message, message_bytes);
    if (rc < 0) {
        return rc;
    }
    loaded_ns = warp_clock_ns(db->env.clock);
    if (options.begin < warp_segments_begin(&db->segments)) {
        options.begin = warp_segments_begin(&db->segments);
    }
    if (options.begin > warp_segments_end(&db->segments)) {
        return recover_too_short(warp_segments_end(&db->segments), least, message,
                                 message_bytes);
    }
    options.label = warp_replay_label;
    options.label_context = db->store;
    rc = warp_scan_create(&scan, &db->disk, &db->memory, &db->segments, &db->manifest,
                          &options);
    if (rc < 0) {
        (void)snprintf(message, message_bytes, "reading the log: %s", warp_error_text(rc));
        return rc;
    }
    result = warp_scan_result(scan);
    replay.store = db->store;
    replay.chunk = &chunk;
    total = warp_segments_end(&db->segments) - options.begin;
    while ((rc = warp_scan_next(scan, &chunk)) > 0) {
        uint64_t now_ns;

        recover_keep_tail(&db->log_tail, &chunk);
        replay.now_ms = warp_store_wall_ms(db->store);
        recover_parallel(&crew, recover_replay_shard, &replay, db->store->shard_count);
        for (i = 0; i < db->store->shard_count; i++) {
            if (replay.shards[i].rc < 0) {
                rc = replay.shards[i].rc;
            }
        }
        if (rc < 0) {
            break;
        }
        now_ns = warp_clock_ns(db->env.clock);
        if (db->options.progress != NULL && now_ns - told_ns >= RECOVER_PROGRESS_NS) {
            uint64_t records = 0;

            for (i = 0; i < db->store->shard_count; i++) {
                records += replay.shards[i].counts.operations;
            }
            told_ns = now_ns;
            db->options.progress(db->options.progress_context, result->bytes, total,
                                 records);
        }
    }
    if (rc < 0) {
        recover_explain(db, result, rc, message, message_bytes);
        goto done;
    }
    if (result->end < least) {
        rc = recover_too_short(result->end, least, message, message_bytes);
        goto done;
    }
    /* What was read may have come from a cache that a power cut empties. Below the begin of a
     * checkpoint all was durable when that was sealed. */
    known = result->mark > options.begin ? result->mark : options.begin;
    if (!db->read_only && result->end > known) {
        rc = warp_segments_sync(&db->segments, known, result->end);
        if (rc < 0) {
            (void)snprintf(message, message_bytes, "syncing the replayed log: %s",
                           warp_error_text(rc));
            goto done;
        }
    }
    *end = result->end;
    for (i = 0; i < db->store->shard_count; i++) {
        db->recovery.operations += replay.shards[i].counts.operations;
        db->recovery.expired += replay.shards[i].counts.expired;
        db->recovery.records += atomic_load_explicit(
            &db->store->shards[i]->counters.records, memory_order_relaxed);
    }
    db->recovery.frames = result->frames;
    db->recovery.bytes_read += result->bytes;
    db->recovery.bytes_cut = result->bytes_cut;
    db->recovery.clean = result->clean;
    db->recovery.duration_ns = warp_clock_ns(db->env.clock) - begun_ns;
    warp_outlook_measured(&db->outlook, db->checkpoints[0].records, loaded_ns - begun_ns,
                          result->bytes, begun_ns + db->recovery.duration_ns - loaded_ns);
    if (db->options.progress != NULL) {
        db->options.progress(db->options.progress_context, result->bytes, result->bytes,
                             db->recovery.operations);
    }
done:
    warp_scan_destroy(&scan);
    return rc;
}
