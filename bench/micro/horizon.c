/*
 * Replays traces of keys through cache/horizon and says how much of them it missed, beside
 * exact versions of S3-FIFO and LRU, and what it cost.
 *
 *     build/micro/horizon --traces DIR        every .u32 and .u32.zst in a folder
 *     build/micro/horizon FILE...             these
 *     build/micro/horizon                     a skewed trace of its own
 *       --bytes                               objects of many sizes; misses in bytes too
 *
 * A trace is a sequence of 32-bit little-endian numbers, an object each, numbered from 0;
 * .zst is read through the program zstd. Every request is a get, and a miss is followed by
 * an admission.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/random.h"
#include "cache/horizon.h"

#define POLICIES   5u
#define FRACTIONS  3u
#define TRACES_MAX 64u

static const enum warp_horizon_policy policies[POLICIES] = {
    WARP_HORIZON_S3FIFO, WARP_HORIZON_FIFO, WARP_HORIZON_CLOCK, WARP_HORIZON_LRU,
    WARP_HORIZON_SIEVE};
static const uint32_t percents[FRACTIONS] = {3, 10, 30};

struct trace {
    char name[64];
    uint32_t *ids;
    uint32_t requests;
    uint32_t objects;
};

struct result {
    double miss_ratio;
    double byte_miss_ratio;
    double ns;
    double looks; /* per value evicted */
};

static void fail(const char *what, const char *about)
{
    fprintf(stderr, "horizon: %s%s%s\n", what, about[0] != '\0' ? ": " : "", about);
    exit(1);
}

static void *take(size_t count, size_t size)
{
    void *p = calloc(count, size);

    if (p == NULL) {
        fail("no memory", "");
    }
    return p;
}

/* Of this thread, so that a busy machine is not counted. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) {
        fail("no clock", "");
    }
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- traces -------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void trace_read(struct trace *trace, FILE *file)
{
    uint32_t room = 1u << 16, id;

    trace->ids = take(room, sizeof(id));
    while (fread(&id, sizeof(id), 1, file) == 1) {
        id = WARP_LE32(id);
        if (trace->requests == room) {
            room *= 2;
            trace->ids = realloc(trace->ids, room * sizeof(id));
            if (trace->ids == NULL) {
                fail("no memory", "");
            }
        }
        trace->ids[trace->requests++] = id;
        trace->objects = id >= trace->objects ? id + 1 : trace->objects;
    }
}

static void trace_load(struct trace *trace, const char *path)
{
    bool packed = ends_with(path, ".zst");
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    char command[1024];
    FILE *file;

    if (strchr(path, '\'') != NULL) {
        fail("no such name, please", path);
    }
    snprintf(trace->name, sizeof(trace->name), "%.*s", (int)strcspn(name, "."), name);
    snprintf(command, sizeof(command), "zstd -dcq -- '%s'", path);
    file = packed ? popen(command, "r") : fopen(path, "rb");
    if (file == NULL) {
        fail("cannot read", path);
    }
    trace_read(trace, file);
    if ((packed ? pclose(file) : fclose(file)) != 0 || trace->requests == 0) {
        fail("cannot read", path);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static uint32_t traces_load(struct trace *traces, uint32_t count, const char *folder)
{
    struct dirent **entries;
    int i, found = scandir(folder, &entries, NULL, by_name);

    if (found < 0) {
        fail("cannot read the folder", folder);
    }
    for (i = 0; i < found; i++) {
        const char *name = entries[i]->d_name;
        char path[1024];

        if ((ends_with(name, ".u32") || ends_with(name, ".u32.zst")) &&
            count < TRACES_MAX) {
            snprintf(path, sizeof(path), "%s/%s", folder, name);
            trace_load(&traces[count++], path);
        }
        free(entries[i]);
    }
    free(entries);
    return count;
}

/* The share of the first n objects is about the cube root of n. */
static void trace_invent(struct trace *trace)
{
    struct warp_random random;

    warp_random_init(&random, 1);
    snprintf(trace->name, sizeof(trace->name), "invented");
    trace->requests = 2000000;
    trace->objects = 200000;
    trace->ids = take(trace->requests, sizeof(*trace->ids));
    for (uint32_t i = 0; i < trace->requests; i++) {
        double uniform = (double)(warp_random_next(&random) >> 11) / 9007199254740992.0;

        trace->ids[i] = (uint32_t)(uniform * uniform * uniform * trace->objects);
    }
}

/* ---- ours ---------------------------------------------------------------------------- */

struct object {
    uint32_t bytes;
    uint8_t hits;
    uint8_t queue; /* NONE: not in memory */
};

static inline uint32_t slot_of(uint32_t id)
{
    return id & (WARP_SLOT_COUNT - 1);
}

static bool replay_look(void *context, uint32_t slot, uint64_t hash50,
                        struct warp_horizon_item *out)
{
    struct object *object = (struct object *)context + (uint32_t)hash50;

    (void)slot;
    *out = (struct warp_horizon_item){.bytes = object->bytes,
                                      .hits = object->hits,
                                      .queue = object->queue,
                                      .cookie = object};
    return object->queue != WARP_HORIZON_NONE;
}

static void replay_set(void *context, const struct warp_horizon_item *item, uint8_t hits,
                       uint8_t queue)
{
    struct object *object = item->cookie;

    (void)context;
    object->hits = hits;
    object->queue = queue;
}

static bool replay_evict(void *context, const struct warp_horizon_item *item)
{
    struct object *object = item->cookie;

    (void)context;
    object->queue = WARP_HORIZON_NONE;
    return true;
}

static const struct warp_horizon_ops replay_ops = {
    .look = replay_look, .set = replay_set, .evict = replay_evict};

static void replay_miss(struct warp_horizon *horizon, struct object *object, uint32_t id)
{
    uint64_t excess;

    if (warp_horizon_reserve(horizon, 1) != 0) {
        fail("no memory", "");
    }
    if (object->bytes > horizon->budget_bytes ||
        !warp_horizon_admits(horizon, slot_of(id), id, object->bytes)) {
        return;
    }
    excess = warp_horizon_excess(horizon, object->bytes);
    if (excess > 0) {
        warp_horizon_evict(horizon, excess, UINT32_MAX);
    }
    object->queue = warp_horizon_admit(horizon, slot_of(id), id, object->bytes);
    object->hits = 0;
}

static struct result replay(const struct trace *trace, const uint32_t *sizes,
                            enum warp_horizon_policy policy, uint64_t budget)
{
    struct object *objects = take(trace->objects, sizeof(*objects));
    uint64_t misses = 0, missed_bytes = 0, bytes = 0, begin;
    struct warp_horizon horizon;
    struct warp_memory memory;
    struct result result;

    for (uint32_t id = 0; id < trace->objects; id++) {
        objects[id].bytes = sizes[id];
    }
    if (warp_memory_init(&memory, NULL) != 0 ||
        warp_horizon_init(&horizon, &memory, policy, budget, trace->objects, &replay_ops,
                          objects) != 0) {
        fail("no memory", "");
    }
    begin = cpu_ns();
    for (uint32_t i = 0; i < trace->requests; i++) {
        struct object *object = &objects[trace->ids[i]];

        bytes += object->bytes;
        if (object->queue != WARP_HORIZON_NONE) {
            object->hits = (uint8_t)(object->hits + (object->hits < 3));
            continue;
        }
        misses++;
        missed_bytes += object->bytes;
        replay_miss(&horizon, object, trace->ids[i]);
    }
    result.ns = (double)(cpu_ns() - begin) / trace->requests;
    result.miss_ratio = (double)misses / trace->requests;
    result.byte_miss_ratio = (double)missed_bytes / (double)bytes;
    result.looks = (double)warp_counter_read(&horizon.metrics.looks) /
                   (double)(warp_counter_read(&horizon.metrics.evictions) + 1);
    warp_horizon_fini(&horizon);
    warp_memory_fini(&memory);
    free(objects);
    return result;
}

/* ---- exact versions, objects in doubly linked lists ---------------------------------- */

#define NOWHERE UINT32_MAX

struct list {
    uint32_t *older, *younger;
    uint32_t oldest, youngest, count;
};

static void list_init(struct list *list, uint32_t objects)
{
    list->older = take(objects, sizeof(uint32_t));
    list->younger = take(objects, sizeof(uint32_t));
    list->oldest = NOWHERE;
    list->youngest = NOWHERE;
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
    *(list->youngest == NOWHERE ? &list->oldest : &list->younger[list->youngest]) = id;
    list->youngest = id;
    list->count++;
}

static void list_remove(struct list *list, uint32_t id)
{
    uint32_t older = list->older[id], younger = list->younger[id];

    *(older == NOWHERE ? &list->oldest : &list->younger[older]) = younger;
    *(younger == NOWHERE ? &list->youngest : &list->older[younger]) = older;
    list->count--;
}

static uint32_t list_pop(struct list *list)
{
    uint32_t id = list->oldest;

    list_remove(list, id);
    return id;
}

static struct result exact_lru(const struct trace *trace, const uint32_t *sizes,
                               uint64_t budget)
{
    bool *inside = take(trace->objects, sizeof(bool));
    uint64_t used = 0, misses = 0, missed_bytes = 0, bytes = 0;
    struct list list;

    list_init(&list, trace->objects);
    for (uint32_t i = 0; i < trace->requests; i++) {
        uint32_t id = trace->ids[i];

        bytes += sizes[id];
        if (inside[id]) {
            list_remove(&list, id);
            list_push(&list, id);
            continue;
        }
        misses++;
        missed_bytes += sizes[id];
        if (sizes[id] > budget) {
            continue;
        }
        while (used + sizes[id] > budget) {
            uint32_t out = list_pop(&list);

            inside[out] = false;
            used -= sizes[out];
        }
        inside[id] = true;
        used += sizes[id];
        list_push(&list, id);
    }
    list_fini(&list);
    free(inside);
    return (struct result){.miss_ratio = (double)misses / trace->requests,
                           .byte_miss_ratio = (double)missed_bytes / (double)bytes};
}

enum where { OUT, SMALL, MAIN, GHOST };

struct exact {
    struct list small, main, ghost;
    uint8_t *where;
    uint32_t *hits;
    uint32_t capacity;
};

static void exact_evict(struct exact *exact)
{
    uint32_t id;

    if (exact->main.count > exact->capacity - exact->capacity / 10 ||
        exact->small.count == 0) {
        id = list_pop(&exact->main);
        if (exact->hits[id] >= 1) {
            exact->hits[id] = (exact->hits[id] < 3 ? exact->hits[id] : 3) - 1;
            list_push(&exact->main, id);
        } else {
            exact->where[id] = OUT;
        }
        return;
    }
    id = list_pop(&exact->small);
    if (exact->hits[id] >= 2) {
        exact->hits[id] = 0;
        exact->where[id] = MAIN;
        list_push(&exact->main, id);
        return;
    }
    exact->where[id] = GHOST;
    list_push(&exact->ghost, id);
    if (exact->ghost.count > (uint64_t)exact->capacity * 9 / 10) {
        exact->where[list_pop(&exact->ghost)] = OUT;
    }
}

static struct result exact_s3fifo(const struct trace *trace, uint32_t capacity)
{
    struct exact exact = {.capacity = capacity};
    uint64_t misses = 0;

    list_init(&exact.small, trace->objects);
    list_init(&exact.main, trace->objects);
    list_init(&exact.ghost, trace->objects);
    exact.where = take(trace->objects, 1);
    exact.hits = take(trace->objects, sizeof(uint32_t));
    for (uint32_t i = 0; i < trace->requests; i++) {
        uint32_t id = trace->ids[i];
        bool known = exact.where[id] == GHOST;

        if (exact.where[id] == SMALL || exact.where[id] == MAIN) {
            exact.hits[id]++;
            continue;
        }
        misses++;
        if (known) {
            list_remove(&exact.ghost, id);
        }
        while (exact.small.count + exact.main.count >= capacity) {
            exact_evict(&exact);
        }
        exact.hits[id] = 0;
        exact.where[id] = known ? MAIN : SMALL;
        list_push(known ? &exact.main : &exact.small, id);
    }
    list_fini(&exact.small);
    list_fini(&exact.main);
    list_fini(&exact.ghost);
    free(exact.where);
    free(exact.hits);
    return (struct result){.miss_ratio = (double)misses / trace->requests};
}

/* ---- the table ----------------------------------------------------------------------- */

/* How much fewer are missed than by LRU, of LRU's; or how much more, of its own, negative.
 * */
static double gain(double ratio, double lru)
{
    return ratio <= lru ? (lru - ratio) / lru : (lru - ratio) / ratio;
}

/* 16 B to 16 KiB, as many in each doubling; one in 200 is 16 times as long. */
static uint32_t size_of(uint32_t id)
{
    struct warp_random random;
    uint32_t bytes;

    warp_random_init(&random, id);
    bytes = 16u << warp_random_below(&random, 10);
    bytes += (uint32_t)warp_random_below(&random, bytes);
    return warp_random_chance(&random, 200) ? bytes * 16 : bytes;
}

struct sums {
    double gains[POLICIES][FRACTIONS], byte_gains[POLICIES][FRACTIONS];
    double ns[POLICIES], looks[POLICIES];
};

static void table_row(const struct trace *trace, bool in_bytes, const uint32_t *sizes,
                      uint32_t fraction, struct sums *sums)
{
    uint64_t total = 0, budget;
    struct result lru, results[POLICIES];
    uint32_t p;

    for (uint32_t id = 0; id < trace->objects; id++) {
        total += sizes[id];
    }
    budget = total * percents[fraction] / 100;
    lru = exact_lru(trace, sizes, budget);
    printf("| %s | %u %% |", trace->name, percents[fraction]);
    for (p = 0; p < POLICIES; p++) {
        results[p] = replay(trace, sizes, policies[p], budget);
        sums->gains[p][fraction] += gain(results[p].miss_ratio, lru.miss_ratio);
        sums->byte_gains[p][fraction] +=
            gain(results[p].byte_miss_ratio, lru.byte_miss_ratio);
        sums->ns[p] += results[p].ns;
        sums->looks[p] += results[p].looks;
        if (in_bytes) {
            printf(" %.4f / %.4f |", results[p].miss_ratio, results[p].byte_miss_ratio);
        } else {
            printf(" %.4f |", results[p].miss_ratio);
        }
    }
    if (in_bytes) {
        printf(" %.4f / %.4f |", lru.miss_ratio, lru.byte_miss_ratio);
    } else {
        printf(" %.4f | %.4f |", exact_s3fifo(trace, (uint32_t)budget).miss_ratio,
               lru.miss_ratio);
    }
    printf(" %.0f |\n", results[0].ns);
}

static void table_means(const char *what, double means[POLICIES][FRACTIONS],
                        uint32_t trace_count)
{
    for (uint32_t fraction = 0; fraction < FRACTIONS; fraction++) {
        printf("| %s | %u %% |", what, percents[fraction]);
        for (uint32_t p = 0; p < POLICIES; p++) {
            printf(" %+.1f %% |", 100.0 * means[p][fraction] / trace_count);
        }
        printf("\n");
    }
}

static void table(const struct trace *traces, uint32_t trace_count, bool in_bytes)
{
    static struct sums sums;

    printf("miss ratio%s\n\n", in_bytes ? ", of requests / of bytes" : "");
    printf("| trace | memory | S3-FIFO | FIFO | CLOCK | LRU, nearly | SIEVE |%s LRU, exact "
           "| ns per request |\n|---|---|---|---|---|---|---|---|%s---|\n",
           in_bytes ? "" : " S3-FIFO, exact |", in_bytes ? "" : "---|");
    for (uint32_t i = 0; i < trace_count; i++) {
        uint32_t *sizes = take(traces[i].objects, sizeof(uint32_t));

        for (uint32_t id = 0; id < traces[i].objects; id++) {
            sizes[id] = in_bytes ? size_of(id) : 1;
        }
        for (uint32_t fraction = 0; fraction < FRACTIONS; fraction++) {
            table_row(&traces[i], in_bytes, sizes, fraction, &sums);
        }
        free(sizes);
    }
    printf("\nfewer missed than by exact LRU, mean over the traces\n\n"
           "| | memory | S3-FIFO | FIFO | CLOCK | LRU, nearly | SIEVE |\n"
           "|---|---|---|---|---|---|---|\n");
    table_means("requests", sums.gains, trace_count);
    if (in_bytes) {
        table_means("bytes", sums.byte_gains, trace_count);
    }
    printf("| looks per eviction | mean |");
    for (uint32_t p = 0; p < POLICIES; p++) {
        printf(" %.2f |", sums.looks[p] / (trace_count * FRACTIONS));
    }
    printf("\n| ns per request | mean |");
    for (uint32_t p = 0; p < POLICIES; p++) {
        printf(" %.0f |", sums.ns[p] / (trace_count * FRACTIONS));
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct trace traces[TRACES_MAX];
    uint32_t count = 0;
    bool in_bytes = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bytes") == 0) {
            in_bytes = true;
        } else if (strcmp(argv[i], "--traces") == 0 && i + 1 < argc) {
            count = traces_load(traces, count, argv[++i]);
        } else if (argv[i][0] == '-' || count == TRACES_MAX) {
            fprintf(stderr, "usage: horizon [--bytes] [--traces DIR] [FILE...]\n");
            return 2;
        } else {
            trace_load(&traces[count++], argv[i]);
        }
    }
    if (count == 0) {
        trace_invent(&traces[count++]);
    }
    table(traces, count, in_bytes);
    for (uint32_t i = 0; i < count; i++) {
        free(traces[i].ids);
    }
    return 0;
}
