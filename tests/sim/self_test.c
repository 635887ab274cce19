/*
 * The simulated disk must itself be right: each test is one promise of its header.
 */
#include "tests/sim/self_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_disk.h"

static int failures;

#define expect(condition) expect_at((condition), #condition, __LINE__)

static void expect_at(bool condition, const char *text, int line)
{
    if (!condition && failures < 5) {
        fprintf(stderr, "tests/sim/self_test.c:%d: %s\n", line, text);
    }
    failures += !condition;
}

static const struct sim_disk_options plain_options = {
    .direct = false,
    .block_bytes = 512,
    .latency_ns_max = 1000,
    .stale_percent = 0,
    .keep_percent = 50,
    .tear_percent = 50,
    .capacity_bytes = 1 << 20,
    .wall_ms = 1000,
};

static void cut_power(struct sim_disk *disk)
{
    sim_disk_end_now(disk, SIM_POWER_CUT);
    sim_disk_restart(disk);
}

static void synced_bytes_stay_and_others_may_go(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    uint32_t old = 0, fresh = 0, mixed = 0;
    uint64_t seed;

    for (seed = 1; seed <= 200; seed++) {
        uint8_t a[2048], b[2048], back[2048];
        int32_t file;
        uint32_t i, sectors_new = 0;

        memset(a, 'a', sizeof(a));
        memset(b, 'b', sizeof(b));
        sim_disk_reset(disk, seed, &plain_options);
        file = ops->open(face->context, "f", WARP_FILE_CREATE);
        expect(ops->write(face->context, file, a, sizeof(a), 0, false) == sizeof(a));
        expect(ops->sync(face->context, file) == 0);
        expect(ops->sync_directory(face->context) == 0);
        expect(ops->write(face->context, file, b, sizeof(b), 0, false) == sizeof(b));
        expect(ops->read(face->context, file, back, sizeof(back), 0) == sizeof(back));
        expect(memcmp(back, b, sizeof(b)) == 0);
        cut_power(disk);
        file = ops->open(face->context, "f", 0);
        expect(file >= 0);
        expect(ops->read(face->context, file, back, sizeof(back), 0) == sizeof(back));
        for (i = 0; i < sizeof(back); i++) {
            expect(back[i] == back[i - i % SIM_SECTOR_BYTES]);
            sectors_new += i % SIM_SECTOR_BYTES == 0 && back[i] == 'b';
        }
        old += sectors_new == 0;
        fresh += sectors_new == 4;
        mixed += sectors_new != 0 && sectors_new != 4;
    }
    expect(old > 20 && fresh > 20 && mixed > 20);
}

static void durable_write_stays(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    uint64_t seed;

    for (seed = 1; seed <= 100; seed++) {
        uint8_t a[1024], b[512], back[1024];
        int32_t file;

        memset(a, 'a', sizeof(a));
        memset(b, 'b', sizeof(b));
        sim_disk_reset(disk, seed, &plain_options);
        file = face->ops->open(face->context, "f", WARP_FILE_CREATE);
        face->ops->sync_directory(face->context);
        /* The second is durable, the first under it must not come back over it. */
        face->ops->write(face->context, file, a, sizeof(a), 0, false);
        face->ops->write(face->context, file, b, sizeof(b), 0, true);
        cut_power(disk);
        file = face->ops->open(face->context, "f", 0);
        expect(face->ops->read(face->context, file, back, 512, 0) == 512);
        expect(memcmp(back, b, 512) == 0);
    }
}

static void names_are_old_or_new(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    uint32_t seen_old = 0, seen_new = 0;
    uint64_t seed;

    for (seed = 1; seed <= 200; seed++) {
        char back[4] = "";
        int32_t file;

        sim_disk_reset(disk, seed, &plain_options);
        file = ops->open(face->context, "x", WARP_FILE_CREATE);
        ops->write(face->context, file, "one", 3, 0, true);
        ops->sync_directory(face->context);
        file = ops->open(face->context, "x.new", WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE);
        ops->write(face->context, file, "two", 3, 0, true);
        expect(ops->rename(face->context, "x.new", "x") == 0);
        cut_power(disk);
        file = ops->open(face->context, "x", 0);
        expect(file >= 0);
        expect(ops->read(face->context, file, back, 3, 0) == 3);
        seen_old += strcmp(back, "one") == 0;
        seen_new += strcmp(back, "two") == 0;
    }
    expect(seen_old + seen_new == 200);
    expect(seen_old > 20 && seen_new > 20);

    sim_disk_reset(disk, 7, &plain_options);
    ops->open(face->context, "y", WARP_FILE_CREATE);
    ops->sync_directory(face->context);
    expect(ops->unlink(face->context, "y") == 0);
    expect(ops->open(face->context, "y", 0) == -ENOENT);
    ops->sync_directory(face->context);
    cut_power(disk);
    expect(ops->open(face->context, "y", 0) == -ENOENT);
}

static void queue_completes_in_any_order(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    struct sim_disk_options slow = plain_options;
    struct warp_io_request requests[4], *list[4], *out[4];
    uint8_t bytes[4][512];
    uint32_t reordered = 0, lost = 0, i;
    uint64_t seed;

    slow.latency_ns_max = 1000000000; /* so that nothing completes by itself */
    for (seed = 1; seed <= 50; seed++) {
        void *queue = NULL;
        int32_t file;
        uint32_t first;

        sim_disk_reset(disk, seed, &slow);
        file = ops->open(face->context, "f", WARP_FILE_CREATE);
        ops->sync_directory(face->context);
        expect(ops->queue_create(face->context, 3, &queue) == 0);
        for (i = 0; i < 4; i++) {
            memset(&requests[i], 0, sizeof(requests[i]));
            memset(bytes[i], 'a' + (int)i, sizeof(bytes[i]));
            requests[i].op = WARP_IO_WRITE_DURABLE;
            requests[i].file = file;
            requests[i].buffer = bytes[i];
            requests[i].bytes = 512;
            requests[i].offset = 512ull * i;
            list[i] = &requests[i];
        }
        expect(ops->submit(face->context, queue, list, 4) == 3);
        expect(ops->reap(face->context, queue, out, 4, 0) == 0);
        expect(ops->reap(face->context, queue, out, 4, UINT64_MAX) == 1);
        expect(out[0]->result == 512);
        first = (uint32_t)(out[0]->offset / 512);
        reordered += first != 0;
        sim_disk_end_now(disk, SIM_POWER_CUT);
        expect(sim_disk_counts(disk).in_flight_at_end == 2);
        expect(ops->reap(face->context, queue, out, 4, UINT64_MAX) == 1);
        expect(out[0]->result == -EIO);
        ops->queue_destroy(face->context, &queue);
        sim_disk_restart(disk);
        file = ops->open(face->context, "f", 0);
        for (i = 0; i < 3; i++) {
            uint8_t back[512] = {0};

            ops->read(face->context, file, back, 512, 512ull * i);
            if (i == first) {
                expect(memcmp(back, bytes[i], 512) == 0);
            }
            lost += back[0] != 'a' + (int)i;
        }
    }
    expect(reordered > 10);
    expect(lost > 10);
}

static void failed_sync_lies_afterwards(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    uint32_t lost = 0;
    uint64_t seed;

    for (seed = 1; seed <= 50; seed++) {
        char back[4] = "";
        int32_t file;

        sim_disk_reset(disk, seed, &plain_options);
        file = ops->open(face->context, "f", WARP_FILE_CREATE);
        ops->write(face->context, file, "old", 3, 0, true);
        ops->sync_directory(face->context);
        ops->write(face->context, file, "new", 3, 0, false);
        sim_disk_fail(disk, SIM_SYNC, 0, EIO, false);
        expect(ops->sync(face->context, file) == -EIO);
        expect(ops->sync(face->context, file) == 0);
        ops->read(face->context, file, back, 3, 0);
        expect(strcmp(back, "new") == 0);
        cut_power(disk);
        file = ops->open(face->context, "f", 0);
        ops->read(face->context, file, back, 3, 0);
        lost += strcmp(back, "old") == 0;
    }
    expect(lost > 10 && lost < 50);
}

static void full_disk_gives_room_back(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    int32_t file;

    sim_disk_reset(disk, 3, &plain_options);
    file = ops->open(face->context, "f", WARP_FILE_CREATE);
    expect(ops->allocate(face->context, file, 1 << 19) == 0);
    expect(ops->free_bytes(face->context) == 1 << 19);
    file = ops->open(face->context, "g", WARP_FILE_CREATE);
    expect(ops->allocate(face->context, file, (1 << 19) + 1) == -ENOSPC);
    ops->close(face->context, file);
    expect(ops->unlink(face->context, "g") == 0);
    expect(ops->free_bytes(face->context) == 1 << 19);
}

static void end_comes_where_planned(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    int32_t file;
    uint64_t k;

    for (k = 0; k < 6; k++) {
        char back[4] = "";

        sim_disk_reset(disk, k + 1, &plain_options);
        file = ops->open(face->context, "f", WARP_FILE_CREATE);
        ops->write(face->context, file, "old", 3, 0, true);
        ops->sync_directory(face->context);
        sim_disk_end_at(disk, k, SIM_BEFORE, SIM_KILL);
        ops->write(face->context, file, "new", 3, 0, false);
        ops->sync(face->context, file);
        expect(sim_disk_ended(disk) == (k < 2));
        if (!sim_disk_ended(disk)) {
            sim_disk_end_now(disk, SIM_KILL);
        }
        expect(ops->write(face->context, file, "bad", 3, 0, true) == -EIO);
        sim_disk_restart(disk);
        file = ops->open(face->context, "f", 0);
        ops->read(face->context, file, back, 3, 0);
        expect(strcmp(back, k == 0 ? "old" : "new") == 0);
    }
}

static void locks_exclude(struct sim_disk *disk)
{
    const struct warp_disk *face = sim_disk_face(disk);
    const struct warp_disk_ops *ops = face->ops;
    char holder[32] = "";

    sim_disk_reset(disk, 1, &plain_options);
    expect(ops->lock(face->context, "LOCK", false, holder, sizeof(holder)) == 0);
    expect(ops->lock(face->context, "LOCK", true, holder, sizeof(holder)) == -EWOULDBLOCK);
    expect(holder[0] != '\0');
    ops->unlock(face->context);
    expect(ops->lock(face->context, "LOCK", true, holder, sizeof(holder)) == 0);
    expect(ops->lock(face->context, "LOCK", true, holder, sizeof(holder)) == 0);
    expect(ops->lock(face->context, "LOCK", false, holder, sizeof(holder)) == -EWOULDBLOCK);
    cut_power(disk);
    expect(ops->lock(face->context, "LOCK", false, holder, sizeof(holder)) == 0);
    expect(sim_disk_misuse(disk) == NULL);
    ops->close(face->context, 99);
    expect(sim_disk_misuse(disk) != NULL);
}

int sim_self_test(void)
{
    static const struct {
        const char *name;
        void (*run)(struct sim_disk *disk);
    } tests[] = {
        {"synced_bytes_stay_and_others_may_go", synced_bytes_stay_and_others_may_go},
        {"durable_write_stays", durable_write_stays},
        {"names_are_old_or_new", names_are_old_or_new},
        {"queue_completes_in_any_order", queue_completes_in_any_order},
        {"failed_sync_lies_afterwards", failed_sync_lies_afterwards},
        {"full_disk_gives_room_back", full_disk_gives_room_back},
        {"end_comes_where_planned", end_comes_where_planned},
        {"locks_exclude", locks_exclude},
    };
    struct sim_disk *disk = NULL;
    uint32_t passed = 0, i;

    if (sim_disk_create(&disk) != 0) {
        return 1;
    }
    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        failures = 0;
        tests[i].run(disk);
        if (failures == 0) {
            passed++;
        } else {
            printf("FAILED sim %s\n", tests[i].name);
        }
    }
    sim_disk_destroy(&disk);
    printf("%u passed, %u failed\n", passed, i - passed);
    return passed == i ? 0 : 1;
}
