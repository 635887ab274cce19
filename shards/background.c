#include "shards/background.h"

#include "base/counter.h"

#define BACKGROUND_BUDGET_PERMILLE 250u
#define BACKGROUND_SAVED_NS        INT64_C(2000000) /* tokens that are kept for later */
#define BACKGROUND_BLOCKED_NS      200000u     /* before asking again who is in the way */
#define BACKGROUND_RETRY_NS        1000000000u /* after a job has failed */
#define BACKGROUND_LOOK_NS         200000000u  /* how often to look at the log's growth */

/* The tables of a checkpoint that begins at `begin`: all log below it is held from then on. */
static int background_tables(void *context, uint64_t begin,
                             struct warp_checkpoint_tables *out)
{
    struct warp_background *background = context;
    const struct warp_checkpointer_config *config = &background->checkpointer.config;
    uint32_t segment_bytes = config->manifest->segment_bytes;
    int rc;

    rc = warp_held_extend(background->held,
                          warp_segments_begin(config->segments) / segment_bytes,
                          begin / segment_bytes);
    if (rc < 0) {
        return rc;
    }
    out->segments = warp_held_table(background->held, segment_bytes);
    out->segment_count = background->held->segment_count;
    return 0;
}

int warp_background_create(struct warp_background **background,
                           const struct warp_background_config *config)
{
    struct warp_memory *memory = config->checkpointer.store->memory;
    struct warp_checkpointer_config checkpointer = config->checkpointer;
    struct warp_background *made;
    int rc;

    warp_assert(*background == NULL);
    made = warp_memory_reserve(memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->store = checkpointer.store;
    made->held = config->held;
    made->checkpoint_log_bytes = config->checkpoint_log_bytes;
    made->budget_permille =
        config->budget_permille != 0 ? config->budget_permille : BACKGROUND_BUDGET_PERMILLE;
    made->refilled_ns = warp_clock_ns(made->store->env->clock);
    checkpointer.tables = background_tables;
    checkpointer.context = made;
    rc = warp_checkpointer_init(&made->checkpointer, &checkpointer);
    if (rc < 0) {
        warp_memory_release(memory, made, sizeof(*made));
        return rc;
    }
    *background = made;
    return 0;
}

void warp_background_destroy(struct warp_background **background)
{
    struct warp_background *one = *background;
    struct warp_memory *memory = one->store->memory;

    warp_checkpointer_fini(&one->checkpointer);
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

static uint32_t background_pressure(const struct warp_background *background)
{
    uint64_t bytes = background_log_bytes(background);
    uint64_t due = background->checkpoint_log_bytes;

    return bytes >= due * 4 ? 3 : bytes >= due * 2 ? 2 : bytes >= due ? 1 : 0;
}

/* Is there a token? Else *due_ns gets when there will be one. */
static bool background_may(struct warp_background *background, uint32_t pressure,
                           uint64_t now_ns, uint64_t *due_ns)
{
    uint64_t permille = background->budget_permille;
    uint64_t passed_ns = now_ns - background->refilled_ns;

    permille = pressure >= 3 ? 1000 : pressure == 2 ? permille * 2 : permille;
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

/* ---- turns ------------------------------------------------------------------------------ */

static void background_finish(struct warp_background *background, int rc)
{
    atomic_store_explicit(&background->done_rc, rc, memory_order_relaxed);
    /* Release: pairs with the acquire in warp_background_checkpoint. */
    atomic_store_explicit(&background->done, background->served, memory_order_release);
    if (background->store->env->threads) {
        atomic_fetch_add_explicit(&background->done_word, 1, memory_order_release);
        warp_wake(&background->done_word, INT32_MAX, UINT32_MAX);
    }
}

static bool background_wants(struct warp_background *background, uint32_t pressure,
                             uint64_t now_ns)
{
    uint64_t wanted = atomic_load_explicit(&background->wanted, memory_order_acquire);

    if (wanted != atomic_load_explicit(&background->done, memory_order_relaxed)) {
        return true;
    }
    return pressure > 0 && now_ns >= background->retry_ns;
}

bool warp_background_turn(struct warp_background *background, uint64_t now_ns,
                          uint64_t *due_ns)
{
    struct warp_checkpointer *checkpointer = &background->checkpointer;
    uint32_t pressure = background_pressure(background);
    uint64_t done_ns;
    int rc;

    warp_counter_set(&background->pressure, pressure);
    *due_ns = now_ns + BACKGROUND_LOOK_NS;
    if (warp_checkpointer_is_idle(checkpointer)) {
        if (!background_wants(background, pressure, now_ns) ||
            warp_writer_failed(&background->store->wal->writer)) {
            if (atomic_load_explicit(&background->wanted, memory_order_acquire) !=
                atomic_load_explicit(&background->done, memory_order_relaxed)) {
                background->served =
                    atomic_load_explicit(&background->wanted, memory_order_acquire);
                background_finish(background, WARP_EFAILED);
            }
            return false;
        }
        background->served =
            atomic_load_explicit(&background->wanted, memory_order_acquire);
        warp_checkpointer_begin(checkpointer);
    }
    if (!background_may(background, pressure, now_ns, due_ns)) {
        return false;
    }
    rc = warp_checkpointer_step(checkpointer);
    done_ns = warp_clock_ns(background->store->env->clock);
    background->tokens_ns -= (int64_t)(done_ns - now_ns);
    warp_counter_add(&background->steps, 1);
    warp_counter_add(&background->busy_ns, done_ns - now_ns);
    if (rc == WARP_WORK_BLOCKED) {
        *due_ns = now_ns + BACKGROUND_BLOCKED_NS;
        return false;
    }
    if (rc < 0) {
        background->retry_ns = done_ns + BACKGROUND_RETRY_NS;
        background_finish(background, rc);
    } else if (rc == WARP_WORK_COMPLETE) {
        background_finish(background, 0);
    }
    return true;
}

static void background_wake(struct warp_background *background)
{
    atomic_fetch_add_explicit(&background->word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&background->sleeping, memory_order_seq_cst) != 0) {
        warp_wake(&background->word, 1, UINT32_MAX);
    }
}

static void background_main(void *context)
{
    struct warp_background *background = context;

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

int warp_background_checkpoint(struct warp_background *background)
{
    /* Release: pairs with the acquires in the turn. */
    uint64_t mine =
        1 + atomic_fetch_add_explicit(&background->wanted, 1, memory_order_acq_rel);

    for (;;) {
        uint32_t word = atomic_load_explicit(&background->done_word, memory_order_acquire);

        if (atomic_load_explicit(&background->done, memory_order_acquire) >= mine) {
            return atomic_load_explicit(&background->done_rc, memory_order_relaxed);
        }
        if (!background->store->env->threads) {
            background->store->env->wait(background->store->env->context);
            continue;
        }
        background_wake(background);
        (void)warp_park(&background->done_word, word, BACKGROUND_LOOK_NS, UINT32_MAX);
    }
}
