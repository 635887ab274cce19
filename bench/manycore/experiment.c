#include "bench/manycore/experiment.h"

/* Epochs without a move, after which it has come to rest; more than a moved slot rests. */
#define EXPERIMENT_QUIET 10u

static uint32_t experiment_shift(struct manycore_world *world)
{
    uint32_t epoch;

    manycore_stream_shift(world->stream);
    manycore_world_reweigh(world);
    for (epoch = 1; epoch <= MANYCORE_SHIFT_EPOCHS; epoch++) {
        struct manycore_truth truth;

        manycore_world_epoch(world);
        truth = manycore_world_truth(world);
        if (truth.lambda < (truth.possible * 1.05 > 1.15 ? truth.possible * 1.05 : 1.15)) {
            break;
        }
    }
    return epoch;
}

int manycore_outcome_find(const struct manycore_config *config,
                          struct manycore_stream *stream, bool shift,
                          struct manycore_outcome *outcome)
{
    struct manycore_world *world = NULL;
    uint32_t quiet = 0;

    outcome->moves = outcome->epochs = outcome->shift_epochs = 0;
    if (manycore_world_create(&world, config, stream) < 0) {
        return -1;
    }
    while (config->gravity && quiet < EXPERIMENT_QUIET &&
           outcome->epochs < MANYCORE_SETTLE_EPOCHS) {
        manycore_world_epoch(world);
        outcome->epochs++;
        outcome->moves += world->moves;
        quiet = world->moves == 0 ? quiet + 1 : 0;
    }
    outcome->truth = manycore_world_truth(world);
    if (shift && config->gravity) {
        outcome->shift_epochs = experiment_shift(world);
    }
    manycore_world_destroy(&world);
    return 0;
}

int manycore_row_find(const struct manycore_config *config, struct manycore_stream *stream,
                      bool shift, struct manycore_row *row)
{
    struct {
        enum manycore_bypass bypass;
        bool gravity;
        struct manycore_outcome *outcome;
    } runs[] = {
        {MANYCORE_BYPASS_NONE, false, &row->stays},
        {MANYCORE_BYPASS_NONE, true, &row->gravity},
        {MANYCORE_BYPASS_TOP, false, &row->bypass},
        {MANYCORE_BYPASS_TOP, true, &row->both},
        {MANYCORE_BYPASS_READS, false, &row->direct},
        {MANYCORE_BYPASS_READS, true, &row->direct_gravity},
    };
    uint32_t i;

    for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        struct manycore_config one = *config;

        one.bypass = runs[i].bypass;
        one.gravity = runs[i].gravity;
        if (manycore_outcome_find(&one, stream, shift && i == 3, runs[i].outcome) < 0) {
            return -1;
        }
    }
    return 0;
}
