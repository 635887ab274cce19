/*
 * tools/loader_debian.h - reads Debian control paragraphs as records.
 *
 * The format is Debian Policy 4.6, section 5.1 (deb822(5)): package lists under
 * /var/lib/apt/lists, /var/lib/dpkg/status and their like. A paragraph is a run of lines up
 * to a line of nothing but white space; a line is "Field: text", or begins with white space
 * and goes on with the field before.
 *
 * The value is the paragraph as it was written, each line with its newline. The key is the
 * text of the fields in `key_fields`, joined by "=": by default "Package,Version", so that
 * "bash=5.2.15-2+b2" is a key and two versions of a package are two records. The first of
 * the fields must be there, the others are left out where they are not.
 *
 * Threads:   one at a time.
 * Lifetime:  the struct is the caller's; key_fields must outlive it.
 * Units:     bytes; a paragraph is at most WARP_VALUE_BYTES_MAX.
 * Ordering:  records come in the order of the paragraphs.
 * Errors:    WARP_EINVAL (key_fields is empty or names more than 8), else as in
 *            tools/loader_ndjson.h; what is wrong with a line is wrong with its paragraph.
 * Cost:      two copies of each byte, a pass over each line and the square of the number of
 *            fields (at most 256) of a paragraph, for no field may be there twice.
 */
#ifndef WARP_TOOLS_LOADER_DEBIAN_H
#define WARP_TOOLS_LOADER_DEBIAN_H

#include "tools/lines.h"
#include "tools/record.h"

#define WARP_LOADER_DEBIAN_KEY_FIELDS      "Package,Version"
#define WARP_LOADER_DEBIAN_KEY_COUNT_MAX   8u
#define WARP_LOADER_DEBIAN_FIELD_COUNT_MAX 256u

struct warp_loader_debian {
    struct warp_lines lines;
    const char *key_names[WARP_LOADER_DEBIAN_KEY_COUNT_MAX];
    size_t key_name_bytes[WARP_LOADER_DEBIAN_KEY_COUNT_MAX];
    uint32_t key_count;

    /* The paragraph so far, and where in it its fields are. */
    char *paragraph;
    size_t paragraph_bytes, paragraph_capacity;
    uint64_t paragraph_line;
    bool bad;
    uint32_t field_count;
    struct {
        size_t name_at, name_bytes, text_at, text_bytes;
        bool continues;
    } fields[WARP_LOADER_DEBIAN_FIELD_COUNT_MAX];

    char *key;
};

/* key_fields: names with commas between; NULL means WARP_LOADER_DEBIAN_KEY_FIELDS. */
int warp_loader_debian_init(struct warp_loader_debian *loader, const char *key_fields);
void warp_loader_debian_fini(struct warp_loader_debian *loader);
int warp_loader_debian_feed(struct warp_loader_debian *loader, const void *data,
                            size_t bytes, const struct warp_loader_sink *sink);
int warp_loader_debian_finish(struct warp_loader_debian *loader,
                              const struct warp_loader_sink *sink);

#endif
