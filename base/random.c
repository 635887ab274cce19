#include "base/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/assert.h"

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): turns any seed, 0 included, into good
 * states. */
static uint64_t random_split(uint64_t *state)
{
    uint64_t z;

    *state += UINT64_C(0x9e3779b97f4a7c15);
    z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void warp_random_init(struct warp_random *random, uint64_t seed)
{
    for (int index = 0; index < 4; index++) {
        random->s[index] = random_split(&seed);
    }
}

uint64_t warp_random_below(struct warp_random *random, uint64_t n)
{
    uint64_t number, low;

    warp_assert(n > 0);
    /* Lemire, "Fast Random Integer Generation in an Interval", ACM TOMACS 29(1), 2019: the
     * high half of a product, and another number in the few cases that would make it
     * uneven. */
    for (;;) {
        unsigned __int128 product;

        number = warp_random_next(random);
        product = (unsigned __int128)number * n;
        low = (uint64_t)product;
        if (low >= n || low >= (0 - n) % n) {
            return (uint64_t)(product >> 64);
        }
    }
}

bool warp_random_chance(struct warp_random *random, uint32_t one_in)
{
    return warp_random_below(random, one_in) == 0;
}

int warp_random_seed(void *out, size_t bytes)
{
    unsigned char *at = out;

    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);

        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return 0;
}
