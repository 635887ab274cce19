/*
 * tools/inspect/meter.h - how far a long read is: a bar on a terminal, and a bound on its speed.
 *
 * Threads:   one.
 * Lifetime:  the caller's struct.
 * Units:     bytes; bytes a second.
 * Ordering:  none.
 * Errors:    none.
 * Cost:      a look at the clock per call; it sleeps where the rate says so.
 */
#ifndef TOOLS_INSPECT_METER_H
#define TOOLS_INSPECT_METER_H

#include <stdbool.h>
#include <stdint.h>

struct meter {
    uint64_t total, done;
    uint64_t rate; /* bytes a second; 0: as fast as it goes */
    bool quiet;    /* no bar, whatever standard error is */
    uint64_t began_ns, bar_ns;
    bool bar_shown;
};

void meter_init(struct meter *meter);
/* So many bytes more: moves the bar (only if standard error is a terminal), and waits. */
void meter_add(struct meter *meter, uint64_t bytes);
/* Before anything else is printed. */
void meter_clear(struct meter *meter);
uint64_t meter_passed_ns(const struct meter *meter);

/* "8" as megabytes a second, or as `--rate`, "8M", as bytes. False: no such number. */
bool meter_read_mb(const char *text, uint64_t *rate);
bool meter_read_bytes(const char *text, uint64_t *rate);

#endif
