#include "tools/text.h"

#include <inttypes.h>
#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool warp_text_utf8_valid(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    const uint8_t *end = p + bytes;
    uint64_t eight;

    while (p < end) {
        uint8_t first = *p;
        uint8_t low = 0x80;
        uint8_t high = 0xbf;
        size_t rest;

        if (end - p >= 8) {
            memcpy(&eight, p, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                p += 8;
                continue;
            }
        }
        if (first < 0x80) {
            p++;
            continue;
        }
        if (first >= 0xc2 && first <= 0xdf) {
            rest = 1;
        } else if (first >= 0xe0 && first <= 0xef) {
            rest = 2;
            if (first == 0xe0) {
                low = 0xa0; /* shorter forms exist */
            } else if (first == 0xed) {
                high = 0x9f; /* surrogates */
            }
        } else if (first >= 0xf0 && first <= 0xf4) {
            rest = 3;
            if (first == 0xf0) {
                low = 0x90;
            } else if (first == 0xf4) {
                high = 0x8f; /* beyond U+10FFFF */
            }
        } else {
            return false;
        }
        if ((size_t)(end - p) <= rest || p[1] < low || p[1] > high) {
            return false;
        }
        for (size_t i = 2; i <= rest; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return false;
            }
        }
        p += rest + 1;
    }
    return true;
}

/* The value of one digit, or -1. */
static int base64_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    if (digit == '+') {
        return 62;
    }
    return digit == '/' ? 63 : -1;
}

bool warp_text_base64_decode(void *out, const char *text, size_t chars, size_t *bytes)
{
    uint8_t *to = out;
    size_t padding = 0;

    if (chars % 4 != 0) {
        return false;
    }
    if (chars > 0 && text[chars - 1] == '=') {
        padding = text[chars - 2] == '=' ? 2 : 1;
    }
    for (size_t i = 0; i < chars; i += 4) {
        bool last = i + 4 == chars;
        size_t digits = last ? 4 - padding : 4;
        uint32_t group = 0;

        for (size_t j = 0; j < 4; j++) {
            int value = j < digits ? base64_value(text[i + j]) : 0;

            if (value < 0) {
                return false;
            }
            group = group << 6 | (uint32_t)value;
        }
        /* Bits that padding throws away must be zero, or two texts would mean one value. */
        if (digits < 4 && (group & (digits == 3 ? 0xffu : 0xffffu)) != 0) {
            return false;
        }
        *to++ = (uint8_t)(group >> 16);
        if (digits > 2) {
            *to++ = (uint8_t)(group >> 8);
        }
        if (digits > 3) {
            *to++ = (uint8_t)group;
        }
    }
    *bytes = (size_t)(to - (uint8_t *)out);
    return true;
}

void warp_text_write_base64(FILE *file, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    char block[4 * 256];
    size_t used = 0;

    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)from[i] << 16;

        if (left > 1) {
            group |= (uint32_t)from[i + 1] << 8;
        }
        if (left > 2) {
            group |= from[i + 2];
        }
        block[used++] = base64_digits[group >> 18];
        block[used++] = base64_digits[group >> 12 & 63];
        block[used++] = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        block[used++] = left > 2 ? base64_digits[group & 63] : '=';
        if (used == sizeof(block)) {
            fwrite(block, 1, used, file);
            used = 0;
        }
    }
    fwrite(block, 1, used, file);
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

bool warp_text_hex_decode(void *out, const char *text, size_t chars, size_t *bytes)
{
    uint8_t *to = out;

    if (chars % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < chars; i += 2) {
        int high = hex_value(text[i]);
        int low = hex_value(text[i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        *to++ = (uint8_t)(high << 4 | low);
    }
    *bytes = chars / 2;
    return true;
}

void warp_text_write_hex(FILE *file, const void *data, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = data;
    char block[1024];
    size_t used = 0;

    for (size_t i = 0; i < bytes; i++) {
        block[used++] = digits[from[i] >> 4];
        block[used++] = digits[from[i] & 15];
        if (used == sizeof(block)) {
            fwrite(block, 1, used, file);
            used = 0;
        }
    }
    fwrite(block, 1, used, file);
}

void warp_text_write_json_string(FILE *file, const void *data, size_t bytes)
{
    const char *from = data;
    size_t start = 0;

    fputc('"', file);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)from[i];
        const char *escape = NULL;
        char unicode[8];

        if (c == '"') {
            escape = "\\\"";
        } else if (c == '\\') {
            escape = "\\\\";
        } else if (c == '\n') {
            escape = "\\n";
        } else if (c == '\t') {
            escape = "\\t";
        } else if (c == '\r') {
            escape = "\\r";
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(unicode, sizeof(unicode), "\\u%04x", c);
            escape = unicode;
        }
        if (escape != NULL) {
            fwrite(from + start, 1, i - start, file);
            fputs(escape, file);
            start = i + 1;
        }
    }
    if (bytes > start) {
        fwrite(from + start, 1, bytes - start, file);
    }
    fputc('"', file);
}

void warp_text_write_json_member(FILE *file, const char *name, const void *data,
                                 size_t bytes)
{
    if (warp_text_utf8_valid(data, bytes)) {
        fprintf(file, "\"%s\":", name);
        warp_text_write_json_string(file, data, bytes);
    } else {
        fprintf(file, "\"%s_base64\":\"", name);
        warp_text_write_base64(file, data, bytes);
        fputc('"', file);
    }
}

void warp_text_write_tsv(FILE *file, const void *data, size_t bytes)
{
    const char *from = data;
    size_t start = 0;

    for (size_t i = 0; i < bytes; i++) {
        const char *escape = NULL;

        switch (from[i]) {
        case '\t':
            escape = "\\t";
            break;
        case '\n':
            escape = "\\n";
            break;
        case '\r':
            escape = "\\r";
            break;
        case '\\':
            escape = "\\\\";
            break;
        case '\0':
            escape = "\\0";
            break;
        default:
            continue;
        }
        fwrite(from + start, 1, i - start, file);
        fputs(escape, file);
        start = i + 1;
    }
    if (bytes > start) {
        fwrite(from + start, 1, bytes - start, file);
    }
}

/* Digits up to `end`; at least one. */
static bool read_digits(const char *text, const char *end, uint64_t *number)
{
    uint64_t sum = 0;

    if (text == end) {
        return false;
    }
    for (; text < end; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9' || sum > (UINT64_MAX - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

bool warp_text_read_u64(const char *text, uint64_t *number)
{
    return read_digits(text, text + strlen(text), number);
}

bool warp_text_read_i64(const char *text, int64_t *number)
{
    bool negative = text[0] == '-';
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t magnitude;

    if (text[0] == '-' || text[0] == '+') {
        text++;
    }
    if (!warp_text_read_u64(text, &magnitude) || magnitude > limit) {
        return false;
    }
    *number = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool warp_text_read_size(const char *text, uint64_t *bytes)
{
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    uint64_t number;
    uint32_t shift = 0;

    if (!read_digits(text, unit, &number)) {
        return false;
    }
    switch (unit[0]) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    case 't':
    case 'T':
        shift = 40;
        break;
    default:
        break;
    }
    if (shift > 0) {
        unit++;
        if (unit[0] == 'i' && unit[1] == 'B') {
            unit += 2;
        } else if (unit[0] == 'B') {
            unit++;
        }
    } else if (unit[0] == 'B') {
        unit++;
    }
    if (unit[0] != '\0' || number > UINT64_MAX >> shift) {
        return false;
    }
    *bytes = number << shift;
    return true;
}

char *warp_text_size(char out[WARP_TEXT_SHORT_BYTES], uint64_t bytes)
{
    static const char units[][4] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double scaled = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out, WARP_TEXT_SHORT_BYTES, "%" PRIu64 " B", bytes);
        return out;
    }
    /* 1023.95 would be printed as 1024.0 of the smaller unit. */
    while (scaled >= 1023.95 && unit < 5) {
        scaled /= 1024;
        unit++;
    }
    snprintf(out, WARP_TEXT_SHORT_BYTES, "%.1f %s", scaled, units[unit]);
    return out;
}

char *warp_text_count(char out[WARP_TEXT_SHORT_BYTES], uint64_t count)
{
    char digits[WARP_TEXT_SHORT_BYTES];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            out[used++] = ',';
        }
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

char *warp_text_duration(char out[WARP_TEXT_SHORT_BYTES], uint64_t duration_ns)
{
    double ns = (double)duration_ns;

    if (duration_ns < 1000) {
        snprintf(out, WARP_TEXT_SHORT_BYTES, "%" PRIu64 " ns", duration_ns);
    } else if (ns < 1e6) {
        snprintf(out, WARP_TEXT_SHORT_BYTES, "%.1f us", ns / 1e3);
    } else if (ns < 1e9) {
        snprintf(out, WARP_TEXT_SHORT_BYTES, "%.1f ms", ns / 1e6);
    } else {
        snprintf(out, WARP_TEXT_SHORT_BYTES, "%.2f s", ns / 1e9);
    }
    return out;
}
