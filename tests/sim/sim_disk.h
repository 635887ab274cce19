/*
 * tests/sim/sim_disk.h - a directory in memory that forgets as a real disk may.
 *
 * It remembers for every byte, size and name whether it was synced. A power cut keeps,
 * drops or tears what was not, sector by sector, and keeps any subset of the unsynced
 * directory changes that a journal could have kept. Ideas: fault atlas of TigerBeetle's
 * simulator, crash states of ALICE (Pillai et al., OSDI 2014), failed syncs of Rebello et
 * al. (ATC 2020).
 *
 *      submit            step                sync
 *   engine ---> in flight ---> unsynced ------------> on the medium
 *                   |             |                        |
 *   power cut:  keep/drop/tear  keep/drop/tear           stays
 *
 * Threads:   one; the simulator is single-threaded.
 * Lifetime:  create and destroy; reset begins a new life with an empty directory.
 * Units:     bytes, sectors of 512, nanoseconds of virtual time.
 * Ordering:  requests in flight complete in random order; a sync makes durable what had
 *            completed before the sync was submitted. All choices come from the seed.
 * Errors:    as struct warp_disk_ops: -errno.
 * Cost:      a copy per write; a few microseconds per restart.
 */
#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/io.h"

#define SIM_SECTOR_BYTES 512u
#define SIM_PAGE_BYTES   4096u

struct sim_disk;

struct sim_disk_options {
    bool direct;             /* the file system grants WARP_FILE_DIRECT */
    uint32_t block_bytes;    /* what direct I/O must be aligned to: 512 or 4096 */
    uint32_t latency_ns_max; /* of one request */
    uint32_t stale_percent;  /* fresh pages that show old bytes instead of zeros */
    uint32_t keep_percent;   /* unsynced writes that survive a power cut whole ... */
    uint32_t tear_percent;   /* ... or in part; the others are lost */
    uint32_t open_files_max; /* -EMFILE beyond; 0: no limit */
    uint64_t capacity_bytes; /* -ENOSPC beyond */
    uint64_t wall_ms;        /* where the wall clock starts */
    /* NULL, or lets others run while a write or sync of a log file is on its way, as they
     * would while a thread is inside the system call. False: not here, not now. */
    bool (*yield)(void *context);
    /* What happened, for the trace: a word and two numbers that hold no address. */
    void (*trace)(void *context, const char *what, uint64_t first, uint64_t second);
    void *context; /* of both */
};

enum sim_kind {
    SIM_READ = 1,
    SIM_WRITE = 2,
    SIM_SYNC = 4,
    SIM_ALLOCATE = 8,
    SIM_OPEN = 16,
    SIM_NAME = 32, /* rename, unlink, sync of the directory */
    SIM_ANY = 63,
};

enum sim_end {
    SIM_POWER_CUT, /* what was not synced may be gone */
    SIM_KILL, /* the process ends, the machine goes on: only what was in flight may be gone
               */
};

enum sim_where { SIM_BEFORE, SIM_MIDDLE, SIM_AFTER };

struct sim_disk_counts {
    uint64_t operations; /* that can change the medium: the k of sim_disk_end_at */
    uint64_t reads;
    uint64_t writes_torn;      /* at power cuts */
    uint64_t writes_lost;      /* at power cuts */
    uint64_t names_lost;       /* directory changes undone by power cuts */
    uint64_t in_flight_at_end; /* requests in flight at the last end */
    uint64_t faults;           /* injected errors that were met */
};

int sim_disk_create(struct sim_disk **out);
void sim_disk_destroy(struct sim_disk **disk);
/* Begin again: empty directory, no faults, time zero. */
void sim_disk_reset(struct sim_disk *disk, uint64_t seed,
                    const struct sim_disk_options *options);

/* Other choices from here on: the operations so far stay what they were. */
void sim_disk_reseed(struct sim_disk *disk, uint64_t seed);

/* What the engine gets; valid until destroy. */
const struct warp_disk *sim_disk_face(struct sim_disk *disk);
const struct warp_clock *sim_disk_clock(struct sim_disk *disk);

/* ---- the world goes on ------------------------------------------------------------------
 */

/* Complete one random request in flight; false if there was none. */
bool sim_disk_step(struct sim_disk *disk);
uint32_t sim_disk_in_flight(const struct sim_disk *disk);
uint64_t sim_disk_now_ns(const struct sim_disk *disk);
void sim_disk_advance(struct sim_disk *disk, uint64_t ns);

/* ---- faults -----------------------------------------------------------------------------
 */

/* From `after` operations of these kinds on, fail one of them (or all, if persistent). Two
 * such plans can be active; clear removes them. error is positive (EIO). */
void sim_disk_fail(struct sim_disk *disk, uint32_t kinds, uint64_t after, int error,
                   bool persistent);
void sim_disk_fail_clear(struct sim_disk *disk);
/* Whether an injected fault was met since the last reset or clear. */
bool sim_disk_fault_met(const struct sim_disk *disk);
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t bytes);
uint64_t sim_disk_used_bytes(const struct sim_disk *disk);

/* The end comes at the (after + 1)-th operation from now. From then on everything fails
 * with -EIO and nothing reaches the medium, until sim_disk_restart. */
void sim_disk_end_at(struct sim_disk *disk, uint64_t after, enum sim_where where,
                     enum sim_end how);
/* The end comes now; after a kill it may still become a power cut. */
void sim_disk_end_now(struct sim_disk *disk, enum sim_end how);
bool sim_disk_ended(const struct sim_disk *disk);
/* No end is due any more. */
void sim_disk_end_never(struct sim_disk *disk);
/* Build what is left after the end. All handles and locks are gone. */
void sim_disk_restart(struct sim_disk *disk);

/* ---- rot: the medium changes by itself
 * ---------------------------------------------------- */

uint32_t sim_disk_file_count(const struct sim_disk *disk);
/* The index-th file of the directory; NULL if there is none. */
const char *sim_disk_file_name(const struct sim_disk *disk, uint32_t index,
                               uint64_t *bytes);
/* Bytes as they are on the medium; returns how many were there. */
size_t sim_disk_peek(const struct sim_disk *disk, const char *name, uint64_t offset,
                     void *buffer, size_t bytes);
/* Overwrite bytes on the medium and in the cache, behind everybody's back. */
void sim_disk_poke(struct sim_disk *disk, const char *name, uint64_t offset,
                   const void *buffer, size_t bytes);

/* What a closed database must not leave. */
uint32_t sim_disk_open_files(const struct sim_disk *disk);
bool sim_disk_locked(const struct sim_disk *disk);
/* What the engine did that no disk allows (a closed handle used, ...), or NULL. */
const char *sim_disk_misuse(const struct sim_disk *disk);
struct sim_disk_counts sim_disk_counts(const struct sim_disk *disk);

#endif
