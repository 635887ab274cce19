#include "bench/plot.h"

#include <math.h>
#include <stdlib.h>

#define PLOT_WIDTH   860
#define PLOT_HEIGHT  470
#define PLOT_LEFT    80.0
#define PLOT_RIGHT   690.0
#define PLOT_TOP     76.0
#define PLOT_BOTTOM  410.0
#define PLOT_COLOURS 8u
#define PLOT_NINES   6  /* the axis ends at 99.9999 at most */
#define PLOT_STEPS   24 /* points of a line per nine */

static const char plot_head[] =
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' "
    "role='img'>\n<title>%s: %s</title>\n<style>\n"
    "text{font-family:system-ui,'DejaVu Sans',Helvetica,Arial,sans-serif;font-size:13px;"
    "fill:#24292f}\n.back{fill:#ffffff}.title{font-size:18px;font-weight:600}"
    ".small{font-size:12px;fill:#57606a}.grid{stroke:#d8dee4;stroke-width:1}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    ".s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}"
    ".s4{stroke:#b08900}.s5{stroke:#56b4e9}.s6{stroke:#7a4b2a}.s7{stroke:#6e7781}\n"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}"
    ".small{fill:#9198a1}.grid{stroke:#2a313c}\n"
    ".s0{stroke:#4aa8ff}.s1{stroke:#ff8a3d}.s2{stroke:#2fd39b}.s3{stroke:#f29ccb}"
    ".s4{stroke:#e3c341}.s5{stroke:#9fdcff}.s6{stroke:#c99166}.s7{stroke:#aab4bf}}\n"
    "</style>\n<rect class='back' width='%d' height='%d'/>\n"
    "<text class='title' x='20' y='32'>%s</text>\n";

static void plot_begin(const struct bench_config *config, const struct bench_row *row,
                       const char *what, FILE *file)
{
    char sizes[48];

    fprintf(file, plot_head, PLOT_WIDTH, PLOT_HEIGHT, PLOT_WIDTH, PLOT_HEIGHT,
            row->cell->workload->name, what, PLOT_WIDTH, PLOT_HEIGHT, what);
    fprintf(file,
            "<text class='small' x='20' y='54'>%s, %s, %llu records of %zu + %s bytes, %u "
            "thread%s",
            row->cell->workload->name, bench_durability_name(config->durability),
            (unsigned long long)config->records, config->key_bytes,
            bench_sizes_text(config, sizes, sizeof(sizes)), row->cell->threads,
            row->cell->threads == 1 ? "" : "s");
    if (row->cell->depth > 1) {
        fprintf(file, ", %u in flight each", row->cell->depth);
    }
    fputs("</text>\n", file);
}

static void plot_label(FILE *file, double x, double y, const char *anchor, const char *text)
{
    fprintf(file, "<text class='small' x='%.1f' y='%.1f' text-anchor='%s'>%s</text>\n", x,
            y, anchor, text);
}

static void plot_grid_x(FILE *file, double x, const char *text)
{
    fprintf(file, "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n", x, x,
            PLOT_TOP, PLOT_BOTTOM);
    plot_label(file, x, PLOT_BOTTOM + 18, "middle", text);
}

static void plot_grid_y(FILE *file, double y, const char *text)
{
    fprintf(file, "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n",
            PLOT_LEFT, PLOT_RIGHT, y, y);
    plot_label(file, PLOT_LEFT - 8, y + 4, "end", text);
}

static void plot_legend(FILE *file, const struct bench_row *rows, uint32_t count)
{
    double y = PLOT_TOP + 10;

    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].repeat_count == 0) {
            continue;
        }
        fprintf(file,
                "<line class='line s%u' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
                "<text x='%.1f' y='%.1f'>%s</text>\n",
                (unsigned int)(i % PLOT_COLOURS), PLOT_RIGHT + 18, PLOT_RIGHT + 42, y - 4,
                y - 4, PLOT_RIGHT + 48, y, rows[i].engine->name);
        y += 22;
    }
}

static int plot_end(FILE *file, const char *below, const char *beside)
{
    plot_label(file, (PLOT_LEFT + PLOT_RIGHT) / 2, PLOT_BOTTOM + 42, "middle", below);
    fprintf(file,
            "<text class='small' transform='translate(22 %.1f) rotate(-90)' "
            "text-anchor='middle'>%s</text>\n</svg>\n",
            (PLOT_TOP + PLOT_BOTTOM) / 2, beside);
    return ferror(file) ? -1 : 0;
}

/* ---- latency by percentile ----------------------------------------------------------- */

/* All kinds that count, over all repeats; NULL without memory. */
static struct bench_histogram *plot_histograms(const struct bench_row *rows, uint32_t count)
{
    struct bench_histogram *all = calloc(count, sizeof(*all));

    for (uint32_t i = 0; all != NULL && i < count; i++) {
        for (uint32_t kind = 0; kind < BENCH_KIND_COUNT; kind++) {
            if (!rows[i].cell->workload->extra_writer || kind != BENCH_PUT) {
                bench_histogram_merge(&all[i], &rows[i].latency[kind]);
            }
        }
    }
    return all;
}

static double plot_log_y(double us, double low, double high)
{
    double share = (log10(us) - low) / (high - low);

    return PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * (share < 0.0 ? 0.0 : share);
}

static void plot_line_latency(FILE *file, const struct bench_histogram *histogram,
                              uint32_t colour, int nines, double low, double high)
{
    fprintf(file, "<polyline class='line s%u' points='", (unsigned int)colour);
    for (int i = 0; i <= nines * PLOT_STEPS; i++) {
        double part = (double)i / PLOT_STEPS; /* in nines */
        double percentile = 100.0 * (1.0 - pow(10.0, -part));
        uint64_t ns = bench_histogram_percentile(histogram, percentile);

        /* Further to the right there would be less than one operation. */
        if (pow(10.0, part) > (double)histogram->count) {
            break;
        }
        fprintf(file, "%.1f,%.1f ", PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * part / nines,
                plot_log_y((double)(ns > 0 ? ns : 1) / 1e3, low, high));
    }
    fputs("'/>\n", file);
}

int bench_plot_latency(const struct bench_config *config, const struct bench_row *rows,
                       uint32_t count, FILE *file)
{
    static const char *const names[] = {"0",       "90 %",     "99 %",     "99.9 %",
                                        "99.99 %", "99.999 %", "99.9999 %"};
    struct bench_histogram *all = plot_histograms(rows, count);
    uint64_t least = UINT64_MAX;
    uint64_t most = 1;
    uint64_t operations = 1;
    int nines = 1;
    double low;
    double high;

    if (all == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].count > 0) {
            least = all[i].min_ns < least ? all[i].min_ns : least;
            most = all[i].max_ns > most ? all[i].max_ns : most;
            operations = all[i].count > operations ? all[i].count : operations;
        }
    }
    least = least == UINT64_MAX || least == 0 ? 1 : least;
    while (nines < PLOT_NINES && pow(10.0, nines) < (double)operations) {
        nines++;
    }
    low = floor(log10((double)least / 1e3));
    high = ceil(log10((double)most / 1e3));
    high = high > low ? high : low + 1.0;
    plot_begin(config, &rows[0],
               config->rate > 0.0 || config->limit_p99_ns != 0
                   ? "latency from the intended start, by percentile"
                   : "latency by percentile",
               file);
    for (int i = 0; i <= nines; i++) {
        plot_grid_x(file, PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * i / nines, names[i]);
    }
    for (int power = (int)low; power <= (int)high; power++) {
        char text[32];

        snprintf(text, sizeof(text),
                 power >= 6   ? "%.0f s"
                 : power >= 3 ? "%.0f ms"
                 : power >= 0 ? "%.0f us"
                              : "%.3g us",
                 pow(10.0, power - (power >= 6   ? 6
                                    : power >= 3 ? 3
                                                 : 0)));
        plot_grid_y(file, plot_log_y(pow(10.0, power), low, high), text);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].count > 0) {
            plot_line_latency(file, &all[i], i % PLOT_COLOURS, nines, low, high);
        }
    }
    free(all);
    plot_legend(file, rows, count);
    return plot_end(file, "percentile", "latency");
}

/* ---- rate over time ------------------------------------------------------------------ */

/* A round step so that an axis has some five of them. */
static double plot_step(double most)
{
    double power = pow(10.0, floor(log10(most)));
    double part = most / power;

    return power * (part < 1.5 ? 0.25 : part < 3.0 ? 0.5 : part < 6.5 ? 1.0 : 2.0);
}

static double plot_time_x(uint64_t elapsed_ns, double seconds)
{
    return PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * ((double)elapsed_ns / 1e9) / seconds;
}

int bench_plot_throughput(const struct bench_config *config, const struct bench_row *rows,
                          uint32_t count, FILE *file)
{
    double most = 1e-9;
    double seconds = 1e-9;
    double step;

    for (uint32_t i = 0; i < count; i++) {
        const struct bench_timeline *timeline = &rows[i].timeline;

        for (uint32_t at = 0; at < timeline->count; at++) {
            most = fmax(most, bench_timeline_rate(timeline, at) / 1e3);
            seconds = fmax(seconds, (double)timeline->elapsed_ns[at] / 1e9);
        }
    }
    most *= 1.05;
    plot_begin(config, &rows[0], "operations over time, the last run", file);
    step = plot_step(most);
    for (uint32_t i = 0; i * step <= most; i++) {
        char text[32];

        snprintf(text, sizeof(text), "%g", i * step);
        plot_grid_y(file, PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * (i * step) / most, text);
    }
    step = plot_step(seconds);
    for (uint32_t i = 0; i * step <= seconds * 1.0001; i++) {
        char text[32];

        snprintf(text, sizeof(text), "%g s", i * step);
        plot_grid_x(file, PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * (i * step) / seconds,
                    text);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct bench_timeline *timeline = &rows[i].timeline;

        if (timeline->count == 0) {
            continue;
        }
        fprintf(file, "<polyline class='line s%u' points='",
                (unsigned int)(i % PLOT_COLOURS));
        /* A rate is the mean of the stretch before its note: a step. */
        for (uint32_t at = 0; at < timeline->count; at++) {
            double y = PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) *
                                         (bench_timeline_rate(timeline, at) / 1e3) / most;
            uint64_t from_ns = at > 0 ? timeline->elapsed_ns[at - 1] : 0;

            fprintf(file, "%.1f,%.1f %.1f,%.1f ", plot_time_x(from_ns, seconds), y,
                    plot_time_x(timeline->elapsed_ns[at], seconds), y);
        }
        fputs("'/>\n", file);
    }
    plot_legend(file, rows, count);
    return plot_end(file, "time", "thousand operations per second");
}
