/* The bar goes to standard error, and only there where somebody looks at it. */
#include "tools/inspect/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/text.h"

#define METER_BAR_NS    100000000u
#define METER_BAR_WIDTH 40u

void meter_init(struct meter *meter)
{
    memset(meter, 0, sizeof(*meter));
    meter->began_ns = meter->bar_ns = warp_clock_ns(warp_clock_system());
}

void meter_clear(struct meter *meter)
{
    if (meter->bar_shown) {
        fputs("\r\033[K", stderr);
        meter->bar_shown = false;
    }
}

static void meter_bar(struct meter *meter, uint64_t now_ns)
{
    uint64_t total = meter->total, done = meter->done < total ? meter->done : total;
    uint32_t filled, i;

    if (meter->quiet || total == 0 || now_ns - meter->bar_ns < METER_BAR_NS ||
        !isatty(STDERR_FILENO)) {
        return;
    }
    meter->bar_ns = now_ns;
    meter->bar_shown = true;
    filled = (uint32_t)((double)done / (double)total * METER_BAR_WIDTH);
    fputs("\r[", stderr);
    for (i = 0; i < METER_BAR_WIDTH; i++) {
        fputc(i < filled ? '#' : '.', stderr);
    }
    fprintf(stderr, "] %3u %%", (unsigned)((double)done * 100.0 / (double)total));
    fflush(stderr);
}

uint64_t meter_passed_ns(const struct meter *meter)
{
    return warp_clock_ns(warp_clock_system()) - meter->began_ns;
}

void meter_add(struct meter *meter, uint64_t bytes)
{
    uint64_t now_ns = warp_clock_ns(warp_clock_system());

    meter->done += bytes;
    meter_bar(meter, now_ns);
    if (meter->rate > 0) {
        /* So long it should have taken until here. */
        double due_ns = (double)meter->done * 1e9 / (double)meter->rate;
        double passed_ns = (double)(now_ns - meter->began_ns);

        if (due_ns > passed_ns) {
            uint64_t wait_ns = (uint64_t)(due_ns - passed_ns);
            struct timespec wait = {(time_t)(wait_ns / 1000000000u),
                                    (long)(wait_ns % 1000000000u)};

            nanosleep(&wait, NULL);
        }
    }
}

bool meter_read_mb(const char *text, uint64_t *rate)
{
    char *end = NULL;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !(number > 0) || number > 1e9) {
        return false;
    }
    *rate = (uint64_t)(number * 1e6);
    return *rate > 0;
}

bool meter_read_bytes(const char *text, uint64_t *rate)
{
    return warp_text_read_size(text, rate) && *rate > 0;
}
