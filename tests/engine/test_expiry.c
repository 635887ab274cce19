/* Time to live: never early, never late, gone from memory by itself, and kept over a reopen. */
#include "tests/engine/fixture.h"

static int put_for(struct warp *db, const char *key, uint64_t ttl_ms)
{
    struct warp_write how = WARP_WRITE_INIT;

    how.ttl_ms = ttl_ms;
    return warp_put(db, support_text(key), support_text("v"), &how, NULL);
}

/* Ways to look at a key: 1 it is there, 0 it is not. */
static int look(struct warp *db, struct warp_session *session, const char *key, int way)
{
    struct warp_value value = WARP_VALUE_INIT;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completion;
    struct warp_slice slice = support_text(key);
    char buffer[16];
    size_t bytes;
    int rc = 0;

    switch (way) {
    case 0:
        rc = warp_get(db, slice, buffer, sizeof(buffer), &bytes, NULL);
        break;
    case 1:
        rc = warp_borrow(db, slice, &value);
        break;
    case 2:
        warp_multi_get(db, &slice, 1, &value, &rc);
        break;
    default:
        request.opcode = WARP_OP_GET;
        request.key = slice;
        if (warp_submit(session, &request, 1) != 1 ||
            warp_poll(session, &completion, 1, UINT64_MAX) != 1) {
            return -1;
        }
        rc = completion.result;
        value = completion.value;
        break;
    }
    if (rc == 0) {
        warp_return(&value);
    }
    return rc == 0 ? 1 : rc == WARP_ABSENT ? 0 : -1;
}

WARP_TEST(expiry, is_strict)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t before_ms, after_ms, expires_at_ms;
    uint32_t early = 0, late = 0, wrong = 0, seen = 0, i;
    char key[32];
    int way;

    if (db == NULL || !check_int(warp_session_create(db, 4, &session), ==, 0)) {
        return;
    }
    for (i = 0; i < 24; i++) {
        way = (int)(i % 4);
        snprintf(key, sizeof(key), "k%u", i);
        before_ms = support_wall_ms();
        check_int(put_for(db, key, 40), ==, 0);
        after_ms = support_wall_ms();
        if (warp_borrow(db, support_text(key), &value) != 0) {
            continue; /* held up for longer than it lives */
        }
        expires_at_ms = value.expires_at_ms;
        /* One millisecond of grace on both sides: the two clocks round apart. */
        check_u64(expires_at_ms + 1, >=, before_ms + 40);
        check_u64(expires_at_ms, <=, after_ms + 41);
        warp_return(&value);
        for (;;) {
            int there;

            before_ms = support_wall_ms();
            there = look(db, session, key, way);
            after_ms = support_wall_ms();
            seen += there == 1;
            wrong += there < 0;
            early += there == 0 && after_ms + 1 < expires_at_ms;
            late += there == 1 && before_ms > expires_at_ms;
            if (before_ms > expires_at_ms + 5) {
                break;
            }
        }
    }
    check_u64(early, ==, 0);
    check_u64(late, ==, 0);
    check_u64(wrong, ==, 0);
    check_u64(seen, >, 100);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

static int visit_none(void *context, struct warp_slice key, const struct warp_value *value)
{
    (void)key;
    (void)value;
    *(uint32_t *)context += 1;
    return 0;
}

WARP_TEST(expiry, expired_counts_as_absent_for_writes)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_write how = WARP_WRITE_INIT;
    int64_t number = 0;
    uint32_t visited = 0;
    char text[256];

    if (db == NULL) {
        return;
    }
    check_int(put_for(db, "a", 5), ==, 0);
    check_int(put_for(db, "b", 5), ==, 0);
    check_int(put_for(db, "c", 5), ==, 0);
    how.ttl_ms = 5;
    check_int(warp_put(db, support_text("n"), support_text("41"), &how, NULL), ==, 0);
    how.ttl_ms = 0;
    support_sleep_ns(12000000);
    check_int(warp_visit(db, visit_none, &visited), ==, 0);
    check_u64(visited, ==, 0);
    how.condition = WARP_IF_PRESENT;
    check_int(warp_put(db, support_text("a"), support_text("x"), &how, NULL), ==,
              WARP_CONFLICT);
    check_int(warp_delete(db, support_text("b"), &how, NULL), ==, WARP_CONFLICT);
    check_int(warp_delete(db, support_text("b"), NULL, NULL), ==, WARP_ABSENT);
    how.condition = WARP_IF_ABSENT;
    check_int(warp_put(db, support_text("c"), support_text("x"), &how, NULL), ==, 0);
    check_str(fixture_get(db, "c", text), "x");
    check_int(warp_add(db, support_text("n"), 1, NULL, &number), ==, 0);
    check_int(number, ==, 1);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(expiry, add_keeps_it_and_put_forgets_it)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t expires_at_ms;

    if (db == NULL) {
        return;
    }
    how.ttl_ms = 3600000;
    check_int(warp_put(db, support_text("n"), support_text("1"), &how, NULL), ==, 0);
    check_int(warp_borrow(db, support_text("n"), &value), ==, 0);
    expires_at_ms = value.expires_at_ms;
    warp_return(&value);
    check_int(warp_add(db, support_text("n"), 1, NULL, NULL), ==, 0);
    check_int(warp_borrow(db, support_text("n"), &value), ==, 0);
    check_u64(value.expires_at_ms, ==, expires_at_ms);
    warp_return(&value);
    how.ttl_ms = 7200000;
    check_int(warp_add(db, support_text("n"), 1, &how, NULL), ==, 0);
    check_int(warp_borrow(db, support_text("n"), &value), ==, 0);
    check_u64(value.expires_at_ms, >=, expires_at_ms + 3600000);
    warp_return(&value);
    check_int(warp_put(db, support_text("n"), support_text("5"), NULL, NULL), ==, 0);
    check_int(warp_borrow(db, support_text("n"), &value), ==, 0);
    check_u64(value.expires_at_ms, ==, 0);
    warp_return(&value);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(expiry, is_swept_though_nobody_looks)
{
    enum { RECORDS = 10000 };
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_value held = WARP_VALUE_INIT;
    uint64_t count = 0, until_ns;
    uint32_t i;
    char key[32], text[256];

    if (db == NULL) {
        return;
    }
    for (i = 0; i < RECORDS; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        check_int(put_for(db, key, 300 + i % 100), ==, 0);
    }
    check_int(fixture_put(db, "stays", "v"), ==, 0);
    check_int(warp_borrow(db, support_text("k9999"), &held), ==, 0);
    until_ns = support_now_ns() + 10000000000u;
    do {
        support_sleep_ns(10000000);
        check_int(warp_count(db, &count), ==, 0);
    } while (count > 1 && support_now_ns() < until_ns);
    check_u64(count, ==, 1);
    check_str(fixture_get(db, "stays", text), "v");
    check_bytes(held.data, held.bytes, "v", (size_t)1); /* a loan outlives its record */
    warp_return(&held);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(expiry, holds_over_a_reopen)
{
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(directory, &options);
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t expires_at_ms, until_ms;
    char text[256];

    if (db == NULL) {
        return;
    }
    check_int(put_for(db, "hour", 3600000), ==, 0);
    check_int(warp_borrow(db, support_text("hour"), &value), ==, 0);
    expires_at_ms = value.expires_at_ms;
    warp_return(&value);
    check_int(put_for(db, "soon", 600), ==, 0);
    until_ms = support_wall_ms() + 600;
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    if (support_wall_ms() + 50 < until_ms) {
        check_str(fixture_get(db, "soon", text), "v");
    }
    while (support_wall_ms() < until_ms + 3) {
        support_sleep_ns(5000000);
    }
    check_str(fixture_get(db, "soon", text), "(absent)");
    check_int(warp_borrow(db, support_text("hour"), &value), ==, 0);
    check_u64(value.expires_at_ms, ==, expires_at_ms);
    warp_return(&value);
    check_int(warp_close(&db), ==, 0);
}

/* What has expired leaves memory, the next checkpoint, the files, and what an open reads. */
WARP_TEST(expiry, leaves_nothing_behind)
{
    enum { SHORT = 20000, STAYS = 100 };
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db = fixture_open(directory, &options);
    char key[32], text[256];
    double before;
    uint32_t i;

    if (db == NULL) {
        return;
    }
    for (i = 0; i < STAYS; i++) {
        snprintf(key, sizeof(key), "stays-%u", i);
        check_int(fixture_put(db, key, "value"), ==, 0);
    }
    for (i = 0; i < SHORT; i++) {
        snprintf(key, sizeof(key), "short-%u", i);
        check_int(put_for(db, key, 200), ==, 0);
    }
    check_int(warp_checkpoint(db), ==, 0);
    before = fixture_metric(db, "warp_log_allocated_bytes");
    while (fixture_metric(db, "warp_records") > STAYS) { /* or the test's limit of time */
        support_sleep_ns(10000000);
    }
    check(fixture_metric(db, "warp_expired_total") >= SHORT);
    check_int(warp_compact(db), ==, 0);
    check(fixture_metric(db, "warp_checkpoint_records") <= STAYS);
    check(fixture_metric(db, "warp_disk_live_bytes") < 100 * STAYS);
    check(fixture_metric(db, "warp_log_allocated_bytes") <= before);
    check(fixture_metric(db, "warp_compaction_files_removed_total") > 0);
    check(fixture_metric(db, "warp_compaction_records_total") <= STAYS);
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    if (db != NULL) {
        check(fixture_metric(db, "warp_recovery_operations") <= 2 * STAYS);
        check(fixture_metric(db, "warp_recovery_records") == STAYS);
        check_str(fixture_get(db, "stays-7", text), "value");
        check_str(fixture_get(db, "short-7", text), "(absent)");
        check_int(warp_close(&db), ==, 0);
    }
}
