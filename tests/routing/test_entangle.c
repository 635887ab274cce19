/* What comes one after the other again and again is learned and fetched ahead; what does not costs nothing
 * after a while, and is looked at again ever more rarely; and what the engine says of the guesses decides
 * how many there are. */
#include "routing/entangle.h"

#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/hash.h"
#include "base/random.h"
#include "tests/lib/test.h"

#define KEYS_MAX 65536u

/* A cache of `capacity` keys, the oldest goes first, in which a fetched key is at once. */
struct world {
    struct warp_memory memory;
    struct warp_entangle entangle;
    struct warp_entangle_trail trail;
    struct warp_random dice;
    bool resident[KEYS_MAX], fetched[KEYS_MAX];
    uint32_t ring[KEYS_MAX];
    uint32_t capacity, first, count;
    uint64_t asked, missed, useful, wasted, issued;
    uint64_t trace; /* of all guesses, in their order */
    uint64_t bytes_most;
    bool sabotage; /* whatever is fetched is told to have been in vain */
};

static struct world *world_make(uint32_t capacity, uint64_t seed, uint64_t bytes_max)
{
    struct world *world = calloc(1, sizeof(*world));

    if (!check(world != NULL)) {
        abort();
    }
    check_int(warp_memory_init(&world->memory, NULL), ==, 0);
    warp_entangle_init(&world->entangle, &world->memory, seed, bytes_max);
    warp_random_init(&world->dice, seed);
    world->capacity = capacity;
    return world;
}

static void world_end(struct world *world)
{
    warp_entangle_fini(&world->entangle);
    check_u64(warp_memory_bytes(&world->memory), ==, 0);
    warp_memory_fini(&world->memory);
    free(world);
}

static void world_bring(struct world *world, uint32_t key, bool fetched)
{
    if (world->count == world->capacity) {
        uint32_t oldest = world->ring[world->first];

        world->wasted += world->fetched[oldest];
        world->resident[oldest] = world->fetched[oldest] = false;
        world->first = (world->first + 1) % world->capacity;
        world->count--;
    }
    world->ring[(world->first + world->count++) % world->capacity] = key;
    world->resident[key] = true;
    world->fetched[key] = fetched;
}

static uint64_t world_name(uint32_t key)
{
    return (key + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void world_guesses(struct world *world, uint32_t key)
{
    struct warp_entangle *entangle = &world->entangle;
    uint64_t guesses[WARP_ENTANGLE_GUESSES];
    uint32_t count, i, guess;

    warp_entangle_account(entangle, world->sabotage ? 0 : world->useful, 0,
                          world->sabotage ? world->wasted + world->useful : world->wasted,
                          world->capacity);
    count = warp_entangle_observe(entangle, &world->trail, world_name(key), guesses);
    check_u64(count, <=, WARP_ENTANGLE_GUESSES);
    for (i = 0; i < count; i++) {
        world->trace = (world->trace ^ guesses[i]) * UINT64_C(0x100000001b3);
        check(guesses[i] != world_name(key));
        for (guess = 0; guess < KEYS_MAX && world_name(guess) != guesses[i]; guess++) {
        }
        if (check_u64(guess, <, KEYS_MAX) && !world->resident[guess]) {
            world_bring(world, guess, true);
            world->issued++;
        }
    }
    if (warp_entangle_wants(entangle) > 0) {
        check_int(warp_entangle_reserve(entangle), ==, 0);
    }
    world->bytes_most = warp_memory_bytes(&world->memory) > world->bytes_most
                            ? warp_memory_bytes(&world->memory)
                            : world->bytes_most;
    check_u64(warp_memory_bytes(&world->memory), ==,
              warp_counter_read(&entangle->bytes)); /* all of it is told */
}

static void world_ask(struct world *world, uint32_t key)
{
    world->asked++;
    if (world->resident[key] && !world->fetched[key]) {
        return;
    }
    if (world->resident[key]) {
        world->fetched[key] = false;
        world->useful++;
    } else {
        world->missed++;
        world_bring(world, key, false);
    }
    world_guesses(world, key);
}

/* Keys first ... first + count - 1, one after the other, so many times. */
static void world_loop(struct world *world, uint32_t first, uint32_t count, uint32_t times)
{
    uint32_t i;

    for (i = 0; i < count * times; i++) {
        world_ask(world, first + i % count);
    }
}

static void world_shuffled(struct world *world, uint32_t keys, uint32_t times)
{
    while (times-- > 0) {
        world_ask(world, (uint32_t)(warp_random_next(&world->dice) % keys));
    }
}

static uint64_t world_missed_by(struct world *world,
                                void (*run)(struct world *world, uint32_t times),
                                uint32_t times)
{
    uint64_t before = world->missed;

    run(world, times);
    return world->missed - before;
}

static void loop_2000(struct world *world, uint32_t times)
{
    world_loop(world, 0, 2000, times);
}

/* 400 groups of 8, in any order; a group always in its own. */
static void groups(struct world *world, uint32_t times)
{
    uint32_t i;

    while (times-- > 0) {
        uint32_t group = (uint32_t)(warp_random_next(&world->dice) % 400);

        for (i = 0; i < 8; i++) {
            world_ask(world, group * 8 + (i * 5 + group) % 8);
        }
    }
}

WARP_TEST(entangle, learns_a_chain_that_comes_again)
{
    struct world *world = world_make(500, 1, 1u << 20);
    uint64_t missed;

    loop_2000(world, 12);
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_ON);
    check_u64(warp_counter_read(&world->entangle.starts), ==, 1);
    /* First in, first out, a loop of four times the cache is missed whole. */
    missed = world_missed_by(world, loop_2000, 5);
    check_u64(missed, <, 5 * 2000 / 4);
    world_end(world);
}

WARP_TEST(entangle, learns_groups_in_any_order)
{
    struct world *world = world_make(600, 2, 1u << 20);
    uint64_t missed;

    groups(world, 12000);
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_ON);
    missed = world_missed_by(world, groups, 2000);
    /* Of each group that is not there, the first must be missed. */
    check_u64(missed, <, 2000 * 8 * 4 / 10);
    check_u64(missed, >, 2000 / 2);
    check_u64(world->wasted * 3, <, world->useful);
    world_end(world);
}

/* What is guessed behind a key, asked for right after the one before it. */
static uint32_t guesses_after(struct world *world, uint32_t before, uint32_t key,
                              uint64_t guesses[WARP_ENTANGLE_GUESSES])
{
    struct warp_entangle_trail trail = {{0}};

    (void)warp_entangle_observe(&world->entangle, &trail, world_name(before), guesses);
    return warp_entangle_observe(&world->entangle, &trail, world_name(key), guesses);
}

static bool guesses_have(const uint64_t *guesses, uint32_t count, uint32_t key)
{
    while (count > 0 && guesses[count - 1] != world_name(key)) {
        count--;
    }
    return count > 0;
}

WARP_TEST(entangle, forgets_what_does_not_come_any_more)
{
    struct world *world = world_make(200, 3, 1u << 20);
    uint64_t guesses[WARP_ENTANGLE_GUESSES];
    uint32_t i, round, count;

    for (round = 0; round < 30; round++) {
        world_loop(world, 0, 1000, 1);
    }
    count = guesses_after(world, 99, 100, guesses);
    check(guesses_have(guesses, count, 101));
    check(guesses_have(guesses, count, 102)); /* and further than one step */
    check(guesses_have(guesses, count, 104));
    /* From now on in strides of 7. */
    for (i = 0; i < 1000 * 60; i++) {
        world_ask(world, i * 7 % 1000);
    }
    count = guesses_after(world, 93, 100, guesses);
    check(guesses_have(guesses, count, 107));
    check(!guesses_have(guesses, count, 101));
    world_end(world);
}

WARP_TEST(entangle, takes_no_more_memory_than_it_may)
{
    struct world *world = world_make(4096, 4, 300000);

    /* Four entries a value would be 512 KiB. */
    world_loop(world, 0, 8000, 30);
    check_u64(warp_counter_read(&world->entangle.starts), >=, 1);
    check_u64(world->bytes_most, <=, 300000);
    check_u64(world->bytes_most, >, 150000);
    world_end(world);
}

WARP_TEST(entangle, what_has_no_order_ends_it_and_is_looked_at_ever_more_rarely)
{
    struct world *world = world_make(1000, 5, 1u << 20);
    uint64_t stops[3];

    world_shuffled(world, 8000, 50000);
    stops[0] = warp_counter_read(&world->entangle.stops);
    check_u64(stops[0], >, 0);
    world_shuffled(world, 8000, 400000);
    stops[1] = warp_counter_read(&world->entangle.stops);
    world_shuffled(world, 8000, 400000);
    stops[2] = warp_counter_read(&world->entangle.stops);
    check_u64(stops[1], >, stops[0]);
    check_u64(stops[2] - stops[1], <=, stops[1] - stops[0]);
    check_u64(stops[2], <=, 6);
    check_u64(warp_counter_read(&world->entangle.starts), ==, 0);
    /* Hardly anything was fetched, and the little table of a probe is all it ever had. */
    check_u64(world->issued * 200, <, world->asked);
    check_u64(world->bytes_most, <=, 1000 * 4 * WARP_ENTANGLE_ENTRY / 8);
    world_end(world);
}

WARP_TEST(entangle, gives_its_memory_back_when_the_order_ends)
{
    struct world *world = world_make(500, 6, 1u << 20);
    uint32_t i;

    loop_2000(world, 12);
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_ON);
    check_u64(warp_counter_read(&world->entangle.bytes), >, 32768);
    for (i = 0; i < 100 && warp_entangle_state(&world->entangle) != WARP_ENTANGLE_OFF;
         i++) {
        world_shuffled(world, 8000, 1000);
    }
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_OFF);
    /* A little is kept for the next look. */
    check_u64(warp_counter_read(&world->entangle.bytes), <=, 500 * 4 * 32 / 8);
    check_u64(warp_memory_bytes(&world->memory), ==,
              warp_counter_read(&world->entangle.bytes));
    world_end(world);
}

WARP_TEST(entangle, comes_back_when_there_is_an_order_again)
{
    struct world *world = world_make(500, 7, 1u << 20);

    world_shuffled(world, 8000, 30000);
    check_u64(warp_counter_read(&world->entangle.stops), >, 0);
    check_u64(warp_counter_read(&world->entangle.starts), ==, 0);
    loop_2000(world, 60);
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_ON);
    world_end(world);
}

WARP_TEST(entangle, guesses_less_while_guesses_are_in_vain)
{
    struct world *world = world_make(500, 8, 1u << 20);
    uint32_t tau, evidence;
    uint64_t issued;

    loop_2000(world, 12);
    tau = world->entangle.tau;
    evidence = world->entangle.evidence;
    check_u64(evidence, ==, 1); /* it goes well */
    check_u64(atomic_load(&world->entangle.window), >, 10);
    world->sabotage = true;
    world->useful = 0; /* from here on */
    world->wasted += 100000;
    loop_2000(world, 1);
    check_u64(world->entangle.tau, >, tau);
    check_u64(world->entangle.evidence, ==, 2);
    check_u64(world->entangle.tau, <, 1000);
    issued = world->issued;
    loop_2000(world, 12);
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_OFF);
    check_u64(atomic_load(&world->entangle.window), ==, 10);
    check_u64(world->issued - issued, <, 12 * 2000);
    world_end(world);
}

WARP_TEST(entangle, a_key_shared_by_two_chains_is_followed_by_what_goes_with_the_one_before)
{
    struct world *world = world_make(200, 9, 1u << 20);
    uint64_t guesses[WARP_ENTANGLE_GUESSES];
    uint32_t round, i, count;

    /* 0 1 [5000] 2, then 10 11 [5000] 12, and what keeps them out of memory between them. */
    for (round = 0; round < 200; round++) {
        static const uint32_t chains[2][4] = {{0, 1, 5000, 2}, {10, 11, 5000, 12}};

        for (i = 0; i < 4; i++) {
            world_ask(world, chains[round % 2][i]);
        }
        world_loop(world, 100, 600, 1);
    }
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_ON);
    count = guesses_after(world, 1, 5000, guesses);
    check(guesses_have(guesses, count, 2));
    count = guesses_after(world, 11, 5000, guesses);
    check(guesses_have(guesses, count, 12));
    check(!guesses_have(guesses, count, 2));
    world_end(world);
}

WARP_TEST(entangle, the_same_seed_guesses_the_same)
{
    struct world *one = world_make(600, 10, 1u << 20), *two = world_make(600, 10, 1u << 20);

    groups(one, 4000);
    groups(two, 4000);
    check_u64(one->issued, >, 1000);
    check_u64(one->trace, ==, two->trace);
    check_u64(one->missed, ==, two->missed);
    world_end(one);
    world_end(two);
}

WARP_TEST(entangle, without_memory_it_rests_and_asks_again)
{
    struct world *world = world_make(500, 11, 1u << 20);
    uint64_t guesses[WARP_ENTANGLE_GUESSES];
    uint32_t i;

    warp_entangle_account(&world->entangle, 0, 0, 0, 500);
    (void)warp_entangle_observe(&world->entangle, &world->trail, 1, guesses);
    check_u64(warp_entangle_wants(&world->entangle), >, 0);
    warp_memory_fail_after(&world->memory, 0);
    check_int(warp_entangle_reserve(&world->entangle), ==, WARP_ENOMEM);
    check_u64(warp_entangle_wants(&world->entangle), ==, 0);
    warp_memory_fail_after(&world->memory, UINT64_MAX);
    for (i = 0; i < 100000 && warp_entangle_wants(&world->entangle) == 0; i++) {
        check_u64(warp_entangle_observe(&world->entangle, &world->trail, i + 1, guesses),
                  ==, 0);
    }
    check_u64(i, >, 10000);
    check_u64(warp_entangle_wants(&world->entangle), >, 0);
    check_int(warp_entangle_reserve(&world->entangle), ==, 0);
    check_int(warp_entangle_state(&world->entangle), ==, WARP_ENTANGLE_PROBE);
    world_end(world);
}
