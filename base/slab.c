/*
 * Reserve takes the first free object of the class's current slab: two loads and two
 * stores. Release finds the slab's header by masking the address down to its block, 2 MiB,
 * and indexing; it puts the object back in front of its slab's list.
 *
 * Life of a slab:
 *
 *   FREE      a bit in its block's mask                    block_take(), block_give()
 *   PARTIAL   of a class, in its class's list, with room   slab_create()
 *   FULL      of a class, in no list                       reserve of its last object
 *   KEPT      PARTIAL with nothing out, one in the pool    slab_emptied()
 *
 * A slab that becomes empty is KEPT and whoever was before is FREE again: a program that
 * takes and gives one object by turns does not make and break a slab each time, and no more
 * than one slab is held for it. Objects that were never used are not on a list; `carved`
 * says where they begin, so a new slab costs the same whatever its class.
 *
 * Classes above 8 KiB use four slabs in a row, else a slab's end would be a large part.
 */
#include "base/slab.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

#include "base/bytes.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_SANITIZED 1
#endif
#endif
#ifdef SLAB_SANITIZED
void __asan_poison_memory_region(void const volatile *address, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *address, size_t bytes);
#define SLAB_POISON(p, bytes)   __asan_poison_memory_region(p, bytes)
#define SLAB_UNPOISON(p, bytes) __asan_unpoison_memory_region(p, bytes)
#else
#define SLAB_POISON(p, bytes)   ((void)0)
#define SLAB_UNPOISON(p, bytes) ((void)0)
#endif

#define SLAB_BLOCK_BYTES    UINT64_C(2097152)
#define SLAB_BYTES          65536u
#define SLAB_BYTES_SHIFT    16
#define SLAB_PER_BLOCK      32u
#define SLAB_WIDE           4u    /* slabs in a row for a big class */
#define SLAB_NARROW_MAX     8192u /* largest class of a single slab */
#define SLAB_HEADER_BYTES   4096u /* of a block; slab 0 begins behind it */
#define SLAB_LARGE_HEADER   64u
#define SLAB_KEPT_BYTES_MAX 2097152u /* of mappings of large things that came back */
#define SLAB_PAGE_BYTES     4096u
#define SLAB_FREE_PART                                                                     \
    16u /* of what is held: free slabs keep their memory up to this part */
#define SLAB_CLASS_NONE UINT16_MAX

struct slab_object {
    struct slab_object *next;
};

/* One cache line each. */
struct warp_slab {
    struct slab_object *free;
    struct warp_slab_pool *pool;
    struct warp_slab *next; /* in the class's list */
    struct warp_slab *previous;
    uint32_t size;        /* of an object */
    uint32_t carved;      /* offset in the block of the first object never used */
    uint32_t end;         /* offset in the block behind the last object */
    uint32_t used;        /* objects out */
    uint16_t class_index; /* SLAB_CLASS_NONE: the slab is free */
    bool listed;
};
static_assert(sizeof(struct warp_slab) <= WARP_CACHELINE, "a slab's header is one line");

struct warp_slab_block {
    alignas(WARP_CACHELINE) struct {
        alignas(WARP_CACHELINE) struct warp_slab slab;
    } slabs[SLAB_PER_BLOCK];
    uint32_t free_mask;  /* a bit per slab */
    uint32_t empty_mask; /* of these: have no memory */
    bool in_available;
    struct warp_slab_block *next; /* all */
    struct warp_slab_block *previous;
    struct warp_slab_block *available_next;
    struct warp_slab_block *available_previous;
};
static_assert(sizeof(struct warp_slab_block) <= SLAB_HEADER_BYTES,
              "the header fits its page");

struct warp_slab_large {
    struct warp_slab_large *next;
    struct warp_slab_large *previous;
    struct warp_slab_pool *pool;
    size_t mapped_bytes;
    size_t usable_bytes; /* what is counted as used: round() of what was asked for */
};
static_assert(sizeof(struct warp_slab_large) <= SLAB_LARGE_HEADER, "and this one its line");

/* ---- classes ------------------------------------------------------------------------- */

/*
 *   0 - 31   steps of 8 to 256
 *   32 ...   eight per doubling: (256, 512] by 32, ... (16384, 32768] by 2048
 */
static inline uint32_t slab_class_of(size_t bytes)
{
    uint32_t last, power;

    if (bytes <= 256) {
        return (uint32_t)((bytes + 7) >> 3) - 1;
    }
    last = (uint32_t)bytes - 1;
    power = 31 - (uint32_t)__builtin_clz(last); /* 8 for (256, 512], ... 14 */
    return 32 + (power - 8) * 8 + ((last >> (power - 3)) & 7);
}

static inline uint32_t slab_class_bytes(uint32_t index)
{
    uint32_t power, step;

    if (index < 32) {
        return (index + 1) * 8;
    }
    power = 8 + (index - 32) / 8;
    step = (index - 32) % 8 + 1;
    return (1u << power) + (step << (power - 3));
}

size_t warp_slab_round_big(size_t bytes)
{
    if (bytes <= WARP_SLAB_SMALL_BYTES_MAX) {
        return slab_class_bytes(slab_class_of(bytes));
    }
    return warp_align_up(bytes + SLAB_LARGE_HEADER, SLAB_PAGE_BYTES) - SLAB_LARGE_HEADER;
}

/* ---- blocks -------------------------------------------------------------------------- */

static inline struct warp_slab_block *slab_block_of(const void *p)
{
    return (struct warp_slab_block *)((uintptr_t)p & ~(uintptr_t)(SLAB_BLOCK_BYTES - 1));
}

static void block_list(struct warp_slab_pool *pool, struct warp_slab_block *block)
{
    warp_assert(!block->in_available);
    block->in_available = true;
    block->available_previous = NULL;
    block->available_next = pool->available;
    if (pool->available != NULL) {
        pool->available->available_previous = block;
    }
    pool->available = block;
}

static void block_unlist(struct warp_slab_pool *pool, struct warp_slab_block *block)
{
    warp_assert(block->in_available);
    block->in_available = false;
    if (block->available_previous != NULL) {
        block->available_previous->available_next = block->available_next;
    } else {
        warp_assert(pool->available == block);
        pool->available = block->available_next;
    }
    if (block->available_next != NULL) {
        block->available_next->available_previous = block->available_previous;
    }
}

static inline size_t block_bytes_of(uint32_t mask)
{
    /* Slab 0 lacks the page of the header, which is always there. */
    return (size_t)__builtin_popcount(mask) * SLAB_BYTES -
           ((mask & 1) != 0 ? SLAB_HEADER_BYTES : 0);
}

/* What of it is held. */
static inline size_t block_bytes_held(const struct warp_slab_block *block)
{
    return SLAB_BLOCK_BYTES - block_bytes_of(block->empty_mask);
}

static struct warp_slab_block *block_create(struct warp_slab_pool *pool)
{
    struct warp_slab_block *block;

    if (pool->sparse && !pool->huge) {
        block = warp_memory_map_sparse(pool->memory, SLAB_BLOCK_BYTES, SLAB_BLOCK_BYTES,
                                       SLAB_HEADER_BYTES);
    } else {
        block =
            warp_memory_map(pool->memory, SLAB_BLOCK_BYTES, SLAB_BLOCK_BYTES, pool->huge);
    }
    if (block == NULL) {
        return NULL;
    }
    block->free_mask = UINT32_MAX;
    block->empty_mask = pool->sparse && !pool->huge ? UINT32_MAX : 0;
    for (uint32_t index = 0; index < SLAB_PER_BLOCK; index++) {
        block->slabs[index].slab.class_index = SLAB_CLASS_NONE;
        block->slabs[index].slab.pool = pool;
    }
    block->next = pool->blocks;
    if (pool->blocks != NULL) {
        pool->blocks->previous = block;
    }
    pool->blocks = block;
    block_list(pool, block);
    pool->bytes_held += block_bytes_held(block);
    pool->bytes_free += block_bytes_of(block->free_mask & ~block->empty_mask);
    SLAB_POISON((char *)block + SLAB_HEADER_BYTES, SLAB_BLOCK_BYTES - SLAB_HEADER_BYTES);
    return block;
}

static void block_destroy(struct warp_slab_pool *pool, struct warp_slab_block *block)
{
    if (block->previous != NULL) {
        block->previous->next = block->next;
    } else {
        pool->blocks = block->next;
    }
    if (block->next != NULL) {
        block->next->previous = block->previous;
    }
    /* The addresses will be somebody else's. */
    SLAB_UNPOISON(block, SLAB_BLOCK_BYTES);
    pool->bytes_held -= block_bytes_held(block);
    pool->bytes_free -= block_bytes_of(block->free_mask & ~block->empty_mask);
    if (pool->sparse) {
        warp_memory_unmap_sparse(pool->memory, block, SLAB_BLOCK_BYTES,
                                 block_bytes_held(block));
    } else {
        warp_memory_unmap(pool->memory, block, SLAB_BLOCK_BYTES);
    }
}

/* Where there are `width` free slabs in a row, aligned to width: a bit for each such
 * place. */
static inline uint32_t block_places(uint32_t free_mask, uint32_t width)
{
    if (width == 1) {
        return free_mask;
    }
    free_mask &= free_mask >> 1;
    free_mask &= free_mask >> 2;
    return free_mask & UINT32_C(0x11111111);
}

static inline uint32_t block_bits(uint32_t index, uint32_t width)
{
    return (width == 1 ? UINT32_C(1) : UINT32_C(15)) << index;
}

static inline uint32_t slab_width(uint32_t size)
{
    return size <= SLAB_NARROW_MAX ? 1 : SLAB_WIDE;
}

/* The block that has room for a slab (or four in a row); NULL: a new one has to be made. */
static struct warp_slab_block *block_find(const struct warp_slab_pool *pool, uint32_t width)
{
    struct warp_slab_block *block = pool->available;

    /* Blocks with single free slabs only are passed by when four are wanted; the walk is
     * paid once per slab of at least eight objects. The empty block is the last resort but
     * one, so that it may go back to the system some day. */
    while (block != NULL &&
           (block == pool->spare || block_places(block->free_mask, width) == 0)) {
        block = block->available_next;
    }
    return block != NULL ? block : pool->spare;
}

/* Which of its free places: those with memory first. */
static inline uint32_t block_choices(const struct warp_slab_block *block, uint32_t width)
{
    uint32_t places = block_places(block->free_mask & ~block->empty_mask, width);

    return places != 0 ? places : block_places(block->free_mask, width);
}

static struct warp_slab *block_take(struct warp_slab_pool *pool, uint32_t width)
{
    struct warp_slab_block *block = block_find(pool, width);
    uint32_t places, index, bits;
    size_t filled;

    if (block == NULL) {
        block = block_create(pool);
    }
    if (block == NULL) {
        return NULL;
    }
    if (block == pool->spare) {
        pool->spare = NULL;
    }
    /* From the top for single slabs, from the bottom for rows: the two keep apart. Slab 0,
     * which is a page short, comes last of the single ones; a row at 0 is as short. */
    places = block_choices(block, width);
    index =
        width == 1 ? 31 - (uint32_t)__builtin_clz(places) : (uint32_t)__builtin_ctz(places);
    bits = block_bits(index, width);
    pool->bytes_free -= block_bytes_of(bits & ~block->empty_mask);
    if ((block->empty_mask & bits) != 0) {
        filled = block_bytes_of(block->empty_mask & bits);
        block->empty_mask &= ~bits;
        warp_memory_fill(pool->memory, filled);
        pool->bytes_held += filled;
    }
    block->free_mask &= ~bits;
    if (block->free_mask == 0) {
        block_unlist(pool, block);
    }
    return &block->slabs[index].slab;
}

/* Give back the memory of free slabs. */
static void block_discard(struct warp_slab_pool *pool, struct warp_slab_block *block,
                          uint32_t index, uint32_t bits)
{
    char *begin = (char *)block + (index == 0 ? SLAB_HEADER_BYTES : index * SLAB_BYTES);
    size_t bytes = block_bytes_of(bits);

    if (pool->huge && block->empty_mask == 0) {
        warp_memory_split(block, SLAB_BLOCK_BYTES);
    }
    block->empty_mask |= bits;
    warp_memory_discard(pool->memory, begin, bytes);
    pool->bytes_held -= bytes;
    pool->bytes_free -= bytes;
}

static void block_give(struct warp_slab_pool *pool, struct warp_slab_block *block,
                       uint32_t index, uint32_t width)
{
    uint32_t bits = block_bits(index, width);

    warp_assert((block->free_mask & bits) == 0);
    if (block->free_mask == 0) {
        block_list(pool, block);
    }
    block->free_mask |= bits;
    pool->bytes_free += block_bytes_of(bits);
    if (pool->sparse && pool->bytes_free > pool->bytes_held / SLAB_FREE_PART) {
        block_discard(pool, block, index, bits);
    }
    if (block->free_mask != UINT32_MAX) {
        return;
    }
    if (pool->spare == NULL) {
        pool->spare = block;
        return;
    }
    block_unlist(pool, block);
    block_destroy(pool, block);
}

static void large_trim(struct warp_slab_pool *pool, size_t bytes);

/* ---- slabs --------------------------------------------------------------------------- */

static inline uint32_t slab_index(const struct warp_slab_block *block,
                                  const struct warp_slab *slab)
{
    return (uint32_t)(((uintptr_t)slab - (uintptr_t)block->slabs) /
                      sizeof(block->slabs[0]));
}

static void slab_unlist(struct warp_slab_pool *pool, struct warp_slab *slab)
{
    warp_assert(slab->listed);
    slab->listed = false;
    if (slab->previous != NULL) {
        slab->previous->next = slab->next;
    } else {
        warp_assert(pool->partial[slab->class_index] == slab);
        pool->partial[slab->class_index] = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->previous = slab->previous;
    }
}

/* Behind the current slab, which stays current while it has room: its lines are warm. */
static void slab_list(struct warp_slab_pool *pool, struct warp_slab *slab)
{
    struct warp_slab *current = pool->partial[slab->class_index];

    warp_assert(!slab->listed);
    slab->listed = true;
    slab->previous = current;
    if (current == NULL) {
        slab->next = NULL;
        pool->partial[slab->class_index] = slab;
        return;
    }
    slab->next = current->next;
    if (current->next != NULL) {
        current->next->previous = slab;
    }
    current->next = slab;
}

static void slab_destroy(struct warp_slab_pool *pool, struct warp_slab *slab)
{
    struct warp_slab_block *block = slab_block_of(slab);
    uint32_t width = slab_width(slab->size);

    warp_assert(slab->used == 0);
    slab_unlist(pool, slab);
    slab->class_index = SLAB_CLASS_NONE;
    slab->free = NULL;
    block_give(pool, block, slab_index(block, slab), width);
}

static struct warp_slab *slab_create(struct warp_slab_pool *pool, uint32_t class_index)
{
    uint32_t size = slab_class_bytes(class_index);
    uint32_t width = slab_width(size);
    struct warp_slab *slab = block_take(pool, width);
    struct warp_slab_block *block;
    uint32_t index;

    if (slab == NULL && pool->kept != NULL && pool->kept->used == 0) {
        /* The one that is kept may be all the memory there is. */
        slab_destroy(pool, pool->kept);
        pool->kept = NULL;
        slab = block_take(pool, width);
    }
    if (slab == NULL && pool->kept_bytes > 0) {
        large_trim(pool, 0);
        slab = block_take(pool, width);
    }
    if (slab == NULL) {
        return NULL;
    }
    block = slab_block_of(slab);
    index = slab_index(block, slab);
    warp_assert(slab->class_index == SLAB_CLASS_NONE);
    slab->class_index = (uint16_t)class_index;
    slab->size = size;
    slab->used = 0;
    slab->free = NULL;
    slab->carved = index == 0 ? SLAB_HEADER_BYTES : index * SLAB_BYTES;
    slab->end = (index + width) * SLAB_BYTES;
    slab->end -= (slab->end - slab->carved) % size;
    slab_list(pool, slab);
    return slab;
}

/* Its last object came back. */
static void slab_emptied(struct warp_slab_pool *pool, struct warp_slab *slab)
{
    if (pool->kept == slab) {
        return;
    }
    if (pool->kept != NULL && pool->kept->used == 0) {
        slab_destroy(pool, pool->kept);
    }
    pool->kept = slab;
}

/* ---- large things -------------------------------------------------------------------- */

/*
 * A mapping costs a page fault per 4 KiB, twenty times what it takes to fill the page, so
 * the last few that came back are kept, youngest first, and given out again to who asks for
 * nearly as much.
 */
static void large_link(struct warp_slab_large **list, struct warp_slab_large *large)
{
    large->previous = NULL;
    large->next = *list;
    if (*list != NULL) {
        (*list)->previous = large;
    }
    *list = large;
}

static void large_unlink(struct warp_slab_large **list, struct warp_slab_large *large)
{
    if (large->previous != NULL) {
        large->previous->next = large->next;
    } else {
        warp_assert(*list == large);
        *list = large->next;
    }
    if (large->next != NULL) {
        large->next->previous = large->previous;
    }
}

static void large_unmap(struct warp_slab_pool *pool, struct warp_slab_large *large)
{
    size_t mapped = large->mapped_bytes;

    pool->bytes_held -= mapped;
    SLAB_UNPOISON(large, mapped);
    warp_memory_unmap(pool->memory, large, mapped);
}

/* Gives kept mappings back, the oldest first, until at most `bytes` are left. */
static void large_trim(struct warp_slab_pool *pool, size_t bytes)
{
    while (pool->kept_bytes > bytes) {
        struct warp_slab_large *oldest = pool->kept_larges;

        while (oldest->next != NULL) {
            oldest = oldest->next;
        }
        large_unlink(&pool->kept_larges, oldest);
        pool->kept_bytes -= oldest->mapped_bytes;
        large_unmap(pool, oldest);
    }
}

static struct warp_slab_large *large_find_kept(const struct warp_slab_pool *pool,
                                               size_t mapped)
{
    struct warp_slab_large *large = pool->kept_larges;

    while (large != NULL &&
           (large->mapped_bytes < mapped || large->mapped_bytes > mapped + mapped / 8)) {
        large = large->next;
    }
    return large;
}

static struct warp_slab_large *large_take_kept(struct warp_slab_pool *pool, size_t mapped)
{
    struct warp_slab_large *large = large_find_kept(pool, mapped);

    if (large != NULL) {
        large_unlink(&pool->kept_larges, large);
        pool->kept_bytes -= large->mapped_bytes;
    }
    return large;
}

static void *large_reserve(struct warp_slab_pool *pool, size_t bytes)
{
    struct warp_slab_large *large;
    size_t usable, mapped;

    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    usable = warp_slab_round(bytes);
    mapped = usable + SLAB_LARGE_HEADER;
    large = large_take_kept(pool, mapped);
    if (large == NULL) {
        /* Huge pages would round it up to 2 MiB. */
        large = warp_memory_map(pool->memory, mapped, SLAB_PAGE_BYTES, false);
        if (large == NULL && pool->kept_bytes > 0) {
            large_trim(pool, 0);
            large = warp_memory_map(pool->memory, mapped, SLAB_PAGE_BYTES, false);
        }
        if (large == NULL) {
            return NULL;
        }
        large->pool = pool;
        large->mapped_bytes = mapped;
        pool->bytes_held += mapped;
    }
    large->usable_bytes = usable;
    large_link(&pool->larges, large);
    pool->bytes_used += usable;
    SLAB_POISON((char *)large + SLAB_LARGE_HEADER, large->mapped_bytes - SLAB_LARGE_HEADER);
    SLAB_UNPOISON((char *)large + SLAB_LARGE_HEADER, bytes);
    return (char *)large + SLAB_LARGE_HEADER;
}

static void large_release(struct warp_slab_pool *pool, void *p, size_t bytes)
{
    struct warp_slab_large *large = (void *)((char *)p - SLAB_LARGE_HEADER);

    warp_assert(large->pool == pool);
    warp_assert(large->usable_bytes == warp_slab_round(bytes));
    large_unlink(&pool->larges, large);
    pool->bytes_used -= large->usable_bytes;
    large->usable_bytes = 0; /* a second release does not find its size */
    if (large->mapped_bytes > SLAB_KEPT_BYTES_MAX / 4) {
        large_unmap(pool, large);
        return;
    }
    SLAB_POISON(p, large->mapped_bytes - SLAB_LARGE_HEADER);
    large_trim(pool, SLAB_KEPT_BYTES_MAX - large->mapped_bytes);
    large_link(&pool->kept_larges, large);
    pool->kept_bytes += large->mapped_bytes;
}

/* ---- the pool ------------------------------------------------------------------------ */

int warp_slab_pool_init(struct warp_slab_pool *pool, struct warp_memory *memory, bool huge)
{
    memset(pool, 0, sizeof(*pool));
    pool->memory = memory;
    pool->huge = huge;
    pool->sparse = warp_memory_has_sparse(memory);
    return 0;
}

void warp_slab_pool_fini(struct warp_slab_pool *pool)
{
    large_trim(pool, 0);
    while (pool->larges != NULL) {
        struct warp_slab_large *large = pool->larges;

        large_unlink(&pool->larges, large);
        large_unmap(pool, large);
    }
    while (pool->blocks != NULL) {
        block_destroy(pool, pool->blocks);
    }
    warp_assert(pool->bytes_held == 0);
    memset(pool, 0, sizeof(*pool));
}

/* The current slab has no object that was used before: one of those that never were, or a
 * slab that has any. */
static __attribute__((noinline)) void *slab_reserve_slow(struct warp_slab_pool *pool,
                                                         uint32_t class_index, size_t bytes)
{
    struct warp_slab *slab = pool->partial[class_index];
    char *object;

    if (slab == NULL) {
        slab = slab_create(pool, class_index);
        if (slab == NULL) {
            return NULL;
        }
    }
    if (slab->free != NULL) {
        object = (char *)slab->free;
        SLAB_UNPOISON(object, sizeof(struct slab_object));
        slab->free = slab->free->next;
    } else {
        warp_assert(slab->carved < slab->end);
        object = (char *)slab_block_of(slab) + slab->carved;
        slab->carved += slab->size;
    }
    slab->used++;
    pool->bytes_used += slab->size;
    if (slab->free == NULL && slab->carved == slab->end) {
        slab_unlist(pool, slab);
    }
    (void)bytes; /* the sanitizer alone wants it */
    SLAB_UNPOISON(object, bytes);
    return object;
}

void *warp_slab_reserve(struct warp_slab_pool *pool, size_t bytes)
{
    struct slab_object *object;
    struct warp_slab *slab;
    uint32_t class_index;

    warp_assert(bytes > 0);
    if (WARP_UNLIKELY(bytes > WARP_SLAB_SMALL_BYTES_MAX)) {
        return large_reserve(pool, bytes);
    }
    class_index = slab_class_of(bytes);
    slab = pool->partial[class_index];
    if (WARP_UNLIKELY(slab == NULL)) {
        return slab_reserve_slow(pool, class_index, bytes);
    }
    object = slab->free;
    if (WARP_UNLIKELY(object == NULL)) {
        return slab_reserve_slow(pool, class_index, bytes);
    }
    SLAB_UNPOISON(object, bytes < sizeof(*object) ? sizeof(*object) : bytes);
    slab->free = object->next;
    slab->used++;
    pool->bytes_used += slab->size;
    if (WARP_UNLIKELY(slab->free == NULL && slab->carved == slab->end)) {
        slab_unlist(pool, slab);
        slab = pool->partial[class_index];
    }
    if (bytes < sizeof(*object)) {
        SLAB_POISON((char *)object + bytes, sizeof(*object) - bytes);
    }
    if (slab != NULL && slab->free != NULL) {
        /* What the next reserve will give out: it may lie in another core's cache. */
        __builtin_prefetch(slab->free, 1);
        __builtin_prefetch((const char *)slab->free + 64, 1);
    }
    return object;
}

/* The header of the slab that a small object lies in. */
static inline struct warp_slab *slab_of(const void *p, size_t bytes)
{
    uint32_t index =
        (uint32_t)(((uintptr_t)p & (SLAB_BLOCK_BYTES - 1)) >> SLAB_BYTES_SHIFT);

    if (bytes > SLAB_NARROW_MAX) {
        index &= ~(SLAB_WIDE - 1);
    }
    return &slab_block_of(p)->slabs[index].slab;
}

static inline void slab_release(struct warp_slab_pool *pool, struct warp_slab *slab,
                                struct slab_object *object, size_t bytes)
{
    warp_assert(slab->class_index == slab_class_of(bytes));
    warp_assert(slab->used > 0);
    warp_assert_slow(((uintptr_t)object & 7) == 0);

    SLAB_UNPOISON(object, sizeof(*object));
    object->next = slab->free;
    slab->free = object;
    SLAB_POISON(object, slab->size);
    slab->used--;
    pool->bytes_used -= slab->size;
    if (WARP_UNLIKELY(!slab->listed)) {
        slab_list(pool, slab);
    }
    if (WARP_UNLIKELY(slab->used == 0)) {
        slab_emptied(pool, slab);
    }
}

void warp_slab_release(struct warp_slab_pool *pool, void *p, size_t bytes)
{
    struct warp_slab *slab;

    if (p == NULL) {
        return;
    }
    warp_assert(bytes > 0);
    if (WARP_UNLIKELY(bytes > WARP_SLAB_SMALL_BYTES_MAX)) {
        large_release(pool, p, bytes);
        return;
    }
    slab = slab_of(p, bytes);
    warp_assert(slab->pool == pool);
    slab_release(pool, slab, p, bytes);
}

struct warp_slab_pool *warp_slab_try_release(struct warp_slab_pool *pool, void *p,
                                             size_t bytes)
{
    struct warp_slab *slab;

    warp_assert(p != NULL && bytes > 0);
    if (WARP_UNLIKELY(bytes > WARP_SLAB_SMALL_BYTES_MAX)) {
        struct warp_slab_large *large = (void *)((char *)p - SLAB_LARGE_HEADER);

        if (large->pool != pool) {
            return large->pool;
        }
        large_release(pool, p, bytes);
        return pool;
    }
    slab = slab_of(p, bytes);
    if (WARP_UNLIKELY(slab->pool != pool)) {
        return slab->pool;
    }
    slab_release(pool, slab, p, bytes);
    return pool;
}

/* ---- objects that come home ---------------------------------------------------------- */

struct warp_slab_sent {
    struct warp_slab_sent *next;
    uint64_t bytes;
};
static_assert(sizeof(struct warp_slab_sent) == WARP_SLAB_SENT_BYTES_MIN,
              "what can be sent back has room for it");

bool warp_slab_send_back(struct warp_slab_pool *home, void *p, size_t bytes)
{
    struct warp_slab_sent *sent = p;
    struct warp_slab_sent *first = atomic_load_explicit(&home->sent, memory_order_relaxed);

    warp_assert(bytes >= sizeof(*sent));
    sent->bytes = bytes;
    do {
        sent->next = first;
        /* Release: pairs with the acquire in warp_slab_take_back. */
    } while (!atomic_compare_exchange_weak_explicit(
        &home->sent, &first, sent, memory_order_release, memory_order_relaxed));
    return first == NULL;
}

uint64_t warp_slab_take_back(struct warp_slab_pool *pool, uint32_t most)
{
    uint64_t before = pool->bytes_used;

    while (most > 0) {
        struct warp_slab_sent *sent = pool->taken;

        if (sent == NULL) {
            /* The look first, for mostly there is nothing. Acquire: pairs with the release in
             * warp_slab_send_back. */
            if (atomic_load_explicit(&pool->sent, memory_order_relaxed) == NULL) {
                break;
            }
            pool->taken = atomic_exchange_explicit(&pool->sent, NULL, memory_order_acquire);
            continue;
        }
        pool->taken = sent->next;
        warp_slab_release(pool, sent, sent->bytes);
        most--;
    }
    return before - pool->bytes_used;
}

size_t warp_slab_growth(const struct warp_slab_pool *pool, size_t bytes)
{
    const struct warp_slab_block *block;
    uint32_t class_index, width;

    if (bytes > WARP_SLAB_SMALL_BYTES_MAX) {
        size_t mapped = warp_slab_round(bytes) + SLAB_LARGE_HEADER;

        return large_find_kept(pool, mapped) != NULL ? 0 : mapped;
    }
    class_index = slab_class_of(bytes);
    if (pool->partial[class_index] != NULL) {
        return 0;
    }
    width = slab_width(slab_class_bytes(class_index));
    block = block_find(pool, width);
    if (block == NULL) {
        return pool->huge || !pool->sparse ? SLAB_BLOCK_BYTES
                                           : width * SLAB_BYTES + SLAB_HEADER_BYTES;
    }
    return block_places(block->free_mask & ~block->empty_mask, width) != 0
               ? 0
               : width * SLAB_BYTES;
}

void warp_slab_trim(struct warp_slab_pool *pool)
{
    if (pool->kept != NULL && pool->kept->used == 0) {
        slab_destroy(pool, pool->kept);
        pool->kept = NULL;
    }
    large_trim(pool, 0);
}

uint64_t warp_slab_bytes_used(const struct warp_slab_pool *pool)
{
    return pool->bytes_used;
}

uint64_t warp_slab_bytes_held(const struct warp_slab_pool *pool)
{
    return pool->bytes_held;
}
