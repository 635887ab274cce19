/*
 * base/errno.h - turns what the operating system says into what the caller is told.
 *
 * The disk answers with a negative errno, the library with a negative enum warp_error; this
 * is the one table between the two, so that a full disk is WARP_ENOSPC wherever it is met.
 *
 * Threads:   any.
 * Lifetime:  nothing is kept.
 * Units:     negative errno in, enum warp_error out.
 * Ordering:  none.
 * Errors:    what is not in the table is WARP_EIO: it came from a disk.
 * Cost:      a few compares, on failing paths only.
 */
#ifndef BASE_ERRNO_H
#define BASE_ERRNO_H

#include <errno.h>

#include "warp/warp.h"

/* Zero and positive values are no errors: they come back unchanged. */
static inline int warp_error_from_errno(int negative_errno)
{
    if (negative_errno >= 0) {
        return negative_errno;
    }
    switch (-negative_errno) {
    case ENOMEM:
        return WARP_ENOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return WARP_ENOSPC;
    case EACCES:
    case EPERM:
    case EROFS:
        return WARP_EPERM;
    case ENOTDIR:
        return WARP_ENOTDIR;
    case ENOENT:
        return WARP_ENOENT;
    case EEXIST:
        return WARP_EEXIST;
    case EWOULDBLOCK:
    case EBUSY:
        return WARP_EBUSY;
    case EMFILE:
    case ENFILE:
    case ENOSYS:
        return WARP_ESYSTEM;
    default: /* an int, not an enum: most of errno is no business of a storage engine */
        return WARP_EIO;
    }
}

#endif
