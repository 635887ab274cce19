/* Messages arrive once, in the order of their sender, and none is overlooked. */
#include "shards/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "shards/lease.h"
#include "tests/lib/test.h"

struct post {
    struct warp_mailbox mailbox;
    struct warp_lease lease;
    struct warp_memory memory;
};

static struct post *post_create(uint32_t capacity)
{
    struct post *post = aligned_alloc(64, (sizeof(struct post) + 63) / 64 * 64);

    memset(post, 0, sizeof(*post));
    check_int(warp_memory_init(&post->memory, NULL), ==, 0);
    warp_mailbox_init(&post->mailbox, &post->memory, capacity);
    return post;
}

static void post_destroy(struct post *post)
{
    warp_mailbox_fini(&post->mailbox);
    check_u64(warp_memory_bytes(&post->memory), ==, 0);
    warp_memory_fini(&post->memory);
    free(post);
}

WARP_TEST(mailbox, a_full_ring_gives_again_and_keeps_the_rest)
{
    struct post *post = post_create(2);
    struct warp_message messages[3], *taken[8];

    check(!warp_mailbox_waits(&post->mailbox));
    check_u64(warp_mailbox_take(&post->mailbox, taken, 8), ==, 0);
    check_int(warp_mailbox_send(&post->mailbox, 5, &messages[0]), ==, 0);
    check_int(warp_mailbox_send(&post->mailbox, 5, &messages[1]), ==, 0);
    check_int(warp_mailbox_send(&post->mailbox, 5, &messages[2]), ==, WARP_AGAIN);
    check(warp_mailbox_waits(&post->mailbox));
    check_u64(warp_mailbox_take(&post->mailbox, taken, 8), ==, 2);
    check(taken[0] == &messages[0] && taken[1] == &messages[1]);
    check(!warp_mailbox_waits(&post->mailbox));
    check_int(warp_mailbox_send(&post->mailbox, 5, &messages[2]), ==, 0);
    check_u64(warp_mailbox_take(&post->mailbox, taken, 8), ==, 1);
    check(taken[0] == &messages[2]);
    post_destroy(post);
}

WARP_TEST(mailbox, a_ring_that_cannot_be_made_is_no_memory)
{
    struct post *post = post_create(2);
    struct warp_message message;

    warp_memory_fail_after(&post->memory, 0);
    check_int(warp_mailbox_send(&post->mailbox, 0, &message), ==, WARP_ENOMEM);
    check(!warp_mailbox_waits(&post->mailbox));
    warp_memory_fail_after(&post->memory, UINT64_MAX);
    check_int(warp_mailbox_send(&post->mailbox, 0, &message), ==, 0);
    check(warp_mailbox_waits(&post->mailbox));
    post_destroy(post);
}

WARP_TEST(mailbox, every_sender_is_found_whatever_is_taken_at_a_time)
{
    static struct warp_message messages[WARP_SENDERS_MAX];
    uint32_t at_a_time;

    for (at_a_time = 1; at_a_time <= 1500; at_a_time = at_a_time * 3 + 1) {
        struct post *post = post_create(2);
        struct warp_message **taken = calloc(at_a_time, sizeof(struct warp_message *));
        uint8_t seen[WARP_SENDERS_MAX] = {0};
        uint32_t sender, total = 0, count, i;

        for (sender = 0; sender < WARP_SENDERS_MAX; sender++) {
            check_int(warp_mailbox_send(&post->mailbox, sender, &messages[sender]), ==, 0);
        }
        while (total < WARP_SENDERS_MAX) {
            check(warp_mailbox_waits(&post->mailbox));
            count = warp_mailbox_take(&post->mailbox, taken, at_a_time);
            if (!check_u64(count, >, 0)) {
                break;
            }
            for (i = 0; i < count; i++) {
                seen[taken[i] - messages]++;
            }
            total += count;
        }
        for (sender = 0; sender < WARP_SENDERS_MAX; sender++) {
            check_u64(seen[sender], ==, 1);
        }
        check_u64(warp_mailbox_take(&post->mailbox, taken, at_a_time), ==, 0);
        check(!warp_mailbox_waits(&post->mailbox));
        free(taken);
        post_destroy(post);
    }
}

/*
 * Senders do as the engine's do: send, then try the lease, and whoever has it takes, gives
 * it back and looks again. Nobody else ever looks, so one message overlooked is one that
 * never comes.
 */
#define SENDERS  6u
#define MESSAGES 6000u

struct sender {
    struct post *post;
    uint32_t number;
    pthread_t thread;
    struct warp_message *messages;
    uint64_t *expected; /* of each sender; guarded by the lease */
    uint64_t *disorder;
};

static void run_messages(struct sender *self, struct warp_message **taken, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint32_t from = taken[i]->slot;

        if (taken[i]->sequence != self->expected[from]) {
            *self->disorder += 1;
        }
        self->expected[from]++;
        warp_message_complete(taken[i]);
    }
}

static void visit(struct sender *self)
{
    struct warp_message *taken[3];

    while (warp_mailbox_waits(&self->post->mailbox) && warp_lease_try(&self->post->lease)) {
        run_messages(self, taken, warp_mailbox_take(&self->post->mailbox, taken, 3));
        warp_lease_give_back(&self->post->lease);
    }
}

static void *send_main(void *context)
{
    struct sender *self = context;
    uint32_t i;

    for (i = 0; i < MESSAGES; i++) {
        struct warp_message *message = &self->messages[i];

        message->slot = self->number;
        message->sequence = i;
        while (warp_mailbox_send(&self->post->mailbox, self->number * 64 + self->number,
                                 message) == WARP_AGAIN) {
            visit(self);
            sched_yield();
        }
        visit(self);
        if (i % 3 == 0) {
            /* As a blocking caller: this one has to come without anybody sending more. */
            while (!warp_message_is_done(message)) {
                sched_yield();
            }
        }
    }
    for (i = 0; i < MESSAGES; i++) {
        while (!warp_message_is_done(&self->messages[i])) {
            sched_yield();
        }
    }
    return NULL;
}

WARP_TEST(mailbox, many_senders_lose_nothing_and_keep_their_order)
{
    struct post *post = post_create(2);
    struct sender senders[SENDERS];
    uint64_t expected[SENDERS] = {0}, disorder = 0;
    uint32_t i;

    for (i = 0; i < SENDERS; i++) {
        senders[i].post = post;
        senders[i].number = i;
        senders[i].messages = calloc(MESSAGES, sizeof(struct warp_message));
        senders[i].expected = expected;
        senders[i].disorder = &disorder;
        pthread_create(&senders[i].thread, NULL, send_main, &senders[i]);
    }
    for (i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    for (i = 0; i < SENDERS; i++) {
        check_u64(expected[i], ==, MESSAGES);
        free(senders[i].messages);
    }
    check_u64(disorder, ==, 0);
    check(!warp_mailbox_waits(&post->mailbox));
    post_destroy(post);
}
