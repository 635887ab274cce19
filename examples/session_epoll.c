/*
 * session_epoll - thousands of durable writes in flight from one thread with an event loop.
 *
 *   cc session_epoll.c -lwarp && ./a.out [DIRECTORY]
 *
 * A session takes requests without waiting for the disk and gives completions back. Its
 * descriptor becomes readable when completions wait, so it fits beside sockets and timers
 * in any loop; here the loop is epoll, with the session and nothing else.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <warp/warp.h>

enum { WRITES = 20000, DEPTH = 512, CHUNK = 64 };

/* Keys and values stay ours until the completion comes, so each slot of the session has
 * its own. */
struct slot {
    char key[24];
    char value[48];
    uint32_t next; /* in the list of free slots */
};

struct loop {
    struct warp_session *session;
    struct slot slots[DEPTH];
    uint32_t free_slot; /* DEPTH: none */
    uint32_t submitted, completed, wrong;
};

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, warp_error_text(rc));
        exit(1);
    }
}

static void fill(struct slot *slot, uint32_t number)
{
    snprintf(slot->key, sizeof(slot->key), "user:%06" PRIu32, number);
    snprintf(slot->value, sizeof(slot->value), "the value of user %" PRIu32, number);
}

/* Submit as long as there are writes left and slots free. */
static void submit_more(struct loop *loop)
{
    while (loop->submitted < WRITES && loop->free_slot < DEPTH) {
        struct warp_request requests[CHUNK];
        uint32_t taken_slots[CHUNK];
        uint32_t count = 0;
        int taken;

        while (count < CHUNK && loop->submitted + count < WRITES &&
               loop->free_slot < DEPTH) {
            uint32_t index = loop->free_slot;
            struct slot *slot = &loop->slots[index];

            loop->free_slot = slot->next;
            fill(slot, loop->submitted + count);
            requests[count] = (struct warp_request)WARP_REQUEST_INIT;
            requests[count].opcode = WARP_OP_PUT;
            requests[count].cookie = index;
            requests[count].key = (struct warp_slice){slot->key, strlen(slot->key)};
            requests[count].value = (struct warp_slice){slot->value, strlen(slot->value)};
            taken_slots[count++] = index;
        }
        taken = warp_submit(loop->session, requests, count);
        must(taken, "submit");
        loop->submitted += (uint32_t)taken;
        if ((uint32_t)taken < count) {
            /* Back-pressure: the rest goes back and is submitted after some completions. */
            for (uint32_t i = count; i > (uint32_t)taken; i--) {
                loop->slots[taken_slots[i - 1]].next = loop->free_slot;
                loop->free_slot = taken_slots[i - 1];
            }
            return;
        }
    }
}

/* Take all completions that wait; polling until 0 comes resets the descriptor. */
static void collect(struct loop *loop)
{
    struct warp_completion done[CHUNK];
    int count;

    while ((count = warp_poll(loop->session, done, CHUNK, 0)) > 0) {
        for (int i = 0; i < count; i++) {
            uint32_t index = (uint32_t)done[i].cookie;

            if (done[i].result != 0) {
                fprintf(stderr, "a write failed: %s\n", warp_error_text(done[i].result));
                loop->wrong++;
            }
            loop->completed++;
            loop->slots[index].next = loop->free_slot;
            loop->free_slot = index;
        }
    }
    must(count, "poll");
}

int main(int argc, char **argv)
{
    static struct loop loop;
    struct warp_options options = WARP_OPTIONS_INIT;
    struct epoll_event event = {.events = EPOLLIN};
    struct warp *db = NULL;
    struct slot expected;
    char message[256] = "";
    char buffer[64];
    uint64_t records = 0;
    size_t bytes = 0;
    int poller;

    options.message = message;
    options.message_bytes = sizeof(message);
    if (warp_open(argc > 1 ? argv[1] : "session-data", &options, &db) != 0) {
        fprintf(stderr, "cannot open: %s\n", message);
        return 1;
    }
    must(warp_session_create(db, DEPTH, &loop.session), "session");
    for (uint32_t i = 0; i < DEPTH; i++) {
        loop.slots[i].next = i + 1;
    }

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, warp_session_fd(loop.session), &event) != 0) {
        perror("epoll");
        return 1;
    }
    submit_more(&loop);
    while (loop.completed < WRITES) {
        /* Ten seconds without a completion would mean that something is broken. */
        int ready = epoll_wait(poller, &event, 1, 10000);

        if (ready <= 0) {
            fprintf(stderr, "no completion for ten seconds, %" PRIu32 " of %d done\n",
                    loop.completed, WRITES);
            return 1;
        }
        collect(&loop);
        submit_more(&loop);
    }
    close(poller);
    warp_session_destroy(&loop.session);

    must(warp_count(db, &records), "count");
    printf("%" PRIu32 " durable writes, %" PRIu64 " records\n", loop.completed, records);
    for (uint32_t i = 0; i < WRITES; i += 997) {
        fill(&expected, i);
        must(warp_get(db, (struct warp_slice){expected.key, strlen(expected.key)}, buffer,
                      sizeof(buffer), &bytes, NULL),
             "get");
        if (bytes != strlen(expected.value) || memcmp(buffer, expected.value, bytes) != 0) {
            loop.wrong++;
        }
    }
    must(warp_close(&db), "close");
    return loop.wrong == 0 && records == WRITES ? 0 : 1;
}
