#include "bench/compare.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/export.h"

#define COMPARE_ROWS_MAX   512u
#define COMPARE_DEPTH_MAX  16u
#define COMPARE_FILE_BYTES ((size_t)64 << 20)

struct compared_row {
    char engine[32];
    char workload[32];
    double threads;
    double depth;
    double batch;
    double figures[BENCH_METRIC_COUNT];
    double rates[BENCH_REPEATS_MAX]; /* of the repeats */
    uint32_t repeats;
};

struct compared_file {
    const char *name;
    char *text;
    char *at;
    double version;
    char durability[16];
    double records;
    struct compared_row *rows;
    uint32_t row_count;
};

/* ---- a reader for JSON that keeps only what a path asks for -------------------------- */

static void json_space(struct compared_file *file)
{
    while (isspace((unsigned char)*file->at)) {
        file->at++;
    }
}

static bool json_take(struct compared_file *file, char wanted)
{
    json_space(file);
    if (*file->at != wanted) {
        return false;
    }
    file->at++;
    return true;
}

/* The string is cut to `bytes`; \u escapes become '?', for nothing here needs them. */
static bool json_string(struct compared_file *file, char *out, size_t bytes)
{
    size_t used = 0;

    if (!json_take(file, '"')) {
        return false;
    }
    while (*file->at != '"') {
        char byte = *file->at++;

        if (byte == '\0') {
            return false;
        }
        if (byte == '\\') {
            byte = *file->at++;
            if (byte == '\0') {
                return false;
            }
            if (byte == 'u') {
                for (int i = 0; i < 4; i++) {
                    if (!isxdigit((unsigned char)*file->at)) {
                        return false;
                    }
                    file->at++;
                }
                byte = '?';
            }
        }
        if (used + 1 < bytes) {
            out[used++] = byte;
        }
    }
    file->at++;
    out[used] = '\0';
    return true;
}

static void compare_number(struct compared_file *file, const char *path, double number)
{
    struct compared_row *row =
        file->row_count > 0 ? &file->rows[file->row_count - 1] : NULL;

    if (strcmp(path, ".version") == 0) {
        file->version = number;
    } else if (strcmp(path, ".configuration.records") == 0) {
        file->records = number;
    }
    if (row == NULL || strncmp(path, ".results[].", 11) != 0) {
        return;
    }
    path += 11;
    if (strcmp(path, "threads") == 0) {
        row->threads = number;
    } else if (strcmp(path, "depth") == 0) {
        row->depth = number;
    } else if (strcmp(path, "batch") == 0) {
        row->batch = number;
    } else if (strcmp(path, "operations_per_second_repeats[]") == 0) {
        if (row->repeats < BENCH_REPEATS_MAX && number > 0.0) {
            row->rates[row->repeats++] = number;
        }
    }
    for (uint32_t metric = 0; metric < BENCH_METRIC_COUNT; metric++) {
        const char *name = bench_metric_name((enum bench_metric)metric);
        bool latency = metric >= BENCH_METRIC_MEAN && metric <= BENCH_METRIC_MAX;

        if (latency ? strncmp(path, "latency_ns.", 11) == 0 && strcmp(path + 11, name) == 0
                    : strcmp(path, name) == 0) {
            row->figures[metric] = number;
        }
    }
}

static void compare_string(struct compared_file *file, const char *path, const char *text)
{
    struct compared_row *row =
        file->row_count > 0 ? &file->rows[file->row_count - 1] : NULL;

    if (strcmp(path, ".configuration.durability") == 0) {
        snprintf(file->durability, sizeof(file->durability), "%.15s", text);
    } else if (row != NULL && strcmp(path, ".results[].engine") == 0) {
        snprintf(row->engine, sizeof(row->engine), "%.31s", text);
    } else if (row != NULL && strcmp(path, ".results[].workload") == 0) {
        snprintf(row->workload, sizeof(row->workload), "%.31s", text);
    }
}

/* Calls itself for what is inside, to a fixed depth. */
static bool json_value(struct compared_file *file, const char *path, uint32_t depth)
{
    char inner[256];
    char text[128];
    char *end;
    double number;

    if (depth > COMPARE_DEPTH_MAX) {
        return false;
    }
    json_space(file);
    if (*file->at == '"') {
        if (!json_string(file, text, sizeof(text))) {
            return false;
        }
        compare_string(file, path, text);
        return true;
    }
    if (json_take(file, '{')) {
        if (json_take(file, '}')) {
            return true;
        }
        if (strcmp(path, ".results[]") == 0) {
            if (file->row_count == COMPARE_ROWS_MAX) {
                return false;
            }
            file->row_count++;
        }
        do {
            if (!json_string(file, text, sizeof(text)) || !json_take(file, ':') ||
                snprintf(inner, sizeof(inner), "%s.%s", path, text) >= (int)sizeof(inner) ||
                !json_value(file, inner, depth + 1)) {
                return false;
            }
        } while (json_take(file, ','));
        return json_take(file, '}');
    }
    if (json_take(file, '[')) {
        if (json_take(file, ']')) {
            return true;
        }
        if (snprintf(inner, sizeof(inner), "%s[]", path) >= (int)sizeof(inner)) {
            return false;
        }
        do {
            if (!json_value(file, inner, depth + 1)) {
                return false;
            }
        } while (json_take(file, ','));
        return json_take(file, ']');
    }
    for (size_t i = 0; i < 3; i++) {
        static const char *const words[] = {"true", "false", "null"};

        if (strncmp(file->at, words[i], strlen(words[i])) == 0) {
            file->at += strlen(words[i]);
            return true;
        }
    }
    number = strtod(file->at, &end);
    if (end == file->at) {
        return false;
    }
    file->at = end;
    compare_number(file, path, number);
    return true;
}

/* ---- the comparison ------------------------------------------------------------------ */

static void compare_close(struct compared_file *file)
{
    free(file->text);
    free(file->rows);
}

static int compare_open(struct compared_file *file, const char *name)
{
    FILE *stream = fopen(name, "re");
    size_t used = 0;

    memset(file, 0, sizeof(*file));
    file->name = name;
    if (stream == NULL) {
        fprintf(stderr, "warp bench: %s: %s\n", name, strerror(errno));
        return 3;
    }
    file->text = malloc(COMPARE_FILE_BYTES + 1);
    file->rows = calloc(COMPARE_ROWS_MAX, sizeof(*file->rows));
    if (file->text != NULL && file->rows != NULL) {
        used = fread(file->text, 1, COMPARE_FILE_BYTES, stream);
        file->text[used] = '\0';
    }
    fclose(stream);
    if (file->text == NULL || file->rows == NULL) {
        fprintf(stderr, "warp bench: no memory\n");
        return 3;
    }
    file->at = file->text;
    if (!json_value(file, "", 0) || file->version < 1.0) {
        fprintf(stderr,
                "warp bench: %s is not a result of this benchmark (near byte %zu)\n", name,
                (size_t)(file->at - file->text));
        return 3;
    }
    if (file->version > (double)BENCH_JSON_VERSION) {
        fprintf(stderr, "warp bench: %s has version %.0f; this program knows %d\n", name,
                file->version, BENCH_JSON_VERSION);
        return 3;
    }
    return 0;
}

static const struct compared_row *compare_find(const struct compared_file *file,
                                               const struct compared_row *wanted)
{
    for (uint32_t i = 0; i < file->row_count; i++) {
        const struct compared_row *row = &file->rows[i];

        if (strcmp(row->engine, wanted->engine) == 0 &&
            strcmp(row->workload, wanted->workload) == 0 &&
            row->threads == wanted->threads && row->depth == wanted->depth &&
            row->batch == wanted->batch) {
            return row;
        }
    }
    return NULL;
}

/* What the repeats say about the rate. True: the second is slower. */
static bool compare_verdict(const struct compared_row *a, const struct compared_row *b,
                            double tolerance, FILE *out)
{
    struct bench_ratio ratio;

    if (a->repeats < 3 || b->repeats < 3) {
        fprintf(out, "no verdict: it takes three repeats on each side\n");
        return false;
    }
    ratio = bench_ratio_of(a->rates, a->repeats, b->rates, b->repeats);
    fprintf(out,
            "rate, second/first: %.3fx, with 95 %% confidence between %.3fx and %.3fx\n",
            ratio.ratio, ratio.interval.low, ratio.interval.high);
    if (ratio.interval.low > 1.0 && ratio.ratio > 1.0 + tolerance) {
        fprintf(out, "verdict: the second is faster\n");
    } else if (ratio.interval.high < 1.0 && ratio.ratio < 1.0 / (1.0 + tolerance)) {
        fprintf(out, "verdict: the second is SLOWER\n");
        return true;
    } else {
        fprintf(out, "verdict: no clear difference\n");
    }
    return false;
}

static bool compare_rows(const struct compared_row *a, const struct compared_row *b,
                         double tolerance, FILE *out)
{

    fprintf(out, "\n%s, %s, %.0f threads, depth %.0f, batch %.0f\n", a->engine, a->workload,
            a->threads, a->depth, a->batch);
    fprintf(out, "%-24s%14s%14s%14s\n", "", "first", "second", "second/first");
    for (uint32_t metric = 0; metric < BENCH_METRIC_COUNT; metric++) {
        char first[32];
        char second[32];
        char ratio[32] = "-";

        bench_metric_format((enum bench_metric)metric, a->figures[metric], first,
                            sizeof(first));
        bench_metric_format((enum bench_metric)metric, b->figures[metric], second,
                            sizeof(second));
        if (a->figures[metric] > 0.0) {
            snprintf(ratio, sizeof(ratio), "%.3fx",
                     b->figures[metric] / a->figures[metric]);
        }
        fprintf(out, "%-24s%14s%14s%14s\n", bench_metric_label((enum bench_metric)metric),
                first, second, ratio);
    }
    return compare_verdict(a, b, tolerance, out);
}

int bench_compare(const char *first, const char *second, double tolerance, FILE *out)
{
    struct compared_file a;
    struct compared_file b;
    uint32_t matched = 0;
    uint32_t slower = 0;
    int rc = compare_open(&a, first);

    if (rc != 0) {
        compare_close(&a);
        return rc;
    }
    rc = compare_open(&b, second);
    if (rc != 0) {
        goto done;
    }
    fprintf(out, "first   %s\nsecond  %s\n", a.name, b.name);
    if (strcmp(a.durability, b.durability) != 0 || a.records != b.records) {
        fprintf(out, "WARNING: not the same work: %s, %.0f records; %s, %.0f records\n",
                a.durability, a.records, b.durability, b.records);
    }
    for (uint32_t i = 0; i < a.row_count; i++) {
        const struct compared_row *other = compare_find(&b, &a.rows[i]);

        if (other != NULL) {
            slower += compare_rows(&a.rows[i], other, tolerance, out) ? 1u : 0u;
            matched++;
        }
    }
    if (matched == 0) {
        fprintf(stderr, "warp bench: the two have no row in common\n");
        rc = 1;
    } else if (slower > 0) {
        fprintf(out, "\nslower: %u of %u\n", slower, matched);
        rc = 1;
    } else {
        fprintf(out, "\nslower: none of %u\n", matched);
    }

done:
    compare_close(&a);
    compare_close(&b);
    return rc;
}
