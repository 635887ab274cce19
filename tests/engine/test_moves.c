/*
 * Slots change their shard while everybody goes on, and are where they were after a reopening.
 *
 * The crowd: threads that write keys of their own and know what each must be; blocking calls,
 * sessions, batches, counters that all share, records that expire, checkpoints and compactions; and
 * one that moves the slots all of them use. What a thread reads of its own keys must be what it wrote
 * last, whatever shard carried it out; the sums and the files must be right in the end.
 */
#include "tests/engine/fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "shards/placement.h"

static void path_of(char out[512], const char *directory)
{
    snprintf(out, 512, "%s/%s", directory, WARP_PLACEMENT_NAME);
}

static bool file_is_there(const char *directory)
{
    char path[512];
    struct stat status;

    path_of(path, directory);
    return stat(path, &status) == 0;
}

static const char *key_of(uint32_t i, char key[32])
{
    snprintf(key, 32, "key-%u", i);
    return key;
}

static void fill(struct warp *db, uint32_t count)
{
    char key[32], value[32];
    uint32_t i;

    for (i = 0; i < count; i++) {
        snprintf(value, sizeof(value), "value-%u", i);
        check_int(fixture_put(db, key_of(i, key), value), ==, 0);
    }
}

static void check_filled(struct warp *db, uint32_t count)
{
    char key[32], value[32], found[256];
    uint32_t i;

    check(fixture_metric(db, "warp_records") == (double)count);
    for (i = 0; i < count; i++) {
        snprintf(value, sizeof(value), "value-%u", i);
        if (!check_str(fixture_get(db, key_of(i, key), found), value)) {
            return;
        }
    }
}

static void owners_of(struct warp *db, uint8_t owners[WARP_SLOT_COUNT])
{
    warp_slotmap_save(&db->store->slotmap, owners);
}

static bool is_even(struct warp *db)
{
    uint32_t slot;

    for (slot = 0; slot < WARP_SLOT_COUNT; slot++) {
        if (warp_slotmap_owner(&db->store->slotmap, slot) !=
            slot % db->store->shard_count) {
            return false;
        }
    }
    return true;
}

/* Move some; others may hold a lease for a moment. */
static void scatter(struct warp *db, uint32_t moves)
{
    uint32_t i;
    int rc;

    for (i = 0; i < moves; i++) {
        uint32_t slot = (i * 7919u) % WARP_SLOT_COUNT;

        do {
            rc = warp_engine_move_slot(db, slot, (slot / 3) % db->store->shard_count);
        } while (rc == WARP_AGAIN);
        check_int(rc, ==, 0);
    }
}

WARP_TEST(moves, placement_is_kept_over_a_reopening)
{
    static uint8_t before[WARP_SLOT_COUNT], after[WARP_SLOT_COUNT];
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db;

    options.shard_count = 4;
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    fill(db, 3000);
    check_int(warp_checkpoint(db), ==, 0);
    check(!file_is_there(directory)); /* there is nothing to say */
    scatter(db, 500);
    check(!is_even(db));
    owners_of(db, before);
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
    check(file_is_there(directory));
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    owners_of(db, after);
    check(memcmp(before, after, sizeof(before)) == 0);
    check(fixture_metric(db, "warp_slot_placement_lost") == 0);
    warp_engine_check(db);
    check_filled(db, 3000);
    check_int(warp_close(&db), ==, 0);
    /* Also for who only reads. */
    options.open_flags = WARP_READ_ONLY;
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    owners_of(db, after);
    check(memcmp(before, after, sizeof(before)) == 0);
    check_filled(db, 3000);
    check_int(warp_engine_move_slot(db, 0, 1), ==, WARP_EINVAL);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(moves, a_checkpoint_keeps_the_placement_too)
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    uint64_t until_ns = support_now_ns() + UINT64_C(20000000000);
    struct warp *db = fixture_open(directory, &options);

    if (db == NULL) {
        return;
    }
    fill(db, 100);
    scatter(db, 10);
    check(!file_is_there(directory));
    check_int(warp_checkpoint(db), ==, 0);
    while (!file_is_there(directory) && support_now_ns() < until_ns) {
        support_sleep_ns(1000000);
    }
    check(file_is_there(directory));
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(moves, another_number_of_shards_is_only_another_map)
{
    static const uint32_t counts[] = {2, 8, 3, 1, 64, 2};
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    double tail = 0;
    struct warp *db;
    size_t i;

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        options.shard_count = counts[i];
        db = fixture_open(directory, &options);
        if (db == NULL) {
            return;
        }
        check(fixture_metric(db, "warp_shards") == (double)counts[i]);
        check(fixture_metric(db, "warp_slot_placement_lost") == 0);
        if (i == 0) {
            fill(db, 3000);
            scatter(db, 300);
        } else {
            /* No record is written anew for it: an open and a close take a few frames. */
            check(fixture_metric(db, "warp_log_tail_bytes") - tail < 4096 * 4);
            check(is_even(db) == (counts[i] != 2));
        }
        tail = fixture_metric(db, "warp_log_tail_bytes");
        check_filled(db, 3000);
        warp_engine_check(db);
        check_int(warp_close(&db), ==, 0);
    }
}

/* What is done to the file, and whether the open is to notice. */
static void check_odd(const char *directory, const uint8_t *bytes, size_t count, bool lost)
{
    struct warp_options options = fixture_options();
    char path[512];
    struct warp *db;
    FILE *file;

    path_of(path, directory);
    file = fopen(path, "wb");
    check(file != NULL && fwrite(bytes, 1, count, file) == count);
    if (file != NULL) {
        fclose(file);
    }
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    check(fixture_metric(db, "warp_slot_placement_lost") == (lost ? 1 : 0));
    check(is_even(db));
    check_filled(db, 200);
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
}

static void sign(uint8_t *bytes, size_t count)
{
    warp_store_u32le(bytes + 20, 0);
    warp_store_u32le(bytes + 20, warp_crc32c(0, bytes, count));
}

WARP_TEST(moves, an_odd_placement_is_dealt_anew_and_told)
{
    enum { BYTES = 4096 + WARP_SLOT_COUNT };
    static const size_t flips[] = {0,  8,  12,  16,   20,   24,
                                   41, 45, 300, 4096, 4097, BYTES - 1};
    static uint8_t good[BYTES + 1], bad[BYTES + 1];
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    char path[512];
    struct warp *db = fixture_open(directory, &options);
    FILE *file;
    size_t i;

    if (db == NULL) {
        return;
    }
    fill(db, 200);
    scatter(db, 50);
    check_int(warp_close(&db), ==, 0);
    path_of(path, directory);
    file = fopen(path, "rb");
    if (!check(file != NULL)) {
        return;
    }
    check_u64(fread(good, 1, sizeof(good), file), ==, BYTES);
    fclose(file);
    for (i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        memcpy(bad, good, BYTES);
        bad[flips[i]] ^= 4;
        check_odd(directory, bad, BYTES, true);
    }
    check_odd(directory, good, 0, true);
    check_odd(directory, good, 4096, true);
    check_odd(directory, good, BYTES - 1, true);
    /* Whole, but with an owner that is no shard; or another database's; or from a later day. */
    memcpy(bad, good, BYTES);
    bad[4096 + 77] = 2;
    sign(bad, BYTES);
    check_odd(directory, bad, BYTES, true);
    memcpy(bad, good, BYTES);
    bad[24] ^= 1;
    sign(bad, BYTES);
    check_odd(directory, bad, BYTES, true);
    memcpy(bad, good, BYTES);
    bad[12] = 2;
    sign(bad, BYTES);
    check_odd(directory, bad, BYTES, true);
    /* Of another number of shards: nothing is lost. */
    memcpy(bad, good, BYTES);
    bad[40] = 3;
    sign(bad, BYTES);
    check_odd(directory, bad, BYTES, false);
    /* As it was, it still counts. */
    file = fopen(path, "wb");
    check(file != NULL && fwrite(good, 1, BYTES, file) == BYTES);
    if (file != NULL) {
        fclose(file);
    }
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    check(!is_even(db));
    check_int(warp_close(&db), ==, 0);
    /* A database from before there were such files. */
    check_int(unlink(path), ==, 0);
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    check(is_even(db));
    check(fixture_metric(db, "warp_slot_placement_lost") == 0);
    check_filled(db, 200);
    check_int(warp_close(&db), ==, 0);
}

/*
 * A session's put waits in the list of the old owner, not even sent, while the slot moves; a get of the
 * same key comes after it. The new owner is free, but the get must not go there first.
 */
WARP_TEST(moves, a_get_does_not_overtake_a_put_that_waits_for_the_old_owner)
{
    enum { OTHERS = 12 };
    static char names[OTHERS][32];
    struct warp_options options = fixture_options();
    struct warp_request requests[OTHERS + 2];
    struct warp_completion completions[OTHERS + 2];
    struct warp_session *session = NULL;
    struct warp_shard *from;
    struct warp_env env;
    struct warp *db = NULL;
    uint32_t slot = warp_hash_slot("{tag}key", 8), count = 0, answered = 0, tries = 0, i;
    bool seen = false;
    int rc;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.mailbox_capacity = 2;
    if (!check_int(warp_engine_open(test_directory(), &options, &env, &db), ==, 0) ||
        !check_int(warp_session_create(db, 64, &session), ==, 0)) {
        return;
    }
    check_int(fixture_put(db, "{tag}key", "old"), ==, 0);
    from = warp_store_owner(db->store, slot);
    for (i = 0; count < OTHERS; i++) {
        (void)key_of(i, names[count]);
        if (warp_store_owner(db->store,
                             warp_hash_slot(names[count], strlen(names[count]))) == from) {
            requests[count] = (struct warp_request)WARP_REQUEST_INIT;
            requests[count].opcode = WARP_OP_PUT;
            requests[count].cookie = count;
            requests[count].key = support_text(names[count]);
            requests[count].value = support_text("x");
            count++;
        }
    }
    requests[count] = (struct warp_request)WARP_REQUEST_INIT;
    requests[count].opcode = WARP_OP_PUT;
    requests[count].cookie = count;
    requests[count].key = support_text("{tag}key");
    requests[count].value = support_text("new");
    count++;
    /* One by one, for what comes together is one message. More than its ring takes: the last stays behind. */
    warp_shard_enter_surely(from);
    for (i = 0; i < count; i++) {
        check_int(warp_submit(session, &requests[i], 1), ==, 1);
    }
    warp_shard_leave(from);
    do {
        rc = warp_engine_move_slot(db, slot, 1 - from->id);
    } while (rc == WARP_AGAIN && ++tries < 100000);
    check_int(rc, ==, 0);
    /* The old owner is busy again, so what waits there goes on waiting. */
    warp_shard_enter_surely(from);
    requests[0] = (struct warp_request)WARP_REQUEST_INIT;
    requests[0].opcode = WARP_OP_GET;
    requests[0].cookie = 100;
    requests[0].key = support_text("{tag}key");
    check_int(warp_submit(session, requests, 1), ==, 1);
    rc = warp_poll(session, completions, OTHERS + 2, 0);
    for (i = 0; i < (uint32_t)(rc > 0 ? rc : 0); i++, answered++) {
        check_u64(completions[i].cookie, !=, 100);
        warp_return(&completions[i].value);
    }
    warp_shard_leave(from);
    while (answered < count + 1) {
        rc = warp_poll(session, completions, OTHERS + 2, UINT64_C(10000000000));
        if (!check_int(rc, >, 0)) {
            break;
        }
        for (i = 0; i < (uint32_t)rc; i++, answered++) {
            check_int(completions[i].result, ==, 0);
            if (completions[i].cookie == 100) {
                seen = true;
                check_bytes(completions[i].value.data, completions[i].value.bytes, "new",
                            3);
            }
            warp_return(&completions[i].value);
        }
    }
    check(seen);
    check(fixture_metric(db, "warp_slot_forwards_total") >= 1);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

/* ---- the crowd ------------------------------------------------------------------------- */

enum {
    CROWD_TAGS = 48,
    CROWD_KEYS = 60,
    CROWD_COUNTERS = 4,
    CROWD_DEPTH = 24,
    CROWD_BATCH = 6,
    CROWD_SHARDS = 4,
};

struct crowd {
    struct warp *db;
    _Atomic uint32_t stop;
    _Atomic uint64_t added, operations, expired_seen;
};

struct member {
    struct crowd *crowd;
    uint32_t number;
    uint64_t values[CROWD_KEYS]; /* 0: absent */
    pthread_t thread;
};

static bool crowd_stopped(const struct crowd *crowd)
{
    return atomic_load_explicit(&crowd->stop, memory_order_relaxed) != 0;
}

static struct warp_slice crowd_key(uint32_t member, uint32_t k, char key[48])
{
    int bytes =
        snprintf(key, 48, "{tag-%u}-%u-%u", (member * 17 + k) % CROWD_TAGS, member, k);

    return support_slice(key, (size_t)bytes);
}

/* A value says its number, and has a length that follows from it. */
static struct warp_slice crowd_value(uint64_t number, char value[512])
{
    int bytes = snprintf(value, 512, "%llu:", (unsigned long long)number);
    size_t length = (size_t)bytes + number * 37 % 400;

    memset(value + bytes, 'a' + (int)(number % 26), length - (size_t)bytes);
    return support_slice(value, length);
}

static bool crowd_check(struct member *member, uint32_t k, int rc, const void *data,
                        size_t bytes)
{
    char expected[512];
    struct warp_slice value;

    if (member->values[k] == 0) {
        return check_int(rc, ==, WARP_ABSENT);
    }
    value = crowd_value(member->values[k], expected);
    return check_int(rc, ==, 0) && check_bytes(data, bytes, value.data, value.bytes);
}

static void crowd_verify(struct warp *db, struct member *member)
{
    char key[48], found[1024];
    uint32_t k;

    for (k = 0; k < CROWD_KEYS; k++) {
        size_t bytes = 0;
        int rc = warp_get(db, crowd_key(member->number, k, key), found, sizeof(found),
                          &bytes, NULL);

        if (!crowd_check(member, k, rc, found, bytes)) {
            return;
        }
    }
}

static void *crowd_blocking(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct support_random random = {member->number + 1};
    char key[48], value[512], found[1024], counter[32];
    uint64_t number = 0;

    while (!crowd_stopped(crowd)) {
        uint32_t k = (uint32_t)support_random_below(&random, CROWD_KEYS);
        struct warp_slice name = crowd_key(member->number, k, key);
        size_t bytes = 0;
        int rc;

        switch (support_random_below(&random, 6)) {
        case 0:
        case 1:
            check_int(warp_put(crowd->db, name, crowd_value(++number, value), NULL, NULL),
                      ==, 0);
            member->values[k] = number;
            break;
        case 2:
            check_int(warp_delete(crowd->db, name, NULL, NULL), ==,
                      member->values[k] == 0 ? WARP_ABSENT : 0);
            member->values[k] = 0;
            break;
        case 3:
            snprintf(counter, sizeof(counter), "{tag-%u}sum",
                     (uint32_t)support_random_below(&random, CROWD_COUNTERS));
            if (check_int(warp_add(crowd->db, support_text(counter), 1, NULL, NULL), ==,
                          0)) {
                atomic_fetch_add(&crowd->added, 1);
            }
            break;
        default:
            rc = warp_get(crowd->db, name, found, sizeof(found), &bytes, NULL);
            if (!crowd_check(member, k, rc, found, bytes)) {
                return NULL;
            }
            break;
        }
        atomic_fetch_add_explicit(&crowd->operations, 1, memory_order_relaxed);
    }
    return NULL;
}

/* Of what a request must answer: what was submitted before it for the same key. */
struct asked {
    bool used;
    uint32_t opcode, k;
    uint64_t before; /* the key's value when it was submitted */
    char key[48], value[512];
};

static void crowd_answer(struct member *member, struct asked *asked,
                         struct warp_completion *completion)
{
    struct member before = {.crowd = member->crowd};

    if (asked->opcode == WARP_OP_GET) {
        before.values[asked->k] = asked->before;
        (void)crowd_check(&before, asked->k, completion->result, completion->value.data,
                          completion->value.bytes);
        warp_return(&completion->value);
    } else if (asked->opcode == WARP_OP_PUT) {
        check_int(completion->result, ==, 0);
    } else {
        check_int(completion->result, ==, asked->before == 0 ? WARP_ABSENT : 0);
    }
    asked->used = false;
}

static void *crowd_session(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct support_random random = {member->number + 1};
    struct warp_session *session = NULL;
    static _Thread_local struct asked asked[CROWD_DEPTH];
    uint64_t number = 0;
    uint32_t in_flight = 0, i;

    memset(asked, 0, sizeof(asked));
    if (!check_int(warp_session_create(crowd->db, CROWD_DEPTH, &session), ==, 0)) {
        return NULL;
    }
    while (!crowd_stopped(crowd) || in_flight > 0) {
        struct warp_request requests[CROWD_DEPTH];
        struct warp_completion completions[CROWD_DEPTH];
        uint32_t count = 0;
        int n;

        for (i = 0; i < CROWD_DEPTH && !crowd_stopped(crowd); i++) {
            struct asked *one = &asked[i];
            struct warp_request request = WARP_REQUEST_INIT;

            if (one->used || support_random_below(&random, 4) == 0) {
                continue;
            }
            one->used = true;
            /* Few keys, so that many are in flight for one. */
            one->k = (uint32_t)support_random_below(&random, CROWD_KEYS / 6);
            one->opcode = support_random_below(&random, 2) == 0   ? WARP_OP_GET
                          : support_random_below(&random, 4) == 0 ? WARP_OP_DELETE
                                                                  : WARP_OP_PUT;
            one->before = member->values[one->k];
            request.opcode = one->opcode;
            request.cookie = i;
            request.key = crowd_key(member->number, one->k, one->key);
            if (one->opcode == WARP_OP_PUT) {
                member->values[one->k] = ++number;
                request.value = crowd_value(number, one->value);
            } else if (one->opcode == WARP_OP_DELETE) {
                member->values[one->k] = 0;
            }
            requests[count++] = request;
        }
        for (i = 0; i < count || in_flight > 0;) {
            n = i < count ? warp_submit(session, requests + i, count - i) : 0;
            if (!check_int(n, >=, 0)) {
                return NULL;
            }
            i += (uint32_t)n;
            in_flight += (uint32_t)n;
            n = warp_poll(session, completions, CROWD_DEPTH, i < count ? 0 : 1000000);
            while (n-- > 0) {
                crowd_answer(member, &asked[completions[n].cookie], &completions[n]);
                in_flight--;
                atomic_fetch_add_explicit(&crowd->operations, 1, memory_order_relaxed);
            }
            if (i == count && support_random_below(&random, 2) == 0) {
                break;
            }
        }
    }
    warp_session_destroy(&session);
    return NULL;
}

/* All keys of a batch get one number; a batch is there as a whole, in each of them. */
static void *crowd_batch(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct support_random random = {member->number + 1};
    struct warp_batch *batch = NULL;
    uint64_t number = 0;

    while (!crowd_stopped(crowd)) {
        uint32_t first = (uint32_t)support_random_below(&random, CROWD_KEYS / CROWD_BATCH);
        bool removes = support_random_below(&random, 4) == 0;
        char key[48], value[512], found[1024];
        uint32_t i;

        number++;
        if (!check_int(warp_batch_create(crowd->db, &batch), ==, 0)) {
            return NULL;
        }
        for (i = 0; i < CROWD_BATCH; i++) {
            uint32_t k = first * CROWD_BATCH + i;

            if (removes) {
                warp_batch_delete(batch, crowd_key(member->number, k, key));
            } else {
                warp_batch_put(batch, crowd_key(member->number, k, key),
                               crowd_value(number, value), 0);
            }
            member->values[k] = removes ? 0 : number;
        }
        check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
        warp_batch_destroy(&batch);
        for (i = 0; i < CROWD_BATCH; i++) {
            uint32_t k = first * CROWD_BATCH + i;
            size_t bytes = 0;
            int rc = warp_get(crowd->db, crowd_key(member->number, k, key), found,
                              sizeof(found), &bytes, NULL);

            if (!crowd_check(member, k, rc, found, bytes)) {
                return NULL;
            }
        }
        atomic_fetch_add_explicit(&crowd->operations, 1, memory_order_relaxed);
    }
    return NULL;
}

/* Some expire in a moment, some never do. */
static void *crowd_expiring(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct support_random random = {member->number + 1};
    char key[48], value[512], found[1024];
    uint64_t number = 0;

    while (!crowd_stopped(crowd)) {
        struct warp_write how = WARP_WRITE_INIT;
        uint32_t k = (uint32_t)support_random_below(&random, CROWD_KEYS);
        size_t bytes = 0;
        int rc;

        how.ttl_ms = k % 2 == 0 ? 1 + support_random_below(&random, 30) : 3600000;
        check_int(warp_put(crowd->db, crowd_key(member->number, k, key),
                           crowd_value(++number, value), &how, NULL),
                  ==, 0);
        member->values[k] = k % 2 == 0 ? 0 : number;
        k = (uint32_t)support_random_below(&random, CROWD_KEYS);
        rc = warp_get(crowd->db, crowd_key(member->number, k, key), found, sizeof(found),
                      &bytes, NULL);
        if (k % 2 != 0) {
            (void)crowd_check(member, k, rc, found, bytes);
        } else if (rc == WARP_ABSENT) {
            atomic_fetch_add_explicit(&crowd->expired_seen, 1, memory_order_relaxed);
        }
        atomic_fetch_add_explicit(&crowd->operations, 1, memory_order_relaxed);
        if (number % 16 == 0) {
            support_sleep_ns(1000000);
        }
    }
    return NULL;
}

static void *crowd_upkeep(void *context)
{
    struct crowd *crowd = ((struct member *)context)->crowd;
    uint32_t round = 0;

    while (!crowd_stopped(crowd)) {
        check_int(round++ % 3 == 2 ? warp_compact(crowd->db) : warp_checkpoint(crowd->db),
                  ==, 0);
        support_sleep_ns(2000000);
    }
    return NULL;
}

/* Moves of the slots that all use, until so many have been made; not faster than the others work. */
static void crowd_move(struct crowd *crowd, uint64_t moves)
{
    struct support_random random = {20261125};
    const struct warp_moving *moving = &crowd->db->store->moving;
    uint64_t until_ns = support_now_ns() + UINT64_C(300000000000);

    while (atomic_load(&moving->moves) < moves && support_now_ns() < until_ns) {
        uint32_t which = (uint32_t)support_random_below(&random, CROWD_TAGS);
        char tag[32];
        int bytes = snprintf(tag, sizeof(tag), "tag-%u", which);
        int rc;

        if (atomic_load(&crowd->operations) < 20 * atomic_load(&moving->moves) + 100) {
            sched_yield();
            continue;
        }
        rc = warp_engine_move_slot(crowd->db, warp_hash_slot(tag, (size_t)bytes),
                                   (uint32_t)support_random_below(&random, CROWD_SHARDS));
        if (!check(rc == 0 || rc == WARP_AGAIN)) {
            return;
        }
    }
    check_u64(atomic_load(&moving->moves), >=, moves);
}

static bool crowd_chance(void *context, enum warp_chance point)
{
    (void)context;
    return point == WARP_CHANCE_PREFETCH;
}

WARP_TEST(moves, ten_thousand_under_load_lose_nothing_and_keep_every_key_in_order)
{
    static void *(*const roles[])(void *) = {crowd_blocking, crowd_blocking, crowd_session,
                                             crowd_session,  crowd_batch,    crowd_expiring,
                                             crowd_upkeep};
    enum { MEMBERS = sizeof(roles) / sizeof(roles[0]) };
    static struct member members[MEMBERS];
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct crowd crowd = {0};
    struct warp_catalogue_values totals;
    struct warp_env env;
    struct warp *db = NULL;
    int64_t sum = 0;
    uint32_t i;

    memset(members, 0, sizeof(members));
    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.values_bytes_max = 4096; /* so that values leave memory and come back */
    env.checkpoint_log_bytes = 1 << 20;
    /* Values are also brought back that nobody has asked for. */
    options.entanglement = 1;
    env.chance = crowd_chance;
    options.shard_count = CROWD_SHARDS;
    options.durability = WARP_MEMORY;
    if (!check_int(warp_engine_open(directory, &options, &env, &db), ==, 0)) {
        return;
    }
    crowd.db = db;
    for (i = 0; i < MEMBERS; i++) {
        members[i].crowd = &crowd;
        members[i].number = i;
        check_int(pthread_create(&members[i].thread, NULL, roles[i], &members[i]), ==, 0);
    }
    crowd_move(&crowd, 10000);
    atomic_store(&crowd.stop, 1);
    for (i = 0; i < MEMBERS; i++) {
        pthread_join(members[i].thread, NULL);
    }
    warp_engine_check(db);
    warp_metrics_collect(db, &totals);
    if (fixture_verbose()) {
        printf("    %llu operations, %llu moves, %llu given up, %llu writes sent on, "
               "%llu values left memory, %llu read from disk, %llu archived\n",
               (unsigned long long)atomic_load(&crowd.operations),
               (unsigned long long)totals.slot_moves,
               (unsigned long long)totals.slot_moves_busy,
               (unsigned long long)totals.slot_forwards,
               (unsigned long long)totals.evictions, (unsigned long long)totals.disk_reads,
               (unsigned long long)totals.compact_records);
    }
    check_u64(totals.checkpoints, >, 0);
    check_u64(totals.evictions, >, 0);
    check_u64(atomic_load(&crowd.expired_seen), >, 0);
    check_u64(totals.prefetch_issued, >, 0);
    for (i = 0; i + 1 < MEMBERS; i++) {
        crowd_verify(db, &members[i]);
    }
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    for (i = 0; i + 1 < MEMBERS; i++) {
        crowd_verify(db, &members[i]);
    }
    for (i = 0; i < CROWD_COUNTERS; i++) {
        char key[32], found[256];

        snprintf(key, sizeof(key), "{tag-%u}sum", i);
        sum += strtoll(fixture_get(db, key, found), NULL, 10);
    }
    check_int(sum, ==, (int64_t)atomic_load(&crowd.added));
    warp_engine_check(db);
    check_int(warp_close(&db), ==, 0);
}
