/*
 * tests/inspect/bitflip.c - turns one bit of a database, and looks at what becomes of it.
 *
 *     bitflip [--seed N] [--flips N] [--every-byte] [--only TEXT] [--write-one-in N] [--trace]
 *
 * A small database is made that has all there is: log that is replayed and log that is only held, an
 * archive, two checkpoints, batches, deletes. Then, at many places of every file, one bit is turned,
 * everything below is asked, and the bit is turned back:
 *
 *   verify   reports damage in this file; or the bit is one that nobody reads, as docs/WAL_FORMAT.md
 *            says: zeros behind frames and blocks, the body of a PAD, space behind the end of the log,
 *            the lock file, spare files; or it is in the frame that closes the log, or in the header of
 *            the first frame behind a file that was given back. Those are counted, and cost nothing.
 *   open     refuses, with a sentence that names the file; or every get is right or an error. So do
 *            the gets after an open for writing, one time in so many, and after it was opened again.
 *   salvage  returns all records that the bit is not in, in their newest version; for the others the
 *            newest or an older one that was really written, or a loss that is told; nothing deleted
 *            comes back, unless the bit is in the very delete, and then a lost write is told.
 *
 * It ends with "N passed, N failed": a flip is one of them.
 */
#include "base/memory.h"
#include "engine/engine.h"
#include "tests/engine/support.h"
#include "tools/inspect/salvage.h"
#include "tools/inspect/verify.h"
#include "wal/archive.h"
#include "wal/survey.h"

#define FLIP_KEYS      96u
#define FLIP_VERSIONS  64u
#define FLIP_VALUE_MAX 700u
#define FLIP_FILES_MAX 64u
#define FLIP_COPIES    4u

/* Where a copy of the newest version of a key lies: a bit in [from, to) of the file touches it. */
struct flip_copy {
    char file[48];
    uint64_t from, to;
    uint64_t
        head; /* of an entry of a batch: where its frame begins, whose 40 bytes are all it has */
};

struct flip_key {
    char name[16];
    uint32_t written;  /* versions 1 ... so many were put */
    uint32_t newest;   /* 0: there is none now */
    uint64_t sequence; /* of the newest */
    struct flip_copy copies[FLIP_COPIES];
    uint32_t copy_count;
    /* What salvage said. */
    uint32_t got;
    bool told;
};

struct flip_file {
    char name[48];
    uint64_t bytes;
    uint8_t *used; /* a log file's: bits for bytes that a reader looks at */
    uint64_t flips, silent, refused, lost;
    bool is_sound; /* no bit is turned */
};

struct flip {
    char path[SUPPORT_PATH_BYTES], work[SUPPORT_PATH_BYTES];
    struct support_random random;
    struct flip_key keys[FLIP_KEYS];
    struct flip_file files[FLIP_FILES_MAX];
    uint32_t file_count;
    struct warp_memory memory;
    struct warp_disk disk;
    struct warp_manifest manifest;
    struct verify *verify;
    uint64_t close_from, close_to; /* positions of the last frame */
    uint64_t
        first; /* position of the first frame, if the file before is gone; else UINT64_MAX */
    bool silent; /* verify finds nothing: then nothing may be lost either */
    /* The flip that is on. */
    struct flip_file *file;
    uint64_t offset;
    uint32_t bit;
    uint64_t failures, get_errors, older, lost, opened, opened_to_write;
    bool failed, trace;
};

static struct flip *flip_now;

__attribute__((format(printf, 2, 3))) static void flip_fail(struct flip *f,
                                                            const char *format, ...)
{
    va_list arguments;

    f->failed = true;
    fprintf(stderr,
            "%s, offset %" PRIu64 ", bit %u: ", f->file != NULL ? f->file->name : "-",
            f->offset, f->bit);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void flip_crashed(int number)
{
    flip_fail(flip_now, "signal %d", number);
    _exit(3);
}

/* ---- what is in the database --------------------------------------------------------------- */

/* Text that says whose it is, in a length of its own. */
static uint32_t flip_value(const struct flip *f, uint32_t key, uint32_t version,
                           char out[FLIP_VALUE_MAX])
{
    uint32_t bytes =
        20 + (uint32_t)(support_mix(key * 1000u + version) % (FLIP_VALUE_MAX - 20));
    char word[32];
    uint32_t at, length;

    (void)f;
    length = (uint32_t)snprintf(word, sizeof(word), "%03u.%03u and so on, ", key, version);
    for (at = 0; at < bytes; at++) {
        out[at] = word[at % length];
    }
    if (key % 2 == 1) { /* one that does not compress */
        support_fill(out, bytes, key * 1000u + version);
    }
    out[bytes - 1] = (char)(version + key);
    return bytes;
}

/* Which version of the key this is; 0: none that was ever written. */
static uint32_t flip_version(const struct flip *f, uint32_t key, const void *value,
                             size_t bytes)
{
    char expected[FLIP_VALUE_MAX];
    uint32_t version;

    for (version = 1; version <= f->keys[key].written; version++) {
        if (flip_value(f, key, version, expected) == bytes &&
            memcmp(expected, value, bytes) == 0) {
            return version;
        }
    }
    return 0;
}

static void flip_put(struct flip *f, struct warp *db, uint32_t key)
{
    struct flip_key *k = &f->keys[key];
    char value[FLIP_VALUE_MAX];

    k->newest = ++k->written;
    if (warp_put(db, support_text(k->name),
                 support_slice(value, flip_value(f, key, k->newest, value)), NULL,
                 &k->sequence) != 0) {
        support_die("put");
    }
}

static void flip_delete(struct flip *f, struct warp *db, uint32_t key)
{
    if (f->keys[key].newest != 0 &&
        warp_delete(db, support_text(f->keys[key].name), NULL, NULL) != 0) {
        support_die("delete");
    }
    f->keys[key].newest = 0;
}

static void flip_batch(struct flip *f, struct warp *db, uint32_t first, uint32_t count)
{
    struct warp_batch *batch = NULL;
    char value[FLIP_VALUE_MAX];
    uint32_t i;

    if (warp_batch_create(db, &batch) != 0) {
        support_die("batch");
    }
    for (i = first; i < first + count; i++) {
        struct flip_key *k = &f->keys[i % FLIP_KEYS];

        if (i == first + 2) {
            k->newest = 0;
            warp_batch_delete(batch, support_text(k->name));
            continue;
        }
        k->newest = ++k->written;
        k->sequence = 0; /* found by its version */
        warp_batch_put(batch, support_text(k->name),
                       support_slice(value, flip_value(f, i % FLIP_KEYS, k->newest, value)),
                       0);
    }
    if (warp_batch_commit(batch, NULL, NULL) != 0) {
        support_die("commit");
    }
    warp_batch_destroy(&batch);
}

static struct warp_options flip_options(void)
{
    struct warp_options options = WARP_OPTIONS_INIT;

    options.durability = WARP_INTERVAL;
    options.shard_count = 1;
    options.memory_bytes_max = 16 << 20;
    options.compaction = 2; /* when asked */
    options.recovery_ms_max = 3600000;
    options.io_backend = 1;
    options.log_buffer_bytes = 262144;
    return options;
}

static int flip_open(const char *path, bool read_only, char message[512], struct warp **db)
{
    struct warp_options options = flip_options();
    struct warp_env env;

    memset(&env, 0, sizeof(env));
    env.threads = true;
    env.segment_bytes = 16384;
    options.open_flags = read_only ? WARP_READ_ONLY | WARP_MUST_EXIST : WARP_CREATE;
    options.message = message;
    options.message_bytes = 512;
    message[0] = '\0';
    return warp_engine_open(path, &options, &env, db);
}

static void flip_make(struct flip *f)
{
    struct warp *db = NULL;
    char message[512];
    uint32_t i, round;

    for (i = 0; i < FLIP_KEYS; i++) {
        snprintf(f->keys[i].name, sizeof(f->keys[i].name), "key %03u", i);
    }
    if (flip_open(f->path, false, message, &db) != 0) {
        support_die("%s", message);
    }
    for (i = 0; i < FLIP_KEYS; i++) {
        flip_put(f, db, i);
    }
    flip_batch(f, db, 10, 8);
    for (i = 40; i < 60; i++) {
        flip_put(f, db, i);
    }
    flip_delete(f, db, 1);
    flip_delete(f, db, 2);
    if (warp_compact(db) != 0) { /* with checkpoints: all of it goes into an archive */
        support_die("compact");
    }
    flip_delete(f, db, 3); /* its last version is in the archive */
    for (round = 0; round < 2; round++) {
        for (i = 30; i < 60; i++) {
            flip_put(f, db, i);
        }
        flip_batch(f, db, 20 + round, 9);
        flip_delete(f, db, 5 + round);
        if (warp_checkpoint(db) != 0) {
            support_die("checkpoint");
        }
    }
    for (i = 60; i < 75; i++) {
        flip_put(f, db, i);
    }
    flip_batch(f, db, 70, 7);
    flip_delete(f, db, 8);
    if (warp_close(&db) != 0) {
        support_die("close");
    }
    /* Once more, so that it has been opened twice. */
    if (flip_open(f->path, false, message, &db) != 0) {
        support_die("%s", message);
    }
    for (i = 80; i < 86; i++) {
        flip_put(f, db, i);
    }
    flip_delete(f, db, 9);
    if (warp_close(&db) != 0) {
        support_die("close");
    }
}

/* ---- where it lies -------------------------------------------------------------------------- */

static struct flip_file *flip_find_file(struct flip *f, const char *name)
{
    uint32_t i;

    for (i = 0; i < f->file_count; i++) {
        if (strcmp(f->files[i].name, name) == 0) {
            return &f->files[i];
        }
    }
    return NULL;
}

static int flip_see_file(void *context, const char *name, uint64_t bytes)
{
    struct flip *f = context;
    struct flip_file *file = &f->files[f->file_count];

    if (f->file_count == FLIP_FILES_MAX) {
        support_die("more than %u files", FLIP_FILES_MAX);
    }
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->bytes = bytes;
    f->file_count++;
    return 0;
}

static void flip_note_copy(struct flip *f, const struct warp_entry *entry, const char *file,
                           uint64_t from, uint64_t to, uint64_t head)
{
    uint32_t key = 0;
    struct flip_key *k;

    while (key < FLIP_KEYS &&
           (strlen(f->keys[key].name) != entry->key_bytes ||
            memcmp(f->keys[key].name, entry->key, entry->key_bytes) != 0)) {
        key++;
    }
    if (key == FLIP_KEYS) {
        support_die("a key that nobody wrote");
    }
    k = &f->keys[key];
    if (entry->kind == WARP_ENTRY_DELETE && k->newest == 0) {
        k->copy_count = 0; /* the last one counts */
    } else if (entry->kind != WARP_ENTRY_PUT || k->newest == 0 ||
               flip_version(f, key, entry->value, entry->value_bytes) != k->newest) {
        return;
    }
    if (k->copy_count == FLIP_COPIES) {
        support_die("more than %u copies", FLIP_COPIES);
    }
    snprintf(k->copies[k->copy_count].file, sizeof(k->copies[0].file), "%s", file);
    k->copies[k->copy_count].from = from;
    k->copies[k->copy_count].to = to;
    k->copies[k->copy_count].head = head;
    k->copy_count++;
}

static uint64_t flip_place(const struct flip *f, uint64_t position, char name[48])
{
    uint64_t s = f->manifest.segment_bytes;

    warp_segment_name(position / s, name);
    return WARP_SEGMENT_HEADER_BYTES + position % s;
}

/* [from, to) of the log is looked at by readers. */
static void flip_use(struct flip *f, uint64_t from, uint64_t to)
{
    char name[48];

    for (; from < to; from++) {
        uint64_t offset = flip_place(f, from, name);
        struct flip_file *file = flip_find_file(f, name);

        if (file != NULL) {
            file->used[offset / 8] |= (uint8_t)(1u << (offset % 8));
        }
    }
}

static void flip_see_frame(void *context, const struct warp_frame *frame,
                           const uint8_t *body, enum warp_survey_body state)
{
    struct flip *f = context;
    uint64_t begin = frame->position + WARP_FRAME_HEADER_BYTES;
    struct warp_frame_cursor cursor;
    struct warp_entry entry;
    uint64_t sequence, from, to;

    f->first = f->first == UINT64_MAX ? frame->position : f->first;
    flip_use(f, frame->position,
             frame->kind == WARP_FRAME_PAD ? begin : begin + frame->body_bytes);
    if (frame->kind == WARP_FRAME_CLOSE || frame->kind == WARP_FRAME_MARK) {
        f->close_from = frame->kind == WARP_FRAME_CLOSE ? frame->position : f->close_from;
        f->close_to = begin + frame->body_bytes;
    }
    if (state != WARP_SURVEY_GOOD || warp_frame_cursor_init(&cursor, frame, body) != 0) {
        return;
    }
    while (warp_frame_cursor_next(&cursor, &entry, &sequence) == 1) {
        bool alone = frame->kind == WARP_FRAME_RECORD;

        from = alone ? frame->position : sequence;
        to = sequence + warp_entry_bytes(entry.flags, entry.key_bytes, entry.value_bytes);
        /* It may lie in two files; then the second part has no copy of its own to touch. */
        flip_note_copy(f, &entry, "", from, to, frame->position);
    }
}

static int flip_see_entry(void *context, const struct warp_entry *entry, uint64_t sequence,
                          uint64_t place)
{
    struct flip *f = context;
    struct warp_place at = warp_place_decode(place);

    (void)sequence;
    flip_note_copy(f, entry, f->file->name, (uint64_t)at.unit * WARP_ARCHIVE_UNIT_BYTES,
                   (uint64_t)(at.unit + at.units) * WARP_ARCHIVE_UNIT_BYTES, 0);
    return 0;
}

static void flip_learn(struct flip *f)
{
    static const struct warp_survey_calls calls = {.frame = flip_see_frame};
    struct warp_survey survey;
    uint64_t mark, indexes[FLIP_FILES_MAX];
    uint32_t i, count = 0;
    char message[256];

    if (warp_memory_init(&f->memory, NULL) != 0 ||
        warp_disk_open_directory(f->path, &f->memory, WARP_IO_BACKEND_PLAIN, false,
                                 &f->disk, message, sizeof(message)) != 0 ||
        warp_manifest_read(&f->disk, &f->manifest, message, sizeof(message)) != 0 ||
        f->disk.ops->list(f->disk.context, flip_see_file, f) != 0) {
        support_die("what was made cannot be read");
    }
    for (i = 0; i < 4096 && count < FLIP_FILES_MAX; i++) {
        char name[48];
        struct flip_file *file;

        warp_segment_name(i, name);
        file = flip_find_file(f, name);
        if (file == NULL) {
            continue;
        }
        file->used = calloc(1, file->bytes / 8 + 1);
        memset(file->used, 0xff, WARP_SEGMENT_HEADER_BYTES / 8);
        indexes[count++] = i;
    }
    if (warp_survey_init(&survey, &f->disk, &f->memory, &f->manifest, &calls, f) != 0 ||
        warp_survey_marks(&survey, indexes, count, &mark) != 0) {
        support_die("survey");
    }
    survey.mark = mark;
    f->first = indexes[0] == 0 ? 0 : UINT64_MAX;
    for (i = 0; i < count && !survey.ended; i++) {
        warp_survey_segment(&survey, indexes[i], UINT64_MAX);
    }
    warp_survey_fini(&survey);
    for (i = 0; i < f->file_count; i++) {
        uint32_t number;

        if (strncmp(f->files[i].name, "archive-", 8) == 0) {
            number = (uint32_t)strtoul(f->files[i].name + 8, NULL, 16);
            f->file = &f->files[i];
            if (warp_archive_walk(&f->disk, &f->memory, &f->manifest, number,
                                  flip_see_entry, NULL, f) != 0) {
                support_die("archive");
            }
        }
    }
    f->file = NULL;
    for (i = 0; i < FLIP_KEYS; i++) {
        if (f->keys[i].newest != 0 && f->keys[i].copy_count == 0) {
            support_die("%s is nowhere", f->keys[i].name);
        }
    }
}

/* Whether the flip is in all copies of the newest version of the key. */
static bool flip_touches(const struct flip *f, const struct flip_key *key)
{
    uint32_t i, touched = 0;

    for (i = 0; i < key->copy_count; i++) {
        const struct flip_copy *copy = &key->copies[i];

        if (copy->file[0] != '\0') {
            touched += strcmp(copy->file, f->file->name) == 0 && f->offset >= copy->from &&
                       f->offset < copy->to;
        } else if (f->file->used != NULL && f->offset >= WARP_SEGMENT_HEADER_BYTES) {
            uint64_t index = strtoull(f->file->name + 4, NULL, 16);
            uint64_t position =
                index * f->manifest.segment_bytes + f->offset - WARP_SEGMENT_HEADER_BYTES;

            touched += (position >= copy->from && position < copy->to) ||
                       (position >= copy->head && position < copy->head + 40);
        }
    }
    return touched == key->copy_count && key->copy_count > 0;
}

/* ---- the three questions --------------------------------------------------------------------- */

/* Documented as bytes that nobody reads. */
static bool flip_is_unused(const struct flip *f, uint8_t before)
{
    const struct flip_file *file = f->file;

    if (strcmp(file->name, "LOCK") == 0 || strcmp(file->name, "METRICS") == 0 ||
        strncmp(file->name, "spare-", 6) == 0) {
        return true;
    }
    if (file->used != NULL) {
        uint64_t index = strtoull(file->name + 4, NULL, 16);
        uint64_t position =
            index * f->manifest.segment_bytes + f->offset - WARP_SEGMENT_HEADER_BYTES;

        if ((file->used[f->offset / 8] & 1u << f->offset % 8) == 0) {
            return true;
        }
        /* The header of the first frame is what its chain begins with: whatever a checkpoint names behind it
         * is asked for by its place, and of the rest nobody wants to know. */
        return f->offset >= WARP_SEGMENT_HEADER_BYTES &&
               ((position >= f->close_from && position < f->close_to) ||
                (f->first != 0 && position >= f->first &&
                 position < f->first + WARP_FRAME_HEADER_BYTES));
    }
    return strncmp(file->name, "archive-", 8) == 0 && before == 0 &&
           f->offset >= WARP_FILE_HEADER_BYTES;
}

/* A frame may begin in the file before. */
static bool flip_is_in(const struct flip *f, const struct verify_damage *damage)
{
    uint64_t position;

    if (strcmp(damage->file, f->file->name) == 0) {
        return true;
    }
    if (f->file->used == NULL || damage->position == UINT64_MAX) {
        return false;
    }
    position = strtoull(f->file->name + 4, NULL, 16) * f->manifest.segment_bytes +
               f->offset - WARP_SEGMENT_HEADER_BYTES;
    return position >= damage->position &&
           (damage->bytes == UINT64_MAX || position - damage->position < damage->bytes);
}

static void flip_verify(struct flip *f, uint8_t before)
{
    struct verify *v = f->verify;
    struct verify_damage *damages = v->damages;
    uint32_t i;
    bool named = false;
    int exit_code;

    f->silent = false;
    memset(v, 0, sizeof(*v));
    v->damages = damages;
    v->disk = f->disk;
    v->silent = true;
    v->meter.quiet = true;
    v->tool.path = f->path;
    if (warp_memory_init(&v->memory, NULL) != 0) {
        support_die("memory");
    }
    exit_code = warp_verify_all(v);
    for (i = 0; i < v->damage_count && i < VERIFY_DAMAGES_MAX; i++) {
        named = named || flip_is_in(f, &v->damages[i]);
    }
    named = named || strstr(v->message, f->file->name) != NULL;
    if (exit_code != 0) {
        if (strcmp(f->file->name, "MANIFEST") != 0) {
            flip_fail(f, "verify ended with %d", exit_code);
        }
    } else if (v->damage_count == 0 && v->message[0] == '\0') {
        f->silent = true;
        f->file->silent++;
        if (!f->file->is_sound && !flip_is_unused(f, before)) {
            flip_fail(f, "verify found nothing");
        }
    } else if (!named) {
        flip_fail(f, "verify named another file: %s",
                  v->damage_count > 0 ? v->damages[0].file : v->message);
    }
    warp_verify_forget(v);
    warp_memory_fini(&v->memory);
}

static void flip_gets(struct flip *f, struct warp *db)
{
    char value[FLIP_VALUE_MAX];
    uint32_t i;

    for (i = 0; i < FLIP_KEYS; i++) {
        const struct flip_key *key = &f->keys[i];
        uint32_t version = 0;
        size_t bytes = 0;
        int rc = warp_get(db, support_text(key->name), value, sizeof(value), &bytes, NULL);

        if (rc == 0) {
            version = flip_version(f, i, value, bytes);
        }
        if (rc == WARP_EDAMAGED || rc == WARP_EIO) {
            f->get_errors++;
            if (f->silent) {
                flip_fail(f, "%s cannot be read, and verify found nothing", key->name);
            }
            if (!flip_touches(f, key) && strncmp(f->file->name, "archive-", 8) != 0 &&
                f->file->used == NULL) {
                flip_fail(f, "%s cannot be read, but the bit is not in it", key->name);
            }
        } else if (rc != (key->newest == 0 ? WARP_ABSENT : 0) || version != key->newest) {
            flip_fail(f, "%s: answer %d, version %u, not %u", key->name, rc, version,
                      key->newest);
        }
    }
}

/* A refusal must name the file. */
static void flip_refused(struct flip *f, int rc, const char *message)
{
    f->file->refused++;
    if (rc != WARP_EDAMAGED && rc != WARP_EFORMAT && rc != WARP_EVERSION &&
        rc != WARP_EIO) {
        flip_fail(f, "open answers %d: %s", rc, message);
    } else if (strstr(message, f->file->name) == NULL) {
        flip_fail(f, "open does not name the file: %s", message);
    }
}

static void flip_ask_open(struct flip *f)
{
    struct warp *db = NULL;
    char message[512];
    int rc = flip_open(f->path, true, message, &db);

    if (rc != 0) {
        flip_refused(f, rc, message);
        return;
    }
    f->opened++;
    flip_gets(f, db);
    warp_close(&db);
}

static void flip_copy_file(const struct flip *f, const char *name)
{
    static char bytes[1 << 20];
    char from[SUPPORT_PATH_BYTES + 64], to[SUPPORT_PATH_BYTES + 64];
    FILE *source, *target;
    size_t got = 0;

    snprintf(from, sizeof(from), "%s/%s", f->path, name);
    snprintf(to, sizeof(to), "%s/%s", f->work, name);
    source = fopen(from, "rb");
    target = fopen(to, "wb");
    if (source != NULL && target != NULL) {
        got = fread(bytes, 1, sizeof(bytes), source);
        if (fwrite(bytes, 1, got, target) != got) {
            support_die("copy");
        }
    }
    if (source == NULL || target == NULL || fclose(source) != 0 || fclose(target) != 0) {
        support_die("copy %s", from);
    }
}

/* In a copy: open it for writing, read, write, and the same again. */
static void flip_ask_write(struct flip *f)
{
    struct flip_key kept = f->keys[80];
    struct warp *db = NULL;
    char message[512];
    uint32_t i, round;
    int rc;

    support_remove(f->work);
    if (mkdir(f->work, 0755) != 0) {
        support_die("mkdir");
    }
    for (i = 0; i < f->file_count; i++) {
        if (strcmp(f->files[i].name, "LOCK") != 0) {
            flip_copy_file(f, f->files[i].name);
        }
    }
    for (round = 0; round < 2; round++) {
        rc = flip_open(f->work, false, message, &db);
        if (rc != 0) {
            if (round > 0 && strstr(message, f->file->name) == NULL) {
                flip_fail(f, "it opens once, and then: %s", message);
            }
            break;
        }
        f->opened_to_write++;
        flip_gets(f, db);
        flip_put(f, db, 80);
        if (round == 1) {
            (void)warp_compact(db); /* whatever it says, nothing wrong may come of it */
            flip_gets(f, db);
        }
        (void)warp_close(&db);
    }
    f->keys[80] = kept;
}

static int flip_store(void *context, struct warp_slice key, struct warp_slice value,
                      uint64_t expires_at_ms)
{
    struct flip *f = context;
    uint32_t i = 0;

    (void)expires_at_ms;
    while (i < FLIP_KEYS && (strlen(f->keys[i].name) != key.bytes ||
                             memcmp(f->keys[i].name, key.data, key.bytes) != 0)) {
        i++;
    }
    if (i == FLIP_KEYS) {
        flip_fail(f, "salvage brings a key that nobody wrote");
        return 0;
    }
    if (f->keys[i].got != 0) {
        flip_fail(f, "salvage brings %s twice", f->keys[i].name);
    }
    f->keys[i].got = flip_version(f, i, value.data, value.bytes);
    if (f->keys[i].got == 0) {
        flip_fail(f, "salvage brings a value of %s that nobody wrote", f->keys[i].name);
    }
    return 0;
}

static void flip_loss(void *context, const struct salvage_loss *loss)
{
    struct flip *f = context;
    uint32_t i;

    for (i = 0; i < FLIP_KEYS && loss->kind != SALVAGE_RANGE; i++) {
        if (strlen(f->keys[i].name) == loss->key.bytes &&
            memcmp(f->keys[i].name, loss->key.data, loss->key.bytes) == 0) {
            f->keys[i].told = true;
        }
    }
}

static void flip_ask_salvage(struct flip *f)
{
    struct salvage_config config = {.disk = &f->disk,
                                    .memory = &f->memory,
                                    .now_ms = 1,
                                    .store = flip_store,
                                    .loss = flip_loss,
                                    .context = f};
    struct salvage_report report;
    uint32_t i, short_of = 0;
    int rc;

    for (i = 0; i < FLIP_KEYS; i++) {
        f->keys[i].got = 0;
        f->keys[i].told = false;
    }
    rc = salvage_run(&config, &report);
    if (rc != 0) {
        flip_fail(f, "salvage answers %d", rc);
        return;
    }
    for (i = 0; i < FLIP_KEYS; i++) {
        const struct flip_key *key = &f->keys[i];

        if (key->got == key->newest) {
            continue;
        }
        short_of++;
        if (!flip_touches(f, key)) {
            flip_fail(f, "salvage has version %u of %s, not %u, and the bit is not in it",
                      key->got, key->name, key->newest);
        } else if (!key->told && report.writes_lost + report.writes_lost_most == 0) {
            flip_fail(f, "salvage has version %u of %s, not %u, and does not tell",
                      key->got, key->name, key->newest);
        }
        f->older += key->got != 0;
        f->lost += key->got == 0;
    }
    f->file->lost += short_of;
    if (short_of > 0 && f->silent) {
        flip_fail(f, "salvage is short of %u, and verify found nothing", short_of);
    }
    if (short_of > 0 && salvage_complete(&report)) {
        flip_fail(f, "salvage calls it complete");
    }
}

/* ---- the campaign ----------------------------------------------------------------------------- */

static void flip_one(struct flip *f, struct flip_file *file, uint64_t offset, uint32_t bit,
                     bool write_too)
{
    char full[SUPPORT_PATH_BYTES + 64];
    uint8_t before, after;
    int fd;

    f->file = file;
    f->offset = offset;
    f->bit = bit;
    f->failed = false;
    if (f->trace) {
        fprintf(stderr, "%s %" PRIu64 " %u\n", file->name, offset, bit);
    }
    snprintf(full, sizeof(full), "%s/%s", f->path, file->name);
    fd = open(full, O_RDWR);
    if (fd < 0 || pread(fd, &before, 1, (off_t)offset) != 1) {
        support_die("read %s", full);
    }
    after = before ^ (uint8_t)(1u << bit);
    if (pwrite(fd, &after, 1, (off_t)offset) != 1) {
        support_die("write %s", full);
    }
    flip_verify(f, before);
    flip_ask_open(f);
    if (write_too) {
        flip_ask_write(f);
    }
    flip_ask_salvage(f);
    if (pwrite(fd, &before, 1, (off_t)offset) != 1 || close(fd) != 0) {
        support_die("write %s", full);
    }
    file->flips++;
    f->failures += f->failed;
}

/* A sound database must pass all questions. */
static void flip_none(struct flip *f)
{
    struct flip_file none = {.name = "nothing"};

    f->file = &none;
    none.is_sound = true;
    flip_verify(f, 0);
    if (none.silent != 1) {
        support_die("verify finds something in a sound database");
    }
    flip_ask_open(f);
    flip_ask_salvage(f);
    if (none.refused > 0 || none.lost > 0 || f->failed || f->get_errors > 0) {
        support_die("the sound database is not");
    }
    f->file = NULL;
}

int main(int count, char **words)
{
    static const char *const with_value[] = {"--seed", "--flips", "--write-one-in",
                                             "--only", NULL};
    static const char *const alone[] = {"--every-byte", "--trace", NULL};
    static struct flip f;
    uint64_t seed, flips, total = 0, done = 0, write_one_in, i, silent = 0, bytes = 0;
    const char *only; /* files that have this in their names */
    uint32_t k, tries;

    support_flags_known(count, words, with_value, alone);
    seed = support_flag(count, words, "--seed", 1);
    flips = support_flag(count, words, "--flips", 600);
    write_one_in = support_flag(count, words, "--write-one-in", 32);
    f.trace = support_flag_given(count, words, "--trace");
    f.random.state = seed;
    only = support_flag_text(count, words, "--only", "");
    flip_now = &f;
    signal(SIGABRT, flip_crashed);
    signal(SIGSEGV, flip_crashed);
    signal(SIGBUS, flip_crashed);
    support_directory(f.path, "bitflip");
    snprintf(f.work, sizeof(f.work), "%.500s.work", f.path);
    flip_make(&f);
    flip_learn(&f);
    f.verify = calloc(1, sizeof(*f.verify));
    f.verify->damages = calloc(VERIFY_DAMAGES_MAX, sizeof(*f.verify->damages));
    flip_none(&f);
    for (k = 0; k < f.file_count; k++) {
        total += f.files[k].bytes;
    }
    for (k = 0; k < f.file_count; k++) {
        struct flip_file *file = &f.files[k];
        /* Each file gets its share, and small ones, heads and ends at least some. */
        uint64_t share = flips * file->bytes / total, at;

        share =
            share < flips / (4 * f.file_count) + 8 ? flips / (4 * f.file_count) + 8 : share;
        bytes += file->bytes;
        if (strstr(file->name, only) == NULL) {
            continue;
        }
        if (support_flag_given(count, words, "--every-byte")) {
            for (at = 0; at < file->bytes; at++) {
                flip_one(&f, file, at, (uint32_t)support_random_below(&f.random, 8),
                         support_random_chance(&f.random, write_one_in));
            }
            continue;
        }
        for (i = 0; i < share && file->bytes > 0; i++) {
            at = support_random_below(&f.random, file->bytes);
            if (i % 8 == 0) {
                at = support_random_below(&f.random, file->bytes < 128 ? file->bytes : 128);
            } else if (i % 8 == 1) {
                at = file->bytes - 1 -
                     support_random_below(&f.random,
                                          file->bytes < 4096 ? file->bytes : 4096);
            } else if (i % 8 == 2 && file->bytes > 8192) {
                at = 4096 + support_random_below(&f.random, 1024);
            }
            /* Most of a log file may be space behind the end. */
            for (tries = 0; file->used != NULL && i % 8 > 2 && tries < 16 &&
                            (file->used[at / 8] & 1u << at % 8) == 0;
                 tries++) {
                at = support_random_below(&f.random, file->bytes);
            }
            flip_one(&f, file, at, (uint32_t)support_random_below(&f.random, 8),
                     support_random_chance(&f.random, write_one_in));
        }
    }
    printf("%-32s %8s %7s %7s %7s %7s\n", "file", "bytes", "flips", "unused", "refused",
           "lost");
    for (k = 0; k < f.file_count; k++) {
        const struct flip_file *file = &f.files[k];

        printf("%-32s %8" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64 "\n",
               file->name, file->bytes, file->flips, file->silent, file->refused,
               file->lost);
        done += file->flips;
        silent += file->silent;
    }
    printf("%" PRIu64 " opens, %" PRIu64 " for writing, %" PRIu64
           " gets were errors; salvage: %" PRIu64 " records older, %" PRIu64 " lost\n",
           f.opened, f.opened_to_write, f.get_errors, f.older, f.lost);
    printf("seed %" PRIu64 ", %" PRIu64 " bytes in %u files, %" PRIu64
           " flips met bytes that nobody reads\n",
           seed, bytes, f.file_count, silent);
    warp_disk_close(&f.disk);
    support_remove(f.path);
    support_remove(f.work);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", done - f.failures, f.failures);
    return f.failures == 0 ? 0 : 1;
}
