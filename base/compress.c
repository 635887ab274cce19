/*
 * zstd asks for memory through our table, so what it takes is counted and can be refused; it
 * does not tell the size when it gives something back, so the size lies in front of every
 * piece. A context to compress grows with the first big block and then keeps its memory; one
 * to decompress a whole frame at once never grows.
 *
 * What can go wrong: no memory (to compress: the block stays as it is; to decompress: the
 * caller is told); bytes that are no frame, or one of another length (zstd checks every
 * length against what it was given).
 */
#define ZSTD_STATIC_LINKING_ONLY /* custom allocators: see the header */

#include "base/compress.h"

#include <stdatomic.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

#include "base/assert.h"
#include "warp/warp.h"

#define COMPRESS_PREFIX_BYTES 16u /* keeps the alignment of what reserve gives */

static void *compress_allocate(void *context, size_t bytes)
{
    uint8_t *p;

    if (bytes > SIZE_MAX - COMPRESS_PREFIX_BYTES) {
        return NULL;
    }
    bytes += COMPRESS_PREFIX_BYTES;
    p = warp_memory_reserve(context, bytes, 0);
    if (p == NULL) {
        return NULL;
    }
    memcpy(p, &bytes, sizeof(bytes));
    return p + COMPRESS_PREFIX_BYTES;
}

static void compress_release(void *context, void *address)
{
    uint8_t *p = address;
    size_t bytes;

    if (p == NULL) {
        return;
    }
    p -= COMPRESS_PREFIX_BYTES;
    memcpy(&bytes, p, sizeof(bytes));
    warp_memory_release(context, p, bytes);
}

static ZSTD_customMem compress_memory(struct warp_memory *memory)
{
    ZSTD_customMem custom = {compress_allocate, compress_release, memory};

    return custom;
}

/*
 * ---- smaller ----------------------------------------------------------------------------
 */

struct warp_compressor {
    struct warp_memory *memory;
    ZSTD_CCtx *context;
    const ZSTD_CDict *dictionary; /* lies in digest; NULL: none was learned */
    void *digest;
    size_t digest_bytes;
    int level;
    uint32_t block_bytes;
};

/* A frame says how long it is; checksums and the dictionary's name are the caller's. */
static bool compressor_configure(struct warp_compressor *compressor)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(
               compressor->context, ZSTD_c_compressionLevel, compressor->level)) &&
           !ZSTD_isError(
               ZSTD_CCtx_setParameter(compressor->context, ZSTD_c_checksumFlag, 0)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(compressor->context, ZSTD_c_dictIDFlag, 0));
}

int warp_compressor_create(struct warp_compressor **compressor, struct warp_memory *memory,
                           int level, uint32_t block_bytes)
{
    struct warp_compressor *made;

    warp_assert(*compressor == NULL);
    warp_assert(level >= 1 && level <= WARP_COMPRESS_LEVEL_MAX);
    made = warp_memory_reserve(memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->memory = memory;
    made->level = level;
    made->block_bytes = block_bytes;
    made->context = ZSTD_createCCtx_advanced(compress_memory(memory));
    if (made->context == NULL || !compressor_configure(made)) {
        warp_compressor_destroy(&made);
        return WARP_ENOMEM;
    }
    *compressor = made;
    return 0;
}

void warp_compressor_destroy(struct warp_compressor **compressor)
{
    struct warp_compressor *gone = *compressor;

    *compressor = NULL;
    if (gone == NULL) {
        return;
    }
    ZSTD_freeCCtx(gone->context);
    warp_memory_release(gone->memory, gone->digest, gone->digest_bytes);
    warp_memory_release(gone->memory, gone, sizeof(*gone));
}

/*
 * In memory of ours: up to zstd 1.5.4 the function that takes its own falls over its feet when
 * there is none.
 */
int warp_compressor_learn(struct warp_compressor *compressor, const void *dictionary,
                          uint32_t dictionary_bytes)
{
    ZSTD_compressionParameters parameters =
        ZSTD_getCParams(compressor->level, compressor->block_bytes, dictionary_bytes);

    warp_assert(dictionary_bytes > 0);
    /* The context must not keep a reference to the one that goes. */
    (void)ZSTD_CCtx_reset(compressor->context, ZSTD_reset_session_only);
    (void)ZSTD_CCtx_refCDict(compressor->context, NULL);
    compressor->dictionary = NULL;
    warp_memory_release(compressor->memory, compressor->digest, compressor->digest_bytes);
    compressor->digest_bytes =
        ZSTD_estimateCDictSize_advanced(dictionary_bytes, parameters, ZSTD_dlm_byCopy);
    compressor->digest =
        warp_memory_reserve(compressor->memory, compressor->digest_bytes, 0);
    if (compressor->digest == NULL) {
        compressor->digest_bytes = 0;
        return WARP_ENOMEM;
    }
    compressor->dictionary =
        ZSTD_initStaticCDict(compressor->digest, compressor->digest_bytes, dictionary,
                             dictionary_bytes, ZSTD_dlm_byCopy, ZSTD_dct_auto, parameters);
    return compressor->dictionary == NULL ? WARP_ENOMEM : 0;
}

uint32_t warp_compress(struct warp_compressor *compressor, bool with_dictionary, void *out,
                       uint32_t capacity, const void *in, uint32_t bytes)
{
    size_t wrote;

    warp_assert(bytes > 0);
    warp_assert(!with_dictionary || compressor->dictionary != NULL);
    /* A call that ran out of room has left the context in the middle of its frame. */
    (void)ZSTD_CCtx_reset(compressor->context, ZSTD_reset_session_only);
    if (ZSTD_isError(ZSTD_CCtx_refCDict(compressor->context,
                                        with_dictionary ? compressor->dictionary : NULL))) {
        return 0;
    }
    wrote = ZSTD_compress2(compressor->context, out, capacity, in, bytes);
    return ZSTD_isError(wrote) ? 0 : (uint32_t)wrote;
}

uint32_t warp_compress_train(void *out, uint32_t capacity, const void *samples,
                             const size_t *sample_bytes, uint32_t sample_count)
{
    size_t made = ZDICT_trainFromBuffer(out, capacity, samples, sample_bytes, sample_count);

    return ZDICT_isError(made) ? 0 : (uint32_t)made;
}

/*
 * ---- whole again ------------------------------------------------------------------------
 */

struct warp_dictionary {
    struct warp_memory *memory;
    ZSTD_DDict *digested;
};

int warp_dictionary_create(struct warp_dictionary **dictionary, struct warp_memory *memory,
                           const void *bytes, uint32_t byte_count)
{
    struct warp_dictionary *made;

    warp_assert(*dictionary == NULL);
    warp_assert(byte_count > 0);
    made = warp_memory_reserve(memory, sizeof(*made), 0);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->memory = memory;
    made->digested = ZSTD_createDDict_advanced(bytes, byte_count, ZSTD_dlm_byRef,
                                               ZSTD_dct_auto, compress_memory(memory));
    if (made->digested == NULL) {
        warp_dictionary_destroy(&made);
        return WARP_ENOMEM;
    }
    *dictionary = made;
    return 0;
}

void warp_dictionary_destroy(struct warp_dictionary **dictionary)
{
    struct warp_dictionary *gone = *dictionary;

    *dictionary = NULL;
    if (gone == NULL) {
        return;
    }
    ZSTD_freeDDict(gone->digested);
    warp_memory_release(gone->memory, gone, sizeof(*gone));
}

struct warp_decompressor {
    /* Set by create, constant afterwards. */
    struct warp_memory *memory;
    uint32_t context_count;

    /* Any thread takes and gives back. NULL: in use, or not made yet. */
    alignas(WARP_CACHELINE) _Atomic(ZSTD_DCtx *) contexts[];
};

static size_t decompressor_bytes(uint32_t context_count)
{
    return sizeof(struct warp_decompressor) + context_count * sizeof(_Atomic(ZSTD_DCtx *));
}

int warp_decompressor_create(struct warp_decompressor **decompressor,
                             struct warp_memory *memory, uint32_t context_count)
{
    struct warp_decompressor *made;
    uint32_t i;

    warp_assert(*decompressor == NULL);
    made = warp_memory_reserve(memory, decompressor_bytes(context_count), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->memory = memory;
    made->context_count = context_count;
    for (i = 0; i < context_count; i++) {
        atomic_init(&made->contexts[i], NULL);
    }
    *decompressor = made;
    return 0;
}

void warp_decompressor_destroy(struct warp_decompressor **decompressor)
{
    struct warp_decompressor *gone = *decompressor;
    uint32_t i;

    *decompressor = NULL;
    if (gone == NULL) {
        return;
    }
    for (i = 0; i < gone->context_count; i++) {
        /* Acquire: pairs with the release of whoever gave it back last. */
        ZSTD_freeDCtx(atomic_load_explicit(&gone->contexts[i], memory_order_acquire));
    }
    warp_memory_release(gone->memory, gone, decompressor_bytes(gone->context_count));
}

static ZSTD_DCtx *decompressor_take(struct warp_decompressor *decompressor)
{
    ZSTD_DCtx *context;
    uint32_t i;

    for (i = 0; i < decompressor->context_count; i++) {
        /* Relaxed: only a hint that spares the exchange. */
        if (atomic_load_explicit(&decompressor->contexts[i], memory_order_relaxed) ==
            NULL) {
            continue;
        }
        /* Acquire pairs with the release in decompressor_give. */
        context = atomic_exchange_explicit(&decompressor->contexts[i], NULL,
                                           memory_order_acquire);
        if (context != NULL) {
            return context;
        }
    }
    return ZSTD_createDCtx_advanced(compress_memory(decompressor->memory));
}

static void decompressor_give(struct warp_decompressor *decompressor, ZSTD_DCtx *context)
{
    uint32_t i;

    for (i = 0; i < decompressor->context_count; i++) {
        ZSTD_DCtx *empty = NULL;

        /* Release pairs with the acquires in decompressor_take and destroy. */
        if (atomic_compare_exchange_strong_explicit(&decompressor->contexts[i], &empty,
                                                    context, memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    ZSTD_freeDCtx(context);
}

int warp_decompress(struct warp_decompressor *decompressor,
                    const struct warp_dictionary *dictionary, void *out, uint32_t out_bytes,
                    const void *in, uint32_t bytes)
{
    ZSTD_DCtx *context = decompressor_take(decompressor);
    size_t wrote;

    if (context == NULL) {
        return WARP_ENOMEM;
    }
    if (dictionary != NULL) {
        wrote = ZSTD_decompress_usingDDict(context, out, out_bytes, in, bytes,
                                           dictionary->digested);
    } else {
        wrote = ZSTD_decompressDCtx(context, out, out_bytes, in, bytes);
    }
    decompressor_give(decompressor, context);
    return ZSTD_isError(wrote) || wrote != out_bytes ? WARP_EDAMAGED : 0;
}
