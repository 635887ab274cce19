#include "tools/loader_ndjson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

/*
 * A line is parsed by one cursor that only moves forward. Strings of pairs are decoded in
 * place: no escape is longer decoded than written, so what is written never passes what is
 * read. Functions answer false after they have put a sentence into the cursor.
 */

enum { JSON_DEPTH_MAX = 64, NAME_BYTES_MAX = 256 };

struct cursor {
    char *at, *begin, *end;
    char sentence[192];
};

struct line_context {
    struct warp_loader_ndjson *loader;
    const struct warp_loader_sink *sink;
};

/* What a member of the line's object is, as far as it can be the key or the value. */
struct scalar {
    char *text;
    size_t bytes;
};

static bool json_fail(struct cursor *cursor, const char *what)
{
    snprintf(cursor->sentence, sizeof(cursor->sentence), "%s (byte %zu of the line)", what,
             (size_t)(cursor->at - cursor->begin) + 1);
    return false;
}

static void json_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end &&
           (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\r')) {
        cursor->at++;
    }
}

static bool json_take(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

/* Four hexadecimal digits of a \u escape. */
static bool json_unit(struct cursor *cursor, uint32_t *unit)
{
    uint8_t pair[2];
    size_t bytes;

    if (cursor->end - cursor->at < 4 ||
        !warp_text_hex_decode(pair, cursor->at, 4, &bytes)) {
        return json_fail(cursor, "\\u needs four hexadecimal digits");
    }
    *unit = (uint32_t)pair[0] << 8 | pair[1];
    cursor->at += 4;
    return true;
}

static size_t utf8_encode(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 63));
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63));
    out[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* What stands behind a backslash, decoded into out. */
static bool json_escape(struct cursor *cursor, char out[4], size_t *bytes)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;
    uint32_t code;
    uint32_t low;

    if (cursor->at == cursor->end) {
        return json_fail(cursor, "the line ends inside a string");
    }
    if (*cursor->at != 'u') {
        letter = *cursor->at != '\0' ? strchr(letters, *cursor->at) : NULL;
        if (letter == NULL) {
            return json_fail(cursor, "JSON has no such escape");
        }
        cursor->at++;
        out[0] = meanings[letter - letters];
        *bytes = 1;
        return true;
    }
    cursor->at++;
    if (!json_unit(cursor, &code)) {
        return false;
    }
    if (code >= 0xdc00 && code <= 0xdfff) {
        return json_fail(cursor, "half of a surrogate pair stands alone");
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!json_take(cursor, '\\') || !json_take(cursor, 'u')) {
            return json_fail(cursor, "half of a surrogate pair stands alone");
        }
        if (!json_unit(cursor, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return json_fail(cursor, "half of a surrogate pair stands alone");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *bytes = utf8_encode(out, code);
    return true;
}

/*
 * A string. With out it is decoded there, as far as capacity reaches; *bytes is what it
 * would take, so that too long is for the caller to see. out may be where the string is.
 */
static bool json_string(struct cursor *cursor, char *out, size_t capacity, size_t *bytes)
{
    size_t used = 0;

    if (!json_take(cursor, '"')) {
        return json_fail(cursor, "a string was expected");
    }
    for (;;) {
        char *run = cursor->at;
        char decoded[4];
        size_t length;

        while (cursor->at < cursor->end && *cursor->at != '"' && *cursor->at != '\\' &&
               (unsigned char)*cursor->at >= 0x20) {
            cursor->at++;
        }
        length = (size_t)(cursor->at - run);
        if (!warp_text_utf8_valid(run, length)) {
            cursor->at = run;
            return json_fail(cursor,
                             "a string is not valid UTF-8 (bytes go into key_base64 or "
                             "value_base64)");
        }
        if (out != NULL && used <= capacity && length <= capacity - used) {
            memmove(out + used, run, length);
        }
        used += length;
        if (json_take(cursor, '"')) {
            *bytes = used;
            return true;
        }
        if (cursor->at == cursor->end) {
            return json_fail(cursor, "the line ends inside a string");
        }
        if (!json_take(cursor, '\\')) {
            return json_fail(cursor, "a control character must be written as an escape");
        }
        if (!json_escape(cursor, decoded, &length)) {
            return false;
        }
        if (out != NULL && used <= capacity && length <= capacity - used) {
            memcpy(out + used, decoded, length);
        }
        used += length;
    }
}

static bool json_is_digit(const struct cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

static bool json_digits(struct cursor *cursor)
{
    if (!json_is_digit(cursor)) {
        return json_fail(cursor, "a digit was expected");
    }
    while (json_is_digit(cursor)) {
        cursor->at++;
    }
    return true;
}

static bool json_number(struct cursor *cursor)
{
    json_take(cursor, '-');
    if (json_take(cursor, '0')) {
        if (json_is_digit(cursor)) {
            return json_fail(cursor, "a number begins with a needless 0");
        }
    } else if (!json_digits(cursor)) {
        return false;
    }
    if (json_take(cursor, '.') && !json_digits(cursor)) {
        return false;
    }
    if (json_take(cursor, 'e') || json_take(cursor, 'E')) {
        if (!json_take(cursor, '+')) {
            json_take(cursor, '-');
        }
        return json_digits(cursor);
    }
    return true;
}

static bool json_word(struct cursor *cursor, const char *word)
{
    size_t bytes = strlen(word);

    if ((size_t)(cursor->end - cursor->at) < bytes ||
        memcmp(cursor->at, word, bytes) != 0) {
        return json_fail(cursor, "a JSON value was expected");
    }
    cursor->at += bytes;
    return true;
}

/* Any value, checked and passed over. Inner objects may repeat a name: it is not ours to
 * judge. */
static bool json_skip(struct cursor *cursor, uint32_t depth)
{
    size_t bytes;
    bool object;
    char close;

    if (cursor->at == cursor->end) {
        return json_fail(cursor, "the line ends where a JSON value was expected");
    }
    switch (*cursor->at) {
    case '"':
        return json_string(cursor, NULL, 0, &bytes);
    case 't':
        return json_word(cursor, "true");
    case 'f':
        return json_word(cursor, "false");
    case 'n':
        return json_word(cursor, "null");
    case '{':
    case '[':
        break;
    default:
        if (*cursor->at == '-' || json_is_digit(cursor)) {
            return json_number(cursor);
        }
        return json_fail(cursor, "a JSON value was expected");
    }
    if (depth == JSON_DEPTH_MAX) {
        return json_fail(cursor, "more than 64 levels deep");
    }
    object = *cursor->at == '{';
    close = object ? '}' : ']';
    cursor->at++;
    json_space(cursor);
    if (json_take(cursor, close)) {
        return true;
    }
    for (;;) {
        json_space(cursor);
        if (object) {
            if (!json_string(cursor, NULL, 0, &bytes)) {
                return false;
            }
            json_space(cursor);
            if (!json_take(cursor, ':')) {
                return json_fail(cursor, "a colon was expected");
            }
            json_space(cursor);
        }
        if (!json_skip(cursor, depth + 1)) {
            return false;
        }
        json_space(cursor);
        if (json_take(cursor, close)) {
            return true;
        }
        if (!json_take(cursor, ',')) {
            return json_fail(cursor, object ? "a comma or } was expected"
                                            : "a comma or ] was expected");
        }
    }
}

/* A member's name, decoded and closed with a zero; the colon is taken too. */
static bool json_name(struct cursor *cursor, char name[NAME_BYTES_MAX], size_t *bytes)
{
    json_space(cursor);
    if (!json_string(cursor, name, NAME_BYTES_MAX - 1, bytes)) {
        return false;
    }
    if (*bytes > NAME_BYTES_MAX - 1) {
        *bytes = NAME_BYTES_MAX; /* too long to be one that we know */
        name[0] = '\0';
    } else {
        name[*bytes] = '\0';
    }
    json_space(cursor);
    if (!json_take(cursor, ':')) {
        return json_fail(cursor, "a colon was expected");
    }
    json_space(cursor);
    return true;
}

static bool name_is(const char *name, size_t bytes, const char *known)
{
    return bytes == strlen(known) && memcmp(name, known, bytes) == 0;
}

/* The string of a pair, decoded in place, from base64 as well if base64 is set. */
static bool pair_string(struct cursor *cursor, struct scalar *out, bool base64,
                        const char *name)
{
    char what[128];
    size_t bytes;
    char *text;

    if (out->text != NULL) {
        snprintf(what, sizeof(what), "there are two members for the %s", name);
        return json_fail(cursor, what);
    }
    if (cursor->at == cursor->end || *cursor->at != '"') {
        snprintf(what, sizeof(what),
                 "the %s must be a string (to store whole objects name the key with --key)",
                 name);
        return json_fail(cursor, what);
    }
    text = cursor->at;
    if (!json_string(cursor, text, (size_t)(cursor->end - text), &bytes)) {
        return false;
    }
    if (base64 && !warp_text_base64_decode(text, text, bytes, &bytes)) {
        snprintf(what, sizeof(what), "%s_base64 is not base64 with padding", name);
        return json_fail(cursor, what);
    }
    out->text = text;
    out->bytes = bytes;
    return true;
}

static bool pair_number(struct cursor *cursor, uint64_t *number, bool *have)
{
    char digits[24];
    char *start = cursor->at;
    size_t bytes;

    if (*have) {
        return json_fail(cursor, "expires_at_ms is there twice");
    }
    while (json_is_digit(cursor)) {
        cursor->at++;
    }
    bytes = (size_t)(cursor->at - start);
    if (bytes >= sizeof(digits)) {
        return json_fail(cursor, "expires_at_ms is too large");
    }
    memcpy(digits, start, bytes);
    digits[bytes] = '\0';
    if (!warp_text_read_u64(digits, number)) {
        return json_fail(cursor, "expires_at_ms must be a whole number of milliseconds");
    }
    *have = true;
    return true;
}

/* The rest of the line behind the object. */
static bool json_end(struct cursor *cursor)
{
    json_space(cursor);
    if (cursor->at != cursor->end) {
        return json_fail(cursor, "something follows the object on its line");
    }
    return true;
}

static bool parse_pair(struct cursor *cursor, struct warp_loader_record *record)
{
    struct scalar key = {NULL, 0};
    struct scalar value = {NULL, 0};
    bool expires = false;
    char name[NAME_BYTES_MAX];
    size_t bytes;

    if (!json_take(cursor, '{')) {
        return json_fail(cursor, "a JSON object was expected");
    }
    json_space(cursor);
    if (!json_take(cursor, '}')) {
        for (;;) {
            if (!json_name(cursor, name, &bytes)) {
                return false;
            }
            if (name_is(name, bytes, "key") || name_is(name, bytes, "key_base64")) {
                if (!pair_string(cursor, &key, bytes > 3, "key")) {
                    return false;
                }
            } else if (name_is(name, bytes, "value") ||
                       name_is(name, bytes, "value_base64")) {
                if (!pair_string(cursor, &value, bytes > 5, "value")) {
                    return false;
                }
            } else if (name_is(name, bytes, "expires_at_ms")) {
                if (!pair_number(cursor, &record->expires_at_ms, &expires)) {
                    return false;
                }
            } else {
                return json_fail(cursor,
                                 "there is a member besides key, value and "
                                 "expires_at_ms (to store whole objects name the key "
                                 "with --key)");
            }
            json_space(cursor);
            if (json_take(cursor, '}')) {
                break;
            }
            if (!json_take(cursor, ',')) {
                return json_fail(cursor, "a comma or } was expected");
            }
        }
    }
    if (!json_end(cursor)) {
        return false;
    }
    if (key.text == NULL) {
        return json_fail(cursor, "there is no key");
    }
    if (value.text == NULL) {
        return json_fail(cursor, "there is no value");
    }
    record->key = (struct warp_slice){key.text, key.bytes};
    record->value = (struct warp_slice){value.text, value.bytes};
    return true;
}

/* The member that is the key: a decoded string or a number as it is written. */
static bool parse_key(struct cursor *cursor, char *key, size_t *bytes)
{
    char *start = cursor->at;

    if (cursor->at < cursor->end && *cursor->at == '"') {
        return json_string(cursor, key, WARP_KEY_BYTES_MAX, bytes);
    }
    if (cursor->at < cursor->end && (*cursor->at == '-' || json_is_digit(cursor))) {
        if (!json_number(cursor)) {
            return false;
        }
        *bytes = (size_t)(cursor->at - start);
        if (*bytes <= WARP_KEY_BYTES_MAX) {
            memcpy(key, start, *bytes);
        }
        return true;
    }
    return json_fail(cursor, "the key field must be a string or a number");
}

static bool parse_object(struct cursor *cursor, const struct warp_loader_ndjson *loader,
                         struct warp_loader_record *record)
{
    char *start = cursor->at;
    char name[NAME_BYTES_MAX];
    char what[128];
    size_t key_bytes = 0;
    size_t bytes;
    bool have_key = false;

    if (!json_take(cursor, '{')) {
        return json_fail(cursor, "a JSON object was expected");
    }
    json_space(cursor);
    if (!json_take(cursor, '}')) {
        for (;;) {
            if (!json_name(cursor, name, &bytes)) {
                return false;
            }
            if (name_is(name, bytes, loader->key_field)) {
                if (have_key) {
                    return json_fail(cursor, "the key field is there twice");
                }
                if (!parse_key(cursor, loader->key, &key_bytes)) {
                    return false;
                }
                have_key = true;
            } else if (!json_skip(cursor, 1)) {
                return false;
            }
            json_space(cursor);
            if (json_take(cursor, '}')) {
                break;
            }
            if (!json_take(cursor, ',')) {
                return json_fail(cursor, "a comma or } was expected");
            }
        }
    }
    record->value = (struct warp_slice){start, (size_t)(cursor->at - start)};
    if (!json_end(cursor)) {
        return false;
    }
    if (!have_key) {
        snprintf(what, sizeof(what), "there is no member \"%.64s\" to be the key",
                 loader->key_field);
        return json_fail(cursor, what);
    }
    record->key = (struct warp_slice){loader->key, key_bytes};
    return true;
}

static int ndjson_line(void *context, char *text, size_t bytes)
{
    struct line_context *line = context;
    struct warp_loader_ndjson *loader = line->loader;
    const struct warp_loader_sink *sink = line->sink;
    struct warp_loader_record record = {{NULL, 0}, {NULL, 0}, 0, loader->lines.line};
    struct cursor cursor = {text, text, text + bytes, ""};
    bool good;

    if (text == NULL) {
        snprintf(cursor.sentence, sizeof(cursor.sentence),
                 "the line is longer than %zu bytes", bytes);
        return sink->bad(sink->context, record.line, cursor.sentence);
    }
    json_space(&cursor);
    if (cursor.at == cursor.end) {
        return 0;
    }
    if (loader->key_field != NULL) {
        good = parse_object(&cursor, loader, &record);
    } else {
        good = parse_pair(&cursor, &record);
    }
    if (!good) {
        return sink->bad(sink->context, record.line, cursor.sentence);
    }
    if (record.key.bytes == 0) {
        return sink->bad(sink->context, record.line, "the key is empty");
    }
    if (record.key.bytes > WARP_KEY_BYTES_MAX) {
        return sink->bad(sink->context, record.line, "the key is longer than 65,536 bytes");
    }
    if (record.value.bytes > WARP_VALUE_BYTES_MAX) {
        return sink->bad(sink->context, record.line,
                         "the value is longer than 33,554,432 bytes");
    }
    return sink->record(sink->context, &record);
}

int warp_loader_ndjson_init(struct warp_loader_ndjson *loader, const char *key_field)
{
    memset(loader, 0, sizeof(*loader));
    warp_lines_init(&loader->lines, WARP_LOADER_NDJSON_LINE_BYTES_MAX);
    loader->key_field = key_field;
    if (key_field != NULL) {
        if (strlen(key_field) >= NAME_BYTES_MAX) {
            return WARP_EINVAL;
        }
        loader->key = malloc(WARP_KEY_BYTES_MAX);
        if (loader->key == NULL) {
            return WARP_ENOMEM;
        }
    }
    return 0;
}

void warp_loader_ndjson_fini(struct warp_loader_ndjson *loader)
{
    warp_lines_fini(&loader->lines);
    free(loader->key);
    loader->key = NULL;
}

int warp_loader_ndjson_feed(struct warp_loader_ndjson *loader, const void *data,
                            size_t bytes, const struct warp_loader_sink *sink)
{
    struct line_context context = {loader, sink};

    return warp_lines_feed(&loader->lines, data, bytes, ndjson_line, &context);
}

int warp_loader_ndjson_finish(struct warp_loader_ndjson *loader,
                              const struct warp_loader_sink *sink)
{
    struct line_context context = {loader, sink};

    return warp_lines_finish(&loader->lines, ndjson_line, &context);
}
