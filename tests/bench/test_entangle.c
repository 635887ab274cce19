/* The requests of `warp bench entangle`: what belongs together comes together, in its order; shuffled, the
 * same requests come in any; and a trace is read as it is. */
#include "bench/entangle/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

static const struct entangle_graph graph = {.aggregates = 50,
                                            .objects = 10,
                                            .visits = 2000,
                                            .theta = 0.8,
                                            .shared = 0,
                                            .left_out = 0,
                                            .seed = 3};

static struct entangle_stream made(const struct entangle_graph *how)
{
    struct entangle_stream stream;
    const char *why = "";

    check_int(entangle_stream_graph(&stream, how, &why), ==, 0);
    return stream;
}

/* How often one key is followed by the next number. */
static uint64_t in_order(const struct entangle_stream *stream)
{
    uint64_t i, count = 0;

    for (i = 1; i < stream->count; i++) {
        count += stream->ids[i] == stream->ids[i - 1] + 1;
    }
    return count;
}

WARP_TEST(entangle_stream, objects_of_one_come_one_after_the_other)
{
    struct entangle_stream stream = made(&graph);
    uint64_t ordered = in_order(&stream);

    /* From 5 to 15 of each, so that about one in ten follows another one's last. */
    check_u64(stream.count, >, 2000 * 7);
    check_u64(stream.count, <, 2000 * 13);
    check_u64(ordered, >, stream.count * 85 / 100);
    check_u64(ordered, <, stream.count * 96 / 100);
    check_u64(stream.objects, <=, 50 * 15);
    entangle_stream_fini(&stream);
}

WARP_TEST(entangle_stream, some_are_left_out_and_some_belong_to_several)
{
    struct entangle_graph how = graph;
    struct entangle_stream whole = made(&how), less, shared;

    how.left_out = 0.5;
    less = made(&how);
    check_u64(less.count, >, whole.count * 4 / 10);
    check_u64(less.count, <, whole.count * 6 / 10);
    how.left_out = 0;
    how.shared = 0.5;
    shared = made(&how);
    check_u64(shared.count, ==, whole.count);
    check_u64(in_order(&shared), <, in_order(&whole) * 5 / 10);
    entangle_stream_fini(&whole);
    entangle_stream_fini(&less);
    entangle_stream_fini(&shared);
}

WARP_TEST(entangle_stream, the_same_seed_is_the_same_stream)
{
    struct entangle_graph how = graph;
    struct entangle_stream one = made(&how), two = made(&how), other;

    check_u64(one.count, ==, two.count);
    check(memcmp(one.ids, two.ids, one.count * sizeof(one.ids[0])) == 0);
    how.seed++;
    other = made(&how);
    check(other.count != one.count ||
          memcmp(one.ids, other.ids, one.count * sizeof(one.ids[0])) != 0);
    entangle_stream_fini(&one);
    entangle_stream_fini(&two);
    entangle_stream_fini(&other);
}

WARP_TEST(entangle_stream, shuffled_are_the_same_requests_in_any_order)
{
    struct entangle_stream stream = made(&graph);
    uint32_t *counts = calloc(stream.objects, sizeof(*counts));
    uint64_t i;

    if (!check(counts != NULL)) {
        return;
    }
    for (i = 0; i < stream.count; i++) {
        counts[stream.ids[i]]++;
    }
    entangle_stream_shuffle(&stream, 9);
    for (i = 0; i < stream.count; i++) {
        counts[stream.ids[i]]--;
    }
    for (i = 0; i < stream.objects; i++) {
        check_u64(counts[i], ==, 0);
    }
    check_u64(in_order(&stream), <, stream.count / 20);
    free(counts);
    entangle_stream_fini(&stream);
}

WARP_TEST(entangle_stream, a_trace_is_read_and_what_is_none_is_refused)
{
    static const uint8_t good[] = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0};
    static const uint8_t bad[] = {0x28, 0xb5, 0x2f, 0xfd};
    struct entangle_stream stream;
    const char *why = "";
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/trace", test_directory());
    check_int(entangle_stream_trace(&stream, path, &why), ==, -1);
    entangle_stream_fini(&stream);
    file = fopen(path, "wb");
    check(file != NULL && fwrite(good, sizeof(good), 1, file) == 1 && fclose(file) == 0);
    check_int(entangle_stream_trace(&stream, path, &why), ==, 0);
    check_u64(stream.count, ==, 4);
    check_u64(stream.ids[3], ==, 258);
    check_u64(stream.objects, ==, 259);
    entangle_stream_fini(&stream);
    file = fopen(path, "wb");
    check(file != NULL && fwrite(bad, sizeof(bad), 1, file) == 1 && fclose(file) == 0);
    check_int(entangle_stream_trace(&stream, path, &why), ==, -1);
    check(strstr(why, "compressed") != NULL);
    entangle_stream_fini(&stream);
}
