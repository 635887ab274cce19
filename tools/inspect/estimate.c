/*
 * `warp verify --recovery-estimate`: what an open would have to read. Looks at the manifest, at header
 * and trailer of the newest checkpoint that passes, and at how long the log's files are. They are made
 * ahead of need, so how much of the last ones has been written is only known by reading them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/inspect/verify.h"
#include "tools/text.h"

static void estimate_json(const struct verify *v, const struct warp_checkpoint_summary *one,
                          uint64_t begin, uint64_t log_bytes)
{
    fputs("{\"path\":", stdout);
    if (warp_text_utf8_valid(v->tool.path, strlen(v->tool.path))) {
        warp_text_write_json_string(stdout, v->tool.path, strlen(v->tool.path));
    } else {
        fputs("null", stdout);
    }
    if (one == NULL) {
        fputs(",\"checkpoint\":null", stdout);
    } else {
        printf(",\"checkpoint\":{\"number\":%" PRIu64 ",\"records\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"begin\":%" PRIu64 ",\"made_ms\":%" PRIu64 "}",
               one->number, one->records, one->bytes, one->begin, one->made_ms);
    }
    printf(",\"log_begin\":%" PRIu64 ",\"log_bytes_max\":%" PRIu64 ",\"bytes_max\":%" PRIu64
           "}\n",
           begin, log_bytes, log_bytes + (one == NULL ? 0 : one->bytes));
}

static void estimate_text(const struct verify *v, const struct warp_checkpoint_summary *one,
                          uint64_t begin, uint64_t log_bytes)
{
    char a[WARP_TEXT_SHORT_BYTES], b[WARP_TEXT_SHORT_BYTES];

    printf("%s: an open would read\n", v->tool.path);
    if (one == NULL) {
        puts("  checkpoint          none");
    } else {
        time_t seconds = (time_t)(one->made_ms / 1000);
        char made[32] = "";
        struct tm utc;

        if (gmtime_r(&seconds, &utc) != NULL) {
            strftime(made, sizeof(made), ", of %Y-%m-%dT%H:%M:%SZ", &utc);
        }
        printf("  checkpoint          number %" PRIu64 ", %s, %s records%s\n", one->number,
               warp_text_size(a, one->bytes), warp_text_count(b, one->records), made);
    }
    printf("  log                 at most %s, from position %" PRIu64 " on\n",
           warp_text_size(a, log_bytes), begin);
    printf("  together            at most %s\n",
           warp_text_size(a, log_bytes + (one == NULL ? 0 : one->bytes)));
}

int warp_verify_estimate(struct verify *v)
{
    struct warp_checkpoint_summary found[VERIFY_CHECKPOINTS_MAX];
    const struct warp_checkpoint_summary *one = NULL;
    uint64_t begin = v->manifest.head_position, end;
    uint32_t count = 0, i;
    int rc;

    rc = warp_checkpoint_find(&v->disk, &v->memory, &v->manifest, true, found,
                              VERIFY_CHECKPOINTS_MAX, &count);
    if (rc < 0) {
        return warp_tool_error(&v->tool, "%s: looking for checkpoints: %s", v->tool.path,
                               warp_error_text(rc));
    }
    for (i = 0; i < count && one == NULL; i++) {
        if (found[i].records != UINT64_MAX &&
            found[i].number >= v->manifest.checkpoint_number) {
            one = &found[i];
        }
    }
    if (one == NULL && v->manifest.checkpoint_number != 0) {
        return warp_tool_error(&v->tool,
                               "%s: checkpoint %" PRIu64
                               ", which the MANIFEST counts on, is missing or damaged",
                               v->tool.path, v->manifest.checkpoint_number);
    }
    rc = warp_segments_init(&v->segments, &v->disk, &v->memory, &v->manifest, true, false);
    if (rc < 0) {
        return warp_tool_error(&v->tool, "%s: %s", v->tool.path, v->segments.message);
    }
    begin = one != NULL && one->begin > begin ? one->begin : begin;
    end = warp_segments_end(&v->segments);
    warp_segments_fini(&v->segments);
    if (v->tool.json) {
        estimate_json(v, one, begin, end > begin ? end - begin : 0);
    } else {
        estimate_text(v, one, begin, end > begin ? end - begin : 0);
    }
    return WARP_TOOL_DONE;
}
