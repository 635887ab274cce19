#include "bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/row.h"
#include "bench/values.h"

void bench_options_usage(FILE *file)
{
    fprintf(
        file,
        "usage: warp bench [options]\n"
        "       warp bench --compare A.json B.json\n"
        "       warp bench gravity | hotspot-shift [options], an engine with many shards, "
        "played\n"
        "       warp bench gravity --engine [options], the same in the engine, with two "
        "shards\n"
        "       warp bench wormholes [options], the ways past the owner of a shard\n"
        "       warp bench entangle [options], what fetching ahead is worth\n"
        "\n"
        "Runs a workload against WarpEngine and, side by side, its peers, and checks "
        "every\n"
        "value that is read. Engines in this build: %s\n%s"
        "\n"
        "work\n"
        "  --workload NAME[:S][,...]  with S, for so many seconds; default ycsb-a:\n",
        bench_engine_names(),
        bench_engine_serves()
            ? "and servers that speak Redis's protocol, by their address\n"
            : "");
    for (uint32_t i = 0; bench_workload_at(i) != NULL; i++) {
        fprintf(file, "      %-18s%s\n", bench_workload_at(i)->name,
                bench_workload_at(i)->summary);
    }
    fprintf(
        file,
        "  --records N             records in the database (1000000)\n"
        "  --operations N          end after so many operations ...\n"
        "  --duration-s S          ... or seconds, whichever comes first (5 if neither is\n"
        "                          given; fills and deletes end with their records)\n"
        "  --threads N[,...]       1\n"
        "  --depth N               1: blocking calls; more: a session with N in flight\n"
        "  --batch N               writes per atomic batch, keys per multi-get (1; 64)\n"
        "  --key-bytes N           16\n"
        "  --value-bytes N[-M]     100; N-M: each size from N to M as likely, a record "
        "keeps "
        "its own\n"
        "  --compression-ratio R   values that shrink to about R of their size, 0.05 - 1 "
        "(all\n"
        "                          of them stretches of one random pattern)\n"
        "  --key-form F            scattered | decimal (fillseq: decimal)\n"
        "  --distribution D        uniform | zipfian | latest | hotspot (the workload's)\n"
        "  --theta T               skew of zipfian and latest, 0 < T < 1 (0.99)\n"
        "  --shift-s S             how long hotspot-shift's hot records stay so (10)\n"
        "  --hot-share R           share of its operations that they get, 0 - 1 (0.4)\n"
        "  --rate R                open loop: R, poisson:R or step:A-B/N operations per "
        "second\n"
        "                          (N steps from A to B), latency from the intended start\n"
        "  --limit-p99-us U        look for the highest rate (poisson) whose p99, from "
        "the\n"
        "                          intended start, is at most U; trials of --duration-s "
        "each\n"
        "  --durability L          memory | interval | commit (commit, as the engine's "
        "own)\n"
        "  --seed N                1\n"
        "\n"
        "engines\n"
        "  --engine E[,...]        default warp; each in a process of its own, in turns;\n"
        "                          resp://HOST:PORT[/N] is a server's database N, empty\n"
        "  --repeat N              medians of N runs, and from two on an interval for the "
        "rate (1)\n"
        "  --memory-bytes N        cap on memory (K, M, G allowed; the engine's default)\n"
        "  --shards N              the engine's default\n"
        "  --cache-policy P        s3fifo | fifo | clock | lru | sieve: which values warp\n"
        "                          keeps in memory (s3fifo)\n"
        "  --warmup-s S            read for at most so long before the first run (2)\n"
        "  --lead-s S              precede each run by so much of the same, not measured "
        "(0);\n"
        "                          steady[:S]: until its rate is steady, at most so long "
        "(60)\n"
        "  --cgroup DIR            have each engine's process enter this group first\n"
        "  --upkeep W              itself | asked | forced: when warp makes checkpoints "
        "and\n"
        "                          compacts: as its own limits demand, never, or all the "
        "time,\n"
        "                          by one more thread (any engine) (itself)\n"
        "  --background-permille N share of a CPU for warp's upkeep, 1 - 1000 (250)\n"
        "  --gravity on|off        warp's slots move to shards that have less to do (off)\n"
        "  --rocksdb W[,...]       tiered (for more data than memory), direct-reads,\n"
        "                          direct-writes, log (at memory too), lz4, zstd (both: "
        "zstd at\n"
        "                          the last level)\n"
        "  --fresh                 load a new database for every run\n"
        "  --path DIR              where to make the databases (./warp-bench)\n"
        "  --keep                  leave them there\n"
        "  --database DIR          of the one engine: used if an earlier run has loaded "
        "it, else\n"
        "                          made; it stays\n"
        "\n"
        "results\n"
        "  --verify [quick|full]   full compares every byte, reads all records back at "
        "the\n"
        "                          end, and with one thread knows each version (quick)\n"
        "  --json FILE             everything, for machines (- is standard output)\n"
        "  --samples FILE          append one line of JSON per second and engine: disk, "
        "memory,\n"
        "                          device, and what the engine says about itself\n"
        "  --probe                 ask the device itself meanwhile, and say whose fault "
        "slow\n"
        "                          operations are\n"
        "  --lines FILE            append one tab-separated line per result\n"
        "  --csv FILE              one line per result, comma-separated, with a head\n"
        "  --hgrm FILE             latencies as HdrHistogram percentile text\n"
        "  --plot PREFIX           draw PREFIX-WORKLOAD-THREADS-latency.svg and "
        "-throughput.svg\n"
        "  --compare A.json B.json set two results beside each other: faster, slower or "
        "no\n"
        "                          clear difference, with 95 %% confidence\n"
        "  --tolerance P           what counts as slower there: more than P %% (2)\n"
        "\n"
        "exit: 0 done, 1 wrong data was read or the second result is slower, 2 usage, 3 "
        "error\n");
}

static int complain(const char *flag, const char *value, const char *why)
{
    fprintf(stderr, "warp bench: --%s %s: %s (see warp bench --help)\n", flag, value, why);
    return BENCH_EXIT_USAGE;
}

/* ---- flags --------------------------------------------------------------------------- */

/* Digits, with K, M or G for powers of 1024 where `units` says so. */
static bool parse_count(const char *text, bool units, uint64_t low, uint64_t high,
                        uint64_t *out)
{
    char *end;
    unsigned long long number;
    uint32_t shift = 0;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    if (units && *end != '\0') {
        shift = *end == 'K' ? 10 : (*end == 'M' ? 20 : (*end == 'G' ? 30 : 0));
        if (shift == 0) {
            return false;
        }
        end++;
    }
    if (*end != '\0' || number > UINT64_MAX >> shift || number << shift < low ||
        number << shift > high) {
        return false;
    }
    *out = number << shift;
    return true;
}

static bool parse_real(const char *text, double low, double high, double *out)
{
    char *end;
    double number;

    errno = 0;
    number = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(number >= low && number <= high)) {
        return false;
    }
    *out = number;
    return true;
}

/* Index of `text` in a NULL-terminated list, or -1. */
static int parse_word(const char *text, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* The next item of a comma list into `item`; false at the end or when one is empty or
 * long. */
static bool parse_item(const char **at, char *item, size_t bytes, bool *wrong)
{
    size_t length = strcspn(*at, ",");

    if (**at == '\0') {
        return false;
    }
    if (length == 0 || length >= bytes ||
        ((*at)[length] == ',' && (*at)[length + 1] == '\0')) {
        *wrong = true;
        return false;
    }
    memcpy(item, *at, length);
    item[length] = '\0';
    *at += length + ((*at)[length] == ',' ? 1u : 0u);
    return true;
}

static int parse_workloads(struct bench_options *options, const char *text)
{
    char item[32];
    bool wrong = text[0] == '\0';

    options->workload_count = 0;
    for (const char *at = text; !wrong && parse_item(&at, item, sizeof(item), &wrong);) {
        const struct bench_workload *workload;
        char *colon = strchr(item, ':');
        double seconds = 0.0;

        if (colon != NULL) {
            *colon = '\0';
            if (!parse_real(colon + 1, 0.001, 1e6, &seconds)) {
                return complain("workload", text,
                                "seconds behind the colon, at least 0.001");
            }
        }
        workload = bench_workload_find(item);
        if (strcmp(item, "ycsb-e") == 0) {
            return complain("workload", item,
                            "needs scans, which need ordered maps: not yet");
        }
        if (workload == NULL) {
            return complain("workload", item, "there is none of this name");
        }
        if (options->workload_count == BENCH_LIST_MAX) {
            return complain("workload", text, "too many");
        }
        options->durations_ns[options->workload_count] = (uint64_t)(seconds * 1e9);
        options->workloads[options->workload_count++] = workload;
    }
    return wrong ? complain("workload", text, "not a list of workloads") : 0;
}

static int parse_threads(struct bench_options *options, const char *text)
{
    char item[32];
    bool wrong = text[0] == '\0';

    options->thread_count = 0;
    for (const char *at = text; !wrong && parse_item(&at, item, sizeof(item), &wrong);) {
        uint64_t number;

        if (!parse_count(item, false, 1, BENCH_THREADS_MAX, &number) ||
            options->thread_count == BENCH_LIST_MAX) {
            return complain("threads", text, "numbers from 1 to 1024");
        }
        options->threads[options->thread_count++] = (uint32_t)number;
    }
    return wrong ? complain("threads", text, "numbers from 1 to 1024") : 0;
}

static int parse_engines(struct bench_options *options, const char *text)
{
    char item[160];
    bool wrong = text[0] == '\0';

    options->engine_count = 0;
    for (const char *at = text; !wrong && parse_item(&at, item, sizeof(item), &wrong);) {
        const struct bench_engine *engine = bench_engine_find(item);
        bool server = strncmp(item, "resp://", 7) == 0;

        if (engine == NULL) {
            return complain("engine", item, "not in this build");
        }
        for (uint32_t i = 0; i < options->engine_count; i++) {
            if (options->engines[i] == engine) {
                return complain("engine", item, "named twice");
            }
        }
        if (options->engine_count == BENCH_ENGINES_MAX) {
            return complain("engine", text, "too many");
        }
        if (server) {
            snprintf(options->address, sizeof(options->address), "%s", item);
            options->config.address = options->address;
        }
        options->engines[options->engine_count++] = engine;
    }
    return wrong ? complain("engine", text, "not a list of engines") : 0;
}

static int parse_rocksdb(struct bench_options *options, const char *text)
{
    static const char *const words[] = {
        "tiered", "direct-reads", "direct-writes", "log", "lz4", "zstd", NULL};
    char item[32];
    bool wrong = text[0] == '\0';

    options->config.rocksdb = 0;
    for (const char *at = text; !wrong && parse_item(&at, item, sizeof(item), &wrong);) {
        int word = parse_word(item, words);

        if (word < 0) {
            return complain("rocksdb", item,
                            "tiered, direct-reads, direct-writes, log, lz4 or zstd");
        }
        options->config.rocksdb |= 1u << word; /* as enum bench_rocksdb */
    }
    if (!wrong && (options->config.rocksdb & BENCH_ROCKSDB_TIERED) == 0 &&
        (options->config.rocksdb & ~(uint32_t)BENCH_ROCKSDB_LOG) != 0) {
        return complain("rocksdb", text, "only \"log\" goes without \"tiered\"");
    }
    return wrong ? complain("rocksdb", text, "not a list of words") : 0;
}

enum flag {
    FLAG_WORKLOAD = 256,
    FLAG_RECORDS,
    FLAG_OPERATIONS,
    FLAG_DURATION,
    FLAG_THREADS,
    FLAG_DEPTH,
    FLAG_BATCH,
    FLAG_KEY_BYTES,
    FLAG_VALUE_BYTES,
    FLAG_KEY_FORM,
    FLAG_DISTRIBUTION,
    FLAG_THETA,
    FLAG_RATE,
    FLAG_DURABILITY,
    FLAG_SEED,
    FLAG_ENGINE,
    FLAG_REPEAT,
    FLAG_MEMORY_BYTES,
    FLAG_SHARDS,
    FLAG_CACHE_POLICY,
    FLAG_WARMUP,
    FLAG_FRESH,
    FLAG_PATH,
    FLAG_KEEP,
    FLAG_VERIFY,
    FLAG_JSON,
    FLAG_LINES,
    FLAG_HGRM,
    FLAG_COMPARE,
    FLAG_CORRUPT_ONE,
    FLAG_COMPRESSION_RATIO,
    FLAG_LEAD,
    FLAG_CGROUP,
    FLAG_UPKEEP,
    FLAG_BACKGROUND_PERMILLE,
    FLAG_GRAVITY,
    FLAG_ROCKSDB,
    FLAG_DATABASE,
    FLAG_SAMPLES,
    FLAG_PROBE,
    FLAG_SHIFT,
    FLAG_HOT_SHARE,
    FLAG_LIMIT_P99,
    FLAG_CSV,
    FLAG_PLOT,
    FLAG_TOLERANCE,
    FLAG_HELP,
};

static const struct option flags[] = {
    {"workload", required_argument, NULL, FLAG_WORKLOAD},
    {"records", required_argument, NULL, FLAG_RECORDS},
    {"operations", required_argument, NULL, FLAG_OPERATIONS},
    {"duration-s", required_argument, NULL, FLAG_DURATION},
    {"threads", required_argument, NULL, FLAG_THREADS},
    {"depth", required_argument, NULL, FLAG_DEPTH},
    {"batch", required_argument, NULL, FLAG_BATCH},
    {"key-bytes", required_argument, NULL, FLAG_KEY_BYTES},
    {"value-bytes", required_argument, NULL, FLAG_VALUE_BYTES},
    {"key-form", required_argument, NULL, FLAG_KEY_FORM},
    {"distribution", required_argument, NULL, FLAG_DISTRIBUTION},
    {"theta", required_argument, NULL, FLAG_THETA},
    {"rate", required_argument, NULL, FLAG_RATE},
    {"durability", required_argument, NULL, FLAG_DURABILITY},
    {"seed", required_argument, NULL, FLAG_SEED},
    {"engine", required_argument, NULL, FLAG_ENGINE},
    {"repeat", required_argument, NULL, FLAG_REPEAT},
    {"memory-bytes", required_argument, NULL, FLAG_MEMORY_BYTES},
    {"shards", required_argument, NULL, FLAG_SHARDS},
    {"cache-policy", required_argument, NULL, FLAG_CACHE_POLICY},
    {"warmup-s", required_argument, NULL, FLAG_WARMUP},
    {"fresh", no_argument, NULL, FLAG_FRESH},
    {"path", required_argument, NULL, FLAG_PATH},
    {"keep", no_argument, NULL, FLAG_KEEP},
    {"verify", optional_argument, NULL, FLAG_VERIFY},
    {"json", required_argument, NULL, FLAG_JSON},
    {"lines", required_argument, NULL, FLAG_LINES},
    {"hgrm", required_argument, NULL, FLAG_HGRM},
    {"compare", required_argument, NULL, FLAG_COMPARE},
    {"corrupt-one", required_argument, NULL, FLAG_CORRUPT_ONE},
    {"compression-ratio", required_argument, NULL, FLAG_COMPRESSION_RATIO},
    {"lead-s", required_argument, NULL, FLAG_LEAD},
    {"cgroup", required_argument, NULL, FLAG_CGROUP},
    {"upkeep", required_argument, NULL, FLAG_UPKEEP},
    {"background-permille", required_argument, NULL, FLAG_BACKGROUND_PERMILLE},
    {"gravity", required_argument, NULL, FLAG_GRAVITY},
    {"rocksdb", required_argument, NULL, FLAG_ROCKSDB},
    {"database", required_argument, NULL, FLAG_DATABASE},
    {"samples", required_argument, NULL, FLAG_SAMPLES},
    {"probe", no_argument, NULL, FLAG_PROBE},
    {"shift-s", required_argument, NULL, FLAG_SHIFT},
    {"hot-share", required_argument, NULL, FLAG_HOT_SHARE},
    {"limit-p99-us", required_argument, NULL, FLAG_LIMIT_P99},
    {"csv", required_argument, NULL, FLAG_CSV},
    {"plot", required_argument, NULL, FLAG_PLOT},
    {"tolerance", required_argument, NULL, FLAG_TOLERANCE},
    {"help", no_argument, NULL, FLAG_HELP},
    {NULL, 0, NULL, 0},
};

static const char *flag_name(int flag)
{
    for (uint32_t i = 0; flags[i].name != NULL; i++) {
        if (flags[i].val == flag) {
            return flags[i].name;
        }
    }
    return "?";
}

static int parse_rate(struct bench_options *options, const char *text)
{
    const char *number = text;
    double last;
    int used = 0;

    options->config.poisson = false;
    options->config.rate_steps = 0;
    if (sscanf(text, "step:%lf-%lf/%u%n", &options->config.rate, &last,
               &options->config.rate_steps, &used) == 3) {
        if (text[used] != '\0' || options->config.rate_steps < 1 ||
            options->config.rate_steps > BENCH_STEPS_MAX ||
            !(options->config.rate >= 0.001 && options->config.rate <= 1e9) ||
            !(last >= 0.001 && last <= 1e9)) {
            return complain("rate", text, "step:A-B/N: two rates, and at most 32 steps");
        }
        options->config.rate_to = last;
        return 0;
    }
    options->config.rate_steps = 0;
    if (strncmp(text, "poisson:", 8) == 0) {
        options->config.poisson = true;
        number = text + 8;
    }
    if (!parse_real(number, 0.001, 1e9, &options->config.rate)) {
        return complain("rate", text, "R, poisson:R or step:A-B/N, operations per second");
    }
    return 0;
}

/* N, or N-M. */
static int parse_value_bytes(struct bench_config *config, const char *text)
{
    char least[32];
    const char *dash = strchr(text, '-');
    uint64_t number;
    uint64_t most = 0;

    snprintf(least, sizeof(least), "%.*s",
             dash != NULL && dash - text < 31 ? (int)(dash - text) : 31, text);
    if (!parse_count(least, true, 1, 33554432, &number) ||
        (dash != NULL && !parse_count(dash + 1, true, number, 33554432, &most))) {
        return complain("value-bytes", text, "1 to 33554432 bytes, or two such: N-M");
    }
    config->value_bytes = number;
    config->value_bytes_most = most;
    return 0;
}

/* One flag with its value. 0, BENCH_EXIT_USAGE, or -1 for --help. */
static int parse_flag(struct bench_options *options, int flag, const char *text)
{
    static const char *const durabilities[] = {"memory", "interval", "commit", NULL};
    static const char *const distributions[] = {"uniform", "zipfian", "latest", "hotspot",
                                                NULL};
    static const char *const forms[] = {"scattered", "decimal", NULL};
    static const char *const policies[] = {"s3fifo", "fifo", "clock", "lru", "sieve", NULL};
    static const char *const corruptions[] = {"nothing", "owner",   "edge",  "middle",
                                              "length",  "missing", "stale", NULL};
    static const char *const upkeeps[] = {"itself", "asked", "forced", NULL};
    static const char *const gravities[] = {"on", "off", NULL};
    struct bench_config *config = &options->config;
    const char *name = flag_name(flag);
    uint64_t number = 0;
    double real = 0.0;
    int word;

    switch (flag) {
    case FLAG_WORKLOAD:
        return parse_workloads(options, text);
    case FLAG_THREADS:
        return parse_threads(options, text);
    case FLAG_ENGINE:
        return parse_engines(options, text);
    case FLAG_RATE:
        return parse_rate(options, text);
    case FLAG_RECORDS:
        if (!parse_count(text, false, 1, (uint64_t)1 << BENCH_VALUE_ID_BITS,
                         &config->records)) {
            return complain(name, text, "a number from 1 to 2^40");
        }
        return 0;
    case FLAG_OPERATIONS:
        if (!parse_count(text, false, 1, UINT64_MAX - 1, &config->operations)) {
            return complain(name, text, "a positive number");
        }
        return 0;
    case FLAG_DURATION:
        if (!parse_real(text, 0.001, 1e6, &real)) {
            return complain(name, text, "seconds, at least 0.001");
        }
        config->duration_ns = (uint64_t)(real * 1e9);
        return 0;
    case FLAG_WARMUP:
        if (!parse_real(text, 0.0, 1e6, &real)) {
            return complain(name, text, "seconds");
        }
        config->warmup_ns = (uint64_t)(real * 1e9);
        return 0;
    case FLAG_DEPTH:
        if (!parse_count(text, false, 1, 65536, &number)) {
            return complain(name, text, "a number from 1 to 65536");
        }
        options->depth = (uint32_t)number;
        return 0;
    case FLAG_BATCH:
        if (!parse_count(text, false, 1, BENCH_GROUP_MAX, &number)) {
            return complain(name, text, "a number from 1 to 65536");
        }
        options->batch = (uint32_t)number;
        return 0;
    case FLAG_KEY_BYTES:
        if (!parse_count(text, true, 1, 65536, &number)) {
            return complain(name, text, "1 to 65536 bytes");
        }
        config->key_bytes = number;
        return 0;
    case FLAG_VALUE_BYTES:
        return parse_value_bytes(config, text);
    case FLAG_KEY_FORM:
        options->key_form = parse_word(text, forms);
        return options->key_form < 0 ? complain(name, text, "scattered or decimal") : 0;
    case FLAG_DISTRIBUTION:
        options->distribution = parse_word(text, distributions);
        return options->distribution < 0
                   ? complain(name, text, "uniform, zipfian, latest or hotspot")
                   : 0;
    case FLAG_THETA:
        if (!parse_real(text, 0.01, 0.9999, &config->theta)) {
            return complain(name, text, "a number from 0.01 to 0.9999");
        }
        return 0;
    case FLAG_SHIFT:
        if (!parse_real(text, 0.001, 1e6, &real)) {
            return complain(name, text, "seconds, at least 0.001");
        }
        config->shift_ns = (uint64_t)(real * 1e9);
        return 0;
    case FLAG_HOT_SHARE:
        if (!parse_real(text, 0.0, 1.0, &config->hot_share)) {
            return complain(name, text, "a number from 0 to 1");
        }
        return 0;
    case FLAG_DURABILITY:
        word = parse_word(text, durabilities);
        if (word < 0) {
            return complain(name, text, "memory, interval or commit");
        }
        config->durability = (enum bench_durability)word;
        return 0;
    case FLAG_SEED:
        if (!parse_count(text, false, 0, UINT64_MAX, &config->seed)) {
            return complain(name, text, "a number");
        }
        return 0;
    case FLAG_REPEAT:
        if (!parse_count(text, false, 1, BENCH_REPEATS_MAX, &number)) {
            return complain(name, text, "a number from 1 to 64");
        }
        options->repeats = (uint32_t)number;
        return 0;
    case FLAG_MEMORY_BYTES:
        if (!parse_count(text, true, 1 << 20, UINT64_MAX, &config->memory_bytes)) {
            return complain(name, text, "bytes, at least 1M");
        }
        return 0;
    case FLAG_SHARDS:
        if (!parse_count(text, false, 0, 64, &number)) {
            return complain(name, text, "a number from 0 to 64");
        }
        config->shards = (uint32_t)number;
        return 0;
    case FLAG_CACHE_POLICY:
        word = parse_word(text, policies);
        if (word < 0) {
            return complain(name, text, "s3fifo, fifo, clock, lru or sieve");
        }
        config->cache_policy = (uint32_t)word;
        return 0;
    case FLAG_VERIFY:
        if (text == NULL || strcmp(text, "full") == 0) {
            config->verify_full = true;
        } else if (strcmp(text, "quick") == 0) {
            config->verify_full = false;
        } else {
            return complain(name, text, "quick or full");
        }
        return 0;
    case FLAG_CORRUPT_ONE:
        word = parse_word(text, corruptions);
        if (word < 0) {
            return complain(name, text, "owner, edge, middle, length, missing or stale");
        }
        config->corruption = (enum bench_corruption)word;
        return 0;
    case FLAG_COMPRESSION_RATIO:
        if (!parse_real(text, 0.05, 1.0, &real)) {
            return complain(name, text, "a number from 0.05 to 1");
        }
        config->ratio_permille = (uint32_t)(real * 1000.0 + 0.5);
        return 0;
    case FLAG_LEAD:
        config->lead_steady = strncmp(text, "steady", 6) == 0;
        if (config->lead_steady) {
            text = text[6] == ':' ? text + 7 : (text[6] == '\0' ? "60" : "");
        }
        if (!parse_real(text, 0.0, 1e6, &real)) {
            return complain(name, text, "seconds");
        }
        config->lead_ns = (uint64_t)(real * 1e9);
        return 0;
    case FLAG_UPKEEP:
        word = parse_word(text, upkeeps);
        if (word < 0) {
            return complain(name, text, "itself, asked or forced");
        }
        config->compaction = word == 0 ? 0 : 2;
        config->upkeep = word == 2;
        return 0;
    case FLAG_BACKGROUND_PERMILLE:
        if (!parse_count(text, false, 1, 1000, &number)) {
            return complain(name, text, "a number from 1 to 1000");
        }
        config->background_permille = (uint32_t)number;
        return 0;
    case FLAG_GRAVITY:
        word = parse_word(text, gravities);
        if (word < 0) {
            return complain(name, text, "on or off");
        }
        config->gravity = word == 0 ? 1 : 2;
        return 0;
    case FLAG_ROCKSDB:
        return parse_rocksdb(options, text);
    case FLAG_CGROUP:
        config->cgroup = text;
        return 0;
    case FLAG_DATABASE:
        options->database = text;
        return 0;
    case FLAG_SAMPLES:
        config->samples = text;
        config->watches = true;
        return 0;
    case FLAG_PROBE:
        options->probe = true;
        config->watches = true;
        return 0;
    case FLAG_FRESH:
        options->fresh = true;
        return 0;
    case FLAG_KEEP:
        options->keep = true;
        return 0;
    case FLAG_PATH:
        options->path = text;
        return 0;
    case FLAG_JSON:
        options->json = text;
        return 0;
    case FLAG_LINES:
        options->lines = text;
        return 0;
    case FLAG_HGRM:
        options->hgrm = text;
        return 0;
    case FLAG_COMPARE:
        options->compare = text;
        return 0;
    case FLAG_CSV:
        options->csv = text;
        return 0;
    case FLAG_PLOT:
        options->plot = text;
        return 0;
    case FLAG_TOLERANCE:
        if (!parse_real(text, 0.0, 1000.0, &options->tolerance)) {
            return complain(name, text, "percent, 0 to 1000");
        }
        options->tolerance /= 100.0;
        return 0;
    case FLAG_LIMIT_P99:
        if (!parse_real(text, 0.001, 1e9, &real)) {
            return complain(name, text, "microseconds, at least 0.001");
        }
        config->limit_p99_ns = (uint64_t)(real * 1e3);
        return 0;
    case FLAG_HELP:
        return -1;
    default:
        fprintf(stderr, "warp bench: see warp bench --help\n");
        return BENCH_EXIT_USAGE;
    }
}

/* How many ids there may be at the end. */
static uint64_t options_ids(const struct bench_options *options,
                            const struct bench_workload *workload)
{
    const struct bench_config *config = &options->config;
    uint64_t runs = options->repeats * options->thread_count * options->workload_count;

    if (workload->insert_percent == 0) {
        return config->records;
    }
    if (config->operations == 0 || config->operations > UINT64_MAX / 2 / runs) {
        return (uint64_t)1 << BENCH_VALUE_ID_BITS; /* as many as the time allows */
    }
    return config->records + config->operations * runs;
}

/* Workloads times threads, and what cannot go together. */
static int options_cells(struct bench_options *options)
{
    struct bench_config *config = &options->config;
    bool timed = config->duration_ns != 0;

    for (uint32_t w = 0; w < options->workload_count; w++) {
        const struct bench_workload *workload = options->workloads[w];
        bool walks =
            workload->work != BENCH_WORK_MIX && workload->work != BENCH_WORK_MULTI_GET;

        if (options->batch > 1 && workload->work != BENCH_WORK_MULTI_GET &&
            !bench_workload_batches(workload)) {
            return complain("batch", workload->name,
                            "only writes and multi-gets come in groups");
        }
        if (options->depth > 1 &&
            (options->batch > 1 || workload->work == BENCH_WORK_MULTI_GET)) {
            return complain("depth", workload->name, "a session's requests are single");
        }
        if (walks && workload->work != BENCH_WORK_DELETE_RANDOM &&
            config->corruption != BENCH_CORRUPT_NOTHING) {
            return complain("corrupt-one", workload->name, "a fill has nothing loaded");
        }
        if (workload->mixes != options->workloads[0]->mixes) {
            return complain("workload", workload->name,
                            "values of other sizes: cannot share a database");
        }
        if (workload->mixes && config->value_bytes_most != 0) {
            return complain("value-bytes", "N-M", "this workload has sizes of its own");
        }
        if (workload->mixes && config->value_bytes > 33554432 / BENCH_VALUE_LARGE_TIMES) {
            return complain("value-bytes", "too large", "some are 640 times as long");
        }
        config->mixed_sizes = workload->mixes;
        /* A walk that neither operations nor time bound ends with its records. */
        timed =
            timed || (!walks && config->operations == 0 && options->durations_ns[w] == 0);
        if (options->database != NULL &&
            (workload->fresh || workload->insert_percent != 0)) {
            return complain("database", workload->name,
                            "changes which records there are: they must stay the same");
        }
        for (uint32_t t = 0; t < options->thread_count; t++) {
            struct bench_cell *cell = &config->cells[config->cell_count];

            if (config->cell_count == BENCH_CELLS_MAX) {
                return complain("workload", "list", "too many workloads times threads");
            }
            config->cell_count++;
            cell->workload = workload;
            cell->threads = options->threads[t];
            cell->depth = options->depth;
            cell->duration_ns = options->durations_ns[w];
            cell->batch = options->batch;
            if (cell->batch == 0) {
                cell->batch = workload->work == BENCH_WORK_MULTI_GET ? 64 : 1;
            }
            if ((uint64_t)cell->threads * cell->depth > (uint64_t)1 << 19) {
                return complain("depth", "times threads", "at most 524288 in flight");
            }
            cell->distribution = options->distribution >= 0
                                     ? (enum bench_distribution)options->distribution
                                     : workload->distribution;
            cell->key_form = options->key_form >= 0 ? (enum bench_key_form)options->key_form
                             : workload->work == BENCH_WORK_FILL_SEQUENTIAL
                                 ? BENCH_KEY_DECIMAL
                                 : BENCH_KEY_SCATTERED;
            if (!bench_keys_fit(cell->key_form, config->key_bytes,
                                options_ids(options, workload))) {
                return complain("key-bytes", "too small", "not enough keys of this size");
            }
        }
    }
    if (timed && config->duration_ns == 0) {
        config->duration_ns = 5000000000u;
    }
    if (config->limit_p99_ns != 0 && config->rate > 0.0) {
        return complain("limit-p99-us", "--rate", "the rate is what is looked for");
    }
    for (uint32_t i = 0; i < config->cell_count; i++) {
        const struct bench_cell *cell = &config->cells[i];
        bool walks = cell->workload->work != BENCH_WORK_MIX &&
                     cell->workload->work != BENCH_WORK_MULTI_GET;

        if (config->limit_p99_ns != 0 && (walks || cell->workload->fresh)) {
            return complain("limit-p99-us", cell->workload->name,
                            "can be run only once on a database");
        }
        if ((config->limit_p99_ns != 0 || config->rate_steps > 0) &&
            config->duration_ns == 0 && cell->duration_ns == 0) {
            return complain("rate", "steps", "need --duration-s");
        }
    }
    return 0;
}

int bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    int flag;

    memset(options, 0, sizeof(*options));
    options->config.records = 1000000;
    options->config.key_bytes = 16;
    options->config.value_bytes = 100;
    options->config.durability = BENCH_COMMIT;
    options->config.theta = 0.99;
    options->config.seed = 1;
    options->config.shift_ns = 10000000000u;
    options->config.hot_share = 0.4;
    options->config.warmup_ns = 2000000000u;
    options->workloads[0] = bench_workload_find("ycsb-a");
    options->workload_count = 1;
    options->threads[0] = 1;
    options->thread_count = 1;
    options->depth = 1;
    options->distribution = -1;
    options->key_form = -1;
    options->engines[0] = bench_engine_find("warp");
    options->engine_count = 1;
    options->repeats = 1;
    options->tolerance = 0.02;
    options->path = "./warp-bench";
    optind = 0; /* the program's main has parsed flags of its own before */
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        const char *text = optarg;
        int rc;

        /* "--verify full" beside "--verify=full" and a bare "--verify". */
        if (flag == FLAG_VERIFY && text == NULL && optind < argc &&
            (strcmp(argv[optind], "full") == 0 || strcmp(argv[optind], "quick") == 0)) {
            text = argv[optind++];
        }
        rc = parse_flag(options, flag, text);
        if (rc != 0) {
            return rc;
        }
    }
    if (options->database != NULL && (options->engine_count != 1 || options->fresh)) {
        return complain("database", options->database, "is one engine's, and not fresh");
    }
    if (options->database != NULL && options->config.address != NULL) {
        return complain("database", options->database, "a server keeps its own");
    }
    if (options->compare != NULL) {
        if (optind + 1 != argc) {
            return complain("compare", options->compare, "takes two files");
        }
        return 0;
    }
    if (optind != argc) {
        fprintf(stderr, "warp bench: %s: what is this? (see warp bench --help)\n",
                argv[optind]);
        return BENCH_EXIT_USAGE;
    }
    return options_cells(options);
}
