/*
 * base/compress.h - makes blocks of bytes smaller, and whole again.
 *
 * The one room that names zstd (Collet and Kucherawy, RFC 8878). Blocks are small and alike,
 * so it also trains dictionaries: what a block can take for granted (Liao, Petri, Moffat and
 * Wirth, "Effective Construction of Relative Lempel-Ziv Dictionaries", WWW 2016, is the idea
 * behind zstd's trainer).
 *
 * Threads:   a compressor by one thread at a time; a decompressor and a dictionary by any
 *            number at once.
 * Lifetime:  create/destroy; a decompressor outlives its calls, the bytes behind a dictionary
 *            outlive it.
 * Units:     bytes.
 * Ordering:  a context goes from one thread to the next by an exchange: give (release) pairs
 *            with take (acquire).
 * Errors:    WARP_ENOMEM; WARP_EDAMAGED: these bytes do not decompress to so many. Not to
 *            become small enough is no error.
 * Cost:      text in blocks of 4 - 16 KiB at level 1, through wal/archive, on one core: 120 -
 *            260 MB/s to compress, 90 - 170 MB/s with a dictionary; back 0.6 - 1.1 GB/s. A
 *            compressor takes 1 - 2 MiB at level 1, more at higher levels, a context to decompress 94
 *            KiB, a dictionary 28 KiB. All of it comes from struct warp_memory but in train,
 *            for which zstd knows the C library only: about 10 MiB for 1 MiB of samples and
 *            0.1 s, given back before it returns.
 *
 * The functions of zstd that take an allocator are not in the part of its interface that is
 * promised for ever; they are exported by its shared library and have not changed since 1.0.
 * A library without them is noticed when linking.
 */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

#define WARP_COMPRESS_LEVEL_MAX 19

/* ---- smaller ---------------------------------------------------------------------------- */

struct warp_compressor;

/* level: 1 (fast) - 19 (small); block_bytes: what is usually compressed at once. */
int warp_compressor_create(struct warp_compressor **compressor, struct warp_memory *memory,
                           int level, uint32_t block_bytes);
void warp_compressor_destroy(struct warp_compressor **compressor);

/* Digest and copy a dictionary for later calls; replaces the one before. 0 or WARP_ENOMEM,
 * and then there is none. */
int warp_compressor_learn(struct warp_compressor *compressor, const void *dictionary,
                          uint32_t dictionary_bytes);

/*
 * How many bytes it wrote to out, at most capacity; 0 when they do not fit, or when there is
 * no memory for trying: the caller keeps the bytes as they are. with_dictionary: learn was
 * called.
 */
uint32_t warp_compress(struct warp_compressor *compressor, bool with_dictionary, void *out,
                       uint32_t capacity, const void *in, uint32_t bytes);

/*
 * Train a dictionary on samples that lie back to back. How many bytes it has, at most
 * capacity; 0 when zstd cannot make one (too few samples, nothing in common, no memory).
 * The same samples make the same dictionary.
 */
uint32_t warp_compress_train(void *out, uint32_t capacity, const void *samples,
                             const size_t *sample_bytes, uint32_t sample_count);

/* ---- whole again ------------------------------------------------------------------------ */

/* A dictionary, digested to decompress with. */
struct warp_dictionary;
int warp_dictionary_create(struct warp_dictionary **dictionary, struct warp_memory *memory,
                           const void *bytes, uint32_t byte_count);
void warp_dictionary_destroy(struct warp_dictionary **dictionary);

/* Keeps up to context_count contexts, made when they are first needed. */
struct warp_decompressor;
int warp_decompressor_create(struct warp_decompressor **decompressor,
                             struct warp_memory *memory, uint32_t context_count);
void warp_decompressor_destroy(struct warp_decompressor **decompressor);

/*
 * Exactly out_bytes, or WARP_EDAMAGED, and then out holds anything. dictionary may be NULL.
 * Never writes behind out_bytes, whatever `in` holds. When all contexts are in use it makes
 * one for this call: WARP_ENOMEM when it cannot.
 */
int warp_decompress(struct warp_decompressor *decompressor,
                    const struct warp_dictionary *dictionary, void *out, uint32_t out_bytes,
                    const void *in, uint32_t bytes);

#endif
