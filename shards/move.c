/*
 * The happy path: the slot's values are taken out of the old owner's queues, some buckets per
 * lease; both leases are taken, the table is as it was walked, and a few numbers change hands; the
 * values are put into the new owner's queues, some buckets per lease.
 *
 * What can go wrong. A lease is busy at the flip: the slot settles again where it was. The table grows
 * between two steps: the walk begins anew, a bounded number of times, and then the move is given
 * up, or, when it is the walk that settles, made in one step. There is no memory for the queues:
 * what is not in one yet is remembered by the slot's being in transit, and settled by the next move
 * of whatever slot that finds it so.
 */
#include "shards/move.h"

#include "base/counter.h"
#include "base/hash.h"
#include "base/probe.h"
#include "shards/evict.h"

#define MOVE_BUCKETS_PER_STEP 8u
#define MOVE_LEASE_SPINS      64u
#define MOVE_RESTARTS_MAX     8u
#define MOVE_RELIEFS_MAX      4u

struct move {
    struct warp_store *store;
    struct warp_shard *shard; /* whose lease is held while a part is walked */
    uint32_t slot;
    struct warp_table_cursor cursor;
    uint64_t word; /* of the slot, and how often it had grown, when the walk began */
    uint32_t growths;
    uint32_t restarts;
    bool again; /* there was no memory for one */
};

static void move_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static struct warp_slot *move_state(const struct move *move)
{
    return &move->store->slots[move->slot];
}

static void move_begin_walk(struct move *move)
{
    struct warp_table_cursor none = {0, 0, 0};

    move->cursor = none;
    move->word =
        atomic_load_explicit(&move->store->words[move->slot], memory_order_relaxed);
    move->growths = move_state(move)->growths;
}

/* Are the arrays those that are being walked? */
static bool move_same_table(const struct move *move)
{
    return move->growths == move_state(move)->growths &&
           move->word ==
               atomic_load_explicit(&move->store->words[move->slot], memory_order_relaxed);
}

/* One step of a walk, under the lease: true when all has been visited since it began. */
static bool move_walk(struct move *move, uint32_t buckets,
                      int (*visit)(void *context, struct warp_record *record,
                                   _Atomic uint64_t *place))
{
    if (!move_same_table(move)) {
        move->restarts++;
        move_begin_walk(move);
    }
    return warp_table_walk_part(&move->store->words[move->slot], &move->cursor, buckets,
                                visit, move);
}

/* ---- leaving ------------------------------------------------------------------------------ */

static int move_let_go(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct move *move = context;
    struct warp_horizon *horizon = &move->shard->horizon;
    uint8_t queue = warp_record_queue(record);

    (void)place;
    move_count(&move->store->moving.records, 1);
    if (!warp_record_is_cold(record) && queue != WARP_HORIZON_NONE) {
        warp_record_set_heat(
            record, warp_horizon_standing(horizon, queue, warp_record_hits(record)),
            WARP_HORIZON_NONE);
        warp_horizon_forget(horizon, queue, warp_slab_round(warp_record_bytes_of(record)));
    }
    return 0;
}

/* ---- arriving ----------------------------------------------------------------------------- */

static int move_take_in(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct move *move = context;
    struct warp_shard *shard = move->shard;

    (void)place;
    move_count(&move->store->moving.records, 1);
    if (warp_record_is_cold(record) || warp_record_queue(record) != WARP_HORIZON_NONE) {
        return 0;
    }
    if (warp_horizon_reserve(&shard->horizon, 1) < 0) {
        move->again = true;
        return 0;
    }
    warp_evict_settle(shard, move->slot,
                      warp_hash_key(warp_record_key(record), warp_record_key_bytes(record),
                                    move->store->hash_seed),
                      record);
    return 0;
}

/* The slot is in transit: its values come into its owner's queues. Waits for the lease, but holds none
 * meanwhile. */
static int move_settle(struct move *move)
{
    uint32_t reliefs = 0;
    bool begun = false;

    move->restarts = 0;
    move->again = false;
    for (;;) {
        bool done;

        warp_shard_enter_surely(move->shard);
        if (!begun) {
            begun = true;
            move_state(move)->transit = WARP_SLOT_ARRIVING;
            move_begin_walk(move);
        }
        /* It must come to an end, however fast the table grows. */
        done = move_walk(
            move, move->restarts < MOVE_RESTARTS_MAX ? MOVE_BUCKETS_PER_STEP : UINT32_MAX,
            move_take_in);
        if (done && !move->again) {
            move_state(move)->transit = WARP_SLOT_SETTLED;
        }
        warp_shard_disturb(
            move->shard); /* there may be more in its queues than should be */
        warp_shard_leave(move->shard);
        if (!done) {
            continue;
        }
        if (!move->again) {
            return 0;
        }
        if (reliefs == MOVE_RELIEFS_MAX) {
            return WARP_ENOMEM;
        }
        (void)warp_evict_relieve(move->store, move->shard, 0, reliefs++);
        move->again = false;
        begun = false;
    }
}

/* ---- the flip ----------------------------------------------------------------------------- */

/* A lease, within bounds: two are wanted, and nobody is to wait for one that waits for another. */
static bool move_enter(struct warp_shard *shard)
{
    uint32_t spins;

    for (spins = 0; spins < MOVE_LEASE_SPINS; spins++) {
        if (warp_shard_enter(shard)) {
            return true;
        }
        if (!shard->store->env->threads) {
            return false;
        }
        warp_cpu_relax();
    }
    return false;
}

static bool move_enter_both(struct warp_store *store, uint32_t a, uint32_t b)
{
    struct warp_shard *low = store->shards[a < b ? a : b];
    struct warp_shard *high = store->shards[a < b ? b : a];

    if (!move_enter(low)) {
        return false;
    }
    if (!move_enter(high)) {
        warp_shard_leave(low);
        return false;
    }
    return true;
}

static void move_shift(_Atomic uint64_t *from, _Atomic uint64_t *to, uint64_t n)
{
    warp_counter_add(from, (uint64_t)0 - n);
    warp_counter_add(to, n);
}

static void move_flip(struct move *move, struct warp_shard *to)
{
    struct warp_shard *from = move->shard;
    struct warp_slot *state = move_state(move);

    warp_shard_assert_owner(from);
    warp_shard_assert_owner(to);
    warp_assert(state->transit == WARP_SLOT_LEAVING);
    warp_assert_slow(move->cursor.memory_bytes ==
                     warp_table_memory(&move->store->words[move->slot]));
    move_shift(&from->counters.records, &to->counters.records, state->records);
    move_shift(&from->counters.record_bytes, &to->counters.record_bytes, state->bytes);
    move_shift(&from->counters.cold_records, &to->counters.cold_records,
               state->cold_records);
    warp_limbo_transfer(&from->limbo, &to->limbo, state->bytes + move->cursor.memory_bytes);
    to->ledger.mixed = true;
    if (state->due_ms < to->due_ms) {
        to->due_ms = state->due_ms;
    }
    state->transit = WARP_SLOT_ARRIVING;
    warp_slotmap_begin_move(&move->store->slotmap, move->slot, &state->moved);
    /* Here a thread may be held up for long: the simulator lets others go on. */
    (void)warp_env_chance(move->store->env, WARP_CHANCE_LEASE_REFUSED);
    warp_slotmap_end_move(&move->store->slotmap, move->slot, to->id);
    warp_shard_disturb(to);
}

/* Take the slot out of its owner's queues. WARP_AGAIN: it has grown too often. */
static int move_leave(struct move *move)
{
    struct warp_slot *state = move_state(move);

    for (;;) {
        bool done;

        warp_shard_enter_surely(move->shard);
        if (state->transit == WARP_SLOT_SETTLED) {
            state->transit = WARP_SLOT_LEAVING;
            move_begin_walk(move);
        }
        done = move_walk(move, MOVE_BUCKETS_PER_STEP, move_let_go);
        warp_shard_leave(move->shard);
        if (done) {
            return 0;
        }
        if (move->restarts > MOVE_RESTARTS_MAX) {
            return WARP_AGAIN;
        }
    }
}

static int move_run(struct move *move, struct warp_shard *to)
{
    int rc;

    for (;;) {
        bool flipped = false;

        rc = move_leave(move);
        if (rc != 0) {
            break;
        }
        if (!move_enter_both(move->store, move->shard->id, to->id)) {
            rc = WARP_AGAIN;
            break;
        }
        if (move_same_table(move)) {
            move_flip(move, to);
            flipped = true;
        }
        warp_shard_leave(move->shard);
        warp_shard_leave(to);
        if (flipped) {
            move->shard = to;
            break;
        }
    }
    if (rc == 0) {
        move_count(&move->store->moving.moves, 1);
        return move_settle(move);
    }
    /* It stays. */
    (void)move_settle(move);
    return rc;
}

int warp_move_slot(struct warp_store *store, uint32_t slot, uint32_t to)
{
    struct move move = {.store = store, .slot = slot};
    uint32_t from;
    int rc;

    if (slot >= WARP_SLOT_COUNT || to >= store->shard_count || store->read_only) {
        move_count(&store->moving.refused, 1);
        return WARP_EINVAL;
    }
    /* Acquire and release: one mover at a time. */
    if (atomic_exchange_explicit(&store->moving.lock, 1, memory_order_acquire) != 0) {
        move_count(&store->moving.busy, 1);
        return WARP_AGAIN;
    }
    /* Only a mover changes owners, and that is us. */
    move.shard = warp_store_owner(store, slot);
    from = move.shard->id;
    rc = 0;
    if (store->slots[slot].transit != WARP_SLOT_SETTLED) {
        rc = move_settle(&move); /* for lack of memory, last time */
    }
    if (rc == 0 && move.shard->id != to) {
        move.restarts = 0;
        rc = move_run(&move, store->shards[to]);
    }
    atomic_store_explicit(&store->moving.lock, 0, memory_order_release);
    if (rc != 0) {
        move_count(rc == WARP_AGAIN ? &store->moving.busy : &store->moving.refused, 1);
    }
    WARP_PROBE4(slot_move, slot, from, to, rc);
    return rc;
}
