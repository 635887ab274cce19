/*
 * tests/engine/idle.c - an open database at rest uses no CPU worth the name.
 *
 * Opens a database, works with it for a moment in every way, leaves records that will
 * expire and a session that waits, then does nothing and reads the process's CPU clock.
 *
 *     idle [--seconds N] [--shards N] [--limit-s N]
 */
#include "tests/engine/support.h"

static void work(struct warp *db, struct warp_session *session)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct warp_request request = request_init;
    struct warp_write how = how_init;
    struct warp_completion completion;
    char key[32];
    uint32_t i;

    for (i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        how.durability = i % 1000 == 0 ? WARP_COMMIT
                         : i % 2 == 0  ? WARP_INTERVAL
                                       : WARP_MEMORY;
        how.ttl_ms = i % 3 == 0 ? 3600000 : 0;
        if (warp_put(db, support_text(key), support_text("value"), &how, NULL) != 0) {
            support_die("put");
        }
    }
    request.opcode = WARP_OP_GET;
    request.key = support_text("key-1");
    if (warp_submit(session, &request, 1) != 1 ||
        warp_poll(session, &completion, 1, UINT64_MAX) != 1) {
        support_die("session");
    }
    warp_return(&completion.value);
}

int main(int count, char **words)
{
    static const char *const with_value[] = {"--seconds", "--shards", "--limit-s", NULL};
    static const char *const alone[] = {NULL};
    static const char *const levels[] = {"", "memory", "interval", "commit"};
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp_session *session = NULL;
    struct warp *db = NULL;
    char directory[SUPPORT_PATH_BYTES], message[256] = "";
    uint64_t seconds, begun_ns, used_ns, failed = 0, passed = 0;
    uint32_t level;
    double percent;
    int rc;

    support_flags_known(count, words, with_value, alone);
    seconds = support_flag(count, words, "--seconds", 10);
    support_limit((unsigned)support_flag(count, words, "--limit-s", 60 + seconds * 6),
                  "idle", 0);
    /* The default for the whole time; the other two levels for a fifth of it. */
    for (level = WARP_MEMORY; level <= WARP_COMMIT; level++) {
        uint64_t rest_ns = seconds * (level == WARP_COMMIT ? 1000000000u : 200000000u);

        support_directory(directory, "idle");
        options.shard_count = (uint32_t)support_flag(count, words, "--shards", 2);
        options.durability = level;
        options.segment_bytes = 4 << 20;
        options.message = message;
        options.message_bytes = sizeof(message);
        rc = warp_open(directory, &options, &db);
        if (rc != 0) {
            support_die("open: %d: %s", rc, message);
        }
        if (warp_session_create(db, 64, &session) != 0) {
            support_die("session");
        }
        work(db, session);
        support_sleep_ns(500000000); /* what was written is synced, who spun has parked */
        used_ns = support_cpu_ns();
        begun_ns = support_now_ns();
        support_sleep_ns(rest_ns);
        used_ns = support_cpu_ns() - used_ns;
        percent = 100.0 * (double)used_ns / (double)(support_now_ns() - begun_ns);
        printf("idle at %s: %.3f ms of CPU in %.1f s, %.4f %% of one CPU (allowed: 0.5)\n",
               levels[level], (double)used_ns / 1e6, (double)rest_ns / 1e9, percent);
        if (percent < 0.5) {
            passed++;
        } else {
            failed++;
        }
        warp_session_destroy(&session);
        rc = warp_close(&db);
        if (rc != 0) {
            support_die("close: %d", rc);
        }
        support_remove(directory);
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
