/*
 * faults - every operation of the disk, one after the other, is where something goes wrong.
 *
 * One workload, drawn from a seed, makes the housekeeping run: checkpoints, compaction, archives
 * that are sealed, segments that are made, recycled and removed, values that are read back from
 * disk, keys that expire. It runs on one thread, on the simulated disk, and always does the same
 * operations in the same order. So it is run once to number them, and then once for each fault at
 * each number: the power goes before, in the middle of, or after it, or the process ends; the disk
 * is full there, once or from then on; it fails, once or from then on; a read fails or shows a
 * wrong bit. Crashes come again while the engine recovers from the first one.
 *
 * After each the oracle of the simulator judges: what was acknowledged as durable is there, what
 * is there is a prefix of the one order, no value is one that nobody wrote. After an error without
 * a crash, the engine must also come back by itself when the weather is fine again: everything is
 * readable, a checkpoint and a compaction succeed; and while the error lasts, housekeeping may try
 * again only so often.
 *
 * Not every operation every time: of each step (tests/faults/step_disk.h) a few, chosen by the
 * seed; --all takes them all. A table says which step was struck how often by what, and a step that
 * was never struck is a failure, for then the workload does not test what it says.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/random.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "tests/faults/step_disk.h"
#include "tests/sim/fiber.h"
#include "tests/sim/oracle.h"
#include "warp/warp.h"

#define ACTORS_MAX     8u
#define KEYS           40u
#define VALUE_ROOM     4096u
#define STEPS_RECORDED 65536u
#define OPERATIONS     260u /* of the workload */
#define WAIT_STEPS_MAX 400000u
/* While a fault lasts, nothing asks for anything, and time passes: so many steps, of so long. */
#define IDLE_STEPS 3000u
#define IDLE_NS    2000000u
/* And so often may the step that fails be tried meanwhile: a job is tried again once a second. */
#define IDLE_TRIES_MAX 200u

struct arguments {
    uint64_t seed, seeds, per_step, doubles, at, second_at;
    enum fault only, second;
    bool all, count, verbose, no_fork, expect_violation, keep_going;
};

/* The engine's second fault, while it opens. */
struct trial {
    enum fault fault;
    uint64_t at;
    enum step step;
    enum fault second; /* FAULT_NONE: none */
    uint64_t second_at;
    enum step second_step;
    bool close_first; /* the first is a proper close */
};

struct shared {
    uint64_t next;  /* trial */
    char text[256]; /* of the trial that is played */
    char failure[1024];
    uint64_t struck[STEP_COUNT][FAULT_COUNT];
    uint64_t second_struck[STEP_COUNT][FAULT_COUNT];
    uint64_t played, failed_calls, opens, resumed, worst_tries, opens_failed;
    uint64_t checkpoints, archives, removed, cold_reads, moved;
};

struct world;

struct actor {
    struct world *world;
    struct fiber *fiber;
    uint32_t index;
    bool in_turn;
};

struct world {
    const struct arguments *arguments;
    struct sim_disk *sim;
    struct step_disk disk;
    struct oracle *oracle;
    struct warp_env env;
    struct warp_options options;
    struct sim_disk_options disk_options;
    struct warp *db;
    struct actor actors[ACTORS_MAX];
    uint32_t actor_count, next_actor;
    struct fiber *current; /* NULL: the main stack */
    struct warp_random random;
    uint64_t seed;
    uint64_t wait_steps; /* since a call came back */
    uint64_t moved;      /* records that compaction has moved, as last seen */
    uint8_t value[VALUE_ROOM];
    char message[256];
};

static struct shared *shared;

/* ---- the world --------------------------------------------------------------------------- */

static uint64_t wall_ms(struct world *world)
{
    const struct warp_clock *clock = sim_disk_clock(world->sim);

    return clock->wall_ms(clock->context);
}

static bool broken(const struct world *world)
{
    return oracle_violation(world->oracle) != NULL || sim_disk_misuse(world->sim) != NULL;
}

static const struct warp_compact_counters *compact_counters(const struct world *world)
{
    return warp_compact_counters(world->db->background->compact);
}

static void resume(struct world *world, struct actor *actor)
{
    bool background = actor->index + 1 == world->actor_count;

    world->disk.who = actor->index == 0 ? WHO_LOG
                      : background      ? WHO_BACKGROUND
                                        : WHO_CALLER;
    world->current = actor->fiber;
    fiber_resume(actor->fiber);
    world->current = NULL;
    world->disk.who = WHO_CALLER;
    if (background && world->db != NULL && world->db->background != NULL) {
        uint64_t moved = warp_counter_read(&compact_counters(world)->records_moved);

        if (moved != world->moved) {
            world->moved = moved;
            step_disk_tell(&world->disk, STEP_INSTALL);
        }
    }
}

/* Everybody in turn, and time passes. */
static void world_step(struct world *world, uint64_t ns)
{
    enum who who = world->disk.who;

    if (world->actor_count > 0) {
        resume(world, &world->actors[world->next_actor++ % world->actor_count]);
        world->disk.who = who;
    }
    (void)sim_disk_step(world->sim);
    sim_disk_advance(world->sim, ns);
}

static void world_wait(void *context)
{
    struct world *world = context;

    if (world->current != NULL) {
        fiber_yield(world->current);
        return;
    }
    world_step(world, 20000);
    if (++world->wait_steps > WAIT_STEPS_MAX) {
        snprintf(shared->failure, sizeof(shared->failure),
                 "nothing comes to an end any more (disk %s)",
                 sim_disk_ended(world->sim) ? "ended" : "alive");
        fprintf(stderr, "%s\n", shared->failure);
        _exit(3);
    }
}

static void actor_main(void *context)
{
    struct actor *actor = context;

    for (;;) {
        actor->in_turn = true;
        (void)warp_engine_turn(actor->world->db, actor->index);
        actor->in_turn = false;
        fiber_yield(actor->fiber);
    }
}

static void actors_rest(struct world *world)
{
    uint32_t i;

    world->wait_steps = 0;
    for (i = 0; i < world->actor_count;) {
        if (world->actors[i].in_turn) {
            world_wait(world);
            i = 0;
        } else {
            i++;
        }
    }
}

static void pass(struct world *world, uint32_t steps, uint64_t ns)
{
    while (steps-- > 0 && !sim_disk_ended(world->sim)) {
        world_step(world, ns);
    }
}

/* ---- calls and what they may answer ------------------------------------------------------ */

static bool db_failed(struct world *world)
{
    char cause[8];

    return warp_failure(world->db, cause, sizeof(cause)) == WARP_EFAILED;
}

/* Only what happens to the log itself may end the writing. */
static bool may_fail(const struct world *world)
{
    switch (world->disk.struck) {
    case STEP_LOG_WRITE:
    case STEP_LOG_SYNC:
    case STEP_SEGMENT_ZERO:
        return true;
    case STEP_SEGMENT_CREATE:
    case STEP_SEGMENT_FILL:
    case STEP_SEGMENT_SYNC:
    case STEP_SEGMENT_RENAME:
    case STEP_SEGMENT_NAME_SYNC:
    case STEP_RECYCLE_FILL:
    case STEP_RECYCLE_SYNC:
    case STEP_RECYCLE_RENAME:
    case STEP_RECYCLE_NAME_SYNC:
        return world->disk.fault == FAULT_EIO_ONCE ||
               world->disk.fault == FAULT_EIO_LASTING;
    default:
        return false;
    }
}

enum call { CALL_WRITE, CALL_READ, CALL_JOB };

static void check(struct world *world, enum call call, const char *what, int rc)
{
    enum step struck = world->disk.struck;
    bool felt = struck != STEP_COUNT, fine = false;

    world->wait_steps = 0;
    if (rc >= 0 || sim_disk_ended(world->sim)) {
        return;
    }
    shared->failed_calls++;
    switch (rc) {
    case WARP_EFAILED:
        fine = may_fail(world);
        break;
    case WARP_ENOSPC:
        fine = felt && call != CALL_READ &&
               (world->disk.fault == FAULT_ENOSPC_ONCE ||
                world->disk.fault == FAULT_ENOSPC_LASTING);
        break;
    case WARP_EIO:
        fine = call == CALL_READ
                   ? struck == STEP_COLD_READ_LOG || struck == STEP_COLD_READ_ARCHIVE
               : call == CALL_JOB ? felt
                                  : may_fail(world);
        break;
    case WARP_EDAMAGED:
        fine = call == CALL_READ && world->disk.fault == FAULT_READ_FLIP &&
               (struck == STEP_COLD_READ_LOG || struck == STEP_COLD_READ_ARCHIVE);
        break;
    default:
        break;
    }
    if (!fine) {
        char cause[256] = "";

        (void)warp_failure(world->db, cause, sizeof(cause));
        oracle_violate(world->oracle, "a %s returned %d (%s): %s", what, rc,
                       warp_error_text(rc), cause);
    }
}

static struct warp_slice key_of(uint32_t key, char text[32])
{
    struct warp_slice slice = {text, 0};

    slice.bytes =
        (size_t)snprintf(text, 32, "key-%u%s", key, key % 3 == 0 ? "-longer" : "");
    return slice;
}

static uint32_t draw_level(struct world *world)
{
    uint64_t dice = warp_random_below(&world->random, 10);

    return dice < 5 ? WARP_COMMIT : dice < 8 ? WARP_INTERVAL : WARP_MEMORY;
}

static void write_one(struct world *world, bool is_delete, uint32_t key, uint32_t level)
{
    const struct warp_write fresh = WARP_WRITE_INIT;
    struct oracle_intent intent = {0};
    struct warp_write how = fresh;
    struct warp_slice value;
    uint64_t sequence = 0;
    char text[32];
    uint32_t id;
    int rc;

    intent.kind = is_delete ? ORACLE_DELETE : ORACLE_PUT;
    intent.key = key;
    intent.durability = how.durability = level;
    intent.if_write = intent.batch = ORACLE_NONE;
    if (!is_delete) {
        intent.value_bytes = 12 + (uint32_t)warp_random_below(&world->random, 500);
        if (warp_random_below(&world->random, 100) < 4) {
            intent.value_bytes += 3000;
        }
        if (warp_random_below(&world->random, 100) < 5) {
            intent.ttl_ms = how.ttl_ms = 1 + warp_random_below(&world->random, 20);
        }
    }
    id = oracle_write_begin(world->oracle, &intent, wall_ms(world));
    if (is_delete) {
        rc = warp_delete(world->db, key_of(key, text), &how, &sequence);
    } else {
        oracle_value(world->oracle, id, world->value);
        value.data = world->value;
        value.bytes = intent.value_bytes;
        rc = warp_put(world->db, key_of(key, text), value, &how, &sequence);
    }
    oracle_write_end(world->oracle, id, rc, sequence, 0, wall_ms(world));
    check(world, CALL_WRITE, is_delete ? "delete" : "put", rc);
}

static void write_batch(struct world *world)
{
    const struct warp_write fresh = WARP_WRITE_INIT;
    struct warp_write how = fresh;
    struct warp_batch *batch = NULL;
    uint32_t count = 2 + (uint32_t)warp_random_below(&world->random, 12), number, i;
    uint64_t sequence = 0;
    int rc = warp_batch_create(world->db, &batch);

    how.durability = draw_level(world);
    number = oracle_batch_begin(world->oracle);
    for (i = 0; i < count && rc == 0; i++) {
        struct oracle_intent intent = {0};
        struct warp_slice value = {world->value, 0};
        char text[32];
        uint32_t id;

        intent.kind = ORACLE_PUT;
        intent.key = (uint32_t)warp_random_below(&world->random, KEYS);
        intent.durability = how.durability;
        intent.if_write = ORACLE_NONE;
        intent.batch = number;
        value.bytes = intent.value_bytes =
            12 + (uint32_t)warp_random_below(&world->random, 300);
        id = oracle_write_begin(world->oracle, &intent, wall_ms(world));
        oracle_value(world->oracle, id, world->value);
        rc = warp_batch_put(batch, key_of(intent.key, text), value, 0);
    }
    if (rc == 0) {
        rc = warp_batch_commit(batch, &how, &sequence);
    }
    oracle_batch_end(world->oracle, number, rc, sequence, wall_ms(world));
    check(world, CALL_WRITE, "batch", rc);
    warp_batch_destroy(&batch);
}

static int read_one(struct world *world, uint32_t key)
{
    struct oracle_read read;
    uint64_t sequence = 0;
    size_t bytes = 0;
    char text[32];
    int rc;

    oracle_read_begin(world->oracle, key, 0, wall_ms(world), &read);
    rc =
        warp_get(world->db, key_of(key, text), world->value, VALUE_ROOM, &bytes, &sequence);
    if (rc == WARP_OK || rc == WARP_ABSENT) {
        oracle_read_end(world->oracle, &read, rc == WARP_OK, world->value, bytes, sequence,
                        UINT64_MAX, true, wall_ms(world));
    }
    check(world, CALL_READ, "get", rc);
    return rc;
}

static void read_several(struct world *world)
{
    struct oracle_read reads[6];
    struct warp_value values[6];
    struct warp_slice keys[6];
    char texts[6][32];
    int results[6];
    uint32_t i;
    int rc;

    memset(values, 0, sizeof(values));
    for (i = 0; i < 6; i++) {
        uint32_t key = (uint32_t)warp_random_below(&world->random, KEYS);

        keys[i] = key_of(key, texts[i]);
        oracle_read_begin(world->oracle, key, 0, wall_ms(world), &reads[i]);
    }
    rc = warp_multi_get(world->db, keys, 6, values, results);
    check(world, CALL_READ, "multi_get", rc);
    for (i = 0; i < 6 && rc == 0; i++) {
        if (results[i] == WARP_OK || results[i] == WARP_ABSENT) {
            oracle_read_end(world->oracle, &reads[i], results[i] == WARP_OK, values[i].data,
                            values[i].bytes, values[i].sequence, values[i].expires_at_ms,
                            true, wall_ms(world));
        }
        warp_return(&values[i]);
        check(world, CALL_READ, "multi_get", results[i]);
    }
}

static int run_job(struct world *world, bool compact)
{
    int rc = compact ? warp_compact(world->db) : warp_checkpoint(world->db);

    check(world, CALL_JOB, compact ? "compaction" : "checkpoint", rc);
    return rc;
}

static void operate(struct world *world, uint32_t number)
{
    uint64_t dice = warp_random_below(&world->random, 100);
    uint32_t key = (uint32_t)warp_random_below(
        &world->random, warp_random_below(&world->random, 2) == 0 ? KEYS : KEYS / 4);

    if (number % 90 == 89) {
        (void)run_job(world, true);
    } else if (number % 45 == 44) {
        (void)run_job(world, false);
    } else if (dice < 58) {
        write_one(world, false, key, draw_level(world));
    } else if (dice < 68) {
        write_one(world, true, key, draw_level(world));
    } else if (dice < 76) {
        write_batch(world);
    } else if (dice < 94) {
        (void)read_one(world, key);
    } else if (dice < 98) {
        read_several(world);
    } else {
        uint64_t token = oracle_flush_begin(world->oracle);
        int rc = warp_flush(world->db);

        if (rc == 0) {
            oracle_flush_end(world->oracle, token);
        }
        check(world, CALL_WRITE, "flush", rc);
    }
}

static void work(struct world *world, uint32_t operations)
{
    uint32_t i;

    for (i = 0; i < operations && !broken(world) && !sim_disk_ended(world->sim); i++) {
        operate(world, i);
        pass(world, 12, 200000);
    }
}

/* ---- open, close, compare ---------------------------------------------------------------- */

static int world_open(struct world *world)
{
    struct warp_options options = world->options;
    int rc;

    options.message = world->message;
    options.message_bytes = sizeof(world->message);
    world->message[0] = '\0';
    world->disk.who = WHO_OPENER;
    world->wait_steps = 0;
    rc = warp_engine_open("simulated", &options, &world->env, &world->db);
    world->disk.who = WHO_CALLER;
    shared->opens++;
    if (rc == 0) {
        world->actor_count = warp_engine_actors(world->db);
        world->next_actor = 0;
        world->moved = 0;
        if (world->actor_count > ACTORS_MAX) {
            abort();
        }
    } else if (sim_disk_open_files(world->sim) != 0 || sim_disk_locked(world->sim)) {
        oracle_violate(world->oracle, "an open that failed left %u files open, lock %s",
                       sim_disk_open_files(world->sim),
                       sim_disk_locked(world->sim) ? "held" : "free");
    }
    return rc;
}

static int world_close(struct world *world)
{
    struct warp_catalogue_values totals;
    int rc;

    actors_rest(world);
    warp_metrics_collect(world->db, &totals);
    shared->cold_reads += totals.disk_reads;
    shared->checkpoints += atomic_load(&world->db->background->checkpointer.made);
    shared->archives += warp_counter_read(&compact_counters(world)->archives);
    shared->removed += warp_counter_read(&compact_counters(world)->files_removed);
    shared->moved += warp_counter_read(&compact_counters(world)->records_moved);
    world->wait_steps = 0;
    rc = warp_close(&world->db);
    world->actor_count = 0;
    if (sim_disk_open_files(world->sim) != 0 || sim_disk_locked(world->sim)) {
        oracle_violate(world->oracle, "a close left %u files open, lock %s",
                       sim_disk_open_files(world->sim),
                       sim_disk_locked(world->sim) ? "held" : "free");
    }
    return rc;
}

/* The machine or the process is gone; what is left is there for the next open. */
static void world_end(struct world *world, enum sim_end how)
{
    if (!sim_disk_ended(world->sim)) {
        sim_disk_end_now(world->sim, how);
    }
    if (world->db != NULL) {
        (void)world_close(world);
    }
    sim_disk_end_never(world->sim);
    sim_disk_fail_clear(world->sim);
    sim_disk_set_capacity(world->sim, UINT64_MAX / 2);
    sim_disk_restart(world->sim);
    step_disk_reset(&world->disk);
}

static int compare_visit(void *context, struct warp_slice key,
                         const struct warp_value *value)
{
    struct world *world = context;
    char text[32];
    uint32_t i;

    for (i = 0; i < KEYS; i++) {
        struct warp_slice known = key_of(i, text);

        if (known.bytes == key.bytes && memcmp(known.data, key.data, key.bytes) == 0) {
            oracle_recovery_record(world->oracle, i, value->data, value->bytes,
                                   value->sequence, value->expires_at_ms);
            return broken(world);
        }
    }
    oracle_violate(world->oracle, "there is a key that nobody wrote");
    return 1;
}

static void read_all(struct world *world)
{
    uint32_t i;

    for (i = 0; i < KEYS && !broken(world); i++) {
        int rc = read_one(world, i);

        if (rc < 0 && !sim_disk_ended(world->sim)) {
            oracle_violate(world->oracle, "key %u cannot be read on a sound disk: %d (%s)",
                           i, rc, warp_error_text(rc));
        }
    }
}

static void compare(struct world *world, bool on_medium)
{
    int rc;

    warp_engine_check(world->db);
    oracle_recovery_begin(world->oracle, false, 0);
    rc = warp_visit(world->db, compare_visit, world);
    if (rc != 0 && !broken(world)) {
        oracle_violate(world->oracle, "the walk after the open returned %d (%s)", rc,
                       warp_error_text(rc));
    }
    if (!broken(world)) {
        oracle_recovery_end(world->oracle, on_medium, false, 0, wall_ms(world));
    }
    if (!broken(world)) {
        read_all(world);
    }
}

/* Open on a sound disk; everything must be as the oracle has it. */
static void open_and_compare(struct world *world, bool on_medium)
{
    int rc = world_open(world);

    if (rc != 0) {
        oracle_violate(world->oracle, "open returned %d (%s): %s", rc, warp_error_text(rc),
                       world->message);
        return;
    }
    compare(world, on_medium);
}

/* It works as if nothing had been, and what it has made then is sound, too. */
static void live_on(struct world *world)
{
    uint32_t i;

    for (i = 0; i < 30 && !broken(world); i++) {
        operate(world, i);
        pass(world, 8, 200000);
    }
    if (!broken(world) && (run_job(world, false) != 0 || run_job(world, true) != 0)) {
        oracle_violate(world->oracle, "housekeeping fails on a sound disk");
    }
    if (!broken(world)) {
        read_all(world);
    }
}

static void close_and_compare(struct world *world)
{
    uint64_t token = oracle_flush_begin(world->oracle);
    int rc = world_close(world);

    if (rc != 0) {
        oracle_violate(world->oracle, "close returned %d (%s)", rc, warp_error_text(rc));
        return;
    }
    oracle_flush_end(world->oracle, token);
    world_end(world, SIM_POWER_CUT);
    open_and_compare(world, true);
}

/* ---- a trial ----------------------------------------------------------------------------- */

static void draw_world(struct world *world)
{
    const struct warp_options fresh = WARP_OPTIONS_INIT;
    struct warp_random *random = &world->random;

    warp_random_init(random, world->seed);
    world->options = fresh;
    world->options.shard_count = 2;
    world->options.durability = WARP_COMMIT;
    world->options.read_durable = 1;
    world->options.sync_interval_ms = 5;
    world->options.memory_bytes_max = 64u << 20;
    world->options.huge_pages = 2;
    world->options.recovery_threads = 1;
    world->options.direct_io = world->seed % 2 == 0 ? 0 : 2;
    world->options.compaction = 1;
    world->options.space_permille = 1100;
    memset(&world->env, 0, sizeof(world->env));
    world->env.disk = &world->disk.face;
    world->env.clock = sim_disk_clock(world->sim);
    world->env.random_seed = world->seed + 1;
    world->env.wait = world_wait;
    world->env.context = world;
    world->env.segment_bytes = 8192;
    world->env.log_buffer_bytes = 16384;
    world->env.values_bytes_max = 700;
    world->env.checkpoint_log_bytes = 12288;
    world->env.checkpoint_buffer_bytes = 4096;
    world->env.compact_read_bytes = 4096;
    world->env.reader_handles = 8;
    world->env.prewrites = true;
    memset(&world->disk_options, 0, sizeof(world->disk_options));
    world->disk_options.direct = world->options.direct_io == 0;
    world->disk_options.block_bytes = world->seed % 4 < 2 ? 512 : 4096;
    world->disk_options.latency_ns_max = 20000;
    world->disk_options.stale_percent = world->seed % 5 == 0 ? 50 : 0;
    world->disk_options.keep_percent = 40;
    world->disk_options.tear_percent = 50;
    world->disk_options.open_files_max = 120;
    world->disk_options.capacity_bytes = UINT64_MAX / 2;
    world->disk_options.wall_ms = 1700000000000u;
}

static bool world_begin(struct world *world)
{
    draw_world(world);
    sim_disk_reset(world->sim, world->seed, &world->disk_options);
    step_disk_reset(&world->disk);
    oracle_reset(world->oracle, world->seed, KEYS, 0, false);
    open_and_compare(world, true);
    return !broken(world);
}

/* The fault is over, or it lasts and is to be borne. */
static void bear_and_recover(struct world *world, const struct trial *trial)
{
    uint64_t tries = world->disk.struck_count;
    uint32_t i;

    if (world->disk.lasting && !db_failed(world)) {
        pass(world, IDLE_STEPS, IDLE_NS);
        tries = world->disk.struck_count - tries;
        shared->worst_tries = tries > shared->worst_tries ? tries : shared->worst_tries;
        if (tries > IDLE_TRIES_MAX) {
            oracle_violate(world->oracle,
                           "what fails is tried again %" PRIu64 " times in %u ms", tries,
                           IDLE_STEPS * (IDLE_NS / 1000000));
        }
    }
    step_disk_clear(&world->disk);
    if (db_failed(world)) {
        if (!may_fail(world)) {
            oracle_violate(world->oracle, "the database has failed");
        }
        if (trial->fault == FAULT_EIO_ONCE || trial->fault == FAULT_EIO_LASTING) {
            return;
        }
    }
    /* Room is looked for every so often. */
    for (i = 0; i < 200 && !broken(world); i++) {
        const struct warp_write how = WARP_WRITE_INIT;
        struct warp_slice key = {"probe", 5};
        int rc = warp_delete(world->db, key, &how, NULL);

        check(world, CALL_WRITE, "delete", rc);
        if (rc != WARP_ENOSPC) {
            break;
        }
        pass(world, 50, 1000000);
    }
    if (broken(world)) {
        return;
    }
    shared->resumed++;
    live_on(world);
}

static void play_crash(struct world *world, const struct trial *trial)
{
    enum sim_end how = trial->fault == FAULT_KILL_BEFORE || trial->fault == FAULT_KILL_AFTER
                           ? SIM_KILL
                           : SIM_POWER_CUT;

    if (trial->close_first) {
        uint64_t token = oracle_flush_begin(world->oracle);

        if (world_close(world) == 0) {
            oracle_flush_end(world->oracle, token);
        } else {
            oracle_violate(world->oracle, "a close failed");
        }
    } else if (!sim_disk_ended(world->sim)) {
        oracle_violate(world->oracle, "the end did not come");
    }
    world_end(world, how);
}

/* The second fault, while the engine opens. */
static bool play_second(struct world *world, const struct trial *trial, uint64_t dice,
                        bool *on_medium)
{
    int rc;

    step_disk_plan(&world->disk, trial->second, trial->second_at, dice);
    rc = world_open(world);
    if (!sim_disk_ended(world->sim)) {
        step_disk_clear(&world->disk); /* what comes now is not the open any more */
    }
    if (world->disk.struck != STEP_COUNT) {
        shared->second_struck[world->disk.struck][trial->second]++;
    }
    if (rc == 0 && !sim_disk_ended(world->sim)) {
        /* It has coped with it. */
        compare(world, *on_medium);
    } else if (rc != 0) {
        shared->opens_failed++;
        if (world->disk.struck == STEP_COUNT) {
            oracle_violate(world->oracle, "open returned %d without a reason: %s", rc,
                           world->message);
        } else if (trial->second == FAULT_READ_FLIP &&
                   world->disk.struck == STEP_OPEN_READ_CHECKPOINT &&
                   strncmp(world->message, "checkpoint-", 11) != 0) {
            /* There are two, and the other one must find all that it names. */
            oracle_violate(world->oracle, "a rotten checkpoint, and open returned %d: %s",
                           rc, world->message);
        } else if (!sim_disk_ended(world->sim) && world->message[0] == '\0') {
            oracle_violate(world->oracle, "open returned %d without a message", rc);
        }
    }
    if (broken(world)) {
        return false;
    }
    world_end(world, SIM_POWER_CUT);
    *on_medium = true;
    return true;
}

static bool play(struct world *world, const struct trial *trial)
{
    uint64_t dice =
        world->seed * 0x9e3779b97f4a7c15u ^ (trial->at + 1) * 0xff51afd7ed558ccdu ^
        (trial->second_at + 1) * 0xc4ceb9fe1a85ec53u ^ (uint64_t)trial->fault << 56;
    bool on_medium = trial->fault != FAULT_KILL_BEFORE && trial->fault != FAULT_KILL_AFTER;

    dice ^= dice >> 29;
    shared->played++;
    if (!world_begin(world)) {
        return false;
    }
    step_disk_plan(&world->disk, trial->close_first ? FAULT_NONE : trial->fault, trial->at,
                   dice);
    work(world, OPERATIONS);
    if (!trial->close_first) {
        if (world->disk.struck != trial->step) {
            oracle_violate(world->oracle, "the fault was to meet \"%s: %s\" and met \"%s\"",
                           step_job(trial->step), step_words(trial->step),
                           world->disk.struck == STEP_COUNT
                               ? "nothing"
                               : step_words(world->disk.struck));
            return false;
        }
        shared->struck[trial->step][trial->fault]++;
    }
    if (broken(world)) {
        return false;
    }
    if (trial->close_first || fault_is_crash(trial->fault)) {
        play_crash(world, trial);
        if (!broken(world) && trial->second != FAULT_NONE &&
            !play_second(world, trial, dice, &on_medium)) {
            return false;
        }
        if (!broken(world)) {
            open_and_compare(world, on_medium);
        }
        if (!broken(world) && dice % 4 == 0) {
            live_on(world);
        }
    } else {
        bear_and_recover(world, trial);
        if (!broken(world) && (db_failed(world) || dice % 2 == 0)) {
            /* A kernel that has lost what it could not write shows it until the machine is
             * started again. */
            world_end(world, SIM_POWER_CUT);
            open_and_compare(world, true);
        }
    }
    if (!broken(world)) {
        close_and_compare(world);
    }
    if (!broken(world) && world_close(world) != 0) {
        oracle_violate(world->oracle, "the last close failed");
    }
    return !broken(world);
}

/* ---- which trials ------------------------------------------------------------------------ */

struct trials {
    struct trial *items;
    uint64_t count, capacity;
};

/* What the workload does, by number. */
struct plain {
    uint8_t *steps[2];
    uint64_t count[2];
    uint64_t open_count[2]; /* of the open behind a proper close */
    uint8_t *open_steps[2];
};

static void trials_add(struct trials *trials, const struct trial *trial)
{
    if (trials->count == trials->capacity) {
        trials->capacity = trials->capacity * 2 + 1024;
        trials->items = realloc(trials->items, trials->capacity * sizeof(*trials->items));
        if (trials->items == NULL) {
            abort();
        }
    }
    trials->items[trials->count++] = *trial;
}

static bool fault_fits(enum fault fault, enum step step)
{
    if (fault_is_read(fault) != step_reads(step)) {
        return false;
    }
    if (step == STEP_INSTALL) {
        return fault_is_crash(fault);
    }
    if (fault == FAULT_ENOSPC_ONCE) {
        return step_wants_space(step);
    }
    return fault != FAULT_CUT_MIDDLE || step == STEP_LOG_WRITE ||
           step == STEP_SEGMENT_FILL || step == STEP_RECYCLE_FILL ||
           step == STEP_CHECKPOINT_WRITE || step == STEP_MANIFEST_WRITE ||
           step == STEP_ARCHIVE_WRITE;
}

/* Operation i of the plain run gets this fault, and perhaps a second one after it. */
static void trials_add_one(const struct world *world, const struct plain *plain,
                           struct trials *trials, enum fault fault, uint64_t i,
                           struct warp_random *random)
{
    const struct arguments *arguments = world->arguments;
    struct trial trial = {.fault = fault, .at = i};
    uint64_t k;

    trial.step = plain->steps[fault_is_read(fault)][i];
    trials_add(trials, &trial);
    if (fault != FAULT_CUT_AFTER && fault != FAULT_CUT_MIDDLE) {
        return;
    }
    /* How many operations the open will have is known about: as many as that of a proper close. */
    for (k = 0; k < arguments->doubles; k++) {
        static const enum fault seconds[] = {FAULT_CUT_BEFORE, FAULT_CUT_AFTER,
                                             FAULT_EIO_ONCE, FAULT_READ_EIO_ONCE};
        bool reads;

        trial.second = seconds[warp_random_below(random, 4)];
        reads = fault_is_read(trial.second);
        trial.second_at = warp_random_below(random, plain->open_count[reads]);
        trials_add(trials, &trial);
    }
}

static void trials_choose(const struct world *world, const struct plain *plain,
                          struct trials *trials)
{
    const struct arguments *arguments = world->arguments;
    struct warp_random random;
    enum fault fault;
    enum step step;

    warp_random_init(&random, world->seed + 77);
    for (fault = FAULT_CUT_BEFORE; fault < FAULT_COUNT; fault++) {
        bool reads = fault_is_read(fault);

        for (step = 0; step < STEP_COUNT; step++) {
            uint64_t met = 0, i, wanted = arguments->per_step;

            if (!fault_fits(fault, step)) {
                continue;
            }
            for (i = 0; i < plain->count[reads]; i++) {
                met += plain->steps[reads][i] == step;
            }
            /* Selection sampling: Knuth, TAOCP 3.4.2, algorithm S. */
            wanted = arguments->all || wanted > met ? met : wanted;
            for (i = 0; i < plain->count[reads] && wanted > 0; i++) {
                if (plain->steps[reads][i] != step) {
                    continue;
                }
                if (warp_random_below(&random, met) < wanted) {
                    trials_add_one(world, plain, trials, fault, i, &random);
                    wanted--;
                }
                met--;
            }
        }
    }
    /* And a proper close, with every fault at every operation of the open that follows. */
    for (fault = FAULT_CUT_BEFORE; fault < FAULT_COUNT; fault++) {
        bool reads = fault_is_read(fault);
        uint64_t i;

        for (i = 0; i < plain->open_count[reads]; i++) {
            struct trial trial = {.second = fault, .second_at = i, .close_first = true};

            trial.second_step = plain->open_steps[reads][i];
            if (fault != FAULT_ENOSPC_ONCE || step_wants_space(trial.second_step)) {
                trials_add(trials, &trial);
            }
        }
    }
}

static void trial_text(const struct world *world, const struct trial *trial, char *out,
                       size_t bytes)
{
    int at = snprintf(out, bytes, "--seed %" PRIu64, world->seed);

    if (trial->close_first) {
        at += snprintf(out + at, bytes - (size_t)at, " --only none");
    } else {
        at += snprintf(out + at, bytes - (size_t)at, " --only %s --at %" PRIu64 " (%s: %s)",
                       fault_words(trial->fault), trial->at, step_job(trial->step),
                       step_words(trial->step));
    }
    if (trial->second != FAULT_NONE) {
        (void)snprintf(out + at, bytes - (size_t)at,
                       " --second %s --second-at %" PRIu64 " (while it opens)",
                       fault_words(trial->second), trial->second_at);
    }
}

/* ---- the program ------------------------------------------------------------------------- */

static void world_make(struct world *world, const struct arguments *arguments,
                       uint64_t seed)
{
    uint32_t i;

    memset(world, 0, sizeof(*world));
    world->arguments = arguments;
    world->seed = seed;
    if (sim_disk_create(&world->sim) != 0 || oracle_create(&world->oracle) != 0) {
        abort();
    }
    step_disk_init(&world->disk, world->sim);
    for (i = 0; i < ACTORS_MAX; i++) {
        world->actors[i].world = world;
        world->actors[i].index = i;
        world->actors[i].fiber = fiber_create(actor_main, &world->actors[i]);
    }
}

static void world_unmake(struct world *world)
{
    uint32_t i;

    for (i = 0; i < ACTORS_MAX; i++) {
        fiber_destroy(&world->actors[i].fiber);
    }
    step_disk_fini(&world->disk);
    sim_disk_destroy(&world->sim);
    oracle_destroy(&world->oracle);
}

static void violated(struct world *world)
{
    const char *what = oracle_violation(world->oracle);

    snprintf(shared->failure, sizeof(shared->failure), "%s",
             what != NULL ? what : sim_disk_misuse(world->sim));
    if (world->arguments->verbose && what != NULL) {
        oracle_dump(world->oracle);
    }
}

/* Without a fault, to number the operations. */
static bool play_plain(struct world *world, struct plain *plain)
{
    uint64_t token;
    uint32_t i;
    int rc;

    snprintf(shared->text, sizeof(shared->text), "--seed %" PRIu64 " (without a fault)",
             world->seed);
    for (i = 0; i < 2; i++) {
        plain->steps[i] = calloc(STEPS_RECORDED, 1);
        plain->open_steps[i] = calloc(STEPS_RECORDED, 1);
        world->disk.steps[i] = NULL;
    }
    world->disk.step_capacity = STEPS_RECORDED;
    if (!world_begin(world)) {
        return false;
    }
    step_disk_plan(&world->disk, FAULT_NONE, 0, 0);
    for (i = 0; i < 2; i++) {
        world->disk.steps[i] = plain->steps[i];
    }
    work(world, OPERATIONS);
    plain->count[0] = world->disk.changes;
    plain->count[1] = world->disk.reads;
    world->disk.steps[0] = world->disk.steps[1] = NULL;
    if (broken(world)) {
        return false;
    }
    token = oracle_flush_begin(world->oracle);
    rc = world_close(world);
    oracle_flush_end(world->oracle, token);
    if (rc != 0) {
        oracle_violate(world->oracle, "close returned %d", rc);
        return false;
    }
    world_end(world, SIM_POWER_CUT);
    for (i = 0; i < 2; i++) {
        world->disk.steps[i] = plain->open_steps[i];
    }
    rc = world_open(world);
    plain->open_count[0] = world->disk.changes;
    plain->open_count[1] = world->disk.reads;
    world->disk.steps[0] = world->disk.steps[1] = NULL;
    if (rc == 0) {
        compare(world, true);
        (void)world_close(world);
    } else {
        oracle_violate(world->oracle, "open returned %d: %s", rc, world->message);
    }
    return !broken(world) && plain->count[0] < STEPS_RECORDED &&
           plain->count[1] < STEPS_RECORDED;
}

static bool play_trials(struct world *world, const struct trials *trials)
{
    uint64_t i;

    for (i = shared->next; i < trials->count; i++) {
        shared->next = i;
        trial_text(world, &trials->items[i], shared->text, sizeof(shared->text));
        if (!world->arguments->no_fork) {
            alarm(60);
        }
        if (!play(world, &trials->items[i])) {
            violated(world);
            return false;
        }
    }
    shared->next = trials->count;
    return true;
}

/* What the workload must have met; the others depend on chance. */
static bool step_is_due(enum step step)
{
    return step != STEP_TIDY && step != STEP_OTHER && step < STEP_COUNT &&
           strcmp(step_job(step), "open") != 0;
}

/* All trials of one seed, or the one that was asked for. In a process of its own. */
static int work_seed(const struct arguments *arguments, uint64_t seed)
{
    struct world *world = malloc(sizeof(*world));
    struct plain plain = {0};
    struct trials trials = {0};
    int status = 0;
    uint32_t i;

    world_make(world, arguments, seed);
    if (!play_plain(world, &plain)) {
        violated(world);
        return 2;
    }
    if (arguments->only != FAULT_COUNT) {
        struct trial trial = {.fault = arguments->only,
                              .at = arguments->at,
                              .second = arguments->second,
                              .second_at = arguments->second_at,
                              .close_first = arguments->only == FAULT_NONE};

        trial.step = plain.steps[fault_is_read(trial.fault)][trial.at % STEPS_RECORDED];
        trials_add(&trials, &trial);
    } else {
        trials_choose(world, &plain, &trials);
        if (shared->next == 0) {
            printf("faults, seed %" PRIu64 ": %" PRIu64 " changes and %" PRIu64
                   " reads, %" PRIu64 " and %" PRIu64 " more to open; %" PRIu64 " trials\n",
                   seed, plain.count[0], plain.count[1], plain.open_count[0],
                   plain.open_count[1], trials.count);
        }
    }
    if (arguments->count) {
        enum step step;

        for (step = 0; step < STEP_COUNT; step++) {
            bool reads = step_reads(step);

            if (step_is_due(step) &&
                memchr(plain.steps[reads], (int)step, plain.count[reads]) == NULL) {
                snprintf(shared->failure, sizeof(shared->failure), "none of: %s: %s",
                         step_job(step), step_words(step));
                status = 2;
            }
        }
    } else if (!play_trials(world, &trials)) {
        status = 1;
    } else {
        world_unmake(world);
        free(world);
    }
    for (i = 0; i < 2; i++) {
        free(plain.steps[i]);
        free(plain.open_steps[i]);
    }
    free(trials.items);
    return status;
}

static uint64_t report(const struct arguments *arguments)
{
    uint64_t missing = 0;
    enum fault fault;
    enum step step;

    printf("%-10s %-36s", "job", "step");
    for (fault = FAULT_CUT_BEFORE; fault < FAULT_COUNT; fault++) {
        printf(" %s", fault_words(fault));
    }
    printf("\n");
    for (step = 0; step < STEP_COUNT; step++) {
        bool opens = strcmp(step_job(step), "open") == 0;
        uint64_t sum = 0;

        printf("%-10s %-36s", step_job(step), step_words(step));
        for (fault = FAULT_CUT_BEFORE; fault < FAULT_COUNT; fault++) {
            uint64_t count =
                opens ? shared->second_struck[step][fault] : shared->struck[step][fault];

            sum += count;
            if (fault_fits(fault, step) || count > 0) {
                printf(" %*" PRIu64, (int)strlen(fault_words(fault)), count);
                if (count == 0 && step_is_due(step)) {
                    missing++;
                }
            } else {
                printf(" %*s", (int)strlen(fault_words(fault)), "-");
            }
        }
        printf("%s\n", sum == 0 ? "   never struck" : "");
    }
    printf("faults: %" PRIu64 " trials, %" PRIu64 " opens (%" PRIu64 " refused), %" PRIu64
           " calls failed, %" PRIu64 " recoveries without a reopen, at most %" PRIu64
           " tries in %u ms; %" PRIu64 " checkpoints, %" PRIu64 " archives, %" PRIu64
           " records moved, %" PRIu64 " files removed, %" PRIu64 " values read from disk\n",
           shared->played, shared->opens, shared->opens_failed, shared->failed_calls,
           shared->resumed, shared->worst_tries, IDLE_STEPS * (IDLE_NS / 1000000),
           shared->checkpoints, shared->archives, shared->moved, shared->removed,
           shared->cold_reads);
    if (missing > 0 && arguments->only == FAULT_COUNT) {
        printf("faults: %" PRIu64 " pairs of a step and a fault were never met\n", missing);
        return missing;
    }
    return 0;
}

static void usage(void)
{
    enum fault fault;

    puts("faults [options]: the housekeeping, with a fault at one operation of the disk at "
         "a "
         "time\n"
         "  --seed N --seeds M   workloads N ... N+M-1 (default 1, 1 of them)\n"
         "  --per-step N         operations of each step that each fault strikes (default "
         "2)\n"
         "  --doubles N          second faults, while it opens, behind each power cut "
         "(default 1)\n"
         "  --all                every operation\n"
         "  --count              only number them, and say which steps there are none of\n"
         "  --only FAULT --at N [--second FAULT --second-at M]   one trial\n"
         "  --expect-violation   exit 0 only if one is found (builds with a planted bug)\n"
         "  --keep-going         go on after a violation\n"
         "  --verbose, --no-fork to look at one trial");
    printf("FAULT:");
    for (fault = FAULT_NONE; fault < FAULT_COUNT; fault++) {
        printf(" %s", fault_words(fault));
    }
    puts("");
}

static enum fault fault_named(const char *text)
{
    enum fault fault;

    for (fault = FAULT_NONE; fault < FAULT_COUNT; fault++) {
        if (strcmp(fault_words(fault), text) == 0) {
            return fault;
        }
    }
    usage();
    exit(2);
}

static void parse(int argc, char **argv, struct arguments *arguments)
{
    const struct arguments standard = {
        .seed = 1, .seeds = 1, .per_step = 1, .doubles = 1, .only = FAULT_COUNT};
    int i;

    *arguments = standard;
    for (i = 1; i < argc; i++) {
        struct {
            const char *flag;
            uint64_t *number;
        } numbers[] = {{"--seed", &arguments->seed},
                       {"--seeds", &arguments->seeds},
                       {"--per-step", &arguments->per_step},
                       {"--doubles", &arguments->doubles},
                       {"--at", &arguments->at},
                       {"--second-at", &arguments->second_at}};
        struct {
            const char *flag;
            bool *set;
        } flags[] = {{"--all", &arguments->all},
                     {"--verbose", &arguments->verbose},
                     {"--no-fork", &arguments->no_fork},
                     {"--keep-going", &arguments->keep_going},
                     {"--count", &arguments->count},
                     {"--expect-violation", &arguments->expect_violation}};
        bool known = false;
        size_t k;

        for (k = 0; k < sizeof(flags) / sizeof(flags[0]); k++) {
            if (strcmp(argv[i], flags[k].flag) == 0) {
                *flags[k].set = known = true;
            }
        }
        for (k = 0; !known && k < sizeof(numbers) / sizeof(numbers[0]); k++) {
            if (strcmp(argv[i], numbers[k].flag) == 0 && i + 1 < argc) {
                *numbers[k].number = strtoull(argv[++i], NULL, 0);
                known = true;
            }
        }
        if (!known && strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            arguments->only = fault_named(argv[++i]);
            arguments->seeds = 1;
        } else if (!known && strcmp(argv[i], "--second") == 0 && i + 1 < argc) {
            arguments->second = fault_named(argv[++i]);
        } else if (!known) {
            usage();
            exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
        }
    }
}

/* Returns the wait status of a worker. */
static int run_worker(const struct arguments *arguments, uint64_t seed)
{
    pid_t child;
    int status = 0;

    if (arguments->no_fork) {
        return work_seed(arguments, seed) << 8;
    }
    fflush(stdout);
    child = fork();
    if (child < 0) {
        perror("fork");
        exit(3);
    }
    if (child == 0) {
        int rc = work_seed(arguments, seed);

        fflush(stdout);
        _exit(rc);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    uint64_t seed, violations = 0, missing = 0;
    time_t begun = time(NULL);

    parse(argc, argv, &arguments);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 3;
    }
    for (seed = arguments.seed; seed < arguments.seed + arguments.seeds; seed++) {
        shared->next = 0;
        for (;;) {
            int status;

            shared->failure[0] = '\0';
            status = run_worker(&arguments, seed);
            if (status == 0) {
                break;
            }
            violations++;
            if (WIFSIGNALED(status)) {
                snprintf(shared->failure, sizeof(shared->failure),
                         "ended by signal %d (%s)", WTERMSIG(status),
                         WTERMSIG(status) == SIGALRM ? "too long"
                                                     : strsignal(WTERMSIG(status)));
            }
            printf("violation: %s %s: %s\n", argv[0], shared->text,
                   shared->failure[0] != '\0' ? shared->failure
                                              : "the process ended (sanitizer?)");
            shared->next++;
            if (!arguments.keep_going || (WIFEXITED(status) && WEXITSTATUS(status) == 2) ||
                arguments.only != FAULT_COUNT) {
                break;
            }
        }
        if (violations > 0 && !arguments.keep_going) {
            break;
        }
    }
    if (arguments.expect_violation) {
        if (violations > 0) {
            printf("found as expected: %s: %s\n", shared->text, shared->failure);
        }
        return violations > 0 ? 0 : 1;
    }
    if (!arguments.count && (violations == 0 || arguments.keep_going)) {
        missing = report(&arguments);
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed in %ld s\n",
           shared->played > violations ? shared->played - violations : 0,
           violations + missing, (long)(time(NULL) - begun));
    return violations + missing > 0 ? 1 : 0;
}
