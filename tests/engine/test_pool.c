/* The directory of backups: what a description says comes back, and nothing else is believed. */
#include "engine/pool.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "tests/engine/support.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"

#define NAME "backup-0000000000000003.warp"

struct pool_fixture {
    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_pool pool;
};

static void fixture_begin(struct pool_fixture *fixture)
{
    fixture->disk = memory_disk_create();
    check_int(warp_memory_init(&fixture->memory, NULL), ==, 0);
    check_int(warp_pool_open(&fixture->pool, &fixture->disk->disk, &fixture->memory, true),
              ==, 0);
}

static void fixture_end(struct pool_fixture *fixture)
{
    warp_pool_close(&fixture->pool);
    check_u64(warp_memory_bytes(&fixture->memory), ==, 0);
    check_u64(fixture->disk->handles, ==, 0);
    check(!fixture->disk->locked);
    memory_disk_destroy(&fixture->disk);
    warp_memory_fini(&fixture->memory);
}

/* Two old log files, three of the log from the head, two archives, a checkpoint. */
static void sample(struct warp_pool *pool, struct warp_pool_backup *backup)
{
    static const struct {
        uint32_t kind, flags;
        uint64_t index, bytes;
    } files[] = {{1, 1, 2, 8192},  {1, 1, 5, 8192},       {1, 1, 7, 8192},
                 {1, 1, 8, 8192},  {1, 0, 9, 4096 + 800}, {2, 1, 4, 12345},
                 {2, 1, 6, 54321}, {3, 1, 11, 9999}};
    uint32_t i;

    memset(backup, 0, sizeof(*backup));
    backup->number = 3;
    backup->made_ms = 1700000000000u;
    memset(backup->manifest.id, 0x5a, sizeof(backup->manifest.id));
    backup->manifest.hash_seed = 17;
    backup->manifest.created_ms = 18;
    backup->manifest.segment_bytes = 4096;
    backup->manifest.epoch = 19;
    backup->manifest.head_position = 7 * 4096 + 64;
    backup->manifest.checkpoint_number = 11;
    backup->manifest.lineage = 20;
    backup->position = 9 * 4096 + 800;
    backup->bytes_copied = 21;
    backup->files_copied = 2;
    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct warp_pool_row row = {files[i].kind,       files[i].flags, files[i].index,
                                    files[i].bytes,      1 + i % 3,      support_mix(i),
                                    support_mix(i + 100)};

        backup->bytes += row.bytes;
        check_int(warp_pool_add(pool, backup, &row), ==, 0);
    }
}

WARP_TEST(pool, a_description_comes_back)
{
    struct warp_pool_backup backup, back;
    struct pool_fixture fixture;
    uint64_t *numbers = NULL;
    uint32_t count = 0;

    fixture_begin(&fixture);
    sample(&fixture.pool, &backup);
    check_int(warp_pool_commit(&fixture.pool, &backup), ==, 0);
    check_int(warp_pool_load(&fixture.pool, 3, &back), ==, 0);
    check_u64(back.row_count, ==, backup.row_count);
    check_bytes(back.rows, back.row_count * sizeof(*back.rows), backup.rows,
                backup.row_count * sizeof(*backup.rows));
    check_bytes(&back.manifest, sizeof(back.manifest), &backup.manifest,
                sizeof(backup.manifest));
    check_u64(back.position, ==, backup.position);
    check_u64(back.made_ms, ==, backup.made_ms);
    check_u64(back.bytes, ==, backup.bytes);
    check_u64(back.bytes_copied, ==, 21);
    check_u64(back.files_copied, ==, 2);
    /* Copies' names, the directory's name, the description, its name. */
    check_u64(fixture.disk->directory_syncs, ==, 2);
    check_u64(fixture.disk->syncs, ==, 1);
    check_int(warp_pool_numbers(&fixture.pool, &numbers, &count), ==, 0);
    check_u64(count, ==, 1);
    check(count == 1 && numbers[0] == 3);
    warp_pool_numbers_release(&fixture.pool, &numbers, count);
    warp_pool_release(&fixture.pool, &back);
    check_int(warp_pool_load(&fixture.pool, 2, &back), ==, WARP_ENOENT);
    warp_pool_release(&fixture.pool, &backup);
    fixture_end(&fixture);
}

WARP_TEST(pool, any_changed_byte_of_a_description_is_damage)
{
    struct warp_pool_backup backup, back;
    struct pool_fixture fixture;
    uint64_t bytes = 0, i;
    uint8_t *content;

    fixture_begin(&fixture);
    sample(&fixture.pool, &backup);
    check_int(warp_pool_commit(&fixture.pool, &backup), ==, 0);
    content = memory_disk_bytes(fixture.disk, NAME, &bytes);
    check_u64(bytes, ==, 4096 + 48 * backup.row_count);
    for (i = 0; i < bytes && test_failures() == 0; i++) {
        uint8_t was = content[i];

        content[i] ^= (uint8_t)(1u << i % 8);
        check_int(warp_pool_load(&fixture.pool, 3, &back), ==,
                  i >= 12 && i < 16 ? WARP_EVERSION : WARP_EDAMAGED);
        check(strstr(fixture.pool.message, NAME) != NULL);
        check(back.rows == NULL);
        content[i] = was;
    }
    warp_pool_release(&fixture.pool, &backup);
    fixture_end(&fixture);
}

/* Somebody who makes checksums right and numbers wrong gets no further than a refusal. */
WARP_TEST(pool, a_list_that_makes_no_database_is_damage)
{
    struct support_random random = {test_seed()};
    struct warp_pool_backup backup, back;
    struct pool_fixture fixture;
    uint8_t whole[4096 + 48 * 8], *content;
    uint64_t bytes = 0;
    uint32_t round, refused = 0;

    fixture_begin(&fixture);
    sample(&fixture.pool, &backup);
    check_int(warp_pool_commit(&fixture.pool, &backup), ==, 0);
    content = memory_disk_bytes(fixture.disk, NAME, &bytes);
    check_u64(bytes, ==, sizeof(whole));
    memcpy(whole, content, sizeof(whole));
    for (round = 0; round < 20000 && test_failures() == 0; round++) {
        uint32_t changes = (uint32_t)support_random_between(&random, 1, 3);
        int rc;

        memcpy(content, whole, sizeof(whole));
        while (changes-- > 0) {
            uint64_t at = support_random_chance(&random, 2)
                              ? support_random_between(&random, 24, 143)
                              : support_random_between(&random, 4096, bytes - 1);

            if (support_random_chance(&random, 3)) {
                content[at] = (uint8_t)support_random_next(&random);
            } else {
                content[at] ^= (uint8_t)(1u << support_random_below(&random, 8));
            }
        }
        warp_store_u64le(content + 144, warp_hash_key(content + 4096, bytes - 4096, 0));
        warp_store_u32le(content + 20, 0);
        warp_store_u32le(content + 20, warp_crc32c(0, content, 4096));
        rc = warp_pool_load(&fixture.pool, 3, &back);
        check(rc == 0 || rc == WARP_EDAMAGED);
        refused += rc != 0;
        if (rc == 0) {
            /* What is believed could be written. */
            check_u64(back.number, ==, 3);
            check_u64(back.row_count, ==, 8);
            check_u64(back.position, >=, back.manifest.head_position);
        }
        warp_pool_release(&fixture.pool, &back);
    }
    check_u64(refused, >, 10000);
    memcpy(content, whole, sizeof(whole));
    check_int(warp_pool_load(&fixture.pool, 3, &back), ==, 0);
    warp_pool_release(&fixture.pool, &back);
    warp_pool_release(&fixture.pool, &backup);
    fixture_end(&fixture);
}

WARP_TEST(pool, one_works_and_many_look)
{
    struct pool_fixture fixture;
    struct warp_pool other;

    fixture_begin(&fixture);
    check_int(warp_pool_open(&other, &fixture.disk->disk, &fixture.memory, true), ==,
              WARP_EBUSY);
    check_int(warp_pool_open(&other, &fixture.disk->disk, &fixture.memory, false), ==,
              WARP_EBUSY);
    check(strstr(other.message, "in use") != NULL);
    fixture_end(&fixture);
}
