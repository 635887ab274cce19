/*
 * The happy path of a message: a sender could not have the lease, so it enqueued and set its bit.
 * The holder finishes its own request, drains the mailbox (warp_shard_leave), gives the lease
 * back and looks once more. The shard's thread comes only when there is more than one leave may
 * do, when a message has to wait for room in the log, and for collecting and sweeping.
 *
 * What can go wrong. The log has no room: the message and those taken with it stay in the backlog,
 * in order, and run before anything else; the thread makes room outside the lease. The same when
 * a message depends on a value that only the disk has: the thread reads it. The disk is full: the
 * message is answered with WARP_ENOSPC.
 */
#include "shards/store.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "shards/evict.h"
#include "shards/expire.h"
#include "shards/put.h"

#define SHARD_GROUP   16u
#define SHARD_TICK_NS 100000000u
#define SHARD_ROOM_NS 100000000u
/* The policy remembers a value that has left for so many bytes of the shard's share, at most
 * SHARD_GHOSTS_MAX: 5 bytes each, so a hundredth. */
#define SHARD_GHOST_BYTES 512u
#define SHARD_GHOSTS_MIN  1024u
#define SHARD_GHOSTS_MAX  (1u << 22)

void warp_shard_wake(struct warp_shard *shard)
{
    if (!shard->store->env->threads) {
        return;
    }
    atomic_fetch_add_explicit(&shard->word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&shard->sleeping, memory_order_seq_cst) != 0) {
        warp_wake(&shard->word, 1, UINT32_MAX);
    }
}

void warp_shard_enter_surely(struct warp_shard *shard)
{
    uint32_t round = 0;

    while (!warp_lease_try(&shard->lease)) {
        if (!shard->store->env->threads) {
            shard->store->env->wait(shard->store->env->context);
        } else if (++round % 128 == 0) {
            warp_thread_yield();
        } else {
            warp_cpu_relax();
        }
    }
}

/* What the next of them will touch; those of chains, too. */
static void shard_prefetch(struct warp_shard *shard, struct warp_message *const *messages,
                           uint32_t count)
{
    struct warp_store *store = shard->store;
    uint64_t words[SHARD_GROUP], hashes[SHARD_GROUP];
    uint32_t n = 0, i;

    if (count == 0 || (count == 1 && messages[0]->next == NULL)) {
        return;
    }
    for (i = 0; i < count && n < SHARD_GROUP; i++) {
        const struct warp_message *message = messages[i];

        for (; message != NULL && n < SHARD_GROUP; message = message->next) {
            /* A table that has moved on is another owner's, who may be giving it back. Ours stays while
             * we have the lease. */
            if (warp_slotmap_owner(&store->slotmap, message->slot) != shard->id) {
                continue;
            }
            hashes[n] = message->hash;
            words[n++] = warp_table_prefetch(&store->words[message->slot], message->hash);
        }
    }
    for (i = 0; i < n; i++) {
        warp_table_prefetch_record(words[i], hashes[i]);
    }
}

/* The first of the backlog is done with: what comes next takes its place. */
static void shard_advance(struct warp_shard *shard, struct warp_message *next,
                          uint32_t *chained)
{
    if (next == NULL) {
        shard->backlog_first++;
        shard->backlog_count--;
        return;
    }
    shard->backlog[shard->backlog_first] = next;
    if (++*chained % SHARD_GROUP == 0) {
        shard_prefetch(shard, &next, 1);
    }
}

/* Is there no disk to make room on? Then waiting would be for ever. */
static bool shard_answers_full(struct warp_shard *shard, struct warp_message *message)
{
    struct warp_writer *writer = &shard->store->wal->writer;

    if (!warp_writer_is_full(writer, warp_frame_bytes(message->body_bytes),
                             message->opcode == WARP_OP_DELETE)) {
        return false;
    }
    message->result = WARP_ENOSPC;
    return true;
}

/* Run what waits, `most` messages at most. True if all that was taken is done. */
static bool shard_drain(struct warp_shard *shard, uint32_t most, uint32_t *done)
{
    uint32_t chained = 0;

    warp_shard_assert_owner(shard);
    if (shard->backlog_busy || shard->backlog_lacks_memory) {
        return false; /* the thread is looking after its first message, or going to */
    }
    shard->backlog_reads = false;
    while (*done < most) {
        struct warp_message *message, *next;

        if (shard->backlog_count == 0) {
            uint32_t want = most - *done < SHARD_GROUP ? most - *done : SHARD_GROUP;

            shard->backlog_first = 0;
            shard->backlog_count = warp_mailbox_take(&shard->mailbox, shard->backlog, want);
            if (shard->backlog_count == 0) {
                return true;
            }
            shard_prefetch(shard, shard->backlog, shard->backlog_count);
        }
        message = shard->backlog[shard->backlog_first];
        warp_put_execute(shard, message);
        if (message->result == WARP_MESSAGE_NEEDS_VALUE) {
            shard->backlog_reads = true;
            return false;
        }
        if (message->result == WARP_MESSAGE_NEEDS_ROOM &&
            !shard_answers_full(shard, message)) {
            shard->backlog_bytes = warp_frame_bytes(message->body_bytes);
            warp_counter_add(&shard->counters.stalls, 1);
            return false;
        }
        if (message->result == WARP_ENOMEM && message->reliefs < WARP_EVICT_RELIEFS_MAX) {
            shard->backlog_lacks_memory = true;
            shard->backlog_bytes = warp_message_record_bytes(message);
            return false;
        }
        next = message->next; /* it is its asker's again when it is done */
        shard_advance(shard, next, &chained);
        *done += 1;
        warp_counter_add(&shard->counters.messages, 1);
        warp_message_complete(message);
    }
    return true;
}

void warp_shard_leave(struct warp_shard *shard)
{
    uint32_t most = shard->store->drain_max;
    uint32_t done = 0;

    for (;;) {
        bool stalled = false;
        bool left;

        if (WARP_UNLIKELY(warp_mailbox_waits(&shard->mailbox) ||
                          shard->backlog_count > 0)) {
            if (warp_env_chance(shard->store->env, WARP_CHANCE_DRAIN_SHORT)) {
                most = done + 1;
            }
            stalled = !shard_drain(shard, most, &done);
        }
        left = shard->backlog_count > 0;
        warp_lease_give_back(&shard->lease);
        if (WARP_LIKELY(!left && !warp_mailbox_waits(&shard->mailbox))) {
            return;
        }
        if (stalled || done >= most) {
            warp_shard_wake(shard);
            return;
        }
        if (!warp_lease_try(&shard->lease)) {
            return; /* whoever has it looks after it */
        }
    }
}

/* Collect and sweep, if it is time. True if there is more to do right away. */
static bool shard_tick(struct warp_shard *shard, uint64_t now_ns)
{
    uint64_t begun_ns, spent_ns;
    bool more;

    if (!shard->restless || now_ns < shard->next_tick_ns) {
        return false;
    }
    warp_evict_share(shard);
    warp_evict_make_room(shard, 0);
    begun_ns = warp_clock_ns(shard->store->env->clock);
    more = warp_expire_sweep(shard, warp_store_wall_ms(shard->store));
    if (more) {
        /* A part of the time only, for whoever wants the lease meanwhile waits. */
        spent_ns = warp_clock_ns(shard->store->env->clock) - begun_ns;
        (void)warp_limbo_collect(&shard->limbo, true);
        shard->next_tick_ns = now_ns + spent_ns * warp_expire_pause(shard);
        more = spent_ns == 0;
    } else {
        bool garbage = warp_limbo_collect(&shard->limbo, true);

        shard->next_tick_ns = now_ns + SHARD_TICK_NS;
        shard->restless =
            garbage || shard->due_ms != UINT64_MAX || warp_evict_is_over(shard);
    }
    return more;
}

/* When the next tick is worth it. */
static uint64_t shard_due(struct warp_shard *shard, uint64_t now_ns)
{
    uint64_t now_ms, left_ms;

    if (!shard->restless) {
        return UINT64_MAX;
    }
    if (shard->limbo.open != NULL || warp_epoch_pending(shard->limbo.record) > 0 ||
        warp_slab_has_sent(&shard->limbo.pool) || shard->sweep_slot < WARP_SLOT_COUNT ||
        warp_evict_is_over(shard)) {
        return shard->next_tick_ns;
    }
    now_ms = warp_store_wall_ms(shard->store);
    left_ms = shard->due_ms > now_ms ? shard->due_ms - now_ms : 0;
    if (left_ms > 1000) {
        left_ms = 1000; /* also the pace of looking after leaked loans */
    }
    if (now_ns + left_ms * 1000000 > shard->next_tick_ns) {
        shard->next_tick_ns = now_ns + left_ms * 1000000;
    }
    return shard->next_tick_ns;
}

bool warp_shard_turn(struct warp_shard *shard, uint64_t now_ns, uint64_t *due_ns)
{
    struct warp_store *store = shard->store;
    struct warp_coldread *cold = NULL;
    uint32_t done = 0, reliefs = 0;
    uint64_t bytes = 0;
    bool stalled, more, lacks_memory = false;

    *due_ns = UINT64_MAX;
    if (!warp_lease_try(&shard->lease)) {
        /* The holder looks at the mailbox; a tick can wait a little. */
        *due_ns = now_ns + SHARD_TICK_NS / 10;
        return false;
    }
    warp_counter_add(&shard->counters.turns, 1);
    stalled = !shard_drain(shard, store->drain_max, &done);
    if (stalled && shard->backlog_reads) {
        shard->backlog_busy = true;
        cold = &shard->backlog[shard->backlog_first]->cold;
    } else if (stalled) {
        bytes = shard->backlog_bytes;
        lacks_memory = shard->backlog_lacks_memory;
        reliefs = shard->backlog[shard->backlog_first]->reliefs;
    }
    shard->restless = shard->restless || warp_slab_has_sent(&shard->limbo.pool);
    more = shard_tick(shard, now_ns);
    *due_ns = shard_due(shard, now_ns);
    warp_lease_give_back(&shard->lease);
    if (cold != NULL) {
        warp_coldread_run(store, &cold, 1);
        warp_shard_enter_surely(shard);
        shard->backlog_busy = false;
        warp_shard_leave(shard);
        return true;
    }
    if (lacks_memory) {
        bool coming = warp_evict_relieve(store, shard, bytes, reliefs);
        struct warp_message *message;

        warp_shard_enter_surely(shard);
        message = shard->backlog[shard->backlog_first];
        message->reliefs = coming ? message->reliefs + 1 : WARP_EVICT_RELIEFS_MAX;
        shard->backlog_lacks_memory = false;
        warp_shard_leave(shard);
        return true;
    }
    if (stalled) {
        /* Room for the first of the backlog; what fails here is answered in the next drain. */
        if (store->env->threads) {
            (void)warp_writer_make_room(&store->wal->writer, bytes, false, SHARD_ROOM_NS);
            return true;
        }
        warp_writer_ask_room(&store->wal->writer, bytes, false);
        return done > 0;
    }
    return done > 0 || more || warp_mailbox_waits(&shard->mailbox);
}

/* Where everything comes by mail, the next message is waited for a little before sleeping: who sent the
 * last one may be about to. */
static bool shard_listen(struct warp_shard *shard)
{
    struct warp_spin *spin = &shard->listen;
    uint32_t round = 0;
    bool came;

    /* With mail that waits for somebody else's lease there is nothing to listen for: he drains, or wakes. */
    if (!shard->store->mail_only || warp_lease_was_held(&shard->lease)) {
        return false;
    }
    do {
        came = warp_mailbox_waits(&shard->mailbox) ||
               atomic_load_explicit(&shard->stop, memory_order_relaxed) != 0;
    } while (!came && warp_spin_once(spin, &round));
    warp_spin_result(spin, came);
    return came;
}

static void shard_main(void *context)
{
    struct warp_shard *shard = context;

    for (;;) {
        /* The word before stop: who sees the new word sees stop, and who saw the old one does not
         * fall asleep. Acquires: pair with warp_shard_wake and warp_store_stop. */
        uint32_t word = atomic_load_explicit(&shard->word, memory_order_acquire);
        uint64_t now_ns, due_ns;

        if (atomic_load_explicit(&shard->stop, memory_order_acquire) != 0) {
            return;
        }
        now_ns = warp_clock_ns(shard->store->env->clock);
        if (warp_shard_turn(shard, now_ns, &due_ns) || shard_listen(shard)) {
            continue;
        }
        /* seq_cst with the waker's add and load: it sees us asleep, or we see its word. */
        atomic_store_explicit(&shard->sleeping, 1, memory_order_seq_cst);
        (void)warp_park(&shard->word, word,
                        due_ns == UINT64_MAX ? UINT64_MAX
                                             : (due_ns > now_ns ? due_ns - now_ns : 1),
                        UINT32_MAX);
        atomic_store_explicit(&shard->sleeping, 0, memory_order_relaxed);
    }
}

/* Another shard has sent memory home: the thread is to take it in. */
static void shard_homecoming(struct warp_limbo *home)
{
    warp_shard_wake(
        (struct warp_shard *)((char *)home - offsetof(struct warp_shard, limbo)));
}

static uint64_t shard_ghosts(const struct warp_store_config *config)
{
    uint64_t ghosts = config->memory_bytes_max / config->shard_count / SHARD_GHOST_BYTES;

    return ghosts < SHARD_GHOSTS_MIN   ? SHARD_GHOSTS_MIN
           : ghosts > SHARD_GHOSTS_MAX ? SHARD_GHOSTS_MAX
                                       : ghosts;
}

static int shard_create(struct warp_store *store, uint32_t id,
                        const struct warp_store_config *config, struct warp_shard **out)
{
    struct warp_shard *shard =
        warp_memory_reserve(store->memory, sizeof(*shard), WARP_CACHELINE);
    int rc;

    if (shard == NULL) {
        return WARP_ENOMEM;
    }
    shard->store = store;
    shard->id = id;
    shard->due_ms = UINT64_MAX;
    shard->sweep_slot = WARP_SLOT_COUNT;
    warp_spin_init(&shard->listen, config->spin_us);
    warp_expire_init(shard);
    warp_mass_sampler_init(&shard->sampler, id);
    warp_mailbox_init(&shard->mailbox, store->memory, config->mailbox_capacity);
    rc = warp_limbo_init(&shard->limbo, store->memory, store->epoch, config->huge_pages);
    if (rc < 0) {
        goto fail_limbo;
    }
    shard->limbo.homecoming = shard_homecoming;
    warp_ledger_init(&shard->ledger, &shard->limbo, config->segment_bytes);
    rc = warp_horizon_init(&shard->horizon, store->memory, config->policy,
                           config->memory_bytes_max, shard_ghosts(config), &warp_evict_ops,
                           shard);
    if (rc < 0) {
        goto fail_horizon;
    }
    /* Until the first look at what there is. */
    shard->memory_soft = shard->memory_hard = shard->values_max = 0;
    *out = shard;
    return 0;

fail_horizon:
    warp_limbo_fini(&shard->limbo);
fail_limbo:
    warp_mailbox_fini(&shard->mailbox);
    warp_memory_release(store->memory, shard, sizeof(*shard));
    return WARP_ENOMEM;
}

static void shard_destroy(struct warp_shard **shard)
{
    struct warp_memory *memory = (*shard)->store->memory;

    warp_horizon_fini(&(*shard)->horizon);
    warp_mailbox_fini(&(*shard)->mailbox);
    warp_limbo_fini(&(*shard)->limbo);
    warp_memory_release(memory, *shard, sizeof(**shard));
    *shard = NULL;
}

int warp_store_create(struct warp_store **store, const struct warp_store_config *config)
{
    struct warp_store *made;
    uint32_t i;
    int rc = WARP_ENOMEM;

    warp_assert(*store == NULL);
    made = warp_memory_map(config->memory, sizeof(*made), 4096, config->huge_pages);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->env = config->env;
    made->memory = config->memory;
    made->epoch = config->epoch;
    made->hash_seed = config->hash_seed;
    made->memory_bytes_max = config->memory_bytes_max;
    made->values_bytes_max = config->values_bytes_max;
    made->reader = config->reader;
    made->shard_count = config->shard_count;
    made->drain_max = config->drain_max;
    made->pin_threads = config->pin_threads;
    made->read_only = config->read_only;
    made->warm_up = config->warm_up;
    made->mail_only = config->mail_only;
    made->wall_offset_ms = warp_clock_wall_offset_ms(config->env->clock);
    warp_slotmap_init(&made->slotmap, config->shard_count);
    warp_mass_init(&made->mass, &made->slots[0].mass, sizeof(made->slots[0]), 0,
                   warp_clock_ticks(config->env->clock));
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        made->slots[i].due_ms = UINT64_MAX;
    }
    made->shards =
        warp_memory_reserve(made->memory, config->shard_count * sizeof(*made->shards), 0);
    if (made->shards == NULL) {
        goto fail_shards;
    }
    for (i = 0; i < config->shard_count; i++) {
        rc = shard_create(made, i, config, &made->shards[i]);
        if (rc < 0) {
            goto fail_shard;
        }
    }
    *store = made;
    return 0;

fail_shard:
    while (i-- > 0) {
        shard_destroy(&made->shards[i]);
    }
    warp_memory_release(made->memory, made->shards,
                        config->shard_count * sizeof(*made->shards));
fail_shards:
    warp_memory_unmap(config->memory, made, sizeof(*made));
    return rc;
}

int warp_store_start(struct warp_store *store)
{
    uint32_t i;

    if (!store->env->threads) {
        return 0;
    }
    for (i = 0; i < store->shard_count; i++) {
        struct warp_shard *shard = store->shards[i];
        char name[16];
        int rc;

        (void)snprintf(name, sizeof(name), "warp-shard-%u", i % 100);
        rc = warp_thread_start(&shard->thread, store->memory, name,
                               store->pin_threads ? warp_thread_cpu_at(i) : -1, shard_main,
                               shard);
        if (rc < 0) {
            warp_store_stop(store);
            return WARP_ESYSTEM;
        }
    }
    return 0;
}

void warp_store_stop(struct warp_store *store)
{
    uint32_t i;

    for (i = 0; i < store->shard_count; i++) {
        struct warp_shard *shard = store->shards[i];

        if (shard->thread != NULL) {
            /* Release: pairs with the acquire in shard_main. */
            atomic_store_explicit(&shard->stop, 1, memory_order_release);
            warp_shard_wake(shard);
            warp_thread_join(&shard->thread);
        }
    }
}

void warp_store_destroy(struct warp_store **store)
{
    struct warp_store *one = *store;
    struct warp_memory *memory = one->memory;
    uint32_t i;

    /* Records and arrays go with their pools; but what one has retired may be another's. */
    for (i = 0; i < one->shard_count; i++) {
        warp_limbo_empty(&one->shards[i]->limbo);
    }
    for (i = 0; i < one->shard_count; i++) {
        shard_destroy(&one->shards[i]);
    }
    warp_memory_release(memory, one->shards, one->shard_count * sizeof(*one->shards));
    warp_memory_unmap(memory, one, sizeof(*one));
    *store = NULL;
}

/* ---- checking -------------------------------------------------------------------------- */

struct shard_check {
    struct warp_store *store;
    struct warp_ledger_tally *tally;
    uint32_t slot;
    uint32_t records;
    uint32_t cold_records;
    uint64_t bytes;
    uint64_t queued_bytes;
};

static int shard_check_record(void *context, struct warp_record *record,
                              _Atomic uint64_t *place)
{
    struct shard_check *check = context;
    const uint8_t *key = warp_record_key(record);
    uint32_t key_bytes = warp_record_key_bytes(record);
    uint64_t hash = warp_hash_key(key, key_bytes, check->store->hash_seed);
    _Atomic uint64_t *found = NULL;

    warp_assert(warp_hash_slot(key, key_bytes) == check->slot);
    warp_assert(
        warp_table_find_in(warp_table_resolve(&check->store->words[check->slot], hash),
                           hash, key, key_bytes, &found) == record);
    warp_assert(found == place);
    check->records++;
    check->bytes += warp_slab_round(warp_record_bytes_of(record));
    warp_ledger_tally_add(check->tally, record);
    if (!warp_record_is_cold(record)) {
        if (warp_record_queue(record) != WARP_HORIZON_NONE) {
            check->queued_bytes += warp_slab_round(warp_record_bytes_of(record));
        } else {
            /* On its way from one shard's queues to another's. */
            warp_assert(check->store->slots[check->slot].transit != WARP_SLOT_SETTLED);
        }
    } else {
        check->cold_records++;
    }
    return 0;
}

/* All leases are held: what it counts over the slots stands still. */
static void shard_check(struct warp_shard *shard, struct warp_ledger_tally *tally)
{
    struct warp_store *store = shard->store;
    uint64_t records = 0, cold_records = 0, bytes = 0, queued_bytes = 0;
    uint64_t owned = warp_ledger_bytes(&shard->ledger);
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        const struct warp_slot *state = &store->slots[slot];
        struct shard_check check = {.store = store, .tally = tally, .slot = slot};

        if (warp_slotmap_owner(&store->slotmap, slot) != shard->id ||
            atomic_load_explicit(&store->words[slot], memory_order_relaxed) == 0) {
            continue;
        }
        (void)warp_table_walk(&store->words[slot], shard_check_record, &check);
        warp_assert(check.records == state->records);
        warp_assert(check.bytes == state->bytes);
        warp_assert(check.cold_records == state->cold_records);
        warp_assert(state->due_ms >= shard->due_ms || shard->sweep_slot < WARP_SLOT_COUNT);
        records += check.records;
        cold_records += check.cold_records;
        bytes += check.bytes;
        queued_bytes += check.queued_bytes;
        owned += check.bytes + warp_table_memory(&store->words[slot]);
    }
    warp_assert(warp_counter_read(&shard->counters.records) == records);
    warp_assert(warp_counter_read(&shard->counters.cold_records) == cold_records);
    warp_assert(warp_counter_read(&shard->counters.record_bytes) == bytes);
    warp_assert(warp_horizon_bytes(&shard->horizon) == queued_bytes);
    /* Wherever it lies. */
    warp_assert(warp_limbo_owned_bytes(&shard->limbo) - shard->limbo.pending_bytes ==
                owned);
}

void warp_store_check(struct warp_store *store)
{
    struct warp_ledger_tally *tally;
    uint32_t i;

    for (i = 0; i < store->shard_count; i++) {
        warp_shard_enter_surely(store->shards[i]);
    }
    tally = warp_ledger_tally_begin(store);
    for (i = 0; i < store->shard_count; i++) {
        shard_check(store->shards[i], tally);
    }
    warp_ledger_tally_end(&tally);
    for (i = 0; i < store->shard_count; i++) {
        warp_shard_leave(store->shards[i]);
    }
}
