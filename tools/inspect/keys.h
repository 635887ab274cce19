/*
 * tools/inspect/keys.h - all keys that salvage has met, each with the newest readable place of it.
 *
 * A hash table in front of rows that never move, with the keys in blocks behind them.
 *
 * Threads:   one.
 * Lifetime:  create/destroy; rows live until destroy.
 * Units:     bytes; places (wal/place.h).
 * Ordering:  rows can be visited in the order of their making.
 * Errors:    NULL: no memory, or more than 2^32 - 2 keys.
 * Cost:      56 bytes and the key for each key, and 11 at most for the table.
 */
#ifndef TOOLS_INSPECT_KEYS_H
#define TOOLS_INSPECT_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    KEYS_CONFIRMED = 1, /* what a checkpoint names was met, and is good */
    KEYS_DIRECT = 2,    /* ... but only by its place */
    KEYS_DELETE = 4,    /* the newest that is readable is a delete */
    KEYS_STORED = 8,
    KEYS_SAME = 16, /* what was met elsewhere is the very version that a checkpoint names */
};

struct keys_row {
    const uint8_t *key;
    uint64_t named;    /* where the checkpoint says that its value lies; 0: nothing */
    uint64_t sequence; /* of the newest that is readable; 0: none */
    uint64_t place;    /* and where that lies */
    uint32_t key_bytes;
    uint32_t slot;
    uint32_t hash; /* a part of it */
    uint32_t flags;
};

struct keys;

int keys_create(struct keys **keys);
void keys_destroy(struct keys **keys);
struct keys_row *keys_find(const struct keys *keys, const void *key, uint32_t key_bytes);
/* The row of a key that is not there yet. */
struct keys_row *keys_add(struct keys *keys, const void *key, uint32_t key_bytes);
/* Row i < count. */
struct keys_row *keys_at(const struct keys *keys, uint32_t i);
uint32_t keys_count(const struct keys *keys);

#endif
