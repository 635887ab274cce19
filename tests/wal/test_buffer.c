/* The prefix never covers what is not copied yet. */
#include "wal/buffer.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"

struct ring {
    struct warp_memory memory;
    struct warp_buffer buffer;
    struct warp_sequence sequence;
};

static void ring_init(struct ring *ring, uint64_t bytes, uint32_t cells, uint64_t position)
{
    check_int(warp_memory_init(&ring->memory, NULL), ==, 0);
    check_int(warp_buffer_init(&ring->buffer, &ring->memory, bytes, cells, false), ==, 0);
    warp_sequence_init(&ring->sequence, position, position);
}

static void ring_fini(struct ring *ring)
{
    warp_buffer_fini(&ring->buffer, &ring->memory);
    check_u64(warp_memory_bytes(&ring->memory), ==, 0);
    warp_memory_fini(&ring->memory);
}

static void check_prefix(struct ring *ring, uint64_t bytes, uint64_t boundary,
                         uint64_t tail)
{
    uint64_t got_bytes, got_boundary, got_tail;

    warp_buffer_prefix(&ring->buffer, &ring->sequence, &got_bytes, &got_boundary,
                       &got_tail);
    check_u64(got_bytes, ==, bytes);
    check_u64(got_boundary, ==, boundary);
    check_u64(got_tail, ==, tail);
}

WARP_TEST(buffer, init_without_memory_takes_none)
{
    struct ring ring;
    uint64_t after;

    memset(&ring, 0, sizeof(ring));
    check_int(warp_memory_init(&ring.memory, NULL), ==, 0);
    for (after = 0; after < 2; after++) {
        warp_memory_fail_after(&ring.memory, after);
        check_int(warp_buffer_init(&ring.buffer, &ring.memory, 16384, 3, false), ==,
                  WARP_ENOMEM);
        check_u64(warp_memory_bytes(&ring.memory), ==, 0);
    }
    warp_memory_fini(&ring.memory);
}

WARP_TEST(buffer, the_prefix_ends_at_the_lowest_unfinished_frame)
{
    struct ring ring;

    ring_init(&ring, 16384, 3, 1000);
    check_prefix(&ring, 1000, 1000, 1000);
    check_u64(warp_buffer_begin(&ring.buffer, 0, &ring.sequence, 100), ==, 1000);
    check_prefix(&ring, 1000, 1000, 1100);
    check_u64(warp_buffer_begin(&ring.buffer, 2, &ring.sequence, 50), ==, 1100);
    check_u64(warp_buffer_begin(&ring.buffer, 1, &ring.sequence, 10), ==, 1150);
    warp_buffer_finish(&ring.buffer, 2);
    check_prefix(&ring, 1000, 1000, 1160);
    warp_buffer_finish(&ring.buffer, 0);
    check_prefix(&ring, 1150, 1150, 1160);
    check_u64(warp_buffer_begin(&ring.buffer, 0, &ring.sequence, 40), ==, 1160);
    check_prefix(&ring, 1150, 1150, 1200);
    warp_buffer_finish(&ring.buffer, 1);
    check_prefix(&ring, 1160, 1160, 1200);
    warp_buffer_finish(&ring.buffer, 0);
    check_prefix(&ring, 1200, 1200, 1200);
    ring_fini(&ring);
}

WARP_TEST(buffer, a_writer_stopped_between_its_bound_and_its_place_holds_the_prefix)
{
    struct ring ring;

    ring_init(&ring, 16384, 2, 1000);
    /* begin() in two: the lower bound is stored ... */
    atomic_store(&ring.buffer.cells[0].start, warp_sequence_tail_hint(&ring.sequence));
    check_u64(warp_buffer_begin(&ring.buffer, 1, &ring.sequence, 100), ==, 1000);
    warp_buffer_finish(&ring.buffer, 1);
    /* ... so what others finished above it cannot be told from what it may still take. */
    check_prefix(&ring, 1000, 1000, 1100);
    check_u64(warp_sequence_take(&ring.sequence, 50), ==, 1100);
    check_prefix(&ring, 1000, 1000, 1150);
    warp_buffer_finish(&ring.buffer, 0);
    check_prefix(&ring, 1150, 1150, 1150);
    ring_fini(&ring);
}

WARP_TEST(buffer, a_big_frame_moves_the_bytes_and_not_the_boundary)
{
    struct ring ring;

    ring_init(&ring, 16384, 2, 0);
    check_u64(warp_buffer_begin(&ring.buffer, 0, &ring.sequence, 100000), ==, 0);
    warp_buffer_progress(&ring.buffer, 0, 0, 0);
    check_prefix(&ring, 0, 0, 100000);
    warp_buffer_progress(&ring.buffer, 0, 0, 5000);
    check_prefix(&ring, 5000, 0, 100000);
    /* A frame behind it changes nothing. */
    check_u64(warp_buffer_begin(&ring.buffer, 1, &ring.sequence, 40), ==, 100000);
    check_prefix(&ring, 5000, 0, 100040);
    warp_buffer_finish(&ring.buffer, 1);
    warp_buffer_progress(&ring.buffer, 0, 0, 100000);
    check_prefix(&ring, 100000, 0, 100040);
    warp_buffer_finish(&ring.buffer, 0);
    check_prefix(&ring, 100040, 100040, 100040);
    /* What it left in its cell does not pass for progress of the next. */
    check_u64(warp_buffer_begin(&ring.buffer, 0, &ring.sequence, 100000), ==, 100040);
    check_prefix(&ring, 100040, 100040, 200040);
    warp_buffer_finish(&ring.buffer, 0);
    ring_fini(&ring);
}

WARP_TEST(buffer, copies_wrap_at_the_end_of_the_ring)
{
    struct ring ring;
    uint8_t in[5000], out[5000];
    uint64_t position, contiguous;
    uint32_t i;

    ring_init(&ring, 16384, 1, 0);
    for (i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (position = 0; position < 40000; position += 1237) {
        memset(out, 0, sizeof(out));
        warp_buffer_copy_in(&ring.buffer, position, in, sizeof(in));
        warp_buffer_copy_out(&ring.buffer, position, out, sizeof(out));
        check_bytes(out, sizeof(out), in, sizeof(in));
        check(warp_buffer_at(&ring.buffer, position, &contiguous) ==
              ring.buffer.memory + position % 16384);
        check_u64(contiguous, ==, 16384 - position % 16384);
    }
    ring_fini(&ring);
}

/* Writers fill their places with their positions; the reader checks every byte of the
 * prefix. */
#define WRITERS 3u
#define FRAMES  15000u

struct filler {
    struct ring *ring;
    uint32_t cell;
    pthread_t thread;
    _Atomic uint64_t *released; /* the ring is free below this plus its size */
    _Atomic uint32_t *writing;  /* how many are not done */
};

static void *fill_main(void *context)
{
    struct filler *filler = context;
    struct warp_random random;
    uint64_t frame[64];
    uint32_t i, j;

    warp_random_init(&random, filler->cell);
    for (i = 0; i < FRAMES; i++) {
        uint64_t words = 1 + warp_random_below(&random, 60);
        uint64_t position;

        while (warp_sequence_tail_hint(&filler->ring->sequence) + 4096 >
               atomic_load_explicit(filler->released, memory_order_acquire) + 16384) {
            sched_yield();
        }
        position = warp_buffer_begin(&filler->ring->buffer, filler->cell,
                                     &filler->ring->sequence, words * 8);
        for (j = 0; j < words; j++) {
            frame[j] = position + j * 8;
        }
        warp_buffer_copy_in(&filler->ring->buffer, position, frame, words * 8);
        warp_buffer_finish(&filler->ring->buffer, filler->cell);
    }
    atomic_fetch_sub(filler->writing, 1);
    return NULL;
}

WARP_TEST(buffer, what_the_prefix_covers_is_there)
{
    struct ring ring;
    struct filler fillers[WRITERS];
    _Atomic uint64_t released = 0;
    _Atomic uint32_t writing = WRITERS;
    uint64_t at = 0, boundary_before = 0, wrong = 0;
    bool done = false;
    uint32_t i;

    ring_init(&ring, 16384, WRITERS, 0);
    for (i = 0; i < WRITERS; i++) {
        fillers[i].ring = &ring;
        fillers[i].cell = i;
        fillers[i].released = &released;
        fillers[i].writing = &writing;
        pthread_create(&fillers[i].thread, NULL, fill_main, &fillers[i]);
    }
    while (!done && wrong == 0) {
        uint64_t bytes, boundary, tail;

        /* Before the prefix: what is there after the last of them is all there is. */
        done = atomic_load(&writing) == 0;
        warp_buffer_prefix(&ring.buffer, &ring.sequence, &bytes, &boundary, &tail);
        wrong += bytes < boundary || tail < bytes || boundary < boundary_before;
        boundary_before = boundary;
        for (; at < bytes; at += 8) {
            uint64_t word;

            warp_buffer_copy_out(&ring.buffer, at, &word, sizeof(word));
            wrong += word != at;
        }
        atomic_store_explicit(&released, at, memory_order_release);
    }
    check_u64(at, ==, warp_sequence_tail(&ring.sequence));
    atomic_store_explicit(&released, UINT64_MAX / 2, memory_order_release);
    for (i = 0; i < WRITERS; i++) {
        pthread_join(fillers[i].thread, NULL);
    }
    check_u64(wrong, ==, 0);
    ring_fini(&ring);
}
