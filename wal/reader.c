/*
 * The happy path. A read is prepared: its file is found among the open ones or opened, a buffer
 * is taken, the request is aligned to the disk's blocks. The device reads, on the caller's thread
 * or in a queue. Then it is stepped: what came back is checked where it lies, the file is let go,
 * and the value is a pointer into the buffer. A record that goes on in the next segment is prepared
 * and stepped once for each, and the pieces land behind one another, because a segment boundary is
 * a multiple of every block.
 *
 * What can go wrong. The file is gone, or bytes do not fit and the file turns out to be gone: the
 * record has moved, WARP_AGAIN. Bytes do not fit and the file is there: damage. All places among
 * the open files are held by reads in flight: the read waits, holding nothing, until one of those
 * is done. The process is out of file handles: files that nobody reads are closed and the open is
 * tried once more. The queue takes nothing more: what it did not take is offered again.
 *
 * A file has a key: the index of a segment, or the number of an archive with bit 63 set. A
 * forgotten key is remembered until the file is gone from the directory, for only then does the
 * open itself say what is to be said. Segments and archives are never made again under an old
 * number while a reader lives.
 */
#include "wal/reader.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/errno.h"
#include "base/thread.h"
#include "wal/archive.h"
#include "wal/frame.h"
#include "wal/place.h"
#include "wal/segment.h"

#define READER_RUN_GROUP     64u /* of warp_reader_run() side by side */
#define READER_NONE          UINT32_MAX
#define READER_ALIGNMENT     4096u   /* of buffers; a multiple of every block of a disk */
#define READER_BATCH         32u     /* requests handed to a queue at a time */
#define READER_CLOSE_BATCH   16u     /* files closed at a time when handles run out */
#define READER_ALONE_BATCH   16u     /* reads in one turn when there is no queue */
#define READER_MAP_BYTES     262144u /* from here on a buffer is mapped */
#define READER_SPIN_US       20u
#define READER_CONTEXTS      2u /* decompression contexts, beside one per queue */
#define READER_BUFFERS_FLOOR 64u
#define READER_BUFFERS_CEIL  512u

/* Answers of prepare and step beside rc; outside the range of enum warp_error. */
#define READER_BUSY 1000 /* no place for one more open file now */
#define READER_MORE 1001 /* another device read is needed */

_Static_assert(READER_BUSY != WARP_AGAIN && READER_MORE != WARP_AGAIN, "told apart");
_Static_assert(WARP_SEGMENT_BYTES_FLOOR % READER_ALIGNMENT == 0 &&
                   WARP_SEGMENT_HEADER_BYTES % READER_ALIGNMENT == 0,
               "a segment begins at a block, in its file and in the buffer");

/* What is kept for the next read: ordinary records, and ordinary blocks of archives. */
enum { READER_CLASS_SMALL, READER_CLASS_BLOCK, READER_CLASS_COUNT };
static const size_t reader_class_bytes[READER_CLASS_COUNT] = {WARP_READER_BUFFER_BYTES,
                                                              32768u};

struct reader_buffer {
    struct reader_buffer *next;
};

/*
 * Life of a handle:
 *
 *   FREE        in the list of free ones
 *   HELD        references > 0: a device read is on, or what it brought is being checked
 *   IDLE        references == 0: closed when its place is needed
 *   FORGOTTEN   and held: nobody new gets it; closed by whoever lets go of it last
 */
struct reader_handle {
    uint64_t key;
    struct warp_archive_info *info; /* of an archive */
    int32_t file;
    uint32_t block_bytes; /* 1: no alignment is needed */
    uint32_t references;
    uint32_t next; /* in its bucket, or in the list of free ones */
    bool open;
    bool used; /* since the hand last came by */
    bool forgotten;
};

/* Where reads wait and are in flight, for one thread at a time. */
struct reader_channel {
    void *queue;
    uint32_t depth;
    uint32_t in_flight;
    uint32_t finished;
    struct warp_read *first, **last; /* waiting; some are prepared: they hold a file */
};

/* What the reader's thread is doing, for those who have something for it. */
enum {
    READER_AWAKE,
    READER_PARKED,
    READER_REAPING,
};

struct warp_reader {
    /* Set by create, constant afterwards. */
    const struct warp_env *env;
    struct warp_memory *memory;
    struct warp_manifest manifest;
    struct warp_archive_decoder *decoder;
    uint32_t seed;
    uint32_t handle_count;
    uint32_t bucket_count; /* power of two */
    uint32_t queue_count;
    uint32_t queue_depth;
    uint32_t buffers_max[READER_CLASS_COUNT];
    bool direct;

    /* Written by any thread: reads that were posted, newest first. */
    alignas(WARP_CACHELINE) struct warp_read *_Atomic posted;
    _Atomic uint32_t doing; /* READER_AWAKE, ... */
    _Atomic uint32_t word;  /* the thread parks on it */
    _Atomic uint32_t stop;

    /* The reader's thread, or whoever calls turn. */
    alignas(WARP_CACHELINE) struct reader_channel own;
    struct warp_spin spin;
    bool own_failed; /* no queue could be made: reads are made one by one */

    /* The owner. */
    struct warp_thread *thread;

    /* Under the lock. */
    alignas(WARP_CACHELINE) _Atomic uint32_t lock;
    struct reader_handle *handles;
    uint32_t *buckets;
    uint32_t free_handle;
    uint32_t idle_count;
    uint32_t hand;
    uint32_t forgotten_count;
    uint64_t forgotten[WARP_READER_FORGOTTEN_MAX];
    struct reader_buffer *buffers[READER_CLASS_COUNT];
    uint32_t buffer_counts[READER_CLASS_COUNT];
    void *queues[WARP_READER_QUEUES_MAX]; /* that are not lent */
    uint32_t queues_free;
    int failure_rc;
    char failure[256];
    struct warp_reader_counters counters;
    struct warp_histogram latency;
};

/* ---- the lock, and waiting ------------------------------------------------------------- */

static void reader_lock(struct warp_reader *reader)
{
    uint32_t round = 0;

    for (;;) {
        uint32_t free = 0;

        /* Acquire: pairs with the release in reader_unlock. */
        if (atomic_compare_exchange_weak_explicit(
                &reader->lock, &free, 1, memory_order_acquire, memory_order_relaxed)) {
            return;
        }
        if (++round % 64 == 0) {
            warp_thread_yield();
        } else {
            warp_cpu_relax();
        }
    }
}

static void reader_unlock(struct warp_reader *reader)
{
    /* Release: pairs with the acquire in reader_lock. */
    atomic_store_explicit(&reader->lock, 0, memory_order_release);
}

/* Something that another read holds is needed, and that read will be done by itself. */
static void reader_pause(struct warp_reader *reader)
{
    if (reader->env->threads) {
        warp_thread_yield();
    } else {
        reader->env->wait(reader->env->context);
    }
}

/* ---- what to say ----------------------------------------------------------------------- */

static void reader_name(uint64_t key, char out[WARP_SEGMENT_NAME_BYTES])
{
    _Static_assert(WARP_ARCHIVE_NAME_BYTES <= WARP_SEGMENT_NAME_BYTES, "either fits");

    if (warp_place_is_archived(key)) {
        warp_archive_name((uint32_t)key, out);
    } else {
        warp_segment_name(key, out);
    }
}

/* Keep the sentence for warp_reader_damage(), and return rc. */
static int reader_say(struct warp_reader *reader, uint64_t key, uint64_t offset,
                      const char *what, int rc)
{
    char name[WARP_SEGMENT_NAME_BYTES];

    reader_name(key, name);
    reader_lock(reader);
    (void)snprintf(reader->failure, sizeof(reader->failure), "%s, offset %llu: %s.", name,
                   (unsigned long long)offset, what);
    reader->failure_rc = rc;
    reader_unlock(reader);
    return rc;
}

/* ---- buffers --------------------------------------------------------------------------- */

/* Which kind of buffer so many bytes need; READER_CLASS_COUNT: none of those that are kept. */
static uint32_t reader_class(size_t bytes)
{
    uint32_t kind = 0;

    while (kind < READER_CLASS_COUNT && bytes > reader_class_bytes[kind]) {
        kind++;
    }
    return kind;
}

/* At least *bytes, rounded up to what is kept; NULL: no memory. */
static void *reader_take(struct warp_reader *reader, size_t *bytes)
{
    uint32_t kind = reader_class(*bytes);

    if (kind < READER_CLASS_COUNT) {
        struct reader_buffer *buffer;

        *bytes = reader_class_bytes[kind];
        reader_lock(reader);
        buffer = reader->buffers[kind];
        if (buffer != NULL) {
            reader->buffers[kind] = buffer->next;
            reader->buffer_counts[kind]--;
        }
        reader_unlock(reader);
        if (buffer != NULL) {
            return buffer;
        }
    }
    if (*bytes >= READER_MAP_BYTES) {
        return warp_memory_map(reader->memory, *bytes, READER_ALIGNMENT, false);
    }
    return warp_memory_reserve(reader->memory, *bytes, READER_ALIGNMENT);
}

static void reader_drop(struct warp_reader *reader, void *buffer, size_t bytes)
{
    if (bytes >= READER_MAP_BYTES) {
        warp_memory_unmap(reader->memory, buffer, bytes);
    } else {
        warp_memory_release(reader->memory, buffer, bytes);
    }
}

/* Give a buffer back; *buffer may be NULL and is afterwards. */
static void reader_give(struct warp_reader *reader, uint8_t **buffer, size_t bytes)
{
    uint32_t kind = reader_class(bytes);
    bool kept = false;

    if (*buffer == NULL) {
        return;
    }
    if (kind < READER_CLASS_COUNT) {
        struct reader_buffer *made = (void *)*buffer;

        reader_lock(reader);
        if (reader->buffer_counts[kind] < reader->buffers_max[kind]) {
            made->next = reader->buffers[kind];
            reader->buffers[kind] = made;
            reader->buffer_counts[kind]++;
            kept = true;
        }
        reader_unlock(reader);
    }
    if (!kept) {
        reader_drop(reader, *buffer, bytes);
    }
    *buffer = NULL;
}

/* ---- open files, under the lock -------------------------------------------------------- */

static uint32_t *reader_bucket(struct warp_reader *reader, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);

    return &reader->buckets[(hash >> 32) & (reader->bucket_count - 1)];
}

static struct reader_handle *reader_find(struct warp_reader *reader, uint64_t key)
{
    uint32_t at = *reader_bucket(reader, key);

    while (at != READER_NONE && reader->handles[at].key != key) {
        at = reader->handles[at].next;
    }
    return at == READER_NONE ? NULL : &reader->handles[at];
}

static bool reader_is_forgotten(const struct warp_reader *reader, uint64_t key)
{
    uint32_t i;

    for (i = 0; i < reader->forgotten_count; i++) {
        if (reader->forgotten[i] == key) {
            return true;
        }
    }
    return false;
}

/* A file that is opened or closed outside the lock. */
struct reader_closing {
    int32_t file;
    uint32_t block_bytes;
    struct warp_archive_info *info;
};

static void reader_close(struct warp_reader *reader, struct reader_closing *closing)
{
    const struct warp_disk *disk = reader->env->disk;

    if (closing->info != NULL) {
        warp_archive_info_destroy(&closing->info);
    }
    if (closing->file >= 0) {
        disk->ops->close(disk->context, closing->file);
        closing->file = -1;
    }
}

/* Take an idle handle out of the table. */
static void reader_take_out(struct warp_reader *reader, struct reader_handle *handle,
                            struct reader_closing *closing)
{
    uint32_t *link = reader_bucket(reader, handle->key);
    uint32_t index = (uint32_t)(handle - reader->handles);

    warp_assert(handle->open);
    warp_assert(handle->references == 0);
    while (*link != index) {
        warp_assert(*link != READER_NONE);
        link = &reader->handles[*link].next;
    }
    *link = handle->next;
    closing->file = handle->file;
    closing->info = handle->info;
    handle->open = false;
    handle->info = NULL;
    handle->next = reader->free_handle;
    reader->free_handle = index;
    reader->idle_count--;
    warp_counter_set(&reader->counters.open_files,
                     warp_counter_read(&reader->counters.open_files) - 1);
}

/* The idle handle that has not been used for a while (second chance), or NULL. */
static struct reader_handle *reader_oldest(struct warp_reader *reader)
{
    uint32_t i;

    if (reader->idle_count == 0) {
        return NULL;
    }
    for (i = 0; i < 2 * reader->handle_count; i++) {
        struct reader_handle *handle = &reader->handles[reader->hand];

        reader->hand = (reader->hand + 1) % reader->handle_count;
        if (!handle->open || handle->references > 0) {
            continue;
        }
        if (!handle->used) {
            return handle;
        }
        handle->used = false;
    }
    warp_assert(i <
                2 * reader->handle_count); /* an idle one is found in the second round */
    return NULL;
}

static void reader_hold(struct warp_reader *reader, struct reader_handle *handle,
                        struct warp_read *read)
{
    if (handle->references++ == 0) {
        reader->idle_count--;
    }
    handle->used = true;
    read->handle = (uint32_t)(handle - reader->handles);
    warp_counter_add(&reader->counters.in_flight, 1);
}

/* The read no longer needs its file. */
static void reader_let_go(struct warp_reader *reader, struct warp_read *read,
                          struct reader_closing *closing)
{
    struct reader_handle *handle = &reader->handles[read->handle];

    warp_assert(handle->references > 0);
    read->handle = READER_NONE;
    warp_counter_set(&reader->counters.in_flight,
                     warp_counter_read(&reader->counters.in_flight) - 1);
    if (--handle->references == 0) {
        reader->idle_count++;
        if (handle->forgotten) {
            reader_take_out(reader, handle, closing);
        }
    }
}

/* ---- opening --------------------------------------------------------------------------- */

/* Close some files that nobody reads; false if there was none. */
static bool reader_close_some(struct warp_reader *reader)
{
    struct reader_closing closing[READER_CLOSE_BATCH];
    uint32_t count = 0, i;

    reader_lock(reader);
    while (count < READER_CLOSE_BATCH) {
        struct reader_handle *handle = reader_oldest(reader);

        if (handle == NULL) {
            break;
        }
        reader_take_out(reader, handle, &closing[count++]);
    }
    reader_unlock(reader);
    for (i = 0; i < count; i++) {
        reader_close(reader, &closing[i]);
    }
    return count > 0;
}

static int32_t reader_open_name(struct warp_reader *reader, const char *name)
{
    const struct warp_disk *disk = reader->env->disk;
    uint32_t flags =
        WARP_FILE_READ_ONLY | (reader->direct ? (uint32_t)WARP_FILE_DIRECT : 0u);
    int32_t file = disk->ops->open(disk->context, name, flags);

    if (file < 0 && warp_error_from_errno(file) == WARP_ESYSTEM &&
        reader_close_some(reader)) {
        file = disk->ops->open(disk->context, name, flags);
    }
    return file;
}

/* Is the file forgotten, or no longer there? Asked when something did not fit. */
static bool reader_is_gone(struct warp_reader *reader, uint64_t key)
{
    const struct warp_disk *disk = reader->env->disk;
    char name[WARP_SEGMENT_NAME_BYTES];
    int32_t file;
    bool gone;

    reader_lock(reader);
    gone = reader_is_forgotten(reader, key);
    reader_unlock(reader);
    if (gone) {
        return true;
    }
    reader_name(key, name);
    file = reader_open_name(reader, name);
    if (file >= 0) {
        disk->ops->close(disk->context, file);
        return false;
    }
    return warp_error_from_errno(file) == WARP_ENOENT;
}

/* What was found in a file that is there is wrong; in one that is gone it means nothing. */
static int reader_judge(struct warp_reader *reader, uint64_t key, uint64_t offset,
                        const char *what)
{
    if (reader_is_gone(reader, key)) {
        return WARP_AGAIN;
    }
    return reader_say(reader, key, offset, what, WARP_EDAMAGED);
}

static int reader_open(struct warp_reader *reader, uint64_t key,
                       struct reader_closing *opened)
{
    const struct warp_disk *disk = reader->env->disk;
    char name[WARP_SEGMENT_NAME_BYTES], what[96];
    int rc;

    reader_name(key, name);
    opened->info = NULL;
    opened->file = reader_open_name(reader, name);
    if (opened->file < 0) {
        rc = warp_error_from_errno(opened->file);
        if (rc == WARP_ENOENT) {
            return WARP_AGAIN;
        }
        if (rc == WARP_ENOMEM) {
            return rc;
        }
        (void)snprintf(what, sizeof(what), "the file cannot be opened: %s",
                       strerror(-opened->file));
        return reader_say(reader, key, 0, what, WARP_EIO);
    }
    if (reader->direct) {
        opened->block_bytes = disk->ops->block_bytes(disk->context, opened->file);
        warp_assert(READER_ALIGNMENT % opened->block_bytes == 0);
    }
    if (!warp_place_is_archived(key)) {
        return 0;
    }
    rc = warp_archive_info_create(&opened->info, disk, reader->memory, &reader->manifest,
                                  reader->decoder, opened->file, (uint32_t)key);
    if (rc == 0) {
        return 0;
    }
    reader_close(reader, opened);
    switch (rc) {
    case WARP_ENOMEM:
        return rc;
    case WARP_EDAMAGED:
    case WARP_EFORMAT:
    case WARP_EVERSION:
        return reader_judge(reader, key, 0, "the archive's header or dictionary is wrong");
    default:
        return reader_say(reader, key, 0, "the archive's header cannot be read", WARP_EIO);
    }
}

/*
 * Hold the file of this key for the read, opening it if need be. 0, WARP_AGAIN, WARP_EIO,
 * WARP_EDAMAGED, WARP_ENOMEM, or READER_BUSY: all places are held by reads in flight.
 */
static int reader_acquire(struct warp_reader *reader, struct warp_read *read, uint64_t key)
{
    struct reader_closing opened = {-1, 1, NULL}, closing = {-1, 1, NULL};
    struct reader_handle *handle;
    int rc = 0;

    read->key_of_file = key;
    read->request.result = 0;
    reader_lock(reader);
    handle = reader_find(reader, key);
    if (WARP_LIKELY(handle != NULL && !handle->forgotten)) {
        reader_hold(reader, handle, read);
        reader_unlock(reader);
        return 0;
    }
    if (handle != NULL || reader_is_forgotten(reader, key)) {
        rc = WARP_AGAIN;
    } else if (reader->free_handle == READER_NONE && reader->idle_count == 0) {
        rc = READER_BUSY;
    }
    reader_unlock(reader);
    if (rc != 0) {
        return rc;
    }

    rc = reader_open(reader, key, &opened);
    if (rc != 0) {
        return rc;
    }
    reader_lock(reader);
    warp_counter_add(&reader->counters.opens, 1);
    handle = reader_find(reader, key);
    if (handle != NULL && !handle->forgotten) {
        reader_hold(reader, handle, read); /* somebody else was faster: ours is closed */
    } else if (handle != NULL || reader_is_forgotten(reader, key)) {
        rc = WARP_AGAIN; /* forgotten while it was being opened */
    } else {
        if (reader->free_handle == READER_NONE) {
            handle = reader_oldest(reader);
            if (handle == NULL) {
                rc = READER_BUSY;
            } else {
                reader_take_out(reader, handle, &closing);
            }
        }
        if (rc == 0) {
            uint32_t *bucket = reader_bucket(reader, key);

            handle = &reader->handles[reader->free_handle];
            reader->free_handle = handle->next;
            handle->key = key;
            handle->file = opened.file;
            handle->info = opened.info;
            handle->block_bytes = opened.block_bytes;
            handle->references = 0;
            handle->open = true;
            handle->forgotten = false;
            handle->next = *bucket;
            *bucket = (uint32_t)(handle - reader->handles);
            reader->idle_count++;
            warp_counter_add(&reader->counters.open_files, 1);
            opened.file = -1;
            opened.info = NULL;
            reader_hold(reader, handle, read);
        }
    }
    reader_unlock(reader);
    reader_close(reader, &closing);
    reader_close(reader, &opened);
    return rc;
}

/* ---- one read, from begin to done ------------------------------------------------------ */

static void reader_begin(struct warp_reader *reader, struct warp_read *read)
{
    read->rc = 0;
    read->value = NULL;
    read->sequence = 0;
    read->expires_at_ms = 0;
    read->next = NULL;
    read->buffer = NULL;
    read->scratch = NULL;
    read->buffer_bytes = 0;
    read->scratch_bytes = 0;
    read->handle = READER_NONE;
    read->device_reads = 0;
    read->begun_ns = warp_clock_ns(reader->env->clock);
    if (warp_place_is_archived(read->place)) {
        struct warp_place place = warp_place_decode(read->place);

        read->begin = (uint64_t)place.unit * WARP_ARCHIVE_UNIT_BYTES;
        read->end = read->begin + (place.units > 0 ? place.units * WARP_ARCHIVE_UNIT_BYTES
                                                   : WARP_ARCHIVE_BLOCK_HEADER_BYTES);
    } else {
        uint8_t flags = (uint8_t)((read->has_expiry ? WARP_ENTRY_HAS_EXPIRY : 0u) |
                                  (read->in_batch ? WARP_ENTRY_HAS_CHECKSUM : 0u));

        warp_assert(read->in_batch || read->place >= WARP_FRAME_HEADER_BYTES);
        read->begin = read->place - (read->in_batch ? 0 : WARP_FRAME_HEADER_BYTES);
        read->end = read->place +
                    warp_entry_bytes(flags, (uint32_t)read->key.bytes, read->value_bytes);
    }
    read->at = read->begin;
}

/* Where in its file a position of the read lies. */
static uint64_t reader_offset(const struct warp_reader *reader,
                              const struct warp_read *read, uint64_t at)
{
    return warp_place_is_archived(read->place)
               ? at
               : WARP_SEGMENT_HEADER_BYTES + at % reader->manifest.segment_bytes;
}

/*
 * Make the next device read ready: its file is held and read->request filled. 0, or READER_BUSY
 * (nothing is held), or what the read has come to.
 */
static int reader_prepare(struct warp_reader *reader, struct warp_read *read)
{
    bool archived = warp_place_is_archived(read->place);
    uint32_t segment_bytes = reader->manifest.segment_bytes;
    uint64_t key = archived ? WARP_PLACE_ARCHIVED | warp_place_decode(read->place).file
                            : read->at / segment_bytes;
    const struct reader_handle *handle;
    uint64_t stop;
    int rc;

    rc = reader_acquire(reader, read, key);
    if (rc != 0) {
        return rc;
    }
    handle = &reader->handles[read->handle]; /* does not change while it is held */
    if (read->buffer == NULL) {
        /* Up to a multiple of all blocks, so that no file's last block can be too long. */
        read->base = warp_align_down(read->begin, handle->block_bytes);
        read->buffer_bytes =
            (reader->direct ? warp_align_up(read->end, READER_ALIGNMENT) : read->end) -
            read->base;
        read->buffer = reader_take(reader, &read->buffer_bytes);
        if (read->buffer == NULL) {
            return WARP_ENOMEM;
        }
        read->at = read->base;
    }
    stop = warp_align_up(read->end, handle->block_bytes);
    if (!archived && stop > warp_align_down(read->at, segment_bytes) + segment_bytes) {
        stop = warp_align_down(read->at, segment_bytes) + segment_bytes;
    }
    warp_assert(stop > read->at);
    warp_assert(stop - read->base <= read->buffer_bytes);
    read->request.op = WARP_IO_READ;
    read->request.file = handle->file;
    read->request.buffer = read->buffer + (read->at - read->base);
    read->request.bytes = (uint32_t)(stop - read->at);
    read->request.offset = reader_offset(reader, read, read->at);
    read->request.user = read;
    return 0;
}

/* What is wrong with the entry as it lies in the buffer, or NULL. */
static const char *reader_check_entry(const struct warp_reader *reader,
                                      struct warp_read *read)
{
    uint8_t flags = read->in_batch ? WARP_ENTRY_HAS_CHECKSUM : 0;
    struct warp_entry entry;
    const char *what;

    what = warp_frame_check_entry(read->buffer + (read->begin - read->base), reader->seed,
                                  read->place, read->in_batch,
                                  (size_t)(read->end - read->place), &entry);
    if (what != NULL) {
        return what;
    }
    flags |= read->has_expiry ? WARP_ENTRY_HAS_EXPIRY : 0;
    if (entry.flags != flags || entry.value_bytes != read->value_bytes ||
        entry.key_bytes != read->key.bytes ||
        memcmp(entry.key, read->key.data, entry.key_bytes) != 0) {
        return "the entry is not that of the record";
    }
    read->value = entry.value;
    read->sequence = read->place;
    read->expires_at_ms = entry.expires_at_ms;
    return NULL;
}

/* The same for a block of an archive, all of which or whose head is in the buffer. 0, READER_MORE,
 * or what the read has come to. */
static int reader_open_block(struct warp_reader *reader, struct warp_read *read)
{
    const struct warp_archive_info *info = reader->handles[read->handle].info;
    uint8_t *block = read->buffer + (read->begin - read->base);
    uint32_t stored_bytes, raw_bytes;
    struct warp_entry entry;
    uint64_t sequence;
    int rc;

    rc = warp_archive_block_size(info, block, read->place, &stored_bytes, &raw_bytes);
    if (rc != 0) {
        return reader_judge(reader, read->key_of_file, read->begin,
                            "there is no block of this archive");
    }
    if (stored_bytes > read->end - read->begin) {
        if (read->device_reads > 1) {
            return reader_judge(reader, read->key_of_file, read->begin,
                                "the block of the archive changes its length");
        }
        /* Longer than its place could say. Its head is read again with the rest. */
        reader_give(reader, &read->buffer, read->buffer_bytes);
        read->end = read->begin + stored_bytes;
        read->at = read->begin;
        return READER_MORE;
    }
    if (raw_bytes > 0) {
        read->scratch_bytes = raw_bytes;
        read->scratch = reader_take(reader, &read->scratch_bytes);
        if (read->scratch == NULL) {
            return WARP_ENOMEM;
        }
    }
    rc = warp_archive_block_entry(info, block, stored_bytes, read->place, read->scratch,
                                  (uint32_t)read->scratch_bytes, &entry, &sequence);
    if (rc == WARP_ENOMEM) {
        return rc;
    }
    if (rc != 0) {
        return reader_judge(reader, read->key_of_file, read->begin,
                            "the block of the archive is wrong");
    }
    if (entry.kind != WARP_ENTRY_PUT || entry.value_bytes != read->value_bytes ||
        entry.key_bytes != read->key.bytes ||
        memcmp(entry.key, read->key.data, entry.key_bytes) != 0) {
        return reader_judge(reader, read->key_of_file, read->begin,
                            "the entry in the block is not that of the record");
    }
    if (read->scratch != NULL) {
        /* The value lies there; the block has done its work. */
        reader_give(reader, &read->buffer, read->buffer_bytes);
    }
    read->value = entry.value;
    read->sequence = sequence;
    read->expires_at_ms = entry.expires_at_ms;
    return 0;
}

/* All that was wanted is in the buffer. */
static int reader_check(struct warp_reader *reader, struct warp_read *read)
{
    uint32_t segment_bytes = reader->manifest.segment_bytes;
    const char *what;
    uint64_t key;

    if (warp_place_is_archived(read->place)) {
        return reader_open_block(reader, read);
    }
    what = reader_check_entry(reader, read);
    if (what == NULL) {
        return 0;
    }
    /* A piece may have come from a file that is gone by now. */
    for (key = read->begin / segment_bytes; key < (read->end - 1) / segment_bytes; key++) {
        if (reader_is_gone(reader, key)) {
            return WARP_AGAIN;
        }
    }
    if (reader_is_gone(reader, key)) {
        return WARP_AGAIN;
    }
    return reader_say(reader, read->begin / segment_bytes,
                      reader_offset(reader, read, read->begin), what, WARP_EDAMAGED);
}

/* A device read came back. 0 or what the read has come to, or READER_MORE: prepare it again. */
static int reader_step(struct warp_reader *reader, struct warp_read *read, int64_t result)
{
    uint64_t stop = read->at + read->request.bytes;
    uint64_t offset = read->request.offset;
    uint64_t wanted = (stop < read->end ? stop : read->end) - read->at;
    struct reader_closing closing = {-1, 1, NULL};
    char what[96];
    int rc = READER_MORE;

    read->device_reads++;
    if (result < 0) {
        if (warp_error_from_errno((int)result) == WARP_ENOMEM) {
            return WARP_ENOMEM;
        }
        (void)snprintf(what, sizeof(what), "the file cannot be read: %s",
                       strerror((int)-result));
        return reader_say(reader, read->key_of_file, offset, what, WARP_EIO);
    }
    if ((uint64_t)result < wanted) {
        return reader_judge(reader, read->key_of_file, offset + (uint64_t)result,
                            "the file ends inside a record");
    }
    read->at = stop;
    if (read->at >= read->end) {
        rc = reader_check(reader, read);
    }
    if (rc == READER_MORE) {
        reader_lock(reader);
        warp_counter_add(&reader->counters.device_bytes, (uint64_t)result);
        reader_let_go(reader, read, &closing);
        reader_unlock(reader);
        reader_close(reader, &closing);
    }
    return rc;
}

/* The read is done with rc; whoever posted it is told and may release it at once. */
static void reader_finish(struct warp_reader *reader, struct warp_read *read, int rc)
{
    struct warp_reader_counters *counters = &reader->counters;
    struct reader_closing closing = {-1, 1, NULL};
    uint64_t ns = warp_clock_ns(reader->env->clock) - read->begun_ns;

    if (rc != 0) {
        reader_give(reader, &read->buffer, read->buffer_bytes);
        reader_give(reader, &read->scratch, read->scratch_bytes);
        read->value = NULL;
    }
    read->rc = rc;
    reader_lock(reader);
    if (read->handle != READER_NONE) {
        if (read->device_reads > 0 && read->request.result > 0) {
            warp_counter_add(&counters->device_bytes, (uint64_t)read->request.result);
        }
        reader_let_go(reader, read, &closing);
    }
    warp_counter_add(&counters->reads, 1);
    if (read->device_reads > 1) {
        warp_counter_add(&counters->long_reads, 1);
    }
    if (rc == 0) {
        warp_counter_add(&counters->bytes, read->value_bytes);
    } else if (rc == WARP_AGAIN) {
        warp_counter_add(&counters->stale, 1);
    } else if (rc == WARP_EDAMAGED) {
        warp_counter_add(&counters->damaged, 1);
    } else {
        warp_counter_add(&counters->failed, 1);
    }
    warp_histogram_add(&reader->latency, ns);
    reader_unlock(reader);
    reader_close(reader, &closing);
    if (read->done != NULL) {
        read->done(read);
    }
}

/* Read on this thread, as far as it goes: true if it is done, false if there is no place for its
 * file now. */
static bool reader_alone(struct warp_reader *reader, struct warp_read *read)
{
    const struct warp_disk *disk = reader->env->disk;
    int rc;

    do {
        rc = reader_prepare(reader, read);
        if (rc == READER_BUSY) {
            return false;
        }
        if (rc == 0) {
            read->request.result =
                disk->ops->read(disk->context, read->request.file, read->request.buffer,
                                read->request.bytes, read->request.offset);
            rc = reader_step(reader, read, read->request.result);
        }
    } while (rc == READER_MORE);
    reader_finish(reader, read, rc);
    return true;
}

/* ---- channels -------------------------------------------------------------------------- */

static void channel_init(struct reader_channel *channel, void *queue, uint32_t depth)
{
    memset(channel, 0, sizeof(*channel));
    channel->queue = queue;
    channel->depth = depth;
    channel->last = &channel->first;
}

static void channel_append(struct reader_channel *channel, struct warp_read *read)
{
    read->next = NULL;
    *channel->last = read;
    channel->last = &read->next;
}

static void channel_push_front(struct reader_channel *channel, struct warp_read *read)
{
    read->next = channel->first;
    if (channel->first == NULL) {
        channel->last = &read->next;
    }
    channel->first = read;
}

static struct warp_read *channel_pop(struct reader_channel *channel)
{
    struct warp_read *read = channel->first;

    channel->first = read->next;
    if (channel->first == NULL) {
        channel->last = &channel->first;
    }
    return read;
}

static void channel_finish(struct warp_reader *reader, struct reader_channel *channel,
                           struct warp_read *read, int rc)
{
    channel->finished++;
    reader_finish(reader, read, rc); /* the read is no longer ours */
}

/*
 * Bring what waits into the queue, as far as there is room in it and for open files; at most
 * `depth` reads end here because they cannot begin. True if anything happened.
 */
static bool channel_feed(struct warp_reader *reader, struct reader_channel *channel)
{
    const struct warp_disk *disk = reader->env->disk;
    uint32_t ended = 0;
    bool did = false;

    for (;;) {
        struct warp_io_request *requests[READER_BATCH];
        uint32_t count = 0, taken;
        bool stuck = false;

        while (count < READER_BATCH && channel->in_flight + count < channel->depth &&
               channel->first != NULL && ended < channel->depth) {
            struct warp_read *read = channel_pop(channel);
            int rc = 0;

            if (read->handle == READER_NONE) {
                rc = reader_prepare(reader, read);
            }
            if (rc == READER_BUSY) {
                channel_push_front(channel, read);
                stuck = true;
                break;
            }
            if (rc != 0) {
                channel_finish(reader, channel, read, rc);
                ended++;
                did = true;
                continue;
            }
            requests[count++] = &read->request;
        }
        if (count == 0) {
            return did;
        }
        taken = disk->ops->submit(disk->context, channel->queue, requests, count);
        channel->in_flight += taken;
        did = did || taken > 0;
        if (taken < count) {
            stuck = true;
            while (count > taken) {
                channel_push_front(channel, requests[--count]->user);
            }
        }
        if (stuck) {
            return did;
        }
    }
}

/* Take what has come back; returns how many requests did. */
static uint32_t channel_reap(struct warp_reader *reader, struct reader_channel *channel,
                             uint64_t wait_ns)
{
    const struct warp_disk *disk = reader->env->disk;
    struct warp_io_request *done[READER_BATCH];
    uint32_t count, i;

    count = disk->ops->reap(disk->context, channel->queue, done, READER_BATCH, wait_ns);
    warp_assert(count <= channel->in_flight);
    channel->in_flight -= count;
    for (i = 0; i < count; i++) {
        struct warp_read *read = done[i]->user;
        int rc = reader_step(reader, read, read->request.result);

        if (rc == READER_MORE) {
            channel_push_front(channel, read);
        } else {
            channel_finish(reader, channel, read, rc);
        }
    }
    return count;
}

/* ---- run ------------------------------------------------------------------------------- */

static void *reader_lend_queue(struct warp_reader *reader)
{
    void *queue = NULL;

    reader_lock(reader);
    if (reader->queues_free > 0) {
        queue = reader->queues[--reader->queues_free];
    }
    reader_unlock(reader);
    return queue;
}

static void reader_return_queue(struct warp_reader *reader, void *queue)
{
    reader_lock(reader);
    reader->queues[reader->queues_free++] = queue;
    reader_unlock(reader);
}

void warp_reader_run_each(struct warp_reader *reader, struct warp_read *const *reads,
                          uint32_t count)
{
    bool threads = reader->env->threads;
    struct reader_channel channel;
    void *queue = NULL;
    uint32_t i;

    if (count > 1 || (count == 1 && !threads)) {
        queue = reader_lend_queue(reader);
    }
    if (queue == NULL) {
        for (i = 0; i < count; i++) {
            warp_assert(reads[i]->done == NULL);
            reader_begin(reader, reads[i]);
            while (!reader_alone(reader, reads[i])) {
                reader_pause(reader);
            }
        }
        return;
    }
    channel_init(&channel, queue, reader->queue_depth);
    for (i = 0; i < count; i++) {
        warp_assert(reads[i]->done == NULL);
        reader_begin(reader, reads[i]);
        channel_append(&channel, reads[i]);
    }
    while (channel.finished < count) {
        bool did = channel_feed(reader, &channel);

        if (channel.in_flight > 0) {
            did = channel_reap(reader, &channel, threads ? UINT64_MAX : 0) > 0 || did;
        }
        if (!did && !(threads && channel.in_flight > 0)) {
            reader_pause(reader);
        }
    }
    warp_assert(channel.in_flight == 0);
    warp_assert(channel.first == NULL);
    reader_return_queue(reader, queue);
}

void warp_reader_run(struct warp_reader *reader, struct warp_read *reads, uint32_t count)
{
    struct warp_read *group[READER_RUN_GROUP];

    while (count > 0) {
        uint32_t n = count < READER_RUN_GROUP ? count : READER_RUN_GROUP;
        uint32_t i;

        for (i = 0; i < n; i++) {
            group[i] = &reads[i];
        }
        warp_reader_run_each(reader, group, n);
        reads += n;
        count -= n;
    }
}

void warp_read_release(struct warp_reader *reader, struct warp_read *read)
{
    reader_give(reader, &read->buffer, read->buffer_bytes);
    reader_give(reader, &read->scratch, read->scratch_bytes);
    read->value = NULL;
}

/* ---- post, and the reader's own thread ------------------------------------------------- */

/* Get the thread out of its sleep, if it sleeps. */
static void reader_rouse(struct warp_reader *reader)
{
    const struct warp_disk *disk = reader->env->disk;
    uint32_t doing;

    /* seq_cst with the store of `doing` and the load of `posted` in reader_main: it sees what we
     * have posted, or we see it asleep. */
    if (atomic_load_explicit(&reader->doing, memory_order_seq_cst) == READER_AWAKE) {
        return;
    }
    doing = atomic_exchange_explicit(&reader->doing, READER_AWAKE, memory_order_seq_cst);
    if (doing == READER_PARKED) {
        atomic_fetch_add_explicit(&reader->word, 1, memory_order_seq_cst);
        warp_wake(&reader->word, 1, UINT32_MAX);
    } else if (doing == READER_REAPING) {
        /* If it fails, the read in flight ends the wait a little later. */
        (void)disk->ops->queue_interrupt(disk->context, reader->own.queue);
    }
}

void warp_reader_post(struct warp_reader *reader, struct warp_read *read)
{
    struct warp_read *seen;

    warp_assert(read->done != NULL);
    reader_begin(reader, read);
    seen = atomic_load_explicit(&reader->posted, memory_order_relaxed);
    do {
        read->next = seen;
        /* Release: pairs with the acquire in reader_take_posted; seq_cst: see reader_rouse. */
    } while (!atomic_compare_exchange_weak_explicit(
        &reader->posted, &seen, read, memory_order_seq_cst, memory_order_relaxed));
    if (reader->env->threads) {
        reader_rouse(reader);
    }
}

/* Append what was posted to what waits, in the order of posting. */
static bool reader_take_posted(struct warp_reader *reader)
{
    struct warp_read *read, *ordered = NULL;

    if (atomic_load_explicit(&reader->posted, memory_order_relaxed) == NULL) {
        return false;
    }
    /* Acquire: pairs with the exchange in warp_reader_post. */
    read = atomic_exchange_explicit(&reader->posted, NULL, memory_order_acquire);
    while (read != NULL) {
        struct warp_read *next = read->next;

        read->next = ordered;
        ordered = read;
        read = next;
    }
    while (ordered != NULL) {
        read = ordered;
        ordered = read->next;
        channel_append(&reader->own, read);
    }
    return true;
}

/* One turn without waiting. */
static bool reader_work(struct warp_reader *reader)
{
    const struct warp_disk *disk = reader->env->disk;
    struct reader_channel *own = &reader->own;
    bool did;
    uint32_t i;

    did = reader_take_posted(reader);
    if (own->queue == NULL && !reader->own_failed && own->first != NULL) {
        /* Made by the thread that uses it, for the kernel interrupts whoever submits. */
        reader->own_failed =
            disk->ops->queue_create(disk->context, reader->queue_depth, &own->queue) < 0;
    }
    if (own->queue == NULL) {
        for (i = 0; i < READER_ALONE_BATCH && own->first != NULL; i++) {
            struct warp_read *read = channel_pop(own);

            if (!reader_alone(reader, read)) {
                channel_push_front(own, read);
                break;
            }
            did = true;
        }
        return did;
    }
    did = channel_feed(reader, own) || did;
    if (own->in_flight > 0) {
        did = channel_reap(reader, own, 0) > 0 || did;
    }
    return did;
}

bool warp_reader_turn(struct warp_reader *reader)
{
    warp_assert(reader->thread == NULL);
    return reader_work(reader);
}

static bool reader_has_posted(struct warp_reader *reader)
{
    /* seq_cst: after `doing` was stored; see reader_rouse. */
    return atomic_load_explicit(&reader->posted, memory_order_seq_cst) != NULL;
}

static bool reader_must_stop(struct warp_reader *reader)
{
    return atomic_load_explicit(&reader->stop, memory_order_seq_cst) != 0;
}

static void reader_main(void *context)
{
    struct warp_reader *reader = context;
    struct reader_channel *own = &reader->own;

    for (;;) {
        /* The word before everything: who wakes us changes it after storing its wish. */
        uint32_t word = atomic_load_explicit(&reader->word, memory_order_acquire);
        bool stop = reader_must_stop(reader);
        uint32_t round = 0;

        if (reader_work(reader)) {
            continue;
        }
        if (own->in_flight > 0) {
            atomic_store_explicit(&reader->doing, READER_REAPING, memory_order_seq_cst);
            if (!reader_has_posted(reader)) {
                (void)channel_reap(reader, own, UINT64_MAX);
            }
            atomic_store_explicit(&reader->doing, READER_AWAKE, memory_order_relaxed);
            continue;
        }
        if (own->first != NULL) {
            reader_pause(reader); /* all open files are in use by others */
            continue;
        }
        if (stop) {
            return; /* and nothing was posted before it was set */
        }
        while (!reader_has_posted(reader) && warp_spin_once(&reader->spin, &round)) {
        }
        warp_spin_result(&reader->spin, reader_has_posted(reader));
        if (reader_has_posted(reader)) {
            continue;
        }
        atomic_store_explicit(&reader->doing, READER_PARKED, memory_order_seq_cst);
        if (!reader_has_posted(reader) && !reader_must_stop(reader)) {
            (void)warp_park(&reader->word, word, UINT64_MAX, UINT32_MAX);
        }
        atomic_store_explicit(&reader->doing, READER_AWAKE, memory_order_relaxed);
    }
}

int warp_reader_start(struct warp_reader *reader)
{
    int rc;

    warp_assert(reader->env->threads);
    warp_assert(reader->thread == NULL);
    atomic_store_explicit(&reader->stop, 0, memory_order_relaxed);
    rc = warp_thread_start(&reader->thread, reader->memory, "warp-reader", -1, reader_main,
                           reader);
    if (rc < 0) {
        return rc == -ENOMEM ? WARP_ENOMEM : WARP_ESYSTEM;
    }
    return 0;
}

void warp_reader_stop(struct warp_reader *reader)
{
    if (reader->thread != NULL) {
        atomic_store_explicit(&reader->stop, 1, memory_order_seq_cst);
        reader_rouse(reader);
        warp_thread_join(&reader->thread);
        return;
    }
    while (reader_has_posted(reader) || reader->own.first != NULL ||
           reader->own.in_flight > 0) {
        if (!reader_work(reader)) {
            reader_pause(reader);
        }
    }
}

/* ---- forgetting ------------------------------------------------------------------------ */

/* Those that are gone from the directory need not be remembered. */
static void reader_forgive(struct warp_reader *reader)
{
    const struct warp_disk *disk = reader->env->disk;
    uint64_t keys[WARP_READER_FORGOTTEN_MAX];
    uint32_t count, i, j;

    reader_lock(reader);
    count = reader->forgotten_count;
    memcpy(keys, reader->forgotten, count * sizeof(keys[0]));
    reader_unlock(reader);
    for (i = 0; i < count; i++) {
        char name[WARP_SEGMENT_NAME_BYTES];
        int32_t file;

        reader_name(keys[i], name);
        file = reader_open_name(reader, name);
        if (file >= 0) {
            disk->ops->close(disk->context, file);
        }
        if (file >= 0 || warp_error_from_errno(file) != WARP_ENOENT) {
            continue;
        }
        reader_lock(reader);
        for (j = 0; j < reader->forgotten_count; j++) {
            /* One that is still held says "forgotten" itself, when it is looked up. */
            if (reader->forgotten[j] == keys[i] && reader_find(reader, keys[i]) == NULL) {
                reader->forgotten[j] = reader->forgotten[--reader->forgotten_count];
                break;
            }
        }
        reader_unlock(reader);
    }
}

static bool reader_forget(struct warp_reader *reader, uint64_t key)
{
    struct reader_closing closing = {-1, 1, NULL};
    struct reader_handle *handle;
    bool full, done = true;

    reader_lock(reader);
    full = reader->forgotten_count == WARP_READER_FORGOTTEN_MAX &&
           !reader_is_forgotten(reader, key);
    reader_unlock(reader);
    if (full) {
        reader_forgive(reader);
    }
    reader_lock(reader);
    if (!reader_is_forgotten(reader, key)) {
        if (reader->forgotten_count == WARP_READER_FORGOTTEN_MAX) {
            reader_unlock(reader);
            return false;
        }
        reader->forgotten[reader->forgotten_count++] = key;
    }
    handle = reader_find(reader, key);
    if (handle != NULL) {
        handle->forgotten = true;
        if (handle->references == 0) {
            reader_take_out(reader, handle, &closing);
        } else {
            done = false;
        }
    }
    reader_unlock(reader);
    reader_close(reader, &closing);
    return done;
}

bool warp_reader_forget_segment(struct warp_reader *reader, uint64_t index)
{
    warp_assert(!warp_place_is_archived(index));
    return reader_forget(reader, index);
}

bool warp_reader_forget_archive(struct warp_reader *reader, uint32_t number)
{
    return reader_forget(reader, WARP_PLACE_ARCHIVED | number);
}

/* ---- observers ------------------------------------------------------------------------- */

int warp_reader_damage(struct warp_reader *reader, char *text, size_t text_bytes)
{
    int rc;

    reader_lock(reader);
    rc = reader->failure_rc;
    if (text_bytes > 0) {
        (void)snprintf(text, text_bytes, "%s", reader->failure);
    }
    reader_unlock(reader);
    return rc;
}

const struct warp_reader_counters *warp_reader_counters(const struct warp_reader *reader)
{
    return &reader->counters;
}

const struct warp_histogram *warp_reader_latency(const struct warp_reader *reader)
{
    return &reader->latency;
}

/* ---- making and unmaking --------------------------------------------------------------- */

int warp_reader_create(struct warp_reader **reader, const struct warp_reader_config *config)
{
    const struct warp_disk *disk = config->env->disk;
    struct warp_reader *made;
    uint32_t i;
    int rc = WARP_ENOMEM;

    warp_assert(*reader == NULL);
    warp_assert(config->handles_max >= WARP_READER_HANDLES_MIN);
    warp_assert(config->queue_count <= WARP_READER_QUEUES_MAX);
    warp_assert(config->queue_depth >= 1);
    warp_assert(config->queue_depth <= WARP_READER_QUEUE_DEPTH_MAX);
    warp_assert(warp_is_power_of_two(config->manifest->segment_bytes));
    warp_assert(config->manifest->segment_bytes >= WARP_SEGMENT_BYTES_FLOOR);
    made = warp_memory_reserve(config->memory, sizeof(*made), WARP_CACHELINE);
    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->env = config->env;
    made->memory = config->memory;
    made->manifest = *config->manifest;
    made->seed = warp_manifest_seed(config->manifest);
    made->queue_count = config->queue_count;
    made->queue_depth = config->queue_depth;
    made->direct = config->direct;
    made->handle_count = config->handles_max;
    made->bucket_count = 16;
    while (made->bucket_count < 2 * config->handles_max) {
        made->bucket_count *= 2;
    }
    i = (config->queue_count + 1) * config->queue_depth;
    i = i < READER_BUFFERS_FLOOR ? READER_BUFFERS_FLOOR : i;
    i = i > READER_BUFFERS_CEIL ? READER_BUFFERS_CEIL : i;
    made->buffers_max[READER_CLASS_SMALL] = i;
    made->buffers_max[READER_CLASS_BLOCK] = i / 4;
    channel_init(&made->own, NULL, config->queue_depth);
    warp_spin_init(&made->spin, READER_SPIN_US);
    warp_histogram_init(&made->latency);
    made->free_handle = READER_NONE;

    made->handles = warp_memory_reserve(
        config->memory, made->handle_count * sizeof(*made->handles), WARP_CACHELINE);
    made->buckets = warp_memory_reserve(
        config->memory, made->bucket_count * sizeof(*made->buckets), WARP_CACHELINE);
    if (made->handles == NULL || made->buckets == NULL) {
        goto fail;
    }
    for (i = 0; i < made->bucket_count; i++) {
        made->buckets[i] = READER_NONE;
    }
    for (i = made->handle_count; i > 0; i--) {
        made->handles[i - 1].next = made->free_handle;
        made->free_handle = i - 1;
    }
    rc = warp_archive_decoder_create(&made->decoder, config->memory,
                                     config->queue_count + READER_CONTEXTS);
    if (rc < 0) {
        goto fail;
    }
    while (made->queues_free < config->queue_count) {
        rc = disk->ops->queue_create(disk->context, config->queue_depth,
                                     &made->queues[made->queues_free]);
        if (rc < 0) {
            rc = warp_error_from_errno(rc);
            goto fail;
        }
        made->queues_free++;
    }
    *reader = made;
    return 0;

fail:
    made->queue_count = made->queues_free;
    warp_reader_destroy(&made);
    return rc;
}

void warp_reader_destroy(struct warp_reader **reader_)
{
    struct warp_reader *reader = *reader_;
    const struct warp_disk *disk;
    uint32_t i;

    if (reader == NULL) {
        return;
    }
    disk = reader->env->disk;
    warp_reader_stop(reader);
    warp_assert(reader->queues_free == reader->queue_count);
    warp_assert(warp_counter_read(&reader->counters.in_flight) == 0);
    if (reader->own.queue != NULL) {
        disk->ops->queue_destroy(disk->context, &reader->own.queue);
    }
    while (reader->queues_free > 0) {
        disk->ops->queue_destroy(disk->context, &reader->queues[--reader->queues_free]);
    }
    for (i = 0; reader->handles != NULL && i < reader->handle_count; i++) {
        if (reader->handles[i].open) {
            struct reader_closing closing = {reader->handles[i].file, 1,
                                             reader->handles[i].info};

            reader_close(reader, &closing);
        }
    }
    for (i = 0; i < READER_CLASS_COUNT; i++) {
        while (reader->buffers[i] != NULL) {
            struct reader_buffer *buffer = reader->buffers[i];

            reader->buffers[i] = buffer->next;
            reader_drop(reader, buffer, reader_class_bytes[i]);
        }
    }
    warp_archive_decoder_destroy(&reader->decoder);
    warp_memory_release(reader->memory, reader->buckets,
                        reader->bucket_count * sizeof(*reader->buckets));
    warp_memory_release(reader->memory, reader->handles,
                        reader->handle_count * sizeof(*reader->handles));
    warp_memory_release(reader->memory, reader, sizeof(*reader));
    *reader_ = NULL;
}
