#include "engine/call.h"

#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "engine/options.h"
#include "shards/evict.h"
#include "shards/get.h"
#include "shards/put.h"
#include "shards/walk.h"

#define CALL_ROOM_NS    UINT64_C(10000000000)
#define CALL_TTL_MS_MAX (UINT64_C(36525) * 86400 * 1000) /* 100 years */
/* With pauses between them that grow to WARP_WORMHOLE_PAUSE_MAX. */
#define CALL_LEASE_TRIES  2048u
#define CALL_YIELD_PAUSES 128u
#define CALL_VISIT_BYTES  262144u

static int call_check_key(struct warp_slice key)
{
    return key.bytes == 0 || key.bytes > WARP_KEY_BYTES_MAX || key.data == NULL ? WARP_EKEY
                                                                                : 0;
}

/* Of a call that is timed: from where it waits to where it goes on is a stage, if somebody wants to know. */
struct call_watch {
    struct warp *db;
    struct warp_latency *latency;
    bool laps;
    uint64_t begun_ns, last_ns;
    uint64_t stages_ns[WARP_SLOW_STAGES];
};

static __attribute__((noinline)) void
call_begin_timed(struct warp *db, struct warp_latency *latency, struct call_watch *watch)
{
    watch->db = db;
    watch->latency = latency;
    watch->laps = db->slow.slow_ns != 0;
    if (watch->laps) {
        memset(watch->stages_ns, 0, sizeof(watch->stages_ns));
    }
    watch->begun_ns = watch->last_ns = warp_clock_ns(db->env.clock);
}

/* A call begins: its watch, if it is one that is timed; else NULL. */
static inline struct call_watch *call_begin(struct warp *db, struct warp_latency *latency,
                                            struct call_watch *watch)
{
    if (WARP_LIKELY(!warp_latency_due(latency))) {
        return NULL;
    }
    call_begin_timed(db, latency, watch);
    return watch;
}

static __attribute__((noinline)) void call_take_lap(struct call_watch *watch,
                                                    enum warp_slow_stage stage)
{
    if (watch->laps) {
        uint64_t now_ns = warp_clock_ns(watch->db->env.clock);

        watch->stages_ns[stage] += now_ns - watch->last_ns;
        watch->last_ns = now_ns;
    }
}

/* What was done since the last lap, or since it began, was this. */
static inline void call_lap(struct call_watch *watch, enum warp_slow_stage stage)
{
    if (WARP_UNLIKELY(watch != NULL)) {
        call_take_lap(watch, stage);
    }
}

static __attribute__((noinline)) void call_end_timed(const struct call_watch *watch,
                                                     uint32_t opcode, struct warp_slice key,
                                                     size_t value_bytes, int result)
{
    struct warp *db = watch->db;
    uint64_t took_ns = warp_clock_ns(db->env.clock) - watch->begun_ns;
    struct warp_snapshot_slow call;

    warp_latency_add(watch->latency, took_ns);
    if (WARP_UNLIKELY(db->hot.places != NULL) && call_check_key(key) == 0) {
        warp_hot_add(&db->hot, warp_hash_key(key.data, key.bytes, db->store->hash_seed),
                     key, watch->latency->weight);
    }
    if (!watch->laps || took_ns < db->slow.slow_ns || call_check_key(key) < 0) {
        return;
    }
    memset(&call, 0, sizeof(call));
    call.ended_ms = warp_clock_wall_ms(db->env.clock);
    call.duration_ns = took_ns;
    memcpy(call.stages_ns, watch->stages_ns, sizeof(call.stages_ns));
    call.opcode = opcode;
    call.result = result;
    call.slot = warp_hash_slot(key.data, key.bytes);
    call.shard = warp_slotmap_owner(&db->store->slotmap, call.slot);
    call.key_bytes = (uint32_t)key.bytes;
    call.value_bytes = (uint32_t)value_bytes;
    memcpy(call.key, key.data, key.bytes < sizeof(call.key) ? key.bytes : sizeof(call.key));
    warp_slow_keep(&db->slow, call);
}

/* It is over. */
static inline void call_end(const struct call_watch *watch, uint32_t opcode,
                            struct warp_slice key, size_t value_bytes, int result)
{
    if (WARP_UNLIKELY(watch != NULL)) {
        call_end_timed(watch, opcode, key, value_bytes, result);
    }
}

int warp_call_message(struct warp *db, uint32_t opcode, struct warp_slice key,
                      struct warp_slice value, int64_t delta, const struct warp_write *how,
                      struct warp_message *message)
{
    struct warp_write write = WARP_WRITE_INIT;
    int rc;

    rc = call_check_key(key);
    if (rc < 0) {
        return rc;
    }
    if (opcode != WARP_OP_PUT) {
        value.data = NULL;
        value.bytes = 0;
    }
    if (value.bytes > WARP_VALUE_BYTES_MAX || (value.data == NULL && value.bytes > 0)) {
        return WARP_EVALUE;
    }
    if (how != NULL && warp_options_copy(&write, sizeof(write), how,
                                         offsetof(struct warp_write, ttl_ms)) < 0) {
        return WARP_EINVAL;
    }
    if (write.durability > WARP_COMMIT || write.condition > WARP_IF_VALUE ||
        write.ttl_ms > CALL_TTL_MS_MAX ||
        (write.if_value.data == NULL && write.if_value.bytes > 0)) {
        return WARP_EINVAL;
    }
    message->opcode = (uint8_t)opcode;
    message->key = key;
    message->value = value;
    message->delta = delta;
    message->condition = (uint8_t)write.condition;
    message->if_sequence = write.if_sequence;
    message->if_value = write.if_value;
    message->level =
        (uint8_t)(write.durability == WARP_DURABILITY_DEFAULT ? db->durability
                                                              : write.durability);
    message->expires_at_ms =
        write.ttl_ms == 0 ? 0 : warp_store_wall_ms(db->store) + write.ttl_ms;
    message->deadline_ns = 0;
    message->waker = NULL;
    message->reliefs = 0;
    message->result = 0;
    message->sequence = 0;
    message->wait_for = 0;
    message->number = 0;
    memset(&message->borrowed, 0, sizeof(message->borrowed));
    message->cold.open = false;
    atomic_init(&message->done, 0);
    warp_message_hash(message, db->store->hash_seed);
    /* The bucket comes while the checksum is made. */
    warp_table_prefetch_hint(&db->store->words[message->slot], message->hash);
    message->body_bytes = 0;
    if (opcode != WARP_OP_GET) {
        warp_message_prepare(message);
    }
    return 0;
}

int warp_call_wait(struct warp *db, struct warp_caller *caller, uint64_t target)
{
    if (target == 0 || db->wal == NULL || warp_writer_durable(&db->wal->writer) >= target) {
        return 0;
    }
    warp_counter_add(&caller->durable_waits, 1);
    return warp_writer_wait(&db->wal->writer, target, UINT64_MAX);
}

static uint64_t call_wait_paced(struct warp *db, uint64_t ahead_ns, uint64_t max_ns)
{
    uint64_t wait_ns = ahead_ns < max_ns ? ahead_ns : max_ns;
    _Atomic uint32_t nobody;

    atomic_init(&nobody, 0);
    if (db->env.threads) {
        (void)warp_park(&nobody, 0, wait_ns, UINT32_MAX);
    } else {
        db->env.wait(db->env.context);
    }
    warp_pace_waited(&db->store->pace, wait_ns);
    return ahead_ns - wait_ns;
}

uint64_t warp_call_pace(struct warp *db, uint64_t log_bytes, uint64_t max_ns)
{
    struct warp_pace *pace = &db->store->pace;
    uint64_t ahead_ns;

    if (WARP_LIKELY(warp_pace_price(pace) == 0)) {
        return 0;
    }
    ahead_ns = warp_pace_bill(pace, log_bytes, warp_clock_ns(db->env.clock));
    return ahead_ns == 0 ? 0 : call_wait_paced(db, ahead_ns, max_ns);
}

/* Bring what the write will touch into this core's cache, before the lease is taken. */
static void call_warm(struct warp *db, struct warp_caller *caller,
                      const struct warp_message *message)
{
    struct warp_store *store = db->store;
    uint64_t word;

    warp_epoch_enter(caller->record);
    word = warp_table_resolve(&store->words[message->slot], message->hash);
    (void)warp_table_find_in(word, message->hash, message->key.data, message->key.bytes,
                             NULL);
    warp_epoch_leave(caller->record);
}

/* The message is in a ring: wait until somebody has run it, or run it ourselves, if we may. */
static void call_wait_for_mail(struct warp *db, struct warp_caller *caller,
                               struct warp_shard *shard, struct warp_message *message,
                               bool hands_off)
{
    uint32_t round = 0;

    while (!warp_message_is_done(message)) {
        if (!hands_off && warp_shard_enter(shard)) {
            warp_shard_leave(shard); /* drains */
            if (warp_message_is_done(message)) {
                return;
            }
        }
        if (!db->env.threads) {
            db->env.wait(db->env.context);
            continue;
        }
        if (warp_spin_once(&caller->spin, &round)) {
            continue;
        }
        /* seq_cst, with the notifier's exchange after done: one of us sees the other. */
        atomic_store_explicit(&caller->word, 1, memory_order_seq_cst);
        if (atomic_load_explicit(&message->done, memory_order_seq_cst) == 0) {
            (void)warp_park(&caller->word, 1, UINT64_MAX, UINT32_MAX);
        }
        atomic_store_explicit(&caller->word, 0, memory_order_relaxed);
        warp_spin_result(&caller->spin, false);
        round = 0;
    }
    if (round > 0) {
        warp_spin_result(&caller->spin, true);
    }
}

static void call_run_leased(struct warp_caller *caller, struct warp_shard *shard,
                            struct warp_message *message, struct call_watch *watch)
{
    call_lap(watch, WARP_SLOW_WAIT);
    warp_put_execute(shard, message);
    warp_shard_leave(shard);
    call_lap(watch, WARP_SLOW_EXECUTE);
    warp_counter_add(&caller->leases, 1);
}

/* Back off until the lease is free. False: it still is not. */
static bool call_wait_for_lease(struct warp *db, struct warp_shard *shard)
{
    uint32_t pause = 0, pauses = 0, tries;

    for (tries = 0; tries < CALL_LEASE_TRIES && db->env.threads; tries++) {
        uint32_t i, n = warp_wormhole_back_off(&pause);

        for (i = 0; i < n; i++) {
            warp_cpu_relax();
        }
        pauses += n;
        if (pauses >= CALL_YIELD_PAUSES) {
            warp_thread_yield(); /* its holder may be waiting for this very processor */
            pauses = 0;
        }
        if (warp_shard_enter(shard)) {
            return true;
        }
    }
    return false;
}

/* Leave it in the mailbox and wait until it has been run. False: no ring is to be had. */
static bool call_send(struct warp *db, struct warp_caller *caller, struct warp_shard *shard,
                      struct warp_message *message, bool hands_off,
                      struct call_watch *watch)
{
    if (caller->sender == WARP_SENDER_NONE) {
        caller->sender = warp_callers_take_sender(&db->callers);
    }
    if (caller->sender == WARP_SENDER_NONE) {
        return false;
    }
    message->waker = &caller->waker;
    atomic_store_explicit(&message->done, 0, memory_order_relaxed);
    if (warp_mailbox_send(&shard->mailbox, caller->sender, message) != 0) {
        return false;
    }
    warp_counter_add(&caller->mails, 1);
    if (hands_off) {
        warp_shard_nudge(shard);
    }
    call_wait_for_mail(db, caller, shard, message, hands_off);
    call_lap(watch, WARP_SLOW_WAIT); /* who ran it meanwhile was somebody else */
    return true;
}

static void call_insist(struct warp_caller *caller, struct warp_shard *shard,
                        struct warp_message *message, struct call_watch *watch)
{
    warp_shard_enter_surely(shard);
    call_run_leased(caller, shard, message, watch);
}

/* The lease is busy. */
static void call_execute_busy(struct warp *db, struct warp_caller *caller,
                              struct warp_shard *shard, struct warp_message *message,
                              struct call_watch *watch)
{
    struct warp_wormhole *wormhole = &caller->wormholes[shard->id];
    enum warp_wormhole_way way = WARP_WORMHOLE_WAIT;
    bool timed = false;
    uint64_t begun = 0;

    warp_counter_add(&caller->busy, 1);
    if (warp_wormhole_was_busy(wormhole) && db->env.threads) {
        way = warp_wormhole_choose(wormhole, &timed);
        begun = timed ? warp_clock_ticks(db->env.clock) : 0;
    }
    if (way == WARP_WORMHOLE_WAIT && call_wait_for_lease(db, shard)) {
        call_run_leased(caller, shard, message, watch);
    } else if (!call_send(db, caller, shard, message, false, watch)) {
        call_insist(caller, shard, message, watch);
    }
    if (timed) {
        warp_wormhole_took(wormhole, way, warp_clock_ticks(db->env.clock) - begun);
    }
}

static void call_execute_at(struct warp *db, struct warp_caller *caller,
                            struct warp_shard *shard, struct warp_message *message,
                            struct call_watch *watch)
{
    if (WARP_UNLIKELY(db->store->mail_only) || message->opcode == WARP_OP_GET) {
        if (!call_send(db, caller, shard, message, true, watch)) {
            call_insist(caller, shard, message, watch);
        }
    } else if (WARP_LIKELY(warp_shard_enter(shard))) {
        call_run_leased(caller, shard, message, watch);
        warp_wormhole_was_free(&caller->wormholes[shard->id]);
    } else if (db->options.write_path == WARP_WRITE_LEASE) {
        warp_counter_add(&caller->busy, 1);
        call_insist(caller, shard, message, watch);
    } else {
        call_execute_busy(db, caller, shard, message, watch);
    }
}

/* Where its slot is; again if it has moved meanwhile. This thread has no other request, so there is no
 * order to be kept. */
static void call_execute(struct warp *db, struct warp_caller *caller,
                         struct warp_message *message, struct call_watch *watch)
{
    do {
        call_execute_at(db, caller, warp_store_owner(db->store, message->slot), message,
                        watch);
    } while (WARP_UNLIKELY(message->result == WARP_MESSAGE_MOVED));
}

static int call_run(struct warp *db, struct warp_caller *caller,
                    struct warp_message *message, struct call_watch *watch)
{
    bool is_delete = message->opcode == WARP_OP_DELETE;
    uint64_t target;
    int rc;

    if (db->read_only) {
        return WARP_EREADONLY;
    }
    call_warm(db, caller, message);
    for (;;) {
        call_execute(db, caller, message, watch);
        if (message->result == WARP_MESSAGE_NEEDS_VALUE) {
            struct warp_coldread *cold = &message->cold;

            warp_coldread_run(db->store, &cold, 1);
            call_lap(watch, WARP_SLOW_DISK);
            continue;
        }
        if (message->result == WARP_ENOMEM && message->reliefs < WARP_EVICT_RELIEFS_MAX &&
            warp_evict_relieve(db->store, warp_store_owner(db->store, message->slot),
                               warp_message_record_bytes(message), message->reliefs)) {
            message->reliefs++;
            call_lap(watch, WARP_SLOW_MEMORY);
            continue;
        }
        if (message->result != WARP_MESSAGE_NEEDS_ROOM) {
            break;
        }
        rc = warp_writer_make_room(&db->wal->writer, warp_frame_bytes(message->body_bytes),
                                   is_delete, CALL_ROOM_NS);
        call_lap(watch, WARP_SLOW_ROOM);
        if (rc != 0) {
            warp_coldread_end(db->store, &message->cold);
            return rc;
        }
    }
    warp_coldread_end(db->store, &message->cold);
    target = warp_call_wait_for(db, message);
    rc = warp_call_wait(db, caller, target);
    call_lap(watch, WARP_SLOW_DURABLE);
    if (message->result == 0) {
        (void)warp_call_pace(db, warp_frame_bytes(message->body_bytes),
                             WARP_PACE_WAIT_NS_MAX);
        call_lap(watch, WARP_SLOW_PACE);
    }
    return rc == 0 ? message->result : rc;
}

int warp_call_write(struct warp *db, uint32_t opcode, struct warp_slice key,
                    struct warp_slice value, int64_t delta, const struct warp_write *how,
                    struct warp_message *message)
{
    struct warp_caller *caller = warp_caller_get(&db->callers);
    struct call_watch space, *watch;
    int rc;

    if (WARP_UNLIKELY(caller == NULL)) {
        return WARP_ENOMEM;
    }
    watch = call_begin(db, &caller->write_latency, &space);
    rc = warp_call_message(db, opcode, key, value, delta, how, message);
    if (rc == 0) {
        rc = call_run(db, caller, message, watch);
    }
    call_end(watch, opcode, key, value.bytes, rc);
    return rc;
}

/* Copy what was found to the caller, or say that there is too little room. */
static int call_copy(void *buffer, size_t capacity, const void *value, uint32_t bytes)
{
    if (bytes > capacity) {
        return WARP_TRUNCATED;
    }
    if (bytes > 0) {
        memcpy(buffer, value, bytes);
    }
    return 0;
}

/* A read as a message, where wormholes are off. The value comes on loan. */
static int call_mail_get(struct warp *db, struct warp_caller *caller, struct warp_slice key,
                         struct warp_value *out, struct call_watch *watch)
{
    struct warp_slice none = {NULL, 0};
    struct warp_message message;
    int rc = warp_call_message(db, WARP_OP_GET, key, none, 0, NULL, &message);

    if (rc < 0) {
        return rc;
    }
    warp_counter_add(&caller->gets, 1);
    call_execute(db, caller, &message, watch);
    if (message.result == WARP_MESSAGE_COLD) {
        struct warp_coldread *cold = &message.cold;

        warp_counter_add(&caller->cold_gets, 1);
        warp_coldread_run(db->store, &cold, 1);
        call_lap(watch, WARP_SLOW_DISK);
        message.result = cold->read.rc;
        if (message.result == 0) {
            message.result = warp_coldread_lend(db->store, cold, &message.borrowed);
            warp_coldread_admit(db->store, cold);
        }
        warp_coldread_end(db->store, cold);
    }
    rc = db->read_durable ? warp_call_wait(db, caller, message.wait_for) : 0;
    if (rc < 0) {
        warp_get_return(&message.borrowed);
        return rc;
    }
    if (message.result == 0) {
        warp_counter_add(&caller->get_hits, 1);
        *out = message.borrowed;
    }
    return message.result;
}

static int call_mail_get_copy(struct warp *db, struct warp_caller *caller,
                              struct warp_slice key, void *buffer, size_t capacity,
                              size_t *bytes, uint64_t *sequence, struct call_watch *watch)
{
    struct warp_value value = WARP_VALUE_INIT;
    int rc = call_mail_get(db, caller, key, &value, watch);

    if (rc != 0) {
        return rc;
    }
    rc = call_copy(buffer, capacity, value.data, (uint32_t)value.bytes);
    if (bytes != NULL) {
        *bytes = value.bytes;
    }
    if (sequence != NULL) {
        *sequence = value.sequence;
    }
    warp_get_return(&value);
    return rc;
}

static int call_mail_multi_get(struct warp *db, struct warp_caller *caller,
                               const struct warp_slice *keys, size_t count,
                               struct warp_value *values, int *results)
{
    static const struct warp_value none = WARP_VALUE_INIT;
    size_t i;

    for (i = 0; i < count; i++) {
        values[i] = none;
        results[i] = call_mail_get(db, caller, keys[i], &values[i], NULL);
        warp_counter_add(&caller->borrows, results[i] == 0);
    }
    return 0;
}

/* What is believed to be asked for next is read beside this one. */
static void call_missed(struct warp *db, struct warp_caller *caller,
                        const struct warp_coldread *cold)
{
    if (db->store->prefetch != NULL) {
        warp_prefetch_missed(db->store, &caller->trail, cold->slot, cold->hash);
    }
}

static inline int call_get(struct warp *db, struct warp_caller *caller,
                           struct warp_slice key, void *buffer, size_t capacity,
                           size_t *bytes, uint64_t *sequence, struct call_watch *watch)
{
    struct warp_store *store = db->store;
    struct warp_record *record;
    struct warp_coldread cold, *colds = &cold;
    uint64_t wait_for, hash, found_sequence = 0;
    uint32_t slot, found_bytes = 0;
    bool met = false;
    int rc, waited;

    if (WARP_UNLIKELY(db->options.wormholes == 2)) {
        return call_mail_get_copy(db, caller, key, buffer, capacity, bytes, sequence,
                                  watch);
    }
    warp_counter_add(&caller->gets, 1);
    slot = warp_hash_slot(key.data, key.bytes);
    hash = warp_hash_key(key.data, key.bytes, store->hash_seed);
    cold.open = false;
    rc = WARP_ABSENT;
    warp_epoch_enter(caller->record);
    record = warp_get_find(store, slot, hash, key, &wait_for);
    if (record != NULL && WARP_UNLIKELY(warp_record_is_cold(record))) {
        warp_coldread_begin(store, &cold, slot, hash, key, record);
    } else if (record != NULL) {
        met = warp_get_warm(store, record);
        found_bytes = warp_record_value_bytes(record);
        found_sequence = warp_record_sequence(record);
        rc = call_copy(buffer, capacity, warp_record_value(record), found_bytes);
    }
    warp_epoch_leave(caller->record);
    if (WARP_UNLIKELY(met)) {
        warp_prefetch_met(store, &caller->trail, slot, hash);
    }
    if (WARP_UNLIKELY(cold.open)) {
        warp_counter_add(&caller->cold_gets, 1);
        call_lap(watch, WARP_SLOW_EXECUTE);
        call_missed(db, caller, &cold);
        warp_coldread_run(store, &colds, 1);
        call_lap(watch, WARP_SLOW_DISK);
        rc = cold.read.rc;
        if (rc == 0) {
            found_bytes = cold.read.value_bytes;
            found_sequence = cold.read.sequence;
            rc = call_copy(buffer, capacity, cold.read.value, found_bytes);
            warp_coldread_admit(store, &cold);
        }
        warp_coldread_end(store, &cold);
        if (rc < 0) {
            return rc;
        }
    }
    if (db->read_durable) {
        call_lap(watch, WARP_SLOW_EXECUTE);
        waited = warp_call_wait(db, caller, wait_for);
        call_lap(watch, WARP_SLOW_DURABLE);
        if (waited < 0) {
            return waited;
        }
    }
    if (rc != WARP_ABSENT) {
        warp_counter_add(&caller->get_hits, 1);
        if (bytes != NULL) {
            *bytes = found_bytes;
        }
        if (sequence != NULL) {
            *sequence = found_sequence;
        }
    }
    return rc;
}

int warp_call_get(struct warp *db, struct warp_slice key, void *buffer, size_t capacity,
                  size_t *bytes, uint64_t *sequence)
{
    struct warp_caller *caller = warp_caller_get(&db->callers);
    struct call_watch space, *watch;
    int rc;

    if (WARP_UNLIKELY(call_check_key(key) < 0)) {
        return WARP_EKEY;
    }
    if (WARP_UNLIKELY(caller == NULL)) {
        return WARP_ENOMEM;
    }
    watch = call_begin(db, &caller->get_latency, &space);
    rc = call_get(db, caller, key, buffer, capacity, bytes, sequence, watch);
    call_end(watch, WARP_OP_GET, key, 0, rc);
    return rc;
}

/* The cold ones of a group of keys: read side by side, and lend copies. */
static void call_read_cold(struct warp *db, struct warp_coldread *colds,
                           const uint32_t *places, uint32_t count,
                           struct warp_value *values, int *results)
{
    struct warp_coldread *pointers[WARP_GET_GROUP];
    uint32_t i;

    for (i = 0; i < count; i++) {
        pointers[i] = &colds[i];
    }
    warp_coldread_run(db->store, pointers, count);
    for (i = 0; i < count; i++) {
        int rc = colds[i].read.rc;

        if (rc == 0) {
            rc = warp_coldread_lend(db->store, &colds[i], &values[places[i]]);
            warp_coldread_admit(db->store, &colds[i]);
        }
        warp_coldread_end(db->store, &colds[i]);
        results[places[i]] = rc;
    }
}

/* Of a group of keys: `met` has a bit for each that had been fetched before. */
static void call_learn(struct warp *db, struct warp_caller *caller,
                       const struct warp_slice *group, uint32_t met,
                       const struct warp_coldread *colds, uint32_t cold_count)
{
    struct warp_store *store = db->store;
    uint32_t i;

    for (; met != 0; met &= met - 1) {
        struct warp_slice key = group[__builtin_ctz(met)];

        warp_prefetch_met(store, &caller->trail, warp_hash_slot(key.data, key.bytes),
                          warp_hash_key(key.data, key.bytes, store->hash_seed));
    }
    for (i = 0; i < cold_count; i++) {
        call_missed(db, caller, &colds[i]);
    }
}

static int call_multi_get(struct warp *db, struct warp_caller *caller,
                          const struct warp_slice *keys, size_t count,
                          struct warp_value *values, int *results, struct call_watch *watch)
{
    static const struct warp_value none = WARP_VALUE_INIT;
    struct warp_record *records[WARP_GET_GROUP];
    struct warp_slice group[WARP_GET_GROUP];
    struct warp_coldread colds[WARP_GET_GROUP];
    uint64_t wait_for[WARP_GET_GROUP];
    uint32_t places[WARP_GET_GROUP], cold_places[WARP_GET_GROUP];
    uint64_t target = 0, hits = 0;
    size_t at = 0, i;
    int rc;

    if (WARP_UNLIKELY(db->options.wormholes == 2)) {
        return call_mail_multi_get(db, caller, keys, count, values, results);
    }
    while (at < count) {
        size_t begin = at;
        uint32_t n = 0, cold_count = 0, met = 0, k;

        while (at < count && at - begin < WARP_GET_GROUP) {
            values[at] = none;
            results[at] = call_check_key(keys[at]);
            if (results[at] == 0) {
                places[n] = (uint32_t)(at - begin);
                group[n++] = keys[at];
            }
            at++;
        }
        warp_epoch_enter(caller->record);
        warp_get_find_group(db->store, group, n, records, wait_for);
        for (k = 0; k < n; k++) {
            size_t place = begin + places[k];

            if (records[k] == NULL) {
                results[place] = WARP_ABSENT;
            } else if (WARP_UNLIKELY(warp_record_is_cold(records[k]))) {
                const struct warp_slice key = group[k];

                warp_coldread_begin(
                    db->store, &colds[cold_count], warp_hash_slot(key.data, key.bytes),
                    warp_hash_key(key.data, key.bytes, db->store->hash_seed), key,
                    records[k]);
                cold_places[cold_count++] = places[k];
            } else {
                met |= (uint32_t)warp_record_is_fetched(records[k]) << k;
                results[place] = warp_get_lend(db->store, records[k], &values[place]);
            }
            if (wait_for[k] > target) {
                target = wait_for[k];
            }
        }
        warp_epoch_leave(caller->record);
        if (WARP_UNLIKELY(db->store->prefetch != NULL)) {
            call_learn(db, caller, group, met, colds, cold_count);
        }
        if (WARP_UNLIKELY(cold_count > 0)) {
            warp_counter_add(&caller->cold_gets, cold_count);
            call_lap(watch, WARP_SLOW_EXECUTE);
            call_read_cold(db, colds, cold_places, cold_count, values + begin,
                           results + begin);
            call_lap(watch, WARP_SLOW_DISK);
        }
        for (k = 0; k < n; k++) {
            hits += results[begin + places[k]] == 0;
        }
    }
    warp_counter_add(&caller->gets, count);
    warp_counter_add(&caller->get_hits, hits);
    warp_counter_add(&caller->borrows, hits);
    call_lap(watch, WARP_SLOW_EXECUTE);
    rc = db->read_durable ? warp_call_wait(db, caller, target) : 0;
    call_lap(watch, WARP_SLOW_DURABLE);
    if (rc < 0) {
        for (i = 0; i < count; i++) {
            warp_get_return(&values[i]);
            if (results[i] >= 0) {
                results[i] = rc;
            }
        }
    }
    return 0;
}

int warp_call_multi_get(struct warp *db, const struct warp_slice *keys, size_t count,
                        struct warp_value *values, int *results)
{
    struct warp_caller *caller = warp_caller_get(&db->callers);

    if (WARP_UNLIKELY(caller == NULL)) {
        return WARP_ENOMEM;
    }
    return call_multi_get(db, caller, keys, count, values, results, NULL);
}

int warp_call_borrow(struct warp *db, struct warp_slice key, struct warp_value *out)
{
    struct warp_caller *caller = warp_caller_get(&db->callers);
    struct warp_value value = WARP_VALUE_INIT;
    struct call_watch space, *watch;
    int result, rc;

    if (WARP_UNLIKELY(caller == NULL)) {
        return WARP_ENOMEM;
    }
    watch = call_begin(db, &caller->get_latency, &space);
    rc = call_multi_get(db, caller, &key, 1, &value, &result, watch);
    call_end(watch, WARP_OP_GET, key, value.bytes, rc < 0 ? rc : result);
    if (rc == 0 && result == 0) {
        *out = value;
    }
    return rc < 0 ? rc : result;
}

/* ---- visiting every record -------------------------------------------------------------- */

/* How many records from `begin` on to read at a time: not more bytes than a few, whose buffers
 * nobody has counted on. */
static size_t call_visit_group(const struct warp_walk *walk, size_t begin)
{
    uint64_t bytes = 0;
    size_t n = 0;

    while (begin + n < walk->count && n < WARP_COLDREAD_GROUP) {
        const struct warp_record *record = warp_walk_record(walk, begin + n);

        bytes += warp_record_is_cold(record) ? warp_record_value_bytes(record) : 0;
        if (n > 0 && bytes > CALL_VISIT_BYTES) {
            break;
        }
        n++;
    }
    return n;
}

/* Show `count` records from `begin` on; the cold ones of them are read side by side. */
static int call_visit_show(struct warp *db, struct warp_walk *walk,
                           struct warp_caller *caller, size_t begin, size_t count,
                           warp_visitor visitor, void *context)
{
    struct warp_coldread colds[WARP_COLDREAD_GROUP], *pointers[WARP_COLDREAD_GROUP];
    uint32_t cold_count = 0, next = 0;
    size_t i;
    int rc = 0;

    for (i = 0; i < count; i++) {
        struct warp_record *record = warp_walk_record(walk, begin + i);
        struct warp_slice key = {warp_record_key(record), warp_record_key_bytes(record)};

        if (warp_record_is_cold(record)) {
            /* The gate is held for all of them. */
            pointers[cold_count] = &colds[cold_count];
            warp_coldread_begin(db->store, &colds[cold_count++], 0, 0, key, record);
        }
    }
    if (cold_count > 0) {
        warp_counter_add(&caller->cold_gets, cold_count);
        warp_coldread_run(db->store, pointers, cold_count);
    }
    for (i = 0; i < count && rc == 0; i++) {
        struct warp_record *record = warp_walk_record(walk, begin + i);
        struct warp_slice key = {warp_record_key(record), warp_record_key_bytes(record)};
        struct warp_value value = WARP_VALUE_INIT;

        if (db->read_durable) {
            rc = warp_call_wait(db, caller, warp_record_wait_for(record));
            if (rc < 0) {
                break;
            }
        }
        value.bytes = warp_record_value_bytes(record);
        value.expires_at_ms = warp_record_expires_at_ms(record);
        if (warp_record_is_cold(record)) {
            const struct warp_read *read = &colds[next++].read;

            rc = read->rc;
            if (rc < 0) {
                break;
            }
            value.data = read->value;
            value.sequence = read->sequence;
        } else {
            value.data = warp_record_value(record);
            value.sequence = warp_record_sequence(record);
        }
        rc = visitor(context, key, &value);
    }
    while (cold_count > 0) {
        warp_coldread_end(db->store, &colds[--cold_count]);
    }
    return rc;
}

int warp_call_visit(struct warp *db, warp_visitor visitor, void *context)
{
    struct warp_caller *caller = warp_caller_get(&db->callers);
    struct warp_walk walk = {.store = db->store};
    uint32_t slot;
    int rc = 0;

    if (caller == NULL) {
        return WARP_ENOMEM;
    }
    for (slot = 0; slot < WARP_SLOT_COUNT && rc == 0; slot++) {
        size_t i, n;

        rc = warp_walk_slot(&walk, caller->record, slot);
        for (i = 0; i < walk.count && rc == 0; i += n) {
            n = call_visit_group(&walk, i);
            rc = call_visit_show(db, &walk, caller, i, n, visitor, context);
        }
        warp_walk_drop(&walk);
    }
    warp_walk_fini(&walk);
    return rc;
}
