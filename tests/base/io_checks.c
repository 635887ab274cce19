#include "tests/base/io_checks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/random.h"
#include "base/thread.h"
#include "tests/lib/test.h"

struct fixture {
    struct warp_memory memory;
    struct warp_disk disk;
    const char *path;
};

static bool fixture_init(struct fixture *fixture, uint32_t backend)
{
    char message[256] = "";
    int rc;

    memset(fixture, 0, sizeof(*fixture));
    fixture->path = test_directory();
    check_int(warp_memory_init(&fixture->memory, NULL), ==, 0);
    rc = warp_disk_open_directory(fixture->path, &fixture->memory, backend, false,
                                  &fixture->disk, message, sizeof(message));
    if (rc < 0 && backend == WARP_IO_BACKEND_URING && (rc == -EPERM || rc == -ENOSYS)) {
        test_skip("%s", message);
        return false;
    }
    return check_int(rc, ==, 0);
}

static void fixture_fini(struct fixture *fixture)
{
    warp_disk_close(&fixture->disk);
    check(fixture->disk.ops == NULL);
    check_u64(warp_memory_bytes(&fixture->memory), ==, 0);
    warp_memory_fini(&fixture->memory);
}

#define CALL(fixture, function, ...)                                                       \
    ((fixture)->disk.ops->function((fixture)->disk.context, ##__VA_ARGS__))

void io_check_write_and_read_back(uint32_t backend)
{
    struct fixture f;
    static char data[100000], back[100000];
    struct warp_random random;
    int32_t file;

    if (!fixture_init(&f, backend)) {
        return;
    }
    check_str(CALL(&f, name), backend == WARP_IO_BACKEND_PLAIN ? "plain" : "io_uring");
    warp_random_init(&random, test_seed());
    for (size_t index = 0; index < sizeof(data); index++) {
        data[index] = (char)warp_random_next(&random);
    }
    file = CALL(&f, open, "a", WARP_FILE_CREATE);
    check_int(file, >=, 0);
    check(!CALL(&f, is_direct, file));
    check_u64(CALL(&f, block_bytes, file), ==, 512);
    check_int(CALL(&f, write, file, data, sizeof(data), 0, false), ==, sizeof(data));
    check_int(CALL(&f, write, file, data, 1000, 50000, true), ==, 1000);
    memcpy(data + 50000, data, 1000);
    check_int(CALL(&f, sync, file), ==, 0);
    check_int(CALL(&f, size, file), ==, sizeof(data));
    check_int(CALL(&f, read, file, back, sizeof(back), 0), ==, sizeof(back));
    check_bytes(back, sizeof(back), data, sizeof(data));

    /* Short at the end of the file, and nothing behind it. */
    check_int(CALL(&f, read, file, back, 1000, sizeof(data) - 10), ==, 10);
    check_bytes(back, 10, data + sizeof(data) - 10, 10);
    check_int(CALL(&f, read, file, back, 1000, sizeof(data)), ==, 0);
    check_int(CALL(&f, read, file, back, 1000, 10000000), ==, 0);

    /* Reserved space reads as zeros, what was there stays. */
    check_int(CALL(&f, allocate, file, 300000), ==, 0);
    check_int(CALL(&f, size, file), ==, 300000);
    check_int(CALL(&f, read, file, back, 1000, 250000), ==, 1000);
    for (int index = 0; index < 1000; index++) {
        if (!check_int(back[index], ==, 0)) {
            break;
        }
    }
    check_int(CALL(&f, read, file, back, sizeof(back), 0), ==, sizeof(back));
    check_bytes(back, sizeof(back), data, sizeof(data));
    check_int(CALL(&f, allocate, file, 10), ==, 0);
    check_int(CALL(&f, size, file), ==, 300000);
    check_int(CALL(&f, truncate, file, 5), ==, 0);
    check_int(CALL(&f, size, file), ==, 5);
    CALL(&f, close, file);

    file = CALL(&f, open, "a", WARP_FILE_READ_ONLY);
    check_int(file, >=, 0);
    check_int(CALL(&f, read, file, back, 100, 0), ==, 5);
    check_int(CALL(&f, write, file, data, 1, 0, false), ==, -EBADF);
    CALL(&f, close, file);
    check_int(CALL(&f, free_bytes), >, 0);
    fixture_fini(&f);
}

struct seen {
    unsigned count;
    uint64_t bytes;
    bool stop;
};

static int see(void *context, const char *name, uint64_t bytes)
{
    struct seen *seen = context;

    check(name[0] == 'a' || name[0] == 'b');
    seen->count++;
    seen->bytes += bytes;
    return seen->stop ? 77 : 0;
}

void io_check_names(uint32_t backend)
{
    struct seen seen = {0, 0, false};
    char path[512], message[256] = "";
    struct warp_disk other = {NULL, NULL};
    struct fixture f;
    int32_t file;

    if (!fixture_init(&f, backend)) {
        return;
    }
    check_int(CALL(&f, open, "a", 0), ==, -ENOENT);
    file = CALL(&f, open, "a", WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE);
    check_int(file, >=, 0);
    check_int(CALL(&f, write, file, "xyz", 3, 0, false), ==, 3);
    CALL(&f, close, file);
    check_int(CALL(&f, open, "a", WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE), ==, -EEXIST);
    file = CALL(&f, open, "b", WARP_FILE_CREATE);
    check_int(file, >=, 0);
    CALL(&f, close, file);
    snprintf(path, sizeof(path), "%s/directory", f.path);
    check_int(mkdir(path, 0700), ==, 0);
    check_int(CALL(&f, open, "directory", 0), <, 0);

    check_int(CALL(&f, list, see, &seen), ==, 0);
    check_u64(seen.count, ==, 2);
    check_u64(seen.bytes, ==, 3);
    seen.stop = true;
    check_int(CALL(&f, list, see, &seen), ==, 77);
    check_u64(seen.count, ==, 3);

    check_int(CALL(&f, rename, "a", "b"), ==, 0);
    check_int(CALL(&f, sync_directory), ==, 0);
    check_int(CALL(&f, rename, "a", "c"), ==, -ENOENT);
    check_int(CALL(&f, unlink, "b"), ==, 0);
    check_int(CALL(&f, unlink, "b"), ==, -ENOENT);
    seen = (struct seen){0, 0, false};
    check_int(CALL(&f, list, see, &seen), ==, 0);
    check_u64(seen.count, ==, 0);

    /* The directory itself. */
    snprintf(path, sizeof(path), "%s/new", f.path);
    check_int(warp_disk_open_directory(path, &f.memory, backend, false, &other, message,
                                       sizeof(message)),
              ==, -ENOENT);
    check(strstr(message, path) != NULL);
    check(other.ops == NULL);
    check_int(warp_disk_open_directory(path, &f.memory, backend, true, &other, NULL, 0), ==,
              0);
    warp_disk_close(&other);
    file = CALL(&f, open, "plain-file", WARP_FILE_CREATE);
    CALL(&f, close, file);
    snprintf(path, sizeof(path), "%s/plain-file", f.path);
    check_int(warp_disk_open_directory(path, &f.memory, backend, true, &other, message,
                                       sizeof(message)),
              ==, -ENOTDIR);
    check_int(warp_disk_open_directory(path, &f.memory, 3, true, &other, NULL, 0), ==,
              -EINVAL);
    fixture_fini(&f);
}

void io_check_lock(uint32_t backend)
{
    struct warp_disk second = {NULL, NULL};
    char holder[200] = "";
    char expected[64];
    struct fixture f;
    int status = 0;
    pid_t child;

    if (!fixture_init(&f, backend)) {
        return;
    }
    check_int(warp_disk_open_directory(f.path, &f.memory, backend, false, &second, NULL, 0),
              ==, 0);
    check_int(CALL(&f, lock, "LOCK", false, holder, sizeof(holder)), ==, 0);
    check_str(holder, "");

    /* The same process. */
    check_int(second.ops->lock(second.context, "LOCK", false, holder, sizeof(holder)), ==,
              -EWOULDBLOCK);
    snprintf(expected, sizeof(expected), "pid %ld (", (long)getpid());
    check(strncmp(holder, expected, strlen(expected)) == 0);
    check(strstr(holder, ") since 2") != NULL);
    check_int(second.ops->lock(second.context, "LOCK", true, holder, 8), ==, -EWOULDBLOCK);
    check_u64(strlen(holder), ==, 7);

    /* Another process. */
    child = fork();
    if (child == 0) {
        struct warp_memory memory;
        struct warp_disk disk;

        warp_memory_init(&memory, NULL);
        if (warp_disk_open_directory(f.path, &memory, WARP_IO_BACKEND_PLAIN, false, &disk,
                                     NULL, 0) != 0) {
            _exit(2);
        }
        _exit(disk.ops->lock(disk.context, "LOCK", false, NULL, 0) == -EWOULDBLOCK ? 0 : 1);
    }
    check_int(waitpid(child, &status, 0), ==, child);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* Readers share, and keep a writer out. */
    CALL(&f, unlock);
    check_int(CALL(&f, lock, "LOCK", true, holder, sizeof(holder)), ==, 0);
    check_int(second.ops->lock(second.context, "LOCK", true, holder, sizeof(holder)), ==,
              0);
    second.ops->unlock(second.context);
    check_int(second.ops->lock(second.context, "LOCK", false, holder, sizeof(holder)), ==,
              -EWOULDBLOCK);
    check(strstr(holder, "read only") != NULL);
    CALL(&f, unlock);
    CALL(&f, unlock); /* twice is nothing */

    /* Closing the disk gives the lock up. */
    check_int(second.ops->lock(second.context, "LOCK", false, holder, sizeof(holder)), ==,
              0);
    warp_disk_close(&second);
    check_int(CALL(&f, lock, "LOCK", false, holder, sizeof(holder)), ==, 0);
    fixture_fini(&f);
}

#define DEPTH  32u
#define BLOCKS 500u
#define BLOCK  4096u

/* Runs requests through a queue, as many at a time as it takes. */
static void run_all(struct fixture *f, void *queue, struct warp_io_request *requests,
                    uint32_t count)
{
    struct warp_io_request *pointers[BLOCKS + 1];
    uint32_t submitted = 0;
    uint32_t reaped = 0;

    for (uint32_t index = 0; index < count; index++) {
        pointers[index] = &requests[index];
    }
    while (reaped < count) {
        struct warp_io_request *done[7];
        uint32_t got;

        submitted += CALL(f, submit, queue, pointers + submitted, count - submitted);
        check_u64(submitted - reaped, <=, DEPTH);
        got = CALL(f, reap, queue, done, 7, UINT64_MAX);
        for (uint32_t index = 0; index < got; index++) {
            check(done[index]->user == &requests[(uint32_t)(done[index] - requests)]);
            done[index]->user = NULL; /* each comes back once */
        }
        reaped += got;
    }
    check_u64(submitted, ==, count);
}

void io_check_queue_keeps_many_in_flight(uint32_t backend)
{
    static struct warp_io_request requests[BLOCKS + 1];
    static char data[BLOCKS * BLOCK], back[BLOCKS * BLOCK];
    struct warp_io_request *done[1];
    struct warp_random random;
    struct fixture f;
    void *queue = NULL;
    int32_t file;

    if (!fixture_init(&f, backend)) {
        return;
    }
    warp_random_init(&random, test_seed());
    for (size_t index = 0; index < sizeof(data); index++) {
        data[index] = (char)warp_random_next(&random);
    }
    file = CALL(&f, open, "a", WARP_FILE_CREATE);
    check_int(CALL(&f, queue_create, DEPTH, &queue), ==, 0);
    for (uint32_t index = 0; index < BLOCKS; index++) {
        requests[index] = (struct warp_io_request){
            .op = index % 16 == 0 ? WARP_IO_WRITE_DURABLE : WARP_IO_WRITE,
            .file = file,
            .buffer = data + index * BLOCK,
            .bytes = BLOCK,
            .offset = index * BLOCK,
            .result = -1,
            .user = &requests[index],
        };
    }
    requests[BLOCKS] = (struct warp_io_request){
        .op = WARP_IO_SYNC, .file = file, .result = -1, .user = &requests[BLOCKS]};
    run_all(&f, queue, requests, BLOCKS + 1);
    for (uint32_t index = 0; index < BLOCKS; index++) {
        check_int(requests[index].result, ==, BLOCK);
    }
    check_int(requests[BLOCKS].result, ==, 0);

    for (uint32_t index = 0; index < BLOCKS; index++) {
        requests[index].op = WARP_IO_READ;
        requests[index].buffer = back + index * BLOCK;
        requests[index].user = &requests[index];
    }
    /* One reaches over the end, one is behind it. */
    requests[BLOCKS].op = WARP_IO_READ;
    requests[BLOCKS].buffer = back;
    requests[BLOCKS].bytes = BLOCK;
    requests[BLOCKS].offset = sizeof(data) + 5;
    requests[BLOCKS].user = &requests[BLOCKS];
    requests[BLOCKS - 1].offset += 100;
    run_all(&f, queue, requests, BLOCKS + 1);
    for (uint32_t index = 0; index < BLOCKS - 1; index++) {
        check_int(requests[index].result, ==, BLOCK);
    }
    check_int(requests[BLOCKS].result, ==, 0);
    check_int(requests[BLOCKS - 1].result, ==, BLOCK - 100);
    check_bytes(back, sizeof(back) - BLOCK, data, sizeof(data) - BLOCK);
    check_bytes(back + sizeof(back) - BLOCK, BLOCK - 100, data + sizeof(data) - BLOCK + 100,
                BLOCK - 100);
    check_u64(CALL(&f, reap, queue, done, 1, 0), ==, 0);

    /* Destroy waits for what is in flight. */
    for (uint32_t index = 0; index < DEPTH; index++) {
        struct warp_io_request *one = &requests[index];

        check_u64(CALL(&f, submit, queue, &one, 1), ==, 1);
    }
    CALL(&f, queue_destroy, &queue);
    check(queue == NULL);
    CALL(&f, close, file);
    fixture_fini(&f);
}

void io_check_queue_errors(uint32_t backend)
{
    char buffer[16] = "";
    struct warp_io_request request = {
        .op = WARP_IO_READ, .file = 12345, .buffer = buffer, .bytes = 16};
    struct warp_io_request *one = &request;
    struct warp_io_request *done[2];
    struct fixture f;
    void *queue = NULL;
    int32_t file;

    if (!fixture_init(&f, backend)) {
        return;
    }
    check_int(CALL(&f, queue_create, 4, &queue), ==, 0);
    check_u64(CALL(&f, submit, queue, &one, 1), ==, 1);
    check_u64(CALL(&f, reap, queue, done, 2, UINT64_MAX), ==, 1);
    check_int(request.result, ==, -EBADF);
    file = CALL(&f, open, "a", WARP_FILE_CREATE);
    CALL(&f, close, file);
    file = CALL(&f, open, "a", WARP_FILE_READ_ONLY);
    request = (struct warp_io_request){
        .op = WARP_IO_WRITE, .file = file, .buffer = buffer, .bytes = 16};
    check_u64(CALL(&f, submit, queue, &one, 1), ==, 1);
    check_u64(CALL(&f, reap, queue, done, 2, UINT64_MAX), ==, 1);
    check_int(request.result, ==, -EBADF);
    CALL(&f, close, file);
    CALL(&f, queue_destroy, &queue);
    fixture_fini(&f);
}

/* With a limit on the size of files the kernel writes up to it and says how much that was;
 * the rest is refused. That is an error, never a short result. */
static int write_into_the_limit(const char *path, uint32_t backend)
{
    static char data[65536];
    struct rlimit limit = {10000, 10000};
    struct warp_io_request request = {
        .op = WARP_IO_WRITE, .buffer = data, .bytes = sizeof(data)};
    struct warp_io_request *one = &request;
    struct warp_io_request *done[1];
    struct warp_memory memory;
    struct warp_disk disk;
    void *queue = NULL;

    signal(SIGXFSZ, SIG_IGN);
    warp_memory_init(&memory, NULL);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        warp_disk_open_directory(path, &memory, backend, false, &disk, NULL, 0) != 0 ||
        disk.ops->queue_create(disk.context, 4, &queue) != 0) {
        return 2;
    }
    request.file = disk.ops->open(disk.context, "a", WARP_FILE_CREATE);
    if (request.file < 0) {
        return 3;
    }
    if (disk.ops->write(disk.context, request.file, data, sizeof(data), 0, false) !=
            -EFBIG ||
        disk.ops->size(disk.context, request.file) != 10000) {
        return 4;
    }
    if (disk.ops->truncate(disk.context, request.file, 0) != 0 ||
        disk.ops->submit(disk.context, queue, &one, 1) != 1) {
        return 5;
    }
    while (disk.ops->reap(disk.context, queue, done, 1, UINT64_MAX) == 0) {
    }
    if (request.result != -EFBIG || disk.ops->size(disk.context, request.file) != 10000) {
        return 6;
    }
    disk.ops->queue_destroy(disk.context, &queue);
    disk.ops->close(disk.context, request.file);
    warp_disk_close(&disk);
    return 0;
}

void io_check_no_short_results(uint32_t backend)
{
    struct fixture f;
    int status = 0;
    pid_t child;

    if (!fixture_init(&f, backend)) {
        return;
    }
    child = fork();
    if (child == 0) {
        _exit(write_into_the_limit(f.path, backend));
    }
    check_int(waitpid(child, &status, 0), ==, child);
    check(WIFEXITED(status));
    check_int(WEXITSTATUS(status), ==, 0);
    fixture_fini(&f);
}

struct hands {
    struct fixture *fixture;
    void *queue;
    struct warp_io_request requests[4];
    char text[4];
};

static void hands_main(void *context)
{
    struct hands *hands = context;

    check_int(CALL(hands->fixture, queue_create, 8, &hands->queue), ==, 0);
    for (int index = 0; index < 4; index++) {
        struct warp_io_request *one = &hands->requests[index];

        check_u64(CALL(hands->fixture, submit, hands->queue, &one, 1), ==, 1);
    }
}

struct interrupter {
    struct fixture *fixture;
    void *queue;
};

static void interrupter_main(void *context)
{
    struct interrupter *interrupter = context;

    usleep(5000);
    check_int(CALL(interrupter->fixture, queue_interrupt, interrupter->queue), ==, 0);
}

/* The thread that made a queue and submitted to it ends; another one goes on. */
void io_check_queue_changes_hands(uint32_t backend)
{
    struct warp_thread *thread = NULL;
    struct interrupter interrupter;
    struct warp_io_request *done[4];
    struct hands hands;
    struct fixture f;
    uint32_t reaped = 0;
    int32_t file;

    if (!fixture_init(&f, backend)) {
        return;
    }
    file = CALL(&f, open, "a", WARP_FILE_CREATE);
    memcpy(hands.text, "abcd", 4);
    hands.fixture = &f;
    hands.queue = NULL;
    for (int index = 0; index < 4; index++) {
        hands.requests[index] = (struct warp_io_request){.op = WARP_IO_WRITE_DURABLE,
                                                         .file = file,
                                                         .buffer = hands.text + index,
                                                         .bytes = 1,
                                                         .offset = (uint64_t)index};
    }
    check_int(warp_thread_start(&thread, &f.memory, "first", -1, hands_main, &hands), ==,
              0);
    warp_thread_join(&thread);
    while (reaped < 4) {
        uint32_t got = CALL(&f, reap, hands.queue, done, 4, UINT64_MAX);

        for (uint32_t index = 0; index < got; index++) {
            check_int(done[index]->result, ==, 1);
        }
        reaped += got;
    }
    check_int(CALL(&f, size, file), ==, 4);
    for (int round = 0; round < 3; round++) {
        interrupter = (struct interrupter){&f, hands.queue};
        check_int(warp_thread_start(&thread, &f.memory, "interrupter", -1, interrupter_main,
                                    &interrupter),
                  ==, 0);
        check_u64(CALL(&f, reap, hands.queue, done, 1, UINT64_MAX), ==, 0);
        warp_thread_join(&thread);
    }
    CALL(&f, queue_destroy, &hands.queue);
    CALL(&f, close, file);
    fixture_fini(&f);
}

void io_check_interrupt(uint32_t backend)
{
    const struct warp_clock *clock = warp_clock_system();
    struct warp_thread *thread = NULL;
    struct interrupter interrupter;
    struct warp_io_request *done[1];
    char text[] = "hello";
    struct warp_io_request request = {.op = WARP_IO_WRITE, .buffer = text, .bytes = 5};
    struct warp_io_request *one = &request;
    struct fixture f;
    void *queue = NULL;
    uint64_t before;

    if (!fixture_init(&f, backend)) {
        return;
    }
    check_int(CALL(&f, queue_create, 4, &queue), ==, 0);

    /* Time ends a wait. */
    before = warp_clock_ns(clock);
    do {
        check_u64(CALL(&f, reap, queue, done, 1, 5000000), ==, 0);
    } while (warp_clock_ns(clock) - before < 5000000);

    /* An interrupt from another thread does. */
    for (int round = 0; round < 20; round++) {
        interrupter = (struct interrupter){&f, queue};
        check_int(warp_thread_start(&thread, &f.memory, "interrupter", -1, interrupter_main,
                                    &interrupter),
                  ==, 0);
        check_u64(CALL(&f, reap, queue, done, 1, UINT64_MAX), ==, 0);
        warp_thread_join(&thread);
    }

    /* One that came before ends the next wait, and no other. */
    check_int(CALL(&f, queue_interrupt, queue), ==, 0);
    check_int(CALL(&f, queue_interrupt, queue), ==, 0);
    check_u64(CALL(&f, reap, queue, done, 1, UINT64_MAX), ==, 0);

    /* Requests still get through afterwards. */
    request.file = CALL(&f, open, "a", WARP_FILE_CREATE);
    request.user = &request;
    check_u64(CALL(&f, submit, queue, &one, 1), ==, 1);
    while (CALL(&f, reap, queue, done, 1, UINT64_MAX) == 0) {
    }
    check_int(request.result, ==, 5);
    CALL(&f, close, request.file);
    CALL(&f, queue_destroy, &queue);
    fixture_fini(&f);
}

void io_check_direct(uint32_t backend)
{
    struct warp_io_request request;
    struct warp_io_request *one = &request;
    struct warp_io_request *done[1];
    struct fixture f;
    char *data, *back;
    void *queue = NULL;
    int32_t file;
    uint32_t block;

    if (!fixture_init(&f, backend)) {
        return;
    }
    file = CALL(&f, open, "a", WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE | WARP_FILE_DIRECT);
    check_int(file, >=, 0);
    block = CALL(&f, block_bytes, file);
    check(block == 512 || block == 4096);
    data = aligned_alloc(4096, 65536);
    back = aligned_alloc(4096, 65536);
    if (data == NULL || back == NULL) {
        abort();
    }
    memset(data, 'd', 65536);
    memset(back, 0, 65536);
    check_int(CALL(&f, allocate, file, 131072), ==, 0);
    check_int(CALL(&f, write, file, data, 65536, 4096, true), ==, 65536);
    check_int(CALL(&f, read, file, back, 65536, 4096), ==, 65536);
    check_bytes(back, 65536, data, 65536);

    check_int(CALL(&f, queue_create, 4, &queue), ==, 0);
    memset(data, 'e', 65536);
    request = (struct warp_io_request){.op = WARP_IO_WRITE_DURABLE,
                                       .file = file,
                                       .buffer = data,
                                       .bytes = 65536,
                                       .offset = 0};
    check_u64(CALL(&f, submit, queue, &one, 1), ==, 1);
    check_u64(CALL(&f, reap, queue, done, 1, UINT64_MAX), ==, 1);
    check_int(request.result, ==, 65536);

    /* A read that meets the end inside a block is short, not an error. */
    check_int(CALL(&f, truncate, file, 10000), ==, 0);
    memset(back, 0, 65536);
    check_int(CALL(&f, read, file, back, 65536, 0), ==, 10000);
    check_bytes(back, 10000, data, 10000);
    memset(back, 0, 65536);
    request = (struct warp_io_request){
        .op = WARP_IO_READ, .file = file, .buffer = back, .bytes = 65536, .offset = 4096};
    check_u64(CALL(&f, submit, queue, &one, 1), ==, 1);
    check_u64(CALL(&f, reap, queue, done, 1, UINT64_MAX), ==, 1);
    check_int(request.result, ==, 10000 - 4096);
    check_bytes(back, 10000 - 4096, data, 10000 - 4096);
    CALL(&f, queue_destroy, &queue);
    CALL(&f, close, file);
    free(data);
    free(back);
    fixture_fini(&f);
}

void io_check_memory_failures(uint32_t backend)
{
    const char *path = test_directory();
    struct warp_memory memory;
    bool done = false;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    for (uint64_t calls = 0; calls < 20 && !done; calls++) {
        struct warp_disk disk = {NULL, NULL};
        void *queue = NULL;
        int rc;

        warp_memory_fail_after(&memory, calls);
        rc = warp_disk_open_directory(path, &memory, backend, false, &disk, NULL, 0);
        if (rc == 0) {
            rc = disk.ops->queue_create(disk.context, 8, &queue);
            if (rc == 0) {
                disk.ops->queue_destroy(disk.context, &queue);
                done = true;
            } else {
                check_int(rc, ==, -ENOMEM);
                check(queue == NULL);
            }
            warp_disk_close(&disk);
        } else if (rc == -EPERM || rc == -ENOSYS) {
            break; /* no io_uring here */
        } else {
            check_int(rc, ==, -ENOMEM);
            check(disk.ops == NULL);
        }
        check_u64(warp_memory_bytes(&memory), ==, 0);
    }
    warp_memory_fini(&memory);
}
