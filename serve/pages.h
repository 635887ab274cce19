/*
 * serve/pages.h - what is answered to whom who asks how the databases are.
 *
 * Pages over any number of sources: directories of other processes, or one database of this process.
 * A source that cannot be read costs its own samples and nothing else. The page for people at / (serve/console)
 * shows one source at a time; it is fed by /events.
 *
 * Threads:   create and add before the first answer; answer by one thread.
 * Lifetime:  create to destroy; a database that was added must outlive the pages.
 * Units:     seconds and bytes, as the catalogue says.
 * Ordering:  none.
 * Errors:    WARP_ENOMEM, WARP_EINVAL.
 * Cost:      a scrape of one database about 0.3 ms, read at that time and not before.
 */
#ifndef SERVE_PAGES_H
#define SERVE_PAGES_H

#include "serve/http.h"
#include "warp/warp.h"

#define WARP_PAGES_SOURCES_MAX 256u

struct warp_pages;

int warp_pages_create(struct warp_pages **pages);
void warp_pages_destroy(struct warp_pages **pages);

/* The directory of a database, or a database; label NULL: without. Both are copied. */
int warp_pages_add_directory(struct warp_pages *pages, const char *label,
                             const char *directory);
int warp_pages_add_database(struct warp_pages *pages, const char *label, struct warp *db);

/* Whose connections and requests are told; may be NULL. */
void warp_pages_set_http(struct warp_pages *pages, const struct warp_http *http);

/* A warp_http_handler, */
bool warp_pages_answer(void *pages, const struct warp_http_request *request,
                       struct warp_http_answer *answer);
/* and the warp_http_next for its streams: an event of /events for the source of this number. */
char *warp_pages_next(void *pages, uint32_t key, size_t *bytes);

#endif
