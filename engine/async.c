/*
 * A request is run here, under its shard's lease, or mailed to the shard; what could not be run yet
 * waits in a list per shard, in order, and so all requests for one key are carried out in the order in
 * which they were submitted. What is mailed to a shard at one time goes as one message, a chain, so that
 * its sender touches the mailbox once and its holder runs them all in one turn.
 *
 * What can go wrong: the slot of a request changes its shard. Who then runs it answers MOVED, also
 * when the slot has come back meanwhile, because map_version says when the list was begun; so once one
 * request of a slot has been sent back, all later ones that are under way are, too. They are held
 * in the order of their submission, with whatever comes after them, until no list has anything left;
 * then the map is looked at anew and they set out again.
 */
#include "engine/async.h"

#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/probe.h"
#include "engine/call.h"
#include "engine/options.h"
#include "shards/evict.h"
#include "shards/get.h"
#include "shards/put.h"

#define SESSION_GROUP       16u
#define SESSION_NONE        UINT32_MAX
#define SESSION_LEASE_SPINS 32u
#define SESSION_CHAIN_MAX   64u /* so that others' messages get their turn */
#define SESSION_ROOM_NS     100000000u
#define SESSION_PACE_NS_MAX 5000000u /* that one submit is held up while compaction lags */

struct session_request {
    struct warp_message message;
    uint64_t cookie;
    uint64_t ticket; /* its place among all requests of the session */
    uint32_t shard;  /* to whose list it goes */
    uint32_t next;   /* in the one list it is in; of one that is being read: none */
    bool sent;
    bool reading; /* its value is on its way from the disk */
    struct session_request *arrived_next;
};

struct session_list {
    uint32_t first, last;
    uint32_t count;
};

struct warp_session {
    struct warp *db;
    struct warp_epoch_record *record;
    struct warp_waker waker;
    struct warp_writer_watch watch, room_watch;
    struct warp_spin spin;
    uint32_t sender;
    uint32_t depth;
    uint32_t in_flight;
    struct session_request *requests;
    struct session_list free, marked, ready; /* marked: waits for the mark */
    struct session_list waiting[WARP_SHARD_COUNT_MAX];
    uint32_t
        sent[WARP_SHARD_COUNT_MAX]; /* of waiting: that many are in the ring, at its head */
    uint64_t waiting_shards;        /* bit per list that is not empty */
    struct session_list held;       /* behind a move, by tickets */
    uint64_t map_version;           /* when no list had anything in it */
    uint64_t tickets;
    uint64_t mailed_shards; /* bit per shard that ever got a message from us */
    uint64_t furthest;      /* place of the mark that any of them waits for */
    struct warp_entangle_trail
        trail;        /* gets that met no value in memory (shards/prefetch) */
    uint32_t reading; /* requests whose value is on its way from the disk */
    bool paced;       /* what was written last is not waited for wholly */

    alignas(WARP_CACHELINE) _Atomic uint32_t word; /* 1: poll sleeps on it */
    _Atomic int fd;                                /* -1 until asked for */
    /* The reader's thread pushes, the session takes all. */
    alignas(WARP_CACHELINE) _Atomic(struct session_request *) arrived;
    _Atomic uint32_t reader_inside; /* it is about to push, or to ring */
};

/* ---- lists ----------------------------------------------------------------------------- */

static void session_append(struct warp_session *session, struct session_list *list,
                           uint32_t index)
{
    session->requests[index].next = SESSION_NONE;
    if (list->count == 0) {
        list->first = index;
    } else {
        session->requests[list->last].next = index;
    }
    list->last = index;
    list->count++;
}

static uint32_t session_take(struct warp_session *session, struct session_list *list)
{
    uint32_t index = list->first;

    warp_assert(list->count > 0);
    list->first = session->requests[index].next;
    list->count--;
    return index;
}

/* ---- being told ------------------------------------------------------------------------ */

static void session_ring_fd(struct warp_session *session)
{
    /* Acquire: pairs with the release in warp_async_fd. */
    int fd = atomic_load_explicit(&session->fd, memory_order_acquire);
    uint64_t one = 1;

    if (fd >= 0) {
        /* It is full only after 2^64 - 2 of them; then it is readable anyway. */
        ssize_t ignored = write(fd, &one, sizeof(one));

        (void)ignored;
    }
}

static void session_notify(struct warp_waker *waker)
{
    struct warp_session *session =
        (struct warp_session *)((char *)waker - offsetof(struct warp_session, waker));

    /* seq_cst, with the sleeper's store and look at its messages: one sees the other. */
    if (atomic_exchange_explicit(&session->word, 0, memory_order_seq_cst) == 1) {
        warp_wake(&session->word, 1, UINT32_MAX);
    }
    session_ring_fd(session);
}

static void session_fire(struct warp_writer_watch *watch)
{
    session_ring_fd(
        (struct warp_session *)((char *)watch - offsetof(struct warp_session, watch)));
}

static void session_fire_room(struct warp_writer_watch *watch)
{
    session_ring_fd(
        (struct warp_session *)((char *)watch - offsetof(struct warp_session, room_watch)));
}

static void session_watch(struct warp_session *session, struct warp_writer_watch *watch,
                          uint64_t target)
{
    struct warp_writer *writer = &session->db->wal->writer;

    warp_writer_unwatch(writer, watch);
    watch->target = target; /* ours alone while it is not armed */
    warp_writer_watch(writer, watch);
}

/* Does this request wait for nothing but room in the log? */
static bool session_lacks_room(const struct warp_session *session,
                               const struct warp_message *message)
{
    return message->opcode != WARP_OP_GET && session->db->wal != NULL &&
           !warp_wal_has_room(session->db->wal, message->body_bytes,
                              message->opcode == WARP_OP_DELETE);
}

/* A value has come from the disk; on the reader's thread. */
static void session_arrive(struct warp_read *read)
{
    struct warp_session *session = read->context;
    struct session_request *request =
        (struct session_request *)((char *)read -
                                   offsetof(struct session_request, message.cold.read));
    struct session_request *first =
        atomic_load_explicit(&session->arrived, memory_order_relaxed);

    WARP_PROBE2(cold_read_end, read, 1);
    atomic_fetch_add_explicit(&session->reader_inside, 1, memory_order_relaxed);
    do {
        request->arrived_next = first;
        /* seq_cst, with the sleeper's store and look: one of us sees the other. */
    } while (!atomic_compare_exchange_weak_explicit(
        &session->arrived, &first, request, memory_order_seq_cst, memory_order_relaxed));
    session_notify(&session->waker);
    /* Release: pairs with the acquire in warp_async_destroy; our last touch. */
    atomic_fetch_sub_explicit(&session->reader_inside, 1, memory_order_release);
}

/* Fetch a request's value from disk; it comes back through session_arrive(). */
static void session_read(struct warp_session *session, uint32_t index)
{
    struct session_request *request = &session->requests[index];

    request->reading = true;
    session->reading++;
    request->message.cold.read.done = session_arrive;
    request->message.cold.read.context = session;
    WARP_PROBE2(cold_read_begin, &request->message.cold.read, 1);
    warp_reader_post(session->db->store->reader, &request->message.cold.read);
}

/* See that the descriptor becomes readable once there is something to poll. */
static void session_arm(struct warp_session *session)
{
    uint64_t shards;

    if (atomic_load_explicit(&session->fd, memory_order_relaxed) < 0) {
        return;
    }
    if (session->ready.count > 0) {
        session_ring_fd(session);
        return;
    }
    for (shards = session->waiting_shards; shards != 0; shards &= shards - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(shards);
        const struct warp_message *message;

        if (session->sent[shard] > 0 ||
            session->requests[session->waiting[shard].first].reading) {
            continue; /* who runs it tells us, or the reader */
        }
        message = &session->requests[session->waiting[shard].first].message;
        if (session_lacks_room(session, message)) {
            session_watch(session, &session->room_watch, 0);
            if (session_lacks_room(session, message)) {
                continue;
            }
        }
        session_ring_fd(session); /* only poll gets it going again */
    }
    if (session->held.count > 0 && session->waiting_shards == 0) {
        session_ring_fd(session); /* only poll gets them going again */
    }
    if (session->marked.count > 0) {
        session_watch(session, &session->watch,
                      session->requests[session->marked.first].message.wait_for);
    }
}

/* Tell the log what we wait for, when nobody of us waits for it. */
static void session_ask(struct warp_session *session)
{
    uint64_t shards;

    for (shards = session->waiting_shards; shards != 0; shards &= shards - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(shards);
        const struct warp_message *message =
            &session->requests[session->waiting[shard].first].message;

        if (session->sent[shard] == 0 && session_lacks_room(session, message)) {
            warp_writer_ask_room(&session->db->wal->writer,
                                 warp_frame_bytes(message->body_bytes),
                                 message->opcode == WARP_OP_DELETE);
        }
    }
    if (session->marked.count > 0) {
        warp_writer_want(&session->db->wal->writer, session->furthest);
    }
}

/* ---- executing ------------------------------------------------------------------------- */

/* Its slot has moved while requests were under way that may be for the same key: behind all that were
 * submitted before it, ahead of the others. Mostly that is the end. */
static __attribute__((noinline)) void session_hold(struct warp_session *session,
                                                   uint32_t index)
{
    struct session_list *held = &session->held;
    uint64_t ticket = session->requests[index].ticket;
    uint32_t *at = &held->first;
    uint32_t left;

    if (held->count == 0 || session->requests[held->last].ticket < ticket) {
        session_append(session, held, index);
        return;
    }
    for (left = held->count; session->requests[*at].ticket < ticket; left--) {
        warp_assert(left > 1);
        at = &session->requests[*at].next;
    }
    session->requests[index].next = *at;
    *at = index;
    held->count++;
}

/* A request has its result: to those that wait for the disk or the mark, or ready. */
static void session_route(struct warp_session *session, uint32_t index)
{
    struct warp_message *message = &session->requests[index].message;
    uint64_t target;

    if (WARP_UNLIKELY(message->result == WARP_MESSAGE_MOVED)) {
        message->result = 0;
        session_hold(session, index);
        return;
    }
    if (message->result == WARP_MESSAGE_COLD) {
        session_read(session, index);
        return;
    }
    warp_coldread_end(session->db->store, &message->cold);
    target = warp_call_wait_for(session->db, message);

    if (target != 0 && session->db->wal != NULL &&
        warp_writer_durable(&session->db->wal->writer) < target) {
        message->wait_for = target;
        session->furthest = target > session->furthest ? target : session->furthest;
        session_append(session, &session->marked, index);
    } else {
        session_append(session, &session->ready, index);
    }
}

static void session_wait_in_list(struct warp_session *session, uint32_t shard,
                                 uint32_t index)
{
    session->requests[index].sent = false;
    session_append(session, &session->waiting[shard], index);
    session->waiting_shards |= UINT64_C(1) << shard;
}

static void session_leave_list(struct warp_session *session, uint32_t shard)
{
    uint32_t index = session_take(session, &session->waiting[shard]);

    if (session->requests[index].sent) {
        session->sent[shard]--;
    }
    if (session->waiting[shard].count == 0) {
        session->waiting_shards &= ~(UINT64_C(1) << shard);
    }
    session_route(session, index);
}

/* Run one request under the lease we hold; false if it has to wait for room in the log, for its
 * value (WARP_MESSAGE_NEEDS_VALUE), or for memory (WARP_ENOMEM). */
static bool session_execute(struct warp_session *session, struct warp_shard *shard,
                            struct warp_message *message)
{
    warp_put_execute(shard, message);
    if (message->result == WARP_MESSAGE_NEEDS_VALUE ||
        (message->result == WARP_ENOMEM && message->reliefs < WARP_EVICT_RELIEFS_MAX)) {
        return false;
    }
    if (message->result != WARP_MESSAGE_NEEDS_ROOM) {
        return true;
    }
    if (warp_writer_is_full(&session->db->wal->writer,
                            warp_frame_bytes(message->body_bytes),
                            message->opcode == WARP_OP_DELETE)) {
        message->result = WARP_ENOSPC;
        return true;
    }
    return false;
}

/* Is this request the owner's alone, by what the options say? */
static bool session_hands_off(const struct warp_session *session, uint32_t index)
{
    const struct warp *db = session->db;

    if (WARP_LIKELY(!db->store->mail_only && db->options.wormholes != 2)) {
        return false;
    }
    return session->sender != WARP_SENDER_NONE &&
           (db->store->mail_only || session->requests[index].message.opcode == WARP_OP_GET);
}

static bool session_try_enter(struct warp_session *session, struct warp_shard *shard)
{
    uint32_t spins;

    if (session->db->options.write_path == WARP_WRITE_LEASE && session->db->env.threads) {
        warp_shard_enter_surely(shard);
        return true;
    }
    for (spins = 0; spins < SESSION_LEASE_SPINS; spins++) {
        if (warp_shard_enter(shard)) {
            return true;
        }
        if (!session->db->env.threads) {
            return false;
        }
        warp_cpu_relax();
    }
    return false;
}

/* From the one at index on, those of a shard's list that go as one message. *next gets the one behind them;
 * returns how many they are. */
static uint32_t session_chain(struct warp_session *session, uint32_t index, uint32_t most,
                              uint32_t *next)
{
    uint32_t count = 0;

    for (;;) {
        struct session_request *request = &session->requests[index];

        request->message.waker = &session->waker;
        atomic_store_explicit(&request->message.done, 0, memory_order_relaxed);
        request->sent = true;
        *next = index = request->next;
        if (++count == most || count == SESSION_CHAIN_MAX) {
            request->message.next = NULL;
            return count;
        }
        request->message.next = &session->requests[index].message;
    }
}

/* Send what is not sent yet of a shard's list, as far as its ring takes it. */
static void session_mail(struct warp_session *session, struct warp_shard *shard)
{
    struct session_list *list = &session->waiting[shard->id];
    uint32_t index = list->first;
    uint32_t at = 0;

    if (session->sender == WARP_SENDER_NONE) {
        return;
    }
    /* Those that were sent stand before all others. */
    for (; at < session->sent[shard->id]; at++) {
        index = session->requests[index].next;
    }
    while (at < list->count) {
        uint32_t first = index;
        uint32_t count = session_chain(session, first, list->count - at, &index);

        session->mailed_shards |= UINT64_C(1) << shard->id;
        /* Before it is sent: afterwards they may be done, and are not ours meanwhile. */
        session->sent[shard->id] += count;
        if (warp_mailbox_send(&shard->mailbox, session->sender,
                              &session->requests[first].message) != 0) {
            session->sent[shard->id] -= count;
            for (; count > 0; count--) {
                session->requests[first].sent = false;
                first = session->requests[first].next;
            }
            return;
        }
        at += count;
    }
}

/* Has the first of a list stopped for its value? */
static void session_read_first(struct warp_session *session, uint32_t id)
{
    struct session_list *list = &session->waiting[id];

    /* Read already, if it could not be run since. */
    if (list->count > 0 && session->sent[id] == 0 &&
        !session->requests[list->first].reading &&
        session->requests[list->first].message.result == WARP_MESSAGE_NEEDS_VALUE &&
        session->requests[list->first].message.cold.read.rc == WARP_AGAIN) {
        session_read(session, list->first);
    }
}

/* Has the first of a list stopped for lack of memory? Then values have to leave; some milliseconds
 * go by in this rare case. */
static void session_relieve_first(struct warp_session *session, uint32_t id)
{
    struct session_list *list = &session->waiting[id];
    struct warp_message *message;

    if (list->count == 0 || session->sent[id] > 0) {
        return;
    }
    message = &session->requests[list->first].message;
    if (message->result == WARP_ENOMEM && message->reliefs < WARP_EVICT_RELIEFS_MAX) {
        struct warp_store *store = session->db->store;

        message->reliefs =
            warp_evict_relieve(store, store->shards[id], warp_message_record_bytes(message),
                               message->reliefs)
                ? message->reliefs + 1
                : WARP_EVICT_RELIEFS_MAX;
    }
}

/* Get a shard's list going: run it here if nothing of it is in the ring, else send the rest. */
static void session_push(struct warp_session *session, uint32_t id)
{
    struct warp_shard *shard = session->db->store->shards[id];
    struct session_list *list = &session->waiting[id];

    while (list->count > 0 && session->sent[id] > 0 &&
           warp_message_is_done(&session->requests[list->first].message)) {
        session_leave_list(session, id);
    }
    if (list->count == 0 || session->requests[list->first].reading) {
        return;
    }
    if (session->sent[id] == 0 && session_hands_off(session, list->first)) {
        session_mail(session, shard); /* unless no ring is to be had */
    }
    if (session->sent[id] == 0 && session_try_enter(session, shard)) {
        while (list->count > 0 &&
               session_execute(session, shard, &session->requests[list->first].message)) {
            session_leave_list(session, id);
        }
        warp_shard_leave(shard);
        session_read_first(session, id);
        session_relieve_first(session, id);
        return;
    }
    session_mail(session, shard);
    if (session_hands_off(session, list->first)) {
        warp_shard_nudge(shard);
    } else if (warp_shard_enter(shard)) {
        warp_shard_leave(shard); /* drains what we sent; nobody else might */
    }
}

/* The value of a get is here. */
static void session_finish_get(struct warp_session *session, uint32_t index)
{
    struct warp_message *message = &session->requests[index].message;
    struct warp_store *store = session->db->store;
    struct warp_coldread *cold = &message->cold;

    message->result = cold->read.rc;
    if (cold->read.rc == 0) {
        message->sequence = cold->read.sequence;
        message->result = warp_coldread_lend(store, cold, &message->borrowed);
        warp_coldread_admit(store, cold);
    }
    session_route(session, index);
}

/* What the reader has brought. A write goes on in its shard's list, a get is finished. */
static void session_take_arrived(struct warp_session *session)
{
    struct session_request *request;

    /* Relaxed look, then acquire: pairs with the exchange in session_arrive. */
    if (atomic_load_explicit(&session->arrived, memory_order_relaxed) == NULL) {
        return;
    }
    request = atomic_exchange_explicit(&session->arrived, NULL, memory_order_acquire);
    while (request != NULL) {
        struct session_request *next = request->arrived_next;

        warp_coldread_judge(&request->message.cold);
        request->reading = false;
        session->reading--;
        if (request->message.opcode == WARP_OP_GET) {
            session_finish_get(session, (uint32_t)(request - session->requests));
        }
        request = next;
    }
}

static void session_run_group(struct warp_session *session, const uint32_t *indexes,
                              uint32_t count);

/* Those behind a move set out anew. */
static __attribute__((noinline)) void session_resume(struct warp_session *session)
{
    uint32_t left = session->held.count;
    struct session_list held = session->held;

    session->held.count = 0;
    while (left > 0) {
        uint32_t indexes[SESSION_GROUP];
        uint32_t n = 0;

        while (n < SESSION_GROUP && left > 0) {
            indexes[n++] = session_take(session, &held);
            left--;
        }
        session_run_group(session, indexes, n);
    }
}

/* Everything that has become done since: out of the lists. */
static void session_collect(struct warp_session *session)
{
    struct warp *db = session->db;
    uint64_t shards;

    session_take_arrived(session);
    shards = session->waiting_shards;
    while (shards != 0) {
        session_push(session, (uint32_t)__builtin_ctzll(shards));
        shards &= shards - 1;
    }
    if (WARP_UNLIKELY(session->held.count > 0) && session->waiting_shards == 0) {
        session_resume(session); /* nothing is under way that was before them */
    }
    while (session->marked.count > 0) {
        struct warp_message *message = &session->requests[session->marked.first].message;

        if (warp_writer_durable(&db->wal->writer) < message->wait_for) {
            if (!warp_writer_failed(&db->wal->writer) ||
                warp_writer_durable(&db->wal->writer) >= message->wait_for) {
                break;
            }
            warp_get_return(&message->borrowed);
            message->result = WARP_EFAILED; /* the outcome is unknown */
        }
        session_append(session, &session->ready, session_take(session, &session->marked));
    }
}

/* ---- submitting ------------------------------------------------------------------------ */

/* Fill a request in. WARP_EINVAL: the struct itself cannot be understood. */
static int session_fill(struct warp_session *session, const struct warp_request *given,
                        uint32_t *index)
{
    struct warp_request request = WARP_REQUEST_INIT;
    struct session_request *filled;
    int rc;

    if (warp_options_copy(&request, sizeof(request), given,
                          offsetof(struct warp_request, how)) < 0 ||
        request.opcode < WARP_OP_GET || request.opcode > WARP_OP_ADD) {
        return WARP_EINVAL;
    }
    *index = session_take(session, &session->free);
    filled = &session->requests[*index];
    filled->ticket = session->tickets++;
    filled->cookie = request.cookie;
    filled->reading = false;
    filled->message.cold.open = false;
    rc = warp_call_message(session->db, request.opcode, request.key, request.value,
                           request.delta, request.how, &filled->message);
    if (rc < 0) {
        memset(&filled->message.borrowed, 0, sizeof(filled->message.borrowed));
    }
    filled->message.opcode = (uint8_t)request.opcode;
    filled->message.deadline_ns = request.deadline_ns;
    filled->message.result = rc;
    session->in_flight++;
    return 0;
}

/* Which shard it goes to; false: its slot has moved since the lists were begun. */
static bool session_place(struct warp_session *session, struct session_request *request)
{
    struct warp_store *store = session->db->store;
    uint32_t slot = request->message.slot;

    request->shard = warp_slotmap_owner(&store->slotmap, slot);
    request->message.map_version = session->map_version;
    /* Who sees the new owner sees the move. */
    return WARP_LIKELY(warp_slotmap_version(&store->slotmap) == session->map_version) ||
           atomic_load_explicit(&store->slots[slot].moved, memory_order_relaxed) <=
               session->map_version;
}

/* Gets whose value was on disk only, or (odd) had been fetched before: what is believed to be asked for
 * next is read, too. */
static void session_learn(struct warp_session *session, const uint32_t *learned,
                          uint32_t count)
{
    struct warp_store *store = session->db->store;
    uint32_t i;

    for (i = 0; i < count; i++) {
        const struct warp_message *message = &session->requests[learned[i] / 2].message;

        if (learned[i] % 2 == 0) {
            warp_prefetch_missed(store, &session->trail, message->slot, message->hash);
        } else {
            warp_prefetch_met(store, &session->trail, message->slot, message->hash);
        }
    }
}

static void session_run_shard(struct warp_session *session, uint32_t id,
                              const uint32_t *indexes, uint32_t count)
{
    struct warp_store *store = session->db->store;
    struct warp_shard *shard = store->shards[id];
    bool wormholes = session->db->options.wormholes != 2;
    bool held = false, refused = false, met = false;
    uint32_t learned[SESSION_GROUP], learned_count = 0;
    uint32_t i;

    for (i = 0; i < count; i++) {
        struct warp_message *message = &session->requests[indexes[i]].message;

        if (session->requests[indexes[i]].shard != id) {
            continue;
        }
        if (WARP_UNLIKELY(session->held.count > 0) && session->waiting[id].count == 0) {
            session_hold(session, indexes[i]); /* one before it may be there */
            continue;
        }
        if (session->waiting[id].count > 0 || refused) {
            session_wait_in_list(session, id, indexes[i]); /* behind earlier ones */
            continue;
        }
        if (message->opcode == WARP_OP_GET && WARP_LIKELY(wormholes)) {
            if (message->deadline_ns != 0 &&
                warp_clock_ns(store->env->clock) > message->deadline_ns) {
                message->result = WARP_EDEADLINE;
            } else {
                warp_epoch_enter(session->record);
                met = warp_get_message(store, message);
                warp_epoch_leave(session->record);
                if (WARP_UNLIKELY(met || message->result == WARP_MESSAGE_COLD)) {
                    learned[learned_count++] = indexes[i] * 2 + met;
                }
            }
            session_route(session, indexes[i]);
            continue;
        }
        if (!held && !session_hands_off(session, indexes[i])) {
            held = session_try_enter(session, shard);
        }
        if (held && session_execute(session, shard, message)) {
            session_route(session, indexes[i]);
        } else {
            refused = true;
            session_wait_in_list(session, id, indexes[i]);
        }
    }
    if (held) {
        warp_shard_leave(shard);
    }
    if (WARP_UNLIKELY(store->prefetch != NULL)) {
        session_learn(session, learned, learned_count);
    }
    session_read_first(session, id);
}

static void session_run_group(struct warp_session *session, const uint32_t *indexes,
                              uint32_t count)
{
    struct warp_store *store = session->db->store;
    uint64_t words[SESSION_GROUP];
    uint64_t shards = 0;
    uint32_t i;

    if (WARP_UNLIKELY(session->held.count > 0)) {
        for (i = 0; i < count; i++) {
            session_hold(session, indexes[i]);
        }
        return;
    }
    if (WARP_LIKELY(session->waiting_shards == 0)) {
        session->map_version = warp_slotmap_settled(&store->slotmap);
    }
    /* The words may be replaced meanwhile: these are but hints to the cache, inside a section so
     * that what they lead to is memory. */
    warp_epoch_enter(session->record);
    for (i = 0; i < count; i++) {
        const struct warp_message *message = &session->requests[indexes[i]].message;

        words[i] = warp_table_prefetch(&store->words[message->slot], message->hash);
        if (WARP_LIKELY(session_place(session, &session->requests[indexes[i]]))) {
            shards |= UINT64_C(1) << session->requests[indexes[i]].shard;
        } else {
            session->requests[indexes[i]].shard = SESSION_NONE;
            session_hold(session, indexes[i]);
        }
    }
    for (i = 0; i < count; i++) {
        warp_table_prefetch_record(words[i], session->requests[indexes[i]].message.hash);
    }
    warp_epoch_leave(session->record);
    while (shards != 0) {
        uint32_t id = (uint32_t)__builtin_ctzll(shards);

        shards &= shards - 1;
        session_run_shard(session, id, indexes, count);
        if (session->waiting[id].count > 0) {
            session_push(session, id);
        }
    }
}

/* Compaction lags, and all the waiting one call can do was not enough: a few at a time, with nothing
 * else in flight. How many may be taken. */
static size_t session_take_paced(struct warp_session *session, size_t count)
{
    if (WARP_LIKELY(!session->paced)) {
        return count;
    }
    if (session->in_flight > 0) {
        session_collect(session);
        return 0;
    }
    session->paced = warp_call_pace(session->db, 0, SESSION_PACE_NS_MAX) > 0;
    return !session->paced || count < SESSION_GROUP ? count : SESSION_GROUP;
}

int warp_async_submit(struct warp_session *session, const struct warp_request *requests,
                      size_t count)
{
    uint64_t log_bytes = 0;
    size_t taken = 0;
    int rc = 0;

    count = session_take_paced(session, count);
    while (taken < count && session->free.count > 0 && rc == 0) {
        uint32_t indexes[SESSION_GROUP];
        uint32_t n = 0;

        /* While requests wait for room there is no use in taking more of them. */
        if (session->waiting_shards != 0 || session->held.count > 0) {
            session_collect(session);
            if ((session->waiting_shards != 0 || session->held.count > 0) &&
                session->in_flight > session->depth / 2 &&
                session->in_flight > SESSION_GROUP) {
                break;
            }
        }
        while (n < SESSION_GROUP && taken < count && session->free.count > 0) {
            uint32_t index;

            rc = session_fill(session, &requests[taken], &index);
            if (rc < 0) {
                break;
            }
            taken++;
            if (session->requests[index].message.result < 0) {
                session_append(session, &session->ready, index);
            } else if (session->db->read_only &&
                       session->requests[index].message.opcode != WARP_OP_GET) {
                session->requests[index].message.result = WARP_EREADONLY;
                session_append(session, &session->ready, index);
            } else {
                const struct warp_message *message = &session->requests[index].message;

                if (message->opcode != WARP_OP_GET) {
                    log_bytes += warp_frame_bytes(message->body_bytes);
                }
                indexes[n++] = index;
            }
        }
        if (n > 0) {
            session_run_group(session, indexes, n);
        }
    }
    if (atomic_load_explicit(&session->fd, memory_order_relaxed) >= 0) {
        session_ask(session); /* the next poll comes only when the descriptor says so */
    }
    session_arm(session);
    if (log_bytes > 0) {
        session->paced = warp_call_pace(session->db, log_bytes, SESSION_PACE_NS_MAX) > 0;
    }
    return taken > 0 ? (int)taken : rc;
}

/* ---- polling --------------------------------------------------------------------------- */

static int session_deliver(struct warp_session *session, struct warp_completion *out,
                           size_t count)
{
    size_t n = 0;

    while (n < count && session->ready.count > 0) {
        uint32_t index = session_take(session, &session->ready);
        struct session_request *request = &session->requests[index];
        struct warp_message *message = &request->message;

        out[n].cookie = request->cookie;
        out[n].result = message->result;
        out[n].opcode = message->opcode;
        out[n].sequence = message->result == 0 ? message->sequence : 0;
        out[n].number = message->result == 0 ? message->number : 0;
        out[n].value = message->borrowed;
        session_append(session, &session->free, index);
        session->in_flight--;
        n++;
    }
    return (int)n;
}

/* Sleep until the reader brings something, a millisecond at most, because other lists may move too. */
static void session_wait_for_reader(struct warp_session *session, uint64_t left_ns)
{
    uint32_t round = 0;
    bool paid;

    session_ask(session);
    if (!session->db->env.threads) {
        session->db->env.wait(session->db->env.context);
        return;
    }
    do {
        paid = atomic_load_explicit(&session->arrived, memory_order_relaxed) != NULL;
    } while (!paid && warp_spin_once(&session->spin, &round));
    warp_spin_result(&session->spin, paid);
    if (paid) {
        return;
    }
    /* seq_cst, with the push before the notifier's exchange: one of us sees the other. */
    atomic_store_explicit(&session->word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&session->arrived, memory_order_seq_cst) == NULL) {
        (void)warp_park(&session->word, 1, left_ns < 1000000 ? left_ns : 1000000,
                        UINT32_MAX);
    }
    atomic_store_explicit(&session->word, 0, memory_order_relaxed);
}

/* Nothing is ready: help along what we wait for, or sleep until somebody does. */
static void session_wait(struct warp_session *session, uint64_t left_ns)
{
    struct warp *db = session->db;
    uint32_t round = 0;
    uint32_t id;

    if (session->reading > 0) {
        session_wait_for_reader(session, left_ns);
        return;
    }
    if (session->waiting_shards == 0 && session->held.count > 0) {
        /* Its slot has moved again just now. */
        if (!db->env.threads) {
            db->env.wait(db->env.context);
        } else {
            warp_thread_yield();
        }
        return;
    }
    if (session->waiting_shards == 0) {
        (void)warp_writer_wait(&db->wal->writer,
                               session->requests[session->marked.first].message.wait_for,
                               left_ns);
        return;
    }
    id = (uint32_t)__builtin_ctzll(session->waiting_shards);
    if (session->sent[id] == 0) {
        /* It waits for room in the log, or for a lease that is never free when we look. */
        const struct warp_message *message =
            &session->requests[session->waiting[id].first].message;

        /* A log that has failed makes no room, at once; what waits for it still needs the lease, to be
         * told so. */
        if (session_lacks_room(session, message) &&
            warp_writer_make_room(&db->wal->writer, warp_frame_bytes(message->body_bytes),
                                  message->opcode == WARP_OP_DELETE,
                                  left_ns < SESSION_ROOM_NS ? left_ns : SESSION_ROOM_NS) >=
                0) {
            return;
        }
        if (!db->env.threads) {
            db->env.wait(db->env.context);
        } else {
            warp_thread_yield();
        }
        return;
    }
    if (!db->env.threads) {
        db->env.wait(db->env.context);
        return;
    }
    while (warp_spin_once(&session->spin, &round)) {
        if (warp_message_is_done(&session->requests[session->waiting[id].first].message)) {
            warp_spin_result(&session->spin, true);
            return;
        }
    }
    warp_spin_result(&session->spin, false);
    /* seq_cst, with the notifier's exchange after done: one of us sees the other. */
    atomic_store_explicit(&session->word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&session->requests[session->waiting[id].first].message.done,
                             memory_order_seq_cst) == 0) {
        /* A millisecond at most, because other lists may move too. */
        (void)warp_park(&session->word, 1, left_ns < 1000000 ? left_ns : 1000000,
                        UINT32_MAX);
    }
    atomic_store_explicit(&session->word, 0, memory_order_relaxed);
}

int warp_async_poll(struct warp_session *session, struct warp_completion *out, size_t count,
                    uint64_t timeout_ns)
{
    const struct warp_clock *clock = session->db->env.clock;
    uint64_t deadline_ns = UINT64_MAX;
    int n;

    if (timeout_ns != 0 && timeout_ns != UINT64_MAX) {
        deadline_ns = warp_clock_ns(clock) + timeout_ns;
    }
    for (;;) {
        uint64_t left_ns = UINT64_MAX;

        session_collect(session);
        n = session_deliver(session, out, count);
        if (n > 0 || session->in_flight == 0 || timeout_ns == 0 || count == 0) {
            break;
        }
        if (deadline_ns != UINT64_MAX) {
            uint64_t now_ns = warp_clock_ns(clock);

            if (now_ns >= deadline_ns) {
                break;
            }
            left_ns = deadline_ns - now_ns;
        }
        session_wait(session, left_ns);
    }
    if (n == 0) {
        int fd = atomic_load_explicit(&session->fd, memory_order_relaxed);
        uint64_t count_read;

        if (fd >= 0) {
            ssize_t ignored = read(fd, &count_read, sizeof(count_read));

            (void)ignored;
            /* What came between our look and the read has rung for nothing: look again. */
            session_collect(session);
        }
        session_ask(session);
    }
    session_arm(session);
    return n;
}

/* ---- making and unmaking --------------------------------------------------------------- */

int warp_async_create(struct warp *db, uint32_t depth, struct warp_session **session)
{
    struct warp_session *made;
    uint32_t i;
    int rc;

    made = warp_memory_reserve(&db->memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->requests =
        warp_memory_reserve(&db->memory, depth * sizeof(*made->requests), WARP_CACHELINE);
    if (made->requests == NULL) {
        rc = WARP_ENOMEM;
        goto fail_requests;
    }
    rc = warp_epoch_register(db->epoch, &made->record);
    if (rc < 0) {
        rc = WARP_ENOMEM;
        goto fail_record;
    }
    made->db = db;
    made->depth = depth;
    made->sender = warp_callers_take_sender(&db->callers);
    made->waker.notify = session_notify;
    made->watch.fire = session_fire;
    made->room_watch.fire = session_fire_room;
    made->room_watch.room = true;
    atomic_init(&made->fd, -1);
    warp_spin_init(&made->spin, db->options.spin_us);
    for (i = 0; i < depth; i++) {
        session_append(made, &made->free, i);
    }
    atomic_fetch_add_explicit(&db->sessions, 1, memory_order_relaxed);
    *session = made;
    return 0;

fail_record:
    warp_memory_release(&db->memory, made->requests, depth * sizeof(*made->requests));
fail_requests:
    warp_memory_release(&db->memory, made, sizeof(*made));
    return rc;
}

void warp_async_destroy(struct warp_session **session)
{
    struct warp_session *one = *session;
    struct warp *db = one->db;
    int fd = atomic_load_explicit(&one->fd, memory_order_relaxed);
    uint64_t shards = one->mailed_shards;
    struct warp_completion completion;

    while (one->in_flight > 0) {
        if (warp_async_poll(one, &completion, 1, UINT64_MAX) == 1) {
            warp_get_return(&completion.value);
        }
    }
    /* A holder may still be inside notify for a message that we saw done: it does so under the
     * lease. */
    while (shards != 0) {
        struct warp_shard *shard = db->store->shards[__builtin_ctzll(shards)];

        shards &= shards - 1;
        warp_shard_enter_surely(shard);
        warp_shard_leave(shard);
    }
    /* Nor may the reader: all it was to bring has been taken, but it may still be ringing. Acquire:
     * pairs with the release in session_arrive. */
    while (atomic_load_explicit(&one->reader_inside, memory_order_acquire) != 0) {
        warp_thread_yield();
    }
    if (db->wal != NULL) {
        warp_writer_unwatch(&db->wal->writer, &one->watch);
        warp_writer_unwatch(&db->wal->writer, &one->room_watch);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    warp_callers_give_sender(&db->callers, one->sender);
    warp_epoch_unregister(&one->record);
    warp_memory_release(&db->memory, one->requests, one->depth * sizeof(*one->requests));
    warp_memory_release(&db->memory, one, sizeof(*one));
    atomic_fetch_sub_explicit(&db->sessions, 1, memory_order_relaxed);
    *session = NULL;
}

int warp_async_fd(struct warp_session *session)
{
    int fd = atomic_load_explicit(&session->fd, memory_order_relaxed);

    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            return WARP_ESYSTEM;
        }
        /* Release: pairs with the acquire in session_ring_fd. */
        atomic_store_explicit(&session->fd, fd, memory_order_release);
        session_collect(session);
        session_arm(session);
        if (session->in_flight > 0) {
            /* Somebody may have answered meanwhile, and seen no descriptor yet. */
            session_ring_fd(session);
        }
    }
    return fd;
}
