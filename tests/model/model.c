/*
 * tests/model/model.c - random operations on the engine beside a simple reference.
 *
 * The reference is an array of keys, each with what its value should be; values are recipes
 * (a seed and a length, or a number), so that it costs no memory to remember them. Every
 * call of warp.h that touches data is made at random: put, get, delete and add with all
 * conditions, time to live, borrow with loans held across later writes, multi-get, batches,
 * sessions with many requests in flight on few keys, flush, count, visit. Now and then the
 * database is closed and opened with other options and its whole content is compared; mostly with
 * hardly any room for values, so that they are read from disk.
 *
 * Time to live has margins: a record that may expire about now is only looked at, with
 * either answer accepted; tests/engine/test_expiry.c has the exact edges.
 *
 *     model [--seed N] [--operations N] [--keys N] [--huge-one-in N] [--limit-s N] [--verbose]
 */
#include "tests/engine/support.h"
#include "tests/engine/tiny.h"

enum {
    BURST_MAX = 64,
    LOANS_MAX = 32,
    BATCH_MAX = 300,
    MULTI_MAX = 200,
    LOG_BYTES_MAX = 192 << 20, /* written so much: start again with an empty database */
    SURE_MS = 200,             /* a record with so long to live is there without doubt */
    GONE_MS = 20,              /* one that should have gone so long ago is not */
};

/* ---- the reference ------------------------------------------------------------------- */

struct content {
    bool number;
    int64_t amount; /* number: decimal text of this */
    uint64_t seed;  /* else: so many bytes of this seed */
    size_t bytes;
};

struct record {
    uint8_t *key;
    size_t key_bytes;
    bool present;
    struct content content;
    uint64_t sequence;        /* 0: not known */
    uint64_t floor;           /* its sequence is above this */
    uint64_t expires_from_ms; /* both 0: never */
    uint64_t expires_until_ms;
    uint64_t written_in_burst; /* number of the last burst that wrote it */
    uint64_t visited_in_walk;
    const void *expiry_plan; /* the request of this burst that decided when it expires */
};

enum life { LIFE_ABSENT, LIFE_SURE, LIFE_TWILIGHT };

struct loan {
    struct warp_value value;
    struct content content;
    bool held;
};

struct model {
    struct support_random random;
    uint64_t seed;
    bool verbose;
    char directory[SUPPORT_PATH_BYTES];
    struct warp *db;
    struct warp_session *session;
    uint32_t session_depth;
    uint32_t segment_bytes;
    bool read_only;

    struct record *records;
    uint32_t *table; /* key to record, open addressing; UINT32_MAX: free */
    uint32_t record_count, table_count;

    struct loan loans[LOANS_MAX];
    uint64_t floor; /* the newest sequence seen: later writes are above it */
    uint64_t burst_number, walk_number, opens_for_writing;
    uint64_t log_bytes;
    uint64_t huge_one_in;
    uint64_t operation, passed;
    uint64_t
        lapsed; /* records that expired since the last open and may wait for the sweep */
    uint64_t made[16]; /* how many of each kind, for the report */
    struct tiny_totals tiny;
};

__attribute__((format(printf, 2, 3), noreturn)) static void fail(struct model *model,
                                                                 const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "model: seed %" PRIu64 ", operation %" PRIu64 ": ", model->seed,
            model->operation);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n  (database kept in %s)\n", model->directory);
    fflush(stderr);
    printf("%" PRIu64 " passed, 1 failed\n", model->passed);
    fflush(stdout);
    _exit(1);
}

__attribute__((format(printf, 2, 3))) static void say(struct model *model,
                                                      const char *format, ...)
{
    va_list arguments;

    if (model->verbose) {
        va_start(arguments, format);
        fprintf(stderr, "%" PRIu64 ": ", model->operation);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
    }
}

static uint64_t key_hash(const void *key, size_t bytes)
{
    const uint8_t *from = key;
    uint64_t hash = 14695981039346656037u;
    size_t i;

    for (i = 0; i < bytes; i++) {
        hash = (hash ^ from[i]) * 1099511628211u;
    }
    return support_mix(hash);
}

/* The place in the table where this key is or would be. */
static uint32_t *model_place(struct model *model, const void *key, size_t bytes)
{
    uint32_t at = (uint32_t)key_hash(key, bytes) & (model->table_count - 1);

    while (model->table[at] != UINT32_MAX) {
        const struct record *record = &model->records[model->table[at]];

        if (record->key_bytes == bytes && memcmp(record->key, key, bytes) == 0) {
            break;
        }
        at = (at + 1) & (model->table_count - 1);
    }
    return &model->table[at];
}

static void model_make_keys(struct model *model)
{
    static const char tagged[] = "{tag}";
    struct support_random *random = &model->random;
    uint32_t i, *place;

    for (i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        uint64_t dice = support_random_below(random, 1000);

        do {
            if (dice < 500) {
                record->key_bytes = support_random_between(random, 4, 24);
            } else if (dice < 600) {
                record->key_bytes = support_random_between(random, 1, 3);
            } else if (dice < 900) {
                record->key_bytes = support_random_between(random, 25, 300);
            } else if (dice < 990) {
                record->key_bytes = support_random_between(random, 300, 5000);
            } else if (dice < 996) {
                record->key_bytes =
                    support_random_between(random, 5000, WARP_KEY_BYTES_MAX - 1);
            } else {
                record->key_bytes = WARP_KEY_BYTES_MAX;
            }
            if (dice % 10 == 0 && record->key_bytes < sizeof(tagged)) {
                record->key_bytes = sizeof(tagged) + 3;
            }
            free(record->key);
            record->key = malloc(record->key_bytes);
            support_fill(record->key, record->key_bytes, support_random_next(random));
            if (dice % 10 == 0) { /* all of these share one slot */
                memcpy(record->key, tagged, sizeof(tagged) - 1);
            }
            place = model_place(model, record->key, record->key_bytes);
        } while (*place != UINT32_MAX);
        *place = i;
    }
}

static enum life life_of(const struct record *record)
{
    uint64_t now_ms;

    if (!record->present) {
        return LIFE_ABSENT;
    }
    if (record->expires_until_ms == 0) {
        return LIFE_SURE;
    }
    now_ms = support_wall_ms();
    if (now_ms + SURE_MS < record->expires_from_ms) {
        return LIFE_SURE;
    }
    if (now_ms > record->expires_until_ms + GONE_MS) {
        return LIFE_ABSENT;
    }
    return LIFE_TWILIGHT;
}

/* Whether the record could have expired by now. */
static bool may_have_expired(const struct record *record)
{
    return record->expires_until_ms != 0 &&
           support_wall_ms() + 5 >= record->expires_from_ms;
}

static struct record *pick(struct model *model)
{
    /* A tenth of the keys gets half of the work. */
    uint32_t count = model->record_count;

    if (support_random_chance(&model->random, 2)) {
        count = count / 10 + 1;
    }
    return &model->records[support_random_below(&model->random, count)];
}

static struct warp_slice key_of(const struct record *record)
{
    return support_slice(record->key, record->key_bytes);
}

static uint64_t number_of(const struct model *model, const struct record *record)
{
    return (uint64_t)(record - model->records);
}

static struct content content_random(struct model *model)
{
    struct support_random *random = &model->random;
    struct content content = {false, 0, support_random_next(random), 0};
    uint64_t dice = support_random_below(random, 1000);

    if (support_random_chance(random, model->huge_one_in)) {
        content.bytes = support_random_chance(random, 2)
                            ? WARP_VALUE_BYTES_MAX
                            : support_random_between(random, 1 << 20, WARP_VALUE_BYTES_MAX);
    } else if (dice < 150) {
        char text[32];

        content.number = true;
        content.amount =
            (int64_t)support_random_next(random) >> support_random_below(random, 64);
        content.bytes = (size_t)snprintf(text, sizeof(text), "%" PRId64, content.amount);
    } else if (dice < 200) {
        content.bytes = 0;
    } else if (dice < 700) {
        content.bytes = support_random_between(random, 1, 64);
    } else if (dice < 920) {
        content.bytes = support_random_between(random, 65, 4096);
    } else if (dice < 990) {
        content.bytes = support_random_between(random, 4097, 65536);
    } else {
        content.bytes = support_random_between(random, 65537, 1 << 20);
    }
    return content;
}

/* The bytes of the content, to be freed by the caller; never NULL. */
static uint8_t *content_bytes(const struct content *content)
{
    uint8_t *bytes = malloc(content->bytes + 32);

    if (bytes == NULL) {
        support_die("no memory");
    }
    if (content->number) {
        snprintf((char *)bytes, 32, "%" PRId64, content->amount);
    } else {
        support_fill(bytes, content->bytes, content->seed);
    }
    return bytes;
}

static bool content_equals(const struct content *content, const void *data, size_t bytes)
{
    char text[32];

    if (bytes != content->bytes) {
        return false;
    }
    if (content->number) {
        snprintf(text, sizeof(text), "%" PRId64, content->amount);
        return memcmp(text, data, bytes) == 0;
    }
    return support_matches(data, bytes, content->seed);
}

static void content_number(struct content *content, int64_t amount)
{
    char text[32];

    content->number = true;
    content->amount = amount;
    content->bytes = (size_t)snprintf(text, sizeof(text), "%" PRId64, amount);
}

/* Compare what was read with what the record should be, and learn from it. */
static void check_value(struct model *model, struct record *record, const char *from,
                        const void *data, size_t bytes, uint64_t sequence)
{
    if (!content_equals(&record->content, data, bytes)) {
        fail(model, "%s: key %" PRIu64 " has another value (%zu bytes, expected %zu)", from,
             number_of(model, record), bytes, record->content.bytes);
    }
    if (record->sequence != 0 ? sequence != record->sequence : sequence <= record->floor) {
        fail(model,
             "%s: key %" PRIu64 " has sequence %" PRIu64 ", expected %" PRIu64
             " (0: only above %" PRIu64 ")",
             from, number_of(model, record), sequence, record->sequence, record->floor);
    }
    record->sequence = sequence;
    record->floor = sequence;
    if (sequence > model->floor) {
        model->floor = sequence;
    }
}

static void check_expiry(struct model *model, struct record *record, uint64_t expires_at_ms)
{
    if (record->expires_until_ms == 0 ? expires_at_ms != 0
                                      : expires_at_ms < record->expires_from_ms ||
                                            expires_at_ms > record->expires_until_ms) {
        fail(model,
             "key %" PRIu64 " expires at %" PRIu64 " ms, expected %" PRIu64 " to %" PRIu64,
             number_of(model, record), expires_at_ms, record->expires_from_ms,
             record->expires_until_ms);
    }
    record->expires_from_ms = expires_at_ms;
    record->expires_until_ms = expires_at_ms;
}

/* ---- one request: planned, run by a call or by a session, checked -------------------- */

struct plan {
    struct record *record;
    uint32_t opcode;
    bool writes; /* it is expected to change the record */
    bool late;   /* its deadline has passed before it is submitted */
    bool
        either_error; /* the condition fails and the value is no number: both may be said */
    int expected;
    struct content before; /* what a get should see */
    bool before_written;   /* ... written in this burst */
    struct content value;  /* what a put writes */
    int64_t delta, sum;
    struct warp_write how;
    bool has_how;
    uint8_t *value_bytes, *if_value_bytes;
    bool expiry_changes, forgets; /* a new expiry; or none */
    uint64_t begun_ms;

    int result;
    uint64_t sequence;
    int64_t number;
    bool done;
};

static bool holds(const struct plan *plan, const struct record *record, bool right)
{
    switch ((enum warp_condition)plan->how.condition) {
    case WARP_IF_ANY:
        return true;
    case WARP_IF_ABSENT:
        return !record->present;
    case WARP_IF_PRESENT:
        return record->present;
    case WARP_IF_SEQUENCE:
    case WARP_IF_VALUE:
        return record->present && right;
    }
    return false;
}

static void plan_how(struct model *model, struct plan *plan)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct support_random *random = &model->random;
    struct record *record = plan->record;
    struct content other;
    bool right = false;

    plan->how = how_init;
    plan->has_how = !support_random_chance(random, 4);
    if (!plan->has_how) {
        return;
    }
    plan->how.durability = support_random_chance(random, 20)
                               ? WARP_COMMIT
                               : (uint32_t)support_random_below(random, 3);
    if (support_random_chance(random, 2)) {
        plan->how.condition = (uint32_t)support_random_below(random, 5);
    }
    right = !support_random_chance(random, 3);
    if (plan->how.condition == WARP_IF_SEQUENCE) {
        if (record->written_in_burst == model->burst_number || record->sequence == 0) {
            right = false;
        }
        plan->how.if_sequence = right ? record->sequence : record->floor;
        if (!right && record->present && plan->how.if_sequence == record->sequence &&
            record->written_in_burst != model->burst_number) {
            plan->how.if_sequence += 1;
        }
    } else if (plan->how.condition == WARP_IF_VALUE) {
        if (right && record->present) {
            other = record->content;
        } else {
            right = false;
            other = content_random(model);
            while (record->present && (other.bytes == record->content.bytes)) {
                other = content_random(model);
            }
        }
        plan->if_value_bytes = content_bytes(&other);
        plan->how.if_value = support_slice(plan->if_value_bytes, other.bytes);
    }
    if (plan->opcode != WARP_OP_DELETE && support_random_chance(random, 6)) {
        plan->how.ttl_ms = support_random_chance(random, 2)
                               ? support_random_between(random, 250, 900)
                               : support_random_between(random, 3600000, 86400000000);
    }
    if (!holds(plan, record, right)) {
        plan->expected = WARP_CONFLICT;
    }
}

/* Decide what to ask and what should come of it, and change the reference accordingly. */
static bool plan_make(struct model *model, struct plan *plan, struct record *record)
{
    struct support_random *random = &model->random;
    enum life life = life_of(record);
    uint64_t dice = support_random_below(random, 100);

    memset(plan, 0, sizeof(*plan));
    if (life == LIFE_TWILIGHT) {
        return false;
    }
    if (life == LIFE_ABSENT && record->present) {
        record->present = false;
        record->sequence = 0;
        model->lapsed++;
    }
    plan->record = record;
    plan->begun_ms = support_wall_ms();
    if (record->present && record->expires_until_ms != 0 &&
        record->expires_from_ms < plan->begun_ms + 10000) {
        dice = dice < 50 ? 0 : 50; /* short of life: only get and plain put */
    }
    plan->opcode = dice < 40   ? WARP_OP_GET
                   : dice < 70 ? WARP_OP_PUT
                   : dice < 85 ? WARP_OP_DELETE
                               : WARP_OP_ADD;
    plan->before = record->content;
    plan->before_written = record->written_in_burst == model->burst_number;
    switch ((enum warp_opcode)plan->opcode) {
    case WARP_OP_GET:
        plan->expected = record->present ? 0 : WARP_ABSENT;
        return true;
    case WARP_OP_PUT:
        plan->value = content_random(model);
        plan->value_bytes = content_bytes(&plan->value);
        if (dice == 50 && record->present && record->expires_until_ms != 0) {
            plan->has_how = false;
        } else {
            plan_how(model, plan);
        }
        if (plan->expected == 0) {
            plan->writes = true;
            record->present = true;
            record->content = plan->value;
            plan->expiry_changes = plan->how.ttl_ms != 0;
            plan->forgets = plan->how.ttl_ms == 0;
        }
        break;
    case WARP_OP_DELETE:
        plan_how(model, plan);
        if (plan->expected == 0) {
            plan->expected = record->present ? 0 : WARP_ABSENT;
            plan->writes = record->present;
            plan->forgets = record->present;
            record->present = false;
        }
        break;
    case WARP_OP_ADD:
        plan->delta =
            (int64_t)support_random_next(random) >> support_random_below(random, 64);
        plan_how(model, plan);
        if (record->present && !record->content.number) {
            plan->either_error = plan->expected != 0;
            plan->expected = plan->expected != 0 ? plan->expected : WARP_ENUMBER;
        } else if (__builtin_add_overflow(record->present ? record->content.amount : 0,
                                          plan->delta, &plan->sum)) {
            plan->either_error = plan->expected != 0;
            plan->expected = plan->expected != 0 ? plan->expected : WARP_ERANGE;
        }
        if (plan->expected == 0) {
            plan->writes = true;
            plan->expiry_changes = plan->how.ttl_ms != 0;
            plan->forgets = plan->how.ttl_ms == 0 && !record->present;
            record->present = true;
            content_number(&record->content, plan->sum);
        }
        break;
    }
    if (plan->writes) {
        record->written_in_burst = model->burst_number;
        model->log_bytes += plan->value.bytes + record->key_bytes;
        if (plan->forgets) {
            record->expires_from_ms = record->expires_until_ms = 0;
        } else if (plan->expiry_changes) {
            record->expires_from_ms = plan->begun_ms + plan->how.ttl_ms - 2;
            record->expires_until_ms =
                UINT64_MAX / 2; /* until its completion has been seen */
        }
        record->expiry_plan = plan->expiry_changes ? plan : NULL;
    }
    return true;
}

/* The request has been answered: compare, in the order of submission within a burst. */
static void plan_check(struct model *model, struct plan *plan, uint64_t floor)
{
    struct record *record = plan->record;

    if (plan->result != plan->expected &&
        !(plan->either_error &&
          (plan->result == WARP_ENUMBER || plan->result == WARP_ERANGE))) {
        fail(model,
             "operation %u on key %" PRIu64 " (condition %u, %zu value bytes): %d, "
             "expected %d",
             plan->opcode, number_of(model, record), plan->how.condition, plan->value.bytes,
             plan->result, plan->expected);
    }
    if (plan->writes) {
        if (plan->sequence != 0) {
            if (plan->sequence <= floor || plan->sequence <= record->floor) {
                fail(model,
                     "operation %u on key %" PRIu64 ": sequence %" PRIu64
                     " is not above %" PRIu64 " and %" PRIu64,
                     plan->opcode, number_of(model, record), plan->sequence, floor,
                     record->floor);
            }
            record->floor = plan->sequence;
            if (plan->sequence > model->floor) {
                model->floor = plan->sequence;
            }
        } else if (record->floor < floor) {
            record->floor = floor;
        }
        record->sequence = plan->sequence;
        if (plan->opcode == WARP_OP_ADD && plan->number != plan->sum) {
            fail(model, "add on key %" PRIu64 ": %" PRId64 ", expected %" PRId64,
                 number_of(model, record), plan->number, plan->sum);
        }
        if (plan->expiry_changes && record->expiry_plan == plan) {
            record->expiry_plan = NULL;
            record->expires_until_ms = support_wall_ms() + plan->how.ttl_ms + 2;
        }
    } else if (plan->opcode == WARP_OP_GET && plan->result == 0) {
        if (record->sequence != 0 ? plan->sequence != record->sequence
                                  : plan->sequence <= record->floor) {
            fail(model,
                 "get of key %" PRIu64 ": sequence %" PRIu64 ", expected %" PRIu64
                 " (0: above %" PRIu64 ")",
                 number_of(model, record), plan->sequence, record->sequence, record->floor);
        }
        record->sequence = plan->sequence;
        record->floor = plan->sequence;
    }
    model->passed++;
}

static void plan_free(struct plan *plan)
{
    free(plan->value_bytes);
    free(plan->if_value_bytes);
}

/* ---- loans --------------------------------------------------------------------------- */

static void loan_end(struct model *model, struct loan *loan)
{
    if (!loan->held) {
        return;
    }
    if (!content_equals(&loan->content, loan->value.data, loan->value.bytes)) {
        fail(model, "a value on loan has changed (%zu bytes)", loan->value.bytes);
    }
    warp_return(&loan->value);
    if (loan->value.data != NULL || loan->value.bytes != 0) {
        fail(model, "warp_return() left the value as it was");
    }
    warp_return(&loan->value); /* holds no loan: nothing happens */
    loan->held = false;
}

/* Take over a borrowed value: keep it for a while or give it back at once. */
static void loan_keep(struct model *model, const struct warp_value *value,
                      const struct content *content)
{
    struct loan *loan = &model->loans[support_random_below(&model->random, LOANS_MAX)];

    loan_end(model, loan);
    loan->value = *value;
    loan->content = *content;
    loan->held = true;
    if (support_random_chance(&model->random, 2) || content->bytes > 1 << 20) {
        loan_end(model, loan);
    }
}

static void loans_end(struct model *model)
{
    uint32_t i;

    for (i = 0; i < LOANS_MAX; i++) {
        loan_end(model, &model->loans[i]);
    }
}

/* ---- operations ---------------------------------------------------------------------- */

static void do_get(struct model *model, struct record *record, struct plan *plan)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    struct warp_value value = value_init;
    uint64_t way = support_random_below(&model->random, 3);
    size_t bytes = 12345, capacity;
    uint64_t sequence = 0;
    uint8_t *buffer;
    int rc;

    if (way == 0) {
        rc = warp_borrow(model->db, key_of(record), &value);
        if (rc == 0) {
            if (!content_equals(&plan->before, value.data, value.bytes)) {
                fail(model, "borrow: key %" PRIu64 " has another value (%zu bytes)",
                     number_of(model, record), value.bytes);
            }
            check_expiry(model, record, value.expires_at_ms);
            sequence = value.sequence;
            loan_keep(model, &value, &plan->before);
        }
    } else {
        if (way == 1) {
            capacity = plan->before.bytes + support_random_below(&model->random, 16);
        } else {
            capacity = support_random_below(&model->random, plan->before.bytes + 1);
        }
        buffer = malloc(capacity + 1);
        buffer[capacity] = 0x5a;
        rc = warp_get(model->db, key_of(record), capacity == 0 ? NULL : buffer, capacity,
                      &bytes, &sequence);
        if (rc == WARP_TRUNCATED) {
            if (capacity >= plan->before.bytes || bytes != plan->before.bytes) {
                fail(model,
                     "get with %zu bytes of room: truncated, %zu needed, expected %zu",
                     capacity, bytes, plan->before.bytes);
            }
            free(buffer);
            buffer = malloc(bytes + 1);
            capacity = bytes;
            buffer[capacity] = 0x5a;
            rc = warp_get(model->db, key_of(record), buffer, capacity, &bytes, &sequence);
        } else if (rc == 0 && capacity < plan->before.bytes) {
            fail(model, "get with too little room: not said");
        }
        if (rc == 0 && !content_equals(&plan->before, buffer, bytes)) {
            fail(model, "get: key %" PRIu64 " has another value (%zu bytes)",
                 number_of(model, record), bytes);
        }
        if (buffer[capacity] != 0x5a) {
            fail(model, "get wrote behind the buffer");
        }
        free(buffer);
    }
    plan->result = rc;
    plan->sequence = sequence;
}

/* A record that may expire about now: either answer, but if a value, then the right one. */
static void do_twilight(struct model *model, struct record *record)
{
    static const struct warp_value value_init = WARP_VALUE_INIT;
    struct warp_value value = value_init;
    uint64_t before_ms = support_wall_ms();
    int rc = warp_borrow(model->db, key_of(record), &value);

    if (rc == 0) {
        check_value(model, record, "twilight", value.data, value.bytes, value.sequence);
        check_expiry(model, record, value.expires_at_ms);
        if (before_ms > value.expires_at_ms + GONE_MS) {
            fail(model, "a value came back %" PRIu64 " ms after its time",
                 before_ms - value.expires_at_ms);
        }
        warp_return(&value);
    } else if (rc == WARP_ABSENT) {
        if (!may_have_expired(record)) {
            fail(model, "key %" PRIu64 " expired too early", number_of(model, record));
        }
        record->present = false;
        record->sequence = 0;
        model->lapsed++;
    } else {
        fail(model, "borrow: %d", rc);
    }
    model->passed++;
}

static void do_blocking(struct model *model, struct record *record)
{
    const struct warp_write *how;
    uint64_t floor = model->floor;
    struct plan plan;

    model->burst_number++;
    if (!plan_make(model, &plan, record)) {
        do_twilight(model, record);
        return;
    }
    say(model, "op %u key %" PRIu64 " value %zu condition %u expect %d", plan.opcode,
        number_of(model, record), plan.value.bytes, plan.how.condition, plan.expected);
    how = plan.has_how ? &plan.how : NULL;
    switch ((enum warp_opcode)plan.opcode) {
    case WARP_OP_GET:
        do_get(model, record, &plan);
        if (plan.result == WARP_ABSENT && plan.expected == 0 && may_have_expired(record)) {
            record->present = false; /* this machine was held up: nothing can be said */
            record->sequence = 0;
            model->lapsed++;
            return;
        }
        break;
    case WARP_OP_PUT:
        plan.result = warp_put(model->db, key_of(record),
                               support_slice(plan.value_bytes, plan.value.bytes), how,
                               &plan.sequence);
        break;
    case WARP_OP_DELETE:
        plan.result = warp_delete(model->db, key_of(record), how, &plan.sequence);
        break;
    case WARP_OP_ADD:
        plan.result = warp_add(model->db, key_of(record), plan.delta, how, &plan.number);
        break;
    }
    plan_check(model, &plan, floor);
    model->made[plan.opcode]++;
    plan_free(&plan);
}

static void session_completed(struct model *model, struct plan *plans, uint32_t count,
                              struct warp_completion *completion)
{
    struct plan *plan;

    if (completion->cookie >= count) {
        fail(model, "a completion with a cookie that was never given: %" PRIu64,
             completion->cookie);
    }
    plan = &plans[completion->cookie];
    if (plan->done || completion->opcode != plan->opcode) {
        fail(model, "request %" PRIu64 " completed twice or as another",
             completion->cookie);
    }
    plan->done = true;
    plan->result = completion->result;
    plan->sequence = completion->sequence;
    plan->number = completion->number;
    if (plan->opcode == WARP_OP_GET && completion->result == 0) {
        plan->sequence = completion->value.sequence;
        if (!content_equals(&plan->before, completion->value.data,
                            completion->value.bytes)) {
            fail(model, "session get: key %" PRIu64 " has another value (%zu bytes)",
                 number_of(model, plan->record), completion->value.bytes);
        }
        loan_keep(model, &completion->value, &plan->before);
    }
}

static void do_session(struct model *model)
{
    static const struct warp_request request_init = WARP_REQUEST_INIT;
    struct support_random *random = &model->random;
    struct warp_completion completions[BURST_MAX];
    struct warp_request requests[BURST_MAX];
    struct plan plans[BURST_MAX];
    uint32_t count = 0, wanted = (uint32_t)support_random_between(random, 1, BURST_MAX);
    uint32_t submitted = 0, completed = 0, part, i;
    uint32_t few = support_random_chance(random, 2) ? 4 : model->record_count;
    uint64_t floor = model->floor;
    int rc;

    if (model->session == NULL) {
        model->session_depth = (uint32_t)support_random_between(random, 1, 2 * BURST_MAX);
        rc = warp_session_create(model->db, model->session_depth, &model->session);
        if (rc != 0) {
            fail(model, "session: %d", rc);
        }
    }
    model->burst_number++;
    for (i = 0; i < wanted; i++) {
        struct record *record = &model->records[support_random_below(random, few)];

        /* No short lives in here: the burst may last longer than they do. */
        if (record->present && record->expires_until_ms != 0 &&
            record->expires_from_ms < support_wall_ms() + 60000) {
            continue;
        }
        if (support_random_chance(random, 40)) { /* too late from the start: no change */
            memset(&plans[count], 0, sizeof(plans[count]));
            plans[count].record = record;
            plans[count].opcode = WARP_OP_DELETE;
            plans[count].late = true;
            plans[count].expected = WARP_EDEADLINE;
        } else if (!plan_make(model, &plans[count], record)) {
            continue;
        } else if (plans[count].writes && plans[count].expiry_changes &&
                   plans[count].how.ttl_ms < 60000) {
            plans[count].how.ttl_ms += 3600000;
            record->expires_from_ms += 3600000;
        }
        requests[count] = request_init;
        requests[count].opcode = plans[count].opcode;
        requests[count].cookie = count;
        requests[count].key = key_of(record);
        requests[count].value =
            support_slice(plans[count].value_bytes, plans[count].value.bytes);
        requests[count].delta = plans[count].delta;
        requests[count].how = plans[count].has_how ? &plans[count].how : NULL;
        if (plans[count].late) {
            requests[count].deadline_ns = 1;
        } else if (support_random_chance(random, 4)) {
            requests[count].deadline_ns = support_now_ns() + 3600000000000u;
        }
        count++;
    }
    say(model, "session: %u requests, depth %u", count, model->session_depth);
    while (completed < count) {
        if (submitted < count && support_random_chance(random, 2)) {
            part = (uint32_t)support_random_between(random, 1, count - submitted);
            rc = warp_submit(model->session, requests + submitted, part);
            if (rc < 0 || rc > (int)part ||
                submitted - completed + (uint32_t)rc > model->session_depth) {
                fail(model, "submit of %u: %d", part, rc);
            }
            memset(requests + submitted, 0xee, (size_t)rc * sizeof(requests[0]));
            submitted += (uint32_t)rc;
        }
        part = (uint32_t)support_random_between(random, 1, BURST_MAX);
        rc = warp_poll(model->session, completions, part,
                       submitted == count ? UINT64_MAX
                                          : support_random_below(random, 50000));
        if (rc < 0 || rc > (int)part) {
            fail(model, "poll: %d", rc);
        }
        if (rc == 0 && submitted == count) {
            fail(model, "poll for ever came back empty with %u in flight",
                 submitted - completed);
        }
        for (i = 0; i < (uint32_t)rc; i++) {
            session_completed(model, plans, count, &completions[i]);
        }
        completed += (uint32_t)rc;
    }
    rc = warp_poll(model->session, completions, 1, UINT64_MAX);
    if (rc != 0) {
        fail(model, "poll with nothing in flight: %d", rc);
    }
    for (i = 0; i < count; i++) {
        plan_check(model, &plans[i], floor);
        plan_free(&plans[i]);
    }
    if (support_random_chance(random, 8)) {
        warp_session_destroy(&model->session);
    }
    model->made[5] += count;
}

static void do_multi_get(struct model *model)
{
    struct support_random *random = &model->random;
    struct warp_slice keys[MULTI_MAX];
    struct warp_value values[MULTI_MAX];
    struct record *records[MULTI_MAX];
    int results[MULTI_MAX];
    size_t count = support_random_between(random, 0, MULTI_MAX), i;
    uint64_t before_ms;
    int rc;

    for (i = 0; i < count; i++) {
        records[i] = pick(model);
        keys[i] = key_of(records[i]);
        if (support_random_chance(random, 100)) {
            records[i] = NULL;
            keys[i] = support_slice("", 0);
        }
    }
    memset(values, 0xee, sizeof(values));
    say(model, "multi-get of %zu", count);
    before_ms = support_wall_ms();
    rc = warp_multi_get(model->db, keys, count, values, results);
    if (rc != 0) {
        fail(model, "multi-get: %d", rc);
    }
    for (i = 0; i < count; i++) {
        struct record *record = records[i];

        if (record == NULL) {
            if (results[i] != WARP_EKEY) {
                fail(model, "multi-get of an empty key: %d", results[i]);
            }
            continue;
        }
        if (results[i] == 0) {
            if (!record->present || (record->expires_until_ms != 0 &&
                                     before_ms > record->expires_until_ms + GONE_MS)) {
                fail(model, "multi-get: key %" PRIu64 " should be absent",
                     number_of(model, record));
            }
            check_value(model, record, "multi-get", values[i].data, values[i].bytes,
                        values[i].sequence);
            check_expiry(model, record, values[i].expires_at_ms);
            loan_keep(model, &values[i], &record->content);
        } else if (results[i] == WARP_ABSENT) {
            if (record->present && !may_have_expired(record)) {
                fail(model, "multi-get: key %" PRIu64 " is missing",
                     number_of(model, record));
            }
            if (values[i].data != NULL || values[i].bytes != 0) {
                fail(model, "multi-get: an absent key's value is not cleared");
            }
        } else {
            fail(model, "multi-get: key %" PRIu64 ": %d", number_of(model, record),
                 results[i]);
        }
        model->passed++;
    }
    model->made[6]++;
}

static void do_batch(struct model *model)
{
    static const struct warp_write how_init = WARP_WRITE_INIT;
    struct support_random *random = &model->random;
    struct warp_write how = how_init;
    struct warp_batch *batch = NULL;
    struct record *touched[BATCH_MAX];
    uint32_t count = support_random_chance(random, 10)
                         ? (uint32_t)support_random_below(random, BATCH_MAX)
                         : (uint32_t)support_random_below(random, 12);
    uint32_t i, touched_count = 0, rounds = support_random_chance(random, 4) ? 2 : 1;
    uint64_t before_ms, sequence;
    int rc;

    rc = warp_batch_create(model->db, &batch);
    if (rc != 0) {
        fail(model, "batch: %d", rc);
    }
    while (rounds-- > 0) { /* the same batch again: it is empty after its commit */
        touched_count = 0;
        before_ms = support_wall_ms();
        for (i = 0; i < count; i++) {
            struct record *record = pick(model);

            if (support_random_chance(random, 4)) {
                rc = warp_batch_delete(batch, key_of(record));
                record->present = false;
                record->expires_from_ms = record->expires_until_ms = 0;
            } else {
                struct content content = content_random(model);
                uint8_t *bytes;
                uint8_t *key = malloc(record->key_bytes);
                uint64_t ttl_ms = 0;

                if (content.bytes > 1 << 20) {
                    content.bytes >>= 6;
                }
                if (support_random_chance(random, 10)) {
                    ttl_ms = support_random_between(random, 3600000, 7200000);
                }
                bytes = content_bytes(&content);
                memcpy(key, record->key, record->key_bytes);
                rc = warp_batch_put(batch, support_slice(key, record->key_bytes),
                                    support_slice(bytes, content.bytes), ttl_ms);
                memset(bytes, 0xee, content.bytes); /* the batch has copied them */
                memset(key, 0xee, record->key_bytes);
                free(bytes);
                free(key);
                record->present = true;
                record->content = content;
                record->expires_from_ms = ttl_ms == 0 ? 0 : before_ms + ttl_ms - 2;
                record->expires_until_ms = ttl_ms == 0 ? 0 : UINT64_MAX / 2;
                model->log_bytes += content.bytes + record->key_bytes;
            }
            if (rc != 0) {
                fail(model, "batch operation: %d", rc);
            }
            touched[touched_count++] = record;
        }
        how.durability = (uint32_t)support_random_below(random, 4);
        sequence = 0;
        say(model, "batch of %u", count);
        rc = warp_batch_commit(batch, support_random_chance(random, 2) ? &how : NULL,
                               &sequence);
        if (rc != 0) {
            fail(model, "batch of %u: %d", count, rc);
        }
        if (count > 0 && sequence <= model->floor) {
            fail(model, "batch: sequence %" PRIu64 " is not above %" PRIu64, sequence,
                 model->floor);
        }
        for (i = 0; i < touched_count; i++) {
            touched[i]->sequence = 0;
            if (touched[i]->floor < model->floor) {
                touched[i]->floor = model->floor;
            }
            if (touched[i]->expires_until_ms == UINT64_MAX / 2) {
                touched[i]->expires_until_ms = support_wall_ms() + 7200000;
            }
        }
        if (count > 0) {
            if (touched[count - 1]->present) {
                touched[count - 1]->sequence = sequence;
            }
            touched[count - 1]->floor = sequence;
            model->floor = sequence;
        }
        model->passed++;
    }
    warp_batch_destroy(&batch);
    if (batch != NULL) {
        fail(model, "warp_batch_destroy() left the pointer");
    }
    model->made[7]++;
}

struct walk {
    struct model *model;
    uint64_t visited, stop_after;
};

static int walk_visit(void *context, struct warp_slice key, const struct warp_value *value)
{
    struct walk *walk = context;
    struct model *model = walk->model;
    uint32_t index = *model_place(model, key.data, key.bytes);
    struct record *record;

    if (index == UINT32_MAX) {
        fail(model, "visit: a key of %zu bytes that was never written", key.bytes);
    }
    record = &model->records[index];
    if (life_of(record) == LIFE_ABSENT) {
        fail(model, "visit: key %u should be absent", index);
    }
    if (record->visited_in_walk == model->walk_number) {
        fail(model, "visit: key %u came twice", index);
    }
    record->visited_in_walk = model->walk_number;
    check_value(model, record, "visit", value->data, value->bytes, value->sequence);
    check_expiry(model, record, value->expires_at_ms);
    walk->visited++;
    model->passed++;
    return walk->visited == walk->stop_after ? 77 : 0;
}

/* Everything that is there, against everything that should be. */
static void check_whole(struct model *model)
{
    struct walk walk = {model, 0, 0};
    uint64_t sure = 0, perhaps = 0, count = 0;
    uint32_t i;
    int rc;

    model->walk_number++;
    rc = warp_visit(model->db, walk_visit, &walk);
    if (rc != 0) {
        fail(model, "visit: %d", rc);
    }
    rc = warp_count(model->db, &count);
    if (rc != 0) {
        fail(model, "count: %d", rc);
    }
    for (i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];

        if (life_of(record) == LIFE_SURE && !may_have_expired(record)) {
            sure++;
            if (record->visited_in_walk != model->walk_number) {
                fail(model, "visit: key %u was left out", i);
            }
        } else if (record->present) {
            perhaps++;
        }
    }
    if (count < sure || count > sure + perhaps + model->lapsed) {
        fail(model, "count: %" PRIu64 ", expected %" PRIu64 " (and %" PRIu64 " perhaps)",
             count, sure, perhaps);
    }
    if (sure > 1) { /* a visitor that has seen enough ends the walk */
        walk.visited = 0;
        walk.stop_after = support_random_between(&model->random, 1, sure);
        model->walk_number++;
        rc = warp_visit(model->db, walk_visit, &walk);
        if (rc != 77 || walk.visited != walk.stop_after) {
            fail(model, "visit ended by its visitor: %d after %" PRIu64, rc, walk.visited);
        }
    }
}

/* ---- opening and closing ------------------------------------------------------------- */

static void model_open(struct model *model, bool new)
{
    static const struct warp_options options_init = WARP_OPTIONS_INIT;
    static const char *const presets[] = {NULL, "balanced", "throughput", "small"};
    static const struct warp_recovery recovery_init = WARP_RECOVERY_INIT;
    struct warp_recovery recovery = recovery_init;
    struct support_random *random = &model->random;
    struct warp_options options = options_init;
    char message[512] = "";
    int rc;

    options.shard_count = (uint32_t)support_random_below(random, 5);
    options.durability = (uint32_t)support_random_between(random, WARP_MEMORY, WARP_COMMIT);
    options.sync_interval_ms = (uint32_t)support_random_between(random, 1, 200);
    options.read_durable = (uint32_t)support_random_below(random, 3);
    options.preset = presets[support_random_below(random, 4)];
    options.segment_bytes = model->segment_bytes;
    options.log_buffer_bytes = support_random_chance(random, 2)
                                   ? 0
                                   : 256u << (10 + support_random_below(random, 7));
    options.io_backend = (uint32_t)support_random_below(random, 2);
    options.direct_io = support_random_chance(random, 2) ? 2 : 0;
    options.recovery_threads = (uint32_t)support_random_below(random, 4);
    options.spin_us = (uint32_t)support_random_below(random, 3);
    options.message = message;
    options.message_bytes = sizeof(message);
    if (new) {
        options.open_flags = WARP_CREATE | WARP_MUST_BE_NEW;
        model->opens_for_writing = 0;
        model->floor = 0;
    } else if (support_random_chance(random, 5)) {
        options.open_flags = WARP_READ_ONLY;
    } else if (support_random_chance(random, 2)) {
        options.open_flags = WARP_MUST_EXIST;
    }
    model->read_only = options.open_flags == WARP_READ_ONLY;
    say(model,
        "open: flags %u shards %u durability %u buffer %u backend %u direct %u "
        "recovery threads %u preset %s",
        options.open_flags, options.shard_count, options.durability,
        options.log_buffer_bytes, options.io_backend, options.direct_io,
        options.recovery_threads, options.preset == NULL ? "-" : options.preset);
    rc = tiny_open(model->directory, &options, tiny_draw(random, 3), &model->db);
    if (rc != 0) {
        fail(model, "open: %d (%s): %s", rc, warp_error_text(rc), message);
    }
    if (!model->read_only) {
        model->opens_for_writing++;
    }
    rc = warp_recovery_info(model->db, &recovery);
    if (rc != 0) {
        fail(model, "recovery info: %d", rc);
    }
    if ((!new &&recovery.clean != 1) || recovery.bytes_cut != 0 ||
        recovery.fencing_epoch != model->opens_for_writing) {
        fail(model,
             "recovery info after a proper close: clean %u, bytes cut %" PRIu64
             ", epoch %u, expected %" PRIu64,
             recovery.clean, recovery.bytes_cut, recovery.fencing_epoch,
             model->opens_for_writing);
    }
}

static void model_close(struct model *model)
{
    int rc;

    warp_session_destroy(&model->session);
    loans_end(model);
    tiny_count(&model->tiny, model->db);
    rc = warp_close(&model->db);
    if (rc != 0 || model->db != NULL) {
        fail(model, "close: %d", rc);
    }
}

static void check_refused(struct model *model)
{
    struct record *record = pick(model);
    struct warp_slice value = support_text("x");
    int rc = warp_put(model->db, key_of(record), value, NULL, NULL);

    if (rc != WARP_EREADONLY) {
        fail(model, "put, opened to read only: %d", rc);
    }
    rc = warp_delete(model->db, key_of(record), NULL, NULL);
    if (rc != WARP_EREADONLY) {
        fail(model, "delete, opened to read only: %d", rc);
    }
    rc = warp_add(model->db, key_of(record), 1, NULL, NULL);
    if (rc != WARP_EREADONLY) {
        fail(model, "add, opened to read only: %d", rc);
    }
}

static void do_reopen(struct model *model)
{
    uint32_t i;
    bool new = model->log_bytes > LOG_BYTES_MAX;

    check_whole(model);
    model_close(model);
    if (new) {
        support_remove(model->directory);
        for (i = 0; i < model->record_count; i++) {
            model->records[i].present = false;
            model->records[i].sequence = 0;
            model->records[i].floor = 0;
            model->records[i].expires_from_ms = model->records[i].expires_until_ms = 0;
        }
        model->log_bytes = 0;
        model->lapsed = 0;
        model->segment_bytes = 1u << support_random_between(&model->random, 20, 26);
    }
    model_open(model, new);
    check_whole(model);
    for (i = 0; i < 50; i++) {
        do_multi_get(model);
    }
    if (model->read_only) {
        check_refused(model);
        model_close(model);
        model_open(model, false);
        while (model->read_only) {
            check_whole(model);
            model_close(model);
            model_open(model, false);
        }
        check_whole(model);
    }
    model->made[8]++;
}

int main(int count, char **words)
{
    static const char *const with_value[] = {"--seed",        "--operations", "--keys",
                                             "--huge-one-in", "--limit-s",    NULL};
    static const char *const alone[] = {"--verbose", NULL};
    static struct model model;
    uint64_t operations, i, dice;
    int rc;

    support_flags_known(count, words, with_value, alone);
    model.seed = support_flag(count, words, "--seed", 1);
    model.random.state = support_mix(model.seed);
    model.verbose = support_flag_given(count, words, "--verbose");
    model.record_count = (uint32_t)support_flag(count, words, "--keys", 600);
    model.huge_one_in = support_flag(count, words, "--huge-one-in", 20000);
    operations =
        support_flag(count, words, "--operations", SUPPORT_SANITIZED ? 5000 : 20000);
    support_limit((unsigned)support_flag(count, words, "--limit-s", 600), "model",
                  model.seed);

    for (model.table_count = 16; model.table_count < model.record_count * 2;) {
        model.table_count *= 2;
    }
    model.records = calloc(model.record_count, sizeof(model.records[0]));
    model.table = malloc(model.table_count * sizeof(model.table[0]));
    if (model.records == NULL || model.table == NULL || model.record_count < 10 ||
        model.huge_one_in == 0) {
        support_die("no memory, or fewer than 10 keys, or --huge-one-in 0");
    }
    memset(model.table, 0xff, model.table_count * sizeof(model.table[0]));
    model_make_keys(&model);
    model.segment_bytes = 1u << support_random_between(&model.random, 20, 26);
    support_directory(model.directory, "model");
    model_open(&model, true);

    for (i = 0; i < operations; i++) {
        model.operation = i;
        dice = support_random_below(&model.random, 10000);
        if (dice < 8000) {
            do_blocking(&model, pick(&model));
        } else if (dice < 8800) {
            do_session(&model);
        } else if (dice < 9200) {
            do_multi_get(&model);
        } else if (dice < 9800) {
            do_batch(&model);
        } else if (dice < 9900) {
            loans_end(&model);
        } else if (dice < 9960) {
            rc = warp_flush(model.db);
            if (rc != 0) {
                fail(&model, "flush: %d", rc);
            }
        } else if (dice < 9975) {
            check_whole(&model);
        } else {
            do_reopen(&model);
        }
    }
    do_reopen(&model);
    model_close(&model);
    support_remove(model.directory);
    for (i = 0; i < model.record_count; i++) {
        free(model.records[i].key);
    }
    free(model.records);
    free(model.table);
    printf("model: seed %" PRIu64 ": %" PRIu64 " operations, %" PRIu64
           " session requests, %" PRIu64 " multi-gets, %" PRIu64 " batches, %" PRIu64
           " reopenings\n",
           model.seed, operations, model.made[5], model.made[6], model.made[7],
           model.made[8]);
    if (!tiny_report(&model.tiny, "model") && model.tiny.opens >= 10) {
        printf("%" PRIu64 " passed, 1 failed\n", model.passed);
        return 1; /* that was no test of cold values */
    }
    printf("%" PRIu64 " passed, 0 failed\n", model.passed);
    return 0;
}
