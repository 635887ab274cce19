#include "bench/main.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/compare.h"
#include "bench/driver.h"
#include "bench/entangle/main.h"
#include "bench/export.h"
#include "bench/limit.h"
#include "bench/manycore/live.h"
#include "bench/manycore/main.h"
#include "bench/options.h"
#include "bench/plot.h"
#include "bench/report.h"
#include "bench/side.h"
#include "bench/wormholes.h"

/* ---- running ------------------------------------------------------------------------- */

/* Set by a signal, read between orders. */
static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    interrupted = signal_number;
}

struct session {
    const struct bench_options *options;
    struct bench_probe probe;
    struct bench_probe_result *probed; /* scratch */
    const char *directory;             /* ours: made by this run */
    uint32_t directories;              /* names for databases */
    struct bench_row *rows;
    struct bench_result *result; /* scratch: too big for the stack */
    struct bench_result *best;   /* likewise */
    char doing[160];             /* on the status line ... */
    uint64_t seen_ns;            /* ... and what it last said */
    uint64_t seen_operations;
};

/* The status line, on a terminal only. `what` stays until the next; "": nothing is going on. */
static void progress(struct session *session, const char *what)
{
    if (isatty(STDERR_FILENO)) {
        snprintf(session->doing, sizeof(session->doing), "%s", what);
        fprintf(stderr, "\r\033[K%s", what);
        fflush(stderr);
    }
}

static void progress_run(struct session *session, const struct bench_row *row,
                         const char *what, uint32_t repeat)
{
    char text[160];

    snprintf(text, sizeof(text), "%s: %s, %s %u of %u", row->engine->name,
             row->cell->workload->name, what, repeat + 1, session->options->repeats);
    progress(session, text);
}

/* Once a second while a run is waited for: how far it is, and how fast in the last second. */
static void progress_tick(void *context)
{
    struct session *session = context;
    struct bench_status *status = session->options->config.status;
    uint64_t elapsed_ns;
    uint64_t operations;

    if (!isatty(STDERR_FILENO) || status == NULL) {
        return;
    }
    elapsed_ns = atomic_load_explicit(&status->elapsed_ns, memory_order_relaxed);
    operations = atomic_load_explicit(&status->operations, memory_order_relaxed);
    if (elapsed_ns > session->seen_ns && operations >= session->seen_operations) {
        fprintf(stderr, "\r\033[K%s: %.0f s, %llu operations, %.1f thousand/s",
                session->doing, (double)elapsed_ns / 1e9, (unsigned long long)operations,
                (double)(operations - session->seen_operations) * 1e6 /
                    (double)(elapsed_ns - session->seen_ns));
        fflush(stderr);
    }
    session->seen_ns = elapsed_ns;
    session->seen_operations = operations;
}

static struct bench_row *session_row(struct session *session, uint32_t cell,
                                     uint32_t engine)
{
    return &session->rows[cell * session->options->engine_count + engine];
}

/* What a kept database was loaded with, in a file beside it. */
static void database_describe(const struct bench_options *options, char *name,
                              size_t name_bytes, char *text, size_t text_bytes)
{
    const struct bench_config *config = &options->config;
    char sizes[48];

    snprintf(name, name_bytes, "%.480s.loaded", options->database);
    snprintf(text, text_bytes, "%s %llu records of %zu + %s bytes, ratio %u, keys %s\n",
             options->engines[0]->name, (unsigned long long)config->records,
             config->key_bytes, bench_sizes_text(config, sizes, sizeof(sizes)),
             config->ratio_permille,
             config->cells[0].key_form == BENCH_KEY_DECIMAL ? "decimal" : "scattered");
}

/* Whether it is there, loaded: 1 yes, 0 no, -1 it was loaded otherwise. */
static int database_found(const struct bench_options *options)
{
    char name[512];
    char wanted[256];
    char found[256] = "";
    FILE *file;

    database_describe(options, name, sizeof(name), wanted, sizeof(wanted));
    file = fopen(name, "re");
    if (file == NULL) {
        return 0;
    }
    if (fgets(found, sizeof(found), file) == NULL) {
        found[0] = '\0';
    }
    fclose(file);
    if (strcmp(found, wanted) == 0) {
        return 1;
    }
    fprintf(stderr, "warp bench: %s was loaded with: %.240s", options->database, found);
    return -1;
}

static bool database_note(const struct bench_options *options)
{
    char name[512];
    char text[256];
    FILE *file;
    bool fine;

    database_describe(options, name, sizeof(name), text, sizeof(text));
    file = fopen(name, "we");
    fine = file != NULL && fputs(text, file) >= 0;
    return file != NULL && fclose(file) == 0 && fine;
}

static bool session_start(struct session *session, struct bench_side *side, uint32_t engine,
                          const struct bench_cell *cells, uint32_t cell_count)
{
    const struct bench_options *options = session->options;
    char path[512];
    char text[64];

    if (options->database != NULL) {
        snprintf(path, sizeof(path), "%.480s", options->database);
    } else {
        snprintf(path, sizeof(path), "%.400s/%s-%u", session->directory,
                 options->engines[engine]->name, session->directories++);
    }
    memset(session->result, 0, sizeof(*session->result));
    snprintf(text, sizeof(text), "%s: loading", options->engines[engine]->name);
    progress(session, text);
    if (bench_side_start(side, options->engines[engine], &options->config, cells,
                         cell_count, path, session->result) != 0) {
        return false;
    }
    side->waiting = progress_tick;
    side->waiting_context = session;
    if (bench_side_load(side, session->result) != 0) {
        return false;
    }
    if (options->database != NULL && !database_note(options)) {
        snprintf(session->result->message, sizeof(session->result->message),
                 "%.300s.loaded: %s", options->database, strerror(errno));
        return false;
    }
    return true;
}

/* Whether a run kept up with the rate and met the bound. */
static bool limit_met(const struct bench_config *config, const struct bench_row *row,
                      const struct bench_result *result, double rate, uint64_t *p99_ns)
{
    struct bench_row *sum = calloc(1, sizeof(*sum));
    bool met;

    *p99_ns = 0;
    if (sum == NULL) {
        return false;
    }
    bench_row_begin(sum, row->engine, row->cell);
    bench_row_add_run(sum, result);
    *p99_ns = (uint64_t)bench_row_median(sum, BENCH_METRIC_P99);
    /* Where nothing was done there is no p99 to meet it. */
    met = rate > 0.0 && result->operations > 0 && *p99_ns <= config->limit_p99_ns &&
          result->unissued * 100 <= result->operations;
    free(sum);
    return met;
}

/* The search for a rate; the result is that of the best trial. */
static bool session_limit(struct session *session, struct bench_side *side,
                          uint32_t cell_index, uint32_t repeat, struct bench_row *row)
{
    const struct bench_config *config = &session->options->config;
    struct bench_limit limit;
    double rate;

    bench_limit_init(&limit);
    while (!interrupted && bench_limit_next(&limit, &rate)) {
        struct bench_limit_trial trial = {.rate = rate};
        /* Each trial draws as a repeat of its own would. */
        uint32_t draws = repeat * BENCH_LIMIT_TRIALS_MAX + limit.trial_count;

        if (bench_side_run_at(side, cell_index, draws, rate, session->result) != 0) {
            return false;
        }
        trial.measured = session->result->duration_ns > 0
                             ? (double)session->result->operations * 1e9 /
                                   (double)session->result->duration_ns
                             : 0.0;
        trial.met = limit_met(config, row, session->result, rate, &trial.p99_ns);
        if (bench_limit_note(&limit, &trial)) {
            *session->best = *session->result;
        }
    }
    bench_row_add_limit(row, &limit);
    if (limit.trial_count == 0) {
        return false; /* interrupted */
    }
    if (limit.met == 0.0) {
        /* The engine is well, and can go on with other work. */
        char message[256];

        snprintf(message, sizeof(message),
                 "%s: no rate meets a p99 of %.1f us: at %.0f op/s it is %.1f us",
                 row->engine->name, (double)config->limit_p99_ns / 1e3,
                 limit.trials[limit.trial_count - 1].rate,
                 (double)limit.trials[limit.trial_count - 1].p99_ns / 1e3);
        bench_row_fail(row, message);
    } else {
        *session->result = *session->best;
    }
    return true;
}

/* One run, with the device's probe beside it. */
static bool session_run_cell(struct session *session, struct bench_side *side,
                             uint32_t cell_index, uint32_t repeat, struct bench_row *row)
{
    bool probing = session->options->probe;
    bool fine;

    if (probing && bench_probe_start(&session->probe) != 0) {
        bench_row_fail(row, "the probe of the device cannot be started");
        return false;
    }
    fine = session->options->config.limit_p99_ns != 0
               ? session_limit(session, side, cell_index, repeat, row)
               : bench_side_run(side, cell_index, repeat, session->result) == 0;
    if (probing) {
        bench_probe_stop(&session->probe, session->probed);
    }
    if (fine && !row->failed) {
        bench_row_add_run(row, session->result);
        if (probing) {
            bench_row_add_probe(row, session->probed);
        }
    }
    return fine;
}

/* One cell that needs a database of its own in every repeat. */
static void session_fresh_cell(struct session *session, uint32_t cell_index)
{
    const struct bench_options *options = session->options;
    const struct bench_cell *cell = &options->config.cells[cell_index];

    for (uint32_t repeat = 0; repeat < options->repeats && !interrupted; repeat++) {
        for (uint32_t engine = 0; engine < options->engine_count && !interrupted;
             engine++) {
            struct bench_row *row = session_row(session, cell_index, engine);
            struct bench_side side;
            bool fine;

            if (row->failed) {
                continue;
            }
            fine = session_start(session, &side, engine, cell, 1);
            if (fine) {
                bench_row_add_load(row, session->result);
                progress_run(session, row, "run", repeat);
                fine = session_run_cell(session, &side, 0, repeat, row);
            }
            if (fine) {
                fine = bench_side_finish(&side, session->result) == 0;
                bench_row_add_check(row, session->result);
            }
            if (!fine) {
                bench_row_fail(row, session->result->message);
            }
            bench_side_stop(&side, options->keep);
        }
    }
}

/* All cells that share one loaded database: engines take turns within each cell. */
static void session_shared_cells(struct session *session, const uint32_t *cells,
                                 uint32_t cell_count)
{
    const struct bench_options *options = session->options;
    struct bench_side sides[BENCH_ENGINES_MAX];
    struct bench_cell own[BENCH_CELLS_MAX];
    bool fine[BENCH_ENGINES_MAX] = {false};

    for (uint32_t i = 0; i < cell_count; i++) {
        own[i] = options->config.cells[cells[i]];
    }
    memset(sides, 0, sizeof(sides));
    for (uint32_t engine = 0; engine < options->engine_count && !interrupted; engine++) {
        fine[engine] = session_start(session, &sides[engine], engine, own, cell_count);
        for (uint32_t i = 0; i < cell_count; i++) {
            struct bench_row *row = session_row(session, cells[i], engine);

            bench_row_add_load(row, session->result);
            if (!fine[engine]) {
                bench_row_fail(row, session->result->message);
            }
        }
    }
    for (uint32_t i = 0; i < cell_count; i++) {
        for (uint32_t repeat = 0; repeat < options->repeats; repeat++) {
            for (uint32_t engine = 0; engine < options->engine_count && !interrupted;
                 engine++) {
                struct bench_row *row = session_row(session, cells[i], engine);

                if (!fine[engine]) {
                    bench_row_fail(row, "it had failed before");
                    continue;
                }
                progress_run(session, row, "run", repeat);
                fine[engine] = session_run_cell(session, &sides[engine], i, repeat, row);
                if (!fine[engine]) {
                    bench_row_fail(row, session->result->message);
                }
            }
        }
    }
    for (uint32_t engine = 0; engine < options->engine_count; engine++) {
        if (fine[engine] && !interrupted) {
            struct bench_row *row = session_row(session, cells[cell_count - 1], engine);

            progress_run(session, row, "check", options->repeats - 1);
            if (bench_side_finish(&sides[engine], session->result) != 0) {
                bench_row_fail(row, session->result->message);
            }
            bench_row_add_check(row, session->result);
        }
        if (sides[engine].engine != NULL) {
            bench_side_stop(&sides[engine], options->keep || options->database != NULL);
        }
    }
}

/* Cells with different key forms cannot share a database. */
static void session_run(struct session *session)
{
    const struct bench_options *options = session->options;
    uint32_t shared[BENCH_CELLS_MAX];
    uint32_t shared_count = 0;

    for (uint32_t i = 0; i < options->config.cell_count && !interrupted; i++) {
        if (options->fresh || options->config.cells[i].workload->fresh) {
            session_fresh_cell(session, i);
        } else {
            shared[shared_count++] = i;
        }
    }
    if (shared_count > 0 && !interrupted) {
        session_shared_cells(session, shared, shared_count);
    }
    progress(session, "");
}

/* ---- results ------------------------------------------------------------------------- */

/* To a file, or to standard output (-). */
static int write_report(const struct bench_report *report, const char *name,
                        int (*write)(const struct bench_report *report, FILE *file))
{
    FILE *file = strcmp(name, "-") == 0 ? stdout : fopen(name, "we");
    int rc;

    if (file == NULL) {
        fprintf(stderr, "warp bench: %s: %s\n", name, strerror(errno));
        return BENCH_EXIT_ERROR;
    }
    rc = write(report, file);
    rc = (file == stdout ? fflush(file) : fclose(file)) != 0 || rc != 0 ? BENCH_EXIT_ERROR
                                                                        : 0;
    if (rc != 0) {
        fprintf(stderr, "warp bench: %s: %s\n", name, strerror(errno));
    }
    return rc;
}

static int write_lines(const struct bench_report *report, const char *name)
{
    FILE *file = fopen(name, "ae");

    if (file == NULL || bench_export_lines(report, file) != 0 || fclose(file) != 0) {
        fprintf(stderr, "warp bench: %s: %s\n", name, strerror(errno));
        return BENCH_EXIT_ERROR;
    }
    return 0;
}

/* FILE for one result; FILE.engine-workload-threads for several. */
static int write_hgrm(const struct bench_report *report, const char *name)
{
    uint32_t count = report->config->cell_count * report->engine_count;

    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &report->rows[i];
        char path[512];
        FILE *file;

        snprintf(path, sizeof(path), "%.400s", name);
        if (count > 1) {
            snprintf(path, sizeof(path), "%.400s.%s-%s-%u", name, row->engine->name,
                     row->cell->workload->name, row->cell->threads);
        }
        file = fopen(path, "we");
        if (file == NULL || bench_export_hgrm(row, file) != 0 || fclose(file) != 0) {
            fprintf(stderr, "warp bench: %s: %s\n", path, strerror(errno));
            return BENCH_EXIT_ERROR;
        }
    }
    return 0;
}

/* PREFIX-workload-threads-latency.svg and -throughput.svg, all engines in each. */
static int write_plots(const struct bench_report *report, const char *prefix)
{
    for (uint32_t cell = 0; cell < report->config->cell_count; cell++) {
        const struct bench_row *rows = &report->rows[cell * report->engine_count];

        for (uint32_t kind = 0; kind < 2; kind++) {
            char path[512];
            FILE *file;
            int rc = -1;

            snprintf(path, sizeof(path), "%.400s-%s-%u-%s.svg", prefix,
                     rows[0].cell->workload->name, rows[0].cell->threads,
                     kind == 0 ? "latency" : "throughput");
            file = fopen(path, "we");
            if (file != NULL) {
                rc = kind == 0 ? bench_plot_latency(report->config, rows,
                                                    report->engine_count, file)
                               : bench_plot_throughput(report->config, rows,
                                                       report->engine_count, file);
                rc = fclose(file) != 0 ? -1 : rc;
            }
            if (rc != 0) {
                fprintf(stderr, "warp bench: %s: %s\n", path, strerror(errno));
                return BENCH_EXIT_ERROR;
            }
        }
    }
    return 0;
}

static int report_all(const struct bench_options *options,
                      const struct bench_report *report)
{
    uint32_t count = report->config->cell_count * report->engine_count;
    int rc = BENCH_EXIT_DONE;

    if ((options->json == NULL || strcmp(options->json, "-") != 0) &&
        (options->csv == NULL || strcmp(options->csv, "-") != 0)) {
        bench_report_text(report, stdout);
        fflush(stdout);
    }
    if (options->json != NULL &&
        write_report(report, options->json, bench_export_json) != 0) {
        rc = BENCH_EXIT_ERROR;
    }
    if (options->csv != NULL && write_report(report, options->csv, bench_export_csv) != 0) {
        rc = BENCH_EXIT_ERROR;
    }
    if (options->plot != NULL && write_plots(report, options->plot) != 0) {
        rc = BENCH_EXIT_ERROR;
    }
    if (options->lines != NULL && write_lines(report, options->lines) != 0) {
        rc = BENCH_EXIT_ERROR;
    }
    if (options->hgrm != NULL && write_hgrm(report, options->hgrm) != 0) {
        rc = BENCH_EXIT_ERROR;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &report->rows[i];

        if (row->failed) {
            fprintf(stderr, "warp bench: %s\n", row->message);
            rc = BENCH_EXIT_ERROR;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct bench_row *row = &report->rows[i];

        if (row->mismatched + row->missing + row->stale > 0) {
            fprintf(stderr, "warp bench: wrong data: %s\n", row->fault);
            return BENCH_EXIT_WRONG; /* says more than an error */
        }
    }
    return rc;
}

static int run(struct bench_options *options)
{
    uint32_t count = options->config.cell_count * options->engine_count;
    struct bench_environment environment;
    struct session session = {.options = options};
    struct bench_report report = {.config = &options->config,
                                  .environment = &environment,
                                  .engine_count = options->engine_count,
                                  .repeats = options->repeats};
    struct sigaction action = {.sa_handler = interrupt};
    struct sigaction old_interrupt;
    struct sigaction old_terminate;
    struct sigaction old_pipe;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    char directory[512];
    char message[384] = "";
    bool made;
    int found;
    int rc = BENCH_EXIT_ERROR;

    if (options->database != NULL) {
        found = database_found(options);
        if (found < 0) {
            return BENCH_EXIT_ERROR;
        }
        options->config.existing = found > 0;
    }
    made = mkdir(options->path, 0777) == 0;
    if (!made && errno != EEXIST) {
        fprintf(stderr, "warp bench: %s: %s\n", options->path, strerror(errno));
        return BENCH_EXIT_ERROR;
    }
    snprintf(directory, sizeof(directory), "%.400s/run-XXXXXX", options->path);
    if (mkdtemp(directory) == NULL) {
        fprintf(stderr, "warp bench: %s: %s\n", options->path, strerror(errno));
        return BENCH_EXIT_ERROR;
    }
    session.directory = directory;
    session.rows = calloc(count, sizeof(*session.rows));
    session.result = calloc(1, sizeof(*session.result));
    session.probed = calloc(1, sizeof(*session.probed));
    session.best = calloc(1, sizeof(*session.best));
    options->config.status =
        mmap(NULL, sizeof(*options->config.status), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (options->config.status == MAP_FAILED) {
        options->config.status =
            NULL; /* there is no status line, and nothing else missing */
    }
    if (session.best == NULL || session.rows == NULL || session.result == NULL ||
        session.probed == NULL) {
        fprintf(stderr, "warp bench: no memory\n");
        goto done;
    }
    for (uint32_t i = 0; i < count; i++) {
        bench_row_begin(&session.rows[i], options->engines[i % options->engine_count],
                        &options->config.cells[i / options->engine_count]);
    }
    bench_environment_fill(&environment, directory);
    if (options->probe) {
        if (bench_probe_create(&session.probe, directory, message, sizeof(message)) != 0) {
            fprintf(stderr, "warp bench: %s\n", message);
            goto done;
        }
        options->config.probe = session.probe.shared;
    }
    sigaction(SIGINT, &action, &old_interrupt);
    sigaction(SIGTERM, &action, &old_terminate);
    sigaction(SIGPIPE, &ignore, &old_pipe);
    session_run(&session);
    sigaction(SIGINT, &old_interrupt, NULL);
    sigaction(SIGTERM, &old_terminate, NULL);
    sigaction(SIGPIPE, &old_pipe, NULL);
    if (interrupted) {
        fprintf(stderr, "warp bench: interrupted\n");
        rc = 128 + (int)interrupted;
        goto done;
    }
    report.rows = session.rows;
    rc = report_all(options, &report);

done:
    if (options->config.probe != NULL) {
        options->config.probe = NULL;
        bench_probe_destroy(&session.probe);
    }
    free(session.rows);
    free(session.result);
    free(session.probed);
    free(session.best);
    if (options->config.status != NULL) {
        munmap(options->config.status, sizeof(*options->config.status));
    }
    if (!options->keep) {
        bench_environment_remove(directory);
        if (made) {
            rmdir(options->path); /* stays if others have put something there */
        }
    } else {
        fprintf(stderr, "warp bench: databases left in %s\n", directory);
    }
    return rc;
}

int warp_bench_main(int argc, char **argv)
{
    struct bench_options *options = calloc(1, sizeof(*options));
    int rc;

    if (argc > 2 && strcmp(argv[1], "gravity") == 0 && strcmp(argv[2], "--engine") == 0) {
        free(options);
        return manycore_live_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "gravity") == 0) {
        free(options);
        return manycore_gravity_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "entangle") == 0) {
        free(options);
        return entangle_bench_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "hotspot-shift") == 0) {
        free(options);
        return manycore_hotspot_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "wormholes") == 0) {
        free(options);
        return bench_wormholes_main(argc - 1, argv + 1);
    }
    if (options == NULL) {
        fprintf(stderr, "warp bench: no memory\n");
        return BENCH_EXIT_ERROR;
    }
    rc = bench_options_parse(options, argc, argv);
    if (rc == -1) {
        bench_options_usage(stdout);
        rc = BENCH_EXIT_DONE;
    } else if (rc == 0 && options->compare != NULL) {
        rc = bench_compare(options->compare, argv[optind], options->tolerance, stdout);
    } else if (rc == 0) {
        bench_clock_init(&options->config.clock);
        rc = run(options);
    }
    free(options);
    return rc;
}
