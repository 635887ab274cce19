/*
 * A put writes one word and counts it under the current step. When more entries are counted
 * than the capacity, the oldest step is forgotten as a whole: its count is taken off and
 * step_oldest moves up, without a look at the table. The words of forgotten steps are still
 * there, and would seem young again when ten bits of step come round; so every put also
 * cleans a bucket or a few, and the step does not advance to a number unless the last words
 * that bore it have been cleaned away. Should that ever hold it up, steps become coarser
 * for a while and nothing is wrong.
 */
#include "cache/ghost.h"

#include <stddef.h>

#include "base/assert.h"
#include "warp/warp.h"

#define GHOST_BUCKET_WORDS   16u
#define GHOST_BUCKET_FILL    13u /* of them in use when full: two choices do that */
#define GHOST_BUCKETS_BESIDE 64u /* so that a small one is never crowded */
#define GHOST_STEP_BITS      10u
#define GHOST_STEPS          (1u << GHOST_STEP_BITS)
#define GHOST_STEP_MASK      (GHOST_STEPS - 1u)
#define GHOST_STEPS_WANTED   512u /* in which the capacity is counted */
#define GHOST_STEPS_OPEN     700u /* never more, though many of their entries were taken */
#define GHOST_STEPS_DOUBLE   48u  /* so many more than wanted double the next ones */
#define GHOST_STEPS_ROUND    128u /* in which the table is cleaned once */
#define GHOST_SWEEP_MAX      64u  /* buckets a put cleans */

/* Four words at once, by whatever instructions the machine has for it. */
typedef uint32_t ghost_four __attribute__((vector_size(16), may_alias));
#define GHOST_BUCKET_FOURS (GHOST_BUCKET_WORDS / 4)

struct ghost_place {
    uint32_t *buckets[2];
    uint32_t fingerprint; /* in its place in the word */
};

static inline uint64_t ghost_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

static inline uint32_t *ghost_bucket(const struct warp_ghost *ghost, uint64_t mixed)
{
    return ghost->words + ((mixed >> 32) * ghost->bucket_count >> 32) * GHOST_BUCKET_WORDS;
}

static struct ghost_place ghost_place(const struct warp_ghost *ghost, uint64_t key)
{
    uint64_t mixed = ghost_mix(key);
    struct ghost_place place;

    place.buckets[0] = ghost_bucket(ghost, mixed);
    place.buckets[1] = ghost_bucket(ghost, mixed * UINT64_C(0x9e3779b97f4a7c15));
    place.fingerprint = (uint32_t)mixed << GHOST_STEP_BITS;
    if (place.fingerprint == 0) {
        place.fingerprint = 1u << GHOST_STEP_BITS;
    }
    return place;
}

/* Whether a word that is not free has been forgotten. */
static inline bool ghost_forgotten(const struct warp_ghost *ghost, uint32_t word)
{
    uint32_t age = (uint32_t)(ghost->step - word) & GHOST_STEP_MASK;

    return age > ghost->step - ghost->step_oldest;
}

static void ghost_drop(struct warp_ghost *ghost, uint32_t *word)
{
    ghost->step_count[*word & GHOST_STEP_MASK]--;
    ghost->entries--;
    *word = 0;
    /* Steps of which nothing is left need not be told apart. */
    while (ghost->step_oldest < ghost->step &&
           ghost->step_count[ghost->step_oldest & GHOST_STEP_MASK] == 0) {
        ghost->step_oldest++;
    }
}

/* Free the words that are forgotten; returns how many are free then. */
static uint32_t ghost_clean(const struct warp_ghost *ghost, uint32_t *bucket)
{
    uint32_t open = (uint32_t)(ghost->step - ghost->step_oldest);
    ghost_four *fours = (ghost_four *)bucket;
    ghost_four unused = {0};
    uint32_t i;

    for (i = 0; i < GHOST_BUCKET_FOURS; i++) {
        ghost_four age = ((uint32_t)ghost->step - fours[i]) & GHOST_STEP_MASK;
        ghost_four forgotten = (ghost_four)(age > open);

        fours[i] &= ~forgotten;
        unused -= (ghost_four)(fours[i] == 0);
    }
    return unused[0] + unused[1] + unused[2] + unused[3];
}

/* Whether any word of the bucket has the fingerprint, forgotten or not. */
static bool ghost_matches(const uint32_t *bucket, uint32_t fingerprint)
{
    const ghost_four *fours = (const ghost_four *)bucket;
    ghost_four match = {0};
    uint32_t i;

    for (i = 0; i < GHOST_BUCKET_FOURS; i++) {
        match |= (ghost_four)((fours[i] & ~GHOST_STEP_MASK) == fingerprint);
    }
    return (match[0] | match[1] | match[2] | match[3]) != 0;
}

static uint32_t *ghost_oldest(const struct warp_ghost *ghost, uint32_t *bucket)
{
    uint32_t *oldest = bucket;
    uint32_t i;

    for (i = 1; i < GHOST_BUCKET_WORDS; i++) {
        if (((uint32_t)(ghost->step - bucket[i]) & GHOST_STEP_MASK) >
            ((uint32_t)(ghost->step - *oldest) & GHOST_STEP_MASK)) {
            oldest = &bucket[i];
        }
    }
    return oldest;
}

static void ghost_forget_oldest(struct warp_ghost *ghost)
{
    uint32_t *count = &ghost->step_count[ghost->step_oldest & GHOST_STEP_MASK];

    warp_assert(ghost->step_oldest < ghost->step);
    warp_assert(ghost->entries >= *count);
    ghost->entries -= *count;
    *count = 0;
    ghost->step_oldest++;
}

static void ghost_advance(struct warp_ghost *ghost)
{
    if (ghost->step - ghost->step_oldest == GHOST_STEPS_OPEN) {
        ghost_forget_oldest(ghost);
    }
    /* The number was last borne by the step GHOST_STEPS before. */
    if (ghost->step + 1 < ghost->step_cleaned + GHOST_STEPS) {
        ghost->step++;
        ghost->step_puts = 0;
    }
}

static void ghost_sweep(struct warp_ghost *ghost, uint64_t buckets)
{
    for (; buckets > 0; buckets--) {
        ghost_clean(ghost, ghost->words + ghost->sweep_bucket * GHOST_BUCKET_WORDS);
        if (++ghost->sweep_bucket == ghost->bucket_count) {
            ghost->step_cleaned = ghost->sweep_floor;
            ghost->sweep_floor = ghost->step_oldest;
            ghost->sweep_bucket = 0;
        }
    }
}

static uint64_t ghost_words_bytes(const struct warp_ghost *ghost)
{
    return ghost->bucket_count * GHOST_BUCKET_WORDS * sizeof(*ghost->words);
}

uint64_t warp_ghost_memory_bytes(const struct warp_ghost *ghost)
{
    return ghost->entries_max == 0
               ? 0
               : ghost_words_bytes(ghost) + GHOST_STEPS * sizeof(*ghost->step_count);
}

int warp_ghost_init(struct warp_ghost *ghost, struct warp_memory *memory,
                    uint64_t entries_max)
{
    warp_assert(entries_max <= UINT32_MAX);
    *ghost = (struct warp_ghost){.memory = memory, .entries_max = entries_max};
    if (entries_max == 0) {
        return 0;
    }
    ghost->bucket_count = entries_max / GHOST_BUCKET_FILL + GHOST_BUCKETS_BESIDE;
    ghost->words = warp_memory_map(memory, warp_ghost_memory_bytes(ghost), 0, false);
    if (ghost->words == NULL) {
        ghost->entries_max = 0;
        return WARP_ENOMEM;
    }
    ghost->step_count = ghost->words + ghost->bucket_count * GHOST_BUCKET_WORDS;
    return 0;
}

void warp_ghost_fini(struct warp_ghost *ghost)
{
    warp_memory_unmap(ghost->memory, ghost->words, warp_ghost_memory_bytes(ghost));
    *ghost = (struct warp_ghost){.memory = NULL};
}

bool warp_ghost_take(struct warp_ghost *ghost, uint64_t key)
{
    struct ghost_place place;
    uint32_t side, i;

    if (ghost->entries == 0) {
        return false;
    }
    place = ghost_place(ghost, key);
    for (side = 0; side < 2; side++) {
        uint32_t *bucket = place.buckets[side];

        if (!ghost_matches(bucket, place.fingerprint)) {
            continue;
        }
        for (i = 0; i < GHOST_BUCKET_WORDS; i++) {
            if ((bucket[i] & ~GHOST_STEP_MASK) == place.fingerprint &&
                !ghost_forgotten(ghost, bucket[i])) {
                ghost_drop(ghost, &bucket[i]);
                return true;
            }
        }
    }
    return false;
}

void warp_ghost_put(struct warp_ghost *ghost, uint64_t key, uint64_t capacity)
{
    struct ghost_place place;
    uint64_t step_puts_max, sweep;
    uint32_t *word;
    uint32_t unused[2];

    if (capacity > ghost->entries_max) {
        capacity = ghost->entries_max;
    }
    if (capacity == 0) {
        return;
    }
    /* As fine as ten bits can count, and as coarse as cleaning in time asks for. */
    step_puts_max = (capacity + GHOST_STEPS_WANTED - 1) / GHOST_STEPS_WANTED;
    if (step_puts_max < ghost->bucket_count / (GHOST_STEPS_ROUND * GHOST_SWEEP_MAX)) {
        step_puts_max = ghost->bucket_count / (GHOST_STEPS_ROUND * GHOST_SWEEP_MAX);
    }
    if (ghost->step - ghost->step_oldest > GHOST_STEPS_WANTED) {
        /* Most of what was put has been taken: the capacity reaches back further. */
        step_puts_max <<=
            (ghost->step - ghost->step_oldest - GHOST_STEPS_WANTED) / GHOST_STEPS_DOUBLE;
    }
    sweep = ghost->bucket_count / (GHOST_STEPS_ROUND * step_puts_max) + 1;
    ghost_sweep(ghost, sweep);
    if (ghost->step_puts >= step_puts_max) {
        ghost_advance(ghost);
    }

    place = ghost_place(ghost, key);
    unused[0] = ghost_clean(ghost, place.buckets[0]);
    unused[1] = ghost_clean(ghost, place.buckets[1]);
    word = place.buckets[unused[1] > unused[0]];
    if (unused[0] == 0 && unused[1] == 0) {
        word = ghost_oldest(ghost, word);
        ghost_drop(ghost, word);
    }
    while (*word != 0) {
        word++;
    }
    *word = place.fingerprint | ((uint32_t)ghost->step & GHOST_STEP_MASK);
    ghost->step_count[ghost->step & GHOST_STEP_MASK]++;
    ghost->step_puts++;
    ghost->entries++;
    while (ghost->entries > capacity && ghost->step_oldest < ghost->step) {
        ghost_forget_oldest(ghost);
    }
}
