/*
 * Archive files: what was added comes back by its place, by walking and by listing; and
 * whatever happens to the bytes, never anything else.
 */
#include "wal/archive.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"
#include "tests/sim/sim_disk.h"

#define NUMBER 7u

/* What was added, and where it has gone. */
struct expected {
    uint8_t *key, *value;
    uint32_t key_bytes, value_bytes, slot;
    uint64_t hash, sequence, expires_at_ms, place;
    uint8_t kind;
    bool placed;
};

struct fixture {
    struct memory_disk *memory_disk;
    const struct warp_disk *disk;
    struct warp_memory memory;
    struct warp_manifest manifest;
    struct warp_archive_config config;
    struct warp_archive_totals totals;
    struct expected *items;
    uint32_t count, capacity;
    uint32_t placed; /* calls so far; they come in the order of adding */

    /* What walking and listing met. */
    uint32_t walked, listed, damaged, wrong;
    bool *met;
    uint64_t damaged_from, damaged_bytes; /* the last piece told */
};

/*
 * ---- items ------------------------------------------------------------------------------
 */

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->memory_disk = memory_disk_create();
    f->disk = &f->memory_disk->disk;
    check_int(warp_memory_init(&f->memory, NULL), ==, 0);
    memset(f->manifest.id, 0x5a, sizeof(f->manifest.id));
    f->manifest.segment_bytes = 65536;
    f->manifest.epoch = 3;
    f->config = (struct warp_archive_config){.memory = &f->memory,
                                             .manifest = &f->manifest,
                                             .number = NUMBER,
                                             .block_bytes = 4096,
                                             .level = 1,
                                             .dictionary_bytes = 0,
                                             .buffer_bytes = 16384,
                                             .direct = true};
}

static void fixture_fini(struct fixture *f)
{
    uint32_t i;

    for (i = 0; i < f->count; i++) {
        free(f->items[i].key);
        free(f->items[i].value);
    }
    free(f->items);
    free(f->met);
    check_u64(f->memory_disk->handles, ==, 0);
    memory_disk_destroy(&f->memory_disk);
    check_u64(warp_memory_bytes(&f->memory), ==, 0);
    warp_memory_fini(&f->memory);
}

/* Another item, with a value of zeros. */
static struct expected *fixture_item(struct fixture *f, uint32_t key_bytes,
                                     uint32_t value_bytes)
{
    struct expected *item;
    uint32_t i = f->count;

    if (f->count == f->capacity) {
        f->capacity = f->capacity == 0 ? 64 : f->capacity * 2;
        f->items = realloc(f->items, f->capacity * sizeof(*f->items));
        f->met = realloc(f->met, f->capacity * sizeof(*f->met));
    }
    item = &f->items[f->count++];
    memset(item, 0, sizeof(*item));
    item->key = malloc(key_bytes);
    item->value = calloc(1, value_bytes > 0 ? value_bytes : 1);
    item->key_bytes = key_bytes;
    item->value_bytes = value_bytes;
    item->slot = i / 8 < 16384 ? i / 8 : 16383;
    item->hash = i * UINT64_C(0x9e3779b97f4a7c15);
    item->sequence = UINT64_C(1000000) + i * UINT64_C(104);
    item->kind = WARP_ENTRY_PUT;
    memset(item->key, 'k', key_bytes);
    memcpy(item->key, &i, key_bytes < sizeof(i) ? key_bytes : sizeof(i));
    return item;
}

/*
 * Values of sentences out of a small stock: a block of them hardly repeats itself, but many
 * blocks repeat each other.
 */
#define SENTENCES      60u
#define SENTENCE_BYTES 90u

static void fixture_text(struct fixture *f, uint32_t count)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
    static char stock[SENTENCES][SENTENCE_BYTES];
    struct warp_random random;
    uint32_t i, j;

    warp_random_init(&random, 1);
    for (i = 0; i < SENTENCES; i++) {
        for (j = 0; j < SENTENCE_BYTES; j++) {
            stock[i][j] = letters[warp_random_below(&random, 64)];
        }
    }
    warp_random_init(&random, f->count + 1);
    while (count-- > 0) {
        struct expected *item = fixture_item(f, 12, 2 * SENTENCE_BYTES);

        for (i = 0; i < 2; i++) {
            memcpy(item->value + i * SENTENCE_BYTES,
                   stock[warp_random_below(&random, SENTENCES)], SENTENCE_BYTES);
        }
        item->expires_at_ms = f->count % 3 == 0 ? 1234567890123 + f->count : 0;
    }
}

static void fixture_noise(struct fixture *f, uint32_t count, uint32_t value_bytes)
{
    struct warp_random random;
    uint32_t i;

    warp_random_init(&random, f->count + 77);
    while (count-- > 0) {
        struct expected *item = fixture_item(f, 9, value_bytes);

        for (i = 0; i < value_bytes; i++) {
            item->value[i] = (uint8_t)warp_random_next(&random);
        }
    }
}

/* One of each kind of extreme. */
static void fixture_shapes(struct fixture *f)
{
    fixture_item(f, 1, 0);
    fixture_item(f, 5, 1)->kind = WARP_ENTRY_PUT;
    fixture_item(f, 5, 0)->kind = WARP_ENTRY_DELETE;
    fixture_item(f, 20, 100)->expires_at_ms = UINT64_MAX;
    fixture_item(f, WARP_KEY_BYTES_MAX, 0);
    fixture_item(f, WARP_KEY_BYTES_MAX, 77);
    fixture_noise(f, 1, 1048576);
    fixture_item(f, 8, 1048576);
    fixture_noise(f, 3, 600000);
    fixture_noise(f, 3, 5000);
    fixture_text(f, 50);
    fixture_item(f, 8, 200000);
    fixture_noise(f, 50, 100);
}

/*
 * ---- writing ----------------------------------------------------------------------------
 */

static void fixture_placed(void *context, void *cookie, uint64_t place)
{
    struct fixture *f = context;
    struct expected *item = cookie;

    check(item == &f->items[f->placed]);
    check(!item->placed);
    item->placed = true;
    item->place = place;
    f->placed++;
}

static struct warp_archive_item archive_item(struct expected *item)
{
    struct warp_archive_item out = {
        .slot = item->slot,
        .hash = item->hash,
        .sequence = item->sequence,
        .entry = {.kind = item->kind,
                  .flags = item->expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0,
                  .key_bytes = item->key_bytes,
                  .value_bytes = item->value_bytes,
                  .key = item->key,
                  .value = item->value,
                  .expires_at_ms = item->expires_at_ms},
        .cookie = item};

    /* As it may come out of a batch. */
    out.entry.flags |= item->sequence % 16 == 0 ? WARP_ENTRY_HAS_CHECKSUM : 0;
    return out;
}

static void fixture_forget_places(struct fixture *f)
{
    uint32_t i;

    for (i = 0; i < f->count; i++) {
        f->items[i].placed = false;
    }
    f->placed = 0;
}

/* Write all items into one file; 0, or what failed first. */
static int fixture_write(struct fixture *f)
{
    struct warp_archive_writer *writer = NULL;
    uint32_t i;
    int rc;

    fixture_forget_places(f);
    f->config.disk = f->disk;
    rc = warp_archive_writer_create(&writer, &f->config, fixture_placed, f);
    if (rc < 0) {
        check(writer == NULL);
        return rc;
    }
    for (i = 0; rc == 0 && i < f->count; i++) {
        struct warp_archive_item item = archive_item(&f->items[i]);

        rc = warp_archive_writer_add(writer, &item);
    }
    if (rc == 0) {
        uint64_t bound = warp_archive_writer_bytes(writer);

        rc = warp_archive_writer_seal(writer, &f->totals);
        if (rc == 0) {
            check_u64(f->totals.stored_bytes, <=, bound);
            check_u64(f->totals.stored_bytes, ==, warp_archive_writer_bytes(writer));
            check_u64(f->totals.entries, ==, f->count);
            check_u64(f->placed, ==, f->count);
        }
    }
    warp_archive_writer_destroy(&writer);
    check(writer == NULL);
    return rc;
}

static uint8_t *fixture_bytes(struct fixture *f, uint64_t *bytes)
{
    char name[WARP_ARCHIVE_NAME_BYTES];

    warp_archive_name(f->config.number, name);
    return memory_disk_bytes(f->memory_disk, name, bytes);
}

/*
 * ---- reading ----------------------------------------------------------------------------
 */

static bool same_entry(const struct expected *item, const struct warp_entry *entry,
                       uint64_t sequence)
{
    return entry->kind == item->kind && sequence == item->sequence &&
           entry->key_bytes == item->key_bytes &&
           memcmp(entry->key, item->key, item->key_bytes) == 0 &&
           entry->value_bytes == item->value_bytes &&
           (item->value_bytes == 0 ||
            memcmp(entry->value, item->value, item->value_bytes) == 0) &&
           entry->expires_at_ms == item->expires_at_ms;
}

/* An open file and what must be known of it. */
struct opened {
    struct fixture *f;
    int32_t file;
    struct warp_archive_decoder *decoder;
    struct warp_archive_info *info;
};

static int opened_init(struct opened *o, struct fixture *f)
{
    char name[WARP_ARCHIVE_NAME_BYTES];
    int rc;

    memset(o, 0, sizeof(*o));
    o->f = f;
    warp_archive_name(f->config.number, name);
    o->file = f->disk->ops->open(f->disk->context, name, WARP_FILE_READ_ONLY);
    if (o->file < 0) {
        return WARP_ENOENT;
    }
    rc = warp_archive_decoder_create(&o->decoder, &f->memory, 1);
    if (rc == 0) {
        rc = warp_archive_info_create(&o->info, f->disk, &f->memory, &f->manifest,
                                      o->decoder, o->file, f->config.number);
    }
    return rc;
}

static void opened_fini(struct opened *o)
{
    warp_archive_info_destroy(&o->info);
    warp_archive_decoder_destroy(&o->decoder);
    if (o->file >= 0) {
        o->f->disk->ops->close(o->f->disk->context, o->file);
    }
}

/* Read a place as the engine would: 1 it is `item`, 0 it is something else, or an error. */
static int opened_get(struct opened *o, uint64_t place, const struct expected *item)
{
    const struct warp_disk *disk = o->f->disk;
    struct warp_place at = warp_place_decode(place);
    uint64_t offset = (uint64_t)at.unit * WARP_ARCHIVE_UNIT_BYTES;
    uint8_t head[WARP_ARCHIVE_BLOCK_HEADER_BYTES];
    uint32_t stored = 0, raw = 0;
    uint8_t *block, *scratch;
    struct warp_entry entry;
    uint64_t sequence;
    int64_t got;
    int rc;

    got = disk->ops->read(disk->context, o->file, head, sizeof(head), offset);
    if (got != (int64_t)sizeof(head)) {
        return WARP_EDAMAGED;
    }
    rc = warp_archive_block_size(o->info, head, place, &stored, &raw);
    if (rc < 0) {
        return rc;
    }
    check_u64(stored % WARP_ARCHIVE_UNIT_BYTES, ==, 0);
    check(at.units == 0 ? stored / 512 >= 1024 : stored / 512 == at.units);
    block = malloc(stored);
    scratch = raw > 0 ? malloc(raw) : NULL;
    got = disk->ops->read(disk->context, o->file, block, stored, offset);
    rc = warp_archive_block_entry(o->info, block, got < 0 ? 0 : (uint32_t)got, place,
                                  scratch, raw, &entry, &sequence);
    if (rc == 0) {
        rc = item != NULL && same_entry(item, &entry, sequence);
    }
    free(scratch);
    free(block);
    return rc;
}

static int fixture_visit_entry(void *context, const struct warp_entry *entry,
                               uint64_t sequence, uint64_t place)
{
    struct fixture *f = context;
    uint32_t i = (uint32_t)((sequence - 1000000) / 104);

    if (i >= f->count || !same_entry(&f->items[i], entry, sequence) ||
        f->items[i].place != place || f->met[i]) {
        f->wrong++;
        return 0;
    }
    f->met[i] = true;
    f->walked++;
    return 0;
}

static void fixture_damaged(void *context, uint64_t offset, uint64_t bytes,
                            const char *what)
{
    struct fixture *f = context;

    check(what != NULL && strlen(what) > 0);
    f->damaged++;
    f->damaged_from = offset;
    f->damaged_bytes = bytes;
}

static int fixture_walk(struct fixture *f)
{
    f->walked = f->damaged = f->wrong = 0;
    memset(f->met, 0, f->count * sizeof(*f->met));
    return warp_archive_walk(f->disk, &f->memory, &f->manifest, f->config.number,
                             fixture_visit_entry, fixture_damaged, f);
}

static int fixture_visit_row(void *context, uint32_t slot, uint64_t hash, uint64_t sequence,
                             uint64_t place)
{
    struct fixture *f = context;
    const struct expected *item = &f->items[f->listed];

    if (f->listed >= f->count || item->slot != slot || item->hash != hash ||
        item->sequence != sequence || item->place != place) {
        f->wrong++;
        return 0;
    }
    f->listed++;
    return 0;
}

static int fixture_list(struct fixture *f)
{
    f->listed = f->wrong = 0;
    return warp_archive_list(f->disk, &f->memory, &f->manifest, f->config.number,
                             fixture_visit_row, f);
}

/* Everything is there, whichever way one looks. */
static void fixture_check_all(struct fixture *f)
{
    struct opened o;
    uint32_t i;

    check_int(fixture_walk(f), ==, 0);
    check_u64(f->walked, ==, f->count);
    check_u64(f->damaged, ==, 0);
    check_u64(f->wrong, ==, 0);
    check_int(fixture_list(f), ==, 0);
    check_u64(f->listed, ==, f->count);
    check_u64(f->wrong, ==, 0);
    check_int(opened_init(&o, f), ==, 0);
    for (i = 0; i < f->count; i++) {
        if (!check_int(opened_get(&o, f->items[i].place, &f->items[i]), ==, 1)) {
            break;
        }
    }
    opened_fini(&o);
}

/*
 * ---- round trips ------------------------------------------------------------------------
 */

WARP_TEST(archive, all_shapes_come_back_at_every_setting)
{
    static const uint32_t blocks[] = {1024, 4096, 16384, 262144};
    struct fixture f;
    uint32_t which, i;
    uint64_t bytes, raw = 0;

    fixture_init(&f);
    fixture_shapes(&f);
    for (i = 0; i < f.count; i++) {
        raw += warp_entry_bytes(f.items[i].expires_at_ms != 0 ? 1 : 0, f.items[i].key_bytes,
                                f.items[i].value_bytes);
    }
    for (which = 0; which < 12; which++) {
        f.config.number = which;
        f.config.block_bytes = blocks[which % 4];
        f.config.level = which / 4 == 0 ? 0 : 1;
        f.config.dictionary_bytes = which / 4 == 2 ? 4096 : 0;
        f.config.buffer_bytes = which % 2 == 0 ? 4096 : 65536;
        f.config.direct = which % 3 == 0;
        check_int(fixture_write(&f), ==, 0);
        check_u64(f.totals.raw_bytes, ==, raw);
        fixture_bytes(&f, &bytes);
        check_u64(bytes, ==, f.totals.stored_bytes);
        check_u64(bytes % 4096, ==, 0);
        check(f.config.level == 0 ? f.totals.blocks_compressed == 0
                                  : f.totals.blocks_compressed > 0);
        fixture_check_all(&f);
    }
    fixture_fini(&f);
}

WARP_TEST(archive, thousands_of_small_entries_come_back)
{
    struct fixture f;
    uint32_t i;

    fixture_init(&f);
    for (i = 0; i < 10000; i++) {
        fixture_item(&f, 4, i % 5);
    }
    f.config.block_bytes = 262144; /* more than 1,024 of them would fit */
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.blocks, ==, 10);
    fixture_check_all(&f);
    f.config.number++;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, the_largest_entry_comes_back)
{
    struct fixture f;

    fixture_init(&f);
    fixture_text(&f, 3);
    fixture_item(&f, WARP_KEY_BYTES_MAX, WARP_VALUE_BYTES_MAX);
    fixture_noise(&f, 1, 1100 * 512);
    f.config.buffer_bytes = 1048576;
    for (f.config.level = 0; f.config.level < 2; f.config.level++) {
        f.config.number++;
        check_int(fixture_write(&f), ==, 0);
        check_u64(warp_place_decode(f.items[4].place).units, ==, 0);
        fixture_check_all(&f);
    }
    fixture_fini(&f);
}

WARP_TEST(archive, no_entries_make_a_file_without_any)
{
    struct fixture f;
    struct opened o;

    fixture_init(&f);
    fixture_item(&f, 1, 1);
    f.count = 0;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.stored_bytes, ==, 8192);
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked + f.damaged, ==, 0);
    check_int(fixture_list(&f), ==, 0);
    check_u64(f.listed, ==, 0);
    check_int(opened_init(&o, &f), ==, 0);
    check_int(opened_get(&o, WARP_PLACE_ARCHIVED, NULL), ==, WARP_EDAMAGED);
    opened_fini(&o);
    f.count = 1;
    fixture_fini(&f);
}

WARP_TEST(archive, noise_is_stored_as_it_is)
{
    struct fixture f;

    fixture_init(&f);
    fixture_noise(&f, 2000, 200);
    f.config.dictionary_bytes = 16384;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.blocks_compressed, ==, 0);
    check_u64(f.totals.dictionary_bytes, ==, 0);
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, a_dictionary_is_used_when_it_pays)
{
    struct fixture f;
    uint64_t without;

    fixture_init(&f);
    fixture_text(&f, 12000); /* more than the sample */
    f.config.block_bytes = 1024;
    check_int(fixture_write(&f), ==, 0);
    without = f.totals.stored_bytes;
    check_u64(f.totals.dictionary_bytes, ==, 0);
    f.config.number++;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, >, 0);
    check_u64(f.totals.dictionary_bytes, <=, 4096);
    check_u64(f.totals.stored_bytes, <, without);
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, a_file_learns_from_the_one_before)
{
    struct warp_archive_lesson lesson;
    struct fixture f, noise;
    uint64_t trained;
    uint32_t i;

    fixture_init(&f);
    memset(&lesson, 0, sizeof(lesson));
    lesson.memory = &f.memory;
    fixture_text(&f, 12000);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    f.config.lesson = &lesson;
    check_int(fixture_write(&f), ==, 0);
    check_u64(lesson.files, ==, 1);
    check_u64(lesson.byte_count, ==, f.totals.dictionary_bytes);
    check_u64(f.totals.dictionary_bytes, >, 0);
    check_u64(lesson.permille, <, 950);
    trained = f.totals.stored_bytes;
    fixture_check_all(&f);
    /* The second one takes it over, and is as good. */
    f.config.number++;
    check_int(fixture_write(&f), ==, 0);
    check_u64(lesson.files, ==, 2);
    check_u64(f.totals.stored_bytes, ==, trained);
    fixture_check_all(&f);
    /* To what does not fit it is not kept, and that nothing helped is a lesson, too. */
    fixture_init(&noise);
    fixture_noise(&noise, 12000, 100);
    noise.config.dictionary_bytes = 4096;
    noise.config.lesson = &lesson;
    for (i = 1; i <= 16; i++) {
        noise.config.number++;
        check_int(fixture_write(&noise), ==, 0);
        check_u64(lesson.files, ==, i);
        check_u64(lesson.byte_count, ==, 0);
        check_u64(noise.totals.dictionary_bytes, ==, 0);
    }
    fixture_check_all(&noise);
    fixture_fini(&noise);
    /* But not for ever. */
    f.config.number++;
    check_int(fixture_write(&f), ==, 0);
    check_u64(lesson.files, ==, 1);
    check_u64(f.totals.dictionary_bytes, >, 0);
    warp_archive_lesson_release(&lesson);
    fixture_fini(&f);
}

WARP_TEST(archive, a_dictionary_is_not_used_for_a_handful)
{
    struct fixture f;

    fixture_init(&f);
    fixture_text(&f, 20);
    f.config.dictionary_bytes = 16384;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, ==, 0);
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, the_same_items_make_the_same_bytes)
{
    struct fixture f;
    uint8_t *first, *second;
    uint64_t bytes, again;

    fixture_init(&f);
    fixture_text(&f, 3000);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    first = fixture_bytes(&f, &bytes);
    second = malloc(bytes);
    memcpy(second, first, bytes);
    memory_disk_destroy(&f.memory_disk);
    f.memory_disk = memory_disk_create();
    f.disk = &f.memory_disk->disk;
    check_int(fixture_write(&f), ==, 0);
    first = fixture_bytes(&f, &again);
    check(bytes == again && memcmp(first, second, bytes) == 0);
    free(second);
    fixture_fini(&f);
}

/* A disk that forgets what is written, to fill a file without filling the machine. */
static struct warp_disk_ops forgetful;

static int64_t forget_write(void *context, int32_t file, const void *buffer, size_t bytes,
                            uint64_t offset, bool durable)
{
    (void)context;
    (void)file;
    (void)buffer;
    (void)offset;
    (void)durable;
    return (int64_t)bytes;
}

WARP_TEST(archive, a_full_file_says_again_and_can_be_sealed)
{
    struct fixture f;
    struct warp_disk disk;
    struct warp_archive_writer *writer = NULL;
    struct warp_archive_item item;
    uint32_t added = 0;
    int rc;

    fixture_init(&f);
    fixture_item(&f, 8, WARP_VALUE_BYTES_MAX);
    forgetful = *f.disk->ops;
    forgetful.write = forget_write;
    disk = (struct warp_disk){&forgetful, f.disk->context};
    f.config.disk = &disk;
    f.config.level = 0;
    f.config.buffer_bytes = 1048576;
    item = archive_item(&f.items[0]);
    check_int(warp_archive_writer_create(&writer, &f.config, NULL, NULL), ==, 0);
    do {
        rc = warp_archive_writer_add(writer, &item);
        added += rc == 0;
    } while (rc == 0 && added < 100);
    check_int(rc, ==, WARP_AGAIN);
    check_u64(added, ==, 31);
    /* A smaller one still fits. */
    item.entry.value_bytes = 1000;
    check_int(warp_archive_writer_add(writer, &item), ==, 0);
    check_u64(warp_archive_writer_bytes(writer), <=, WARP_ARCHIVE_FILE_BYTES_MAX);
    check_int(warp_archive_writer_seal(writer, &f.totals), ==, 0);
    check_u64(f.totals.entries, ==, added + 1);
    check_u64(f.totals.stored_bytes, <=, WARP_ARCHIVE_FILE_BYTES_MAX);
    warp_archive_writer_destroy(&writer);
    fixture_fini(&f);
}

WARP_TEST(archive, a_number_is_used_once)
{
    struct fixture f;
    char name[WARP_ARCHIVE_NAME_BYTES];

    fixture_init(&f);
    fixture_text(&f, 10);
    warp_archive_name_aside(NUMBER, name);
    memory_disk_put(f.memory_disk, name, "left by a crash", 15);
    check_int(fixture_write(&f), ==, 0);
    check(memory_disk_bytes(f.memory_disk, name, NULL) == NULL);
    check_int(fixture_write(&f), ==, WARP_EEXIST);
    f.placed = 0;
    fixture_forget_places(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, an_unsealed_file_leaves_nothing)
{
    struct fixture f;
    struct warp_archive_writer *writer = NULL;
    char name[WARP_ARCHIVE_NAME_BYTES];
    uint32_t i;

    fixture_init(&f);
    fixture_noise(&f, 100, 1000);
    f.config.disk = f.disk;
    check_int(warp_archive_writer_create(&writer, &f.config, fixture_placed, &f), ==, 0);
    for (i = 0; i < f.count; i++) {
        struct warp_archive_item item = archive_item(&f.items[i]);

        check_int(warp_archive_writer_add(writer, &item), ==, 0);
    }
    warp_archive_name_aside(NUMBER, name);
    check(memory_disk_bytes(f.memory_disk, name, NULL) != NULL);
    check(fixture_bytes(&f, NULL) == NULL);
    warp_archive_writer_destroy(&writer);
    check(memory_disk_bytes(f.memory_disk, name, NULL) == NULL);
    warp_archive_writer_destroy(&writer); /* of nothing is nothing */
    fixture_fini(&f);
}

/*
 * ---- failing disks, failing memory, power cuts ------------------------------------------
 */

WARP_TEST(archive, writing_survives_each_failing_operation)
{
    static const int errors[] = {EIO, ENOSPC, EMFILE};
    struct fixture f;
    uint32_t n, which;
    uint32_t *numbers = NULL;
    uint32_t count = 0;
    int rc = -1;

    for (which = 0; which < 3; which++) {
        fixture_init(&f);
        fixture_text(&f, 300);
        f.memory_disk->fail_errno = errors[which];
        rc = -1;
        for (n = 0; rc != 0 && n < 200; n++) {
            f.memory_disk->fail_at = f.memory_disk->operations + n;
            rc = fixture_write(&f);
            check(rc == 0 || rc == WARP_EIO || rc == WARP_ENOSPC || rc == WARP_ESYSTEM);
            f.memory_disk->fail_at = UINT64_MAX;
            if (rc != 0) {
                check(fixture_bytes(&f, NULL) == NULL);
                check_u64(f.memory_disk->handles, ==, 0);
                check_u64(warp_memory_bytes(&f.memory), ==, 0);
                check_int(warp_archive_find(f.disk, &f.memory, false, &numbers, &count), ==,
                          0);
                check_u64(count, ==, 0);
            }
        }
        check_int(rc, ==, 0);
        check_u64(n, >, 8);
        fixture_check_all(&f);
        fixture_fini(&f);
    }
}

WARP_TEST(archive, a_writer_that_failed_stays_failed)
{
    struct fixture f;
    struct warp_archive_writer *writer = NULL;
    struct warp_archive_item item;
    uint32_t i;
    int rc = 0;

    fixture_init(&f);
    fixture_noise(&f, 100, 3000);
    f.config.disk = f.disk;
    check_int(warp_archive_writer_create(&writer, &f.config, NULL, NULL), ==, 0);
    f.memory_disk->space_bytes = 50000;
    for (i = 0; i < f.count && rc == 0; i++) {
        item = archive_item(&f.items[i]);
        rc = warp_archive_writer_add(writer, &item);
    }
    check_int(rc, ==, WARP_ENOSPC);
    f.memory_disk->space_bytes = UINT64_MAX;
    check_int(warp_archive_writer_add(writer, &item), ==, WARP_ENOSPC);
    check_int(warp_archive_writer_seal(writer, NULL), ==, WARP_ENOSPC);
    warp_archive_writer_destroy(&writer);
    fixture_fini(&f);
}

WARP_TEST(archive, writing_without_memory_can_be_tried_again)
{
    struct fixture f;
    bool refused = true;
    uint32_t n;

    fixture_init(&f);
    fixture_text(&f, 4000); /* with a dictionary, and more than its sample */
    fixture_noise(&f, 1, 300000);
    fixture_text(&f, 10);
    f.config.dictionary_bytes = 4096;
    f.config.disk = f.disk;
    for (n = 0; refused && n < 300; n++) {
        struct warp_archive_writer *writer = NULL;
        uint32_t i;
        int rc;

        refused = false;
        f.config.number = n;
        fixture_forget_places(&f);
        warp_memory_fail_after(&f.memory, n);
        rc = warp_archive_writer_create(&writer, &f.config, fixture_placed, &f);
        if (rc < 0) {
            check_int(rc, ==, WARP_ENOMEM);
            check_u64(f.memory_disk->handles, ==, 0);
            warp_memory_fail_after(&f.memory, UINT64_MAX);
            check_u64(warp_memory_bytes(&f.memory), ==, 0);
            refused = true;
            continue;
        }
        for (i = 0; i < f.count;) {
            struct warp_archive_item item = archive_item(&f.items[i]);

            rc = warp_archive_writer_add(writer, &item);
            if (rc == WARP_ENOMEM) {
                refused = true;
                warp_memory_fail_after(&f.memory, UINT64_MAX);
                continue;
            }
            check_int(rc, ==, 0);
            i++;
        }
        rc = warp_archive_writer_seal(writer, NULL);
        if (rc == WARP_ENOMEM) {
            refused = true;
            warp_memory_fail_after(&f.memory, UINT64_MAX);
            rc = warp_archive_writer_seal(writer, NULL);
        }
        check_int(rc, ==, 0);
        warp_archive_writer_destroy(&writer);
        warp_memory_fail_after(&f.memory, UINT64_MAX);
        check_u64(f.placed, ==, f.count);
        check_int(fixture_walk(&f), ==, 0);
        check_u64(f.walked, ==, f.count);
        check_u64(f.damaged + f.wrong, ==, 0);
    }
    check(!refused);
    check_u64(n, >, 10);
    fixture_fini(&f);
}

WARP_TEST(archive, reading_without_memory_says_so)
{
    struct fixture f;
    struct opened o;
    uint32_t n, what;
    int rc;

    fixture_init(&f);
    fixture_text(&f, 6000);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, >, 0);
    for (what = 0; what < 3; what++) {
        rc = -1;
        for (n = 0; rc != 0 && n < 100; n++) {
            warp_memory_fail_after(&f.memory, n);
            if (what == 0) {
                rc = fixture_walk(&f);
            } else if (what == 1) {
                rc = fixture_list(&f);
            } else {
                rc = opened_init(&o, &f);
                if (rc == 0) {
                    rc = opened_get(&o, f.items[0].place, &f.items[0]);
                    rc = rc == 1 ? 0 : rc;
                }
                opened_fini(&o);
            }
            check(rc == 0 || rc == WARP_ENOMEM);
            check_u64(f.damaged + f.wrong, ==, 0);
            warp_memory_fail_after(&f.memory, UINT64_MAX);
            check_u64(warp_memory_bytes(&f.memory), ==, 0);
            check_u64(f.memory_disk->handles, ==, 0);
        }
        check_int(rc, ==, 0);
        check_u64(n, >, 3);
    }
    fixture_fini(&f);
}

WARP_TEST(archive, reading_survives_each_failing_operation)
{
    struct fixture f;
    uint32_t n;
    int rc;
    bool all = false;

    fixture_init(&f);
    fixture_noise(&f, 600, 1000); /* several windows */
    check_int(fixture_write(&f), ==, 0);
    f.memory_disk->fail_errno = EIO;
    for (n = 0; !all && n < 100; n++) {
        f.memory_disk->fail_at = f.memory_disk->operations + n;
        rc = fixture_walk(&f);
        check(rc == 0 || rc == WARP_EIO);
        check_u64(f.wrong, ==, 0);
        check_u64(f.memory_disk->handles, ==, 0);
        all = f.memory_disk->operations <= f.memory_disk->fail_at;
        /* A piece that could not be read once is read with the next try, or told. */
        check(rc != 0 || f.walked == f.count || f.damaged > 0);
    }
    check(all);
    for (n = 0, rc = -1; rc != 0 && n < 100; n++) {
        f.memory_disk->fail_at = f.memory_disk->operations + n;
        rc = fixture_list(&f);
        check(rc == 0 || rc == WARP_EIO);
        check_u64(f.memory_disk->handles, ==, 0);
    }
    check_int(rc, ==, 0);
    fixture_fini(&f);
}

WARP_TEST(archive, no_power_cut_leaves_half_a_file)
{
    struct sim_disk_options options = {.direct = true,
                                       .block_bytes = 4096,
                                       .latency_ns_max = 1000,
                                       .stale_percent = 50,
                                       .keep_percent = 40,
                                       .tear_percent = 30,
                                       .capacity_bytes = 1u << 30,
                                       .wall_ms = 1};
    struct sim_disk *sim = NULL;
    struct fixture f;
    uint32_t seed, whole = 0, none = 0;

    fixture_init(&f);
    fixture_text(&f, 200);
    fixture_noise(&f, 30, 2000);
    check_int(sim_disk_create(&sim), ==, 0);
    for (seed = 0; seed < 300; seed++) {
        uint32_t *numbers = NULL;
        uint32_t count = 0;
        int rc;

        options.block_bytes = seed % 2 == 0 ? 512 : 4096;
        sim_disk_reset(sim, seed, &options);
        f.disk = sim_disk_face(sim);
        sim_disk_end_at(sim, seed % 30, (enum sim_where)(seed / 30 % 3), SIM_POWER_CUT);
        rc = fixture_write(&f);
        check(sim_disk_misuse(sim) == NULL);
        sim_disk_end_now(sim, SIM_POWER_CUT);
        sim_disk_restart(sim);
        sim_disk_end_never(sim);
        check_int(warp_archive_find(f.disk, &f.memory, false, &numbers, &count), ==, 0);
        check(rc != 0 || count == 1);
        check_u64(count, <=, 1);
        if (count == 1) {
            check_u64(numbers[0], ==, NUMBER);
            fixture_check_all(&f);
            whole++;
        } else {
            none++;
        }
        warp_memory_release(&f.memory, numbers, count * sizeof(*numbers));
    }
    check_u64(whole, >, 10);
    check_u64(none, >, 10);
    sim_disk_destroy(&sim);
    f.disk = &f.memory_disk->disk;
    fixture_fini(&f);
}

/*
 * ---- damage -----------------------------------------------------------------------------
 */

/* However the file is changed: the right entry or an error, by place, walk and list. */
static void fixture_check_never_wrong(struct fixture *f)
{
    struct opened o;
    uint32_t i;
    int rc;

    rc = opened_init(&o, f);
    check(rc == 0 || rc == WARP_EDAMAGED || rc == WARP_EFORMAT || rc == WARP_EVERSION);
    for (i = 0; rc == 0 && i < f->count; i++) {
        int got = opened_get(&o, f->items[i].place, &f->items[i]);

        check(got == 1 || got == WARP_EDAMAGED || got == WARP_EVERSION);
    }
    opened_fini(&o);
    rc = fixture_walk(f);
    check(rc == 0 || rc == WARP_EFORMAT || rc == WARP_EVERSION);
    check_u64(f->wrong, ==, 0);
    /* What is missing was told. */
    check(rc != 0 || f->walked == f->count || f->damaged > 0);
    rc = fixture_list(f);
    check(rc == 0 || rc == WARP_EDAMAGED || rc == WARP_EFORMAT || rc == WARP_EVERSION);
    check_u64(f->wrong, ==, 0);
    check(rc != 0 || f->listed == f->count);
}

WARP_TEST(archive, no_flipped_byte_makes_a_wrong_entry)
{
    struct fixture f;
    uint64_t bytes, at;
    uint8_t *file;

    fixture_init(&f);
    fixture_text(&f, 12);
    fixture_noise(&f, 3, 300);
    f.config.block_bytes = 1024;
    check_int(fixture_write(&f), ==, 0);
    fixture_check_all(&f);
    file = fixture_bytes(&f, &bytes);
    for (at = 0; at < bytes && test_failures() == 0; at++) {
        file[at] ^= (uint8_t)(1u << at % 8);
        fixture_check_never_wrong(&f);
        file[at] ^= (uint8_t)(1u << at % 8);
    }
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, no_flipped_byte_of_a_dictionary_makes_a_wrong_entry)
{
    struct fixture f;
    uint64_t bytes, at;
    uint8_t *file;

    fixture_init(&f);
    fixture_text(&f, 1500);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, >, 0);
    file = fixture_bytes(&f, &bytes);
    for (at = 4096; at < 4096 + 64 + 4096 && test_failures() == 0; at += 139) {
        file[at] ^= (uint8_t)(1u << at % 8);
        fixture_check_never_wrong(&f);
        file[at] ^= (uint8_t)(1u << at % 8);
    }
    for (at = 9000; at < bytes && test_failures() == 0; at += 7001) {
        file[at] ^= 0xff;
        fixture_check_never_wrong(&f);
        file[at] ^= 0xff;
    }
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, a_file_cut_anywhere_makes_no_wrong_entry)
{
    struct fixture f;
    char name[WARP_ARCHIVE_NAME_BYTES];
    uint64_t bytes, length;
    uint8_t *copy;

    fixture_init(&f);
    fixture_text(&f, 30);
    fixture_noise(&f, 3, 300);
    f.config.block_bytes = 1024;
    check_int(fixture_write(&f), ==, 0);
    copy = malloc(fixture_bytes(&f, &bytes) != NULL ? bytes : 1);
    memcpy(copy, fixture_bytes(&f, NULL), bytes);
    warp_archive_name(NUMBER, name);
    for (length = 0; length < bytes && test_failures() == 0; length += 61) {
        memory_disk_put(f.memory_disk, name, copy, length);
        fixture_check_never_wrong(&f);
        check(fixture_list(&f) == WARP_EDAMAGED);
    }
    free(copy);
    fixture_fini(&f);
}

WARP_TEST(archive, sectors_that_change_places_make_no_wrong_entry)
{
    struct fixture f;
    uint64_t bytes, a, b;
    uint8_t *file;
    uint8_t keep[512];

    fixture_init(&f);
    fixture_text(&f, 30);
    fixture_noise(&f, 10, 300);
    f.config.block_bytes = 1024;
    check_int(fixture_write(&f), ==, 0);
    file = fixture_bytes(&f, &bytes);
    for (a = 0; a < bytes / 512 && test_failures() == 0; a++) {
        for (b = 0; b < bytes / 512; b++) {
            memcpy(keep, file + a * 512, 512);
            memcpy(file + a * 512, file + b * 512, 512);
            fixture_check_never_wrong(&f);
            memcpy(file + a * 512, keep, 512);
        }
    }
    fixture_fini(&f);
}

WARP_TEST(archive, a_place_that_is_not_quite_right_is_refused)
{
    struct fixture f;
    struct opened o;
    uint32_t i, bit;
    uint32_t right = 0;

    fixture_init(&f);
    fixture_text(&f, 30);
    check_int(fixture_write(&f), ==, 0);
    check_int(opened_init(&o, &f), ==, 0);
    for (i = 0; i < f.count; i++) {
        for (bit = 0; bit < 63; bit++) {
            uint64_t place = f.items[i].place ^ UINT64_C(1) << bit;
            int rc = opened_get(&o, place, &f.items[i]);

            /* Another index of the same block is another entry, and says so by its key. */
            check(rc == WARP_EDAMAGED || (rc == 0 && bit < 10));
            right += rc == 1;
        }
    }
    check_u64(right, ==, 0);
    opened_fini(&o);
    fixture_fini(&f);
}

WARP_TEST(archive, a_foreign_file_is_refused)
{
    struct fixture f;
    struct opened o;
    char from[WARP_ARCHIVE_NAME_BYTES], to[WARP_ARCHIVE_NAME_BYTES];
    uint64_t bytes;
    uint8_t *copy;

    fixture_init(&f);
    fixture_text(&f, 30);
    check_int(fixture_write(&f), ==, 0);

    /* Of another database. */
    f.manifest.id[3] ^= 1;
    check_int(opened_init(&o, &f), ==, WARP_EFORMAT);
    opened_fini(&o);
    check_int(fixture_walk(&f), ==, WARP_EFORMAT);
    check_int(fixture_list(&f), ==, WARP_EFORMAT);
    f.manifest.id[3] ^= 1;

    /* Under another number. */
    warp_archive_name(NUMBER, from);
    warp_archive_name(NUMBER + 1, to);
    copy = malloc(fixture_bytes(&f, &bytes) != NULL ? bytes : 1);
    memcpy(copy, fixture_bytes(&f, NULL), bytes);
    memory_disk_put(f.memory_disk, to, copy, bytes);
    f.config.number = NUMBER + 1;
    check_int(opened_init(&o, &f), ==, WARP_EDAMAGED);
    opened_fini(&o);
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, 0);
    check_u64(f.damaged, >, 0);
    check_int(fixture_list(&f), ==, WARP_EDAMAGED);
    f.config.number = NUMBER;

    /* No archive file at all, and none. */
    memset(copy, 'x', bytes);
    memory_disk_put(f.memory_disk, from, copy, bytes);
    check_int(opened_init(&o, &f), ==, WARP_EFORMAT);
    opened_fini(&o);
    check_int(fixture_walk(&f), ==, WARP_EFORMAT);
    memory_disk_remove(f.memory_disk, from);
    check_int(fixture_walk(&f), ==, WARP_ENOENT);
    check_int(fixture_list(&f), ==, WARP_ENOENT);
    free(copy);
    fixture_fini(&f);
}

WARP_TEST(archive, blocks_of_an_earlier_try_do_not_pass)
{
    struct fixture f;
    struct opened o;
    uint64_t bytes, at;
    uint8_t *old, *file;
    uint32_t i;

    /* The same number, written in an epoch that ended with a crash. */
    fixture_init(&f);
    fixture_noise(&f, 30, 200);
    check_int(fixture_write(&f), ==, 0);
    old = malloc(fixture_bytes(&f, &bytes) != NULL ? bytes : 1);
    memcpy(old, fixture_bytes(&f, NULL), bytes);
    memory_disk_destroy(&f.memory_disk);
    f.memory_disk = memory_disk_create();
    f.disk = &f.memory_disk->disk;
    f.manifest.epoch++;
    check_int(fixture_write(&f), ==, 0);
    fixture_check_all(&f);
    file = fixture_bytes(&f, NULL);
    for (at = 4096; at < bytes - 4096; at++) {
        file[at] = old[at];
    }
    check_int(opened_init(&o, &f), ==, 0);
    for (i = 0; i < f.count; i++) {
        check_int(opened_get(&o, f.items[i].place, &f.items[i]), ==, WARP_EDAMAGED);
    }
    opened_fini(&o);
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, 0);
    check_int(fixture_list(&f), ==, WARP_EDAMAGED);
    free(old);
    fixture_fini(&f);
}

WARP_TEST(archive, walk_goes_on_behind_a_damaged_block)
{
    struct fixture f;
    struct warp_place place;
    uint64_t offset;
    uint32_t lost, i;
    uint8_t *file;

    fixture_init(&f);
    fixture_noise(&f, 100, 500);
    check_int(fixture_write(&f), ==, 0);
    file = fixture_bytes(&f, NULL);
    place = warp_place_decode(f.items[50].place);
    for (lost = 0, i = 0; i < f.count; i++) {
        lost += warp_place_decode(f.items[i].place).unit == place.unit;
    }
    offset = (uint64_t)place.unit * 512;

    /* Its content. */
    file[offset + 1000] ^= 4;
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, f.count - lost);
    check_u64(f.damaged, ==, 1);
    check_u64(f.damaged_from, ==, offset);
    check_u64(f.damaged_bytes, ==, place.units * 512u);
    check_u64(f.wrong, ==, 0);
    file[offset + 1000] ^= 4;

    /* Its header: then its length is not known, and the next one is searched. */
    file[offset + 17] ^= 4;
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, f.count - lost);
    check_u64(f.damaged, ==, 1);
    check_u64(f.damaged_from, ==, offset);
    check_u64(f.damaged_bytes, ==, place.units * 512u);
    file[offset + 17] ^= 4;

    /* The disk cannot read a part of it. */
    f.memory_disk->bad_name = "archive-0000000000000007.warp";
    f.memory_disk->bad_offset = offset + 1000;
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, f.count - lost);
    check_u64(f.damaged, ==, 1);
    check_u64(f.damaged_from, ==, offset);
    f.memory_disk->bad_name = NULL;
    fixture_check_all(&f);
    fixture_fini(&f);
}

WARP_TEST(archive, walk_goes_on_behind_damaged_pages)
{
    struct fixture f;
    uint64_t bytes;
    uint8_t *file;

    fixture_init(&f);
    fixture_noise(&f, 100, 500);
    check_int(fixture_write(&f), ==, 0);
    file = fixture_bytes(&f, &bytes);

    memset(file, 'x', 4096);
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, f.count);
    check_u64(f.damaged, ==, 1);
    check_u64(f.damaged_bytes, ==, 4096);
    check_int(fixture_list(&f), <, 0);

    memset(file + bytes - 4096, 'x', 4096);
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, f.count);
    check_u64(f.wrong, ==, 0);
    check_u64(f.damaged, >=, 2);
    fixture_fini(&f);
}

WARP_TEST(archive, without_its_dictionary_a_block_is_told_lost)
{
    struct fixture f;
    struct opened o;

    fixture_init(&f);
    fixture_text(&f, 3000);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, >, 0);
    fixture_bytes(&f, NULL)[4096 + 200] ^= 1;
    check_int(opened_init(&o, &f), ==, WARP_EDAMAGED);
    opened_fini(&o);
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, <, f.count);
    check_u64(f.damaged, >, 1);
    check_u64(f.wrong, ==, 0);
    fixture_fini(&f);
}

/* The header page says only how long the dictionary is, and so does the dictionary's own block. */
WARP_TEST(archive, without_its_header_page_the_dictionary_is_found_all_the_same)
{
    struct fixture f;

    fixture_init(&f);
    fixture_text(&f, 3000);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, >, 0);
    fixture_bytes(&f, NULL)[200] ^= 1;
    check_int(fixture_walk(&f), ==, 0);
    check_u64(f.walked, ==, f.count);
    check_u64(f.damaged, ==, 1);
    check_u64(f.wrong, ==, 0);
    fixture_fini(&f);
}

WARP_TEST(archive, a_scratch_that_is_too_small_is_refused)
{
    struct fixture f;
    struct opened o;
    struct warp_entry entry;
    uint64_t sequence;
    uint32_t stored, raw;
    const uint8_t *block;
    uint8_t scratch[4096];

    fixture_init(&f);
    fixture_text(&f, 40);
    check_int(fixture_write(&f), ==, 0);
    check_int(opened_init(&o, &f), ==, 0);
    block = fixture_bytes(&f, NULL) + 4096;
    check_int(warp_archive_block_size(o.info, block, f.items[0].place, &stored, &raw), ==,
              0);
    check_u64(raw, >, 0);
    check_u64(raw, <=, sizeof(scratch));
    check_int(warp_archive_block_entry(o.info, block, stored, f.items[0].place, scratch,
                                       raw - 1, &entry, &sequence),
              ==, WARP_EINVAL);
    check_int(warp_archive_block_entry(o.info, block, 63, f.items[0].place, scratch, raw,
                                       &entry, &sequence),
              ==, WARP_EDAMAGED);
    check_int(warp_archive_block_entry(o.info, block, 512, f.items[0].place, scratch, raw,
                                       &entry, &sequence),
              ==, WARP_EDAMAGED);
    check_int(warp_archive_block_entry(o.info, block, stored, 4096, scratch, raw, &entry,
                                       &sequence),
              ==, WARP_EDAMAGED);
    check_int(warp_archive_block_entry(o.info, block, stored, f.items[0].place, scratch,
                                       raw, &entry, &sequence),
              ==, 0);
    check(same_entry(&f.items[0], &entry, sequence));
    opened_fini(&o);
    fixture_fini(&f);
}

static int stop_entry(void *context, const struct warp_entry *entry, uint64_t sequence,
                      uint64_t place)
{
    uint32_t *left = context;

    (void)entry;
    (void)sequence;
    (void)place;
    return --*left == 0 ? 42 : 0;
}

static int stop_row(void *context, uint32_t slot, uint64_t hash, uint64_t sequence,
                    uint64_t place)
{
    (void)slot;
    (void)hash;
    return stop_entry(context, NULL, sequence, place);
}

WARP_TEST(archive, a_visitor_may_stop)
{
    struct fixture f;
    uint32_t left = 5;

    fixture_init(&f);
    fixture_text(&f, 40);
    check_int(fixture_write(&f), ==, 0);
    check_int(
        warp_archive_walk(f.disk, &f.memory, &f.manifest, NUMBER, stop_entry, NULL, &left),
        ==, 42);
    left = 5;
    check_int(warp_archive_list(f.disk, &f.memory, &f.manifest, NUMBER, stop_row, &left),
              ==, 42);
    fixture_fini(&f);
}

/*
 * ---- finding ----------------------------------------------------------------------------
 */

WARP_TEST(archive, find_sorts_and_clears_away_what_is_half_made)
{
    static const char *const others[] = {
        "archive-0000000000000001.warpx",  "archive-1.warp",
        "archive-000000000000000A.warp",   "archive-ffffffffffffffff.warp",
        "archive-0000000000400000.warp",   "log-0000000000000001.warp",
        "archive-0000000000000001.new.new"};
    struct fixture f;
    char name[WARP_ARCHIVE_NAME_BYTES];
    uint32_t *numbers = NULL;
    uint32_t count = 99, i;
    uint64_t n;
    int rc;

    fixture_init(&f);
    check_int(warp_archive_find(f.disk, &f.memory, false, &numbers, &count), ==, 0);
    check(numbers == NULL && count == 0);
    for (i = 0; i < 40; i++) {
        warp_archive_name((i * 7919) % 41, name);
        memory_disk_put(f.memory_disk, name, "x", 1);
        warp_archive_name_aside(1000 + i, name);
        memory_disk_put(f.memory_disk, name, "x", 1);
    }
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        memory_disk_put(f.memory_disk, others[i], "x", 1);
    }
    check_int(warp_archive_find(f.disk, &f.memory, true, &numbers, &count), ==, 0);
    check_u64(count, ==, 40);
    warp_memory_release(&f.memory, numbers, count * sizeof(*numbers));
    warp_archive_name_aside(1000, name);
    check(memory_disk_bytes(f.memory_disk, name, NULL) != NULL);

    warp_memory_fail_after(&f.memory, 0);
    check_int(warp_archive_find(f.disk, &f.memory, true, &numbers, &count), ==,
              WARP_ENOMEM);
    warp_memory_fail_after(&f.memory, UINT64_MAX);

    f.memory_disk->fail_errno = EIO;
    for (rc = -1, n = 0; rc != 0 && n < 100; n++) {
        f.memory_disk->fail_at = f.memory_disk->operations + n;
        rc = warp_archive_find(f.disk, &f.memory, false, &numbers, &count);
        check(rc == 0 || rc == WARP_EIO);
    }
    check_int(rc, ==, 0);
    check_u64(count, ==, 40);
    for (i = 1; i < count; i++) {
        check_u64(numbers[i - 1], <, numbers[i]);
    }
    warp_memory_release(&f.memory, numbers, count * sizeof(*numbers));
    for (i = 0; i < 40; i++) {
        warp_archive_name_aside(1000 + i, name);
        check(memory_disk_bytes(f.memory_disk, name, NULL) == NULL);
    }
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        check(memory_disk_bytes(f.memory_disk, others[i], NULL) != NULL);
    }
    fixture_fini(&f);
}

/*
 * ---- threads ----------------------------------------------------------------------------
 */

struct reader_thread {
    pthread_t thread;
    struct warp_archive_info *info;
    const struct fixture *f;
    const uint8_t *file;
    uint32_t wrong, seed;
};

static void *read_often(void *context)
{
    struct reader_thread *reader = context;
    struct warp_random random;
    uint8_t scratch[4096];
    uint32_t i;

    warp_random_init(&random, reader->seed);
    for (i = 0; i < 2000; i++) {
        const struct expected *item =
            &reader->f->items[warp_random_below(&random, reader->f->count)];
        struct warp_place at = warp_place_decode(item->place);
        struct warp_entry entry;
        uint64_t sequence;

        if (warp_archive_block_entry(reader->info, reader->file + at.unit * (size_t)512,
                                     at.units * 512, item->place, scratch, sizeof(scratch),
                                     &entry, &sequence) != 0 ||
            !same_entry(item, &entry, sequence)) {
            reader->wrong++;
        }
    }
    return NULL;
}

WARP_TEST(archive, many_threads_read_one_file)
{
    struct reader_thread threads[4];
    struct fixture f;
    struct opened o;
    uint32_t i;

    fixture_init(&f);
    fixture_text(&f, 12000);
    f.config.block_bytes = 1024;
    f.config.dictionary_bytes = 4096;
    check_int(fixture_write(&f), ==, 0);
    check_u64(f.totals.dictionary_bytes, >, 0);
    check_int(opened_init(&o, &f), ==, 0);
    for (i = 0; i < 4; i++) {
        threads[i] = (struct reader_thread){
            .info = o.info, .f = &f, .file = fixture_bytes(&f, NULL), .seed = i};
        pthread_create(&threads[i].thread, NULL, read_often, &threads[i]);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i].thread, NULL);
        check_u64(threads[i].wrong, ==, 0);
    }
    opened_fini(&o);
    fixture_fini(&f);
}
