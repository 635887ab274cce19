#include "routing/wormhole.h"

#define WORMHOLE_CLIP 16u

bool warp_wormhole_was_busy(struct warp_wormhole *wormhole)
{
    wormhole->busy += (65536 - wormhole->busy) / 64;
    return wormhole->busy >= WARP_WORMHOLE_OFTEN;
}

/* What was never gone counts as short, so it is gone at once. */
static enum warp_wormhole_way wormhole_shorter(const struct warp_wormhole *wormhole)
{
    uint64_t wait = wormhole->ticks[WARP_WORMHOLE_WAIT];
    uint64_t send = wormhole->ticks[WARP_WORMHOLE_SEND];

    return wait <= send * WARP_WORMHOLE_FAVOUR ? WARP_WORMHOLE_WAIT : WARP_WORMHOLE_SEND;
}

enum warp_wormhole_way warp_wormhole_choose(struct warp_wormhole *wormhole, bool *timed)
{
    enum warp_wormhole_way way = wormhole_shorter(wormhole);

    if (wormhole->gap == 0) {
        wormhole->left = wormhole->gap = WARP_WORMHOLE_EXPLORE;
    }
    if (wormhole->left-- > 0) {
        *timed = wormhole->ticks[way] == 0 || wormhole->left % WARP_WORMHOLE_TIMED == 0;
        return way;
    }
    wormhole->left = wormhole->gap;
    *timed = true;
    return way == WARP_WORMHOLE_WAIT ? WARP_WORMHOLE_SEND : WARP_WORMHOLE_WAIT;
}

void warp_wormhole_took(struct warp_wormhole *wormhole, enum warp_wormhole_way way,
                        uint64_t ticks)
{
    enum warp_wormhole_way before = wormhole_shorter(wormhole);
    uint64_t known = wormhole->ticks[way];
    /* A caller that was not running when it was done must not condemn the way. */
    uint64_t most = known == 0 ? UINT32_MAX / 2 : known * WORMHOLE_CLIP;
    uint64_t took = ticks < most ? ticks : most;

    took = took < UINT32_MAX / 2 ? took : UINT32_MAX / 2;
    known = known == 0 ? took : known + took / 8 - known / 8;
    wormhole->ticks[way] = known == 0 ? 1 : (uint32_t)known;
    if (wormhole_shorter(wormhole) != before) {
        wormhole->gap = 0; /* whatever was known is to be looked at again soon */
    } else if (way != before && wormhole->gap < WARP_WORMHOLE_EXPLORE_MAX) {
        wormhole->gap *= 2;
    }
}
