/*
 * wal/checkpoint.h - the index written down, so that opening need not read the whole log.
 *
 * A checkpoint is one file with every key and where its value lies, slot by slot: opening
 * loads the newest good one and replays the log from its begin. It is written aside and
 * gets its name only when it is durable, so that a crash leaves it whole or not at all;
 * whatever changes in it afterwards fails a checksum. That a log and a copy of the state
 * make old log superfluous is as old as logs; fuzzy checkpoints, taken while writing goes
 * on, are in Mohan et al., "ARIES", ACM TODS 17(1), 1992. The bytes are drawn in
 * docs/WAL_FORMAT.md.
 *
 * Threads:   a writer by one thread at a time. find and remove by one thread at a time per
 *            directory. An open checkpoint: read_section and all that only looks by any
 *            threads at once; close when nobody does.
 * Lifetime:  create/destroy and open/close; disk, memory outlive both, manifest is copied
 *            from. What put and seal are given is copied. The key told to visit lives until
 *            visit returns; segments and archives live until close.
 * Units:     bytes, records, Unix time in ms, positions of log; a place is either a
 *            position below 2^63 or, with bit 63 set, an address in an archive
 *            (wal/place.h).
 * Ordering:  seal returns after the file is durable under its name. A record may have
 *            changed between begin and seal: replaying from begin sets it right, for who
 *            replays an older write over a newer one ignores it.
 * Errors:    WARP_EDAMAGED, _EFORMAT (foreign), _EVERSION, _ENOENT (open), _ENOSPC, _EIO,
 *            _EPERM, _ENOMEM, _ESYSTEM; open leaves a sentence with file and offset in
 *            message. A writer that has failed repeats its error until it is destroyed.
 * Cost:      7 to 9 bytes an entry beside its key. A writer takes two buffers and 40 bytes
 *            a section, and writes 30 M entries of 16 bytes a second into the page cache;
 *            a reader takes 40 bytes a section and, while it reads one, that section, and
 *            reads 65 to 110 M such entries a second with one thread
 *            (build/micro/checkpoint). find reads two pages a file.
 */
#ifndef WAL_CHECKPOINT_H
#define WAL_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/manifest.h"

#define WARP_CHECKPOINT_VERSION      1u /* of the file, apart from the manifest's */
#define WARP_CHECKPOINT_NAME_BYTES   40u
#define WARP_CHECKPOINT_BUFFER_BYTES 1048576u   /* of a section, unless configured */
#define WARP_CHECKPOINT_BUFFER_CEIL  67108864u  /* no section is larger */
#define WARP_CHECKPOINT_SECTIONS_MAX (1u << 20) /* more is refused as a full disk */

/*
 * One record of the index. A position is also the sequence of its write; an address in an
 * archive has none here: it counts as older than all log from begin.
 */
struct warp_checkpoint_entry {
    uint64_t place;
    uint32_t value_bytes;
    uint32_t key_bytes; /* 1 - WARP_KEY_BYTES_MAX */
    const void *key;
    uint64_t expires_at_ms; /* 0: never */
    bool in_batch;          /* its log entry lies in a BATCH frame */
    bool resident; /* its value was in memory when this was written, or was to be */
    uint8_t heat;  /* 0 - 3: if resident, what it had earned (cache/horizon) */
};

/* A segment below the replay begin that still holds values. */
struct warp_checkpoint_segment {
    uint64_t index;
    uint64_t straddle_from; /* where the frame that reaches into it begins, or it itself */
    uint64_t bytes;         /* of log in it */
};

struct warp_checkpoint_archive {
    uint32_t number;
    uint32_t spare; /* 0 */
    uint64_t raw_bytes;
    uint64_t stored_bytes;
};

struct warp_checkpoint_summary {
    uint64_t number;  /* 1, 2, ...: newer is greater */
    uint64_t begin;   /* replay the log from here; a frame begins here */
    uint64_t end;     /* all log below was durable at seal; every place in it lies below */
    uint64_t records; /* UINT64_MAX: the file cannot be used, see warp_checkpoint_find */
    uint64_t bytes;   /* of the file */
    uint64_t made_ms; /* Unix time */
    uint64_t archive_next; /* number of the next archive file */
    uint32_t segment_count, archive_count;
    uint32_t epoch; /* the fencing epoch of who wrote it, and of the log at begin */
};

/* "checkpoint-<16 hexadecimal digits>.warp"; it ends in .new while it is being made. */
void warp_checkpoint_name(uint64_t number, char out[WARP_CHECKPOINT_NAME_BYTES]);

/*
 * ---- writing --------------------------------------------------------------------------
 */

struct warp_checkpoint_writer;

struct warp_checkpoint_config {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    const struct warp_manifest *manifest;
    uint64_t number;       /* > 0 and greater than any that find told */
    uint64_t begin;        /* all entries are at least as new as the log below this */
    uint32_t buffer_bytes; /* a section's, but for one big entry's; 0: 1 MiB; <= _CEIL */
    bool direct;
};

/* Makes the file under its .new name, over a half-made one. */
int warp_checkpoint_writer_create(struct warp_checkpoint_writer **writer,
                                  const struct warp_checkpoint_config *config);

/*
 * begin_slot, then a put for each of its records; slots ascend. No more than
 * entry_count_at_most puts follow, maybe none. put copies the key; it writes when a
 * section is full: at most one buffer, and one more in the put that finds a slot larger
 * than a section.
 */
int warp_checkpoint_writer_begin_slot(struct warp_checkpoint_writer *writer, uint32_t slot,
                                      uint32_t entry_count_at_most);
int warp_checkpoint_writer_put(struct warp_checkpoint_writer *writer,
                               const struct warp_checkpoint_entry *entry);

/*
 * Tables, directory of sections and trailer; sync, rename, sync of the directory: then it
 * counts. All log below `end` is durable, and every position put lies below it. The only
 * call that follows, whatever it returns, is destroy. summary may be NULL.
 */
int warp_checkpoint_writer_seal(struct warp_checkpoint_writer *writer, uint64_t end,
                                uint64_t made_ms, uint64_t archive_next,
                                const struct warp_checkpoint_segment *segments,
                                uint32_t segment_count,
                                const struct warp_checkpoint_archive *archives,
                                uint32_t archive_count,
                                struct warp_checkpoint_summary *summary);

/* What was not sealed is removed; after a crash, find removes it. *writer may be NULL. */
void warp_checkpoint_writer_destroy(struct warp_checkpoint_writer **writer);

/*
 * ---- finding --------------------------------------------------------------------------
 */

/*
 * The newest `capacity` checkpoints there are, newest first, judged by header and trailer
 * alone; *count says how many. One that is damaged, foreign, unreadable or of a newer
 * version has its number, records == UINT64_MAX and zeros: open tells why. That a file
 * passes here does not mean that its sections will. Half-made files are removed unless
 * read_only.
 */
int warp_checkpoint_find(const struct warp_disk *disk, struct warp_memory *memory,
                         const struct warp_manifest *manifest, bool read_only,
                         struct warp_checkpoint_summary *out, uint32_t capacity,
                         uint32_t *count);

/* Durably. One that is not there is no error. */
int warp_checkpoint_remove(const struct warp_disk *disk, uint64_t number);

/*
 * ---- reading --------------------------------------------------------------------------
 */

struct warp_checkpoint;

/* Checks everything but the sections. */
int warp_checkpoint_open(struct warp_checkpoint **checkpoint, const struct warp_disk *disk,
                         struct warp_memory *memory, const struct warp_manifest *manifest,
                         uint64_t number, char *message, size_t message_bytes);
void warp_checkpoint_close(struct warp_checkpoint **checkpoint);

const struct warp_checkpoint_summary *
warp_checkpoint_summary(const struct warp_checkpoint *checkpoint);
/* summary->segment_count and archive_count of them, as seal was given; NULL if none. */
const struct warp_checkpoint_segment *
warp_checkpoint_segments(const struct warp_checkpoint *checkpoint);
const struct warp_checkpoint_archive *
warp_checkpoint_archives(const struct warp_checkpoint *checkpoint);

/*
 * Sections follow one another in the order of slots. A slot that fits into a section is
 * whole in one. A slot that does not begins a section and goes on in the next ones, as
 * their first: then the last slot of a section is the first of the next, its entries are
 * told from several sections, maybe by several threads at once, and slot_records is that
 * of the whole slot in all of them. section_slots says so beforehand, for who wants one
 * thread for one slot: two neighbours share a slot exactly when the one's last is the
 * other's first.
 */
uint32_t warp_checkpoint_section_count(const struct warp_checkpoint *checkpoint);
void warp_checkpoint_section_slots(const struct warp_checkpoint *checkpoint,
                                   uint32_t section, uint32_t *first, uint32_t *last,
                                   uint32_t *records);

typedef int (*warp_checkpoint_visit)(void *context, uint32_t slot, uint32_t slot_records,
                                     const struct warp_checkpoint_entry *entry);

/* A section in memory, its checksum checked: what is in it can be walked again and again, by
 * different threads at once. */
struct warp_checkpoint_section {
    uint8_t *bytes; /* NULL: none */
    uint64_t reserved;
    uint32_t index;
};

/* Of memory, while it is loaded. */
uint64_t warp_checkpoint_section_bytes(const struct warp_checkpoint *checkpoint,
                                       uint32_t section);
/* *loaded is zeroed before, or has memory of another section, which is used again if it is enough;
 * after an error it holds no section. drop releases it, also one that was never loaded. Errors as of
 * read_section. */
int warp_checkpoint_section_load(struct warp_checkpoint *checkpoint, uint32_t section,
                                 struct warp_checkpoint_section *loaded, uint64_t *offset);
void warp_checkpoint_section_drop(struct warp_checkpoint *checkpoint,
                                  struct warp_checkpoint_section *loaded);
/* Call visit for each entry of the slots that are wanted (NULL: of all); the others are passed
 * over unread, at a few instructions each. What it returns is as of read_section. */
int warp_checkpoint_section_walk(struct warp_checkpoint *checkpoint,
                                 const struct warp_checkpoint_section *loaded,
                                 bool (*wanted)(void *context, uint32_t slot),
                                 warp_checkpoint_visit visit, void *context,
                                 uint64_t *offset);

/*
 * Read one section, check it, and then call visit for each entry, slots ascending. 0; or
 * what visit returned, when that is not 0: it ends the walk; or WARP_EDAMAGED with the
 * place in the file in *offset; or WARP_EIO, WARP_ENOMEM. When the checksum is wrong
 * nothing is visited. offset may be NULL. Different sections, or the same, by different
 * threads at once.
 */
int warp_checkpoint_read_section(struct warp_checkpoint *checkpoint, uint32_t section,
                                 warp_checkpoint_visit visit, void *context,
                                 uint64_t *offset);

#endif
