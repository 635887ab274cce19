/*
 * Compression: what goes in comes out, damage is noticed, memory is counted and may run out.
 */
#include "base/compress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/lib/test.h"
#include "warp/warp.h"

#define SAMPLES      2000u
#define SAMPLE_BYTES 200u

static void some_text(char out[SAMPLE_BYTES], uint32_t i)
{
    struct warp_random random;

    warp_random_init(&random, i);
    memset(out, ' ', SAMPLE_BYTES);
    snprintf(out, SAMPLE_BYTES,
             "{\"id\":%u,\"name\":\"customer %llu\",\"address\":\"%llu Long Street, Town\","
             "\"comment\":\"nothing much to be said about number %u\"}",
             i, (unsigned long long)warp_random_next(&random),
             (unsigned long long)warp_random_below(&random, 1000), i);
}

WARP_TEST(compress, text_becomes_smaller_and_comes_back)
{
    struct warp_memory memory;
    struct warp_compressor *compressor = NULL;
    struct warp_decompressor *decompressor = NULL;
    char in[20 * SAMPLE_BYTES], out[20 * SAMPLE_BYTES], back[20 * SAMPLE_BYTES];
    uint32_t bytes, i, level;

    warp_memory_init(&memory, NULL);
    check_int(warp_decompressor_create(&decompressor, &memory, 2), ==, 0);
    for (i = 0; i < 20; i++) {
        some_text(in + i * SAMPLE_BYTES, i);
    }
    for (level = 1; level <= WARP_COMPRESS_LEVEL_MAX; level += 6) {
        check_int(warp_compressor_create(&compressor, &memory, (int)level, 4096), ==, 0);
        bytes = warp_compress(compressor, false, out, sizeof(out), in, sizeof(in));
        check_u64(bytes, >, 0);
        check_u64(bytes, <, sizeof(in) / 2);
        check_int(warp_decompress(decompressor, NULL, back, sizeof(back), out, bytes), ==,
                  0);
        check_bytes(back, sizeof(back), in, sizeof(in));
        check_int(warp_decompress(decompressor, NULL, back, sizeof(back) - 1, out, bytes),
                  ==, WARP_EDAMAGED);
        check_int(warp_decompress(decompressor, NULL, back, sizeof(back), out, bytes - 1),
                  ==, WARP_EDAMAGED);
        warp_compressor_destroy(&compressor);
    }
    warp_decompressor_destroy(&decompressor);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}

WARP_TEST(compress, what_does_not_fit_is_left_alone)
{
    struct warp_memory memory;
    struct warp_compressor *compressor = NULL;
    struct warp_random random;
    uint8_t in[4096], out[4096];
    uint32_t i;

    warp_memory_init(&memory, NULL);
    warp_random_init(&random, test_seed());
    for (i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)warp_random_next(&random);
    }
    check_int(warp_compressor_create(&compressor, &memory, 1, 4096), ==, 0);
    check_u64(warp_compress(compressor, false, out, sizeof(out), in, sizeof(in)), ==, 0);
    /* And leaves no trace: the next block is compressed. */
    memset(in, 'a', sizeof(in));
    check_u64(warp_compress(compressor, false, out, sizeof(out), in, sizeof(in)), >, 0);
    check_u64(warp_compress(compressor, false, out, 5, in, sizeof(in)), ==, 0);
    check_u64(warp_compress(compressor, false, out, sizeof(out), in, sizeof(in)), >, 0);
    warp_compressor_destroy(&compressor);
    warp_memory_fini(&memory);
}

struct trained {
    char samples[SAMPLES * SAMPLE_BYTES];
    size_t sizes[SAMPLES];
    uint8_t dictionary[8192], again[8192];
    uint32_t bytes;
};

static struct trained *train(void)
{
    struct trained *trained = calloc(1, sizeof(*trained));
    uint32_t i;

    for (i = 0; i < SAMPLES; i++) {
        some_text(trained->samples + i * SAMPLE_BYTES, i);
        trained->sizes[i] = SAMPLE_BYTES;
    }
    trained->bytes = warp_compress_train(trained->dictionary, sizeof(trained->dictionary),
                                         trained->samples, trained->sizes, SAMPLES);
    check_u64(trained->bytes, >, 0);
    check_u64(trained->bytes, <=, sizeof(trained->dictionary));
    return trained;
}

WARP_TEST(compress, a_dictionary_makes_small_blocks_smaller)
{
    struct trained *trained = train();
    struct warp_memory memory;
    struct warp_compressor *compressor = NULL;
    struct warp_decompressor *decompressor = NULL;
    struct warp_dictionary *dictionary = NULL;
    char in[SAMPLE_BYTES], back[SAMPLE_BYTES];
    uint8_t out[SAMPLE_BYTES];
    uint32_t plain, helped;

    warp_memory_init(&memory, NULL);
    check_int(warp_compressor_create(&compressor, &memory, 1, SAMPLE_BYTES), ==, 0);
    check_int(warp_compressor_learn(compressor, trained->dictionary, trained->bytes), ==,
              0);
    check_int(
        warp_dictionary_create(&dictionary, &memory, trained->dictionary, trained->bytes),
        ==, 0);
    check_int(warp_decompressor_create(&decompressor, &memory, 0), ==, 0);
    some_text(in, SAMPLES + 1);
    plain = warp_compress(compressor, false, out, sizeof(out), in, sizeof(in));
    helped = warp_compress(compressor, true, out, sizeof(out), in, sizeof(in));
    check_u64(helped, >, 0);
    check(plain == 0 || helped < plain);
    check_int(warp_decompress(decompressor, dictionary, back, sizeof(back), out, helped),
              ==, 0);
    check_bytes(back, sizeof(back), in, sizeof(in));
    /* Without the dictionary it is not the same, if it is anything. */
    check(warp_decompress(decompressor, NULL, back, sizeof(back), out, helped) != 0 ||
          memcmp(back, in, sizeof(in)) != 0);
    /* With it, blocks made without come back as well. */
    plain = warp_compress(compressor, false, out, sizeof(out), in, sizeof(in));
    if (plain > 0) {
        check_int(warp_decompress(decompressor, NULL, back, sizeof(back), out, plain), ==,
                  0);
    }
    warp_dictionary_destroy(&dictionary);
    warp_decompressor_destroy(&decompressor);
    warp_compressor_destroy(&compressor);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
    free(trained);
}

WARP_TEST(compress, the_same_samples_make_the_same_dictionary)
{
    struct trained *trained = train();
    uint32_t bytes = warp_compress_train(trained->again, sizeof(trained->again),
                                         trained->samples, trained->sizes, SAMPLES);

    check_bytes(trained->again, bytes, trained->dictionary, trained->bytes);
    /* Too little to learn from. */
    check_u64(warp_compress_train(trained->again, sizeof(trained->again), trained->samples,
                                  trained->sizes, 2),
              ==, 0);
    free(trained);
}

WARP_TEST(compress, each_allocation_may_fail)
{
    struct trained *trained = train();
    struct warp_memory memory;
    char back[SAMPLE_BYTES];
    uint8_t out[SAMPLE_BYTES];
    uint32_t n;
    bool all = false;

    warp_memory_init(&memory, NULL);
    for (n = 0; !all && n < 100; n++) {
        struct warp_compressor *compressor = NULL;
        struct warp_decompressor *decompressor = NULL;
        struct warp_dictionary *dictionary = NULL;
        uint32_t bytes = 0;
        int rc;

        warp_memory_fail_after(&memory, n);
        rc = warp_compressor_create(&compressor, &memory, 1, SAMPLE_BYTES);
        if (rc == 0) {
            rc = warp_compressor_learn(compressor, trained->dictionary, trained->bytes);
        }
        if (rc == 0) {
            rc = warp_decompressor_create(&decompressor, &memory, 1);
        }
        if (rc == 0) {
            rc = warp_dictionary_create(&dictionary, &memory, trained->dictionary,
                                        trained->bytes);
        }
        if (rc == 0) {
            bytes = warp_compress(compressor, true, out, sizeof(out), trained->samples,
                                  SAMPLE_BYTES);
        }
        if (bytes > 0) {
            rc = warp_decompress(decompressor, dictionary, back, sizeof(back), out, bytes);
            all = rc == 0;
        }
        check(rc == 0 || rc == WARP_ENOMEM);
        warp_dictionary_destroy(&dictionary);
        warp_decompressor_destroy(&decompressor);
        warp_compressor_destroy(&compressor);
        check_u64(warp_memory_bytes(&memory), ==, 0);
    }
    check(all);
    check_u64(n, >, 6);
    warp_memory_fini(&memory);
    free(trained);
}

struct together {
    struct warp_decompressor *decompressor;
    const uint8_t *in;
    uint32_t bytes;
    const char *expected;
    uint32_t wrong;
};

static void *decompress_often(void *context)
{
    struct together *together = context;
    char back[SAMPLE_BYTES];
    uint32_t i;

    for (i = 0; i < 1000; i++) {
        if (warp_decompress(together->decompressor, NULL, back, sizeof(back), together->in,
                            together->bytes) != 0 ||
            memcmp(back, together->expected, sizeof(back)) != 0) {
            together->wrong++;
        }
    }
    return NULL;
}

WARP_TEST(compress, more_threads_than_contexts_decompress_at_once)
{
    struct warp_memory memory;
    struct warp_compressor *compressor = NULL;
    struct warp_decompressor *decompressor = NULL;
    struct together together[4];
    pthread_t threads[4];
    char in[SAMPLE_BYTES];
    uint8_t out[SAMPLE_BYTES];
    uint32_t bytes, i;

    warp_memory_init(&memory, NULL);
    memset(in, 'a', sizeof(in));
    check_int(warp_compressor_create(&compressor, &memory, 1, SAMPLE_BYTES), ==, 0);
    check_int(warp_decompressor_create(&decompressor, &memory, 2), ==, 0);
    bytes = warp_compress(compressor, false, out, sizeof(out), in, sizeof(in));
    check_u64(bytes, >, 0);
    for (i = 0; i < 4; i++) {
        together[i] = (struct together){decompressor, out, bytes, in, 0};
        pthread_create(&threads[i], NULL, decompress_often, &together[i]);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        check_u64(together[i].wrong, ==, 0);
    }
    warp_decompressor_destroy(&decompressor);
    warp_compressor_destroy(&compressor);
    check_u64(warp_memory_bytes(&memory), ==, 0);
    warp_memory_fini(&memory);
}
