/* Many values out of one read: each is the one its place names, or an error. */
#include "wal/stretch.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/memory_disk.h"
#include "tests/lib/test.h"
#include "wal/segment.h"

enum { ITEMS = 400, NUMBER = 7, SEGMENT = 65536 };

struct fixture {
    struct memory_disk *disk;
    struct warp_memory memory;
    struct warp_manifest manifest;
    struct warp_stretch stretch;
    uint64_t places[ITEMS];
    uint32_t placed;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->disk = memory_disk_create();
    f->disk->strict = true;
    check_int(warp_memory_init(&f->memory, NULL), ==, 0);
    memset(f->manifest.id, 0x5a, sizeof(f->manifest.id));
    f->manifest.segment_bytes = SEGMENT;
    f->manifest.epoch = 3;
    warp_stretch_init(&f->stretch, &f->disk->disk, &f->memory, &f->manifest, 32768, true);
}

static void fixture_fini(struct fixture *f)
{
    warp_stretch_fini(&f->stretch);
    check_u64(f->disk->handles, ==, 0);
    check_u64(warp_memory_bytes(&f->memory), ==, 0);
    memory_disk_destroy(&f->disk);
    warp_memory_fini(&f->memory);
}

static uint32_t text_of(uint32_t i, char key[16], char value[200])
{
    int n = snprintf(value, 200, "value %u ", i);

    snprintf(key, 16, "key-%04u", i);
    memset(value + n, 'a' + (int)(i % 26), 120);
    return (uint32_t)n + 120;
}

static void placed(void *context, void *cookie, uint64_t place)
{
    struct fixture *f = context;

    (void)cookie;
    f->places[f->placed++] = place;
}

static void make_archive(struct fixture *f)
{
    struct warp_archive_config config = {.disk = &f->disk->disk,
                                         .memory = &f->memory,
                                         .manifest = &f->manifest,
                                         .number = NUMBER,
                                         .block_bytes = 4096,
                                         .level = 1,
                                         .buffer_bytes = 16384};
    struct warp_archive_writer *writer = NULL;
    char key[16], value[200];
    uint32_t i;

    check_int(warp_archive_writer_create(&writer, &config, placed, f), ==, 0);
    for (i = 0; i < ITEMS; i++) {
        struct warp_archive_item item = {.slot = i, .hash = i, .sequence = 1000 + i};

        item.entry.kind = WARP_ENTRY_PUT;
        item.entry.value_bytes = text_of(i, key, value);
        item.entry.key = key;
        item.entry.key_bytes = 8;
        item.entry.value = value;
        check_int(warp_archive_writer_add(writer, &item), ==, 0);
    }
    check_int(warp_archive_writer_seal(writer, NULL), ==, 0);
    warp_archive_writer_destroy(&writer);
    check_u64(f->placed, ==, ITEMS);
}

/* All places from `from` on that one read takes. */
static uint32_t stretch(const struct fixture *f, uint32_t from,
                        struct warp_stretch_extent *all)
{
    uint32_t i;

    for (i = from; i < ITEMS; i++) {
        struct warp_stretch_item item = {.place = f->places[i]};
        struct warp_stretch_extent one;

        check(warp_stretch_extent(&f->stretch, &item, &one));
        if (i == from) {
            *all = one;
        }
        if (one.end - all->begin > warp_stretch_span_max(&f->stretch)) {
            break;
        }
        all->end = one.end;
    }
    return i;
}

static bool is_item(struct fixture *f, uint32_t i)
{
    struct warp_stretch_item item = {.place = f->places[i]};
    struct warp_entry entry;
    uint64_t sequence = 0;
    char key[16], value[200];
    uint32_t bytes = text_of(i, key, value);

    return warp_stretch_entry(&f->stretch, &item, &entry, &sequence) == 0 &&
           sequence == 1000 + i && entry.key_bytes == 8 && entry.value_bytes == bytes &&
           memcmp(entry.key, key, 8) == 0 && memcmp(entry.value, value, bytes) == 0;
}

WARP_TEST(stretch, gives_all_entries_of_an_archive_by_few_reads)
{
    struct fixture f;
    struct warp_stretch_extent extent;
    uint32_t at = 0, until;

    fixture_init(&f);
    make_archive(&f);
    while (at < ITEMS) {
        until = stretch(&f, at, &extent);
        check_int(warp_stretch_read(&f.stretch, &extent), ==, 0);
        for (; at < until; at++) {
            if (!check(is_item(&f, at))) {
                at = until = ITEMS;
            }
        }
    }
    check_u64(f.stretch.reads, <=, 3);
    (void)stretch(&f, ITEMS - 1, &extent);
    check_int(warp_stretch_read(&f.stretch, &extent), ==, 0);
    check(is_item(&f, ITEMS - 1));
    check(!is_item(&f, 0)); /* no longer in the window */
    fixture_fini(&f);
}

WARP_TEST(stretch, one_damaged_block_costs_its_own_entries)
{
    struct fixture f;
    struct warp_stretch_extent extent;
    struct warp_place first;
    char name[WARP_ARCHIVE_NAME_BYTES];
    uint32_t i, until, wrong = 0;
    uint64_t bytes = 0;
    uint8_t *file;

    fixture_init(&f);
    make_archive(&f);
    warp_archive_name(NUMBER, name);
    file = memory_disk_bytes(f.disk, name, &bytes);
    first = warp_place_decode(f.places[30]);
    file[first.unit * WARP_ARCHIVE_UNIT_BYTES + 100] ^= 4;
    until = stretch(&f, 0, &extent);
    check_int(warp_stretch_read(&f.stretch, &extent), ==, 0);
    for (i = 0; i < until; i++) {
        bool same = warp_place_decode(f.places[i]).unit == first.unit;

        check(is_item(&f, i) == !same);
        wrong += same;
    }
    check_u64(wrong, >, 0);
    check_u64(wrong, <, until);
    fixture_fini(&f);
}

WARP_TEST(stretch, what_is_not_there_is_an_error_and_nothing_else)
{
    struct fixture f;
    struct warp_stretch_extent extent;
    struct warp_stretch_item item = {.place = 100, .entry_bytes = 50};
    struct warp_entry entry;
    uint64_t sequence;

    fixture_init(&f);
    check(warp_stretch_extent(&f.stretch, &item, &extent));
    check_int(warp_stretch_read(&f.stretch, &extent), ==, WARP_ENOENT);
    check_int(warp_stretch_entry(&f.stretch, &item, &entry, &sequence), ==, WARP_EDAMAGED);
    memory_disk_put(f.disk, "log-0000000000000000.warp", "short", 5);
    check_int(warp_stretch_read(&f.stretch, &extent), ==, WARP_EDAMAGED);
    check_int(warp_stretch_entry(&f.stretch, &item, &entry, &sequence), ==, WARP_EDAMAGED);
    fixture_fini(&f);
}

WARP_TEST(stretch, values_of_the_log_lie_where_frames_and_batches_put_them)
{
    struct fixture f;
    static uint8_t log[WARP_SEGMENT_HEADER_BYTES + SEGMENT];
    struct warp_stretch_item item = {.place = 4096 + 32, .in_batch = false};
    struct warp_stretch_extent extent;
    struct warp_entry entry = {.kind = WARP_ENTRY_PUT,
                               .key = "key",
                               .key_bytes = 3,
                               .value = "value",
                               .value_bytes = 5};
    uint8_t *at = log + WARP_SEGMENT_HEADER_BYTES + 4096;
    struct warp_frame frame = {.position = 4096, .epoch = 1, .kind = WARP_FRAME_RECORD};
    uint64_t sequence = 0;
    size_t header;

    fixture_init(&f);
    header = warp_entry_encode_header(at + 32, &entry);
    memcpy(at + 32 + header, "keyvalue", 8);
    item.entry_bytes = (uint32_t)header + 8;
    frame.body_bytes = item.entry_bytes;
    frame.body_crc = warp_crc32c(0, at + 32, frame.body_bytes);
    warp_frame_encode_header(at, &frame, warp_manifest_seed(&f.manifest));
    memory_disk_put(f.disk, "log-0000000000000000.warp", log, sizeof(log));
    check(warp_stretch_extent(&f.stretch, &item, &extent));
    check_u64(extent.file, ==, 0);
    check_u64(extent.begin, ==, WARP_SEGMENT_HEADER_BYTES + 4096);
    check_int(warp_stretch_read(&f.stretch, &extent), ==, 0);
    check_int(warp_stretch_entry(&f.stretch, &item, &entry, &sequence), ==, 0);
    check_u64(sequence, ==, item.place);
    check_bytes(entry.value, entry.value_bytes, "value", 5);
    item.in_batch = true; /* it has no checksum of its own */
    check_int(warp_stretch_entry(&f.stretch, &item, &entry, &sequence), ==, WARP_EDAMAGED);
    item.in_batch = false;
    item.place += 8; /* that frame is not there */
    check_int(warp_stretch_entry(&f.stretch, &item, &entry, &sequence), ==, WARP_EDAMAGED);
    /* In two files, or longer than the window: not for a stretch. */
    item.place = SEGMENT - 10;
    check(!warp_stretch_extent(&f.stretch, &item, &extent));
    item.place = 4096;
    item.entry_bytes = 40000;
    check(!warp_stretch_extent(&f.stretch, &item, &extent));
    fixture_fini(&f);
}
