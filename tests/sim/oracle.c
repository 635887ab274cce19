/*
 * Each key has the list of writes that matter: those of this life and the one record that
 * the last recovery found. A write's rank is where it stands in the one order; it is known
 * when the engine told it, or when somebody saw the value with its sequence.
 *
 * Values say which write they are (number and a checksum in the first bytes, the rest
 * computed from them), so a value that was torn, invented or taken from elsewhere is known
 * at sight. Counters only grow, so their value is their order.
 */
#include "tests/sim/oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum outcome { OUTCOME_PENDING, OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_UNKNOWN };

struct write {
    struct oracle_intent intent;
    enum outcome outcome;
    bool gone; /* lost or replaced before the last recovery: must not be seen again ... */
    bool history;  /* ... unless the log is cut below that: it was replaced, not lost */
    bool shadowed; /* a later operation of its batch is on the same key */
    bool sequence_known, rank_known;
    uint64_t sequence, rank;
    int64_t result; /* of an add that returned */
    bool result_known;
    uint64_t expires_min_ms, expires_max_ms; /* 0: never */
    uint64_t began, ended;                   /* steps */
    uint32_t floor_at_begin;
    uint64_t order_floor; /* the highest rank that had been returned when it began */
    uint64_t wall_begin_ms;
    int64_t counter_floor;
};

struct batch {
    uint32_t first, count; /* its writes are neighbours */
    enum outcome outcome;
    bool rank_known;
    uint64_t rank;
    bool seen; /* scratch: an operation of it was recovered */
};

struct id_list {
    uint32_t *items;
    uint32_t count, capacity;
};

struct key {
    struct id_list writes;
    struct id_list history; /* replaced before the last recovery, if that is kept */
    uint32_t floor;         /* newest write known to be done or seen */
    uint64_t absent_floor;  /* absence was seen after everything up to this rank */
    uint64_t absent_floor_durable;
    bool counter;
    int64_t counter_floor;   /* newest sum known to be reached */
    int64_t counter_durable; /* of which this must survive */
    /* scratch of a recovery */
    bool found;
    uint32_t found_write;
    uint64_t found_sequence;
    int64_t found_number;
    uint64_t found_expires_ms;
};

/* A read that came back before the earlier write of its session did. */
struct deferred {
    uint32_t write;
    uint32_t key;
    bool present;
    uint64_t rank;
};

struct oracle {
    uint64_t seed;
    uint64_t step;
    struct write *writes;
    uint32_t write_count, write_capacity;
    struct batch *batches;
    uint32_t batch_count, batch_capacity;
    struct key keys[ORACLE_KEYS_MAX];
    uint32_t key_count;
    uint64_t order_floor;    /* highest rank returned to anybody */
    uint64_t durable_floor;  /* highest rank that must survive */
    uint64_t flush_floor;    /* highest rank acknowledged at any level */
    uint64_t interval_floor; /* highest rank acknowledged at WARP_INTERVAL or above */
    uint64_t base_place;     /* where the log ended at the last recovery */
    bool keep_history;
    bool old_allowed; /* the log was cut below base_place */
    bool exact; /* the next recovery finds the log cut at one place, and nowhere else */
    struct deferred *deferred;
    uint32_t deferred_count, deferred_capacity;
    uint8_t *scratch;
    size_t scratch_bytes;
    char violation[512];
};

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("sim: out of memory\n", stderr);
        abort();
    }
    return memory;
}

static void *grow(void *items, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
    if (count < *capacity) {
        return items;
    }
    *capacity = *capacity == 0 ? 32 : *capacity * 2;
    return must(realloc(items, *capacity * item_bytes));
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

int oracle_create(struct oracle **out)
{
    *out = calloc(1, sizeof(**out));
    return *out == NULL ? -1 : 0;
}

void oracle_destroy(struct oracle **pointer)
{
    struct oracle *oracle = *pointer;
    uint32_t i;

    if (oracle == NULL) {
        return;
    }
    for (i = 0; i < ORACLE_KEYS_MAX; i++) {
        free(oracle->keys[i].writes.items);
        free(oracle->keys[i].history.items);
    }
    free(oracle->writes);
    free(oracle->batches);
    free(oracle->deferred);
    free(oracle->scratch);
    free(oracle);
    *pointer = NULL;
}

void oracle_reset(struct oracle *oracle, uint64_t seed, uint32_t key_count,
                  uint32_t counter_count, bool keep_history)
{
    uint32_t i;

    oracle->keep_history = keep_history;
    oracle->old_allowed = false;
    oracle->exact = false;
    oracle->base_place = 0;
    oracle->seed = mix(seed + 0x5eed);
    oracle->step = 1;
    oracle->write_count = 0;
    oracle->batch_count = 0;
    oracle->deferred_count = 0;
    oracle->order_floor = 0;
    oracle->durable_floor = 0;
    oracle->flush_floor = 0;
    oracle->interval_floor = 0;
    oracle->key_count = key_count + counter_count;
    oracle->violation[0] = '\0';
    for (i = 0; i < oracle->key_count; i++) {
        struct key *key = &oracle->keys[i];
        struct id_list list = key->writes, history = key->history;

        memset(key, 0, sizeof(*key));
        key->writes = list;
        key->writes.count = 0;
        key->history = history;
        key->history.count = 0;
        key->floor = ORACLE_NONE;
        key->counter = i >= key_count;
    }
}

const char *oracle_violation(const struct oracle *oracle)
{
    return oracle->violation[0] == '\0' ? NULL : oracle->violation;
}

void oracle_violate(struct oracle *oracle, const char *format, ...)
{
    va_list arguments;

    if (oracle->violation[0] != '\0') {
        return;
    }
    va_start(arguments, format);
    vsnprintf(oracle->violation, sizeof(oracle->violation), format, arguments);
    va_end(arguments);
}

uint64_t oracle_step(const struct oracle *oracle)
{
    return oracle->step;
}

uint64_t oracle_durable_floor(const struct oracle *oracle)
{
    return oracle->durable_floor;
}

uint32_t oracle_write_count(const struct oracle *oracle)
{
    return oracle->write_count;
}

/* ---- values
 * ------------------------------------------------------------------------------- */

static void value_fill(const struct oracle *oracle, uint32_t id, uint8_t *out,
                       uint32_t bytes)
{
    uint64_t word = mix(oracle->seed ^ id);
    uint32_t check = (uint32_t)word;
    uint32_t at;

    if (bytes < 12) {
        return;
    }
    memcpy(out, &id, 4);
    memcpy(out + 4, &check, 4);
    for (at = 8; at < bytes; at += 8) {
        uint32_t part = bytes - at < 8 ? bytes - at : 8;

        word = word * 6364136223846793005u + 1442695040888963407u;
        memcpy(out + at, &word, part);
    }
}

void oracle_value(const struct oracle *oracle, uint32_t write, void *out)
{
    value_fill(oracle, write, out, oracle->writes[write].intent.value_bytes);
}

bool oracle_empty_allowed(const struct oracle *oracle, uint32_t index)
{
    const struct key *key = &oracle->keys[index];
    uint32_t i;

    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        if (write->intent.kind == ORACLE_PUT && write->intent.value_bytes == 0 &&
            !write->sequence_known && write->outcome != OUTCOME_REFUSED) {
            return false;
        }
    }
    return true;
}

static bool parse_number(const void *data, size_t bytes, int64_t *out)
{
    char text[24];
    char *end;

    if (bytes == 0 || bytes >= sizeof(text)) {
        return false;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

/* Of two writes that may have left the same thing, is this one the better guess for a sequence? What
 * began when a greater one had been returned is the last to think of. */
static bool fits_better(const struct write *write, const struct write *best,
                        uint64_t sequence)
{
    bool exact = write->sequence_known && write->sequence == sequence;
    bool best_exact = best != NULL && best->sequence_known && best->sequence == sequence;
    bool may = write->order_floor < sequence;
    bool best_may = best != NULL && best->order_floor < sequence;

    if (best == NULL || exact != best_exact) {
        return best == NULL || exact;
    }
    return may || !best_may;
}

/* Which write is this value? ORACLE_NONE after a violation. */
static uint32_t identify(struct oracle *oracle, uint32_t index, const void *data,
                         size_t bytes, uint64_t sequence)
{
    const struct key *key = &oracle->keys[index];
    const struct write *write;
    uint32_t id, i;

    if (bytes == 0) {
        uint32_t open = ORACLE_NONE;

        for (i = 0; i < key->writes.count; i++) {
            id = key->writes.items[i];
            write = &oracle->writes[id];
            if (write->intent.kind != ORACLE_PUT || write->intent.value_bytes != 0 ||
                write->outcome == OUTCOME_REFUSED) {
                continue;
            }
            if (write->sequence_known && write->sequence == sequence) {
                return id;
            }
            if (!write->sequence_known &&
                fits_better(write, open == ORACLE_NONE ? NULL : &oracle->writes[open],
                            sequence)) {
                open = id;
            }
        }
        if (open == ORACLE_NONE) {
            oracle_violate(oracle, "key %u: an empty value with sequence %llu nobody wrote",
                           index, (unsigned long long)sequence);
        }
        return open;
    }
    if (bytes < 12) {
        oracle_violate(oracle, "key %u: a value of %zu bytes nobody wrote", index, bytes);
        return ORACLE_NONE;
    }
    memcpy(&id, data, 4);
    if (id >= oracle->write_count) {
        oracle_violate(oracle, "key %u: a value nobody wrote (first word %08x)", index, id);
        return ORACLE_NONE;
    }
    write = &oracle->writes[id];
    if (write->intent.key != index || write->intent.kind != ORACLE_PUT) {
        oracle_violate(oracle, "key %u: has the value of write %u, which went to key %u",
                       index, id, write->intent.key);
        return ORACLE_NONE;
    }
    if (write->intent.value_bytes != bytes) {
        oracle_violate(oracle, "key %u: the value of write %u has %zu bytes instead of %u",
                       index, id, bytes, write->intent.value_bytes);
        return ORACLE_NONE;
    }
    if (bytes > oracle->scratch_bytes) {
        oracle->scratch_bytes = bytes * 2;
        oracle->scratch = must(realloc(oracle->scratch, oracle->scratch_bytes));
    }
    value_fill(oracle, id, oracle->scratch, (uint32_t)bytes);
    if (memcmp(oracle->scratch, data, bytes) != 0) {
        oracle_violate(oracle, "key %u: the value of write %u is torn or changed", index,
                       id);
        return ORACLE_NONE;
    }
    if (write->gone && !(oracle->old_allowed && write->history)) {
        oracle_violate(oracle, "key %u: write %u came back after a crash had lost it",
                       index, id);
        return ORACLE_NONE;
    }
    if (write->outcome == OUTCOME_REFUSED) {
        oracle_violate(oracle, "key %u: write %u had been refused and is there", index, id);
        return ORACLE_NONE;
    }
    return id;
}

/* ---- ranks
 * -------------------------------------------------------------------------------- */

/* The engine showed the write with this sequence. */
static void learn_sequence(struct oracle *oracle, uint32_t id, uint64_t sequence)
{
    struct write *write = &oracle->writes[id];

    if (write->sequence_known) {
        if (write->sequence != sequence) {
            oracle_violate(oracle, "write %u has sequence %llu and is shown with %llu", id,
                           (unsigned long long)write->sequence,
                           (unsigned long long)sequence);
        }
        return;
    }
    write->sequence_known = true;
    write->sequence = sequence;
    if (!write->rank_known) {
        write->rank_known = true;
        write->rank = sequence;
        if (sequence <= write->order_floor) {
            oracle_violate(
                oracle,
                "write %u has sequence %llu although %llu had been returned before "
                "it began",
                id, (unsigned long long)sequence, (unsigned long long)write->order_floor);
        }
    } else if (sequence > write->rank) {
        oracle_violate(oracle, "write %u of a batch ending at %llu has sequence %llu", id,
                       (unsigned long long)write->rank, (unsigned long long)sequence);
    }
}

static uint64_t rank_of(const struct oracle *oracle, uint32_t id)
{
    return id == ORACLE_NONE ? 0 : oracle->writes[id].rank;
}

static void raise_floor(struct oracle *oracle, uint32_t id)
{
    const struct write *write = &oracle->writes[id];
    struct key *key = &oracle->keys[write->intent.key];

    if (!write->shadowed && write->rank_known &&
        (key->floor == ORACLE_NONE || write->rank > rank_of(oracle, key->floor))) {
        key->floor = id;
    }
}

static void raise(uint64_t *floor, uint64_t value)
{
    if (*floor < value) {
        *floor = value;
    }
}

static bool may_have_expired(const struct write *write, uint64_t wall_ms)
{
    return write->expires_min_ms != 0 && write->expires_min_ms <= wall_ms;
}

static bool must_have_expired(const struct write *write, uint64_t wall_ms)
{
    return write->expires_max_ms != 0 && write->expires_max_ms < wall_ms;
}

static bool may_be_after(const struct oracle *oracle, const struct write *write,
                         uint32_t floor)
{
    if (write->outcome == OUTCOME_REFUSED || write->gone) {
        return false;
    }
    return !write->rank_known || write->rank > rank_of(oracle, floor);
}

/* Could the key have been absent at some moment after `floor` was done, until now? */
static bool absent_is_explained(const struct oracle *oracle, uint32_t index, uint32_t floor,
                                uint32_t except, uint64_t wall_ms)
{
    const struct key *key = &oracle->keys[index];
    uint32_t i;

    if (floor == ORACLE_NONE || oracle->writes[floor].intent.kind == ORACLE_DELETE ||
        may_have_expired(&oracle->writes[floor], wall_ms)) {
        return true;
    }
    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        if (key->writes.items[i] != except && may_be_after(oracle, write, floor) &&
            (write->intent.kind == ORACLE_DELETE || may_have_expired(write, wall_ms))) {
            return true;
        }
    }
    return false;
}

static bool present_is_explained(const struct oracle *oracle, uint32_t index,
                                 uint32_t floor, uint32_t except, uint64_t wall_begin_ms)
{
    const struct key *key = &oracle->keys[index];
    uint32_t i;

    if (key->counter && key->counter_floor != 0) {
        return true;
    }
    if (floor != ORACLE_NONE && oracle->writes[floor].intent.kind != ORACLE_DELETE &&
        !must_have_expired(&oracle->writes[floor], wall_begin_ms)) {
        return true;
    }
    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        if (key->writes.items[i] != except && may_be_after(oracle, write, floor) &&
            write->intent.kind != ORACLE_DELETE) {
            return true;
        }
    }
    return false;
}

/* A write of another party that may have changed the key after `floor` was done. */
static bool disturbed(const struct oracle *oracle, uint32_t index, uint32_t floor,
                      uint32_t except)
{
    const struct key *key = &oracle->keys[index];
    uint32_t i;

    for (i = 0; i < key->writes.count; i++) {
        if (key->writes.items[i] != except &&
            may_be_after(oracle, &oracle->writes[key->writes.items[i]], floor)) {
            return true;
        }
    }
    return false;
}

/* ---- writes
 * ------------------------------------------------------------------------------- */

uint32_t oracle_write_begin(struct oracle *oracle, const struct oracle_intent *intent,
                            uint64_t wall_ms)
{
    struct key *key = &oracle->keys[intent->key];
    struct write *write;
    uint32_t id = oracle->write_count;

    oracle->writes = grow(oracle->writes, &oracle->write_capacity, oracle->write_count,
                          sizeof(*oracle->writes));
    write = &oracle->writes[oracle->write_count++];
    memset(write, 0, sizeof(*write));
    write->intent = *intent;
    write->outcome = OUTCOME_PENDING;
    write->began = ++oracle->step;
    write->ended = UINT64_MAX;
    write->floor_at_begin = key->floor;
    write->order_floor = oracle->order_floor;
    write->wall_begin_ms = wall_ms;
    write->counter_floor = key->counter_floor;
    if (intent->ttl_ms != 0) {
        write->expires_min_ms = wall_ms + intent->ttl_ms;
        write->expires_max_ms = UINT64_MAX;
    }
    key->writes.items = grow(key->writes.items, &key->writes.capacity, key->writes.count,
                             sizeof(*key->writes.items));
    key->writes.items[key->writes.count++] = id;
    if (intent->batch != ORACLE_NONE) {
        struct batch *batch = &oracle->batches[intent->batch];
        uint32_t i;

        if (batch->count == 0) {
            batch->first = id;
        }
        for (i = 0; i < batch->count; i++) {
            if (oracle->writes[batch->first + i].intent.key == intent->key) {
                oracle->writes[batch->first + i].shadowed = true;
            }
        }
        batch->count++;
    }
    return id;
}

static void forget(struct oracle *oracle, uint32_t id)
{
    struct key *key = &oracle->keys[oracle->writes[id].intent.key];
    uint32_t i;

    for (i = 0; i < key->writes.count; i++) {
        if (key->writes.items[i] == id) {
            memmove(key->writes.items + i, key->writes.items + i + 1,
                    (key->writes.count - i - 1) * sizeof(*key->writes.items));
            key->writes.count--;
            return;
        }
    }
}

static void check_condition_held(struct oracle *oracle, uint32_t id, uint64_t wall_ms)
{
    const struct write *write = &oracle->writes[id];
    uint32_t index = write->intent.key;
    uint32_t floor = write->floor_at_begin;
    const struct key *key = &oracle->keys[index];
    uint64_t base = 0;
    uint32_t i;

    switch ((enum warp_condition)write->intent.condition) {
    case WARP_IF_ANY:
        return;
    case WARP_IF_ABSENT:
        if (!absent_is_explained(oracle, index, floor, id, wall_ms)) {
            oracle_violate(oracle, "key %u: write %u if absent was done over write %u",
                           index, id, floor);
        }
        return;
    case WARP_IF_PRESENT:
        if (!present_is_explained(oracle, index, floor, id, write->wall_begin_ms)) {
            oracle_violate(oracle, "key %u: write %u if present was done over nothing",
                           index, id);
        }
        return;
    case WARP_IF_SEQUENCE:
        base = write->intent.if_sequence;
        break;
    case WARP_IF_VALUE:
        if (!oracle->writes[write->intent.if_write].rank_known) {
            return;
        }
        base = oracle->writes[write->intent.if_write].rank;
        break;
    }
    if (floor != ORACLE_NONE && rank_of(oracle, floor) > base &&
        oracle->writes[floor].intent.batch == ORACLE_NONE) {
        oracle_violate(oracle, "key %u: write %u if sequence %llu was done over write %u",
                       index, id, (unsigned long long)base, floor);
        return;
    }
    for (i = 0; i < key->writes.count && write->rank_known; i++) {
        const struct write *other = &oracle->writes[key->writes.items[i]];

        if (key->writes.items[i] != id && other->rank_known &&
            other->intent.batch == ORACLE_NONE && other->outcome != OUTCOME_REFUSED &&
            other->rank > base && other->rank < write->rank) {
            oracle_violate(
                oracle,
                "key %u: write %u if sequence %llu was done although write %u came "
                "between",
                index, id, (unsigned long long)base, key->writes.items[i]);
            return;
        }
    }
}

static void check_conflict(struct oracle *oracle, uint32_t id, uint64_t wall_ms)
{
    const struct write *write = &oracle->writes[id];
    uint32_t index = write->intent.key, floor = write->floor_at_begin;
    bool fine = true;

    switch ((enum warp_condition)write->intent.condition) {
    case WARP_IF_ANY:
        fine = false;
        break;
    case WARP_IF_ABSENT:
        fine = present_is_explained(oracle, index, floor, id, write->wall_begin_ms);
        break;
    case WARP_IF_PRESENT:
        fine = absent_is_explained(oracle, index, floor, id, wall_ms);
        break;
    case WARP_IF_SEQUENCE:
        fine = floor == ORACLE_NONE || disturbed(oracle, index, floor, id) ||
               !oracle->writes[floor].sequence_known ||
               oracle->writes[floor].sequence != write->intent.if_sequence ||
               oracle->writes[floor].intent.kind == ORACLE_DELETE ||
               may_have_expired(&oracle->writes[floor], wall_ms);
        break;
    case WARP_IF_VALUE:
        fine = floor == ORACLE_NONE || disturbed(oracle, index, floor, id) ||
               floor != write->intent.if_write ||
               may_have_expired(&oracle->writes[floor], wall_ms);
        break;
    }
    if (!fine) {
        oracle_violate(oracle,
                       "key %u: write %u met a conflict that was none (condition %u)",
                       index, id, write->intent.condition);
    }
}

static void acknowledge(struct oracle *oracle, uint32_t durability, uint64_t rank)
{
    raise(&oracle->order_floor, rank);
    raise(&oracle->flush_floor, rank);
    if (durability >= WARP_INTERVAL) {
        raise(&oracle->interval_floor, rank);
    }
    if (durability == WARP_COMMIT) {
        raise(&oracle->durable_floor, rank);
    }
}

static void set_rank(struct oracle *oracle, uint32_t id, uint64_t rank)
{
    struct write *write = &oracle->writes[id];

    if (rank == 0) {
        oracle_violate(oracle, "write %u was done with sequence 0", id);
        return;
    }
    if (rank <= write->order_floor) {
        oracle_violate(
            oracle,
            "write %u got sequence %llu although %llu had been returned before it "
            "began",
            id, (unsigned long long)rank, (unsigned long long)write->order_floor);
    }
    write->rank = rank;
    write->rank_known = true;
}

static void add_end(struct oracle *oracle, uint32_t id, int64_t number, uint64_t sequence)
{
    struct write *write = &oracle->writes[id];
    struct key *key = &oracle->keys[write->intent.key];
    uint32_t i;

    write->result = number;
    write->result_known = true;
    if (number - write->intent.delta < write->counter_floor) {
        oracle_violate(oracle,
                       "counter %u: adding %lld gave %lld although %lld was reached",
                       write->intent.key, (long long)write->intent.delta, (long long)number,
                       (long long)write->counter_floor);
    }
    for (i = 0; i < key->writes.count; i++) {
        const struct write *other = &oracle->writes[key->writes.items[i]];

        if (key->writes.items[i] != id && other->result_known &&
            other->result > number - write->intent.delta &&
            other->result - other->intent.delta < number) {
            oracle_violate(oracle, "counter %u: adds %u and %u overlap", write->intent.key,
                           id, key->writes.items[i]);
        }
    }
    if (sequence != 0) {
        learn_sequence(oracle, id, sequence);
        acknowledge(oracle, write->intent.durability, sequence);
    }
    if (key->counter_floor < number) {
        key->counter_floor = number;
    }
    if (write->intent.durability == WARP_COMMIT && key->counter_durable < number) {
        key->counter_durable = number;
    }
}

void oracle_write_end(struct oracle *oracle, uint32_t id, int rc, uint64_t sequence,
                      int64_t number, uint64_t wall_ms)
{
    struct write *write = &oracle->writes[id];

    write->ended = ++oracle->step;
    if (write->expires_max_ms != 0) {
        write->expires_max_ms = wall_ms + write->intent.ttl_ms;
    }
    switch (rc) {
    case WARP_OK:
        write->outcome = OUTCOME_DONE;
        if (write->intent.kind == ORACLE_ADD) {
            add_end(oracle, id, number, sequence);
            return;
        }
        if (write->sequence_known && write->sequence != sequence) {
            oracle_violate(oracle, "write %u was seen with sequence %llu and returned %llu",
                           id, (unsigned long long)write->sequence,
                           (unsigned long long)sequence);
        }
        set_rank(oracle, id, sequence);
        write->sequence = sequence;
        write->sequence_known = true;
        if (write->intent.kind == ORACLE_DELETE &&
            !present_is_explained(oracle, write->intent.key, write->floor_at_begin, id,
                                  write->wall_begin_ms)) {
            oracle_violate(oracle, "key %u: delete %u of nothing was done",
                           write->intent.key, id);
        }
        check_condition_held(oracle, id, wall_ms);
        raise_floor(oracle, id);
        acknowledge(oracle, write->intent.durability, sequence);
        return;
    case WARP_ABSENT:
        write->outcome = OUTCOME_REFUSED;
        if (write->intent.kind != ORACLE_DELETE) {
            oracle_violate(oracle, "write %u returned WARP_ABSENT", id);
        } else if (!absent_is_explained(oracle, write->intent.key, write->floor_at_begin,
                                        id, wall_ms)) {
            oracle_violate(oracle,
                           "key %u: delete %u found nothing although write %u was done",
                           write->intent.key, id, write->floor_at_begin);
        }
        forget(oracle, id);
        return;
    case WARP_CONFLICT:
        write->outcome = OUTCOME_REFUSED;
        check_conflict(oracle, id, wall_ms);
        forget(oracle, id);
        return;
    case WARP_EFAILED:
    case WARP_EIO:
        write->outcome = OUTCOME_UNKNOWN;
        return;
    case WARP_AGAIN:
    case WARP_ENOSPC:
    case WARP_ENOMEM:
    case WARP_EDEADLINE:
    case WARP_EREADONLY:
        if (write->rank_known) {
            oracle_violate(oracle, "write %u was refused (%d) after somebody had seen it",
                           id, rc);
        }
        write->outcome = OUTCOME_REFUSED;
        forget(oracle, id);
        return;
    default:
        oracle_violate(oracle, "write %u returned %d", id, rc);
        return;
    }
}

void oracle_write_unknown(struct oracle *oracle, uint32_t id)
{
    oracle->writes[id].outcome = OUTCOME_UNKNOWN;
    oracle->writes[id].ended = ++oracle->step;
}

uint32_t oracle_newest(const struct oracle *oracle, uint32_t key, uint64_t *sequence,
                       uint32_t *value_bytes)
{
    uint32_t floor = oracle->keys[key].floor;

    *sequence = 0;
    *value_bytes = 0;
    if (floor != ORACLE_NONE) {
        const struct write *write = &oracle->writes[floor];

        *sequence = write->sequence_known ? write->sequence : 0;
        *value_bytes = write->intent.value_bytes;
    }
    return floor;
}

/* ---- batches
 * ------------------------------------------------------------------------------ */

uint32_t oracle_batch_begin(struct oracle *oracle)
{
    struct batch *batch;

    oracle->batches = grow(oracle->batches, &oracle->batch_capacity, oracle->batch_count,
                           sizeof(*oracle->batches));
    batch = &oracle->batches[oracle->batch_count];
    memset(batch, 0, sizeof(*batch));
    return oracle->batch_count++;
}

void oracle_batch_end(struct oracle *oracle, uint32_t index, int rc, uint64_t sequence,
                      uint64_t wall_ms)
{
    struct batch *batch = &oracle->batches[index];
    uint32_t i;

    oracle->step++;
    switch (rc) {
    case WARP_OK:
        batch->outcome = OUTCOME_DONE;
        batch->rank = sequence;
        batch->rank_known = true;
        break;
    case WARP_EFAILED:
    case WARP_EIO:
        batch->outcome = OUTCOME_UNKNOWN;
        break;
    case WARP_AGAIN:
    case WARP_ENOSPC:
    case WARP_ENOMEM:
        batch->outcome = OUTCOME_REFUSED;
        break;
    default:
        oracle_violate(oracle, "batch %u returned %d", index, rc);
        return;
    }
    for (i = 0; i < batch->count; i++) {
        uint32_t id = batch->first + i;
        struct write *write = &oracle->writes[id];

        write->ended = oracle->step;
        write->outcome = batch->outcome;
        if (write->expires_max_ms != 0) {
            write->expires_max_ms = wall_ms + write->intent.ttl_ms;
        }
        if (batch->outcome == OUTCOME_REFUSED) {
            if (write->sequence_known) {
                oracle_violate(oracle, "batch %u was refused after somebody had seen it",
                               index);
            }
            forget(oracle, id);
        } else if (batch->outcome == OUTCOME_DONE) {
            if (write->sequence_known && write->sequence > sequence) {
                oracle_violate(oracle, "batch %u ends at %llu and has a write at %llu",
                               index, (unsigned long long)sequence,
                               (unsigned long long)write->sequence);
            }
            set_rank(oracle, id, sequence);
            raise_floor(oracle, id);
            acknowledge(oracle, write->intent.durability, sequence);
        }
    }
}

/* ---- reads
 * -------------------------------------------------------------------------------- */

void oracle_read_begin(struct oracle *oracle, uint32_t index, uint32_t session,
                       uint64_t wall_ms, struct oracle_read *out)
{
    const struct key *key = &oracle->keys[index];
    uint32_t i;

    oracle->step++;
    out->key = index;
    out->session = session;
    out->floor = key->floor;
    out->absent_floor = key->absent_floor;
    out->counter_floor = key->counter_floor;
    out->wall_ms = wall_ms;
    out->previous = ORACLE_NONE;
    for (i = key->writes.count; session != 0 && i-- > 0;) {
        uint32_t id = key->writes.items[i];

        if (oracle->writes[id].intent.session == session) {
            out->previous = id;
            break;
        }
    }
}

static void counter_read_end(struct oracle *oracle, const struct oracle_read *read,
                             bool present, const void *data, size_t bytes,
                             uint64_t sequence, bool durable)
{
    struct key *key = &oracle->keys[read->key];
    int64_t number = 0, unknown = 0;
    bool known = false;
    uint32_t i;

    if (present && (!parse_number(data, bytes, &number) || number <= 0)) {
        oracle_violate(oracle, "counter %u: is not a number", read->key);
        return;
    }
    if (number < read->counter_floor) {
        oracle_violate(oracle, "counter %u: shows %lld although %lld was reached",
                       read->key, (long long)number, (long long)read->counter_floor);
        return;
    }
    for (i = 0; i < key->writes.count; i++) {
        struct write *write = &oracle->writes[key->writes.items[i]];

        if (write->result_known && write->result == number) {
            known = true;
            if (write->outcome == OUTCOME_DONE && present) {
                learn_sequence(oracle, key->writes.items[i], sequence);
            }
        }
        unknown += write->result_known ? 0 : write->intent.delta;
    }
    if (!known && number > key->counter_floor + unknown) {
        oracle_violate(oracle, "counter %u: shows %lld, more than was ever added",
                       read->key, (long long)number);
        return;
    }
    if (key->counter_floor < number) {
        key->counter_floor = number;
    }
    if (durable && present) {
        raise(&oracle->durable_floor, sequence);
        if (key->counter_durable < number) {
            key->counter_durable = number;
        }
    }
    if (present) {
        raise(&oracle->order_floor, sequence);
    }
}

static void check_previous(struct oracle *oracle, const struct deferred *check)
{
    const struct write *previous = &oracle->writes[check->write];

    if (previous->outcome != OUTCOME_DONE || previous->gone) {
        return;
    }
    if (check->present && check->rank < previous->rank) {
        oracle_violate(
            oracle,
            "key %u: a read submitted after write %u of its session shows an older "
            "value",
            check->key, check->write);
    }
}

void oracle_read_end(struct oracle *oracle, const struct oracle_read *read, bool present,
                     const void *data, size_t bytes, uint64_t sequence,
                     uint64_t expires_at_ms, bool durable, uint64_t wall_ms)
{
    struct key *key = &oracle->keys[read->key];
    uint32_t floor = read->floor, id;
    struct write *write;

    oracle->step++;
    if (key->counter) {
        counter_read_end(oracle, read, present, data, bytes, sequence, durable);
        return;
    }
    if (read->previous != ORACLE_NONE &&
        oracle->writes[read->previous].outcome == OUTCOME_DONE &&
        rank_of(oracle, read->previous) > rank_of(oracle, floor)) {
        floor = read->previous;
    }
    if (!present) {
        if (!absent_is_explained(oracle, read->key, floor, ORACLE_NONE, wall_ms)) {
            oracle_violate(oracle, "key %u: absent although write %u was done", read->key,
                           floor);
            return;
        }
        raise(&key->absent_floor, rank_of(oracle, floor));
        if (durable) {
            raise(&key->absent_floor_durable, rank_of(oracle, floor));
            if (floor != ORACLE_NONE &&
                oracle->writes[floor].intent.kind == ORACLE_DELETE) {
                raise(&oracle->durable_floor, rank_of(oracle, floor));
            }
        }
        return;
    }
    id = identify(oracle, read->key, data, bytes, sequence);
    if (id == ORACLE_NONE) {
        return;
    }
    write = &oracle->writes[id];
    learn_sequence(oracle, id, sequence);
    if (write->shadowed && write->outcome != OUTCOME_PENDING) {
        oracle_violate(oracle,
                       "key %u: shows write %u, which a later one of its batch replaced",
                       read->key, id);
        return;
    }
    if (floor != ORACLE_NONE && write->rank < rank_of(oracle, floor)) {
        oracle_violate(oracle,
                       "key %u: shows write %u (at %llu) although write %u (at %llu) "
                       "was done",
                       read->key, id, (unsigned long long)write->rank, floor,
                       (unsigned long long)rank_of(oracle, floor));
        return;
    }
    if (read->absent_floor != 0 && write->rank <= read->absent_floor) {
        oracle_violate(oracle, "key %u: shows write %u again after it had been seen absent",
                       read->key, id);
        return;
    }
    if (must_have_expired(write, read->wall_ms)) {
        oracle_violate(oracle, "key %u: shows write %u, which expired", read->key, id);
        return;
    }
    if (expires_at_ms != UINT64_MAX &&
        (expires_at_ms < write->expires_min_ms || expires_at_ms > write->expires_max_ms)) {
        oracle_violate(oracle, "key %u: write %u expires at %llu instead of %llu",
                       read->key, id, (unsigned long long)expires_at_ms,
                       (unsigned long long)write->expires_min_ms);
        return;
    }
    if (read->previous != ORACLE_NONE &&
        oracle->writes[read->previous].outcome == OUTCOME_PENDING) {
        oracle->deferred = grow(oracle->deferred, &oracle->deferred_capacity,
                                oracle->deferred_count, sizeof(*oracle->deferred));
        oracle->deferred[oracle->deferred_count++] =
            (struct deferred){read->previous, read->key, true, write->rank};
    }
    raise_floor(oracle, id);
    raise(&oracle->order_floor, write->rank);
    if (durable) {
        raise(&oracle->durable_floor, write->rank);
    }
}

void oracle_missed(struct oracle *oracle, const struct oracle_read *read,
                   uint64_t began_step, uint64_t wall_ms)
{
    const struct key *key = &oracle->keys[read->key];
    uint32_t i;

    for (i = 0; i < key->writes.count; i++) {
        if (oracle->writes[key->writes.items[i]].ended > began_step) {
            return;
        }
    }
    if (key->counter
            ? read->counter_floor > 0
            : !absent_is_explained(oracle, read->key, read->floor, ORACLE_NONE, wall_ms)) {
        oracle_violate(oracle, "key %u: a walk missed it", read->key);
    }
}

uint64_t oracle_interval_floor(const struct oracle *oracle)
{
    return oracle->interval_floor;
}

uint64_t oracle_flush_begin(struct oracle *oracle)
{
    return oracle->flush_floor;
}

void oracle_flush_end(struct oracle *oracle, uint64_t token)
{
    raise(&oracle->durable_floor, token);
}

/* ---- recovery
 * ----------------------------------------------------------------------------- */

static void list_add(struct id_list *list, uint32_t id)
{
    list->items = grow(list->items, &list->capacity, list->count, sizeof(*list->items));
    list->items[list->count++] = id;
}

/* The log may have been cut below the last recovery: what was replaced since counts again.
 */
static void history_return(struct oracle *oracle)
{
    uint32_t i, j;

    oracle->old_allowed = true;
    for (i = 0; i < oracle->key_count; i++) {
        struct key *key = &oracle->keys[i];

        for (j = 0; j < key->history.count; j++) {
            oracle->writes[key->history.items[j]].gone = false;
            list_add(&key->writes, key->history.items[j]);
        }
        key->history.count = 0;
    }
}

void oracle_recovery_exact(struct oracle *oracle)
{
    oracle->exact = true;
}

void oracle_recovery_begin(struct oracle *oracle, bool damaged, uint64_t damage_floor)
{
    uint32_t i;

    /* The last recovery may have found more log than base_place shows. */
    if (damaged && (oracle->exact || damage_floor < oracle->base_place)) {
        history_return(oracle);
    }

    for (i = 0; i < oracle->deferred_count; i++) {
        check_previous(oracle, &oracle->deferred[i]);
    }
    oracle->deferred_count = 0;
    for (i = 0; i < oracle->key_count; i++) {
        oracle->keys[i].found = false;
        oracle->keys[i].found_write = ORACLE_NONE;
    }
    for (i = 0; i < oracle->batch_count; i++) {
        oracle->batches[i].seen = false;
    }
}

void oracle_recovery_record(struct oracle *oracle, uint32_t index, const void *data,
                            size_t bytes, uint64_t sequence, uint64_t expires_at_ms)
{
    struct key *key = &oracle->keys[index];
    uint32_t i;

    if (key->found) {
        oracle_violate(oracle, "key %u: is there twice after the recovery", index);
        return;
    }
    key->found = true;
    key->found_sequence = sequence;
    key->found_expires_ms = expires_at_ms;
    if (key->counter) {
        if (!parse_number(data, bytes, &key->found_number)) {
            oracle_violate(oracle, "counter %u: is not a number after the recovery", index);
            return;
        }
        for (i = 0; i < key->writes.count; i++) {
            struct write *write = &oracle->writes[key->writes.items[i]];

            if (write->result_known && write->result == key->found_number &&
                fits_better(write,
                            key->found_write == ORACLE_NONE
                                ? NULL
                                : &oracle->writes[key->found_write],
                            sequence)) {
                key->found_write = key->writes.items[i];
            }
        }
        if (key->found_write != ORACLE_NONE) {
            learn_sequence(oracle, key->found_write, sequence);
        }
        return;
    }
    key->found_write = identify(oracle, index, data, bytes, sequence);
    if (key->found_write == ORACLE_NONE) {
        return;
    }
    learn_sequence(oracle, key->found_write, sequence);
    if (oracle->writes[key->found_write].shadowed) {
        oracle_violate(
            oracle, "key %u: recovered write %u, which a later one of its batch replaced",
            index, key->found_write);
    }
    if (expires_at_ms < oracle->writes[key->found_write].expires_min_ms ||
        expires_at_ms > oracle->writes[key->found_write].expires_max_ms) {
        oracle_violate(oracle, "key %u: recovered write %u expires at %llu instead of %llu",
                       index, key->found_write, (unsigned long long)expires_at_ms,
                       (unsigned long long)oracle->writes[key->found_write].expires_min_ms);
    }
}

/* A delete (or an expiry) nobody was told about that may be newer than write `than`. */
static bool silent_absence(const struct oracle *oracle, const struct key *key,
                           uint32_t than, uint64_t wall_ms)
{
    uint32_t i;

    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        if (write->rank_known || write->outcome == OUTCOME_REFUSED || write->gone) {
            continue;
        }
        if (than != ORACLE_NONE) {
            const struct write *other = &oracle->writes[than];

            if (write->intent.session != 0 &&
                write->intent.session == other->intent.session &&
                key->writes.items[i] < than) {
                continue; /* submitted before it in the same session: it is older */
            }
        }
        if (write->intent.kind == ORACLE_DELETE || may_have_expired(write, wall_ms)) {
            return true;
        }
    }
    return false;
}

/* The newest write of the key whose rank is known and at most `place`. */
static uint32_t model_at(const struct oracle *oracle, const struct key *key, uint64_t place)
{
    uint32_t best = ORACLE_NONE, i;

    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        if (write->rank_known && !write->shadowed && write->outcome != OUTCOME_REFUSED &&
            write->rank <= place &&
            (best == ORACLE_NONE || write->rank > oracle->writes[best].rank)) {
            best = key->writes.items[i];
        }
    }
    return best;
}

/* Do the records found fit to a log that ends at `place`? If not, which key does not? */
static bool fits(const struct oracle *oracle, uint64_t place, uint64_t wall_ms,
                 uint32_t *bad, uint32_t *wanted)
{
    uint32_t i;

    for (i = 0; i < oracle->key_count; i++) {
        const struct key *key = &oracle->keys[i];
        uint32_t model = model_at(oracle, key, place);

        if (key->counter) {
            int64_t number = key->found ? key->found_number : 0;

            if (model != ORACLE_NONE && oracle->writes[model].result_known &&
                number < oracle->writes[model].result) {
                *bad = i;
                *wanted = model;
                return false;
            }
            continue;
        }
        if (key->found) {
            if (key->found_write != model) {
                *bad = i;
                *wanted = model;
                return false;
            }
            continue;
        }
        if (model == ORACLE_NONE || oracle->writes[model].intent.kind == ORACLE_DELETE ||
            may_have_expired(&oracle->writes[model], wall_ms) ||
            silent_absence(oracle, key, model, wall_ms)) {
            continue;
        }
        *bad = i;
        *wanted = model;
        return false;
    }
    return true;
}

static void check_batches(struct oracle *oracle, uint64_t wall_ms)
{
    uint32_t i, j;

    for (i = 0; i < oracle->key_count; i++) {
        const struct key *key = &oracle->keys[i];
        const struct write *write;
        struct batch *batch;

        if (!key->found || key->found_write == ORACLE_NONE) {
            continue;
        }
        write = &oracle->writes[key->found_write];
        if (write->intent.batch == ORACLE_NONE) {
            continue;
        }
        batch = &oracle->batches[write->intent.batch];
        batch->seen = true;
        if (!batch->rank_known) {
            raise(&batch->rank, write->sequence);
        }
    }
    for (i = 0; i < oracle->batch_count; i++) {
        const struct batch *batch = &oracle->batches[i];

        for (j = 0; batch->seen && j < batch->count; j++) {
            uint32_t id = batch->first + j;
            struct write *write = &oracle->writes[id];
            const struct key *key = &oracle->keys[write->intent.key];
            bool newer;

            if (write->shadowed) {
                continue;
            }
            /* All of it was recovered, so all of it has the place of the batch. */
            write->rank_known = true;
            if (write->rank < batch->rank) {
                write->rank = batch->rank;
            }
            newer = key->found &&
                    (key->counter || key->found_write == ORACLE_NONE ||
                     (key->found_write != id && key->found_sequence > batch->rank));
            if (newer || (key->found && key->found_write == id)) {
                continue;
            }
            if (!key->found &&
                (write->intent.kind == ORACLE_DELETE || may_have_expired(write, wall_ms) ||
                 silent_absence(oracle, key, id, wall_ms))) {
                continue;
            }
            if (!key->found) {
                uint32_t model = model_at(oracle, key, UINT64_MAX);

                if (model != ORACLE_NONE && model != id &&
                    (oracle->writes[model].rank > batch->rank)) {
                    continue; /* deleted later; fits() looks at that */
                }
            }
            oracle_violate(
                oracle, "batch %u was recovered in part: its write %u of key %u is missing",
                i, id, write->intent.key);
            return;
        }
    }
}

static void check_counter(struct oracle *oracle, uint32_t index, bool damaged)
{
    const struct key *key = &oracle->keys[index];
    int64_t number = key->found ? key->found_number : 0;
    int64_t known = 0, unknown = 0;
    uint32_t i;

    if (!damaged && number < key->counter_durable) {
        oracle_violate(oracle, "counter %u: recovered %lld although %lld was durable",
                       index, (long long)number, (long long)key->counter_durable);
        return;
    }
    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        if (write->result_known) {
            known =
                write->result <= number && write->result > known ? write->result : known;
        } else {
            unknown += write->intent.delta;
        }
    }
    if (number > known + unknown) {
        oracle_violate(oracle,
                       "counter %u: recovered %lld; only %lld and perhaps %lld more "
                       "was added",
                       index, (long long)number, (long long)known, (long long)unknown);
    }
}

/* reached: writes up to here are in the log, though place may be all that their traces show. */
static void rebase(struct oracle *oracle, uint64_t place, uint64_t reached, bool on_medium)
{
    uint32_t i;

    uint32_t j;

    for (i = 0; i < oracle->write_count; i++) {
        oracle->writes[i].gone = true;
    }
    oracle->base_place = place;
    oracle->old_allowed = false;
    oracle->exact = false;
    for (i = 0; i < oracle->key_count; i++) {
        struct key *key = &oracle->keys[i];
        uint32_t id = key->found ? key->found_write : ORACLE_NONE;

        for (j = 0; oracle->keep_history && j < key->writes.count; j++) {
            struct write *write = &oracle->writes[key->writes.items[j]];

            if (write->outcome != OUTCOME_REFUSED &&
                !(write->rank_known && write->rank > reached) &&
                key->writes.items[j] != id) {
                write->history = true;
                list_add(&key->history, key->writes.items[j]);
            }
        }

        key->writes.count = 0;
        key->floor = ORACLE_NONE;
        key->absent_floor = 0;
        key->absent_floor_durable = 0;
        if (key->counter) {
            int64_t number = key->found ? key->found_number : 0;

            /* What is left of the adds is one write of the whole sum. */
            key->counter_floor = number;
            key->counter_durable =
                on_medium ? number
                          : (key->counter_durable < number ? key->counter_durable : number);
            if (number > 0) {
                struct oracle_intent intent = {0};
                struct write *write;

                intent.kind = ORACLE_ADD;
                intent.key = i;
                intent.delta = number;
                intent.batch = ORACLE_NONE;
                id = oracle_write_begin(oracle, &intent, 0);
                write = &oracle->writes[id];
                write->outcome = OUTCOME_DONE;
                write->result = number;
                write->result_known = true;
                write->sequence = write->rank = key->found_sequence;
                write->sequence_known = write->rank_known = true;
                write->ended = oracle->step;
                key->floor = id;
            }
            continue;
        }
        if (id != ORACLE_NONE) {
            struct write *write = &oracle->writes[id];

            write->gone = false;
            write->outcome = OUTCOME_DONE;
            write->ended = oracle->step;
            write->intent.batch = ORACLE_NONE;
            write->intent.session = 0;
            write->rank = write->sequence;
            if (write->expires_min_ms != 0) {
                write->expires_min_ms = write->expires_max_ms = key->found_expires_ms;
            }
            key->writes.items = grow(key->writes.items, &key->writes.capacity, 0,
                                     sizeof(*key->writes.items));
            key->writes.items[0] = id;
            key->writes.count = 1;
            key->floor = id;
        }
    }
    oracle->order_floor = place;
    oracle->flush_floor = place;
    oracle->interval_floor = 0;
    if (on_medium) {
        oracle->durable_floor = place;
    }
}

void oracle_recovery_end(struct oracle *oracle, bool on_medium, bool damaged,
                         uint64_t damage_floor, uint64_t wall_ms)
{
    uint64_t place = damaged ? damage_floor : oracle->durable_floor;
    uint64_t highest = 0, reached;
    uint32_t i, j, bad = 0, wanted = ORACLE_NONE;
    bool fit;

    oracle->step++;
    if (oracle->violation[0] != '\0') {
        return;
    }
    for (i = 0; i < oracle->key_count; i++) {
        const struct key *key = &oracle->keys[i];

        if (key->counter) {
            check_counter(oracle, i, damaged);
        }
        if (key->found) {
            raise(&highest, key->found_sequence);
            if (!key->counter && !damaged && key->absent_floor_durable != 0 &&
                oracle->writes[key->found_write].rank <= key->absent_floor_durable) {
                oracle_violate(
                    oracle,
                    "key %u: recovered write %u although a durable read had seen it "
                    "absent",
                    i, key->found_write);
            }
        }
    }
    check_batches(oracle, wall_ms);
    if (oracle->violation[0] != '\0') {
        return;
    }
    if (oracle->exact && highest > place) {
        oracle_violate(oracle, "a write at %llu was found behind the cut at %llu",
                       (unsigned long long)highest, (unsigned long long)place);
        return;
    }
    raise(&place, highest);
    for (i = 0; i < oracle->key_count; i++) {
        if (oracle->keys[i].found && oracle->keys[i].found_write != ORACLE_NONE) {
            raise(&place, oracle->writes[oracle->keys[i].found_write].rank);
        }
    }
    fit = fits(oracle, place, wall_ms, &bad, &wanted);
    reached = fit ? place : UINT64_MAX;
    for (i = 0; !fit && !oracle->exact && i < oracle->key_count; i++) {
        for (j = 0; j < oracle->keys[i].writes.count; j++) {
            const struct write *write = &oracle->writes[oracle->keys[i].writes.items[j]];
            uint32_t other_bad, other_wanted;

            /* The least that explains it all: the log goes so far at least. */
            if (write->rank_known && write->rank > place && write->rank < reached &&
                fits(oracle, write->rank, wall_ms, &other_bad, &other_wanted)) {
                reached = write->rank;
            }
        }
    }
    fit = reached != UINT64_MAX;
    if (!fit) {
        const struct key *key = &oracle->keys[bad];

        oracle_violate(
            oracle,
            "key %u: recovered %s%d (at %llu), but the log goes to %llu at least "
            "(durable %llu, newest found %llu), which has write %d (at %llu, level "
            "%u)",
            bad, key->found ? "write " : "nothing ", key->found ? (int)key->found_write : 0,
            (unsigned long long)(key->found ? key->found_sequence : 0),
            (unsigned long long)place, (unsigned long long)oracle->durable_floor,
            (unsigned long long)highest, (int)wanted,
            (unsigned long long)rank_of(oracle, wanted),
            wanted == ORACLE_NONE ? 0 : oracle->writes[wanted].intent.durability);
        return;
    }
    rebase(oracle, place, reached, on_medium);
}

void oracle_dump(const struct oracle *oracle)
{
    static const char *const kinds[] = {"put", "delete", "add"};
    static const char *const outcomes[] = {"pending", "done", "refused", "unknown"};
    const char *at = strpbrk(oracle->violation, "0123456789");
    uint32_t index = at == NULL ? 0 : (uint32_t)strtoul(at, NULL, 10), i;
    const struct key *key = &oracle->keys[index % ORACLE_KEYS_MAX];

    for (i = 0; i < key->writes.count; i++) {
        const struct write *write = &oracle->writes[key->writes.items[i]];

        printf("    key %u write %u: %s, %s, rank %" PRIu64 " sequence %" PRIu64
               ", level %u, session %u, batch %d, ttl %" PRIu64 " expires %" PRIu64
               "-%" PRIu64 ", condition %u, steps %" PRIu64 "-%" PRIu64 "%s\n",
               index, key->writes.items[i], kinds[write->intent.kind],
               outcomes[write->outcome], write->rank_known ? write->rank : 0,
               write->sequence_known ? write->sequence : 0, write->intent.durability,
               write->intent.session, (int)write->intent.batch, write->intent.ttl_ms,
               write->expires_min_ms, write->expires_max_ms, write->intent.condition,
               write->began, write->ended, write->shadowed ? ", shadowed" : "");
    }
    printf("    durable floor %" PRIu64 ", absence durable up to %" PRIu64 "\n",
           oracle->durable_floor, key->absent_floor_durable);
}
