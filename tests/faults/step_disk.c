/*
 * Every operation goes through strike(): it counts, and says whether this one is to fail and how.
 * An error of a write or sync is the simulated disk's own, so that what it leaves behind is what
 * it would leave anywhere else; a full disk refuses before anything has happened.
 */
#include "tests/faults/step_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct step_text {
    const char *job, *words;
    bool reads;
};
static const struct step_text step_texts[STEP_COUNT] = {
#define X(name, job, words, reads) {job, words, reads},
    STEPS(X)
#undef X
};

const char *step_job(enum step step)
{
    return step_texts[step].job;
}

const char *step_words(enum step step)
{
    return step_texts[step].words;
}

bool step_reads(enum step step)
{
    return step_texts[step].reads;
}

const char *fault_words(enum fault fault)
{
    static const char *const words[FAULT_COUNT] = {
        "none",       "cut-before",       "cut-middle",     "cut-after", "kill-before",
        "kill-after", "enospc",           "enospc-lasting", "eio",       "eio-lasting",
        "read-eio",   "read-eio-lasting", "read-flip",
    };

    return words[fault];
}

/* ---- which step is it? ------------------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t bytes = strlen(text), tail = strlen(with);

    return bytes >= tail && strcmp(text + bytes - tail, with) == 0;
}

enum operation { DO_CREATE, DO_FILL, DO_WRITE, DO_SYNC, DO_RENAME, DO_UNLINK, DO_READ };

static enum step step_of_opener(enum operation operation, const char *name)
{
    if (operation == DO_READ) {
        return begins(name, "checkpoint-") ? STEP_OPEN_READ_CHECKPOINT
               : begins(name, "MANIFEST")  ? STEP_OPEN_READ_MANIFEST
               : begins(name, "log-")      ? STEP_OPEN_READ_LOG
                                           : STEP_COLD_READ_ARCHIVE;
    }
    if (begins(name, "MANIFEST")) {
        return STEP_OPEN_FENCE;
    }
    if (operation == DO_UNLINK) {
        return begins(name, "checkpoint-") && ends(name, ".warp") ? STEP_OPEN_DISCARD
               : begins(name, "log-") && ends(name, ".warp")      ? STEP_OPEN_GIVE_UP
                                                                  : STEP_OPEN_UNLINK;
    }
    if (operation == DO_RENAME && begins(name, "log-") && ends(name, ".warp")) {
        return STEP_OPEN_GIVE_UP;
    }
    if (ends(name, ".new") || begins(name, "spare-")) {
        return STEP_OPEN_EXTEND;
    }
    return operation == DO_SYNC ? STEP_OPEN_SYNC_LOG : STEP_OPEN_WRITE_LOG;
}

static enum step step_of_segment(enum operation operation, bool spare)
{
    switch (operation) {
    case DO_CREATE:
        return STEP_SEGMENT_CREATE;
    case DO_FILL:
    case DO_WRITE:
        return spare ? STEP_RECYCLE_FILL : STEP_SEGMENT_FILL;
    case DO_SYNC:
        return spare ? STEP_RECYCLE_SYNC : STEP_SEGMENT_SYNC;
    case DO_RENAME:
        return spare ? STEP_RECYCLE_RENAME : STEP_SEGMENT_RENAME;
    case DO_UNLINK:
    case DO_READ:
        break;
    }
    return STEP_TIDY;
}

/* A file that is made aside: a checkpoint, an archive. */
static enum step step_of_made(enum operation operation, enum step create)
{
    switch (operation) {
    case DO_CREATE:
        return create;
    case DO_FILL:
    case DO_WRITE:
        return create + 1;
    case DO_SYNC:
        return create + 2;
    case DO_RENAME:
        return create + 3;
    case DO_UNLINK:
    case DO_READ:
        break;
    }
    return STEP_TIDY;
}

static enum step step_of_manifest(enum operation operation)
{
    return operation == DO_SYNC     ? STEP_MANIFEST_SYNC
           : operation == DO_RENAME ? STEP_MANIFEST_RENAME
           : operation == DO_UNLINK ? STEP_TIDY
                                    : STEP_MANIFEST_WRITE;
}

static enum step step_of(const struct step_disk *disk, enum operation operation,
                         const char *name, const char *to)
{
    bool aside = ends(name, ".new");

    if (disk->who == WHO_OPENER) {
        return step_of_opener(operation, name);
    }
    if (operation == DO_READ) {
        bool archive = begins(name, "archive-");

        return disk->who == WHO_BACKGROUND
                   ? (archive ? STEP_COMPACT_READ_ARCHIVE : STEP_COMPACT_READ_LOG)
                   : (archive ? STEP_COLD_READ_ARCHIVE : STEP_COLD_READ_LOG);
    }
    if (begins(name, "MANIFEST")) {
        return step_of_manifest(operation);
    }
    if (begins(name, "checkpoint-")) {
        return aside ? step_of_made(operation, STEP_CHECKPOINT_BEGIN)
                     : STEP_CHECKPOINT_OLD_UNLINK;
    }
    if (begins(name, "archive-")) {
        return aside ? step_of_made(operation, STEP_ARCHIVE_BEGIN) : STEP_REMOVE_ARCHIVE;
    }
    if (begins(name, "spare-")) {
        return step_of_segment(operation, true);
    }
    if (!begins(name, "log-")) {
        return STEP_OTHER;
    }
    if (aside) {
        return step_of_segment(operation, false);
    }
    if (operation == DO_RENAME && to != NULL && begins(to, "spare-")) {
        return STEP_REMOVE_RECYCLE;
    }
    return operation == DO_UNLINK ? STEP_REMOVE_LOG
           : operation == DO_SYNC ? STEP_LOG_SYNC
                                  : STEP_LOG_WRITE;
}

/* The sync of the directory belongs to the change of a name before it. */
static enum step step_of_name_sync(const struct step_disk *disk)
{
    switch (disk->named) {
    case STEP_SEGMENT_RENAME:
        return STEP_SEGMENT_NAME_SYNC;
    case STEP_RECYCLE_RENAME:
        return STEP_RECYCLE_NAME_SYNC;
    case STEP_CHECKPOINT_RENAME:
        return STEP_CHECKPOINT_NAME_SYNC;
    case STEP_MANIFEST_RENAME:
        return STEP_MANIFEST_NAME_SYNC;
    case STEP_CHECKPOINT_OLD_UNLINK:
        return STEP_CHECKPOINT_OLD_SYNC;
    case STEP_ARCHIVE_RENAME:
        return STEP_ARCHIVE_NAME_SYNC;
    case STEP_REMOVE_ARCHIVE:
    case STEP_REMOVE_LOG:
    case STEP_REMOVE_RECYCLE:
        return STEP_REMOVE_SYNC;
    default:
        return disk->named;
    }
}

/* ---- does it strike here? ---------------------------------------------------------------- */

enum verdict {
    PASS,
    REFUSE_FULL,
    FAIL_BELOW,
    END_BEFORE,
    END_MIDDLE,
    END_AFTER,
    FAIL_READ
};

static enum sim_end how_it_ends(const struct step_disk *disk)
{
    return disk->fault == FAULT_KILL_BEFORE || disk->fault == FAULT_KILL_AFTER
               ? SIM_KILL
               : SIM_POWER_CUT;
}

static void end_now(struct step_disk *disk)
{
    sim_disk_reseed(disk->sim, disk->dice);
    sim_disk_end_now(disk->sim, how_it_ends(disk));
}

bool step_wants_space(enum step step)
{
    switch (step) {
    case STEP_OPEN_FENCE:
    case STEP_OPEN_EXTEND:
    case STEP_SEGMENT_CREATE:
    case STEP_SEGMENT_FILL:
    case STEP_SEGMENT_RENAME:
    case STEP_RECYCLE_FILL:
    case STEP_RECYCLE_RENAME:
    case STEP_CHECKPOINT_BEGIN:
    case STEP_CHECKPOINT_WRITE:
    case STEP_CHECKPOINT_SYNC:
    case STEP_CHECKPOINT_RENAME:
    case STEP_MANIFEST_WRITE:
    case STEP_MANIFEST_SYNC:
    case STEP_MANIFEST_RENAME:
    case STEP_ARCHIVE_BEGIN:
    case STEP_ARCHIVE_WRITE:
    case STEP_ARCHIVE_SYNC:
    case STEP_ARCHIVE_RENAME:
        return true;
    default:
        return false;
    }
}

static enum verdict strike(struct step_disk *disk, enum step step, bool reads)
{
    uint64_t number = reads ? disk->reads++ : disk->changes++;

    disk->met[step]++;
    if (disk->steps[reads] != NULL && number < disk->step_capacity) {
        disk->steps[reads][number] = (uint8_t)step;
    }
    if (sim_disk_ended(disk->sim) || disk->cleared || disk->fault == FAULT_NONE ||
        reads != fault_is_read(disk->fault)) {
        return PASS;
    }
    if (disk->lasting) {
        if (disk->fault == FAULT_ENOSPC_LASTING || step != disk->struck) {
            return PASS; /* the simulated disk has no room left */
        }
        disk->struck_count++;
        return reads ? FAIL_READ : FAIL_BELOW;
    }
    if (!disk->armed || number < disk->at) {
        return PASS;
    }
    disk->armed = false;
    disk->struck = step;
    disk->struck_count = 1;
    switch (disk->fault) {
    case FAULT_CUT_BEFORE:
    case FAULT_KILL_BEFORE:
        return END_BEFORE;
    case FAULT_CUT_MIDDLE:
        return END_MIDDLE;
    case FAULT_CUT_AFTER:
    case FAULT_KILL_AFTER:
        return END_AFTER;
    case FAULT_ENOSPC_ONCE:
        return REFUSE_FULL;
    case FAULT_ENOSPC_LASTING:
        disk->lasting = true;
        sim_disk_set_capacity(disk->sim, sim_disk_used_bytes(disk->sim));
        return PASS;
    case FAULT_EIO_ONCE:
        return FAIL_BELOW;
    case FAULT_EIO_LASTING:
        disk->lasting = true;
        return FAIL_BELOW;
    case FAULT_READ_EIO_LASTING:
        disk->lasting = true;
        return FAIL_READ;
    case FAULT_READ_EIO_ONCE:
    case FAULT_READ_FLIP:
        return FAIL_READ;
    case FAULT_NONE:
    case FAULT_COUNT:
        break;
    }
    return PASS;
}

/* Before the call: 0 go on, or what it returns. */
static int before(struct step_disk *disk, enum verdict verdict, uint32_t sim_kinds)
{
    switch (verdict) {
    case REFUSE_FULL:
        return -ENOSPC;
    case FAIL_BELOW:
        sim_disk_fail(disk->sim, sim_kinds, 0, EIO, false);
        return 0;
    case FAIL_READ:
        return -EIO;
    case END_BEFORE:
        end_now(disk);
        return -EIO;
    case END_MIDDLE:
        sim_disk_reseed(disk->sim, disk->dice);
        sim_disk_end_at(disk->sim, 0, SIM_MIDDLE, SIM_POWER_CUT);
        return 0;
    case PASS:
    case END_AFTER:
        break;
    }
    return 0;
}

static int64_t after(struct step_disk *disk, enum verdict verdict, int64_t result)
{
    if (verdict == END_AFTER) {
        end_now(disk);
        return -EIO;
    }
    if (verdict == FAIL_BELOW) {
        sim_disk_fail_clear(disk->sim);
    }
    return result;
}

/* ---- the face ---------------------------------------------------------------------------- */

static const char *name_of(struct step_disk *disk, int32_t file)
{
    return file >= 0 && (uint32_t)file < disk->name_capacity ? disk->names[file] : "";
}

static void name_set(struct step_disk *disk, int32_t file, const char *name)
{
    if ((uint32_t)file >= disk->name_capacity) {
        uint32_t capacity = disk->name_capacity * 2 + 256;

        capacity = capacity <= (uint32_t)file ? (uint32_t)file + 1 : capacity;
        disk->names = realloc(disk->names, capacity * sizeof(disk->names[0]));
        if (disk->names == NULL) {
            abort();
        }
        disk->name_capacity = capacity;
    }
    strncpy(disk->names[file], name, sizeof(disk->names[0]) - 1);
    disk->names[file][sizeof(disk->names[0]) - 1] = '\0';
}

/* A name changes: open files keep their handles. */
static void name_move(struct step_disk *disk, const char *from, const char *to)
{
    uint32_t i;

    for (i = 0; i < disk->name_capacity; i++) {
        if (strcmp(disk->names[i], from) == 0) {
            name_set(disk, (int32_t)i, to);
        }
    }
}

static bool is_there(struct step_disk *disk, const char *name)
{
    uint32_t count = sim_disk_file_count(disk->sim), i;
    uint64_t bytes;

    for (i = 0; i < count; i++) {
        if (strcmp(sim_disk_file_name(disk->sim, i, &bytes), name) == 0) {
            return true;
        }
    }
    return false;
}

static int32_t step_open(void *context, const char *name, uint32_t flags)
{
    struct step_disk *disk = context;
    enum verdict verdict = PASS;
    int32_t file;

    if ((flags & WARP_FILE_CREATE) != 0 && !is_there(disk, name)) {
        int rc;

        verdict = strike(disk, step_of(disk, DO_CREATE, name, NULL), false);
        rc = before(disk, verdict, SIM_OPEN);
        if (rc != 0) {
            return rc;
        }
    }
    file = disk->below->ops->open(disk->below->context, name, flags);
    if (file >= 0) {
        name_set(disk, file, name);
    }
    if (verdict == END_AFTER && file >= 0) {
        disk->below->ops->close(disk->below->context, file);
    }
    return (int32_t)after(disk, verdict, file);
}

static void step_close(void *context, int32_t file)
{
    struct step_disk *disk = context;

    disk->below->ops->close(disk->below->context, file);
    if (file >= 0 && (uint32_t)file < disk->name_capacity) {
        disk->names[file][0] = '\0';
    }
}

static int64_t step_size(void *context, int32_t file)
{
    struct step_disk *disk = context;

    return disk->below->ops->size(disk->below->context, file);
}

static int step_allocate(void *context, int32_t file, uint64_t bytes)
{
    struct step_disk *disk = context;
    enum verdict verdict =
        strike(disk, step_of(disk, DO_FILL, name_of(disk, file), NULL), false);
    int rc = before(disk, verdict, SIM_ALLOCATE);

    return rc != 0
               ? rc
               : (int)after(disk, verdict,
                            disk->below->ops->allocate(disk->below->context, file, bytes));
}

static int step_truncate(void *context, int32_t file, uint64_t bytes)
{
    struct step_disk *disk = context;
    enum verdict verdict =
        strike(disk, step_of(disk, DO_FILL, name_of(disk, file), NULL), false);
    int rc = before(disk, verdict, SIM_ALLOCATE);

    return rc != 0
               ? rc
               : (int)after(disk, verdict,
                            disk->below->ops->truncate(disk->below->context, file, bytes));
}

static void flip(const struct step_disk *disk, void *buffer, int64_t bytes)
{
    if (bytes > 0) {
        uint64_t bit = disk->dice % ((uint64_t)bytes * 8);

        ((uint8_t *)buffer)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static int64_t step_read(void *context, int32_t file, void *buffer, size_t bytes,
                         uint64_t offset)
{
    struct step_disk *disk = context;
    enum verdict verdict =
        strike(disk, step_of(disk, DO_READ, name_of(disk, file), NULL), true);
    int64_t got;

    if (verdict == FAIL_READ && disk->fault != FAULT_READ_FLIP) {
        return -EIO;
    }
    got = disk->below->ops->read(disk->below->context, file, buffer, bytes, offset);
    if (verdict == FAIL_READ) {
        flip(disk, buffer, got);
    }
    return got;
}

static bool all_zero(const void *buffer, size_t bytes)
{
    const uint8_t *at = buffer;

    return bytes > 0 && at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0;
}

static enum step step_of_write(struct step_disk *disk, int32_t file, const void *buffer,
                               size_t bytes)
{
    enum step step = step_of(disk, DO_WRITE, name_of(disk, file), NULL);

    return step == STEP_LOG_WRITE && all_zero(buffer, bytes) ? STEP_SEGMENT_ZERO : step;
}

static int64_t step_write(void *context, int32_t file, const void *buffer, size_t bytes,
                          uint64_t offset, bool durable)
{
    struct step_disk *disk = context;
    enum verdict verdict = strike(disk, step_of_write(disk, file, buffer, bytes), false);
    int rc = before(disk, verdict, SIM_WRITE);

    return rc != 0 ? rc
                   : after(disk, verdict,
                           disk->below->ops->write(disk->below->context, file, buffer,
                                                   bytes, offset, durable));
}

static int step_sync(void *context, int32_t file)
{
    struct step_disk *disk = context;
    enum verdict verdict =
        strike(disk, step_of(disk, DO_SYNC, name_of(disk, file), NULL), false);
    int rc = before(disk, verdict, SIM_SYNC);

    return rc != 0 ? rc
                   : (int)after(disk, verdict,
                                disk->below->ops->sync(disk->below->context, file));
}

static int step_rename(void *context, const char *from, const char *to)
{
    struct step_disk *disk = context;
    enum step step = step_of(disk, DO_RENAME, from, to);
    enum verdict verdict = strike(disk, step, false);
    int rc = before(disk, verdict, SIM_NAME);

    if (rc != 0) {
        return rc;
    }
    rc = disk->below->ops->rename(disk->below->context, from, to);
    if (rc == 0) {
        disk->named = step;
        name_move(disk, from, to);
    }
    return (int)after(disk, verdict, rc);
}

static int step_unlink(void *context, const char *name)
{
    struct step_disk *disk = context;
    enum step step = step_of(disk, DO_UNLINK, name, NULL);
    enum verdict verdict = PASS;
    int rc;

    if (is_there(disk, name)) {
        verdict = strike(disk, step, false);
        rc = before(disk, verdict, SIM_NAME);
        if (rc != 0) {
            return rc;
        }
        disk->named = step;
    }
    return (int)after(disk, verdict, disk->below->ops->unlink(disk->below->context, name));
}

static int step_sync_directory(void *context)
{
    struct step_disk *disk = context;
    enum verdict verdict = strike(disk, step_of_name_sync(disk), false);
    int rc = before(disk, verdict, SIM_NAME | SIM_SYNC);

    return rc != 0 ? rc
                   : (int)after(disk, verdict,
                                disk->below->ops->sync_directory(disk->below->context));
}

static int step_list(void *context,
                     int (*visit)(void *visit_context, const char *name, uint64_t bytes),
                     void *visit_context)
{
    struct step_disk *disk = context;

    if (strike(disk, disk->who == WHO_OPENER ? STEP_OPEN_LIST : STEP_OTHER, true) ==
            FAIL_READ &&
        disk->fault != FAULT_READ_FLIP) {
        return -EIO;
    }
    return disk->below->ops->list(disk->below->context, visit, visit_context);
}

static int step_lock(void *context, const char *name, bool shared, char *holder,
                     size_t holder_bytes)
{
    struct step_disk *disk = context;

    return disk->below->ops->lock(disk->below->context, name, shared, holder, holder_bytes);
}

static void step_unlock(void *context)
{
    struct step_disk *disk = context;

    disk->below->ops->unlock(disk->below->context);
}

static int64_t step_free_bytes(void *context)
{
    struct step_disk *disk = context;

    return disk->below->ops->free_bytes(disk->below->context);
}

static uint32_t step_block_bytes(void *context, int32_t file)
{
    struct step_disk *disk = context;

    return disk->below->ops->block_bytes(disk->below->context, file);
}

static bool step_is_direct(void *context, int32_t file)
{
    struct step_disk *disk = context;

    return disk->below->ops->is_direct(disk->below->context, file);
}

static int step_queue_create(void *context, uint32_t depth, void **queue)
{
    struct step_disk *disk = context;

    return disk->below->ops->queue_create(disk->below->context, depth, queue);
}

static void step_queue_destroy(void *context, void **queue)
{
    struct step_disk *disk = context;

    disk->below->ops->queue_destroy(disk->below->context, queue);
}

static uint32_t step_submit_one(struct step_disk *disk, void *queue,
                                struct warp_io_request *request)
{
    bool reads = request->op == WARP_IO_READ;
    enum verdict verdict;
    enum step step;
    uint32_t taken;

    step = reads ? step_of(disk, DO_READ, name_of(disk, request->file), NULL)
           : request->op == WARP_IO_SYNC
               ? step_of(disk, DO_SYNC, name_of(disk, request->file), NULL)
               : step_of_write(disk, request->file, request->buffer, request->bytes);
    verdict = strike(disk, step, reads);
    if (verdict == END_BEFORE) {
        end_now(disk);
    }
    taken = disk->below->ops->submit(disk->below->context, queue, &request, 1);
    if (taken == 1 && (verdict == FAIL_READ || verdict == FAIL_BELOW)) {
        warp_assert(disk->hit_count < sizeof(disk->hit) / sizeof(disk->hit[0]));
        disk->hit[disk->hit_count++] = request;
    }
    if (verdict == END_MIDDLE || verdict == END_AFTER) {
        end_now(disk);
    }
    return taken;
}

static uint32_t step_submit(void *context, void *queue,
                            struct warp_io_request *const *requests, uint32_t count)
{
    struct step_disk *disk = context;
    uint32_t i;

    for (i = 0; i < count && step_submit_one(disk, queue, requests[i]) == 1; i++) {
    }
    return i;
}

static uint32_t step_reap(void *context, void *queue, struct warp_io_request **out,
                          uint32_t max, uint64_t wait_ns)
{
    struct step_disk *disk = context;
    uint32_t count = disk->below->ops->reap(disk->below->context, queue, out, max, wait_ns);
    uint32_t i, k;

    for (i = 0; i < count; i++) {
        for (k = 0; k < disk->hit_count && disk->hit[k] != out[i]; k++) {
        }
        if (k == disk->hit_count) {
            continue;
        }
        disk->hit[k] = disk->hit[--disk->hit_count];
        if (disk->fault == FAULT_READ_FLIP) {
            flip(disk, out[i]->buffer, out[i]->result);
        } else {
            out[i]->result = -EIO;
        }
    }
    return count;
}

static int step_queue_interrupt(void *context, void *queue)
{
    struct step_disk *disk = context;

    return disk->below->ops->queue_interrupt(disk->below->context, queue);
}

static const char *step_name(void *context)
{
    (void)context;
    return "simulated, step by step";
}

static const struct warp_disk_ops step_ops = {
    .open = step_open,
    .close = step_close,
    .size = step_size,
    .allocate = step_allocate,
    .truncate = step_truncate,
    .read = step_read,
    .write = step_write,
    .sync = step_sync,
    .rename = step_rename,
    .unlink = step_unlink,
    .sync_directory = step_sync_directory,
    .list = step_list,
    .lock = step_lock,
    .unlock = step_unlock,
    .free_bytes = step_free_bytes,
    .block_bytes = step_block_bytes,
    .is_direct = step_is_direct,
    .queue_create = step_queue_create,
    .queue_destroy = step_queue_destroy,
    .submit = step_submit,
    .reap = step_reap,
    .queue_interrupt = step_queue_interrupt,
    .name = step_name,
};

void step_disk_init(struct step_disk *disk, struct sim_disk *sim)
{
    memset(disk, 0, sizeof(*disk));
    disk->sim = sim;
    disk->below = sim_disk_face(sim);
    disk->face.ops = &step_ops;
    disk->face.context = disk;
    step_disk_reset(disk);
}

void step_disk_fini(struct step_disk *disk)
{
    free(disk->names);
}

void step_disk_reset(struct step_disk *disk)
{
    uint32_t i;

    step_disk_plan(disk, FAULT_NONE, 0, 0);
    memset(disk->met, 0, sizeof(disk->met));
    for (i = 0; i < disk->name_capacity; i++) {
        disk->names[i][0] = '\0';
    }
    disk->hit_count = 0;
    disk->named = STEP_OTHER;
    disk->who = WHO_OPENER;
}

void step_disk_plan(struct step_disk *disk, enum fault fault, uint64_t at, uint64_t dice)
{
    disk->fault = fault;
    disk->at = at;
    disk->dice = dice;
    disk->armed = fault != FAULT_NONE;
    disk->lasting = disk->cleared = false;
    disk->struck = STEP_COUNT;
    disk->struck_count = 0;
    disk->changes = disk->reads = 0;
}

void step_disk_clear(struct step_disk *disk)
{
    disk->cleared = true;
    disk->armed = false;
    if (disk->fault == FAULT_ENOSPC_LASTING) {
        sim_disk_set_capacity(disk->sim, UINT64_MAX / 2);
    }
}

void step_disk_tell(struct step_disk *disk, enum step step)
{
    enum verdict verdict = strike(disk, step, false);

    if (verdict == END_BEFORE || verdict == END_MIDDLE || verdict == END_AFTER) {
        end_now(disk);
    }
}
