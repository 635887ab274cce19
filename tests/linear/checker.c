#include "tests/linear/checker.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    NONE = UINT32_MAX,
    STEPS_PER_OPERATION = 2000, /* a right history takes one or two */
    STEPS_MIN = 2000000,
};

/*
 * The undone operations are a list in the order of their beginning. Those that may be next
 * are found by walking it until one begins after some walked one has ended. A step takes an
 * operation out of the list; the trail says in which order to put them back.
 */
struct search {
    struct linear_operation *operations;
    uint32_t count;
    uint32_t *next, *prior; /* one more element: the head, at index count */
    uint32_t *previous;     /* index of the one that must come before, or NONE */
    uint32_t *required_id, *set_id;
    bool *done;
    uint32_t *trail;
    uint32_t trail_count;

    /* By value number; 0 is absent. */
    int64_t *values;
    uint32_t value_count;
    uint32_t *needed;  /* undone operations that require it */
    uint32_t *writers; /* operations that set it, done or not */

    uint32_t state;
    uint64_t hash; /* of the set that is done */

    uint64_t *seen; /* open addressing; 0: free */
    uint64_t seen_count, seen_capacity;

    uint32_t *choices; /* candidates of all frames, one after the other */
    uint32_t choice_count, choice_capacity;

    uint32_t deepest; /* most operations ever done, and how it looked there */
    uint32_t *deepest_left;
    uint32_t deepest_left_count, deepest_state;
};

struct frame {
    uint32_t trail_count, state;
    uint32_t choice_first, choice_end, choice_next;
};

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static void *reserve(size_t count, size_t bytes)
{
    void *memory = calloc(count + 1, bytes);

    if (memory == NULL) {
        fprintf(stderr, "cannot test: no memory for the checker\n");
        exit(2);
    }
    return memory;
}

static int compare_begin(const void *a, const void *b)
{
    const struct linear_operation *left = a, *right = b;

    if (left->begin_ns != right->begin_ns) {
        return left->begin_ns < right->begin_ns ? -1 : 1;
    }
    return left->id < right->id ? -1 : left->id > right->id;
}

static int compare_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return left < right ? -1 : left > right;
}

static uint32_t search_value(const struct search *search, int64_t value)
{
    const int64_t *at;

    if (value == LINEAR_ABSENT) {
        return 0; /* the smallest of all: sorted first */
    }
    at = bsearch(&value, search->values, search->value_count, sizeof(*at), compare_value);
    return (uint32_t)(at - search->values);
}

struct id_place {
    uint64_t id;
    uint32_t index;
};

static int compare_id(const void *a, const void *b)
{
    const struct id_place *left = a, *right = b;

    return left->id < right->id ? -1 : left->id > right->id;
}

/* Values that no operation asks for are all the same to the search: one number for them. */
static void search_merge_unasked(struct search *search)
{
    bool *asked = reserve(search->value_count, sizeof(bool));
    uint32_t i, unasked = NONE;

    asked[0] = true;
    for (i = 0; i < search->count; i++) {
        if (search->operations[i].require != LINEAR_ANY) {
            asked[search->required_id[i]] = true;
        }
    }
    for (i = 0; i < search->count; i++) {
        if (search->operations[i].effect == LINEAR_SETS && !asked[search->set_id[i]]) {
            if (unasked == NONE) {
                unasked = search->set_id[i];
            }
            search->set_id[i] = unasked;
        }
    }
    free(asked);
}

static void search_init(struct search *search, struct linear_operation *operations,
                        uint32_t count)
{
    struct id_place *places, wanted, *found;
    uint32_t i, unique = 0, total = 0;

    memset(search, 0, sizeof(*search));
    qsort(operations, count, sizeof(operations[0]), compare_begin);
    search->operations = operations;
    search->count = count;
    search->next = reserve(count + 1, sizeof(uint32_t));
    search->prior = reserve(count + 1, sizeof(uint32_t));
    search->previous = reserve(count, sizeof(uint32_t));
    search->required_id = reserve(count, sizeof(uint32_t));
    search->set_id = reserve(count, sizeof(uint32_t));
    search->done = reserve(count, sizeof(bool));
    search->trail = reserve(count, sizeof(uint32_t));
    search->deepest_left = reserve(count, sizeof(uint32_t));
    search->values = reserve(2 * (size_t)count + 1, sizeof(int64_t));
    for (i = 0; i <= count; i++) {
        search->next[i] = i == count ? 0 : i + 1;
        search->prior[i] = i == 0 ? count : i - 1;
    }
    search->values[total++] = LINEAR_ABSENT;
    for (i = 0; i < count; i++) {
        if (operations[i].require != LINEAR_ANY) {
            search->values[total++] = operations[i].required;
        }
        if (operations[i].effect == LINEAR_SETS) {
            search->values[total++] = operations[i].set;
        }
    }
    qsort(search->values, total, sizeof(int64_t), compare_value);
    for (i = 0; i < total; i++) {
        if (i == 0 || search->values[i] != search->values[unique - 1]) {
            search->values[unique++] = search->values[i];
        }
    }
    search->value_count = unique;
    search->needed = reserve(unique, sizeof(uint32_t));
    search->writers = reserve(unique, sizeof(uint32_t));

    places = reserve(count, sizeof(*places));
    for (i = 0; i < count; i++) {
        places[i].id = operations[i].id;
        places[i].index = i;
    }
    qsort(places, count, sizeof(*places), compare_id);
    for (i = 0; i < count; i++) {
        if (operations[i].require != LINEAR_ANY) {
            search->required_id[i] = search_value(search, operations[i].required);
        }
        if (operations[i].require == LINEAR_IS) {
            search->needed[search->required_id[i]]++;
        }
        if (operations[i].effect == LINEAR_SETS) {
            search->set_id[i] = search_value(search, operations[i].set);
            search->writers[search->set_id[i]]++;
        }
        search->previous[i] = NONE;
        if (operations[i].previous != 0) {
            wanted.id = operations[i].previous;
            found = bsearch(&wanted, places, count, sizeof(*places), compare_id);
            search->previous[i] = found == NULL ? NONE : found->index;
        }
    }
    free(places);
    search_merge_unasked(search);
    search->seen_capacity = 1024;
    search->seen = reserve(search->seen_capacity, sizeof(uint64_t));
}

static void search_fini(struct search *search)
{
    free(search->next);
    free(search->prior);
    free(search->previous);
    free(search->required_id);
    free(search->set_id);
    free(search->done);
    free(search->trail);
    free(search->deepest_left);
    free(search->values);
    free(search->needed);
    free(search->writers);
    free(search->seen);
    free(search->choices);
}

/* True if this set and state have been here before; remembers them. */
static bool search_seen(struct search *search)
{
    uint64_t word = mix(search->hash ^ mix(~(uint64_t)search->state)) | 1;
    uint64_t at, i, *old = search->seen, old_capacity = search->seen_capacity;

    if (search->seen_count * 2 >= search->seen_capacity) {
        search->seen_capacity *= 2;
        search->seen = reserve(search->seen_capacity, sizeof(uint64_t));
        for (i = 0; i < old_capacity; i++) {
            if (old[i] != 0) {
                at = old[i] & (search->seen_capacity - 1) & ~(uint64_t)1;
                while (search->seen[at] != 0) {
                    at = (at + 1) & (search->seen_capacity - 1);
                }
                search->seen[at] = old[i];
            }
        }
        free(old);
    }
    at = word & (search->seen_capacity - 1) & ~(uint64_t)1;
    while (search->seen[at] != 0) {
        if (search->seen[at] == word) {
            return true;
        }
        at = (at + 1) & (search->seen_capacity - 1);
    }
    search->seen[at] = word;
    search->seen_count++;
    return false;
}

static void search_do(struct search *search, uint32_t index)
{
    search->next[search->prior[index]] = search->next[index];
    search->prior[search->next[index]] = search->prior[index];
    search->done[index] = true;
    search->hash ^= mix(index + 1);
    search->trail[search->trail_count++] = index;
    if (search->operations[index].require == LINEAR_IS) {
        search->needed[search->required_id[index]]--;
    }
    if (search->operations[index].effect == LINEAR_SETS) {
        search->state = search->set_id[index];
    }
}

static void search_undo(struct search *search, uint32_t trail_count, uint32_t state)
{
    uint32_t index;

    while (search->trail_count > trail_count) {
        index = search->trail[--search->trail_count];
        search->next[search->prior[index]] = index;
        search->prior[search->next[index]] = index;
        search->done[index] = false;
        search->hash ^= mix(index + 1);
        if (search->operations[index].require == LINEAR_IS) {
            search->needed[search->required_id[index]]++;
        }
    }
    search->state = state;
}

static bool search_fits(const struct search *search, uint32_t index)
{
    const struct linear_operation *operation = &search->operations[index];

    if (search->previous[index] != NONE && !search->done[search->previous[index]]) {
        return false;
    }
    switch (operation->require) {
    case LINEAR_ANY:
        return true;
    case LINEAR_IS:
        return search->state == search->required_id[index];
    case LINEAR_IS_NOT:
        return search->state != search->required_id[index];
    }
    return false;
}

/* May the state be left by this write, or must others still see it? */
static bool search_may_leave(const struct search *search, uint32_t index)
{
    uint32_t needed;

    if (search->state == 0 || search->writers[search->state] > 1) {
        return true; /* it can come back */
    }
    needed = search->needed[search->state];
    if (search->operations[index].require == LINEAR_IS &&
        search->required_id[index] == search->state) {
        needed--;
    }
    return needed == 0;
}

/* Do everything that changes nothing and fits. */
static void search_do_reads(struct search *search)
{
    bool again = true;

    while (again) {
        uint64_t end_ns = UINT64_MAX;
        uint32_t at = search->next[search->count];

        again = false;
        while (at != search->count && search->operations[at].begin_ns <= end_ns) {
            uint32_t following = search->next[at];

            if (search->operations[at].effect == LINEAR_READS && search_fits(search, at)) {
                search_do(search, at);
                again = true;
            } else if (search->operations[at].end_ns < end_ns) {
                end_ns = search->operations[at].end_ns;
            }
            at = following;
        }
    }
}

static void search_push_choices(struct search *search, struct frame *frame)
{
    uint64_t end_ns = UINT64_MAX;
    uint32_t at, i;

    frame->choice_first = search->choice_count;
    for (at = search->next[search->count];
         at != search->count && search->operations[at].begin_ns <= end_ns;
         at = search->next[at]) {
        const struct linear_operation *operation = &search->operations[at];

        if (operation->end_ns < end_ns) {
            end_ns = operation->end_ns;
        }
        if (operation->effect != LINEAR_SETS || !search_fits(search, at) ||
            !search_may_leave(search, at)) {
            continue;
        }
        if (search->choice_count == search->choice_capacity) {
            search->choice_capacity = search->choice_capacity * 2 + 64;
            search->choices =
                realloc(search->choices, search->choice_capacity * sizeof(uint32_t));
            if (search->choices == NULL) {
                fprintf(stderr, "cannot test: no memory for the checker\n");
                exit(2);
            }
        }
        i = search->choice_count++;
        while (i > frame->choice_first &&
               search->operations[search->choices[i - 1]].sequence > operation->sequence) {
            search->choices[i] = search->choices[i - 1];
            i--;
        }
        search->choices[i] = at;
    }
    frame->choice_end = search->choice_count;
    frame->choice_next = frame->choice_first;
}

static void search_note_deepest(struct search *search)
{
    uint32_t at;

    if (search->trail_count < search->deepest) {
        return;
    }
    search->deepest = search->trail_count;
    search->deepest_state = search->state;
    search->deepest_left_count = 0;
    for (at = search->next[search->count];
         at != search->count && search->deepest_left_count < 24; at = search->next[at]) {
        search->deepest_left[search->deepest_left_count++] = at;
    }
}

static void print_value(FILE *report, int64_t value)
{
    if (value == LINEAR_ABSENT) {
        fprintf(report, "absent");
    } else {
        fprintf(report, "%lld", (long long)value);
    }
}

static void print_operation(const struct linear_operation *operation, uint64_t base_ns,
                            FILE *report)
{
    static const char *const requires[] = {"in any state", "needs", "needs other than"};

    fprintf(report, "    %10lld %10lld  %-16s #%llx after #%llx %s ",
            (long long)(operation->begin_ns - base_ns),
            (long long)(operation->end_ns - base_ns), operation->name,
            (unsigned long long)operation->id, (unsigned long long)operation->previous,
            requires[operation->require]);
    if (operation->require != LINEAR_ANY) {
        print_value(report, operation->required);
    }
    if (operation->effect == LINEAR_SETS) {
        fprintf(report, ", sets ");
        print_value(report, operation->set);
    }
    fprintf(report, ", sequence %llu\n", (unsigned long long)operation->sequence);
}

static void search_report(const struct search *search, FILE *report)
{
    uint64_t base_ns = 0;
    uint32_t i, shown = 0;

    fprintf(report,
            "  no order explains more than %u of %u operations; there the state is ",
            search->deepest, search->count);
    print_value(report, search->values[search->deepest_state]);
    fprintf(report, " and these come next (begin and end in ns):\n");
    for (i = 0; i < search->deepest_left_count; i++) {
        const struct linear_operation *operation =
            &search->operations[search->deepest_left[i]];

        if (i == 0) {
            base_ns = operation->begin_ns;
        }
        print_operation(operation, base_ns, report);
    }
    for (i = 0; i < search->count && shown < 4 && search->deepest_state != 0; i++) {
        if (search->operations[i].require == LINEAR_IS &&
            search->required_id[i] == search->deepest_state) {
            if (shown++ == 0) {
                fprintf(report, "  that state is seen by\n");
            }
            print_operation(&search->operations[i], base_ns, report);
        }
    }
}

/* A value that was seen but never written needs no search. */
static bool search_written(const struct search *search, FILE *report)
{
    uint32_t i;

    for (i = 0; i < search->count; i++) {
        if (search->operations[i].require == LINEAR_IS && search->required_id[i] != 0 &&
            search->writers[search->required_id[i]] == 0) {
            if (report != NULL) {
                fprintf(report, "  %s #%llx saw ", search->operations[i].name,
                        (unsigned long long)search->operations[i].id);
                print_value(report, search->operations[i].required);
                fprintf(report, ", which was never written\n");
            }
            return false;
        }
    }
    return true;
}

enum linear_verdict linear_check(struct linear_operation *operations, uint32_t count,
                                 FILE *report)
{
    enum linear_verdict verdict = LINEAR_WRONG;
    uint64_t steps = 0, steps_max = (uint64_t)count * STEPS_PER_OPERATION;
    struct search search;
    struct frame *frames;
    uint32_t depth = 0;
    bool forward = true;

    if (steps_max < STEPS_MIN) {
        steps_max = STEPS_MIN;
    }
    search_init(&search, operations, count);
    frames = reserve(count + 1, sizeof(frames[0]));
    if (!search_written(&search, report)) {
        goto done;
    }
    for (;;) {
        struct frame *frame = &frames[depth];

        if (forward) {
            search_do_reads(&search);
            search_note_deepest(&search);
            if (search.trail_count == count) {
                verdict = LINEAR_RIGHT;
                break;
            }
            frame->trail_count = search.trail_count;
            frame->state = search.state;
            search_push_choices(&search, frame);
            if (search_seen(&search)) {
                frame->choice_next = frame->choice_end;
            }
        }
        if (frame->choice_next < frame->choice_end) {
            search_do(&search, search.choices[frame->choice_next++]);
            depth++;
            forward = true;
            if (++steps > steps_max) {
                verdict = LINEAR_UNDECIDED;
                break;
            }
            continue;
        }
        search.choice_count = frame->choice_first;
        if (depth == 0) {
            break;
        }
        depth--;
        search_undo(&search, frames[depth].trail_count, frames[depth].state);
        forward = false;
    }
    if (verdict != LINEAR_RIGHT && report != NULL) {
        search_report(&search, report);
    }
done:
    free(frames);
    search_fini(&search);
    return verdict;
}
