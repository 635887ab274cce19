#include "base/io_fault.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/test.h"

struct fixture {
    struct warp_memory memory;
    struct warp_disk real;
    struct warp_fault_disk fault;
};

static void fixture_init(struct fixture *f)
{
    check_int(warp_memory_init(&f->memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(test_directory(), &f->memory, WARP_IO_BACKEND_PLAIN,
                                       false, &f->real, NULL, 0),
              ==, 0);
    warp_fault_init(&f->fault, &f->real, &f->memory);
}

static void fixture_fini(struct fixture *f)
{
    warp_fault_fini(&f->fault);
    warp_disk_close(&f->real);
    warp_memory_fini(&f->memory);
}

#define CALL(fixture, function, ...)                                                       \
    ((fixture)->fault.disk.ops->function((fixture)->fault.disk.context, ##__VA_ARGS__))

/* A small program; its first error, or 0. */
static int program(struct fixture *f)
{
    int32_t file = CALL(f, open, "a", WARP_FILE_CREATE);
    int64_t rc;

    if (file < 0) {
        return file;
    }
    rc = CALL(f, write, file, "hello", 5, 0, false);
    if (rc >= 0) {
        rc = CALL(f, sync, file);
    }
    CALL(f, close, file);
    if (rc >= 0) {
        rc = CALL(f, rename, "a", "b");
    }
    if (rc >= 0) {
        rc = CALL(f, sync_directory);
    }
    return (int)rc;
}

WARP_TEST(io_fault, walking_n_upward_fails_every_operation_once)
{
    struct fixture f;
    uint64_t n = 0;

    fixture_init(&f);
    for (;; n++) {
        int rc;

        warp_fault_plan(&f.fault, WARP_FAULT_ALL, n, -EIO, false);
        rc = program(&f);
        if (rc == 0) {
            check_u64(warp_fault_failed(&f.fault), ==, 0);
            break;
        }
        check_int(rc, ==, -EIO);
        check_u64(warp_fault_failed(&f.fault), ==, 1);
    }
    check_u64(n, ==, 5);
    check_u64(warp_fault_selected(&f.fault), ==, 5);
    check_u64(warp_fault_count(&f.fault, WARP_FAULT_OPEN), ==, 6);
    fixture_fini(&f);
}

WARP_TEST(io_fault, a_full_disk_stays_full_until_told_otherwise)
{
    struct fixture f;
    char byte = 0;
    int32_t file;

    fixture_init(&f);
    file = CALL(&f, open, "a", WARP_FILE_CREATE);
    warp_fault_plan(&f.fault, 1u << WARP_FAULT_WRITE | 1u << WARP_FAULT_ALLOCATE, 1,
                    -ENOSPC, true);
    check_int(CALL(&f, write, file, "x", 1, 0, false), ==, 1);
    check_int(CALL(&f, write, file, "x", 1, 0, true), ==, -ENOSPC);
    check_int(CALL(&f, allocate, file, 4096), ==, -ENOSPC);
    check_int(CALL(&f, sync, file), ==, 0);
    check_int(CALL(&f, read, file, &byte, 1, 0), ==, 1);
    warp_fault_set_free_bytes(&f.fault, 10);
    check_int(CALL(&f, free_bytes), ==, 10);
    warp_fault_plan_none(&f.fault);
    warp_fault_set_free_bytes(&f.fault, -1);
    check_int(CALL(&f, write, file, "x", 1, 0, true), ==, 1);
    check_int(CALL(&f, free_bytes), >, 10);
    CALL(&f, close, file);
    fixture_fini(&f);
}

WARP_TEST(io_fault, requests_of_a_queue_fail_and_tear)
{
    struct warp_io_request requests[3];
    struct warp_io_request *pointers[3];
    struct warp_io_request *done[3];
    static char data[4096], back[4096];
    struct fixture f;
    void *queue = NULL;
    uint32_t reaped = 0;
    int32_t file;

    fixture_init(&f);
    memset(data, 'x', sizeof(data));
    memset(back, 0, sizeof(back));
    file = CALL(&f, open, "a", WARP_FILE_CREATE);
    check_int(CALL(&f, queue_create, 3, &queue), ==, 0);
    for (uint32_t index = 0; index < 3; index++) {
        requests[index] = (struct warp_io_request){.op = WARP_IO_WRITE_DURABLE,
                                                   .file = file,
                                                   .buffer = data,
                                                   .bytes = sizeof(data),
                                                   .offset = index * sizeof(data)};
        pointers[index] = &requests[index];
    }
    warp_fault_plan(&f.fault, 1u << WARP_FAULT_WRITE, 2, -EIO, false);
    warp_fault_set_half(&f.fault, true);
    check_u64(CALL(&f, submit, queue, pointers, 3), ==, 3);
    while (reaped < 3) {
        reaped += CALL(&f, reap, queue, done, 3, UINT64_MAX);
    }
    check_int(requests[0].result, ==, 4096);
    check_int(requests[1].result, ==, 4096);
    check_int(requests[2].result, ==, -EIO);
    check_int(CALL(&f, size, file), ==, 2 * 4096 + 2048);
    CALL(&f, queue_destroy, &queue);
    CALL(&f, close, file);
    fixture_fini(&f);
}
