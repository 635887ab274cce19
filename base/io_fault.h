/*
 * base/io_fault.h - a disk that fails when it is told to.
 *
 * A proxy over another disk that counts operations by kind and answers the nth one with a
 * chosen errno, once or from then on. A test walks n upward until nothing fails any more,
 * and has then seen every error path (the method of SQLite's I/O error tests).
 *
 * Threads:   as the disk underneath; plan and the counters by any thread.
 * Lifetime:  embedded, the disk underneath must outlive it.
 * Units:     operations, numbered from 0 over all kinds that the plan selects.
 * Ordering:  counters are relaxed; concurrent operations get their numbers in some order.
 * Errors:    those of the plan. A failed operation does not reach the disk underneath, but
 *            a write with `half` set, which writes the first half of its bytes before it
 *            fails.
 * Cost:      one atomic add an operation.
 */
#ifndef BASE_IO_FAULT_H
#define BASE_IO_FAULT_H

#include <stdatomic.h>

#include "base/io.h"

enum warp_fault_kind {
    WARP_FAULT_OPEN,
    WARP_FAULT_SIZE,
    WARP_FAULT_ALLOCATE,
    WARP_FAULT_TRUNCATE,
    WARP_FAULT_READ,
    WARP_FAULT_WRITE, /* durable ones included */
    WARP_FAULT_SYNC,
    WARP_FAULT_RENAME,
    WARP_FAULT_UNLINK,
    WARP_FAULT_SYNC_DIRECTORY,
    WARP_FAULT_LIST,
    WARP_FAULT_LOCK,
    WARP_FAULT_QUEUE_CREATE,
    WARP_FAULT_KIND_COUNT
};
#define WARP_FAULT_ALL ((1u << WARP_FAULT_KIND_COUNT) - 1u)

/* Visible because it is embedded in tests. */
struct warp_fault_disk {
    struct warp_disk disk;  /* give &fault.disk to who wants a disk */
    struct warp_disk below; /* set by init */
    struct warp_memory *memory;

    /* Set by plan; relaxed, the numbers carry no data. */
    _Atomic uint32_t kinds;    /* bit mask of 1 << enum warp_fault_kind */
    _Atomic uint64_t fail_at;  /* the number that fails; UINT64_MAX: none */
    _Atomic int error;         /* -errno to answer */
    _Atomic bool persistent;   /* all later ones fail as well */
    _Atomic bool half;         /* a failing write writes its first half */
    _Atomic uint64_t selected; /* operations of the selected kinds since plan */
    _Atomic uint64_t failed;   /* how many were refused since plan */
    _Atomic uint64_t counts[WARP_FAULT_KIND_COUNT]; /* since init */
    _Atomic int64_t free_bytes;                     /* < 0: ask below */
};

void warp_fault_init(struct warp_fault_disk *fault, const struct warp_disk *below,
                     struct warp_memory *memory);
void warp_fault_fini(struct warp_fault_disk *fault);

/* Fail operation number n (from 0) of the kinds in the mask with -errno; starts counting
 * anew. */
void warp_fault_plan(struct warp_fault_disk *fault, uint32_t kinds, uint64_t n,
                     int negative_errno, bool persistent);
void warp_fault_plan_none(struct warp_fault_disk *fault);

/* Failing writes tear: their first half (rounded down to 512 bytes) reaches the disk. */
void warp_fault_set_half(struct warp_fault_disk *fault, bool half);

/* What free_bytes answers; < 0: the truth. */
void warp_fault_set_free_bytes(struct warp_fault_disk *fault, int64_t bytes);

/* Operations of the plan's kinds since plan; how many of them failed; one kind since
 * init. */
uint64_t warp_fault_selected(const struct warp_fault_disk *fault);
uint64_t warp_fault_failed(const struct warp_fault_disk *fault);
uint64_t warp_fault_count(const struct warp_fault_disk *fault, enum warp_fault_kind kind);

#endif
