/*
 * counters - several threads change the same records and lose nothing.
 *
 *   cc counters.c -lwarp -lpthread && ./a.out [DIRECTORY]
 *
 * Two ways. A number is what warp_add() is for: one call, atomic. Anything else is read
 * with its sequence, changed, and written back on the condition that the sequence is still
 * the same; WARP_CONFLICT means that somebody was faster, and the work starts anew with
 * what he wrote.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <warp/warp.h>

enum { THREADS = 4, ROUNDS = 500, TRIES_MAX = 100000 };

struct account {
    int64_t balance;
    uint32_t changes;
};

struct worker {
    struct warp *db;
    pthread_t thread;
    uint64_t conflicts;
    int failed;
};

static struct warp_slice text(const char *string)
{
    return (struct warp_slice){string, strlen(string)};
}

/* Read, change, write if nobody else did. 0, or an error. */
static int deposit(struct worker *worker, const char *name, int64_t amount)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        struct warp_write how = WARP_WRITE_INIT;
        struct account account = {0, 0};
        uint64_t sequence = 0;
        size_t bytes = 0;
        int rc =
            warp_get(worker->db, text(name), &account, sizeof(account), &bytes, &sequence);

        if (rc == WARP_ABSENT) {
            how.condition = WARP_IF_ABSENT;
        } else if (rc == 0 && bytes == sizeof(account)) {
            how.condition = WARP_IF_SEQUENCE;
            how.if_sequence = sequence;
        } else {
            return rc < 0 ? rc : WARP_EVALUE;
        }
        account.balance += amount;
        account.changes++;
        rc = warp_put(worker->db, text(name),
                      (struct warp_slice){&account, sizeof(account)}, &how, NULL);
        if (rc != WARP_CONFLICT) {
            return rc;
        }
        worker->conflicts++;
    }
    return WARP_AGAIN;
}

static void *work(void *context)
{
    struct worker *worker = context;

    for (int i = 0; i < ROUNDS && worker->failed == 0; i++) {
        worker->failed = deposit(worker, "account", 3);
        if (worker->failed == 0) {
            worker->failed = warp_add(worker->db, text("visits"), 1, NULL, NULL);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct worker workers[THREADS];
    struct warp_options options = WARP_OPTIONS_INIT;
    struct account account = {0, 0};
    struct warp *db = NULL;
    char message[256] = "";
    int64_t visits = 0;
    size_t bytes = 0;
    int failed = 0;
    int rc;

    /* Hot records: neither writes nor reads wait for the disk; a power cut takes 100 ms
     * at most. */
    options.durability = WARP_INTERVAL;
    options.message = message;
    options.message_bytes = sizeof(message);
    if (warp_open(argc > 1 ? argv[1] : "counters-data", &options, &db) != 0) {
        fprintf(stderr, "cannot open: %s\n", message);
        return 1;
    }
    /* Begin at nothing, also when the example is run twice. */
    warp_delete(db, text("account"), NULL, NULL);
    warp_delete(db, text("visits"), NULL, NULL);

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.db = db};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fprintf(stderr, "no thread\n");
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].failed != 0) {
            fprintf(stderr, "worker %d: %s\n", i, warp_error_text(workers[i].failed));
            failed = 1;
        }
        printf("worker %d: %" PRIu64 " conflicts\n", i, workers[i].conflicts);
    }

    /* Adding nothing reads a number. */
    rc = warp_add(db, text("visits"), 0, NULL, &visits);
    if (rc == 0) {
        rc = warp_get(db, text("account"), &account, sizeof(account), &bytes, NULL);
    }
    printf("balance %" PRId64 " after %" PRIu32 " changes, %" PRId64 " visits\n",
           account.balance, account.changes, visits);
    failed |= rc != 0 || visits != THREADS * ROUNDS ||
              account.changes != THREADS * ROUNDS ||
              account.balance != 3 * THREADS * ROUNDS;
    if (warp_close(&db) != 0) {
        failed = 1;
    }
    return failed;
}
