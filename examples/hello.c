/*
 * hello - open a database, write, read, remove, close, and find it all again.
 *
 *   cc hello.c -lwarp && ./a.out [DIRECTORY]
 *
 * Keys and values are bytes. warp_put() at the default durability returns when the value is
 * on stable storage: a power cut after that line does not take it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <warp/warp.h>

static struct warp_slice text(const char *string)
{
    return (struct warp_slice){string, strlen(string)};
}

static void must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", what, warp_error_text(rc));
        exit(1);
    }
}

static struct warp *open_database(const char *path)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp *db = NULL;
    char message[256] = "";

    /* When opening fails, the message says why: no permission, open elsewhere, damaged,
     * ... */
    options.message = message;
    options.message_bytes = sizeof(message);
    if (warp_open(path, &options, &db) != 0) {
        fprintf(stderr, "cannot open %s: %s\n", path, message);
        exit(1);
    }
    return db;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "hello-data";
    struct warp *db = open_database(path);
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t sequence = 0;
    char buffer[64];
    size_t bytes = 0;

    must(warp_put(db, text("greeting"), text("hello, world"), NULL, &sequence), "put");
    printf("written, at place %llu of the one order\n", (unsigned long long)sequence);

    /* Copy a value out ... */
    must(warp_get(db, text("greeting"), buffer, sizeof(buffer), &bytes, NULL), "get");
    printf("read: %.*s\n", (int)bytes, buffer);
    if (bytes != 12 || memcmp(buffer, "hello, world", 12) != 0) {
        return 1;
    }

    /* ... or look at it where it lies. It stays as it is until it is returned, even if
     * the key is overwritten meanwhile. */
    must(warp_borrow(db, text("greeting"), &value), "borrow");
    must(warp_put(db, text("greeting"), text("good bye"), NULL, NULL), "put again");
    if (value.bytes != 12 || memcmp(value.data, "hello, world", 12) != 0) {
        return 1;
    }
    warp_return(&value);

    /* Several writes of which a crash leaves all or none. */
    {
        struct warp_batch *batch = NULL;

        must(warp_batch_create(db, &batch), "batch");
        must(warp_batch_put(batch, text("from"), text("90"), 0), "batch put");
        must(warp_batch_put(batch, text("to"), text("110"), 0), "batch put");
        must(warp_batch_delete(batch, text("greeting")), "batch delete");
        must(warp_batch_commit(batch, NULL, NULL), "commit");
        warp_batch_destroy(&batch);
    }
    if (warp_get(db, text("greeting"), buffer, sizeof(buffer), &bytes, NULL) !=
        WARP_ABSENT) {
        return 1;
    }
    must(warp_close(&db), "close");

    /* Everything is there again after opening. */
    db = open_database(path);
    must(warp_get(db, text("to"), buffer, sizeof(buffer), &bytes, NULL),
         "get after reopening");
    printf("after reopening: to = %.*s\n", (int)bytes, buffer);
    if (bytes != 3 || memcmp(buffer, "110", 3) != 0) {
        return 1;
    }
    must(warp_close(&db), "close");
    return 0;
}
