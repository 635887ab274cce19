#include "shards/background.h"

#include "base/counter.h"
#include "shards/move.h"
#include "shards/placement.h"

#define BACKGROUND_BUDGET_PERMILLE 250u
#define BACKGROUND_DEBT_HIGH       500u /* thousandths, from which on nothing is spared */
#define BACKGROUND_SAVED_NS        INT64_C(2000000) /* tokens that are kept for later */
#define BACKGROUND_BLOCKED_NS      200000u     /* before asking again who is in the way */
#define BACKGROUND_RETRY_NS        1000000000u /* after a job has failed */
#define BACKGROUND_LOOK_NS         200000000u  /* how often to look at the log's growth */

/* The tables of a checkpoint that begins at `begin`: all log below it is held from then on. */
static int background_tables(void *context, uint64_t begin,
                             struct warp_checkpoint_tables *out)
{
    struct warp_background *background = context;
    const struct warp_checkpointer *checkpointer = &background->checkpointer;
    uint32_t segment_bytes = checkpointer->config.manifest->segment_bytes;
    uint64_t head = warp_checkpointer_head(checkpointer);
    uint64_t first = warp_segments_begin(checkpointer->config.segments);
    int rc;

    /* What lies below the newest head is held already, or gone. */
    rc = warp_holdings_add_segments(background->holdings,
                                    (head > first ? head : first) / segment_bytes,
                                    begin / segment_bytes);
    if (rc == 0) {
        rc = warp_holdings_tables(background->holdings, checkpointer->number,
                                  &background->tables);
    }
    if (rc < 0) {
        return rc;
    }
    out->segments = background->tables.segments;
    out->segment_count = background->tables.segment_count;
    out->archives = background->tables.archives;
    out->archive_count = background->tables.archive_count;
    out->archive_next = background->holdings->archive_next;
    return 0;
}

/* One move of a plan. */
static int background_move(void *context, uint32_t slot, uint32_t from, uint32_t to)
{
    struct warp_background *background = context;

    (void)from; /* only a mover changes owners, and it is asked under the leases anyway */
    return warp_move_slot(background->store, slot, to);
}

static void background_init_gravity(struct warp_background *background, bool on)
{
    struct warp_store *store = background->store;
    struct warp_mass_sampler *samplers[WARP_SHARD_COUNT_MAX];
    struct warp_rebalance_config config = {.mass = &store->mass,
                                           .owners = &store->slotmap,
                                           .samplers = samplers,
                                           .shard_count = store->shard_count,
                                           .clock = store->env->clock,
                                           .mover = {background_move, background}};
    uint32_t i;

    for (i = 0; i < store->shard_count; i++) {
        samplers[i] = &store->shards[i]->sampler;
    }
    warp_rebalance_init(&background->rebalance, &config);
    warp_rebalance_set_mode(&background->rebalance,
                            on ? WARP_REBALANCE_ON : WARP_REBALANCE_OFF);
}

int warp_background_create(struct warp_background **background,
                           const struct warp_background_config *config)
{
    struct warp_memory *memory = config->checkpointer.store->memory;
    struct warp_checkpointer_config checkpointer = config->checkpointer;
    struct warp_compact_config compact = config->compact;
    struct warp_warmup_config warmup = config->warmup;
    struct warp_background *made;
    int rc;

    warp_assert(*background == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->store = checkpointer.store;
    made->holdings = config->holdings;
    made->compacts = config->compacts;
    made->space_permille = config->compact.amplification_permille;
    made->space_least = 8ull * config->checkpointer.manifest->segment_bytes;
    made->checkpoint_log_bytes = config->checkpoint_log_bytes;
    made->outlook = config->outlook;
    made->recovery_ns_max = config->recovery_ns_max;
    made->told = config->told;
    made->told_context = config->told_context;
    made->budget_permille =
        config->budget_permille != 0 ? config->budget_permille : BACKGROUND_BUDGET_PERMILLE;
    made->refilled_ns = warp_clock_ns(made->store->env->clock);
    background_init_gravity(made, config->gravity);
    checkpointer.tables = background_tables;
    checkpointer.context = made;
    rc = warp_checkpointer_init(&made->checkpointer, &checkpointer);
    if (rc < 0) {
        goto fail_checkpointer;
    }
    compact.store = made->store;
    compact.holdings = made->holdings;
    compact.segments = checkpointer.segments;
    compact.disk = made->store->env->disk;
    compact.manifest = checkpointer.manifest;
    rc = warp_compact_create(&made->compact, &compact);
    if (rc < 0) {
        goto fail_compact;
    }
    warmup.store = made->store;
    warmup.disk = made->store->env->disk;
    warmup.manifest = checkpointer.manifest;
    rc = warp_warmup_create(&made->warmup, &warmup);
    if (rc < 0) {
        goto fail_warmup;
    }
    *background = made;
    return 0;

fail_warmup:
    warp_compact_destroy(&made->compact);
fail_compact:
    warp_checkpointer_fini(&made->checkpointer);
fail_checkpointer:
    warp_memory_release(memory, made, sizeof(*made));
    return rc;
}

void warp_background_destroy(struct warp_background **background)
{
    struct warp_background *one = *background;
    struct warp_memory *memory = one->store->memory;

    warp_warmup_destroy(&one->warmup);
    warp_compact_destroy(&one->compact);
    warp_checkpointer_fini(&one->checkpointer);
    warp_holdings_tables_release(one->holdings, &one->tables);
    warp_memory_release(memory, one, sizeof(*one));
    *background = NULL;
}

/* ---- the budget ------------------------------------------------------------------------- */

static uint64_t background_log_bytes(const struct warp_background *background)
{
    uint64_t tail = warp_sequence_tail_hint(&background->store->wal->writer.sequence);
    uint64_t begin = warp_checkpointer_head(&background->checkpointer);
    uint64_t first = warp_segments_begin(background->checkpointer.config.segments);

    /* Before the first checkpoint all the log there is would be replayed. */
    return tail - (begin > first ? begin : first);
}

/* What of the space that is allowed for so much that is alive is beside it. */
static uint64_t background_space_beside(const struct warp_background *background)
{
    uint64_t live =
        warp_counter_read(&warp_compact_counters(background->compact)->live_raw_bytes);

    return live / 1000 * (background->space_permille - 1000);
}

/* What log and archives may take of that space before compaction sets in. The checkpoints take some of
 * it, of small records even most; half of what there is beside the living stays for files all the
 * same, for compaction cannot win back more than that at a price anybody would pay. */
static uint64_t background_space_limit(const struct warp_background *background)
{
    const struct warp_compact_counters *seen = warp_compact_counters(background->compact);
    const struct warp_checkpointer *checkpointer = &background->checkpointer;
    uint64_t kept = warp_checkpointer_is_idle(checkpointer) ? 2 : 3;
    uint64_t checkpoints = kept * warp_counter_read(&checkpointer->last_bytes);
    uint64_t beside = background_space_beside(background);
    uint64_t limit = warp_counter_read(&seen->live_raw_bytes) + beside;
    uint64_t living = warp_counter_read(&seen->live_bytes);
    /* A file of which a sixteenth is dead is not worth compacting, so that much is never won back. */
    uint64_t tight = living / 15 + beside / 8;
    uint64_t least = living + (beside / 2 > tight ? beside / 2 : tight);

    return limit > least + checkpoints ? limit - checkpoints : least;
}

/*
 * How much log there may be behind the newest checkpoint: as much as the next opening can replay in the
 * time that it may take, beside loading that checkpoint.
 */
uint64_t warp_background_log_allowed(const struct warp_background *background)
{
    const struct warp_checkpointer *checkpointer = &background->checkpointer;

    if (background->checkpoint_log_bytes != 0) {
        return 2 * background->checkpoint_log_bytes;
    }
    return warp_outlook_log_bytes(
        &background->outlook, warp_counter_read(&checkpointer->last_records),
        warp_counter_read(&checkpointer->last_bytes), background->recovery_ns_max);
}

/* So much makes a checkpoint due, for that takes its time. */
static uint64_t background_log_due(const struct warp_background *background)
{
    return warp_background_log_allowed(background) / 2;
}

/*
 * Space that compaction does not win back as fast as writers use it up. What is alive is as of its
 * last look. Compaction sets in at the limit, writers begin to pay where what only waits for a
 * checkpoint, as far as it is more than a quarter of what may be beside the living, has its place
 * above that; another quarter further they pay the most. Thousandths of that quarter.
 */
static uint64_t background_space_debt(const struct warp_background *background)
{
    const struct warp_holdings_counters *held = &background->holdings->counters;
    uint64_t disk = warp_counter_read(&held->segment_bytes) +
                    warp_counter_read(&held->archive_bytes) +
                    background_log_bytes(background);
    uint64_t quarter = background_space_beside(background) / 4;
    uint64_t waiting = warp_background_log_allowed(background);
    uint64_t range = quarter > waiting / 2 ? quarter : waiting / 2;
    uint64_t limit =
        background_space_limit(background) + (waiting > quarter ? waiting - quarter : 0);

    if (!background->compacts || quarter == 0 || disk < background->space_least ||
        disk <= limit) {
        return 0;
    }
    return (disk - limit) / (range / 1000 + 1);
}

/*
 * The same of the log that would have to be replayed. From where a checkpoint is due, half of what is
 * allowed, its haste grows, to 1,000 at three quarters; from there on writers pay, so that they come
 * near all of it and not beyond. Whatever was found at the open counts: a life that was too short for a
 * checkpoint leaves its debt to the next.
 */
static void background_look_at_log(struct warp_background *background)
{
    uint64_t bytes = background_log_bytes(background);
    uint64_t quarter = warp_background_log_allowed(background) / 4 + 1;

    background->haste = bytes <= 2 * quarter ? 0 : (bytes - 2 * quarter) * 1000 / quarter;
    background->haste = background->haste < 1000 ? background->haste : 1000;
    background->log_debt =
        bytes <= 3 * quarter ? 0 : (bytes - 3 * quarter) * 1000 / quarter;
}

/* How deep in debt we are, and what writers pay for it. */
static void background_look(struct warp_background *background)
{
    uint64_t space = background_space_debt(background);
    uint32_t level;

    background_look_at_log(background);
    background->debt = background->log_debt > space ? background->log_debt : space;
    background->log_first = background->haste > 0 && background->log_debt >= space;
    warp_pace_set(&background->store->pace, background->debt);
    if (background->debt > 0) {
        level = background->debt >= BACKGROUND_DEBT_HIGH ? 3 : 2;
    } else {
        level = background_log_bytes(background) >= background_log_due(background);
    }
    if (level != warp_counter_read(&background->pressure)) {
        warp_counter_set(&background->pressure, level);
        if (background->told != NULL) {
            background->told(background->told_context, level);
        }
    }
}

/* What a step is charged: its CPU time, for while it waited for the disk others had the CPU. Without
 * threads there is nobody to spare. */
static uint64_t background_clock(const struct warp_background *background)
{
    return background->store->env->threads ? warp_thread_cpu_ns()
                                           : warp_clock_ns(background->store->env->clock);
}

static int64_t background_cost(const struct warp_background *background, uint64_t begun)
{
    return (int64_t)(background_clock(background) - begun) + 1;
}

/* Is there a token? Else *due_ns gets when there will be one. */
static bool background_may(struct warp_background *background, uint64_t now_ns,
                           uint64_t *due_ns)
{
    uint64_t permille = background->budget_permille;
    uint64_t passed_ns = now_ns - background->refilled_ns;
    uint64_t need = background->debt * 1000 / BACKGROUND_DEBT_HIGH;

    need = need > background->haste ? need : background->haste;
    permille = need >= 1000 || permille >= 1000
                   ? 1000
                   : permille + (1000 - permille) * need / 1000;
    if (permille >= 1000 || !background->store->env->threads) {
        background->tokens_ns = 0;
        background->refilled_ns = now_ns;
        return true;
    }
    background->refilled_ns = now_ns;
    passed_ns = passed_ns > UINT64_C(10000000000) ? UINT64_C(10000000000) : passed_ns;
    background->tokens_ns += (int64_t)(passed_ns * permille / 1000);
    if (background->tokens_ns > BACKGROUND_SAVED_NS) {
        background->tokens_ns = BACKGROUND_SAVED_NS;
    }
    if (background->tokens_ns >= 0) {
        return true;
    }
    *due_ns = now_ns + (uint64_t)-background->tokens_ns * 1000 / permille + 1;
    return false;
}

/* ---- wishes ------------------------------------------------------------------------------ */

static void background_tell(struct warp_background *background, _Atomic uint64_t *done,
                            uint64_t served, _Atomic int *done_rc, int rc)
{
    atomic_store_explicit(done_rc, rc, memory_order_relaxed);
    /* Release: pairs with the acquire in background_wait_for. */
    atomic_store_explicit(done, served, memory_order_release);
    if (background->store->env->threads) {
        /* Release: pairs with the acquire of the word in background_wait_for. */
        atomic_fetch_add_explicit(&background->done_word, 1, memory_order_release);
        warp_wake(&background->done_word, INT32_MAX, UINT32_MAX);
    }
}

static bool background_wished(const _Atomic uint64_t *wanted, const _Atomic uint64_t *done)
{
    /* Acquire: pairs with the release of the wish. */
    return atomic_load_explicit(wanted, memory_order_acquire) !=
           atomic_load_explicit(done, memory_order_relaxed);
}

/* ---- checkpoints ------------------------------------------------------------------------- */

/* Compaction lags, and so much is empty that the newest checkpoint does not know of, that writing
 * another one is worth it. */
static bool background_owes_soon(struct warp_background *background)
{
    const struct warp_checkpointer *checkpointer = &background->checkpointer;
    uint64_t next = warp_checkpointer_next(checkpointer);
    uint64_t bytes = warp_counter_read(&checkpointer->last_bytes);
    uint64_t least = background_log_due(background) / 4;
    const struct warp_holding *holding;
    uint64_t empty_bytes = 0;
    uint32_t archive;

    for (archive = 0; archive < 2; archive++) {
        uint64_t index = 0;

        while ((holding = warp_holdings_from(background->holdings, archive == 1, index)) !=
               NULL) {
            empty_bytes += holding->empty_since == next ? holding->stored_bytes : 0;
            index = holding->index + 1;
        }
    }
    return empty_bytes >= (bytes > least ? bytes : least);
}

/* Is there something empty that only waits for checkpoints to know it, and nothing better to do? */
static bool background_owes(struct warp_background *background)
{
    uint64_t oldest = warp_checkpointer_oldest(&background->checkpointer);
    const struct warp_holding *holding;
    uint64_t empty_bytes = 0;
    uint64_t least = background_log_due(background) / 2;
    bool asked = false;
    uint32_t archive;

    for (archive = 0; archive < 2; archive++) {
        uint64_t index = 0;

        while ((holding = warp_holdings_from(background->holdings, archive == 1, index)) !=
               NULL) {
            if (holding->empty_since > oldest) {
                empty_bytes += holding->stored_bytes;
                asked = asked || holding->empty_since <= background->compact_goal;
            }
            index = holding->index + 1;
        }
    }
    return empty_bytes >= least || (asked && background->compact_passes > 0);
}

static void background_compacted(struct warp_background *background, int rc)
{
    background->compact_passes = 0;
    background_tell(background, &background->compact_done, background->compact_served,
                    &background->compact_done_rc, rc);
}

static int background_checkpoint(struct warp_background *background, uint64_t now_ns)
{
    struct warp_checkpointer *checkpointer = &background->checkpointer;
    int rc = warp_checkpointer_step(checkpointer);

    if (rc == WARP_WORK_COMPLETE) {
        /* A hint for the next open: one that cannot be written now may be the next time. */
        (void)warp_placement_save(background->store, background->store->env->disk,
                                  checkpointer->config.manifest);
    }
    if (rc < 0 || rc == WARP_WORK_COMPLETE) {
        warp_holdings_tables_release(background->holdings, &background->tables);
        background->retry_ns = rc < 0 ? now_ns + BACKGROUND_RETRY_NS : 0;
        background_tell(background, &background->done, background->served,
                        &background->done_rc, rc < 0 ? rc : 0);
        if (rc < 0 && background->compact_passes > 0) {
            background_compacted(background, rc); /* it needs checkpoints */
        }
    }
    return rc;
}

/* Should one begin now? Begins it. */
static bool background_begin(struct warp_background *background, uint64_t now_ns)
{
    bool due = background_log_bytes(background) >= background_log_due(background);
    bool wished = background_wished(&background->wanted, &background->done);

    if (!wished && (now_ns < background->retry_ns || (!due && !background->owes))) {
        return false;
    }
    background->owes = false;
    background->served = atomic_load_explicit(&background->wanted, memory_order_acquire);
    warp_checkpointer_begin(&background->checkpointer);
    return true;
}

/* ---- compaction -------------------------------------------------------------------------- */

/* Remove what may go, then move what is alive. */
static enum warp_work background_compact(struct warp_background *background,
                                         uint64_t now_ns)
{
    struct warp_checkpointer *checkpointer = &background->checkpointer;
    bool force = background_wished(&background->compact_wanted, &background->compact_done);
    enum warp_compact_state state;
    bool removal_waits;
    int error = 0;

    if (force && background->compact_passes == 0) {
        background->compact_served =
            atomic_load_explicit(&background->compact_wanted, memory_order_acquire);
        background->compact_passes = 1;
        /* What falls below the head from now on is for another time. */
        background->compact_head = warp_checkpointer_head(checkpointer);
    }
    if ((!force && (!background->compacts || now_ns < background->compact_retry_ns)) ||
        (background->compact_passes != 1 && now_ns < background->compact_look_ns)) {
        return WARP_WORK_NONE;
    }
    state = warp_compact_remove_step(background->compact,
                                     warp_checkpointer_removable(checkpointer), &error);
    if (state == WARP_COMPACT_WORKED) {
        return WARP_WORK_DONE;
    }
    removal_waits = state == WARP_COMPACT_BLOCKED;
    if (state == WARP_COMPACT_IDLE || (removal_waits && error == 0)) {
        warp_compact_allow(background->compact, background_space_limit(background));
        state = warp_compact_step(
            background->compact,
            background->compact_passes == 1 ? background->compact_head
                                            : warp_checkpointer_head(checkpointer),
            warp_checkpointer_next(checkpointer), background->compact_passes == 1, &error);
    }
    if (state == WARP_COMPACT_WORKED) {
        uint64_t runs =
            warp_counter_read(&warp_compact_counters(background->compact)->runs);

        if (background->debt > 0 && runs != background->compact_runs) {
            background->owes = background_owes_soon(background);
        }
        background->compact_runs = runs;
        return WARP_WORK_DONE;
    }
    if (state == WARP_COMPACT_BLOCKED) {
        if (error < 0) {
            background->compact_retry_ns = now_ns + BACKGROUND_RETRY_NS;
            if (force) {
                background_compacted(background, error);
            }
        }
        return error < 0 ? WARP_WORK_NONE : WARP_WORK_BLOCKED;
    }
    /* Nothing is left to move. */
    if (removal_waits) {
        return WARP_WORK_BLOCKED;
    }
    background->compact_look_ns = now_ns + BACKGROUND_LOOK_NS;
    if (background->compact_passes == 1) {
        background->compact_passes = 2;
        /* What becomes empty from now on is for another time. */
        background->compact_goal = warp_checkpointer_next(checkpointer);
    }
    background->owes = background_owes(background);
    if (force && !background->owes) {
        background_compacted(background, 0);
    }
    return background->owes && warp_checkpointer_is_idle(checkpointer) ? WARP_WORK_DONE
                                                                       : WARP_WORK_NONE;
}

/* ---- turns ------------------------------------------------------------------------------- */

/* A step of the checkpoint that is under way or due, or of compaction: when both have something to
 * do, whoever has had less time, or the checkpoint if that is in haste. When neither has, of the
 * warm-up. */
static int background_step(struct warp_background *background, uint64_t now_ns,
                           uint64_t begun)
{
    bool checkpoints = !warp_checkpointer_is_idle(&background->checkpointer) ||
                       background_begin(background, now_ns);
    int work = WARP_WORK_NONE;

    if (!checkpoints || (background->ahead_ns > 0 && !background->log_first)) {
        work = background_compact(background, now_ns);
        if (work != WARP_WORK_NONE) {
            background->ahead_ns -= background_cost(background, begun);
        }
    }
    if (checkpoints && (work == WARP_WORK_NONE || work == WARP_WORK_BLOCKED)) {
        work = background_checkpoint(background, now_ns);
        background->ahead_ns = work == WARP_WORK_NONE ? 0 : background->ahead_ns;
        background->ahead_ns += background_cost(background, begun);
    }
    if ((work == WARP_WORK_NONE || work == WARP_WORK_BLOCKED) &&
        warp_warmup_step(background->warmup)) {
        work = WARP_WORK_DONE;
    }
    /* What one of them did while the other had nothing to do is not made good. */
    if (background->ahead_ns > BACKGROUND_SAVED_NS) {
        background->ahead_ns = BACKGROUND_SAVED_NS;
    } else if (background->ahead_ns < -BACKGROUND_SAVED_NS) {
        background->ahead_ns = -BACKGROUND_SAVED_NS;
    }
    return work;
}

static bool background_upkeep(struct warp_background *background, uint64_t now_ns,
                              uint64_t *due_ns)
{
    uint64_t done_ns, begun;
    int work;

    background_look(background);
    *due_ns = now_ns + BACKGROUND_LOOK_NS;
    if (warp_writer_failed(&background->store->wal->writer) &&
        warp_checkpointer_is_idle(&background->checkpointer)) {
        /* Nothing can be written any more. */
        if (background_wished(&background->wanted, &background->done)) {
            background_tell(background, &background->done,
                            atomic_load_explicit(&background->wanted, memory_order_acquire),
                            &background->done_rc, WARP_EFAILED);
        }
        if (background_wished(&background->compact_wanted, &background->compact_done)) {
            background->compact_served =
                atomic_load_explicit(&background->compact_wanted, memory_order_acquire);
            background_compacted(background, WARP_EFAILED);
        }
        return false;
    }
    if (!background_may(background, now_ns, due_ns)) {
        return false;
    }
    begun = background_clock(background);
    work = background_step(background, now_ns, begun);
    done_ns = warp_clock_ns(background->store->env->clock);
    if (work == WARP_WORK_NONE) {
        return false;
    }
    background->tokens_ns -= background_cost(background, begun);
    warp_counter_add(&background->steps, 1);
    warp_counter_add(&background->busy_ns, done_ns - now_ns);
    if (work == WARP_WORK_BLOCKED) {
        *due_ns = now_ns + BACKGROUND_BLOCKED_NS;
        return false;
    }
    return true;
}

bool warp_background_turn(struct warp_background *background, uint64_t now_ns,
                          uint64_t *due_ns)
{
    uint64_t balance_due_ns = UINT64_MAX;
    /* It has a budget of its own. */
    bool more = warp_rebalance_turn(&background->rebalance, now_ns, &balance_due_ns);
    bool worked = background_upkeep(background, now_ns, due_ns);

    *due_ns = balance_due_ns < *due_ns ? balance_due_ns : *due_ns;
    return more || worked;
}

static void background_wake(struct warp_background *background)
{
    /* seq_cst, both, with the store and the park's look in background_main. */
    atomic_fetch_add_explicit(&background->word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&background->sleeping, memory_order_seq_cst) != 0) {
        warp_wake(&background->word, 1, UINT32_MAX);
    }
}

static void background_main(void *context)
{
    struct warp_background *background = context;

    warp_thread_be_patient();
    for (;;) {
        uint32_t word = atomic_load_explicit(&background->word, memory_order_acquire);
        uint64_t now_ns, due_ns;

        if (atomic_load_explicit(&background->stop, memory_order_acquire) != 0) {
            return;
        }
        now_ns = warp_clock_ns(background->store->env->clock);
        if (warp_background_turn(background, now_ns, &due_ns)) {
            continue;
        }
        /* seq_cst with the waker's add and load: it sees us asleep, or we see its word. */
        atomic_store_explicit(&background->sleeping, 1, memory_order_seq_cst);
        (void)warp_park(&background->word, word, due_ns > now_ns ? due_ns - now_ns : 1,
                        UINT32_MAX);
        atomic_store_explicit(&background->sleeping, 0, memory_order_relaxed);
    }
}

int warp_background_start(struct warp_background *background)
{
    if (!background->store->env->threads) {
        return 0;
    }
    return warp_thread_start(&background->thread, background->store->memory,
                             "warp-background", -1, background_main, background) < 0
               ? WARP_ESYSTEM
               : 0;
}

void warp_background_stop(struct warp_background *background)
{
    if (background->thread != NULL) {
        /* Release: pairs with the acquire in background_main. */
        atomic_store_explicit(&background->stop, 1, memory_order_release);
        background_wake(background);
        warp_thread_join(&background->thread);
    }
}

static int background_wait_for(struct warp_background *background, _Atomic uint64_t *wanted,
                               const _Atomic uint64_t *done, const _Atomic int *done_rc)
{
    /* Release: pairs with the acquires in the turn. */
    uint64_t mine = 1 + atomic_fetch_add_explicit(wanted, 1, memory_order_acq_rel);

    for (;;) {
        uint32_t word = atomic_load_explicit(&background->done_word, memory_order_acquire);

        if (atomic_load_explicit(done, memory_order_acquire) >= mine) {
            return atomic_load_explicit(done_rc, memory_order_relaxed);
        }
        if (!background->store->env->threads) {
            background->store->env->wait(background->store->env->context);
            continue;
        }
        background_wake(background);
        (void)warp_park(&background->done_word, word, BACKGROUND_LOOK_NS, UINT32_MAX);
    }
}

int warp_background_checkpoint(struct warp_background *background)
{
    return background_wait_for(background, &background->wanted, &background->done,
                               &background->done_rc);
}

int warp_background_compact(struct warp_background *background)
{
    /* What lies above the head of the newest checkpoint is not moved: so there is one first. */
    int rc = warp_background_checkpoint(background);

    return rc < 0 ? rc
                  : background_wait_for(background, &background->compact_wanted,
                                        &background->compact_done,
                                        &background->compact_done_rc);
}
