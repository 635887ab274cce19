#include "engine/caller.h"

/* The holder of a lease has done something for a caller that may be asleep. */
static void caller_notify(struct warp_waker *waker)
{
    struct warp_caller *caller =
        (struct warp_caller *)((char *)waker - offsetof(struct warp_caller, waker));

    /* seq_cst, with the sleeper's store and look at its message: one sees the other. */
    if (atomic_exchange_explicit(&caller->word, 0, memory_order_seq_cst) == 1) {
        warp_wake(&caller->word, 1, UINT32_MAX);
    }
}

/* Runs when a thread ends that had called. */
static void caller_hand_on(void *context)
{
    struct warp_caller *caller = context;
    struct warp_callers *set = caller->set;

    (void)pthread_mutex_lock(&set->mutex);
    caller->taken = false;
    (void)pthread_mutex_unlock(&set->mutex);
}

int warp_callers_init(struct warp_callers *set, struct warp_memory *memory,
                      struct warp_epoch *epoch, uint32_t spin_us,
                      enum warp_latency_mode timing)
{
    uint32_t i;

    set->memory = memory;
    set->epoch = epoch;
    set->spin_us = spin_us;
    set->timing = timing;
    set->made = 0;
    atomic_init(&set->list, NULL);
    for (i = 0; i < WARP_SENDERS_MAX / 64; i++) {
        set->senders[i] = 0;
    }
    if (pthread_key_create(&set->key, caller_hand_on) != 0) {
        return WARP_ESYSTEM;
    }
    if (pthread_mutex_init(&set->mutex, NULL) != 0) {
        (void)pthread_key_delete(set->key);
        return WARP_ESYSTEM;
    }
    return 0;
}

void warp_callers_fini(struct warp_callers *set)
{
    struct warp_caller *caller = atomic_load_explicit(&set->list, memory_order_acquire);

    /* No thread that ends from here on hands a caller on. */
    (void)pthread_key_delete(set->key);
    while (caller != NULL) {
        struct warp_caller *next = caller->next;

        warp_epoch_unregister(&caller->record);
        warp_memory_release(set->memory, caller, sizeof(*caller));
        caller = next;
    }
    (void)pthread_mutex_destroy(&set->mutex);
}

struct warp_caller *warp_caller_make(struct warp_callers *set)
{
    struct warp_caller *caller;

    (void)pthread_mutex_lock(&set->mutex);
    for (caller = atomic_load_explicit(&set->list, memory_order_relaxed); caller != NULL;
         caller = caller->next) {
        if (!caller->taken) {
            break;
        }
    }
    if (caller == NULL) {
        caller = warp_memory_reserve(set->memory, sizeof(*caller), WARP_CACHELINE);
        if (caller == NULL) {
            goto done;
        }
        if (warp_epoch_register(set->epoch, &caller->record) < 0) {
            warp_memory_release(set->memory, caller, sizeof(*caller));
            caller = NULL;
            goto done;
        }
        caller->set = set;
        caller->sender = WARP_SENDER_NONE;
        caller->waker.notify = caller_notify;
        warp_spin_init(&caller->spin, set->spin_us);
        warp_latency_init(&caller->get_latency, set->timing, 2 * set->made);
        warp_latency_init(&caller->write_latency, set->timing, 2 * set->made + 1);
        set->made++;
        caller->next = atomic_load_explicit(&set->list, memory_order_relaxed);
        /* Release: pairs with the acquire of who walks the list. */
        atomic_store_explicit(&set->list, caller, memory_order_release);
    }
    if (pthread_setspecific(set->key, caller) != 0) {
        caller = NULL; /* it stays on the list, for the next thread */
        goto done;
    }
    caller->taken = true;
done:
    (void)pthread_mutex_unlock(&set->mutex);
    return caller;
}

uint32_t warp_callers_take_sender(struct warp_callers *set)
{
    uint32_t sender = WARP_SENDER_NONE;
    uint32_t word;

    (void)pthread_mutex_lock(&set->mutex);
    for (word = 0; word < WARP_SENDERS_MAX / 64; word++) {
        if (~set->senders[word] != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~set->senders[word]);

            set->senders[word] |= UINT64_C(1) << bit;
            sender = word * 64 + bit;
            break;
        }
    }
    (void)pthread_mutex_unlock(&set->mutex);
    return sender;
}

void warp_callers_give_sender(struct warp_callers *set, uint32_t sender)
{
    if (sender == WARP_SENDER_NONE) {
        return;
    }
    (void)pthread_mutex_lock(&set->mutex);
    set->senders[sender / 64] &= ~(UINT64_C(1) << (sender % 64));
    (void)pthread_mutex_unlock(&set->mutex);
}
