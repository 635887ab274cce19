/*
 * tools/text.h - bytes as a person or another program writes them down: UTF-8, base64, hex,
 * JSON.
 *
 * UTF-8 is checked as the Unicode Standard 15.0, table 3-7, draws it (no surrogates, no
 * longer forms than needed). Base64 is RFC 4648, section 4, with padding, and only its
 * canonical form is read back. JSON strings are RFC 8259, section 7.
 *
 * Threads:   any; there is no state but the FILE that is written to.
 * Lifetime:  the caller's memory throughout. Nothing is allocated.
 * Units:     bytes. Sizes given with K, M, G or T are powers of 1,024.
 * Ordering:  none.
 * Errors:    functions that read answer false and leave their results alone; functions that
 *            write leave the error in the FILE (ferror).
 * Cost:      linear in the bytes.
 */
#ifndef WARP_TOOLS_TEXT_H
#define WARP_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "warp/warp.h"

bool warp_text_utf8_valid(const void *data, size_t bytes);

/* Decode canonical base64. out needs 3/4 of chars and may be `text` itself. */
bool warp_text_base64_decode(void *out, const char *text, size_t chars, size_t *bytes);
void warp_text_write_base64(FILE *file, const void *data, size_t bytes);

/* Decode pairs of hexadecimal digits. out needs half of chars and may be `text` itself. */
bool warp_text_hex_decode(void *out, const char *text, size_t chars, size_t *bytes);
void warp_text_write_hex(FILE *file, const void *data, size_t bytes);

/* A JSON string with its quotes; data must be valid UTF-8. */
void warp_text_write_json_string(FILE *file, const void *data, size_t bytes);
/* "name":"text" where the bytes are UTF-8, else "name_base64":"...". */
void warp_text_write_json_member(FILE *file, const char *name, const void *data,
                                 size_t bytes);

/* Tab, newline, carriage return, backslash and zero as \t \n \r \\ \0; all else as it
 * is. */
void warp_text_write_tsv(FILE *file, const void *data, size_t bytes);

/* Whole decimal numbers: nothing before, nothing behind, no overflow. */
bool warp_text_read_u64(const char *text, uint64_t *number);
bool warp_text_read_i64(const char *text, int64_t *number);
/* As read_u64, with an optional K, M, G or T (and B or iB behind it) for powers of
 * 1,024. */
bool warp_text_read_size(const char *text, uint64_t *bytes);

/* "12.3 MiB", "1,234,567" and "1.24 s" for people. The answer is `out`. */
#define WARP_TEXT_SHORT_BYTES 32
char *warp_text_size(char out[WARP_TEXT_SHORT_BYTES], uint64_t bytes);
char *warp_text_count(char out[WARP_TEXT_SHORT_BYTES], uint64_t count);
char *warp_text_duration(char out[WARP_TEXT_SHORT_BYTES], uint64_t duration_ns);

#endif
