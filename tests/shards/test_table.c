/* A slot's table against a shadow of it, at every fill, and with readers beside the writer.
 */
#include "shards/table.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "tests/lib/test.h"

#define SEED UINT64_C(0x5eed5eed5eed)

struct table_fixture {
    struct warp_memory memory;
    struct warp_epoch *epoch;
    struct warp_limbo limbo;
    warp_table_word word;
    struct warp_table_count count;
};

static void fixture_init(struct table_fixture *table)
{
    memset(table, 0, sizeof(*table));
    check_int(warp_memory_init(&table->memory, NULL), ==, 0);
    check_int(warp_epoch_create(&table->memory, &table->epoch), ==, 0);
    check_int(warp_limbo_init(&table->limbo, &table->memory, table->epoch, false), ==, 0);
}

static int drop_record(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct table_fixture *table = context;

    (void)place;
    warp_slab_release(&table->limbo.pool, record, warp_record_bytes_of(record));
    return 0;
}

/* What is left in the pool after everything was given back is a leak of the table. */
static void fixture_fini(struct table_fixture *table)
{
    uint32_t i;

    (void)warp_table_walk(&table->word, drop_record, table);
    warp_table_fini(&table->word, &table->limbo);
    for (i = 0; i < 10 && warp_limbo_collect(&table->limbo, true); i++) {
    }
    check_u64(warp_slab_bytes_used(&table->limbo.pool), ==, 0);
    warp_limbo_fini(&table->limbo);
    warp_epoch_destroy(&table->epoch);
    check_u64(warp_memory_bytes(&table->memory), ==, 0);
    warp_memory_fini(&table->memory);
}

static struct warp_record *make_record(struct table_fixture *table, uint64_t key,
                                       uint64_t value)
{
    struct warp_slice key_slice = {&key, sizeof(key)};
    struct warp_slice value_slice = {&value, sizeof(value)};
    struct warp_record *record =
        warp_slab_reserve(&table->limbo.pool, warp_record_bytes(8, 8, false));

    if (record != NULL) {
        warp_record_fill(record, value >> 1, key_slice, value_slice, 0, false);
    }
    return record;
}

static uint64_t hash_of(uint64_t key)
{
    return warp_hash_key(&key, sizeof(key), SEED);
}

/* 0, or WARP_ENOMEM with nothing changed for a reader. */
static int insert_hashed(struct table_fixture *table, uint64_t key, uint64_t hash)
{
    struct warp_record *record;

    if (warp_limbo_reserve(&table->limbo, 4) < 0 ||
        warp_table_prepare(&table->word, &table->count, &table->limbo, hash, SEED, false) <
            0) {
        return WARP_ENOMEM;
    }
    record = make_record(table, key, key * 3);
    if (record == NULL) {
        return WARP_ENOMEM;
    }
    warp_table_insert(&table->word, &table->count, hash, record);
    return 0;
}

static struct warp_record *find_hashed(struct table_fixture *table, uint64_t key,
                                       uint64_t hash, _Atomic uint64_t **place)
{
    return warp_table_find_in(warp_table_resolve(&table->word, hash), hash, &key,
                              sizeof(key), place);
}

static uint64_t value_of(const struct warp_record *record)
{
    uint64_t value;

    memcpy(&value, warp_record_value(record), sizeof(value));
    return value;
}

static void replace_hashed(struct table_fixture *table, uint64_t key, uint64_t hash,
                           uint64_t value)
{
    _Atomic uint64_t *place = NULL;
    struct warp_record *old = find_hashed(table, key, hash, &place);
    struct warp_record *fresh = make_record(table, key, value);

    check_int(warp_limbo_reserve(&table->limbo, 4), ==, 0);
    warp_table_replace(place, hash, fresh);
    warp_limbo_retire_record(&table->limbo, old);
}

static void remove_hashed(struct table_fixture *table, uint64_t key, uint64_t hash)
{
    _Atomic uint64_t *place = NULL;
    struct warp_record *old = find_hashed(table, key, hash, &place);

    check_int(warp_limbo_reserve(&table->limbo, 4), ==, 0);
    warp_table_remove(&table->word, &table->count, hash, place);
    warp_limbo_retire_record(&table->limbo, old);
}

static int count_record(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    uint64_t *count = context;

    (void)record;
    (void)place;
    *count += 1;
    return 0;
}

static uint64_t walk_count(struct table_fixture *table)
{
    uint64_t count = 0;

    check_int(warp_table_walk(&table->word, count_record, &count), ==, 0);
    return count;
}

static void random_against_shadow(uint32_t keys, uint32_t operations, uint64_t tag_mask)
{
    struct table_fixture table;
    struct warp_random random;
    uint64_t *shadow = calloc(keys, sizeof(*shadow)); /* value, 0: absent */
    uint64_t live = 0;
    uint32_t i, key;

    fixture_init(&table);
    warp_random_init(&random, test_seed() + keys);
    for (i = 0; i < operations; i++) {
        uint64_t hash;
        struct warp_record *record;

        key = (uint32_t)warp_random_below(&random, keys);
        hash = hash_of(key) & (tag_mask << 48 | ((UINT64_C(1) << 48) - 1));
        record = find_hashed(&table, key, hash, NULL);
        check_int(record != NULL, ==, shadow[key] != 0);
        if (record != NULL) {
            check_u64(value_of(record), ==, shadow[key]);
        }
        /* Phases that grow and phases that shrink. */
        if (shadow[key] == 0) {
            if (i / (4 * keys) % 2 == 0 || warp_random_chance(&random, 4)) {
                check_int(insert_hashed(&table, key, hash), ==, 0);
                shadow[key] = key * UINT64_C(3);
                if (key == 0) {
                    replace_hashed(&table, key, hash, 1);
                    shadow[key] = 1;
                }
                live++;
            }
        } else if (warp_random_chance(&random, 3)) {
            shadow[key] = warp_random_next(&random) | 1;
            replace_hashed(&table, key, hash, shadow[key]);
        } else if (i / (4 * keys) % 2 == 1 || warp_random_chance(&random, 4)) {
            remove_hashed(&table, key, hash);
            shadow[key] = 0;
            live--;
        }
    }
    for (key = 0; key < keys; key++) {
        uint64_t hash = hash_of(key) & (tag_mask << 48 | ((UINT64_C(1) << 48) - 1));

        check_int(find_hashed(&table, key, hash, NULL) != NULL, ==, shadow[key] != 0);
    }
    check_u64(walk_count(&table), ==, live);
    fixture_fini(&table);
    free(shadow);
}

WARP_TEST(table, few_keys_agree_with_a_shadow)
{
    random_against_shadow(20, 4000, 0xffff);
}

WARP_TEST(table, a_slot_of_usual_size_agrees_with_a_shadow)
{
    random_against_shadow(600, 40000, 0xffff);
}

WARP_TEST(table, a_slot_that_becomes_a_directory_agrees_with_a_shadow)
{
    random_against_shadow(12000, 150000, 0xffff);
}

WARP_TEST(table, chains_over_full_buckets_agree_with_a_shadow)
{
    random_against_shadow(120, 20000, 0xc000); /* four tags */
    random_against_shadow(60, 10000, 0);       /* one */
}

WARP_TEST(table, a_chain_wraps_at_the_end_of_the_array)
{
    struct table_fixture table;
    uint64_t hash = UINT64_C(0xffff) << 48; /* its home is the last bucket */
    uint64_t key;

    fixture_init(&table);
    for (key = 0; key < 200; key++) {
        check_int(insert_hashed(&table, key, hash), ==, 0);
    }
    for (key = 0; key < 200; key += 2) {
        remove_hashed(&table, key, hash);
    }
    for (key = 0; key < 200; key++) {
        check_int(find_hashed(&table, key, hash, NULL) != NULL, ==, key % 2 == 1);
    }
    fixture_fini(&table);
}

WARP_TEST(table, removed_entries_in_a_chain_are_used_again)
{
    struct table_fixture table;
    uint64_t word, key;

    fixture_init(&table);
    for (key = 0; key < 30; key++) {
        check_int(insert_hashed(&table, key, 0), ==, 0);
    }
    word = atomic_load(&table.word);
    /* As many rounds as would fill it many times over, were they not. */
    for (key = 30; key < 3000; key++) {
        remove_hashed(&table, key - 30, 0);
        check_int(insert_hashed(&table, key, 0), ==, 0);
    }
    check_u64(warp_table_buckets(atomic_load(&table.word)), ==, warp_table_buckets(word));
    check_u64(table.count.live, ==, 30);
    check_u64(walk_count(&table), ==, 30);
    fixture_fini(&table);
}

WARP_TEST(table, sizes_rise_by_a_third_at_most_and_none_is_left_out)
{
    uint32_t code, before = 0;

    for (code = 0; code < 36; code++) {
        uint32_t buckets = warp_table_buckets((uint64_t)code << 48);

        check_u64(buckets, >=, before);
        check(buckets > before || buckets == 4); /* which has two codes */
        if (before >= 3) {
            check_u64((uint64_t)buckets * 3, <=, (uint64_t)before * 4);
        }
        before = buckets;
    }
    check_u64(warp_table_buckets(0), ==, 1);
    check_u64(warp_table_buckets(UINT64_C(4) << 48), ==, 4);
    check_u64(warp_table_buckets(UINT64_C(5) << 48), ==, 5);
}

WARP_TEST(table, every_home_lies_inside)
{
    uint32_t buckets, tag;

    for (buckets = 1; buckets <= WARP_TABLE_BUCKETS_MAX; buckets++) {
        check_u64(warp_table_home(0, buckets), ==, 0);
        check_u64(warp_table_home(0xffff, buckets), ==, buckets - 1);
        for (tag = 0; tag < 65536; tag += 4099) {
            check_u64(warp_table_home((uint16_t)tag, buckets), <, buckets);
        }
    }
}

WARP_TEST(table, all_keys_are_there_at_every_load)
{
    struct table_fixture table;
    uint64_t key, other, word = 0;
    uint32_t growths = 0;

    fixture_init(&table);
    for (key = 0; key < 4900; key++) {
        check_int(insert_hashed(&table, key, hash_of(key)), ==, 0);
        if (atomic_load(&table.word) != word || key % 257 == 0) {
            growths += atomic_load(&table.word) != word;
            word = atomic_load(&table.word);
            for (other = 0; other <= key; other++) {
                struct warp_record *record =
                    find_hashed(&table, other, hash_of(other), NULL);

                if (!check(record != NULL)) {
                    break;
                }
            }
            check(find_hashed(&table, key + 1, hash_of(key + 1), NULL) == NULL);
        }
        check_u64(table.count.live, ==, key + 1);
        check_u64(table.count.used, <=,
                  warp_table_buckets(word) == 1 ? 7
                                                : warp_table_buckets(word) * 8 * 13 / 16);
    }
    check_u64(growths, >, 15);
    check_u64(growths, <, 40);
    /* Not much emptier than promised. */
    check_u64(warp_table_bytes(&table.word), <, 4900 * 8 * 10 / 5);
    fixture_fini(&table);
}

WARP_TEST(table, a_hundred_thousand_keys_become_a_directory)
{
    struct table_fixture table;
    uint64_t key;

    fixture_init(&table);
    for (key = 0; key < 100000; key++) {
        if (!check_int(insert_hashed(&table, key, hash_of(key)), ==, 0)) {
            break;
        }
    }
    check((atomic_load(&table.word) & WARP_WORD_DIRECTORY) != 0);
    check_u64(walk_count(&table), ==, 100000);
    for (key = 0; key < 100000; key++) {
        struct warp_record *record = find_hashed(&table, key, hash_of(key), NULL);

        if (!check(record != NULL && value_of(record) == key * 3)) {
            break;
        }
    }
    for (key = 0; key < 100000; key += 2) {
        remove_hashed(&table, key, hash_of(key));
    }
    check_u64(walk_count(&table), ==, 50000);
    for (key = 0; key < 100000; key++) {
        if (!check_int(find_hashed(&table, key, hash_of(key), NULL) != NULL, ==,
                       key % 2 == 1)) {
            break;
        }
    }
    /* And back in. */
    for (key = 0; key < 100000; key += 2) {
        if (!check_int(insert_hashed(&table, key, hash_of(key)), ==, 0)) {
            break;
        }
    }
    check_u64(walk_count(&table), ==, 100000);
    check_u64(warp_table_bytes(&table.word), <, 100000 * 8 * 2);
    fixture_fini(&table);
}

struct stop_walk {
    uint32_t seen;
};

static int stop_at_ten(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct stop_walk *walk = context;

    (void)record;
    (void)place;
    return ++walk->seen == 10 ? 77 : 0;
}

WARP_TEST(table, a_walk_stops_when_told)
{
    struct table_fixture table;
    struct stop_walk walk = {0};
    uint64_t key;

    fixture_init(&table);
    check_int(warp_table_walk(&table.word, stop_at_ten, &walk), ==, 0);
    for (key = 0; key < 100; key++) {
        check_int(insert_hashed(&table, key, hash_of(key)), ==, 0);
    }
    check_int(warp_table_walk(&table.word, stop_at_ten, &walk), ==, 77);
    check_u64(walk.seen, ==, 10);
    fixture_fini(&table);
}

struct remove_walk {
    struct table_fixture *table;
    uint32_t removed;
};

static int remove_odd(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct remove_walk *walk = context;
    uint64_t key;

    memcpy(&key, warp_record_key(record), sizeof(key));
    if (key % 2 == 1) {
        (void)warp_limbo_reserve(&walk->table->limbo, 1);
        warp_table_remove(&walk->table->word, &walk->table->count, hash_of(key), place);
        warp_limbo_retire_record(&walk->table->limbo, record);
        walk->removed++;
    }
    return 0;
}

WARP_TEST(table, a_walk_may_remove_what_it_is_given)
{
    static const uint32_t sizes[] = {5, 500, 20000};
    uint32_t i;

    for (i = 0; i < 3; i++) {
        struct table_fixture table;
        struct remove_walk walk = {&table, 0};
        uint64_t key;

        fixture_init(&table);
        for (key = 0; key < sizes[i]; key++) {
            check_int(insert_hashed(&table, key, hash_of(key)), ==, 0);
        }
        check_int(warp_table_walk(&table.word, remove_odd, &walk), ==, 0);
        check_u64(walk.removed, ==, sizes[i] / 2);
        for (key = 0; key < sizes[i]; key++) {
            check_int(find_hashed(&table, key, hash_of(key), NULL) != NULL, ==,
                      key % 2 == 0);
        }
        fixture_fini(&table);
    }
}

/* As a batch does: reserve for all, then insert without any step that may fail. */
static void reserve_and_insert(uint32_t before, uint32_t batch)
{
    struct table_fixture table;
    struct warp_record **records = calloc(batch, sizeof(*records));
    uint64_t calls, key;
    bool again = true;
    uint32_t rounds = 0;

    fixture_init(&table);
    for (key = 0; key < before; key++) {
        check_int(insert_hashed(&table, key, hash_of(key)), ==, 0);
    }
    while (again && check_u64(++rounds, <, 1000)) {
        again = false;
        for (key = before; key < before + batch && !again; key++) {
            int rc;

            check_int(warp_limbo_reserve(&table.limbo, 4), ==, 0);
            rc = warp_table_prepare(&table.word, &table.count, &table.limbo, hash_of(key),
                                    SEED, true);
            check(rc == 0 || rc == WARP_AGAIN);
            again = rc == WARP_AGAIN;
        }
        for (key = before; again && key < before + batch; key++) {
            warp_table_unreserve(&table.word, &table.count, hash_of(key));
        }
    }
    for (key = 0; key < batch; key++) {
        records[key] = make_record(&table, before + key, key);
    }
    calls = warp_memory_calls(&table.memory);
    warp_memory_fail_after(&table.memory, 0);
    for (key = 0; key < batch; key++) {
        warp_table_insert(&table.word, &table.count, hash_of(before + key), records[key]);
    }
    warp_memory_fail_after(&table.memory, UINT64_MAX);
    check_u64(warp_memory_calls(&table.memory), ==, calls);
    for (key = before; key < before + batch; key++) {
        warp_table_unreserve(&table.word, &table.count, hash_of(key));
    }
    for (key = 0; key < before + batch; key++) {
        if (!check(find_hashed(&table, key, hash_of(key), NULL) != NULL)) {
            break;
        }
    }
    check_u64(walk_count(&table), ==, before + batch);
    fixture_fini(&table);
    free(records);
}

WARP_TEST(table, reserved_places_are_there)
{
    uint32_t before;

    reserve_and_insert(0, 1);
    for (before = 0; before < 64; before += 3) {
        reserve_and_insert(before, 40);
    }
    reserve_and_insert(1000, 3000);
    reserve_and_insert(3000, 30000);
    reserve_and_insert(0, 60000);
}

WARP_TEST(table, reservations_given_up_leave_nothing_behind)
{
    struct table_fixture table;
    uint64_t key;
    uint32_t round;

    fixture_init(&table);
    for (round = 0; round < 300; round++) {
        for (key = 0; key < 50; key++) {
            check_int(warp_limbo_reserve(&table.limbo, 4), ==, 0);
            check_int(warp_table_prepare(&table.word, &table.count, &table.limbo,
                                         hash_of(key), SEED, true),
                      ==, 0);
        }
        for (key = 0; key < 50; key++) {
            warp_table_unreserve(&table.word, &table.count, hash_of(key));
        }
        check_u64(table.count.reserved, ==, 0);
    }
    check_u64(warp_table_bytes(&table.word), <=, 50 * 8 * 2);
    fixture_fini(&table);
}

static uint32_t match_scalar(const struct warp_table_bucket *bucket, uint16_t tag)
{
    uint32_t result = 0;
    uint32_t i;

    for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
        result |= (uint32_t)(atomic_load(&bucket->entries[i]) >> 48 == tag) << i;
    }
    return result;
}

WARP_TEST(table, the_probe_says_what_a_plain_loop_says)
{
    _Alignas(64) struct warp_table_bucket bucket;
    struct warp_random random;
    uint32_t round, i;

    warp_random_init(&random, test_seed());
    for (round = 0; round < 200000; round++) {
        uint64_t bits = warp_random_next(&random);
        uint16_t tag = (uint16_t)(round % 5 == 0   ? 0
                                  : round % 5 == 1 ? 0x8000
                                  : round % 5 == 2 ? 0xffff
                                                   : bits >> 20);

        for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
            /* The wanted tag in some entries, and in the other lanes of others. */
            uint64_t entry = warp_random_next(&random);

            if ((bits >> i & 1) != 0) {
                entry = (entry & WARP_POINTER_MASK) | (uint64_t)tag << 48;
            }
            if ((bits >> (i + 8) & 1) != 0) {
                entry = (entry & ~UINT64_C(0xffffffff)) | (uint64_t)tag << 16 | tag;
            }
            if ((bits >> (i + 16) & 3) == 3) {
                entry = bits >> 63;
            }
            atomic_store(&bucket.entries[i], entry);
        }
        if (!check_u64(warp_table_match(&bucket, tag), ==, match_scalar(&bucket, tag))) {
            break;
        }
    }
    /* Each entry by itself. */
    for (i = 0; i < WARP_BUCKET_ENTRIES; i++) {
        memset(&bucket, 0, sizeof(bucket));
        atomic_store(&bucket.entries[i], UINT64_C(0x1234) << 48 | 4096);
        check_u64(warp_table_match(&bucket, 0x1234), ==, 1u << i);
    }
}

WARP_TEST(table, no_memory_at_any_step_leaves_the_table_as_it_was)
{
    uint64_t fail_after;
    bool failed = true;

    for (fail_after = 0; failed && fail_after < 400; fail_after++) {
        struct table_fixture table;
        uint64_t key, other;

        failed = false;
        fixture_init(&table);
        warp_memory_fail_after(&table.memory, fail_after);
        for (key = 0; key < 11000; key++) {
            int rc = insert_hashed(&table, key, hash_of(key));

            if (rc == 0) {
                continue;
            }
            if (failed) {
                check_int(rc, ==, 0); /* it may fail only once: memory is back */
                break;
            }
            failed = true;
            for (other = 0; other < key; other++) {
                if (!check(find_hashed(&table, other, hash_of(other), NULL) != NULL)) {
                    break;
                }
            }
            check(find_hashed(&table, key, hash_of(key), NULL) == NULL);
            check_u64(walk_count(&table), ==, key);
            warp_memory_fail_after(&table.memory, UINT64_MAX);
            key--; /* once more */
        }
        check_u64(walk_count(&table), ==, 11000);
        fixture_fini(&table);
    }
    check(!failed);
    check_u64(fail_after, >, 3);
}

/* ---- readers beside the owner -------------------------------------------------------- */

#define STEADY  2000u
#define READERS 2u

struct reader {
    struct table_fixture *table;
    _Atomic bool *stop;
    pthread_t thread;
    uint64_t seed, lookups, missing, wrong;
};

static void *read_main(void *context)
{
    struct reader *reader = context;
    struct table_fixture *table = reader->table;
    struct warp_epoch_record *record = NULL;
    struct warp_random random;

    warp_random_init(&random, reader->seed);
    check_int(warp_epoch_register(table->epoch, &record), ==, 0);
    while (!atomic_load_explicit(reader->stop, memory_order_relaxed)) {
        uint64_t key = warp_random_below(&random, STEADY);
        uint64_t other = STEADY + warp_random_below(&random, 20000);
        struct warp_record *found;

        warp_epoch_enter(record);
        found = find_hashed(table, key, hash_of(key), NULL);
        if (found == NULL) {
            reader->missing++;
        } else if (warp_record_key_bytes(found) != 8 || value_of(found) % 3 != 0) {
            reader->wrong++;
        }
        found = find_hashed(table, other, hash_of(other), NULL);
        if (found != NULL && value_of(found) % 3 != 0) {
            reader->wrong++;
        }
        warp_epoch_leave(record);
        reader->lookups++;
    }
    warp_epoch_unregister(&record);
    return NULL;
}

WARP_TEST(table, readers_always_find_what_stays)
{
    struct table_fixture table;
    struct reader readers[READERS];
    _Atomic bool stop = false;
    struct warp_random random;
    uint64_t key;
    uint32_t i, round;

    fixture_init(&table);
    warp_random_init(&random, test_seed());
    for (key = 0; key < STEADY; key++) {
        check_int(insert_hashed(&table, key, hash_of(key)), ==, 0);
    }
    memset(readers, 0, sizeof(readers));
    for (i = 0; i < READERS; i++) {
        readers[i].table = &table;
        readers[i].stop = &stop;
        readers[i].seed = i;
        pthread_create(&readers[i].thread, NULL, read_main, &readers[i]);
    }
    /* Grow past a directory, replace, take everything but the steady keys out, and again.
     */
    for (round = 0; round < 3; round++) {
        for (key = STEADY; key < STEADY + 20000; key++) {
            uint64_t steady = warp_random_below(&random, STEADY);

            check_int(insert_hashed(&table, key, hash_of(key)), ==, 0);
            replace_hashed(&table, steady, hash_of(steady),
                           3 * warp_random_below(&random, 1000000));
        }
        for (key = STEADY; key < STEADY + 20000; key++) {
            remove_hashed(&table, key, hash_of(key));
        }
    }
    atomic_store(&stop, true);
    for (i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        check_u64(readers[i].missing, ==, 0);
        check_u64(readers[i].wrong, ==, 0);
        check_u64(readers[i].lookups, >, 0);
    }
    fixture_fini(&table);
}
