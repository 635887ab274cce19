/*
 * cache_ttl - answers that are expensive to find, kept for a while.
 *
 *   cc cache_ttl.c -lwarp && ./a.out [DIRECTORY]
 *
 * A cache can be filled anew, so it is opened with WARP_MEMORY: no write waits for the
 * disk, and what a crash takes is looked up again. A value with a ttl_ms is never returned
 * after its time, not even before the sweep has removed it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <warp/warp.h>

enum { TTL_MS = 300 };

static struct warp_slice text(const char *string)
{
    return (struct warp_slice){string, strlen(string)};
}

/* The expensive thing. */
static void look_up(const char *name, char *answer, size_t capacity, int *calls)
{
    *calls += 1;
    snprintf(answer, capacity, "the address of %s (look-up %d)", name, *calls);
}

/* From the cache if it is there, else looked up and put there. 0, or an error. */
static int find(struct warp *db, const char *name, char *answer, size_t capacity,
                int *calls)
{
    struct warp_write how = WARP_WRITE_INIT;
    struct warp_value value = WARP_VALUE_INIT;
    int rc = warp_borrow(db, text(name), &value);

    if (rc == 0) {
        if (value.bytes >= capacity) {
            warp_return(&value);
            return WARP_EVALUE;
        }
        memcpy(answer, value.data, value.bytes);
        answer[value.bytes] = '\0';
        warp_return(&value);
        return 0;
    }
    if (rc != WARP_ABSENT) {
        return rc;
    }
    look_up(name, answer, capacity, calls);
    how.ttl_ms = TTL_MS;
    return warp_put(db, text(name), text(answer), &how, NULL);
}

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&time, &time) != 0) {
    }
}

int main(int argc, char **argv)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp *db = NULL;
    char message[256] = "";
    char first[64];
    char again[64];
    char later[64];
    int calls = 0;
    int failed = 0;

    options.durability = WARP_MEMORY;
    options.message = message;
    options.message_bytes = sizeof(message);
    if (warp_open(argc > 1 ? argv[1] : "cache-data", &options, &db) != 0) {
        fprintf(stderr, "cannot open: %s\n", message);
        return 1;
    }
    /* What an earlier run left may still be fresh. */
    warp_delete(db, text("example.org"), NULL, NULL);

    if (find(db, "example.org", first, sizeof(first), &calls) != 0 ||
        find(db, "example.org", again, sizeof(again), &calls) != 0) {
        failed = 1;
    }
    printf("first:  %s\nagain:  %s\n", first, again);
    if (strcmp(first, again) != 0 && calls == 1) {
        failed = 1;
    }
    sleep_ms(TTL_MS + 50);
    if (find(db, "example.org", later, sizeof(later), &calls) != 0) {
        failed = 1;
    }
    printf("later:  %s\n", later);
    if (strcmp(first, later) == 0 || calls < 2) {
        failed = 1; /* an answer outlived its time */
    }
    if (warp_close(&db) != 0) {
        failed = 1;
    }
    return failed;
}
