#include "bench/slow.h"

void bench_slow_note(struct bench_slow_list *list, uint64_t begin_ns, uint64_t ns,
                     uint64_t kind)
{
    uint64_t place = list->count;

    if (ns < BENCH_SLOW_NS) {
        return;
    }
    list->over += ns > BENCH_SLOW_LIMIT_NS ? 1u : 0u;
    if (place == BENCH_SLOW_MAX) {
        place = 0;
        for (uint64_t i = 1; i < BENCH_SLOW_MAX; i++) {
            place = list->slow[i].ns < list->slow[place].ns ? i : place;
        }
        if (list->slow[place].ns >= ns) {
            return;
        }
    } else {
        list->count++;
    }
    list->slow[place].begin_ns = begin_ns;
    list->slow[place].ns = ns;
    list->slow[place].kind = kind;
}

void bench_slow_merge(struct bench_slow_list *into, const struct bench_slow_list *from)
{
    uint64_t over = into->over + from->over;

    for (uint64_t i = 0; i < from->count; i++) {
        bench_slow_note(into, from->slow[i].begin_ns, from->slow[i].ns, from->slow[i].kind);
    }
    into->over = over;
}

bool bench_slow_explained(const struct bench_slow *slow,
                          const struct bench_slow_list *device)
{
    uint64_t end_ns = slow->begin_ns + slow->ns;
    uint64_t sums[4] = {0}; /* each kind is probed beside the others */
    uint64_t longest = 0;

    for (uint64_t i = 0; i < device->count; i++) {
        const struct bench_slow *probed = &device->slow[i];
        uint64_t begin =
            probed->begin_ns > slow->begin_ns ? probed->begin_ns : slow->begin_ns;
        uint64_t end = probed->begin_ns + probed->ns;

        end = end < end_ns ? end : end_ns;
        if (end > begin) {
            sums[probed->kind % 4] += end - begin;
        }
    }
    for (uint32_t kind = 0; kind < 4; kind++) {
        longest = sums[kind] > longest ? sums[kind] : longest;
    }
    return longest >= slow->ns / 2;
}

uint64_t bench_slow_unexplained(const struct bench_slow_list *list,
                                const struct bench_slow_list *device)
{
    uint64_t count = 0;
    uint64_t listed = 0;

    for (uint64_t i = 0; i < list->count; i++) {
        if (list->slow[i].ns > BENCH_SLOW_LIMIT_NS) {
            listed++;
            count += bench_slow_explained(&list->slow[i], device) ? 0u : 1u;
        }
    }
    /* What did not fit into the list has nobody to speak for it. */
    return count + list->over - listed;
}
