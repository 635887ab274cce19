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

/* A directory of backups that is not a database's business: memory and disk of the call's own. */
struct api_pool {
    struct warp_backup_options options;
    struct warp_memory memory;
    struct warp_disk disk;
};

/* 0: end it with api_leave(). */
static int api_enter(const char *directory, const struct warp_backup_options *given,
                     struct api_pool *api)
{
    int rc = api_begin(directory, given, &api->options);

    rc = rc == 0 ? warp_memory_init(&api->memory, NULL) : rc;
    if (rc < 0) {
        return rc;
    }
    rc = api_open(directory, &api->memory, false, &api->options, &api->disk);
    if (rc < 0) {
        warp_memory_fini(&api->memory);
    }
    return rc;
}

static void api_leave(struct api_pool *api)
{
    warp_disk_close(&api->disk);
    warp_memory_fini(&api->memory);
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
    struct api_pool api;
    struct warp_disk to;
    int rc;

    if (path == NULL || path[0] == '\0' || !api_info_is_sane(info)) {
        return WARP_EINVAL;
    }
    rc = api_enter(directory, given, &api);
    if (rc < 0) {
        return rc;
    }
    rc = api_open(path, &api.memory, true, &api.options, &to);
    if (rc == 0) {
        rc = warp_restore_make(&api.disk, number, &to, &api.memory, warp_clock_system(), 0,
                               &api.options, info);
        warp_disk_close(&to);
    }
    api_leave(&api);
    return rc;
}

int warp_backup_list(const char *directory, warp_backup_visitor visit, void *context,
                     const struct warp_backup_options *given)
{
    struct api_pool api;
    int rc = visit == NULL ? WARP_EINVAL : api_enter(directory, given, &api);

    if (rc == 0) {
        rc = warp_restore_list(&api.disk, &api.memory, visit, context, &api.options);
        api_leave(&api);
    }
    return rc;
}

int warp_backup_verify(const char *directory, uint64_t number,
                       const struct warp_backup_options *given)
{
    struct api_pool api;
    int rc = api_enter(directory, given, &api);

    if (rc == 0) {
        rc = warp_restore_verify(&api.disk, number, &api.memory, warp_clock_system(),
                                 &api.options);
        api_leave(&api);
    }
    return rc;
}

int warp_backup_delete(const char *directory, uint64_t number,
                       const struct warp_backup_options *given)
{
    struct api_pool api;
    struct warp_pool pool;
    int rc = api_enter(directory, given, &api);

    if (rc < 0) {
        return rc;
    }
    rc = warp_pool_open(&pool, &api.disk, &api.memory, true);
    if (rc == 0) {
        rc = warp_pool_delete(&pool, number);
        warp_pool_close(&pool);
    }
    if (rc < 0 && api.options.message != NULL) {
        (void)snprintf(api.options.message, api.options.message_bytes, "%s", pool.message);
    }
    api_leave(&api);
    return rc;
}
