/* What goes in comes out in the order of an archive, within the memory that was given. */
#include "shards/haul.h"

#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"
#include "warp/warp.h"

static int haul_put(struct warp_haul *haul, uint32_t slot, uint64_t hash, uint64_t place,
                    uint32_t value_bytes)
{
    struct warp_haul_item *item;
    int rc = warp_haul_reserve(haul, 4, value_bytes, &item);

    if (rc == 0) {
        item->slot = slot;
        item->hash = hash;
        item->place = place;
        memset(item->bytes, (int)(place & 255), 4 + value_bytes);
        warp_haul_commit(haul, item);
    }
    return rc;
}

WARP_TEST(haul, gives_records_by_slot_and_hash)
{
    struct warp_memory memory;
    struct warp_haul haul;
    struct warp_haul_item *item, *before;
    struct warp_random random;
    uint32_t round, i, count;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_haul_init(&haul, &memory, 1 << 20);
    warp_random_init(&random, test_seed());
    for (round = 0; round < 200; round++) {
        count = (uint32_t)warp_random_below(&random, 300);
        for (i = 0; i < count; i++) {
            check_int(haul_put(&haul, (uint32_t)warp_random_below(&random, 20),
                               warp_random_below(&random, 5), i,
                               (uint32_t)warp_random_below(&random, 100)),
                      ==, 0);
        }
        before = NULL;
        for (i = 0; (item = warp_haul_take(&haul)) != NULL; i++) {
            if (warp_random_chance(&random, 10)) {
                warp_haul_untake(&haul); /* an archive was full */
                check(warp_haul_take(&haul) == item);
            }
            check(item->bytes[0] == (item->place & 255));
            check(item->bytes[3 + item->value_bytes] == (item->place & 255));
            if (before != NULL) {
                check(before->slot < item->slot ||
                      (before->slot == item->slot &&
                       (before->hash < item->hash ||
                        (before->hash == item->hash && before->place < item->place))));
            }
            check(warp_haul_taken(&haul, i) == item);
            before = item;
            if (i == count / 2 && i > 0) {
                /* Half of them are in a sealed archive. */
                count -= i + 1;
                warp_haul_drop(&haul);
                i = UINT32_MAX;
            }
        }
        check_u64(warp_haul_taken_count(&haul), ==, i);
        warp_haul_drop(&haul);
        check_u64(warp_memory_bytes(&memory), ==, 0);
    }
    warp_haul_fini(&haul);
    warp_memory_fini(&memory);
}

WARP_TEST(haul, is_full_at_its_bound_but_takes_one_of_any_size)
{
    struct warp_memory memory;
    struct warp_haul haul;
    uint32_t i = 0;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_haul_init(&haul, &memory, 100000);
    while (haul_put(&haul, i, 0, i, 500) == 0) {
        i++;
        check_u64(warp_memory_bytes(&memory), <=, 100000);
    }
    check_u64(i, >, 120);
    check_int(haul_put(&haul, 0, 0, 0, 500), ==, WARP_AGAIN);
    warp_haul_clear(&haul);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    check_int(haul_put(&haul, 0, 0, 0, 1000000), ==, 0);
    check_int(haul_put(&haul, 0, 0, 0, 10), ==, WARP_AGAIN);
    warp_haul_fini(&haul);
    warp_memory_fini(&memory);
}

WARP_TEST(haul, without_memory_nothing_is_lost)
{
    struct warp_memory memory;
    struct warp_haul haul;
    struct warp_haul_item *item;
    uint32_t kept = 0, i;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_haul_init(&haul, &memory, 100000);
    for (i = 0; i < 2000; i++) {
        int rc;

        warp_memory_fail_after(&memory, i % 2);
        rc = haul_put(&haul, i, i, i, i % 50);
        kept += rc == 0;
        check(rc == 0 || rc == WARP_ENOMEM || rc == WARP_AGAIN);
        if (i % 10 == 0 && rc == 0) {
            warp_memory_fail_after(&memory, UINT64_MAX);
            if (warp_haul_reserve(&haul, 3, 3, &item) == 0) {
                warp_haul_undo(&haul, item); /* it was damaged */
            }
        }
    }
    warp_memory_fail_after(&memory, UINT64_MAX);
    for (i = 0; warp_haul_take(&haul) != NULL; i++) {
    }
    check_u64(i, ==, kept);
    check_u64(kept, >, 300);
    warp_haul_fini(&haul);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}
