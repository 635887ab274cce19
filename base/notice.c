#include "base/notice.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define NOTICE_BYTES_MAX 512u

void warp_notice_init(struct warp_notice *notice, const struct warp_clock *clock,
                      uint64_t interval_ns, void (*sink)(void *context, const char *text),
                      void *context)
{
    notice->sink = sink;
    notice->context = context;
    notice->clock = clock;
    notice->interval_ns = interval_ns;
    atomic_init(&notice->next_ns, 0);
    atomic_init(&notice->left_out, 0);
}

void warp_notice_say(struct warp_notice *notice, const char *format, ...)
{
    uint64_t next_ns = atomic_load_explicit(&notice->next_ns, memory_order_relaxed);
    uint64_t now_ns = warp_clock_ns(notice->clock);
    char text[NOTICE_BYTES_MAX];
    uint64_t left_out;
    va_list arguments;
    int wrote;

    /* Relaxed: the exchange only decides which of several threads speaks. */
    if (notice->sink == NULL || now_ns < next_ns ||
        !atomic_compare_exchange_strong_explicit(
            &notice->next_ns, &next_ns, now_ns + notice->interval_ns, memory_order_relaxed,
            memory_order_relaxed)) {
        atomic_fetch_add_explicit(&notice->left_out, 1, memory_order_relaxed);
        return;
    }
    va_start(arguments, format);
    wrote = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    left_out = atomic_exchange_explicit(&notice->left_out, 0, memory_order_relaxed);
    if (left_out > 0 && wrote >= 0 && (size_t)wrote < sizeof(text)) {
        snprintf(text + wrote, sizeof(text) - (size_t)wrote,
                 " (%llu more were left out before)", (unsigned long long)left_out);
    }
    notice->sink(notice->context, text);
}

uint64_t warp_notice_left_out(const struct warp_notice *notice)
{
    return atomic_load_explicit(&notice->left_out, memory_order_relaxed);
}
