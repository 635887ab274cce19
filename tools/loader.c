#include "tools/loader.h"

#include <string.h>

static const char *const format_names[] = {"auto", "ndjson", "tsv", "debian"};

bool warp_loader_format_named(const char *name, enum warp_loader_format *format)
{
    for (uint32_t i = 0; i < sizeof(format_names) / sizeof(format_names[0]); i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *format = (enum warp_loader_format)i;
            return true;
        }
    }
    return false;
}

const char *warp_loader_format_name(enum warp_loader_format format)
{
    return format_names[format];
}

/* The program that takes a compression off, where the first bytes tell of one. */
static const char *compressed_with(const uint8_t *data, size_t bytes)
{
    static const struct {
        const char *magic;
        size_t bytes;
        const char *sentence;
    } magics[] = {
        {"\x1f\x8b", 2, "it is compressed: run  zcat FILE | warp load -"},
        {"\xfd"
         "7zXZ",
         5, "it is compressed: run  xzcat FILE | warp load -"},
        {"\x04\x22\x4d\x18", 4, "it is compressed: run  lz4cat FILE | warp load -"},
        {"\x28\xb5\x2f\xfd", 4, "it is compressed: run  zstdcat FILE | warp load -"},
        {"BZh", 3, "it is compressed: run  bzcat FILE | warp load -"},
    };

    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (bytes >= magics[i].bytes &&
            memcmp(data, magics[i].magic, magics[i].bytes) == 0) {
            return magics[i].sentence;
        }
    }
    return NULL;
}

enum warp_loader_format warp_loader_guess(const void *data, size_t bytes,
                                          const char **sentence)
{
    const uint8_t *text = data;
    size_t begin = 0;
    size_t end;
    size_t name;

    *sentence = compressed_with(text, bytes);
    if (*sentence != NULL) {
        return WARP_LOADER_AUTO;
    }
    while (begin < bytes && (text[begin] == '\n' || text[begin] == '\r')) {
        begin++;
    }
    end = begin;
    while (end < bytes && text[end] != '\n') {
        end++;
    }
    if (begin < end && text[begin] == '{') {
        return WARP_LOADER_NDJSON;
    }
    if (memchr(text + begin, '\t', end - begin) != NULL) {
        return WARP_LOADER_TSV;
    }
    name = begin;
    while (name < end && text[name] > ' ' && text[name] < 0x7f && text[name] != ':') {
        name++;
    }
    if (name > begin && name < end && text[name] == ':') {
        return WARP_LOADER_DEBIAN;
    }
    *sentence =
        "its first line is like none of ndjson, tsv and debian: name one with --format";
    return WARP_LOADER_AUTO;
}

int warp_loader_init(struct warp_loader *loader, enum warp_loader_format format,
                     const char *key)
{
    memset(loader, 0, sizeof(*loader));
    loader->format = format;
    switch (format) {
    case WARP_LOADER_NDJSON:
        if (key != NULL && key[0] == '\0') {
            return WARP_EINVAL;
        }
        return warp_loader_ndjson_init(&loader->of.ndjson, key);
    case WARP_LOADER_TSV:
        return key != NULL ? WARP_EINVAL : warp_loader_tsv_init(&loader->of.tsv);
    case WARP_LOADER_DEBIAN:
        return warp_loader_debian_init(&loader->of.debian, key);
    case WARP_LOADER_AUTO:
        break;
    }
    return WARP_EINVAL;
}

void warp_loader_fini(struct warp_loader *loader)
{
    switch (loader->format) {
    case WARP_LOADER_NDJSON:
        warp_loader_ndjson_fini(&loader->of.ndjson);
        break;
    case WARP_LOADER_TSV:
        warp_loader_tsv_fini(&loader->of.tsv);
        break;
    case WARP_LOADER_DEBIAN:
        warp_loader_debian_fini(&loader->of.debian);
        break;
    case WARP_LOADER_AUTO:
        break;
    }
    memset(loader, 0, sizeof(*loader));
}

int warp_loader_feed(struct warp_loader *loader, const void *data, size_t bytes,
                     const struct warp_loader_sink *sink)
{
    switch (loader->format) {
    case WARP_LOADER_NDJSON:
        return warp_loader_ndjson_feed(&loader->of.ndjson, data, bytes, sink);
    case WARP_LOADER_TSV:
        return warp_loader_tsv_feed(&loader->of.tsv, data, bytes, sink);
    case WARP_LOADER_DEBIAN:
        return warp_loader_debian_feed(&loader->of.debian, data, bytes, sink);
    case WARP_LOADER_AUTO:
        break;
    }
    return WARP_EINVAL;
}

int warp_loader_finish(struct warp_loader *loader, const struct warp_loader_sink *sink)
{
    switch (loader->format) {
    case WARP_LOADER_NDJSON:
        return warp_loader_ndjson_finish(&loader->of.ndjson, sink);
    case WARP_LOADER_TSV:
        return warp_loader_tsv_finish(&loader->of.tsv, sink);
    case WARP_LOADER_DEBIAN:
        return warp_loader_debian_finish(&loader->of.debian, sink);
    case WARP_LOADER_AUTO:
        break;
    }
    return WARP_EINVAL;
}
