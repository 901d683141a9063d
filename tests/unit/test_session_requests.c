/* The session and administration: what is asked, and what is answered.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/requests.h"
#include "tests/unit/session_bench.h"

static leat_request_t *s_request (const char *pattern)
{
    leat_command_t command = { .id = LEAT_STREAM_LIST };
    command.stream_list.pattern = leat_text (pattern);
    return leat_request_new (&command);
}

static void s_result (bench_t *bench, uint32_t number, uint16_t code, uint16_t flags,
                      const char *body)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_RESULT,
                                         .result = { number, code, flags, leat_text (body) } });
}

static void s_expect_request (bench_t *bench, uint32_t number, const char *pattern)
{
    leat_command_t command = s_expect (bench, LEAT_STREAM_LIST);
    assert_int_equal (command.stream_list.request, number);
    assert_true (leat_text_equal (command.stream_list.pattern, leat_text (pattern)));
}

static void test_answers (void **state)
{
    bench_t bench = s_bench (1);
    leat_request_t *a = s_request ("a*");
    leat_request_t *b = s_request ("b");
    leat_session_add_request (bench.session, a);
    s_ready (&bench, 0, 1);
    assert_true (leat_session_deadline (bench.session) == bench.now_us);
    s_turn (&bench, 0);
    s_expect_request (&bench, 1, "a*");
    assert_true (leat_session_deadline (bench.session) > bench.now_us);
    leat_session_add_request (bench.session, b);
    s_turn (&bench, 0);
    s_expect_request (&bench, 2, "b");
    s_result (&bench, 2, LEAT_OK, 0, "{}");
    assert_true (leat_request_done (b));
    assert_false (leat_request_done (a));
    assert_int_equal (leat_request_code (b), LEAT_OK);
    assert_string_equal (leat_request_body (b), "{}");
    s_result (&bench, 1, LEAT_OK, LEAT_RESULT_MORE, "{\"a\": ");
    s_result (&bench, 1, LEAT_OK, LEAT_RESULT_MORE, "");
    assert_false (leat_request_done (a));
    s_result (&bench, 1, LEAT_OK, 0, "1}");
    assert_true (leat_request_done (a));
    assert_string_equal (leat_request_body (a), "{\"a\": 1}");
    s_result (&bench, 1, LEAT_BAD_STATE, 0, "once more"); /* is dropped */
    assert_int_equal (leat_request_code (a), LEAT_OK);
    assert_int_equal (leat_session_malformed (bench.session), 0);
    s_result (&bench, 3, LEAT_OK, 0, "never asked");
    s_result (&bench, 0, LEAT_OK, 0, "never asked");
    assert_int_equal (leat_session_malformed (bench.session), 2);
    s_turn (&bench, 0);
    s_expect_nothing (&bench);
    leat_session_remove_request (bench.session, a);
    leat_session_remove_request (bench.session, b);
    s_result (&bench, 1, LEAT_OK, 0, "{}"); /* nobody waits any more */
    assert_int_equal (leat_session_malformed (bench.session), 2);
    leat_request_destroy (&a);
    leat_request_destroy (&b);
    leat_request_destroy (&b);
    s_end (&bench);
}

static void test_refused (void **state)
{
    bench_t bench = s_bench (1);
    leat_request_t *a = s_request ("a");
    leat_session_add_request (bench.session, a);
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    s_expect_request (&bench, 1, "a");
    leat_command_t refused = { .id = LEAT_REFUSED };
    refused.refused.command = LEAT_STREAM_LIST;
    refused.refused.code = LEAT_NOT_HANDLED;
    refused.refused.reason = leat_text ("no");
    refused.refused.token = 2;
    s_receive (&bench, &refused);
    assert_int_equal (leat_session_malformed (bench.session), 1);
    refused.refused.token = (uint64_t) 1 << 32 | 1;
    s_receive (&bench, &refused);
    assert_false (leat_request_done (a));
    refused.refused.token = 1;
    s_receive (&bench, &refused);
    assert_true (leat_request_done (a));
    assert_int_equal (leat_request_code (a), LEAT_NOT_HANDLED);
    assert_string_equal (leat_request_body (a), "no");
    leat_session_remove_request (bench.session, a);
    leat_request_destroy (&a);

    /* OK is no refusal. */
    a = s_request ("a");
    leat_session_add_request (bench.session, a);
    s_turn (&bench, 0);
    s_expect_request (&bench, 2, "a");
    refused.refused.token = 2;
    refused.refused.code = LEAT_OK;
    s_receive (&bench, &refused);
    assert_int_equal (leat_request_code (a), LEAT_MALFORMED);
    leat_session_remove_request (bench.session, a);
    leat_request_destroy (&a);
    s_end (&bench);
}

/* What was not answered is asked again over the next connection, from the beginning. */
static void test_lost (void **state)
{
    bench_t bench = s_bench (1);
    leat_request_t *a = s_request ("a");
    leat_request_t *b = s_request ("b");
    leat_session_add_request (bench.session, a);
    leat_session_add_request (bench.session, b);
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    s_expect_request (&bench, 1, "a");
    s_expect_request (&bench, 2, "b");
    s_result (&bench, 1, LEAT_OK, 0, "{}");
    s_result (&bench, 2, LEAT_OK, LEAT_RESULT_MORE, "{\"b\"");
    leat_session_unsent (bench.session);
    s_ready (&bench, 0, 2);
    s_turn (&bench, 0);
    s_expect_request (&bench, 3, "b");
    s_expect_nothing (&bench);
    s_result (&bench, 2, LEAT_OK, 0, "x"); /* of the former one */
    assert_false (leat_request_done (b));
    s_result (&bench, 3, LEAT_OK, 0, "{\"c\"}");
    assert_string_equal (leat_request_body (b), "{\"c\"}");
    leat_session_remove_request (bench.session, a);
    leat_session_remove_request (bench.session, b);
    leat_request_destroy (&a);
    leat_request_destroy (&b);
    s_end (&bench);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_answers),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_lost),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
