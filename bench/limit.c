#include "bench/limit.h"

#include <math.h>
#include <string.h>

/* Below this part of what the engine can do, the bound is taken for one that cannot be met. */
#define LIMIT_PART_MIN 0.001

void bench_limit_init(struct bench_limit *limit)
{
    memset(limit, 0, sizeof(*limit));
}

bool bench_limit_next(const struct bench_limit *limit, double *rate)
{
    if (limit->trial_count == BENCH_LIMIT_TRIALS_MAX) {
        return false;
    }
    if (limit->trial_count == 0) {
        *rate = 0.0;
        return true;
    }
    if (limit->capacity <= 0.0) {
        return false;
    }
    if (limit->met == 0.0) {
        /* Halves, until one meets it. */
        *rate = limit->missed / 2.0;
        return *rate >= limit->capacity * LIMIT_PART_MIN;
    }
    *rate = sqrt(limit->met * limit->missed);
    return limit->missed / limit->met > BENCH_LIMIT_CLOSE;
}

bool bench_limit_note(struct bench_limit *limit, const struct bench_limit_trial *trial)
{
    bool better = false;

    if (limit->trial_count == 0) {
        limit->capacity = trial->measured;
        limit->missed = trial->measured;
    } else if (trial->met && trial->rate > limit->met) {
        limit->met = trial->rate;
        better = true;
    } else if (!trial->met && trial->rate < limit->missed) {
        limit->missed = trial->rate;
    }
    if (limit->trial_count < BENCH_LIMIT_TRIALS_MAX) {
        limit->trials[limit->trial_count++] = *trial;
    }
    return better;
}
