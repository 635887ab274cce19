/*
 * tools/inspect/verify.h - what the parts of `warp verify` share: the run, and how damage is told.
 *
 * Each part checks one kind of file and goes on behind what is damaged: verify.c the log that would
 * be replayed, held.c log that is only kept for its values, index.c the checkpoints, archives.c the
 * archive files, estimate.c none of it.
 *
 * Threads:   one.
 * Lifetime:  the struct is the command's; what is listed lives until warp_verify_forget().
 * Units:     bytes; positions of log; offsets in files.
 * Ordering:  files first, then checkpoints, for they say which segments must be there; then the rest.
 * Errors:    damage is told and counted, not returned; < 0 is a WARP_E... that ends the run.
 * Cost:      one read of every file; memory for the greatest frame and a section of a checkpoint.
 */
#ifndef TOOLS_INSPECT_VERIFY_H
#define TOOLS_INSPECT_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "tools/inspect/meter.h"
#include "tools/options.h"
#include "wal/checkpoint.h"
#include "wal/manifest.h"
#include "wal/segment.h"

#define VERIFY_CHECKPOINTS_MAX 8u
#define VERIFY_FILE_BYTES      48u
#define VERIFY_WHAT_BYTES      160u
#define VERIFY_DAMAGES_MAX     1000u /* listed; more are counted */

struct verify_damage {
    char file[VERIFY_FILE_BYTES];
    uint64_t offset;   /* in the file */
    uint64_t bytes;    /* UINT64_MAX: unknown */
    uint64_t position; /* in the log; UINT64_MAX: it is not in the log */
    char what[VERIFY_WHAT_BYTES];
};

/* A log file, or an archive file, that is there or ought to be. */
struct verify_file {
    uint64_t number;
    bool present;
    bool listed;            /* a checkpoint that is kept says that values lie in it */
    uint64_t lost;          /* records whose place lies in it, though it is missing ... */
    uint64_t lost_position; /* ... and the place of the first of them */
};

struct verify_range {
    uint64_t from, to; /* of log */
};

struct verify_files {
    struct verify_file *files; /* ascending */
    uint32_t count, capacity;
};

struct verify_checkpoint {
    struct warp_checkpoint_summary summary;
    uint32_t sections;
    uint64_t entries; /* read */
    bool good;
};

struct verify {
    struct warp_tool tool;
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_manifest manifest;
    struct warp_segments segments;
    bool log;      /* print frames */
    bool silent;   /* say nothing, only count */
    bool estimate; /* only say what an open would have to read */
    bool read;     /* the log could be read as one */

    struct verify_files logs, archives;
    struct meter meter; /* total: of all files that are going to be read */
    struct verify_checkpoint checkpoints[VERIFY_CHECKPOINTS_MAX];
    uint32_t checkpoint_count;

    uint64_t files, frames, batches, puts, deletes, bytes, bytes_cut, end;
    uint64_t held_files, held_frames, held_bytes, held_unknown;
    uint64_t archive_files, archive_entries, archive_bytes;
    struct verify_range *unknown; /* log that no chain of frames leads to; ascending */
    uint32_t unknown_count, unknown_capacity;
    bool no_memory;
    uint32_t epoch;
    bool in_use; /* by `holder`: checked as far as that goes */
    char holder[256];
    uint64_t files_gone;
    bool clean;
    struct verify_damage *damages;
    uint32_t damage_count; /* may be greater than the number listed */
    char message[512];     /* damage that is in no place of a file; empty: none */
};

/* ---- verify.c ------------------------------------------------------------------------- */

/* Check all files: v->disk and v->memory are set, and v->damages has room for VERIFY_DAMAGES_MAX. 0
 * (counts and damages are filled in) or an exit status. */
int warp_verify_all(struct verify *v);

/* Damage in [position, end) of the log; end UINT64_MAX: unknown. */
void warp_verify_damaged_log(struct verify *v, uint64_t position, uint64_t end,
                             const char *what);
/* Damage of any file. bytes UINT64_MAX: unknown. */
void warp_verify_damaged(struct verify *v, const char *file, uint64_t offset,
                         uint64_t bytes, const char *what);

/* ---- files.c -------------------------------------------------------------------------- */

/* Take note of the log and archive files that there are. */
int warp_verify_list(struct verify *v);
void warp_verify_forget(struct verify *v);
/* The file of this number, NULL if there is none and none was asked for. */
struct verify_file *warp_verify_file(struct verify_files *files, uint64_t number);
/* The same, made if need be, as one that is missing. NULL: no memory. */
struct verify_file *warp_verify_file_add(struct verify *v, struct verify_files *files,
                                         uint64_t number);

/* ---- index.c, held.c, archives.c, estimate.c -------------------------------------------- */

/* All checkpoints that count, every section; marks the files they list. */
int warp_verify_checkpoints(struct verify *v);
/* Log files below the head that a checkpoint lists, and the head's own up to the head. */
int warp_verify_held(struct verify *v);
/* The log files from the head on, each for itself, when they do not make one log. */
int warp_verify_loose(struct verify *v);
int warp_verify_archives(struct verify *v);
/* Print what an open would have to read; an exit status. */
int warp_verify_estimate(struct verify *v);

#endif
