#include "bench/manycore/main.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/manycore/experiment.h"
#include "bench/manycore/plot.h"

enum { EXIT_DONE = 0, EXIT_USAGE = 2, EXIT_ERROR = 3 };

#define LIST_MAX 16u

struct options {
    double shards[LIST_MAX];
    uint32_t shard_counts;
    double thetas[LIST_MAX];
    uint32_t theta_count;
    const char *trace;
    const char *plot;
    double records;
    double operations;
    double reads;
    double seed;
    double seconds;
    double shift_s;
    double hot_slots;
    double hot_share;
};

enum flag {
    FLAG_SHARDS = 256,
    FLAG_THETA,
    FLAG_TRACE,
    FLAG_PLOT,
    FLAG_RECORDS,
    FLAG_OPERATIONS,
    FLAG_READS,
    FLAG_SEED,
    FLAG_SECONDS,
    FLAG_SHIFT,
    FLAG_HOT_SLOTS,
    FLAG_HOT_SHARE,
    FLAG_HELP,
};

static const struct option flags[] = {
    {"shards", required_argument, NULL, FLAG_SHARDS},
    {"theta", required_argument, NULL, FLAG_THETA},
    {"trace", required_argument, NULL, FLAG_TRACE},
    {"plot", required_argument, NULL, FLAG_PLOT},
    {"records", required_argument, NULL, FLAG_RECORDS},
    {"epoch-operations", required_argument, NULL, FLAG_OPERATIONS},
    {"reads", required_argument, NULL, FLAG_READS},
    {"seed", required_argument, NULL, FLAG_SEED},
    {"duration-s", required_argument, NULL, FLAG_SECONDS},
    {"shift-s", required_argument, NULL, FLAG_SHIFT},
    {"hot-slots", required_argument, NULL, FLAG_HOT_SLOTS},
    {"hot-share", required_argument, NULL, FLAG_HOT_SHARE},
    {"help", no_argument, NULL, FLAG_HELP},
    {NULL, 0, NULL, 0},
};

static void usage(FILE *file)
{
    fprintf(file,
            "usage: warp bench gravity [options]\n"
            "       warp bench hotspot-shift [options]\n"
            "\n"
            "Play an engine with many shards: requests are drawn and owners take a known "
            "time, but\n"
            "slots, map, measuring, planning and moving are the engine's own code. Nothing "
            "is opened\n"
            "and nothing is written but the plot. (The workload that runs against the "
            "engine is\n"
            "--workload hotspot-shift.)\n"
            "\n"
            "gravity: lambda (max / mean load) and capacity (in shards) with and without "
            "gravity, and\n"
            "with and without reads past the owner\n"
            "  --shards N[,...]        1 - 64 (4,8,16,64)\n"
            "  --theta T[,...]         of zipf; 0 is uniform (0.99,1.2)\n"
            "  --trace FILE            instead: 32-bit little-endian numbers, one per "
            "request; - is\n"
            "                          standard input\n"
            "  --records N             keys (1000000)\n"
            "  --reads R               share of requests (0.95)\n"
            "\n"
            "hotspot-shift: every so often other slots, all of one shard, become hot\n"
            "  --shards N              2 - 64 (8)\n"
            "  --duration-s S          (60)\n"
            "  --shift-s S             (10)\n"
            "  --hot-slots N           (64)\n"
            "  --hot-share R           of all requests, to these (0.3)\n"
            "  --plot FILE.svg         draw the load of every shard over time\n"
            "\n"
            "both\n"
            "  --epoch-operations N    served per shard and epoch of 100 ms (100000)\n"
            "  --seed N                (1)\n"
            "\n"
            "exit: 0 done, 2 usage, 3 error\n");
}

static int complain(const char *flag, const char *text, const char *why)
{
    fprintf(stderr, "warp bench: --%s %s: %s (see warp bench gravity --help)\n", flag, text,
            why);
    return EXIT_USAGE;
}

/* Numbers between low and high, with commas between them. */
static bool parse_list(const char *text, double low, double high, double *list,
                       uint32_t *count, uint32_t most)
{
    *count = 0;
    for (;;) {
        char *end;
        double number;

        errno = 0;
        number = strtod(text, &end);
        if (end == text || errno != 0 || !(number >= low && number <= high) ||
            *count == most) {
            return false;
        }
        list[(*count)++] = number;
        if (*end == '\0') {
            return true;
        }
        if (*end != ',') {
            return false;
        }
        text = end + 1;
    }
}

/* 0, EXIT_USAGE, or -1 for --help. */
static int options_parse(struct options *options, int argc, char **argv, bool hotspot)
{
    int flag, place = 0;

    optind = 0;
    while ((flag = getopt_long(argc, argv, "", flags, &place)) != -1) {
        bool whole = flag != FLAG_THETA && flag != FLAG_READS && flag != FLAG_SECONDS &&
                     flag != FLAG_SHIFT && flag != FLAG_HOT_SHARE;
        bool is_list = flag == FLAG_SHARDS || flag == FLAG_THETA;
        const struct {
            int flag;
            double low, high;
            double *number;
            int whose; /* 0: both, 1: gravity, 2: hotspot-shift */
        } numbers[] = {
            {FLAG_SHARDS, hotspot ? 2 : 1, WARP_SHARD_COUNT_MAX, options->shards, 0},
            {FLAG_THETA, 0, 4, options->thetas, 1},
            {FLAG_RECORDS, 1, 1 << 28, &options->records, 1},
            {FLAG_READS, 0, 0.999, &options->reads, 1},
            {FLAG_OPERATIONS, 100, 10000000, &options->operations, 0},
            {FLAG_SEED, 0, 4294967295.0, &options->seed, 0},
            {FLAG_SECONDS, 0.2, 3600, &options->seconds, 2},
            {FLAG_SHIFT, 0.1, 3600, &options->shift_s, 2},
            {FLAG_HOT_SLOTS, 1, WARP_SLOT_COUNT / WARP_SHARD_COUNT_MAX, &options->hot_slots,
             2},
            {FLAG_HOT_SHARE, 0, 1, &options->hot_share, 2},
        };
        uint32_t i, count;

        if (flag == FLAG_HELP) {
            return -1;
        }
        if (flag == '?') {
            return EXIT_USAGE;
        }
        if (flag == FLAG_TRACE && !hotspot) {
            options->trace = optarg;
            continue;
        }
        if (flag == FLAG_PLOT && hotspot) {
            options->plot = optarg;
            continue;
        }
        for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            if (numbers[i].flag == flag && numbers[i].whose != (hotspot ? 1 : 2)) {
                break;
            }
        }
        if (i == sizeof(numbers) / sizeof(numbers[0])) {
            return complain(flags[place].name, optarg, "not for this command");
        }
        if (!parse_list(optarg, numbers[i].low, numbers[i].high, numbers[i].number, &count,
                        is_list && !hotspot ? LIST_MAX : 1)) {
            return complain(flags[place].name, optarg, "out of its bounds");
        }
        while (whole && count-- > 0) {
            if (numbers[i].number[count] != floor(numbers[i].number[count])) {
                return complain(flags[place].name, optarg, "a whole number");
            }
        }
        if (flag == FLAG_SHARDS || flag == FLAG_THETA) {
            /* Count once more: the loop above has used it up. */
            (void)parse_list(optarg, numbers[i].low, numbers[i].high, numbers[i].number,
                             flag == FLAG_SHARDS ? &options->shard_counts
                                                 : &options->theta_count,
                             LIST_MAX);
        }
    }
    if (optind != argc) {
        fprintf(stderr, "warp bench: %s: what is this? (see warp bench gravity --help)\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    return 0;
}

static struct options options_usual(void)
{
    static const double shards[] = {4, 8, 16, 64};
    struct options options = {.shard_counts = 4,
                              .thetas = {0.99, 1.2},
                              .theta_count = 2,
                              .records = 1000000,
                              .operations = 100000,
                              .reads = 0.95,
                              .seed = 1,
                              .seconds = 60,
                              .shift_s = 10,
                              .hot_slots = 64,
                              .hot_share = 0.3};

    memcpy(options.shards, shards, sizeof(shards));
    return options;
}

static struct manycore_config options_config(const struct options *options, uint32_t shards)
{
    struct manycore_config config = {.shard_count = shards,
                                     .epoch_operations = (uint32_t)options->operations,
                                     .busy_permille = 300,
                                     .read_permille =
                                         (uint32_t)(options->reads * 1000 + 0.5),
                                     .move_ns = 5000,
                                     .seed = (uint64_t)options->seed};

    return config;
}

/* ---- gravity ------------------------------------------------------------------------------ */

static void gravity_print(const char *name, uint32_t shards, const struct manycore_row *row,
                          bool shifts)
{
    const struct manycore_outcome *outcomes[] = {&row->stays,  &row->gravity,
                                                 &row->bypass, &row->both,
                                                 &row->direct, &row->direct_gravity};
    uint32_t i;

    printf("| %s | %u", name, (unsigned int)shards);
    for (i = 0; i < 6; i++) {
        printf(" | %.2f / %.1f", outcomes[i]->truth.lambda, outcomes[i]->truth.capacity);
    }
    if (!shifts) {
        printf(" | -");
    } else if (row->both.shift_epochs > MANYCORE_SHIFT_EPOCHS) {
        printf(" | more than %u", MANYCORE_SHIFT_EPOCHS);
    } else {
        printf(" | %u", (unsigned int)row->both.shift_epochs);
    }
    printf(" | %u, %u, %u |\n", (unsigned int)row->gravity.moves,
           (unsigned int)row->both.moves, (unsigned int)row->direct_gravity.moves);
    fflush(stdout);
}

static int gravity_rows(const struct options *options,
                        const struct manycore_stream_config *config, const char *name)
{
    uint32_t i;

    for (i = 0; i < options->shard_counts; i++) {
        struct manycore_config one = options_config(options, (uint32_t)options->shards[i]);
        struct manycore_stream *stream = NULL;
        struct manycore_row row;
        const char *why = "no memory";
        int rc = manycore_stream_create(&stream, config, &why);

        if (rc == 0) {
            rc = manycore_row_find(&one, stream, config->kind == MANYCORE_ZIPF, &row);
            manycore_stream_destroy(&stream);
        }
        if (rc < 0) {
            fprintf(stderr, "warp bench: %s: %s\n", name, why);
            return EXIT_ERROR;
        }
        gravity_print(name, one.shard_count, &row, config->kind == MANYCORE_ZIPF);
        if (config->trace != NULL && strcmp(config->trace, "-") == 0) {
            break; /* it can be read only once */
        }
    }
    return EXIT_DONE;
}

int manycore_gravity_main(int argc, char **argv)
{
    struct options options = options_usual();
    int rc = options_parse(&options, argc, argv, false);
    uint32_t i;

    if (rc != 0) {
        if (rc < 0) {
            usage(stdout);
        }
        return rc < 0 ? EXIT_DONE : rc;
    }
    printf(
        "lambda / capacity: the busiest owner's load, of the mean / what all shards serve, "
        "in units of one\n\n"
        "| requests | shards | as dealt | gravity | top keys direct | both | reads direct "
        "| "
        "and gravity | shift: epochs to 1.15 | moves |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n");
    if (options.trace != NULL) {
        struct manycore_stream_config config = {
            .kind = MANYCORE_TRACE, .trace = options.trace, .seed = (uint64_t)options.seed};

        return gravity_rows(&options, &config, "trace");
    }
    for (i = 0; rc == EXIT_DONE && i < options.theta_count; i++) {
        struct manycore_stream_config config = {
            .kind = options.thetas[i] > 0 ? MANYCORE_ZIPF : MANYCORE_UNIFORM,
            .records = (uint32_t)options.records,
            .theta = options.thetas[i],
            .seed = (uint64_t)options.seed};
        char name[32];

        snprintf(name, sizeof(name), options.thetas[i] > 0 ? "zipf %g" : "uniform",
                 options.thetas[i]);
        rc = gravity_rows(&options, &config, name);
    }
    return rc;
}

/* ---- hotspot-shift ------------------------------------------------------------------------ */

struct hotspot {
    struct manycore_plot plot;
    float *loads[2]; /* without, with */
    uint32_t *moves;
    struct manycore_plot_shift *shifts;
    double lambda_sum[2];
    double lambda_most_settled;
    uint32_t lambda_count;
    uint32_t longest; /* epochs until lambda < 1.15 after a shift */
};

static int hotspot_play(const struct options *options, struct hotspot *hotspot,
                        bool gravity)
{
    struct manycore_stream_config stream_config = {
        .kind = MANYCORE_HOTSPOT,
        .hot_slots = (uint32_t)options->hot_slots,
        .hot_share = options->hot_share,
        .shard_count = (uint32_t)options->shards[0],
        .seed = (uint64_t)options->seed};
    struct manycore_config config = options_config(options, stream_config.shard_count);
    struct manycore_plot *plot = &hotspot->plot;
    uint32_t every = (uint32_t)(options->shift_s / plot->epoch_s + 0.5);
    struct manycore_stream *stream = NULL;
    struct manycore_world *world = NULL;
    bool settled = false;
    uint32_t epoch, i, since = 0;
    const char *why = "no memory";

    config.gravity = gravity;
    if (manycore_stream_create(&stream, &stream_config, &why) < 0) {
        return -1;
    }
    if (manycore_world_create(&world, &config, stream) < 0) {
        manycore_stream_destroy(&stream);
        return -1;
    }
    plot->shift_count = 0;
    for (epoch = 0; epoch < plot->epochs; epoch++) {
        double sum = 0, most = 0;

        if (epoch % every == 0) {
            if (epoch > 0) {
                manycore_stream_shift(stream);
                manycore_world_reweigh(world);
            }
            hotspot->shifts[plot->shift_count].epoch = epoch;
            hotspot->shifts[plot->shift_count++].shard =
                stream->generation % config.shard_count;
            since = 0;
            settled = false;
        }
        manycore_world_epoch(world);
        for (i = 0; i < config.shard_count; i++) {
            sum += world->loads[i];
            most = world->loads[i] > most ? world->loads[i] : most;
        }
        for (i = 0; i < config.shard_count; i++) {
            hotspot->loads[gravity][(uint64_t)epoch * config.shard_count + i] =
                (float)(world->loads[i] / sum * config.shard_count);
        }
        hotspot->lambda_sum[gravity] += most / sum * config.shard_count;
        if (gravity) {
            double lambda = most / sum * config.shard_count;

            hotspot->moves[epoch] = world->moves;
            since++;
            if (!settled && manycore_world_truth(world).lambda < 1.15) {
                settled = true;
                hotspot->longest = since > hotspot->longest ? since : hotspot->longest;
            } else if (settled && lambda > hotspot->lambda_most_settled) {
                hotspot->lambda_most_settled = lambda;
            }
            if (!settled && since == every) {
                hotspot->longest = UINT32_MAX; /* not within its time */
            }
        }
    }
    manycore_world_destroy(&world);
    manycore_stream_destroy(&stream);
    return 0;
}

static int hotspot_draw(const struct options *options, struct hotspot *hotspot)
{
    struct manycore_plot *plot = &hotspot->plot;
    char subtitle[200], without[100], with[160];
    FILE *file;
    int rc;

    snprintf(
        subtitle, sizeof(subtitle),
        "%u shards. %.0f %% of all requests are for %.0f slots that one shard has, and "
        "for others, of the next shard, every %g s.",
        (unsigned int)plot->shard_count, options->hot_share * 100, options->hot_slots,
        options->shift_s);
    snprintf(without, sizeof(without), "the busiest shard has %.2f times the mean",
             hotspot->lambda_sum[0] / plot->epochs);
    snprintf(with, sizeof(with),
             "under 1.15 times the mean within %.1f s of each shift; %.2f over all",
             hotspot->longest * plot->epoch_s, hotspot->lambda_sum[1] / plot->epochs);
    plot->title = "What each shard has to do while the hot spot moves";
    plot->subtitle = subtitle;
    plot->without_note = without;
    plot->with_note = hotspot->longest == UINT32_MAX ? "not even between all shifts" : with;
    plot->without = hotspot->loads[0];
    plot->with = hotspot->loads[1];
    plot->moves = hotspot->moves;
    plot->shifts = hotspot->shifts;
    file = fopen(options->plot, "w");
    if (file == NULL) {
        fprintf(stderr, "warp bench: %s: %s\n", options->plot, strerror(errno));
        return -1;
    }
    rc = manycore_plot_write(file, plot);
    if (fclose(file) != 0 || rc < 0) {
        fprintf(stderr, "warp bench: %s: cannot be written\n", options->plot);
        return -1;
    }
    return 0;
}

static void hotspot_print(const struct hotspot *hotspot)
{
    const struct manycore_plot *plot = &hotspot->plot;
    uint64_t moves = 0;
    uint32_t epoch;

    for (epoch = 0; epoch < plot->epochs; epoch++) {
        moves += hotspot->moves[epoch];
    }
    printf("shards %u, epochs %u of %g s, shifts %u\n"
           "gravity off: lambda %.3f in the mean, capacity %.2f shards\n"
           "gravity on:  lambda %.3f in the mean, capacity %.2f shards, %llu moves\n",
           (unsigned int)plot->shard_count, (unsigned int)plot->epochs, plot->epoch_s,
           (unsigned int)plot->shift_count - 1, hotspot->lambda_sum[0] / plot->epochs,
           plot->shard_count / (hotspot->lambda_sum[0] / plot->epochs),
           hotspot->lambda_sum[1] / plot->epochs,
           plot->shard_count / (hotspot->lambda_sum[1] / plot->epochs),
           (unsigned long long)moves);
    if (hotspot->longest == UINT32_MAX) {
        printf("             not under 1.15 between all shifts\n");
    } else {
        printf("             under 1.15 within %u epochs of each shift, at most %.3f from "
               "then "
               "on\n",
               (unsigned int)hotspot->longest, hotspot->lambda_most_settled);
    }
}

int manycore_hotspot_main(int argc, char **argv)
{
    struct options options = options_usual();
    struct hotspot hotspot = {.plot.epoch_s = (double)MANYCORE_EPOCH_NS / 1e9};
    struct manycore_plot *plot = &hotspot.plot;
    uint64_t cells;
    int rc;

    options.shards[0] = 8;
    rc = options_parse(&options, argc, argv, true);
    if (rc != 0) {
        if (rc < 0) {
            usage(stdout);
        }
        return rc < 0 ? EXIT_DONE : rc;
    }
    plot->shard_count = (uint32_t)options.shards[0];
    plot->epochs = (uint32_t)(options.seconds / plot->epoch_s + 0.5);
    cells = (uint64_t)plot->epochs * plot->shard_count;
    hotspot.loads[0] = malloc(cells * sizeof(*hotspot.loads[0]));
    hotspot.loads[1] = malloc(cells * sizeof(*hotspot.loads[1]));
    hotspot.moves = malloc(plot->epochs * sizeof(*hotspot.moves));
    hotspot.shifts = malloc(plot->epochs * sizeof(*hotspot.shifts));
    rc = EXIT_ERROR;
    if (hotspot.loads[0] == NULL || hotspot.loads[1] == NULL || hotspot.moves == NULL ||
        hotspot.shifts == NULL || hotspot_play(&options, &hotspot, false) < 0 ||
        hotspot_play(&options, &hotspot, true) < 0) {
        fprintf(stderr, "warp bench: no memory\n");
    } else {
        hotspot_print(&hotspot);
        rc = options.plot == NULL || hotspot_draw(&options, &hotspot) == 0 ? EXIT_DONE
                                                                           : EXIT_ERROR;
    }
    free(hotspot.loads[0]);
    free(hotspot.loads[1]);
    free(hotspot.moves);
    free(hotspot.shifts);
    return rc;
}
