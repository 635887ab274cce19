/* A cold record is read, kept if it is still the one, and files wait for who reads them. */
#include "shards/coldread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "shards/evict.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/test.h"

static void begin(struct store_fixture *fixture, const char *key,
                  struct warp_coldread *cold)
{
    struct warp_record *record = store_find(fixture, key);

    warp_coldread_begin(fixture->store, cold, warp_hash_slot(key, strlen(key)),
                        warp_hash_key(key, strlen(key), fixture->store->hash_seed),
                        store_slice(key), record);
}

static void read_one(struct store_fixture *fixture, struct warp_coldread *cold)
{
    warp_coldread_run(fixture->store, &cold, 1);
}

static uint64_t admissions(const struct store_fixture *fixture)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < fixture->config.shard_count; i++) {
        sum += warp_counter_read(&fixture->store->shards[i]->counters.admissions);
    }
    return sum;
}

static void check_quiet(struct store_fixture *fixture)
{
    check(warp_coldread_is_quiet(&fixture->store->gate, 0));
    check(warp_coldread_is_quiet(&fixture->store->gate, 1));
}

WARP_TEST(coldread, goes_from_place_to_value_and_back_to_memory)
{
    struct store_fixture fixture;
    struct warp_coldread cold;
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t sequence, expires_at_ms;

    store_fixture_init(&fixture, NULL);
    expires_at_ms = warp_store_wall_ms(fixture.store) + 1000000;
    check_int(store_put(&fixture, "k", "value", expires_at_ms), ==, 0);
    sequence = warp_record_sequence(store_find(&fixture, "k"));
    store_make_cold(&fixture);
    check(store_is_cold(&fixture, "k"));
    begin(&fixture, "k", &cold);
    check(cold.open);
    check_int(cold.read.rc, ==, WARP_AGAIN); /* not read yet */
    check(!warp_coldread_is_quiet(&fixture.store->gate, 0));
    read_one(&fixture, &cold);
    check_int(cold.read.rc, ==, 0);
    check_bytes(cold.read.value, cold.read.value_bytes, "value", 5);
    check_u64(cold.read.sequence, ==, sequence);
    check_u64(cold.read.expires_at_ms, ==, expires_at_ms);
    check_int(warp_coldread_lend(fixture.store, &cold, &value), ==, 0);
    warp_coldread_admit(fixture.store, &cold);
    warp_coldread_end(fixture.store, &cold);
    check(!cold.open);
    warp_coldread_end(fixture.store, &cold); /* once more is nothing */
    check_quiet(&fixture);
    /* The loan outlives the read. */
    check_bytes(value.data, value.bytes, "value", 5);
    check_u64(value.sequence, ==, sequence);
    check_u64(value.expires_at_ms, ==, expires_at_ms);
    warp_get_return(&value);
    check(!store_is_cold(&fixture, "k"));
    check_u64(warp_record_sequence(store_find(&fixture, "k")), ==, sequence);
    check_u64(warp_record_expires_at_ms(store_find(&fixture, "k")), ==, expires_at_ms);
    check_u64(admissions(&fixture), ==, 1);
    check_str(store_get(&fixture, "k"), "value");
    check_int(store_fixture_fini(&fixture), ==, 0);
}

enum change {
    CHANGE_PUT,
    CHANGE_PUT_AND_EVICT, /* cold again, elsewhere */
    CHANGE_DELETE,
    CHANGE_EXPIRE,
    CHANGE_ADMIT, /* somebody else was quicker */
    CHANGE_COUNT
};

WARP_TEST(coldread, is_not_kept_when_the_record_is_another_one)
{
    enum change change;

    for (change = 0; change < CHANGE_COUNT; change++) {
        struct store_fixture fixture;
        struct warp_coldread cold, other;
        uint64_t before;

        store_fixture_init(&fixture, NULL);
        check_int(
            store_put(&fixture, "k", "old",
                      change == CHANGE_EXPIRE ? warp_store_wall_ms(fixture.store) + 5 : 0),
            ==, 0);
        store_make_cold(&fixture);
        begin(&fixture, "k", &cold);
        read_one(&fixture, &cold);
        check_int(cold.read.rc, ==, 0);
        switch (change) {
        case CHANGE_PUT:
        case CHANGE_PUT_AND_EVICT:
            check_int(store_put(&fixture, "k", "new", 0), ==, 0);
            if (change == CHANGE_PUT_AND_EVICT) {
                store_make_cold(&fixture);
            }
            break;
        case CHANGE_DELETE:
            check_int(store_delete(&fixture, "k"), ==, 0);
            break;
        case CHANGE_EXPIRE:
            warp_clock_fake_advance(&fixture.clock, 1000000000);
            break;
        case CHANGE_ADMIT:
            begin(&fixture, "k", &other);
            read_one(&fixture, &other);
            warp_coldread_admit(fixture.store, &other);
            warp_coldread_end(fixture.store, &other);
            break;
        case CHANGE_COUNT:
            break;
        }
        before = admissions(&fixture);
        warp_coldread_admit(fixture.store, &cold);
        check_u64(admissions(&fixture), ==, before);
        /* What it read is still what was there when it looked. */
        check_bytes(cold.read.value, cold.read.value_bytes, "old", 3);
        warp_coldread_end(fixture.store, &cold);
        check_quiet(&fixture);
        if (change == CHANGE_DELETE || change == CHANGE_EXPIRE) {
            check(store_get(&fixture, "k") == NULL);
        } else {
            check_str(store_get(&fixture, "k"), change == CHANGE_ADMIT ? "old" : "new");
        }
        warp_store_check(fixture.store);
        check_int(store_fixture_fini(&fixture), ==, 0);
    }
}

WARP_TEST(coldread, is_not_kept_when_the_shard_is_busy_or_out_of_memory)
{
    struct store_fixture fixture;
    struct warp_coldread cold;
    struct warp_shard *shard;

    store_fixture_init(&fixture, NULL);
    shard = warp_store_owner(fixture.store, warp_hash_slot("k", 1));
    check_int(store_put(&fixture, "k", "value", 0), ==, 0);
    store_make_cold(&fixture);
    begin(&fixture, "k", &cold);
    read_one(&fixture, &cold);
    warp_shard_enter_surely(shard);
    warp_coldread_admit(fixture.store, &cold);
    check(store_is_cold(&fixture, "k"));
    warp_shard_leave(shard);
    fixture.store->memory_bytes_max = 1;
    warp_shard_enter_surely(shard);
    warp_evict_share(shard);
    warp_shard_leave(shard);
    warp_coldread_admit(fixture.store, &cold);
    check(store_is_cold(&fixture, "k"));
    fixture.store->memory_bytes_max = UINT64_C(1) << 40;
    warp_shard_enter_surely(shard);
    warp_evict_share(shard);
    warp_shard_leave(shard);
    warp_coldread_admit(fixture.store, &cold);
    check(!store_is_cold(&fixture, "k"));
    warp_coldread_end(fixture.store, &cold);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(coldread, many_side_by_side_come_back)
{
    struct store_fixture_config config = {.segment_bytes = 65536};
    struct store_fixture fixture;
    struct warp_coldread colds[WARP_COLDREAD_GROUP], *pointers[WARP_COLDREAD_GROUP];
    char keys[WARP_COLDREAD_GROUP][16], value[9000];
    uint32_t i;

    store_fixture_init(&fixture, &config);
    for (i = 0; i < WARP_COLDREAD_GROUP; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%u", i);
        memset(value, 'a' + (int)i % 26, sizeof(value));
        value[i * 250 + 1] = '\0';
        check_int(store_put(&fixture, keys[i], value, 0), ==, 0);
    }
    store_make_cold(&fixture);
    for (i = 0; i < WARP_COLDREAD_GROUP; i++) {
        begin(&fixture, keys[i], &colds[i]);
        pointers[i] = &colds[i];
    }
    warp_coldread_run(fixture.store, pointers, WARP_COLDREAD_GROUP);
    for (i = 0; i < WARP_COLDREAD_GROUP; i++) {
        check_int(colds[i].read.rc, ==, 0);
        check_u64(colds[i].read.value_bytes, ==, i * 250 + 1);
        memset(value, 'a' + (int)i % 26, sizeof(value));
        check(memcmp(colds[i].read.value, value, i * 250 + 1) == 0);
        warp_coldread_end(fixture.store, &colds[i]);
    }
    check_quiet(&fixture);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(coldread, what_is_gone_or_rotten_is_damage)
{
    struct store_fixture fixture;
    struct warp_coldread cold;
    uint8_t *bytes;
    uint64_t place, count = 0;
    char name[64];

    store_fixture_init(&fixture, NULL);
    check_int(store_put(&fixture, "k", "a value to be spoilt", 0), ==, 0);
    store_make_cold(&fixture);
    place = warp_record_place(store_find(&fixture, "k"));
    snprintf(name, sizeof(name), "log-%016x.warp", 0u);
    bytes = memory_disk_bytes(fixture.disk.now, name, &count);
    if (check(bytes != NULL)) {
        uint8_t *at = memmem(bytes, count, "a value to be spoilt", 20);

        if (check(at != NULL)) {
            at[3] ^= 1;
        }
    }
    begin(&fixture, "k", &cold);
    check_u64(cold.read.place, ==, place);
    read_one(&fixture, &cold);
    check_int(cold.read.rc, ==, WARP_EDAMAGED);
    warp_coldread_admit(fixture.store, &cold); /* never a value */
    check(store_is_cold(&fixture, "k"));
    warp_coldread_end(fixture.store, &cold);
    check_quiet(&fixture);
    check_int(store_fixture_fini(&fixture), ==, 0);
}

WARP_TEST(coldread, the_gate_has_two_sides)
{
    struct warp_coldread_gate gate;
    uint32_t early, late, side;

    memset(&gate, 0, sizeof(gate));
    early = warp_coldread_enter(&gate);
    side = warp_coldread_flip(&gate);
    check_u64(side, ==, early);
    late = warp_coldread_enter(&gate);
    check_u64(late, !=, early);
    check(!warp_coldread_is_quiet(&gate, side));
    warp_coldread_leave(&gate, early);
    check(warp_coldread_is_quiet(&gate, side)); /* whoever came later is not waited for */
    check(!warp_coldread_is_quiet(&gate, late));
    side = warp_coldread_flip(&gate);
    check_u64(side, ==, late);
    check(!warp_coldread_is_quiet(&gate, side));
    warp_coldread_leave(&gate, late);
    check(warp_coldread_is_quiet(&gate, side));
}

/* ---- real threads ---------------------------------------------------------------------- */

enum { GATE_FILES = 4 };

struct gate_test {
    struct warp_coldread_gate gate;
    struct warp_epoch *epoch;
    _Atomic uint32_t current;          /* the file that a record refers to */
    _Atomic uint32_t gone[GATE_FILES]; /* removed */
    _Atomic bool stop;
    _Atomic uint64_t reads, misses;
};

static void *gate_read(void *context)
{
    struct gate_test *test = context;
    struct warp_epoch_record *record = NULL;
    uint32_t turn = 0;

    check_int(warp_epoch_register(test->epoch, &record), ==, 0);
    while (!atomic_load(&test->stop)) {
        uint32_t side, file;

        warp_epoch_enter(record);
        file = atomic_load(&test->current);
        if (++turn % 16 == 0) {
            sched_yield(); /* the others flip meanwhile, or want to */
        }
        side = warp_coldread_enter(&test->gate);
        warp_epoch_leave(record);
        if (turn % 16 == 0) {
            sched_yield();
        }
        atomic_fetch_add(&test->reads, 1);
        if (atomic_load(&test->gone[file]) != 0) {
            atomic_fetch_add(&test->misses, 1);
        }
        warp_coldread_leave(&test->gate, side);
    }
    warp_epoch_unregister(&record);
    return NULL;
}

struct gate_grace {
    struct warp_epoch_entry entry;
    bool over;
};

static void gate_over(struct warp_epoch_entry *entry, void *context)
{
    (void)entry;
    ((struct gate_grace *)context)->over = true;
}

/* Let a grace period pass. */
static void gate_wait(struct warp_epoch_record *record)
{
    struct gate_grace grace = {.over = false};

    warp_epoch_retire(record, &grace.entry, gate_over, &grace);
    while (!grace.over) {
        (void)warp_epoch_poll(record);
    }
}

WARP_TEST(coldread, no_file_goes_under_its_reader)
{
    static struct gate_test test;
    struct warp_epoch_record *record = NULL;
    struct warp_memory memory;
    pthread_t threads[3];
    uint32_t round, i;

    memset(&test, 0, sizeof(test));
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_epoch_create(&memory, &test.epoch), ==, 0);
    check_int(warp_epoch_register(test.epoch, &record), ==, 0);
    for (i = 0; i < 3; i++) {
        check_int(pthread_create(&threads[i], NULL, gate_read, &test), ==, 0);
    }
    for (round = 0; round < 3000 || atomic_load(&test.reads) < 200000; round++) {
        uint32_t old = round % GATE_FILES, fresh = (round + 1) % GATE_FILES, side;

        atomic_store(&test.gone[fresh], 0);
        atomic_store(&test.current, fresh);
        gate_wait(record);
        side = warp_coldread_flip(&test.gate);
        gate_wait(record);
        while (!warp_coldread_is_quiet(&test.gate, side)) {
        }
        atomic_store(&test.gone[old], 1);
    }
    atomic_store(&test.stop, true);
    for (i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    check_u64(test.misses, ==, 0);
    check_u64(test.reads, >, 0);
    warp_epoch_unregister(&record);
    warp_epoch_destroy(&test.epoch);
    warp_memory_fini(&memory);
}
