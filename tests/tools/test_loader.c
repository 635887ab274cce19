#include "tools/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"
#include "tools/metrics.h"
#include "tools/text.h"

/* What a loader made of an input: "key=value;" for records, "!line:sentence;" for
 * complaints. */
struct seen {
    char *text;
    size_t bytes;
    FILE *file;
    uint64_t bad, records;
    int answer_to_bad;
};

static int seen_record(void *context, const struct warp_loader_record *record)
{
    struct seen *seen = context;

    seen->records++;
    fwrite(record->key.data, 1, record->key.bytes, seen->file);
    fputc('=', seen->file);
    fwrite(record->value.data, 1, record->value.bytes, seen->file);
    if (record->expires_at_ms != 0) {
        fprintf(seen->file, "@%llu", (unsigned long long)record->expires_at_ms);
    }
    fputc(';', seen->file);
    return 0;
}

static int seen_bad(void *context, uint64_t line, const char *sentence)
{
    struct seen *seen = context;

    seen->bad++;
    fprintf(seen->file, "!%llu:%s;", (unsigned long long)line, sentence);
    return seen->answer_to_bad;
}

static void seen_init(struct seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    seen->file = open_memstream(&seen->text, &seen->bytes);
}

static void seen_fini(struct seen *seen)
{
    free(seen->text);
}

static int load_bytes(struct seen *seen, enum warp_loader_format format, const char *key,
                      const void *data, size_t bytes, size_t piece)
{
    const struct warp_loader_sink sink = {seen_record, seen_bad, seen};
    struct warp_loader *loader = malloc(sizeof(*loader));
    int rc = warp_loader_init(loader, format, key);

    for (size_t at = 0; rc == 0 && at < bytes; at += piece) {
        rc = warp_loader_feed(loader, (const char *)data + at,
                              bytes - at < piece ? bytes - at : piece, &sink);
    }
    if (rc == 0) {
        rc = warp_loader_finish(loader, &sink);
    }
    warp_loader_fini(loader);
    free(loader);
    fclose(seen->file);
    return rc;
}

/* Feed a text in pieces of every small size; each must give `wanted`. */
static void check_load(enum warp_loader_format format, const char *key, const char *input,
                       const char *wanted)
{
    for (size_t piece = 1; piece < 20; piece++) {
        struct seen seen;

        seen_init(&seen);
        check_int(load_bytes(&seen, format, key, input, strlen(input), piece), ==, 0);
        check_str(seen.text, wanted);
        seen_fini(&seen);
    }
}

/* One line that must be refused with a sentence that has `part` in it. */
static void check_refused(enum warp_loader_format format, const char *key,
                          const char *input, const char *part)
{
    struct seen seen;

    seen_init(&seen);
    check_int(load_bytes(&seen, format, key, input, strlen(input), 4096), ==, 0);
    check_u64(seen.bad, ==, 1);
    if (!check(strstr(seen.text, part) != NULL)) {
        fprintf(stderr, "  input %s gave %s, without %s\n", input, seen.text, part);
    }
    seen_fini(&seen);
}

WARP_TEST(ndjson, pairs_are_read_with_their_escapes)
{
    check_load(
        WARP_LOADER_NDJSON, NULL,
        "{\"key\":\"a\",\"value\":\"1\"}\n"
        "\n"
        " { \"value\" : \"x\\n\\u00e4\\ud83d\\ude00\\/\" , \"key\" : \"q\\\"\\\\\" } \r\n"
        "{\"key_base64\":\"aGk=\",\"value_base64\":\"\",\"expires_at_ms\":42}",
        "a=1;q\"\\=x\n\xc3\xa4\xf0\x9f\x98\x80/;hi=@42;");
}

WARP_TEST(ndjson, objects_are_kept_as_written_under_their_field)
{
    check_load(WARP_LOADER_NDJSON, "id",
               "{\"id\":\"one\",\"n\": [1, -2.5e3, {\"x\":null}],\"s\":\"\\u0041\"}\n"
               "  {\"a\":{\"id\":2},\"id\":-7} \n",
               "one={\"id\":\"one\",\"n\": [1, -2.5e3, {\"x\":null}],\"s\":\"\\u0041\"};"
               "-7={\"a\":{\"id\":2},\"id\":-7};");
}

WARP_TEST(ndjson, zero_bytes_survive)
{
    static const char input[] = "{\"key\":\"a\\u0000b\",\"value\":\"\\u0000\"}\n";
    struct seen seen;

    seen_init(&seen);
    check_int(load_bytes(&seen, WARP_LOADER_NDJSON, NULL, input, strlen(input), 3), ==, 0);
    check_bytes(seen.text, seen.bytes, "a\0b=\0;", 6);
    seen_fini(&seen);
}

WARP_TEST(ndjson, what_is_no_record_is_refused_with_a_sentence)
{
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"[1]", "object was expected"},
        {"{\"key\":\"a\"}", "no value"},
        {"{\"value\":\"a\"}", "no key"},
        {"{\"key\":\"\",\"value\":\"a\"}", "key is empty"},
        {"{\"key\":1,\"value\":\"a\"}", "must be a string"},
        {"{\"key\":\"a\",\"value\":{}}", "must be a string"},
        {"{\"key\":\"a\",\"value\":\"b\",\"more\":1}", "besides key"},
        {"{\"key\":\"a\",\"key\":\"b\",\"value\":\"c\"}", "two members"},
        {"{\"key\":\"a\",\"key_base64\":\"YQ==\",\"value\":\"c\"}", "two members"},
        {"{\"key\":\"a\",\"value\":\"b\"} x", "follows the object"},
        {"{\"key\":\"a\",\"value\":\"b\",}", "string was expected"},
        {"{\"key\":\"a\",\"value\":\"b\"", "comma or }"},
        {"{\"key\":\"a\",\"value\":\"b", "ends inside a string"},
        {"{\"key\":\"a\",\"value\":\"\\x\"}", "no such escape"},
        {"{\"key\":\"a\",\"value\":\"\\u12\"}", "four hexadecimal"},
        {"{\"key\":\"a\",\"value\":\"\\ud800\"}", "surrogate"},
        {"{\"key\":\"a\",\"value\":\"\\udc00\"}", "surrogate"},
        {"{\"key\":\"a\",\"value\":\"\\ud800\\u0041\"}", "surrogate"},
        {"{\"key\":\"a\",\"value\":\"\xff\"}", "UTF-8"},
        {"{\"key\":\"a\",\"value\":\"\xed\xa0\x80\"}", "UTF-8"},
        {"{\"key\":\"a\",\"value\":\"\xc0\xaf\"}", "UTF-8"},
        {"{\"key\":\"a\",\"value\":\"\t\"}", "control character"},
        {"{\"key\":\"a\",\"value_base64\":\"YQ\"}", "base64"},
        {"{\"key\":\"a\",\"value_base64\":\"YR==\"}", "base64"},
        {"{\"key\":\"a\",\"value\":\"b\",\"expires_at_ms\":-1}", "whole number"},
        {"{\"key\":\"a\",\"value\":\"b\",\"expires_at_ms\":99999999999999999999}",
         "whole number"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_refused(WARP_LOADER_NDJSON, NULL, cases[i].line, cases[i].part);
    }
    check_refused(WARP_LOADER_NDJSON, "id", "{\"a\":1}", "no member \"id\"");
    check_refused(WARP_LOADER_NDJSON, "id", "{\"id\":null}", "string or a number");
    check_refused(WARP_LOADER_NDJSON, "id", "{\"id\":1,\"id\":2}", "twice");
    check_refused(WARP_LOADER_NDJSON, "id", "{\"id\":01}", "needless 0");
    check_refused(WARP_LOADER_NDJSON, "id", "{\"id\":1,\"a\":tru}", "value was expected");
}

WARP_TEST(ndjson, nesting_is_bounded)
{
    char line[512] = "{\"id\":1,\"a\":";
    size_t used = strlen(line);

    memset(line + used, '[', 200);
    check_refused(WARP_LOADER_NDJSON, "id", line, "64 levels");
}

WARP_TEST(ndjson, a_bad_line_ends_the_load_if_the_sink_says_so)
{
    static const char input[] = "{\"key\":\"a\",\"value\":\"1\"}\nnonsense\n"
                                "{\"key\":\"b\",\"value\":\"2\"}\n";
    struct seen seen;

    seen_init(&seen);
    seen.answer_to_bad = 7;
    check_int(load_bytes(&seen, WARP_LOADER_NDJSON, NULL, input, strlen(input), 5), ==, 7);
    check_u64(seen.records, ==, 1);
    check(strstr(seen.text, "!2:") != NULL);
    seen_fini(&seen);

    seen_init(&seen);
    check_int(load_bytes(&seen, WARP_LOADER_NDJSON, NULL, input, strlen(input), 5), ==, 0);
    check_u64(seen.records, ==, 2);
    seen_fini(&seen);
}

WARP_TEST(ndjson, keys_and_values_have_their_limits)
{
    size_t bytes = WARP_KEY_BYTES_MAX + 64;
    char *line = malloc(bytes);
    size_t used;

    for (uint32_t more = 0; more < 2; more++) {
        struct seen seen;

        used = (size_t)snprintf(line, bytes, "{\"value\":\"\",\"key\":\"");
        memset(line + used, 'k', WARP_KEY_BYTES_MAX + more);
        used += WARP_KEY_BYTES_MAX + more;
        used += (size_t)snprintf(line + used, bytes - used, "\"}");
        seen_init(&seen);
        check_int(load_bytes(&seen, WARP_LOADER_NDJSON, NULL, line, used, 1000), ==, 0);
        check_u64(seen.records, ==, 1 - more);
        check_u64(seen.bad, ==, more);
        seen_fini(&seen);
    }
    free(line);
}

WARP_TEST(lines, one_that_is_too_long_is_told_and_passed_over)
{
    size_t bytes = (size_t)WARP_VALUE_BYTES_MAX + 100;
    char *input = malloc(bytes);
    struct seen seen;

    memset(input, 'x', bytes);
    memcpy(input, "Package: a\nF: ", 14);
    memcpy(input + bytes - 13, "\n\nPackage: b\n", 13);
    seen_init(&seen);
    check_int(load_bytes(&seen, WARP_LOADER_DEBIAN, NULL, input, bytes, 1 << 20), ==, 0);
    check_str(seen.text,
              "!2:the paragraph is longer than 33,554,432 bytes;b=Package: b\n;");
    seen_fini(&seen);
    free(input);
}

WARP_TEST(tsv, columns_are_read_with_their_escapes)
{
    check_load(WARP_LOADER_TSV, NULL,
               "a\tb\n\nk\\t\\n\\r\\\\\tv\\\\t\r\nempty\t\nlast\tone",
               "a=b;k\t\n\r\\=v\\t\r;empty=;last=one;");
    check_refused(WARP_LOADER_TSV, NULL, "no tab", "no tab");
    check_refused(WARP_LOADER_TSV, NULL, "a\tb\tc", "third column");
    check_refused(WARP_LOADER_TSV, NULL, "a\\x\tb", "backslash");
    check_refused(WARP_LOADER_TSV, NULL, "a\tb\\", "backslash");
    check_refused(WARP_LOADER_TSV, NULL, "\tb", "key is empty");
}

WARP_TEST(debian, paragraphs_are_kept_as_written)
{
    check_load(
        WARP_LOADER_DEBIAN, NULL,
        "\n\nPackage: bash\nVersion: 5.2-1\nDescription: a shell\n and more\n .\n\n \t\n"
        "Package: nothing\nStatus: purged\n\nVersion: 2\nPackage:x\t ",
        "bash=5.2-1=Package: bash\nVersion: 5.2-1\nDescription: a shell\n and more\n .\n;"
        "nothing=Package: nothing\nStatus: purged\n;"
        "x=2=Version: 2\nPackage:x\t \n;");
}

WARP_TEST(debian, the_key_is_made_of_the_fields_that_are_named)
{
    check_load(WARP_LOADER_DEBIAN, "package,Architecture,Version",
               "Package: a\nVersion: 1\nArchitecture: amd64\n\nPackage: b\nVersion: 2\n",
               "a=amd64=1=Package: a\nVersion: 1\nArchitecture: amd64\n;"
               "b=2=Package: b\nVersion: 2\n;");
}

WARP_TEST(debian, a_bad_line_spoils_its_paragraph_alone)
{
    check_load(WARP_LOADER_DEBIAN, NULL,
               "Package: a\nwrong\nalso wrong\n\nPackage: b\n\nVersion: 1\n\n goes on\n\n"
               "Package: c\npackage: d\n\n#x: 1\n\n-y: 1\n\nPackage:\n\nPackage:\n c\n\n"
               "Package: e\n",
               "!2:neither \"Field: text\" nor a line that goes on with the field before;"
               "b=Package: b\n;"
               "!7:the paragraph has no field Package;"
               "!9:the paragraph begins with a line that goes on;"
               "!12:the field is in the paragraph already;"
               "!14:neither \"Field: text\" nor a line that goes on with the field before;"
               "!16:neither \"Field: text\" nor a line that goes on with the field before;"
               "!18:the field Package must be one line of text to be the key;"
               "!20:the field Package must be one line of text to be the key;"
               "e=Package: e\n;");
}

WARP_TEST(loader, the_format_is_guessed_from_the_first_line)
{
    static const struct {
        const char *text;
        size_t bytes;
        enum warp_loader_format format;
    } cases[] = {
        {"{\"key\":\"a\"}\n", 12, WARP_LOADER_NDJSON},
        {"\n\n{", 3, WARP_LOADER_NDJSON},
        {"Package: bash\nVersion: 1\n", 25, WARP_LOADER_DEBIAN},
        {"a:b\tc\n", 6, WARP_LOADER_TSV},
        {"key\tvalue\n", 10, WARP_LOADER_TSV},
        {"some words\n", 11, WARP_LOADER_AUTO},
        {"", 0, WARP_LOADER_AUTO},
        {"\x1f\x8b\x08\t", 4, WARP_LOADER_AUTO},
        {"\x04\x22\x4d\x18", 4, WARP_LOADER_AUTO},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *sentence = NULL;

        check_int(warp_loader_guess(cases[i].text, cases[i].bytes, &sentence), ==,
                  cases[i].format);
        check((sentence != NULL) == (cases[i].format == WARP_LOADER_AUTO));
    }
}

WARP_TEST(loader, a_key_that_makes_no_sense_is_refused)
{
    static const struct {
        enum warp_loader_format format;
        const char *key;
    } cases[] = {
        {WARP_LOADER_TSV, "x"},       {WARP_LOADER_NDJSON, ""},
        {WARP_LOADER_DEBIAN, ""},     {WARP_LOADER_DEBIAN, "a,,b"},
        {WARP_LOADER_DEBIAN, "a,b,"}, {WARP_LOADER_DEBIAN, "a,b,c,d,e,f,g,h,i"},
        {WARP_LOADER_AUTO, NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct warp_loader loader;

        check_int(warp_loader_init(&loader, cases[i].format, cases[i].key), ==,
                  WARP_EINVAL);
        warp_loader_fini(&loader);
    }
}

WARP_TEST(text, base64_is_what_the_standard_says)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char decoded[16];
        char *text = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&text, &bytes);

        warp_text_write_base64(file, pairs[i][0], strlen(pairs[i][0]));
        fclose(file);
        check_str(text, pairs[i][1]);
        check(warp_text_base64_decode(decoded, text, bytes, &bytes));
        check_bytes(decoded, bytes, pairs[i][0], strlen(pairs[i][0]));
        free(text);
    }
    {
        char decoded[16];
        size_t bytes;

        check(!warp_text_base64_decode(decoded, "Zg=", 3, &bytes));
        check(!warp_text_base64_decode(decoded, "Zh==", 4, &bytes));
        check(!warp_text_base64_decode(decoded, "Z===", 4, &bytes));
        check(!warp_text_base64_decode(decoded, "====", 4, &bytes));
        check(!warp_text_base64_decode(decoded, "Zg==Zg==", 8, &bytes));
        check(!warp_text_base64_decode(decoded, "Z g=", 4, &bytes));
    }
}

WARP_TEST(text, sizes_and_numbers_are_read_whole_or_not_at_all)
{
    uint64_t number = 0;
    int64_t delta = 0;

    check(warp_text_read_size("4K", &number) && number == 4096);
    check(warp_text_read_size("16MiB", &number) && number == 16777216);
    check(warp_text_read_size("3gb", &number) == false);
    check(warp_text_read_size("3GB", &number) && number == UINT64_C(3221225472));
    check(warp_text_read_size("18446744073709551615", &number) && number == UINT64_MAX);
    check(!warp_text_read_size("18446744073709551616", &number));
    check(!warp_text_read_size("99999999999T", &number));
    check(!warp_text_read_size("", &number));
    check(!warp_text_read_size("K", &number));
    check(!warp_text_read_size("-1", &number));
    check(!warp_text_read_size("1 K", &number));
    check(warp_text_read_i64("-9223372036854775808", &delta) && delta == INT64_MIN);
    check(warp_text_read_i64("9223372036854775807", &delta) && delta == INT64_MAX);
    check(!warp_text_read_i64("9223372036854775808", &delta));
    check(!warp_text_read_i64("--1", &delta));
    check(!warp_text_read_i64("-", &delta));
}

WARP_TEST(text, numbers_are_printed_for_people)
{
    char out[WARP_TEXT_SHORT_BYTES];

    check_str(warp_text_size(out, 0), "0 B");
    check_str(warp_text_size(out, 1023), "1023 B");
    check_str(warp_text_size(out, 1536), "1.5 KiB");
    check_str(warp_text_size(out, 1048575), "1.0 MiB");
    check_str(warp_text_size(out, UINT64_MAX), "16.0 EiB");
    check_str(warp_text_count(out, 0), "0");
    check_str(warp_text_count(out, 999), "999");
    check_str(warp_text_count(out, 1000), "1,000");
    check_str(warp_text_count(out, UINT64_MAX), "18,446,744,073,709,551,615");
    check_str(warp_text_duration(out, 999), "999 ns");
    check_str(warp_text_duration(out, 1500000), "1.5 ms");
    check_str(warp_text_duration(out, 2000000000), "2.00 s");
}

WARP_TEST(metrics, samples_are_read_and_the_rest_passed_over)
{
    const char *text =
        "# HELP warp_x_total text\n# TYPE warp_x_total counter\nwarp_x_total 12\n"
        "\nwarp_y{shard=\"0\",name=\"a}\\\"b\"} 1.5e3 1700000000\nwarp_z +Inf\nbroken\n";
    struct warp_tool_sample sample;

    check(warp_tool_metrics_next(&text, &sample));
    check_bytes(sample.name.data, sample.name.bytes, "warp_x_total", 12);
    check_bytes(sample.value.data, sample.value.bytes, "12", 2);
    check(warp_tool_metrics_is_number(&sample));
    check(warp_tool_metrics_next(&text, &sample));
    check_bytes(sample.labels.data, sample.labels.bytes, "shard=\"0\",name=\"a}\\\"b\"",
                22);
    check_bytes(sample.value.data, sample.value.bytes, "1.5e3", 5);
    check(warp_tool_metrics_is_number(&sample));
    check(warp_tool_metrics_next(&text, &sample));
    check(!warp_tool_metrics_is_number(&sample));
    check(!warp_tool_metrics_next(&text, &sample));
}
