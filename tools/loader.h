/*
 * tools/loader.h - one loader for every format, and the guess which format a file is.
 *
 * Threads:   one at a time.
 * Lifetime:  the struct is the caller's; the key option must outlive it.
 * Units:     bytes.
 * Ordering:  records come in the order of the input.
 * Errors:    those of the format's loader. After any non-zero answer only _fini is left.
 * Cost:      that of the format's loader.
 */
#ifndef WARP_TOOLS_LOADER_H
#define WARP_TOOLS_LOADER_H

#include "tools/loader_debian.h"
#include "tools/loader_ndjson.h"
#include "tools/loader_tsv.h"

enum warp_loader_format {
    WARP_LOADER_AUTO = 0, /* to be guessed */
    WARP_LOADER_NDJSON = 1,
    WARP_LOADER_TSV = 2,
    WARP_LOADER_DEBIAN = 3,
};

struct warp_loader {
    enum warp_loader_format format;
    union {
        struct warp_loader_ndjson ndjson;
        struct warp_loader_tsv tsv;
        struct warp_loader_debian debian;
    } of;
};

/* "ndjson", "tsv", "debian", "auto". */
bool warp_loader_format_named(const char *name, enum warp_loader_format *format);
const char *warp_loader_format_name(enum warp_loader_format format);

/*
 * Guess from the first bytes of a file. WARP_LOADER_AUTO means no guess, and *sentence says
 * why (compressed, or like nothing we know); it is a constant.
 */
enum warp_loader_format warp_loader_guess(const void *data, size_t bytes,
                                          const char **sentence);

/*
 * key: the field or fields that are the key; NULL is the format's own rule. WARP_EINVAL if
 * the format has no fields (TSV), is AUTO, or the names are wrong.
 */
int warp_loader_init(struct warp_loader *loader, enum warp_loader_format format,
                     const char *key);
void warp_loader_fini(struct warp_loader *loader);
int warp_loader_feed(struct warp_loader *loader, const void *data, size_t bytes,
                     const struct warp_loader_sink *sink);
/* The input is over. A paragraph or line without its newline is taken as if it had one. */
int warp_loader_finish(struct warp_loader *loader, const struct warp_loader_sink *sink);

#endif
