/* Requests in flight: order, deadlines, descriptors, ends. */
#include "tests/engine/fixture.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

static struct warp_request request_of(uint32_t opcode, uint64_t cookie, const char *key,
                                      const char *value)
{
    struct warp_request request = WARP_REQUEST_INIT;

    request.opcode = opcode;
    request.cookie = cookie;
    request.key = support_text(key);
    request.value = support_text(value);
    return request;
}

static bool readable(int file)
{
    struct pollfd wait = {file, POLLIN, 0};

    return poll(&wait, 1, 0) == 1;
}

WARP_TEST(session, descriptor_is_readable_while_completions_wait)
{
    struct warp_options options = fixture_options();
    struct warp *db;
    struct warp_session *session = NULL;
    struct warp_request request = request_of(WARP_OP_PUT, 7, "k", "v");
    struct warp_completion completion;
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), rounds, tries, file, rc;

    options.durability = WARP_COMMIT;
    db = fixture_open(test_directory(), &options);
    if (db == NULL || !check_int(warp_session_create(db, 64, &session), ==, 0)) {
        return;
    }
    file = warp_session_fd(session);
    check_int(file, >=, 0);
    check_int(warp_session_fd(session), ==, file);
    check_int(epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event), ==, 0);
    check(!readable(file));
    for (rounds = 0; rounds < 200; rounds++) {
        request.opcode = rounds % 2 == 0 ? WARP_OP_PUT : WARP_OP_GET;
        if (!check_int(warp_submit(session, &request, 1), ==, 1)) {
            break;
        }
        /* It may ring once more for what has been taken already, but no more often than that. */
        for (tries = 0, rc = 0; tries < 3 && rc == 0; tries++) {
            if (!check_int(epoll_wait(epoll, &event, 1, 10000), ==, 1)) {
                break; /* it never woke */
            }
            rc = warp_poll(session, &completion, 1, 0);
        }
        if (!check_int(rc, ==, 1)) {
            break;
        }
        check_int(completion.result, ==, 0);
        check_u64(completion.cookie, ==, 7);
        check_u64(completion.opcode, ==, request.opcode);
        warp_return(&completion.value);
        for (tries = 0; tries < 3; tries++) {
            check_int(warp_poll(session, &completion, 1, 0), ==, 0);
            if (!readable(file)) {
                break;
            }
        }
        check(tries < 3);
    }
    close(epoll);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(session, descriptor_of_many_in_flight)
{
    enum { DEPTH = 64, ROUNDS = 300 };
    struct warp_options options = fixture_options();
    struct warp *db;
    struct warp_session *session = NULL;
    struct warp_request requests[DEPTH];
    struct warp_completion completions[DEPTH];
    struct pollfd wait = {-1, POLLIN, 0};
    char keys[DEPTH][16];
    uint32_t round, i, waiting;
    int rc;

    options.durability = WARP_COMMIT;
    db = fixture_open(test_directory(), &options);
    if (db == NULL || !check_int(warp_session_create(db, DEPTH, &session), ==, 0)) {
        return;
    }
    wait.fd = warp_session_fd(session);
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < DEPTH; i++) {
            snprintf(keys[i], sizeof(keys[i]), "k%u", i);
            requests[i] =
                request_of(i % 3 == 0 ? WARP_OP_GET : WARP_OP_PUT, i, keys[i], "v");
        }
        if (!check_int(warp_submit(session, requests, DEPTH), ==, DEPTH)) {
            break;
        }
        for (waiting = DEPTH; waiting > 0;) {
            if (!check_int(poll(&wait, 1, 10000), ==, 1)) {
                goto done; /* a wake-up was lost */
            }
            while ((rc = warp_poll(session, completions, 7, 0)) > 0) {
                for (i = 0; i < (uint32_t)rc; i++) {
                    warp_return(&completions[i].value);
                }
                waiting -= (uint32_t)rc;
            }
        }
    }
done:
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(session, past_deadline_is_not_carried_out)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_request request = request_of(WARP_OP_PUT, 1, "k", "late");
    struct warp_completion completion;
    uint32_t opcode;
    char text[256];

    if (db == NULL || !check_int(warp_session_create(db, 8, &session), ==, 0)) {
        return;
    }
    check_int(fixture_put(db, "k", "1"), ==, 0);
    for (opcode = WARP_OP_GET; opcode <= WARP_OP_ADD; opcode++) {
        request.opcode = opcode;
        request.delta = 5;
        request.deadline_ns = support_now_ns() - 1;
        check_int(warp_submit(session, &request, 1), ==, 1);
        check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
        check_int(completion.result, ==, WARP_EDEADLINE);
        check_str(fixture_get(db, "k", text), "1");
    }
    request.opcode = WARP_OP_PUT;
    request.deadline_ns = support_now_ns() + 60000000000u;
    check_int(warp_submit(session, &request, 1), ==, 1);
    check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
    check_int(completion.result, ==, 0);
    check_str(fixture_get(db, "k", text), "late");
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

struct disturber {
    struct warp *db;
    _Atomic bool stop;
};

static void *disturb(void *context)
{
    struct disturber *disturber = context;

    while (!disturber->stop) {
        fixture_put(disturber->db, "other", "x");
    }
    return NULL;
}

WARP_TEST(session, requests_on_one_key_keep_their_order)
{
    enum { DEPTH = 256, REQUESTS = 20000 };
    struct warp_options options = fixture_options();
    struct disturber disturber = {NULL, false};
    struct warp_session *session = NULL;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completions[DEPTH];
    int64_t *numbers = calloc(REQUESTS, sizeof(*numbers));
    uint64_t *sequences = calloc(REQUESTS, sizeof(*sequences));
    uint32_t taken = 0, polled = 0, i, wrong = 0;
    int64_t expected[2] = {0, 0};
    pthread_t thread;
    struct warp *db;
    int rc;

    options.shard_count = 1; /* so that the lease is often taken by the other thread */
    db = fixture_open(test_directory(), &options);
    if (db == NULL || !check_int(warp_session_create(db, DEPTH, &session), ==, 0)) {
        return;
    }
    disturber.db = db;
    check_int(pthread_create(&thread, NULL, disturb, &disturber), ==, 0);
    while (polled < REQUESTS) {
        for (; taken < REQUESTS; taken++) {
            request.opcode = taken % 4 < 2 ? WARP_OP_ADD : WARP_OP_GET;
            request.key = support_text(taken % 2 == 0 ? "even" : "odd");
            request.cookie = taken;
            request.delta = 1;
            rc = warp_submit(session, &request, 1);
            if (rc != 1) {
                check_int(rc, ==, 0);
                break;
            }
        }
        rc = warp_poll(session, completions, DEPTH, UINT64_MAX);
        if (!check_int(rc, >, 0)) {
            break;
        }
        for (i = 0; i < (uint32_t)rc; i++) {
            struct warp_completion *completion = &completions[i];
            char text[32] = "";

            check_int(completion->result, ==, 0);
            numbers[completion->cookie] = completion->number;
            sequences[completion->cookie] = completion->sequence;
            if (completion->opcode == WARP_OP_GET && completion->result == 0) {
                memcpy(text, completion->value.data,
                       completion->value.bytes < 31 ? completion->value.bytes : 31);
                numbers[completion->cookie] = strtoll(text, NULL, 10);
                sequences[completion->cookie] = completion->value.sequence;
                warp_return(&completion->value);
            }
        }
        polled += (uint32_t)rc;
    }
    for (i = 0; i < REQUESTS; i++) {
        expected[i % 2] += i % 4 < 2;
        wrong += numbers[i] != expected[i % 2];
        wrong += i >= 2 && (sequences[i] < sequences[i - 2] ||
                            (i % 4 >= 2 && sequences[i] != sequences[i - 2]));
    }
    check_u64(wrong, ==, 0);
    disturber.stop = true;
    pthread_join(thread, NULL);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
    free(numbers);
    free(sequences);
}

WARP_TEST(session, destroy_waits_for_what_is_in_flight)
{
    enum { REQUESTS = 500 };
    const char *directory = test_directory();
    struct warp_options options = fixture_options();
    struct warp *db;
    struct warp_session *session = NULL;
    struct warp_request requests[REQUESTS];
    char keys[REQUESTS][16], text[256];
    uint32_t i, round, missing = 0;
    uint64_t count = 0;

    options.durability = WARP_COMMIT;
    db = fixture_open(directory, &options);
    if (db == NULL) {
        return;
    }
    for (i = 0; i < REQUESTS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%u", i);
        requests[i] = request_of(WARP_OP_PUT, i, keys[i], "v");
    }
    for (round = 0; round < 10; round++) {
        uint32_t first = round * 50;

        check_int(warp_session_create(db, REQUESTS, &session), ==, 0);
        check_int(warp_submit(session, requests + first, 50), ==, 50);
        warp_session_destroy(&session);
        for (i = first; i < first + 50; i++) {
            missing += strcmp(fixture_get(db, keys[i], text), "v") != 0;
        }
    }
    check_u64(missing, ==, 0);
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(directory, &options);
    check_int(warp_count(db, &count), ==, 0);
    check_u64(count, ==, REQUESTS);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(session, a_loan_outlives_its_session)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_request request = request_of(WARP_OP_GET, 0, "k", "");
    struct warp_completion completion;

    if (db == NULL || !check_int(warp_session_create(db, 1, &session), ==, 0)) {
        return;
    }
    check_int(fixture_put(db, "k", "held"), ==, 0);
    check_int(warp_submit(session, &request, 1), ==, 1);
    check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
    check_int(completion.result, ==, 0);
    warp_session_destroy(&session);
    check_int(fixture_put(db, "k", "other"), ==, 0);
    check_int(warp_delete(db, support_text("k"), NULL, NULL), ==, 0);
    check_bytes(completion.value.data, completion.value.bytes, "held", (size_t)4);
    warp_return(&completion.value);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(session, poll_waits_as_long_as_it_is_told)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_completion completion;
    uint64_t begun_ns = support_now_ns();

    if (db == NULL || !check_int(warp_session_create(db, 4, &session), ==, 0)) {
        return;
    }
    /* Nothing is in flight: there is nothing to wait for. */
    check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 0);
    check_int(warp_poll(session, &completion, 1, 5000000000u), ==, 0);
    check_int(warp_poll(session, &completion, 0, 0), ==, 0);
    check_u64(support_now_ns() - begun_ns, <, 4000000000u);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(session, two_threads_wait_for_each_others_keys)
{
    /* Sessions of one thread may be driven by another later. */
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *sessions[20] = {NULL};
    struct warp_request request = request_of(WARP_OP_ADD, 0, "sum", "");
    struct warp_completion completion;
    uint32_t i, round;
    char text[256];

    if (db == NULL) {
        return;
    }
    request.delta = 1;
    for (i = 0; i < 20; i++) {
        check_int(warp_session_create(db, 4, &sessions[i]), ==, 0);
    }
    for (round = 0; round < 50; round++) {
        for (i = 0; i < 20; i++) {
            check_int(warp_submit(sessions[i], &request, 1), ==, 1);
        }
        for (i = 0; i < 20; i++) {
            check_int(warp_poll(sessions[i], &completion, 1, UINT64_MAX), ==, 1);
        }
    }
    check_str(fixture_get(db, "sum", text), "1000");
    for (i = 0; i < 20; i++) {
        warp_session_destroy(&sessions[i]);
    }
    check_int(warp_close(&db), ==, 0);
}
