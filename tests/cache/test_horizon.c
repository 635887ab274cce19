/*
 * The policies do what the textbook versions below do, bytes are counted right whatever
 * records do meanwhile, queues stay as long as their records are many, and nothing fails
 * that was reserved.
 */
#include "cache/horizon.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "tests/lib/test.h"

/* ---- a world of records -------------------------------------------------------------- */

struct object {
    uint64_t bytes;
    uint8_t hits;
    uint8_t queue;
    bool resident;
    bool stays; /* refuses to leave */
};

struct world {
    struct warp_memory memory;
    struct warp_horizon horizon;
    struct object *objects;
    uint32_t object_count;
    bool in_call;
};

static struct world world;

static uint32_t slot_of(uint32_t id)
{
    return id & (WARP_SLOT_COUNT - 1);
}

/* All 64 bits are used, so that the test sees which of them come back. */
static uint64_t hash_of(uint32_t id)
{
    uint64_t mixed = (id + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return (mixed & ~UINT64_C(0xffffffff)) | id;
}

static bool world_look(void *context, uint32_t slot, uint64_t hash50,
                       struct warp_horizon_item *out)
{
    uint32_t id = (uint32_t)hash50;
    struct object *object = &world.objects[id];

    check(context == &world);
    check_u64(id, <, world.object_count);
    check_u64(hash50, ==, hash_of(id) & WARP_HORIZON_HASH_MASK);
    check_u64(slot, ==, slot_of(id));
    if (!object->resident) {
        return false;
    }
    *out = (struct warp_horizon_item){.bytes = object->bytes,
                                      .hits = object->hits,
                                      .queue = object->queue,
                                      .cookie = object};
    return true;
}

static void world_set(void *context, const struct warp_horizon_item *item, uint8_t hits,
                      uint8_t queue)
{
    struct object *object = item->cookie;

    check(context == &world);
    check(object->resident);
    check_u64(hits, <=, WARP_HORIZON_HITS_MAX);
    check(queue != WARP_HORIZON_NONE && queue <= 3);
    object->hits = hits;
    object->queue = queue;
}

static bool world_evict(void *context, const struct warp_horizon_item *item)
{
    struct object *object = item->cookie;

    check(context == &world);
    check(object->resident);
    if (object->stays) {
        return false;
    }
    object->resident = false;
    object->queue = WARP_HORIZON_NONE;
    object->hits = 0;
    return true;
}

static const struct warp_horizon_ops world_ops = {
    .look = world_look, .set = world_set, .evict = world_evict};

static void world_setup(enum warp_horizon_policy policy, uint64_t budget, uint64_t ghost,
                        uint32_t objects)
{
    memset(&world, 0, sizeof(world));
    world.objects = calloc(objects, sizeof(struct object));
    world.object_count = objects;
    check(world.objects != NULL);
    check_int(warp_memory_init(&world.memory, NULL), ==, 0);
    check_int(warp_horizon_init(&world.horizon, &world.memory, policy, budget, ghost,
                                &world_ops, &world),
              ==, 0);
}

static void world_teardown(void)
{
    warp_horizon_fini(&world.horizon);
    check_u64(warp_memory_bytes(&world.memory), ==, 0);
    warp_memory_fini(&world.memory);
    free(world.objects);
}

static void world_admit(uint32_t id, uint64_t bytes)
{
    struct object *object = &world.objects[id];

    object->queue = warp_horizon_admit(&world.horizon, slot_of(id), hash_of(id), bytes);
    object->hits = 0;
    object->bytes = bytes;
    object->resident = true;
}

static void world_touch(uint32_t id)
{
    if (world.objects[id].hits < WARP_HORIZON_HITS_MAX) {
        world.objects[id].hits++;
    }
}

static void world_forget(uint32_t id)
{
    uint8_t queue = world.objects[id].queue;

    world.objects[id].resident = false;
    world.objects[id].queue = WARP_HORIZON_NONE;
    warp_horizon_forget(&world.horizon, queue, world.objects[id].bytes);
}

/* As a cold read does it; false: it passes by. */
static bool world_miss(uint32_t id, uint64_t bytes)
{
    uint64_t excess;

    check_int(warp_horizon_reserve(&world.horizon, 1), ==, 0);
    if (!warp_horizon_admits(&world.horizon, slot_of(id), hash_of(id), bytes)) {
        return false;
    }
    excess = warp_horizon_excess(&world.horizon, bytes);
    if (excess > 0) {
        warp_horizon_evict(&world.horizon, excess, UINT32_MAX);
    }
    world_admit(id, bytes);
    return true;
}

static uint64_t metric(const _Atomic uint64_t *counter)
{
    return warp_counter_read(counter);
}

#define METRIC(name) metric(&world.horizon.metrics.name)

/* ---- what must hold at any time ------------------------------------------------------ */

static void world_mark(const struct warp_fifo_chunk *chunk, uint32_t index, uint64_t count,
                       uint8_t code, bool *seen)
{
    for (; count > 0; count--) {
        uint32_t id;

        if (index == WARP_FIFO_CHUNK_ENTRIES) {
            chunk = chunk->next;
            index = 0;
        }
        id = (uint32_t)chunk->entries[index++];
        if (world.objects[id].resident && world.objects[id].queue == code) {
            seen[id] = true;
        }
    }
}

static void world_mark_queue(const struct warp_horizon_fifo *queue, bool *seen)
{
    const struct warp_fifo *fifo = &queue->fifo;

    if (!fifo->passing) {
        check(queue->code == queue->code_push);
        world_mark(fifo->first, fifo->head, fifo->entries, queue->code, seen);
        return;
    }
    world_mark(fifo->first, fifo->head, fifo->unread, queue->code, seen);
    world_mark(fifo->write_chunk, fifo->write, fifo->entries - fifo->unread,
               queue->code_push, seen);
}

/* Every value in memory has an entry that will be believed, and is counted where it says it
 * is. */
static void world_check(void)
{
    const struct warp_horizon *horizon = &world.horizon;
    bool *seen = calloc(world.object_count, sizeof(bool));
    uint64_t bytes[2] = {0, 0}, live[2] = {0, 0};
    uint32_t id;

    world_mark_queue(&horizon->small, seen);
    world_mark_queue(&horizon->main, seen);
    for (id = 0; id < world.object_count; id++) {
        const struct object *object = &world.objects[id];
        bool small = object->queue == horizon->small.code ||
                     object->queue == horizon->small.code_push;

        if (object->resident && object->queue != WARP_HORIZON_NONE) {
            check(seen[id]);
            check(small || object->queue == horizon->main.code ||
                  object->queue == horizon->main.code_push);
            bytes[!small] += object->bytes;
            live[!small]++;
        }
    }
    check_u64(horizon->small.bytes, ==, bytes[0]);
    check_u64(horizon->main.bytes, ==, bytes[1]);
    check_u64(horizon->small.live, ==, live[0]);
    check_u64(horizon->main.live, ==, live[1]);
    check_u64(warp_horizon_bytes(horizon), ==, bytes[0] + bytes[1]);
    check_u64(METRIC(live), ==, live[0] + live[1]);
    check_u64(METRIC(entries), ==,
              horizon->small.fifo.entries + horizon->main.fifo.entries);
    check_u64(METRIC(memory_bytes), ==, warp_memory_bytes(&world.memory));
    free(seen);
}

/* ---- the textbook -------------------------------------------------------------------- */

#define NOWHERE UINT32_MAX

/* A list of ids, each at most once. */
struct list {
    uint32_t *older, *younger;
    uint32_t oldest, youngest, count;
};

static void list_init(struct list *list, uint32_t objects)
{
    list->older = malloc(objects * sizeof(uint32_t));
    list->younger = malloc(objects * sizeof(uint32_t));
    list->oldest = list->youngest = NOWHERE;
    list->count = 0;
}

static void list_fini(struct list *list)
{
    free(list->older);
    free(list->younger);
}

static void list_push(struct list *list, uint32_t id)
{
    list->older[id] = list->youngest;
    list->younger[id] = NOWHERE;
    if (list->youngest == NOWHERE) {
        list->oldest = id;
    } else {
        list->younger[list->youngest] = id;
    }
    list->youngest = id;
    list->count++;
}

static void list_remove(struct list *list, uint32_t id)
{
    uint32_t older = list->older[id], younger = list->younger[id];

    if (older == NOWHERE) {
        list->oldest = younger;
    } else {
        list->younger[older] = younger;
    }
    if (younger == NOWHERE) {
        list->youngest = older;
    } else {
        list->older[younger] = older;
    }
    list->count--;
}

static uint32_t list_pop(struct list *list)
{
    uint32_t id = list->oldest;

    list_remove(list, id);
    return id;
}

enum book_where { BOOK_OUT, BOOK_SMALL, BOOK_MAIN, BOOK_GHOST };

struct book {
    enum warp_horizon_policy policy;
    uint32_t capacity;
    struct list small, main, ghost;
    uint8_t *where;
    uint32_t *hits;
    uint32_t hand;
};

static void book_init(struct book *book, enum warp_horizon_policy policy, uint32_t capacity,
                      uint32_t objects)
{
    book->policy = policy;
    book->capacity = capacity;
    list_init(&book->small, objects);
    list_init(&book->main, objects);
    list_init(&book->ghost, objects);
    book->where = calloc(objects, 1);
    book->hits = calloc(objects, sizeof(uint32_t));
    book->hand = NOWHERE;
}

static void book_fini(struct book *book)
{
    list_fini(&book->small);
    list_fini(&book->main);
    list_fini(&book->ghost);
    free(book->where);
    free(book->hits);
}

static void book_evict_s3fifo(struct book *book)
{
    uint32_t floor = book->capacity / 2 < 32 ? book->capacity / 2 : 32;
    uint32_t small = book->capacity / 10 > floor ? book->capacity / 10 : floor;
    uint32_t id;

    if (book->main.count > book->capacity - small || book->small.count == 0) {
        id = list_pop(&book->main);
        if (book->hits[id] >= 1) {
            book->hits[id] = (book->hits[id] < 3 ? book->hits[id] : 3) - 1;
            list_push(&book->main, id);
        } else {
            book->where[id] = BOOK_OUT;
        }
        return;
    }
    id = list_pop(&book->small);
    if (book->hits[id] >= 2) {
        book->hits[id] = 0;
        book->where[id] = BOOK_MAIN;
        list_push(&book->main, id);
        return;
    }
    book->where[id] = BOOK_GHOST;
    list_push(&book->ghost, id);
    if (book->ghost.count > book->capacity * 9 / 10) {
        book->where[list_pop(&book->ghost)] = BOOK_OUT;
    }
}

static void book_evict_sieve(struct book *book)
{
    uint32_t at = book->hand == NOWHERE ? book->main.oldest : book->hand;

    while (book->hits[at] > 0) {
        book->hits[at] = 0;
        at = book->main.younger[at] == NOWHERE ? book->main.oldest : book->main.younger[at];
    }
    book->hand = book->main.younger[at];
    list_remove(&book->main, at);
    book->where[at] = BOOK_OUT;
}

static void book_evict(struct book *book)
{
    uint32_t id;

    switch (book->policy) {
    case WARP_HORIZON_S3FIFO:
        book_evict_s3fifo(book);
        return;
    case WARP_HORIZON_SIEVE:
        book_evict_sieve(book);
        return;
    case WARP_HORIZON_FIFO:
    case WARP_HORIZON_LRU:
        book->where[list_pop(&book->main)] = BOOK_OUT;
        return;
    case WARP_HORIZON_CLOCK:
        id = list_pop(&book->main);
        if (book->hits[id] > 0) {
            book->hits[id] = 0;
            list_push(&book->main, id);
        } else {
            book->where[id] = BOOK_OUT;
        }
        return;
    }
}

/* True: a miss. */
static bool book_get(struct book *book, uint32_t id)
{
    bool known;

    if (book->where[id] == BOOK_SMALL || book->where[id] == BOOK_MAIN) {
        book->hits[id]++;
        if (book->policy == WARP_HORIZON_LRU) {
            list_remove(&book->main, id);
            list_push(&book->main, id);
        }
        return false;
    }
    known = book->policy != WARP_HORIZON_S3FIFO || book->where[id] == BOOK_GHOST;
    if (book->where[id] == BOOK_GHOST) {
        list_remove(&book->ghost, id);
    }
    while (book->small.count + book->main.count >= book->capacity) {
        book_evict(book);
    }
    book->hits[id] = 0;
    book->where[id] = known ? BOOK_MAIN : BOOK_SMALL;
    list_push(known ? &book->main : &book->small, id);
    return true;
}

static uint64_t book_misses(enum warp_horizon_policy policy, const uint32_t *trace,
                            uint32_t requests, uint32_t objects, uint32_t capacity)
{
    struct book book;
    uint64_t misses = 0;
    uint32_t i;

    book_init(&book, policy, capacity, objects);
    for (i = 0; i < requests; i++) {
        misses += book_get(&book, trace[i]);
    }
    book_fini(&book);
    return misses;
}

static uint64_t horizon_misses(enum warp_horizon_policy policy, const uint32_t *trace,
                               uint32_t requests, uint32_t objects, uint32_t capacity)
{
    uint64_t misses = 0;
    uint32_t i;

    world_setup(policy, capacity, capacity, objects);
    for (i = 0; i < requests && test_failures() == 0; i++) {
        if (world.objects[trace[i]].resident) {
            world_touch(trace[i]);
        } else {
            misses++;
            check(world_miss(trace[i], 1));
            check_u64(warp_horizon_bytes(&world.horizon), <=, capacity);
        }
    }
    world_check();
    world_teardown();
    return misses;
}

/* ---- against the textbook ------------------------------------------------------------ */

#define TRACE_REQUESTS 60000u
#define TRACE_OBJECTS  4000u
#define TRACE_KINDS    4u

static uint32_t trace[TRACE_REQUESTS];

/* Few are asked for often: the share of the first n objects is about a power of n. */
static uint32_t skewed(struct warp_random *random, double power)
{
    double uniform = (double)(warp_random_next(random) >> 11) / 9007199254740992.0;

    return (uint32_t)(pow(uniform, power) * TRACE_OBJECTS);
}

/* The seed is fixed: at one of 10^5 seeds a fingerprint in the ghost is mistaken for
 * another. */
static void trace_make(uint32_t kind)
{
    struct warp_random random;
    uint32_t i, scan = 0;

    warp_random_init(&random, 1000 + kind);
    for (i = 0; i < TRACE_REQUESTS; i++) {
        switch (kind) {
        case 0: /* skewed */
            trace[i] = skewed(&random, 4.0);
            break;
        case 1: /* a loop, longer than some caches */
            trace[i] = i % 700;
            break;
        case 2: /* skewed, with scans through everything */
            scan = scan == 0 && warp_random_chance(&random, 2000) ? TRACE_OBJECTS : scan;
            trace[i] = scan > 0 ? --scan : skewed(&random, 3.0);
            break;
        default: /* what is popular wanders, and short loops come by */
            trace[i] = i / 3000 % 2 == 0 ? (skewed(&random, 5.0) + i / 40) % TRACE_OBJECTS
                                         : (i / 6000 * 300 + i % 450) % TRACE_OBJECTS;
            break;
        }
    }
}

static const uint32_t capacities[] = {64, 100, 137, 250, 400, 500};
#define CAPACITIES (sizeof(capacities) / sizeof(capacities[0]))

/* The last trace asks again for most of what has just left, so the ghost reaches far back
 * with few entries, and a bigger one counts ages more coarsely then. */
static bool ghost_is_coarse(enum warp_horizon_policy policy, uint32_t kind,
                            uint32_t capacity)
{
    return policy == WARP_HORIZON_S3FIFO && kind == 3 && capacity > 250;
}

static void same_as_the_book(enum warp_horizon_policy policy, uint32_t kind,
                             uint32_t capacity, double tolerance)
{
    uint64_t book = book_misses(policy, trace, TRACE_REQUESTS, TRACE_OBJECTS, capacity);
    uint64_t ours = horizon_misses(policy, trace, TRACE_REQUESTS, TRACE_OBJECTS, capacity);
    double apart = fabs((double)ours - (double)book) / TRACE_REQUESTS;

    if (!check(apart <= tolerance)) {
        fprintf(stderr, "trace %u, capacity %u: %llu misses, the book %llu\n", kind,
                capacity, (unsigned long long)ours, (unsigned long long)book);
    }
}

static void always_as_the_book(enum warp_horizon_policy policy, double tolerance)
{
    uint32_t kind;
    size_t i;

    for (kind = 0; kind < TRACE_KINDS && test_failures() == 0; kind++) {
        trace_make(kind);
        for (i = 0; i < CAPACITIES && test_failures() == 0; i++) {
            bool coarse = ghost_is_coarse(policy, kind, capacities[i]);

            same_as_the_book(policy, kind, capacities[i], coarse ? 0.001 : tolerance);
        }
    }
}

WARP_TEST(horizon, s3fifo_is_the_textbook_to_the_last_miss)
{
    always_as_the_book(WARP_HORIZON_S3FIFO, 0.0);
}

WARP_TEST(horizon, fifo_is_the_textbook_to_the_last_miss)
{
    always_as_the_book(WARP_HORIZON_FIFO, 0.0);
}

WARP_TEST(horizon, clock_is_the_textbook_to_the_last_miss)
{
    always_as_the_book(WARP_HORIZON_CLOCK, 0.0);
}

WARP_TEST(horizon, sieve_is_the_textbook_to_the_last_miss)
{
    always_as_the_book(WARP_HORIZON_SIEVE, 0.0);
}

WARP_TEST(horizon, lru_without_a_write_per_hit_is_within_a_hundredth)
{
    always_as_the_book(WARP_HORIZON_LRU, 0.01);
}

WARP_TEST(horizon, s3fifo_of_any_size_is_near_the_textbook)
{
    static const uint32_t sizes[] = {1000, 2000, 3000};
    uint32_t kind;
    size_t i;

    for (kind = 0; kind < TRACE_KINDS; kind++) {
        trace_make(kind);
        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            same_as_the_book(WARP_HORIZON_S3FIFO, kind, sizes[i], 0.001);
        }
    }
}

/* ---- real traces, where there are any ------------------------------------------------ */

/* Miss ratios of the reference simulator (libCacheSim aa0fc40) at 3, 10 and 30 % of the
 * objects. */
static const struct {
    const char *name;
    double s3fifo[3], lru[3];
} traces[] = {
    {"web12", {0.4188, 0.2775, 0.1950}, {0.4678, 0.3152, 0.2075}},
    {"arc-oltp", {0.4303, 0.3222, 0.2547}, {0.4502, 0.3348, 0.2557}},
    {"cphys", {0.8181, 0.7525, 0.6280}, {0.8303, 0.8049, 0.6608}},
    {"lirs-multi3", {0.6937, 0.5472, 0.4274}, {0.8411, 0.6451, 0.5464}},
};

static uint32_t *trace_load(const char *folder, const char *name, uint32_t *requests)
{
    char command[512];
    uint32_t *ids = NULL;
    uint32_t count = 0, room = 0, id;
    FILE *pipe;

    snprintf(command, sizeof(command), "zstd -dcq '%s/%s.u32.zst' 2>/dev/null", folder,
             name);
    pipe = popen(command, "r");
    while (pipe != NULL && fread(&id, sizeof(id), 1, pipe) == 1) {
        if (count == room) {
            room = room == 0 ? 1u << 16 : room * 2;
            ids = realloc(ids, room * sizeof(*ids));
        }
        ids[count++] = WARP_LE32(id);
    }
    if (pipe != NULL) {
        pclose(pipe);
    }
    *requests = count;
    return ids;
}

WARP_TEST(horizon, real_traces_miss_no_more_than_the_reference)
{
    static const uint32_t percents[] = {3, 10, 30};
    const char *folder = getenv("WARP_TRACES");
    size_t i, j;

    if (folder == NULL || folder[0] == '\0') {
        test_skip("skipped: WARP_TRACES names no folder of traces");
        return;
    }
    for (i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        uint32_t requests, objects = 0, at;
        uint32_t *ids = trace_load(folder, traces[i].name, &requests);

        if (requests == 0) {
            free(ids);
            test_skip("skipped: cannot read %s in %s; is zstd installed?", traces[i].name,
                      folder);
            return;
        }
        for (at = 0; at < requests; at++) {
            objects = ids[at] >= objects ? ids[at] + 1 : objects;
        }
        for (j = 0; j < 3; j++) {
            uint32_t capacity = (uint32_t)((uint64_t)objects * percents[j] / 100);
            double ratio = (double)horizon_misses(WARP_HORIZON_S3FIFO, ids, requests,
                                                  objects, capacity) /
                           requests;

            printf("%s, %u %%: %.4f, reference %.4f, LRU %.4f\n", traces[i].name,
                   percents[j], ratio, traces[i].s3fifo[j], traces[i].lru[j]);
            check(ratio <= traces[i].s3fifo[j] + 0.01);
            check(percents[j] != 10 || ratio < traces[i].lru[j]);
        }
        free(ids);
    }
}

/* ---- the promises, one by one -------------------------------------------------------- */

WARP_TEST(horizon, an_entry_is_eight_bytes_and_has_slot_and_hash)
{
    check_u64(WARP_HORIZON_HASH_MASK >> 48, ==, 0xffff); /* the tag of a table's bucket */
    check_u64(__builtin_popcountll(WARP_HORIZON_HASH_MASK), ==, 50);
    world_setup(WARP_HORIZON_FIFO, 1000, 0, 70000);
    world_miss(69999, 10); /* the callbacks compare */
    check_u64(METRIC(entries), ==, 1);
    check_u64(warp_horizon_evict(&world.horizon, 1, 1), ==, 10);
    check(!world.objects[69999].resident);
    world_teardown();
}

WARP_TEST(horizon, what_is_new_goes_to_small_and_leaves_from_there)
{
    uint32_t id;

    world_setup(WARP_HORIZON_S3FIFO, 100, 100, 1000);
    for (id = 0; id < 100; id++) {
        check(world_miss(id, 1));
        check_u64(world.objects[id].queue, ==, WARP_HORIZON_SMALL);
    }
    world_touch(0);
    world_touch(1);
    world_touch(1);
    check(world_miss(100, 1));
    check(!world.objects[0].resident); /* read once: that does not count */
    check(world_miss(101, 1));
    check(world.objects[1].resident); /* read twice */
    check_u64(world.objects[1].queue, ==, WARP_HORIZON_MAIN);
    check_u64(world.objects[1].hits, ==, 0);
    check(!world.objects[2].resident);
    check_u64(METRIC(promotions), ==, 1);
    check_u64(METRIC(evictions), ==, 2);
    check_u64(METRIC(admissions_small), ==, 102);
    world_check();
    world_teardown();
}

WARP_TEST(horizon, who_comes_back_soon_goes_to_main)
{
    uint32_t id;

    world_setup(WARP_HORIZON_S3FIFO, 100, 100, 1000);
    for (id = 0; id < 110; id++) {
        world_miss(id, 1);
    }
    check(world_miss(3, 1));
    check_u64(world.objects[3].queue, ==, WARP_HORIZON_MAIN);
    check_u64(METRIC(ghost_hits), ==, 1);
    check_u64(METRIC(admissions_main), ==, 1);
    world_forget(3);
    check(world_miss(3, 1)); /* the ghost has let it go */
    check_u64(world.objects[3].queue, ==, WARP_HORIZON_SMALL);
    world_teardown();
}

WARP_TEST(horizon, without_a_question_before_the_ghost_is_asked_by_admit)
{
    uint32_t id;

    world_setup(WARP_HORIZON_S3FIFO, 100, 100, 1000);
    for (id = 0; id < 110; id++) {
        world_miss(id, 1);
    }
    check_int(warp_horizon_reserve(&world.horizon, 1), ==, 0);
    world_admit(5, 1);
    check_u64(world.objects[5].queue, ==, WARP_HORIZON_MAIN);
    check_u64(warp_horizon_excess(&world.horizon, 0), ==, 1);
    world_teardown();
}

WARP_TEST(horizon, main_gives_a_lap_per_read_up_to_three)
{
    uint32_t id, lap;

    /* Main alone holds something: a ghost hit brings it there, and the rest is forgotten.
     * */
    world_setup(WARP_HORIZON_S3FIFO, 100, 100, 1000);
    for (id = 0; id < 101; id++) {
        world_miss(id, 1);
    }
    world_miss(0, 1);
    for (id = 1; id < 101; id++) {
        if (world.objects[id].resident) {
            world_forget(id);
        }
    }
    for (lap = 0; lap < 9; lap++) {
        world_touch(0); /* saturates at 3 */
    }
    for (lap = 0; lap < 3; lap++) {
        while (METRIC(reinsertions) == lap && test_failures() == 0) {
            check_u64(warp_horizon_evict(&world.horizon, 1, 1), ==, 0);
        }
        check_u64(world.objects[0].hits, ==, 2 - lap);
    }
    check_u64(warp_horizon_evict(&world.horizon, 1, 1), ==, 1);
    check(!world.objects[0].resident);
    world_teardown();
}

WARP_TEST(horizon, big_values_pass_by_unless_asked_for_twice)
{
    world_setup(WARP_HORIZON_S3FIFO, 64000, 1000, 10);
    check(world_miss(0, 1000));
    check(!world_miss(1, 1001));
    check_u64(METRIC(passed_by), ==, 1);
    check(world_miss(1, 1001));
    check_u64(world.objects[1].queue, ==, WARP_HORIZON_MAIN);
    check_u64(warp_horizon_bytes(&world.horizon), ==, 2001);
    world_teardown();
}

WARP_TEST(horizon, an_update_changes_the_bytes_of_its_queue)
{
    world_setup(WARP_HORIZON_S3FIFO, 64000, 1000, 10);
    world_miss(0, 100);
    warp_horizon_resize(&world.horizon, world.objects[0].queue, 100, 700);
    world.objects[0].bytes = 700;
    world_check();
    warp_horizon_resize(&world.horizon, world.objects[0].queue, 700, 1);
    world.objects[0].bytes = 1;
    world_check();
    warp_horizon_resize(&world.horizon, WARP_HORIZON_NONE, 5, 6);
    warp_horizon_forget(&world.horizon, WARP_HORIZON_NONE, 5);
    check_u64(warp_horizon_bytes(&world.horizon), ==, 1);
    check_u64(warp_horizon_evict(&world.horizon, 1000, 10), ==, 1);
    world_check();
    world_teardown();
}

WARP_TEST(horizon, work_is_bounded_by_looks)
{
    uint32_t id;

    world_setup(WARP_HORIZON_CLOCK, 1000, 0, 1000);
    for (id = 0; id < 1000; id++) {
        world_miss(id, 1);
        world_touch(id);
    }
    check_u64(warp_horizon_evict(&world.horizon, 1000, 10), ==, 0);
    check_u64(METRIC(looks), ==, 10);
    check_u64(warp_horizon_evict(&world.horizon, 5, 995), ==, 5);
    check_u64(METRIC(looks), ==, 10 + 995);
    check_u64(warp_horizon_evict(&world.horizon, UINT64_MAX, UINT32_MAX), ==, 995);
    check_u64(warp_horizon_evict(&world.horizon, UINT64_MAX, UINT32_MAX), ==, 0);
    world_check();
    world_teardown();
}

WARP_TEST(horizon, a_value_that_cannot_leave_stays_first_and_others_go)
{
    uint32_t id;

    world_setup(WARP_HORIZON_FIFO, 1000, 0, 1000);
    for (id = 0; id < 1000; id++) {
        world_miss(id, 1);
        world.objects[id].stays = id < 31;
    }
    check_u64(warp_horizon_evict(&world.horizon, 5, 1000), ==, 5);
    check_u64(METRIC(refusals), ==, 31);
    for (id = 0; id < 1000; id++) {
        check(world.objects[id].resident == (id < 31 || id >= 36));
    }
    world_check();
    for (id = 0; id < 31; id++) {
        world.objects[id].stays = false;
    }
    check_u64(warp_horizon_evict(&world.horizon, 31, 31), ==, 31);
    for (id = 0; id < 31; id++) {
        check(!world.objects[id].resident);
    }
    world_teardown();
}

WARP_TEST(horizon, when_none_can_leave_evict_gives_up)
{
    static const enum warp_horizon_policy policies[] = {
        WARP_HORIZON_S3FIFO, WARP_HORIZON_FIFO, WARP_HORIZON_CLOCK, WARP_HORIZON_LRU,
        WARP_HORIZON_SIEVE};
    size_t i;
    uint32_t id;

    for (i = 0; i < 5; i++) {
        world_setup(policies[i], 1000, 1000, 1000);
        for (id = 0; id < 1000; id++) {
            world_miss(id, 1);
            world.objects[id].stays = true;
        }
        check_u64(warp_horizon_evict(&world.horizon, 5, UINT32_MAX), ==, 0);
        check_u64(METRIC(refusals), ==, 32);
        world_check();
        for (id = 0; id < 1000; id++) {
            world.objects[id].stays = false;
        }
        check_u64(warp_horizon_evict(&world.horizon, 1000, UINT32_MAX), ==, 1000);
        world_check();
        world_teardown();
    }
}

WARP_TEST(horizon, a_smaller_budget_shows_as_excess)
{
    uint32_t id;

    world_setup(WARP_HORIZON_S3FIFO, 1000, 1000, 1000);
    for (id = 0; id < 1000; id++) {
        world_miss(id, 1);
    }
    check_u64(warp_horizon_excess(&world.horizon, 0), ==, 0);
    warp_horizon_set_budget(&world.horizon, 300);
    check_u64(warp_horizon_excess(&world.horizon, 5), ==, 705);
    check_u64(warp_horizon_evict(&world.horizon, 705, UINT32_MAX), ==, 705);
    warp_horizon_set_budget(&world.horizon, UINT64_MAX);
    check_u64(warp_horizon_excess(&world.horizon, UINT64_C(1) << 40), ==, 0);
    world_check();
    world_teardown();
}

/* ---- stale entries ------------------------------------------------------------------- */

/* The most records in memory since the pass before last began. */
struct live_window {
    uint64_t passes, before, since;
};

static void check_entries(struct live_window *window)
{
    uint64_t live = METRIC(live);

    if (METRIC(passes) != window->passes) {
        window->passes = METRIC(passes);
        window->before = window->since;
        window->since = 0;
    }
    window->since = live > window->since ? live : window->since;
    live = window->before > window->since ? window->before : window->since;
    check_u64(METRIC(entries), <=, warp_horizon_entries_max(live));
}

WARP_TEST(horizon, a_key_put_and_deleted_for_ever_does_not_fill_the_queue)
{
    uint32_t i;

    world_setup(WARP_HORIZON_S3FIFO, 1000000, 1000, 1000);
    for (i = 0; i < 100; i++) {
        world_miss(i, 1);
    }
    for (i = 0; i < 200000; i++) {
        world_miss(500, 1);
        world_forget(500);
        check_u64(METRIC(entries), <=, warp_horizon_entries_max(101));
    }
    world_check();
    check_u64(METRIC(live), ==, 100);
    check_u64(METRIC(passes), >, 10);
    check_u64(METRIC(memory_bytes), <, 64 * 1024);
    check_u64(warp_horizon_evict(&world.horizon, 1000, UINT32_MAX), ==, 100);
    world_teardown();
}

WARP_TEST(horizon, when_records_are_deleted_their_entries_go_too)
{
    const uint32_t count = 200000;
    struct live_window window = {0, 0, 0};
    uint32_t id;
    uint64_t full;

    world_setup(WARP_HORIZON_S3FIFO, 1000000, 1000, count);
    for (id = 0; id < count; id++) {
        world_miss(id, 1);
    }
    full = METRIC(memory_bytes);
    for (id = 0; id < count; id++) {
        world_forget((uint32_t)((uint64_t)id * 7919 % count));
        check_entries(&window);
    }
    check_u64(METRIC(live), ==, 0);
    check_u64(METRIC(entries), <=, warp_horizon_entries_max(0));
    check_u64(METRIC(memory_bytes), <, full / 20);
    world_check();
    world_teardown();
}

WARP_TEST(horizon, a_refusal_that_ends_a_pass_gets_the_new_code)
{
    const struct warp_fifo *fifo = &world.horizon.main.fifo;
    uint32_t id;

    /* 8 entries a call are read of 601, so that the oldest is left over for evict. */
    world_setup(WARP_HORIZON_FIFO, 10000, 0, 601);
    for (id = 0; id < 601; id++) {
        world_miss(id, 1);
    }
    for (id = 1; id < 601 && !fifo->passing; id++) {
        world_forget(id);
    }
    while (fifo->unread > 1) {
        warp_horizon_evict(&world.horizon, 0, 0);
    }
    check(fifo->passing);
    world.objects[0].stays = true;
    check_u64(warp_horizon_evict(&world.horizon, 1, 1), ==, 0);
    check_u64(METRIC(refusals), ==, 1);
    check(!fifo->passing);
    world_check();
    world.objects[0].stays = false;
    check_u64(warp_horizon_evict(&world.horizon, 1, 1), ==, 1);
    check(!world.objects[0].resident);
    world_check();
    world_teardown();
}

/* Fill and empty by turns, with both queues in use: the worst there is for a bound. */
WARP_TEST(horizon, the_tide_leaves_no_more_entries_than_promised)
{
    const uint32_t objects = 60000;
    struct live_window window = {0, 0, 0};
    struct warp_random random;
    uint32_t round, i;

    warp_random_init(&random, test_seed());
    world_setup(WARP_HORIZON_S3FIFO, 40000, 40000, objects);
    for (round = 0; round < 24 && test_failures() == 0; round++) {
        uint32_t many = (uint32_t)warp_random_below(&random, 2 * objects);
        bool ebb = round % 2 == 1;

        for (i = 0; i < many; i++) {
            uint32_t id = (uint32_t)warp_random_below(&random, objects);

            if (!world.objects[id].resident) {
                if (!ebb || warp_random_chance(&random, 8)) {
                    world_miss(id, 1);
                }
            } else if (ebb) {
                world_forget(id);
            } else {
                world_touch(id);
            }
            check_entries(&window);
        }
        world_check();
    }
    check_u64(METRIC(passes), >, 5);
    world_teardown();
}

/* Everything at once, on every policy: the invariants hold, and the bound on entries does.
 * */
static void random_life(enum warp_horizon_policy policy, uint64_t seed)
{
    const uint32_t objects = 3000, operations = 60000;
    struct warp_random random;
    struct live_window window = {0, 0, 0};
    uint32_t i, id, deletes = 1;

    warp_random_init(&random, seed);
    world_setup(policy, 20000 + warp_random_below(&random, 300000), 2000, objects);
    for (i = 0; i < operations && test_failures() == 0; i++) {
        struct object *object;
        uint64_t dice = warp_random_below(&random, 100), bytes;

        if (i % 5000 == 0) {
            deletes = 1 + (uint32_t)warp_random_below(&random, 79);
        }
        id = (uint32_t)warp_random_below(&random, 1 + warp_random_below(&random, objects));
        object = &world.objects[id];
        bytes =
            1 + warp_random_below(&random, warp_random_chance(&random, 50) ? 5000 : 300);
        if (dice < deletes) {
            if (object->resident) {
                world_forget(id);
            }
        } else if (dice < 80) {
            if (object->resident) {
                world_touch(id);
            } else {
                world_miss(id, bytes);
            }
        } else if (dice < 95) {
            if (object->resident) {
                /* Room first, and only then the look at the queue. */
                warp_horizon_evict(&world.horizon,
                                   warp_horizon_excess(&world.horizon, bytes), 8);
            }
            if (object->resident) {
                warp_horizon_resize(&world.horizon, object->queue, object->bytes, bytes);
                object->bytes = bytes;
            }
        } else if (dice < 99) {
            object->stays = !object->stays && warp_random_chance(&random, 3);
        } else {
            warp_horizon_evict(&world.horizon, warp_random_below(&random, 20000),
                               (uint32_t)warp_random_below(&random, 200));
        }
        check_entries(&window);
        if (warp_random_chance(&random, 200)) {
            world_check();
        }
    }
    for (id = 0; id < objects; id++) {
        world.objects[id].stays = false;
    }
    world_check();
    warp_horizon_evict(&world.horizon, UINT64_MAX, UINT32_MAX);
    check_u64(warp_horizon_bytes(&world.horizon), ==, 0);
    for (id = 0; id < objects; id++) {
        check(!world.objects[id].resident);
    }
    world_teardown();
}

WARP_TEST(horizon, bytes_are_right_whatever_happens)
{
    static const enum warp_horizon_policy policies[] = {
        WARP_HORIZON_S3FIFO, WARP_HORIZON_FIFO, WARP_HORIZON_CLOCK, WARP_HORIZON_LRU,
        WARP_HORIZON_SIEVE};
    uint32_t i;

    for (i = 0; i < 30 && test_failures() == 0; i++) {
        random_life(policies[i % 5], test_seed() + i);
    }
}

/* Two records that look the same in slot and hash: one may stay longer than it should, but
 * bytes are never lost or counted twice. */
static bool twin_look(void *context, uint32_t slot, uint64_t hash50,
                      struct warp_horizon_item *out)
{
    uint32_t id = (uint32_t)hash50 & ~1u;

    id += !world.objects[id].resident;
    return world_look(context, slot_of(id), hash_of(id) & WARP_HORIZON_HASH_MASK, out) &&
           slot < WARP_SLOT_COUNT;
}

WARP_TEST(horizon, twins_do_not_confuse_the_bytes)
{
    static const struct warp_horizon_ops twin_ops = {
        .look = twin_look, .set = world_set, .evict = world_evict};
    struct warp_random random;
    uint64_t bytes = 0;
    uint32_t i, id;

    warp_random_init(&random, test_seed());
    world_setup(WARP_HORIZON_S3FIFO, 5000, 1000, 2000);
    world.horizon.ops = &twin_ops;
    for (i = 0; i < 100000; i++) {
        if (i % 20000 == 0) {
            warp_horizon_set_budget(&world.horizon, i % 40000 == 0 ? 9000 : 1500);
        }
        id = (uint32_t)warp_random_below(&random, 2000);
        if (!world.objects[id].resident) {
            world_miss(id, 1 + id % 5);
        } else if (warp_random_chance(&random, 2)) {
            world_forget(id);
        } else {
            world_touch(id);
        }
    }
    for (id = 0; id < 2000; id++) {
        bytes += world.objects[id].resident ? world.objects[id].bytes : 0;
    }
    check_u64(METRIC(passes), >, 0);
    check_u64(warp_horizon_bytes(&world.horizon), ==, bytes);
    world_teardown();
}

/* ---- memory -------------------------------------------------------------------------- */

WARP_TEST(horizon, failing_memory_fails_reserve_alone)
{
    uint64_t n, refused = 0;

    for (n = 0; n < 60 && test_failures() == 0; n++) {
        uint32_t id;
        int rc;

        memset(&world, 0, sizeof(world));
        world.object_count = 4000;
        world.objects = calloc(world.object_count, sizeof(struct object));
        check_int(warp_memory_init(&world.memory, NULL), ==, 0);
        warp_memory_fail_after(&world.memory, n);
        rc = warp_horizon_init(&world.horizon, &world.memory, WARP_HORIZON_S3FIFO, 3000,
                               3000, &world_ops, &world);
        if (rc < 0) {
            check_int(rc, ==, WARP_ENOMEM);
            check_u64(warp_memory_bytes(&world.memory), ==, 0);
            warp_memory_fini(&world.memory);
            free(world.objects);
            continue;
        }
        for (id = 0; id < 20000 && test_failures() == 0; id++) {
            uint32_t at = id * 37 % 4000;

            if (world.objects[at].resident) {
                world_touch(at);
                continue;
            }
            rc = warp_horizon_reserve(&world.horizon, 1);
            if (rc < 0) {
                check_int(rc, ==, WARP_ENOMEM);
                refused++;
                warp_horizon_evict(&world.horizon, 1, 50); /* needs no memory */
                continue;
            }
            warp_horizon_evict(&world.horizon, warp_horizon_excess(&world.horizon, 1), 50);
            world_admit(at, 1);
        }
        world_check();
        world_teardown();
    }
    check_u64(refused, >, 0);
}

WARP_TEST(horizon, a_full_cache_allocates_nothing_any_more)
{
    uint64_t calls;
    uint32_t i;

    world_setup(WARP_HORIZON_S3FIFO, 3000, 3000, 10000);
    for (i = 0; i < 20000; i++) {
        uint32_t id = i * 7 % 10000;

        if (!world.objects[id].resident) {
            world_miss(id, 1);
        }
    }
    calls = warp_memory_calls(&world.memory);
    for (i = 0; i < 50000; i++) {
        uint32_t id = i * 11 % 10000;

        if (!world.objects[id].resident) {
            world_miss(id, 1);
        }
    }
    check_u64(warp_memory_calls(&world.memory) - calls, <=, 8);
    world_teardown();
}
