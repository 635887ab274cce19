/*
 * shards/background.h - the work that nobody waits for, done in small pieces.
 *
 * One thread of its own runs jobs a step at a time: checkpoints, and compaction with the removal of
 * files that hold nothing any more; and, when neither has anything to do, the warm-up after an open.
 * When both have something to do, whichever has had less time goes on. It pays for the CPU time of
 * each step out of a budget (a token bucket: so many parts in a thousand of one CPU, with a little
 * saved up), so that the threads that somebody waits for keep theirs. How hard a job is needed raises
 * the budget, in levels of pressure; at the highest it works without pause.
 *
 *     pressure   log to replay after a     or space on disk, beside     budget
 *                crash, of what is         what is allowed for what
 *                allowed                   is alive, and L for the log
 *     0          up to one half                                         a quarter of a CPU
 *     1          above: a checkpoint                                    ever more, all at
 *                is due                                                 three quarters
 *     2          three quarters            L                            ever more
 *     3          seven eighths             and half of the range        all
 *                                          more
 *
 * L is all the log that is allowed: log that no checkpoint knows yet, and files that are empty and
 * wait for checkpoints. The range is the greater of L and a thirty-second of what is allowed. From level
 * 2 on writers are delayed, evenly and so much that the debt ends before all the log that is
 * allowed, or L and the range (shards/pace). How much log is allowed follows from how long the next
 * opening may take and from how long they take here (wal/outlook). While the log is what presses
 * most, compaction waits for the checkpoint.
 *
 * Threads:   create, start, stop, destroy by the opener; turn by the thread, or from outside when
 *            env->threads is false; checkpoint and compact, which block, by any thread that holds
 *            no lease. `told` is called by whoever turns.
 * Lifetime:  created after the log is open, destroyed before it is closed.
 * Units:     ns of the engine's clock; bytes of log; parts in a thousand of one CPU.
 * Ordering:  a wish is added with release and read with acquire; done likewise, the other way
 *            round. The sleeping flag and the word are sequentially consistent: a waker sees the
 *            sleeper, or the sleeper sees the word.
 * Errors:    of the jobs: counted, and tried again after a pause. WARP_EFAILED and what the job
 *            said, from checkpoint.
 * Cost:      a look at a few counters five times a second while there is nothing to do; three
 *            system calls for the CPU time of a step. With gravity on, its epochs too, ten times a second
 *            and within a budget of their own (routing/rebalance).
 */
#ifndef SHARDS_BACKGROUND_H
#define SHARDS_BACKGROUND_H

#include "base/thread.h"
#include "routing/rebalance.h"
#include "shards/checkpointer.h"
#include "shards/compact.h"
#include "shards/holdings.h"
#include "shards/warmup.h"
#include "wal/outlook.h"

struct warp_background_config {
    struct warp_checkpointer_config checkpointer; /* tables, context are filled in here */
    struct warp_compact_config compact;           /* store, holdings, files likewise */
    struct warp_warmup_config warmup;             /* store, disk, manifest likewise */
    struct warp_holdings *holdings;               /* this thread's from now on */
    bool compacts;                                /* false: only when asked */
    struct warp_outlook outlook;                  /* how long the next opening takes */
    uint64_t recovery_ns_max;                     /* how long it may take */
    /* So much log behind the last begin makes one due, whatever the two say; 0: they say it. */
    uint64_t checkpoint_log_bytes;
    uint32_t budget_permille; /* 0: 250; 1,000: no pause */
    /* Called with each new level of pressure, by the thread; NULL: by nobody. */
    void (*told)(void *context, uint32_t pressure);
    void *told_context;
    bool gravity; /* slots are weighed, and moved when a shard has too much to do */
};

struct warp_background {
    struct warp_store *store;
    struct warp_thread *thread;
    struct warp_holdings *holdings;
    bool compacts;
    uint32_t space_permille;
    uint64_t space_least; /* less than that on disk is no reason to hurry */
    struct warp_outlook outlook;
    uint64_t recovery_ns_max;
    uint64_t checkpoint_log_bytes; /* 0: as the two say */
    uint32_t budget_permille;
    void (*told)(void *context, uint32_t pressure);
    void *told_context;

    /* Owned by the thread. */
    struct warp_checkpointer checkpointer;
    struct warp_holdings_tables tables; /* of the checkpoint being sealed */
    struct warp_compact *compact;
    struct warp_warmup *warmup;
    uint64_t compact_served; /* the wish that the compaction under way fulfils */
    /* Of it: 1, records are moved; 2, checkpoints are made until what is empty is gone. */
    uint32_t compact_passes;
    uint64_t compact_head; /* of pass 1: what lies below it is compacted */
    uint64_t compact_goal; /* of pass 2: what is empty since then or longer */
    uint64_t compact_retry_ns;
    uint64_t compact_look_ns; /* nothing to compact was seen: not again before */
    uint64_t debt;            /* thousandths of the most there may be */
    uint64_t log_debt;        /* the same, of log alone */
    uint64_t haste;           /* of the checkpoint: 0 - 1,000 */
    bool log_first;           /* log is what presses most */
    int64_t ahead_ns;         /* time of checkpoints, less that of compaction, lately */
    uint64_t compact_runs;    /* as of the last step */
    bool owes;                /* a checkpoint, to those that are empty */
    uint64_t served;          /* the wish that the checkpoint under way fulfils */
    int64_t tokens_ns;        /* below 0: not yet */
    uint64_t refilled_ns;     /* when tokens were counted last */
    uint64_t retry_ns;        /* after a failure, not before */

    struct warp_rebalance rebalance;

    /* Anybody wishes, the thread fulfils. */
    alignas(WARP_CACHELINE) _Atomic uint64_t wanted, done;
    _Atomic uint64_t compact_wanted, compact_done;
    _Atomic int done_rc, compact_done_rc;
    _Atomic uint32_t word, sleeping, stop;
    _Atomic uint32_t done_word; /* who waits for done sleeps on it */

    /* Read by observers, relaxed. */
    _Atomic uint64_t steps, busy_ns;
    _Atomic uint64_t pressure;
};

int warp_background_create(struct warp_background **background,
                           const struct warp_background_config *config);
/* Start the thread, if the environment wants threads. */
int warp_background_start(struct warp_background *background);
void warp_background_stop(struct warp_background *background);
void warp_background_destroy(struct warp_background **background);

/* One step of work if it is due and paid for; true if one was done. *due_ns gets when to come again
 * (UINT64_MAX: only when woken, or after a while). */
bool warp_background_turn(struct warp_background *background, uint64_t now_ns,
                          uint64_t *due_ns);

/* Have a checkpoint that begins after this call, and wait until it is sealed. */
int warp_background_checkpoint(struct warp_background *background);

/*
 * How much log there may be behind the newest checkpoint: as much as the next opening can replay in the
 * time that it may take, beside loading that checkpoint. Any thread.
 */
uint64_t warp_background_log_allowed(const struct warp_background *background);

/* Have everything compacted that lies in old files, and wait until those are gone. */
int warp_background_compact(struct warp_background *background);

#endif
