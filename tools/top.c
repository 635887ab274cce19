/*
 * `warp top`: what a database does at the moment, looked at again and again. It reads what the process that
 * has it open publishes, as `warp metrics` does, so it stands beside any process and disturbs none.
 */
#include "tools/commands.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "serve/source.h"
#include "tools/options.h"
#include "tools/text.h"

static const char help[] =
    "Usage: warp top [OPTION]... [DIR]\n"
    "\n"
    "Show what the process that has the database open does: rates, how long things take, "
    "log,\n"
    "checkpoints, pressure, shards, and, if options ask for them, hot keys and the calls "
    "that\n"
    "took too long (hot_keys, slow_ns). It is read from the file METRICS; nothing is "
    "opened, locked or waited for. On a terminal "
    "the\n"
    "picture is drawn anew until q or Ctrl-C; else a block is printed each time.\n"
    "\n"
    "  -i, --interval S       seconds between two looks (default 1; 0.1 to 3600)\n"
    "  -n, --count N          end after so many\n"
    "\n"
    "Rates are those since the look before. Times are of all calls since the open; \"now\" "
    "is\n"
    "the bound of a bucket below which 99 of 100 lie that came since the look before.\n";

enum { OPTION_COUNT = 1, OPTION_INTERVAL };

#define TOP_WIDE      80u
#define TOP_LINES_MAX 400u

/* A screen, or a block of a pipe: lines, cut to the width. */
struct page {
    FILE *out;
    bool terminal;
    uint32_t wide, high;
    uint32_t line;
};

/* Two looks: [now] and the one before, whose values are of the same opening. */
struct looks {
    struct warp_source_view *view[2];
    uint32_t now;
    bool pair;
    double seconds; /* between the two snapshots */
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- numbers ------------------------------------------------------------------------------ */

static const struct warp_reading *now_of(const struct looks *looks)
{
    return &looks->view[looks->now]->reading;
}

static const struct warp_reading *before_of(const struct looks *looks)
{
    return &looks->view[1 - looks->now]->reading;
}

static uint64_t value_of(const struct looks *looks, const char *name)
{
    uint64_t value = warp_reading_value(now_of(looks), name);

    return value == WARP_CATALOGUE_NONE ? 0 : value;
}

/* "1.24 M" */
static char *short_count(char out[WARP_TEXT_SHORT_BYTES], double count)
{
    static const char units[][3] = {"", " k", " M", " G", " T"};
    size_t unit = 0;

    while (count >= 9999.5 && unit == 0) {
        count /= 1000;
        unit++;
    }
    while (unit > 0 && count >= 999.5 && unit < 4) {
        count /= 1000;
        unit++;
    }
    snprintf(out, WARP_TEXT_SHORT_BYTES, "%.*f%s",
             unit == 0     ? (count < 9.95 && count > 0 ? 1 : 0)
             : count < 100 ? 1
                           : 0,
             count, units[unit]);
    return out;
}

static char *rate_text(char out[WARP_TEXT_SHORT_BYTES], const struct looks *looks,
                       uint64_t more, uint64_t less)
{
    if (!looks->pair || more == WARP_CATALOGUE_NONE || less == WARP_CATALOGUE_NONE) {
        strcpy(out, "-");
        return out;
    }
    return short_count(out, (double)(more > less ? more - less : 0) / looks->seconds);
}

static char *rate_of(char out[WARP_TEXT_SHORT_BYTES], const struct looks *looks,
                     const char *name)
{
    return rate_text(out, looks, warp_reading_value(now_of(looks), name),
                     looks->pair ? warp_reading_value(before_of(looks), name)
                                 : WARP_CATALOGUE_NONE);
}

static double growth_of(const struct looks *looks, const char *name)
{
    uint64_t more = warp_reading_value(now_of(looks), name);
    uint64_t less = looks->pair ? warp_reading_value(before_of(looks), name) : more;

    return more > less ? (double)(more - less) : 0;
}

static char *share_text(char out[WARP_TEXT_SHORT_BYTES], double part, double whole)
{
    if (whole > 0) {
        snprintf(out, WARP_TEXT_SHORT_BYTES, "%.1f %%", 100 * part / whole);
    } else {
        strcpy(out, "-");
    }
    return out;
}

static uint32_t row_of(const struct warp_reading *reading, uint32_t first, uint32_t count,
                       const char *name)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (strcmp(reading->rows[first + i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static const uint64_t *histogram_of(const struct warp_reading *reading, const char *name)
{
    uint32_t at = row_of(reading, reading->value_count + reading->shard_value_count,
                         reading->histogram_count, name);

    return at == UINT32_MAX ? NULL : warp_reading_histogram(reading, at);
}

static uint64_t shard_value(const struct warp_reading *reading, uint32_t shard,
                            const char *name)
{
    uint32_t at = row_of(reading, reading->value_count, reading->shard_value_count, name);

    return at == UINT32_MAX || shard >= reading->shard_count
               ? WARP_CATALOGUE_NONE
               : reading->shards[(uint64_t)shard * reading->shard_value_count + at];
}

/* ---- lines -------------------------------------------------------------------------------- */

static void page_line(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void page_line(struct page *page, const char *format, ...)
{
    char text[512];
    va_list arguments;
    size_t bytes;

    if (page->terminal && page->line >= page->high) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    bytes = strlen(text);
    if (bytes > page->wide) {
        bytes = page->wide;
    }
    if (page->terminal && page->line > 0) {
        fputs("\r\n", page->out);
    }
    fwrite(text, 1, bytes, page->out);
    fputs(page->terminal ? "\033[K" : "\n", page->out);
    page->line++;
}

static void print_head(struct page *page, const struct looks *looks, const char *path)
{
    const struct warp_source_view *view = looks->view[looks->now];
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES];

    if (!view->has_values) {
        page_line(page, "%s  %s: %s", path, warp_source_state_text(view->state), view->why);
        return;
    }
    page_line(page, "%s  %s, pid %" PRIu64 ", open for %s; numbers are %s old", path,
              warp_source_state_text(view->state), view->reading.about.process.pid,
              warp_text_duration(a, value_of(looks, "warp_uptime_seconds")),
              warp_text_duration(b, view->age_ns));
}

static void print_rates(struct page *page, const struct looks *looks)
{
    static const char *const words[] = {"calm", "a checkpoint is due",
                                        "writes wait a little", "writes are held up"};
    uint64_t pressure = value_of(looks, "warp_background_pressure");
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES],
        d[WARP_TEXT_SHORT_BYTES], e[WARP_TEXT_SHORT_BYTES];

    page_line(page, "gets/s %s  found %s  from memory %s  loans/s %s",
              rate_of(a, looks, "warp_gets_total"),
              share_text(b, growth_of(looks, "warp_get_hits_total"),
                         growth_of(looks, "warp_gets_total")),
              share_text(c,
                         growth_of(looks, "warp_gets_total") -
                             growth_of(looks, "warp_cold_gets_total"),
                         growth_of(looks, "warp_gets_total")),
              rate_of(d, looks, "warp_borrows_total"));
    page_line(page, "puts/s %s  deletes/s %s  adds/s %s  batches/s %s  conflicts/s %s",
              rate_of(a, looks, "warp_puts_total"), rate_of(b, looks, "warp_deletes_total"),
              rate_of(c, looks, "warp_adds_total"), rate_of(d, looks, "warp_batches_total"),
              rate_of(e, looks, "warp_conflicts_total"));
    page_line(page, "memory %s of %s  records %s, %s of them cold",
              warp_text_size(a, value_of(looks, "warp_memory_bytes")),
              warp_text_size(b, value_of(looks, "warp_memory_limit_bytes")),
              short_count(c, (double)value_of(looks, "warp_records")),
              short_count(d, (double)value_of(looks, "warp_cold_records")));
    page_line(
        page, "pressure %" PRIu64 ", %s  writes held up/s %s%s", pressure,
        words[pressure < 3 ? pressure : 3], rate_of(a, looks, "warp_write_waits_total"),
        value_of(looks, "warp_log_failed") != 0 ? "  THE LOG HAS FAILED: READS ONLY" : "");
}

/* Where 99 of 100 of those lie that came since the look before; "-": none came. */
static const char *lately_text(char out[WARP_TEXT_SHORT_BYTES], const struct looks *looks,
                               const uint64_t *now, const uint64_t *before)
{
    const struct warp_reading *reading = now_of(looks);
    uint64_t count = before == NULL ? 0 : now[0] - before[0], seen = 0;
    uint32_t i;

    if (count == 0 || now[0] < before[0]) {
        return "-";
    }
    for (i = 0; i < reading->bucket_count; i++) {
        seen += now[WARP_READING_HISTOGRAM_WORDS + i] -
                before[WARP_READING_HISTOGRAM_WORDS + i];
        if ((double)seen >= 0.99 * (double)count) {
            return warp_text_duration(out, reading->bounds[i]);
        }
    }
    return "longer";
}

static void print_times(struct page *page, const struct looks *looks)
{
    static const struct {
        const char *label, *name;
    } rows[] = {{"get", "warp_get_seconds"},
                {"put, delete, add", "warp_write_seconds"},
                {"write of the log", "warp_log_flush_seconds"},
                {"sync of the log", "warp_log_sync_seconds"},
                {"read from disk", "warp_disk_read_seconds"}};
    char text[6][WARP_TEXT_SHORT_BYTES];
    size_t i;

    page_line(page, "%-17s %9s %9s %9s %9s %9s %9s", "", "a second", "half in", "99 %",
              "99.9 %", "longest", "99 % now");
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t *now = histogram_of(now_of(looks), rows[i].name);
        const uint64_t *before =
            looks->pair ? histogram_of(before_of(looks), rows[i].name) : NULL;

        if (now != NULL) {
            page_line(
                page, "%-17s %9s %9s %9s %9s %9s %9s", rows[i].label,
                rate_text(text[0], looks, now[0],
                          before == NULL ? WARP_CATALOGUE_NONE : before[0]),
                warp_text_duration(text[1], now[3]), warp_text_duration(text[2], now[5]),
                warp_text_duration(text[3], now[6]), warp_text_duration(text[4], now[2]),
                lately_text(text[5], looks, now, before));
        }
    }
}

static void print_disk(struct page *page, const struct looks *looks)
{
    uint64_t tail = value_of(looks, "warp_log_tail_bytes");
    uint64_t durable = value_of(looks, "warp_log_durable_bytes");
    uint64_t age = warp_reading_value(now_of(looks), "warp_checkpoint_age_seconds");
    uint64_t limit = value_of(looks, "warp_checkpoint_log_limit_bytes");
    double ratio = (double)value_of(looks, "warp_load_lambda_ratio") / 1e6;
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES], c[WARP_TEXT_SHORT_BYTES],
        d[WARP_TEXT_SHORT_BYTES];

    page_line(
        page, "log %s/s  not yet durable %s  files %s  waits for room/s %s",
        looks->pair
            ? warp_text_size(a, (uint64_t)(growth_of(looks, "warp_log_flush_bytes_total") /
                                           looks->seconds))
            : "-",
        warp_text_size(b, tail > durable ? tail - durable : 0),
        warp_text_size(c, value_of(looks, "warp_log_allocated_bytes")),
        rate_of(d, looks, "warp_log_room_waits_total"));
    page_line(page, "checkpoint %" PRIu64 ", %s old  log to replay %s of %s  next open %s",
              value_of(looks, "warp_checkpoint_number"),
              age == WARP_CATALOGUE_NONE ? "-" : warp_text_duration(a, age),
              warp_text_size(b, value_of(looks, "warp_checkpoint_log_bytes")),
              limit == 0 ? "-" : warp_text_size(c, limit),
              warp_text_duration(d, value_of(looks, "warp_recovery_next_seconds")));
    page_line(page,
              "disk %s, %s alive  compactions %" PRIu64 ", failed %" PRIu64 "  free %s",
              warp_text_size(a, value_of(looks, "warp_disk_bytes")),
              warp_text_size(b, value_of(looks, "warp_disk_live_bytes")),
              value_of(looks, "warp_compaction_runs_total"),
              value_of(looks, "warp_compaction_failures_total"),
              warp_text_size(c, value_of(looks, "warp_filesystem_free_bytes")));
    page_line(page, "moves of slots/s %s  given up/s %s  busiest shard, of the mean %.2f",
              rate_of(a, looks, "warp_slot_moves_total"),
              rate_of(b, looks, "warp_slot_moves_busy_total"), ratio);
}

static void print_shards(struct page *page, const struct looks *looks, uint32_t most)
{
    const struct warp_reading *now = now_of(looks);
    uint32_t shown = now->shard_count < most ? now->shard_count : most, i;
    char text[6][WARP_TEXT_SHORT_BYTES];

    page_line(page, "%-6s %7s %10s %11s %9s %9s %9s %9s", "shard", "slots", "records",
              "memory", "cold", "puts/s", "mail/s", "stalls/s");
    for (i = 0; i < shown; i++) {
        const struct warp_reading *before = looks->pair ? before_of(looks) : NULL;

#define SHARD_RATE(k, name)                                                                \
    rate_text(text[k], looks, shard_value(now, i, name),                                   \
              before == NULL ? WARP_CATALOGUE_NONE : shard_value(before, i, name))
        page_line(
            page, "%-6u %7" PRIu64 " %10s %11s %9s %9s %9s %9s", i,
            shard_value(now, i, "warp_shard_slots"),
            short_count(text[0], (double)shard_value(now, i, "warp_shard_records")),
            warp_text_size(text[1], shard_value(now, i, "warp_shard_record_bytes")),
            short_count(text[2], (double)shard_value(now, i, "warp_shard_cold_records")),
            SHARD_RATE(3, "warp_shard_puts_total"),
            SHARD_RATE(4, "warp_shard_messages_total"),
            SHARD_RATE(5, "warp_shard_stalls_total"));
#undef SHARD_RATE
    }
    if (shown < now->shard_count) {
        page_line(page, "... and %u more", now->shard_count - shown);
    }
}

/* Anything but plain characters may mean something to a terminal. */
static const char *key_text(char out[WARP_SNAPSHOT_KEY_BYTES + 4], const uint8_t *key,
                            uint32_t key_bytes)
{
    uint32_t bytes =
        key_bytes < WARP_SNAPSHOT_KEY_BYTES ? key_bytes : WARP_SNAPSHOT_KEY_BYTES;
    uint32_t i;

    for (i = 0; i < bytes; i++) {
        out[i] = key[i] > 0x20 && key[i] < 0x7f ? (char)key[i] : '.';
    }
    strcpy(out + bytes, key_bytes > bytes ? "..." : "");
    return out;
}

/* One line, as many as fit; those that are certain to be asked for. */
static void print_hot(struct page *page, const struct looks *looks)
{
    const struct warp_reading *now = now_of(looks);
    char line[256] = "hot keys:";
    size_t at = strlen(line), wide = page->terminal ? page->wide : TOP_WIDE;
    uint32_t i;

    wide = wide < sizeof(line) ? wide : sizeof(line) - 1;
    for (i = 0; i < now->hot_count && now->hot_total > 0; i++) {
        const struct warp_snapshot_hot *hot = &now->hot[i];
        char key[WARP_SNAPSHOT_KEY_BYTES + 4], one[96];
        double share = hot->count > hot->over ? 100.0 * (double)(hot->count - hot->over) /
                                                    (double)now->hot_total
                                              : 0;
        size_t bytes = (size_t)snprintf(one, sizeof(one), "  %s %.1f %%",
                                        key_text(key, hot->key, hot->key_bytes), share);

        if (share < 0.1 || at + bytes > wide) {
            break;
        }
        memcpy(line + at, one, bytes + 1);
        at += bytes;
    }
    if (i > 0) {
        page_line(page, "%s", line);
    }
}

static void print_slow(struct page *page, const struct looks *looks, uint32_t most)
{
    static const char *const opcodes[] = {"?", "get", "put", "delete", "add"};
    static const char *const stages[WARP_SLOW_STAGES] = {
        [WARP_SLOW_WAIT] = "wait", [WARP_SLOW_EXECUTE] = "execute",
        [WARP_SLOW_ROOM] = "room", [WARP_SLOW_DURABLE] = "durable",
        [WARP_SLOW_DISK] = "disk", [WARP_SLOW_MEMORY] = "memory",
        [WARP_SLOW_PACE] = "pace",
    };
    const struct warp_reading *now = now_of(looks);
    uint32_t i, k;

    if (now->slow_count == 0 || most < 2) {
        return;
    }
    page_line(page, "slow calls: %" PRIu64, value_of(looks, "warp_slow_calls_total"));
    for (i = 0; i < now->slow_count && i + 1 < most; i++) {
        const struct warp_snapshot_slow *slow = &now->slow[i];
        char key[WARP_SNAPSHOT_KEY_BYTES + 4], took[WARP_TEXT_SHORT_BYTES], where[256] = "";
        size_t at = 0;

        for (k = 0; k < WARP_SLOW_STAGES; k++) {
            char stage[WARP_TEXT_SHORT_BYTES];

            /* What took a hundredth is not where the time went. */
            if (slow->stages_ns[k] > slow->duration_ns / 100 && at < sizeof(where) - 48) {
                at += (size_t)snprintf(where + at, sizeof(where) - at, "  %s %s", stages[k],
                                       warp_text_duration(stage, slow->stages_ns[k]));
            }
        }
        page_line(page, "  %s %s  %s%s",
                  slow->opcode < sizeof(opcodes) / sizeof(opcodes[0])
                      ? opcodes[slow->opcode]
                      : "?",
                  key_text(key, slow->key, slow->key_bytes),
                  warp_text_duration(took, slow->duration_ns), where);
    }
}

static void print_page(struct page *page, const struct looks *looks, const char *path)
{
    uint32_t left;

    page->line = 0;
    if (page->terminal) {
        fputs("\033[H", page->out);
    }
    print_head(page, looks, path);
    if (looks->view[looks->now]->has_values) {
        print_rates(page, looks);
        if (!page->terminal || page->high > 24) { /* else each line is wanted */
            page_line(page, "%s", "");
        }
        print_times(page, looks);
        page_line(page, "%s", "");
        print_disk(page, looks);
        print_hot(page, looks);
        page_line(page, "%s", "");
        if (page->terminal) {
            uint32_t shards = now_of(looks)->shard_count;

            /* Shards first, but leave something for slow calls. */
            left = page->high > page->line + 1 ? page->high - page->line - 1 : 0;
            if (now_of(looks)->slow_count > 0 && left > 4 && shards + 4 > left) {
                left -= 3;
            }
            left = shards > left && left > 0 ? left - 1 : left;
            print_shards(page, looks, left);
            left = page->high > page->line ? page->high - page->line : 0;
            print_slow(page, looks, left);
        } else {
            print_shards(page, looks, TOP_LINES_MAX);
            print_slow(page, looks, 9);
        }
    }
    fputs(page->terminal ? "\033[J" : "\n", page->out);
    fflush(page->out);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void print_json(FILE *out, const struct looks *looks, const char *path)
{
    const struct warp_source_view *view = looks->view[looks->now];
    const struct warp_reading *now = &view->reading;
    struct timespec clock;
    bool first = true;
    uint32_t i;

    clock_gettime(CLOCK_REALTIME, &clock);
    fprintf(out, "{\"time_ms\":%" PRIu64 ",\"path\":",
            (uint64_t)clock.tv_sec * 1000 + (uint64_t)clock.tv_nsec / 1000000);
    if (warp_text_utf8_valid(path, strlen(path))) {
        warp_text_write_json_string(out, path, strlen(path));
    } else {
        fputs("null", out);
    }
    fprintf(out, ",\"state\":\"%s\",\"why\":", warp_source_state_text(view->state));
    if (warp_text_utf8_valid(view->why, strlen(view->why))) {
        warp_text_write_json_string(out, view->why, strlen(view->why));
    } else {
        fputs("null", out);
    }
    fprintf(out, ",\"age_s\":%.3f,\"interval_s\":", (double)view->age_ns / 1e9);
    if (looks->pair) {
        fprintf(out, "%.6f", looks->seconds);
    } else {
        fputs("null", out);
    }
    fputs(",\"values\":{", out);
    for (i = 0; view->has_values && i < now->value_count; i++) {
        const char *unit = now->rows[i].unit;

        if (now->values[i] == WARP_CATALOGUE_NONE) {
            continue;
        }
        fprintf(out, "%s\"%s\":", first ? "" : ",", now->rows[i].name);
        first = false;
        if (strcmp(unit, "seconds") == 0) {
            fprintf(out, "%.9f", (double)now->values[i] / 1e9);
        } else if (strcmp(unit, "ratio") == 0) {
            fprintf(out, "%.6f", (double)now->values[i] / 1e6);
        } else {
            fprintf(out, "%" PRIu64, now->values[i]);
        }
    }
    fputs("},\"rates\":{", out);
    first = true;
    for (i = 0; view->has_values && looks->pair && i < now->value_count; i++) {
        if (now->rows[i].kind == WARP_CATALOGUE_COUNTER) {
            double rate = growth_of(looks, now->rows[i].name) / looks->seconds;

            fprintf(out, "%s\"%s\":%.3f", first ? "" : ",", now->rows[i].name,
                    strcmp(now->rows[i].unit, "seconds") == 0 ? rate / 1e9 : rate);
            first = false;
        }
    }
    fputs("}}\n", out);
    fflush(out);
}

/* ---- looking ------------------------------------------------------------------------------ */

/* The next look; the one before stays as long as it is of the same opening and older. */
static void look(struct looks *looks, const char *path)
{
    uint32_t other = 1 - looks->now;
    const struct warp_source_view *was = looks->view[looks->now];
    struct warp_source_view *view = looks->view[other];
    uint64_t before_ns = 0, now_ns;

    warp_source_look(view, path);
    if (was->has_values && view->has_values &&
        was->reading.about.opened_ms == view->reading.about.opened_ms) {
        before_ns = warp_reading_value(&was->reading, "warp_uptime_seconds");
        now_ns = warp_reading_value(&view->reading, "warp_uptime_seconds");
        looks->pair =
            now_ns > before_ns && was->reading.value_count == view->reading.value_count;
        looks->seconds = (double)(now_ns - before_ns) / 1e9;
    } else {
        looks->pair = false;
    }
    looks->now = other;
}

/* Until the next look is due; false: somebody has had enough. */
static bool wait_for(const struct page *page, double seconds)
{
    struct timespec begun, now;
    double left = seconds;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    while (!interrupted && left > 0) {
        struct pollfd keys = {page->terminal ? STDIN_FILENO : -1, POLLIN, 0};
        char key;

        if (poll(&keys, 1, (int)(left * 1000) + 1) == 1) {
            if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') {
                return false;
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = seconds - (double)(now.tv_sec - begun.tv_sec) -
               (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
    }
    return !interrupted;
}

static void page_size(struct page *page)
{
    struct winsize size;

    page->wide = TOP_WIDE;
    page->high = 24;
    if (page->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        page->wide = size.ws_col < 40 ? 40 : size.ws_col;
        page->high = size.ws_row < 4 ? 4 : size.ws_row;
    } else if (!page->terminal) {
        page->wide = 500; /* a pipe has no edge */
    }
}

static int show(const struct warp_tool *tool, struct looks *looks, const char *path,
                double seconds, uint64_t count)
{
    struct page page = {stdout, !tool->json && isatty(STDOUT_FILENO) != 0, 0, 0, 0};
    struct sigaction action, old_int, old_term;
    struct termios kept;
    bool raw = false;
    uint64_t done = 0;

    memset(&action, 0, sizeof(action));
    action.sa_handler = interrupt;
    sigaction(SIGINT, &action, &old_int);
    sigaction(SIGTERM, &action, &old_term);
    if (page.terminal && tcgetattr(STDIN_FILENO, &kept) == 0) {
        struct termios keys = kept;

        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw = tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
    }
    if (page.terminal) {
        fputs("\033[?1049h\033[?25l", stdout); /* a screen of its own, no cursor */
    }
    look(looks, path);
    if (page.terminal) {
        page_size(&page);
        print_page(&page, looks, path);
    }
    while ((count == 0 || done < count) && wait_for(&page, seconds)) {
        look(looks, path);
        page_size(&page);
        if (tool->json) {
            print_json(stdout, looks, path);
        } else {
            print_page(&page, looks, path);
        }
        done++;
        if (ferror(stdout)) {
            break;
        }
    }
    if (page.terminal) {
        fputs("\033[?25h\033[?1049l", stdout);
        fflush(stdout);
    }
    if (raw) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &kept);
    }
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return looks->view[looks->now]->has_values ? WARP_TOOL_DONE : WARP_TOOL_ABSENT;
}

int warp_tool_top(int argc, char **argv)
{
    static const struct option own[] = {
        {"count", required_argument, NULL, OPTION_COUNT},
        {"interval", required_argument, NULL, OPTION_INTERVAL},
        {NULL, 0, NULL, 0},
    };
    static char count_option[] = "--count", interval_option[] = "--interval";
    struct looks looks;
    struct warp *none = NULL;
    struct warp_tool tool;
    const char *path;
    double seconds = 1;
    uint64_t count = 0;
    int exit_code = 0, code, i;
    char *end;

    /* The short names that programs of this kind have. */
    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-n") == 0) {
            argv[i] = count_option;
        } else if (strcmp(argv[i], "-i") == 0) {
            argv[i] = interval_option;
        }
    }
    warp_tool_init(&tool, "top", help);
    while (exit_code == 0 && (code = warp_tool_next(&tool, argc, argv, own)) != 0) {
        if (code < 0) {
            return tool.exit_code;
        }
        if (code == OPTION_COUNT && (!warp_text_read_u64(optarg, &count) || count == 0)) {
            exit_code = warp_tool_usage(&tool, "--count is a number from 1 on");
        } else if (code == OPTION_INTERVAL) {
            seconds = strtod(optarg, &end);
            if (*end != '\0' || end == optarg || !(seconds >= 0.1 && seconds <= 3600)) {
                exit_code =
                    warp_tool_usage(&tool, "--interval is from 0.1 to 3600 seconds");
            }
        }
    }
    if (exit_code == 0 && argc > optind + 1) {
        exit_code =
            warp_tool_usage(&tool, "'%s' is one argument too many", argv[optind + 1]);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    path = argc > optind ? argv[optind] : tool.path;
    memset(&looks, 0, sizeof(looks));
    if (warp_source_create(&looks.view[0]) != 0 ||
        warp_source_create(&looks.view[1]) != 0) {
        exit_code = warp_tool_error(&tool, "no memory");
    } else {
        exit_code = show(&tool, &looks, path, seconds, count);
    }
    warp_source_destroy(&looks.view[0]);
    warp_source_destroy(&looks.view[1]);
    return warp_tool_close(&tool, &none, exit_code);
}
