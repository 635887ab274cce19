/* The page that makes a directory a database: replaced as a whole, and never misread. */
#include "wal/manifest.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errno.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"
#include "warp/warp.h"

static struct warp_manifest manifest_sample(void)
{
    struct warp_manifest manifest = {0};
    uint32_t i;

    for (i = 0; i < sizeof(manifest.id); i++) {
        manifest.id[i] = (uint8_t)(200 - i);
    }
    manifest.hash_seed = 0x0123456789abcdefu;
    manifest.created_ms = 1700000000123u;
    manifest.head_position = 123456;
    manifest.segment_bytes = 65536;
    manifest.epoch = 7;
    return manifest;
}

static bool manifest_equal(const struct warp_manifest *a, const struct warp_manifest *b)
{
    return memcmp(a->id, b->id, sizeof(a->id)) == 0 && a->hash_seed == b->hash_seed &&
           a->created_ms == b->created_ms && a->head_position == b->head_position &&
           a->checkpoint_number == b->checkpoint_number && a->lineage == b->lineage &&
           a->segment_bytes == b->segment_bytes && a->epoch == b->epoch;
}

WARP_TEST(manifest, comes_back)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    char message[200] = "";

    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
              WARP_ABSENT);
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==, 0);
    check(manifest_equal(&manifest, &back));
    check(memory_disk_bytes(disk, WARP_MANIFEST_NAME_ASIDE, NULL) == NULL);
    check_u64(disk->syncs, ==, 1);
    check_u64(disk->directory_syncs, ==, 1);
    manifest.epoch++;
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    check_u64(back.epoch, ==, 8);
    check_u64(warp_manifest_seed(&back), ==, warp_crc32c_table(0, manifest.id, 16));
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, a_leftover_aside_is_ignored_and_replaced)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;

    memory_disk_put(disk, WARP_MANIFEST_NAME_ASIDE, NULL, 10000);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_ABSENT);
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, every_flipped_bit_is_refused)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    char message[200];
    uint8_t *bytes;
    uint32_t bit;

    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    bytes = memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL);
    for (bit = 0; bit < 8 * 4096; bit++) {
        int rc;

        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        message[0] = 0;
        rc = warp_manifest_read(&disk->disk, &back, message, sizeof(message));
        check_int(rc, ==, bit < 64 ? WARP_EFORMAT : WARP_EDAMAGED);
        check(strncmp(message, "MANIFEST, offset", 16) == 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, every_truncation_is_damage)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    uint8_t page[4096];
    uint32_t bytes;

    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    memcpy(page, memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL), sizeof(page));
    for (bytes = 0; bytes < 4096; bytes += 1 + bytes / 16) {
        memory_disk_put(disk, WARP_MANIFEST_NAME, page, bytes);
        check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_EDAMAGED);
    }
    memory_disk_put(disk, WARP_MANIFEST_NAME, "{\"name\": \"a web page\"}", 22);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_EFORMAT);
    memory_disk_destroy(&disk);
}

/* What version 1 wrote is what is written now, byte for byte, while there is no checkpoint. */
WARP_TEST(manifest, without_a_checkpoint_is_readable_by_version_1)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    const uint8_t *bytes;
    uint32_t i, others = 0;

    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    bytes = memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL);
    check_u64(warp_load_u32le(bytes + 8), ==, 1);
    check_u64(warp_load_u32le(bytes + 12), ==, 1);
    for (i = 72; i < 4096; i++) {
        others += bytes[i] != 0;
    }
    check_u64(others, ==, 0);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    check_u64(back.checkpoint_number, ==, 0);
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, with_a_checkpoint_asks_for_a_reader_that_knows_them)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    const uint8_t *bytes;

    manifest.checkpoint_number = 0x1122334455667788u;
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    bytes = memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL);
    check_u64(warp_load_u32le(bytes + 8), ==, 2);
    check_u64(warp_load_u32le(bytes + 12), ==, 2);
    check_u64(warp_load_u64le(bytes + 72), ==, 0x1122334455667788u);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    check(manifest_equal(&manifest, &back));
    /* And back again, when the whole log is there. */
    manifest.checkpoint_number = 0;
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    bytes = memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL);
    check_u64(warp_load_u32le(bytes + 12), ==, 1);
    memory_disk_destroy(&disk);
}

static void manifest_poke_u32(struct memory_disk *disk, uint32_t offset, uint32_t value)
{
    uint8_t *bytes = memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL);

    warp_store_u32le(bytes + offset, value);
    warp_store_u32le(bytes + 20, 0);
    warp_store_u32le(bytes + 20, warp_crc32c(0, bytes, 4096));
}

WARP_TEST(manifest, newer_version_is_refused_and_a_newer_writer_is_not)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    char message[200] = "";

    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    /* A newer format that version 1 can read. */
    manifest_poke_u32(disk, 8, WARP_MANIFEST_VERSION + 1);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==, 0);
    manifest_poke_u32(disk, 12, WARP_MANIFEST_VERSION + 1);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
              WARP_EVERSION);
    check(strstr(message, "newer") != NULL);
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, a_checkpoint_that_version_1_would_overlook_is_damage)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    char message[200] = "";

    manifest.checkpoint_number = 5;
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    manifest_poke_u32(disk, 12, 1);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
              WARP_EDAMAGED);
    check(strstr(message, "offset 72") != NULL);
    manifest_poke_u32(disk, 12, 2);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, a_lineage_asks_for_a_reader_that_keeps_it)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;
    char message[200] = "";
    const uint8_t *bytes;

    manifest.checkpoint_number = 5;
    manifest.lineage = 0x8877665544332211u;
    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    bytes = memory_disk_bytes(disk, WARP_MANIFEST_NAME, NULL);
    check_u64(warp_load_u32le(bytes + 12), ==, 3);
    check_u64(warp_load_u64le(bytes + 80), ==, 0x8877665544332211u);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    check(manifest_equal(&manifest, &back));
    manifest_poke_u32(disk, 12, 2);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
              WARP_EDAMAGED);
    check(strstr(message, "offset 80") != NULL);
    memory_disk_destroy(&disk);
}

WARP_TEST(manifest, values_out_of_range_are_damage)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest manifest = manifest_sample(), back;

    check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
    manifest_poke_u32(disk, 24, 65535);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_EDAMAGED);
    manifest_poke_u32(disk, 24, 2048);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_EDAMAGED);
    manifest_poke_u32(disk, 24, 4096);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
    manifest_poke_u32(disk, 64, 4);
    check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_EDAMAGED);
    memory_disk_destroy(&disk);
}

/* With its manifest and its log lost, what is left must not be taken for a place that is free. */
WARP_TEST(manifest, an_archive_or_a_checkpoint_without_a_manifest_is_damage_too)
{
    static const char *const names[] = {"archive-0000000000000003.warp",
                                        "checkpoint-0000000000000001.warp"};
    struct warp_manifest back;
    uint32_t i;

    for (i = 0; i < 2; i++) {
        struct memory_disk *disk = memory_disk_create();

        memory_disk_put(disk, names[i], NULL, 100);
        check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, WARP_EDAMAGED);
        memory_disk_destroy(&disk);
    }
}

WARP_TEST(manifest, a_log_without_a_manifest_is_damage_not_absence)
{
    struct memory_disk *disk = memory_disk_create();
    struct warp_manifest back;
    char message[200] = "";

    memory_disk_put(disk, "notes.txt", "x", 1);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
              WARP_ABSENT);
    memory_disk_put(disk, "log-0000000000000000.warp", NULL, 100);
    check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
              WARP_EDAMAGED);
    check(strstr(message, "MANIFEST is missing") != NULL);
    memory_disk_destroy(&disk);
}

/* Whatever fails, what is read afterwards is the old page or the new one. */
WARP_TEST(manifest, a_write_that_fails_anywhere_leaves_the_old_or_the_new)
{
    static const int errors[] = {EIO, ENOSPC, EACCES};
    static const int expected[] = {WARP_EIO, WARP_ENOSPC, WARP_EPERM};
    uint32_t e;

    for (e = 0; e < 3; e++) {
        uint64_t n;

        for (n = 0;; n++) {
            struct memory_disk *disk = memory_disk_create();
            struct warp_manifest old = manifest_sample(), new = manifest_sample(), back;
            bool failed;
            int rc;

            new.epoch++;
            check_int(warp_manifest_write(&disk->disk, &old), ==, 0);
            disk->fail_at = disk->operations + n;
            disk->fail_errno = errors[e];
            rc = warp_manifest_write(&disk->disk, &new);
            failed = disk->operations > disk->fail_at;
            disk->fail_at = UINT64_MAX;
            check_int(rc, ==, failed ? expected[e] : 0);
            check_int(warp_manifest_read(&disk->disk, &back, NULL, 0), ==, 0);
            check(manifest_equal(&back, &new) || (failed && manifest_equal(&back, &old)));
            memory_disk_destroy(&disk);
            if (!failed) {
                break;
            }
        }
        check_u64(n, >, 5);
    }
}

WARP_TEST(manifest, a_read_that_fails_says_so)
{
    uint64_t n;

    for (n = 0; n < 2; n++) {
        struct memory_disk *disk = memory_disk_create();
        struct warp_manifest manifest = manifest_sample(), back;
        char message[200] = "";

        check_int(warp_manifest_write(&disk->disk, &manifest), ==, 0);
        disk->fail_at = disk->operations + n;
        disk->fail_errno = EIO;
        check_int(warp_manifest_read(&disk->disk, &back, message, sizeof(message)), ==,
                  WARP_EIO);
        check(message[0] != 0);
        memory_disk_destroy(&disk);
    }
}

WARP_TEST(manifest, errors_of_the_system_have_their_names)
{
    check_int(warp_error_from_errno(0), ==, 0);
    check_int(warp_error_from_errno(5), ==, 5);
    check_int(warp_error_from_errno(-ENOSPC), ==, WARP_ENOSPC);
    check_int(warp_error_from_errno(-EDQUOT), ==, WARP_ENOSPC);
    check_int(warp_error_from_errno(-EIO), ==, WARP_EIO);
    check_int(warp_error_from_errno(-EINVAL), ==, WARP_EIO);
    check_int(warp_error_from_errno(-EMFILE), ==, WARP_ESYSTEM);
    check_int(warp_error_from_errno(-EACCES), ==, WARP_EPERM);
    check_int(warp_error_from_errno(-EROFS), ==, WARP_EPERM);
    check_int(warp_error_from_errno(-ENOENT), ==, WARP_ENOENT);
    check_int(warp_error_from_errno(-EWOULDBLOCK), ==, WARP_EBUSY);
    check_int(warp_error_from_errno(-ENOMEM), ==, WARP_ENOMEM);
}
