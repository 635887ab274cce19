#include "bench/entangle/replay.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/histogram.h"
#include "bench/keys.h"
#include "bench/values.h"
#include "warp/warp.h"

#define REPLAY_KEY_BYTES    16u
#define REPLAY_METRICS_ROOM (1u << 20)
#define REPLAY_LOOK_EVERY   8192u

static int replay_open(const struct entangle_setup *setup, bool fresh, bool on,
                       struct warp **db)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    char message[256] = "";
    int rc;

    options.shard_count = setup->shards;
    options.memory_bytes_max = setup->memory_bytes;
    options.durability = WARP_MEMORY;
    options.open_flags = fresh ? WARP_CREATE | WARP_MUST_BE_NEW : WARP_MUST_EXIST;
    options.compaction = 2;
    options.warm_up = 2;
    options.huge_pages = 2;
    options.entanglement = on ? 1 : 2;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = warp_open(setup->path, &options, db);
    if (rc < 0) {
        fprintf(stderr, "warp bench: %s\n", message);
    }
    return rc;
}

void entangle_clear(const struct entangle_setup *setup)
{
    DIR *folder = opendir(setup->path);
    const struct dirent *entry;
    char name[1024];

    if (folder == NULL) {
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        /* Only what a database has. */
        if (strncmp(entry->d_name, "log-", 4) == 0 ||
            strncmp(entry->d_name, "archive-", 8) == 0 ||
            strncmp(entry->d_name, "checkpoint-", 11) == 0 ||
            strcmp(entry->d_name, "MANIFEST") == 0 || strcmp(entry->d_name, "LOCK") == 0 ||
            strcmp(entry->d_name, "METRICS") == 0 ||
            strcmp(entry->d_name, "PLACEMENT") == 0) {
            (void)snprintf(name, sizeof(name), "%s/%s", setup->path, entry->d_name);
            (void)unlink(name);
        }
    }
    (void)closedir(folder);
    (void)rmdir(setup->path);
}

static struct warp_slice replay_key(uint32_t id, uint8_t key[REPLAY_KEY_BYTES])
{
    bench_key_encode(BENCH_KEY_SCATTERED, id, key, REPLAY_KEY_BYTES);
    return (struct warp_slice){key, REPLAY_KEY_BYTES};
}

int entangle_load(const struct entangle_setup *setup, uint32_t objects)
{
    uint8_t *value = malloc(setup->value_bytes);
    struct bench_values values;
    struct warp *db = NULL;
    uint64_t i;
    int rc;

    if (value == NULL || bench_values_init(&values, setup->value_bytes, 0, false) < 0) {
        free(value);
        return WARP_ENOMEM;
    }
    rc = replay_open(setup, true, false, &db);
    for (i = 0; i < objects && rc >= 0; i++) {
        /* In no order that a replay has: what goes together does not lie together. */
        uint32_t id = (uint32_t)bench_walk(i, objects, 1);
        uint8_t key[REPLAY_KEY_BYTES];

        bench_value_fill(&values, value, id, 0);
        rc = warp_put(db, replay_key(id, key),
                      (struct warp_slice){value, setup->value_bytes}, NULL, NULL);
    }
    if (rc >= 0) {
        rc = warp_checkpoint(db);
    }
    if (db != NULL) {
        int closed = warp_close(&db);

        rc = rc < 0 ? rc : closed;
    }
    bench_values_fini(&values);
    free(value);
    return rc;
}

/* ---- a replay ---------------------------------------------------------------------------- */

static double replay_metric(const char *text, const char *name)
{
    size_t length = strlen(name);
    const char *at = text;

    while ((at = strstr(at, name)) != NULL) {
        if ((at == text || at[-1] == '\n') && at[length] == ' ') {
            return strtod(at + length, NULL);
        }
        at += length;
    }
    return 0;
}

static int replay_metrics(struct warp *db, char *text, struct entangle_result *result)
{
    size_t bytes;
    uint64_t memory;
    int rc = warp_metrics_render(db, text, REPLAY_METRICS_ROOM, &bytes);

    if (rc < 0) {
        return rc;
    }
    result->misses = (uint64_t)replay_metric(text, "warp_cold_gets_total");
    result->device_reads = (uint64_t)replay_metric(text, "warp_disk_reads_total");
    result->issued = (uint64_t)replay_metric(text, "warp_prefetch_issued_total");
    result->useful = (uint64_t)replay_metric(text, "warp_prefetch_useful_total");
    result->late = (uint64_t)replay_metric(text, "warp_prefetch_late_total");
    result->wasted = (uint64_t)replay_metric(text, "warp_prefetch_wasted_total");
    result->observations =
        (uint64_t)replay_metric(text, "warp_prefetch_observations_total");
    result->starts = (uint64_t)replay_metric(text, "warp_prefetch_starts_total");
    result->stops = (uint64_t)replay_metric(text, "warp_prefetch_stops_total");
    result->table_bytes = (uint64_t)replay_metric(text, "warp_prefetch_table_bytes");
    result->values_bytes = (uint64_t)replay_metric(text, "warp_cache_bytes");
    memory = (uint64_t)replay_metric(text, "warp_memory_bytes");
    result->memory_bytes = memory > result->memory_bytes ? memory : result->memory_bytes;
    return 0;
}

struct replay {
    struct warp *db;
    struct bench_values values;
    struct bench_histogram latency;
    uint8_t *value;
    char *text;
};

static int replay_one(struct replay *replay, const struct entangle_setup *setup,
                      uint32_t id)
{
    uint64_t begun = bench_clock_monotonic_ns(), ended;
    uint8_t key[REPLAY_KEY_BYTES];
    uint32_t version;
    size_t bytes = 0;
    int rc = warp_get(replay->db, replay_key(id, key), replay->value, setup->value_bytes,
                      &bytes, NULL);

    ended = bench_clock_monotonic_ns();
    if (rc < 0) {
        return rc;
    }
    bench_histogram_add(&replay->latency, ended - begun);
    if (rc != 0 || bytes != setup->value_bytes ||
        !bench_value_check(&replay->values, replay->value, bytes, id, &version)) {
        fprintf(stderr, "warp bench: the value of object %u is wrong\n", id);
        return 1;
    }
    while (setup->think_ns > 0 && bench_clock_monotonic_ns() < ended + setup->think_ns) {
    }
    return 0;
}

static int replay_run(struct replay *replay, const struct entangle_setup *setup,
                      const struct entangle_stream *stream, struct entangle_result *result)
{
    uint64_t begun = bench_clock_monotonic_ns(), i;
    int rc = 0;

    for (i = 0; i < stream->count && rc == 0; i++) {
        rc = replay_one(replay, setup, stream->ids[i]);
        if (rc == 0 && i % REPLAY_LOOK_EVERY == 0) {
            rc = replay_metrics(replay->db, replay->text, result);
        }
    }
    result->requests = i;
    result->elapsed_ns = bench_clock_monotonic_ns() - begun;
    result->p50_ns = bench_histogram_percentile(&replay->latency, 50);
    result->p99_ns = bench_histogram_percentile(&replay->latency, 99);
    return rc == 0 ? replay_metrics(replay->db, replay->text, result) : rc;
}

int entangle_replay(const struct entangle_setup *setup,
                    const struct entangle_stream *stream, bool on,
                    struct entangle_result *result)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    int rc = WARP_ENOMEM;

    memset(result, 0, sizeof(*result));
    result->on = on;
    if (replay == NULL) {
        return rc;
    }
    replay->value = malloc(setup->value_bytes);
    replay->text = malloc(REPLAY_METRICS_ROOM);
    if (replay->value != NULL && replay->text != NULL &&
        bench_values_init(&replay->values, setup->value_bytes, 0, false) == 0) {
        rc = replay_open(setup, false, on, &replay->db);
        if (rc == 0) {
            int closed;

            rc = replay_run(replay, setup, stream, result);
            closed = warp_close(&replay->db);
            rc = rc != 0 ? rc : closed;
        }
        bench_values_fini(&replay->values);
    }
    free(replay->value);
    free(replay->text);
    free(replay);
    return rc;
}
