#include "tools/shards.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/text.h"

/* What there is to compare shards by, the best first. */
enum basis { BASIS_LOAD, BASIS_WRITES, BASIS_BYTES, BASIS_NOTHING };

static const struct {
    const char *name, *sentence;
} bases[] = {
    {"load", "by the load that was measured"},
    {"writes", "by the writes since the opening (the load is measured with gravity on)"},
    {"bytes", "by the memory of the records (nothing was written since the opening)"},
    {"nothing", "there is nothing to compare yet"},
};

struct shard {
    uint64_t slots, records, cold_records, bytes, writes;
    double load;
};

struct evenness {
    double lambda, evenness, cov;
};

static uint64_t read_value(const struct warp_reading *reading, uint32_t shard,
                           const char *name)
{
    const struct warp_reading_row *rows = reading->rows + reading->value_count;

    for (uint32_t i = 0; i < reading->shard_value_count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            uint64_t value =
                reading->shards[(size_t)shard * reading->shard_value_count + i];

            return value != WARP_CATALOGUE_NONE ? value : 0;
        }
    }
    return 0; /* who publishes it is of another version */
}

static struct shard read_shard(const struct warp_reading *reading, uint32_t i)
{
    struct shard shard;

    shard.slots = read_value(reading, i, "warp_shard_slots");
    shard.records = read_value(reading, i, "warp_shard_records");
    shard.cold_records = read_value(reading, i, "warp_shard_cold_records");
    shard.bytes = read_value(reading, i, "warp_shard_record_bytes");
    shard.writes = read_value(reading, i, "warp_shard_puts_total") +
                   read_value(reading, i, "warp_shard_deletes_total") +
                   read_value(reading, i, "warp_shard_adds_total");
    shard.load = (double)read_value(reading, i, "warp_shard_load_ratio") / 1e6;
    return shard;
}

static double shard_work(const struct shard *shard, enum basis basis)
{
    switch (basis) {
    case BASIS_LOAD:
        return shard->load;
    case BASIS_WRITES:
        return (double)shard->writes;
    case BASIS_BYTES:
        return (double)shard->bytes;
    case BASIS_NOTHING:
        break;
    }
    return 0;
}

static enum basis find_basis(const struct shard *shards, uint32_t count)
{
    int basis;

    for (basis = BASIS_LOAD; basis < BASIS_NOTHING; basis++) {
        for (uint32_t i = 0; i < count; i++) {
            if (shard_work(&shards[i], (enum basis)basis) > 0) {
                return (enum basis)basis;
            }
        }
    }
    return BASIS_NOTHING;
}

static struct evenness measure(const struct shard *shards, uint32_t count, enum basis basis)
{
    struct evenness out = {0, 0, 0};
    double sum = 0, most = 0, squares = 0, entropy = 0, mean;

    for (uint32_t i = 0; i < count; i++) {
        double work = shard_work(&shards[i], basis);

        sum += work;
        most = work > most ? work : most;
    }
    if (!(sum > 0)) {
        return out;
    }
    mean = sum / count;
    for (uint32_t i = 0; i < count; i++) {
        double work = shard_work(&shards[i], basis);

        squares += (work - mean) * (work - mean);
        entropy -= work > 0 ? work / sum * log2(work / sum) : 0;
    }
    out.lambda = most / mean;
    out.evenness = count > 1 ? entropy / log2(count) : 1;
    out.cov = sqrt(squares / count) / mean;
    return out;
}

static void print_json(const struct warp_tool *tool, const struct warp_source_view *view,
                       const struct shard *shards, uint32_t count, enum basis basis,
                       const struct evenness *even, bool measured)
{
    fputs("{\"path\":", stdout);
    if (warp_text_utf8_valid(tool->path, strlen(tool->path))) {
        warp_text_write_json_string(stdout, tool->path, strlen(tool->path));
    } else {
        fputs("null", stdout);
    }
    printf(",\"pid\":%" PRIu64 ",\"basis\":\"%s\",\"lambda\":",
           view->reading.about.process.pid, bases[basis].name);
    if (basis == BASIS_NOTHING) {
        fputs("null,\"evenness\":null,\"cov\":null", stdout);
    } else {
        printf("%.6f,\"evenness\":%.6f,\"cov\":%.6f", even->lambda, even->evenness,
               even->cov);
    }
    printf(",\"moves\":%" PRIu64 ",\"shards\":[",
           warp_reading_value(&view->reading, "warp_slot_moves_total"));
    for (uint32_t i = 0; i < count; i++) {
        printf("%s{\"shard\":%" PRIu32 ",\"slots\":%" PRIu64 ",\"records\":%" PRIu64
               ",\"disk_records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"writes\":%" PRIu64
               ",\"load\":",
               i > 0 ? "," : "", i, shards[i].slots, shards[i].records,
               shards[i].cold_records, shards[i].bytes, shards[i].writes);
        if (measured) {
            printf("%.6f}", shards[i].load);
        } else {
            fputs("null}", stdout);
        }
    }
    fputs("]}\n", stdout);
}

static void print_text(const struct warp_tool *tool, const struct warp_source_view *view,
                       const struct shard *shards, uint32_t count, enum basis basis,
                       const struct evenness *even, bool measured)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES];
    double sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += shard_work(&shards[i], basis);
    }
    printf("Shards of %s, as process %" PRIu64 " has them\n\n", tool->path,
           view->reading.about.process.pid);
    puts("  shard  slots        records         memory         writes     load   of mean");
    for (uint32_t i = 0; i < count; i++) {
        double work = shard_work(&shards[i], basis);

        printf("  %5" PRIu32 " %6" PRIu64 " %14s %14s %14s", i, shards[i].slots,
               warp_text_count(a, shards[i].records), warp_text_size(b, shards[i].bytes),
               warp_text_count(c, shards[i].writes));
        if (measured) {
            printf(" %6.1f %%", shards[i].load * 100);
        } else {
            printf(" %8s", "-");
        }
        if (sum > 0) {
            printf(" %9.3f\n", work * count / sum);
        } else {
            printf(" %9s\n", "-");
        }
    }
    printf("\nHow even, %s\n", bases[basis].sentence);
    if (basis != BASIS_NOTHING) {
        printf("  lambda              %.3f   the heaviest shard, of the mean; even: 1\n"
               "  entropy             %.3f   of the greatest there can be; even: 1\n"
               "  cov                 %.3f   standard deviation, of the mean; even: 0\n",
               even->lambda, even->evenness, even->cov);
    }
    printf("  slots moved         %s since the opening\n",
           warp_text_count(a, warp_reading_value(&view->reading, "warp_slot_moves_total")));
}

int warp_tool_shards(const struct warp_tool *tool, const struct warp_source_view *view)
{
    const struct warp_reading *reading = &view->reading;
    uint32_t count = reading->shard_count;
    struct shard shards[WARP_SHARD_COUNT_MAX];
    struct evenness even;
    enum basis basis;
    bool measured;

    if (count == 0 || count > WARP_SHARD_COUNT_MAX) {
        return warp_tool_error(tool, "what is published of %s names no shards", tool->path);
    }
    for (uint32_t i = 0; i < count; i++) {
        shards[i] = read_shard(reading, i);
    }
    basis = find_basis(shards, count);
    even = measure(shards, count, basis);
    measured = warp_reading_value(reading, "warp_gravity_epochs_total") - 1 <
               WARP_CATALOGUE_NONE - 1; /* neither 0 nor absent */
    if (tool->json) {
        print_json(tool, view, shards, count, basis, &even, measured);
    } else {
        print_text(tool, view, shards, count, basis, &even, measured);
    }
    return 0;
}
