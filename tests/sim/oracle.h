/*
 * tests/sim/oracle.h - what a correct engine may answer, while it runs and after a crash.
 *
 * It knows every write that was ever asked for, what came back and when. A read must show
 * a write at least as new as all that had returned before it began. After a crash there
 * must be one place S in the log, not before the last acknowledged durable write, such
 * that the records found are those of all writes up to S; writes whose outcome nobody was
 * told may be in or out, and batches are whole. (Durable linearizability: Izraelevitz et
 * al., DISC 2016; the suffix rule is ours.)
 *
 * Threads:   one.
 * Lifetime:  create and destroy; reset begins a new run. Ids of writes are valid until
 *            then.
 * Units:     sequences are bytes of log; a rank is a sequence, or that of the last
 *            operation for the operations of a batch. Steps count events.
 * Ordering:  begin is called before the engine's function, end after it.
 * Errors:    the first broken promise is kept as a sentence; later ones are not looked at.
 * Cost:      a walk over the writes of one key per event.
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warp/warp.h"

#define ORACLE_KEYS_MAX 64u
#define ORACLE_NONE     UINT32_MAX

struct oracle;

enum oracle_kind { ORACLE_PUT, ORACLE_DELETE, ORACLE_ADD };

/* A write about to be made. */
struct oracle_intent {
    enum oracle_kind kind;
    uint32_t key;
    uint32_t value_bytes;
    int64_t delta;
    uint32_t durability; /* effective: never DEFAULT */
    uint32_t condition;
    uint64_t ttl_ms;
    uint64_t if_sequence;
    uint32_t if_write; /* of WARP_IF_VALUE: whose value */
    uint32_t session;  /* 0: none */
    uint32_t batch;    /* ORACLE_NONE: none */
};

struct oracle_read {
    uint32_t key;
    uint32_t session;
    uint32_t floor;        /* the newest write known to be done when the read began */
    uint64_t absent_floor; /* absence was seen of everything up to this rank */
    int64_t counter_floor;
    uint32_t previous; /* the newest write of the same session on the key */
    uint64_t wall_ms;
};

int oracle_create(struct oracle **out);
void oracle_destroy(struct oracle **oracle);
/* Keys [0, key_count) hold values, [key_count, key_count + counter_count) are counters.
 * With keep_history a recovery may find less than the one before it, if the medium was
 * damaged. */
void oracle_reset(struct oracle *oracle, uint64_t seed, uint32_t key_count,
                  uint32_t counter_count, bool keep_history);
/* NULL, or what was broken. */
const char *oracle_violation(const struct oracle *oracle);
void oracle_violate(struct oracle *oracle, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- while the engine runs
 * ---------------------------------------------------------------- */

uint32_t oracle_write_begin(struct oracle *oracle, const struct oracle_intent *intent,
                            uint64_t wall_ms);
void oracle_write_end(struct oracle *oracle, uint32_t write, int rc, uint64_t sequence,
                      int64_t number, uint64_t wall_ms);
/* Nothing will ever be known about it. */
void oracle_write_unknown(struct oracle *oracle, uint32_t write);
/* The bytes of a write's value; out has room for its value_bytes. */
void oracle_value(const struct oracle *oracle, uint32_t write, void *out);
/* Whether an empty value on this key would leave no doubt about whose it is. */
bool oracle_empty_allowed(const struct oracle *oracle, uint32_t key);
/* The newest write known to be done on a key, ORACLE_NONE if there is none; its sequence if
 * it is known, else 0; its size. */
uint32_t oracle_newest(const struct oracle *oracle, uint32_t key, uint64_t *sequence,
                       uint32_t *value_bytes);

uint32_t oracle_batch_begin(struct oracle *oracle);
void oracle_batch_end(struct oracle *oracle, uint32_t batch, int rc, uint64_t sequence,
                      uint64_t wall_ms);

void oracle_read_begin(struct oracle *oracle, uint32_t key, uint32_t session,
                       uint64_t wall_ms, struct oracle_read *out);
/* present: a value came back; else the answer was WARP_ABSENT. durable: the read waited. */
void oracle_read_end(struct oracle *oracle, const struct oracle_read *read, bool present,
                     const void *data, size_t bytes, uint64_t sequence,
                     uint64_t expires_at_ms, bool durable, uint64_t wall_ms);
/* A walk did not meet the key: was that allowed? Writes in between may hide it. */
void oracle_missed(struct oracle *oracle, const struct oracle_read *read,
                   uint64_t began_step, uint64_t wall_ms);
uint64_t oracle_step(const struct oracle *oracle);

/* What was acknowledged at WARP_INTERVAL reaches up to here. */
uint64_t oracle_interval_floor(const struct oracle *oracle);
/* Everything acknowledged so far must survive, once end is called with rc 0. */
uint64_t oracle_flush_begin(struct oracle *oracle);
void oracle_flush_end(struct oracle *oracle, uint64_t token);

/* ---- after a crash
 * -------------------------------------------------------------------------- */

/*
 * damaged: the medium was changed behind the engine's back; only what is below
 * `damage_floor` must be there then.
 */
void oracle_recovery_begin(struct oracle *oracle, bool damaged, uint64_t damage_floor);
/* Before begin: the log was cut exactly behind damage_floor (a backup), nothing more is there. */
void oracle_recovery_exact(struct oracle *oracle);
void oracle_recovery_record(struct oracle *oracle, uint32_t key, const void *data,
                            size_t bytes, uint64_t sequence, uint64_t expires_at_ms);
/*
 * All records were shown: decide. on_medium: what was found cannot be lost any more.
 * Afterwards the records found are the new beginning.
 */
void oracle_recovery_end(struct oracle *oracle, bool on_medium, bool damaged,
                         uint64_t damage_floor, uint64_t wall_ms);
/* Print what is known of the key that the violation names. */
void oracle_dump(const struct oracle *oracle);
uint64_t oracle_durable_floor(const struct oracle *oracle);
uint32_t oracle_write_count(const struct oracle *oracle);

#endif
