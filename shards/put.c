#include "shards/put.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/counter.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "shards/evict.h"
#include "shards/expire.h"
#include "shards/get.h"

/* What a single write may take out of use: its record, an array, a directory, and one to spare. */
#define PUT_RETIRES_MAX 4u

static void put_count_expiry(struct warp_shard *shard, uint32_t slot,
                             const struct warp_record *record)
{
    struct warp_slot *state = &shard->store->slots[slot];
    uint64_t expires_at_ms;

    if (WARP_LIKELY(!warp_record_has_expiry(record))) {
        return;
    }
    expires_at_ms = warp_record_expires_at_ms(record);
    if (expires_at_ms < state->due_ms) {
        warp_expire_note(shard, slot, record, expires_at_ms);
    }
    warp_shard_disturb(shard);
}

static void put_count_in(struct warp_shard *shard, uint32_t slot,
                         const struct warp_record *record)
{
    struct warp_slot *state = &shard->store->slots[slot];
    uint64_t bytes = warp_slab_round(warp_record_bytes_of(record));

    state->records++;
    state->bytes += bytes;
    warp_counter_add(&shard->counters.records, 1);
    warp_counter_add(&shard->counters.record_bytes, bytes);
    if (warp_record_is_cold(record)) {
        state->cold_records++;
        warp_counter_add(&shard->counters.cold_records, 1);
    }
    put_count_expiry(shard, slot, record);
}

static void put_count_out(struct warp_shard *shard, uint32_t slot,
                          const struct warp_record *record)
{
    struct warp_slot *state = &shard->store->slots[slot];
    uint64_t bytes = warp_slab_round(warp_record_bytes_of(record));

    warp_assert(state->records > 0);
    state->records--;
    state->bytes -= bytes;
    warp_counter_add(&shard->counters.records, UINT64_MAX);
    warp_counter_add(&shard->counters.record_bytes, (uint64_t)0 - bytes);
    if (warp_record_is_cold(record)) {
        state->cold_records--;
        warp_counter_add(&shard->counters.cold_records, UINT64_MAX);
    }
}

/* Most updates change nothing that is counted. */
static void put_count_replace(struct warp_shard *shard, uint32_t slot,
                              const struct warp_record *fresh,
                              const struct warp_record *old)
{
    if (WARP_LIKELY(warp_record_is_cold(fresh) == warp_record_is_cold(old) &&
                    warp_slab_round(warp_record_bytes_of(fresh)) ==
                        warp_slab_round(warp_record_bytes_of(old)))) {
        put_count_expiry(shard, slot, fresh);
    } else {
        put_count_out(shard, slot, old);
        put_count_in(shard, slot, fresh);
    }
}

static void put_retire(struct warp_shard *shard, struct warp_record *record)
{
    warp_limbo_retire_record(&shard->limbo, record);
    warp_shard_disturb(shard);
}

static const struct warp_record *put_resident(const struct warp_record *record)
{
    return record == NULL || warp_record_is_cold(record) ? NULL : record;
}

/* The policy hears of a resident record that takes the place of old, or of nothing. */
static void put_note(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                     struct warp_record *fresh, struct warp_record *old)
{
    int standing = old != NULL && warp_record_is_cold(old) ? warp_record_wished(old) : -1;

    if (put_resident(old) != NULL) {
        warp_evict_unasked(shard, old);
    }
    /* What nobody has asked for begins in the small queue, whatever the ghost says. */
    standing = standing < 0 && warp_record_is_fetched(fresh) ? 0 : standing;
    if (WARP_UNLIKELY(standing >= 0)) {
        warp_evict_note_again(shard, slot, hash, fresh, (uint8_t)standing);
    } else {
        warp_evict_note(shard, slot, hash, fresh, put_resident(old));
    }
}

static void put_publish(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                        struct warp_record *fresh, struct warp_record *old,
                        _Atomic uint64_t *place)
{
    struct warp_store *store = shard->store;

    if (!warp_record_is_cold(fresh)) {
        put_note(shard, slot, hash, fresh, old);
    } else {
        warp_assert(put_resident(old) == NULL); /* a recovered one, beside no other */
    }
    warp_ledger_in(&shard->ledger, fresh);
    if (old != NULL) {
        warp_table_replace(place, hash, fresh);
        warp_ledger_out(&shard->ledger, old);
        put_count_replace(shard, slot, fresh, old);
        put_retire(shard, old);
    } else {
        warp_table_insert(&store->words[slot], &store->slots[slot].count, hash, fresh);
        put_count_in(shard, slot, fresh);
    }
}

static void put_unpublish(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                          struct warp_record *old, _Atomic uint64_t *place)
{
    struct warp_store *store = shard->store;

    warp_table_remove(&store->words[slot], &store->slots[slot].count, hash, place);
    if (!warp_record_is_cold(old)) {
        warp_evict_forget(shard, old); /* no look finds it any more */
    }
    warp_ledger_out(&shard->ledger, old);
    put_count_out(shard, slot, old);
    put_retire(shard, old);
}

/* The table of the ledger that is replaced is worth a tick of the shard's thread. */
static int put_reserve_ledger(struct warp_shard *shard, uint64_t entry_bytes)
{
    uint64_t before = warp_counter_read(&shard->limbo.pending_items);
    int rc = warp_ledger_reserve(&shard->ledger, entry_bytes);

    if (WARP_UNLIKELY(before != warp_counter_read(&shard->limbo.pending_items))) {
        warp_shard_disturb(shard);
    }
    return rc;
}

int warp_put_reserve_exchange(struct warp_shard *shard)
{
    int rc = put_reserve_ledger(shard, 0);

    rc = rc < 0 ? rc : warp_limbo_reserve(&shard->limbo, 1);
    return rc < 0 ? rc : warp_horizon_reserve(&shard->horizon, 1);
}

void warp_put_exchange(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                       struct warp_record *fresh, struct warp_record *old,
                       _Atomic uint64_t *place)
{
    warp_shard_assert_owner(shard);
    if (!warp_record_is_cold(fresh)) {
        if (warp_record_is_cold(old)) {
            put_note(shard, slot, hash, fresh, old);
        } else {
            /* Only its place has changed. */
            if (WARP_UNLIKELY(warp_record_unmark(old))) {
                warp_record_mark_fetched(fresh);
                warp_prefetch_resized(shard->store,
                                      warp_slab_round(warp_record_bytes_of(old)),
                                      warp_slab_round(warp_record_bytes_of(fresh)));
            }
            warp_horizon_resize(&shard->horizon, warp_record_queue(old),
                                warp_slab_round(warp_record_bytes_of(old)),
                                warp_slab_round(warp_record_bytes_of(fresh)));
            warp_record_set_heat(fresh, warp_record_hits(old), warp_record_queue(old));
        }
    } else if (!warp_record_is_cold(old)) {
        warp_evict_unasked(shard, old);
    } else if (warp_record_wished(old) >= 0) {
        warp_record_wish(fresh, (uint8_t)warp_record_wished(old));
    }
    if (warp_record_place(fresh) != warp_record_place(old)) {
        warp_ledger_in(&shard->ledger, fresh);
        warp_ledger_out(&shard->ledger, old);
    }
    warp_table_replace(place, hash, fresh);
    put_count_out(shard, slot, old);
    put_retire(shard, old);
    put_count_in(shard, slot, fresh);
}

void warp_put_drop(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                   struct warp_record *record, _Atomic uint64_t *place)
{
    _Atomic uint64_t *removed = &shard->store->slots[slot].removed_sequence;

    warp_shard_assert_owner(shard);
    /* A reader that finds nothing any more has seen this record's end: a power cut that took the
     * record back would bring an older one to light. Release: pairs with warp_get_find. */
    if (warp_record_sequence(record) >
        atomic_load_explicit(removed, memory_order_relaxed)) {
        atomic_store_explicit(removed, warp_record_sequence(record), memory_order_release);
    }
    put_unpublish(shard, slot, hash, record, place);
}

struct warp_record *warp_put_make(struct warp_shard *shard, struct warp_slice key,
                                  struct warp_slice value, uint64_t expires_at_ms,
                                  bool in_batch)
{
    const struct warp_record_content content = {
        .key = key, .value = value, .expires_at_ms = expires_at_ms, .in_batch = in_batch};

    return warp_evict_make(shard, &content);
}

int warp_put_prepare(struct warp_shard *shard, uint32_t slot, uint64_t hash, bool exists,
                     bool reserve, uint64_t entry_bytes)
{
    struct warp_store *store = shard->store;
    uint64_t before;
    int rc;

    warp_shard_assert_owner(shard);
    rc = put_reserve_ledger(shard, entry_bytes);
    before = warp_counter_read(&shard->limbo.pending_items);
    if (rc == 0) {
        rc = warp_limbo_reserve(&shard->limbo, PUT_RETIRES_MAX);
    }
    if (rc == 0) {
        rc = warp_horizon_reserve(&shard->horizon, 1);
    }
    if (rc < 0) {
        return rc;
    }
    if (exists) {
        return 0; /* its place must not move */
    }
    if (WARP_UNLIKELY(warp_env_chance(store->env, WARP_CHANCE_GROW_EARLY))) {
        rc =
            warp_table_renew(&store->words[slot], &store->slots[slot].count, &shard->limbo);
        if (rc < 0) {
            return rc;
        }
    }
    rc = warp_table_prepare(&store->words[slot], &store->slots[slot].count, &shard->limbo,
                            hash, store->hash_seed, reserve);
    /* Growing retires what it replaces; the first array of a slot replaces nothing. */
    if (WARP_UNLIKELY(before != warp_counter_read(&shard->limbo.pending_items))) {
        store->slots[slot].growths++;
        warp_counter_add(&shard->counters.table_growths, 1);
        warp_shard_disturb(shard);
    }
    return rc;
}

void warp_put_apply(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                    struct warp_slice key, struct warp_record *fresh, uint64_t sequence)
{
    struct warp_store *store = shard->store;
    _Atomic uint64_t *place = NULL;
    struct warp_record *old;

    warp_shard_assert_owner(shard);
    old = warp_table_find_in(warp_table_resolve(&store->words[slot], hash), hash, key.data,
                             key.bytes, &place);
    if (fresh != NULL) {
        fresh->word = sequence;
        put_publish(shard, slot, hash, fresh, old, place);
    } else {
        /* Release: a reader that finds nothing learns how far it has to wait. */
        atomic_store_explicit(&store->slots[slot].removed_sequence, sequence,
                              memory_order_release);
        if (old != NULL) {
            put_unpublish(shard, slot, hash, old, place);
        }
    }
}

/* The live record of a key as a write sees it. */
struct put_live {
    const struct warp_record *record; /* NULL: there is none */
    const void *value;                /* only where it was needed, if the record is cold */
    uint32_t value_bytes;
    uint64_t sequence;
};

static bool put_condition_holds(const struct warp_message *message,
                                const struct put_live *live)
{
    switch ((enum warp_condition)message->condition) {
    case WARP_IF_ANY:
        return true;
    case WARP_IF_ABSENT:
        return live->record == NULL;
    case WARP_IF_PRESENT:
        return live->record != NULL;
    case WARP_IF_SEQUENCE:
        return live->record != NULL && live->sequence == message->if_sequence;
    case WARP_IF_VALUE:
        return live->record != NULL && live->value_bytes == message->if_value.bytes &&
               (live->value_bytes == 0 ||
                memcmp(live->value, message->if_value.data, live->value_bytes) == 0);
    }
    return false;
}

/* Does the write depend on what only the disk knows? */
static bool put_needs_value(const struct warp_message *message,
                            const struct warp_record *record)
{
    if (!warp_record_is_cold(record)) {
        return false;
    }
    return message->opcode == WARP_OP_ADD ||
           (message->condition == WARP_IF_SEQUENCE && warp_record_sequence(record) == 0) ||
           (message->condition == WARP_IF_VALUE && message->if_value.bytes > 0 &&
            warp_record_value_bytes(record) == message->if_value.bytes);
}

/* Fill in *live; false: message->result says why not, WARP_MESSAGE_NEEDS_VALUE or an error. */
static bool put_look(struct warp_shard *shard, struct warp_message *message,
                     const struct warp_record *record, struct put_live *live)
{
    struct warp_coldread *cold = &message->cold;

    live->record = record;
    live->value = NULL;
    live->value_bytes = 0;
    live->sequence = 0;
    if (record == NULL) {
        return true;
    }
    live->value_bytes = warp_record_value_bytes(record);
    live->sequence = warp_record_sequence(record);
    if (!warp_record_is_cold(record)) {
        live->value = warp_record_value(record);
        return true;
    }
    if (!put_needs_value(message, record)) {
        return true;
    }
    message->result = WARP_MESSAGE_NEEDS_VALUE;
    if (cold->open && cold->read.place == warp_record_place(record)) {
        if (cold->read.rc == WARP_AGAIN) {
            return false; /* begun, not read yet */
        }
        if (cold->read.rc < 0) {
            message->result = cold->read.rc;
            return false;
        }
        live->value = cold->read.value;
        live->sequence = cold->read.sequence;
        return true;
    }
    warp_coldread_end(shard->store, cold);
    warp_coldread_begin(shard->store, cold, message->slot, message->hash, message->key,
                        record);
    return false;
}

/* A signed decimal 64-bit number and nothing else. */
static int put_parse_number(const uint8_t *text, uint32_t bytes, int64_t *out)
{
    bool negative = bytes > 0 && text[0] == '-';
    uint32_t at = negative ? 1 : 0;
    int64_t number = 0;

    if (at == bytes || bytes > 20) {
        return WARP_ENUMBER;
    }
    for (; at < bytes; at++) {
        int digit = text[at] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            (negative ? __builtin_sub_overflow(number, digit, &number)
                      : __builtin_add_overflow(number, digit, &number))) {
            return WARP_ENUMBER;
        }
    }
    *out = number;
    return 0;
}

/* Turn an add into the put of its sum. text must live as long as the message is worked on. */
static int put_add(struct warp_message *message, const struct put_live *live, char *text,
                   size_t text_bytes)
{
    struct warp_entry entry;
    int64_t number = 0;
    uint64_t expires_at_ms = message->expires_at_ms;
    int rc;

    if (live->record != NULL) {
        rc = put_parse_number(live->value, live->value_bytes, &number);
        if (rc < 0) {
            return rc;
        }
        if (expires_at_ms == 0) {
            expires_at_ms = warp_record_expires_at_ms(live->record);
        }
    }
    if (__builtin_add_overflow(number, message->delta, &number)) {
        return WARP_ERANGE;
    }
    message->number = number;
    message->value.data = text;
    message->value.bytes = (size_t)snprintf(text, text_bytes, "%lld", (long long)number);
    entry.kind = WARP_ENTRY_PUT;
    entry.flags = expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0;
    entry.key = message->key.data;
    entry.key_bytes = (uint32_t)message->key.bytes;
    entry.value = text;
    entry.value_bytes = (uint32_t)message->value.bytes;
    entry.expires_at_ms = expires_at_ms;
    message->expires_at_ms = expires_at_ms;
    message->header_bytes = (uint8_t)warp_entry_encode_header(message->header, &entry);
    message->body_bytes =
        message->header_bytes + (uint32_t)(message->key.bytes + message->value.bytes);
    message->body_crc = warp_crc32c(0, message->header, message->header_bytes);
    message->body_crc =
        warp_crc32c(message->body_crc, message->key.data, message->key.bytes);
    message->body_crc =
        warp_crc32c(message->body_crc, message->value.data, message->value.bytes);
    return 0;
}

/* The answer shows what is there now, if only that its time has passed: a durable reader must not
 * hear of it too early. */
static void put_answer_state(struct warp_shard *shard, struct warp_message *message,
                             int result, const struct warp_record *seen)
{
    message->result = result;
    message->wait_for =
        seen != NULL
            ? warp_record_wait_for(seen)
            : 1 + atomic_load_explicit(&shard->store->slots[message->slot].removed_sequence,
                                       memory_order_relaxed);
}

static void put_write(struct warp_shard *shard, struct warp_message *message)
{
    struct warp_store *store = shard->store;
    bool is_delete = message->opcode == WARP_OP_DELETE;
    _Atomic uint64_t *place = NULL;
    struct warp_record *old, *fresh = NULL;
    struct put_live live;
    struct warp_slice parts[3];
    uint64_t asked_expiry = message->expires_at_ms;
    uint64_t position, end;
    uint32_t part_count;
    char text[24];
    int rc;

    if (!is_delete) {
        /* First of all: it may replace the very record that is looked for below. */
        warp_evict_make_room(shard, warp_message_record_bytes(message));
    }
    old =
        warp_table_find_in(warp_table_resolve(&store->words[message->slot], message->hash),
                           message->hash, message->key.data, message->key.bytes, &place);
    if (!put_look(shard, message,
                  old != NULL && warp_record_is_expired(store, old) ? NULL : old, &live)) {
        return;
    }
    if (!put_condition_holds(message, &live)) {
        warp_counter_add(&shard->counters.conflicts, 1);
        put_answer_state(shard, message, WARP_CONFLICT, old);
        return;
    }
    if (is_delete && live.record == NULL) {
        put_answer_state(shard, message, WARP_ABSENT, old);
        return;
    }
    if (message->opcode == WARP_OP_ADD) {
        rc = put_add(message, &live, text, sizeof(text));
        if (rc < 0) {
            put_answer_state(shard, message, rc, old);
            return;
        }
    }
    if (!warp_wal_has_room(store->wal, message->body_bytes, is_delete)) {
        message->expires_at_ms = asked_expiry;
        message->result = WARP_MESSAGE_NEEDS_ROOM;
        return;
    }
    rc = WARP_UNLIKELY(shard->ledger.mixed && old != NULL)
             ? warp_ledger_reserve_out(&shard->ledger, message->body_bytes, old)
             : 0;
    if (rc == 0) {
        rc = warp_put_prepare(shard, message->slot, message->hash, old != NULL, false,
                              message->body_bytes);
    }
    if (rc == 0 && !is_delete) {
        fresh = warp_put_make(shard, message->key, message->value, message->expires_at_ms,
                              false);
        rc = fresh == NULL ? WARP_ENOMEM : 0;
    }
    if (rc < 0) {
        message->result = rc;
        return;
    }
    parts[0].data = message->header;
    parts[0].bytes = message->header_bytes;
    parts[1] = message->key;
    part_count = 2;
    if (message->value.bytes > 0 && !is_delete) {
        parts[2] = message->value;
        part_count = 3;
    }
    rc =
        warp_wal_append(store->wal, shard->id, WARP_FRAME_RECORD, parts, part_count,
                        message->body_bytes, message->body_crc, is_delete, &position, &end);
    if (rc != 0) {
        if (fresh != NULL) {
            warp_slab_release(&shard->limbo.pool, fresh, warp_record_bytes_of(fresh));
        }
        message->expires_at_ms = asked_expiry;
        message->result = rc == WARP_AGAIN ? WARP_MESSAGE_NEEDS_ROOM : rc;
        return;
    }
    message->sequence = position + WARP_FRAME_HEADER_BYTES;
    message->wait_for = message->level == WARP_COMMIT ? end : 0;
    message->result = 0;
    if (is_delete) {
        /* Release: a reader that finds nothing learns how far it has to wait. */
        atomic_store_explicit(&store->slots[message->slot].removed_sequence,
                              message->sequence, memory_order_release);
        put_unpublish(shard, message->slot, message->hash, old, place);
        warp_counter_add(&shard->counters.deletes, 1);
    } else {
        fresh->word = message->sequence;
        put_publish(shard, message->slot, message->hash, fresh, old, place);
        if (message->opcode == WARP_OP_ADD) {
            warp_counter_add(&shard->counters.adds, 1);
        } else {
            warp_counter_add(&shard->counters.puts, 1);
        }
    }
    warp_writer_note(&store->wal->writer, end, message->level == WARP_INTERVAL);
}

/* Is the message with its slot's owner? Coming home does not count while messages of the same asker may
 * have been sent on: those before it would be overtaken. */
static bool put_is_here(const struct warp_shard *shard, const struct warp_message *message)
{
    const struct warp_store *store = shard->store;

    return warp_slotmap_owner(&store->slotmap, message->slot) == shard->id &&
           atomic_load_explicit(&store->slots[message->slot].moved, memory_order_relaxed) <=
               message->map_version;
}

static void put_execute(struct warp_shard *shard, struct warp_message *message)
{
    struct warp_store *store = shard->store;

    message->wait_for = 0;
    if (message->deadline_ns != 0 &&
        warp_clock_ns(store->env->clock) > message->deadline_ns) {
        message->result = WARP_EDEADLINE;
        return;
    }
    if (message->opcode == WARP_OP_GET) {
        /* The holder is the only one to retire what is here, so it needs no epoch section. */
        (void)warp_get_message(store, message);
        return;
    }
    if (store->read_only) {
        message->result = WARP_EREADONLY;
        return;
    }
    if (warp_writer_failed(&store->wal->writer)) {
        message->result = WARP_EFAILED;
        return;
    }
    put_write(shard, message);
    if (message->opcode == WARP_OP_ADD) {
        /* It pointed at the text of the sum, in a frame of ours that is gone. */
        message->value.data = NULL;
        message->value.bytes = 0;
    }
}

void warp_put_execute(struct warp_shard *shard, struct warp_message *message)
{
    struct warp_store *store = shard->store;
    struct warp_slot *slot;
    uint64_t begun, bytes;

    warp_shard_assert_owner(shard);
    if (WARP_UNLIKELY(!put_is_here(shard, message)) && !WARP_PLANTED(MOVE_BLIND)) {
        message->result = WARP_MESSAGE_MOVED;
        atomic_fetch_add_explicit(&store->moving.bounced, 1, memory_order_relaxed);
        return;
    }
    if (WARP_LIKELY(!warp_mass_due(&store->mass, &shard->sampler))) {
        put_execute(shard, message);
        return;
    }
    slot = &store->slots[message->slot];
    bytes = message->key.bytes + message->value.bytes;
    /* Most updates leave this line alone: let it come while the operation waits for others. */
    __builtin_prefetch(&slot->mass, 1);
    begun = warp_clock_ticks(store->env->clock);
    put_execute(shard, message);
    warp_mass_add(&shard->sampler, &slot->mass,
                  (int64_t)(warp_clock_ticks(store->env->clock) - begun), bytes,
                  slot->bytes);
}
