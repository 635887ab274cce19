/*
 * What it costs to read a record back from the log by its place: beside a bare pread of the same
 * bytes from a warm page cache, and, with a third argument, from a disk whose cache was emptied.
 *
 *     reader_costs [DIRECTORY [MIB [cold]]]
 *
 * DIRECTORY (made if need be, default a new one in /tmp, removed at the end) gets MIB (default 64)
 * of segments with records of 100 bytes and of 1 KiB in turn. `cold` needs the right to write
 * /proc/sys/vm/drop_caches. Warm lines are the best of five runs, cold ones the only one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "wal/frame.h"
#include "wal/reader.h"
#include "wal/segment.h"

#define SEGMENT    67108864u
#define KEY        16u
#define PAIRS_LOST 2u /* at the end, which may not be whole */
#define WARM_RUNS  5u
#define DEPTH      64u

static const uint32_t value_bytes[2] = {100, 1024};

struct stage {
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_env env;
    struct warp_manifest manifest;
    struct warp_random random;
    uint64_t pair_bytes, pairs;
};

static void stage_must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "reader_costs: %s\n", what);
        exit(1);
    }
}

static void stage_key(uint64_t number, char key[KEY + 1])
{
    snprintf(key, KEY + 1, "k%015llu", (unsigned long long)number);
}

static uint64_t stage_frame_bytes(uint32_t which)
{
    return warp_frame_bytes(WARP_ENTRY_HEADER_BYTES_MIN + KEY + value_bytes[which]);
}

static uint64_t stage_place(const struct stage *stage, uint64_t pair, uint32_t which)
{
    return pair * stage->pair_bytes + (which == 1 ? stage_frame_bytes(0) : 0) +
           WARP_FRAME_HEADER_BYTES;
}

static void stage_frame(const struct stage *stage, uint8_t *at, uint64_t pair,
                        uint32_t which)
{
    uint8_t *body = at + WARP_FRAME_HEADER_BYTES;
    struct warp_entry entry = {0};
    struct warp_frame frame = {0};
    char key[KEY + 1];

    stage_key(2 * pair + which, key);
    entry.kind = WARP_ENTRY_PUT;
    entry.key_bytes = KEY;
    entry.value_bytes = value_bytes[which];
    (void)warp_entry_encode_header(body, &entry);
    memcpy(body + WARP_ENTRY_HEADER_BYTES_MIN, key, KEY);
    memset(body + WARP_ENTRY_HEADER_BYTES_MIN + KEY, (int)(pair * 7 + which),
           value_bytes[which]);
    frame.kind = WARP_FRAME_RECORD;
    frame.position = stage_place(stage, pair, which) - WARP_FRAME_HEADER_BYTES;
    frame.body_bytes = WARP_ENTRY_HEADER_BYTES_MIN + KEY + value_bytes[which];
    frame.body_crc = warp_crc32c(0, body, frame.body_bytes);
    frame.epoch = 1;
    warp_frame_encode_header(at, &frame, warp_manifest_seed(&stage->manifest));
}

/* Segment after segment: what straddles goes on in the next one. */
static void stage_fill(struct stage *stage, uint64_t segments)
{
    const struct warp_disk_ops *ops = stage->disk.ops;
    uint8_t *bytes = warp_memory_map(&stage->memory, SEGMENT + 65536, 4096, false);
    uint64_t index, pair = 0, rest = 0;

    stage_must(bytes != NULL, "no memory");
    for (index = 0; index < segments; index++) {
        char name[WARP_SEGMENT_NAME_BYTES];
        uint64_t at = rest;
        int32_t file;

        while (at < SEGMENT) {
            stage_frame(stage, bytes + at, pair, 0);
            stage_frame(stage, bytes + at + stage_frame_bytes(0), pair, 1);
            at += stage->pair_bytes;
            pair++;
        }
        warp_segment_name(index, name);
        file = ops->open(stage->disk.context, name, WARP_FILE_CREATE | WARP_FILE_DIRECT);
        stage_must(file >= 0, "cannot make a segment");
        stage_must(ops->write(stage->disk.context, file, bytes, SEGMENT,
                              WARP_SEGMENT_HEADER_BYTES, false) == SEGMENT,
                   "cannot write a segment");
        ops->close(stage->disk.context, file);
        rest = at - SEGMENT;
        memcpy(bytes, bytes + SEGMENT, rest);
    }
    stage->pairs = pair - PAIRS_LOST;
    warp_memory_unmap(&stage->memory, bytes, SEGMENT + 65536);
    sync();
}

static void stage_chill(void)
{
    int file;

    sync();
    file = open("/proc/sys/vm/drop_caches", O_WRONLY);
    stage_must(file >= 0 && write(file, "3", 1) == 1, "cannot drop the caches");
    close(file);
}

/* So many random reads, `group` side by side; nanoseconds for each. */
static double stage_read(struct stage *stage, struct warp_reader *reader, uint32_t which,
                         uint32_t count, uint32_t group)
{
    struct warp_read reads[DEPTH];
    char keys[DEPTH][KEY + 1];
    uint64_t begun_ns = warp_clock_ns(stage->env.clock);
    uint32_t done, i;

    for (done = 0; done < count; done += group) {
        for (i = 0; i < group; i++) {
            uint64_t pair = warp_random_next(&stage->random) % stage->pairs;

            stage_key(2 * pair + which, keys[i]);
            reads[i].place = stage_place(stage, pair, which);
            reads[i].key.data = keys[i];
            reads[i].key.bytes = KEY;
            reads[i].value_bytes = value_bytes[which];
            reads[i].in_batch = false;
            reads[i].has_expiry = false;
            reads[i].done = NULL;
        }
        warp_reader_run(reader, reads, group);
        for (i = 0; i < group; i++) {
            stage_must(reads[i].rc == 0, "a record cannot be read");
            warp_read_release(reader, &reads[i]);
        }
    }
    return (double)(warp_clock_ns(stage->env.clock) - begun_ns) / count;
}

/* The same bytes by pread alone, for comparison: same keys made, nothing checked. */
static double stage_bare(struct stage *stage, const int32_t *files, uint32_t which,
                         uint32_t count)
{
    const struct warp_disk_ops *ops = stage->disk.ops;
    uint64_t begun_ns = warp_clock_ns(stage->env.clock);
    uint8_t bytes[2048];
    char key[KEY + 1];
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint64_t pair = warp_random_next(&stage->random) % stage->pairs;
        uint64_t at = stage_place(stage, pair, which) - WARP_FRAME_HEADER_BYTES;

        stage_key(2 * pair + which, key);
        (void)ops->read(stage->disk.context, files[at / SEGMENT], bytes,
                        stage_frame_bytes(which), WARP_SEGMENT_HEADER_BYTES + at % SEGMENT);
    }
    return (double)(warp_clock_ns(stage->env.clock) - begun_ns) / count;
}

static struct warp_reader *stage_reader(struct stage *stage, bool direct)
{
    struct warp_reader_config config = {0};
    struct warp_reader *reader = NULL;

    config.env = &stage->env;
    config.memory = &stage->memory;
    config.manifest = &stage->manifest;
    config.handles_max = 256;
    config.queue_count = 1;
    config.queue_depth = DEPTH;
    config.direct = direct;
    stage_must(warp_reader_create(&reader, &config) == 0, "cannot make a reader");
    return reader;
}

static void stage_open(struct stage *stage, const char *path, uint32_t backend)
{
    char message[256] = "";

    stage_must(warp_disk_open_directory(path, &stage->memory, backend, true, &stage->disk,
                                        message, sizeof(message)) == 0,
               message);
    stage->env.disk = &stage->disk;
}

static void stage_warm(struct stage *stage, const char *path, uint32_t segments)
{
    static const uint32_t backends[2] = {WARP_IO_BACKEND_PLAIN, WARP_IO_BACKEND_AUTO};
    uint32_t backend, which, group, run, i;

    for (backend = 0; backend < 2; backend++) {
        struct warp_reader *reader;
        int32_t *files = calloc(segments, sizeof(*files));

        stage_must(files != NULL, "no memory");
        stage_open(stage, path, backends[backend]);
        reader = stage_reader(stage, false);
        for (i = 0; i < segments; i++) {
            char name[WARP_SEGMENT_NAME_BYTES];
            uint8_t bytes[65536];
            uint64_t at;

            warp_segment_name(i, name);
            files[i] =
                stage->disk.ops->open(stage->disk.context, name, WARP_FILE_READ_ONLY);
            for (at = 0; at < SEGMENT; at += sizeof(bytes)) {
                (void)stage->disk.ops->read(stage->disk.context, files[i], bytes,
                                            sizeof(bytes), at);
            }
        }
        for (which = 0; which < 2; which++) {
            double best[3] = {1e12, 1e12, 1e12};

            for (run = 0; run < WARM_RUNS; run++) {
                double ns = stage_bare(stage, files, which, 100000);

                best[0] = ns < best[0] ? ns : best[0];
                for (group = 0; group < 2; group++) {
                    ns = stage_read(stage, reader, which, 102400, group == 0 ? 1 : DEPTH);
                    best[1 + group] = ns < best[1 + group] ? ns : best[1 + group];
                }
            }
            printf("warm  %-8s  %4u B  pread %5.0f ns   reader, 1 at a time %5.0f ns   "
                   "reader, %u at a time %5.0f ns\n",
                   stage->disk.ops->name(stage->disk.context), value_bytes[which], best[0],
                   best[1], DEPTH, best[2]);
        }
        for (i = 0; i < segments; i++) {
            stage->disk.ops->close(stage->disk.context, files[i]);
        }
        free(files);
        warp_reader_destroy(&reader);
        warp_disk_close(&stage->disk);
    }
}

static void stage_cold(struct stage *stage, const char *path)
{
    uint32_t direct, which, group;

    for (which = 0; which < 2; which++) {
        for (group = 0; group < 2; group++) {
            for (direct = 0; direct < 2; direct++) {
                struct warp_reader *reader;
                uint32_t count = group == 0 ? 4096 : 16384;
                double ns;

                stage_chill();
                stage_open(stage, path, WARP_IO_BACKEND_AUTO);
                reader = stage_reader(stage, direct == 1);
                ns = stage_read(stage, reader, which, count, group == 0 ? 1 : DEPTH);
                printf(
                    "cold  %-8s  %4u B  %-8s  %2u at a time  %7.1f us a read, %8.0f reads "
                    "a second; p50 %.0f us, p99 %.0f us\n",
                    stage->disk.ops->name(stage->disk.context), value_bytes[which],
                    direct == 1 ? "direct" : "buffered", group == 0 ? 1 : DEPTH, ns / 1000,
                    1e9 / ns,
                    (double)warp_histogram_percentile(warp_reader_latency(reader), 50) /
                        1000,
                    (double)warp_histogram_percentile(warp_reader_latency(reader), 99) /
                        1000);
                warp_reader_destroy(&reader);
                warp_disk_close(&stage->disk);
            }
        }
    }
}

int main(int argc, char **argv)
{
    char made[] = "/tmp/reader_costs.XXXXXX";
    const char *path = argc > 1 ? argv[1] : mkdtemp(made);
    uint32_t segments = (argc > 2 ? (uint32_t)atoi(argv[2]) : 64) / 64;
    struct stage stage;
    uint32_t i;

    memset(&stage, 0, sizeof(stage));
    stage_must(path != NULL, "no directory");
    stage_must(segments > 0, "at least 64 MiB");
    stage_must(warp_memory_init(&stage.memory, NULL) == 0, "no memory");
    memset(stage.manifest.id, 0x77, sizeof(stage.manifest.id));
    stage.manifest.segment_bytes = SEGMENT;
    stage.env.clock = warp_clock_system();
    stage.env.threads = true;
    warp_random_init(&stage.random, 1);
    stage.pair_bytes = stage_frame_bytes(0) + stage_frame_bytes(1);
    stage_open(&stage, path, WARP_IO_BACKEND_PLAIN);
    stage_fill(&stage, segments);
    warp_disk_close(&stage.disk);
    if (argc > 3 && strcmp(argv[3], "cold") == 0) {
        stage_cold(&stage, path);
    } else {
        stage_warm(&stage, path, segments);
    }
    for (i = 0; i < segments; i++) {
        char name[WARP_SEGMENT_NAME_BYTES], full[4096];

        warp_segment_name(i, name);
        snprintf(full, sizeof(full), "%s/%s", path, name);
        unlink(full);
    }
    rmdir(path);
    warp_memory_fini(&stage.memory);
    return 0;
}
