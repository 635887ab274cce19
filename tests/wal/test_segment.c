/*
 * The files of a log: made, found again, retained, given up, used again, and refused when they
 * are not what they say.
 */
#include "wal/segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/thread.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"
#include "warp/warp.h"

#define S 8192u

struct segment_fixture {
    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_manifest manifest;
    struct warp_segments segments;
};

static void fixture_init(struct segment_fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->disk = memory_disk_create();
    check_int(warp_memory_init(&f->memory, NULL), ==, 0);
    memset(f->manifest.id, 0x5a, sizeof(f->manifest.id));
    f->manifest.segment_bytes = S;
    f->manifest.epoch = 1;
}

static int fixture_open(struct segment_fixture *f)
{
    return warp_segments_init(&f->segments, &f->disk->disk, &f->memory, &f->manifest, false,
                              true);
}

static void fixture_extend(struct segment_fixture *f, uint32_t count)
{
    while (count-- > 0) {
        check_int(warp_segments_extend(&f->segments), ==, 0);
    }
}

/* A closed database of so many segments. */
static void fixture_make(struct segment_fixture *f, uint32_t count)
{
    fixture_init(f);
    check_int(fixture_open(f), ==, 0);
    fixture_extend(f, count);
    warp_segments_fini(&f->segments);
    f->manifest.epoch = 2;
}

static void fixture_fini(struct segment_fixture *f)
{
    memory_disk_destroy(&f->disk);
    check_u64(warp_memory_bytes(&f->memory), ==, 0);
    warp_memory_fini(&f->memory);
}

static uint8_t *fixture_file(struct segment_fixture *f, uint64_t index)
{
    char name[WARP_SEGMENT_NAME_BYTES];

    warp_segment_name(index, name);
    return memory_disk_bytes(f->disk, name, NULL);
}

static uint32_t fixture_files(struct segment_fixture *f, const char *before)
{
    char name[64];
    uint32_t index, count = 0;

    for (index = 0; index < 200; index++) {
        snprintf(name, sizeof(name), "%s-%016x.warp", before, index);
        count += memory_disk_bytes(f->disk, name, NULL) != NULL;
    }
    return count;
}

WARP_TEST(segment, names_are_sixteen_hexadecimal_digits)
{
    char name[WARP_SEGMENT_NAME_BYTES];

    warp_segment_name(0, name);
    check_str(name, "log-0000000000000000.warp");
    warp_segment_name(0xabcdef0123456789u, name);
    check_str(name, "log-abcdef0123456789.warp");
}

WARP_TEST(segment, a_new_log_has_none_and_grows_one_by_one)
{
    struct segment_fixture f;
    uint64_t offset, contiguous, bytes;
    int32_t file;

    fixture_init(&f);
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_begin(&f.segments), ==, 0);
    check_u64(warp_segments_end(&f.segments), ==, 0);
    fixture_extend(&f, 1);
    check_u64(warp_segments_end(&f.segments), ==, S);
    fixture_extend(&f, 2);
    check_u64(warp_segments_end(&f.segments), ==, 3 * S);
    check_u64(f.disk->syncs, ==, 3);
    check_u64(f.disk->directory_syncs, ==, 3);
    check(memory_disk_bytes(f.disk, "log-0000000000000002.warp", &bytes) != NULL);
    check_u64(bytes, ==, 4096 + S);
    check(memory_disk_bytes(f.disk, "log-0000000000000002.new", NULL) == NULL);

    check_int(warp_segments_locate(&f.segments, 0, &file, &offset, &contiguous), ==, 0);
    check_u64(offset, ==, 4096);
    check_u64(contiguous, ==, S);
    check_int(warp_segments_locate(&f.segments, 2 * S + 100, &file, &offset, &contiguous),
              ==, 0);
    check_u64(offset, ==, 4196);
    check_u64(contiguous, ==, S - 100);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, what_was_made_is_found_again)
{
    struct segment_fixture f;

    fixture_make(&f, 5);
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_begin(&f.segments), ==, 0);
    check_u64(warp_segments_end(&f.segments), ==, 5 * S);
    warp_segments_fini(&f.segments);
    f.manifest.head_position = 2 * S + 64;
    check_int(fixture_open(&f), ==, 0); /* 0 and 1 are below it */
    check_u64(warp_segments_begin(&f.segments), ==, 2 * S);
    check_u64(warp_segments_end(&f.segments), ==, 5 * S);
    check_u64(warp_segments_retained(&f.segments), ==, 2);
    check_u64(fixture_files(&f, "log"), ==, 5);
    check_u64(fixture_files(&f, "spare"), ==, 0);
    check_int(warp_segments_retain(&f.segments, NULL, 0), ==,
              0); /* and nobody needs them */
    check_u64(warp_segments_retained(&f.segments), ==, 0);
    check_u64(fixture_files(&f, "log"), ==, 3);
    check_u64(fixture_files(&f, "spare"), ==, 2);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, read_only_changes_nothing)
{
    struct segment_fixture f;

    fixture_make(&f, 5);
    f.manifest.head_position = 2 * S + 64;
    memory_disk_put(f.disk, "log-0000000000000005.new", NULL, 100);
    check_int(
        warp_segments_init(&f.segments, &f.disk->disk, &f.memory, &f.manifest, true, false),
        ==, 0);
    check_u64(warp_segments_begin(&f.segments), ==, 2 * S);
    check_int(warp_segments_retain(&f.segments, NULL, 0), ==, 0);
    check_u64(fixture_files(&f, "log"), ==, 5);
    check(memory_disk_bytes(f.disk, "log-0000000000000005.new", NULL) != NULL);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, half_made_files_are_removed_and_others_left_alone)
{
    struct segment_fixture f;

    fixture_make(&f, 1);
    memory_disk_put(f.disk, "log-0000000000000001.new", NULL, 100);
    memory_disk_put(f.disk, "log-1.warp", NULL, 100);
    memory_disk_put(f.disk, "log-000000000000000A.warp", NULL, 100);
    memory_disk_put(f.disk, "log-0000000000000007.warp.bak", NULL, 100);
    memory_disk_put(f.disk, "LOCK", NULL, 100);
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_end(&f.segments), ==, S);
    check(memory_disk_bytes(f.disk, "log-0000000000000001.new", NULL) == NULL);
    check(memory_disk_bytes(f.disk, "log-1.warp", NULL) != NULL);
    check(memory_disk_bytes(f.disk, "log-000000000000000A.warp", NULL) != NULL);
    check(memory_disk_bytes(f.disk, "log-0000000000000007.warp.bak", NULL) != NULL);
    check(memory_disk_bytes(f.disk, "LOCK", NULL) != NULL);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, a_missing_file_is_damage_with_its_name)
{
    uint64_t gone;

    for (gone = 0; gone < 4; gone++) {
        struct segment_fixture f;
        char name[WARP_SEGMENT_NAME_BYTES];

        fixture_make(&f, 5);
        warp_segment_name(gone, name);
        check(memory_disk_remove(f.disk, name));
        check_int(fixture_open(&f), ==, WARP_EDAMAGED);
        check(strstr(f.segments.message, name) != NULL);
        check(strstr(f.segments.message, "missing") != NULL);
        fixture_fini(&f);
    }
}

WARP_TEST(segment, no_file_at_all_is_damage_once_the_database_was_used)
{
    struct segment_fixture f;

    fixture_init(&f);
    f.manifest.epoch = 2;
    check_int(fixture_open(&f), ==, WARP_EDAMAGED);
    f.manifest.epoch = 0;
    check_int(fixture_open(&f), ==, 0);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, every_flipped_bit_of_a_header_is_refused)
{
    struct segment_fixture f;
    uint32_t bit;

    fixture_make(&f, 2);
    for (bit = 0; bit < 8 * 4096; bit += bit < 512 ? 1 : 61) {
        uint8_t *bytes = fixture_file(&f, 1);

        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_int(fixture_open(&f), ==, WARP_EDAMAGED);
        check(strncmp(f.segments.message, "log-0000000000000001.warp, offset", 33) == 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    check_int(fixture_open(&f), ==, 0);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

static void fixture_reseal(uint8_t *bytes)
{
    warp_store_u32le(bytes + 20, 0);
    warp_store_u32le(bytes + 20, warp_crc32c(0, bytes, 4096));
}

WARP_TEST(segment, foreign_newer_misnamed_and_short_files_are_told_apart)
{
    struct segment_fixture f;
    uint8_t *bytes;
    uint8_t page[4096 + S];

    fixture_make(&f, 2);
    bytes = fixture_file(&f, 1);
    memcpy(page, bytes, sizeof(page));

    memset(bytes, 'x', 4096);
    check_int(fixture_open(&f), ==, WARP_EFORMAT);
    memset(bytes, 0, 4096);
    check_int(fixture_open(&f), ==, WARP_EDAMAGED);

    memcpy(bytes, page, sizeof(page));
    bytes[32] ^= 1; /* another database's id */
    fixture_reseal(bytes);
    check_int(fixture_open(&f), ==, WARP_EFORMAT);
    check(strstr(f.segments.message, "another database") != NULL);

    memcpy(bytes, page, sizeof(page));
    warp_store_u32le(bytes + 12, 2);
    fixture_reseal(bytes);
    check_int(fixture_open(&f), ==, WARP_EVERSION);

    memcpy(bytes, page, sizeof(page));
    warp_store_u64le(bytes + 48, 7);
    fixture_reseal(bytes);
    check_int(fixture_open(&f), ==, WARP_EDAMAGED);

    memory_disk_put(f.disk, "log-0000000000000001.warp", page, 4096 + S - 1);
    check_int(fixture_open(&f), ==, WARP_EDAMAGED);
    memory_disk_put(f.disk, "log-0000000000000001.warp", page, 100);
    check_int(fixture_open(&f), ==, WARP_EDAMAGED);
    memory_disk_put(f.disk, "log-0000000000000001.warp", page, 0);
    check_int(fixture_open(&f), ==, WARP_EDAMAGED);
    memory_disk_put(f.disk, "log-0000000000000001.warp", page, sizeof(page));
    check_int(fixture_open(&f), ==, 0);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

static void fixture_drop(struct segment_fixture *f, uint64_t from, uint64_t to)
{
    while (from < to) {
        check_int(warp_segments_drop(&f->segments, from++), ==, 0);
    }
}

WARP_TEST(segment, dropped_segments_become_spares_and_then_new_ones)
{
    struct segment_fixture f;
    uint64_t syncs;

    fixture_make(&f, 6);
    check_int(fixture_open(&f), ==, 0);
    warp_segments_advance(&f.segments, S - 1);
    check_u64(warp_segments_begin(&f.segments), ==, 0);
    warp_segments_advance(&f.segments, 4 * S + 5);
    check_u64(warp_segments_begin(&f.segments), ==, 4 * S);
    check_u64(warp_segments_retained(&f.segments), ==, 4);
    check_u64(fixture_files(&f, "log"), ==, 6);
    warp_segments_advance(&f.segments, 2 * S); /* never back */
    check_u64(warp_segments_begin(&f.segments), ==, 4 * S);

    syncs = f.disk->directory_syncs;
    fixture_drop(&f, 2, 4); /* in any order, with gaps */
    fixture_drop(&f, 0, 1);
    check_u64(f.disk->directory_syncs - syncs, ==, 3);
    check_u64(warp_segments_retained(&f.segments), ==, 1);
    check_u64(fixture_files(&f, "log"), ==, 3);
    check_u64(fixture_files(&f, "spare"), ==, 2);
    fixture_drop(&f, 0, 1); /* gone already */
    check_u64(warp_segments_retained(&f.segments), ==, 1);
    fixture_drop(&f, 1, 2);
    check_u64(warp_segments_retained(&f.segments), ==, 0);
    fixture_extend(&f, 3); /* two from spares, one new */
    check_u64(warp_segments_end(&f.segments), ==, 9 * S);
    check_u64(fixture_files(&f, "spare"), ==, 0);
    check_u64(fixture_files(&f, "log"), ==, 5);
    warp_segments_fini(&f.segments);
    f.manifest.head_position = 4 * S;
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_begin(&f.segments), ==, 4 * S);
    check_u64(warp_segments_end(&f.segments), ==, 9 * S);
    /* All of it may be old: the last segment stays. */
    warp_segments_advance(&f.segments, 9 * S);
    check_u64(warp_segments_begin(&f.segments), ==, 8 * S);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, files_below_the_head_are_kept_if_they_are_needed)
{
    static const uint64_t needed[] = {7, 1, 3, 1};
    struct segment_fixture f;
    char name[WARP_SEGMENT_NAME_BYTES];
    uint32_t i;

    fixture_make(&f, 10);
    f.manifest.head_position = 6 * S + 8;
    warp_segment_name(2, name);
    check(memory_disk_remove(f.disk, name)); /* a gap, from an earlier drop */
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_retained(&f.segments), ==, 5);
    /* 7 is a segment of the log, which says nothing here. */
    check_int(warp_segments_retain(&f.segments, needed, 4), ==, 0);
    check_u64(warp_segments_retained(&f.segments), ==, 2);
    check_u64(fixture_files(&f, "log"), ==, 6);
    check_u64(fixture_files(&f, "spare"), ==, 2);
    for (i = 0; i < 3; i++) {
        check(fixture_file(&f, needed[i]) != NULL);
    }
    check_u64(f.disk->handles, ==, 4); /* no handle stays open for them */
    warp_segments_advance(&f.segments, 8 * S);
    check_u64(warp_segments_retained(&f.segments), ==, 4);
    fixture_drop(&f, 1, 2);
    fixture_drop(&f, 6, 7);
    check_u64(warp_segments_retained(&f.segments), ==, 2);
    warp_segments_fini(&f.segments);
    f.manifest.head_position = 8 * S;
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_retained(&f.segments), ==, 2);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, many_files_below_the_head_are_remembered)
{
    struct segment_fixture f;
    uint64_t needed[150];
    uint32_t i;

    fixture_make(&f, 150);
    f.manifest.head_position = 148 * (uint64_t)S;
    for (i = 0; i < 50; i++) {
        needed[i] = 147 - 2 * i;
    }
    check_int(fixture_open(&f), ==, 0);
    check_int(warp_segments_retain(&f.segments, needed, 50), ==, 0);
    check_u64(fixture_files(&f, "log"), ==, 52);
    for (i = 0; i < 50; i++) {
        check(fixture_file(&f, needed[i]) != NULL);
    }
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, a_needed_file_that_is_missing_or_damaged_is_told_before_any_is_removed)
{
    static const uint64_t needed[] = {4, 0, 1};
    static const uint64_t behind[] = {9};
    struct segment_fixture f;
    uint32_t read_only;

    for (read_only = 0; read_only < 2; read_only++) {
        fixture_make(&f, 8);
        f.manifest.head_position = 6 * S;
        fixture_file(&f, 1)[50] ^= 4;
        check_int(warp_segments_init(&f.segments, &f.disk->disk, &f.memory, &f.manifest,
                                     read_only != 0, true),
                  ==, 0);
        check_int(warp_segments_retain(&f.segments, needed, 3), ==, WARP_EDAMAGED);
        check(strstr(f.segments.message, "log-0000000000000001.warp, offset") != NULL);
        check_u64(fixture_files(&f, "log"), ==, 8);
        warp_segments_fini(&f.segments);
        check(memory_disk_remove(f.disk, "log-0000000000000001.warp"));
        check_int(warp_segments_init(&f.segments, &f.disk->disk, &f.memory, &f.manifest,
                                     read_only != 0, true),
                  ==, 0);
        check_int(warp_segments_retain(&f.segments, needed, 3), ==, WARP_EDAMAGED);
        check(strstr(f.segments.message, "log-0000000000000001.warp") != NULL);
        check(strstr(f.segments.message, "missing") != NULL);
        check_int(warp_segments_retain(&f.segments, behind, 1), ==, WARP_EDAMAGED);
        check_u64(fixture_files(&f, "log"), ==, 7);
        check_int(warp_segments_retain(&f.segments, needed, 2), ==, 0);
        check_u64(fixture_files(&f, "log"), ==, read_only != 0 ? 7 : 4);
        warp_segments_fini(&f.segments);
        fixture_fini(&f);
    }
}

WARP_TEST(segment, handles_of_what_is_retained_are_closed_unless_pinned)
{
    struct segment_fixture f;
    uint64_t offset, contiguous;
    int32_t file;

    fixture_make(&f, 20);
    check_int(fixture_open(&f), ==, 0);
    check_int(warp_segments_locate(&f.segments, 3 * S, &file, &offset, &contiguous), ==, 0);
    warp_segments_pin(&f.segments, 3 * S);
    check_u64(f.disk->handles, ==, 20);
    warp_segments_advance(&f.segments, 15 * S);
    fixture_drop(&f, 5, 6); /* while its handle is open: a spare, and then a segment */
    fixture_extend(&f, 1);
    check_u64(f.disk->handles, ==, 5 + 1 + 1);
    check(fixture_file(&f, 20) != NULL);
    warp_segments_unpin(&f.segments, 3 * S);
    fixture_extend(&f, 1);
    check_u64(f.disk->handles, ==, 5 + 2);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, spares_are_found_again_whatever_is_in_them)
{
    struct segment_fixture f;

    fixture_make(&f, 1);
    memory_disk_put(f.disk, "spare-0000000000000003.warp", NULL, 4096 + S);
    memory_disk_put(f.disk, "spare-0000000000000004.warp", NULL, 17); /* useless */
    memory_disk_put(f.disk, "spare-0000000000000005.warp", NULL, 4096 + S);
    memory_disk_put(f.disk, "spare-0000000000000006.warp", NULL, 4096 + S); /* too many */
    check_int(fixture_open(&f), ==, 0);
    check_u64(fixture_files(&f, "spare"), ==, 2);
    fixture_extend(&f, 2);
    check_u64(fixture_files(&f, "spare"), ==, 0);
    warp_segments_fini(&f.segments);
    check_int(fixture_open(&f), ==, 0);
    check_u64(warp_segments_end(&f.segments), ==, 3 * S);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, a_spare_somebody_removed_is_made_anew)
{
    struct segment_fixture f;

    fixture_make(&f, 3);
    check_int(fixture_open(&f), ==, 0);
    warp_segments_advance(&f.segments, 2 * S);
    fixture_drop(&f, 0, 2);
    check(memory_disk_remove(f.disk, "spare-0000000000000001.warp"));
    fixture_extend(&f, 2);
    check_u64(warp_segments_end(&f.segments), ==, 5 * S);
    check_u64(fixture_files(&f, "spare"), ==, 0);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, a_full_disk_leaves_nothing_half_made_and_recovers)
{
    struct segment_fixture f;

    fixture_make(&f, 2);
    check_int(fixture_open(&f), ==, 0);
    f.disk->space_bytes = 3 * (4096 + S) - 1;
    check_int(warp_segments_extend(&f.segments), ==, WARP_ENOSPC);
    check_int(warp_segments_extend(&f.segments), ==, WARP_ENOSPC);
    check_u64(warp_segments_end(&f.segments), ==, 2 * S);
    check(memory_disk_bytes(f.disk, "log-0000000000000002.new", NULL) == NULL);
    check(memory_disk_bytes(f.disk, "log-0000000000000002.warp", NULL) == NULL);
    f.disk->space_bytes = UINT64_MAX;
    fixture_extend(&f, 1);
    check_u64(warp_segments_end(&f.segments), ==, 3 * S);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

/* Fail every single operation of an extend in turn, with and without a spare. */
WARP_TEST(segment, an_extend_that_fails_anywhere_can_be_tried_again)
{
    uint32_t spare;

    for (spare = 0; spare < 2; spare++) {
        uint64_t n;

        for (n = 0;; n++) {
            struct segment_fixture f;
            bool failed;
            int rc;

            fixture_make(&f, 3);
            check_int(fixture_open(&f), ==, 0);
            if (spare == 1) {
                f.manifest.head_position = S;
                warp_segments_advance(&f.segments, S);
                fixture_drop(&f, 0, 1);
            }
            f.disk->fail_at = f.disk->operations + n;
            f.disk->fail_errno = EIO;
            rc = warp_segments_extend(&f.segments);
            failed = f.disk->operations > f.disk->fail_at;
            f.disk->fail_at = UINT64_MAX;
            check_int(rc, ==, failed ? WARP_EIO : 0);
            check_u64(warp_segments_end(&f.segments), ==, (failed ? 3 : 4) * S);
            if (failed) {
                fixture_extend(&f, 1);
            }
            check_u64(warp_segments_end(&f.segments), ==, 4 * S);
            warp_segments_fini(&f.segments);
            check_int(fixture_open(&f), ==, 0);
            check_u64(warp_segments_end(&f.segments), ==, 4 * S);
            warp_segments_fini(&f.segments);
            fixture_fini(&f);
            if (!failed) {
                break;
            }
        }
        check_u64(n, >, 4);
    }
}

static int fixture_open_and_retain(struct segment_fixture *f, const uint64_t *needed,
                                   uint32_t count)
{
    int rc = fixture_open(f);

    if (rc < 0) {
        return rc;
    }
    rc = warp_segments_retain(&f->segments, needed, count);
    if (rc < 0) {
        warp_segments_fini(&f->segments);
    }
    return rc;
}

/* The same for opening and giving up: an error, then the next open is as if nothing was. */
WARP_TEST(segment, an_open_that_fails_anywhere_leaks_nothing)
{
    static const uint64_t needed[] = {1};
    uint64_t n;

    for (n = 0;; n++) {
        struct segment_fixture f;
        bool failed;
        int rc;

        fixture_make(&f, 5);
        f.manifest.head_position = 3 * S;
        memory_disk_put(f.disk, "log-0000000000000005.new", NULL, 100);
        f.disk->fail_at = f.disk->operations + n;
        f.disk->fail_errno = EIO;
        rc = fixture_open_and_retain(&f, needed, 1);
        failed = f.disk->operations > f.disk->fail_at;
        f.disk->fail_at = UINT64_MAX;
        check_int(rc, ==, failed ? WARP_EIO : 0);
        if (failed) {
            check(f.segments.message[0] != 0);
            check_u64(f.disk->handles, ==, 0);
            check_int(fixture_open_and_retain(&f, needed, 1), ==, 0);
        }
        check_u64(fixture_files(&f, "log"), ==, 3);
        check_u64(fixture_files(&f, "spare"), ==, 2);
        check(fixture_file(&f, 1) != NULL);
        check_u64(warp_segments_begin(&f.segments), ==, 3 * S);
        check_u64(warp_segments_end(&f.segments), ==, 5 * S);
        warp_segments_fini(&f.segments);
        fixture_fini(&f);
        if (!failed) {
            break;
        }
    }
    check_u64(n, >, 6);
}

WARP_TEST(segment, a_drop_that_fails_anywhere_is_made_again_or_finished_by_the_next_open)
{
    uint32_t again;
    uint64_t n;

    for (again = 0; again < 2; again++) {
        for (n = 0;; n++) {
            struct segment_fixture f;
            bool failed = false;
            uint64_t index;
            int rc;

            fixture_make(&f, 6);
            check_int(fixture_open(&f), ==, 0);
            f.manifest.head_position = 4 * S;
            warp_segments_advance(&f.segments, 4 * S);
            f.disk->fail_at = f.disk->operations + n;
            f.disk->fail_errno = EIO;
            for (index = 0; index < 4; index++) {
                rc = warp_segments_drop(&f.segments, index);
                failed = f.disk->operations > f.disk->fail_at;
                check_int(rc, ==, failed ? WARP_EIO : 0);
                if (failed) {
                    break;
                }
            }
            f.disk->fail_at = UINT64_MAX;
            if (failed && again == 1) {
                fixture_drop(&f, index, 4);
                check_u64(warp_segments_retained(&f.segments), ==, 0);
                check_u64(fixture_files(&f, "log"), ==, 2);
                fixture_extend(&f, 1);
                check_u64(warp_segments_end(&f.segments), ==, 7 * S);
            }
            warp_segments_fini(&f.segments);
            check_int(fixture_open_and_retain(&f, NULL, 0), ==, 0);
            check_u64(warp_segments_begin(&f.segments), ==, 4 * S);
            check_u64(fixture_files(&f, "log"), ==, failed && again == 1 ? 3 : 2);
            check_u64(fixture_files(&f, "spare"), ==, failed && again == 1 ? 1 : 2);
            warp_segments_fini(&f.segments);
            fixture_fini(&f);
            if (!failed) {
                break;
            }
        }
        check_u64(n, ==, 8);
    }
}

struct dropper {
    struct warp_segments *segments;
    uint64_t next; /* to be dropped */
};

/* The checkpointer's part: moves the begin behind the end, and gives files up. */
static void dropper_main(void *context)
{
    struct dropper *dropper = context;

    while (dropper->next < 200) {
        uint64_t end = warp_segments_end(dropper->segments);

        if (end < 3 * S) {
            warp_thread_yield();
            continue;
        }
        warp_segments_advance(dropper->segments, end - 2 * S);
        while (dropper->next < end / S - 2) {
            check_int(warp_segments_drop(dropper->segments, dropper->next++), ==, 0);
        }
    }
}

WARP_TEST(segment, files_are_given_up_by_one_thread_while_another_makes_them)
{
    struct dropper dropper = {NULL, 0};
    struct warp_thread *thread = NULL;
    struct warp_manifest manifest = {0};
    struct warp_segments segments;
    struct warp_memory memory;
    struct warp_disk disk;
    char message[256];

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(test_directory(), &memory, WARP_IO_BACKEND_PLAIN,
                                       false, &disk, message, sizeof(message)),
              ==, 0);
    memset(manifest.id, 0x5a, sizeof(manifest.id));
    manifest.segment_bytes = S;
    manifest.epoch = 1;
    check_int(warp_segments_init(&segments, &disk, &memory, &manifest, false, false), ==,
              0);
    check_int(warp_segments_retain(&segments, NULL, 0), ==, 0);
    dropper.segments = &segments;
    check_int(warp_thread_start(&thread, &memory, "dropper", -1, dropper_main, &dropper),
              ==, 0);
    while (warp_segments_end(&segments) < 202 * (uint64_t)S) {
        uint64_t offset, contiguous;
        int32_t file;

        check_int(warp_segments_extend(&segments), ==, 0);
        check_int(warp_segments_locate(&segments, warp_segments_end(&segments) - 1, &file,
                                       &offset, &contiguous),
                  ==, 0);
    }
    warp_thread_join(&thread);
    check_u64(warp_segments_retained(&segments), ==, 0);
    check_u64(warp_segments_begin(&segments), ==, 200 * (uint64_t)S);
    warp_segments_fini(&segments);
    manifest.epoch = 2;
    manifest.head_position = 200 * (uint64_t)S;
    check_int(warp_segments_init(&segments, &disk, &memory, &manifest, false, false), ==,
              0);
    check_u64(warp_segments_retained(&segments), ==, 0);
    check_u64(warp_segments_end(&segments), ==, 202 * (uint64_t)S);
    check_u64(segments.spare_count, <=, WARP_SEGMENT_SPARES_MAX);
    warp_segments_fini(&segments);
    warp_disk_close(&disk);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(segment, no_memory_is_an_honest_answer)
{
    struct segment_fixture f;

    fixture_make(&f, 1);
    warp_memory_fail_after(&f.memory, 0);
    check_int(fixture_open(&f), ==, WARP_ENOMEM);
    check(f.segments.message[0] != 0);
    warp_memory_fail_after(&f.memory, UINT64_MAX);
    check_int(fixture_open(&f), ==, 0);
    fixture_extend(&f, 2);
    warp_segments_fini(&f.segments);
    f.manifest.head_position = 2 * S;
    warp_memory_fail_after(&f.memory, 1); /* files below the head cannot be remembered */
    check_int(fixture_open(&f), ==, WARP_ENOMEM);
    check(f.segments.message[0] != 0);
    check_u64(warp_memory_bytes(&f.memory), ==, 0);
    warp_memory_fail_after(&f.memory, UINT64_MAX);
    check_int(fixture_open(&f), ==, 0);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, handles_are_bounded_and_the_last_ones_stay)
{
    struct segment_fixture f;
    uint64_t offset, contiguous;
    int32_t file, pinned[8];
    uint32_t i;

    fixture_make(&f, 150);
    check_int(fixture_open(&f), ==, 0);
    check_u64(f.disk->handles, <=, WARP_SEGMENT_HANDLES_MAX);
    for (i = 0; i < 8; i++) {
        check_int(warp_segments_locate(&f.segments, (142 + i) * (uint64_t)S, &pinned[i],
                                       &offset, &contiguous),
                  ==, 0);
    }
    for (i = 0; i < 150; i++) {
        check_int(
            warp_segments_locate(&f.segments, i * (uint64_t)S, &file, &offset, &contiguous),
            ==, 0);
        check_u64(f.disk->handles, <=, WARP_SEGMENT_HANDLES_MAX);
    }
    for (i = 0; i < 8; i++) {
        check_int(warp_segments_locate(&f.segments, (142 + i) * (uint64_t)S, &file, &offset,
                                       &contiguous),
                  ==, 0);
        check_int(file, ==, pinned[i]);
    }
    warp_segments_trim(&f.segments);
    check_u64(f.disk->handles, ==, 8);
    warp_segments_fini(&f.segments);
    check_u64(f.disk->handles, ==, 0);
    fixture_fini(&f);
}

/* A handle in flight must not be closed: located last, it stays while 23 others are. */
WARP_TEST(segment, handles_located_lately_stay_open)
{
    struct segment_fixture f;
    uint64_t offset, contiguous, at;
    int32_t file, other;
    uint32_t i;

    fixture_make(&f, 150);
    check_int(fixture_open(&f), ==, 0);
    for (at = 0; at < 100; at += 7) {
        check_int(warp_segments_locate(&f.segments, at * S, &file, &offset, &contiguous),
                  ==, 0);
        f.disk->handles_max = f.disk->handles; /* every open has to close something */
        for (i = 1; i < WARP_SEGMENT_HANDLES_RECENT; i++) {
            check_int(warp_segments_locate(&f.segments, (at + i) * S, &other, &offset,
                                           &contiguous),
                      ==, 0);
            check_int(other, !=, file);
        }
        f.disk->handles_max = MEMORY_DISK_HANDLES;
    }
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, a_pinned_handle_stays_open_whatever_else_is_opened)
{
    struct segment_fixture f;
    uint64_t offset, contiguous;
    int32_t file, again;
    uint32_t i;

    fixture_make(&f, 150);
    check_int(fixture_open(&f), ==, 0);
    check_int(warp_segments_locate(&f.segments, 5 * S, &file, &offset, &contiguous), ==, 0);
    warp_segments_pin(&f.segments, 5 * S);
    warp_segments_pin(&f.segments, 5 * S + 100);
    for (i = 6; i < 150; i++) {
        check_int(warp_segments_locate(&f.segments, i * (uint64_t)S, &again, &offset,
                                       &contiguous),
                  ==, 0);
        check_int(again, !=, file);
    }
    fixture_extend(&f, 70);
    warp_segments_unpin(&f.segments, 5 * S);
    warp_segments_trim(&f.segments);
    check_int(warp_segments_locate(&f.segments, 5 * S, &again, &offset, &contiguous), ==,
              0);
    check_int(again, ==, file);
    warp_segments_unpin(&f.segments, 5 * S);
    warp_segments_trim(&f.segments);
    check_u64(f.disk->handles, ==, 8);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, it_grows_although_every_handle_is_pinned)
{
    struct segment_fixture f;
    uint64_t offset, contiguous;
    int32_t file;
    uint32_t i;

    fixture_make(&f, 100);
    check_int(fixture_open(&f), ==, 0);
    for (i = 0; i < 56; i++) {
        check_int(
            warp_segments_locate(&f.segments, i * (uint64_t)S, &file, &offset, &contiguous),
            ==, 0);
        warp_segments_pin(&f.segments, i * (uint64_t)S);
    }
    fixture_extend(&f, 20);
    check_u64(warp_segments_end(&f.segments), ==, 120 * (uint64_t)S);
    for (i = 0; i < 56; i++) {
        warp_segments_unpin(&f.segments, i * (uint64_t)S);
    }
    check_int(
        warp_segments_locate(&f.segments, 119 * (uint64_t)S, &file, &offset, &contiguous),
        ==, 0);
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}

WARP_TEST(segment, few_handles_are_enough_or_an_honest_error)
{
    struct segment_fixture f;
    uint64_t offset, contiguous;
    int32_t file;
    uint32_t i;

    fixture_make(&f, 60);
    f.disk->handles_max = 34;
    check_int(fixture_open(&f), ==, 0);
    for (i = 0; i < 60; i++) {
        check_int(
            warp_segments_locate(&f.segments, i * (uint64_t)S, &file, &offset, &contiguous),
            ==, 0);
    }
    fixture_extend(&f, 3);
    warp_segments_fini(&f.segments);
    f.disk->handles_max = 3;
    check_int(fixture_open(&f), ==, WARP_ESYSTEM);
    check(f.segments.message[0] != 0);
    check_u64(f.disk->handles, ==, 0);
    fixture_fini(&f);
}

WARP_TEST(segment, sync_reaches_every_file_of_the_range)
{
    struct segment_fixture f;
    uint64_t before;

    fixture_make(&f, 4);
    check_int(fixture_open(&f), ==, 0);
    before = f.disk->syncs;
    check_int(warp_segments_sync(&f.segments, 100, 100), ==, 0);
    check_u64(f.disk->syncs - before, ==, 0);
    check_int(warp_segments_sync(&f.segments, S - 1, S), ==, 0);
    check_u64(f.disk->syncs - before, ==, 1);
    check_int(warp_segments_sync(&f.segments, S - 1, 3 * S + 1), ==, 0);
    check_u64(f.disk->syncs - before, ==, 5);
    f.disk->fail_at = f.disk->operations;
    f.disk->fail_errno = EIO;
    check_int(warp_segments_sync(&f.segments, 0, 4 * S), ==, WARP_EIO);
    f.disk->fail_at = UINT64_MAX;
    warp_segments_fini(&f.segments);
    fixture_fini(&f);
}
