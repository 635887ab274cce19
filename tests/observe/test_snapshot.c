#include "observe/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"
#include "warp/warp.h"

#define SHARDS 3u

struct image {
    struct warp_snapshot_layout layout;
    struct warp_snapshot snapshot;
    struct warp_catalogue_shard shards[SHARDS];
    uint8_t owners[WARP_SLOT_COUNT];
    struct warp_snapshot_slow slow[WARP_SNAPSHOT_SLOW];
    struct warp_snapshot_hot hot[WARP_SNAPSHOT_HOT];
    uint8_t *bytes;
};

/* Every value is one of its own: base, base + 1, ... */
static void image_fill(struct image *image, uint64_t sequence, uint64_t base)
{
    uint64_t *values = (uint64_t *)&image->snapshot.values;
    uint64_t *shards = (uint64_t *)image->shards;
    uint32_t i;

    for (i = 0; i < WARP_CATALOGUE_VALUES; i++) {
        values[i] = base + i;
    }
    for (i = 0; i < SHARDS * WARP_CATALOGUE_SHARD_VALUES; i++) {
        shards[i] = base + 1000 + i;
    }
    image->snapshot.histograms[1].count = base + 5000;
    image->snapshot.histograms[1].buckets[3] = base + 5001;
    image->snapshot.about.sequence = sequence;
    image->snapshot.about.state = WARP_SNAPSHOT_OPEN;
    memcpy(image->snapshot.about.version, "1.2.3", 6);
    image->snapshot.shards = image->shards;
    image->snapshot.shard_count = SHARDS;
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        image->owners[i] = (uint8_t)((i + sequence) % SHARDS);
    }
    image->snapshot.owners = image->owners;
    image->snapshot.owner_count = WARP_SLOT_COUNT;
    for (i = 0; i < WARP_SNAPSHOT_SLOW; i++) {
        image->slow[i].number = base + 7000 + i;
        image->slow[i].stages_ns[WARP_SLOW_PACE] = base + i;
        memcpy(image->slow[i].key, "a key", 6);
    }
    image->snapshot.slow = image->slow;
    image->snapshot.slow_count = WARP_SNAPSHOT_SLOW;
    for (i = 0; i < WARP_SNAPSHOT_HOT; i++) {
        image->hot[i].count = base + 9000 + i;
        memcpy(image->hot[i].key, "hot", 4);
    }
    image->snapshot.hot = image->hot;
    image->snapshot.hot_count = WARP_SNAPSHOT_HOT;
    image->snapshot.hot_total = base + 9999;
}

static void image_put(struct image *image)
{
    (void)warp_snapshot_write_slot(image->bytes + image->layout.head_bytes +
                                       image->snapshot.about.sequence % 2 *
                                           image->layout.slot_bytes,
                                   &image->snapshot);
}

/* Two snapshots, 7 and 8, with values from 70,000 and 80,000 on. */
static void image_init(struct image *image)
{
    memset(image, 0, sizeof(*image));
    warp_snapshot_layout(&image->layout, SHARDS);
    image->bytes = calloc(1, image->layout.image_bytes);
    warp_snapshot_write_head(image->bytes, SHARDS);
    image_fill(image, 7, 70000);
    image_put(image);
    image_fill(image, 8, 80000);
    image_put(image);
}

static struct warp_reading_row rows[WARP_SNAPSHOT_ROWS_MAX];

/* Of a copy, exactly as long, so that a sanitizer sees who reads on. */
static int image_read(const uint8_t *from, size_t bytes, struct warp_reading *reading,
                      void **copy)
{
    *copy = malloc(bytes + 1);
    memcpy(*copy, from, bytes);
    memset(reading, 0, sizeof(*reading));
    return warp_snapshot_read(*copy, bytes, rows, reading);
}

WARP_TEST(snapshot, comes_back_as_it_was)
{
    const struct warp_reading_row *catalogue = warp_snapshot_catalogue();
    struct warp_reading reading;
    struct image image;
    const uint64_t *words;
    void *copy;
    uint32_t i;

    image_init(&image);
    check_int(image_read(image.bytes, image.layout.image_bytes, &reading, &copy), ==, 0);
    check_u64(reading.about.sequence, ==, 8);
    check_u64(reading.about.state, ==, WARP_SNAPSHOT_OPEN);
    check_str(reading.about.version, "1.2.3");
    check_u64(reading.value_count, ==, WARP_CATALOGUE_VALUES);
    check_u64(reading.shard_value_count, ==, WARP_CATALOGUE_SHARD_VALUES);
    check_u64(reading.histogram_count, ==, WARP_CATALOGUE_HISTOGRAMS);
    check_u64(reading.shard_count, ==, SHARDS);
    for (i = 0; i < WARP_CATALOGUE_VALUES; i++) {
        check_u64(reading.values[i], ==, 80000 + i);
    }
    for (i = 0; i < SHARDS * WARP_CATALOGUE_SHARD_VALUES; i++) {
        check_u64(reading.shards[i], ==, 81000 + i);
    }
    words = warp_reading_histogram(&reading, 1);
    check_u64(words[0], ==, 85000);
    check_u64(words[WARP_READING_HISTOGRAM_WORDS + 3], ==, 85001);
    check_u64(reading.owner_count, ==, WARP_SLOT_COUNT);
    for (i = 0; i < WARP_SLOT_COUNT; i++) {
        check_u64(reading.owners[i], ==, (i + 8) % SHARDS);
    }
    check_u64(reading.slow_count, ==, WARP_SNAPSHOT_SLOW);
    for (i = 0; i < WARP_SNAPSHOT_SLOW; i++) {
        check_u64(reading.slow[i].number, ==, 87000 + i);
        check_u64(reading.slow[i].stages_ns[WARP_SLOW_PACE], ==, 80000 + i);
        check_str((const char *)reading.slow[i].key, "a key");
    }
    check_u64(reading.hot_total, ==, 89999);
    check_u64(reading.hot_count, ==, WARP_SNAPSHOT_HOT);
    for (i = 0; i < WARP_SNAPSHOT_HOT; i++) {
        check_u64(reading.hot[i].count, ==, 89000 + i);
        check_str((const char *)reading.hot[i].key, "hot");
    }
    check(warp_reading_histogram(&reading, WARP_CATALOGUE_HISTOGRAMS) == NULL);
    for (i = 0;
         i < reading.value_count + reading.shard_value_count + reading.histogram_count;
         i++) {
        check_str(rows[i].name, catalogue[i].name);
        check_str(rows[i].unit, catalogue[i].unit);
        check_str(rows[i].help, catalogue[i].help);
        check_str(rows[i].worry, catalogue[i].worry);
        check_int(rows[i].kind, ==, catalogue[i].kind);
    }
    check_u64(warp_reading_value(&reading, catalogue[2].name), ==, 80002);
    check_u64(warp_reading_value(&reading, "warp_nothing"), ==, WARP_CATALOGUE_NONE);
    free(copy);
    free(image.bytes);
}

/* One that says nothing of slots and of slow calls is whole all the same. */
WARP_TEST(snapshot, need_not_have_owners_nor_slow_calls)
{
    struct warp_reading reading;
    struct image image;
    void *copy;

    image_init(&image);
    image.snapshot.about.sequence = 9;
    image.snapshot.owner_count = 0;
    image.snapshot.slow_count = 1;
    image.snapshot.hot_count = 2;
    image_put(&image);
    check_int(image_read(image.bytes, image.layout.image_bytes, &reading, &copy), ==, 0);
    check_u64(reading.about.sequence, ==, 9);
    check_u64(reading.owner_count, ==, 0);
    check_u64(reading.slow_count, ==, 1);
    check_u64(reading.slow[0].number, ==, 87000);
    check_u64(reading.hot_count, ==, 2);
    check_u64(reading.hot[1].count, ==, 89001);
    free(copy);
    free(image.bytes);
}

/* Whoever dies while writing leaves the one before, wherever it was. */
WARP_TEST(snapshot, half_written_leaves_the_one_before)
{
    struct image image;
    uint8_t *half;
    size_t done, slot;

    image_init(&image);
    slot = image.layout.slot_bytes;
    half = malloc(image.layout.image_bytes);
    memcpy(half, image.bytes, image.layout.image_bytes);
    image_fill(&image, 9, 90000); /* goes over 7 */
    image_put(&image);
    for (done = 0; done <= slot; done += done < 512 ? 1 : 37) {
        struct warp_reading reading;
        void *copy;

        memcpy(half + image.layout.head_bytes + slot,
               image.bytes + image.layout.head_bytes + slot, done);
        check_int(image_read(half, image.layout.image_bytes, &reading, &copy), ==, 0);
        check(reading.about.sequence == 8 || reading.about.sequence == 9);
        /* All of it is of one snapshot. */
        check_u64(reading.values[0], ==, reading.about.sequence * 10000);
        check_u64(reading.values[WARP_CATALOGUE_VALUES - 1], ==,
                  reading.about.sequence * 10000 + WARP_CATALOGUE_VALUES - 1);
        free(copy);
    }
    free(half);
    free(image.bytes);
}

/* A flipped bit in a slot is a torn slot; in the head it is damage. */
WARP_TEST(snapshot, with_a_flipped_bit_is_never_believed)
{
    struct image image;
    struct warp_random random;
    uint32_t i, older = 0, refused = 0;

    image_init(&image);
    warp_random_init(&random, test_seed());
    for (i = 0; i < 3000; i++) {
        uint64_t bit = warp_random_next(&random) % (image.layout.image_bytes * 8);
        struct warp_reading reading;
        void *copy;
        int rc;

        image.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        rc = image_read(image.bytes, image.layout.image_bytes, &reading, &copy);
        if (rc == 0) {
            check(reading.about.sequence == 7 || reading.about.sequence == 8);
            check_u64(reading.values[1], ==, reading.about.sequence * 10000 + 1);
            older += reading.about.sequence == 7;
        } else {
            check(rc == WARP_EFORMAT || rc == WARP_EVERSION || rc == WARP_EDAMAGED);
            refused++;
        }
        free(copy);
        image.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    check_u64(older, >, 0);
    check_u64(refused, >, 0);
    free(image.bytes);
}

WARP_TEST(snapshot, cut_short_gives_what_is_left)
{
    struct image image;
    size_t bytes;

    image_init(&image);
    for (bytes = 0; bytes <= image.layout.image_bytes; bytes += bytes < 256 ? 1 : 61) {
        struct warp_reading reading;
        void *copy;
        int rc = image_read(image.bytes, bytes, &reading, &copy);

        if (bytes < image.layout.head_bytes) {
            check(rc == WARP_EFORMAT || rc == WARP_EDAMAGED);
        } else if (bytes < image.layout.head_bytes + image.layout.slot_bytes) {
            check_int(rc, ==, WARP_AGAIN); /* 8 is in slot 0 */
        } else {
            check_int(rc, ==, 0);
            check_u64(reading.about.sequence, ==, 8);
        }
        free(copy);
    }
    free(image.bytes);
}

WARP_TEST(snapshot, of_noise_is_refused)
{
    struct warp_random random;
    uint32_t i;

    warp_random_init(&random, test_seed());
    for (i = 0; i < 200; i++) {
        size_t bytes = warp_random_next(&random) % 20000, k;
        uint8_t *noise = malloc(bytes + 1);
        struct warp_reading reading;
        void *copy;

        for (k = 0; k < bytes; k++) {
            noise[k] = (uint8_t)warp_random_next(&random);
        }
        if (bytes > 8 && i % 2 == 0) {
            memcpy(noise, "WARPMETR", 8);
        }
        check_int(image_read(noise, bytes, &reading, &copy), !=, 0);
        free(copy);
        free(noise);
    }
}

WARP_TEST(snapshot, puts_times_into_the_right_buckets)
{
    struct warp_snapshot_histogram out;
    struct warp_histogram *from = malloc(sizeof(*from));
    uint64_t sum = 0;
    uint32_t i;

    warp_histogram_init(from);
    for (i = 0; i < WARP_SNAPSHOT_BUCKETS; i++) {
        /* Well inside: the histogram itself is exact to 1.6 %. */
        warp_histogram_add(from, warp_snapshot_bounds[i] - warp_snapshot_bounds[i] / 20);
    }
    warp_histogram_add(from, 20000000000u); /* longer than all */
    warp_snapshot_histogram(&out, from);
    for (i = 0; i < WARP_SNAPSHOT_BUCKETS; i++) {
        check_u64(out.buckets[i], ==, 1);
        sum += out.buckets[i];
    }
    check_u64(out.count, ==, sum + 1);
    check_u64(out.sum, ==, warp_histogram_sum(from));
    check_u64(out.max, ==, warp_histogram_max(from));
    check_u64(out.p50, ==, warp_histogram_percentile(from, 50));
    check_u64(out.p999, ==, warp_histogram_percentile(from, 99.9));
    free(from);
}

/* What the naming rules of Prometheus ask for; promtool says the same of a running one. */
WARP_TEST(snapshot, has_a_catalogue_of_good_names)
{
    const struct warp_reading_row *row = warp_snapshot_catalogue();
    uint32_t count =
        WARP_CATALOGUE_VALUES + WARP_CATALOGUE_SHARD_VALUES + WARP_CATALOGUE_HISTOGRAMS;
    uint32_t i, k;

    for (i = 0; i < count; i++) {
        size_t bytes = strlen(row[i].name);
        bool total = bytes > 6 && strcmp(row[i].name + bytes - 6, "_total") == 0;

        check(strncmp(row[i].name, "warp_", 5) == 0);
        check_int(total, ==, row[i].kind == WARP_CATALOGUE_COUNTER);
        check(row[i].help[0] != '\0' && row[i].help[strlen(row[i].help) - 1] == '.');
        check(row[i].unit[0] != '\0');
        if (strcmp(row[i].unit, "seconds") == 0 || strcmp(row[i].unit, "bytes") == 0) {
            check(strstr(row[i].name, row[i].unit) != NULL);
        }
        check(strchr(row[i].help, '\t') == NULL && strchr(row[i].worry, '\t') == NULL);
        for (k = 0; k < i; k++) {
            check(strcmp(row[i].name, row[k].name) != 0);
        }
    }
}
