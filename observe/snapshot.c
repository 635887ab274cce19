#include "observe/snapshot.h"

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/counter.h"
#include "base/crc32c.h"
#include "warp/warp.h"

#define SNAPSHOT_PAGE       4096u
#define SNAPSHOT_VERSION    2u
#define SNAPSHOT_SLOT_MAGIC UINT64_C(0x30544f4c53505257) /* "WRPSLOT0" */

static const char snapshot_magic[8] = {'W', 'A', 'R', 'P', 'M', 'E', 'T', 'R'};

struct snapshot_head {
    char magic[8];
    uint64_t version;
    uint64_t catalogue_bytes; /* it begins at SNAPSHOT_PAGE */
    uint64_t catalogue_crc;
    uint64_t slots_at; /* where slot 0 begins */
    uint64_t slot_bytes;
    uint64_t shard_count;
    uint64_t crc; /* of all before */
};

struct snapshot_slot {
    uint64_t magic;
    uint64_t bytes; /* all of it, this included */
    uint64_t crc;   /* of all of it, this being 0 */
    uint64_t catalogue_crc;
    struct warp_snapshot_about about;
    uint64_t value_count, bucket_count, histogram_count, shard_count, shard_value_count;
    uint64_t owner_count, slow_count, hot_count, hot_total;
    /* Then, in 64-bit words: values, bounds, histograms, shards, owners (bytes), slow calls, hot keys. */
};
static_assert(sizeof(struct snapshot_head) <= SNAPSHOT_PAGE, "the head is one page");
static_assert(sizeof(struct snapshot_slot) % 8 == 0, "words follow");
static_assert(sizeof(struct warp_snapshot_histogram) ==
                  (WARP_READING_HISTOGRAM_WORDS + WARP_SNAPSHOT_BUCKETS) * 8,
              "readers step over it in words");
static_assert(sizeof(struct warp_snapshot_slow) % 8 == 0, "words follow");
static_assert(sizeof(struct warp_snapshot_hot) % 8 == 0, "words follow");
static_assert(WARP_SLOT_COUNT % 8 == 0 && WARP_SHARD_COUNT_MAX <= 256, "a byte each");
static_assert(WARP_CATALOGUE_VALUES + WARP_CATALOGUE_SHARD_VALUES +
                      WARP_CATALOGUE_HISTOGRAMS <=
                  WARP_SNAPSHOT_ROWS_MAX,
              "a reader takes so many");

/* Two or three to a power of ten: what alerts and pictures need. */
const uint64_t warp_snapshot_bounds[WARP_SNAPSHOT_BUCKETS] = {
    250,      500,       1000,      2500,       5000,       10000,       25000,    50000,
    100000,   250000,    500000,    1000000,    2500000,    5000000,     10000000, 25000000,
    50000000, 100000000, 250000000, 1000000000, 2500000000, 10000000000,
};

/* ---- the catalogue ------------------------------------------------------------------------ */

#define SNAPSHOT_KIND_counter WARP_CATALOGUE_COUNTER
#define SNAPSHOT_KIND_gauge   WARP_CATALOGUE_GAUGE
#define SNAPSHOT_ROW(field, name, kind, unit, help, worry)                                 \
    {name, unit, help, worry, SNAPSHOT_KIND_##kind},
#define SNAPSHOT_HISTOGRAM_ROW(field, name, help, worry)                                   \
    {name, "seconds", help, worry, WARP_CATALOGUE_HISTOGRAM},

static const struct warp_reading_row snapshot_rows[] = {
    WARP_METRICS(SNAPSHOT_ROW) WARP_SHARD_METRICS(SNAPSHOT_ROW)
        WARP_HISTOGRAM_METRICS(SNAPSHOT_HISTOGRAM_ROW)};

enum { SNAPSHOT_ROWS = sizeof(snapshot_rows) / sizeof(snapshot_rows[0]) };

const struct warp_reading_row *warp_snapshot_catalogue(void)
{
    return snapshot_rows;
}

/* A line: where it belongs (v, s, h), name, kind, unit, help, worry. */
static size_t snapshot_catalogue_text(char *out, size_t capacity)
{
    static const char *const kinds[] = {"", "counter", "gauge", "histogram"};
    size_t at = 0;
    uint32_t i;

    for (i = 0; i < SNAPSHOT_ROWS; i++) {
        const struct warp_reading_row *row = &snapshot_rows[i];
        char scope = i < WARP_CATALOGUE_VALUES                                 ? 'v'
                     : i < WARP_CATALOGUE_VALUES + WARP_CATALOGUE_SHARD_VALUES ? 's'
                                                                               : 'h';
        int bytes = snprintf(out == NULL ? NULL : out + at, out == NULL ? 0 : capacity - at,
                             "%c\t%s\t%s\t%s\t%s\t%s\n", scope, row->name, kinds[row->kind],
                             row->unit, row->help, row->worry);

        warp_assert(bytes > 0);
        at += (size_t)bytes;
    }
    return at;
}

/* ---- writing ------------------------------------------------------------------------------ */

static uint64_t snapshot_up(uint64_t bytes)
{
    return (bytes + SNAPSHOT_PAGE - 1) / SNAPSHOT_PAGE * SNAPSHOT_PAGE;
}

void warp_snapshot_layout(struct warp_snapshot_layout *layout, uint32_t shard_count)
{
    /* With a byte for the zero that snprintf adds. */
    layout->head_bytes = SNAPSHOT_PAGE + snapshot_up(snapshot_catalogue_text(NULL, 0) + 1);
    layout->slot_bytes = snapshot_up(
        sizeof(struct snapshot_slot) + sizeof(struct warp_catalogue_values) +
        sizeof(warp_snapshot_bounds) +
        WARP_CATALOGUE_HISTOGRAMS * sizeof(struct warp_snapshot_histogram) +
        (uint64_t)shard_count * sizeof(struct warp_catalogue_shard) + WARP_SLOT_COUNT +
        WARP_SNAPSHOT_SLOW * sizeof(struct warp_snapshot_slow) +
        WARP_SNAPSHOT_HOT * sizeof(struct warp_snapshot_hot));
    layout->image_bytes = layout->head_bytes + 2 * layout->slot_bytes;
}

void warp_snapshot_write_head(void *out, uint32_t shard_count)
{
    struct warp_snapshot_layout layout;
    struct snapshot_head head;
    char *text = (char *)out + SNAPSHOT_PAGE;

    warp_snapshot_layout(&layout, shard_count);
    memset(&head, 0, sizeof(head));
    memcpy(head.magic, snapshot_magic, sizeof(head.magic));
    head.version = SNAPSHOT_VERSION;
    head.catalogue_bytes = snapshot_catalogue_text(text, layout.head_bytes - SNAPSHOT_PAGE);
    head.catalogue_crc = warp_crc32c(0, text, head.catalogue_bytes);
    head.slots_at = layout.head_bytes;
    head.slot_bytes = layout.slot_bytes;
    head.shard_count = shard_count;
    head.crc = warp_crc32c(0, &head, offsetof(struct snapshot_head, crc));
    memcpy(out, &head, sizeof(head));
}

static uint8_t *snapshot_put(uint8_t *at, const void *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

size_t warp_snapshot_write_slot(void *out, const struct warp_snapshot *snapshot)
{
    uint8_t *at = (uint8_t *)out + sizeof(struct snapshot_slot);
    struct snapshot_slot slot;
    uint32_t crc = 0;
    uint32_t i;

    at = snapshot_put(at, &snapshot->values, sizeof(snapshot->values));
    at = snapshot_put(at, warp_snapshot_bounds, sizeof(warp_snapshot_bounds));
    at = snapshot_put(at, snapshot->histograms, sizeof(snapshot->histograms));
    if (snapshot->shard_count > 0) {
        at = snapshot_put(at, snapshot->shards,
                          snapshot->shard_count * sizeof(snapshot->shards[0]));
    }
    warp_assert(snapshot->owner_count == 0 || snapshot->owner_count == WARP_SLOT_COUNT);
    warp_assert(snapshot->slow_count <= WARP_SNAPSHOT_SLOW);
    if (snapshot->owner_count > 0) {
        at = snapshot_put(at, snapshot->owners, snapshot->owner_count);
    }
    if (snapshot->slow_count > 0) {
        at = snapshot_put(at, snapshot->slow,
                          snapshot->slow_count * sizeof(snapshot->slow[0]));
    }
    warp_assert(snapshot->hot_count <= WARP_SNAPSHOT_HOT);
    if (snapshot->hot_count > 0) {
        at =
            snapshot_put(at, snapshot->hot, snapshot->hot_count * sizeof(snapshot->hot[0]));
    }
    memset(&slot, 0, sizeof(slot));
    slot.magic = SNAPSHOT_SLOT_MAGIC;
    slot.bytes = (uint64_t)(at - (uint8_t *)out);
    /* Of the catalogue as it is in the head: a slot of another life does not fit it. */
    for (i = 0; i < SNAPSHOT_ROWS; i++) {
        crc = warp_crc32c(crc, snapshot_rows[i].name, strlen(snapshot_rows[i].name));
    }
    slot.catalogue_crc = crc;
    slot.about = snapshot->about;
    slot.value_count = WARP_CATALOGUE_VALUES;
    slot.bucket_count = WARP_SNAPSHOT_BUCKETS;
    slot.histogram_count = WARP_CATALOGUE_HISTOGRAMS;
    slot.shard_count = snapshot->shard_count;
    slot.shard_value_count = WARP_CATALOGUE_SHARD_VALUES;
    slot.owner_count = snapshot->owner_count;
    slot.slow_count = snapshot->slow_count;
    slot.hot_count = snapshot->hot_count;
    slot.hot_total = snapshot->hot_total;
    memcpy(out, &slot, sizeof(slot));
    slot.crc = warp_crc32c(0, out, slot.bytes);
    memcpy(out, &slot, sizeof(slot));
    return slot.bytes;
}

/* As warp_histogram_percentile, which looks at every bucket each time: here they have been copied. */
static uint64_t snapshot_quantile(const uint64_t *counts, uint64_t count, uint64_t permille,
                                  uint64_t max)
{
    uint64_t rank = (count * permille + 999) / 1000, seen = 0;
    uint32_t index;

    rank = rank == 0 ? 1 : rank;
    for (index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        seen += counts[index];
        if (seen >= rank) {
            uint64_t ns = warp_histogram_bucket_ns(index);

            return ns < max ? ns : max;
        }
    }
    return max;
}

void warp_snapshot_histogram(struct warp_snapshot_histogram *out,
                             const struct warp_histogram *from)
{
    uint64_t counts[WARP_HISTOGRAM_BUCKETS];
    uint32_t index, bucket = 0;

    memset(out, 0, sizeof(*out));
    for (index = 0; index < WARP_HISTOGRAM_BUCKETS; index++) {
        counts[index] = warp_histogram_bucket_count(from, index);
        if (counts[index] == 0) {
            continue;
        }
        while (bucket < WARP_SNAPSHOT_BUCKETS &&
               warp_histogram_bucket_ns(index) > warp_snapshot_bounds[bucket]) {
            bucket++;
        }
        if (bucket < WARP_SNAPSHOT_BUCKETS) {
            out->buckets[bucket] += counts[index];
        }
        out->count += counts[index];
    }
    out->sum = warp_histogram_sum(from);
    out->max = warp_histogram_max(from);
    if (out->count > 0) {
        out->p50 = snapshot_quantile(counts, out->count, 500, out->max);
        out->p90 = snapshot_quantile(counts, out->count, 900, out->max);
        out->p99 = snapshot_quantile(counts, out->count, 990, out->max);
        out->p999 = snapshot_quantile(counts, out->count, 999, out->max);
    }
}

/* ---- reading ------------------------------------------------------------------------------ */

void warp_snapshot_reading(const struct warp_snapshot *snapshot,
                           struct warp_reading *reading)
{
    reading->about = snapshot->about;
    reading->value_count = WARP_CATALOGUE_VALUES;
    reading->shard_value_count = WARP_CATALOGUE_SHARD_VALUES;
    reading->histogram_count = WARP_CATALOGUE_HISTOGRAMS;
    reading->bucket_count = WARP_SNAPSHOT_BUCKETS;
    reading->shard_count = snapshot->shard_count;
    reading->rows = snapshot_rows;
    reading->values = (const uint64_t *)&snapshot->values;
    reading->bounds = warp_snapshot_bounds;
    reading->histograms = (const uint64_t *)snapshot->histograms;
    reading->shards = (const uint64_t *)snapshot->shards;
    reading->owner_count = snapshot->owner_count;
    reading->owners = snapshot->owners;
    reading->slow_count = snapshot->slow_count;
    reading->slow = snapshot->slow;
    reading->hot_total = snapshot->hot_total;
    reading->hot_count = snapshot->hot_count;
    reading->hot = snapshot->hot;
}

/* Cuts the next field off, at a tab or the end of the line. */
static char *snapshot_word(char **at, char *end)
{
    char *word = *at;
    char *stop = word;

    while (stop < end && *stop != '\t' && *stop != '\n') {
        stop++;
    }
    *at = stop < end ? stop + 1 : end;
    if (stop < end) {
        *stop = '\0';
    }
    return word;
}

static int snapshot_kind(const char *word)
{
    return strcmp(word, "counter") == 0     ? WARP_CATALOGUE_COUNTER
           : strcmp(word, "gauge") == 0     ? WARP_CATALOGUE_GAUGE
           : strcmp(word, "histogram") == 0 ? WARP_CATALOGUE_HISTOGRAM
                                            : 0;
}

/* Metric names are what Prometheus allows, so that a text made of them has its form. */
static int snapshot_name_is_good(const char *name)
{
    size_t i;

    for (i = 0; name[i] != '\0'; i++) {
        char one = name[i];

        if (!((one >= 'a' && one <= 'z') || one == '_' ||
              (one >= '0' && one <= '9' && i > 0))) {
            return 0;
        }
    }
    return i > 0 && i < 128;
}

static int snapshot_read_catalogue(char *text, uint64_t bytes,
                                   struct warp_reading_row *rows,
                                   struct warp_reading *reading)
{
    static const char scopes[] = "vsh";
    char *at = text, *end = text + bytes;
    uint32_t counts[3] = {0, 0, 0};
    uint32_t scope = 0, count = 0;

    if (bytes == 0 || end[-1] != '\n' || memchr(text, '\0', bytes) != NULL) {
        return WARP_EDAMAGED;
    }
    while (at < end) {
        struct warp_reading_row *row = &rows[count];
        const char *where;
        int kind;

        if (count == WARP_SNAPSHOT_ROWS_MAX) {
            return WARP_EDAMAGED;
        }
        where = snapshot_word(&at, end);
        /* Values first, then shards, then histograms. */
        while (scope < 3 && scopes[scope] != where[0]) {
            scope++;
        }
        row->name = snapshot_word(&at, end);
        kind = snapshot_kind(snapshot_word(&at, end));
        row->unit = snapshot_word(&at, end);
        row->help = snapshot_word(&at, end);
        row->worry = snapshot_word(&at, end);
        if (scope == 3 || kind == 0 || (scope == 2) != (kind == WARP_CATALOGUE_HISTOGRAM) ||
            !snapshot_name_is_good(row->name)) {
            return WARP_EDAMAGED;
        }
        row->kind = (enum warp_catalogue_kind)kind;
        counts[scope]++;
        count++;
    }
    reading->value_count = counts[0];
    reading->shard_value_count = counts[1];
    reading->histogram_count = counts[2];
    return 0;
}

/* Whether it is whole and fits the catalogue; nothing in it is believed before. */
static int snapshot_slot_is_whole(uint8_t *bytes, uint64_t slot_bytes,
                                  uint32_t catalogue_crc,
                                  const struct warp_reading *reading,
                                  struct snapshot_slot *slot)
{
    uint64_t words, crc;

    memcpy(slot, bytes, sizeof(*slot));
    if (slot->magic != SNAPSHOT_SLOT_MAGIC || slot->bytes < sizeof(*slot) ||
        slot->bytes > slot_bytes || slot->catalogue_crc != catalogue_crc ||
        slot->shard_count > WARP_SNAPSHOT_SHARDS || slot->bucket_count > 1024 ||
        slot->value_count != reading->value_count ||
        slot->shard_value_count != reading->shard_value_count ||
        slot->histogram_count != reading->histogram_count ||
        (slot->owner_count != 0 && slot->owner_count != WARP_SLOT_COUNT) ||
        slot->slow_count > WARP_SNAPSHOT_SLOW || slot->hot_count > WARP_SNAPSHOT_HOT) {
        return 0;
    }
    words = slot->value_count + slot->bucket_count +
            slot->histogram_count * (WARP_READING_HISTOGRAM_WORDS + slot->bucket_count) +
            slot->shard_count * slot->shard_value_count + slot->owner_count / 8 +
            slot->slow_count * (sizeof(struct warp_snapshot_slow) / 8) +
            slot->hot_count * (sizeof(struct warp_snapshot_hot) / 8);
    if (slot->bytes != sizeof(*slot) + 8 * words) {
        return 0;
    }
    crc = slot->crc;
    memset(bytes + offsetof(struct snapshot_slot, crc), 0, sizeof(crc));
    return warp_crc32c(0, bytes, slot->bytes) == crc;
}

int warp_snapshot_read(void *image, size_t bytes, struct warp_reading_row *rows,
                       struct warp_reading *reading)
{
    uint8_t *base = image;
    struct snapshot_head head;
    struct snapshot_slot slots[2];
    uint32_t catalogue_crc = 0;
    const uint64_t *at;
    int which = -1, rc;
    uint32_t i;

    warp_assert((uintptr_t)image % alignof(uint64_t) == 0);
    if (bytes < sizeof(head)) {
        return WARP_EFORMAT;
    }
    memcpy(&head, base, sizeof(head));
    if (memcmp(head.magic, snapshot_magic, sizeof(head.magic)) != 0) {
        return WARP_EFORMAT;
    }
    if (head.version != SNAPSHOT_VERSION) {
        return WARP_EVERSION;
    }
    if (head.crc != warp_crc32c(0, &head, offsetof(struct snapshot_head, crc)) ||
        head.catalogue_bytes > WARP_SNAPSHOT_IMAGE_MAX || head.slots_at % 8 != 0 ||
        head.slots_at > WARP_SNAPSHOT_IMAGE_MAX ||
        head.slots_at < SNAPSHOT_PAGE + head.catalogue_bytes ||
        head.slot_bytes > WARP_SNAPSHOT_IMAGE_MAX || head.slot_bytes % 8 != 0 ||
        head.slot_bytes < sizeof(struct snapshot_slot) || bytes < head.slots_at ||
        head.catalogue_crc != warp_crc32c(0, base + SNAPSHOT_PAGE, head.catalogue_bytes)) {
        return WARP_EDAMAGED;
    }
    rc = snapshot_read_catalogue((char *)base + SNAPSHOT_PAGE, head.catalogue_bytes, rows,
                                 reading);
    if (rc < 0) {
        return rc;
    }
    for (i = 0;
         i < reading->value_count + reading->shard_value_count + reading->histogram_count;
         i++) {
        catalogue_crc = warp_crc32c(catalogue_crc, rows[i].name, strlen(rows[i].name));
    }
    for (i = 0; i < 2; i++) {
        uint64_t begin = head.slots_at + i * head.slot_bytes;

        /* Cut short by somebody: what is left may do. */
        if (begin + head.slot_bytes <= bytes &&
            snapshot_slot_is_whole(base + begin, head.slot_bytes, catalogue_crc, reading,
                                   &slots[i]) &&
            (which < 0 || slots[i].about.sequence > slots[0].about.sequence)) {
            which = (int)i;
        }
    }
    if (which < 0) {
        return WARP_AGAIN;
    }
    reading->about = slots[which].about;
    reading->about.version[sizeof(reading->about.version) - 1] = '\0';
    reading->about.io[sizeof(reading->about.io) - 1] = '\0';
    reading->bucket_count = (uint32_t)slots[which].bucket_count;
    reading->shard_count = (uint32_t)slots[which].shard_count;
    reading->rows = rows;
    at = (const uint64_t *)(const void *)(base + head.slots_at +
                                          (uint64_t)which * head.slot_bytes +
                                          sizeof(struct snapshot_slot));
    reading->values = at;
    at += reading->value_count;
    reading->bounds = at;
    at += reading->bucket_count;
    reading->histograms = at;
    at += (uint64_t)reading->histogram_count *
          (WARP_READING_HISTOGRAM_WORDS + reading->bucket_count);
    reading->shards = at;
    at += (uint64_t)reading->shard_count * reading->shard_value_count;
    reading->owner_count = (uint32_t)slots[which].owner_count;
    reading->owners = (const uint8_t *)at;
    at += reading->owner_count / 8;
    reading->slow_count = (uint32_t)slots[which].slow_count;
    reading->slow = (const struct warp_snapshot_slow *)(const void *)at;
    at += reading->slow_count * (sizeof(struct warp_snapshot_slow) / 8);
    reading->hot_total = slots[which].hot_total;
    reading->hot_count = (uint32_t)slots[which].hot_count;
    reading->hot = (const struct warp_snapshot_hot *)(const void *)at;
    return 0;
}

uint64_t warp_reading_value(const struct warp_reading *reading, const char *name)
{
    uint32_t i;

    for (i = 0; i < reading->value_count; i++) {
        if (strcmp(reading->rows[i].name, name) == 0) {
            return reading->values[i];
        }
    }
    return WARP_CATALOGUE_NONE;
}

const uint64_t *warp_reading_histogram(const struct warp_reading *reading, uint32_t index)
{
    return index >= reading->histogram_count
               ? NULL
               : reading->histograms + (uint64_t)index * (WARP_READING_HISTOGRAM_WORDS +
                                                          reading->bucket_count);
}
