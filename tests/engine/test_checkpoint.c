/* What opens when a checkpoint, or both that are kept, cannot be read. */
#include "tests/engine/fixture.h"

#include <sys/stat.h>

#include "engine/engine.h"

#define RECORDS 3000u

static void name_of(const char *directory, uint64_t number, char out[SUPPORT_PATH_BYTES])
{
    snprintf(out, SUPPORT_PATH_BYTES, "%.250s/checkpoint-%016llx.warp", directory,
             (unsigned long long)number);
}

static bool is_there(const char *directory, uint64_t number)
{
    char path[SUPPORT_PATH_BYTES];

    name_of(directory, number, path);
    return access(path, F_OK) == 0;
}

static void flip(const char *directory, uint64_t number, off_t offset)
{
    char path[SUPPORT_PATH_BYTES];
    uint8_t byte = 0;
    int file;

    name_of(directory, number, path);
    file = open(path, O_RDWR);
    check(file >= 0 && pread(file, &byte, 1, offset) == 1);
    byte ^= 0x40;
    check(pwrite(file, &byte, 1, offset) == 1);
    close(file);
}

static off_t half_of(const char *directory, uint64_t number)
{
    char path[SUPPORT_PATH_BYTES];
    struct stat about;

    name_of(directory, number, path);
    check_int(stat(path, &about), ==, 0);
    return about.st_size / 2;
}

static void put_round(struct warp *db, uint32_t round, uint32_t step)
{
    char key[32], value[64];
    uint32_t i;

    for (i = 0; i < RECORDS; i += step) {
        snprintf(key, sizeof(key), "key-%u", i);
        snprintf(value, sizeof(value), "value-%u-of-%u", i, round);
        check_int(fixture_put(db, key, value), ==, 0);
    }
}

/* Every third key is of round 2, every fifth of round 3, 7 of 11 of the others are gone. */
static void fill(const char *directory)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(directory, &options);
    char key[32];
    uint32_t i;

    if (db == NULL) {
        return;
    }
    put_round(db, 1, 1);
    check_int(warp_checkpoint(db), ==, 0);
    put_round(db, 2, 3);
    check_int(warp_checkpoint(db), ==, 0);
    put_round(db, 3, 5);
    for (i = 0; i < RECORDS; i++) {
        if (i % 3 != 0 && i % 5 != 0 && i % 11 < 7) {
            snprintf(key, sizeof(key), "key-%u", i);
            check_int(warp_delete(db, support_text(key), NULL, NULL), ==, 0);
        }
    }
    check_int(warp_close(&db), ==, 0);
}

static void check_filled(const char *directory)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(directory, &options);
    char key[32], value[256], right[64];
    uint32_t i;

    if (db == NULL) {
        return;
    }
    for (i = 0; i < RECORDS; i++) {
        uint32_t round = i % 5 == 0 ? 3 : i % 3 == 0 ? 2 : 1;

        snprintf(key, sizeof(key), "key-%u", i);
        snprintf(right, sizeof(right), "value-%u-of-%u", i, round);
        check_str(fixture_get(db, key, value),
                  round == 1 && i % 11 < 7 ? "(absent)" : right);
    }
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(checkpoint, the_newest_is_opened)
{
    char directory[SUPPORT_PATH_BYTES];

    support_directory(directory, "checkpoint");
    fill(directory);
    check(is_there(directory, 1) && is_there(directory, 2));
    check_filled(directory);
    check(is_there(directory, 1) && is_there(directory, 2));
    support_remove(directory);
}

/* A damaged one stays away for good: what only it names may be given up from now on. */
WARP_TEST(checkpoint, the_older_one_stands_in_for_a_damaged_one)
{
    static const char *const where[] = {"header", "middle"};
    char directory[SUPPORT_PATH_BYTES];
    uint32_t i;

    for (i = 0; i < 2; i++) {
        support_directory(directory, "checkpoint");
        fill(directory);
        flip(directory, 2, i == 0 ? 20 : half_of(directory, 2));
        check_filled(directory);
        if (!check(is_there(directory, 1) && !is_there(directory, 2))) {
            printf("    damage in the %s\n", where[i]);
        }
        check_filled(directory);
        support_remove(directory);
    }
}

WARP_TEST(checkpoint, an_older_one_that_cannot_be_read_goes)
{
    char directory[SUPPORT_PATH_BYTES];

    support_directory(directory, "checkpoint");
    fill(directory);
    flip(directory, 1, 20);
    check_filled(directory);
    check(!is_there(directory, 1) && is_there(directory, 2));
    check_filled(directory);
    support_remove(directory);
}

WARP_TEST(checkpoint, nothing_goes_when_none_can_be_read)
{
    struct warp_options options = fixture_options();
    char directory[SUPPORT_PATH_BYTES], message[512];
    struct warp *db = NULL;

    support_directory(directory, "checkpoint");
    fill(directory);
    flip(directory, 1, 20);
    flip(directory, 2, 20);
    check_int(fixture_try(directory, &options, &db, message), ==, WARP_EDAMAGED);
    check(strstr(message, "checkpoint") != NULL);
    check(is_there(directory, 1) && is_there(directory, 2));
    flip(directory, 1, 20);
    flip(directory, 2, 20);
    check_filled(directory);
    support_remove(directory);
}

WARP_TEST(checkpoint, a_reader_leaves_a_damaged_one)
{
    struct warp_options options = fixture_options();
    char directory[SUPPORT_PATH_BYTES];
    struct warp *db;

    support_directory(directory, "checkpoint");
    fill(directory);
    flip(directory, 2, 20);
    options.open_flags = WARP_READ_ONLY;
    db = fixture_open(directory, &options);
    check_int(warp_close(&db), ==, 0);
    check(is_there(directory, 1) && is_there(directory, 2));
    support_remove(directory);
}

WARP_TEST(checkpoint, background_permille_is_the_budget_of_upkeep)
{
    struct warp_options options = fixture_options();
    char directory[SUPPORT_PATH_BYTES];
    struct warp *db;

    support_directory(directory, "budget");
    db = fixture_open(directory, &options);
    check_u64(db->background->budget_permille, ==, 250);
    check_int(warp_close(&db), ==, 0);
    options.background_permille = 1000;
    db = fixture_open(directory, &options);
    check_u64(db->background->budget_permille, ==, 1000);
    check_int(warp_checkpoint(db), ==, 0);
    check_int(warp_close(&db), ==, 0);
    support_remove(directory);
}
