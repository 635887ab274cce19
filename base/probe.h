/*
 * base/probe.h - places in the code that a tracer of the system can stop at.
 *
 * USDT probes: a no-operation in the code and a note in the file, which bpftrace, perf and SystemTap find by
 * name ("usdt:/usr/lib/libwarp.so:warp:put_end"). They are there when sys/sdt.h was when the engine was
 * built (Debian: systemtap-sdt-dev) and cost a nop each while nobody traces. Which there are, and their
 * arguments, is in docs/METRICS.md. Static probes as an idea are from Cantrill, Shapiro and Leventhal,
 * "Dynamic instrumentation of production systems", USENIX ATC 2004.
 *
 * Threads:   any.
 * Lifetime:  none.
 * Units:     as the probe says; ns, bytes.
 * Ordering:  none.
 * Errors:    none.
 * Cost:      a nop.
 */
#ifndef BASE_PROBE_H
#define BASE_PROBE_H

#if defined(__has_include) && !defined(WARP_NO_PROBES)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define WARP_HAS_PROBES 1
#endif
#endif
#ifndef WARP_HAS_PROBES
#define WARP_HAS_PROBES 0
#endif

#if WARP_HAS_PROBES
#define WARP_PROBE1(name, a)          DTRACE_PROBE1(warp, name, a)
#define WARP_PROBE2(name, a, b)       DTRACE_PROBE2(warp, name, a, b)
#define WARP_PROBE3(name, a, b, c)    DTRACE_PROBE3(warp, name, a, b, c)
#define WARP_PROBE4(name, a, b, c, d) DTRACE_PROBE4(warp, name, a, b, c, d)
#else
#define WARP_PROBE1(name, a)          ((void)sizeof(a))
#define WARP_PROBE2(name, a, b)       ((void)sizeof(a), (void)sizeof(b))
#define WARP_PROBE3(name, a, b, c)    ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c))
#define WARP_PROBE4(name, a, b, c, d)                                                      \
    ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c), (void)sizeof(d))
#endif

#endif
