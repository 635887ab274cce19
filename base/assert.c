/*
 * One function, kept away from its callers so that an assertion costs them a branch and no
 * more.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void warp_assert_broken(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
    fflush(stderr);
    abort();
}
