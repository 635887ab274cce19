#include "shards/pace.h"

#define PACE_NS_PER_MIB UINT64_C(10485760) /* K */

void warp_pace_set(struct warp_pace *pace, uint64_t permille)
{
    uint64_t price;

    permille = permille < WARP_PACE_PERMILLE_MAX ? permille : WARP_PACE_PERMILLE_MAX;
    price = PACE_NS_PER_MIB * permille / (1000 - permille);
    if (price != warp_pace_price(pace)) {
        atomic_store_explicit(&pace->ns_per_mib, price, memory_order_relaxed);
    }
}

uint64_t warp_pace_bill(struct warp_pace *pace, uint64_t log_bytes, uint64_t now_ns)
{
    uint64_t price = warp_pace_price(pace);
    uint64_t seen = atomic_load_explicit(&pace->paid_ns, memory_order_relaxed);
    uint64_t cost_ns = log_bytes * price >> 20; /* the greatest batch times 2^30 fits */
    uint64_t paid_ns;

    if (price == 0) {
        return 0;
    }
    do {
        paid_ns = (seen > now_ns ? seen : now_ns) + cost_ns;
        if (paid_ns - now_ns > WARP_PACE_AHEAD_NS_MAX) {
            paid_ns = now_ns + WARP_PACE_AHEAD_NS_MAX;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &pace->paid_ns, &seen, paid_ns, memory_order_relaxed, memory_order_relaxed));
    paid_ns -= now_ns;
    return paid_ns < WARP_PACE_BURST_NS ? 0 : paid_ns;
}

void warp_pace_waited(struct warp_pace *pace, uint64_t ns)
{
    atomic_fetch_add_explicit(&pace->waits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pace->wait_ns, ns, memory_order_relaxed);
}
