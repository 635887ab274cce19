/*
 * A retired entry waits in two places. First in the record's own list, for the price of two
 * stores. The next poll makes one full fence for all of them, so that every unlinking store
 * is visible before the global epoch is read, and hands them to ck_epoch, which counts how
 * far the readers have come. ck_epoch_call alone leaves that fence out: a store still in
 * the writer's buffer could be missed by a reader who enters in the next epoch already, and
 * a reader of the next epoch does not hold the entry back.
 *
 * Life of an entry:
 *
 *   RETIRED    unlinked by its owner, in the record's own list   warp_epoch_retire()
 *   PENDING    in ck_epoch's list of the epoch it was seen in    epoch_hand_over()
 *   RIPE       every reader inside has entered since             ck_epoch_poll_deferred()
 *   RECLAIMED  its function has been called                      epoch_reclaim()
 *
 * The part of ck_epoch that lives in libck.so is machine code the thread sanitizer cannot
 * look into. Two notes tell it what that code guarantees: what was read before a leave
 * happened before the reclaims of every later poll. They say nothing of a reader still
 * inside, so memory that is reclaimed too early is still reported.
 */
#include "base/epoch.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "base/ck.h"
#include "base/thread.h"

#include <ck_epoch.h>

#if WARP_CK_SANITIZED
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define EPOCH_NOTE_LEFT(epoch)    __tsan_release(epoch)
#define EPOCH_NOTE_RECLAIM(epoch) __tsan_acquire(epoch)
#define EPOCH_FENCE_FULL()        __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define EPOCH_FENCE_ACQUIRE()     __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define EPOCH_NOTE_LEFT(epoch)    ((void)0)
#define EPOCH_NOTE_RECLAIM(epoch) ((void)0)
#define EPOCH_FENCE_FULL()        atomic_thread_fence(memory_order_seq_cst)
#define EPOCH_FENCE_ACQUIRE()     atomic_thread_fence(memory_order_acquire)
#endif

typedef void (*epoch_function)(struct warp_epoch_entry *entry, void *context);

struct warp_epoch_record {
    /* libck's. The record's user writes, pollers of other records read. */
    ck_epoch_record_t ck;

    /* Set by register, constant afterwards. */
    struct warp_epoch *epoch;

    /* The record's user alone. */
    struct warp_epoch_entry *retired; /* newest first; words[1] links */
    uint64_t retired_count;
    bool reclaiming; /* a reclaim function is running: it may retire, but not poll */

    /* Under the epoch's lock. */
    struct warp_epoch_record *next;
    struct warp_epoch_record *next_free;
    bool in_use;
};

struct warp_epoch {
    ck_epoch_t ck;
    struct warp_memory *memory;
    pthread_mutex_t lock; /* guards the lists of records */
    struct warp_epoch_record *all;
    struct warp_epoch_record *unused;
};

/*
 * The three words of an entry:        own list            in ck_epoch's hands
 *   words[0]                          function            function
 *   words[1]                          next                next (libck's stack link)
 *   words[2]                          context             context
 * libck's "function" is never called through libck, which would pass one argument only.
 */
static_assert(sizeof(struct ck_epoch_entry) == 2 * sizeof(void *),
              "libck's part is two words");
static_assert(offsetof(struct ck_epoch_entry, function) == 0, "word 0 is the function");
static_assert(offsetof(struct ck_epoch_entry, stack_entry) == sizeof(void *),
              "word 1 links");
static_assert(sizeof(epoch_function) == sizeof(void *), "a function fits a word");

int warp_epoch_create(struct warp_memory *memory, struct warp_epoch **out)
{
    struct warp_epoch *epoch;
    int rc;

    warp_assert(*out == NULL);
    epoch = warp_memory_reserve(memory, sizeof(*epoch), WARP_CACHELINE);
    if (epoch == NULL) {
        return -ENOMEM;
    }
    rc = pthread_mutex_init(&epoch->lock, NULL);
    if (rc != 0) {
        warp_memory_release(memory, epoch, sizeof(*epoch));
        return -rc;
    }
    epoch->memory = memory;
    ck_epoch_init(&epoch->ck);
    *out = epoch;
    return 0;
}

void warp_epoch_destroy(struct warp_epoch **out)
{
    struct warp_epoch *epoch = *out;
    struct warp_epoch_record *record;

    if (epoch == NULL) {
        return;
    }
    while ((record = epoch->all) != NULL) {
        warp_assert(!warp_epoch_inside(record));
        warp_assert(warp_epoch_pending(record) == 0);
        epoch->all = record->next;
        warp_memory_release(epoch->memory, record, sizeof(*record));
    }
    pthread_mutex_destroy(&epoch->lock);
    warp_memory_release(epoch->memory, epoch, sizeof(*epoch));
    *out = NULL;
}

int warp_epoch_register(struct warp_epoch *epoch, struct warp_epoch_record **out)
{
    struct warp_epoch_record *record;

    warp_assert(*out == NULL);
    pthread_mutex_lock(&epoch->lock);
    record = epoch->unused;
    if (record != NULL) {
        epoch->unused = record->next_free;
        warp_assert(!record->in_use);
    } else {
        record = warp_memory_reserve(epoch->memory, sizeof(*record), 2 * WARP_CACHELINE);
        if (record != NULL) {
            record->epoch = epoch;
            /* libck cannot take a record back while others may look at it, so it stays
             * registered, idle, until the epoch is destroyed. */
            ck_epoch_register(&epoch->ck, &record->ck, NULL);
            record->next = epoch->all;
            epoch->all = record;
        }
    }
    if (record != NULL) {
        record->in_use = true;
    }
    pthread_mutex_unlock(&epoch->lock);
    if (record == NULL) {
        return -ENOMEM;
    }
    *out = record;
    return 0;
}

void warp_epoch_unregister(struct warp_epoch_record **out)
{
    struct warp_epoch_record *record = *out;
    struct warp_epoch *epoch;

    if (record == NULL) {
        return;
    }
    warp_assert(!warp_epoch_inside(record));
    warp_assert(warp_epoch_pending(record) == 0);
    epoch = record->epoch;
    pthread_mutex_lock(&epoch->lock);
    warp_assert(record->in_use);
    record->in_use = false;
    record->next_free = epoch->unused;
    epoch->unused = record;
    pthread_mutex_unlock(&epoch->lock);
    *out = NULL;
}

void warp_epoch_enter(struct warp_epoch_record *record)
{
    ck_epoch_begin(&record->ck, NULL);
    /* No load of the section may be done before the epoch was read. */
    EPOCH_FENCE_ACQUIRE();
}

void warp_epoch_leave(struct warp_epoch_record *record)
{
    warp_assert(record->ck.active > 0);
    EPOCH_NOTE_LEFT(record->epoch);
    (void)ck_epoch_end(&record->ck, NULL);
}

bool warp_epoch_inside(const struct warp_epoch_record *record)
{
    return ck_pr_load_uint(&record->ck.active) > 0;
}

void warp_epoch_retire(struct warp_epoch_record *record, struct warp_epoch_entry *entry,
                       epoch_function reclaim, void *context)
{
    if (WARP_PLANTED(DROP_EPOCH)) {
        reclaim(entry, context);
        return;
    }
    entry->words[0] = (void *)reclaim;
    entry->words[1] = record->retired;
    entry->words[2] = context;
    record->retired = entry;
    record->retired_count++;
}

/* RETIRED to PENDING, all of them. */
static void epoch_hand_over(struct warp_epoch_record *record)
{
    struct warp_epoch_entry *entry = record->retired;

    if (entry == NULL) {
        return;
    }
    /* Every unlinking store before every load of the global epoch below. Pairs with the
     * exchange in ck_epoch_begin. */
    EPOCH_FENCE_FULL();
    record->retired = NULL;
    record->retired_count = 0;
    while (entry != NULL) {
        struct warp_epoch_entry *next = entry->words[1];

        ck_epoch_call(&record->ck, (struct ck_epoch_entry *)(void *)entry,
                      (ck_epoch_cb_t *)entry->words[0]);
        entry = next;
    }
}

/* RIPE to RECLAIMED. */
static bool epoch_reclaim(struct warp_epoch_record *record, ck_stack_t *ripe)
{
    ck_stack_entry_t *at = CK_STACK_FIRST(ripe);
    bool any = at != NULL;

    record->reclaiming = true;
    EPOCH_NOTE_RECLAIM(record->epoch);
    while (at != NULL) {
        ck_stack_entry_t *next = CK_STACK_NEXT(at); /* the entry is gone after its call */
        struct warp_epoch_entry *entry =
            (void *)((char *)at - offsetof(struct ck_epoch_entry, stack_entry));
        epoch_function function = (epoch_function)entry->words[0];

        function(entry, entry->words[2]);
        at = next;
    }
    record->reclaiming = false;
    return any;
}

bool warp_epoch_poll(struct warp_epoch_record *record)
{
    ck_stack_t ripe = CK_STACK_INITIALIZER;

    warp_assert(!record->reclaiming);
    if (warp_epoch_pending(record) == 0) {
        return false;
    }
    epoch_hand_over(record);
    (void)ck_epoch_poll_deferred(&record->ck, &ripe);
    return epoch_reclaim(record, &ripe);
}

uint64_t warp_epoch_pending(const struct warp_epoch_record *record)
{
    return record->retired_count + record->ck.n_pending;
}

void warp_epoch_barrier(struct warp_epoch_record *record)
{
    uint32_t rounds = 0;

    warp_assert(!warp_epoch_inside(record));
    while (warp_epoch_pending(record) > 0) {
        if (!warp_epoch_poll(record)) {
            /* A reader is inside; it may need this CPU to come out. */
            rounds++;
            if (rounds % 16 == 0) {
                warp_thread_yield();
            } else {
                warp_cpu_relax();
            }
        }
    }
}
