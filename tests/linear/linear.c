/*
 * tests/linear/linear.c - records what real threads see of a few hot keys, and checks it.
 *
 * Threads write and read the same keys through the blocking calls and through sessions, so that
 * leases taken by callers and requests run from mailboxes meet on the same records. Each call is
 * noted with the time it began and ended and what came of it; afterwards each key's history is
 * given to the checker. In three of four histories the slots of the keys change their shards all the
 * while, so that requests meet the old one and are sent on. All values are decimal numbers that nobody writes twice. Beside that:
 * a write that began after another had ended has a larger sequence, over all keys; a value is
 * seen with the sequence that its writer was told.
 *
 * The checker is tried first, on histories made up around known orders: it must accept
 * those, and find a stale read, a lost update and a condition that held twice when they are
 * planted.
 *
 *     linear [--histories N] [--operations N] [--threads N] [--keys N] [--seed N] [--limit-s N]
 *            [--durability memory|interval|commit] [--control-only]
 *
 * --threads 0 (the default) draws 2 to 8 for each history, --keys 0 draws 1 to 4.
 */
#include "tests/engine/support.h"

#include <pthread.h>

#include "base/hash.h"
#include "tests/engine/tiny.h"
#include "tests/linear/checker.h"

enum { THREADS_MAX = 16, KEYS_MAX = 16, DEPTH_MAX = 16, TEXT_BYTES = 24 };

/* ---- what a thread notes ------------------------------------------------------------- */

struct note {
    struct linear_operation operation;
    uint32_t key;
    bool writes_value; /* its sequence is that of operation.set */
    bool reads_value;  /* its sequence is that of operation.required */
    bool void_;        /* nothing was done */
};

struct known { /* what a thread last saw of a key, to make conditions that may hold */
    int64_t value;
    uint64_t sequence;
    int64_t sequence_value;
    uint64_t last_in_session; /* id */
};

enum action {
    ACTION_GET,
    ACTION_PUT,
    ACTION_PUT_IF_ABSENT,
    ACTION_PUT_IF_PRESENT,
    ACTION_PUT_IF_VALUE,
    ACTION_PUT_IF_SEQUENCE,
    ACTION_DELETE,
    ACTION_DELETE_IF_VALUE,
    ACTION_ADD,
    ACTION_COUNT
};

static const char *const action_names[ACTION_COUNT] = {
    "get",          "put",        "put if absent", "put if present",
    "put if value", "put if seq", "delete",        "delete if value",
    "add",
};
static const uint32_t action_weights[ACTION_COUNT] = {34, 14, 8, 6, 10, 6, 8, 4, 10};

struct history {
    struct warp *db;
    uint64_t seed;
    uint32_t thread_count, key_count, operation_count; /* per thread */
    uint32_t durability;
    char keys[KEYS_MAX][48];
    pthread_barrier_t start;
    bool moves; /* slots change their shard meanwhile */
    _Atomic uint32_t over;
};

struct worker {
    struct history *history;
    uint32_t number;
    bool session; /* through a session, else blocking calls */
    struct support_random random;
    struct note *notes;
    uint32_t note_count, note_capacity;
    int64_t unique;
    struct known known[KEYS_MAX];
    int failed; /* an answer that no operation may give */
    char failure[128];
};

struct draft { /* one request being made */
    enum action action;
    uint32_t key;
    int64_t argument, condition_value;
    char value[TEXT_BYTES], if_value[TEXT_BYTES];
    struct warp_write how;
    struct note *note;
};

static struct note *worker_note(struct worker *worker, uint32_t key, const char *name)
{
    struct note *note;

    if (worker->note_count == worker->note_capacity) {
        support_die("a thread noted too much");
    }
    note = &worker->notes[worker->note_count++];
    memset(note, 0, sizeof(*note));
    note->key = key;
    note->operation.name = name;
    note->operation.id = ((uint64_t)(worker->number + 1) << 32) + worker->note_count;
    return note;
}

static void worker_failed(struct worker *worker, const char *what, int rc)
{
    if (worker->failed == 0) {
        snprintf(worker->failure, sizeof(worker->failure), "%s: %d (%s)", what, rc,
                 warp_error_text(rc));
        worker->failed = rc == 0 ? 1 : rc;
    }
}

static int64_t worker_unique(struct worker *worker)
{
    worker->unique++;
    return (int64_t)(((uint64_t)worker->unique * THREADS_MAX + worker->number) << 36);
}

static struct warp_slice history_key(const struct history *history, uint32_t key)
{
    return support_text(history->keys[key]);
}

static bool number_read(struct warp_slice text, int64_t *number)
{
    char copy[TEXT_BYTES];
    char *end;

    if (text.bytes == 0 || text.bytes >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    *number = strtoll(copy, &end, 10);
    return *end == '\0';
}

static void draft_make(struct worker *worker, struct draft *draft)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct support_random *random = &worker->random;
    struct known *known;
    uint64_t dice = support_random_below(random, 100);
    uint32_t action;

    for (action = 0; dice >= action_weights[action]; action++) {
        dice -= action_weights[action];
    }
    draft->action = (enum action)action;
    draft->key = (uint32_t)support_random_below(random, worker->history->key_count);
    known = &worker->known[draft->key];
    draft->how = how_init;
    draft->how.durability =
        support_random_chance(random, 50) ? WARP_COMMIT : worker->history->durability;
    draft->argument = worker_unique(worker);
    draft->condition_value = known->value;
    switch (draft->action) {
    case ACTION_GET:
    case ACTION_PUT:
    case ACTION_DELETE:
    case ACTION_COUNT:
        break;
    case ACTION_PUT_IF_ABSENT:
        draft->how.condition = WARP_IF_ABSENT;
        break;
    case ACTION_PUT_IF_PRESENT:
        draft->how.condition = WARP_IF_PRESENT;
        break;
    case ACTION_PUT_IF_VALUE:
    case ACTION_DELETE_IF_VALUE:
        draft->how.condition = WARP_IF_VALUE;
        snprintf(draft->if_value, sizeof(draft->if_value), "%" PRId64, known->value);
        draft->how.if_value = support_text(draft->if_value);
        break;
    case ACTION_PUT_IF_SEQUENCE:
        draft->how.condition = WARP_IF_SEQUENCE;
        draft->how.if_sequence = known->sequence;
        draft->condition_value = known->sequence_value;
        break;
    case ACTION_ADD:
        draft->argument =
            (int64_t)support_random_between(random, 1, (UINT64_C(1) << 32) - 1);
        break;
    }
    snprintf(draft->value, sizeof(draft->value), "%" PRId64, draft->argument);
    draft->note = worker_note(worker, draft->key, action_names[draft->action]);
}

/* Note what came of it: what the answer says about the state before and after. */
static void draft_answered(struct worker *worker, struct draft *draft, int rc,
                           uint64_t sequence, int64_t number)
{
    struct linear_operation *operation = &draft->note->operation;
    struct known *known = &worker->known[draft->key];
    bool held = rc == 0;

    if (rc == WARP_AGAIN) {
        draft->note->void_ = true;
        return;
    }
    if (rc != 0 && rc != (draft->action == ACTION_GET || draft->action == ACTION_DELETE
                              ? WARP_ABSENT
                              : WARP_CONFLICT)) {
        worker_failed(worker, action_names[draft->action], rc);
        draft->note->void_ = true;
        return;
    }
    operation->effect = held && draft->action != ACTION_GET ? LINEAR_SETS : LINEAR_READS;
    operation->set = draft->argument;
    switch (draft->action) {
    case ACTION_GET:
        operation->require = LINEAR_IS;
        operation->required = held ? number : LINEAR_ABSENT;
        draft->note->reads_value = held;
        break;
    case ACTION_PUT:
        operation->require = LINEAR_ANY;
        draft->note->writes_value = true;
        break;
    case ACTION_PUT_IF_ABSENT:
        operation->require = held ? LINEAR_IS : LINEAR_IS_NOT;
        operation->required = LINEAR_ABSENT;
        draft->note->writes_value = held;
        break;
    case ACTION_PUT_IF_PRESENT:
        operation->require = held ? LINEAR_IS_NOT : LINEAR_IS;
        operation->required = LINEAR_ABSENT;
        draft->note->writes_value = held;
        break;
    case ACTION_PUT_IF_VALUE:
    case ACTION_PUT_IF_SEQUENCE:
        operation->require = held ? LINEAR_IS : LINEAR_IS_NOT;
        operation->required = draft->condition_value;
        draft->note->writes_value = held;
        break;
    case ACTION_DELETE:
        operation->require = held ? LINEAR_IS_NOT : LINEAR_IS;
        operation->required = LINEAR_ABSENT;
        operation->set = LINEAR_ABSENT;
        break;
    case ACTION_DELETE_IF_VALUE:
        operation->require = held ? LINEAR_IS : LINEAR_IS_NOT;
        operation->required = draft->condition_value;
        operation->set = LINEAR_ABSENT;
        break;
    case ACTION_ADD:
        operation->require = LINEAR_IS;
        operation->required =
            number == draft->argument ? LINEAR_ABSENT : number - draft->argument;
        operation->set = number;
        draft->note->writes_value = sequence != 0;
        break;
    case ACTION_COUNT:
        break;
    }
    if (held) {
        operation->sequence = sequence;
        if (draft->action == ACTION_GET || draft->action == ACTION_ADD) {
            known->value = number;
        } else if (operation->set != LINEAR_ABSENT) {
            known->value = operation->set;
        }
        if (sequence != 0 && operation->set != LINEAR_ABSENT) {
            known->sequence = sequence;
            known->sequence_value = known->value;
        }
    }
}

/* ---- through the blocking calls ------------------------------------------------------ */

static int read_borrowed(struct worker *worker, struct warp_value *value,
                         uint64_t *sequence, int64_t *number)
{
    struct warp_slice text = {value->data, value->bytes};

    if (!number_read(text, number)) {
        worker_failed(worker, "a value that is no number", 0);
    }
    *sequence = value->sequence;
    warp_return(value);
    return 0;
}

static void worker_read(struct worker *worker, struct draft *draft)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    struct warp_value value = value_init;
    struct warp_slice key = history_key(worker->history, draft->key), text;
    uint64_t sequence = 0;
    int64_t number = 0;
    char buffer[64];
    size_t bytes = 0;
    int rc;

    draft->note->operation.begin_ns = support_now_ns();
    if (support_random_chance(&worker->random, 2)) {
        rc = warp_get(worker->history->db, key, buffer, sizeof(buffer), &bytes, &sequence);
        draft->note->operation.end_ns = support_now_ns();
        text = support_slice(buffer, bytes);
        if (rc == 0 && !number_read(text, &number)) {
            worker_failed(worker, "a value that is no number", 0);
        }
    } else {
        rc = warp_borrow(worker->history->db, key, &value);
        draft->note->operation.end_ns = support_now_ns();
        if (rc == 0) {
            read_borrowed(worker, &value, &sequence, &number);
        }
    }
    draft_answered(worker, draft, rc, sequence, number);
}

static void worker_blocking_one(struct worker *worker)
{
    struct history *history = worker->history;
    struct draft draft;
    struct warp_slice key;
    uint64_t sequence = 0;
    int64_t number = 0;
    int rc;

    draft_make(worker, &draft);
    if (draft.action == ACTION_GET) {
        worker_read(worker, &draft);
        return;
    }
    key = history_key(history, draft.key);
    draft.note->operation.begin_ns = support_now_ns();
    if (draft.action == ACTION_ADD) {
        rc = warp_add(history->db, key, draft.argument, &draft.how, &number);
    } else if (draft.action == ACTION_DELETE || draft.action == ACTION_DELETE_IF_VALUE) {
        rc = warp_delete(history->db, key, &draft.how, &sequence);
    } else {
        rc = warp_put(history->db, key, support_text(draft.value), &draft.how, &sequence);
    }
    draft.note->operation.end_ns = support_now_ns();
    draft_answered(worker, &draft, rc, sequence, number);
}

/* All keys in one call: for each key one read with the same begin and end. */
static void worker_multi_get(struct worker *worker)
{
    struct history *history = worker->history;
    struct warp_slice keys[KEYS_MAX];
    struct warp_value values[KEYS_MAX];
    struct draft drafts[KEYS_MAX];
    int results[KEYS_MAX];
    uint64_t begin_ns, end_ns, sequence;
    int64_t number;
    uint32_t i;
    int rc;

    for (i = 0; i < history->key_count; i++) {
        keys[i] = history_key(history, i);
    }
    begin_ns = support_now_ns();
    rc = warp_multi_get(history->db, keys, history->key_count, values, results);
    end_ns = support_now_ns();
    if (rc != 0) {
        worker_failed(worker, "multi-get", rc);
        return;
    }
    for (i = 0; i < history->key_count; i++) {
        drafts[i].action = ACTION_GET;
        drafts[i].key = i;
        drafts[i].argument = 0;
        drafts[i].note = worker_note(worker, i, "multi-get");
        drafts[i].note->operation.begin_ns = begin_ns;
        drafts[i].note->operation.end_ns = end_ns;
        sequence = 0;
        number = 0;
        if (results[i] == 0) {
            read_borrowed(worker, &values[i], &sequence, &number);
        }
        draft_answered(worker, &drafts[i], results[i], sequence, number);
    }
}

/* A batch over all keys: for each key one write with the same begin and end. */
static void worker_batch(struct worker *worker)
{
    struct history *history = worker->history;
    struct warp_batch *batch = NULL;
    struct note *notes[KEYS_MAX];
    uint64_t begin_ns, end_ns, sequence = 0;
    char text[TEXT_BYTES];
    uint32_t i;
    int rc;

    rc = warp_batch_create(history->db, &batch);
    for (i = 0; i < history->key_count && rc == 0; i++) {
        notes[i] = worker_note(worker, i, "batch");
        notes[i]->operation.effect = LINEAR_SETS;
        notes[i]->operation.require = LINEAR_ANY;
        if (support_random_chance(&worker->random, 5)) {
            notes[i]->operation.set = LINEAR_ABSENT;
            rc = warp_batch_delete(batch, history_key(history, i));
        } else {
            notes[i]->operation.set = worker_unique(worker);
            snprintf(text, sizeof(text), "%" PRId64, notes[i]->operation.set);
            rc = warp_batch_put(batch, history_key(history, i), support_text(text), 0);
        }
    }
    if (rc != 0) {
        support_die("a batch cannot be made: %d", rc);
    }
    begin_ns = support_now_ns();
    rc = warp_batch_commit(batch, NULL, &sequence);
    end_ns = support_now_ns();
    for (i = 0; i < history->key_count; i++) {
        notes[i]->operation.begin_ns = begin_ns;
        notes[i]->operation.end_ns = end_ns;
        notes[i]->void_ = rc != 0;
    }
    if (rc == 0) {
        i = history->key_count - 1;
        notes[i]->operation.sequence = sequence;
        notes[i]->writes_value = notes[i]->operation.set != LINEAR_ABSENT;
    } else if (rc != WARP_AGAIN) {
        worker_failed(worker, "batch", rc);
    }
    warp_batch_destroy(&batch);
}

static void worker_blocking(struct worker *worker)
{
    uint32_t i;

    for (i = 0; i < worker->history->operation_count && worker->failed == 0;) {
        if (support_random_chance(&worker->random, 40)) {
            worker_multi_get(worker);
            i += worker->history->key_count;
        } else if (support_random_chance(&worker->random, 60)) {
            worker_batch(worker);
            i += worker->history->key_count;
        } else {
            worker_blocking_one(worker);
            i++;
        }
    }
}

/* ---- through a session --------------------------------------------------------------- */

static void session_request(struct worker *worker, struct draft *draft, uint32_t place,
                            struct warp_request *request)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;

    *request = request_init;
    request->cookie = place;
    request->key = history_key(worker->history, draft->key);
    request->value = support_text(draft->value);
    request->delta = draft->argument;
    request->how = &draft->how;
    if (draft->action == ACTION_GET) {
        request->opcode = WARP_OP_GET;
        request->how = NULL;
    } else if (draft->action == ACTION_ADD) {
        request->opcode = WARP_OP_ADD;
    } else if (draft->action == ACTION_DELETE || draft->action == ACTION_DELETE_IF_VALUE) {
        request->opcode = WARP_OP_DELETE;
    } else {
        request->opcode = WARP_OP_PUT;
    }
}

static void session_completed(struct worker *worker, struct draft *draft,
                              struct warp_completion *completion, uint64_t now_ns)
{
    uint64_t sequence = completion->sequence;
    int64_t number = completion->number;

    draft->note->operation.end_ns = now_ns;
    if (draft->action == ACTION_GET && completion->result == 0) {
        read_borrowed(worker, &completion->value, &sequence, &number);
    }
    draft_answered(worker, draft, completion->result, sequence, number);
}

static void worker_session(struct worker *worker)
{
    struct history *history = worker->history;
    struct warp_session *session = NULL;
    struct warp_completion completions[DEPTH_MAX];
    struct warp_request request;
    struct draft drafts[DEPTH_MAX];
    bool busy[DEPTH_MAX] = {false};
    uint32_t depth = (uint32_t)support_random_between(&worker->random, 1, DEPTH_MAX);
    uint32_t in_flight = 0, made = 0, place, i;
    uint64_t now_ns;
    int rc;

    rc = warp_session_create(history->db, depth, &session);
    if (rc != 0) {
        worker_failed(worker, "session", rc);
        return;
    }
    while ((made < history->operation_count && worker->failed == 0) || in_flight > 0) {
        uint32_t more = (uint32_t)support_random_between(&worker->random, 1, 4);

        while (more-- > 0 && in_flight < depth && made < history->operation_count &&
               worker->failed == 0) {
            struct draft *draft;

            for (place = 0; busy[place]; place++) {
            }
            draft = &drafts[place];
            draft_make(worker, draft);
            session_request(worker, draft, place, &request);
            draft->note->operation.begin_ns = support_now_ns();
            rc = warp_submit(session, &request, 1);
            if (rc < 0) {
                worker_failed(worker, "submit", rc);
            }
            if (rc != 1) { /* not taken: it never was */
                worker->note_count--;
                break;
            }
            draft->note->operation.previous = worker->known[draft->key].last_in_session;
            worker->known[draft->key].last_in_session = draft->note->operation.id;
            busy[place] = true;
            in_flight++;
            made++;
        }
        rc = warp_poll(session, completions, DEPTH_MAX,
                       support_random_chance(&worker->random, 2) ? UINT64_MAX : 0);
        now_ns = support_now_ns();
        if (rc < 0) {
            worker_failed(worker, "poll", rc);
            break;
        }
        for (i = 0; i < (uint32_t)rc; i++) {
            place = (uint32_t)completions[i].cookie;
            if (place >= DEPTH_MAX || !busy[place]) {
                worker_failed(worker, "a completion nobody waits for", 0);
                break;
            }
            session_completed(worker, &drafts[place], &completions[i], now_ns);
            busy[place] = false;
            in_flight--;
        }
    }
    warp_session_destroy(&session);
}

static void *worker_main(void *context)
{
    struct worker *worker = context;

    pthread_barrier_wait(&worker->history->start);
    if (worker->session) {
        worker_session(worker);
    } else {
        worker_blocking(worker);
    }
    return NULL;
}

/* ---- checks over all keys ------------------------------------------------------------ */

static int compare_begin(const void *a, const void *b)
{
    const struct note *left = *(struct note *const *)a, *right = *(struct note *const *)b;

    return left->operation.begin_ns < right->operation.begin_ns
               ? -1
               : left->operation.begin_ns > right->operation.begin_ns;
}

static int compare_end(const void *a, const void *b)
{
    const struct note *left = *(struct note *const *)a, *right = *(struct note *const *)b;

    return left->operation.end_ns < right->operation.end_ns
               ? -1
               : left->operation.end_ns > right->operation.end_ns;
}

static int compare_written(const void *a, const void *b)
{
    const struct note *left = *(struct note *const *)a, *right = *(struct note *const *)b;

    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    return left->operation.set < right->operation.set
               ? -1
               : left->operation.set > right->operation.set;
}

/* A write that begins after another has ended has the larger sequence. */
static bool check_sequences(struct note **writes, uint32_t count, FILE *report)
{
    struct note **ended = malloc((count + 1) * sizeof(*ended));
    uint64_t highest = 0;
    uint32_t i, k = 0;
    bool right = true;

    if (ended == NULL) {
        support_die("no memory");
    }
    memcpy(ended, writes, count * sizeof(*ended));
    qsort(writes, count, sizeof(*writes), compare_begin);
    qsort(ended, count, sizeof(*ended), compare_end);
    for (i = 0; i < count && right; i++) {
        while (k < count && ended[k]->operation.end_ns < writes[i]->operation.begin_ns) {
            if (ended[k]->operation.sequence > highest) {
                highest = ended[k]->operation.sequence;
            }
            k++;
        }
        if (writes[i]->operation.sequence <= highest) {
            fprintf(report,
                    "  %s #%" PRIx64 " got sequence %" PRIu64 ", but %" PRIu64
                    " had been given before it began\n",
                    writes[i]->operation.name, writes[i]->operation.id,
                    writes[i]->operation.sequence, highest);
            right = false;
        }
    }
    free(ended);
    return right;
}

/* What was read with a sequence was written with it. */
static bool check_pairs(struct note **writes, uint32_t write_count, struct note **reads,
                        uint32_t read_count, FILE *report)
{
    struct note wanted, *wanted_at = &wanted, **found;
    uint32_t i;

    qsort(writes, write_count, sizeof(*writes), compare_written);
    for (i = 0; i + 1 < write_count; i++) { /* sums may meet by chance: those say nothing */
        if (compare_written(&writes[i], &writes[i + 1]) == 0) {
            return true;
        }
    }
    for (i = 0; i < read_count; i++) {
        wanted.key = reads[i]->key;
        wanted.operation.set = reads[i]->operation.required;
        found = bsearch(&wanted_at, writes, write_count, sizeof(*writes), compare_written);
        if (found != NULL && (*found)->operation.sequence != reads[i]->operation.sequence) {
            fprintf(report,
                    "  %s #%" PRIx64 " saw %" PRId64 " with sequence %" PRIu64
                    ", but it was written with %" PRIu64 "\n",
                    reads[i]->operation.name, reads[i]->operation.id,
                    reads[i]->operation.required, reads[i]->operation.sequence,
                    (*found)->operation.sequence);
            return false;
        }
    }
    return true;
}

static bool check_over_keys(struct worker *workers, uint32_t thread_count, FILE *report)
{
    struct note **writes, **reads;
    uint32_t total = 0, write_count = 0, read_count = 0, i, k;
    bool right;

    for (i = 0; i < thread_count; i++) {
        total += workers[i].note_count;
    }
    writes = malloc((total + 1) * sizeof(*writes));
    reads = malloc((total + 1) * sizeof(*reads));
    if (writes == NULL || reads == NULL) {
        support_die("no memory");
    }
    for (i = 0; i < thread_count; i++) {
        for (k = 0; k < workers[i].note_count; k++) {
            struct note *note = &workers[i].notes[k];

            if (note->void_ || note->operation.sequence == 0) {
                continue;
            }
            if (note->operation.effect == LINEAR_SETS) {
                writes[write_count++] = note;
            } else if (note->reads_value) {
                reads[read_count++] = note;
            }
        }
    }
    right = check_sequences(writes, write_count, report);
    k = 0;
    for (i = 0; i < write_count; i++) {
        if (writes[i]->writes_value) {
            writes[k++] = writes[i];
        }
    }
    right = right && check_pairs(writes, k, reads, read_count, report);
    free(writes);
    free(reads);
    return right;
}

/* One key's operations, in the checker's form. */
static uint32_t collect(struct worker *workers, uint32_t thread_count, uint32_t key,
                        struct linear_operation *out)
{
    uint32_t count = 0, i, k;

    for (i = 0; i < thread_count; i++) {
        uint64_t skipped_id = 0, skipped_previous = 0;

        for (k = 0; k < workers[i].note_count; k++) {
            struct note *note = &workers[i].notes[k];

            if (note->key != key) {
                continue;
            }
            if (skipped_id != 0 && note->operation.previous == skipped_id) {
                note->operation.previous = skipped_previous;
            }
            if (note->void_) {
                skipped_id = note->operation.id;
                skipped_previous = note->operation.previous;
                continue;
            }
            out[count++] = note->operation;
        }
    }
    return count;
}

/* A write without a sequence of its own has one if somebody read its value with it: a hint. */
static void hint(struct linear_operation *operations, uint32_t count)
{
    struct pair {
        int64_t value;
        uint64_t sequence;
    } *pairs = malloc((count + 1) * sizeof(*pairs));
    uint32_t capacity = 1, i, at;

    free(pairs);
    while (capacity < 2 * count + 2) {
        capacity *= 2;
    }
    pairs = calloc(capacity, sizeof(*pairs));
    if (pairs == NULL) {
        support_die("no memory");
    }
    for (i = 0; i < count; i++) {
        if (operations[i].effect == LINEAR_READS && operations[i].sequence != 0) {
            at = (uint32_t)support_mix((uint64_t)operations[i].required) & (capacity - 1);
            while (pairs[at].sequence != 0 && pairs[at].value != operations[i].required) {
                at = (at + 1) & (capacity - 1);
            }
            pairs[at].value = operations[i].required;
            pairs[at].sequence = operations[i].sequence;
        }
    }
    for (i = 0; i < count; i++) {
        if (operations[i].effect == LINEAR_SETS && operations[i].sequence == 0) {
            at = (uint32_t)support_mix((uint64_t)operations[i].set) & (capacity - 1);
            while (pairs[at].sequence != 0 && pairs[at].value != operations[i].set) {
                at = (at + 1) & (capacity - 1);
            }
            operations[i].sequence = pairs[at].sequence;
        }
    }
    free(pairs);
}

/* ---- one history --------------------------------------------------------------------- */

/* The slots of the keys, to whatever shard, with a little time in between or none. */
static void *mover_main(void *context)
{
    struct history *history = context;
    struct support_random random = {history->seed ^ 0x6d6f7665u};

    while (atomic_load_explicit(&history->over, memory_order_relaxed) == 0) {
        struct warp_slice key = history_key(
            history, (uint32_t)support_random_below(&random, history->key_count));
        int rc = warp_engine_move_slot(
            history->db, warp_hash_slot(key.data, key.bytes),
            (uint32_t)support_random_below(&random, history->db->store->shard_count));

        if (rc != 0 && rc != WARP_AGAIN) {
            support_die("a move: %d (%s)", rc, warp_error_text(rc));
        }
        if (support_random_chance(&random, 2)) {
            support_sleep_ns(support_random_below(&random, 100000));
        }
    }
    return NULL;
}

static bool history_run(struct history *history, uint64_t *total)
{
    struct worker *workers = calloc(history->thread_count, sizeof(*workers));
    struct linear_operation *operations;
    struct support_random random = {history->seed};
    pthread_t threads[THREADS_MAX], mover;
    uint32_t i, key, count, all = 0;
    enum linear_verdict verdict;
    bool right = true;

    if (workers == NULL) {
        support_die("no memory");
    }
    pthread_barrier_init(&history->start, NULL, history->thread_count);
    for (i = 0; i < history->thread_count; i++) {
        workers[i].history = history;
        workers[i].number = i;
        workers[i].session = support_random_chance(&random, 2);
        workers[i].random.state = support_random_next(&random);
        workers[i].note_capacity = history->operation_count + KEYS_MAX + 64;
        workers[i].notes = calloc(workers[i].note_capacity, sizeof(struct note));
        if (workers[i].notes == NULL) {
            support_die("no memory");
        }
        if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0) {
            support_die("no thread");
        }
    }
    if (history->moves && pthread_create(&mover, NULL, mover_main, history) != 0) {
        support_die("no thread");
    }
    for (i = 0; i < history->thread_count; i++) {
        pthread_join(threads[i], NULL);
        all += workers[i].note_count;
    }
    if (history->moves) {
        atomic_store(&history->over, 1);
        pthread_join(mover, NULL);
    }
    pthread_barrier_destroy(&history->start);
    *total += all;
    for (i = 0; i < history->thread_count; i++) {
        if (workers[i].failed != 0) {
            fprintf(stderr, "  thread %u (%s): %s\n", i,
                    workers[i].session ? "session" : "blocking", workers[i].failure);
            right = false;
        }
    }
    right = right && check_over_keys(workers, history->thread_count, stderr);
    operations = malloc((all + 1) * sizeof(*operations));
    if (operations == NULL) {
        support_die("no memory");
    }
    for (key = 0; key < history->key_count && right; key++) {
        count = collect(workers, history->thread_count, key, operations);
        hint(operations, count);
        verdict = linear_check(operations, count, stderr);
        if (verdict != LINEAR_RIGHT) {
            fprintf(stderr, "  key %s: %s\n", history->keys[key],
                    verdict == LINEAR_WRONG ? "not linearizable" : "undecided");
            right = false;
        }
    }
    free(operations);
    for (i = 0; i < history->thread_count; i++) {
        free(workers[i].notes);
    }
    free(workers);
    return right;
}

static void open_database(struct warp **db, const char *directory,
                          struct support_random *random, uint32_t durability)
{
    static const struct warp_options options_init = WARP_OPTIONS_INIT;
    struct warp_options options = options_init;
    char message[256] = "";
    int rc;

    options.shard_count = (uint32_t)support_random_between(random, 1, 3);
    options.durability = durability;
    options.read_durable = (uint32_t)support_random_below(random, 3);
    options.io_backend = (uint32_t)support_random_below(random, 2);
    options.segment_bytes = 4 << 20;
    options.spin_us = (uint32_t)support_random_below(random, 3);
    if (support_random_chance(random, 2)) {
        options.write_path = (uint32_t)support_random_below(random, 3);
        options.wormholes = support_random_chance(random, 3) ? 2 : 1;
    }
    options.message = message;
    options.message_bytes = sizeof(message);
    rc = tiny_open(directory, &options, support_random_chance(random, 4) ? 0 : 1, db);
    if (rc != 0) {
        support_die("open: %d (%s): %s", rc, warp_error_text(rc), message);
    }
}

/* ---- the test of the test ------------------------------------------------------------ */

enum plant {
    PLANT_NOTHING,
    PLANT_STALE_READ,
    PLANT_LOST_UPDATE,
    PLANT_HELD_TWICE,
    PLANT_COUNT
};

struct moment {
    uint64_t at_ns;
    uint32_t index;
};

static int compare_moment(const void *a, const void *b)
{
    const struct moment *left = a, *right = b;

    return left->at_ns < right->at_ns ? -1 : left->at_ns > right->at_ns;
}

static struct linear_operation *made_up_add(struct linear_operation *operations,
                                            uint32_t *count, uint64_t at_ns)
{
    struct linear_operation *operation = &operations[*count];

    memset(operation, 0, sizeof(*operation));
    operation->id = ++*count;
    operation->begin_ns = at_ns;
    operation->end_ns = at_ns + 100;
    operation->name = "planted";
    return operation;
}

/* Two operations, after all the others have ended, that cannot be. */
static void made_up_plant(struct linear_operation *operations, uint32_t *count,
                          uint64_t end_ns, enum plant plant, struct support_random *random)
{
    struct linear_operation *first, *second;
    int64_t value = (int64_t)support_random_below(random, 1u << 30) + (INT64_C(1) << 60);

    first = made_up_add(operations, count, end_ns + 1000); /* a known state */
    first->effect = LINEAR_SETS;
    first->set = value;
    switch (plant) {
    case PLANT_NOTHING:
        break;
    case PLANT_COUNT:
        break;
    case PLANT_STALE_READ:
        second = made_up_add(operations, count, end_ns + 2000);
        second->effect = LINEAR_SETS;
        second->set = value + 1;
        second = made_up_add(operations, count, end_ns + 3000);
        second->require = LINEAR_IS;
        second->required = value;
        break;
    case PLANT_LOST_UPDATE:
        second = made_up_add(operations, count, end_ns + 2000);
        second->require = LINEAR_IS;
        second->required = value;
        second->effect = LINEAR_SETS;
        second->set = value + 1;
        second = made_up_add(operations, count, end_ns + 2050); /* it overlaps */
        second->require = LINEAR_IS;
        second->required = value;
        second->effect = LINEAR_SETS;
        second->set = value + 2;
        break;
    case PLANT_HELD_TWICE:
        first->set = LINEAR_ABSENT;
        second = made_up_add(operations, count, end_ns + 2000);
        second->require = LINEAR_IS;
        second->required = LINEAR_ABSENT;
        second->effect = LINEAR_SETS;
        second->set = value + 1;
        second = made_up_add(operations, count, end_ns + 2050);
        second->require = LINEAR_IS;
        second->required = LINEAR_ABSENT;
        second->effect = LINEAR_SETS;
        second->set = value + 2;
        break;
    }
}

/* A history around a known order: random intervals, each with the moment it takes effect. */
static uint32_t made_up(struct linear_operation *operations, uint32_t count,
                        uint32_t clients, enum plant plant, bool hints,
                        struct support_random *random)
{
    struct moment *moments = malloc(count * sizeof(*moments));
    uint64_t *clocks = calloc(clients, sizeof(*clocks));
    int64_t state = LINEAR_ABSENT;
    uint64_t end_ns = 0, moved, planted_end_ns = 0;
    uint32_t i, total = 0, plant_at = count / 2, planted_count;
    struct linear_operation planted[4];

    if (moments == NULL || clocks == NULL) {
        support_die("no memory");
    }
    for (i = 0; i < count; i++) {
        uint32_t client = (uint32_t)support_random_below(random, clients);
        struct linear_operation *operation = &operations[i];

        memset(operation, 0, sizeof(*operation));
        operation->begin_ns = clocks[client] + support_random_below(random, 200);
        moments[i].at_ns = operation->begin_ns + support_random_below(random, 1000);
        moments[i].index = i;
        operation->end_ns = moments[i].at_ns + support_random_below(random, 1000);
        operation->id = i + 1;
        operation->name = "made up";
        clocks[client] = operation->end_ns + 1;
    }
    qsort(moments, count, sizeof(*moments), compare_moment);
    for (i = 0; i < count; i++) {
        struct linear_operation *operation = &operations[moments[i].index];
        int64_t unique = ((int64_t)i + 1) << 32;
        uint64_t dice = support_random_below(random, 100);

        operation->require = LINEAR_IS;
        operation->required = state;
        if (dice < 40) {
            operation->effect = LINEAR_READS;
        } else {
            operation->effect = LINEAR_SETS;
            operation->set = dice < 50 ? LINEAR_ABSENT : unique;
            if (dice < 80) {
                operation->require = LINEAR_ANY;
            } else if (dice < 85) {
                operation->require = LINEAR_IS_NOT;
                operation->required = unique;
            }
            operation->sequence = hints ? i + 1 : 0;
            state = operation->set;
        }
    }
    total = count;
    if (plant != PLANT_NOTHING) { /* in the middle: the second half moves back in time */
        memset(planted, 0, sizeof(planted));
        planted_count = 0;
        for (i = 0; i < plant_at; i++) {
            if (operations[moments[i].index].end_ns > end_ns) {
                end_ns = operations[moments[i].index].end_ns;
            }
        }
        for (i = 0; i < total; i++) {
            if (operations[i].begin_ns <= end_ns && operations[i].end_ns > planted_end_ns) {
                planted_end_ns = operations[i].end_ns;
            }
        }
        made_up_plant(planted, &planted_count, planted_end_ns, plant, random);
        moved = 10000;
        for (i = 0; i < count; i++) {
            if (operations[i].begin_ns > planted_end_ns) {
                operations[i].begin_ns += moved;
                operations[i].end_ns += moved;
            }
        }
        for (i = 0; i < planted_count; i++) {
            operations[total] = planted[i];
            operations[total].id = total + 1;
            total++;
        }
    }
    free(moments);
    free(clocks);
    return total;
}

static uint64_t control(uint64_t seed, uint32_t rounds, uint32_t operation_count)
{
    struct linear_operation *operations =
        malloc(((size_t)operation_count + 4) * sizeof(*operations));
    struct support_random random = {seed};
    uint64_t failed = 0, undecided = 0;
    uint32_t round, count, clients;
    enum linear_verdict verdict;
    int plant;

    if (operations == NULL) {
        support_die("no memory");
    }
    for (round = 0; round < rounds; round++) {
        for (plant = PLANT_NOTHING; plant < PLANT_COUNT; plant++) {
            clients = (uint32_t)support_random_between(&random, 1,
                                                       plant == PLANT_NOTHING ? 32 : 8);
            count = made_up(operations, operation_count, clients, (enum plant)plant,
                            round % 4 != 0, &random);
            verdict = linear_check(operations, count, NULL);
            /* Without hints and with many clients the search may give up: that is said. */
            if (verdict == LINEAR_UNDECIDED && plant == PLANT_NOTHING) {
                undecided++;
            } else if (verdict != (plant == PLANT_NOTHING ? LINEAR_RIGHT : LINEAR_WRONG)) {
                fprintf(stderr, "control: seed %" PRIu64 ", round %u, plant %d: %s\n", seed,
                        round, plant,
                        verdict == LINEAR_RIGHT   ? "accepted"
                        : verdict == LINEAR_WRONG ? "refused"
                                                  : "undecided");
                failed++;
            }
        }
    }
    free(operations);
    printf("control: %u made-up histories accepted, %u planted errors found, %" PRIu64
           " undecided, %" PRIu64 " wrong\n",
           rounds, rounds * (PLANT_COUNT - 1), undecided, failed);
    return failed + (undecided > rounds / 4);
}

int main(int count, char **words)
{
    static const char *const with_value[] = {
        "--histories", "--operations", "--threads",    "--keys",
        "--seed",      "--limit-s",    "--durability", NULL};
    static const char *const alone[] = {"--control-only", NULL};
    static const char *const levels[] = {"", "memory", "interval", "commit"};
    struct support_random random;
    struct tiny_totals tiny = {0};
    struct history history;
    struct warp *db = NULL;
    char directory[SUPPORT_PATH_BYTES];
    uint64_t seed, histories, operations, threads, keys, total = 0, passed = 0, failed = 0,
                                                         i;
    const char *level;
    uint32_t fixed = 0, key, moving = 0;

    support_flags_known(count, words, with_value, alone);
    seed = support_flag(count, words, "--seed", 1);
    histories = support_flag(count, words, "--histories", SUPPORT_SANITIZED ? 3 : 10);
    operations = support_flag(count, words, "--operations", 10000);
    threads = support_flag(count, words, "--threads", 0);
    keys = support_flag(count, words, "--keys", 0);
    level = support_flag_text(count, words, "--durability", "");
    for (fixed = 0; fixed < 4 && strcmp(levels[fixed], level) != 0; fixed++) {
    }
    if (fixed == 4 || threads > THREADS_MAX || keys > KEYS_MAX) {
        support_die(
            "--durability is memory, interval or commit; at most %d threads, %d keys",
            THREADS_MAX, KEYS_MAX);
    }
    support_limit((unsigned)support_flag(count, words, "--limit-s", 900), "linear", seed);
    failed = control(seed, 16, 2000);
    passed = failed == 0;
    if (support_flag_given(count, words, "--control-only") || failed != 0) {
        printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
        return failed == 0 ? 0 : 1;
    }
    random.state = support_mix(seed);
    support_directory(directory, "linear");
    for (i = 0; i < histories; i++) {
        memset(&history, 0, sizeof(history));
        history.seed = support_random_next(&random);
        history.durability =
            fixed != 0 ? fixed : (uint32_t)support_random_between(&random, 1, 3);
        history.thread_count = threads != 0
                                   ? (uint32_t)threads
                                   : (uint32_t)support_random_between(&random, 2, 8);
        history.key_count =
            keys != 0 ? (uint32_t)keys : (uint32_t)support_random_between(&random, 1, 4);
        history.operation_count =
            (uint32_t)((operations + history.thread_count - 1) / history.thread_count);
        for (key = 0; key < history.key_count; key++) {
            snprintf(history.keys[key], sizeof(history.keys[key]), "h%" PRIu64 "-%u", i,
                     key);
        }
        if (i % 3 == 0) {
            if (db != NULL) {
                tiny_count(&tiny, db);
            }
            warp_close(&db);
            support_remove(directory);
        }
        if (db == NULL) {
            open_database(&db, directory, &random, history.durability);
        }
        history.db = db;
        history.moves = i % 4 != 3;
        moving += history.moves && db->store->shard_count > 1;
        if (history_run(&history, &total)) {
            passed++;
        } else {
            failed++;
            fprintf(stderr,
                    "linear: seed %" PRIu64 ", history %" PRIu64 ": %u threads, %u keys, "
                    "durability %u: wrong\n",
                    seed, i, history.thread_count, history.key_count, history.durability);
        }
    }
    if (db != NULL) {
        tiny_count(&tiny, db);
    }
    warp_close(&db);
    support_remove(directory);
    if (!tiny_report(&tiny, "linear") && histories >= 10) {
        failed++; /* that was no test of cold values */
    }
    printf("linear: %" PRIu64 " slots moved, %" PRIu64 " writes sent on\n", tiny.moves,
           tiny.forwards);
    if ((tiny.moves == 0 || tiny.forwards == 0) && moving >= 6) {
        failed++; /* nor of moves */
    }
    printf("linear: seed %" PRIu64 ": %" PRIu64 " histories, %" PRIu64 " operations\n",
           seed, histories, total);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
