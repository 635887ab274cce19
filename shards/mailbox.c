#include "shards/mailbox.h"

static_assert(WARP_SENDERS_MAX / 64 <= 32, "a bit of the summary per word");

void warp_mailbox_init(struct warp_mailbox *mailbox, struct warp_memory *memory,
                       uint32_t capacity)
{
    uint32_t i;

    mailbox->memory = memory;
    mailbox->capacity = capacity;
    atomic_init(&mailbox->summary, 0);
    for (i = 0; i < WARP_SENDERS_MAX / 64; i++) {
        atomic_init(&mailbox->waiting[i], 0);
    }
    for (i = 0; i < WARP_SENDERS_MAX; i++) {
        atomic_init(&mailbox->rings[i], NULL);
    }
}

void warp_mailbox_fini(struct warp_mailbox *mailbox)
{
    uint32_t i;

    for (i = 0; i < WARP_SENDERS_MAX; i++) {
        struct warp_ring *ring =
            atomic_load_explicit(&mailbox->rings[i], memory_order_relaxed);

        if (ring != NULL) {
            warp_ring_destroy(mailbox->memory, &ring);
            atomic_store_explicit(&mailbox->rings[i], NULL, memory_order_relaxed);
        }
    }
}

static void mailbox_set(struct warp_mailbox *mailbox, uint32_t word, uint64_t bits)
{
    /* The bit before the summary: who takes the summary's bit finds the other. */
    atomic_fetch_or_explicit(&mailbox->waiting[word], bits, memory_order_seq_cst);
    atomic_fetch_or_explicit(&mailbox->summary, 1u << word, memory_order_seq_cst);
}

int warp_mailbox_send(struct warp_mailbox *mailbox, uint32_t sender,
                      struct warp_message *message)
{
    struct warp_ring *ring;
    int rc;

    warp_assert(sender < WARP_SENDERS_MAX);
    /* Relaxed: only this sender stores here. */
    ring = atomic_load_explicit(&mailbox->rings[sender], memory_order_acquire);
    if (ring == NULL) {
        rc = warp_ring_create(mailbox->memory, mailbox->capacity, &ring);
        if (rc < 0) {
            return WARP_ENOMEM;
        }
        /* Release: pairs with the acquire in take. */
        atomic_store_explicit(&mailbox->rings[sender], ring, memory_order_release);
    }
    if (!warp_ring_send(ring, message)) {
        return WARP_AGAIN;
    }
    mailbox_set(mailbox, sender / 64, UINT64_C(1) << (sender % 64));
    return 0;
}

uint32_t warp_mailbox_take(struct warp_mailbox *mailbox, struct warp_message **messages,
                           uint32_t count)
{
    uint32_t words = atomic_exchange_explicit(&mailbox->summary, 0, memory_order_seq_cst);
    uint32_t taken = 0;

    while (words != 0) {
        uint32_t word = (uint32_t)__builtin_ctz(words);
        uint64_t senders =
            atomic_exchange_explicit(&mailbox->waiting[word], 0, memory_order_seq_cst);
        uint64_t left = 0;

        words &= words - 1;
        while (senders != 0) {
            uint32_t sender = word * 64 + (uint32_t)__builtin_ctzll(senders);
            /* Acquire: pairs with the release in send. */
            struct warp_ring *ring =
                atomic_load_explicit(&mailbox->rings[sender], memory_order_acquire);
            void *message;

            while (taken < count && warp_ring_receive(ring, &message)) {
                messages[taken++] = message;
            }
            if (taken == count) {
                left |= senders & (~senders + 1); /* maybe more in it */
            }
            senders &= senders - 1;
        }
        if (left != 0) {
            mailbox_set(mailbox, word, left);
        }
    }
    return taken;
}
