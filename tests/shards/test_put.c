/* What a put, a delete and an add answer, and that whatever is refused has changed nothing.
 */
#include "shards/put.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

enum state { STATE_ABSENT, STATE_PRESENT, STATE_EXPIRED };

/* Bring key "k" into a state; its sequence if it is there. */
static uint64_t prepare_key(struct store_fixture *fixture, enum state state)
{
    struct warp_message message;

    (void)store_delete(fixture, "k");
    if (state == STATE_ABSENT) {
        return 0;
    }
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_PUT;
    message.level = WARP_MEMORY;
    message.key = store_slice("k");
    message.value = store_slice("old");
    if (state == STATE_EXPIRED) {
        message.expires_at_ms = warp_store_wall_ms(fixture->store) + 1;
    }
    check_int(store_execute(fixture, &message), ==, 0);
    if (state == STATE_EXPIRED) {
        warp_clock_fake_advance(&fixture->clock, 1000000);
        check(store_get(fixture, "k") == NULL);
    }
    return message.sequence;
}

WARP_TEST(put, conditions_hold_when_they_should)
{
    static const enum warp_condition conditions[] = {
        WARP_IF_ANY, WARP_IF_ABSENT, WARP_IF_PRESENT, WARP_IF_SEQUENCE, WARP_IF_VALUE};
    struct store_fixture fixture;
    uint32_t i, right;

    store_fixture_init(&fixture, NULL);
    for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        enum state state;

        for (state = STATE_ABSENT; state <= STATE_EXPIRED; state++) {
            for (right = 0; right < 2; right++) {
                uint64_t sequence = prepare_key(&fixture, state);
                uint64_t tail = warp_sequence_tail(&fixture.wal->writer.sequence);
                bool live = state == STATE_PRESENT;
                struct warp_message message;
                bool holds = false;

                memset(&message, 0, sizeof(message));
                message.opcode = WARP_OP_PUT;
                message.condition = (uint8_t)conditions[i];
                message.level = WARP_COMMIT;
                message.key = store_slice("k");
                message.value = store_slice("new");
                message.if_sequence = right ? sequence : sequence + 8;
                message.if_value = store_slice(right ? "old" : "olf");
                switch (conditions[i]) {
                case WARP_IF_ANY:
                    holds = true;
                    break;
                case WARP_IF_ABSENT:
                    holds = !live;
                    break;
                case WARP_IF_PRESENT:
                    holds = live;
                    break;
                case WARP_IF_SEQUENCE:
                case WARP_IF_VALUE:
                    holds = live && right;
                    break;
                }
                check_int(store_execute(&fixture, &message), ==, holds ? 0 : WARP_CONFLICT);
                if (holds) {
                    check_str(store_get(&fixture, "k"), "new");
                    check_u64(message.sequence, ==, tail + WARP_FRAME_HEADER_BYTES);
                    check_u64(message.wait_for, ==,
                              warp_sequence_tail(&fixture.wal->writer.sequence));
                } else {
                    check_u64(warp_sequence_tail(&fixture.wal->writer.sequence), ==, tail);
                    check_str(live ? store_get(&fixture, "k") : "old", "old");
                    if (state != STATE_ABSENT) {
                        /* Who is told that the condition failed has seen that record. */
                        check_u64(message.wait_for, >, sequence);
                    }
                }
            }
        }
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, a_delete_answers_absent_for_what_is_not_there)
{
    struct store_fixture fixture;

    store_fixture_init(&fixture, NULL);
    check_int(store_delete(&fixture, "k"), ==, WARP_ABSENT);
    (void)prepare_key(&fixture, STATE_PRESENT);
    check_int(store_delete(&fixture, "k"), ==, 0);
    check(store_get(&fixture, "k") == NULL);
    check_int(store_delete(&fixture, "k"), ==, WARP_ABSENT);
    (void)prepare_key(&fixture, STATE_EXPIRED);
    check_int(store_delete(&fixture, "k"), ==, WARP_ABSENT);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, a_reader_that_finds_nothing_waits_for_the_delete)
{
    struct store_fixture fixture;
    struct warp_message message;
    uint64_t wait_for = 0;

    store_fixture_init(&fixture, NULL);
    (void)prepare_key(&fixture, STATE_PRESENT);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_DELETE;
    message.level = WARP_MEMORY;
    message.key = store_slice("k");
    check_int(store_execute(&fixture, &message), ==, 0);
    check(warp_get_find(fixture.store, message.slot, message.hash, message.key,
                        &wait_for) == NULL);
    check_u64(wait_for, ==, message.sequence + 1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, values_of_every_size_come_back)
{
    static const uint32_t sizes[] = {0,    1,    7,     8,     100,    1000,   2000,
                                     4096, 5000, 20000, 70000, 200000, 1000000};
    struct store_fixture fixture;
    struct store_fixture again;
    uint8_t *value = malloc(1000000);
    char key[16];
    uint32_t i, j;

    store_fixture_init(&fixture, NULL);
    for (i = 0; i < 1000000; i++) {
        value[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    /* The later ones are bigger than the log's ring of 64 KiB. */
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct warp_message message;

        memset(&message, 0, sizeof(message));
        snprintf(key, sizeof(key), "key-%u", i);
        message.opcode = WARP_OP_PUT;
        message.level = WARP_MEMORY;
        message.key = store_slice(key);
        message.value.data = value + i;
        message.value.bytes = sizes[i] - (sizes[i] == 1000000 ? i : 0);
        check_int(store_execute(&fixture, &message), ==, 0);
        for (j = 0; j <= i; j++) {
            snprintf(key, sizeof(key), "key-%u", j);
            check(store_has(&fixture, key, value + j,
                            sizes[j] - (sizes[j] == 1000000 ? j : 0)));
        }
    }
    check_int(warp_writer_flush(&fixture.wal->writer), ==, 0);
    store_fixture_init(&again, NULL);
    store_fixture_replay(&fixture, &again, true, 0);
    for (j = 0; j < i; j++) {
        snprintf(key, sizeof(key), "key-%u", j);
        check(store_has(&again, key, value + j, sizes[j] - (sizes[j] == 1000000 ? j : 0)));
    }
    check_int(store_fixture_fini(&again), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
    free(value);
}

static int add(struct store_fixture *fixture, int64_t delta, uint64_t expires_at_ms,
               int64_t *number)
{
    struct warp_message message;
    int rc;

    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_ADD;
    message.level = WARP_MEMORY;
    message.key = store_slice("n");
    message.delta = delta;
    message.expires_at_ms = expires_at_ms;
    rc = store_execute(fixture, &message);
    *number = message.number;
    return rc;
}

WARP_TEST(put, an_add_reads_decimal_numbers_and_nothing_else)
{
    static const struct {
        const char *text;
        int rc;
        int64_t number;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"7", 0, 7},
        {"-7", 0, -7},
        {"007", 0, 7},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"00000000000000000001", 0, 1},
        {"9223372036854775808", WARP_ENUMBER, 0},
        {"-9223372036854775809", WARP_ENUMBER, 0},
        {"99999999999999999999", WARP_ENUMBER, 0},
        {"", WARP_ENUMBER, 0},
        {"-", WARP_ENUMBER, 0},
        {"--1", WARP_ENUMBER, 0},
        {"+1", WARP_ENUMBER, 0},
        {" 1", WARP_ENUMBER, 0},
        {"1 ", WARP_ENUMBER, 0},
        {"1\n", WARP_ENUMBER, 0},
        {"0x1", WARP_ENUMBER, 0},
        {"1.0", WARP_ENUMBER, 0},
        {"1e3", WARP_ENUMBER, 0},
        {"000000000000000000001", WARP_ENUMBER, 0},
        {"123456789012345678901", WARP_ENUMBER, 0},
    };
    struct store_fixture fixture;
    int64_t number;
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];

        check_int(store_put(&fixture, "n", cases[i].text, 0), ==, 0);
        number = -1;
        if (!check_int(add(&fixture, 0, 0, &number), ==, cases[i].rc)) {
            fprintf(stderr, "of \"%s\"\n", cases[i].text);
        }
        if (cases[i].rc == 0) {
            check_int(number, ==, cases[i].number);
            snprintf(text, sizeof(text), "%lld", (long long)cases[i].number);
            check_str(store_get(&fixture, "n"), text);
        } else {
            check_str(store_get(&fixture, "n"), cases[i].text);
        }
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, an_add_that_would_overflow_is_refused)
{
    struct store_fixture fixture;
    int64_t number;

    store_fixture_init(&fixture, NULL);
    check_int(add(&fixture, INT64_MIN, 0, &number), ==, 0); /* absent counts as 0 */
    check_int(number, ==, INT64_MIN);
    check_int(add(&fixture, -1, 0, &number), ==, WARP_ERANGE);
    check_str(store_get(&fixture, "n"), "-9223372036854775808");
    check_int(add(&fixture, INT64_MAX, 0, &number), ==, 0);
    check_int(number, ==, -1);
    check_int(add(&fixture, INT64_MAX, 0, &number), ==, 0);
    check_int(add(&fixture, 1, 0, &number), ==, 0);
    check_int(number, ==, INT64_MAX);
    check_int(add(&fixture, 1, 0, &number), ==, WARP_ERANGE);
    check_str(store_get(&fixture, "n"), "9223372036854775807");
    check_int(add(&fixture, INT64_MIN, 0, &number), ==, 0);
    check_int(number, ==, -1);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

static uint64_t expiry_of(struct store_fixture *fixture, const char *key)
{
    struct warp_slice slice = store_slice(key);
    uint64_t wait_for;
    struct warp_record *record =
        warp_get_find(fixture->store, warp_hash_slot(slice.data, slice.bytes),
                      warp_hash_key(slice.data, slice.bytes, fixture->store->hash_seed),
                      slice, &wait_for);

    return record == NULL ? 0 : warp_record_expires_at_ms(record);
}

WARP_TEST(put, an_add_keeps_the_expiry_unless_it_brings_one)
{
    struct store_fixture fixture;
    uint64_t soon;
    int64_t number;

    store_fixture_init(&fixture, NULL);
    soon = warp_store_wall_ms(fixture.store) + 1000;
    check_int(store_put(&fixture, "n", "5", soon), ==, 0);
    check_int(add(&fixture, 1, 0, &number), ==, 0);
    check_u64(expiry_of(&fixture, "n"), ==, soon);
    check_int(add(&fixture, 1, soon + 500, &number), ==, 0);
    check_int(number, ==, 7);
    check_u64(expiry_of(&fixture, "n"), ==, soon + 500);
    warp_clock_fake_advance(&fixture.clock, UINT64_C(1500) * 1000000);
    check(store_get(&fixture, "n") == NULL); /* at that very millisecond */
    check_int(add(&fixture, 1, 0, &number), ==, 0);
    check_int(number, ==, 1); /* from the beginning, and for ever */
    check_u64(expiry_of(&fixture, "n"), ==, 0);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, a_message_that_needs_room_has_changed_nothing)
{
    static const uint8_t opcodes[] = {WARP_OP_PUT, WARP_OP_ADD, WARP_OP_DELETE};
    struct store_fixture fixture;
    uint64_t soon;
    uint32_t i;

    for (i = 0; i < sizeof(opcodes); i++) {
        struct warp_message message;
        uint64_t tail, bytes, calls, limit_put, limit_delete;

        store_fixture_init(&fixture, NULL);
        soon = warp_store_wall_ms(fixture.store) + 1000;
        check_int(store_put(&fixture, "n", "41", soon), ==, 0);
        tail = warp_sequence_tail(&fixture.wal->writer.sequence);
        limit_put = atomic_load(&fixture.wal->writer.limit_put);
        limit_delete = atomic_load(&fixture.wal->writer.limit_delete);
        atomic_store(&fixture.wal->writer.limit_put, tail);
        atomic_store(&fixture.wal->writer.limit_delete, tail);
        bytes = warp_slab_bytes_used(
            &warp_store_owner(fixture.store, warp_hash_slot("n", 1))->limbo.pool);
        calls = warp_memory_calls(&fixture.memory);
        memset(&message, 0, sizeof(message));
        message.opcode = opcodes[i];
        message.level = WARP_COMMIT;
        message.key = store_slice("n");
        message.value = store_slice(opcodes[i] == WARP_OP_PUT ? "new" : "");
        message.delta = 1;
        check_int(store_execute_once(&fixture, &message), ==, WARP_MESSAGE_NEEDS_ROOM);
        check_str(store_get(&fixture, "n"), "41");
        check_u64(expiry_of(&fixture, "n"), ==, soon);
        check_u64(message.expires_at_ms, ==, 0);
        check_u64(message.delta, ==, 1);
        check_u64(warp_sequence_tail(&fixture.wal->writer.sequence), ==, tail);
        check_u64(warp_memory_calls(&fixture.memory), ==, calls);
        check_u64(warp_slab_bytes_used(
                      &warp_store_owner(fixture.store, warp_hash_slot("n", 1))->limbo.pool),
                  ==, bytes);
        /* And once there is room it runs as if nothing had been. */
        atomic_store(&fixture.wal->writer.limit_put, limit_put);
        atomic_store(&fixture.wal->writer.limit_delete, limit_delete);
        check_int(store_execute_once(&fixture, &message), ==, 0);
        if (opcodes[i] == WARP_OP_ADD) {
            check_int(message.number, ==, 42);
            check_u64(expiry_of(&fixture, "n"), ==, soon);
        }
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(put, a_reached_memory_limit_changes_nothing_and_deletes_go_on)
{
    struct store_fixture_config config = {.memory_bytes_max = 12u << 20};
    struct store_fixture fixture;
    struct warp_message message;
    char key[32], value[200];
    uint64_t tail;
    uint32_t i, stored;
    int rc = 0;

    store_fixture_init(&fixture, &config);
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    for (stored = 0; stored < 200000; stored++) {
        snprintf(key, sizeof(key), "key-%u", stored);
        rc = store_put(&fixture, key, value, 0);
        if (rc != 0) {
            break;
        }
    }
    check_int(rc, ==, WARP_ENOMEM);
    check_u64(stored, >, 100);
    tail = warp_sequence_tail(&fixture.wal->writer.sequence);
    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "key-%u", stored);
        check_int(store_put(&fixture, key, value, 0), ==, WARP_ENOMEM);
        check(store_get(&fixture, key) == NULL);
    }
    check_u64(warp_sequence_tail(&fixture.wal->writer.sequence), ==, tail);
    /* An overwrite that is refused leaves the old value. */
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_PUT;
    message.key = store_slice("key-0");
    message.value.data = calloc(1, 1u << 20);
    message.value.bytes = 1u << 20;
    check_int(store_execute(&fixture, &message), ==, WARP_ENOMEM);
    check_str(store_get(&fixture, "key-0"), value);
    free((void *)(uintptr_t)message.value.data);
    warp_store_check(fixture.store);
    for (i = 0; i < stored; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_str(store_get(&fixture, key), value);
        check_int(store_delete(&fixture, key), ==, 0);
    }
    /* And what deletes gave back is there for puts. */
    for (i = 0; i < fixture.config.shard_count; i++) {
        struct warp_shard *shard = fixture.store->shards[i];

        warp_shard_enter_surely(shard);
        while (warp_limbo_collect(&shard->limbo, true)) {
        }
        warp_shard_leave(shard);
    }
    for (i = 0; i < stored / 2; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(store_put(&fixture, key, value, 0), ==, 0);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, no_memory_at_any_call_changes_nothing)
{
    uint64_t after;
    bool failed = true;

    for (after = 0; failed && after < 200; after++) {
        struct store_fixture fixture;
        char key[32];
        uint32_t i;

        store_fixture_init(&fixture, NULL);
        failed = false;
        warp_memory_fail_after(&fixture.memory, after);
        for (i = 0; i < 500; i++) {
            int rc;

            snprintf(key, sizeof(key), "{tag}-%u", i / 2); /* each twice, all in one slot */
            rc = store_put(&fixture, key, i % 2 == 0 ? "even" : "odd", 0);
            if (rc != 0) {
                uint32_t j;

                check_int(rc, ==, WARP_ENOMEM);
                check(!failed);
                failed = true;
                warp_store_check(fixture.store);
                for (j = 0; j < i; j++) {
                    snprintf(key, sizeof(key), "{tag}-%u", j / 2);
                    check(store_get(&fixture, key) != NULL);
                }
                warp_memory_fail_after(&fixture.memory, UINT64_MAX);
                i--;
            }
        }
        for (i = 0; i < 250; i++) {
            snprintf(key, sizeof(key), "{tag}-%u", i);
            check_str(store_get(&fixture, key), "odd");
        }
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
    check(!failed);
}

WARP_TEST(put, a_passed_deadline_is_not_carried_out)
{
    struct store_fixture fixture;
    struct warp_message message;

    store_fixture_init(&fixture, NULL);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_PUT;
    message.key = store_slice("k");
    message.value = store_slice("v");
    message.deadline_ns = warp_clock_ns(fixture.env.clock);
    check_int(store_execute(&fixture, &message), ==, 0);
    warp_clock_fake_advance(&fixture.clock, 1);
    message.value = store_slice("w");
    check_int(store_execute(&fixture, &message), ==, WARP_EDEADLINE);
    check_str(store_get(&fixture, "k"), "v");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, a_get_by_mail_lends_the_record)
{
    struct store_fixture fixture;
    struct warp_message message;
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_GET;
    message.key = store_slice("k");
    check_int(store_execute(&fixture, &message), ==, WARP_ABSENT);
    check_int(store_put(&fixture, "k", "first", 0), ==, 0);
    check_int(store_execute(&fixture, &message), ==, 0);
    check_bytes(message.borrowed.data, message.borrowed.bytes, "first", 5);
    /* It stays as it was, whatever comes after it. */
    for (i = 0; i < 500; i++) {
        check_int(store_put(&fixture, "k", i % 2 == 0 ? "other" : "again", 0), ==, 0);
    }
    check_int(store_delete(&fixture, "k"), ==, 0);
    check_bytes(message.borrowed.data, message.borrowed.bytes, "first", 5);
    warp_get_return(&message.borrowed);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, the_256th_borrower_gets_a_copy)
{
    static struct warp_message messages[300];
    struct store_fixture fixture;
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    check_int(store_put(&fixture, "k", "value", 0), ==, 0);
    for (i = 0; i < 300; i++) {
        memset(&messages[i], 0, sizeof(messages[i]));
        messages[i].opcode = WARP_OP_GET;
        messages[i].key = store_slice("k");
        if (i == 299) {
            warp_memory_fail_after(&fixture.memory, 0);
            check_int(store_execute(&fixture, &messages[i]), ==, WARP_ENOMEM);
            warp_memory_fail_after(&fixture.memory, UINT64_MAX);
        }
        check_int(store_execute(&fixture, &messages[i]), ==, 0);
    }
    check_int(store_delete(&fixture, "k"), ==, 0);
    for (i = 0; i < 300; i++) {
        check_bytes(messages[i].borrowed.data, messages[i].borrowed.bytes, "value", 5);
        warp_get_return(&messages[i].borrowed);
    }
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* ---- records whose value is on disk only ---------------------------------------------- */

/* Put "k" and let its value leave. */
static uint64_t prepare_cold(struct store_fixture *fixture, const char *value,
                             uint64_t expires_at_ms)
{
    check_int(store_put(fixture, "k", value, expires_at_ms), ==, 0);
    store_make_cold(fixture);
    check(store_is_cold(fixture, "k"));
    return warp_record_sequence(store_find(fixture, "k"));
}

/* Run it under the lease, or through the mailbox by the shard's turns. */
static int run_cold(struct store_fixture *fixture, struct warp_message *message, bool mail)
{
    struct warp_shard *shard;
    uint64_t due_ns;
    uint32_t i;

    if (!mail) {
        return store_execute(fixture, message);
    }
    warp_message_hash(message, fixture->store->hash_seed);
    warp_message_prepare(message);
    shard = warp_store_owner(fixture->store, message->slot);
    check_int(warp_mailbox_send(&shard->mailbox, 0, message), ==, 0);
    for (i = 0; i < 10 && !warp_message_is_done(message); i++) {
        (void)warp_shard_turn(shard, warp_clock_ns(fixture->env.clock), &due_ns);
    }
    check(warp_message_is_done(message));
    warp_coldread_end(fixture->store, &message->cold);
    return message->result;
}

static uint64_t disk_reads(const struct store_fixture *fixture)
{
    return atomic_load(&warp_reader_counters(fixture->reader)->reads);
}

WARP_TEST(put, conditions_on_cold_records_read_only_what_they_must)
{
    static const enum warp_condition conditions[] = {
        WARP_IF_ANY, WARP_IF_ABSENT, WARP_IF_PRESENT, WARP_IF_SEQUENCE, WARP_IF_VALUE};
    static const char *const values[] = {"old", "olf", "older", ""};
    uint32_t opcode, i, v, mail;

    for (opcode = WARP_OP_PUT; opcode <= WARP_OP_DELETE; opcode++) {
        for (i = 0; i < 5; i++) {
            for (v = 0; v < 4; v++) {
                for (mail = 0; mail < 2; mail++) {
                    struct store_fixture fixture;
                    struct warp_message message;
                    uint64_t sequence, reads;
                    bool right = v == 0, holds;

                    store_fixture_init(&fixture, NULL);
                    sequence = prepare_cold(&fixture, "old", 0);
                    reads = disk_reads(&fixture);
                    memset(&message, 0, sizeof(message));
                    message.opcode = (uint8_t)opcode;
                    message.level = WARP_MEMORY;
                    message.condition = (uint8_t)conditions[i];
                    message.key = store_slice("k");
                    message.value = store_slice(opcode == WARP_OP_PUT ? "new" : "");
                    message.if_sequence = right ? sequence : sequence + 8;
                    message.if_value = store_slice(values[v]);
                    holds = conditions[i] == WARP_IF_ANY ||
                            conditions[i] == WARP_IF_PRESENT ||
                            (right && conditions[i] != WARP_IF_ABSENT);
                    check_int(run_cold(&fixture, &message, mail != 0), ==,
                              holds ? 0 : WARP_CONFLICT);
                    /* Only a value of the same length has to be looked at. */
                    check_u64(disk_reads(&fixture) - reads, ==,
                              conditions[i] == WARP_IF_VALUE && v < 2);
                    if (!holds) {
                        check_str(store_get(&fixture, "k"), "old");
                    } else if (opcode == WARP_OP_PUT) {
                        check_str(store_get(&fixture, "k"), "new");
                    } else {
                        check(store_get(&fixture, "k") == NULL);
                    }
                    check(warp_coldread_is_quiet(&fixture.store->gate, 0));
                    check_int(store_fixture_fini(&fixture), ==, 0);
                }
            }
        }
    }
}

WARP_TEST(put, an_add_to_a_cold_number_reads_it)
{
    uint32_t mail;

    for (mail = 0; mail < 2; mail++) {
        struct store_fixture fixture;
        struct warp_message message;
        uint64_t soon;

        store_fixture_init(&fixture, NULL);
        soon = warp_store_wall_ms(fixture.store) + 1000000;
        prepare_cold(&fixture, "41", soon);
        memset(&message, 0, sizeof(message));
        message.opcode = WARP_OP_ADD;
        message.level = WARP_MEMORY;
        message.key = store_slice("k");
        message.delta = 1;
        check_int(run_cold(&fixture, &message, mail != 0), ==, 0);
        check_int(message.number, ==, 42);
        check_str(store_get(&fixture, "k"), "42");
        check_u64(warp_record_expires_at_ms(store_find(&fixture, "k")), ==, soon);
        check(!store_is_cold(&fixture, "k"));
        prepare_cold(&fixture, "no number", 0);
        memset(&message, 0, sizeof(message));
        message.opcode = WARP_OP_ADD;
        message.key = store_slice("k");
        check_int(run_cold(&fixture, &message, mail != 0), ==, WARP_ENUMBER);
        check_str(store_get(&fixture, "k"), "no number");
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(put, a_record_that_changed_while_its_value_was_read_is_read_again)
{
    struct store_fixture fixture;
    struct warp_message message;
    struct warp_coldread *cold = &message.cold;

    store_fixture_init(&fixture, NULL);
    prepare_cold(&fixture, "1", 0);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_ADD;
    message.level = WARP_MEMORY;
    message.key = store_slice("k");
    message.delta = 1;
    check_int(store_execute_once(&fixture, &message), ==, WARP_MESSAGE_NEEDS_VALUE);
    /* Not read yet: nothing comes of trying again. */
    check_int(store_execute_once(&fixture, &message), ==, WARP_MESSAGE_NEEDS_VALUE);
    warp_coldread_run(fixture.store, &cold, 1);
    prepare_cold(&fixture, "10", 0); /* cold again, but elsewhere */
    check_int(store_execute_once(&fixture, &message), ==, WARP_MESSAGE_NEEDS_VALUE);
    warp_coldread_run(fixture.store, &cold, 1);
    check_int(store_put(&fixture, "k", "100", 0), ==, 0); /* resident now */
    check_int(store_execute_once(&fixture, &message), ==, 0);
    check_int(message.number, ==, 101);
    warp_coldread_end(fixture.store, &message.cold);
    check(warp_coldread_is_quiet(&fixture.store->gate, 0));
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, what_waits_for_a_value_in_the_mailbox_keeps_its_order)
{
    struct store_fixture fixture;
    struct warp_message messages[4];
    struct warp_shard *shard;
    uint64_t due_ns;
    uint32_t i;

    store_fixture_init(&fixture, NULL);
    shard = warp_store_owner(fixture.store, warp_hash_slot("k", 1));
    prepare_cold(&fixture, "1", 0);
    for (i = 0; i < 4; i++) {
        memset(&messages[i], 0, sizeof(messages[i]));
        messages[i].opcode = i == 2 ? WARP_OP_GET : WARP_OP_ADD;
        messages[i].level = WARP_MEMORY;
        messages[i].key = store_slice("k");
        messages[i].delta = 1;
        warp_message_hash(&messages[i], fixture.store->hash_seed);
        warp_message_prepare(&messages[i]);
        check_int(warp_mailbox_send(&shard->mailbox, 0, &messages[i]), ==, 0);
    }
    warp_shard_enter_surely(shard);
    warp_shard_leave(shard); /* a caller does not wait for the disk */
    check(!warp_message_is_done(&messages[0]));
    (void)warp_shard_turn(shard, warp_clock_ns(fixture.env.clock), &due_ns);
    for (i = 0; i < 4; i++) {
        check(warp_message_is_done(&messages[i]));
        check_int(messages[i].result, ==, 0);
        warp_coldread_end(fixture.store, &messages[i].cold);
    }
    check_int(messages[0].number, ==, 2);
    check_int(messages[1].number, ==, 3);
    check_bytes(messages[2].borrowed.data, messages[2].borrowed.bytes, "3", 1);
    check_int(messages[3].number, ==, 4);
    warp_get_return(&messages[2].borrowed);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, a_get_of_a_cold_record_by_mail_is_handed_back)
{
    struct store_fixture fixture;
    struct warp_message message;
    struct warp_coldread *cold = &message.cold;

    store_fixture_init(&fixture, NULL);
    prepare_cold(&fixture, "value", 0);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_GET;
    message.key = store_slice("k");
    check_int(store_execute_once(&fixture, &message), ==, WARP_MESSAGE_COLD);
    check(message.cold.open);
    warp_coldread_run(fixture.store, &cold, 1);
    check_bytes(cold->read.value, cold->read.value_bytes, "value", 5);
    warp_coldread_end(fixture.store, cold);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(put, a_value_that_cannot_be_read_refuses_the_write)
{
    struct store_fixture fixture;
    struct warp_message message;
    uint64_t count = 0, tail;
    uint8_t *bytes, *at;

    store_fixture_init(&fixture, NULL);
    prepare_cold(&fixture, "4141414141", 0);
    bytes = memory_disk_bytes(fixture.disk.now, "log-0000000000000000.warp", &count);
    at = bytes == NULL ? NULL : memmem(bytes, count, "4141414141", 10);
    if (check(at != NULL)) {
        *at ^= 1;
    }
    tail = warp_sequence_tail(&fixture.wal->writer.sequence);
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_ADD;
    message.level = WARP_MEMORY;
    message.key = store_slice("k");
    message.delta = 1;
    check_int(store_execute(&fixture, &message), ==, WARP_EDAMAGED);
    check_u64(warp_sequence_tail(&fixture.wal->writer.sequence), ==, tail);
    check(store_is_cold(&fixture, "k"));
    /* What does not depend on it goes on. */
    check_int(store_put(&fixture, "k", "new", 0), ==, 0);
    check_str(store_get(&fixture, "k"), "new");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

/* Samples that a shard has made, of all operations but the first of their size. */
static uint64_t samples_of(struct store_fixture *fixture, uint32_t shard)
{
    return warp_counter_read(&fixture->store->shards[shard]->sampler.samples);
}

WARP_TEST(put, whatever_the_holder_runs_is_weighed_when_that_is_wanted)
{
    struct store_fixture_config config = {.shard_count = 1};
    struct store_fixture fixture;
    struct warp_message message;
    struct warp_mass_cell *cell;
    struct warp_shard *shard;
    uint32_t slot, i;

    store_fixture_init(&fixture, &config);
    shard = fixture.store->shards[0];
    slot = warp_hash_slot("k", 1);
    cell = &fixture.store->slots[slot].mass;
    for (i = 0; i < 200; i++) { /* nobody wants it yet */
        check_int(store_put(&fixture, "k", "value", 0), ==, 0);
    }
    check_u64(samples_of(&fixture, 0), ==, 0);
    check_u64(cell->bytes, ==, 0);
    warp_mass_set_period(&fixture.store->mass, 1);
    for (i = 0; i < 64; i++) { /* it is noticed by now */
        check_int(store_put(&fixture, "k", "value", 0), ==, 0);
    }
    i = (uint32_t)samples_of(&fixture, 0);
    check_int(store_put(&fixture, "k", "value", 0), ==, 0);
    check_u64(samples_of(&fixture, 0), ==, i + 1);
    /* A clock that stands still: the least there is. */
    check_u64(cell->ticks, ==, samples_of(&fixture, 0));
    check_int(store_delete(&fixture, "k"), ==, 0);
    check_u64(samples_of(&fixture, 0), ==, i + 2);
    check_u64(cell->bytes, ==, 0); /* there is nothing now */
    /* What comes by mail, a get too. */
    memset(&message, 0, sizeof(message));
    message.opcode = WARP_OP_GET;
    message.key = store_slice("k");
    warp_message_hash(&message, fixture.store->hash_seed);
    check_int(warp_mailbox_send(&shard->mailbox, 3, &message), ==, 0);
    warp_shard_enter_surely(shard);
    warp_shard_leave(shard);
    check(warp_message_is_done(&message));
    check_int(message.result, ==, WARP_ABSENT);
    check_u64(samples_of(&fixture, 0), ==, i + 3);
    /* And no more. */
    warp_mass_set_period(&fixture.store->mass, 0);
    check_int(store_put(&fixture, "k", "value", 0), ==, 0); /* the countdown of before */
    for (slot = 0; slot < 200; slot++) {
        check_int(store_put(&fixture, "k", "value", 0), ==, 0);
    }
    check_u64(samples_of(&fixture, 0), <=, i + 4);
    check_int(store_fixture_fini(&fixture), ==, 0);
}
