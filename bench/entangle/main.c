#include "bench/entangle/main.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/entangle/replay.h"
#include "bench/entangle/stream.h"
#include "warp/warp.h"

enum { EXIT_DONE = 0, EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_ERROR = 3 };

#define RUNS_MAX 15u
/* Of memory_bytes_max that values can have: the rest is log, tables, keys and reserves. */
#define VALUES_PART 0.62

struct options {
    const char *path;
    const char *trace;
    double memory_mib;
    double memory_percent; /* of the objects that find room in memory */
    double value_bytes;    /* 0: so that this comes out */
    double shards;
    double runs;
    double think_us;
    double aggregates;
    double objects;
    double visits;
    double theta;
    double shared;
    double left_out;
    double seed;
    const char *order; /* NULL: both */
};

enum flag {
    FLAG_PATH = 256,
    FLAG_TRACE,
    FLAG_ORDER,
    FLAG_MEMORY,
    FLAG_PERCENT,
    FLAG_VALUE,
    FLAG_SHARDS,
    FLAG_RUNS,
    FLAG_THINK,
    FLAG_AGGREGATES,
    FLAG_OBJECTS,
    FLAG_VISITS,
    FLAG_THETA,
    FLAG_SHARED,
    FLAG_LEFT_OUT,
    FLAG_SEED,
    FLAG_HELP,
};

static const struct option flags[] = {
    {"path", required_argument, NULL, FLAG_PATH},
    {"trace", required_argument, NULL, FLAG_TRACE},
    {"order", required_argument, NULL, FLAG_ORDER},
    {"memory-mib", required_argument, NULL, FLAG_MEMORY},
    {"memory-percent", required_argument, NULL, FLAG_PERCENT},
    {"value-bytes", required_argument, NULL, FLAG_VALUE},
    {"shards", required_argument, NULL, FLAG_SHARDS},
    {"runs", required_argument, NULL, FLAG_RUNS},
    {"think-us", required_argument, NULL, FLAG_THINK},
    {"aggregates", required_argument, NULL, FLAG_AGGREGATES},
    {"objects", required_argument, NULL, FLAG_OBJECTS},
    {"visits", required_argument, NULL, FLAG_VISITS},
    {"theta", required_argument, NULL, FLAG_THETA},
    {"shared", required_argument, NULL, FLAG_SHARED},
    {"left-out", required_argument, NULL, FLAG_LEFT_OUT},
    {"seed", required_argument, NULL, FLAG_SEED},
    {"help", no_argument, NULL, FLAG_HELP},
    {NULL, 0, NULL, 0},
};

static void usage(FILE *file)
{
    fprintf(file,
            "usage: warp bench entangle [options]\n"
            "\n"
            "Asks an engine for keys whose values are mostly on disk, with "
            "options.entanglement and "
            "without, in\n"
            "turns, at the same memory_bytes_max (what is learned is part of it); in the "
            "order that\n"
            "they have, and shuffled. Every value is checked.\n"
            "\n"
            "requests: visits to the objects of a graph, or\n"
            "  --trace FILE           32-bit little-endian numbers, one per request; - is "
            "standard input\n"
            "  --order as-is|shuffled (both)\n"
            "of the graph\n"
            "  --aggregates N         (4000)\n"
            "  --objects N            of an aggregate, in the mean (12)\n"
            "  --visits N             (25000)\n"
            "  --theta T              how popularity falls, zipf (0.8)\n"
            "  --shared R             part of the objects that several have (0.05)\n"
            "  --left-out R           how often an object is left out (0.05)\n"
            "engine\n"
            "  --path DIR             made, and taken away at the end "
            "(./warp-entangle-data)\n"
            "  --memory-mib N         memory_bytes_max (32)\n"
            "  --memory-percent N     of the objects find room there, about; decides "
            "--value-bytes (10)\n"
            "  --value-bytes N        instead\n"
            "  --shards N             (2)\n"
            "run\n"
            "  --runs N               of each kind, medians are printed (3)\n"
            "  --think-us N           between an answer and the next request (0)\n"
            "  --seed N               (1)\n"
            "\n"
            "exit: 0 done, 1 a value was wrong, 2 usage, 3 error\n");
}

static int complain(const char *flag, const char *text, const char *why)
{
    fprintf(stderr, "warp bench: --%s %s: %s (see warp bench entangle --help)\n", flag,
            text, why);
    return EXIT_USAGE;
}

/* 0, EXIT_USAGE, or -1 for --help. */
static int options_parse(struct options *options, int argc, char **argv)
{
    const struct {
        int flag;
        double low, high;
        double *number;
        bool whole;
    } numbers[] = {
        {FLAG_MEMORY, 16, 65536, &options->memory_mib, true},
        {FLAG_PERCENT, 0.1, 100, &options->memory_percent, false},
        {FLAG_VALUE, 24, 1 << 20, &options->value_bytes, true},
        {FLAG_SHARDS, 1, WARP_SHARD_COUNT_MAX, &options->shards, true},
        {FLAG_RUNS, 1, RUNS_MAX, &options->runs, true},
        {FLAG_THINK, 0, 1000000, &options->think_us, false},
        {FLAG_AGGREGATES, 1, 10000000, &options->aggregates, true},
        {FLAG_OBJECTS, 2, 1000, &options->objects, true},
        {FLAG_VISITS, 1, 1e9, &options->visits, true},
        {FLAG_THETA, 0.01, 0.999, &options->theta, false},
        {FLAG_SHARED, 0, 1, &options->shared, false},
        {FLAG_LEFT_OUT, 0, 0.99, &options->left_out, false},
        {FLAG_SEED, 0, 4294967295.0, &options->seed, true},
    };
    int flag, place = 0;

    optind = 0;
    while ((flag = getopt_long(argc, argv, "", flags, &place)) != -1) {
        size_t i, count = sizeof(numbers) / sizeof(numbers[0]);
        double number;
        char *end;

        if (flag == FLAG_HELP) {
            return -1;
        }
        if (flag == '?') {
            return EXIT_USAGE;
        }
        if (flag == FLAG_PATH || flag == FLAG_TRACE) {
            *(flag == FLAG_PATH ? &options->path : &options->trace) = optarg;
            continue;
        }
        if (flag == FLAG_ORDER) {
            if (strcmp(optarg, "as-is") != 0 && strcmp(optarg, "shuffled") != 0) {
                return complain("order", optarg, "as-is or shuffled");
            }
            options->order = optarg;
            continue;
        }
        for (i = 0; i < count && numbers[i].flag != flag; i++) {
        }
        errno = 0;
        number = strtod(optarg, &end);
        if (end == optarg || *end != '\0' || errno != 0 ||
            !(number >= numbers[i].low && number <= numbers[i].high)) {
            return complain(flags[place].name, optarg, "out of its bounds");
        }
        if (numbers[i].whole && number != floor(number)) {
            return complain(flags[place].name, optarg, "a whole number");
        }
        *numbers[i].number = number;
    }
    if (optind != argc) {
        fprintf(stderr, "warp bench: %s: what is this? (see warp bench entangle --help)\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    return 0;
}

/* ---- results ----------------------------------------------------------------------------- */

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static void print_result(const struct entangle_result *result)
{
    printf(
        "  %-3s %8.4f %9.4f %9llu %8llu %8llu %8llu %6.1f %% %7.2f MiB %3llu %3llu %8.1f "
        "%7.1f %7.1f %8.1f\n",
        result->on ? "on" : "off", share(result->misses, result->requests),
        share(result->device_reads, result->requests), (unsigned long long)result->issued,
        (unsigned long long)result->useful, (unsigned long long)result->late,
        (unsigned long long)result->wasted,
        100 * share(result->useful, result->useful + result->late + result->wasted),
        (double)result->table_bytes / 1048576, (unsigned long long)result->starts,
        (unsigned long long)result->stops, (double)result->values_bytes / 1048576,
        (double)result->p50_ns / 1000, (double)result->p99_ns / 1000,
        (double)result->elapsed_ns / 1000 / (double)result->requests);
    fflush(stdout);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *numbers, uint32_t count)
{
    qsort(numbers, count, sizeof(*numbers), by_size);
    return count % 2 == 1 ? numbers[count / 2]
                          : (numbers[count / 2 - 1] + numbers[count / 2]) / 2;
}

struct medians {
    double misses[RUNS_MAX], micros[RUNS_MAX], in_time[RUNS_MAX], reads[RUNS_MAX];
};

static void note(struct medians *medians, uint32_t run,
                 const struct entangle_result *result)
{
    medians->misses[run] = share(result->misses, result->requests);
    medians->reads[run] = share(result->device_reads, result->requests);
    medians->micros[run] = (double)result->elapsed_ns / 1000 / (double)result->requests;
    medians->in_time[run] =
        share(result->useful, result->useful + result->late + result->wasted);
}

static int compare(const struct options *options, const struct entangle_setup *setup,
                   const struct entangle_stream *stream, const char *order)
{
    uint32_t runs = (uint32_t)options->runs, run, side;
    struct medians sides[2];
    uint64_t starts = 0, stops = 0;
    double off, on;

    printf("\n%s: %llu requests for %u objects\n", order, (unsigned long long)stream->count,
           stream->objects);
    printf("      misses/request reads/req.  issued   useful     late   wasted in time    "
           "  table on. off.   values  p50 us  p99 us  us/req.\n");
    for (run = 0; run < runs; run++) {
        for (side = 0; side < 2; side++) {
            struct entangle_result result;
            /* Who goes first changes, so that a device that changes is fair to both. */
            bool with = (side ^ run) % 2 == 1;
            int rc = entangle_replay(setup, stream, with, &result);

            if (rc != 0) {
                return rc;
            }
            print_result(&result);
            note(&sides[with], run, &result);
            starts += with ? result.starts : 0;
            stops += with ? result.stops : 0;
        }
    }
    off = median(sides[0].misses, runs);
    on = median(sides[1].misses, runs);
    printf("  medians: misses %.4f -> %.4f (x %.3f), reads x %.3f, time x %.3f", off, on,
           off > 0 ? on / off : 1,
           median(sides[1].reads, runs) / median(sides[0].reads, runs),
           median(sides[1].micros, runs) / median(sides[0].micros, runs));
    if (starts > 0) {
        printf(", in time %.1f %% of what was fetched",
               100 * median(sides[1].in_time, runs));
    }
    printf("; found to pay %llu times, given up %llu times in %u runs\n",
           (unsigned long long)starts, (unsigned long long)stops, runs);
    fflush(stdout);
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static int make_stream(const struct options *options, struct entangle_stream *stream)
{
    const char *why = "";
    int rc;

    if (options->trace != NULL) {
        rc = entangle_stream_trace(stream, options->trace, &why);
        if (rc < 0) {
            fprintf(stderr, "warp bench: %s: %s\n", options->trace, why);
        }
        return rc;
    }
    rc = entangle_stream_graph(
        stream,
        &(struct entangle_graph){.aggregates = (uint32_t)options->aggregates,
                                 .objects = (uint32_t)options->objects,
                                 .visits = (uint64_t)options->visits,
                                 .theta = options->theta,
                                 .shared = options->shared,
                                 .left_out = options->left_out,
                                 .seed = (uint64_t)options->seed},
        &why);
    if (rc < 0) {
        fprintf(stderr, "warp bench: the graph: %s\n", why);
    }
    return rc;
}

static int run(const struct options *options)
{
    struct entangle_stream stream;
    struct entangle_setup setup = {.path = options->path,
                                   .memory_bytes = (uint64_t)options->memory_mib << 20,
                                   .shards = (uint32_t)options->shards,
                                   .think_ns = (uint64_t)(options->think_us * 1000)};
    double value_bytes;
    int rc = make_stream(options, &stream);

    if (rc < 0) {
        entangle_stream_fini(&stream);
        return EXIT_ERROR;
    }
    value_bytes = options->value_bytes > 0
                      ? options->value_bytes
                      : (double)setup.memory_bytes * VALUES_PART /
                            (stream.objects * options->memory_percent / 100);
    setup.value_bytes = (size_t)(value_bytes < 24        ? 24
                                 : value_bytes > 1 << 20 ? 1 << 20
                                                         : value_bytes);
    printf("%s, values of %zu bytes, memory_bytes_max %.0f MiB, %u shards, think %.0f us\n",
           options->trace != NULL ? options->trace : "graph of objects", setup.value_bytes,
           options->memory_mib, setup.shards, options->think_us);
    rc = entangle_load(&setup, stream.objects);
    if (rc == 0 && (options->order == NULL || strcmp(options->order, "as-is") == 0)) {
        rc = compare(options, &setup, &stream, "as it is");
    }
    if (rc == 0 && (options->order == NULL || strcmp(options->order, "shuffled") == 0)) {
        entangle_stream_shuffle(&stream, (uint64_t)options->seed);
        rc = compare(options, &setup, &stream, "shuffled");
    }
    entangle_stream_fini(&stream);
    if (rc != WARP_EEXIST) {
        entangle_clear(&setup);
    }
    if (rc < 0) {
        fprintf(stderr, "warp bench: %s: error %d\n", options->path, rc);
    }
    return rc < 0 ? EXIT_ERROR : rc > 0 ? EXIT_WRONG : EXIT_DONE;
}

int entangle_bench_main(int argc, char **argv)
{
    struct options options = {.path = "./warp-entangle-data",
                              .memory_mib = 32,
                              .memory_percent = 10,
                              .shards = 2,
                              .runs = 3,
                              .aggregates = 4000,
                              .objects = 12,
                              .visits = 25000,
                              .theta = 0.8,
                              .shared = 0.05,
                              .left_out = 0.05,
                              .seed = 1};
    int rc = options_parse(&options, argc, argv);

    if (rc == -1) {
        usage(stdout);
        return EXIT_DONE;
    }
    return rc != 0 ? rc : run(&options);
}
