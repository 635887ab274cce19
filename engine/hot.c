#include "engine/hot.h"

#include <stdlib.h>
#include <string.h>

#define HOT_BYTES (WARP_HOT_PLACES * sizeof(struct warp_hot_place))

int warp_hot_init(struct warp_hot *hot, struct warp_memory *memory, int wanted)
{
    memset(hot, 0, sizeof(*hot));
    hot->memory = memory;
    if (!wanted) {
        return 0;
    }
    hot->places = warp_memory_reserve(memory, HOT_BYTES, 0);
    if (hot->places == NULL) {
        return WARP_ENOMEM;
    }
    if (pthread_mutex_init(&hot->mutex, NULL) != 0) {
        warp_memory_release(memory, hot->places, HOT_BYTES);
        hot->places = NULL;
        return WARP_ESYSTEM;
    }
    return 0;
}

void warp_hot_fini(struct warp_hot *hot)
{
    if (hot->places != NULL) {
        (void)pthread_mutex_destroy(&hot->mutex);
        warp_memory_release(hot->memory, hot->places, HOT_BYTES);
        hot->places = NULL;
    }
}

/* The key's place, or the one that it takes over. */
static uint32_t hot_place(const struct warp_hot *hot, uint64_t hash)
{
    uint32_t least = 0, i;

    for (i = 0; i < hot->used; i++) {
        if (hot->hashes[i] == hash) {
            return i;
        }
    }
    if (hot->used < WARP_HOT_PLACES) {
        return hot->used;
    }
    for (i = 1; i < WARP_HOT_PLACES; i++) {
        if (hot->places[i].count < hot->places[least].count) {
            least = i;
        }
    }
    return least;
}

static void hot_halve(struct warp_hot *hot)
{
    uint32_t i;

    for (i = 0; i < hot->used; i++) {
        hot->places[i].count /= 2;
        hot->places[i].over /= 2;
    }
    hot->total /= 2;
    hot->samples = 0;
}

void warp_hot_add(struct warp_hot *hot, uint64_t hash, struct warp_slice key,
                  uint64_t weight)
{
    struct warp_hot_place *place;
    uint32_t at;

    /* An estimate: a call that meets another one is not counted, rather than held up. */
    if (pthread_mutex_trylock(&hot->mutex) != 0) {
        return;
    }
    at = hot_place(hot, hash);
    place = &hot->places[at];
    if (at == hot->used || hot->hashes[at] != hash) {
        hot->used += at == hot->used;
        hot->hashes[at] = hash;
        place->over = place->count;
        place->key_bytes = (uint32_t)key.bytes;
        memcpy(place->key, key.data,
               key.bytes < sizeof(place->key) ? key.bytes : sizeof(place->key));
    }
    place->count += weight;
    hot->total += weight;
    if (++hot->samples == WARP_HOT_HALVED) {
        hot_halve(hot);
    }
    (void)pthread_mutex_unlock(&hot->mutex);
}

/* By what is known for certain: a key that took a place over may have nothing but what it found there. */
static int hot_compare(const void *a, const void *b)
{
    const struct warp_snapshot_hot *x = a, *y = b;
    uint64_t sure_x = x->count - x->over, sure_y = y->count - y->over;

    return sure_x < sure_y ? 1 : sure_x > sure_y ? -1 : 0;
}

uint32_t warp_hot_copy(struct warp_hot *hot,
                       struct warp_snapshot_hot out[WARP_SNAPSHOT_HOT], uint64_t *total)
{
    struct warp_snapshot_hot all[WARP_HOT_PLACES];
    uint32_t count, i;

    *total = 0;
    if (hot->places == NULL) {
        return 0;
    }
    memset(all, 0, sizeof(all));
    (void)pthread_mutex_lock(&hot->mutex);
    count = hot->used;
    *total = hot->total;
    for (i = 0; i < count; i++) {
        all[i].count = hot->places[i].count;
        all[i].over = hot->places[i].over;
        all[i].key_bytes = hot->places[i].key_bytes;
        memcpy(all[i].key, hot->places[i].key, sizeof(all[i].key));
    }
    (void)pthread_mutex_unlock(&hot->mutex);
    qsort(all, count, sizeof(all[0]), hot_compare);
    count = count < WARP_SNAPSHOT_HOT ? count : WARP_SNAPSHOT_HOT;
    memcpy(out, all, count * sizeof(all[0]));
    return count;
}
