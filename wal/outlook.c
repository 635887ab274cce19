#include "wal/outlook.h"

#include "base/assert.h"

#define OUTLOOK_FACTOR_MAX 4u
#define OUTLOOK_MIB        UINT64_C(1048576)

void warp_outlook_init(struct warp_outlook *outlook)
{
    outlook->thousand_records_ns = WARP_OUTLOOK_RECORD_NS * UINT64_C(1000);
    outlook->mib_ns = WARP_OUTLOOK_MIB_NS;
}

/* a * b / c without going past 64 bits, as long as the result does not; c > 0. */
static uint64_t outlook_scale(uint64_t a, uint64_t b, uint64_t c)
{
    return a / c * b + a % c * b / c;
}

static uint64_t outlook_believe(uint64_t measured, uint64_t guess)
{
    uint64_t least = guess / OUTLOOK_FACTOR_MAX, most = guess * OUTLOOK_FACTOR_MAX;

    measured = measured > least ? measured : least;
    return measured < most ? measured : most;
}

void warp_outlook_measured(struct warp_outlook *outlook, uint64_t records, uint64_t load_ns,
                           uint64_t log_bytes, uint64_t replay_ns)
{
    if (records >= WARP_OUTLOOK_RECORDS_LEAST) {
        outlook->thousand_records_ns = outlook_believe(
            outlook_scale(load_ns, 1000, records), WARP_OUTLOOK_RECORD_NS * UINT64_C(1000));
    }
    if (log_bytes >= WARP_OUTLOOK_LOG_LEAST) {
        outlook->mib_ns = outlook_believe(outlook_scale(replay_ns, OUTLOOK_MIB, log_bytes),
                                          WARP_OUTLOOK_MIB_NS);
    }
}

uint64_t warp_outlook_ns(const struct warp_outlook *outlook, uint64_t records,
                         uint64_t log_bytes)
{
    return outlook_scale(records, outlook->thousand_records_ns, 1000) +
           outlook_scale(log_bytes, outlook->mib_ns, OUTLOOK_MIB);
}

uint64_t warp_outlook_log_bytes(const struct warp_outlook *outlook, uint64_t records,
                                uint64_t checkpoint_bytes, uint64_t most_ns)
{
    uint64_t load_ns = outlook_scale(records, outlook->thousand_records_ns, 1000);
    uint64_t all = outlook_scale(most_ns, OUTLOOK_MIB, outlook->mib_ns);
    uint64_t bytes = 0;

    warp_assert(outlook->mib_ns > 0);
    if (load_ns < most_ns) {
        bytes = outlook_scale(most_ns - load_ns, OUTLOOK_MIB, outlook->mib_ns);
    }
    bytes = bytes > 2 * checkpoint_bytes ? bytes : 2 * checkpoint_bytes;
    return bytes < all ? bytes : all;
}
