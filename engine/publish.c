#include "engine/publish.h"

#include <string.h>

#include "base/counter.h"
#include "base/thread.h"
#include "engine/metrics.h"

#define PUBLISH_INTERVAL_NS      UINT64_C(100000000)
#define PUBLISH_INTERVAL_IDLE_NS UINT64_C(1000000000)
#define PUBLISH_ALIGNMENT        4096u

/*
 *   OPEN      the file is there, with a snapshot again and again  warp_publish_create()
 *   ENDED     the last values are taken; the thread is gone       warp_publish_end()
 *   CLOSED    they are in the file, as those of a closed one      warp_publish_destroy()
 *
 * A process that is killed on the way leaves what the last snapshot said; that it is dead, readers
 * see from the lock of the directory and from the process table.
 */
struct warp_publish {
    struct warp *db;
    struct warp_thread *thread;
    struct warp_snapshot_layout layout;
    struct warp_snapshot snapshot;
    struct warp_metrics_space space;
    struct warp_process process;
    uint64_t sequence, opened_ms;
    uint64_t interval_ns; /* until the next one */
    uint8_t *slot;        /* what is written */
    int32_t file;         /* < 0: none */
    int failure;        /* why there was none when it was opened, -errno; constant since */
    uint64_t looked_ns; /* whether the file is still there */
    bool begun;         /* and not ended */

    _Atomic uint64_t count, errors;
    _Atomic uint32_t word; /* the thread sleeps on it; 1: it is to end */
};

static int publish_write(struct warp_publish *publish, uint64_t state)
{
    const struct warp_disk *disk = &publish->db->disk;
    struct warp_snapshot_about *about = &publish->snapshot.about;
    size_t bytes;
    int64_t rc;

    publish->sequence++;
    about->sequence = publish->sequence;
    about->state = state;
    about->process = publish->process;
    about->opened_ms = publish->opened_ms;
    about->interval_ns = publish->interval_ns;
    about->published_ms = warp_clock_wall_ms(publish->db->env.clock);
    about->published_ns = warp_clock_ns(publish->db->env.clock);
    bytes = warp_snapshot_write_slot(publish->slot, &publish->snapshot);
    rc = disk->ops->write(disk->context, publish->file, publish->slot, bytes,
                          publish->layout.head_bytes +
                              publish->sequence % 2 * publish->layout.slot_bytes,
                          false);
    warp_counter_add(rc < 0 ? &publish->errors : &publish->count, 1);
    return rc < 0 ? (int)rc : 0;
}

static int publish_make_file(struct warp_publish *publish);

/* Once a second: somebody may have removed the file, or cut it short. */
static void publish_look(struct warp_publish *publish)
{
    const struct warp_disk *disk = &publish->db->disk;
    uint64_t now_ns = warp_clock_ns(publish->db->env.clock);
    int32_t file;
    bool whole;

    if (now_ns - publish->looked_ns < PUBLISH_INTERVAL_IDLE_NS) {
        return;
    }
    publish->looked_ns = now_ns;
    file = disk->ops->open(disk->context, WARP_PUBLISH_NAME, WARP_FILE_READ_ONLY);
    whole = file >= 0 &&
            disk->ops->size(disk->context, file) >= (int64_t)publish->layout.image_bytes;
    if (file >= 0) {
        disk->ops->close(disk->context, file);
    }
    if (!whole) {
        if (publish->file >= 0) {
            disk->ops->close(disk->context, publish->file);
            publish->file = -1;
        }
        (void)publish_make_file(publish); /* counted, if it fails */
    }
}

/* Whether anything has happened but the passing of time, and our own work. */
static bool publish_has_moved(const struct warp_catalogue_values *before,
                              struct warp_catalogue_values now)
{
    now.uptime_ns = before->uptime_ns;
    now.checkpoint_age_ns = before->checkpoint_age_ns;
    now.free_bytes = before->free_bytes;
    now.publishes = before->publishes;
    now.turns = before->turns;
    now.background_steps = before->background_steps;
    now.background_ns = before->background_ns;
    return memcmp(before, &now, sizeof(now)) != 0;
}

void warp_publish_turn(struct warp_publish *publish)
{
    struct warp_catalogue_values before = publish->snapshot.values;

    publish_look(publish);
    warp_metrics_fill(publish->db, &publish->snapshot, publish->space.shards,
                      &publish->space);
    /* Work that goes on is looked at often; readers take no harm from a longer pause. */
    publish->interval_ns = publish_has_moved(&before, publish->snapshot.values)
                               ? PUBLISH_INTERVAL_NS
                               : PUBLISH_INTERVAL_IDLE_NS;
    if (publish->file >= 0) {
        (void)publish_write(publish, WARP_SNAPSHOT_OPEN);
    }
}

static void publish_main(void *context)
{
    struct warp_publish *publish = context;

    warp_thread_be_patient();
    /* Acquire: pairs with the release of who stops us. */
    while (atomic_load_explicit(&publish->word, memory_order_acquire) == 0) {
        (void)warp_park(&publish->word, 0, publish->interval_ns, UINT32_MAX);
        if (atomic_load_explicit(&publish->word, memory_order_acquire) == 0) {
            warp_publish_turn(publish);
        }
    }
}

/* The file with its head and a first snapshot, aside; then its name. 0 or -errno. */
static int publish_make_file(struct warp_publish *publish)
{
    const struct warp_disk *disk = &publish->db->disk;
    uint8_t *head;
    int64_t rc;

    /* Whatever is there is of an earlier life. */
    (void)disk->ops->unlink(disk->context, WARP_PUBLISH_NEW_NAME);
    (void)disk->ops->unlink(disk->context, WARP_PUBLISH_NAME);
    publish->file = disk->ops->open(disk->context, WARP_PUBLISH_NEW_NAME,
                                    WARP_FILE_CREATE | WARP_FILE_EXCLUSIVE);
    if (publish->file < 0) {
        rc = publish->file;
        goto fail;
    }
    /* All its blocks now: a disk that fills up later changes nothing. */
    rc = disk->ops->allocate(disk->context, publish->file, publish->layout.image_bytes);
    if (rc < 0) {
        goto fail;
    }
    head = warp_memory_reserve(&publish->db->memory, publish->layout.head_bytes,
                               PUBLISH_ALIGNMENT);
    if (head == NULL) {
        rc = -12; /* ENOMEM */
        goto fail;
    }
    warp_snapshot_write_head(head, publish->db->options.shard_count);
    rc = disk->ops->write(disk->context, publish->file, head, publish->layout.head_bytes, 0,
                          false);
    warp_memory_release(&publish->db->memory, head, publish->layout.head_bytes);
    if (rc < 0) {
        goto fail;
    }
    rc = publish_write(publish, WARP_SNAPSHOT_OPEN);
    if (rc < 0) {
        goto fail;
    }
    rc = disk->ops->rename(disk->context, WARP_PUBLISH_NEW_NAME, WARP_PUBLISH_NAME);
    if (rc < 0) {
        goto fail;
    }
    return 0;

fail:
    if (publish->file >= 0) {
        disk->ops->close(disk->context, publish->file);
        (void)disk->ops->unlink(disk->context, WARP_PUBLISH_NEW_NAME);
        publish->file = -1;
    }
    warp_counter_add(&publish->errors, 1);
    return (int)rc;
}

int warp_publish_create(struct warp *db, struct warp_publish **out)
{
    struct warp_publish *made =
        warp_memory_reserve(&db->memory, sizeof(*made), WARP_CACHELINE);

    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->db = db;
    made->file = -1;
    made->interval_ns = PUBLISH_INTERVAL_NS;
    made->opened_ms = warp_clock_wall_ms(db->env.clock);
    warp_process_self(&made->process);
    warp_snapshot_layout(&made->layout, db->options.shard_count);
    made->slot =
        warp_memory_reserve(&db->memory, made->layout.slot_bytes, PUBLISH_ALIGNMENT);
    if (made->slot == NULL) {
        warp_memory_release(&db->memory, made, sizeof(*made));
        return WARP_ENOMEM;
    }
    made->looked_ns = warp_clock_ns(db->env.clock);
    warp_metrics_fill(db, &made->snapshot, made->space.shards, &made->space);
    made->failure = publish_make_file(made);
    made->begun = true;
    *out = made;
    return !db->env.threads || warp_thread_start(&made->thread, &db->memory, "warp-metrics",
                                                 -1, publish_main, made) == 0
               ? 0
               : WARP_ESYSTEM;
}

int warp_publish_failure(const struct warp_publish *publish)
{
    return publish->failure;
}

void warp_publish_end(struct warp_publish *publish)
{
    if (publish->thread != NULL) {
        /* Release: pairs with the acquire of the thread. */
        atomic_store_explicit(&publish->word, 1, memory_order_release);
        (void)warp_wake(&publish->word, 1, UINT32_MAX);
        warp_thread_join(&publish->thread);
    }
    if (publish->begun) {
        warp_publish_turn(publish);
        publish->begun = false;
    }
}

void warp_publish_destroy(struct warp_publish **publish)
{
    struct warp_publish *one = *publish;
    const struct warp_disk *disk = &one->db->disk;

    warp_assert(one->thread == NULL);
    if (one->file >= 0) {
        (void)publish_write(one, WARP_SNAPSHOT_CLOSED);
        disk->ops->close(disk->context, one->file);
    }
    warp_memory_release(&one->db->memory, one->slot, one->layout.slot_bytes);
    warp_memory_release(&one->db->memory, one, sizeof(*one));
    *publish = NULL;
}

uint64_t warp_publish_count(const struct warp_publish *publish)
{
    return publish == NULL ? 0 : warp_counter_read(&publish->count);
}

uint64_t warp_publish_errors(const struct warp_publish *publish)
{
    return publish == NULL ? 0 : warp_counter_read(&publish->errors);
}
