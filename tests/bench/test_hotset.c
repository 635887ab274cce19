/* Hot records lie on the shard whose turn it is, and all that lie in its hot slots are hot. */
#include "bench/manycore/hotset.h"

#include <string.h>

#include "base/hash.h"
#include "tests/lib/test.h"

static uint32_t slot_of(uint64_t id)
{
    uint8_t key[16];

    bench_key_encode(BENCH_KEY_SCATTERED, id, key, sizeof(key));
    return warp_hash_slot(key, sizeof(key));
}

WARP_TEST(hotset, has_all_records_of_some_slots_of_each_shard)
{
    static const uint32_t shards[] = {1, 2, 7, 64};
    uint32_t s;

    for (s = 0; s < 4; s++) {
        struct manycore_hotset *set = NULL;
        struct bench_random random;
        uint64_t hot = 0, id;
        uint32_t draw;

        check_int(
            manycore_hotset_create(&set, BENCH_KEY_SCATTERED, 16, 100000, shards[s], 64),
            ==, 0);
        check_u64(set->slots, ==, 64);
        for (id = 0; id < 100000; id++) {
            hot += slot_of(id) / shards[s] < 64;
        }
        check_u64(set->first[shards[s]], ==, hot);
        bench_random_init(&random, test_seed(), 0);
        for (draw = 0; draw < 10000; draw++) {
            uint32_t shard = draw % shards[s];

            id = manycore_hotset_at(set, shard, &random);
            check_u64(id, <, 100000);
            check_u64(slot_of(id) % shards[s], ==, shard);
            check_u64(slot_of(id) / shards[s], <, 64);
        }
        manycore_hotset_destroy(&set);
        check(set == NULL);
    }
}

WARP_TEST(hotset, takes_more_slots_where_there_are_few_records)
{
    struct manycore_hotset *set = NULL;

    check_int(manycore_hotset_create(&set, BENCH_KEY_SCATTERED, 16, 1000, 2, 1), ==, 0);
    check_u64(set->slots, >, 1);
    check_u64(set->first[1], >=, 16);
    check_u64(set->first[2] - set->first[1], >=, 16);
    manycore_hotset_destroy(&set);
    /* And none at all where a shard has none. */
    check_int(manycore_hotset_create(&set, BENCH_KEY_SCATTERED, 16, 1, 64, 1), ==, -1);
    check(set == NULL);
}
