#include "bench/engines/quiet.h"

#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#define QUIET_LOOK_MS  50
#define QUIET_LOOKS    4u
#define QUIET_PERMILLE 20 /* of a CPU is nothing */
#define QUIET_END_MS   180000

static int64_t quiet_cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

void bench_quiet_wait(void)
{
    const struct timespec nap = {0, QUIET_LOOK_MS * 1000000};
    int64_t before = quiet_cpu_us();
    uint32_t quiet = 0;

    for (int waited_ms = 0; quiet < QUIET_LOOKS && waited_ms < QUIET_END_MS;
         waited_ms += QUIET_LOOK_MS) {
        int64_t now;

        nanosleep(&nap, NULL);
        now = quiet_cpu_us();
        quiet = now - before < QUIET_LOOK_MS * QUIET_PERMILLE ? quiet + 1 : 0;
        before = now;
    }
}
