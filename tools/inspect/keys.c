/* Open addressing with linear steps; numbers of rows in the table, so it doubles without a look at a key. */
#include "tools/inspect/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "warp/warp.h"

#define KEYS_CHUNK_ROWS  16384u
#define KEYS_BLOCK_BYTES 1048576u
#define KEYS_TABLE_FIRST 16384u

struct keys_block {
    struct keys_block *next;
    uint8_t bytes[];
};

struct keys {
    uint32_t *table; /* number of the row, and one more; 0: free */
    uint64_t table_size;
    struct keys_row **chunks;
    uint32_t chunk_count, chunk_capacity;
    uint32_t count;
    struct keys_block *blocks; /* the first one is being filled */
    size_t block_at, block_bytes;
};

int keys_create(struct keys **keys)
{
    struct keys *made = calloc(1, sizeof(*made));

    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->table_size = KEYS_TABLE_FIRST;
    made->table = calloc(made->table_size, sizeof(*made->table));
    if (made->table == NULL) {
        free(made);
        return WARP_ENOMEM;
    }
    *keys = made;
    return 0;
}

void keys_destroy(struct keys **keys)
{
    struct keys *gone = *keys;
    uint32_t i;

    *keys = NULL;
    if (gone == NULL) {
        return;
    }
    while (gone->blocks != NULL) {
        struct keys_block *next = gone->blocks->next;

        free(gone->blocks);
        gone->blocks = next;
    }
    for (i = 0; i < gone->chunk_count; i++) {
        free(gone->chunks[i]);
    }
    free(gone->chunks);
    free(gone->table);
    free(gone);
}

struct keys_row *keys_at(const struct keys *keys, uint32_t i)
{
    return &keys->chunks[i / KEYS_CHUNK_ROWS][i % KEYS_CHUNK_ROWS];
}

uint32_t keys_count(const struct keys *keys)
{
    return keys->count;
}

struct keys_row *keys_find(const struct keys *keys, const void *key, uint32_t key_bytes)
{
    uint32_t hash = (uint32_t)(warp_hash_key(key, key_bytes, 0) >> 32);
    uint64_t at = hash & (keys->table_size - 1);

    for (; keys->table[at] != 0; at = (at + 1) & (keys->table_size - 1)) {
        struct keys_row *row = keys_at(keys, keys->table[at] - 1);

        if (row->hash == hash && row->key_bytes == key_bytes &&
            memcmp(row->key, key, key_bytes) == 0) {
            return row;
        }
    }
    return NULL;
}

static void keys_enter(struct keys *keys, uint32_t hash, uint32_t number)
{
    uint64_t at = hash & (keys->table_size - 1);

    while (keys->table[at] != 0) {
        at = (at + 1) & (keys->table_size - 1);
    }
    keys->table[at] = number;
}

static bool keys_widen(struct keys *keys)
{
    uint32_t *old = keys->table, i;
    uint32_t *more = calloc(keys->table_size * 2, sizeof(*more));

    if (more == NULL) {
        return false;
    }
    keys->table = more;
    keys->table_size *= 2;
    for (i = 0; i < keys->count; i++) {
        keys_enter(keys, keys_at(keys, i)->hash, i + 1);
    }
    free(old);
    return true;
}

static uint8_t *keys_copy(struct keys *keys, const void *key, uint32_t key_bytes)
{
    uint8_t *to;

    if (keys->blocks == NULL || keys->block_bytes - keys->block_at < key_bytes) {
        struct keys_block *block = malloc(sizeof(*block) + KEYS_BLOCK_BYTES);

        if (block == NULL) {
            return NULL;
        }
        block->next = keys->blocks;
        keys->blocks = block;
        keys->block_at = 0;
        keys->block_bytes = KEYS_BLOCK_BYTES;
    }
    to = keys->blocks->bytes + keys->block_at;
    memcpy(to, key, key_bytes);
    keys->block_at += key_bytes;
    return to;
}

struct keys_row *keys_add(struct keys *keys, const void *key, uint32_t key_bytes)
{
    struct keys_row *row;
    uint8_t *copy;

    if (keys->count == UINT32_MAX - 1) {
        return NULL;
    }
    if ((uint64_t)keys->count * 4 >= keys->table_size * 3 && !keys_widen(keys)) {
        return NULL;
    }
    if (keys->count / KEYS_CHUNK_ROWS == keys->chunk_count) {
        if (keys->chunk_count == keys->chunk_capacity) {
            uint32_t capacity = keys->chunk_capacity * 2 + 64;
            struct keys_row **chunks = realloc(keys->chunks, capacity * sizeof(*chunks));

            if (chunks == NULL) {
                return NULL;
            }
            keys->chunks = chunks;
            keys->chunk_capacity = capacity;
        }
        keys->chunks[keys->chunk_count] = malloc(KEYS_CHUNK_ROWS * sizeof(*row));
        if (keys->chunks[keys->chunk_count] == NULL) {
            return NULL;
        }
        keys->chunk_count++;
    }
    copy = keys_copy(keys, key, key_bytes);
    if (copy == NULL) {
        return NULL;
    }
    row = keys_at(keys, keys->count);
    memset(row, 0, sizeof(*row));
    row->key = copy;
    row->key_bytes = key_bytes;
    row->slot = warp_hash_slot(key, key_bytes);
    row->hash = (uint32_t)(warp_hash_key(key, key_bytes, 0) >> 32);
    keys->count++;
    keys_enter(keys, row->hash, keys->count);
    return row;
}
