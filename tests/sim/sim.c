/*
 * sim - the whole engine on one thread, from a seed, with a disk that lies.
 *
 * Every thread of the real world is a fiber here: clients that call the public functions,
 * and one per actor that calls warp_engine_turn(). Where the engine would sleep it calls
 * env.wait, and the simulator draws who goes on: a client, an actor, the disk, or time. So
 * one seed is one schedule, played on the same object code that the product runs.
 *
 * Life of a run:
 *
 *   open, compare with the oracle, let clients work, end (power cut, kill, failed disk or
 *   a proper close), restart the disk, open again (in a fifth of the runs the end comes
 *   again while the engine recovers), compare, ... three times or so; sometimes the medium
 *   rots in the end.
 *
 * A worker process plays the seeds; the parent only counts, so that a broken assertion or a
 * hang ends the worker and is reported with its seed like any other violation.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/env.h"
#include "base/epoch.h"
#include "base/hash.h"
#include "base/random.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "engine/restore.h"
#include "shards/get.h"
#include "shards/store.h"
#include "tests/sim/fiber.h"
#include "tests/sim/oracle.h"
#include "tests/sim/rot.h"
#include "tests/sim/self_test.h"
#include "tests/sim/sim_disk.h"
#include "warp/warp.h"

#define CLIENTS_MAX    10u
#define ACTORS_MAX     12u
#define LOANS_MAX      4u
#define DEPTH_MAX      16u
#define KEY_BYTES_MAX  400u
#define VALUE_ROOM     (160u * 1024u)
#define HANG_STEPS     400000u
#define INTERVAL_TURNS 400u
/* So many turns of the background may pass while nothing else comes to an end. */
#define BACKGROUND_TURNS 20000u
#define BACKUPS_MAX      32u

enum mode { MODE_FAULTS, MODE_ROT, MODE_ENOSPC, MODE_MEMORY, MODE_ALL };

enum ending { ENDING_CLOSE, ENDING_POWER_CUT, ENDING_KILL };

struct arguments {
    uint64_t seed, runs;
    enum mode mode;
    bool verbose, trace, twice, expect_violation, keep_going, no_fork;
};

struct totals {
    uint64_t seed; /* being played */
    uint64_t runs, lives, operations, done, ends, ends_many_in_flight, nested, power_cuts,
        kills;
    uint64_t writes_torn, writes_lost, names_lost, faults, failed, enospc, resumed,
        rot_found;
    uint64_t intervals, no_memory, rot_survived, steps, bytes_cut, crowded_steps,
        busy_steps;
    uint64_t backups, backups_failed, backups_shared, restores, restores_cut, boundary_cuts;
    uint64_t evictions, cold_reads, admissions, checkpoints, archives, files_removed;
    uint64_t moves, moves_busy, forwards, dealt_anew;
    char failure[1024];
};

struct loan {
    struct warp_value value;
    uint8_t *copy;
};

struct request_slot {
    bool used;
    bool is_read;
    uint32_t write; /* id */
    struct oracle_read read;
    struct warp_write how;
    uint8_t *value;
    uint8_t *if_value;
};

struct sim;

struct client {
    struct sim *sim;
    struct fiber *fiber;
    uint32_t index;
    bool working; /* in the middle of operations */
    uint32_t operations_left;
    uint32_t session_number;          /* for the oracle; 0: a blocking client */
    struct warp_epoch_record *reader; /* of one that looks into tables */
    struct warp_session *session;
    uint32_t session_depth, in_flight;
    int session_fd; /* >= 0: polls only when it is readable, as a program with epoll does */
    struct request_slot slots[DEPTH_MAX];
    struct loan loans[LOANS_MAX];
    uint8_t *value;
    uint8_t *buffer;
};

struct actor {
    struct sim *sim;
    struct fiber *fiber;
    uint32_t index;
    bool in_turn;
    bool wanted; /* false: rests at the boundary of its turns */
    uint32_t weight;
};

struct sim {
    const struct arguments *arguments;
    struct totals *totals;
    struct warp_random random;
    struct sim_disk *disk;
    struct oracle *oracle;
    struct warp_env env;
    struct warp *db;
    enum mode mode;
    uint64_t seed;

    /* Drawn once per run. */
    struct warp_options options;
    uint32_t shard_count;
    bool read_durable;
    uint32_t key_count, counter_count;
    uint8_t keys[ORACLE_KEYS_MAX][KEY_BYTES_MAX];
    uint32_t key_bytes[ORACLE_KEYS_MAX];
    uint32_t chance_percent[WARP_CHANCE_COUNT];
    uint32_t preempt_percent;
    uint32_t level_weight[4];
    uint32_t value_bytes_max;
    uint32_t client_count;
    uint32_t weight_client, weight_actor, weight_disk, weight_time;
    uint32_t ttl_percent, delete_percent, condition_percent, batch_percent;
    /* Slots that change their shard, and shards that are more or fewer at the next open: drawn from a
     * stream of their own. */
    struct warp_random move_random;
    uint32_t move_permille; /* of operations */
    uint64_t capacity_bytes;
    struct sim_disk_options disk_options;

    /* The world. */
    struct client clients[CLIENTS_MAX];
    struct actor actors[ACTORS_MAX];
    uint32_t actor_count;
    struct fiber *current; /* NULL: the main stack */
    bool clients_run;      /* also while the main stack waits */
    bool stopping;         /* clients finish what they do and rest */
    bool fault_allowed;    /* errors of the disk may reach the clients */
    bool full_allowed;     /* so may WARP_ENOSPC */
    bool memory_allowed;   /* so may WARP_ENOMEM */
    struct warp_allocator allocator;
    uint64_t memory_bytes;      /* the engine has now */
    uint64_t memory_calls_left; /* until calls fail; UINT64_MAX: never */
    uint64_t memory_fails_left; /* how many fail then */
    uint32_t full_seen, full_resumed;
    uint64_t steps, quiet_steps;
    uint32_t session_next;

    /* Writes at WARP_INTERVAL must become durable by themselves. */
    uint64_t interval_rank, interval_ns;
    uint32_t interval_turns;
    uint32_t inside_calls; /* threads inside a call of the disk that has not come back */
    uint32_t background_turns; /* since a call came to an end */

    /* Backups go to a disk of their own, and come back onto a third one. */
    struct sim_disk *vault, *spare;
    uint32_t backup_permille; /* of blocking operations */
    uint32_t backups_running;
    uint64_t restores; /* of this run */
    struct {
        uint64_t number, cut;
    } backups[BACKUPS_MAX]; /* that were promised */
    uint32_t backup_count;

    uint64_t hash;
    uint64_t events;
};

static struct totals *shared;

/* ---- the trace
 * ------------------------------------------------------------------------------ */

static void note(void *context, const char *what, uint64_t first, uint64_t second)
{
    struct sim *sim = context;
    uint64_t hash = sim->hash;
    const char *at;

    for (at = what; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
    }
    hash = (hash ^ first) * 0x9e3779b97f4a7c15u;
    hash = ((hash << 23) | (hash >> 41)) ^ (second * 0xff51afd7ed558ccdu);
    sim->hash = hash;
    sim->events++;
    if (sim->arguments->trace) {
        printf("%8" PRIu64 " %-16s %20" PRIu64 " %20" PRIu64 "\n", sim->events, what, first,
               second);
    }
}

static uint64_t below(struct sim *sim, uint64_t n)
{
    return warp_random_below(&sim->random, n);
}

static bool percent(struct sim *sim, uint32_t chance)
{
    return below(sim, 100) < chance;
}

static uint64_t wall_ms(struct sim *sim)
{
    const struct warp_clock *clock = sim_disk_clock(sim->disk);

    return clock->wall_ms(clock->context);
}

static bool broken(const struct sim *sim)
{
    return oracle_violation(sim->oracle) != NULL || sim_disk_misuse(sim->disk) != NULL ||
           sim_disk_misuse(sim->vault) != NULL;
}

/* ---- who goes on
 * ------------------------------------------------------------------------------ */

static void resume(struct sim *sim, struct fiber *fiber)
{
    sim->current = fiber;
    fiber_resume(fiber);
    sim->current = NULL;
}

static void pass_time(struct sim *sim)
{
    uint64_t kind = below(sim, 16);

    sim_disk_advance(sim->disk, kind == 0  ? below(sim, 60000000)
                                : kind < 4 ? below(sim, 2000000)
                                           : below(sim, 50000));
}

/* One event of the world. clients: they may be drawn too. */
static void world_step(struct sim *sim, bool clients)
{
    uint32_t working = 0, i;
    uint64_t total, pick;

    sim->steps++;
    sim->quiet_steps++;
    sim->totals->busy_steps += sim_disk_in_flight(sim->disk) == 1;
    sim->totals->crowded_steps += sim_disk_in_flight(sim->disk) > 1;
    for (i = 0; clients && i < sim->client_count; i++) {
        working += sim->clients[i].working;
    }
    total = (working > 0 ? sim->weight_client : 0) +
            (sim->db != NULL ? sim->weight_actor : 0) +
            (sim_disk_in_flight(sim->disk) > 0 ? sim->weight_disk : 0) + sim->weight_time;
    pick = below(sim, total);
    if (working > 0 && pick < sim->weight_client) {
        uint64_t which = below(sim, working);

        for (i = 0; i < sim->client_count; i++) {
            if (sim->clients[i].working && which-- == 0) {
                resume(sim, sim->clients[i].fiber);
                return;
            }
        }
    }
    pick -= working > 0 ? sim->weight_client : 0;
    if (sim->db != NULL && pick < sim->weight_actor) {
        uint32_t weights = 0;
        uint64_t which;

        for (i = 0; i < sim->actor_count; i++) {
            weights += sim->actors[i].weight;
        }
        which = below(sim, weights);
        for (i = 0; i < sim->actor_count; i++) {
            if (which < sim->actors[i].weight) {
                sim->actors[i].wanted = true;
                resume(sim, sim->actors[i].fiber);
                return;
            }
            which -= sim->actors[i].weight;
        }
    }
    pick -= sim->db != NULL ? sim->weight_actor : 0;
    if (sim_disk_in_flight(sim->disk) > 0 && pick < sim->weight_disk) {
        (void)sim_disk_step(sim->disk);
        return;
    }
    pass_time(sim);
}

static void hang(struct sim *sim, const char *where)
{
    char cause[256] = "";

    if (sim->db != NULL) {
        (void)warp_failure(sim->db, cause, sizeof(cause));
    }
    snprintf(shared->failure, sizeof(shared->failure),
             "nothing comes to an end any more (%s; disk %s; failure \"%s\")", where,
             sim_disk_ended(sim->disk) ? "ended" : "alive", cause);
    if (sim->arguments->no_fork) {
        fprintf(stderr, "%s\n", shared->failure);
    }
    fflush(stdout);
    _exit(3);
}

/* env.wait: somebody sleeps. */
static void world_wait(void *context)
{
    struct sim *sim = context;

    if (sim->current != NULL) {
        fiber_yield(sim->current);
        return;
    }
    world_step(sim, sim->clients_run);
    if (sim->quiet_steps > HANG_STEPS) {
        hang(sim, sim->db == NULL ? "open" : "close or check");
    }
}

/* A thread is inside a system call: others run meanwhile. */
static bool world_yield(void *context)
{
    struct sim *sim = context;

    if (sim->current == NULL) {
        return false;
    }
    sim->inside_calls++;
    fiber_yield(sim->current);
    sim->inside_calls--;
    return true;
}

static bool world_chance(void *context, enum warp_chance point)
{
    struct sim *sim = context;
    uint32_t chance = sim->chance_percent[point];

    /* These are met where no lock is held that others spin on: the thread may be preempted.
     */
    if ((point == WARP_CHANCE_LEASE_REFUSED || point == WARP_CHANCE_DRAIN_SHORT ||
         point == WARP_CHANCE_GROW_EARLY) &&
        sim->current != NULL && percent(sim, sim->preempt_percent)) {
        fiber_yield(sim->current);
    }
    return chance != 0 && percent(sim, chance);
}

/*
 * After two intervals, and then plenty of turns of the log with a disk that had nothing left
 * to do, what was acknowledged at WARP_INTERVAL before must be on the medium. Turns before
 * that do not count: time may pass at a jump, and the first turn behind it begins the sync. Nor
 * do turns while a thread is inside a call of the disk: it may be the one that leads the flush.
 */
static void interval_watch(struct sim *sim)
{
    uint64_t now_ns = sim_disk_now_ns(sim->disk);

    if (sim->interval_turns == 0) {
        sim->interval_rank = oracle_interval_floor(sim->oracle);
        sim->interval_ns = now_ns;
        sim->interval_turns = 1;
    }
    if (now_ns > sim->interval_ns + (2ull * sim->options.sync_interval_ms + 5) * 1000000) {
        sim->interval_turns += sim_disk_in_flight(sim->disk) == 0 && sim->inside_calls == 0;
    }
    if (sim->interval_turns > INTERVAL_TURNS) {
        if (!sim_disk_ended(sim->disk) && !sim->fault_allowed) {
            oracle_flush_end(sim->oracle, sim->interval_rank);
            sim->totals->intervals++;
        }
        sim->interval_turns = 0;
    }
}

static void actor_main(void *context)
{
    struct actor *actor = context;

    for (;;) {
        bool worked;

        actor->in_turn = true;
        worked = warp_engine_turn(actor->sim->db, actor->index);
        actor->in_turn = false;
        note(actor->sim, worked ? "turn" : "idle turn", actor->index, 0);
        if (actor->index == 0) {
            interval_watch(actor->sim);
        }
        if (worked && actor->index + 1 == actor->sim->actor_count &&
            ++actor->sim->background_turns < BACKGROUND_TURNS) {
            actor->sim->quiet_steps = 0; /* somebody may wait for many of them */
        }
        actor->wanted = false;
        while (!actor->wanted) {
            fiber_yield(actor->fiber);
        }
    }
}

/* ---- memory that runs out
 * ---------------------------------------------------------------- */

static void *memory_allocate(void *context, size_t bytes, size_t alignment)
{
    struct sim *sim = context;
    void *memory;

    if (sim->memory_calls_left == 0) {
        if (sim->memory_fails_left > 0) {
            sim->memory_fails_left--;
            sim->totals->no_memory++;
            return NULL;
        }
    } else if (sim->memory_calls_left != UINT64_MAX) {
        sim->memory_calls_left--;
    }
    if (posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment,
                       bytes) != 0) {
        return NULL;
    }
    sim->memory_bytes += bytes;
    return memory;
}

static void memory_release(void *context, void *memory, size_t bytes)
{
    struct sim *sim = context;

    if (memory != NULL) {
        sim->memory_bytes -= bytes;
        free(memory);
    }
}

static void memory_fail(struct sim *sim, uint64_t after)
{
    if (sim->mode == MODE_MEMORY) {
        sim->memory_allowed = true;
        sim->memory_calls_left = after;
        sim->memory_fails_left = percent(sim, 70) ? 1 + below(sim, 3) : UINT64_MAX;
    }
}

static void memory_fail_never(struct sim *sim)
{
    sim->memory_calls_left = UINT64_MAX;
    sim->memory_fails_left = 0;
    sim->memory_allowed = false;
}

/* ---- operations
 * --------------------------------------------------------------------------- */

static struct warp_slice key_of(const struct sim *sim, uint32_t key)
{
    struct warp_slice slice = {sim->keys[key], sim->key_bytes[key]};

    return slice;
}

static uint32_t draw_key(struct sim *sim)
{
    /* A few keys are hot. */
    return (uint32_t)(percent(sim, 50) ? below(sim, sim->key_count)
                                       : below(sim, 1 + sim->key_count / 4));
}

static uint32_t draw_value_bytes(struct sim *sim, uint32_t key)
{
    uint64_t kind = below(sim, 100);
    uint64_t bytes;

    if (kind < 3 && oracle_empty_allowed(sim->oracle, key)) {
        return 0;
    }
    if (kind < 60) {
        bytes = 12 + below(sim, 100);
    } else if (kind < 94) {
        bytes = 12 + below(sim, 1200);
    } else if (kind < (sim->value_bytes_max == VALUE_ROOM ? 96 : 99)) {
        bytes = 12 + below(sim, 9000);
    } else {
        bytes = 12 + below(sim, VALUE_ROOM - 12);
    }
    return (uint32_t)(bytes > sim->value_bytes_max
                          ? 12 + bytes % (sim->value_bytes_max - 11)
                          : bytes);
}

static uint32_t draw_level(struct sim *sim)
{
    uint64_t pick = below(sim, sim->level_weight[0] + sim->level_weight[1] +
                                   sim->level_weight[2] + sim->level_weight[3]);
    uint32_t level;

    for (level = 0; pick >= sim->level_weight[level]; level++) {
        pick -= sim->level_weight[level];
    }
    return level;
}

static uint32_t effective_level(const struct sim *sim, uint32_t level)
{
    return level == WARP_DURABILITY_DEFAULT ? sim->options.durability : level;
}

static bool db_failed(struct sim *sim)
{
    char cause[8];

    return warp_failure(sim->db, cause, sizeof(cause)) == WARP_EFAILED;
}

/* Is this answer one that the weather explains? */
static void check_answer(struct sim *sim, const char *what, int rc, bool failed_before)
{
    sim->quiet_steps = 0;
    sim->background_turns = 0;
    note(sim, what, (uint64_t)(int64_t)rc, 0);
    switch (rc) {
    case WARP_OK:
        sim->totals->done++;
        if (failed_before) {
            oracle_violate(sim->oracle, "a %s was done after the database had failed",
                           what);
        }
        break;
    case WARP_EFAILED:
    case WARP_EIO:
        sim->totals->failed++;
        if (!sim->fault_allowed && !sim_disk_ended(sim->disk)) {
            char cause[256];

            if (warp_failure(sim->db, cause, sizeof(cause)) == 0) {
                (void)warp_reader_damage(sim->db->reader, cause, sizeof(cause));
            }
            oracle_violate(sim->oracle, "a %s returned %d without a fault: %s", what, rc,
                           cause);
        }
        break;
    case WARP_ENOSPC:
        sim->totals->enospc++;
        sim->full_seen++;
        if (!sim->full_allowed && !sim->fault_allowed && !sim_disk_ended(sim->disk)) {
            oracle_violate(sim->oracle, "a %s returned WARP_ENOSPC on a disk with room",
                           what);
        }
        break;
    case WARP_ENOMEM:
        if (!sim->memory_allowed) {
            oracle_violate(sim->oracle,
                           "a %s returned WARP_ENOMEM although there is memory", what);
        }
        break;
    default:
        break;
    }
}

static void draw_how(struct sim *sim, const struct client *client,
                     struct oracle_intent *intent, struct warp_write *how)
{
    const struct warp_write fresh = WARP_WRITE_INIT;

    (void)client;
    *how = fresh;
    how->durability = draw_level(sim);
    intent->durability = effective_level(sim, how->durability);
    intent->if_write = ORACLE_NONE;
    intent->batch = ORACLE_NONE;
    if (intent->kind == ORACLE_ADD) {
        return;
    }
    if (intent->kind == ORACLE_PUT && percent(sim, sim->ttl_percent)) {
        how->ttl_ms = percent(sim, 70) ? 1 + below(sim, 60) : 1 + below(sim, 100000000);
        intent->ttl_ms = how->ttl_ms;
    }
    if (percent(sim, sim->condition_percent)) {
        how->condition = (uint32_t)(1 + below(sim, 4));
        intent->condition = how->condition;
        if (how->condition == WARP_IF_SEQUENCE) {
            uint32_t bytes;

            (void)oracle_newest(sim->oracle, intent->key, &how->if_sequence, &bytes);
            if (how->if_sequence == 0 || percent(sim, 10)) {
                how->if_sequence = 1 + below(sim, 100000);
            }
            intent->if_sequence = how->if_sequence;
        }
    }
}

/* WARP_IF_VALUE: the value of the newest write known, in room of VALUE_ROOM bytes. */
static void fill_if_value(struct sim *sim, struct oracle_intent *intent,
                          struct warp_write *how, uint8_t **room)
{
    uint64_t sequence;
    uint32_t bytes, newest;

    if (how->condition != WARP_IF_VALUE) {
        return;
    }
    newest = oracle_newest(sim->oracle, intent->key, &sequence, &bytes);
    if (newest == ORACLE_NONE || bytes < 12) {
        how->condition = intent->condition = WARP_IF_PRESENT;
        return;
    }
    free(*room);
    *room = malloc(bytes);
    oracle_value(sim->oracle, newest, *room);
    how->if_value.data = *room;
    how->if_value.bytes = bytes;
    intent->if_write = newest;
}

static void client_put_or_delete(struct client *client, bool is_delete, uint32_t key)
{
    struct sim *sim = client->sim;
    struct oracle_intent intent = {0};
    struct warp_write how;
    uint64_t sequence = 0;
    uint8_t *if_value = NULL;
    uint32_t id;
    bool failed;
    int rc;

    intent.kind = is_delete ? ORACLE_DELETE : ORACLE_PUT;
    intent.key = key;
    intent.value_bytes = is_delete ? 0 : draw_value_bytes(sim, key);
    draw_how(sim, client, &intent, &how);
    fill_if_value(sim, &intent, &how, &if_value);
    failed = db_failed(sim);
    id = oracle_write_begin(sim->oracle, &intent, wall_ms(sim));
    note(sim, is_delete ? "delete" : "put", key, id);
    if (is_delete) {
        rc = warp_delete(sim->db, key_of(sim, key), &how, &sequence);
    } else {
        struct warp_slice value = {client->value, intent.value_bytes};

        oracle_value(sim->oracle, id, client->value);
        rc = warp_put(sim->db, key_of(sim, key), value, &how, &sequence);
    }
    oracle_write_end(sim->oracle, id, rc, sequence, 0, wall_ms(sim));
    check_answer(sim, is_delete ? "deleted" : "put done", rc, failed && rc == 0);
    free(if_value);
}

static void client_add(struct client *client)
{
    struct sim *sim = client->sim;
    struct oracle_intent intent = {0};
    struct warp_write how;
    int64_t result = 0;
    uint32_t id;
    bool failed = db_failed(sim);
    int rc;

    intent.kind = ORACLE_ADD;
    intent.key = sim->key_count + (uint32_t)below(sim, sim->counter_count);
    intent.delta = 1 + (int64_t)below(sim, 1000);
    draw_how(sim, client, &intent, &how);
    id = oracle_write_begin(sim->oracle, &intent, wall_ms(sim));
    note(sim, "add", intent.key, id);
    rc = warp_add(sim->db, key_of(sim, intent.key), intent.delta, &how, &result);
    oracle_write_end(sim->oracle, id, rc, 0, result, wall_ms(sim));
    check_answer(sim, "added", rc, failed);
}

static void client_get(struct client *client, uint32_t key)
{
    struct sim *sim = client->sim;
    struct oracle_read read;
    size_t bytes = 0;
    uint64_t sequence = 0;
    size_t capacity = percent(sim, 5) ? below(sim, 20) : VALUE_ROOM;
    int rc;

    oracle_read_begin(sim->oracle, key, 0, wall_ms(sim), &read);
    note(sim, "get", key, 0);
    rc = warp_get(sim->db, key_of(sim, key), client->buffer, capacity, &bytes, &sequence);
    if (rc == WARP_OK || rc == WARP_ABSENT) {
        oracle_read_end(sim->oracle, &read, rc == WARP_OK, client->buffer, bytes, sequence,
                        UINT64_MAX, sim->read_durable, wall_ms(sim));
    } else if (rc == WARP_TRUNCATED && bytes <= capacity) {
        oracle_violate(sim->oracle, "key %u: cut although %zu bytes were enough for %zu",
                       key, capacity, bytes);
    } else if (rc != WARP_TRUNCATED && rc != WARP_EFAILED && rc != WARP_EIO &&
               rc != WARP_ENOMEM) {
        oracle_violate(sim->oracle, "a get returned %d", rc);
    }
    check_answer(sim, "got", rc, false);
}

static void loan_check(struct client *client, struct loan *loan)
{
    if (loan->copy == NULL) {
        return;
    }
    if (loan->value.bytes > 0 &&
        memcmp(loan->copy, loan->value.data, loan->value.bytes) != 0) {
        oracle_violate(client->sim->oracle, "a value on loan changed");
    }
}

static void loan_return(struct client *client, struct loan *loan)
{
    if (loan->copy != NULL) {
        loan_check(client, loan);
        warp_return(&loan->value);
        free(loan->copy);
        loan->copy = NULL;
    }
}

static void client_borrow(struct client *client, uint32_t key)
{
    struct sim *sim = client->sim;
    const struct warp_value empty = WARP_VALUE_INIT;
    struct loan *loan = &client->loans[below(sim, LOANS_MAX)];
    struct oracle_read read;
    int rc;

    loan_return(client, loan);
    loan->value = empty;
    oracle_read_begin(sim->oracle, key, 0, wall_ms(sim), &read);
    note(sim, "borrow", key, 0);
    rc = warp_borrow(sim->db, key_of(sim, key), &loan->value);
    if (rc == WARP_OK || rc == WARP_ABSENT) {
        oracle_read_end(sim->oracle, &read, rc == WARP_OK, loan->value.data,
                        loan->value.bytes, loan->value.sequence, loan->value.expires_at_ms,
                        sim->read_durable, wall_ms(sim));
    } else if (rc != WARP_EFAILED && rc != WARP_EIO && rc != WARP_ENOMEM) {
        oracle_violate(sim->oracle, "a borrow returned %d", rc);
    }
    if (rc == WARP_OK) {
        loan->copy = malloc(loan->value.bytes + 1);
        if (loan->value.bytes > 0) {
            memcpy(loan->copy, loan->value.data, loan->value.bytes);
        }
    }
    check_answer(sim, "borrowed", rc, false);
}

static void client_multi_get(struct client *client)
{
    struct sim *sim = client->sim;
    struct warp_slice keys[8];
    struct warp_value values[8];
    struct oracle_read reads[8];
    int results[8];
    uint32_t count = (uint32_t)(1 + below(sim, 8)), i;
    int rc;

    memset(values, 0, sizeof(values));
    for (i = 0; i < count; i++) {
        uint32_t key = draw_key(sim);

        keys[i] = key_of(sim, key);
        oracle_read_begin(sim->oracle, key, 0, wall_ms(sim), &reads[i]);
    }
    note(sim, "multi get", count, 0);
    rc = warp_multi_get(sim->db, keys, count, values, results);
    if (rc != 0 && !(rc == WARP_ENOMEM && sim->memory_allowed)) {
        oracle_violate(sim->oracle, "a multi_get returned %d", rc);
    }
    for (i = 0; i < count && rc == 0; i++) {
        if (results[i] == WARP_OK || results[i] == WARP_ABSENT) {
            oracle_read_end(sim->oracle, &reads[i], results[i] == WARP_OK, values[i].data,
                            values[i].bytes, values[i].sequence, values[i].expires_at_ms,
                            sim->read_durable, wall_ms(sim));
        }
        warp_return(&values[i]);
        check_answer(sim, "multi got", results[i], false);
    }
}

static void client_batch(struct client *client)
{
    struct sim *sim = client->sim;
    const struct warp_write fresh = WARP_WRITE_INIT;
    struct warp_write how = fresh;
    struct warp_batch *batch = NULL;
    uint32_t count = (uint32_t)(1 + below(sim, percent(sim, 20) ? 30 : 6)), number, i;
    uint64_t sequence = 0;
    bool failed = db_failed(sim);
    int rc;

    rc = warp_batch_create(sim->db, &batch);
    if (rc != 0) {
        if (rc != WARP_ENOMEM || !sim->memory_allowed) {
            oracle_violate(sim->oracle, "a batch cannot be made: %d", rc);
        }
        return;
    }
    how.durability = draw_level(sim);
    number = oracle_batch_begin(sim->oracle);
    for (i = 0; i < count && rc == 0; i++) {
        struct oracle_intent intent = {0};
        uint32_t id;

        intent.kind = percent(sim, 25) ? ORACLE_DELETE : ORACLE_PUT;
        intent.key = draw_key(sim);
        intent.durability = effective_level(sim, how.durability);
        intent.if_write = ORACLE_NONE;
        intent.batch = number;
        if (intent.kind == ORACLE_PUT) {
            intent.value_bytes = (uint32_t)(12 + below(sim, percent(sim, 10) ? 3000 : 100));
            intent.ttl_ms = percent(sim, sim->ttl_percent) ? 1 + below(sim, 60) : 0;
        }
        id = oracle_write_begin(sim->oracle, &intent, wall_ms(sim));
        if (intent.kind == ORACLE_PUT) {
            struct warp_slice value = {client->value, intent.value_bytes};

            oracle_value(sim->oracle, id, client->value);
            rc = warp_batch_put(batch, key_of(sim, intent.key), value, intent.ttl_ms);
        } else {
            rc = warp_batch_delete(batch, key_of(sim, intent.key));
        }
    }
    if (rc == WARP_ENOMEM && sim->memory_allowed) {
        oracle_batch_end(sim->oracle, number, rc, 0, wall_ms(sim));
    } else if (rc != 0) {
        oracle_violate(sim->oracle, "a batch took no more: %d", rc);
    } else {
        note(sim, "batch", number, count);
        rc = warp_batch_commit(batch, &how, &sequence);
        oracle_batch_end(sim->oracle, number, rc, sequence, wall_ms(sim));
        check_answer(sim, "batch done", rc, failed);
    }
    warp_batch_destroy(&batch);
}

static void client_flush(struct client *client)
{
    struct sim *sim = client->sim;
    uint64_t token = oracle_flush_begin(sim->oracle);
    int rc;

    note(sim, "flush", 0, 0);
    rc = warp_flush(sim->db);
    if (rc == 0) {
        oracle_flush_end(sim->oracle, token);
    } else if (rc != WARP_EFAILED && rc != WARP_EIO && rc != WARP_ENOSPC) {
        oracle_violate(sim->oracle, "a flush returned %d", rc);
    }
    /* With nothing left to flush it may be done after a failure, too. */
    check_answer(sim, "flushed", rc, false);
}

static void client_checkpoint(struct client *client)
{
    struct sim *sim = client->sim;
    bool compact = percent(sim, 40);
    int rc;

    note(sim, compact ? "compact" : "checkpoint", 0, 0);
    rc = compact ? warp_compact(sim->db) : warp_checkpoint(sim->db);
    if (rc != 0 && rc != WARP_EFAILED && rc != WARP_EIO && rc != WARP_ENOSPC &&
        rc != WARP_ENOMEM) {
        oracle_violate(sim->oracle, "a checkpoint returned %d", rc);
    }
    check_answer(sim, "checkpointed", rc, false);
}

/* Any slot that has something to lose, to any shard. */
static void client_move(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t key = (uint32_t)warp_random_below(&sim->move_random, sim->key_count);
    uint32_t slot = warp_hash_slot(sim->keys[key], sim->key_bytes[key]);
    uint32_t shard =
        (uint32_t)warp_random_below(&sim->move_random, sim->db->store->shard_count);
    int rc;

    note(sim, "move", slot, shard);
    rc = warp_engine_move_slot(sim->db, slot, shard);
    if (rc != 0 && rc != WARP_AGAIN && !(rc == WARP_ENOMEM && sim->memory_allowed)) {
        oracle_violate(sim->oracle, "a move of slot %u to shard %u returned %d", slot,
                       shard, rc);
    }
    note(sim, "moved", (uint64_t)(int64_t)rc, 0);
}

/* ---- backups
 * -------------------------------------------------------------------------------- */

struct backup_watch {
    struct sim *sim;
    uint64_t calls_left;
    uint64_t pauses; /* between two pieces: so many others may go on */
};

static int backup_progress(void *context, uint64_t done, uint64_t total)
{
    struct backup_watch *watch = context;

    uint64_t i;

    watch->sim->quiet_steps = 0;
    for (i = 0; i < watch->pauses && !watch->sim->stopping; i++) {
        fiber_yield(watch->sim->current);
        watch->sim->quiet_steps = 0;
    }
    if (done > total) {
        oracle_violate(watch->sim->oracle, "a backup has done more than there was to do");
    }
    return watch->calls_left-- == 0 ? 55 : 0;
}

/* What the disk of the backups goes through meanwhile. */
static void vault_weather(struct sim *sim)
{
    uint64_t kind = below(sim, 100);

    if (kind < 20) {
        sim_disk_fail(sim->vault, (uint32_t)(1 + below(sim, SIM_ANY)), below(sim, 60),
                      percent(sim, 50) ? EIO : ENOSPC, percent(sim, 50));
    } else if (kind < 50) {
        sim_disk_end_at(sim->vault, below(sim, percent(sim, 50) ? 20 : 120),
                        (enum sim_where)below(sim, 3),
                        percent(sim, 70) ? SIM_POWER_CUT : SIM_KILL);
    }
}

/* True if it went through bad weather. */
static bool vault_settle(struct sim *sim)
{
    bool bad = sim_disk_ended(sim->vault) || sim_disk_fault_met(sim->vault);

    sim_disk_fail_clear(sim->vault);
    sim_disk_end_never(sim->vault);
    if (!sim_disk_ended(sim->vault)) {
        if (sim_disk_open_files(sim->vault) != 0 || sim_disk_locked(sim->vault)) {
            oracle_violate(sim->oracle, "a backup left %u files open, lock %s",
                           sim_disk_open_files(sim->vault),
                           sim_disk_locked(sim->vault) ? "held" : "free");
        }
        if (percent(sim, 30)) {
            sim_disk_end_now(sim->vault, SIM_POWER_CUT);
        }
    }
    if (sim_disk_ended(sim->vault)) {
        sim_disk_restart(sim->vault);
    }
    return bad;
}

static void forget_backup(struct sim *sim, uint32_t which)
{
    sim->backups[which] = sim->backups[--sim->backup_count];
}

static void delete_backup(struct sim *sim)
{
    uint32_t which = (uint32_t)below(sim, sim->backup_count);
    struct warp_memory memory;
    struct warp_pool pool;
    int rc;

    (void)warp_memory_init(&memory, NULL);
    rc = warp_pool_open(&pool, sim_disk_face(sim->vault), &memory, true);
    if (rc == 0) {
        rc = warp_pool_delete(&pool, sim->backups[which].number);
        warp_pool_close(&pool);
    }
    if (rc != 0) {
        oracle_violate(sim->oracle, "backup %" PRIu64 " cannot be deleted: %d, %s",
                       sim->backups[which].number, rc, pool.message);
    }
    forget_backup(sim, which);
    warp_memory_fini(&memory);
}

static void client_backup(struct client *client)
{
    struct sim *sim = client->sim;
    struct warp_backup_options options = WARP_BACKUP_OPTIONS_INIT;
    struct warp_backup_info info = WARP_BACKUP_INFO_INIT;
    struct backup_watch watch = {sim, percent(sim, 10) ? below(sim, 20) : UINT64_MAX,
                                 percent(sim, 50) ? 0 : below(sim, 200)};
    uint64_t floor = oracle_flush_begin(sim->oracle);
    bool first = sim->backups_running == 0, bad = false, excused;
    char message[256] = "";
    int rc;

    if (sim->backup_count == BACKUPS_MAX) {
        return;
    }
    options.progress = backup_progress;
    options.progress_context = &watch;
    options.message = message;
    options.message_bytes = sizeof(message);
    if (first) {
        vault_weather(sim);
    }
    sim->backups_running++;
    note(sim, "backup", first, floor);
    rc = warp_backup_make(sim->db, sim_disk_face(sim->vault), &options, &info);
    note(sim, "backed up", (uint64_t)(int64_t)rc, info.sequence);
    sim->backups_running--;
    sim->quiet_steps = 0;
    if (!first) {
        if (rc != WARP_EBUSY && rc != WARP_ENOMEM) {
            oracle_violate(sim->oracle, "a backup beside another returned %d: %s", rc,
                           message);
        }
        return;
    }
    bad = vault_settle(sim);
    if (rc == 0) {
        sim->totals->backups++;
        sim->totals->backups_shared += info.files - info.files_copied;
        sim->totals->boundary_cuts += info.sequence % sim->env.segment_bytes == 0;
        /* It was cut where the log was durable. */
        oracle_flush_end(sim->oracle, info.sequence - 1);
        if (floor != 0 && floor >= info.sequence) {
            oracle_violate(sim->oracle,
                           "a backup is cut at %" PRIu64 ", but %" PRIu64
                           " had been acknowledged",
                           info.sequence, floor);
        }
        sim->backups[sim->backup_count].number = info.number;
        sim->backups[sim->backup_count++].cut = info.sequence;
        if (percent(sim, 15)) {
            delete_backup(sim);
        }
        return;
    }
    sim->totals->backups_failed++;
    excused = bad || sim_disk_ended(sim->disk) || sim->fault_allowed ||
              (rc == WARP_ENOMEM && sim->memory_allowed) ||
              (rc == WARP_ENOSPC && sim->full_allowed) || (rc == 55);
    if (!excused || (rc != WARP_EIO && rc != WARP_ENOSPC && rc != WARP_EFAILED &&
                     rc != WARP_ENOMEM && rc != 55)) {
        oracle_violate(sim->oracle, "a backup returned %d: %s", rc, message);
    }
    if (rc < 0 && rc != WARP_ENOMEM && message[0] == '\0') {
        oracle_violate(sim->oracle, "a backup returned %d without a message", rc);
    }
}

/* ---- walks
 * ---------------------------------------------------------------------------------- */

static bool find_key(const struct sim *sim, struct warp_slice key, uint32_t *out)
{
    uint32_t i;

    for (i = 0; i < sim->key_count + sim->counter_count; i++) {
        if (sim->key_bytes[i] == key.bytes &&
            memcmp(sim->keys[i], key.data, key.bytes) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

struct walk {
    struct client *client;
    struct oracle_read reads[ORACLE_KEYS_MAX];
    uint8_t seen[ORACLE_KEYS_MAX];
    uint32_t stop_after;
};

static int walk_visit(void *context, struct warp_slice key, const struct warp_value *value)
{
    struct walk *walk = context;
    struct sim *sim = walk->client->sim;
    uint8_t key_copy[KEY_BYTES_MAX];
    uint8_t *copy;
    uint32_t index;

    if (!find_key(sim, key, &index)) {
        oracle_violate(sim->oracle, "a walk shows a key nobody wrote");
        return 1;
    }
    if (walk->seen[index]++ != 0) {
        oracle_violate(sim->oracle, "key %u: a walk shows it twice", index);
        return 1;
    }
    oracle_read_end(sim->oracle, &walk->reads[index], true, value->data, value->bytes,
                    value->sequence, value->expires_at_ms, sim->read_durable, wall_ms(sim));
    if (percent(sim, 30) && index < sim->key_count && walk->client->operations_left > 0 &&
        !sim->stopping) {
        memcpy(key_copy, key.data, key.bytes);
        copy = malloc(value->bytes + 1);
        if (value->bytes > 0) {
            memcpy(copy, value->data, value->bytes);
        }
        /* Writing may reuse the memory that the walk shows: it must not, until we return.
         */
        client_put_or_delete(walk->client, percent(sim, 20), index);
        client_put_or_delete(walk->client, false, draw_key(sim));
        client_put_or_delete(walk->client, false, index);
        if (memcmp(key_copy, key.data, key.bytes) != 0 ||
            (value->bytes > 0 && memcmp(copy, value->data, value->bytes) != 0)) {
            oracle_violate(sim->oracle,
                           "key %u: what a walk shows changed under the visitor", index);
        }
        free(copy);
    }
    return walk->stop_after-- == 0 ? 77 : 0;
}

static void client_walk(struct client *client)
{
    struct sim *sim = client->sim;
    struct walk *walk = calloc(1, sizeof(*walk));
    uint64_t began;
    uint32_t i;
    int rc;

    walk->client = client;
    walk->stop_after = percent(sim, 10) ? (uint32_t)below(sim, 4) : UINT32_MAX;
    for (i = 0; i < sim->key_count + sim->counter_count; i++) {
        oracle_read_begin(sim->oracle, i, 0, wall_ms(sim), &walk->reads[i]);
    }
    began = oracle_step(sim->oracle);
    note(sim, "walk", 0, 0);
    rc = warp_visit(sim->db, walk_visit, walk);
    for (i = 0; rc == 0 && i < sim->key_count + sim->counter_count; i++) {
        if (walk->seen[i] == 0) {
            oracle_missed(sim->oracle, &walk->reads[i], began, wall_ms(sim));
        }
    }
    if (rc != 0 && rc != 77 && rc != 1 && rc != WARP_EFAILED && rc != WARP_EIO &&
        rc != WARP_ENOMEM) {
        oracle_violate(sim->oracle, "a walk returned %d", rc);
    }
    free(walk);
    check_answer(sim, "walked", rc, false);
}

/* ---- readers that are slow
 * -------------------------------------------------------------------- */

/*
 * A reader inside an epoch section that is preempted there, as any thread may be: what it
 * has found must stay as it was until it leaves, whatever becomes of the key. In the
 * product such a section is a few instructions long, so this one goes below the public
 * face.
 */
static void client_look(struct client *client, uint32_t key)
{
    struct sim *sim = client->sim;
    struct warp_store *store = sim->db->store;
    struct warp_slice name = key_of(sim, key);
    uint32_t slot = warp_hash_slot(name.data, name.bytes);
    uint64_t hash = warp_hash_key(name.data, name.bytes, store->hash_seed);
    struct warp_record *record;
    uint64_t wait_for, word;
    uint32_t bytes, pauses = (uint32_t)(1 + below(sim, 40));
    uint8_t *copy = NULL;

    if (client->reader == NULL &&
        warp_epoch_register(sim->db->epoch, &client->reader) < 0) {
        return;
    }
    note(sim, "look", key, 0);
    warp_epoch_enter(client->reader);
    word = warp_table_resolve(&store->words[slot], hash);
    record = warp_get_find(store, slot, hash, name, &wait_for);
    if (record != NULL) {
        bool cold = warp_record_is_cold(record);

        bytes = cold ? 0 : warp_record_value_bytes(record);
        copy = malloc(bytes + 1u);
        if (bytes > 0) {
            memcpy(copy, warp_record_value(record), bytes);
        }
        while (pauses-- > 0 && !sim->stopping) {
            fiber_yield(client->fiber);
        }
        if (warp_record_is_cold(record) != cold ||
            !warp_record_has_key(record, name.data, name.bytes) ||
            (!cold && (warp_record_value_bytes(record) != bytes ||
                       memcmp(copy, warp_record_value(record), bytes) != 0))) {
            oracle_violate(sim->oracle,
                           "key %u: a record changed under a reader that had found it",
                           key);
        }
        free(copy);
        /* The table as it was may be an old one; it must still be a table. */
        (void)warp_table_find_in(word, hash, name.data, name.bytes, NULL);
    }
    warp_epoch_leave(client->reader);
    note(sim, "looked", key, record != NULL);
}

/* ---- sessions
 * ------------------------------------------------------------------------------- */

static struct request_slot *slot_take(struct client *client, uint64_t *cookie)
{
    uint32_t i;

    for (i = 0; i < client->session_depth; i++) {
        if (!client->slots[i].used) {
            *cookie = i;
            return &client->slots[i];
        }
    }
    return NULL;
}

static void session_fill(struct client *client, struct request_slot *slot,
                         struct warp_request *request)
{
    struct sim *sim = client->sim;
    struct oracle_intent intent = {0};
    uint64_t kind = below(sim, 100);

    slot->used = true;
    slot->is_read = kind < 35;
    if (slot->is_read) {
        uint32_t key = sim->counter_count > 0 && percent(sim, 10)
                           ? sim->key_count + (uint32_t)below(sim, sim->counter_count)
                           : draw_key(sim);

        request->opcode = WARP_OP_GET;
        request->key = key_of(sim, key);
        oracle_read_begin(sim->oracle, key, client->session_number, wall_ms(sim),
                          &slot->read);
        note(sim, "submit get", key, request->cookie);
    } else {
        bool add = kind >= 92 && sim->counter_count > 0;

        intent.session = client->session_number;
        intent.kind =
            add ? ORACLE_ADD
                : (percent(sim, sim->delete_percent) ? ORACLE_DELETE : ORACLE_PUT);
        intent.key =
            add ? sim->key_count + (uint32_t)below(sim, sim->counter_count) : draw_key(sim);
        intent.value_bytes =
            intent.kind == ORACLE_PUT ? draw_value_bytes(sim, intent.key) : 0;
        intent.delta = add ? 1 + (int64_t)below(sim, 1000) : 0;
        draw_how(sim, client, &intent, &slot->how);
        fill_if_value(sim, &intent, &slot->how, &slot->if_value);
        slot->write = oracle_write_begin(sim->oracle, &intent, wall_ms(sim));
        request->opcode =
            add ? WARP_OP_ADD : (intent.kind == ORACLE_PUT ? WARP_OP_PUT : WARP_OP_DELETE);
        request->key = key_of(sim, intent.key);
        request->delta = intent.delta;
        request->how = &slot->how;
        if (intent.kind == ORACLE_PUT) {
            free(slot->value);
            slot->value = malloc(intent.value_bytes + 1);
            oracle_value(sim->oracle, slot->write, slot->value);
            request->value.data = slot->value;
            request->value.bytes = intent.value_bytes;
        }
        if (percent(sim, 3)) {
            request->deadline_ns = sim_disk_now_ns(sim->disk) + below(sim, 100000);
            request->deadline_ns += request->deadline_ns == 0;
        }
        note(sim, "submit write", intent.key, slot->write);
    }
}

static void slot_free(struct request_slot *slot)
{
    slot->used = false;
    free(slot->value);
    free(slot->if_value);
    slot->value = NULL;
    slot->if_value = NULL;
}

static void session_submit(struct client *client)
{
    struct sim *sim = client->sim;
    const struct warp_request fresh = WARP_REQUEST_INIT;
    struct warp_request requests[4];
    uint32_t count = 0, i, wanted = (uint32_t)(1 + below(sim, 4));
    int taken;

    while (count < wanted) {
        struct request_slot *slot;

        requests[count] = fresh;
        slot = slot_take(client, &requests[count].cookie);
        if (slot == NULL) {
            break;
        }
        session_fill(client, slot, &requests[count]);
        count++;
    }
    if (count == 0) {
        return;
    }
    taken = warp_submit(client->session, requests, count);
    note(sim, "submitted", (uint64_t)(int64_t)taken, count);
    if (taken < 0 || taken > (int)count) {
        oracle_violate(sim->oracle, "a submit of %u returned %d", count, taken);
        taken = 0;
    }
    sim->quiet_steps = taken > 0 ? 0 : sim->quiet_steps;
    client->in_flight += (uint32_t)taken;
    /* The last one first: the oracle forgets from the end. */
    for (i = count; i-- > (uint32_t)taken;) {
        struct request_slot *slot = &client->slots[requests[i].cookie];

        if (!slot->is_read) {
            oracle_write_end(sim->oracle, slot->write, WARP_AGAIN, 0, 0, wall_ms(sim));
        }
        slot_free(slot);
    }
}

static void session_completed(struct client *client, struct warp_completion *completion)
{
    struct sim *sim = client->sim;
    struct request_slot *slot;
    int rc = completion->result;

    if (completion->cookie >= client->session_depth ||
        !client->slots[completion->cookie].used) {
        oracle_violate(sim->oracle,
                       "a completion came for a request that is not in flight");
        return;
    }
    slot = &client->slots[completion->cookie];
    client->in_flight--;
    if (slot->is_read) {
        if (rc == WARP_OK || rc == WARP_ABSENT) {
            oracle_read_end(sim->oracle, &slot->read, rc == WARP_OK, completion->value.data,
                            completion->value.bytes, completion->value.sequence,
                            completion->value.expires_at_ms, sim->read_durable,
                            wall_ms(sim));
            if (rc == WARP_OK && completion->sequence != completion->value.sequence) {
                oracle_violate(sim->oracle, "a completion has two sequences");
            }
        } else if (rc != WARP_EFAILED && rc != WARP_EIO && rc != WARP_EDEADLINE &&
                   rc != WARP_ENOMEM) {
            oracle_violate(sim->oracle, "a get of a session returned %d", rc);
        }
        warp_return(&completion->value);
    } else {
        oracle_write_end(sim->oracle, slot->write, rc, completion->sequence,
                         completion->number, wall_ms(sim));
    }
    check_answer(sim, "completed", rc, false);
    slot_free(slot);
}

static void session_poll(struct client *client, uint64_t timeout_ns)
{
    struct sim *sim = client->sim;
    struct warp_completion completions[8];
    uint32_t max = (uint32_t)(1 + below(sim, 8));
    int count, i;

    memset(completions, 0, sizeof(completions));
    count = warp_poll(client->session, completions, max, timeout_ns);
    if (count < 0 || count > (int)max) {
        oracle_violate(sim->oracle, "a poll returned %d", count);
        return;
    }
    if (count == 0 && timeout_ns == UINT64_MAX && client->in_flight > 0) {
        oracle_violate(sim->oracle, "a poll without a time limit returned nothing");
    }
    for (i = 0; i < count; i++) {
        session_completed(client, &completions[i]);
    }
}

/* Sleep on the descriptor alone, then take all there is. */
static void session_poll_by_fd(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t before;

    while (client->in_flight > 0) {
        struct pollfd descriptor = {client->session_fd, POLLIN, 0};

        if (poll(&descriptor, 1, 0) == 1) {
            break;
        }
        fiber_yield(client->fiber);
    }
    do {
        before = client->in_flight;
        session_poll(client, 0);
    } while (client->in_flight < before && !broken(sim));
    /* It may be readable only because the session needs to be polled to get on. */
    fiber_yield(client->fiber);
}

static void session_open(struct client *client)
{
    struct sim *sim = client->sim;
    int rc;

    client->session_depth = (uint32_t)(1 + below(sim, DEPTH_MAX));
    client->session_number = ++sim->session_next;
    client->in_flight = 0;
    rc = warp_session_create(sim->db, client->session_depth, &client->session);
    if (rc != 0) {
        if (rc != WARP_ENOMEM || !sim->memory_allowed) {
            oracle_violate(sim->oracle, "a session cannot be made: %d", rc);
        }
        return;
    }
    client->session_fd = -1;
    if (percent(sim, 15)) {
        client->session_fd = warp_session_fd(client->session);
        if (client->session_fd < 0) {
            oracle_violate(sim->oracle, "a session has no descriptor: %d",
                           client->session_fd);
        }
    }
}

static void session_close(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t i;

    if (client->session == NULL) {
        return;
    }
    if (percent(sim, 80)) {
        while (client->in_flight > 0 && !broken(sim)) {
            if (client->session_fd >= 0) {
                session_poll_by_fd(client);
            } else {
                session_poll(client, UINT64_MAX);
            }
        }
    }
    warp_session_destroy(&client->session);
    for (i = 0; i < DEPTH_MAX; i++) {
        if (client->slots[i].used) {
            if (!client->slots[i].is_read) {
                oracle_write_unknown(sim->oracle, client->slots[i].write);
            }
            slot_free(&client->slots[i]);
        }
    }
    client->in_flight = 0;
}

static void session_operation(struct client *client)
{
    struct sim *sim = client->sim;
    uint64_t kind = below(sim, 100);

    if (client->session == NULL) {
        session_open(client);
        return;
    }
    if (kind < 55) {
        session_submit(client);
    } else if (kind < 98) {
        uint64_t pick = below(sim, 4);

        if (client->session_fd >= 0) {
            session_poll_by_fd(client);
            return;
        }
        session_poll(client, pick == 0 ? UINT64_MAX : pick == 1 ? below(sim, 100000) : 0);
    } else {
        session_close(client);
    }
}

/* ---- clients
 * -------------------------------------------------------------------------------- */

static void blocking_operation(struct client *client)
{
    struct sim *sim = client->sim;
    uint64_t kind = below(sim, 1000);

    if (sim->backup_permille > 0 && below(sim, 1000) < sim->backup_permille) {
        client_backup(client);
    } else if (kind < 10) {
        client_walk(client);
    } else if (kind < 15) {
        client_checkpoint(client);
    } else if (kind < 40) {
        client_flush(client);
    } else if (kind < 40 + 10 * sim->batch_percent) {
        client_batch(client);
    } else if (kind < 300 && sim->counter_count > 0 && percent(sim, 40)) {
        client_add(client);
    } else if (kind < 560) {
        client_get(client, sim->counter_count > 0 && percent(sim, 10)
                               ? sim->key_count + (uint32_t)below(sim, sim->counter_count)
                               : draw_key(sim));
    } else if (kind < 600) {
        client_borrow(client, draw_key(sim));
    } else if (kind < 625) {
        client_multi_get(client);
    } else if (kind < 645) {
        client_look(client, draw_key(sim));
    } else {
        client_put_or_delete(client, percent(sim, sim->delete_percent), draw_key(sim));
    }
}

static void client_rest(struct client *client)
{
    uint32_t i;

    session_close(client);
    for (i = 0; i < LOANS_MAX; i++) {
        loan_return(client, &client->loans[i]);
    }
    if (client->reader != NULL) {
        warp_epoch_unregister(&client->reader);
    }
}

static void client_main(void *context)
{
    struct client *client = context;
    struct sim *sim = client->sim;

    for (;;) {
        while (client->operations_left > 0 && !sim->stopping && !broken(sim)) {
            uint32_t i;

            client->operations_left--;
            sim->totals->operations++;
            if (sim->move_permille > 0 &&
                warp_random_below(&sim->move_random, 1000) < sim->move_permille) {
                client_move(client);
            }
            if (client->session_number != 0) {
                session_operation(client);
            } else {
                blocking_operation(client);
            }
            for (i = 0; i < LOANS_MAX; i++) {
                loan_check(client, &client->loans[i]);
            }
            if (percent(sim, 50)) {
                fiber_yield(client->fiber);
            }
        }
        client_rest(client);
        client->working = false;
        fiber_yield(client->fiber);
    }
}

/* ---- opening and comparing
 * -------------------------------------------------------------------- */

static int compare_visit(void *context, struct warp_slice key,
                         const struct warp_value *value)
{
    struct sim *sim = context;
    uint32_t index;

    if (!find_key(sim, key, &index)) {
        oracle_violate(sim->oracle, "the recovery found a key nobody wrote");
        return 1;
    }
    note(sim, "recovered", index, value->sequence);
    oracle_recovery_record(sim->oracle, index, value->data, value->bytes, value->sequence,
                           value->expires_at_ms);
    return oracle_violation(sim->oracle) != NULL;
}

static void compare(struct sim *sim, bool on_medium, bool damaged, uint64_t damage_floor)
{
    uint64_t records = 0, seen = 0;
    uint32_t i;
    int count_rc;
    int rc;

    warp_engine_check(sim->db);
    oracle_recovery_begin(sim->oracle, damaged, damage_floor);
    rc = warp_visit(sim->db, compare_visit, sim);
    if (rc == WARP_EDAMAGED && damaged && sim->mode == MODE_ROT) {
        sim->totals->rot_found++; /* a value lies in what is rotten, and that is told */
        return;
    }
    if (rc != 0 && oracle_violation(sim->oracle) == NULL) {
        oracle_violate(sim->oracle, "the walk after the recovery returned %d", rc);
    }
    oracle_recovery_end(sim->oracle, on_medium, damaged, damage_floor, wall_ms(sim));
    sim->interval_turns =
        0; /* what the watch noted while it was opening may have been cut */
    if (broken(sim) || sim_disk_ended(sim->disk)) {
        return;
    }
    /* And once more by hand, key by key. Counted before: a read may take time, in which what was
     * read already expires. */
    count_rc = warp_count(sim->db, &records);
    for (i = 0; i < sim->key_count + sim->counter_count && !broken(sim); i++) {
        struct oracle_read read;
        const struct warp_value empty = WARP_VALUE_INIT;
        struct warp_value value = empty;

        oracle_read_begin(sim->oracle, i, 0, wall_ms(sim), &read);
        rc = warp_borrow(sim->db, key_of(sim, i), &value);
        if (rc == WARP_OK || rc == WARP_ABSENT) {
            seen += rc == WARP_OK;
            oracle_read_end(sim->oracle, &read, rc == WARP_OK, value.data, value.bytes,
                            value.sequence, value.expires_at_ms, sim->read_durable,
                            wall_ms(sim));
        } else if (!sim_disk_ended(sim->disk) && !sim->fault_allowed) {
            oracle_violate(sim->oracle, "key %u: after the recovery a borrow returned %d",
                           i, rc);
        }
        warp_return(&value);
    }
    if (count_rc != 0 || records < seen) {
        oracle_violate(sim->oracle,
                       "%" PRIu64 " records are there and %" PRIu64 " are counted", seen,
                       records);
    }
}

/* Nobody else may open what is open. */
static void second_open(struct sim *sim)
{
    struct warp_options options = sim->options;
    char message[256] = "";
    struct warp *other = NULL;
    int rc;

    options.open_flags = WARP_CREATE;
    options.allocator = sim->mode == MODE_MEMORY ? &sim->allocator : NULL;
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = warp_engine_open("simulated", &options, &sim->env, &other);
    if (rc != WARP_EBUSY || other != NULL || strstr(message, "the simulator") == NULL) {
        oracle_violate(sim->oracle, "a second open returned %d: %s", rc, message);
    }
}

static void actors_start(struct sim *sim)
{
    uint32_t i;

    if (sim->inside_calls != 0) {
        oracle_violate(sim->oracle, "%u calls of the disk never came back",
                       sim->inside_calls);
    }
    sim->interval_turns = 0;
    sim->actor_count = warp_engine_actors(sim->db);
    if (sim->actor_count > ACTORS_MAX) {
        oracle_violate(sim->oracle, "the engine has %u actors", sim->actor_count);
        sim->actor_count = ACTORS_MAX;
    }
    for (i = 0; i < sim->actor_count; i++) {
        sim->actors[i].weight = (uint32_t)(1 + below(sim, percent(sim, 30) ? 20 : 3));
    }
}

/* Every actor comes to the end of its turn. */
static void actors_rest(struct sim *sim)
{
    uint32_t i;

    sim->quiet_steps = 0;
    for (i = 0; i < sim->actor_count;) {
        if (!sim->actors[i].in_turn) {
            i++;
            continue;
        }
        world_step(sim, false);
        i = 0;
        if (sim->quiet_steps > HANG_STEPS) {
            hang(sim, "a turn does not end");
        }
    }
}

static int sim_open(struct sim *sim, uint32_t flags)
{
    struct warp_options options = sim->options;
    char message[256] = "";
    int rc;

    if (sim->move_permille > 0 && warp_random_below(&sim->move_random, 100) < 20) {
        options.shard_count = (uint32_t)(1 + warp_random_below(&sim->move_random, 8));
        sim->totals->dealt_anew++;
    }
    options.open_flags = flags;
    options.allocator = sim->mode == MODE_MEMORY ? &sim->allocator : NULL;
    options.message = message;
    options.message_bytes = sizeof(message);
    sim->quiet_steps = 0;
    note(sim, "open engine", flags, 0);
    rc = warp_engine_open("simulated", &options, &sim->env, &sim->db);
    note(sim, "opened engine", (uint64_t)(int64_t)rc, 0);
    if (rc != 0 && sim->arguments->verbose) {
        printf("seed %" PRIu64 ": open returned %d: %s\n", sim->seed, rc, message);
    }
    if (rc == 0) {
        actors_start(sim);
    } else {
        snprintf(sim->totals->failure, sizeof(sim->totals->failure), "%s", message);
        if (sim->memory_bytes != 0) {
            oracle_violate(sim->oracle,
                           "an open that failed left %" PRIu64 " bytes of memory",
                           sim->memory_bytes);
        }
        if (sim_disk_open_files(sim->disk) != 0 || sim_disk_locked(sim->disk)) {
            oracle_violate(sim->oracle, "an open that failed left %u files open, lock %s",
                           sim_disk_open_files(sim->disk),
                           sim_disk_locked(sim->disk) ? "held" : "free");
        }
    }
    return rc;
}

static void count_cold(struct sim *sim)
{
    struct warp_catalogue_values totals;

    warp_metrics_collect(sim->db, &totals);
    sim->totals->evictions += totals.evictions;
    sim->totals->cold_reads += totals.disk_reads;
    sim->totals->admissions += totals.admissions;
    sim->totals->moves += totals.slot_moves;
    sim->totals->moves_busy += totals.slot_moves_busy;
    sim->totals->forwards += totals.slot_forwards;
    if (sim->db->background != NULL) {
        sim->totals->checkpoints += atomic_load(&sim->db->background->checkpointer.made);
    }
    if (sim->db->background != NULL) {
        const struct warp_compact_counters *compact =
            warp_compact_counters(sim->db->background->compact);

        sim->totals->archives += warp_counter_read(&compact->archives);
        sim->totals->files_removed += warp_counter_read(&compact->files_removed);
    }
}

static int sim_close(struct sim *sim)
{
    int rc;

    actors_rest(sim);
    count_cold(sim);
    sim->quiet_steps = 0;
    note(sim, "close engine", 0, 0);
    rc = warp_close(&sim->db);
    if (sim->db != NULL) {
        oracle_violate(sim->oracle, "warp_close left the handle");
        sim->db = NULL;
    }
    sim->actor_count = 0;
    note(sim, "closed engine", (uint64_t)(int64_t)rc, 0);
    if (sim->memory_bytes != 0) {
        oracle_violate(sim->oracle, "warp_close left %" PRIu64 " bytes of memory",
                       sim->memory_bytes);
    }
    if (sim_disk_open_files(sim->disk) != 0 || sim_disk_locked(sim->disk)) {
        oracle_violate(sim->oracle, "warp_close left %u files open, lock %s",
                       sim_disk_open_files(sim->disk),
                       sim_disk_locked(sim->disk) ? "held" : "free");
    }
    return rc;
}

/* Open, with more ends and faults on the way, until it is open and the weather is fine. */
static void open_and_compare(struct sim *sim, bool on_medium, bool nested)
{
    uint32_t attempt, attempts = nested ? (uint32_t)(1 + below(sim, 4)) : 0;
    int rc;

    for (attempt = 0; attempt < attempts && !broken(sim); attempt++) {
        bool fault = percent(sim, 25);
        bool memory = sim->mode == MODE_MEMORY && percent(sim, 60);
        enum sim_end how = percent(sim, 70) ? SIM_POWER_CUT : SIM_KILL;

        sim->totals->nested++;
        if (memory) {
            /* The database is whole; only this process lacks memory. */
            memory_fail(sim, below(sim, 120));
            rc = sim_open(sim, WARP_CREATE);
            memory_fail_never(sim);
            if (rc == 0) {
                rc = sim_close(sim);
            } else if (rc == WARP_ENOMEM) {
                rc = 0;
            }
            if (rc != 0) {
                oracle_violate(sim->oracle, "an open short of memory returned %d: %s", rc,
                               sim->totals->failure);
                return;
            }
            continue;
        }
        if (fault) {
            sim_disk_fail(sim->disk, (uint32_t)(1 + below(sim, SIM_ANY)), below(sim, 20),
                          EIO, percent(sim, 50));
            sim->fault_allowed = true;
        } else {
            sim_disk_end_at(sim->disk, below(sim, 25), (enum sim_where)below(sim, 3), how);
        }
        rc = sim_open(sim, WARP_CREATE);
        if (rc != 0 && !sim_disk_ended(sim->disk) && !sim_disk_fault_met(sim->disk) &&
            !(rc == WARP_ENOSPC && sim->full_allowed)) {
            oracle_violate(sim->oracle, "an open returned %d without a reason: %s", rc,
                           sim->totals->failure);
            return;
        }
        sim_disk_fail_clear(sim->disk);
        if (rc == 0) {
            (void)sim_close(sim);
        }
        sim->fault_allowed = false;
        sim_disk_end_never(sim->disk);
        if (fault && sim_disk_ended(sim->disk)) {
            oracle_violate(sim->oracle, "the disk ended without reason");
        }
        sim_disk_end_now(sim->disk, fault ? SIM_POWER_CUT : how);
        sim_disk_restart(sim->disk);
        on_medium = fault || how == SIM_POWER_CUT;
    }
    if (broken(sim)) {
        return;
    }
    if (percent(sim, 8)) {
        rc = sim_open(sim, WARP_READ_ONLY);
        /* Read-only cannot make what is not there yet. */
        if (rc == 0) {
            uint64_t sequence;
            struct warp_slice value = {"x", 1};

            rc = warp_put(sim->db, key_of(sim, 0), value, NULL, &sequence);
            if (rc != WARP_EREADONLY) {
                oracle_violate(sim->oracle, "a put to a read-only database returned %d",
                               rc);
            }
            compare(sim, on_medium, false, 0);
            rc = sim_close(sim);
            if (rc != 0) {
                oracle_violate(sim->oracle, "closing a read-only database returned %d", rc);
            }
        } else if (rc != WARP_ENOENT && rc != WARP_EDAMAGED) {
            oracle_violate(sim->oracle, "a read-only open returned %d: %s", rc,
                           sim->totals->failure);
        }
    }
    rc = sim_open(sim, WARP_CREATE);
    if (rc != 0) {
        if (rc == WARP_ENOSPC && sim->full_allowed) {
            sim_disk_set_capacity(sim->disk, sim_disk_used_bytes(sim->disk) + (64u << 20));
            rc = sim_open(sim, WARP_CREATE);
        }
        if (rc != 0) {
            oracle_violate(sim->oracle, "open returned %d: %s", rc, sim->totals->failure);
            return;
        }
    }
    sim->totals->failure[0] = '\0';
    if (percent(sim, 5)) {
        second_open(sim);
    }
    {
        struct warp_recovery found = WARP_RECOVERY_INIT;

        if (warp_recovery_info(sim->db, &found) == 0) {
            sim->totals->bytes_cut += found.bytes_cut;
            note(sim, "recovery", found.records, found.bytes_cut);
        }
    }
    compare(sim, on_medium, false, 0);
}

/* ---- restoring
 * ------------------------------------------------------------------------------ */

struct listing {
    struct sim *sim;
    uint64_t seen; /* bit mask of those promised */
};

static int listing_visit(void *context, const struct warp_backup_info *info)
{
    struct listing *listing = context;
    struct sim *sim = listing->sim;
    uint32_t i;

    if (info->damaged != 0) {
        oracle_violate(sim->oracle, "backup %" PRIu64 " cannot be read", info->number);
    }
    for (i = 0; i < sim->backup_count; i++) {
        if (sim->backups[i].number == info->number) {
            listing->seen |= UINT64_C(1) << i;
            if (sim->backups[i].cut != info->sequence) {
                oracle_violate(sim->oracle, "backup %" PRIu64 " is cut somewhere else",
                               info->number);
            }
        }
    }
    return 0;
}

/* A machine may end while it restores: there is nothing then, or all of it. */
static int restore_onto_spare(struct sim *sim, uint64_t number, struct warp_memory *memory,
                              char *message)
{
    struct warp_backup_options options = WARP_BACKUP_OPTIONS_INIT;
    struct warp_backup_info info = WARP_BACKUP_INFO_INIT;
    bool cut = percent(sim, 50);
    struct sim_disk *disk = sim->disk;
    int rc, open_rc;

    options.message = message;
    options.message_bytes = 256;
    for (;;) {
        sim_disk_reset(sim->spare, sim->seed + ++sim->restores, &sim->disk_options);
        sim_disk_advance(sim->spare, sim_disk_now_ns(disk));
        if (cut) {
            sim_disk_end_at(sim->spare, below(sim, percent(sim, 50) ? 20 : 100),
                            (enum sim_where)below(sim, 3),
                            percent(sim, 70) ? SIM_POWER_CUT : SIM_KILL);
        }
        rc = warp_restore_make(sim_disk_face(sim->vault), number, sim_disk_face(sim->spare),
                               memory, sim_disk_clock(sim->spare), sim->seed + number,
                               &options, &info);
        sim_disk_end_never(sim->spare);
        if (!cut || (rc == 0 && !sim_disk_ended(sim->spare))) {
            if (rc == 0 && percent(sim, 50)) {
                sim_disk_end_now(sim->spare, SIM_POWER_CUT);
                sim_disk_restart(sim->spare);
            }
            return rc;
        }
        cut = false;
        sim->totals->restores_cut++;
        sim_disk_restart(sim->spare);
        /* Does it open? Then it is whole, and goes on to be compared. */
        sim->disk = sim->spare;
        sim->env.disk = sim_disk_face(sim->disk);
        sim->env.clock = sim_disk_clock(sim->disk);
        open_rc = sim_open(sim, WARP_MUST_EXIST);
        if (open_rc == 0) {
            open_rc = sim_close(sim);
        }
        sim->disk = disk;
        sim->env.disk = sim_disk_face(sim->disk);
        sim->env.clock = sim_disk_clock(sim->disk);
        if (open_rc == 0) {
            return 0;
        }
        if (rc == 0 || (open_rc != WARP_ENOENT && open_rc != WARP_EDAMAGED)) {
            oracle_violate(sim->oracle, "an open after half a restore (%d) returned %d: %s",
                           rc, open_rc, sim->totals->failure);
            return rc;
        }
        sim->totals->failure[0] = '\0';
    }
}

/* The disk of the database is lost for good; one of the backups takes its place. */
static void disaster(struct sim *sim)
{
    struct warp_backup_options options = WARP_BACKUP_OPTIONS_INIT;
    struct listing listing = {sim, 0};
    char message[256] = "";
    struct warp_memory memory;
    struct sim_disk *lost = sim->disk;
    uint64_t number, cut;
    uint32_t which, i;
    int rc;

    if (sim_close(sim) != 0) {
        oracle_violate(sim->oracle, "a close before a restore failed");
        return;
    }
    options.message = message;
    options.message_bytes = sizeof(message);
    (void)warp_memory_init(&memory, NULL);
    rc = warp_restore_list(sim_disk_face(sim->vault), &memory, listing_visit, &listing,
                           &options);
    if (rc == 0) {
        rc = warp_restore_verify(sim_disk_face(sim->vault), 0, &memory,
                                 sim_disk_clock(sim->disk), &options);
    }
    if (rc != 0 || listing.seen != (UINT64_C(1) << sim->backup_count) - 1) {
        oracle_violate(sim->oracle,
                       "of %u backups only some are there (%" PRIx64 "), or %d: %s",
                       sim->backup_count, listing.seen, rc, message);
        return;
    }
    which = (uint32_t)below(sim, sim->backup_count);
    number = sim->backups[which].number;
    cut = sim->backups[which].cut;
    note(sim, "restore", number, cut);
    rc = restore_onto_spare(sim, number, &memory, message);
    warp_memory_fini(&memory);
    if (rc != 0 || broken(sim)) {
        oracle_violate(sim->oracle, "restoring backup %" PRIu64 " returned %d: %s", number,
                       rc, message);
        return;
    }
    sim->disk = sim->spare;
    sim->spare = lost;
    sim->env.disk = sim_disk_face(sim->disk);
    sim->env.clock = sim_disk_clock(sim->disk);
    rc = sim_open(sim, percent(sim, 10) ? WARP_READ_ONLY : WARP_CREATE);
    if (rc != 0) {
        oracle_violate(sim->oracle, "opening restored backup %" PRIu64 " returned %d: %s",
                       number, rc, sim->totals->failure);
        return;
    }
    sim->totals->restores++;
    oracle_recovery_exact(sim->oracle);
    compare(sim, true, true, cut - 1);
    if (!broken(sim) && sim->db->background == NULL) {
        /* It was only looked at. */
        if (sim_close(sim) != 0 || sim_open(sim, WARP_CREATE) != 0) {
            oracle_violate(sim->oracle, "a restored database cannot be opened to write");
            return;
        }
    }
    /* Those that were made later tell of a world that is gone. */
    for (i = sim->backup_count; i-- > 0;) {
        if (sim->backups[i].cut > cut) {
            forget_backup(sim, i);
        }
    }
}

/* ---- a run
 * ------------------------------------------------------------------------------------ */

static uint32_t power_of_two(struct sim *sim, uint32_t low_bits, uint32_t high_bits)
{
    return 1u << (low_bits + below(sim, high_bits - low_bits + 1));
}

static void draw_keys(struct sim *sim)
{
    uint32_t i, total;

    sim->counter_count = percent(sim, 60) ? (uint32_t)(1 + below(sim, 3)) : 0;
    sim->key_count = (uint32_t)(1 + below(sim, percent(sim, 50) ? 8 : 50));
    total = sim->key_count + sim->counter_count;
    for (i = 0; i < total; i++) {
        char *text = (char *)sim->keys[i];
        uint64_t style = below(sim, 10);

        if (style == 0) {
            sim->key_bytes[i] = 1;
            text[0] = (char)(i + 1);
        } else if (style < 6) {
            sim->key_bytes[i] = (uint32_t)snprintf(text, KEY_BYTES_MAX, "key-%u", i);
        } else if (style < 9) {
            sim->key_bytes[i] =
                (uint32_t)snprintf(text, KEY_BYTES_MAX, "{tag-%u}.%u", i % 3, i);
        } else {
            uint32_t bytes = (uint32_t)(40 + below(sim, KEY_BYTES_MAX - 40));

            memset(text, 'k', bytes);
            text[0] = (char)('0' + i / 10);
            text[1] = (char)('0' + i % 10);
            sim->key_bytes[i] = bytes;
        }
    }
}

/* Which ways past the owner of a shard there are; from dice of its own. */
static void draw_ways(struct sim *sim)
{
    struct warp_random random;
    uint64_t drawn;

    warp_random_init(&random, sim->seed ^ UINT64_C(0x776f726d686f6c65));
    drawn = warp_random_below(&random, 100);
    sim->options.wormholes = drawn < 12 ? 2 : 1;
    sim->options.write_path = drawn < 6    ? WARP_WRITE_LEASE
                              : drawn < 60 ? WARP_WRITE_ADAPTIVE
                              : drawn < 75 ? WARP_WRITE_LEASE
                                           : WARP_WRITE_MAILBOX;
}

static void draw_run(struct sim *sim)
{
    const struct warp_options fresh = WARP_OPTIONS_INIT;
    uint32_t i;

    sim->options = fresh;
    sim->shard_count = (uint32_t)(1 + below(sim, percent(sim, 50) ? 2 : 8));
    sim->options.shard_count = sim->shard_count;
    sim->options.durability =
        percent(sim, 60) ? WARP_COMMIT : (uint32_t)(1 + below(sim, 3));
    sim->options.sync_interval_ms = (uint32_t)(1 + below(sim, 100));
    sim->options.read_durable = (uint32_t)below(sim, 3);
    sim->options.memory_bytes_max = 64u << 20;
    sim->options.huge_pages = 2;
    sim->options.direct_io = percent(sim, 50) ? 0 : 2;
    sim->options.recovery_threads = 1;
    sim->read_durable = sim->options.read_durable == WARP_READ_DURABLE_AUTO
                            ? sim->options.durability == WARP_COMMIT
                            : sim->options.read_durable == 1;

    memset(&sim->disk_options, 0, sizeof(sim->disk_options));
    memset(&sim->env, 0, sizeof(sim->env));
    sim->env.disk = sim_disk_face(sim->disk);
    sim->env.clock = sim_disk_clock(sim->disk);
    sim->env.random_seed = sim->seed + 1;
    sim->env.threads = false;
    sim->env.wait = world_wait;
    sim->env.chance = world_chance;
    sim->env.context = sim;
    sim->env.prewrites = sim->seed % 4 == 0;
    sim->env.segment_bytes = power_of_two(sim, 12, percent(sim, 70) ? 15 : 20);
    sim->env.log_buffer_bytes = power_of_two(sim, 14, percent(sim, 70) ? 15 : 18);
    sim->env.mailbox_capacity = power_of_two(sim, 1, 6);
    sim->env.drain_max = (uint32_t)(1 + below(sim, percent(sim, 50) ? 4 : 64));
    sim->env.flushes_in_flight_max = (uint32_t)(1 + below(sim, 8));
    sim->env.flush_bytes_max = 4096 * (uint32_t)(1 + below(sim, percent(sim, 50) ? 2 : 16));
    /* Mostly there is no room for the values of all keys. */
    sim->env.values_bytes_max =
        percent(sim, 30) ? 0 : power_of_two(sim, 6, percent(sim, 70) ? 11 : 18);
    sim->options.cache_policy =
        percent(sim, 60) ? WARP_CACHE_S3FIFO : (uint32_t)below(sim, WARP_CACHE_SIEVE + 1);

    for (i = 0; i < WARP_CHANCE_PREFETCH; i++) {
        sim->chance_percent[i] = percent(sim, 50) ? 0 : (uint32_t)(1 + below(sim, 50));
    }
    sim->preempt_percent = percent(sim, 50) ? 0 : (uint32_t)(1 + below(sim, 30));
    sim->level_weight[WARP_DURABILITY_DEFAULT] = (uint32_t)(1 + below(sim, 4));
    for (i = 1; i < 4; i++) {
        sim->level_weight[i] = percent(sim, 40) ? 0 : (uint32_t)(1 + below(sim, 4));
    }
    sim->value_bytes_max = percent(sim, 70) ? 200 : percent(sim, 80) ? 4000 : VALUE_ROOM;
    sim->client_count = (uint32_t)(1 + below(sim, percent(sim, 50) ? 4 : CLIENTS_MAX));
    sim->weight_client = power_of_two(sim, 0, 6);
    sim->weight_actor = power_of_two(sim, 0, 6);
    sim->weight_disk = power_of_two(sim, 0, 3);
    sim->weight_time = 1;
    sim->disk_options.yield = percent(sim, 20) ? NULL : world_yield;
    if (percent(sim, 40)) {
        /* A crowd of committers and a slow disk: many flushes in flight. */
        sim->options.durability = WARP_COMMIT;
        sim->level_weight[WARP_MEMORY] = sim->level_weight[WARP_INTERVAL] = 0;
        sim->client_count = (uint32_t)(5 + below(sim, CLIENTS_MAX - 4));
        sim->env.flushes_in_flight_max = (uint32_t)(2 + below(sim, 7));
        sim->chance_percent[WARP_CHANCE_FLUSH_PADDED] = (uint32_t)(20 + below(sim, 60));
        sim->weight_client = power_of_two(sim, 4, 7);
        sim->weight_disk = 1;
        sim->disk_options.yield = world_yield;
        sim->read_durable = sim->options.read_durable != 0;
    }
    sim->ttl_percent = percent(sim, 60) ? 0 : (uint32_t)(1 + below(sim, 40));
    sim->delete_percent = (uint32_t)below(sim, 40);
    sim->condition_percent = percent(sim, 50) ? 0 : (uint32_t)below(sim, 50);
    sim->batch_percent = percent(sim, 40) ? 0 : (uint32_t)(1 + below(sim, 15));

    sim->disk_options.direct = percent(sim, 60);
    sim->disk_options.block_bytes = percent(sim, 50) ? 512 : 4096;
    sim->disk_options.latency_ns_max = (uint32_t)(percent(sim, 50) ? 20000 : 2000000);
    sim->disk_options.stale_percent = percent(sim, 50) ? 0 : (uint32_t)below(sim, 100);
    sim->disk_options.keep_percent = (uint32_t)below(sim, 100);
    sim->disk_options.tear_percent = (uint32_t)below(sim, 100);
    sim->env.checkpoint_log_bytes =
        percent(sim, 30) ? 0 : power_of_two(sim, 13, percent(sim, 70) ? 15 : 18);
    sim->env.compact_read_bytes = 4096 * (uint32_t)(1 + below(sim, 4));
    sim->env.warm_read_bytes = 4096 * (uint32_t)(4 + below(sim, 4));
    sim->env.warm_places_max = percent(sim, 50) ? 0 : (uint32_t)(1 + below(sim, 20));
    sim->options.warm_up = percent(sim, 75) ? 1 : 2;
    sim->options.compaction = percent(sim, 80) ? 1 : 2;
    sim->options.space_permille =
        1050 + (uint32_t)below(sim, percent(sim, 70) ? 200 : 3000);
    sim->env.checkpoint_buffer_bytes = 4096 * (uint32_t)(1 + below(sim, 4));
    sim->env.reader_handles = (uint32_t)(8 + below(sim, 8));
    /* The log's handles, the reader's, and one for each who is just opening a file. */
    sim->disk_options.open_files_max =
        (percent(sim, 50) ? 70 : 128) + sim->env.reader_handles + CLIENTS_MAX + ACTORS_MAX;
    sim->disk_options.capacity_bytes = UINT64_MAX / 2;
    sim->disk_options.wall_ms = 1700000000000u;
    sim->disk_options.trace = note;
    sim->disk_options.context = sim;
    draw_keys(sim);
    draw_ways(sim);
    warp_random_init(&sim->move_random, sim->seed ^ UINT64_C(0x6d6f7665736c6f74));
    sim->options.gravity = warp_random_below(&sim->move_random, 100) < 50 ? 1 : 2;
    sim->move_permille =
        warp_random_below(&sim->move_random, 100) < 40
            ? 0
            : (uint32_t)(1 + warp_random_below(
                                 &sim->move_random,
                                 warp_random_below(&sim->move_random, 2) == 0 ? 30 : 400));
    sim->options.entanglement = warp_random_below(&sim->move_random, 100) < 50 ? 1 : 2;
    sim->chance_percent[WARP_CHANCE_PREFETCH] =
        (uint32_t)warp_random_below(&sim->move_random, 100);
    sim->chance_percent[WARP_CHANCE_FLUSH_INLINE] =
        (uint32_t)warp_random_below(&sim->move_random, 100);
    sim->backup_permille =
        sim->mode == MODE_ROT || percent(sim, 60) ? 0 : (uint32_t)(3 + below(sim, 30));
}

static void clients_work(struct sim *sim, enum ending ending)
{
    enum { BY_OPERATION, BY_STEP, BY_CROWD } end_by;
    uint32_t i, working,
        crowd = (uint32_t)(2 + below(sim, 3)),
        per_client = (uint32_t)(5 + below(sim, percent(sim, 80) ? 60 : 400));
    uint64_t end_step = UINT64_MAX, check_every = 1 + below(sim, 3000);

    sim->stopping = false;
    sim->quiet_steps = 0;
    for (i = 0; i < sim->client_count; i++) {
        struct client *client = &sim->clients[i];

        client->operations_left = per_client;
        client->working = true;
        client->session_number = percent(sim, 40) ? ++sim->session_next : 0;
    }
    end_by = percent(sim, 30) ? BY_OPERATION : percent(sim, 30) ? BY_STEP : BY_CROWD;
    if (ending != ENDING_CLOSE) {
        if (end_by == BY_OPERATION) {
            sim_disk_end_at(sim->disk, below(sim, 20 + per_client * sim->client_count / 4),
                            (enum sim_where)below(sim, 3),
                            ending == ENDING_KILL ? SIM_KILL : SIM_POWER_CUT);
        } else {
            end_step = sim->steps + below(sim, 30ull * per_client);
        }
    }
    do {
        world_step(sim, true);
        /* By crowd: the first moment from then on with several requests in flight. */
        if (end_by == BY_CROWD
                ? sim->steps >= end_step && sim_disk_in_flight(sim->disk) >= crowd
                : sim->steps == end_step) {
            sim_disk_end_now(sim->disk, ending == ENDING_KILL ? SIM_KILL : SIM_POWER_CUT);
        }
        if (sim_disk_ended(sim->disk)) {
            sim->stopping = true;
        }
        if (sim->full_allowed && sim->full_seen > 20 && sim->full_resumed == 0) {
            /* Space returns; the writes must, too. */
            sim_disk_set_capacity(sim->disk, UINT64_MAX / 2);
            sim->full_resumed = 1;
        }
        if (sim->steps % check_every == 0 && !sim_disk_ended(sim->disk)) {
            /* It takes every lease; a client may hold one while it waits. */
            sim->clients_run = true;
            warp_engine_check(sim->db);
            sim->clients_run = false;
        }
        if (sim->quiet_steps > HANG_STEPS) {
            hang(sim, "clients");
        }
        working = 0;
        for (i = 0; i < sim->client_count; i++) {
            working += sim->clients[i].working;
        }
    } while (working > 0);
}

/* After the disk was full and has room again, writes must come through. */
static void check_resumed(struct sim *sim)
{
    struct client *client = &sim->clients[0];
    uint32_t tries;

    sim_disk_set_capacity(sim->disk, UINT64_MAX / 2);
    for (tries = 0; tries < 50 && !broken(sim); tries++) {
        struct oracle_intent intent = {0};
        uint64_t sequence = 0;
        struct warp_slice value = {client->value, 20};
        uint32_t id, i;
        int rc;

        intent.kind = ORACLE_PUT;
        intent.key = 0;
        intent.value_bytes = 20;
        intent.durability = effective_level(sim, WARP_DURABILITY_DEFAULT);
        intent.batch = ORACLE_NONE;
        intent.if_write = ORACLE_NONE;
        id = oracle_write_begin(sim->oracle, &intent, wall_ms(sim));
        oracle_value(sim->oracle, id, client->value);
        rc = warp_put(sim->db, key_of(sim, 0), value, NULL, &sequence);
        oracle_write_end(sim->oracle, id, rc, sequence, 0, wall_ms(sim));
        if (rc == 0) {
            sim->totals->resumed++;
            return;
        }
        if (sim_disk_ended(sim->disk)) {
            return;
        }
        for (i = 0; i < 50; i++) {
            sim_disk_advance(sim->disk, 1000000);
            world_step(sim, false);
        }
    }
    oracle_violate(sim->oracle, "writes did not come back although the disk has room");
}

static void draw_faults(struct sim *sim)
{
    uint32_t kinds;

    sim->fault_allowed = false;
    if (sim->mode != MODE_FAULTS || !percent(sim, 35)) {
        return;
    }
    switch (below(sim, 4)) {
    case 0:
        kinds = SIM_WRITE;
        break;
    case 1:
        kinds = SIM_SYNC;
        break;
    case 2:
        kinds = SIM_ALLOCATE | SIM_OPEN | SIM_NAME;
        break;
    default:
        kinds = (uint32_t)(1 + below(sim, SIM_ANY));
        break;
    }
    sim_disk_fail(sim->disk, kinds, below(sim, 60), EIO, percent(sim, 50));
    sim->fault_allowed = true;
}

static void run_life(struct sim *sim, bool last)
{
    enum ending ending = percent(sim, 70)   ? ENDING_POWER_CUT
                         : percent(sim, 50) ? ENDING_KILL
                                            : ENDING_CLOSE;
    bool nested = percent(sim, 20);
    int rc;

    sim->totals->lives++;
    if (sim->mode == MODE_ROT && last) {
        ending = percent(sim, 80) ? ENDING_CLOSE : ENDING_POWER_CUT;
        nested = false;
    }
    sim->full_seen = 0;
    sim->full_resumed = 0;
    sim->full_allowed = false;
    if (sim->mode == MODE_ENOSPC) {
        sim->full_allowed = true;
        sim_disk_set_capacity(sim->disk,
                              sim_disk_used_bytes(sim->disk) + 4096 +
                                  below(sim, 12ull * sim->env.segment_bytes + 65536));
    }
    draw_faults(sim);
    memory_fail(sim, below(sim, 200));
    clients_work(sim, ending);
    memory_fail_never(sim);
    if (broken(sim)) {
        return;
    }
    if (sim->full_allowed && !sim_disk_ended(sim->disk) && !db_failed(sim)) {
        check_resumed(sim);
    }
    if (!sim_disk_ended(sim->disk)) {
        warp_engine_check(sim->db);
    }
    if (ending == ENDING_CLOSE) {
        uint64_t token = oracle_flush_begin(sim->oracle);

        sim_disk_set_capacity(sim->disk, UINT64_MAX / 2);
        rc = sim_close(sim);
        if (rc == 0) {
            oracle_flush_end(sim->oracle, token);
        } else if (!sim->fault_allowed) {
            oracle_violate(sim->oracle, "close returned %d without a fault", rc);
        }
        sim_disk_end_never(sim->disk);
        if (rc != 0 || sim_disk_fault_met(sim->disk) || percent(sim, 50)) {
            bool kill = rc == 0 && percent(sim, 50) && !sim_disk_fault_met(sim->disk);

            sim_disk_end_now(sim->disk, kill ? SIM_KILL : SIM_POWER_CUT);
            sim_disk_restart(sim->disk);
        }
    } else {
        struct sim_disk_counts counts;

        if (!sim_disk_ended(sim->disk)) {
            sim_disk_end_now(sim->disk, ending == ENDING_KILL ? SIM_KILL : SIM_POWER_CUT);
        }
        counts = sim_disk_counts(sim->disk);
        sim->totals->ends++;
        sim->totals->ends_many_in_flight += counts.in_flight_at_end >= 2;
        sim->totals->power_cuts += ending == ENDING_POWER_CUT;
        sim->totals->kills += ending == ENDING_KILL;
        (void)sim_close(sim);
        sim_disk_end_never(sim->disk);
        /* After an error of the disk the page cache shows what the medium does not have.
         * The machine must be restarted then; only direct I/O can do without. */
        if (ending == ENDING_KILL && sim_disk_fault_met(sim->disk) &&
            !(sim->disk_options.direct && sim->options.direct_io == 0)) {
            sim_disk_end_now(sim->disk, SIM_POWER_CUT);
            ending = ENDING_POWER_CUT;
        }
        sim_disk_restart(sim->disk);
    }
    sim_disk_fail_clear(sim->disk);
    sim->fault_allowed = false;
    if (broken(sim)) {
        return;
    }
    if (sim->mode == MODE_ROT && last) {
        struct rot_result rot;

        rot_choose(sim->disk, &sim->random, &rot);
        note(sim, "rot", rot.offset, rot.floor);
        if (sim->arguments->verbose) {
            printf("seed %" PRIu64 ": rot in %s at %" PRIu64 " (%s), mark %" PRIu64 "\n",
                   sim->seed, rot.file, rot.offset, rot.what, rot.floor);
        }
        rc = sim_open(sim, WARP_CREATE);
        if (rc == 0) {
            sim->totals->rot_survived++;
            /* What lies before the checkpoint is looked at when it is read. */
            if (rot.must_report && rot.damaged >= sim->db->checkpoints[0].begin) {
                oracle_violate(sim->oracle,
                               "a changed bit in %s at %" PRIu64
                               " (%s) below the mark %" PRIu64 " was not reported",
                               rot.file, rot.offset, rot.what, rot.floor);
            }
            if (!broken(sim)) {
                compare(sim, true, true, rot.floor);
            }
            (void)sim_close(sim);
        } else if (rc == WARP_EDAMAGED || rc == WARP_EFORMAT || rc == WARP_EVERSION) {
            sim->totals->rot_found++;
            if (sim->totals->failure[0] == '\0') {
                oracle_violate(sim->oracle, "damage was reported without a message");
            }
        } else {
            oracle_violate(sim->oracle, "open of a rotten database returned %d: %s", rc,
                           sim->totals->failure);
        }
        sim->totals->failure[0] = '\0';
        return;
    }
    open_and_compare(sim, ending != ENDING_KILL, nested);
}

static bool play(struct sim *sim, uint64_t seed)
{
    uint32_t lives, i;
    struct sim_disk_counts counts;

    sim->seed = seed;
    sim->hash = 0x243f6a8885a308d3u;
    sim->events = 0;
    sim->steps = 0;
    sim->session_next = 0;
    sim->current = NULL;
    sim->actor_count = 0;
    warp_random_init(&sim->random, seed);
    sim->mode = sim->arguments->mode;
    if (sim->mode == MODE_ALL) {
        uint64_t kind = below(sim, 100);

        sim->mode = kind < 65   ? MODE_FAULTS
                    : kind < 80 ? MODE_ROT
                    : kind < 93 ? MODE_ENOSPC
                                : MODE_MEMORY;
    }
    sim->memory_bytes = 0;
    memory_fail_never(sim);
    draw_run(sim);
    sim_disk_reset(sim->disk, seed, &sim->disk_options);
    oracle_reset(sim->oracle, seed, sim->key_count, sim->counter_count,
                 sim->mode == MODE_ROT || sim->backup_permille > 0);
    {
        struct sim_disk_options calm = sim->disk_options;

        calm.yield = NULL;
        sim_disk_reset(sim->vault, seed + 7777, &calm);
    }
    sim->backup_count = 0;
    sim->backups_running = 0;
    sim->restores = 0;
    sim->fault_allowed = false;
    sim->full_allowed = false;
    lives = (uint32_t)(1 + below(sim, 4));
    open_and_compare(sim, true, percent(sim, 10));
    for (i = 0; i < lives && !broken(sim); i++) {
        run_life(sim, i + 1 == lives);
        if (!broken(sim) && sim->backup_count > 0 && (i + 1 == lives || percent(sim, 30))) {
            disaster(sim);
        }
    }
    if (!broken(sim) && sim->db != NULL) {
        int rc = sim_close(sim);

        if (rc != 0) {
            oracle_violate(sim->oracle, "the last close returned %d", rc);
        }
    }
    counts = sim_disk_counts(sim->disk);
    sim->totals->runs++;
    sim->totals->steps += sim->steps;
    sim->totals->writes_torn += counts.writes_torn;
    sim->totals->writes_lost += counts.writes_lost;
    sim->totals->names_lost += counts.names_lost;
    sim->totals->faults += counts.faults;
    if (broken(sim)) {
        const char *what = oracle_violation(sim->oracle);

        snprintf(sim->totals->failure, sizeof(sim->totals->failure), "%s",
                 what != NULL                         ? what
                 : sim_disk_misuse(sim->disk) != NULL ? sim_disk_misuse(sim->disk)
                                                      : sim_disk_misuse(sim->vault));
        if (sim->arguments->verbose && what != NULL) {
            oracle_dump(sim->oracle);
        }
        return false;
    }
    return true;
}

/* ---- the program
 * ------------------------------------------------------------------------------ */

static void sim_make(struct sim *sim, const struct arguments *arguments)
{
    uint32_t i;

    memset(sim, 0, sizeof(*sim));
    sim->arguments = arguments;
    sim->totals = shared;
    sim->allocator.allocate = memory_allocate;
    sim->allocator.release = memory_release;
    sim->allocator.context = sim;
    if (sim_disk_create(&sim->disk) != 0 || sim_disk_create(&sim->vault) != 0 ||
        sim_disk_create(&sim->spare) != 0 || oracle_create(&sim->oracle) != 0) {
        abort();
    }
    for (i = 0; i < CLIENTS_MAX; i++) {
        sim->clients[i].sim = sim;
        sim->clients[i].index = i;
        sim->clients[i].value = malloc(VALUE_ROOM);
        sim->clients[i].buffer = malloc(VALUE_ROOM);
        sim->clients[i].fiber = fiber_create(client_main, &sim->clients[i]);
    }
    for (i = 0; i < ACTORS_MAX; i++) {
        sim->actors[i].sim = sim;
        sim->actors[i].index = i;
        sim->actors[i].fiber = fiber_create(actor_main, &sim->actors[i]);
    }
}

static void sim_unmake(struct sim *sim)
{
    uint32_t i;

    for (i = 0; i < CLIENTS_MAX; i++) {
        free(sim->clients[i].value);
        free(sim->clients[i].buffer);
        fiber_destroy(&sim->clients[i].fiber);
    }
    for (i = 0; i < ACTORS_MAX; i++) {
        fiber_destroy(&sim->actors[i].fiber);
    }
    sim_disk_destroy(&sim->disk);
    sim_disk_destroy(&sim->vault);
    sim_disk_destroy(&sim->spare);
    oracle_destroy(&sim->oracle);
}

/* Play seeds [from, to); exit status 0, or 1 with shared->seed and shared->failure set. */
static int work(const struct arguments *arguments, uint64_t from, uint64_t to)
{
    struct sim *sim = malloc(sizeof(*sim));
    uint64_t seed;
    int status = 0;

    sim_make(sim, arguments);
    for (seed = from; seed < to && status == 0; seed++) {
        shared->seed = seed;
        shared->failure[0] = '\0';
        if (!arguments->no_fork) {
            alarm(30);
        }
        if (!play(sim, seed)) {
            status = 1;
        } else if (arguments->twice) {
            uint64_t hash = sim->hash, events = sim->events;

            if (!play(sim, seed)) {
                status = 1;
            } else if (sim->hash != hash || sim->events != events) {
                snprintf(shared->failure, sizeof(shared->failure),
                         "two runs of one seed differ (%" PRIu64 " events %016" PRIx64
                         ", then %" PRIu64 " events %016" PRIx64 ")",
                         events, hash, sim->events, sim->hash);
                status = 1;
            }
        }
        if (status == 0 && arguments->verbose) {
            printf("seed %" PRIu64 ": %" PRIu64 " events, hash %016" PRIx64 "\n", seed,
                   sim->events, sim->hash);
        }
    }
    if (status == 0) {
        sim_unmake(sim);
        free(sim);
    }
    return status;
}

static const char *mode_name(enum mode mode)
{
    switch (mode) {
    case MODE_FAULTS:
        return "faults";
    case MODE_ROT:
        return "rot";
    case MODE_ENOSPC:
        return "enospc";
    case MODE_MEMORY:
        return "memory";
    case MODE_ALL:
        return "all";
    }
    return "?";
}

static void usage(void)
{
    puts("sim --seed N --runs M [options]: the engine on one thread, on a disk that lies\n"
         "  --mode faults|rot|enospc|memory|all  what happens (default all)\n"
         "  --twice             play each seed twice; the traces must agree\n"
         "  --keep-going        report all violations, not the first only\n"
         "  --expect-violation  exit 0 only if one is found (builds with a planted bug)\n"
         "  --self-test         check the simulated disk itself, and nothing else\n"
         "  --verbose, --trace, --no-fork  to look at one seed");
}

static uint64_t number_argument(int argc, char **argv, int *at)
{
    if (*at + 1 >= argc) {
        usage();
        exit(2);
    }
    return strtoull(argv[++*at], NULL, 0);
}

static void parse(int argc, char **argv, struct arguments *arguments)
{
    int i;

    arguments->seed = 1;
    arguments->runs = 200;
    arguments->mode = MODE_ALL;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            arguments->seed = number_argument(argc, argv, &i);
        } else if (strcmp(argv[i], "--runs") == 0) {
            arguments->runs = number_argument(argc, argv, &i);
        } else if (strcmp(argv[i], "--mode") == 0 && i + 1 < argc) {
            enum mode mode = MODE_FAULTS;

            i++;
            while (mode <= MODE_ALL && strcmp(argv[i], mode_name(mode)) != 0) {
                mode++;
            }
            if (mode > MODE_ALL) {
                usage();
                exit(2);
            }
            arguments->mode = mode;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            arguments->verbose = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            arguments->trace = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            arguments->twice = true;
        } else if (strcmp(argv[i], "--keep-going") == 0) {
            arguments->keep_going = true;
        } else if (strcmp(argv[i], "--no-fork") == 0) {
            arguments->no_fork = true;
        } else if (strcmp(argv[i], "--expect-violation") == 0) {
            arguments->expect_violation = true;
        } else if (strcmp(argv[i], "--self-test") == 0) {
            exit(sim_self_test());
        } else {
            usage();
            exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
        }
    }
}

static void report(const char *program, const struct arguments *arguments, int status)
{
    char death[64] = "";

    if (WIFSIGNALED(status)) {
        snprintf(death, sizeof(death), "ended by signal %d (%s)", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? "too long" : strsignal(WTERMSIG(status)));
    }
    printf(
        "violation: %s --mode %s --seed %" PRIu64 " --runs 1%s: %s%s\n", program,
        mode_name(arguments->mode), shared->seed, arguments->twice ? " --twice" : "", death,
        death[0] == '\0' ? (shared->failure[0] != '\0' ? shared->failure
                                                       : "the process ended (sanitizer?)")
                         : "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct timespec begun, ended;
    uint64_t next, end, violations = 0;
    double seconds;

    parse(argc, argv, &arguments);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 3;
    }
    clock_gettime(CLOCK_MONOTONIC, &begun);
    end = arguments.seed + arguments.runs;
    for (next = arguments.seed; next < end; next = shared->seed + 1) {
        int status = 0;

        if (arguments.no_fork) {
            status = work(&arguments, next, end) << 8;
        } else {
            pid_t child;

            fflush(stdout);
            child = fork();
            if (child < 0) {
                perror("fork");
                return 3;
            }
            if (child == 0) {
                int rc = work(&arguments, next, end);

                fflush(stdout);
                _exit(rc);
            }
            while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
            }
        }
        if (status == 0) {
            break;
        }
        violations++;
        if (!arguments.expect_violation || arguments.verbose) {
            report(argv[0], &arguments, status);
        }
        if (!arguments.keep_going) {
            break;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    seconds = (double)(ended.tv_sec - begun.tv_sec) +
              (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
    printf("sim %s: %" PRIu64 " runs, %" PRIu64 " lives, %" PRIu64 " operations (%" PRIu64
           " done), %" PRIu64 " power cuts, %" PRIu64 " kills, %" PRIu64
           " ends with 2 or more writes in flight, %" PRIu64 " interrupted recoveries\n",
           mode_name(arguments.mode), shared->runs, shared->lives, shared->operations,
           shared->done, shared->power_cuts, shared->kills, shared->ends_many_in_flight,
           shared->nested);
    printf("sim %s: %" PRIu64 " writes lost, %" PRIu64 " torn, %" PRIu64
           " names lost, %" PRIu64 " bytes cut, %" PRIu64 " faults met, %" PRIu64
           " calls failed, %" PRIu64 " refused by a full disk, %" PRIu64
           " resumed, %" PRIu64 " refused memory, rot: %" PRIu64 " reported, %" PRIu64
           " harmless\n",
           mode_name(arguments.mode), shared->writes_lost, shared->writes_torn,
           shared->names_lost, shared->bytes_cut, shared->faults, shared->failed,
           shared->enospc, shared->resumed, shared->no_memory, shared->rot_found,
           shared->rot_survived);
    printf("sim %s: %" PRIu64 " steps, one request in flight in %" PRIu64
           ", more in %" PRIu64 "; %" PRIu64 " intervals kept\n",
           mode_name(arguments.mode), shared->steps, shared->busy_steps,
           shared->crowded_steps, shared->intervals);
    printf("sim %s: %" PRIu64 " values left memory, %" PRIu64 " read from disk, %" PRIu64
           " came back to stay, %" PRIu64 " checkpoints, %" PRIu64
           " archives written, %" PRIu64 " old files removed\n",
           mode_name(arguments.mode), shared->evictions, shared->cold_reads,
           shared->admissions, shared->checkpoints, shared->archives,
           shared->files_removed);
    printf("sim %s: %" PRIu64 " slots moved, %" PRIu64 " moves given up, %" PRIu64
           " writes sent on, %" PRIu64 " opens with another number of shards\n",
           mode_name(arguments.mode), shared->moves, shared->moves_busy, shared->forwards,
           shared->dealt_anew);
    printf("sim %s: %" PRIu64 " backups (%" PRIu64 " files shared, %" PRIu64
           " cut at the end of a log file), %" PRIu64 " failed, %" PRIu64
           " restored and compared, %" PRIu64 " restores cut off\n",
           mode_name(arguments.mode), shared->backups, shared->backups_shared,
           shared->boundary_cuts, shared->backups_failed, shared->restores,
           shared->restores_cut);
    printf("%" PRIu64 " passed, %" PRIu64 " failed in %.1f s (%.0f seeds/s)\n",
           shared->runs > violations ? shared->runs - violations : 0, violations, seconds,
           (double)shared->runs / (seconds > 0 ? seconds : 1));
    if (arguments.expect_violation) {
        if (violations > 0) {
            printf("found as expected, at seed %" PRIu64 ": %s\n", shared->seed,
                   shared->failure);
        }
        return violations > 0 ? 0 : 1;
    }
    return violations > 0 ? 1 : 0;
}
