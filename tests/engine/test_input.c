/* What is refused, and how: keys, values, sizes, options, numbers, batches. */
#include "tests/engine/fixture.h"

static struct warp_slice zeros(size_t bytes)
{
    static uint8_t *memory;

    if (memory == NULL) {
        memory = calloc(1, WARP_VALUE_BYTES_MAX + 1);
    }
    return support_slice(memory, bytes);
}

WARP_TEST(input, key_has_1_to_65536_bytes_in_every_call)
{
    static const size_t sizes[] = {0, WARP_KEY_BYTES_MAX + 1, 1 << 20, 1,
                                   WARP_KEY_BYTES_MAX};
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_value value = WARP_VALUE_INIT;
    struct warp_batch *batch = NULL;
    struct warp_session *session = NULL;
    char buffer[16];
    size_t i, bytes = 77;
    uint64_t sequence = 77;
    int64_t number = 77;

    if (db == NULL || !check_int(warp_batch_create(db, &batch), ==, 0) ||
        !check_int(warp_session_create(db, 8, &session), ==, 0)) {
        return;
    }
    for (i = 0; i < 3; i++) {
        struct warp_slice key = zeros(sizes[i]);
        struct warp_request request = WARP_REQUEST_INIT;
        struct warp_completion completion;
        uint32_t opcode;
        int result = 0;

        check_int(warp_put(db, key, support_text("v"), NULL, &sequence), ==, WARP_EKEY);
        check_int(warp_get(db, key, buffer, sizeof(buffer), &bytes, &sequence), ==,
                  WARP_EKEY);
        check_int(warp_delete(db, key, NULL, &sequence), ==, WARP_EKEY);
        check_int(warp_add(db, key, 1, NULL, &number), ==, WARP_EKEY);
        check_int(warp_borrow(db, key, &value), ==, WARP_EKEY);
        check_int(warp_batch_put(batch, key, support_text("v"), 0), ==, WARP_EKEY);
        check_int(warp_batch_delete(batch, key), ==, WARP_EKEY);
        check_int(warp_multi_get(db, &key, 1, &value, &result), ==, 0);
        check_int(result, ==, WARP_EKEY);
        for (opcode = WARP_OP_GET; opcode <= WARP_OP_ADD; opcode++) {
            request.opcode = opcode;
            request.key = key;
            request.value = support_text("v");
            if (check_int(warp_submit(session, &request, 1), ==, 1) &&
                check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1)) {
                check_int(completion.result, ==, WARP_EKEY);
            }
        }
    }
    check_u64(bytes, ==, 77); /* results are untouched on an error */
    check_u64(sequence, ==, 77);
    check_int(number, ==, 77);
    for (i = 3; i < 5; i++) {
        check_int(warp_put(db, zeros(sizes[i]), support_text("v"), NULL, NULL), ==, 0);
        check_int(warp_get(db, zeros(sizes[i]), buffer, sizeof(buffer), &bytes, NULL), ==,
                  0);
        check_u64(bytes, ==, 1);
        check_int(warp_batch_delete(batch, zeros(sizes[i])), ==, 0);
    }
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
    check_int(warp_get(db, zeros(1), buffer, sizeof(buffer), &bytes, NULL), ==,
              WARP_ABSENT);
    warp_batch_destroy(&batch);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, value_has_0_to_32_mib)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_value value = WARP_VALUE_INIT;
    struct warp_batch *batch = NULL;
    size_t bytes = 77;

    if (db == NULL) {
        return;
    }
    check_int(warp_put(db, support_text("k"), zeros(WARP_VALUE_BYTES_MAX + 1), NULL, NULL),
              ==, WARP_EVALUE);
    check_int(warp_batch_create(db, &batch), ==, 0);
    check_int(warp_batch_put(batch, support_text("k"), zeros(WARP_VALUE_BYTES_MAX + 1), 0),
              ==, WARP_EVALUE);
    warp_batch_destroy(&batch);
    check_int(warp_borrow(db, support_text("k"), &value), ==, WARP_ABSENT);
    check_int(warp_put(db, support_text("k"), zeros(0), NULL, NULL), ==, 0);
    check_int(warp_get(db, support_text("k"), NULL, 0, &bytes, NULL), ==, 0);
    check_u64(bytes, ==, 0);
    check_int(warp_put(db, support_text("k"), support_slice(NULL, 0), NULL, NULL), ==, 0);
    check_int(warp_put(db, support_text("k"), zeros(WARP_VALUE_BYTES_MAX), NULL, NULL), ==,
              0);
    check_int(warp_borrow(db, support_text("k"), &value), ==, 0);
    check_bytes(value.data, value.bytes, zeros(1).data, (size_t)WARP_VALUE_BYTES_MAX);
    warp_return(&value);
    check_int(warp_get(db, support_text("k"), NULL, 0, &bytes, NULL), ==, WARP_TRUNCATED);
    check_u64(bytes, ==, WARP_VALUE_BYTES_MAX);
    check_int(warp_close(&db), ==, 0);
}

/* A struct of another size, from an older or a newer program. */
WARP_TEST(input, options_of_another_size)
{
    struct {
        struct warp_options options;
        uint8_t tail[32];
    } newer = {WARP_OPTIONS_INIT, {0}};
    struct warp_options older = WARP_OPTIONS_INIT;
    struct warp *db = NULL;
    const char *path = test_directory();

    newer.options.size = sizeof(newer);
    newer.tail[31] = 1;
    check_int(warp_open(path, &newer.options, &db), ==, WARP_EINVAL);
    check(db == NULL);
    newer.tail[31] = 0; /* an unknown tail of zeros asks for nothing new */
    check_int(warp_open(path, &newer.options, &db), ==, 0);
    check_int(warp_close(&db), ==, 0);
    older.size = 0;
    check_int(warp_open(path, &older, &db), ==, WARP_EINVAL);
    older.size = 3;
    check_int(warp_open(path, &older, &db), ==, WARP_EINVAL);
    older.size = offsetof(struct warp_options, preset);
    memset((uint8_t *)&older + older.size, 0xee, sizeof(older) - older.size);
    check_int(warp_open(path, &older, &db), ==, 0); /* what it lacks is the default */
    check_int(warp_close(&db), ==, 0);
    check_int(warp_open(path, NULL, &db), ==, 0);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, write_request_and_recovery_of_another_size)
{
    struct {
        struct warp_write write;
        uint8_t tail[16];
    } newer = {WARP_WRITE_INIT, {0}};
    struct {
        struct warp_request request;
        uint8_t tail[16];
    } newer_request = {WARP_REQUEST_INIT, {0}};
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_completion completion;
    char text[256];
    int rc;

    if (db == NULL || !check_int(warp_session_create(db, 8, &session), ==, 0)) {
        return;
    }
    newer.write.size = sizeof(newer);
    check_int(warp_put(db, support_text("k"), support_text("a"), &newer.write, NULL), ==,
              0);
    newer.tail[0] = 1;
    check_int(warp_put(db, support_text("k"), support_text("b"), &newer.write, NULL), ==,
              WARP_EINVAL);
    check_int(warp_delete(db, support_text("k"), &newer.write, NULL), ==, WARP_EINVAL);
    check_int(warp_add(db, support_text("k"), 1, &newer.write, NULL), ==, WARP_EINVAL);
    newer.write.size = 0;
    check_int(warp_put(db, support_text("k"), support_text("b"), &newer.write, NULL), ==,
              WARP_EINVAL);
    newer.write.size = offsetof(struct warp_write, ttl_ms);
    newer.write.ttl_ms = UINT64_MAX; /* beyond its size: not looked at */
    check_int(warp_put(db, support_text("k"), support_text("c"), &newer.write, NULL), ==,
              0);
    check_str(fixture_get(db, "k", text), "c");

    newer_request.request.size = sizeof(newer_request);
    newer_request.request.opcode = WARP_OP_GET;
    newer_request.request.key = support_text("k");
    check_int(warp_submit(session, &newer_request.request, 1), ==, 1);
    check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1);
    check_int(completion.result, ==, 0);
    warp_return(&completion.value);
    newer_request.tail[0] = 1;
    rc = warp_submit(session, &newer_request.request, 1);
    if (rc == 1 && check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1)) {
        rc = completion.result;
    }
    check_int(rc, ==, WARP_EINVAL);
    recovery.size = 0;
    check_int(warp_recovery_info(db, &recovery), ==, WARP_EINVAL);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, options_out_of_range)
{
    static const struct {
        const char *name;
        size_t offset;
        uint64_t value;
        bool wide;
    } table[] = {
        {"shard_count 65", offsetof(struct warp_options, shard_count), 65, false},
        {"durability 4", offsetof(struct warp_options, durability), 4, false},
        {"sync_interval_ms 60,001", offsetof(struct warp_options, sync_interval_ms), 60001,
         false},
        {"read_durable 3", offsetof(struct warp_options, read_durable), 3, false},
        {"memory_bytes_max 1 MiB", offsetof(struct warp_options, memory_bytes_max), 1 << 20,
         true},
        {"open_flags 1 << 20", offsetof(struct warp_options, open_flags), 1 << 20, false},
        {"open_flags must exist and be new", offsetof(struct warp_options, open_flags),
         WARP_MUST_EXIST | WARP_MUST_BE_NEW, false},
        {"segment_bytes 3 MiB", offsetof(struct warp_options, segment_bytes), 3 << 20,
         false},
        {"segment_bytes 64 KiB", offsetof(struct warp_options, segment_bytes), 65536,
         false},
        {"segment_bytes 2 GiB", offsetof(struct warp_options, segment_bytes), 1u << 31,
         false},
        {"log_buffer_bytes 4096", offsetof(struct warp_options, log_buffer_bytes), 4096,
         false},
        {"log_buffer_bytes 300,000", offsetof(struct warp_options, log_buffer_bytes),
         300000, false},
        {"log_buffer_bytes 2 GiB", offsetof(struct warp_options, log_buffer_bytes),
         1u << 31, false},
        {"pin_threads 2", offsetof(struct warp_options, pin_threads), 2, false},
        {"io_backend 3", offsetof(struct warp_options, io_backend), 3, false},
        {"huge_pages 3", offsetof(struct warp_options, huge_pages), 3, false},
        {"reserved 1", offsetof(struct warp_options, reserved), 1, false},
        {"background_permille 1,001", offsetof(struct warp_options, background_permille),
         1001, false},
    };
    const char *path = test_directory();
    char message[512];
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct warp_options options = fixture_options();
        struct warp *db = NULL;
        uint32_t narrow = (uint32_t)table[i].value;
        int rc;

        if (fixture_verbose()) {
            printf("  %s\n", table[i].name);
        }
        memcpy((uint8_t *)&options + table[i].offset,
               table[i].wide ? (const void *)&table[i].value : (const void *)&narrow,
               table[i].wide ? 8 : 4);
        rc = fixture_try(path, &options, &db, message);
        if (rc != WARP_EINVAL || message[0] == '\0' || db != NULL) {
            test_fail(__FILE__, __LINE__, "%s: %d, message \"%s\"", table[i].name, rc,
                      message);
            warp_close(&db);
        }
    }
}

WARP_TEST(input, preset_unknown)
{
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char message[512];

    options.preset = "nosuch";
    check_int(fixture_try(test_directory(), &options, &db, message), ==, WARP_EINVAL);
    check(strstr(message, "nosuch") != NULL || strstr(message, "preset") != NULL);
}

WARP_TEST(input, message_is_cut_to_its_buffer)
{
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char message[8] = "xxxxxxx";

    options.preset = "nosuch";
    options.message = message;
    options.message_bytes = 5;
    check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
    check_int(message[4], ==, 0);
    check_int(message[5], ==, 'x');
    options.message_bytes = 0;
    check_int(warp_open(test_directory(), &options, &db), ==, WARP_EINVAL);
    check_int(message[5], ==, 'x');
}

WARP_TEST(input, write_out_of_range)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_write write;
    struct warp_write init = WARP_WRITE_INIT;
    struct warp_session *session = NULL;
    struct warp_batch *batch = NULL;
    struct warp_slice key = support_text("k");
    char text[256];

    if (db == NULL) {
        return;
    }
    write = init;
    write.durability = 4;
    check_int(warp_put(db, key, key, &write, NULL), ==, WARP_EINVAL);
    write = init;
    write.condition = 5;
    check_int(warp_put(db, key, key, &write, NULL), ==, WARP_EINVAL);
    check_int(warp_delete(db, key, &write, NULL), ==, WARP_EINVAL);
    check_int(warp_add(db, key, 1, &write, NULL), ==, WARP_EINVAL);
    write = init;
    write.ttl_ms = UINT64_C(1000) * 86400 * 366 * 101;
    check_int(warp_put(db, key, key, &write, NULL), ==, WARP_EINVAL);
    write.ttl_ms = UINT64_MAX;
    check_int(warp_put(db, key, key, &write, NULL), ==, WARP_EINVAL);
    check_str(fixture_get(db, "k", text), "(absent)");
    check_int(warp_session_create(db, 0, &session), ==, WARP_EINVAL);
    check_int(warp_session_create(db, WARP_SESSION_DEPTH_MAX + 1, &session), ==,
              WARP_EINVAL);
    check(session == NULL);
    check_int(warp_session_create(db, WARP_SESSION_DEPTH_MAX, &session), ==, 0);
    warp_session_destroy(&session);
    check(session == NULL);
    warp_session_destroy(&session);
    check_int(warp_batch_create(db, &batch), ==, 0);
    check_int(warp_batch_put(batch, key, key, UINT64_MAX), ==, WARP_EINVAL);
    check_int(warp_batch_put(batch, key, key, 0), ==, 0);
    write = init;
    write.condition = WARP_IF_ABSENT;
    check_int(warp_batch_commit(batch, &write, NULL), ==, WARP_EINVAL);
    write = init;
    write.ttl_ms = 1;
    check_int(warp_batch_commit(batch, &write, NULL), ==, WARP_EINVAL);
    check_str(fixture_get(db, "k", text), "(absent)");
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0); /* it was unchanged */
    check_str(fixture_get(db, "k", text), "k");
    warp_batch_destroy(&batch);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, request_with_an_unknown_opcode)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_session *session = NULL;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_completion completion;
    uint32_t opcode;
    int rc;

    if (db == NULL || !check_int(warp_session_create(db, 4, &session), ==, 0)) {
        return;
    }
    for (opcode = 0; opcode < 10; opcode += 5) {
        request.opcode = opcode;
        request.key = support_text("k");
        rc = warp_submit(session, &request, 1);
        if (rc == 1 && check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 1)) {
            rc = completion.result;
        }
        check_int(rc, ==, WARP_EINVAL);
    }
    check_int(warp_submit(session, &request, 0), ==, 0);
    check_int(warp_poll(session, &completion, 1, UINT64_MAX), ==, 0);
    warp_session_destroy(&session);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, add_wants_a_64_bit_decimal)
{
    static const char *const wrong[] = {"",
                                        "abc",
                                        " 5",
                                        "5 ",
                                        "0x10",
                                        "-",
                                        "1.5",
                                        "5\n",
                                        "--5",
                                        "1e3",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    int64_t number = 77;
    char text[256];
    size_t i;

    if (db == NULL) {
        return;
    }
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fixture_put(db, "k", wrong[i]);
        if (!check_int(warp_add(db, support_text("k"), 1, NULL, &number), ==,
                       WARP_ENUMBER)) {
            fprintf(stderr, "    the value was \"%s\"\n", wrong[i]);
        }
        check_str(fixture_get(db, "k", text), wrong[i]);
    }
    check_int(warp_put(db, support_text("k"), support_slice("5\0", 2), NULL, NULL), ==, 0);
    check_int(warp_add(db, support_text("k"), 1, NULL, &number), ==, WARP_ENUMBER);
    fixture_put(db, "k", "9223372036854775807");
    check_int(warp_add(db, support_text("k"), 1, NULL, &number), ==, WARP_ERANGE);
    check_int(number, ==, 77);
    check_int(warp_add(db, support_text("k"), -1, NULL, &number), ==, 0);
    check_int(number, ==, INT64_MAX - 1);
    fixture_put(db, "k", "-9223372036854775808");
    check_int(warp_add(db, support_text("k"), -1, NULL, &number), ==, WARP_ERANGE);
    check_int(warp_add(db, support_text("k"), 0, NULL, &number), ==, 0);
    check_int(number, ==, INT64_MIN);
    check_int(warp_add(db, support_text("new"), -5, NULL, NULL), ==, 0);
    check_str(fixture_get(db, "new", text), "-5");
    check_int(warp_add(db, support_text("least"), INT64_MIN, NULL, &number), ==, 0);
    check_str(fixture_get(db, "least", text), "-9223372036854775808");
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, batch_takes_64_mib_and_no_more)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_batch *batch = NULL;
    struct warp_value value = WARP_VALUE_INIT;
    uint64_t count = 0;

    if (db == NULL) {
        return;
    }
    check_int(warp_batch_create(db, &batch), ==, 0);
    check_int(warp_batch_put(batch, support_text("a"), zeros(WARP_VALUE_BYTES_MAX), 0), ==,
              0);
    check_int(
        warp_batch_put(batch, support_text("b"), zeros(WARP_VALUE_BYTES_MAX - 4096), 0), ==,
        0);
    check_int(warp_batch_put(batch, support_text("c"), zeros(8192), 0), ==, WARP_EBATCH);
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0);
    check_int(warp_count(db, &count), ==, 0);
    check_u64(count, ==, 2);
    check_int(warp_borrow(db, support_text("b"), &value), ==, 0);
    check_u64(value.bytes, ==, WARP_VALUE_BYTES_MAX - 4096);
    warp_return(&value);
    check_int(warp_batch_commit(batch, NULL, NULL), ==, 0); /* empty: nothing to do */
    warp_batch_destroy(&batch);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, batch_takes_a_million_operations_and_no_more)
{
    struct warp_options options = fixture_options();
    const char *path = test_directory();
    struct warp *db;
    struct warp_batch *batch = NULL;
    uint64_t count = 0, sequence = 0;
    uint32_t i;
    char key[16];
    int rc = 0;

    options.segment_bytes = 8 << 20;
    db = fixture_open(path, &options);
    if (db == NULL) {
        return;
    }
    check_int(warp_batch_create(db, &batch), ==, 0);
    for (i = 0; i < WARP_BATCH_OPERATIONS_MAX && rc == 0; i++) {
        rc = warp_batch_put(batch, support_slice(key, (size_t)snprintf(key, 16, "%x", i)),
                            support_text("v"), 0);
    }
    check_int(rc, ==, 0);
    check_int(warp_batch_put(batch, support_text("more"), support_text("v"), 0), ==,
              WARP_EBATCH);
    check_int(warp_batch_delete(batch, support_text("more")), ==, WARP_EBATCH);
    check_int(warp_batch_commit(batch, NULL, &sequence), ==, 0);
    check_u64(sequence, >, 0);
    check_int(warp_count(db, &count), ==, 0);
    check_u64(count, ==, WARP_BATCH_OPERATIONS_MAX);
    warp_batch_destroy(&batch);
    check_int(warp_close(&db), ==, 0);
    db = fixture_open(path, &options);
    check_int(warp_count(db, &count), ==, 0);
    check_u64(count, ==, WARP_BATCH_OPERATIONS_MAX);
    check_int(warp_close(&db), ==, 0);
}

WARP_TEST(input, every_answer_has_a_sentence)
{
    int rc, other;

    for (rc = -40; rc < 20; rc++) {
        check(warp_error_text(rc) != NULL && warp_error_text(rc)[0] != '\0');
    }
    for (rc = WARP_ESYSTEM; rc <= WARP_TRUNCATED; rc++) {
        for (other = WARP_ESYSTEM; other < rc; other++) {
            check(strcmp(warp_error_text(rc), warp_error_text(other)) != 0);
        }
    }
    check_str(warp_version(), "0.1.0");
}

WARP_TEST(input, conditions_of_put_delete_and_add)
{
    struct warp_options options = fixture_options();
    struct warp *db = fixture_open(test_directory(), &options);
    struct warp_write init = WARP_WRITE_INIT, how;
    struct warp_slice key = support_text("k"), value = support_text("5");
    uint64_t sequence = 0, newer = 0;
    int64_t number = 0;
    char text[256];

    if (db == NULL) {
        return;
    }
    how = init;
    for (how.condition = WARP_IF_PRESENT; how.condition <= WARP_IF_VALUE; how.condition++) {
        how.if_value = value;
        check_int(warp_put(db, key, value, &how, NULL), ==, WARP_CONFLICT);
        check_int(warp_delete(db, key, &how, NULL), ==, WARP_CONFLICT);
        check_int(warp_add(db, key, 1, &how, NULL), ==, WARP_CONFLICT);
    }
    how = init;
    how.condition = WARP_IF_ABSENT;
    check_int(warp_delete(db, key, &how, NULL), ==, WARP_ABSENT);
    check_int(warp_delete(db, key, NULL, NULL), ==, WARP_ABSENT);
    check_int(warp_put(db, key, value, &how, &sequence), ==, 0);
    check_int(warp_put(db, key, value, &how, NULL), ==, WARP_CONFLICT);
    check_int(warp_delete(db, key, &how, NULL), ==, WARP_CONFLICT);
    check_int(warp_add(db, key, 1, &how, NULL), ==, WARP_CONFLICT);
    how.condition = WARP_IF_SEQUENCE;
    how.if_sequence = sequence + 1;
    check_int(warp_put(db, key, value, &how, NULL), ==, WARP_CONFLICT);
    how.if_sequence = sequence;
    check_int(warp_put(db, key, support_text("6"), &how, &newer), ==, 0);
    check_u64(newer, >, sequence);
    check_int(warp_put(db, key, support_text("6"), &how, NULL), ==, WARP_CONFLICT);
    how = init;
    how.condition = WARP_IF_VALUE;
    how.if_value = value;
    check_int(warp_add(db, key, 1, &how, &number), ==, WARP_CONFLICT);
    how.if_value = support_text("6");
    check_int(warp_add(db, key, 1, &how, &number), ==, 0);
    check_int(number, ==, 7);
    how.if_value = support_text("7x");
    check_int(warp_delete(db, key, &how, NULL), ==, WARP_CONFLICT);
    check_str(fixture_get(db, "k", text), "7");
    how.if_value = support_text("7");
    check_int(warp_delete(db, key, &how, NULL), ==, 0);
    check_str(fixture_get(db, "k", text), "(absent)");
    check_int(warp_close(&db), ==, 0);
}
