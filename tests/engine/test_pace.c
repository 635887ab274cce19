/* Writers that are faster than checkpoints are held up, and who asked is told. */
#include "tests/engine/fixture.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "engine/engine.h"
#include "wal/checkpoint.h"

#define LEVELS      64u
#define CHECKPOINTS 32u /* as many as are tried in a test, one a second */

struct told {
    _Atomic uint32_t count;
    _Atomic uint32_t levels[LEVELS];
};

/* A database whose checkpoints fail for as long as something is in the way of their files. */
struct fixture {
    struct told told;
    const char *directory;
    struct warp *db;
};

static void note_level(void *context, uint32_t level)
{
    struct told *told = (struct told *)context;
    uint32_t at = atomic_load(&told->count);

    if (at < LEVELS) {
        atomic_store(&told->levels[at], level);
        atomic_store(&told->count, at + 1);
    }
}

static uint32_t last_level(struct told *told)
{
    uint32_t count = atomic_load(&told->count);

    return count == 0 ? 0 : atomic_load(&told->levels[count - 1]);
}

static void put_some(struct warp *db, uint32_t count)
{
    static const uint8_t value[1000];
    char key[32];
    uint32_t i;

    for (i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        check_int(warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL,
                           NULL),
                  ==, 0);
    }
}

static void put_in_the_way(const struct fixture *f, bool there)
{
    char path[SUPPORT_PATH_BYTES], name[WARP_CHECKPOINT_NAME_BYTES];
    uint64_t number;

    for (number = 1; number <= CHECKPOINTS; number++) {
        warp_checkpoint_name(number, name);
        snprintf(path, sizeof(path), "%.200s/%s.new", f->directory, name);
        check_int(there ? mkdir(path, 0755) : rmdir(path), ==, 0);
    }
}

static bool open_again(struct fixture *f, uint64_t checkpoint_log_bytes,
                       uint32_t recovery_ms_max)
{
    struct warp_options options = fixture_options();
    struct warp_env env;

    memset(&f->told, 0, sizeof(f->told));
    memset(&env, 0, sizeof(env));
    options.pressure = note_level;
    options.pressure_context = &f->told;
    options.recovery_ms_max = recovery_ms_max;
    env.threads = true;
    env.checkpoint_log_bytes = checkpoint_log_bytes;
    return check_int(warp_engine_open(f->directory, &options, &env, &f->db), ==, 0);
}

static bool set_up(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->directory = test_directory();
    if (!open_again(f, 65536, 0)) {
        return false;
    }
    put_in_the_way(f, true);
    return true;
}

WARP_TEST(pace, tells_of_pressure_and_of_its_end)
{
    struct fixture f;
    uint64_t until_ns = support_now_ns() + 10000000000u;
    double waits;
    uint32_t i;

    if (!set_up(&f)) {
        return;
    }
    check_int(fixture_metric(f.db, "warp_write_waits_total"), ==, 0);
    put_some(f.db, 10);
    check_int(fixture_metric(f.db, "warp_write_waits_total"), ==, 0);
    while (last_level(&f.told) < 3 && support_now_ns() < until_ns) {
        put_some(f.db, 10);
    }
    check_int(last_level(&f.told), ==, 3);
    check(fixture_metric_reaches(f.db, "warp_background_pressure", 3));
    put_some(f.db, 10);
    check(fixture_metric(f.db, "warp_write_waits_total") > 0);
    check(fixture_metric(f.db, "warp_write_wait_seconds_total") > 0);

    put_in_the_way(&f, false);
    check_int(warp_checkpoint(f.db), ==, 0);
    check(fixture_metric_reaches(f.db, "warp_background_pressure", 0));
    check_int(last_level(&f.told), ==, 0);
    waits = fixture_metric(f.db, "warp_write_waits_total");
    put_some(f.db, 10);
    check_int(fixture_metric(f.db, "warp_write_waits_total"), ==, waits);
    for (i = 1; i < atomic_load(&f.told.count); i++) {
        check_int(atomic_load(&f.told.levels[i]), !=, atomic_load(&f.told.levels[i - 1]));
        check_int(atomic_load(&f.told.levels[i]), <=, 3);
    }
    check_int(warp_close(&f.db), ==, 0);
}

/* A batch and a session pay as well. A session takes at least something when it has nothing in
 * flight, so whoever submits the rest gets through. */
WARP_TEST(pace, holds_up_batches_and_sessions)
{
    static const uint8_t value[20000];
    struct warp_request requests[64];
    struct warp_completion completions[64];
    struct warp_session *session = NULL;
    struct warp_batch *batch = NULL;
    struct fixture f;
    uint64_t until_ns = support_now_ns() + 10000000000u;
    size_t submitted = 0, completed = 0, i;
    double waits;

    if (!set_up(&f)) {
        return;
    }
    /* So dear that no machine is so slow as to have paid before its next write. */
    while (warp_pace_price(&f.db->store->pace) < 20 * UINT64_C(10485760) &&
           support_now_ns() < until_ns) {
        put_some(f.db, 10);
    }
    waits = fixture_metric(f.db, "warp_write_waits_total");
    check_int(warp_batch_create(f.db, &batch), ==, 0);
    check_int(
        warp_batch_put(batch, support_text("a"), support_slice(value, sizeof(value)), 0),
        ==, 0);
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
    check(fixture_metric(f.db, "warp_write_waits_total") > waits);
    warp_batch_destroy(&batch);

    waits = fixture_metric(f.db, "warp_write_waits_total");
    check_int(warp_session_create(f.db, 64, &session), ==, 0);
    for (i = 0; i < 64; i++) {
        requests[i] = (struct warp_request)WARP_REQUEST_INIT;
        requests[i].opcode = WARP_OP_PUT;
        requests[i].key = support_text("b");
        requests[i].value = support_slice(value, sizeof(value));
        requests[i].cookie = i;
    }
    /* Mostly the first 64 are enough; if the disk was so slow that they had paid, more follow. */
    until_ns = support_now_ns() + 10000000000u;
    do {
        submitted = completed = 0;
        while (completed < 64 && support_now_ns() < until_ns) {
            int n = warp_submit(session, requests + submitted, 64 - submitted), k;

            check_int(n, >=, 0);
            check(n > 0 || completed < submitted ||
                  submitted == 64); /* it is never stuck */
            submitted += (size_t)n;
            n = warp_poll(session, completions, 64, UINT64_MAX);
            for (k = 0; k < n; k++) {
                check_int(completions[k].result, ==, 0);
            }
            completed += (size_t)n;
        }
        check_int(completed, ==, 64);
    } while (fixture_metric(f.db, "warp_write_waits_total") <= waits &&
             support_now_ns() < until_ns);
    check(fixture_metric(f.db, "warp_write_waits_total") > waits);
    warp_session_destroy(&session);
    put_in_the_way(&f, false);
    check_int(warp_close(&f.db), ==, 0);
}

/* What the last life did not get written down is owed from the first moment of this one. */
WARP_TEST(pace, what_a_short_life_left_counts_at_once)
{
    struct fixture f;
    uint64_t until_ns = support_now_ns() + 10000000000u;

    if (!set_up(&f)) {
        return;
    }
    while (last_level(&f.told) < 3 && support_now_ns() < until_ns) {
        put_some(f.db, 10);
    }
    check_int(warp_close(&f.db), ==, 0);
    if (!open_again(&f, 65536, 0)) {
        return;
    }
    check(fixture_metric_reaches(f.db, "warp_background_pressure", 3));
    check_int(fixture_metric(f.db, "warp_write_waits_total"), ==,
              0); /* nothing was written */
    /* A disk that is slow for a moment has paid for a write before the next. */
    until_ns = support_now_ns() + 10000000000u;
    do {
        put_some(f.db, 10);
    } while (fixture_metric(f.db, "warp_write_waits_total") <= 0 &&
             support_now_ns() < until_ns);
    check(fixture_metric(f.db, "warp_write_waits_total") > 0);
    put_in_the_way(&f, false);
    check_int(warp_checkpoint(f.db), ==, 0);
    check(fixture_metric_reaches(f.db, "warp_background_pressure", 0));
    check_int(warp_close(&f.db), ==, 0);
}

/* Log that takes 15 ms by the engine's first guess is much for 10 ms, and little for a second. */
WARP_TEST(pace, how_much_log_is_too_much_follows_from_the_time_an_open_may_take)
{
    static const uint32_t most_ms[] = {10, 1000};
    uint32_t i;

    for (i = 0; i < 2; i++) {
        struct fixture f;

        memset(&f, 0, sizeof(f));
        f.directory = test_directory();
        if (!open_again(&f, 0, most_ms[i])) {
            return;
        }
        put_in_the_way(&f, true);
        put_some(f.db, 5000); /* 5 MB */
        if (i == 0) {
            check(fixture_metric_reaches(f.db, "warp_background_pressure", 3));
        } else {
            check_int(fixture_metric(f.db, "warp_background_pressure"), ==, 0);
            check_int(fixture_metric(f.db, "warp_write_waits_total"), ==, 0);
        }
        put_in_the_way(&f, false);
        check_int(warp_close(&f.db), ==, 0);
    }
}
