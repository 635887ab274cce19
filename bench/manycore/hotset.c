#include "bench/manycore/hotset.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define HOTSET_RECORDS_MIN   16u /* of each shard, if there are so many */
#define HOTSET_KEY_BYTES_MAX 65536u

/* The first owner of a record's slot, if that is one of its hot ones; else shard_count. */
static uint32_t hotset_shard(const struct manycore_hotset *set, enum bench_key_form form,
                             uint8_t *key, size_t key_bytes, uint64_t id)
{
    uint32_t slot;

    bench_key_encode(form, id, key, key_bytes);
    slot = warp_hash_slot(key, key_bytes);
    return slot / set->shard_count < set->slots ? slot % set->shard_count
                                                : set->shard_count;
}

static uint64_t hotset_count(struct manycore_hotset *set, enum bench_key_form form,
                             uint8_t *key, size_t key_bytes, uint64_t records)
{
    uint64_t counts[WARP_SHARD_COUNT_MAX + 1] = {0}, least = UINT64_MAX, id;
    uint32_t shard;

    for (id = 0; id < records; id++) {
        counts[hotset_shard(set, form, key, key_bytes, id)]++;
    }
    set->first[0] = 0;
    for (shard = 0; shard < set->shard_count; shard++) {
        set->first[shard + 1] = set->first[shard] + counts[shard];
        least = counts[shard] < least ? counts[shard] : least;
    }
    return least;
}

static void hotset_fill(struct manycore_hotset *set, enum bench_key_form form, uint8_t *key,
                        size_t key_bytes, uint64_t records)
{
    uint64_t next[WARP_SHARD_COUNT_MAX], id;

    memcpy(next, set->first, sizeof(next));
    for (id = 0; id < records; id++) {
        uint32_t shard = hotset_shard(set, form, key, key_bytes, id);

        if (shard < set->shard_count) {
            set->ids[next[shard]++] = id;
        }
    }
}

int manycore_hotset_create(struct manycore_hotset **set, enum bench_key_form form,
                           size_t key_bytes, uint64_t records, uint32_t shard_count,
                           uint32_t slots)
{
    struct manycore_hotset *made = calloc(1, sizeof(*made));
    uint8_t *key =
        malloc(key_bytes < HOTSET_KEY_BYTES_MAX ? key_bytes + 8 : HOTSET_KEY_BYTES_MAX + 8);
    uint64_t least = 0;

    if (made == NULL || key == NULL) {
        goto fail;
    }
    made->shard_count = shard_count;
    made->slots = slots;
    for (;;) {
        least = hotset_count(made, form, key, key_bytes, records);
        if (least >= HOTSET_RECORDS_MIN || made->slots >= WARP_SLOT_COUNT / shard_count) {
            break;
        }
        made->slots *= 2;
    }
    if (least == 0) {
        goto fail;
    }
    made->ids = malloc(made->first[shard_count] * sizeof(*made->ids));
    if (made->ids == NULL) {
        goto fail;
    }
    hotset_fill(made, form, key, key_bytes, records);
    free(key);
    *set = made;
    return 0;

fail:
    free(key);
    free(made);
    return -1;
}

void manycore_hotset_destroy(struct manycore_hotset **set)
{
    free((*set)->ids);
    free(*set);
    *set = NULL;
}
