#include "tools/loader_debian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * Each line is appended to the paragraph and, if it opens a field, noted in the table of
 * fields. A line of white space closes the paragraph: its key is put together from the
 * table and both go to the sink. After a bad line the rest of its paragraph is passed over.
 */

struct line_context {
    struct warp_loader_debian *loader;
    const struct warp_loader_sink *sink;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void paragraph_clear(struct warp_loader_debian *loader)
{
    loader->paragraph_bytes = 0;
    loader->field_count = 0;
    loader->bad = false;
}

static int paragraph_bad(struct line_context *line, uint64_t number, const char *sentence)
{
    line->loader->bad = true;
    return line->sink->bad(line->sink->context, number, sentence);
}

/* The key of the finished paragraph. False: there is none, and `sentence` says why. */
static bool paragraph_key(struct warp_loader_debian *loader, size_t *key_bytes,
                          char *sentence, size_t sentence_bytes)
{
    size_t used = 0;

    for (uint32_t i = 0; i < loader->key_count; i++) {
        const char *name = loader->key_names[i];
        size_t name_bytes = loader->key_name_bytes[i];
        uint32_t found = 0;
        size_t text_bytes;

        while (found < loader->field_count &&
               (loader->fields[found].name_bytes != name_bytes ||
                strncasecmp(loader->paragraph + loader->fields[found].name_at, name,
                            name_bytes) != 0)) {
            found++;
        }
        if (found == loader->field_count) {
            if (i == 0) {
                snprintf(sentence, sentence_bytes, "the paragraph has no field %.*s",
                         (int)name_bytes, name);
                return false;
            }
            continue;
        }
        text_bytes = loader->fields[found].text_bytes;
        if (text_bytes == 0 || loader->fields[found].continues) {
            snprintf(sentence, sentence_bytes,
                     "the field %.*s must be one line of text to be the key",
                     (int)name_bytes, name);
            return false;
        }
        if (text_bytes > WARP_KEY_BYTES_MAX - used - (used > 0 ? 1 : 0)) {
            snprintf(sentence, sentence_bytes, "the key is longer than 65,536 bytes");
            return false;
        }
        if (used > 0) {
            loader->key[used++] = '=';
        }
        memcpy(loader->key + used, loader->paragraph + loader->fields[found].text_at,
               text_bytes);
        used += text_bytes;
    }
    *key_bytes = used;
    return true;
}

static int paragraph_close(struct line_context *line)
{
    struct warp_loader_debian *loader = line->loader;
    const struct warp_loader_sink *sink = line->sink;
    struct warp_loader_record record = {{NULL, 0}, {NULL, 0}, 0, loader->paragraph_line};
    char sentence[160];
    size_t key_bytes;
    bool bad = loader->bad;
    int rc;

    if (bad || loader->paragraph_bytes == 0) {
        paragraph_clear(loader);
        return 0;
    }
    if (!paragraph_key(loader, &key_bytes, sentence, sizeof(sentence))) {
        paragraph_clear(loader);
        return sink->bad(sink->context, record.line, sentence);
    }
    record.key = (struct warp_slice){loader->key, key_bytes};
    record.value = (struct warp_slice){loader->paragraph, loader->paragraph_bytes};
    rc = sink->record(sink->context, &record);
    paragraph_clear(loader);
    return rc;
}

/* Note the field that a line opens. NULL, or what is wrong with it. */
static const char *paragraph_field(struct warp_loader_debian *loader, const char *text,
                                   size_t bytes)
{
    size_t at = loader->paragraph_bytes;
    size_t name_bytes = 0;
    size_t begin;
    size_t end = bytes;

    while (name_bytes < bytes && text[name_bytes] > ' ' && text[name_bytes] < 0x7f &&
           text[name_bytes] != ':') {
        name_bytes++;
    }
    if (name_bytes == 0 || name_bytes == bytes || text[name_bytes] != ':' ||
        text[0] == '#' || text[0] == '-') {
        return "neither \"Field: text\" nor a line that goes on with the field before";
    }
    for (uint32_t i = 0; i < loader->field_count; i++) {
        if (loader->fields[i].name_bytes == name_bytes &&
            strncasecmp(loader->paragraph + loader->fields[i].name_at, text, name_bytes) ==
                0) {
            return "the field is in the paragraph already";
        }
    }
    if (loader->field_count == WARP_LOADER_DEBIAN_FIELD_COUNT_MAX) {
        return "the paragraph has more than 256 fields";
    }
    begin = name_bytes + 1;
    while (begin < end && is_blank(text[begin])) {
        begin++;
    }
    while (end > begin && is_blank(text[end - 1])) {
        end--;
    }
    loader->fields[loader->field_count].name_at = at;
    loader->fields[loader->field_count].name_bytes = name_bytes;
    loader->fields[loader->field_count].text_at = at + begin;
    loader->fields[loader->field_count].text_bytes = end - begin;
    loader->fields[loader->field_count].continues = false;
    loader->field_count++;
    return NULL;
}

static int debian_line(void *context, char *text, size_t bytes)
{
    struct line_context *line = context;
    struct warp_loader_debian *loader = line->loader;
    uint64_t number = loader->lines.line;
    const char *wrong;
    size_t blanks = 0;
    int rc;

    if (text != NULL) {
        while (blanks < bytes && is_blank(text[blanks])) {
            blanks++;
        }
        if (blanks == bytes) {
            return paragraph_close(line);
        }
    }
    if (loader->bad) {
        return 0;
    }
    if (text == NULL || bytes + 1 > WARP_VALUE_BYTES_MAX - loader->paragraph_bytes) {
        return paragraph_bad(line, number, "the paragraph is longer than 33,554,432 bytes");
    }
    if (loader->paragraph_bytes == 0) {
        loader->paragraph_line = number;
    }
    if (memchr(text, '\0', bytes) != NULL) {
        return paragraph_bad(line, number, "a zero byte has no place in a control file");
    }
    if (blanks > 0) {
        if (loader->field_count == 0) {
            return paragraph_bad(line, number,
                                 "the paragraph begins with a line that goes on");
        }
        loader->fields[loader->field_count - 1].continues = true;
    } else {
        wrong = paragraph_field(loader, text, bytes);
        if (wrong != NULL) {
            return paragraph_bad(line, number, wrong);
        }
    }
    rc = warp_lines_reserve(&loader->paragraph, &loader->paragraph_capacity,
                            loader->paragraph_bytes + bytes + 1);
    if (rc < 0) {
        return rc;
    }
    memcpy(loader->paragraph + loader->paragraph_bytes, text, bytes);
    loader->paragraph[loader->paragraph_bytes + bytes] = '\n';
    loader->paragraph_bytes += bytes + 1;
    return 0;
}

int warp_loader_debian_init(struct warp_loader_debian *loader, const char *key_fields)
{
    const char *at = key_fields != NULL ? key_fields : WARP_LOADER_DEBIAN_KEY_FIELDS;

    memset(loader, 0, sizeof(*loader));
    for (;;) {
        size_t bytes = strcspn(at, ",");

        if (bytes == 0 || loader->key_count == WARP_LOADER_DEBIAN_KEY_COUNT_MAX) {
            return WARP_EINVAL;
        }
        loader->key_names[loader->key_count] = at;
        loader->key_name_bytes[loader->key_count] = bytes;
        loader->key_count++;
        if (at[bytes] == '\0') {
            break;
        }
        at += bytes + 1;
    }
    loader->key = malloc(WARP_KEY_BYTES_MAX);
    if (loader->key == NULL) {
        return WARP_ENOMEM;
    }
    warp_lines_init(&loader->lines, WARP_VALUE_BYTES_MAX);
    return 0;
}

void warp_loader_debian_fini(struct warp_loader_debian *loader)
{
    warp_lines_fini(&loader->lines);
    free(loader->paragraph);
    free(loader->key);
    loader->paragraph = NULL;
    loader->paragraph_capacity = 0;
    loader->key = NULL;
}

int warp_loader_debian_feed(struct warp_loader_debian *loader, const void *data,
                            size_t bytes, const struct warp_loader_sink *sink)
{
    struct line_context context = {loader, sink};

    return warp_lines_feed(&loader->lines, data, bytes, debian_line, &context);
}

int warp_loader_debian_finish(struct warp_loader_debian *loader,
                              const struct warp_loader_sink *sink)
{
    struct line_context context = {loader, sink};
    int rc = warp_lines_finish(&loader->lines, debian_line, &context);

    return rc != 0 ? rc : paragraph_close(&context);
}
