/* Places do not overlap, and the mark only grows. */
#include "wal/sequence.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/lib/test.h"

WARP_TEST(sequence, places_follow_each_other)
{
    struct warp_sequence sequence;

    warp_sequence_init(&sequence, 4096, 1024);
    check_u64(warp_sequence_take(&sequence, 40), ==, 4096);
    check_u64(warp_sequence_take(&sequence, 8), ==, 4136);
    check_u64(warp_sequence_tail(&sequence), ==, 4144);
    check_u64(warp_sequence_tail_hint(&sequence), ==, 4144);
    check_u64(warp_sequence_durable(&sequence), ==, 1024);
    warp_sequence_publish(&sequence, 4136);
    warp_sequence_publish(&sequence, 4136);
    check_u64(warp_sequence_durable(&sequence), ==, 4136);
}

WARP_TEST(sequence, a_place_is_taken_exactly_or_not_at_all)
{
    struct warp_sequence sequence;

    warp_sequence_init(&sequence, 100, 0);
    check(!warp_sequence_take_exactly(&sequence, 92, 128));
    check_u64(warp_sequence_tail(&sequence), ==, 100);
    check(warp_sequence_take_exactly(&sequence, 100, 128));
    check_u64(warp_sequence_tail(&sequence), ==, 128);
    check(!warp_sequence_take_exactly(&sequence, 100, 128));
}

#define THREADS 4u
#define TAKES   20000u

struct taker {
    struct warp_sequence *sequence;
    pthread_t thread;
    uint64_t *places;
    uint32_t bytes;
};

static void *take_main(void *context)
{
    struct taker *taker = context;
    uint32_t i;

    for (i = 0; i < TAKES; i++) {
        if (i % 16 == 0) {
            uint64_t tail = warp_sequence_tail(taker->sequence);

            if (warp_sequence_take_exactly(taker->sequence, tail, tail + taker->bytes)) {
                taker->places[i] = tail;
                continue;
            }
        }
        taker->places[i] = warp_sequence_take(taker->sequence, taker->bytes);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

WARP_TEST(sequence, many_takers_leave_no_gap_and_share_no_place)
{
    struct warp_sequence sequence;
    struct taker takers[THREADS];
    uint64_t *all = calloc(THREADS * TAKES * 2, sizeof(*all));
    uint64_t at = 0;
    uint32_t i, j;

    warp_sequence_init(&sequence, 0, 0);
    for (i = 0; i < THREADS; i++) {
        takers[i].sequence = &sequence;
        takers[i].places = calloc(TAKES, sizeof(uint64_t));
        takers[i].bytes = 8 * (i + 1);
        pthread_create(&takers[i].thread, NULL, take_main, &takers[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(takers[i].thread, NULL);
        for (j = 0; j < TAKES; j++) {
            /* position and length in one number */
            all[i * TAKES + j] = takers[i].places[j] << 8 | takers[i].bytes;
        }
        free(takers[i].places);
    }
    qsort(all, THREADS * TAKES, sizeof(*all), compare);
    for (i = 0; i < THREADS * TAKES; i++) {
        if (!check_u64(all[i] >> 8, ==, at)) {
            break;
        }
        at += all[i] & 0xff;
    }
    check_u64(warp_sequence_tail(&sequence), ==, at);
    free(all);
}
