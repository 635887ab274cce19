/*
 * The loaders against any bytes. The first byte chooses format and options, the second how
 * the rest is cut into pieces. What must hold, whatever the bytes are:
 *
 *   - every record is within the limits, every line number within the input;
 *   - cut into pieces or fed at once, the same records come out, and the same complaints;
 *   - a record written as the dump writes it comes back as itself.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/loader.h"
#include "tools/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ROUND_TRIP_BYTES_MAX = 65536 };

#define require(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "fuzz_loader: %s:%d: %s\n", __FILE__, __LINE__, #condition);   \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* Everything that came out, folded into one number by FNV-1a. */
struct outcome {
    uint64_t hash, records, bad, line_max;
    bool round_trip;
};

static void fold(struct outcome *outcome, const void *data, size_t bytes)
{
    const uint8_t *from = data;

    for (size_t i = 0; i < bytes; i++) {
        outcome->hash = (outcome->hash ^ from[i]) * UINT64_C(0x100000001b3);
    }
    outcome->hash = (outcome->hash ^ bytes) * UINT64_C(0x100000001b3);
}

static int same_record(void *context, const struct warp_loader_record *record)
{
    const struct warp_loader_record *wanted = context;

    require(record->key.bytes == wanted->key.bytes);
    require(record->value.bytes == wanted->value.bytes);
    require(memcmp(record->key.data, wanted->key.data, wanted->key.bytes) == 0);
    require(wanted->value.bytes == 0 ||
            memcmp(record->value.data, wanted->value.data, wanted->value.bytes) == 0);
    require(record->expires_at_ms == wanted->expires_at_ms);
    return WARP_CONFLICT; /* seen */
}

static int not_bad(void *context, uint64_t line, const char *sentence)
{
    (void)context;
    fprintf(stderr, "fuzz_loader: what we wrote is refused at %llu: %s\n",
            (unsigned long long)line, sentence);
    abort();
}

/* Write the record as `warp dump` does and read that. */
static void round_trip(const struct warp_loader_record *record,
                       enum warp_loader_format format)
{
    struct warp_loader_record wanted = *record;
    const struct warp_loader_sink seen = {same_record, not_bad, &wanted};
    struct warp_loader loader;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    int rc;

    if (file == NULL) {
        return;
    }
    if (format == WARP_LOADER_TSV) {
        wanted.expires_at_ms = 0;
        warp_text_write_tsv(file, record->key.data, record->key.bytes);
        fputc('\t', file);
        warp_text_write_tsv(file, record->value.data, record->value.bytes);
    } else {
        fputc('{', file);
        warp_text_write_json_member(file, "key", record->key.data, record->key.bytes);
        fputc(',', file);
        warp_text_write_json_member(file, "value", record->value.data, record->value.bytes);
        if (record->expires_at_ms != 0) {
            fprintf(file, ",\"expires_at_ms\":%llu",
                    (unsigned long long)record->expires_at_ms);
        }
        fputc('}', file);
    }
    fclose(file);
    rc = warp_loader_init(&loader, format, NULL);
    if (rc == 0) {
        rc = warp_loader_feed(&loader, text, bytes, &seen);
        require(rc == 0);
        rc = warp_loader_finish(&loader, &seen);
        require(rc == WARP_CONFLICT || rc == WARP_ENOMEM);
    }
    warp_loader_fini(&loader);
    free(text);
}

static int note_record(void *context, const struct warp_loader_record *record)
{
    struct outcome *outcome = context;

    require(record->key.bytes >= 1 && record->key.bytes <= WARP_KEY_BYTES_MAX);
    require(record->value.bytes <= WARP_VALUE_BYTES_MAX);
    require(record->line >= 1 && record->line <= outcome->line_max);
    fold(outcome, record->key.data, record->key.bytes);
    fold(outcome, record->value.data, record->value.bytes);
    fold(outcome, &record->line, sizeof(record->line));
    outcome->records++;
    if (outcome->round_trip &&
        record->key.bytes + record->value.bytes < ROUND_TRIP_BYTES_MAX) {
        round_trip(record, WARP_LOADER_TSV);
        round_trip(record, WARP_LOADER_NDJSON);
    }
    return 0;
}

static int note_bad(void *context, uint64_t line, const char *sentence)
{
    struct outcome *outcome = context;

    require(line >= 1 && line <= outcome->line_max);
    require(sentence != NULL && sentence[0] != '\0');
    fold(outcome, sentence, strlen(sentence));
    outcome->bad++;
    return 0;
}

static bool run(enum warp_loader_format format, const char *key, const uint8_t *data,
                size_t bytes, size_t piece_bytes, struct outcome *outcome)
{
    const struct warp_loader_sink sink = {note_record, note_bad, outcome};
    struct warp_loader *loader = malloc(sizeof(*loader));
    size_t at = 0;
    int rc;

    outcome->hash = UINT64_C(0xcbf29ce484222325);
    outcome->line_max = 1;
    for (size_t i = 0; i < bytes; i++) {
        outcome->line_max += data[i] == '\n' ? 1 : 0;
    }
    if (loader == NULL) {
        return false;
    }
    rc = warp_loader_init(loader, format, key);
    while (rc == 0 && at < bytes) {
        size_t piece = bytes - at < piece_bytes ? bytes - at : piece_bytes;

        rc = warp_loader_feed(loader, data + at, piece, &sink);
        at += piece;
    }
    if (rc == 0) {
        rc = warp_loader_finish(loader, &sink);
    }
    warp_loader_fini(loader);
    free(loader);
    require(rc == 0 || rc == WARP_ENOMEM);
    return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct {
        enum warp_loader_format format;
        const char *key;
    } choices[] = {
        {WARP_LOADER_NDJSON, NULL},
        {WARP_LOADER_NDJSON, "id"},
        {WARP_LOADER_TSV, NULL},
        {WARP_LOADER_DEBIAN, NULL},
        {WARP_LOADER_DEBIAN, "Package,Architecture,Version"},
    };
    struct outcome whole = {.round_trip = true};
    struct outcome pieces = {.round_trip = false};
    const char *sentence;
    uint8_t choice;
    size_t piece_bytes;

    if (bytes < 2) {
        return 0;
    }
    choice = (uint8_t)(data[0] % (sizeof(choices) / sizeof(choices[0])));
    piece_bytes = (size_t)data[1] % 61 + 1;
    data += 2;
    bytes -= 2;
    (void)warp_loader_guess(data, bytes, &sentence);
    if (run(choices[choice].format, choices[choice].key, data, bytes, bytes + 1, &whole) &&
        run(choices[choice].format, choices[choice].key, data, bytes, piece_bytes,
            &pieces)) {
        require(whole.hash == pieces.hash);
        require(whole.records == pieces.records);
        require(whole.bad == pieces.bad);
    }
    return 0;
}
