#include "bench/clock.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* CPUID 0x80000007, EDX bit 8: the counter runs at one rate in every power state. */
static bool clock_counter_is_invariant(void)
{
    unsigned int eax = 0;
    unsigned int ebx = 0;
    unsigned int ecx = 0;
    unsigned int edx = 0;

    return __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
}

/* A pair of readings taken as close together as eight tries allow. */
static void clock_pair(uint64_t *ticks, uint64_t *ns)
{
    uint64_t closest = UINT64_MAX;

    for (int attempt = 0; attempt < 8; attempt++) {
        uint64_t before = __rdtsc();
        uint64_t now_ns = bench_clock_monotonic_ns();
        uint64_t after = __rdtsc();

        if (after - before < closest) {
            closest = after - before;
            *ticks = before + (after - before) / 2;
            *ns = now_ns;
        }
    }
}
#endif

void bench_clock_init(struct bench_clock *clock)
{
    clock->counter = false;
    clock->multiplier = (uint64_t)1 << 32;
#if defined(__x86_64__)
    if (clock_counter_is_invariant()) {
        struct timespec pause = {0, 20000000};
        uint64_t ticks_begin = 0;
        uint64_t ticks_end = 0;
        uint64_t ns_begin = 0;
        uint64_t ns_end = 0;

        clock_pair(&ticks_begin, &ns_begin);
        nanosleep(&pause, NULL);
        clock_pair(&ticks_end, &ns_end);
        if (ticks_end > ticks_begin && ns_end > ns_begin) {
            clock->multiplier = (uint64_t)(((unsigned __int128)(ns_end - ns_begin) << 32) /
                                           (ticks_end - ticks_begin));
            clock->counter = clock->multiplier != 0;
        }
        if (!clock->counter) {
            clock->multiplier = (uint64_t)1 << 32;
        }
    }
#endif
}
