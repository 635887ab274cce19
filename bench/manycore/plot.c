#include "bench/manycore/plot.h"

#include <math.h>

/* Where things are, in the units of the drawing. */
#define PLOT_WIDTH     1010
#define PLOT_HEIGHT    800
#define PLOT_LEFT      70.0
#define PLOT_RIGHT     868.0
#define PLOT_PANEL     225.0
#define PLOT_FIRST     112.0
#define PLOT_SECOND    402.0
#define PLOT_MOVES     694.0
#define PLOT_MOVES_TOP 48.0
#define PLOT_COLOURS   8u
#define PLOT_NAMED     16u /* shards that the legend names */

static const char plot_style[] =
    "<style>\n"
    "text{font-family:system-ui,'DejaVu Sans',Helvetica,Arial,sans-serif;font-size:13px;"
    "fill:#24292f}\n"
    ".back{fill:#ffffff}.title{font-size:20px;font-weight:600}.small{font-size:12px;"
    "fill:#57606a}.head{font-size:15px;font-weight:600}\n"
    ".grid{stroke:#d8dee4;stroke-width:1}.mean{stroke:#57606a;stroke-width:1;"
    "stroke-dasharray:6 4}.shift{stroke:#8250df;stroke-width:1;stroke-dasharray:2 3}"
    ".where{font-size:11px;fill:#8250df}\n"
    ".line{fill:none;stroke-width:1.6;stroke-linejoin:round}.bar{fill:#24292f}\n"
    ".s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}"
    ".s4{stroke:#b08900}.s5{stroke:#56b4e9}.s6{stroke:#7a4b2a}.s7{stroke:#6e7781}\n"
    "@media (prefers-color-scheme:dark){\n"
    "text{fill:#e6edf3}.back{fill:#0d1117}.small{fill:#9198a1}.grid{stroke:#2a313c}"
    ".mean{stroke:#9198a1}.shift{stroke:#bc8cff}.where{fill:#bc8cff}.bar{fill:#e6edf3}\n"
    ".s0{stroke:#4aa8ff}.s1{stroke:#ff8a3d}.s2{stroke:#2fd39b}.s3{stroke:#f29ccb}"
    ".s4{stroke:#e3c341}.s5{stroke:#9fdcff}.s6{stroke:#c99166}.s7{stroke:#aab4bf}\n"
    "}\n</style>\n";

static double plot_x(const struct manycore_plot *plot, double epoch)
{
    return PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * epoch / plot->epochs;
}

/* A round step so that the axis has some five of them. */
static double plot_step(double most)
{
    double power = pow(10, floor(log10(most)));
    double part = most / power;

    return power * (part < 1.5 ? 0.25 : part < 3 ? 0.5 : part < 6.5 ? 1 : 2);
}

static double plot_most(const struct manycore_plot *plot)
{
    uint64_t count = (uint64_t)plot->epochs * plot->shard_count, i;
    double most = 1.2;

    for (i = 0; i < count; i++) {
        most = plot->without[i] > most ? plot->without[i] : most;
        most = plot->with[i] > most ? plot->with[i] : most;
    }
    return most * 1.05;
}

static void plot_time_axis(FILE *file, const struct manycore_plot *plot, double y)
{
    double seconds = plot->epochs * plot->epoch_s;
    double step = plot_step(seconds);
    double at;

    for (at = 0; at <= seconds * 1.0001; at += step) {
        fprintf(file,
                "<text class='small' x='%.1f' y='%.1f' text-anchor='middle'>%g s</text>\n",
                plot_x(plot, at / plot->epoch_s), y, at);
    }
}

static void plot_shifts(FILE *file, const struct manycore_plot *plot, double top,
                        double bottom, int named)
{
    uint32_t i;

    for (i = 0; i < plot->shift_count; i++) {
        double x = plot_x(plot, plot->shifts[i].epoch);

        fprintf(file, "<line class='shift' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n", x,
                x, top, bottom);
        if (named) {
            fprintf(file, "<text class='where' x='%.1f' y='%.1f'>hot: shard %u</text>\n",
                    x + 3, bottom - 6, (unsigned int)plot->shifts[i].shard);
        }
    }
}

static void plot_panel(FILE *file, const struct manycore_plot *plot, const float *loads,
                       double top, double most, const char *head, const char *note)
{
    double step = plot_step(most);
    double at;
    uint32_t shard, epoch;

    fprintf(file, "<text class='head' x='%.1f' y='%.1f'>%s</text>\n", PLOT_LEFT, top - 10,
            head);
    fprintf(file, "<text class='small' x='%.1f' y='%.1f' text-anchor='end'>%s</text>\n",
            PLOT_RIGHT, top - 10, note);
    for (at = 0; at <= most; at += step) {
        double y = top + PLOT_PANEL * (1 - at / most);

        fprintf(file,
                "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
                "<text class='small' x='%.1f' y='%.1f' text-anchor='end'>%g</text>\n",
                PLOT_LEFT, PLOT_RIGHT, y, y, PLOT_LEFT - 8, y + 4, at);
    }
    plot_shifts(file, plot, top, top + PLOT_PANEL, 1);
    for (shard = 0; shard < plot->shard_count; shard++) {
        fprintf(file, "<polyline class='line s%u'%s points='",
                (unsigned int)(shard % PLOT_COLOURS),
                plot->shard_count > PLOT_COLOURS ? " opacity='0.6'" : "");
        for (epoch = 0; epoch < plot->epochs; epoch++) {
            double y = loads[(uint64_t)epoch * plot->shard_count + shard];

            fprintf(file, "%.1f,%.1f ", plot_x(plot, epoch + 0.5),
                    top + PLOT_PANEL * (1 - y / most));
        }
        fprintf(file, "'/>\n");
    }
    at = top + PLOT_PANEL * (1 - 1 / most);
    fprintf(file,
            "<line class='mean' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n"
            "<text class='small' x='%.1f' y='%.1f'>mean</text>\n",
            PLOT_LEFT, PLOT_RIGHT, at, at, PLOT_RIGHT + 5, at + 4);
    fprintf(file,
            "<text class='small' transform='translate(%.1f %.1f) rotate(-90)' "
            "text-anchor='middle'>load, of the mean</text>\n",
            PLOT_LEFT - 48, top + PLOT_PANEL / 2);
}

static void plot_legend(FILE *file, const struct manycore_plot *plot)
{
    uint32_t named = plot->shard_count < PLOT_NAMED ? plot->shard_count : PLOT_NAMED, i;
    double x = PLOT_RIGHT + 46, y = PLOT_FIRST + 14;

    fprintf(file, "<text class='head' x='%.1f' y='%.1f'>owner</text>\n", x, y - 24);
    for (i = 0; i < named; i++, y += 19) {
        fprintf(file,
                "<line class='line s%u' style='stroke-width:3' x1='%.1f' x2='%.1f' "
                "y1='%.1f' y2='%.1f'/><text x='%.1f' y='%.1f'>shard %u</text>\n",
                (unsigned int)(i % PLOT_COLOURS), x, x + 22, y - 4, y - 4, x + 28, y,
                (unsigned int)i);
    }
    if (named < plot->shard_count) {
        fprintf(file, "<text class='small' x='%.1f' y='%.1f'>and %u more</text>\n", x, y,
                (unsigned int)(plot->shard_count - named));
    }
}

static void plot_moves(FILE *file, const struct manycore_plot *plot)
{
    uint32_t most = 1, sum = 0, epoch;
    double width = (PLOT_RIGHT - PLOT_LEFT) / plot->epochs;
    double bottom = PLOT_MOVES + PLOT_MOVES_TOP;

    for (epoch = 0; epoch < plot->epochs; epoch++) {
        most = plot->moves[epoch] > most ? plot->moves[epoch] : most;
        sum += plot->moves[epoch];
    }
    fprintf(file,
            "<text class='head' x='%.1f' y='%.1f'>Slots that changed their shard</text>\n"
            "<text class='small' x='%.1f' y='%.1f' text-anchor='end'>%u in all, at most %u "
            "of 16,384 per epoch</text>\n",
            PLOT_LEFT, PLOT_MOVES - 8, PLOT_RIGHT, PLOT_MOVES - 8, (unsigned int)sum,
            (unsigned int)most);
    plot_shifts(file, plot, PLOT_MOVES, bottom, 0);
    fprintf(file,
            "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n"
            "<text class='small' x='%.1f' y='%.1f' text-anchor='end'>%u</text>\n"
            "<text class='small' x='%.1f' y='%.1f' text-anchor='end'>0</text>\n",
            PLOT_LEFT, PLOT_RIGHT, bottom, bottom, PLOT_LEFT - 8, PLOT_MOVES + 10,
            (unsigned int)most, PLOT_LEFT - 8, bottom + 4);
    for (epoch = 0; epoch < plot->epochs; epoch++) {
        double height = PLOT_MOVES_TOP * plot->moves[epoch] / most;

        if (plot->moves[epoch] > 0) {
            fprintf(file,
                    "<rect class='bar' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n",
                    plot_x(plot, epoch), bottom - height, width < 2 ? 2 : width, height);
        }
    }
}

int manycore_plot_write(FILE *file, const struct manycore_plot *plot)
{
    double most = plot_most(plot);

    fprintf(file,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' "
            "height='%d' role='img' aria-label='%s'>\n%s"
            "<rect class='back' width='%d' height='%d'/>\n"
            "<text class='title' x='%.1f' y='34'>%s</text>\n"
            "<text class='small' x='%.1f' y='56'>%s</text>\n",
            PLOT_WIDTH, PLOT_HEIGHT, PLOT_WIDTH, PLOT_HEIGHT, plot->title, plot_style,
            PLOT_WIDTH, PLOT_HEIGHT, PLOT_LEFT, plot->title, PLOT_LEFT, plot->subtitle);
    plot_panel(file, plot, plot->without, PLOT_FIRST, most, "Gravity off",
               plot->without_note);
    plot_time_axis(file, plot, PLOT_FIRST + PLOT_PANEL + 18);
    plot_panel(file, plot, plot->with, PLOT_SECOND, most, "Gravity on", plot->with_note);
    plot_time_axis(file, plot, PLOT_SECOND + PLOT_PANEL + 18);
    plot_legend(file, plot);
    plot_moves(file, plot);
    plot_time_axis(file, plot, PLOT_MOVES + PLOT_MOVES_TOP + 20);
    fprintf(file, "</svg>\n");
    return ferror(file) != 0 ? -1 : 0;
}
