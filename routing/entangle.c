/*
 * A table is an array of sets of four entries. One lookup is two cache lines. Sets are chosen by a mix
 * of the name, and the entry keeps 30 other bits of that: a stranger is taken for a key once in some
 * 250 million, and a wrong guess is all that follows.
 *
 * What can go wrong is that it does not pay, and then it has to cost next to nothing: the table is given back, and
 * all that is left is an eighth of it, and a counter that says when to look again. A probe samples keys and not time: one in
 * eight keys has an entry, in a table of an eighth, so what is known of those is as much as the large
 * table would know, and the gain on them is what the gain on all would be.
 */
#include "routing/entangle.h"

#include <assert.h>
#include <string.h>

#include "base/assert.h"
#include "base/counter.h"
#include "warp/warp.h"

#define ENTANGLE_WAYS  4u
#define ENTANGLE_COUNT 127u /* of counts[i] */
#define ENTANGLE_NEXT  128u /* of the same: it came right behind, the last time */
#define ENTANGLE_SEEN_MAX                                                                  \
    31u /* then all is halved, so that what was once is not for ever */
#define ENTANGLE_WEIGHT_MAX        3u
#define ENTANGLE_ENTRIES_PER_VALUE 4u
#define ENTANGLE_SETS_MIN          16u
#define ENTANGLE_WINDOW_PROBE      64u /* sampled observations */
#define ENTANGLE_WINDOW_ON         512u
#define ENTANGLE_GAIN_ON           80u /* permille, to go on */
#define ENTANGLE_GAIN_KEEP         40u /* ... to stay */
#define ENTANGLE_WINDOW_MIN        10u
#define ENTANGLE_WINDOW_MAX        200u
#define ENTANGLE_WINDOW_GAIN       20u /* permille of observations, for the window to grow */
#define ENTANGLE_TAU_FIRST         250u
#define ENTANGLE_TAU_MIN           100u
#define ENTANGLE_TAU_MAX           950u
#define ENTANGLE_SURE_LOW          65u /* per cent of what is fetched that is asked for */
#define ENTANGLE_SURE_HIGH         75u
#define ENTANGLE_TAU_EVERY         64u /* outcomes */
#define ENTANGLE_OUTCOMES_MIN      32u /* in a window; else tau comes down by itself */
#define ENTANGLE_REST_MIN          16384u
#define ENTANGLE_REST_MAX          (UINT64_C(1) << 24)
#define ENTANGLE_PATIENCE_MIN      256u
#define ENTANGLE_PATIENCE          8u  /* times as many keys as there is room for values */
#define ENTANGLE_LATE_HIGH         20u /* per cent of what was right */
#define ENTANGLE_SKIPS             32u /* times ENTANGLE_TAU_EVERY outcomes */
#define ENTANGLE_WALKS             16u
#define ENTANGLE_EVIDENCE                                                                  \
    2u /* how often something was seen before it is believed; once, if that goes well */
#define ENTANGLE_UNSUPPORTED 400u /* permille */

struct entangle_entry {
    uint32_t check; /* 30 bits of the name's mix, and 2 of weight */
    uint8_t seen;   /* 0: the entry is free */
    uint8_t counts[WARP_ENTANGLE_SUCCESSORS];
    uint64_t next[WARP_ENTANGLE_SUCCESSORS];
};

struct warp_entangle_set {
    struct entangle_entry entries[ENTANGLE_WAYS];
};

static_assert(sizeof(struct entangle_entry) == WARP_ENTANGLE_ENTRY, "as its header says");

void warp_entangle_init(struct warp_entangle *entangle, struct warp_memory *memory,
                        uint64_t seed, uint64_t bytes_max)
{
    memset(entangle, 0, sizeof(*entangle));
    entangle->memory = memory;
    entangle->seed = seed;
    entangle->bytes_max = bytes_max;
    entangle->rest_max = ENTANGLE_REST_MIN;
    entangle->tau = ENTANGLE_TAU_FIRST;
    entangle->evidence = ENTANGLE_EVIDENCE;
    atomic_init(&entangle->window, ENTANGLE_WINDOW_MIN);
}

static void entangle_release(struct warp_entangle *entangle)
{
    if (entangle->sets != NULL) {
        warp_memory_unmap(entangle->memory, entangle->sets,
                          entangle->set_count * sizeof(entangle->sets[0]));
    }
    entangle->sets = NULL;
    entangle->set_count = 0;
    warp_counter_set(&entangle->bytes, 0);
}

void warp_entangle_fini(struct warp_entangle *entangle)
{
    entangle_release(entangle);
    warp_counter_set(&entangle->bytes_wanted, 0);
}

static void entangle_set_state(struct warp_entangle *entangle,
                               enum warp_entangle_state state)
{
    atomic_store_explicit(&entangle->state, (uint32_t)state, memory_order_relaxed);
}

/* ---- the table ------------------------------------------------------------------------- */

/* The finalizer of MurmurHash3 (Appleby): every bit of the name matters to every bit of this. */
static uint64_t entangle_mix(const struct warp_entangle *entangle, uint64_t name)
{
    uint64_t x = name ^ entangle->seed;

    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static bool entangle_sampled(const struct warp_entangle *entangle, uint64_t mix)
{
    return warp_entangle_state(entangle) == WARP_ENTANGLE_ON ||
           (mix & ((1u << WARP_ENTANGLE_SAMPLING) - 1)) == 0;
}

static struct warp_entangle_set *entangle_set(struct warp_entangle *entangle, uint64_t mix)
{
    return &entangle->sets[(mix >> 32) * entangle->set_count >> 32];
}

static uint32_t entangle_check(uint64_t mix)
{
    return (uint32_t)mix & ~3u;
}

static struct entangle_entry *entangle_find(struct warp_entangle *entangle, uint64_t mix)
{
    struct warp_entangle_set *set = entangle_set(entangle, mix);
    uint32_t i;

    for (i = 0; i < ENTANGLE_WAYS; i++) {
        struct entangle_entry *entry = &set->entries[i];

        if (entry->seen > 0 && (entry->check & ~3u) == entangle_check(mix)) {
            return entry;
        }
    }
    return NULL;
}

/* The entry of a name; if it has none, a free one, or one that nobody has come back to for so long that it
 * has decayed. NULL: the weakest of its set has lost some of its weight. */
static struct entangle_entry *entangle_claim(struct warp_entangle *entangle, uint64_t mix)
{
    struct warp_entangle_set *set = entangle_set(entangle, mix);
    struct entangle_entry *entry = entangle_find(entangle, mix),
                          *weakest = &set->entries[0];
    uint32_t i;

    if (entry != NULL) {
        entry->check += (entry->check & 3) < ENTANGLE_WEIGHT_MAX;
        return entry;
    }
    for (i = 0; i < ENTANGLE_WAYS; i++) {
        entry = &set->entries[i];
        if (entry->seen == 0) {
            weakest = entry;
            break;
        }
        if ((entry->check & 3) < (weakest->check & 3)) {
            weakest = entry;
        }
    }
    if (weakest->seen > 0 && (weakest->check & 3) > 0) {
        weakest->check--;
        return NULL;
    }
    memset(weakest, 0, sizeof(*weakest));
    weakest->check = entangle_check(mix) | 1u;
    return weakest;
}

static uint32_t entangle_count(const struct entangle_entry *entry, uint32_t i)
{
    return entry->counts[i] & ENTANGLE_COUNT;
}

/* It was followed by x, right behind it or with one key in between. What has no place wears the others down,
 * as Misra and Gries have it. */
static void entangle_link(struct entangle_entry *entry, uint64_t x, bool next)
{
    uint32_t i, weakest = 0;

    for (i = 0; i < WARP_ENTANGLE_SUCCESSORS; i++) {
        uint32_t count = entangle_count(entry, i);

        if (entry->next[i] == x && count > 0) {
            count += count < ENTANGLE_COUNT;
            entry->counts[i] = (uint8_t)(count | (next ? ENTANGLE_NEXT : 0));
            return;
        }
        if (count < entangle_count(entry, weakest)) {
            weakest = i;
        }
    }
    if (entangle_count(entry, weakest) == 0) {
        entry->next[weakest] = x;
        entry->counts[weakest] = (uint8_t)(1 | (next ? ENTANGLE_NEXT : 0));
    } else {
        for (i = 0; i < WARP_ENTANGLE_SUCCESSORS; i++) {
            entry->counts[i]--;
        }
    }
}

static void entangle_seen(struct entangle_entry *entry)
{
    uint32_t i;

    if (entry->seen == ENTANGLE_SEEN_MAX) {
        entry->seen /= 2;
        for (i = 0; i < WARP_ENTANGLE_SUCCESSORS; i++) {
            entry->counts[i] = (uint8_t)(entangle_count(entry, i) / 2 |
                                         (entry->counts[i] & ENTANGLE_NEXT));
        }
    }
    entry->seen++;
}

/* ---- guessing -------------------------------------------------------------------------- */

/* Names, the surest first behind those whose entries have been looked at. */
struct entangle_walk {
    struct {
        uint64_t name;
        uint32_t sure; /* permille */
        const struct entangle_entry *before;
    } steps[ENTANGLE_WALKS];
    uint32_t count;
};

/* Where to look for it is behind `from`: what is in front has been looked at. */
static void entangle_walk_add(struct entangle_walk *walk, uint32_t from, uint64_t name,
                              uint32_t sure, const struct entangle_entry *before)
{
    uint32_t i;

    for (i = 0; i < walk->count && walk->steps[i].name != name; i++) {
    }
    if (i == walk->count) {
        if (i == ENTANGLE_WALKS) {
            i--; /* the least sure has to go */
        } else {
            walk->count++;
            walk->steps[i].sure = 0;
        }
    }
    if (i < from || walk->steps[i].sure >= sure) {
        return;
    }
    for (; i > from && walk->steps[i - 1].sure < sure; i--) {
        walk->steps[i] = walk->steps[i - 1];
    }
    walk->steps[i].name = name;
    walk->steps[i].sure = sure;
    walk->steps[i].before = before;
}

/* How often this was among the next two, in permille. Half a time is added to all of them, so that once
 * is not always. */
static uint32_t entangle_share(const struct entangle_entry *entry, uint32_t i)
{
    uint32_t share = 2000u * entangle_count(entry, i) / (2u * entry->seen + 1u);

    return share < 1000 ? share : 1000;
}

/*
 * A key that is used together with several others is followed by what goes with the one before it. So what
 * comes next counts in full if it was seen behind that one, too; and what comes after the next is
 * better reached through that.
 */
static uint32_t entangle_support(const struct entangle_entry *entry, uint32_t at,
                                 const struct entangle_entry *before)
{
    bool next = (entry->counts[at] & ENTANGLE_NEXT) != 0;
    uint32_t i;

    for (i = 0; next && before != NULL && i < WARP_ENTANGLE_SUCCESSORS; i++) {
        if (entangle_count(before, i) > 0 && before->next[i] == entry->next[at]) {
            return 1000;
        }
    }
    return next && before == NULL ? 1000 : ENTANGLE_UNSUPPORTED;
}

static uint32_t entangle_guess(struct warp_entangle *entangle, uint64_t name,
                               uint64_t name_before,
                               uint64_t guesses[WARP_ENTANGLE_GUESSES])
{
    struct entangle_walk walk = {.steps = {{name, 1000, NULL}}, .count = 1};
    uint32_t at, i, least = entangle->evidence;
    uint64_t next = 0; /* the surest of those that come right behind */

    if (name_before != 0) {
        walk.steps[0].before = entangle_find(entangle, entangle_mix(entangle, name_before));
    }
    for (at = 0; at < walk.count && at < WARP_ENTANGLE_GUESSES; at++) {
        uint64_t mix = entangle_mix(entangle, walk.steps[at].name);
        const struct entangle_entry *entry =
            entangle_sampled(entangle, mix) ? entangle_find(entangle, mix) : NULL;

        for (i = 0; entry != NULL && i < WARP_ENTANGLE_SUCCESSORS; i++) {
            uint32_t sure;

            if (entangle_count(entry, i) < least) {
                continue;
            }
            sure = walk.steps[at].sure * entangle_share(entry, i) / 1000;
            sure = sure * entangle_support(entry, i, walk.steps[at].before) / 1000;
            if (sure >= entangle->tau) {
                if (at == 0 && (entry->counts[i] & ENTANGLE_NEXT) != 0 &&
                    (next == 0 || walk.steps[1].sure < sure)) {
                    next = entry->next[i];
                }
                entangle_walk_add(&walk, at + 1, entry->next[i], sure, entry);
            }
        }
    }
    if (walk.count > WARP_ENTANGLE_GUESSES + 1) {
        walk.count = WARP_ENTANGLE_GUESSES + 1;
    }
    for (i = 1, at = 0; i < walk.count; i++) {
        if (entangle->skips == 0 || walk.steps[i].name != next) {
            guesses[at++] = walk.steps[i].name;
        }
    }
    return at;
}

/* ---- whether it pays ------------------------------------------------------------------- */

/* A little is kept for later probes: where memory is full, new memory is only had at the cost of many
 * values. */
static void entangle_shrink(struct warp_entangle *entangle)
{
    struct warp_entangle_set *sets;

    if (entangle->sets != NULL &&
        warp_counter_read(&entangle->bytes) <= entangle->bytes_kept) {
        memset(entangle->sets, 0, entangle->set_count * sizeof(entangle->sets[0]));
        return;
    }
    sets = entangle->sets == NULL
               ? NULL
               : warp_memory_map(entangle->memory, entangle->bytes_kept, 0, false);
    entangle_release(entangle);
    if (sets != NULL) {
        entangle->sets = sets;
        entangle->set_count = entangle->bytes_kept / sizeof(sets[0]);
        warp_counter_set(&entangle->bytes, entangle->bytes_kept);
    }
}

static void entangle_stop(struct warp_entangle *entangle)
{
    entangle_shrink(entangle);
    entangle_set_state(entangle, WARP_ENTANGLE_OFF);
    warp_counter_set(&entangle->bytes_wanted, 0);
    warp_counter_add(&entangle->stops, 1);
    entangle->rest = entangle->rest_max;
    entangle->rest_max *= entangle->rest_max < ENTANGLE_REST_MAX ? 2 : 1;
}

/* What a table is to have when it is on. */
static uint64_t entangle_full_bytes(const struct warp_entangle *entangle)
{
    uint64_t bytes = entangle->values * ENTANGLE_ENTRIES_PER_VALUE * WARP_ENTANGLE_ENTRY;

    return bytes < entangle->bytes_max ? bytes : entangle->bytes_max;
}

static uint64_t entangle_sets_of(uint64_t bytes)
{
    uint64_t sets = bytes / sizeof(struct warp_entangle_set);

    sets = sets > UINT32_MAX ? UINT32_MAX : sets;
    return sets < ENTANGLE_SETS_MIN ? ENTANGLE_SETS_MIN : sets;
}

static void entangle_want(struct warp_entangle *entangle, uint64_t bytes)
{
    warp_counter_set(&entangle->bytes_wanted,
                     entangle_sets_of(bytes) * sizeof(struct warp_entangle_set));
}

/* There is a table, with nothing in it. */
static void entangle_begin(struct warp_entangle *entangle, enum warp_entangle_state state)
{
    entangle_set_state(entangle, state);
    if (state == WARP_ENTANGLE_PROBE) {
        entangle->tau = ENTANGLE_TAU_FIRST;
        entangle->evidence = 1; /* to know soon; if that is wrong, tau rises */
        entangle->probe_right = entangle->useful + entangle->late;
        entangle->probe_outcomes = entangle->probe_right + entangle->wasted;
    }
    entangle->probed = 0;
    entangle->idle_windows = 0;
    entangle->window_sampled = 0;
    entangle->window_all = 0;
    entangle->window_useful = entangle->useful;
    entangle->window_late = entangle->late;
    entangle->window_outcomes = entangle->useful + entangle->late + entangle->wasted;
}

static uint64_t entangle_kept_of(uint64_t bytes)
{
    return entangle_sets_of(bytes >> WARP_ENTANGLE_SAMPLING) *
           sizeof(struct warp_entangle_set);
}

static int entangle_take(struct warp_entangle *entangle, uint64_t bytes,
                         enum warp_entangle_state state)
{
    struct warp_entangle_set *sets = warp_memory_map(entangle->memory, bytes, 0, false);

    warp_counter_set(&entangle->bytes_wanted, 0);
    if (sets == NULL) {
        entangle_stop(entangle);
        return WARP_ENOMEM;
    }
    /* What a probe has learned of one key in eight is not worth the copy. */
    entangle_release(entangle);
    entangle->sets = sets;
    entangle->set_count = bytes / sizeof(sets[0]);
    warp_counter_set(&entangle->bytes, bytes);
    entangle_begin(entangle, state);
    warp_counter_add(&entangle->starts, state == WARP_ENTANGLE_ON);
    return 0;
}

int warp_entangle_reserve(struct warp_entangle *entangle)
{
    uint64_t bytes = warp_entangle_wants(entangle);

    if (bytes > 0 && entangle->bytes_kept == 0) {
        entangle->bytes_kept = bytes; /* of the first probe */
    }
    return bytes == 0 ? 0
                      : entangle_take(entangle, bytes,
                                      entangle->sets != NULL ? WARP_ENTANGLE_ON
                                                             : WARP_ENTANGLE_PROBE);
}

int warp_entangle_prepare(struct warp_entangle *entangle, uint64_t bytes)
{
    warp_assert(entangle->sets == NULL);
    bytes = bytes < entangle->bytes_max ? bytes : entangle->bytes_max;
    entangle->bytes_kept = entangle_kept_of(bytes);
    return entangle_take(entangle,
                         entangle_sets_of(bytes) * sizeof(struct warp_entangle_set),
                         WARP_ENTANGLE_PROBE);
}

/* It pays: with the table that is there, or with a larger one. */
static void entangle_go_on(struct warp_entangle *entangle)
{
    uint64_t full = entangle_full_bytes(entangle);

    if (warp_counter_read(&entangle->bytes) >= full / 4) {
        entangle_begin(entangle, WARP_ENTANGLE_ON);
        warp_counter_add(&entangle->starts, 1);
    } else {
        entangle_want(entangle, full);
    }
}

/* What comes right behind a key that is missed can hardly be there before it is asked for: if too much of
 * what was right was late, only what comes after that is fetched, for some time. */
static void entangle_steer_skips(struct warp_entangle *entangle, uint64_t useful,
                                 uint64_t late)
{
    if (entangle->skips > 0) {
        entangle->skips--;
    } else if (late * 100 > (useful + late) * ENTANGLE_LATE_HIGH) {
        entangle->skips = ENTANGLE_SKIPS;
    }
}

static void entangle_set_tau(struct warp_entangle *entangle, uint32_t tau)
{
    tau = tau > ENTANGLE_TAU_MAX ? ENTANGLE_TAU_MAX : tau;
    entangle->tau = tau < ENTANGLE_TAU_MIN ? ENTANGLE_TAU_MIN : tau;
}

static void entangle_steer_window(struct warp_entangle *entangle, uint64_t saved)
{
    uint32_t window = atomic_load_explicit(&entangle->window, memory_order_relaxed);

    if (saved * 1000 > entangle->window_all * ENTANGLE_WINDOW_GAIN) {
        window = window * 2 < ENTANGLE_WINDOW_MAX ? window * 2 : ENTANGLE_WINDOW_MAX;
    } else {
        window = window / 2 > ENTANGLE_WINDOW_MIN ? window / 2 : ENTANGLE_WINDOW_MIN;
    }
    atomic_store_explicit(&entangle->window, window, memory_order_relaxed);
}

/*
 * Was more than half of what the probe has fetched right, and not by luck? Half of n is n / 2 give or take the root
 * of n / 2, so two of those more are asked for. Of a dozen guesses six are soon right where a third of all keys
 * is in memory.
 */
static bool entangle_is_sure(const struct warp_entangle *entangle, uint64_t outcomes)
{
    uint64_t right = entangle->useful + entangle->late - entangle->probe_right;
    uint64_t n = outcomes - entangle->probe_outcomes;
    uint64_t more = 2 * right > n ? 2 * right - n : 0;

    return n > 0 && more * more >= 4 * n;
}

/* So many sampled keys have come since the last time. */
static void entangle_end_window(struct warp_entangle *entangle)
{
    bool on = warp_entangle_state(entangle) == WARP_ENTANGLE_ON;
    uint64_t saved = entangle->useful - entangle->window_useful;
    /* A probe looks one step ahead; what is late for it need not be for the whole. */
    uint64_t right = saved + (on ? 0 : entangle->late - entangle->window_late);
    uint64_t gain = right * 1000 / entangle->window_sampled;
    uint64_t outcomes = entangle->useful + entangle->late + entangle->wasted;
    uint64_t fresh = outcomes - entangle->window_outcomes;

    entangle_steer_window(entangle, saved);
    if (on && fresh < ENTANGLE_OUTCOMES_MIN) {
        /* Where nothing is dared, nothing is learned. */
        entangle_set_tau(entangle, entangle->tau * 20 / 23);
    }
    entangle->window_outcomes = outcomes;
    entangle->window_sampled = 0;
    entangle->window_all = 0;
    entangle->window_useful = entangle->useful;
    entangle->window_late = entangle->late;
    if (!on) {
        /* What is asked for by chance is no gain: anything else in its place would be, too. */
        if (gain >= ENTANGLE_GAIN_ON && entangle_is_sure(entangle, outcomes)) {
            entangle_go_on(entangle);
        } else if ((gain < ENTANGLE_GAIN_KEEP || warp_entangle_wants(entangle) == 0) &&
                   entangle->probed > ENTANGLE_PATIENCE_MIN + entangle->values / 2) {
            entangle_stop(entangle);
        }
        return;
    }
    if (gain >= ENTANGLE_GAIN_KEEP) {
        entangle->idle_windows = 0;
        entangle->probed = 0;
        entangle->rest_max = ENTANGLE_REST_MIN;
        return;
    }
    entangle->idle_windows++;
    /* Nothing can come again before as many have come as fit; so long it has time. */
    if (entangle->idle_windows >= 2 &&
        entangle->probed > ENTANGLE_PATIENCE_MIN + ENTANGLE_PATIENCE * entangle->values) {
        entangle_stop(entangle);
    }
}

void warp_entangle_account(struct warp_entangle *entangle, uint64_t useful, uint64_t late,
                           uint64_t wasted, uint64_t values)
{
    uint64_t good, bad;

    entangle->useful = useful;
    entangle->late = late;
    entangle->wasted = wasted;
    entangle->values = values;
    /* Who is late was right. */
    good = useful + late - entangle->tau_good;
    bad = wasted - entangle->tau_bad;
    if (good + bad < ENTANGLE_TAU_EVERY) {
        return;
    }
    if (good * 100 < (good + bad) * ENTANGLE_SURE_LOW) {
        entangle_set_tau(entangle, entangle->tau * 5 / 4);
        entangle->evidence = ENTANGLE_EVIDENCE;
    } else if (good * 100 > (good + bad) * ENTANGLE_SURE_HIGH) {
        entangle_set_tau(entangle, entangle->tau * 20 / 23);
        entangle->evidence = 1;
    }
    entangle_steer_skips(entangle, useful - entangle->tau_useful,
                         late - entangle->tau_late);
    entangle->tau_useful = useful;
    entangle->tau_late = late;
    entangle->tau_good += good;
    entangle->tau_bad += bad;
}

/* ---- a key ----------------------------------------------------------------------------- */

/* Nothing is learned meanwhile. */
static bool entangle_rests(struct warp_entangle *entangle)
{
    if (warp_entangle_state(entangle) != WARP_ENTANGLE_OFF) {
        return false;
    }
    if (warp_entangle_wants(entangle) > 0) {
        return true; /* until there is room */
    }
    if (entangle->rest > 0) {
        entangle->rest--;
        return true;
    }
    if (entangle->sets != NULL) {
        entangle_begin(entangle, WARP_ENTANGLE_PROBE);
        return false;
    }
    if (entangle->values > 0) {
        entangle_want(entangle, entangle_full_bytes(entangle) >> WARP_ENTANGLE_SAMPLING);
    }
    return true;
}

uint32_t warp_entangle_observe(struct warp_entangle *entangle,
                               struct warp_entangle_trail *trail, uint64_t name,
                               uint64_t guesses[WARP_ENTANGLE_GUESSES])
{
    uint64_t mix = entangle_mix(entangle, name);
    bool sampled;
    uint32_t i, count = 0;

    warp_assert(name != 0);
    warp_counter_add(&entangle->observations, 1);
    if (entangle_rests(entangle)) {
        memset(trail, 0, sizeof(*trail));
        return 0;
    }
    for (i = 0; i < WARP_ENTANGLE_LOOKBACK; i++) {
        uint64_t before = trail->names[i], before_mix = entangle_mix(entangle, before);

        if (before != 0 && before != name && entangle_sampled(entangle, before_mix)) {
            struct entangle_entry *entry = entangle_find(entangle, before_mix);

            if (entry != NULL) {
                entangle_link(entry, name, i == 0);
            }
        }
    }
    sampled = entangle_sampled(entangle, mix);
    if (sampled) {
        struct entangle_entry *entry = entangle_claim(entangle, mix);

        if (entry != NULL) {
            entangle_seen(entry);
        }
        count = entangle_guess(entangle, name, trail->names[0], guesses);
        warp_counter_add(&entangle->guesses, count);
        entangle->probed++;
        entangle->window_sampled++;
    }
    entangle->window_all++;
    memmove(&trail->names[1], &trail->names[0],
            (WARP_ENTANGLE_LOOKBACK - 1) * sizeof(trail->names[0]));
    trail->names[0] = name;
    if (entangle->window_sampled >= (warp_entangle_state(entangle) == WARP_ENTANGLE_ON
                                         ? ENTANGLE_WINDOW_ON
                                         : ENTANGLE_WINDOW_PROBE)) {
        entangle_end_window(entangle);
    }
    return count;
}
