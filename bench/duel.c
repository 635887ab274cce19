#include "bench/duel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int duel_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double duel_median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), duel_compare);
    return count % 2 != 0 ? values[count / 2]
                          : (values[count / 2 - 1] + values[count / 2]) / 2;
}

int duel_run(struct duel_way *const *ways, uint32_t count, uint32_t rounds)
{
    double sorted[DUEL_ROUNDS_MAX];

    rounds = rounds < DUEL_ROUNDS_MAX ? rounds : DUEL_ROUNDS_MAX;
    for (uint32_t round = 0; round <= rounds; round++) {
        for (uint32_t i = 0; i < count; i++) {
            struct duel_way *way = ways[(round + i) % count];
            double result = way->run(way->context);

            if (result < 0) {
                return -1;
            }
            if (round > 0) {
                way->results[round - 1] = result;
            }
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        memcpy(sorted, ways[i]->results, rounds * sizeof(sorted[0]));
        ways[i]->median = duel_median(sorted, rounds);
    }
    return 0;
}

static void duel_tell(struct duel_score *score, const char *what, double ratio, double aim,
                      const char *which, bool reached)
{
    printf("  -> %s: %.3g; aim %s %.3g: %s\n", what, ratio, which, aim,
           reached ? "reached" : "MISSED");
    fflush(stdout);
    score->aims++;
    score->reached += reached;
}

void duel_at_least(struct duel_score *score, const char *what, double ratio, double aim)
{
    duel_tell(score, what, ratio, aim, "at least", ratio >= aim);
}

void duel_at_most(struct duel_score *score, const char *what, double ratio, double aim)
{
    duel_tell(score, what, ratio, aim, "at most", ratio <= aim);
}
