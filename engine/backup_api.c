/*
 * The public functions on backups: opens the directories and hands them on. Plain I/O is enough
 * here: nothing is in flight beside the one read or write that is waited for.
 */
#include <stdio.h>
#include <string.h>

#include "base/errno.h"
#include "engine/restore.h"

static int api_open(const char *path, struct warp_memory *memory, bool create,
                    const struct warp_backup_options *options, struct warp_disk *disk)
{
    char message[256] = "";
    int rc;

    rc = warp_disk_open_directory(path, memory, WARP_IO_BACKEND_PLAIN, create, disk,
                                  message, sizeof(message));
    if (rc < 0 && options->message != NULL) {
        (void)snprintf(options->message, options->message_bytes, "%s", message);
    }
    return rc < 0 ? warp_error_from_errno(rc) : 0;
}

static int api_begin(const char *path, const struct warp_backup_options *given,
                     struct warp_backup_options *options)
{
    int rc = warp_backup_options_complete(given, options);

    return rc == 0 && (path == NULL || path[0] == '\0') ? WARP_EINVAL : rc;
}

static bool api_info_is_sane(const struct warp_backup_info *info)
{
    return info == NULL || info->size >= offsetof(struct warp_backup_info, made_ms);
}

int warp_backup(struct warp *db, const char *directory,
                const struct warp_backup_options *given, struct warp_backup_info *info)
{
    struct warp_backup_options options;
    struct warp_disk disk;
    int rc;

    rc = api_begin(directory, given, &options);
    if (rc < 0 || !api_info_is_sane(info)) {
        return WARP_EINVAL;
    }
    rc = api_open(directory, &db->memory, true, &options, &disk);
    if (rc == 0) {
        rc = warp_backup_make(db, &disk, &options, info);
        warp_disk_close(&disk);
    }
    return rc;
}

int warp_restore(const char *directory, uint64_t number, const char *path,
                 const struct warp_backup_options *given, struct warp_backup_info *info)
{
    struct warp_backup_options options;
    struct warp_memory memory;
    struct warp_disk from, to;
    int rc;

    rc = api_begin(directory, given, &options);
    if (rc < 0 || path == NULL || path[0] == '\0' || !api_info_is_sane(info)) {
        return WARP_EINVAL;
    }
    rc = warp_memory_init(&memory, NULL);
    if (rc < 0) {
        return rc;
    }
    rc = api_open(directory, &memory, false, &options, &from);
    if (rc == 0) {
        rc = api_open(path, &memory, true, &options, &to);
        if (rc == 0) {
            rc = warp_restore_make(&from, number, &to, &memory, warp_clock_system(), 0,
                                   &options, info);
            warp_disk_close(&to);
        }
        warp_disk_close(&from);
    }
    warp_memory_fini(&memory);
    return rc;
}

int warp_backup_list(const char *directory, warp_backup_visitor visit, void *context,
                     const struct warp_backup_options *given)
{
    struct warp_backup_options options;
    struct warp_memory memory;
    struct warp_disk disk;
    int rc;

    rc = api_begin(directory, given, &options);
    if (rc < 0 || visit == NULL) {
        return WARP_EINVAL;
    }
    rc = warp_memory_init(&memory, NULL);
    if (rc < 0) {
        return rc;
    }
    rc = api_open(directory, &memory, false, &options, &disk);
    if (rc == 0) {
        rc = warp_restore_list(&disk, &memory, visit, context, &options);
        warp_disk_close(&disk);
    }
    warp_memory_fini(&memory);
    return rc;
}

int warp_backup_verify(const char *directory, uint64_t number,
                       const struct warp_backup_options *given)
{
    struct warp_backup_options options;
    struct warp_memory memory;
    struct warp_disk disk;
    int rc;

    rc = api_begin(directory, given, &options);
    if (rc == 0) {
        rc = warp_memory_init(&memory, NULL);
    }
    if (rc < 0) {
        return rc;
    }
    rc = api_open(directory, &memory, false, &options, &disk);
    if (rc == 0) {
        rc = warp_restore_verify(&disk, number, &memory, warp_clock_system(), &options);
        warp_disk_close(&disk);
    }
    warp_memory_fini(&memory);
    return rc;
}

int warp_backup_delete(const char *directory, uint64_t number,
                       const struct warp_backup_options *given)
{
    struct warp_backup_options options;
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_pool pool;
    int rc;

    rc = api_begin(directory, given, &options);
    if (rc == 0) {
        rc = warp_memory_init(&memory, NULL);
    }
    if (rc < 0) {
        return rc;
    }
    rc = api_open(directory, &memory, false, &options, &disk);
    if (rc == 0) {
        rc = warp_pool_open(&pool, &disk, &memory, true);
        if (rc == 0) {
            rc = warp_pool_delete(&pool, number);
            warp_pool_close(&pool);
        }
        if (rc < 0 && options.message != NULL) {
            (void)snprintf(options.message, options.message_bytes, "%s", pool.message);
        }
        warp_disk_close(&disk);
    }
    warp_memory_fini(&memory);
    return rc;
}
