#include "shards/put.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/counter.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "shards/get.h"

/* What a single write may take out of use: its record, an array, a directory, and one to spare. */
#define PUT_RETIRES_MAX 4u

static void put_count_in(struct warp_shard *shard, uint32_t slot,
                         const struct warp_record *record)
{
    struct warp_slot *state = &shard->store->slots[slot];
    uint64_t bytes = warp_slab_round(warp_record_bytes_of(record));

    state->records++;
    state->bytes += bytes;
    warp_counter_add(&shard->counters.records, 1);
    warp_counter_add(&shard->counters.record_bytes, bytes);
    if (WARP_UNLIKELY(warp_record_has_expiry(record))) {
        uint64_t expires_at_ms = warp_record_expires_at_ms(record);

        if (expires_at_ms < state->earliest_expiry_ms) {
            state->earliest_expiry_ms = expires_at_ms;
        }
        if (expires_at_ms < shard->earliest_expiry_ms) {
            shard->earliest_expiry_ms = expires_at_ms;
        }
        warp_shard_disturb(shard);
    }
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
}

static void put_retire(struct warp_shard *shard, struct warp_record *record)
{
    warp_limbo_retire_record(&shard->limbo, record);
    warp_shard_disturb(shard);
}

static void put_publish(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                        struct warp_record *fresh, struct warp_record *old,
                        _Atomic uint64_t *place)
{
    struct warp_store *store = shard->store;

    if (old != NULL) {
        warp_table_replace(place, hash, fresh);
        put_count_out(shard, slot, old);
        put_retire(shard, old);
    } else {
        warp_table_insert(&store->words[slot], &store->slots[slot].count, hash, fresh);
    }
    put_count_in(shard, slot, fresh);
}

static void put_unpublish(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                          struct warp_record *old, _Atomic uint64_t *place)
{
    struct warp_store *store = shard->store;

    warp_table_remove(&store->words[slot], &store->slots[slot].count, hash, place);
    put_count_out(shard, slot, old);
    put_retire(shard, old);
}

void warp_put_drop(struct warp_shard *shard, uint32_t slot, uint64_t hash,
                   struct warp_record *record, _Atomic uint64_t *place)
{
    _Atomic uint64_t *removed = &shard->store->slots[slot].removed_sequence;

    warp_shard_assert_owner(shard);
    /* A reader that finds nothing any more has seen this record's end: a power cut that took the
     * record back would bring an older one to light. Release: pairs with warp_get_find. */
    if (record->sequence > atomic_load_explicit(removed, memory_order_relaxed)) {
        atomic_store_explicit(removed, record->sequence, memory_order_release);
    }
    put_unpublish(shard, slot, hash, record, place);
}

struct warp_record *warp_put_make(struct warp_shard *shard, struct warp_slice key,
                                  struct warp_slice value, uint64_t expires_at_ms)
{
    struct warp_slab_pool *pool = &shard->limbo.pool;
    size_t bytes =
        warp_record_bytes((uint32_t)key.bytes, (uint32_t)value.bytes, expires_at_ms != 0);
    struct warp_record *record;

    /* What the pool holds and has free counts as there to be used. */
    if (WARP_UNLIKELY(warp_memory_bytes(shard->store->memory) + bytes >
                      shard->store->memory_bytes_max + warp_slab_bytes_held(pool) -
                          warp_slab_bytes_used(pool))) {
        return NULL;
    }
    record = warp_slab_reserve(pool, bytes);
    if (record != NULL) {
        warp_record_fill(record, 0, key, value, expires_at_ms);
    }
    return record;
}

int warp_put_prepare(struct warp_shard *shard, uint32_t slot, uint64_t hash, bool exists,
                     bool reserve)
{
    struct warp_store *store = shard->store;
    uint64_t before = warp_counter_read(&shard->limbo.pending_items);
    int rc;

    warp_shard_assert_owner(shard);
    rc = warp_limbo_reserve(&shard->limbo, PUT_RETIRES_MAX);
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
        fresh->sequence = sequence;
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

static bool put_condition_holds(const struct warp_message *message,
                                const struct warp_record *live)
{
    switch ((enum warp_condition)message->condition) {
    case WARP_IF_ANY:
        return true;
    case WARP_IF_ABSENT:
        return live == NULL;
    case WARP_IF_PRESENT:
        return live != NULL;
    case WARP_IF_SEQUENCE:
        return live != NULL && live->sequence == message->if_sequence;
    case WARP_IF_VALUE:
        return live != NULL && warp_record_value_bytes(live) == message->if_value.bytes &&
               (message->if_value.bytes == 0 ||
                memcmp(warp_record_value(live), message->if_value.data,
                       message->if_value.bytes) == 0);
    }
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
static int put_add(struct warp_message *message, const struct warp_record *live, char *text,
                   size_t text_bytes)
{
    struct warp_entry entry;
    int64_t number = 0;
    uint64_t expires_at_ms = message->expires_at_ms;
    int rc;

    if (live != NULL) {
        rc = put_parse_number(warp_record_value(live), warp_record_value_bytes(live),
                              &number);
        if (rc < 0) {
            return rc;
        }
        if (expires_at_ms == 0) {
            expires_at_ms = warp_record_expires_at_ms(live);
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
        1 +
        (seen != NULL
             ? seen->sequence
             : atomic_load_explicit(&shard->store->slots[message->slot].removed_sequence,
                                    memory_order_relaxed));
}

static void put_write(struct warp_shard *shard, struct warp_message *message)
{
    struct warp_store *store = shard->store;
    bool is_delete = message->opcode == WARP_OP_DELETE;
    _Atomic uint64_t *place = NULL;
    struct warp_record *old, *live, *fresh = NULL;
    struct warp_slice parts[3];
    uint64_t asked_expiry = message->expires_at_ms;
    uint64_t position, end;
    uint32_t part_count;
    char text[24];
    int rc;

    old =
        warp_table_find_in(warp_table_resolve(&store->words[message->slot], message->hash),
                           message->hash, message->key.data, message->key.bytes, &place);
    live = old != NULL && warp_record_is_expired(store, old) ? NULL : old;
    if (!put_condition_holds(message, live)) {
        warp_counter_add(&shard->counters.conflicts, 1);
        put_answer_state(shard, message, WARP_CONFLICT, old);
        return;
    }
    if (is_delete && live == NULL) {
        put_answer_state(shard, message, WARP_ABSENT, old);
        return;
    }
    if (message->opcode == WARP_OP_ADD) {
        rc = put_add(message, live, text, sizeof(text));
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
    rc = warp_put_prepare(shard, message->slot, message->hash, old != NULL, false);
    if (rc == 0 && !is_delete) {
        fresh = warp_put_make(shard, message->key, message->value, message->expires_at_ms);
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
        fresh->sequence = message->sequence;
        put_publish(shard, message->slot, message->hash, fresh, old, place);
        if (message->opcode == WARP_OP_ADD) {
            warp_counter_add(&shard->counters.adds, 1);
        } else {
            warp_counter_add(&shard->counters.puts, 1);
        }
    }
    warp_writer_note(&store->wal->writer, end, message->level == WARP_INTERVAL);
}

void warp_put_execute(struct warp_shard *shard, struct warp_message *message)
{
    struct warp_store *store = shard->store;

    warp_shard_assert_owner(shard);
    message->wait_for = 0;
    if (message->deadline_ns != 0 &&
        warp_clock_ns(store->env->clock) > message->deadline_ns) {
        message->result = WARP_EDEADLINE;
        return;
    }
    if (message->opcode == WARP_OP_GET) {
        /* The holder is the only one to retire what is here, so it needs no epoch section. */
        warp_get_message(store, message);
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
