/*
 * tests/lib/memory_disk.h - a disk in memory whose bytes a test can reach.
 *
 * One directory of named files. It can be full, run out of handles, fail its nth operation
 * or a range of one file, and its queue completes requests in the reverse order of
 * submission. It knows nothing of crashes: what was written is there. A test that wants a
 * crash changes the bytes itself.
 *
 * Threads:   one at a time.
 * Lifetime:  create/destroy; bytes from memory_disk_bytes live until the file next changes
 *            size.
 * Units:     bytes.
 * Ordering:  none.
 * Errors:    as base/io.h says.
 * Cost:      a linear search per name.
 */
#ifndef TESTS_LIB_MEMORY_DISK_H
#define TESTS_LIB_MEMORY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"

#define MEMORY_DISK_HANDLES 256u

struct memory_file;

/* The test sets the limits and reads the counts. */
struct memory_disk {
    struct warp_disk disk; /* hand out &disk */

    uint64_t space_bytes; /* UINT64_MAX: no limit; the sum of all sizes */
    uint32_t handles_max; /* open files at most, <= MEMORY_DISK_HANDLES */
    uint64_t fail_at;     /* the operation of this number fails ... */
    int fail_errno;       /* ... with this errno; UINT64_MAX: none */
    const char *bad_name; /* reading this file at bad_offset is -EIO; NULL: none */
    uint64_t bad_offset;
    uint32_t block_bytes; /* what direct I/O must be a multiple of, 4096 at first */
    bool strict;          /* reads that are not are -EINVAL */
    bool buffered;        /* no file is direct */
    bool hold;            /* what is in the queues stays in flight */

    uint64_t operations; /* so far; the first has number 0 */
    uint64_t syncs, directory_syncs;
    uint32_t handles; /* open now */

    struct memory_file *files;
    struct memory_file *opened[MEMORY_DISK_HANDLES];
    bool read_only[MEMORY_DISK_HANDLES];
    bool locked;
};

struct memory_disk *memory_disk_create(void);
void memory_disk_destroy(struct memory_disk **disk);

/* The content of a file, to look at or to change; NULL if there is no such file. */
uint8_t *memory_disk_bytes(struct memory_disk *disk, const char *name, uint64_t *bytes);

/* Make or replace a file. */
void memory_disk_put(struct memory_disk *disk, const char *name, const void *data,
                     uint64_t bytes);
bool memory_disk_remove(struct memory_disk *disk, const char *name);

/* An equal disk: same files, no limits, nothing open. */
struct memory_disk *memory_disk_copy(const struct memory_disk *disk);

#endif
