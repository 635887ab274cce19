/*
 * Every file has two images made of pages: `cache`, what a read shows, and `medium`, what a
 * power cut cannot take. What separates them is the list of changes since the last sync, in
 * the order in which they happened. A sync plays the list onto the medium. A restart after
 * a power cut plays each change whole, in part or not at all, then writes that were still
 * in flight in random order, and makes the cache equal to the medium.
 *
 * A durable write plays onto the medium itself; if older changes wait in the list it takes
 * its place behind them with a mark that it is not to be lost, because replaying an older
 * one over it would be a disk that goes back in time.
 *
 * The directory is a table of names; each has the file it leads to now and the file it
 * leads to on the medium. Unsynced changes survive as a random subset with one rule: a
 * change is lost if an earlier change of one of its names was lost. That is what a journal
 * could do at worst.
 *
 * A failed sync follows what kernels do: through the page cache the changes stay visible,
 * count as clean and never reach the medium; with direct I/O the device forgets them in
 * part and reads show the truth.
 */
#include "tests/sim/sim_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"

#define SIM_NAME_BYTES  64u
#define SIM_STALE_PAGES 64u
#define SIM_PLANS       2u

enum change_kind { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_ALLOCATE };

struct sim_page {
    struct sim_page *next_free;
    uint8_t bytes[SIM_PAGE_BYTES];
};

struct image {
    struct sim_page **pages; /* NULL: zeros */
    uint32_t page_count;
    uint64_t bytes;
};

struct change {
    uint64_t serial;
    uint64_t offset; /* the new size of a truncate or allocate */
    size_t bytes;
    uint8_t *data;
    enum change_kind kind;
    bool durable;
};

struct changes {
    struct change *items;
    uint32_t count;
    uint32_t capacity;
};

struct sim_file {
    struct image cache;
    struct image medium;
    struct changes unsynced; /* happened, in order */
    struct changes limbo;    /* were in flight when the power went: order unknown */
    uint64_t reserved_bytes; /* counted against the capacity */
    uint32_t index;          /* for the trace */
    bool referenced;         /* scratch of the sweep */
};

struct sim_handle {
    struct sim_file *file;
    uint32_t flags;
    uint32_t in_flight;
    bool open;
};

struct sim_name {
    char text[SIM_NAME_BYTES];
    struct sim_file *now;
    struct sim_file *medium;
    bool lost; /* scratch of the restart */
};

enum name_change_kind { NAME_CREATE, NAME_RENAME, NAME_UNLINK };

struct name_change {
    enum name_change_kind kind;
    uint32_t name;
    uint32_t target; /* of a rename */
    struct sim_file *file;
};

struct in_flight {
    struct warp_io_request *request;
    uint8_t *data; /* as it was when it was submitted */
    uint64_t due_ns;
    uint64_t sync_serial; /* a sync covers changes up to here */
    struct sim_queue *queue;
};

struct sim_queue {
    struct sim_disk *disk;
    uint32_t depth;
    uint32_t taken; /* submitted and not reaped */
    struct warp_io_request **done;
    uint32_t done_count;
};

struct fault_plan {
    uint32_t kinds;
    uint64_t after;
    int error;
    bool persistent;
    bool active;
};

struct sim_disk {
    struct warp_disk face;
    struct warp_clock clock;
    struct sim_disk_options options;
    struct warp_random random;
    uint64_t now_ns;
    uint64_t serial;

    struct sim_file **files;
    uint32_t file_count, file_capacity, file_index_next;
    struct sim_name *names;
    uint32_t name_count, name_capacity;
    struct name_change *name_changes;
    uint32_t name_change_count, name_change_capacity;
    struct sim_handle *handles;
    uint32_t handle_count, handle_capacity, handles_open;
    struct in_flight *flights;
    uint32_t flight_count, flight_capacity;
    struct sim_page *free_pages;
    struct sim_page *stale[SIM_STALE_PAGES]; /* pages of files that are gone */
    uint32_t stale_count;

    uint32_t lock_shared; /* holders */
    bool lock_exclusive;

    struct fault_plan plans[SIM_PLANS];
    bool fault_met;
    bool end_planned, ended;
    uint64_t end_after;
    enum sim_where end_where;
    enum sim_end end_how;
    struct sim_disk_counts counts;
    const char *misuse;
};

/* ---- small helpers
 * ------------------------------------------------------------------------ */

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("sim: out of memory\n", stderr);
        abort();
    }
    return memory;
}

static void *grow(void *items, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
    if (count < *capacity) {
        return items;
    }
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    return must(realloc(items, *capacity * item_bytes));
}

static bool percent(struct sim_disk *disk, uint32_t chance)
{
    return warp_random_below(&disk->random, 100) < chance;
}

static void trace(struct sim_disk *disk, const char *what, uint64_t first, uint64_t second)
{
    if (disk->options.trace != NULL) {
        disk->options.trace(disk->options.context, what, first, second);
    }
}

static void misuse(struct sim_disk *disk, const char *what)
{
    if (disk->misuse == NULL) {
        disk->misuse = what;
        trace(disk, what, 0, 0);
    }
}

/* ---- images
 * ------------------------------------------------------------------------------- */

static struct sim_page *page_new(struct sim_disk *disk, bool zero)
{
    struct sim_page *page = disk->free_pages;

    if (page != NULL) {
        disk->free_pages = page->next_free;
    } else {
        page = must(malloc(sizeof(*page)));
    }
    if (zero) {
        memset(page->bytes, 0, SIM_PAGE_BYTES);
    }
    return page;
}

static void page_free(struct sim_disk *disk, struct sim_page *page)
{
    if (page != NULL) {
        page->next_free = disk->free_pages;
        disk->free_pages = page;
    }
}

static void image_pages(struct image *image, uint64_t bytes)
{
    uint32_t wanted = (uint32_t)((bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES);
    uint32_t count = image->page_count;

    if (wanted <= count) {
        return;
    }
    count = count * 2 > wanted ? count * 2 : wanted;
    image->pages = must(realloc(image->pages, count * sizeof(*image->pages)));
    memset(image->pages + image->page_count, 0,
           (count - image->page_count) * sizeof(*image->pages));
    image->page_count = count;
}

static void image_put(struct sim_disk *disk, struct image *image, uint64_t offset,
                      const uint8_t *data, size_t bytes)
{
    image_pages(image, offset + bytes);
    while (bytes > 0) {
        uint32_t index = (uint32_t)(offset / SIM_PAGE_BYTES);
        size_t start = offset % SIM_PAGE_BYTES;
        size_t part = SIM_PAGE_BYTES - start < bytes ? SIM_PAGE_BYTES - start : bytes;

        if (image->pages[index] == NULL) {
            image->pages[index] = page_new(disk, part < SIM_PAGE_BYTES);
        }
        memcpy(image->pages[index]->bytes + start, data, part);
        data += part;
        offset += part;
        bytes -= part;
    }
}

static size_t image_get(const struct image *image, uint64_t offset, uint8_t *out,
                        size_t bytes)
{
    size_t done = 0;

    if (offset >= image->bytes) {
        return 0;
    }
    if (bytes > image->bytes - offset) {
        bytes = (size_t)(image->bytes - offset);
    }
    while (done < bytes) {
        uint64_t index = (offset + done) / SIM_PAGE_BYTES;
        size_t start = (offset + done) % SIM_PAGE_BYTES;
        size_t part =
            SIM_PAGE_BYTES - start < bytes - done ? SIM_PAGE_BYTES - start : bytes - done;

        if (index < image->page_count && image->pages[index] != NULL) {
            memcpy(out + done, image->pages[index]->bytes + start, part);
        } else {
            memset(out + done, 0, part);
        }
        done += part;
    }
    return bytes;
}

static void image_cut(struct sim_disk *disk, struct image *image, uint64_t bytes)
{
    uint32_t keep = (uint32_t)((bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES);
    uint32_t i;

    for (i = keep; i < image->page_count; i++) {
        page_free(disk, image->pages[i]);
        image->pages[i] = NULL;
    }
    if (bytes % SIM_PAGE_BYTES != 0 && keep <= image->page_count && keep > 0 &&
        image->pages[keep - 1] != NULL) {
        memset(image->pages[keep - 1]->bytes + bytes % SIM_PAGE_BYTES, 0,
               SIM_PAGE_BYTES - bytes % SIM_PAGE_BYTES);
    }
    image->bytes = bytes;
}

static void image_copy(struct sim_disk *disk, struct image *to, const struct image *from)
{
    uint32_t i;

    image_pages(to, from->bytes);
    for (i = 0; i < to->page_count; i++) {
        struct sim_page *page = i < from->page_count ? from->pages[i] : NULL;

        if (page == NULL) {
            page_free(disk, to->pages[i]);
            to->pages[i] = NULL;
            continue;
        }
        if (to->pages[i] == NULL) {
            to->pages[i] = page_new(disk, false);
        }
        memcpy(to->pages[i]->bytes, page->bytes, SIM_PAGE_BYTES);
    }
    to->bytes = from->bytes;
}

static void image_fini(struct sim_disk *disk, struct image *image)
{
    uint32_t i;

    for (i = 0; i < image->page_count; i++) {
        page_free(disk, image->pages[i]);
    }
    free(image->pages);
    memset(image, 0, sizeof(*image));
}

/* ---- changes
 * ------------------------------------------------------------------------------ */

static void changes_add(struct sim_disk *disk, struct changes *list, enum change_kind kind,
                        uint64_t offset, const uint8_t *data, size_t bytes, bool durable)
{
    struct change *change;

    list->items = grow(list->items, &list->capacity, list->count, sizeof(*list->items));
    change = &list->items[list->count++];
    change->serial = ++disk->serial;
    change->kind = kind;
    change->offset = offset;
    change->bytes = bytes;
    change->durable = durable;
    change->data = NULL;
    if (bytes > 0) {
        change->data = must(malloc(bytes));
        memcpy(change->data, data, bytes);
    }
}

static void changes_drop_head(struct changes *list, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        free(list->items[i].data);
    }
    if (count > 0) {
        list->count -= count;
        memmove(list->items, list->items + count, list->count * sizeof(*list->items));
    }
}

static void changes_fini(struct changes *list)
{
    changes_drop_head(list, list->count);
    free(list->items);
    memset(list, 0, sizeof(*list));
}

static void grow_to(struct image *image, uint64_t bytes)
{
    if (image->bytes < bytes) {
        image->bytes = bytes;
    }
}

static void change_play(struct sim_disk *disk, struct image *image,
                        const struct change *change)
{
    switch (change->kind) {
    case CHANGE_WRITE:
        image_put(disk, image, change->offset, change->data, change->bytes);
        grow_to(image, change->offset + change->bytes);
        return;
    case CHANGE_TRUNCATE:
        image_cut(disk, image, change->offset);
        return;
    case CHANGE_ALLOCATE:
        grow_to(image, change->offset);
        return;
    }
}

/* Play a part of a write: sectors chosen at random, or a head, or a tail, or all but one.
 * What was played goes into the list too, if there is one. */
static void change_play_torn(struct sim_disk *disk, struct image *image,
                             const struct change *change, struct changes *list)
{
    uint64_t first = change->offset / SIM_SECTOR_BYTES;
    uint64_t last, sector, cut;
    uint64_t mode = warp_random_below(&disk->random, 5);

    if (change->bytes == 0) {
        return;
    }
    last = (change->offset + change->bytes - 1) / SIM_SECTOR_BYTES;
    cut = first + warp_random_below(&disk->random, last - first + 1);
    for (sector = first; sector <= last; sector++) {
        uint64_t from = sector * SIM_SECTOR_BYTES, to = from + SIM_SECTOR_BYTES;
        bool keep;

        if (mode == 0 || mode == 1) {
            keep = (warp_random_next(&disk->random) & 1) != 0;
        } else if (mode == 2) {
            keep = sector < cut;
        } else if (mode == 3) {
            keep = sector > cut;
        } else {
            keep = sector != cut;
        }
        from = from < change->offset ? change->offset : from;
        to = to > change->offset + change->bytes ? change->offset + change->bytes : to;
        if (keep) {
            image_put(disk, image, from, change->data + (from - change->offset),
                      (size_t)(to - from));
            grow_to(image, to);
            if (list != NULL) {
                changes_add(disk, list, CHANGE_WRITE, from,
                            change->data + (from - change->offset), (size_t)(to - from),
                            false);
            }
        }
    }
}

/* A page of old bytes, so that fresh space looks like a log that was there before. */
static void stale_fill(struct sim_disk *disk, uint8_t *out, const struct sim_file *self)
{
    const struct sim_page *page = NULL;
    uint64_t pick = warp_random_next(&disk->random);

    if (disk->stale_count > 0 && (pick & 3) != 0) {
        page = disk->stale[(pick >> 8) % disk->stale_count];
    } else if (disk->file_count > 0) {
        const struct sim_file *other = disk->files[(pick >> 8) % disk->file_count];

        if (other != self && other->medium.page_count > 0) {
            page = other->medium.pages[(pick >> 32) % other->medium.page_count];
        }
    }
    if (page != NULL) {
        memcpy(out, page->bytes, SIM_PAGE_BYTES);
    } else {
        memset(out, 0, SIM_PAGE_BYTES);
    }
}

/* Fresh space of a file beyond what it had: some pages show what was there before. */
static void fresh_fill(struct sim_disk *disk, struct sim_file *file, uint64_t from,
                       uint64_t to, bool cache_too)
{
    uint8_t bytes[SIM_PAGE_BYTES];
    uint64_t at;

    if (disk->options.stale_percent == 0) {
        return;
    }
    for (at = from - from % SIM_PAGE_BYTES; at < to; at += SIM_PAGE_BYTES) {
        uint64_t start = at < from ? from : at;
        uint64_t end = at + SIM_PAGE_BYTES < to ? at + SIM_PAGE_BYTES : to;

        if (!percent(disk, disk->options.stale_percent)) {
            continue;
        }
        stale_fill(disk, bytes, file);
        image_put(disk, &file->medium, start, bytes + (start - at), (size_t)(end - start));
        if (cache_too) {
            image_put(disk, &file->cache, start, bytes + (start - at),
                      (size_t)(end - start));
        }
    }
}

/* A change that has just happened to the cache; durable ones go to the medium when no older
 * change waits, else behind those. */
static void file_change(struct sim_disk *disk, struct sim_file *file, enum change_kind kind,
                        uint64_t offset, const uint8_t *data, size_t bytes, bool durable)
{
    if (durable && file->unsynced.count == 0) {
        struct change change = {0};

        change.kind = kind;
        change.offset = offset;
        change.bytes = bytes;
        change.data = (uint8_t *)(uintptr_t)data;
        change_play(disk, &file->medium, &change);
        return;
    }
    changes_add(disk, &file->unsynced, kind, offset, data, bytes, durable);
}

static void file_sync(struct sim_disk *disk, struct sim_file *file, uint64_t serial)
{
    uint32_t i;

    for (i = 0; i < file->unsynced.count && file->unsynced.items[i].serial <= serial; i++) {
        change_play(disk, &file->medium, &file->unsynced.items[i]);
    }
    changes_drop_head(&file->unsynced, i);
    /* Durable ones behind it that have nothing in front of them any more. */
    for (i = 0; i < file->unsynced.count && file->unsynced.items[i].durable; i++) {
        change_play(disk, &file->medium, &file->unsynced.items[i]);
    }
    changes_drop_head(&file->unsynced, i);
}

/* The sync failed: nobody will ever write these changes again. */
static void file_sync_failed(struct sim_disk *disk, struct sim_file *file, bool direct)
{
    uint32_t i;

    for (i = 0; i < file->unsynced.count; i++) {
        struct change *change = &file->unsynced.items[i];

        if (change->durable || change->kind != CHANGE_WRITE || percent(disk, 30)) {
            change_play(disk, &file->medium, change);
        } else if (percent(disk, 50)) {
            change_play_torn(disk, &file->medium, change, NULL);
        }
    }
    changes_drop_head(&file->unsynced, file->unsynced.count);
    if (direct) {
        image_copy(disk, &file->cache, &file->medium);
    }
}

/* ---- files and names
 * ---------------------------------------------------------------------- */

static struct sim_file *file_new(struct sim_disk *disk)
{
    struct sim_file *file = must(calloc(1, sizeof(*file)));

    file->index = disk->file_index_next++;
    disk->files =
        grow(disk->files, &disk->file_capacity, disk->file_count, sizeof(*disk->files));
    disk->files[disk->file_count++] = file;
    return file;
}

static void file_free(struct sim_disk *disk, struct sim_file *file)
{
    uint32_t i;

    for (i = 0; i < file->medium.page_count; i++) {
        struct sim_page *page = file->medium.pages[i];

        if (page == NULL) {
            continue;
        }
        if (disk->stale_count < SIM_STALE_PAGES) {
            disk->stale[disk->stale_count++] = page;
            file->medium.pages[i] = NULL;
        } else if ((warp_random_next(&disk->random) & 3) == 0) {
            uint64_t slot = warp_random_below(&disk->random, SIM_STALE_PAGES);

            file->medium.pages[i] = disk->stale[slot];
            disk->stale[slot] = page;
        }
    }
    image_fini(disk, &file->cache);
    image_fini(disk, &file->medium);
    changes_fini(&file->unsynced);
    changes_fini(&file->limbo);
    free(file);
}

/* Files nobody can reach any more give their space back. */
static void files_sweep(struct sim_disk *disk)
{
    uint32_t i, kept = 0;

    for (i = 0; i < disk->file_count; i++) {
        disk->files[i]->referenced = false;
    }
    for (i = 0; i < disk->name_count; i++) {
        if (disk->names[i].now != NULL) {
            disk->names[i].now->referenced = true;
        }
        if (disk->names[i].medium != NULL) {
            disk->names[i].medium->referenced = true;
        }
    }
    for (i = 0; i < disk->name_change_count; i++) {
        disk->name_changes[i].file->referenced = true;
    }
    for (i = 0; i < disk->handle_count; i++) {
        if (disk->handles[i].open) {
            disk->handles[i].file->referenced = true;
        }
    }
    for (i = 0; i < disk->file_count; i++) {
        if (disk->files[i]->referenced) {
            disk->files[kept++] = disk->files[i];
        } else {
            file_free(disk, disk->files[i]);
        }
    }
    disk->file_count = kept;
}

static bool name_find(const struct sim_disk *disk, const char *text, uint32_t *out)
{
    uint32_t i;

    for (i = 0; i < disk->name_count; i++) {
        if (strcmp(disk->names[i].text, text) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static uint32_t name_reserve(struct sim_disk *disk, const char *text)
{
    uint32_t index;

    if (name_find(disk, text, &index)) {
        return index;
    }
    for (index = 0; index < disk->name_count; index++) {
        uint32_t i;

        if (disk->names[index].now != NULL || disk->names[index].medium != NULL) {
            continue;
        }
        for (i = 0; i < disk->name_change_count; i++) {
            if (disk->name_changes[i].name == index ||
                (disk->name_changes[i].kind == NAME_RENAME &&
                 disk->name_changes[i].target == index)) {
                break;
            }
        }
        if (i == disk->name_change_count) {
            break;
        }
    }
    if (index == disk->name_count) {
        disk->names =
            grow(disk->names, &disk->name_capacity, disk->name_count, sizeof(*disk->names));
        disk->name_count++;
    }
    memset(&disk->names[index], 0, sizeof(disk->names[index]));
    snprintf(disk->names[index].text, SIM_NAME_BYTES, "%s", text);
    return index;
}

static void name_change_add(struct sim_disk *disk, enum name_change_kind kind,
                            uint32_t name, uint32_t target, struct sim_file *file)
{
    struct name_change *change;

    disk->name_changes = grow(disk->name_changes, &disk->name_change_capacity,
                              disk->name_change_count, sizeof(*disk->name_changes));
    change = &disk->name_changes[disk->name_change_count++];
    change->kind = kind;
    change->name = name;
    change->target = target;
    change->file = file;
}

static void name_change_play(struct sim_disk *disk, const struct name_change *change)
{
    struct sim_name *name = &disk->names[change->name];

    switch (change->kind) {
    case NAME_CREATE:
        name->medium = change->file;
        return;
    case NAME_RENAME:
        if (name->medium == change->file) {
            name->medium = NULL;
        }
        disk->names[change->target].medium = change->file;
        return;
    case NAME_UNLINK:
        if (name->medium == change->file) {
            name->medium = NULL;
        }
        return;
    }
}

/* ---- faults and ends
 * ---------------------------------------------------------------------- */

/* 0, or the -errno that this operation of `kind` must return. */
static int fault(struct sim_disk *disk, uint32_t kind)
{
    uint32_t i;
    int error = 0;

    for (i = 0; i < SIM_PLANS; i++) {
        struct fault_plan *plan = &disk->plans[i];

        if (!plan->active || (plan->kinds & kind) == 0) {
            continue;
        }
        if (plan->after > 0) {
            plan->after--;
            continue;
        }
        if (!plan->persistent) {
            plan->active = false;
        }
        disk->fault_met = true;
        disk->counts.faults++;
        trace(disk, "fault", kind, (uint64_t)plan->error);
        error = -plan->error;
    }
    return error;
}

/* Count an operation; true if the end comes at it, with where. */
static bool end_is_here(struct sim_disk *disk, enum sim_where *where)
{
    disk->counts.operations++;
    if (!disk->end_planned) {
        return false;
    }
    if (disk->end_after > 0) {
        disk->end_after--;
        return false;
    }
    disk->end_planned = false;
    *where = disk->end_where;
    return true;
}

void sim_disk_end_now(struct sim_disk *disk, enum sim_end how)
{
    uint32_t i;

    if (disk->ended) {
        if (how == SIM_POWER_CUT) {
            disk->end_how = how; /* the power goes after the process went */
        }
        return;
    }
    disk->ended = true;
    disk->end_how = how;
    disk->end_planned = false;
    disk->counts.in_flight_at_end = 0;
    trace(disk, "end", (uint64_t)how, disk->flight_count);
    for (i = 0; i < disk->flight_count; i++) {
        struct in_flight *flight = &disk->flights[i];
        struct sim_handle *handle = &disk->handles[flight->request->file];

        if (flight->data != NULL) {
            changes_add(disk, &handle->file->limbo, CHANGE_WRITE, flight->request->offset,
                        flight->data, flight->request->bytes, false);
            disk->counts.in_flight_at_end++;
        }
    }
}

/* Put a request in flight. */
static void flight_add(struct sim_disk *disk, struct sim_queue *queue,
                       struct warp_io_request *request)
{
    bool is_write = request->op == WARP_IO_WRITE || request->op == WARP_IO_WRITE_DURABLE;
    struct in_flight *flight;

    disk->flights = grow(disk->flights, &disk->flight_capacity, disk->flight_count,
                         sizeof(*disk->flights));
    flight = &disk->flights[disk->flight_count++];
    memset(flight, 0, sizeof(*flight));
    flight->request = request;
    flight->queue = queue;
    flight->sync_serial = disk->serial;
    flight->due_ns = disk->now_ns + 1 +
                     warp_random_below(&disk->random, disk->options.latency_ns_max + 1);
    if (is_write && request->bytes > 0) {
        flight->data = must(malloc(request->bytes));
        memcpy(flight->data, request->buffer, request->bytes);
    } else if (request->op == WARP_IO_READ) {
        /* Who looks before the completion sees that it was too early. */
        memset(request->buffer, 0xa5, request->bytes);
    }
    disk->handles[request->file].in_flight++;
    trace(disk, "submit", request->op, request->offset);
}

/* A log file under its own name: the only ones that are written without a lock held. */
static bool file_is_log(const struct sim_disk *disk, const struct sim_file *file)
{
    uint32_t i;

    for (i = 0; i < disk->name_count; i++) {
        if (disk->names[i].now == file) {
            const char *text = disk->names[i].text;
            size_t bytes = strlen(text);

            return strncmp(text, "log-", 4) == 0 && bytes > 5 &&
                   strcmp(text + bytes - 5, ".warp") == 0;
        }
    }
    return false;
}

/* A system call that takes time, during which others run. False: do it at once. */
static bool slow_call(struct sim_disk *disk, uint32_t op, int32_t file, void *buffer,
                      size_t bytes, uint64_t offset, int64_t *result)
{
    struct warp_io_request request = {0};

    if (disk->options.yield == NULL || !file_is_log(disk, disk->handles[file].file) ||
        (op != WARP_IO_SYNC && offset < SIM_PAGE_BYTES) ||
        !disk->options.yield(disk->options.context)) {
        return false;
    }
    if (disk->ended) {
        *result = -EIO;
        return true;
    }
    request.op = op;
    request.file = file;
    request.buffer = buffer;
    request.bytes = (uint32_t)bytes;
    request.offset = offset;
    flight_add(disk, NULL, &request);
    while (request.state == 0) {
        (void)disk->options.yield(disk->options.context);
    }
    *result = request.result;
    return true;
}

/* ---- the synchronous operations
 * ------------------------------------------------------------ */

static struct sim_handle *handle_of(struct sim_disk *disk, int32_t handle)
{
    if (handle < 0 || (uint32_t)handle >= disk->handle_count ||
        !disk->handles[handle].open) {
        misuse(disk, "an operation on a file that is not open");
        return NULL;
    }
    return &disk->handles[handle];
}

static bool handle_direct(const struct sim_disk *disk, const struct sim_handle *handle)
{
    return disk->options.direct && (handle->flags & WARP_FILE_DIRECT) != 0;
}

static int32_t disk_open(void *context, const char *text, uint32_t flags)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle;
    struct sim_file *file = NULL;
    enum sim_where where = SIM_BEFORE;
    bool end = false;
    uint32_t name;
    int rc;

    if (disk->ended) {
        return -EIO;
    }
    rc = fault(disk, SIM_OPEN);
    if (rc != 0) {
        return rc;
    }
    if (strlen(text) >= SIM_NAME_BYTES || strchr(text, '/') != NULL) {
        misuse(disk, "a file name that is too long or has a slash");
        return -EINVAL;
    }
    if (disk->options.open_files_max != 0 &&
        disk->handles_open >= disk->options.open_files_max) {
        return -EMFILE;
    }
    if (name_find(disk, text, &name)) {
        file = disk->names[name].now;
    }
    if (file != NULL && (flags & WARP_FILE_CREATE) != 0 &&
        (flags & WARP_FILE_EXCLUSIVE) != 0) {
        return -EEXIST;
    }
    if (file == NULL) {
        if ((flags & WARP_FILE_CREATE) == 0) {
            return -ENOENT;
        }
        end = end_is_here(disk, &where);
        if (end && where == SIM_BEFORE) {
            sim_disk_end_now(disk, disk->end_how);
            return -EIO;
        }
        name = name_reserve(disk, text);
        file = file_new(disk);
        disk->names[name].now = file;
        name_change_add(disk, NAME_CREATE, name, 0, file);
        if (end) {
            sim_disk_end_now(disk, disk->end_how);
            return -EIO;
        }
    }
    disk->handles = grow(disk->handles, &disk->handle_capacity, disk->handle_count,
                         sizeof(*disk->handles));
    handle = &disk->handles[disk->handle_count];
    memset(handle, 0, sizeof(*handle));
    handle->file = file;
    handle->flags = flags;
    handle->open = true;
    disk->handles_open++;
    trace(disk, "open", file->index, flags);
    return (int32_t)disk->handle_count++;
}

static void disk_close(void *context, int32_t file)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);

    if (handle == NULL) {
        return;
    }
    if (handle->in_flight > 0 && !disk->ended) {
        misuse(disk, "a file is closed while requests on it are in flight");
    }
    handle->open = false;
    disk->handles_open--;
}

static int64_t disk_size(void *context, int32_t file)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);

    if (disk->ended) {
        return -EIO;
    }
    return handle == NULL ? -EBADF : (int64_t)handle->file->cache.bytes;
}

uint64_t sim_disk_used_bytes(const struct sim_disk *disk)
{
    uint64_t bytes = 0;
    uint32_t i;

    for (i = 0; i < disk->file_count; i++) {
        bytes += disk->files[i]->reserved_bytes;
    }
    return bytes;
}

/* Make room up to `bytes` in the file; false: the disk is full. */
static bool file_reserve(struct sim_disk *disk, struct sim_file *file, uint64_t bytes)
{
    uint64_t wanted = (bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES * SIM_PAGE_BYTES;
    uint64_t used;

    if (wanted <= file->reserved_bytes) {
        return true;
    }
    used = sim_disk_used_bytes(disk) - file->reserved_bytes;
    if (used + wanted > disk->options.capacity_bytes) {
        files_sweep(disk);
        used = sim_disk_used_bytes(disk) - file->reserved_bytes;
    }
    if (used + wanted > disk->options.capacity_bytes) {
        return false;
    }
    file->reserved_bytes = wanted;
    return true;
}

static int disk_allocate(void *context, int32_t file, uint64_t bytes)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);
    enum sim_where where = SIM_BEFORE;
    bool end;
    int rc;

    if (disk->ended) {
        return -EIO;
    }
    if (handle == NULL) {
        return -EBADF;
    }
    rc = fault(disk, SIM_ALLOCATE);
    if (rc != 0) {
        return rc;
    }
    end = end_is_here(disk, &where);
    if (!end || where != SIM_BEFORE) {
        uint64_t before = handle->file->cache.bytes;

        if (!file_reserve(disk, handle->file, bytes)) {
            /* Some of it may have been taken already, as fallocate does. */
            uint64_t part = before + warp_random_below(&disk->random, 3) * SIM_PAGE_BYTES;

            if (part > before && part < bytes && file_reserve(disk, handle->file, part)) {
                grow_to(&handle->file->cache, part);
                file_change(disk, handle->file, CHANGE_ALLOCATE, part, NULL, 0, false);
            }
            trace(disk, "full", handle->file->index, bytes);
            rc = -ENOSPC;
        } else if (bytes > before) {
            fresh_fill(disk, handle->file, before, bytes, true);
            grow_to(&handle->file->cache, bytes);
            file_change(disk, handle->file, CHANGE_ALLOCATE, bytes, NULL, 0, false);
            trace(disk, "allocate", handle->file->index, bytes);
        }
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    return rc;
}

static int disk_truncate(void *context, int32_t file, uint64_t bytes)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);
    enum sim_where where = SIM_BEFORE;
    bool end;
    int rc;

    if (disk->ended) {
        return -EIO;
    }
    if (handle == NULL) {
        return -EBADF;
    }
    rc = fault(disk, SIM_ALLOCATE);
    if (rc != 0) {
        return rc;
    }
    end = end_is_here(disk, &where);
    if (!end || where != SIM_BEFORE) {
        image_pages(&handle->file->cache, bytes);
        image_cut(disk, &handle->file->cache, bytes);
        file_change(disk, handle->file, CHANGE_TRUNCATE, bytes, NULL, 0, false);
        handle->file->reserved_bytes =
            (bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES * SIM_PAGE_BYTES;
        trace(disk, "truncate", handle->file->index, bytes);
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    return 0;
}

static bool aligned(const struct sim_disk *disk, const struct sim_handle *handle,
                    const void *buffer, size_t bytes, uint64_t offset)
{
    uint64_t mask = disk->options.block_bytes - 1;

    return !handle_direct(disk, handle) ||
           (((uint64_t)(uintptr_t)buffer | bytes | offset) & mask) == 0;
}

static int64_t read_now(struct sim_disk *disk, struct sim_handle *handle, void *buffer,
                        size_t bytes, uint64_t offset)
{
    int rc = fault(disk, SIM_READ);

    disk->counts.reads++;
    if (rc != 0) {
        return rc;
    }
    if (!aligned(disk, handle, buffer, bytes, offset)) {
        return -EINVAL;
    }
    return (int64_t)image_get(&handle->file->cache, offset, buffer, bytes);
}

static int64_t disk_read(void *context, int32_t file, void *buffer, size_t bytes,
                         uint64_t offset)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);

    if (disk->ended) {
        return -EIO;
    }
    return handle == NULL ? -EBADF : read_now(disk, handle, buffer, bytes, offset);
}

/* Carry out a write that came to its end on the device. Returns bytes or -errno. */
static int64_t write_now(struct sim_disk *disk, struct sim_handle *handle,
                         const uint8_t *data, size_t bytes, uint64_t offset, bool durable)
{
    struct sim_file *file = handle->file;
    int rc;

    if (!file_reserve(disk, file, offset + bytes)) {
        trace(disk, "full", file->index, offset + bytes);
        return -ENOSPC;
    }
    rc = fault(disk, SIM_WRITE);
    if (rc != 0) {
        struct change change = {0};

        change.kind = CHANGE_WRITE;
        change.offset = offset;
        change.bytes = bytes;
        change.data = (uint8_t *)(uintptr_t)data;
        if (handle_direct(disk, handle)) {
            /* Some of it may be there, and nobody knows what. */
            change_play_torn(disk, &file->cache, &change, &file->unsynced);
        } else {
            /* The page cache has all of it, counts it as clean, and will never write it. */
            change_play(disk, &file->cache, &change);
            change_play_torn(disk, &file->medium, &change, NULL);
        }
        return rc;
    }
    image_put(disk, &file->cache, offset, data, bytes);
    grow_to(&file->cache, offset + bytes);
    file_change(disk, file, CHANGE_WRITE, offset, data, bytes, durable);
    trace(disk, durable ? "write durable" : "write", offset, bytes);
    return (int64_t)bytes;
}

static int64_t disk_write(void *context, int32_t file, const void *buffer, size_t bytes,
                          uint64_t offset, bool durable)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);
    enum sim_where where = SIM_BEFORE;
    int64_t rc = 0;
    bool end;

    if (disk->ended) {
        return -EIO;
    }
    if (handle == NULL) {
        return -EBADF;
    }
    if ((handle->flags & WARP_FILE_READ_ONLY) != 0) {
        misuse(disk, "a write to a file opened to read");
        return -EBADF;
    }
    if (!aligned(disk, handle, buffer, bytes, offset)) {
        return -EINVAL;
    }
    if (slow_call(disk, durable ? WARP_IO_WRITE_DURABLE : WARP_IO_WRITE, file,
                  (void *)(uintptr_t)buffer, bytes, offset, &rc)) {
        return rc;
    }
    end = end_is_here(disk, &where);
    if (end && where == SIM_MIDDLE) {
        changes_add(disk, &handle->file->limbo, CHANGE_WRITE, offset, buffer, bytes, false);
    } else if (!end || where == SIM_AFTER) {
        rc = write_now(disk, handle, buffer, bytes, offset, durable);
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    disk->now_ns += 1 + warp_random_below(&disk->random, disk->options.latency_ns_max + 1);
    return rc;
}

static int sync_now(struct sim_disk *disk, struct sim_handle *handle, uint64_t serial)
{
    int rc = fault(disk, SIM_SYNC);

    if (rc != 0) {
        file_sync_failed(disk, handle->file, handle_direct(disk, handle));
        return rc;
    }
    file_sync(disk, handle->file, serial);
    trace(disk, "sync", handle->file->index, 0);
    return 0;
}

static int disk_sync(void *context, int32_t file)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);
    enum sim_where where = SIM_BEFORE;
    bool end;
    int64_t result;
    int rc = 0;

    if (disk->ended) {
        return -EIO;
    }
    if (handle == NULL) {
        return -EBADF;
    }
    if (slow_call(disk, WARP_IO_SYNC, file, NULL, 0, 0, &result)) {
        return (int)result;
    }
    end = end_is_here(disk, &where);
    if (!end || where == SIM_AFTER) {
        rc = sync_now(disk, handle, UINT64_MAX);
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    disk->now_ns += 1 + warp_random_below(&disk->random, disk->options.latency_ns_max + 1);
    return rc;
}

static int disk_rename(void *context, const char *from, const char *to)
{
    struct sim_disk *disk = context;
    enum sim_where where = SIM_BEFORE;
    uint32_t source, target;
    bool end;
    int rc;

    if (disk->ended) {
        return -EIO;
    }
    rc = fault(disk, SIM_NAME);
    if (rc != 0) {
        return rc;
    }
    if (!name_find(disk, from, &source) || disk->names[source].now == NULL) {
        return -ENOENT;
    }
    end = end_is_here(disk, &where);
    if (!end || where != SIM_BEFORE) {
        struct sim_file *file = disk->names[source].now;

        target = name_reserve(disk, to);
        disk->names[source].now = NULL;
        disk->names[target].now = file;
        name_change_add(disk, NAME_RENAME, source, target, file);
        trace(disk, "rename", file->index, 0);
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    return 0;
}

static int disk_unlink(void *context, const char *text)
{
    struct sim_disk *disk = context;
    enum sim_where where = SIM_BEFORE;
    uint32_t name;
    bool end;
    int rc;

    if (disk->ended) {
        return -EIO;
    }
    rc = fault(disk, SIM_NAME);
    if (rc != 0) {
        return rc;
    }
    if (!name_find(disk, text, &name) || disk->names[name].now == NULL) {
        return -ENOENT;
    }
    end = end_is_here(disk, &where);
    if (!end || where != SIM_BEFORE) {
        struct sim_file *file = disk->names[name].now;

        disk->names[name].now = NULL;
        name_change_add(disk, NAME_UNLINK, name, 0, file);
        /* The space is free for others at once, as statfs shows it. */
        file->reserved_bytes = 0;
        trace(disk, "unlink", file->index, 0);
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    return 0;
}

static int disk_sync_directory(void *context)
{
    struct sim_disk *disk = context;
    enum sim_where where = SIM_BEFORE;
    bool end;
    uint32_t i;
    int rc;

    if (disk->ended) {
        return -EIO;
    }
    rc = fault(disk, SIM_NAME | SIM_SYNC);
    if (rc != 0) {
        return rc;
    }
    end = end_is_here(disk, &where);
    if (!end || where == SIM_AFTER) {
        for (i = 0; i < disk->name_change_count; i++) {
            name_change_play(disk, &disk->name_changes[i]);
        }
        disk->name_change_count = 0;
        trace(disk, "sync directory", 0, 0);
    }
    if (end) {
        sim_disk_end_now(disk, disk->end_how);
        return -EIO;
    }
    return 0;
}

static int disk_list(void *context,
                     int (*visit)(void *ctx, const char *name, uint64_t bytes), void *ctx)
{
    struct sim_disk *disk = context;
    uint32_t count = 0, i;
    uint32_t *order;
    int rc = 0;

    if (disk->ended) {
        return -EIO;
    }
    rc = fault(disk, SIM_READ);
    if (rc != 0) {
        return rc;
    }
    order = must(malloc((disk->name_count + 1) * sizeof(*order)));
    for (i = 0; i < disk->name_count; i++) {
        uint32_t other;

        if (disk->names[i].now == NULL) {
            continue;
        }
        other = (uint32_t)warp_random_below(&disk->random, count + 1u);
        order[count] = order[other];
        order[other] = i;
        count++;
    }
    for (i = 0; i < count && rc == 0; i++) {
        char text[SIM_NAME_BYTES];
        const struct sim_file *file = disk->names[order[i]].now;

        if (file == NULL) {
            continue; /* the visitor removed it */
        }
        memcpy(text, disk->names[order[i]].text, sizeof(text));
        rc = visit(ctx, text, file->cache.bytes);
    }
    free(order);
    return rc;
}

static int disk_lock(void *context, const char *text, bool shared, char *holder,
                     size_t holder_bytes)
{
    struct sim_disk *disk = context;
    uint32_t name;

    if (disk->ended) {
        return -EIO;
    }
    if (disk->lock_exclusive || (!shared && disk->lock_shared > 0)) {
        if (holder_bytes > 0) {
            snprintf(holder, holder_bytes, "the simulator");
        }
        return -EWOULDBLOCK;
    }
    name = name_reserve(disk, text);
    if (disk->names[name].now == NULL) {
        struct sim_file *file = file_new(disk);

        disk->names[name].now = file;
        name_change_add(disk, NAME_CREATE, name, 0, file);
    }
    if (shared) {
        disk->lock_shared++;
    } else {
        disk->lock_exclusive = true;
    }
    return 0;
}

static void disk_unlock(void *context)
{
    struct sim_disk *disk = context;

    if (disk->lock_exclusive) {
        disk->lock_exclusive = false;
    } else if (disk->lock_shared > 0) {
        disk->lock_shared--;
    } else if (!disk->ended) {
        misuse(disk, "an unlock without a lock");
    }
}

static int64_t disk_free_bytes(void *context)
{
    struct sim_disk *disk = context;
    uint64_t used = sim_disk_used_bytes(disk);

    return used >= disk->options.capacity_bytes
               ? 0
               : (int64_t)(disk->options.capacity_bytes - used);
}

static uint32_t disk_block_bytes(void *context, int32_t file)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);

    return handle != NULL && handle_direct(disk, handle) ? disk->options.block_bytes : 512;
}

static bool disk_is_direct(void *context, int32_t file)
{
    struct sim_disk *disk = context;
    struct sim_handle *handle = handle_of(disk, file);

    return handle != NULL && handle_direct(disk, handle);
}

static const char *disk_name(void *context)
{
    (void)context;
    return "simulated";
}

/* ---- the queue
 * ------------------------------------------------------------------------------ */

/* The device reads the buffer some time between submit and completion, sector by sector. */
static void flight_data_mix(struct sim_disk *disk, struct in_flight *flight)
{
    const uint8_t *now = flight->request->buffer;
    uint32_t at = 0;

    while (at < flight->request->bytes) {
        uint32_t part = SIM_SECTOR_BYTES -
                        (uint32_t)((flight->request->offset + at) % SIM_SECTOR_BYTES);

        part = part > flight->request->bytes - at ? flight->request->bytes - at : part;
        if (memcmp(flight->data + at, now + at, part) != 0 && percent(disk, 50)) {
            memcpy(flight->data + at, now + at, part);
        }
        at += part;
    }
}

static void flight_complete(struct sim_disk *disk, uint64_t pick)
{
    struct in_flight flight = disk->flights[pick];
    struct warp_io_request *request = flight.request;
    struct sim_handle *handle = &disk->handles[request->file];
    enum sim_where where = SIM_BEFORE;
    bool end = false;

    if (!disk->ended && request->op != WARP_IO_READ) {
        end = end_is_here(disk, &where);
        if (end && where != SIM_AFTER) {
            sim_disk_end_now(disk, disk->end_how);
        }
    }
    disk->flights[pick] = disk->flights[--disk->flight_count];
    if (disk->now_ns < flight.due_ns) {
        disk->now_ns = flight.due_ns;
    }
    if (disk->ended) {
        request->result = -EIO;
    } else {
        switch ((enum warp_io_op)request->op) {
        case WARP_IO_READ:
            request->result =
                read_now(disk, handle, request->buffer, request->bytes, request->offset);
            break;
        case WARP_IO_WRITE:
        case WARP_IO_WRITE_DURABLE:
            flight_data_mix(disk, &flight);
            request->result =
                write_now(disk, handle, flight.data, request->bytes, request->offset,
                          request->op == WARP_IO_WRITE_DURABLE);
            break;
        case WARP_IO_SYNC:
            request->result = sync_now(disk, handle, flight.sync_serial);
            break;
        }
    }
    handle->in_flight--;
    free(flight.data);
    if (flight.queue != NULL) {
        flight.queue->done[flight.queue->done_count++] = request;
    } else {
        request->state = 1; /* a system call returns */
    }
    trace(disk, "complete", request->op, (uint64_t)request->result);
    if (end && where == SIM_AFTER) {
        sim_disk_end_now(disk, disk->end_how);
        request->result = -EIO;
    }
}

bool sim_disk_step(struct sim_disk *disk)
{
    if (disk->flight_count == 0) {
        return false;
    }
    flight_complete(disk, warp_random_below(&disk->random, disk->flight_count));
    return true;
}

static int disk_queue_create(void *context, uint32_t depth, void **queue)
{
    struct sim_queue *created = must(calloc(1, sizeof(*created)));

    created->disk = context;
    created->depth = depth;
    created->done = must(calloc(depth, sizeof(struct warp_io_request *)));
    *queue = created;
    return 0;
}

static void disk_queue_destroy(void *context, void **queue)
{
    struct sim_disk *disk = context;
    struct sim_queue *old = *queue;
    uint32_t i = 0;

    if (old == NULL) {
        return;
    }
    /* Destroying waits for what is in flight. */
    while (i < disk->flight_count) {
        if (disk->flights[i].queue == old) {
            flight_complete(disk, i);
            i = 0;
        } else {
            i++;
        }
    }
    free(old->done);
    free(old);
    *queue = NULL;
}

static uint32_t disk_submit(void *context, void *queue_pointer,
                            struct warp_io_request *const *requests, uint32_t count)
{
    struct sim_disk *disk = context;
    struct sim_queue *queue = queue_pointer;
    uint32_t i;

    for (i = 0; i < count && queue->taken < queue->depth; i++) {
        struct warp_io_request *request = requests[i];
        struct sim_handle *handle = handle_of(disk, request->file);
        bool is_write =
            request->op == WARP_IO_WRITE || request->op == WARP_IO_WRITE_DURABLE;
        enum sim_where where = SIM_BEFORE;

        queue->taken++;
        if (handle == NULL || disk->ended) {
            request->result = handle == NULL ? -EBADF : -EIO;
            queue->done[queue->done_count++] = request;
            continue;
        }
        if (is_write && (handle->flags & WARP_FILE_READ_ONLY) != 0) {
            misuse(disk, "a write to a file opened to read");
        }
        if (request->op != WARP_IO_SYNC &&
            !aligned(disk, handle, request->buffer, request->bytes, request->offset)) {
            misuse(disk, "a direct request that is not aligned");
            request->result = -EINVAL;
            queue->done[queue->done_count++] = request;
            continue;
        }
        if (request->op != WARP_IO_READ && end_is_here(disk, &where)) {
            if (where != SIM_BEFORE && is_write) {
                changes_add(disk, &handle->file->limbo, CHANGE_WRITE, request->offset,
                            request->buffer, request->bytes, false);
            }
            sim_disk_end_now(disk, disk->end_how);
            request->result = -EIO;
            queue->done[queue->done_count++] = request;
            continue;
        }
        flight_add(disk, queue, request);
    }
    return i;
}

static uint32_t disk_reap(void *context, void *queue_pointer, struct warp_io_request **out,
                          uint32_t max, uint64_t wait_ns)
{
    struct sim_disk *disk = context;
    struct sim_queue *queue = queue_pointer;
    uint32_t count = 0;

    if (wait_ns == 0) {
        /* Time passes while somebody polls, and what is due completes. */
        uint32_t i = 0;

        disk->now_ns += 500;
        while (i < disk->flight_count) {
            if (disk->flights[i].due_ns <= disk->now_ns) {
                flight_complete(disk, i);
                i = 0;
            } else {
                i++;
            }
        }
    } else if (queue->done_count == 0) {
        uint64_t deadline_ns =
            wait_ns < UINT64_MAX - disk->now_ns ? disk->now_ns + wait_ns : UINT64_MAX;

        while (queue->done_count == 0 && disk->now_ns < deadline_ns &&
               sim_disk_step(disk)) {
        }
        if (queue->done_count == 0 && wait_ns != UINT64_MAX && disk->now_ns < deadline_ns) {
            disk->now_ns = deadline_ns;
        }
    }
    while (count < max && queue->done_count > 0) {
        uint64_t pick = warp_random_below(&disk->random, queue->done_count);

        out[count++] = queue->done[pick];
        queue->done[pick] = queue->done[--queue->done_count];
        queue->taken--;
    }
    return count;
}

static int disk_queue_interrupt(void *context, void *queue)
{
    (void)context;
    (void)queue;
    return 0;
}

static const struct warp_disk_ops sim_disk_ops = {
    .open = disk_open,
    .close = disk_close,
    .size = disk_size,
    .allocate = disk_allocate,
    .truncate = disk_truncate,
    .read = disk_read,
    .write = disk_write,
    .sync = disk_sync,
    .rename = disk_rename,
    .unlink = disk_unlink,
    .sync_directory = disk_sync_directory,
    .list = disk_list,
    .lock = disk_lock,
    .unlock = disk_unlock,
    .free_bytes = disk_free_bytes,
    .block_bytes = disk_block_bytes,
    .is_direct = disk_is_direct,
    .queue_create = disk_queue_create,
    .queue_destroy = disk_queue_destroy,
    .submit = disk_submit,
    .reap = disk_reap,
    .queue_interrupt = disk_queue_interrupt,
    .name = disk_name,
};

/* ---- restart
 * ------------------------------------------------------------------------------- */

static void play_by_chance(struct sim_disk *disk, struct sim_file *file,
                           const struct change *change)
{
    uint64_t before = file->medium.bytes;
    bool survives = change->durable || percent(disk, disk->options.keep_percent);

    if (survives) {
        change_play(disk, &file->medium, change);
        return;
    }
    disk->counts.writes_lost++;
    if (change->kind == CHANGE_WRITE && percent(disk, disk->options.tear_percent)) {
        disk->counts.writes_torn++;
        change_play_torn(disk, &file->medium, change, NULL);
    }
    /* The size may have reached the medium although the data did not. */
    if (change->kind == CHANGE_WRITE && change->offset + change->bytes > before &&
        percent(disk, 50)) {
        if (file->medium.bytes <= change->offset) {
            fresh_fill(disk, file, before, change->offset + change->bytes, false);
        }
        grow_to(&file->medium, change->offset + change->bytes);
    }
}

static void file_power_cut(struct sim_disk *disk, struct sim_file *file)
{
    uint32_t i;

    for (i = 0; i < file->unsynced.count; i++) {
        play_by_chance(disk, file, &file->unsynced.items[i]);
    }
    while (file->limbo.count > 0) {
        uint64_t pick = warp_random_below(&disk->random, file->limbo.count);

        play_by_chance(disk, file, &file->limbo.items[pick]);
        free(file->limbo.items[pick].data);
        file->limbo.items[pick] = file->limbo.items[--file->limbo.count];
    }
    changes_drop_head(&file->unsynced, file->unsynced.count);
    image_copy(disk, &file->cache, &file->medium);
    file->reserved_bytes =
        (file->medium.bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES * SIM_PAGE_BYTES;
}

/* What was in flight when the process ended: done, not done, or done in part. */
static void file_kill(struct sim_disk *disk, struct sim_file *file)
{
    while (file->limbo.count > 0) {
        uint64_t pick = warp_random_below(&disk->random, file->limbo.count);
        struct change *change = &file->limbo.items[pick];
        uint64_t fate = warp_random_below(&disk->random, 3);
        size_t bytes = change->bytes;

        if (fate == 1 && bytes > 0) {
            bytes = (size_t)warp_random_below(&disk->random, bytes);
            bytes -= bytes % SIM_SECTOR_BYTES;
        }
        if (fate != 0 && bytes > 0) {
            image_put(disk, &file->cache, change->offset, change->data, bytes);
            grow_to(&file->cache, change->offset + bytes);
            file_change(disk, file, CHANGE_WRITE, change->offset, change->data, bytes,
                        false);
        }
        free(change->data);
        file->limbo.items[pick] = file->limbo.items[--file->limbo.count];
    }
}

static void names_power_cut(struct sim_disk *disk)
{
    bool prefix_only = percent(disk, 50);
    uint64_t keep = warp_random_below(&disk->random, disk->name_change_count + 1u);
    uint32_t i;

    for (i = 0; i < disk->name_count; i++) {
        disk->names[i].lost = false;
    }
    for (i = 0; i < disk->name_change_count; i++) {
        const struct name_change *change = &disk->name_changes[i];
        bool rename = change->kind == NAME_RENAME;
        bool lost =
            disk->names[change->name].lost || (rename && disk->names[change->target].lost);

        lost = lost || (prefix_only ? i >= keep : percent(disk, 40));
        if (!lost) {
            name_change_play(disk, change);
            continue;
        }
        disk->counts.names_lost++;
        disk->names[change->name].lost = true;
        if (rename) {
            disk->names[change->target].lost = true;
        }
    }
    disk->name_change_count = 0;
    for (i = 0; i < disk->name_count; i++) {
        disk->names[i].now = disk->names[i].medium;
    }
}

void sim_disk_restart(struct sim_disk *disk)
{
    uint32_t i;

    warp_assert(disk->ended);
    for (i = 0; i < disk->flight_count; i++) {
        free(disk->flights[i].data);
    }
    disk->flight_count = 0;
    disk->handle_count = 0;
    disk->handles_open = 0;
    disk->lock_exclusive = false;
    disk->lock_shared = 0;
    for (i = 0; i < disk->file_count; i++) {
        if (disk->end_how == SIM_POWER_CUT) {
            file_power_cut(disk, disk->files[i]);
        } else {
            file_kill(disk, disk->files[i]);
        }
    }
    if (disk->end_how == SIM_POWER_CUT) {
        names_power_cut(disk);
    }
    files_sweep(disk);
    disk->ended = false;
    disk->end_planned = false;
    disk->now_ns += 1000000000;
    trace(disk, "restart", disk->file_count, sim_disk_used_bytes(disk));
}

/* ---- life
 * ------------------------------------------------------------------------------------ */

static uint64_t clock_monotonic_ns(void *context)
{
    struct sim_disk *disk = context;

    disk->now_ns += 20; /* so that a loop with a deadline ends */
    return disk->now_ns;
}

static uint64_t clock_wall_ms(void *context)
{
    struct sim_disk *disk = context;

    return disk->options.wall_ms + disk->now_ns / 1000000;
}

int sim_disk_create(struct sim_disk **out)
{
    struct sim_disk *disk = calloc(1, sizeof(*disk));

    if (disk == NULL) {
        return -1;
    }
    disk->face.ops = &sim_disk_ops;
    disk->face.context = disk;
    disk->clock.monotonic_ns = clock_monotonic_ns;
    disk->clock.wall_ms = clock_wall_ms;
    disk->clock.context = disk;
    *out = disk;
    return 0;
}

static void disk_empty(struct sim_disk *disk)
{
    uint32_t i;

    disk->name_count = 0;
    disk->name_change_count = 0;
    disk->handle_count = 0;
    disk->handles_open = 0;
    for (i = 0; i < disk->flight_count; i++) {
        free(disk->flights[i].data);
    }
    disk->flight_count = 0;
    for (i = 0; i < disk->file_count; i++) {
        file_free(disk, disk->files[i]);
    }
    disk->file_count = 0;
    for (i = 0; i < disk->stale_count; i++) {
        page_free(disk, disk->stale[i]);
    }
    disk->stale_count = 0;
}

void sim_disk_destroy(struct sim_disk **pointer)
{
    struct sim_disk *disk = *pointer;

    if (disk == NULL) {
        return;
    }
    disk_empty(disk);
    while (disk->free_pages != NULL) {
        struct sim_page *page = disk->free_pages;

        disk->free_pages = page->next_free;
        free(page);
    }
    free(disk->files);
    free(disk->names);
    free(disk->name_changes);
    free(disk->handles);
    free(disk->flights);
    free(disk);
    *pointer = NULL;
}

void sim_disk_reset(struct sim_disk *disk, uint64_t seed,
                    const struct sim_disk_options *options)
{
    disk_empty(disk);
    disk->options = *options;
    warp_random_init(&disk->random, seed);
    disk->now_ns = 1000000;
    disk->serial = 0;
    disk->file_index_next = 0;
    disk->lock_exclusive = false;
    disk->lock_shared = 0;
    memset(disk->plans, 0, sizeof(disk->plans));
    disk->fault_met = false;
    disk->end_planned = false;
    disk->ended = false;
    memset(&disk->counts, 0, sizeof(disk->counts));
    disk->misuse = NULL;
}

void sim_disk_reseed(struct sim_disk *disk, uint64_t seed)
{
    warp_random_init(&disk->random, seed);
}

const struct warp_disk *sim_disk_face(struct sim_disk *disk)
{
    return &disk->face;
}

const struct warp_clock *sim_disk_clock(struct sim_disk *disk)
{
    return &disk->clock;
}

uint32_t sim_disk_in_flight(const struct sim_disk *disk)
{
    return disk->flight_count;
}

uint32_t sim_disk_open_files(const struct sim_disk *disk)
{
    return disk->handles_open;
}

bool sim_disk_locked(const struct sim_disk *disk)
{
    return disk->lock_exclusive || disk->lock_shared > 0;
}

uint64_t sim_disk_now_ns(const struct sim_disk *disk)
{
    return disk->now_ns;
}

void sim_disk_advance(struct sim_disk *disk, uint64_t ns)
{
    disk->now_ns += ns;
}

void sim_disk_fail(struct sim_disk *disk, uint32_t kinds, uint64_t after, int error,
                   bool persistent)
{
    uint32_t i;

    for (i = 0; i < SIM_PLANS; i++) {
        if (!disk->plans[i].active) {
            disk->plans[i].kinds = kinds;
            disk->plans[i].after = after;
            disk->plans[i].error = error;
            disk->plans[i].persistent = persistent;
            disk->plans[i].active = true;
            return;
        }
    }
    warp_assert(i < SIM_PLANS);
}

void sim_disk_fail_clear(struct sim_disk *disk)
{
    memset(disk->plans, 0, sizeof(disk->plans));
    disk->fault_met = false;
}

bool sim_disk_fault_met(const struct sim_disk *disk)
{
    return disk->fault_met;
}

void sim_disk_set_capacity(struct sim_disk *disk, uint64_t bytes)
{
    disk->options.capacity_bytes = bytes;
    trace(disk, "capacity", bytes, 0);
}

void sim_disk_end_at(struct sim_disk *disk, uint64_t after, enum sim_where where,
                     enum sim_end how)
{
    disk->end_planned = true;
    disk->end_after = after;
    disk->end_where = where;
    disk->end_how = how;
}

bool sim_disk_ended(const struct sim_disk *disk)
{
    return disk->ended;
}

void sim_disk_end_never(struct sim_disk *disk)
{
    disk->end_planned = false;
}

uint32_t sim_disk_file_count(const struct sim_disk *disk)
{
    uint32_t i, count = 0;

    for (i = 0; i < disk->name_count; i++) {
        count += disk->names[i].now != NULL;
    }
    return count;
}

const char *sim_disk_file_name(const struct sim_disk *disk, uint32_t index, uint64_t *bytes)
{
    uint32_t i;

    for (i = 0; i < disk->name_count; i++) {
        if (disk->names[i].now != NULL && index-- == 0) {
            *bytes = disk->names[i].now->medium.bytes;
            return disk->names[i].text;
        }
    }
    return NULL;
}

size_t sim_disk_peek(const struct sim_disk *disk, const char *text, uint64_t offset,
                     void *buffer, size_t bytes)
{
    uint32_t name;

    if (!name_find(disk, text, &name) || disk->names[name].medium == NULL) {
        return 0;
    }
    return image_get(&disk->names[name].medium->medium, offset, buffer, bytes);
}

void sim_disk_poke(struct sim_disk *disk, const char *text, uint64_t offset,
                   const void *buffer, size_t bytes)
{
    uint32_t name;

    if (name_find(disk, text, &name) && disk->names[name].medium != NULL) {
        image_put(disk, &disk->names[name].medium->medium, offset, buffer, bytes);
        image_put(disk, &disk->names[name].medium->cache, offset, buffer, bytes);
    }
}

const char *sim_disk_misuse(const struct sim_disk *disk)
{
    return disk->misuse;
}

struct sim_disk_counts sim_disk_counts(const struct sim_disk *disk)
{
    return disk->counts;
}
