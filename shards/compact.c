#include "shards/compact.h"

#include <string.h>

#include "base/counter.h"
#include "shards/evict.h"
#include "shards/haul.h"
#include "shards/ledger.h"
#include "shards/put.h"
#include "shards/removal.h"
#include "shards/victim.h"
#include "wal/archive.h"

#define COMPACT_LOOKS_PER_STEP    128u
#define COMPACT_WRITES_PER_STEP   64u
#define COMPACT_INSTALLS_PER_STEP 64u
#define COMPACT_VICTIMS_MAX       32u
#define COMPACT_READ_BYTES        65536u
#define COMPACT_BUFFER_BYTES      65536u
#define COMPACT_PERMILLE          1200u

_Static_assert(COMPACT_INSTALLS_PER_STEP <= 64, "a bit for each");

enum compact_phase {
    COMPACT_LOOK_SEGMENTS,
    COMPACT_LOOK_ARCHIVES,
    COMPACT_LOOK_LOG,
    COMPACT_EDGE, /* in the middle of looking at the segments */
    COMPACT_READ,
    COMPACT_WRITE,
    COMPACT_SEAL,
    COMPACT_INSTALL,
};

struct compact_candidate {
    double score;
    uint64_t live;
    uint64_t index;
    bool archive;
};

struct warp_compact {
    struct warp_compact_config config;
    struct warp_epoch_record *record;
    struct warp_removal removal;
    struct warp_victim victim;
    struct warp_haul haul;
    struct warp_archive_writer *writer;
    struct warp_archive_lesson lesson;
    struct warp_archive_totals totals; /* of the one that was sealed */
    uint32_t number;                   /* of the one that is written */

    enum compact_phase phase;
    enum compact_phase after; /* where to go on when the haul is empty */

    /* The look. */
    uint64_t look_at;
    struct warp_holdings_totals all;
    uint64_t empty_bytes; /* of all: files that are empty already */
    uint64_t allowed_bytes;
    struct compact_candidate candidates[COMPACT_VICTIMS_MAX]; /* the best first */
    uint32_t candidate_count;
    bool compacting; /* above the limit, and not below the lower one since */

    /* The run. */
    struct compact_candidate victims[COMPACT_VICTIMS_MAX]; /* ascending */
    uint32_t victim_count, victim_at;
    bool reading; /* in the middle of victim_at */
    uint32_t install_at;
    bool starved;        /* memory was short while installing */
    bool short_of_space; /* the last run ended so: the next one is small */

    struct warp_compact_counters counters;
};

int warp_compact_create(struct warp_compact **compact,
                        const struct warp_compact_config *config)
{
    struct warp_memory *memory = config->store->memory;
    struct warp_compact *made;
    struct warp_victim_config victim;
    int rc;

    warp_assert(*compact == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->config = *config;
    if (made->config.read_bytes == 0) {
        made->config.read_bytes = COMPACT_READ_BYTES;
    }
    if (made->config.buffer_bytes == 0) {
        made->config.buffer_bytes = COMPACT_BUFFER_BYTES;
    }
    if (made->config.block_bytes == 0) {
        made->config.block_bytes = WARP_ARCHIVE_BLOCK_BYTES_DEFAULT;
    }
    if (made->config.amplification_permille == 0) {
        made->config.amplification_permille = COMPACT_PERMILLE;
    }
    if (warp_epoch_register(config->store->epoch, &made->record) < 0) {
        rc = WARP_ENOMEM;
        goto fail_record;
    }
    rc = warp_removal_init(&made->removal, config->store, config->holdings,
                           config->segments, config->disk);
    if (rc < 0) {
        goto fail_removal;
    }
    warp_haul_init(&made->haul, memory, config->memory_bytes);
    made->lesson.memory = memory;
    victim = (struct warp_victim_config){.store = config->store,
                                         .record = made->record,
                                         .disk = config->disk,
                                         .memory = memory,
                                         .manifest = config->manifest,
                                         .haul = &made->haul,
                                         .read_bytes = made->config.read_bytes,
                                         .direct = config->direct};
    warp_victim_init(&made->victim, &victim);
    *compact = made;
    return 0;

fail_removal:
    warp_epoch_unregister(&made->record);
fail_record:
    warp_memory_release(memory, made, sizeof(*made));
    return rc;
}

void warp_compact_destroy(struct warp_compact **compact)
{
    struct warp_compact *gone = *compact;
    struct warp_memory *memory;

    if (gone == NULL) {
        return;
    }
    memory = gone->config.store->memory;
    warp_archive_writer_destroy(&gone->writer);
    warp_archive_lesson_release(&gone->lesson);
    warp_victim_fini(&gone->victim);
    warp_haul_fini(&gone->haul);
    warp_removal_fini(&gone->removal);
    warp_epoch_unregister(&gone->record);
    warp_memory_release(memory, gone, sizeof(*gone));
    *compact = NULL;
}

const struct warp_compact_counters *
warp_compact_counters(const struct warp_compact *compact)
{
    return &compact->counters;
}

/* ---- look --------------------------------------------------------------------------------- */

static void compact_begin_look(struct warp_compact *compact)
{
    compact->phase = COMPACT_LOOK_SEGMENTS;
    compact->look_at = 0;
    memset(&compact->all, 0, sizeof(compact->all));
    compact->empty_bytes = 0;
    compact->candidate_count = 0;
}

static void compact_add_candidate(struct warp_compact *compact,
                                  const struct compact_candidate *candidate)
{
    struct compact_candidate *all = compact->candidates;
    uint32_t at;

    if (compact->candidate_count < COMPACT_VICTIMS_MAX) {
        compact->candidate_count++;
    } else if (all[COMPACT_VICTIMS_MAX - 1].score >= candidate->score) {
        return;
    }
    for (at = compact->candidate_count - 1; at > 0 && all[at - 1].score < candidate->score;
         at--) {
        all[at] = all[at - 1];
    }
    all[at] = *candidate;
}

/* Archives are older than all log that is held. */
static double compact_age(const struct warp_compact *compact,
                          const struct warp_holding *holding, uint64_t head)
{
    const struct warp_holdings *holdings = compact->config.holdings;

    if (!holding->archive) {
        return (double)(head / holdings->segment_bytes - holding->index);
    }
    return (double)holdings->segment_count +
           (double)(holdings->archive_next - holding->index);
}

static void compact_weigh(struct warp_compact *compact, const struct warp_holding *holding,
                          uint64_t live, uint64_t head, bool force)
{
    struct compact_candidate candidate = {
        .live = live, .index = holding->index, .archive = holding->archive};
    uint64_t bytes = holding->bytes;
    double u;

    if (holding->damaged || live >= holding->tried_live || live == 0) {
        return; /* it was tried, and what was left then is still there */
    }
    if (force ? holding->archive && live > bytes / 20 * 19 : live > bytes / 16 * 15) {
        return;
    }
    u = live < bytes ? (double)live / (double)bytes : 1;
    candidate.score = (1 - u) * compact_age(compact, holding, head) / (1 + u);
    compact_add_candidate(compact, &candidate);
}

static void compact_mark_empty(struct warp_compact *compact, struct warp_holding *holding,
                               uint64_t checkpoint_next)
{
    warp_assert(holding->empty_since == 0);
    holding->empty_since = checkpoint_next;
    compact->empty_bytes += holding->stored_bytes;
}

/* True: its edge has to be looked at first. */
static bool compact_look_at(struct warp_compact *compact, struct warp_holding *holding,
                            uint64_t head, uint64_t checkpoint_next, bool force)
{
    uint64_t live;

    live = warp_holdings_total(compact->config.store, holding, &compact->all);
    if (holding->empty_since != 0) {
        warp_assert(live == 0);
        compact->empty_bytes += holding->stored_bytes;
        return false;
    }
    if (live > 0) {
        compact_weigh(compact, holding, live, head, force);
        return false;
    }
    if (!holding->archive) {
        return true;
    }
    compact_mark_empty(compact, holding, checkpoint_next);
    return false;
}

static void compact_look_at_holdings(struct warp_compact *compact, uint64_t head,
                                     uint64_t checkpoint_next, bool force)
{
    struct warp_holdings *holdings = compact->config.holdings;
    bool archive = compact->phase == COMPACT_LOOK_ARCHIVES;
    struct warp_holding *holding;
    uint32_t i;

    warp_epoch_enter(compact->record);
    for (i = 0; i < COMPACT_LOOKS_PER_STEP; i++) {
        holding = warp_holdings_from(holdings, archive, compact->look_at);
        if (holding == NULL ||
            (!archive && (holding->index + 1) * holdings->segment_bytes > head)) {
            compact->phase = archive ? COMPACT_LOOK_LOG : COMPACT_LOOK_ARCHIVES;
            compact->look_at = archive ? head / holdings->segment_bytes : 0;
            break;
        }
        compact->look_at = holding->index + 1;
        if (compact_look_at(compact, holding, head, checkpoint_next, force)) {
            compact->phase = COMPACT_EDGE;
            warp_victim_begin_segment(&compact->victim, holding->index, head, false, true);
            break;
        }
    }
    warp_epoch_leave(compact->record);
}

/* The log above the head: only to be counted. True: all of it was. */
static bool compact_look_at_log(struct warp_compact *compact)
{
    uint32_t segment_bytes = compact->config.holdings->segment_bytes;
    uint64_t end = warp_segments_end(compact->config.segments) / segment_bytes;
    uint32_t i;

    warp_epoch_enter(compact->record);
    for (i = 0; i < COMPACT_LOOKS_PER_STEP && compact->look_at < end; i++) {
        warp_holdings_total_log(compact->config.store, segment_bytes, compact->look_at,
                                &compact->all);
        compact->look_at++;
    }
    warp_epoch_leave(compact->record);
    return compact->look_at >= end;
}

void warp_compact_allow(struct warp_compact *compact, uint64_t bytes)
{
    compact->allowed_bytes = bytes;
}

/* ---- choosing ------------------------------------------------------------------------------ */

/* Empty files do not count: they only wait for their checkpoints. */
static bool compact_is_worth_it(struct warp_compact *compact)
{
    struct warp_holdings_totals totals = compact->all;
    uint64_t high = compact->config.amplification_permille;
    uint64_t low = high > 1000 ? 1000 + (high - 1000) / 4 * 3 : high;
    uint64_t allowed = compact->allowed_bytes;
    uint64_t amplification;

    totals.stored_bytes -= compact->empty_bytes;
    amplification = warp_holdings_amplification(&totals);
    if (compact->compacting && allowed > totals.live_bytes) {
        allowed -= (allowed - totals.live_bytes) / 4;
    }
    compact->compacting = amplification > (compact->compacting ? low : high) ||
                          (compact->allowed_bytes != 0 && totals.stored_bytes > allowed);
    return compact->compacting;
}

static bool compact_precedes(const struct compact_candidate *a,
                             const struct compact_candidate *b)
{
    return a->archive != b->archive ? !a->archive : a->index < b->index;
}

static void compact_add_victim(struct warp_compact *compact,
                               const struct compact_candidate *candidate)
{
    uint32_t at;

    for (at = compact->victim_count++;
         at > 0 && compact_precedes(candidate, &compact->victims[at - 1]); at--) {
        compact->victims[at] = compact->victims[at - 1];
    }
    compact->victims[at] = *candidate;
}

/* The best ones whose live bytes fit the memory together; when the disk is full, the one that
 * takes the least of it. */
static void compact_choose(struct warp_compact *compact)
{
    const struct compact_candidate *all = compact->candidates;
    uint64_t bytes = 0;
    uint32_t i, smallest = 0;

    compact->victim_count = compact->victim_at = 0;
    compact->reading = false;
    for (i = 0; i < compact->candidate_count; i++) {
        smallest = all[i].live < all[smallest].live ? i : smallest;
    }
    if (compact->short_of_space && compact->candidate_count > 0) {
        compact_add_victim(compact, &all[smallest]);
        return;
    }
    for (i = 0; i < compact->candidate_count; i++) {
        if (i > 0 && bytes + all[i].live > compact->config.memory_bytes) {
            break;
        }
        bytes += all[i].live;
        compact_add_victim(compact, &all[i]);
    }
}

static enum warp_compact_state compact_end_look(struct warp_compact *compact, bool force)
{
    bool worth_it = compact_is_worth_it(compact);

    warp_counter_set(&compact->counters.disk_bytes, compact->all.stored_bytes);
    warp_counter_set(&compact->counters.live_bytes, compact->all.live_bytes);
    warp_counter_set(&compact->counters.live_raw_bytes, compact->all.live_raw_bytes);
    if (worth_it || force) {
        compact_choose(compact);
    }
    compact_begin_look(compact);
    if (compact->victim_count == 0) {
        return WARP_COMPACT_IDLE;
    }
    compact->phase = COMPACT_READ;
    return WARP_COMPACT_WORKED;
}

/* ---- giving up ----------------------------------------------------------------------------- */

static enum warp_compact_state compact_give_up(struct warp_compact *compact, int rc,
                                               int *error)
{
    warp_archive_writer_destroy(&compact->writer);
    warp_victim_let_go(&compact->victim);
    warp_haul_clear(&compact->haul);
    warp_counter_add(&compact->counters.runs_given_up, 1);
    compact->victim_count = compact->victim_at = 0;
    compact_begin_look(compact);
    if (rc == WARP_ENOSPC && !compact->short_of_space) {
        compact->short_of_space = true; /* one file may fit where all of them did not */
        return WARP_COMPACT_WORKED;
    }
    *error = rc;
    return WARP_COMPACT_BLOCKED;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool compact_is_damage(int rc)
{
    return rc == WARP_EDAMAGED || rc == WARP_EIO;
}

static void compact_write_then(struct warp_compact *compact, enum compact_phase after)
{
    compact->phase = COMPACT_WRITE;
    compact->after = after;
}

/* What reaches over the end of a segment in which nothing is alive. */
static enum warp_compact_state compact_edge(struct warp_compact *compact,
                                            uint64_t checkpoint_next, int *error)
{
    struct warp_holding *holding;
    int rc;

    rc = warp_victim_step(&compact->victim);
    if (rc == WARP_VICTIM_MORE) {
        return WARP_COMPACT_WORKED;
    }
    if (rc == WARP_VICTIM_FULL) {
        compact_write_then(compact, COMPACT_EDGE);
        return WARP_COMPACT_WORKED;
    }
    if (rc < 0 && !compact_is_damage(rc)) {
        return compact_give_up(compact, rc, error);
    }
    holding = warp_holdings_find(compact->config.holdings, false, compact->victim.index);
    warp_assert(holding != NULL);
    if (compact->victim.collected > 0) {
        /* Once it is moved, the edge is looked at again. */
        compact->look_at = compact->victim.index;
        compact->all.stored_bytes -= holding->stored_bytes;
        compact_write_then(compact, COMPACT_LOOK_SEGMENTS);
        return WARP_COMPACT_WORKED;
    }
    /* Damage at the edge: what is behind it can only be overlooked, not lost. */
    compact_mark_empty(compact, holding, checkpoint_next);
    compact->phase = COMPACT_LOOK_SEGMENTS;
    return WARP_COMPACT_WORKED;
}

static void compact_end_run(struct warp_compact *compact)
{
    struct warp_store *store = compact->config.store;
    uint32_t i;

    warp_epoch_enter(compact->record);
    for (i = 0; i < compact->victim_count; i++) {
        const struct compact_candidate *victim = &compact->victims[i];
        struct warp_holding *holding =
            warp_holdings_find(compact->config.holdings, victim->archive, victim->index);

        if (holding != NULL) {
            holding->tried_live = victim->archive
                                      ? warp_ledger_archive(store, (uint32_t)victim->index)
                                      : warp_ledger_segment(store, victim->index);
        }
    }
    warp_epoch_leave(compact->record);
    compact->victim_count = compact->victim_at = 0;
    compact->short_of_space = false;
    warp_counter_add(&compact->counters.runs, 1);
    compact_begin_look(compact);
}

static void compact_begin_victim(struct warp_compact *compact, uint64_t head)
{
    const struct compact_candidate *victim = &compact->victims[compact->victim_at];
    const struct compact_candidate *before = compact->victim_at > 0 ? victim - 1 : NULL;

    compact->reading = true;
    if (victim->archive) {
        warp_victim_begin_archive(&compact->victim, (uint32_t)victim->index);
    } else {
        warp_victim_begin_segment(&compact->victim, victim->index, head,
                                  before != NULL && before->index + 1 == victim->index,
                                  false);
    }
}

static void compact_end_victim(struct warp_compact *compact)
{
    const struct compact_candidate *victim = &compact->victims[compact->victim_at];
    struct warp_holding *holding =
        warp_holdings_find(compact->config.holdings, victim->archive, victim->index);

    warp_counter_add(&compact->counters.victims, 1);
    if (compact->victim.damaged && holding != NULL) {
        holding->damaged = true;
        warp_counter_add(&compact->counters.victims_damaged, 1);
    }
    compact->reading = false;
    compact->victim_at++;
}

static enum warp_compact_state compact_read(struct warp_compact *compact, uint64_t head,
                                            int *error)
{
    int rc;

    if (!compact->reading) {
        if (compact->victim_at == compact->victim_count) {
            if (compact->haul.count > 0) {
                compact_write_then(compact, COMPACT_READ);
            } else {
                compact_end_run(compact);
            }
            return WARP_COMPACT_WORKED;
        }
        compact_begin_victim(compact, head);
    }
    rc = warp_victim_step(&compact->victim);
    if (rc == WARP_VICTIM_FULL) {
        compact_write_then(compact, COMPACT_READ);
    } else if (rc == 0 || compact_is_damage(rc)) {
        compact_end_victim(compact);
    } else if (rc < 0) {
        return compact_give_up(compact, rc, error);
    }
    return WARP_COMPACT_WORKED;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void compact_placed(void *context, void *cookie, uint64_t place)
{
    struct warp_haul_item *item = cookie;

    (void)context;
    item->new_place = place;
}

static int compact_begin_archive(struct warp_compact *compact)
{
    struct warp_holdings *holdings = compact->config.holdings;
    struct warp_archive_config config = {
        .disk = compact->config.disk,
        .memory = compact->config.store->memory,
        .manifest = compact->config.manifest,
        .number = holdings->archive_next,
        .block_bytes = compact->config.block_bytes,
        .level = compact->config.level,
        .dictionary_bytes = compact->config.dictionary_bytes,
        .lesson = &compact->lesson,
        .buffer_bytes = compact->config.buffer_bytes,
        .direct = compact->config.direct,
    };
    int rc;

    if (config.number >= WARP_PLACE_FILES_MAX) {
        return WARP_ENOSPC; /* as many as a database can have in its life */
    }
    rc = warp_holdings_reserve_archive(holdings);
    if (rc < 0) {
        return rc;
    }
    rc = warp_archive_writer_create(&compact->writer, &config, compact_placed, compact);
    compact->number = config.number;
    if (rc == WARP_EEXIST) {
        /* Left by a seal that failed at its very end. The next open removes it. */
        holdings->archive_next++;
        return 0;
    }
    return rc;
}

static struct warp_archive_item compact_item(struct warp_haul_item *item)
{
    struct warp_archive_item out = {
        .slot = item->slot,
        .hash = item->hash,
        .sequence = item->sequence,
        .entry = {.kind = WARP_ENTRY_PUT,
                  .flags = item->expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0,
                  .key_bytes = item->key_bytes,
                  .value_bytes = item->value_bytes,
                  .key = item->bytes,
                  .value = item->bytes + item->key_bytes,
                  .expires_at_ms = item->expires_at_ms},
        .cookie = item};

    return out;
}

static enum warp_compact_state compact_write(struct warp_compact *compact, int *error)
{
    uint32_t i;
    int rc;

    if (compact->haul.count == 0) {
        compact->phase = compact->after;
        return WARP_COMPACT_WORKED;
    }
    if (compact->writer == NULL) {
        rc = compact_begin_archive(compact);
        return rc < 0 ? compact_give_up(compact, rc, error) : WARP_COMPACT_WORKED;
    }
    for (i = 0; i < COMPACT_WRITES_PER_STEP; i++) {
        struct warp_haul_item *item = warp_haul_take(&compact->haul);
        struct warp_archive_item out;

        if (item == NULL) {
            compact->phase = COMPACT_SEAL;
            break;
        }
        out = compact_item(item);
        rc = warp_archive_writer_add(compact->writer, &out);
        if (rc == WARP_AGAIN) {
            warp_haul_untake(&compact->haul); /* into the next one */
            compact->phase = COMPACT_SEAL;
            break;
        }
        if (rc < 0) {
            return compact_give_up(compact, rc, error);
        }
        if (item->value_bytes >= compact->config.block_bytes) {
            break; /* that was work enough */
        }
    }
    return WARP_COMPACT_WORKED;
}

static enum warp_compact_state compact_seal(struct warp_compact *compact, int *error)
{
    struct warp_holdings *holdings = compact->config.holdings;
    int rc;

    rc = warp_archive_writer_seal(compact->writer, &compact->totals);
    if (rc < 0) {
        if (rc != WARP_ENOMEM) {
            holdings->archive_next++; /* the file may be there all the same */
        }
        return compact_give_up(compact, rc, error);
    }
    warp_archive_writer_destroy(&compact->writer);
    warp_holdings_add_archive(holdings, compact->number, compact->totals.raw_bytes,
                              compact->totals.stored_bytes);
    warp_counter_add(&compact->counters.archives, 1);
    warp_counter_add(&compact->counters.raw_bytes, compact->totals.raw_bytes);
    warp_counter_add(&compact->counters.stored_bytes, compact->totals.stored_bytes);
    compact->phase = COMPACT_INSTALL;
    compact->install_at = 0;
    return WARP_COMPACT_WORKED;
}

/* ---- installing ---------------------------------------------------------------------------- */

/* The record that is still where the item was read from; NULL: it is dead, or another version. */
static struct warp_record *compact_find(struct warp_store *store,
                                        const struct warp_haul_item *item,
                                        _Atomic uint64_t **place)
{
    struct warp_record *record;

    record = warp_table_find_in(warp_table_resolve(&store->words[item->slot], item->hash),
                                item->hash, item->bytes, item->key_bytes, place);
    if (WARP_PLANTED(INSTALL_BLIND)) {
        return record;
    }
    if (record == NULL || warp_record_place(record) != item->place ||
        warp_record_value_bytes(record) != item->value_bytes ||
        warp_record_expires_at_ms(record) != item->expires_at_ms) {
        return NULL;
    }
    return record;
}

/* The same version with its new place; cold if memory is short. NULL: not even that. */
static struct warp_record *compact_make(struct warp_shard *shard,
                                        const struct warp_haul_item *item,
                                        const struct warp_record *record)
{
    struct warp_record_content content = warp_record_content(record);
    struct warp_record *fresh = NULL;

    content.place = item->new_place;
    content.in_batch = false;
    if (!content.cold) {
        fresh = warp_evict_make(shard, &content);
    }
    if (fresh == NULL) {
        content.cold = true;
        fresh = warp_slab_reserve(
            &shard->limbo.pool,
            warp_record_bytes_with(item->key_bytes, 0, warp_record_flags(&content)));
        if (fresh != NULL) {
            warp_record_write(fresh, &content);
        }
    }
    return fresh;
}

/* 1: moved; 0: no longer there; WARP_ENOMEM: it stays where it is. */
static int compact_install_one(struct warp_shard *shard, const struct warp_haul_item *item)
{
    struct warp_store *store = shard->store;
    _Atomic uint64_t *place = NULL;
    struct warp_record *record, *fresh;

    if (warp_put_reserve_exchange(shard) < 0) {
        return WARP_ENOMEM;
    }
    record = compact_find(store, item, &place);
    if (record != NULL && !warp_record_is_cold(record)) {
        /* It may replace the very record: look again. */
        warp_evict_make_room(shard, warp_record_bytes_of(record) + 8);
        if (warp_put_reserve_exchange(shard) < 0) {
            return WARP_ENOMEM;
        }
        record = compact_find(store, item, &place);
    }
    if (record == NULL) {
        return 0;
    }
    if (shard->ledger.mixed && (warp_ledger_reserve_out(&shard->ledger, 0, record) < 0 ||
                                warp_put_reserve_exchange(shard) < 0)) {
        return WARP_ENOMEM;
    }
    fresh = compact_make(shard, item, record);
    if (fresh == NULL) {
        return WARP_ENOMEM;
    }
    if (warp_record_is_cold(fresh) && !warp_record_is_cold(record)) {
        warp_evict_forget(shard, record);
        warp_counter_add(&shard->counters.evictions, 1);
    }
    warp_put_exchange(shard, item->slot, item->hash, fresh, record, place);
    return 1;
}

/* Bring the records of a group into this core's cache, before a lease is taken. */
static void compact_fetch(struct warp_compact *compact, uint32_t from, uint32_t to)
{
    struct warp_store *store = compact->config.store;
    uint64_t words[COMPACT_INSTALLS_PER_STEP];
    uint32_t i;

    warp_epoch_enter(compact->record);
    for (i = from; i < to; i++) {
        const struct warp_haul_item *item = warp_haul_taken(&compact->haul, i);

        words[i - from] = warp_table_prefetch(&store->words[item->slot], item->hash);
    }
    for (i = from; i < to; i++) {
        warp_table_prefetch_record(words[i - from],
                                   warp_haul_taken(&compact->haul, i)->hash);
    }
    warp_epoch_leave(compact->record);
}

/*
 * Those of a group that are one shard's, under its lease: one at a time, for whoever writes
 * meanwhile waits that long, and it is not worth a writer's while to go to sleep for. `todo` and what
 * is returned have a bit for each that is left to do: of slots that have moved meanwhile.
 */
static uint64_t compact_install_group(struct warp_compact *compact,
                                      struct warp_shard *shard, uint32_t from,
                                      uint64_t todo)
{
    uint64_t moved = 0, left = 0, bits;

    for (bits = todo; bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        const struct warp_haul_item *item = warp_haul_taken(&compact->haul, from + i);
        int rc;

        if (warp_slotmap_owner(&shard->store->slotmap, item->slot) != shard->id) {
            continue;
        }
        warp_shard_enter_surely(shard);
        if (warp_slotmap_owner(&shard->store->slotmap, item->slot) == shard->id) {
            rc = compact_install_one(shard, item);
            moved += rc > 0;
            left += rc <= 0;
            compact->starved = compact->starved || rc < 0;
            todo &= ~(UINT64_C(1) << i);
        }
        warp_shard_leave(shard);
    }
    warp_shard_enter_surely(shard);
    /* Not only at the next tick: what was replaced may be a good part of the memory. */
    (void)warp_limbo_collect_some(&shard->limbo);
    warp_shard_leave(shard);
    warp_counter_add(&compact->counters.records_moved, moved);
    warp_counter_add(&compact->counters.records_left, left);
    return todo;
}

static enum warp_compact_state compact_install(struct warp_compact *compact, int *error)
{
    struct warp_store *store = compact->config.store;
    uint32_t count = warp_haul_taken_count(&compact->haul);
    uint32_t from = compact->install_at;
    uint32_t to =
        count - from < COMPACT_INSTALLS_PER_STEP ? count : from + COMPACT_INSTALLS_PER_STEP;
    uint64_t todo = 0;
    uint32_t i;

    for (i = from; i < to; i++) {
        warp_assert(warp_place_is_archived(warp_haul_taken(&compact->haul, i)->new_place));
        todo |= UINT64_C(1) << (i - from);
    }
    compact_fetch(compact, from, to);
    /* Shard by shard; a slot that changes its shard meanwhile is met there. */
    while (todo != 0) {
        const struct warp_haul_item *first =
            warp_haul_taken(&compact->haul, from + (uint32_t)__builtin_ctzll(todo));

        todo = compact_install_group(compact, warp_store_owner(store, first->slot), from,
                                     todo);
    }
    compact->install_at = to;
    if (to == count) {
        warp_haul_drop(&compact->haul);
        compact->phase = compact->haul.heap_count > 0 ? COMPACT_WRITE : compact->after;
        if (compact->starved) {
            /* What was not moved is read again, so not at once. */
            compact->starved = false;
            *error = WARP_ENOMEM;
            return WARP_COMPACT_BLOCKED;
        }
    }
    return WARP_COMPACT_WORKED;
}

/* ---- the whole ----------------------------------------------------------------------------- */

enum warp_compact_state warp_compact_step(struct warp_compact *compact, uint64_t head,
                                          uint64_t checkpoint_next, bool force, int *error)
{
    *error = 0;
    warp_assert(checkpoint_next > 0);
    switch (compact->phase) {
    case COMPACT_LOOK_SEGMENTS:
    case COMPACT_LOOK_ARCHIVES:
        compact_look_at_holdings(compact, head, checkpoint_next, force);
        return WARP_COMPACT_WORKED;
    case COMPACT_LOOK_LOG:
        return compact_look_at_log(compact) ? compact_end_look(compact, force)
                                            : WARP_COMPACT_WORKED;
    case COMPACT_EDGE:
        return compact_edge(compact, checkpoint_next, error);
    case COMPACT_READ:
        return compact_read(compact, head, error);
    case COMPACT_WRITE:
        return compact_write(compact, error);
    case COMPACT_SEAL:
        return compact_seal(compact, error);
    case COMPACT_INSTALL:
        return compact_install(compact, error);
    }
    return WARP_COMPACT_IDLE;
}

enum warp_compact_state warp_compact_remove_step(struct warp_compact *compact,
                                                 uint64_t checkpoint_oldest, int *error)
{
    enum warp_removal_state state;
    uint64_t before = compact->removal.removed;

    if (compact->removal.phase == WARP_REMOVAL_DROP) {
        /* The victim may have such a file open; closing forgets what it has read ahead. */
        warp_victim_close(&compact->victim);
    }
    state = warp_removal_step(&compact->removal, checkpoint_oldest, error);
    warp_counter_add(&compact->counters.files_removed, compact->removal.removed - before);
    return state == WARP_REMOVAL_IDLE     ? WARP_COMPACT_IDLE
           : state == WARP_REMOVAL_WORKED ? WARP_COMPACT_WORKED
                                          : WARP_COMPACT_BLOCKED;
}
