#include "base/ring.h"

#include <errno.h>

#include "base/thread.h"
#include "tests/lib/test.h"

WARP_TEST(ring, holds_exactly_its_capacity)
{
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        struct warp_ring *ring = NULL;
        uintptr_t sent = 0;
        uintptr_t received = 0;
        void *pointer = NULL;

        check_int(warp_ring_create(&memory, capacity, &ring), ==, 0);
        check(!warp_ring_receive(ring, &pointer));
        check(pointer == NULL);
        for (uint32_t round = 0; round < 5; round++) {
            while (warp_ring_send(ring, (void *)(sent + 1))) {
                sent++;
                if (sent > received + capacity) {
                    break;
                }
            }
            check_u64(sent - received, ==, capacity);
            check_u64(warp_ring_count(ring), ==, capacity);
            for (uint32_t index = 0; index < (capacity + 1) / 2; index++) {
                check(warp_ring_receive(ring, &pointer));
                received++;
                check_u64((uintptr_t)pointer, ==, received);
            }
        }
        while (warp_ring_receive(ring, &pointer)) {
            received++;
            check_u64((uintptr_t)pointer, ==, received);
        }
        check_u64(sent, ==, received);
        check_u64(warp_ring_count(ring), ==, 0);
        warp_ring_destroy(&memory, &ring);
        check(ring == NULL);
    }
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(ring, create_without_memory_fails)
{
    struct warp_ring *ring = NULL;
    struct warp_memory memory;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    warp_memory_fail_after(&memory, 0);
    check_int(warp_ring_create(&memory, 8, &ring), ==, -ENOMEM);
    check(ring == NULL);
    warp_memory_fini(&memory);
}

#define RING_MESSAGES 100000u

struct ring_message {
    uint64_t number;
    uint64_t twice; /* plain fields: the ring alone makes them visible */
};

struct ring_stage {
    struct warp_ring *there;
    struct warp_ring *back;
    struct ring_message messages[32];
};

static void ring_sender(void *context)
{
    struct ring_stage *stage = context;

    for (uint64_t number = 1; number <= RING_MESSAGES; number++) {
        void *pointer = NULL;

        while (!warp_ring_receive(stage->back, &pointer)) {
            warp_thread_yield();
        }
        struct ring_message *message = pointer;
        message->number = number;
        message->twice = 2 * number;
        while (!warp_ring_send(stage->there, message)) {
            warp_thread_yield();
        }
    }
}

WARP_TEST(ring, two_threads_keep_order_and_content)
{
    static struct ring_stage stage;
    struct warp_thread *thread = NULL;
    struct warp_memory memory;

    stage.there = NULL;
    stage.back = NULL;
    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_ring_create(&memory, 16, &stage.there), ==, 0);
    check_int(warp_ring_create(&memory, 32, &stage.back), ==, 0);
    for (int index = 0; index < 32; index++) {
        check(warp_ring_send(stage.back, &stage.messages[index]));
    }
    check_int(warp_thread_start(&thread, &memory, "sender", -1, ring_sender, &stage), ==,
              0);
    for (uint64_t number = 1; number <= RING_MESSAGES; number++) {
        struct ring_message *message;
        void *pointer = NULL;

        while (!warp_ring_receive(stage.there, &pointer)) {
            warp_thread_yield();
        }
        message = pointer;
        if (!check_u64(message->number, ==, number) ||
            !check_u64(message->twice, ==, 2 * number)) {
            break;
        }
        message->number = 0;
        check(warp_ring_send(stage.back, message));
    }
    warp_thread_join(&thread);
    warp_ring_destroy(&memory, &stage.there);
    warp_ring_destroy(&memory, &stage.back);
    warp_memory_fini(&memory);
}
