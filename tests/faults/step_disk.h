/*
 * tests/faults/step_disk.h - a disk that knows which step of which job every operation is.
 *
 * A proxy over the simulated disk. From the name of the file, the kind of operation and who is at
 * work it tells the step (enum step), numbers the operations that change something and those that
 * read, and makes one of them, by number, the place where something goes wrong. To walk n over all
 * numbers is the method of SQLite's I/O error tests; to say where each one struck, and to fail when
 * a step was never struck, is ours.
 *
 * Threads:   one.
 * Lifetime:  embedded; init and fini; the disk underneath outlives it. reset begins a new run.
 * Units:     operations, numbered from 0 since reset; changes and reads apart.
 * Ordering:  as the disk underneath.
 * Errors:    those of the plan. A crash ends the disk underneath, and everything is -EIO then.
 * Cost:      a look at the name per operation.
 */
#ifndef TESTS_FAULTS_STEP_DISK_H
#define TESTS_FAULTS_STEP_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "tests/sim/sim_disk.h"

/* name, job, words, whether it reads */
#define STEPS(X)                                                                           \
    X(OPEN_LIST, "open", "list the directory", true)                                       \
    X(OPEN_READ_MANIFEST, "open", "read the manifest", true)                               \
    X(OPEN_READ_CHECKPOINT, "open", "read a checkpoint", true)                             \
    X(OPEN_READ_LOG, "open", "read the log", true)                                         \
    X(OPEN_SYNC_LOG, "open", "sync what was replayed", false)                              \
    X(OPEN_FENCE, "open", "new epoch in the manifest", false)                              \
    X(OPEN_WRITE_LOG, "open", "OPEN frame", false)                                         \
    X(OPEN_EXTEND, "open", "make a segment", false)                                        \
    X(OPEN_DISCARD, "open", "remove a checkpoint", false)                                  \
    X(OPEN_GIVE_UP, "open", "give up old log", false)                                      \
    X(OPEN_UNLINK, "open", "remove an archive or half-made file", false)                   \
    X(LOG_WRITE, "log", "write", false)                                                    \
    X(LOG_SYNC, "log", "sync", false)                                                      \
    X(SEGMENT_ZERO, "segment", "zero ahead", false)                                        \
    X(SEGMENT_CREATE, "segment", "create", false)                                          \
    X(SEGMENT_FILL, "segment", "allocate, header", false)                                  \
    X(SEGMENT_SYNC, "segment", "sync", false)                                              \
    X(SEGMENT_RENAME, "segment", "rename", false)                                          \
    X(SEGMENT_NAME_SYNC, "segment", "sync of the name", false)                             \
    X(RECYCLE_FILL, "segment", "recycle: header", false)                                   \
    X(RECYCLE_SYNC, "segment", "recycle: sync", false)                                     \
    X(RECYCLE_RENAME, "segment", "recycle: rename", false)                                 \
    X(RECYCLE_NAME_SYNC, "segment", "recycle: sync of the name", false)                    \
    X(CHECKPOINT_BEGIN, "checkpoint", "begin: create", false)                              \
    X(CHECKPOINT_WRITE, "checkpoint", "write sections", false)                             \
    X(CHECKPOINT_SYNC, "checkpoint", "sync", false)                                        \
    X(CHECKPOINT_RENAME, "checkpoint", "rename", false)                                    \
    X(CHECKPOINT_NAME_SYNC, "checkpoint", "sync of the name", false)                       \
    X(MANIFEST_WRITE, "checkpoint", "manifest: write", false)                              \
    X(MANIFEST_SYNC, "checkpoint", "manifest: sync", false)                                \
    X(MANIFEST_RENAME, "checkpoint", "manifest: rename", false)                            \
    X(MANIFEST_NAME_SYNC, "checkpoint", "manifest: sync of the name", false)               \
    X(CHECKPOINT_OLD_UNLINK, "checkpoint", "old one removed", false)                       \
    X(CHECKPOINT_OLD_SYNC, "checkpoint", "sync of the removal", false)                     \
    X(COMPACT_READ_LOG, "compaction", "read a segment", true)                              \
    X(COMPACT_READ_ARCHIVE, "compaction", "read an archive", true)                         \
    X(ARCHIVE_BEGIN, "compaction", "archive: create", false)                               \
    X(ARCHIVE_WRITE, "compaction", "archive: write", false)                                \
    X(ARCHIVE_SYNC, "compaction", "seal: sync", false)                                     \
    X(ARCHIVE_RENAME, "compaction", "seal: rename", false)                                 \
    X(ARCHIVE_NAME_SYNC, "compaction", "seal: sync of the name", false)                    \
    X(INSTALL, "compaction", "install", false)                                             \
    X(REMOVE_ARCHIVE, "removal", "unlink an archive", false)                               \
    X(REMOVE_LOG, "removal", "unlink a segment", false)                                    \
    X(REMOVE_RECYCLE, "removal", "segment becomes a spare", false)                         \
    X(REMOVE_SYNC, "removal", "sync of the removal", false)                                \
    X(COLD_READ_LOG, "cold read", "of the log", true)                                      \
    X(COLD_READ_ARCHIVE, "cold read", "of an archive", true)                               \
    X(TIDY, "any", "remove what failed", false)                                            \
    X(OTHER, "any", "other", false)

enum step {
#define X(name, job, words, reads) STEP_##name,
    STEPS(X)
#undef X
        STEP_COUNT
};

const char *step_job(enum step step);
const char *step_words(enum step step);
bool step_reads(enum step step);
/* What a full disk refuses; what has its space already it does not. */
bool step_wants_space(enum step step);

enum fault {
    FAULT_NONE,
    FAULT_CUT_BEFORE, /* the power goes */
    FAULT_CUT_MIDDLE, /* a write is on its way */
    FAULT_CUT_AFTER,
    FAULT_KILL_BEFORE, /* the process ends */
    FAULT_KILL_AFTER,
    FAULT_ENOSPC_ONCE,
    FAULT_ENOSPC_LASTING, /* the disk is full from then on, until step_disk_clear() */
    FAULT_EIO_ONCE,
    FAULT_EIO_LASTING, /* that step fails from then on */
    FAULT_READ_EIO_ONCE,
    FAULT_READ_EIO_LASTING,
    FAULT_READ_FLIP, /* one bit of what is read is wrong, the medium is right */
    FAULT_COUNT
};

const char *fault_words(enum fault fault);
static inline bool fault_is_crash(enum fault fault)
{
    return fault >= FAULT_CUT_BEFORE && fault <= FAULT_KILL_AFTER;
}
static inline bool fault_is_read(enum fault fault)
{
    return fault >= FAULT_READ_EIO_ONCE && fault <= FAULT_READ_FLIP;
}

/* Who is at work. */
enum who { WHO_CALLER, WHO_LOG, WHO_BACKGROUND, WHO_OPENER };

struct step_disk {
    struct warp_disk face; /* give &disk.face to the engine */
    struct sim_disk *sim;
    const struct warp_disk *below;

    enum who who; /* set by the test */

    /* The plan. */
    enum fault fault;
    uint64_t at;
    uint64_t dice; /* where a bit flips, what a cut keeps */
    bool armed;    /* it has not struck yet */
    bool lasting;  /* it has, and goes on */
    bool cleared;  /* and was made to stop */
    enum step struck;
    uint64_t struck_count;

    uint64_t changes, reads;  /* since reset */
    uint64_t met[STEP_COUNT]; /* operations, since reset */
    uint8_t *steps[2];        /* NULL, or which step each change, each read was */
    uint32_t step_capacity;

    char (*names)[64]; /* by handle */
    uint32_t name_capacity;
    enum step named; /* the last change of a name, for the sync that follows it */
    struct warp_io_request *hit[16]; /* reads on their way that are to fail */
    uint32_t hit_count;
};

void step_disk_init(struct step_disk *disk, struct sim_disk *sim);
void step_disk_fini(struct step_disk *disk);
/* Counters and plan are as new. */
void step_disk_reset(struct step_disk *disk);
/* Count anew, and let operation number `at` of those that the fault may strike meet it. */
void step_disk_plan(struct step_disk *disk, enum fault fault, uint64_t at, uint64_t dice);
/* What lasts ends; nothing strikes any more. */
void step_disk_clear(struct step_disk *disk);
/* A step that is no operation of the disk: it may be where the end comes. */
void step_disk_tell(struct step_disk *disk, enum step step);

#endif
