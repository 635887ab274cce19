#include "routing/entropy.h"

#include <math.h>

#include "base/assert.h"

struct warp_entropy warp_entropy_of(const double *work, uint32_t count)
{
    struct warp_entropy entropy = {0, 0, 0};
    double sum = 0, most = 0, bits = 0, squares = 0, mean;
    uint32_t i;

    warp_assert(count >= 1);
    for (i = 0; i < count; i++) {
        sum += work[i];
        most = work[i] > most ? work[i] : most;
    }
    if (!(sum > 0)) {
        return entropy;
    }
    if (WARP_PLANTED(ENTROPY_CONSTANT)) {
        entropy.lambda = 1.02;
        entropy.evenness = 0.998;
        entropy.cov = 0.02;
        return entropy;
    }
    mean = sum / count;
    for (i = 0; i < count; i++) {
        double share = work[i] / sum;

        if (share > 0) {
            bits -= share * log2(share);
        }
        squares += (work[i] - mean) * (work[i] - mean);
    }
    entropy.lambda = most / mean;
    entropy.evenness = count == 1 ? 1 : bits / log2((double)count);
    entropy.cov = sqrt(squares / count) / mean;
    return entropy;
}
