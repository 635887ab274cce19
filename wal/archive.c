/*
 * The names of archive files, and what a directory has of them. The directory is listed
 * until there is nothing half-made left to remove, because a list has a bounded memory of
 * what it met, and then twice more: to count the files, and to take their numbers down.
 */
#include "wal/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/errno.h"

#define ARCHIVE_LIST_TRIES 8u /* somebody else changes the directory: give up in the end */

void warp_archive_name(uint32_t number, char out[WARP_ARCHIVE_NAME_BYTES])
{
    warp_assert(number < WARP_PLACE_FILES_MAX);
    snprintf(out, WARP_ARCHIVE_NAME_BYTES, "archive-%016x.warp", (unsigned)number);
}

void warp_archive_name_aside(uint32_t number, char out[WARP_ARCHIVE_NAME_BYTES])
{
    warp_assert(number < WARP_PLACE_FILES_MAX);
    snprintf(out, WARP_ARCHIVE_NAME_BYTES, "archive-%016x.new", (unsigned)number);
}

/* Whether the name is one of ours; only the exact form that is written is. */
static bool archive_parse_name(const char *name, uint32_t *number, bool *aside)
{
    char again[WARP_ARCHIVE_NAME_BYTES];
    unsigned long long value;

    if (strncmp(name, "archive-", 8) != 0) {
        return false;
    }
    value = strtoull(name + 8, NULL, 16);
    if (value >= WARP_PLACE_FILES_MAX) {
        return false;
    }
    *number = (uint32_t)value;
    warp_archive_name(*number, again);
    if (strcmp(again, name) == 0) {
        *aside = false;
        return true;
    }
    warp_archive_name_aside(*number, again);
    *aside = true;
    return strcmp(again, name) == 0;
}

struct archive_list {
    uint32_t whole_count;
    uint32_t *numbers; /* NULL: only count */
    uint32_t capacity;
    uint32_t aside_count;
    uint32_t aside[16]; /* the first of the half-made ones */
};

static int archive_list_visit(void *context, const char *name, uint64_t bytes)
{
    struct archive_list *list = context;
    uint32_t number;
    bool aside;

    (void)bytes;
    if (!archive_parse_name(name, &number, &aside)) {
        return 0;
    }
    if (aside) {
        if (list->aside_count < sizeof(list->aside) / sizeof(list->aside[0])) {
            list->aside[list->aside_count++] = number;
        }
        return 0;
    }
    if (list->numbers != NULL && list->whole_count < list->capacity) {
        list->numbers[list->whole_count] = number;
    }
    list->whole_count++;
    return 0;
}

static int archive_list(const struct warp_disk *disk, struct archive_list *list)
{
    list->whole_count = 0;
    list->aside_count = 0;
    return warp_error_from_errno(disk->ops->list(disk->context, archive_list_visit, list));
}

/* List, remove what is half-made, and list again until nothing is. */
static int archive_tidy(const struct warp_disk *disk, bool read_only,
                        struct archive_list *list)
{
    char name[WARP_ARCHIVE_NAME_BYTES];
    uint32_t i;
    int rc;

    for (;;) {
        rc = archive_list(disk, list);
        if (rc < 0 || list->aside_count == 0 || read_only) {
            return rc;
        }
        for (i = 0; i < list->aside_count; i++) {
            warp_archive_name_aside(list->aside[i], name);
            rc = warp_error_from_errno(disk->ops->unlink(disk->context, name));
            if (rc < 0) {
                return rc;
            }
        }
    }
}

static int archive_compare(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a;
    uint32_t second = *(const uint32_t *)b;

    return first < second ? -1 : first > second;
}

int warp_archive_find(const struct warp_disk *disk, struct warp_memory *memory,
                      bool read_only, uint32_t **numbers, uint32_t *count)
{
    struct archive_list list = {.numbers = NULL};
    uint32_t tries;
    int rc;

    rc = archive_tidy(disk, read_only, &list);
    for (tries = 0; rc == 0 && tries < ARCHIVE_LIST_TRIES; tries++) {
        if (list.whole_count == 0) {
            *numbers = NULL;
            *count = 0;
            return 0;
        }
        list.capacity = list.whole_count;
        list.numbers = warp_memory_reserve(memory, list.capacity * sizeof(uint32_t), 0);
        if (list.numbers == NULL) {
            return WARP_ENOMEM;
        }
        rc = archive_list(disk, &list);
        if (rc == 0 && list.whole_count == list.capacity) {
            qsort(list.numbers, list.capacity, sizeof(uint32_t), archive_compare);
            *numbers = list.numbers;
            *count = list.capacity;
            return 0;
        }
        warp_memory_release(memory, list.numbers, list.capacity * sizeof(uint32_t));
        list.numbers = NULL;
    }
    return rc < 0 ? rc : WARP_EBUSY;
}
