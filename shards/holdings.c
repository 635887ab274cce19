#include "shards/holdings.h"

#include <string.h>

#include "base/counter.h"
#include "shards/ledger.h"
#include "shards/store.h"

#define HOLDINGS_CAPACITY_MIN 16u

void warp_holdings_init(struct warp_holdings *holdings, struct warp_memory *memory,
                        uint32_t segment_bytes)
{
    memset(holdings, 0, sizeof(*holdings));
    holdings->memory = memory;
    holdings->segment_bytes = segment_bytes;
    holdings->archive_next = 1;
}

void warp_holdings_fini(struct warp_holdings *holdings)
{
    warp_memory_release(holdings->memory, holdings->segments,
                        holdings->segment_capacity * sizeof(*holdings->segments));
    warp_memory_release(holdings->memory, holdings->archives,
                        holdings->archive_capacity * sizeof(*holdings->archives));
    memset(holdings, 0, sizeof(*holdings));
}

/* Room for `more` behind the last one. */
static int holdings_grow(struct warp_holdings *holdings, struct warp_holding **array,
                         uint32_t count, uint32_t *capacity, uint64_t more)
{
    uint64_t wanted = *capacity < HOLDINGS_CAPACITY_MIN ? HOLDINGS_CAPACITY_MIN : *capacity;
    struct warp_holding *grown;

    while (wanted < count + more) {
        wanted *= 2;
    }
    if (wanted == *capacity) {
        return 0;
    }
    if (wanted > UINT32_MAX) {
        return WARP_ENOMEM;
    }
    grown = warp_memory_reserve(holdings->memory, wanted * sizeof(*grown), 0);
    if (grown == NULL) {
        return WARP_ENOMEM;
    }
    if (count > 0) {
        memcpy(grown, *array, count * sizeof(*grown));
    }
    warp_memory_release(holdings->memory, *array, *capacity * sizeof(*grown));
    *array = grown;
    *capacity = (uint32_t)wanted;
    return 0;
}

static void holdings_count(struct warp_holdings *holdings,
                           const struct warp_holding *holding, bool in)
{
    struct warp_holdings_counters *counters = &holdings->counters;
    uint64_t sign = in ? 1 : UINT64_MAX;

    warp_counter_add(holding->archive ? &counters->archives : &counters->segments, sign);
    warp_counter_add(holding->archive ? &counters->archive_bytes : &counters->segment_bytes,
                     sign * holding->stored_bytes);
    if (holding->archive) {
        warp_counter_add(&counters->archive_raw_bytes, sign * holding->bytes);
    }
}

static void holdings_append_segment(struct warp_holdings *holdings, uint64_t index,
                                    uint64_t straddle_from)
{
    struct warp_holding *holding = &holdings->segments[holdings->segment_count++];

    *holding = (struct warp_holding){.index = index,
                                     .bytes = holdings->segment_bytes,
                                     .stored_bytes = (uint64_t)holdings->segment_bytes +
                                                     WARP_FILE_HEADER_BYTES,
                                     .straddle_from = straddle_from,
                                     .tried_live = UINT64_MAX};
    holdings_count(holdings, holding, true);
}

int warp_holdings_load(struct warp_holdings *holdings,
                       const struct warp_checkpoint *checkpoint)
{
    const struct warp_checkpoint_summary *summary = warp_checkpoint_summary(checkpoint);
    const struct warp_checkpoint_segment *segments = warp_checkpoint_segments(checkpoint);
    const struct warp_checkpoint_archive *archives = warp_checkpoint_archives(checkpoint);
    uint32_t i;

    warp_assert(holdings->segment_count == 0 && holdings->archive_count == 0);
    if (holdings_grow(holdings, &holdings->segments, 0, &holdings->segment_capacity,
                      summary->segment_count) < 0 ||
        holdings_grow(holdings, &holdings->archives, 0, &holdings->archive_capacity,
                      summary->archive_count) < 0) {
        return WARP_ENOMEM;
    }
    for (i = 1; i < summary->segment_count; i++) {
        if (segments[i].index <= segments[i - 1].index) {
            return WARP_EDAMAGED;
        }
    }
    for (i = 1; i < summary->archive_count; i++) {
        if (archives[i].number <= archives[i - 1].number) {
            return WARP_EDAMAGED;
        }
    }
    for (i = 0; i < summary->segment_count; i++) {
        holdings_append_segment(holdings, segments[i].index, segments[i].straddle_from);
    }
    for (i = 0; i < summary->archive_count; i++) {
        warp_holdings_add_archive(holdings, archives[i].number, archives[i].raw_bytes,
                                  archives[i].stored_bytes);
    }
    if (summary->archive_next > holdings->archive_next) {
        holdings->archive_next = (uint32_t)summary->archive_next;
    }
    return 0;
}

static int holdings_insert(struct warp_holdings *holdings,
                           const struct warp_holding *holding)
{
    struct warp_holding **array =
        holding->archive ? &holdings->archives : &holdings->segments;
    uint32_t *count =
        holding->archive ? &holdings->archive_count : &holdings->segment_count;
    uint32_t at;

    if (holdings_grow(holdings, array, *count,
                      holding->archive ? &holdings->archive_capacity
                                       : &holdings->segment_capacity,
                      1) < 0) {
        return WARP_ENOMEM;
    }
    for (at = *count; at > 0 && (*array)[at - 1].index > holding->index; at--) {
        (*array)[at] = (*array)[at - 1];
    }
    (*array)[at] = *holding;
    *count += 1;
    holdings_count(holdings, holding, true);
    return 0;
}

int warp_holdings_load_older(struct warp_holdings *holdings,
                             const struct warp_checkpoint *checkpoint, uint64_t newest)
{
    const struct warp_checkpoint_summary *summary = warp_checkpoint_summary(checkpoint);
    const struct warp_checkpoint_segment *segments = warp_checkpoint_segments(checkpoint);
    const struct warp_checkpoint_archive *archives = warp_checkpoint_archives(checkpoint);
    uint32_t i;

    for (i = 0; i < summary->segment_count; i++) {
        struct warp_holding holding = {.index = segments[i].index,
                                       .bytes = holdings->segment_bytes,
                                       .stored_bytes = (uint64_t)holdings->segment_bytes +
                                                       WARP_FILE_HEADER_BYTES,
                                       .straddle_from = segments[i].straddle_from,
                                       .empty_since = newest,
                                       .tried_live = UINT64_MAX};

        if (warp_holdings_find(holdings, false, holding.index) == NULL &&
            holdings_insert(holdings, &holding) < 0) {
            return WARP_ENOMEM;
        }
    }
    for (i = 0; i < summary->archive_count; i++) {
        struct warp_holding holding = {.index = archives[i].number,
                                       .bytes = archives[i].raw_bytes,
                                       .stored_bytes = archives[i].stored_bytes,
                                       .empty_since = newest,
                                       .tried_live = UINT64_MAX,
                                       .archive = true};

        if (warp_holdings_find(holdings, true, holding.index) == NULL &&
            holdings_insert(holdings, &holding) < 0) {
            return WARP_ENOMEM;
        }
    }
    return 0;
}

int warp_holdings_add_segments(struct warp_holdings *holdings, uint64_t from, uint64_t to)
{
    uint64_t next = from;

    if (holdings->segment_count > 0 &&
        holdings->segments[holdings->segment_count - 1].index >= next) {
        next = holdings->segments[holdings->segment_count - 1].index + 1;
    }
    if (next >= to) {
        return 0;
    }
    if (holdings_grow(holdings, &holdings->segments, holdings->segment_count,
                      &holdings->segment_capacity, to - next) < 0) {
        return WARP_ENOMEM;
    }
    for (; next < to; next++) {
        holdings_append_segment(holdings, next, next * holdings->segment_bytes);
    }
    return 0;
}

int warp_holdings_reserve_archive(struct warp_holdings *holdings)
{
    return holdings_grow(holdings, &holdings->archives, holdings->archive_count,
                         &holdings->archive_capacity, 1);
}

void warp_holdings_add_archive(struct warp_holdings *holdings, uint32_t number,
                               uint64_t raw_bytes, uint64_t stored_bytes)
{
    struct warp_holding *holding;

    warp_assert(holdings->archive_count < holdings->archive_capacity);
    warp_assert(holdings->archive_count == 0 ||
                holdings->archives[holdings->archive_count - 1].index < number);
    holding = &holdings->archives[holdings->archive_count++];
    *holding = (struct warp_holding){.index = number,
                                     .bytes = raw_bytes,
                                     .stored_bytes = stored_bytes,
                                     .tried_live = UINT64_MAX,
                                     .archive = true};
    holdings_count(holdings, holding, true);
    if (number >= holdings->archive_next) {
        holdings->archive_next = number + 1;
    }
}

struct warp_holding *warp_holdings_from(struct warp_holdings *holdings, bool archive,
                                        uint64_t index)
{
    struct warp_holding *array = archive ? holdings->archives : holdings->segments;
    uint32_t count = archive ? holdings->archive_count : holdings->segment_count;
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (array[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count ? &array[low] : NULL;
}

struct warp_holding *warp_holdings_find(struct warp_holdings *holdings, bool archive,
                                        uint64_t index)
{
    struct warp_holding *holding = warp_holdings_from(holdings, archive, index);

    return holding != NULL && holding->index == index ? holding : NULL;
}

void warp_holdings_remove(struct warp_holdings *holdings, bool archive, uint64_t index)
{
    struct warp_holding *holding = warp_holdings_find(holdings, archive, index);
    struct warp_holding *array = archive ? holdings->archives : holdings->segments;
    uint32_t *count = archive ? &holdings->archive_count : &holdings->segment_count;
    size_t at;

    warp_assert(holding != NULL);
    holdings_count(holdings, holding, false);
    at = (size_t)(holding - array);
    memmove(holding, holding + 1, (*count - at - 1) * sizeof(*holding));
    *count -= 1;
}

/* May checkpoint `number` refer to it? */
static bool holdings_concern(const struct warp_holding *holding, uint64_t number)
{
    return holding->empty_since == 0 || holding->empty_since > number;
}

int warp_holdings_tables(const struct warp_holdings *holdings, uint64_t number,
                         struct warp_holdings_tables *tables)
{
    uint32_t i;

    memset(tables, 0, sizeof(*tables));
    tables->segment_capacity = holdings->segment_count;
    tables->archive_capacity = holdings->archive_count;
    if (holdings->segment_count > 0) {
        tables->segments = warp_memory_reserve(
            holdings->memory, holdings->segment_count * sizeof(*tables->segments), 0);
    }
    if (holdings->archive_count > 0) {
        tables->archives = warp_memory_reserve(
            holdings->memory, holdings->archive_count * sizeof(*tables->archives), 0);
    }
    if ((holdings->segment_count > 0 && tables->segments == NULL) ||
        (holdings->archive_count > 0 && tables->archives == NULL)) {
        warp_holdings_tables_release(holdings, tables);
        return WARP_ENOMEM;
    }
    for (i = 0; i < holdings->segment_count; i++) {
        const struct warp_holding *holding = &holdings->segments[i];

        if (holdings_concern(holding, number)) {
            tables->segments[tables->segment_count++] =
                (struct warp_checkpoint_segment){.index = holding->index,
                                                 .straddle_from = holding->straddle_from,
                                                 .bytes = holding->bytes};
        }
    }
    for (i = 0; i < holdings->archive_count; i++) {
        const struct warp_holding *holding = &holdings->archives[i];

        if (holdings_concern(holding, number)) {
            tables->archives[tables->archive_count++] =
                (struct warp_checkpoint_archive){.number = (uint32_t)holding->index,
                                                 .raw_bytes = holding->bytes,
                                                 .stored_bytes = holding->stored_bytes};
        }
    }
    return 0;
}

void warp_holdings_tables_release(const struct warp_holdings *holdings,
                                  struct warp_holdings_tables *tables)
{
    warp_memory_release(holdings->memory, tables->segments,
                        tables->segment_capacity * sizeof(*tables->segments));
    warp_memory_release(holdings->memory, tables->archives,
                        tables->archive_capacity * sizeof(*tables->archives));
    memset(tables, 0, sizeof(*tables));
}

uint64_t warp_holdings_total(const struct warp_store *store,
                             const struct warp_holding *holding,
                             struct warp_holdings_totals *totals)
{
    uint64_t live = holding->archive ? warp_ledger_archive(store, (uint32_t)holding->index)
                                     : warp_ledger_segment(store, holding->index);

    totals->stored_bytes += holding->stored_bytes;
    totals->live_raw_bytes += live;
    if (holding->archive && live < holding->bytes) {
        /* Both are below 2^40 or so; their product is not below 2^64. */
        totals->live_bytes += (uint64_t)((double)holding->stored_bytes * (double)live /
                                         (double)holding->bytes);
    } else {
        totals->live_bytes += live < holding->stored_bytes ? live : holding->stored_bytes;
    }
    return live;
}

void warp_holdings_total_log(const struct warp_store *store, uint32_t segment_bytes,
                             uint64_t index, struct warp_holdings_totals *totals)
{
    totals->stored_bytes += (uint64_t)segment_bytes + WARP_FILE_HEADER_BYTES;
    totals->live_bytes += warp_ledger_segment(store, index);
    totals->live_raw_bytes += warp_ledger_segment(store, index);
}

uint64_t warp_holdings_amplification(const struct warp_holdings_totals *totals)
{
    if (totals->stored_bytes == 0) {
        return 1000;
    }
    if (totals->live_bytes == 0) {
        return UINT64_MAX;
    }
    return (uint64_t)((double)totals->stored_bytes * 1000 / (double)totals->live_bytes);
}
