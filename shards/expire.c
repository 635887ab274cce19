/*
 * A pass goes over all slots of the shard and sweeps those that are due, and a few others to see how
 * well it does. Of what stays in a slot it counts bytes by the time to their expiry, in classes of
 * an eighth of a power of two, and so knows from when on more than the share will have expired.
 *
 * What can go wrong: there is no memory to note what is given back: the slot is due again at once. A
 * record is replaced by one that never expires: the next sweep finds nothing and foretells anew.
 * Records are exchanged for cold ones: they count as put, and the slot may be swept too early.
 */
#include "shards/expire.h"

#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "shards/put.h"

#define EXPIRE_RECORDS_PER_CALL 1024u
#define EXPIRE_SLOTS_PER_CALL   4096u
#define EXPIRE_LINGER_MS        60000u
#define EXPIRE_EARLY_PART       256u /* of a slot, put to expire before it is due: sweep then */
#define EXPIRE_PROBES_PER_PASS  4u
#define EXPIRE_PROBES_PER_JUDGE 64u
#define EXPIRE_SHARE_MAX        8u /* thousandths: above, slots are swept earlier ... */
#define EXPIRE_SHARE_MIN        6u /* ... below, later */
#define EXPIRE_PERMILLE_FIRST   10u
#define EXPIRE_PERMILLE_MIN     1u
#define EXPIRE_PERMILLE_MAX     15u
#define EXPIRE_CLASS_BITS       3u
#define EXPIRE_CLASSES          (64u << EXPIRE_CLASS_BITS)

struct expire_walk {
    struct warp_shard *shard;
    uint64_t now_ms;
    uint64_t earliest_ms;
    uint64_t expired_bytes;
    uint32_t slot;
    bool again;
    uint64_t classes[EXPIRE_CLASSES]; /* bytes by time to expiry */
};

static uint32_t expire_class(uint64_t left_ms)
{
    uint32_t high;

    if (left_ms < 1u << EXPIRE_CLASS_BITS) {
        return (uint32_t)left_ms;
    }
    high = 63u - (uint32_t)__builtin_clzll(left_ms);
    return ((high - EXPIRE_CLASS_BITS + 1) << EXPIRE_CLASS_BITS) +
           (uint32_t)(left_ms >> (high - EXPIRE_CLASS_BITS) &
                      ((1u << EXPIRE_CLASS_BITS) - 1));
}

/* The least time of a class. */
static uint64_t expire_class_ms(uint32_t class)
{
    uint32_t above = class >> EXPIRE_CLASS_BITS;
    uint64_t within = class & ((1u << EXPIRE_CLASS_BITS) - 1);

    return above == 0 ? within : (within + (1u << EXPIRE_CLASS_BITS)) << (above - 1);
}

/* A few records may stay so long. */
static uint64_t expire_linger(uint64_t earliest_ms)
{
    return earliest_ms < UINT64_MAX - EXPIRE_LINGER_MS ? earliest_ms + EXPIRE_LINGER_MS
                                                       : earliest_ms;
}

void warp_expire_init(struct warp_shard *shard)
{
    shard->sweep_permille = EXPIRE_PERMILLE_FIRST;
}

void warp_expire_note(struct warp_shard *shard, uint32_t slot,
                      const struct warp_record *record, uint64_t expires_at_ms)
{
    struct warp_slot *state = &shard->store->slots[slot];

    uint64_t early_bytes =
        state->early_bytes + warp_slab_round(warp_record_bytes_of(record));
    bool little = early_bytes < state->bytes / EXPIRE_EARLY_PART;
    uint64_t due_ms;

    state->early_bytes = early_bytes < UINT32_MAX ? (uint32_t)early_bytes : UINT32_MAX;
    due_ms = little ? expire_linger(expires_at_ms) : expires_at_ms;
    if (due_ms < state->due_ms) {
        state->due_ms = due_ms;
    }
    if (state->due_ms < shard->due_ms) {
        shard->due_ms = state->due_ms;
    }
}

uint32_t warp_expire_pause(const struct warp_shard *shard)
{
    return shard->probe_expired_bytes > shard->probe_bytes / 100 ? 2 : 4;
}

static int expire_visit(void *context, struct warp_record *record, _Atomic uint64_t *place)
{
    struct expire_walk *walk = context;
    uint64_t expires_at_ms = warp_record_expires_at_ms(record);
    uint64_t bytes;

    if (expires_at_ms == 0) {
        return 0;
    }
    bytes = warp_slab_round(warp_record_bytes_of(record));
    if (expires_at_ms > walk->now_ms) {
        if (expires_at_ms < walk->earliest_ms) {
            walk->earliest_ms = expires_at_ms;
        }
        walk->classes[expire_class(expires_at_ms - walk->now_ms)] += bytes;
        return 0;
    }
    walk->expired_bytes += bytes;
    if (warp_ledger_reserve_out(&walk->shard->ledger, 0, record) < 0 ||
        warp_limbo_reserve(&walk->shard->limbo, 1) < 0) {
        walk->again = true; /* later */
        return 0;
    }
    warp_put_drop(walk->shard, walk->slot,
                  warp_hash_key(warp_record_key(record), warp_record_key_bytes(record),
                                walk->shard->store->hash_seed),
                  record, place);
    warp_counter_add(&walk->shard->counters.expired, 1);
    return 0;
}

/* From when on more than the share of the slot's bytes will have expired. */
static uint64_t expire_foretell(const struct expire_walk *walk, uint64_t slot_bytes)
{
    uint64_t share = slot_bytes * walk->shard->sweep_permille / 1000;
    uint64_t sum = 0, due_ms = walk->earliest_ms;
    uint32_t class;

    if (walk->again) {
        return walk->now_ms;
    }
    if (walk->earliest_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    for (class = 0; class < EXPIRE_CLASSES; class ++) {
        sum += walk->classes[class];
        if (sum > share) {
            due_ms = walk->now_ms + expire_class_ms(class);
            break;
        }
    }
    if (class == EXPIRE_CLASSES || due_ms > expire_linger(walk->earliest_ms)) {
        due_ms = expire_linger(walk->earliest_ms);
    }
    return due_ms < walk->earliest_ms ? walk->earliest_ms : due_ms;
}

/* Returns the bytes that had expired. */
static uint64_t expire_slot(struct warp_shard *shard, uint32_t slot, uint64_t now_ms)
{
    struct warp_slot *state = &shard->store->slots[slot];
    struct expire_walk walk;

    memset(&walk, 0, sizeof(walk));
    walk.shard = shard;
    walk.now_ms = now_ms;
    walk.earliest_ms = UINT64_MAX;
    walk.slot = slot;
    warp_counter_add(&shard->counters.sweeps, 1);
    warp_counter_add(&shard->counters.sweep_looks, state->records);
    (void)warp_table_walk(&shard->store->words[slot], expire_visit, &walk);
    state->early_bytes = 0;
    state->due_ms = expire_foretell(&walk, state->bytes);
    return walk.expired_bytes;
}

/* What the probes say, and what follows from it. */
static void expire_judge(struct warp_shard *shard)
{
    uint64_t permille = shard->probe_bytes == 0
                            ? 0
                            : shard->probe_expired_bytes * 1000 / shard->probe_bytes;

    if (permille > EXPIRE_SHARE_MAX) {
        shard->sweep_permille = shard->sweep_permille * 3 / 4;
        if (shard->sweep_permille < EXPIRE_PERMILLE_MIN) {
            shard->sweep_permille = EXPIRE_PERMILLE_MIN;
        }
    } else if (permille < EXPIRE_SHARE_MIN && shard->sweep_permille < EXPIRE_PERMILLE_MAX) {
        shard->sweep_permille++;
    }
    shard->probe_bytes -= shard->probe_bytes / 4;
    shard->probe_expired_bytes -= shard->probe_expired_bytes / 4;
}

/* Look into some slots whose turn it is not. Returns how many records were looked at. */
static uint32_t expire_probe(struct warp_shard *shard, uint64_t now_ms)
{
    struct warp_store *store = shard->store;
    uint32_t slots, probes = 0, looked = 0;

    for (slots = 0; slots < EXPIRE_SLOTS_PER_CALL / 16 && probes < EXPIRE_PROBES_PER_PASS &&
                    looked < EXPIRE_RECORDS_PER_CALL;
         slots++) {
        uint32_t slot = shard->probe_slot++ % WARP_SLOT_COUNT;
        const struct warp_slot *state = &store->slots[slot];

        if (warp_slotmap_owner(&store->slotmap, slot) != shard->id || state->records == 0) {
            continue;
        }
        probes++;
        shard->probe_bytes += state->bytes;
        if (state->due_ms != UINT64_MAX) {
            looked += state->records;
            shard->probe_expired_bytes += expire_slot(shard, slot, now_ms);
            if (state->due_ms < shard->due_ms) {
                shard->due_ms = state->due_ms;
            }
        }
        if (++shard->probe_count % EXPIRE_PROBES_PER_JUDGE == 0) {
            expire_judge(shard);
        }
    }
    if (shard->probe_bytes > 0) {
        double share = (double)shard->probe_expired_bytes / (double)shard->probe_bytes;

        warp_counter_set(
            &shard->counters.expired_bytes,
            (uint64_t)(share * (double)warp_counter_read(&shard->counters.record_bytes)));
    }
    return looked;
}

bool warp_expire_sweep(struct warp_shard *shard, uint64_t now_ms)
{
    struct warp_store *store = shard->store;
    uint32_t looked = 0, slots = 0;

    warp_shard_assert_owner(shard);
    if (shard->sweep_slot >= WARP_SLOT_COUNT) {
        if (shard->due_ms > now_ms) {
            return false;
        }
        shard->sweep_slot = 0;
        shard->sweep_due_ms = UINT64_MAX;
        /* Puts during the sweep lower it again. */
        shard->due_ms = UINT64_MAX;
        looked = expire_probe(shard, now_ms);
    }
    while (shard->sweep_slot < WARP_SLOT_COUNT) {
        uint32_t slot = shard->sweep_slot;
        struct warp_slot *state = &store->slots[slot];

        if (looked >= EXPIRE_RECORDS_PER_CALL || slots >= EXPIRE_SLOTS_PER_CALL) {
            return true;
        }
        slots++;
        shard->sweep_slot++;
        if (warp_slotmap_owner(&store->slotmap, slot) != shard->id) {
            continue;
        }
        if (state->due_ms <= now_ms) {
            looked += state->records;
            (void)expire_slot(shard, slot, now_ms);
        }
        if (state->due_ms < shard->sweep_due_ms) {
            shard->sweep_due_ms = state->due_ms;
        }
    }
    if (shard->sweep_due_ms < shard->due_ms) {
        shard->due_ms = shard->sweep_due_ms;
    }
    return false;
}
