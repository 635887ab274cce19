/* One at a time holds a lease, and what it wrote is seen by the next. */
#include "shards/lease.h"

#include <pthread.h>
#include <sched.h>

#include "tests/lib/test.h"

#define ROUNDS  20000u
#define THREADS 4u

struct shared {
    struct warp_lease lease;
    uint64_t plain; /* guarded by the lease alone */
    _Atomic uint32_t inside;
    _Atomic uint32_t crowds;
};

WARP_TEST(lease, is_held_by_one)
{
    struct warp_lease lease = {0};

    check(!warp_lease_is_held(&lease));
    check(warp_lease_try(&lease));
    check(warp_lease_is_held(&lease));
    check(!warp_lease_try(&lease));
    warp_lease_give_back(&lease);
    check(!warp_lease_is_held(&lease));
    check(warp_lease_try(&lease));
    warp_lease_give_back(&lease);
}

static void *lease_main(void *context)
{
    struct shared *shared = context;
    uint32_t i;

    for (i = 0; i < ROUNDS; i++) {
        while (!warp_lease_try(&shared->lease)) {
            sched_yield();
        }
        if (atomic_fetch_add(&shared->inside, 1) != 0) {
            atomic_fetch_add(&shared->crowds, 1);
        }
        shared->plain++;
        atomic_fetch_sub(&shared->inside, 1);
        warp_lease_give_back(&shared->lease);
    }
    return NULL;
}

WARP_TEST(lease, orders_what_its_holders_do)
{
    static struct shared shared;
    pthread_t threads[THREADS];
    uint32_t i;

    for (i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, lease_main, &shared);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    check_u64(shared.plain, ==, (uint64_t)THREADS * ROUNDS);
    check_u64(shared.crowds, ==, 0);
}
