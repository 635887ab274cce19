/*
 * Which log and archive files there are. Names alone are looked at; a few thousand at most, so the
 * lists are sorted arrays.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/verify.h"
#include "wal/archive.h"

static int files_compare(const void *left, const void *right)
{
    const struct verify_file *a = left, *b = right;

    return (a->number > b->number) - (a->number < b->number);
}

struct verify_file *warp_verify_file(struct verify_files *files, uint64_t number)
{
    struct verify_file key = {.number = number};

    return files->count == 0 ? NULL
                             : bsearch(&key, files->files, files->count,
                                       sizeof(files->files[0]), files_compare);
}

static struct verify_file *files_append(struct verify_files *files, uint64_t number)
{
    if (files->count == files->capacity) {
        uint32_t capacity = files->capacity == 0 ? 64 : files->capacity * 2;
        struct verify_file *more = realloc(files->files, capacity * sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        files->files = more;
        files->capacity = capacity;
    }
    files->files[files->count] = (struct verify_file){.number = number};
    return &files->files[files->count++];
}

struct verify_file *warp_verify_file_add(struct verify *v, struct verify_files *files,
                                         uint64_t number)
{
    struct verify_file *file = warp_verify_file(files, number);

    (void)v;
    if (file == NULL) {
        if (files_append(files, number) == NULL) {
            return NULL;
        }
        qsort(files->files, files->count, sizeof(files->files[0]), files_compare);
        file = warp_verify_file(files, number);
    }
    return file;
}

/* "log-<16 hexadecimal digits>.warp" and their like. */
static bool files_number(const char *name, const char *prefix, uint64_t *number)
{
    size_t bytes = strlen(prefix), i;
    char digits[17];

    if (strncmp(name, prefix, bytes) != 0 || strlen(name) != bytes + 21 ||
        strcmp(name + bytes + 16, ".warp") != 0) {
        return false;
    }
    memcpy(digits, name + bytes, 16);
    digits[16] = '\0';
    for (i = 0; i < 16; i++) {
        if (strchr("0123456789abcdef", digits[i]) == NULL) {
            return false;
        }
    }
    *number = strtoull(digits, NULL, 16);
    return true;
}

static int files_visit(void *context, const char *name, uint64_t bytes)
{
    struct verify *v = context;
    struct verify_file *file = NULL;
    bool is_log, is_archive;
    uint64_t number = 0;

    is_log = files_number(name, "log-", &number);
    is_archive =
        !is_log && files_number(name, "archive-", &number) && number < WARP_PLACE_FILES_MAX;
    if (is_log || is_archive) {
        file = files_append(is_log ? &v->logs : &v->archives, number);
        if (file == NULL) {
            return -ENOMEM;
        }
        file->present = true;
    }
    if (file != NULL || files_number(name, "checkpoint-", &number)) {
        v->meter.total += bytes;
    }
    return 0;
}

int warp_verify_list(struct verify *v)
{
    int rc = v->disk.ops->list(v->disk.context, files_visit, v);

    if (rc < 0) {
        return rc == -ENOMEM ? WARP_ENOMEM : WARP_EIO;
    }
    if (v->logs.count > 1) {
        qsort(v->logs.files, v->logs.count, sizeof(v->logs.files[0]), files_compare);
    }
    if (v->archives.count > 1) {
        qsort(v->archives.files, v->archives.count, sizeof(v->archives.files[0]),
              files_compare);
    }
    return 0;
}

void warp_verify_forget(struct verify *v)
{
    free(v->logs.files);
    free(v->archives.files);
    free(v->unknown);
}
