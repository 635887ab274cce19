/*
 * A read-only database knows no durable mark: there the files say how far the log goes, and nobody
 * is writing.
 */
#include "engine/verify.h"

#include <string.h>

#include "base/thread.h"
#include "wal/audit.h"
#include "wal/wal.h"

#define VERIFY_PROGRESS_BYTES 1048576u

struct engine_verify {
    struct warp *db;
    const struct warp_verify_options *options;
    uint64_t begun_ns, done, told;
    int ended; /* by progress */
};

static void verify_damaged(void *context, const struct warp_audit_damage *damage)
{
    const struct engine_verify *verify = context;
    struct warp_verify_damage out = {.file = damage->file,
                                     .offset = damage->offset,
                                     .bytes = damage->bytes,
                                     .position = damage->position,
                                     .what = damage->what};

    if (verify->options->damage != NULL) {
        verify->options->damage(verify->options->context, &out);
    }
}

/* Sleep until as much time has passed as that many bytes may take. */
static void verify_rest(const struct engine_verify *verify)
{
    const struct warp_env *env = &verify->db->env;
    _Atomic uint32_t word = 0;
    double due_ns, passed_ns;

    if (!env->threads) {
        env->wait(env->context); /* others may run meanwhile */
        return;
    }
    if (verify->options->bytes_per_s == 0) {
        return;
    }
    due_ns = (double)verify->done * 1e9 / (double)verify->options->bytes_per_s;
    passed_ns = (double)(warp_clock_ns(env->clock) - verify->begun_ns);
    if (due_ns > passed_ns) {
        (void)warp_park(&word, 0, (uint64_t)(due_ns - passed_ns), UINT32_MAX);
    }
}

static int verify_pace(void *context, uint64_t bytes_more, uint64_t total)
{
    struct engine_verify *verify = context;

    verify->done += bytes_more;
    verify_rest(verify);
    if (verify->options->progress != NULL &&
        verify->done - verify->told >= VERIFY_PROGRESS_BYTES) {
        verify->told = verify->done;
        verify->ended = verify->options->progress(
            verify->options->context, verify->done < total ? verify->done : total, total);
    }
    return verify->ended != 0 ? WARP_EBUSY : 0;
}

int warp_engine_verify(struct warp *db, const struct warp_verify_options *options,
                       struct warp_verify_report *report)
{
    struct engine_verify verify = {
        .db = db, .options = options, .begun_ns = warp_clock_ns(db->env.clock)};
    struct warp_audit_report found;
    struct warp_manifest constant;
    struct warp_audit_config config = {
        .disk = &db->disk,
        .memory = &db->memory,
        .manifest = &constant,
        .durable =
            db->wal == NULL ? UINT64_MAX : warp_sequence_durable(&db->wal->writer.sequence),
        .direct = db->segments.direct,
        .damaged = verify_damaged,
        .pace = verify_pace,
        .context = &verify,
    };
    int rc;

    /* db->manifest is the background's; this is what never changes, and where the log begins. */
    memset(&constant, 0, sizeof(constant));
    memcpy(constant.id, db->segments.id, sizeof(constant.id));
    constant.segment_bytes = db->segments.segment_bytes;
    constant.epoch = UINT32_MAX;
    constant.head_position = warp_segments_begin(&db->segments);
    rc = warp_audit(&config, &found);
    report->damages = found.damages;
    report->files = found.files;
    report->files_gone = found.files_gone;
    report->bytes = found.bytes;
    report->frames = found.frames;
    report->log_end = found.durable;
    if (verify.ended != 0) {
        return verify.ended;
    }
    return rc == 0 && found.damages > 0 ? WARP_EDAMAGED : rc;
}
