/*
 * `warp torture-writer` and `warp torture-check`: write until killed, then prove what
 * survived.
 *
 * Each thread of the writer owns keys that no other thread writes, and a version that grows
 * with each of its writes. Before a write it appends what it is about to do to the ack
 * file, and after the engine's answer that it was acknowledged; both with one write(2),
 * which survives the death of the process. A value is made from (thread, key, version)
 * alone, so that the checker can tell any byte of it.
 *
 *   S thread kind index version        what was there at the start
 *   I thread kind index version        about to write; kind: P put, D delete, B batch
 *   A thread sequence now_ns           the last I of the thread was acknowledged
 *
 * After a crash each key must be as its last acknowledged write left it, or as the one
 * write did that was in flight. A batch writes one version to BATCH_KEYS keys, spread over
 * the slots: all of them must have the same. With --allow-tail-loss (durability interval or
 * memory) writes may be missing, but only a suffix of the engine's order: none that came
 * before a survivor.
 */
#include "tools/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/options.h"
#include "tools/text.h"

static const char writer_help[] =
    "Usage: warp torture-writer --ack-file FILE [OPTION]...\n"
    "\n"
    "Write from several threads until killed, noting in FILE what was acknowledged.\n"
    "\n"
    "  --ack-file FILE        begun anew; must not be in the database's directory\n"
    "  --threads N            default 4, at most 64\n"
    "  --keys N               keys per thread, default 1000\n"
    "  --value-bytes-max N    default 4K\n"
    "  --seed N               which writes, default 1\n"
    "  --duration-s N         end by itself after so long\n";

static const char check_help[] =
    "Usage: warp torture-check --ack-file FILE [OPTION]...\n"
    "\n"
    "Open the database that a torture-writer was killed on and compare it with FILE.\n"
    "\n"
    "  --ack-file FILE        what the writer left\n"
    "  --allow-tail-loss      the writer ran at interval or memory: a suffix may be "
    "missing\n"
    "\n"
    "Exit status 1: an acknowledged write is missing, a batch is half there, or a value "
    "was\n"
    "never written.\n";

enum {
    OPTION_ACK_FILE = 1,
    OPTION_THREADS,
    OPTION_KEYS,
    OPTION_VALUE_BYTES_MAX,
    OPTION_SEED,
    OPTION_DURATION_S,
    OPTION_ALLOW_TAIL_LOSS,
};
enum {
    THREAD_COUNT_MAX = 64,
    KEY_COUNT_MAX = 10000000,
    BATCH_KEYS = 16,
    BATCH_COUNT = 32, /* batches per thread */
    KEY_BYTES = 64,
    HEADER_BYTES_MAX = 96,
    VIOLATIONS_SHOWN_MAX = 20,
};

#define NO_SEQUENCE UINT64_MAX

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
 * 2014. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct warp_slice make_key(char out[KEY_BYTES], uint32_t thread, char kind,
                                  uint32_t index, uint32_t member)
{
    int bytes;

    if (kind == 'B') {
        bytes = snprintf(out, KEY_BYTES, "torture/%" PRIu32 "/batch/%" PRIu32 "/%" PRIu32,
                         thread, index, member);
    } else {
        bytes = snprintf(out, KEY_BYTES, "torture/%" PRIu32 "/key/%" PRIu32, thread, index);
    }
    return (struct warp_slice){out, (size_t)bytes};
}

/* The filler behind a value's first line, from what the line says. */
static void make_filler(uint8_t *out, uint64_t bytes, uint64_t name)
{
    uint64_t state = name;

    while (bytes > 0) {
        uint64_t word = random_next(&state);
        size_t part = bytes < 8 ? (size_t)bytes : 8;

        memcpy(out, &word, part);
        out += part;
        bytes -= part;
    }
}

static uint64_t value_name(uint32_t thread, char kind, uint32_t index, uint32_t member,
                           uint64_t version)
{
    uint64_t state = (uint64_t)thread << 56 ^ (uint64_t)(unsigned char)kind << 48 ^
                     (uint64_t)member << 32 ^ index;

    state = random_next(&state) ^ version;
    return random_next(&state);
}

/* Room for HEADER_BYTES_MAX + value_bytes_max. Sizes are spread over the orders of
 * magnitude. */
static struct warp_slice make_value(char *out, uint64_t value_bytes_max, uint32_t thread,
                                    char kind, uint32_t index, uint32_t member,
                                    uint64_t version)
{
    uint64_t name = value_name(thread, kind, index, member, version);
    uint64_t state = name ^ 1;
    uint64_t limit = value_bytes_max >> random_next(&state) % 12;
    uint64_t filler = limit > 0 ? random_next(&state) % (limit + 1) : 0;
    int bytes = snprintf(out, HEADER_BYTES_MAX, "version %" PRIu64 " filler %" PRIu64 "\n",
                         version, filler);

    make_filler((uint8_t *)out + bytes, filler, name);
    return (struct warp_slice){out, (size_t)bytes + filler};
}

/* ---- the writer ---- */

struct writer_setting {
    struct warp_tool *tool;
    struct warp *db;
    int ack_fd;
    uint32_t key_count;
    uint64_t value_bytes_max;
    uint64_t seed;
    uint64_t end_ns; /* 0: never */
    _Atomic int
        exit_code; /* the first failure ends all threads; relaxed, for it carries no data */
    _Atomic uint64_t acknowledged; /* relaxed, read after the threads have been joined */
};

struct writer {
    struct writer_setting *setting;
    pthread_t thread;
    uint32_t id;
    uint64_t version;
};

static int writer_fail(struct writer *writer, int exit_code)
{
    atomic_store_explicit(&writer->setting->exit_code, exit_code, memory_order_relaxed);
    return exit_code;
}

/* One whole line with one call: a kill leaves it there or not, but never mixed with
 * another. */
static int writer_note(struct writer *writer, const char *line, int bytes)
{
    ssize_t written;

    do {
        written = write(writer->setting->ack_fd, line, (size_t)bytes);
    } while (written < 0 && errno == EINTR);
    if (written != bytes) {
        return writer_fail(writer,
                           warp_tool_error(writer->setting->tool, "the ack file: %s",
                                           written < 0 ? strerror(errno) : "disk full"));
    }
    return 0;
}

static int writer_note_write(struct writer *writer, char what, char kind, uint32_t index,
                             uint64_t version)
{
    char line[96];
    int bytes = snprintf(line, sizeof(line), "%c %" PRIu32 " %c %" PRIu32 " %" PRIu64 "\n",
                         what, writer->id, kind, index, version);

    return writer_note(writer, line, bytes);
}

/* The version that a key has in the database; 0 if it is absent. */
static uint64_t stored_version(struct warp *db, struct warp_slice key)
{
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t version = 0;
    char header[HEADER_BYTES_MAX + 1];
    size_t bytes;

    if (warp_borrow(db, key, &value) != 0) {
        return 0;
    }
    bytes = value.bytes < HEADER_BYTES_MAX ? value.bytes : HEADER_BYTES_MAX;
    memcpy(header, value.data, bytes);
    header[bytes] = '\0';
    if (sscanf(header, "version %" SCNu64, &version) != 1) {
        version = 0;
    }
    warp_return(&value);
    return version;
}

/* Note what is there now, so that a database can be tortured again and again. */
static int writer_note_start(struct writer *writer)
{
    char key[KEY_BYTES];
    int rc = 0;

    for (uint32_t i = 0; i < writer->setting->key_count + BATCH_COUNT && rc == 0; i++) {
        bool batch = i >= writer->setting->key_count;
        uint32_t index = batch ? i - writer->setting->key_count : i;
        uint64_t version = stored_version(
            writer->setting->db, make_key(key, writer->id, batch ? 'B' : 'P', index, 0));

        if (version > writer->version) {
            writer->version = version;
        }
        if (version > 0) {
            rc = writer_note_write(writer, 'S', batch ? 'B' : 'P', index, version);
        }
    }
    /* A version that was in flight and lost may have been this high; stay above it. */
    writer->version += 1000000;
    return rc;
}

static int writer_step(struct writer *writer, struct warp_batch *batch, char *value_memory,
                       uint64_t *random)
{
    struct writer_setting *setting = writer->setting;
    uint32_t choice = (uint32_t)(random_next(random) % 16);
    char kind = choice < 3 ? 'B' : choice < 5 ? 'D' : 'P';
    uint32_t limit = kind == 'B' ? BATCH_COUNT : setting->key_count;
    uint32_t index = (uint32_t)(random_next(random) % limit);
    uint64_t version = ++writer->version;
    uint64_t sequence = 0;
    char key[KEY_BYTES];
    char line[96];
    int rc;

    if (writer_note_write(writer, 'I', kind, index, version) != 0) {
        return -1;
    }
    if (kind == 'B') {
        rc = 0;
        for (uint32_t i = 0; i < BATCH_KEYS && rc == 0; i++) {
            rc = warp_batch_put(batch, make_key(key, writer->id, kind, index, i),
                                make_value(value_memory, setting->value_bytes_max,
                                           writer->id, kind, index, i, version),
                                0);
        }
        if (rc == 0) {
            rc = warp_batch_commit(batch, NULL, &sequence);
        }
    } else if (kind == 'D') {
        rc = warp_delete(setting->db, make_key(key, writer->id, kind, index, 0), NULL,
                         &sequence);
        if (rc == WARP_ABSENT) {
            /* Nothing was written, so it has no place in the order. */
            sequence = NO_SEQUENCE;
            rc = 0;
        }
    } else {
        rc = warp_put(setting->db, make_key(key, writer->id, kind, index, 0),
                      make_value(value_memory, setting->value_bytes_max, writer->id, kind,
                                 index, 0, version),
                      NULL, &sequence);
    }
    if (rc != 0) {
        writer_fail(writer, warp_tool_failed(setting->tool, setting->db, "writing", rc));
        return -1;
    }
    rc = snprintf(line, sizeof(line), "A %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", writer->id,
                  sequence, now_ns());
    atomic_fetch_add_explicit(&setting->acknowledged, 1, memory_order_relaxed);
    return writer_note(writer, line, rc) != 0 ? -1 : 0;
}

static void *writer_main(void *context)
{
    struct writer *writer = context;
    struct writer_setting *setting = writer->setting;
    struct warp_batch *batch = NULL;
    uint64_t random = setting->seed * 1000003 + writer->id;
    char *value_memory = malloc(setting->value_bytes_max + HEADER_BYTES_MAX);

    if (value_memory == NULL || warp_batch_create(setting->db, &batch) != 0) {
        writer_fail(writer,
                    warp_tool_error(setting->tool, "%s", warp_error_text(WARP_ENOMEM)));
        goto done;
    }
    while (atomic_load_explicit(&setting->exit_code, memory_order_relaxed) == 0 &&
           (setting->end_ns == 0 || now_ns() < setting->end_ns)) {
        if (writer_step(writer, batch, value_memory, &random) != 0) {
            break;
        }
    }
done:
    warp_batch_destroy(&batch);
    free(value_memory);
    return NULL;
}

static int run_writers(struct writer_setting *setting, uint32_t thread_count)
{
    struct writer writers[THREAD_COUNT_MAX];
    uint32_t started = 0;

    for (uint32_t i = 0; i < thread_count; i++) {
        writers[i] = (struct writer){.setting = setting, .id = i};
        if (writer_note_start(&writers[i]) != 0) {
            return WARP_TOOL_ERROR;
        }
    }
    printf("writing from %" PRIu32 " threads\n", thread_count);
    fflush(stdout);
    while (started < thread_count && pthread_create(&writers[started].thread, NULL,
                                                    writer_main, &writers[started]) == 0) {
        started++;
    }
    if (started < thread_count) {
        atomic_store_explicit(&setting->exit_code,
                              warp_tool_error(setting->tool, "cannot start a thread"),
                              memory_order_relaxed);
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(writers[i].thread, NULL);
    }
    printf("%" PRIu64 " writes acknowledged\n",
           atomic_load_explicit(&setting->acknowledged, memory_order_relaxed));
    return atomic_load_explicit(&setting->exit_code, memory_order_relaxed);
}

int warp_tool_torture_writer(int argc, char **argv)
{
    static const struct option own[] = {
        {"ack-file", required_argument, NULL, OPTION_ACK_FILE},
        {"threads", required_argument, NULL, OPTION_THREADS},
        {"keys", required_argument, NULL, OPTION_KEYS},
        {"value-bytes-max", required_argument, NULL, OPTION_VALUE_BYTES_MAX},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"duration-s", required_argument, NULL, OPTION_DURATION_S},
        {NULL, 0, NULL, 0},
    };
    struct warp_tool tool;
    struct writer_setting setting = {
        .tool = &tool, .value_bytes_max = 4096, .seed = 1, .key_count = 1000};
    const char *ack_file = NULL;
    uint64_t threads = 4;
    uint64_t keys = setting.key_count;
    uint64_t duration_s = 0;
    bool good = true;
    int exit_code;
    int code;

    warp_tool_init(&tool, "torture-writer", writer_help);
    while (good && (code = warp_tool_next(&tool, argc, argv, own)) != 0) {
        switch (code) {
        case OPTION_ACK_FILE:
            ack_file = optarg;
            break;
        case OPTION_THREADS:
            good = warp_text_read_u64(optarg, &threads) && threads >= 1 &&
                   threads <= THREAD_COUNT_MAX;
            break;
        case OPTION_KEYS:
            good = warp_text_read_u64(optarg, &keys) && keys >= 1 && keys <= KEY_COUNT_MAX;
            break;
        case OPTION_VALUE_BYTES_MAX:
            /* Sixteen of them have to fit into a batch, beside their first lines. */
            good = warp_text_read_size(optarg, &setting.value_bytes_max) &&
                   setting.value_bytes_max <=
                       WARP_BATCH_BYTES_MAX / BATCH_KEYS - HEADER_BYTES_MAX - KEY_BYTES;
            break;
        case OPTION_SEED:
            good = warp_text_read_u64(optarg, &setting.seed);
            break;
        case OPTION_DURATION_S:
            good = warp_text_read_u64(optarg, &duration_s) && duration_s <= 1000000;
            break;
        default:
            return tool.exit_code;
        }
    }
    if (!good) {
        return warp_tool_usage(&tool, "the number '%s' is out of range", optarg);
    }
    if (ack_file == NULL || argc > optind) {
        return warp_tool_usage(&tool, "--ack-file is needed, and no arguments");
    }
    setting.key_count = (uint32_t)keys;
    setting.ack_fd =
        open(ack_file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (setting.ack_fd < 0) {
        return warp_tool_error(&tool, "%s: %s", ack_file, strerror(errno));
    }
    exit_code = warp_tool_open(&tool, 0, &setting.db);
    if (exit_code == 0) {
        setting.end_ns = duration_s > 0 ? now_ns() + duration_s * 1000000000u : 0;
        exit_code = run_writers(&setting, (uint32_t)threads);
        exit_code = warp_tool_close(&tool, &setting.db, exit_code);
    }
    close(setting.ack_fd);
    return exit_code;
}

/* ---- the checker ---- */

/* One write to one key or batch, acknowledged or not. */
struct operation {
    uint64_t version, sequence, at_ns;
    uint32_t index, next; /* next: the one before on the same key, plus 1; 0: none */
    char kind;
    bool acknowledged;
};

struct thread_history {
    struct operation *operations;
    uint32_t count, capacity;
    uint32_t *last_of_key; /* index into operations plus 1; 0: none */
    uint32_t key_capacity;
    uint32_t last_of_batch[BATCH_COUNT];
};

struct check {
    struct warp_tool tool;
    struct warp *db;
    bool allow_tail_loss;
    struct thread_history threads[THREAD_COUNT_MAX];

    uint64_t acknowledged, in_flight, in_flight_landed;
    uint64_t keys, batches;
    uint64_t tail_lost, violations;
    uint64_t sequence_max; /* of what survived */
    uint64_t first_lost_ns,
        last_ns; /* when the lost tail and everything was acknowledged */
};

static int history_append(struct thread_history *history, const struct operation *operation)
{
    struct operation *slot;
    uint32_t *last;

    if (history->count == history->capacity) {
        uint32_t capacity = history->capacity > 0 ? history->capacity * 2 : 1024;
        struct operation *grown = realloc(history->operations, capacity * sizeof(*grown));

        if (grown == NULL) {
            return WARP_ENOMEM;
        }
        history->operations = grown;
        history->capacity = capacity;
    }
    if (operation->kind != 'B' && operation->index >= history->key_capacity) {
        uint32_t capacity = operation->index + 1024;
        uint32_t *grown = realloc(history->last_of_key, capacity * sizeof(*grown));

        if (grown == NULL) {
            return WARP_ENOMEM;
        }
        memset(grown + history->key_capacity, 0,
               (capacity - history->key_capacity) * sizeof(*grown));
        history->last_of_key = grown;
        history->key_capacity = capacity;
    }
    last = operation->kind == 'B' ? &history->last_of_batch[operation->index]
                                  : &history->last_of_key[operation->index];
    slot = &history->operations[history->count++];
    *slot = *operation;
    slot->next = *last;
    *last = history->count;
    return 0;
}

/* One line of the ack file. 0, or WARP_EFORMAT, WARP_ENOMEM. */
static int read_line(struct check *check, const char *line)
{
    struct operation operation = {.acknowledged = false};
    struct thread_history *history;
    uint32_t thread;
    char what;

    if (line[0] == 'A') {
        uint64_t sequence;
        uint64_t at_ns;

        if (sscanf(line, "A %" SCNu32 " %" SCNu64 " %" SCNu64, &thread, &sequence,
                   &at_ns) != 3 ||
            thread >= THREAD_COUNT_MAX || check->threads[thread].count == 0) {
            return WARP_EFORMAT;
        }
        history = &check->threads[thread];
        if (history->operations[history->count - 1].acknowledged) {
            return WARP_EFORMAT;
        }
        history->operations[history->count - 1].acknowledged = true;
        history->operations[history->count - 1].sequence = sequence;
        history->operations[history->count - 1].at_ns = at_ns;
        check->acknowledged++;
        check->last_ns = at_ns > check->last_ns ? at_ns : check->last_ns;
        return 0;
    }
    if (sscanf(line, "%c %" SCNu32 " %c %" SCNu32 " %" SCNu64, &what, &thread,
               &operation.kind, &operation.index, &operation.version) != 5 ||
        (what != 'S' && what != 'I') || thread >= THREAD_COUNT_MAX ||
        strchr("PDB", operation.kind) == NULL ||
        operation.index >= (operation.kind == 'B' ? BATCH_COUNT : KEY_COUNT_MAX)) {
        return WARP_EFORMAT;
    }
    operation.acknowledged = what == 'S';
    return history_append(&check->threads[thread], &operation);
}

static int read_ack_file(struct check *check, const char *name)
{
    FILE *file = fopen(name, "re");
    char line[256];
    uint64_t number = 0;
    int rc = 0;

    if (file == NULL) {
        return warp_tool_error(&check->tool, "%s: %s", name, strerror(errno));
    }
    while (rc == 0 && fgets(line, sizeof(line), file) != NULL) {
        number++;
        /* The last line may be half there: the kill came while it was written. */
        if (strchr(line, '\n') == NULL) {
            break;
        }
        rc = read_line(check, line);
    }
    if (rc == 0 && ferror(file)) {
        rc = WARP_EIO;
    }
    fclose(file);
    if (rc != 0) {
        return warp_tool_error(&check->tool, "%s:%" PRIu64 ": %s", name, number,
                               rc == WARP_EFORMAT ? "not a line of a torture-writer"
                                                  : warp_error_text(rc));
    }
    return 0;
}

static void violation(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void violation(struct check *check, const char *format, ...)
{
    va_list arguments;

    check->violations++;
    if (check->violations > VIOLATIONS_SHOWN_MAX) {
        return;
    }
    fputs("VIOLATION: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* What the database has for a key: its version, 0 if absent. The bytes are checked here. */
static uint64_t found_version(struct check *check, uint32_t thread, char kind,
                              uint32_t index, uint32_t member)
{
    struct warp_value value = WARP_VALUE_INIT;
    char key[KEY_BYTES];
    char header[HEADER_BYTES_MAX + 1];
    struct warp_slice name = make_key(key, thread, kind, index, member);
    uint64_t version = 0;
    uint64_t filler = 0;
    int consumed = 0;
    size_t bytes;
    uint8_t *wanted;
    int rc = warp_borrow(check->db, name, &value);

    if (rc == WARP_ABSENT) {
        return 0;
    }
    if (rc != 0) {
        violation(check, "%s cannot be read: %s", key, warp_error_text(rc));
        return 0;
    }
    if (value.sequence > check->sequence_max) {
        check->sequence_max = value.sequence;
    }
    bytes = value.bytes < HEADER_BYTES_MAX ? value.bytes : HEADER_BYTES_MAX;
    memcpy(header, value.data, bytes);
    header[bytes] = '\0';
    /* %n is reached only if the newline is; a filler may begin with blanks, so not
     * "\n%n". */
    if (sscanf(header, "version %" SCNu64 " filler %" SCNu64 "%n", &version, &filler,
               &consumed) != 2 ||
        header[consumed] != '\n' || value.bytes != (size_t)consumed + 1 + filler) {
        violation(check, "%s has a value that was never written", key);
        warp_return(&value);
        return 0;
    }
    wanted = malloc(filler + 1);
    if (wanted != NULL) {
        make_filler(wanted, filler, value_name(thread, kind, index, member, version));
        if (memcmp(wanted, (const uint8_t *)value.data + consumed + 1, filler) != 0) {
            violation(check, "%s version %" PRIu64 " has bytes that were never written",
                      key, version);
        }
        free(wanted);
    } else {
        violation(check, "no memory to check %s", key);
    }
    warp_return(&value);
    return version;
}

static uint64_t version_after(const struct operation *operation)
{
    return operation->kind == 'D' ? 0 : operation->version;
}

/*
 * Is `found` what the writes from `last` backwards may have left? Walks from the newest:
 * one in flight may have landed; then comes the last acknowledged one, which must be there,
 * unless a tail may be lost and it came after all that survived.
 */
static void check_history(struct check *check, uint32_t thread, char kind, uint32_t index,
                          uint32_t last, uint64_t found)
{
    const struct operation *operations = check->threads[thread].operations;
    uint64_t lost = 0;
    uint64_t lost_ns = 0;

    for (uint32_t at = last; at != 0; at = operations[at - 1].next) {
        const struct operation *operation = &operations[at - 1];

        if (version_after(operation) == found) {
            check->in_flight_landed += operation->acknowledged ? 0 : 1;
            check->tail_lost += lost;
            if (lost > 0 && (check->first_lost_ns == 0 || lost_ns < check->first_lost_ns)) {
                check->first_lost_ns = lost_ns;
            }
            return;
        }
        if (operation->acknowledged) {
            if (!check->allow_tail_loss || operation->sequence <= check->sequence_max) {
                violation(check,
                          "thread %" PRIu32 " %s %" PRIu32 ": found version %" PRIu64
                          ", but version %" PRIu64 " (%s) was acknowledged",
                          thread, kind == 'B' ? "batch" : "key", index, found,
                          operation->version, operation->kind == 'D' ? "delete" : "put");
                return;
            }
            if (operation->sequence != NO_SEQUENCE) {
                lost++;
                lost_ns = operation->at_ns;
            }
        }
    }
    /* Before all writes that we know of the key was absent. */
    if (found != 0) {
        violation(check,
                  "thread %" PRIu32 " %s %" PRIu32 ": found version %" PRIu64
                  ", which was never written",
                  thread, kind == 'B' ? "batch" : "key", index, found);
        return;
    }
    check->tail_lost += lost;
    if (lost > 0 && (check->first_lost_ns == 0 || lost_ns < check->first_lost_ns)) {
        check->first_lost_ns = lost_ns;
    }
}

/* Read every key once. With `judge`, compare; without, only find the last survivor. */
static void check_thread(struct check *check, uint32_t thread, bool judge)
{
    const struct thread_history *history = &check->threads[thread];

    for (uint32_t index = 0; index < history->key_capacity; index++) {
        if (history->last_of_key[index] != 0) {
            uint64_t found = found_version(check, thread, 'P', index, 0);

            if (judge) {
                check->keys++;
                check_history(check, thread, 'P', index, history->last_of_key[index],
                              found);
            }
        }
    }
    for (uint32_t index = 0; index < BATCH_COUNT; index++) {
        uint64_t found;
        bool same = true;

        if (history->last_of_batch[index] == 0) {
            continue;
        }
        found = found_version(check, thread, 'B', index, 0);
        for (uint32_t member = 1; member < BATCH_KEYS; member++) {
            uint64_t other = found_version(check, thread, 'B', index, member);

            if (other != found && judge && same) {
                same = false;
                violation(check,
                          "thread %" PRIu32 " batch %" PRIu32
                          " is half there: version %" PRIu64 " in key 0, %" PRIu64
                          " in key %" PRIu32,
                          thread, index, found, other, member);
            }
        }
        if (judge) {
            check->batches++;
            check_history(check, thread, 'B', index, history->last_of_batch[index], found);
        }
    }
    if (judge && history->count > 0 &&
        !history->operations[history->count - 1].acknowledged) {
        check->in_flight++;
    }
}

static void check_report(struct check *check)
{
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    char a[WARP_TEXT_SHORT_BYTES];
    char b[WARP_TEXT_SHORT_BYTES];
    char c[WARP_TEXT_SHORT_BYTES];
    uint64_t lost_ns =
        check->first_lost_ns != 0 ? check->last_ns - check->first_lost_ns : 0;

    (void)warp_recovery_info(check->db, &recovery);
    if (check->tool.json) {
        printf("{\"acknowledged\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"batches\":%" PRIu64
               ",\"batch_keys\":%d,\"in_flight\":%" PRIu64 ",\"in_flight_landed\":%" PRIu64
               ",\"tail_lost\":%" PRIu64 ",\"tail_lost_ns\":%" PRIu64
               ",\"violations\":%" PRIu64
               ",\"recovery\":{\"clean\":%s,\"duration_ns\":%" PRIu64
               ",\"records\":%" PRIu64 ",\"operations\":%" PRIu64 ",\"bytes_read\":%" PRIu64
               ",\"bytes_cut\":%" PRIu64 "}}\n",
               check->acknowledged, check->keys, check->batches, (int)BATCH_KEYS,
               check->in_flight, check->in_flight_landed, check->tail_lost, lost_ns,
               check->violations, recovery.clean != 0 ? "true" : "false",
               recovery.duration_ns, recovery.records, recovery.operations,
               recovery.bytes_read, recovery.bytes_cut);
        return;
    }
    printf("recovery            %s for %s of log, %s records",
           warp_text_duration(a, recovery.duration_ns),
           warp_text_size(b, recovery.bytes_read), warp_text_count(c, recovery.records));
    printf("; %s of unfinished tail cut\n", warp_text_size(a, recovery.bytes_cut));
    printf("acknowledged        %s writes to %s keys and %s batches of %d keys\n",
           warp_text_count(a, check->acknowledged), warp_text_count(b, check->keys),
           warp_text_count(c, check->batches), (int)BATCH_KEYS);
    printf("in flight           %s when it died, of which %s are there\n",
           warp_text_count(a, check->in_flight),
           warp_text_count(b, check->in_flight_landed));
    if (check->allow_tail_loss) {
        printf("lost from the end   %s acknowledged writes, the last %s\n",
               warp_text_count(a, check->tail_lost), warp_text_duration(b, lost_ns));
    }
    printf("violations          %s%s\n", warp_text_count(a, check->violations),
           check->violations > 0 ? ""
           : check->allow_tail_loss
               ? ": no hole, no half batch, no foreign byte"
               : ": nothing acknowledged is missing, no batch is half there");
}

int warp_tool_torture_check(int argc, char **argv)
{
    static const struct option own[] = {
        {"ack-file", required_argument, NULL, OPTION_ACK_FILE},
        {"allow-tail-loss", no_argument, NULL, OPTION_ALLOW_TAIL_LOSS},
        {NULL, 0, NULL, 0},
    };
    struct check *check = calloc(1, sizeof(*check));
    const char *ack_file = NULL;
    int exit_code;
    int code;

    if (check == NULL) {
        fputs("warp torture-check: out of memory\n", stderr);
        return WARP_TOOL_ERROR;
    }
    warp_tool_init(&check->tool, "torture-check", check_help);
    while ((code = warp_tool_next(&check->tool, argc, argv, own)) > 0) {
        if (code == OPTION_ACK_FILE) {
            ack_file = optarg;
        } else {
            check->allow_tail_loss = true;
        }
    }
    if (code < 0) {
        exit_code = check->tool.exit_code;
        goto done;
    }
    if (ack_file == NULL || argc > optind) {
        exit_code = warp_tool_usage(&check->tool, "--ack-file is needed, and no arguments");
        goto done;
    }
    exit_code = read_ack_file(check, ack_file);
    if (exit_code != 0) {
        goto done;
    }
    exit_code = warp_tool_open(&check->tool, WARP_MUST_EXIST, &check->db);
    if (exit_code != 0) {
        goto done;
    }
    if (check->allow_tail_loss) {
        for (uint32_t i = 0; i < THREAD_COUNT_MAX; i++) {
            check_thread(check, i, false);
        }
        check->violations = 0; /* they come again when judged */
    }
    for (uint32_t i = 0; i < THREAD_COUNT_MAX; i++) {
        check_thread(check, i, true);
    }
    check_report(check);
    exit_code = check->violations > 0 ? WARP_TOOL_ABSENT : WARP_TOOL_DONE;
    exit_code = warp_tool_close(&check->tool, &check->db, exit_code);
done:
    for (uint32_t i = 0; i < THREAD_COUNT_MAX; i++) {
        free(check->threads[i].operations);
        free(check->threads[i].last_of_key);
    }
    free(check);
    return exit_code;
}
