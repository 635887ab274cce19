#include "serve/pages.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/counter.h"
#include "observe/render.h"
#include "serve/console.h"
#include "serve/source.h"

#define PAGES_LABEL_BYTES 256u
#define PAGES_TEXT_BYTES  65536u
#define PAGES_PRESSURE    3u

struct pages_source {
    char *label; /* NULL: without */
    char *directory;
    struct warp *db; /* or NULL */
    struct warp_source_view *view;
    char not_ready[320]; /* why; "": it is ready */
};

struct warp_pages {
    struct pages_source *sources;
    size_t count;
    _Atomic(const struct warp_http *) http;
    uint64_t scrapes, bytes; /* of the answer before */
    uint64_t events;
};

/* ---- sources ------------------------------------------------------------------------------ */

int warp_pages_create(struct warp_pages **pages)
{
    *pages = calloc(1, sizeof(**pages));
    return *pages == NULL ? WARP_ENOMEM : 0;
}

static void pages_forget(struct pages_source *source)
{
    free(source->label);
    free(source->directory);
    warp_source_destroy(&source->view);
}

void warp_pages_destroy(struct warp_pages **pages)
{
    size_t i;

    if (*pages == NULL) {
        return;
    }
    for (i = 0; i < (*pages)->count; i++) {
        pages_forget(&(*pages)->sources[i]);
    }
    free((*pages)->sources);
    free(*pages);
    *pages = NULL;
}

/* Labels are UTF-8 and one line: anything else is somebody's idea of a name. */
static char *pages_label(const char *text)
{
    char *label = strdup(text);
    char *at;

    for (at = label; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f) {
            *at = '?';
        }
    }
    if (label != NULL && strlen(label) >= PAGES_LABEL_BYTES) {
        label[PAGES_LABEL_BYTES - 1] = '\0';
    }
    return label;
}

static int pages_add(struct warp_pages *pages, const char *label, const char *directory,
                     struct warp *db)
{
    struct pages_source source = {NULL, NULL, db, NULL, ""};
    struct pages_source *more;
    size_t i;

    if (pages->count == WARP_PAGES_SOURCES_MAX) {
        return WARP_EINVAL;
    }
    source.label = label == NULL ? NULL : pages_label(label);
    source.directory = directory == NULL ? NULL : strdup(directory);
    if ((label != NULL && source.label == NULL) ||
        (directory != NULL && source.directory == NULL) ||
        warp_source_create(&source.view) != 0) {
        pages_forget(&source);
        return WARP_ENOMEM;
    }
    /* Two of one name would be one series with two values. */
    for (i = 0; i < pages->count; i++) {
        if (source.label == NULL || pages->sources[i].label == NULL ||
            strcmp(source.label, pages->sources[i].label) == 0) {
            pages_forget(&source);
            return WARP_EINVAL;
        }
    }
    more = realloc(pages->sources, (pages->count + 1) * sizeof(*more));
    if (more == NULL) {
        pages_forget(&source);
        return WARP_ENOMEM;
    }
    pages->sources = more;
    pages->sources[pages->count++] = source;
    return 0;
}

int warp_pages_add_directory(struct warp_pages *pages, const char *label,
                             const char *directory)
{
    return pages_add(pages, label, directory, NULL);
}

int warp_pages_add_database(struct warp_pages *pages, const char *label, struct warp *db)
{
    return pages_add(pages, label, NULL, db);
}

void warp_pages_set_http(struct warp_pages *pages, const struct warp_http *http)
{
    /* Release: pairs with the acquire of the page that tells its numbers. */
    atomic_store_explicit(&pages->http, http, memory_order_release);
}

/* A database of this process is asked directly. */
static void pages_look_inside(struct pages_source *source)
{
    struct warp_source_view *view = source->view;
    size_t bytes = 0;
    int rc =
        warp_metrics_snapshot(source->db, view->image, WARP_SNAPSHOT_IMAGE_MAX, &bytes);

    view->age_ns = 0;
    if (rc == 0) {
        rc = warp_snapshot_read(view->image, bytes, view->rows, &view->reading);
    }
    view->has_values = rc == 0;
    view->state = rc == 0 ? WARP_SOURCE_RUNNING : WARP_SOURCE_BROKEN;
    snprintf(view->why, sizeof(view->why), "%s",
             rc == 0 ? "open in this process" : warp_error_text(rc));
}

static void pages_look(struct pages_source *source)
{
    const struct warp_reading *reading = &source->view->reading;
    uint64_t pressure;

    if (source->db != NULL) {
        pages_look_inside(source);
    } else {
        warp_source_look(source->view, source->directory);
    }
    source->not_ready[0] = '\0';
    if (source->view->state != WARP_SOURCE_RUNNING) {
        snprintf(source->not_ready, sizeof(source->not_ready), "%s: %s",
                 warp_source_state_text(source->view->state), source->view->why);
    } else if (warp_reading_value(reading, "warp_log_failed") == 1) {
        snprintf(source->not_ready, sizeof(source->not_ready),
                 "the log has failed: reads only");
    } else {
        pressure = warp_reading_value(reading, "warp_background_pressure");
        if (pressure != WARP_CATALOGUE_NONE && pressure >= PAGES_PRESSURE) {
            snprintf(source->not_ready, sizeof(source->not_ready),
                     "pressure is %llu: writes are held up", (unsigned long long)pressure);
        }
    }
}

static void pages_look_at_all(struct warp_pages *pages)
{
    size_t i;

    for (i = 0; i < pages->count; i++) {
        pages_look(&pages->sources[i]);
    }
}

/* ---- /metrics ----------------------------------------------------------------------------- */

static uint64_t pages_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct pages_own {
#define PAGES_OWN_FIELD(field, name, kind, unit, help, worry) double field;
    WARP_WATCH_METRICS(PAGES_OWN_FIELD)
    WARP_EXPORTER_METRICS(PAGES_OWN_FIELD)
#undef PAGES_OWN_FIELD
};

#define PAGES_KIND_counter WARP_CATALOGUE_COUNTER
#define PAGES_KIND_gauge   WARP_CATALOGUE_GAUGE

static void pages_labels(const struct pages_source *source, char *labels, size_t bytes)
{
    labels[0] = '\0';
    if (source->label != NULL) {
        warp_render_label(labels, bytes, "database", source->label);
    }
}

static double pages_up(const struct pages_source *source)
{
    return source->view->state == WARP_SOURCE_RUNNING;
}

/* What is seen of every database from outside. */
static void pages_watch(const struct warp_pages *pages, struct warp_render *render)
{
    char labels[2 * PAGES_LABEL_BYTES + 64];
    size_t i, bytes;
    uint32_t state;

#define PAGES_WATCH(field, name, kind, unit, help, worry)                                  \
    warp_render_family(render, name, PAGES_KIND_##kind, unit, help);                       \
    for (i = 0; i < pages->count; i++) {                                                   \
        const struct pages_source *source = &pages->sources[i];                            \
        const struct pages_own own = {                                                     \
            .up = pages_up(source),                                                        \
            .ready = source->not_ready[0] == '\0',                                         \
            .age = (double)source->view->age_ns / 1e9,                                     \
        };                                                                                 \
                                                                                           \
        pages_labels(source, labels, sizeof(labels) - 64);                                 \
        warp_render_sample(render, name, labels, own.field);                               \
    }
    WARP_WATCH_METRICS(PAGES_WATCH)
#undef PAGES_WATCH
    warp_render_family(render, "warp_database_state", WARP_CATALOGUE_GAUGE, "flag",
                       "1 for the state that the database is in, 0 for all others.");
    for (i = 0; i < pages->count; i++) {
        pages_labels(&pages->sources[i], labels, sizeof(labels) - 64);
        bytes = strlen(labels);
        for (state = 0; state < WARP_SOURCE_STATES; state++) {
            snprintf(labels + bytes, sizeof(labels) - bytes, "%sstate=\"%s\"",
                     bytes > 0 ? "," : "",
                     warp_source_state_text((enum warp_source_state)state));
            warp_render_sample(render, "warp_database_state", labels,
                               pages->sources[i].view->state ==
                                   (enum warp_source_state)state);
        }
    }
}

/* About ourselves; last, so that it tells of all before. */
static void pages_self(const struct warp_pages *pages, struct warp_render *render,
                       uint64_t begun_ns)
{
    const struct warp_http *http = atomic_load_explicit(&pages->http, memory_order_acquire);
    struct warp_http_counts counts = {0, 0, 0, 0, 0, 0};

    if (http != NULL) {
        warp_http_count(http, &counts);
    }
#define PAGES_SELF(field_, name, kind, unit, help, worry)                                  \
    {                                                                                      \
        const struct pages_own own = {                                                     \
            .scrapes = (double)pages->scrapes,                                             \
            .seconds = (double)(pages_now_ns() - begun_ns) / 1e9,                          \
            .samples = render->samples,                                                    \
            .bytes = (double)pages->bytes,                                                 \
            .requests = (double)counts.requests,                                           \
            .refused = (double)counts.refused,                                             \
            .connections = (double)counts.connections,                                     \
            .evicted = (double)counts.evicted,                                             \
            .streams = (double)counts.streams,                                             \
            .dropped = (double)counts.dropped,                                             \
        };                                                                                 \
                                                                                           \
        warp_render_family(render, name, PAGES_KIND_##kind, unit, help);                   \
        warp_render_sample(render, name, "", own.field_);                                  \
    }
    WARP_EXPORTER_METRICS(PAGES_SELF)
#undef PAGES_SELF
}

static void pages_render(const struct warp_pages *pages, struct warp_render *render,
                         const struct warp_render_part *parts, size_t count, bool shards,
                         uint64_t begun_ns)
{
    pages_watch(pages, render);
    warp_render_readings(render, parts, count, shards);
    pages_self(pages, render, begun_ns);
    if (render->format == WARP_RENDER_OPENMETRICS) {
        warp_render_print(render, "# EOF\n");
    }
}

static bool pages_metrics(struct warp_pages *pages, const struct warp_http_request *request,
                          struct warp_http_answer *answer)
{
    const char *wanted = warp_http_argument(request, "shards");
    uint64_t begun_ns = pages_now_ns();
    struct warp_render_part *parts;
    struct warp_render render;
    size_t i, count = 0, capacity = PAGES_TEXT_BYTES;
    enum warp_render_format format = warp_http_wants_openmetrics(request->accept)
                                         ? WARP_RENDER_OPENMETRICS
                                         : WARP_RENDER_TEXT;

    parts = calloc(pages->count + 1, sizeof(*parts));
    if (parts == NULL) {
        return false;
    }
    pages_look_at_all(pages);
    for (i = 0; i < pages->count; i++) {
        if (pages->sources[i].view->has_values) {
            parts[count].reading = &pages->sources[i].view->reading;
            parts[count].label = pages->sources[i].label;
            count++;
        }
    }
    pages->scrapes++;
    do {
        free(answer->body);
        answer->body = malloc(capacity);
        if (answer->body == NULL) {
            break;
        }
        warp_render_init(&render, answer->body, capacity, format);
        pages_render(pages, &render, parts, count,
                     wanted != NULL && strcmp(wanted, "1") == 0, begun_ns);
        capacity = render.bytes + 4096; /* the time it took may be longer the next time */
    } while (!warp_render_fits(&render));
    free(parts);
    if (answer->body == NULL) {
        return false;
    }
    answer->bytes = render.bytes;
    answer->type = format == WARP_RENDER_OPENMETRICS
                       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8";
    pages->bytes = render.bytes;
    return true;
}

/* ---- the other pages ---------------------------------------------------------------------- */

/* A text that grows. */
struct pages_text {
    char *text;
    size_t bytes, capacity;
    bool failed;
};

static void pages_print(struct pages_text *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void pages_print(struct pages_text *out, const char *format, ...)
{
    va_list arguments;
    int bytes;

    while (!out->failed) {
        size_t left = out->capacity - out->bytes;
        char *more;

        va_start(arguments, format);
        bytes =
            vsnprintf(left > 0 ? out->text + out->bytes : NULL, left, format, arguments);
        va_end(arguments);
        if (bytes >= 0 && (size_t)bytes < left) {
            out->bytes += (size_t)bytes;
            return;
        }
        more =
            bytes < 0 ? NULL : realloc(out->text, out->capacity * 2 + (size_t)bytes + 4096);
        if (more == NULL) {
            out->failed = true;
            return;
        }
        out->text = more;
        out->capacity = out->capacity * 2 + (size_t)bytes + 4096;
    }
}

static void pages_json_string(struct pages_text *out, const char *text)
{
    pages_print(out, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            pages_print(out, "\\%c", *text);
        } else if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f) {
            pages_print(out, "\\u%04x", (unsigned char)*text);
        } else {
            pages_print(out, "%c", *text);
        }
    }
    pages_print(out, "\"");
}

static bool pages_give(struct pages_text *out, struct warp_http_answer *answer,
                       const char *type)
{
    if (out->failed) {
        free(out->text);
        return false;
    }
    answer->body = out->text;
    answer->bytes = out->bytes;
    answer->type = type;
    return true;
}

static const char *pages_name(const struct pages_source *source)
{
    return source->label != NULL ? source->label : "";
}

/* Ready are all or none: whoever asks about several gets the reasons of each. */
static bool pages_ready(struct warp_pages *pages, struct warp_http_answer *answer)
{
    struct pages_text out = {NULL, 0, 0, false};
    bool ready = true;
    size_t i;

    pages_look_at_all(pages);
    for (i = 0; i < pages->count; i++) {
        ready = ready && pages->sources[i].not_ready[0] == '\0';
    }
    pages_print(&out, "{\"ready\":%s,\"databases\":[", ready ? "true" : "false");
    for (i = 0; i < pages->count; i++) {
        const struct pages_source *source = &pages->sources[i];

        pages_print(&out, "%s{\"database\":", i > 0 ? "," : "");
        pages_json_string(&out, pages_name(source));
        pages_print(&out, ",\"ready\":%s,\"state\":\"%s\",\"reason\":",
                    source->not_ready[0] == '\0' ? "true" : "false",
                    warp_source_state_text(source->view->state));
        pages_json_string(&out, source->not_ready);
        pages_print(&out, "}");
    }
    pages_print(&out, "]}\n");
    answer->status = ready ? 200 : 503;
    return pages_give(&out, answer, "application/json");
}

static void pages_json_value(struct pages_text *out, const struct warp_reading_row *row,
                             uint64_t value)
{
    pages_print(out, "\"%s\":", row->name);
    if (value == WARP_CATALOGUE_NONE) {
        pages_print(out, "null");
    } else if (strcmp(row->unit, "seconds") == 0) {
        pages_print(out, "%.9f", (double)value / 1e9);
    } else if (strcmp(row->unit, "ratio") == 0) {
        pages_print(out, "%.6f", (double)value / 1e6);
    } else {
        pages_print(out, "%llu", (unsigned long long)value);
    }
}

static void pages_json_reading(struct pages_text *out, const struct warp_reading *reading)
{
    const struct warp_reading_row *row = reading->rows;
    uint32_t i, k;

    pages_print(out, ",\"version\":");
    pages_json_string(out, reading->about.version);
    pages_print(out,
                ",\"pid\":%llu,\"opened_ms\":%llu,\"published_ms\":%llu,\"sequence\":%llu,"
                "\"values\":{",
                (unsigned long long)reading->about.process.pid,
                (unsigned long long)reading->about.opened_ms,
                (unsigned long long)reading->about.published_ms,
                (unsigned long long)reading->about.sequence);
    for (i = 0; i < reading->value_count; i++, row++) {
        pages_print(out, i > 0 ? "," : "");
        pages_json_value(out, row, reading->values[i]);
    }
    pages_print(out, "},\"shards\":[");
    for (k = 0; k < reading->shard_count; k++) {
        pages_print(out, "%s{\"shard\":%u", k > 0 ? "," : "", k);
        for (i = 0; i < reading->shard_value_count; i++) {
            pages_print(out, ",");
            pages_json_value(out, row + i,
                             reading->shards[(uint64_t)k * reading->shard_value_count + i]);
        }
        pages_print(out, "}");
    }
    row += reading->shard_value_count;
    pages_print(out, "],\"histograms\":{");
    for (i = 0; i < reading->histogram_count; i++, row++) {
        const uint64_t *words = warp_reading_histogram(reading, i);

        pages_print(out,
                    "%s\"%s\":{\"count\":%llu,\"sum\":%.9f,\"max\":%.9f,\"p50\":%.9f,"
                    "\"p90\":%.9f,\"p99\":%.9f,\"p999\":%.9f,\"buckets\":[",
                    i > 0 ? "," : "", row->name, (unsigned long long)words[0],
                    (double)words[1] / 1e9, (double)words[2] / 1e9, (double)words[3] / 1e9,
                    (double)words[4] / 1e9, (double)words[5] / 1e9, (double)words[6] / 1e9);
        for (k = 0; k < reading->bucket_count; k++) {
            pages_print(out, "%s[%.9f,%llu]", k > 0 ? "," : "",
                        (double)reading->bounds[k] / 1e9,
                        (unsigned long long)words[WARP_READING_HISTOGRAM_WORDS + k]);
        }
        pages_print(out, "]}");
    }
    pages_print(out, "}");
}

static uint32_t pages_distance(uint32_t owner, uint32_t slot, uint32_t count)
{
    return (owner % count + count - slot % count) % count;
}

/*
 * Which shard has which slot. They are dealt in turns, so what is told is how far each owner is from that
 * one, (owner - slot) modulo the number of shards: runs of one distance, as its character and how many slots,
 * 1 left out. "A16384" is a database none of whose slots has moved.
 */
static void pages_json_slots(struct pages_text *out, const struct warp_reading *reading)
{
    static const char shards[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&*+-.:;=";
    uint32_t count = reading->shard_count > 0 ? reading->shard_count : 1;
    uint32_t at, next;

    static_assert(sizeof(shards) - 1 == WARP_SHARD_COUNT_MAX, "a character each");
    pages_print(out, ",\"slots\":\"");
    for (at = 0; at < reading->owner_count; at = next) {
        uint32_t distance = pages_distance(reading->owners[at], at, count);

        for (next = at + 1; next < reading->owner_count &&
                            pages_distance(reading->owners[next], next, count) == distance;
             next++) {
        }
        pages_print(out, "%c", shards[distance % WARP_SHARD_COUNT_MAX]);
        if (next > at + 1) {
            pages_print(out, "%u", next - at);
        }
    }
    pages_print(out, "\"");
}

/* Bytes, of which those above 127 are taken for Latin-1; the first of them, if it is longer. */
static void pages_json_key(struct pages_text *out, const uint8_t *key, uint32_t bytes)
{
    uint32_t i;

    pages_print(out, "\"");
    for (i = 0; i < bytes && i < WARP_SNAPSHOT_KEY_BYTES; i++) {
        pages_print(out,
                    key[i] < 0x20 || key[i] >= 0x7f || key[i] == '"' || key[i] == '\\'
                        ? "\\u%04x"
                        : "%c",
                    key[i]);
    }
    pages_print(out, "\"");
}

static void pages_json_slow(struct pages_text *out, const struct warp_reading *reading)
{
    static const char *const opcodes[] = {"", "get", "put", "delete", "add"};
    static const char *const stages[WARP_SLOW_STAGES] = {
        [WARP_SLOW_WAIT] = "wait", [WARP_SLOW_EXECUTE] = "execute",
        [WARP_SLOW_ROOM] = "room", [WARP_SLOW_DURABLE] = "durable",
        [WARP_SLOW_DISK] = "disk", [WARP_SLOW_MEMORY] = "memory",
        [WARP_SLOW_PACE] = "pace",
    };
    uint32_t i, k;

    pages_print(out, ",\"slow\":[");
    for (i = 0; i < reading->slow_count; i++) {
        const struct warp_snapshot_slow *slow = &reading->slow[i];

        pages_print(
            out,
            "%s{\"number\":%llu,\"ended_ms\":%llu,\"operation\":\"%s\",\"result\":%d,"
            "\"slot\":%u,\"shard\":%u,\"key_bytes\":%u,\"value_bytes\":%u,"
            "\"seconds\":%.9f,\"stages\":{",
            i > 0 ? "," : "", (unsigned long long)slow->number,
            (unsigned long long)slow->ended_ms,
            slow->opcode < sizeof(opcodes) / sizeof(opcodes[0]) ? opcodes[slow->opcode]
                                                                : "",
            slow->result, slow->slot, slow->shard, slow->key_bytes, slow->value_bytes,
            (double)slow->duration_ns / 1e9);
        for (k = 0; k < WARP_SLOW_STAGES; k++) {
            pages_print(out, "%s\"%s\":%.9f", k > 0 ? "," : "", stages[k],
                        (double)slow->stages_ns[k] / 1e9);
        }
        pages_print(out, "},\"key\":");
        pages_json_key(out, slow->key, slow->key_bytes);
        pages_print(out, "}");
    }
    pages_print(out, "]");
}

static void pages_json_hot(struct pages_text *out, const struct warp_reading *reading)
{
    uint32_t i;

    pages_print(out, ",\"calls\":%llu,\"hot\":[", (unsigned long long)reading->hot_total);
    for (i = 0; i < reading->hot_count; i++) {
        const struct warp_snapshot_hot *hot = &reading->hot[i];

        pages_print(out, "%s{\"calls\":%llu,\"over\":%llu,\"key_bytes\":%u,\"key\":",
                    i > 0 ? "," : "", (unsigned long long)hot->count,
                    (unsigned long long)hot->over, hot->key_bytes);
        pages_json_key(out, hot->key, hot->key_bytes);
        pages_print(out, "}");
    }
    pages_print(out, "]");
}

static void pages_json_state(struct pages_text *out, const struct pages_source *source)
{
    pages_print(out, "\"database\":");
    pages_json_string(out, pages_name(source));
    pages_print(out,
                ",\"state\":\"%s\",\"why\":", warp_source_state_text(source->view->state));
    pages_json_string(out, source->view->why);
    pages_print(out, ",\"age\":%.9f", (double)source->view->age_ns / 1e9);
}

static bool pages_calls(struct warp_pages *pages, bool hot, struct warp_http_answer *answer)
{
    struct pages_text out = {NULL, 0, 0, false};
    size_t i;

    pages_look_at_all(pages);
    pages_print(&out, "{\"databases\":[");
    for (i = 0; i < pages->count; i++) {
        const struct pages_source *source = &pages->sources[i];

        pages_print(&out, "%s{", i > 0 ? "," : "");
        pages_json_state(&out, source);
        if (source->view->has_values && hot) {
            pages_json_hot(&out, &source->view->reading);
        } else if (source->view->has_values) {
            pages_json_slow(&out, &source->view->reading);
        }
        pages_print(&out, "}");
    }
    pages_print(&out, "]}\n");
    return pages_give(&out, answer, "application/json");
}

/*
 * An event: how all databases are, and everything about one. Each stands alone, so that a client may
 * miss some.
 */
char *warp_pages_next(void *context, uint32_t key, size_t *bytes)
{
    struct warp_pages *pages = context;
    struct pages_text out = {NULL, 0, 0, false};
    size_t i;

    pages_look_at_all(pages);
    pages->events++;
    pages_print(&out, "id: %llu\nevent: databases\ndata: {\"shown\":%u,\"databases\":[",
                (unsigned long long)pages->events, key);
    for (i = 0; i < pages->count; i++) {
        const struct pages_source *source = &pages->sources[i];

        pages_print(&out, "%s{", i > 0 ? "," : "");
        pages_json_state(&out, source);
        pages_print(&out, ",\"not_ready\":");
        pages_json_string(&out, source->not_ready);
        if (i == key && source->view->has_values) {
            pages_json_reading(&out, &source->view->reading);
            pages_json_slots(&out, &source->view->reading);
            pages_json_slow(&out, &source->view->reading);
        }
        pages_print(&out, "}");
    }
    pages_print(&out, "]}\n\n");
    if (out.failed) {
        free(out.text);
        return NULL;
    }
    *bytes = out.bytes;
    return out.text;
}

static bool pages_text(struct warp_http_answer *answer, uint32_t status, const char *text)
{
    answer->status = status;
    answer->body = strdup(text);
    answer->bytes = strlen(text);
    return answer->body != NULL;
}

/* ?database=NAME, or the first. */
static bool pages_events(struct warp_pages *pages, const struct warp_http_request *request,
                         struct warp_http_answer *answer)
{
    const char *wanted = warp_http_argument(request, "database");
    size_t i = 0;

    while (wanted != NULL && i < pages->count &&
           strcmp(wanted, pages_name(&pages->sources[i])) != 0) {
        i++;
    }
    if (i == pages->count) {
        return pages_text(answer, 404, "there is no such database\n");
    }
    answer->type = "text/event-stream";
    answer->stream = true;
    answer->key = (uint32_t)i;
    return true;
}

static bool pages_console(struct warp_http_answer *answer)
{
    answer->body = warp_console_page(&answer->bytes);
    answer->type = "text/html; charset=utf-8";
    /* The page has its style and its script in it, and asks nobody else for anything. */
    answer->policy = "default-src 'none'; style-src 'unsafe-inline'; script-src "
                     "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                     "form-action 'none'; frame-ancestors 'none'";
    return answer->body != NULL;
}

static bool pages_shards(struct warp_pages *pages, struct warp_http_answer *answer)
{
    struct pages_text out = {NULL, 0, 0, false};
    size_t i;

    pages_look_at_all(pages);
    pages_print(&out, "{\"databases\":[");
    for (i = 0; i < pages->count; i++) {
        const struct pages_source *source = &pages->sources[i];

        pages_print(&out, "%s{", i > 0 ? "," : "");
        pages_json_state(&out, source);
        if (source->view->has_values) {
            pages_json_reading(&out, &source->view->reading);
        }
        pages_print(&out, "}");
    }
    pages_print(&out, "]}\n");
    return pages_give(&out, answer, "application/json");
}

bool warp_pages_answer(void *context, const struct warp_http_request *request,
                       struct warp_http_answer *answer)
{
    struct warp_pages *pages = context;

    if (strcmp(request->path, "/metrics") == 0) {
        return pages_metrics(pages, request, answer);
    }
    if (strcmp(request->path, "/-/healthy") == 0) {
        return pages_text(answer, 200, "healthy\n");
    }
    if (strcmp(request->path, "/-/ready") == 0) {
        return pages_ready(pages, answer);
    }
    if (strcmp(request->path, "/debug/shards") == 0) {
        return pages_shards(pages, answer);
    }
    if (strcmp(request->path, "/debug/slow") == 0 ||
        strcmp(request->path, "/debug/hot") == 0) {
        return pages_calls(pages, strcmp(request->path, "/debug/hot") == 0, answer);
    }
    if (strcmp(request->path, "/events") == 0) {
        return pages_events(pages, request, answer);
    }
    if (strcmp(request->path, "/") == 0 && strstr(request->accept, "text/html") != NULL) {
        return pages_console(answer);
    }
    if (strcmp(request->path, "/") == 0) {
        return pages_text(
            answer, 200,
            "WarpEngine exporter\n\n"
            "/metrics            for Prometheus; ?shards=1 with those of each "
            "shard\n"
            "/-/healthy          whether this answers\n"
            "/-/ready            whether all databases are ready, and why not\n"
            "/debug/shards       everything, as JSON\n"
            "/debug/slow         calls that took too long, as JSON\n"
            "/debug/hot          keys that are asked for most, as JSON\n"
            "/events             everything about one (?database=NAME), twice a second\n"
            "/                   in a browser: all of it to look at\n");
    }
    return pages_text(answer, 404, "there is no such page\n");
}
