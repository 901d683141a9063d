/* The core and administration: streams and their settings, groups, consumers that are to leave.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static driver_t *s_begin (const leat_limits_t *limits)
{
    driver_t *driver = driver_new (limits);
    driver_hello (driver, 1, "operator");
    return driver;
}

static void s_expect_result (driver_t *driver, uint64_t peer, uint32_t request, leat_code_t code,
                             const char *body)
{
    const leat_result_t *result = &driver_expect (driver, peer, LEAT_RESULT)->result;
    assert_int_equal (result->request, request);
    assert_int_equal (result->code, code);
    assert_int_equal (result->flags, 0);
    if (code == LEAT_OK) {
        assert_int_equal (result->body.size, strlen (body));
        assert_memory_equal (result->body.data, body, result->body.size);
        return;
    }
    assert_memory_equal (result->body.data, "{\"reason\": \"", 12);
    char text[400];
    snprintf (text, sizeof text, "%.*s", (int) result->body.size, result->body.data);
    if (!strstr (text, body))
        fail_msg ("%s is not in %s", body, text);
}

static leat_command_t s_settings (uint8_t id, uint32_t request, const char *stream,
                                  uint64_t max_processing_ms, uint32_t max_attempts,
                                  uint64_t dead_size)
{
    leat_command_t command = { .id = id };
    command.stream_create.request = request;
    command.stream_create.stream = leat_text (stream);
    command.stream_create.max_processing_ms = max_processing_ms;
    command.stream_create.max_attempts = max_attempts;
    command.stream_create.dead_size = dead_size;
    return command;
}

static void s_create (driver_t *driver, uint32_t request, const char *stream,
                      uint64_t max_processing_ms, uint32_t max_attempts, uint64_t dead_size)
{
    leat_command_t command = s_settings (LEAT_STREAM_CREATE, request, stream, max_processing_ms,
                                         max_attempts, dead_size);
    driver_send (driver, 1, &command);
}

static void s_set (driver_t *driver, uint32_t request, const char *stream,
                   uint64_t max_processing_ms, uint32_t max_attempts, uint64_t dead_size)
{
    leat_command_t command =
        s_settings (LEAT_STREAM_SET, request, stream, max_processing_ms, max_attempts, dead_size);
    driver_send (driver, 1, &command);
}

static void s_list (driver_t *driver, const char *pattern, const char *body)
{
    leat_command_t command = { .id = LEAT_STREAM_LIST };
    command.stream_list.request = 77;
    command.stream_list.pattern = leat_text (pattern);
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 77, LEAT_OK, body);
}

#define ROW(name, processing, attempts, dead, first, next)                                         \
    "{\"name\": \"" name "\", \"durability\": \"memory\", \"retention\": \"work\", "               \
    "\"max_age_ms\": 0, \"max_size\": 0, \"max_processing_ms\": " processing                       \
    ", \"max_attempts\": " attempts ", \"dead_size\": " dead ", \"first_offset\": " first          \
    ", \"next_offset\": " next ", \"paused\": false}"

static void test_streams (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_list (driver, "", "{\"streams\": []}");
    s_create (driver, 1, "orders", 5000, 3, 65536);
    s_expect_result (driver, 1, 1, LEAT_OK, "{}");
    s_create (driver, 2, "orders", 5000, 3, 65536); /* the same again */
    s_expect_result (driver, 1, 2, LEAT_OK, "{}");
    s_create (driver, 3, "orders", 5000, 4, 65536);
    s_expect_result (driver, 1, 3, LEAT_BAD_STATE, "there already, with other settings");
    s_set (driver, 4, "orders", 6000, 4, 0);
    s_expect_result (driver, 1, 4, LEAT_OK, "{}");
    s_set (driver, 5, "letters", 6000, 4, 0);
    s_expect_result (driver, 1, 5, LEAT_NO_SUCH_STREAM, "no stream of that name");
    driver_open (driver, 1, 1, "mill");
    driver_publish (driver, 1, 1, 1, 3);
    driver_drop (driver, 1);
    s_list (driver, "",
            "{\"streams\": [" ROW ("mill", "0", "0", "0", "0", "3") ", " ROW ("orders", "6000", "4",
                                                                              "0", "0", "0") "]}");
    s_list (driver, "or*", "{\"streams\": [" ROW ("orders", "6000", "4", "0", "0", "0") "]}");
    s_list (driver, "mill", "{\"streams\": [" ROW ("mill", "0", "0", "0", "0", "3") "]}");
    s_list (driver, "mil", "{\"streams\": []}");
    s_list (driver, "mills*", "{\"streams\": []}");
    driver_destroy (&driver);
}

/* Who asks for lists without end is told few of them; time gives more. */
static void test_lists_are_limited (void **state)
{
    enum { ROWS = 4 };
    leat_limits_t limits = driver_limits ();
    const char *row = "{\"streams\": [" ROW ("a", "0", "0", "0", "0", "0") "]}";
    limits.list_size = ROWS * strlen (row);
    driver_t *driver = s_begin (&limits);
    leat_command_t list = { .id = LEAT_STREAM_LIST, .stream_list = { .request = 5 } };
    leat_command_t groups = { .id = LEAT_GROUP_LIST, .group_list = { .request = 6 } };
    groups.group_list.stream = leat_text ("a");
    s_create (driver, 1, "a", 0, 0, 0);
    s_expect_result (driver, 1, 1, LEAT_OK, "{}");
    for (unsigned count = 0; count < ROWS; count++)
        s_list (driver, "", row);
    driver_send (driver, 1, &list);
    s_expect_result (driver, 1, 5, LEAT_LIMIT_REACHED, "more lists");
    driver_send (driver, 1, &groups);
    s_expect_result (driver, 1, 6, LEAT_LIMIT_REACHED, "more lists");
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_list_size], 2);
    for (unsigned count = 0; count < 10; count++) {
        driver_wait (driver, 1000);
        driver_drop (driver, 1);
    }
    for (unsigned count = 0; count < ROWS; count++)
        s_list (driver, "", row);
    driver_send (driver, 1, &groups);
    s_expect_result (driver, 1, 6, LEAT_LIMIT_REACHED, "more lists");
    driver_destroy (&driver);
}

/* What can't be is refused by name. */
static void test_refused (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.streams = 1;
    driver_t *driver = s_begin (&limits);
    static const struct {
        const char *stream;
        uint8_t durability, retention;
        uint64_t max_age_ms, max_size, max_processing_ms;
        leat_code_t code;
        const char *reason;
    } cases[] = {
        { "a b", 0, 0, 0, 0, 0, LEAT_BAD_NAME, "letters" },
        { "", 0, 0, 0, 0, 0, LEAT_BAD_NAME, "letters" },
        { "a.dead", 0, 0, 0, 0, 0, LEAT_RESERVED_NAME, ".dead" },
        { "a", 4, 0, 0, 0, 0, LEAT_MALFORMED, "durability" },
        { "a", 2, 0, 0, 0, 0, LEAT_NOT_HANDLED, "memory" },
        { "a", 1, 0, 0, 0, 0, LEAT_NOT_HANDLED, "memory" },
        { "a", 0, 2, 0, 0, 0, LEAT_MALFORMED, "retention" },
        { "a", 0, 1, 0, 5000, 0, LEAT_MALFORMED, "max_size must hold a batch" },
        { "a", 0, 1, UINT64_MAX, 0, 0, LEAT_MALFORMED, "ten years" },
        { "a", 0, 0, 1, 0, 0, LEAT_MALFORMED, "max_age is for retention log" },
        { "a", 0, 0, 0, 1, 0, LEAT_NOT_HANDLED, "max_size" },
        { "a", 0, 0, 0, 0, UINT64_MAX, LEAT_MALFORMED, "ten years" },
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_command_t command =
            s_settings (LEAT_STREAM_CREATE, i, cases[i].stream, cases[i].max_processing_ms, 0, 0);
        command.stream_create.durability = cases[i].durability;
        command.stream_create.retention = cases[i].retention;
        command.stream_create.max_age_ms = cases[i].max_age_ms;
        command.stream_create.max_size = cases[i].max_size;
        driver_send (driver, 1, &command);
        s_expect_result (driver, 1, i, cases[i].code, cases[i].reason);
    }
    assert_int_equal (driver_statistics (driver).streams, 0);
    s_create (driver, 90, "a", 1, 0, 0);
    s_expect_result (driver, 1, 90, LEAT_OK, "{}");
    s_create (driver, 91, "b", 1, 0, 0);
    s_expect_result (driver, 1, 91, LEAT_LIMIT_REACHED, "as many streams");
    for (uint32_t i = 3; i < sizeof cases / sizeof *cases; i++) {
        leat_command_t command =
            s_settings (LEAT_STREAM_SET, i, cases[i].stream, cases[i].max_processing_ms, 0, 0);
        command.stream_create.durability = cases[i].durability;
        command.stream_create.retention = cases[i].retention;
        command.stream_create.max_age_ms = cases[i].max_age_ms;
        command.stream_create.max_size = cases[i].max_size;
        driver_send (driver, 1, &command);
        s_expect_result (driver, 1, i, cases[i].code, cases[i].reason);
    }
    s_list (driver, "", "{\"streams\": [" ROW ("a", "1", "0", "0", "0", "0") "]}");
    driver_destroy (&driver);
}

/* A durable broker keeps a stream as it was created. */
static void test_durability (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver->durable = true;
    driver_restart (driver);
    driver_hello (driver, 1, "operator");
    leat_command_t command = s_settings (LEAT_STREAM_CREATE, 1, "orders", 0, 0, 0);
    command.stream_create.durability = LEAT_ASYNC;
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_OK, "{}");
    command = s_settings (LEAT_STREAM_SET, 2, "orders", 0, 7, 0);
    command.stream_set.durability = LEAT_MEMORY;
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 2, LEAT_BAD_STATE, "durability");
    s_set (driver, 3, "orders", 0, 7, 0); /* which asks for none: it stays */
    s_expect_result (driver, 1, 3, LEAT_OK, "{}");
    /* A stream for which none is asked for is as safe as one that nobody created. */
    command = s_settings (LEAT_STREAM_CREATE, 4, "notes", 0, 0, 0);
    for (int again = 0; again < 2; again++) {
        driver_send (driver, 1, &command);
        s_expect_result (driver, 1, 4, LEAT_OK, "{}");
    }
    command = s_settings (LEAT_STREAM_CREATE, 5, "sketches", 0, 0, 0);
    command.stream_create.durability = LEAT_MEMORY;
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 5, LEAT_OK, "{}");
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "orders").durability, LEAT_ASYNC);
    assert_int_equal (driver_stream (driver, "notes").durability, LEAT_SYNC);
    assert_int_equal (driver_stream (driver, "sketches").durability, LEAT_MEMORY);
    driver_destroy (&driver);
}

/* Settings are there again after a restart, those of an older commit are not. */
static void test_survive (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_create (driver, 1, "orders", 5000, 3, 65536);
    s_create (driver, 2, "letters", 1, 2, 3);
    s_set (driver, 3, "orders", 0, 8, 1);
    driver_drop (driver, 1);
    for (int i = 0; i < 2; i++) {
        driver_restart (driver);
        driver_hello (driver, 1, "operator");
        s_list (driver, "",
                "{\"streams\": [" ROW ("letters", "1", "2", "3", "0",
                                       "0") ", " ROW ("orders", "0", "8", "1", "0", "0") "]}");
    }
    driver_destroy (&driver);
}

/* An answer comes once the store has it; what it refuses has not happened. */
static void test_commits (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_create (driver, 1, "orders", 5000, 0, 0);
    driver_drop (driver, 1);
    driver->store = DRIVER_HOLD;
    s_set (driver, 2, "orders", 6000, 0, 0);
    s_create (driver, 3, "letters", 7000, 0, 0);
    s_create (driver, 4, "letters", 7000, 0, 0); /* the same, and not committed yet */
    driver_expect_nothing (driver, 1);
    s_list (driver, "", "{\"streams\": [" ROW ("orders", "5000", "0", "0", "0", "0") "]}");
    driver_complete (driver, 1, LEAT_COMMIT_OK);
    s_expect_result (driver, 1, 2, LEAT_OK, "{}");
    driver_expect_nothing (driver, 1);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    s_expect_result (driver, 1, 4, LEAT_STORE_FULL, "try again");
    s_expect_result (driver, 1, 3, LEAT_STORE_FULL, "try again");
    s_list (driver, "", "{\"streams\": [" ROW ("orders", "6000", "0", "0", "0", "0") "]}");

    /* Who asked may be gone by then. */
    s_set (driver, 5, "orders", 8000, 0, 0);
    driver_lose (driver, 1);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_set (driver, 6, "orders", 9000, 0, 0);
    driver_destroy (&driver);

    driver = s_begin (NULL);
    driver->store = DRIVER_HOLD;
    s_create (driver, 1, "orders", 5000, 0, 0);
    driver_destroy (&driver); /* nobody is told, nothing leaks */
}

/* What waits for the store has an end. */
static void test_too_many_wait (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.requests = 2;
    driver_t *driver = s_begin (&limits);
    driver->store = DRIVER_HOLD;
    s_create (driver, 1, "orders", 5000, 0, 0);
    s_create (driver, 2, "letters", 5000, 0, 0);
    s_create (driver, 3, "mill", 5000, 0, 0);
    s_expect_result (driver, 1, 3, LEAT_LIMIT_REACHED, "try again later");
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_result (driver, 1, 1, LEAT_OK, "{}");
    s_expect_result (driver, 1, 2, LEAT_OK, "{}");
    driver->store = DRIVER_OK;
    s_create (driver, 4, "mill", 5000, 0, 0);
    s_expect_result (driver, 1, 4, LEAT_OK, "{}");
    driver_destroy (&driver);
}

/* Attempts and room for dead letters are those of the stream. */
static void test_attempts_and_dead_size (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_create (driver, 1, "orders", 0, 2, 1200); /* one dead letter fits */
    driver_drop (driver, 1);
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, 2);
    driver_drop (driver, 1);
    driver_hello (driver, 2, "consumer");
    driver_attach (driver, 2, 1, "orders", 10, 1);
    for (int delivered = 0; delivered < 3; delivered++) {
        for (int i = 0; i < 100 && !driver_waiting (driver, 2); i++)
            driver_wait (driver, 10);
        leat_batch_t batch = driver_expect_any_deliver (driver, 2);
        driver_settle (driver, 2, 1, batch.epoch, batch.first, batch.count, LEAT_NACK);
    }
    driver_wait (driver, 1000);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).records_dead, 1);
    assert_int_equal (driver_statistics (driver).records_parked, 1);

    /* With more room the next one has some. */
    s_set (driver, 2, "orders", 0, 1, 100000);
    driver_drop (driver, 1);
    driver_publish (driver, 1, 1, 3, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 2, 1);
    driver_settle (driver, 2, 1, batch.epoch, 2, 1, LEAT_NACK);
    assert_int_equal (driver_statistics (driver).records_dead, 2);
    driver_destroy (&driver);
}

static void test_groups (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, 5);
    driver_drop (driver, 1);
    leat_command_t command = { .id = LEAT_GROUP_CREATE };
    command.group_create.request = 1;
    command.group_create.stream = leat_text ("orders");
    command.group_create.group = leat_text ("a");
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_OK, "{\"first\": 0}");
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_BAD_STATE, "there already");
    command.group_create.group = leat_text ("b");
    command.group_create.start = LEAT_START_OFFSET;
    command.group_create.start_value = 3;
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_OK, "{\"first\": 3}");
    command.group_create.group = leat_text ("c");
    command.group_create.expiry_ms = 1;
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_NOT_HANDLED, "expiry");
    command.group_create.expiry_ms = 0;
    command.group_create.start = 4;
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_MALFORMED, "start");
    command.group_create.start = 0;
    command.group_create.group = leat_text ("c d");
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_BAD_NAME, "letters");
    command.group_create.stream = leat_text ("letters");
    driver_send (driver, 1, &command);
    s_expect_result (driver, 1, 1, LEAT_NO_SUCH_STREAM, "no stream");
    driver_restart (driver);
    driver_hello (driver, 1, "operator");
    command = (leat_command_t){ .id = LEAT_GROUP_LIST };
    command.group_list.request = 9;
    command.group_list.stream = leat_text ("orders");
    driver_send (driver, 1, &command);
    s_expect_result (
        driver, 1, 9, LEAT_OK,
        "{\"groups\": [{\"name\": \"a\", \"expiry_ms\": 0, \"floor\": 0, \"ready\": 5, "
        "\"in_flight\": 0, \"delayed\": 0, \"dead\": 0, \"consumers\": 0}, "
        "{\"name\": \"b\", \"expiry_ms\": 0, \"floor\": 3, \"ready\": 2, "
        "\"in_flight\": 0, \"delayed\": 0, \"dead\": 0, \"consumers\": 0}]}");
    driver_destroy (&driver);
}

/* A list that is too long for one RESULT comes in several, which make one text. */
static void test_long_list (void **state)
{
    enum { COUNT = 400 };
    driver_t *driver = s_begin (NULL);
    driver->hasty = true;
    char name[20];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf (name, sizeof name, "stream-%04u", i);
        s_create (driver, i, name, i, 0, 0);
        s_expect_result (driver, 1, i, LEAT_OK, "{}");
    }
    leat_command_t command = { .id = LEAT_STREAM_LIST };
    command.stream_list.request = 5;
    driver_send (driver, 1, &command);
    char *text = calloc (1, 1000000);
    size_t size = 0;
    unsigned results = 0;
    bool more = true;
    while (more) {
        const leat_result_t *result = &driver_expect (driver, 1, LEAT_RESULT)->result;
        assert_int_equal (result->request, 5);
        assert_int_equal (result->code, LEAT_OK);
        more = result->flags & LEAT_RESULT_MORE;
        memcpy (text + size, result->body.data, result->body.size);
        size += result->body.size;
        results++;
    }
    driver_expect_nothing (driver, 1);
    assert_true (results > 2);
    char *expected = calloc (1, 1000000);
    size_t end = (size_t) snprintf (expected, 1000000, "{\"streams\": [");
    for (uint32_t i = 0; i < COUNT; i++)
        end += (size_t) snprintf (expected + end, 1000000 - end,
                                  "%s" ROW ("stream-%04u", "%u", "0", "0", "0", "0"), i ? ", " : "",
                                  i, i);
    snprintf (expected + end, 1000000 - end, "]}");
    assert_string_equal (text, expected);
    free (text);
    free (expected);
    driver_destroy (&driver);
}

static void s_drain (driver_t *driver, uint32_t request, const char *identity, const char *stream)
{
    leat_command_t command = { .id = LEAT_CONSUMER_DRAIN };
    command.consumer_drain.request = request;
    command.consumer_drain.identity = leat_text (identity);
    command.consumer_drain.stream = leat_text (stream);
    driver_send (driver, 1, &command);
}

/* DRAIN goes to that identity's consumers of that stream, which get nothing more. */
static void test_drain (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, 4);
    driver_drop (driver, 1);
    driver_hello (driver, 2, "worker");
    driver_attach (driver, 2, 1, "orders", 2, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_attach (driver, 2, 2, "letters", 2, 1);
    s_drain (driver, 1, "worker", "mill");
    s_expect_result (driver, 1, 1, LEAT_NO_SUCH_CONSUMER, "not that stream");
    s_drain (driver, 2, "nobody", "");
    s_expect_result (driver, 1, 2, LEAT_NO_SUCH_CONSUMER, "no client of that name");
    s_drain (driver, 3, "operator", "");
    s_expect_result (driver, 1, 3, LEAT_NO_SUCH_CONSUMER, "consumes nothing");
    s_drain (driver, 4, "a b", "");
    s_expect_result (driver, 1, 4, LEAT_BAD_NAME, "letters");
    driver_expect_nothing (driver, 2);
    s_drain (driver, 5, "worker", "orders");
    s_expect_result (driver, 1, 5, LEAT_OK, "{\"channels\": 1}");
    assert_int_equal (driver_expect (driver, 2, LEAT_DRAIN)->drain.channel, 1);
    driver_expect_nothing (driver, 2);
    s_drain (driver, 6, "worker", "orders"); /* was told before */
    s_expect_result (driver, 1, 6, LEAT_OK, "{\"channels\": 1}");
    driver_expect_nothing (driver, 2);

    /* It goes on with what it has, and whatever it does, gets nothing. */
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK);
    driver_allow (driver, 2, 1, 100, 100000);
    driver_return (driver, 2, 1, batch.epoch, 1, 1);
    driver_wait (driver, 100);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_group (driver, "orders").ready, 3);
    driver_hello (driver, 3, "other");
    driver_attach (driver, 3, 1, "orders", 10, 1);
    driver_expect_deliver (driver, 3, 1, 1, 1);
    driver_expect_deliver (driver, 3, 1, 2, 2);
    driver_leave (driver, 2, 1);
    driver_expect (driver, 2, LEAT_LEFT);
    s_drain (driver, 7, "worker", "");
    s_expect_result (driver, 1, 7, LEAT_OK, "{\"channels\": 1}");
    assert_int_equal (driver_expect (driver, 2, LEAT_DRAIN)->drain.channel, 2);

    /* A new channel is a new consumer. */
    driver_attach (driver, 2, 3, "orders", 10, 1);
    driver_publish (driver, 1, 1, 5, 1);
    driver_expect_deliver (driver, 2, 3, 4, 1);
    driver_destroy (&driver);
}

/* One whose ATTACH waits for the store hears of it once it is attached. */
static void test_drain_before_attached (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_hello (driver, 2, "worker");
    driver->store = DRIVER_HOLD;
    leat_command_t command = driver_attach_command (1, "orders", "default", 10, 1);
    driver_send (driver, 2, &command);
    s_drain (driver, 1, "worker", "");
    s_expect_result (driver, 1, 1, LEAT_OK, "{\"channels\": 1}");
    driver_expect_nothing (driver, 2);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_expect (driver, 2, LEAT_ATTACHED);
    driver_expect (driver, 2, LEAT_DRAIN);
    driver_destroy (&driver);
}

/* A suspect that waits for a drained consumer to run dry goes to another one. */
static void test_drain_isolating (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, 3);
    driver_drop (driver, 1);
    driver_hello (driver, 2, "victim");
    driver_attach (driver, 2, 1, "orders", 1, 1);
    driver_expect_deliver (driver, 2, 1, 0, 1);
    driver_hello (driver, 3, "worker");
    driver_attach (driver, 3, 1, "orders", 2, 1);
    driver_expect_deliver (driver, 3, 1, 1, 2);
    driver_lose (driver, 2);
    s_drain (driver, 1, "worker", "");
    s_expect_result (driver, 1, 1, LEAT_OK, "{\"channels\": 1}");
    driver_expect (driver, 3, LEAT_DRAIN);
    driver_hello (driver, 4, "other");
    driver_attach (driver, 4, 1, "orders", 2, 1);
    assert_int_equal (driver_expect_deliver (driver, 4, 1, 0, 1).flags, LEAT_DELIVER_REDELIVERED);
    driver_expect_nothing (driver, 3);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_streams),         cmocka_unit_test (test_lists_are_limited),
        cmocka_unit_test (test_refused),         cmocka_unit_test (test_durability),
        cmocka_unit_test (test_survive),         cmocka_unit_test (test_commits),
        cmocka_unit_test (test_too_many_wait),   cmocka_unit_test (test_attempts_and_dead_size),
        cmocka_unit_test (test_groups),          cmocka_unit_test (test_long_list),
        cmocka_unit_test (test_drain),           cmocka_unit_test (test_drain_before_attached),
        cmocka_unit_test (test_drain_isolating),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
